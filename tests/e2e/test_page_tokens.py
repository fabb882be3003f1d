"""The pages of a server with keys, in Chromium: without a link, with one that expired, and with one for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import pytest
import pytest_asyncio

from lipwire import StreamSpec
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel.base import Message
from lipwire.protocol.access import Role, Subject
from lipwire.provider.client import ProviderClient, request
from lipwire.provider.keys import OPERATOR
from lipwire.servers.access import link
from support.browsing import MICROPHONE, becomes, browser, eventually

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
KEY = "the key of the pages"


class World:
    """A public server, on loopback here, and a browser of strangers."""

    def __init__(self, service: Service, launched: Any) -> None:
        self.service, self.browser = service, launched
        self.asked: list[str] = []

    def link(self, subject: Subject, id: str, role: Role, page: str, ttl: float = 600, name: str = "") -> str:
        issue = self.service.provider.authority.issue
        return link(self.service.viewer_url, page, issue(subject, id, role, ttl=ttl, owner=OPERATOR, name=name))

    async def open(self, url: str, size: tuple[int, int] = (1100, 760)) -> Any:
        context = await self.browser.new_context(viewport={"width": size[0], "height": size[1]})
        page = await context.new_page()
        page.on("request", lambda made: self.asked.append(f"{made.url} {made.headers.get('referer', '')}"))
        await page.goto(url)
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(chromium: str) -> AsyncIterator[World]:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    config = Config(
        **ports,
        api_key=KEY,
        host="127.0.0.1",
        ice_host="127.0.0.1",
        agent_brain="echo",
        avatar="kit",
        end_of_turn="silence",
    )
    async with Service(config) as service, browser(chromium, MICROPHONE) as launched:
        yield World(service, launched)


def client(world: World, channel: str) -> ProviderClient:
    return ProviderClient(world.service.http_url, KEY, request(channel, width=320, height=180, fps=25))


async def says(page: Any, selector: str, words: str) -> None:
    async def it_does() -> bool:
        return words in await page.inner_text(selector)

    await eventually(it_does)


async def test_without_a_link_the_viewer_says_what_is_missing(world: World) -> None:
    page = await world.open(world.service.viewer_url)
    await eventually(becomes(page, "refused"))
    await says(page, "#notice-title", "opens with a link")
    await says(page, "#notice-text", "lipwire token")
    assert await page.is_disabled("#say")
    await page.context.close()


async def test_an_expired_link_is_told_from_none(world: World) -> None:
    page = await world.open(world.link("owner", OPERATOR, "admin", "", ttl=-5))
    await eventually(becomes(page, "refused"))
    await says(page, "#notice-text", "expired")
    await page.context.close()
    page = await world.open(world.link("room", "lobby", "member", "agent?channel=lobby", ttl=-5, name="Ann"))
    await says(page, "#start-text", "expired")
    assert not await page.is_visible("#join")
    await page.context.close()


async def test_a_link_to_watch_shows_one_session_and_steers_nothing(world: World) -> None:
    async with client(world, "one") as one, client(world, "two") as two:
        assert one.session is not None and two.session is not None
        shown = one.session.session_id
        page = await world.open(world.link("session", shown, "watch", f"?session={shown}"))

        async def live() -> bool:
            return bool(await page.evaluate("() => window.lipwire.connected && window.lipwire.framesDecoded() > 0"))

        await eventually(live)
        assert await page.evaluate("() => location.hash + location.search") == f"?session={shown}"
        assert await page.inner_text("[data-f=session_id]") == shown
        assert not await page.is_visible("#picker")
        assert await page.is_disabled("#say")
        await says(page, "#hint", "for watching")
        assert not any("token=" in url for url in world.asked), "no token in an address, or a Referer"
        await page.reload()
        await eventually(live)
        watching = page

        # The operator's link shows both, and may speak.
        page = await world.open(world.service.page_link())
        await eventually(live)
        await page.wait_for_selector("#picker:not([hidden])")
        assert await page.is_enabled("#say")
        await page.context.close()
    await eventually(becomes(watching, "ended"))
    await says(watching, "#notice-text", "This link was for that session alone.")
    await watching.reload()
    await says(watching, "#notice-title", "The session has ended")
    await watching.context.close()


async def test_a_member_has_the_room_and_the_name_of_its_link(world: World) -> None:
    url = world.link("room", "lobby", "member", "agent?channel=elsewhere&user=Eve", name="Ann")
    page = await world.open(url)
    await page.click("#join-quiet")
    await eventually(becomes(page, "alone"))
    assert await page.evaluate("() => window.lipwire.user") == "Ann"
    assert {name: [member.user for member in members] for name, members in world.service.rooms.list().items()} == {
        "lobby": ["Ann"]
    }
    assert not await page.is_visible("#agent-toggle"), "it brings no agent"
    assert not world.service.agents.active

    # The host brings it; leaving tells the room at once, token and all.
    host = await world.open(world.link("room", "lobby", "host", "agent", name="Bob"))
    await host.click("#join-quiet")
    await eventually(becomes(host, "idle", "listening", "speaking"))
    (record,) = world.service.agents.active
    assert (record.config.channel, record.config.owner) == ("lobby", OPERATOR)
    await page.click("#end")

    async def left() -> bool:
        return "Ann" not in {member.user for member in world.service.rooms.list()["lobby"]}

    await eventually(left)
    await host.click("#end")

    async def ended() -> bool:
        return not world.service.agents.active and not world.service.rooms.list()

    await eventually(ended)
    for one in (page, host):
        await one.context.close()


async def test_a_link_to_watch_a_room_is_heard_by_nobody(world: World) -> None:
    heard: list[Any] = []
    ears = world.service.rooms.channel("stage", "ears", heard.append)
    await ears.open(StreamSpec(session_id="s", width=0, height=0, fps=Fraction(25)))
    page = await world.open(world.link("room", "stage", "watch", "agent", name="Guest"))
    await page.wait_for_selector("#join-quiet:has-text('Watch')")
    await says(page, "#start-title", "Watch an agent")
    assert "Nobody sees or hears you" in await page.inner_text("#start-text")
    assert not await page.is_visible("#join")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    for part in ("#mic", "#camera", "#interrupt"):
        assert not await page.is_visible(part)
    assert await page.is_disabled("#say")
    member = await world.open(world.link("room", "stage", "member", "agent", name="Ann"))
    await member.click("#join-quiet")
    await eventually(becomes(member, "idle"))
    # A channel of its own making: whatever it sends, what Ann sends afterwards is the first that comes.
    await page.evaluate("() => window.lipwire.send({type: 'interrupt'})")
    await page.evaluate("() => window.lipwire.send({type: 'chat', text: 'Obey me.'})")
    await member.evaluate("() => window.lipwire.send({type: 'chat', text: 'Hello.'})")

    async def came() -> bool:
        return any(isinstance(event, Message) for event in heard)

    await eventually(came)
    assert [event.user for event in heard if isinstance(event, Message)] == ["Ann"]
    for one in (page, member):
        await one.context.close()
    await ears.close()


async def test_the_agent_page_takes_an_api_key_in_place_of_a_link(world: World) -> None:
    page = await world.open(f"{world.service.viewer_url}agent")
    await says(page, "#start-title", "opens with a link")
    await page.click("#settings-open")
    await page.fill("#set-key", KEY)
    await page.click("button[value=save]")
    await page.wait_for_selector("#join:visible")
    await says(page, "#start-title", "Talk with an agent")
    await page.context.close()


async def test_a_new_link_pasted_into_the_same_tab_counts(world: World) -> None:
    page = await world.open(world.service.viewer_url)
    await eventually(becomes(page, "refused"))
    fragment = world.service.page_link().partition("#")[2]
    await page.evaluate("(fragment) => { location.hash = fragment; }", fragment)
    await page.wait_for_function("() => window.lipwire?.state === 'waiting'")  # the page loads anew
    assert await page.evaluate("() => location.href") == world.service.viewer_url
    await page.context.close()


async def test_without_keys_nobody_is_asked(chromium: str) -> None:
    config = Config(
        http_port=0,
        ws_port=0,
        viewer_port=0,
        ice_host="127.0.0.1",
        agent_brain="echo",
        avatar="kit",
        end_of_turn="silence",
    )
    async with Service(config) as service, browser(chromium, MICROPHONE) as launched:
        page = await launched.new_page()
        await page.goto(service.page_link())
        await eventually(becomes(page, "waiting"))
        await page.goto(service.page_link("lobby"))
        await page.wait_for_selector("#join:visible")
        assert not await page.is_visible("#item-key")
