"""Train the viseme model and write csrc/viseme_model.c.

    python tools/visemes/train.py                          # about ten minutes on two cores
    python tools/visemes/train.py --quick --out /tmp/m.c   # a minute: for trying things

Needs a C compiler and `pip install torch numpy espeakng-loader`. With flite and festival installed the model hears
recorded timbres too and does far better on people; the shipped table is made with all of them:

    espeak-ng            60 variants, 16 languages                GPL program; only its sound is used
    flite                awb kal16 rms slt                        BSD-like
    festvox-us-slt-hts, festvox-kdlpc16k, festvox-ru              BSD-like
    festvox-suopuhe-lj, festvox-ca-ona-hts                        LGPL

Change the model's shape in csrc/viseme_model.h; everything here follows it.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import corpus
import evaluate
import frontend
import labels
import numpy as np
import torch
import voices
from torch import nn

SEGMENT = 200  # rows of one training sequence; the state starts at zero, as after a rest
FIRST = 5  # rows at its start that do not count: they lack context

_front = None


class Model(nn.Module):
    """What csrc/viseme.c computes, in float: (batch, rows + window - 1, mel) -> (batch, rows, classes)."""

    def __init__(self, shape):
        super().__init__()
        self.conv = nn.Conv1d(shape["MEL"], shape["CONV"], shape["WINDOW"])
        self.gru = nn.GRU(shape["CONV"], shape["GRU"], batch_first=True)
        self.out = nn.Linear(shape["GRU"], shape["CLASSES"])
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        x = torch.clamp(self.conv(x.transpose(1, 2)), 0.0, 7.99).transpose(1, 2)
        return self.out(self.drop(self.gru(x)[0]))


def _job(job):
    global _front
    _front = _front or frontend.Frontend()
    parts, seed, prior = job
    pcm, target = corpus.stream(parts, seed)
    feature, raw, gate = _front.features(pcm, prior)
    n = min(len(feature), len(target))
    return feature[:n], raw[:n][gate[:n] > 0], target[:n]


def streams(quick):
    """[(utterances, seed)]: espeak's voices for breadth, each natural voice several times over."""
    rng = np.random.default_rng(1)
    out = []
    count = 400 if quick else 3000
    out += [([u], 10_000 + i) for i, u in enumerate(corpus.utterances("espeak", count))]
    for v, name in enumerate(voices.natural_voices()):
        spoken = corpus.utterances(name, 40 if quick else 240)
        for again in range(1 if quick else 4):
            order = rng.permutation(len(spoken))
            pairs = [[spoken[i] for i in order[k : k + 2]] for k in range(0, len(order), 2)]
            out += [(p, 1_000_000 * (v + 1) + 10_000 * again + i) for i, p in enumerate(pairs)]
    return out


def segments(pool, shape, prior, jobs):
    """-> features (n, SEGMENT + WINDOW - 1, MEL) int16, targets (n, SEGMENT), -1 where they do not count."""
    rng = np.random.default_rng(2)
    past, ahead = shape["PAST"], shape["AHEAD"]
    xs, ys = [], []
    for feature, _, target in pool.imap(_job, [(p, s, prior) for p, s in jobs], 8):
        if len(target) < 60:
            continue
        feature = np.concatenate([feature[:1].repeat(past, 0), feature, feature[-1:].repeat(SEGMENT + ahead, 0)])
        target = np.concatenate([target, np.full(SEGMENT, -1)])
        start = int(rng.integers(0, 40))
        for at in [0, *range(start, len(target) - SEGMENT - 40, SEGMENT)]:
            y = target[at : at + SEGMENT].copy()
            if at:
                y[:FIRST] = -1
            xs.append(feature[at : at + SEGMENT + past + ahead])
            ys.append(y)
    return np.stack(xs), np.stack(ys)


