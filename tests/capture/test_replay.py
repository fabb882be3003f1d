"""A live session, recorded over real sockets, and played again: the same samples and the same pictures."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.test_service import KEY, Wire, post_start, pulses, tone
from capture.test_file import header, write
from lipwire.capture import records as r
from lipwire.capture.file import Writer, read
from lipwire.capture.outcome import Outcome
from lipwire.capture.recorder import Recorder, RecordingLimits
from lipwire.capture.replay import Replay
from lipwire.capture.resend import Resend
from lipwire.capture.session import RecordedSession
from lipwire.errors import BadData, InvalidArgument, LipwireError
from lipwire.publish.tee import Tee
from lipwire.session.runtime import Runtime
from support.captured import Memory, Recording, opus, record


async def again(path: Path) -> tuple[Memory, Outcome]:
    memory = Memory()
    return memory, await Replay(path, memory).run()


def assert_same(live: Memory, replayed: Memory, path: Path) -> None:
    """What the recording knows of (the service goes on for a moment behind a session's last record) is the same."""
    known = sum(len(record.sound) for record in read(path) if isinstance(record, r.Played))
    assert known >= len(live.sound) - 10
    assert replayed.sound[:known] == live.sound[:known]
    until = live.sound[known - 1][0] + 480
    assert [p for p in replayed.pictures if p[0] < until] == [p for p in live.pictures if p[0] < until]
    assert any(pcm.strip(b"\0") for _, pcm in live.sound) and len({digest for _, digest in live.pictures}) > 1


async def test_everything_that_a_client_can_do_comes_out_again(tmp_path: Path) -> None:
    service = await record(tmp_path, [1, 2, 3, 4])
    for session_id, live in service.memories.items():
        path = service.file(session_id)
        replayed, outcome = await again(path)
        assert outcome.exact and outcome.complete and not outcome.lost, "\n".join(outcome.lines())
        assert_same(live, replayed, path)


async def test_a_loop_that_stood_still_is_replayed_as_it_was(tmp_path: Path) -> None:
    service = Recording(tmp_path)
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        await wire.voice(pulses(3.0))
        await wire.until(r.m.PlaybackStarted)
        for pause in (0.9, 0.3):  # the ring holds 0.64 s: of the first, blocks are lost
            time.sleep(pause)
            await wire.say(command="voice_interrupt")
            await wire.voice(pulses(0.4))
            await asyncio.sleep(0.2)
        await wire.ws.close()
    live, path = service.memories[session.session_id], service.file(session.session_id)
    samples = [sample for sample, _ in live.sound]
    assert samples != list(range(0, 480 * len(samples), 480)), "the stall was to lose sound"
    replayed, outcome = await again(path)
    assert outcome.exact, "\n".join(outcome.lines())
    assert_same(live, replayed, path)


class ByHand(RecordedSession):
    """A recorded session whose clock and whose loop are moved by hand."""

    def _find_runtime(self) -> Runtime:
        return Hand()

    def go(self, blocks: int, every: int = 1) -> None:
        """So many blocks, of which the loop takes what there is every so many."""
        for n in range(1, blocks + 1):
            self.performer.tick()
            if n % every == 0:
                self.drain()


class Hand(Runtime):
    def attach(self, session: Any) -> None:
        """Nobody ticks it."""

    async def detach(self, session: Any) -> None:
        session.drain()


@pytest.mark.parametrize("behind", [0, 1, 3, 5])
async def test_a_voice_that_is_cut_when_the_loop_stood_still_closes_from_the_picture_that_was_taken(
    tmp_path: Path, behind: int
) -> None:
    """Pictures that found no room, and those that were made, and were stale when the loop took them, were not seen."""
    recorder, live = Recorder(tmp_path, RecordingLimits(session=1 << 22, total=1 << 24)), Memory()
    made = header()
    s = made.settings
    session = ByHand(live, avatar=s.avatar, size=(256, 144), fps=25, seed=s.seed, prebuffer=s.prebuffer)
    session.record(record := recorder.open(made))
    session.publisher = Tee(live, record)
    made.settings = session.settings(guard_window=0.0, check_rate=True, correct_rate=False)
    async with session:
        for stall in (30, 47, 58, 90):
            session.write(pulses(2.0), 16_000)
            session.go(40 + stall % 7)
            session.go(stall, every=stall)
            session.go(behind, every=100)
            session.interrupt()
            session.write(pulses(1.5), 16_000)
            session.go(behind)
            session.interrupt()
            session.go(20)
    recorder.close()
    (path,) = tmp_path.iterdir()
    assert session.performer.stats()["frames_dropped"] > 10
    replayed, outcome = await again(path)
    assert outcome.exact, "\n".join(outcome.lines())
    assert_same(live, replayed, path)


async def test_an_utterance_that_only_time_ends_ends_at_the_same_place(tmp_path: Path) -> None:
    service = Recording(tmp_path, voice_end_timeout_ms=200)
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        await wire.voice(b"\x00\x10" * 4)  # less than the resampler looks ahead
        await wire.until(r.m.PlaybackFinished)
        await wire.voice(tone(0.2))
        await wire.end()
        await wire.until(r.m.PlaybackFinished)
        await wire.ws.close()
    path = service.file(session.session_id)
    replayed, outcome = await again(path)
    assert outcome.exact, "\n".join(outcome.lines())
    assert_same(service.memories[session.session_id], replayed, path)


async def test_a_long_message_is_taken_in_pieces_between_which_others_act(tmp_path: Path) -> None:
    service = Recording(tmp_path)
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        for _ in range(3):
            await wire.voice(tone(12.0, 48_000), sampleRate=48_000)
            await asyncio.sleep(0.01)
            service.watched[session.session_id].session.interrupt()
            await asyncio.sleep(0.1)
        await wire.voice(tone(0.2))
        await wire.end()
        await wire.until(r.m.PlaybackStarted)
        await asyncio.sleep(0.4)
        await wire.ws.close()
    path = service.file(session.session_id)
    assert any(isinstance(record, r.Continued) for record in read(path))
    replayed, outcome = await again(path)
    assert outcome.exact, "\n".join(outcome.lines())
    assert_same(service.memories[session.session_id], replayed, path)


async def test_a_difference_is_found_and_told(tmp_path: Path) -> None:
    service = await record(tmp_path, [5], steps=15)
    (path,) = (service.file(s) for s in service.memories)
    replay = Replay(path, avatar="ohm")
    outcome = await replay.run()
    assert not outcome.exact and outcome.differing.keys() == {"picture"}
    assert any("picture differ, the first at" in line for line in outcome.lines())


async def test_a_paced_replay_keeps_time_and_is_as_exact(tmp_path: Path) -> None:
    service = await record(tmp_path, [6], steps=15)
    (path,) = (service.file(s) for s in service.memories)
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    outcome = await Replay(path, pace=2.0, clock=lambda: now, sleep=sleep).run()
    assert outcome.exact
    assert sum(slept) == pytest.approx(outcome.clock / 48_000 / 2, abs=0.1)


async def test_an_avatar_of_a_file_is_no_path(tmp_path: Path) -> None:
    service = await record(tmp_path, [7], steps=3)
    (path,) = (service.file(s) for s in service.memories)
    header, *_ = read(path)
    assert isinstance(header, r.Header)
    header.settings.avatar = str(tmp_path)
    with pytest.raises(InvalidArgument, match="not built in"):
        changed = Writer(tmp_path / "changed.lipwire.gz")
        changed.append(r.encode(header))
        changed.close()
        Replay(changed.path)


async def test_it_goes_to_a_running_provider_as_its_client_did(tmp_path: Path) -> None:
    service = Recording(tmp_path / "first")
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        await wire.voice(tone(0.3))
        await wire.end()
        await wire.until(r.m.PlaybackFinished)
        wire.ws.transport.abort()
        wire = await Wire.open(session)
        await wire.say(command="no-such")
        await wire.until(r.m.ErrorEvent)
        await wire.ws.close()
    path = service.file(session.session_id)
    second = Recording(tmp_path / "second")
    heard: list[str] = []
    async with second:
        resend = Resend(path, second.http_url, KEY, pace=None, on_event=heard.append)
        done = await resend.run()
        assert second.provider.sessions == []
    assert done.messages == 5 and done.left_out == done.closed == 0
    assert sum("init_ack" in text for text in heard) == 2
    (memory,) = second.memories.values()
    said = b"".join(pcm for _, pcm in memory.sound).strip(b"\0")
    live = b"".join(pcm for _, pcm in service.memories[session.session_id].sound).strip(b"\0")
    assert said == live != b""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fps": (25, 0)}, "out of range"),
        ({"capacity": 1e300}, "out of range"),
        ({"prebuffer_max": 1e300}, "out of range"),
        ({"prebuffer_max": -1.0}, "out of range"),
        ({"seed": -1}, "out of range"),
        ({"width": 100_000}, "frame size"),
        ({"prebuffer": 100.0, "capacity": 1.0}, "performer"),
    ],
)
async def test_a_file_that_somebody_made_up_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    made = header()
    made.settings = msgspec.structs.replace(made.settings, **change)
    writer = Writer(tmp_path / "r.lipwire.gz")
    writer.append(r.encode(made))
    with pytest.raises(LipwireError, match=says):
        await Replay(writer.path).run()


