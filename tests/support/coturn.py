"""Debian's coturn on loopback, started by a test and ended by it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from support.machine import require

SECRET = "what-both-servers-know"


class Coturn:
    """A STUN and TURN server over UDP on a free port. Use as an async context manager.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "coturn.log"

    async def __aenter__(self) -> Self:
        program = shutil.which("turnserver")
        require(program, "coturn")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(program), "-n", "--listening-ip=127.0.0.1", f"--listening-port={self.port}"),
                *("--relay-ip=127.0.0.1", "--allow-loopback-peers", "--use-auth-secret", "--realm=lipwire.example"),
                *(f"--static-auth-secret={SECRET}", "--no-tls", "--no-dtls", "--no-tcp", "--no-cli"),
                *("--fingerprint", "--verbose", "--log-file=stdout", "--simple-log", "--relay-threads=1"),
                *(f"--userdb={self._folder / 'turndb'}", f"--pidfile={self._folder / 'pid'}"),
                stdout=log,
                stderr=log,
            )
        try:
            await self._answer()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _answer(self) -> None:
        """Waits until it answers a binding request (RFC 8489)."""
        request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            ours.connect(("127.0.0.1", self.port))
            async with asyncio.timeout(30):
                while True:
                    assert self._process.returncode is None, self.said
                    try:
                        ours.send(request)
                        async with asyncio.timeout(0.2):
                            await loop.sock_recv(ours, 1500)
                        return
                    except (OSError, TimeoutError):
                        await asyncio.sleep(0.05)

    @property
    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    @property
    def urls(self) -> tuple[str, str]:
        return f"stun:127.0.0.1:{self.port}", f"turn:127.0.0.1:{self.port}?transport=udp"

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
