"""Motion on its way to whoever draws the face: each frame encoded once for all who asked for the same sets of channels
in the same encoding, and handed to their carriers. docs/motion.md has the format.

What is sent may be lost (a data channel without retransmission, Agora's data stream, a video track) or not (a
WebSocket). On what may be lost a message has the frame before, too, events are sent once more with each of the next
`REPEATS` messages, and headers come again. Nothing is encoded that nobody has asked for.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from .._core import RATE, Frame, MotionEncoder
from ..errors import InvalidArgument
from ..motion.sets import DEFAULT_SETS, check_sets
from ..motion.wire import JsonEncoder
from ..stream import Cue

Encoding = Literal["binary", "json"]
ENCODINGS: tuple[Encoding, ...] = ("binary", "json")
REPEATS = 3
"""Messages that have an event once more, where it may have been lost."""
TOGETHER = 32
"""Events in a message of frames, at most: a reader takes 64 records."""
HEADERS = 2
"""More headers that somebody new is sent within a second, where the first may have been lost."""
HEADER_EVERY = RATE
"""Samples from one header to the next, for carriers that do not know who is new."""
NO_MOTION = "no motion is sent here (egress: video)"
ONLY_SENT = "no motion is sent on a connection that only sends; ask on the one that receives"
MAX_ASK = 1024
"""Bytes of what somebody asks."""
MAX_VALUE = 128
"""Characters of an event's value; an `event_id` that is longer is cut, as it comes from a client and goes to all."""
UNNUMBERED = 0
"""The number of events that are never taken for one that came before."""
Kind = Literal["header", "frames", "event"]
"""What a message is sent for."""
Carrier = Literal["data", "sei"]
"""What carries motion in a channel that is not asked: data messages, or user data of a black video."""


class NoMotion(InvalidArgument):
    """No motion is sent of this face."""

    code = "NO_MOTION"


class Ask(Struct, frozen=True):
    """What somebody wants to be sent."""

    sets: tuple[str, ...] | None = None
    """Names of `MOTION_SETS`, in their order; None = what the face's sender has said (`Motion.sets`)."""
    encoding: Encoding = "binary"


def check_ask(sets: Iterable[str] | None, encoding: str | None) -> Ask:
    """What these words ask for; None = as who does not say. Raises InvalidArgument."""
    for known in ENCODINGS:
        if known == (encoding or "binary"):
            return Ask(None if sets is None else check_sets(sets), known)
    raise InvalidArgument(f"encoding: there are {', '.join(ENCODINGS)}; got {encoding!r:.40}")


class _AskMessage(Struct):
    sets: list[str] | None = None
    encoding: str | None = None


