"""A server from start to end: what is said goes on, who watches is told, and nothing that hangs keeps it open."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipwire.agents.config import AgentConfig
from lipwire.app import service as service_module
from lipwire.app.config import Config
from lipwire.app.lifetime import run_service
from lipwire.app.service import LiveAvatar, Service, create_app
from lipwire.models.voices.choose import Chosen
from lipwire.models.voices.live import LiveVoices
from lipwire.models.voices.names import Name
from lipwire.models.wire import Spoken
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, request
from support.agent_stand_in import manager

KEY = "a-key-for-tests"
RATE = 16_000
WAIT = 60


def config(**more: Any) -> Config:
    fields: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "api_key": KEY, "host": "127.0.0.1"}
    return Config(**(fields | {"ice_host": "127.0.0.1", "drain_seconds": 60.0} | more))


def small(channel: str = "c") -> m.StartRequest:
    return request(channel, width=64, height=36)


def tone(seconds: float) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) * (2 * np.pi * 300 / RATE)) * 9000).astype(np.int16).tobytes()


class Speaker:
    """A client over the real sockets, and what it hears."""

    def __init__(self, service: Service, channel: str) -> None:
        self.events: list[m.ServerEvent] = []
        self.started = asyncio.Event()
        self.client = ProviderClient(service.http_url, KEY, small(channel), on_event=self.on_event)

    def on_event(self, event: m.ServerEvent) -> None:
        self.events.append(event)
        if isinstance(event, m.PlaybackStarted):
            self.started.set()

    def finished(self) -> list[tuple[float, bool]]:
        return [(e.position_ms, e.interrupted) for e in self.events if isinstance(e, m.PlaybackFinished)]


@contextlib.asynccontextmanager
async def speaker(service: Service, channel: str = "c") -> AsyncIterator[Speaker]:
    made = Speaker(service, channel)
    async with made.client:
        yield made


@contextlib.asynccontextmanager
async def running(**more: Any) -> AsyncIterator[tuple[Service, asyncio.Event, asyncio.Task[None]]]:
    """(a service, what asks it to end, the task that it ends with)"""
    service, asked, up = Service(config(**more)), asyncio.Event(), asyncio.Event()

    async def body() -> None:
        up.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run_service(service, body, asked))
    try:
        await asyncio.wait_for(up.wait(), WAIT)
        yield service, asked, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_speech_ends_and_whoever_is_silent_is_sent_away_at_once() -> None:
    async with (
        running() as (service, asked, task),
        speaker(service, "speaks") as s,
        speaker(service, "silent") as quiet,
    ):
        await s.client.speak(tone(2.0), RATE, pace=None)
        await s.started.wait()
        asked.set()
        assert quiet.client._ws is not None and s.client._ws is not None
        await asyncio.wait_for(quiet.client._ws.wait_closed(), WAIT)
        assert quiet.client._ws.close_code == 1012 and s.finished() == []
        async with httpx.AsyncClient(base_url=service.http_url) as http:
            health = await http.get("/healthz")
            assert (health.status_code, health.json()["status"]) == (503, "draining")
        with pytest.raises(InvalidStatus) as refused:
            await connect(service.provider.config.public_ws_url, proxy=None)
        assert refused.value.response.status_code == 503 and refused.value.response.headers["Retry-After"] == "5"
        await asyncio.wait_for(task, WAIT)
        await asyncio.wait_for(s.client._ws.wait_closed(), WAIT)
        assert s.finished() == [(2000.0, False)] and s.client._ws.close_code == 1012


async def test_a_live_utterance_is_taken_to_its_end_and_no_other_begins() -> None:
    async with running() as (service, asked, task), speaker(service) as s:
        ws = s.client._ws
        assert ws is not None

        async def voice(event_id: str, seconds: float) -> None:
            audio = base64.b64encode(tone(seconds)).decode()
            message = {"command": "voice", "audio": audio, "sampleRate": RATE, "encoding": "PCM16"}
            await ws.send(json.dumps(message | {"event_id": event_id}))

        await voice("one", 1.0)
        await s.started.wait()
        asked.set()
        while not service.provider.draining:
            await asyncio.sleep(0)
        await voice("one", 1.0)
        await ws.send('{"command":"voice_end","event_id":"one"}')
        await voice("two", 1.0)
        await asyncio.wait_for(task, WAIT)
        await asyncio.wait_for(ws.wait_closed(), WAIT)
        errors = [event for event in s.events if isinstance(event, m.ErrorEvent)]
        assert {(error.code, error.event_id) for error in errors} == {("SHUTTING_DOWN", "two")}
        assert s.finished() == [(2000.0, False)]


async def test_the_page_begins_no_utterance_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is asked for while the server drains nor one whose voice was being made when that began."""
    making, go_on = asyncio.Event(), asyncio.Event()

    async def speak(self: LiveVoices, name: Name, text: str) -> AsyncIterator[Spoken]:
        making.set()
        await asyncio.wait_for(go_on.wait(), WAIT)
        yield Spoken(tone(1.0), RATE)

    monkeypatch.setattr(LiveVoices, "speak", speak)
    monkeypatch.setattr(service_module, "speaks_here", lambda: True)
    monkeypatch.setattr(service_module, "choose", lambda *_: Chosen(Name("hibari", "heart")))
    async with running() as (service, asked, task), speaker(service) as s:
        (session_id,) = service.watched
        url = f"{service.viewer_url}api/sessions/{session_id}/say"
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"x-api-key": KEY}) as http:
            early = asyncio.create_task(http.post(url, json={"text": "Hello."}))
            await asyncio.wait_for(making.wait(), WAIT)
            await s.client.speak(tone(3.0), RATE, pace=None)
            await s.started.wait()
            asked.set()
            while not service.provider.draining:
                await asyncio.sleep(0)
            late = await http.post(url, json={"text": "Hello."})
            go_on.set()
            for answer in (await early, late):
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
                assert answer.json()["code"] == "NO_CAPACITY"
        await asyncio.wait_for(task, WAIT)
        assert s.finished() == [(3000.0, False)]


