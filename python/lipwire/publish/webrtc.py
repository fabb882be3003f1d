"""WebRTC to any number of browsers that watch. No account; no STUN or TURN, unless servers for that are given.

One `WebRTC` publisher belongs to one session; every viewer is a connection, and all of them share encoders. Without
viewers nothing is encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction

from .._core import Frame
from ..errors import InvalidArgument
from ..stream import StreamSpec, Unit
from .audience import Audience, Missed
from .ice import IceServers
from .peer import Peer
from .sound import PACKET_BLOCKS, Sounds
from .streams import Pictures, PicturesPublisher


class WebRTC(PicturesPublisher):
    """A publisher for browsers.

    Args:
        on_message: called with each text or bytes that a viewer sends on the data channel "lipwire".
        ice_host: the one address to offer media on; None = every address of the machine.
        audience: of which its viewers are a part, and which has a limit; None = of its own.
        ice_servers: STUN and TURN for our end of each connection; None = neither.
    """

    audio_blocks = PACKET_BLOCKS
    """10 ms blocks of sound that it takes at a time."""
    takes_units = True

    def __init__(
        self,
        on_message: Callable[[str | bytes], None] | None = None,
        *,
        ice_host: str | None = None,
        audience: Audience | None = None,
        ice_servers: IceServers | None = None,
    ) -> None:
        self.viewers: set[Peer] = set()
        """Those that are connected."""
        self._peers: set[Peer] = set()
        self.on_message = on_message
        self.ice_host, self.ice_servers = ice_host, ice_servers
        self.audience = Audience() if audience is None else audience
        self.closed = False
        self._sounds = Sounds()
        self._pictures = Pictures()
        self._gone = Missed()
        self._fps: Fraction | None = None

    @property
    def missed(self) -> Missed:
        """What its viewers missed, those who have gone among them."""
        return sum((viewer.missed for viewer in self.viewers), self._gone)

    @property
    def dropped(self) -> int:
        """Packets and pictures that viewers missed."""
        return self.missed.sound + self.missed.pictures

    @property
    def encoded(self) -> int:
        """Pixels a second that are encoded for its viewers now."""
        return self._pictures.encoded

    def stats(self) -> dict[str, int]:
        """Live figures, JSON-able: `connected`, the `max_viewers` of its audience and how many are in it (`audience`),
        how many `encoders` of pictures work for its own viewers, and what those missed (`sound_dropped` packets of
        20 ms, `pictures_dropped`)."""
        missed = self.missed
        return {
            "connected": len(self.viewers),
            "audience": len(self.audience),
            "max_viewers": self.audience.limit,
            "encoders": self._pictures.encoders,
            "sound_dropped": missed.sound,
            "pictures_dropped": missed.pictures,
        }

    async def open(self, spec: StreamSpec) -> None:
        """Nothing more to do until a viewer comes."""
        self._fps = spec.fps

    async def answer(self, sdp: str, kind: str = "offer") -> tuple[str, str]:
        """Takes a browser's offer; (sdp, "answer"), with all candidates in it.

        Raises:
            InvalidArgument: it is no usable offer. NoCapacity: there are too many viewers.
        """
        return (await self.admit(sdp, kind))[0], "answer"

    async def admit(self, sdp: str, kind: str = "offer") -> tuple[str, Peer]:
        """The same; (the answer's SDP, the connection)."""
        if self.closed:
            raise InvalidArgument("the session has ended")
        viewer = Peer(
            self._changed,
            self.on_message,
            ice_host=self.ice_host,
            audience=self.audience,
            direction="sendonly",
            ice_servers=self.ice_servers,
        )
        self._peers.add(viewer)
        sdp, _ = await viewer.answer(sdp, kind)
        return sdp, viewer

    def _changed(self, viewer: Peer) -> None:
        if viewer.connected:
            self.viewers.add(viewer)
            viewer.hear(self._sounds)
            viewer.watch(self._pictures)
        elif viewer in self._peers:
            self._peers.discard(viewer)
            self.viewers.discard(viewer)
            self._gone += viewer.missed

    def send(self, text: str) -> None:
        """Sends text to every viewer's data channel."""
        for viewer in self.viewers:
            viewer.send(text)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Gathers 20 ms, and sends them to every viewer."""
        self._sounds.audio(pcm, sample)

    def video(self, frame: Frame) -> None:
        """Has the picture, uncopied, encoded for every viewer."""
        self._pictures.show(frame, frame.sample, self._fps)

    def unit(self, unit: Unit) -> None:
        """Hands it to every viewer that takes H.264, without an encoder."""
        self._pictures.unit(unit.data, unit.sample, unit.key)

    def interrupt(self) -> None:
        """Silences the half of a packet that waits for the other one, drops the picture that waits for its encoder;
        every viewer falls silent within 5 ms."""
        self._sounds.interrupt()
        self._pictures.interrupt()

    async def close(self) -> None:
        """Closes every viewer's connection."""
        self.closed = True
        await asyncio.gather(*(viewer.close() for viewer in tuple(self._peers)))
