"""Engines for the process of models that do what a request says, and all that an engine must not: as the module of an
engine's name in `Settings.engines`."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable

from lipwire.errors import ModelFailed
from lipwire.models import engine
from lipwire.models.wire import Answer, Finish, Heard, Listen, Message, Partial, Request, Said, Sound16, Speak, Spoken


class Engine(engine.Engine):
    """Listen(model=WHAT): hears how many bytes it was sent, or does WHAT. Speak(text): says each of its words, a step
    each, the jobs in turn; a word of `DEEDS` is done."""

    def __init__(self, loading: Callable[[str], object]) -> None:
        super().__init__(loading)  # type: ignore[arg-type]
        self.answers: dict[int, Callable[[Answer], None]] = {}
        self.heard: dict[int, int] = {}
        self.texts: dict[int, deque[str]] = {}
        self.turns: deque[int] = deque()
        self.dropped: list[int] = []

    def warm(self, what: str) -> None:
        with self.loading(what or "its default"):
            do(what)

    def open(self, job: int, request: Request, answer: Callable[[Answer], None]) -> None:
        self.answers[job] = answer
        if isinstance(request, Listen):
            self.heard[job] = 0
            do(request.model)
            if request.model == "answer what cannot be sent":
                answer(Heard(Engine))  # type: ignore[arg-type]
        elif isinstance(request, Speak):
            self.texts[job] = deque(request.text.split())
            self.turns.append(job)

    def take(self, job: int, message: Message) -> None:
        if isinstance(message, Sound16):
            self.heard[job] += len(message.pcm)
            self.answers[job](Partial(f"{self.heard[job]} so far"))
        elif isinstance(message, Finish):
            self.answers[job](Heard(f"{self.heard.pop(job)} bytes, {len(self.dropped)} dropped", language=str(NICE)))

    def drop(self, job: int) -> None:
        self.dropped.append(job)
        if job in self.turns:
            self.turns.remove(job)

    def next(self) -> int | None:
        return self.turns[0] if self.turns else None

    def work(self, job: int) -> None:
        self.turns.rotate(-1)
        if not self.texts[job]:
            self.turns.remove(job)
            self.answers[job](Said())
            return
        word = self.texts[job].popleft()
        do(word)
        self.answers[job](Spoken(word.encode(), 24_000))


NICE = os.getpriority(os.PRIO_PROCESS, 0)


def do(what: str) -> None:
    """One of the deeds, if it is one."""
    match what:
        case "refuse":
            raise ModelFailed("no such model: have another")
        case "err":
            raise ValueError("a fault of the engine's")
        case "die":
            os.abort()
        case "hang":
            threading.Event().wait()
        case "hold":  # the interpreter
            ctypes.PyDLL(None).sleep(600)
        case "grow":
            GROWN.append(b"\1" * (200 << 20))


GROWN: list[bytes] = []
