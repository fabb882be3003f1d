"""Agents as a service runs them, nothing replaced: REST in, a real agent in a room, a brain that needs no account."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lipwire import AgoraAgents, agora_token
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.errors import AgentConflict, InvalidAgentRequest
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.protocol.tokens import verify_token
from support.agora_double.harness import APP, CERT, Double
from support.fakes import FakeChat, FakeStt, FakeTts
from support.recordings import Files, wav

pytestmark = pytest.mark.asyncio

KEY = "the api key"
WAIT = 60


def settings(**more: Any) -> Config:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    return Config(api_key=KEY, host="127.0.0.1", ice_host="127.0.0.1", end_of_turn="silence", **ports, **more)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(settings(agent_brain="echo")) as made:
        yield made
        rooms = made.rooms
    assert len(rooms) == 0
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("lipwire-agent")] == []


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_join_to_leave(service: Service, version: Any, say: object) -> None:
    options = {"base_url": service.http_url, "version": version, "trust_env": False}
    async with AgoraAgents("app", "anybody", KEY, **options) as agents:
        config = AgentConfig(
            name="one",
            channel="lobby",
            uid="7",
            avatar="kit",
            llm=Llm(url="https://llm.example.org/v1/chat/completions"),
        )
        joined = await agents.join(config)
        assert [member.user for member in service.rooms.list()["lobby"]] == ["7"]
        place = f"/api/conversational-ai-agent/{version}/projects/app/agents/{joined.agent_id}"
        async with httpx.AsyncClient(base_url=service.http_url, auth=("anybody", KEY), trust_env=False) as client:
            reply = (await client.get(place)).json()
        used = reply["services"]
        assert used["turns"] == {"name": "silence"} and used["voice"]["name"] and "ears" not in used  # it echoes
        with pytest.raises(AgentConflict):
            await agents.join(config)
        if version == "v2":
            await agents.speak(joined.agent_id, "Hello.")
            record = service.agents.get(joined.agent_id)
            await until(record.history)
            (said,) = await agents.history(joined.agent_id)
            assert (said["role"], said["content"]) == ("assistant", "Hello.")
            (turn,) = await agents.turns(joined.agent_id)
            assert (turn["start"]["type"], turn["end"]["type"]) == ("api_speak", "ok")
            await agents.interrupt(joined.agent_id)
            with pytest.raises(InvalidAgentRequest, match="voice cannot change while an agent of the brain echo runs"):
                await agents.update(joined.agent_id, {"turn_detection": {"threshold": 0.9}, "tts": {"voice_id": "x"}})
            await agents.update(joined.agent_id, {"turn_detection": {"threshold": 0.5}})
        else:
            await agents.update(joined.agent_id, {"vad": {"threshold": 0.5}, "custom_llm": {"prompt": "Be kind."}})
        assert service.agents.get(joined.agent_id).config.turn_detection.threshold == 0.5
        await agents.leave(joined.agent_id)
        assert (await agents.get(joined.agent_id)).status == "STOPPED"
        assert service.rooms.list() == {}


async def test_idle_agents_leave(service: Service) -> None:
    record = await service.agents.start(AgentConfig(name="one", channel="lobby", brain="echo", idle_timeout=0.2))
    await until(lambda: not record.active)
    assert (record.status, record.reason) == ("STOPPED", "idle_timeout")


async def test_a_user_id_that_somebody_has(service: Service) -> None:
    from lipwire.stream import StreamSpec

    somebody = service.rooms.channel("lobby", "7")
    await somebody.open(StreamSpec(session_id="x", width=16, height=16, fps=25))  # type: ignore[arg-type]
    async with httpx.AsyncClient(base_url=service.http_url, headers={"x-api-key": KEY}, timeout=WAIT) as client:
        reply = await client.post("/start_agent", json={"channel_name": "lobby", "uid": 7})
        assert (reply.status_code, "'7'" in reply.json()["error"]) == (503, True)
    await somebody.close()
    assert [record.status for record in service.agents] == ["FAILED"]


async def test_one_agent_a_channel(service: Service, say: object) -> None:
    async with httpx.AsyncClient(base_url=service.http_url, headers={"x-api-key": KEY}, timeout=WAIT) as client:

        async def post(path: str, **body: Any) -> tuple[int, Any]:
            reply = await client.post(path, json={"channel_name": "lobby"} | body)
            return reply.status_code, reply.json()

        assert await post("/start_agent", uid=7) == (200, {"status": "Agent started!"})
        commands: dict[str, dict[str, Any]] = {
            "update_instruction": {"new_instruction": "Be brief."},
            "update_turn_detection": {"new_turn_detection": False},
            "send_system_text": {"input_text": "It is late."},
            "send_user_text": {"input_text": "Hello."},
            "create_response": {"new_instruction": "Say goodbye."},
            "commit_audio_buffer": {},
        }
        for command, more in commands.items():
            code, body = await post("/control_agent", command=command, **more)
            assert (code, body) == (200, {"status": f"Command {command} sent to agent."})
        record = service.agents.in_channel("lobby")
        assert record is not None
        assert record.config.instructions == "Be brief."
        assert record.config.turn_detection.enabled is False
        assert [entry["role"] for entry in record.history()][:2] == ["system", "user"]
        assert (await post("/stop_agent"))[0] == 200
        assert service.rooms.list() == {}


async def test_the_page(service: Service) -> None:
    headers = {"x-api-key": KEY}
    async with httpx.AsyncClient(base_url=service.viewer_url, timeout=WAIT, headers=headers) as client:
        offered = (await client.get("api/config")).json()
        assert (offered["brains"], offered["agents"], offered["agora"]) == (["echo"], True, None)
        assert set(offered["avatars"]) >= {"aria", "kit", "ohm"}
        assert "hibari:heart" in offered["voices"] and not any("Neural" in name for name in offered["voices"])
        assert (offered["face_voices"]["aria"], offered["face_voices"]["kit"]) == ("hibari:heart", "hibari:heart+child")
        assert (await client.get("agent")).status_code == 200
        started = await client.post("api/agents", json={"channel": "lobby", "avatar": "kit", "prompt": "Be kind."})
        assert started.status_code == 200, started.text
        record = service.agents.get(started.json()["agent_id"])
        assert (record.config.avatar, record.config.instructions) == ("kit", "Be kind.")
        assert record.config.voice == "hibari:heart+child"
        again = await client.post("api/agents", json={"channel": "lobby"})
        assert again.status_code == 409
        agora = await client.post("api/agents", json={"channel": "x", "transport": "agora"})
        assert (agora.status_code, "lipwire doctor" in agora.json()["message"]) == (400, True)
        wrong = await client.post("api/agents", json={"channel": "x", "brain": "realtime"})
        assert (wrong.status_code, "brain must be one of echo" in wrong.json()["message"]) == (400, True)
        path = await client.post("api/agents", json={"channel": "x", "avatar": "/etc"})
        assert service.agents.get(path.json()["agent_id"]).config.avatar == service.config.avatar  # never a path
        assert (await client.post("api/agents/stop", json={"channel": "lobby"})).json() == {"stopped": True}
        assert (await client.post("api/agents/stop", json={"channel": "lobby"})).json() == {"stopped": False}
        assert (await client.get("token")).status_code == 404  # no Agora here


async def test_in_an_agora_channel(double: Double, say: object) -> None:
    """The same in a channel of Agora's, on its SDK and the double of the native library: the server makes the agent's
    token, and the caller's opens that channel."""
    config = Config(
        api_key=KEY,
        host="127.0.0.1",
        http_port=0,
        ws_port=0,
        viewer=False,
        agent_brain="echo",
        end_of_turn="silence",
        agora_app_id=APP,
        agora_app_certificate=CERT,
    )
    async with Service(config) as service:
        assert service.agent_setup.in_agora
        token = agora_token(APP, CERT, "room", 7)
        options: dict[str, Any] = {"base_url": service.http_url, "trust_env": False, "timeout": WAIT}
        async with AgoraAgents(APP, token=token, **options) as agents:
            wanted = AgentConfig(
                name="one",
                channel="room",
                uid="7",
                avatar="kit",
                llm=Llm(url="https://llm.example.org/v1/chat/completions"),
            )
            joined = await agents.join(wanted)
            assert joined.status == "RUNNING"
            await agents.speak(joined.agent_id, "Hello.")
            record = service.agents.get(joined.agent_id)
            await until(record.history)
            assert [entry["content"] for entry in await agents.history(joined.agent_id)] == ["Hello."]
            await agents.leave(joined.agent_id)
    (connected,) = double.calls("rtc_conn_connect")
    _, used, channel, uid = connected["args"]
    assert (channel, uid) == ("room", "7")
    assert verify_token(used, CERT, now=time.time(), app_id=APP).channel == "room"
    assert len(double.calls("rtc_conn_disconnect")) == 1


