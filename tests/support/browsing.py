"""What tests of the pages share: how Chromium is started, and what is looked at in a page."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

import lipwire
from lipwire.avatar.builtin import draw
from support.machine import require

WAIT = 40
RATE = 48_000
ARGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
MICROPHONE = "--use-fake-device-for-media-stream"
ALLOWED = "--use-fake-ui-for-media-stream"
"""Says yes where a page asks for the microphone; without it, headless Chromium says no."""
# Luma of a region of the picture, `count` times at the frame rate of the tests' sessions.
LOOK = """async ([x, y, width, height, count]) => {
  const video = document.querySelector('video');
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  let seen = '';
  for (let n = 0; n < count; n++) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    context.drawImage(video, x, y, width, height, 0, 0, width, height);
    const {data} = context.getImageData(0, 0, width, height);
    for (let i = 0; i < data.length; i += 4)
      seen += String.fromCharCode(Math.round(.2126 * data[i] + .7152 * data[i + 1] + .0722 * data[i + 2]));
  }
  return btoa(seen);
}"""
ENERGY = """async () => {
  const report = await window.lipwire.pc.getStats();
  for (const s of report.values()) if (s.type === 'inbound-rtp' && s.kind === 'audio') return s.totalAudioEnergy;
  return 0;
}"""

# The sound of a microphone that says what it is told when it is told; everything behind getUserMedia is the page's own.
USER = """(() => {
  let context, ends = [];
  navigator.mediaDevices.getUserMedia = async () => {
    context ??= new AudioContext({sampleRate: 48000});
    await context.resume();
    ends.push(context.createMediaStreamDestination());
    return ends.at(-1).stream;
  };
  window.userSays = (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), pcm = new Int16Array(bytes.buffer);
    const buffer = context.createBuffer(1, pcm.length, 48000);
    buffer.getChannelData(0).set(Float32Array.from(pcm, (x) => x / 32768));
    const source = context.createBufferSource();
    source.buffer = buffer;
    for (const end of ends) source.connect(end);
    source.start();
  };
})()"""


def speaks(path: Path) -> list[str]:
    """Switches for a user who lets the page hear this WAV, from when it asks on, again and again."""
    return [MICROPHONE, ALLOWED, f"--use-file-for-fake-audio-capture={path}"]


@asynccontextmanager
async def browser(chromium: str, *more: str) -> AsyncIterator[Any]:
    """A Chromium of its own, with these switches besides."""
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError:
        require(False, "playwright")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=[*ARGS, *more])
        yield launched
        await launched.close()


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = WAIT) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


def write_wav(path: Path, say: Callable[[str], tuple[bytes, int]], parts: list[str | float]) -> None:
    """Texts, and seconds of silence between."""
    pcm = bytearray()
    for part in parts:
        if isinstance(part, float):
            pcm += bytes(int(part * RATE) * 2)
        else:
            pcm += lipwire.resample(*say(part), RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(pcm))


class User:
    """Who sits before a page, and says something when the test is there."""

    def __init__(self, page: Any, say: Callable[[str], tuple[bytes, int]]) -> None:
        self.page, self._say = page, say

    async def sit_down(self) -> None:
        """Before the page is opened."""
        await self.page.add_init_script(USER)

    async def says(self, text: str) -> None:
        pcm = await asyncio.to_thread(lambda: lipwire.resample(*self._say(text), RATE))
        await self.page.evaluate("(pcm) => window.userSays(pcm)", base64.b64encode(pcm).decode())

    async def says_until(self, text: str, understood: Callable[[], Awaitable[object]]) -> None:
        """Says it again where it was not understood, as people do: a busy browser may lose some sound."""
        for _ in range(4):
            await self.says(text)
            with contextlib.suppress(TimeoutError):
                return await eventually(understood, WAIT / 2)
        raise AssertionError(f"nobody understood {text!r}")


async def state(page: Any) -> str:
    return await page.evaluate("() => window.lipwire.state")


def becomes(page: Any, *states: str) -> Callable[[], Awaitable[bool]]:
    async def is_it() -> bool:
        return await state(page) in states

    return is_it


async def items(page: Any, role: str) -> list[dict[str, Any]]:
    return [item for item in await page.evaluate("() => window.lipwire.items") if item["role"] == role]


class Mouth:
    """The mouth in the picture of a page whose first video shows the built-in `avatar` in a picture of `size`."""

    def __init__(self, page: Any, avatar: str, size: tuple[int, int]) -> None:
        self.page = page
        layer = next(layer for layer in draw(avatar, *size).layers if layer.name == "mouth")
        height, width = layer.images[0].shape[:2]
        self.box = [int(layer.x), int(layer.y), width, height]

    async def look(self, count: int = 25) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Luma (count, pixels), 40 ms apart."""
        # A list of numbers takes playwright half a second to read, in the loop in which the agent runs.
        seen = base64.b64decode(await self.page.evaluate(LOOK, [*self.box, count]))
        return np.frombuffer(seen, np.uint8).reshape(count, -1).astype(float)

    async def moves(self) -> None:
        """It does: within a second of speech luma strays by 15 to 30 from its mean, and by 1 at rest. On a busy machine
        the page may show no new picture for a while."""

        async def it_does() -> bool:
            return bool((await self.look(25)).std(axis=0).mean() > 6)

        await eventually(it_does)

    async def motion(self, count: int = 25) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean absolute change from picture to picture; a look that sees the same one again does not count."""
        seen = await self.look(count)
        changes = np.abs(np.diff(seen, axis=0)).mean(axis=1)
        return changes[changes > 0]
