"""The agent page end to end, in Chromium with a microphone: the user speaks, what was said appears, the agent answers
with a moving mouth, the user speaks again, and it stops.

Who answers is `page_agent.PageAgent`; `open_world` is the one place that knows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

import lipwire
from lipwire.channel.room.room import Rooms
from lipwire.errors import LipwireError
from lipwire.servers.http import serve_http
from lipwire.servers.rooms import AgentRequest, PageConfig, create_rooms, page_policy, parse_agent_request
from support.browsing import (
    ALLOWED,
    ENERGY,
    MICROPHONE,
    WAIT,
    Mouth,
    User,
    becomes,
    browser,
    eventually,
    items,
    speaks,
    state,
    write_wav,
)
from support.page_agent import PageAgent

SIZE = (480, 270)
QUESTION = "Hello there, can you tell me about plums?"
STOP = "Wait, please stop, one question. I would like to know something else, and that is not about plums at all."
ANSWER = (
    "Plums ripen in August. Five thousand people buy more peaches and plums, and mama made a marble rainbow above "
    "Bombay. There is much more to tell about them, and I will go on until somebody stops me, or the summer is over."
)


class World:
    """A server with rooms, an agent for each that is asked for, and a browser."""

    def __init__(self, say: Callable[[str], tuple[bytes, int]]) -> None:
        self.rooms = Rooms(ice_host="127.0.0.1")
        self.agents: dict[str, PageAgent] = {}
        self.refuse: LipwireError | None = None
        self.url = ""
        self.browser: Any = None
        self._say = say
        self.complaints: list[str] = []

    async def start_agent(self, request: AgentRequest) -> dict[str, Any]:
        if self.refuse is not None:
            raise self.refuse
        agent = PageAgent(self.rooms, request, self._say, ANSWER, SIZE)
        await agent.start()
        self.agents[request.channel] = agent
        return {"agent_id": request.channel}

    async def stop_agent(self, channel: str) -> bool:
        agent = self.agents.pop(channel, None)
        if agent is not None:
            await agent.stop()
        return agent is not None

    async def open(self, channel: str, *, query: str = "", user: bool = False) -> Any:
        page = await self.browser.new_page(viewport={"width": 1280, "height": 800})
        if user:
            await User(page, self._say).sit_down()
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(f"{self.url}?channel={channel}{query}")
        await page.wait_for_selector("#join:enabled")
        return page


@contextlib.asynccontextmanager
async def open_world(say: Any, chromium: str, args: list[str], page: PageConfig | None = None) -> AsyncIterator[World]:
    world = World(say)
    page = page or PageConfig(brains=["cascade", "echo"], voices=["alloy"], avatars=["aria", "ohm"])
    app = create_rooms(world.rooms, page, start_agent=world.start_agent, stop_agent=world.stop_agent)
    server = await serve_http(app, "127.0.0.1", 0)
    world.url = f"http://127.0.0.1:{server.port}/"
    try:
        async with browser(chromium, *args) as world.browser:
            yield world
    finally:
        for channel in tuple(world.agents):
            await world.stop_agent(channel)
        await world.rooms.close()
        await server.close()


@pytest_asyncio.fixture
async def world(chromium: str, say: Any, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "user.wav"
    write_wav(path, say, [1.5, QUESTION, 30.0])
    async with open_world(say, chromium, speaks(path)) as world:
        yield world


@pytest.mark.slow
async def test_talking_and_interrupting(world: World, say: Any) -> None:
    page = await world.open("talk", user=True)
    user = User(page, say)
    mouth = Mouth(page, "aria", SIZE)
    await page.click("#join")
    await eventually(becomes(page, "idle", "listening"))
    quiet = await page.evaluate(ENERGY)

    # The user speaks: the meter moves, the words appear, first as they come, then for good.
    metered = asyncio.create_task(page.wait_for_selector("#meter i.lit", timeout=1000 * WAIT))

    async def said(count: int = 1) -> bool:
        return len([item for item in await items(page, "user") if item["final"]]) >= count

    await user.says_until(QUESTION, said)
    await metered
    assert await page.locator(".turn.user .text").first.inner_text() == (await items(page, "user"))[0]["text"]

    # The agent answers, with sound, a moving mouth and captions that grow.
    await eventually(becomes(page, "speaking"))
    await page.wait_for_selector("#stage.has-video")
    await mouth.moves()
    assert await page.evaluate(ENERGY) - quiet > 1e-4
    first = (await items(page, "agent"))[0]
    assert not first["final"]

    async def grown() -> bool:
        return len((await items(page, "agent"))[0]["text"]) > len(first["text"])

    await eventually(grown)

    # The user speaks again while it does: it falls silent, and the caption is what was heard of it.
    async def interrupted() -> bool:
        return (await items(page, "agent"))[0]["interrupted"]

    await user.says_until(STOP, interrupted)
    agent = world.agents["talk"]
    assert agent.interrupts == 1

    async def quiet_again() -> bool:
        before = await page.evaluate(ENERGY)
        await page.wait_for_timeout(300)
        return await page.evaluate(ENERGY) - before < 1e-5

    await eventually(quiet_again)
    cut = (await items(page, "agent"))[0]
    assert cut["final"]
    assert len(cut["text"]) < len(ANSWER)
    assert ANSWER.startswith(cut["text"])
    await eventually(lambda: said(2))

    # What it measured is there, part by part.
    async def measured() -> bool:
        return len(await page.evaluate("() => window.lipwire.turns")) >= 1

    await eventually(measured)
    await page.click("#latency-toggle")
    turn = (await page.evaluate("() => window.lipwire.turns"))[0]
    assert turn["total"] == pytest.approx(sum(ms for _, ms in turn["parts"]), abs=1)
    assert await page.locator("#parts div").count() == len(turn["parts"])
    assert await page.locator("#turns li").count() >= 1

    # Leaving ends the agent that was there for this user alone.
    await page.click("#end")
    await eventually(becomes(page, "off"))

    async def empty() -> bool:
        return not world.rooms.list() and not world.agents

    await eventually(empty)

    # What was said stays, and can be saved.
    said_by = [(item["role"], item["text"]) for item in await page.evaluate("() => window.lipwire.items")]
    assert await page.locator(".turn .text").all_inner_texts() == [text for _, text in said_by]
    saved = {}
    for form in ("txt", "vtt", "json"):
        async with page.expect_download() as started:
            await page.select_option("#save", form)
        saved[form] = Path(await (await started.value).path()).read_text(encoding="utf-8")
    body = json.loads(saved["json"])
    assert body["channel"] == "talk"
    assert [(item["role"], item["text"]) for item in body["items"]] == said_by
    assert [item["start_ms"] for item in body["items"]] == sorted(item["start_ms"] for item in body["items"])
    assert saved["vtt"].startswith("WEBVTT\n\n1\n00:00:")
    assert saved["vtt"].count(" --> ") == len(said_by)
    assert all(text in saved["txt"] for _, text in said_by) and "(interrupted)" in saved["txt"]
    assert world.complaints == []
    await page.close()


async def test_typing_stopping_and_muting(world: World) -> None:
    page = await world.open("type")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    await page.fill("#say", "What about <b>peaches</b>?")
    await page.keyboard.press("Enter")
    await eventually(becomes(page, "speaking"))
    assert world.agents["type"].heard == ["What about <b>peaches</b>?"]
    # Shown once, though the agent repeats it, and as text.
    users = await items(page, "user")
    assert [(item["text"], item["pending"]) for item in users] == [("What about <b>peaches</b>?", False)]
    assert await page.locator(".turn.user .text").inner_text() == "What about <b>peaches</b>?"
    assert await page.locator(".turn b").count() == 0
    # Escape stops it.
    await page.keyboard.press("Escape")
    await eventually(becomes(page, "idle"))
    assert (await items(page, "agent"))[0]["interrupted"]
    assert await page.inner_text("#captions") == (await items(page, "agent"))[0]["text"]

    # A microphone later, muted and unmuted by key. What it hears is what the microphone gives.
    await page.click("#log")
    await page.click("#mic")
    agent = world.agents["type"]
    peaks: list[int] = []
    room = world.rooms._rooms["type"]
    heard = room.heard

    def listen(source: Any, event: Any) -> None:
        peaks.append(int(np.abs(np.frombuffer(event.pcm, np.int16)).max()))
        heard(source, event)

    room.heard = listen  # type: ignore[method-assign]
    await eventually(becomes(page, "listening"))
    await page.keyboard.press("m")
    assert await page.get_attribute("#mic", "aria-pressed") == "true"

    async def muted() -> bool:  # what was heard before may still be thought about
        return str(await page.inner_text("#chip-text")) == "You are muted"

    await eventually(muted)
    await page.wait_for_timeout(600)
    peaks.clear()

    async def more() -> bool:
        return len(peaks) > 30

    await eventually(more)
    assert max(peaks) < 4  # steady silence, but for what Opus makes of it
    await page.keyboard.press("m")
    assert await page.get_attribute("#mic", "aria-pressed") == "false"

    # The agent can be sent away, and asked back.
    await page.click("#agent-toggle")
    await eventually(becomes(page, "alone"))
    assert "type" not in world.agents
    assert await page.inner_text("#notice-title") == "No agent is here"
    await page.click("#notice-action")
    await eventually(becomes(page, "idle", "listening", "speaking", "thinking"))
    assert world.agents["type"] is not agent
    assert world.complaints == []
    await page.close()


async def test_captions_failures_and_an_echo(world: World) -> None:
    page = await world.open("words")
    assert await page.is_hidden("#start-about")  # it would be a cascade
    await page.click("#settings-open")
    await page.select_option("#set-brain", "echo")
    await page.click("#settings-form button[value=save]")
    assert "an echo" in await page.inner_text("#start-about")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    assert "you hear your own voice" in await page.inner_text("#about-text")
    assert "An echo repeats your voice" in await page.inner_text("#empty")
    assert await page.inner_text("#chip-text") == "Microphone off"

    # Captions over the picture, off and on by key.
    await page.fill("#say", "What about peaches?")
    await page.keyboard.press("Enter")
    await eventually(becomes(page, "speaking"))
    assert await page.is_hidden("#caption")
    await page.click("#log")
    await page.keyboard.press("c")

    async def captioned() -> bool:
        text = await page.inner_text("#caption") if await page.is_visible("#caption") else ""
        return text != "" and text.lstrip("…").strip() in ANSWER

    await eventually(captioned)
    assert await page.get_attribute("#cc", "aria-pressed") == "true"

    # What fails is said in words for people, and without addresses.
    agent = world.agents["words"]
    for message, words in (
        ("https://llm.internal:8443/v1 answered 500: {}", "language model does not answer"),
        ("the model is asleep", "The model is asleep."),
    ):
        agent._send("message.error", module="llm", message=message, reason="LLM_ERROR")

        async def told(words: str = words) -> bool:
            both = await page.inner_text("#trouble-text"), await page.inner_text("#caption")
            return all(words in text for text in both)

        await eventually(told)
        assert "internal" not in await page.inner_text("body")
    assert world.complaints == []
    await page.close()


async def test_the_face_is_there_before_the_agent_and_on_a_phone(world: World) -> None:
    page = await world.open("face")
    await page.wait_for_selector("#still.there")
    size = "() => { const c = document.querySelector('#still'); return [c.width, c.height]; }"
    assert await page.evaluate(size) == [1280, 720]
    await page.set_viewport_size({"width": 390, "height": 844})

    async def upright() -> bool:
        return await page.evaluate(size) == [720, 1280]

    await eventually(upright)
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    request = world.agents["face"].request
    assert (request.width, request.height) == (720, 1280)  # 844 points of a screen that has one pixel each
    box = await page.locator("#stage").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 844)
    # The words of the page lie below the face, and what is below the fold nowhere.
    for name in ("#dock", "#say", "#log"):
        assert (await page.locator(name).bounding_box())["y"] > 844 * 0.6
    assert world.complaints == []
    await page.close()


NOTHING_KEPT = """for (const area of ['localStorage', 'sessionStorage'])
  Object.defineProperty(window, area, {get() { throw new DOMException('Access is denied', 'SecurityError'); }});"""


async def test_a_page_in_a_frame_that_may_keep_nothing(world: World) -> None:
    """As in another site's page where a browser keeps third parties' data out."""
    page = await world.browser.new_page()
    page.on("pageerror", lambda error: world.complaints.append(str(error)))
    await page.add_init_script(NOTHING_KEPT)
    await page.goto(f"{world.url}?channel=frame")
    await page.click("#settings-open")
    await page.select_option("#set-brain", "echo")
    await page.click("#settings-form button[value=save]")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    assert world.agents["frame"].request.brain == "echo"
    await page.keyboard.press("c")
    assert await page.get_attribute("#cc", "aria-pressed") == "true"
    assert world.complaints == []
    await page.close()


async def test_settings_reach_the_agent(world: World) -> None:
    page = await world.open("first")
    await page.click("#settings-open")
    await page.fill("#set-channel", "second room")
    await page.select_option("#set-brain", "echo")
    await page.select_option("#set-avatar", "")
    await page.fill("#set-voice", "alloy")
    await page.fill("#set-prompt", "You are brief.")
    await page.click("#settings-form button[value=save]")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    assert world.agents["second room"].request == AgentRequest(
        channel="second room", brain="echo", voice="alloy", avatar="", prompt="You are brief."
    )
    await page.wait_for_timeout(700)
    assert await page.locator("#stage.has-video").count() == 0  # sound only: no face
    # Another channel while it lives: it moves there.
    await page.click("#settings-open")
    await page.fill("#set-channel", "third")
    await page.click("#settings-form button[value=save]")

    async def moved() -> bool:
        return [m.kind for m in world.rooms.list().get("third", [])] == ["user"]

    await eventually(moved)
    assert world.complaints == []
    await page.close()


async def test_a_lost_connection_comes_back(world: World) -> None:
    page = await world.open("lost", query="&user=anna")
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    browser = world.rooms._rooms["lost"].browsers["anna"]
    first = browser.peer
    assert first is not None
    await first.close()

    async def back() -> bool:
        return browser.connected and browser.peer is not first and await state(page) == "idle"

    await eventually(back)
    # A second window of the same user takes over, and the first one says so.
    second = await world.open("lost", query="&user=anna")
    await second.click("#join-quiet")
    await eventually(becomes(second, "idle"))
    await eventually(becomes(page, "off"))
    assert "another window" in await page.inner_text("#trouble-text")
    await page.close()
    await second.close()


async def test_what_fails_is_said_in_words(chromium: str, say: Any) -> None:
    async with open_world(say, chromium, [MICROPHONE]) as world:  # nobody allows the microphone
        page = await world.open("words")
        world.refuse = LipwireError("no account for this brain")
        await page.click("#join")
        await eventually(becomes(page, "alone"))
        assert "The agent did not start" in await page.inner_text("#trouble-text")
        assert "microphone is blocked" in await page.inner_text("#trouble2-text")
        world.refuse = None
        await page.click("#trouble-action")
        await eventually(becomes(page, "idle"))

        async def told() -> bool:
            return "microphone is blocked" in await page.inner_text("#trouble-text")

        assert await told()  # the agent that came has not wiped it away
        assert await page.get_attribute("#trouble-help", "href") == "help.html#microphone"
        assert await page.inner_text("#chip-text") == "Microphone blocked"
        await page.click("#mic")
        await eventually(told)
        await page.fill("#say", "Then I type.")
        await page.click("#send")
        await eventually(becomes(page, "speaking"))
        await page.close()


async def test_a_phone_and_a_keyboard(world: World) -> None:
    page = await world.open("phone")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.click("#join-quiet")
    await eventually(becomes(page, "idle"))
    await page.wait_for_selector("#stage.has-video")
    sizes = await page.evaluate("""() => ({
      wide: document.documentElement.scrollWidth, high: document.documentElement.scrollHeight,
      small: [...document.querySelectorAll('button')].filter((b) => b.offsetParent)
        .map((b) => [b.id, b.getBoundingClientRect()])
        .filter(([, r]) => r.width < 44 || r.height < 44).map(([id]) => id),
      unnamed: [...document.querySelectorAll('button')].filter((b) => b.offsetParent)
        .filter((b) => !(b.getAttribute('aria-label') || b.textContent.trim())).length,
    })""")
    assert sizes == {"wide": 390, "high": 844, "small": [], "unnamed": 0}
    focused = []
    for _ in range(14):
        await page.keyboard.press("Tab")
        focused.append(await page.evaluate("() => document.activeElement.id || document.activeElement.className"))
    for name in ("settings-open", "camera", "interrupt", "mic", "end", "log", "say"):
        assert name in focused
    await page.close()


async def test_the_routes(world: World) -> None:
    page = await world.open("routes")
    request = page.request

    async def call(method: str, path: str, **options: Any) -> tuple[int, Any]:
        reply = await request.fetch(world.url + path, method=method, **options)
        return reply.status, await reply.json()

    status, config = await call("GET", "api/config")
    assert (status, config["agora"], config["agents"], config["brains"]) == (200, None, True, ["cascade", "echo"])
    status, made = await call("POST", "api/rooms", data={})
    assert status == 201
    status, listed = await call("GET", "api/rooms")
    assert listed == {"rooms": [{"name": made["name"], "members": []}]}
    for path, body, words in (
        ("api/rooms", {"name": "a/b"}, "1..64 characters"),
        ("api/rooms/x/offer", {"user": "anna"}, "sdp"),
        ("api/rooms/x/offer", {"sdp": "v=0", "user": "anna"}, "offer"),
        ("api/rooms/x/offer", {"sdp": "m=", "user": "anna", "role": "king"}, "role must be"),
        ("api/agents", {"channel": "x", "brain": "none"}, "$.brain"),
        ("api/agents", {"channel": "x", "prompt": "y" * 8001}, "prompt has 8001"),
        ("api/agents", {}, "channel"),
        ("api/agents/stop", {}, "channel"),
    ):
        status, error = await call("POST", path, data=body)
        assert (status, error["code"]) == (400, "VALIDATION_ERROR"), path
        assert words in error["message"]
    status, error = await call("POST", "api/agents", data="{}", headers={"content-type": "text/plain"})
    assert (status, "Content-Type" in error["message"]) == (415, True)
    assert (await call("POST", "api/rooms/x/leave", data={"user": "nobody"}))[1] == {"left": False}
    assert (await call("POST", "api/agents/stop", data={"channel": "x"}))[1] == {"stopped": False}

    class Taken(LipwireError):
        status = 409

    world.refuse = Taken("the name is in use")
    status, error = await call("POST", "api/agents", data={"channel": "x"})
    assert (status, error["message"]) == (409, "the name is in use")
    await page.close()


def test_the_policy_opens_for_agora_only_where_it_is_configured(tmp_path: Path) -> None:
    closed = page_policy(PageConfig())["Content-Security-Policy"]
    assert "default-src 'none'" in closed
    assert "agora" not in closed
    assert "unsafe" not in closed
    assert page_policy(PageConfig(app_id="a"))["Content-Security-Policy"] == closed
    url = page_policy(PageConfig(app_id="a", agora_sdk="https://example.com/sdk.js"))["Content-Security-Policy"]
    assert "script-src 'self' https://example.com/sdk.js;" in url
    assert "wss://*.agora.io:*" in url
    file = page_policy(PageConfig(app_id="a", agora_sdk="sdk.js"))["Content-Security-Policy"]
    assert "script-src 'self';" in file
    for bad in ("https://", "https://a b/sdk.js", "https://x/;script-src *", str(tmp_path / "none.js")):
        with pytest.raises(lipwire.errors.InvalidArgument, match="agora_sdk"):
            create_rooms(Rooms(ice_host="127.0.0.1"), PageConfig(app_id="a", agora_sdk=bad))


def test_an_agent_request_becomes_an_agent() -> None:
    agent = AgentRequest(channel="c").config("cascade", "aria")
    assert (agent.name, agent.channel, agent.brain, agent.avatar) == ("page:room:c", "c", "cascade", "aria")
    asked = AgentRequest(channel="c", brain="realtime", avatar="", prompt="Be brief.", greeting="Hi")
    agent = asked.config("cascade", "aria")
    assert (agent.brain, agent.avatar, agent.voice) == ("realtime", None, "")
    assert agent.instructions == agent.llm.system_messages[0]["content"] == "Be brief."
    assert agent.llm.greeting_message == "Hi"


def test_an_agent_request_names_the_field() -> None:
    assert parse_agent_request({"channel": " a ", "more": 1}).channel == "a"
    with pytest.raises(lipwire.errors.InvalidArgument, match="voice"):
        parse_agent_request({"channel": "a", "voice": 3})


SDK = """window.AgoraRTC = {
  setLogLevel() {}, disableLogUpload() {},
  createCustomAudioTrack: ({mediaStreamTrack}) => ({mediaStreamTrack, close() {}, setMuted() {}}),
  createClient(options) {
    const on = {};
    window.agora = {on, options, calls: []};
    return {
      remoteUsers: [],
      on(name, f) { on[name] = f; },
      removeAllListeners() {},
      async join(...all) { window.agora.calls.push(['join', ...all]); on['user-joined']({uid: 9000}); },
      async publish(track) { window.agora.calls.push(['publish', track.mediaStreamTrack.kind]); },
      async renewToken(token) { window.agora.calls.push(['renew', token]); },
      async leave() { window.agora.calls.push(['leave']); },
    };
  },
};"""


async def test_an_agora_channel(chromium: str, say: Any, tmp_path: Path) -> None:
    """Against a double of the SDK's surface: what the page calls, and what it makes of stream messages."""
    sdk = tmp_path / "sdk.js"
    sdk.write_text(SDK)
    page_config = PageConfig(brains=["cascade"], app_id="0" * 32, agora_sdk=str(sdk), token_path="token")
    async with open_world(say, chromium, [MICROPHONE, ALLOWED], page_config) as world:
        asked: list[dict[str, Any]] = []

        async def token(route: Any) -> None:
            asked.append(route.request.post_data_json)
            await route.fulfill(json={"token": "007abc", "uid": 42})

        async def join(query: str = "") -> Any:
            page = await world.open("agora room", query=query)
            await page.route("**/token", token)
            await page.click("#settings-open")
            await page.select_option("#set-transport", "agora")
            await page.click("#settings-form button[value=save]")
            await page.click("#join")
            await eventually(becomes(page, "idle"))
            return page

        page = await join()
        calls = await page.evaluate("() => window.agora.calls")
        assert calls == [["join", "0" * 32, "agora room", "007abc", 42], ["publish", "audio"]]
        await page.evaluate("""() => {
          const body = {object: 'assistant.transcription', text: 'Hello.', turn_id: 1, turn_status: 1};
          window.agora.on['stream-message'](9000, new TextEncoder().encode('m1|0|1|' + btoa(JSON.stringify(body))));
        }""")
        assert [item["text"] for item in await items(page, "agent")] == ["Hello."]
        await page.evaluate("() => window.agora.on['token-privilege-will-expire']()")
        assert (await page.evaluate("() => window.agora.calls"))[-1] == ["renew", "007abc"]
        assert [one.get("uid") for one in asked] == [int(await page.evaluate("sessionStorage['lipwire.user']")), 42]
        await page.click("#end")
        await eventually(becomes(page, "off"))
        assert (await page.evaluate("() => window.agora.calls"))[-1] == ["leave"]
        await page.close()
        page = await join("&user=Ann")  # no number: the server says which user that is
        assert asked[-1] == {"channel": "agora room"}
        assert world.complaints == []
        await page.close()
