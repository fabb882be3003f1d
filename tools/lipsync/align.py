"""Forced alignment: when a known sequence of classes is spoken, given a network's word on every row.

The recordings (voices.RECORDINGS) come with phone times from their voice builder that are 30 ms off, give or take 50. A
network that looks both ways, trained on the synthetic voices, hears where the sounds change: the most likely
segmentation within 150 ms of the given one replaces it.
"""

import numpy as np

from lipwire_lipsync import labels

LEAST = 2  # rows of a segment; a pause may vanish
BAND = 15  # rows that a boundary may move by
LATE = 2  # rows by which the given times are late on average
UNSURE = {("ru", "tt"), ("ru", "dd")}  # soft t and d: the tongue of DD, the sound of CH. Nothing is learnt from them
UNLABELLED = "?"


def classes(phones, phone_set):
    """[(start, end, phone)] -> [[start, end, class index, unsure]], neighbours of one kind joined."""
    out = []
    for i, (start, end, phone) in enumerate(phones):
        parts = labels.classes_of(phone_set, phone)
        if parts is None:
            following = (labels.classes_of(phone_set, p) for _, _, p in phones[i + 1 : i + 3])
            parts = [(next((f[0][0] for f in following if f), "sil"), 1.0)]
        begin = start
        for name, share in parts:
            stop = begin + (end - start) * share
            kind = [labels.CLASSES.index(name), (phone_set, phone) in UNSURE]
            if out and out[-1][2:] == kind:
                out[-1][1] = stop
            else:
                out.append([begin, stop, *kind])
            begin = stop
    return out


def segment(log_likely, sequence, near):
    """The best boundaries: `sequence` n class indices, `near` n + 1 rows around which they may lie (the ends stay).

    Args:
        log_likely: (rows, classes), log-probabilities.
    Returns:
        (n + 1 rows, mean log-probability a row), or None where nothing fits.
    """
    rows = len(log_likely)
    total = np.concatenate([np.zeros((1, log_likely.shape[1])), np.cumsum(log_likely, 0, dtype=np.float64)])
    near = np.clip(np.asarray(near), 0, rows)
    starts, best, back = np.array([0]), np.zeros(1), []
    for i, c in enumerate(sequence):
        last = i + 1 == len(sequence)
        ends = np.array([rows]) if last else np.arange(max(0, near[i + 1] - BAND), min(rows, near[i + 1] + BAND) + 1)
        least = 0 if c == 0 else LEAST
        score = best[None] + total[ends, c][:, None] - total[starts, c][None]
        score = np.where(ends[:, None] - starts[None] >= least, score, -np.inf)
        choice = score.argmax(1)
        back.append((ends, starts[choice]))
        starts, best = ends, score.max(1)
    if not np.isfinite(best[0]):
        return None
    bounds = [rows]
    for ends, came_from in reversed(back):
        bounds.append(int(came_from[np.searchsorted(ends, bounds[-1])]))
    return np.array(bounds[::-1]), float(best[0]) / rows


def realign(utterance, log_likely):
    """(pcm, phones, phone set) with times mended, phones being class names; None where nothing fits."""
    pcm, phones, phone_set = utterance
    parts = classes(phones, phone_set)
    seconds = len(pcm) / 16000
    if parts[-1][2] == 0:
        parts[-1][1] = seconds
    elif parts[-1][1] < seconds - 0.02:
        parts.append([parts[-1][1], seconds, 0, False])
    near = [0, *(round(100 * part[1]) - LATE for part in parts[:-1]), len(log_likely)]
    found = segment(log_likely, [part[2] for part in parts], near)
    if found is None:
        return None
    bounds = found[0] / 100
    names = (UNLABELLED if unsure else labels.CLASSES[index] for _, _, index, unsure in parts)
    spoken = zip(bounds[:-1], bounds[1:], names, strict=True)
    return pcm, [(a, b, name) for a, b, name in spoken if b > a], "class"