async def test_with_somebody_elses_face_in_an_agora_channel(double: Double, say: object) -> None:
    """As a join of v2 asks for it. The provider is another server of ours, which joins the channel by itself: what the
    agent says is heard there, and nothing in the agent's own track."""
    other = settings(agora_app_id=APP)
    config = settings(
        agent_brain="echo", agora_app_id=APP, agora_app_certificate=CERT, allowed_outward=["127.0.0.1"], viewer=False
    )
    async with Service(other) as provider, Service(config) as service:
        face = {"api_base_url": provider.http_url, "api_key": KEY, "avatar_id": "aria", "agora_uid": "9"}
        properties: dict[str, Any] = {
            "channel": "room",
            "token": "",
            "agent_rtc_uid": "7",
            "remote_rtc_uids": ["*"],
            "llm": {"url": "https://llm.example.org/v1/chat/completions"},
            "avatar": {
                "enable": True,
                "vendor": "generic",
                "params": face | {"agora_appid": APP, "agora_channel": "room", "agora_token": None, "quality": "low"},
            },
        }
        place = f"/api/conversational-ai-agent/v2/projects/{APP}"
        async with httpx.AsyncClient(base_url=service.http_url, auth=("x", KEY), timeout=WAIT) as client:
            joined = await client.post(f"{place}/join", json={"name": "one", "properties": properties})
            assert joined.status_code == 200, joined.text
            here = f"{place}/agents/{joined.json()['agent_id']}"
            assert len(provider.watched) == 1
            said = await client.post(f"{here}/speak", json={"text": "Hello, this is me."})
            assert said.status_code == 200
            record = service.agents.get(joined.json()["agent_id"])
            await until(record.history)
            assert (await client.post(f"{here}/leave")).status_code == 200
            await until(lambda: not provider.watched)
    tokens = {call["args"][3]: call["args"][1] for call in double.calls("rtc_conn_connect")}
    assert set(tokens) == {"7", "9"} and verify_token(tokens["9"], CERT, now=time.time(), app_id=APP).account == "9"
    sent = double.calls("audio_pcm_data_sender_send")
    silent = {zlib.adler32(bytes(size)) for size in {call["size"] for call in sent}}
    loud = {uid: sum(call["hash"] not in silent for call in sent if call.get("uid") == uid) for uid in tokens}
    assert loud["9"] > 20 and loud["7"] == 0, loud


