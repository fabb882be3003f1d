"""Whatever one client sends, a healthy session beside it loses no block of sound and no frame.

The server is the real one, each abuse is real traffic over its WebSocket port, and what is counted is what the healthy
session lost. Nothing here judges how fast anything was. What reaches the other ports, or asks for sessions, is tried
on the command itself, by `bench/neighbours.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.cli.options import settle
from lipwire.protocol import messages as m
from support import abuse
from support.abuse import ABUSES, Abuser
from support.machine import nice
from support.paths import ROOT
from support.provider_stage import start_body

RATE = 16000
SECONDS = 2
SPEECH = b"".join(struct.pack("<h", round(9000 * math.sin(n / 9))) for n in range(RATE * SECONDS))


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    config = Config(http_port=0, ws_port=0, viewer=False, agora="off", log_level="error")
    async with Service(config) as service:
        settle()  # as `lipwire serve` does
        with nice(-10):
            yield service
    gc.unfreeze()


async def start(service: Service, uid: str) -> m.StartReply:
    request = m.parse_start(start_body(uid=uid, channel="neighbours", quality="low"))
    return await service.provider.start(request, service.provider.check_api_key(service.api_key))


class Healthy:
    """A client that speaks, and counts what its session lost."""

    def __init__(self, service: Service, reply: m.StartReply, ws: ClientConnection) -> None:
        self.session = service.watched[reply.session_id].session
        self.ws = ws
        self.blocks: list[int] = []

    def lost(self) -> dict[str, int]:
        stats = self.session.performer.stats()
        return {name: stats[name] for name in ("pcm_dropped", "frames_dropped", "underruns")}

    async def say(self, event_id: str) -> m.PlaybackFinished:
        """Says all of it while a heartbeat of its own goes along; the end of it."""
        step = len(SPEECH) // 20
        for at in range(0, len(SPEECH), step):
            await self._send("voice", abuse.voice(SPEECH[at : at + step], RATE, event_id=event_id))
        await self._send("voice_end", abuse.message("voice_end", event_id=event_id))
        await self._send("heartbeat", abuse.message("heartbeat", event_id=event_id, timestamp=1))
        alive = False
        while True:
            event = m.decode_event(await self.ws.recv())
            assert not isinstance(event, m.ErrorEvent), event
            alive |= event == m.HeartbeatAck(event_id, 1)
            if isinstance(event, m.PlaybackFinished):
                assert alive
                return event

    async def _send(self, command: str, frame: bytes) -> None:
        await self.ws.send(frame[frame.index(b"{") :].decode())


@contextlib.asynccontextmanager
async def healthy(service: Service) -> AsyncIterator[Healthy]:
    reply = await start(service, "1")
    headers = {"authorization": f"Bearer {reply.session_token}"}
    async with connect(f"ws://127.0.0.1:{service.ws_port}", additional_headers=headers, proxy=None) as ws:
        await ws.send(json.dumps({"command": "init", "session_id": reply.session_id, **start_body()}))
        assert isinstance(m.decode_event(await ws.recv()), m.InitAck)
        yield Healthy(service, reply, ws)


async def abused(service: Service, uid: str, data: bytes, **options: Any) -> Abuser:
    reply = await start(service, uid)
    return Abuser(service.ws_port, reply.session_id, reply.session_token, data, **options)


async def speaks_well(service: Service, neighbour: Healthy, abusers: list[Abuser]) -> None:
    before = neighbour.lost()
    with contextlib.ExitStack() as running:
        for abuser in abusers:
            running.enter_context(abuser)
        while not all(abuser.sent for abuser in abusers):
            await asyncio.sleep(0.01)
        spoken = await neighbour.say("v")
        await asyncio.to_thread(running.close)
    for abuser in abusers:  # it was not kept out: its session has heard of it
        if (session := service.provider._sessions.get(abuser.session_id)) is not None:
            assert session.connections
    assert spoken == m.PlaybackFinished("v", SECONDS * 1000, False)
    assert neighbour.lost() == before


@pytest.mark.parametrize("name", ABUSES)
async def test_one_client_cannot_harm_another(service: Service, name: str) -> None:
    async with healthy(service) as neighbour:
        await speaks_well(service, neighbour, [await abused(service, "2", ABUSES[name]())])


async def test_one_that_reads_nothing_cannot_either(service: Service) -> None:
    kinds = ("heartbeats", "pings", "errors with long ids")
    async with healthy(service) as neighbour:
        abusers = [await abused(service, str(n), ABUSES[name](), reads=False) for n, name in enumerate(kinds, 2)]
        await speaks_well(service, neighbour, abusers)


async def test_handshakes_cannot_either(service: Service) -> None:
    async with healthy(service) as neighbour:
        good = await abused(service, "2", b"", churn=True)
        bad = [Abuser(service.ws_port, "s", token, b"", churn=True) for token in ("no.good.token", good.token[:-2])]
        await speaks_well(service, neighbour, [good, *bad])
        assert good.connections > 1


async def test_many_of_them_together_cannot_either(service: Service) -> None:
    kinds = ("tiny messages", "short nests", "init again", "pings", "odd sample rates", "interrupts", "binary")
    async with healthy(service) as neighbour:
        abusers = [await abused(service, str(n), ABUSES[name]()) for n, name in enumerate(kinds, 2)]
        await speaks_well(service, neighbour, abusers)


DOORS = (
    *("bad-states", "many-connections", "churn", "odd-sizes", "greedy", "bad-tokens"),
    *("silent-http", "slow-http", "silent-ws", "bad-keys", "scraping", "offers", "tiny-chunks", "wide-heads"),
)
"""What comes in by the other doors, with an API key or with none; and a log that nobody reads."""


def by_the_doors(*names: str) -> dict[str, dict[str, Any]]:
    """What the benchmark counted, by abuse."""
    command = [sys.executable, str(ROOT / "bench" / "neighbours.py"), "--seconds", "1", *names]
    with nice(-10):  # the server and the healthy client; the hostile one steps back by itself
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_what_comes_by_the_other_doors_cannot_either() -> None:
    lines = by_the_doors(*DOORS)
    assert set(lines) == {"none", *DOORS, "speech of all that time"}
    assert sum(lines[name]["n"] for name in DOORS) > 100, "they were kept out"
    # Other tests can keep the server itself off both processors for longer than its ring lasts. An abuse does it again.
    if lost := [name for name, line in lines.items() if line["value"]]:
        again = by_the_doors(*([name for name in lost if name in DOORS] or DOORS[:1]))
        assert [line for line in again.values() if line["value"]] == [], lost
