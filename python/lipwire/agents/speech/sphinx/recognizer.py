"""Recognizers in processes of their own, shared by the agents of an event loop: pocketsphinx holds the GIL for up to a
quarter of a second. They run `sphinx.worker`, which says what is written to them and read from them; not
multiprocessing's processes, which would run the program's own main module again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Coroutine
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import msgspec

from ...http import ServiceError
from .wire import message

Kind = Literal["words", "commands"]

MOST: dict[Kind, int] = {"words": 2, "commands": 1}
"""Processes of a kind; who finds them busy waits."""
START_TIMEOUT = 20.0


class Recognizer:
    """A process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, kind: Kind) -> Recognizer:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "lipwire.agents.speech.sphinx.worker", kind),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        recognizer = cls(process)
        ready = False
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await recognizer.read()
            ready = True
        except (TimeoutError, ServiceError) as exc:
            raise ServiceError(f"the offline recognizer did not start: {exc or 'it took too long'}") from exc
        finally:
            if not ready:  # whoever wanted it may have been cancelled, too
                await recognizer.end()
        return recognizer

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    def send(self, what: bytes, data: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message(what, data))

    async def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ServiceError("the offline recognizer died")
        value: dict[str, Any] = msgspec.json.decode(line)
        return value

    async def end(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


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
        while self._idle:
            await self._idle.popleft().end()
