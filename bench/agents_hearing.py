"""What agents hear on this machine: words wrong of people's speech, the time that it takes, and words in noise alone.

The speech is 50 of Asterisk's English prompts (Debian's asterisk-core-sounds-en-g722, with the texts), each between
0.3 s and 0.2 s of silence: as recorded, 12 dB softer, and in pink noise 10 dB under it. Whisper as agents use it, with
the times of words, beside pocketsphinx. Tiny.en is told of names that nobody says, too; in sentences of hibari's and
espeak-ng's that have these names it is told of them, and not. Before they are compared, texts lose case, marks and
hyphens; numbers are written out; "okay" is "ok"; a compound is right however it is parted ("mail box", "mailbox"); "#"
is read out "pound".
"""

from __future__ import annotations

import itertools
import random
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import ROOT, Results, main, one_core
from lipwire import G722Decoder, resample
from lipwire.agents.speech.sphinx.worker import MEAN
from lipwire.errors import LipwireError, ModelFailed
from lipwire.models.ears.whisper import Whisper
from lipwire.models.find import find
from lipwire.models.voices.names import Name
from lipwire.models.voices.speaker import speak

sys.path.insert(0, str(ROOT / "tools" / "lipsync"))
import human

RATE = 16_000
NAMES = {
    "I want to buy a Lipwire licence.": ("Lipwire",),
    "Can you connect me with Agora support?": ("Agora",),
    "We run Kubernetes and Grafana in production.": ("Kubernetes", "Grafana"),
    "My doctor prescribed ibuprofen and metformin.": ("ibuprofen", "metformin"),
    "Call Siobhan Krzyzewski at noon.": ("Siobhan Krzyzewski",),
    "Is the Zeekr better than the Xpeng?": ("Zeekr", "Xpeng"),
    "Please open the Qlik dashboard.": ("Qlik",),
    "The Ohm avatar is a robot, Kit is a fox and Aria is a woman.": ("Ohm", "Kit", "Aria"),
    "Book a table at Nobu in Shoreditch.": ("Nobu", "Shoreditch"),
    "Does it work with Deepgram and ElevenLabs?": ("Deepgram", "ElevenLabs"),
}
"""Sentences, and the names in them."""
GOALS = {"as recorded": 6, "12 dB softer": 6, "pink noise at 10 dB": 10}
UP_TO_TWENTY = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
ONES = tuple(f"{UP_TO_TWENTY} seventeen eighteen nineteen".split())
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
Samples = NDArray[np.float64]
Hear = Callable[[bytes], str]


def run(results: Results, quick: bool) -> None:
    one_core()
    source = human.SOURCES["en"]
    if not Path(human.TEXTS.format("en")).exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    found = human.prompts(source)
    names = sorted(name for name, text in found.items() if sentence(text))
    random.Random(4).shuffle(names)
    clips = [(words_of(found[name]), sound(source, name)) for name in names[: 2 if quick else 50]]
    ears = list(recognizers(results))
    for (name, hear), (level, change) in itertools.product(ears, LEVELS.items()):
        wrong, took = 0, []
        for n, (words, samples) in enumerate(clips):
            pcm = whole(change(samples, n))
            began = time.process_time()
            text = hear(pcm)
            took.append(1000 * (time.process_time() - began))
            wrong += errors(words, words_of(text))
        total = sum(len(words) for words, _ in clips)
        goal = f"<= {GOALS[level]}" if name == "whisper-tiny.en" else None
        results.add(f"{name}: words wrong, {level}", 100 * wrong / total, "%", n=total, goal=goal)
        if name != "pocketsphinx":
            for share, most in ((50, 150), (95, 300)):
                took_p = float(np.percentile(took, share))
                goal = f"<= {most}" if name == "whisper-tiny.en" else None
                results.add(f"{name}: end of speech -> text, {level}, p{share}", took_p, "ms", n=len(took), goal=goal)
    told_of_names(results, quick)
    alone = [whole(samples) for seed in range(1 if quick else 6) for samples in noises(seed)]
    for name, hear in ears:
        heard = sum(bool(hear(pcm)) for pcm in alone)
        results.add(f"{name}: noises in which words are heard", heard, "", n=len(alone))


def told(whisper: Whisper, pcm: bytes) -> str:
    expected = [name for names in NAMES.values() for name in names]
    return whisper.transcribe(pcm, "en-US", words=True, partial=False, expected=expected).text


def told_of_names(results: Results, quick: bool) -> None:
    """Names that are right, as they are written, in sentences of voices of this machine."""
    try:
        whisper = Whisper(find("whisper-tiny.en"))
    except ModelFailed as exc:
        return results.skip("names", str(exc))
    for voice in (Name("hibari", "heart"), Name("espeak", "en-us")):
        found, alone, count = 0, 0, 0
        for text, names in list(NAMES.items())[: 2 if quick else None]:
            try:
                said = b"".join(resample(piece.pcm, piece.rate, RATE) for piece in speak(voice, text))
            except LipwireError as exc:
                results.skip(f"names, {voice.engine}", str(exc))
                break
            pcm = bytes(9600) + said + bytes(9600)
            count += len(names)
            found += sum(name in told(whisper, pcm) for name in names)
            heard = whisper.transcribe(pcm, "en-US", words=True, partial=False).text
            alone += sum(name in heard for name in names)
        results.add(f"whisper-tiny.en: names of {voice.engine} right, told of them", found, "", n=count)
        results.add(f"whisper-tiny.en: names of {voice.engine} right", alone, "", n=count)
    return None


