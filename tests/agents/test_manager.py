"""agents/manager.py: how agents come, run, fail and go, by id, by name and by channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio

from lipwire.agents import errors as e
from lipwire.agents.config import AgentConfig
from lipwire.agents.manager import KEPT_TEXT, AgentManager, AgentRecord
from lipwire.agents.turn_report import report
from lipwire.errors import InvalidArgument
from lipwire.protocol import agent_bodies as b
from support.agent_stand_in import StandIn, inside, manager

pytestmark = pytest.mark.asyncio


def config(name: str = "one", channel: str = "room", **more: Any) -> AgentConfig:
    return AgentConfig(name=name, channel=channel, **more)


@pytest_asyncio.fixture
async def agents() -> AsyncIterator[AgentManager]:
    made = manager(limit=3, keep_ended=5)
    yield made
    await made.close()
    assert inside == set()
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("lipwire-agent")] == []


def stand_in(record: AgentRecord) -> StandIn:
    return cast(StandIn, record.agent)


async def test_from_join_to_leave(agents: AgentManager) -> None:
    record = await agents.start(config())
    assert (record.status, record.active, len(inside)) == ("RUNNING", True, 1)
    assert agents.get(record.id) is agents.in_channel("room") is record
    agents.running(record.id).speak("Hello.", "APPEND", False)
    agents.running_in("room").update({"llm.model": "m"})
    agent = stand_in(record)
    assert agent.done == [("speak", "Hello.", "APPEND", False), ("update", {"llm.model": "m"})]
    await agents.stop(record)
    assert (record.status, record.reason, record.active, inside) == ("STOPPED", "left", False, set())
    assert agent.done[-1] == ("stop", "left")
    assert record.agent is None  # freed, but for what can be asked for
    assert record.history() == [{"role": "assistant", "content": "Hello."}]
    assert len(record.turns()) == 1
    assert record.ended is not None and record.ended >= record.created
    assert agents.get(record.id) is record
    assert agents.in_channel("room") is None
    await agents.stop(record, "again")
    assert record.reason == "left"
    with pytest.raises(e.AgentNotFound, match="has ended: left"):
        agents.running(record.id)
    with pytest.raises(e.AgentNotFound, match="no agent 'nobody'"):
        agents.running("nobody")
    with pytest.raises(e.AgentNotFound, match="channel 'room'"):
        agents.running_in("room")


async def test_names_and_user_ids_are_taken_once(agents: AgentManager) -> None:
    """Twice at once, too: the name is taken before anything is waited for."""
    results = await asyncio.gather(agents.start(config()), agents.start(config()), return_exceptions=True)
    (record,) = [r for r in results if isinstance(r, AgentRecord)]
    (error,) = [r for r in results if not isinstance(r, AgentRecord)]
    assert isinstance(error, e.AgentConflict)
    assert record.id in str(error)
    await agents.start(config("two", uid="7"))
    with pytest.raises(e.AgentConflict, match="user 7 of channel 'room'"):
        await agents.start(config("three", uid="7"))
    other = await agents.start(config("three", "elsewhere", uid="7"))
    assert agents.in_channel("room") is record  # the first
    await agents.stop(record)
    assert (await agents.start(config())).id != record.id
    assert agents.in_channel("elsewhere") is other


async def test_limit(agents: AgentManager) -> None:
    records = await asyncio.gather(*(agents.start(config(str(n))) for n in range(5)), return_exceptions=True)
    assert [type(r) for r in records] == [AgentRecord] * 3 + [e.AgentLimit] * 2
    assert "LIPWIRE_MAX_AGENTS" in str(records[4])
    assert len(agents.active) == 3
    await agents.stop(cast(AgentRecord, records[0]))
    await agents.start(config("next"))


async def test_a_start_that_fails_is_kept_with_its_reason(agents: AgentManager) -> None:
    with pytest.raises(e.AgentStartFailed, match="nobody is let in here"):
        await agents.start(config(channel="closed"))
    (record,) = agents
    assert (record.status, record.reason) == ("FAILED", "nobody is let in here")
    assert agents.failed_total == 1
    await agents.start(config())  # the name is free again


async def test_a_start_that_takes_too_long() -> None:
    agents = manager(start_timeout=0.05)
    with pytest.raises(e.AgentTimeout, match=r"did not start within 0\.05 s"):
        await agents.start(config(channel="slow"))
    (record,) = agents
    assert (record.status, record.reason) == ("FAILED", "the agent did not start within 0.05 s")
    await agents.close()


async def test_factories_that_refuse(agents: AgentManager) -> None:
    def refuse(kind: type[Exception]) -> AgentManager:
        def make(config: AgentConfig, on_event: Any) -> Any:
            raise kind("no such voice")

        return AgentManager(make)

    for kind, expected in {
        InvalidArgument: e.InvalidAgentRequest,
        e.AgentForbidden: e.AgentForbidden,
        KeyError: e.AgentStartFailed,
    }.items():
        refusing = refuse(cast(type[Exception], kind))
        with pytest.raises(expected, match="no such voice"):
            await refusing.start(config())
        (record,) = refusing
        assert record.status == "FAILED"
        assert ("KeyError" in record.reason) == (kind is KeyError)


async def test_leaving_while_it_starts(agents: AgentManager) -> None:
    start = asyncio.create_task(agents.start(config(channel="slow")))
    await asyncio.sleep(0)
    (record,) = agents
    while record.status != "STARTING":
        await asyncio.sleep(0)
    with pytest.raises(e.AgentConflict, match="is STARTING"):
        agents.running(record.id)
    await agents.stop(record)
    assert record.status == "STOPPED"
    with pytest.raises(e.AgentConflict, match="ended while it started: left"):
        await start


async def test_who_asked_goes_away_meanwhile(agents: AgentManager) -> None:
    """Nobody knows the id of that agent: it ends."""
    start = asyncio.create_task(agents.start(config(channel="slow")))
    await asyncio.sleep(0)
    (record,) = agents
    start.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await start
    assert record.task is not None
    await asyncio.wait({record.task})
    assert (record.status, record.reason) == ("STOPPED", "cancelled")


async def test_an_agent_that_ends_by_itself(agents: AgentManager) -> None:
    record = await agents.start(config())
    stand_in(record).over.set_result("idle_timeout")
    assert record.task is not None
    await record.task
    assert (record.status, record.reason, inside) == ("STOPPED", "idle_timeout", set())


async def test_a_crash_shows_as_failed_and_leaves_the_others(
    agents: AgentManager, caplog: pytest.LogCaptureFixture
) -> None:
    record, other = await agents.start(config()), await agents.start(config("two"))
    stand_in(record).over.set_exception(ZeroDivisionError("division\nby zero"))
    assert record.task is not None
    await record.task
    assert (record.status, record.reason) == ("FAILED", "ZeroDivisionError: division by zero")
    assert "Traceback" in caplog.text
    assert record.history() == []
    assert other.status == "RUNNING"
    assert [place.config.name for place in inside] == ["two"]


async def test_agents_that_do_not_leave_in_order(caplog: pytest.LogCaptureFixture) -> None:
    agents = manager(stop_timeout=0.05)
    sticky, brittle = await agents.start(config("a", "sticky")), await agents.start(config("b", "brittle"))
    await asyncio.gather(agents.stop(sticky), agents.stop(brittle))
    assert (sticky.status, brittle.status) == ("STOPPED", "STOPPED")
    assert "the agent: not closed within 0.05 s, and given up" in caplog.text
    assert "it broke while leaving" in caplog.text
    await agents.close()
    inside.clear()


async def test_who_leaves_may_end_what_it_says() -> None:
    agents = manager()
    brief = await agents.start(msgspec.structs.replace(config("brief"), farewell_seconds=60.0))
    await agents.leave(brief)
    assert brief.status == "STOPPING" and brief.active
    with pytest.raises(e.AgentConflict, match="is STOPPING"):
        agents.running(brief.id)
    await agents.leave(brief)  # again: it is leaving
    assert brief.task is not None
    told = stand_in(brief).done
    await brief.task
    assert (brief.status, brief.reason) == ("STOPPED", "left") and told == [("farewell",), ("stop", "left")]
    await agents.leave(brief)
    plain = await agents.start(config("plain", "talkative"))
    told = stand_in(plain).done
    await agents.leave(plain)
    assert plain.status == "STOPPED" and told == [("stop", "left")]


@pytest.mark.parametrize("end", ["time", "stop", "drain", "close"])
async def test_a_farewell_lasts_no_longer_than_it_may(end: str) -> None:
    agents = manager()
    seconds = 0.05 if end == "time" else 60.0
    record = await agents.start(msgspec.structs.replace(config("one", "talkative"), farewell_seconds=seconds))
    told = stand_in(record).done
    await agents.leave(record)
    await asyncio.sleep(0.01)
    assert record.status == "STOPPING" and told == [("farewell",)]
    if end == "time":
        assert record.task is not None
        await record.task
    elif end == "stop":
        await agents.stop(record, "expired")
    elif end == "drain":
        await agents.drain(0.02)
    else:
        await agents.close()
    assert (record.status, record.reason) == ("STOPPED", "left") and told[-1] == ("stop", "left")
    assert ("wind_up",) in told or end != "drain"


async def test_a_farewell_that_fails_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    agents = manager()
    record = await agents.start(msgspec.structs.replace(config("one"), farewell_seconds=60.0))

    async def fails() -> None:
        raise RuntimeError("no goodbye")

    stand_in(record).farewell = fails  # type: ignore[method-assign]
    await agents.leave(record)
    assert record.task is not None
    await record.task
    assert record.status == "STOPPED" and "no goodbye" in caplog.text


async def test_ended_ones_are_bounded(agents: AgentManager) -> None:
    stays = await agents.start(config("stays"))
    for n in range(12):
        record = await agents.start(config(f"agent {n}"))
        await agents.stop(record)
    assert [record.config.name for record in agents] == ["stays", *(f"agent {n}" for n in range(7, 12))]
    assert stays.active
    assert agents.started_total == 13


@pytest.mark.parametrize(
    ("text", "kept"), [("x" * 16_000, 8), ("ü" * 8_000, 8), ("x😀" * 60, 200), ("ü", 200), ("x" * KEPT_TEXT, 1)]
)
async def test_an_ended_one_keeps_so_much_text_only(agents: AgentManager, text: str, kept: int) -> None:
    """The newest of it, counted as UTF-8, and of one that says little all; of its turns all, but for what was said in
    them. Who hears of its end is told all of it."""
    told: list[tuple[int, int]] = []
    agents.on_status = lambda record: told.append((len(record.history()), len(record.turns())))
    record = await agents.start(config())
    for n in range(200):
        stand_in(record).speak(f"{n} {text}")
    assert record.turns()[-1]["agent_text"] == f"199 {text}"
    reports = [report(turn, record.id, "room") for turn in record.turns()]
    await agents.stop(record)
    assert told == [(0, 0), (0, 0), (200, 200)], "accepted, running, ended"
    assert [said["content"].split()[0] for said in record.history()] == [str(n) for n in range(200 - kept, 200)]
    assert [report(turn, record.id, "room") for turn in record.turns()] == reports
    assert text not in str(record.turns())


async def test_pages(agents: AgentManager) -> None:
    names = [f"agent {n}" for n in range(5)]
    for n, name in enumerate(names):
        record = await agents.start(config(name, "even" if n % 2 == 0 else "odd"))
        record.created = 1000 + n
        if n != 4:
            await agents.stop(record)
    running = frozenset[b.Status]({"RUNNING"})

    def shown(**filters: Any) -> list[str]:
        return [record.config.name for record in agents.page(**filters).records]

    assert shown() == names
    assert shown(channel="odd") == ["agent 1", "agent 3"]
    assert shown(statuses=running) == ["agent 4"]
    assert shown(since=1001, until=1003) == ["agent 1", "agent 2", "agent 3"]
    seen, cursor, pages = [], "", 0
    while True:
        page = agents.page(limit=2, cursor=cursor)
        assert page.total == 5
        seen += [record.config.name for record in page.records]
        pages += 1
        if not (cursor := page.cursor):
            break
    assert (seen, pages) == (names, 3)
    assert shown(cursor="9" * 18) == []
    for bad in ("x", "-1", "²", "1" * 30):
        with pytest.raises(e.InvalidAgentRequest, match="cursor must be"):
            agents.page(cursor=bad)


async def test_agents_end_with_the_keys_of_their_owner(agents: AgentManager) -> None:
    mine, theirs = await agents.start(config()), await agents.start(config(owner="acme"))
    assert await agents.sweep({"operator", "acme"}) == []
    assert await agents.sweep({"operator"}) == [theirs.id]
    assert (theirs.status, theirs.reason, mine.status) == ("STOPPED", "stopped", "RUNNING")
    assert await agents.sweep({"operator"}) == []


async def test_events_and_close() -> None:
    heard: list[tuple[str, Any]] = []
    agents = manager(on_event=lambda record, event: heard.append((record.config.name, event)))
    records = [await agents.start(config(str(n), "room" if n else "slow room")) for n in range(3)]
    agents.running(records[1].id).speak("x", "INTERRUPT", True)
    assert heard == [("1", "x")]
    starting = asyncio.create_task(agents.start(config("late", "slow")))
    await asyncio.sleep(0)
    await agents.close()
    await agents.close()
    assert [record.reason for record in records] == ["shutdown"] * 3
    with pytest.raises(e.AgentConflict, match="shutdown"):
        await starting
    with pytest.raises(e.AgentStartFailed, match="shutting down"):
        await agents.start(config())
    assert inside == set()
