"""agents/rest/documented.py: every field of join that Agora's SDK models is done, refused or harmless, and the docs say
which."""

from __future__ import annotations

import copy
import inspect
import typing
import warnings
from typing import Any

import msgspec
import pytest

from lipwire.agents.brains.realtime_session import session
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.rest import documented
from lipwire.agents.rest.documented import TABLE, Row
from lipwire.agents.rest.sections.speech import ASR_VENDORS, PRESETS, TTS_VENDORS
from lipwire.agents.rest.wire import parse_join
from support.agent_bodies import V2, changed
from support.paths import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its models are older than the pydantic that they ask for
    import pydantic
    from agora_agent.agentkit import presets
    from agora_agent.agents.client import AgentsClient
    from agora_agent.agents.types.start_agents_request_properties import StartAgentsRequestProperties

SENT_BESIDE = {"turn_detection.language", "llm.greeting_configs.mode"} | {
    f"llm.greeting_configs.{name}" for name in ("delay_ms", "interruptable")
}
"""What AgentKit sends, or the documents have, though no model of the SDK does."""


def models_in(kind: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return [kind]
    return [model for inner in typing.get_args(kind) for model in models_in(inner)]


def is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is list or any(map(is_list, typing.get_args(kind)))


def leaves(model: type[pydantic.BaseModel], prefix: str = "") -> set[str]:
    """The paths of all fields that have none below them."""
    found: set[str] = set()
    for name, info in model.model_fields.items():
        path = f"{prefix}{info.alias or name}"
        below = models_in(info.annotation)
        if not below:
            found.add(path)
        for inner in below:
            found |= leaves(inner, f"{path}{'[]' if is_list(info.annotation) else ''}.")
    return found


def sdk_fields() -> set[str]:
    beside = {name for name in inspect.signature(AgentsClient.start).parameters if name in ("preset", "pipeline_id")}
    return leaves(StartAgentsRequestProperties) | beside


def test_every_field_of_the_sdk_is_done_refused_or_harmless() -> None:
    fields = sdk_fields()
    missing = sorted(path for path in fields if not any(row.covers(path) for row in TABLE))
    of_vendors = {path for path in fields if path.startswith(("asr.params.", "tts.params."))}
    known = len(fields) - len(missing)
    print(f"{known} of {len(fields)} join fields classified ({len(of_vendors)} of them the params of speech vendors)")
    assert missing == []
    assert len(fields) > 140


def test_the_table_says_each_field_once_and_none_that_nobody_knows() -> None:
    fields = sdk_fields() | SENT_BESIDE
    rows = [(path, row) for row in TABLE for path in row.paths]
    assert len({path for path, _ in rows}) == len(rows)
    for path, row in rows:
        assert any(Row(path, row.means).covers(field) for field in fields), f"{path} is in no model"
    for field in fields - {path for path in fields if "params" in path}:
        assert len([row for row in TABLE if row.covers(field)]) == 1, field


def test_vendors_and_presets_are_those_of_the_sdk() -> None:
    def vendors(name: str) -> set[str]:
        union = models_in(StartAgentsRequestProperties.model_fields[name].annotation)
        return {typing.get_args(model.model_fields["vendor"].annotation)[0] for model in union}

    assert vendors("tts") == set(TTS_VENDORS)
    assert vendors("asr") == set(ASR_VENDORS)
    ours = presets.AgentPresets
    assert {name for kind in (ours.asr, ours.llm, ours.tts) for name in vars(kind).values()} == set(PRESETS)


GOOD: dict[str, Any] = {
    "sal.sample_urls": {"me": "https://a.example.org/me.pcm"},
    "mllm.params.http_options": {"api_version": "v1"},
    "mllm.params.affective_dialog": True,
    "mllm.params.proactive_audio": True,
    "mllm.params.sample_rate": 24_000,
    "mllm.turn_detection.agora_vad_config.interrupt_duration_ms": 200,
    "advanced_features.enable_sal": True,
    "sal.sal_mode": "locking",
}
"""What a client would send in a field that is refused; "x" in others."""


REFUSED = [row for row in TABLE if row.means == "refused"]


@pytest.mark.parametrize("path", [path.removesuffix("*") for row in REFUSED for path in row.paths])
def test_what_the_table_refuses_is_refused(path: str) -> None:
    value = GOOD.get(path, "x")
    with pytest.raises(InvalidAgentRequest) as caught:
        parse_join(changed(V2, f"properties.{path}", value), "v2")
    (row,) = [row for row in TABLE if row.covers(path)]
    assert row.words in str(caught.value)
    for nothing in (None, False if isinstance(value, bool) else None):
        parse_join(changed(V2, f"properties.{path}", nothing), "v2")


@pytest.mark.parametrize(("path", "value"), [(row.path, value) for row in TABLE for value in row.values])
def test_values_that_the_table_refuses_are_refused(path: str, value: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        parse_join(changed(V2, f"properties.{path}", value), "v2")
    (row,) = [row for row in TABLE if row.covers(path)]
    assert caught.value.faults[0].msg == row.values[value]


MCP = {"name": "a", "endpoint": "https://a.example.org/mcp"}
MLLM = {"mllm": {"api_key": "k", "params": {"model": "m"}}}
BESIDE: dict[str, dict[str, Any]] = {
    "asr": {"asr": {"vendor": "deepgram", "params": {"key": "k"}}},
    "tts.credential_mode": {"tts": {"vendor": "rime", "credential_mode": "managed"}},
    "tts": {"tts": {"vendor": "generic_http", "url": "https://a.example.org", "params": {"key": "k"}}},
    "filler_words": {"filler_words": {"content": {"static_config": {"phrases": ["p"]}}}},
    "parameters.silence_config": {"parameters": {"silence_config": {"timeout_ms": 1000, "content": "c"}}},
    "parameters.farewell_config": {"parameters": {"farewell_config": {"graceful_enabled": True}}},
    "rtc": {"rtc": {"encryption_key": "k", "encryption_mode": 7, "encryption_salt": "A" * 43 + "="}},
    "interruption.disabled_config": {"interruption": {"enable": False}},
    "turn_detection.eagerness": {"turn_detection": {"type": "semantic_vad"}, **MLLM},
    "mllm": MLLM,
    "avatar": {"avatar": {"enable": True}},
    "advanced_features.enable_tools": {
        "llm": {"url": "https://llm.example.org", "mcp_servers": [MCP]},
        "advanced_features": {"enable_tools": False},
    },
    "turn_detection.type": MLLM,
    "advanced_features.enable_mllm": MLLM,
    "llm.mcp_servers": {"advanced_features": {"enable_tools": True}},
}
"""What must be there for fields whose paths begin so."""
VALUES: tuple[Any, ...] = (
    *(True, False, 1, 0.9, 8, 250, 2000, 9000, "x", "123", ["5"], {"a": "b"}, {"model": "x"}, "k" * 3),
    *("manual", "keywords", "vad", "semantic", "ignore", "think", "round_robin", "single_first", "semantic_vad"),
    *("append", "adaptive", "low", "high", "anthropic", "custom", "azure", "elevenlabs", "de-DE", [3], "B" * 43 + "="),
    *("https://b.example.org/", "wss://b.example.org/", ["text", "image"], ["audio", "image"], ["text", "audio"]),
    *([{"role": "user", "content": "x"}], [MCP], {"avatar_id": "kit"}),
)
ALWAYS = {
    "filler_words.trigger.mode": "fixed_time",
    "filler_words.content.mode": "generated",
    "llm.greeting_configs.uninterruptible_asr_policy": "merge_reply",
    "tts.credential_mode": "managed",
    "mllm.vendor": "openai",
    "mllm.output_modalities": ["audio"],
    "mllm.params.transcribe_agent": True,
    "mllm.params.transcribe_user": True,
    "avatar.vendor": "generic",
    "turn_detection.mode": "default",
    "turn_detection.create_response": True,
    "turn_detection.interrupt_response": True,
}
"""What is done without being asked for: no value but what is so anyway is taken."""


def made(properties: dict[str, Any]) -> Any:
    """All that follows from a body; None where it is refused."""
    try:
        config = parse_join({**V2, "properties": properties}, "v2")
    except InvalidAgentRequest:
        return None
    if config.realtime is None:
        return config
    said = session(config, [])  # which is where these go
    config.realtime = msgspec.structs.replace(config.realtime, params={}, turn_detection={})
    return config, said


DONE = [path.removesuffix("*") for row in TABLE if row.means == "done" for path in row.paths if "[]" not in path]


@pytest.mark.parametrize("path", [path for path in DONE if path not in ("preset", "pipeline_id")])
def test_what_the_table_says_is_done_changes_the_agent(path: str) -> None:
    beside: dict[str, Any] = next((more for start, more in BESIDE.items() if path.startswith(start)), {})
    base = V2["properties"] | copy.deepcopy(beside)
    if path in ALWAYS:
        assert made(changed(base, path, ALWAYS[path])) is not None
    before = made(base)
    assert before is not None
    taken = any(made(changed(base, path, value)) not in (None, before) for value in VALUES)
    assert taken == (path not in ALWAYS), f"{path}: nothing hangs on what it says"


def test_a_row_can_be_changed_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    body = changed(V2, "properties.labels", {"a": "b"})
    parse_join(body, "v2")
    monkeypatch.setattr(documented, "TABLE", (Row("labels", "refused", "must be left out: there are no webhooks"),))
    with pytest.raises(InvalidAgentRequest, match=r"properties\.labels must be left out: there are no webhooks"):
        parse_join(body, "v2")


def test_the_docs_have_the_table() -> None:
    assert documented.markdown() in (ROOT / "docs" / "agents" / "rest.md").read_text()
