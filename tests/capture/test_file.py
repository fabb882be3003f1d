"""The file of a recording: what can be read of it whatever happens to it."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import pytest

from lipwire.capture import records as r
from lipwire.capture.file import Writer, read
from lipwire.errors import BadData, InvalidArgument
from lipwire.protocol import messages as m
from lipwire.provider.client import request


def header(format_: int = r.FORMAT) -> r.Header:
    start = request("room")
    settings = r.Settings(
        avatar="aria", width=64, height=36, fps=(25, 1), seed=7, prebuffer=0.06, capacity=120.0, voice_end_grace=0.3,
        voice_end_timeout=1.0,
    )  # fmt: skip
    made = r.new_header("the-session", start, m.grant(start), settings, origin=100.0)
    made.format = format_
    return made


def write(folder: Path, *records: r.Record) -> Path:
    """A recording with these behind its header, flushed after each, not ended."""
    writer = Writer(folder / "r.lipwire.gz")
    for record in (header(), *records):
        writer.append(r.encode(record))
    assert writer.size == writer.path.stat().st_size
    return writer.path


def test_only_its_owner_can_read_it_and_it_is_never_written_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        Writer(path)
    (tmp_path / "link.lipwire.gz").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Writer(tmp_path / "link.lipwire.gz")


def test_all_that_was_flushed_is_read_wherever_it_is_cut(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r.lipwire.gz")
    ends = []
    records: list[r.Record] = [header(), *(r.Sent(float(n), f"event {n} " + "x" * n) for n in range(30))]
    for record in records:
        writer.append(r.encode(record))
        ends.append(writer.size)
    whole = writer.path.read_bytes()
    cut = tmp_path / "cut.lipwire.gz"
    for size in range(ends[0], len(whole) + 1):
        cut.write_bytes(whole[:size])
        found = list(read(cut))
        assert 0 <= len(found) - sum(end <= size for end in ends) <= 1  # one may be whole before its flush is
        assert [record.t for record in found[1:] if isinstance(record, r.Sent)] == list(range(len(found) - 1))


def test_it_is_json_lines_in_gzip_for_everybody(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r.lipwire.gz")
    writer.append(r.encode(header()) + r.encode(r.Ended(1.0, "stopped")))
    writer.close()
    writer.close()
    first, second = gzip.decompress(writer.path.read_bytes()).splitlines()
    assert first.startswith(b'{"k":"capture","format":1,')
    assert second == b'{"k":"end","t":1.0,"reason":"stopped"}'


def test_damage_ends_it_and_raises_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    begin = path.stat().st_size
    path.unlink()
    data = bytearray(write(tmp_path, *(r.Sent(float(n), os.urandom(20).hex()) for n in range(20))).read_bytes())
    for at in range(begin + 200, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        assert isinstance(next(read(path)), r.Header)
        found = [record for record in read(path) if isinstance(record, r.Sent)]
        assert [record.t for record in found[:3]] == list(range(min(3, len(found))))


def test_what_a_later_version_adds_is_left_out(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r.lipwire.gz")
    writer.append(r.encode(header()) + b'{"k":"smell","t":1}\nno json\n' + r.encode(r.Ended(1.0, "stopped")))
    assert [type(record) for record in read(writer.path)] == [r.Header, r.Ended]


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, InvalidArgument, "cannot read"),
        (b"", BadData, "no recording"),
        (b"hello", BadData, "no recording"),
        (gzip.compress(b"hello\n", mtime=0), BadData, "no recording"),
        (gzip.compress(r.encode(r.Ended(1.0, "x")), mtime=0), BadData, "no recording"),
        (gzip.compress(r.encode(header(2)), mtime=0), BadData, "update Lipwire"),
        (gzip.compress(b'{"k":"capture","format":3}\n', mtime=0), BadData, "update Lipwire"),
    ],
)
def test_what_is_none_is_told(tmp_path: Path, content: bytes | None, error: type[Exception], says: str) -> None:
    path = tmp_path / "r"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=says):
        list(read(path))
    assert os.listdir(tmp_path) == ([] if content is None else ["r"])
