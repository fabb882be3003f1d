"""agents/rest/sections/mllm.py: a realtime model that the client brings along."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import Realtime
from lipwire.agents.rest.wire import parse_join, parse_update
from lipwire.agents.update import check
from lipwire.errors import InvalidArgument
from support.agent_bodies import V2

URL = "wss://api.openai.com/v1/realtime"


def joined(mllm: dict[str, Any] | None, **more: Any) -> AgentConfig:
    properties = {name: value for name, value in V2["properties"].items() if name != "llm"}
    return parse_join({**V2, "properties": properties | {"mllm": mllm} | more}, "v2")


def test_what_it_says() -> None:
    config = joined(
        {
            "enable": True,
            "vendor": "openai",
            "url": URL,
            "api_key": "k",
            "params": {"model": "m", "voice": "marin", "instructions": "Be brief.", "max_output_tokens": 500},
            "messages": [{"role": "user", "content": "Hello"}],
            "greeting_message": "Hi.",
            "failure_message": "Sorry.",
            "output_modalities": ["text", "audio"],
            "input_modalities": ["audio"],
            "max_history": 20,
        }
    )
    assert (config.brain, config.voice, config.instructions) == ("realtime", "marin", "Be brief.")
    assert (config.llm.greeting_message, config.llm.failure_message) == ("Hi.", "Sorry.")
    assert config.realtime == Realtime(
        url=URL,
        api_key="k",
        model="m",
        params={"max_output_tokens": 500},
        messages=[{"role": "user", "content": "Hello"}],
    )


def test_whether_it_is_there() -> None:
    there: tuple[dict[str, Any], ...] = ({"api_key": "k"}, {"enable": True}, {"params": {"model": "m"}})
    for on in there:
        assert joined(on).brain == "realtime"
    nothing: tuple[dict[str, Any], ...] = ({}, {"params": {}}, {"params": {"model": None}})
    for off in nothing:
        assert joined(off).brain == "cascade"
    assert joined({"vendor": "openai"}, advanced_features={"enable_mllm": True}).realtime == Realtime()
    for none in (
        joined(None),
        joined({"enable": False, "vendor": "gemini", "params": {"affective_dialog": True}}),
        joined({"vendor": "gemini"}, advanced_features={"enable_mllm": False}),
    ):
        assert (none.brain, none.realtime) == ("cascade", None)
    with pytest.raises(
        InvalidAgentRequest, match=r"properties\.mllm must be there, with advanced_features.enable_mllm"
    ):
        joined(None, advanced_features={"enable_mllm": True})


def test_it_works_with_a_face() -> None:
    config = joined({"api_key": "k"}, avatar={"enable": True, "vendor": "generic", "params": {"avatar_id": "kit"}})
    assert (config.brain, config.avatar) == ("realtime", "kit")


@pytest.mark.parametrize("vendor", ["gemini", "vertexai", "xai", "qwen_omni", "openai_gpt_live", "other"])
def test_vendors_of_other_protocols_are_refused_with_the_list(vendor: str) -> None:
    with pytest.raises(InvalidAgentRequest, match=r"mllm\.vendor must be one of openai, azure"):
        joined({"vendor": vendor})


def test_azure_needs_its_url() -> None:
    url = "wss://mine.openai.azure.com/openai/v1/realtime"
    config = joined({"vendor": "azure", "url": url, "api_key": "k"})
    assert config.realtime is not None and config.realtime.url == url
    with pytest.raises(InvalidAgentRequest, match=r"mllm\.url must be the wss:// URL"):
        joined({"vendor": "azure", "api_key": "k"})


def test_who_tells_turns() -> None:
    server = {"threshold": 0.4, "prefix_padding_ms": 300, "silence_duration_ms": 500, "idle_timeout_ms": 6000}
    for mllm, expected in (
        ({"turn_detection": {"mode": "server_vad", "server_vad_config": server}}, {"type": "server_vad", **server}),
        ({"turn_detection": {"server_vad_config": server}}, {"type": "server_vad", **server}),
        (
            {"turn_detection": {"mode": "semantic_vad", "semantic_vad_config": {"eagerness": "low"}}},
            {"type": "semantic_vad", "eagerness": "low"},
        ),
        ({"turn_detection": {"mode": "semantic_vad"}}, {"type": "semantic_vad"}),
        ({}, {}),
    ):
        config = joined({"enable": True, **mllm})
        assert config.realtime is not None and config.realtime.turn_detection == expected
    own = {"prefix_padding_ms": 100, "silence_duration_ms": 700, "threshold": 0.6}
    config = joined({"turn_detection": {"mode": "agora_vad", "agora_vad_config": own}})
    turns = config.turn_detection
    assert config.realtime is not None and config.realtime.turn_detection == {}
    assert {name: getattr(turns, name) for name in own} == own


def test_the_older_words_of_the_top_level_hold_where_it_says_nothing() -> None:
    older = {"type": "server_vad", "threshold": 0.3, "create_response": True}
    config = joined({"enable": True}, turn_detection=older)
    assert config.realtime is not None
    assert config.realtime.turn_detection == {"type": "server_vad", "threshold": 0.3}
    config = joined({"turn_detection": {"mode": "semantic_vad"}}, turn_detection=older)
    assert config.realtime is not None and config.realtime.turn_detection == {"type": "semantic_vad"}


def test_update() -> None:
    body = {"properties": {"mllm": {"params": {"instructions": "Be kind.", "voice": "cedar", "speed": 1.2}}}}
    assert parse_update(body, "v2") == {
        "instructions": "Be kind.",
        "llm.system_messages": [{"role": "system", "content": "Be kind."}],
        "voice": "cedar",
        "realtime.params": {"speed": 1.2},
    }
    running = joined({"params": {"input_audio_transcription": {"model": "whisper-1"}, "speed": 1.0}})
    changes = parse_update(body, "v2", running)
    assert changes["realtime.params"] == {"input_audio_transcription": {"model": "whisper-1"}, "speed": 1.2}
    assert check(running, changes) == changes
    with pytest.raises(InvalidAgentRequest, match=r"properties\.mllm\.url cannot be changed"):
        parse_update({"properties": {"mllm": {"url": URL}}}, "v2")
    with pytest.raises(InvalidAgentRequest, match=r"properties\.mllm\.params\.voice must be"):
        parse_update({"properties": {"mllm": {"params": {"voice": 5}}}}, "v2")
    messages = [{"role": "user", "content": [{"text": "Hi"}]}]
    with pytest.raises(
        InvalidAgentRequest, match=r"properties\.mllm\.messages must be .*\[0\]\.content\[0\] is no part"
    ):
        parse_join(
            {**V2, "properties": {**V2["properties"], "mllm": {"enable": True, "url": URL, "messages": messages}}}, "v2"
        )


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"model": "other"}, "model cannot be changed while the agent runs"),
        ({"transcribe_user": False}, "transcribe_user must be true"),
        ({"affective_dialog": True}, "affective_dialog must be left out"),
        ({"sample_rate": 24_000}, "sample_rate must be left out"),
        ({"language": "de"}, "language must be left out"),
    ],
)
def test_an_update_is_refused_what_a_join_is(params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        parse_update({"mllm": {"params": params}}, "v2", joined({"api_key": "k"}))
    assert str(caught.value).startswith(f"mllm.params.{words}")


@pytest.mark.parametrize("name", ["tools", "input_audio_format", "temperature"])
def test_an_update_asks_the_model_for_nothing_that_it_cannot_do(name: str) -> None:
    running = joined({"api_key": "k"})
    changes = parse_update({"mllm": {"params": {name: 0.7 if name == "temperature" else "g711"}}}, "v2", running)
    with pytest.raises(InvalidArgument, match=rf"mllm\.params\.{name}: "):
        check(running, changes)


@pytest.mark.parametrize("params", [{"instructions": "Be kind."}, {"voice": "alloy"}, {"speed": 1.2}, {}])
def test_an_update_of_an_agent_without_it_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidAgentRequest, match=r"^properties\.mllm\.params must be left out: this agent was started"
    ):
        parse_update({"properties": {"mllm": {"params": params}}}, "v2", parse_join(V2, "v2"))


def test_pictures() -> None:
    config = joined({"input_modalities": ["audio", "image"]})
    assert config.llm.input_modalities == ["text", "image"]
    assert joined({"input_modalities": ["audio", "text"]}).llm.input_modalities == ["text"]


@pytest.mark.parametrize("name", ["tools", "mcp_servers"])
def test_functions_of_a_model_that_is_not_asked_are_refused(name: str) -> None:
    own = {
        "tools": {
            "type": "function",
            "function": {"name": "f"},
            "server": {"method": "GET", "url": "https://a.example/"},
        },
        "mcp_servers": {"name": "a", "endpoint": "https://a.example/"},
    }
    llm = {name: [own[name]]}
    for features in ({"enable_tools": True}, {}):
        with pytest.raises(InvalidAgentRequest, match=rf"llm\.{name} must be left out, with mllm: put them into mllm"):
            joined({"api_key": "k"}, llm=llm, advanced_features=features)
    assert joined({"api_key": "k"}, llm=llm, advanced_features={"enable_tools": False}).tools == []


def test_which_of_two_tells_turns_must_be_said() -> None:
    turns = {"server_vad_config": {"threshold": 0.4}, "agora_vad_config": {"threshold": 0.6}}
    with pytest.raises(
        InvalidAgentRequest, match=r"turn_detection\.mode must be there, to say which of agora_vad, serv"
    ):
        joined({"turn_detection": turns})
    config = joined({"turn_detection": turns | {"mode": "server_vad"}})
    assert config.realtime is not None and config.realtime.turn_detection == {"type": "server_vad", "threshold": 0.4}
