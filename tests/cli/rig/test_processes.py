"""Processes of the rig, and what they start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from lipwire.cli.rig.processes import Known, Running, adopting, descendants, known, outlive
from lipwire.errors import BadState
from support.machine import alive

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
print('ready', flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
child.stdout.readline()
print("both", flush=True)
time.sleep(60)
"""


async def start(tmp_path: Path) -> Running:
    running = Running("parent", [sys.executable, "-c", PARENT], os.environ, tmp_path, tmp_path / "log")
    await running.start()
    for _ in range(600):
        if "both" in running.last_words():
            break
        await asyncio.sleep(0.05)
    assert len(running.look()) == 2
    return running


def state(one: Known) -> str:
    return Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_closing_ends_all_of_it_and_tells_what_was_left(tmp_path: Path) -> None:
    with adopting():
        running = await start(tmp_path)
        pids = [one.pid for one in running.look()]
        left = await running.close()
        assert left == [f"process {pids[1]} of parent"]  # it did not end with its parent
        assert not any(map(alive, pids))
        assert await running.close() == []
        with pytest.raises(BadState, match="does not run"):
            _ = running.pid


async def test_a_signal_for_all_of_it_or_itself_alone(tmp_path: Path) -> None:
    with adopting():
        running = await start(tmp_path)
        parent, child = running.look()
        running.signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            while {state(parent), state(child)} != {"T"}:
                await asyncio.sleep(0.01)
        running.signal(signal.SIGCONT)
        running.signal(signal.SIGKILL, alone=True)
        assert await running.ended(10)
        assert child.alive and child in descendants(os.getpid())  # adopted
        assert await outlive([child], 0.1) == [child.pid]
        assert not child.alive
        await running.close()


def test_a_later_process_with_the_same_id_is_another_one() -> None:
    own = known(os.getpid())
    assert own is not None and own.alive
    other = Known(own.pid, own.born + 1)
    assert not other.alive
    other.signal(signal.SIGKILL)  # nobody is hit
