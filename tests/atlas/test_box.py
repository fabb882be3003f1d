"""A box of intra macroblocks in a stripe that moves: FFmpeg shows in it what it shows of the box alone, and around it
what was there before, moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lipwire import _core
from lipwire.atlas.box import Box, Spread, bounds, reached
from lipwire.atlas.encode import Decoder, I, IntraEncoder, P
from lipwire.atlas.moved import Mover
from lipwire.atlas.picture import planes
from lipwire.errors import BadData, InvalidArgument
from support.pictures import COLUMNS, HEIGHT, ROWS, WIDTH, picture


@pytest.mark.parametrize("qp", [16, 24, 38])
@pytest.mark.parametrize(
    "box",
    [Box(0, 0, COLUMNS, ROWS), Box(2, 1, 2, 2), Box(0, 2, 3, 2), Box(4, 0, 2, 3), Box(0, 0, 1, 1), Box(5, 3, 1, 1)],
)
def test_a_box_shows_itself_whatever_was_there(box: Box, qp: int) -> None:
    mover, whole = Mover(COLUMNS, ROWS, qp), IntraEncoder(COLUMNS, ROWS, qp)
    alone = IntraEncoder(box.width, box.height, qp)
    random = np.random.default_rng(qp)
    writer = _core.AtlasWriter(WIDTH, HEIGHT, (25, 1), walk_axes=(0,))
    stripe = writer.add_stripe("moving", ROWS)
    expected, nodes = [], []
    for k in range(5):
        if k == 0:
            first, unit = whole.encode(picture(qp, 0.3))
            made: tuple[bytes, int, int, int] = first
            expected.append(Decoder().decode(unit))
        else:
            # Vectors of all kinds: of 16 x 16 and of 8 x 8, predicted ones among them; none at all; and all alike.
            field = np.repeat(np.repeat(random.integers(-3, 4, (ROWS, COLUMNS, 2)), 2, 0), 2, 1).astype(np.int32)
            field[:2, :6] += random.integers(-1, 2, (2, 6, 2), np.int32)
            field[4:] = field[4, 0]
            field[..., 1] *= [0, 0, 0, 0, 0][k]  # within the stripe
            field *= k != 2
            inside, unit = alone.encode(picture(k, [0, 0.0, 0.2, 1.0, 0.05][k], box.width, box.height))
            assert inside.kind == I
            made = _core.patch_slice(mover.around(field, box), inside, (COLUMNS, ROWS), box)
            assert made[2:] == (inside.qp, P)
            shown = mover.moved(expected[-1], field)
            for to, new, size in zip(
                planes(shown, WIDTH, HEIGHT),
                planes(Decoder().decode(unit), 16 * box.width, 16 * box.height),
                (16, 8, 8),
                strict=True,
            ):
                to[box.top * size : box.bottom * size, box.left * size : box.right * size] = new
            expected.append(shown)
        nodes.append((np.zeros(_core.AXES, np.int16), k == 0, [writer.add_slice(stripe, *made)]))
    writer.add_segment(1, nodes)
    stitcher, decoder = _core.Stitcher(_core.Atlas(writer.pack())), Decoder()
    for k, right in enumerate(expected):
        assert (decoder.decode(stitcher.unit(k, (), k == 0)) == right).all(), k


def test_what_is_no_box_is_refused() -> None:
    box, size, place = IntraEncoder(1, 1, 24).slice(picture(1, 1.0, 1, 1)), (2, 1), (1, 0, 1, 1)
    skip = Mover(2, 1, 24).around(np.zeros((2, 4, 2), np.int32), None)
    moved = Mover(2, 1, 24).around(np.full((2, 4, 2), 1, np.int32), None)
    assert _core.patch_slice(skip, box, size, place)[3] == P
    bad: list[tuple[Any, str]] = [
        ((moved, box, size, place), "does not skip the box"),
        ((skip, box._replace(bit_length=box.bit_length - 1), size, place), "malformed"),
        ((skip, box, (1, 1), (0, 0, 1, 1)), "not as many"),
        ((skip, box, size, (0, 0, 2, 1)), "malformed"),
        ((skip, box._replace(bits=box.bits + b"\0", bit_length=box.bit_length + 1), size, place), "left over"),
        ((skip, box._replace(bits=b"\x0d\0", bit_length=16), size, place), "PCM"),  # mb_type 25
    ]
    for arguments, why in bad:
        with pytest.raises(BadData, match=f"cannot be put together: .*{why}"):
            _core.patch_slice(*arguments)
    for arguments in (
        (box, box, size, place),
        (skip, skip, size, place),
        (skip, box, size, (2, 0, 1, 1)),
        (skip, box, (0, 1), place),
    ):
        with pytest.raises(InvalidArgument):
            _core.patch_slice(*arguments)


def test_where_variants_differ() -> None:
    spread = Spread(64, 32)
    one = np.full((48, 64), 100, np.uint8)
    spread.add(one)
    spread.add(one + 2)
    assert spread.differ() is None
    two = one.copy()
    planes(two, 64, 32)[0][9:11, 20:30] = 160
    planes(two, 64, 32)[2][7, 18] = 90
    spread.add(two)
    assert spread.differ() == Box(20, 9, 18, 7)


def test_what_comes_from_there_is_in_the_box() -> None:
    pixels = Box(16, 16, 16, 16)
    field = np.zeros((6, 6, 2), np.int32)
    assert np.argwhere(reached(field, pixels)).tolist() == [[1, 1]]
    assert not reached(field, None).any()
    field[2, 0] = 20, 0  # 5 pixels to the left of it, and 3 that the filter looks at
    assert np.argwhere(reached(field, pixels)).tolist() == [[1, 1]]
    field[3, 1] = 1, 0
    field[1, 3] = 0, 4  # colours lie between two rows
    assert np.argwhere(reached(field, pixels)).tolist() == [[0, 1], [1, 0], [1, 1]]
    assert bounds(pixels, [reached(field, pixels)]) == Box(0, 0, 2, 2)
    assert bounds(pixels, []) == Box(1, 1, 1, 1)
    assert bounds(None, []) is None
