"""Agora's own Python SDK (agora-agents), unchanged, against `lipwire serve`: one environment variable is all that is
different. Each operation, sync and async, with each kind of credentials; its typed answers are complete."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import inspect
import os
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
import pytest_asyncio

from lipwire import agora_token
from support.agent_site import APP, CERTIFICATE, KEY
from support.agentkit import quickstart
from support.fakes import FakeChat, FakeStt, FakeTts
from support.ports import free_ports

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its models are of pydantic 1 and 2 at once
    import agora_agent
    from agora_agent import agentkit
    from agora_agent.client import Agora as PlainAgora
    from agora_agent.client import AsyncAgora as PlainAsyncAgora
    from agora_agent.core.api_error import ApiError

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore:Valid config keys")]

WAIT = 60


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """The URL of a `lipwire serve` with an Agora project whose agents are in its own rooms."""
    http, viewer = free_ports(2)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPWIRE_", "AGORA_", "OPENAI_"))}
    settings = {
        "LIPWIRE_API_KEY": KEY,
        "LIPWIRE_AGORA": "off",
        "LIPWIRE_AGORA_APP_ID": APP,
        "LIPWIRE_AGORA_APP_CERTIFICATE": CERTIFICATE,
        "LIPWIRE_END_OF_TURN": "silence",
        "LIPWIRE_PREENCODED": "off",
        **settings,
    }
    ports = ("--http-port", http, "--ws-port", 0, "--viewer-port", viewer, "--host", "127.0.0.1")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lipwire", "serve", "--ice-host", "127.0.0.1", *map(str, ports)],
            cwd=folder,
            env=kept | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{http}"
    try:
        _until(lambda: _answers(url, process, folder / "log"))
        yield url
    finally:
        process.terminate()
        assert process.wait(WAIT) == 0


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One whose agents say back what they are told."""
    settings = {"LIPWIRE_STT_URL": "offline", "LIPWIRE_TTS_URL": "offline", "LIPWIRE_WORKERS": request.param}
    with serving(tmp_path_factory.mktemp("served"), LIPWIRE_AGENT_BRAIN="echo", **settings) as url:
        yield url


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)


Client = Any
"""Agora or AsyncAgora."""


def make(kind: str, credentials: str) -> Client:
    client = agora_agent.Agora if kind == "sync" else agora_agent.AsyncAgora
    given: dict[str, Any] = {
        "basic": {"customer_id": "anybody", "customer_secret": KEY},
        "token": {"auth_token": agora_token(APP, CERTIFICATE, "lobby", 5)},
        "app": {},
    }[credentials]
    return client(area=agora_agent.Area.US, app_id=APP, app_certificate=CERTIFICATE, timeout=WAIT, **given)


async def done(value: Any) -> Any:
    """What a call of either client gives."""
    return await value if inspect.isawaitable(value) else value


async def items(pager: Any) -> list[Any]:
    """All of a list, over its pages."""
    pager = await done(pager)
    return [item async for item in pager] if hasattr(pager, "__aiter__") else list(pager)


def lacks(model: Any, path: str = "") -> set[str]:
    """The members of a typed answer that are None, by their paths; [] stands for any of a list."""
    if isinstance(model, list):
        return set().union(*(lacks(one, f"{path}[]") for one in model)) if model else set()
    if not isinstance(model, pydantic.BaseModel):
        return {path} if model is None else set()
    names = type(model).model_fields
    return set().union(*(lacks(getattr(model, name), f"{path}.{name}".lstrip(".")) for name in names))


