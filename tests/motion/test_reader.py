"""Files of motion: what is written comes back, whoever writes and whoever reads; and what is damaged is refused in
words, after all that lies before."""

from __future__ import annotations

import importlib.util
import io
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import _core
from lipwire.errors import BadData, InvalidArgument
from lipwire.motion import MotionEvent, MotionFrame, MotionHeader, MotionReader, MotionTrack, encode_motion, read_motion
from support import motion_codec as codec
from support.paths import ROOT

RANGES = {0: (0, 255), 1: (-32767, 32767), 2: (0, 21), 3: (-6283, 6283)}
"""Integers that a channel of a kind may have: radians up to a half turn."""
GROUPS = (("arkit", 0, ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")), ("head", 3, ("headPitch",)))


def steps(groups: codec.Groups) -> Any:
    return np.array([codec.STEPS[kind] for _, kind, names in groups for _ in names])


@st.composite
def poses(draw: st.DrawFn, groups: codec.Groups, most: int = 20) -> list[tuple[int, list[int]]]:
    """(sample, integers), most of which stay from one to the next, as those of faces do."""
    channels = [RANGES[kind] for _, kind, names in groups for _ in names]
    sample, values, found = draw(st.integers(0, 1 << 40)), [0] * len(channels), []
    for _ in range(draw(st.integers(0, most))):
        for channel in draw(st.lists(st.integers(0, len(channels) - 1), max_size=8)):
            values[channel] = draw(st.integers(*channels[channel]))
        found.append((sample, list(values)))
        sample += draw(st.integers(1, 100_000))
    return found


@st.composite
def tracks(draw: st.DrawFn) -> MotionTrack:
    sets = draw(st.lists(st.sampled_from(sorted(_core.MOTION_SETS)), min_size=1, unique=True))
    groups = tuple(group for name in sets for group in _core.MOTION_SETS[name])
    found = draw(poses(groups))
    generation, frames = 0, []
    for sample, integers in found:
        generation += draw(st.booleans())
        values = (np.array(integers) / steps(groups)).astype(np.float32)
        frames.append(MotionFrame(sample, values, generation, draw(st.booleans())))
    last = found[-1][0] if found else 0
    kinds = st.sampled_from(codec.EVENTS)
    events = [
        MotionEvent(number, sample, generation, draw(kinds), draw(st.text(max_size=8)))
        for number, sample in enumerate(sorted(draw(st.lists(st.integers(0, last), max_size=3))), 1)
    ]
    fps = draw(st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60)]))
    return MotionTrack.of_frames(MotionHeader(groups=groups, fps=fps, id=draw(st.integers(0, 255))), frames, events)


def same(one: MotionTrack, other: MotionTrack) -> None:
    assert one.header == other.header
    for name in ("samples", "values", "speaking", "generations"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.events == other.events


@settings(max_examples=30, deadline=None, derandomize=True)
@given(tracks())
def test_what_is_written_is_read(track: MotionTrack) -> None:
    binary = encode_motion(track, "out.lwm")
    read = read_motion(binary)
    same(track, read)
    text = encode_motion(read, "out.json")
    readable = read_motion(b" \n" + text)
    assert np.array_equal(
        np.rint(readable.values * steps(track.header.groups)), np.rint(track.values * steps(track.header.groups))
    )
    assert encode_motion(readable, "again.lwm") == binary, "the readable kind says all that the binary one does"
    assert encode_motion(readable, "again.json") == text
    # and as the page says, byte by byte
    decoder, found, at = codec.Decoder(), [], 4
    while at < len(binary):
        length = codec.Bytes(binary[at : at + 9])
        size = length.varint()
        found += decoder.put(binary[at + length.at : at + length.at + size])
        at += length.at + size
    frames = [(sample, integers) for record in found if record[0] == "frames" for sample, integers in record[4]]
    assert [sample for sample, _ in frames] == track.samples.tolist()
    assert [integers for _, integers in frames] == np.rint(track.values * steps(track.header.groups)).astype(
        int
    ).tolist()
    assert sorted(record[1:] for record in found if record[0] == "event") == [
        (e.number, e.sample, e.generation, e.kind, e.value) for e in track.events
    ]


names = st.from_regex(r"[a-z]{1,3}(Left|Right)?[A-Z]?", fullmatch=True)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.data())
def test_a_stranger_writes_what_is_read(data: st.DataObject) -> None:
    """Any sets and names, frames that messages repeat, records that nobody knows yet."""
    groups = tuple(
        (
            f"set{number}",
            data.draw(st.integers(0, 3)),
            tuple(data.draw(st.lists(names, min_size=1, max_size=20, unique=True))),
        )
        for number in range(data.draw(st.integers(1, 3)))
    )
    found = data.draw(poses(groups))
    earlier = data.draw(st.integers(0, 15))
    messages = [codec.header(groups, (25, 1), 7)]
    for at in range(len(found)):
        messages.append(codec.frames(groups, found[max(0, at - earlier) : at + 1], 3, at % 2 == 0, 7))
        messages.append(codec.record(99, b"later") + codec.event(at + 1, found[at][0], 3, 200, "é"))
    records = list(MotionReader(codec.lwm(*messages, *messages)))
    assert records[0] == MotionHeader(groups=groups, fps=Fraction(25), id=7)
    frames = [record for record in records if isinstance(record, MotionFrame)]
    assert [frame.sample for frame in frames] == [sample for sample, _ in found]
    for frame, (_, integers) in zip(frames, found, strict=True):
        assert np.array_equal(frame.values, (np.array(integers) / steps(groups)).astype(np.float32))
        assert frame.generation == 3
    events = [record for record in records if isinstance(record, MotionEvent)]
    assert [event.number for event in events] == list(range(1, len(found) + 1))
    assert {(event.kind, event.value) for event in events} <= {("event200", "é")}


