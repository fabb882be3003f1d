"""The networks in PyTorch: what csrc/viseme_net.c computes, the aligner that looks both ways, and how both learn."""

import numpy as np
import torch
from torch import nn

from lipwire_lipsync import labels

SEGMENT = 200  # rows of one training sequence; the state starts at zero, as after a rest
FIRST = 5  # rows at its start that do not count: they lack context
SCALE = 4096  # features are Q12
EARLY_SHARE = 0.5  # of the early head's loss
BALANCE = 0.3  # rare classes count for more: (mean count / count) to this power


class Network(nn.Module):
    """(batch, rows + past + ahead, features) -> what the early and the final head say, (batch, rows, classes) each,
    before the softmax. `shifts`: how many frames before the newest one of the convolution each head speaks of, rising;
    by default the shipped two, the early and the final one."""

    def __init__(self, shape, shifts=None):
        super().__init__()
        self.shifts = shifts or (shape["EARLY"], shape["FINAL"])
        self.past, self.ahead = shape["PAST"] - self.shifts[0], shape["AHEAD"] + self.shifts[-1]
        self.conv = nn.Conv1d(shape["FEATURES"], shape["CONV"], shape["WINDOW"])
        self.gru = nn.GRU(shape["CONV"], shape["GRU"], batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(shape["GRU"], shape["CLASSES"]) for _ in self.shifts)
        self.drop = nn.Dropout(0.05)

    def forward(self, x):
        x = torch.clamp(self.conv(x.transpose(1, 2)), 0.0, 7.99).transpose(1, 2)
        state = self.drop(self.gru(x)[0])
        first, last = self.shifts[0], self.shifts[-1]
        rows = state.shape[1] - (last - first)
        starts = [shift - first for shift in self.shifts]
        return [head(state[:, at : at + rows]) for head, at in zip(self.heads, starts, strict=True)]


class Aligner(nn.Module):
    """The same, looking both ways: for aligning recordings, not for use."""

    def __init__(self, shape, units=128):
        super().__init__()
        self.past = self.ahead = 3
        self.conv = nn.Conv1d(shape["FEATURES"], 64, 7)
        self.gru = nn.GRU(64, units, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * units, shape["CLASSES"])
        self.drop = nn.Dropout(0.15)

    def forward(self, x):
        x = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return [self.out(self.drop(self.gru(x)[0]))]


def padded(feature, past, ahead):
    return np.concatenate([feature[:1].repeat(past, 0), feature, feature[-1:].repeat(ahead, 0)])


def segments(parts, past, ahead, rng):
    """[(features (n, F) int16, class per row)] -> (k, SEGMENT + past + ahead, F), (k, SEGMENT); -1 does not count."""
    xs, ys = [], []
    for feature, target in parts:
        if len(target) < 60:
            continue
        x = padded(feature, past, SEGMENT + ahead)
        y = np.concatenate([target, np.full(SEGMENT, -1)]).astype(np.int8)
        start = int(rng.integers(0, 40))
        for at in [0, *range(start, len(y) - SEGMENT - 40, SEGMENT)]:
            part = y[at : at + SEGMENT].copy()
            if at:
                part[:FIRST] = -1
            xs.append(x[at : at + SEGMENT + past + ahead])
            ys.append(part)
    return np.stack(xs), np.stack(ys)


def fit(model, x, y, epochs, rate, advance, batch=64):
    """Trains `model`; calls advance(steps done, steps in all, mean loss of the epoch so far)."""
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    seen = torch.bincount(y[y >= 0].long(), minlength=len(labels.CLASSES)).float()
    weight = (seen.mean() / seen.clamp(min=1)).pow(BALANCE).clamp(0.3, 3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    per_epoch = len(x) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * per_epoch + 1, pct_start=0.15)
    loss_of = nn.CrossEntropyLoss(weight=weight, ignore_index=-1, label_smoothing=0.03)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for step, part in enumerate(torch.randperm(len(x))[: per_epoch * batch].split(batch)):
            v = x[part].float() / SCALE
            v += torch.randn(batch, 1, v.shape[2]) * 0.06 + torch.randn(batch, 1, 1) * 0.08
            if torch.rand(()) < 0.4:  # a few bands lost
                low = int(torch.randint(0, v.shape[2] - 4, ()))
                v[:, :, low : low + int(torch.randint(1, 5, ()))] = 0
            said, due = model(v), y[part].long().flatten()
            loss = loss_of(said[-1].flatten(0, 1), due)  # the final head's word counts most
            for word in said[:-1]:
                loss = loss + EARLY_SHARE * loss_of(word.flatten(0, 1), due)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
            advance(epoch * per_epoch + step + 1, epochs * per_epoch, total / (step + 1))


def trained(path, shape):
    """What train.py saved: (the network, its state with `prior` and `counted`)."""
    state = torch.load(path, weights_only=False)
    model = Network(shape)
    model.load_state_dict(state["weights"])
    model.eval()
    return model, state


def log_likely(model, feature):
    """features (n, F) int16 of one utterance -> each head's log-probabilities, (n, classes); the last head is last."""
    model.eval()
    with torch.no_grad():
        x = torch.from_numpy(padded(feature, model.past, model.ahead)).float()[None] / SCALE
        return [torch.log_softmax(word[0], 1).numpy() for word in model(x)]
