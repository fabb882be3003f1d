"""Agora's client toolkit, from npm, in Chromium, on our engines: with a whole agent in a room of a real server."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from PIL import Image

from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.manager import AgentRecord
from lipwire.app.config import Config
from lipwire.app.service import Service
from support.agora_toolkit import NAME, VERSION
from support.browsing import browser, eventually
from support.fakes.chat import FakeChat
from support.npm import bundle
from support.paths import ROOT

GREETING = "Grüß Gott, Anna. I am here."
LONG = "Plums ripen in August, and there is a great deal more to tell about them. " * 6

PAGE = ROOT / "docs" / "agents" / "rooms.md"
JOIN = """async ([url, room, token]) => {
  window.told = [];
  const { ai, connection } = await peers.join({ url, room, token, show: () => {}, tell: () => {} });
  Object.assign(window, { ai, connection });
  for (const name of Object.values(peers.AgoraVoiceAIEvents)) {
    ai.on(name, (...what) => told.push([name, structuredClone(what)]));
  }
}"""


def documented() -> str:
    """The module that the page of the documentation shows."""
    section = PAGE.read_text(encoding="utf-8").split("## With Agora's client toolkit")[1]
    found = re.search("```js\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


class Anna:
    """Who uses the toolkit in a page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    async def told(self, name: str) -> list[list[Any]]:
        """The arguments of each of these events."""
        found: list[list[Any]] = await self.page.evaluate(
            "name => told.filter(([other]) => other === name).map(([, what]) => what)", name
        )
        return found

    async def lines(self) -> list[tuple[str, str]]:
        """What is shown: uid and text of each line."""
        updates = await self.told("transcript-updated")
        return [(line["uid"], line["text"]) for line in updates[-1][0]] if updates else []

    async def states(self) -> list[str]:
        return [event["state"] for uid, event in await self.told("agent-state-changed")]

    async def shows(self, uid: str, text: str) -> None:
        async def shown() -> bool:
            return (uid, text) in await self.lines()

        await eventually(shown)

    async def becomes(self, state: str) -> None:
        async def there() -> bool:
            return (await self.states())[-1:] == [state]

        await eventually(there)

    async def hears_of(self, name: str, count: int = 1) -> Any:
        """The arguments of the newest, when there are so many."""

        async def came() -> bool:
            return len(await self.told(name)) >= count

        await eventually(came)
        return (await self.told(name))[-1]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What an application is, as a bundler makes it."""
    more = f"export {{ AgoraVoiceAIEvents }} from '{NAME}';\n"
    packages = f"{NAME}@{VERSION}", f"file:{ROOT / 'js'}"
    return bundle(tmp_path_factory.mktemp("application"), packages, more + documented())


@asynccontextmanager
async def talking(chromium: str, script: str, chat: FakeChat, **agent: Any) -> AsyncIterator[tuple[Anna, AgentRecord]]:
    """A page with the application, and an agent, in one room."""
    config = Config(
        http_port=0, ws_port=0, viewer_port=0, host="127.0.0.1", ice_host="127.0.0.1", api_key="key",
        agent_brain="cascade", llm_url=chat.url, end_of_turn="silence",
    )  # fmt: skip
    async with Service(config) as service, browser(chromium) as launched:
        service.agents.start_timeout = 120.0  # a busy machine is slow to load models, and that is all
        record = await service.agents.start(AgentConfig(name="a", channel="lobby", uid="9000", **agent))
        page = await launched.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{service.viewer_url}schema/openapi.json")
        await page.evaluate(script)
        token = service.provider.authority.issue("room", "lobby", "member", ttl=600, owner="operator")
        await page.evaluate(JOIN, [service.viewer_url, "lobby", token])
        yield Anna(page), record
        assert complaints == []
        await page.evaluate("connection.close()")
        await page.close()


async def test_the_toolkit_talks_with_an_agent_in_a_room(chromium: str, script: str) -> None:
    answers = ["The answer is forty-two.", LONG, "It is a green field."]
    llm = Llm(greeting_message=GREETING, input_modalities=["text", "image"])
    async with FakeChat(answers, first_token=0.05) as chat, talking(chromium, script, chat, llm=llm) as (anna, record):
        await anna.shows("9000", GREETING)
        await anna.becomes("listening")
        assert {"speaking", "listening"} <= set(await anna.states())
        assert ["9000", True] in await anna.told("agent-speaking-changed")

        await anna.page.evaluate(
            "ai.sendText('9000', { messageType: 'text', text: 'What is the answer, bitte schön?' })"
        )
        await anna.shows("0", "What is the answer, bitte schön?")
        await anna.shows("9000", answers[0])
        uid, turn = await anna.hears_of("agent-turn-finished")
        assert (uid, turn["agentId"]) == ("9000", record.id) and turn["e2eLatencyMs"] > 0
        assert turn["segmentedLatency"]["ttsTtfbMs"] >= 0
        kinds = {(metric["type"], metric["name"]) for _, metric in await anna.told("agent-metrics")}
        assert kinds == {("llm", "ttft"), ("tts", "ttfb")}

        await anna.page.evaluate("ai.chat('9000', { messageType: 'text', text: 'Tell me of plums.' })")
        await anna.becomes("speaking")
        # Of what is never spoken nothing is shown, so the interruption is to come when something is.

        async def begun() -> bool:
            return (await anna.lines())[-1][1].startswith("Plums")

        await eventually(begun)
        await anna.page.evaluate("ai.interrupt('9000')")
        uid, cut = await anna.hears_of("agent-interrupted")
        await anna.becomes("listening")
        assert uid == "9000" and cut["turnID"] == 3
        assert 0 < len((await anna.lines())[-1][1]) < len(LONG)

        picture = io.BytesIO()
        Image.effect_noise((400, 300), 90).convert("RGB").save(picture, "PNG")
        data = base64.b64encode(picture.getvalue()).decode()
        assert len(data) > 64 * 1024  # more than one message holds
        send = "async (base64) => { await ai.sendImage('9000', { messageType: 'image', uuid: 'p1', base64 }); }"
        await anna.page.evaluate(send, data)
        _, receipt = await anna.hears_of("message-receipt-updated")
        assert receipt["messageType"] == "image" and json.loads(receipt["message"])["width"] == 400
        await anna.page.evaluate("ai.sendText('9000', { messageType: 'text', text: 'What is that?' })")
        await anna.shows("9000", answers[2])
        seen = chat.requests[-1]["messages"][-1]["content"][1]["image_url"]["url"]
        assert Image.open(io.BytesIO(base64.b64decode(seen.partition(",")[2]))).size == (400, 300)
        inner = "ai.sendImage('9000', { messageType: 'image', uuid: 'p2', url: 'http://10.0.0.1/a.png' })"
        await anna.page.evaluate(inner)
        _, refusal = await anna.hears_of("message-error")
        assert refusal["type"] == "image" and "no public address" in json.loads(refusal["message"])["error"]["message"]

        request = await anna.page.evaluate("ai.manualSOS('9000')")
        _, result = await anna.hears_of("user-manual-sos")
        assert result["payload"]["requestId"] == request and not result["payload"]["success"]
        assert "is not manual" in result["payload"]["errorMessage"]

        await record.agent.stop()  # type: ignore[union-attr]
        await anna.becomes("idle")


async def test_the_toolkit_marks_speech(chromium: str, script: str) -> None:
    by_hand = TurnDetection(start_of_speech="manual", end_of_speech="manual")
    async with FakeChat() as chat, talking(chromium, script, chat, turn_detection=by_hand) as (anna, _):
        await anna.becomes("listening")
        for call, event in (("manualSOS", "user-manual-sos"), ("manualEOS", "user-manual-eos")):
            request = await anna.page.evaluate(f"ai.{call}('9000')")
            uid, result = await anna.hears_of(event)
            assert (uid, result["eventId"]) == ("9000", request)
            assert result["payload"] == {"success": True, "requestId": request, "turnId": 1, "errorMessage": None}
        await anna.page.evaluate("ai.manualEOS('9000', 'again')")
        _, result = await anna.hears_of("user-manual-eos", 2)
        assert result["payload"]["requestId"] == "again" and result["payload"]["turnId"] is None
        assert "no speech has begun" in result["payload"]["errorMessage"]
