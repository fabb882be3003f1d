"""`lipwire serve` in a process of its own, for the benchmarks that look at it from outside: no benchmark by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from harness import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from support.ports import free_ports

KEY = "key-of-one-benchmark-run"


class Server:
    """`lipwire serve` on free ports.

    Args:
        log: where its stderr goes; None = into a pipe that nobody reads.
        descriptors: how many files it may have open; None = as many as this process.
        settings: in its environment, besides this process's.
    """

    def __init__(
        self, log: Path | None = None, descriptors: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        http, ws, viewer = free_ports(3)
        self.port = http
        self.http, self.ws, self.viewer = (
            f"http://127.0.0.1:{http}",
            f"ws://127.0.0.1:{ws}",
            f"http://127.0.0.1:{viewer}/",
        )
        command = [sys.executable, "-m", "lipwire", "serve", "--host", "127.0.0.1", "--agora", "off"]
        command += ["--http-port", str(http), "--ws-port", str(ws), "--viewer-port", str(viewer)]

        def limit() -> None:
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        with contextlib.ExitStack() as stack:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "LIPWIRE_API_KEY": KEY, **(settings or {})},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if log is None else stack.enter_context(log.open("wb")),
                preexec_fn=limit,
            )
        self._log = log

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
                    raise RuntimeError(f"the server ended: {self._said()[-2000:]}")
                await asyncio.sleep(0.05)
        raise TimeoutError("the server did not start")

    def _said(self) -> str:
        if self._log is not None:
            return self._log.read_text()
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        """Ends it as a service manager would."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def serving(
    log: Path | None = None, descriptors: int | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """See `Server`."""
    server = Server(log, descriptors, settings)
    try:
        yield server
    finally:
        server.close()
