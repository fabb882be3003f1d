"""Sounds that are no turn, made on the spot, since no package holds any: keys, coughs, knocks, music, crowds, machines.

How a detector fails on them says where it is weak; how often it will fail in somebody's room they do not say. A crowd
is many of Asterisk's prompts at once, each at a pace of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipwire_lipsync.conditions import noise as coloured

RATE = 16_000
Floats = NDArray[np.floating[Any]]
Random = np.random.Generator


def put(x: Floats, seconds: float, y: Floats) -> None:
    """Adds a sound at a time, as far as it fits."""
    at = int(seconds * RATE)
    count = max(min(len(y), len(x) - at), 0)
    x[at : at + count] += y[:count]


def resonance(x: Floats, hz: float, width: float) -> Floats:
    """A formant: two poles, as a convolution."""
    at = np.arange(4000)
    radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * hz / RATE
    answer = (1 - radius) * radius**at * np.sin((at + 1) * angle) / np.sin(angle)
    size = 1 << (len(x) + len(at)).bit_length()
    made: Floats = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(answer, size), size)[: len(x)]
    return made


def decay(samples: float, per: float) -> Floats:
    return np.exp(-np.arange(int(samples)) / per)


def typing(seconds: int, random: Random) -> Floats:
    """Keys that click and ring at 300 to 900 Hz, pressed and let go."""
    x = random.standard_normal(seconds * RATE) * 20
    pitch, at = random.uniform(300, 900), 0.3
    while at < seconds - 1:
        for later, gain in ((0.0, 1.0), (random.uniform(0.05, 0.11), 0.5)):
            fade = decay(0.06 * RATE, random.uniform(30, 120))
            click = random.standard_normal(len(fade)) * fade * 4000
            tone = np.sin(2 * np.pi * pitch * random.uniform(0.8, 1.25) * np.arange(len(fade)) / RATE)
            ring = tone * decay(len(fade), random.uniform(80, 400)) * random.uniform(500, 5000)
            put(x, at + later, (click + ring) * gain * random.uniform(0.4, 1))
        at += random.uniform(0.08, 0.35) if random.random() < 0.9 else random.uniform(0.5, 1.5)
    return x


def cough(random: Random, voiced: bool) -> Floats:
    """A burst, breath and, in about half of people's coughs, a voiced end that falls; in a mouth's shape."""
    burst = random.standard_normal(int(0.08 * RATE)) * decay(0.08 * RATE, 400)
    count = random.uniform(0.1, 0.2) * RATE
    breath = random.standard_normal(int(count)) * 0.3 * decay(count, 2500)
    size = int(random.uniform(0.06, 0.18) * RATE) if voiced else 0
    phase = 2 * np.pi * np.cumsum(random.uniform(180, 420) * np.linspace(1, 0.75, size)) / RATE
    voice = sum((np.sin(k * phase) / k for k in range(1, 12)), np.zeros(size)) * 0.35
    end = (voice + random.standard_normal(size) * 0.1) * np.hanning(size)
    y = np.concatenate([burst, breath, end])
    y = 3 * resonance(y, random.uniform(500, 800), 150) + 3 * resonance(y, random.uniform(1200, 1800), 200) + 0.2 * y
    return y / np.abs(y).max()


def coughs(voiced: bool) -> Callable[[int, Random], Floats]:
    """A fit of one to three every 10 s."""

    def made(seconds: int, random: Random) -> Floats:
        x = random.standard_normal(seconds * RATE) * 10
        for at in np.arange(2.0, seconds - 3, 10.0):
            for n in range(random.integers(1, 4)):
                put(x, at + n * random.uniform(0.3, 0.5), cough(random, voiced) * random.uniform(4000, 14000))
        return x

    return made


def knocks(seconds: int, random: Random) -> Floats:
    x, at = random.standard_normal(seconds * RATE) * 10, 1.0
    while at < seconds - 2:
        for _ in range(random.integers(2, 5)):
            tones = ((random.uniform(90, 140), 900), (random.uniform(200, 350), 600), (random.uniform(500, 900), 200))
            size = np.arange(int(0.15 * RATE))
            put(x, at, sum(np.sin(2 * np.pi * hz * size / RATE) * np.exp(-size / per) for hz, per in tones) * 4000)
            at += random.uniform(0.18, 0.3)
        at += random.uniform(1, 3)
    return x


def note(hz: float, seconds: float, kind: str, random: Random) -> Floats:
    t = np.arange(int(seconds * RATE)) / RATE
    if kind == "piano":
        return sum(
            (
                np.sin(2 * np.pi * hz * k * t * (1 + 0.0004 * k * k)) * np.exp(-t * (2 + 1.5 * k)) / k
                for k in range(1, 12)
            ),
            0 * t,
        )
    if kind == "strings":
        vibrato = 1 + 0.006 * np.sin(2 * np.pi * 5.5 * t + random.uniform(0, 6))
        phase = 2 * np.pi * np.cumsum(hz * vibrato) / RATE
        made = sum((np.sin(k * phase) / k for k in range(1, 14)), 0 * t)
        return made * np.minimum(1, t / 0.12) * np.minimum(1, (seconds - t) / 0.1)
    made = sum((np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 4, 8)), 0 * t)
    return made * np.minimum(1, t / 0.03) * np.minimum(1, (seconds - t) / 0.03)


def music(kind: str) -> Callable[[int, Random], Floats]:
    """A melody with chords."""

    def made(seconds: int, random: Random) -> Floats:
        x, at = random.standard_normal(seconds * RATE) * 10, 0.5
        while at < seconds - 2:
            length = random.choice([0.25, 0.5, 1.0])
            pitch = 220 * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
            put(x, at, note(pitch, length * 1.5, kind, random) * 2500)
            if random.random() < 0.4:
                for tone in (0, 4, 7):
                    root = 110 * 2 ** ((tone + random.choice([0, 5, 7])) / 12)
                    put(x, at, note(root, length * 2, kind, random) * 1500)
            at += length
        return x

    return made


def band(seconds: int, random: Random) -> Floats:
    x = music("piano")(seconds, random) + music("strings")(seconds, random) * 0.6
    for at in np.arange(0.5, seconds - 1, 0.5):
        size = np.arange(int(0.2 * RATE))
        drum = np.sin(2 * np.pi * (60 + 80 * np.exp(-size / 800)) * size / RATE) * np.exp(-size / 1200)
        put(x, at, drum * 6000)
        put(x, at + 0.25, random.standard_normal(len(size)) * np.exp(-size / 700) * 3000)
    return x


def siren(seconds: int, random: Random) -> Floats:
    t = np.arange(seconds * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(900 + 500 * np.sin(2 * np.pi * 0.25 * t)) / RATE
    return (np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)) * 4000


def hum(seconds: int, random: Random) -> Floats:
    t = np.arange(seconds * RATE) / RATE
    tones = ((1, 2500), (2, 800), (3, 900))
    return sum((a * np.sin(2 * np.pi * 50 * k * t) for k, a in tones), random.standard_normal(len(t)) * 40)


def ring(seconds: int, random: Random) -> Floats:
    t = np.arange(seconds * RATE) / RATE
    return (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t)) * 4000 * (t % 3 < 1)


def fan(seconds: int, random: Random) -> Floats:
    x = np.convolve(random.standard_normal(seconds * RATE), np.ones(8) / 8, "same")
    return x / x.std() * 900 * (1 + 0.3 * np.sin(2 * np.pi * 6 * np.arange(len(x)) / RATE))


def pink(seconds: int, random: Random) -> Floats:
    return coloured(seconds * RATE, "pink", int(random.integers(1000))) * 1500


def crowd(clips: list[Floats], voices: int, dbfs: float) -> Callable[[int, Random], Floats]:
    """So many people at once, together so loud (RMS)."""

    def made(seconds: int, random: Random) -> Floats:
        x = np.zeros(seconds * RATE)
        for _ in range(voices):
            at = 0.0
            while at < seconds:
                y = clips[random.integers(len(clips))]
                y = np.interp(np.arange(0, len(y) - 1, random.uniform(0.85, 1.2)), np.arange(len(y)), y)
                put(x, at, y)
                at += len(y) / RATE
        return x / x.std() * 32768 * 10 ** (dbfs / 20)

    return made


SOUNDS: dict[str, Callable[[int, Random], Floats]] = {
    "typing": typing,
    "coughs": coughs(False),
    "coughs with a voice in them": coughs(True),
    "knocks": knocks,
    "piano": music("piano"),
    "strings": music("strings"),
    "organ": music("organ"),
    "a band": band,
    "hum": hum,
    "siren": siren,
    "ring": ring,
    "fan": fan,
    "pink": pink,
}
