"""The built-in avatars: valid sprites at every frame size, and mouths that look like their visemes."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from lipwire import _core
from lipwire.avatar import bake, kit, ohm
from lipwire.avatar.art import AXES, VISEMES, Art
from lipwire.avatar.builtin import BUILTIN, draw
from lipwire.avatar.figure import LID_STEPS, LIDS_AT_REST

pytestmark = pytest.mark.xdist_group("art")  # each is drawn once, for all of the tests

SIZES = [(640, 360), (320, 180), (512, 512), (360, 640), (1280, 720)]
CUT = {"body", "arm"}  # may run out of the frame
TOON = {"ohm": ohm.MOUTH, "kit": kit.MOUTH}


@pytest.fixture(scope="module", params=[(n, s) for n in BUILTIN for s in SIZES], ids=lambda p: f"{p[0]}-{p[1]}")
def art(request: pytest.FixtureRequest) -> Art:
    return draw(request.param[0], *request.param[1])


@pytest.fixture(scope="module", params=BUILTIN)
def large(request: pytest.FixtureRequest) -> Art:
    return draw(request.param, 1280, 720)


def mouths(art: Art) -> np.ndarray:
    return np.stack(next(la for la in art.layers if la.select == "mouth").images)


def nearest(art: Art, coord: np.ndarray) -> int:
    return int(np.argmin(((art.mouth_coords - coord) ** 2).sum(1)))


def viseme(art: Art, name: str) -> np.ndarray:
    return mouths(art)[nearest(art, art.viseme_coords[VISEMES.index(name)])]


def inside(name: str, image: np.ndarray) -> np.ndarray:
    """Pixels that show the dark of the mouth."""
    if name in TOON:
        dark, low = (np.array(c) * 255 for c in (TOON[name].cavity, TOON[name].cavity_low))
        way = low - dark
        t = np.clip((image[..., :3] - dark) @ way / (way @ way), 0, 1)
        return (np.linalg.norm(image[..., :3] - dark - t[..., None] * way, axis=-1) < 10) & (image[..., 3] > 200)
    luma = image[..., :3] @ [0.2126, 0.7152, 0.0722]
    return (luma < 50) & (image[..., 3] > 200)


def lips(image: np.ndarray) -> np.ndarray:
    """Opaque pixels: everything but the shade on the skin."""
    return image[..., 3] > 200


def teeth(image: np.ndarray) -> np.ndarray:
    return (image[..., :3].min(-1) > 195) & (image[..., 3] > 200)


def width(mask: np.ndarray) -> int:
    columns = np.flatnonzero(mask.any(0))
    return int(columns[-1] - columns[0] + 1) if len(columns) else 0


def height(mask: np.ndarray) -> int:
    return width(mask.T)


def test_sprites_are_valid(art: Art) -> None:
    assert 1 <= len(art.layers) <= 32
    assert len({la.name for la in art.layers}) == len(art.layers)
    for layer in art.layers:
        h, w = layer.images[0].shape[:2]
        assert h % 2 == 0 and w % 2 == 0 and h > 0 and w > 0
        assert layer.select in ("fixed", "mouth", *AXES)
        assert set(layer.kx) | set(layer.ky) | set(layer.turn) <= set(AXES)
        assert -w < layer.x < art.width and -h < layer.y < art.height
        for image in layer.images:
            assert image.dtype == np.uint8 and image.shape == (h, w, 4) and image.flags.c_contiguous
        assert max(im[..., 3].max() for im in layer.images) > 60, layer.name


def test_borders_are_transparent(art: Art) -> None:
    for layer in art.layers:
        h = len(layer.images[0])
        for image in layer.images:
            a = image[..., 3]
            if layer.name not in CUT:
                assert not a[:2].any() and not a[-2:].any() and not a[:, :2].any() and not a[:, -2:].any(), layer.name
                continue
            assert not a[:2].any()
            # Where it is cut it must reach so far beyond the frame that no movement shows the cut.
            if a[-2:].any():
                assert layer.y + h >= art.height + 2 + sum(map(abs, layer.ky.values())), layer.name
            if a[:, :2].any():
                assert layer.x <= -(2 + sum(map(abs, layer.kx.values()))), layer.name
            if a[:, -2:].any():
                assert layer.x + a.shape[1] >= art.width + 2 + sum(map(abs, layer.kx.values())), layer.name


def test_background_is_opaque(art: Art) -> None:
    assert art.background.shape == (art.height, art.width, 4) and art.background.dtype == np.uint8
    assert (art.background[..., 3] == 255).all()


def test_coordinates(art: Art) -> None:
    bank = mouths(art)
    assert art.mouth_coords.shape == (len(bank), art.viseme_coords.shape[1])
    assert art.viseme_coords.shape[0] == len(VISEMES) and art.viseme_coords.shape[1] <= 16
    assert len(np.unique(art.mouth_coords, axis=0)) == len(bank)
    # Rest is an exact member of the bank, so that a silent face shows a mouth at rest.
    assert np.abs(art.mouth_coords - art.viseme_coords[0]).sum(1).min() == 0
    # No viseme falls into a gap of the bank.
    distance = np.linalg.norm(art.mouth_coords[None] - art.viseme_coords[:, None], axis=2).min(1)
    assert distance.max() < 0.12


def test_visemes_are_distinct(large: Art) -> None:
    picks = [nearest(large, c) for c in large.viseme_coords]
    assert len(set(picks)) == len(VISEMES)
    bank = mouths(large).astype(int)
    for i, a in enumerate(picks):
        for b in picks[:i]:
            assert (np.abs(bank[a] - bank[b]).max(-1) > 40).sum() > 60


@pytest.mark.parametrize("name", ["sil", "PP"])
def test_closed_mouths_show_no_inside(art: Art, name: str) -> None:
    assert inside(art.name, viseme(art, name)).sum() == 0 and teeth(viseme(art, name)).sum() == 0


def test_shapes_follow_the_charts(large: Art) -> None:
    image = {v: viseme(large, v) for v in VISEMES}
    dark = {v: int(inside(large.name, im).sum()) for v, im in image.items()}
    wide = {v: width(lips(im)) for v, im in image.items()}
    tall = {v: height(lips(im)) for v, im in image.items()}
    white = {v: int(teeth(im).sum()) for v, im in image.items()}
    assert max(dark, key=dark.__getitem__) == "aa" and max(tall, key=tall.__getitem__) == "aa"
    assert wide["U"] < wide["O"] < wide["aa"] < wide["I"] and wide["CH"] < wide["SS"]
    assert tall["PP"] < tall["sil"] < tall["E"] < tall["aa"]
    assert dark["U"] < dark["O"] < dark["aa"]
    assert white["U"] == white["O"] == 0
    for v in ("FF", "TH", "SS", "CH", "I", "E", "aa"):
        assert white[v] > 40, v


def corners(mask: np.ndarray) -> float:
    """How many rows the corners of a shut mouth lie above its middle."""
    columns = np.flatnonzero(mask.any(0))
    rows = [float(np.flatnonzero(mask[:, x]).mean()) for x in columns]
    edge = len(rows) // 12
    return float(np.mean(rows[len(rows) // 2 - edge : len(rows) // 2 + edge]) - np.mean(rows[:edge] + rows[-edge:]))


def test_teeth_are_where_a_face_has_them(large: Art) -> None:
    middle = slice(mouths(large).shape[2] // 2 - 2, mouths(large).shape[2] // 2 + 2)
    bite, tongue, throat = (viseme(large, v) for v in ("FF", "DD", "kk"))
    assert teeth(bite)[:, middle].any() and not inside(large.name, bite)[:, middle].any()  # on the lower lip
    assert width(teeth(bite)) < 0.85 * width(lips(bite))
    assert teeth(tongue).sum() > 0.4 * teeth(throat).sum()  # they do not go while the tongue goes up
    assert width(teeth(tongue)) > 0.8 * width(teeth(throat))


def test_closures_keep_the_smile(large: Art) -> None:
    rest, pressed = corners(lips(viseme(large, "sil"))), corners(lips(viseme(large, "PP")))
    assert 0.5 * rest < pressed < 1.5 * rest


def test_bank_is_smooth(large: Art) -> None:
    """From rest to wide open no step changes more than a fraction of the way."""
    bank = mouths(large).astype(np.float32)
    bank[..., :3] *= bank[..., 3:] / 255
    rest, aa = large.viseme_coords[0], large.viseme_coords[VISEMES.index("aa")]
    picks = [nearest(large, rest + (aa - rest) * t) for t in np.linspace(0, 1, 60)]
    steps = [np.abs(bank[a] - bank[b]).sum() for a, b in pairwise(picks)]
    assert len(set(picks)) >= 10
    assert max(steps) < 0.45 * np.abs(bank[picks[0]] - bank[picks[-1]]).sum()


def test_lids_close_over_the_eyes(large: Art) -> None:
    lids = next(la for la in large.layers if la.select == "lids")
    assert len(lids.images) == LID_STEPS
    seen = [int((im[..., 3] > 128).sum()) for im in lids.images]
    assert len(set(seen)) == len(seen)
    if large.name == "ohm":  # eyes of light that go out
        assert seen == sorted(seen, reverse=True) and seen[-1] < 0.25 * seen[LIDS_AT_REST]
        return
    assert seen == sorted(seen)
    for name in ("eye_whites", "irises"):
        eyes = next(la for la in large.layers if la.name == name)
        dy, dx = round(eyes.y - lids.y), round(eyes.x - lids.x)
        h, w = eyes.images[0].shape[:2]
        over = lids.images[-1][dy : dy + h, dx : dx + w, 3]
        assert over[eyes.images[0][..., 3] > 0].min() >= (255 if name == "irises" else 240)


def test_every_axis_shows(large: Art) -> None:
    """Each axis but the head's frames changes the picture, and each expression in its own way."""
    canvas = _core.Canvas(bake(large))
    rest = [0.0] * len(AXES)
    rest[AXES.index("lids")] = _core.LIDS_REST
    mouth = [1.0] + [0.0] * 14
    canvas.draw(rest, mouth)
    still = canvas.i420.astype(int)
    changed = {}
    for axis in AXES:
        axes = list(rest)
        axes[AXES.index(axis)] = 1.0
        canvas.draw(axes, mouth)
        changed[axis] = (np.abs(canvas.i420 - still) > 12)[: large.height]
    # The jaw of the robot is its mouth, and no face shows the blink but through its lids.
    silent = {axis for axis, mask in changed.items() if mask.sum() < 100}
    assert silent <= {"head_turn", "blink", "breath", *(["jaw"] if large.name == "ohm" else [])}
    for a, b in combinations(("happy", "concerned", "surprised"), 2):
        both, either = (changed[a] & changed[b]).sum(), (changed[a] | changed[b]).sum()
        assert both < 0.7 * either, (a, b)


