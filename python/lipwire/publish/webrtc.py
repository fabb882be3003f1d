"""WebRTC to any number of browsers that watch, or draw the face themselves. No account; no STUN or TURN, unless servers
for that are given.

One `WebRTC` publisher belongs to one session; every viewer is a connection, and all of them share encoders. Without
viewers nothing is encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction

from .._core import Frame
from ..errors import BadState, InvalidArgument
from ..motion.sets import DEFAULT_SETS, check_sets
from ..protocol.messages import Egress
from ..stream import Cue, StreamSpec, Unit
from .audience import Audience, Missed
from .ice import IceServers
from .motion import NO_MOTION, Motion, MotionFigures
from .motion_queue import NORMAL, MotionQueue, MotionSounds
from .motion_track import MotionTrack, MotionTracks
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
        egress: what viewers may have: pictures ("video"), or poses that they draw themselves ("motion"), or both.
        motion_sets: sets of channels for those who name none (docs/motion.md).
        figures: of all motion, of which this is a part.
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
        egress: Egress = "both",
        motion_sets: tuple[str, ...] = DEFAULT_SETS,
        figures: MotionFigures | None = None,
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
        self.egress: Egress = egress
        self.motions = Motion(figures)
        """What is sent to those who draw the face themselves."""
        self.motions.sets = check_sets(motion_sets)
        self._motion_sounds = MotionSounds(self.motions.figures)
        self._videos = MotionTracks(self.motions)
        self._queues: set[MotionQueue] = set()
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
        20 ms, `pictures_dropped`); and of motion `MotionFigures.stats`."""
        missed = self.missed
        return {
            "connected": len(self.viewers),
            "audience": len(self.audience),
            "max_viewers": self.audience.limit,
            "encoders": self._pictures.encoders,
            "sound_dropped": missed.sound,
            "pictures_dropped": missed.pictures,
            **self.motions.figures.stats(),
        }

    async def open(self, spec: StreamSpec) -> None:
        """Nothing more to do until a viewer comes."""
        self._fps = spec.fps
        self.motions.begin(spec.fps, NO_MOTION if self.egress == "video" else None, face=spec.avatar)

    async def answer(self, sdp: str, kind: str = "offer") -> tuple[str, str]:
        """Takes a browser's offer; (sdp, "answer"), with all candidates in it.

        Raises:
            InvalidArgument: it is no usable offer. NoCapacity: there are too many viewers.
        """
        return (await self.admit(sdp, kind))[0], "answer"

    async def admit(self, sdp: str, kind: str = "offer", *, black: tuple[str, ...] | None = None) -> tuple[str, Peer]:
        """The same; (the answer's SDP, the connection). `black`: its video has these sets of motion as user data, and
        black pictures; an empty tuple stands for `motion_sets`."""
        if self.closed:
            raise InvalidArgument("the session has ended")
        video = None if black is None else self._video(black)
        viewer = Peer(
            self._changed,
            self.on_message,
            ice_host=self.ice_host,
            audience=self.audience,
            direction="sendonly",
            ice_servers=self.ice_servers,
            seen=self.egress != "motion" or video is not None,
            black=video,
        )
        self._peers.add(viewer)
        sdp, _ = await viewer.answer(sdp, kind)
        return sdp, viewer

    def _changed(self, viewer: Peer) -> None:
        if viewer.connected:
            self.viewers.add(viewer)
            viewer.hear(self._sounds)
            viewer.watch(self._pictures)
            viewer.move(self.motions)
        elif viewer in self._peers:
            self._peers.discard(viewer)
            self.viewers.discard(viewer)
            self._gone += viewer.missed

    def _video(self, sets: tuple[str, ...]) -> MotionTrack:
        self.motions.check()
        if self._fps is None:
            raise BadState("the publisher is not open")
        return self._videos.of(sets, self._fps)

    def listen(self, queue: MotionQueue) -> None:
        """Somebody who is no WebRTC viewer is sent motion, and sound where `queue.sound` says so, from now on.

        Raises:
            NoMotion: there is none. InvalidArgument: the session has ended. NoCapacity: there are too many viewers.
        """
        if self.closed:
            raise InvalidArgument("the session has ended")
        self.motions.check()
        self.audience.enter(queue)
        self._queues.add(queue)
        self._motion_sounds.add(queue)
        self.motions.add(queue)

    def leave(self, queue: MotionQueue) -> None:
        """It is gone. Safe to call twice."""
        self.motions.remove(queue)
        self._motion_sounds.remove(queue)
        self._queues.discard(queue)
        self.audience.leave(queue)

    def send(self, text: str) -> None:
        """Sends text to every viewer's data channel."""
        for viewer in self.viewers:
            viewer.send(text)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Gathers 20 ms, and sends them to every viewer."""
        self._sounds.audio(pcm, sample)
        self._motion_sounds.audio(pcm, sample)

    @property
    def takes_motion(self) -> bool:
        """Whether somebody draws the face."""
        return self.motions.takes

    def motion(self, frame: Frame) -> None:
        """Hands it to everyone who draws the face, encoded once for all who asked for the same."""
        self.motions.frame(frame)

    def cue(self, cue: Cue) -> None:
        """Tells them what happened."""
        self.motions.cue(cue)

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
        self._motion_sounds.interrupt()
        self.motions.interrupt()

    async def close(self) -> None:
        """Closes every viewer's connection."""
        self.closed = True
        for queue in tuple(self._queues):
            queue.end(NORMAL, "the session has ended")
            self.leave(queue)
        await asyncio.gather(*(viewer.close() for viewer in tuple(self._peers)))
