"""agents/rest/sections/llm.py: the chat service of v2, and how it greets."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import Greeting
from lipwire.agents.rest.wire import parse_join, parse_update
from support.agent_bodies import V2, changed

URL = "https://llm.example.org/v1/messages"


def joined(llm: dict[str, Any] | None) -> AgentConfig:
    return parse_join({**V2, "properties": V2["properties"] | {"llm": llm}}, "v2")


def test_without_a_url_it_is_the_servers_own() -> None:
    for nothing in (None, {}, {"url": None, "params": None}, {"params": {"temperature": 0.5}}):
        assert (joined(nothing).llm.url, joined(nothing).llm.api_key) == ("", None)
    assert joined(None).llm.max_history == 32
    without = {name: value for name, value in V2["properties"].items() if name != "llm"}
    body = {**V2, "preset": "openai_gpt_5_mini, deepgram_nova_3", "pipeline_id": "mine", "properties": without}
    assert parse_join(body, "v2").llm.url == ""


@pytest.mark.parametrize("style", ["anthropic", "gemini", "dify"])
def test_styles(style: str) -> None:
    llm = joined({"url": URL, "style": style, "api_key": "k"}).llm
    assert (llm.style, llm.url, llm.api_key) == (style, URL, "k")
    with pytest.raises(InvalidAgentRequest, match=rf"llm\.url is required with style '{style}'"):
        joined({"style": style})
    with_mllm = changed(V2, "properties.mllm", {"api_key": "k"})  # which is asked in its place
    parse_join(changed(with_mllm, "properties.llm", {"style": style, "vendor": "custom"}), "v2")


def test_vendor_and_model() -> None:
    assert joined({"url": URL, "vendor": "custom"}).llm.custom
    assert not joined({"url": URL, "vendor": "azure"}).llm.custom
    assert joined({"url": URL, "model": "m"}).llm.model == "m"
    assert joined({"url": URL, "model": "m", "params": {"model": "n"}}).llm.model == "n"
    llm = joined({"url": URL, "ignore_empty": True, "max_history": 7, "params": {"max_tokens": 9.0}}).llm
    assert (llm.ignore_empty, llm.max_history, llm.params) == (True, 7, {"max_tokens": 9.0})


def test_messages_of_geminis_shape() -> None:
    config = joined(
        {
            "url": URL,
            "system_messages": [
                {"role": "system", "parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
                {"role": "model", "parts": [{"text": "Yes."}]},
                {"parts": [{"text": "An example."}]},
            ],
        }
    )
    assert config.llm.system_messages == [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "An example."},
    ]
    assert config.instructions == "Be brief.\nBe kind."
    for wrong in (
        [{"role": "user", "parts": [{"inline": 1}]}],
        [{"role": 5, "parts": [{"text": "x"}]}],
        [{"parts": 5}],
    ):
        with pytest.raises(InvalidAgentRequest, match=r"llm\.system_messages must be"):
            joined({"url": URL, "system_messages": wrong})
    for part in ({"text": "Hi"}, {"type": 5}, "Hi", None):
        content = [{"type": "text", "text": "a"}, part]
        messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": content}]
        with pytest.raises(InvalidAgentRequest, match=r"llm\.system_messages must be .*\[1\]\.content\[1\] is no part"):
            joined({"url": URL, "system_messages": messages})


def test_greeting() -> None:
    assert joined({"greeting_message": "Hi"}).greeting == Greeting(mode="single_every")
    configs = {"mode": "single_first", "delay_ms": 300, "interruptable": False, "audio_download_timeout_ms": 900}
    audio = {"greeting_audio_url": "https://a.example.org/hi.wav", "greeting_message": "Hi"}
    config = joined({**audio, "greeting_configs": {**configs, "audio_pcm_sample_rate": 24_000}})
    assert config.greeting == Greeting(
        mode="single_first",
        delay_ms=300,
        interruptable=False,
        audio_url="https://a.example.org/hi.wav",
        audio_timeout_ms=900,
        audio_rate=24_000,
    )
    assert config.llm.greeting_message == "Hi"


def test_custom_needs_a_url() -> None:
    assert joined({"vendor": "custom", "url": URL}).llm.custom is True
    with pytest.raises(InvalidAgentRequest, match=r"llm\.url is required with vendor 'custom'"):
        joined({"vendor": "custom"})


@pytest.mark.parametrize("nothing", ["", None])
def test_params_that_name_no_model_take_none_away(nothing: str | None) -> None:
    assert joined({"model": "m", "params": {"model": nothing}}).llm.model == "m"
    assert parse_update({"llm": {"params": {"model": nothing, "top_p": 1}}}, "v2") == {"llm.params": {"top_p": 1}}