HEADER = codec.header(GROUPS, (25, 1))
FRAME = codec.frames(GROUPS, [(1920, [9, 9, 200, -100])], 0, True)
GOOD = codec.lwm(HEADER, FRAME)


def test_a_file_is_read_as_it_comes(tmp_path: Path) -> None:
    read, write = os.pipe()
    with open(read, "rb") as end, open(write, "wb", buffering=0) as begin:
        records = iter(MotionReader(end))
        begin.write(GOOD[:-1])
        assert isinstance(next(records), MotionHeader)
        begin.write(GOOD[-1:])
        frame = next(records)
        assert isinstance(frame, MotionFrame)
        assert frame.sample == 1920
        assert frame.values.tolist() == np.array([9 / 255, 9 / 255, 200 / 255, -0.05], dtype=np.float32).tolist()
        assert frame.speaking
        begin.close()
        assert list(records) == []
    (tmp_path / "a.lwm").write_bytes(GOOD)
    for source in (tmp_path / "a.lwm", str(tmp_path / "a.lwm"), GOOD, io.BytesIO(GOOD)):
        assert read_motion(source).of("head").tolist() == [[np.float32(-0.05)]]
    track = read_motion(GOOD)
    assert track.channel("jawOpen").tolist() == [np.float32(200 / 255)]
    assert track.duration == pytest.approx(0.08)
    assert track.only(["head"]).values.shape == (1, 1)
    for missing in (
        lambda: track.of("pose"),
        lambda: track.channel("tongueOut"),
        lambda: track.only(["head", "azure"]),
    ):
        with pytest.raises(InvalidArgument, match=r"no (motion of the set|channel)"):
            missing()
    page = (ROOT / "docs" / "motion.md").read_text()
    example = re.search(r"```text\n(4c 57 4d 31.*?)```", page, re.DOTALL)
    assert example is not None
    digits = " ".join(re.findall(r"^(?:[0-9a-f]{2} +)+", example[1].replace("\n", " \n"), re.MULTILINE))
    track = read_motion(bytes.fromhex(digits))
    assert track.channel("jawOpen").tolist() == [np.float32(200 / 255)]
    assert track.channel("headPitch").tolist() == [np.float32(-0.05)]
    with pytest.raises(InvalidArgument, match="No such file"):
        read_motion(tmp_path / "none.lwm")


HUGE = codec.varint(1 << 62)


