"""The two ways to start a child process with a link to this one: a module of this package's kind, and a function."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util  # its atexit, which ends children, now: what is registered later runs before it
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, Protocol

from ..errors import BadState
from .child import run, without_interrupts


class Running(Protocol):
    """A process that was spawned, as subprocess.Popen has it."""

    @property
    def pid(self) -> int: ...

    @property
    def stderr(self) -> IO[bytes] | None:
        """What it writes to its standard error, where that goes into the log."""

    def poll(self) -> int | None:
        """Its exit code, minus the signal's number if one killed it; None while it runs. Reaps it."""


Spawn = Callable[[socket.socket], Running]
"""Starts a process, and hands it the socket, its end of the link."""


class Module:
    """Spawns `python -m MODULE FD ARGUMENTS...`, in which `child.to_parent(int(FD), ...)` is the link. The program's
    own main module is not run again. What the child prints is discarded; its standard error is logged, or with `logs`
    it is this process's."""

    def __init__(self, module: str, *arguments: str, logs: bool = False) -> None:
        self.module, self.arguments = module, arguments
        self._stderr = None if logs else subprocess.PIPE

    def __call__(self, theirs: socket.socket) -> Running:
        fd = theirs.fileno()
        with without_interrupts():
            return subprocess.Popen(
                [sys.executable, "-m", self.module, str(fd), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=[fd],
            )


class Target:
    """Spawns a process of multiprocessing (method `spawn`), in which `function(socket, *args)` runs.

    The function and the arguments are pickled in this process and unpickled there, where the program's main module is
    imported to find them: that way only. What comes back is MessagePack. Standard output and error are this process's.

    Raises:
        BadState: this process is being started by multiprocessing, and imports what should be guarded.
    """

    def __init__(self, function: Callable[..., None], *args: Any, name: str) -> None:
        self.check()
        self.function, self.args, self.name = function, args, name

    @staticmethod
    def check() -> None:
        """Raises BadState as the class does, for who makes one later."""
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself finds out
            raise BadState('its process imports this program: put what it starts under `if __name__ == "__main__"`')

    def __call__(self, theirs: socket.socket) -> Running:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=run, args=(theirs, self.function, self.args), name=self.name, daemon=True)
        with without_interrupts():
            process.start()
        return _Multiprocess(process)


class _Multiprocess:
    stderr = None

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and (code := self._process.exitcode) is not None:
            self._code = code
            self._process.close()
        return self._code
