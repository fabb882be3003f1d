"""What is closed is freed there and then, with its pictures and its speech, and not by the garbage collector some time
later: for every kind of publisher, face and owner, with the collector switched off."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiortc
import numpy as np
import pytest

import lipwire
from lipwire.agents.agent import Agent
from lipwire.agents.brains.echo import EchoBrain
from lipwire.agents.config import AgentConfig
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.channel import Rooms
from lipwire.errors import NoCapacity
from lipwire.provider.client import ProviderClient, request
from lipwire.publish import File, Null, Shared, Tee, WebRTC, aiortc_private
from support.guest import Guest, Tone, sine

RATE = 48_000
WAIT = 60
Refs = dict[str, weakref.ref[Any]]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


pytestmark = pytest.mark.usefixtures("no_collector")


def tone(seconds: float) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) / 25) * 9000).astype("<i2").tobytes()


def refs(**of: Any) -> Refs:
    return {name: weakref.ref(thing) for name, thing in of.items()}


async def all_gone(held: Refs) -> None:
    """Callbacks of the last moments may still wait for their turn in the loop, and threads for theirs."""
    async with asyncio.timeout(WAIT):
        while alive := [name for name, ref in held.items() if ref() is not None]:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                raise AssertionError(f"still there: {alive}") from None


async def talk(publisher: Any, **options: Any) -> Refs:
    """A session that speaks, is interrupted, and is closed."""
    session = lipwire.Session(publisher, width=64, height=36, **options)
    events: list[Any] = []
    session.on_event = lambda event: events.append((session.id, event))  # an owner that has it, as owners do
    async with session:
        session.write(tone(1.0), RATE, "a")
        async with asyncio.timeout(WAIT):
            while session.heard[1] < 50:
                await asyncio.sleep(0.01)
        session.interrupt()
        session.write(tone(0.05), RATE, "b")
        session.end("b")
        await asyncio.wait_for(session.finished(), WAIT)
    return refs(session=session, performer=session.performer, publisher=publisher)


class Source(lipwire.FrameSource):
    """A model that keeps what it was given, as models do."""

    latency = 0.05

    def open(self, spec: Any, emit: Any) -> None:
        self.emit = emit

    def speech(self, pcm: Any, sample: int) -> Iterable[tuple[int, Any]]:
        return ()


class Painter(lipwire.Renderer):
    def draw(self, frame: lipwire.Frame) -> bool | None:
        self.last = frame.width
        return None


@pytest.mark.parametrize(
    ("publisher", "options"),
    [
        (Null, {}),
        (Null, {"avatar": None}),
        (Shared, {}),
        (WebRTC, {}),
        (lambda: Tee(Null(), Shared()), {}),
    ],
    ids=["null", "sound", "shared", "webrtc", "tee"],
)
async def test_a_session(publisher: Callable[[], Any], options: dict[str, Any]) -> None:
    await all_gone(await talk(publisher(), **options))


async def test_a_recording(tmp_path: Path) -> None:
    await all_gone(await talk(File(tmp_path / "out.mp4")))


@pytest.mark.parametrize("face", [Source, Painter], ids=["source", "renderer"])
async def test_a_face_of_ones_own(face: Callable[[], Any]) -> None:
    drawn = face()
    held = await talk(Null(), avatar=drawn) | refs(face=drawn)
    del drawn
    await all_gone(held)


async def test_a_session_that_cannot_start() -> None:
    class Full(Null):
        async def open(self, spec: Any) -> None:
            raise NoCapacity("full")

    async def fail() -> Refs:
        session = lipwire.Session(Full(), width=64, height=36)
        session.on_event = lambda event: print(session.id, event)
        with pytest.raises(NoCapacity):
            await session.start()
        return refs(session=session, performer=session.performer)

    await all_gone(await fail())


async def test_a_picture_that_is_looked_at_keeps_its_memory() -> None:
    """And the session goes all the same; its pages go with the last look at them."""
    kept: list[Any] = []

    class Keeper(Null):
        def video(self, frame: lipwire.Frame) -> None:
            if not kept:
                kept.append(frame.planes[0])

    held = await talk(Keeper())
    await all_gone({"session": held["session"]})
    before = kept[0].copy()
    performer = held["performer"]
    assert performer() is not None
    await talk(Null())  # whatever would take its place
    assert np.array_equal(kept[0], before) and before.std() > 0
    kept.clear()
    await all_gone(held)


# ------------------------------------------------------------------------------------------------------------- viewers


@asynccontextmanager
async def watching(publisher: WebRTC) -> AsyncIterator[dict[str, Any]]:
    """A real viewer, which has got pictures and sound."""
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    tracks: dict[str, Any] = {}
    pc.on("track", lambda track: tracks.__setitem__(track.kind, track))
    try:
        pc.createDataChannel("lipwire")
        for kind in ("audio", "video"):
            pc.addTransceiver(kind, direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        sdp, kind = await publisher.answer(pc.localDescription.sdp)
        await pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
        async with asyncio.timeout(WAIT):
            for track in tracks.values():
                await track.recv()
        yield tracks
    finally:
        await pc.close()
        aiortc_private.let_go(pc)  # the viewer's end, so that what stays is ours


async def watched() -> Refs:
    publisher = WebRTC(ice_host="127.0.0.1")
    session = lipwire.Session(publisher, width=64, height=36, fps=Fraction(25))
    async with session, watching(publisher):
        session.write(tone(0.5), RATE)
        publisher.send("to the data channel")
        session.interrupt()
        (peer,) = publisher.viewers
        found = refs(peer=peer, pc=peer.pc, sound=peer._out["audio"], pictures=peer._out["video"])
        found["link"] = weakref.ref(peer._out["audio"].link)
        for transceiver in peer.pc.getTransceivers():
            found[transceiver.kind] = weakref.ref(transceiver.sender)
            found["dtls"] = weakref.ref(transceiver.sender.transport)
        del peer, transceiver
    return found | refs(session=session, performer=session.performer, publisher=publisher)


async def test_a_session_with_a_viewer() -> None:
    await all_gone(await watched())


async def test_a_viewer_that_goes_while_the_session_stays() -> None:
    publisher = WebRTC(ice_host="127.0.0.1")
    async with lipwire.Session(publisher, width=64, height=36):
        async with watching(publisher):
            (peer,) = publisher.viewers
            found = refs(peer=peer, pc=peer.pc)
            del peer
        await all_gone(found)
        assert not publisher.viewers


async def test_a_room_with_members() -> None:
    async def meet() -> Refs:
        rooms = Rooms(ice_host="127.0.0.1")
        channel = rooms.channel("lobby", "agent")
        heard: list[Any] = []
        channel.on_event = lambda event: heard.append((channel.user, event))
        session = lipwire.Session(channel, width=64, height=36)
        async with session:
            channel.subscribe()
            async with Guest(rooms, "anna", microphone=Tone(sine(300, 9000))) as anna:
                session.write(tone(0.5), RATE)
                async with asyncio.timeout(WAIT):
                    while not (anna.pcm and anna.pictures and any("Heard" in repr(event) for _, event in heard)):
                        await asyncio.sleep(0.01)
                session.interrupt()
                browser = rooms._rooms["lobby"].browsers["anna"]
                peer = browser.peer
                assert peer is not None
                found = refs(browser=browser, peer=peer, pc=peer.pc, room=rooms._rooms["lobby"])
                del browser, peer
        await rooms.close()
        channel.on_event = None  # its owner's to let go, since a channel can be opened again
        return found | refs(session=session, performer=session.performer, channel=channel, rooms=rooms)

    await all_gone(await meet())


async def test_a_session_whose_room_stays() -> None:
    async def show(rooms: Rooms, guest: Guest) -> Refs:
        session = lipwire.Session(rooms.channel("lobby", "agent"), size=(64, 36))
        async with session, asyncio.timeout(WAIT):
            before = len(guest.pictures)
            while len(guest.pictures) == before:
                await asyncio.sleep(0.01)
        return refs(session=session, performer=session.performer)

    rooms = Rooms(ice_host="127.0.0.1")
    async with Guest(rooms, "anna") as anna:
        for _ in range(2):  # who comes next is seen as well
            await all_gone(await show(rooms, anna))
    await rooms.close()


# -------------------------------------------------------------------------------------------------------------- owners


async def test_an_agent() -> None:
    async def live() -> Refs:
        rooms = Rooms(ice_host="127.0.0.1")
        config = AgentConfig(name="a", channel="lobby", width=64, height=36)
        agent = Agent(config, rooms.channel("lobby", "agent"), EchoBrain(config))
        agent.on_event = lambda event: print(agent.config.name, event)
        await agent.start()
        async with asyncio.timeout(WAIT):
            while agent.session.performer.stats()["frames"] < 3:
                await asyncio.sleep(0.01)
        await agent.stop()
        agent.on_event = None
        await rooms.close()
        found = refs(agent=agent, session=agent.session, performer=agent.session.performer)
        return found | refs(brain=agent.brain, channel=agent.channel)

    await all_gone(await live())


async def test_a_provider_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.app.service.STATS_INTERVAL", 0.05)  # figures are sent while it is there

    async def live(service: Service) -> Refs:
        start = request("c", width=64, height=36)
        async with ProviderClient(service.http_url, "key", start) as client:
            (watched,) = service.watched.values()
            session = watched.session
            found = refs(session=session, performer=session.performer, viewers=watched.publisher)
            del session, watched
            await client.speak(tone(1.0), RATE, pace=None)
            await client.interrupt()
            await asyncio.wait_for(client.wait_finished(1), WAIT)
        return found

    config = Config(http_port=0, ws_port=0, viewer_port=0, api_key="key", host="127.0.0.1", ice_host="127.0.0.1")
    async with Service(config) as service:
        await all_gone(await live(service))


# -------------------------------------------------------------------------------------------------------------- memory


def resident() -> int:
    """Bytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def churn(make: Callable[[], Any], times: int, bound: int) -> None:
    for _ in range(times // 3):  # what has a bound fills up
        await make()
    before = resident()
    for _ in range(times):
        await make()
    assert resident() - before < bound


async def test_opening_and_closing_sessions_takes_no_memory() -> None:
    """Each would leave more than 400 KiB of rings, pictures and speech, the thirty 12 MB."""

    async def once() -> None:
        session = lipwire.Session(Null(), width=320, height=180)
        session.on_event = lambda event: print(session.id, event)
        async with session:
            session.write(tone(1.0), RATE)
            async with asyncio.timeout(WAIT):
                while session.performer.stats()["frames"] < 2:
                    await asyncio.sleep(0.002)
            session.interrupt()

    await churn(once, 30, 6 << 20)


async def test_viewers_that_come_and_go_take_no_memory() -> None:
    async def once() -> None:
        await all_gone(await watched())

    await churn(once, 9, 6 << 20)
