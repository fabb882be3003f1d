"""The one contract for what leaves a session: `StreamSpec` says what comes, a `Publisher` takes it: sound, pictures,
encoded video, poses (motion) and cues."""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal, Protocol

from msgspec import Struct, structs

from ._core import LOOK_PICTURES, LOOK_UNITS, RATE, Frame, SharedWriter
from .errors import InvalidArgument

FrameRate = int | float | str | Fraction
"""25, 29.97, 23.976, "30000/1001", "29.97" or a Fraction."""
SLOWEST, FASTEST = 1, 100
"""Frames a second."""
NTSC = Fraction(1000, 1001)
"""What the rates of television are of whole ones: 24, 30, 48, 60, 120."""
NEAR = 0.005
"""How far from such a rate its decimals are: 23.976, 23.98 and 29.97 are all in use."""
LONGEST = 10**6
"""A denominator above is that of a float, not of a rate."""


def frame_rate(value: FrameRate) -> Fraction:
    """The rate that `value` names, exactly: a whole number, a decimal, or a ratio. A decimal that stands for a rate of
    television, such as 29.97 or 23.976, is that rate: 30000/1001, 24000/1001.

    Raises:
        InvalidArgument: it names none, or none of 1..100 a second.
    """
    try:
        rate = _read(value)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        rate = None
    if rate is None or not SLOWEST <= rate <= FASTEST:
        raise InvalidArgument(f'fps must be {SLOWEST}..{FASTEST}, such as 25, 29.97 or "30000/1001", got {value!r:.80}')
    return rate


def _read(value: FrameRate) -> Fraction | None:
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str) and "/" in value:
        numerator, denominator = value.split("/")
        exact = Fraction(int(numerator), int(denominator))
    else:
        exact = Fraction(value)
    if isinstance(value, Fraction | int) and exact.denominator <= LONGEST:
        return exact
    if isinstance(value, str) and "/" in value:
        return exact.limit_denominator(LONGEST)
    whole = round(exact / NTSC)
    if exact.denominator != 1 and abs(exact - whole * NTSC) < NEAR:
        return whole * NTSC
    return exact.limit_denominator(1001)


class StreamSpec(Struct, frozen=True, kw_only=True):
    """What a session is going to hand over."""

    session_id: str
    width: int
    """Pixels, even; 0 x 0 = sound only, and `video` is never called."""
    height: int
    fps: Fraction
    """Exactly; what is given is read by `frame_rate`."""
    rate: int = RATE
    """Hz of the PCM and of every `sample` position."""
    matrix: Literal["bt709", "bt601"] = "bt709"
    """Which RGB the pictures' Y, U and V stand for; limited range. What is encoded should be tagged with it."""
    preencoded: bool = False
    """Whether there are units for who wants them, at once or later."""
    avatar: str = ""
    """Name of the face, as `Session.avatar`; who draws it elsewhere may need it."""
    parameter_sets: bytes = b""
    """SPS and PPS of all of them, in Annex B with start codes of four bytes, for who has to say so before the first;
    none where units come later."""

    def __post_init__(self) -> None:
        structs.force_setattr(self, "fps", frame_rate(self.fps))


Wants = Literal["nothing", "pictures", "units", "both"]
"""What a publisher takes of a session's video."""
LOOKS: dict[str, int] = {
    "nothing": 0,
    "pictures": LOOK_PICTURES,
    "units": LOOK_UNITS,
    "both": LOOK_PICTURES | LOOK_UNITS,
}
"""The same for `_core.Performer.look`."""
WANTS: tuple[Wants, ...] = ("nothing", "pictures", "units", "both")
"""By those bits."""


class Unit(Struct, frozen=True, gc=False):
    """A picture as video that was encoded before: an access unit of H.264, constrained baseline, in Annex B."""

    data: bytes
    """Start codes of four bytes; SPS and PPS before an IDR picture."""
    sample: int
    """When it is to be shown, on the media clock."""
    key: bool
    """Whether it is an IDR picture. The others refer to the unit before, and to nothing else."""


CueKind = Literal["interrupt", "started", "finished", "underrun", "state", "expression", "gesture"]


