"""The folder that films of sessions go into: no name leads out of it, nobody meets another's, it does not overflow."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.publish import film_folder
from lipwire.publish.film_folder import LEAST, FilmFolder, FilmLimits
from lipwire.publish.live_film import LiveFilm
from support.broadcast import SPEC, performed, read

LIMITS = FilmLimits(film=8 << 20, total=32 << 20)


def hand(film: LiveFilm, seconds: int) -> None:
    for item in performed(seconds):
        film.audio(*item) if isinstance(item, tuple) else film.video(item)


@pytest.mark.parametrize(
    "name",
    ["../x.mp4", "/x.mp4", "a/b.mp4", "..mp4", ".x.mp4", "x.mp4\n", "x.MP4", "x.avi", "x", "é.mp4", "x\0.mp4", "-.mp4",
     "\\x.mp4", "a" * 121 + ".mp4"],
)  # fmt: skip
def test_no_name_leads_out_of_it(name: str, tmp_path: Path) -> None:
    films = FilmFolder(tmp_path / "films", LIMITS)
    with pytest.raises(InvalidArgument, match=r"record\.file"):
        films.open("operator", name, "s")
    assert not any(path.is_file() for path in tmp_path.rglob("*")) and films.active == 0


async def test_each_owner_has_a_folder_and_each_name_is_there_once(tmp_path: Path) -> None:
    films = FilmFolder(tmp_path / "films", LIMITS)
    one, other = films.open("ann", "talk 1.mp4", "s"), films.open("bob", "talk 1.mp4", "s")
    assert (films.place(one), films.place(other)) == ("ann/talk 1.mp4", "bob/talk 1.mp4")
    assert (tmp_path / "films").stat().st_mode & 0o777 == 0o700
    for taken in ("talk 1.mp4", "talk 1.webm"):  # the transcript of both would be talk 1.vtt
        with pytest.raises(InvalidArgument, match="there is such a film already"):
            films.open("ann", taken, "s")
    made = films.open("ann", None, "session-7")
    assert films.place(made).startswith("ann/2") and films.place(made).endswith("Z-session-7.mp4")
    assert films.active == 3
    films.forget(made)
    films.forget(made)
    assert films.active == 2
    (tmp_path / "films" / "eve").symlink_to(tmp_path)
    with pytest.raises(InvalidArgument, match="is a link"):
        await films.open("eve", "x.mp4", "s").open(SPEC)
    (tmp_path / "films" / "ann").mkdir()
    (tmp_path / "films" / "ann" / "older.webm").touch()
    older = films.open("ann", "older.mp4", "s")
    with pytest.raises(InvalidArgument, match="there is such a film already"):
        await older.open(SPEC)
    assert not older.path.exists() and films.counts["started"] == 0
    await older.close()  # as its session does
    assert films.counts["finished"] == 0 and older not in films._active


async def test_it_counts_and_is_full_when_it_is(tmp_path: Path) -> None:
    films = FilmFolder(tmp_path, FilmLimits(film=4 << 20, total=3 << 20))
    film = films.open("ann", "x.mp4", "s")
    await film.open(SPEC)
    hand(film, 1)
    await film.close()
    assert films.active == 0
    assert films.counts == {"started": 1, "finished": 1, "limit": 0, "failed": 0, "bytes": film.path.stat().st_size}
    (tmp_path / "other").write_bytes(bytes((2 << 20) + 1))
    films.look().result()
    with pytest.raises(NoCapacity, match="films_total_mb"):
        await films.open("ann", "y.mp4", "s").open(SPEC)
    (tmp_path / "other").unlink()
    after = films.open("ann", "z.mp4", "s")
    await after.open(SPEC)  # it looks again before it refuses
    await after.close()


async def test_what_other_processes_film_counts_while_a_film_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_folder, "LOOK_EVERY", 0.0)
    films = FilmFolder(tmp_path, FilmLimits(film=4 << 20, total=16 << 20))
    film = films.open("ann", "x.mp4", "s")
    await film.open(SPEC)
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "y.mp4").write_bytes(bytes(17 << 20))
    film.charge(1000)  # it grows, so that the folder is looked at
    films.look().result()
    assert not film.charge(1000), "what bob has fills it"
    await film.close()


async def test_whoever_fills_their_part_ends_nobody_elses_films(tmp_path: Path) -> None:
    quota = {"ann": None, "bob": LEAST + 30_000}
    films = FilmFolder(tmp_path, LIMITS, quota.__getitem__)
    ann, bob = films.open("ann", "x.mp4", "s"), films.open("bob", "x.mp4", "s")
    for film in (ann, bob):
        await film.open(SPEC)
    hand(bob, 1)
    while bob.stats()["seconds"] < 0.5:
        await asyncio.sleep(0.01)
    assert bob.charge(LEAST - 1000)  # a transcript
    assert not bob.charge(31_000)
    hand(bob, 1)  # which is late, and finds it full
    hand(ann, 1)
    for film in (ann, bob):
        await film.close()
    assert (ann.state, bob.state) == ("finished", "limit")
    assert "key_films_mb" in bob.stats()["failure"] and read(str(bob.path)).times
    (tmp_path / "bob" / "more").write_bytes(bytes(LEAST))
    films.look().result()
    with pytest.raises(NoCapacity, match="the films of bob"):
        await films.open("bob", "y.mp4", "s").open(SPEC)
    again = films.open("ann", "y.mp4", "s")
    await again.open(SPEC)
    hand(again, 1)
    assert films.encoded == SPEC.width * SPEC.height * SPEC.fps
    await again.close()
    assert films.encoded == 0 and again.state == "finished"


def grow(film: LiveFilm, size: int) -> bool:
    """So many bytes more beside a film, as of its transcript; whether there is room for them."""
    film.path.parent.mkdir(exist_ok=True)
    with film.path.with_suffix(".vtt").open("ab") as file:
        file.truncate(file.tell() + size)
    return film.charge(size)


async def test_who_has_most_leaves_the_rest_of_a_full_folder_to_the_others(tmp_path: Path) -> None:
    """No quota anywhere, as the operator has none. 4 of 32 MiB are kept for those that have begun."""
    mib, limits = 1 << 20, FilmLimits(film=64 << 20, total=32 << 20)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x.mp4").write_bytes(bytes(2 * mib))
    films = FilmFolder(tmp_path, limits)
    films.look().result()
    long, short, bob, cid = (films.open(owner, None, of) for owner, of in ("a1", "a2", "b3", "c4"))
    assert grow(long, 17 * mib) and grow(short, mib) and grow(cid, mib), "as much as they like, while there is room"
    assert grow(bob, 8 * mib), "3 MiB are left, and of 30 he has less than a third"
    new = films.open("d", None, "new")
    with pytest.raises(NoCapacity, match=r"nearly full .*; delete some"):
        await new.open(SPEC)
    films.forget(new)  # as the session does that could not start
    assert not grow(short, 1) and "a has more than a share" in short._refused
    assert grow(bob, 1) and grow(cid, 1)
    for film in (bob, cid):  # they end, and so what they have is no longer shared
        films.forget(film)
    assert grow(long, 1) is False and "this one has more than a share" in long._refused

    small = films.open("a", None, "small")
    assert grow(small, mib) and not grow(small, 2 * mib) and "is full" in small._refused


async def test_a_disk_that_hangs_holds_up_no_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films, goes_on = FilmFolder(tmp_path, LIMITS), threading.Event()
    film = films.open("ann", "x.mp4", "s")
    monkeypatch.setattr(films, "_make", lambda folder: goes_on.wait() and folder.mkdir())
    opening = asyncio.create_task(film.open(SPEC))
    await asyncio.sleep(0)
    assert not opening.done()  # and this goes on
    goes_on.set()
    await opening
    await film.close()
    goes_on.clear()
    monkeypatch.setattr("lipwire.publish.live_film.OPEN", 0)
    monkeypatch.setattr(films, "_make", lambda folder: goes_on.wait())
    late = films.open("ann", "late.mp4", "s")
    with pytest.raises(NoCapacity, match="has not answered"):
        await late.open(SPEC)
    goes_on.set()
    await late.close()
    assert films.active == 0


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="films: cannot write into"):
        FilmFolder(tmp_path / "file" / "x", LIMITS)
