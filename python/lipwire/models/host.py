"""The process of models: one for all agents of an event loop, which hears, speaks and judges turns for them.

    host = ModelHost.of()                        # one user more
    await host.warm("ears", "whisper-tiny.en")   # so that the first utterance is not slow
    job = host.job("ears", Listen("en-US"), on_answer, on_end)
    job.send(Sound16(pcm))
    job.send(Finish())
    await host.leave()

It starts with its first job, loads each model when that is first needed, and ends some seconds after its last user has
left. When it dies, the jobs that it had fail (`ModelFailed.died`), what was warm is warmed again in the next one, and
jobs that are begun meanwhile wait for that. One that dies again and again is started ever more slowly, and jobs then
fail at once. It is no part of the media engine, gives way to it, and can be missed: `agents` fall back.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument, ModelFailed
from ..logs import sampled
from ..process.spawn import Module
from ..process.supervisor import Child, Ended, Limits, Supervisor
from .wire import (
    LAST,
    Answer,
    Answered,
    Drop,
    EngineName,
    Failed,
    Loaded,
    Loading,
    Message,
    More,
    Open,
    Request,
    Settings,
    Tells,
    Warm,
)
from .worker import TOO_LARGE, memory

logger = sampled("lipwire.models")

ENGINES = {
    "ears": "lipwire.models.ears.engine",
    "voice": "lipwire.models.voices.engine",
    "turn": "lipwire.models.turn.engine",
}
MOST_MEMORY = 1200 << 20
"""Bytes that it may have in memory."""
SETTINGS = Settings(engines=ENGINES, memory=MOST_MEMORY, stuck=60.0, nice=5)
LINGER = 5.0
"""Seconds that the process stays when its last user has left: the next one may come at once."""
MOST_JOBS = 256
"""Jobs at a time."""
MOST_HELD = 4 << 20
"""Bytes of a job that waits for the process to start."""
DEATHS = 3
"""In a row, without a job that ended well between them, after which jobs fail while there is no process."""
MOST_WARM = 3
"""Models, or voices, of an engine that a new process loads: those that were asked for last."""
GROWN = 2
"""Deaths of having grown too large, whatever ended well between them, from which on a new process loads nothing."""
SLOW: dict[str, float] = {"ears": 1.5, "voice": 1.0, "turn": 0.5}
"""Seconds from the last that an engine was told of a job to its answer, above which it is too slow."""
BACKOFF = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0)
"""Seconds before it is started again, by deaths in a row."""
LIMITS = Limits(start=30.0, ping_every=2.0, ping_lost=15.0)


class State(Struct, frozen=True):
    """How the process is, for who asks."""

    pid: int | None
    """None: there is none now."""
    users: int
    jobs: int
    restarts: int
    """How often it died and was started again."""
    memory: int
    """Bytes that it has in memory; 0 where there is none, or the system does not say."""
    slow: dict[str, int]
    """Engine -> answers that took too long."""


class Job:
    """A piece of work of an engine. Belongs to the event loop of its host."""

    def __init__(
        self,
        host: ModelHost,
        number: int,
        engine: str,
        request: Request,
        on_answer: Callable[[Answer], None],
        on_end: Callable[[ModelFailed | None], None],
    ) -> None:
        self.number, self.engine, self.request = number, engine, request
        self._host = host
        self._on_answer, self._on_end = on_answer, on_end
        self._held: list[Message] | None = []
        self._held_bytes = 0
        self._since = host.now()
        self.loaded = False
        """A model was loaded while it ran, which excuses it."""

    @property
    def over(self) -> bool:
        """It has ended, or was dropped."""
        return self.number not in self._host.jobs

    @property
    def begun(self) -> bool:
        """The process has been told of it."""
        return self._held is None

    def send(self, message: Message) -> None:
        """More for the engine; nothing where the job has ended. What cannot be sent yet is kept."""
        if self.over:
            return
        self._since = self._host.now()
        if self._held is None:
            self._host.tell(More(self.engine, self.number, message))
            return
        self._held.append(message)
        self._held_bytes += len(getattr(message, "pcm", b""))
        if self._held_bytes > MOST_HELD:
            self._host.fail(self, ModelFailed("the process of models does not start, and too much waits for it"))

    def drop(self) -> None:
        """Nobody wants it any more: nothing is called from now on. Safe to call twice, and when it has ended."""
        if self._host.jobs.pop(self.number, None) is not None and self.begun:
            self._host.tell(Drop(self.engine, self.number))

    # ------------------------------------------------------------------------------------------------- for the host

    def begin(self) -> None:
        """Sends what was held."""
        held, self._held = self._held, None
        self._host.tell(Open(self.engine, self.number, self.request))
        for message in held or ():
            self._host.tell(More(self.engine, self.number, message))

    def answered(self, answer: Answer) -> float:
        """Hands it on. The seconds that it took, since the engine was last told something, or last answered."""
        now = self._host.now()
        took, self._since = now - self._since, now
        self._on_answer(answer)
        return took

    def ended(self, failed: ModelFailed | None) -> None:
        self._on_end(failed)


class ModelHost:
    """The process of one event loop; `of` gives the running loop's. Not from other threads.

    Args:
        settings: of the process.
        linger: seconds that it stays without users.
    """

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, ModelHost]] = WeakKeyDictionary()

    def __init__(self, settings: Settings = SETTINGS, *, linger: float = LINGER) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._linger = linger
        self._numbers = itertools.count(1)
        self._users = 0
        self._supervisor: Supervisor[Tells] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._warm: dict[tuple[str, str], None] = {}
        self._warming: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._deaths = self._grown = self._restarts = 0
        self._slow: dict[str, int] = {}
        self.jobs: dict[int, Job] = {}
        """Those that have not ended, by number."""

    @classmethod
    def set_up(cls, *, memory: int = MOST_MEMORY) -> ModelHost:
        """Says how much memory, in bytes, the running loop's process may take, from its next start on. No user more."""
        host = cls._the_loops()
        host._settings = msgspec.structs.replace(host._settings, memory=memory)
        return host

    @classmethod
    def of(cls) -> ModelHost:
        """The running loop's, with one user more: who calls this calls `leave` once."""
        return cls._the_loops().enter()

    @classmethod
    def _the_loops(cls) -> ModelHost:
        loop = asyncio.get_running_loop()
        host = cls._of_loop.get(loop)
        if host is None:
            host = cls._of_loop[loop] = cls()
        return host

    def enter(self) -> ModelHost:
        """One user more."""
        self._users += 1
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        return self

    async def leave(self) -> None:
        """One user less. After the last one the process ends, some seconds later, or with the event loop
        (asyncio.run), whichever comes first."""
        self._users -= 1
        if not self._users and self._supervisor is not None:
            self._leaving = self._loop.create_task(self._end_later(), name="lipwire-models-end")

    async def close(self) -> None:
        """Ends the process now; what it had to do fails. A new job would start another one."""
        supervisor, self._supervisor = self._supervisor, None
        for job in [*self.jobs.values()]:
            self.fail(job, ModelFailed("the process of models was ended"))
        if supervisor is not None:
            await supervisor.close()

    async def warm(self, engine: EngineName, what: str = "") -> None:
        """Loads a model there, or a voice ("" = the engine's default), and runs it once; nothing where that was done. A
        process that is started later does it again.

        Raises:
            ModelFailed: it cannot be had; the message says what to do.
        """
        key = engine, what
        if key in self._warm and self.state().pid is not None:
            self._keep_warm(key)
            return
        done = self._warming.get(key) or self._begin_warming(engine, what)
        await asyncio.shield(done)

    def _begin_warming(self, engine: EngineName, what: str) -> asyncio.Future[None]:
        """Done when it is warm, whoever still waits for that."""
        done: asyncio.Future[None] = self._loop.create_future()
        done.add_done_callback(lambda done: done.exception())  # somebody may have stopped waiting

        def on_end(failed: ModelFailed | None) -> None:
            del self._warming[engine, what]
            if failed is None:
                self._keep_warm((engine, what))
                done.set_result(None)
            else:
                done.set_exception(failed)

        self._warming[engine, what] = done
        self.job(engine, Warm(what), lambda answer: None, on_end)
        return done

    def _keep_warm(self, key: tuple[str, str]) -> None:
        self._warm.pop(key, None)
        self._warm[key] = None
        for old in [one for one in self._warm if one[0] == key[0]][:-MOST_WARM]:
            del self._warm[old]

    def job(
        self,
        engine: EngineName,
        request: Request,
        on_answer: Callable[[Answer], None],
        on_end: Callable[[ModelFailed | None], None],
    ) -> Job:
        """Begins a job. Both are called in the event loop, later than this returns: `on_answer` with each answer, the
        last one among them, then `on_end` once, with None, or with why there will be no last answer."""
        if engine not in self._settings.engines:
            raise InvalidArgument(f"no engine is called {engine!r}: {', '.join(self._settings.engines)}")
        job = Job(self, next(self._numbers), engine, request, on_answer, on_end)
        full = len(self.jobs) >= MOST_JOBS
        self.jobs[job.number] = job
        supervisor = self._supervisor
        if full:
            self._refuse(job, ModelFailed(f"the process of models has {MOST_JOBS} jobs, and takes no more"))
        elif supervisor is None:
            self._start()  # which begins it
        elif supervisor.child is not None and supervisor.child.usable:
            job.begin()
        elif self._deaths >= DEATHS:
            self._refuse(job, self._why(supervisor.ended))
        return job

    def state(self) -> State:
        supervisor = self._supervisor
        pid = None if supervisor is None else supervisor.pid
        return State(pid, self._users, len(self.jobs), self._restarts, memory(pid) if pid else 0, {**self._slow})

    # ------------------------------------------------------------------------------------------------------ for jobs

    def now(self) -> float:
        return self._loop.time()

    def tell(self, message: Struct) -> None:
        if self._supervisor is not None:
            self._supervisor.tell(message)

    def fail(self, job: Job, failed: ModelFailed) -> None:
        """Ends a job, unless it has ended."""
        if self.jobs.pop(job.number, None) is not None:
            self._end(job, failed)

    # --------------------------------------------------------------------------------------------------- the process

    def _start(self) -> None:
        settings = msgspec.json.encode(self._settings).decode()
        self._supervisor = Supervisor(
            Module("lipwire.models.worker", settings),
            Tells,
            name="the process of models",
            on_message=self._hear,
            on_start=self._started,
            on_death=self._died,
            limits=LIMITS,
            backoff=BACKOFF,
            logger=logger,
        )
        self._supervisor.start()

    def _started(self, child: Child[Tells]) -> None:
        logger.info("the process of models (%d) starts", child.pid)
        for engine, what in self._warm:
            number = next(self._numbers)
            child.tell(Open(engine, number, Warm(what)))
        for job in list(self.jobs.values()):
            job.begin()

    def _died(self, ended: Ended) -> None:
        self._deaths += 1
        self._restarts += 1
        self._grown += ended.code == TOO_LARGE
        lost = [job for job in self.jobs.values() if job.begun]
        if self._deaths >= DEATHS or self._grown >= GROWN:
            self._warm.clear()  # that may be what it dies of
        if self._deaths >= DEATHS:
            lost = [*self.jobs.values()]
        for job in lost:
            self.fail(job, self._why(ended))

    def _why(self, ended: Ended | None) -> ModelFailed:
        last = ended.last_words if ended is not None else ""
        reason = "it is not there" if ended is None else f"{ended.reason}, code {ended.code}"
        times = f" {self._deaths} times in a row" if self._deaths > 1 else ""
        return ModelFailed(f"the process of models died{times}: {last or reason}", died=True)

    def _hear(self, message: Tells) -> None:
        match message:
            case Answered(number, answer):
                if (job := self.jobs.get(number)) is not None:
                    self._answered(job, answer)
            case Failed(number, reason):
                if (job := self.jobs.pop(number, None)) is not None:
                    self._end(job, ModelFailed(reason))
            case Loading(engine, what):
                logger.info("models: %s is being loaded", what)
                self._excuse(engine)
            case Loaded(engine, what, seconds, used):
                self._excuse(engine)
                logger.info("models: %s was loaded in %.1f s, %d MB in all", what, seconds, used >> 20)
            case _:  # it is ready
                pass

    def _excuse(self, engine: str) -> None:
        for job in self.jobs.values():
            job.loaded = job.loaded or job.engine == engine

    def _answered(self, job: Job, answer: Answer) -> None:
        last = isinstance(answer, LAST)
        if last:
            del self.jobs[job.number]
            self._deaths = 0
        try:
            took = job.answered(answer)
        except Exception:  # the edge: one job's owner must not keep the others from their answers
            logger.exception("an answer of %s could not be handled", job.engine)
            took = 0.0
        if took > SLOW.get(job.engine, took) and not job.loaded:
            self._slow[job.engine] = self._slow.get(job.engine, 0) + 1
            logger.warning(
                "models: %s took %.1f s for an answer, with %d jobs at work: this machine is too slow for it, or has "
                "too much to do", job.engine, took, len(self.jobs) + last
            )  # fmt: skip
        if last:
            self._end(job, None)

    # ------------------------------------------------------------------------------------------------------- the end

    def _refuse(self, job: Job, failed: ModelFailed) -> None:
        self._loop.call_soon(self.fail, job, failed)

    def _end(self, job: Job, failed: ModelFailed | None) -> None:
        try:
            job.ended(failed)
        except Exception:  # the edge: as above
            logger.exception("the end of a job of %s could not be handled", job.engine)

    async def _end_later(self) -> None:
        try:
            await asyncio.sleep(self._linger)
        finally:
            if not self._users:
                await self.close()
