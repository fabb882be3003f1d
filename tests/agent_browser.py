"""What tests of the agent page share: how Chromium is started, and what is looked at in the page."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import lipwire

WAIT = 40
RATE = 48_000
ARGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--use-fake-device-for-media-stream",
]
ALLOWED = "--use-fake-ui-for-media-stream"
"""Says yes where a page asks for the microphone; without it, headless Chromium says no."""
MOTION = """async (count) => {
  const video = document.querySelector('#video'), [width, height] = [160, 90];
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  let before = null;
  const motion = [];
  for (let n = 0; n <= count; n++) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    context.drawImage(video, 0, 0, width, height);
    const {data} = context.getImageData(width / 4, 0, width / 2, height);
    const luma = [];
    for (let i = 0; i < data.length; i += 4) luma.push(data[i] + data[i + 1] + data[i + 2]);
    if (before) motion.push(luma.reduce((sum, v, i) => sum + Math.abs(v - before[i]), 0) / luma.length / 3);
    before = luma;
  }
  return motion;
}"""
ENERGY = """async () => {
  const report = await window.lipwire.pc.getStats();
  for (const s of report.values()) if (s.type === 'inbound-rtp' && s.kind === 'audio') return s.totalAudioEnergy;
  return 0;
}"""


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await condition():
            await asyncio.sleep(0.05)


def write_wav(path: Path, say: Callable[[str], tuple[bytes, int]], parts: list[str | float]) -> None:
    """Texts, and seconds of silence between."""
    pcm = bytearray()
    for part in parts:
        if isinstance(part, float):
            pcm += bytes(int(part * RATE) * 2)
        else:
            speech, rate = say(part)
            resampler = lipwire.Resampler(rate, RATE)
            pcm += bytes(resampler.process(speech)) + bytes(resampler.flush())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(pcm))


async def state(page: Any) -> str:
    return await page.evaluate("() => window.lipwire.state")


def becomes(page: Any, *states: str) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return await state(page) in states

    return is_it


async def items(page: Any, role: str) -> list[dict[str, Any]]:
    return [item for item in await page.evaluate("() => window.lipwire.items") if item["role"] == role]
