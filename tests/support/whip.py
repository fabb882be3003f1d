"""A client of WHEP and WHIP: aiortc over HTTP, and it counts what comes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiortc
import httpx
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

SDP, FRAGMENT = {"content-type": "application/sdp"}, {"content-type": "application/trickle-ice-sdpfrag"}
CANDIDATES = re.compile(r"a=(?:candidate:|end-of-candidates)[^\r\n]*\r?\n")


class Client:
    """One connection. Use as an async context manager; inside it is connected.

    Args:
        http: with a base URL. path: of the endpoint. headers: of every request, such as those of a token.
        microphone, camera: what it sends (WHIP); without either it watches (WHEP).
        servers: STUN and TURN for its own end. policy: "relay" = candidates of TURN servers alone.
        trickles: it offers without candidates and tells of them in a PATCH; those of the answer it does not read, so
            that it depends on ours being told.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        microphone: MediaStreamTrack | None = None,
        camera: MediaStreamTrack | None = None,
        servers: list[aiortc.RTCIceServer] | None = None,
        policy: str = "all",
        trickles: bool = False,
    ) -> None:
        self.http, self.path, self.headers = http, path, headers or {}
        self.trickles = trickles
        self.pc = aiortc.RTCPeerConnection(
            aiortc.RTCConfiguration(
                iceServers=servers or [],
                bundlePolicy=aiortc.RTCBundlePolicy.MAX_BUNDLE,
                iceTransportPolicy=aiortc.RTCIceTransportPolicy(policy),
            )
        )
        self.sound = self.pictures = 0
        """Frames that came."""
        self.reply: httpx.Response
        """The answer to its POST."""
        self._tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._read(track))))
        tracks = [track for track in (microphone, camera) if track is not None]
        for track in tracks:
            self.pc.addTransceiver(track, direction="sendonly")
        for kind in () if tracks else ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")

    @property
    def location(self) -> str:
        return urljoin(str(self.reply.url), self.reply.headers["location"])

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                if track.kind == "audio":
                    self.sound += 1
                else:
                    self.pictures += 1

    async def offer(self) -> httpx.Response:
        """Posts its offer; the reply."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp = self.pc.localDescription.sdp
        self.reply = await self.http.post(
            self.path, headers=SDP | self.headers, content=CANDIDATES.sub("", sdp) if self.trickles else sdp
        )
        return self.reply

    async def connect(self) -> None:
        """Takes the answer, and waits for the connection."""
        answer = CANDIDATES.sub("", self.reply.text) if self.trickles else self.reply.text
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
        if self.trickles:
            told = await self.patch(self.fragment(), self.reply.headers["etag"])
            assert (told.status_code, told.content, "etag" in told.headers) == (204, b"", False), told.text
        async with asyncio.timeout(60):
            while self.pc.connectionState != "connected":
                await asyncio.sleep(0.01)

    def fragment(self, *more: str) -> str:
        """Its candidates as an SDP fragment, and these lines."""
        sdp: str = self.pc.localDescription.sdp
        _, section = sdp.split("m=", 2)[:2]
        kept = [line for line in section.splitlines() if re.match(r"a=(mid|ice-ufrag|ice-pwd|candidate):", line)]
        return "\r\n".join([f"m={section.splitlines()[0]}", *kept, *more, ""])

    async def patch(self, body: str, tag: str | None = None, **headers: str) -> httpx.Response:
        """With this If-Match."""
        match = {} if tag is None else {"if-match": tag}
        return await self.http.patch(self.location, headers=FRAGMENT | self.headers | match | headers, content=body)

    async def delete(self) -> httpx.Response:
        return await self.http.delete(self.location, headers=self.headers)

    async def until(self, sound: int = 0, pictures: int = 0) -> None:
        """Waits until so much more has come."""
        sound, pictures = self.sound + sound, self.pictures + pictures
        async with asyncio.timeout(60):
            while self.sound < sound or self.pictures < pictures:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()

    async def __aenter__(self) -> Self:
        try:
            reply = await self.offer()
            assert reply.status_code == 201, reply.text
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
