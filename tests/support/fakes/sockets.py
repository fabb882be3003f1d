"""A WebSocket server of a vendor's on 127.0.0.1, in which every message, and every fault, is ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from lipwire import resample

from .chat import tone

Voice = Callable[[str], tuple[bytes, int]]
"""Text -> PCM16 mono and its rate."""


SILENT = logging.getLogger("fakes.sockets")
SILENT.setLevel(logging.CRITICAL)
"""websockets logs whole requests at debug, and tests look for keys in the log."""


@dataclass
class Handshake:
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    """By their names in small letters."""


class SocketFake:
    """A subclass has `path`, `key` and `talk`.

    Args:
        voice: what speaks; None = a tone of 60 ms a character.
        refuse: statuses with which the next handshakes are refused, one each.
        cut_after: pieces of sound (100 ms) after which the connection is cut, for one text each; None = never.
        api_key: the only one accepted.
        latency: seconds until the first sound of a text, or until what was heard is told.
        check: whether leaving the block with `problems` fails the test.
    """

    path = "/"

    def __init__(
        self,
        *,
        voice: Voice | None = None,
        refuse: Iterable[int] = (),
        cut_after: Iterable[int | None] = (),
        api_key: str = "k",
        latency: float = 0.0,
        speed: float = 0.0,
        check: bool = True,
    ) -> None:
        self.voice = voice
        self.refuse = list(refuse)
        self.cut_after = list(cut_after)
        self.api_key = api_key
        self.latency = latency
        self.speed = speed
        """Times real time at which sound leaves; 0 = at once."""
        self.check = check
        self.handshakes: list[Handshake] = []
        self.messages: list[Any] = []
        """What clients sent, but for sound."""
        self.open: set[ServerConnection] = set()
        self.most_open = 0
        self.problems: list[str] = []
        self.url = ""
        self._made: dict[tuple[str, int], bytes] = {}
        self._server: Server | None = None

    def key(self, headers: dict[str, str]) -> str | None:
        """The key that a handshake brings."""
        raise NotImplementedError

    async def talk(self, ws: ServerConnection) -> None:
        """A connection, to its end."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, process_request=self._admit, logger=SILENT)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        if exc is None and self.check:
            assert not self.problems, self.problems

    def _admit(self, ws: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.handshakes.append(Handshake(parts.path, parse_qsl(parts.query), headers))
        if self.refuse:
            return ws.respond(HTTPStatus(self.refuse.pop(0)), "refused\n")
        if parts.path != self.path:
            self.problems.append(f"{parts.path}, where {self.path} was expected")
            return ws.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        if self.key(headers) != self.api_key:
            return ws.respond(HTTPStatus.UNAUTHORIZED, f"not the key: {self.key(headers)}\n")
        return None

    async def _serve(self, ws: ServerConnection) -> None:
        self.open.add(ws)
        self.most_open = max(self.most_open, len(self.open))
        try:
            await self.talk(ws)
        except ConnectionClosed:
            pass
        except Exception as exc:
            self.problems.append(f"the fake failed: {exc!r}")
            raise
        finally:
            self.open.discard(ws)

    async def next(self, ws: ServerConnection) -> dict[str, Any]:
        """The next message, which is JSON."""
        message: dict[str, Any] = msgspec.json.decode(await ws.recv())
        self.messages.append(message)
        return message

    async def tell(self, ws: ServerConnection, **message: Any) -> None:
        await ws.send(msgspec.json.encode(message).decode())

    @property
    def query(self) -> dict[str, str]:
        """That of the last handshake."""
        return dict(self.handshakes[-1].query)

    def made(self, text: str, rate: int) -> bytes:
        """Its sound, the same each time."""
        if (text, rate) not in self._made:
            said = None if self.voice is None else self.voice(text)
            self._made[text, rate] = tone(len(text) * 0.06, rate) if said is None else resample(*said, rate)
        return self._made[text, rate]
