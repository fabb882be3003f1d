"""One live session: speech in, sound and picture to a publisher, events back.

The native performer does the work; this file is policy: which utterance a chunk belongs to, what the client hears of
it, and what is measured.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
import warnings
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, get_args

from msgspec import Struct, structs

from .. import _core
from .._core import opus_parse
from ..audio.fade import FADE, fade_out
from ..audio.voice_decoder import VoiceDecoder
from ..avatar import DEFAULT
from ..avatar.art import EXPRESSIONS, GESTURES, STATES
from ..drawing.stage import FRAME_SLOTS, Event, Face, stage_for
from ..errors import BadState, BufferFull, InvalidArgument, LipwireError
from ..logs import sampled, several
from ..pools import pool
from ..protocol.messages import Egress, PlaybackFinished, PlaybackStarted, Underrun
from ..stream import (
    FASTEST,
    LOOKS,
    Cue,
    CueKind,
    FrameRate,
    Publisher,
    PublisherLike,
    StreamSpec,
    Unit,
    Wants,
    as_publisher,
    frame_rate,
    no_key,
)
from .preencoded import Preencoded, begin_atlas, check_preencoded, find_atlas, wait_for_atlas
from .runtime import Runtime
from .stages import Spoken, Stages

logger = sampled("lipwire.session")

SessionEvent = PlaybackStarted | PlaybackFinished | Underrun
MAX_UTTERANCES = 1024
"""That have begun and whose end has not been told; more are refused. The core alone has `_core.UTTERANCES`; what a
FrameSource delays waits here."""
PREBUFFER_MAX = 0.24
"""Seconds that the prebuffer grows to at most, unless a session says otherwise."""
VOICE_END_GRACE = 0.3
"""Seconds after `end` in which audio still belongs to the utterance, unless a session says otherwise."""

BATCH = 2
"""Blocks of sound that wait for each other where the publisher takes several at a time: what a tick has more than sound
goes out with that tick."""

_drawing = pool(1, "lipwire-draw")
"""Where avatars are drawn. It takes up to 2 s, and more than one of a kind would wait for each other: in the loop's own
executor the pictures of all viewers would wait behind them."""

_SAMPLES_A_MS = _core.RATE / 1000

_SPECIAL: dict[str, tuple[int, tuple[str, ...]]] = {
    "state": (_core.MOTION_STATE, STATES),
    "emotion": (_core.MOTION_EXPRESSION, EXPRESSIONS),
    "gesture": (_core.MOTION_GESTURE, GESTURES),
}

_SET: tuple[CueKind, ...] = ("state", "expression", "gesture")
"""What cues call those settings."""
_HAPPENED: dict[int, CueKind] = {
    _core.EVENT_STARTED: "started",
    _core.EVENT_FINISHED: "finished",
    _core.EVENT_UNDERRUN: "underrun",
}


def _fields(content: Any, session_id: str) -> dict[Any, Any]:
    """The members of a `special` message's content; none if it is no object."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            pass
    if isinstance(content, dict):
        return _action(content) if content.get("type") == "action" and "action" in content else content
    logger.warning("[%s] special: an object was expected, not %.60r", session_id, content)
    return {}


def _action(content: dict[Any, Any]) -> dict[Any, Any]:
    """`{"type": "action", "action": "wave"}`, as clients of other avatars send it: a gesture or an emotion of ours. An
    action that is neither stays as it is, for the application."""
    for key in ("gesture", "emotion"):
        if content["action"] in _SPECIAL[key][1]:
            return {key: content["action"]}
    return content


class Latency(Struct, kw_only=True):
    """From the first chunk of an utterance to the first picture of it with an open mouth, in ms, by stage."""

    buffer_ms: float
    """First chunk written -> its first sample in a block (prebuffer, tick)."""
    mouth_ms: float
    """That block -> the frame that shows it (silence before the first sound, smoothing, frame interval)."""
    handover_ms: float
    """That frame's tick -> the publisher has it (composition, wake-up)."""
    delay_ms: float = 0.0
    """What a FrameSource asks for; sound and picture wait alike."""
    decode_ms: float = 0.0
    """Before `buffer_ms`: that chunk comes in a wire encoding -> it is PCM."""

    @property
    def total_ms(self) -> float:
        return self.decode_ms + self.buffer_ms + self.mouth_ms + self.handover_ms + self.delay_ms

    def stages(self) -> dict[str, float]:
        """Seconds by stage, and `total`."""
        seconds = {name.removesuffix("_ms"): getattr(self, name) / 1000 for name in self.__struct_fields__}
        return seconds | {"total": self.total_ms / 1000}


