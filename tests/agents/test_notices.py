"""agents/notices.py: what webhooks are told of agents, of their lives and of what fails in them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lipwire.agents import errors as e
from lipwire.agents.brains.base import Failed
from lipwire.agents.config import AgentConfig
from lipwire.agents.manager import AgentManager
from lipwire.agents.notices import AgentNotices, module_of
from lipwire.protocol import webhooks as w
from support.agent_stand_in import manager


@pytest_asyncio.fixture
async def agents() -> AsyncIterator[AgentManager]:
    made = manager(limit=5)
    yield made
    await made.close()


def told_by(agents: AgentManager) -> list[w.Notice]:
    told: list[w.Notice] = []
    notices = AgentNotices(told.append, lambda: 7000.0)
    agents.on_status, agents.on_event = notices.status, notices.event
    return told


def config(channel: str = "room", **more: object) -> AgentConfig:
    return AgentConfig(name="one", channel=channel, **more)  # type: ignore[arg-type]


async def test_from_joined_to_left(agents: AgentManager) -> None:
    told = told_by(agents)
    record = await agents.start(config(labels={"tenant": "t1"}))
    agents.running(record.id).speak("Hello.", "APPEND", True)
    await agents.stop(record)
    assert [one.event_type for one in told] == [w.JOINED, w.HISTORY, w.TURNS, w.LEFT]
    assert all(one.sid == record.id and one.notify_ms == 7_000_000 for one in told)
    always = {
        "agent_id": record.id,
        "name": "one",
        "channel": "room",
        "start_ts": int(record.created),
        "labels": {"tenant": "t1"},
    }
    assert told[0].payload == always
    assert record.ended is not None
    stop = {"stop_ts": int(record.ended)}
    assert told[1].payload == always | stop | {"contents": [{"role": "assistant", "content": "Hello."}]}
    assert told[3].payload == always | stop | {"status": "STOPPED", "message": "OK"}


async def test_one_that_cannot_join_has_left_and_nothing_else(agents: AgentManager) -> None:
    told = told_by(agents)
    with pytest.raises(e.AgentStartFailed):
        await agents.start(config("closed"))
    (left,) = told
    assert (left.event_type, left.payload["status"]) == (w.LEFT, "FAILED")
    assert left.payload["message"] == "nobody is let in here"
    assert "labels" not in left.payload


async def test_reasons_by_the_services_words(agents: AgentManager) -> None:
    told = told_by(agents)
    for reason, message in (
        ("idle_timeout", "Idle for too long"),
        ("shutdown", "OK"),
        ("for a reason", "for a reason"),
    ):
        record = await agents.start(config())
        await agents.stop(record, reason)
        assert told[-1].payload["message"] == message


async def test_failures_and_a_token_that_expires(agents: AgentManager) -> None:
    told = told_by(agents)
    record = await agents.start(config())
    assert agents.on_event is not None
    agents.on_event(record, Failed("LLM_ERROR", "llm.example.org answered 500"))
    agents.on_event(record, Failed("TOOL_ERROR", "a tool", minor=True))
    agents.on_event(record, "something else")
    agents.on_event(record, Failed("TOKEN_EXPIRING", "the token expires soon"))
    failed, expires = told[1:]
    (error,) = failed.payload["errors"]
    assert failed.event_type == w.FAILED
    assert error == {
        "module": "llm",
        "turn_id": 0,
        "code": -1,
        "message": "llm.example.org answered 500",
        "reason": "LLM_ERROR",
    }
    assert (expires.event_type, expires.payload["message"]) == (w.EXPIRES, "the token expires soon")


async def test_a_receiver_of_ours_that_fails_ends_no_agent(
    agents: AgentManager, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(record: object) -> None:
        raise RuntimeError("a fault of ours")

    agents.on_status = broken
    record = await agents.start(config())
    await agents.stop(record)
    assert record.status == "STOPPED"
    assert "a fault of ours" in caplog.text


def test_modules() -> None:
    codes = ("LLM_ERROR", "STT_ERROR", "TTS_ERROR", "REALTIME_ERROR", "TOOL_ERROR", "SOMETHING")
    assert [module_of(code) for code in codes] == ["llm", "asr", "tts", "mllm", "llm", "context"]
