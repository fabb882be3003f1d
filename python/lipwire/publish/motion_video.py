"""Motion in an H.264 video of black pictures, as user data (SEI): it passes whatever passes video.

An access unit for each frame: SEI of the kind user_data_unregistered (ITU-T H.264, D.1.7), with `UUID` and a carrier
message, and behind it a black picture, which is a slice of skipped macroblocks, or an IDR picture whenever somebody
needs one, and once a second. Nothing is encoded: the slices are laid by the stitcher, of one macroblock that was worked
out by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from uuid import UUID as Uuid

import numpy as np

from .._core import AXES, RATE, SLICE_I, Atlas, AtlasWriter, Stitcher, nal_split
from .motion import Ask, Kind, Listener

UUID = Uuid("4c495057-4952-454d-8f54-494f4e000001")
"""Which user data is ours: its first bytes are "LIPWIREM"."""
SIZE = (160, 96)
"""Pixels of the picture: a size that every decoder takes, and few bytes."""
KEY_EVERY = RATE // 2
"""Samples from one IDR picture to the next, however many ask."""
START = b"\0\0\0\1"
SEI, USER_DATA = 6, 5
"""NAL unit type, and payload type of user_data_unregistered."""
_MACROBLOCK = 16
_BLACK_QP = 36
"""A level of the DC coefficient is 160 of the scale of 64 here (clause 8.5.10): -45 of them make 16 of 128."""
_FIRST = "001001" + "1" + "000101" + "0" * 15 + "1" + format(57, "012b") + "1"
_OTHER = "00100111"
"""Macroblocks of an I slice (clause 7.3.5), Intra_16x16, predicted by the mean of their neighbours: the first with a
luma DC level of -45 (coeff_token, level_prefix 15, level_suffix, total_zeros), the others as it is."""


class BlackVideo:
    """Access units of black pictures, Annex B.

    Args:
        fps: frames a second. size: width and height in pixels, multiples of 16.
    """

    def __init__(self, fps: Fraction, size: tuple[int, int] = SIZE) -> None:
        columns, rows = (side // _MACROBLOCK for side in size)
        writer = AtlasWriter(*size, fps.as_integer_ratio())
        stripe = writer.add_stripe("static", rows)
        bits = _FIRST + _OTHER * (columns * rows - 1)
        whole = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        writer.set_static(stripe, writer.add_slice(stripe, whole, len(bits), _BLACK_QP, SLICE_I))
        writer.add_segment(1, [(np.zeros(AXES, np.int16), True, ())])
        self._atlas = Atlas(writer.pack())
        self._stitcher = Stitcher(self._atlas)

    def unit(self, messages: bytes, key: bool) -> bytes:
        """The next picture, with a carrier message. The first one has to be a key."""
        nals = nal_split(self._stitcher.unit(0, (), key))
        return b"".join(START + nal for nal in (*nals[:-1], user_data(messages), nals[-1]))


def user_data(message: bytes) -> bytes:
    """An SEI NAL unit with a message, without start code."""
    payload = UUID.bytes + message
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    return bytes([SEI]) + _escape(bytes([USER_DATA]) + size + payload + b"\x80")


def read_user_data(unit: bytes) -> Iterator[bytes]:
    """The messages in an access unit (Annex B): those of user data that has `UUID`; what is damaged is left out."""
    for nal in nal_split(unit):
        if nal and nal[0] & 31 == SEI:
            yield from _payloads(_unescape(nal[1:]))


def _payloads(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 < len(data):  # a payload, and behind the last one the bits that end it
        kind, at = _ff_coded(data, at)
        size, at = _ff_coded(data, at)
        payload = data[at : at + size]
        if kind == USER_DATA and len(payload) == size and payload.startswith(UUID.bytes):
            yield payload[len(UUID.bytes) :]
        at += size


def _ff_coded(data: bytes, at: int) -> tuple[int, int]:
    """(a number as SEI has it, where it ends) (clause 7.3.2.3.1)."""
    value = 0
    while at < len(data) and data[at] == 255:
        value += 255
        at += 1
    return value + (data[at] if at < len(data) else 0), at + 1


def _escape(data: bytes) -> bytes:
    """With emulation prevention (clause 7.4.1)."""
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)


def _unescape(data: bytes) -> bytes:
    return data.replace(b"\0\0\3", b"\0\0")


class UnitMaker(Listener):
    """A listener that makes access units of what it is told.

    Args:
        sets: what is in them; none = what the face's sender has said. fps: frames a second.
    """

    lossy = True

    def __init__(self, sets: tuple[str, ...], fps: Fraction) -> None:
        self.ask = Ask(sets or None)
        self._video = BlackVideo(fps)
        self._header = b""
        """What stands before the message in each IDR picture."""
        self._key_at: int | None = None
        self._wanted = True

    def begin(self) -> None:
        """The next one is an IDR picture: somebody has come."""
        self._key_at = None

    def want_key(self) -> None:
        """Somebody needs an IDR picture."""
        self._wanted = True

    def put(self, message: bytes, kind: Kind, sample: int) -> bool:
        if kind == "header" and message != self._header:
            self._header, self._key_at = message, None
        if kind != "frames":  # events are in the next messages of frames, too
            return False
        age = None if self._key_at is None else sample - self._key_at
        key = age is None or not 0 <= age < RATE or (self._wanted and age >= KEY_EVERY)
        if key:
            self._key_at, self._wanted = sample, False
        return self.send(self._video.unit(self._header + message if key else message, key), sample, key)

    def send(self, unit: bytes, sample: int, key: bool) -> bool:
        """Has it sent. True: it could not be."""
        raise NotImplementedError
