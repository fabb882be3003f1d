"""Motion over a WebSocket, from the real service: sessions, rooms, who may, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel.base import UserJoined, UserLeft
from lipwire.session.session import Session
from support.agent_bodies import V2
from support.motion import Reader, tone
from support.motion_viewer import MotionViewer, until
from support.provider_stage import start_body

KEY = "key-of-the-tests"
HEADERS = {"x-api-key": KEY}


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    ports: dict[str, Any] = dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0)
    config = Config(**ports, api_key=KEY, host="127.0.0.1", ice_host="127.0.0.1", agent_brain="echo")
    async with Service(config) as service:
        yield service


async def start(service: Service, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, headers=HEADERS, timeout=60) as http:
        channel = start_body()["agora_settings"] | {"channel": f"c{len(service.watched)}"}
        body = start_body(width=64, height=64, fps=25, agora_settings=channel, **fields)
        return await http.post(f"{service.http_url}/session/start", json=body)


async def token(service: Service, path: str, **body: Any) -> str:
    async with httpx.AsyncClient(trust_env=False, headers=HEADERS, timeout=60) as http:
        return str((await http.post(f"{service.http_url}{path}/token", json=body)).json()["token"])


def url(service: Service, path: str) -> str:
    return service.viewer_url.replace("http://", "ws://") + f"motion/{path}"


async def read(ws: ClientConnection, reader: Reader, enough: Any) -> None:
    async with asyncio.timeout(30):
        while not enough():
            reader.put(await ws.recv())


async def test_a_session_over_a_websocket(service: Service) -> None:
    """With a token as a subprotocol, as a page has to; binary with Opus, and JSON; an interrupt; the end."""
    id = (await start(service)).json()["session_id"]
    may = await token(service, f"/session/{id}", role="watch")
    key: Any = {"additional_headers": HEADERS}
    page: Any = {"subprotocols": ["lipwire-motion", f"token.{may}"]}
    reader, words = Reader(), Reader()
    async with (
        connect(url(service, f"{id}?sets=pose&sound=opus"), proxy=None, **page) as ws,
        connect(url(service, f"{id}?encoding=json"), proxy=None, **key) as text,
    ):
        assert ws.subprotocol == "lipwire-motion" and len(service.audience) == 2
        session = service.watched[id].session
        session.write(tone(5.0), 48_000)
        await read(ws, reader, lambda: len(reader.frames) > 5 and 1 in reader.events)
        begins = reader.events[1][0]
        await read(ws, reader, lambda: reader.sounds and reader.sounds[-1][0] > begins + 4800)
        assert {codec for _, codec, _ in reader.sounds} == {2}
        assert abs(begin_of_sound(reader.sounds) - begins) < 480, "to 10 ms, by another decoder"
        await read(text, words, lambda: words.events)
        session.interrupt()
        await read(ws, reader, lambda: 1 in reader.generations.values())
        assert [kind for _, _, kind, _ in reader.events.values()][:2] == ["started", "interrupt"]
        assert list(words.headers[0]["sets"]) == ["arkit", "head"] and reader.headers[0][3][0][0] == "pose"
        samples = [at for at, _, _ in reader.sounds]
        assert {(b - a) % 960 for a, b in itertools.pairwise(samples)} == {0}
        assert abs(max(samples) - max(reader.frames)) < 48_000
        async with httpx.AsyncClient(trust_env=False, headers=HEADERS) as http:
            figures = (await http.get(f"{service.http_url}/metrics")).text
        assert "lipwire_motion_viewers 2.0" in figures and "lipwire_motion_dropped_total" in figures
        await ws.send("what a client says means nothing")
        await service.provider.end(service.provider.get(id), "stopped")
        with pytest.raises(ConnectionClosed) as gone:
            while True:
                await ws.recv()
        assert gone.value.rcvd is not None and gone.value.rcvd.code == 1000
    await until(lambda: not len(service.audience))


def begin_of_sound(packets: list[tuple[int, int, bytes]]) -> int:
    """Of Opus, each with its sample: at which one it is first loud."""
    decoder = av.AudioCodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    frames = [frame for _, _, data in packets for frame in decoder.decode(av.Packet(data))]
    assert {frame.samples for frame in frames} == {960} and len(frames) == len(packets)
    loud: NDArray[np.bool_] = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in frames])) > 0.05
    return packets[0][0] + int(loud.argmax())


async def test_a_user_of_a_room_over_a_websocket(service: Service) -> None:
    rooms = service.rooms
    events: list[Any] = []
    member = await token(service, "/rooms/lobby", role="watch", name="anna")
    more: Any = {"additional_headers": {"authorization": f"Bearer {member}"}}
    async with connect(url(service, "rooms/lobby?sets=azure&sound=pcm16"), proxy=None, **more) as ws:
        channel = rooms.channel("lobby", "face", events.append)
        async with Session(channel, size=(64, 48), fps=25) as session:
            assert [event.user for event in events if isinstance(event, UserJoined)] == ["anna"]
            session.write(tone(3.0), 48_000)
            reader = Reader()
            await read(ws, reader, lambda: len(reader.frames) > 5 and reader.sounds)
            assert channel.stats()["motion_viewers"] == 1 and {len(pcm) for _, _, pcm in reader.sounds} == {1920}
            async with connect(url(service, "rooms/lobby"), proxy=None, **more) as again:
                with pytest.raises(ConnectionClosed) as replaced:
                    while True:
                        await ws.recv()
                assert replaced.value.rcvd is not None and replaced.value.rcvd.code == 1000
                await read(again, Reader(), lambda: channel.stats()["motion_viewers"] == 1)
                assert not [event for event in events if isinstance(event, UserLeft)], "the same user"
            await until(lambda: [event.user for event in events if isinstance(event, UserLeft)] == ["anna"])
    assert not rooms.list() and not len(service.audience)


async def test_an_agent_started_over_rest_sends_motion(service: Service) -> None:
    avatar = {"egress": "motion", "params": {"avatar_id": "ohm", "motion": {"sets": ["visemes"]}}}
    body = {"name": "a", "properties": V2["properties"] | {"channel": "lobby", "idle_timeout": 0, "avatar": avatar}}
    more: Any = {"additional_headers": HEADERS}
    async with (
        httpx.AsyncClient(trust_env=False, auth=("me", KEY), timeout=60) as http,
        connect(url(service, "rooms/lobby?user=anna"), proxy=None, **more) as ws,
    ):
        reply = await http.post(f"{service.http_url}/api/conversational-ai-agent/v2/projects/app/join", json=body)
        assert reply.status_code == 200, reply.text
        reader = Reader()
        await read(ws, reader, lambda: len(reader.frames) > 2)
        assert [group[0] for group in reader.headers[0][3]] == ["visemes"]
        assert ("state", "avatar:ohm") in [(kind, value) for _, _, kind, value in reader.alone]
        (agent,) = service.agents.active
        assert (agent.config.egress, agent.config.pixel_rate) == ("motion", 0)


async def test_what_is_refused_is_refused_in_the_handshake(service: Service) -> None:
    open_to = {
        egress: (await start(service, **({"egress": egress} if egress else {}))).json()
        for egress in ("", "video", "motion")
    }
    assert "granted" in open_to["motion"] and open_to["motion"]["granted"]["egress"] == "motion"
    assert open_to[""]["granted"]["egress"] == "both"
    id = open_to[""]["session_id"]
    other = await token(service, "/rooms/lobby", role="watch")
    cases: list[tuple[str, dict[str, str], int, str]] = [
        (id, {}, 401, "MISSING_TOKEN"),
        (id, {"authorization": "Bearer x"}, 401, "INVALID_TOKEN"),
        (id, {"authorization": f"Bearer {other}"}, 403, "NOT_ALLOWED"),
        ("nobody", HEADERS, 404, "SESSION_NOT_FOUND"),
        (f"{id}?sets=face", HEADERS, 400, "VALIDATION_ERROR"),
        (f"{id}?encoding=xml", HEADERS, 400, "VALIDATION_ERROR"),
        (f"{id}?sound=mp3", HEADERS, 400, "VALIDATION_ERROR"),
        (f"{id}?user=anna", HEADERS, 400, "VALIDATION_ERROR"),
        (open_to["video"]["session_id"], HEADERS, 403, "NO_MOTION"),
        ("rooms/lobby", {}, 401, "MISSING_TOKEN"),
        ("rooms/other", {"authorization": f"Bearer {other}"}, 403, "NOT_ALLOWED"),
        (f"rooms/lobby?user={'x' * 65}", HEADERS, 400, "VALIDATION_ERROR"),
        (id, HEADERS | {"origin": "https://evil.example"}, 403, "ORIGIN_NOT_ALLOWED"),
    ]
    for path, headers, status, code in cases:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(service, path), proxy=None, additional_headers=headers)
        assert refused.value.response.status_code == status, path
        assert json.loads(refused.value.response.body or b"")["code"] == code, path
        assert ("www-authenticate" in refused.value.response.headers) == (status == 401), "RFC 9110, section 15.5.2"
        async with httpx.AsyncClient(trust_env=False, headers=headers) as http:  # as a page has to ask
            reply = await http.get(f"{service.viewer_url}motion/{path}")
        assert (reply.status_code, reply.json()["code"]) == (status, code), path
    async with httpx.AsyncClient(trust_env=False, headers=HEADERS) as http:
        for path in (id, "rooms/lobby?user=anna"):
            assert (await http.get(f"{service.viewer_url}motion/{path}")).status_code == 204
        assert not service.rooms.list() and not len(service.audience), "to ask is not to come"
    for fields, words in (
        ({"egress": "motion", "record": {}}, "record"),
        ({"egress": "video", "motion": {}}, "egress 'video'"),
        ({"egress": "both", "motion": {"carrier": "sei"}}, "carrier"),
        ({"motion": {"sets": ["face"]}}, "motion.sets"),
    ):
        reply = await start(service, **fields)
        assert reply.status_code == 400 and words in reply.json()["message"], fields
    assert not len(service.audience)


async def test_black_video_by_whep(service: Service) -> None:
    """What is answered; tests/e2e/test_whep_page.py watches it."""
    id = (await start(service)).json()["session_id"]
    viewer = MotionViewer(kinds=("audio", "video"))
    await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
    async with httpx.AsyncClient(trust_env=False, headers=HEADERS, timeout=60, base_url=service.viewer_url) as http:
        for query, status in (("motion=sei&sets=pose", 201), ("motion=smoke", 400), ("motion=sei&sets=face", 400)):
            for path in (id, "rooms/lobby"):
                reply = await http.post(
                    f"/whep/{path}?{query}",
                    content=viewer.pc.localDescription.sdp,
                    headers={"content-type": "application/sdp"},
                )
                assert reply.status_code == status, (path, query)
                assert status != 201 or ("H264/90000" in reply.text and "VP8/90000" not in reply.text)
        for path, said in (("whep/rooms/lobby?sets=pose", "motion=sei"), ("rtc/rooms/lobby?motion=sei", "WHEP")):
            reply = await http.post(
                f"/{path}",
                content=viewer.pc.localDescription.sdp,
                headers={"content-type": "application/sdp"},
            )
            assert reply.status_code == 400 and said in reply.json()["message"]
        video = (await start(service, egress="video")).json()["session_id"]
        reply = await http.post(
            f"/whep/{video}?motion=sei",
            content=viewer.pc.localDescription.sdp,
            headers={"content-type": "application/sdp"},
        )
        assert (reply.status_code, reply.json()["code"]) == (403, "NO_MOTION")
    await viewer.close()


async def test_a_client_that_reads_nothing_costs_little(service: Service) -> None:
    """Its socket is full, its queue is: what is old is left out, and it stays until the door is tired of it."""
    id = (await start(service)).json()["session_id"]
    publisher = service.watched[id].publisher
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", service.viewer_port))
    head = f"GET /motion/{id}?sound=pcm16&encoding=json HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {KEY}\r\n"
    head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(sock, head.encode())
    await until(lambda: publisher.motions.takes)
    await until(lambda: publisher.stats()["motion_dropped"] > 20)
    (queue,) = publisher._queues
    assert len(queue._waiting) < 170
    sock.close()
    await until(lambda: not publisher.motions.takes)
