"""MP4 files: H.264 and AAC through PyAV."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .._core import RATE, Frame
from ..errors import InvalidArgument, StorageError
from ..stream import Publisher, StreamSpec
from .pyav import picture, tag

AUDIO_BITRATE = 128_000
CLOCK = Fraction(1, RATE)
SUFFIXES = (".mp4", ".m4v")
"""What the names of files end in: players and people go by it."""


class Mp4Writer:
    """An MP4 being written: `open`, then sound and picture in any order, on one clock, then `close` or `abort`. Not
    thread-safe.

    Until `close` it is a hidden file beside `path`, so that a run that breaks off leaves what was there before.
    """

    def __init__(
        self, path: str | Path, width: int, height: int, fps: Fraction, *, threads: int = 0, matrix: str = "bt709"
    ) -> None:
        self.path = Path(path)
        self._size, self._fps, self._threads, self._matrix = (width, height), fps, threads, matrix
        self._file: Any = None
        self._part: Path | None = None
        self._step = RATE / fps
        self._pcm = bytearray()
        self._pcm_at: int | None = None

    def open(self) -> None:
        """Creates the file. Raises InvalidArgument where that is impossible, and for a name that is none of an MP4."""
        if not self.path.parent.is_dir():
            raise InvalidArgument(f"cannot write {self.path}: there is no folder {self.path.parent}")
        try:
            if not self.path.name or self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if self.path.suffix.lower() not in SUFFIXES:
                raise InvalidArgument(f"cannot write {self.path}: it would be an MP4; end its name in .mp4")
            part = self.path.with_name(f".{self.path.name}.part")
            self._part = part  # first: an interrupt in between leaves nothing, either
            part.touch()
        except OSError as exc:
            self._part = None
            raise InvalidArgument(f"cannot write {self.path}: {exc.strerror}") from exc
        with self._writing():
            self._file = av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"})
        video: Any = self._file.add_stream("libx264", rate=self._fps)
        video.width, video.height = self._size
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "veryfast", "crf": "20"}
        context = video.codec_context
        context.time_base = 1 / self._fps
        context.thread_count = self._threads
        tag(context, self._matrix)
        audio: Any = self._file.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        audio.bit_rate = AUDIO_BITRATE
        self._video, self._audio = video, audio

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise StorageError(f"cannot write {self.path}: {reason}") from exc

    def audio(self, pcm: bytes, sample: int) -> None:
        """PCM16 mono at 48 kHz, the first sample at `sample` of the clock. Raises StorageError."""
        if self._pcm_at is None:
            self._pcm_at = sample
        self._pcm += pcm
        if len(self._pcm) >= RATE // 5 * 2:
            self._encode_audio()

    def _encode_audio(self) -> None:
        if not self._pcm or self._pcm_at is None:
            return
        samples = np.frombuffer(bytes(self._pcm), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._pcm_at
        frame.time_base = CLOCK
        with self._writing():
            self._file.mux(self._audio.encode(frame))
        self._pcm_at += len(samples)
        self._pcm.clear()

    def video(self, i420: np.ndarray[Any, Any], sample: int) -> None:
        """One picture, uint8 (height * 3 / 2, width). Raises StorageError."""
        frame = picture(i420, self._matrix)
        frame.pts = round(sample / self._step)
        frame.time_base = 1 / Fraction(self._video.codec_context.framerate)
        with self._writing():
            self._file.mux(self._video.encode(frame))

    def close(self) -> None:
        """Finishes the file. Raises StorageError: it is not complete; `abort` takes it away."""
        self._encode_audio()
        assert self._part is not None
        with self._writing():
            self._file.mux(self._video.encode(None))
            self._file.mux(self._audio.encode(None))
            self._file.close()
            self._part.replace(self.path)

    def abort(self) -> None:
        """Leaves nothing. Safe before `open`, and where that failed."""
        try:
            if self._file is not None:
                with contextlib.suppress(OSError, av.FFmpegError):  # what it still had to write has no place
                    self._file.close()
        finally:
            if self._part is not None:
                self._part.unlink(missing_ok=True)


class File(Publisher):
    """A publisher that records a live session into an MP4. Encoding runs on a thread of its own. What was played before
    an interrupt stays in the recording.

    Sound is never dropped; a picture is, and counted in `dropped`, when the encoder falls `backlog` pictures behind.
    """

    def __init__(self, path: str | Path, *, backlog: int = 100) -> None:
        self.path = Path(path)
        self.dropped = 0
        self.error: Exception | None = None
        self._queue: queue.SimpleQueue[tuple[Any, int] | None] = queue.SimpleQueue()
        self._backlog = backlog
        self._pending = 0
        self._thread: threading.Thread | None = None
        self._writer: Mp4Writer | None = None

    async def open(self, spec: StreamSpec) -> None:
        """Creates the file. Raises InvalidArgument where that is impossible, and for a name that is none of an MP4."""
        if not spec.width:
            raise InvalidArgument("an MP4 needs pictures, and the session is sound only (avatar=None)")
        self._writer = Mp4Writer(self.path, spec.width, spec.height, spec.fps, matrix=spec.matrix)
        try:
            self._writer.open()
        except BaseException:
            self._writer.abort()
            raise
        self._thread = threading.Thread(target=self._run, name="lipwire-file", daemon=True)
        self._thread.start()

    def audio(self, pcm: bytes, sample: int) -> None:
        """Queues sound."""
        self._queue.put((pcm, sample))

    def video(self, frame: Frame) -> None:
        """Queues a copy of the picture: the encoder may be slower than the session's few slots allow."""
        if self._pending >= self._backlog:
            self.dropped += 1
            return
        self._pending += 1
        self._queue.put((frame.i420.copy(), frame.sample))

    async def close(self) -> None:
        """Encodes what is queued and finishes the file. Raises what the encoder raised."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        assert self._writer is not None
        item: tuple[Any, int] | None = None
        try:
            while (item := self._queue.get()) is not None:
                data, sample = item
                if isinstance(data, bytes):
                    self._writer.audio(data, sample)
                else:
                    self._writer.video(data, sample)
                    self._pending -= 1
            self._writer.close()
        except Exception as exc:  # the edge of the thread; close() raises it
            self.error = exc
            self._writer.abort()
            while item is not None:  # None is the last
                item = self._queue.get()
