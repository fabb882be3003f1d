"""lipwire.AgoraAgents: against our own server, v1 and v2, and one that fails in every way that it must survive."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any, cast

import pytest
import pytest_asyncio

import lipwire
from lipwire import AgoraAgents, LipwireError, agora_token
from lipwire.agents import errors as e
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.rest.client import GenericAvatar
from lipwire.errors import InvalidArgument
from support.agent_site import APP, CERTIFICATE, KEY, Site, serve
from support.agent_stand_in import StandIn, manager

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async for made in serve(manager(limit=2), agora_app_id=APP, agora_app_certificate=CERTIFICATE):
        yield made


def client(site: Site, version: Any = "v2", **options: Any) -> AgoraAgents:
    options = {"customer_id": "lipwire", "customer_secret": KEY, "backoff": 0.001, **options}
    return AgoraAgents(APP, base_url=site.service.http_url, version=version, trust_env=False, **options)


def config(name: str = "one", channel: str = "room") -> AgentConfig:
    llm = Llm(url="https://llm.example.org/v1", greeting_message="Hi.", model="m")
    return AgentConfig(name=name, channel=channel, uid="7", remote_uids=["8"], llm=llm, instructions="Be kind.")


# ------------------------------------------------------------------------------------------------------- our own server


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_from_join_to_leave(site: Site, version: str) -> None:
    async with client(site, version) as agents:
        joined = await agents.join(config())
        assert (joined.status, joined.name, joined.channel) == ("RUNNING", "one", "room")
        agent = cast(StandIn, site.agents.get(joined.agent_id).agent)
        expected = config()
        expected.agent_id = joined.agent_id
        expected.llm.system_messages = [{"role": "system", "content": "Be kind."}]
        expected.transcripts = "v0.3" if version == "v1" else "v2"
        assert agent.config == expected
        assert await agents.get(joined.agent_id) == joined
        llm: Any = {"v1": {"custom_llm": {"model": "n"}}, "v2": {"llm": {"params": {"model": "n"}}}}[version]
        assert (await agents.update(joined.agent_id, llm)).agent_id == joined.agent_id
        assert agent.config.llm.model == "n"
        with pytest.raises(e.AgentConflict, match="'one' is in use") as conflict:
            await agents.join(config())
        assert (conflict.value.status, conflict.value.reason) == (409, "TaskConflict")
        assert conflict.value.agent_id == (joined.agent_id if version == "v2" else "")
        other = await agents.join(config("two", "elsewhere"))
        page = await agents.list(limit=1)
        assert ([a.agent_id for a in page.agents], page.total) == ([joined.agent_id], 2)
        page = await agents.list(limit=1, cursor=page.cursor)
        assert ([a.agent_id for a in page.agents], page.cursor) == ([other.agent_id], "")
        assert (await agents.list(channel="nowhere", state="RUNNING", from_time=0, to_time=2e9)).agents == []
        with pytest.raises(e.AgentLimit, match="2 agents run"):
            await agents.join(config("three", "third"))
        await agents.leave(joined.agent_id)
        with pytest.raises(e.AgentNotFound, match="has ended"):
            await agents.leave(joined.agent_id)
        ended = await agents.get(joined.agent_id)
        assert (ended.status, ended.message) == ("STOPPED", "left")
        assert ended.stop_ts >= ended.create_ts > 0


async def test_what_only_v2_has(site: Site) -> None:
    async with client(site) as agents:
        joined = await agents.join(config())
        agent = cast(StandIn, site.agents.get(joined.agent_id).agent)
        await agents.speak(joined.agent_id, "Hello.", priority="IGNORE", interruptable=False)
        await agents.interrupt(joined.agent_id)
        assert agent.done == [("speak", "Hello.", "IGNORE", False), ("interrupt",)]
        assert await agents.history(joined.agent_id) == [{"role": "assistant", "content": "Hello."}]
        await agents.think(joined.agent_id, "It rains.", speaking="append", metadata={"k": "v"})
        how = {"listening": "interrupt", "thinking": "interrupt", "speaking": "append", "interruptable": True}
        assert agent.done[-1] == ("think", "It rains.", {**how, "metadata": {"k": "v"}})
        for n in range(60):
            await agents.speak(joined.agent_id, str(n))
        assert [turn["turn_id"] for turn in await agents.turns(joined.agent_id)] == [*range(1, 63)]
        with pytest.raises(e.InvalidAgentRequest, match="on_thinking_action"):
            await agents.think(joined.agent_id, "x", thinking="inject")  # type: ignore[arg-type]
        with pytest.raises(e.InvalidAgentRequest, match="512 bytes"):
            await agents.speak(joined.agent_id, "x" * 513)
    async with client(site, "v1") as agents:
        calls = [agents.interrupt("x"), agents.speak("x", "y"), agents.history("x"), agents.turns("x")]
        for call in (*calls, agents.think("x", "y")):
            with pytest.raises(e.InvalidAgentRequest, match="v2 has"):
                await call


async def test_join_with_anothers_face_and_a_vendors_words(site: Site) -> None:
    face = GenericAvatar(api_base_url="https://a.example.org", api_key="k", avatar_id="kit", quality="low")
    async with client(site) as agents:
        more = {"tts": {"vendor": "microsoft", "params": {"voice_name": "en-US-JaneNeural"}}}
        with pytest.raises(e.InvalidAgentRequest, match="other avatar providers join Agora's channels"):
            await agents.join(config(), properties=more, avatar=face)  # a room of ours is no place for it
        joined = await agents.join(config(), properties=more)
        agent = cast(StandIn, site.agents.get(joined.agent_id).agent)
        assert (agent.config.avatar, agent.config.voice) == (None, "en-US-JaneNeural")
        await agents.leave(joined.agent_id)
        body: Any = {"name": "raw", "properties": {"channel": "c", "agent_rtc_uid": "1", "remote_rtc_uids": ["*"]}}
        with pytest.raises(e.InvalidAgentRequest, match=r"llm\.url: this server has no LLM of its own"):
            await agents.join(body)
        await agents.join(body, properties={"llm": {"url": "http://a"}})
        assert body["properties"].keys() == {"channel", "agent_rtc_uid", "remote_rtc_uids"}


async def test_credentials(site: Site) -> None:
    async with client(site, customer_secret="wrong") as agents:
        with pytest.raises(PermissionError) as caught:
            await agents.list()
        assert isinstance(caught.value, LipwireError)
        assert isinstance(caught.value, e.AgentForbidden)
        assert caught.value.reason == "InvalidPermission"
    async with client(site, token=agora_token(APP, CERTIFICATE, "room", 7)) as agents:
        joined = await agents.join(config())
        assert joined.status == "RUNNING"
        with pytest.raises(e.AgentForbidden):
            await agents.join(config("two", "elsewhere"))


async def test_arguments() -> None:
    assert lipwire.AgoraAgents is AgoraAgents
    for bad in (
        {"app_id": "", "customer_secret": "x"},
        {"app_id": "a"},
        {"app_id": "a", "token": "x", "version": "v3"},
        {"app_id": "a", "token": "x", "attempts": 0},
    ):
        with pytest.raises(InvalidArgument):
            AgoraAgents(**bad)


# ----------------------------------------------------------------------------------------------------- one that fails


class Faulty:
    """A server that answers as its script says, one entry a request: a status, a (status, headers), or what cuts the
    connection off: None before an answer, b"..." in the middle of one."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def __aenter__(self) -> Faulty:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line.partition(":")[2] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        self.bodies.append(await reader.readexactly(int(length[0]) if length else 0))
        self.heads.append(head)
        step = self.script.pop(0)
        if isinstance(step, bytes):
            writer.write(step)
        elif step is not None:
            status, headers = step if isinstance(step, tuple) else (step, {})
            body = json.dumps({"agent_id": "a1", "status": "RUNNING"} if status == 200 else ERROR).encode()
            lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    def client(self, **options: Any) -> AgoraAgents:
        return AgoraAgents("app", "id", "secret", base_url=self.url, trust_env=False, backoff=0.001, **options)


