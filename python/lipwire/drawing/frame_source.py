"""Frame sources: models and services that make pictures from speech, in their own time.

A source hears the speech in blocks and answers with frames, each with the sample that it shows; it says how late it is,
and the session delays the sound to match. Where no frame is there in time, the session shows the source's idle
pictures.
"""

from __future__ import annotations

import abc
import collections
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from .._core import BLOCK, RATE, Frame, Resampler
from ..audio.fade import fade_out
from ..errors import InvalidArgument
from ..stream import StreamSpec
from .renderer import black

logger = logging.getLogger("lipwire.source")

Image = np.ndarray[Any, np.dtype[np.uint8]] | Frame
"""I420 (height * 3 / 2, width), RGB (height, width, 3) or RGBA (height, width, 4), uint8; or a Frame."""
Picture = np.ndarray[Any, np.dtype[np.uint8]]
"""I420."""
Emit = Callable[[int, Image], None]

SPEECH_RATE = 16000
BACKLOG = 2.0
"""Seconds of speech that may wait for a source, and of frames that may wait for the clock."""
HOLD = 0.2
"""Seconds that a picture stays when the next one is missing, before the idle ones take over."""


class FrameSource(abc.ABC):
    """Makes frames from speech.

        class Model(lipwire.FrameSource):
            latency = 0.3

            def speech(self, pcm, sample):
                for picture in self.net(pcm):               # your model
                    yield sample, picture
                    sample += 48000 // 25

    `open`, `speech`, `finish`, `interrupt` and `close` are called by one thread of its own. A source that stalls,
    raises or answers late or out of order costs frames, never the session: what is late is dropped and counted, and
    the mouth idles.
    """

    latency: float = 0.0
    """Seconds from a piece of speech to the frame that shows it, at most; 0..10. The sound waits that long."""
    block: int = 640
    """Samples at 16 kHz of each piece (40 ms); the last one of an utterance may be shorter."""
    answers_later: bool = False
    """It answers by `emit` after `speech` has returned. Offline, a frame is then waited for."""
    idle: Sequence[Image] = ()
    """Pictures in a loop, one a frame, for when there is no speech; without any, the last frame stays."""

    def open(self, spec: StreamSpec, emit: Emit) -> None:
        """Called once, first. `emit(sample, image)` may be called from any thread at any time, for sources that answer
        by themselves."""

    @abc.abstractmethod
    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]] | None:
        """A piece of speech, int16 mono at 16 kHz, whose first sample is at `sample` of the media clock (48 kHz).
        Answers with frames: (sample of the media clock that it shows, picture)."""

    def finish(self) -> Iterable[tuple[int, Image]] | None:
        """The utterance is over: what is left of it."""
        return None

    def interrupt(self) -> None:
        """Drop what is under way: nobody will hear it. Frames of speech before now are dropped anyway."""

    def close(self) -> None:
        """Called once, last."""


