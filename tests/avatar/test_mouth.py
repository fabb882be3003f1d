"""What people look at: the mouth that the whole chain makes of sounds that are speech and of sounds that are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire import VisemeExtractor, resample
from lipwire.audio import espeak as voice
from lipwire.session.offline import perform
from lipwire_lipsync import labels

pytestmark = pytest.mark.kernels

RATE = 48000
Floats = NDArray[np.float64]


def first_sound(pcm: Floats, rate: int) -> float:
    """Seconds."""
    return float(np.argmax(np.abs(pcm) > 0.01)) / rate


def watch(pcm: Floats, rate: int = RATE) -> tuple[Floats, Floats, Floats]:
    """What `lipwire render` draws of samples -1..1: (seconds of the frames in the sound's own time, the mouth: 1 - sil,
    the 15 visemes)."""
    data = np.clip(np.round(pcm * 32767), -32768, 32767).astype(np.int16).tobytes()
    chunks = (data[at : at + rate // 50 * 2] for at in range(0, len(data), rate // 50 * 2))
    sound, samples, visemes = b"", [], []
    for item in perform(chunks, rate, None):
        if isinstance(item, tuple):
            sound += item[0]
        else:
            samples.append(item.sample)
            visemes.append(item.visemes)
            del item  # its slot is needed
    late = first_sound(np.frombuffer(sound, np.int16) / 32768.0, RATE) - first_sound(pcm, rate)
    shapes = np.array(visemes, float)
    return np.array(samples) / RATE - late, shapes[:, 1:].sum(1), shapes


def noise(seconds: float, low: float, high: float, dbfs: float, seed: int = 1) -> Floats:
    """Band-limited noise."""
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    f = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(f < low) | (f > high)] = 0
    x = np.fft.irfft(spectrum, n)
    return np.asarray(x / np.sqrt((x**2).mean()) * 10 ** (dbfs / 20), float)


def speech(text: str, voice_name: str = "en-us") -> tuple[Floats, int, list[tuple[float, float, str]]]:
    spoken = voice.speak(text, voice_name)
    return np.frombuffer(spoken.pcm, np.int16) / 32768.0, spoken.rate, spoken.phones


SPEECH_DBFS = -20.0


def as_loud(x: Floats, dbfs: float = SPEECH_DBFS) -> Floats:
    return np.asarray(x * 10 ** (dbfs / 20) / np.sqrt((x**2).mean()), float)


def breath(seed: int = 3) -> Floats:
    """In and out, 45 dB down to 30 below full scale: noise through the vocal tract's broad resonances."""
    parts = [noise(0.7, c * 0.7, c * 1.3, -40 - 3 * i, seed + i) for i, c in enumerate((600, 1500, 2600, 4000))]
    x = np.sum(parts, axis=0)
    return np.asarray(x * np.sin(np.pi * np.arange(len(x)) / len(x)) ** 2, float)


