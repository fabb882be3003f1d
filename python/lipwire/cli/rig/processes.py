"""Processes of the rig: each with its log, its children known by their ids, and gone behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ...errors import BadState

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""prctl(2)."""
LEAVE = 8.0
"""Seconds that a process has to end when it is asked to."""
_libc = ctypes.CDLL(None, use_errno=True)


class Known(NamedTuple):
    """A process that cannot be mistaken for a later one with its id."""

    pid: int
    born: int
    """When it began, in ticks since this machine did."""

    @property
    def alive(self) -> bool:
        """It runs; a zombie does not."""
        found = _stat(self.pid)
        return found is not None and found.born == self.born and found.state != "Z"

    def signal(self, number: signal.Signals) -> None:
        """Sends it, if it is there."""
        found = _stat(self.pid)
        if found is not None and found.born == self.born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class _Stat(NamedTuple):
    state: str
    parent: int
    born: int


def _stat(pid: int) -> _Stat | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Stat(fields[0], int(fields[1]), int(fields[19]))


def known(pid: int) -> Known | None:
    """The process that has this id now."""
    found = _stat(pid)
    return None if found is None else Known(pid, found.born)


def descendants(pid: int) -> list[Known]:
    """All that a process has started, and what those have."""
    children: dict[int, list[Known]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (found := _stat(int(entry))) is not None:
            children.setdefault(found.parent, []).append(Known(int(entry), found.born))
    found_all, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found_all.append(child)
            waiting.append(child.pid)
    return found_all


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Within, what outlives its parent is this process's child, and is seen."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _tied() -> None:
    """In a child: it ends with its parent, whatever ends that."""
    os.setpgid(0, 0)  # Ctrl-C is for the rig, which ends the others in good order
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Running:
    """A process.

    Args:
        command: what to run. environment: all of it. folder: where it stands. log: what it says goes there.
    """

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.name, self._command, self._environment = name, command, environment
        self._folder, self._log = folder, log
        self._process: asyncio.subprocess.Process | None = None
        self._self: Known | None = None
        self.kin: list[Known] = []
        """What it had started when it was looked at last (`look`)."""
        self.pids: set[int] = set()
        """Of it, and of all that it has ever been seen to have started."""

    async def start(self) -> None:
        """Runs it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                cwd=self._folder,
                preexec_fn=_tied,
            )
        self._self = known(self._process.pid)

    @property
    def running(self) -> bool:
        """It has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the process itself. Raises BadState: it does not run."""
        if self._process is None:
            raise BadState(f"{self.name} does not run")
        return self._process.pid

    def look(self) -> list[Known]:
        """Itself and all that it has started."""
        if self._self is None:
            return []
        self.kin = [one for one in dict.fromkeys((*self.kin, *descendants(self._self.pid))) if one.alive]
        self.pids.update(one.pid for one in (self._self, *self.kin))
        return [one for one in (self._self, *self.kin) if one.alive]

    def signal(self, number: signal.Signals, *, alone: bool = False) -> None:
        """To it and all that it has started; `alone`: to itself."""
        everyone = self.look()
        for one in everyone[:1] if alone else everyone:
            one.signal(number)

    async def ended(self, seconds: float) -> bool:
        """Whether it ends within that time."""
        if self._process is None:
            return True
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def close(self) -> list[str]:
        """Ends it, in good order if it can; what it left behind, which is ended too. Safe to call twice."""
        if self._process is None:
            return []
        self.signal(signal.SIGCONT)
        if self.running:
            self.signal(signal.SIGTERM, alone=True)
            if not await self.ended(LEAVE):
                self.signal(signal.SIGKILL)
                await self.ended(LEAVE)
        left = await outlive(self.kin, 3.0)
        self._process = None
        return [f"process {pid} of {self.name}" for pid in left]

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self._log.read_bytes()[-1500:].decode(errors="replace").strip() or "nothing"
        except OSError:
            return "nothing"


async def outlive(kin: Iterable[Known], seconds: float) -> list[int]:
    """Waits until these have ended; the ids of those that have not by then, which are killed."""
    waiting, until = list(kin), time.monotonic() + seconds
    while waiting := [one for one in waiting if one.alive]:
        if time.monotonic() > until:
            for one in waiting:
                one.signal(signal.SIGKILL)
            while any(one.alive for one in waiting):
                await asyncio.sleep(0.01)
            break
        await asyncio.sleep(0.05)
    reap(kin)
    return [one.pid for one in waiting]


def reap(kin: Iterable[Known]) -> None:
    """Takes note of the end of those that this process has adopted."""
    for one in kin:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(one.pid, os.WNOHANG)
