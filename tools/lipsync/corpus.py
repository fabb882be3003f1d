"""What the model hears: voices spoken once and kept, then streams of them in changed surroundings, as features.

The cache is $XDG_CACHE_HOME/lipwire/lipsync/voices (default ~/.cache), about 1 GB; nothing of it is shipped.
"""

import multiprocessing
import pickle

import align
import augment
import features
import numpy as np
import torch
import voices

from lipwire_lipsync import labels

CACHE = features.FOLDER / "voices"
RATE = voices.RATE
ESPEAK = 6000  # utterances
NATURAL = 480  # of each flite and festival voice

# Seconds by which a voice's labels are moved so that in all of them the sound changes 10 ms after the label does
# (measured at the onsets of sibilants, by the energy above 3.5 kHz).
MOVED = {"espeak": -0.010, "festival:cmu_us_slt_arctic_hts": 0.005, "festival:ked_diphone": 0.003,
         "festival:upc_ca_ona_hts": -0.005, "flite:awb": -0.005}  # fmt: skip
AGAIN = {"espeak": 2, "recorded": 1}  # how often a source is heard, each time elsewhere; the others NATURAL_AGAIN times
NATURAL_AGAIN = 4
TOGETHER = {"recorded": 1}  # utterances of one stream, else 2


def _espeak_job(seed):
    return [voices.espeak_utterance(seed)]


def _natural_job(job):
    return voices.natural_utterances(*job)


def sources():
    """Names of the sources that this machine can make."""
    return ["espeak", *voices.natural_voices(), *(["recorded"] if voices.RECORDINGS.exists() else [])]


def _kept(name, make):
    path = CACHE / f"{name}.pkl"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(pickle.dumps(make()))
        part.replace(path)
    return pickle.loads(path.read_bytes())


def spoken(name, progress, quick=False):
    """A source's utterances: [(pcm, phones, phone set)], from the cache or made now."""
    count = (ESPEAK if name == "espeak" else NATURAL) // (12 if quick else 1)

    def make():
        if name == "recorded":
            return voices.recorded_utterances()
        step = 16
        if name == "espeak":
            jobs, job = range(count), _espeak_job
        else:
            jobs, job = [(name, step, at) for at in range(0, count, step)], _natural_job
        with multiprocessing.Pool() as pool:
            return [u for part in progress(pool.imap(job, jobs), f"speak: {name}", len(jobs)) for u in part]

    return _kept(f"{name.replace(':', '-')}{'' if name == 'recorded' else f'-{count}'}", make)


def mended(utterances, train_aligner, prior, progress, quick=False):
    """The recordings with the times that an aligner hears (align.py); train_aligner() -> log_likely(features)."""

    def make():
        log_likely, out = train_aligner(), []
        for utterance in progress(utterances, "align the recordings", len(utterances)):
            feature = features.front().features(utterance[0], prior)[0]
            out.append(align.realign(utterance, log_likely(feature)))
        return [u for u in out if u]

    return _kept(f"recorded-mended{'-quick' * quick}", make)


VOWELS = {"aa", "aa.ae", "E", "E.ax", "I", "O", "U"}
HELD = 0.12  # of the second round's utterances have a vowel that is held


def _held(x, phones, phone_set, rng):
    """One long vowel of the utterance goes on for 0.2 to 2.5 s."""
    long = []
    for i, (start, end, phone) in enumerate(phones):
        classes = labels.classes_of(phone_set, phone) if phone != align.UNLABELLED else None
        if classes and len(classes) == 1 and classes[0][0] in VOWELS and end - start >= 0.07:
            long.append(i)
    if not long:
        return x, phones
    at = int(rng.choice(long))
    start, end, phone = phones[at]
    longer = augment.hold(x, int(start * RATE), int(end * RATE), rng.uniform(0.2, 2.5), rng)
    more = (len(longer) - len(x)) / RATE
    after = [(a + more, b + more, p) for a, b, p in phones[at + 1 :]]
    return longer, [*phones[:at], (start, end + more, phone), *after]


# ---- streams ------------------------------------------------------------------------------------------------------


