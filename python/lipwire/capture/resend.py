"""Sends what a recording's client sent to a running provider, at the same times: any that speaks the protocol.
What comes out is as like as the machines' clocks are; for every sample alike, see `replay`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ..protocol import messages as m
from ..provider.client import TIMEOUT, ProviderFault
from . import records as r
from .file import read

LINGER = 10.0
"""Seconds to wait for as many events as there were."""


class Resent(Struct):
    """What was done."""

    messages: int = 0
    left_out: int = 0
    """Binary frames, and texts that the recording does not hold."""
    closed: int = 0
    """Messages that found their connection closed by the provider."""
    events: int = 0


class Resend:
    """A recording on its way to a provider.

    Args:
        path: the file. url: the provider's HTTP side. api_key: for x-api-key.
        ws_url: where its WebSocket is, instead of what it answers.
        pace: times the recording's; None = as fast as possible.
        on_event: called with each event of the provider, as text.
        tls: what is trusted behind https and wss; by default what the system trusts.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        url: str,
        api_key: str,
        *,
        ws_url: str | None = None,
        pace: float | None = 1.0,
        on_event: Callable[[str], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._records = read(path)
        header = next(self._records)
        assert isinstance(header, r.Header)
        self.header = header
        self.done = Resent()
        self.agora = header.request.agora_settings
        """What to say; as recorded, which is without the token."""
        self._url, self._key, self._ws_url = url.rstrip("/"), api_key, ws_url
        self._pace, self._sleep, self._on_event = pace, sleep, on_event
        self._tls = ssl.create_default_context() if tls is None else tls
        self._wires: dict[int, ClientConnection] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._expected = 0
        self._heard = asyncio.Event()
        self._session: m.StartReply | None = None

    async def run(self) -> Resent:
        """Starts a session, sends everything, waits until it has been said, and stops it.

        Raises:
            ProviderFault: the provider refused the session or a connection.
        """
        # Not into the film that it was: there it is, or there is no folder for any.
        start = msgspec.structs.replace(self.header.request, agora_settings=self.agora, record=None)
        async with httpx.AsyncClient(
            headers={"x-api-key": self._key}, timeout=TIMEOUT, trust_env=False, verify=self._tls
        ) as http:
            self._session = await self._start(http, start)
            try:
                await self._send_all(self._session)
                await self._settle()
            finally:
                for wire in self._wires.values():
                    await wire.close()
                await asyncio.gather(*self._readers, return_exceptions=True)
                body = m.StopRequest(session_id=self._session.session_id)
                with contextlib.suppress(httpx.HTTPError):
                    await http.request("DELETE", f"{self._url}/session/stop", content=m.encode(body), headers=_JSON)
        return self.done

    async def _start(self, http: httpx.AsyncClient, start: m.StartRequest) -> m.StartReply:
        try:
            reply = await http.post(f"{self._url}/session/start", content=m.encode(start), headers=_JSON)
        except httpx.HTTPError as exc:
            raise ProviderFault(f"POST {self._url}/session/start failed: {exc or type(exc).__name__}") from exc
        if reply.status_code != 200:
            raise ProviderFault(f"POST {self._url}/session/start answered {reply.status_code}: {reply.text[:300]}")
        return msgspec.json.decode(reply.content, type=m.StartReply)

    async def _send_all(self, session: m.StartReply) -> None:
        began = time.monotonic()
        for record in self._records:
            if self._pace is not None and (t := getattr(record, "t", None)) is not None:
                wait = began + (t - self.header.origin) / self._pace - time.monotonic()
                if wait > 0:
                    await self._sleep(wait)
            if isinstance(record, r.Connected):
                await self._connect(session, record.connection)
            elif isinstance(record, r.Disconnected):
                if (wire := self._wires.pop(record.connection, None)) is not None:
                    if self._pace is None:
                        await self._settle()
                    await wire.close()
            elif isinstance(record, r.Received):
                await self._send(session, record)
            elif isinstance(record, r.Sent):
                self._expected += bool(self._wires)

    async def _connect(self, session: m.StartReply, number: int) -> None:
        url = self._ws_url or session.websocket_address
        headers = {"Authorization": f"Bearer {session.session_token}"}
        try:
            tls = self._tls if url.lower().startswith("wss:") else None
            wire = await connect(
                url, additional_headers=headers, compression=None, proxy=None, open_timeout=TIMEOUT, ssl=tls
            )
        except (OSError, InvalidStatus, TimeoutError) as exc:
            raise ProviderFault(f"cannot connect to {url}: {exc}") from exc
        self._wires[number] = wire
        self._readers.append(asyncio.create_task(self._hear(wire)))

    async def _settle(self) -> None:
        """Waits until as many events have come as came to the recorded client up to here."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self.done.events < self._expected:
                    self._heard.clear()
                    await self._heard.wait()

    async def _send(self, session: m.StartReply, record: r.Received) -> None:
        wire = self._wires.get(record.connection)
        if record.text is None or wire is None:
            self.done.left_out += 1
            return
        try:
            await wire.send(self._as_ours(session, record.text))
            self.done.messages += 1
        except ConnectionClosed:
            self.done.closed += 1

    def _as_ours(self, session: m.StartReply, text: str) -> str:
        """An `init` names the session and the channel."""
        if '"agora_settings"' not in text:
            return text
        body: dict[str, Any] = m.parse_object(text) or {}
        if body.get("session_id") == self.header.session_id:
            body["session_id"] = session.session_id
        if isinstance(body.get("agora_settings"), dict):
            body["agora_settings"] = self.agora
        return msgspec.json.encode(body).decode()

    async def _hear(self, wire: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in wire:
                self.done.events += 1
                self._heard.set()
                if self._on_event is not None:
                    self._on_event(str(text))


_JSON = {"content-type": "application/json"}
