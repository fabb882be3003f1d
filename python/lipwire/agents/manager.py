"""Many agents: each is made, run and ended by a supervised task; what is left of an ended one can still be asked for.

States: IDLE (accepted) -> STARTING -> RUNNING -> STOPPING -> STOPPED, or FAILED with the reason of it. The manager
knows no wire and no web framework; its errors are plain (`agents.errors`). Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import suppress
from typing import Any, Literal, Protocol

from msgspec import Struct

from ..closing import close_within
from ..errors import InvalidArgument, LipwireError
from ..protocol.agent_actions import OnBusy, OnListening
from ..protocol.agent_bodies import Status
from .config import AgentConfig
from .errors import (
    AgentConflict,
    AgentError,
    AgentForbidden,
    AgentLimit,
    AgentNotFound,
    AgentStartFailed,
    AgentTimeout,
    InvalidAgentRequest,
)

logger = logging.getLogger("lipwire.agents")

RETRY_AFTER = 5.0
"""Seconds after which to ask again who was refused because the server shuts down: by then another one has its place."""
KEPT_TEXT = 131_072
"""Bytes of text that an ended agent's history keeps."""
TURN_TEXTS = ("user_text", "agent_text")
"""What was said in a turn, which its history has as well."""
ACTIVE: frozenset[Status] = frozenset({"IDLE", "STARTING", "RUNNING", "STOPPING"})


class RunningAgent(Protocol):
    """What the manager wants of an agent; `agents.agent.Agent` is one."""

    async def start(self) -> None:
        """Joins, and is ready. Raises LipwireError where it cannot."""

    async def stop(self, reason: str = ...) -> None:
        """Leaves. Safe after a failed start, and twice."""

    async def wind_up(self) -> None:
        """Says nothing new, and returns when the sentence is over that is being said. To be followed by `stop`."""

    async def farewell(self) -> None:
        """Answers nothing new, and returns when it neither thinks nor speaks. To be followed by `stop`."""

    @property
    def finished(self) -> Awaitable[Any]:
        """Done once the agent has ended by itself, with why (say "idle_timeout"); raises where it broke. To cancel it
        does nothing to the agent."""
        ...

    def speak(self, text: str, priority: Literal["INTERRUPT", "APPEND", "IGNORE"], interruptable: bool) -> Any: ...
    def interrupt(self) -> Any: ...
    def tell(self, text: str, role: Literal["user", "system"]) -> Any: ...
    def think(
        self,
        text: str,
        *,
        listening: OnListening = ...,
        thinking: OnBusy = ...,
        speaking: OnBusy = ...,
        interruptable: bool = ...,
        metadata: dict[str, str] | None = ...,
    ) -> Any: ...
    def respond(self, instructions: str | None = None) -> Any: ...
    def commit(self) -> Any: ...
    def update(self, changes: dict[str, Any]) -> Any: ...
    def history(self) -> Any: ...
    def turns(self) -> Any: ...
    def in_use(self) -> Any: ...
    def stats(self) -> dict[str, Any]: ...


OnAgentEvent = Callable[["AgentRecord", Any], None]
MakeAgent = Callable[[AgentConfig, Callable[[Any], None]], RunningAgent]
"""Makes an agent, nothing of which is open yet; the function is what the agent tells its events to."""


class AgentRecord:
    """An agent as the manager keeps it, ended ones included."""

    def __init__(self, agent_id: str, number: int, config: AgentConfig, now: float) -> None:
        self.id = agent_id
        self.number = number
        """The order in which they came, of agents of several processes, too: microseconds since 1970, but never a
        number twice, nor a smaller one than before."""
        self.config = config
        self.status: Status = "IDLE"
        self.created = now
        """Unix seconds, as `ended`."""
        self.ended: float | None = None
        self.reason = ""
        """Why it ended."""
        self.failure = ""
        """Where it failed, what did, in a word."""
        self.agent: RunningAgent | None = None
        self.task: asyncio.Task[None] | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.leave = asyncio.Event()
        self.farewell = False
        """Whether it may end what it says and thinks before it leaves,"""
        self.hurry = asyncio.Event()
        """unless this is set."""
        self._kept: tuple[Any, Any] = ([], [])

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE

    def history(self) -> Any:
        """What was said, as far as the agent keeps it; what an ended one kept, too."""
        return self.agent.history() if self.agent is not None else self._kept[0]

    def turns(self) -> Any:
        """The agent's turns with their times; those of an ended one, too."""
        return self.agent.turns() if self.agent is not None else self._kept[1]

    def in_use(self) -> Any:
        """What the agent hears and speaks with (`Agent.in_use`), while it runs."""
        return self.agent.in_use() if self.agent is not None else {}

    def let_go(self) -> None:
        """Keeps what can still be told, and frees the rest."""
        agent, self.agent = self.agent, None
        if agent is not None:
            self._kept = agent.history(), agent.turns()

    def trim(self) -> None:
        """Keeps what can still be asked for: all turns, without what was said in them, and so much of the history."""
        history, turns = self._kept
        self._kept = _newest(history), [{n: v for n, v in turn.items() if n not in TURN_TEXTS} for turn in turns]


