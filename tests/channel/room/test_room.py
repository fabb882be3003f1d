"""Rooms: in-process members, aiortc as the browser, what they hear, see and tell each other, and what is left after."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any

import aiortc
import numpy as np
import pytest
import pytest_asyncio

import lipwire
from lipwire._core import BLOCK, ulaw_encode
from lipwire.channel.base import Connection, Heard, Message, Seen, UserJoined, UserLeft
from lipwire.channel.room import browser as room_browser
from lipwire.channel.room.microphone import HEARD_BYTES, Microphone
from lipwire.channel.room.mix import MIX_BLOCKS, Voice
from lipwire.channel.room.place import PACKET_SIZE
from lipwire.channel.room.room import Member, Role, RoomChannel, RoomError, Rooms
from lipwire.errors import BadState, InvalidArgument, NoCapacity
from lipwire.protocol.messages import Egress
from lipwire.publish import peer as peers
from lipwire.publish.audience import Audience
from lipwire.publish.motion import NO_MOTION, Ask, NoMotion
from lipwire.publish.motion_queue import GOING_DOWN, REFUSED, MotionQueue
from lipwire.publish.peer import OUTBOX, Outbox, Peer, is_passing
from lipwire.stream import StreamSpec
from support.guest import RATE, Guest, Pictures, Tone, amplitude, sine
from support.proxy import Proxy

WAIT = 60
SPEC = StreamSpec(session_id="s", width=64, height=36, fps=Fraction(25))


def tone(seconds: float, rate: int = RATE, hz: float = 300.0, level: float = 9000) -> bytes:
    t = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hz * t) * level).astype(np.int16).tobytes()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def rooms() -> AsyncIterator[Rooms]:
    rooms = Rooms(ice_host="127.0.0.1")
    yield rooms
    await rooms.close()


class Ears:
    """An in-process member that keeps what it is told."""

    def __init__(self, rooms: Rooms, user: str = "agent", room: str = "lobby") -> None:
        self.events: list[Any] = []
        self.channel = rooms.channel(room, user, self.events.append)

    async def open(self, *, audio: bool = True, video: bool = False) -> Ears:
        await self.channel.open(SPEC)
        self.channel.subscribe(audio=audio, video=video)
        return self

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    def heard(self, user: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(b"".join(e.pcm for e in self.of(Heard) if e.user == user), np.int16).astype(float)


# ------------------------------------------------------------------------------------------------- in-process members


async def test_in_process_members_come_hear_each_other_and_go(rooms: Rooms) -> None:
    one = await Ears(rooms, "one").open()
    two = await Ears(rooms, "two").open()
    assert one.events == [Connection("connected"), UserJoined("two")]
    assert two.events == [Connection("connected"), UserJoined("one")]
    assert rooms.list() == {"lobby": [Member("one", "agent", True, True), Member("two", "agent", True, True)]}
    pcm = tone(1.0)
    for at in range(0, len(pcm), 960):
        one.channel.audio(pcm[at : at + 960], 4800 + at // 2)
    heard = two.of(Heard)
    assert {len(e.pcm) for e in heard} == {HEARD_BYTES}
    assert {e.user for e in heard} == {"one"}
    assert 98 <= len(heard) <= 100
    assert np.all(np.diff([e.pts_ms for e in heard]) == 10)
    assert amplitude(two.heard("one")[1600:], 300, 16_000) == pytest.approx(9000, rel=0.02)
    assert one.of(Heard) == []
    one.channel.send(b"\0\xff data")
    assert two.of(Message) == [Message("one", b"\0\xff data")]
    assert one.of(Message) == []
    await one.channel.close()
    assert two.events[-1] == UserLeft("one")
    assert one.events[-1] == Connection("disconnected", "left")
    await two.channel.close()
    await two.channel.close()
    assert len(rooms) == 0


async def test_motion_is_refused_as_long_as_nobody_sends_any_and_no_longer(rooms: Rooms) -> None:
    async def agent(user: str, egress: Egress) -> RoomChannel:
        channel = rooms.channel("lobby", user, egress=egress)
        await channel.open(SPEC)
        return channel

    def refusal() -> str | None:
        try:
            rooms.check_listen("lobby", "late")
        except NoMotion as exc:
            return str(exc)
        return None

    rooms.create("lobby")
    early = MotionQueue(Ask())
    rooms.listen("lobby", "early", early)
    moves, shows = await agent("moves", "motion"), await agent("shows", "video")
    assert early.ended is None and refusal() is None and moves.takes_motion, "it has not begun"
    with pytest.raises(RoomError, match="choose another"):
        rooms.check_listen("lobby", "shows")
    await moves.close()
    assert early.ended == (REFUSED, NO_MOTION) and refusal() == NO_MOTION
    await (await agent("other", "video")).close()
    assert refusal() == NO_MOTION, "whoever left, there is none"
    with pytest.raises(NoMotion, match="egress"):
        rooms.listen("lobby", "late", MotionQueue(Ask()))
    moves = await agent("moves", "both")
    assert refusal() is None
    rooms.listen("lobby", "late", late := MotionQueue(Ask()))
    await shows.close()
    assert late.ended is None and moves.takes_motion


async def test_subscriptions(rooms: Rooms) -> None:
    ears = await Ears(rooms, "ears").open()
    speakers = [await Ears(rooms, name).open(audio=False) for name in ("a", "b")]

    def speak() -> set[str]:
        ears.events.clear()
        for speaker in speakers:
            for _ in range(3):
                speaker.channel.audio(tone(0.01), 0)
        return {event.user for event in ears.of(Heard)}

    assert speak() == {"a", "b"}
    ears.channel.subscribe("b", audio=False)
    assert speak() == {"a"}
    ears.channel.unsubscribe()
    assert speak() == set()
    ears.channel.subscribe("b")
    assert speak() == {"b"}


async def test_a_session_is_heard_and_seen_in_process(rooms: Rooms) -> None:
    ears = await Ears(rooms, "ears").open(video=True)
    async with lipwire.Session(rooms.channel("lobby", "face"), width=160, height=90) as session:
        assert session.publisher.wants == "pictures" and ears.channel.wants == "nothing"
        session.write(tone(1.2), RATE)
        session.end()
        await session.finished()
        stats = session.publisher.stats()  # type: ignore[attr-defined]
    assert stats["state"] == "connected"
    assert stats["members"] == 2
    seen = ears.of(Seen)
    assert 1 <= len(seen) <= 4
    assert {(s.user, s.width, s.height, len(s.i420)) for s in seen} == {("face", 160, 90, 160 * 90 * 3 // 2)}
    assert max(amplitude(part, 300, 16_000) for part in np.array_split(ears.heard("face"), 20)) > 5000
    assert ears.events[-1] == UserLeft("face")


async def test_an_interrupt_is_heard_in_process_too(rooms: Rooms) -> None:
    """Blocks of 10 ms at 16 kHz: most of one is always on its way."""
    heard: list[bytes] = []
    source, listener = rooms.channel("r", "a"), rooms.channel("r", "b")

    def take(event: Any) -> None:
        if isinstance(event, Heard):
            heard.append(event.pcm)

    listener.on_event = take
    spec = StreamSpec(session_id="x", width=0, height=0, fps=Fraction(1))
    await source.open(spec)
    await listener.open(spec)
    listener.subscribe()
    loud = np.full(BLOCK, 8000, "<i2").tobytes()
    sample = 0
    for n in range(20):
        before = len(heard)
        for _ in range(30):
            source.audio(loud, sample)
            sample += BLOCK
        assert len(heard) - before >= 29, n
        cut = len(heard)
        source.interrupt()
        # The session's own fade, 5 ms, and silence.
        for stale in (loud[:BLOCK] + bytes(BLOCK), *[bytes(2 * BLOCK)] * 3):
            source.audio(stale, sample)
            sample += BLOCK
        after = np.abs(np.frombuffer(b"".join(heard[cut:]), "<i2").astype(int))
        assert np.flatnonzero(after > 100).max() < 16_000 // 200 and np.diff(after).max() < 100
    assert len(heard) >= sample // BLOCK - 1  # none was lost
    await source.close()
    await listener.close()


async def test_names_numbers_and_states(rooms: Rooms) -> None:
    for bad in ("", " ", "a/b", "x\ny", "y" * 65):
        with pytest.raises(InvalidArgument, match=r"1\.\.64 characters"):
            rooms.channel(bad, "a")
        with pytest.raises(InvalidArgument, match=r"1\.\.64 characters"):
            await rooms.answer("lobby", bad, "v=0\r\nm=")
    made_up = [int(rooms.channel("lobby", user).user) for user in ("", "0") * 4]
    assert all(1 <= user < 2**31 for user in made_up)
    assert max(made_up) >= 10**7, "so many that no two are the same"
    ears = await Ears(rooms).open()
    with pytest.raises(BadState, match="open"):
        await ears.channel.open(SPEC)
    with pytest.raises(RoomError, match="has the name 'agent'"):
        await rooms.channel("lobby", "agent").open(SPEC)
    with pytest.raises(RoomError, match="agent in 'lobby' has the name"):
        await rooms.answer("lobby", "agent", "v=0\r\nm=")
    with pytest.raises(InvalidArgument, match=rf"1\.\.{PACKET_SIZE} bytes"):
        ears.channel.send(bytes(PACKET_SIZE + 1))
    ears.channel.send(bytes(PACKET_SIZE))
    await ears.channel.close()
    with pytest.raises(BadState, match="not open"):
        ears.channel.send(b"x")
    ears.channel.audio(bytes(960), 0)  # nobody is there, and nothing happens
    for sdp in ("", "nonsense", "v=0\r\nm=video 9 RTP/AVP"):
        with pytest.raises(InvalidArgument, match="offer"):
            await rooms.answer("lobby", "anna", sdp)
    assert len(rooms) == 0


async def test_rooms_and_members_are_bounded() -> None:
    rooms = Rooms(max_rooms=2, max_members=2)
    await rooms.channel("a", "1").open(SPEC)
    await rooms.channel("a", "2").open(SPEC)
    with pytest.raises(NoCapacity, match="'a' is full: 2 members"):
        await rooms.channel("a", "3").open(SPEC)
    with pytest.raises(NoCapacity, match="is full"):
        await rooms.answer("a", "anna", "v=0\r\nm=")
    assert rooms.create("b") == "b"
    with pytest.raises(NoCapacity, match="there are 2 rooms"):
        await rooms.channel("c", "1").open(SPEC)
    assert sorted(rooms.list()) == ["a", "b"]
    left = Ears(rooms, "1", "b")
    await left.open()
    rooms.listen("b", "draws", draws := MotionQueue(Ask()))
    await rooms.close()
    assert left.events[-1] == Connection("disconnected", "the rooms were closed")
    assert draws.ended == (GOING_DOWN, "the rooms were closed"), "it comes again, when the server does"
    assert len(rooms) == 0
    with pytest.raises(BadState, match="closed"):
        rooms.create()


async def test_a_room_that_was_made_and_not_used_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.channel.room.room.HELD", 0.05)
    rooms = Rooms(ice_host="127.0.0.1")
    name = rooms.create()
    channel = rooms.channel(rooms.create(), "agent")
    await channel.open(SPEC)
    await eventually(lambda: name not in rooms.list())
    assert list(rooms.list()) == [channel.name]
    await rooms.close()


async def test_a_listener_that_fails_stops_nobody(rooms: Rooms, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Any) -> None:
        raise RuntimeError("no")

    await rooms.channel("lobby", "bad", fail).open(SPEC)
    good = await Ears(rooms, "good").open()
    other = await Ears(rooms, "other").open()
    other.channel.send(b"hello")
    assert good.of(Message) == [Message("other", b"hello")]
    assert "a listener of bad failed" in caplog.text


# ------------------------------------------------------------------------------------------------------ small parts


def test_a_microphone_gives_steady_blocks() -> None:
    """What becomes of packets that are late or lost is in tests/publish/test_incoming.py."""
    heard: list[tuple[bytes, int]] = []
    sound: list[bytes] = []
    microphone = Microphone(lambda pcm, pts: heard.append((pcm, pts)), sound.append)
    pcm, now = tone(2.0, 8000), 10**9
    for number in range(100):
        payload = ulaw_encode(pcm[number * 320 : (number + 1) * 320])
        microphone.incoming.put("pcmu", 1, number, number * 160, payload, now)
        for half in range(2):
            microphone.incoming.tick(now + half * 10_000_000)
        now += 20_000_000
    assert {len(block) for block in sound} == {960} and {len(block) for block, _ in heard} == {HEARD_BYTES}
    assert [pts for _, pts in heard] == [10 * n for n in range(len(heard))]
    assert abs(len(heard) - len(sound)) <= 1 and len(heard) in (198, 199, 200)
    samples = np.frombuffer(b"".join(block for block, _ in heard), np.int16).astype(float)
    assert amplitude(samples[8000:], 300, 16_000) == pytest.approx(9000, rel=0.03)
    figures = microphone.stats()
    assert figures["lost"] == figures["discarded"] == 0 and figures["filled_ms"] <= 60 and 0 <= figures["delay_ms"] < 60


def test_a_voice_waits_and_drops_the_oldest() -> None:
    voice = Voice()
    blocks = [bytes([n + 1]) * 960 for n in range(MIX_BLOCKS + 3)]
    voice.put(blocks[0])
    assert voice.take() is None
    for block in blocks[1:]:
        voice.put(block)
    assert voice.full
    assert [voice.take() for _ in range(MIX_BLOCKS)] == blocks[3:]
    assert voice.take() is None
    for _ in range(4):
        voice.put(bytes(960))
    assert voice.take() is None  # silence is nothing to mix


def chunk(body: dict[str, Any]) -> bytes:
    return b"id|0|1|" + base64.b64encode(json.dumps(body).encode())


def test_what_a_slow_browser_misses() -> None:
    partial = {"object": "assistant.transcription", "turn_status": 0, "text": "x" * 8000}
    final = partial | {"turn_status": 1}
    assert is_passing(json.dumps(partial))
    assert is_passing(chunk(partial))
    assert is_passing(json.dumps({"object": "user.transcription", "final": False}))
    assert is_passing(chunk({"is_final": False, "text": "x"}))
    for other in (
        chunk(final),
        b"id|0|2|eyJp",
        b"\xff\0",
        b"a|0|1|not base64!",
        "[1]",
        "{",
        '{"object":"user.transcription"}',
    ):
        assert not is_passing(other)
    box = Outbox()
    lasting = [chunk(final | {"turn_id": n}) for n in range(10)]
    for n in range(60):
        box.put(chunk(partial | {"turn_seq_id": n}))
        if n % 6 == 0:
            box.put(lasting[n // 6])
    left = []
    while (data := box.take()) is not None:
        left.append(data)
    assert [data for data in left if data in lasting] == lasting
    assert len(left) + box.dropped == 70
    assert sum(map(len, left)) <= OUTBOX
    for n in range(100):  # where nothing can be spared, the oldest go
        box.put(b"%03d" % n + bytes(PACKET_SIZE - 3))
    assert box.take()[:3] == b"%03d" % (100 - OUTBOX // PACKET_SIZE)  # type: ignore[index]


# ---------------------------------------------------------------------------------------------- aiortc as the browser


def spoken(samples: np.ndarray[Any, Any]) -> tuple[list[np.ndarray[Any, Any]], int]:
    """(the runs of 200 ms or more that are not silent, without their edges; blocks of 10 ms that are)."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    silent = np.abs(blocks.astype(int)).max(axis=1) < 100
    edges = np.flatnonzero(np.diff(silent)) + 1
    runs = [run[320:-320] for run in np.split(samples[: blocks.size], edges * 160) if np.abs(run[:160]).max() >= 100]
    return [run for run in runs if len(run) >= 2560], int(silent.sum())


