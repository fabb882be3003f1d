"""Both renderers on a live session, stopped at the sample of a frame: Chromium shows what the server drew then."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from lipwire import Frame
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.motion.glb import arkit_name, euler
from lipwire.provider.client import ProviderClient, request
from support.browsing import browser, eventually
from support.paths import ROOT
from support.three import WEBGL, site

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-for-tests"
WIDTH, HEIGHT = 320, 180
KEPT = 500
"""Frames of the session that are kept: 20 s."""
TEXT = "Mama made papa a map of Bombay. Bob are the plums for Pam? Ah, papa!"
LIVE = (ROOT / "tests" / "support" / "live_picture.js").read_text()


class Stage:
    """A session that speaks, of which every frame is kept by its sample, and pages that draw it."""

    def __init__(self, service: Service, launched: Any, origin: str) -> None:
        self.service, self.launched, self.origin = service, launched, origin
        ((self.session, watched),) = service.watched.items()
        self.publisher: Any = watched.publisher
        self.pictures: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self.poses: OrderedDict[int, tuple[dict[str, float], tuple[float, float, float]]] = OrderedDict()
        self._tap("video", self.pictures, lambda frame: frame.i420.copy())
        self._tap("motion", self.poses, lambda frame: (frame.blendshapes, frame.head))

    def _tap(self, name: str, kept: OrderedDict[int, Any], what: Callable[[Frame], Any]) -> None:
        hand_over = getattr(self.publisher, name)

        def keep(frame: Frame) -> None:
            kept[frame.sample] = what(frame)
            while len(kept) > KEPT:
                kept.popitem(last=False)
            hand_over(frame)

        setattr(self.publisher, name, keep)

    async def open(self, width: int, height: int, **attributes: str) -> Any:
        """A page with the element on this session."""
        page = await self.launched.new_page()
        await page.goto(self.origin)
        token = self.service.provider.authority.issue("session", self.session, "watch", ttl=600, owner="operator")
        common = {"src": self.service.viewer_url, "session": self.session, "token": token, "mode": "motion"}
        style = f"width: {width}px; height: {height}px; aspect-ratio: auto"
        await page.evaluate(LIVE, {"attributes": common | attributes, "style": style})
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    chromium: str, say: Callable[[str], tuple[bytes, int]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    busy: dict[str, Any] = {"max_late_percent": 0, "max_busy_percent": 0, "max_lag_ms": 0}
    with site(tmp_path_factory.mktemp("page"), {}) as origin:
        config = Config(
            api_key=KEY, ice_host="127.0.0.1", allowed_origins=(origin.rstrip("/"),), egress="both", **ports, **busy
        )
        async with (
            Service(config) as service,
            ProviderClient(service.http_url, KEY, request("live", width=WIDTH, height=HEIGHT, fps=25)) as client,
            browser(chromium, *WEBGL) as launched,
        ):
            pcm, rate = say(TEXT)

            async def speak_on() -> None:
                while True:
                    done = client.finished_count + 1
                    await client.speak(pcm, rate, chunk_ms=40, pace=4.0)
                    await client.wait_finished(done)

            made = Stage(service, launched, origin)
            speaking = asyncio.create_task(speak_on())
            yield made
            speaking.cancel()
            await asyncio.wait([speaking])


async def screenshot(page: Any) -> NDArray[np.uint8]:
    """What is seen of the element: (h, w, 4)."""
    png = await page.locator("lipwire-avatar").screenshot()
    return np.array(Image.open(io.BytesIO(png)).convert("RGBA"))


def decibels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, float(((a.astype(float) - b) ** 2).mean()))))


async def test_drawn_in_two_dimensions(stage: Stage) -> None:
    page = await stage.open(WIDTH, HEIGHT)
    await page.evaluate("live.watch()")  # so that the server draws it, too

    async def drawn() -> bool:
        return bool(stage.pictures)

    await eventually(drawn)
    seen = {}
    for mouth in ("open", "shut"):
        sample = -1
        while sample not in stage.pictures:  # a server that is late draws no picture of a pose
            sample = await page.evaluate("(mouth) => live.stop(mouth)", mouth)
        seen[mouth] = Frame.from_rgba(await screenshot(page)).i420, stage.pictures[sample]
        here, there = seen[mouth]
        assert decibels(here[:HEIGHT], there[:HEIGHT]) > 40, (mouth, sample)
        assert decibels(here[HEIGHT:], there[HEIGHT:]) > 35, (mouth, sample)
    assert decibels(seen["open"][0], seen["shut"][1]) < 40, "and no other moment's"
    await page.close()


async def test_drawn_in_three_dimensions(stage: Stage) -> None:
    page = await stage.open(120, 140, renderer="3d")
    inside = {}
    for mouth in ("shut", "open"):
        shapes, (pitch, yaw, roll) = stage.poses[await page.evaluate("(mouth) => live.stop(mouth)", mouth)]
        head = await page.evaluate("live.head()")
        assert {arkit_name(name) for name in shapes} == set(head["weights"])
        for name, weight in shapes.items():
            assert head["weights"][arkit_name(name)] == pytest.approx(weight, abs=0.003), name
        turn = euler(*(np.array([angle]) for angle in (pitch, yaw, roll)))[0]
        assert head["turn"] == pytest.approx(turn, abs=0.001)
        here = await screenshot(page)
        assert len(np.unique(here[..., :3].reshape(-1, 3), axis=0)) > 500, "a face with its shades"
        left, top, right, bottom = map(round, head["mouth"])
        around = here[top:bottom, left:right, :3].astype(int)
        inside[mouth] = (np.ptp(around, axis=-1) < 40).mean()  # teeth, and what is dark: skin and lips have a colour
    assert inside["open"] > 0.02 and inside["shut"] == 0
    angles = dict(zip(("headPitch", "headYaw", "headRoll"), (pitch, yaw, roll), strict=True))
    await page.evaluate("([weights, angles]) => live.draw(weights, angles)", [shapes, angles])
    assert decibels(here, await screenshot(page)) > 35, "as the server's own numbers look"
    await page.close()