async def test_what_an_agent_says_by_itself() -> None:
    """As a join of v2 asks for it: a recording greets, a phrase fills in for a slow model, a silence is broken, and
    leaving waits for the last word."""
    from lipwire.stream import StreamSpec

    async with (
        Files(wav()) as files,
        FakeChat("It is (whispers) late.", first_token=2.5) as chat,
        FakeStt() as stt,
        FakeTts() as tts,
        Service(
            settings(agent_brain="cascade", stt_url=stt.url, tts_url=tts.url, allowed_outward=["127.0.0.1"])
        ) as service,
    ):
        properties = {
            "channel": "lobby",
            "token": "",
            "agent_rtc_uid": "7",
            "remote_rtc_uids": ["*"],
            "llm": {
                "url": chat.url,
                "greeting_message": "Welcome!",
                "greeting_audio_url": files.url,
                "greeting_configs": {"audio_download_timeout_ms": 5000},
            },
            "tts": {"vendor": "openai", "params": {"voice": "alloy"}, "skip_patterns": [3]},
            "filler_words": {
                "enable": True,
                "trigger": {"fixed_time_config": {"response_wait_ms": 300}},
                "content": {"mode": "static", "static_config": {"phrases": ["Let me see."]}},
            },
            "parameters": {
                "silence_config": {"timeout_ms": 500, "action": "speak", "content": "Are you there?"},
                "farewell_config": {"graceful_enabled": True, "graceful_timeout_seconds": 20},
            },
        }
        place = "/api/conversational-ai-agent/v2/projects/app"
        async with httpx.AsyncClient(base_url=service.http_url, auth=("x", KEY), timeout=WAIT) as client:

            async def post(path: str, **body: Any) -> Any:
                reply = await client.post(place + path, json=body)
                assert reply.status_code == 200, reply.text
                return reply.json()

            joined = await post("/join", name="one", properties=properties)
            agent = f"/agents/{joined['agent_id']}"
            record = service.agents.get(joined["agent_id"])
            user = service.rooms.channel("lobby", "8")
            await user.open(StreamSpec(session_id="x", width=16, height=16, fps=25))  # type: ignore[arg-type]

            def said() -> list[str]:
                return [one["content"] for one in record.history()]

            await until(lambda: len(said()) == 2)
            assert said() == ["Welcome!", "Are you there?"] and len(files.received) == 1
            await post(f"{agent}/think", text="How late is it?")
            await post(f"{agent}/think", text="And here?", on_thinking_action="append")
            await until(lambda: said()[-2:] == ["How late is it?", "Let me see."])
            left = await post(f"{agent}/leave")
            assert left["status"] == "STOPPING"
            await until(lambda: not record.active)
            assert said()[2:] == ["How late is it?", "Let me see.", "It is late. (whispers)"]
            assert tts.texts == ["Are you there?", "Let me see.", "It is late."]
            turns = (await client.get(f"{place}{agent}/turns")).json()["turns"]
            assert [turn["start"]["type"] for turn in turns] == ["greeting", "silence_timeout", "api_think"]
            await user.close()
