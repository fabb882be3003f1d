"""Cuts without clicks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.audio.fade import FADE, fade_in, fade_out

lengths = st.integers(0, 4 * FADE)


def level(n: int, value: int = 20_000) -> bytes:
    return np.full(n, value, "<i2").tobytes()


@given(lengths)
def test_the_length_stays(n: int) -> None:
    assert len(fade_out(level(n))) == len(fade_in(level(n))) == 2 * n


@pytest.mark.parametrize("value", [20_000, -32_768, 32_767])
def test_out_goes_down_to_silence(value: int) -> None:
    out = np.abs(np.frombuffer(fade_out(level(2 * FADE, value)), "<i2").astype(int))
    assert out[0] == pytest.approx(abs(value), rel=0.001) and (np.diff(out[:FADE]) <= 0).all()
    assert not out[FADE:].any() and np.abs(np.diff(out)).max() < abs(value) / 100


@pytest.mark.parametrize("value", [20_000, -32_768, 32_767])
def test_in_comes_up_out_of_silence(value: int) -> None:
    back = np.abs(np.frombuffer(fade_in(level(3 * FADE, value)), "<i2").astype(int))
    assert not back[:FADE].any() and (np.diff(back) >= 0).all()
    assert (back[2 * FADE :] == abs(value)).all() and np.abs(np.diff(back)).max() < abs(value) / 100
