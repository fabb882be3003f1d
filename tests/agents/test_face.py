"""An agent with somebody else's face: a real provider, `lipwire serve` in this process, is at the other end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from lipwire.agents import face as module
from lipwire.agents.agent import Agent
from lipwire.agents.brains import base as b
from lipwire.agents.config import AgentConfig
from lipwire.agents.events import StateChanged
from lipwire.agents.face import Face, start_request
from lipwire.agents.options import AvatarProvider
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel.base import Heard, UserJoined
from lipwire.errors import InvalidArgument
from lipwire.outward import Outward
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient
from lipwire.provider.sessions import Provider
from lipwire.session.session import Session
from lipwire.stream import StreamSpec
from support.agent_puppet import MemoryChannel, MemoryRoom, Puppet, tone
from support.ports import free_ports

KEY = "a-key-for-faces"
RATE = 48_000


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Service]:
    fields: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1", "api_key": KEY}
    async with Service(Config(**fields | {"ice_host": "127.0.0.1"} | more)) as service:
        yield service


def avatar(url: str, **more: Any) -> AvatarProvider:
    fields: dict[str, Any] = {"api_key": KEY, "avatar_id": "aria", "agora_uid": "99"} | more
    return AvatarProvider(api_base_url=url, params={"width": 64, "height": 36, "feeling": "blue"}, **fields)


class World:
    """An agent in a channel in memory, with a user; and what came of it."""

    def __init__(self, provider: AvatarProvider, outward: Outward | None) -> None:
        self.room = MemoryRoom()
        self.user = MemoryChannel(self.room, "7")
        self.channel = MemoryChannel(self.room, "agent")
        self.brain = Puppet()
        self.events: list[Any] = []
        start = start_request(provider, "app", "c", token="", string_uid=False)
        self.face = Face(provider, start, outward)
        config = AgentConfig(name="a", channel="c", uid="agent", provider=provider)
        self.agent = Agent(config, self.channel, self.brain, on_event=self.events.append, face=self.face)

    def failures(self) -> list[b.Failed]:
        return [event for event in self.events if isinstance(event, b.Failed)]

    @property
    def own_voice(self) -> bool:
        """Whether anything is heard in the agent's own track."""
        return bool(np.abs(self.channel.pcm.astype(int)).max(initial=0) > 500)

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        for _ in range(round(seconds * 100)):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it did not come to that: {self.agent.stats()} {self.failures()}")

    async def said(self, turns: int = 1) -> None:
        await self.until(lambda: len([turn for turn in self.agent.turns() if turn["end_reason"]]) >= turns)


@asynccontextmanager
async def world(url: str, *, outward: Outward | None = None, **more: Any) -> AsyncIterator[World]:
    made = World(avatar(url, **more), outward)
    await made.user.open(StreamSpec(session_id="u", width=0, height=0, fps=1))  # type: ignore[arg-type]
    await made.agent.start()
    try:
        yield made
    finally:
        await made.agent.stop()


def session(service: Service) -> Session:
    """The one that the provider has."""
    (watched,) = service.watched.values()
    return watched.session


async def test_speech_arrives_is_heard_when_it_is_played_and_the_end_stops_it() -> None:
    async with serving() as service:
        async with world(service.http_url, outward=Outward(["127.0.0.1"])) as w:
            assert w.face.up and not w.failures()
            far, heard = session(service), list[float]()
            spoken: list[Any] = []
            far.on_spoken, before = spoken.append, far.on_spoken
            w.brain.reply("r1", tone(1.5), "one two three four")
            await w.until(lambda: w.agent.state == "speaking")
            while w.agent.state == "speaking":
                name, ms = w.agent._playout.heard
                if name is not None:
                    heard.append(ms)
                await asyncio.sleep(0.02)
            await w.said()
            assert heard == sorted(heard) and heard[-1] <= 1500.0
            assert w.agent.stats()["face"]["reports_playback"]
            (turn,) = w.agent.turns()
            assert (turn["end_reason"], turn["agent_text"]) == ("finished", "one two three four")
            figures = far.stats()
            assert figures["utterances"] == 1 and not figures["talking"], "over when the provider has played it"
            (utterance,) = spoken
            begin, end = utterance.span
            assert (end - begin) / RATE == pytest.approx(1.5, abs=0.05)
            assert not w.own_voice and w.channel.clock > RATE
            far.on_spoken = before
            assert set(service.watched) and w.face.sessions == 1
        assert not service.watched and not w.failures()


