"""What is behind an avatar: colours and pictures, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipwire.avatar import Avatar
from lipwire.avatar.backdrop import parse_colour, with_backdrop
from lipwire.errors import BadData, InvalidArgument

SIZE = (64, 48)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#2b6777", (0x2B, 0x67, 0x77)),
        ("#FA0", (255, 170, 0)),
        ("Teal", (0, 128, 128)),
        ("#12345", None),
        ("x.png", None),
    ],
)
def test_colours(text: str, colour: tuple[int, int, int] | None) -> None:
    assert parse_colour(text) == colour


def test_only_the_background_changes() -> None:
    own = Avatar.load("kit")
    before, after = own.art(*SIZE), with_backdrop(own, "#102030").art(*SIZE)
    assert (after.background == [0x10, 0x20, 0x30, 255]).all()
    assert after.background.shape == before.background.shape
    assert [layer.name for layer in after.layers] == [layer.name for layer in before.layers]
    assert with_backdrop(own, "#102030").name == "kit"
    assert with_backdrop(own, "white").at(*SIZE).width == SIZE[0]


@pytest.mark.parametrize("size", [(128, 48), (64, 96), (64, 48), (16, 16), (301, 77)])
def test_a_picture_fills_the_frame_with_its_middle(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 250, width)
    picture[..., 1] = np.linspace(0, 250, height)[:, None]
    Image.fromarray(picture).save(tmp_path / "50% a:b.png")
    shown = with_backdrop(Avatar.load("aria"), tmp_path / "50% a:b.png").art(*SIZE).background
    assert shown.shape == (SIZE[1], SIZE[0], 4)
    middle = shown[SIZE[1] // 2, SIZE[0] // 2]
    assert np.abs(middle[:3].astype(int) - [125, 125, 0]).max() < 16
    red, green = np.ptp(shown[..., 0].astype(int)), np.ptp(shown[..., 1].astype(int))
    assert max(red, green) > 200, "one side is shown whole"
    assert red / green == pytest.approx(SIZE[0] / width / (SIZE[1] / height), rel=0.25), "and the other in proportion"


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (with_backdrop(Avatar.load("aria"), tmp_path / "clear.png").art(*SIZE).background == 255).all()


def test_what_is_no_background_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("To be, or not to be.")
    with pytest.raises(InvalidArgument, match="no file, and no colour"):
        with_backdrop(Avatar.load("aria"), tmp_path / "missing.png")
    with pytest.raises(BadData, match=r"text\.png"):
        with_backdrop(Avatar.load("aria"), tmp_path / "text.png")


def test_an_avatar_knows_whether_it_was_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    avatar = Avatar("ohm")
    behind = with_backdrop(avatar, "black")
    assert not avatar.is_drawn(32, 32) and not behind.is_drawn(32, 32)
    avatar.at(32, 32)
    assert avatar.is_drawn(32, 32) and behind.is_drawn(32, 32) and Avatar("ohm").is_drawn(32, 32)
