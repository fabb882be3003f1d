"""A realtime model that the client brings along: its session, by the official package's types, its key, its URL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import Failed, ReplyFinished, Services
from lipwire.agents.brains.realtime import RealtimeBrain
from lipwire.agents.brains.realtime_session import session
from lipwire.agents.config import AgentConfig, TurnDetection
from lipwire.agents.http import ServiceError
from lipwire.agents.openai_models import TRANSCRIPTION
from lipwire.agents.options import McpServer, Realtime
from lipwire.agents.update import apply, check
from lipwire.errors import InvalidArgument
from lipwire.outward import Outward
from support.fakes import FakeRealtime, schema
from support.fakes.mcp import mcp_server
from support.fakes.record import Record

PCM = {"type": "audio/pcm", "rate": 24_000}
VAD = {"create_response": True, "interrupt_response": False}


def config(theirs: Realtime | None = None, **more: Any) -> AgentConfig:
    return AgentConfig(name="a", channel="c", brain="realtime", realtime=theirs, **more)


def of(agent: AgentConfig) -> dict[str, Any]:
    """Its session, which OpenAI's types take."""
    made = session(agent, [])
    assert schema.problems("realtime-client", {"type": "session.update", "session": made}) == []
    return made


def test_without_one_it_is_the_agents_own() -> None:
    made = of(config(voice="coral", language="de-DE", instructions="Be brief."))
    assert made["instructions"] == "Be brief."
    sound = made["audio"]["input"]
    assert sound["transcription"] == {"model": TRANSCRIPTION, "language": "de"}
    assert sound["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.3,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        **VAD,
    }
    assert made["audio"]["output"] == {"format": PCM, "voice": "coral"} and sound["format"] == PCM
    assert of(config(turn_detection=TurnDetection(enabled=False)))["audio"]["input"]["turn_detection"] is None


def test_params_have_their_places_by_the_names_of_the_beta_as_well() -> None:
    params = {
        "model": "gpt-realtime-2.1",
        "voice": "marin",
        "instructions": "Be long.",
        "input_audio_transcription": {"model": "whisper-1", "prompt": "names"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "input_audio_format": "pcm16",
        "max_response_output_tokens": 900,
        "modalities": ["text", "audio"],
        "speed": 1.1,
        "tool_choice": "none",
        "tracing": "auto",
    }
    made = of(config(Realtime(params=params), voice="coral", instructions="Be brief."))
    assert made["instructions"] == "Be long." and made["max_output_tokens"] == 900
    assert made["output_modalities"] == ["audio"] and made["tool_choice"] == "none" and made["tracing"] == "auto"
    assert made["audio"]["output"] == {"format": PCM, "voice": "marin", "speed": 1.1}
    sound = made["audio"]["input"]
    assert sound["transcription"] == {"model": "whisper-1", "prompt": "names"}
    assert sound["noise_reduction"] == {"type": "near_field"} and sound["format"] == PCM
    assert "model" not in made and "voice" not in made


def test_params_of_today_stand_where_they_are() -> None:
    audio = {"input": {"transcription": {"language": "fr"}, "format": {"type": "audio/pcmu"}}, "output": {"speed": 0.9}}
    made = of(config(Realtime(params={"audio": audio, "output_modalities": ["text"]}), voice="coral"))
    assert made["audio"]["input"]["transcription"] == {"model": TRANSCRIPTION, "language": "fr"}
    assert made["audio"]["output"] == {"format": PCM, "voice": "coral", "speed": 0.9}
    assert made["audio"]["input"]["format"] == PCM and made["output_modalities"] == ["text"]
    assert of(config(Realtime(params={"input_audio_transcription": None})))["audio"]["input"]["transcription"] is None


@pytest.mark.parametrize(
    "detection",
    [
        {"type": "semantic_vad", "eagerness": "low"},
        {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 700, "idle_timeout_ms": 6000},
    ],
)
def test_turn_detection_is_what_the_client_wants_but_for_who_interrupts(detection: dict[str, Any]) -> None:
    interrupting = {**detection, "interrupt_response": True, "create_response": False}
    for theirs in (Realtime(turn_detection=interrupting), Realtime(params={"turn_detection": interrupting})):
        assert of(config(theirs))["audio"]["input"]["turn_detection"] == {**detection, **VAD}
    assert interrupting["interrupt_response"] is True  # what was asked for stays as it was


async def opened(agent: AgentConfig, services: Services) -> tuple[RealtimeBrain, Record]:
    brain, record = make_brain(agent, services), Record()
    assert isinstance(brain, RealtimeBrain)
    await brain.open(record)
    return brain, record


async def test_the_clients_service_is_asked_with_the_clients_key_alone() -> None:
    async with FakeRealtime(api_key="theirs") as fake:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "They like jazz."},
            {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": []},
            {"role": "tool", "content": "x"},
        ]
        theirs = Realtime(url=fake.url, api_key="theirs", model="gpt-realtime", messages=messages)
        services = Services(openai_api_key="ours", openai_url="ws://127.0.0.1:1/", outward=Outward(["127.0.0.1"]))
        brain, record = await opened(config(theirs), services)
        brain.tell("Go on.")
        await record.wait(ReplyFinished)
        items = [event["item"] for event in fake.of("conversation.item.create")]
        said = [(item["role"], item["content"][0]["text"]) for item in items]
        expected = [("system", "They like jazz."), ("user", "Hi."), ("assistant", "Hello."), ("user", "Go on.")]
        assert said == expected
        apply(brain._config, check(brain._config, {"realtime.params": {"voice": "marin"}}))
        brain.update(check(brain._config, {"realtime.params": {"voice": "cedar", "instructions": "New."}}))
        async with asyncio.timeout(60):
            while fake.sessions[-1].get("instructions") != "New.":
                await asyncio.sleep(0.01)
        assert fake.sessions[-1]["audio"]["output"]["voice"] == "cedar"
        await brain.close()
    async with FakeRealtime(api_key="ours") as fake:
        without = config(Realtime(url=fake.url))
        made = make_brain(without, Services(openai_api_key="ours", outward=Outward(["127.0.0.1"])))
        with pytest.raises(ServiceError, match="answered 401"):  # our key does not go there
            await made.open(Record())
        await made.close()
        made = make_brain(config(Realtime(model="m")), Services(openai_api_key="ours", openai_url=fake.url))
        await made.open(Record())  # but to our own service
        await made.close()


