"""Agora's client toolkit, from npm, in Chromium, on our engines: with a whole agent in a room of a real server."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from lipwire.agents.config import AgentConfig, Llm
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


async def test_the_toolkit_talks_with_an_agent_in_a_room(chromium: str, tmp_path: Path) -> None:
    more = f"export {{ AgoraVoiceAIEvents }} from '{NAME}';\n"
    script = bundle(tmp_path, (f"{NAME}@{VERSION}", f"file:{ROOT / 'js'}"), more + documented())
    answers = ["The answer is forty-two.", LONG, "It is a green field."]
    async with FakeChat(answers, first_token=0.05) as chat:
        config = Config(
            http_port=0, ws_port=0, viewer_port=0, host="127.0.0.1", ice_host="127.0.0.1", api_key="key",
            agent_brain="cascade", llm_url=chat.url, end_of_turn="silence",
        )  # fmt: skip
        async with Service(config) as service, browser(chromium) as launched:
            llm = Llm(greeting_message=GREETING, input_modalities=["text", "image"])
            record = await service.agents.start(AgentConfig(name="a", channel="lobby", uid="9000", llm=llm))
            page = await launched.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            await page.goto(f"{service.viewer_url}schema/openapi.json")
            await page.evaluate(script)
            token = service.provider.authority.issue("room", "lobby", "member", ttl=600, owner="operator")
            await page.evaluate(JOIN, [service.viewer_url, "lobby", token])
            anna = Anna(page)

            await anna.shows("9000", GREETING)
            await anna.becomes("listening")
            assert {"speaking", "listening"} <= set(await anna.states())
            assert ["9000", True] in await anna.told("agent-speaking-changed")

            await page.evaluate(
                "ai.sendText('9000', { messageType: 'text', text: 'What is the answer, bitte schön?' })"
            )
            await anna.shows("0", "What is the answer, bitte schön?")
            await anna.shows("9000", answers[0])
            uid, turn = await anna.hears_of("agent-turn-finished")
            assert (uid, turn["agentId"]) == ("9000", record.id) and turn["e2eLatencyMs"] > 0
            assert turn["segmentedLatency"]["ttsTtfbMs"] >= 0
            kinds = {(metric["type"], metric["name"]) for _, metric in await anna.told("agent-metrics")}
            assert kinds == {("llm", "ttft"), ("tts", "ttfb")}

            await page.evaluate("ai.chat('9000', { messageType: 'text', text: 'Tell me of plums.' })")
            await anna.becomes("speaking")
            # Of what is never spoken nothing is shown, so the interruption is to come when something is.

            async def begun() -> bool:
                return (await anna.lines())[-1][1].startswith("Plums")

            await eventually(begun)
            await page.evaluate("ai.interrupt('9000')")
            uid, cut = await anna.hears_of("agent-interrupted")
            await anna.becomes("listening")
            assert uid == "9000" and cut["turnID"] == 3
            assert 0 < len((await anna.lines())[-1][1]) < len(LONG)

            picture = io.BytesIO()
            Image.effect_noise((400, 300), 90).convert("RGB").save(picture, "PNG")
            data = base64.b64encode(picture.getvalue()).decode()
            assert len(data) > 64 * 1024  # more than one message holds
            send = "async (base64) => { await ai.sendImage('9000', { messageType: 'image', uuid: 'p1', base64 }); }"
            await page.evaluate(send, data)
            _, receipt = await anna.hears_of("message-receipt-updated")
            assert receipt["messageType"] == "image" and json.loads(receipt["message"])["width"] == 400
            await page.evaluate("ai.sendText('9000', { messageType: 'text', text: 'What is that?' })")
            await anna.shows("9000", answers[2])
            seen = chat.requests[-1]["messages"][-1]["content"][1]["image_url"]["url"]
            assert Image.open(io.BytesIO(base64.b64decode(seen.partition(",")[2]))).size == (400, 300)
            inner = "ai.sendImage('9000', { messageType: 'image', uuid: 'p2', url: 'http://10.0.0.1/a.png' })"
            await page.evaluate(inner)
            _, refusal = await anna.hears_of("message-error")
            assert (
                refusal["type"] == "image" and "no public address" in json.loads(refusal["message"])["error"]["message"]
            )

            request = await page.evaluate("ai.manualSOS('9000')")
            _, result = await anna.hears_of("user-manual-sos")
            assert result["payload"]["requestId"] == request and not result["payload"]["success"]
            assert "is not manual" in result["payload"]["errorMessage"]

            await record.agent.stop()  # type: ignore[union-attr]
            await anna.becomes("idle")
            assert complaints == []
            await page.evaluate("connection.close()")
            await page.close()