async def test_an_interrupt_arrives_and_only_what_was_played_was_said() -> None:
    async with serving() as service, world(service.http_url) as w:
        far = session(service)
        w.brain.reply("r1", tone(20.0), " ".join(f"word{n}" for n in range(40)))
        await w.until(lambda: far.stats()["talking"] and w.agent.state == "speaking")
        await asyncio.sleep(1.0)
        played = far.heard[1]
        assert w.agent.interrupt()
        await w.until(lambda: not far.stats()["talking"], 2.0)
        assert far.stats()["interrupts"] == 1
        (call,) = [call for call in w.brain.calls if call[0] == "interrupted"]
        assert call[2] == pytest.approx(played, abs=150)
        w.brain.reply("r2", tone(0.4), "again")
        await w.said(2)
        assert far.stats()["utterances"] == 2 and not w.own_voice


async def test_it_is_held_and_goes_on() -> None:
    async with serving() as service, world(service.http_url) as w:
        far = session(service)
        w.brain.reply("r1", tone(2.0), "a b c d")
        await w.until(lambda: far.stats()["talking"])
        await asyncio.sleep(0.5)
        w.agent._playout.hold()
        await w.until(lambda: not far.stats()["talking"], 2.0)
        await asyncio.sleep(0.2)
        w.agent._playout.release()
        await w.said()
        assert w.agent.turns()[0]["end_reason"] == "finished"
        assert far.stats()["utterances"] == 2 and far.stats()["interrupts"] == 1 and not w.own_voice


async def test_a_provider_that_dies_leaves_the_agent_its_own_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", (0.05, 0.05))
    async with serving() as service, world(service.http_url) as w:
        w.brain.reply("r1", tone(4.0), "a long one that goes on")
        await w.until(lambda: session(service).stats()["talking"])
        assert not w.own_voice
        await service.close()
        await w.until(w.failures)
        (failed,) = w.failures()
        assert (failed.code, failed.minor, failed.fatal) == ("AVATAR_ERROR", True, False)
        assert "the agent goes on with its own voice" in failed.message and KEY not in failed.message
        await w.said()
        assert w.own_voice and w.agent.turns()[0]["end_reason"] == "finished"
        await w.until(lambda: w.face._client is None, 20)
        assert not w.face.up and len(w.failures()) == 1


async def test_a_connection_that_breaks_is_made_again_with_the_same_session() -> None:
    async with serving() as service, world(service.http_url) as w:
        w.brain.reply("r1", tone(1.5), "first")
        await w.until(lambda: session(service).stats()["talking"])
        client = w.face._client
        assert client is not None and client._ws is not None and client.session is not None
        key = client.session.session_id
        client._ws.transport.abort()
        await w.until(lambda: w.face.connections == 2)
        await w.said()
        assert w.own_voice, "the rest of what it broke off in"
        assert len(w.failures()) == 1 and list(service.watched) == [key] and w.face.sessions == 1
        w.channel.blocks.clear()
        before = session(service).stats()["utterances"]
        w.brain.reply("r2", tone(0.5), "second")
        await w.said(2)
        assert session(service).stats()["utterances"] == before + 1 and not w.own_voice


async def test_where_the_session_is_over_another_one_begins() -> None:
    async with serving() as service, world(service.http_url) as w:
        (key,) = service.watched
        await service.provider.stop(m.StopRequest(session_id=key), owner=service.provider.check_api_key(KEY))
        await w.until(lambda: w.face.sessions == 2 and w.face.up)
        assert list(service.watched) != [key]
        w.brain.reply("r1", tone(0.3), "here")
        await w.said()
        assert session(service).stats()["utterances"] == 1 and not w.own_voice


