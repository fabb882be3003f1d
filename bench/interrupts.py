"""Interrupts: how much of what was interrupted still leaves, and how long it takes until a browser is silent.

At every publisher 10 000 interrupts in states drawn at random (idle, prebuffering, playing, dry, in the grace of an
end, fading, in a stall of the event loop, right behind one of 500 ms), on a clock that the benchmark turns: samples of
old speech behind the interrupt. Goal: none leaves more than 10 ms (tests/support/interrupting.py).

With --browser, 200 in a real Chromium: from the interrupt's arrival at the server to silence at the page's sound
output, and Lipwire's own share of it, to the last packet with speech that is handed to RTP. The rest is the browser's
jitter buffer and its output. Needs Chromium and the extra "test".
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, Results, main, percentile
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.provider.client import ProviderClient, request
from lipwire.publish.sound import Sound, SoundStream

sys.path.insert(0, str(ROOT / "tests"))
from support.browsing import browser
from support.interrupting import ALLOWED, OUTLETS, interrupted

RATE = 48_000
RECORD = """async () => {
  const video = document.querySelector('video');
  const context = new AudioContext({latencyHint: 'interactive'});
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 256;
  context.createMediaStreamSource(new MediaStream(video.srcObject.getAudioTracks())).connect(analyser);
  const samples = new Float32Array(256);
  window.heard = 0;
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, v) => sum + v * v, 0) / samples.length;
    if (power > 1e-4) window.heard = performance.timeOrigin + performance.now();
  }, 2);
}"""
"""`heard`: when sound was last heard, in ms since 1970."""


class Watch:
    """When the server was told to interrupt, and when it handed the last packet with speech to RTP."""

    def __init__(self) -> None:
        self.interrupted = self.sent = 0.0
        really, watch = SoundStream.send, self

        def send(stream: SoundStream, sound: Sound) -> None:
            really(stream, sound)
            if np.abs(np.frombuffer(sound.pcm, "<i2")).max(initial=0) > 300:
                watch.sent = time.time()

        SoundStream.send = send

    def on(self, session: Any) -> None:
        """Notes the interrupts of a session."""
        interrupt = session.interrupt

        def noted(event_id: str | None = None) -> None:
            self.interrupted = time.time()
            interrupt(event_id)

        session.interrupt = noted


async def heard(page: Any) -> float:
    """When sound was last heard, in seconds since 1970."""
    return float(await page.evaluate("window.heard")) / 1000


async def in_browser(chromium: str, count: int) -> list[tuple[float, float]]:
    """(ms from interrupt to silence, ms of it that are ours) of each."""
    tone = (np.sin(np.arange(10 * RATE) * (2 * np.pi * 440 / RATE)) * 12000).astype("<i2").tobytes()
    chance, watch, found = random.Random(1), Watch(), []
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1")
    async with (
        Service(config) as service,
        ProviderClient(service.http_url, service.api_key, request("bench")) as client,
        browser(chromium) as launched,
    ):
        (watched,) = service.watched.values()
        watch.on(watched.session)
        page = await launched.new_page()
        await page.goto(service.viewer_url)
        async with asyncio.timeout(30):
            while not await page.evaluate("window.lipwire?.connected"):
                await asyncio.sleep(0.25)
        await asyncio.sleep(2)
        await page.evaluate(RECORD)
        for _ in range(count):
            began, before = time.time(), client.finished_count
            await client.speak(tone, RATE, chunk_ms=1000, pace=None)
            async with asyncio.timeout(30):
                while await heard(page) < began:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.2 + chance.random() * 0.3)
            await client.interrupt()
            await client.wait_finished(before + 1)
            async with asyncio.timeout(30):
                while time.time() < max(await heard(page), watch.interrupted) + 0.4:
                    await asyncio.sleep(0.05)
            silent = await heard(page)
            found.append(((silent - watch.interrupted) * 1000, max(0.0, watch.sent - watch.interrupted) * 1000))
    return found


def at_publishers(results: Results, quick: bool) -> None:
    count = 500 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        for name in OUTLETS:
            pictures = name in ("null", "tee")
            found = asyncio.run(interrupted(name, count, Path(folder), pictures=pictures))
            results.add(
                f"interrupts that leave more than 10 ms: {name}",
                found.violations,
                "of all",
                n=found.interrupts,
                goal="<= 0",
                most_ms=max(found.stale) / RATE * 1000,
                allowed_ms=ALLOWED / RATE * 1000,
                histogram=found.histogram(),
                states=dict(found.states),
            )


def in_chromium(results: Results, quick: bool) -> None:
    if not (chromium := shutil.which("chromium") or shutil.which("google-chrome")):
        results.skip("Chromium", "it is not installed")
        return
    found = asyncio.run(in_browser(chromium, 10 if quick else 200))
    silence, ours = [ms for ms, _ in found], [ms for _, ms in found]
    for name, values, goal in (
        ("interrupt to silence in Chromium, p50", silence, "<= 100"),
        ("of which Lipwire's share, p50", ours, "<= 20"),
    ):
        most = {"p95": percentile(values, 95), "max": max(values)}
        results.add(name, percentile(values, 50), "ms", n=len(values), goal=goal, **most)


if __name__ == "__main__":
    if "--browser" in sys.argv:
        sys.argv.remove("--browser")
        main(in_chromium, __doc__)
    else:
        main(at_publishers, __doc__)
