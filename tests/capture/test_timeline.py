"""A recording, for people."""

from __future__ import annotations

from pathlib import Path

from capture.test_file import header, write
from lipwire.capture import records as r
from lipwire.capture.timeline import timeline
from lipwire.protocol import messages as m


def voice(t: float, event_id: str = "a", rate: int = 16_000) -> r.Received:
    text = m.encode(m.Voice(bytes(640), rate, "PCM16", event_id))
    return r.Received(t, 1, at=4800, ops=[4800], text=text)


def test_a_line_for_each_thing_and_one_for_a_run_of_voice(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        r.Connected(100.5, 1),
        *(voice(101 + n / 50) for n in range(50)),
        voice(102.5, "b"),
        r.Received(103, 1, text='{"command":"voice_end"}'),
        r.Received(103, 1, binary=7),
        r.Received(103, 1, broken=9),
        r.Called(104, "write", pcm=bytes(3200), rate=16_000),
        r.Sent(104, '{"command":"playback_started","event_id":"a"}'),
        r.Lost(3),
        r.Played(0, [1, 2, 3], [(0, 4)]),
        r.Disconnected(105, 1),
        r.Ended(106, "stopped"),
    )
    lines = [line.split(maxsplit=1) for line in list(timeline(path))[3:-1]]
    assert lines == [
        ["0.500", "connection 1 came"],
        ["1.000", "0.10  -> voice x50 in 0.98 s: 1.00 s of PCM16 at 16000 Hz, event a"],
        ["2.500", "0.10  -> voice x1: 0.02 s of PCM16 at 16000 Hz, event b"],
        ["3.000", '0.00  -> {"command":"voice_end"}'],
        ["3.000", "0.00  -> a binary frame of 7 bytes"],
        ["3.000", "0.00  -> 9 characters that are no JSON object (left out)"],
        ["4.000", "0.00  -- write 0.10 s at 16000 Hz, by the viewer page"],
        ["4.000", '<- {"command":"playback_started","event_id":"a"}'],
        ["0.000", "!! 3 records were left out here: the disk was too slow"],
        ["5.000", "connection 1 went"],
        ["6.000", "end: stopped"],
    ]
    assert list(timeline(path))[-1] == "3 blocks of sound, 1 pictures"


def test_one_that_breaks_off_says_so(tmp_path: Path) -> None:
    assert (
        list(timeline(write(tmp_path, voice(101))))[-1]
        == "0 blocks of sound, 0 pictures; the recording breaks off here"
    )
    assert header().session_id in next(timeline(tmp_path / "r.lipwire.gz"))
