"""Smart Turn in the process of models, which may be killed."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lipwire.agents.speech import judge as module
from lipwire.agents.speech.judge import HostJudge
from lipwire.errors import ModelFailed
from lipwire.models.find import there
from lipwire.models.host import ModelHost
from lipwire.models.table import known
from lipwire.protocol.agent_bodies import InUse
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
    assert await asyncio.wait_for(answers.get(), 30) is None and judge.in_use.name == "smart-turn"
    fell: list[InUse] = []
    judge.on_fall = fell.append
    for _ in range(module.IN_A_ROW - 1):  # it fails again and again: the rules tell turns until it answers
        judge.ask(bytes(32_000), answers.put_nowait)
        host.fail([*host.jobs.values()][-1], ModelFailed("/srv/models/turn.onnx is damaged"))
        assert await asyncio.wait_for(answers.get(), 30) is None
    assert fell == [InUse(name="rules", instead_of="smart-turn", because="turn.onnx is damaged")] == [judge.in_use]
    judge.ask(bytes(32_000), answers.put_nowait)
    assert await asyncio.wait_for(answers.get(), 60) is not None and judge.in_use == InUse(name="smart-turn")
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
        fell: list[InUse] = []
        judge.on_fall = fell.append
        judge.open()
        assert judge.ask(bytes(3200), lambda probability: None) is None
        assert fell == [judge.in_use] and (judge.in_use.name, judge.in_use.instead_of) == ("rules", "smart-turn")
        assert judge.in_use.because.startswith("smart-turn is not installed")
        await judge.close()
    (line,) = [record.message for record in caplog.records if record.name == "lipwire.agents"]
    assert line.startswith("the end of a turn is told by its melody and its last word: smart-turn is not installed")
    assert "lipwire models get smart-turn" in line
