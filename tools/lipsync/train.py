"""Builds what the viseme model learns from, trains it, and writes csrc/viseme_model.c: one command.

    python tools/lipsync/train.py            # about an hour on two cores, from nothing
    python tools/lipsync/train.py --quick --out /tmp/m.c     # a few minutes: for trying things

Needs a C compiler, `pip install torch numpy scipy rich`, this package with the extra `demo`, and as many of the voices
of README.md as there are (Debian packages); the shipped table is made with all of them. Everything that takes long is
kept in the cache. The log of the shipped model is train.log beside this file.

Change the model's shape in csrc/viseme_model.h; everything here follows it.
"""

import argparse
import contextlib
import time
from pathlib import Path

import corpus
import decode
import features
import network
import numpy as np
import table
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipwire_lipsync import labels

EPOCHS, RATE = 10, 3e-3
SECOND_EPOCHS, SECOND_RATE = 4, 1e-3
ALIGNER_EPOCHS = 3
SEED = 0


class Run:
    """What a long run says: progress bars, lines with the time, and training under a bar."""

    def __init__(self, bars, seed):
        self.bars, self.seed, self.begun = bars, seed, time.time()

    def progress(self, items, what, count):
        bar = self.bars.add_task(what, total=count, note="")
        for item in items:
            yield item
            self.bars.advance(bar)

    def say(self, text):
        self.bars.console.print(f"{time.time() - self.begun:6.0f} s  {text}")

    def learn(self, what, model, parts, epochs, rate=RATE):
        x, y = network.segments(parts, model.past, model.ahead, np.random.default_rng(self.seed))
        bar = self.bars.add_task(what, total=None, note="")

        def advance(done, total, loss):
            self.bars.update(bar, completed=done, total=total, note=f"loss {loss:.3f}")
            if done % (total // epochs) == 0:
                self.say(f"{what}: epoch {done // (total // epochs)} of {epochs}, loss {loss:.4f}")

        network.fit(model, x, y, epochs, rate, advance)


@contextlib.contextmanager
def running(seed):
    torch.manual_seed(seed)
    columns = TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, TextColumn("{task.fields[note]}")) as bars:
        yield Run(bars, seed)


def gather(run, quick, second=False):
    """All there is to learn from in one round: [(features, class per row)], mean log-mel of speech."""
    names = corpus.sources()
    run.say(f"sources: {', '.join(names)}")
    voices = {name: corpus.spoken(name, run.progress, quick) for name in names}
    crowd = [pcm for pcm, _, _ in voices["espeak"][5::60]]
    zero = np.zeros(features.shape()["MEL"], np.float32)
    features.front()  # build it once, before there are many processes
    work = {name: corpus.jobs(name, spoken, quick) for name, spoken in voices.items() if name != "recorded"}
    some = [job for jobs in work.values() for job in jobs[: 8 if quick else 60]]
    _, prior = corpus.heard(some, crowd, zero, run.progress, "mean of speech")

    if "recorded" in voices:

        def hear():
            first = [job for jobs in work.values() for job in jobs[: len(jobs) // corpus.NATURAL_AGAIN]]
            parts, _ = corpus.heard(first, crowd, prior, run.progress, "features for the aligner")
            aligner = network.Aligner(features.shape())
            run.learn("aligner", aligner, parts, 1 if quick else ALIGNER_EPOCHS)
            return lambda feature: network.log_likely(aligner, feature)[-1]

        mended = corpus.mended(voices["recorded"], hear, prior, run.progress, quick)
        run.say(f"aligned {len(mended)} of {len(voices['recorded'])} recordings")
        voices["recorded"] = mended[:: 12 if quick else 1]

    all_work = [job for name, spoken in voices.items() for job in corpus.jobs(name, spoken, quick, second)]
    parts, _ = corpus.heard(all_work, crowd, prior, run.progress, "features")
    run.say(f"{sum(len(y) for _, y in parts) / 6000:.0f} minutes in {len(parts)} streams")
    return parts, prior


def counted(parts):
    """What the decoder needs to know of the labels (decode.count)."""
    unsure = labels.CLASSES.index("DD.t")
    return decode.count([labels.TO_VISEME[np.where(y < 0, unsure, y)] for _, y in parts])


def write(options):
    state = torch.load(options.state, weights_only=False)
    table.write(options.out, state["weights"], features.shape(), state["prior"], *state["counted"])


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="a twelfth of the voices, once each, few epochs")
    options.add_argument("--second", action="store_true", help="only the second round; the first is in the cache")
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--out", type=Path, default=features.ROOT / "csrc/viseme_model.c", help="the table")
    options.add_argument(
        "--state", type=Path, default=corpus.CACHE.parent / "model.pt", help="what the table is made of"
    )
    options.add_argument("--rewrite", action="store_true", help="only write the table again, from the state")
    options = options.parse_args()
    if options.rewrite:
        write(options)
        return
    first = options.state.with_name(f"{options.state.stem}-first.pt")
    with running(options.seed) as run:
        model = network.Network(features.shape())
        if not options.second:
            parts, prior = gather(run, options.quick)
            run.learn("network", model, parts, 2 if options.quick else EPOCHS)
            torch.save({"weights": model.state_dict(), "prior": prior, "counted": counted(parts)}, first)
            del parts
        state = torch.load(first, weights_only=False)
        model.load_state_dict(state["weights"])
        # Held vowels come second: from the start they cost a point of accuracy.
        parts, _ = gather(run, options.quick, second=True)
        run.learn("network, second round", model, parts, 1 if options.quick else SECOND_EPOCHS, SECOND_RATE)
        torch.save(state | {"weights": model.state_dict()}, options.state)
        write(options)
        run.say(f"wrote {options.out}; now rebuild, and `lipwire bench lipsync`")


if __name__ == "__main__":
    main()
