"""lipwire-client in Chromium, on a real server: motion over WebRTC and over a WebSocket, video, and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel.base import ChannelEvent, Heard
from lipwire.provider.client import ProviderClient, request
from lipwire.stream import StreamSpec
from support.browsing import ALLOWED, MICROPHONE, browser, eventually
from support.paths import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "key-of-the-tests"
PLAYER = (ROOT / "tests" / "support" / "whep_in_browser.js").read_text()
TEXT = "Mama made a marble rainbow above Bombay. People buy more peaches and plums in August."
CONNECT = """async (options) => {
  const { connect } = await import('/client/index.js');
  const { mediaDevices } = navigator;
  if (options.microphone) [options.microphone] = (await mediaDevices.getUserMedia({ audio: true })).getTracks();
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

    async def open(self, before: str = "", **options: Any) -> Any:
        """A page that runs a script and then connects so, and draws nothing but looks at each pose."""
        page = await self.chromium.new_page()
        await page.goto(f"{self.service.viewer_url}schema/openapi.json")
        await page.evaluate(before)
        where = {} if "room" in options else {"session": self.session, "token": self.token()}
        await page.evaluate(CONNECT, where | options)
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
        browser(chromium, MICROPHONE, ALLOWED) as launched,
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


LISTEN = """() => {
  const { context, node } = connection.player.clock, ear = context.createAnalyser();
  node.connect(ear);
  window.loudest = 0;
  const values = new Float32Array(ear.fftSize);
  setInterval(() => { ear.getFloatTimeDomainData(values); loudest = Math.max(loudest, ...values.map(Math.abs)); }, 10);
}"""
"""Keeps how loud the sound was that a SoundQueue has played."""


async def test_a_websocket_brings_motion_and_sound(site: Site, say: Callable[[str], tuple[bytes, int]]) -> None:
    """Opus where the browser takes it to pieces for a page, else PCM; in either encoding."""
    opus = await site.open(carrier="websocket", encoding="json", sets=["visemes", "arkit"])
    pcm16 = await site.open("delete globalThis.AudioDecoder", carrier="websocket", sets=["visemes", "arkit"])
    for page in (opus, pcm16):
        await eventually(becomes(page, "c.state === 'live' && window.seen > 3 && c.player.clock.stats?.pieces > 10"))
        await page.evaluate(LISTEN)
    assert sorted(queue.sound for queue in site.publisher._queues) == ["opus", "pcm16"]
    speaking = asyncio.create_task(site.speak_on(*say("Bob. Papa.")))
    for page in (opus, pcm16):
        await eventually(
            becomes(page, "window.widest > 0.1 && c.player.pose().sets.visemes.length === 15 && loudest > 0.05")
        )
        await eventually(becomes(page, "window.cues.includes('finished')"))
        assert await page.evaluate("connection.player.clock.waiting") < 1000
        assert await page.evaluate("window.errors") == []
    speaking.cancel()
    await asyncio.wait([speaking])
    # Where the browser lets nothing be heard the face moves all the same.
    at = await pcm16.evaluate("connection.player.clock.context.suspend().then(() => connection.player.pose().sample)")
    await eventually(becomes(pcm16, f"c.player.pose().sample > {at + 48_000}"))
    for page in (opus, pcm16):
        await page.evaluate("connection.close()")
        await page.close()


async def test_motion_comes_in_a_track_of_black_pictures(site: Site, say: Callable[[str], tuple[bytes, int]]) -> None:
    page = await site.open(carrier="sei", sets=["head", "arkit"])
    await eventually(becomes(page, "c.state === 'live' && c.player.stats.frames > 10 && c.player.clock.latency > 0"))
    assert await page.evaluate("connection.media.getTracks().map(({ kind }) => kind)") == ["audio"]
    speaking = asyncio.create_task(site.speak_on(*say(TEXT)))
    await eventually(becomes(page, "window.widest > 0.1 && window.cues.includes('started')"))
    speaking.cancel()
    await asyncio.wait([speaking])
    assert site.publisher.encoded == 0 and await page.evaluate("window.errors") == []
    assert await page.evaluate("Object.keys(connection.player.pose().sets)") == ["arkit", "head"]
    await page.evaluate("connection.change('video')")
    await eventually(becomes(page, "c.state === 'live' && c.media?.getVideoTracks().length === 1"))
    await page.evaluate("connection.close()")
    await page.close()
    page = await site.open("delete globalThis.RTCRtpScriptTransform", carrier="sei")
    await eventually(becomes(page, "c.state === 'failed'"))
    assert await page.evaluate("[connection.error.code, ...window.errors]") == ["NO_TRANSFORM", "NO_TRANSFORM"]
    await page.close()


KEEP_ANSWER = """() => {
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const reply = await ask(...request);
    if (request[1]?.method === 'POST') {
      const location = new URL(reply.headers.get('Location'), reply.url), { headers } = request[1];
      const { Authorization } = headers, answer = await reply.clone().text();
      Object.assign(whep, { location, answer, headers: { Authorization } });
    }
    return reply;
  };
}"""
"""So that window.whep can restart what a Connection has begun."""


async def test_a_microphone_is_heard_in_a_room_and_its_ice_restarts(site: Site) -> None:
    """Chromium's own microphone, which beeps; by /rtc."""
    heard: list[Heard] = []

    def hear(event: ChannelEvent) -> None:
        if isinstance(event, Heard):
            heard.append(event)

    ears = site.service.rooms.channel("talk", "ears", hear)
    await ears.open(StreamSpec(session_id="ears", width=0, height=0, fps=Fraction(25)))
    ears.subscribe()
    token = site.service.provider.authority.issue("room", "talk", "member", ttl=600, owner="operator")
    before = f"{PLAYER}; ({KEEP_ANSWER})()"
    page = await site.open(before, room="talk", user="ann", token=token, mode="motion", microphone=True)

    async def beeps() -> bool:
        return any(np.abs(np.frombuffer(event.pcm, np.int16)).max() > 1000 for event in heard)

    await eventually(becomes(page, "c.state === 'live'"))
    await eventually(beeps)
    assert {event.user for event in heard} == {"ann"}
    await page.evaluate("whep.pc = connection.pc")
    path = await page.evaluate("whep.path()")
    await page.evaluate("whep.restart()")

    async def moved() -> bool:
        now = await page.evaluate("whep.path()")
        return bool(now["theirs"] and now["theirs"] != path["theirs"])

    await eventually(moved)
    heard.clear()
    await eventually(beeps)
    assert await page.evaluate("[connection.state, connection.pc === whep.pc, ...errors]") == ["live", True]
    await page.evaluate("connection.close()")
    await page.close()
    await ears.close()


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