def parse_ask(message: str | bytes) -> Ask:
    """A message of a client: {"sets": ["arkit", "head"], "encoding": "binary"}, each as one likes. Raises
    InvalidArgument."""
    if len(message) > MAX_ASK:
        raise InvalidArgument(f"what is asked for has {len(message)} bytes; {MAX_ASK} are allowed")
    try:
        asked = msgspec.json.decode(message, type=_AskMessage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidArgument(f'{{"sets": [...], "encoding": "binary"}} is expected: {exc}') from None
    return check_ask(asked.sets, asked.encoding)


class Listener(abc.ABC):
    """Somebody who is sent motion, and what carries it there."""

    lossy: bool = True
    """What is sent may be lost, and come in another order."""
    anew: bool = False
    """It does not know who is new, so that headers come again and again."""
    stride: int = 1
    """Frames in a message, of those that are new; where it is more, a message has them all, and the one before."""
    most: int | None = None
    """Bytes of a message; None = as many as there are."""
    ask: Ask = Ask()

    @abc.abstractmethod
    def put(self, message: bytes, kind: Kind, sample: int) -> int:
        """Takes a message that belongs to `sample` on the clock, without blocking; JSON is UTF-8. Returns how many it
        was too slow for, this one or others."""

    def interrupt(self) -> None:
        """Frames that have not left are stale."""

    def refuse(self, why: str) -> None:
        """There is no motion, and there will be none: it may end."""


class Encoder(Protocol):
    """One of `_core.MotionEncoder`, `motion.wire.JsonEncoder`."""

    def header(self) -> bytes: ...
    def encode(self, frame: Frame, *, sample: int | None = None, generation: int | None = None) -> bytes: ...
    @staticmethod
    def event(number: int, sample: int, generation: int, kind: str, value: str) -> bytes: ...
    @staticmethod
    def sound(sample: int, codec: int, payload: bytes) -> bytes: ...
    def keep(self, frame: Frame, *, sample: int | None = None, generation: int | None = None) -> None: ...


CODERS: dict[Encoding, type[MotionEncoder] | type[JsonEncoder]] = {"binary": MotionEncoder, "json": JsonEncoder}


def make_encoder(ask: Ask, fps: Fraction, *, earlier: int = 0, id: int = 0) -> Encoder:
    """What encodes for an ask."""
    encoder: Encoder = CODERS[ask.encoding](ask.sets or DEFAULT_SETS, fps.as_integer_ratio(), earlier=earlier, id=id)
    return encoder


def event_message(encoding: Encoding, kind: str, value: str, sample: int = 0, generation: int = 0) -> bytes:
    """A message with an event that has no number: it is told to one alone, or again and again."""
    return CODERS[encoding].event(UNNUMBERED, sample, generation, kind, value)


class MotionFigures:
    """What was sent.

    Args:
        total: figures that have all of this, too.
    """

    def __init__(self, total: MotionFigures | None = None) -> None:
        self.viewers = 0
        """Who is sent motion now."""
        self.messages = self.bytes = self.dropped = 0
        """Messages handed to carriers, their bytes, and those that a carrier was too slow for."""
        self._total = total

    def count(self, *, viewers: int = 0, messages: int = 0, size: int = 0, dropped: int = 0) -> None:
        self.viewers += viewers
        self.messages += messages
        self.bytes += size
        self.dropped += dropped
        if self._total is not None:
            self._total.count(viewers=viewers, messages=messages, size=size, dropped=dropped)

    def stats(self) -> dict[str, int]:
        """JSON-able: `motion_viewers`, `motion_messages`, `motion_bytes`, `motion_dropped`."""
        return {f"motion_{name}": int(getattr(self, name)) for name in ("viewers", "messages", "bytes", "dropped")}


class _Stream:
    """One encoding for all who are sent the same."""

    def __init__(self, of: Listener, ask: Ask, fps: Fraction, face: str, id: int, figures: MotionFigures) -> None:
        self._lossy, self._anew, self._stride, self._most = of.lossy, of.anew, of.stride, of.most
        self._encoder = make_encoder(ask, fps, earlier=2 * of.stride - 1 if of.lossy else of.stride - 1, id=id)
        self._joined = ask.encoding == "binary"
        """Records can stand in one message."""
        self._greeting = [self._encoder.header()]
        """What one must know before frames are of use."""
        if face:
            self._greeting.append(event_message(ask.encoding, "state", f"avatar:{face}"))
        if self._joined:
            self._greeting = [b"".join(self._greeting)]
        self._figures = figures
        self.listeners: set[Listener] = set()
        self._young: dict[Listener, list[int]] = {}
        """Who is sent headers again, and the samples from which on that is due; none before its first frame."""
        self._repeats: list[tuple[bytes, int]] = []
        """Events that are sent again, and how many times."""
        self._header_at: int | None = None
        self._turn = 0

    def add(self, listener: Listener, at: int) -> None:
        self.listeners.add(listener)
        if self._anew:
            self._header_at = None
            return
        self._greet(listener, at)
        if self._lossy:
            self._young[listener] = []

    def remove(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        self._young.pop(listener, None)

    def frame(self, frame: Frame, sample: int, generation: int) -> None:
        for listener, due in tuple(self._young.items()):
            if not due:
                due += [sample + (n + 1) * RATE // (HEADERS + 1) for n in range(HEADERS)]
            elif sample >= due[0]:
                self._greet(listener, sample)
                del due[0]
                if not due:
                    del self._young[listener]
        self._turn = (self._turn + 1) % self._stride
        if self._turn:
            self._encoder.keep(frame, sample=sample, generation=generation)
            return
        message = self._encoder.encode(frame, sample=sample, generation=generation)
        again = [event for event, _ in self._repeats]
        self._repeats = [(event, left - 1) for event, left in self._repeats if left > 1]
        if self._anew and (self._header_at is None or not 0 <= sample - self._header_at < HEADER_EVERY):
            again = self._greeting + again
            self._header_at = sample
        fits = self._most is None or sum(map(len, again)) + len(message) <= self._most
        if self._joined and fits and len(again) <= TOGETHER:
            message = b"".join((*again, message))
        else:
            for one in again:
                self._send(one, "event", sample, self.listeners)
        self._send(message, "frames", sample, self.listeners)

    def event(self, number: int, sample: int, generation: int, kind: str, value: str) -> None:
        message = self._encoder.event(number, sample, generation, kind, value)
        self._send(message, "event", sample, self.listeners)
        if self._lossy:
            self._repeats.append((message, REPEATS))

    def _greet(self, listener: Listener, sample: int) -> None:
        for message in self._greeting:
            self._send(message, "header", sample, [listener])

    def _send(self, message: bytes, kind: Kind, sample: int, to: Iterable[Listener]) -> None:
        dropped = count = 0
        for listener in tuple(to):  # one may leave meanwhile
            dropped += listener.put(message, kind, sample)
            count += 1
        self._figures.count(messages=count, size=count * len(message), dropped=dropped)


class Motion:
    """The motion of one face, for all who draw it. Everything belongs to the thread that a publisher is called by.

    Args:
        figures: of all motion, which this is a part of.
    """

    def __init__(self, figures: MotionFigures | None = None) -> None:
        self.figures = MotionFigures(figures)
        self.refusal: str | None = None
        """Why there is no motion, where there is none for anybody."""
        self.sets: tuple[str, ...] = DEFAULT_SETS
        """What those are sent who do not say."""
        self.generation = 0
        """Interrupts so far, and changes of the face."""
        self._fps: Fraction | None = None
        self._face = ""
        self._streams: dict[tuple[Ask, bool, bool, int, int | None], _Stream] = {}
        self._listeners: dict[Listener, _Stream | None] = {}
        self._id = self._number = 0
        self._at = -1

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def takes(self) -> bool:
        """Whether somebody is to be sent motion."""
        return bool(self._listeners) and self.refusal is None

    def check(self) -> None:
        """Raises NoMotion: there is none, for this reason."""
        if self.refusal is not None:
            raise NoMotion(self.refusal)

    def begin(self, fps: Fraction, refusal: str | None = None, *, face: str = "") -> None:
        """From now on the frames are of one face at this rate; `refusal`: why there are none of it. `face`: its name,
        which everyone is told."""
        if self._fps is not None:
            self.generation += 1
        self._fps, self.refusal, self._face = fps, refusal, face
        self._streams.clear()
        for listener in tuple(self._listeners):
            self._join(listener)

    def end(self) -> None:
        """The face is gone. Who listens, and who comes now, is sent nothing until another one begins."""
        if self._fps is not None:
            self.generation += 1
        self._fps = None
        self._streams.clear()
        self._listeners = dict.fromkeys(self._listeners)

    def add(self, listener: Listener) -> None:
        """Somebody is sent what its `ask` says, from now on: a header at once, if there is a face."""
        self.remove(listener)
        self._listeners[listener] = None
        self.figures.count(viewers=1)
        self._join(listener)

    def _join(self, listener: Listener) -> None:
        if self.refusal is not None:
            listener.refuse(self.refusal)
            return
        if self._fps is None:
            return
        ask = Ask(listener.ask.sets or self.sets, listener.ask.encoding)
        key = ask, listener.lossy, listener.anew, listener.stride, listener.most
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(listener, ask, self._fps, self._face, self._id, self.figures)
            self._id = (self._id + 1) % 256
        self._listeners[listener] = stream
        stream.add(listener, max(0, self._at))

    def remove(self, listener: Listener) -> None:
        """Somebody is not any more. Safe to call twice."""
        if listener not in self._listeners:
            return
        stream = self._listeners.pop(listener)
        self.figures.count(viewers=-1)
        if stream is not None:
            stream.remove(listener)
            if not stream.listeners:
                self._streams = {key: one for key, one in self._streams.items() if one is not stream}

    def frame(self, frame: Frame, sample: int | None = None) -> None:
        """A frame, shown when the clock is at `sample`; None = its own. One that is not behind the last is left out."""
        at = frame.sample if sample is None else sample
        if at <= self._at:
            return
        self._at = at
        for stream in tuple(self._streams.values()):
            stream.frame(frame, self._at, self.generation)

    def cue(self, cue: Cue, sample: int | None = None) -> None:
        """What happened, at once."""
        if not self._streams:
            return
        self._number += 1
        at = cue.sample if sample is None else sample
        for stream in tuple(self._streams.values()):
            stream.event(self._number, at, self.generation, cue.kind, cue.value[:MAX_VALUE])

    def interrupt(self) -> None:
        """What waits anywhere is stale."""
        self.generation += 1
        for listener in tuple(self._listeners):
            listener.interrupt()

    def refuse(self, why: str | None) -> None:
        """There is no motion any more, for a reason: who listens is told. None = there is again, for who still does."""
        before, self.refusal = self.refusal, why
        if why == before:
            return
        self._streams.clear()
        for listener in tuple(self._listeners):
            self._join(listener)
