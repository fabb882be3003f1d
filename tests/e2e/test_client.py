"""lipwire-client in Chromium, on a real server: motion over WebRTC and over a WebSocket, video, and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.provider.client import ProviderClient, request
from support.browsing import browser, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "key-of-the-tests"
SEI = """async ([url, token]) => {
  const { ArrivalClock, Player, followSei } = await import('/client/index.js');
  const { preferCodec } = await import('/client/rtc.js');
  const pc = window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
  preferCodec(pc.getTransceivers()[0], 'H264');
  const player = window.player = new Player({ clock: new ArrivalClock() });
  window.errors = [];
  followSei(receiver, player, (error) => window.errors.push(error.message));
  await pc.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
  const reply = await fetch(url, { method: 'POST', body: pc.localDescription.sdp, headers });
  await pc.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
}"""
TEXT = "Mama made a marble rainbow above Bombay. People buy more peaches and plums in August."
CONNECT = """async (options) => {
  const { connect } = await import('/client/index.js');
  const connection = window.connection = connect(options);
  Object.assign(window, { cues: [], errors: [], widest: 0, seen: 0 });
  connection.addEventListener('cue', ({ detail }) => window.cues.push(detail.kind));
  connection.addEventListener('error', ({ detail }) => window.errors.push(detail.code));
  const look = () => {
    if (connection.state === 'closed') return;
    requestAnimationFrame(look);
    const pose = connection.player.pose();
    if (!pose || !connection.player.ready) return;
    window.seen++;
    window.widest = Math.max(window.widest, pose.sets.arkit[pose.names.arkit.indexOf('jawOpen')]);
  };
  look();
}"""


class Site:
    def __init__(self, service: Service, client: ProviderClient, chromium: Any) -> None:
        self.service, self.client, self.chromium = service, client, chromium
        (self.session,) = service.watched

    @property
    def publisher(self) -> Any:
        return self.service.watched[self.session].publisher

    async def open(self, **options: Any) -> Any:
        """A page that connects so, and draws nothing but looks at each pose."""
        page = await self.chromium.new_page()
        await page.goto(f"{self.service.viewer_url}schema/openapi.json")
        await page.evaluate(CONNECT, {"session": self.session, "token": self.token()} | options)
        return page

    async def speak_on(self, pcm: bytes, rate: int) -> None:
        """Says it again and again, until it is cancelled: however busy the machine is, somebody speaks."""
        while True:
            done = self.client.finished_count + 1
            await self.client.speak(pcm, rate, chunk_ms=40, pace=4.0)
            await self.client.wait_finished(done)

    def token(self) -> str:
        return self.service.provider.authority.issue("session", self.session, "watch", ttl=600, owner="operator")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(chromium: str) -> AsyncIterator[Site]:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    busy: dict[str, Any] = {"max_late_percent": 0, "max_busy_percent": 0, "max_lag_ms": 0}
    config = Config(api_key=KEY, ice_host="127.0.0.1", **ports, **busy)
    async with (
        Service(config) as service,
        ProviderClient(service.http_url, KEY, request("client", width=160, height=96, fps=25)) as client,
        browser(chromium) as launched,
    ):
        yield Site(service, client, launched)


def becomes(page: Any, what: str) -> Callable[[], Any]:
    return lambda: page.evaluate(f"() => {{ const c = window.connection; return {what}; }}")


async def test_motion_follows_what_is_heard_until_it_is_interrupted(
    site: Site, say: Callable[[str], tuple[bytes, int]]
) -> None:
    page = await site.open()
    await eventually(becomes(page, "c.state === 'live' && window.seen > 3"))
    await eventually(becomes(page, "c.player.clock.follows && c.player.clock.latency > 0"))
    speaking = asyncio.create_task(site.speak_on(*say(TEXT)))
    await eventually(
        becomes(page, "window.widest > 0.1 && c.player.pose().speaking && window.cues.includes('started')")
    )
    assert site.publisher.encoded == 0, "nobody asked for video"

    async def interrupted() -> bool:
        await site.client.interrupt()
        return await page.evaluate("window.cues.includes('interrupt')")

    await eventually(interrupted)
    speaking.cancel()
    await asyncio.wait([speaking])
    await site.client.interrupt()
    await eventually(becomes(page, "!c.player.pose().speaking"))
    await eventually(becomes(page, "c.player.pose().sets.arkit[c.player.pose().names.arkit.indexOf('jawOpen')] < 0.05"))
    assert await page.evaluate("window.errors") == []

    # The same face as video, over another connection; and away.
    await page.evaluate("connection.change('video')")
    await eventually(
        becomes(page, "c.state === 'live' && c.mode === 'video' && c.media?.getVideoTracks().length === 1")
    )

    async def encoded() -> bool:
        return bool(site.publisher.encoded > 0)

    await eventually(encoded)
    await page.evaluate("connection.close()")

    async def gone() -> bool:
        return not site.publisher.viewers

    await eventually(gone)
    await page.close()


async def test_a_websocket_brings_motion_and_sound(site: Site, say: Callable[[str], tuple[bytes, int]]) -> None:
    page = await site.open(carrier="websocket", encoding="json", sets=["visemes", "arkit"])
    await eventually(becomes(page, "c.state === 'live' && window.seen > 3 && c.player.clock.stats?.pieces > 10"))
    pcm, rate = say("Bob. Papa.")
    before = site.client.finished_count
    await site.client.speak(pcm, rate, pace=None)
    await eventually(becomes(page, "window.widest > 0.1 && c.player.pose().sets.visemes.length === 15"))
    await site.client.wait_finished(before + 1)
    await eventually(becomes(page, "window.cues.includes('finished')"))
    assert await page.evaluate("connection.player.clock.waiting") < 1000
    # Where the browser lets nothing be heard the face moves all the same.
    at = await page.evaluate("connection.player.clock.context.suspend().then(() => connection.player.pose().sample)")
    await eventually(becomes(page, f"c.player.pose().sample > {at + 48_000}"))
    await page.evaluate("connection.close()")
    await page.close()


async def test_motion_comes_in_a_track_of_black_pictures(site: Site) -> None:
    page = await site.chromium.new_page()
    await page.goto(f"{site.service.viewer_url}schema/openapi.json")
    url = f"{site.service.viewer_url}whep/{site.session}?motion=sei&sets=head,visemes"
    await page.evaluate(SEI, [url, site.token()])
    await eventually(lambda: page.evaluate("player.stats.frames > 10 && Object.keys(player.pose().sets).join()"))
    assert await page.evaluate("[Object.keys(player.pose().sets).sort().join(), ...errors]") == ["head,visemes"]
    await page.close()


async def test_who_is_refused_is_told_and_does_not_try_again(site: Site) -> None:
    refused: list[tuple[dict[str, str], str]] = [
        ({"token": ""}, "MISSING_TOKEN"),
        ({"token": "x", "carrier": "websocket"}, "INVALID_TOKEN"),
    ]
    for options, code in refused:
        page = await site.open(**options)
        await eventually(becomes(page, "c.state === 'failed'"))
        assert await page.evaluate("[connection.error.code, ...window.errors]") == [code, code]
        await page.close()