def _newest(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the newest messages as KEPT_TEXT holds the texts of, and the newest whatever it holds."""
    kept: list[dict[str, Any]] = []
    room = KEPT_TEXT
    for entry in reversed(entries):
        room -= len(entry["content"].encode("utf-8", "replace"))
        if room < 0 and kept:
            break
        kept.append(entry)
    return kept[::-1]


class Page(Struct):
    """One page of a list. `cursor`: what to ask the next one with; "" = there is none. `total`: on all pages."""

    records: list[AgentRecord]
    total: int
    cursor: str


class AgentManager:
    """Agents by id, by name and by channel. `close` ends them all.

    Args:
        make: makes an agent; called once per agent, may raise LipwireError.
        prepare: completes what an agent was asked to be with what is the server's to say (brain, avatar, keys), or
            raises LipwireError.
        limit: how many may run at once; more are refused. `owner_limit` says it of one owner (None = no other limit).
        keep_ended: how many ended ones are remembered, the newest.
        start_timeout: seconds that joining may take.
        stop_timeout: seconds that leaving may take before the agent is given up.
        on_event: hears every event of every agent.
    """

    def __init__(
        self,
        make: MakeAgent,
        *,
        prepare: Callable[[AgentConfig], None] | None = None,
        limit: int = 50,
        keep_ended: int = 200,
        start_timeout: float = 20.0,
        stop_timeout: float = 10.0,
        on_event: OnAgentEvent | None = None,
    ) -> None:
        self._make = make
        self.prepare = prepare
        self.owner_limit: Callable[[str], int | None] = lambda owner: None
        self.shared: Callable[[AgentConfig], bool] = lambda config: False
        """Whether its channel is the same for every owner."""
        self.admit: Callable[[AgentConfig], None] = lambda config: None
        """Raises NoCapacity while this machine does not keep up with what it has, AgentLimit where the pictures of one
        more are too many."""
        self.on_status: Callable[[AgentRecord], None] = lambda record: None
        """Hears that an agent was accepted (IDLE), that it runs, and that it has ended."""
        self.limit, self.keep_ended = limit, keep_ended
        self.start_timeout, self.stop_timeout = start_timeout, stop_timeout
        self.on_event = on_event
        self.started_total = self.failed_total = 0
        self._number = 0
        self._records: dict[str, AgentRecord] = {}
        self._closed = False

    # --------------------------------------------------------------------------------------------------------- asking

    def __iter__(self) -> Iterator[AgentRecord]:
        return iter(tuple(self._records.values()))

    @property
    def active(self) -> list[AgentRecord]:
        """Those that have not ended, oldest first."""
        return [record for record in self._records.values() if record.active]

    def get(self, agent_id: str, owner: str | None = None) -> AgentRecord:
        """The agent of this id, ended or not; with an `owner`, of theirs. Raises AgentNotFound."""
        record = self._records.get(agent_id)
        if record is None or owner not in (None, record.config.owner):
            raise AgentNotFound(f"there is no agent {agent_id[:80]!r}")
        return record

    def running(self, agent_id: str) -> RunningAgent:
        """The agent of this id, to be talked to.

        Raises:
            AgentNotFound: none, or it has ended. AgentConflict: it is not running yet, or leaving.
        """
        return self._running(self.get(agent_id))

    def in_channel(self, channel: str, owner: str | None = None) -> AgentRecord | None:
        """The agent in a channel; of several, the one that came first; with an `owner`, of theirs."""
        there = (record for record in self.active if record.config.channel == channel)
        return next((record for record in there if owner in (None, record.config.owner)), None)

    def running_in(self, channel: str, owner: str | None = None) -> RunningAgent:
        """The agent in a channel, to be talked to. Raises as `running` does."""
        record = self.in_channel(channel, owner)
        if record is None:
            raise AgentNotFound(f"there is no agent in channel {channel[:80]!r}")
        return self._running(record)

    def _running(self, record: AgentRecord) -> RunningAgent:
        if not record.active:
            raise AgentNotFound(f"agent {record.id} has ended: {record.reason}")
        if record.agent is None or record.status != "RUNNING":
            detail = f"agent {record.id} is {record.status}; it can be talked to while it is RUNNING"
            raise AgentConflict.with_agent(record.id, detail)
        return record.agent

    def page(
        self,
        *,
        statuses: frozenset[Status] | None = None,
        channel: str | None = None,
        owner: str | None = None,
        since: float | None = None,
        until: float | None = None,
        recent: float | None = None,
        limit: int = 20,
        cursor: str = "",
    ) -> Page:
        """Agents in the order in which they came.

        Args:
            statuses, channel, owner: only those; None = all.
            since, until: only those that came between, Unix seconds, both included.
            recent: only those that came then or later, or have not ended.
            limit: at most so many.
            cursor: of the page before.

        Raises:
            InvalidAgentRequest: no such cursor.
        """
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise InvalidAgentRequest(f"cursor must be the cursor of an earlier answer, got {cursor[:80]!r}")
        matching = [
            record
            for record in self._records.values()
            if (statuses is None or record.status in statuses)
            and (channel is None or record.config.channel == channel)
            and owner in (None, record.config.owner)
            and (since is None or record.created >= since)
            and (until is None or record.created <= until)
            and (recent is None or record.created >= recent or record.active)
        ]
        rest = [record for record in matching if not cursor or record.number > int(cursor)]
        shown = rest[:limit]
        return Page(shown, len(matching), str(shown[-1].number) if shown and len(rest) > len(shown) else "")

    # -------------------------------------------------------------------------------------------------------- changing

    async def start(self, config: AgentConfig, *, prepared: bool = False, elsewhere: bool = True) -> AgentRecord:
        """Starts an agent and waits until it runs. Where the caller is cancelled meanwhile, the agent is ended.

        Args:
            config: what it is; it is completed by `prepare`, unless it is `prepared`.
            elsewhere: whether who asks may know of agents in other channels than its own.

        Raises:
            AgentConflict: the name is in use, or the user id in the channel. AgentLimit: too many run.
            AgentStartFailed: it cannot start. AgentTimeout: it took too long. After either the record stays, FAILED,
            with the reason. InvalidAgentRequest: channel or brain refuse the config. LipwireError: `prepare` or `admit`
            does.
        """
        if self.prepare is not None and not prepared:
            self.prepare(config)
        self.check(config, elsewhere=elsewhere)
        self.started_total += 1
        self._number = max(self._number + 1, time.time_ns() // 1000)
        config.agent_id = secrets.token_hex(16)
        record = AgentRecord(config.agent_id, self._number, config, time.time())
        self._records[record.id] = record
        self._tell(record)
        record.task = asyncio.create_task(self._run(record), name=f"lipwire-agent-{record.id[:8]}")
        try:
            await asyncio.shield(record.ready)
        except asyncio.CancelledError:
            if not record.ready.done():
                record.leave.set()
                record.task.cancel()
            raise
        return record

    def check(self, config: AgentConfig, *, elsewhere: bool = True) -> None:
        """Whether an agent could be started now, prepared or not: nothing is reserved. `elsewhere`: as of `start`.

        Raises:
            AgentConflict, AgentLimit, AgentStartFailed: see `start`. LipwireError: `admit` does.
        """
        if self._closed:
            error = AgentStartFailed("the server is shutting down")
            error.retry_after = RETRY_AFTER
            raise error
        active = self.active
        theirs = [other for other in active if other.config.owner == config.owner]
        for other in theirs:
            if other.config.name == config.name:
                if not elsewhere and other.config.channel != config.channel:
                    raise AgentConflict(f"the name {config.name!r} is in use in another channel")
                detail = f"the name {config.name!r} is in use by agent {other.id}"
                raise AgentConflict.with_agent(other.id, detail)
            if _same_user(other.config, config):
                detail = f"agent {other.id} is user {config.uid} of channel {config.channel!r}"
                raise AgentConflict.with_agent(other.id, f"{detail}; choose another agent_rtc_uid")
        for other in active:  # rooms are each owner's own; a channel of Agora's is the same for all
            if _same_user(other.config, config) and self.shared(other.config) and self.shared(config):
                raise AgentConflict(f"user {config.uid} of channel {config.channel!r} is taken; choose another")
        if len(active) >= self.limit:
            raise AgentLimit(f"{len(active)} agents run; no more are allowed (LIPWIRE_MAX_AGENTS)")
        limit = self.owner_limit(config.owner)
        if limit is not None and len(theirs) >= limit:
            raise AgentLimit(f"{len(theirs)} agents run with this key; no more are allowed")
        self.admit(config)

    async def stop(self, record: AgentRecord, reason: str = "left") -> None:
        """Ends an agent and waits for it. One that has ended stays as it is."""
        if record.task is not None and record.active:
            if not record.leave.is_set():
                record.reason = reason
                record.leave.set()
            record.hurry.set()
            await asyncio.wait({record.task})

    async def leave(self, record: AgentRecord, reason: str = "left") -> None:
        """Ends an agent as its users want it: one that has `farewell_seconds` first ends what it says and thinks, and
        is not waited for."""
        if record.status == "RUNNING" and record.config.farewell_seconds > 0:
            record.status, record.reason, record.farewell = "STOPPING", reason, True
            record.leave.set()
        elif not record.farewell:
            await self.stop(record, reason)

    async def sweep(self, owners: Container[str]) -> list[str]:
        """Ends those whose owner is none of `owners`: its keys are gone, and nobody could stop them. Their ids."""
        gone = [record for record in self.active if record.config.owner not in owners]
        await asyncio.gather(*(self.stop(record, "stopped") for record in gone))
        return [record.id for record in gone]

    async def drain(self, seconds: float) -> None:
        """Ends them all, each as soon as its sentence is over, or after `seconds`; no more are taken. Cancelled, it
        leaves those that speak to `close`."""
        self._closed = True
        await asyncio.gather(*(self._drain(record, seconds) for record in self.active))

    async def _drain(self, record: AgentRecord, seconds: float) -> None:
        if record.agent is not None and (record.status == "RUNNING" or record.farewell):
            try:
                async with asyncio.timeout(seconds):
                    await record.agent.wind_up()
            except TimeoutError:
                logger.info("[%s] it was still speaking %g s after it was asked to end", record.id, seconds)
            except Exception:  # the edge: it ends all the same
                logger.exception("[%s] winding up failed", record.id)
        await self.stop(record, "shutdown")

    async def close(self) -> None:
        """Ends them all; no more are taken. Safe to call twice."""
        self._closed = True
        await asyncio.gather(*(self.stop(record, "shutdown") for record in self.active))

    # ------------------------------------------------------------------------------------------------ one agent's life

    async def _run(self, record: AgentRecord) -> None:
        """The task of one agent: whatever happens in it, the record says so in the end."""
        failure: BaseException | None = None
        try:
            await self._live(record)
        except asyncio.CancelledError:
            record.reason = record.reason or "cancelled"
        except Exception as exc:  # the edge
            failure = exc
            if not isinstance(exc, LipwireError):
                logger.exception("[%s] the agent failed", record.id)
        finally:
            with suppress(asyncio.CancelledError):
                await self._end(record)
            self._settle(record, failure)

    async def _live(self, record: AgentRecord) -> None:
        record.status = "STARTING"
        leaving = asyncio.ensure_future(record.leave.wait())
        starting = asyncio.ensure_future(self._begin(record))
        tasks: list[asyncio.Future[Any]] = [leaving, starting]
        try:
            done, _ = await asyncio.wait({leaving, starting}, timeout=self.start_timeout, return_when="FIRST_COMPLETED")
            if starting in done:
                starting.result()
            elif not done:
                raise AgentTimeout(f"the agent did not start within {self.start_timeout:g} s")
            if record.leave.is_set():
                return
            assert record.agent is not None
            record.status = "RUNNING"
            logger.info("[%s] agent %r is in channel %r", record.id, record.config.name, record.config.channel)
            record.ready.set_result(None)
            self._tell(record)
            finished = asyncio.ensure_future(record.agent.finished)
            tasks.append(finished)
            await asyncio.wait({leaving, finished}, return_when="FIRST_COMPLETED")
            if finished.done():
                record.reason = str(finished.result() or "finished")
        finally:
            for task in tasks:
                task.cancel()
            ended, _ = await asyncio.wait(tasks, timeout=self.stop_timeout)
            for task in ended:
                if not task.cancelled():
                    task.exception()  # told already

    async def _begin(self, record: AgentRecord) -> None:
        def on_event(event: Any) -> None:
            if self.on_event is not None:
                self.on_event(record, event)

        record.agent = self._make(record.config, on_event)
        await record.agent.start()

    async def _end(self, record: AgentRecord) -> None:
        if (agent := record.agent) is None:
            return
        record.status = "STOPPING"
        if record.farewell:
            await self._say_farewell(record, agent)
        reason = record.reason or "failed"
        # An agent that cannot leave has still ended.
        await close_within(self.stop_timeout, lambda: agent.stop(reason), f"[{record.id}] the agent", logger)

    async def _say_farewell(self, record: AgentRecord, agent: RunningAgent) -> None:
        """Returns when it is over, has lasted too long, or somebody is in a hurry."""
        tasks: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(agent.farewell()),
            asyncio.ensure_future(record.hurry.wait()),
        }
        try:
            await asyncio.wait(tasks, timeout=record.config.farewell_seconds, return_when="FIRST_COMPLETED")
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(error, Exception):  # the edge: it leaves all the same
                    logger.error("[%s] the farewell failed", record.id, exc_info=error)

    def _settle(self, record: AgentRecord, failure: BaseException | None) -> None:
        """The end: what is left, and the answer to who still waits for the start."""
        record.ended = time.time()
        try:
            record.let_go()
        except Exception:  # the edge
            logger.exception("[%s] the agent's history is lost", record.id)
        if failure is not None:
            self.failed_total += 1
            record.status, record.reason = "FAILED", describe(failure)
            record.failure = failure.code if isinstance(failure, LipwireError) else "INTERNAL_ERROR"
            logger.error("[%s] agent %r failed: %s", record.id, record.config.name, record.reason)
        else:
            record.status, record.reason = "STOPPED", record.reason or "left"
            logger.info("[%s] agent %r has ended: %s", record.id, record.config.name, record.reason)
        if not record.ready.done():
            record.ready.set_exception(_refusal(record, failure))
            record.ready.exception()  # who asked may be gone
        self._tell(record)
        record.trim()
        self._forget()

    def _tell(self, record: AgentRecord) -> None:
        try:
            self.on_status(record)
        except Exception:  # the edge
            logger.exception("[%s] telling that agent is %s failed", record.id, record.status)

    def _forget(self) -> None:
        """Bounded: the oldest ended ones go."""
        ended = [record for record in self._records.values() if not record.active]
        for record in ended[: max(0, len(ended) - self.keep_ended)]:
            del self._records[record.id]


def _same_user(one: AgentConfig, other: AgentConfig) -> bool:
    return one.uid != "0" and (one.channel, one.uid) == (other.channel, other.uid)


def describe(failure: BaseException) -> str:
    """A failure in one line."""
    text = " ".join(str(failure).split())
    if isinstance(failure, LipwireError):
        return text[:500]
    return f"{type(failure).__name__}: {text}"[:500]


def _refusal(record: AgentRecord, failure: BaseException | None) -> AgentError:
    """What the caller of `start` is told."""
    if failure is None:
        return AgentConflict(f"the agent was ended while it started: {record.reason}")
    if isinstance(failure, TimeoutError):
        return _failed(AgentTimeout(describe(failure)), record)
    if isinstance(failure, AgentForbidden | InvalidAgentRequest):
        return failure
    if isinstance(failure, InvalidArgument):
        return InvalidAgentRequest(describe(failure))
    return _failed(AgentStartFailed(describe(failure)), record)


def _failed(error: AgentError, record: AgentRecord) -> AgentError:
    error.failure = record.failure
    return error
