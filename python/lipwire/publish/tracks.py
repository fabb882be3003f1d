"""What goes to one browser's encoders: the track of its sound, and that of its pictures.

Sound comes first. It is encoded here, within the event loop's own turn, and leaves as packets: 60 us each, less than it
takes a thread of an executor to be given the interpreter's lock twice, which on a loop that is busy is 5 ms each time.
Pictures take turns (turns.py), and are left out and counted where there are too many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from msgspec import Struct

from .._core import BLOCK, RATE, Frame
from ..audio.fade import FADE, fade_in, fade_out, is_fade
from ..audio.opus import OpusEncoder
from .pyav import picture
from .turns import PictureTurns

CLOCK = Fraction(1, RATE)
OPUS_BLOCKS = 2
"""10 ms blocks in an Opus packet."""
BITRATE = 64_000
"""Bit/s of the sound."""
MAX_AUDIO, MAX_VIDEO = 32, 1
"""Packets of sound (640 ms: as much as the engine holds for a loop that stands still) and pictures that wait; when full
the oldest is dropped. So a picture that had to wait for its turn is the newest, and not one behind its sound."""


class Sound(Struct, frozen=True):
    """PCM16 mono at 48 kHz."""

    pcm: bytes
    sample: int
    """Where it begins, on the clock."""
    stale: int = -1
    """Up to this sample it is the end of what was interrupted. Who has heard that end already is to hear silence."""

    def silent(self, until: int) -> Sound:
        """The same, silent before sample `until` of the clock."""
        head = 2 * min(max(until - self.sample, 0), len(self.pcm) // 2)
        return Sound(bytes(head) + self.pcm[head:], self.sample)


class Picture(Struct, frozen=True):
    """A frame of a session, uncopied."""

    frame: Frame
    pts: int
    """When it is to be shown, on the sound's clock."""
    fps: Fraction | None = None
    """How many such come in a second, as far as it is known."""

    def for_encoder(self) -> av.VideoFrame:
        """An object a browser: an encoder marks the frames that it wants as key frames. Made of those alone that are
        encoded."""
        shown = picture(self.frame.i420, self.frame.matrix)
        shown.pts = self.pts
        shown.time_base = CLOCK
        shown.opaque = self.fps
        return shown


class Track(MediaStreamTrack):
    """Frames on their way to one browser's encoder; bounded, the oldest dropped."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        super().__init__()
        self._frames: deque[Any] = deque(maxlen=limit)
        self._wake = asyncio.Event()
        self.dropped = 0
        self.wanted = True
        """False: the browser takes none of it."""

    def put(self, frame: Any) -> None:
        if not self.wanted:
            return
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        self._wake.set()

    def clear(self) -> None:
        """Drops what waits; it is stale, and not counted."""
        self._frames.clear()

    async def _filled(self) -> None:
        """Waits until there is something. Raises MediaStreamError when the track has ended."""
        while not self._frames:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake.clear()
            await self._wake.wait()

    async def recv(self) -> Any:
        await self._filled()
        return self._frames.popleft()

    def stop(self) -> None:
        super().stop()
        self._frames.clear()
        self._wake.set()


class PictureTrack(Track):
    """Pictures on their way to one browser's encoder, in turn with those of the others."""

    def __init__(self, turns: PictureTurns | None = None) -> None:
        super().__init__("video", MAX_VIDEO)
        self._turns = turns or PictureTurns.current()
        self._mine = False
        """Whether it is its turn: from when it is given a picture until it asks for another, having sent that."""

    async def recv(self) -> av.VideoFrame:
        self._done()
        while True:
            await self._filled()
            await self._turns.take()
            self._mine = True
            if self._frames:  # else it was dropped meanwhile
                shown: Picture = self._frames.popleft()
                return shown.for_encoder()
            self._done()

    def _done(self) -> None:
        if self._mine:
            self._mine = False
            self._turns.give()

    def stop(self) -> None:
        super().stop()
        self._done()


class SoundTrack(Track):
    """Packets of sound on their way to one browser, which an interrupt makes silent.

    They are not dropped: a gap in their times would have the browser stretch what it heard last.
    """

    def __init__(self) -> None:
        super().__init__("audio", MAX_AUDIO)
        self.encodes = True
        """False: the browser wants another codec than Opus; aiortc encodes it."""
        self._opus: OpusEncoder | None = None
        self._cut = False
        """What waited has faded out, and what belongs to it is yet to come."""

    def put(self, frame: Sound) -> None:
        if self._cut:
            self._cut = frame.sample < frame.stale
            frame = frame.silent(frame.stale)
        super().put(frame)

    def interrupt(self) -> None:
        """What waits fades out within 5 ms, and what belongs to it and is yet to come is silent."""
        if self._frames:
            first, *others = self._frames
            self._frames.clear()
            self._frames.append(Sound(fade_out(first.pcm), first.sample))
            self._frames.extend(Sound(bytes(len(sound.pcm)), sound.sample) for sound in others)
            self._cut = True

    async def recv(self) -> av.Packet[Any] | av.AudioFrame:
        sound: Sound = await super().recv()
        if not self.encodes:
            return audio_frame(sound)
        if self._opus is None:
            self._opus = OpusEncoder(bitrate=BITRATE)
        (data,) = self._opus.encode(sound.pcm)
        packet = av.Packet(data)
        packet.pts = sound.sample
        packet.time_base = CLOCK
        return packet


def audio_frame(sound: Sound) -> av.AudioFrame:
    """The same for an encoder of aiortc's."""
    # In stereo, as aiortc encodes it: its own conversion would take 3 dB off.
    frame = av.AudioFrame(format="s16", layout="stereo", samples=len(sound.pcm) // 2)
    frame.planes[0].update(np.repeat(np.frombuffer(sound.pcm, np.int16), 2).tobytes())
    frame.sample_rate = RATE
    frame.pts = sound.sample
    frame.time_base = CLOCK
    return frame


class SoundPackets:
    """Gathers blocks of 10 ms to packets of 20 ms."""

    def __init__(self) -> None:
        self._pcm = b""
        self._at = 0
        self._cut = False
        """The block that comes next may be the fade of what was interrupted;"""
        self._faded = False
        """what was gathered has faded out already."""
        self._stale = -1

    def add(self, pcm: bytes, sample: int, fades: bool | None = None) -> Sound | None:
        """Takes a block, whose first sample is `sample` on the clock; a packet, when one is full. `fades`: whether
        there is the fade of an interrupt in it; None = as `is_fade` says."""
        if self._cut:
            pcm = self._next_after_cut(pcm, sample, is_fade(pcm) if fades is None else fades)
        if not self._pcm:
            self._at = sample
        self._pcm += pcm
        if len(self._pcm) < OPUS_BLOCKS * BLOCK * 2:
            return None
        pcm, self._pcm = self._pcm, b""
        return Sound(pcm, self._at, self._stale)

    def _next_after_cut(self, pcm: bytes, sample: int, fades: bool) -> bytes:
        self._stale = sample + FADE if fades else sample
        faded, self._cut, self._faded = self._faded, False, False
        return fade_in(pcm) if fades and faded else pcm

    def interrupt(self) -> None:
        """What was gathered fades out within 5 ms, and the rest of it that is yet to come is silent. What is new is
        heard from its first sample on."""
        self._cut = True
        if self._pcm:
            self._pcm, self._faded = fade_out(self._pcm), True

    def clear(self) -> None:
        """Forgets what was gathered: nobody listens."""
        self._pcm, self._cut, self._faded = b"", False, False
