"""What hears in the process of models.

Utterances share one thread. What is over comes first, in the order in which it ended; then what has grown so long that
a part of it has to be heard now; then texts so far, of the utterance that has waited longest. Those are left out where
there is no time: nothing waits for its turn, and what was heard next replaces it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ...errors import InvalidArgument, ModelFailed
from .. import engine as base
from ..find import find
from ..wire import Answer, Finish, Heard, Listen, Message, Partial, Request, Sound16
from . import ENGLISH, default_model
from .mel import RATE
from .whisper import LONGEST, Whisper, joined, piece

PARTIAL_EVERY = 0.5
"""Seconds of sound between two texts of an utterance that goes on, and before the first."""
PARTIAL_SHARE = 0.5
"""Of the thread's time that texts of utterances that go on may take."""
MOST_SECONDS = 600.0
"""That an utterance may last."""
MOST_MODELS = 3
"""That stay loaded; the one that was not used for longest goes."""


@dataclass
class _Utterance:
    listen: Listen
    answer: Callable[[Answer], None]
    whisper: Whisper
    pcm: bytearray = field(default_factory=bytearray)
    """Sound that is not in `parts`."""
    taken: int = 0
    """Bytes that are."""
    parts: list[tuple[Heard, float]] = field(default_factory=list)
    ended: int | None = None
    """Its place among those that are over."""
    looked: int = 0
    """Bytes of `pcm` that were heard for the last text."""
    text: str = ""
    """That was told last."""

    @property
    def fresh(self) -> float:
        """Seconds since the last text."""
        return (len(self.pcm) - self.looked) / (2 * RATE)


class Engine(base.Engine):
    """Whisper models, loaded when they are wanted first.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        loading: Callable[[str], AbstractContextManager[None]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(*([loading] if loading is not None else []))
        self._clock = clock
        self._models: dict[str, Whisper] = {}
        self._jobs: dict[int, _Utterance] = {}
        self._ends = itertools.count()
        self._rest_until = 0.0
        """Before that there is no text of what goes on."""

    def warm(self, what: str) -> None:
        whisper = self._whisper(what or ENGLISH)
        language = whisper.languages[0]
        whisper.transcribe(bytes(range(256)) * 100, language, words=False, partial=True)

    def open(self, job: int, request: Request, answer: Callable[[Answer], None]) -> None:
        assert isinstance(request, Listen)
        whisper = self._whisper(request.model or default_model(request.language))
        try:
            whisper.language(request.language)
        except InvalidArgument as exc:
            raise ModelFailed(str(exc)) from exc
        self._jobs[job] = _Utterance(request, answer, whisper)

    def take(self, job: int, message: Message) -> None:
        utterance = self._jobs[job]
        if isinstance(message, Finish):
            utterance.ended = next(self._ends)
        elif isinstance(message, Sound16) and utterance.ended is None:
            utterance.pcm += message.pcm
            if utterance.taken + len(utterance.pcm) > MOST_SECONDS * RATE * 2:
                raise ModelFailed(f"an utterance lasts {MOST_SECONDS / 60:.0f} minutes at most")

    def drop(self, job: int) -> None:
        self._jobs.pop(job, None)

    def next(self) -> int | None:
        ended = {job: one.ended for job, one in self._jobs.items() if one.ended is not None}
        if ended:
            return min(ended, key=ended.__getitem__)
        for job, one in self._jobs.items():
            if len(one.pcm) > LONGEST * RATE * 2:
                return job
        if self._clock() < self._rest_until:
            return None
        waiting = {job: one.fresh for job, one in self._jobs.items() if one.listen.partials}
        longest = max(waiting, key=waiting.__getitem__, default=None)
        return longest if longest is not None and waiting[longest] >= PARTIAL_EVERY else None

    def work(self, job: int) -> None:
        one = self._jobs[job]
        if len(one.pcm) > LONGEST * RATE * 2:
            self._settle(one)
        elif one.ended is not None:
            self._settle(one)
            del self._jobs[job]
            one.answer(joined(one.parts, one.whisper.language(one.listen.language)))
        else:
            self._so_far(one)

    def _settle(self, one: _Utterance) -> None:
        """Hears what can be heard at once, for good."""
        end = piece(one.pcm)
        pcm = bytes(one.pcm[:end])
        told = one.listen
        heard = one.whisper.transcribe(pcm, told.language, words=told.words, partial=False, expected=told.expected)
        one.parts.append((heard, one.taken / (2 * RATE)))
        one.taken += end
        del one.pcm[:end]
        one.looked = 0

    def _so_far(self, one: _Utterance) -> None:
        began = self._clock()
        one.looked = len(one.pcm)
        told = one.listen
        heard = one.whisper.transcribe(bytes(one.pcm), told.language, words=False, partial=True, expected=told.expected)
        now = self._clock()
        self._rest_until = now + (now - began) * (1.0 - PARTIAL_SHARE) / PARTIAL_SHARE
        text = joined([*one.parts, (heard, 0.0)], heard.language).text
        if text and text != one.text:
            one.text = text
            one.answer(Partial(text))

    def _whisper(self, name: str) -> Whisper:
        """Raises ModelFailed."""
        whisper = self._models.pop(name, None)
        if whisper is None:
            with self.loading(name):
                try:
                    whisper = Whisper(find(name), threads=base.THREADS)
                except InvalidArgument as exc:
                    raise ModelFailed(str(exc)) from exc
        self._models[name] = whisper  # the newest is last
        while len(self._models) > MOST_MODELS:
            del self._models[next(iter(self._models))]
        return whisper