def recognizers(results: Results) -> list[tuple[str, Hear]]:
    made: list[tuple[str, Hear]] = []
    for name in ("whisper-tiny.en", "whisper-base"):
        try:
            whisper = Whisper(find(name))
        except ModelFailed as exc:
            results.skip(name, str(exc))
            continue
        made.append((name, lambda pcm, w=whisper: w.transcribe(pcm, "en-US", words=True, partial=False).text))  # type: ignore[misc]
        if name == "whisper-tiny.en":
            made.append((f"{name}, told of names", partial(told, whisper)))
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError:
        results.skip("pocketsphinx", "pip install 'lipwire[agents]'")
    else:
        decoder = Decoder(samprate=RATE, loglevel="FATAL")
        made.append(("pocketsphinx", lambda pcm: sphinx(decoder, pcm)))
    return made


def sphinx(decoder: Any, pcm: bytes) -> str:
    """As agents use it."""
    decoder.set_cmn(MEAN)
    decoder.start_utt()
    for at in range(0, len(pcm), 320):
        decoder.process_raw(pcm[at : at + 320], False, False)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


# ---------------------------------------------------------------------------------------------------------------- sound


def sound(source: human.Source, name: str) -> Samples:
    pcm = G722Decoder().decode((human.SOUNDS / source.folder / f"{name}.g722").read_bytes())
    samples = np.frombuffer(bytes(pcm), np.int16).astype(float) / 32768
    return np.concatenate([np.zeros(int(0.3 * RATE)), samples, np.zeros(int(0.2 * RATE))])


def pink(n: int, seed: int) -> Samples:
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=n))
    made = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n)
    return made / made.std()


def in_pink(samples: Samples, seed: int) -> Samples:
    spoken = samples[int(0.3 * RATE) : -int(0.2 * RATE)]
    return samples + pink(len(samples), seed) * np.sqrt(np.mean(spoken**2)) / 10**0.5


LEVELS: dict[str, Callable[[Samples, int], Samples]] = {
    "as recorded": lambda samples, n: samples,
    "12 dB softer": lambda samples, n: samples * 0.25,
    "pink noise at 10 dB": in_pink,
}


def whole(samples: Samples) -> bytes:
    return np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()


def noises(seed: int) -> list[Samples]:
    """2 s each, made up: silence, white, pink, hum, typing, coughs, a chord, knocks."""
    random, n = np.random.default_rng(100 + seed), 2 * RATE
    t = np.arange(n) / RATE
    faint = random.normal(0, 1e-3, n)
    typing, coughs = faint.copy(), faint.copy()
    for at in np.cumsum(random.uniform(0.08, 0.35, 5)):
        key = int(at * RATE)
        typing[key : key + 480] += random.normal(0, 0.2, 480) * np.exp(-np.arange(480) / 80)
    for at in random.uniform(0.1, 1.6, 2):
        begin = int(at * RATE)
        burst = np.convolve(random.normal(0, 0.4, 4000), np.ones(6) / 6, "same")
        coughs[begin : begin + 4000] += burst * np.exp(-np.arange(4000) / 1200)
    return [
        np.zeros(n),
        random.normal(0, 0.02, n),
        pink(n, seed) * 0.1,
        np.sum([np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)], axis=0) * 0.05,
        typing,
        coughs,
        np.sum([np.sin(2 * np.pi * hz * t) for hz in (262, 330, 392)], axis=0) * 0.05,
        np.exp(-(np.arange(n) % 8000) / 80) * random.choice((-0.5, 0.5), n),
    ]


# ---------------------------------------------------------------------------------------------------------------- texts


def sentence(text: str) -> bool:
    """Whether it is a sentence of words alone."""
    return 4 <= len(re.findall(r"[a-z']+", text.lower())) <= 14 and not re.search(r"[\d\[<(]|\.\.\.", text)


def words_of(text: str) -> list[str]:
    """As this benchmark compares them."""
    text = text.lower().replace("’", "'").replace("#", "pound").replace("okay", "ok")
    text = re.sub(r"\d+", lambda match: number(match[0]), text)
    return [stripped for word in re.sub(r"[^a-z' ]", " ", text).split() if (stripped := word.strip("'"))]


def number(digits: str) -> str:
    """Written out; of three digits and more, each."""
    if len(digits) > 2:
        return " ".join(ONES[int(one)] for one in digits)
    value = int(digits)
    if value < 20:
        return ONES[value]
    return TENS[value // 10] + (f" {ONES[value % 10]}" if value % 10 else "")


def errors(right: list[str], heard: list[str]) -> int:
    """Words that were inserted, left out or taken for others (Levenshtein), where two words that make one are that."""
    rows = [list(range(len(heard) + 1))]
    for i, word in enumerate(right, 1):
        row = [i]
        for j, other in enumerate(heard, 1):
            best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (word != other))
            if i > 1 and right[i - 2] + word == other:
                best = min(best, rows[i - 2][j - 1])
            if j > 1 and heard[j - 2] + other == word:
                best = min(best, rows[i - 1][j - 2])
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


if __name__ == "__main__":
    main(run, __doc__)
