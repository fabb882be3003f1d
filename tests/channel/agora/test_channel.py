"""Into an Agora channel: the adapter, its worker and the unmodified SDK, on the double of the native library."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire import Frame
from lipwire.channel.agora import channel as module
from lipwire.channel.agora import wire
from lipwire.channel.agora.channel import Agora, AgoraError, AgoraOptions, Workers
from lipwire.channel.agora.codec import AudioEncoder
from lipwire.channel.base import (
    Connection,
    Heard,
    Message,
    Network,
    Seen,
    SoundNote,
    TokenExpiring,
    Trouble,
    UserJoined,
    UserLeft,
    client_event,
)
from lipwire.errors import BadState, BufferFull, InvalidArgument
from lipwire.protocol.messages import ErrorEvent, bit_rate
from lipwire.protocol.tokens import verify_token
from lipwire.session import session as session_module
from lipwire.stream import StreamSpec, Unit
from support.agora_double.harness import APP, CERT, Double, until
from support.machine import AGORA
from support.paths import ROOT
from support.small_atlas import small_atlas

BLOCK = 480
SPEC = StreamSpec(session_id="test", width=64, height=36, fps=Fraction(25))


class Member:
    """A channel, and what it said."""

    def __init__(self, uid: str = "1", workers: Workers | None = None, **options: Any) -> None:
        options = {"app_id": APP, "token": "token", "channel": "room"} | options
        self.events: list[Any] = []
        self.channel = Agora(AgoraOptions(uid=uid, **options), self.events.append, workers=workers or Workers())
        self.clock = 0

    def got(self, kind: type) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    def states(self) -> list[str]:
        return [e.state for e in self.got(Connection)]

    async def speak(self, pcm: bytes, *, pictures: list[Frame] | None = None) -> None:
        """Whole 10 ms blocks, at the clock's pace."""
        for at in range(0, len(pcm), 2 * BLOCK):
            self.channel.audio(pcm[at : at + 2 * BLOCK], self.clock)
            self.clock += BLOCK
            await asyncio.sleep(0.01)

    @property
    def pid(self) -> int:
        worker = self.channel._worker
        assert worker is not None and worker.pid is not None
        return worker.pid

    async def __aenter__(self) -> Member:
        await self.channel.open(SPEC)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()


@pytest.fixture
async def member(double: Double) -> AsyncIterator[Member]:
    async with Member() as member:
        yield member


