"""The cores of this machine, and what they are used for: /proc (Linux)."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from msgspec import Struct

from ...errors import InvalidArgument

HERTZ = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cores() -> tuple[int, int]:
    """Two different ones: for what is measured, and for everything else. Of those that this process may use the last
    and the first; interrupts tend to land on the first.

    Raises:
        InvalidArgument: there is one only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise InvalidArgument("lipwire bench density needs two processors: what is measured has one for itself")
    return allowed[-1], allowed[0]


class CoreTime(Struct, frozen=True):
    """Seconds that a core has spent since it was started."""

    busy: float
    """At work, for whomever,"""
    stolen: float
    """and of that taken by the machine below a virtual one."""


def core_time(core: int, text: str | None = None) -> CoreTime:
    """Of /proc/stat (proc(5)), or of `text` in its place."""
    lines = (PROC / "stat").read_text() if text is None else text
    fields = next(line.split()[1:] for line in lines.splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _wait, interrupt, soft, stolen = (int(field) / HERTZ for field in fields[:8])
    return CoreTime(user + nice + system + interrupt + soft + stolen, stolen)


def thread_times(pid: int) -> dict[int, tuple[str, float]]:
    """Thread -> (its name, seconds of processor that it has had)."""
    found = {}
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            name, times = read_stat((task / "stat").read_text())
        except OSError:  # it has ended
            continue
        found[int(task.name)] = name, times
    return found


def read_stat(text: str) -> tuple[str, float]:
    """(name, seconds) of a /proc/PID/stat, whose name may have any characters in it."""
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return name, (int(fields[11]) + int(fields[12])) / HERTZ


def by_purpose(pid: int, before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]]) -> dict[str, float]:
    """What a server's threads did between two `thread_times`, in seconds by what they are: its event loop is the thread
    that it began with, threads of Lipwire's have names, and what is left are those of pools, which encode."""
    spent: Counter[str] = Counter()
    for thread, (name, seconds) in after.items():
        purpose = "loop" if thread == pid else name.removeprefix("lipwire-") if name.startswith("lipwire-") else "pools"
        spent[purpose] += seconds - before.get(thread, ("", 0.0))[1]  # type: ignore[assignment]
    return {purpose: seconds for purpose, seconds in spent.items() if seconds > 0}


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has no memory: it has ended")
