"""One stream of speech that comes in by RTP: from packets of anybody to sound of the one who is meant.

No socket and no clock: times are arguments, in ns of the monotonic clock. Whatever comes, a packet costs a few
microseconds, is taken or counted, and raises nothing.

| a packet that | is counted as |
|---|---|
| is no RTP or RTCP (RFC 3550, A.1), or too long | malformed |
| has a payload type that was not agreed | other_type |
| is somebody else's | strangers |
| is late, or comes twice | by the jitter buffer (`stats`) |
"""

from __future__ import annotations

import secrets
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct

from .._core import JitterBuffer
from ..logs import sampled
from .formats import Speech
from .rtcp import Heard, Reception, goodbye, is_rtcp, receiver_report
from .sdp import Address
from .source import CANDIDATES, Source
from .tally import Tally

logger = sampled("lipwire.rtp")

BLOCK_NS = 10_000_000
MOST_BEHIND = 50
"""Blocks that are read at once at most, where the loop stood still; what would be older is left out."""
LINGER = 100
"""Blocks of nothing until a stream counts as one that has stopped."""
COMFORT_NS = 30_000_000_000
"""So long comfort noise goes on without a packet: who only is silent describes it anew, or speaks."""
REPORTED_NS = 30_000_000_000
"""So long reports are sent to whoever sends nothing: the address of a packet is no proof that it came from there."""
CONCEALED = 10
"""Blocks in a row that may stand in for something lost; more of them stand for a sender that has stopped."""
QUIET = frozenset({"comfort", "idle"})
"""Blocks that nobody sent."""
DIGITS = "0123456789*#ABCD"
"""Telephone events 0..15 (RFC 4733, table 3)."""

Deliver = Callable[[bytes, bool], None]
"""(10 ms of PCM16 mono, whether nobody sent it)."""


class Digit(Struct, frozen=True):
    """A key that was pressed: a telephone event (RFC 4733)."""

    digit: str
    """0..9, *, #, A..D; other events by their number."""
    duration_ms: int


