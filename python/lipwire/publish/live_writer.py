"""A container that is written while a session goes on: sound and pictures in their order, on one clock from zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
from msgspec import Struct

from .._core import RATE
from ..stream import StreamSpec, Unit, no_key
from .encoders import Picture
from .feed import Item, Sound
from .film import AUDIO_BITRATE, CLOCK, KEY_SECONDS
from .live_tracks import H264Track, PictureTrack, Vp9Track

TOGETHER = RATE // 50
"""Samples of sound that are encoded at a time: 20 ms."""


class LiveForm(Struct, frozen=True, kw_only=True):
    """What is written."""

    name: str
    """FFmpeg's name of the container."""
    options: dict[str, str] = {}
    """Of the container."""
    webm: bool = False
    """VP9 and Opus, in place of H.264 and AAC."""


class LiveWriter:
    """Sound, pictures and units to packets in a container. It begins with the first key frame, or the first sound where
    there are no pictures; what came before is left out. For one thread.

    Args:
        place: a URL, a path, or an open file with `write`, `seek` and `tell`.
        form: what is written.
        spec: of the session.
        ask_key: called, on that thread, when a key frame is due and units are what comes.
        every: seconds from one key frame to the next.
    """

    def __init__(
        self,
        place: Any,
        form: LiveForm,
        spec: StreamSpec,
        *,
        ask_key: Callable[[], None] = no_key,
        every: float = KEY_SECONDS,
    ) -> None:
        self._place, self._form, self._spec = place, form, spec
        self._ask_key, self._every = ask_key, round(every * RATE)
        self._step = RATE / spec.fps
        self._file: Any = None
        self._sound: Any = None
        self._video: PictureTrack | None = None
        if spec.width:
            self._video = Vp9Track(spec) if form.webm else H264Track(spec)
        self._zero: int | None = None
        """The sample that is shown at 0 s."""
        self._early = b"", 0
        """The newest sound before the beginning, and its sample."""
        self._pcm = bytearray()
        self._heard = 0
        """The sample behind all sound that was taken."""
        self._last = -1
        """Number of the newest frame."""
        self._key_due = 0
        """The sample from which on the next picture is to be a key frame."""
        self._asked = False
        """for which somebody has been asked."""
        self.silence = 0
        """Samples that were missing, and are silent in it."""
        self.on_begin: Callable[[int], None] | None = None
        """Called with the sample that is at 0 s, when that is known."""

    @property
    def written(self) -> int:
        """Samples from the beginning up to which sound has been taken."""
        return 0 if self._zero is None else self._heard - self._zero

    def open(self) -> None:
        """Opens the place and writes the head. PyAV holds the interpreter until that is done.

        Raises:
            OSError, av.FFmpegError: it cannot be had.
        """
        self._file = av.open(self._place, "w", format=self._form.name, options=dict(self._form.options))
        if self._video is not None:
            self._video.add_to(self._file)
        sound: Any = self._file.add_stream("libopus" if self._form.webm else "aac", rate=RATE)
        sound.layout = "mono"
        sound.bit_rate = AUDIO_BITRATE
        if not self._form.webm:
            sound.options = {"aac_coder": "fast"}
        self._sound = sound
        self._file.start_encoding()

    def take(self, item: Item) -> None:
        """What a `Feed` has given."""
        match item:
            case Sound(pcm, sample):
                self.audio(pcm, sample)
            case Picture():
                self.picture(item)
            case Unit():
                self.unit(item)
            case _:
                self.lost()

    def audio(self, pcm: bytes, sample: int) -> None:
        """PCM16 mono at 48 kHz. Where some is missing before it, there is silence; what was there already is left
        out."""
        if self._zero is None:
            if self._video is not None:
                self._early = pcm, sample
                return
            self._begin(sample)
        missing = sample - self._heard
        if missing < 0:
            pcm = pcm[-2 * missing :]
        elif missing > 0:
            self.silence += missing
            self._pcm += bytes(2 * missing)
        if pcm:
            self._pcm += pcm
            self._heard = max(sample, self._heard) + len(pcm) // 2
        if len(self._pcm) >= 2 * TOGETHER:
            self._encode()

    def picture(self, picture: Picture) -> None:
        """A picture, for the encoder."""
        if self._video is None or (at := self._number(picture.sample)) is None:
            return
        self._take(self._video.picture(picture, at, self._is_due(picture.sample)), picture.sample)

    def unit(self, unit: Unit) -> None:
        """A picture that was encoded before. Where it refers to one that is not there, it is left out, and a key frame
        asked for."""
        if self._video is None or (self._zero is None and not unit.key):
            self._ask()
            return
        if (at := self._number(unit.sample)) is None:
            self.lost()
            return
        packets = self._video.unit(unit, at)
        if packets is None:
            self._ask()
            return
        if self._is_due(unit.sample) and not unit.key:
            self._ask()
        self._take(packets, unit.sample)

    def lost(self) -> None:
        """Pictures or units were left out before they came here: the next key frame is due now."""
        if self._video is not None:
            self._video.lost()
        self._key_due, self._asked = 0, False

    def close(self) -> None:
        """Writes what is still to be written, and the end.

        Raises:
            OSError, av.FFmpegError: it is not complete.
        """
        if self._file is None:
            return
        try:
            if self._zero is not None:
                self._encode()
                if self._video is not None:
                    self._file.mux(self._video.flush())
                self._file.mux(self._sound.encode(None))
        finally:
            self._file.close()

    # ------------------------------------------------------------------------------------------------------ the clock

    def _begin(self, sample: int) -> None:
        self._zero = self._heard = sample
        (pcm, at), self._early = self._early, (b"", 0)
        if at <= sample < at + len(pcm) // 2:  # a picture comes behind the block that it begins with
            self.audio(pcm, at)
        if self.on_begin is not None:
            self.on_begin(sample)

    def _number(self, sample: int) -> int | None:
        """The number of the frame that is shown at `sample`; None: it is no later than the newest."""
        if self._zero is None:
            return 0
        at = round((sample - self._zero) / self._step)
        return at if at > self._last else None

    def _is_due(self, sample: int) -> bool:
        return self._zero is None or sample >= self._key_due

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._ask_key()

    def _take(self, packets: list[Any], sample: int) -> None:
        if self._zero is None:
            self._begin(sample)
        assert self._zero is not None
        since = sample - self._zero
        self._last = round(since / self._step)
        if any(packet.is_keyframe for packet in packets):
            self._asked = False
            # On a grid, so that one that comes late does not make the others later.
            self._key_due = self._zero + self._every * (since // self._every + 1)
        self._file.mux(packets)

    def _encode(self) -> None:
        """Sound that was taken."""
        if not self._pcm:
            return
        samples = np.frombuffer(bytes(self._pcm), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self.written - len(samples)
        frame.time_base = CLOCK
        self._file.mux(self._sound.encode(frame))
        self._pcm.clear()
