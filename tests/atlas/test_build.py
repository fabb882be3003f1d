"""Pre-encoding a built-in avatar whole, small: what is stitched of it is decoded and held against the drawing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lipwire import _core
from lipwire.atlas import build, proof, variants
from lipwire.atlas.build import preencode
from lipwire.atlas.cache import report
from lipwire.atlas.encode import Decoder, IntraEncoder, P
from lipwire.atlas.harvest import BLINK, HEAD_X, LIDS, MODES, ONE, Poses, mouth_images, watch
from lipwire.atlas.moved import Mover
from lipwire.atlas.picture import Easel, blocks, planes
from lipwire.atlas.stripes import cut
from lipwire.atlas.walk import ANCHOR_EVERY, Reach, far, plan
from lipwire.audio import espeak
from lipwire.avatar import Avatar
from lipwire.errors import InvalidArgument
from support.machine import require

SIZE, FPS = (200, 120), Fraction(10)
"""Neither a multiple of 16."""


@pytest.fixture(scope="module")
def said() -> tuple[bytes, int]:
    require(espeak.available(), "espeak-ng (espeakng-loader)")
    pcm, rate = espeak.synthesize("Five blue peaches, oh yes, were thrown about; people choose them.")
    return pcm, rate


@pytest.fixture(scope="module")
def made(said: tuple[bytes, int]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "VARIANTS", {"mouth": 6, "eyes": 4})
        patch.setattr(build, "PLACES", 60)
        patch.setattr(build, "speech", lambda voice: said)
        shares: list[float] = []
        blob, told = preencode(Avatar.load("aria"), *SIZE, FPS, jobs=2, progress=shares.append)
        assert shares == sorted(shares) and shares[-1] == 1.0
        return _core.Atlas(blob), told


def test_what_is_made_is_what_it_says(made: Any) -> None:
    atlas, told = made
    assert report(atlas) == told
    assert (atlas.width, atlas.height, atlas.fps) == (*SIZE, (10, 1))
    assert told.nodes == atlas.nodes and 8 < told.places <= 60
    parts = [stripe.split()[0] for stripe in told.stripes]
    assert [told.variants.get(part, 1) for part in parts if part != "static"] == list(atlas.variants)
    assert sum(int(stripe.split()[1]) for stripe in told.stripes) == blocks(SIZE[1])
    for bit in range(len(MODES)):
        assert any(modes >> bit & 1 for _, _, modes in atlas.segments)
    assert told.psnr > 30 and told.chroma > 40 and told.kbps > 10


def test_stitched_it_looks_as_it_is_drawn(made: Any, said: tuple[bytes, int]) -> None:
    """Through all segments, with what a session would choose, from any anchor."""
    atlas, _ = made
    avatar = Avatar.load("aria")
    easel, decoder, stitcher = Easel(avatar.at(*SIZE)), Decoder(), _core.Stitcher(atlas)
    poses = watch("speaking", FPS, 4, 3, said)
    mouths = mouth_images(avatar.art(*SIZE), poses.visemes)
    worst, k = 99.0, 0
    for first, count, _ in atlas.segments:
        for node in range(first, first + count):
            at = k % len(poses)
            k += 1
            axes = poses.axes[at].copy()
            for axis, value in atlas.head(node).items():
                axes[axis] = round(value * ONE)
            chosen = atlas.choose(axes / ONE, int(mouths[at]))
            shown = decoder.decode(stitcher.unit(node, chosen, (atlas.anchor(node) and k % 3 == 0) or k == 1))
            drawn = easel.show(axes, poses.visemes[at]).y
            error = ((planes(shown, *SIZE)[0].astype(np.int32) - drawn) ** 2).mean()
            worst = min(worst, proof.psnr(float(error)))
    assert worst > 28


def test_expressions_are_left_to_an_encoder(made: Any) -> None:
    atlas, _ = made
    rest = Poses.rest().axes[0] / ONE
    assert atlas.covers(rest)
    for axis, _ in build.LIMITS.items():
        happy = rest.copy()
        happy[axis] = 0.5
        assert not atlas.covers(happy)
    turned = rest.copy()
    turned[HEAD_X], turned[BLINK], turned[LIDS] = 1, 1, 1
    assert atlas.covers(turned)


def test_what_shows_something_else_is_found(said: tuple[bytes, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "VARIANTS", {"mouth": 2, "eyes": 1})
    monkeypatch.setattr(build, "PLACES", 24)
    monkeypatch.setattr(build, "speech", lambda voice: said)
    maker = build._Maker(Avatar.load("ohm"), 96, 64, Fraction(5), "low")
    stock = maker._encoded(1, lambda share: None)
    atlas = _core.Atlas(maker._filled(stock).pack())
    assert maker._unlike(atlas, stock) == []
    (i, _), step = next((key, step) for key, step in stock.steps.items() if step.field is not None)
    assert step.field is not None
    step.field = step.field + np.int32(4)
    wrong = maker._unlike(atlas, stock)
    assert wrong and {stripe for stripe, _ in wrong} == {i}


def test_an_unknown_quality_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="low, medium, high"):
        preencode(Avatar.load("aria"), *SIZE, FPS, quality="best")


def test_what_has_moved_is_said_by_vectors_alone() -> None:
    """A texture that goes in all directions: FFmpeg shows what the encoder says that it shows."""
    random = np.random.default_rng(3)
    texture = np.kron(random.integers(40, 200, (30, 40)), np.ones((4, 4)))
    big = planes(_smooth(texture), 160, 120)[0]
    writer, mover = _core.AtlasWriter(64, 48, (25, 1), walk_axes=(0,)), Mover(4, 3, 24)
    stripe = writer.add_stripe("moving", 3)
    encoder, shown, nodes, expected = IntraEncoder(4, 3, 24), None, [], []
    for k, (x, y) in enumerate(((40, 40), (41, 40), (41, 42), (43, 41), (40, 39), (40, 39))):
        picture = np.full((72, 64), 128, np.uint8)
        picture[:48] = big[y : y + 48, x : x + 64]
        picture[48:] = picture[:48:2].reshape(24, 64)
        if shown is None:
            one, unit = encoder.encode(picture)
            shown = Decoder().decode(unit)
        else:
            found = mover.slice([(shown, picture if k < 5 else shown)], (-12, -12), (12, 12))
            assert (found is None) == (k == 5)
            if found is not None:
                one, shown = found[0], mover.moved(shown, found[1])
                assert one.kind == P
            assert np.square(shown[:48].astype(int) - picture[:48])[8:-8, 8:-8].mean() < 60
        nodes.append((np.zeros(_core.AXES, np.int16), k == 0, [None if k == 5 else writer.add_slice(stripe, *one)]))
        expected.append(shown)
    writer.add_segment(1, nodes)
    stitcher, decoder = _core.Stitcher(_core.Atlas(writer.pack())), Decoder()
    for k, picture in enumerate(expected):
        assert (decoder.decode(stitcher.unit(k, (), k == 0)) == picture).all()


def _smooth(texture: Any) -> Any:
    """A picture without edges, as I420."""
    wide = np.pad(texture, 4, mode="edge")
    soft = np.lib.stride_tricks.sliding_window_view(wide, (9, 9)).mean((2, 3))
    out = np.full(160 * 120 * 3 // 2, 128, np.uint8)
    planes(out, 160, 120)[0][...] = soft
    return out


def test_a_walk_begins_at_rest_and_goes_in_small_steps(said: tuple[bytes, int]) -> None:
    art = Avatar.load("kit").art(320, 180)
    walk, reach = plan(art, FPS, said, 0.3, 1000), Reach(art)
    where = reach.at(walk.axes)
    assert not walk.axes[0][[HEAD_X]].any() and {s.modes for s in walk.segments} == {1, 2, 4, 8}
    for segment in walk.segments:
        assert segment.places[0] == 0 and len(segment.places) == 40
        path = where[[*segment.places, 0]]
        assert far(path[1:], path[:-1]).max() < 6  # at 10 frames a second
    assert len(plan(art, FPS, said, 0.3, 30).axes) <= 30
    assert ANCHOR_EVERY == 8


def _seen(said: tuple[bytes, int], width: int, height: int) -> tuple[Any, Easel, Any, dict[str, Any]]:
    """Ohm's art and easel at that size, a walk, and the states of the parts."""
    avatar = Avatar.load("ohm")
    art, easel = avatar.art(width, height), Easel(avatar.at(width, height))
    seen = [(1.0, watch("speaking", FPS, 10, 1, said)), (1.0, watch("idle", FPS, 20, 1))]
    states = {part: variants.visited(art, part, seen) for part in variants.PARTS}
    return art, easel, plan(art, FPS, said, 0.5, 60), states


