"""The whole service over real loopback sockets, with the real engine behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import litestar
import msgspec
import numpy as np
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import lipwire
import lipwire.atlas
from lipwire import Frame
from lipwire.agents.config import AgentConfig
from lipwire.app.agent_setup import AgentSetup
from lipwire.app.config import Config
from lipwire.app.service import ENCODED, Service
from lipwire.avatar import Voice
from lipwire.errors import InvalidArgument
from lipwire.models.voices.names import Name
from lipwire.models.wire import Spoken
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, ProviderFault, encode, request
from lipwire.provider.keys import OPERATOR, is_made
from lipwire.servers.http import serve_http
from lipwire.stream import StreamSpec
from support.machine import engine_threads
from support.paths import ROOT
from support.rtp import Wire as RtpWire
from support.turns import Turns

WAIT = 60
KEY = "a-key-for-tests"
RATE = 16_000


def config(**more: Any) -> Config:
    fields: dict[str, Any] = {
        "http_port": 0,
        "ws_port": 0,
        "viewer_port": 0,
        "api_key": KEY,
        "host": "127.0.0.1",
        "ice_host": "127.0.0.1",
    }
    # No test waits for the timeout: a client on a busy machine must not run into it between two of its messages.
    return Config(**(fields | {"voice_end_grace_ms": 50, "voice_end_timeout_ms": 10_000} | more))


def small(channel: str = "c", **more: Any) -> m.StartRequest:
    return request(channel, width=64, height=36, **more)


def tone(seconds: float, rate: int = RATE) -> bytes:
    return (np.sin(np.arange(round(seconds * rate)) * (2 * np.pi * 300 / rate)) * 9000).astype(np.int16).tobytes()


def pulses(seconds: float, rate: int = RATE) -> bytes:
    """At 120 Hz, swelling four times a second: what moves a mouth, as no tone does."""
    t = np.arange(round(seconds * rate)) / rate
    swell = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * t)
    return (np.exp(-(t % (1 / 120)) / 0.0004) * swell * 12000).astype(np.int16).tobytes()


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(config()) as running:
        yield running


def test_a_key_that_the_server_makes_cannot_be_guessed_and_never_waits() -> None:
    assert is_made(Service(config(api_key=None)).api_key.encode())


async def test_what_is_encoded_is_counted_and_who_shares_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    service = Service(config(max_pixel_rate=0, films=str(tmp_path)))
    channel = service.rooms.channel("lobby", "agent")
    await channel.open(StreamSpec(session_id="s", width=640, height=360, fps=Fraction(25)))
    pictures = service.rooms._rooms["lobby"].pictures
    pictures._turns = Turns()
    with RtpWire("vp8") as first:
        wires = [first, *(RtpWire(codec, net=first.net) for codec in ("vp8", "vp8", "h264"))]
        for wire in wires:
            pictures.add(wire.out)
        channel.video(Frame(640, 360))
        left = ENCODED - 2 * 640 * 360 * 25  # of each codec one
        assert service.has_room_for(OPERATOR, left) and not service.has_room_for(OPERATOR, left + 1)
        for wire in wires[::-1]:
            pictures.remove(wire.out)
            if wire is not first:
                wire.close()
    assert service.has_room_for(OPERATOR, ENCODED)
    await channel.close()
    assert service.films is not None
    film = service.films.open(OPERATOR, "x.mp4", "s")
    await film.open(StreamSpec(session_id="s", width=640, height=360, fps=Fraction(25)))
    left = ENCODED - 640 * 360 * 25
    assert service.has_room_for(OPERATOR, left) and not service.has_room_for(OPERATOR, left + 1)
    await film.close()
    assert service.has_room_for(OPERATOR, ENCODED)


@pytest.mark.parametrize("counted", [True, False])
def test_there_is_room_for_as_many_pixels_as_the_processors_encode(
    counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on systems that do not tell which of the processors a process may use."""
    if counted:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
    service = Service(config(max_pixel_rate=0))
    assert service.has_room_for(OPERATOR, 3 * ENCODED) and not service.has_room_for(OPERATOR, 3 * ENCODED + 1)


