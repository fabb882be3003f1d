"""What hearing ahead is worth: one network with a head for each look-ahead, all over the same state, scored on the
installed development sets.

    python tools/lipsync/lookahead.py            # about 20 minutes after train.py has filled the cache

The same weights and the same work for each head, so only the delay differs. Trained for fewer epochs than the shipped
model, in float.
"""

import argparse

import decode
import features
import network
import numpy as np
import torch
import train
from rich.table import Table

from lipwire_lipsync import labels, metrics, sets

SHIFTS = (-2, 0, 2, 4, 6)  # frames; a shift of 0 hears 17.5 ms ahead: a frame, and half a window
EPOCHS = 4


def rows(model, prior, counts, pcm):
    """Visemes per row for each head."""
    feature, _, gate = features.front().features(pcm, prior)
    fold = np.eye(15)[labels.TO_VISEME]
    said = [np.exp(word) @ fold for word in network.log_likely(model, feature)]
    return [np.where(gate > 0, decode.smooth(word, *counts).argmax(1), 0) for word in said]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="a twelfth of the voices, one epoch: does it run?")
    options.add_argument("--epochs", type=int, default=EPOCHS)
    options.add_argument("--seed", type=int, default=train.SEED)
    options = options.parse_args()
    torch.set_num_threads(1)
    table = Table("set", "look-ahead, ms", "acc15", "F1-15", "acc7", "F1-7", "PP recall / precision", "switches")
    with train.running(options.seed) as run:
        parts, prior = train.gather(run, options.quick)
        model = network.Network(features.shape(), SHIFTS)
        run.learn("network", model, parts, 1 if options.quick else options.epochs)
        counts = train.counted(parts)
        for one in map(sets.read, sets.installed()):
            if one.about.split != "dev":
                continue
            pairs = [[] for _ in SHIFTS]
            for u in run.progress(one.utterances, one.about.name, len(one.utterances)):
                truth = u.visemes(one.about.phone_set)
                for into, said in zip(pairs, rows(model, prior, counts, u.pcm), strict=True):
                    n = min(len(truth), len(said))
                    into.append((truth[:n], said[:n]))
            for shift, some in zip(SHIFTS, pairs, strict=True):
                r = metrics.score(some, "visemes", 0)
                shares = (r.accuracy, r.f1, r.group_accuracy, r.group_f1, r.pp_recall, r.pp_precision)
                a, b, c, d, e, f = (f"{100 * v:.1f}" for v in shares)
                table.add_row(one.about.name, f"{17.5 + 10 * shift:g}", a, b, c, d, f"{e} / {f}", f"{r.switches:.2f}")
    run.bars.console.print(table)


if __name__ == "__main__":
    main()
