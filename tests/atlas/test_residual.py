"""What motion leaves, coded: FFmpeg shows what the encoder says that it shows, beside a box and without one."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire import _core
from lipwire.atlas.box import Box
from lipwire.atlas.encode import Decoder, IntraEncoder, P
from lipwire.atlas.moved import Mover
from lipwire.atlas.residual import Packed, add, chroma_qp, residual
from lipwire.errors import BadData, InvalidArgument
from support.pictures import COLUMNS, HEIGHT, ROWS, WIDTH, picture


@pytest.mark.parametrize("qp", [10, 23, 34, 47])
@pytest.mark.parametrize("box", [None, Box(0, 0, 1, 2), Box(2, 1, 3, 2), Box(5, 0, 1, 4)])
def test_what_is_left_is_shown(box: Box | None, qp: int) -> None:
    mover, random = Mover(COLUMNS, ROWS, qp), np.random.default_rng(qp)
    first, unit = IntraEncoder(COLUMNS, ROWS, 30).encode(picture(1, 0.1))
    shown = [Decoder().decode(unit)]
    writer = _core.AtlasWriter(WIDTH, HEIGHT, (25, 1), walk_axes=(0,))
    stripe = writer.add_stripe("moving", ROWS)
    slices: list[tuple[bytes, int, int, int]] = [first]
    for k in range(3):
        field = np.zeros((2 * ROWS, 2 * COLUMNS, 2), np.int32)
        field[..., 0] = random.integers(-9, 9, field.shape[:2]) * (random.random(field.shape[:2]) < 0.3)
        moved, drawn = mover.moved(shown[-1], field), picture(2 + k, [0.02, 0.6, 0.0][k])
        leave = np.zeros((ROWS, COLUMNS), bool)
        left = residual(moved, drawn, COLUMNS, ROWS, qp, [0.0, 1.0, 200.0][k], leave)
        after = add(moved, left.added)
        error = [float(np.square(one.astype(int) - drawn).mean()) for one in (moved, after)]
        assert error[1] < error[0], "it is nearer to what was drawn"
        packed = Packed.of(left)
        assert (packed.levels() == left.levels).all() and (packed.added() == left.added).all()
        if box is None:
            inside, place = None, (0, 0, 0, 0)
        else:
            packed, place = packed.without(box), box
            inside, unit = IntraEncoder(box.width, box.height, 28).encode(picture(9, 0.2, box.width, box.height))
            after = box.put(add(moved, packed.added()), Decoder().decode(unit), WIDTH, HEIGHT)
        around = mover.around(field, box, packed.coded)
        made = _core.patch_slice(around, inside, (COLUMNS, ROWS), place, packed.levels(), qp)
        assert made[2:] == (qp if inside is None else inside.qp, P)
        slices.append(made)
        shown.append(after)
    axes = np.zeros(_core.AXES, np.int16)
    writer.add_segment(1, [(axes, k == 0, [writer.add_slice(stripe, *one)]) for k, one in enumerate(slices)])
    stitcher, decoder = _core.Stitcher(_core.Atlas(writer.pack())), Decoder()
    for k, right in enumerate(shown):
        assert (decoder.decode(stitcher.unit(k, (), k == 0)) == right).all(), k


def test_a_residual_that_cannot_be_said_is_refused() -> None:
    mover, place = Mover(2, 1, 24), (0, 0, 0, 0)
    field, levels = np.zeros((2, 4, 2), np.int32), np.zeros((2, 384), np.int16)
    levels[1, 0] = 2000
    skips, says = mover.around(field, None), mover.around(field, None, np.array([[False, True]]))
    assert _core.patch_slice(says, None, (2, 1), place, levels, 24)[3] == P
    with pytest.raises(BadData, match="of a skipped macroblock"):
        _core.patch_slice(skips, None, (2, 1), place, levels, 24)
    levels[1, 383] = -2001
    with pytest.raises(BadData, match="out of range"):
        _core.patch_slice(says, None, (2, 1), place, levels, 24)
    for numbers, qp in ((levels[:1], 24), (levels, 52), (levels, -1)):
        with pytest.raises(InvalidArgument):
            _core.patch_slice(says, None, (2, 1), place, numbers, qp)


def test_nothing_is_left_of_what_is_right_or_left_alone() -> None:
    one, other = picture(1, 0.1), picture(2, 0.1)
    nothing, everything = np.zeros((ROWS, COLUMNS), bool), np.ones((ROWS, COLUMNS), bool)
    assert not residual(one, one, COLUMNS, ROWS, 20, 1.0, nothing).levels.any()
    assert not residual(one, other, COLUMNS, ROWS, 20, 1.0, everything).added.any()
    assert [chroma_qp(qp) for qp in (0, 6, 35, 36, 51)] == [0, 0, 29, 29, 38]
