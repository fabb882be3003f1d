"""The kinds of files, by what their names end in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipwire import _core
from lipwire.errors import InvalidArgument
from lipwire.motion import MotionEvent, MotionFrame, MotionHeader, MotionTrack, encode_motion, read_motion
from lipwire.motion.files import WRITERS, writer_for


@pytest.mark.parametrize("end", WRITERS)
def test_the_longest_end_counts(end: str) -> None:
    assert writer_for(f"folder.lwm/My Talk.v2{end.upper()}") is WRITERS[end]


@pytest.mark.parametrize("name", ["a.mp4", "a", "lwm", "a.json/b.wav", ""])
def test_other_names_are_none_of_motion(name: str) -> None:
    assert writer_for(name) is None
    with pytest.raises(InvalidArgument, match=r"end its name in one of \.a2f\.json \(blend shapes"):
        encode_motion(MotionTrack.of_frames(MotionHeader(groups=(), fps=Fraction(25)), []), name)


@pytest.mark.parametrize("end", [end for end, writer in WRITERS.items() if writer.sets])
def test_what_a_kind_is_made_of_has_to_be_there(end: str) -> None:
    header = MotionHeader(groups=_core.MOTION_SETS["pose"], fps=Fraction(25))
    with pytest.raises(InvalidArgument, match=r"it takes the set\(s\) .*, and there is pose"):
        encode_motion(MotionTrack.of_frames(header, []), "out" + end)


def track_of(clock_rate: int, samples: list[int], events: tuple[MotionEvent, ...] = ()) -> MotionTrack:
    header = MotionHeader(groups=_core.MOTION_SETS["head"], fps=Fraction(25), clock_rate=clock_rate)
    return MotionTrack.of_frames(header, [MotionFrame(n, np.zeros(5, dtype=np.float32)) for n in samples], events)


@pytest.mark.parametrize("clock_rate", [1000, 44_100, 90_000])
def test_other_clocks_are_taken_to_our_own(clock_rate: int) -> None:
    """And back: whoever reads it, a frame is where it was, within half a sample."""
    event = MotionEvent(1, clock_rate // 2, 0, "state", "idle")
    track = track_of(clock_rate, [0, clock_rate // 25, 7200 * clock_rate + 1], (event,))
    read = read_motion(encode_motion(track, "a.lwm"))
    assert read.header.clock_rate == _core.RATE
    assert read.samples.tolist() == [0, 1920, round((7200 + 1 / clock_rate) * _core.RATE)]
    assert [event.sample for event in read.events] == [24_000]
    assert read_motion(encode_motion(track, "a.json")).samples.tolist() == track.samples.tolist()
    assert track.at_rate(clock_rate) is track


@pytest.mark.parametrize(
    ("clock_rate", "samples", "why"),
    [
        (90_000, [5, 7, 8], "frames 1 and 2 are at the same sample of 48000 Hz"),
        (1, [0, 1 << 61], "beyond what a clock of 48000 Hz can count"),
    ],
)
def test_what_our_clock_cannot_have_is_refused(clock_rate: int, samples: list[int], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        encode_motion(track_of(clock_rate, samples), "a.lwm")


@pytest.mark.parametrize("end", [".lwm", ".json", ".a2f.json", ".glb"])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
def test_what_no_reader_takes_is_not_written(end: str, value: float) -> None:
    header = MotionHeader(groups=(*_core.MOTION_SETS["arkit"], *_core.MOTION_SETS["head"]), fps=Fraction(25))
    frames = [MotionFrame(n * 1920, np.full(len(header.names), [0, value][n], np.float32)) for n in range(2)]
    with pytest.raises(InvalidArgument, match=r"frame 1, browDownLeft: .* is no value that can be written"):
        encode_motion(MotionTrack.of_frames(header, frames), "out" + end)


@pytest.mark.parametrize("name", ["a.lwm", "a.json"])
def test_events_are_as_long_as_readers_take_them(name: str) -> None:
    def track(size: int) -> MotionTrack:
        return track_of(_core.RATE, [0], (MotionEvent(7, 0, 0, "started", "\u00e9" * (size // 2)),))

    assert read_motion(encode_motion(track(4096), name)).events == track(4096).events
    with pytest.raises(InvalidArgument, match=r"event 7 \('started'\) has 4098 bytes, and 4096 is the most"):
        encode_motion(track(4098), name)
