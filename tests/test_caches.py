"""Files in the cache: whole or not there, the longest unused go, whatever other processes do meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipwire import caches


def put(path: Path, used: float, size: int = 10) -> Path:
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def test_the_longest_unused_go_and_the_new_one_stays(tmp_path: Path) -> None:
    keep = put(tmp_path / "new.npz", 1)  # as long unused as its clock says: it was made just now
    old, young = put(tmp_path / "old.npz", 1000), put(tmp_path / "young.npz", 2000)
    other = put(tmp_path / "other.atlas", 1)
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")  # as one that goes between the listing and the look
    left, growing = put(tmp_path / "left.part", 1000), tmp_path / "growing.part"
    growing.write_bytes(b"half")
    caches.prune(keep, 20)
    assert [path.exists() for path in (keep, old, young, other, left, growing)] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    caches.prune(keep, 0)
    assert keep.exists() and not young.exists()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    caches.write(path, lambda file: file.write(b"whole"))
    with pytest.raises(OSError, match="full"):
        caches.write(path, lambda file: (_ for _ in ()).throw(OSError("the disk is full")))
    assert path.read_bytes() == b"whole" and [file.name for file in tmp_path.iterdir()] == ["x.npz"]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert caches.folder("atlases") == tmp_path / "lipwire" / "atlases"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caches.folder("avatars") == tmp_path / ".cache" / "lipwire" / "avatars"