class Cue(Struct, frozen=True, gc=False):
    """Something that happened in a session, for who draws the face elsewhere."""

    kind: CueKind
    value: str
    """Of "state", "expression" and "gesture" its name (`avatar.art` lists them); of the others the `event_id` of
    the utterance, "" where it has none."""
    sample: int
    """When, on the media clock. What is handed over of an earlier time comes before it, of a later time behind it."""


def no_key() -> None:
    """Nobody makes units."""


class Publisher(abc.ABC):
    """Where sound and pictures go. All calls come from one thread, the event loop's where there is one.

    `sample` and `frame.sample` count on one media clock at 48 kHz, without gaps in the audio. `audio`, `video`,
    `motion`, `cue` and `interrupt` must not block: a publisher that cannot keep up drops and counts. What one raises is
    counted and logged by the session, and the session goes on.

    Every publisher of this package derives from it. An object that merely has `open`, `audio`, `video` and `close`
    is taken as well (`as_publisher`).
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "audio" in cls.__dict__ and "audio_blocks" not in cls.__dict__:
            cls.audio_blocks = 1  # what the `audio` of a class above takes, its own may not

    audio_blocks: int = 1
    """Blocks of 10 ms that `audio` takes at a time, at most. Where it takes several, the session hands two over every
    20 ms, unless a picture is due or something is to be told: half the calls, and half of the loop's wake-ups."""
    takes_units: bool = False
    """Whether it may ever want units. Only for such a one a session has its avatar's video encoded before
    (`Session(preencoded=)`); without, every frame comes as a picture."""
    request_key: Callable[[], None] = staticmethod(no_key)
    """Set by the session before `open`: asks for an IDR picture, for who joins or has lost something. The next unit
    where there can be one is, in 8 frames at most. For the thread that all calls come from."""

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """Memory for the session to draw its pictures in, where this publisher has some: `slots` more than it holds on
        to. Called at most once, before `open`. None: the session draws where it likes."""
        return None

    @property
    def wants(self) -> Wants:
        """What it takes now, besides sound: "pictures", or "nothing" while nobody looks. A session asks every 10 ms or
        so, and makes no picture that nobody wants; its clock, sound, events and figures go on. The next picture comes
        a frame or so after it is wanted again.

        "units": a frame comes as `unit`, where it can be had as one, and else as `video`, for an encoder: so it is
        from the first one to the next that can be an IDR picture, and while the face does what was not encoded before
        (an expression, a gesture). The first unit behind a picture is an IDR picture. "both": every frame comes as
        `video`, and before it as `unit`, where it can."""
        return "pictures"

    @property
    def takes_motion(self) -> bool:
        """Whether it takes poses and cues now. Asked like `wants`, and apart from it: one that wants "nothing" and
        takes motion has the session draw no picture at all."""
        return False

    async def open(self, spec: StreamSpec) -> None:
        """Called once, before any sound or picture."""

    @abc.abstractmethod
    def audio(self, pcm: bytes, sample: int) -> None:
        """Takes 10 ms: 480 samples of PCM16 mono, the first of them at `sample`; or as many times that as it says in
        `audio_blocks`, at most."""

    @abc.abstractmethod
    def video(self, frame: Frame) -> None:
        """Takes a picture, to be shown when the clock is at `frame.sample`. Keep it no longer than needed: its memory
        is one of the session's few slots."""

    def unit(self, unit: Unit) -> None:
        """Takes a picture as encoded video, in the place of `video` or besides it. None may be left out without asking
        for a key: they refer to each other."""

    def motion(self, frame: Frame) -> None:
        """Takes the pose of a frame, drawn or not, before its picture: `frame.axes`, `.visemes`, `.loudness`, what
        speaks (`.utterance`), when (`.sample`) and how many interrupts it knows of (`.generation`); never one that is
        stale. There is one for each frame of the session's rate that was not late. To keep: `frame.posed(sample)`; the
        frame itself may be one of the session's few slots."""

    def cue(self, cue: Cue) -> None:
        """Takes what happened, in its place among sound and motion: an interrupt (behind `interrupt`), the beginning
        and the end of an utterance, an underrun, and what state, expression or gesture was set."""

    def interrupt(self) -> None:
        """The session has dropped its speech: what was handed over and has not left yet is stale, and must not be
        heard or seen any more, except for a fade of at most 5 ms. Of the next block the first 5 ms may be such a fade
        of the session's own, whatever follows in it is silence or new. A publisher that keeps nothing back, or that
        records what was played, has nothing to do."""

    def broken_off(self, error: BaseException) -> None:
        """The block in which the session was used has raised `error`, or was cancelled (CancelledError, as by a timeout
        or by Ctrl-C); `close` follows. What is kept until it is whole should not take the place of something older."""

    async def close(self) -> None:
        """Called once, after the last sound and picture, and not before `open` has returned; what was handed over is
        finished first where that makes sense."""


