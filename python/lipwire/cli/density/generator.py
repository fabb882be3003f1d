"""The clients and viewers of a server that is measured: a process of its own, bound to a core of its own.

    python -m lipwire.cli.density.generator HTTP_URL VIEWER_URL SPEECH RATE CHUNK_MS AVATAR SIZE FPS CODEC

Takes orders, a line of JSON each, and answers each with one: `set` (`sessions`, and `viewers` of each), `calm`,
`begin`, `end`, `decoded`. SPEECH holds raw PCM16 at RATE; CODEC is what viewers would rather have.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from .talkers import Metronome, Talker, Tally, utterances

TICKS = 0.02
"""Seconds beyond one interval of pictures in which an utterance must be heard: two ticks of the engine."""
AT_ONCE = 8
"""Sessions that are started at the same time."""


class Generator:
    """See above."""

    def __init__(
        self, http_url: str, viewer_url: str, speech: str, rate: str, chunk: str, avatar: str, size: str, fps: str,
        codec: str,
    ) -> None:  # fmt: skip
        self.viewer_url, self.avatar, self.size, self.fps, self.codec = viewer_url, avatar, size, int(fps), codec
        self.limit = 1 / self.fps
        self.tally = Tally(self.limit + TICKS)
        self.chunk = int(chunk) / 1000
        self.script = utterances(Path(speech).read_bytes(), int(rate), int(chunk))
        self.talkers: list[Talker] = []
        self.watchers: dict[Talker, list[Any]] = {}
        self.metronome = Metronome(self.tally)
        key = os.environ["DENSITY_KEY"]
        self.http = httpx.AsyncClient(base_url=http_url, headers={"x-api-key": key}, timeout=60, trust_env=False)
        self._cpu = 0.0
        self._made = 0

    async def set(self, sessions: int, viewers: int) -> dict[str, Any]:
        """Makes it so many sessions, and so many viewers of each."""
        leaving, self.talkers = self.talkers[sessions:], self.talkers[:sessions]
        for talker in leaving:
            await self._end(talker)
        places = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with places:
                await self._start(number)

        count = sessions - len(self.talkers)
        self._made += count
        await asyncio.gather(*(one(self._made - left) for left in range(count)))
        for talker in self.talkers:
            await self._watch(talker, viewers)
        watchers = [watcher for each in self.watchers.values() for watcher in each]
        codecs = sorted({watcher.video_codec for watcher in watchers})
        return {"sessions": len(self.talkers), "viewers": len(watchers), "codecs": codecs}

    async def _start(self, number: int) -> None:
        width, _, height = self.size.partition("x")
        fields = {
            "avatar_id": self.avatar,
            "quality": "medium",
            "version": "v1",
            "video_encoding": "H264",
            "width": int(width),
            "height": int(height),
            "fps": self.fps,
            "activity_idle_timeout": 0,
            "agora_settings": {
                "app_id": "density",
                "token": "",
                "channel": f"density-{number}",
                "uid": "1",
                "enable_string_uid": False,
            },
        }
        reply = await self.http.post("/session/start", json=fields)
        if reply.status_code != 200:
            raise RuntimeError(f"the server answered {reply.status_code}: {reply.text[:300]}")
        talker = Talker(number, self.script, self.chunk, self.tally)
        await talker.connect(reply.json(), fields)
        self.talkers.append(talker)
        self.metronome.add(talker)

    async def _end(self, talker: Talker) -> None:
        await self._watch(talker, 0)
        self.watchers.pop(talker, None)
        talker.close()
        await self.http.request("DELETE", "/session/stop", json={"session_id": talker.session_id})

    async def _watch(self, talker: Talker, viewers: int) -> None:
        """Gives it so many viewers."""
        if not viewers and not self.watchers.get(talker):
            return
        from .watchers import Watcher

        there = self.watchers.setdefault(talker, [])
        while len(there) > viewers:
            await there.pop().close()
        while len(there) < viewers:
            first = not any(self.watchers.values())
            watcher = Watcher(self.codec, self.fps, self.limit, keeps=first)
            sdp = await watcher.offer()
            url = f"{self.viewer_url}whep/{talker.session_id}"
            reply = await self.http.post(url, headers={"content-type": "application/sdp"}, content=sdp)
            if reply.status_code != 201:
                raise RuntimeError(f"the server answered an offer with {reply.status_code}: {reply.text[:300]}")
            await watcher.connect(reply.text)
            there.append(watcher)

    def _all(self) -> list[Any]:
        return [watcher for each in self.watchers.values() for watcher in each]

    def calm(self) -> dict[str, Any]:
        """After a window in which the server could not keep up: without the speech that waits there, which would be
        late for minutes."""
        self.metronome.begin_anew(self.talkers)
        return {}

    def begin(self) -> dict[str, Any]:
        """From now on it counts."""
        self.tally.clear()
        for watcher in self._all():
            watcher.clear()
        self._cpu = time.process_time()
        return {}

    def end(self) -> dict[str, Any]:
        """What there was since."""
        now, tally = time.monotonic(), self.tally
        counts: Counter[str] = Counter(tally.counts)
        counts["overdue"] += sum(talker.overdue(now) for talker in self.talkers)
        silent = 0
        worst = 0.0
        for watcher in self._all():
            seen = watcher.counts()
            silent += not (seen["picture_whole"] and seen["sound_whole"])
            counts.update(seen)
            worst = max(worst, watcher.worst)
        counts["viewers_without_media"] = silent
        elapsed = now - tally.since
        starts = sorted(tally.starts)
        return {
            "counts": dict(counts),
            "events": dict(tally.events),
            "late_ms": tally.late * 1000,
            "cpu": (time.process_time() - self._cpu) / elapsed,
            "worst_ms": worst * 1000,
            "start_p50_ms": starts[len(starts) // 2] * 1000 if starts else None,
            "start_p99_ms": starts[len(starts) * 99 // 100] * 1000 if starts else None,
        }

    def decoded(self) -> dict[str, Any]:
        """What the packets of the first viewer were."""
        first = next((watcher for watcher in self._all() if watcher.keeps), None)
        return {} if first is None else first.decoded()

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Does what it is told."""
        if order["do"] == "set":
            gc.enable()
            try:
                return await self.set(order["sessions"], order.get("viewers", 0))
            except (RuntimeError, OSError, TimeoutError, httpx.HTTPError) as exc:  # a server that has too much to do
                return {"error": f"{type(exc).__name__}: {exc}"}
            finally:  # no pauses of our own until the window is over
                gc.collect()
                gc.disable()
        calls = {"calm": self.calm, "begin": self.begin, "end": self.end, "decoded": self.decoded}
        return calls[order["do"]]()

    async def run(self) -> None:
        """Until its orders end."""
        loop = asyncio.get_running_loop()
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        beat = asyncio.create_task(self.metronome.run())
        print("{}", flush=True)
        while line := await orders.readline():
            print(json.dumps(await self.order(json.loads(line))), flush=True)
        beat.cancel()
        for talker in self.talkers:
            talker.close()
        await self.http.aclose()


async def _main() -> None:
    await Generator(*sys.argv[1:]).run()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main())
