"""How well an independent recognizer understands the voices of this machine, what they cost, how right the lips are.

The texts are those of Asterisk's English prompts (Debian's asterisk-core-sounds-en), as in agents_hearing. whisper base
listens, through ctranslate2. A sentence's first sample is its last one, too: it is made whole. Then the lip-sync
benchmark's scores of hibari's speech; when each of its phones is said comes from the model itself.

    pip install ./lipsync && lipwire models get whisper-base
"""

from __future__ import annotations

import gzip
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import Results, main, one_core
from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.find import find
from lipwire.models.voices.base import BETWEEN
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.hibari import Hibari, split
from lipwire.models.voices.level import trimmed
from lipwire.models.voices.names import parse
from lipwire.models.voices.speaker import Speaker

TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
VOICES = (
    "hibari:heart",
    "hibari:heart+child",
    "hibari:heart+man",
    "hibari:heart+robot",
    "espeak:en-us",
    "espeak:en-us+f3",
)
LIPS = ("hibari:heart", "hibari:heart+child", "hibari:heart+robot")
RATE = 16_000
_IPA = {"A": "eɪ", "I": "aɪ", "W": "aʊ", "Y": "ɔɪ", "O": "oʊ", "Q": "əʊ", "T": "ɾ", "ᵊ": "ə", "ʤ": "dʒ", "ʧ": "tʃ"}
"""misaki's signs for what the labels write in several."""


def run(results: Results, quick: bool) -> None:
    one_core()
    if not TEXTS.exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en")
    if why := missing(parse(VOICES[0])):  # type: ignore[arg-type]
        return results.skip("all", why)
    texts = prompts()[: 3 if quick else 50]
    cost(results, texts)
    understood(results, texts)
    mouth(results, texts)


def prompts() -> list[str]:
    """Sentences of words alone, in an order of chance that is always the same."""
    found = {}
    with gzip.open(TEXTS, "rt") as file:
        lines = file.readlines()
    for line in lines:
        name, _, text = line.partition(":")
        if 4 <= len(words(text)) <= 14 and not re.search(r"[\d\[<(#]|\.\.\.", text):
            found[name] = text.strip()
    names = sorted(found)
    random.Random(4).shuffle(names)
    return [found[name] for name in names]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+|\d+", text.lower().replace("’", "'").replace("-", " "))


def cost(results: Results, texts: list[str]) -> None:
    """CPU until a sentence's first sample, of sentences and of a first short clause."""
    for name in VOICES:
        speaker = Speaker()
        voice = parse(name)
        assert voice is not None
        began = time.process_time()
        list(speaker.speak(voice, "Warm."))
        results.add(f"CPU to load: {name}", time.process_time() - began, "s", n=1)
        for what, said in (("a sentence", texts), ("a short clause", ["Sure.", "Well, yes,", "Let me see."] * 5)):
            took = []
            for text in said:
                began = time.process_time()
                next(iter(speaker.speak(voice, text)))
                took.append(1000 * (time.process_time() - began))
            results.add(f"CPU to the first sample of {what}: {name}", float(np.median(took)), "ms", n=len(took))
            if what == "a short clause":
                results.add(f"the same, the longest: {name}", max(took), "ms", n=len(took))


def understood(results: Results, texts: list[str]) -> None:
    try:
        from lipwire.models.ears.whisper import Whisper

        ears = Whisper(find("whisper-base"))
    except (ModelFailed, ModuleNotFoundError) as exc:
        return results.skip("words wrong", str(exc))
    speaker = Speaker()
    for name in VOICES:
        voice = parse(name)
        assert voice is not None
        wrong = total = 0
        for text in texts:
            sounds = list(speaker.speak(voice, text))
            pcm = b"".join(bytes(resample(sound.pcm, sound.rate, RATE)) for sound in sounds)
            heard = ears.transcribe(bytes(RATE) + pcm + bytes(RATE), "en", words=False, partial=False).text
            right, got = words(text), words(heard)
            if "".join(right) != "".join(got):  # "mail box" and "mailbox" are one
                wrong += errors(right, got)
            total += len(right)
        results.add(f"words wrong: {name}", 100 * wrong / total, "%", n=total)


def errors(right: list[str], heard: list[str]) -> int:
    """Words that were inserted, left out or taken for others (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(right, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    return row[-1]


def mouth(results: Results, texts: list[str]) -> None:
    """How far the mouth is behind the sound, how right it is, and at how many closures the lips close."""
    try:
        from lipwire_lipsync import bench, sets, systems
    except ModuleNotFoundError:
        return results.skip("the mouth", "pip install ./lipsync")
    engine = Hibari()
    for name in LIPS:
        about = sets.About(name=name, phone_set="ipa", language="en", source="hibari", licence="made by you")
        spoken = [utterance(engine, name.partition(":")[2], f"{n:03}", text) for n, text in enumerate(texts[:24])]
        report, _ = bench.run([sets.LabelledSet(about, spoken)], [systems.Lipwire()])
        (line,), (system,) = report.lines, report.systems
        results.add(f"best delay of the mouth: {name}", system.delay_ms, "ms", n=len(spoken))
        figures = line.figures
        for what, share in (("right visemes", figures.accuracy), ("closed lips heard as such", figures.pp_recall)):
            results.add(f"{what}: {name}", 100 * (share or 0.0), "%", n=len(spoken))
        behind = figures.boundary_median_ms or 0.0
        results.add(f"boundaries of the mouth behind the sound's, median: {name}", behind, "ms", n=len(spoken))
        for lips in report.closures:
            called = 100 * lips.called / lips.labelled
            results.add(f"closures called: {name}, {lips.fps} fps", called, "%", n=lips.labelled)
            closed = 100 * (lips.of_called or 0.0)
            results.add(f"called closures at which the lips close: {name}, {lips.fps} fps", closed, "%", n=lips.called)


def utterance(engine: Hibari, voice: str, name: str, text: str) -> Any:
    """A sentence for the lip-sync benchmark: what is said, and which phone is when."""
    from lipwire_lipsync import labels, sets

    own, shift = split(voice)
    model = engine._model(own)
    ids, _ = model.reader.read(text, model.ids)
    samples, ends = model.sound(ids, shift)
    samples, cut = trimmed(samples, 24_000, lead=0.2, tail=BETWEEN)
    signs = {number: sign for sign, number in model.ids.items()}
    phones: list[labels.Phone] = []
    begun = 0.0
    for number, end in zip(ids, ends, strict=True):
        sign = signs.get(number, "")
        if sign not in "ˈˌː" or not sign:  # a mark's time belongs to what follows it
            if sign.isalpha() or sign in _IPA:
                phones.append((max(begun - cut, 0.0), max(end - cut, 0.0), _IPA.get(sign, sign)))
            begun = end
    pcm = np.rint(samples * 32767).astype(np.int16)
    return sets.Utterance(name, np.frombuffer(resample(pcm, 24_000, sets.RATE), np.int16), phones)


if __name__ == "__main__":
    main(run, __doc__)
