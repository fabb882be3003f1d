"""How the cascade hears: what users say becomes turns, and each turn becomes text, in the order in which they ended.

    sound -> TurnDetector -> UserTurn, Hearing -> UserText

What becomes of a turn then is the brain's.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

from ...protocol.agent_bodies import InUse
from ...protocol.transcript import AgentState
from ..beside import unwanted
from ..http import ServiceError
from ..in_use import Part, fell_back
from ..speech.backchannels import is_backchannel
from ..speech.endpointing import GAP_MS, TurnBoundary
from ..speech.offline_stt import OfflineStt
from ..speech.scripts import unspaced
from ..speech.stt import Hearing, HttpStt, Transcript
from ..speech.turn_detector import ASK_MS, TurnDetector, TurnDetectors
from ..speech.vad import FRAME_MS
from ..speech.vendors.socket_stt import SocketStt
from .base import Failed, Services, SpeechResumed, SpeechStarted, SpeechStopped, TimedWord, UserText
from .cascade_state import CascadeState
from .context import Place
from .speech_services import make_stt

MAX_USERS = 8
"""Whose sound is followed; the one not heard for longest is forgotten."""
GONE_SECONDS = 1.0
"""Without a frame from who speaks: the turn is over."""
SETTLE_MS = 12_000
"""Of a turn's sound, from which on our own recognizer does not hear again at the next pause what it has understood at
this one: it would for each of a long talker's, and others wait for it."""
SPECULATE_MS = 60
"""Silence before which nothing is transcribed ahead of the end of a turn."""


