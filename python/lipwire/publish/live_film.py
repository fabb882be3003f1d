"""A film of a session that is there while the session goes on, and can be played whatever ends it.

`publish.File` is for a film that is whole or not there. This one is a file of its name from the beginning: an MP4 in
fragments of two seconds, or a WebM in clusters, so that what a killed process leaves plays up to its last fragment. An
MP4 that is finished in order is an ordinary one, which players can seek in.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import av
from msgspec import structs

from .._core import RATE, Frame
from ..errors import BadState, InvalidArgument, NoCapacity
from ..pools import give_way, pool
from ..stream import Publisher, StreamSpec, Unit, Wants
from .encoders import Picture
from .feed import Feed, Sound
from .film import KEY_SECONDS
from .live_writer import LiveForm, LiveWriter

logger = logging.getLogger("lipwire.film")

FORMS = {
    ".mp4": LiveForm(
        name="mp4",
        options={
            "movflags": "+frag_keyframe+delay_moov+default_base_moof+hybrid_fragmented",
            "frag_duration": str(KEY_SECONDS * 2 * 1_000_000),
            "flush_packets": "1",
        },
    ),
    ".webm": LiveForm(
        name="webm",
        webm=True,
        options={"cluster_time_limit": str(KEY_SECONDS * 1000), "flush_packets": "1", "fflags": "+bitexact"},
    ),
}
"""By what the name ends in."""
BEHIND = 20.0
"""Seconds that a disk may be behind before some is left out."""
OPEN, CLOSE = 10.0, 8.0
"""Seconds that the beginning and the end may take."""
END = 64 << 10
"""Bytes that are kept for the end of the file, below a limit,"""
END_SHARE = 100
"""and one byte for so many of the file: the index of an MP4."""
NICE = 10
"""What films are encoded at: who looks at a session now comes first."""
FULL = "it has reached its limit"
_opening = pool(4, "lipwire-film-open")
"""A disk that hangs holds up no event loop, and nobody else's threads."""

NOTHING = "nothing was recorded"
FilmState = Literal["new", "recording", "finished", "limit", "failed"]


