"""An owner of supervised processes, which keeps what it hears; and what this process has of children and open files."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipwire.process.spawn import Module
from lipwire.process.supervisor import Child, Ended, Limits, Supervisor
from support.child import Said

QUICK = Limits(start=20.0, leave=5.0, terminate=0.2)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    """Names and states of this process's children, but for multiprocessing's resource tracker."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                line = Path(f"/proc/{pid}/cmdline").read_text()
                if "resource_tracker" not in line:
                    found.append(line or Path(f"/proc/{pid}/stat").read_text())
    return found


class Owner:
    """What it heard."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.deaths: list[Ended] = []
        self.began: list[int] = []
        self.something = asyncio.Event()

    def message(self, said: Said) -> None:
        self.said.append(said)
        self.something.set()

    def over(self, ended: Ended) -> None:
        self.deaths.append(ended)
        self.something.set()

    def start(self, child: Child[Said]) -> None:
        self.began.append(child.pid)

    async def until(self, true: Callable[[], Any], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                self.something.clear()
                await self.something.wait()

    def child(self, what: str, limits: Limits = QUICK, **options: Any) -> Child[Said]:
        spawn = Module("support.child", what)
        return Child(spawn, Said, name="a child", on_message=self.message, on_end=self.over, limits=limits, **options)

    def supervisor(self, what: str, limits: Limits = QUICK, **options: Any) -> Supervisor[Said]:
        return Supervisor(
            options.pop("spawn", None) or Module("support.child", what),
            Said,
            name="a child",
            on_message=self.message,
            on_start=self.start,
            on_death=self.over,
            limits=limits,
            **options,
        )
