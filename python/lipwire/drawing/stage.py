"""Between a performer and a publisher: who draws the frames, and whether the sound has to wait for them.

A stage is given everything that a performer puts out, in clock order, and hands it on: sound at once, frames when they
are drawn, events when what they tell of is really heard.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import queue
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from .. import _core
from ..avatar import Avatar
from ..errors import InvalidArgument
from ..stream import StreamSpec
from .frame_source import DelayLine, FrameSource, SourceRunner
from .hook import Hook
from .renderer import DrawStats, Painter, Renderer

logger = logging.getLogger("lipwire.stage")

Face = str | Avatar | Renderer | Hook | FrameSource
"""What may stand where an avatar is asked for."""
Event = tuple[int, int, int, int, int]
"""As Performer.read_event: type, value, utterance, sample, played."""

FRAME_SLOTS = 8


def as_face(face: Face) -> Avatar | Renderer | Hook | FrameSource:
    """Loads an avatar that is given by name. Raises InvalidArgument: it is none of `Face`."""
    if isinstance(face, str):
        return Avatar.load(face)
    if isinstance(face, Avatar | Renderer | Hook | FrameSource):
        return face
    if isinstance(face, type) and issubclass(face, Renderer | FrameSource):
        raise InvalidArgument(f"{face.__name__} is a class; give an object: {face.__name__}()")
    raise InvalidArgument(f"{face!r} is no avatar, Renderer, hook or FrameSource")


class Stage:
    """For frames that the performer draws itself out of an avatar, or that nobody draws."""

    name = ""
    delay = 0
    """Samples that the output lags the performer's clock."""
    blocks = 64
    """Blocks that `heard` and `sound` take at a time, at most."""
    delays = False
    """Whether sound goes through `heard` and `sound`; without, it comes out as it went in."""

    def __init__(self, face: Avatar | _core.NativeAvatar | None, spec: StreamSpec) -> None:
        self.spec = spec
        self._face = face
        self.avatar: Avatar | None = None
        """Whose video can be encoded before."""
        if isinstance(face, Avatar):
            self.name = face.name
            self.avatar = face

    def prepare(self) -> None:
        """Draws an avatar, which may be slow the first time; from then on `spec` has its colour matrix.

        Raises:
            InvalidArgument: the frame size is out of range.
        """
        if isinstance(self._face, Avatar):
            self._face = self._face.at(self.spec.width, self.spec.height)
            self.spec = structs.replace(self.spec, matrix=self._face.matrix)

    def performer(self, **options: Any) -> _core.Performer:
        """The performer whose output goes through here; `prepare` first. A seed is another life for each avatar."""
        assert not isinstance(self._face, Avatar), "prepare() comes first"
        if (atlas := options.get("atlas")) is not None:
            sets = b"".join(b"\0\0\0\1" + found for found in (atlas.sps, atlas.pps))
            self.spec = structs.replace(self.spec, preencoded=True, parameter_sets=sets)
        if self.name:
            options["seed"] = options.get("seed", 0) ^ zlib.crc32(self.name.encode())
        return _core.Performer(self._face, self.spec.fps.as_integer_ratio(), **options)

    def open(self, show: Callable[[_core.Frame], None], loop: asyncio.AbstractEventLoop | None) -> None:
        """`show` takes drawn frames: on the loop, or at once where there is none (offline)."""
        self._show = show

    def looks(self, wanted: int) -> int:
        """What a publisher wants -> what the performer has to make of it, both as `Performer.look` takes it."""
        return wanted

    def poses(self, frame: _core.Frame) -> Sequence[_core.Frame]:
        """A new frame -> those whose poses belong to this moment of the output."""
        return (frame,)

    def events(self, events: list[Event]) -> list[Event]:
        """New events -> those to tell now, each with the sample of the output that it belongs to. Before the sound and
        the frames of the same moment."""
        return events

    def sound(self, pcm: bytes, sample: int) -> bytes:
        return pcm

    def heard(self, newest: tuple[int, int]) -> tuple[int, int]:
        """Performer.heard of the block that went into `sound` -> that of the block that came out."""
        return newest

    def frame(self, frame: _core.Frame) -> None:
        """A new frame with a picture, or a unit: drawn here, where it is, and shown."""
        self._show(frame)

    def interrupt(self, utterance: int) -> list[Event]:
        """Speech up to this utterance has been dropped. Returns events to tell now: of what would have been heard, with
        the sample of the output at which it would."""
        return []

    def stats(self) -> dict[str, Any] | None:
        """Of what draws; None for an avatar."""
        return None

    def close(self) -> None:
        """Nothing is shown from now on. Who shows is let go: as a rule it has this stage, and a circle of the two would
        keep a closed session, pictures and all, until Python looks for garbage."""
        self._show = _nowhere