@pytest.mark.parametrize(
    ("file", "frames", "why"),
    [
        (b"", 0, "does not begin with LWM1"),
        (b"RIFF" + GOOD, 0, "does not begin with LWM1"),
        (GOOD[:-3], 0, r"cut off at byte \d+: 3 more were to come"),
        (GOOD + b"\x85", 1, "within the length of a block"),
        (GOOD + b"\xff" * 12, 1, "no length of a block"),
        (GOOD + HUGE, 1, "a block of 4611686018427387904 bytes"),
        (codec.lwm(HEADER, FRAME, codec.header(GROUPS, (25, 1), version=2)), 1, "block at byte"),
        (codec.lwm(HEADER, FRAME, FRAME[:2] + b"\x00" * 4), 1, "block at byte"),
        (codec.lwm(HEADER, FRAME, codec.record(2, b"\0")), 1, "block at byte"),
        (codec.lwm(HEADER, FRAME, b"\x02" + HUGE), 1, "block at byte"),
        (codec.lwm(HEADER, FRAME, codec.record(2, b"\0" + b"\xff" * 20)), 1, "block at byte"),
        (codec.lwm(HEADER, FRAME, codec.record(3, b"\1\1\0\0\3\xff\xff\xff")), 1, "block at byte"),
        (
            codec.lwm(HEADER, codec.record(1, b"\1\0\1\1\1\1" + codec.text("x") + b"\0" + HUGE + b"\0")),
            0,
            "block at byte",
        ),
        (codec.lwm(HEADER, codec.record(1, b"\1\0\1\1\0" + codec.varint(0))), 0, "block at byte"),  # fps 1/0
        (codec.lwm(codec.header([("x", 0, [f"c{n}" for n in range(2000)])], (25, 1))), 0, "block at byte"),
    ],
)
def test_what_is_damaged_is_refused_after_what_is_whole(file: bytes, frames: int, why: str) -> None:
    records: list[Any] = []
    with pytest.raises(BadData, match=why):
        for record in MotionReader(file):
            records.append(record)
    assert sum(isinstance(record, MotionFrame) for record in records) == frames
    with pytest.raises(BadData, match=why):
        read_motion(file)


OTHER = codec.header(GROUPS[:1], (25, 1))


@pytest.mark.parametrize(
    ("file", "why"),
    [(codec.lwm(), "no header"), (codec.lwm(HEADER, FRAME, OTHER), "changes its channels after 1 frames")],
)
def test_a_track_has_one_header(file: bytes, why: str) -> None:
    with pytest.raises(BadData, match=why):
        read_motion(file)
    assert len(list(MotionReader(file))) in (0, 3)


