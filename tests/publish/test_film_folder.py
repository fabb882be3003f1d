"""The folder that films of sessions go into: no name leads out of it, nobody meets another's, it does not overflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.publish.film_folder import FilmFolder, FilmLimits
from support.broadcast import SPEC, performed

LIMITS = FilmLimits(film=8 << 20, total=32 << 20)


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


def test_each_owner_has_a_folder_and_each_name_is_there_once(tmp_path: Path) -> None:
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
        films.open("eve", "x.mp4", "s")


async def test_it_counts_and_is_full_when_it_is(tmp_path: Path) -> None:
    films = FilmFolder(tmp_path, FilmLimits(film=4 << 20, total=3 << 20))
    film = films.open("ann", "x.mp4", "s")
    await film.open(SPEC)
    for item in performed(1):
        film.audio(*item) if isinstance(item, tuple) else film.video(item)
    await film.close()
    assert films.active == 0
    assert films.counts == {"started": 1, "finished": 1, "limit": 0, "failed": 0, "bytes": film.path.stat().st_size}
    (tmp_path / "other").write_bytes(bytes((2 << 20) + 1))
    with pytest.raises(NoCapacity, match="full"):
        films.open("ann", "y.mp4", "s")
    (tmp_path / "other").unlink()
    assert films.open("ann", "y.mp4", "s")


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="films: cannot write into"):
        FilmFolder(tmp_path / "file" / "x", LIMITS)