@pytest.mark.parametrize("fault", ["key", "avatar", "gone", "inner"])
async def test_without_a_face_it_speaks_with_its_own_voice(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY", (0.01,))
    caplog.set_level(logging.DEBUG, "lipwire")
    async with serving() as service:
        url = service.http_url if fault != "gone" else f"http://127.0.0.1:{free_ports(1)[0]}"
        more = {"key": {"api_key": "not-the-key"}, "avatar": {"avatar_id": "x" * 300}}.get(fault, {})
        async with world(url, outward=Outward([]) if fault == "inner" else None, **more) as w:
            (failed,) = w.failures()
            words = {"key": "answered 401", "avatar": "answered 400", "gone": "failed", "inner": "no public address"}
            assert failed.minor and words[fault] in failed.message
            w.brain.reply("r1", tone(0.4), "alone")
            await w.said()
            assert w.own_voice and w.agent.turns()[0]["end_reason"] == "finished"
    assert KEY not in caplog.text and "not-the-key" not in caplog.text


async def test_a_provider_that_reports_nothing_is_followed_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Face, "_event", lambda self, event: None)
    async with serving() as service, world(service.http_url) as w:
        w.brain.reply("r1", tone(2.0), "one two three four")
        await w.said()
        assert w.face._reports is False and w.agent.turns()[0]["end_reason"] == "finished"
        w.brain.reply("r2", tone(5.0), "five six seven eight")
        await w.until(lambda: w.agent._playout.heard[1] > 300)
        assert w.agent.interrupt()
        await w.until(lambda: session(service).stats()["interrupts"] == 1)
        assert not w.own_voice and not w.failures()


async def test_one_that_takes_and_plays_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT", RATE // 5)
    monkeypatch.setattr(module, "MOST_STALLS", 0)
    async with serving() as service, world(service.http_url) as w:
        w.brain.reply("r1", tone(0.3), "heard")
        await w.said()
        monkeypatch.setattr(Face, "_event", lambda self, event: None)
        w.brain.reply("r2", tone(1.5), "not heard")
        assert w.face._client is not None
        w.face._client.on_event = None
        await w.until(w.failures)
        assert "plays nothing of what it is sent" in w.failures()[0].message
        await w.said(2)
        assert w.own_voice
        await w.until(lambda: not service.watched)


async def test_one_that_takes_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(client: ProviderClient, message: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "WAITING", 20)
    monkeypatch.setattr(module, "MOST_STALLS", 0)
    async with serving() as service, world(service.http_url) as w:
        monkeypatch.setattr(ProviderClient, "send", stuck)
        w.brain.reply("r1", tone(1.5), "into a full pipe")
        await w.until(w.failures)
        assert "takes nothing any more" in w.failures()[0].message
        await w.said()
        assert w.own_voice and w.agent.turns()[0]["end_reason"] == "finished"


async def test_one_that_stalls_now_and_then_is_taken_back_and_one_that_always_does_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Face, "_event", lambda self, event: None)  # it does not report
    async with serving() as service, world(service.http_url) as w:
        monkeypatch.setattr(module, "STABLE", 0.0)
        for number in range(1, 5):
            await w.until(lambda: w.face.up)
            w.face._break("takes nothing any more")
            await w.until(lambda count=number: len(w.failures()) == count)  # type: ignore[misc]
        await w.until(lambda: w.face.up)
        monkeypatch.setattr(module, "STABLE", 1000.0)
        w.face._break("takes nothing any more")
        await w.until(lambda: len(w.failures()) == 5)
        await w.until(lambda: w.face._task is not None and w.face._task.done())
        assert not w.face.up


