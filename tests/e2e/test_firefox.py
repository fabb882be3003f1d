"""In Firefox: the viewer page's pictures are decoded, its sound is heard; and motion follows the sound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.provider.client import ProviderClient, request
from support.browsing import eventually
from support.firefox import Page, firefox

TEXT = "People buy more peaches and plums in August. Mama made a marble rainbow above Bombay."
KEY = "a-key-for-tests"


CODECS = "() => RTCRtpReceiver.getCapabilities('video').codecs.map((codec) => codec.mimeType)"


async def plays(page: Page, talk: Callable[[], Any]) -> None:
    """Pictures go on while somebody talks, and the sound has energy then that it had not before."""

    async def begun() -> bool:
        return bool((await page.received())["frames"] > 5)

    await eventually(begun, 60)
    before = await page.received()
    # Debian's has H.264 only where the user let it fetch Cisco's; the page asks for that first, the server has both.
    assert before["video"] == ("video/H264" if "video/H264" in await page.ask(CODECS) else "video/VP8")
    assert before["audio"] == "audio/opus"
    await talk()

    async def heard() -> bool:
        now = await page.received()
        return bool(now["frames"] > before["frames"] + 10 and now["energy"] - before["energy"] > 1e-4)

    await eventually(heard, 60)
    size = await page.ask("() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; }")
    assert size == [480, 270]


MOVES = """async () => {
  const { connect } = await import('/client/index.js');
  const connection = window.connection = connect(OPTIONS);
  Object.assign(window, { widest: 0, spoken: 0, cues: [] });
  connection.addEventListener('cue', ({ detail }) => window.cues.push(detail.kind));
  const look = () => {
    requestAnimationFrame(look);
    const pose = connection.player.pose();
    if (!pose || !connection.player.ready) return;
    if (connection.player.clock.follows && pose.speaking) window.spoken++;
    window.widest = Math.max(window.widest, pose.sets.arkit[pose.names.arkit.indexOf('jawOpen')]);
  };
  look();
}"""
"""Connects, and looks at each pose."""


async def moves(page: Page, options: dict[str, str], talk: Callable[[], Any]) -> None:
    """Poses come, and move on the clock of the sound while somebody talks."""
    await page.ask(MOVES.replace("OPTIONS", json.dumps(options)))

    async def follows() -> bool:
        return bool(await page.ask("() => connection.state === 'live' && connection.player.clock.follows"))

    await eventually(follows, 60)
    await talk()

    async def moved() -> bool:
        return bool(await page.ask("() => widest > 0.1 && spoken > 5 && cues.includes('started')"))

    await eventually(moved, 60)


async def test_pages_play_and_move_in_firefox(
    firefox_path: str, say: Callable[[str], tuple[bytes, int]], tmp_path: Path
) -> None:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    busy: dict[str, Any] = {"max_late_percent": 0, "max_busy_percent": 0, "max_lag_ms": 0}
    config = Config(api_key=KEY, ice_host="127.0.0.1", **ports, **busy)
    (tmp_path / "profile").mkdir()
    async with Service(config) as service, firefox(firefox_path, tmp_path / "profile") as browser:
        start = request("firefox", width=480, height=270, fps=25)
        async with ProviderClient(service.http_url, KEY, start) as client:
            pcm, rate = say(TEXT)

            async def talk() -> None:
                await asyncio.wait_for(client.speak(pcm, rate, chunk_ms=40, pace=2.0), 60)

            token = service.page_link().partition("#")[2]
            page = await browser.open(f"{service.viewer_url}#{token}")
            await plays(page, talk)
            await page.go(f"{service.viewer_url}help.html")
            (session,) = service.watched
            watch = service.provider.authority.issue("session", session, "watch", ttl=600, owner="operator")
            await moves(page, {"session": session, "token": watch}, talk)
            await page.close()
    assert browser.complaints == []
