"""A server of one file of sound."""

from __future__ import annotations

import asyncio
import struct

import numpy as np

from .fakes.server import HttpFake, Request, Response

RATE = 16_000
PCM = (np.sin(np.arange(RATE // 2) / 10) * 8000).astype("<i2").tobytes()
"""Half a second."""


def wav(pcm: bytes = PCM, rate: int = RATE) -> bytes:
    """PCM16 mono in a file."""
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return b"RIFF" + struct.pack("<I", len(body)) + body


class Files(HttpFake):
    """Answers with `body` after `wait` seconds, or with a redirect to `move`."""

    path, method = "/hello.bin", "GET"

    def __init__(self, body: bytes, *, status: int = 200, wait: float = 0.0, move: str = "") -> None:
        super().__init__(check=False)
        self.body, self.status, self.wait, self.move = body, status, wait, move

    async def answer(self, request: Request) -> Response:
        await asyncio.sleep(self.wait)
        if self.move:
            return Response(302, b"", headers={"location": self.move})
        return Response(self.status, self.body, "application/octet-stream")
