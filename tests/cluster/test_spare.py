"""cluster/spare.py with real processes: who waits is taken, who has ended is not, and nobody is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lipwire.cluster.spare import Spares
from lipwire.process.supervisor import Child, Ended, Limits
from support.child_owner import children, open_files
from support.machine import alive
from support.paths import ROOT

pytestmark = pytest.mark.asyncio
LIMITS = Limits(start=30.0, leave=5.0)


class Owner:
    """Has children of them."""

    def __init__(self, spares: Spares) -> None:
        self.spares = spares
        self.said: list[int | str] = []
        self.deaths: list[Ended] = []

    def child(self) -> Child[int | str]:
        return Child(
            self.spares,
            int | str,
            name="child",
            on_message=self.said.append,
            on_end=self.deaths.append,
            limits=LIMITS,
        )

    async def hears(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.said) < count:
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def owner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:{ROOT / 'tests'}")
    before = open_files()
    spares = Spares("support.spare_child")
    yield Owner(spares)
    await spares.close()
    await spares.close()
    assert open_files() == before and children() == []


async def test_the_one_that_waits_is_taken_and_then_others_are_started(owner: Owner) -> None:
    owner.spares.prepare()
    owner.spares.prepare()
    waits = owner.spares.pid
    assert waits is not None and len(children()) == 1
    first, second = owner.child(), owner.child()
    assert first.pid == waits != second.pid and owner.spares.pid is None
    await owner.hears(2)
    assert set(owner.said) == {first.pid, second.pid}
    first.tell("hello")
    await owner.hears(3)
    assert owner.said[2] == "hello"
    for child in (first, second):
        child.end()
        assert (await child.ended()).code == 0


async def test_one_that_was_ended_meanwhile_is_replaced(owner: Owner) -> None:
    owner.spares.prepare()
    waits = owner.spares.pid
    assert waits is not None
    os.kill(waits, signal.SIGKILL)
    while alive(waits):
        await asyncio.sleep(0.01)
    child = owner.child()
    await owner.hears(1)
    assert child.pid != waits and owner.said == [child.pid]
    owner.spares.prepare()
    os.kill(owner.spares.pid or 0, signal.SIGKILL)
    while alive(owner.spares.pid or 0):
        await asyncio.sleep(0.01)
    owner.spares.prepare()
    assert owner.spares.pid is not None and alive(owner.spares.pid)
    child.end()
    await child.ended()


async def test_one_that_nobody_needs_ends_with_its_owner(owner: Owner) -> None:
    """Which may have been killed: the control socket closes."""
    owner.spares.prepare()
    assert owner.spares._waiting is not None
    process, control = owner.spares._waiting
    control.close()
    async with asyncio.timeout(30):
        while process.poll() is None:
            await asyncio.sleep(0.01)
    assert process.poll() == 0
