"""Shares of a processor that processes get, by cgroups of either version (cgroups(7)); root alone can make them."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ...errors import BadState

PERIOD_US = 10_000
"""Short: a process that has used its part of a period stands still to its end, which must not be what is late."""
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


class Quotas:
    """Groups of processes with a part of a processor each. Use as a context manager: they are gone behind.

    Args:
        cores: of each group; 0.5 is half a processor.

    Raises:
        BadState: there is no controller of processor time that this process may use.
    """

    def __init__(self, cores: float, v1: Path = V1, v2: Path = V2) -> None:
        self.cores = cores
        name = f"lipwire-rig-{os.getpid()}"
        if os.geteuid() != 0:
            raise BadState("a quota of processor time is for root alone to give")
        if (v1 / "cpu.cfs_quota_us").exists() or (v1 / "cgroup.procs").exists():
            self.version, self._root = 1, v1 / name
        elif "cpu" in _read(v2 / "cgroup.controllers").split():
            self.version, self._root = 2, v2 / name
        else:
            raise BadState("this system has no cgroup controller 'cpu', neither of version 1 nor of version 2")
        self._groups: list[Path] = []

    def __enter__(self) -> Self:
        try:
            if self.version == 2 and "cpu" not in _read(self._root.parent / "cgroup.subtree_control").split():
                (self._root.parent / "cgroup.subtree_control").write_text("+cpu")
            self._root.mkdir()
            if self.version == 2:
                (self._root / "cgroup.subtree_control").write_text("+cpu")
        except OSError as exc:
            self.close()
            raise BadState(f"no cgroup can be made below {self._root.parent}: {exc}") from exc
        return self

    def hold(self, name: str, pid: int) -> None:
        """A process, with all its threads and what it starts from now on, is a group of its own.

        Raises:
            BadState: it cannot be.
        """
        group = self._root / name
        quota = round(self.cores * PERIOD_US)
        try:
            group.mkdir()
            self._groups.append(group)
            if self.version == 1:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as exc:
            raise BadState(f"process {pid} gets no quota: {exc}") from exc

    def throttled(self, name: str) -> tuple[int, int]:
        """How many periods a group has been at work in, and in how many of these it came to the end of its part."""
        lines = (line.split(" ", 1) for line in _read(self._root / name / "cpu.stat").splitlines() if " " in line)
        fields = dict(lines)
        return int(fields.get("nr_periods", 0)), int(fields.get("nr_throttled", 0))

    def close(self) -> None:
        """Takes the groups away, whose processes must have ended. Safe to call twice."""
        for group in (*self._groups, self._root):
            for _ in range(50):  # a process that has just ended is still counted for a moment
                with contextlib.suppress(OSError):
                    group.rmdir()
                if not group.exists():
                    break
                time.sleep(0.02)
        self._groups.clear()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
