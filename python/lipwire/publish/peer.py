"""One browser over WebRTC: its connection, which is aiortc's, what it is sent, and what waits for it.

It is sent sound and pictures, and motion, where it opens a channel for that (`motion_line`) and says what it wants.

`webrtc.WebRTC` (a session and its viewers) and `room.Rooms` (agents and users) are made of these.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from ..errors import BadState, InvalidArgument
from . import aiortc_private
from .audience import Audience, Missed
from .fragment import MAX_CANDIDATES, Fragment, make_fragment
from .ice import IceServers
from .motion import ONLY_SENT, Motion
from .motion_line import CHANNEL as MOTION_CHANNEL
from .motion_line import MotionLine
from .motion_track import MotionTrack
from .native import Link, Outgoing
from .offer import TRANSPORT_CC, Offer, parse_offer
from .sound import Sounds
from .streams import Pictures

logger = logging.getLogger("lipwire.webrtc")

ANSWER_TIMEOUT = 10.0
CONNECT_TIMEOUT = 20.0
"""Seconds from the answer until media must flow."""
CLOSE_TIMEOUT = 5.0
"""Seconds that aiortc may take to close a connection; then what runs of it is ended."""
CHANNEL = "lipwire"
NO_H264 = "motion=sei comes in H.264 video, which the offer does not have"
Direction = Literal["sendonly", "recvonly", "sendrecv"]
"""What a connection is for, as its answer says it."""
OFFERED: dict[Direction, tuple[str, ...]] = {
    "sendonly": ("recvonly", "sendrecv"),
    "recvonly": ("sendonly", "sendrecv"),
    "sendrecv": ("recvonly", "sendonly", "sendrecv", "inactive"),
}
"""What an offer may say to that."""
IN_FLIGHT = 64 << 10
"""Bytes of data messages that the transport is given at a time."""
LINES = 64
"""Data channels for motion that a connection may open, one after the other."""
OUTBOX = 256 << 10
"""Bytes of data messages that wait for a slow browser; what is dropped when full: `Outbox`."""


def is_passing(data: str | bytes) -> bool:
    """Whether a data message is a transcript that the next one replaces (protocol.md E), bare or in one packet."""
    raw = data.encode() if isinstance(data, str) else data
    try:
        if not raw.startswith(b"{"):
            _, _, total, part = raw.split(b"|", 3)
            if total != b"1":
                return False
            raw = base64.b64decode(part)
        body = msgspec.json.decode(raw)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(body, dict):
        return False
    match body.get("object"):
        case "assistant.transcription":
            return body.get("turn_status") == 0
        case "user.transcription":
            return body.get("final") is False
    return body.get("is_final") is False


class Outbox:
    """Data messages on their way to one browser. When `OUTBOX` bytes wait, the oldest transcript that will be replaced
    anyway is dropped, or else the oldest message; both are counted."""

    def __init__(self) -> None:
        self._waiting: deque[str | bytes] = deque()
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, data: str | bytes) -> None:
        self._waiting.append(data)
        self._bytes += len(data)
        while self._bytes > OUTBOX:
            index = next((n for n, waiting in enumerate(self._waiting) if is_passing(waiting)), 0)
            self._bytes -= len(self._waiting[index])
            del self._waiting[index]
            self.dropped += 1

    def take(self) -> str | bytes | None:
        """The oldest; None = nothing waits."""
        if not self._waiting:
            return None
        data = self._waiting.popleft()
        self._bytes -= len(data)
        return data


class Peer:
    """One browser's connection. It offers; we answer.

    Args:
        on_change: called with the peer when it is connected, and once more when it is gone for good.
        on_message: called with each text or bytes on its data channel "lipwire".
        on_track: called with each RTCRtpTransceiver on which the browser sends.
        ice_host: the one address to offer media on; None = every address of the machine.
        audience: of whom it is one, from now until it is closed; None = nobody counts.
        user: who is behind it, where that is known: one place in the audience, however many connections.
        direction: sendonly to who watches, recvonly from who sends; each offers the other half, or both.
        ice_servers: STUN and TURN for our end; None = neither.
        seen: where it is sent pictures; else video is answered as inactive.
        black: what it is sent in the place of pictures, whatever `watch` says: H.264, so that its offer must have that.

    Raises:
        NoCapacity: the audience is full.
    """

    def __init__(
        self,
        on_change: Callable[[Peer], None],
        on_message: Callable[[str | bytes], None] | None = None,
        on_track: Callable[[Any], None] | None = None,
        ice_host: str | None = None,
        audience: Audience | None = None,
        user: object = None,
        direction: Direction = "sendrecv",
        ice_servers: IceServers | None = None,
        seen: bool = True,
        black: MotionTrack | None = None,
    ) -> None:
        self._audience = audience
        if audience is not None:
            audience.enter(self, user)
        self._ice_servers = IceServers() if ice_servers is None else ice_servers
        self.pc = RTCPeerConnection(aiortc_private.configuration(self._ice_servers.own()))
        self.takes: set[str] = set()
        """The kinds of media that it has agreed to be sent."""
        self.connected = False
        self.closed = False
        self.ice_tag = _tag()
        """Names the ICE session that there is, as a strong entity-tag (RFC 9110, section 8.8.3)."""
        self._direction: Direction = direction
        self._candidates = 0
        """Of the peer in it, those of its offer among them."""
        self._restart: aiortc_private.Restart | None = None
        """A new ICE session that has no path yet, one at a time, and what looks for one."""
        self._moving: asyncio.Task[None] | None = None
        self._on_change = on_change
        self._on_message = on_message
        self._ice_host = ice_host
        self._channel: Any = None
        self._outbox = Outbox()
        self._deadline: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._links: dict[Any, Link] = {}
        """By RTCDtlsTransport: one, where what it is sent is bundled."""
        self._out: dict[str, Outgoing] = {}
        """By kind, as soon as it can be sent."""
        self._from: dict[str, Sounds | Pictures | MotionTrack] = {}
        """By kind: what it is to be sent, or is sent."""
        self._seen, self._black = seen, black
        self._motion: Motion | None = None
        self._lines = 0
        """Data channels for motion that it has opened."""
        self._line: MotionLine | None = None
        """That it has opened for motion."""
        pc = self.pc
        aiortc_private.contain(pc)
        aiortc_private.use_certificate(pc)
        pc.on("datachannel", self._open_channel)
        pc.on("connectionstatechange", self._changed)
        if on_track is not None:
            pc.on("track", lambda track: on_track(next(t for t in pc.getTransceivers() if t.receiver.track is track)))

    @property
    def missed(self) -> Missed:
        """What it was too slow for, or this machine."""
        sound, pictures = (self._out.get(kind) for kind in ("audio", "video"))
        unsent = sum(link.stats()["units_dropped"] for link in self._links.values())  # all of them pictures
        return Missed(sound.missed if sound else 0, unsent + (pictures.missed if pictures else 0))

    @property
    def dropped(self) -> int:
        """Packets and pictures that it missed."""
        return self.missed.sound + self.missed.pictures

    @property
    def messages_dropped(self) -> int:
        """Data messages that it was too slow for."""
        return self._outbox.dropped

    @property
    def messages_waiting(self) -> int:
        """Data messages that wait for it."""
        return len(self._outbox)

    async def answer(self, sdp: str, kind: str = "offer") -> tuple[str, str]:
        """Takes the browser's offer; (sdp, "answer"), with all candidates in it.

        Raises:
            InvalidArgument: it is no usable offer; the peer is closed.
        """
        try:
            if kind != "offer" or "m=" not in sdp:
                raise InvalidArgument("an SDP offer with at least one media section is needed")
            offer = parse_offer(sdp)
            offer.check_directions(OFFERED[self._direction])
            self._candidates = offer.candidates
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self.pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
                self._agree(offer)
                if self._direction == "recvonly":
                    for transceiver in self.pc.getTransceivers():
                        ice = transceiver.receiver.transport.transport
                        aiortc_private.heed_checks(aiortc_private.ice_connection(ice))
                aiortc_private.offer_addresses(self.pc, self._ice_host)
                await self.pc.setLocalDescription(await self.pc.createAnswer())
                self.takes = {
                    t.kind for t in self.pc.getTransceivers() if t.currentDirection in ("sendonly", "sendrecv")
                }
        except InvalidArgument:
            await self.close()
            raise
        except Exception as exc:  # aiortc raises what its parsers happen to raise
            await self.close()
            raise InvalidArgument(f"the SDP offer cannot be answered: {exc or type(exc).__name__}") from exc
        except BaseException:
            await self.close()
            raise
        self._deadline = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT, self._too_late)
        return offer.answer(self.pc.localDescription.sdp), self.pc.localDescription.type

    # ------------------------------------------------------------------------------------- ICE, after the answer

    def restarts(self, fragment: Fragment) -> bool:
        """Whether it asks for a new ICE session: it has other names than the peer has in this one."""
        if fragment.ufrag is None:
            return False
        names = (fragment.ufrag, fragment.password)
        if self._restart is not None:
            return names != self._restart.names
        found = (aiortc_private.ice_of(self.pc, section.mid) for section in fragment.sections)
        known = [aiortc_private.ice_names(ice) for ice in found if ice is not None]
        return any(None not in there and there != names for there in known)

    async def trickle(self, fragment: Fragment) -> None:
        """Takes more of the peer's candidates, up to `MAX_CANDIDATES` of an ICE session; the others are left out, as
        are those of sections that there are not."""
        for section in fragment.sections:
            ice = aiortc_private.ice_of(self.pc, section.mid)
            for candidate in section.candidates if ice is not None else ():
                self._candidates += 1
                if self._candidates <= MAX_CANDIDATES and not self.closed:
                    of = aiortc_private.ice_connection(ice) if self._restart is None else self._restart.connection
                    await aiortc_private.add_candidate(of, candidate_from_sdp(candidate))

    async def restart(self, fragment: Fragment) -> str:
        """Begins a new ICE session; the answering fragment, with all our candidates in it. Sound and pictures go on
        over the old path until the new one is found. Where none is found in `CONNECT_TIMEOUT` the connection ends.

        Raises:
            InvalidArgument: the peer's media are not in one bundle, or the fragment is about none of them. BadState:
            the ICE session that there is has no path yet, or another one is being begun. All of them leave it as it is.
        """
        ices = {t.receiver.transport.transport for t in self.pc.getTransceivers()}
        mid = next((s.mid for s in fragment.sections if aiortc_private.ice_of(self.pc, s.mid) in ices), None)
        if len(ices) != 1 or mid is None or fragment.ufrag is None or fragment.password is None:
            raise InvalidArgument("ICE is restarted for media in one bundle, and an SDP fragment names one of them")
        (ice,) = ices
        if ice.state != "completed" or self.closed:
            raise BadState("ICE is not complete, so there is nothing to restart")
        if self._restart is not None:
            raise BadState("ICE is being restarted already; wait for the new path, or connect anew")
        found = [one for section in fragment.sections for one in section.candidates][:MAX_CANDIDATES]
        restart = self._restart = aiortc_private.Restart(
            ice,
            self._ice_servers.own(),
            self._ice_host,
            (fragment.ufrag, fragment.password),
            [candidate_from_sdp(one) for one in found],
        )
        if self._direction == "recvonly":
            aiortc_private.heed_checks(restart.connection)
        self._candidates = len(found)
        try:
            candidates = await restart.gather()
            if self.closed:
                raise BadState("the connection has ended")
        except BaseException:
            self._restart = None
            await restart.give_up()
            raise
        self.ice_tag = _tag()
        self._moving = asyncio.create_task(self._move(restart), name="lipwire-peer-restart")
        ours = (restart.connection.local_username, restart.connection.local_password)
        return make_fragment(self.pc.localDescription.sdp, mid, *ours, candidates)

    async def _move(self, restart: aiortc_private.Restart) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await restart.connect()
        except Exception as exc:  # the edge of the task
            logger.info("peer %s: no path after an ICE restart: %s", id(self), exc or type(exc).__name__)
            self.drop()  # which gives it up
            return
        self._restart = None
        await restart.move(self._reroute)

    def _reroute(self) -> None:
        for link in self._links.values():
            link.reroute()

    def send(self, data: str | bytes) -> None:
        """Queues a data message; see `Outbox` for what a slow browser misses."""
        if not self.closed:
            self._outbox.put(data)
            self._pump()

    def hear(self, sounds: Sounds | None) -> None:
        """What it hears from now on; None = nothing."""
        self._take("audio", sounds)

    def watch(self, pictures: Pictures | None) -> None:
        """What it sees from now on; None = nothing."""
        self._take("video", pictures if pictures is None or self._black is None else self._black)

    def move(self, motion: Motion | None) -> None:
        """Whose motion it is sent from now on, where it asks for some; None = nobody's."""
        if self._motion is not None and self._line is not None:
            self._motion.remove(self._line)
        self._motion = motion
        if motion is not None and self._line is not None:
            self._ask(self._line)

    def _ask(self, line: MotionLine) -> None:
        """A line has said what it wants, or has ended."""
        if self._direction == "recvonly" and line.asked and not line.closed:  # nobody's motion is ever for it
            line.refuse(ONLY_SENT)
        if self._motion is None or line is not self._line:
            return
        if line.closed:
            self._motion.remove(line)
            self._line = None
        elif line.asked:
            self._motion.add(line)

    def _clock(self, sample: int) -> tuple[int, int] | None:
        """For a `MotionLine`: of the sound that it is sent."""
        out = self._out.get("audio")
        return None if out is None else (out.timestamp(sample), out.clock_rate)

    def _take(self, kind: str, source: Sounds | Pictures | MotionTrack | None) -> None:
        out, before = self._out.get(kind), self._from.pop(kind, None)
        if out is not None and before is not None:
            before.remove(out)
        if source is not None and not self.closed:
            self._from[kind] = source
            if out is not None:
                self._feed(out, source)

    def _agree(self, offer: Offer) -> None:
        """Sends sound and pictures where they are offered to be received, and takes what is sent, one of each."""
        agreed: set[str] = set()
        for transceiver in self.pc.getTransceivers():
            aiortc_private.bound_sources(transceiver.receiver)
            if transceiver.kind in agreed:
                transceiver.direction = "inactive"
                continue
            agreed.add(transceiver.kind)
            if transceiver.kind == "video" and not self._seen:
                transceiver.direction = "inactive"
                continue
            transceiver.direction = self._direction
            black = transceiver.kind == "video" and self._black is not None
            if black and not aiortc_private.keep_codec(transceiver, "video/H264"):
                raise InvalidArgument(NO_H264)
            if number := offer.transport_cc(transceiver.mid):
                aiortc_private.add_transport_cc(transceiver, TRANSPORT_CC, number)
            aiortc_private.take_over(transceiver, partial(self._begin, transceiver, offer))
        if self._black is not None and "video" not in agreed:
            raise InvalidArgument(NO_H264)

    def _begin(self, transceiver: Any, offer: Offer, parameters: Any) -> None:
        """Its connection is encrypted."""
        transport, number = transceiver.sender.transport, parameters.codecs[0].payloadType
        if self.closed or transceiver.kind in self._out:
            return
        link = self._links.get(transport)
        if link is None:
            link = self._links[transport] = Link(transport)
        out = self._out[transceiver.kind] = link.stream(
            transceiver.kind,
            aiortc_private.ssrcs(transceiver.sender),
            parameters,
            single=number in offer.single_units,
            dtx=number in offer.no_silence,
        )
        if (source := self._from.get(transceiver.kind)) is not None:
            self._feed(out, source)

    def _feed(self, out: Outgoing, source: Sounds | Pictures | MotionTrack) -> None:
        if isinstance(source, MotionTrack):
            out.on_end = self.drop  # until it is removed there
        source.add(out)

    def drop(self) -> None:
        """Begins to close."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="lipwire-peer-close")

    async def close(self) -> None:
        """Ends the connection. Safe to call twice."""
        self.drop()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.closed = True
        self.connected = False
        if self._deadline is not None:
            self._deadline.cancel()
        if self._moving is not None:
            self._moving.cancel()
        self._moving = None
        self.move(None)
        for kind in tuple(self._from):
            self._take(kind, None)
        for link in self._links.values():
            link.close()
        if self._audience is not None:
            self._audience.leave(self)
        self._on_change(self)
        try:
            await self._end()
        except Exception as exc:  # the edge of the task: aiortc fails on connections that it has half made
            logger.info("peer %s: not closed cleanly: %s", id(self), exc or type(exc).__name__)
        aiortc_private.let_go(self.pc)

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                restart, self._restart = self._restart, None
                if restart is not None:  # the task that moves may have been ended before it began
                    await restart.give_up()
                await self.pc.close()
        except TimeoutError:
            logger.warning("peer %s: aiortc does not close it; its transports are stopped", id(self))
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await aiortc_private.abandon(self.pc)

    async def _changed(self) -> None:
        state = self.pc.connectionState
        logger.info("peer %s: %s", id(self), state)
        if state == "connected" and not self.closed:
            self.connected = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._on_change(self)
        elif state in ("failed", "closed"):
            await self.close()

    def _too_late(self) -> None:
        if not self.connected:
            logger.info("peer %s: not connected within %.0f s", id(self), CONNECT_TIMEOUT)
            self.drop()

    def _open_channel(self, channel: Any) -> None:
        if channel.label == MOTION_CHANNEL:
            if self._line is not None:  # one at a time, the newest
                self._line.close()
            self._lines += 1
            if self._lines > LINES:  # each may have a header and errors wait that nobody takes
                channel.close()
                return
            self._line = MotionLine(channel, self._clock, self._ask)
        if channel.label != CHANNEL:
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = IN_FLIGHT // 2
        channel.on("bufferedamountlow", self._pump)
        if self._on_message is not None:
            channel.on("message", self._on_message)
        self._pump()

    def _pump(self) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        while channel.bufferedAmount < IN_FLIGHT and (data := self._outbox.take()) is not None:
            channel.send(data)


def _tag() -> str:
    return f'"{secrets.token_hex(8)}"'