@pytest.mark.parametrize("how", ["no time", "again"])
async def test_speech_that_breaks_off_is_told_before_the_close(how: str) -> None:
    seconds = 0.0 if how == "no time" else 60.0
    async with running(drain_seconds=seconds) as (service, asked, task), speaker(service) as s:
        await s.client.speak(tone(30.0), RATE, pace=None)
        await s.started.wait()
        asked.set()
        if how == "again":
            while not service.provider.draining:
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task}, timeout=WAIT)
        assert task.done() and s.client._ws is not None
        await asyncio.wait_for(s.client._ws.wait_closed(), WAIT)
        ((position_ms, interrupted),) = s.finished()
        assert interrupted and position_ms < 30_000 and s.client._ws.close_code == 1012
        assert service._http is None and service._ws is None


async def test_who_watches_is_told_that_the_session_has_ended() -> None:
    async with running() as (service, asked, task), speaker(service):
        (watched,) = service.watched.values()
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        heard: asyncio.Queue[str] = asyncio.Queue()
        channel = peer.createDataChannel("lipwire")
        channel.on("message", lambda text: heard.put_nowait(str(text)))
        opened = asyncio.Event()
        channel.on("open", opened.set)
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        sdp, kind = await watched.publisher.answer(peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(sdp, kind))
        await asyncio.wait_for(opened.wait(), WAIT)
        while not watched.publisher.viewers:
            await asyncio.sleep(0.01)
        asked.set()
        await asyncio.wait_for(task, WAIT)
        texts: list[str] = []
        with contextlib.suppress(TimeoutError):
            while "session_ended" not in "".join(texts):
                texts.append(await asyncio.wait_for(heard.get(), 5))
        await peer.close()
        assert any("session_ended" in text for text in texts)


async def test_agents_wind_up_beside_and_those_that_do_not_are_ended() -> None:
    agents = manager()
    service, asked = Service(config(drain_seconds=0.05), agents=agents), asyncio.Event()

    async def body() -> None:
        for channel in ("quiet", "talkative"):
            await agents.start(AgentConfig(name=channel, channel=channel), prepared=True)
        asked.set()

    await asyncio.wait_for(run_service(service, body, asked), WAIT)
    records = list(agents)
    assert [record.status for record in records] == ["STOPPED"] * 2
    assert [record.reason for record in records] == ["shutdown"] * 2


async def test_sessions_close_side_by_side_and_one_that_hangs_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A publisher's close that hangs, one that raises, and ten others: the servers close all the same."""
    caplog.set_level(logging.ERROR)
    closing: set[str] = set()
    most = 0
    close = LiveAvatar.close

    async def slow(self: LiveAvatar) -> None:
        nonlocal most
        closing.add(self.id)
        most = max(most, len(closing))
        number = list(self._service.watched).index(self.id)
        if number == 0:
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)
        await close(self)
        closing.discard(self.id)
        if number == 1:
            raise RuntimeError("the publisher broke")

    service = Service(config(max_sessions=50))
    await service.start()
    service.provider.config = m.msgspec.structs.replace(service.provider.config, close_timeout=0.5)
    for n in range(8):
        await service.provider.start(small(f"c{n}"), service.provider.check_api_key(KEY))
    stuck = next(iter(service.watched.values())).session
    monkeypatch.setattr(LiveAvatar, "close", slow)
    await service.drain()
    assert most == 8 and service._http is None
    assert "not closed within 0.5 s" in caplog.text and "the publisher broke" in caplog.text
    monkeypatch.undo()
    await stuck.close()


async def test_rooms_that_fail_to_close_leave_no_server_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = await Service(config()).start()

    async def broken() -> None:
        raise RuntimeError("the rooms broke")

    monkeypatch.setattr(service.rooms, "close", broken)
    port = service.http_port
    await service.close()
    assert "the rooms broke" in caplog.text
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_body_that_ends_or_raises_ends_the_server() -> None:
    for failing in (False, True):
        service = Service(config())

        async def body(failing: bool = failing) -> None:
            if failing:
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no") if failing else contextlib.nullcontext():
            await run_service(service, body, asyncio.Event())
        assert service._http is None


async def test_a_mounted_app_drains_with_its_host() -> None:
    app = create_app(config(viewer=False))
    service: Service = app.state.service
    assert app.on_shutdown[-1] == service.drain
    await service.start_background()
    await app.on_shutdown[-1]()
    assert service.provider.draining
    with pytest.raises((OSError, ConnectionClosed)):
        await connect(service.provider.config.public_ws_url, proxy=None)
