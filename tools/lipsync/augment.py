"""The same speech elsewhere: other voices, microphones, rooms, noises, codecs; and the sounds between sentences that
must not open a mouth.

Everything here keeps time: what delays is compensated, so a label stays where it was.
"""

import functools

import numpy as np
from scipy.signal import fftconvolve

RATE = 16000


def to_pcm(x):
    return np.clip(np.round(x), -32768, 32767).astype(np.int16)


def change_speed(x, percent):
    """Plays x at 100 / percent of its speed; pitch and formants move with it (Fourier resampling)."""
    step = 100 // np.gcd(100, percent)
    x = np.concatenate([x, np.zeros(-len(x) % step, np.float32)])
    n = len(x) * percent // 100
    half = np.zeros(n // 2 + 1, np.complex128)
    whole = np.fft.rfft(x)[: n // 2 + 1]
    half[: len(whole)] = whole
    return np.fft.irfft(half, n) * (percent / 100)


def change_effort(x, rng):
    """A voice that swells and tires: gain wanders by some dB several times a second, and may sink at the end."""
    knots = max(2, int(len(x) / RATE / rng.uniform(0.2, 0.7)))
    gain = 0.7 * np.cumsum(rng.normal(0, rng.uniform(0.5, 4), knots + 1))
    gain -= gain.mean()
    if rng.random() < 0.4:
        gain[-1] -= rng.uniform(3, 18)
    return x * 10 ** (np.interp(np.arange(len(x)), np.linspace(0, len(x), knots + 1), gain) / 20)


def hold(x, start, end, seconds, rng):
    """A vowel that is held, as in song or in "sooo": the middle of x[start:end] goes on for `seconds` more, by jumps of
    whole pitch periods with a crossfade; often with vibrato. Samples in, samples out."""
    fade, centre = RATE // 200, (start + end) // 2
    reach = min((end - start) * 35 // 100, RATE * 60 // 1000)
    if reach < RATE // 50 or centre + reach + fade > len(x):
        return x
    part = x[centre - reach : centre + reach] - np.mean(x[centre - reach : centre + reach])
    lags = np.arange(RATE // 400, min(RATE // 60, reach))

    def alike(lag):
        return np.dot(part[:-lag], part[lag:]) / np.sqrt((part[:-lag] ** 2).sum() * (part[lag:] ** 2).sum() + 1)

    period = int(max(lags, key=alike))
    most = max(1, reach // period)
    ramp = np.linspace(0, 1, fade)
    pieces, made = [x[: centre + reach]], 0
    while made < seconds * RATE:
        back = int(rng.integers(max(1, most // 2), most + 1)) * period
        piece = x[centre + reach - back : centre + reach + fade].astype(np.float64)
        piece[:fade] = piece[:fade] * ramp + x[centre + reach : centre + reach + fade] * (1 - ramp)
        pieces.append(piece[:back])
        made += back
    held = np.concatenate([*pieces, x[centre + reach :]])
    if rng.random() < 0.5:  # vibrato
        t = np.arange(len(held))
        depth = rng.uniform(0.005, 0.03) * RATE / (2 * np.pi * 5.5)
        held = np.interp(t + depth * np.sin(2 * np.pi * 5.5 * t / RATE), t, held)
    return held


# ---- noise --------------------------------------------------------------------------------------------------------


def coloured(n, slope, rng):
    """Noise of RMS 1 whose power falls with `slope` dB per octave above 50 Hz."""
    size = n + -n % 1000
    spectrum = np.fft.rfft(rng.standard_normal(size))
    f = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 50.0)
    x = np.fft.irfft(spectrum * (f / 50.0) ** (-slope / 6.02), size)[:n]
    return x / np.sqrt((x**2).mean() + 1e-12)


def rumble(n, rng):
    """Noise between two steep edges, as of fans and streets: like a vowel, but for its voice. RMS 1."""
    size = n + -n % 1000
    low = 50 * 2 ** rng.uniform(0, 3)
    high = low * 2 ** rng.uniform(1, 5)
    f = np.fft.rfftfreq(size, 1 / RATE)
    shape = 1 / np.sqrt(1 + (low / np.maximum(f, 1.0)) ** 8) / np.sqrt(1 + (f / high) ** rng.choice([6, 12, 24]))
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)[:n]
    return x / np.sqrt((x**2).mean() + 1e-12)


def hum(n, rng):
    """Mains hum or a fan: a few steady harmonics over coloured noise, RMS 1."""
    t = np.arange(n) / RATE
    base = rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(70, 300)])
    x = sum(rng.uniform(0.1, 1.0) / k * np.sin(2 * np.pi * (base * k * t + rng.random())) for k in range(1, 12))
    x = x / np.sqrt((x**2).mean()) + rng.uniform(0.1, 0.6) * coloured(n, rng.uniform(0, 8), rng)
    return x / np.sqrt((x**2).mean())


def music(n, rng):
    """Chords of decaying harmonic tones with a beat, RMS 1."""
    x = np.zeros(n)
    beat = int(RATE * rng.uniform(0.18, 0.6))
    scale = 220.0 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11]) / 12) * 2 ** rng.uniform(-1, 1)
    bright = rng.uniform(0.8, 2.0)
    for at in range(0, n, beat):
        length = min(n - at, int(beat * rng.uniform(1, 4)))
        t = np.arange(length) / RATE
        shape = np.exp(-t * rng.uniform(0.5, 8)) * np.minimum(1, t / rng.uniform(0.003, 0.08))
        for _ in range(int(rng.integers(1, 4))):
            f = rng.choice(scale) * rng.choice([0.5, 1, 2])
            for k in range(1, int(rng.integers(3, 10))):
                if f * k < 7800:
                    x[at : at + length] += k**-bright * shape * np.sin(2 * np.pi * (f * k * t + rng.random()))
        if rng.random() < 0.5:  # a drum
            m = min(length, 1600)
            drum = np.exp(-np.arange(m) / rng.uniform(80, 500)) * rng.standard_normal(m)
            x[at : at + m] += rng.uniform(0.2, 1.5) * drum
    return x / np.sqrt((x**2).mean() + 1e-12)


def breath(n, rng):
    """One breath: noise through broad resonances, in and out again, RMS 1."""
    x = coloured(n, rng.uniform(0, 5), rng)
    spectrum = np.fft.rfft(x)
    f = np.fft.rfftfreq(n, 1 / RATE)
    gain = 0.15 + sum(
        rng.uniform(0.3, 1) * np.exp(-0.5 * ((f - c * rng.uniform(0.85, 1.15)) / rng.uniform(150, 500)) ** 2)
        for c in (600, 1500, 2600, 4000)
    )
    x = np.fft.irfft(spectrum * gain, n)
    x *= np.sin(np.pi * (np.arange(n) + 0.5) / n) ** rng.uniform(0.5, 2)
    return x / np.sqrt((x**2).mean() + 1e-12)


def clicks(n, rng):
    """Typing, lip noise, a handled microphone: short bursts, RMS 1."""
    x = np.zeros(n)
    for _ in range(int(rng.integers(1, 2 + n // 3000))):
        at = int(rng.integers(0, n))
        m = min(n - at, int(rng.integers(20, 900)))
        x[at : at + m] += rng.standard_normal(m) * np.exp(-np.arange(m) / rng.uniform(10, 200))
    return x / np.sqrt((x**2).mean() + 1e-12)


def babble(n, rng, crowd):
    """Other people, RMS 1: a few of `crowd`'s recordings (int16) on top of each other."""
    x = np.zeros(n)
    for _ in range(int(rng.integers(4, 9))):
        y = np.asarray(crowd[int(rng.integers(len(crowd)))], np.float64)
        start = int(rng.integers(0, len(y)))
        y = np.resize(np.roll(y, -start), n)
        x += y / np.sqrt((y**2).mean() + 1) * rng.uniform(0.4, 1.0)
    return x / np.sqrt((x**2).mean() + 1e-12)


def background(n, rng, crowd):
    kind = rng.random()
    if kind < 0.6:
        return coloured(n, max(0.0, rng.uniform(-5, 9)), rng)
    if kind < 0.7:
        return hum(n, rng)
    if kind < 0.8:
        return music(n, rng)
    return babble(n, rng, crowd) if crowd else coloured(n, 3.0, rng)


def event(n, rng):
    """What is heard between sentences and is not speech, RMS 1."""
    kinds = breath, breath, clicks, music, hum, rumble, rumble, lambda n, rng: coloured(n, rng.uniform(0, 6), rng)
    return kinds[int(rng.integers(len(kinds)))](n, rng)


# ---- channel ------------------------------------------------------------------------------------------------------


def response(size, rng):
    """A microphone: a few broad resonances, a tilt, sometimes band limits. Gain per bin of an rfft of `size`."""
    f = np.fft.rfftfreq(size, 1 / RATE)
    octave = np.log2(np.maximum(f, 20.0) / 1000.0)
    gain = np.zeros_like(f)
    for _ in range(int(rng.integers(0, 5))):
        centre, width = rng.uniform(-3.1, 2.9), rng.uniform(0.25, 1.6)
        gain += rng.uniform(-9, 9) * np.exp(-0.5 * ((octave - centre) / width) ** 2)
    if rng.random() < 0.6:
        gain += rng.uniform(-3.0, 3.0) * octave
    if rng.random() < 0.15:
        gain -= 10 * np.log10(1 + (f / rng.uniform(3600, 7200)) ** int(rng.integers(6, 24)))
    if rng.random() < 0.3:
        gain -= 10 * np.log10(1 + (rng.uniform(60, 320) / np.maximum(f, 1.0)) ** 4)
    return 10 ** (gain / 20)


def room(rng):
    """An impulse response: direct sound, a few early reflections, an exponential tail that loses its treble."""
    length = int(RATE * rng.uniform(0.08, 0.45))
    t = np.arange(length)
    tail = rng.standard_normal(length) * np.exp(-6.9 * t / length)
    tail = np.convolve(tail, [1, rng.uniform(0, 0.7)])[:length]
    tail[: int(16 * rng.uniform(1, 8))] = 0
    tail *= 10 ** (-rng.uniform(5, 24) / 20) / np.sqrt((tail**2).sum() + 1e-12)
    for _ in range(int(rng.integers(0, 5))):
        tail[min(length - 1, int(16 * rng.uniform(1, 20)))] += rng.uniform(-0.4, 0.4)
    tail[0] = 1
    return tail


def telephone(pcm, rng):
    """300 to 3400 Hz and 8-bit mu-law, without the change of rate."""
    size = len(pcm) + -len(pcm) % 1000
    f = np.fft.rfftfreq(size, 1 / RATE)
    high, low = rng.uniform(3300, 3800), rng.uniform(80, 300)
    gain = 1 / np.sqrt(1 + (f / high) ** 24) / np.sqrt(1 + (low / np.maximum(f, 1.0)) ** 6)

    def band(x):
        return np.fft.irfft(np.fft.rfft(x, size) * gain, size)[: len(x)]

    x = np.clip(band(np.asarray(pcm, np.float64)) / 32768, -1, 1)
    law = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256.0)
    law = np.round(law * 127) / 127
    return to_pcm(band(np.sign(law) * (256.0 ** np.abs(law) - 1) / 255 * 32768))


def g722(pcm):
    from lipwire import G722Decoder, G722Encoder

    delay = 22  # of encoder and decoder together, samples
    pcm = np.concatenate([pcm, np.zeros(delay + (len(pcm) + delay) % 2, np.int16)])
    out = np.frombuffer(G722Decoder().decode(bytes(G722Encoder().encode(pcm.tobytes()))), np.int16)
    return out[delay:]


@functools.cache
def _opus_delay():
    """Samples by which encoder and decoder delay, found once by correlation."""
    x = coloured(RATE, 3.0, np.random.default_rng(1)) * 3000
    y = _opus(to_pcm(x), 64000)
    return int(np.argmax([np.dot(y[d : d + 12000].astype(float), x[:12000]) for d in range(400)]))


def _opus(pcm, bitrate):
    from lipwire.audio.opus import OpusDecoder, OpusEncoder

    encoder, decoder = OpusEncoder(RATE, bitrate=bitrate, application="voip"), OpusDecoder(RATE)
    packets = [*encoder.encode(pcm.tobytes()), *encoder.flush()]
    return np.frombuffer(b"".join(bytes(decoder.decode(bytes(p))) for p in packets), np.int16)


def opus(pcm, bitrate):
    delay = _opus_delay()
    out = _opus(np.concatenate([pcm, np.zeros(delay + 320, np.int16)]), bitrate)[delay:]
    return out[: len(pcm)]


def channel(x, rng, crowd=()):
    """x float (int16 scale) -> the same speech through a room, a microphone, noise and perhaps a codec, int16."""
    n = len(x)
    if rng.random() < 0.35:
        x = fftconvolve(x, room(rng))[:n]
    size = n + RATE // 4
    size += -size % 1000
    x = np.fft.irfft(np.fft.rfft(x, size) * response(size, rng), size)[:n]
    active = np.sqrt((x[np.abs(x) > np.abs(x).max() * 0.02] ** 2).mean() + 1e-9)
    x *= 32768 * 10 ** (-rng.uniform(8, 40) / 20) / active
    power = np.sqrt((x**2).mean())
    if rng.random() < 0.85:
        snr = rng.uniform(4, 26) if rng.random() < 0.5 else rng.uniform(26, 65)
        x += background(n, rng, crowd) * power * 10 ** (-snr / 20)
    pcm = to_pcm(x)
    kind = rng.random()
    if kind < 0.12:
        pcm = opus(pcm, int(rng.choice([12000, 16000, 20000, 24000, 32000])))
    elif kind < 0.20:
        pcm = g722(pcm)
    elif kind < 0.30:
        pcm = telephone(pcm, rng)
    return pcm[:n]