class SourceStats(Struct, kw_only=True):
    name: str
    frames: int = 0
    """Taken from it."""
    shown: int = 0
    late: int = 0
    """Came when their time was over, or out of order behind one that was shown; of the first kind one is still shown
    where there is no better one."""
    gaps: int = 0
    """Pictures due during speech that had no frame."""
    errors: int = 0
    """Exceptions, and frames of a wrong shape."""
    refused: int = 0
    """Pieces of speech that it was too slow to take."""

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def to_i420(image: Any, width: int, height: int) -> Picture:
    """Any Image as I420, BT.709 limited range. Raises InvalidArgument: it is none, or its size is another."""
    if isinstance(image, Frame) and (image.width, image.height) == (width, height):
        return image.i420
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        if image.shape == (height * 3 // 2, width):
            return image
        if image.shape == (height, width, 3):
            image = np.dstack([image, np.full((height, width), 255, np.uint8)])
        if image.shape == (height, width, 4):
            return Frame.from_rgba(image).i420
    what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InvalidArgument(
        f"a frame must be uint8 ({height * 3 // 2}, {width}) I420, ({height}, {width}, 3) RGB or RGBA, or a Frame, "
        f"not {what}"
    )


class SourceRunner:
    """A FrameSource on its thread: speech in, the frame for a moment out."""

    def __init__(self, source: FrameSource, spec: StreamSpec) -> None:
        if not 0 <= source.latency <= 10:
            raise InvalidArgument(f"{type(source).__name__}.latency is {source.latency} s; 0 to 10 will do")
        if not 16 <= source.block <= SPEECH_RATE:
            raise InvalidArgument(f"{type(source).__name__}.block is {source.block}; 16 to {SPEECH_RATE} will do")
        self.source = source
        self.spec = spec
        self.stats = SourceStats(name=type(source).__name__)
        self.delay = -(-round(source.latency * RATE) // BLOCK) * BLOCK
        """Samples that the sound waits."""
        self._interval = float(RATE / spec.fps)
        self._idle = [np.array(to_i420(image, spec.width, spec.height)) for image in source.idle]
        self._idle_at = 0
        self._work: queue.Queue[Callable[[], Any] | None] = queue.Queue()
        self._waiting = 0
        """Samples of speech in the queue."""
        self._lock = threading.Condition()
        self._frames: dict[int, Picture] = {}
        self._floor = 0
        """Frames before this sample are late, or of speech that was interrupted."""
        self._generation = 0
        self._last: Picture | None = None
        self._last_sample = -RATE * 3600
        self._resampler: Resampler | None = None
        self._piece = bytearray()
        self._piece_at = 0
        self._patient = True
        self._thread = threading.Thread(target=self._run, name=f"lipwire-{self.stats.name}", daemon=True)
        self._thread.start()

    # ---- speech in (the session's thread)

    def speech(self, pcm: bytes, sample: int) -> None:
        """10 ms at 48 kHz of an utterance."""
        if self._resampler is None:
            self._resampler, self._piece_at = Resampler(RATE, SPEECH_RATE), sample
        self._piece += self._resampler.process(pcm)
        size = 2 * self.source.block
        while len(self._piece) >= size:
            self._send(bytes(self._piece[:size]))
            del self._piece[:size]

    def end(self) -> None:
        """The utterance is over."""
        if self._resampler is not None:
            self._piece += self._resampler.flush()
            size = 2 * self.source.block
            while self._piece:
                self._send(bytes(self._piece[:size]))
                del self._piece[:size]
            self._resampler = None
            self._do(self.source.finish)

    def interrupt(self, sample: int) -> None:
        """Speech before `sample` will not be heard."""
        self._resampler = None
        self._piece.clear()
        with self._lock:
            self._generation += 1
            self._floor = max(self._floor, sample)
            self._frames = {at: image for at, image in self._frames.items() if at >= self._floor}
            self._last_sample = -RATE * 3600
        self._do(self.source.interrupt, answers=False)

    def close(self, wait: float = 2.0) -> None:
        self._do(self.source.close, answers=False)
        self._work.put(None)
        self._thread.join(wait)
        if self._thread.is_alive():
            logger.warning("[%s] %s does not come to an end; left behind", self.spec.session_id, self.stats.name)

    def _send(self, piece: bytes) -> None:
        count = len(piece) // 2
        at, self._piece_at = self._piece_at, self._piece_at + count * (RATE // SPEECH_RATE)
        if self._waiting > BACKLOG * SPEECH_RATE:
            self.stats.refused += 1
            if self.stats.refused == 1:
                logger.warning(
                    "[%s] %s does not keep up: %.1f s of speech wait for it", self.spec.session_id, self.stats.name,
                    self._waiting / SPEECH_RATE,
                )  # fmt: skip
            return
        with self._lock:
            self._waiting += count
        pcm = np.frombuffer(piece, np.int16)
        self._do(lambda: self.source.speech(pcm, at), count)

    # ---- the source's thread

    def _do(self, call: Callable[[], Any], count: int = 0, answers: bool = True) -> None:
        generation = self._generation

        def work() -> None:
            if answers and generation != self._generation:
                return
            for sample, image in call() or ():
                if generation != self._generation and answers:
                    return
                self.emit(sample, image)

        def counted() -> None:
            try:
                work()
            except Exception:  # the edge: whatever a source does, the session goes on
                self._failed("failed")
            finally:
                with self._lock:
                    self._waiting -= count
                    self._lock.notify_all()

        self._work.put(counted)

    def _run(self) -> None:
        try:
            emit = weakref.WeakMethod(self.emit)  # a source keeps it, and would keep its frames in a circle
            self.source.open(self.spec, lambda sample, image: _emit(emit, sample, image))
        except Exception:
            self._failed("failed to open")
        while (work := self._work.get()) is not None:
            work()

    def _failed(self, how: str) -> None:
        self.stats.errors += 1
        if self.stats.errors == 1:
            logger.exception("[%s] %s %s; idle pictures take over", self.spec.session_id, self.stats.name, how)

    def emit(self, sample: int, image: Image) -> None:
        """A frame. From any thread."""
        try:
            made = to_i420(image, self.spec.width, self.spec.height)
            if made is image or isinstance(image, Frame):  # theirs to draw the next one into
                made = made.copy()
            at = int(sample)
        except (InvalidArgument, TypeError, ValueError):
            self._failed("made a frame that is none")
            return
        with self._lock:
            self.stats.frames += 1
            if at < self._floor:
                self.stats.late += 1
                return
            self._frames[at] = made
            self._patient = True
            while len(self._frames) > BACKLOG * self.spec.fps + 10 * self.spec.fps:
                del self._frames[min(self._frames)]
            self._lock.notify_all()

    # ---- frames out (the session's thread)

    def show(self, frame: Frame, target: int, speaking: bool, wait: float = 0.0) -> None:
        """Draws what is to be seen at `target` into `frame`. `wait`: seconds that it may be waited for (offline)."""
        near = target + int(self._interval / 2)
        with self._lock:
            if wait and speaking and self._patient:
                # One frame that does not come is waited for; the next ones only when there are some again.
                self._patient = self._lock.wait_for(lambda: self._enough(target, near), wait)
            due = [at for at in self._frames if at <= near]
            found = self._frames[max(due)] if due else None
            if due:
                newest = max(due)
                self.stats.shown += 1
                self.stats.late += len(due) - 1 + (newest < target - self._interval / 2)
                self._floor = newest + 1
                for at in due:
                    del self._frames[at]
                self._last, self._last_sample = found, newest
        if found is None and speaking:
            self.stats.gaps += 1
        if found is None and (target - self._last_sample < HOLD * RATE or not self._idle):
            found = self._last
        if found is None and self._idle:
            found = self._idle[self._idle_at % len(self._idle)]
            self._idle_at += 1
        if found is None:
            black(frame)
        else:
            frame.i420[:] = found

    def _enough(self, target: int, near: int) -> bool:
        """Nothing better is to come for `target`."""
        if self.source.answers_later:
            return any(at >= target for at in self._frames)
        # A later frame proves nothing: the frames of one piece may come in any order.
        return self._waiting <= 0 or any(target <= at <= near for at in self._frames)


def _emit(to: Callable[[], Emit | None], sample: int, image: Image) -> None:
    if (emit := to()) is not None:
        emit(sample, image)


class DelayLine:
    """Sound that waits for its picture, in blocks of 10 ms."""

    def __init__(self, delay: int) -> None:
        self._blocks = collections.deque([bytes(2 * BLOCK)] * (delay // BLOCK))

    def push(self, pcm: bytes) -> bytes:
        self._blocks.append(pcm)
        return self._blocks.popleft()

    def drop(self) -> None:
        """Silence from the next block on, after a fade of 5 ms."""
        if not self._blocks:
            return
        self._blocks = collections.deque([fade_out(self._blocks[0])] + [bytes(2 * BLOCK)] * (len(self._blocks) - 1))