async def test_a_url_of_a_clients_goes_where_urls_of_requests_may_go() -> None:
    async with FakeRealtime() as fake:
        made = make_brain(config(Realtime(url=fake.url, api_key="k")), Services(outward=Outward()))
        with pytest.raises(ServiceError, match=r"OpenAI Realtime .*leads to 127.*no public address"):
            await made.open(Record())
        await made.close()
        assert fake.connections == []


def test_a_key_is_wanted_where_it_goes() -> None:
    ours = Services(openai_api_key="ours")
    with pytest.raises(InvalidArgument, match=r"say it as mllm\.api_key"):
        make_brain(config(Realtime(url="wss://api.openai.com/v1/realtime")), ours)
    with pytest.raises(InvalidArgument, match="set openai_api_key"):
        make_brain(config(Realtime()), Services())
    azure = "wss://x.openai.azure.com/openai/v1/realtime?deployment=mine"
    made = make_brain(config(Realtime(url=azure, api_key="k", params={"model": "m"})), ours)
    assert isinstance(made, RealtimeBrain)
    assert (made._link._url, made._link._headers) == (azure, {"api-key": "k"})
    plain = make_brain(config(Realtime(url="wss://a.example/rt", api_key="k", params={"model": "m"})), ours)
    assert isinstance(plain, RealtimeBrain) and plain._link._url == "wss://a.example/rt?model=m"


def test_only_params_change_while_it_runs() -> None:
    agent = config(Realtime(url="wss://a"))
    for name in ("url", "api_key", "model", "messages"):
        with pytest.raises(InvalidArgument, match="cannot change while the agent runs"):
            check(agent, {f"realtime.{name}": "x"})
    with pytest.raises(InvalidArgument, match="an agent has no field"):
        check(config(), {"realtime.params": {}})


async def test_tools_of_mcp_servers_are_told_to_the_session_when_they_are_known() -> None:
    async with mcp_server() as site, FakeRealtime() as fake:
        agent = config()
        agent.llm.mcp_servers = [McpServer(name="w", endpoint=site.url)]
        brain, record = await opened(agent, Services(openai_url=fake.url))
        async with asyncio.timeout(60):
            while not fake.sessions or not fake.sessions[-1]["tools"]:
                await asyncio.sleep(0.01)
        assert {tool["name"] for tool in fake.sessions[-1]["tools"]} == {"forecast", "add", "broken", "slow"}
        await brain.close()
        assert record.of(Failed) == []
