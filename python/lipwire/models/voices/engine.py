"""Voices in the process of models: the engine `voice` of `models.worker`. A step is a sentence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ...errors import LipwireError, ModelFailed
from ..engine import Engine as Base
from ..wire import Answer, Request, Said, Speak, Spoken
from .hibari import DEFAULT
from .names import Name, parse
from .speaker import Speaker


class _Job:
    """A text that is being said."""

    def __init__(self, sounds: Iterator[Spoken], answer: Callable[[Answer], None]) -> None:
        self.sounds, self.answer = sounds, answer


class Engine(Base):
    """Speaks with every voice of this machine, of several texts a sentence each in turn."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._speaker = Speaker()
        self._jobs: dict[int, _Job] = {}
        self._turns: deque[int] = deque()

    def warm(self, what: str) -> None:
        name = _named(what or f"hibari:{DEFAULT}")
        with self.loading(str(name)):
            for _ in self._said(name, "One."):
                pass

    def open(self, job: int, request: Request, answer: Callable[[Answer], None]) -> None:
        assert isinstance(request, Speak)
        name = _named(request.voice)
        if not self._speaker.has(name):
            self.warm(request.voice)
        self._jobs[job] = _Job(self._said(name, request.text), answer)
        self._turns.append(job)

    def drop(self, job: int) -> None:
        if self._jobs.pop(job, None) is not None:
            self._turns.remove(job)

    def next(self) -> int | None:
        return self._turns[0] if self._turns else None

    def work(self, job: int) -> None:
        self._turns.rotate(-1)
        found = self._jobs[job]
        sound = next(found.sounds, None)
        if sound is None:
            self.drop(job)
            found.answer(Said())
        else:
            found.answer(sound)

    def _said(self, name: Name, text: str) -> Iterator[Spoken]:
        """The sentences of a text. Every error of ours is a ModelFailed."""
        try:
            yield from self._speaker.speak(name, text)
        except ModelFailed:
            raise
        except LipwireError as exc:
            raise ModelFailed(str(exc)) from exc


def _named(voice: str) -> Name:
    name = parse(voice)
    if name is None:
        raise ModelFailed(f"{voice!r} is no voice of this machine")
    return name
