"""WHEP and WHIP in Chromium: a player and a sender of somebody else's, on a page of another origin; and the viewer
page's own requests."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.publish.motion_video import read_user_data
from support.browsing import browser, eventually
from support.motion import Reader
from support.ports import free_ports
from support.provider_stage import start_body

PLAYER = (Path(__file__).parents[1] / "support" / "whep_in_browser.js").read_text()
KEY = "key-of-the-tests"


class Site:
    def __init__(self, service: Service, started: dict[str, Any], elsewhere: str) -> None:
        self.service, self.elsewhere = service, elsewhere
        self.session: str = started["session_id"]
        self.speaker: str = started["session_token"]

    def token(self) -> str:
        return self.service.provider.authority.issue("session", self.session, "watch", ttl=600, owner="operator")


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    """A server, and a page of another origin: the same server under another name, as far as a browser can tell."""
    http_port, ws_port, viewer_port = free_ports(3)
    elsewhere = f"http://elsewhere.localhost:{http_port}"
    config = Config(
        http_port=http_port,
        ws_port=ws_port,
        viewer_port=viewer_port,
        host="127.0.0.1",
        api_key=KEY,
        ice_host="127.0.0.1",
        allowed_origins=(elsewhere,),
    )
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        reply = await http.post(
            f"{service.http_url}/session/start",
            headers={"x-api-key": KEY},
            json=start_body(width=160, height=96, fps=25),
        )
        yield Site(service, reply.json(), elsewhere)


async def test_a_player_on_another_site_watches_and_restarts_ice(site: Site, chromium: str) -> None:
    async with browser(chromium) as launched:
        page: Any = await launched.new_page()
        await page.goto(f"{site.elsewhere}/schema/openapi.json")
        await page.evaluate(PLAYER)
        url = f"{site.service.viewer_url}whep/{site.session}"
        assert "MISSING_TOKEN" in await page.evaluate("(url) => window.whep.watch(url).catch(String)", url)
        headers = {"Authorization": f"Bearer {site.token()}"}
        assert await page.evaluate("([url, headers]) => window.whep.watch(url, headers)", [url, headers]) > 0
        before = await page.evaluate("window.whep.path()")
        tag = await page.evaluate("window.whep.tag")
        assert await page.evaluate("window.whep.restart()") != tag

        async def moved() -> bool:
            now = await page.evaluate("window.whep.path()")
            return now["theirs"] != before["theirs"] and now["pictures"] > before["pictures"] + 10

        await eventually(moved)
        (peer,) = site.service.watched[site.session].publisher.viewers

        async def settled() -> bool:  # the path before is closed, and it did not end anything
            return peer._moving is not None and peer._moving.done()

        await eventually(settled)
        at = (await page.evaluate("window.whep.path()"))["pictures"]

        async def goes_on() -> bool:
            return bool((await page.evaluate("window.whep.path()"))["pictures"] > at + 10)

        await eventually(goes_on)
        assert await page.evaluate("window.whep.end()") == 200
        assert peer.closed or peer._closing is not None


async def test_a_page_on_another_site_speaks_by_whip(site: Site, chromium: str) -> None:
    session = site.service.watched[site.session].session
    async with browser(chromium) as launched:
        page: Any = await launched.new_page()
        await page.goto(f"{site.elsewhere}/schema/openapi.json")
        await page.evaluate(PLAYER)
        url = f"{site.service.viewer_url}whip/{site.session}"
        watching = {"Authorization": f"Bearer {site.token()}"}
        assert "NOT_ALLOWED" in await page.evaluate(
            "(args) => window.whep.send(...args).catch(String)", [url, watching]
        )
        speaks = {"Authorization": f"Bearer {site.speaker}"}
        answer = await page.evaluate("(args) => window.whep.send(...args)", [url, speaks])
        assert "a=recvonly" in answer and "useinbandfec=1" in answer

        async def said() -> bool:
            return session.heard[0] not in (None, "whip-1")

        await eventually(said)
        assert await page.evaluate("window.whep.end()") == 200

        async def gone() -> bool:
            return not session.stats()["receiving"]

        await eventually(gone)


async def test_the_viewer_page_watches_by_whep(site: Site, chromium: str) -> None:
    async with browser(chromium) as launched:
        page: Any = await launched.new_page()
        asked: list[tuple[str, str]] = []
        page.on("request", lambda request: asked.append((request.method, request.url)))
        await page.goto(f"{site.service.viewer_url}?session={site.session}#token={site.token()}")
        await eventually(lambda: page.evaluate("document.getElementById('stage').dataset.state === 'idle'"))
        await eventually(lambda: page.evaluate("document.querySelector('video').videoWidth === 160"))
        viewers = site.service.watched[site.session].publisher.viewers
        (lost,) = viewers
        lost._channel.close()  # for the page the connection is lost: it says goodbye, and comes again

        async def returned() -> bool:
            return viewers.isdisjoint({lost}) and any(peer.connected for peer in viewers)

        await eventually(returned)
        assert "DELETE" in [method for method, _ in asked]
        (peer,) = viewers
        await page.goto("about:blank")

        async def gone() -> bool:
            return peer.closed

        await eventually(gone)
    doors = [(method, url.removeprefix(site.service.viewer_url)) for method, url in asked if "/whep/" in url]
    assert doors[:2] == [("OPTIONS", f"whep/{site.session}"), ("POST", f"whep/{site.session}")], doors


ENCODED = """async ([url, headers]) => {
  const worker = new Worker(URL.createObjectURL(new Blob([`
    onrtctransform = async ({transformer: {readable, writable}}) => {
      const writer = writable.getWriter(), reader = readable.getReader();
      for (;;) {
        const {value, done} = await reader.read();
        if (done) return;
        postMessage([...new Uint8Array(value.data)]);
        writer.write(value);
      }
    };`])));
  const units = window.units = [];
  worker.onmessage = ({data}) => units.push(data);
  const pc = window.black = new RTCPeerConnection();
  const video = document.body.appendChild(Object.assign(document.createElement('video'), {muted: true}));
  pc.ontrack = ({track}) => { video.srcObject = new MediaStream([track]); video.play(); };
  const {receiver} = pc.addTransceiver('video', {direction: 'recvonly'});
  receiver.transform = new RTCRtpScriptTransform(worker);
  await pc.setLocalDescription();
  const offer = {method: 'POST', body: pc.localDescription.sdp, headers};
  const reply = await fetch(url, offer);
  await pc.setRemoteDescription({type: 'answer', sdp: await reply.text()});
}"""
"""Watches, and keeps each access unit as it comes."""
DECODED = """async () => {
  for (const s of (await window.black.getStats()).values())
    if (s.type === 'inbound-rtp') return [s.framesDecoded, s.frameWidth, s.frameHeight];
}"""


async def test_motion_in_a_black_video_passes_through_chromium(site: Site, chromium: str) -> None:
    """Its encoded transform has the user data; and its decoder takes the pictures."""
    async with browser(chromium) as launched:
        page: Any = await launched.new_page()
        await page.goto(f"{site.elsewhere}/schema/openapi.json")
        url = f"{site.service.viewer_url}whep/{site.session}?motion=sei&sets=pose"
        headers = {"Authorization": f"Bearer {site.token()}", "Content-Type": "application/sdp"}
        await page.evaluate(ENCODED, [url, headers])

        async def enough() -> bool:
            decoded = await page.evaluate(DECODED)
            return bool(decoded) and decoded[0] > 10 and decoded[1:] == [160, 96]

        await eventually(enough)
        reader = Reader()
        for unit in await page.evaluate("window.units"):
            for message in read_user_data(bytes(unit)):
                reader.put(message)
        steps = {b - a for a, b in itertools.pairwise(sorted(reader.frames))}
        assert len(reader.frames) > 10 and {step % (48_000 // 25) for step in steps} == {0}
        assert ("state", "avatar:aria") in [(kind, value) for _, _, kind, value in reader.alone]
