"""The whole path in a real browser: a voice over the wire becomes a talking face on the viewer page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.avatar.web import WebAvatar
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, request
from lipwire.servers.avatars import Workshop
from support.browsing import WAIT, Mouth, browser, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-for-tests"
TEXT = "Father's car is far away. People buy more peaches and plums in August. Mama made a marble rainbow above Bombay."

# The page's content policy allows no `eval`, so the page is asked again and again from here.
RTP = """async () => {
  const pc = window.lipwire.pc, out = {frames: 0, energy: 0, samples: 0, codec: '', freezes: 0};
  if (!pc) return out;
  const report = await pc.getStats();
  for (const s of report.values()) if (s.type === 'inbound-rtp') {
    if (s.kind === 'video') { out.frames = s.framesDecoded; out.codec = report.get(s.codecId)?.mimeType ?? ''; }
    else { out.energy = s.totalAudioEnergy; out.samples = s.totalSamplesReceived; }
  }
  return out;
}"""


class Page:
    """A viewer page, and whatever it complained about."""

    def __init__(self, page: Any, size: tuple[int, int]) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda msg: self.complaints.append(msg.text) if msg.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda req: self.complaints.append(f"{req.url}: {req.failure}"))
        self.mouth = Mouth(page, "aria", size)

    async def ask(self, code: str, argument: Any = None) -> Any:
        return await self.page.evaluate(code, argument)

    async def rtp(self) -> dict[str, Any]:
        return await self.ask(RTP)

    async def state(self) -> str:
        return await self.ask("() => window.lipwire.state")

    async def connected(self) -> None:
        async def live() -> bool:
            return await self.ask("() => window.lipwire.connected") and (await self.rtp())["frames"] > 0

        await eventually(live)


class World:
    """A service, a browser, and an agent that speaks through the service."""

    SIZE = (480, 270)

    def __init__(self, service: Service, browser: Any, say: Callable[[str], tuple[bytes, int]]) -> None:
        self.service, self.browser, self.voice = service, browser, say
        self.events: list[Any] = []

    def client(self, channel: str = "browser") -> ProviderClient:
        width, height = self.SIZE
        start = request(channel, width=width, height=height, fps=25)
        return ProviderClient(self.service.http_url, KEY, start, on_event=self.events.append)

    async def open(self, query: str = "") -> Page:
        page = Page(await self.browser.new_page(viewport={"width": 1100, "height": 760}), self.SIZE)
        token = self.service.page_link().partition("#")[2]
        await page.page.goto(f"{self.service.viewer_url}{query}#{token}")
        return page

    def finished(self) -> list[m.PlaybackFinished]:
        return [e for e in self.events if isinstance(e, m.PlaybackFinished)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(chromium: str, say: Callable[[str], tuple[bytes, int]]) -> AsyncIterator[World]:
    places: dict[str, Any] = {
        "http_port": 0,
        "ws_port": 0,
        "viewer_port": 0,
        "host": "127.0.0.1",
        "ice_host": "127.0.0.1",
    }
    busy: dict[str, Any] = {"max_late_percent": 0, "max_busy_percent": 0, "max_lag_ms": 0}  # so is a machine that tests
    config = Config(api_key=KEY, **places, **busy)
    async with Service(config) as service, browser(chromium) as launched:
        yield World(service, launched, say)


def typical(motion: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of a mouth, the larger changes: in speech it rests now and then. A picture that stands still moves by nothing."""
    return float(np.quantile(motion, 0.75)) if len(motion) else 0.0


