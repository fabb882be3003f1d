"""Writes recordings, one file a session, on a thread of its own.

What a session records goes into one bounded queue; where the disk is slower, records are left out, counted, and marked
in the file. A disk that is full or gone ends a recording, never a session: it is counted and logged once.

Nothing secret reaches a file: see `records.clean_text`. What stays is what was said, as sound.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from .. import _core
from ..errors import BadState, InvalidArgument
from ..protocol import messages as m
from ..protocol.ingest import Event
from ..stream import Publisher
from . import records as r
from .file import SUFFIX, Writer, is_written

logger = logging.getLogger("lipwire.capture")

QUEUE_BYTES = 32 << 20
"""What may wait for the disk, of all sessions together."""
BESIDE = 200
"""Bytes that a record is reckoned to need besides what it carries."""
BATCH = 1 << 16
"""Bytes of lines that are written at once."""
PLAYED = 100
"""Blocks of sound in a `Played`: a second."""
FREED = 0.9
"""Room is made down to this share of what all recordings may take, so that it is not looked for all the time."""
LOOK_EVERY = 5.0
"""Seconds after which the folder is looked through again: other processes may record into it."""

Make = Callable[[], r.Record]
"""Makes the record, on the thread: cleaning and packing are its work."""


class RecordingLimits(Struct, frozen=True, kw_only=True):
    """Bytes on the disk."""

    session: int
    """A recording ends there."""
    total: int
    """All in the folder: the oldest that are complete are deleted to make room for the newest."""


class Recorder:
    """The recordings of a process, which may share its folder with others.

    Args:
        folder: where they go; made, for its owner only, where it is missing.
        limits: of their size.

    Raises:
        InvalidArgument: the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str], limits: RecordingLimits) -> None:
        self.folder = Path(folder)
        self.limits = limits
        self.counts: Counter[str] = Counter({"started": 0, "bytes": 0, "lost": 0, "failed": 0, "full": 0, "deleted": 0})
        """For /metrics: recordings started, bytes written, records left out, recordings that an error ended, that a
        limit ended, and files deleted for newer ones."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as exc:
            raise InvalidArgument(f"record: cannot write into {self.folder}: {exc.strerror or exc}") from exc
        self._queue: deque[tuple[Recording, Make | None, int]] = deque()
        self._wake = threading.Condition()
        self._waiting = 0
        self._stop = False
        self._open: set[Path] = set()
        self._total, self._looked = sum(size for _, size, _ in self._files()), time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def active(self) -> int:
        """Recordings that are being written."""
        return len(self._open)

    def open(self, header: r.Header) -> Recording:
        """A new recording; it begins with `header`. Raises BadState: the recorder is closed."""
        if self._stop:
            raise BadState("the recorder is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lipwire-capture", daemon=True)
            self._thread.start()
        when = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(header.started))
        recording = Recording(self, self.folder / f"{when}-{header.session_id}{SUFFIX}")
        self.counts["started"] += 1
        recording.put(lambda: header)
        return recording

    def put(self, recording: Recording, make: Make | None, cost: int) -> bool:
        """Queues a record, or (None) the end of a recording. False: no room."""
        with self._wake:
            if make is not None and self._waiting + cost > QUEUE_BYTES:
                self.counts["lost"] += 1
                return False
            self._queue.append((recording, make, cost))
            self._waiting += cost
            self._wake.notify()
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Writes what waits and ends. Blocks, as long as the disk needs or `timeout` says. Safe to call twice."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    # ----------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._stop:
                    self._wake.wait()
                if not self._queue:
                    return
                batch, self._queue = self._queue, deque()
            self._write_all(batch)

    def _write_all(self, batch: deque[tuple[Recording, Make | None, int]]) -> None:
        lines: dict[Recording, bytearray] = {}
        while batch:
            recording, make, cost = batch.popleft()
            waiting = lines.setdefault(recording, bytearray())
            if make is not None and recording.failed is None:
                try:
                    waiting += r.encode(make())
                except Exception:  # the edge: one record's fault must not end everybody's recordings
                    recording.fail("a record could not be packed")
                    logger.exception("%s: packing a record failed", recording.path.name)
            if make is None or len(waiting) >= BATCH:
                self._write(recording, bytes(waiting))
                waiting.clear()
            if make is None:
                self._end(recording)
            with self._wake:
                self._waiting -= cost
        for recording, waiting in lines.items():
            self._write(recording, bytes(waiting))

    def _write(self, recording: Recording, lines: bytes) -> None:
        if not lines or recording.failed is not None:
            return
        try:
            if recording.writer is None:
                recording.writer = Writer(recording.path)
                self._open.add(recording.path)
            before = recording.writer.size
            full = before + len(lines) > self.limits.session or not self._room(len(lines))
            recording.writer.append(r.encode(r.Ended(time.monotonic(), "limit")) if full else lines)
            wrote = recording.writer.size - before
        except OSError as exc:
            self.counts["failed"] += 1
            recording.fail(str(exc.strerror or exc))
            logger.warning("recording %s ended: %s; its session goes on", recording.path, exc.strerror or exc)
            self._end(recording)
            return
        self._total += wrote
        self.counts["bytes"] += wrote
        if full:
            self.counts["full"] += 1
            recording.fail("limit")
            logger.warning("recording %s ended: it has reached its limit; its session goes on", recording.path)
            self._end(recording)

    def _end(self, recording: Recording) -> None:
        if recording.writer is not None:
            recording.writer.close()
            self._open.discard(recording.path)

    def _room(self, size: int) -> bool:
        """Whether that much more may be there; older recordings go for it, but for those that this process or another
        is writing."""
        now = time.monotonic()
        if self._total + size <= self.limits.total and now - self._looked < LOOK_EVERY:
            return True
        files = sorted(self._files(), key=lambda found: found[2])
        self._looked, self._total = now, sum(found[1] for found in files)  # others write, too, and delete
        if self._total + size <= self.limits.total:
            return True
        for path, length, _ in files:
            if self._total + size <= self.limits.total * FREED:
                break
            if path not in self._open and not is_written(path):
                path.unlink(missing_ok=True)
                self._total -= length
                self.counts["deleted"] += 1
        return self._total + size <= self.limits.total

    def _files(self) -> list[tuple[Path, int, float]]:
        """(path, bytes, time of the last change) of the recordings in the folder."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                stat = path.stat(follow_symlinks=False)
            except OSError:  # it has just gone
                continue
            found.append((path, stat.st_size, stat.st_mtime))
        return found


