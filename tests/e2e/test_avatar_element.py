"""<lipwire-avatar> on a page of another origin: js/examples/page.html, as it is in the package."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.avatar import Avatar
from lipwire.provider.client import ProviderClient, request
from lipwire.provider.keys import OPERATOR
from support.browsing import ALLOWED, MICROPHONE, browser, eventually
from support.paths import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-for-tests"
EXAMPLE = (ROOT / "js" / "examples" / "page.html").read_text()
SERVER = "http://localhost:8080/"
"""Where the example has the server."""
WATCH = """() => {
  const face = document.querySelector('lipwire-avatar');
  window.seen = {states: [], texts: [], cues: [], errors: []};
  face.addEventListener('state', ({detail}) => window.seen.states.push(detail.state));
  face.addEventListener('state', ({detail}) => window.seen.texts.push(detail.text));
  face.addEventListener('cue', ({detail}) => window.seen.cues.push(detail.kind));
  face.addEventListener('error', ({detail}) => window.seen.errors.push(detail.code));
}"""
MICROPHONES = """() => {
  const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
  window.microphones = [];
  devices.getUserMedia = async (wanted) => {
    const media = await ask(wanted);
    window.microphones.push(...media.getTracks());
    return media;
  };
}"""
LOOK = """async () => {
  const face = document.querySelector('lipwire-avatar'), {connection, renderer, shadowRoot} = face;
  const picture = shadowRoot.querySelector('[role=img]'), out = {energy: 0, frames: 0, video: 0};
  for (const s of (await connection?.pc?.getStats() ?? new Map()).values()) if (s.type === 'inbound-rtp') {
    if (s.kind === 'audio') out.energy = s.totalAudioEnergy;
    else { out.frames = s.framesDecoded; out.video = s.bytesReceived; }
  }
  return {...out, ...window.seen, state: face.state, told: face.getAttribute('state'), size: renderer?.size,
    places: JSON.stringify(renderer?.places ?? null), label: picture.getAttribute('aria-label'),
    text: shadowRoot.querySelector('[role=status]').textContent, button: shadowRoot.querySelector('button').textContent,
    frames_of_motion: connection?.player.stats.frames};
}"""

CARRIER = "(carrier) => document.querySelector('lipwire-avatar').setAttribute('carrier', carrier)"


async def pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves the example, whatever is asked for, at the address of the server that its query names."""
    asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    body = EXAMPLE.replace(SERVER, asked.partition("?")[2]).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + body)
    await writer.drain()
    writer.close()


