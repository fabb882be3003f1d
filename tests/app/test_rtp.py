"""RTP through the whole service on loopback: a start with an SDP, speech, keys, interrupts, pictures out, the end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from lipwire._core import ulaw_encode
from lipwire.app.config import Config
from lipwire.app.rtp import RtpDoor
from lipwire.app.service import Service
from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.outward import Outward
from lipwire.protocol import messages as m
from lipwire.provider.sessions import ProviderError
from lipwire.rtp.inbound import Digit
from lipwire.rtp.rtcp import is_rtcp
from lipwire.rtp.sdp import Address, parse_sdp
from support.provider_stage import start_body
from support.rtp_offers import ASTERISK, event, free_pairs, rtp, sender_report

KEY = "a-key-for-tests"
WAIT = 60


def config(**more: Any) -> Config:
    ports = free_pairs(4)
    fields: dict[str, Any] = {
        **{"http_port": 0, "ws_port": 0, "viewer": False, "api_key": KEY, "host": "127.0.0.1"},
        **{"rtp": True, "rtp_ports": f"{ports.start}-{ports.stop}", "voice_end_grace_ms": 50},
    }
    return Config(**(fields | more))


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(config()) as running:
        yield running


async def start(service: Service, sdp: str, **more: Any) -> httpx.Response:
    body = start_body(width=64, height=36, rtp={"sdp": sdp}, **more)
    async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as http:
        return await http.post(service.http_url + "/session/start", json=body)


def offer(port: int, more: str = "") -> str:
    return f"{ASTERISK}{more}".replace("11786 RTP/AVP 9 0 8", f"{port} RTP/AVP 0").replace("192.0.2.10", "127.0.0.1")


def speech(packets: int) -> list[bytes]:
    t = np.arange(160 * packets) / 8000
    wave = 8000 * np.sin(2 * np.pi * 200 * t) * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))
    data = ulaw_encode(wave.astype(np.int16).tobytes())
    return [data[at : at + 160] for at in range(0, len(data), 160)]


class Caller:
    """Who speaks: packets at their pace."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.sequence = self.timestamp = 0

    async def say(self, payloads: list[bytes], to: int) -> None:
        for payload in payloads:
            self.socket.sendto(rtp(payload, self.sequence, self.timestamp), ("127.0.0.1", to))
            self.sequence, self.timestamp = self.sequence + 1, self.timestamp + 160
            await asyncio.sleep(0.02)

    def press(self, digit: int, to: int) -> None:
        for _ in range(3):
            packet = event(digit, self.sequence, self.timestamp, 800, end=True)
            self.socket.sendto(packet, ("127.0.0.1", to))
            self.sequence += 1
        self.timestamp += 800


