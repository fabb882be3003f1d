"""One user's sound: when a turn of theirs runs, what was said in it, and whether that is whole.

    10 ms ──► Activity ──► Endpointer ──► started, stopped
                               ▲
    100 ms of silence ──► Judge ──► whole? ◄── the last word (`ending`), the melody (`prosody`)

Where a client gives `silence_duration_ms`, or has silence end turns (`end_of_speech` "vad"), that ends a turn, and
nobody is asked. Else, in each pause (with "semantic" 320 and 640 ms stand for 200 and 500):

| known of it                                       | it ends the turn after            |
|---------------------------------------------------|-----------------------------------|
| its text is empty, or one of a mere listener      | 200 ms, or when that is known     |
| its text ends with "and", "the", "um", a comma    | `max_wait_ms`                     |
| the model says that it is over                    | 200 ms, 250 where its text is late |
| the model says that it is not                     | `max_wait_ms`                     |
| there is no model, and the voice has fallen       | 200 ms, 250 where its text is late |
| nothing, or not in time                           | 500 ms                            |
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from ...errors import ModelFailed
from ...models.find import lacks, there
from ...models.table import known
from ...models.turn.silero import Silero
from ...protocol.agent_bodies import InUse
from ..config import EndOfTurn, TurnDetection
from ..in_use import Part, instead
from ..languages import names
from .activity import Activity, best
from .ending import OPEN, is_open
from .endpointing import Endpointer, TurnBoundary
from .judge import RULES, Asked, HostJudge, Judge
from .prosody import FALL, fall
from .vad import FRAME_MS, LATE

MAX_PADDING_MS = 5000
"""How much sound before a turn is kept, at most."""
ASK_MS = 100
"""Silence after which it is asked whether a turn is over: the answer takes a while, and most pauses in a sentence are
shorter."""
TEXT_MS = 250
"""Silence until which a turn that is over by its sound waits for its text: nothing can be answered without that."""
OVER = 0.25
"""How probable it is to be over, from which on it is. Smart Turn's own line is 0.5; people's whole sentences are over
it in 94 % of cases, and over this one in 97 (docs/agents/brains.md)."""
SMART_TURN = "ar bn da de en es fi fr hi id it ja ko mr nb nl pl pt ru tr uk vi zh"
"""The languages (ISO 639) that Smart Turn was made for."""
_SILERO = "silero-vad"
_JUDGED_MS = 8000
_EXTRA = 8

logger = logging.getLogger("lipwire.agents")


class TurnDetector:
    """Frames in, the boundaries of turns out; and the sound of a turn from `prefix_padding_ms` before it on.

    Args:
        language: of what is said (BCP 47).
        judge: says whether a turn is over; where it does not, the melody does.
        judged: False: silence ends a turn, and nobody is asked.
        activity: says whether somebody speaks.
    """

    def __init__(
        self,
        config: TurnDetection,
        *,
        language: str = "en-US",
        judge: Judge | None = None,
        judged: bool = True,
        activity: Activity | None = None,
    ) -> None:
        self._activity = activity or best()
        self._judge = judge
        self._judged = judged
        self.language = language
        self.endpointer = Endpointer(config, self._activity.sure)
        self._recent: deque[bytes] = deque(maxlen=max(MAX_PADDING_MS, _JUDGED_MS) // FRAME_MS + _EXTRA + 2 * LATE)
        self._onset = 0
        self._forget(0)

    def _forget(self, until: int) -> None:
        """A pause begins: nothing is known of it."""
        self._pause = until
        """The frame after the last voiced one before it."""
        self._asked: Asked | None = None
        self._has_asked = False
        self._over: float | None = None
        """How probable it is that the turn is over."""
        self._text: str | None = None
        self._listens = False
        """Whether the text says no more than that its user listens, or nothing."""
        self._text_comes = False

    def hear(self, pcm: bytes) -> TurnBoundary | None:
        """Takes 10 ms: PCM16 mono at 16 kHz. Returns the boundary that it shows, if any."""
        self._recent.append(pcm)
        event = self.endpointer.process(self._activity.process(pcm))
        if event is not None:
            self._begin_pause(self.endpointer.voiced_until)
            self._onset = event.frame
        elif self.endpointer.speaking:
            if self.endpointer.voiced_until != self._pause:
                self._begin_pause(self.endpointer.voiced_until)
            if self.judges and self.endpointer.silence_ms >= ASK_MS:
                self._judge_it()
        return event

    @property
    def judges(self) -> bool:
        """Whether what was said says when a turn ends, and not its silence alone."""
        config = self.endpointer.config
        return self._judged and config.judged and (config.end_of_speech == "auto" or self._is_known())

    def _is_known(self) -> bool:
        """Whether what is said in its language can be judged."""
        judges = self._judge is not None and self._judge.judges
        return any(name in OPEN or (judges and name in SMART_TURN.split()) for name in names(self.language))

    def begin(self) -> TurnBoundary | None:
        """A turn begins now, because somebody says so; None: one runs."""
        event = self.endpointer.begin()
        if event is not None:
            self._begin_pause(self.endpointer.voiced_until)
            self._onset = event.frame
        return event

    def expect_text(self) -> None:
        """What was said up to this pause is being understood, and comes soon."""
        self._text_comes = True

    def understood(self, text: str, *, backchannel: bool = False) -> None:
        """What was said up to this pause, all of it.

        Args:
            backchannel: it says no more than that its user listens: nothing follows that.
        """
        self._text, self._listens = text, backchannel or not text.strip()

    def _begin_pause(self, until: int) -> None:
        if self._asked is not None:
            self._asked.drop()
        self._forget(until)

    def _judge_it(self) -> None:
        if not self._has_asked:
            self._has_asked = True
            sound = b"".join(self.since(self._onset)[-_JUDGED_MS // FRAME_MS :])
            if self._judge is not None:
                self._asked = self._judge.ask(sound, partial(self._is_over, sound))
            if self._asked is None:
                self._is_over(sound, None)
        self.endpointer.whole = self._whole()

    def _is_over(self, sound: bytes, probability: float | None) -> None:
        if probability is None and (fallen := fall(sound)) is not None and fallen >= FALL:
            probability = 1.0
        self._over = probability

    def _whole(self) -> bool | None:
        if self._listens:
            return True
        if self._text is not None and is_open(self._text, self.language):
            return False
        if self._over is None or self._over < OVER:
            return None if self._over is None else False
        late = self._text_comes and self._text is None and self.endpointer.silence_ms < TEXT_MS
        return None if late else True

    def since(self, frame: int) -> list[bytes]:
        """The frames from `frame` less the padding on, as far as they are kept."""
        padding = min(max(self.endpointer.config.prefix_padding_ms, 0), MAX_PADDING_MS) // FRAME_MS
        count = self.endpointer.frames - frame + padding
        frames = list(self._recent)
        return frames[max(len(frames) - count, 0) :]


def told(by: EndOfTurn) -> str:
    """What tells turns on this machine, and in whose place, for people. Quick: nothing is loaded."""

    def usable(name: str) -> bool:
        model = known(name)
        return there(model) is not None and not lacks(model)

    speaks = "Silero" if usable("silero-vad") else "Lipwire's own voice activity, in place of Silero"
    rules = "the melody and the last word"
    ends = {"silence": "half a second of silence", "rules": rules, "auto": "Smart Turn and the last word"}[by]
    if by == "auto" and not usable("smart-turn"):
        ends = f"{rules}, in place of Smart Turn"
    return f"{speaks}; {ends}"


class TurnDetectors:
    """Makes the detectors of a brain, which share a judge. Usable before `open` and after `close`: there is none then.

    Args:
        language: of what is said (BCP 47).
        by: what tells that a turn is over.
    """

    def __init__(self, language: str, by: EndOfTurn = "rules") -> None:
        self.language = language
        self._judged = by != "silence"
        self._judge = HostJudge() if by == "auto" else None
        self._told = ""
        self._plain = RULES if self._judged else "silence"
        self._activity = InUse(name=_SILERO)
        self.on_fall: Callable[[Part, InUse], None] = lambda part, used: None
        """Called when something has taken another's place."""

    async def open(self) -> None:
        """Loads what they need, Smart Turn in the background: turns do not wait for it."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, Silero.shared)
        except ModelFailed as exc:  # `best` logs it
            self._activity = instead("Lipwire's own", _SILERO, str(exc))
            self.on_fall("activity", self._activity)
        if self._judge is not None:
            self._judge.on_fall = lambda used: self.on_fall("turns", used)
            self._judge.open()

    async def close(self) -> None:
        """Safe to call twice."""
        if self._judge is not None:
            await self._judge.close()

    def in_use(self) -> dict[Part, InUse]:
        """What tells turns, and in whose place."""
        turns = InUse(name=self._plain) if self._judge is None else self._judge.in_use
        return {"turns": turns, "activity": self._activity}

    def __call__(self, config: TurnDetection) -> TurnDetector:
        made = TurnDetector(config, language=self.language, judge=self._judge, judged=self._judged)
        if config.end_of_speech == "semantic" and not made.judges and self._told != self.language:
            self._told = self.language
            why = f"{self.language} cannot be judged here" if self._judged else "this server judges no turns"
            logger.warning("the end of speech is %d ms of silence and not semantic: %s", config.plain_ms, why)
        return made
