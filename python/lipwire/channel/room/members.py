"""The members of a room: users in browsers (`Browser`) and whoever is in process (`RoomChannel`). See `room`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from aiortc.mediastreams import MediaStreamError

from ..._core import RATE, Frame, Resampler
from ...errors import BadState, InvalidArgument
from ...publish.peer import Peer, SoundPackets
from ...stream import StreamSpec
from ..base import HEARD_RATE, Channel, ChannelEvent, Connection, Heard, Message, Seen, State, UserJoined
from .microphone import HEARD_BYTES, QUIET, Camera, Microphone

if TYPE_CHECKING:
    from .room import Room, Rooms

logger = logging.getLogger("lipwire.room")

PACKET_ROOM = 16 << 10
"""Bytes that a data message holds."""
REJOIN = 5.0
"""Seconds in which a user whose connection was lost can come back without having left."""
FAREWELL = 0.3
"""Seconds that a connection stays after its last message."""
MIX_BLOCKS, MIX_START = 12, 4
"""10 ms blocks of a member's sound that wait to be mixed (the oldest is dropped), and how many are gathered first."""

Role = Literal["speaker", "viewer"]


class Voice:
    """A member's sound on its way into the mix: bounded, the oldest dropped."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque(maxlen=MIX_BLOCKS)
        self._playing = False

    def __bool__(self) -> bool:
        return bool(self._blocks)

    @property
    def full(self) -> bool:
        return len(self._blocks) == MIX_BLOCKS

    def put(self, pcm: bytes) -> None:
        self._blocks.append(pcm)

    def take(self) -> bytes | None:
        """The next block; None = nothing to hear now."""
        if not self._playing and len(self._blocks) < MIX_START:
            return None
        self._playing = bool(self._blocks)
        if not self._playing:
            return None
        pcm = self._blocks.popleft()
        return pcm if pcm.count(0) < len(pcm) else None

    def clear(self) -> None:
        self._blocks.clear()
        self._playing = False


class Browser:
    """A user in a browser. It outlives its connections: one that is lost can be followed by another."""

    def __init__(self, room: Room, user: str) -> None:
        self.room, self.user = room, user
        self.role: Role = "speaker"
        self.peer: Peer | None = None
        """The connection that carries it."""
        self.joined = False
        self.voice = Voice()
        self.packets = SoundPackets()
        self.microphone: Microphone | None = None
        self._joining: Peer | None = None
        """The one that shall."""
        self._receivers: dict[Peer, dict[str, Any]] = {}
        self._tasks: dict[Peer, set[asyncio.Task[None]]] = {}
        self._rejoin: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.peer is not None and self.peer.connected

    @property
    def speaks(self) -> bool:
        """Whether sound has come from it."""
        return self.microphone is not None and self.microphone.used

    async def answer(self, sdp: str, kind: str, role: Role) -> tuple[str, str]:
        """See `Rooms.answer`."""
        peer = Peer(self._changed, self._said, lambda transceiver: self._track(peer, role, transceiver))
        self._receivers[peer], self._tasks[peer] = {}, set()
        self.room.peers.add(peer)
        if self._joining is not None:
            self._joining.drop()
        self._joining, self.role = peer, role
        return await peer.answer(sdp, kind)

    def _changed(self, peer: Peer) -> None:
        if peer.connected:
            if peer is self._joining:
                self._join(peer)
            return
        self.room.peers.discard(peer)
        self._receivers.pop(peer, None)
        for task in self._tasks.pop(peer, ()):
            task.cancel()
        if peer is self._joining:
            self._joining = None
        elif peer is self.peer:
            self.peer = None
            self.voice.clear()
            logger.info("[%s] %s lost its connection", self.room.name, self.user)
            self._rejoin = asyncio.get_running_loop().call_later(REJOIN, self.room.remove, self)
            self.room.tell_members()
        if self.peer is None and not self.joined and self._joining is None:
            self.room.remove(self)

    def _join(self, peer: Peer) -> None:
        if self._rejoin is not None:
            self._rejoin.cancel()
            self._rejoin = None
        old, self.peer, self._joining = self.peer, peer, None
        self.packets.clear()
        if old is not None:
            old.send('{"type":"replaced"}')
            self._silence(old)
            asyncio.get_running_loop().call_later(FAREWELL, old.drop)
        if not self.joined:
            self.joined = True
            self.room.announce(UserJoined(self.user), self)
        self.room.tell_members()
        self.room.review()

    def leave(self) -> None:
        """Ends what runs; the room has removed it."""
        self.joined = False
        if self._rejoin is not None:
            self._rejoin.cancel()
        for peer in tuple(self._tasks):
            peer.drop()
        self.peer = self._joining = None

    def _said(self, data: str | bytes) -> None:
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > PACKET_ROOM:
            logger.warning("[%s] %s sent a message of %d bytes; dropped", self.room.name, self.user, len(raw))
        elif self.joined:
            self.room.announce(Message(self.user, raw), self)

    # -------------------------------------------------------------------------------------------- what it lets us hear

    def _track(self, peer: Peer, role: Role, transceiver: Any) -> None:
        receiver = transceiver.receiver
        if peer not in self._tasks:
            return
        if role == "viewer":
            receiver._enabled = False  # aiortc: packets are dropped before they are decoded
            return
        # aiortc holds four packets back before it lets one go: order does not need that, who listens goes by the
        # packets' own times (microphone.py), and it is 60 ms of every answer.
        if (jitter := getattr(receiver, "_RTCRtpReceiver__jitter_buffer", None)) and receiver.track.kind == "audio":
            jitter._prefetch = 1
        self._receivers[peer][receiver.track.kind] = receiver
        read = self._listen if receiver.track.kind == "audio" else self._watch
        task = asyncio.create_task(read(peer, receiver.track), name=f"lipwire-room-{receiver.track.kind}")
        self._tasks[peer].add(task)

    def _silence(self, peer: Peer) -> None:
        for task in self._tasks.get(peer, ()):
            task.cancel()
        for receiver in self._receivers.get(peer, {}).values():
            receiver._enabled = False

    async def _listen(self, peer: Peer, track: Any) -> None:
        microphone = Microphone(self._heard, self._sound)
        now = asyncio.get_running_loop().time
        with contextlib.suppress(MediaStreamError):
            while True:
                try:
                    async with asyncio.timeout(QUIET):
                        frame = await track.recv()
                except TimeoutError:
                    microphone.idle(now())
                    continue
                if peer is not self.peer:
                    continue
                self.microphone = microphone
                first = not microphone.used
                try:
                    microphone.feed(frame, now())
                except Exception:  # the edge: one user's odd sound must not end the room
                    logger.exception("[%s] the sound of %s cannot be used", self.room.name, self.user)
                    return
                if first:
                    self.room.tell_members()

    async def _watch(self, peer: Peer, track: Any) -> None:
        camera = Camera(lambda width, height, i420: self.room.seen(self, Seen(self.user, width, height, i420)))
        now = asyncio.get_running_loop().time
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if peer is self.peer:
                    try:
                        camera.take(frame, now())
                    except Exception:  # the edge, as above
                        logger.exception("[%s] the pictures of %s cannot be used", self.room.name, self.user)
                        return

    def _heard(self, pcm: bytes, pts_ms: int) -> None:
        if self.joined:
            self.room.heard(self, Heard(self.user, pcm, pts_ms))

    def _sound(self, pcm: bytes) -> None:
        self.room.put_voice(self, pcm)

    def review(self, audio: bool, video: bool) -> None:
        """Has its sound and pictures decoded, or not."""
        if self.peer is not None:
            wanted = {"audio": audio, "video": video}
            for kind, receiver in self._receivers[self.peer].items():
                receiver._enabled = wanted[kind] and self.role == "speaker"


class RoomChannel:
    """An in-process member of a room: a `Channel`. It is in the room from `open` to `close`.

    Args:
        on_event: gets each ChannelEvent.
    """

    packet_room = PACKET_ROOM
    """Bytes that a message of `send` holds."""

    def __init__(
        self, rooms: Rooms, name: str, user: str, on_event: Callable[[ChannelEvent], None] | None = None
    ) -> None:
        self.name, self.user = name, user
        self.on_event = on_event
        self.state: State = "disconnected"
        self.voice = Voice()
        self.offset = 0
        """From its clock to the room's, in samples."""
        self.seen_at = float("-inf")
        self._rooms = rooms
        self._room: Room | None = None
        self._subscriptions: dict[str | None, tuple[bool, bool]] = {}
        self._down: Resampler | None = None
        self._down_pcm = bytearray()

    async def open(self, spec: StreamSpec) -> None:
        """Joins.

        Raises:
            RoomError: somebody with this name is there. NoCapacity: the room is full, or there are too many rooms.
        """
        if self._room is not None:
            raise BadState("the channel is open")
        self._room = self._rooms.enter(self)
        self._set("connected", "")
        for member in self._room.members():
            if member.user != self.user:
                self.emit(UserJoined(member.user))

    async def close(self) -> None:
        """Leaves. Safe to call twice."""
        self.left("left")

    def left(self, reason: str) -> None:
        """It is out of its room."""
        room, self._room = self._room, None
        if room is not None:
            room.remove(self)
            self._set("disconnected", reason)

    def audio(self, pcm: bytes, sample: int) -> None:
        """10 ms, to everyone."""
        if self._room is not None:
            self._room.sound(self, pcm, sample)

    def video(self, frame: Frame) -> None:
        """A picture, to everyone, if this is the face of the room."""
        if self._room is not None:
            self._room.show(self, frame)

    def interrupt(self) -> None:
        """Drops all that was handed over and has not been sent."""
        self.voice.clear()
        if self._room is not None:
            self._room.interrupt(self)

    def send(self, data: bytes) -> None:
        """A data message to everyone. A browser that is too slow misses some, which is counted: `peer.Outbox`.

        Raises:
            InvalidArgument: empty, or more than `packet_room` bytes. BadState: not in the room.
        """
        if not 0 < len(data) <= PACKET_ROOM:
            raise InvalidArgument(f"a data message holds 1..{PACKET_ROOM} bytes, not {len(data)}")
        if self._room is None:
            raise BadState("the channel is not open")
        self._room.send(self, bytes(data))

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        """A user's sound and pictures; None = everyone's who has no subscription of its own."""
        self._subscriptions[user] = (audio, video)
        self._review()

    def unsubscribe(self, user: str | None = None) -> None:
        """Ends it."""
        self._subscriptions.pop(user, None)
        self._review()

    def _review(self) -> None:
        if self._room is not None:
            self._room.review()

    def wants(self, user: str) -> tuple[bool, bool]:
        """Whether it wants (sound, pictures) of a user."""
        return self._subscriptions.get(user) or self._subscriptions.get(None, (False, False))

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: `state`, `room`, `members`, `viewers` (browsers that are connected), what slow
        browsers missed (`dropped` packets and pictures, `messages_dropped`), `messages_waiting`, and by `users` the
        sound that was filled in or came too fast, in ms."""
        room = self._room
        return {"state": self.state, "room": self.name, **(room.stats() if room is not None else {})}

    def heard_blocks(self, pcm: bytes) -> Iterator[bytes]:
        """Its own sound as others hear it: 10 ms at 16 kHz."""
        if self._down is None:
            self._down = Resampler(RATE, HEARD_RATE)
        self._down_pcm += self._down.process(pcm)
        while len(self._down_pcm) >= HEARD_BYTES:
            yield bytes(self._down_pcm[:HEARD_BYTES])
            del self._down_pcm[:HEARD_BYTES]

    def _set(self, state: State, reason: str) -> None:
        self.state = state
        self.emit(Connection(state, reason))

    def emit(self, event: ChannelEvent) -> None:
        """Tells its owner."""
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:  # the edge: one member's listener must not stop the others' events
                logger.exception("[%s] a listener of %s failed", self.name, self.user)


if TYPE_CHECKING:
    _conforms: type[Channel] = RoomChannel
