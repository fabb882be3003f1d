"""The service publishing into Agora channels, on the double of the SDK's native library."""

from __future__ import annotations

import asyncio
import os
import signal
import zlib
from typing import Any

import httpx
import pytest

from lipwire.app.config import Config
from lipwire.app.service import LiveAvatar, Service
from lipwire.channel.agora import presence
from lipwire.protocol import messages as m
from lipwire.protocol.tokens import verify_token
from lipwire.provider.client import ProviderClient, ProviderFault
from support.agora_double.harness import APP, CERT, Double, until

KEY = "a-key-for-tests"
QUIET = zlib.adler32(bytes(960))


def service(**more: Any) -> Service:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    return Service(Config(**ports, api_key=KEY, host="127.0.0.1", ice_host="127.0.0.1", **more))


def start(channel: str = "room", app_id: str = APP, token: str = "token", **more: Any) -> m.StartRequest:
    settings = m.AgoraSettings(app_id=app_id, token=token, channel=channel, uid="7", enable_string_uid=False)
    return m.StartRequest(
        avatar_id="aria",
        quality="low",
        version="v1",
        video_encoding="AV1",
        agora_settings=settings,
        width=64,
        height=36,
        **more,
    )


def live(running: Service, client: ProviderClient) -> LiveAvatar:
    assert client.session is not None
    found = running.watched[client.session.session_id].session
    assert isinstance(found, LiveAvatar)
    return found


async def metrics(running: Service) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(running.http_url + "/metrics")).text
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}


async def test_a_client_speaks_into_the_channel_it_names(double: Double) -> None:
    events: list[Any] = []
    async with (
        service(agora_app_id=APP, agora_app_certificate=CERT) as running,
        ProviderClient(running.http_url, KEY, start(), on_event=events.append) as client,
    ):
        assert client.session is not None and client.session.granted.video_encoding == "AV1"  # type: ignore[union-attr]
        pcm = bytes(range(256)) * 375  # 1 s at 48 kHz, loud
        await client.speak(pcm, 48_000)
        await until(lambda: any(isinstance(e, m.PlaybackFinished) for e in events))
        sent = [c["hash"] for c in double.calls("audio_pcm_data_sender_send")]
        assert sum(h != QUIET for h in sent) >= 99
        assert double.calls("video_frame_sender_send")
        (encoder,) = double.calls("local_video_track_set_video_encoder_config")
        assert (encoder["codec"], encoder["width"], encoder["height"]) == (12, 64, 36)
        (connect,) = double.calls("rtc_conn_connect")
        assert connect["args"][1:] == ["token", "room", "7"]
        figures: dict[str, float] = {}
        async with asyncio.timeout(20):
            while figures.get("lipwire_channel_rtt_ms_max") != 25:  # the double tells figures of its own twice a second
                double.tell("7", "event stats 25")
                figures = await metrics(running)
        assert figures['lipwire_channels{state="connected"}'] == 1
        assert figures["lipwire_channel_tx_kbps"] == 1250
        double.tell("7", "event token_will_expire 0 token")
        (renewed,) = await until(lambda: double.calls("rtc_conn_renew_token"))
        assert verify_token(renewed["args"][1], CERT, now=0, app_id=APP).channel == "room"
    assert double.calls("rtc_conn_destroy")


async def test_a_greeting_right_behind_init_is_whole_however_long_the_channel_takes(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_CONNECT_MS", "700")
    events: list[Any] = []
    async with (
        service() as running,
        ProviderClient(running.http_url, KEY, start(), on_event=events.append) as client,
    ):
        await client.speak(bytes(range(256)) * 375, 48_000, pace=None)  # 1 s, at once
        (told,) = await until(lambda: [e for e in events if isinstance(e, m.PlaybackFinished)])
        assert (told.position_ms, told.interrupted) == (1000.0, False)
        await until(lambda: sum(c["hash"] != QUIET for c in double.calls("audio_pcm_data_sender_send")) >= 100)
        assert (await metrics(running))["lipwire_channel_blocks_lost_total"] == 0


async def test_a_worker_that_dies_is_told_to_the_client_and_counted(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    async with service() as running:
        async with ProviderClient(running.http_url, KEY, start(), on_event=events.append) as client:
            channel = live(running, client).channel
            assert channel is not None and channel._worker is not None and channel._worker.pid is not None
            os.kill(channel._worker.pid, signal.SIGKILL)
            (told,) = await until(lambda: [e for e in events if isinstance(e, m.ErrorEvent)])
            assert told.code == "CHANNEL_INTERRUPTED"
            await until(lambda: channel.restarts == 1 and channel.state == "connected")
            await client.speak(bytes(range(256)) * 100, 48_000)
            await until(lambda: any(isinstance(e, m.PlaybackFinished) for e in events))
        figures = await metrics(running)
    assert figures["lipwire_channel_restarts_total"] == 1
    assert figures["lipwire_channel_blocks_lost_total"] == 0


async def test_a_channel_that_cannot_be_joined(double: Double) -> None:
    async with service() as running:
        with pytest.raises(ProviderFault, match="invalid token") as caught:
            async with ProviderClient(running.http_url, KEY, start(token="bad")):
                pass
        assert "502" in str(caught.value) or "CHANNEL_FAILED" in str(caught.value)
        assert not running.watched and not running.provider.sessions
        async with ProviderClient(running.http_url, KEY, start()) as client:  # the channel is free
            assert live(running, client).channel is not None


@pytest.mark.parametrize(
    ("mode", "app_id", "published"),
    [("auto", APP, True), ("auto", "local", False), ("off", APP, False), ("on", APP, True)],
)
async def test_when_a_session_is_published_there(double: Double, mode: Any, app_id: str, published: bool) -> None:
    async with service(agora=mode) as running:
        async with ProviderClient(running.http_url, KEY, start(app_id=app_id)) as client:
            session = live(running, client)
            assert (session.channel is not None) is published
            assert (session.stats()["channel"] is not None) is published
        assert bool(double.calls("rtc_conn_connect")) is published


async def test_what_is_granted_of_motion_is_what_the_channel_is_sent(double: Double) -> None:
    running = service()
    for said, sent in (
        ({}, "video"),
        ({"motion": m.MotionRequest(sets=["pose"])}, "both"),
        ({"egress": "motion", "motion": m.MotionRequest()}, "motion"),
    ):
        request = start(**said)
        channel = running.channel_for(request, print)
        assert channel is not None and channel.options.egress == sent
        assert sent == "video" or m.grant(request).egress == sent
    await running.close()


async def test_settings_that_are_none_of_agora_s(double: Double) -> None:
    async with service(agora="on") as running:
        with pytest.raises(ProviderFault, match="app_id must be 32"):
            async with ProviderClient(running.http_url, KEY, start(app_id="local")):
                pass


async def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPWIRE_AGORA_SDK", raising=False)
    monkeypatch.setattr(presence.importlib.util, "find_spec", lambda name: None)
    assert not presence.available()
    async with service() as running, ProviderClient(running.http_url, KEY, start()) as client:
        assert live(running, client).channel is None
        await until(lambda: live(running, client).stats()["frames"] > 0)


async def test_two_sessions_share_a_worker(double: Double) -> None:
    async with service() as running:
        one, two = start("one"), start("two")
        async with ProviderClient(running.http_url, KEY, one) as a, ProviderClient(running.http_url, KEY, two) as b:
            channels = [live(running, client).channel for client in (a, b)]
            assert channels[0] is not None and channels[1] is not None
            assert channels[0]._worker is channels[1]._worker
