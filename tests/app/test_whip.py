"""app/whip.py: a session spoken through by WHIP, over the real server, with aiortc as the sender. Chromium is in
tests/e2e/test_whep_page.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import LiveAvatar, Service
from support.guest import PACKET, RATE, Pictures, Tone
from support.provider_stage import start_body
from support.whip import Client

PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1", "ice_host": "127.0.0.1"}
KEY = "key-of-the-tests"


class Stage:
    """A server with one session."""

    def __init__(self, service: Service, http: httpx.AsyncClient, started: dict[str, Any]) -> None:
        self.service, self.http = service, http
        self.whip = f"/whip/{started['session_id']}"
        self.token: str = started["session_token"]
        self.bearer = {"authorization": f"Bearer {self.token}"}
        session = service.watched[started["session_id"]].session
        assert isinstance(session, LiveAvatar)
        self.session = session

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    config = Config(**PORTS, api_key=KEY)
    async with Service(config) as service, httpx.AsyncClient(base_url=service.viewer_url, trust_env=False) as http:
        body = start_body(width=64, height=64, fps=10)
        reply = await http.post(f"{service.http_url}/session/start", headers={"x-api-key": KEY}, json=body)
        yield Stage(service, http, reply.json())


def words(at: int) -> np.ndarray[Any, Any]:
    """Half a second of a tone, a second of silence, and so on."""
    t = at + np.arange(PACKET)
    return np.sin(2 * np.pi * 300 * t / RATE) * 9000 * (t % (3 * RATE // 2) < RATE // 2)


async def test_sound_is_said_in_utterances_until_the_sender_goes(stage: Stage) -> None:
    figures = stage.session.stats
    assert figures()["whip"] == {"connected": False, "utterances": 0, "refused": 0} and not figures()["receiving"]
    sound, pictures = Tone(words), Pictures(64, 64, 90)
    async with Client(stage.http, stage.whip, stage.bearer, microphone=sound, camera=pictures) as sender:
        assert sender.reply.text.count("a=recvonly") == 2 and "useinbandfec=1" in sender.reply.text
        await stage.until(lambda: stage.session.heard[0] not in (None, "whip-1"))
        assert str(stage.session.heard[0]).startswith("whip-")
        told = figures()
        assert told["receiving"] and told["whip"]["connected"] and told["whip"]["packetsReceived"] > 20
        stage.session.interrupt()
        before = figures()["whip"]["utterances"]
        await stage.until(lambda: figures()["whip"]["utterances"] > before)
        assert (await sender.delete()).status_code == 200
    await stage.until(lambda: not figures()["whip"]["connected"])
    assert not figures()["receiving"] and figures()["whip"]["refused"] == 0
    tallied = stage.service.heard["whip"].read()
    assert tallied.streams == 0 and tallied.packets_received >= told["whip"]["packetsReceived"]
    async with asyncio.timeout(30):
        await stage.session.finished()  # what had begun has its end


async def test_the_newest_sender_speaks(stage: Stage) -> None:
    async with Client(stage.http, stage.whip, stage.bearer, microphone=Tone(words)) as first:
        await stage.until(lambda: stage.session.stats()["whip"]["utterances"] >= 1)
        async with Client(stage.http, stage.whip, stage.bearer, microphone=Tone(words)) as second:
            await stage.until(lambda: len(stage.session.whip._peers) == 1)
            assert (await first.delete()).status_code == 404  # its connection has ended
            before = stage.session.stats()["whip"]["utterances"]
            await stage.until(lambda: stage.session.stats()["whip"]["utterances"] > before)
            await stage.session.close()
            assert (await second.delete()).status_code == 404
    assert stage.session.stats()["whip"]["connected"] is False
