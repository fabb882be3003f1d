"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipwire.errors import InvalidArgument
from lipwire.publish.part import Part


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write(path: Path, data: bytes) -> None:
    part = Part(path)
    part.open()
    part.write(data)
    part.keep()
    part.drop()


@pytest.mark.parametrize("name", ["f.mp4", "n" * 251 + ".mp4", "ü" * 125 + ".mp4"])
def test_any_name_that_the_system_takes(tmp_path: Path, name: str) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / name, b"new")
    finally:
        os.umask(before)
    assert names(tmp_path) == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


def test_a_name_that_it_does_not_take_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "lost.mp4").symlink_to("no/film.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    before = names(tmp_path)
    for name in ("n" * 252 + ".mp4", "pipe.mp4", "loop.mp4", "lost.mp4", "null.mp4", "."):
        with pytest.raises(InvalidArgument, match="cannot write"):
            Part(tmp_path / name).open()
    assert names(tmp_path) == before


def test_two_that_write_one_file_are_kept_apart(tmp_path: Path) -> None:
    parts = Part(tmp_path / "f.mp4"), Part(tmp_path / "f.mp4")
    for part in parts:
        part.open()
    for number, part in enumerate(parts):
        part.write(b"%d" % number)
    parts[1].keep()
    parts[0].drop()
    assert names(tmp_path) == ["f.mp4"] and (tmp_path / "f.mp4").read_bytes() == b"1"


@pytest.mark.parametrize("older", [True, False])
def test_a_link_stays_one(tmp_path: Path, older: bool) -> None:
    (tmp_path / "store").mkdir()
    if older:
        (tmp_path / "store" / "real.mp4").write_bytes(b"an older film")
    (tmp_path / "film.mp4").symlink_to("store/real.mp4")
    write(tmp_path / "film.mp4", b"new")
    assert os.readlink(tmp_path / "film.mp4") == "store/real.mp4"
    assert names(tmp_path / "store") == ["real.mp4"] and (tmp_path / "film.mp4").read_bytes() == b"new"
