"""A provider with sessions that only record."""

from __future__ import annotations

import asyncio
from typing import Any

from lipwire.errors import BufferFull
from lipwire.protocol import messages as m
from lipwire.provider.keys import KeyRing
from lipwire.provider.sessions import Emit, Provider, ProviderConfig

KEY = "key-of-the-tests"


OTHER_KEY = "key-of-somebody-else"


SECRET = "0123456789abcdef0123456789abcdef"


def start_body(**changes: Any) -> dict[str, Any]:
    """A good body of /session/start; `uid="7"` and the like change agora_settings, None removes a field."""
    body: dict[str, Any] = {
        "avatar_id": "aria",
        "quality": "medium",
        "version": "v1",
        "video_encoding": "H264",
        "agora_settings": {
            "app_id": "a" * 32,
            "token": "t",
            "channel": "room",
            "uid": "1",
            "enable_string_uid": False,
        },
    }
    for name, value in changes.items():
        target = body["agora_settings"] if name in body["agora_settings"] else body
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return body


class FakeSession:
    """A `LiveSession` that writes down what it is told. `fail` is raised by the next call that takes input."""

    def __init__(self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit) -> None:
        self.id, self.request, self.granted, self.emit = session_id, request, granted, emit
        self.calls: list[tuple[Any, ...]] = []
        self.fail: Exception | None = None
        self.figures: dict[str, Any] = {"talking": False, "frames": 3, "late": 1, "underruns": 2}
        self.closed = 0
        self.space = 120.0
        self.generation = 0
        self.arrived = asyncio.Event()
        self.silent = asyncio.Event()
        """Clear: it speaks, until it is interrupted."""
        self.silent.set()

    def check_room(self, seconds: float) -> None:
        if seconds > self.space:
            raise BufferFull(f"the speech buffer has {self.space:.1f} s left, the chunk is {seconds:.1f} s")

    def _call(self, *call: Any) -> None:
        if self.fail is not None:
            exc, self.fail = self.fail, None
            raise exc
        self.calls.append(call)
        self.arrived.set()

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None) -> None:
        self._call("voice", payload, encoding, sample_rate, event_id)

    def voice_end(self, event_id: str | None) -> None:
        self._call("voice_end", event_id)

    def interrupt(self, event_id: str | None) -> None:
        self._call("interrupt", event_id)
        self.silent.set()

    def special(self, content: Any, event_id: str | None) -> None:
        self._call("special", content, event_id)

    def renew(self, token: str) -> None:
        self._call("renew", token)

    async def finished(self) -> None:
        await self.silent.wait()

    def stats(self) -> dict[str, Any]:
        return self.figures

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)

    @property
    def spoken(self) -> bytes:
        return b"".join(call[1] for call in self.calls if call[0] == "voice")


class Stage:
    """A provider over fake sessions, with clocks that stand still."""

    def __init__(self, keys: KeyRing | None = None, **config: Any) -> None:
        self.now = 1000.0
        self.wall = 1_700_000_000.0
        self.made: list[FakeSession] = []
        self.refuse: Exception | None = None
        self.gate: asyncio.Event | None = None
        settings: dict[str, Any] = {"api_key": KEY, "session_secret": SECRET}
        self.provider = Provider(
            ProviderConfig(**(settings | config)),
            self.make,
            keys=keys or KeyRing(KEY, named={"other": OTHER_KEY}, clock=lambda: self.now),
            clock=lambda: self.now,
            wall_clock=lambda: self.wall,
        )

    async def make(self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit) -> FakeSession:
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse is not None:
            raise self.refuse
        session = FakeSession(session_id, request, granted, emit)
        self.made.append(session)
        return session

    async def start(self, key: str = KEY, **changes: Any) -> m.StartReply:
        return await self.provider.start(m.parse_start(start_body(**changes)), self.provider.check_api_key(key))
