"""Viewers of a WebRTC publisher in a process of their own: aiortc, and it counts what comes.

`python viewers.py COUNT` prints an SDP offer a line (JSON) and takes an answer a line; it prints a line when all are
connected and, for each line that it reads then, what each has got.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiortc
from aiortc.mediastreams import MediaStreamError
from msgspec import Struct

from lipwire.publish import WebRTC


class Got(Struct):
    """What one viewer has got."""

    sound: int
    """Packets of sound."""
    lost: int
    """Gaps in their numbers."""
    pictures: int
    """That were decoded."""


class Viewer:
    """One of them."""

    def __init__(self) -> None:
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.pictures = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", self._track)
        for kind in ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")

    def _track(self, track: Any) -> None:
        self.tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.pictures += track.kind == "video"

    async def got(self) -> Got:
        sound = lost = 0
        for receiver in self.pc.getReceivers():
            for stats in (await receiver.getStats()).values():
                if stats.type == "inbound-rtp" and stats.kind == "audio":
                    sound, lost = stats.packetsReceived, stats.packetsLost
        return Got(sound, lost, self.pictures)


async def run(count: int) -> None:
    viewers = [Viewer() for _ in range(count)]

    async def line() -> str:
        return await asyncio.to_thread(sys.stdin.readline)

    for viewer in viewers:
        await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
        print(json.dumps(viewer.pc.localDescription.sdp), flush=True)
        answer = json.loads(await line())
        await viewer.pc.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
    while any(viewer.pc.connectionState != "connected" for viewer in viewers):
        await asyncio.sleep(0.05)
    print(json.dumps("connected"), flush=True)
    while await line():
        print(json.dumps([vars_of(await viewer.got()) for viewer in viewers]), flush=True)
    await asyncio.gather(*(viewer.pc.close() for viewer in viewers))


def vars_of(got: Got) -> dict[str, int]:
    return {name: getattr(got, name) for name in got.__struct_fields__}


class Viewers:
    """`count` viewers of a publisher. Use as an async context manager; inside they are connected."""

    def __init__(self, publisher: WebRTC, count: int) -> None:
        self.publisher, self.count = publisher, count

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__)),
            str(self.count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 20,
        )
        for _ in range(self.count):
            sdp, _ = await self.publisher.answer(await self._line())
            self._tell(sdp)
        assert await self._line() == "connected"
        return self

    async def got(self) -> list[Got]:
        """What each has got so far."""
        self._tell("?")
        return [Got(**got) for got in await self._line()]

    def _tell(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))