async def test_texts_are_said_in_the_order_in_which_they_came(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    made, said = asyncio.Event(), list[bytes]()

    async def whole(name: Name, text: str, like: Voice | None) -> list[Spoken]:
        asked.put_nowait(text)
        if text == "long":
            await made.wait()
        return [Spoken(text.encode(), RATE)]

    monkeypatch.setattr(service.voices, "whole", whole)
    async with ProviderClient(service.http_url, KEY, small()) as client:
        assert client.session is not None
        key = client.session.session_id
        session = service.watched[key].session
        monkeypatch.setattr(session, "write", lambda pcm, rate: said.append(pcm))
        monkeypatch.setattr(session, "end", lambda: said.append(b"."))
        texts = [asyncio.create_task(service.say(key, text)) for text in ("long", "it")]
        assert await asyncio.wait_for(asked.get(), WAIT) == "long" and asked.empty()
        made.set()
        await asyncio.gather(*texts)
        assert said == [b"long", b".", b"it", b"."]


class Wire:
    """One WebSocket of a session, message by message."""

    def __init__(self, ws: ClientConnection, session: m.StartReply, start: m.StartRequest) -> None:
        self.ws, self.session, self.start = ws, session, start
        self.event_id: str | None = "v"

    @classmethod
    async def open(cls, session: m.StartReply, start: m.StartRequest | None = None, init: bool = True) -> Wire:
        headers = {"Authorization": f"Bearer {session.session_token}"}
        wire = cls(
            await connect(session.websocket_address, additional_headers=headers, proxy=None), session, start or small()
        )
        if init:
            await wire.init()
        return wire

    async def init(self) -> None:
        fields = {name: getattr(self.start, name) for name in m.StartRequest.__struct_fields__}
        await self.ws.send(m.encode(m.InitMessage(session_id=self.session.session_id, **fields)))
        await self.until(m.InitAck)  # after a reconnect, events of what is being said may come first

    async def say(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    async def voice(self, payload: bytes, **more: Any) -> None:
        audio = base64.b64encode(payload).decode()
        fields = {"audio": audio, "sampleRate": RATE, "encoding": "PCM16", "event_id": self.event_id}
        await self.say(**{"command": "voice", **fields, **more})

    async def end(self) -> None:
        await self.say(command="voice_end", event_id=self.event_id)

    async def hear(self) -> Any:
        text = await asyncio.wait_for(self.ws.recv(), WAIT)
        assert isinstance(text, str)
        return m.decode_event(text)

    async def until(self, kind: type[Any]) -> Any:
        while not isinstance(event := await self.hear(), kind):
            pass
        return event

    async def closes(self) -> int | None:
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await self.hear()
        return caught.value.rcvd.code if caught.value.rcvd else None


async def post_start(service: Service, start: m.StartRequest | None = None) -> m.StartReply:
    async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as http:
        reply = await http.post(service.http_url + "/session/start", content=msgspec.json.encode(start or small()))
    assert reply.status_code == 200, reply.text
    return msgspec.json.decode(reply.content, type=m.StartReply)


async def opened(service: Service, start: m.StartRequest | None = None, init: bool = True) -> Wire:
    return await Wire.open(await post_start(service, start), start, init)


async def get(service: Service, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(service.http_url + path, headers=headers)


async def ended(before: set[asyncio.Task[Any]]) -> None:
    """Waits for the tasks that have begun since."""
    async with asyncio.timeout(WAIT):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.02)


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await condition():
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------------------------------------------------- talking


ENCODINGS: list[tuple[m.AudioEncoding, int, int]] = [
    ("PCM16", 24_000, 10),
    ("PCM16", 44_100, 20),
    ("PCM16", 8_000, 1000),
    ("PCM8", 16_000, 40),
    ("PCM8", 8_000, 10),
    ("OPUS", 16_000, 10),
    ("OPUS", 48_000, 60),
]


async def test_every_encoding_is_played_to_its_end(service: Service) -> None:
    async def talk(encoding: m.AudioEncoding, rate: int, chunk_ms: int) -> None:
        events: list[Any] = []
        pcm = tone(0.6, rate)
        start = small(f"{encoding} {rate} {chunk_ms}")
        async with ProviderClient(service.http_url, KEY, start, on_event=events.append) as client:
            ids = []
            for turn, pace in enumerate((None, 4.0)):
                ids.append(await client.speak(pcm, rate, encoding=encoding, chunk_ms=chunk_ms, pace=pace))
                await asyncio.wait_for(client.wait_finished(turn + 1), WAIT)
            assert client.reports_playback
        packets = len(list(encode(pcm, rate, encoding, chunk_ms)))
        expected = packets * chunk_ms if encoding == "OPUS" else 600.0
        expected_events = [(m.PlaybackStarted(i), m.PlaybackFinished(i, expected, False)) for i in ids]
        # A machine that is busy may send more slowly than is heard; that is told, and costs nothing.
        heard = [e for e in events[1:] if not isinstance(e, m.Underrun)]
        assert heard == [e for pair in expected_events for e in pair], start.agora_settings.channel

    await asyncio.gather(*(talk(*how) for how in ENCODINGS))


async def test_what_is_heard_is_what_was_sent(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """From base64 to the publisher, bit by bit (48 kHz: nothing is resampled)."""
    wire = await opened(service)
    heard = bytearray()
    publisher = service.watched[wire.session.session_id].publisher
    audio = publisher.audio
    monkeypatch.setattr(publisher, "audio", lambda pcm, at: (heard.extend(pcm), audio(pcm, at)))
    speech = tone(0.5, 48_000) + bytes(960)
    for at in range(0, len(speech), 960):
        await wire.voice(speech[at : at + 960], sampleRate=48_000)
    await wire.end()
    await wire.until(m.PlaybackFinished)
    assert speech in bytes(heard)
    await wire.ws.close()


async def test_an_interrupt_over_the_wire(service: Service) -> None:
    events: list[Any] = []
    async with ProviderClient(service.http_url, KEY, small(), on_event=events.append) as client:
        await client.speak(tone(10), RATE, chunk_ms=1000, pace=None)
        while not any(isinstance(e, m.PlaybackStarted) for e in events):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await client.interrupt()
        await asyncio.wait_for(client.wait_finished(1), WAIT)
        again = await client.speak(tone(0.2), RATE, pace=None)
        await asyncio.wait_for(client.wait_finished(2), WAIT)
    broken, whole = (e for e in events if isinstance(e, m.PlaybackFinished))
    assert broken.interrupted
    assert 0 < broken.position_ms < 10_000
    assert whole == m.PlaybackFinished(again, 200.0, False)


async def test_many_clients_at_once(service: Service) -> None:
    async def talk(n: int) -> list[Any]:
        events: list[Any] = []
        async with ProviderClient(service.http_url, KEY, small(f"c{n}"), on_event=events.append) as client:
            await client.speak(tone(0.3 + n / 100), RATE, pace=3.0)
            await asyncio.wait_for(client.wait_finished(1), WAIT)
        return events

    for n, events in enumerate(await asyncio.gather(*(talk(n) for n in range(8)))):
        heard = [e for e in events if not isinstance(e, m.Underrun)]
        assert [type(e) for e in heard] == [m.InitAck, m.PlaybackStarted, m.PlaybackFinished]
        assert heard[2].position_ms == 300.0 + 10 * n
    assert not service.watched


# -------------------------------------------------------------------------------------------------------- bad input

CHUNK = tone(0.05)
SILENT = base64.b64encode(bytes(320)).decode()


def voice(**more: Any) -> str:
    fields = {"command": "voice", "audio": SILENT, "sampleRate": RATE, "encoding": "PCM16", "event_id": "bad"}
    return json.dumps({k: v for k, v in (fields | more).items() if v is not None})


BAD: dict[str, tuple[str, str | bytes]] = {
    "unknown command": ("UNKNOWN_COMMAND", '{"command": "dance"}'),
    "no command": ("UNKNOWN_COMMAND", '{"audio": ""}'),
    "broken JSON": ("INVALID_JSON", '{"command": "voice", '),
    "no object": ("INVALID_JSON", "[]"),
    "broken base64": ("INVALID_AUDIO", voice(audio="!!!!")),
    "cut base64": ("INVALID_AUDIO", voice(audio="AAAAA")),
    "odd bytes": ("INVALID_AUDIO", voice(audio=base64.b64encode(bytes(321)).decode())),
    "rate too low": ("VALIDATION_ERROR", voice(sampleRate=7999)),
    "rate too high": ("VALIDATION_ERROR", voice(sampleRate=48_001)),
    "rate is text": ("VALIDATION_ERROR", voice(sampleRate="16000")),
    "rate is huge": ("VALIDATION_ERROR", voice(sampleRate=10**30)),
    "unknown encoding": ("UNSUPPORTED_ENCODING", voice(encoding="MP3")),
    "no audio": ("VALIDATION_ERROR", voice(audio=None)),
    "no Opus": ("INVALID_AUDIO", voice(encoding="OPUS", audio=base64.b64encode(b"\x03").decode())),
    "random Opus": ("INVALID_AUDIO", voice(encoding="OPUS", audio=base64.b64encode(b"\xff" * 100).decode())),
    "empty Opus": ("INVALID_AUDIO", voice(encoding="OPUS", audio="")),
    "binary frame": ("UNSUPPORTED_DATA", b"\0\1\2\3"),
    "binary JSON": ("UNSUPPORTED_DATA", b'{"command": "voice_interrupt"}'),
}


async def test_bad_messages_are_answered_and_the_speech_goes_on(service: Service) -> None:
    async def provoke(name: str, code: str, message: str | bytes) -> None:
        wire = await opened(service, small(name))
        errors: list[Any] = []
        for _ in range(3):
            await wire.voice(CHUNK)
            await wire.ws.send(message)
        await wire.voice(CHUNK)
        await wire.end()
        while not isinstance(event := await wire.hear(), m.PlaybackFinished):
            errors += [event] if isinstance(event, m.ErrorEvent) else []
        assert event == m.PlaybackFinished("v", 200.0, False), name
        assert [error.code for error in errors] == [code] * 3, name
        assert all(error.message and "Traceback" not in error.message for error in errors), name
        figures = (await get(service, f"/session/{wire.session.session_id}", **{"x-api-key": KEY})).json()
        assert figures["errors"] == 3, name
        await wire.ws.close()

    await asyncio.gather(*(provoke(name, *case) for name, case in BAD.items()))


async def test_voice_before_init(service: Service) -> None:
    wire = await opened(service, init=False)
    for message in (
        {"command": "voice", "audio": SILENT, "sampleRate": RATE, "encoding": "PCM16", "event_id": "x"},
        {"command": "voice_end", "event_id": "x"},
        {"command": "voice_interrupt", "event_id": "x"},
    ):
        await wire.say(**message)
        error = await wire.hear()
        assert (error.code, error.event_id) == ("NOT_INITIALIZED", "x")
    await wire.init()
    await wire.voice(CHUNK)
    await wire.end()
    assert await wire.until(m.PlaybackFinished) == m.PlaybackFinished("v", 50.0, False)
    await wire.ws.close()


async def played_whole(service: Service, session: m.StartReply) -> None:
    """One utterance and all of it, whoever was there to be told."""

    async def figures() -> Any:
        return (await get(service, f"/session/{session.session_id}", **{"x-api-key": KEY})).json()["stats"]

    async def over() -> bool:
        return (await figures())["utterances"] == 1

    await eventually(over)
    stats = await figures()
    assert (stats["interrupts"], stats["underruns"], stats["buffered_ms"]) == (0, 0, 0)


async def test_init_of_another_session_closes_1008_and_the_speech_goes_on(service: Service) -> None:
    wire = await opened(service)
    await wire.voice(tone(1.0))
    await wire.end()
    await wire.say(command="init", session_id="another", **msgspec.to_builtins(small()))
    assert await wire.closes() == 1008
    again = await Wire.open(wire.session)
    await played_whole(service, wire.session)
    await again.ws.close()


async def test_100_mb_close_1009_and_the_speech_goes_on(service: Service) -> None:
    wire = await opened(service)
    await wire.voice(tone(2.0))
    await wire.end()
    await wire.until(m.PlaybackStarted)
    try:
        await wire.ws.send("x" * 100_000_000)
    except ConnectionClosed:
        pass
    assert await wire.closes() == 1009
    again = await Wire.open(wire.session)
    await played_whole(service, wire.session)
    await again.ws.close()


async def test_a_full_buffer_is_told_and_loses_nothing() -> None:
    async with Service(config(buffer_seconds=1, viewer=False)) as service:
        wire = await opened(service)
        await wire.voice(tone(0.5))
        wire.event_id = "late"
        await wire.voice(tone(0.9))
        error = await wire.until(m.ErrorEvent)
        assert (error.code, error.event_id) == ("BUFFER_FULL", "late")
        wire.event_id = "v"
        await wire.end()
        assert await wire.until(m.PlaybackFinished) == m.PlaybackFinished("v", 500.0, False)
        await wire.ws.close()


async def test_voice_within_the_guard_window_is_dropped() -> None:
    async with Service(config(guard_window_ms=60_000, viewer=False)) as service:
        wire = await opened(service)
        await wire.voice(tone(5))
        await wire.until(m.PlaybackStarted)
        await wire.say(command="voice_interrupt", event_id="i")
        for _ in range(5):
            await wire.voice(tone(1))
        assert (await wire.until(m.PlaybackFinished)).interrupted
        await wire.say(command="heartbeat", event_id="h", timestamp=5)
        assert await wire.hear() == m.HeartbeatAck("h", 5)
        stats = service.watched[wire.session.session_id].session.stats()
        assert (stats["buffered_ms"], stats["talking"]) == (0, False)
        await wire.ws.close()


async def test_refused_handshakes(service: Service) -> None:
    session = await post_start(service)

    async def status(token: str | None) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with pytest.raises(InvalidStatus) as caught:
            await connect(session.websocket_address, additional_headers=headers, proxy=None)
        return caught.value.response.status_code

    assert await status(None) == 401
    assert await status("nonsense") == 401
    assert await status(session.session_token[:-2]) == 401
    async with httpx.AsyncClient(trust_env=False) as http:
        reply = await http.request(
            "DELETE",
            service.http_url + "/session/stop",
            json={"session_id": session.session_id, "session_token": session.session_token},
            headers={"x-api-key": KEY},
        )
    assert reply.json() == {"status": "success", "message": "Session terminated successfully"}
    assert await status(session.session_token) == 404


async def test_refused_starts(service: Service) -> None:
    for key, match in (("wrong", "401"), ("", "401")):
        with pytest.raises(ProviderFault, match=match):
            async with ProviderClient(service.http_url, key, small()):
                pass
    bad = small()
    bad.width = 65
    with pytest.raises(ProviderFault, match="width"):
        async with ProviderClient(service.http_url, KEY, bad):
            pass
    with pytest.raises(ProviderFault, match="failed"):
        async with ProviderClient("http://127.0.0.1:9", KEY, small()):
            pass
    assert not service.provider.sessions


async def test_an_unknown_avatar() -> None:
    unknown = small(avatar_id="somebody-else")
    async with Service(config(viewer=False)) as service, ProviderClient(service.http_url, KEY, unknown):
        assert [w.session.avatar for w in service.watched.values()] == ["aria"]
    async with Service(config(viewer=False, any_avatar=False)) as service:
        with pytest.raises(ProviderFault, match="somebody-else"):
            async with ProviderClient(service.http_url, KEY, small(avatar_id="somebody-else")):
                pass


# ----------------------------------------------------------------------------------------------- the life of a session


async def test_a_drop_is_not_a_leave() -> None:
    async with Service(config(viewer=False, voice_end_timeout_ms=60_000)) as service:
        wire = await opened(service)
        await wire.voice(tone(1.5))
        await wire.until(m.PlaybackStarted)
        wire.ws.transport.abort()
        live = service.provider.get(wire.session.session_id)

        async def dropped() -> bool:
            return live.outbox is None

        await eventually(dropped)
        before = service.watched[live.id].session.stats()["clock_s"]
        again = await Wire.open(wire.session)
        await again.voice(tone(0.5))
        await again.end()
        assert await again.until(m.PlaybackFinished) == m.PlaybackFinished("v", 2000.0, False)
        assert service.watched[live.id].session.stats()["clock_s"] > before
        assert live.connections == 2
        assert len(service.provider.sessions) == 1
        await again.ws.close()


async def test_a_second_start_reaps_the_first(service: Service) -> None:
    first = await opened(service, small("room"))
    other = await opened(service, small("elsewhere"))
    second = await opened(service, small("room"))
    assert await first.closes() == 1000
    with pytest.raises(InvalidStatus, match="404"):
        await Wire.open(first.session)
    assert set(service.watched) == {other.session.session_id, second.session.session_id}
    for wire in (second, other):
        await wire.voice(CHUNK)
        await wire.end()
        assert await wire.until(m.PlaybackFinished) == m.PlaybackFinished("v", 50.0, False)
        await wire.ws.close()


async def test_an_idle_session_ends(service: Service) -> None:
    wire = await opened(service, small(activity_idle_timeout=0.1))
    await wire.voice(tone(2.0))  # speaking is no idling, whatever the timeout
    await wire.end()
    assert await wire.until(m.PlaybackFinished) == m.PlaybackFinished("v", 2000.0, False)
    assert await wire.closes() == 1000
    reply = await get(service, f"/session/{wire.session.session_id}", **{"x-api-key": KEY})
    assert (reply.status_code, reply.json()["code"]) == (404, "SESSION_NOT_FOUND")
    assert not service.watched


async def test_figures(service: Service, say: Callable[[str], tuple[bytes, int]]) -> None:
    assert (await get(service, "/healthz")).json() == {"status": "ok", "sessions": 0}
    wire = await opened(service)
    await wire.voice(lipwire.resample(*say("Hello there, how are you?"), RATE))  # no mouth has to open for a tone
    await wire.end()
    await wire.until(m.PlaybackFinished)
    path = f"/session/{wire.session.session_id}"
    assert (await get(service, path)).status_code == 403
    assert (await get(service, path, **{"x-api-key": "wrong"})).status_code == 401
    figures = (await get(service, path, authorization=f"Bearer {wire.session.session_token}")).json()
    assert figures["granted"]["width"] == 64
    assert (figures["connected"], figures["errors"]) == (True, 0)
    stats = figures["stats"]
    assert (stats["utterances"], stats["underruns"], stats["state"]) == (1, 0, "idle")
    assert stats["latency_ms"] > 0
    assert stats["frames"] > 0
    assert abs(stats["skew_ms"]) <= 40
    lines = (await get(service, "/metrics")).text.splitlines()
    assert "lipwire_models_jobs 0.0" in lines
    metrics = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert metrics["lipwire_sessions"] == metrics["lipwire_sessions_started_total"] == "1.0"
    assert metrics['lipwire_messages_total{command="voice"}'] == "1.0"
    assert float(metrics["lipwire_frames_total"]) > 0
    text = (ROOT / "docs" / "watching.md").read_text()
    ours = {line.split()[2] for line in lines if line.startswith("# TYPE lipwire_") and "_created" not in line}
    assert {name for name in ours if f"`{name}" not in text} == set()
    assert (await get(service, "/healthz")).json() == {"status": "ok", "sessions": 1}
    assert (await get(service, "/schema/openapi.json")).json()["info"]["title"] == "Lipwire"
    await wire.ws.close()


async def test_no_room() -> None:
    async with Service(config(max_sessions=1, viewer=False)) as service:
        await post_start(service, small("a"))
        async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as http:
            reply = await http.post(service.http_url + "/session/start", content=msgspec.json.encode(small("b")))
        assert (reply.status_code, reply.json()["code"]) == (429, "SESSION_LIMIT")
        assert int(reply.headers["retry-after"]) > 0
        await post_start(service, small("a"))  # its own place


# ----------------------------------------------------------------------------------------------------- starting, ending


async def test_video_is_encoded_beforehand_for_sessions_and_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[Any, ...]] = []
    monkeypatch.setattr(lipwire.atlas, "begin", lambda face, *of: begun.append((face.name, *of)))
    monkeypatch.setattr(lipwire.atlas, "load", lambda *of: None)
    for more in ({"preencoded": "off"}, {}):
        async with Service(config(**more), preencodes=True) as service:
            await post_start(service, small(avatar_id="ohm"))
            for name, face in (("face", {"avatar": "kit", "width": 66, "height": 38}), ("voice", {})):
                agent = AgentConfig(name=name, channel="lobby", brain="echo", **face)  # type: ignore[arg-type]
                await asyncio.wait_for(service.agents.start(agent), WAIT)
    assert begun == [("ohm", 64, 36, 25), ("kit", 66, 38, 25)]


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def test_closing_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    service = await Service(config()).start()
    ports = [service.http_port, service.ws_port, service.viewer_port]
    assert len(set(ports)) == 3
    assert all(map(is_open, ports))
    wires = [await opened(service, small(str(n))) for n in range(3)]
    for wire in wires:
        await wire.voice(tone(30))
    await wires[0].until(m.PlaybackStarted)
    assert engine_threads()
    await service.close()
    assert [await wire.closes() for wire in wires] == [1012] * 3
    assert not any(map(is_open, ports))
    assert not engine_threads()
    assert not service.watched
    await ended(before)
    await service.close()
    again = await Service(config(http_port=ports[0], ws_port=ports[1], viewer_port=ports[2])).start()
    await again.close()


@pytest.mark.parametrize("name", ["http_port", "ws_port", "viewer_port"])
async def test_a_port_that_is_taken_is_named(name: str) -> None:
    before = asyncio.all_tasks()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"{port}.*--{name.replace('_', '-')}.*LIPWIRE_{name.upper()}"):
            await Service(config(**{name: port})).start()
    await ended(before)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"hearing_model": "whisper-giant"}, "'whisper-giant' is no folder, and no model"),
        ({"hearing_model": "silero-vad"}, "silero-vad is for voice activity"),
        ({"voices": "/no/such/folder"}, "voices: /no/such/folder is no folder"),
    ],
)
def test_a_model_that_is_not_there_is_found_before_anyone_asks(setting: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        Service(config(**setting))
    there = AgentSetup(config(hearing_model="whisper-base", voices="voices")).services(
        AgentConfig(name="one", channel="c")
    )
    assert (there.hearing_model, there.voices) == ("whisper-base", "voices")


# ----------------------------------------------------------------------------------------------- inside another service


async def talk_through(url: str) -> list[Any]:
    events: list[Any] = []
    async with ProviderClient(url, KEY, small(), on_event=events.append) as client:
        await client.speak(tone(0.2), RATE, pace=None)
        await asyncio.wait_for(client.wait_finished(1), WAIT)
    return events


async def test_the_app_mounted_in_a_plain_asgi_host() -> None:
    app = lipwire.create_app(config(viewer=False))

    async def host(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith("/avatar/"):
            inner = {**scope, "path": path.removeprefix("/avatar"), "root_path": "/avatar"}
            await app({**inner, "raw_path": inner["path"].encode()}, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"the host's own"})
        else:
            raise RuntimeError("this host runs no lifespan")

    server = await serve_http(host, port=0)
    try:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(url)).text == "the host's own"
            assert (await http.get(url + "/avatar/healthz")).json()["status"] == "ok"
        first = await talk_through(url + "/avatar")
        assert [type(e) for e in first] == [m.InitAck, m.PlaybackStarted, m.PlaybackFinished]
        assert not app.state.service.watched, "stopped through it as well"
        assert is_open(app.state.service.ws_port)
    finally:
        await app.state.service.close()
        await server.close()
    assert not is_open(app.state.service.ws_port)
    assert not engine_threads()