class World:
    def __init__(self, service: Service, browser: Any, origin: str) -> None:
        self.service, self.browser, self.origin = service, browser, origin

    async def open(self, token: str | None = None) -> Any:
        context = await self.browser.new_context(viewport={"width": 200, "height": 400}, device_scale_factor=2)
        page = await context.new_page()
        token = self.service.page_link().partition("#token=")[2] if token is None else token
        await page.goto(f"{self.origin}/?{self.service.viewer_url}#token={token}", wait_until="domcontentloaded")
        await page.evaluate(WATCH)
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(chromium: str) -> AsyncIterator[World]:
    server = await asyncio.start_server(pages, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    places: dict[str, Any] = {
        "http_port": 0,
        "ws_port": 0,
        "viewer_port": 0,
        "host": "127.0.0.1",
        "ice_host": "127.0.0.1",
    }
    busy: dict[str, Any] = {"max_late_percent": 0, "max_busy_percent": 0, "max_lag_ms": 0}
    config = Config(api_key=KEY, allowed_origins=(origin,), agent_brain="echo", **places, **busy)
    async with server, browser(chromium, MICROPHONE, ALLOWED) as launched, Service(config) as service:
        yield World(service, launched, origin)


def drawn(seen: Any) -> bool:
    """Whether motion comes, and there is a picture."""
    return bool(seen["state"] == "live" and seen["frames_of_motion"] and seen["size"] and not seen["text"])


async def test_two_lines_are_a_face_that_talks(world: World, say: Callable[[str], tuple[bytes, int]]) -> None:
    page = await world.open()

    async def becomes(condition: Callable[[Any], Any]) -> Any:
        async def it_is() -> Any:
            return condition(await page.evaluate(LOOK))

        await eventually(it_is)
        return await page.evaluate(LOOK)

    asked: list[str] = []

    async def gone(route: Any) -> None:
        """As from a server that was started anew, and then is full."""
        status, code, message = [
            (404, "SESSION_NOT_FOUND", "This session has ended"),
            (503, "NO_CAPACITY", "100 viewers are connected"),
        ][len(asked)]
        asked.append(route.request.url)
        error = {"error": "Refused", "code": code, "message": message}
        await route.fulfill(status=status, json=error, headers={"Access-Control-Allow-Origin": "*"})

    waiting = await becomes(lambda seen: seen["state"] == "waiting")
    await page.route("**/whep/**", gone, times=2)
    assert waiting["told"] == "waiting" and "session" in waiting["text"]
    async with ProviderClient(world.service.http_url, KEY, request("element", width=320, height=180)) as client:
        live = await becomes(lambda seen: seen["state"] == "live" and seen["size"] and seen["frames_of_motion"])
        assert len(asked) == 2, "a session that is not there is no refusal: there are others"
        assert "100 viewers are connected. Trying again…" in live["texts"]
        assert live["size"]["width"] == 480, "the canvas is 184 pixels wide, of which each is two of the display's"
        assert (live["text"], live["label"]) == ("", "Aria, who answers questions")
        await client.speak(*say("Mama made a marble rainbow."), chunk_ms=40, pace=2.0)
        talked = await becomes(lambda seen: "started" in seen["cues"] and seen["energy"] > 1e-4)
        await becomes(lambda seen: seen["places"] != talked["places"] and "finished" in seen["cues"])
        assert (talked["frames"], talked["video"], talked["errors"]) == (0, 0, []), "no video is sent"

        held = asyncio.Event()

        async def hold(route: Any) -> None:
            await held.wait()
            await route.continue_()

        await page.route("**/avatars/kit.json*", hold)
        await page.evaluate("() => document.querySelector('lipwire-avatar').setAttribute('avatar', 'kit')")
        loading = await becomes(lambda seen: seen["state"] == "live" and seen["frames_of_motion"])
        assert (loading["text"], loading["size"]) == ("Loading the face…", None)
        held.set()
        await becomes(lambda seen: seen["size"] and seen["state"] == "live" and not seen["text"])

        await page.evaluate("() => document.querySelector('lipwire-avatar').setAttribute('renderer', '3d')")
        flat = await becomes(lambda seen: seen["state"] == "refused")
        assert "import map" in flat["text"] and flat["errors"] == ["NO_THREE"]
        await page.evaluate("() => document.querySelector('lipwire-avatar').removeAttribute('renderer')")

        await page.evaluate("() => document.querySelector('lipwire-avatar').setAttribute('mode', 'video')")
        await becomes(lambda seen: seen["state"] == "live" and seen["frames"] > 3)
        await page.evaluate("() => document.querySelector('lipwire-avatar').removeAttribute('mode')")
        await becomes(lambda seen: seen["state"] == "live" and seen["frames_of_motion"])
        # On a page of another origin, whose worker has to be its own.
        await page.evaluate(CARRIER, "sei")
        await becomes(lambda seen: drawn(seen) and seen["video"] > 0)
        await page.evaluate(CARRIER, "websocket")
        await becomes(lambda seen: drawn(seen) and seen["video"] == 0)
    await becomes(lambda seen: seen["state"] == "waiting")
    await page.context.close()


async def test_an_agent_to_talk_with_and_its_room(world: World) -> None:
    """Started with the face that the page names; who only looks on learns from the server which face that is."""
    names = {name: len(Avatar.load(name).art(64, 48).layers) for name in ("aria", "kit")}
    assert names["aria"] != names["kit"]

    async def shown(page: Any, attributes: dict[str, str], layers: int, press: str = "") -> None:
        for attribute in attributes.items():
            await page.evaluate("(set) => document.querySelector('lipwire-avatar').setAttribute(...set)", attribute)
        if press:
            await page.click(f"lipwire-avatar >> text={press}")

        async def moves() -> bool:
            seen = await page.evaluate(LOOK)
            places = json.loads(seen["places"]) or []
            return seen["state"] == "live" and bool(seen["frames_of_motion"]) and len(places) == layers

        await eventually(moves)

    async def is_down(page: Any, attributes: dict[str, str]) -> None:
        """No server answers at first."""
        await page.route("**/api/config", lambda route: route.abort())
        for attribute in attributes.items():
            await page.evaluate("(set) => document.querySelector('lipwire-avatar').setAttribute(...set)", attribute)

        async def says_so() -> bool:
            seen = await page.evaluate(LOOK)
            return seen["state"] == "connecting" and "allowed_origins" in seen["text"]

        await eventually(says_so)
        await page.unroute("**/api/config")
        await page.evaluate("() => window.dispatchEvent(new Event('online'))")

    page, looks_on = await world.open(), await world.open()
    await page.evaluate(MICROPHONES)
    await is_down(page, {"agent": "help", "avatar": "kit", "user": "ann"})
    await page.evaluate("() => { Object.defineProperty(navigator, 'mediaDevices', {get() {}, configurable: true}); }")
    await page.click("lipwire-avatar >> text=Talk")

    async def without() -> bool:
        seen = await page.evaluate(LOOK)
        return seen["state"] == "idle" and "https" in seen["text"]

    await eventually(without)
    await page.evaluate("() => { delete navigator.mediaDevices; }")
    await shown(page, {}, names["kit"], press="Talk")
    assert await page.evaluate("microphones.map(({readyState}) => readyState)") == ["live"]
    await is_down(looks_on, {"room": "help"})
    await shown(looks_on, {}, names["kit"])

    # The same person comes elsewhere: here that is the end, nobody listens any more, and it can begin again.
    await looks_on.evaluate("() => document.querySelector('lipwire-avatar').setAttribute('user', 'ann')")

    async def over() -> bool:
        seen = await page.evaluate(LOOK)
        return (seen["state"], seen["button"]) == ("ended", "Talk")

    await eventually(over)
    assert await page.evaluate("microphones.map(({readyState}) => readyState)") == ["ended"]
    await shown(page, {}, names["kit"], press="Talk")
    assert await page.evaluate("microphones.map(({readyState}) => readyState)") == ["ended", "live"]
    await page.evaluate("() => document.querySelector('lipwire-avatar').stop()")
    assert (await page.evaluate(LOOK))["state"] in ("connecting", "idle")
    assert await page.evaluate("microphones.map(({readyState}) => readyState)") == ["ended", "ended"]
    await page.context.close()
    await looks_on.context.close()


async def test_with_a_token_for_a_session_that_has_ended(world: World) -> None:
    page = await world.open(world.service.provider.authority.issue("session", "gone", "watch", ttl=600, owner=OPERATOR))

    async def ended() -> bool:
        seen = await page.evaluate(LOOK)
        return seen["state"] == "ended" and "has ended" in seen["text"]

    await eventually(ended)
    await page.context.close()


async def test_what_is_refused_is_said_where_the_face_would_be(world: World) -> None:
    page = await world.open(token="nonsense")

    async def told(why: str) -> Any:
        async def it_is() -> Any:
            seen = await page.evaluate(LOOK)
            return seen["state"] == "refused" and why in seen["text"]

        await eventually(it_is)
        return await page.evaluate(LOOK)

    await told("Ask for a new token.")
    await page.evaluate("() => { window.seen.errors = []; }")  # the first may have come before anybody listened
    await page.click("lipwire-avatar >> text=Try again")
    await eventually(lambda: page.evaluate("() => window.seen.errors.length > 0"))
    assert (await told("Ask for a new token."))["errors"] == ["INVALID_TOKEN"]
    for name, value, why in (
        ("mode", "clip", "auto, motion, video"),
        ("carrier", "pigeon", "webrtc, websocket, sei"),
        ("renderer", "4d", "2d or 3d"),
        ("head", "a", "3d"),
    ):
        await page.evaluate("(set) => document.querySelector('lipwire-avatar').setAttribute(...set)", [name, value])
        await told(why)
        await page.evaluate("(name) => document.querySelector('lipwire-avatar').removeAttribute(name)", name)
    await page.context.close()
