"""Pictures and a film of an avatar: what it can show, as the compositor draws it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..avatar import Avatar
from ..avatar.art import AXES, EXPRESSIONS, GESTURES, STATES, VISEMES, Art
from ..avatar.still import rest_axes
from ..models.voices.choose import choose
from ..models.voices.speaker import speak
from ..publish.film import FilmWriter
from ..session.offline import perform

if TYPE_CHECKING:
    from PIL.Image import Image

JAW = {"aa": 1.0, "E": 0.45, "O": 0.55, "kk": 0.2, "I": 0.15, "U": 0.15, "TH": 0.2, "DD": 0.15}
TILE = 240
COLUMNS = 5
MARGIN, LABEL = 10, 22
TEXT = (
    "Hello! I am {name}. Buy my papa a map, please. Very fine fish. Thank you for thinking of me; you and I know the "
    "way. See? Oh, how wonderful!"
)
_CUES = ((0.2, "gesture", "wave"), (0.2, "emotion", "happy"), (3.0, "emotion", "neutral"), (6.0, "gesture", "nod"))
_NAMES = {"state": STATES, "emotion": EXPRESSIONS, "gesture": GESTURES}
_SETTINGS = {
    "state": _core.MOTION_STATE,
    "emotion": _core.MOTION_EXPRESSION,
    "gesture": _core.MOTION_GESTURE,
}
_POSES = {
    "half closed": {"lids": 0.62, "blink": 0.5},
    "closed": {"lids": 1.0, "blink": 1.0},
    "looks aside": {"gaze_x": -1.0},
    "turns": {"head_x": -1.0, "head_turn": 0.0},
    "tilts": {"head_roll": 1.0},
}
Picture = NDArray[np.uint8]


def to_rgb(i420: NDArray[np.uint8], height: int) -> Picture:
    """A frame (height * 3 / 2, width) in BT.709 limited range as (height, width, 3)."""
    width = i420.shape[1]
    flat = i420.reshape(-1).astype(np.float32)
    luma = (flat[: width * height].reshape(height, width) - 16) * np.float32(255 / 219)
    u, v = (
        part.reshape(height // 2, width // 2).repeat(2, 0).repeat(2, 1) - np.float32(128)
        for part in np.split(flat[width * height :], 2)
    )
    rgb = np.stack([luma + 1.7927 * v, luma - 0.2132 * u - 0.5329 * v, luma + 2.1124 * u], -1)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def viseme_pictures(native: _core.NativeAvatar) -> dict[str, Picture]:
    """The whole frame for every viseme."""
    canvas = _core.Canvas(native)
    out = {}
    for i, viseme in enumerate(VISEMES):
        axes = rest_axes()
        axes[AXES.index("jaw")] = JAW.get(viseme, 0.0)
        canvas.draw(axes, [float(k == i) for k in range(len(VISEMES))])
        out[viseme] = to_rgb(canvas.i420, native.height)
    return out


def moment(native: _core.NativeAvatar, kind: str, name: str, seconds: float) -> Picture:
    """What a silent session shows some time after `special({kind: name})`; a blink is waited for."""
    performer = _core.Performer(native, (50, 1), frame_slots=4, seed=1)
    performer.set(_SETTINGS[kind], _NAMES[kind].index(name))
    tick = 0
    while True:
        performer.tick()
        while performer.read_pcm() is not None:
            pass
        tick += 1
        frame = performer.read_frame()
        if frame is not None and tick * 0.01 >= seconds and frame.axes[AXES.index("blink")] == 0:
            return to_rgb(frame.i420, native.height)
        del frame


def _mouth_box(art: Art) -> tuple[int, int, int, int]:
    """Mouth, nose and chin: left, top, right, bottom in pixels, TILE wide in proportion to 3/4 high."""
    layer = next(la for la in art.layers if la.select == "mouth")
    seen = np.maximum.reduce([image[..., 3] for image in layer.images]) > 32
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    cx, cy = layer.x + (xs[0] + xs[-1]) / 2, layer.y + (ys[0] + ys[-1]) / 2
    half = max(1.25 * (xs[-1] - xs[0]), 1.6 * (ys[-1] - ys[0]), 24)
    half = min(half, art.width / 2, art.height / 1.5)
    left = min(max(cx - half, 0), art.width - 2 * half)
    top = min(max(cy - 0.75 * half, 0), art.height - 1.5 * half)
    return round(left), round(top), round(left + 2 * half), round(top + 1.5 * half)


def contact_sheet(avatar: Avatar, width: int, height: int, progress: Callable[[int, int], None] | None = None) -> Image:
    """All visemes, expressions, lids, states and gestures, with their names."""
    from PIL import Image, ImageDraw, ImageFont

    native = avatar.at(width, height)
    art = avatar.art(width, height)
    moments = (
        [("emotion", name, name, 1.0) for name in EXPRESSIONS]
        + [("state", name, name, 4.0) for name in STATES[1:]]
        + [("gesture", name, name, at) for name, at in (("nod", 0.58), ("shake", 0.55), ("wave", 0.6), ("wave", 0.85))]
    )
    box = _mouth_box(art)
    tiles = [
        (name, Image.fromarray(picture).crop(box), (TILE, TILE * 3 // 4))
        for name, picture in viseme_pictures(native).items()
    ]
    wide = TILE, max(16, round(TILE * height / width))
    for done, (kind, name, label, seconds) in enumerate(moments):
        if progress:
            progress(done, len(moments))
        tiles.append((label, Image.fromarray(moment(native, kind, name, seconds)), wide))
    canvas = _core.Canvas(native)
    for name, pose in _POSES.items():
        axes = rest_axes()
        for axis, value in pose.items():
            axes[AXES.index(axis)] = value
        canvas.draw(axes, [1.0] + [0.0] * (len(VISEMES) - 1))
        tiles.append((name, Image.fromarray(to_rgb(canvas.i420, native.height)), wide))
    rows: list[list[tuple[str, Image.Image, tuple[int, int]]]] = []
    for tile in tiles:  # a row holds tiles of one size
        if not rows or len(rows[-1]) == COLUMNS or rows[-1][0][2] != tile[2]:
            rows.append([])
        rows[-1].append(tile)
    tall = sum(row[0][2][1] + LABEL + MARGIN for row in rows) + MARGIN
    sheet = Image.new("RGB", (COLUMNS * (TILE + MARGIN) + MARGIN, tall), (250, 250, 252))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    y = MARGIN
    for row in rows:
        for i, (name, picture, size) in enumerate(row):
            x = MARGIN + i * (TILE + MARGIN)
            sheet.paste(picture.resize(size, Image.Resampling.LANCZOS), (x, y))
            draw.text((x + 2, y + size[1] + 2), name, (40, 48, 64), font)
        y += row[0][2][1] + LABEL + MARGIN
    if progress:
        progress(len(moments), len(moments))
    return sheet


def reduced(sheet: Image) -> Image:
    """In 256 colours, dithered: a third of the bytes. The palette covers rare colours (a tongue) too."""
    from PIL import Image

    palette = sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    return sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def film(
    avatar: Avatar,
    path: Path,
    width: int,
    height: int,
    text: str | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> float:
    """A short MP4 in which the avatar says `text`, waves and nods. Returns its seconds.

    Raises:
        InvalidArgument, BadState, ModelFailed: who speaks for the avatar is not there.
    """
    sounds = speak(choose(None, avatar.voice).name, text or TEXT.format(name=avatar.name))
    pcm, rate = b"".join(sound.pcm for sound in sounds), sounds[0].rate
    length = len(pcm) / 2 / rate
    writer = FilmWriter(path, width, height, Fraction(25))
    cues = [(at, _SETTINGS[kind], _NAMES[kind].index(name)) for at, kind, name in _CUES]
    chunks = (pcm[at : at + rate // 5 * 2] for at in range(0, len(pcm), rate // 5 * 2))
    clock = frames = 0
    try:
        writer.open()
        for item in perform(chunks, rate, avatar.at(width, height), seed=1, cues=cues):
            if isinstance(item, tuple):
                block, clock = item
                writer.audio(block, clock)
            else:
                writer.video(item.i420, item.sample)
                frames += 1
                if progress and frames % 10 == 0:
                    progress(min(clock / _core.RATE, length), length)
            del item
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return clock / _core.RATE
