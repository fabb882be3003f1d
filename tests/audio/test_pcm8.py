"""PCM8 is PCM16 to the nearest step."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire._core import pcm8_decode
from lipwire.audio.pcm8 import pcm8_encode
from lipwire.errors import InvalidArgument


def test_every_sample_goes_to_the_nearest_step() -> None:
    samples = np.arange(-32768, 32768).astype("<i2")
    back = np.frombuffer(pcm8_decode(pcm8_encode(samples)), "<i2").astype(int)
    error = back - samples
    inside = samples < 32512 + 128
    assert np.abs(error[inside]).max() == 128
    assert (back[~inside] == 32512).all()
    assert abs(error[inside].mean()) < 1


def test_a_noise_floor_is_silence_and_a_tone_has_no_offset() -> None:
    floor = np.random.default_rng(0).integers(-127, 128, 16_000).astype("<i2")
    assert set(pcm8_encode(floor)) == {128}
    tone = np.rint(3000 * np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000)).astype("<i2")
    back = np.frombuffer(pcm8_decode(pcm8_encode(tone)), "<i2").astype(int)
    assert abs((back - tone).mean()) < 2


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        pcm8_encode(b"123")
