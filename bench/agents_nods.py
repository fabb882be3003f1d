"""Small nods on what an agent stresses: how many sentences have one, where it lies, and what it costs.

The sentences are 60 of Asterisk's English prompts (Debian's asterisk-core-sounds-en-g722, with the texts), as recorded
and said by voices of this machine; each is a reply that comes at once, or 3 s before it is heard. A nod lies right
whose lowest point is within 60 ms of the greatest power (of 20 ms, of the whole band) within 80 ms of it.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np

from harness import ROOT, Results, main, one_core
from lipwire import G722Decoder
from lipwire.agents.brains.base import ReplyText
from lipwire.agents.feelings import BEAT_MS, Acting
from lipwire.agents.replies import Reply
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import parse
from lipwire.models.voices.speaker import Speaker

sys.path.insert(0, str(ROOT / "tools" / "lipsync"))
import human

VOICES = ("hibari:heart", "hibari:heart+man", "espeak:en-us+f3")
CHUNK_MS = 20
Clip = tuple[str, bytes, int]
"""Text, PCM16, Hz."""


def run(results: Results, quick: bool) -> None:
    one_core()
    if not Path(human.TEXTS.format("en")).exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    found = human.prompts(human.SOURCES["en"])
    names = sorted(name for name, text in found.items() if len(text.split()) >= 5)
    random.Random(4).shuffle(names)
    names = names[: 5 if quick else 60]
    clips = [(found[name], _recorded(name), 16_000) for name in names]
    nods(results, "people", clips)
    speaker = Speaker()
    for voice in VOICES:
        known = parse(voice)
        assert known is not None
        if why := missing(known):
            results.skip(voice, why)
            continue
        spoken = [(found[name], list(speaker.speak(known, found[name]))) for name in names]
        nods(results, voice, [(text, b"".join(bytes(one.pcm) for one in s), s[0].rate) for text, s in spoken])


def _recorded(name: str) -> bytes:
    folder = human.SOUNDS / human.SOURCES["en"].folder
    return bytes(G722Decoder().decode((folder / f"{name}.g722").read_bytes()))


def nods(results: Results, who: str, clips: list[Clip]) -> None:
    for how, ahead_ms in (("at once", 1e9), ("3 s before", 3000.0)):
        off: list[float] = []
        nodded, cpu, seconds = 0, 0.0, 0.0
        for text, pcm, rate in clips:
            beats, took = said(_one_sentence(text), pcm, rate, ahead_ms)
            nodded, cpu, seconds = nodded + bool(beats), cpu + took, seconds + len(pcm) / 2 / rate
            off += [abs(at - loudest(pcm, rate, at)) for at in beats]
        right = 100 * float(np.mean([ms <= 60 for ms in off])) if off else 0.0
        results.add(f"sentences with a nod: {who}, {how}", 100 * nodded / len(clips), "%", n=len(clips))
        results.add(f"nods within 60 ms: {who}, {how}", right, "%", n=len(off), goal=">= 95")
        results.add(f"CPU for a second of speech: {who}, {how}", 1000 * cpu / seconds, "ms", n=len(clips), goal="<= 1")


def _one_sentence(text: str) -> str:
    return "".join(" " if letter in ".!?" else letter for letter in text) + "."


def said(text: str, pcm: bytes, rate: int, ahead_ms: float) -> tuple[list[float], float]:
    """The positions in ms at which the head is lowest, and the seconds of CPU."""
    reply, acting = Reply("speech"), Acting()
    whole_ms = len(pcm) / 2 / rate * 1000
    reply.add(ReplyText("r", text, 0, round(whole_ms)))
    given, beats, cpu, size = 0, [], 0.0, rate * CHUNK_MS // 1000 * 2
    for ms in range(0, int(whole_ms), 10):
        began = time.thread_time()
        while given < len(pcm) and given / 2 / rate * 1000 < ms + ahead_ms:
            chunk = pcm[given : given + size]
            reply.syllables.add(chunk, rate)
            reply.received_ms += len(chunk) / 2 / rate * 1000
            given += len(chunk)
        if given == len(pcm) and not reply.complete:
            reply.close(text)
        shown = acting.look(reply, float(ms), ms * 48, "en")
        cpu += time.thread_time() - began
        beats += [ms + BEAT_MS for feeling in shown if feeling.gesture == "beat"]
    return beats, cpu


def loudest(pcm: bytes, rate: int, about_ms: float) -> float:
    """Where within 80 ms the power of 20 ms is greatest."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    power = np.convolve(samples**2, np.ones(rate // 50), "same")
    first, last = (max(0, int((about_ms + by) * rate / 1000)) for by in (-80, 80))
    return float(first + power[first:last].argmax()) * 1000 / rate


if __name__ == "__main__":
    main(run, __doc__)
