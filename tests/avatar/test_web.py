"""avatar/web.py, rig.py and packing.py: a browser gets every pixel and every number of what the server draws."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lipwire import _core
from lipwire.avatar import AXES, Avatar, packing, web
from lipwire.avatar.packing import WIDE, Piece, pack
from lipwire.avatar.rig import RigLayer, rig
from lipwire.avatar.web import MAX_SIDE, SIZES, WebAvatars, check_size, size_for, web_avatar
from lipwire.errors import InvalidArgument
from support import artwork

Pixels = NDArray[np.uint8]


def spot(width: int, height: int, box: tuple[int, int, int, int], seed: int) -> Pixels:
    """Noise in a box, transparent around; some of what is transparent has a colour."""
    image = np.zeros((height, width, 4), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = np.random.default_rng(seed).integers(1, 256, (bottom - top, right - left, 4))
    image[0, 0, :3] = 77
    return image


def cut(sheets: list[Any], piece: Any, like: Pixels) -> Pixels:
    """The image that a piece is of."""
    out = np.zeros((like.shape[0] + 2, like.shape[1] + 2, 4), np.uint8)  # a pixel more on each side
    if piece is not None:
        sheet, x, y, w, h, dx, dy = piece
        out[dy + 1 : dy + 1 + h, dx + 1 : dx + 1 + w] = sheets[sheet][y : y + h, x : x + w]
    assert not out[[0, -1]].any() and not out[:, [0, -1]].any()
    return out[1:-1, 1:-1]


def seen(image: Pixels) -> Pixels:
    return image * (image[..., 3:] > 0)


def test_images_are_whole_on_their_sheets() -> None:
    images = [
        spot(60, 40, (5, 3, 40, 38), 1),
        spot(60, 40, (0, 0, 60, 40), 2),
        spot(60, 40, (20, 20, 21, 21), 3),
        np.zeros((40, 60, 4), np.uint8),
        spot(1300, 30, (0, 2, 1290, 30), 4),
        spot(60, 40, (5, 3, 40, 38), 1),
        spot(3000, 10, (1, 1, 2999, 9), 5),
    ]
    sheets, pieces = pack(images)
    for image, piece in zip(images, pieces, strict=True):
        assert np.array_equal(cut(sheets, piece, image), seen(image))
    assert pieces[3] is None and pieces[0] == pieces[5]
    taken = [np.zeros(sheet.shape[:2], int) for sheet in sheets]
    for piece in set(pieces) - {None}:
        assert isinstance(piece, Piece)
        taken[piece.sheet][piece.y : piece.y + piece.h, piece.x : piece.x + piece.w] += 1
    assert max(place.max() for place in taken) == 1, "no two lie on each other"
    assert sheets[0].shape[1] >= 3000 > WIDE, "an image that is wider than others makes its sheet so"
    assert pack([np.zeros((4, 4, 4), np.uint8)]) == ([], [None])


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "TALL", 64)
    images = [spot(60, 40, (0, 0, 60, 40), seed) for seed in range(80)]
    sheets, pieces = pack(images)
    assert len(sheets) == 3 and all(one.shape[0] <= 64 for one in sheets)
    assert all(np.array_equal(cut(sheets, piece, image), image) for piece, image in zip(pieces, images, strict=True))
    monkeypatch.setattr(packing, "MOST", 64 * WIDE)
    with pytest.raises(InvalidArgument, match="million pixels at this size"):
        pack(images)


@pytest.mark.parametrize(("width", "height"), [(15, 16), (17, 16), (MAX_SIDE + 2, 16), (MAX_SIDE, MAX_SIDE), (-2, 16)])
def test_sizes_that_are_not_made(width: int, height: int) -> None:
    with pytest.raises(InvalidArgument):
        check_size(width, height)


@pytest.mark.parametrize("name", ["ohm", "artwork"])
def test_what_a_browser_gets_is_what_the_server_draws(name: str, tmp_path: Path) -> None:
    avatar = Avatar.load(str(artwork.write(tmp_path / "Dot", artwork.files())) if name == "artwork" else name)
    width, height = 128, 72
    made, art = web_avatar(avatar, width, height), avatar.art(width, height)
    manifest = json.loads(made.manifest)
    assert (manifest["name"], manifest["width"], manifest["height"]) == (avatar.name, width, height)

    def picture(source: str) -> Pixels:
        folder, size, file = source.split("/")
        assert (folder, size) == (avatar.name, "128x72")
        return np.array(Image.open(io.BytesIO(made.images[file])).convert("RGBA"))

    assert np.array_equal(picture(manifest["background"]), art.background)
    sheets = [picture(source) for source in manifest["sheets"]]
    first = 1
    rows = []
    for layer, told in zip(art.layers, manifest["layers"], strict=True):
        assert told["name"] == layer.name
        for image, piece in zip(layer.images, told["images"], strict=True):
            assert np.array_equal(cut(sheets, piece, image), seen(image))
        select = {"fixed": _core.SELECT_FIXED, "mouth": _core.SELECT_MOUTH}.get(told["select"])
        gains = [[told[key].get(axis, 0) for axis in AXES] for key in ("kx8", "ky8", "kangle")]
        rows.append(
            RigLayer(
                first,
                len(layer.images),
                AXES.index(told["select"]) if select is None else select,
                *(told["x8"], told["y8"], *gains[:2], told["pivot_x8"], told["pivot_y8"], gains[2]),
            )
        )
        first += len(layer.images)
    assert rows == rig(art)
    head, native = manifest["head"], avatar.at(width, height).head
    assert native == ((head["first"], head["count"], head["anchor"]) if head else (0, 0, 0))
    assert (head is None) == (name == "artwork"), "one layer alone is no head"
    assert web_avatar(avatar, width, height) == made, "the same bytes, so that caches hold"


@pytest.mark.parametrize(
    ("asked", "had"),
    [
        ((1280, 720), (1280, 720)),
        ((1282, 720), (1280, 720)),
        ((642, 360), (640, 360)),
        ((700, 360), (960, 540)),
        ((800, 600), (1280, 720)),
        ((700, 700), (960, 960)),
        ((1170, 2532), (1440, 2560)),
        ((600, 800), (960, 960)),
        ((2560, 100), (2560, 1440)),
        ((2000, 2000), (1920, 1920)),
        ((16, 16), (320, 320)),
    ],
)
def test_a_few_sizes_cover_all(asked: tuple[int, int], had: tuple[int, int]) -> None:
    assert size_for(Avatar.load("aria"), *asked) == had


@pytest.mark.parametrize(
    ("fit", "asked", "had", "shown"),
    [
        ("crop", (300, 600), (360, 640), "cover"),
        ("letterbox", (300, 600), (320, 240), "contain"),  # 4:3, of which no more is seen than 300x225
        ("letterbox", (1600, 300), (480, 360), "contain"),
        ("letterbox", (2560, 1600), (1920, 1440), "contain"),
        ("scale", (300, 600), (960, 720), "fill"),
    ],
)
def test_artwork_that_is_shown_whole_has_its_own_shape(
    tmp_path: Path, fit: str, asked: tuple[int, int], had: tuple[int, int], shown: str
) -> None:
    avatar = Avatar.load(str(artwork.write(tmp_path / "Dot", artwork.files(artwork.fitted(fit, "#102030")))))
    assert size_for(avatar, *asked) == had and size_for(avatar, *had) == had
    manifest = json.loads(web_avatar(avatar, 64, 48).manifest)
    assert (manifest["fit"], manifest["matte"]) == (shown, "#102030")


def test_every_size_there_is_is_made_and_is_its_own() -> None:
    for width, height in (size for sizes in SIZES for size in sizes):
        check_size(width, height)
        assert size_for(Avatar.load("aria"), width, height) == (width, height)


def test_what_was_made_is_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    avatar = Avatar.load(str(artwork.write(tmp_path / "Dot", artwork.files())))
    kept = WebAvatars()
    first = kept.get(avatar, 64, 48)
    assert kept.get(avatar, 64, 48) is first
    monkeypatch.setattr(web, "KEPT_BYTES", first.nbytes)
    kept.get(avatar, 32, 24)
    again = kept.get(avatar, 64, 48)
    assert again is not first and again == first


def test_of_a_built_in_avatar_the_files_outlive_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ohm = Avatar.load("ohm")
    made = WebAvatars().get(ohm, 64, 48)
    monkeypatch.setattr(web, "webp", lambda _: pytest.fail("it was made again"))
    assert WebAvatars().get(ohm, 64, 48) == made
    toml = artwork.TOML.replace('name = "Dot"', 'name = "ohm"')
    other = Avatar.load(str(artwork.write(tmp_path / "other", artwork.files(toml))))
    monkeypatch.setattr(web, "webp", lambda _: b"another")
    assert WebAvatars().get(other, 64, 48) != made, "artwork that has its name is none"
    (kept,) = (tmp_path / "lipwire" / "avatars").glob("*.zip")
    good = kept.read_bytes()
    for damaged in (b"damaged", *(turned(good, bit) for bit in range(0, 8 * len(directory(good)), 7))):
        kept.write_bytes(damaged)
        assert WebAvatars().find(ohm, 64, 48) in (None, made)
    kept.write_bytes(b"damaged")
    assert set(WebAvatars().get(ohm, 64, 48).images.values()) == {b"another"}


def directory(archive: bytes) -> bytes:
    """Of a ZIP file: what says where its files are, and how they are packed."""
    return archive[archive.index(b"PK\1\2") :]


def turned(archive: bytes, bit: int) -> bytes:
    """One bit of its directory turned."""
    damaged = bytearray(archive)
    damaged[len(archive) - len(directory(archive)) + bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