def noise(blocks: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(-9000, 9000, blocks * BLOCK, dtype=np.int16).tobytes()


def block_hashes(pcm: bytes) -> list[int]:
    return [zlib.adler32(pcm[at : at + 2 * BLOCK]) for at in range(0, len(pcm), 2 * BLOCK)]


def hashes(calls: list[dict[str, Any]]) -> list[int]:
    return [c["hash"] for c in calls if c["ret"] == 0]


# ------------------------------------------------------------------------------------------------------------- sdk


def test_the_sdk_declares_what_we_use(sdk: Path) -> None:
    describe = ROOT / "tests" / "support" / "agora_double" / "describe.py"
    said = subprocess.run([sys.executable, str(describe), str(AGORA)], check=True, capture_output=True).stdout
    assert json.loads(said) == json.loads(describe.with_name("used.json").read_text())


def test_the_library_exports_what_the_sdk_declares(sdk: Path) -> None:
    declared = json.loads((AGORA / "generated" / "declarations.json").read_text())["symbols"]
    assert len(declared) >= 140
    look = "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); [getattr(library, name) for name in sys.argv[2:]]"
    library = sdk / "agora" / "agora_sdk" / "libagora_rtc_sdk.so"
    subprocess.run([sys.executable, "-c", look, str(library), *declared], check=True)


async def test_without_the_sdk(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPWIRE_AGORA_SDK")
    with pytest.raises(AgoraError, match=r"pip install 'lipwire\[agora\]'"):
        async with Member():
            pass


async def test_an_sdk_that_cannot_start(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_FAIL", "agora_service_initialize=-9")
    with pytest.raises(AgoraError, match="initialize failed"):
        async with Member():
            pass


# --------------------------------------------------------------------------------------------------------- sending


async def test_a_session_speaks_into_a_channel(double: Double) -> None:
    handed: list[tuple[str, int, int]] = []

    class Kept(Agora):
        def audio(self, pcm: bytes, sample: int) -> None:
            handed.append(("sound", zlib.adler32(pcm), sample // 48))
            super().audio(pcm, sample)

        def video(self, frame: Frame) -> None:
            handed.append(("picture", zlib.adler32(frame.i420), frame.sample // 48))
            super().video(frame)

    options = AgoraOptions(app_id=APP, token="token", channel="room", uid="7", quality="high", video_encoding="VP8")
    channel = Kept(options, workers=Workers())
    async with lipwire.Session(channel, width=160, height=90) as session:
        session.write(noise(80), 48_000)
        session.end()
        await session.finished()
        await until(lambda: channel.stats()["waiting"] == 0)
        assert channel._worker is not None
        maps = Path(f"/proc/{channel._worker.pid}/maps").read_text()
    (ring,) = (line.split() for line in maps.splitlines() if line.endswith("memfd:lipwire (deleted)"))
    assert ring[1] == "r--s"
    low, high = (int(end, 16) for end in ring[0].split("-"))
    pushed = [c["args"][1] for c in double.calls("audio_pcm_data_sender_send")]
    pushed += [c["buffer"] for c in double.calls("video_frame_sender_send")]
    assert all(low <= int(address, 16) < high for address in pushed)
    sound = [(c["hash"], c["args"][3]) for c in double.calls("audio_pcm_data_sender_send")]
    blocks = iter(entry[1:] for entry in handed if entry[0] == "sound")
    assert all(block in blocks for block in sound)  # in order; where its process had no time, some are left out
    assert len(sound) >= 40
    shown = [(c["hash"], c["pts"]) for c in double.calls("video_frame_sender_send")]
    pictures = [entry[1:] for entry in handed if entry[0] == "picture"]
    assert len(shown) > 10 and set(shown) <= set(pictures)
    assert [pts for _, pts in shown] == sorted(pts for _, pts in shown)
    (encoder,) = double.calls("local_video_track_set_video_encoder_config")
    assert (encoder["codec"], encoder["width"], encoder["height"], encoder["fps"]) == (1, 160, 90, 25)
    assert encoder["bitrate"] == 1000 * (bit_rate("high", 160, 90, 25.0) // 1000)
    assert encoder["min_bitrate"] == 1000 * (encoder["bitrate"] // 3000)  # a face is never blocks
    assert encoder["degradation"] == 1  # its size gives way before its frame rate
    assert not double.calls("rtc_conn_enable_encryption")
    assert double.calls("rtc_conn_connect")[0]["args"][1:] == ["token", "room", "7"]
    (created,) = double.calls("rtc_conn_create")
    assert (created["role"], created["profile"]) == (1, 1)
    assert double.calls("service_initialize")[0]["string_uid"] == 0


async def test_encryption_is_on_before_the_channel_is_joined(double: Double) -> None:
    salt = bytes(range(32))
    encryption = wire.Encryption(mode=8, key="a passphrase", salt=salt)
    channel = Agora(
        AgoraOptions(app_id=APP, token="", channel="room", uid="7", encryption=encryption), workers=Workers()
    )
    async with lipwire.Session(channel, width=160, height=90):
        pass
    (asked,) = double.calls("rtc_conn_enable_encryption")
    assert (asked["mode"], asked["early"], asked["data"]) == (8, 1, 0)
    assert (asked["key"], asked["salt"]) == (zlib.adler32(b"a passphrase"), zlib.adler32(salt))


async def test_where_the_sdk_refuses_to_encrypt_nothing_is_joined(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_FAIL", "agora_rtc_conn_enable_encryption=-4")
    encryption = wire.Encryption(mode=5, key="a passphrase")
    channel = Agora(
        AgoraOptions(app_id=APP, token="", channel="room", uid="7", encryption=encryption), workers=Workers()
    )
    with pytest.raises(AgoraError, match="enable_encryption: -4"):
        async with lipwire.Session(channel, width=160, height=90):
            pass
    assert not double.calls("rtc_conn_connect")


@pytest.mark.parametrize(
    ("encryption", "words"),
    [
        (wire.Encryption(key="", mode=5), "empty"),
        (wire.Encryption(key="a\0b", mode=5), "NUL"),
        (wire.Encryption(key="k", mode=9), "1..8"),
        (wire.Encryption(key="k", mode=0), "1..8"),
        (wire.Encryption(key="k", mode=7, salt=b"short"), "32 bytes, got 5"),
    ],
)
def test_encryption_that_the_sdk_would_misread_is_refused(encryption: wire.Encryption, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Agora(AgoraOptions(app_id=APP, token="", channel="room", uid="7", encryption=encryption))


async def test_areas_have_workers_of_their_own(double: Double) -> None:
    workers = Workers()
    for area in (None, "GLOBAL", "JAPAN"):
        channel = Agora(AgoraOptions(app_id=APP, token="", channel="room", uid="7", area=area), workers=workers)
        async with lipwire.Session(channel, width=160, height=90):
            assert len(workers._workers) == 1
    areas = [call["area"] for call in double.calls("service_initialize")]
    assert areas == [0xFFFFFFFF, 0xFFFFFFFF, 0x10]


async def test_pre_encoded_video_is_sent_as_it_is(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the library is one stream that a strict decoder takes, out of units and of what is encoded
    between."""
    avatar = lipwire.Avatar.load("kit")
    atlas = small_atlas(avatar)
    monkeypatch.setattr(session_module, "find_atlas", lambda *args: atlas)
    handed: list[Unit | int] = []

    class Kept(Agora):
        def unit(self, unit: Unit) -> None:
            handed.append(unit)
            super().unit(unit)

        def video(self, frame: Frame) -> None:
            handed.append(frame.sample)
            super().video(frame)

    channel = Kept(AgoraOptions(app_id=APP, token="token", channel="room", uid="7"), workers=Workers())
    async with lipwire.Session(channel, avatar=avatar, size=(64, 48)) as session:
        session.write(noise(160), 48_000)
        await until(lambda: sum(isinstance(item, Unit) for item in handed) > 20)
        session.special({"emotion": "happy"})
        await until(lambda: sum(isinstance(item, int) for item in handed) > 8)
        session.special({"emotion": "neutral"})
        await until(lambda: isinstance(handed[-1], Unit) and len(handed) > 45)
        keys = sum(isinstance(item, Unit) and item.key for item in handed)
        double.tell("7", "event intra")
        await until(lambda: sum(isinstance(item, Unit) and item.key for item in handed) > keys)
        assert session.stats()["failures"] == {}
    calls = double.calls("video_encoded_image_sender_send")
    assert {call["ret"] for call in calls} == {1} and {
        (c["codec"], c["width"], c["height"], c["fps"]) for c in calls
    } == {(2, 64, 48, 25)}
    assert not double.calls("video_frame_sender_send", "local_video_track_set_video_encoder_config")
    times = [call["capture_ms"] for call in calls]
    assert times == sorted(times) and len(calls) > 40
    sent = {unit.sample // 48: zlib.adler32(unit.data) for unit in handed if isinstance(unit, Unit)}
    as_they_are = [call for call in calls if sent.get(call["capture_ms"]) == call["hash"]]
    drawn = [call for call in calls if call["capture_ms"] not in sent]
    assert len(as_they_are) + len(drawn) == len(calls) and len(drawn) > 5
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.options, decoder.thread_count = {"err_detect": "explode"}, 1
    packets = [*decoder.parse((double.folder / "video.7").read_bytes()), *decoder.parse(b"")]
    shown = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    assert len(shown) == len(calls) and not any(frame.is_corrupt for frame in shown)


async def test_a_picture_goes_out_with_its_sound(member: Member, double: Double) -> None:
    frame = Frame(64, 36)
    member.channel.video(frame)  # sample 0
    await asyncio.sleep(0.05)
    assert not double.calls("video_frame_sender_send")
    await member.speak(noise(2))
    (sent,) = await until(lambda: double.calls("video_frame_sender_send"))
    assert sent["hash"] == zlib.adler32(frame.i420)
    assert sent["t"] > double.calls("audio_pcm_data_sender_send")[0]["t"]


async def test_leaving_is_clean(double: Double) -> None:
    async with Member() as member:
        await member.speak(noise(3))
        process = member.channel._worker._process  # type: ignore[union-attr]
    assert process.ended is not None and process.ended.code == 0
    names = [c["call"].removeprefix("agora_") for c in double.calls()]
    order = ["local_user_unpublish_audio", "rtc_conn_disconnect", "rtc_conn_destroy", "service_release"]
    assert sorted(map(names.index, order)) == list(map(names.index, order))
    assert double.calls("service_release")[0]["connections_left"] == 0
    assert member.states() == ["connecting", "connected", "disconnected"]
    await member.channel.close()
    with pytest.raises(BadState):
        member.channel.send(b"late")


@pytest.mark.parametrize("rtc_codec", [0, 8, 9, 120, 122])
async def test_encoded_sound(double: Double, rtc_codec: int) -> None:
    pcm = noise(40)
    encoder = AudioEncoder(rtc_codec)
    packets = [p for at in range(0, len(pcm), 960) for p in encoder.encode(pcm[at : at + 960])]
    async with Member(rtc_codec=rtc_codec, video=False) as member:
        await member.speak(pcm)
        await until(lambda: len(double.calls("audio_encoded_frame_sender_send")) >= len(packets))
        assert member.channel.stats()["waiting"] <= 2  # less than a packet, and what a resampler holds
    sent = double.calls("audio_encoded_frame_sender_send")
    assert len(sent) >= 18 and hashes(sent) == [zlib.adler32(p) for p in packets]
    codec = {0: 4, 8: 3, 9: 5, 120: 1, 122: 1}[rtc_codec]
    rate = {0: 8000, 8: 8000, 9: 16000, 120: 16000, 122: 48000}[rtc_codec]
    assert {(c["codec"], c["rate"], c["samples"], c["channels"]) for c in sent} == {(codec, rate, rate // 50, 1)}
    steps = np.diff([c["capture_ms"] for c in sent])
    assert set(steps) == {20}
    assert not double.calls("video_frame_sender_send", "audio_pcm_data_sender_send")


def test_rtc_codec_is_one_of_five() -> None:
    with pytest.raises(InvalidArgument):
        AudioEncoder(7)


IDENTITY = """
import os, sys
from fractions import Fraction
import av
import numpy as np
from lipwire import Frame
from lipwire.channel.agora.feed import FeedReader, FeedWriter
from lipwire.channel.agora.sdk import Sdk
from lipwire.channel.agora.wire import Join
from lipwire.session import session as session_module
from lipwire.stream import StreamSpec, Unit
from queue import Queue
writer = FeedWriter(StreamSpec(session_id="s", width=64, height=36, fps=Fraction(25)))
reader = FeedReader(*map(os.dup, writer.fds))
events = Queue()
sdk = Sdk({app!r}, False, "GLOBAL", sys.argv[1])
join = Join(session=1, token="t", channel="c", uid="1", width=64, height=36, fps=25.0, video=True, codec="H264",
            kbps=100, rtc_codec=None, audio_scenario=9, receive=False, seen_every=1.0)
connection = sdk.connect(join, events.put)
while events.get().state != "connected":
    pass
writer.sound(bytes(960), 0)
writer.picture(Frame(64, 36), 0)
pcm, frame = reader.block(), reader.picture(480)
assert connection.sound(pcm, pcm.sample) == 0 == connection.picture(frame, frame.sample)
print(*(hex(np.frombuffer(view, np.uint8).__array_interface__["data"][0]) for view in (pcm, frame)))
connection.close()
sdk.close()
"""


def test_the_sdk_reads_from_the_feed_itself(double: Double, tmp_path: Path) -> None:
    script = [sys.executable, "-c", IDENTITY.format(app=APP), str(tmp_path)]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    pcm, i420 = said.split("\n")[-2].split()
    assert double.calls("audio_pcm_data_sender_send")[0]["args"][1] == pcm
    assert double.calls("video_frame_sender_send")[0]["buffer"] == i420


# ---------------------------------------------------------------------------------------------- states and failures


async def test_a_bad_token_is_refused(double: Double) -> None:
    with pytest.raises(AgoraError, match="invalid token"):
        async with Member(token="bad"):
            pass


@pytest.mark.parametrize("name", ["create", "connect", "register_observer"])
async def test_a_call_that_fails_is_one_session_not_the_worker(
    double: Double, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value = 0 if name == "create" else -5
    monkeypatch.setenv("AGORA_DOUBLE_FAIL", f"agora_rtc_conn_{name}={value}:1")
    workers = Workers()
    bad = Member("1", workers)
    opening = asyncio.create_task(bad.channel.open(SPEC))
    await asyncio.sleep(0)
    good = Member("2", workers)
    other = asyncio.create_task(good.channel.open(SPEC))
    with pytest.raises(AgoraError):
        await opening
    await other
    assert good.channel.state == "connected" and good.channel.restarts == 0
    await good.channel.close()
    if name != "create":
        assert len(double.calls("rtc_conn_destroy")) == 2


@pytest.mark.parametrize(
    "call", ["local_user_publish_audio", "local_user_publish_video", "local_user_register_observer"]
)
async def test_failures_of_setting_up(double: Double, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_FAIL", f"agora_{call}=-1")
    with pytest.raises(AgoraError, match="-1"):
        async with Member():
            pass
    assert len(double.calls("rtc_conn_destroy")) == 1


async def test_sound_that_is_refused_is_told_once(member: Member, double: Double) -> None:
    double.tell("1", "fail agora_audio_pcm_data_sender_send -3 4")
    await asyncio.sleep(0.1)
    await member.speak(noise(8))
    (trouble,) = await until(lambda: member.got(Trouble))
    assert (trouble.what, trouble.code) == ("sound was refused", -3)
    await until(lambda: len(hashes(double.calls("audio_pcm_data_sender_send"))) == 4)


@pytest.mark.parametrize(("reason", "again"), [(4, True), (9, True), (3, False), (19, False)])
async def test_a_channel_that_is_lost_is_joined_again_unless_the_service_meant_it(
    double: Double, monkeypatch: pytest.MonkeyPatch, reason: int, again: bool
) -> None:
    monkeypatch.setattr(module, "RETRY", (0.05,))
    pcm = noise(40)
    async with Member(certificate=CERT) as member:
        await member.speak(pcm[: 960 * 10])
        double.tell("1", f"event failure {reason}")
        await until(lambda: member.channel.state == "failed")
        await member.speak(pcm[960 * 10 :])
        if again:
            await until(lambda: member.channel.stats()["waiting"] == 0)
            assert hashes(double.calls("audio_pcm_data_sender_send")) == block_hashes(pcm)
            assert member.states() == ["connecting", "connected", "failed", "connecting", "connected"]
            second = double.calls("rtc_conn_connect")[1]["args"][1]
            assert verify_token(second, CERT, now=0, app_id=APP).channel == "room"
        else:
            await asyncio.sleep(0.3)
            assert member.channel.state == "failed" and len(double.calls("rtc_conn_connect")) == 1
    assert len(double.calls("rtc_conn_destroy")) == 1 + again


async def test_a_push_that_is_refused_as_not_connected_is_tried_again_but_not_for_ever(
    member: Member, double: Double
) -> None:
    double.tell("1", "fail agora_audio_pcm_data_sender_send -7 20")
    await asyncio.sleep(0.1)
    await member.speak(noise(5))
    await until(lambda: member.channel.stats()["waiting"] == 0)
    calls = double.calls("audio_pcm_data_sender_send")
    assert [c["ret"] for c in calls] == [-7] * 20 + [0] * 5
    assert hashes(calls) == block_hashes(noise(5))
    assert not member.got(Trouble)
    double.tell("1", "fail agora_audio_pcm_data_sender_send -7 -1")
    await asyncio.sleep(0.1)
    await member.speak(noise(2, seed=2))
    await until(lambda: member.got(Trouble))
    assert member.got(Trouble) == [Trouble("sound was refused", -7)]
    await until(lambda: member.channel.stats()["waiting"] == 0)


async def test_what_the_service_says_arrives(member: Member, double: Double) -> None:
    double.tell("1", "event error 103 out of luck")
    double.tell("1", "event warning 16 slow")
    double.tell("1", "event lost")
    await until(lambda: len(member.got(Trouble)) == 3)
    assert [(t.what, t.code, t.message) for t in member.got(Trouble)] == [
        ("error", 103, "out of luck"),
        ("warning", 16, "slow"),
        ("connection lost", 0, ""),
    ]
    network = (await until(lambda: member.got(Network)))[0]
    assert (network.rtt_ms, network.users) == (12, 1)
    assert member.channel.stats()["network"]["rtt_ms"] == 12


async def test_nothing_is_lost_while_it_reconnects(member: Member, double: Double) -> None:
    pcm = noise(60)
    await member.speak(pcm[: 960 * 20])
    double.tell("1", "event reconnecting 2")
    await until(lambda: member.channel.state == "reconnecting")
    await member.speak(pcm[960 * 20 : 960 * 40])
    double.tell("1", "event reconnected 15")
    await member.speak(pcm[960 * 40 :])
    await until(lambda: member.channel.stats()["waiting"] == 0)
    assert hashes(double.calls("audio_pcm_data_sender_send")) == block_hashes(pcm)
    assert member.states() == ["connecting", "connected", "reconnecting", "connected"]


async def test_silence_is_left_out_to_catch_up(member: Member, double: Double) -> None:
    double.tell("1", "event reconnecting 2")
    await until(lambda: member.channel.state == "reconnecting")
    pcm = noise(10) + bytes(960 * 30) + noise(10, seed=2)
    await member.speak(pcm)
    double.tell("1", "event reconnected 15")
    await until(lambda: member.channel.stats()["waiting"] == 0)
    sent = hashes(double.calls("audio_pcm_data_sender_send"))
    quiet = zlib.adler32(bytes(960))
    assert [h for h in sent if h != quiet] == block_hashes(noise(10) + noise(10, seed=2))
    stats = member.channel.stats()
    assert stats["skipped"] + len(sent) == 50 and stats["skipped"] >= 20


async def test_an_interrupt_drops_what_waits(member: Member, double: Double) -> None:
    double.tell("1", "event reconnecting 2")
    await until(lambda: member.channel.state == "reconnecting")
    await member.speak(noise(20))
    member.channel.interrupt()
    await member.speak(noise(5, seed=2))
    double.tell("1", "event reconnected 15")
    await until(lambda: member.channel.stats()["waiting"] == 0)
    assert hashes(double.calls("audio_pcm_data_sender_send")) == block_hashes(noise(5, seed=2))


async def test_a_token_is_renewed(double: Double) -> None:
    async with Member(certificate=CERT) as member:
        double.tell("1", "event token_will_expire 0 token")
        (renewed,) = await until(lambda: double.calls("rtc_conn_renew_token"))
        parsed = verify_token(renewed["args"][1], CERT, now=0, app_id=APP)
        assert (parsed.channel, parsed.account) == ("room", "1")
        assert not member.got(TokenExpiring)


async def test_a_token_is_asked_for(member: Member, double: Double) -> None:
    double.tell("1", "event token_will_expire 0 token")
    await until(lambda: member.got(TokenExpiring))
    member.channel.renew("another")
    (renewed,) = await until(lambda: double.calls("rtc_conn_renew_token"))
    assert renewed["args"][1] == "another"
    assert member.channel.join_command().token == "another"
    double.tell("1", "event token_did_expire")
    await until(lambda: len(member.got(TokenExpiring)) == 2)
    assert member.got(Trouble)[0].what == "token expired"


async def test_receivers_that_cannot_take_the_scenario(member: Member, double: Double) -> None:
    double.tell("1", "event capabilities")
    call = await until(lambda: double.calls("local_user_set_audio_scenario")[1:])
    assert call[0]["args"][1] == 3
    (connecting,) = double.calls("rtc_conn_connect")
    assert call[0]["thread"] == connecting["thread"]  # the worker's, not the callback's
    await member.speak(noise(5))
    await until(lambda: len(hashes(double.calls("audio_pcm_data_sender_send"))) == 5)


@pytest.mark.parametrize("change", [{"app_id": "x"}, {"uid": "alice"}, {"uid": str(2**32)}])
def test_bad_options(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"app_id": APP, "token": "t", "channel": "c", "uid": "1"}
    with pytest.raises(InvalidArgument):
        Agora(AgoraOptions(**(good | change)))


# ------------------------------------------------------------------------------------------------------- receiving


async def test_two_processes_hear_and_see_each_other(double: Double) -> None:
    async with Member("speaker", string_uid=True) as speaker:
        async with Member("7", receive=True) as agent:
            assert speaker.pid != agent.pid
            await until(lambda: agent.got(UserJoined) and speaker.got(UserJoined))
            assert agent.got(UserJoined) == [UserJoined("speaker")]
            agent.channel.subscribe("speaker", audio=True, video=True)
            await until(lambda: double.calls("local_user_subscribe_video"))
            frame = Frame.from_rgba(np.full((36, 64, 4), 200, np.uint8))
            tone = (np.sin(np.arange(48000) * 2 * np.pi * 300 / 48000) * 9000).astype(np.int16).tobytes()
            for n in range(100):
                speaker.channel.audio(tone[n * 960 : n * 960 + 960], n * 480)
                if n % 4 == 0:
                    speaker.channel.video(frame)
                await asyncio.sleep(0.01)
            heard = await until(lambda: agent.got(Heard)[60:] and agent.got(Heard))
            assert {len(h.pcm) for h in heard} == {320} and {h.user for h in heard} == {"speaker"}
            assert all(step > 0 and step % 10 == 0 for step in np.diff([h.pts_ms for h in heard]))
            sound = np.frombuffer(b"".join(h.pcm for h in heard), np.int16).astype(float)
            assert 5500 < np.sqrt((sound**2).mean()) < 6500
            seen = agent.got(Seen)
            assert 1 <= len(seen) < 10  # of 25 that were sent
            assert (seen[0].width, seen[0].height, seen[0].i420) == (64, 36, frame.i420.tobytes())
            agent.channel.unsubscribe("speaker")
            agent.channel.send(b"hello")
            agent.channel.send_note(b"pts:10")
            await until(lambda: speaker.got(Message) and speaker.got(SoundNote))
            assert speaker.got(Message) == [Message("7", b"hello")]
            assert speaker.got(SoundNote) == [SoundNote("7", b"pts:10")]
        await until(lambda: speaker.got(UserLeft))
        assert speaker.got(UserLeft) == [UserLeft("7")]
    with pytest.raises(BadState, match="receive"):
        speaker.channel.subscribe()


async def test_a_large_message_is_cut_and_paced(double: Double) -> None:
    payload = os.urandom(40_000)
    async with Member("1") as sender, Member("2", receive=True) as reader:
        await until(lambda: sender.got(UserJoined))
        sender.channel.send_message("m1", payload)
        await until(lambda: len(reader.got(Message)) == 53)
    packets = [m.data.split(b"|", 3) for m in reader.got(Message)]
    assert [(p[0], int(p[1]), int(p[2])) for p in packets] == [(b"m1", n, 53) for n in range(1, 54)]
    assert base64.b64decode(b"".join(p[3] for p in packets)) == payload
    assert {c["ret"] for c in double.calls("rtc_conn_send_stream_message")} == {0}


@pytest.mark.parametrize("data", [b"", b"x" * 1025, b"a\0b"])
async def test_messages_that_a_packet_cannot_hold(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        Member().channel.send(data)


# ------------------------------------------------------------------------------------------------------ supervision


async def test_one_worker_for_each_app_and_kind_of_uid(double: Double) -> None:
    workers = Workers()
    async with Member("1", workers) as one, Member("2", workers) as two, Member("3", workers, string_uid=True) as name:
        assert one.pid == two.pid != name.pid
        await asyncio.gather(one.speak(noise(5)), two.speak(noise(5, seed=2)))
        await until(lambda: len(hashes(double.calls("audio_pcm_data_sender_send"))) == 10)
    by_uid: dict[str, list[int]] = {}
    for call in double.calls("audio_pcm_data_sender_send"):
        by_uid.setdefault(call["uid"], []).append(call["hash"])
    assert by_uid == {"1": block_hashes(noise(5)), "2": block_hashes(noise(5, seed=2))}
    assert {c["args"][3] for c in double.calls("rtc_conn_connect")} == {"1", "2", "3"}
    assert sorted(c["string_uid"] for c in double.calls("service_initialize")) == [0, 1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
async def test_a_worker_that_dies_or_hangs_loses_no_speech(
    double: Double, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    monkeypatch.setattr(module, "PING_EVERY", 0.1)
    monkeypatch.setattr(module, "PING_LOST", 1.5)
    pcm = noise(200)
    async with Member("1", receive=True) as member, Member("2", string_uid=True) as other:
        member.channel.subscribe("2")
        first = member.pid
        speaking = asyncio.create_task(member.speak(pcm))
        await until(lambda: len(double.calls("audio_pcm_data_sender_send")) > 30)
        os.kill(first, how)
        await speaking
        await until(lambda: member.channel.stats()["waiting"] == 0)
        stats = member.channel.stats()
        assert (stats["restarts"], stats["lost"], stats["state"]) == (1, 0, "connected")
        assert member.pid != first and other.channel.restarts == 0
        assert len(double.calls("local_user_subscribe_audio")) == 2
        await until(lambda: other.got(UserLeft) and len(other.got(UserJoined)) == 2)
    sent = hashes(double.calls("audio_pcm_data_sender_send"))
    once = [h for n, h in enumerate(sent) if n == 0 or h != sent[n - 1]]
    assert once == block_hashes(pcm)
    assert len(sent) - len(once) <= 1  # the block that was being sent
    states = member.states()
    assert states[:3] == ["connecting", "connected", "interrupted"] and states[-2] == "connected"


async def test_the_client_hears_of_it_and_messages_wait(double: Double) -> None:
    async with Member("1", certificate=CERT) as member, Member("2", string_uid=True) as other:
        await until(lambda: other.got(UserJoined))
        os.kill(member.pid, signal.SIGKILL)
        await until(lambda: member.channel.state == "interrupted")
        member.channel.send(b"meanwhile")
        with pytest.raises(BufferFull):
            for _ in range(100):
                member.channel.send(b"x" * 1000)
        member.channel._held[1:] = []
        await until(lambda: member.channel.state == "connected")
        await until(lambda: len(other.got(UserJoined)) == 2)
        member.channel.send(b"again")
        await until(lambda: other.got(Message)[-1:] == [Message("1", b"again")])
        tokens = [c["args"][1] for c in double.calls("rtc_conn_connect") if c["args"][3] == "1"]
    assert tokens[0] == "token" and verify_token(tokens[1], CERT, now=0, app_id=APP).channel == "room"
    told = [told for told in map(client_event, member.events) if told is not None]
    assert told == [
        ErrorEvent("CHANNEL_INTERRUPTED", "out of the channel: the worker died: it ended; it is joined again")
    ]
    assert len(double.calls("rtc_conn_send_stream_message")) == 2


def test_what_a_client_is_told() -> None:
    assert client_event(Connection("failed", "invalid token")) == ErrorEvent(
        "CHANNEL_FAILED", "the channel cannot be joined: invalid token"
    )
    told = client_event(TokenExpiring())
    assert told is not None and told.code == "TOKEN_EXPIRING"
    assert client_event(Connection("connected")) is client_event(UserLeft("1")) is None


def test_a_token_of_the_format_before_is_passed_on_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    module._warn_of_old_tokens.cache_clear()
    for _ in range(2):
        channel = Agora(AgoraOptions(app_id=APP, token="006" + APP, channel="room", uid="1"), workers=Workers())
        assert channel._token == "006" + APP
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the format before AccessToken2" in caplog.text and APP not in caplog.text


async def test_an_interrupt_of_the_session_reaches_what_waits(double: Double) -> None:
    channel = Agora(AgoraOptions(app_id=APP, token="token", channel="room", uid="1"), workers=Workers())
    async with lipwire.Session(channel, width=64, height=36) as session:
        double.tell("1", "event reconnecting 2")
        await until(lambda: channel.state == "reconnecting")
        session.write(noise(500), 48_000)
        await until(lambda: channel.stats()["waiting"] > 60)
        session.interrupt()
        assert channel.stats()["waiting"] == 0
        written = channel.stats()["written"]
        double.tell("1", "event reconnected 15")
        await until(lambda: channel.stats()["written"] > written and channel.stats()["waiting"] == 0)
    quiet = zlib.adler32(bytes(2 * BLOCK))
    loud = [h for h in hashes(double.calls("audio_pcm_data_sender_send")) if h != quiet]
    assert len(loud) <= 5  # the fade, and what was made between two turns of the loop


async def test_workers_end_with_the_session_s_process(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = f"""
import asyncio, os
from fractions import Fraction
from lipwire.channel.agora.channel import Agora, AgoraOptions
from lipwire.session import session as session_module
from lipwire.stream import StreamSpec, Unit
async def main():
    channel = Agora(AgoraOptions(app_id={APP!r}, token="t", channel="room", uid="1"))
    await channel.open(StreamSpec(session_id="s", width=64, height=36, fps=Fraction(25)))
    print("in", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None and await process.stdout.readline() == b"in\n"
    process.kill()
    await process.wait()
    await until(lambda: double.calls("service_release"))
    assert double.calls("rtc_conn_disconnect") and double.calls("rtc_conn_destroy")
    await until(lambda: not list(tmp_path.glob("lipwire-agora-*")))


async def test_this_process_is_untouched(double: Double, sdk: Path) -> None:
    def contents() -> dict[str, str]:
        files = sorted(p for p in (sdk / "agora").rglob("*") if p.is_file() and p.suffix != ".pyc")
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before, verified = contents(), ssl._create_default_https_context
    async with Member() as member:
        await member.speak(noise(3))
    assert ssl._create_default_https_context is verified
    assert not [name for name in sys.modules if name.split(".")[0] == "agora"]
    assert "libagora" not in Path("/proc/self/maps").read_text()
    assert contents() == before


# ----------------------------------------------------------------------------------------------------------- smoke


def smoke(*arguments: str) -> tuple[int, str]:
    tool = ROOT / "tools" / "agora_smoke.py"
    env = os.environ | {"AGORA_APP_ID": APP, "AGORA_APP_CERTIFICATE": CERT}
    done = subprocess.run([sys.executable, str(tool), "room", *arguments], env=env, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_smoke(double: Double) -> None:
    code, said = smoke("--seconds", "4", "--encoding", "VP8")
    assert code == 0, said
    assert "640x360 in VP8, " in said and said.endswith("verdict    good\n")
    (encoder,) = double.calls("local_video_track_set_video_encoder_config")
    assert encoder["codec"] == 1
    tokens = [verify_token(c["args"][1], CERT, now=0, app_id=APP) for c in double.calls("rtc_conn_connect")]
    assert sorted(str(token.account) for token in tokens) == ["1001", "1002"]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [("video_frame_sender_send", "0.0 fps"), ("audio_pcm_data_sender_send", "no sound"), ("rtc_conn_connect", "-3")],
)
def test_smoke_that_fails(double: Double, monkeypatch: pytest.MonkeyPatch, call: str, complaint: str) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_FAIL", f"agora_{call}=-3")
    code, said = smoke("--seconds", "2")
    assert code == 1
    assert "FAILED" in said.splitlines()[-1] and complaint in said


def test_smoke_sees_that_another_codec_arrives(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGORA_DOUBLE_CODEC", "2")
    code, said = smoke("--seconds", "2", "--encoding", "AV1")
    assert code == 1 and "FAILED: H264 in place of AV1" in said.splitlines()[-1]


async def test_sound_only(double: Double) -> None:
    """As a session without a face opens it: no picture is announced, sound goes on as ever."""
    member = Member()
    await member.channel.open(StreamSpec(session_id="test", width=0, height=0, fps=Fraction(25)))
    await member.speak(noise(20))
    await member.channel.close()
    names = {call["call"] for call in double.calls()}
    assert "agora_local_user_publish_audio" in names and "agora_local_user_publish_video" not in names