class PublisherLike(Protocol):
    """What a session takes besides a `Publisher`: any object with these methods, and those of `interrupt`, `memory`,
    `unit`, `motion`, `cue`, `broken_off`, `wants`, `takes_units` and `takes_motion` that it has. `open` and
    `close` may be plain functions, too."""

    def open(self, spec: StreamSpec) -> Any: ...
    def audio(self, pcm: bytes, sample: int) -> None: ...
    def video(self, frame: Frame) -> None: ...
    def close(self) -> Any: ...


class _Wrapped(Publisher):
    """An object of a user's own that has the methods of a Publisher."""

    _METHODS: tuple[tuple[str, int, bool], ...] = (
        ("open", 1, True),
        ("audio", 2, True),
        ("video", 1, True),
        ("close", 0, True),
        ("interrupt", 0, False),
        ("memory", 2, False),
        ("broken_off", 1, False),
        ("unit", 1, False),
        ("motion", 1, False),
        ("cue", 1, False),
    )
    """Name, number of arguments, whether it must be there."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.audio_blocks = getattr(of, "audio_blocks", 1)
        for name, count, needed in self._METHODS:
            method = getattr(of, name, None)
            if method is None and not needed:
                continue
            if isinstance(of, type):
                raise InvalidArgument(f"{of.__name__} is a class; give an object: {of.__name__}(...)")
            if not callable(method):
                raise InvalidArgument(
                    f"{of!r:.80} is no publisher: it has no method {name}(); derive it from lipwire.Publisher"
                )
            if not _takes(method, count):
                raise InvalidArgument(
                    f"{type(of).__name__}.{name}{inspect.signature(method)} cannot take the {count} argument(s) "
                    f"that lipwire.Publisher.{name}{inspect.signature(getattr(Publisher, name))} is given"
                )
            if name not in ("open", "close"):  # those may be plain functions
                setattr(self, name, method)

    @property
    def wants(self) -> Wants:
        found: Wants = getattr(self.of, "wants", "pictures")
        return found

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        return bool(getattr(self.of, "takes_units", False))

    @property
    def takes_motion(self) -> bool:
        """Where it does not say: if it has a method for it."""
        return bool(getattr(self.of, "takes_motion", hasattr(self.of, "motion")))

    @property
    def request_key(self) -> Callable[[], None]:
        return no_key

    @request_key.setter
    def request_key(self, request_key: Callable[[], None]) -> None:
        if self.takes_units:
            self.of.request_key = request_key

    async def open(self, spec: StreamSpec) -> None:
        await _settled(self.of.open(spec))

    def audio(self, pcm: bytes, sample: int) -> None:
        self.of.audio(pcm, sample)

    def video(self, frame: Frame) -> None:
        self.of.video(frame)

    async def close(self) -> None:
        await _settled(self.of.close())


async def _settled(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


def _takes(method: Callable[..., Any], count: int) -> bool:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # a function in C that does not say
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def as_publisher(publisher: Publisher | PublisherLike) -> Publisher:
    """The Publisher that `publisher` is, or that an object with the same methods stands for. `open`, `audio`, `video`
    and `close` must be there; `interrupt`, `memory`, `unit`, `motion`, `cue`, `broken_off`, `wants`, `takes_units` and
    `takes_motion` may. An object that `takes_units` is given the attribute `request_key`.

    Raises:
        InvalidArgument: a method is missing, does not take what it is given, or is `async` where nobody awaits it; the
        message names it.
    """
    whole = publisher if isinstance(publisher, Publisher) else _Wrapped(publisher)
    for name in ("memory", "audio", "video", "unit", "motion", "cue", "interrupt", "broken_off"):
        if inspect.iscoroutinefunction(getattr(whole, name)):
            raise InvalidArgument(
                f"{type(publisher).__name__}.{name} is async, and nobody awaits it: make it a plain function that does "
                "not block"
            )
    return whole
