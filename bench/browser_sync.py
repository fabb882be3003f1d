"""A/V sync where it counts: in a real Chromium, at its sound output and its display.

The page's sound (WebAudio) and the mouth in its video (requestVideoFrameCallback) are recorded on one clock. The lag is
where the mouth's opening fits the sound's envelope best, less the same figure of what was rendered, measured alike. A
positive figure means that the picture comes late. Goal: within one frame (40 ms). Needs Chromium and the extra "test".
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from typing import Any

import numpy as np

from harness import ROOT, Results, main
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.audio import espeak as voice
from lipwire.avatar import Avatar
from lipwire.provider.client import ProviderClient, request
from lipwire.session.offline import perform

sys.path.insert(0, str(ROOT / "tests"))
from support.browsing import browser

TEXT = "pa. papa. mama. pa. bob. papa. mom. pa. bob. papa."
WIDTH, HEIGHT = 640, 360
MOUTH = (286, 184, 68, 40)
"""x, y, width, height of the mouth in the frame, in pixels."""
DARK = 110
"""Luma (or red) below which a pixel of the mouth counts as open."""
STEP = 5.0
"""ms: resolution of the search."""
REACH = 60
"""Steps searched either way."""
SMOOTH = 8
"""Steps over which the sound's envelope is averaged."""
FIT = 0.5
"""What mouth and sound must correlate by, for a lag to mean anything."""
TRIES = 2
"""Of a browser that a busy machine has left too few pictures for that."""
RECORD = """async ([x, y, w, h, dark]) => {
  const video = document.querySelector('video');
  const context = new AudioContext();
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(new MediaStream(video.srcObject.getAudioTracks())).connect(analyser);
  const samples = new Float32Array(512);
  const canvas = document.createElement('canvas');
  canvas.width = w; canvas.height = h;
  const pixels = canvas.getContext('2d', {willReadFrequently: true});
  window.recorded = {sound: [], mouth: []};
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, v) => sum + v * v, 0) / samples.length;
    window.recorded.sound.push([performance.now(), Math.sqrt(power)]);
  }, 5);
  const look = (now, frame) => {
    pixels.drawImage(video, x, y, w, h, 0, 0, w, h);
    const data = pixels.getImageData(0, 0, w, h).data;
    let open = 0;
    for (let i = 0; i < data.length; i += 4) open += data[i] < dark;
    window.recorded.mouth.push([frame.expectedDisplayTime, open]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""


def lag(sound: np.ndarray[Any, Any], mouth: np.ndarray[Any, Any]) -> tuple[float, float]:
    """(ms by which the mouth is late, correlation there), from rows of (ms, value)."""
    grid = np.arange(max(sound[0, 0], mouth[0, 0]), min(sound[-1, 0], mouth[-1, 0]), STEP)
    level = np.convolve(np.sqrt(np.interp(grid, *sound.T)), np.ones(SMOOTH) / SMOOTH, "same")
    opening = np.interp(grid, *mouth.T)
    inner = slice(REACH, -REACH)
    fits = [np.corrcoef(level[inner], np.roll(opening, -k)[inner])[0, 1] for k in range(-REACH, REACH + 1)]
    best = int(np.argmax(fits))
    return (best - REACH) * STEP, float(fits[best])


def rendered(pcm: bytes, rate: int) -> tuple[float, float]:
    """The lag of what the engine makes, before any transport."""
    sound, mouth = [], []
    x, y, w, h = MOUTH
    window = np.zeros(512)
    for item in perform(iter([pcm]), rate, Avatar.load("aria").at(WIDTH, HEIGHT)):
        if isinstance(item, tuple):
            block = np.frombuffer(item[0], np.int16) / 32768
            for k in (240, 480):
                window = np.concatenate([window, block[k - 240 : k]])[-512:]
                sound.append((item[1] / 48 + k / 48, float(np.sqrt((window**2).mean()))))
        else:
            picture = item.i420[y : y + h, x : x + w]
            mouth.append((item.sample / 48, int((picture < DARK).sum())))
    return lag(np.array(sound), np.array(mouth))


async def watched(chromium: str, pcm: bytes, rate: int, runs: int) -> list[tuple[float, float]]:
    """The lag in a browser, once for each fresh connection."""
    found = []
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1")
    async with (
        Service(config) as service,
        ProviderClient(service.http_url, service.api_key, request("bench")) as client,
        browser(chromium) as launched,
    ):
        for _ in range(runs):
            for _ in range(TRIES):
                late, fit = await _lag_of_a_page(launched, service, client, pcm, rate)
                if fit > FIT:
                    break
            found.append((late, fit))
    return found


async def _lag_of_a_page(
    launched: Any, service: Service, client: ProviderClient, pcm: bytes, rate: int
) -> tuple[float, float]:
    page = await launched.new_page()
    await page.goto(service.viewer_url)
    for _ in range(80):
        await asyncio.sleep(0.25)
        if await page.evaluate("window.lipwire?.connected"):
            break
    await asyncio.sleep(8)  # sender reports arrive every few seconds; the browser aligns by them
    await page.evaluate(RECORD, [*MOUTH, DARK])
    before = client.finished_count
    await client.speak(pcm, rate, pace=None)
    await client.wait_finished(before + 1)
    await asyncio.sleep(0.5)
    recorded = await page.evaluate("window.recorded")
    await page.close()
    return lag(np.array(recorded["sound"]), np.array(recorded["mouth"]))


def run(results: Results, quick: bool) -> None:
    if not (chromium := shutil.which("chromium") or shutil.which("google-chrome")):
        print("browser_sync: Chromium is not installed, nothing measured", file=sys.stderr)
        return
    pcm, rate = voice.synthesize(TEXT, words_per_minute=120)
    base, _ = rendered(pcm, rate)
    found = asyncio.run(watched(chromium, pcm, rate, 1 if quick else 5))
    lags = [late - base for late, _ in found]
    fits = [fit for _, fit in found]
    if quick and min(fits) <= FIT:  # where benchmarks run side by side the browser may get a picture now and then
        print(f"browser_sync: too few pictures for a figure, the mouth fits the sound by {fits}", file=sys.stderr)
        return
    assert min(fits) > FIT, f"the mouth does not follow the sound: {fits}"
    results.add(
        "picture late against sound in Chromium, worst |lag|",
        max(abs(late) for late in lags),
        "ms",
        n=len(lags),
        goal="<= 40",
        lags=lags,
        rendered=base,
        correlation=fits,
    )


if __name__ == "__main__":
    main(run, __doc__)
