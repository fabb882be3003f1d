"""aiortc as a browser that draws the face itself: a data channel for motion, sound, and perhaps black video."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiortc

from lipwire._core import RATE
from support.motion import Reader
from support.proxy import Proxy


class MotionViewer:
    """One of them; its RTP packets are kept as they come.

    Args:
        ask: what it says on its channel; None = it opens none. kinds: of media that it wants to be sent.
    """

    def __init__(self, ask: Any = None, kinds: tuple[str, ...] = ("audio",), label: str = "lipwire-motion") -> None:
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.packets: list[Any] = []
        self.messages: list[str | bytes] = []
        self.reader = Reader()
        self.channel: Any = None
        for kind in kinds:
            self.pc.addTransceiver(kind, direction="recvonly")
        if ask is not None:
            self.channel = self.pc.createDataChannel(label, ordered=False, maxRetransmits=0)
            self.channel.on("message", self._message)
            self.channel.on("open", lambda: self.ask(ask))

    def ask(self, ask: Any) -> None:
        """Says what it wants."""
        self.channel.send(ask if isinstance(ask, str) else json.dumps(ask))

    def _message(self, message: str | bytes) -> None:
        self.messages.append(message)
        if not (isinstance(message, str) and '"error"' in message):
            self.reader.put(message)

    async def connect(self, ask: Callable[[str], Awaitable[tuple[str, Any]]], proxy: Proxy | None = None) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription.sdp
        sdp, _ = await ask(offer if proxy is None else proxy.hide(offer))
        sdp = sdp if proxy is None else proxy.detour(sdp)
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, "answer"))
        for transceiver in self.pc.getTransceivers()[:1]:
            transport: Any = transceiver.receiver.transport
            handle = transport._handle_rtp_data

            async def keep(data: bytes, arrival_time_ms: int, transport: Any = transport, handle: Any = handle) -> None:
                parsed = aiortc.rtp.RtpPacket.parse(data, transport._rtp_header_extensions_map)
                self.packets.append(parsed)
                await handle(data, arrival_time_ms=arrival_time_ms)

            transport._handle_rtp_data = keep

    def of(self, kind: str) -> list[Any]:
        """RTP packets of a kind of media, without repetitions, in order."""
        (transceiver,) = (one for one in self.pc.getTransceivers() if one.kind == kind)
        numbers = {codec.payloadType for codec in transceiver._codecs if not codec.mimeType.endswith("/rtx")}
        return [packet for packet in self.packets if packet.payload_type in numbers]

    def sample_of(self, timestamp: int) -> float:
        """The sample of the clock that RTP's timestamp stands for, as the newest `clock` event says it."""
        value = [text for _, _, kind, text in self.reader.alone if kind == "clock"][-1]
        said = {name: int(number) for name, number in (part.split(":") for part in value.split(" "))}
        off = (timestamp - said["rtp"] + 2**31) % 2**32 - 2**31
        return said["sample"] + off * RATE / said["rate"]

    async def close(self) -> None:
        await self.pc.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
