"""agents/rest/documented.py: every field of join that Agora's SDK models is done, refused or harmless, and the docs say
which."""

from __future__ import annotations

import inspect
import typing
import warnings
from typing import Any

import pytest

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


def test_a_row_can_be_changed_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    body = changed(V2, "properties.labels", {"a": "b"})
    parse_join(body, "v2")
    monkeypatch.setattr(documented, "TABLE", (Row("labels", "refused", "must be left out: there are no webhooks"),))
    with pytest.raises(InvalidAgentRequest, match=r"properties\.labels must be left out: there are no webhooks"):
        parse_join(body, "v2")


def test_the_docs_have_the_table() -> None:
    assert documented.markdown() in (ROOT / "docs" / "agents" / "rest.md").read_text()