class _Utterance(Struct):
    event_id: str | None
    written_ns: int
    spoken: Spoken
    """What is known of its way."""
    started_at: int = -1
    """Media clock of its first sample."""
    mouth_seen: bool = False


class _Cut(Struct):
    """The newest interrupt, and what it makes of what the engine had made before and nobody had taken yet: as a rule
    nothing, after a stall of the event loop as much as that was long."""

    generation: int = 0
    utterance: int = 0
    """The newest that it covers."""
    at: int = 0
    """Media clock up to which sound had been handed over."""
    heard: int = 0
    """The utterance that was playing there,"""
    played: int = 0
    """and how many samples of it had been."""
    fading: bool = False
    """The block handed over last was stale; the fade that the engine makes of it is not to be heard a second time."""

    def sound(self, pcm: bytes, heeded: int, utterance: int) -> bytes:
        """The block to hand over: of what is stale nothing but a fade of 5 ms. `heeded` and `utterance`: of the
        performer, when the block was made."""
        if heeded < self.generation:
            pcm, self.fading = (bytes(len(pcm)) if self.fading else fade_out(pcm)), True
        elif self.fading:
            # Behind a fade of its own the engine leaves the block silent: it is that, or new from its first sample.
            pcm, self.fading = (pcm if utterance > self.utterance else bytes(len(pcm))), False
        return pcm

    def position(self, utterance: int, sample: int, played: int) -> tuple[bool, int]:
        """(whether that is cut off, samples heard) of an utterance of which `played` would be over at `sample`."""
        if utterance > self.utterance or sample <= self.at:
            return False, played
        return True, min(played, self.played + FADE) if utterance == self.heard else 0


SIZE = (640, 360)
"""Width and height of a picture, where nobody says otherwise."""


