"""A bad network between a viewer and a server, on loopback: UDP that is lost, delayed and out of order."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any, Self


class _End(asyncio.DatagramProtocol):
    """One socket of it."""

    def __init__(self, came: Any) -> None:
        self._came = came
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._came(data, addr)


class Proxy:
    """Between one viewer and the server. Use as an async context manager, and `detour` both descriptions.

    Args:
        loss: share of the packets to the viewer that are lost, but for those of ICE and DTLS.
        jitter: seconds that the others are delayed by, at most.
        uplink: it is what the viewer sends that this happens to.
    """

    def __init__(self, loss: float = 0.0, jitter: float = 0.0, seed: int = 1, *, uplink: bool = False) -> None:
        self.loss, self.jitter, self.uplink = loss, jitter, uplink
        self.lost = self.passed = 0
        self._chance = random.Random(seed)
        self._server: tuple[str, int] | None = None
        self._viewer: tuple[Any, ...] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for name, came in (("_near", self._from_viewer), ("_far", self._from_server)):
            _, end = await loop.create_datagram_endpoint(lambda came=came: _End(came), local_addr=("127.0.0.1", 0))  # type: ignore[misc]
            setattr(self, name, end)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._near.transport.close()
        self._far.transport.close()

    _near: _End
    _far: _End

    @staticmethod
    def hide(offer: str) -> str:
        """The viewer's offer without its addresses, so that the server waits to hear from it."""
        return re.sub(r"a=(candidate:|end-of-candidates)[^\r\n]*\r?\n", "", offer)

    def detour(self, answer: str) -> str:
        """The server's answer, which leads here."""
        port = self._near.transport.get_extra_info("sockname")[1]

        def here(found: re.Match[str]) -> str:
            self._server = ("127.0.0.1", int(found[3]))
            return f"{found[1]}127.0.0.1 {port}{found[4]}"

        return re.sub(r"(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+)( )", here, answer)

    def _from_viewer(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._viewer = addr
        self._pass(data, self.uplink, self._to_server)

    def _from_server(self, data: bytes, _: tuple[Any, ...]) -> None:
        self._pass(data, not self.uplink, self._to_viewer)

    def _pass(self, data: bytes, spoilt: bool, deliver: Callable[[bytes], None]) -> None:
        if not spoilt or data[0] < 128:  # STUN and DTLS (RFC 7983)
            deliver(data)
        elif self._chance.random() < self.loss:
            self.lost += 1
        else:
            self.passed += 1
            asyncio.get_running_loop().call_later(self._chance.random() * self.jitter, deliver, data)

    def _to_viewer(self, data: bytes) -> None:
        if not self._near.transport.is_closing():
            self._near.transport.sendto(data, self._viewer)

    def _to_server(self, data: bytes) -> None:
        if not self._far.transport.is_closing():
            self._far.transport.sendto(data, self._server)