async def test_a_microphone_is_heard(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    async with Guest(rooms, "anna", microphone=Tone(sine(440, 8000))) as anna:
        await eventually(lambda: len(ears.of(Heard)) >= 150)
        await eventually(lambda: sum(map(len, spoken(ears.heard("anna")[8000:])[0])) > 8000)
        assert ears.events[:2] == [Connection("connected"), UserJoined("anna")]
        heard = ears.of(Heard)
        assert {(e.user, len(e.pcm)) for e in heard} == {("anna", HEARD_BYTES)}
        assert np.all(np.diff([e.pts_ms for e in heard]) == 10)
        # The tone as it was, through Opus; every part of it, so nothing is missing between.
        samples = ears.heard("anna")[8000:]
        stats = ears.channel.stats()
        runs, silent = spoken(samples)
        # Silence is where this machine was too busy to send anything for 200 ms, and as much of it as was told.
        assert silent * 10 <= stats["users"]["anna"]["filled_ms"] + 20 * len(runs)
        levels = [
            amplitude(part, 440, 16_000) for run in runs for part in np.array_split(run, max(1, len(run) // 3200))
        ]
        # What is made up in place of a late packet fades: at least 10 ms of each part whose level is another.
        others = [level for level in levels if level != pytest.approx(8000, rel=0.12)]
        assert len(others) * 10 <= stats["users"]["anna"]["filled_ms"], levels
        assert len(others) < len(levels)
        assert stats["viewers"] == 1
        assert set(stats["users"]["anna"]) == {"filled_ms", "lost", "discarded", "delay_ms"}
        await eventually(lambda: anna.messages)
        await eventually(lambda: any(m["speaks"] for m in anna.messages[-1]["members"] if m["kind"] == "user"))
        assert [m["user"] for m in anna.messages[-1]["members"]] == ["agent", "anna"]
        assert anna.messages[-1]["you"] == "anna"
        # No thread of aiortc's decodes; its receiver reports go on.
        browser = rooms._rooms["lobby"].browsers["anna"]
        assert browser.peer is not None
        assert browser._receivers[browser.peer]["audio"]._RTCRtpReceiver__decoder_thread is None
        (sender,) = [one for one in anna.pc.getSenders() if one.track is not None]

        async def reported() -> bool:
            return any(one.type == "remote-inbound-rtp" for one in (await sender.getStats()).values())

        async with asyncio.timeout(WAIT):
            while not await reported():
                await asyncio.sleep(0.02)


class Through:
    """Rooms behind a bad network."""

    def __init__(self, rooms: Rooms, proxy: Proxy) -> None:
        self._rooms, self._proxy = rooms, proxy

    async def answer(self, name: str, user: str, sdp: str, *, role: Role) -> tuple[str, str]:
        sdp, kind = await self._rooms.answer(name, user, self._proxy.hide(sdp), role=role)
        return self._proxy.detour(sdp), kind

    def leave(self, name: str, user: str) -> bool:
        return self._rooms.leave(name, user)


async def test_a_microphone_behind_a_bad_network_is_heard(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    async with Proxy(loss=0.04, jitter=0.03, uplink=True) as proxy:
        through: Any = Through(rooms, proxy)
        async with Guest(through, "anna", microphone=Tone(sine(440, 8000))):
            await eventually(lambda: len(ears.of(Heard)) >= 300)
            figures = ears.channel.stats()["users"]["anna"]
    assert np.all(np.diff([e.pts_ms for e in ears.of(Heard)]) == 10)
    assert proxy.lost and figures["lost"] + figures["discarded"] > 0
    parts = np.array_split(ears.heard("anna")[8000:48_000], 40)
    assert sum(amplitude(part, 440, 16_000) > 4000 for part in parts) >= 20  # more, where this machine sends in time
    await eventually(lambda: ears.events[-1] == UserLeft("anna"))


async def test_messages_both_ways(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    async with Guest(rooms, "anna", role="viewer") as anna:
        anna.channel.send('{"type":"chat","text":"hé"}')
        anna.channel.send(b"\0\1")
        anna.channel.send("x" * (PACKET_SIZE + 1))  # too large: dropped, and what follows comes
        anna.channel.send("end")
        await eventually(lambda: len(ears.of(Message)) == 3)
        assert [e.data for e in ears.of(Message)] == ['{"type":"chat","text":"hé"}'.encode(), b"\0\1", b"end"]
        for number in range(50):
            ears.channel.send(b"%d|" % number + bytes(PACKET_SIZE - 8))
        await eventually(lambda: len(anna.packets) == 50 - ears.channel.stats()["messages_dropped"])
        numbers = [int(packet.split(b"|")[0]) for packet in anna.packets]
        assert numbers == sorted(numbers)
        assert numbers[-1] == 49


async def test_a_session_is_heard_and_seen_by_two_viewers(rooms: Rooms) -> None:
    channel = rooms.channel("lobby", "face")
    async with lipwire.Session(channel, width=160, height=90) as session:
        assert channel.wants == "nothing"
        session.write(tone(25.0), RATE)
        async with Guest(rooms, "a", role="viewer") as a, Guest(rooms, "b", role="viewer") as b:
            for guest in (a, b):
                await eventually(lambda g=guest: len(g.pictures) >= 10 and g.level(400, 300) > 8000)  # type: ignore[misc]
                assert guest.pictures[-1][:2] == (160, 90)
                assert guest.pictures[-1][2] > 40
            other = await Ears(rooms).open()
            assert channel.stats()["viewers"] == 2 and (channel.wants, other.channel.wants) == ("pictures", "nothing")
            session.interrupt()
            await eventually(lambda: a.level(200, 300) < 20 and b.level(200, 300) < 20)
            assert np.all(np.diff(a.sound_pts) > 0)


async def test_agents_and_browsers_are_mixed_for_each(rooms: Rooms) -> None:
    """Everyone hears everyone but himself."""
    one = rooms.channel("lobby", "one")
    two = rooms.channel("lobby", "two")
    async with lipwire.Session(one, width=64, height=36) as first, lipwire.Session(two, width=64, height=36) as second:
        first.write(tone(25, hz=300, level=4000), RATE)
        second.write(tone(25, hz=700, level=4000), RATE)
        a = Guest(rooms, "a", microphone=Tone(sine(1100, 4000)))
        b = Guest(rooms, "b", role="viewer")
        async with a, b:
            await eventually(lambda: min(b.level(400, hz) for hz in (300, 700, 1100)) > 2500)
            await eventually(lambda: min(a.level(400, hz) for hz in (300, 700)) > 2500)
            assert a.level(400, 1100) < 100
            assert b.level(400, 500) < 100
            # Who drives the clock leaves; the other is still heard, and its face is seen from now on.
            pictures = len(b.pictures)
            await first.close()
            await eventually(lambda: b.level(300, 300) < 50 and b.level(300, 700) > 2500 and b.level(300, 1100) > 2500)
            await eventually(lambda: len(b.pictures) > pictures + 10)


async def test_browsers_hear_each_other_without_an_agent(rooms: Rooms) -> None:
    a = Guest(rooms, "a", microphone=Tone(sine(500, 6000)))
    b = Guest(rooms, "b", microphone=Tone(sine(900, 6000)))
    async with a, b:
        await eventually(lambda: a.level(400, 900) > 4000 and b.level(400, 500) > 4000)
        assert a.level(400, 500) < 100
        assert b.level(400, 900) < 100
        (room,) = rooms._rooms.values()
        assert room._ticking is not None
        async with lipwire.Session(rooms.channel("lobby", "agent"), width=64, height=36):
            await eventually(lambda: room._ticking is None)  # the session's clock takes over
            await eventually(lambda: a.level(400, 900) > 4000)


async def test_a_camera_is_seen_only_when_somebody_wants_it(rooms: Rooms) -> None:
    ears = await Ears(rooms).open(audio=False, video=False)
    async with Guest(rooms, "anna", microphone=Tone(sine(440, 8000)), camera=Pictures(320, 240, 90)):
        await asyncio.sleep(1.0)
        receivers = next(iter(rooms._rooms["lobby"].browsers["anna"]._receivers.values()))
        assert {kind: r._enabled for kind, r in receivers.items()} == {"audio": False, "video": False}
        assert ears.of(Seen) == ears.of(Heard) == []
        ears.channel.subscribe(video=True)
        await eventually(lambda: len(ears.of(Seen)) >= 2 and ears.of(Heard))
        seen = ears.of(Seen)
        assert {(s.user, s.width, s.height, len(s.i420)) for s in seen} == {("anna", 320, 240, 320 * 240 * 3 // 2)}
        luma = np.frombuffer(seen[-1].i420[: 320 * 240], np.uint8)
        assert abs(float(luma.mean()) - 90) < 4


async def test_a_viewer_is_not_heard(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    async with Guest(rooms, "anna", role="viewer", microphone=Tone(sine(440, 8000))):
        await asyncio.sleep(1.0)
        assert ears.of(Heard) == []


async def test_an_offer_that_fails_takes_nothing_from_who_is_there(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    async with Guest(rooms, "anna", microphone=Tone(sine(440, 8000))) as anna:
        await eventually(lambda: ears.of(Heard))
        with pytest.raises(InvalidArgument):
            await rooms.answer("lobby", "anna", "v=0\r\nm=audio 9 x 0\r\n", role="viewer", writes=False)
        rooms._rooms["lobby"].review()  # as when somebody comes or goes
        ears.events.clear()
        anna.channel.send("still here")
        await eventually(lambda: amplitude(ears.heard("anna")[-3200:], 440, 16_000) > 6000 and ears.of(Message))


async def test_who_returns_is_the_same_user(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    first = await Guest(rooms, "anna", microphone=Tone(sine(440, 8000))).join()
    await eventually(lambda: len(ears.of(Heard)) > 20)
    await first.vanish()
    await eventually(lambda: rooms.list()["lobby"][1] == Member("anna", "user", False, True))
    # The sound stops, and silence takes its place, until there is a connection again.
    ears.events.clear()
    async with Guest(rooms, "anna", microphone=Tone(sine(440, 8000))):
        await eventually(lambda: amplitude(ears.heard("anna")[-3200:], 440, 16_000) > 6000)
        assert rooms.list()["lobby"][1] == Member("anna", "user", True, True)
        assert ears.of(UserJoined) == ears.of(UserLeft) == []
    assert ears.of(UserLeft) == [UserLeft("anna")]


async def test_who_does_not_return_has_left(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_browser, "REJOIN", 0.2)
    ears = await Ears(rooms).open()
    guest = await Guest(rooms, "anna", role="viewer").join()
    await guest.vanish()
    await eventually(lambda: ears.events[-1] == UserLeft("anna"))


async def test_a_second_window_takes_the_place_of_the_first(rooms: Rooms) -> None:
    ears = await Ears(rooms).open()
    first = await Guest(rooms, "anna", role="viewer").join()
    async with Guest(rooms, "anna", microphone=Tone(sine(440, 8000))):
        await eventually(lambda: {"type": "replaced"} in first.messages)
        await eventually(lambda: first.pc.connectionState == "closed")
        await eventually(lambda: len(ears.of(Heard)) > 20)
        assert ears.of(UserJoined) == [UserJoined("anna")]
        assert ears.channel.stats()["viewers"] == 1
    await first.vanish()


async def test_who_has_no_webrtc_comes_back_and_may_have_it_then(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same user each time, though nobody has noticed that the line before is dead."""
    ears, queues = await Ears(rooms).open(), [MotionQueue(Ask(), "pcm16") for _ in range(5)]
    first, second = (rooms.listen("lobby", "anna", queue) for queue in queues[:2])
    assert queues[0].ended is not None and len(rooms.audience) == 1
    first.leave_room()  # its line has ended at last
    with pytest.raises(InvalidArgument):
        await rooms.answer("lobby", "anna", "v=0\r\nm=audio 9 x 0\r\n")
    assert queues[1].ended is None and second.joined, "an offer that fails takes nothing"
    guest = await Guest(rooms, "anna", microphone=Tone(sine(440, 8000))).join()
    assert queues[1].ended is not None
    await eventually(lambda: rooms.list()["lobby"][1] == Member("anna", "user", True, True) and ears.of(Heard))
    third = rooms.listen("lobby", "anna", queues[2])
    assert rooms.list()["lobby"][1] == Member("anna", "user", True, False) and not ears.of(UserLeft)
    await eventually(lambda: {"type": "replaced"} in guest.messages and guest.pc.connectionState == "closed")
    await eventually(lambda: not rooms._rooms["lobby"].peers)
    assert third.joined and queues[2].ended is None and len(rooms.audience) == 1
    await guest.vanish()
    third.leave_room()
    assert len(ears.of(UserJoined)) == len(ears.of(UserLeft)) == 1

    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    third = rooms.listen("lobby", "anna", queues[3])
    coming = asyncio.create_task(rooms.answer("lobby", "anna", pc.localDescription.sdp))
    await asyncio.sleep(0)
    third.leave_room()
    with pytest.raises(RoomError, match="at the same time"):
        await coming
    monkeypatch.setattr(room_browser, "REJOIN", 0.1)
    rooms.listen("lobby", "anna", queues[4])
    await rooms.answer("lobby", "anna", pc.localDescription.sdp)  # and it does not come
    await eventually(lambda: len(ears.of(UserLeft)) == len(ears.of(UserJoined)) == 3)
    assert not rooms._rooms["lobby"].browsers
    await pc.close()


async def test_a_full_house_has_the_place_of_who_comes_by_another_way() -> None:
    rooms = Rooms(ice_host="127.0.0.1", audience=Audience(1), max_members=2)
    try:
        await Ears(rooms).open()
        for _ in range(2):
            queue = MotionQueue(Ask())
            rooms.listen("lobby", "anna", queue)
            with pytest.raises(NoCapacity):
                rooms.listen("lobby", "berta", MotionQueue(Ask()))
            guest = await Guest(rooms, "anna", role="viewer").join()
            assert queue.ended is not None and len(rooms.audience) == 1
            rooms.listen("lobby", "anna", MotionQueue(Ask()))
            await guest.vanish()
    finally:
        await rooms.close()
    assert not len(rooms.audience)


async def test_an_offer_that_leads_nowhere_is_forgotten(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CONNECT_TIMEOUT", 0.3)
    ears = await Ears(rooms).open()
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction="recvonly")
    pc.createDataChannel("lipwire")
    await pc.setLocalDescription(await pc.createOffer())
    await rooms.answer("lobby", "ghost", pc.localDescription.sdp)
    room = rooms._rooms["lobby"]
    assert list(room.browsers) == ["ghost"]
    await eventually(lambda: not room.browsers and not room.peers)
    assert len(ears.events) == 1
    await pc.close()


async def test_many_joins_and_leaves_leave_nothing(rooms: Rooms) -> None:
    def alive() -> tuple[int, int]:
        gc.collect()
        objects = gc.get_objects()
        return sum(type(o) is Peer for o in objects), sum(type(o) is RoomChannel for o in objects)

    before, threads = alive(), threading.active_count()
    for number in range(12):
        async with Guest(rooms, f"u{number % 2}", microphone=Tone(sine(440, 8000))):
            ears = await Ears(rooms, f"agent{number}").open(video=True)
            await asyncio.sleep(0.05)
            await ears.channel.close()
            del ears
    assert len(rooms) == 0
    await eventually(lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith("lipwire-")])
    await eventually(lambda: alive() == before)
    await eventually(lambda: threading.active_count() <= threads + 8)  # the loop's own pool may have grown
