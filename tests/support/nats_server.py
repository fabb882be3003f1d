"""Debian's nats-server on loopback, started by a test and ended by it."""

from __future__ import annotations

import asyncio
import shutil
import signal
from types import TracebackType
from typing import Self

from support.machine import require
from support.ports import free_ports


class NatsServer:
    """On a free port, which it keeps when it is started again. Use as an async context manager.

    Args:
        options: more of the command line, say ("--user", "u", "--pass", "p").
    """

    def __init__(self, *options: str) -> None:
        self._program = shutil.which("nats-server")
        require(self._program, "nats-server")
        self._options = options
        (self.port,) = free_ports(1)
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Runs, and takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            *(str(self._program), "-a", "127.0.0.1", "-p", str(self.port), *self._options),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            while True:
                assert self._process.returncode is None, "nats-server has ended"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()

    def freeze(self, stopped: bool) -> None:
        """Makes it stand still, or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self.freeze(False)
        await self.stop(signal.SIGKILL)
