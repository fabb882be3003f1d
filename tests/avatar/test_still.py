"""avatar/still.py: the picture of a face at rest."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from lipwire import _core
from lipwire.avatar import Avatar
from lipwire.avatar.art import VISEMES
from lipwire.avatar.still import rest_axes, still
from lipwire.errors import InvalidArgument


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (64, 64)])
def test_it_is_what_a_session_at_rest_shows(size: tuple[int, int]) -> None:
    """Decoded by another program's reading of JFIF: full range, BT.601."""
    width, height = size
    avatar = Avatar.load("ohm")
    data = still(avatar, width, height)
    assert data[:3] == b"\xff\xd8\xff"
    with av.open(io.BytesIO(data)) as file:
        (frame,) = file.decode(video=0)
    shown = frame.to_ndarray(format="rgb24").astype(float)
    canvas = _core.Canvas(avatar.at(width, height))
    canvas.draw(rest_axes(), [float(viseme == "sil") for viseme in VISEMES])
    luma = (canvas.i420.reshape(-1)[: width * height].reshape(height, width) - 16.0) * 255 / 219
    assert shown.shape == (height, width, 3)
    assert np.abs(shown @ [0.2126, 0.7152, 0.0722] - luma).mean() < 3


def test_a_size_that_no_picture_has() -> None:
    with pytest.raises(InvalidArgument):
        still(Avatar.load("ohm"), 15, 16)
