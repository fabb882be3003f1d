"""app/whip.py: a session spoken through by WHIP, over the real server, with aiortc, FFmpeg and GStreamer as senders.
Chromium is in tests/e2e/test_whep_page.py, a sender from npm in tests/e2e/test_peers_from_npm.py."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import LiveAvatar, Service
from support.certificates import Authority
from support.guest import PACKET, RATE, Pictures, Tone
from support.island import island
from support.machine import require
from support.paths import ROOT
from support.provider_stage import start_body
from support.whip import Client

PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1", "ice_host": "127.0.0.1"}
KEY = "key-of-the-tests"


class Stage:
    """A server with one session."""

    def __init__(self, service: Service, http: httpx.AsyncClient, started: dict[str, Any]) -> None:
        self.service, self.http = service, http
        self.whip = f"/whip/{started['session_id']}"
        self.url = f"{service.viewer_url}{self.whip.lstrip('/')}"
        self.token: str = started["session_token"]
        self.bearer = {"authorization": f"Bearer {self.token}"}
        session = service.watched[started["session_id"]].session
        assert isinstance(session, LiveAvatar)
        self.session = session

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def staged(**changes: Any) -> AsyncIterator[Stage]:
    config = Config(**(PORTS | changes), api_key=KEY)
    async with (
        Service(config) as service,
        httpx.AsyncClient(base_url=service.viewer_url, trust_env=False, timeout=60) as http,
    ):
        body = start_body(width=64, height=64, fps=10)
        reply = await http.post(f"{service.http_url}/session/start", headers={"x-api-key": KEY}, json=body)
        yield Stage(service, http, reply.json())


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


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
    async with asyncio.timeout(60):
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


async def test_ffmpeg_speaks(stage: Stage, tmp_path: Path) -> None:
    """The muxer `whip`, which FFmpeg has from 8.0 on: sound and pictures, and its goodbye."""
    require("whip" in av.formats_available, "FFmpeg's whip (PyAV 16)")
    figures = stage.session.stats
    certificate, key = Authority(tmp_path).issue("ffmpeg")
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.ffmpeg_whip", stage.url, stage.token, str(certificate), str(key)),
        cwd=ROOT / "tests",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await stage.until(lambda: stage.session.heard[0] not in (None, "whip-1") or sender.returncode is not None)
        assert figures()["whip"]["packetsReceived"] > 20
    finally:
        _, said = await sender.communicate(b"")
    assert sender.returncode == 0, said
    await stage.until(lambda: not figures()["whip"]["connected"])


async def test_gstreamer_speaks(tmp_path: Path) -> None:
    """Meetecho's client over GStreamer's webrtcbin, as Debian has it. libnice knows no loopback, so that the two meet
    on a network of their own."""
    program = shutil.which("whip-client")
    require(program and shutil.which("cc"), "whip-client (Debian: simple-whip-client), and a C compiler")
    require(shutil.which("ip"), "ip (Debian: iproute2)")
    assert program is not None
    pipeline = (
        "audiotestsrc is-live=true wave=ticks tick-interval=1500000000 sine-periods-per-tick=220 ! audioconvert "
        "! audioresample ! opusenc ! rtpopuspay pt=100 ssrc=1 "
        "! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
    )
    with island() as (address, inside):
        async with staged(host=address, ice_host=address) as stage:
            sender = await asyncio.create_subprocess_exec(
                *(*inside, program, "-o", "-u", stage.url, "-t", stage.token, "-A", pipeline),
                env=os.environ | {"LD_LIBRARY_PATH": str(without_upnp(tmp_path))},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            figures = stage.session.stats
            try:
                await stage.until(
                    lambda: stage.session.heard[0] not in (None, "whip-1") or sender.returncode is not None
                )
                assert figures()["whip"]["packetsReceived"] > 20
            finally:
                if sender.returncode is None:
                    sender.send_signal(signal.SIGINT)
                said, _ = await sender.communicate()
            assert sender.returncode == 0, said
            await stage.until(lambda: not figures()["whip"]["connected"])


def without_upnp(folder: Path) -> Path:
    """A folder with a library that stands in for gupnp-igd, by which Debian's libnice would ask routers for ports: that
    one brings libsoup 3, and whip-client, which has libsoup 2, ends where both are there."""
    names = ("gupnp_simple_igd_" + name for name in ("add_port", "get_type", "remove_port_local", "thread_new"))
    (folder / "none.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in names))
    for library in ("libgupnp-igd-1.0.so.4", "libgupnp-igd-1.6.so.0"):  # Debian 12's, and later ones
        subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / library, folder / "none.c"], check=True)
    return folder