def test_a_track_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of a few bytes each may be thousands of channels wide."""
    frames = [codec.frames(GROUPS, [(n, [0, 0, 0, 0])], 0, False) for n in range(6)]
    monkeypatch.setattr("lipwire.motion.reader.MAX_VALUES", 20)
    assert read_motion(codec.lwm(HEADER, *frames[:5])).values.shape == (5, 4)
    with pytest.raises(BadData, match="more than 20 values; MotionReader"):
        read_motion(codec.lwm(HEADER, *frames))
    monkeypatch.setattr("lipwire.motion.reader.MAX_JSON", 1 << 20)
    with pytest.raises(BadData, match="more than 1 MiB of JSON"):
        read_motion(text() + b" " * (1 << 20))


def text(**changes: Any) -> bytes:
    file: dict[str, Any] = {
        "header": {"fps": [25, 1], "sets": {"arkit": ["jawOpen"], "mine": ["a", "b"]}},
        "frames": [{"sample": 0, "values": [0, 0.5, 1]}],
    }
    return msgspec.json.encode({**file, **changes})


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"{", "no file of motion: .*truncated"),
        (b"[" * 100_000, "LWM1"),
        (b'{"header":' + b'{"a":' * 100_000, "too deep"),
        (b'{"header":{"fps":[25,1],"sets":{}},"frames":[' + b"[" * 100_000, "too deep"),
        (text().replace(b"0.5", b"NaN"), "no file of motion|invalid"),
        (text().replace(b"0.5", b"1e999"), "frame 0"),
        (text().replace(b"0.5", b"1e39"), "out of all range: 1e[+]39"),
        (text().replace(b"0.5", b"-1e300"), "out of all range: -1e[+]300"),
        (text().replace(b"0.5", b"2147483649"), "out of all range"),
        (text(frames=[None]), "frame 0 of 1: Expected `object`"),
        (text(header={"fps": [25, 1], "sets": {"constructor": ["a", "a"]}}), "'constructor' has a name twice"),
        (text(header={"fps": [25, 1], "sets": {f"s{n}": ["a"] for n in range(33)}}), "more than 32 sets"),
        (text().replace(b"0.5", b'"0.5"'), "frame 0 of 1: Expected `float`"),
        (text().replace(b"[0,0.5,1]", b"[0,1]"), "frame 0 of 1 has 2 values, and the header names 3 channels"),
        (text(frames=[{"sample": -1, "values": [0, 0, 0]}]), "frame 0"),
        (text(frames=[{"sample": 1 << 70, "values": [0, 0, 0]}]), "frame 0"),
        (text(frames=5), "Expected `array`"),
        (text(header={"fps": [0, 1], "sets": {}}), "fps"),
        (text(header={"fps": [25, 1], "sets": {}, "version": 2}), "version 2"),
        (text(header={"fps": [25, 1], "sets": {"x": [f"c{n}" for n in range(2000)]}}), "more than 1024 channels"),
        (text().replace(b"mine", b"\xff"), "no file of motion"),
    ],
)
def test_json_that_is_not_as_it_should_be_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(BadData, match=why):
        read_motion(file)


def test_json_may_have_sets_of_its_own_and_be_marked_as_text() -> None:
    track = read_motion(b"\xef\xbb\xbf" + text())
    assert track.of("mine").tolist() == [[0.5, 1.0]]
    with pytest.raises(InvalidArgument, match=r"sets of .*visemes.*this has arkit \(1\), mine \(2\)"):
        encode_motion(track, "out.lwm")
    assert read_motion(encode_motion(track, "out.json")).of("mine").tolist() == [[0.5, 1.0]]


def told(record: tuple[Any, ...]) -> Any:
    """A record of the decoder's as the golden files have it."""
    fields = {
        "header": ("type", "id", "clock_rate", "fps", "groups"),
        "frames": ("type", "header", "generation", "speaking", "frames"),
        "event": ("type", "number", "sample", "generation", "kind", "value"),
        "sound": ("type", "sample", "codec", "payload"),
    }[record[0]]
    found = dict(zip(fields, record, strict=True))
    if "frames" in found:
        found["frames"] = [{"sample": sample, "values": values.tolist()} for sample, values in found["frames"]]
    if "payload" in found:
        found["payload"] = found["payload"].hex()
    return msgspec.json.decode(msgspec.json.encode(found))


def test_golden_files_are_read_as_others_read_them(tmp_path: Path) -> None:
    """Those that the JavaScript reader is held against, too."""
    spec = importlib.util.spec_from_file_location("motion_golden", ROOT / "tools" / "motion_golden.py")
    assert spec is not None and spec.loader is not None
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    golden.write(tmp_path)
    track = read_motion(tmp_path / "golden.lwm")
    same(track, golden.golden())
    readable = read_motion(tmp_path / "golden.json")
    assert np.allclose(readable.values, track.values, atol=6e-5)
    assert readable.events == track.events
    decoder = _core.MotionDecoder()
    for message in msgspec.json.decode((tmp_path / "messages.json").read_bytes()):
        for record in message["records"]:
            for frame in record.get("frames", ()):
                del frame["integers"]
        assert [told(record) for record in decoder.put(bytes.fromhex(message["hex"]))] == message["records"]
    for file in (tmp_path / "hostile").iterdir():
        with pytest.raises(BadData):
            read_motion(file)
    data = (tmp_path / "golden.lwm").read_bytes()
    for size in range(len(data) - 40, len(data)):
        cut = read_motion(data[:size], partial=True)
        assert len(cut.samples) and np.array_equal(cut.values, track.values[: len(cut.samples)])
    for message in msgspec.json.decode((tmp_path / "hostile.json").read_bytes()):
        with pytest.raises(BadData) as damage:
            _core.MotionDecoder().put(bytes.fromhex(message["hex"]))
        whole = [told(record) for record in vars(damage.value)["records"]]
        assert [record["type"] for record in whole] == [record["type"] for record in message["records"]], message[
            "name"
        ]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_whatever_is_damaged_nothing_else_is_raised(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([GOOD, codec.lwm(HEADER, FRAME, FRAME, codec.event(1, 2, 3, 4, "x")), text()]))
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(bad) - 1))
        bad[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        bad = bad or bytearray(b"x")
    try:
        read_motion(bytes(bad))
    except BadData as exc:
        assert str(exc)