def _nowhere(frame: _core.Frame) -> None:
    """Where frames go that come after the end."""


class SoundStage(Stage):
    """For sound without a picture: nothing is drawn, and there are poses where they are wanted."""

    def __init__(self, spec: StreamSpec) -> None:
        super().__init__(None, structs.replace(spec, width=0, height=0))

    def performer(self, **options: Any) -> _core.Performer:
        performer = super().performer(**options)
        performer.look(0)
        return performer

    def looks(self, wanted: int) -> int:
        """There is nothing to look at."""
        return wanted & _core.LOOK_POSES

    def events(self, events: list[Event]) -> list[Event]:
        """Nobody sees that the mouth opens."""
        return [event for event in events if event[0] != _core.EVENT_MOUTH]


class DrawnStage(Stage):
    """For frames that the performer hands on as they are: something else draws them."""

    avatar = None

    def __init__(self, name: str, spec: StreamSpec) -> None:
        self.spec = spec
        self.name = name

    def prepare(self) -> None:
        _core.check_size(self.spec.width, self.spec.height)

    def performer(self, **options: Any) -> _core.Performer:
        size = self.spec.width, self.spec.height
        return _core.Performer(None, self.spec.fps.as_integer_ratio(), size=size, **options)


class HookStage(DrawnStage):
    """For frames that a hook draws, on the performer's own thread."""

    LOOK = 25
    """Frames from one look at its counters to the next."""

    def __init__(self, hook: Hook, spec: StreamSpec) -> None:
        super().__init__(hook.name, spec)
        self._hook = hook
        self._performer: _core.Performer | None = None
        self._frames = 0
        self._told = DrawStats(name=hook.name)

    def performer(self, **options: Any) -> _core.Performer:
        self._performer = super().performer(draw=self._hook.bind(), **options)
        return self._performer

    def frame(self, frame: _core.Frame) -> None:
        self._frames += 1
        if self._frames % self.LOOK == 0:
            self._look()
        self._show(frame)

    def _look(self) -> None:
        """The first failure and the first slow picture are logged; the counters have the rest."""
        now, told = self._stats(), self._told
        if now.errors and not told.errors:
            logger.warning("[%s] the hook %s failed; the last good picture stays", self.spec.session_id, self.name)
        if now.slow and not told.slow:
            logger.warning(
                "[%s] the hook %s took %.1f ms for a picture; every session waits for it",
                self.spec.session_id, self.name, 1e3 * now.worst,
            )  # fmt: skip
        self._told = now

    def _stats(self) -> DrawStats:
        s = {} if self._performer is None else self._performer.stats()
        return DrawStats(
            name=self.name,
            draws=s.get("draws", 0),
            errors=s.get("draw_errors", 0),
            slow=s.get("draw_slow", 0),
            seconds=s.get("draw_ns", 0) / 1e9,
            worst=s.get("draw_worst_ns", 0) / 1e9,
        )

    def stats(self) -> dict[str, Any] | None:
        return self._stats().as_dict()

    def close(self) -> None:
        self._look()
        super().close()


class RendererStage(DrawnStage):
    """A Renderer, on a thread of its own where there is a loop to keep free."""

    def __init__(self, renderer: Renderer, spec: StreamSpec) -> None:
        super().__init__(type(renderer).__name__, spec)
        self._painter = Painter(renderer, spec)
        self._frames: queue.SimpleQueue[_core.Frame | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, show: Callable[[_core.Frame], None], loop: asyncio.AbstractEventLoop | None) -> None:
        self._show = show
        self._loop = loop
        if loop is None:
            self._painter.renderer.open(self.spec)
            return
        self._thread = threading.Thread(target=self._run, name=f"lipwire-{self.name}", daemon=True)
        self._thread.start()

    def frame(self, frame: _core.Frame) -> None:
        if self._thread is not None:
            self._frames.put(frame)  # never more than there are slots
        else:
            self._painter.paint(frame)
            self._show(frame)

    def _run(self) -> None:
        assert self._loop is not None
        renderer = self._painter.renderer
        try:
            renderer.open(self.spec)
        except Exception:
            self._painter.failed("failed to open")
        while (frame := self._frames.get()) is not None:
            self._painter.paint(frame)
            try:
                self._loop.call_soon_threadsafe(self._show, frame)
            except RuntimeError:  # the loop is closed
                break
            del frame  # its slot is needed
        self._close()

    def _close(self) -> None:
        try:
            self._painter.renderer.close()
        except Exception:
            self._painter.failed("failed to close")
        self._painter.forget()

    def stats(self) -> dict[str, Any] | None:
        return self._painter.stats.as_dict()

    def close(self) -> None:
        if self._thread is None:
            self._close()
        else:
            self._frames.put(None)
            self._thread.join(2.0)
        super().close()


