"""A film that is recorded while a session speaks: it plays, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from msgspec import structs

import lipwire
from lipwire import _core
from lipwire.errors import BadState, InvalidArgument
from lipwire.publish import LiveFilm, Tee
from lipwire.publish.live_film import FORMS, NICE
from lipwire.publish.live_tracks import threads_for
from lipwire.stream import StreamSpec, Unit
from support.broadcast import (
    RATE,
    SIZE,
    SOUND_ONLY,
    SPEC,
    Ears,
    Flash,
    check_together,
    claps,
    happy_for_a_while,
    performed,
    read,
    source,
)


async def feed(film: LiveFilm, items: list[Any], spec: StreamSpec = SPEC) -> None:
    await film.open(spec)
    hand(film, items)


def hand(film: LiveFilm, items: list[Any]) -> None:
    for item in items:
        if isinstance(item, tuple):
            film.audio(*item)
        elif isinstance(item, Unit):
            film.unit(item)
        else:
            film.video(item)


async def written(film: LiveFilm, seconds: float) -> None:
    while film.stats()["seconds"] < seconds and film.state == "recording":
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", FORMS)
async def test_a_live_session_is_recorded_with_sound_and_picture_together(ending: str, tmp_path: Path) -> None:
    film, ears = LiveFilm(tmp_path / f"x{ending}"), Ears()
    async with lipwire.Session(Tee(ears, film), avatar=Flash(), size=SIZE) as session:
        session.write(claps(2), RATE)
        session.end()
        await session.finished()
    given, shown = source(ears.items), read(str(film.path))
    assert film.state == "finished" and film.stats()["failure"] is None
    check_together(shown, given)
    # The film's zero is the first picture's time.
    zero = next(item.sample for item in ears.items if isinstance(item, _core.Frame))
    assert film.zero == zero
    assert np.allclose(shown.bursts(), np.array(given.bursts()) - zero / RATE, atol=0.025)
    assert film.path.stat().st_mode & 0o777 == 0o600


async def play(film: LiveFilm, seconds: int) -> list[Any]:
    """So much of it, no faster than the thread that writes."""
    items = list(performed(seconds))
    await film.open(SPEC)
    for n in range(0, len(items), 25):
        hand(film, items[n : n + 25])
        await asyncio.sleep(0)
        while film.state == "recording" and (film._feed._pictures > 4):
            await asyncio.sleep(0.001)
    return items


@pytest.mark.parametrize("ending", FORMS)
async def test_what_a_killed_process_leaves_can_be_played(ending: str, tmp_path: Path) -> None:
    film = LiveFilm(tmp_path / f"x{ending}")
    await play(film, 7)
    await written(film, 6.9)
    killed = tmp_path / f"killed{ending}"
    killed.write_bytes(film.path.read_bytes())  # the system has it, and keeps it
    await film.close()
    shown = read(str(killed))
    assert len(shown.flashes()) >= 3 and shown.times[-1] > 3.5
    assert np.allclose(shown.skews()[:3], read(str(film.path)).skews()[:3], atol=0.003)


async def test_units_are_copied_and_a_key_is_asked_for_every_two_seconds(tmp_path: Path) -> None:
    spec, items = happy_for_a_while()
    first, second = [item for item in items if isinstance(item, Unit)][:2]
    film, keys = LiveFilm(tmp_path / "x.mp4"), []
    film.request_key = lambda: keys.append(film.stats()["seconds"])  # as a session sets it
    assert film.takes_units and not LiveFilm(tmp_path / "x.webm").takes_units
    late = LiveFilm(tmp_path / "late.mp4")
    await late.open(structs.replace(spec, parameter_sets=b""))  # they come later, and the head is written by then
    assert late.wants == "pictures"
    await late.close()
    await film.open(spec)
    assert film.wants == "units"
    for n in range(60):
        film.unit(Unit(second.data if n else first.data, n * 1920, n == 0))
        film.audio(bytes(2 * 1920), n * 1920)
    await film.close()
    await asyncio.sleep(0)
    assert len(keys) == 1  # from the fiftieth picture on, until it comes
    with av.open(str(film.path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    assert len(packets) == 60 and packets[0].is_keyframe
    # In an MP4 the length stands where Annex B has its start code.
    assert [nal for nal in _core.nal_split(second.data) if nal not in bytes(packets[1])] == []


async def test_an_mp4_that_is_finished_is_an_ordinary_one(tmp_path: Path) -> None:
    film = LiveFilm(tmp_path / "x.mp4")
    await play(film, 3)
    await film.close()
    data = film.path.read_bytes()
    at, boxes = 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes.append(data[at + 4 : at + 8].decode())
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        at += size or len(data)
    assert "moov" in boxes and "moof" not in boxes  # its index is in one place: players can seek


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file becomes larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_is_full_ends_the_film_and_what_is_there_plays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[LiveFilm] = []
    film = LiveFilm(tmp_path / "x.mp4", on_end=ended.append)
    with files_of_at_most(60_000):
        await play(film, 12)
        await film.close()
    assert film.state == "failed" and "File too large" in film.failure and ended == [film]
    assert film.wants == "nothing"
    film.audio(bytes(960), 0)  # it goes on, and nobody minds
    shown = read(str(film.path))
    assert shown.times[-1] > 1.5 and 10_000 < film.path.stat().st_size <= 60_000
    assert caplog.text.count("its session goes on") == 1


@pytest.mark.parametrize("by", ["limit", "allow"])
async def test_a_film_ends_at_its_limit_and_is_whole(by: str, tmp_path: Path) -> None:
    most, used = 120_000, 0

    def allow(more: int) -> str:
        nonlocal used
        used += more
        return "" if used < most // 2 else "the disk is another's, too"

    options: dict[str, Any] = {"limit": most} if by == "limit" else {"allow": allow}
    film = LiveFilm(tmp_path / "x.mp4", **options)
    await play(film, 12)
    await film.close()
    assert film.state == "limit" and film.stats()["failure"] == (
        "it has reached its limit" if by == "limit" else allow(0)
    )
    assert film.path.stat().st_size <= most
    assert read(str(film.path)).times[-1] > 1


async def test_sound_alone_is_recorded_too(tmp_path: Path) -> None:
    film = LiveFilm(tmp_path / "x.mp4")
    items = [item for item in performed(7) if isinstance(item, tuple)]
    await feed(film, items, SOUND_ONLY)
    assert film.wants == "nothing"
    await written(film, 6.9)
    killed = tmp_path / "killed.mp4"
    killed.write_bytes(film.path.read_bytes())
    assert film._thread is not None and film._thread.native_id is not None
    assert os.getpriority(os.PRIO_PROCESS, film._thread.native_id) >= NICE  # it gives way to sessions
    await film.close()
    shown = read(str(film.path))
    assert shown.codecs == ("aac",) and len(shown.bursts()) == 7
    assert len(read(str(killed)).sound) >= 5.9 * RATE  # no more than 2 s are lost


def test_an_encoder_has_threads_by_the_size_of_pictures() -> None:
    assert [threads_for(*size) for size in ((640, 360), (1280, 720), (1920, 1080))] == [1, 2, 4]


async def test_nothing_is_left_where_nothing_was_recorded(tmp_path: Path) -> None:
    film = LiveFilm(tmp_path / "x.mp4")
    await film.open(SPEC)
    film.audio(bytes(960), 0)  # and no picture
    await film.close()
    assert list(tmp_path.iterdir()) == [] and film.stats()["failure"] == "nothing was recorded"
    with pytest.raises(BadState, match="one session"):
        await film.open(SPEC)
    told: list[LiveFilm] = []
    never = LiveFilm(tmp_path / "y.mp4", on_end=told.append)
    await never.close()
    await never.close()
    assert told == [never] and never.state == "finished"


async def test_what_cannot_be_recorded_is_told_before_it_begins(tmp_path: Path) -> None:
    for name in ("x.avi", "x.gif", "x"):
        with pytest.raises(InvalidArgument, match=r"end its name in \.mp4 or \.webm"):
            LiveFilm(tmp_path / name)
    (tmp_path / "x.mp4").write_bytes(b"older")
    for path, why in ((tmp_path / "x.mp4", "such a file already"), (tmp_path / "no" / "x.mp4", "No such file")):
        with pytest.raises(InvalidArgument, match=why):
            await LiveFilm(path).open(SPEC)
    assert (tmp_path / "x.mp4").read_bytes() == b"older"
