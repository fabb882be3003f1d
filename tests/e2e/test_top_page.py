"""The page of `lipwire top` in Chromium: who gets in, what it shows, and a server that goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.provider.client import ProviderClient, request
from lipwire.provider.keys import OPERATOR
from lipwire.servers.access import link
from support.browsing import browser, eventually

pytestmark = [pytest.mark.browser]
KEY = "the operator's key"


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    async with Service(Config(**ports, api_key=KEY, host="127.0.0.1", preencoded="off")) as running:
        yield running


@pytest_asyncio.fixture
async def launched(chromium: str) -> AsyncIterator[Any]:
    async with browser(chromium) as made:
        yield made


async def says(page: Any, selector: str, words: str) -> None:
    async def it_does() -> bool:
        return words in await page.inner_text(selector)

    await eventually(it_does)


def operators(service: Service) -> str:
    token = service.provider.authority.issue("owner", OPERATOR, "admin", ttl=60, owner=OPERATOR)
    return link(service.viewer_url, "top", token)


@pytest.mark.parametrize("width", [1200, 380])
async def test_it_shows_what_there_is_at_any_width(service: Service, launched: Any, width: int) -> None:
    page = await (await launched.new_context(viewport={"width": width, "height": 800})).new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    await page.goto(operators(service))
    await says(page, "#line", "Live")
    assert await page.inner_text("#sessions") in ("0\n0 talking", "00 talking")
    async with ProviderClient(service.http_url, KEY, request("a", width=64, height=36)) as client:
        await client.speak(b"\1\0" * 16_000 * 20, 16_000, pace=None)
        await says(page, "#sessions", "1 talking")
        cells = {
            await cell.get_attribute("data-name"): await cell.inner_text()
            for cell in await page.query_selector_all("td")
        }
        assert cells["sessions"] == "1" and cells["talking"] == "1"
        assert cells["used"].endswith("/ 50") and cells["CPU"].endswith("%")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide == width  # nothing is cut off or has to be scrolled to
    await service.close()
    await says(page, "#line", "cannot be reached")
    assert "stale" in await page.evaluate("document.getElementById('figures').className")
    assert all("ERR_CONNECTION_REFUSED" in fault or "api/cluster" in fault for fault in faults), faults


async def test_it_opens_with_the_operators_key_and_with_no_other(service: Service, launched: Any) -> None:
    page = await (await launched.new_context()).new_page()
    await page.goto(f"{service.viewer_url}top")
    await says(page, "#notice-text", "with the operator’s API key")
    await page.fill("#key", "wrong")
    await page.click("button")
    await says(page, "#notice-text", "not the API key")
    await page.fill("#key", KEY)
    await page.click("button")
    await says(page, "#line", "Live")
    assert not await page.is_visible("#notice")
    await page.reload()
    await says(page, "#line", "Live")
    issue = service.provider.authority.issue
    room = issue("room", "lobby", "host", ttl=60, owner=OPERATOR, name="a")
    other = await (await launched.new_context()).new_page()
    await other.goto(link(service.viewer_url, "top", room))
    await says(other, "#notice-text", "opens a part of this server")
    assert not await other.is_visible("#figures")
