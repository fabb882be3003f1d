"""Motion to one browser, over a data channel of its WebRTC connection.

The browser opens the channel, unordered and without retransmission, and says what it wants (`motion.parse_ask`), then
and whenever that changes. A browser that is slow has one message waiting, the newest.

It plays motion with its sound, by the clock of the sound's RTP: `clock` events tell how that maps to the clock of the
motion, to it alone: with each header, and every five seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .._core import RATE
from ..errors import InvalidArgument
from .motion import Encoding, Kind, Listener, event_message, parse_ask

CHANNEL = "lipwire-motion"
IN_FLIGHT = 2048
"""Bytes that the transport is given before the next frame waits."""
MOST = 16 << 10
"""Bytes that wait there from which on events and headers are left out, too."""
BAD_ASKS = 16
"""Asks that are wrong, after which the channel is closed."""
CLOCK_EVERY = 5 * RATE
"""Samples from one `clock` event to the next."""

Clock = Callable[[int], tuple[int, int] | None]
"""(sample): (RTP timestamp of the sound at that sample, Hz of that clock); None = there is no sound."""


class MotionLine(Listener):
    """One data channel.

    Args:
        channel: aiortc's.
        clock: of the sound that goes with it.
        on_ask: called with this where it has been told what to send, and where it has ended.
    """

    def __init__(self, channel: Any, clock: Clock, on_ask: Callable[[MotionLine], None]) -> None:
        self.asked = False
        self.closed = False
        self._channel, self._clock, self._on_ask = channel, clock, on_ask
        self._clock_at: int | None = None
        self._bad_asks = 0
        self._waiting: bytes | None = None
        channel.on("message", self._asked)
        channel.on("bufferedamountlow", self._flush)
        channel.on("close", self._closed)

    def put(self, message: bytes, kind: Kind, sample: int) -> bool:
        """As `Listener.put`: of frames the newest waits."""
        if kind == "header":  # which comes again where the first may have been lost, as this may have been
            self._clock_at = None
        if self._clock_at is None or not 0 <= sample - self._clock_at < CLOCK_EVERY:
            self._tell_clock(sample)
        waits = self._channel.bufferedAmount
        if kind != "frames":
            if waits <= MOST:
                self._send(message)
            return bool(waits > MOST)
        if waits <= IN_FLIGHT:
            self._waiting = None
            self._send(message)
            return False
        dropped, self._waiting = self._waiting is not None, message
        return dropped

    def interrupt(self) -> None:
        """What waits is dropped."""
        self._waiting = None

    def refuse(self, why: str) -> None:
        """Says so, and closes."""
        self._tell_error(why)
        self.close()

    def close(self) -> None:
        """Ends it. Safe to call twice."""
        if not self.closed:
            self._channel.close()
            self._closed()

    def _closed(self) -> None:
        if not self.closed:
            self.closed, self._waiting = True, None
            self._on_ask(self)

    def _asked(self, message: str | bytes) -> None:
        if self.closed:
            return
        try:
            self.ask = parse_ask(message)
        except InvalidArgument as exc:
            self._bad_asks += 1
            if self._bad_asks < BAD_ASKS:
                self._tell_error(str(exc))
            else:
                self.refuse(f"this was the {BAD_ASKS}th ask that is wrong; the last: {exc}")
            return
        self.asked, self._clock_at, self._waiting = True, None, None
        self._on_ask(self)

    def _tell_error(self, why: str) -> None:
        if self._channel.bufferedAmount <= MOST:  # who does not read is not told, as it is bounded what waits
            self._send(event_message(self.ask.encoding, "error", why) if self.asked else _error(why))

    def _tell_clock(self, sample: int) -> None:
        found = self._clock(sample)
        if found is not None and self._channel.bufferedAmount <= MOST:
            self._clock_at = sample
            text = f"rtp:{found[0]} sample:{sample} rate:{found[1]}"
            self._send(event_message(self.ask.encoding, "clock", text, sample))

    def _flush(self) -> None:
        message, self._waiting = self._waiting, None
        if message is not None:
            self._send(message)

    def _send(self, message: bytes) -> None:
        if self._channel.readyState == "open":
            self._channel.send(_framed(message, self.ask.encoding))


def _framed(message: bytes, encoding: Encoding) -> str | bytes:
    """JSON as text, which a browser is handed as a string."""
    return message.decode() if encoding == "json" or message.startswith(b'{"') else message


def _error(why: str) -> bytes:
    return msgspec.json.encode({"type": "error", "message": why})
