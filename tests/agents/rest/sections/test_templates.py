"""agents/rest/sections/templates.py: values in place of {{name}}."""

from __future__ import annotations

from lipwire.agents.rest.sections.templates import filled
from lipwire.agents.rest.wire import parse_join, parse_update
from support.agent_bodies import V2


def test_values_are_put_in_once() -> None:
    values = {"name": "Ann", "city": "{{name}}", "a b": "c"}
    assert filled("Hi {{name}}, {{ name }}!", values) == "Hi Ann, Ann!"
    assert filled("in {{city}}", values) == "in {{name}}"
    assert filled("{{nobody}} {{a b}} {name} {{}} {{{name}}}", values) == "{{nobody}} c {name} {{}} {Ann}"


def test_where_they_are_put_in() -> None:
    llm = {
        **V2["properties"]["llm"],
        "template_variables": {"name": "Ann"},
        "system_messages": [
            {"role": "system", "content": "You talk to {{name}}."},
            {"role": "user", "content": [{"type": "text", "text": "I am {{name}}."}, {"type": "image_url"}]},
        ],
        "greeting_message": "Hello {{name}}",
        "failure_message": "Sorry {{name}}",
        "params": {"user": "{{name}}"},
    }
    silence = {"timeout_ms": 5000, "content": "Still there, {{name}}?"}
    properties = V2["properties"] | {"llm": llm, "parameters": {"silence_config": silence}}
    config = parse_join({**V2, "properties": properties}, "v2")
    assert config.llm.system_messages == [
        {"role": "system", "content": "You talk to Ann."},
        {"role": "user", "content": [{"type": "text", "text": "I am Ann."}, {"type": "image_url"}]},
    ]
    assert config.instructions == "You talk to Ann."
    assert (config.llm.greeting_message, config.llm.failure_message) == ("Hello Ann", "Sorry Ann")
    assert config.silence is not None and config.silence.content == "Still there, Ann?"
    assert config.llm.params == {"user": "{{name}}"}  # which is the service's
    assert config.llm.template_variables == {"name": "Ann"}
    body = {"llm": {"system_messages": [{"role": "system", "content": "Be kind to {{name}}."}]}}
    changes = parse_update(body, "v2", config)
    assert changes["instructions"] == "Be kind to Ann."
    assert changes["llm.system_messages"] == [{"role": "system", "content": "Be kind to Ann."}]


def test_a_realtime_models_texts_too() -> None:
    properties = {name: value for name, value in V2["properties"].items() if name != "llm"}
    mllm = {"params": {"instructions": "You are {{name}}."}, "greeting_message": "I am {{name}}."}
    more = {"mllm": mllm, "llm": {"template_variables": {"name": "Ann"}}}
    config = parse_join({**V2, "properties": properties | more}, "v2")
    assert (config.instructions, config.llm.greeting_message) == ("You are Ann.", "I am Ann.")