def train(model, x, y, epochs, rate=3e-3, batch=64):
    x, y = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    seen = torch.bincount(y[y >= 0], minlength=len(labels.CLASSES)).float()
    weight = (seen.mean() / seen.clamp(min=1)).pow(0.15).clamp(0.3, 3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.15)
    loss_of = nn.CrossEntropyLoss(weight=weight, ignore_index=-1, label_smoothing=0.03)
    begun = time.time()
    for epoch in range(epochs):
        model.train()
        total, count = 0.0, 0
        for part in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            v = x[part].float() / 4096
            v += torch.randn(batch, 1, v.shape[2]) * 0.06 + torch.randn(batch, 1, 1) * 0.08
            if torch.rand(()) < 0.4:  # a few bands lost
                low = int(torch.randint(0, v.shape[2] - 4, ()))
                v[:, :, low : low + int(torch.randint(1, 5, ()))] = 0
            loss = loss_of(model(v).flatten(0, 1), y[part].flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            total, count = total + loss.item(), count + 1
        print(f"epoch {epoch + 1}/{epochs} loss {total / count:.4f} {time.time() - begun:.0f} s", flush=True)


def quantise(matrix, input_bits):
    """Rows of 8-bit weights and the scale that undoes both them and the input's fixed point."""
    largest = np.maximum(np.abs(matrix).max(1), 1e-8)
    return np.round(matrix / largest[:, None] * 127).astype(int), largest / 127 / 2**input_bits


def write_model(path, model, shape, prior):
    p = {k: v.detach().double().numpy() for k, v in model.state_dict().items()}
    conv = p["conv.weight"].transpose(0, 2, 1).reshape(shape["CONV"], -1)
    fields = [(".prior", prior)]
    for name, matrix, bias, bits in (
        ("conv", conv, p["conv.bias"], shape["FEATURE_BITS"]),
        ("gate_in", p["gru.weight_ih_l0"], p["gru.bias_ih_l0"], shape["CONV_BITS"]),
        ("gate_state", p["gru.weight_hh_l0"], p["gru.bias_hh_l0"], shape["GRU_BITS"]),
        ("out", p["out.weight"], p["out.bias"], shape["GRU_BITS"]),
    ):
        weight, scale = quantise(matrix, bits)
        fields += [(f".{name}", weight), (f".{name}_scale", scale), (f".{name}_bias", bias)]
    fields.append((".viseme", labels.TO_VISEME))

    lines = ["/* Written by tools/visemes/train.py; do not edit. */", '#include "viseme_model.h"', "",
             "const lw_viseme_model lw_viseme_weights = {"]  # fmt: skip
    for name, value in fields:
        value = np.asarray(value)
        lines.append(f"    {name} = {{")
        for row in value if value.ndim == 2 else [value]:
            words = [str(int(w)) if value.dtype.kind == "i" else f"{np.float32(w):.9g}f" for w in row]
            words = [w if value.dtype.kind == "i" or "." in w or "e" in w else w[:-1] + ".0f" for w in words]
            if value.ndim == 2:
                words[0], words[-1] = "{" + words[0], words[-1] + "}"
            line = "        "
            for word in words:
                if len(line) + len(word) > 118:
                    lines.append(line)
                    line = "        "
                line += f"{word},"
            lines.append(line)
        lines.append("    },")
    lines.append("};")
    path.write_text("\n".join(lines) + "\n")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true")
    options.add_argument("--epochs", type=int, default=0)
    options.add_argument("--out", default=str(frontend.ROOT / "csrc/viseme_model.c"))
    options = options.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    begun = time.time()

    shape = frontend.shape()
    path = Path(options.out)
    model = Model(shape)
    if not (frontend.ROOT / "csrc/viseme_model.c").exists():  # the features' code needs a table to link against
        write_model(frontend.ROOT / "csrc/viseme_model.c", model, shape, np.zeros(shape["MEL"]))
    jobs = streams(options.quick)
    with multiprocessing.Pool(2) as pool:
        zero = np.zeros(shape["MEL"], np.float32)
        some = pool.map(_job, [(p, s, zero) for p, s in jobs[:: max(1, len(jobs) // 300)]], 8)
        prior = np.concatenate([raw for _, raw, _ in some]).mean(0)
        x, y = segments(pool, shape, prior, jobs)
    print(f"{len(jobs)} streams, {(y >= 0).sum() / 6000:.0f} min, {time.time() - begun:.0f} s", flush=True)
    train(model, x, y, options.epochs or (3 if options.quick else 9))
    write_model(path, model, shape, prior)
    if path == frontend.ROOT / "csrc/viseme_model.c":
        evaluate.main()
    print(f"{time.time() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
