"""A small HTTP/1.1 server in which every byte, and every fault, is ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    """Loop time when the whole of it was there."""


@dataclass
class Response:
    """`stream`: pieces sent as they come, in chunked coding; it may raise `Break`."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    stream: AsyncIterator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Break(Exception):
    """Raised by a handler or a stream: the connection is cut, as by a crash."""


def error(status: int, message: str, code: str = "invalid_request_error") -> Response:
    """As OpenAI words it."""
    body = {"error": {"message": message, "type": code, "param": None, "code": None}}
    return Response(status, msgspec.json.encode(body))


class HttpFake:
    """See the package. A subclass has `path` and `answer`."""

    path = "/"
    method = "POST"

    def __init__(self, *, api_key: str | None = None, check: bool = True, connect_latency: float = 0.0) -> None:
        self.api_key = api_key
        """The only one accepted; None = any, or none."""
        self.check = check
        self.connect_latency = connect_latency
        """Until the headers of the answer leave."""
        self.fail_with: list[int] = []
        """Statuses with which the next requests are answered, one each; 0 = the connection is cut."""
        self.problems: list[str] = []
        self.received: list[Request] = []
        self.connections = 0
        self.cancelled = 0
        """Answers that the client broke off."""
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self.path}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if exc is None and self.check:
            assert not self.problems, self.problems

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                self.received.append(request)
                response = await self._respond(request)
                await self._write(writer, response)
        except (Break, asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()
        except Exception as exc:
            self.problems.append(f"the fake failed: {exc!r}")
            raise
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, path, headers, body, asyncio.get_running_loop().time())

    async def _respond(self, request: Request) -> Response:
        if self.connect_latency:
            await asyncio.sleep(self.connect_latency)
        if self.fail_with:
            status = self.fail_with.pop(0)
            if status == 0:
                raise Break
            return error(status, f"fake failure {status}", "server_error")
        if request.method != self.method or request.path != self.path:
            self.problems.append(f"{request.method} {request.path}, where {self.method} {self.path} was expected")
            return error(404, "not found")
        if self.api_key is not None and self.key_of(request.headers) != self.api_key:
            return error(401, "Incorrect API key provided", "invalid_api_key")
        return await self.answer(request)

    def key_of(self, headers: dict[str, str]) -> str:
        """The key that a request comes with."""
        return headers.get("authorization", "").removeprefix("Bearer ")

    def refuse(self, found: list[str]) -> Response:
        """The answer to a request that is wrong."""
        self.problems += found
        return error(400, "; ".join(found))

    async def _write(self, writer: asyncio.StreamWriter, response: Response) -> None:
        headers = {"content-type": response.type, **response.headers}
        if response.stream is None:
            headers["content-length"] = str(len(response.body))
        else:
            headers["transfer-encoding"] = "chunked"
        head = f"HTTP/1.1 {response.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        writer.write(head.encode() + response.body)
        await writer.drain()
        if response.stream is None:
            return
        try:
            async for piece in response.stream:
                if piece:
                    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                    await writer.drain()
                if writer.transport.is_closing():
                    raise ConnectionResetError
        except ConnectionError:
            self.cancelled += 1
            raise
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def decode(body: bytes) -> Any:
    """JSON, or None."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