ERROR = {"detail": "why", "reason": "Because"}
CUT = b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{"


@pytest.mark.parametrize("first", [429, 502, 503, 504, None, CUT])
async def test_calls_that_may_be_repeated_are(first: Any) -> None:
    async with Faulty(first, first, 200) as server, server.client() as agents:
        assert (await agents.get("a1")).agent_id == "a1"
        assert len(server.heads) == 3
    for call in ("list", "history", "turns", "leave", "update"):
        async with Faulty(first, 200) as server, server.client() as agents:
            arguments: Any = {"list": (), "update": ("a1", {})}.get(call, ("a1",))
            await getattr(agents, call)(*arguments)
            assert len(server.heads) == 2
            assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize(
    ("first", "kind"),
    [(502, e.GatewayFault), (504, TimeoutError), (None, ConnectionError), (CUT, e.AgentUnreachable)],
)
async def test_what_may_have_happened_is_not_done_twice(first: Any, kind: type[Exception]) -> None:
    async with Faulty(*[first] * 3) as server, server.client() as agents:
        for call in (agents.join(config()), agents.speak("a1", "x"), agents.interrupt("a1")):
            with pytest.raises(kind):
                await call
        assert len(server.heads) == 3


@pytest.mark.parametrize("first", [429, 503])
async def test_what_was_refused_is_tried_again(first: int) -> None:
    async with Faulty(*[first, 200] * 3) as server, server.client() as agents:
        assert (await agents.join(config())).status == "RUNNING"
        await agents.speak("a1", "x")
        await agents.interrupt("a1")
        assert len(server.heads) == 6


async def test_it_gives_up_in_the_end() -> None:
    async with Faulty(*[503] * 3) as server, server.client(attempts=3) as agents:
        with pytest.raises(e.AgentStartFailed) as caught:
            await agents.join(config())
        error = caught.value
        assert (error.status, error.detail, error.reason, str(error)) == (503, "why", "Because", "why")
        assert any("/join answered 503" in note for note in error.__notes__)
        assert len(server.heads) == 3
    with pytest.raises(ConnectionError) as gone:  # nobody listens there any more
        await server.client(attempts=2).join(config())
    assert (cast(e.AgentUnreachable, gone.value).status, cast(e.AgentUnreachable, gone.value).reason) == (
        0,
        "Unreachable",
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
async def test_what_is_not_tried_again(status: int) -> None:
    async with Faulty(status) as server, server.client() as agents:
        with pytest.raises(e.AgentError) as caught:
            await agents.get("a1")
        assert (caught.value.status, caught.value.reason) == (status, "Because")
        assert isinstance(caught.value, PermissionError) == (status in (401, 403))
        assert len(server.heads) == 1


async def test_leaving_twice_because_of_a_lost_answer() -> None:
    """The agent has gone with the first request; only its answer was lost."""
    async with Faulty(None, 404) as server, server.client() as agents:
        await agents.leave("a1")
        assert len(server.heads) == 2
    for script in ([404], [503, 404]):
        async with Faulty(*script) as server, server.client() as agents:
            with pytest.raises(e.AgentNotFound):
                await agents.leave("a1")


async def test_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr("lipwire.agents.rest.client.asyncio.sleep", sleep)
    date = formatdate(0, usegmt=True)  # long ago: at once
    script = [(429, {"retry-after": "7"}), (503, {"retry-after": date}), (503, {"retry-after": "soon"}), 200]
    async with Faulty(*script) as server, server.client() as agents:
        await agents.get("a1")
    assert pauses[:2] == [7, 0]
    assert 0 < pauses[2] <= 0.004
    async with Faulty((429, {"retry-after": "31"})) as server, server.client() as agents:
        with pytest.raises(e.AgentRateLimit) as caught:
            await agents.get("a1")
    assert caught.value.retry_after == 31
    assert len(pauses) == 3


async def test_answers_that_are_none() -> None:
    for body in (b"<html>", b"[1]", b"\xff"):
        answer = b"HTTP/1.1 200 X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
        async with Faulty(answer) as server, server.client(attempts=1) as agents:
            with pytest.raises(e.GatewayFault, match="no JSON object"):
                await agents.get("a1")
        bad = answer.replace(b"200", b"404")
        async with Faulty(bad) as server, server.client() as agents:
            with pytest.raises(e.AgentNotFound):
                await agents.get("a1")
    empty = b"HTTP/1.1 200 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with Faulty(empty, empty) as server, server.client() as agents:
        await agents.leave("a1")  # Agora's answer to leave
        assert (await agents.list()).agents == []


async def test_what_is_sent() -> None:
    async with Faulty(200, 200) as server, server.client() as agents:
        face = GenericAvatar(api_base_url="https://a.example.org", api_key="k")
        await agents.join(config(), avatar=face)
        await agents.get("a/b c")
        head, body = server.heads[0], json.loads(server.bodies[0])
        assert head.startswith("POST /api/conversational-ai-agent/v2/projects/app/join HTTP/1.1")
        assert f"Basic {base64.b64encode(b'id:secret').decode()}" in head
        assert "content-type: application/json" in head.lower()
        avatar = body["properties"]["avatar"]
        assert (avatar["vendor"], avatar["params"]["api_base_url"]) == ("generic", "https://a.example.org")
        assert body["properties"]["llm"]["params"] == {"model": "m"}
        assert body["properties"]["agent_rtc_uid"] == "7"
        assert server.heads[1].startswith("GET /api/conversational-ai-agent/v2/projects/app/agents/a%2Fb%20c HTTP/1.1")
    async with Faulty(200) as server:
        options = {"token": "007x", "base_url": f"{server.url}/cn/", "version": "v1", "trust_env": False}
        async with AgoraAgents("app", **cast(Any, options)) as agents:
            await agents.list()
        assert server.heads[0].startswith("GET /cn/api/conversational-ai-agent/v1/projects/app/agents HTTP/1.1")
        assert "authorization: agora token=007x" in server.heads[0].lower()