def test_a_face_too_small_for_rows_of_its_own_is_refused(said: tuple[bytes, int]) -> None:
    """Rather than shown with a mouth that never opens."""
    _, *small = _seen(said, 96, 54)
    with pytest.raises(InvalidArgument, match=r"at 96x54: .* the mouth would never move"):
        cut(*small)
    _, *larger = _seen(said, 128, 72)
    assert [stripe.part for stripe in cut(*larger) if stripe.part] == ["eyes", "mouth"]


def test_rows_of_eyes_and_mouth_are_cut_apart(said: tuple[bytes, int]) -> None:
    art, easel, walk, states = _seen(said, 320, 180)
    found = cut(easel, walk, states)
    assert [stripe.part for stripe in found if stripe.part] == ["eyes", "mouth"]
    rows = [row for stripe in found for row in range(stripe.first, stripe.first + stripe.rows)]
    assert rows == list(range(easel.rows))
    chosen = {}
    for stripe in found:
        if stripe.part:
            d = variants.distances(easel, states[stripe.part], stripe.first, stripe.rows)
            chosen[stripe.part] = [
                variants.choose(art, stripe.part, states[stripe.part], d, most).error for most in (2, 8, 24)
            ]
    for errors in chosen.values():
        assert errors[0] > errors[1] > errors[2]
