"""After an interrupt nothing of the old utterance leaves through any publisher, alone or behind a Tee, to a slow viewer
either, however long the event loop stood still before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.audio import espeak
from lipwire.audio.fade import FADE
from lipwire.channel import RoomChannel, Rooms
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted
from lipwire.publish import File, Shared, Tee, WebRTC, streams
from lipwire.publish.encoders import Picture
from lipwire.publish.sound import Sound, SoundPackets, Sounds
from lipwire.publish.streams import Pictures
from lipwire.stream import StreamSpec
from support.agent_puppet import Clock
from support.interrupting import OUTLETS, STATES, Ears, interrupted
from support.rtp import Wire
from support.turns import Turns, watching

RATE, BLOCK = _core.RATE, _core.BLOCK
OLD, NEW = 300.0, 1900.0
"""Hz of the utterance that is cut off, and of the one after it."""
STALLS = (0, 1, 2, 30)
"""10 ms that the loop stands still before the interrupt."""


def tone(hz: float, seconds: float) -> bytes:
    t = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * hz * t) * 12000).astype("<i2").tobytes()


class Recorder:
    """An object of a user's own, with the four methods. `cuts`: how much it had got at each interrupt of the test."""

    def __init__(self) -> None:
        self.sound: list[tuple[int, bytes]] = []
        self.frames: list[int] = []

    async def open(self, spec: StreamSpec) -> None: ...

    def audio(self, pcm: bytes, sample: int) -> None:
        self.sound.append((sample, pcm))

    def video(self, frame: lipwire.Frame) -> None:
        self.frames.append(frame.sample)

    async def close(self) -> None: ...


