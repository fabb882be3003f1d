"""agents/playout.py: replies in their order, into a real session whose clock the tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from lipwire.agents.playout import MAX_WAITING, ChannelSink, Playout
from lipwire.agents.replies import Reply
from lipwire.protocol.messages import PlaybackFinished
from lipwire.session.session import Session
from support.agent_puppet import RATE, Clock, MemoryChannel, MemoryRoom, tone


class Stage:
    """A playout, its session, and a channel that keeps what it says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.channel = MemoryChannel(MemoryRoom(), "agent")
        self.blocks: list[int] = []
        self.positions: list[tuple[str | None, float]] = []
        """What has been heard at each block."""
        self.session = Session(
            ChannelSink(self.channel, self._block), avatar=None, on_event=self._event, voice_end_grace=0.0,
            voice_end_timeout=2.0, capacity=5.0,
        )  # fmt: skip
        self.over: list[str] = []
        self.playout = Playout(self.session, lambda reply: self.over.append(reply.id))

    def _block(self, sample: int) -> None:
        self.blocks.append(sample)
        self.positions.append(self.playout.heard)

    def _event(self, event: Any) -> None:
        if isinstance(event, PlaybackFinished):
            self.playout.playback_finished(event)

    def reply(self, name: str, *, interruptable: bool = True) -> Reply:
        reply = Reply("agent", interruptable=interruptable)
        reply.id = name
        self.playout.add(reply)
        return reply

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            await self.clock.run(0.1)
            self.playout.flush()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.session.start()
    try:
        yield made
    finally:
        await made.session.close()


async def test_what_comes_late_may_be_said_first() -> None:
    """Before a reply that has no sound yet; behind one that is being said."""
    async with stage() as s:
        answer = s.reply("a")
        first, second = Reply("filler"), Reply("filler")
        first.id, second.id = "f", "g"
        s.playout.add(first, answer)
        for reply, peak in ((answer, 3000), (first, 9000)):
            s.playout.sound(reply, tone(0.3, peak=peak), RATE)
            s.playout.finish(reply, "x")
            await s.run(0.1)
        s.playout.add(second, answer)  # too late
        s.playout.sound(second, tone(0.3, peak=6000), RATE)
        s.playout.finish(second, "x")
        await s.run(1.2)
        assert s.over == ["f", "a", "g"]


