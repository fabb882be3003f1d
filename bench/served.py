"""`lipwire serve` in a process of its own, for the benchmarks that look at it from outside: no benchmark by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

KEY = "key-of-one-benchmark-run"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


class Server:
    """`lipwire serve` on free ports. Its stderr is a pipe that nobody reads."""

    def __init__(self) -> None:
        http, ws, viewer = free_ports(3)
        self.http, self.ws, self.viewer = (
            f"http://127.0.0.1:{http}",
            f"ws://127.0.0.1:{ws}",
            f"http://127.0.0.1:{viewer}/",
        )
        command = [sys.executable, "-m", "lipwire", "serve", "--host", "127.0.0.1", "--agora", "off"]
        command += ["--http-port", str(http), "--ws-port", str(ws), "--viewer-port", str(viewer)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "LIPWIRE_API_KEY": KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def rss(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise OSError("no VmRSS")

    async def ready(self) -> None:
        """Waits until it answers."""
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(600):
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(self.http + "/healthz")).status_code == 200:
                        return
                if self.process.poll() is not None:
                    assert self.process.stderr is not None
                    raise RuntimeError(f"the server ended: {self.process.stderr.read().decode()[-2000:]}")
                await asyncio.sleep(0.05)
        raise TimeoutError("the server did not start")

    def close(self) -> None:
        """Ends it as a service manager would."""
        assert self.process.stderr is not None
        self.process.terminate()
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
