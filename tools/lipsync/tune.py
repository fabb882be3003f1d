"""Finds decode.py's BIAS and PRIOR for a newly trained model: coordinate ascent on the human development sets.

    python tools/lipsync/tune.py                 # some minutes; prints what to write into decode.py

What is made as large as can be: accuracy and macro-F1 of visemes and groups, F1 of closures, silence recall; English
counts twice, other languages once, and flicker beyond 1.12 switches per true one costs. 16 numbers from 19 minutes of
speech: the final sets say whether they hold.
"""

import argparse
from pathlib import Path

import corpus
import decode
import features
import network
import numpy as np
import torch

from lipwire_lipsync import labels, metrics, sets

STEPS = (0.5, 0.25)
LEAST = 2e-4  # of gain that counts as one


def words(model, prior, one):
    """[(truth, log of the final head's word (n, 15), gate)] of a set."""
    out = []
    fold = np.eye(15)[labels.TO_VISEME]
    for u in one.utterances:
        feature, _, gate = features.front().features(u.pcm, prior)
        likely = np.exp(network.log_likely(model, feature)[-1]) @ fold
        truth = u.visemes(one.about.phone_set)
        n = min(len(truth), len(likely))
        out.append((truth[:n], np.log(likely[:n] + decode.FLOOR), gate[:n]))
    return out


def decided(said, counts, prior, bias):
    """decode.smooth for all utterances of a set at once -> [(truth, visemes)]"""
    follow, stay, share = counts
    leave = follow * (1 - stay)[:, None]
    seen = np.ones((max(len(w) for _, w, _ in said), len(said), 15))
    for i, (_, word, _) in enumerate(said):
        seen[: len(word), i] = np.exp(word - prior * np.log(share) + bias)
    first, second = np.zeros((len(said), 15)), np.eye(15)[np.zeros(len(said), int)]
    rows = np.empty(seen.shape[:2], int)
    for t, e in enumerate(seen):
        first, second = (second @ leave) * e, (first + second * stay) * e
        total = (first + second).sum(1, keepdims=True)
        first, second = first / total, second / total
        rows[t] = (first + second).argmax(1)
    return [(truth, np.where(gate > 0, rows[: len(truth), i], 0)) for i, (truth, _, gate) in enumerate(said)]


def worth(r):
    closures = 2 * r.pp_recall * r.pp_precision / max(r.pp_recall + r.pp_precision, 1e-9)
    lips = 2 * r.ff_recall * r.ff_precision / max(r.ff_recall + r.ff_precision, 1e-9)
    flicker = max(0, r.switches - 1.12) + max(0, 0.92 - r.switches)
    accuracy = r.accuracy + r.f1 + r.group_accuracy + r.group_f1
    return accuracy + 0.5 * closures + 0.25 * lips + 0.25 * r.silence_recall - flicker


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--state", type=Path, default=corpus.CACHE.parent / "model.pt")
    options = options.parse_args()
    torch.set_num_threads(1)
    model, state = network.trained(options.state, features.shape())
    found = [s for s in map(sets.read, sets.installed()) if s.about.split == "dev" and "human-" in s.about.name]
    said = [(2 if s.about.language == "en" else 1, words(model, state["prior"], s)) for s in found]

    def total(prior, bias):
        return sum(
            weight * worth(metrics.score(decided(some, state["counted"], prior, bias), "visemes", 0))
            for weight, some in said
        )

    prior, bias = decode.PRIOR, np.zeros(15)
    best = total(prior, bias)
    print(f"no bias: {best:.4f}")
    for step in STEPS:
        for i in range(15):
            for sign in (step, -step):
                moved = False
                while True:
                    tried = bias.copy()
                    tried[i] += sign
                    now = total(prior, tried)
                    if now < best + LEAST:
                        break
                    best, bias, moved = now, tried, True
                if moved:
                    break
        print(f"steps of {step}: {best:.4f}  {bias.tolist()}", flush=True)
    for tried in (0.2, 0.3, 0.4, 0.5):
        print(f"PRIOR {tried}: {total(tried, bias):.4f}")


if __name__ == "__main__":
    main()