class Talk:
    """A session that speaks on a clock that the test turns."""

    def __init__(self, publisher: Any, **options: Any) -> None:
        self.events: list[Any] = []
        self.clock = Clock()
        self.session = lipwire.Session(publisher, width=64, height=36, on_event=self.events.append, **options)

    async def __aenter__(self) -> Talk:
        await self.session.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.close()

    async def speak_and_interrupt(self, stall: int) -> int:
        """OLD plays, the loop stands still, the interrupt comes, NEW plays. Returns the sample of the interrupt."""
        self.session.write(tone(OLD, 5.0), RATE, "old")
        await self.clock.run(0.51)
        handed_over = self.clock.now
        for _ in range(stall):  # the engine goes on, and nobody takes what it makes
            self.clock.now += BLOCK
            self.session.performer.tick(self.clock.now * 1_000_000_000 // RATE)
        self.session.interrupt()
        self.session.write(tone(NEW, 0.5), RATE, "new")
        self.session.end("new")
        return handed_over

    async def finish(self) -> None:
        await self.clock.run(1.0)


def loudness(pcm: np.ndarray[Any, Any], hz: float) -> float:
    """Of one pitch, against full scale."""
    t = np.arange(len(pcm)) / RATE
    return float(abs(np.mean(pcm * np.exp(-2j * np.pi * hz * t)))) / 32768 if len(pcm) else 0.0


def check(sound: np.ndarray[Any, Any], cut: int) -> None:
    """`sound` from 0 on: OLD up to the cut, silence behind a fade, and then NEW alone."""
    assert loudness(sound[cut - 9600 : cut], OLD) > 0.1
    after = sound[cut + FADE :]
    speaks = np.flatnonzero(np.abs(after) > 300)
    assert len(speaks), "the new utterance was lost"
    assert not np.abs(after[: speaks[0]]).max(initial=0) > 300
    new = after[speaks[0] : speaks[0] + 20000]
    assert loudness(new[:4800], NEW) > 0.1
    for at in range(0, len(new) - 960, 480):  # 20 ms each, in which 300 Hz swings 6 times
        assert loudness(new[at : at + 960], OLD) < 0.02
    fade = np.abs(sound[cut - 1 : cut + FADE].astype(int))
    assert fade[-8:].max() < 600  # it ends where it was told to
    assert np.abs(np.diff(sound[cut - 48 : cut + FADE].astype(int))).max() < 1500  # and without a click


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("alone", [True, False])
async def test_a_publisher_of_ones_own(stall: int, alone: bool) -> None:
    own, other = Recorder(), Recorder()
    async with Talk(own if alone else Tee(other, own)) as talk:
        cut = await talk.speak_and_interrupt(stall)
        frames = len(own.frames)
        await talk.finish()
    assert [at for at, _ in own.sound] == list(range(0, len(own.sound) * BLOCK, BLOCK))  # no gap in the clock
    check(np.frombuffer(b"".join(pcm for _, pcm in own.sound), "<i2"), cut)
    assert all(at >= cut + stall * BLOCK for at in own.frames[frames:])
    assert alone or other.sound == own.sound


@pytest.mark.parametrize("stall", STALLS)
async def test_what_was_heard_is_told(stall: int) -> None:
    async with Talk(Recorder()) as talk:
        cut = await talk.speak_and_interrupt(stall)
        began = talk.session._utterances[1].started_at
        await talk.finish()
        talk.session.end()
    started, finished, again, ended = talk.events
    assert (started, again) == (PlaybackStarted("old"), PlaybackStarted("new"))
    assert (finished.event_id, finished.interrupted, ended.event_id, ended.interrupted) == ("old", True, "new", False)
    assert finished.position_ms == pytest.approx((cut + FADE - began) / 48, abs=0.1)
    assert ended.position_ms == pytest.approx(500, abs=0.1)


async def test_an_utterance_that_only_the_engine_knew_was_not_heard() -> None:
    """During a stall the engine finishes one and plays another; the client hears of neither what nobody heard."""
    async with Talk(Recorder()) as talk:
        talk.session.write(tone(OLD, 0.2), RATE, "one")
        talk.session.end("one")
        await talk.clock.run(0.15)
        talk.session.write(tone(OLD, 1.0), RATE, "two")
        for _ in range(40):
            talk.clock.now += BLOCK
            talk.session.performer.tick(talk.clock.now * 1_000_000_000 // RATE)
        talk.session.interrupt()
        await talk.clock.run(0.1)
    finished = [event for event in talk.events if isinstance(event, PlaybackFinished)]
    assert [(event.event_id, event.interrupted) for event in finished] == [("one", True), ("two", True)]
    assert 0 < finished[0].position_ms < 160 and finished[1].position_ms == 0


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("alone", [True, False])
async def test_shared_memory(stall: int, alone: bool) -> None:
    shared = Shared()
    async with Talk(shared if alone else Tee(Recorder(), shared)) as talk:
        reader = lipwire.SharedReader(shared.ring)
        cut = await talk.speak_and_interrupt(stall)
        sound = np.zeros(4 * RATE, "<i2")
        await talk.finish()
        first = None
        while (block := reader.read_pcm()) is not None:  # a reader that had read nothing before
            first = block.sample if first is None else first
            sound[block.sample : block.sample + BLOCK] = np.frombuffer(block, "<i2")
        pictures = []
        while (frame := reader.read_frame()) is not None:
            pictures.append(frame.sample)
    assert first is not None and first >= cut
    assert all(sample >= cut for sample in pictures)
    new = sound[cut + FADE + stall * BLOCK :]
    new = new[np.flatnonzero(np.abs(new) > 300)[0] :][:19200]
    assert loudness(sound[cut + FADE :], OLD) < 0.002 and loudness(new, NEW) > 0.1


@pytest.mark.parametrize("alone", [True, False])
async def test_a_recording(tmp_path: Path, alone: bool) -> None:
    file = File(tmp_path / "out.mp4")
    async with Talk(file if alone else Tee(file, Recorder())) as talk:
        cut = await talk.speak_and_interrupt(20)
        await talk.finish()
    with av.open(str(tmp_path / "out.mp4")) as recording:
        frames = [frame.to_ndarray()[0] for frame in recording.decode(audio=0)]
    sound = np.concatenate(frames) * 32768
    assert loudness(sound[cut - 9600 : cut - 2400], OLD) > 0.1
    assert loudness(sound[cut + 2400 :], OLD) < 0.01 and loudness(sound[cut + 9600 : cut + 19200], NEW) > 0.1


# ------------------------------------------------------------------------------------------------------------- viewers


class Listener:
    """A viewer that takes sound and pictures as its encoders would."""

    def __init__(self, sounds: Sounds, pictures: Pictures) -> None:
        self.sound = np.zeros(4 * RATE, "<i2")
        self.pictures: list[tuple[int, int, bool]] = []
        """Of each its sample, its generation, and whether its mouth is open."""
        self._turns, self._wire, self._of = Turns(), Wire("vp8"), pictures
        sounds._streams["opus"] = Ears(self._hear)
        pictures._turns = self._turns
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(streams.ENCODERS, "vp8", watching(self._see))
            pictures.add(self._wire.out)

    def _see(self, picture: Picture) -> None:
        frame = picture.frame
        self.pictures.append((picture.sample, frame.generation, frame.mouth_open))

    def _hear(self, sound: Sound) -> None:
        self.sound[sound.sample : sound.sample + len(sound.pcm) // 2] = np.frombuffer(sound.pcm, "<i2")

    def take(self) -> None:
        """Its picture has its turn."""
        self._turns.run()

    def close(self) -> None:
        self._of.remove(self._wire.out)
        self._wire.close()


async def watch(
    publisher: Any, listen: Callable[[], tuple[Sounds, Pictures]], slow: bool, stall: int
) -> tuple[Listener, int]:
    """What a viewer gets whose pictures are encoded as they come, or not for a while."""
    async with Talk(publisher) as talk:
        listener = Listener(*listen())
        talk.session.write(tone(OLD, 5.0), RATE, "old")
        for _ in range(51):
            talk.clock.tick()
            if not slow or talk.clock.now < RATE // 4:
                listener.take()
        for _ in range(stall):
            talk.clock.now += BLOCK
            talk.session.performer.tick(talk.clock.now * 1_000_000_000 // RATE)
        sent = int(np.flatnonzero(listener.sound)[-1]) + 1
        talk.session.interrupt()
        cut, shown = talk.clock.now, len(listener.pictures)
        for n in range(110):
            if n == 10:
                talk.session.write(tone(NEW, 0.5), RATE, "new")
                talk.session.end("new")
            talk.clock.tick()
            listener.take()
        assert listener.pictures[shown:] and all(sample >= cut for sample, _, _ in listener.pictures[shown:])
        listener.close()
    return listener, sent


def check_viewer(listener: Listener, sent: int) -> None:
    """Sound ends within the packet on its way (20 ms) and a fade, whatever waited."""
    sound = listener.sound.astype(float)
    assert np.abs(sound[sent + 960 + FADE : sent + 2880]).max() < 300
    assert loudness(sound[sent + 960 + FADE :], OLD) < 0.0005
    new = np.flatnonzero(np.abs(sound[sent + 1200 :]) > 300)
    assert len(new) and loudness(sound[sent + 1200 + new[0] + 480 :][:9600], NEW) > 0.1
    assert np.abs(np.diff(sound[sent - 48 : sent + 960 + FADE])).max() < 1500  # no click


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("alone", [True, False])
async def test_viewers(alone: bool, slow: bool, stall: int) -> None:
    viewers = WebRTC()
    publisher = viewers if alone else Tee(Recorder(), viewers)
    check_viewer(*await watch(publisher, lambda: (viewers._sounds, viewers._pictures), slow, stall))


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("alone", [True, False])
async def test_a_room(alone: bool, slow: bool, stall: int) -> None:
    rooms = Rooms()
    channel = rooms.channel("lobby", "agent")
    assert isinstance(channel, RoomChannel)

    def lobby() -> tuple[Sounds, Pictures]:
        room = rooms._rooms["lobby"]
        return room.sounds, room.pictures

    check_viewer(*await watch(channel if alone else Tee(channel, Recorder()), lobby, slow, stall))
    await rooms.close()


async def test_a_mouth_that_a_browser_saw_shut_stays_so() -> None:
    """The mouth closes from the newest picture of what was interrupted: were that not shown, who had seen the one
    before it would see the mouth open when all is silent."""
    spoken = espeak.speak("Papa may buy five big maps, but Bob and Fay have a hobby: peeling apples.")
    speech, chance = np.frombuffer(spoken.pcm, "<i2"), Random(4)
    viewers = WebRTC()
    listener = Listener(viewers._sounds, viewers._pictures)
    shown, opened, late, rose = False, 0, 0, 0
    async with Talk(viewers) as talk:
        for generation in range(1, 301):
            length = chance.randrange(spoken.rate // 5, spoken.rate)
            at = chance.randrange(len(speech) - length)
            talk.session.write(speech[at : at + length].tobytes(), spoken.rate)
            speaking = chance.randrange(7, 60)
            for n in range(speaking + 40):
                if n == speaking:
                    opened += shown
                    talk.session.interrupt()
                talk.clock.tick()
                listener.take()
                while listener.pictures:
                    _, made, is_open = listener.pictures.pop(0)
                    late += n >= speaking and made != generation
                    rose += made == generation and is_open and not shown
                    shown = is_open
            assert not shown
            await asyncio.sleep(0)
        listener.close()
    assert opened > 60 and late == 0 and rose == 0


# ---------------------------------------------------------------------------------------------------------- any state


@pytest.mark.parametrize("name", OUTLETS)
async def test_from_any_state_nothing_old_leaves(name: str, tmp_path: Path) -> None:
    """300 of the 10 000 that bench/interrupts.py makes at each publisher."""
    found = await interrupted(name, 300, tmp_path, seed=2, pictures=name in ("null", "tee"))
    assert found.violations == 0, found.histogram()
    assert set(found.states) == set(STATES) and found.spoken > RATE


async def test_a_publisher_that_keeps_something_back_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SoundPackets, "interrupt", lambda packets: None)
    assert (await interrupted("webrtc", 100, tmp_path)).violations > 10


# ------------------------------------------------------------------------------------------------------------ failures


class Failing(Recorder):
    """Raises wherever it can."""

    def audio(self, pcm: bytes, sample: int) -> None:
        raise RuntimeError("no sound")

    def video(self, frame: lipwire.Frame) -> None:
        raise RuntimeError("no picture")

    def interrupt(self) -> None:
        raise RuntimeError("no interrupt")


async def test_one_that_fails_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    own = Recorder()
    async with Talk(Tee(Failing(), own)) as talk:
        cut = await talk.speak_and_interrupt(0)
        await talk.finish()
        failures = talk.session.stats()["failures"]
        blocks, frames = len(own.sound), len(own.frames)
    check(np.frombuffer(b"".join(pcm for _, pcm in own.sound), "<i2"), cut)
    assert failures == {"audio": blocks, "video": frames, "interrupt": 1}
    told = [record for record in caplog.records if "handing over failed" in record.getMessage()]
    assert sorted(record.getMessage().rpartition(" ")[2] for record in told) == ["audio", "interrupt", "video"]
    assert f"audio failed {blocks} times in all" in caplog.text


async def test_callbacks_that_fail_are_counted_by_their_kind() -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("broken")

    async with lipwire.Session(Recorder(), avatar=None, on_event=broken, on_special=broken) as session:
        session.special({"mine": 1})
        session.write(tone(OLD, 0.1), RATE)
        session.end()
        await asyncio.wait_for(session.finished(), 10)
        assert session.stats()["failures"] == {"special": 1, "event": 2}


def test_fps_of_these_tests_is_the_default() -> None:
    assert lipwire.Session(Recorder()).fps == Fraction(25)