async def test_first_sessions_of_a_mounted_app_that_come_at_once() -> None:
    app = lipwire.create_app(config(viewer=False))
    service = app.state.service
    owner = service.provider.check_api_key(KEY)
    try:
        replies = await asyncio.gather(*(service.provider.start(small(str(n)), owner) for n in range(4)))
        assert {reply.websocket_address for reply in replies} == {f"ws://127.0.0.1:{service.ws_port}"}
    finally:
        await service.close()


async def test_the_app_mounted_in_litestar() -> None:
    app = lipwire.create_app(config(viewer=False))

    @litestar.asgi("/avatar", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    server = await serve_http(litestar.Litestar([mounted], logging_config=None), port=0)
    try:
        events = await talk_through(f"http://127.0.0.1:{server.port}/avatar")
        assert [type(e) for e in events] == [m.InitAck, m.PlaybackStarted, m.PlaybackFinished]
    finally:
        await app.state.service.close()
        await server.close()


async def test_the_app_run_alone_follows_its_lifespan() -> None:
    before = asyncio.all_tasks()
    app = lipwire.create_app(config(viewer=False))
    server = await serve_http(app, port=0)
    port = app.state.service.ws_port
    assert is_open(port)
    events = await talk_through(f"http://127.0.0.1:{server.port}")
    assert [type(e) for e in events] == [m.InitAck, m.PlaybackStarted, m.PlaybackFinished]
    await server.close()
    assert not is_open(port)
    await ended(before)
