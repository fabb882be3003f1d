"""A channel: a room in which a session or an agent speaks, shows itself, and hears the others.

One contract for every transport, so that who uses it does not know which one it has: `channel.room` and
`channel.agora`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from .._core import Frame, SharedWriter
from ..errors import InvalidArgument
from ..protocol.messages import ErrorEvent
from ..protocol.transcript import PACKET
from ..stream import Cue, Publisher, StreamSpec, Unit, Wants, as_publisher

HEARD_RATE = 16_000
"""Hz of the PCM that a channel hands over."""

State = Literal["connecting", "connected", "reconnecting", "interrupted", "disconnected", "failed"]
"""`interrupted`: what carries the connection died and is being started again. `failed`: the
service refused, or gave up; whether it is tried again is the transport's to know."""


class Connection(Struct, frozen=True, tag=True):
    """The connection changed its state; `reason` says why, for people."""

    state: State
    reason: str = ""


class UserJoined(Struct, frozen=True, tag=True):
    """Somebody else is there."""

    user: str


class UserLeft(Struct, frozen=True, tag=True):
    """Somebody left, or was lost."""

    user: str


class Heard(Struct, frozen=True, tag=True):
    """10 ms of what a user says: PCM16 mono at 16 kHz."""

    user: str
    pcm: bytes
    pts_ms: int = 0
    """The sender's presentation time, where the transport carries one."""


class Seen(Struct, frozen=True, tag=True):
    """A picture of a user, at most one a second: I420, contiguous, width * height * 3 / 2 bytes."""

    user: str
    width: int
    height: int
    i420: bytes


class Coded(Struct, frozen=True, tag=True):
    """A user's video has been subscribed to."""

    user: str
    codec: str
    """In which it comes: "H264", "VP8", "AV1", or the transport's number of another."""


class Message(Struct, frozen=True, tag=True):
    """A data message from a user."""

    user: str
    data: bytes


class SoundNote(Struct, frozen=True, tag=True):
    """What a user sent along with its sound, such as the times that captions need."""

    user: str
    data: bytes


class Network(Struct, frozen=True, tag=True):
    """How the connection does; what the transport does not know is 0."""

    rtt_ms: int = 0
    loss_percent: int = 0
    tx_kbps: int = 0
    rx_kbps: int = 0
    tx_bytes: int = 0
    rx_bytes: int = 0
    users: int = 0


class Trouble(Struct, frozen=True, tag=True):
    """Something failed without ending the connection. `code` is the transport's."""

    what: str
    code: int = 0
    message: str = ""


class TokenExpiring(Struct, frozen=True, tag=True):
    """A new token is wanted: `renew`. Sent only where the channel cannot make one itself."""


ChannelEvent = (
    Connection | UserJoined | UserLeft | Heard | Seen | Coded | Message | SoundNote | Network | Trouble | TokenExpiring
)


def client_event(event: ChannelEvent) -> ErrorEvent | None:
    """What the client of a session should hear of it, as the protocol's `error` event; None = nothing.

    Codes: CHANNEL_INTERRUPTED (what was not sent follows once it is back), CHANNEL_FAILED, TOKEN_EXPIRING.
    """
    match event:
        case Connection("interrupted" | "reconnecting", reason):
            return ErrorEvent("CHANNEL_INTERRUPTED", f"out of the channel: {reason}; it is joined again")
        case Connection("failed", reason):
            return ErrorEvent("CHANNEL_FAILED", f"the channel cannot be joined: {reason}")
        case TokenExpiring():
            return ErrorEvent(
                "TOKEN_EXPIRING", "the channel's token expires soon, and there is no certificate to renew it"
            )
    return None


class Channel(Publisher):
    """A Publisher that also receives. All calls come from the event loop's thread, and so do the events."""

    on_event: Callable[[ChannelEvent], None] | None
    packet_size: int = PACKET
    """Bytes that one message of `send` holds."""

    @abc.abstractmethod
    def send(self, data: bytes) -> None:
        """Sends a data message of 1..`packet_size` bytes to everyone; it is queued and paced.

        Raises:
            InvalidArgument: too large, or bytes that the transport cannot carry. BufferFull: too much is waiting.
        """

    @abc.abstractmethod
    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        """Asks for a user's sound (`Heard`) and pictures (`Seen`); None = everyone's."""

    @abc.abstractmethod
    def unsubscribe(self, user: str | None = None) -> None:
        """Ends what `subscribe` asked for."""

    def renew(self, token: str) -> None:
        """Takes a new token for the connection, now and for joining again. Transports without tokens need none, and
        ignore it."""

    @abc.abstractmethod
    def stats(self) -> dict[str, Any]:
        """Live figures of the connection, JSON-able."""


class _Wrapped(Channel):
    """An object of a user's own that has the methods of a Channel."""

    _METHODS = ("send", "subscribe", "unsubscribe", "stats")

    def __init__(self, of: Any) -> None:
        for name in self._METHODS:
            if not callable(getattr(of, name, None)):
                raise InvalidArgument(
                    f"{of!r:.80} is no channel: it has no method {name}(); derive it from lipwire.channel.Channel"
                )
        self._of = of
        self._publisher = as_publisher(of)
        self.packet_size = getattr(of, "packet_size", PACKET)
        if callable(renew := getattr(of, "renew", None)):
            setattr(self, "renew", renew)  # noqa: B010 - mypy knows a method here

    @property
    def on_event(self) -> Callable[[ChannelEvent], None] | None:
        """The object's own."""
        found: Callable[[ChannelEvent], None] | None = self._of.on_event
        return found

    @on_event.setter
    def on_event(self, on_event: Callable[[ChannelEvent], None] | None) -> None:
        self._of.on_event = on_event

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        return self._publisher.memory(spec, slots)

    @property
    def wants(self) -> Wants:
        return self._publisher.wants

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        return self._publisher.takes_units

    @property
    def request_key(self) -> Callable[[], None]:
        return self._publisher.request_key

    @request_key.setter
    def request_key(self, request_key: Callable[[], None]) -> None:
        self._publisher.request_key = request_key

    async def open(self, spec: StreamSpec) -> None:
        await self._publisher.open(spec)

    def audio(self, pcm: bytes, sample: int) -> None:
        self._publisher.audio(pcm, sample)

    def video(self, frame: Frame) -> None:
        self._publisher.video(frame)

    def unit(self, unit: Unit) -> None:
        self._publisher.unit(unit)

    @property
    def takes_motion(self) -> bool:
        return self._publisher.takes_motion

    def motion(self, frame: Frame) -> None:
        self._publisher.motion(frame)

    def cue(self, cue: Cue) -> None:
        self._publisher.cue(cue)

    def interrupt(self) -> None:
        self._publisher.interrupt()

    async def close(self) -> None:
        await self._publisher.close()

    def send(self, data: bytes) -> None:
        self._of.send(data)

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        self._of.subscribe(user, audio=audio, video=video)

    def unsubscribe(self, user: str | None = None) -> None:
        self._of.unsubscribe(user)

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self._of.stats()
        return found


def as_channel(channel: Any) -> Channel:
    """The Channel that `channel` is, or that an object with the same methods stands for; `memory`, `interrupt`,
    `motion`, `cue`, `renew`, `wants` and `packet_size` may be missing.

    Raises:
        InvalidArgument: a method is missing, or does not take what it is given; the message names it.
    """
    return channel if isinstance(channel, Channel) else _Wrapped(channel)
