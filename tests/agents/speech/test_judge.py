"""Smart Turn in the process of models, which may be killed."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lipwire.agents.speech import judge as module
from lipwire.agents.speech.judge import HostJudge
from lipwire.models.find import there
from lipwire.models.host import ModelHost
from lipwire.models.table import known
from support.machine import require


async def test_it_is_asked_and_survives_its_process() -> None:
    require(there(known("smart-turn")), "smart-turn (pipecat-ai)")
    judge = HostJudge()
    assert judge.ask(bytes(3200), lambda probability: None) is None  # it is not open
    judge.open()
    assert judge.ask(bytes(3200), lambda probability: None) is None  # it is being loaded
    assert judge._warming is not None
    await asyncio.wait_for(asyncio.shield(judge._warming), 60)
    answers: asyncio.Queue[float | None] = asyncio.Queue()
    assert judge.ask(bytes(32_000), answers.put_nowait) is not None
    told = await asyncio.wait_for(answers.get(), 30)
    assert told is not None and 0 <= told <= 1
    dropped = judge.ask(bytes(32_000), answers.put_nowait)
    assert dropped is not None
    dropped.drop()
    host = ModelHost.of()
    pid = host.state().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # so that it does not answer before it dies
    judge.ask(bytes(32_000), answers.put_nowait)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(answers.get(), 30) is None
    await host.leave()
    await judge.close()
    await judge.close()
    await host.close()
    assert answers.empty()


async def test_where_it_is_not_installed_nobody_is_asked_and_no_process_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "there", lambda model: None)
    monkeypatch.setattr(HostJudge, "_told", False)
    judges = [HostJudge(), HostJudge()]
    for judge in judges:
        judge.open()
        assert judge.ask(bytes(3200), lambda probability: None) is None
        await judge.close()
    (line,) = [record.message for record in caplog.records if record.name == "lipwire.agents"]
    assert line.startswith("the end of a turn is told by its melody and its last word: smart-turn is not installed")
    assert "lipwire models get smart-turn" in line
