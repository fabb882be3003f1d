"""What an avatar is made of: a background, layers of sprites, and the coordinates of its mouth shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AXES = (
    *("head_x", "head_y", "breath", "blink", "gaze_x", "gaze_y", "brow", "jaw"),
    *("head_roll", "happy", "concerned", "surprised", "lids", "wave", "head_turn"),
)
"""Axes of a pose, in the order of `enum lw_axis`."""

STATES = ("idle", "listening", "thinking")
EXPRESSIONS = ("neutral", "happy", "concerned", "surprised")
GESTURES = ("nod", "shake", "wave")
"""What `Session.special` takes, in the order of `enum lw_state`, `lw_expression` and `lw_gesture`."""

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")
"""Visemes in the order of a pose's weights (OVR order)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A bank of sprites of which one is shown, at a position linear in the pose's axes.

    `images` are (h, w, 4) uint8 straight-alpha RGBA, all of one size, h and w even. `x`, `y` are the top-left corner
    in frame pixels at rest; a sprite may hang over the frame's edge. `select` is "fixed" (the first image), "mouth"
    (the image whose mouth coordinate is nearest to the pose's) or the name of an axis (bank index linear in 0..1).
    `kx`, `ky` map axis names to frame pixels at full deflection, + being right and down; `turn` maps axis names to
    degrees clockwise about `pivot` (frame pixels).
    """

    name: str
    images: list[NDArray[np.uint8]]
    x: float
    y: float
    select: str = "fixed"
    kx: dict[str, float] = field(default_factory=dict)
    ky: dict[str, float] = field(default_factory=dict)
    turn: dict[str, float] = field(default_factory=dict)
    pivot: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Art:
    """An avatar drawn for one frame size.

    `background` is (height, width, 4) uint8 RGBA, opaque; `layers` go bottom to top and exactly one of them has
    `select` "mouth". `mouth_coords` is float (K, D), one row per image of that layer; `viseme_coords` is float
    (15, D) in the same space, where a pose's coordinate is the sum of weight * viseme_coords and the rest to a sum
    of 1 counts as "sil".
    """

    name: str
    width: int
    height: int
    background: NDArray[np.uint8]
    layers: list[Layer]
    mouth_coords: NDArray[np.float64]
    viseme_coords: NDArray[np.float64]
