"""servers/offers.py over the real server: offers as JSON and as plain SDP, good ones; and odd ones of every kind, to
rooms and to WHEP."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.errors import BufferFull
from support.provider_stage import start_body

PLAIN = {"content-type": "application/sdp"}


class Site:
    def __init__(self, service: Service, client: httpx.AsyncClient, session_id: str) -> None:
        self.service, self.client = service, client
        self.session = f"/api/sessions/{session_id}"
        self.whep = f"/whep/{session_id}"
        self.publisher = service.watched[session_id].publisher

    async def forget(self) -> None:
        """Ends every connection that an offer began."""
        for peer in tuple(self.publisher._peers):
            await peer.close()
        for room in tuple(self.service.rooms._rooms.values()):
            for peer in tuple(room.peers):
                await peer.close()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1")
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        client.base_url = httpx.URL(service.viewer_url)
        body = start_body(width=64, height=64, fps=5)
        reply = await client.post(
            f"{service.http_url}/session/start", headers={"x-api-key": service.api_key}, json=body
        )
        yield Site(service, client, reply.json()["session_id"])


async def offer(pc: RTCPeerConnection) -> str:
    pc.addTransceiver("audio", direction="recvonly")
    pc.addTransceiver("video", direction="recvonly")
    pc.createDataChannel("lipwire")
    await pc.setLocalDescription(await pc.createOffer())
    sdp: str = pc.localDescription.sdp
    return sdp


@pytest_asyncio.fixture
async def pc() -> AsyncIterator[RTCPeerConnection]:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    yield connection
    await connection.close()


@pytest.mark.parametrize("form", ["json", "sdp"])
async def test_an_offer_in_both_forms(site: Site, pc: RTCPeerConnection, form: str) -> None:
    sdp = await offer(pc)
    path = "/api/rooms/r/offer"
    if form == "json":
        reply = await site.client.post(path, json={"sdp": sdp, "type": "offer", "user": "u"})
        assert reply.json()["type"] == "answer"
        answer = reply.json()["sdp"]
    else:
        reply = await site.client.post(f"{path}?user=u", headers=PLAIN, content=sdp)
        assert reply.headers["content-type"].startswith("application/sdp")
        answer = reply.text
    assert reply.status_code == 200
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))  # it is one that a browser takes
    assert [section.kind for section in pc.getTransceivers()] == ["audio", "video"]
    await site.forget()


def mutations(sdp: str, count: int, seed: int) -> list[str]:
    """Odd offers: each way of making them once for what is known to have hurt, then at random."""
    lines = sdp.splitlines()
    known = [
        "\r\n".join(line for line in lines if not line.startswith("a=mid")),
        "\r\n".join(line for line in lines if not line.startswith("m=")),
        "\r\n".join(line for line in lines if not line.startswith("a=group")),
        "\r\n".join(line for line in lines if not line.startswith("a=ice-")),
        "\r\n".join(line for line in lines if not line.startswith("a=fingerprint")),
        "\r\n".join(line for line in lines if not line.startswith("a=setup")),
        "\r\n".join(line for line in lines if not line.startswith("a=rtpmap")),
        "m=",
        "m=\r\n" * 3,
        "m=audio",
        "m=audio 9 UDP/TLS/RTP/SAVPF",
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 999999999999\r\n",
        "m=\x00",
        "x m= y",
        sdp.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        sdp.replace("m=audio", "m=text"),
        sdp.replace("recvonly", "sendrecv"),
        sdp.replace("a=mid:0", "a=mid:1"),
        sdp + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 20,
        sdp.replace("\r\n", "\n"),
        sdp.replace("\r\n", "\r"),
    ]
    rng = random.Random(seed)
    odd = []
    for _ in range(count):
        mutated = list(lines)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(mutated))
            match rng.randrange(8):
                case 0:
                    del mutated[at]
                case 1:
                    mutated.insert(rng.randrange(len(mutated)), mutated[at])
                case 2:
                    mutated[at] = mutated[at][: rng.randrange(len(mutated[at]) + 1)]
                case 3:
                    other = rng.randrange(len(mutated))
                    mutated[at], mutated[other] = mutated[other], mutated[at]
                case 4:
                    words = mutated[at].split(" ")
                    words[rng.randrange(len(words))] = rng.choice(
                        ["", "0", "-1", "99999999999999999999", "é", "a=b:c", "\x00"]
                    )
                    mutated[at] = " ".join(words)
                case 5:
                    name, colon, value = mutated[at].partition(":")
                    mutated[at] = name if colon else f"{name}:{value}"
                case 6:
                    prefix = mutated[at].partition(":")[0]
                    mutated = [line for line in mutated if not line.startswith(prefix)] or ["m="]
                case _:
                    mutated = mutated[: at + 1]
        odd.append("\r\n".join(mutated) + "\r\n")
    return known + odd


@pytest.mark.slow
async def test_odd_offers_are_answered_or_refused_in_words(
    site: Site, pc: RTCPeerConnection, caplog: pytest.LogCaptureFixture
) -> None:
    sdp = await offer(pc)
    counts: dict[int, int] = {}
    for number, odd in enumerate(mutations(sdp, 120, seed=15)):
        path = site.whep if number % 2 else "/api/rooms/r/offer"
        if number % 4 == 2:
            more: Any = {"json": {"sdp": odd, "type": "offer", "user": "u"}}
        else:
            more = {"headers": PLAIN, "content": odd.encode(), "params": {"user": "u"}}
        reply = await site.client.post(path, **more)
        assert reply.status_code in (200, 201, 400), (reply.status_code, reply.text, odd)
        if reply.status_code == 400:
            assert reply.json()["code"] == "VALIDATION_ERROR", odd
            assert len(reply.json()["message"]) > 10, odd
        counts[reply.status_code] = counts.get(reply.status_code, 0) + 1
        await site.forget()
    assert min(counts.values()) > 10, counts  # some were answered, some refused
    gc.collect()  # what a task raised and nobody asked for is told then
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert site.publisher._peers == set()


async def test_bodies_that_are_no_offers(site: Site) -> None:
    for headers, content, status in (
        (PLAIN, b"\xff\xfe", 400),
        (PLAIN, b"", 400),
        (PLAIN, b"m=" * 64_000, 400),
        (PLAIN, b"m=" * 66_000, 413),
        ({"content-type": "text/plain"}, b"v=0", 415),
        ({"content-type": "application/json"}, b"v=0", 400),
        ({"content-type": "application/json"}, b'{"sdp": 1, "type": "offer"}', 400),
        ({"content-type": "application/json"}, b'{"sdp": "m=audio", "type": "answer"}', 400),
    ):
        reply = await site.client.post("/api/rooms/r/offer?user=u", headers=headers, content=content)
        assert reply.status_code == status, content[:20]
        assert set(reply.json()) == {"error", "message", "code"}


async def test_say_into_a_full_buffer_is_refused_and_the_speech_goes_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (watched,) = site.service.watched.values()
    session = watched.session
    path = f"{site.session}/say"
    # Its voice is loaded before the buffer is filled: that can take longer than words need to find room.
    assert (await site.client.post(path, json={"text": "Words."})).json() == {"status": "ok"}
    second = bytes(2 * 48000)
    with pytest.raises(BufferFull):
        for _ in range(1000):
            session.write(second, 48000)
    full = session.space
    # A first sentence that fits, and then more than there is room for, however slow this machine is.
    text = "No. " + "There is no room for all these words, however few each sentence has. " * 7
    reply = await site.client.post(path, json={"text": text[:500]})
    assert (reply.status_code, reply.json().get("code")) == (429, "BUFFER_FULL")
    assert session.space >= full, "a part of what was refused was taken"
    assert int(reply.headers["retry-after"]) >= 1
    assert [record for record in caplog.records if record.exc_info] == []
    session.interrupt()
    async with asyncio.timeout(30):  # the buffer is void from the clock's next step on
        while (await site.client.post(path, json={"text": "Now there is."})).json() != {"status": "ok"}:
            await asyncio.sleep(0.01)
