"""Utterances into training and test streams: pauses, microphones, rooms, noise, levels."""

import multiprocessing
import os
import pickle
from pathlib import Path

import labels
import numpy as np
import voices

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "lipwire", "visemes")
RATE = voices.RATE


def _espeak_job(job):
    return voices.espeak_utterance(*job)


def _natural_job(job):
    return voices.natural_utterances(*job)


def utterances(kind, count, test=False):
    """kind "espeak" or a natural voice's name -> list of (pcm, phones, phone set), cached."""
    path = CACHE / f"{kind.replace(':', '-')}-{count}-{'test' if test else 'train'}.pkl"
    if path.exists():
        return pickle.loads(path.read_bytes())
    base = 1_000_000 if test else 0
    with multiprocessing.Pool(2) as pool:
        if kind == "espeak":
            out = pool.map(_espeak_job, [(base + i, test) for i in range(count)], 16)
        elif test:
            out = voices.natural_utterances(kind, count, 0, True)
        else:
            step = 20
            parts = pool.map(_natural_job, [(kind, step, base + i) for i in range(0, count, step)], 1)
            out = [u for part in parts for u in part]
    CACHE.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(out))
    return out


def _coloured(n, slope, rng):
    """Noise whose power falls with `slope` dB per octave above 50 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 50.0)
    x = np.fft.irfft(spectrum * (f / 50.0) ** (-slope / 6.02), n)
    return x / np.sqrt((x**2).mean() + 1e-12)


def _response(n, rng):
    """A microphone and channel: a few broad resonances, a tilt, sometimes band limits."""
    f = np.fft.rfftfreq(n, 1 / RATE)
    octave = np.log2(np.maximum(f, 20.0) / 1000.0)
    gain = np.zeros_like(f)
    for _ in range(int(rng.integers(0, 4))):
        centre, width = rng.uniform(-3.1, 2.7), rng.uniform(0.3, 1.6)
        gain += rng.uniform(-9, 9) * np.exp(-0.5 * ((octave - centre) / width) ** 2)
    if rng.random() < 0.5:
        gain += rng.uniform(-2.5, 2.5) * octave
    if rng.random() < 0.2:  # telephone, 8 kHz and other low-pass channels
        gain -= 10 * np.log10(1 + (f / rng.uniform(3300, 7000)) ** int(rng.integers(6, 24)))
    if rng.random() < 0.25:
        gain -= 10 * np.log10(1 + (rng.uniform(60, 320) / np.maximum(f, 1.0)) ** 4)
    return 10 ** (gain / 20)


def augment(x, rng):
    """x float (int16 scale) -> the same speech elsewhere, int16."""
    n = len(x)
    size = n + RATE // 2
    size += -size % 1000
    spectrum = np.fft.rfft(x, size) * _response(size, rng)
    if rng.random() < 0.3:
        length = int(RATE * rng.uniform(0.08, 0.35))
        tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        tail *= 10 ** (-rng.uniform(8, 24) / 20) / np.sqrt((tail**2).sum())
        tail[: int(16 * rng.uniform(1, 6))] = 0
        tail[0] = 1
        spectrum *= np.fft.rfft(tail, size)
    x = np.fft.irfft(spectrum, size)[:n]
    active = np.sqrt((x[np.abs(x) > np.abs(x).max() * 0.02] ** 2).mean() + 1e-9)
    x *= 32768 * 10 ** (-rng.uniform(8, 40) / 20) / active
    power = np.sqrt((x**2).mean())
    if rng.random() < 0.85:
        snr = rng.uniform(4, 26) if rng.random() < 0.6 else rng.uniform(26, 65)
        x += _coloured(n, max(0.0, rng.uniform(-5, 9)), rng) * power * 10 ** (-snr / 20)
    return voices.to_pcm(x)


def stream(parts, seed, changed=True):
    """Utterances of one voice with pauses between -> (pcm, class per row)."""
    rng = np.random.default_rng(seed)
    sound, marks, at = [], [], 0
    for i, (pcm, phones, phone_set) in enumerate(parts):
        percent = int(rng.integers(86, 119)) if changed and rng.random() < 0.8 else 100
        x = np.asarray(pcm, np.float32)
        if percent != 100:
            step = 100 // np.gcd(100, percent)
            x = np.concatenate([x, np.zeros(-len(x) % step, np.float32)])
            n = len(x) * percent // 100
            half = np.zeros(n // 2 + 1, np.complex128)
            whole = np.fft.rfft(x)[: n // 2 + 1]
            half[: len(whole)] = whole
            x = np.fft.irfft(half, n) * (percent / 100)
        pause = rng.uniform(0.0, 0.5) if i == 0 else rng.uniform(0.1, 1.0)
        gap = np.zeros(int(pause * RATE), np.float32)
        start = (at + len(gap)) / RATE
        marks.append(([(a * percent / 100 + start, b * percent / 100 + start, p) for a, b, p in phones], phone_set))
        sound += [gap, x]
        at += len(gap) + len(x)
    sound.append(np.zeros(int(rng.uniform(0.1, 0.6) * RATE), np.float32))
    x = np.concatenate(sound)
    pcm = augment(x, rng) if changed else voices.to_pcm(x)
    rows = len(pcm) // 160
    return pcm, sum(labels.frames(phones, phone_set, rows) for phones, phone_set in marks)
