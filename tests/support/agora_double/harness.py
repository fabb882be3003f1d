"""What tests do with the double: read its records, make things happen in a channel."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKET = struct.Struct("=c256s3xiiii4xq")
"""A datagram of the double's channel before its data (channel.h)."""
APP = "970ca35de60c44645bbae8a215061b33"
CERT = "5cfd2fd1755d40ecb72977518be15d3b"


class Double:
    """The folder that the processes of one test share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def calls(self, *names: str, pid: int | None = None) -> list[dict[str, Any]]:
        """The recorded calls, oldest first; those of `names` (without "agora_"), if any are given."""
        found = []
        for path in self.folder.glob("calls.*" if pid is None else f"calls.{pid}"):
            lines = path.read_bytes().split(b"\n")
            found += [json.loads(line) | {"pid": int(path.suffix[1:])} for line in lines[:-1]]
        wanted = {f"agora_{name}" for name in names}
        return sorted((c for c in found if not wanted or c["call"] in wanted), key=lambda c: c["t"])

    def tell(self, uid: str, text: str) -> None:
        """Control of a member: "event KIND [VALUE [TEXT]]" or "fail NAME VALUE COUNT" (behaviour.c)."""
        (marker,) = self.folder.glob(f"m.*.{uid.encode().hex()}")
        name = marker.read_text().split()[0]
        data = text.encode() + b"\0"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(PACKET.pack(b"C", b"test", 0, 0, 0, len(data), 0) + data, "\0" + name)


async def until(true: Callable[[], Any], what: str = "", seconds: float = 60.0) -> Any:
    """Waits for something; its value."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if value := true():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not come: {what or true}")
