"""The resampler as Python calls it. Its frequency response, pair by pair, is measured in tests/c/test_resample.c."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import Resampler, resample
from lipwire.errors import InvalidArgument

pytestmark = pytest.mark.kernels

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
Quality = Literal["voice", "high"]
QUALITIES: tuple[Quality, ...] = ("voice", "high")

examples = settings(max_examples=60, deadline=None)
rates = st.sampled_from(RATES)
qualities = st.sampled_from(QUALITIES)
cuts = st.lists(st.integers(0, 5000), max_size=12)


def noise(samples: int, seed: int) -> bytes:
    """Full scale, every value as likely."""
    return np.random.default_rng(seed).integers(-32768, 32768, samples, dtype=np.int16).tobytes()


def cut(data: bytes, at: list[int], frame: int) -> Iterator[bytes]:
    """`data` cut at these frames; some pieces may be empty."""
    places = sorted(frame * min(i, len(data) // frame) for i in at)
    return (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True))


@examples
@given(rates, rates, st.integers(1, 2), qualities, st.integers(0, 5000), st.integers(0, 9), cuts)
def test_chunked_is_one_shot(
    in_rate: int, out_rate: int, channels: int, quality: Quality, frames: int, seed: int, at: list[int]
) -> None:
    data = noise(frames * channels, seed)
    whole = Resampler(in_rate, out_rate, channels=channels, quality=quality)
    expected = whole.process(data) + whole.flush()
    parts = Resampler(in_rate, out_rate, channels=channels, quality=quality)
    pieces = [parts.process(piece) for piece in cut(data, at, 2 * channels)]
    assert b"".join([*pieces, parts.flush()]) == expected
    assert resample(data, in_rate, out_rate, channels=channels, quality=quality) == expected
    assert len(expected) // (2 * channels) == math.ceil(frames * out_rate / in_rate)
    assert whole.process(data) + whole.flush() == expected  # a flush leaves it as new
    whole.process(data[: frames // 2 * 2 * channels])
    whole.reset()
    assert whole.process(data) + whole.flush() == expected


@examples
@given(rates, rates, qualities, st.integers(0, 3000), st.integers(0, 9))
def test_stereo_is_two_monos(in_rate: int, out_rate: int, quality: Quality, frames: int, seed: int) -> None:
    both = np.frombuffer(noise(2 * frames, seed), np.int16).reshape(-1, 2)
    stereo = Resampler(in_rate, out_rate, channels=2, quality=quality)
    made = np.frombuffer(stereo.process(both.tobytes()) + stereo.flush(), np.int16).reshape(-1, 2)
    for channel in range(2):
        mono = Resampler(in_rate, out_rate, quality=quality)
        alone = mono.process(np.ascontiguousarray(both[:, channel])) + mono.flush()
        assert made[:, channel].tobytes() == alone


@examples
@given(rates, rates, st.integers(0, 300), st.integers(0, 64))
def test_any_alignment_and_kind_of_buffer(in_rate: int, out_rate: int, frames: int, offset: int) -> None:
    data = noise(frames, 1)
    expected = Resampler(in_rate, out_rate).process(data)
    shifted = bytearray(offset) + data
    assert Resampler(in_rate, out_rate).process(memoryview(shifted)[offset:]) == expected
    assert Resampler(in_rate, out_rate).process(np.frombuffer(data, np.int16)) == expected
    assert shifted[offset:] == data


def test_a_long_input_releases_the_lock_and_is_the_same() -> None:
    data = noise(200_000, 3)
    whole, parts = Resampler(44100, 48000), Resampler(44100, 48000)
    pieces = [parts.process(data[i : i + 882]) for i in range(0, len(data), 882)]
    assert whole.process(data) == b"".join(pieces)


@examples
@given(st.integers(8000, 47999), qualities, st.integers(0, 3000), st.integers(0, 9), cuts)
def test_any_rate_to_a_higher_one(in_rate: int, quality: Quality, frames: int, seed: int, at: list[int]) -> None:
    data = noise(frames, seed)
    whole, parts = Resampler(in_rate, 48000, quality=quality), Resampler(in_rate, 48000, quality=quality)
    expected = whole.process(data) + whole.flush()
    assert b"".join([*(parts.process(piece) for piece in cut(data, at, 2)), parts.flush()]) == expected
    assert len(expected) // 2 == math.ceil(frames * 48000 / in_rate)


def test_delay_is_what_the_quality_says() -> None:
    for rate in RATES[:-1]:
        assert Resampler(rate, 48000).delay == pytest.approx(24 / rate, abs=1e-9)
        assert Resampler(48000, rate, quality="high").delay == pytest.approx(40 / rate, abs=1e-9)
    assert Resampler(16000, 16000).delay == 0


def test_a_clip_stays_where_it_was() -> None:
    """Output sample n is the signal at n / out_rate seconds: the label of a sound in the one holds in the other."""
    for in_rate, out_rate in ((22050, 16000), (16000, 48000), (44100, 8000)):
        clip = np.sin(2 * math.pi * 200 * np.arange(in_rate) / in_rate) * 8000
        made = np.frombuffer(resample(clip.astype(np.int16).tobytes(), in_rate, out_rate), np.int16)
        expected = np.sin(2 * math.pi * 200 * np.arange(out_rate) / out_rate) * 8000
        assert np.abs(made - expected)[200:-200].max() < 5


def test_bad_arguments_say_what_is_allowed() -> None:
    for channels in (-1, 0, 3):
        with pytest.raises(InvalidArgument, match="1 or 2 channels"):
            Resampler(16000, 48000, channels=channels)
    with pytest.raises(InvalidArgument, match="voice, high"):
        Resampler(16000, 48000, quality="best")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="multiple of 4 bytes"):
        Resampler(16000, 48000, channels=2).process(bytes(6))
    resampler = Resampler(16000, 48000)
    with pytest.raises(InvalidArgument, match="even number of bytes"):
        resampler.process(bytes(3))
    assert resampler.process(bytes(320)) + resampler.flush() == bytes(960)  # nothing was lost or kept
    assert (resampler.channels, resampler.quality) == (1, "voice")