class SourceStage(DrawnStage):
    """A FrameSource: speech goes to it, the sound waits as long as it takes, its frames are shown on time."""

    blocks = 1
    delays = True

    WAIT = 5.0
    """Seconds that an offline run waits for a frame."""

    def __init__(self, source: FrameSource, spec: StreamSpec) -> None:
        super().__init__(type(source).__name__, spec)
        self._source = source
        self._runner: SourceRunner | None = None
        self._waiting: collections.deque[Event] = collections.deque()
        self._new: collections.deque[Event] = collections.deque()
        self._utterance = 0
        self._cut = 0
        self._clock = 0
        """Of the performer, behind the newest block."""

    def open(self, show: Callable[[_core.Frame], None], loop: asyncio.AbstractEventLoop | None) -> None:
        self._show = show
        self._runner = SourceRunner(self._source, self.spec)
        self.delay = self._runner.delay
        self._line = DelayLine(self.delay)
        self._positions = collections.deque([(0, 0)] * (self.delay // _core.BLOCK))
        """As Performer.heard, of the blocks in the line."""
        self._wait = self.WAIT if loop is None else 0.0
        self._poses: collections.deque[_core.Frame] = collections.deque()
        """Of a delay."""
        self._spans: collections.deque[tuple[int, int]] = collections.deque()
        """When the output speaks: (first sample, last sample + 1 or -1)."""

    def looks(self, wanted: int) -> int:
        """The source's pictures come by themselves, and have to be taken; poses come with them."""
        if not wanted & _core.LOOK_POSES:
            self._poses.clear()
        return _core.LOOK_PICTURES

    def poses(self, frame: _core.Frame) -> Sequence[_core.Frame]:
        """They wait with the sound that they belong to."""
        self._poses.append(frame.posed(frame.sample + self.delay))
        due = []
        while self._poses and self._poses[0].sample <= frame.sample:
            due.append(self._poses.popleft())
        return due

    def events(self, events: list[Event]) -> list[Event]:
        told = []
        self._new.extend(events)
        for event in events:
            if event[2] <= self._cut:
                told.append(self._delayed(event))
            else:
                self._waiting.append(event)
        while self._waiting and self._waiting[0][3] + self.delay < self._clock:
            told.append(self._delayed(self._waiting.popleft()))
        return told

    def _delayed(self, event: Event) -> Event:
        kind, value, utterance, sample, played = event
        return kind, value, utterance, sample + self.delay, played

    def heard(self, newest: tuple[int, int]) -> tuple[int, int]:
        self._positions.append(newest)
        return self._positions.popleft()

    def sound(self, pcm: bytes, sample: int) -> bytes:
        assert self._runner is not None
        self._clock = sample + _core.BLOCK
        speaking, ended = self._utterance, False
        while self._new and self._new[0][3] < sample + _core.BLOCK:
            kind, _, utterance, at, _ = self._new.popleft()
            if kind == _core.EVENT_STARTED:
                speaking = self._utterance = utterance
                self._spans.append((at + self.delay, -1))
            elif kind == _core.EVENT_FINISHED and utterance == self._utterance:
                self._utterance, ended = 0, True
                if self._spans and self._spans[-1][1] < 0:
                    self._spans[-1] = (self._spans[-1][0], at + self.delay)
        if speaking > self._cut:
            self._runner.speech(pcm, sample)
        elif self.delay:  # the fade that is heard is the line's own
            pcm = bytes(2 * _core.BLOCK)
        if ended:
            self._runner.end()
        return self._line.push(pcm)

    def frame(self, frame: _core.Frame) -> None:
        assert self._runner is not None
        while self._spans and 0 <= self._spans[0][1] <= frame.sample:
            self._spans.popleft()
        speaking = bool(self._spans) and self._spans[0][0] <= frame.sample
        self._runner.show(frame, frame.sample - self.delay, speaking, self._wait)
        self._show(frame)

    def interrupt(self, utterance: int) -> list[Event]:
        assert self._runner is not None
        self._cut = utterance
        self._line.drop()
        self._spans.clear()
        self._runner.interrupt(self._clock)
        waiting, self._waiting = self._waiting, collections.deque()
        return [self._delayed(event) for event in waiting]

    def stats(self) -> dict[str, Any] | None:
        return None if self._runner is None else self._runner.stats.as_dict()

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()
        super().close()


def stage_for(face: Face | None, spec: StreamSpec) -> Stage:
    """None: sound only. Raises as `as_face`."""
    if face is None:
        return SoundStage(spec)
    face = as_face(face)
    if isinstance(face, Renderer):
        return RendererStage(face, spec)
    if isinstance(face, FrameSource):
        return SourceStage(face, spec)
    if isinstance(face, Hook):
        return HookStage(face, spec)
    return Stage(face, spec)
