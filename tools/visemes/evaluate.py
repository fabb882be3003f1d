"""Score the compiled extractor on sentences it was not trained on.

Sets: espeak-ng voices and sentences both unseen; each natural voice with unseen sentences; the same at +-12 dB and at
15 dB SNR. Figures: frame accuracy and macro-F1 of 15 visemes and of 7 mouth groups, silence recall, false silence, PP
events (a reference run of 30 ms or more is recalled if predicted within its bounds +-20 ms; a predicted run is precise
if the reference has one within +-30 ms), predicted switches over true ones.
"""

import corpus
import frontend
import labels
import numpy as np
import voices


def runs(y):
    """[(start, end, value)]"""
    cut = np.flatnonzero(np.diff(y)) + 1
    return [(a, b, y[a]) for a, b in zip(np.r_[0, cut], np.r_[cut, len(y)], strict=False)]


class Score:
    def __init__(self):
        self.confusion = np.zeros((15, 15), np.int64)
        self.closures = np.zeros(4, np.int64)
        self.switches = np.zeros(2, np.int64)

    def add(self, truth, guess):
        n = min(len(truth), len(guess))
        truth, guess = truth[:n], guess[:n]
        np.add.at(self.confusion, (truth, guess), 1)
        self.switches += len(runs(guess)) - 1, len(runs(truth)) - 1
        for a, b, v in runs(truth):
            if v == 1 and b - a >= 3:
                self.closures[:2] += (guess[max(0, a - 2) : b + 2] == 1).any(), 1
        for a, b, v in runs(guess):
            if v == 1:
                self.closures[2:] += (truth[max(0, a - 3) : b + 3] == 1).any(), 1

    def line(self, name):
        c, group = self.confusion, labels.GROUP_OF
        g = np.zeros((7, 7), np.int64)
        np.add.at(g, (group[:, None].repeat(15, 1), group[None].repeat(15, 0)), c)
        f1 = [(2 * np.diag(m) / np.maximum(1, m.sum(0) + m.sum(1)))[m.sum(1) > 0].mean() for m in (c, g)]
        hit, due, right, said = self.closures
        values = [
            np.trace(c) / c.sum(), f1[0], np.trace(g) / g.sum(), f1[1], c[0, 0] / max(1, c[0].sum()),
            c[1:, 0].sum() / max(1, c[1:].sum()), hit / max(1, due), right / max(1, said),
        ]  # fmt: skip
        switches = self.switches[0] / self.switches[1]
        return f"{name:<28}" + " ".join(f"{100 * v:6.1f}" for v in values) + f" {switches:6.2f}"


COLUMNS = ["acc15", "F1-15", "acc7", "F1-7", "sil", "fsil", "PPrec", "PPprec", "switch"]
HEADER = f"{'set':<28}" + " ".join(f"{h:>6}" for h in COLUMNS)


def held_out():
    """{set: [(pcm, viseme per row)]}"""
    sets = {}
    spoken = {"espeak unseen": corpus.utterances("espeak", 150, True)}
    for name in voices.natural_voices():
        spoken[name] = corpus.utterances(name, 30, True)
    for name, parts in spoken.items():
        made = [corpus.stream(parts[i : i + 2], 77 + i, changed=False) for i in range(0, len(parts), 2)]
        sets[name] = [(pcm, labels.TO_VISEME[y]) for pcm, y in made]
    return sets


def changed(items, gain_db=0.0, snr_db=None):
    out = []
    for i, (pcm, y) in enumerate(items):
        x = pcm * 10 ** (gain_db / 20)
        if snr_db is not None:
            noise = np.random.default_rng(i).standard_normal(len(x))
            x = x + noise * np.sqrt((x**2).mean()) * 10 ** (-snr_db / 20)
        out.append((voices.to_pcm(x), y))
    return out


def main():
    front = frontend.Frontend()
    sets = held_out()
    natural = [item for name, items in sets.items() if name.startswith(("flite", "festival")) for item in items]
    if natural:
        sets["all natural"] = natural
    everything = natural + sets["espeak unseen"]
    for name, items in (
        ("all -12 dB", changed(everything, -12)), ("all +12 dB", changed(everything, 12)),
        ("all, 15 dB SNR", changed(everything, 0, 15)),
    ):  # fmt: skip
        sets[name] = items
    print(HEADER)
    for name, items in sets.items():
        score = Score()
        for pcm, y in items:
            score.add(y, front.rows(pcm)[:, :15].argmax(1))
        print(score.line(name))


if __name__ == "__main__":
    main()
