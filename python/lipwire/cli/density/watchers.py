"""Viewers that count: each a real peer connection of aiortc's (ICE, DTLS, SRTP keys, a data channel), whose media is
not decoded, but looked at as it comes out of the socket. What a receiver does costs ten times what a sender does; so
hundreds of viewers fit beside the server that they watch.

The first of them keeps its packets, and decodes them when the run is over: the proof that what was counted was sound
and pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import aiortc
import av
from aiortc import codecs, rtp
from aiortc.rtcrtpreceiver import RTCRtpReceiver

from .rtp import OPUS_STEP, Kind, RtpStream, is_rtp

REPORT = 1.0
"""Seconds between two receiver reports."""
REMB = 3_000_000
"""Bit/s that a viewer says it can take."""
KEPT = 20_000
"""Packets that the first viewer keeps."""
OPUS, H264, VP8 = "opus", "H264", "VP8"


class Watcher:
    """One viewer.

    Args:
        codec: of pictures, the one that it would rather have: H264 or VP8.
        fps: pictures a second. limit: seconds after which something is late.
        keeps: its packets, for `decoded`.
    """

    def __init__(self, codec: str, fps: int, limit: float, *, keeps: bool = False) -> None:
        self.codec, self.fps, self.limit, self.keeps = codec, fps, limit, keeps
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.streams: dict[int, RtpStream] = {}
        """By SSRC."""
        self.kept: list[bytes] = []
        self._reporting: asyncio.Task[None] | None = None
        self._gone = False

    async def offer(self) -> str:
        """What to ask the server for, as the viewer page does."""
        pc = self.pc
        pc.createDataChannel("lipwire")
        pc.addTransceiver("audio", direction="recvonly")
        video = pc.addTransceiver("video", direction="recvonly")
        known: Any = RTCRtpReceiver.getCapabilities("video")
        video.setCodecPreferences(sorted(known.codecs, key=lambda one: not one.mimeType.endswith(self.codec)))
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)

    async def connect(self, sdp: str) -> None:
        """Takes the answer; returns when it is connected, and counting."""
        pc = self.pc
        await pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, "answer"))
        async with asyncio.timeout(30):
            while not self._protocols():
                await asyncio.sleep(0.005)
            for protocol in self._protocols():  # before the first packet is sent: the key frame is among them
                self._tap(protocol)
            while pc.connectionState != "connected":
                await asyncio.sleep(0.01)
        self._reporting = asyncio.create_task(self._report())

    @property
    def _dtls(self) -> Any:
        return self.pc.getTransceivers()[0].receiver.transport

    def _protocols(self) -> list[Any]:
        return list(getattr(self._dtls.transport._connection, "_protocols", []))

    def _tap(self, protocol: Any) -> None:
        """Has the datagrams of a socket come here; what is no media goes on to where it went."""
        onward, clock = protocol.datagram_received, asyncio.get_running_loop().time

        def datagram_received(data: bytes, address: Any) -> None:
            if not is_rtp(data):
                onward(data, address)
                return
            stream = self.streams.get(int.from_bytes(data[8:12], "big")) or self._stream(data)
            stream.add(data, clock())
            if self.keeps and len(self.kept) < KEPT:
                self.kept.append(data)

        protocol.datagram_received = datagram_received

    def _stream(self, packet: bytes) -> RtpStream:
        """Of a packet whose SSRC is new."""
        codec = self._find(packet[1] & 0x7F)
        name = "" if codec is None else codec.name
        kind: Kind = "sound" if name == OPUS else "picture" if name in (H264, VP8) else "again"
        rate = 48000 if kind == "sound" else 90000
        stream = RtpStream(kind, rate, OPUS_STEP if kind == "sound" else rate // self.fps, self.limit)
        self.streams[int.from_bytes(packet[8:12], "big")] = stream
        return stream

    @property
    def _codecs(self) -> list[Any]:
        return [codec for transceiver in self.pc.getTransceivers() for codec in transceiver._codecs]

    def _find(self, payload_type: int) -> Any:
        return next((codec for codec in self._codecs if codec.payloadType == payload_type), None)

    async def _report(self) -> None:
        """Says what a receiver says: that all came, and how much more could."""
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(REPORT)
                blocks = [
                    rtp.RtcpReceiverInfo(ssrc, 0, 0, stream.highest & 0xFFFFFFFF, 0, 0, 0)
                    for ssrc, stream in self.streams.items()
                ]
                report = bytes(rtp.RtcpRrPacket(ssrc=1, reports=blocks))
                pictures = [ssrc for ssrc, stream in self.streams.items() if stream.kind == "picture"]
                remb = rtp.RtcpPsfbPacket(
                    fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=rtp.pack_remb_fci(REMB, pictures)
                )
                await self._dtls._send_rtp(report + bytes(remb))

    def clear(self) -> None:
        """Counts from here."""
        for stream in self.streams.values():
            stream.clear()

    def counts(self) -> Counter[str]:
        """What there was since."""
        found: Counter[str] = Counter()
        for stream in self.streams.values():
            found.update({f"{stream.kind}_{name}": count for name, count in stream.counts.items()})
        return found

    @property
    def worst(self) -> float:
        """Seconds that the latest picture or sound was late."""
        return max((stream.worst for stream in self.streams.values()), default=0.0)

    @property
    def video_codec(self) -> str:
        """What its pictures come as."""
        return next((codec.name for codec in self._codecs if codec.name in (H264, VP8)), "")

    def decoded(self) -> dict[str, int]:
        """Of the packets kept from the first on: `refused` by SRTP, `pictures` and `sound` (packets of 20 ms) that were
        decoded, and `faults` of the decoders."""
        found: Counter[str] = Counter()
        decoders: dict[str, Any] = {}
        pictures: dict[int, bytes] = {}
        for data in self.kept:
            try:
                packet = rtp.RtpPacket.parse(self._dtls._rx_srtp.unprotect(data))
            except Exception:  # whatever the libraries raise, it was not what it should be
                found["refused"] += 1
                continue
            codec = self._find(packet.payload_type)
            if codec is None or codec.name not in (OPUS, H264, VP8) or not packet.payload:
                continue
            name = codec.name
            if name not in decoders:
                decoders[name] = av.CodecContext.create(name.lower(), "r")
            if name in (H264, VP8):
                key = packet.timestamp
                pictures[key] = pictures.get(key, b"") + codecs.depayload(codec, packet.payload)
                if not packet.marker:
                    continue
                payload, what = pictures.pop(key), "pictures"
            else:
                payload, what = packet.payload, "sound"
            try:
                found[what] += len(decoders[name].decode(av.Packet(payload)))
            except av.FFmpegError:
                found["faults"] += 1
        return dict(found)

    async def close(self) -> None:
        """Goes."""
        if self._reporting is not None:
            self._reporting.cancel()
        await self.pc.close()
