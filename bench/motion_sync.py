"""Lips against sound where it is heard: a face that a browser draws, in a real Chromium, over a minute of speech.

The sound is recorded behind the browser, on a PulseAudio sink of this benchmark's own, and found again in what the
session said: so it is known which sample is heard when. The page draws with lipwire-client, and writes down which
sample each pose was of, and when. The offset of a pose is how much later it was drawn than its sample was heard.
Plain, and with a relay in the path from the server that loses 5 of 100 packets and delays each by 0 to 100 ms. Last,
how soon a late joiner's face moves.

Goals: half of all poses within 20 ms, 99 of 100 within 45 ms; a joiner's face moves 200 ms after its data channel's
opening. Needs Chromium, PulseAudio and the extra "test".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, Results, main
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.audio import espeak as voice
from lipwire.provider.client import ProviderClient, request

sys.path.insert(0, str(ROOT / "tests"))
from support.browsing import ARGS

TEXT = (
    "Father's car is far away. People buy more peaches and plums in August. Mama made a marble rainbow above "
    "Bombay. We used to sit on the porch in summer, and listen to old stories of ships that never came home. Some "
    "of them were true. Most of them, as we found out much later, were made up on the spot by my uncle Bob, who "
    "had never been to sea. He would begin with the weather, a map, and a bottle with a letter inside. Then a "
    "storm came up, always from the west, and the mast broke in the middle of the night. By morning there was "
    "nothing but fog. A boy with a lamp would climb up to the bow and call out for the others, and from far off "
    "somebody called back. My brother believed every word of it. I kept my doubts to myself, and ate plums. When "
    "the moon was up, my mother came out and sent us to bed. Both windows stood open, and we could hear them talk "
    "on. Years after, I saw the sea for the first time. It was flat and grey, and smelled of tar and soap. A man "
    "in a blue pullover mended a net, and did not look up when I asked him about the weather. Perhaps I should "
    "have brought a map. Perhaps a bottle. I sat down beside him and watched the boats bump against the pier. "
    "Before long he began to speak, with the weather first."
)
RATE = 48
"""Samples in a ms."""
WINDOW, HOP = 200 * RATE, 20 * RATE
"""Of the recording, in which one place of the speech is looked for."""
AGREE_MS = 6.0
"""Sound goes on as it does: of a place that is right, one of the next is right, too, and says the same but for this."""
REACH = 400 * RATE
"""How far from where it is expected to either side."""
SURE = 0.9
"""Correlation from which on it is found,"""
LOUD = 150.0
"""in a window of this root mean square at least."""
SETTLE = 4.0
"""Seconds from the connection to the first pose that counts."""
LOSS, DELAY_MS = 0.05, 100.0
PAGE = """async ([session, token]) => {
  const { connect } = await import('/client/index.js');
  const connection = window.connection = connect({ session, token });
  window.drawn = [];
  window.moved = null;
  const look = () => {
    requestAnimationFrame(look);
    const pose = connection.player.pose(), now = performance.now();
    if (!pose || !connection.player.ready) return;
    window.drawn.push([now, pose.sample, pose.sets.arkit[pose.names.arkit.indexOf('jawOpen')]]);
    const opened = connection.channel?.openedAt, moves = pose.sets.arkit.some((value) => value > 0.02);
    if (window.moved === null && opened > 0 && moves) window.moved = now - opened;
  };
  look();
  while (connection.state !== 'live') await new Promise((resolve) => setTimeout(resolve, 20));
  return performance.timeOrigin;
}"""
FIGURES = """() => ({ drawn: window.drawn, stats: connection.player.stats, follows: connection.player.clock.follows,
  latency: connection.player.clock.latency })"""


class Sink:
    """A PulseAudio of its own with a sink that nobody hears, and what was played on it by the time of arrival."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
        self._chunks: list[tuple[float, bytes]] = []

    def __enter__(self) -> Sink:
        script = self._folder / "sink.pa"
        script.write_text(
            "load-module module-null-sink rate=48000 channels=2\nload-module module-native-protocol-unix\n"
        )
        command = ["pulseaudio", "-n", "-F", str(script), "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self.environment}
        self._server = subprocess.Popen(command, **quiet)
        for _ in range(100):
            if subprocess.run(["pactl", "info"], check=False, **quiet).returncode == 0:
                break
            time.sleep(0.1)
        command = [
            "parec",
            "-d",
            "@DEFAULT_MONITOR@",
            "--latency-msec=5",
            "--format=s16le",
            "--rate=48000",
            "--channels=1",
        ]
        self._recorder = subprocess.Popen(command, stdout=subprocess.PIPE, env=self.environment)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        assert self._recorder.stdout is not None
        while data := os.read(self._recorder.stdout.fileno(), 1 << 16):
            self._chunks.append((time.time() * 1000, data))

    def heard(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(what was played, ms since the epoch at which each sample was). What arrives late is late for want of a
        processor, so the punctual chunks of some seconds tell for all."""
        chunks = list(self._chunks)
        ends = np.cumsum([len(data) // 2 for _, data in chunks])
        offsets = np.array([at for at, _ in chunks]) - ends / RATE
        punctual = np.array([offsets[max(0, n - 100) : n + 100].min() for n in range(len(offsets))])
        sound = np.frombuffer(b"".join(data for _, data in chunks), np.int16)
        index = np.arange(len(sound))
        return sound, index / RATE + np.interp(index, ends, punctual)

    def __exit__(self, *_: object) -> None:
        for process in (self._recorder, self._server):
            process.terminate()
            process.wait(10)


class Relay:
    """Between a browser and the server: datagrams pass to `port` and back, and where it is `rough`, back as on a poor
    network. It has a thread of its own."""

    def __init__(self, port: int, seed: int = 5) -> None:
        self._server = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self.rough = False
        self.lost = self.passed = 0
        self._inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for one in (self._inner, self._outer):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        self.port: int = self._outer.getsockname()[1]
        self._browser: Any = None
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._outer, self._from_browser)
        self._loop.add_reader(self._inner, self._from_server)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _from_browser(self) -> None:
        data, self._browser = self._outer.recvfrom(4096)
        self._inner.sendto(data, self._server)

    def _from_server(self) -> None:
        data = self._inner.recv(4096)
        if not self.rough:
            self._pass(data)
        elif self._random.random() < LOSS:
            self.lost += 1
        else:
            self._loop.call_later(self._random.random() * DELAY_MS / 1000, self._pass, data)

    def _pass(self, data: bytes) -> None:
        self.passed += 1
        if self._browser is not None:
            self._outer.sendto(data, self._browser)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for one in (self._inner, self._outer):
            one.close()


class Stage:
    """A server with a session that speaks, and a browser whose sound goes to `sink`."""

    def __init__(self, service: Service, client: ProviderClient, browser: Any) -> None:
        self.service, self.client, self.browser = service, client, browser
        (self.session,) = service.watched
        self.said: list[tuple[int, bytes]] = []
        publisher: Any = service.watched[self.session].publisher
        play = publisher.audio

        def audio(pcm: bytes, sample: int) -> None:
            self.said.append((sample, bytes(pcm)))
            play(pcm, sample)

        publisher.audio = audio

    def spoken(self) -> tuple[int, np.ndarray[Any, Any]]:
        """(the first sample, what was said from there on)."""
        first, end = self.said[0][0], self.said[-1][0] + len(self.said[-1][1]) // 2
        sound = np.zeros(end - first, np.int16)
        for sample, pcm in self.said:
            sound[sample - first : sample - first + len(pcm) // 2] = np.frombuffer(pcm, np.int16)
        return first, sound

    def token(self) -> str:
        return self.service.provider.authority.issue("session", self.session, "watch", ttl=3600, owner="operator")

    async def join(self, through: list[Relay] | None = None) -> tuple[Any, float]:
        """A page that draws the face, and its time origin in ms since the epoch. Where there is a list, it connects
        through a relay, which is put in there."""
        page = await self.browser.new_page()
        await page.goto(f"{self.service.viewer_url}schema/openapi.json")
        if through is not None:
            await page.route("**/whep/*", lambda route: _by_relay(route, through))
        return page, await page.evaluate(PAGE, [self.session, self.token()])


async def _by_relay(route: Any, relays: list[Relay]) -> None:
    """The offer names no address of the browser's, and the answer the relay's alone: there is no other path."""
    asked = route.request
    if asked.method == "PATCH":
        await route.fulfill(status=204)
        return
    if asked.method != "POST":
        await route.continue_()
        return
    offer = "".join(line for line in asked.post_data.splitlines(keepends=True) if not line.startswith("a=candidate"))
    reply = await route.fetch(post_data=offer)
    lines = (await reply.text()).splitlines(keepends=True)
    found = next(line.split() for line in lines if line.startswith("a=candidate") and " udp " in line.lower())
    relay = Relay(int(found[5]))
    relays.append(relay)
    ours = " ".join([*found[:4], "127.0.0.1", str(relay.port), "typ", "host"]) + "\r\n"
    kept = [line for line in lines if not line.startswith("a=candidate")]
    first = next(n for n, line in enumerate(kept) if line.startswith("a=ice-ufrag"))
    await route.fulfill(response=reply, body="".join([*kept[:first], ours, *kept[first:]]))


@contextlib.asynccontextmanager
async def staged(chromium: str, sink: Sink) -> AsyncIterator[Stage]:
    from playwright.async_api import async_playwright

    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1", max_late_percent=0, max_busy_percent=0)
    async with (
        Service(config) as service,
        ProviderClient(service.http_url, service.api_key, request("bench", width=640, height=360)) as client,
        async_playwright() as playwright,
    ):
        options: dict[str, Any] = {"args": ARGS, "ignore_default_args": ["--mute-audio"], "env": sink.environment}
        launched = await playwright.chromium.launch(executable_path=chromium, **options)
        yield Stage(service, client, launched)
        await launched.close()


def places(
    sound: np.ndarray[Any, Any], times: np.ndarray[Any, Any], stage: Stage, expected: Any
) -> np.ndarray[Any, Any]:
    """Rows of (ms since the epoch, sample heard then), from where each window of the recording fits what was said best.
    `expected`: ms -> about which sample."""
    first, spoken = stage.spoken()
    said = spoken.astype(float)
    power = np.concatenate([[0.0], np.cumsum(said**2)])
    found = []
    size = 1 << 16
    for at in range(0, len(sound) - WINDOW, HOP):
        window = sound[at : at + WINDOW].astype(float)
        start = int(expected(times[at])) - first - REACH
        if np.sqrt((window**2).mean()) < LOUD or start < 0 or start + 2 * REACH + WINDOW > len(said):
            continue
        spectrum = np.fft.rfft(said[start : start + 2 * REACH + WINDOW], size) * np.conj(np.fft.rfft(window, size))
        fits = np.fft.irfft(spectrum, size)[: 2 * REACH]
        here = power[start + WINDOW : start + WINDOW + 2 * REACH] - power[start : start + 2 * REACH]
        fits /= np.sqrt(np.maximum(here, WINDOW * LOUD**2 / 4) * (window**2).sum())
        best = int(np.argmax(fits))
        if fits[best] >= SURE:
            found.append((times[at + WINDOW // 2], first + start + best + WINDOW // 2))
    rows = np.array(found)
    lag = rows[:, 0] - rows[:, 1] / RATE
    same = (np.abs(np.diff(lag)) < AGREE_MS) & (np.diff(rows[:, 0]) < 3 * HOP / RATE)
    return rows[np.append(same, False) | np.insert(same, 0, False)]


def offsets(drawn: np.ndarray[Any, Any], heard: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many ms each pose was drawn after its sample was heard, where the sound of that moment was found."""
    gap = np.interp(drawn[:, 0], heard[:, 0], heard[:, 0] - heard[:, 1] / RATE)
    near = np.abs(heard[np.searchsorted(heard[:, 0], drawn[:, 0]).clip(0, len(heard) - 1), 0] - drawn[:, 0])
    late = drawn[:, 0] - (drawn[:, 1] / RATE + gap)
    return late[near < 2 * HOP / RATE]


async def watched(stage: Stage, sink: Sink, seconds: float, rough: bool) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Offsets of a face that speaks for so long, and the client's own figures."""
    relays: list[Relay] = []
    page, origin = await stage.join(relays if rough else None)
    for relay in relays:
        relay.rough = True
    await asyncio.sleep(SETTLE)
    began = time.time() * 1000
    await asyncio.sleep(seconds)
    figures = await page.evaluate(FIGURES)
    await page.close()
    for relay in relays:
        figures |= {"lost": relay.lost, "passed": relay.passed}
        relay.close()
    drawn = np.array(figures.pop("drawn"))[:, :2] + [origin, 0]
    drawn = drawn[drawn[:, 0] > began]
    sound, times = sink.heard()
    inside = times > began
    middle = np.interp(times[inside], drawn[:, 0], drawn[:, 1])
    heard = places(sound[inside], times[inside], stage, lambda at: np.interp(at, times[inside], middle))
    assert len(heard) > 20, "the recording is not what was said: was the machine too busy to play it?"
    return offsets(drawn, heard), figures


async def measure(chromium: str, sink: Sink, results: Results, quick: bool) -> None:
    pcm, rate = voice.synthesize(TEXT)
    seconds = 6.0 if quick else 60.0
    async with staged(chromium, sink) as stage:
        speaking = asyncio.create_task(_speak(stage.client, pcm, rate))
        for name, rough in (("plain", False), ("5 % lost, 50 +-50 ms", True)):
            late, figures = await watched(stage, sink, seconds, rough)
            about = {"n": len(late), "worst": float(np.abs(late).max()), **figures}
            about["late_ms"] = {str(p): float(np.quantile(late, p / 100)) for p in (1, 5, 25, 50, 75, 95, 99)}
            middle, most = abs(float(np.median(late))), float(np.quantile(np.abs(late), 0.99))
            results.add(f"pose off sound, {name}, p50", middle, "ms", goal="<= 20", **about)
            results.add(f"pose off sound, {name}, p99", most, "ms", goal="<= 45", n=len(late))
        joined = []
        for _ in range(2 if quick else 7):
            page, _ = await stage.join()
            await page.wait_for_function("() => window.moved !== null")
            joined.append(await page.evaluate("window.moved"))
            await page.close()
        worst = max(joined)
        name = "late joiner's face moves after its channel's opening"
        results.add(name, worst, "ms", goal="<= 200", n=len(joined), all=joined)
        speaking.cancel()
        await asyncio.wait([speaking])


async def _speak(client: ProviderClient, pcm: bytes, rate: int) -> None:
    while True:
        done = client.finished_count + 1
        await client.speak(pcm, rate, chunk_ms=40, pace=1.0)
        await client.wait_finished(done)


@contextlib.contextmanager
def sinks() -> Iterator[Sink]:
    with tempfile.TemporaryDirectory() as folder, Sink(Path(folder)) as sink:
        yield sink


def run(results: Results, quick: bool) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    missing = [name for name in ("pulseaudio", "pactl", "parec") if not shutil.which(name)]
    if chromium is None or missing:
        print(f"motion_sync: {missing or 'Chromium'} not installed, nothing measured", file=sys.stderr)
        return
    with sinks() as sink:
        asyncio.run(measure(chromium, sink, results, quick))


if __name__ == "__main__":
    main(run, __doc__)
