"""Is the installed extractor the network that was trained? Compares `lipwire.VisemeExtractor` with PyTorch's float
weights (train.py's state) and decode.py, on espeak-ng's speech and on noise.

    python tools/lipsync/check.py

What remains is the rounding of the weights to 8 bits and of the features and states to 16. Exit code 1 where the rows'
decisions agree on less than AGREE of the rows, or the weights differ by more than APART on average.
"""

import argparse
import sys
from pathlib import Path

import corpus
import decode
import features
import network
import numpy as np
import torch
import voices

from lipwire import VisemeExtractor
from lipwire_lipsync import labels

AGREE, APART = 0.97, 0.02
FOLD = np.eye(15)[labels.TO_VISEME]


def reference(model, state, pcm, early):
    """(first row, rows) in float: from the frame that opens the gate on, as the extractor starts there."""
    shape = features.shape()
    feature, _, gate = features.front().features(pcm, state["prior"])
    opens = int(np.argmax(gate))
    past = shape["WINDOW"] - 1
    x = np.concatenate([np.repeat(feature[:1], past, 0), feature])[opens:]
    with torch.no_grad():
        inputs = torch.from_numpy(x.astype(np.float32))[None] / network.SCALE
        steps = torch.clamp(model.conv(inputs.transpose(1, 2)), 0.0, 7.99).transpose(1, 2)
        logits = model.heads[0 if early else 1](model.gru(steps)[0])[0]
        likely = torch.softmax(logits, 1).double().numpy() @ FOLD
    first = opens - shape["AHEAD"] - shape["EARLY" if early else "FINAL"]
    if first < 0:
        likely, first = likely[-first:], 0
    return first, decode.smooth(likely, *state["counted"])


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--state", type=Path, default=corpus.CACHE.parent / "model.pt")
    options = options.parse_args()
    torch.set_num_threads(1)
    model, state = network.trained(options.state, features.shape())
    rng = np.random.default_rng(0)
    sounds = {
        "speech": [voices.espeak_utterance(10**6 + i)[0] for i in range(40)],
        "noise": [np.clip(rng.standard_normal(48000) * 3000, -32768, 32767).astype(np.int16) for _ in range(4)],
    }
    good = True
    for name, clips in sounds.items():
        for early in (False, True):
            same = count = 0
            apart = []
            for pcm in clips:
                first, rows = reference(model, state, pcm, early)
                made = VisemeExtractor(early=early).process(pcm)
                n = min(len(rows), len(made) - first)
                made, rows = made[first : first + n], rows[:n]
                spoken = made[:, 0] < 1  # exactly 1: the gate is shut
                same += int((made[spoken].argmax(1) == rows[spoken].argmax(1)).sum())
                count += int(spoken.sum())
                apart.append(np.abs(made[spoken] - rows[spoken]).max(1, initial=0))
            mean = float(np.concatenate(apart).mean())
            good &= same >= AGREE * count and mean <= APART
            print(f"{name:8} {'early' if early else 'final'}: {count} rows, {100 * same / count:.2f} % decide alike, "
                  f"largest weight apart by {mean:.4f} on average")  # fmt: skip
    sys.exit(not good)


if __name__ == "__main__":
    main()
