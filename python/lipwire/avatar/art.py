"""What an avatar is made of: a background, layers of sprites, and the coordinates of its mouth shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Axis(IntEnum):
    """Axes of a pose, in the order of `enum lw_axis`: `frame.axes[Axis.JAW]`. docs/avatars.md says what each is."""

    HEAD_X = 0
    HEAD_Y = 1
    BREATH = 2
    BLINK = 3
    GAZE_X = 4
    GAZE_Y = 5
    BROW = 6
    JAW = 7
    HEAD_ROLL = 8
    HAPPY = 9
    CONCERNED = 10
    SURPRISED = 11
    LIDS = 12
    WAVE = 13
    HEAD_TURN = 14


AXES = tuple(axis.name.lower() for axis in Axis)
"""Their names."""

STATES = ("idle", "listening", "thinking")
EXPRESSIONS = ("neutral", "happy", "concerned", "surprised")
GESTURES = ("nod", "shake", "wave", "beat")
"""What `Session.special` takes, in the order of `enum lw_state`, `lw_expression` and `lw_gesture`."""


class Viseme(IntEnum):
    """Visemes in the order of a pose's weights (OVR order): `frame.visemes[Viseme.PP]`."""

    sil = 0
    PP = 1
    FF = 2
    TH = 3
    DD = 4
    kk = 5
    CH = 6
    SS = 7
    nn = 8
    RR = 9
    aa = 10
    E = 11
    I = 12  # noqa: E741
    O = 13  # noqa: E741
    U = 14


VISEMES = tuple(viseme.name for viseme in Viseme)
"""Their names."""


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