async def test_what_a_provider_says_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    said = "of db-7.corp: token=s3cret"

    async def odd(ws: ServerConnection) -> None:
        await ws.recv()
        for command in ("debug", said, 5):
            await ws.send(json.dumps({"command": command, "token": "s3cret"}))
        await ws.send(json.dumps({"command": "error", "code": said, "message": said}))
        await ws.close(1008, said)

    caplog.set_level(logging.INFO)
    async with serving() as service, serve(odd, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        monkey = pytest.MonkeyPatch()
        start = Provider.start

        async def elsewhere(provider: Provider, *args: Any) -> m.StartReply:
            reply = await start(provider, *args)
            return msgspec.structs.replace(reply, websocket_address=f"ws://127.0.0.1:{port}/")

        monkey.setattr(Provider, "start", elsewhere)
        try:
            async with world(service.http_url) as w:
                await w.until(w.failures)
        finally:
            monkey.undo()
        told = " ".join(failed.message for failed in w.failures())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lipwire")]
    assert "closed the connection (1008)" in told and "s3cret" not in told and "corp" not in told
    assert "unknown event 'debug'" in lines and "unknown event" in lines
    assert not any("s3cret" in line or "corp" in line for line in lines)


async def test_one_that_is_not_ready_in_time_keeps_no_agent_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    let = asyncio.Event()
    start = Provider.start

    async def slow(provider: Provider, *args: Any) -> m.StartReply:
        await let.wait()
        return await start(provider, *args)

    monkeypatch.setattr(module, "OPEN", 0.3)
    monkeypatch.setattr(Provider, "start", slow)
    async with serving() as service, world(service.http_url) as w:
        (failed,) = w.failures()
        assert "is not ready after 0.3 s" in failed.message and not w.face.up
        w.brain.reply("r1", tone(0.3), "alone")
        await w.said()
        assert w.own_voice
        let.set()
        await w.until(lambda: w.face.up)
        w.channel.blocks.clear()
        w.brain.reply("r2", tone(0.3), "with a face")
        await w.said(2)
        assert not w.own_voice and session(service).stats()["utterances"] == 1


async def test_the_face_is_no_user() -> None:
    async with serving() as service, world(service.http_url) as w:
        assert w.channel.on_event is not None
        w.channel.on_event(UserJoined("99"))
        w.channel.on_event(Heard("99", bytes(320)))
        assert w.agent.users == {"7"} and w.brain.frames == []
        assert [event.state for event in w.events if isinstance(event, StateChanged)] == ["listening"]


def test_a_gap_holds_what_is_heard_and_does_not_take_it_back() -> None:
    provider = avatar("http://a")
    face = Face(provider, start_request(provider, "app", "c", token="", string_uid=False))
    face.up, block = True, tone(0.01)

    def run(seconds: float) -> float:
        for _ in range(round(seconds * 100)):
            face.speak(block, face._clock, "u")
        return face.heard(("u", 0.0))[1]

    assert run(0.2) == 0.0, "it is not known yet whether the provider reports"
    face._event(m.PlaybackStarted("u"))
    assert run(0.3) == pytest.approx(300)
    face._event(m.Underrun(200.0, 100.0))
    assert run(0.05) == pytest.approx(300)
    assert run(0.1) == pytest.approx(350)
    for odd in (1e308, -1e308, 1e300):
        face._event(m.Underrun(odd, odd))
        face._event(m.PlaybackFinished("u", odd, False))
        face._event(m.PlaybackStarted("u"))
        assert run(0.05) >= 350


def test_what_a_provider_is_asked() -> None:
    provider = avatar("http://a", agora_token="t")
    start = start_request(provider, "app", "c", token="t", string_uid=False)
    assert (start.quality, start.version, start.video_encoding, start.activity_idle_timeout) == (
        "high",
        "v1",
        "H264",
        60,
    )
    assert start.agora_settings == m.AgoraSettings(
        app_id="app", token="t", channel="c", uid="99", enable_string_uid=False
    )
    assert m.parse_start(msgspec.to_builtins(start)) == start
    for bad, words in (
        (avatar("http://a", avatar_id=""), r"avatar\.params\.avatar_id"),
        (avatar("http://a", agora_uid=""), r"avatar\.params\.agora_uid"),
        (avatar("http://a", agora_uid="me"), "in digits"),
        (
            AvatarProvider(api_base_url="x", avatar_id="a", agora_uid="1", params={"agora_channel": "d"}),
            "where the agent",
        ),
    ):
        with pytest.raises(InvalidArgument, match=words):
            start_request(bad, "app", "c", token="", string_uid=False)
    assert start_request(avatar("http://a", agora_uid="me"), "app", "c", token="", string_uid=True)
