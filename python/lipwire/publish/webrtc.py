"""WebRTC to any number of browsers, through aiortc. No account, no STUN: loopback and the local network.

One `WebRTC` publisher belongs to one session; every viewer is a peer connection with its own encoders. Without viewers
nothing is encoded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import aioice.ice
import aiortc.codecs.vpx
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from .._core import BLOCK, RATE, Frame
from ..errors import InvalidArgument
from .base import StreamSpec
from .pyav import picture

logger = logging.getLogger("lipwire.webrtc")

CLOCK = Fraction(1, RATE)
OPUS_BLOCKS = 2
"""10 ms blocks in an Opus packet."""
MAX_AUDIO, MAX_VIDEO = 10, 2
"""Packets of sound (200 ms) and pictures that wait for a slow encoder; the oldest is dropped when full."""
VIDEO_DELAY = 0.025
"""Seconds that pictures wait before they are encoded. A browser aligns the tracks by when their packets left, and sound
leaves later: 10 ms to fill a packet and 6.5 ms of Opus look-ahead, which aiortc's timestamps do not count. The rest is
what was left in Chromium (bench/browser_sync.py)."""
ANSWER_TIMEOUT = 10.0
CHANNEL = "lipwire"

# aiortc's VP8 starts at 500 kbit/s, which shows blocks for the first seconds; it still adapts downwards.
aiortc.codecs.vpx.DEFAULT_BITRATE = 1_500_000
aiortc.codecs.vpx.MAX_BITRATE = 3_000_000

_host_addresses = aioice.ice.get_host_addresses


def bind_ice(host: str | None) -> None:
    """Sets the address that media is offered on, for the whole process: `host`, or every address of the machine.

    aioice leaves out 127.0.0.1; a machine without a network still has it, so it is the last resort.
    """

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [host] if host else _host_addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = addresses


bind_ice(None)


class _Track(MediaStreamTrack):
    """Frames on their way to one viewer's encoder; bounded, the oldest dropped."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        super().__init__()
        self._frames: deque[Any] = deque(maxlen=limit)
        self._wake = asyncio.Event()
        self.dropped = 0

    def put(self, frame: Any) -> None:
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        self._wake.set()

    async def recv(self) -> Any:
        while not self._frames:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake.clear()
            await self._wake.wait()
        return self._frames.popleft()

    def stop(self) -> None:
        super().stop()
        self._frames.clear()
        self._wake.set()


class Viewer:
    """One browser."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.audio = _Track("audio", MAX_AUDIO)
        self.video = _Track("video", MAX_VIDEO)
        self.channel: Any = None


class WebRTC:
    """A publisher for browsers. `on_message(text)` gets what a viewer sends on the data channel "lipwire"."""

    def __init__(self, on_message: Callable[[str], None] | None = None) -> None:
        self.viewers: set[Viewer] = set()
        """Those that are connected."""
        self._peers: set[Viewer] = set()
        self.on_message = on_message
        self.closed = False
        self._pcm = bytearray()
        self._pcm_at = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Packets and pictures that slow encoders missed."""
        return self._dropped + sum(v.audio.dropped + v.video.dropped for v in self.viewers)

    async def open(self, spec: StreamSpec) -> None:
        """Nothing to do until a viewer comes."""

    async def answer(self, sdp: str, kind: str = "offer") -> tuple[str, str]:
        """Takes a browser's offer; (sdp, "answer"), with all candidates in it.

        Raises:
            InvalidArgument: it is no usable offer.
        """
        if kind != "offer" or "m=" not in sdp:
            raise InvalidArgument("an SDP offer with at least one media section is needed")
        if self.closed:
            raise InvalidArgument("the session has ended")
        viewer = Viewer()
        self._peers.add(viewer)
        pc = viewer.pc
        pc.addTrack(viewer.audio)
        pc.addTrack(viewer.video)

        @pc.on("datachannel")
        def on_channel(channel: Any) -> None:
            if channel.label == CHANNEL:
                viewer.channel = channel
                if self.on_message is not None:
                    channel.on("message", self.on_message)

        @pc.on("connectionstatechange")
        async def on_state() -> None:
            logger.info("viewer %s: %s", id(viewer), pc.connectionState)
            if pc.connectionState == "connected" and viewer in self._peers:
                self.viewers.add(viewer)
            elif pc.connectionState in ("failed", "closed"):
                await self._drop(viewer)

        try:
            # Chromium hides its addresses behind mDNS names that nobody answers for here; looking one up costs 1 s.
            lines = [s for s in sdp.splitlines() if not (s.startswith("a=candidate") and ".local " in s)]
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await pc.setRemoteDescription(RTCSessionDescription("\r\n".join(lines) + "\r\n", "offer"))
                await pc.setLocalDescription(await pc.createAnswer())
        except Exception as exc:  # aiortc raises what its parsers happen to raise
            await self._drop(viewer)
            raise InvalidArgument(f"the SDP offer cannot be answered: {exc or type(exc).__name__}") from exc
        return pc.localDescription.sdp, pc.localDescription.type

    def send(self, text: str) -> None:
        """Sends text to every viewer's data channel."""
        for viewer in self.viewers:
            if viewer.channel is not None and viewer.channel.readyState == "open":
                viewer.channel.send(text)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Gathers 20 ms and hands them to every viewer."""
        if not self.viewers:
            self._pcm.clear()
            return
        if not self._pcm:
            self._pcm_at = sample
        self._pcm += pcm
        if len(self._pcm) < OPUS_BLOCKS * BLOCK * 2:
            return
        frame = av.AudioFrame(format="s16", layout="mono", samples=OPUS_BLOCKS * BLOCK)
        frame.planes[0].update(bytes(self._pcm))
        frame.sample_rate = RATE
        frame.pts = self._pcm_at
        frame.time_base = CLOCK
        self._pcm.clear()
        for viewer in self.viewers:
            viewer.audio.put(frame)

    def video(self, frame: Frame) -> None:
        """Hands the picture, uncopied, to every viewer."""
        if not self.viewers:
            return
        loop = asyncio.get_running_loop()
        for viewer in self.viewers:
            # One object a viewer: an encoder marks the frames it wants as key frames.
            shown = picture(frame.i420, frame.matrix)
            shown.pts = frame.sample
            shown.time_base = CLOCK
            loop.call_later(VIDEO_DELAY, viewer.video.put, shown)

    async def _drop(self, viewer: Viewer) -> None:
        if viewer not in self._peers:
            return
        self._peers.discard(viewer)
        self.viewers.discard(viewer)
        self._dropped += viewer.audio.dropped + viewer.video.dropped
        viewer.audio.stop()
        viewer.video.stop()
        await viewer.pc.close()

    async def close(self) -> None:
        """Closes every viewer's connection."""
        self.closed = True
        await asyncio.gather(*(self._drop(viewer) for viewer in tuple(self._peers)))