@pytest_asyncio.fixture(params=["sync", "async"])
async def kind(request: pytest.FixtureRequest, server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Which client, after which nobody is left."""
    monkeypatch.setenv("AGORA_AGENTS_API_BASE_URL", server)
    yield request.param
    operator = make("sync", "basic")
    for agent in operator.agents.list(APP, state="0,1,2,3"):
        operator.agents.stop(APP, agent.agent_id)


def properties(channel: str = "lobby", uid: str = "1001") -> dict[str, Any]:
    return {
        "channel": channel,
        "token": "",
        "agent_rtc_uid": uid,
        "remote_rtc_uids": ["*"],
        "idle_timeout": 0,
        "llm": {
            "url": "https://llm.example.org/v1/chat/completions",
            "api_key": "x",
            "system_messages": [{"role": "system", "content": "You are a receptionist."}],
            "params": {"model": "m"},
        },
        "turn_detection": {"silence_duration_ms": 400},
    }


async def spoken(client: Client, agent_id: str, count: int = 1) -> Any:
    """The turns, once so many have ended."""
    async with asyncio.timeout(WAIT):
        while True:
            found = await done(client.agents.get_turns(APP, agent_id))
            if sum(turn.end is not None for turn in found.turns) >= count:
                return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("credentials", ["basic", "token"])
async def test_every_operation_of_the_generated_client(kind: str, credentials: str) -> None:
    client = make(kind, credentials)
    started = await done(client.agents.start(APP, name="one", properties=properties()))
    assert (lacks(started), started.status) == (set(), "RUNNING")
    agent_id = started.agent_id

    shown = await done(client.agents.get(APP, agent_id))
    assert (lacks(shown), shown.status) == ({"message", "stop_ts"}, "RUNNING")  # it has not ended
    (listed,) = await items(client.agents.list(APP, channel="lobby", state="2"))
    assert (lacks(listed), listed.agent_id, listed.start_ts) == (set(), agent_id, started.create_ts)

    before = int(time.time())
    said = await done(client.agents.speak(APP, agent_id, text="Hello.", priority="APPEND", interruptable=False))
    assert (lacks(said), said.channel) == (set(), "lobby") and said.start_ts >= before
    await spoken(client, agent_id)
    thought = await done(
        client.agent_management.agent_think(
            APP,
            agent_id,
            text="It rains.",
            on_listening_action="interrupt",
            on_thinking_action="interrupt",
            on_speaking_action="interrupt",
            interruptable=True,
            metadata={"from": "the weather"},
        )
    )
    assert (lacks(thought), thought.agent_id, thought.channel) == (set(), agent_id, "lobby")
    turns = await spoken(client, agent_id, 2)
    cut = await done(client.agents.interrupt(APP, agent_id))
    assert (lacks(cut), cut.agent_id) == (set(), agent_id)
    updated = await done(client.agents.update(APP, agent_id, properties={"llm": {"params": {"model": "n"}}}))
    assert (lacks(updated), updated.status) == (set(), "RUNNING")

    history = await done(client.agents.get_history(APP, agent_id))
    assert [(entry.role, entry.content) for entry in history.contents][:2] == [
        ("assistant", "Hello."),
        ("user", "It rains."),
    ]
    assert history.contents[0].speech_end_ms > history.contents[0].speech_start_ms
    assert lacks(history) == {
        *("contents[].speech_start_ms", "contents[].speech_end_ms"),  # of what was written
        "contents[].speech_algorithmic_delay",  # nothing of ours comes between
    }
    assert (turns.name, turns.channel, turns.total_turn_count, turns.pagination.is_last_page) == (
        "one",
        "lobby",
        2,
        True,
    )
    assert [turn.start.type for turn in turns.turns] == ["api_speak", "api_think"]
    assert [turn.end.type for turn in turns.turns] == ["ok", "ok"]
    first, second = turns.turns
    assert (first.start.metadata.transport, first.end.metadata.playback_duration_ms > 0) == ("http", True)
    assert first.end.end_at > first.start.start_at > 1e12
    assert second.metrics.e_2_e_latency_ms > 0 and lacks(second.metrics) == set()
    parts = second.metrics.segmented_latency_ms
    assert abs(sum(part.latency for part in parts) - second.metrics.e_2_e_latency_ms) < 1
    filled = {path for path in lacks(turns) if ".metadata." not in path and ".metrics." not in path}
    assert filled == set()  # of metadata and metrics, each turn has its own

    await done(client.agents.stop(APP, agent_id))
    ended = await done(client.agents.get(APP, agent_id))
    assert (lacks(ended), ended.status, ended.message) == (set(), "STOPPED", "left")
    after = await done(client.agents.get_turns(APP, agent_id, page_index=1, page_size=1))
    assert (after.pagination.total_pages, [turn.turn_id for turn in after.turns]) == (2, [1])
    assert [agent.agent_id for agent in await items(client.agents.list(APP, state="4"))][-1] == agent_id


async def test_lists_go_on_from_page_to_page(kind: str) -> None:
    client = make(kind, "basic")
    began = time.time()
    ids = [
        (await done(client.agents.start(APP, name=f"{n}", properties=properties(f"room {n}")))).agent_id
        for n in range(5)
    ]
    found = await items(client.agents.list(APP, state="2,4", from_time=began, to_time=time.time() + 1, limit=2))
    assert [agent.agent_id for agent in found] == ids
    assert await items(client.agents.list(APP, from_time=time.time() + 60.5)) == []


async def test_errors_are_the_services(kind: str) -> None:
    client = make(kind, "basic")

    async def refused(call: Any) -> tuple[int | None, Any]:
        with pytest.raises(ApiError) as caught:
            await done(call())
        return caught.value.status_code, caught.value.body

    started = await done(client.agents.start(APP, name="one", properties=properties()))
    status, body = await refused(lambda: client.agents.start(APP, name="one", properties=properties("other", "2")))
    assert (status, body["reason"], body["agent_id"]) == (409, "TaskConflict", started.agent_id)
    bad = properties("other", "2") | {"idle_timeout": -1}
    status, body = await refused(lambda: client.agents.start(APP, name="two", properties=bad))
    assert (status, body["reason"]) == (400, "InvalidFieldValue") and "idle_timeout" in body["detail"]
    status, body = await refused(lambda: client.agents.start(APP, name="two", properties={"channel": "x"}))
    assert (status, body["reason"]) == (400, "MissingRequiredField")
    status, body = await refused(lambda: client.agents.get(APP, "nobody"))
    assert (status, body["reason"]) == (404, "TaskNotFound")
    status, body = await refused(lambda: client.agents.get("1" * 32, started.agent_id))
    assert (status, body["reason"]) == (403, "InvalidPermission")
    wrong = agora_agent.Agora if kind == "sync" else agora_agent.AsyncAgora
    stranger = wrong(
        area=agora_agent.Area.EU, app_id=APP, app_certificate=CERTIFICATE, customer_id="x", customer_secret="wrong"
    )
    status, body = await refused(lambda: stranger.agents.get(APP, started.agent_id))
    assert (status, body["reason"]) == (401, "InvalidPermission")
    plain = make(kind, "app")  # its generated client sends no credentials
    status, body = await refused(lambda: plain.agents.get(APP, started.agent_id))
    assert (status, body["reason"]) == (401, "InvalidPermission")


@pytest.mark.parametrize("credentials", ["basic", "app"])
async def test_agent_kits_session(kind: str, credentials: str) -> None:
    client = make(kind, credentials)
    agent = (
        agentkit.Agent(client=client, instructions="You are a receptionist.", greeting="Good morning!")
        .with_llm(agentkit.OpenAI(api_key="x", model="m", base_url="https://llm.example.org/v1/chat/completions"))
        .with_tts(agentkit.MicrosoftTTS(key="x", region="eastus", voice_name="en-US-AndrewMultilingualNeural"))
        .with_stt(agentkit.DeepgramSTT(api_key="x", model="nova-3", language="en-US"))
    )
    create = agent.create_session if kind == "sync" else agent.create_async_session
    session: Any = create(channel="kit", agent_uid="1001", remote_uids=["*"], name="kit", idle_timeout=120)
    heard: list[str] = []
    for event in ("started", "stopped", "error"):
        session.on(event, lambda data, event=event: heard.append(event))
    agent_id = await done(session.start())
    assert (bool(agent_id), session.status) == (True, "running")
    await done(session.say("Hello.", priority="APPEND"))

    async def ended(count: int) -> Any:
        async with asyncio.timeout(WAIT):
            while True:
                found = await done(session.get_all_turns(page_size=1))
                if sum(turn.end is not None for turn in found.turns) >= count:
                    return found
                await asyncio.sleep(0.1)

    await ended(1)
    assert (await done(session.think("It rains.", on_listening_action="interrupt"))).agent_id == agent_id
    assert [turn.start.type for turn in (await ended(2)).turns] == ["api_speak", "api_think"]
    await done(session.update({"llm": {"system_messages": [{"role": "system", "content": "Be brief."}]}}))
    await done(session.interrupt())
    history = await done(session.get_history())
    assert [entry.content for entry in history.contents][:2] == ["Hello.", "It rains."]
    assert (await done(session.get_info())).status == "RUNNING"
    assert [turn.turn_id for turn in (await done(session.get_turns(page_index=2, page_size=1))).turns] == [2]
    await done(session.stop())
    assert (session.status, heard) == ("stopped", ["started", "stopped"])
    assert len((await done(session.get_all_turns(page_size=1))).turns) == 2


@pytest.mark.parametrize("credentials", ["basic", "app"])
async def test_stop_agent_needs_no_more_than_the_id(kind: str, credentials: str) -> None:
    operator, client = make(kind, "basic"), make(kind, credentials)
    started = await done(operator.agents.start(APP, name="one", properties=properties("somewhere")))
    await done(client.stop_agent(started.agent_id))
    assert (await done(operator.agents.get(APP, started.agent_id))).status == "STOPPED"
    await done(client.stop_agent(started.agent_id))  # once more does no harm
    await done(client.stop_agent("nobody"))


async def test_the_plain_client_with_a_base_url_of_its_own_and_the_region_cn(
    kind: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain: Any = PlainAgora if kind == "sync" else PlainAsyncAgora
    base = f"{server}/api/conversational-ai-agent"
    basic = "Basic " + base64.b64encode(f"anybody:{KEY}".encode()).decode()
    client = plain(base_url=base, authorization=basic, username="", password="")
    with pytest.raises(ApiError) as caught:
        await done(client.agents.get(APP, "nobody"))
    assert (caught.value.status_code, caught.value.body["reason"]) == (404, "TaskNotFound")
    chosen = agora_agent.Agora if kind == "sync" else agora_agent.AsyncAgora
    monkeypatch.setenv("AGORA_AGENTS_API_BASE_URL", server)
    chinese = chosen(
        area=agora_agent.Area.CN, app_id=APP, app_certificate=CERTIFICATE, customer_id="x", customer_secret=KEY
    )
    assert chinese.get_current_url() == f"{server}/cn/api/conversational-ai-agent"
    assert isinstance(await items(chinese.agents.list(APP)), list)


async def test_the_quickstart_of_the_readme_talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it but the app id and its certificate are ours: the models of its presets are the server's."""
    async with FakeChat("It rains cats and dogs.") as chat, FakeStt() as stt, FakeTts() as tts:
        urls = {"LIPWIRE_LLM_URL": chat.url, "LIPWIRE_STT_URL": stt.url, "LIPWIRE_TTS_URL": tts.url}
        with serving(tmp_path, **urls) as url:
            monkeypatch.setenv("AGORA_AGENTS_API_BASE_URL", url)
            client = make("async", "app")
            options = {"channel": "demo-channel-1", "agent_uid": "123456", "remote_uids": ["*"]}
            session = quickstart(client).create_async_session(**options, idle_timeout=60)
            agent_id = await session.start()
            await session.think("What is the weather like?")
            turns = await spoken(make("async", "basic"), agent_id)
            (turn,) = turns.turns
            assert (turn.start.type, turn.end.type) == ("api_think", "ok")
            names = [part.name for part in turn.metrics.segmented_latency_ms]
            assert names == ["algorithm_processing", "llm_ttft", "llm_ftfs", "tts_ttfb"]
            history = await session.get_history()
            assert [entry.content for entry in history.contents] == [
                "What is the weather like?",
                "It rains cats and dogs.",
            ]
            await session.stop()
        (asked,) = chat.requests
        assert asked["messages"][0] == {"role": "system", "content": "You are a concise voice assistant."}
        assert asked["messages"][-1]["content"] == "What is the weather like?"