class UserTurn:
    """What a user is saying."""

    def __init__(self, user: str, detector: TurnDetector, pcm: list[bytes]) -> None:
        self.user = user
        self.detector = detector
        self.pcm = pcm
        self.item_id = f"item_{uuid.uuid4().hex[:16]}"
        self.hearing: Hearing
        self.result: asyncio.Task[Transcript] | None = None
        self.until = 0
        """The frame to which `result` reaches,"""
        self.asked = 0
        """and how many of `pcm` it has heard."""
        self._heard: list[tuple[Transcript, int]] = []
        """What was said before `pcm`, in parts, each with the ms at which it begins."""
        self._begins_ms = 0
        self.over = False
        self.aside = False
        """Whether it goes into what the agent says or thinks, and does not interrupt it by itself."""
        self.replaced: Place | None = None
        """Where its text belongs, if something that was asked meanwhile is answered in its place."""
        self.doubtful = False
        """Whether it goes into what the agent says, which is held until it is known what this is."""
        self.heard_at = time.monotonic()

    def settle(self) -> None:
        """What was understood up to the pause that is over stays, so that it is not heard anew at each one."""
        result = self.result
        if result is None or not result.done() or result.cancelled() or result.exception() is not None:
            return
        self._heard.append((result.result(), self._begins_ms))
        cut = max(self.asked - ASK_MS // (2 * FRAME_MS), 0)
        del self.pcm[:cut]
        self._begins_ms += cut * FRAME_MS

    def whole(self, last: Transcript) -> Transcript:
        """What was said in all, with the last part of it."""
        if not self._heard:
            return last
        parts = [*self._heard, (last, self._begins_ms)]
        texts = [part.text.strip() for part, _ in parts if part.text.strip()]
        between = "" if texts and unspaced(texts[0]) else " "
        words = (
            TimedWord(word.text, word.start_ms + at, word.duration_ms) for part, at in parts for word in part.words
        )
        return Transcript(between.join(texts), tuple(words))


class Unheard:
    """Speech that nobody is to understand; a `Hearing`."""

    def feed(self, pcm: bytes) -> None: ...

    async def finish(self) -> Transcript:
        return Transcript("")

    def drop(self) -> None: ...


class CascadeHearing:
    """Hears all users, of whom one speaks at a time.

    Args:
        understood: is called with each turn and its text, which have been told already.

    Raises:
        InvalidArgument, BadState: the speech to text cannot be had.
    """

    def __init__(self, state: CascadeState, services: Services, understood: Callable[[UserTurn, str], None]) -> None:
        self._state = state
        self._understood = understood
        self._stt = make_stt(state.config, services)
        self._make_detector = TurnDetectors(state.config.language, services.end_of_turn)
        self._detectors: dict[str, TurnDetector] = {}
        self.turn: UserTurn | None = None
        """What is being said."""
        self._not_understood: set[UserTurn] = set()
        """Turns that are over, and whose text is not known."""
        self._last_turn: asyncio.Task[None] | None = None
        """Takes the turn that ended last to its reply."""
        self._doubted = False
        self._agent: AgentState = "idle"
        """What the agent does."""

    async def open(self) -> None:
        emit = self._state.emit
        if isinstance(self._stt, OfflineStt):
            self._stt.on_fall = lambda used: emit(fell_back("ears", used))
        self._make_detector.on_fall = lambda part, used: emit(fell_back(part, used))
        await self._stt.open()
        await self._make_detector.open()

    def drop(self) -> None:
        """Nobody is to know what is being said."""
        if self.turn is not None:
            self.turn.hearing.drop()
            self.turn = None

    async def close(self) -> None:
        await self._make_detector.close()
        await self._stt.close()

    def in_use(self) -> dict[Part, InUse]:
        """What it hears and tells turns with; of a service, what that is asked for."""
        used = self._make_detector.in_use()
        if self._state.config.asr is not None:
            used["ears"] = InUse(name=self._state.config.asr.name)
        elif isinstance(self._stt, OfflineStt | HttpStt):
            used["ears"] = self._stt.in_use
        return used

    def update(self) -> None:
        """The settings have changed."""
        config = self._state.config
        self._make_detector.language = config.language
        for detector in self._detectors.values():
            detector.endpointer.config = config.turn_detection
            detector.language = config.language

    # ---- what comes in

    def hear(self, pcm: bytes, user: str) -> None:
        if not self._state.open:
            return
        turn = self.turn
        if turn is not None and turn.user != user:
            return  # one speaks at a time
        detector = self._detector(user)
        event = detector.hear(pcm)
        if turn is None:
            if event is not None and event.kind == "started":
                self._started(user, detector, event)
            return
        turn.pcm.append(pcm)
        turn.heard_at = time.monotonic()
        if event is not None:
            self._stopped(turn)
            return
        if detector.endpointer.resumed_ms > GAP_MS and not turn.aside:
            self._state.emit(SpeechResumed(detector.endpointer.resumed_ms))
        if turn.result is None:
            turn.hearing.feed(pcm)
            if self._may_be_over(detector):
                turn.until, turn.asked = detector.endpointer.voiced_until, len(turn.pcm)
                turn.result = self._state.spawn(turn.hearing.finish())
                detector.expect_text()
                turn.result.add_done_callback(lambda result: self._is_understood(turn, result))
        elif detector.endpointer.voiced_until > turn.until:  # the user goes on
            if len(turn.pcm) >= SETTLE_MS // FRAME_MS and isinstance(self._stt, OfflineStt):
                turn.settle()
            turn.result.cancel()
            turn.result = None
            self._listen(turn)

    def _detector(self, user: str) -> TurnDetector:
        detector = self._detectors.pop(user, None)
        if detector is None:
            detector = self._make_detector(self._state.config.turn_detection)
            detector.endpointer.agent_speaks = self._agent == "speaking"
        self._detectors[user] = detector  # the newest is last
        if len(self._detectors) > MAX_USERS:
            del self._detectors[next(iter(self._detectors))]
        return detector

    def agent_is(self, state: AgentState) -> None:
        self._agent = state
        for detector in self._detectors.values():
            detector.endpointer.agent_speaks = state == "speaking"

    def doubt(self, on: bool) -> None:
        self._doubted = on

    def begin(self, user: str) -> None:
        if not self._state.open:
            return
        self.commit()
        detector = self._detector(user)
        if (event := detector.begin()) is not None:
            self._started(user, detector, event)

    def commit(self) -> None:
        if self.turn is not None:
            self.turn.detector.endpointer.commit()
            self._stopped(self.turn)

    # ---- a turn, from its beginning to its text

    def _may_be_over(self, detector: TurnDetector) -> bool:
        """Whether a turn's text is wanted, on the chance that it ends now. One of our own recognizer's costs nobody
        anything; a service is asked when the turn is taken for whole."""
        config, endpointer = self._state.config.turn_detection, detector.endpointer
        soon = detector.judges and (endpointer.whole or not isinstance(self._stt, HttpStt | SocketStt))
        return config.ends_by_itself and endpointer.silence_ms >= (
            ASK_MS if soon else max(config.plain_ms / 2, SPECULATE_MS)
        )

    def _is_understood(self, turn: UserTurn, result: asyncio.Task[Transcript]) -> None:
        if result is turn.result and not turn.over and not result.cancelled() and result.exception() is None:
            text = turn.whole(result.result()).text
            turn.detector.understood(text, backchannel=self._doubted and self.is_backchannel(text))

    def _listen(self, turn: UserTurn) -> None:
        def partial(text: str) -> None:
            if not turn.over:
                self._state.emit(UserText(turn.item_id, turn.whole(Transcript(text)).text, False))

        unheard = turn.aside and unwanted(self._state.config.interruption)
        turn.hearing = Unheard() if unheard else self._stt.hear(partial)
        turn.hearing.feed(b"".join(turn.pcm))

    def _started(self, user: str, detector: TurnDetector, event: TurnBoundary) -> None:
        onset = time.monotonic_ns() - (detector.endpointer.frames - event.frame) * FRAME_MS * 1_000_000
        self.turn = turn = UserTurn(user, detector, detector.since(event.frame))
        how, detection = self._state.config.interruption, self._state.config.turn_detection
        turn.aside = not how.by_voice and self._agent in ("speaking", "thinking")
        self._listen(turn)
        if detection.start_of_speech != "manual" and detection.end_of_speech != "manual":
            self._state.spawn(self._watch(turn))
        self._state.emit(SpeechStarted(onset, turn.item_id, turn.aside))

    async def _watch(self, turn: UserTurn) -> None:
        """Who leaves in the middle of a turn sends no silence that would end it."""
        while not turn.over:
            gone = time.monotonic() - turn.heard_at
            limit = max(GONE_SECONDS, self._state.config.turn_detection.plain_ms / 1000)
            if gone >= limit:
                self.commit()
                return
            await asyncio.sleep(limit - gone + 0.01)

    def _stopped(self, turn: UserTurn) -> None:
        self.turn = None
        turn.over = True
        self._not_understood.add(turn)
        turn.doubtful = self._doubted
        if turn.result is None:
            turn.result = self._state.spawn(turn.hearing.finish())
        self._state.emit(SpeechStopped(time.monotonic_ns(), turn.item_id))
        self._last_turn = self._state.spawn(self._understand(turn, turn.result, self._last_turn))
        self._last_turn.add_done_callback(lambda _: self._not_understood.discard(turn))

    async def _understand(
        self, turn: UserTurn, result: asyncio.Task[Transcript], before: asyncio.Task[None] | None
    ) -> None:
        try:
            transcript = turn.whole(await result)
        except ServiceError as exc:
            if before is not None:
                await asyncio.wait([before])
            if turn.aside:  # nothing is due to it
                self._state.emit(UserText(turn.item_id, "", True))
            self._state.emit(Failed("STT_ERROR", str(exc), minor=turn.aside or turn.replaced is not None))
            return
        if before is not None:
            await asyncio.wait([before])
        text = transcript.text.strip()
        self._state.emit(UserText(turn.item_id, text, True, transcript.words))
        self._understood(turn, text)

    # ---- what the brain asks

    @property
    def goes_on(self) -> bool:
        """Whether a user is saying something that is answered when he has said it."""
        return self.turn is not None and not self.turn.aside

    def replace(self, place: Place) -> asyncio.Task[None] | None:
        """Something else is answered in the place of what users have said and is not understood yet, whose text belongs
        there. Returns what understands that."""
        for turn in self._not_understood:
            turn.replaced = turn.replaced or place
        return None if all(turn.aside for turn in self._not_understood) else self._last_turn

    def is_backchannel(self, text: str) -> bool:
        """Whether it says no more than that the user listens."""
        return is_backchannel(text, self._state.config.language, self._state.config.turn_detection.backchannels)
