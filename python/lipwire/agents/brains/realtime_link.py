"""The connection to OpenAI Realtime: what is sent, in order and bounded, and another one where it breaks."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ...outward import Outward
from ..headers import credentials
from ..http import ServiceError
from ..realtime_socket import connect, details

BACKOFF = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each try to connect again; then it is given up."""
MAX_OUT = 1000
"""Messages that wait to be sent; when there are more, sound is dropped, the oldest first."""
MAX_LEFT = 8192
"""Messages that wait though there is no sound to be dropped,"""
MAX_LEFT_BYTES = 64 << 20
"""and bytes of all that waits, from which on a service has failed that does not take them."""
STUCK = 15.0
"""Seconds after which a service has failed that takes nothing."""


class RealtimeLink:
    """One connection after the other.

    Args:
        url: with the model. api_key: the service's.
        outward: where the URL may lead; None = it is the operator's own.
        take: gets each message of the service's.
        begin: called when another connection is there (`ws`): it has to be told everything.
        lost: called when one is gone, with the reason, for everyone, and whether that is to be told in any case.
        failed: told that connecting again failed, in words for everyone, and whether that was the last try.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        outward: Outward | None,
        *,
        take: Callable[[str | bytes], None],
        begin: Callable[[], None],
        lost: Callable[[str, bool], None],
        failed: Callable[[str, bool], None],
    ) -> None:
        self._url = url
        self._key = api_key
        self._headers = credentials(url, api_key)
        self._outward = outward
        self._take = take
        self._begin = begin
        self._lost = lost
        self._failed = failed
        self.ws: ClientConnection | None = None
        """The connection; None = there is none now."""
        self.out: deque[tuple[bool, str]] = deque()
        """(whether it is sound, message)"""
        self._out_bytes = 0
        self._out_changed = asyncio.Event()
        self._stuck = ""
        """Why the connection was given up, where it was."""

    async def open(self) -> ClientConnection:
        """The first connection. Raises ServiceError."""
        self.ws = await self._connect()
        return self.ws

    async def close(self) -> None:
        """Closes the connection, whose `run` is not running any more."""
        if self.ws is not None:
            await self.ws.close()
            self.ws = None

    async def _connect(self) -> ClientConnection:
        return await connect(self._url, self._headers, self._key, self._outward)

    def details(self, text: str) -> None:
        """Logs what only the operator may read."""
        details(text, self._url, self._key)

    async def run(self, ws: ClientConnection) -> None:
        """Reads and writes, until no connection is to be had any more."""
        while True:
            loop = asyncio.get_running_loop()
            writer = loop.create_task(self._write(ws))
            reason = "closed"
            try:
                async for text in ws:
                    self._take(text)
                reason = f"the service closed the connection: {ws.close_code}"
                self.details(f"{ws.close_code} {ws.close_reason}")
            except ConnectionClosed as exc:
                reason = f"the connection broke: {ws.close_code}"
                self.details(str(exc))
            finally:
                self.ws = None
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                await ws.close()
            stuck, self._stuck = self._stuck, ""
            self.out.clear()
            self._out_bytes = 0
            self._lost(stuck or reason, bool(stuck))
            found = await self._again()
            if found is None:
                return
            ws = self.ws = found
            self._begin()

    async def _again(self) -> ClientConnection | None:
        error: ServiceError | None = None
        for number, seconds in enumerate(BACKOFF):
            await asyncio.sleep(seconds)
            try:
                return await self._connect()
            except ServiceError as exc:
                error = exc
                if number == 0:
                    self._failed(f"{exc}; it is tried again", False)
                if exc.status in (401, 403, 404):
                    break
        self._failed(f"{error}; given up", True)
        return None

    def send(self, event: dict[str, Any]) -> None:
        """An event for the service; nothing where there is no connection."""
        if self.ws is not None:
            self._put(False, event)

    def _put(self, sound: bool, event: dict[str, Any]) -> None:
        if len(self.out) >= MAX_OUT:
            for i, (is_sound, dropped) in enumerate(self.out):
                if is_sound:
                    del self.out[i]
                    self._out_bytes -= len(dropped)
                    break
        text = msgspec.json.encode(event).decode()
        self.out.append((sound, text))
        self._out_bytes += len(text)
        self._out_changed.set()
        if len(self.out) > MAX_LEFT or self._out_bytes > MAX_LEFT_BYTES:
            self._give_up("the service does not take what it is sent")

    async def _write(self, ws: ClientConnection) -> None:
        try:
            while True:
                while self.out:
                    text = self.out.popleft()[1]
                    self._out_bytes -= len(text)
                    async with asyncio.timeout(STUCK):
                        await ws.send(text)
                self._out_changed.clear()
                await self._out_changed.wait()
        except ConnectionClosed:
            return  # the reader says so
        except TimeoutError:
            self._give_up(f"the service has taken nothing for {STUCK:g} s")

    def _give_up(self, reason: str) -> None:
        """The connection has failed, though it stands: the reader finds it broken."""
        ws, self.ws = self.ws, None  # nothing more is put in its queue
        if ws is not None:
            self._stuck = reason
            ws.transport.abort()

    def add_sound(self, pcm: bytes | bytearray) -> None:
        """What the users say: PCM16 at the service's rate."""
        self._put(True, {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})

    def add_item(self, role: str, text: str | None, item_id: str | None = None) -> None:
        """A message of the conversation's; an empty one is none."""
        if text:
            part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
            item = {"type": "message", "role": role, "content": [part]}
            self.send({"type": "conversation.item.create", "item": {"id": item_id, **item} if item_id else item})

    def add_call(self, call_id: str, name: str, arguments: str) -> None:
        """A call of a function that the model has made,"""
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        self.send({"type": "conversation.item.create", "item": item})

    def add_result(self, call_id: str, result: str) -> None:
        """and what came of it."""
        item = {"type": "function_call_output", "call_id": call_id, "output": result}
        self.send({"type": "conversation.item.create", "item": item})

    def add_picture(self, item_id: str, jpeg: bytes) -> None:
        """A picture that the user shows."""
        url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        content = [{"type": "input_image", "image_url": url}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        self.send({"type": "conversation.item.create", "item": item})

    def delete(self, item_id: str) -> None:
        """An item is not part of the conversation any more."""
        self.send({"type": "conversation.item.delete", "item_id": item_id})
