"""A pool of real workers, what clients do with it, and what of it the machine still has."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from lipwire.agents.rest.wire import parse_join
from lipwire.app.config import Config
from lipwire.cluster.ledger import Gone, Limits
from lipwire.cluster.placement import UNIT, Key
from lipwire.cluster.pool import Pool, Worker
from lipwire.cluster.weight import need_of_join, need_of_start
from lipwire.protocol import messages as m
from lipwire.protocol import webhooks as w
from lipwire.provider.client import request
from lipwire.provider.keys import OPERATOR, Quota, make_key
from support.child_owner import children

KEY = "a-key-for-tests"
KEYS = {"acme": make_key()}
"""Of other owners, by their names."""
SECRET = "a secret of thirty-two bytes or more"
WAIT = 60.0
AGENTS = "/api/conversational-ai-agent/v2/projects/local"
MARK = "LIPWIRE_OF_TEST"
FOLDERS: list[str] = []
"""Of all farms of this process."""
RATE = 16_000


def tone(seconds: float) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) * (2 * np.pi * 300 / RATE)) * 9000).astype(np.int16).tobytes()


class Farm:
    """A pool, and whoever uses it. Use as an async context manager."""

    def __init__(
        self, workers: int = 2, quota: Quota | None = None, capacity: int = 50, spare: bool = False, **more: Any
    ) -> None:
        fields: dict[str, Any] = {"host": "127.0.0.1", "ice_host": "127.0.0.1", "api_key": KEY, "drain_seconds": 60.0}
        fields |= {"session_secret": SECRET, "public_viewer_url": "http://127.0.0.1:9/", "preencoded": "off"}
        self.config = Config(**(fields | more))
        self.notices: list[w.Notice] = []
        self.lost: list[Gone] = []
        self.pool = Pool(
            msgspec.to_builtins(self.config),
            workers=workers,
            limits=Limits(capacity=capacity * UNIT, sessions=self.config.max_sessions),
            quota_of=lambda owner: quota if quota is not None and owner != OPERATOR else Quota(),
            api_key=KEY,
            spare=spare,
            on_notice=self.notices.append,
        )
        self.pool.on_gone = self.lost.extend

    async def __aenter__(self) -> Farm:
        async with asyncio.timeout(WAIT):
            await self.pool.start()
        FOLDERS.append(self.pool.folder)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    def weight(self, **more: Any) -> int:
        """Of a session."""
        return need_of_start(self.body(**more), OPERATOR, self.config).weight

    def body(self, channel: str = "c", **more: Any) -> dict[str, Any]:
        started: dict[str, Any] = msgspec.to_builtins(request(channel, width=64, height=36, **more))
        return started

    async def ask(
        self, worker: Worker, method: str, path: str, *, pages: bool = False, key: str = KEY, **more: Any
    ) -> httpx.Response:
        """A request that the front passes on."""
        transport = httpx.AsyncHTTPTransport(uds=worker.viewer_path if pages else worker.http_path)
        basic = base64.b64encode(f"any:{key}".encode()).decode()
        headers = {"x-api-key": key, "authorization": f"Basic {basic}", "x-forwarded-for": "127.0.0.1"} | more.pop(
            "headers", {}
        )
        async with httpx.AsyncClient(transport=transport, timeout=WAIT) as client:
            return await client.request(method, f"http://localhost{path}", headers=headers, **more)

    async def start(self, channel: str = "c", owner: str = OPERATOR, key: str = KEY, **more: Any) -> Speaking | None:
        """A session, as the front starts one; None = there is no room. Raises what `reserve` does."""
        body = self.body(channel, **more)
        place = await self.pool.reserve(need_of_start(body, owner, self.config))
        if place is None:
            return None
        worker = self.pool.workers[place.worker]
        answer = await self.ask(worker, "POST", "/session/start", json=body, key=key)
        if answer.status_code != 200:
            self.pool.cancel(place)
            raise AssertionError(answer.text)
        reply = msgspec.convert(answer.json(), m.StartReply)
        self.pool.confirm(place, (Key("session", "", reply.session_id),))
        return Speaking(worker, reply, body)

    async def start_when_there_is_room(self, channel: str) -> Speaking:
        """A session, as soon as a worker is up."""
        async with asyncio.timeout(WAIT):
            while (session := await self.start(channel)) is None:
                await asyncio.sleep(0.02)
        return session

    async def join(self, name: str, channel: str) -> Joined:
        """An agent, as the front starts one."""
        properties = {"channel": channel, "agent_rtc_uid": "0", "remote_rtc_uids": ["*"], "labels": {"tenant": "t"}}
        body = {"name": name, "properties": properties | {"llm": {"url": "https://llm.example.org/v1/chat"}}}
        agent = parse_join(body, "v2")
        place = await self.pool.reserve(need_of_join(agent, self.config, room=True))
        assert place is not None
        worker = self.pool.workers[place.worker]
        answer = await self.ask(worker, "POST", f"{AGENTS}/join", json=body)
        assert answer.status_code == 200, answer.text
        joined = Joined(worker, answer.json()["agent_id"])
        self.pool.confirm(place, (Key("agent", "", joined.id),))
        return joined

    async def until(self, true: Callable[[], Any], seconds: float = WAIT) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)


class Joined(NamedTuple):
    """An agent, and where it is."""

    worker: Worker
    id: str

    @property
    def path(self) -> str:
        return f"{AGENTS}/agents/{self.id}"


class Speaking:
    """A session and its client."""

    def __init__(self, worker: Worker, reply: m.StartReply, body: dict[str, Any]) -> None:
        self.worker, self.reply, self.body = worker, reply, body
        self.id = reply.session_id
        self.key = Key("session", "", self.id)

    @classmethod
    def of(cls, reply: dict[str, Any], body: dict[str, Any]) -> Speaking:
        """One that another process has started."""
        return cls(Worker(0, "", "", 0), msgspec.convert(reply, m.StartReply), body)

    async def connect(self) -> ClientConnection:
        """Its WebSocket, greeted."""
        socket = await connect(
            self.reply.websocket_address, additional_headers={"Authorization": f"Bearer {self.reply.session_token}"}
        )
        await socket.send(json.dumps({"command": "init", "session_id": self.id} | self.body))
        return socket

    async def speak(self, socket: ClientConnection, seconds: float, event_id: str = "e") -> None:
        audio = base64.b64encode(tone(seconds)).decode()
        voice = {"command": "voice", "audio": audio, "sampleRate": RATE, "encoding": "PCM16", "event_id": event_id}
        await socket.send(json.dumps(voice))
        await socket.send(json.dumps({"command": "voice_end", "event_id": event_id}))

    async def hear(self, socket: ClientConnection, command: str) -> dict[str, Any]:
        """The next event of this kind."""
        async with asyncio.timeout(WAIT):
            while True:
                event: dict[str, Any] = json.loads(await socket.recv())
                if event.get("command") == command:
                    return event


class Left:
    """What the machine has of the workers of one test, whoever reaps them. Others run theirs meanwhile: of ours, and of
    what they start, each has `MARK` in its environment."""

    def __init__(self) -> None:
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self.shared = set(os.listdir("/dev/shm"))

    def processes(self) -> dict[str, str]:
        """Process id -> command line, zombies among them where they are our children."""
        found = {}
        for path in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if path.name.isdecimal() and self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[path.name] = (path / "cmdline").read_text().replace("\0", " ")
        found |= {str(number): line for number, line in enumerate(children())}
        return found

    def folders(self) -> list[Path]:
        """Of sockets, by the processes that are to listen there."""
        return [path for path in map(Path, FOLDERS) if path.exists()]

    def check(self) -> None:
        """There is nothing, soon: what a worker that was killed had started ends by itself, and what others have in
        shared memory goes."""
        assert self.folders() == []
        deadline = time.monotonic() + 15
        while left := self.processes() | dict.fromkeys(self.more_shared(), "shared memory"):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def more_shared(self) -> set[str]:
        """Names in shared memory that were not there before."""
        return {name for name in os.listdir("/dev/shm") if "lipwire" in name} - self.shared


def listens(port: int) -> bool:
    """Whether anybody listens there."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(wanted) and state == "0A":
                return True
    return False


def stop(pid: int) -> None:
    """It stands still."""
    os.kill(pid, signal.SIGSTOP)
