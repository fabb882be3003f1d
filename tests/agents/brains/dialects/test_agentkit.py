"""Chat services as Agora's own SDK names them in a join, asked."""

from __future__ import annotations

from typing import Any

import pytest
from agora_agent.agentkit.vendors import Anthropic, CustomLLM, Dify, Gemini, OpenAI

from lipwire.agents.rest.wire import parse_join
from lipwire.app.agent_setup import AgentSetup
from lipwire.app.config import Config
from support.asking import Talk
from support.fakes import FakeChat
from support.fakes.dialects import FakeAnthropic, FakeDify, FakeGemini

SYSTEM = [{"role": "system", "content": "Be brief."}]
VENDORS: dict[str, tuple[type[FakeChat], Any]] = {
    "openai": (
        FakeChat,
        lambda url: OpenAI(api_key="k", base_url=url, model="m", max_tokens=9, system_messages=SYSTEM),
    ),
    "custom": (FakeChat, lambda url: CustomLLM(api_key="k", base_url=url, model="m", system_messages=SYSTEM)),
    "anthropic": (
        FakeAnthropic,
        lambda url: Anthropic(
            api_key="k",
            url=url,
            model="m",
            max_tokens=9,
            temperature=0.5,
            headers={"anthropic-version": "2023-06-01"},
            system_messages=SYSTEM,
        ),
    ),
    "gemini": (
        FakeGemini,
        lambda url: Gemini(
            api_key="k",
            url=url,
            model="gemini-x",
            temperature=0.5,
            top_k=3,
            max_output_tokens=9,
            system_messages=[{"role": "user", "parts": [{"text": "Be brief."}]}],
        ),
    ),
    "dify": (FakeDify, lambda url: Dify(api_key="k", url=url, model="m", user="u", system_messages=SYSTEM)),
}


@pytest.mark.parametrize("name", VENDORS)
async def test_what_the_sdk_names_is_asked_and_answers(name: str) -> None:
    fake, vendor = VENDORS[name]
    async with fake("Hello there.") as server:
        properties = {
            "channel": "c",
            "token": "",
            "agent_rtc_uid": "1",
            "remote_rtc_uids": ["*"],
            "llm": vendor(server.url).to_config(),
        }
        agent = parse_join({"name": "a", "properties": properties}, "v2")
        AgentSetup(Config(allowed_outward=("127.0.0.1",))).prepare(agent)
        async with Talk(agent.llm) as talk:
            assert await talk.say("hi") == "Hello there."
        assert "Be brief." in str(server.requests[0])
        if name == "gemini":  # the SDK puts the key into its own URL, and sends none with another
            assert server.requests[0]["generationConfig"] == {"temperature": 0.5, "topK": 3, "maxOutputTokens": 9}
        else:
            assert server.key_of(server.received[0].headers) == "k"
