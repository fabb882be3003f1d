"""WebRTC to any number of browsers that watch. No account, no STUN: loopback and the local network.

One `WebRTC` publisher belongs to one session; every viewer is a peer connection with its own encoders. Without viewers
nothing is encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .._core import Frame
from ..audio.fade import FADE
from ..errors import InvalidArgument
from ..stream import Publisher, StreamSpec
from .peer import Peer, SoundPackets


class WebRTC(Publisher):
    """A publisher for browsers.

    Args:
        on_message: called with each text or bytes that a viewer sends on the data channel "lipwire".
        ice_host: the one address to offer media on; None = every address of the machine.
    """

    def __init__(self, on_message: Callable[[str | bytes], None] | None = None, *, ice_host: str | None = None) -> None:
        self.viewers: set[Peer] = set()
        """Those that are connected."""
        self._peers: set[Peer] = set()
        self.on_message = on_message
        self.ice_host = ice_host
        self.closed = False
        self._packets = SoundPackets()
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Packets and pictures that slow encoders missed."""
        return self._dropped + sum(viewer.dropped for viewer in self.viewers)

    async def open(self, spec: StreamSpec) -> None:
        """Nothing to do until a viewer comes."""

    async def answer(self, sdp: str, kind: str = "offer") -> tuple[str, str]:
        """Takes a browser's offer; (sdp, "answer"), with all candidates in it.

        Raises:
            InvalidArgument: it is no usable offer.
        """
        if self.closed:
            raise InvalidArgument("the session has ended")
        viewer = Peer(self._changed, self.on_message, ice_host=self.ice_host)
        self._peers.add(viewer)
        return await viewer.answer(sdp, kind)

    def _changed(self, viewer: Peer) -> None:
        if viewer.connected:
            self.viewers.add(viewer)
        elif viewer in self._peers:
            self._peers.discard(viewer)
            self.viewers.discard(viewer)
            self._dropped += viewer.dropped

    def send(self, text: str) -> None:
        """Sends text to every viewer's data channel."""
        for viewer in self.viewers:
            viewer.send(text)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Gathers 20 ms and hands them to every viewer."""
        if not self.viewers:
            self._packets.clear()
        elif (frame := self._packets.add(pcm, sample)) is not None:
            for viewer in self.viewers:
                viewer.audio.put(frame)

    def video(self, frame: Frame) -> None:
        """Hands the picture, uncopied, to every viewer."""
        for viewer in self.viewers:
            viewer.show(frame, frame.sample)

    def interrupt(self) -> None:
        """Silences what waits for a slow encoder, drops the pictures that do; every viewer falls silent within 5 ms."""
        for viewer in self.viewers:
            viewer.interrupt(self._packets.next + FADE)
        self._packets.interrupt()

    async def close(self) -> None:
        """Closes every viewer's connection."""
        self.closed = True
        await asyncio.gather(*(viewer.close() for viewer in tuple(self._peers)))