def test_the_arm_is_hidden_until_it_waves(art: Art) -> None:
    arm = next(la for la in art.layers if la.select == "wave")
    assert not arm.images[0].any()
    heights = [np.flatnonzero((im[..., 3] > 128).any(1)) for im in arm.images[1:]]
    tops = [rows[0] if len(rows) else 10**6 for rows in heights]
    up = tops[int(0.4 * len(tops)) :]
    assert max(up) < min(tops[:2]) and max(up) + arm.y < art.height
    middles = [np.flatnonzero((im[up[0] : up[0] + 20, :, 3] > 128).any(0)).mean() for im in arm.images[-6:]]
    assert middles == sorted(middles, reverse=True)  # one way for rising values: the hand sways


@pytest.mark.parametrize("name", BUILTIN)
def test_deterministic(name: str) -> None:
    a, b = draw(name, 320, 180), draw(name, 320, 180)
    assert np.array_equal(a.background, b.background)
    for x, y in zip(a.layers, b.layers, strict=True):
        assert (x.x, x.y, x.kx, x.ky, x.turn, x.pivot) == (y.x, y.y, y.kx, y.ky, y.turn, y.pivot)
        assert all(np.array_equal(p, q) for p, q in zip(x.images, y.images, strict=True))


@pytest.mark.parametrize("name", BUILTIN)
@pytest.mark.parametrize("size", [(16, 16), (64, 16), (16, 64), (176, 144), (1080, 1920)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    art = draw(name, *size)
    assert art.background.shape == (size[1], size[0], 4)
    assert all(im.shape == la.images[0].shape for la in art.layers for im in la.images)


def test_bad_arguments() -> None:
    assert "aria" in BUILTIN
    for args in (("nobody", 640, 360), ("aria", 641, 360), ("aria", 8, 8), ("aria", 5000, 360)):
        with pytest.raises(ValueError):
            draw(*args)