class Session:
    """One avatar that speaks.

    Use it as an async context manager, or call `start` and `close`. Every method belongs to the event loop's thread.

        async with lipwire.Session(lipwire.publish.File("out.mp4")) as session:
            session.write(pcm, rate=24000)
            session.end()
            await session.finished()

    Args:
        publisher: where sound and picture go: a Publisher, or an object with its four methods.
        avatar: what draws: an Avatar or its name, a Renderer, a hook, or a FrameSource; None = sound only.
        width, height: pixels, even (without an avatar 0). fps: frames a second, 1..100: 25,
            29.97 (which is 30000/1001), "30000/1001" or a Fraction.
        on_event: called with each PlaybackStarted, PlaybackFinished and Underrun.
        on_special: called with what a `special` message has beyond gestures, emotions and states: a dict.
        voice_end_grace: seconds after `end` in which audio still belongs to the utterance.
        voice_end_timeout: an utterance without `end` finishes this long after its audio ran dry.
        prebuffer: seconds of speech that must be there before an utterance starts.
        prebuffer_max: seconds that the prebuffer grows to where speech that comes as it is said runs dry: by as much as
            was missing. It shrinks again, by half of that for every 30 s without.
        catch_up: where such speech is late, shorten its pauses, to 100 ms at least and by half at most, until it no
            longer is. Speech that comes faster than it is said keeps every pause.
        capacity: seconds of speech that may wait; more is refused with BufferFull.
        seed: of blinks and idle life; None = by session id.
        clock: says when speech came: a monotonic one, in ns.
        size: (width, height) of the picture in pixels, even, as `render` takes it. `width` and `height` apart are the
            way of 0.3, and are taken for one release more.
        preencoded: whether a publisher that takes encoded video is handed the avatar's own, which was encoded before
            (docs/preencode.md), and nothing is encoded: "auto": where it has been made for this size and rate; "on":
            it is made by `start`, which takes a minute or so, where it has not; "off".
        egress: what the publisher is handed of the face: "video", pictures; "motion", poses and cues, and no picture is
            made; "both": whatever it takes.
    """

    def __init__(
        self,
        publisher: Publisher | PublisherLike,
        *,
        avatar: Face | None = DEFAULT,
        width: int = 640,
        height: int = 360,
        fps: FrameRate = 25,
        session_id: str | None = None,
        on_event: Callable[[SessionEvent], None] | None = None,
        on_special: Callable[[dict[Any, Any]], None] | None = None,
        voice_end_grace: float = VOICE_END_GRACE,
        voice_end_timeout: float = _core.DRY_TIMEOUT,
        prebuffer: float = _core.PREBUFFER,
        prebuffer_max: float = PREBUFFER_MAX,
        catch_up: bool = True,
        capacity: float = _core.CAPACITY,
        seed: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        size: tuple[int, int] | None = None,
        preencoded: Preencoded = "auto",
        egress: Egress = "both",
    ) -> None:
        if size is not None:
            width, height = size
        elif (width, height) != SIZE:
            warnings.warn("Session(width=, height=) is now Session(size=(width, height))", DeprecationWarning, 2)
        check_preencoded(preencoded)
        if egress not in get_args(Egress):
            raise InvalidArgument(f"egress is one of {', '.join(get_args(Egress))}, not {egress!r:.40}")
        self.id = session_id or str(uuid.uuid4())
        self._given = publisher
        self._out: Publisher = as_publisher(publisher)
        self.fps = frame_rate(fps)
        """Exactly."""
        self._stage = stage_for(avatar, StreamSpec(session_id=self.id, width=width, height=height, fps=self.fps))
        self.width, self.height = self._stage.spec.width, self._stage.spec.height
        self.avatar = self._stage.name
        """Name of what draws."""
        self.on_event = on_event
        self.on_special = on_special
        self.latency: Latency | None = None
        """Of the newest utterance that has been seen to speak,"""
        self.stages = Stages()
        """and of all."""
        self.begins_atlas = False
        """Whether video that could be encoded before, and has not been, is in the background: for sessions to come."""
        self.waits_for_atlas = True
        """Whether `start` waits where preencoded='on' has it made. If not, pictures come until it is there."""
        self.on_spoken: Callable[[Spoken], None] | None = None
        """Called with each utterance that is over."""
        self.max_skew_ms = 0.0
        self._options = {
            "prebuffer": prebuffer,
            "prebuffer_max": prebuffer_max,
            "catch_up": catch_up,
            "dry_timeout": voice_end_timeout,
            "capacity": capacity,
        }
        self._clock = clock
        self._seed = uuid.uuid5(uuid.NAMESPACE_OID, self.id).int & 0xFFFFFFFF if seed is None else seed
        self._grace = voice_end_grace
        self._decoder = VoiceDecoder()
        self._utterances: dict[int, _Utterance] = {}
        self._ended: str | None = None
        """Id of the utterance whose grace may still run, where ids name utterances."""
        self._audio_at = -_core.BLOCK
        """Media clock of the newest block that was handed over,"""
        self._heard = 0, 0
        """and as Performer.heard, how much of which utterance had been heard at its end."""
        self._cut = _Cut()
        self._blocks = 1
        """Blocks of sound that are handed over at a time, at most."""
        self._skew_ms = 0.0
        self._rate = _RateMeter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._runtime: Runtime | None = None
        self._adopting: asyncio.Task[None] | None = None
        """Waits for video that is being encoded."""
        self._wants: Wants = "pictures"
        self._moves = False
        """Whether the publisher takes motion."""
        self._preencoded: Preencoded = preencoded
        self._egress: Egress = egress
        self.failures: Counter[str] = Counter()
        """Exceptions of publisher and callbacks, by kind: audio, video, unit, motion, cue, interrupt, broken_off,
        wants, event, special."""
        self.performer: _core.Performer = None  # type: ignore[assignment]

    @property
    def publisher(self) -> Any:
        """Where sound and pictures go, as it was given. Another one can take its place until `start`.

        Raises:
            InvalidArgument: it is no publisher. BadState: the session has been started.
        """
        return self._given

    @publisher.setter
    def publisher(self, publisher: Publisher | PublisherLike) -> None:
        if self.performer is not None:
            raise BadState("the session has been started: its publisher stays; publish.Tee is made of several")
        self._out = as_publisher(publisher)
        self._given = publisher

    # -------------------------------------------------------------------------------------------------------- life

    async def start(self) -> Self:
        """Draws the avatar, opens the publisher and starts the clock.

        Raises:
            InvalidArgument: frame size or rate is out of range.
        """
        if self.performer is not None:
            raise BadState("the session has been started")
        await asyncio.get_running_loop().run_in_executor(_drawing, self._stage.prepare)
        atlas = await self._find_atlas()
        self._blocks = min(self._out.audio_blocks, self._stage.blocks)
        options: dict[str, Any] = dict(self._options, atlas=atlas, batch=min(self._blocks, BATCH))
        if self.width:
            options["memory"] = self._out.memory(self._stage.spec, FRAME_SLOTS)
        self.performer = self._stage.performer(frame_slots=FRAME_SLOTS, seed=self._seed, **options)
        comes_later = atlas is None and self._preencoded == "on" and self._egress != "motion"
        if comes_later:
            self._stage.spec = structs.replace(self._stage.spec, preencoded=True)
        self._stage.open(self._show, asyncio.get_running_loop())
        try:
            if self._out.takes_units:
                self._out.request_key = self.performer.request_key
            await self._out.open(structs.replace(self._stage.spec, avatar=self.avatar or ""))
            self._heed_wants()
            runtime = self._find_runtime()
            try:
                runtime.attach(self)
            except BaseException:
                await self._out.close()
                raise
        except BaseException:
            await asyncio.to_thread(self._stage.close)
            self._forget()
            raise
        self._runtime = runtime
        if comes_later:
            self._adopting = asyncio.create_task(self._adopt(), name="lipwire-session-atlas")
        if self.begins_atlas and self._preencoded == "auto" and self._egress != "motion" and atlas is None:
            begin_atlas(self._stage, self._out.takes_units)
        return self

    async def _find_atlas(self) -> _core.Atlas | None:
        mode, taken = self._preencoded, self._out.takes_units
        if self._egress == "motion":
            return None
        if not taken and mode != "on":
            return None
        # Not behind those that are being made: what is there is had at once.
        atlas = await asyncio.get_running_loop().run_in_executor(_drawing, find_atlas, mode, self._stage, taken)
        waits = atlas is None and mode == "on" and self.waits_for_atlas
        return await wait_for_atlas(self._stage) if waits else atlas

    async def _adopt(self) -> None:
        """Has the avatar's video encoded, and takes it from then on."""
        try:
            self.performer.adopt(await wait_for_atlas(self._stage))
        except Exception as exc:  # the edge of the task: the session goes on as it is
            logger.warning("[%s] %s is not pre-encoded, an encoder goes on: %s", self.id, self.avatar, exc)

    def _find_runtime(self) -> Runtime:
        """What keeps its clock."""
        return Runtime.current()

    async def close(self) -> None:
        """Stops the clock and closes the publisher. What has not been heard to its end counts as interrupted. Safe to
        call twice."""
        runtime, self._runtime = self._runtime, None
        if self._adopting is not None:
            self._adopting.cancel()
        if runtime is not None:
            try:
                await runtime.detach(self)
                self._cut_off()
                await asyncio.to_thread(self._stage.close)
            finally:
                self._idle.set()
                try:
                    await self._out.close()
                finally:
                    self._forget()
            for what, count in self.failures.items():
                logger.warning("[%s] %s failed %d times in all", self.id, what, count)

    def _forget(self) -> None:
        """Who listens has this session, as a rule: a circle of the two would keep it, and its rings, until Python
        looks for garbage. A publisher may live on, and has the performer."""
        self.on_event = self.on_special = self.on_spoken = None
        if self._out.takes_units:
            self._out.request_key = no_key

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if exc is not None:  # a timeout's or a sibling task's cancelling cannot be told from one that is meant
                self._hand_over("broken_off", self._out.broken_off, exc)
        finally:
            await self.close()

    # ------------------------------------------------------------------------------------------------------ speech

    def write(self, pcm: Any, rate: int, event_id: str | None = None) -> None:
        """Queues speech: PCM16 mono (any bytes-like) at 8000..48000 Hz, any length, faster than real time or not.

        Each utterance is told of by one PlaybackFinished with the `event_id` of its first chunk, and before it by one
        PlaybackStarted, unless it was interrupted before anything of it was heard.

        Raises:
            InvalidArgument: odd bytes or unsupported rate. BufferFull: no room, or 256 utterances wait; nothing was
            taken. BadState: the session is not running.
        """
        self._check_running()
        self._write(pcm, rate, event_id)

    def _write(self, pcm: Any, rate: int, event_id: str | None, came_ns: int | None = None) -> None:
        now = self._clock()
        # Where ids name utterances, a new id is a new utterance even within the grace of the one before.
        fresh = self._ended is not None and event_id not in (None, self._ended)
        if len(self._utterances) >= MAX_UTTERANCES and (fresh or self.performer.writing not in self._utterances):
            raise BufferFull(f"{MAX_UTTERANCES} utterances wait to be heard to their end")
        self.performer.write(pcm, rate, now, fresh)
        if fresh:
            self._ended = None
        utterance = self.performer.utterance
        if utterance not in self._utterances and memoryview(pcm).nbytes:
            self._utterances[utterance] = _Utterance(event_id, now, Spoken(came_ns=came_ns or now, written_ns=now))
            self._ended = None
            self._idle.clear()

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None = None) -> None:
        """Queues speech in a wire encoding: PCM16, PCM8 or one Opus packet. Raises as `write`, and BadData."""
        self._check_running()
        came_ns = self._clock()
        if encoding == "OPUS":
            self.performer.check_room(opus_parse(payload).samples / _core.RATE)  # before it costs a decoding
        pcm, rate = self._decoder.decode(payload, encoding, sample_rate)
        self._write(pcm, rate, event_id, came_ns)

    def end(self, event_id: str | None = None) -> None:
        """The utterance is complete, but for audio within the grace window."""
        self._check_running()
        current = self._utterances.get(self.performer.utterance)
        self.performer.end(self._grace)
        if current is not None and event_id is not None and event_id == current.event_id:
            self._ended = event_id

    def interrupt(self, event_id: str | None = None) -> None:
        """Stops speaking within one tick (10 ms), with a 5 ms fade, and drops all that is queued."""
        self._check_running()
        cut = self._cut
        if self.performer.heeded >= cut.generation:
            at, (number, played) = self._audio_at + _core.BLOCK, self._heard
        else:  # nothing of what was made behind that one has been heard
            at, number, played = cut.at, cut.heard, cut.played
        self._cut = _Cut(
            generation=self.performer.interrupt(),
            utterance=self.performer.utterance,
            at=at,
            heard=number,
            played=played,
            fading=cut.fading,
        )
        self._hand_over("interrupt", self._out.interrupt)
        self._cue("interrupt", self.heard[0] or event_id, at)
        self._decoder.reset()
        self._ended = None
        events = self._stage.interrupt(self.performer.utterance)
        if events and self._moves:
            self._hand_over_cues(self._cues_of(events), None)
        for event in events:
            self._tell(*event)

    def special(self, content: Any, event_id: str | None = None) -> None:
        """A `special` message: an object, or a JSON string of one, with any of `gesture`, `emotion` and `state`
        (`avatar.art` lists the names). Acts on the next frame. Other members go to `on_special`; what nobody knows is
        logged."""
        self._check_running()
        others: dict[Any, Any] = {}
        unknown: list[Any] = []
        for key, name in _fields(content, self.id).items():
            setting, names = _SPECIAL.get(key, (0, ()))
            if isinstance(name, str) and name in names:
                self.performer.set(setting, names.index(name))
                self._cue(_SET[setting], name, self._audio_at + _core.BLOCK + self._stage.delay)
            elif names:
                logger.warning("[%s] special: no %s %.60r; there are: %s", self.id, key, name, ", ".join(names))
            elif self.on_special is not None:
                others[key] = name
            else:
                unknown.append(key)
        if unknown:
            known, verb = ", ".join(_SPECIAL), "is" if len(unknown) == 1 else "are"
            logger.info("[%s] special: %s %s not acted on; what is: %s", self.id, several(unknown), verb, known)
        if others and self.on_special is not None:
            self._hand_over("special", self.on_special, others)

    async def finished(self) -> None:
        """Waits until nothing is playing or queued."""
        await self._idle.wait()

    @property
    def space(self) -> float:
        """Seconds of speech that can be queued now."""
        return self.performer.space

    def check_room(self, seconds: float) -> None:
        """Raises BufferFull: so much speech does not fit now."""
        self.performer.check_room(seconds)

    @property
    def generation(self) -> int:
        """How many interrupts there were."""
        return self.performer.stats()["generation"]

    @property
    def heard(self) -> tuple[str | None, float]:
        """How far speech has been heard: (event_id, ms) of the utterance that the newest block handed over speaks; an
        underrun's silence is not counted. (None, 0.0) when none plays."""
        number, played = self._heard
        utterance = self._utterances.get(number)
        if utterance is None:
            return None, 0.0
        return utterance.event_id, played / (_core.RATE / 1000)

    def _check_running(self) -> None:
        if self._runtime is None:
            raise BadState("the session is not running")

    # ------------------------------------------------------------------------------------------------------ output

    def drain(self) -> None:
        """Called by the runtime: hands over everything the engine has made since the last time, in clock order, so
        that sound and picture stay together even when the loop comes late."""
        performer, stage = self.performer, self._stage
        self._heed_wants()
        performer.give_back()
        # Behind an interrupt block by block: the first that knows of it is told from those behind it.
        settled = not self._cut.fading and performer.heeded >= self._cut.generation
        events, items = performer.drain(self._blocks if settled else 1)
        for event in events:
            if event[0] == _core.EVENT_STARTED and (utterance := self._utterances.get(event[2])) is not None:
                utterance.started_at = event[3]
        if events or stage.delays:
            events = stage.events(events)
        cues = self._cues_of(events) if events and self._moves else None
        for item in items:
            if cues:
                self._hand_over_cues(cues, item.sample if isinstance(item, _core.Frame) else item[1])
            if isinstance(item, _core.Frame):
                self._frame(item)
            else:
                self._sound(*item)
        if cues:
            self._hand_over_cues(cues, None)
        for event in events:
            self._tell(*event)

    def _cues_of(self, events: list[Event]) -> deque[Cue]:
        """In the clock's order, as they are."""
        cues: deque[Cue] = deque()
        for kind, _, number, sample, _ in events:
            if (happened := _HAPPENED.get(kind)) is not None:
                utterance = self._utterances.get(number)
                cues.append(Cue(happened, (utterance and utterance.event_id) or "", sample))
        return cues

    def _hand_over_cues(self, cues: deque[Cue], until: int | None) -> None:
        while cues and (until is None or cues[0].sample <= until):
            self._hand_over("cue", self._out.cue, cues.popleft())

    def _cue(self, kind: CueKind, value: str | None, sample: int) -> None:
        """What a caller did."""
        if self._moves:
            self._hand_over("cue", self._out.cue, Cue(kind, value or "", sample))

    def _frame(self, frame: _core.Frame) -> None:
        current = self._cut.generation
        if self._moves:
            for pose in self._stage.poses(frame) if self._stage.delay else (frame,):
                if pose.generation >= current:
                    try:  # as in `_sound`
                        self._out.motion(pose)
                    except Exception:
                        self._failed("motion")
        if frame.drawn or frame.stitched:
            self._stage.frame(frame)
        elif frame.generation >= current:
            self._measure(frame)

    def _sound(self, pcm: bytes, sample: int, heeded: int, utterance: int, played: int) -> None:
        self._audio_at = sample + len(pcm) // 2 - _core.BLOCK
        stage, cut = self._stage, self._cut
        newest = utterance, played
        if stage.delays:
            newest = stage.heard(newest)
        if heeded >= cut.generation:
            self._heard = newest
        if heeded < cut.generation or cut.fading:
            pcm = cut.sound(pcm, heeded, utterance)
        if stage.delays:
            pcm = stage.sound(pcm, sample)
        try:  # as `_hand_over`, without its call: 50 times a second in each session
            self._out.audio(pcm, sample)
        except Exception:
            self._failed("audio")

    def _heed_wants(self) -> None:
        """What the publisher wants may have changed."""
        try:
            wants = "nothing" if self._egress == "motion" else self._out.wants
            moves = self._egress != "video" and self._out.takes_motion
            if wants == self._wants and moves == self._moves:
                return
            self._wants, self._moves = wants, moves
            if wants not in LOOKS:
                raise InvalidArgument(f"a publisher's `wants` is one of {', '.join(LOOKS)}, not {wants!r:.40}")
            self.performer.look(self._stage.looks(LOOKS[wants] | (_core.LOOK_POSES if moves else 0)))
        except Exception:  # the edge, as in `_hand_over`
            self._failed("wants")

    def _cut_off(self) -> None:
        """The clock has stopped: tells the end of all that has not come to it."""
        number, played = self._heard
        for utterance, known in tuple(self._utterances.items()):
            heard = played if utterance == number else 0
            self._cue("finished", known.event_id, self._audio_at + _core.BLOCK)
            self._tell(_core.EVENT_FINISHED, 1, utterance, self._audio_at + _core.BLOCK, heard)

    def _show(self, frame: _core.Frame) -> None:
        stale = frame.generation < self._cut.generation
        if frame.stitched:
            self._show_unit(frame, stale)
        if not stale:
            if frame.drawn and self._wants != "nothing":
                self._hand_over("video", self._out.video, frame)
            self._measure(frame)

    def _show_unit(self, frame: _core.Frame, stale: bool) -> None:
        """Units refer to each other, so that one that is stale is not left out: it shows the mouth of the one
        before."""
        try:
            data, key = self.performer.unit(frame, stale)
        except LipwireError:  # the edge: pictures follow, and then a new beginning
            self._failed("unit")
        else:
            self._hand_over("unit", self._out.unit, Unit(data, frame.sample, key))

    def _hand_over(self, what: str, take: Callable[..., None], *args: Any) -> None:
        try:
            take(*args)
        except Exception:  # the edge: one session's publisher must not stop the others' clocks, or its own events
            self._failed(what)

    def _failed(self, what: str) -> None:
        self.failures[what] += 1
        if self.failures[what] == 1:
            logger.exception("[%s] handing over failed: %s", self.id, what)

    def _measure(self, frame: _core.Frame) -> None:
        skew = self._skew_ms = (frame.sample - self._audio_at) / _SAMPLES_A_MS
        if abs(skew) > self.max_skew_ms:
            self.max_skew_ms = abs(skew)
        self._rate.add(time.monotonic_ns())
        if frame.mouth_open:
            self._note_mouth(frame.utterance, frame.sample, frame.due_ns)

    def _note_mouth(self, number: int, sample: int, due_ns: int) -> None:
        """An utterance's mouth is open at `sample`, in the tick that was due at `due_ns`."""
        utterance = self._utterances.get(number)
        if utterance is not None and not utterance.mouth_seen:
            now = time.monotonic_ns()
            utterance.mouth_seen = True
            started_ns = due_ns - (sample - utterance.started_at) * 1_000_000_000 // _core.RATE
            spoken = utterance.spoken
            self.latency = Latency(
                decode_ms=(utterance.written_ns - spoken.came_ns) / 1e6,
                buffer_ms=(started_ns - utterance.written_ns) / 1e6,
                mouth_ms=(due_ns - started_ns) / 1e6,
                handover_ms=(now - due_ns) / 1e6,
                delay_ms=self._stage.delay / (_core.RATE / 1000),
            )
            spoken.started_ns, spoken.mouth_ns, spoken.shown_ns = started_ns, due_ns, now
            spoken.stages = self.latency.stages()
            self.stages.add(spoken.stages)

    def _tell(self, kind: int, value: int, number: int, sample: int, played: int) -> None:
        if kind == _core.EVENT_MOUTH:
            if value:  # nobody looks: no frame is going to say it
                self._note_mouth(number, sample, played)
            return
        utterance = self._utterances.get(number)
        event_id = utterance.event_id if utterance is not None else None
        cut, played = self._cut.position(number, sample, played)
        position_ms = round(played / (_core.RATE / 1000), 1)
        event: SessionEvent
        if kind == _core.EVENT_STARTED:
            event = PlaybackStarted(event_id)
        elif kind == _core.EVENT_FINISHED:
            event = PlaybackFinished(event_id, position_ms, cut or bool(value))
            self._utterances.pop(number, None)
            if utterance is not None and self.on_spoken is not None:
                utterance.spoken.end(self.id, event, time.monotonic_ns())
                if played:
                    utterance.spoken.span = (utterance.started_at, sample)
                self._hand_over("spoken", self.on_spoken, utterance.spoken)
            if not self._utterances:
                self._idle.set()
        else:
            event = Underrun(position_ms, round(value / (_core.RATE / 1000), 1))
            if utterance is not None:
                utterance.spoken.underruns += 1
        if self.on_event is not None:
            self._hand_over("event", self.on_event, event)

    # ----------------------------------------------------------------------------------------------------- figures

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: counters of the performer, and

        `talking`, `state` ("idle" or "speaking"), `fps` (of the last seconds), `skew_ms` (picture against sound at
        hand-over; `max_skew_ms` the worst), `latency_ms` and its `latency` by stage (of the newest utterance), `stages`
        (how that is spread: of each stage `count`, and of the newest 100 utterances `p50_ms`, `p95_ms` and `max_ms`),
        `buffered_ms`, `prebuffer_ms` (as it has grown), `caught_up_ms` (silence left out of late speech),
        `clock_s`, `frames_unseen` (not drawn, since nobody looked), `frames_undrawn` (their pose or unit alone was
        wanted), `late` (not drawn: skipped, or dropped because
        nobody took those before, which
        `frames_dropped` counts alone), `drawing` (of a Renderer, hook or
        FrameSource: its name, and how it does; None for an avatar), `failures` (exceptions of the publisher and of
        callbacks, by kind).
        """
        if self.performer is None:
            raise BadState("the session has not been started")
        counters = self.performer.stats()
        latency = self.latency
        return {
            "session_id": self.id,
            "state": "speaking" if counters["active"] else "idle",
            "talking": bool(counters["active"]),
            "width": self.width,
            "height": self.height,
            "fps": round(self._rate.rate(time.monotonic_ns()), 1),
            "skew_ms": round(self._skew_ms, 2),
            "max_skew_ms": round(self.max_skew_ms, 2),
            "latency_ms": None if latency is None else round(latency.total_ms, 1),
            "latency": None
            if latency is None
            else {name: round(getattr(latency, name), 1) for name in latency.__struct_fields__},
            "stages": self.stages.figures(),
            "buffered_ms": round(counters["buffered"] / (_core.RATE / 1000)),
            "prebuffer_ms": round(counters["prebuffer"] / (_core.RATE / 1000)),
            "caught_up_ms": round(counters["caught_up"] / (_core.RATE / 1000)),
            "clock_s": counters["clock"] / _core.RATE,
            "frames": counters["frames"],
            "frames_unchanged": counters["frames_unchanged"],
            "frames_unseen": counters["frames_unseen"],
            "frames_undrawn": counters["frames_undrawn"],
            "late": counters["frames_skipped"] + counters["frames_dropped"],
            "frames_dropped": counters["frames_dropped"],
            "underruns": counters["underruns"],
            "utterances": counters["utterances"],
            "interrupts": counters["generation"],
            "pcm_dropped": counters["pcm_dropped"],
            "native_bytes": counters["bytes"],
            "drawing": self._stage.stats(),
            "failures": dict(self.failures),
        }


class _RateMeter:
    """Frames a second over the last two seconds."""

    SPAN_NS = 2_000_000_000

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=self.SPAN_NS * FASTEST // 1_000_000_000)
        self.add = self._times.append

    def rate(self, now: int) -> float:
        recent = [t for t in self._times if t >= now - self.SPAN_NS]
        if len(recent) < 2 or recent[-1] == recent[0]:
            return 0.0
        return (len(recent) - 1) * 1e9 / (recent[-1] - recent[0])
