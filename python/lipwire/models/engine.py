"""What an engine is to the process of models (`worker`).

`models.ears.engine`, `models.voices.engine` and `models.turn.engine` each have a class `Engine` over this one. It lives
in a thread of its own, which calls it, one call at a time. What waits for that thread waits in its queue: so calls are
short, and what takes long is done step by step in `work`, of the job that `next` chooses. It may load what it needs
when it needs it, in a `loading` block, and raises ModelFailed where that cannot be had; the job then ends with that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from .wire import Answer, Message, Request

THREADS = 1
"""Threads of a library that computes, for one engine: the process shares the machine with the media engine."""


@contextmanager
def _silently(what: str) -> Iterator[None]:
    yield


class Engine:
    """Nothing yet: what the engines share.

    Args:
        loading: `with loading("whisper-tiny.en"):` tells the host what is loaded, and how long that took.
    """

    def __init__(self, loading: Callable[[str], AbstractContextManager[None]] = _silently) -> None:
        self.loading = loading

    def warm(self, what: str) -> None:
        """Loads a model and runs it once. "" = the default. Raises ModelFailed."""

    def open(self, job: int, request: Request, answer: Callable[[Answer], None]) -> None:
        """A job begins. `answer` may be called from now on, from any thread, until an answer of wire.LAST ends it.
        Raises ModelFailed."""
        raise NotImplementedError

    def take(self, job: int, message: Message) -> None:
        """More of it, of a job that is open. Raises ModelFailed."""

    def drop(self, job: int) -> None:
        """Forgets a job that has not ended: nobody wants it, or it failed."""

    def next(self) -> int | None:
        """The job of which a step is to be made now, when no call waits; None = no job needs one."""
        return None

    def work(self, job: int) -> None:
        """Makes a step of it: some of its sound, a partial text. Raises ModelFailed."""
