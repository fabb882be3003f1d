"""The fall of a voice at the end, on tones whose pitch is known."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire.agents.speech.prosody import fall


def voice(hz: np.ndarray, noise: float = 0.0) -> bytes:
    phase = 2 * np.pi * np.cumsum(hz) / 16_000
    x = sum((np.sin(k * phase) / k for k in range(1, 12)), 0 * phase) * 4000
    return (x + np.random.default_rng(1).standard_normal(len(x)) * noise).astype(np.int16).tobytes()


@pytest.mark.parametrize("semitones", [-4.0, 0.0, 3.0, 7.0])
@pytest.mark.parametrize("hz", [110.0, 220.0])
def test_the_fall_is_measured_in_semitones(semitones: float, hz: float) -> None:
    pitch = np.concatenate([np.full(16_000, hz), np.full(1600, hz * 2 ** (-semitones / 12))])
    for pcm in (voice(pitch), voice(pitch, 200), voice(pitch) + bytes(3200)):
        assert fall(pcm) == pytest.approx(semitones, abs=0.6)


@pytest.mark.parametrize("pcm", [b"", bytes(32_000), voice(np.full(2000, 150.0)), bytes(1278)])
def test_where_there_is_too_little_voice_nothing_is_said(pcm: bytes) -> None:
    assert fall(pcm) is None


def test_noise_has_no_pitch() -> None:
    assert fall(np.random.default_rng(2).integers(-5000, 5000, 32_000).astype(np.int16).tobytes()) is None
