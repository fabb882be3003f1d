"""Recognizers in processes of their own, shared by the agents of an event loop: pocketsphinx holds the GIL for up to a
quarter of a second. They run `sphinx.worker`; not multiprocessing's processes, which would run the program's own main
module again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from ....process.spawn import Module
from ....process.supervisor import Child, Ended, Limits
from ...http import ServiceError
from .wire import Answer, Command

logger = logging.getLogger("lipwire.agents")

Kind = Literal["words", "commands"]

MOST: dict[Kind, int] = {"words": 2, "commands": 1}
"""Processes of a kind; who finds them busy waits."""
START_TIMEOUT = 20.0
UNREAD = 10_000
"""Answers that may wait to be read."""
LONGEST = 1 << 20
"""Bytes of an answer."""


class Recognizer:
    """A process. Raises OSError: there can be none."""

    def __init__(self, kind: Kind) -> None:
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._ended: Ended | None = None
        self._child: Child[Answer] = Child(
            Module("lipwire.agents.speech.sphinx.worker", kind),
            Answer,
            name=f"offline recognizer of {kind}",
            on_message=self._answered,
            on_end=self._over,
            limits=Limits(start=START_TIMEOUT),
            limit=LONGEST,
            logger=logger,
        )

    @classmethod
    async def start(cls, kind: Kind) -> Recognizer:
        """One that is ready. Raises ServiceError: it did not start."""
        try:
            recognizer = cls(kind)
        except OSError as exc:
            raise ServiceError(f"the offline recognizer did not start: {exc}") from exc
        try:
            await recognizer.read()
        except ServiceError as exc:
            raise ServiceError(f"the offline recognizer did not start: {exc}") from exc
        except BaseException:  # whoever wanted it was cancelled
            await recognizer.end()
            raise
        return recognizer

    def _answered(self, answer: Answer) -> None:
        self._answers.put_nowait(answer)
        if self._answers.qsize() > UNREAD:
            self._child.end(f"it gave {UNREAD} answers that nobody had asked for", leave=0)

    def _over(self, ended: Ended) -> None:
        self._ended = ended
        self._answers.put_nowait(None)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.usable

    def send(self, command: Command) -> None:
        self._child.tell(command)

    async def read(self) -> Answer:
        """Its next answer. Raises ServiceError: it died."""
        answer = await self._answers.get()
        if answer is None:
            assert self._ended is not None
            self._answers.put_nowait(None)
            last = self._ended.last_words
            raise ServiceError(
                f"the offline recognizer died: {self._ended.reason}, code {self._ended.code}{last and f' ({last})'}"
            )
        return answer

    async def end(self) -> None:
        """Kills it, and waits until it is gone; it goes, too, when this is cancelled."""
        self._child.end(leave=0)
        await self._child.ended()


class Pool:
    """The recognizers of one kind in an event loop: started when first wanted, ended when their last user leaves."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Kind, Pool]]] = WeakKeyDictionary()

    def __init__(self, kind: Kind) -> None:
        self.users = 0
        self._kind = kind
        self._idle: deque[Recognizer] = deque()
        self._free = asyncio.Semaphore(MOST[kind])
        self._warming = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, kind: Kind) -> Pool:
        """The running loop's, with one user more: who calls this calls `leave`."""
        pools = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        pool = pools.setdefault(kind, cls(kind))
        pool.users += 1
        return pool

    async def leave(self) -> None:
        self.users -= 1
        if not self.users:
            await self._close()

    async def warm(self) -> None:
        """One is there. Raises ServiceError: it did not start."""
        async with self._warming:
            if not self._idle:
                self._idle.append(await Recognizer.start(self._kind))

    @property
    def jobs(self) -> int:
        """That run, or wait."""
        return len(self._tasks)

    def spawn(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A job, which ends with the pool."""
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def take(self) -> Recognizer:
        await self._free.acquire()
        try:
            while self._idle:
                recognizer = self._idle.popleft()
                if recognizer.alive:
                    return recognizer
            return await Recognizer.start(self._kind)
        except BaseException:
            self._free.release()
            raise

    def give(self, recognizer: Recognizer, *, clean: bool) -> None:
        """Back. `clean`: it waits for its next job; else nobody knows what it would answer, and it is ended."""
        self._free.release()
        if clean and recognizer.alive and self.users:
            self._idle.append(recognizer)
        else:
            self.spawn(recognizer.end())

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        while self._tasks:  # with what those leave to be ended
            await asyncio.gather(*self._tasks, return_exceptions=True)
        idle = [recognizer.end() for recognizer in self._idle]
        self._idle.clear()
        await asyncio.gather(*idle)
