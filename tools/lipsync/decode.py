"""From the network's word on each row to a mouth that switches as often as people's do: a hidden Markov model.

Each viseme has two states, so that it lasts 20 ms at least; how long it lasts and what follows it is counted in the
training labels. A row is the chances of the states given everything up to it (the forward recursion: Rabiner 1989,
section III). csrc/viseme_decode.c is this, in C.
"""

import numpy as np

PRIOR = 0.3  # how much of the training set's class shares is taken out of the network's word
FLOOR = 1e-6
# Added to the logarithm of the network's word, in the order of the visemes. What voices of machines lead it to hear too
# often or too rarely in people's, found on the human development sets (tune.py).
BIAS = np.array([0.5, -0.5, 0.5, 0.25, 0, -0.25, 0, 0.5, 0.25, 0, -0.25, 0, -0.25, 0, -0.5])


def count(targets):
    """targets: visemes per row, one array an utterance -> (follow (15, 15), stay (15,), share (15,))."""
    follow, rows, runs = np.full((15, 15), 0.5), np.zeros(15), np.zeros(15)
    for y in targets:
        cut = np.flatnonzero(np.diff(y)) + 1
        value = y[np.r_[0, cut]]
        np.add.at(follow, (value[:-1], value[1:]), 1)
        np.add.at(rows, value, np.diff(np.r_[0, cut, len(y)]))
        np.add.at(runs, value, 1)
    np.fill_diagonal(follow, 0)
    length = np.maximum(rows / runs - 1, 1.05)  # rows in the second state
    return follow / follow.sum(1, keepdims=True), 1 - 1 / length, rows / rows.sum()


def smooth(likely, follow, stay, share):
    """likely: (rows, 15) probabilities -> the same shape: each row given all up to it."""
    seen = np.exp(np.log(likely + FLOOR) - PRIOR * np.log(share) + BIAS)
    leave = follow * (1 - stay)[:, None]
    first, second = np.zeros(15), np.zeros(15)
    second[0] = 1.0
    out = np.empty_like(likely)
    for t, e in enumerate(seen):
        first, second = (second @ leave) * e, (first + second * stay) * e
        total = first.sum() + second.sum()
        first, second = first / total, second / total
        out[t] = first + second
    return out
