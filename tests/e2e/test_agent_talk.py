"""A talk with a whole agent, nothing of ours replaced: Chromium with a user at its microphone, the page, a room, the
agent with a face, and its brain, between local stand-ins for what is somebody else's (OpenAI's services)."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.speech.offline_stt import what_hears
from lipwire.app.config import Config
from lipwire.app.service import Service
from support.browsing import ENERGY, Mouth, User, becomes, browser, eventually, items, state
from support.fakes.chat import FakeChat
from support.fakes.realtime import FakeRealtime, Say

QUESTION = "I think that we should go to the market in the morning."
"""Words that are understood when espeak-ng says them."""
ANSWER = (
    "Plums ripen in August. Five thousand people buy more peaches and plums, and mama made a marble rainbow above "
    "Bombay. There is much more to tell about them, and I will go on until somebody stops me, or the summer is over."
)
CUT_IN = "Wait a moment, I have one more question."
"""Without the word of a spoken command ("hey ... stop"): a busy browser may lose what comes before it."""


async def talk(service: Service, chromium: str, say: Any) -> tuple[list[list[dict[str, Any]]], Any]:
    """The user asks, is answered, interrupts, is answered again; what was said, and the agent's record."""
    complaints: list[str] = []
    async with browser(chromium) as launched:
        page = await launched.new_page(viewport={"width": 800, "height": 600})
        user = User(page, say)
        await user.sit_down()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        mouth = Mouth(page, "kit", (640, 360))
        await page.goto(service.page_link("talk"))
        await page.wait_for_selector("#join:enabled")
        await page.click("#join")
        await eventually(becomes(page, "idle", "listening"))
        quiet = await page.evaluate(ENERGY)

        async def asked() -> bool:
            return any(item["final"] for item in await items(page, "user"))

        await user.says_until(QUESTION, asked)
        await eventually(becomes(page, "speaking"))
        await page.wait_for_selector("#stage.has-video")
        await mouth.moves()
        assert await page.evaluate(ENERGY) - quiet > 1e-4, "nothing is heard"
        (record,) = service.agents.active

        async def interrupted() -> bool:
            return any(item["interrupted"] for item in await items(page, "agent"))

        await user.says_until(CUT_IN, interrupted)  # sound of which no word is understood does not interrupt
        cut = next(item for item in await items(page, "agent") if item["interrupted"])
        assert cut["final"] and 0 < len(cut["text"]) < len(ANSWER)
        assert ANSWER.startswith(cut["text"].rstrip(" ."))

        async def measured() -> bool:
            return len(await page.evaluate("() => window.lipwire.turns")) >= 1

        await eventually(measured)
        log = [[item for item in await items(page, role) if item["final"]] for role in ("user", "agent")]
        history, turns = record.history(), record.turns()
        assert await state(page) in ("listening", "thinking", "speaking", "idle")
        await page.click("#end")
        await eventually(becomes(page, "off"))

        async def gone() -> bool:
            return not service.agents.active and not service.rooms.list()

        await eventually(gone)
        await page.close()
    assert complaints == []
    assert record.status == "STOPPED"
    # What the brain remembers of the answer that was cut off is what was heard of it.
    heard = next(entry["content"] for entry in history if entry["role"] == "assistant")
    assert heard.rstrip(" .") == cut["text"].rstrip(" .")
    assert "interrupted" in [turn["end_reason"] for turn in turns if turn["start_reason"] == "speech"], turns
    return log, record


def settings(**more: Any) -> Config:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    ports |= {"end_of_turn": "silence"}
    return Config(**ports, api_key="key", host="127.0.0.1", ice_host="127.0.0.1", avatar="kit", **more)


@pytest.mark.slow
async def test_cascade_offline_but_for_the_model(chromium: str, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """whisper hears, a local chat completions service thinks, espeak-ng speaks."""
    assert what_hears("en-US") == ("whisper-tiny.en", "")
    monkeypatch.setattr("lipwire.agents.speech.whisper_stt.TIMEOUT", 120.0)  # a busy machine is slow, and that is all
    async with (
        FakeChat([ANSWER, "Which question?"], first_token=0.1, token_interval=0.01) as chat,
        Service(settings(agent_brain="cascade", llm_url=chat.url)) as service,
    ):
        (user, _), _ = await talk(service, chromium, say)
    # Which of its words are understood is for the recognizer's own tests: here a busy browser may lose some sound.
    assert words_of(QUESTION) & words_of(user[0]["text"]), user[0]["text"]
    asked = [message["content"] for message in chat.requests[-1]["messages"] if message["role"] == "user"]
    assert asked[0] == user[0]["text"]


@pytest.mark.slow
async def test_realtime(chromium: str, say: Any) -> None:
    heard = [QUESTION, CUT_IN]
    says = [Say(ANSWER, seconds=12.0), Say("Which question?", seconds=1.0)]
    async with FakeRealtime(says, heard=heard, latency=0.1, voice=say) as openai:
        config = settings(agent_brain="realtime", openai_url=openai.url, openai_api_key="sk-test")
        async with Service(config) as service:
            (user, _), _ = await talk(service, chromium, say)
    assert user[0]["text"] == heard[0]
    truncated = [event for event in openai.events if event["type"] == "conversation.item.truncate"]
    assert 0 < truncated[0]["audio_end_ms"] < 12_000
    assert len({event["item_id"] for event in truncated}) == len(truncated)


def words_of(text: str) -> set[str]:
    return set(text.lower().strip(".").split())