def live_form(path: Path) -> LiveForm:
    """What a name stands for. Raises InvalidArgument."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise InvalidArgument(f"cannot record into {path.name!r:.80}: end its name in {' or '.join(FORMS)}")
    return form


def check_new_film(path: Path) -> None:
    """Raises InvalidArgument: no film can be recorded there. What is beside it, as `.vtt`, must not be there either."""
    live_form(path)
    if not path.parent.is_dir():
        raise InvalidArgument(f"cannot record into {path}: there is no folder {path.parent}")
    for there in (path, path.with_suffix(".vtt")):
        if there.exists():
            raise InvalidArgument(f"cannot record into {path.name}: {there.name} is there already")


class _Sink:
    """The file, as PyAV takes one. When a write has failed nothing of it is changed any more: what FFmpeg writes at the
    end of a film would make what is there worse."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._at = 0
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._fd, view, self._at)
                self._at += count
                view = view[count:]
        except OSError as exc:
            self.error = exc
            raise
        self.size = max(self.size, self._at)
        return len(data)

    def read(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def cut(self, size: int) -> None:
        """Nothing behind `size` stays."""
        os.ftruncate(self._fd, size)
        self.size = size

    def close(self) -> None:
        """Nothing: FFmpeg closes it before its end is known to be there (`done`)."""

    def done(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LiveFilm(Publisher):
    """Records a session into `path`, an .mp4 (H.264 and AAC; units that were encoded before are copied) or a .webm (VP9
    and Opus, through an encoder). A thread of its own writes. What was played before an interrupt stays in it. A disk
    that is full or gone ends the film, never the session: `state` says so, the log does once, and what is there plays.

    Args:
        path: a file that is not there yet, in a folder that is.
        limit: bytes; the film ends there. None: it has none.
        allow: called with each number of bytes that was written, on a thread; where it says why not, the film ends.
        prepare: called by `open`, on a thread, before the file is made; what it raises, `open` does.
        on_end: called once, on that thread, when the file is complete or given up.

    Raises:
        InvalidArgument: the name is none of a film.
    """

    audio_blocks = 2

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        limit: int | None = None,
        allow: Callable[[int], str] | None = None,
        on_end: Callable[[LiveFilm], None] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.form = live_form(self.path)
        self.state: FilmState = "new"
        self.failure = ""
        """Why it ended early."""
        self.size = 0
        """Bytes so far."""
        self.zero = 0
        """The sample of the session's clock that is at its beginning."""
        self._limit, self._allow, self._on_end, self._prepare = limit, allow, on_end, prepare
        self._refused = ""
        self._feed = Feed(BEHIND)
        self._written = self._charged = 0
        self._spec: StreamSpec | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        """An MP4 does."""
        return not self.form.webm

    @property
    def wants(self) -> Wants:
        """Nothing once it has ended. Units where their parameter sets are known from the beginning, when the head is
        written."""
        if self._spec is None or not self._spec.width or self.state != "recording":
            return "nothing"
        return "units" if self._spec.parameter_sets and self.takes_units else "pictures"

    @property
    def opened(self) -> bool:
        """Whether it has begun."""
        return self._thread is not None

    @property
    def empty(self) -> bool:
        """Whether it has ended with nothing in it, so that there is no file."""
        return self.opened and self.state != "recording" and not self._written

    @property
    def encoded(self) -> int:
        """Pixels a second that it encodes."""
        spec = self._spec
        return 0 if spec is None or self.wants != "pictures" else int(spec.width * spec.height * spec.fps)

    def charge(self, more: int) -> bool:
        """Bytes of what is beside it count as its own, and towards the same limits. Returns whether there is room for
        them; where there is none, it ends."""
        self._charged += more
        return self._has_room(more)

    def _has_room(self, more: int) -> bool:
        """Whether it goes on, which has become larger by so many bytes, with what is beside it."""
        if more and self._allow is not None:
            self._refused = self._refused or self._allow(more)
        full = self._limit is not None and self.size + self._charged > self._limit - END - self.size // END_SHARE
        return not self._refused and not full

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: `file`, `state` (new, recording, finished; limit or failed: it ended before the
        session), `failure`, `seconds` and `bytes`, and what a slow disk or encoder left out: `sound_dropped_s`,
        `pictures_dropped`, `units_dropped`."""
        feed = self._feed
        return {
            "file": self.path.name,
            "state": self.state,
            "failure": self.failure or None,
            "seconds": round(self._written / RATE, 2),
            "bytes": self.size,
            "sound_dropped_s": round(feed.samples_dropped / RATE, 2),
            "pictures_dropped": feed.pictures_dropped,
            "units_dropped": feed.units_dropped,
        }

    async def open(self, spec: StreamSpec) -> None:
        """Creates the file.

        Raises:
            InvalidArgument: that is impossible, or there is one of that name. BadState: one session, one film.
            NoCapacity: the disk does not answer.
        """
        if self.state != "new":
            raise BadState("a LiveFilm is for one session")
        loop = asyncio.get_running_loop()
        making = _opening.submit(self._make)
        try:
            async with asyncio.timeout(OPEN):
                sink = await asyncio.wrap_future(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._undo)
            raise
        except TimeoutError:
            making.add_done_callback(self._undo)
            raise NoCapacity(f"the disk for {self.path.name} has not answered within {OPEN:g} s") from None
        except FileExistsError:
            raise InvalidArgument(f"cannot record into {self.path.name}: there is such a file already") from None
        except OSError as exc:
            raise InvalidArgument(f"cannot record into {self.path.name}: {exc.strerror}") from exc
        self._spec, self._loop = spec, loop
        self.state = "recording"
        self._thread = threading.Thread(target=self._run, args=(sink, spec), name="lipwire-film", daemon=True)
        self._thread.start()

    def _make(self) -> _Sink:
        if self._prepare is not None:
            self._prepare()
        return _Sink(self.path)

    def _undo(self, making: Future[_Sink]) -> None:
        if not making.cancelled() and making.exception() is None:
            making.result().done()
            self.path.unlink(missing_ok=True)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Queues sound."""
        self._feed.put(Sound(pcm, sample))

    def video(self, frame: Frame) -> None:
        """Queues a copy of the picture."""
        if self.wants == "pictures" or not frame.stitched:
            self._feed.put(Picture(frame.copy(), frame.sample, None if self._spec is None else self._spec.fps))

    def unit(self, unit: Unit) -> None:
        """Queues a unit."""
        self._feed.put(unit)

    async def close(self) -> None:
        """Writes what is queued and the end. A disk that hangs is left behind. Safe to call twice, and before
        `open`."""
        self._feed.end()
        if self.state == "new":
            self.state, self.failure = "finished", NOTHING
            if self._on_end is not None:
                self._on_end(self)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE)
            if self._thread.is_alive():
                logger.error("[%s] the film %s was not finished within %g s", self._name, self.path.name, CLOSE)

    @property
    def _name(self) -> str:
        return "" if self._spec is None else self._spec.session_id

    # ------------------------------------------------------------------------------------------------------ the thread

    def _run(self, sink: _Sink, spec: StreamSpec) -> None:
        give_way(NICE)  # and so do the encoder's threads, which this one begins
        try:
            self._write(sink, spec)
        except Exception as exc:  # the edge of the thread: the session goes on
            error = sink.error or exc
            self.failure = getattr(error, "strerror", None) or str(error)
            self.state = "failed"
            known = isinstance(error, OSError | av.FFmpegError)
            logger.warning(
                "[%s] the film %s ended: %s; its session goes on",
                spec.session_id, self.path.name, self.failure, exc_info=None if known else error,
            )  # fmt: skip
        finally:
            self._feed.end(at_once=True)
            self.size = sink.size
            sink.done()
            if not self._written:  # the session ended before anything of it was to be seen or heard
                self.size, self.failure = 0, self.failure or NOTHING
                self.path.unlink(missing_ok=True)
            if self._on_end is not None:
                self._on_end(self)

    def _write(self, sink: _Sink, spec: StreamSpec) -> None:
        form = self.form
        if not (spec.width or form.webm):  # no key frame cuts it
            form = structs.replace(form, options=form.options | {"frag_duration": str(KEY_SECONDS * 1_000_000)})
        writer = LiveWriter(sink, form, spec, ask_key=self._ask_key)
        good = 0
        try:
            writer.open()
            writer.on_begin = self._begin
            while (item := self._feed.take()) is not None:
                writer.take(item)
                grown, good = sink.size - good, sink.size
                self.size, self._written = good, writer.written
                if not self._has_room(grown):
                    self._full()
                    break
            writer.close()
        except BaseException:
            sink.error = sink.error or OSError(5, "it could not be written")
            try:
                writer.close()  # which frees it, and writes nothing any more
            except (OSError, av.FFmpegError):
                pass
            sink.cut(good)
            raise
        if self.state == "recording":
            self.state = "finished"

    def _begin(self, sample: int) -> None:
        self.zero = sample

    def _full(self) -> None:
        self.state, self.failure = "limit", self._refused or FULL
        logger.warning("[%s] the film %s ended: %s; its session goes on", self._name, self.path.name, self.failure)

    def _ask_key(self) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self.request_key())
