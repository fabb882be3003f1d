"""Motion into a channel of Agora's: in packets of its data stream, or as user data of a black video.

A packet holds 1 KB, and 60 may be sent in a second (`data`), which transcripts need, too. So motion takes half of
them: at 60 frames a second two frames are in a packet, and the two before. There must be no NUL in a packet, so a
message is stuffed: `PREFIX`, and then COBS (Cheshire and Baker, 1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from ...errors import InvalidArgument
from ...protocol.transcript import PACKET
from ...publish.motion import Ask, Kind, Listener, make_encoder
from ...publish.motion_video import UnitMaker
from . import wire

PREFIX = b"lwm1:"
"""What tells a packet of motion from one of a transcript."""
PACKETS_A_SECOND = 30
MOST = PACKET - len(PREFIX) - PACKET // 254 - 1
"""Bytes of a message that fits a packet."""
_RUN = 254
"""Bytes that are no zero, of which one code byte tells."""

Tell = Callable[[wire.Command], bool]
"""Tells the worker. True: there is none."""


def stuff(message: bytes) -> bytes:
    """A packet with a message."""
    out = bytearray(PREFIX)
    for run in message.split(b"\0"):
        while len(run) >= _RUN:
            out.append(_RUN + 1)
            out += run[:_RUN]
            run = run[_RUN:]
        out.append(len(run) + 1)
        out += run
    return bytes(out)


def unstuff(packet: bytes) -> bytes | None:
    """The message in a packet; None = it is none of motion's, or damaged."""
    if not packet.startswith(PREFIX):
        return None
    out, at = bytearray(), len(PREFIX)
    while at < len(packet):
        code = packet[at]
        run = packet[at + 1 : at + code]
        if not code or len(run) != code - 1:
            return None
        out += run
        at += code
        if code <= _RUN and at < len(packet):
            out.append(0)
    return bytes(out)


class MotionPackets(Listener):
    """Packets of the data stream.

    Raises:
        InvalidArgument: the names of these sets do not fit one.
    """

    lossy, anew, most = True, True, MOST

    def __init__(self, number: int, sets: tuple[str, ...], fps: Fraction, tell: Tell) -> None:
        self.ask = Ask(sets)
        self.stride = math.ceil(fps / PACKETS_A_SECOND)
        header = make_encoder(self.ask, fps).header()
        if len(header) > MOST:
            raise InvalidArgument(
                f"the names of {', '.join(sets)} take {len(header)} bytes, and a packet of Agora's data stream holds "
                f"{MOST}: name fewer sets, or take the carrier sei"
            )
        self._number, self._tell = number, tell

    def put(self, message: bytes, kind: Kind, sample: int) -> bool:
        return self._tell(wire.Motion(self._number, sample, stuff(message), kept=kind != "frames"))

    def interrupt(self) -> None:
        self._tell(wire.Stale(self._number))


class MotionUnits(UnitMaker):
    """Access units of black video."""

    def __init__(self, number: int, sets: tuple[str, ...], fps: Fraction, tell: Tell) -> None:
        super().__init__(sets, fps)
        self._number, self._tell = number, tell

    def send(self, unit: bytes, sample: int, key: bool) -> bool:
        return self._tell(wire.Unit(self._number, sample, unit, key))
