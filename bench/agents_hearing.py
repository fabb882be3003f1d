"""Word errors of the offline recognizer on people's speech, beside pocketsphinx as it comes.

The speech is Asterisk's English prompts (Debian's asterisk-core-sounds-en-g722, with the texts), each after 0.8 s of
silence, as the first that a recognizer hears and as one of many, at the level of the recording and 12 dB softer.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, Results, main, one_core
from lipwire import G722Decoder
from lipwire.agents.speech.sphinx.wire import Answer, Begin, Command, Finish, Heard, Sound
from lipwire.agents.speech.sphinx.worker import serve_words

sys.path.insert(0, str(ROOT / "tools" / "lipsync"))
import human

RATE = 16_000
LEVELS = {"as recorded": 1.0, "12 dB softer": 0.25}
Clip = tuple[list[str], bytes]


def run(results: Results, quick: bool) -> None:
    one_core()
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError:
        return results.skip("all", "pip install 'lipwire[agents]'")
    source = human.SOURCES["en"]
    if not Path(human.TEXTS.format("en")).exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    found = human.prompts(source)
    names = sorted(name for name, text in found.items() if sentence(text))
    random.Random(4).shuffle(names)
    clips = [(sentence(found[name]), sound(source, name)) for name in names[: 2 if quick else 50]]

    def fresh(pcm: bytes) -> str:
        return one(Decoder(samprate=RATE, loglevel="FATAL"), pcm)

    for level, gain in LEVELS.items():
        loud = [
            (words, np.rint(np.frombuffer(pcm, np.int16) * gain).astype(np.int16).tobytes()) for words, pcm in clips
        ]
        kept = Decoder(samprate=RATE, loglevel="FATAL")
        ours = iter(served([pcm for _, pcm in loud]))
        rows: dict[str, Callable[[bytes], str]] = {
            "Lipwire, first and later alike": lambda pcm: next(ours),  # noqa: B023
            "pocketsphinx, the first": fresh,
            "pocketsphinx, later ones": lambda pcm: one(kept, pcm),  # noqa: B023
        }
        for name, hear in rows.items():
            wrong = sum(errors(words, hear(pcm).split()) for words, pcm in loud)
            total = sum(len(words) for words, _ in loud)
            results.add(f"word errors, {level}: {name}", 100 * wrong / total, "%", n=total)


def sentence(text: str) -> list[str]:
    """Its words; none where it is no sentence of words alone."""
    words = re.findall(r"[a-z']+", text.lower())
    return words if 4 <= len(words) <= 14 and not re.search(r"[\d\[<(]|\.\.\.", text) else []


def sound(source: human.Source, name: str) -> bytes:
    pcm = G722Decoder().decode((human.SOUNDS / source.folder / f"{name}.g722").read_bytes())
    return bytes(int(0.8 * RATE) * 2) + bytes(pcm) + bytes(RATE)


def one(decoder: Any, pcm: bytes) -> str:
    decoder.start_utt()
    for at in range(0, len(pcm), 320):
        decoder.process_raw(pcm[at : at + 320], False, False)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


def served(utterances: list[bytes]) -> list[str]:
    """What the recognizer's process makes of them, one after the other."""
    answers: list[Answer] = []
    serve_words((command for pcm in utterances for command in told(pcm)), answers.append)
    return [answer.text for answer in answers if isinstance(answer, Heard)]


def told(pcm: bytes) -> Iterator[Command]:
    yield Begin(1)
    for at in range(0, len(pcm), 320):
        yield Sound(pcm[at : at + 320])
    yield Finish()


def errors(right: list[str], heard: list[str]) -> int:
    """Words that were inserted, left out or taken for others (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(right, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    return row[-1]


if __name__ == "__main__":
    main(run, __doc__)