class Events:
    """What a session's WebSocket tells, all of it."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self.all: list[Any] = []

    async def until(self, kind: type[Any], **fields: Any) -> Any:
        """The first event of a kind with these fields, which may have come already."""
        async with asyncio.timeout(WAIT):
            while True:
                for found in self.all:
                    if isinstance(found, kind) and all(getattr(found, name) == value for name, value in fields.items()):
                        return found
                self.all.append(m.decode_event(str(await self._ws.recv())))


async def heard(service: Service, http: httpx.AsyncClient) -> dict[str, float]:
    """The figures of Prometheus for sound in packets."""
    lines = (await http.get(service.http_url + "/metrics")).text.splitlines()
    named = (line.removeprefix("lipwire_heard_").rsplit(" ", 1) for line in lines if line.startswith("lipwire_heard_"))
    return {name: float(value) for name, value in named}


async def test_who_calls_is_said_and_told_of(service: Service) -> None:
    caller = Caller()
    reply = (await start(service, offer(caller.port))).json()
    (section,) = parse_sdp(reply["rtp"]["sdp"])
    assert section.direction == "recvonly" and section.host == "127.0.0.1" and section.payload_types == ("0", "101")
    headers = {"Authorization": f"Bearer {reply['session_token']}"}
    async with connect(reply["websocket_address"], additional_headers=headers, proxy=None) as ws:
        events = Events(ws)
        await ws.send(json.dumps({"command": "init", **start_body()}))
        await events.until(m.InitAck)
        silence = [b"\xff" * 160]
        talk = asyncio.create_task(caller.say(silence * 5 + speech(30) + silence * 45, section.port))
        await events.until(m.PlaybackStarted, event_id="rtp-1")
        finished = await events.until(m.PlaybackFinished, event_id="rtp-1")
        assert not finished.interrupted and finished.position_ms > 0
        await talk
        caller.press(7, section.port)
        talk = asyncio.create_task(caller.say(speech(1000), section.port))
        assert (await events.until(m.Dtmf)) == m.Dtmf("7", 100)
        await events.until(m.PlaybackStarted, event_id="rtp-2")
        await ws.send('{"command":"voice","audio":"AAA=","sampleRate":16000,"encoding":"PCM16","event_id":"x"}')
        refused = await events.until(m.ErrorEvent)
        assert (refused.code, refused.event_id) == ("BAD_STATE", "x")
        with pytest.raises(ProviderError, match="comes by RTP"):
            await service._speaking().admit(None, reply["session_id"], "v=0", None)  # type: ignore[arg-type]
        await ws.send('{"command":"voice_interrupt"}')
        cut = await events.until(m.PlaybackFinished, interrupted=True)
        assert cut.event_id.startswith("rtp-")
        talk.cancel()
        stats = service.watched[reply["session_id"]].session.stats()
        assert stats["receiving"] and stats["rtp"]["in"]["digits"] == 1 and stats["rtp"]["in"]["utterances"] >= 2
        assert stats["rtp"]["in"]["source"] == f"127.0.0.1:{caller.port}" and stats["rtp"]["out"] == []
        json.dumps(stats)
        async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as http:
            during = await heard(service, http)
            await http.request("DELETE", service.http_url + "/session/stop", json={"session_id": reply["session_id"]})
            after = await heard(service, http)
    packets = 'packets_received_total{by="rtp"}'
    assert during['streams{by="rtp"}'] == 1 and during[packets] > 80 and during['target_delay_seconds{by="rtp"}'] > 0
    assert after['streams{by="rtp"}'] == 0 and after[packets] >= during[packets], "of a session that is over, too"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", section.port))
    caller.socket.close()


VIDEO = "m=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\na=recvonly\n"


async def test_who_looks_is_sent_sound_and_pictures() -> None:
    """To where they come from: the offer names another port than the caller's, as behind a router."""
    caller, screen = Caller(), Caller()
    caller.socket.setblocking(False)
    screen.socket.setblocking(False)
    (elsewhere,) = free_pairs(1)
    async with Service(config(allowed_outward=("127.0.0.1",))) as service:
        sdp = offer(elsewhere, VIDEO.format(screen.port)).replace("a=sendrecv", "a=rtcp-mux\na=sendrecv")
        unseen = await start(service, sdp, egress="motion")
        assert unseen.status_code == 400 and "sound alone" in unseen.json()["message"]
        reply = (await start(service, sdp)).json()
        sound, video = parse_sdp(reply["rtp"]["sdp"])
        assert [one.direction for one in (sound, video)] == ["sendrecv", "sendonly"]
        await caller.say(speech(4), sound.port)
        found: dict[str, list[bytes]] = {"sound": [], "pictures": []}

        def enough() -> bool:
            for name, of in (("sound", caller.socket), ("pictures", screen.socket)):
                while True:
                    try:
                        found[name].append(of.recv(2048))
                    except BlockingIOError:
                        break
            # RTCP of pictures goes to the port behind, where nobody listens.
            return any(map(is_rtcp, found["sound"])) and len(found["sound"]) > 5 and len(found["pictures"]) > 5

        await eventually(enough)
        assert {data[1] & 127 for data in found["sound"] if not is_rtcp(data)} == {0}
        assert {data[1] & 127 for data in found["pictures"] if not is_rtcp(data)} == {96}
        out = service.watched[reply["session_id"]].session.stats()["rtp"]["out"]
        assert [one["to"] for one in out] == [f"127.0.0.1:{caller.port}", f"127.0.0.1:{screen.port}"]
    caller.socket.close()
    screen.socket.close()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "sdp, words",
    [
        ("v=0\n", "media sections"),
        ("v=0\nc=IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 0\na=recvonly", "allowed_outward"),
        ("v=0\nc=IN IP4 10.1.2.3\nm=audio 4000 RTP/AVP 0\na=recvonly", "allowed_outward"),
        ("v=0\nc=IN IP4 239.1.2.3\nm=audio 4000 RTP/AVP 0\na=recvonly", "allowed_outward"),
        ("v=0\nc=IN IP4 8.8.8.8\nm=audio 53 RTP/AVP 0\na=recvonly", "allowed_outward"),
        ("v=0\nc=IN IP6 2606:4700::1\nm=audio 4000 RTP/AVP 0\na=recvonly", "cannot be reached from 127.0.0.1"),
        ("v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\na=recvonly", "names no address"),
        ("v=0\nc=IN IP4 no-such-name.invalid\nm=audio 4000 RTP/AVP 0", "rtp.sdp"),
        (ASTERISK.replace("9 0 8 101", "3"), "no codec that is known"),
    ],
)
async def test_what_is_refused_takes_no_port(service: Service, sdp: str, words: str) -> None:
    reply = await start(service, sdp)
    assert reply.status_code == 400 and words in reply.json()["message"], reply.text
    assert reply.json()["code"] == "VALIDATION_ERROR" and not service.watched
    async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}) as http:
        for body in ("text", {"sdp": 5}, {}):
            bad = await http.post(service.http_url + "/session/start", json=start_body(rtp=body))
            assert bad.status_code == 400 and "rtp" in bad.json()["message"]


