"""A second implementation of the binary format, written from docs/motion.md alone and in the plainest way: what
`_core.MotionEncoder` and `_core.MotionDecoder` are held against."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

Groups = Sequence[tuple[str, int, Sequence[str]]]
EVENTS = ("interrupt", "started", "finished", "underrun", "state", "expression", "gesture", "clock", "error")
STEPS = {0: 255, 1: 32767, 2: 1, 3: 2000}


class Damaged(Exception):
    """The bytes are not as the page says."""


# ------------------------------------------------------------------------------------------------------------- reading


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise Damaged("cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        number = 0
        for place in range(10):
            byte = self.u8()
            number |= (byte & 127) << (7 * place)
            if byte < 128:
                if number >= 1 << 63:
                    break
                return number
        raise Damaged("a number of more than 63 bits")

    def signed(self) -> int:
        number = self.varint()
        return -(number + 1) // 2 if number & 1 else number // 2

    def text(self) -> str:
        return self.take(self.varint()).decode()

    def left(self) -> int:
        return len(self.data) - self.at


class Decoder:
    """Integers as they are on the wire: ("header", id, clock, fps, groups), ("frames", id, generation, speaking,
    [(sample, [integers])], oldest first), ("event", ...), ("sound", ...)."""

    def __init__(self) -> None:
        self.headers: dict[int, Any] = {}

    def put(self, message: bytes) -> list[tuple[Any, ...]]:
        data, found, records = Bytes(message), [], 0
        while data.left():
            records += 1
            if records > 64:
                raise Damaged("too many records")
            kind = data.u8()
            body = Bytes(data.take(data.varint()))
            if kind == 1:
                found.append(self.header(body))
            elif kind == 2:
                found += self.frames(body)
            elif kind == 3:
                number, sample, generation, what = body.varint(), body.varint(), body.varint(), body.u8()
                name = EVENTS[what] if what < len(EVENTS) else f"event{what}"
                found.append(("event", number, sample, generation, name, body.text()))
            elif kind == 4:
                found.append(("sound", body.varint(), body.u8(), body.take(body.left())))
        return found

    def header(self, body: Bytes) -> tuple[Any, ...]:
        if body.u8() != 1:
            raise Damaged("another version")
        number, clock, fps = body.u8(), body.varint(), (body.varint(), body.varint())
        if 0 in (clock, *fps):
            raise Damaged("no time passes")
        groups, runs, count = [], [], body.varint()
        if count > 32:
            raise Damaged("too many groups")
        for _ in range(count):
            name, kind, count = body.text(), body.u8(), body.varint()
            names = tuple(body.text().split())
            if len(names) != count:
                raise Damaged("names")
            groups.append((name, kind, names))
        for name, same in itertools.groupby(groups, lambda group: group[0]):
            names = tuple(one for _, _, some in same for one in some)
            if len(set(names)) < len(names):
                raise Damaged("a name twice in a set")
            runs.append(name)
        if len(set(runs)) < len(runs):
            raise Damaged("a set in two places")
        if sum(len(names) for _, _, names in groups) > 1024:
            raise Damaged("too many channels")
        self.headers[number] = ("header", number, clock, fps, tuple(groups))
        return self.headers[number]

    def frames(self, body: Bytes) -> list[tuple[Any, ...]]:
        number, sample, generation, flags = body.u8(), body.varint(), body.varint(), body.u8()
        if number not in self.headers:
            return []
        groups = self.headers[number][4]
        values = step(body, groups, [0] * sum(len(names) for _, _, names in groups))
        found = [(sample, values)]
        for _ in range(flags & 15):
            before = body.varint()
            sample -= before
            if sample < 0 or not before:
                raise Damaged("before the beginning, or no earlier")
            values = step(body, groups, values)
            found.append((sample, values))
        return [("frames", number, generation, bool(flags & 16), found[::-1])]


def step(body: Bytes, groups: Groups, base: list[int]) -> list[int]:
    bits = body.take(math.ceil(len(base) / 8))
    values, channel = [], 0
    for _, kind, names in groups:
        before = None
        for name in names:
            e = 0
            if bits[channel // 8] >> channel % 8 & 1:
                e = body.u8() if kind == 0 else body.signed()
            p = values[-1] - base[channel - 1] if before is not None and other_side(before) == name else 0
            value = base[channel] + p + e
            if kind == 0:
                value &= 255
            elif not -(2**31) <= value < 2**31:
                raise Damaged("a value")
            values.append(value)
            before, channel = name, channel + 1
    return values


def other_side(name: str) -> str | None:
    """The right one of a left one's name."""
    if "Left" in name:
        return name.replace("Left", "Right", 1)
    return name.replace("left", "right", 1) if "left" in name else None


# ------------------------------------------------------------------------------------------------------------- writing


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def signed(number: int) -> bytes:
    return varint(-2 * number - 1 if number < 0 else 2 * number)


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + varint(len(body)) + body


def text(value: str) -> bytes:
    return varint(len(value.encode())) + value.encode()


def header(groups: Groups, fps: tuple[int, int], number: int = 0, clock: int = 48_000, version: int = 1) -> bytes:
    body = bytes([version, number]) + varint(clock) + varint(fps[0]) + varint(fps[1]) + varint(len(groups))
    for name, kind, names in groups:
        body += text(name) + bytes([kind]) + varint(len(names)) + text(" ".join(names))
    return record(1, body)


def frames(
    groups: Groups, poses: Sequence[tuple[int, Sequence[int]]], generation: int, speaking: bool, number: int = 0
) -> bytes:
    """Of poses (sample, integers), oldest first."""
    newest, *earlier = reversed(poses)
    body = bytes([number]) + varint(newest[0]) + varint(generation) + bytes([len(earlier) | speaking << 4])
    body += differences(groups, [0] * len(newest[1]), newest[1])
    behind = newest
    for pose in earlier:
        body += varint(behind[0] - pose[0]) + differences(groups, behind[1], pose[1])
        behind = pose
    return record(2, body)


def differences(groups: Groups, base: Sequence[int], values: Sequence[int]) -> bytes:
    bits, numbers, channel = bytearray(math.ceil(len(values) / 8)), b"", 0
    for _, kind, names in groups:
        before = None
        for name in names:
            e = values[channel] - base[channel]
            if before is not None and other_side(before) == name:
                e -= values[channel - 1] - base[channel - 1]
            if kind == 0:
                e &= 255
            if e:
                bits[channel // 8] |= 1 << channel % 8
                numbers += bytes([e]) if kind == 0 else signed(e)
            before, channel = name, channel + 1
    return bytes(bits) + numbers


def event(number: int, sample: int, generation: int, kind: int, value: str) -> bytes:
    return record(3, varint(number) + varint(sample) + varint(generation) + bytes([kind]) + text(value))


def lwm(*messages: bytes) -> bytes:
    """A file of these."""
    return b"LWM1" + b"".join(varint(len(message)) + message for message in messages)
