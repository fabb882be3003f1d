"""aiortc as the browser of a room: a microphone with a tone, a camera, and what it hears, sees and is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Self

import aiortc
import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from lipwire.channel.room.room import Role, Rooms

RATE = 48_000
PACKET = 960


class Tone(MediaStreamTrack):
    """A microphone: 20 ms packets of what `make(first sample)` gives, in real time."""

    kind = "audio"

    def __init__(self, make: Callable[[int], np.ndarray[Any, Any]]) -> None:
        super().__init__()
        self._make = make
        self.sample = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now
        await asyncio.sleep(max(0.0, self._start + (self.sample + PACKET) / RATE - now))
        frame = av.AudioFrame(format="s16", layout="stereo", samples=PACKET)
        frame.planes[0].update(np.repeat(self._make(self.sample).astype(np.int16), 2).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.sample, Fraction(1, RATE)
        self.sample += PACKET
        return frame


def sine(hz: float, amplitude: float) -> Callable[[int], np.ndarray[Any, Any]]:
    return lambda at: np.sin(2 * np.pi * hz * (at + np.arange(PACKET)) / RATE) * amplitude


class Pictures(MediaStreamTrack):
    """A camera: grey pictures of a level, ten a second."""

    kind = "video"

    def __init__(self, width: int, height: int, luma: int) -> None:
        super().__init__()
        self._size, self._luma, self._number = (width, height), luma, 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.1)
        width, height = self._size
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = self._luma
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._number * 9000, Fraction(1, 90_000)
        self._number += 1
        return frame


class Guest:
    """A browser. Use as an async context manager; inside it is connected."""

    def __init__(
        self,
        rooms: Rooms,
        user: str,
        *,
        room: str = "lobby",
        role: Role = "speaker",
        microphone: MediaStreamTrack | None = None,
        camera: MediaStreamTrack | None = None,
    ) -> None:
        self.rooms, self.user, self.room, self.role = rooms, user, room, role
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.channel = self.pc.createDataChannel("lipwire")
        self.messages: list[Any] = []
        self.packets: list[bytes] = []
        self.pcm = bytearray()
        self.sound_pts: list[int] = []
        self.pictures: list[tuple[int, int, float]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.channel.on("message", self._message)
        self.pc.on("track", self._track)
        for kind, track in (("audio", microphone), ("video", camera)):
            direction = "recvonly" if track is None else "sendrecv"
            self.pc.addTransceiver(track or kind, direction=direction)

    def _message(self, data: str | bytes) -> None:
        if isinstance(data, str):
            self.messages.append(json.loads(data))
        else:
            self.packets.append(data)

    def _track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame: Any = await track.recv()
                if track.kind == "audio":
                    self.sound_pts.append(frame.pts)
                    self.pcm += frame.to_ndarray().reshape(-1, 2)[:, 0].astype(np.int16).tobytes()
                else:
                    self.pictures.append((frame.width, frame.height, float(frame.to_ndarray()[: frame.height].mean())))

    def level(self, milliseconds: int, hz: float) -> float:
        """Amplitude of a tone in the newest sound."""
        pcm = np.frombuffer(bytes(self.pcm[-milliseconds * 96 :]), np.int16).astype(float)
        return amplitude(pcm, hz, RATE)

    async def join(self) -> Self:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp, kind = await self.rooms.answer(self.room, self.user, self.pc.localDescription.sdp, role=self.role)
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
        async with asyncio.timeout(20):
            while self.pc.connectionState != "connected" or self.channel.readyState != "open":
                await asyncio.sleep(0.02)
        return self

    async def vanish(self) -> None:
        """Closes the connection without a word to the room."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()
        self._tasks.clear()
        self.channel.remove_all_listeners()

    async def __aenter__(self) -> Self:
        return await self.join()

    async def __aexit__(self, *_: object) -> None:
        self.rooms.leave(self.room, self.user)
        await self.vanish()


def amplitude(pcm: np.ndarray[Any, Any], hz: float, rate: int) -> float:
    """Of a tone in PCM."""
    if not len(pcm):
        return 0.0
    t = np.arange(len(pcm)) / rate
    window = np.hanning(len(pcm))
    return float(2 * abs((pcm * window * np.exp(-2j * np.pi * hz * t)).sum()) / window.sum())
