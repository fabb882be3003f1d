"""lipwire.process.child: a supervised process does not outlive its parent, and leaves Ctrl-C to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lipwire.process.spawn import Module, Spawn, Target
from lipwire.process.supervisor import Child, Limits
from support.child import Hang, Said, serve
from support.child_owner import Owner
from support.machine import alive

PARENT = """
import asyncio, os, sys, time
from lipwire.process.spawn import Module, Target
from lipwire.process.supervisor import Supervisor
from support.child import Said, serve
async def main():
    spawn = {spawn}
    supervisor = Supervisor(spawn, Said, name="x", on_message=lambda said: print(said.pid, flush=True))
    supervisor.start()
    await asyncio.sleep(600)
if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "spawn",
    [
        'Module("support.child", "")',
        'Module("support.child", "hang at the end")',
        'Module("support.child", "hold the interpreter")',
        'Target(serve, "here", name="x")',
    ],
)
async def test_a_child_ends_with_its_parent(tmp_path: Path, spawn: str) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT.format(spawn=spawn))
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        os.kill(pid, 0)
        parent.kill()
    async with asyncio.timeout(40):
        while alive(pid):
            await asyncio.sleep(0.02)


async def test_an_interrupt_from_the_terminal_is_the_parent_s() -> None:
    owner = Owner()
    child = owner.child("", Limits(ping_every=0.05))
    await owner.until(lambda: owner.said)
    os.kill(child.pid, signal.SIGINT)
    await asyncio.sleep(0.3)
    assert child.usable and owner.deaths == []
    child.tell(Hang())
    child.end(leave=0)
    await child.ended()


@pytest.mark.parametrize("spawn", [Module("support.child", ""), Target(serve, "here", name="x")])
async def test_an_interrupt_while_it_starts_is_the_parent_s_too(spawn: Spawn) -> None:
    owner = Owner()
    child = Child(spawn, Said, name="x", on_message=owner.message, on_end=owner.over)
    for _ in range(50):  # from before it is Python until it runs
        os.kill(child.pid, signal.SIGINT)
        await asyncio.sleep(0.005)
    await owner.until(lambda: owner.said)
    assert child.usable and owner.deaths == []
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    child.end()
    await child.ended()