class Recording(Publisher):
    """One session's recording. It hears the wire as the provider's `Tap`, and is one of the publishers, to know what
    was handed over when. Event loop's thread only, but for what the recorder's does."""

    def __init__(self, recorder: Recorder, path: Path) -> None:
        self.path = path
        self.writer: Writer | None = None
        self.failed: str | None = None
        """Why nothing more is written."""
        self.at = 0
        """Media clock up to which sound has been handed over,"""
        self.told = 0
        """and how many of the engine's events the session has acted on."""
        self._recorder = recorder
        self._lost = 0
        self._closed = False
        self._moments: list[int] = []
        self._connections: dict[object, int] = {}
        self._message: tuple[object, str | bytes | None, float, int, int] | None = None
        """Connection, message (None: the rest of one), when it came, `at`, `told`."""
        self._called = 0.0
        """When the newest call came that no message makes."""
        self._begin = 0
        self._sound: list[int] = []
        self._pictures: list[tuple[int, int]] = []

    def fail(self, why: str) -> None:
        """Nothing more is written."""
        self.failed = self.failed or why

    def put(self, make: Make, cost: int = 0) -> None:
        """Hands a record over to the thread, or counts it as lost."""
        if self.failed is not None or self._closed:
            return
        if self._lost:
            count = self._lost
            if not self._recorder.put(self, lambda: r.Lost(count), BESIDE):
                self._lost += 1
                return
            self._lost = 0
        if not self._recorder.put(self, make, cost + BESIDE):
            self._lost += 1

    def end(self, reason: str) -> None:
        """The last record. Safe to call twice."""
        if self._closed:
            return
        self._flush_played()
        now = time.monotonic()
        self.put(lambda: r.Ended(now, reason))
        self._closed = True
        self._recorder.put(self, None, 0)

    # ------------------------------------------------------------------------------------------------------- the wire

    def follow(self, moments: list[int]) -> None:
        """Where the engine leaves the place of each call (`Performer.moments`)."""
        self._moments = moments

    def connected(self, connection: object, now: float) -> None:
        """A WebSocket came."""
        number = self._connections[connection] = len(self._connections) + 1
        self.put(lambda: r.Connected(now, number))

    def disconnected(self, connection: object, now: float) -> None:
        """It went."""
        number = self._connections.get(connection, 0)
        self.put(lambda: r.Disconnected(now, number))

    def receives(self, connection: object, message: str | bytes, now: float) -> None:
        """A message is about to act."""
        self._moments.clear()
        self._message = connection, message, now, self.at, self.told

    def received(self, events: Sequence[Event]) -> None:
        """It has, and meant that."""
        if self._message is None:
            return
        (connection, message, now, at, told), self._message = self._message, None
        number, ops = self._connections.get(connection, 0), self._take_moments()
        if message is None:
            self.put(lambda: r.Continued(now, number, at, told, ops))
            return
        if isinstance(message, bytes):
            size = len(message)
            self.put(lambda: r.Received(now, number, at, told, ops, binary=size))
            return
        voice = events[0] if events and isinstance(events[0], m.Voice) else None

        def make() -> r.Record:
            # A good `voice` is written as it was understood: whatever else was in it is left out.
            text = m.encode(voice) if voice is not None else r.clean_text(message)
            return r.Received(now, number, at, told, ops, text, broken=len(message) if text is None else 0)

        self.put(make, len(message))

    def pauses(self, events: Sequence[Event]) -> None:
        """A part of it has."""
        self.received(events)

    def resumes(self, connection: object, now: float) -> None:
        """The rest is about to."""
        self._moments.clear()
        self._message = connection, None, now, self.at, self.told

    def drains(self, now: float) -> None:
        """No new utterance is taken."""
        self.put(lambda: r.Draining(now))

    def sent(self, event: m.ServerEvent) -> None:
        """An event of the server, on its way."""
        now = time.monotonic()
        self.put(lambda: r.Sent(now, r.clean_event(m.encode(event))), BESIDE)

    # ----------------------------------------------------------------------------------------------- what else acts

    def calls(self) -> tuple[int, int] | None:
        """A call is about to act: `at` and `told`, or None where a message of the wire makes it."""
        if self._message is not None:
            return None
        self._moments.clear()
        self._called = time.monotonic()
        return self.at, self.told

    def now_ns(self) -> int:
        """When what acts now came: speech is late or not by the time that is written down, so that a replay finds it
        the same."""
        return r.in_ns(self._called if self._message is None else self._message[2])

    def called(self, found: tuple[int, int], what: Any, **fields: Any) -> None:
        """It has."""
        now, ops = self._called, self._take_moments()
        pcm = bytes(fields.pop("pcm", b""))
        content = r.clean_value(fields.pop("content", None))
        self.put(lambda: r.Called(now, what, *found, ops, pcm=pcm, content=content, **fields), len(pcm))

    def _take_moments(self) -> list[int]:
        ops = list(self._moments)
        self._moments.clear()
        return ops

    # ---------------------------------------------------------------------------------------------- what is handed over

    def audio(self, pcm: bytes, sample: int) -> None:
        """Notes a block."""
        if sample != self.at or len(self._sound) >= PLAYED:
            self._flush_played()
        self.at = sample + _core.BLOCK
        if self.failed is None:
            if not self._sound:
                self._begin = sample
            self._sound.append(zlib.crc32(pcm))

    def video(self, frame: _core.Frame) -> None:
        """Notes a picture."""
        if self.failed is None:
            self._pictures.append((frame.sample, zlib.crc32(frame)))

    async def close(self) -> None:
        """The session's own end comes through `end`, with its reason; this is for one that nobody ended."""
        self.end("closed")

    def _flush_played(self) -> None:
        if self._sound or self._pictures:
            begin, sound, pictures = self._begin, self._sound, self._pictures
            self._sound, self._pictures = [], []
            self.put(lambda: r.Played(begin, sound, pictures), 16 * (len(sound) + len(pictures)))
