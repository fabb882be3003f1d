"""Soak: 20 sessions of one `lipwire serve` for half an hour, two of them watched, while everything goes wrong.

Each session has a client of its own that speaks (encodings, rates, chunk sizes and pace change; `voice_end` early,
doubled, missing), interrupts, sends rubbish, drops its connection in a word and resumes, or opens a new session without
stopping the old. Viewers (aiortc, a process each) come and go. The server itself is stopped for up to a second now and
then (SIGSTOP), as a machine that pauses would.

What must hold: every utterance that was accepted whole and not interrupted is played whole, to the millisecond, and
every block of it is handed over; memory does not grow; picture and sound stay together; outside those pauses no picture
is late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from harness import Results, espeak
from lipwire import resample
from lipwire.protocol import messages as m
from lipwire.provider.client import encode, request
from served import KEY, Server, serving

RATES = (8000, 16000, 22050, 24000, 44100, 48000)
RUBBISH = ("no json", "{}", '{"command":"nonsense"}', '{"command":"voice","audio":"#","sampleRate":1,"encoding":"X"}')
HEADERS = {"x-api-key": KEY, "content-type": "application/json"}
TOO_LATE = 0.7
"""Seconds that a chunk may come after its time. Speech of which nothing comes for a second is over, so that where this
client was kept from sending for longer, or from connecting again, it proves nothing."""
SETTLE = 3.0
"""Seconds around a pause of the server that pictures may be late in."""


class Talker:
    """One session's client."""

    def __init__(self, number: int, server: Server, http: httpx.AsyncClient, counts: Counter[str]) -> None:
        self.chance = random.Random(number)
        self.request = request(f"soak-{number}", uid=str(number + 1))
        self.server, self.http, self.counts = server, http, counts
        self.session: m.StartReply | None = None
        self.wrong: list[str] = []
        self._ws: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._played: Counter[str] = Counter()
        """Milliseconds of each utterance. A server that was kept from its socket for a second ends one, and what comes
        then is another one of that name: nothing is lost."""
        self._heard = asyncio.Event()
        self._cut: set[str] = set()
        self._pace: float | None = None
        """Seconds between the chunks of the newest utterance; None = all at once,"""
        self._sent: float | None = None
        """when its newest one was sent,"""
        self._late = False
        """and whether one came too late."""

    async def open(self) -> None:
        """A new session; one that there is stays, and is replaced."""
        await self.hang_up()
        body = msgspec.json.encode(self.request)
        reply = await self.http.post(self.server.http + "/session/start", content=body)
        assert reply.status_code == 200, reply.text
        self.session = msgspec.json.decode(reply.content, type=m.StartReply)
        await self.dial()

    async def dial(self) -> None:
        """Connects, or connects again."""
        assert self.session is not None
        self._ws = await connect(
            self.session.websocket_address,
            additional_headers={"Authorization": f"Bearer {self.session.session_token}"},
            proxy=None,
            compression=None,
        )
        fields = msgspec.to_builtins(self.request)
        await self.send({"command": "init", "session_id": self.session.session_id, **fields})
        self._reader = asyncio.create_task(self._read(self._ws))

    async def hang_up(self, *, rudely: bool = False) -> None:
        """Closes the connection, or lets it break."""
        ws, self._ws = self._ws, None
        if ws is not None:
            if rudely:
                ws.transport.abort()
            await ws.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def send(self, message: dict[str, Any] | str) -> None:
        assert self._ws is not None
        await self._ws.send(message if isinstance(message, str) else json.dumps(message))

    async def _read(self, ws: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in ws:
                event = json.loads(text)
                self.counts[event["command"]] += 1
                if event["command"] == "playback_finished":
                    self._played[event.get("event_id")] += event["position_ms"]
                    if event["interrupted"]:
                        self._cut.add(event.get("event_id"))
                    self._heard.set()

    async def talk(self, until: float) -> None:
        """Everything, at random, until then."""
        await self.open()
        actions = (
            self.say,
            self.say,
            self.say,
            self.cut,
            self.cut,
            self.resume,
            self.break_off,
            self.reopen,
            self.rest,
        )
        while time.monotonic() < until:
            action = self.chance.choice(actions)
            self.counts[action.__name__] += 1
            await action()
        await self.hang_up()

    def speech(self) -> tuple[str, list[str], float]:
        """(event id, `voice` messages, ms in all) of something to say."""
        chance = self.chance
        rate = chance.choice(RATES)
        length = round(rate * chance.choice((0.01, 0.3, 1.0, 2.0, 4.0)))
        start = chance.randrange(0, 48000 * 4)
        pcm = resample(espeak(48000)[2 * start : 2 * (start + length * 48000 // rate)], 48000, rate)
        encoding: m.AudioEncoding = chance.choice(("PCM16", "PCM16", "PCM8"))
        event_id = str(uuid.uuid4())
        chunk_ms = chance.choice((10, 20, 40, 250, 1000))
        voices = [m.encode(m.Voice(p, rate, encoding, event_id)) for p in encode(pcm, rate, encoding, chunk_ms)]
        self._pace = chance.choice((None, None, chunk_ms / 1000))
        self._sent, self._late = None, False
        return event_id, voices, len(pcm) / 2 / rate * 1000

    async def voices(self, messages: list[str]) -> None:
        for number, message in enumerate(messages):
            if number and self._pace is not None:
                await asyncio.sleep(self._pace)
            await self._send_in_time(message)

    async def _send_in_time(self, message: dict[str, Any] | str) -> None:
        """Sends a part of an utterance, and looks whether it was time."""
        await self.send(message)
        now = time.monotonic()
        self._late |= self._sent is not None and now - self._sent > (self._pace or 0.0) + TOO_LATE
        self._sent = now

    async def whole(self, event_id: str, sent_ms: float) -> None:
        """Waits for the end of an utterance that must be played whole."""
        await self._send_in_time({"command": "voice_end", "event_id": event_id})
        if self.chance.random() < 0.2:
            await self.send({"command": "voice_end", "event_id": event_id})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(sent_ms / 1000 + 15):
                while self._played[event_id] < sent_ms - 1.0 and event_id not in self._cut:
                    self._heard.clear()
                    await self._heard.wait()
        self.counts["accounted"] += 1
        played, cut = self._played.pop(event_id, 0), event_id in self._cut
        self._cut.clear()
        if abs(played - sent_ms) <= 1.0 and not cut:
            return
        if self._late:
            self.counts["sent_too_late"] += 1
            return
        got = f"{played:.1f} ms were played{', and interrupted' if cut else ''}"
        self.wrong.append(f"{time.strftime('%X')} {self.request.agora_settings.channel}: sent {sent_ms:.1f} ms, {got}")

    async def say(self) -> None:
        """An utterance, whole."""
        event_id, messages, ms = self.speech()
        if self.chance.random() < 0.3:
            messages.insert(self.chance.randrange(len(messages) + 1), self.chance.choice(RUBBISH))
        await self.voices(messages)
        await self.whole(event_id, ms)

    async def cut(self) -> None:
        """An utterance that is interrupted."""
        _, messages, _ = self.speech()
        await self.voices(messages)
        await asyncio.sleep(self.chance.random())
        await self.send({"command": "voice_interrupt", "event_id": str(uuid.uuid4())})

    async def resume(self) -> None:
        """The connection is closed within an utterance; a new one goes on with it."""
        event_id, messages, ms = self.speech()
        middle = len(messages) // 2
        await self.voices(messages[:middle])
        await self.hang_up()
        await self.dial()
        await self.voices(messages[middle:])
        await self.whole(event_id, ms)

    async def break_off(self) -> None:
        """The connection breaks within an utterance that is never ended."""
        _, messages, ms = self.speech()
        await self.voices(messages)
        await self.hang_up(rudely=True)
        await asyncio.sleep(self.chance.random())
        await self.dial()
        if self.chance.random() < 0.5:
            await self.send({"command": "voice_interrupt", "event_id": str(uuid.uuid4())})
        else:  # it ends by itself
            await asyncio.sleep(ms / 1000 + 2.5)

    async def reopen(self) -> None:
        """A new session for the same channel, while the old one is speaking."""
        if self.chance.random() < 0.3:
            _, messages, _ = self.speech()
            await self.voices(messages)
            await self.open()

    async def rest(self) -> None:
        """Nothing."""
        await asyncio.sleep(self.chance.random() * 3)


class Watch:
    """What the server says of itself, and what the system says of it."""

    def __init__(self, server: Server, http: httpx.AsyncClient, talkers: list[Talker]) -> None:
        self.server, self.http, self.talkers = server, http, talkers
        self.rss: list[tuple[float, float]] = []
        self.late = self.late_in_pauses = 0
        self.blocks = self.blocks_in_pauses = 0
        """Of sound, made and never handed over."""
        self.skew = 0.0
        self.pauses: list[tuple[float, float]] = []

    async def run(self, until: float) -> None:
        began = time.monotonic()
        seen: dict[str, dict[str, Any]] = {}
        while (now := time.monotonic()) < until:
            self.rss.append((now - began, self.server.rss() / (1 << 20)))
            for talker in self.talkers:
                if talker.session is None:
                    continue
                session_id = talker.session.session_id
                reply = await self.http.get(f"{self.server.http}/session/{session_id}")
                if reply.status_code != 200:
                    continue
                stats = reply.json()["stats"]
                known = seen.get(session_id)
                seen[session_id] = stats
                if known is None:  # what starting cost is another matter
                    continue
                late, blocks = (stats[name] - known[name] for name in ("late", "pcm_dropped"))
                if self._in_pause():
                    self.late_in_pauses += late
                    self.blocks_in_pauses += blocks
                else:
                    self.late += late
                    self.blocks += blocks
                    self.skew = max(self.skew, abs(stats["skew_ms"]))
            await asyncio.sleep(1.0)

    def _in_pause(self) -> bool:
        """Whether what the server has just told may be a pause's doing: an answer that was asked for before it comes
        behind it."""
        now = time.monotonic()
        return any(began - SETTLE < now < ended + SETTLE for began, ended in self.pauses)

    async def pause(self, until: float, chance: random.Random) -> None:
        """Stops the server now and then."""
        while time.monotonic() < until - 10:
            await asyncio.sleep(30 + 30 * chance.random())
            began = time.monotonic()
            self.pauses.append((began, math.inf))
            self.server.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(chance.choice((0.05, 0.3, 0.8, 1.0)))
            self.server.process.send_signal(signal.SIGCONT)
            self.pauses[-1] = began, time.monotonic()


async def viewers(server: Server, talker: Talker, until: float, chance: random.Random, counts: Counter[str]) -> None:
    """One viewer of this session after the other, in a process each, some of which are killed."""
    while (left := until - time.monotonic()) > 10:
        assert talker.session is not None
        seconds = min(left - 5, 10 + 50 * chance.random())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("watcher.py")),
            *(server.viewer, talker.session.session_id, KEY, str(seconds)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        killed = chance.random() < 0.3
        if killed:
            await asyncio.sleep(seconds / 2)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        out, err = await process.communicate()
        counts["viewers"] += 1
        if process.returncode and not killed:
            # Its session may have been replaced before it came: 404. Anything else is worth a look.
            last = err.decode().strip().splitlines()[-2:]
            counts["viewers_gone" if any("404" in line for line in last) else "viewers_failed"] += 1
            if not any("404" in line for line in last):
                print(f"soak: a viewer failed: {last}", file=sys.stderr)
        if out:
            for name, value in json.loads(out).items():
                counts[f"viewer_{name}"] += value


def slope(points: list[tuple[float, float]]) -> float:
    """MiB a minute, by least squares."""
    x, y = np.array(points).T
    return float(np.polyfit(x / 60, y, 1)[0])


async def soak(results: Results, seconds: float, sessions: int, watched: int) -> bool:
    counts: Counter[str] = Counter()
    with serving() as server:
        await server.ready()
        async with httpx.AsyncClient(trust_env=False, timeout=30, headers=HEADERS) as http:
            talkers = [Talker(number, server, http, counts) for number in range(sessions)]
            until = time.monotonic() + seconds
            watch = Watch(server, http, talkers)
            tasks = [asyncio.create_task(talker.talk(until)) for talker in talkers]
            tasks += [asyncio.create_task(watch.run(until)), asyncio.create_task(watch.pause(until, random.Random(9)))]
            while any(talker.session is None for talker in talkers):
                await asyncio.sleep(0.1)
            for talker in talkers[:watched]:
                tasks.append(asyncio.create_task(viewers(server, talker, until, random.Random(watched), counts)))
            await asyncio.gather(*tasks)
    wrong = [text for talker in talkers for text in talker.wrong]
    for text in wrong[:20]:
        print(f"soak: {text}", file=sys.stderr)
    warm = min(300.0, seconds / 3)
    settled = [point for point in watch.rss if point[0] >= warm]
    n = counts["accounted"]
    minutes = round(seconds / 60, 1)
    results.add("utterances not played whole", len(wrong), "", goal="<= 0", n=n, did=dict(counts), minutes=minutes)
    lost = {"in_pauses": watch.blocks_in_pauses}
    results.add("blocks of sound not handed over", watch.blocks, "", goal="<= 0", n=len(watch.rss), **lost)
    growth = slope(settled) if len(settled) > 10 else 0.0
    ends = {"first_mib": settled[0][1], "last_mib": settled[-1][1], "most_mib": max(v for _, v in settled)}
    results.add("growth", growth, "MiB a minute", goal="<= 0.1", n=len(settled), warm_s=warm, **ends)
    results.add("skew", watch.skew, "ms", goal="<= 40", n=len(watch.rss))
    results.add("late frames", watch.late, "", goal="<= 0", n=len(watch.rss), in_pauses=watch.late_in_pauses)
    return not wrong and not watch.blocks and not watch.blocks_in_pauses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 s with six sessions")
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--watched", type=int, default=2, help="how many of them have a viewer")
    parser.add_argument("--check", action="store_true", help="exit code 1 if sound was lost")
    options = parser.parse_args()
    espeak(48000)
    seconds, sessions, watched = options.minutes * 60, options.sessions, options.watched
    if options.quick:
        seconds, sessions, watched = 20.0, 6, 1
    good = asyncio.run(soak(Results("soak"), seconds, sessions, watched))
    return 1 if options.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
