"""Recording a live session into a film."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from pathlib import Path
from typing import Any

from .._core import Frame
from ..errors import InvalidArgument
from ..stream import Publisher, StreamSpec
from .film import FilmWriter, crf_of, form_of

logger = logging.getLogger("lipwire.file")


class File(Publisher):
    """A publisher that records a live session into a film: MP4, MOV, MKV, WebM or GIF, by the end of its name. Encoding
    runs on a thread of its own. What was played before an interrupt stays in the recording.

    Sound is never dropped; a picture is, and counted in `dropped`, when the encoder falls `backlog` pictures behind.

    What was at `path` before stays until the recording is whole. It also stays where the session's block raises an
    error or is cancelled (a timeout, another task that failed, Ctrl-C); what was recorded until then is beside it, with
    `.broken-off` in its name, and the log says so.

    Args:
        quality, crf: as of `FilmWriter`.

    Raises:
        InvalidArgument: the name or the quality is none of a film.
    """

    def __init__(
        self, path: str | Path, *, backlog: int = 100, quality: str | None = None, crf: int | None = None
    ) -> None:
        self.path = Path(path)
        self.dropped = 0
        self.error: Exception | None = None
        crf_of(form_of(self.path), self.path, quality, crf)  # now rather than when the session starts
        self._options: dict[str, Any] = {"quality": quality, "crf": crf}
        self._queue: queue.SimpleQueue[tuple[Any, int] | None] = queue.SimpleQueue()
        self._backlog = backlog
        self._pending = 0
        self._thread: threading.Thread | None = None
        self._writer: FilmWriter | None = None
        self._failure: BaseException | None = None

    async def open(self, spec: StreamSpec) -> None:
        """Creates the file. Raises InvalidArgument where that is impossible, and for a name that is none of a film."""
        if not spec.width:
            raise InvalidArgument("a film needs pictures, and the session is sound only (avatar=None)")
        self._writer = FilmWriter(self.path, spec.width, spec.height, spec.fps, **self._options)
        try:
            self._writer.open(spec.matrix)
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

    def broken_off(self, error: BaseException) -> None:
        """What was recorded does not take the place of an older film."""
        self._failure = error

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
            self._finish(self._writer)
        except Exception as exc:  # the edge of the thread; close() raises it
            self.error = exc
            self._writer.abort()
            while item is not None:  # None is the last
                item = self._queue.get()

    def _finish(self, writer: FilmWriter) -> None:
        if self._failure is None or not self.path.exists():
            writer.close()
            return
        aside = writer.target.with_name(f"{self.path.stem}.broken-off{self.path.suffix}")
        recorded = f"what was recorded is {aside}" if writer.pictures else "nothing was recorded"
        writer.close(aside)
        logger.warning("the session broke off (%r): %s stays as it was, and %s", self._failure, self.path, recorded)
