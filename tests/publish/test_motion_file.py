"""A live session's motion in a file, which others read while it grows."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.errors import InvalidArgument, StorageError
from lipwire.motion import MotionEvent, MotionFrame, MotionReader

RATE = _core.RATE
TONE = (np.sin(np.arange(RATE) * 0.03) * 8000).astype(np.int16).tobytes()


async def test_a_session_is_read_while_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "talk.lwm"
    publisher = lipwire.publish.MotionFile(path, sets=("pose", "head"))
    null = lipwire.publish.Null(wants="nothing")
    async with lipwire.Session(lipwire.publish.Tee(publisher, null), fps=50) as session:
        session.write(TONE, RATE)
        async with asyncio.timeout(60):
            while path.stat().st_size < 2000:  # what has come is there
                await asyncio.sleep(0.01)
        early = []
        try:
            for record in MotionReader(path):
                early.append(record)
        except lipwire.errors.BadData as exc:  # it was read between two writes of a block
            assert "cut off" in str(exc)
        assert sum(isinstance(record, MotionFrame) for record in early) > 10
        session.special({"emotion": "happy"})
        session.interrupt()
        await asyncio.sleep(0)
        assert session.stats()["frames_undrawn"] >= 10
    track = lipwire.read_motion(path)
    assert list(track.header.sets) == ["pose", "head"]
    assert track.header.fps == 50
    assert set(np.diff(track.samples)) <= {960 * n for n in range(1, 100)}
    assert track.speaking.any()
    happened = [(event.kind, event.value, event.generation) for event in track.events]
    assert ("expression", "happy", 0) in happened
    assert ("interrupt", "", 1) in happened
    assert [event.number for event in track.events] == list(range(1, len(track.events) + 1))
    assert isinstance(track.events[0], MotionEvent)
    assert publisher.dropped == 0


async def test_a_long_name_of_an_utterance_is_cut_as_carriers_cut_it(tmp_path: Path) -> None:
    publisher = lipwire.publish.MotionFile(tmp_path / "talk.lwm")
    await publisher.open(lipwire.StreamSpec(session_id="x", width=0, height=0, fps=Fraction(25)))
    publisher.cue(lipwire.Cue("started", "é" * 600_000, 0))
    await publisher.close()
    assert [event.value for event in lipwire.read_motion(tmp_path / "talk.lwm").events] == ["é" * 128]


async def test_what_cannot_be_written(tmp_path: Path) -> None:
    for bad in ({"path": "talk.json"}, {"path": "talk.lwm", "sets": ("smell",)}, {"path": "talk.lwm", "sets": ()}):
        with pytest.raises(InvalidArgument, match=r"end its name in \.lwm|sets "):
            lipwire.publish.MotionFile(**bad)  # type: ignore[arg-type]
    spec = lipwire.StreamSpec(session_id="x", width=0, height=0, fps=25)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"no/talk\.lwm: No such file"):
        await lipwire.publish.MotionFile(tmp_path / "no" / "talk.lwm").open(spec)
    full = tmp_path / "full.lwm"
    full.symlink_to("/dev/full")
    publisher = lipwire.publish.MotionFile(full)
    await publisher.open(spec)
    with pytest.raises(StorageError, match=r"full\.lwm: No space left"):
        await publisher.close()
