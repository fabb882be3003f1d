"""Golden files of motion, for every reader there is: python tools/motion_golden.py FOLDER

Writes, always the same:

    golden.lwm, golden.json   one file in both kinds: all sets, an interrupt, events of each kind
    messages.json             [{"hex": a message, "records": what it says}], to be given to one reader in this order
    hostile/NAME.lwm          files that a reader has to refuse
    hostile.json              [{"name", "hex", "records"}]: a message that a reader of its own has to refuse, and what
                              of it is whole before that; also in a file of that name

A record is {"type": "header", "id", "clock_rate", "fps", "groups": [[set, kind, names]]}, {"type": "frames", "header",
"generation", "speaking", "frames": [{"sample", "integers", "values"}], oldest first}, {"type": "event", "number",
"sample", "generation", "kind", "value"} or {"type": "sound", "sample", "codec", "payload": hex}. They are read by a
second implementation, in Python (tests/support/motion_codec.py), which was written from docs/motion.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from lipwire import _core
from lipwire.motion import MotionEvent, MotionFrame, MotionHeader, MotionTrack, encode_motion
from support import motion_codec as codec

RANGES = {0: (0, 255), 1: (-32767, 32767), 2: (0, 21), 3: (-1500, 1500)}
FRAMES = 60
GROUPS = (("arkit", 0, ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")), ("head", 3, ("headPitch", "headYaw")))


def faces(groups: codec.Groups, seed: int) -> Iterator[list[int]]:
    """Integers of all channels, frame by frame: most stay, sides move alike, some jump to the ends of their range."""
    random = np.random.default_rng(seed)
    kinds = [kind for _, kind, names in groups for _ in names]
    names = [name for _, _, names in groups for name in names]
    values = [0] * len(kinds)
    while True:
        yield list(values)
        for at in random.choice(len(kinds), max(1, len(kinds) // 4)):
            low, high = RANGES[kinds[at]]
            step = int(random.integers(low, high + 1))
            values[at] = step if random.random() < 0.2 else min(high, max(low, values[at] + step // 8))
            if at + 1 < len(kinds) and codec.other_side(names[at]) == names[at + 1]:
                values[at + 1] = values[at]


def floats(groups: codec.Groups, integers: list[int]) -> Any:
    steps = np.array([codec.STEPS[kind] for _, kind, names in groups for _ in names])
    return (np.array(integers) / steps).astype(np.float32)


def golden() -> MotionTrack:
    groups = tuple(group for name in _core.MOTION_SETS for group in _core.MOTION_SETS[name])
    moving = faces(groups, 1)
    frames = [
        MotionFrame(int(n * 48_000 * 1001 / 30_000), floats(groups, next(moving)), n // 40, 5 < n < 40)
        for n in range(FRAMES)
    ]
    events = [
        MotionEvent(number, 2000 * number, int(number > 6), kind, ("", "é:1", "happy")[number % 3])
        for number, kind in enumerate(codec.EVENTS, 1)
    ]
    return MotionTrack.of_frames(MotionHeader(groups=groups, fps=Fraction(30_000, 1001), id=3), frames, events)


def messages() -> list[bytes]:
    """Two headers, frames that repeat earlier ones, an interrupt, events that come again, later records, sound."""
    found = []
    for number, (sets, earlier) in enumerate(((("arkit", "head"), 1), (("pose", "azure", "visemes"), 15))):
        encoder = _core.MotionEncoder(sets, (25, 1), earlier=earlier, id=number)
        moving = faces(encoder.groups, 10 + number)
        found.append(encoder.header())
        for n in range(FRAMES // 2):
            frame = encoder.encode_values(1920 * n + 2**33, n // 20, n % 2 == 0, floats(encoder.groups, next(moving)))
            event = encoder.event(1 + n // 4, 1920 * n, n // 20, codec.EVENTS[n % 9], "\u00e9" * (n % 3))
            found.append(frame if n % 4 else event + codec.record(200, bytes(n)) + frame)
    unknown = codec.frames(GROUPS, [(1, [1, 2, 3, 4, 5])], 0, True, 77)
    return [
        *found,
        unknown,
        codec.record(4, codec.varint(9) + b"\2" + bytes(range(20))),
        codec.event(0, 5, 6, 77, "later"),
    ]


def hostile() -> dict[str, bytes]:
    header = codec.header(GROUPS, (25, 1))
    frame = codec.frames(GROUPS, [(0, [1, 1, 2, 3, 4]), (1920, [9, 9, 200, -100, 5])], 2, True)
    good = header + frame
    endless = b"\xff" * 12
    return {
        "cut within a record": good + frame[:-1],
        "a record longer than the message": good + b"\2\x7f",
        "a length that never ends": good + b"\2" + endless,
        "a sample that never ends": good + codec.record(2, b"\0" + endless),
        "a bitmap that is cut": good + codec.record(2, b"\0\1\0\0"),
        "values that are cut": good + codec.record(2, b"\0\1\0\0\x1f\1"),
        "earlier frames that are not there": good + codec.record(2, frame[2:6] + b"\x0f" + frame[7:]),
        "an earlier frame before the beginning": good + codec.record(2, b"\0\1\0\1\0\2\0"),
        "an earlier frame at the same time": good + codec.record(2, b"\0\5\0\1\0\0\0"),
        "a value out of all range": good + codec.record(2, b"\0\1\0\0\x08" + codec.signed(2**31)),
        "another version": good + codec.header(GROUPS, (25, 1), version=2),
        "no frames a second": good + codec.header(GROUPS, (0, 1)),
        "frames by no second": good + codec.header(GROUPS, (25, 0)),
        "a clock that stands": good + codec.header(GROUPS, (25, 1), clock=0),
        "more names than there are": good + codec.record(1, b"\1\0\1\1\1\1\1x\0" + codec.varint(2**40) + b"\1a"),
        "more groups than there are": good + codec.record(1, b"\1\0\1\1\1" + codec.varint(2**40)),
        "more channels than can be": good + codec.header([("x", 0, [f"c{n}" for n in range(1100)])], (25, 1)),
        "a name twice in a set": good + codec.header([("a", 0, ["x", "y"]), ("a", 3, ["z", "x"])], (25, 1)),
        "a set in two places": good + codec.header([("a", 0, ["x"]), ("b", 0, ["x"]), ("a", 0, ["y"])], (25, 1)),
        "an event that is cut": good + codec.record(3, b"\1\1\0\0\x09abc"),
    }


def hostile_files() -> dict[str, bytes]:
    good = codec.lwm(codec.header(GROUPS, (25, 1)), codec.frames(GROUPS, [(0, [1, 1, 2, 3, 4])], 0, True))
    return {
        "nothing": b"",
        "another file": b"RIFF" + good,
        "a file that is cut": good[:-2],
        "a block without an end": good + b"\xff" * 12,
        "a block of 4 EiB": good + codec.varint(2**62),
        **{name: codec.lwm(message) for name, message in hostile().items()},
    }


def told(record: tuple[Any, ...], headers: dict[int, Any]) -> dict[str, Any]:
    kind, *fields = record
    if kind == "header":
        return dict(zip(("type", "id", "clock_rate", "fps", "groups"), record, strict=True))
    if kind == "event":
        return dict(zip(("type", "number", "sample", "generation", "kind", "value"), record, strict=True))
    if kind == "sound":
        return {"type": kind, "sample": fields[0], "codec": fields[1], "payload": fields[2].hex()}
    groups = headers[fields[0]][4]
    return {
        "type": kind,
        "header": fields[0],
        "generation": fields[1],
        "speaking": fields[2],
        "frames": [
            {"sample": sample, "integers": integers, "values": floats(groups, integers).tolist()}
            for sample, integers in fields[3]
        ],
    }


def read(message: bytes, decoder: codec.Decoder) -> list[dict[str, Any]]:
    """The whole records at the beginning of a message."""
    records, data = [], codec.Bytes(message)
    try:
        while data.left():
            begin = data.at
            data.u8()
            data.take(data.varint())
            records += [told(record, decoder.headers) for record in decoder.put(message[begin : data.at])]
    except (codec.Damaged, UnicodeDecodeError):
        pass
    return records


def write(folder: Path) -> None:
    (folder / "hostile").mkdir(parents=True, exist_ok=True)
    for name, data in hostile_files().items():
        (folder / "hostile" / f"{name}.lwm").write_bytes(data)
    track = golden()
    (folder / "golden.lwm").write_bytes(encode_motion(track, "golden.lwm"))
    (folder / "golden.json").write_bytes(encode_motion(track, "golden.json"))
    decoder = codec.Decoder()
    good = [{"hex": message.hex(), "records": read(message, decoder)} for message in messages()]
    (folder / "messages.json").write_text(json.dumps(good))
    bad = [{"name": n, "hex": m.hex(), "records": read(m, codec.Decoder())} for n, m in hostile().items()]
    (folder / "hostile.json").write_text(json.dumps(bad))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