class Inbound:
    """Speech of one sender.

    Args:
        speech: what is agreed.
        deliver: called with each 10 ms, in order, while there is a stream.
        on_digit: called with each key that was pressed, once it is released.
        expected: where RTP comes from, and where RTCP comes from and goes, as far as the sender says so.
        symmetric: whether it may come from elsewhere.
        authentic: whether packets were encrypted with the sender's key, and have been decrypted.
        on_source: called with each address that is believed, of RTP (True) or RTCP (False).
        cname: of receiver reports.
        tally: has its jitter buffer, too.
    """

    def __init__(
        self,
        speech: Speech,
        deliver: Deliver,
        on_digit: Callable[[Digit], None],
        *,
        expected: Address | None,
        expected_rtcp: Address | None = None,
        symmetric: bool = True,
        authentic: bool = False,
        on_source: Callable[[Address, bool], None] = lambda address, media: None,
        cname: str = "lipwire",
        tally: Tally | None = None,
    ) -> None:
        self.speech = speech
        self.source = Source(expected, symmetric=symmetric)
        self.rtcp_from: Address | None = None
        """Where its RTCP last came from."""
        self.packets = 0
        """That were given to the jitter buffer."""
        self.digits = 0
        self.counts: Counter[str] = Counter()
        """What was dropped, by reason."""
        self._deliver, self._on_digit = deliver, on_digit
        self._announced_rtcp = expected_rtcp
        self._authentic, self._on_source = authentic, on_source
        self._cname, self._ssrc = cname, secrets.randbits(32) or 1
        self._tally = tally or Tally()
        self._jitter = self._tally.add(
            JitterBuffer(
                speech.codec,
                sample_rate=speech.sample_rate,
                clock_rate=speech.clock_rate,
                payload_type=speech.payload_type,
                comfort_noise_type=speech.comfort_noise_type,
                event_type=speech.event_type,
            )
        )
        self._types = {speech.payload_type, speech.comfort_noise_type, speech.event_type} - {None}
        self._block_of = np.zeros(speech.sample_rate // 100, np.int16)
        self._reception: Reception | None = None
        self._waiting: dict[tuple[Address, int], tuple[bytes, int]] = {}
        """Of who may become the source, by address and SSRC: the first packet, and when it came."""
        self._next_ns: int | None = None
        """When the next block is due; None = there is no stream."""
        self._empty = self._concealed = 0
        """Blocks of nothing in a row, and of what was made up."""
        self._came_ns = 0
        """When the newest packet came."""
        self._gone = False
        """The source has said goodbye, and nothing since."""
        self._read_ns = 0
        """When the newest block was read: what came before it and was not known then comes now."""

    @property
    def active(self) -> bool:
        """Whether there is a stream: blocks are due every 10 ms."""
        return self._next_ns is not None

    # ------------------------------------------------------------------------------------------------------ packets

    def receive(self, data: bytes, address: Address, now_ns: int, *, control: bool = False) -> None:
        """A packet from `address`, which came at `now_ns`. `control`: to the port of RTCP."""
        if control or is_rtcp(data):
            self._control(data, address, now_ns)
        elif len(data) < 12 or data[0] >> 6 != 2:
            self.counts["malformed"] += 1
        elif data[1] & 127 not in self._types:
            self.counts["other_type"] += 1
        else:
            self._media(data, address, max(now_ns, self._read_ns))

    def _media(self, data: bytes, address: Address, now_ns: int) -> None:
        sequence, ssrc = int.from_bytes(data[2:4]), int.from_bytes(data[8:12])
        verdict = self.source.judge(address, ssrc, sequence, authentic=self._authentic)
        if verdict == "stranger":
            self.counts["strangers"] += 1
        elif verdict == "waits":
            self._wait(data, (address, ssrc), now_ns)
        else:
            if verdict == "new":
                self._begin(ssrc, sequence)
            self._put(data, now_ns)

    def _wait(self, data: bytes, of: tuple[Address, int], now_ns: int) -> None:
        if of in self._waiting or len(self._waiting) == CANDIDATES:
            self._waiting.pop(of if of in self._waiting else next(iter(self._waiting)))
            self.counts["strangers"] += 1
        self._waiting[of] = data, now_ns

    def _begin(self, ssrc: int, sequence: int) -> None:
        """A source is believed from now on, of which this is the first packet or, where one waits, the second."""
        assert self.source.address is not None
        logger.info("[%s] RTP comes from %s:%d", self._cname, *self.source.address)
        self._on_source(self.source.address, True)
        first = self._waiting.pop((self.source.address, ssrc), None)
        if self._waiting:
            self.counts["strangers"] += len(self._waiting)
        self._waiting.clear()
        self._reception = None
        self._jitter.reset()
        if first is not None and (int.from_bytes(first[0][2:4]) + 1) & 0xFFFF == sequence:
            self._put(*first)

    def _put(self, data: bytes, now_ns: int) -> None:
        sequence, timestamp, ssrc = struct.unpack_from("!HII", data, 2)
        if self._reception is None:
            self._reception = Reception(ssrc, self.speech.clock_rate, sequence)
        self._reception.take(sequence, timestamp, now_ns, timed=data[1] & 127 == self.speech.payload_type)
        self._jitter.put(data, now_ns)
        self.packets += 1
        self._came_ns, self._gone = now_ns, False
        if self._next_ns is None:
            self._next_ns, self._empty = now_ns, 0

    def _control(self, data: bytes, address: Address, now_ns: int) -> None:
        if not (self._authentic or self.source.is_peer(address, self._announced_rtcp)):
            self.counts["strangers"] += 1
            return
        heard = Heard(data)
        if heard.malformed:
            self.counts["malformed"] += 1
        if address != self.rtcp_from:
            self.rtcp_from = address
            self._on_source(address, False)
        reception = self._reception
        if reception is not None and reception.ssrc in heard.gone:
            self._gone = True
        if reception is not None and (middle := heard.reports.get(reception.ssrc)) is not None:
            reception.report_came(middle, now_ns)

    # -------------------------------------------------------------------------------------------------------- sound

    def advance(self, now_ns: int) -> None:
        """Delivers the blocks that are due by `now_ns`. Packets that came before it are received first."""
        if self._next_ns is None:
            return
        if now_ns - self._next_ns > MOST_BEHIND * BLOCK_NS:
            self._next_ns = now_ns - MOST_BEHIND * BLOCK_NS
        while self._next_ns is not None and self._next_ns <= now_ns:
            self._block(self._next_ns)

    def _block(self, now_ns: int) -> None:
        self._read_ns = now_ns
        kind = self._jitter.get_into(self._block_of, now_ns)
        self._concealed = self._concealed + 1 if kind == "concealed" else 0
        quiet = kind in QUIET or self._concealed > CONCEALED
        over = self._gone or now_ns - self._came_ns > COMFORT_NS
        self._empty = self._empty + 1 if kind == "idle" or (kind == "comfort" and over) else 0
        self._next_ns = None if self._empty > LINGER else now_ns + BLOCK_NS
        self._deliver(self._block_of.tobytes(), quiet)
        for event, seconds, ended in self._jitter.events():
            if ended:
                self.digits += 1
                digit = DIGITS[event] if event < len(DIGITS) else str(event)
                self._on_digit(Digit(digit, round(1000 * seconds)))

    # ------------------------------------------------------------------------------------------------------ reports

    def report(self, now_ns: int) -> bytes | None:
        """A receiver report; None = there is nothing to tell of, or nobody who would know of it: the source has said
        goodbye, or nothing has come of it for `REPORTED_NS`."""
        if self._reception is None or self._gone or now_ns - self._came_ns > REPORTED_NS:
            return None
        return receiver_report(self._ssrc, self._cname, [self._reception.block(now_ns)])

    def goodbye(self, now_ns: int) -> bytes | None:
        """The last one."""
        report = self.report(now_ns)
        return None if report is None else report + goodbye(self._ssrc)

    def stats(self) -> dict[str, Any]:
        """Figures, JSON-able: `codec`, `source` (host:port of who is believed, or None), `packets`, `digits`, what was
        `dropped` by reason, `lost` and `jitter_ms` as receiver reports say them, and the jitter buffer's (`buffer`)."""
        address, reception = self.source.address, self._reception
        return {
            "codec": self.speech.codec,
            "source": None if address is None else f"{address.host}:{address.port}",
            "active": self.active,
            "packets": self.packets,
            "digits": self.digits,
            "dropped": dict(self.counts),
            "lost": 0 if reception is None else reception.lost,
            "jitter_ms": 0.0 if reception is None else round(reception.jitter_ms, 2),
            "buffer": self._jitter.stats(),
        }

    def close(self) -> None:
        """Gives the jitter buffer's memory back."""
        self._tally.close(self._jitter)
