"""How many may watch, and what they missed."""

from __future__ import annotations

import asyncio
from typing import Any

import aiortc
import httpx
import pytest

import lipwire
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel import Rooms
from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.provider.client import ProviderClient, request
from lipwire.publish import WebRTC
from lipwire.publish.audience import MAX_VIEWERS, Audience, Missed


class Somebody:
    def __init__(self, sound: int = 0, pictures: int = 0) -> None:
        self.missed = Missed(sound, pictures)


def test_it_is_full_when_it_is_full() -> None:
    audience = Audience(2)
    first, second = Somebody(), Somebody()
    audience.enter(first)
    audience.enter(second)
    with pytest.raises(NoCapacity, match=r"2 viewers are connected.*max_viewers") as refused:
        audience.enter(Somebody())
    assert refused.value.retry_after > 0 and audience.refused == 1 and len(audience) == 2
    audience.leave(first)
    audience.leave(first)
    audience.enter(Somebody())
    assert len(audience) == 2


def test_who_comes_again_has_a_place_already() -> None:
    audience, user = Audience(1), object()
    old, new = Somebody(), Somebody()
    audience.enter(old, user)
    audience.enter(new, user)
    audience.leave(old)
    assert len(audience) == 1
    with pytest.raises(NoCapacity):
        audience.enter(Somebody(), object())


def test_what_was_missed_is_counted_of_those_who_have_gone_too() -> None:
    audience = Audience()
    assert audience.limit == MAX_VIEWERS
    gone, here = Somebody(1, 20), Somebody(0, 5)
    audience.enter(gone)
    audience.enter(here)
    audience.leave(gone)
    here.missed = Missed(0, 7)
    assert audience.missed == Missed(1, 27)


async def offer() -> tuple[aiortc.RTCPeerConnection, str]:
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.createDataChannel("lipwire")
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    return pc, pc.localDescription.sdp


async def test_an_offer_that_is_refused_leaves_a_place() -> None:
    publisher = WebRTC(ice_host="127.0.0.1", audience=Audience(1))
    pc, sdp = await offer()
    async with lipwire.Session(publisher, width=64, height=36):
        for _ in range(3):
            with pytest.raises(InvalidArgument):
                await publisher.answer("v=0\r\nm=nonsense")
        await publisher.answer(sdp)
        with pytest.raises(NoCapacity):
            await publisher.answer(sdp)
        assert publisher.stats() | {"connected": 0} == {
            "connected": 0, "audience": 1, "max_viewers": 1, "encoders": 0, "sound_dropped": 0, "pictures_dropped": 0,
            "motion_viewers": 0, "motion_messages": 0, "motion_bytes": 0, "motion_dropped": 0,
        }  # fmt: skip
    assert len(publisher.audience) == 0
    await pc.close()


async def test_a_room_refuses_and_keeps_nobody() -> None:
    rooms = Rooms(ice_host="127.0.0.1", audience=Audience(1))
    pc, sdp = await offer()
    await rooms.answer("lobby", "anna", sdp)
    for _ in range(2):
        with pytest.raises(NoCapacity, match="max_viewers"):
            await rooms.answer("elsewhere", "ben", sdp)
    assert [*rooms.list()] == ["lobby"]
    again, sdp = await offer()
    await rooms.answer("lobby", "anna", sdp)  # the same user on a new connection
    await rooms.close()
    assert len(rooms.audience) == 0
    await asyncio.gather(pc.close(), again.close())


async def test_over_http_it_is_a_503_that_says_when_to_try_again() -> None:
    config = Config(http_port=0, ws_port=0, viewer_port=0, host="127.0.0.1", ice_host="127.0.0.1", max_viewers=1)
    async with (
        Service(config) as service,
        httpx.AsyncClient(base_url=service.viewer_url, trust_env=False) as http,
        ProviderClient(service.http_url, service.api_key, request("c", width=64, height=36)) as client,
    ):
        assert client.session is not None
        connections: list[Any] = []
        replies = []
        for path, more in (
            (f"whep/{client.session.session_id}", {}),
            (f"whep/{client.session.session_id}", {}),
            ("api/rooms/lobby/offer", {"user": "anna"}),
        ):
            pc, sdp = await offer()
            connections.append(pc)
            form: dict[str, Any] = {"headers": {"content-type": "application/sdp"}, "content": sdp, "params": more}
            replies.append(await http.post(path, **form))
        assert [reply.status_code for reply in replies] == [201, 503, 503], [reply.text for reply in replies]
        for reply in replies[1:]:
            assert reply.json()["code"] == "NO_CAPACITY" and "max_viewers" in reply.json()["message"]
            assert int(reply.headers["Retry-After"]) >= 1
        (watched,) = service.watched.values()
        assert watched.session.stats()["viewers"]["max_viewers"] == 1
        metrics = (await http.get(f"{service.http_url}/metrics", headers={"x-api-key": service.api_key})).text
        for line in ("lipwire_viewers 1.0", "lipwire_viewers_limit 1.0", "lipwire_viewers_refused_total 2.0"):
            assert line in metrics
        assert "lipwire_viewer_pictures_dropped_total 0.0" in metrics
        assert "lipwire_viewer_sound_dropped_total 0.0" in metrics
        await asyncio.gather(*(pc.close() for pc in connections))