def music() -> Floats:
    """Four bars of chords, plucked, with a beat, at the level of speech."""
    out = np.zeros(int(4.2 * RATE))
    for beat in range(16):
        at = beat * RATE // 4
        t = np.arange(len(out) - at) / RATE
        for semitone in ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))[beat // 4]:
            f = 220 * 2 ** (semitone / 12)
            out[at:] += sum(np.sin(2 * np.pi * f * k * t) / k**1.5 for k in range(1, 8)) * np.exp(-4 * t)
        out[at:] += np.random.default_rng(beat).standard_normal(len(t)) * np.exp(-60 * t)
    return as_loud(out, -22.0)


def quiet(seconds: float) -> Floats:
    return np.zeros(int(seconds * RATE))


@pytest.mark.parametrize(
    ("name", "sound", "most"),
    [
        ("room noise", noise(4, 50, 8000, -50), 0.05),
        ("a fan", noise(4, 50, 700, -38), 0.12),
        ("breath", np.concatenate([quiet(0.6), breath(), quiet(0.5), breath(9), quiet(0.6)]), 0.12),
        ("music", music(), 0.45),
    ],
)
def test_what_is_not_speech_leaves_the_mouth_calm(name: str, sound: Floats, most: float) -> None:
    _, mouth, visemes = watch(sound)
    moves = np.abs(np.diff(visemes, axis=0)).sum(1).mean() / 2
    assert mouth.mean() < most, name
    assert moves < 0.12, name


def test_silence_closes_the_mouth_within_100_ms() -> None:
    for text in ("father", "you and me", "how do you do"):
        x, rate, phones = speech(text)
        end = max(b for _, b, name in phones if name not in labels.PAUSES)
        x = np.concatenate([x[: int(end * rate)], np.zeros(rate)])
        times, mouth, _ = watch(x, rate)
        level = np.convolve(x**2, np.ones(rate // 100) / (rate // 100), "same")
        last = np.flatnonzero(level > level.max() * 1e-4)[-1] / rate
        after = (times > last + 0.1) & (times < last + 0.6)
        assert after.any() and mouth[after].max() < 0.1, text


def test_lips_close_for_every_p_b_and_m() -> None:
    closures = met = 0
    for text in ("Bob may buy my papa a map.", "People remember many problems.", "Maybe we move the piano by hand."):
        x, rate, phones = speech(text)
        times, _, visemes = watch(x, rate)
        for start, end, name in phones:
            parts = labels.ipa(name)
            if parts and parts[0][0].startswith("PP") and end - start >= 0.03:
                near = (times > start - 0.04) & (times < end + 0.04)
                closures += 1
                met += bool(visemes[near, 1].max() > 0.6)
    assert closures > 20
    assert met / closures > 0.85


def test_laughter_and_song_are_alive() -> None:
    for text, least in (("ha ha ha ha ha ha ha", 3), ("la la la la la la la", 3)):
        x, rate, _ = speech(text)
        _, _, visemes = watch(x, rate)
        opening = visemes[:, 10:15].sum(1)  # vowels
        crossings = np.count_nonzero(np.diff(opening > 0.4))
        assert opening.max() > 0.6, text
        assert crossings >= 2 * least, text


def test_a_cold_start_hears_the_first_syllable() -> None:
    """A new session says the first word as well as one that has heard the voice for some seconds."""
    right = {"cold": 0, "warm": 0}
    rows = 0
    for text in ("Father", "Buy more", "See you", "Move over", "Thank you", "Joe knows"):
        x, rate, phones = speech(text + " again and again, until you know the voice that is speaking to you.")
        pcm = resample((x * 32767).astype(np.int16).tobytes(), rate, 16000)
        truth = labels.visemes(phones, "ipa", len(pcm) // 320)
        first = np.flatnonzero(truth)[0]
        head = slice(first, first + 40)
        rows += 40
        for name, before in (("cold", b""), ("warm", pcm + bytes(16000 + -len(pcm) % 320))):
            extractor = VisemeExtractor()
            said = np.concatenate([extractor.process(before), extractor.process(pcm)])[len(before) // 320 :]
            right[name] += int((said[head].argmax(1) == truth[head]).sum())
    assert right["cold"] / rows > 0.5
    assert right["cold"] > right["warm"] - 0.08 * rows


# ---- what is no voice, with and without one before ---------------------------------------------------------------

NARROW = 16000
TILTS = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
TONES = [(f,) for f in (50, 75, 110, 180, 250, 440, 623, 1000, 1477, 2000, 2750, 3400, 4000)] + [
    (440, 480), (400, 450), (350, 440), (480, 620), (697, 1209), (941, 1633), (852, 1477), (1400, 2060), (300, 3000),
]  # fmt: skip


def as_one(x: Floats) -> Floats:
    """RMS 1."""
    return np.asarray(x / np.sqrt((x**2).mean()), float)


def background(kind: str, seconds: float, seed: int) -> Floats:
    """Steady noise at NARROW Hz, RMS 1."""
    n = int(seconds * NARROW)
    t, f = np.arange(n) / NARROW, np.maximum(np.fft.rfftfreq(n, 1 / NARROW), 20)
    if kind.startswith("hum"):
        base = int(kind[3:])
        return as_one(np.sum([np.sin(2 * np.pi * base * k * t + k * seed) / k for k in range(1, 16)], axis=0))
    noise = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    if kind == "fan":
        shape = 1 / (1 + (f / 300) ** 2) + 3 * np.exp(-(((f - 120) / 8) ** 2)) + 2 * np.exp(-(((f - 240) / 8) ** 2))
    elif kind == "band":
        shape = ((f > 300) & (f < 3400)).astype(float)
    else:
        shape = f ** TILTS[kind]
    return as_one(np.fft.irfft(noise * shape, n))


def tones(frequencies: tuple[int, ...], seconds: float) -> Floats:
    t = np.arange(int(seconds * NARROW)) / NARROW
    return as_one(np.sum([np.sin(2 * np.pi * f * t + i) for i, f in enumerate(frequencies)], axis=0))


def opens(x: Floats) -> Floats:
    """Seconds of the pictures, at 25 a second, in which the mouth is open."""
    data = np.clip(np.rint(x * 32768), -32768, 32767).astype("<i2").tobytes()
    out = []
    for item in perform(iter([data]), NARROW, None):
        if not isinstance(item, tuple):
            if item.mouth_open:
                out.append(item.sample / RATE)
            del item
    return np.array(out)


@pytest.fixture(scope="module")
def talk() -> Floats:
    x, rate, _ = speech(
        "Good morning, how may I help you? I will look that up for you and call you back later on.", "en-us+f3"
    )
    pcm = resample((x * 32767).astype("<i2").tobytes(), rate, NARROW)
    return as_loud(np.frombuffer(pcm, "<i2") / 32768.0)


@pytest.mark.parametrize("kind", [*TILTS, "fan", "band", "hum50", "hum60", "hum100", "hum120"])
def test_noise_shuts_the_mouth_within_400_ms(talk: Floats, kind: str) -> None:
    """Wherever in a word the voice is cut off, and where there was none."""
    for i, dbfs in enumerate((-60, -50, -42, -35, -27, -20)):
        sound = background(kind, 1.6, i + 1) * 10 ** (dbfs / 20)
        for cut in (0, *((0.21 * i + np.array([0.7, 1.63, 2.9])) * NARROW).astype(int)):
            seen = opens(np.concatenate([talk[max(0, cut - NARROW) : cut], sound]))
            late = seen[seen > min(cut, NARROW) / NARROW + 0.4]
            assert not len(late), (kind, dbfs, cut / NARROW, late - min(cut, NARROW) / NARROW)


@pytest.mark.parametrize("frequencies", TONES, ids=str)
def test_tones_do_not_open_the_mouth(talk: Floats, frequencies: tuple[int, ...]) -> None:
    for i, dbfs in enumerate((-55, -40, -25, -10)):
        beep, gap = tones(frequencies, 0.25 + 0.1037 * i) * 10 ** (dbfs / 20), np.zeros(int(0.2031 * NARROW))
        assert not len(opens(np.concatenate([gap, beep, gap, beep, gap[: 1000 + 37 * i], beep, gap]))), dbfs
    held = tones(frequencies, 1.2) * 0.1
    seen = opens(np.concatenate([talk[:NARROW], held]))
    assert not len(seen[seen > 1.4])


@pytest.mark.parametrize("snr", [20, 10])
def test_a_voice_in_noise_is_seen(talk: Floats, snr: int) -> None:
    clean = opens(talk)
    for kind in (*TILTS, "fan"):
        noise = background(kind, 2 + len(talk) / NARROW, 5) * 10 ** ((SPEECH_DBFS - snr) / 20)
        noise[2 * NARROW :] += talk
        seen = opens(noise) - 2
        found = np.isin(np.round(clean * 25), np.round(seen * 25)).mean()
        assert found > (0.85 if snr == 20 else 0.7), (kind, found)
        assert not ((seen > -1.6) & (seen < -0.05)).any(), kind  # shut between the noise's first moment and the voice
