"""One healthy session speaks while a hostile client does its worst beside it. What does the healthy one lose?

The server is `lipwire serve` in a process of its own, whose stderr nobody reads; the hostile client (abuses.py) is a
third process. The healthy client sends speech as it is spoken, LEAD seconds ahead, and a heartbeat ten times a second.
Lost are: blocks of sound that were not handed to the publisher, speech that was not played although it was accepted,
silence within it (underruns), pictures that found no place because the event loop did not come. Counts are the claim
(0); times are printed, and `late`, pictures that were skipped because no processor was free: they mean something on a
quiet machine. `tests/e2e/test_neighbours.py` does the same in one process for what a WebSocket can carry.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from abuses import ABUSES
from harness import Results, spread
from lipwire.protocol import messages as m
from lipwire.provider.client import request
from served import KEY, Server, serving

RATE = 24000
CHUNK = 0.02
LEAD = 3.0
"""Seconds of speech that are sent ahead: this client, too, may be kept off the processor for a while."""


class Healthy:
    """The session that must lose nothing: it speaks until it is told to stop."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self.server, self.http = server, http
        self.heartbeats: list[float] = []
        self.health: list[float] = []
        self.began = asyncio.Event()
        self.silence_ms = 0.0
        self.errors = self.late = 0
        self.sent_ms = self.played_ms = 0.0
        self._speaking = True
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        reply = await self.http.post(
            self.server.http + "/session/start", content=msgspec.json.encode(request("healthy", uid="7"))
        )
        assert reply.status_code == 200, reply.text
        session = msgspec.json.decode(reply.content, type=m.StartReply)
        self._figures = f"{self.server.http}/session/{session.session_id}"
        auth = {"Authorization": f"Bearer {session.session_token}"}
        ws = await connect(session.websocket_address, additional_headers=auth, proxy=None, compression=None)
        await ws.send(json.dumps({"command": "init", **msgspec.to_builtins(request("healthy", uid="7"))}))
        self._tasks = [asyncio.create_task(work) for work in (self._read(ws), self._beat(ws), self._check())]
        self._speech = asyncio.create_task(self._speak(ws))
        await asyncio.wait_for(self.began.wait(), 30)

    async def stop(self) -> None:
        """Ends the utterance and waits until it has been played."""
        self._speaking = False
        try:
            await self._speech
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30):
                    while self.played_ms < self.sent_ms - 0.05:
                        await asyncio.sleep(0.05)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def lost(self) -> dict[str, float]:
        """What was lost since it began."""
        stats = (await self.http.get(self._figures)).json()["stats"]
        self.late = stats["late"]
        return {
            "blocks": stats["pcm_dropped"],
            "frames": stats["frames_dropped"],
            "silence_ms": round(self.silence_ms, 1),
            "errors": self.errors,
        }

    async def _speak(self, ws: ClientConnection) -> None:
        """A tone, sent as it is spoken."""
        n = np.arange(round(RATE * CHUNK))
        chunk = (8000 * np.sin(2 * np.pi * 200 * n / RATE)).astype("<i2").tobytes()
        voice = m.encode(m.Voice(chunk, RATE, "PCM16", "speech"))
        start, sent = time.monotonic() - LEAD, 0
        while self._speaking:
            await asyncio.sleep(max(0.0, start + sent * CHUNK - time.monotonic()))
            await ws.send(voice)
            sent += 1
        self.sent_ms = sent * CHUNK * 1000
        await ws.send(m.encode(m.VoiceEnd("speech")))

    async def _beat(self, ws: ClientConnection) -> None:
        while True:
            await ws.send(json.dumps({"command": "heartbeat", "event_id": "h", "timestamp": time.monotonic_ns()}))
            await asyncio.sleep(0.1)

    async def _check(self) -> None:
        """The health check, on a new connection each time, as a load balancer makes it."""
        while True:
            before = time.monotonic()
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                    if (await http.get(self.server.http + "/healthz")).status_code == 200:
                        self.health.append(time.monotonic() - before)
            await asyncio.sleep(0.2)

    async def _read(self, ws: ClientConnection) -> None:
        async for text in ws:
            event = json.loads(text)
            match event["command"]:
                case "heartbeat_ack":
                    self.heartbeats.append((time.monotonic_ns() - event["timestamp"]) / 1e9)
                case "playback_started":
                    self.began.set()
                case "playback_finished":
                    # More than one, where this client was itself kept from speaking for so long that it was over.
                    self.played_ms += event["position_ms"]
                case "underrun":
                    self.silence_ms += event["duration_ms"]
                case "error":
                    self.errors += 1


async def attack(name: str, seconds: float, server: Server) -> int:
    """Runs the hostile client; how much it sent."""
    command = [sys.executable, str(Path(__file__).with_name("abuses.py")), name, str(seconds)]
    # Several machines would do this, and here there is one: the hostile client steps back for the others.
    process = await asyncio.create_subprocess_exec(
        *command,
        *(server.http, server.ws, server.viewer, KEY),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.nice(10),
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{name}: the hostile client failed"
    sent: int = json.loads(out)["sent"]
    return sent


async def run(results: Results, seconds: float, names: list[str]) -> bool:
    """One server and one healthy session, all abuses one after the other. True: nothing was lost."""
    with serving() as server:
        async with httpx.AsyncClient(
            trust_env=False, timeout=30, headers={"x-api-key": KEY, "content-type": "application/json"}
        ) as http:
            await server.ready()
            healthy = Healthy(server, http)
            await healthy.start()
            before, late, rss = await healthy.lost(), healthy.late, server.rss()
            good = True
            for name in ("none", *names):
                healthy.heartbeats.clear()
                healthy.health.clear()
                sent = 0
                if name == "none":
                    await asyncio.sleep(seconds)
                else:
                    sent = await attack(name, seconds, server)
                try:
                    after = await healthy.lost()
                except httpx.HTTPError as exc:
                    raise SystemExit(f"{name}: the server answers no more ({exc!r})") from None
                lost = {what: after[what] - before[what] for what in after}
                skipped, before, late = healthy.late - late, after, healthy.late
                good &= not any(lost.values())
                results.add(
                    name,
                    sum(lost.values()),
                    "lost",
                    goal="<= 0",
                    n=sent,
                    **lost,
                    late=skipped,
                    heartbeat_ms={p: 1000 * value for p, value in spread(healthy.heartbeats or [math.inf]).items()},
                    health_ms={p: 1000 * value for p, value in spread(healthy.health or [math.inf]).items()},
                    rss_growth_mib=(server.rss() - rss) / (1 << 20),
                )
            await healthy.stop()
            missing = round(healthy.sent_ms - healthy.played_ms, 1)
            results.add("speech of all that time", abs(missing), "ms lost", goal="<= 0", n=round(healthy.sent_ms))
            return good and not missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="abuse", help=f"any of {', '.join(ABUSES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="1.5 s each")
    parser.add_argument("--seconds", type=float, default=10, help="how long each goes on (default: 10)")
    parser.add_argument("--check", action="store_true", help="exit code 1 if anything was lost")
    options = parser.parse_args()
    for name in options.names:
        if name not in ABUSES:
            parser.error(f"no abuse {name!r}; there are {', '.join(ABUSES)}")
    seconds = 1.5 if options.quick else options.seconds
    good = asyncio.run(run(Results("neighbours"), seconds, options.names or list(ABUSES)))
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