async def test_replies_are_said_in_their_order() -> None:
    async with stage() as s:
        first, second = s.reply("a"), s.reply("b")
        s.playout.sound(second, tone(0.5, peak=9000), RATE)
        s.playout.finish(second, "two")
        s.playout.sound(first, tone(0.5, peak=3000), RATE)
        await s.run(0.3)
        assert s.session.heard[0] == "a" and s.over == []
        s.playout.finish(first, "one")
        await s.run(1.5)
        loud = np.abs(s.channel.pcm)
        assert s.over == ["a", "b"] and np.flatnonzero(loud > 3000)[0] >= 0.5 * RATE
        assert (first.received_ms, first.text, second.complete) == (500.0, "one", True)
        assert s.blocks == list(range(0, len(s.channel.pcm), RATE // 100))


async def test_what_has_no_sound_is_over_at_once_but_not_before_its_turn() -> None:
    async with stage() as s:
        first, second = s.reply("a"), s.reply("b")
        s.playout.finish(second, "silent")
        assert s.over == []
        s.playout.finish(first, "")
        assert s.over == ["a", "b"]


async def test_what_must_not_be_interrupted_has_the_session_for_itself() -> None:
    async with stage() as s:
        first, law, last = s.reply("a"), s.reply("law", interruptable=False), s.reply("b")
        for reply in (first, law, last):
            s.playout.sound(reply, tone(0.3), RATE)
            s.playout.finish(reply, reply.id)
        s.playout.drop([first, last])  # nothing of the law is in the session, so all that is there may go
        await s.run(0.2)
        assert s.channel.interrupts == [0] and s.session.heard[0] == "law"
        await s.run(0.5)
        assert s.over == ["law"]


async def test_more_than_the_session_holds_waits_and_more_than_that_is_lost() -> None:
    async with stage() as s:
        reply = s.reply("a")
        s.playout.sound(reply, tone(20.0), RATE)
        s.playout.sound(reply, bytes(MAX_WAITING), RATE)
        s.playout.sound(reply, b"odd", RATE)
        s.playout.sound(reply, tone(0.1), 0)
        s.playout.finish(reply, "long")
        s.playout.sound(reply, tone(0.1), RATE)  # after its end
        await s.run(21.0)
        assert s.over == ["a"] and s.playout.lost == MAX_WAITING + 3 + len(tone(0.1))
        loud = np.flatnonzero(s.channel.pcm)
        assert abs(loud[-1] - loud[0] - 20.0 * RATE) < 3 and abs(reply.received_ms - 20_000) < 0.01


async def test_a_reply_that_runs_dry_has_failed() -> None:
    async with stage() as s:
        reply = s.reply("a")
        s.playout.sound(reply, tone(0.2), RATE)
        await s.run(3.0)
        assert s.over == ["a"] and (reply.complete, reply.outcome) == (True, "failed")


def count(number: int, seconds: float = 0.5) -> bytes:
    """A word that can be told from others: a square wave of its own level, and 20 ms of silence behind it."""
    word = np.full(round((seconds - 0.02) * RATE), (number + 1) * 1000, np.int16)
    word[::2] *= -1
    return word.tobytes() + bytes(round(0.02 * RATE) * 2)


def heard(pcm: Any) -> list[tuple[int, float]]:
    """The words in the order in which they were heard, and how many seconds of each."""
    level = np.round(np.abs(pcm.astype(int)).reshape(-1, 240).max(1) / 1000).astype(int)
    changes = np.flatnonzero(np.diff(level)) + 1
    parts = [(int(part[0]) - 1, len(part) / 200) for part in np.split(level, changes)]
    return [part for part in parts if part[0] >= 0 and part[1] >= 0.02]


async def test_held_it_is_silent_and_goes_on_with_the_word_in_which_it_stopped() -> None:
    async with stage() as s:
        first, second = s.reply("a"), s.reply("b")
        for reply, numbers in ((first, (0, 1, 2)), (second, (3,))):
            for number in numbers:
                s.playout.sound(reply, count(number), RATE)
            s.playout.finish(reply, "words")
        await s.run(0.8)
        name, before = s.playout.heard
        s.playout.hold()
        s.playout.hold()
        assert s.playout.heard == (name, before) == ("a", before) and s.channel.interrupts
        silent = len(s.channel.pcm)
        await s.run(1.0)
        assert s.playout.heard == ("a", before) and s.over == []
        assert np.abs(s.channel.pcm[silent + 480 :]).max() == 0 and s.session.heard == (None, 0.0)
        s.playout.release()
        assert s.session.heard == (None, 0.0)  # before its first sample
        name, again = s.playout.heard
        assert name == "a" and 500 <= again < before  # at the beginning of the word
        s.playout.hold()
        assert s.playout.heard == ("a", again)
        s.playout.release()
        await s.run(0.1)
        assert s.playout.heard[0] == "a" and again < s.playout.heard[1] < before
        gone_on = len(s.positions)
        await s.run(3.0)
        words = heard(s.channel.pcm)
        order = [(name or "over", ms) for name, ms in s.positions[gone_on:]]
        assert order == sorted(order) and order[-1][0] == "over"  # it never goes back
        assert [word for word, _ in words] == [0, 1, 1, 2, 3]  # the word that was cut off is said whole
        assert all(abs(seconds - 0.48) <= 0.011 for word, seconds in (words[0], *words[2:]))
        assert s.over == ["a", "b"] and s.playout.heard == (None, 0.0)
        assert s.blocks == list(range(0, len(s.channel.pcm), RATE // 100))  # the media clock has gone on


async def test_held_again_and_again_and_then_dropped() -> None:
    async with stage() as s:
        reply, other = s.reply("a"), s.reply("b")
        for number in range(4):
            s.playout.sound(reply, count(number), RATE)
        positions = []
        for _ in range(3):
            await s.run(0.5)
            s.playout.hold()
            positions.append(s.playout.heard[1])
            await s.run(0.2)
            s.playout.release()
        assert positions == sorted(positions) and positions[0] > 300
        s.playout.hold()
        s.playout.sound(reply, count(4), RATE)  # the brain goes on meanwhile
        s.playout.sound(other, count(5), RATE)
        s.playout.finish(other, "instead")
        interrupts = len(s.channel.interrupts)
        s.playout.drop([reply])
        assert s.playout.heard == (None, 0.0) and len(s.channel.interrupts) == interrupts  # it is silent already
        await s.run(0.3)
        assert s.over == []
        s.playout.release()
        await s.run(1.0)
        assert s.over == ["b"] and heard(s.channel.pcm)[-1][0] == 5 and s.playout._waiting == 0


async def test_what_must_not_be_interrupted_is_not_held() -> None:
    async with stage() as s:
        law, after = s.reply("law", interruptable=False), s.reply("b")
        for number, reply in enumerate((law, after)):
            s.playout.sound(reply, count(number), RATE)
            s.playout.finish(reply, "x")
        await s.run(0.2)
        s.playout.hold()
        await s.run(1.0)
        assert s.over == ["law"] and s.channel.interrupts == []
        s.playout.release()
        await s.run(1.0)
        assert s.over == ["law", "b"] and [word for word, _ in heard(s.channel.pcm)] == [0, 1]


async def test_held_before_anything_of_it_was_heard_and_at_its_very_end() -> None:
    async with stage() as s:
        first = s.reply("a")
        s.playout.hold()
        s.playout.sound(first, count(0), RATE)
        s.playout.finish(first, "x")
        await s.run(0.3)
        assert s.playout.heard == (None, 0.0) and not s.channel.pcm.any()
        s.playout.release()
        await s.clock.until(lambda: s.playout.heard[1] >= 470.0, 5.0)
        s.playout.hold()
        s.playout.release()
        await s.run(0.3)
        assert s.over == ["a"] and heard(s.channel.pcm)[0][0] == 0