@pytest.mark.slow
async def test_the_face_talks(world: World, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    async with world.client() as client:
        page = await world.open()
        await page.connected()
        assert (await page.rtp())["codec"] == "video/H264"
        assert await page.state() == "idle"

        # Silence: pictures come, the sound has no energy, the mouth rests.
        await page.mouth.motion(10)  # the first pictures sharpen
        before = await page.rtp()
        resting = await page.mouth.motion()
        silence = await page.rtp()
        assert silence["frames"] > before["frames"]
        assert silence["samples"] > before["samples"]
        assert silence["energy"] - before["energy"] < 1e-6

        # Speech.
        pcm, rate = world.voice(TEXT)
        speaking = asyncio.create_task(client.speak(pcm, rate, chunk_ms=40, pace=2.0))

        async def talking() -> bool:
            return await page.state() == "speaking"

        await eventually(talking)
        moving = np.zeros(0)
        while len(moving) < 25 and await page.state() == "speaking":
            moving = np.append(moving, await page.mouth.motion(25))
        await page.page.screenshot(path=str(tmp_path / "speaking.png"))
        heard = await page.rtp()
        await speaking
        await asyncio.wait_for(client.wait_finished(1), WAIT)
        assert heard["frames"] > silence["frames"]
        assert heard["energy"] - silence["energy"] > 1e-4

        # Silence again.
        async def quiet() -> bool:
            return await page.state() == "idle" and typical(await page.mouth.motion(25)) * 4 < typical(moving)

        await eventually(quiet)
        figures = {
            "rest": typical(resting),
            "speech": typical(moving),
            "energy": heard["energy"] - silence["energy"],
            "frames": heard["frames"],
        }
        print(figures, await page.ask("() => window.lipwire.stats"))
        for name, value in figures.items():
            record_property(name, float(value))
        assert typical(moving) > 4 * typical(resting)
        assert moving.max() > 4

        assert (tmp_path / "speaking.png").stat().st_size > 10_000
        stats = await page.ask("() => window.lipwire.stats")
        assert stats["server"]["session_id"] == client.session.session_id  # type: ignore[union-attr]
        assert page.complaints == []
        await page.page.close()

        async def unwatched() -> bool:
            return not world.service.watched[client.session.session_id].publisher.viewers  # type: ignore[union-attr]

        await eventually(unwatched)
    assert world.finished()[-1].position_ms == pytest.approx(len(pcm) / 2 / rate * 1000, abs=1)


async def test_the_text_box_and_the_interrupt_button(world: World) -> None:
    async with world.client() as client:
        page = await world.open()
        await page.connected()
        done = len(world.finished())
        before = await page.rtp()
        await page.page.fill("#say", "Hello there, what a lovely day.")
        await page.page.keyboard.press("Enter")
        await asyncio.wait_for(client.wait_finished(1), WAIT)
        spoken = world.finished()[done]
        assert not spoken.interrupted
        assert spoken.position_ms > 1000
        assert (await page.rtp())["energy"] - before["energy"] > 1e-4

        async def cleared() -> bool:
            return await page.page.input_value("#say") == ""

        await eventually(cleared)

        await page.page.fill("#say", TEXT)
        await page.page.click("#send")

        async def talking() -> bool:
            return await page.state() == "speaking"

        await eventually(talking)
        await page.mouth.motion(10)
        await page.page.click("#interrupt")
        await asyncio.wait_for(client.wait_finished(2), WAIT)
        broken = world.finished()[done + 1]
        assert broken.interrupted
        assert 0 < broken.position_ms < len(world.voice(TEXT)[0]) / 2 / world.voice(TEXT)[1] * 1000

        async def idle() -> bool:
            return await page.state() == "idle"

        await eventually(idle)
        stopped = await page.rtp()
        await page.mouth.motion(15)
        assert (await page.rtp())["energy"] - stopped["energy"] < 1e-4
        assert page.complaints == []
        await page.page.close()


async def test_the_page_follows_a_session_that_is_replaced(world: World) -> None:
    page = await world.open()

    async def waiting() -> bool:
        return await page.state() in ("waiting", "ended")

    await eventually(waiting)
    first = world.client("room")
    async with first:
        await page.connected()
        second = world.client("room")
        async with second:
            assert second.session is not None
            new = second.session.session_id

            async def follows() -> bool:
                stats = await page.ask("() => window.lipwire.stats")
                return (stats["server"] or {}).get("session_id") == new and (await page.rtp())["frames"] > 5

            await eventually(follows)
            assert await page.ask("() => window.lipwire.connected")
            first.session = None  # it is gone; there is nothing to stop
    await eventually(waiting)
    assert page.complaints == []
    await page.page.close()


async def test_a_vp8_viewer(world: World) -> None:
    async with world.client() as client:
        page = await world.open("?codec=vp8")
        await page.connected()
        assert (await page.rtp())["codec"] == "video/VP8"
        await client.speak(*world.voice("Mama made a marble rainbow."), chunk_ms=40, pace=2.0)

        async def talking() -> bool:
            return await page.state() == "speaking"

        await eventually(talking)
        await page.mouth.moves()
        assert (await page.rtp())["frames"] > 10
        assert page.complaints == []
        await page.page.close()


async def test_a_wish_is_met_or_answered(world: World) -> None:
    """What a session was started with is asked for first; a codec that there is none of is told."""
    start = request("wish", width=160, height=90, fps=5)
    start.video_encoding = "VP8"
    async with ProviderClient(world.service.http_url, KEY, start):
        page = await world.open()
        await page.connected()
        assert (await page.rtp())["codec"] == "video/VP8"
        await page.page.close()
    start = request("wish", fps=5)
    start.video_encoding = "AV1"
    async with ProviderClient(world.service.http_url, KEY, start) as client:
        assert client.session is not None
        assert client.session.granted.video_encoding == "VP8"  # type: ignore[union-attr]
        page = await world.open("?codec=av1")
        await page.connected()

        async def told() -> bool:
            return "AV1" in await page.page.inner_text("#hint")

        await eventually(told)
        assert page.complaints == []
        await page.page.close()


async def test_the_face_is_drawn_here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen by keyboard, kept for the next time: no video is sent, and motion moves the mouth."""
    async with world.client() as client:
        page = await world.open()
        await page.connected()

        async def rates() -> list[str]:
            return [await page.page.inner_text(f"[data-f={name}]") for name in ("video_rate", "motion_rate")]

        async def drawn() -> bool:
            return await page.ask("() => window.lipwire.connected && window.lipwire.drawn?.pictures > 3")

        async def measured() -> bool:
            return "–" not in (await rates())[await page.ask("() => window.lipwire.drawn ? 1 : 0")]

        held, files = asyncio.Event(), Workshop.files

        async def hold(*asked: Any, **how: Any) -> WebAvatar:
            await held.wait()
            return await files(*asked, **how)

        async def loading() -> bool:
            words = await page.page.inner_text("#notice-title")
            return await page.ask("() => window.lipwire.connected") and words == "Loading the face"

        await eventually(measured)
        monkeypatch.setattr(Workshop, "files", hold)
        await page.page.focus("[name=picture]:checked")
        await page.page.keyboard.press("ArrowRight")
        await eventually(loading)
        assert await page.page.is_visible("#mute"), "what is heard can be muted"
        held.set()
        await eventually(drawn)
        assert await page.ask("() => document.activeElement.value") == "drawn"
        resting = await page.ask("() => window.lipwire.drawn.face.places")
        await client.speak(*world.voice("Mama made a marble rainbow above Bombay."), chunk_ms=40, pace=9.0)

        async def heard() -> bool:
            return (await page.rtp())["energy"] > 1e-4

        await eventually(heard)
        await eventually(measured)
        assert await page.ask("() => window.lipwire.drawn.face.places") != resting
        rtp, (video, motion) = await page.rtp(), map(float, await rates())
        assert (rtp["frames"], rtp["codec"]) == (0, "")
        assert 0 < motion < video
        await page.page.reload()
        await eventually(drawn)
        assert page.complaints == []
        await page.page.close()


async def test_figures_are_what_they_say(world: World) -> None:
    async with world.client() as client:
        page = await world.open()
        assert client.session is not None
        await page.connected()

        async def shown() -> bool:
            return await page.page.inner_text("#copy-id") == client.session.session_id  # type: ignore[union-attr]

        await eventually(shown)  # whole, so that it can be copied
        cut = "() => document.querySelector('#copy-id').scrollWidth > document.querySelector('#copy-id').clientWidth"
        assert not await page.ask(cut)
        await client.speak(*world.voice("Mama."), chunk_ms=40, pace=2.0)
        await asyncio.wait_for(client.wait_finished(1), WAIT)

        async def spoken() -> bool:
            return (await page.page.inner_text("#latency-note")).startswith("Lately ")

        await eventually(spoken)
        least, _, most = (await page.page.inner_text("#latency-note"))[7:].partition(" to ")
        assert least != most
        for name, path in (("Talk", "agent"), ("Help", "help.html"), ("API", "schema")):
            assert await page.page.get_attribute(f"#nav >> text={name}", "href") == path
            assert (await page.page.request.get(world.service.viewer_url + path)).status == 200
        await page.page.close()


async def test_two_viewers_and_one_that_vanishes(world: World) -> None:
    async with world.client() as client:
        pages = [await world.open(), await world.open()]
        await asyncio.gather(*(page.connected() for page in pages))
        assert client.session is not None
        publisher = world.service.watched[client.session.session_id].publisher

        async def both() -> bool:
            return len(publisher.viewers) == 2

        await eventually(both)  # a page that connected at the second attempt leaves its first one behind for a moment
        await pages[0].page.close()

        async def one_left() -> bool:
            return len(publisher.viewers) == 1

        await eventually(one_left)
        before = await pages[1].rtp()

        async def goes_on() -> bool:
            return (await pages[1].rtp())["frames"] > before["frames"] + 5

        await eventually(goes_on)
        await pages[1].page.close()


async def test_the_page_asks_nobody_else(world: World) -> None:
    """Everything it loads comes from the viewer's own port, and its policy says so."""
    page = await world.browser.new_page()
    asked: list[str] = []
    page.on("request", lambda req: asked.append(req.url))
    reply = await page.goto(world.service.page_link())
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    await page.wait_for_timeout(500)
    assert page.url == world.service.viewer_url, "the token does not stay in the address bar"
    assert all(url.startswith(world.service.viewer_url) for url in asked), json.dumps(asked)
    await page.close()
