"""A user of a room, in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

from aiortc.mediastreams import MediaStreamError

from ...errors import NoCapacity
from ...publish import aiortc_private
from ...publish.audience import Audience
from ...publish.ice import IceServers
from ...publish.incoming import take_sound
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
    """A user in a browser. It outlives its connections: one that is lost can be followed by another."""

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
        """The connection that carries it."""
        self.joined = False
        self.sounds: Sounds | None = None
        """What it hears, where that is not what all hear who say nothing."""
        self.microphone: Microphone | None = None
        self._joining: Peer | None = None
        """The one that shall."""
        self._receivers: dict[Peer, dict[str, Any]] = {}
        self._tasks: dict[Peer, set[asyncio.Task[None]]] = {}
        self._microphones: dict[Peer, Microphone] = {}
        self._rejoin: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.peer is not None and self.peer.connected

    @property
    def speaks(self) -> bool:
        """Whether sound has come from it."""
        return self.microphone is not None and self.microphone.incoming.used

    async def admit(
        self, sdp: str, kind: str, role: Role, writes: bool = True, direction: Direction = "sendrecv"
    ) -> tuple[str, Peer]:
        """See `Rooms.admit`."""
        try:
            peer = Peer(
                self._changed,
                partial(self._said, writes),
                lambda transceiver: self._track(peer, role, transceiver),
                ice_host=self._ice_host,
                audience=self._audience,
                user=self,
                direction=direction,
                ice_servers=self._ice_servers,
            )
        except NoCapacity:
            if not self.joined and self._joining is None:
                self.room.remove(self)
            raise
        self._receivers[peer], self._tasks[peer] = {}, set()
        self.room.peers.add(peer)
        if self._joining is not None:
            self._joining.drop()
        self._joining = peer
        sdp, _ = await peer.answer(sdp, kind)
        return sdp, peer

    def _changed(self, peer: Peer) -> None:
        if peer.connected:
            if peer is self._joining:
                self._join(peer)
            return
        self.room.peers.discard(peer)
        self._silence(peer)
        self._receivers.pop(peer, None)
        self._tasks.pop(peer, None)
        if peer is self._joining:
            self._joining = None
        elif peer is self.peer:
            self.peer = None
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
        peer.hear(self.room.sounds if self.sounds is None else self.sounds)
        peer.watch(self.room.pictures)
        if old is not None:
            old.hear(None)
            old.watch(None)
            old.send('{"type":"replaced"}')
            self._silence(old)
            asyncio.get_running_loop().call_later(FAREWELL, old.drop)
        if not self.joined:
            self.joined = True
            self.room.announce(UserJoined(self.user), self)
        self.room.tell_members()
        self.room.review()

    def has(self, peer: Peer) -> bool:
        """Whether a connection carries it, or shall."""
        return peer in (self.peer, self._joining)

    def leave(self) -> None:
        """Ends what runs; the room has removed it."""
        self.joined = False
        if self._rejoin is not None:
            self._rejoin.cancel()
        for peer in tuple(self._tasks):
            peer.drop()
        self.peer = self._joining = None
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
        take_sound(receiver, microphone.incoming, lambda: peer is self.peer)

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
        if self.peer is not None:
            wanted = {"audio": audio, "video": video}
            for kind, receiver in self._receivers[self.peer].items():  # of a viewer there are none
                aiortc_private.receive(receiver, wanted[kind])

    def send(self, data: str | bytes) -> None:
        """A data message."""
        if self.peer is not None:
            self.peer.send(data)
