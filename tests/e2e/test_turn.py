"""STUN and TURN through Debian's coturn: the credentials that we make open it, to a player and to our own end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiortc
import httpx
import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.publish import aiortc_private
from support.coturn import SECRET, Coturn
from support.provider_stage import start_body
from support.whip import Client

PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
LINK = re.compile(
    r'<(turn:[^>]*)>; rel="ice-server"; username="([^"]*)"; credential="([^"]*)"; credential-type="password"'
)


class Site:
    def __init__(self, turn: Coturn, http: httpx.AsyncClient, service: Service, session_id: str) -> None:
        self.turn, self.http, self.service = turn, http, service
        self.whep = f"/whep/{session_id}"

    def pair(self) -> Any:
        """The candidates that our end of the one connection has chosen."""
        ((peer, *_),) = (watched.publisher.viewers for watched in self.service.watched.values())
        (ice,) = {t.receiver.transport.transport for t in peer.pc.getTransceivers()}
        return ice._connection._nominated[1]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Coturn(tmp_path) as turn:
        config = Config(**PORTS, ice_host="127.0.0.1", ice_servers=turn.urls, turn_secret=SECRET)
        async with (
            Service(config) as service,
            httpx.AsyncClient(base_url=service.viewer_url, trust_env=False, timeout=60) as http,
        ):
            body, key = start_body(width=64, height=64, fps=10), {"x-api-key": service.api_key}
            reply = await http.post(f"{service.http_url}/session/start", headers=key, json=body)
            yield Site(turn, http, service, reply.json()["session_id"])


async def test_a_player_that_only_the_turn_server_reaches(site: Site) -> None:
    told = LINK.search(", ".join((await site.http.options(site.whep)).headers.get_list("link")))
    assert told is not None
    url, username, credential = told.groups()
    server = aiortc.RTCIceServer(urls=url, username=username, credential=credential)
    async with Client(site.http, site.whep, servers=[server], policy="relay") as player:
        sent = [line for line in player.pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
        assert sent and all(" typ relay" in line for line in sent)
        # Our own end offers what it has of both servers. (On loopback STUN finds the address that there is already.)
        assert " typ relay raddr 127.0.0.1" in player.reply.text
        await player.until(sound=3, pictures=2)
    wrong = aiortc.RTCIceServer(urls=url, username=username, credential="wrong")
    stranger = Client(site.http, site.whep, servers=[wrong], policy="relay")
    await stranger.pc.setLocalDescription(await stranger.pc.createOffer())
    assert "a=candidate" not in stranger.pc.localDescription.sdp
    await stranger.close()


async def test_our_end_through_the_turn_server(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that nothing else reaches: what it sends leaves on a channel of the TURN server's."""
    configuration = aiortc_private.configuration

    def relay_only(servers: Any) -> aiortc.RTCConfiguration:
        made = configuration(servers)
        made.iceTransportPolicy = aiortc.RTCIceTransportPolicy.RELAY
        return made

    monkeypatch.setattr(aiortc_private, "configuration", relay_only)
    monkeypatch.setattr(aiortc_private, "offer_addresses", lambda pc, host: None)
    async with Client(site.http, site.whep) as player:
        found = [line for line in player.reply.text.splitlines() if line.startswith("a=candidate")]
        assert found and all(" typ relay" in line for line in found)
        await player.until(sound=3, pictures=2)
        pair = site.pair()
        assert pair.local_candidate.type == "relay"
        (watched,) = site.service.watched.values()
        (peer,) = watched.publisher.viewers
        (link,) = peer._links.values()
        assert link._path.channel >= 0x4000 and link._path.address is None
        assert link.stats()["packets"] > 0 and link.stats()["unsent"] == 0