async def test_ports_are_a_limit_and_a_server_without_rtp_says_so() -> None:
    door = RtpDoor(config(), Outward(["127.0.0.1"]))
    calls = [await door.open(offer(4000), session_id=f"s{n}", owner="o") for n in range(4)]
    with pytest.raises(NoCapacity, match="4 pairs"):
        await door.open(offer(4000), session_id="s", owner="o")
    for call in calls:
        call.close()
        call.close()
    with pytest.raises(NoCapacity):  # a call that needs more than there are gives back what it took
        five = "v=0\nc=IN IP4 127.0.0.1\nm=audio 4000 RTP/AVP 0\na=sendonly\nm=audio 4002 RTP/AVP 0\na=recvonly\n"
        held = [await door.open(offer(4000), session_id="s", owner="o") for _ in range(3)]
        await door.open(five, session_id="s", owner="o")
    (await door.open(offer(4000), session_id="s", owner="o")).close()
    for call in held:
        call.close()
    off = RtpDoor(Config(), Outward())
    with pytest.raises(InvalidArgument, match="--rtp"):
        await off.open(ASTERISK, session_id="s", owner="o")
    strict = RtpDoor(config(rtp_symmetric=False), Outward())
    with pytest.raises(InvalidArgument, match="rtp_symmetric is off"):
        await strict.open(ASTERISK.replace("192.0.2.10", "0.0.0.0"), session_id="s", owner="o")
    told = RtpDoor(config(rtp_public_host="203.0.113.9"), Outward())
    call = await told.open(ASTERISK, session_id="s", owner="o")
    assert parse_sdp(call.answer)[0].host == "203.0.113.9"
    call.close()


async def test_nothing_is_sent_to_where_it_may_not_go_whoever_speaks_from_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = RtpDoor(config(), Outward(["127.0.0.1"]))
    video = VIDEO.format(4002).replace("\n", "\nc=IN IP4 127.0.0.1\n", 1)
    sdp = offer(4000).replace("127.0.0.1", "10.1.2.3") + video
    for host, port, allowed in (
        *(("8.8.8.8", 5000, True), ("8.8.8.8", 53, False), ("10.9.9.9", 5000, False)),
        *(("10.1.2.3", 5000, True), ("10.1.2.3", 111, False), ("127.0.0.1", 5000, True)),
    ):
        call = await door.open(sdp, session_id="s", owner="o")
        (inbound,), sender = [one.inbound for one in call._endpoints if one.inbound], call.publisher.senders[0]  # type: ignore
        for number in range(2):
            inbound.receive(rtp(b"\xff" * 160, number, 160 * number), Address(host, port), 10**12)
        assert inbound.source.address == (host, port), "it is heard"
        assert sender.to == (Address(host, port) if allowed else None)
        for at in (Address(host, 5001), Address(host, 53)):
            inbound.receive(sender_report(0x1234, 1), at, 10**12, control=True)
        assert sender._to_rtcp == (host, 5001) or not allowed, "where nobody is sent RTP, RTCP goes nowhere"
        call.close()
    assert "nothing is sent to 8.8.8.8:53" in caplog.text
    call = await door.open(sdp, session_id="s", owner="o")
    (inbound,), sender = [one.inbound for one in call._endpoints if one.inbound], call.publisher.senders[0]  # type: ignore
    inbound._authentic = True
    inbound.receive(sender_report(0x1234, 1), Address("8.8.8.8", 5001), 10**12, control=True)
    assert sender._to_rtcp is None, "RTCP alone leads nowhere, and is remembered"
    inbound.receive(rtp(b"\xff" * 160, 1, 160), Address("8.8.8.8", 5000), 10**12)
    assert (sender.to, sender._to_rtcp) == (("8.8.8.8", 5000), ("8.8.8.8", 5001))
    call.close()
    caplog.clear()
    caplog.set_level("INFO", "lipwire.rtp")
    call._press(Digit("7", 100))
    assert caplog.messages == ["[s] a key was pressed"], "people press their numbers and codes"