def stream(parts, seed, moved, held, crowd):
    """Utterances of one voice with pauses between -> (pcm, class per row or -1, warp of the frequency axis). `held` is
    the share of those with a held vowel."""
    rng = np.random.default_rng(seed)
    sound, marks, at = [], [], 0
    percent = int(rng.integers(86, 119)) if rng.random() < 0.8 else 100
    warp = float(np.exp(rng.uniform(-0.13, 0.13))) if rng.random() < 0.75 else 1.0
    for i, (pcm, phones, phone_set) in enumerate(parts):
        x = np.asarray(pcm, np.float32)
        if held and rng.random() < held:
            x, phones = _held(x, phones, phone_set, rng)
        if percent != 100:
            x = augment.change_speed(x, percent)
        if rng.random() < 0.7:
            x = augment.change_effort(x, rng)
        gap = np.zeros(int((rng.uniform(0, 0.5) if i == 0 else rng.uniform(0.1, 1.0)) * RATE))
        if rng.random() < 0.2:  # something that is not speech
            gap = np.zeros(int(rng.uniform(0.4, 2.2) * RATE))
            count = int(rng.uniform(0.3, 0.95) * len(gap))
            start = int(rng.integers(0, len(gap) - count + 1))
            level = np.sqrt((x**2).mean()) * 10 ** (-rng.uniform(3, 35) / 20)
            noise = augment.event(count, rng)
            edge = min(320, count // 2)
            noise[:edge] *= np.linspace(0, 1, edge)
            noise[-edge:] *= np.linspace(1, 0, edge)
            gap[start : start + count] = noise * level
        begin = (at + len(gap)) / RATE + moved
        marks.append(([(a * percent / 100 + begin, b * percent / 100 + begin, p) for a, b, p in phones], phone_set))
        sound += [gap, x]
        at += len(gap) + len(x)
    sound.append(np.zeros(int(rng.uniform(0.1, 0.6) * RATE)))
    pcm = augment.channel(np.concatenate(sound), rng, crowd)
    rows = len(pcm) // 160
    target = np.zeros(rows, np.int64)
    for phones, phone_set in marks:
        part = labels.frames([p for p in phones if p[2] != align.UNLABELLED], phone_set, rows)
        for start, end, name in phones:
            if name == align.UNLABELLED:
                part[round(start * 100) : round(end * 100)] = -1
        target = np.where(part, part, target)
    return pcm, target, warp


_shared = {}


def _start(crowd, prior):
    torch.set_num_threads(1)
    _shared.update(crowd=crowd, prior=prior)


def _feature_job(job):
    parts, seed, moved, held = job
    pcm, target, warp = stream(parts, seed, moved, held, _shared["crowd"])
    feature, mel, gate = features.front().features(pcm, _shared["prior"], warp)
    n = min(len(feature), len(target))
    return feature[:n], target[:n].astype(np.int8), mel[:n][gate[:n] > 0].sum(0), int((gate[:n] > 0).sum())


def jobs(name, utterances, quick=False, second=False):
    """Which utterances make a stream, and its seed. The second round has other streams, some with held vowels."""
    rng = np.random.default_rng(sum(map(ord, name)) + 10000 * second)
    together = TOGETHER.get(name, 2)
    out = []
    for again in range(1 if quick else AGAIN.get(name, NATURAL_AGAIN)):
        order = rng.permutation(len(utterances))
        for at in range(0, len(order), together):
            seed = [again + 100 * second, at, *name.encode()]
            held = HELD * second
            out.append(([utterances[i] for i in order[at : at + together]], seed, MOVED.get(name, 0.0), held))
    return out


def heard(work, crowd, prior, progress, what):
    """-> [(features (n, F) int16, class per row)], mean log-mel of speech."""
    out, total, count = [], 0.0, 0
    with multiprocessing.Pool(None, _start, (crowd, prior)) as pool:
        for feature, target, mel, frames in progress(pool.imap(_feature_job, work, 8), what, len(work)):
            out.append((feature, target))
            total, count = total + mel, count + frames
    return out, (total / count).astype(np.float32)
