"""Atlases in the cache: made once, shared, thrown away when they are damaged or too many."""

from __future__ import annotations

import logging
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lipwire import _core
from lipwire.atlas import cache
from lipwire.atlas.build import Report
from lipwire.avatar import Avatar
from lipwire.cli.main import app
from lipwire.errors import BadState

SIZE, FPS = (32, 32), Fraction(25)


def tiny(note: bytes) -> bytes:
    """An atlas of one grey picture."""
    writer = _core.AtlasWriter(*SIZE, (25, 1), note=note)
    stripe = writer.add_stripe("static", 2)
    grey = int("00100111" * 4, 2).to_bytes(4, "big")  # a macroblock: Intra_16x16, DC, nothing coded; four of them
    writer.set_static(stripe, writer.add_slice(stripe, grey, 32, 26, _core.SLICE_I))
    writer.add_segment(15, [(np.zeros(_core.AXES, np.int16), True, [])])
    return bytes(writer.pack())


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was pre-encoded, by stand-in for what takes seconds."""
    calls: list[str] = []

    def preencode(avatar: Avatar, width: int, height: int, fps: Fraction, **options: Any) -> tuple[bytes, Report]:
        calls.append(f"{avatar.name} {options['quality']}")
        told = Report(avatar=avatar.name, quality=options["quality"])
        return tiny(cache.json.encode(told)), told

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "preencode", preencode)
    monkeypatch.setattr(cache, "_open", type(cache._open)())
    monkeypatch.setattr(cache, "_making", set())
    return calls


def test_made_once_and_shared(made: list[str]) -> None:
    avatar = Avatar.load("ohm")
    assert cache.load(avatar, *SIZE, FPS) is None
    atlas, path = cache.ensure(avatar, *SIZE, FPS), cache.path_of(avatar, *SIZE, FPS)
    assert path.is_file() and path.parent == cache.folder() and cache.report(atlas).avatar == "ohm"
    assert cache.ensure(avatar, *SIZE, FPS) is atlas and cache.load(avatar, *SIZE, FPS) is atlas
    assert made == ["ohm high"]
    again = cache.ensure(avatar, *SIZE, FPS, force=True)
    assert again is not atlas and made == ["ohm high"] * 2
    assert cache.path_of(avatar, *SIZE, Fraction(30)) != path != cache.path_of(avatar, *SIZE, FPS, "low")
    assert cache.path_of(Avatar.load("kit"), *SIZE, FPS) != path


def test_the_command_says_what_it_made(made: list[str]) -> None:
    for _ in range(2):
        told = CliRunner().invoke(app, ["avatar", "preencode", "ohm", "--size", "32x32", "--quality", "low"])
        assert told.exit_code == 0, told.output
        path = cache.path_of(Avatar.load("ohm"), *SIZE, FPS, "low")
        assert told.output.startswith(f"{path}\n") and "MB, made in" in told.output
    assert made == ["ohm low"]


def test_two_that_ask_at_once_make_one(made: list[str]) -> None:
    avatar = Avatar.load("ohm")
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(cache.ensure(avatar, *SIZE, FPS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["ohm high"] and len(set(map(id, found))) == 1
    assert [file.suffix for file in cache.folder().iterdir()] == [".atlas"], "what was locked is gone"


def test_one_at_a_time_although_what_is_locked_goes_each_time(tmp_path: Path) -> None:
    inside, worst = 0, []

    def work() -> None:
        nonlocal inside
        for _ in range(60):
            with cache._alone(tmp_path / "a.atlas"):
                inside += 1
                time.sleep(0)
                worst.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worst) == 360 and max(worst) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"LWATLAS\0", b"x" * 4096])
def test_a_damaged_one_goes(made: list[str], monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    avatar = Avatar.load("ohm")
    cache.ensure(avatar, *SIZE, FPS)
    path = cache.path_of(avatar, *SIZE, FPS)
    monkeypatch.setattr(cache, "_open", type(cache._open)())  # as another process finds it
    path.write_bytes(damage)
    assert cache.load(avatar, *SIZE, FPS) is None
    assert cache.report(cache.ensure(avatar, *SIZE, FPS)).quality == "high"
    assert made == ["ohm high"] * 2


def test_the_longest_unused_go_first(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    avatar = Avatar.load("ohm")
    paths = [cache.path_of(avatar, *SIZE, FPS, quality) for quality in ("low", "medium", "high")]
    for quality in ("low", "medium"):
        cache.ensure(avatar, *SIZE, FPS, quality=quality)
    monkeypatch.setattr(cache, "MAX_BYTES", 2 * paths[0].stat().st_size + 8)
    for age, path in enumerate(paths[:2]):
        cache.os.utime(path, (1000 - age, 1000 - age))
    cache.ensure(avatar, *SIZE, FPS, quality="high")
    assert [path.is_file() for path in paths] == [True, False, True]


def test_the_best_that_is_there_is_used(made: list[str]) -> None:
    avatar = Avatar.load("ohm")
    for quality in ("low", "high", "medium"):
        cache.ensure(avatar, *SIZE, FPS, quality=quality)
        best = cache.load(avatar, *SIZE, FPS)
        assert best is not None
        assert cache.report(best).quality == ("low" if quality == "low" else "high")


def test_what_a_killed_process_left_goes(made: list[str]) -> None:
    cache.folder().mkdir(parents=True)
    left = cache.folder() / "left.part"
    left.write_bytes(b"half")
    cache.os.utime(left, (1000, 1000))
    old, held = (cache.folder() / name for name in ("old.lock", "held.lock"))
    old.touch()
    with cache._alone(held.with_suffix(".atlas")):
        cache.ensure(Avatar.load("ohm"), *SIZE, FPS)
        assert held.exists()
    assert not left.exists() and not old.exists() and not held.exists()


def test_in_the_background(made: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    avatar = Avatar.load("ohm")
    monkeypatch.setattr(cache, "make_apart", lambda *args: None)  # in this process, where encoding is replaced
    caplog.set_level(logging.INFO, "lipwire.atlas")
    for _ in range(3):
        cache.begin(avatar, *SIZE, FPS)
    _joined()
    assert cache.load(avatar, *SIZE, FPS) is not None and made == ["ohm high"]
    assert "pre-encoding ohm at 32x32, 25 fps" in caplog.text and "pre-encoded ohm" in caplog.text

    def fails(*args: Any, **options: Any) -> None:
        raise BadState("there is no voice")

    monkeypatch.setattr(cache, "preencode", fails)
    for _ in range(3):
        cache.begin(avatar, *SIZE, Fraction(30))
        _joined()
    assert caplog.text.count("is not pre-encoded: there is no voice") == 1


def _joined() -> None:
    for thread in [t for t in threading.enumerate() if t.name == "lipwire-preencode"]:
        thread.join(60)