async def test_a_session_without_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, r.Received(101, 1, at=0, ops=[1 << 60], text="{}"))
    with pytest.raises(BadData, match="24 hours"):
        Replay(path)
    path.unlink()
    path = write(
        tmp_path, r.Continued(101, 9), r.Called(101, "end"), r.Received(102, 3, text="{}"), r.Disconnected(103, 7)
    )
    outcome = await Replay(path).run()
    assert outcome.astray == 1 and not outcome.complete


@pytest.mark.parametrize("kind", ["opus", "pcm", "long"])
async def test_speech_that_found_no_room_finds_none_again(tmp_path: Path, kind: str) -> None:
    """What fits depends on the tick in which it is asked, so a refusal has its place, too; and its message says how
    much room there was."""
    service = Recording(tmp_path, buffer_seconds=2)
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        packets = opus(0.8)
        await wire.voice(tone(1.9))
        await wire.until(r.m.PlaybackStarted)
        for _ in range(6):
            if kind == "opus":
                for packet in packets:
                    await wire.voice(packet, encoding="OPUS", sampleRate=48000)
            elif kind == "pcm":
                for _ in range(4):
                    await wire.voice(tone(0.1))
            else:
                await wire.voice(tone(1.6, 48000), sampleRate=48000)
            time.sleep(0.1)  # the loop stands still, the engine does not
            await asyncio.sleep(0.03)
        await wire.say(command="voice_interrupt")
        await asyncio.sleep(0.1)
        await wire.ws.close()
    path = service.file(session.session_id)
    assert sum("BUFFER_FULL" in record.text for record in read(path) if isinstance(record, r.Sent)) > 3
    live = service.memories[session.session_id]
    replayed, outcome = await again(path)
    assert outcome.exact and not outcome.astray, "\n".join(outcome.lines())
    assert_same(live, replayed, path)
