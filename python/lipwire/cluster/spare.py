"""A process that waits for a worker to die: it has imported all modules, which takes longer than all else that a worker
does before it is up, and is given the link of the one that it takes the place of.

    spares = Spares("lipwire.app.worker")
    supervisor = Supervisor(spares, ...)     # spawns with it
    spares.prepare()                         # whenever there is time

A module that is started so has its control socket as its first argument, and calls `link_of` when it is ready.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress

from ..process.spawn import Module, Running

POLL = 0.01
"""Seconds between two looks at one that is to end."""


def link_of(control: int) -> int | None:
    """In the process: the descriptor of its link, as soon as it is wanted; None = it never will be."""
    with socket.socket(fileno=control) as sock:
        data, fds, _, _ = socket.recv_fds(sock, 1, 1)
    return fds[0] if data and fds else None


class Spares:
    """Spawns processes of a module (`process.spawn.Spawn`), the first out of one that waits, if there is one.

    Args:
        logs: as of `Module`.
    """

    def __init__(self, module: str, *, logs: bool = False) -> None:
        self._module = Module(module, logs=logs)
        self._waiting: tuple[Running, socket.socket] | None = None

    @property
    def pid(self) -> int | None:
        """Of the one that waits."""
        return None if self._waiting is None else self._waiting[0].pid

    def __call__(self, theirs: socket.socket) -> Running:
        """The process, which has the link now."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and _hand_over(waiting, theirs):
            return waiting[0]
        fresh = self._start()
        _hand_over(fresh, theirs)
        return fresh[0]

    def prepare(self) -> None:
        """Has one wait, where none does; also in place of one that somebody has ended."""
        if self._waiting is not None and self._waiting[0].poll() is not None:
            self._waiting[1].close()
            self._waiting = None
        if self._waiting is None:
            self._waiting = self._start()

    def _start(self) -> tuple[Running, socket.socket]:
        ours, theirs = socket.socketpair()
        try:
            return self._module(theirs), ours
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    async def close(self) -> None:
        """Ends the one that waits. Safe to call twice."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        process, control = waiting
        control.close()
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        while process.poll() is None:
            await asyncio.sleep(POLL)


def _hand_over(waiting: tuple[Running, socket.socket], link: socket.socket) -> bool:
    """False: it has ended."""
    process, control = waiting
    with control, suppress(OSError):
        if process.poll() is None:
            socket.send_fds(control, [b"\0"], [link.fileno()])
            return True
    return False
