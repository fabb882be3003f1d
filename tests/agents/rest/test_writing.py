"""agents/rest/writing.py: what is written reads back, all of it."""

from __future__ import annotations

import pytest

from lipwire.agents import options as o
from lipwire.agents.config import AgentConfig, Llm, Tool, TurnDetection
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.rest.wire import parse_join
from lipwire.agents.rest.writing import join_body

CASCADE = AgentConfig(
    name="n",
    channel="c",
    uid="7",
    remote_uids=["8"],
    language="de-DE",
    tts=o.Vendor(name="elevenlabs", params={"key": "k", "voice_id": "v"}),
    asr=o.Vendor(name="deepgram", params={"key": "k"}, keywords=["Lipwire"]),
    tts_headers={"X": "y"},
    skip_patterns=[3, 4],
    labels={"a": "b"},
    metrics=False,
    error_messages=False,
    farewell_seconds=12.5,
    filler=o.Filler(wait_ms=900, phrases=["hm"], order="round_robin"),
    silence=o.Silence(timeout_ms=9000, action="think", content="Ask."),
    greeting=o.Greeting(
        mode="single_first", delay_ms=100, interruptable=False, audio_url="https://a.example.org/x.wav"
    ),
    interruption=o.Interruption(mode="keywords", keywords=["stop"]),
    encryption=o.Encryption(key="k", mode=8, salt=bytes(32)),
    provider=o.AvatarProvider(
        api_base_url="https://faces.example.org", api_key="k", avatar_id="june", agora_uid="9", params={"scene": "x"}
    ),
    turn_detection=TurnDetection(
        start_of_speech="manual",
        end_of_speech="semantic",
        silence_duration_ms=400,
        max_wait_ms=-1,
        pause_state=False,
        interrupt_duration_ms=200,
    ),
    tools=[
        Tool(
            name="weather",
            description="The weather.",
            server=o.ToolServer(
                url="https://tools.example.org/{{args.place}}", method="GET", headers={"X": "y"}, timeout_ms=2000
            ),
        )
    ],
    llm=Llm(
        url="https://llm.example.org/v1/messages",
        style="anthropic",
        ignore_empty=True,
        max_history=32,
        template_variables={"name": "Ann"},
        mcp_servers=[o.McpServer(name="m", endpoint="https://mcp.example.org", allowed_tools=["a"])],
    ),
)
REALTIME = AgentConfig(
    name="n",
    channel="c",
    brain="realtime",
    voice="marin",
    instructions="Be brief.",
    llm=Llm(
        url="",
        custom=True,
        max_history=32,
        system_messages=[{"role": "system", "content": "Be brief."}],
        mcp_servers=[o.McpServer(name="m", endpoint="https://mcp.example.org", headers={"X": "y"})],
    ),
    greeting=o.Greeting(mode="single_every"),
    asked_language="auto",
    turn_detection=TurnDetection(end_of_speech="vad", speaking_interrupt_duration_ms=300),
    interruption=o.Interruption(enabled=False, when_off="ignore"),
    realtime=o.Realtime(
        url="wss://api.openai.com/v1/realtime",
        api_key="k",
        model="m",
        params={"max_output_tokens": 500},
        messages=[{"role": "user", "content": "Hello"}],
        turn_detection={"type": "semantic_vad", "eagerness": "low"},
    ),
)


@pytest.mark.parametrize("config", [CASCADE, REALTIME], ids=["cascade", "realtime"])
def test_what_is_written_reads_back(config: AgentConfig) -> None:
    assert parse_join(join_body(config, "v2"), "v2") == config


@pytest.mark.parametrize("realtime", [None, o.Realtime(api_key="k")], ids=["cascade", "realtime"])
def test_values_that_look_like_places_are_filled_once(realtime: o.Realtime | None) -> None:
    variables = {"name": "{{place}} and {{ place }}", "place": "{{name}} {{other}}", "literal_1": "x"}
    config = parse_join(
        {
            "name": "n",
            "properties": {
                "channel": "c",
                "agent_rtc_uid": "0",
                "remote_rtc_uids": ["*"],
                "llm": {
                    "url": "https://llm.example.org",
                    "template_variables": variables,
                    "greeting_message": "Hello {{name}}.",
                    "failure_message": "{{place}}",
                    "system_messages": [{"role": "system", "content": [{"type": "text", "text": "At {{place}}."}]}],
                },
                "parameters": {"silence_config": {"timeout_ms": 5, "content": "{{name}}?"}},
                **({} if realtime is None else {"mllm": {"api_key": "k", "params": {"instructions": "{{name}}"}}}),
            },
        },
        "v2",
    )
    assert config.llm.greeting_message == "Hello {{place}} and {{ place }}."
    again = parse_join(join_body(config, "v2"), "v2")
    added = {name: value for name, value in again.llm.template_variables.items() if name not in variables}
    assert set(added.values()) <= {"{{name}}", "{{place}}", "{{ place }}"}
    once_more = parse_join(join_body(again, "v2"), "v2")
    assert once_more == again
    again.llm.template_variables = variables
    assert again == config


@pytest.mark.parametrize("config", [CASCADE, REALTIME], ids=["cascade", "realtime"])
def test_v1_cannot_say_it(config: AgentConfig) -> None:
    plain = AgentConfig(name="n", channel="c", labels={"a": "b"}, silence=o.Silence(timeout_ms=5, content="x"))
    with pytest.raises(InvalidAgentRequest, match=r"v1 has no parameters\.silence_config, labels"):
        join_body(plain, "v1")
    with pytest.raises(InvalidAgentRequest, match="v1 has no"):
        join_body(config, "v1")
