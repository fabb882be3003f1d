"""Mutated SDP offers against `Peer.answer`, and mutated RTP, RTCP, SCTP, datagrams and data messages from a viewer that
is connected, while another viewer watches the same session.

    python tests/fuzz/webrtc.py [SECONDS] [--seed N]

What has to hold, whatever is sent: an offer is answered or refused with InvalidArgument, in bounded time; no exception
reaches the loop's handler; every peer, task and socket is gone in the end; and the other viewer goes on hearing. Prints
how many of each kind went through, and ends with 1 where something of that did not hold. Everything stays on 127.0.0.1:
candidates that a mutation has made lead nowhere else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiortc
import numpy as np
from aiortc.mediastreams import MediaStreamError

from lipwire.errors import InvalidArgument
from lipwire.publish import aiortc_private
from lipwire.publish.webrtc import WebRTC
from lipwire.session.session import Session

LOOPBACK = "127.0.0.1"
LIMIT = 15.0
"""Seconds that an answer may take: its own limit, and what closing needs."""
HOSTILE = [
    "0", "-1", "1", "65535", "65536", "4294967295", "99999999999999999999", "", " ", "\t", "\x00", "\ufeff", "a" * 5000,
    "%s%n", "nan", "1e999", "0x10", "*", "/", ":", "=", "\u00e9", "\U0001f600", "audio", "video", "application",
    "sendrecv", "recvonly", "inactive", "actpass", "active", "passive", "holdconn", "BUNDLE", "rtx/90000", "VP8/90000",
    "opus/48000/2", "H264/90000", "sha-256", "sha-1", "IN IP4 127.0.0.1", "UDP/TLS/RTP/SAVPF", "RTP/AVP", "DTLS/SCTP",
]  # fmt: skip


class Watcher:
    """A browser that watches a session, on aiortc, and remembers how much it heard."""

    def __init__(self, publisher: WebRTC) -> None:
        self._publisher = publisher
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        aiortc_private.contain(self.pc)  # what fails there is no fault of the server's
        self.channel = self.pc.createDataChannel("lipwire")
        self.packets = 0
        self._tasks: list[asyncio.Task[None]] = []
        for kind in ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._read(track))))

    async def _read(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.packets += track.kind == "audio"

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def join(self) -> Watcher:
        sdp, kind = await self._publisher.answer(await self.offer())
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
        async with asyncio.timeout(60):
            while self.pc.connectionState != "connected" or self.channel.readyState != "open":
                await asyncio.sleep(0.02)
        return self

    async def hears(self, more: int) -> None:
        """Waits for so many more packets. Raises TimeoutError."""
        async with asyncio.timeout(60):
            until = self.packets + more
            while self.packets < until:
                await asyncio.sleep(0.02)

    @property
    def dtls(self) -> Any:
        return self.pc.getTransceivers()[0].receiver.transport

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


# --------------------------------------------------------------------------------------------------------------- SDP


def mutate_sdp(dice: random.Random, sdp: str) -> str:
    """One to six changes: of lines, of words, of numbers, of bytes."""
    lines = sdp.splitlines()
    for _ in range(dice.choice([1, 1, 2, 3, 6])):
        if not lines:
            break
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        change = dice.randrange(9)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(other, lines[at])
        elif change == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif change == 3:
            words = lines[at].split(" ")
            words[dice.randrange(len(words))] = dice.choice(HOSTILE)
            lines[at] = " ".join(words)
        elif change == 4:
            head, colon, _ = lines[at].partition(":")
            lines[at] = head + colon + dice.choice(HOSTILE)
        elif change == 5:
            cut = dice.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + dice.choice(HOSTILE) + lines[at][cut:]
        elif change == 6:
            lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
        elif change == 7:
            lines = lines[: at + 1]
        else:
            lines += lines[at:]
    return "\r\n".join(line for line in lines[:400] if _stays_here(line)) + dice.choice(["\r\n", "\r\n", "\n", ""])


def _stays_here(line: str) -> bool:
    """Nothing is sent to an address that a mutation has made."""
    return "candidate" not in line or f" {LOOPBACK} " in line


async def fuzz_sdp(publisher: WebRTC, dice: random.Random, more: Callable[[Counter[str]], bool]) -> Counter[str]:
    """Offers, until `more(counts)` says that it is enough."""
    watcher = Watcher(publisher)
    offer = await watcher.offer()
    await watcher.close()
    counts: Counter[str] = Counter()
    while more(counts):
        counts["offers"] += 1
        sdp = mutate_sdp(dice, offer)
        before = set(publisher._peers)
        try:
            async with asyncio.timeout(LIMIT):
                await publisher.answer(sdp)
            counts["answered"] += 1
        except InvalidArgument:
            counts["refused"] += 1
        for peer in set(publisher._peers) - before:
            async with asyncio.timeout(LIMIT):
                await peer.close()
    return counts


# -------------------------------------------------------------------------------------------------- what is connected


def rtcp(dice: random.Random, ssrcs: list[int]) -> bytes:
    """Packets of RTCP (RFC 3550, 4585), with lengths, counts and bodies that need not fit."""
    made = b""
    for _ in range(dice.choice([1, 1, 2, 4])):
        body = struct.pack("!L", dice.choice(ssrcs)) + struct.pack("!L", dice.choice(ssrcs)) * dice.choice([0, 1, 1])
        body += dice.randbytes(4 * dice.choice([0, 0, 1, 5, 6, 20]))
        if dice.random() < 0.2:
            body += b"REMB" + dice.randbytes(dice.randrange(12))
        body += bytes(-len(body) % 4)
        length = dice.choice([len(body) // 4] * 6 + [0, 1, 65535, dice.randrange(64)])
        first = 0x80 | (0x20 if dice.random() < 0.1 else 0) | dice.choice([0, 1, 1, 2, 4, 15, 31])
        made += (
            struct.pack("!BBH", first, dice.choice([200, 201, 202, 203, 204, 205, 205, 206, 206, 207]), length) + body
        )
    return made


def rtp(dice: random.Random, ssrcs: list[int]) -> bytes:
    """A packet of RTP, with CSRCs, extensions and padding that need not be there."""
    first = 0x80 | dice.choice([0, 0, 0x10, 0x20, 0x30]) | dice.choice([0, 0, 1, 15])
    head = struct.pack(
        "!BBHLL", first, dice.randrange(128), dice.randrange(65536), dice.randrange(1 << 32), dice.choice(ssrcs)
    )
    extension = struct.pack("!HH", dice.choice([0xBEDE, 0x1000, 0]), dice.choice([0, 1, 2, 9])) if first & 0x10 else b""
    return head + extension + dice.randbytes(dice.choice([0, 1, 4, 40, 400, 1100]))


def sctp(dice: random.Random) -> bytes:
    """A packet of SCTP (RFC 9260) with a checksum that need not fit, or none at all."""
    chunk = struct.pack("!BBH", dice.randrange(256), dice.randrange(256), dice.choice([0, 3, 4, 16, 20, 65535]))
    return (
        struct.pack("!HHLL", 5000, 5000, dice.randrange(1 << 32), dice.randrange(1 << 32))
        + chunk
        + dice.randbytes(dice.choice([0, 1, 12, 200]))
    )


def data_message(dice: random.Random) -> str | bytes:
    """What anybody may send on the data channel."""
    text = dice.choice(HOSTILE) * dice.choice([1, 3])
    made: list[str | bytes] = [text, "{" * dice.randrange(2000), text.encode(), dice.randbytes(dice.randrange(1, 3000))]
    return dice.choice(made)


async def fuzz_media(publisher: WebRTC, dice: random.Random, more: Callable[[Counter[str]], bool]) -> Counter[str]:
    """A viewer that sends anything, and comes again when it has been shut out."""
    counts: Counter[str] = Counter()
    while more(counts):
        evil = await Watcher(publisher).join()
        counts["connections"] += 1
        ssrcs = [*map(int, re.findall(r"a=ssrc:(\d+)", evil.pc.remoteDescription.sdp)), 0, 1, (1 << 32) - 1]
        for _ in range(200):
            if not more(counts) or evil.dtls.state != "connected":
                break
            kind = dice.choice(["rtcp"] * 5 + ["rtp"] * 2 + ["sctp", "datagram", "data"])
            counts[kind] += 1
            with contextlib.suppress(ConnectionError, aiortc.exceptions.InvalidStateError, _PROTECT, ValueError):
                if kind == "rtcp":
                    await evil.dtls._send_rtp(rtcp(dice, ssrcs))
                elif kind == "rtp":
                    await evil.dtls._send_rtp(rtp(dice, ssrcs))
                elif kind == "sctp":
                    await evil.dtls._send_data(sctp(dice))
                elif kind == "datagram":
                    await evil.dtls.transport._send(dice.randbytes(dice.choice([1, 2, 12, 40, 1200])))
                else:
                    evil.channel.send(data_message(dice))
            if dice.random() < 0.1:
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        await evil.close()
    return counts


def _protect_error() -> type[Exception]:
    import pylibsrtp

    error: type[Exception] = pylibsrtp.Error
    return error


_PROTECT = _protect_error()
"""What is too broken even to be encrypted."""


# ----------------------------------------------------------------------------------------------------------- the whole


class Broken(AssertionError):
    """Something that had to hold did not."""


async def run(dice: random.Random, more: Callable[[Counter[str]], bool]) -> Counter[str]:
    """Both, beside a viewer that has to go on hearing. Raises Broken."""
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: faults.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    tasks, sockets = asyncio.all_tasks(), _sockets()
    publisher = WebRTC(ice_host=LOOPBACK)
    counts: Counter[str] = Counter()
    async with Session(publisher, width=64, height=36) as session:
        session.write((np.sin(np.arange(48_000 * 60) / 20) * 9000).astype(np.int16).tobytes(), 48_000)
        healthy = await Watcher(publisher).join()
        await healthy.hears(10)
        for fuzz in (fuzz_sdp, fuzz_media):
            counts += await fuzz(publisher, dice, more)
            await healthy.hears(10)
        await healthy.close()
    async with asyncio.timeout(30):
        while asyncio.all_tasks() - tasks or publisher._peers or _sockets() > sockets:
            await asyncio.sleep(0.05)
    loop.set_exception_handler(None)
    if faults:
        raise Broken(f"{len(faults)} exceptions reached the loop, the first: {faults[0]}")
    return counts


def _sockets() -> int:
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("seconds", type=float, nargs="?", default=60.0)
    options.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFFFFFF)
    given = options.parse_args()
    print(f"seed {given.seed}", flush=True)
    ends = time.monotonic() + given.seconds

    def more(counts: Counter[str]) -> bool:
        half = given.seconds / 2 if counts["offers"] else 0.0
        return time.monotonic() < ends - half

    try:
        counts = asyncio.run(run(random.Random(given.seed), more))
    except (Broken, TimeoutError) as exc:
        print(f"{type(exc).__name__}: {exc}")
        return 1
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
