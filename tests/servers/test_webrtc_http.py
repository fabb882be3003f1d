"""servers/webrtc_http.py over the real server: WHEP and WHIP with aiortc as the client, rule by rule."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiortc.sdp import candidate_from_sdp

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel.base import ChannelEvent, Heard
from lipwire.provider.sessions import ProviderError
from lipwire.publish import aiortc_private
from lipwire.publish.fragment import parse_fragment
from lipwire.publish.peer import Peer
from lipwire.servers.webrtc_http import Admitted, Endpoint, Resources
from lipwire.stream import StreamSpec
from support.guest import Tone, sine
from support.provider_stage import start_body
from support.whip import FRAGMENT, SDP, Client

PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1", "ice_host": "127.0.0.1"}
KEY = "key-of-the-tests"
APP = "https://app.example"


class Site:
    def __init__(self, service: Service, http: httpx.AsyncClient, started: dict[str, Any]) -> None:
        self.service, self.http = service, http
        self.session: str = started["session_id"]
        self.token: str = started["session_token"]
        self.whep = f"/whep/{self.session}"

    @property
    def viewers(self) -> set[Peer]:
        return self.service.watched[self.session].publisher._peers

    async def close(self) -> None:
        for peer in tuple(self.viewers):
            await peer.close()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with make(Config(**PORTS, api_key=KEY, allowed_origins=(APP,))) as made:
        yield made


class make:
    """A server with a session, and an HTTP client that has its key."""

    def __init__(self, config: Config) -> None:
        self.service = Service(config)

    async def __aenter__(self) -> Site:
        await self.service.start()
        self.http = httpx.AsyncClient(
            base_url=self.service.viewer_url, trust_env=False, timeout=60, headers={"x-api-key": KEY}
        )
        body = start_body(width=64, height=64, fps=10)
        reply = await self.http.post(f"{self.service.http_url}/session/start", json=body)
        return Site(self.service, self.http, reply.json())

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.service.close()


async def test_a_player_watches_until_it_says_goodbye(site: Site) -> None:
    async with Client(site.http, site.whep) as player:
        headers = player.reply.headers
        assert headers["content-type"].startswith("application/sdp")
        assert headers["location"].startswith("peers/") and headers["accept-patch"] == FRAGMENT["content-type"]
        assert headers["etag"].startswith('"') and len(headers["etag"]) > 8 and "link" not in headers
        assert player.reply.text.count("a=sendonly") == 2
        await player.until(sound=3, pictures=2)
        (peer,) = site.viewers
        assert (await player.delete()).status_code == 200
        await peer.close()
        assert peer.closed and not site.viewers
        for again in (await player.delete(), await player.patch(player.fragment(), "*")):
            assert (again.status_code, again.json()["code"]) == (404, "SESSION_NOT_FOUND")


async def test_who_is_gone_is_forgotten() -> None:
    class Gone:
        closed = False

    resources, peer = Resources(), Gone()
    endpoint: Any = Endpoint(path="{name:str}", protocol="whep", about="", check=lambda *_: None, admit=None)  # type: ignore[arg-type]
    admitted: Any = Admitted("", peer, id)  # type: ignore[arg-type]
    number = resources.add(endpoint, "s", admitted)
    request: Any = None
    assert resources.find("whep", number, request)[0] is peer
    with pytest.raises(ProviderError):
        resources.find("whip", number, request)
    peer.closed = True
    with pytest.raises(ProviderError):
        resources.find("whep", number, request)
    del peer, admitted
    gc.collect()
    assert len(resources) == 0


async def test_a_player_trickles(site: Site) -> None:
    async with Client(site.http, site.whep, trickles=True) as player:
        await player.until(pictures=1)


async def test_a_room_is_watched_and_spoken_in(site: Site) -> None:
    """By one name with one token: WHIP and WHEP beside each other, and each ends by itself."""
    heard: list[ChannelEvent] = []
    channel = site.service.rooms.channel("lobby", "agent", heard.append)
    await channel.open(StreamSpec(session_id="s", width=64, height=64, fps=Fraction(10)))
    channel.subscribe()
    token = site.service.provider.authority.issue("room", "lobby", "member", ttl=60, owner="operator", name="anna")
    bearer = {"authorization": f"Bearer {token}"}

    async def until_heard() -> None:
        heard.clear()
        async with asyncio.timeout(30):
            while not any(isinstance(event, Heard) and event.user == "anna" for event in heard):
                await asyncio.sleep(0.01)

    def members() -> list[str]:
        return [member.user for member in site.service.rooms.list()["lobby"] if member.connected]

    async with (
        httpx.AsyncClient(base_url=site.service.viewer_url, trust_env=False, timeout=60) as stranger,
        Client(stranger, "/whip/rooms/lobby", bearer, microphone=Tone(sine(440, 8000))) as sender,
        Client(site.http, "/whip/rooms/lobby?user=bob", microphone=Tone(sine(220, 8000))),
    ):
        assert sender.reply.headers["location"].startswith("../peers/")
        assert "a=recvonly" in sender.reply.text and "a=sendonly" not in sender.reply.text
        for _ in range(2):  # a second player takes the place of the first
            player = Client(stranger, "/whep/rooms/lobby", bearer)
            assert (await player.offer()).status_code == 201
            await player.connect()
            await player.until(sound=3)  # of bob
            await until_heard()
        assert members() == ["agent", "anna", "bob"]
        assert site.service.heard["room"].read().packets_received > 0
        assert (await player.delete()).status_code == 200
        await until_heard()
        assert (await sender.delete()).status_code == 200  # and she has left, without the wait of a lost connection
        assert members() == ["agent", "bob"]
        other = Client(stranger, "/whip/rooms/lobby?user=eve", bearer, microphone=Tone(sine(440, 8000)))
        assert ((await other.offer()).status_code, other.reply.json()["code"]) == (403, "NOT_ALLOWED")
        for client in (player, other):
            await client.close()
    await channel.close()


async def test_a_room_is_talked_in_over_one_connection(site: Site) -> None:
    heard: list[ChannelEvent] = []
    channel = site.service.rooms.channel("lobby", "agent", heard.append)
    await channel.open(StreamSpec(session_id="s", width=64, height=64, fps=Fraction(10)))
    channel.subscribe()
    talker = Client(site.http, "/rtc/rooms/lobby?user=anna", microphone=Tone(sine(440, 8000)), trickles=True)
    for transceiver in talker.pc.getTransceivers():
        transceiver.direction = "sendrecv"
    async with (
        talker,
        Client(site.http, "/rtc/rooms/lobby?user=bob", microphone=Tone(sine(220, 8000))),
        asyncio.timeout(30),
    ):
        assert talker.reply.headers["location"].startswith("../peers/") and "a=sendrecv" in talker.reply.text
        await talker.until(sound=3)  # of bob
        while not any(isinstance(event, Heard) and event.user == "anna" for event in heard):
            await asyncio.sleep(0.01)
        refused = await talker.patch(talker.fragment(), '"another"')
        assert (refused.status_code, refused.json()["code"]) == (412, "PRECONDITION_FAILED")
        assert (await talker.delete()).status_code == 200
        assert [member.user for member in site.service.rooms.list()["lobby"]] == ["agent", "bob"]
    await channel.close()


async def test_what_is_asked_of_an_endpoint(site: Site) -> None:
    player = Client(site.http, site.whep)
    await player.pc.setLocalDescription(await player.pc.createOffer())
    sdp = player.pc.localDescription.sdp
    for method in ("GET", "HEAD"):
        reply = await site.http.request(method, site.whep)
        assert (reply.status_code, reply.content) == (204, b"")
    options = await site.http.options(site.whep)
    assert (options.status_code, options.headers["accept-post"]) == (200, "application/sdp")
    for headers, content, status in (
        (SDP, sdp.replace("recvonly", "sendonly"), 400),
        (SDP, sdp.replace("recvonly", "inactive"), 400),
        (SDP, b"\xff", 400),
        (SDP, "", 400),
        ({"content-type": "application/json"}, "{}", 415),
        (FRAGMENT, sdp, 415),
        (SDP | {"x-api-key": "wrong"}, sdp, 401),
    ):
        reply = await site.http.post(site.whep, headers=headers, content=content)
        assert (reply.status_code, set(reply.json())) == (status, {"error", "message", "code"}), reply.text
    assert (await site.http.post("/whep/none", headers=SDP, content=sdp)).status_code == 404
    reply = await site.http.post(f"{site.whep}/", headers=SDP, content=sdp.replace("recvonly", "sendrecv"))
    assert reply.headers["location"].startswith("../peers/")
    assert reply.status_code == 201 and "a=sendonly" in reply.text and "a=sendrecv" not in reply.text
    await player.close()
    await site.close()


async def test_what_is_asked_of_a_patch(site: Site) -> None:
    player = Client(site.http, site.whep)
    reply = await player.offer()
    tag, body = reply.headers["etag"], player.fragment()
    for match, content, headers, status, code in (
        (None, body, {}, 428, "PRECONDITION_REQUIRED"),
        ('"another"', body, {}, 412, "PRECONDITION_FAILED"),
        (f"W/{tag}", body, {}, 412, "PRECONDITION_FAILED"),
        (tag, "nonsense", {}, 400, "VALIDATION_ERROR"),
        (tag, body, {"content-type": "application/sdp"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (tag, body, {"x-api-key": "wrong"}, 401, "INVALID_API_KEY"),
    ):
        refused = await player.patch(content, match, **headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    for match in (tag, f'"another", {tag}', "*", '"*"'):
        assert (await player.patch(body, match)).status_code == 204
    fresh = body.replace("a=ice-ufrag:", "a=ice-ufrag:else")
    refused = await player.patch(fresh, "*")  # before there is any path
    assert (refused.status_code, refused.json()["code"]) == (503, "NO_CAPACITY")
    for path in (player.location, "/whep/peers/none"):
        stranger = await site.http.patch(path, headers=FRAGMENT | {"x-api-key": "", "if-match": "*"}, content=body)
        assert stranger.status_code in (401, 404)
    assert (await player.http.delete(player.location, headers={"if-match": '"another"'})).status_code == 200
    await player.close()
    await site.close()


async def test_ice_is_restarted_and_nothing_stops(site: Site) -> None:
    """The client's half of a restart, which aiortc has not, is made of the server's: what Chromium does is in
    tests/e2e/test_whep_page.py."""
    async with Client(site.http, site.whep) as player:
        await player.until(pictures=1)
        tag = player.reply.headers["etag"]
        (ice,) = {t.receiver.transport.transport for t in player.pc.getTransceivers()}
        theirs = ice._connection
        restart = aiortc_private.Restart(ice, [], "127.0.0.1", ("", ""), [])
        candidates = [f"a=candidate:{one}" for one in await restart.gather()]
        names = f"a=ice-ufrag:{restart.connection.local_username}\r\na=ice-pwd:{restart.connection.local_password}\r\n"
        section = [line for line in player.fragment().splitlines() if line.startswith(("m=", "a=mid"))]
        body = "\r\n".join([*section, *candidates, ""]) + names
        reply = await player.patch(body, "*")
        assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, FRAGMENT["content-type"])
        fresh = reply.headers["etag"]
        assert fresh != tag and (await player.patch(body, tag)).status_code == 412
        assert (await player.patch(body, fresh)).status_code == 204  # the same names: candidates of the new session
        again = await player.patch(body.replace("a=ice-ufrag:", "a=ice-ufrag:else"), fresh)  # one at a time
        assert (again.status_code, again.json()["code"]) == (503, "NO_CAPACITY")
        answer = parse_fragment(reply.text)
        assert answer.ufrag is not None and answer.password is not None
        restart.connection.remote_username, restart.connection.remote_password = answer.ufrag, answer.password
        for candidate in answer.sections[0].candidates:
            await aiortc_private.add_candidate(restart.connection, candidate_from_sdp(candidate))
        await player.until(pictures=1)  # over the old path
        async with asyncio.timeout(30):
            await restart.connect()
            await restart.move(lambda: None)
            (peer,) = site.viewers
            while peer._moving is None or not peer._moving.done():
                await asyncio.sleep(0.01)
        assert ice._connection is not theirs and theirs._closed
        await player.until(sound=5, pictures=3)
        assert player.pc.connectionState == "connected" and peer.connected


async def test_a_restart_that_is_ended_before_it_began_leaves_nothing(site: Site) -> None:
    async with Client(site.http, site.whep) as player:
        await player.until(pictures=1)
        (peer,) = site.viewers
        await peer.restart(parse_fragment(player.fragment().replace("a=ice-ufrag:", "a=ice-ufrag:else")))
        restart, moving = peer._restart, peer._moving
        assert restart is not None and moving is not None and not restart.connection._closed
        moving.cancel()
        await peer.close()
        assert restart.connection._closed and not restart.connection._protocols


async def test_a_restart_counts_as_a_join() -> None:
    async with make(Config(**PORTS, api_key=KEY, joins_a_minute=1)) as site:
        player = Client(site.http, site.whep)
        assert (await player.offer()).status_code == 201
        assert (await player.patch(player.fragment(), "*")).status_code == 204
        refused = await player.patch(player.fragment().replace("a=ice-ufrag:", "a=ice-ufrag:else"), "*")
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
        await player.close()
        await site.close()


async def test_a_page_of_another_origin_may_watch(site: Site) -> None:
    page = {"origin": APP}
    asked = {
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "authorization, content-type, if-match",
    }
    reply = await site.http.options(site.whep, headers=page | asked)
    allowed = set(reply.headers["access-control-allow-headers"].split(", "))
    assert {"authorization", "content-type", "if-match"} <= allowed
    assert {"PATCH", "DELETE"} <= set(reply.headers["access-control-allow-methods"].split(", "))
    player = Client(site.http, site.whep, page)
    shown = set((await player.offer()).headers["access-control-expose-headers"].split(", "))
    assert player.reply.headers["access-control-allow-origin"] == APP and {"location", "etag", "link"} <= shown
    evil = await site.http.options(site.whep, headers=asked | {"origin": "https://evil.example"})
    assert evil.status_code == 403
    await player.close()
    await site.close()


async def test_ice_servers_are_told_to_who_may_connect() -> None:
    urls = ("stun:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp")
    async with make(Config(**PORTS, api_key=KEY, ice_servers=urls, turn_secret="north")) as site:
        stranger = {"x-api-key": ""}
        told = (await site.http.options(site.whep)).headers.get_list("link")
        assert [link.split(";")[0] for link in told] == [f"<{url}>" for url in urls]
        assert 'rel="ice-server"' in told[1] and ':lipwire"' in told[1] and 'credential-type="password"' in told[1]
        async with httpx.AsyncClient(base_url=site.service.viewer_url, trust_env=False) as nobody:
            reply = await nobody.options(site.whep)
            assert (reply.status_code, reply.headers.get_list("link")) == (200, [])
        assert (await site.http.options(site.whep, headers=stranger)).status_code == 401
        told = (await site.http.options("/rtc/rooms/lobby")).headers.get_list("link")
        assert [link.split(";")[0] for link in told] == [f"<{url}>" for url in urls]
