"""The engine `turn` of the process of models: `Judge` in, `Probability` out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from ...errors import ModelFailed
from .. import engine
from ..find import find
from ..wire import Answer, Judge, Probability, Request
from .smart_turn import RATE, SECONDS, SmartTurn

MODEL = "smart-turn"


class Engine(engine.Engine):
    """Judges turns, the newest question first: an old one is most likely about a pause that is over."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._asked: dict[int, tuple[bytes, Callable[[Answer], None]]] = {}

    @cached_property
    def _model(self) -> SmartTurn:
        with self.loading(MODEL):
            return SmartTurn(find(MODEL))

    def warm(self, what: str) -> None:
        if what not in ("", MODEL):
            raise ModelFailed(f"turns are judged by {MODEL}, not by {what!r:.60}")
        self._model.probability(bytes(RATE * 2))

    def open(self, job: int, request: Request, answer: Callable[[Answer], None]) -> None:
        if not isinstance(request, Judge):
            raise ModelFailed(f"the engine that judges turns does not do {type(request).__name__}")
        self._model  # noqa: B018  a job fails at once where there is none
        self._asked[job] = request.pcm[-RATE * SECONDS * 2 :], answer

    def drop(self, job: int) -> None:
        self._asked.pop(job, None)

    def next(self) -> int | None:
        return next(reversed(self._asked), None)

    def work(self, job: int) -> None:
        pcm, answer = self._asked.pop(job)
        answer(Probability(self._model.probability(pcm)))
