"""A user of a room, in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from aiortc.mediastreams import MediaStreamError

from ...errors import NoCapacity
from ...publish import aiortc_private
from ...publish.audience import Audience
from ...publish.ice import IceServers
from ...publish.incoming import take_sound
from ...publish.motion_track import MotionTrack
from ...publish.peer import Direction, Peer
from ...publish.sound import Sounds
from ...rtp.tally import Tally
from ..base import Heard, Message, Seen, UserJoined
from .microphone import Camera, Microphone
from .place import PACKET_SIZE, Place, Role

logger = logging.getLogger("lipwire.room")

REJOIN = 5.0
"""Seconds in which a user whose connection was lost can come back without having left."""
FAREWELL = 0.3
"""Seconds that a connection stays after its last message."""


class Browser:
    """A user in a browser. It outlives its connections: one that is lost can be followed by another. It has one for
    all, or one that only sends beside one that only watches, as WHIP and WHEP are."""

    def __init__(
        self,
        room: Place,
        user: str,
        ice_host: str | None = None,
        audience: Audience | None = None,
        ice_servers: IceServers | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.room, self.user = room, user
        self._ice_host, self._audience, self._ice_servers = ice_host, audience, ice_servers
        self._tally = tally
        self.peer: Peer | None = None
        """The connection that it hears and sees by, and is heard by, too, where it sends."""
        self.sender: Peer | None = None
        """One that only sends."""
        self.joined = False
        self.sounds: Sounds | None = None
        """What it hears, where that is not what all hear who say nothing."""
        self.microphone: Microphone | None = None
        self._joining: set[Peer] = set()
        """Those that shall carry it."""
        self._directions: dict[Peer, Direction] = {}
        self._receivers: dict[Peer, dict[str, Any]] = {}
        self._tasks: dict[Peer, set[asyncio.Task[None]]] = {}
        self._microphones: dict[Peer, Microphone] = {}
        self._rejoin: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return any(peer.connected for peer in self._carriers)

    @property
    def speaks(self) -> bool:
        """Whether sound has come from it."""
        return self.microphone is not None and self.microphone.incoming.used

    async def admit(
        self,
        sdp: str,
        kind: str,
        role: Role,
        writes: bool = True,
        direction: Direction = "sendrecv",
        black: MotionTrack | None = None,
    ) -> tuple[str, Peer]:
        """See `Rooms.admit`."""
        try:
            peer = Peer(
                self._changed,
                partial(self._said, writes),
                lambda transceiver: self._track(peer, role, transceiver),
                ice_host=self._ice_host,
                audience=self._audience,
                user=(self.room, self.user),
                direction=direction,
                ice_servers=self._ice_servers,
                black=black,
            )
        except NoCapacity:
            if not self.joined and not self._joining:
                self.room.remove(self)
            raise
        self._receivers[peer], self._tasks[peer], self._directions[peer] = {}, set(), direction
        self.room.peers.add(peer)
        for other in self._instead_of(peer, self._joining):
            other.drop()
        self._joining.add(peer)
        sdp, _ = await peer.answer(sdp, kind)
        return sdp, peer

    def follow(self) -> None:
        """It is a user who was there by another way, and has `REJOIN` to be connected by this one."""
        self.joined = True
        self._await_return()

    def _await_return(self) -> None:
        self._rejoin = asyncio.get_running_loop().call_later(REJOIN, self.room.remove, self)

    def _changed(self, peer: Peer) -> None:
        if peer.connected:
            if peer in self._joining:
                self._join(peer)
            return
        self.room.peers.discard(peer)
        self._silence(peer)
        carried = self._carries(peer)
        self._forget(peer)
        if carried and not self._carriers:
            logger.info("[%s] %s lost its connection", self.room.name, self.user)
            self._await_return()
        if carried:
            self.room.tell_members()
        if not self._carriers and not self.joined and not self._joining:
            self.room.remove(self)

    @property
    def _carriers(self) -> list[Peer]:
        return [peer for peer in (self.peer, self.sender) if peer is not None]

    def _carries(self, peer: Peer) -> bool:
        return peer in self._carriers

    def _instead_of(self, peer: Peer, others: Iterable[Peer]) -> list[Peer]:
        """Whose place a connection takes: that of all but one that does the other half."""
        ways = {"sendonly", "recvonly"}
        return [one for one in others if {self._directions[peer], self._directions[one]} != ways]

    def _forget(self, peer: Peer) -> None:
        """A connection no longer carries it."""
        self.peer = None if peer is self.peer else self.peer
        self.sender = None if peer is self.sender else self.sender
        self._joining.discard(peer)
        self._receivers.pop(peer, None)
        self._tasks.pop(peer, None)
        self._directions.pop(peer, None)

    def _join(self, peer: Peer) -> None:
        if self._rejoin is not None:
            self._rejoin.cancel()
            self._rejoin = None
        self._joining.discard(peer)
        replaced = self._instead_of(peer, self._carriers)
        for old in replaced:
            self._dismiss(old)
        if self._directions[peer] == "recvonly":
            self.sender = peer
        else:
            self.peer = peer
            peer.hear(self.room.sounds if self.sounds is None else self.sounds)
            peer.watch(self.room.pictures)
            peer.move(self.room.motion)
        if not self.joined:
            self.joined = True
            self.room.announce(UserJoined(self.user), self)
        self.room.tell_members()
        self.room.review()

    def _dismiss(self, peer: Peer) -> None:
        """A connection no longer carries it, since another one does, and is told so."""
        peer.hear(None)
        peer.watch(None)
        peer.move(None)
        peer.send('{"type":"replaced"}')
        self._silence(peer)
        self._forget(peer)
        asyncio.get_running_loop().call_later(FAREWELL, peer.drop)

    def replace(self) -> None:
        """The same user, who has come by another way, takes its place."""
        for peer in self._carriers:
            self._dismiss(peer)
        self.leave()

    def ends_with(self, peer: Peer) -> bool:
        """Whether a connection, which is ended, is the only one that carries it, or shall. If not, it goes on."""
        known = {*self._carriers, *self._joining}
        if known == {peer}:
            return True
        if self._carries(peer):
            self._silence(peer)
            self._forget(peer)
            self.room.tell_members()
        return False

    def leave(self) -> None:
        """Ends what runs; the room has removed it."""
        self.joined = False
        if self._rejoin is not None:
            self._rejoin.cancel()
        for peer in tuple(self._tasks):
            peer.drop()
        self.peer = self.sender = None
        self._joining.clear()
        self.microphone = None  # which has this

    def _said(self, writes: bool, data: str | bytes) -> None:
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > PACKET_SIZE:
            logger.warning("[%s] %s sent a message of %d bytes; dropped", self.room.name, self.user, len(raw))
        elif self.joined and writes:
            self.room.announce(Message(self.user, raw), self)

    # -------------------------------------------------------------------------------------------- what it lets us hear

    def _track(self, peer: Peer, role: Role, transceiver: Any) -> None:
        receiver = transceiver.receiver
        if peer not in self._tasks:
            return
        if role == "viewer" or receiver.track.kind in self._receivers[peer]:
            aiortc_private.receive(receiver, False)
            return
        self._receivers[peer][receiver.track.kind] = receiver
        if receiver.track.kind == "audio":
            self._listen(peer, receiver)
            return
        task = asyncio.create_task(self._watch(peer, receiver.track), name="lipwire-room-video")
        self._tasks[peer].add(task)

    def _silence(self, peer: Peer) -> None:
        for task in self._tasks.get(peer, ()):
            task.cancel()
        for receiver in self._receivers.get(peer, {}).values():
            aiortc_private.receive(receiver, False)
        if (microphone := self._microphones.pop(peer, None)) is not None:
            microphone.incoming.close()

    def _listen(self, peer: Peer, receiver: Any) -> None:
        microphone = self._microphones[peer] = Microphone(self._heard, lambda pcm: self._sound(peer, pcm), self._tally)
        take_sound(receiver, microphone.incoming, lambda: self._carries(peer))

    async def _watch(self, peer: Peer, track: Any) -> None:
        camera = Camera(lambda width, height, i420: self.room.seen(self, Seen(self.user, width, height, i420)))
        now = asyncio.get_running_loop().time
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if self._carries(peer):
                    try:
                        camera.take(frame, now())
                    except Exception:  # the edge, as above
                        logger.exception("[%s] the pictures of %s cannot be used", self.room.name, self.user)
                        return

    def _heard(self, pcm: bytes, pts_ms: int) -> None:
        if self.joined:
            self.room.heard(self, Heard(self.user, pcm, pts_ms))

    def _sound(self, peer: Peer, pcm: bytes) -> None:
        if not self.joined or peer not in self._microphones:
            return
        if self.microphone is not self._microphones[peer]:
            self.microphone = self._microphones[peer]
            self.room.tell_members()
        if self.sounds is None:  # from now on it hears everyone but itself
            self.sounds = self.room.sounds.fork()
            if self.peer is not None:
                self.peer.hear(self.sounds)
        self.room.voice(self, pcm)

    def review(self, audio: bool, video: bool) -> None:
        """Has its sound and pictures decoded, or not."""
        wanted = {"audio": audio, "video": video}
        for peer in self._carriers:
            for kind, receiver in self._receivers[peer].items():  # of a viewer there are none
                aiortc_private.receive(receiver, wanted[kind])

    def send(self, data: str | bytes) -> None:
        """A data message."""
        if (peer := self.peer or self.sender) is not None:
            peer.send(data)
