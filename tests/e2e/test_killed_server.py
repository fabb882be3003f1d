"""A server that is killed in the middle of speech: nothing of it is left, and the next one is there at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, ProviderFault
from support.agora_double.harness import APP, Double
from support.machine import alive
from support.paths import ROOT
from support.ports import free_ports
from support.provider_stage import start_body

KEY, SECRET = "a-key-for-tests", "0123456789abcdef" * 2
RATE = 16_000
WAIT = 60
CHILDREN = ("lipwire.models.worker", "lipwire.channel.agora.worker", "spawn_main")
"""What runs besides the server: models of speech, Agora's SDK, a renderer."""


def tone(seconds: float) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) * (2 * np.pi * 300 / RATE)) * 9000).astype(np.int16).tobytes()


def descendants(pid: int) -> set[int]:
    """The processes that came of one, by /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Site:
    """The server's place, and its ports, which stay when it is started again."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.work, self.temporary = folder / "work", folder / "tmp"
        self.work.mkdir()
        self.temporary.mkdir()
        self.http, self.ws, self.viewer = free_ports(3)
        self.url = f"http://127.0.0.1:{self.http}"
        self.environment = environment | {
            "TMPDIR": str(self.temporary),
            "LIPWIRE_API_KEY": KEY,
            "LIPWIRE_SESSION_SECRET": SECRET,
            "LIPWIRE_LLM_URL": "http://127.0.0.1:9/v1/chat/completions",
            "LIPWIRE_STT_URL": "offline",
            "LIPWIRE_TTS_URL": "offline",
            "PYTHONPATH": str(ROOT / "tests"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        ports = {"--http-port": self.http, "--ws-port": self.ws, "--viewer-port": self.viewer}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "support.whole_server", "--host", "127.0.0.1", "--ice-host", "127.0.0.1"),
                *(str(one) for pair in ports.items() for one in pair),
            ],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        async with httpx.AsyncClient(base_url=self.url) as http, asyncio.timeout(WAIT):
            while True:
                assert self.process.poll() is None, "the server did not start"
                try:
                    if (await http.get("/healthz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.02)

    def kill(self) -> set[int]:
        """Kills it, and only it; the processes that it had."""
        assert self.process is not None
        children = descendants(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        return children

    def left(self) -> set[str]:
        """What lies around that a process can leave behind."""
        files = {str(path) for folder in (self.work, self.temporary) for path in folder.rglob("*")}
        cache = Path(os.environ["XDG_CACHE_HOME"])
        half = {str(path) for path in cache.rglob("*") if ".tmp" in path.name or path.name.startswith("tmp")}
        return files | half | {f"/dev/shm/{name}" for name in os.listdir("/dev/shm")}


@pytest.fixture
def site(tmp_path: Path, double: Double) -> Iterator[Site]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIPWIRE_")}
    kept |= {"LIPWIRE_AGORA_SDK": os.environ["LIPWIRE_AGORA_SDK"]}
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site", kept)
    yield made
    if made.process is not None:
        made.kill()


async def speak(site: Site, agora: bool) -> tuple[ProviderClient, m.StartReply]:
    """A session in speech. `agora`: it is published into one of Agora's channels, too."""
    body = start_body(app_id=APP if agora else "local", channel="agora" if agora else "here", width=64, height=36)
    started = asyncio.Event()

    def on_event(event: m.ServerEvent) -> None:
        if isinstance(event, m.PlaybackStarted):
            started.set()

    client = ProviderClient(site.url, KEY, m.parse_start(body), on_event=on_event)
    await client.__aenter__()
    await client.speak(tone(30.0), RATE, pace=None)
    await asyncio.wait_for(started.wait(), WAIT)
    assert client.session is not None
    return client, client.session


async def join(site: Site) -> None:
    """An agent that hears."""
    properties: dict[str, Any] = {"channel": "lobby", "agent_rtc_uid": "5", "remote_rtc_uids": ["*"]}
    body = {"name": "listener", "properties": properties | {"idle_timeout": 0, "llm": {"url": "https://llm.invalid/"}}}
    path = f"{site.url}/api/conversational-ai-agent/v2/projects/x/join"
    async with httpx.AsyncClient(timeout=WAIT) as http:
        reply = await http.post(path, json=body, auth=("me", KEY))
        assert reply.status_code == 200, reply.text


async def refused(session: m.StartReply) -> int:
    """How the handshake with a session's token ends."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            session.websocket_address,
            additional_headers={"Authorization": f"Bearer {session.session_token}"},
            proxy=None,
        )
    return caught.value.response.status_code


async def killed_in_speech(site: Site, rounds: int) -> None:
    before = site.left()
    gone: m.StartReply | None = None
    for _ in range(rounds):
        await site.start()
        if gone is not None:
            assert await refused(gone) == 404  # its token is good, and its session gone: open another
        (in_agora, gone), (here, _) = await asyncio.gather(speak(site, True), speak(site, False))
        await join(site)
        assert site.process is not None
        running = {pid: command_line(pid) for pid in descendants(site.process.pid)}
        for kind in CHILDREN:
            assert any(kind in line for line in running.values()), (kind, running)
        children = site.kill()
        for client in (in_agora, here):
            with contextlib.suppress(ProviderFault):  # nobody is there to be told
                await client.close()
        async with asyncio.timeout(WAIT):
            while any(map(alive, children)):
                await asyncio.sleep(0.01)
            while site.left() - before:  # what other tests have in /dev/shm goes; what is left stays
                await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_nothing_is_left_and_the_next_one_is_there_at_once(site: Site) -> None:
    await killed_in_speech(site, int(os.environ.get("LIPWIRE_KILLS", "3")))
