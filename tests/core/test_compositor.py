"""Frames, sprites and the compositor: what Python adds to the C tests (tests/c/test_picture.c)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lipwire
from lipwire import Compositor, Frame, Sprite, _core
from lipwire.avatar import Avatar, bake
from lipwire.avatar.art import AXES, Axis
from lipwire.errors import InvalidArgument

pytestmark = pytest.mark.kernels

Rgba = NDArray[np.uint8]


def disc(width: int, height: int, rgb: tuple[int, int, int] = (200, 40, 90)) -> Rgba:
    y, x = np.mgrid[:height, :width]
    far = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5) * 2
    alpha = np.clip((1 - far) * 8, 0, 1) * 255
    return np.dstack([np.full((height, width), part) for part in rgb] + [alpha]).astype(np.uint8)


def test_a_frame_is_black_and_its_planes_are_its_memory() -> None:
    frame = Frame(64, 36)
    y, u, v = frame.planes
    assert (y.shape, u.shape, v.shape) == ((36, 64), (18, 32), (18, 32))
    assert set(np.unique(y)) == {16} and set(np.unique(u)) == set(np.unique(v)) == {128}
    assert len(memoryview(frame)) == 64 * 36 * 3 // 2
    y[5, 7], v[17, 31] = 99, 77
    assert frame.i420[5, 7] == 99 and memoryview(frame)[-1] == 77
    assert frame.width == 64 and frame.height == 36 and frame.changed and frame.matrix == "bt709"
    del frame
    assert y[5, 7] == 99  # a view keeps the memory


@pytest.mark.parametrize("size", [(15, 16), (16, 15), (14, 16), (16, 14), (4098, 16), (16, 4098), (-16, 16), (0, 0)])
def test_sizes_that_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgument):
        Frame(*size)


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_rgb_there_and_back(matrix: Any) -> None:
    ramp = np.linspace(0, 255, 64)
    rgba = np.zeros((36, 64, 4), np.uint8)
    rgba[..., 0], rgba[..., 1], rgba[..., 2] = ramp, ramp[::-1], 128
    frame = Frame.from_rgba(rgba, matrix=matrix)
    assert frame.matrix == matrix
    assert np.abs(frame.to_rgb().astype(int) - rgba[..., :3]).max() <= 6  # chroma is shared by two columns
    grey = Frame.from_rgba(np.full((16, 16, 4), 100, np.uint8), matrix=matrix)
    assert np.abs(grey.to_rgb().astype(int) - 100).max() <= 1


def test_the_matrices_differ_as_pyav_says() -> None:
    import av

    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:, :16], rgb[:, 16:] = (220, 30, 60), (20, 90, 230)
    rgba = np.dstack([rgb, np.full((32, 32), 255, np.uint8)])
    for matrix in ("bt709", "bt601"):
        video = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        theirs = video.reformat(
            format="yuv420p", dst_colorspace=matrix.replace("bt", "ITU"), dst_color_range="MPEG"
        ).to_ndarray()
        ours = Frame.from_rgba(rgba, matrix=matrix).i420  # type: ignore[arg-type]
        assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_a_copy_is_its_own() -> None:
    frame = Frame.from_rgba(disc(32, 32))
    other = frame.copy()
    assert np.array_equal(frame.i420, other.i420)
    other.i420[:] = 0
    assert frame.i420.any()


def test_a_session_s_frame_can_be_copied_and_converted() -> None:
    performer = _core.Performer(lipwire.Avatar.load("aria").at(64, 36))
    while (frame := performer.read_frame()) is None:
        performer.tick()
    kept = frame.copy()
    assert np.array_equal(kept.i420, frame.i420) and kept.sample == frame.sample and kept.sequence == frame.sequence
    assert frame.to_rgb().shape == (36, 64, 3) and frame.matrix == "bt709"
    assert frame.scaled(128, 72).i420.shape == (108, 128)


def test_frames_that_show_the_same_say_so() -> None:
    still = _core.NativeAvatar(64, 36, [np.full((36, 64, 4), 90, np.uint8)], [])
    performer = _core.Performer(still)
    seen = []
    for _ in range(40):
        performer.tick()
        while (frame := performer.read_frame()) is not None:
            seen.append(frame.changed)
            del frame
    assert len(seen) >= 9 and seen[0] and not any(seen[1:])
    assert performer.stats()["frames_unchanged"] == len(seen) - 1


def test_scaling_keeps_flat_colours_and_shrinks_in_steps() -> None:
    frame = Frame(640, 360)
    Compositor(frame).fill((10, 200, 120))
    for size in ((426, 240), (64, 36), (16, 16), (1280, 720)):
        small = frame.scaled(*size)
        assert (small.width, small.height) == size
        for plane, whole in zip(small.planes, frame.planes, strict=True):
            assert (plane == whole[0, 0]).all()
    # Far below half, every pixel still counts: fine stripes become their mean.
    frame.planes[0][:, ::2], frame.planes[0][:, 1::2] = 60, 160
    assert np.abs(frame.scaled(80, 46).planes[0].astype(int) - 110).max() <= 8
    with pytest.raises(InvalidArgument):
        frame.scaled(15, 16)


@settings(max_examples=60, deadline=None)
@given(st.floats(-80, 200), st.floats(-80, 120), st.floats(-3, 3), st.floats(0.25, 4))
def test_drawing_stays_between_what_is_there_and_what_is_drawn(x: float, y: float, turns: float, scale: float) -> None:
    frame = Frame(160, 90)
    draw = Compositor(frame)
    draw.fill((20, 30, 40))
    low = [int(plane[0, 0]) for plane in frame.planes]
    draw.fill((200, 40, 90))
    high = [int(plane[0, 0]) for plane in frame.planes]
    draw.fill((20, 30, 40))
    sprite = Sprite(disc(60, 40))
    draw.warp(sprite, x, y, turns=turns, scale=scale)
    draw.blend(sprite, -x, y)
    for plane, a, b in zip(frame.planes, low, high, strict=True):
        assert plane.min() >= min(a, b) - 2 and plane.max() <= max(a, b) + 2


def test_warp_turns_clockwise_about_the_pivot() -> None:
    bar = np.zeros((8, 40, 4), np.uint8)
    bar[:, 20:] = 255  # the right half
    frame = Frame(80, 80)
    Compositor(frame).warp(Sprite(bar), 20, 36, turns=0.25)
    y = frame.planes[0]
    assert y[55, 40] == 235 and y[25, 40] == 16  # what was right points down
    frame = Frame(80, 80)
    Compositor(frame).warp(Sprite(bar), 20, 36, turns=0.5, pivot=(0, 0))
    assert (frame.planes[0][30:34, 2:18] == 16).all()  # the visible half left the frame's part around the pivot
    wide = Frame(80, 80)
    Compositor(wide).warp(Sprite(bar), 20, 36, scale=2)
    assert wide.planes[0][33:47, 42:78].min() == 235


def test_a_sprite_scaled_far_down_keeps_its_mass() -> None:
    sprite = Sprite(disc(400, 300))
    small = sprite.scaled(40, 30)
    assert (small.width, small.height) == (40, 30) and small.nbytes < sprite.nbytes
    frame = Frame(64, 64)
    draw = Compositor(frame)
    draw.blend(small, 10, 10)
    covered = (frame.planes[0] > 16).sum()
    assert abs(covered - np.pi * 15 * 20) < 90


def test_chroma_key_puts_a_picture_on_another_background() -> None:
    image = disc(80, 60, (0, 255, 0))
    image[..., 3] = 255
    image[20:40, 30:50, :3] = 210, 120, 90  # a face on green
    keyed = Compositor.chroma_key(image)
    assert (keyed[0, 0, 3], keyed[30, 40, 3]) == (0, 255)
    assert np.array_equal(keyed[30, 40], image[30, 40])
    frame = Frame(80, 60)
    draw = Compositor(frame)
    draw.picture(Frame.from_rgba(np.full((30, 40, 4), 200, np.uint8)))
    draw.blend(Sprite(keyed))
    shown = frame.to_rgb()
    assert np.abs(shown[0, 0].astype(int) - 200).max() <= 2
    assert np.abs(shown[30, 40].astype(int) - (210, 120, 90)).max() <= 4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Sprite(np.zeros((4, 4, 3), np.uint8)),
        lambda: Sprite(np.zeros((4, 4, 4), np.float32)),  # type: ignore[arg-type]
        lambda: Sprite(np.zeros((0, 4, 4), np.uint8)),
        lambda: Sprite(np.zeros((4, 8193, 4), np.uint8)),
        lambda: Sprite(disc(8, 8), matrix="bt2020"),  # type: ignore[arg-type]
        lambda: Sprite(disc(8, 8)).scaled(0, 8),
        lambda: Sprite(disc(8, 8)).scaled(8, 8193),
        lambda: Frame.from_rgba(disc(17, 16)),
        lambda: Frame(32, 32, matrix="rgb"),  # type: ignore[arg-type]
        lambda: Compositor(Frame(32, 32)).fill((1, 2)),
        lambda: Compositor(Frame(32, 32)).fill((0, 0, 256)),
        lambda: Compositor(Frame(32, 32)).blend(Sprite(disc(8, 8)), 1e6),
        lambda: Compositor(Frame(32, 32)).blend(Sprite(disc(8, 8)), float("nan")),
        lambda: Compositor(Frame(32, 32)).blend(Sprite(disc(8, 8), matrix="bt601")),
        lambda: Compositor(Frame(32, 32)).picture(Frame(32, 32, matrix="bt601")),
        lambda: Compositor(Frame(32, 32)).warp(Sprite(disc(8, 8)), scale=0.2),
        lambda: Compositor(Frame(32, 32)).warp(Sprite(disc(8, 8)), turns=float("inf")),
        lambda: Compositor.chroma_key(disc(8, 8), similarity=1.5),
        lambda: Compositor.chroma_key(disc(8, 8), (0, 300, 0)),
    ],
)
def test_what_is_wrong_is_named(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        wrong()


def test_a_frame_is_made_once() -> None:
    frame = Frame(32, 32)
    with pytest.raises(lipwire.LipwireError):
        frame.__init__(64, 64)  # type: ignore[misc]
    with pytest.raises(InvalidArgument):
        Compositor(Frame.__new__(Frame))


def test_a_layer_turns_with_its_axis_and_dirty_rows_hold() -> None:
    images = [np.full((90, 160, 4), 255, np.uint8), disc(60, 30)]
    kangle = [16384] + [0] * (len(AXES) - 1)
    zero = [0] * len(AXES)
    avatar = _core.NativeAvatar(160, 90, images, [(1, 1, -1, 400, 240, zero, zero, 240, 120, kangle)], matrix="bt601")
    canvas, still = _core.Canvas(avatar), [0.0] * len(AXES)
    canvas.draw(still, [0] * 15)
    flat = canvas.i420.copy()
    for turn in (0.3, 1.0, -0.5, 0.0):
        axes = [turn, *still[1:]]
        pixels = canvas.draw(axes, [0] * 15)
        fresh = _core.Canvas(avatar)
        assert fresh.draw(axes, [0] * 15) == 160 * 90 > pixels > 0
        assert np.array_equal(canvas.i420, fresh.i420)
        assert canvas.draw(axes, [0] * 15) == 0
    assert np.array_equal(canvas.i420, flat) and avatar.matrix == "bt601"


def test_a_head_composed_first_looks_like_its_layers_drawn_one_by_one() -> None:
    """Layers whose pivots lie apart turn alone; a quarter of a pixel at 2 degrees is not seen."""
    art = Avatar.load("aria").art(320, 180)
    apart = [
        dataclasses.replace(layer, pivot=(layer.pivot[0] + 0.5 * (i % 2), layer.pivot[1]))
        for i, layer in enumerate(art.layers)
    ]
    together, alone = _core.Canvas(bake(art)), _core.Canvas(bake(dataclasses.replace(art, layers=apart)))
    axes, visemes = [0.0] * len(AXES), [0.0] * 15
    for number in range(24):
        for axis, share in ((Axis.HEAD_X, 0.31), (Axis.HEAD_Y, 0.23), (Axis.GAZE_X, 0.7), (Axis.JAW, 0.9)):
            axes[axis] = share * float(np.sin(number * (1.1 + axis)))
        axes[Axis.HEAD_ROLL] = 0.28 * float(np.sin(number))
        visemes[number % 15] = 1.0
        together.draw(axes, visemes)
        alone.draw(axes, visemes)
        visemes[number % 15] = 0.0
        for rows, decibels in ((slice(0, 180), 40), (slice(180, None), 45)):
            error = together.i420[rows].astype(float) - alone.i420[rows]
            assert (error**2).mean() < 255**2 / 10 ** (decibels / 10), f"pose {number}"
