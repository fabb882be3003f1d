"""An agent in a channel: real sessions, a channel in memory, and a clock that the tests turn."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from lipwire.agents.agent import Agent
from lipwire.agents.brains import base as b
from lipwire.agents.brains.base import Services
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.brains.echo import EchoBrain, Fail, Say, ScriptBrain
from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.events import AgentFailed, Ended, Said, StateChanged
from lipwire.agents.options import Filler, Greeting
from lipwire.agents.replies import Reply
from lipwire.audio import espeak as voice
from lipwire.avatar.art import AXES
from lipwire.channel.base import Connection, Heard, Seen, UserJoined, UserLeft
from lipwire.errors import BadState, BufferFull, InvalidArgument, LipwireError
from lipwire.protocol import transcript as t
from support.agent_puppet import BLOCK, RATE, Clock, MemoryChannel, MemoryRoom, Puppet, tone
from support.fakes import FakeChat, FakeStt, FakeTts
from support.machine import require
from support.recordings import Files, wav

NOW = time.monotonic_ns


class Stage:
    """An agent in a room with a user, and what came of it."""

    def __init__(self, brain: b.Brain | None = None, *, user: bool = True, **fields: Any) -> None:
        self.clock = Clock()
        self.room = MemoryRoom()
        self.user = MemoryChannel(self.room, "7")
        self.user_comes = user
        self.channel = MemoryChannel(self.room, "agent")
        self.brain: Any = brain or Puppet()
        self.events: list[Any] = []
        llm = Llm(**fields.pop("llm", {}))
        self.config = AgentConfig(name="a", channel="c", llm=llm, **fields)
        self.agent = Agent(self.config, self.channel, self.brain, on_event=self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> list[str]:
        return [event.state for event in self.of(StateChanged)]

    def captions(self, kind: type) -> list[Any]:
        return [message for message in self.channel.messages() if isinstance(message, kind)]

    async def join(self) -> None:
        from fractions import Fraction

        from lipwire.stream import StreamSpec

        await self.user.open(StreamSpec(session_id="u", width=0, height=0, fps=Fraction(1)))

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        return [call for call in self.brain.calls if call[0] == name]


@asynccontextmanager
async def agent(brain: b.Brain | None = None, **options: Any) -> AsyncIterator[Stage]:
    stage = Stage(brain, **options)
    if stage.user_comes:
        await stage.join()
    await stage.agent.start()
    try:
        yield stage
    finally:
        await stage.agent.stop()


# ------------------------------------------------------------------------------------------------------------ turns


async def test_a_turn_goes_through_its_states_and_is_told() -> None:
    async with agent() as s:
        await s.clock.run(0.05)
        assert s.agent.state == "listening"
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.UserText("i1", "what is", False))
        s.brain.emit(b.SpeechStopped(NOW()))
        assert s.agent.state == "thinking"
        s.brain.emit(b.UserText("i1", "What is it?", True, (b.TimedWord("What", 0, 200), b.TimedWord("is", 200, 100))))
        s.brain.emit(b.ReplyStarted("r1", NOW(), "i1"))
        for name in ("first_token", "first_sentence", "first_audio"):
            s.brain.emit(b.Stamp("r1", name, NOW()))
        s.brain.reply("r1", tone(2.0), "It is a very fine day.")
        await s.clock.run(0.05)
        assert s.agent.state == "speaking" and s.agent.stats()["state"] == "speaking"
        await s.clock.run(3.0)
    assert s.states() == ["listening", "thinking", "speaking", "listening"]
    [turn] = s.agent.turns()
    assert (turn["start_reason"], turn["end_reason"], turn["user"]) == ("speech", "finished", "")
    assert (turn["user_text"], turn["agent_text"]) == ("What is it?", "It is a very fine day.")
    assert list(turn["segments"]) == ["request_ms", "llm_ms", "sentence_ms", "tts_ms", "channel_ms"]
    assert sum(turn["segments"].values()) == pytest.approx(turn["e2e_latency_ms"], abs=0.05)
    history = s.agent.history()
    assert [(h["role"], h["content"], h["turn_id"]) for h in history] == [
        ("user", "What is it?", 1),
        ("assistant", "It is a very fine day.", 1),
    ]
    users = s.captions(t.UserTranscription)
    assert [(u.text, u.final, u.turn_id) for u in users] == [("what is", False, 1), ("What is it?", True, 1)]
    assert users[1].words == [t.Word("What", 0, 200), t.Word("is", 200, 100)] and users[1].duration_ms == 300
    assert [m.state for m in s.captions(t.State)] == [*s.states(), "idle"]
    metrics = {(m.module, m.metric_name): m for m in s.captions(t.Metrics)}
    assert set(metrics) == {("llm", "ttft"), ("tts", "ttfb"), ("turn", "e2e_latency")}
    assert metrics["turn", "e2e_latency"].segments == turn["segments"]


async def test_captions_keep_step_with_the_sound() -> None:
    text = "one two three four five six seven eight nine ten"
    words = tuple(b.TimedWord(word, n * 400, 400) for n, word in enumerate(text.split()))
    async with agent() as s:
        s.brain.emit(b.ReplyStarted("r1", NOW()))
        for word in words:
            s.brain.emit(b.ReplyText("r1", word.text + " ", word.start_ms, word.duration_ms, (word,)))
        s.brain.emit(b.ReplyAudio("r1", tone(4.0), RATE))
        s.brain.emit(b.ReplyFinished("r1", text))
        told: list[Any] = []
        while s.agent.state != "listening" or not told:
            await s.clock.run(0.01)
            for message in s.captions(t.AssistantTranscription)[len(told) :]:
                told.append((s.agent.session.heard[1] or 4000.0, message))
    assert len(told) > 10
    for played, message in told:
        assert text.startswith(message.text)
        begun = sum(word.start_ms < played for word in words)
        assert begun - 2 <= len(message.text.split()) <= begun, (played, message.text)
    assert [m.turn_seq_id for _, m in told] == sorted({m.turn_seq_id for _, m in told})
    last = told[-1][1]
    assert (last.turn_status, last.text, last.duration_ms) == (t.ENDED, text, 4000)
    assert [w.word for w in last.word_times or ()] == text.split()
    assert {m.turn_status for _, m in told[:-1]} == {t.RUNNING}


async def test_captions_of_v03() -> None:
    async with agent(transcripts="v0.3") as s:
        s.brain.user_says("Hello.")
        s.brain.reply("r1", tone(1.0), "good day to you all")
        await s.clock.run(1.5)
    texts = s.captions(t.Transcribe)
    assert [m.stream_id for m in texts] == [0] * len(texts) or texts[0].stream_id == ""
    agents = [m for m in texts if m.stream_id == 0]
    assert agents[-1].is_final and agents[-1].text == "good day to you all"
    assert len({m.text_ts for m in agents}) == 1 and len({m.message_id for m in agents}) == len(agents) > 2
    assert not s.captions(t.AssistantTranscription) and s.captions(t.State)


async def test_without_captions_nothing_is_sent() -> None:
    async with agent(transcripts="off") as s:
        s.brain.reply("r1", tone(0.2), "hello")
        await s.clock.run(0.5)
    assert not s.channel.sent and s.agent.history()


async def test_the_users_words_are_told_under_the_users_name() -> None:
    async with agent() as s:
        s.user.say(bytes(320))
        s.brain.user_says("Hello.")
    [message] = s.captions(t.UserTranscription)
    assert (message.stream_id, message.user_id) == (7, "7")


async def test_late_transcripts_come_before_their_answer_in_the_history() -> None:
    async with agent() as s:
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.UserText("i1", "how", False))
        s.brain.emit(b.SpeechStopped(NOW()))
        s.brain.reply("r1", tone(0.1), "Fine.")
        await s.clock.run(0.3)
        s.brain.emit(b.UserText("i1", "How are you?", True))
    assert [h["content"] for h in s.agent.history()] == ["How are you?", "Fine."]


# --------------------------------------------------------------------------------------------------------- barge-in


@pytest.mark.parametrize("at", [0.10, 0.33, 1.7])
async def test_barge_in_is_silent_within_a_tick_and_a_fade(at: float) -> None:
    async with agent() as s:
        s.brain.user_says("Tell me everything.")
        s.brain.reply("r1", tone(10.0, 300.0), "alpha beta gamma delta " * 10)
        await s.clock.until(lambda: s.agent.state == "speaking")
        await s.clock.run(at)
        heard = s.agent.session.heard[1]
        clock = s.channel.clock
        s.brain.emit(b.SpeechStarted(NOW()))
        assert s.channel.interrupts == [clock] and s.agent.state == "listening"
        await s.clock.run(0.3)
        assert not s.calls("interrupted")  # it may be a cough
        s.brain.emit(b.UserText("i2", "No,", False))
        [(_, reply_id, played_ms, text)] = s.calls("interrupted")
        assert s.channel.interrupts == [clock]
        assert (reply_id, played_ms) == ("r1", heard) and ("alpha beta gamma delta " * 10).startswith(text)
        assert len(text) == pytest.approx(230 * heard / 10_000, abs=7)
        assert s.agent.state == "listening"
        s.brain.emit(b.ReplyAudio("r1", tone(1.0), RATE))  # late: of a reply that is over
        s.brain.emit(b.ReplyFinished("r1", "x", "cancelled"))
        await s.clock.run(1.0)
        last = np.flatnonzero(s.channel.pcm)[-1]
        assert clock <= last < clock + 240  # the 5 ms fade, in the tick that follows
    said = [h["content"] for h in s.agent.history() if h["role"] == "assistant"]
    assert said == ([text] if text else [])
    assert [turn["end_reason"] for turn in s.agent.turns()] == ["interrupted", "no_reply"]
    [cut] = s.captions(t.Interrupt)
    assert cut.turn_id == 1
    if text:
        last_caption = s.captions(t.AssistantTranscription)[-1]
        assert (last_caption.turn_status, last_caption.text) == (t.INTERRUPTED, text)
        assert s.of(Said)[-1] == Said("assistant", text, 1, True)


async def test_barge_in_on_the_real_engine() -> None:
    """As above, on the engine's own thread: it may be in the middle of a tick."""
    room, brain = MemoryRoom(), Puppet()
    channel = MemoryChannel(room, "agent")
    agent = Agent(AgentConfig(name="a", channel="c"), channel, brain)
    await agent.start()
    brain.reply("r1", tone(10.0), "a long story")
    while agent.state != "speaking":
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.25)
    brain.emit(b.SpeechStarted(NOW()))
    clock = agent.session.performer.stats()["clock"]
    await asyncio.sleep(0.3)
    await agent.stop()
    assert np.flatnonzero(channel.pcm)[-1] < clock + BLOCK + 240
    [(_, _, played, _)] = [call for call in brain.calls if call[0] == "interrupted"]
    assert np.count_nonzero(channel.pcm) / RATE * 1000 == pytest.approx(played, abs=25)


@pytest.mark.parametrize("seconds", [0.2, 1.5])
async def test_a_noise_holds_what_is_said_and_it_goes_on(seconds: float) -> None:
    said = "alpha beta gamma delta " * 10
    async with agent() as s:
        s.brain.user_says("Tell me everything.")
        s.brain.reply("r1", tone(3.0, 300.0), said)
        s.brain.emit(b.ReplyFinished("r1", said))
        await s.clock.until(lambda: s.agent.state == "speaking")
        await s.clock.run(1.0)
        begun = s.channel.clock
        s.brain.emit(b.SpeechStarted(NOW(), "i2"))
        await s.clock.run(seconds)
        s.brain.emit(b.SpeechStopped(NOW(), "i2"))
        await s.clock.run(1.9)
        assert s.agent.state == "thinking" and not s.channel.pcm[begun + 240 :].any()
        await s.clock.run(4.0)
        pcm, history = s.channel.pcm, s.agent.history()
    assert not s.calls("interrupted") and not s.captions(t.Interrupt)
    blocks = np.abs(pcm.reshape(-1, BLOCK)).max(1) > 0
    assert blocks.sum() / 100 == pytest.approx(3.0, abs=0.03)  # once, and all of it
    assert np.abs(np.diff(pcm.astype(int))).max() < 2 * np.pi * 300 / RATE * np.abs(pcm.astype(int)).max() * 1.6
    assert [entry["content"] for entry in history if entry["role"] == "assistant"] == [said.strip()]
    assert [turn["end_reason"] for turn in s.agent.turns()] == ["finished", "no_reply"]


async def test_barge_in_while_thinking_drops_the_answer() -> None:
    async with agent() as s:
        s.brain.user_says("Tell me")
        s.brain.emit(b.ReplyStarted("r1", NOW()))
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.UserText("i2", "And", False))
        assert s.calls("interrupted") == [("interrupted", "r1", 0.0, "")]
        s.brain.emit(b.ReplyAudio("r1", tone(0.5), RATE))
        await s.clock.run(1.0)
        assert not s.channel.pcm.any() and not s.captions(t.Interrupt)


async def test_interrupting_a_thought() -> None:
    async with agent() as s:
        s.brain.user_says("Tell me")
        assert s.agent.interrupt() and s.agent.state == "listening"
        s.brain.reply("r1", tone(0.5), "well")
        assert s.calls("interrupted") == [("interrupted", "r1", 0.0, "")]
        s.brain.reply("r2", tone(0.1), "something else")
        await s.clock.run(0.3)
        s.brain.user_says("And again", "i2")
        s.agent.interrupt()
        s.brain.user_says("No, this", "i3")
        s.brain.reply("r3", tone(0.1), "this")
        await s.clock.run(0.3)
    assert [h["content"] for h in s.agent.history() if h["role"] == "assistant"] == ["something else", "this"]
    assert [turn["end_reason"] for turn in s.agent.turns()] == ["interrupted", "finished", "interrupted", "finished"]


async def test_interrupt_and_then_the_next_answer() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(5.0, peak=1000), "no")
        await s.clock.run(0.5)
        assert s.agent.interrupt()
        s.brain.reply("r2", tone(0.5, peak=8000), "yes")
        await s.clock.run(1.0)
        assert not s.agent.interrupt()
    pcm = s.channel.pcm
    assert np.count_nonzero(np.abs(pcm) > 7900) > 1000
    first_loud = np.flatnonzero(np.abs(pcm) > 1100)[0]
    assert pcm[first_loud - 2000 : first_loud].any() and np.abs(pcm[first_loud:]).max() > 7900


# ---------------------------------------------------------------------------------------------------------- replies


async def test_replies_keep_their_order_whatever_comes_first() -> None:
    async with agent() as s:
        s.brain.emit(b.ReplyStarted("a", NOW()))
        s.brain.emit(b.ReplyStarted("b", NOW()))
        s.brain.emit(b.ReplyAudio("b", tone(0.3, peak=8000), RATE))
        s.brain.emit(b.ReplyFinished("b", "second"))
        s.brain.emit(b.ReplyAudio("a", tone(0.2, peak=2000), RATE))
        await s.clock.run(0.5)  # a has run dry, and b waits for it
        assert np.abs(s.channel.pcm).max() <= 2000
        s.brain.emit(b.ReplyAudio("a", tone(0.2, peak=2000), RATE))
        s.brain.emit(b.ReplyFinished("a", "first"))
        await s.clock.run(1.5)
    loud = np.flatnonzero(np.abs(s.channel.pcm) > 2100)
    assert np.count_nonzero(np.abs(s.channel.pcm[: loud[0]]) > 1000) > 0.3 * RATE / 2
    assert [h["content"] for h in s.agent.history()] == ["first", "second"]


async def test_a_reply_longer_than_the_session_holds() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(100.0), "long", finish=True)
        await s.clock.until(lambda: s.agent.state == "listening" and s.agent.history(), 130.0)
        loud = np.flatnonzero(s.channel.pcm)
        assert loud[-1] - loud[0] == pytest.approx(100.0 * RATE, abs=2)
        assert s.agent.stats()["sound_lost"] == 0
        s.brain.emit(b.ReplyAudio("r2", bytes(20 << 20), RATE))
        assert s.agent.stats()["sound_lost"] == 20 << 20  # the bound: refused whole


async def test_what_is_no_sound_is_counted() -> None:
    async with agent() as s:
        s.brain.emit(b.ReplyAudio("r1", b"odd", RATE))
        s.brain.emit(b.ReplyAudio("r1", bytes(320), 7))
        s.brain.emit(b.ReplyAudio("r1", bytes(320), 0))
        s.brain.emit(b.ReplyAudio("r1", tone(0.2), RATE))
        s.brain.emit(b.ReplyFinished("r1", "fine"))
        await s.clock.run(0.5)
        assert s.agent.stats()["sound_lost"] == 3 + 320 + 320
    assert [h["content"] for h in s.agent.history()] == ["fine"]


async def test_too_many_replies_are_refused() -> None:
    async with agent() as s:
        for n in range(40):
            s.brain.emit(b.ReplyStarted(f"r{n}", NOW()))
        assert [call[1] for call in s.calls("interrupted")] == [f"r{n}" for n in range(32, 40)]


async def test_a_reply_that_the_brain_forgets_is_given_up() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(0.2), "hm", finish=False)
        await s.clock.run(30.0)
        assert s.agent.state == "speaking"
        await s.clock.run(35.0)
        assert s.agent.state == "listening"
    assert s.agent.turns()[-1]["end_reason"] == "failed"


# ------------------------------------------------------------------------------------------------------------ speak


def said(reply: Reply | None) -> str:
    """The id of a reply that the brain has taken."""
    assert reply is not None
    return reply.id


async def test_speak_priorities() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(5.0), "a long answer")
        await s.clock.run(0.2)
        assert s.agent.speak("never", "IGNORE") is None
        assert said(s.agent.speak("after it", "APPEND")) == "said-1"
        s.brain.reply("said-1", tone(0.2), "after it")
        assert not s.calls("interrupted")
        assert said(s.agent.speak("at once", "INTERRUPT")) == "said-2"
        assert [call[1] for call in s.calls("interrupted")] == ["r1", "said-1"]
        s.brain.reply("said-2", tone(0.2), "at once")
        await s.clock.run(0.5)
        assert said(s.agent.speak("now it may", "IGNORE")) == "said-3"
        s.brain.reply("said-3", tone(0.1), "now it may")
        await s.clock.run(0.3)
    assert [turn["start_reason"] for turn in s.agent.turns()] == ["agent", "speak", "speak", "speak"]
    assert [h["content"] for h in s.agent.history()][-2:] == ["at once", "now it may"]


async def test_what_must_not_be_interrupted_is_not() -> None:
    async with agent() as s:
        s.agent.speak("the law says", interruptable=False)
        s.brain.reply("said-1", tone(1.0, peak=3000), "the law says")
        await s.clock.run(0.3)
        s.brain.reply("r2", tone(1.0, peak=9000), "and I say")
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.UserText("i1", "What?", False))
        assert [call[1] for call in s.calls("interrupted")] == ["r2"] and not s.channel.interrupts
        await s.clock.run(1.5)
        loud = np.abs(s.channel.pcm)
        assert loud.max() <= 3000 and np.count_nonzero(loud) > 0.9 * RATE
        assert s.agent.history()[-1]["content"] == "the law says"
        s.agent.speak("twice", interruptable=False)
        s.brain.reply("said-2", tone(1.0), "twice")
        await s.clock.run(0.2)
        assert s.agent.interrupt() and s.channel.interrupts  # whoever runs the agent may


@pytest.mark.parametrize("text", ["", "  ", "x" * 513, "é" * 257])
async def test_texts_that_cannot_be_spoken(text: str) -> None:
    async with agent() as s:
        with pytest.raises(InvalidArgument):
            s.agent.speak(text)


async def test_tell_respond_and_commit_reach_the_brain() -> None:
    async with agent() as s:
        s.agent.tell("Be brief.", "system")
        assert s.agent.state == "thinking"
        s.brain.reply("r1", tone(0.1), "Yes.")
        await s.clock.run(0.3)
        s.agent.respond("in French")
        s.agent.commit()
        with pytest.raises(InvalidArgument):
            s.agent.tell("")
    assert [c for c in s.brain.calls if c[0] != "interrupted"] == [
        ("tell", "Be brief.", "system"), ("respond", "in French"), ("commit",)]  # fmt: skip
    assert [turn["start_reason"] for turn in s.agent.turns()] == ["text", "respond"]
    assert s.agent.turns()[0]["e2e_latency_ms"] > 0


# ------------------------------------------------------------------------------------------- greeting, coming, going


async def test_the_first_user_is_greeted_once() -> None:
    async with agent(user=False, llm={"greeting_message": "Welcome!"}) as s:
        await s.clock.run(1.0)
        assert not s.calls("speak") and s.agent.state == "idle"
        await s.join()
        assert s.calls("speak") == [("speak", "Welcome!")]
        s.brain.reply("said-1", tone(0.2), "Welcome!")
        await s.clock.run(0.5)
        await s.user.close()
        assert s.agent.state == "idle"
        await s.join()
        assert s.agent.state == "listening" and len(s.calls("speak")) == 1
    assert s.agent.turns()[0]["start_reason"] == "greeting"


async def test_only_whom_it_hears_is_greeted_and_heard() -> None:
    async with agent(user=False, remote_uids=["9"], llm={"greeting_message": "Welcome!"}) as s:
        assert set(s.channel.subscriptions) == {"9"}
        await s.join()
        s.channel.emit(Heard("7", bytes(320)))
        assert not s.calls("speak") and not s.brain.frames
        s.channel.emit(Heard("9", bytes(320)))
        assert s.calls("speak") and len(s.brain.frames) == 1


@pytest.mark.parametrize(("timeout", "leaves"), [(3.0, True), (0.0, False)])
async def test_alone_for_too_long_it_leaves(timeout: float, leaves: bool) -> None:
    async with agent(user=False, idle_timeout=timeout) as s:
        await s.clock.run(2.9)
        await s.join()
        await s.clock.run(10.0)
        await s.user.close()
        await s.clock.run(2.8)
        assert not s.of(Ended)
        await s.clock.run(0.3)
        await asyncio.sleep(0)
        if leaves:
            assert await asyncio.wait_for(s.agent.finished, 5) == "idle_timeout"
            assert s.of(Ended) == [Ended("idle_timeout")] and "agent" not in s.room.members and s.brain.closed == 1
        else:
            await s.clock.run(60.0)
            assert not s.of(Ended)


async def test_out_of_the_channel_it_counts_as_alone() -> None:
    async with agent(idle_timeout=2.0) as s:
        s.channel.emit(Connection("reconnecting", "a tunnel"))
        assert s.agent.state == "listening"
        s.channel.emit(Connection("disconnected", "gone"))
        assert s.agent.state == "idle" and s.of(b.Failed)[-1].code == "CHANNEL_FAILED"
        await s.clock.run(1.0)
        s.channel.emit(Connection("connected"))
        s.channel.emit(UserJoined("7"))
        await s.clock.run(5.0)
        assert s.agent.state == "listening" and not s.of(Ended)
        s.channel.emit(UserLeft("7"))
        await s.clock.run(2.5)
        assert await asyncio.wait_for(s.agent.finished, 5) == "idle_timeout"


async def test_after_the_end_nothing_matters_any_more() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(5.0), "I was about to")
        await s.clock.run(0.3)
        finished = s.agent.finished
        await s.agent.stop("enough")
        await s.agent.stop("again")
        assert await finished == "enough" == await s.agent.finished
        before = len(s.events)
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.ReplyAudio("r2", tone(1.0), RATE))
        s.channel.emit(Heard("7", bytes(320)))
        assert len(s.events) == before and s.of(Ended) == [Ended("enough")]
        for call in (lambda: s.agent.speak("x"), lambda: s.agent.tell("x"), s.agent.interrupt, s.agent.commit):
            with pytest.raises(BadState):
                call()
    assert s.agent.state == "idle" and s.agent.turns()[-1]["end_reason"] == "interrupted"


async def test_a_start_that_fails_leaves_nothing() -> None:
    class Refusing(Puppet):
        async def open(self, emit: Any) -> None:
            raise LipwireError("no such model")

    stage = Stage(Refusing())
    with pytest.raises(LipwireError, match="no such model"):
        await stage.agent.start()
    assert not stage.room.members and stage.brain.closed == 1
    await stage.agent.stop()

    stage = Stage()
    stage.room.members["agent"] = MemoryChannel(stage.room, "agent")
    with pytest.raises(BadState, match="taken"):
        await stage.agent.start()
    assert stage.brain.closed == 1
    with pytest.raises(BadState):
        await stage.agent.start()


# --------------------------------------------------------------------------------------------------------- failures


async def test_a_failure_is_said_and_the_agent_lives_on() -> None:
    async with agent(llm={"failure_message": "Please hold on."}) as s:
        s.brain.user_says("Hello?")
        s.brain.emit(b.Failed("LLM_ERROR", "502 Bad Gateway"))
        assert s.calls("speak") == [("speak", "Please hold on.")]
        s.brain.reply("said-1", tone(0.2), "Please hold on.")
        s.brain.emit(b.Failed("TOOL_ERROR", "later"))  # nothing was due
        await s.clock.run(0.5)
        s.brain.user_says("Again?", "i2")
        s.brain.emit(b.ReplyStarted("r2", NOW()))
        s.brain.emit(b.ReplyText("r2", "Well, the", 0, 500))
        s.brain.emit(b.ReplyAudio("r2", tone(0.5), RATE))
        s.brain.emit(b.Failed("LLM_ERROR", "broken stream", "r2"))
        s.brain.emit(b.ReplyFinished("r2", "Well, the", "failed"))
        s.brain.reply("said-2", tone(0.2), "Please hold on.")
        await s.clock.run(1.5)
        s.brain.user_says("And now?", "i3")
        s.brain.reply("r3", tone(0.2), "Now it works.")
        await s.clock.run(0.5)
    assert len(s.calls("speak")) == 2 and s.agent.stats()["failures"] == 3
    assert [(x["start_reason"], x["end_reason"]) for x in s.agent.turns()] == [
        ("speech", "failed"), ("failure", "finished"), ("speech", "failed"), ("failure", "finished"),
        ("speech", "finished")]  # fmt: skip
    errors = s.captions(t.Error)
    assert (errors[0].module, errors[0].message, errors[0].reason) == ("llm", "Please hold on.", "LLM_ERROR")


async def test_only_what_had_sound_was_said() -> None:
    async with agent() as s:
        s.brain.user_says("Hello?")
        s.brain.emit(b.ReplyStarted("r1", NOW()))
        s.brain.emit(b.ReplyText("r1", "Never heard.", 0, 900))
        s.brain.emit(b.Failed("TTS_ERROR", "down", "r1"))
        s.brain.emit(b.ReplyFinished("r1", "Never heard.", "failed"))
        s.brain.user_says("Hello??", "i2")
        s.brain.emit(b.ReplyStarted("r2", NOW()))
        s.brain.emit(b.ReplyText("r2", "One sentence. ", 0, 300))
        s.brain.emit(b.ReplyAudio("r2", tone(0.3), RATE))
        s.brain.emit(b.ReplyText("r2", "And another.", 300, 500))
        s.brain.emit(b.Failed("TTS_ERROR", "down", "r2"))
        await s.clock.run(1.0)
        s.brain.user_says("Hello???", "i3")
        s.brain.emit(b.ReplyStarted("r3", NOW()))
        s.brain.emit(b.ReplyText("r3", "Thought better of it.", 0, 300))
        s.brain.emit(b.ReplyFinished("r3", "Thought", "cancelled"))
    assert [h["content"] for h in s.agent.history() if h["role"] == "assistant"] == ["One sentence."]
    assert [turn["end_reason"] for turn in s.agent.turns()] == ["failed", "failed", "interrupted"]


async def test_stopping_what_still_starts() -> None:
    gate = asyncio.Event()

    class Slow(Puppet):
        async def open(self, emit: Any) -> None:
            await gate.wait()
            await super().open(emit)

    stage = Stage(Slow())
    starting = asyncio.ensure_future(stage.agent.start())
    await asyncio.sleep(0)
    await stage.agent.stop("never mind")
    gate.set()
    with pytest.raises(BadState, match="stopped"):
        await starting
    assert "agent" not in stage.room.members and await stage.agent.finished == "never mind"


async def test_what_is_opened_while_the_agent_is_stopped_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    closed = []

    class Spotter:
        def hear(self, pcm: bytes, wanted: Any, found: Any) -> None: ...

        async def close(self) -> None:
            closed.append(self)

    async def opened() -> Spotter:
        await gate.wait()
        return Spotter()

    monkeypatch.setattr("lipwire.agents.agent.open_spotter", opened)
    stage = Stage(voice_commands=True)
    starting = asyncio.ensure_future(stage.agent.start())
    await asyncio.sleep(0)
    await stage.agent.stop()
    gate.set()
    with pytest.raises(BadState, match="stopped"):
        await starting
    assert closed and "agent" not in stage.room.members


async def test_a_brain_that_cannot_hear_of_the_end_does_not_keep_the_agent() -> None:
    class Deaf(Puppet):
        def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
            raise RuntimeError("it has ended")

    async with agent(Deaf()) as s:
        s.brain.user_says("Hello?")
        s.brain.reply("r1", tone(2.0))
        await s.clock.run(0.5)
        await s.agent.stop("enough")
        assert await s.agent.finished == "enough"
        assert "agent" not in s.room.members and s.brain.closed == 1
        assert s.agent.turns()[-1]["end_reason"] == "interrupted"


async def test_a_failure_message_that_fails_is_not_repeated() -> None:
    async with agent(llm={"failure_message": "Hold on."}) as s:
        s.brain.user_says("Hello?")
        s.brain.emit(b.Failed("LLM_ERROR", "down"))
        s.brain.emit(b.Failed("TTS_ERROR", "down too", "said-1"))
        s.brain.emit(b.ReplyFinished("said-1", "", "failed"))
        await s.clock.run(1.0)
        assert len(s.calls("speak")) == 1 and s.agent.state == "listening"


async def test_failing_between_turns_or_while_the_user_speaks_says_nothing() -> None:
    async with agent(llm={"failure_message": "Hold on."}) as s:
        s.brain.emit(b.Failed("REALTIME_ERROR", "disconnected"))
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.Failed("REALTIME_ERROR", "disconnected"))
        assert not s.calls("speak") and len(s.of(b.Failed)) == 2


async def test_a_brain_that_is_gone_ends_the_agent() -> None:
    async with agent() as s:
        s.brain.emit(b.Failed("REALTIME_ERROR", "the key was revoked", fatal=True))
        with pytest.raises(AgentFailed, match="revoked"):
            await asyncio.wait_for(s.agent.finished, 5)
        assert "agent" not in s.room.members


async def test_no_answer_at_all_is_waited_for_only_so_long() -> None:
    async with agent() as s:
        s.brain.user_says("Hello?")
        await s.clock.run(10.0)
        assert s.agent.state == "thinking"
        await s.clock.run(6.0)
        assert s.agent.state == "listening" and s.agent.turns()[-1]["end_reason"] == "no_reply"
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.SpeechStopped(NOW()))
        s.brain.emit(b.UserText("i2", " ", True))  # a cough
        await s.clock.run(0.5)
        assert s.agent.state == "listening"


# --------------------------------------------------------------------------------------------------- pause, commands


async def test_pause_and_resume() -> None:
    async with agent(turn_detection=TurnDetection(silence_duration_ms=100)) as s:
        s.brain.reply("r1", tone(5.0), "blah blah")
        await s.clock.run(0.2)
        s.agent.pause()
        assert s.agent.state == "idle" and s.calls("interrupted")
        s.user.say(tone(1.0, rate=16000))
        assert len(s.brain.frames) == 40 and not any(map(any, s.brain.frames))  # silence, so that a turn ends
        s.brain.reply("r2", tone(0.5), "an answer to that")
        assert s.calls("interrupted")[-1] == ("interrupted", "r2", 0.0, "")
        with pytest.raises(BadState, match="paused"):
            s.agent.tell("hello")
        await s.clock.run(1.0)
        clock = s.channel.clock
        s.agent.resume()
        s.agent.resume()
        assert s.agent.state == "listening"
        s.user.say(tone(0.1, rate=16000))
        assert len(s.brain.frames) == 50
        s.brain.reply("r3", tone(0.2), "back")
        await s.clock.run(0.5)
        assert not s.channel.pcm[RATE:clock].any() and s.channel.pcm[clock:].any()
    states = [(m.state, m.paused) for m in s.captions(t.State)]
    assert [state for state, _ in states[-6:]] == ["idle", "listening", "thinking", "speaking", "listening", "idle"]
    assert [paused for _, paused in states[-6:]] == [True, False, False, False, False, False]


# ------------------------------------------------------------------------------------------------- update, messages


async def test_update_checks_everything_before_it_changes_anything() -> None:
    async with agent() as s:
        s.agent.update({"token": "007x", "llm.model": "m2", "turn_detection.threshold": 0.5, "voice": "v"})
        assert s.channel.tokens == ["007x"] and s.config.token == "007x" and s.config.llm.model == "m2"
        assert s.calls("update") == [("update", {"llm.model": "m2", "turn_detection.threshold": 0.5, "voice": "v"})]
        for name, value in (
            ("name", "b"), ("llm.no", 1), ("no", 1), ("avatar.x", 1), ("__class__.x", 1), ("llm.model", 5),
            ("turn_detection.threshold", 1.5), ("turn_detection.silence_duration_ms", -1), ("idle_timeout", "soon"),
            ("llm.server_key", False), ("llm.headers", {"Host": "a"}), ("llm.headers", {"X": 5}),
        ):  # fmt: skip
            with pytest.raises(InvalidArgument, match=name.replace(".", r"\.")):
                s.agent.update({"voice": "changed", name: value})
        assert s.config.voice == "v" and len(s.calls("update")) == 1


async def test_what_the_brain_refuses_changes_nothing() -> None:
    async with agent() as s:

        def refuse(changes: dict[str, Any]) -> None:
            raise InvalidArgument("there is no voice 'nobody'")

        s.brain.update = refuse  # type: ignore[method-assign]
        before = s.config.voice, s.config.token, s.config.llm.model
        with pytest.raises(InvalidArgument, match="no voice 'nobody'"):
            s.agent.update({"token": "007x", "llm.model": "m2", "voice": "nobody"})
        assert (s.config.voice, s.config.token, s.config.llm.model) == before and s.channel.tokens == []


@pytest.mark.parametrize("brain", ["echo", "script"])
async def test_a_brain_that_keeps_its_voice_says_so(brain: Any) -> None:
    async with agent() as s:
        s.config.brain = brain
        with pytest.raises(InvalidArgument, match=f"voice cannot change while an agent of the brain {brain} runs"):
            s.agent.update({"idle_timeout": 7.0, "voice": "en-us+f3"})
        assert s.config.idle_timeout != 7.0 and s.config.voice != "en-us+f3" and not s.calls("update")
        s.agent.update({"idle_timeout": 7.0})
        assert s.config.idle_timeout == 7.0


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"llm.url": "https://mine.example/"}, None),
        ({"llm.url": "https://mine.example/", "llm.api_key": "mine"}, "mine"),
        ({"llm.api_key": "mine", "llm.url": "https://mine.example/"}, "mine"),
        ({"llm.api_key": "mine"}, "mine"),
        ({"llm.model": "m"}, "the server's"),
    ],
)
async def test_the_servers_key_never_follows_a_url_that_a_caller_names(
    changes: dict[str, Any], key: str | None
) -> None:
    async with agent() as s:
        s.config.llm.url, s.config.llm.api_key, s.config.llm.server_key = "https://ours.example/", "the server's", True
        s.agent.update(changes)
        assert s.config.llm.api_key == key and s.config.llm.server_key == (key == "the server's")
        told = s.calls("update")[-1][1]  # the brain has a config of its own
        assert told.get("llm.api_key", "as it was") == ("as it was" if key == "the server's" else key)


@pytest.mark.parametrize("more", [{}, {"llm.api_key": "new"}, {"llm.headers": {"x-new": "1"}}])
@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://llm.example/another/path?x=1", True),
        ("https://LLM.example:443/v1", True),
        ("https://elsewhere.example/v1", False),
        ("https://llm.example.evil.example/v1", False),
        ("https://llm.example@evil.example/v1", False),
        ("https://llm.example:8443/v1", False),
        ("http://llm.example/v1", False),
    ],
)
async def test_a_key_and_headers_go_to_no_other_host(url: str, same: bool, more: dict[str, Any]) -> None:
    """Whoever's they are: they are what one service was to get. What is given with the URL is for the new one."""
    async with agent() as s:
        llm = s.config.llm
        llm.url, llm.api_key, llm.headers = "https://llm.example/v1", "theirs", {"x-secret": "1"}
        s.agent.update({"llm.url": url} | more)
        assert llm.api_key == more.get("llm.api_key", "theirs" if same else None)
        assert llm.headers == more.get("llm.headers", {"x-secret": "1"} if same else {})
        told = s.calls("update")[-1][1]
        assert same or (told["llm.api_key"], told["llm.headers"]) == (llm.api_key, llm.headers)


async def test_messages_that_users_type() -> None:
    async with agent() as s:
        s.user.send(json.dumps({"type": "chat", "text": "Hello"}).encode())
        for packet in t.chunks("m1", json.dumps({"type": "chat", "text": "long " * 1000}).encode()):
            s.user.send(packet)
        assert s.calls("tell") == [("tell", "Hello", "user"), ("tell", "long " * 1000, "user")]
        s.brain.reply("r1", tone(5.0), "well")
        await s.clock.run(0.2)
        s.user.send(b'{"type":"interrupt"}')
        assert s.calls("interrupted")
        for junk in (b"{", b'{"type":"chat"}', b'{"type":"chat","text":5}', b'{"type":"dance"}', b"{}", b"\xff\xfe",
                     b'{"type":"chat","text":""}', b"[" * 1000):  # fmt: skip
            s.user.send(junk)
        assert len(s.calls("tell")) == 2 and s.agent.stats()["ignored_messages"] == 6
    assert s.agent.history()[0]["content"] == "Hello" and s.agent.turns()[0]["user"] == "7"


async def test_functions_of_the_clients() -> None:
    async with agent() as s:
        s.brain.emit(b.ToolCalled("c0", "clock", "{}", handled=True))
        s.brain.emit(b.ToolCalled("c1", "weather", '{"city":"Bonn"}'))
        s.brain.emit(b.ToolCalled("c2", "weather", "{}"))
        [first, _] = s.captions(t.ToolCall)
        assert (first.call_id, first.name, first.arguments) == ("c1", "weather", '{"city":"Bonn"}')
        s.user.send(b'{"type":"tool_result","call_id":"c1","output":{"sky":"blue"}}')
        s.user.send(b'{"type":"tool_result","call_id":"c1","output":"twice"}')
        assert s.calls("tool_result") == [("tool_result", "c1", '{"sky": "blue"}')]
        await s.clock.run(31.0)
        assert s.calls("tool_result")[1][1] == "c2" and "error" in s.calls("tool_result")[1][2]


async def test_pictures_reach_the_brain_as_jpeg_once_a_second() -> None:
    def seen(luma: int) -> Seen:
        return Seen("7", 64, 36, bytes([luma]) * (64 * 36) + bytes([128]) * (64 * 18))

    async with agent(llm={"input_modalities": ["text", "image"]}) as s:
        assert s.channel.subscriptions == {None: (True, True)}
        s.channel.emit(seen(235))
        s.channel.emit(seen(16))
        await s.clock.until(lambda: s.calls("see"))
        await s.clock.run(1.1)
        s.channel.emit(seen(16))
        await s.clock.until(lambda: len(s.calls("see")) == 2)
    pictures = []
    for _, user, jpeg in s.calls("see"):
        assert user == "7" and jpeg.startswith(b"\xff\xd8")
        with av.open(io.BytesIO(jpeg), format="mjpeg") as file:
            pictures.append(next(file.decode(video=0)).to_ndarray(format="rgb24"))
    assert pictures[0].shape == (36, 64, 3)
    assert pictures[0].mean() > 252 and pictures[1].mean() < 3  # limited range has become full range
    async with agent() as s:
        assert s.channel.subscriptions == {None: (True, False)}
        s.channel.emit(seen(16))
        await s.clock.run(0.2)
        assert not s.calls("see")


async def test_pictures_that_users_send_reach_the_brain() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (300, 200), (0, 128, 0)).save(picture, "PNG")
    body = {"customType": "image.upload", "uuid": "u1", "image_url": "", "image_base64": ""}
    body["image_base64"] = base64.b64encode(picture.getvalue()).decode()
    async with agent(llm={"input_modalities": ["text", "image"]}) as s:
        for packet in t.chunks("p1", json.dumps(body).encode()):
            s.user.send(packet)
        await s.clock.until(lambda: s.captions(t.Info))
        [(_, user, jpeg)] = s.calls("sent")
        assert user == "7" and Image.open(io.BytesIO(jpeg)).size == (300, 200)
        facts = json.loads(s.captions(t.Info)[0].message)
        assert (facts["uuid"], facts["width"], facts["height"]) == ("u1", 300, 200)
        s.user.send(json.dumps(body | {"image_base64": "", "image_url": "http://127.0.0.1/a.png"}).encode())
        await s.clock.until(lambda: s.captions(t.Error))
        assert "fetches no pictures" in json.loads(s.captions(t.Error)[0].message)["error"]["message"]


# ----------------------------------------------------------------------------------------------------- real brains


class Marked:
    """A detector that goes by a mark: a frame whose first sample is 1 begins a turn, 2 ends it."""

    def __init__(self, _: TurnDetection) -> None:
        self.frames: list[bytes] = []

    def hear(self, pcm: bytes) -> Any:
        self.frames.append(pcm)
        kind = {1: "started", 2: "stopped"}.get(int.from_bytes(pcm[:2], "little"))
        return None if kind is None else type("Turn", (), {"kind": kind, "frame": len(self.frames) - 1})()

    def since(self, frame: int) -> list[bytes]:
        return self.frames[frame:]


def marked(pcm: bytes, mark: int) -> bytes:
    return mark.to_bytes(2, "little") + pcm[2:]


async def test_echo_says_back_what_it_heard() -> None:
    speech = tone(1.0, 440.0, 16_000, 6000)
    config = AgentConfig(name="a", channel="c")
    async with agent(EchoBrain(config, Marked)) as s:
        frames = [speech[at : at + 320] for at in range(0, len(speech), 320)]
        s.user.say(bytes(3200))
        s.user.say(marked(frames[0], 1) + b"".join(frames[1:]) + marked(bytes(320), 2))
        await s.clock.until(lambda: s.agent.state == "speaking")
        await s.clock.until(lambda: s.agent.state == "listening")
        said = s.channel.pcm[np.flatnonzero(s.channel.pcm)[0] :][:RATE]
        assert np.corrcoef(said[480:-480], np.frombuffer(tone(1.0, 440.0, RATE, 6000), np.int16)[480:-480])[0, 1] > 0.99
    [turn] = s.agent.turns()
    assert turn["e2e_latency_ms"] is not None and turn["user"] == "7"


async def test_script_and_failures_with_a_real_voice() -> None:
    require(voice.available(), "espeak-ng (espeakng-loader)")
    config = AgentConfig(name="a", channel="c", voice="en-us")
    brain = ScriptBrain(config, [Say("First."), Fail(), Say("Second.")])
    async with agent(brain, llm={"failure_message": "Sorry.", "greeting_message": "Hello there."}) as s:
        said: list[str] = []
        for expected in ("Hello there.", "First.", "Sorry.", "Second."):
            if said:
                brain.user_says(f"and after {said[-1]}")
            said.append(expected)
            await s.clock.until(lambda: [h["content"] for h in s.agent.history() if h["role"] == "assistant"] == said)
            await s.clock.until(lambda: s.agent.state == "listening")
        assert s.channel.pcm.any()
    with pytest.raises(InvalidArgument):
        ScriptBrain(config, [])


async def test_two_agents_in_one_room_hear_each_other() -> None:
    clock, room = Clock(), MemoryRoom()
    puppets = [Puppet(), Puppet()]
    agents = [
        Agent(AgentConfig(name=name, channel="c"), MemoryChannel(room, name), puppet)
        for name, puppet in zip(("one", "two"), puppets, strict=True)
    ]
    for one in agents:
        await one.start()
    puppets[0].reply("r1", tone(1.0, 440.0), "hear me")
    await clock.run(1.5)
    heard = np.frombuffer(b"".join(puppets[1].frames), np.int16)
    assert np.count_nonzero(np.abs(heard) > 4000) > 0.5 * 16_000 * 0.6
    assert not np.frombuffer(b"".join(puppets[0].frames), np.int16).any()
    for one in agents:
        await one.stop()
    assert not room.members


async def test_a_face_shows_and_its_state_follows() -> None:
    async with agent(avatar="aria", width=64, height=36) as s:
        assert s.channel.spec is not None and (s.channel.spec.width, s.channel.spec.height) == (64, 36)
        s.brain.user_says("Hi")
        s.brain.reply("r1", tone(0.5), "hello")
        await s.clock.run(1.0)
        assert s.channel.frames >= 24
    async with agent() as s:
        await s.clock.run(1.0)
        assert s.channel.frames == 0 and s.channel.spec is not None and s.channel.spec.width == 0


async def test_a_face_shows_what_is_meant() -> None:
    """It looks up and aside while it thinks, at the user when it speaks, smiles at its greeting and waves, is concerned
    at an apology when that is heard, and no longer when it is interrupted."""
    poses: list[dict[str, float]] = []

    def at(seconds: float) -> dict[str, float]:
        return poses[-1 - round(seconds * 25)]

    async with agent(avatar="aria", width=64, height=36) as s:
        s.channel.video = lambda frame: poses.append(dict(zip(AXES, map(float, frame.axes), strict=True)))  # type: ignore[method-assign]
        s.brain.user_says("Hi")
        await s.clock.run(1.5)
        assert s.agent.state == "thinking" and min(pose["gaze_y"] for pose in poses[-25:]) < -0.3
        s.brain.emit(b.ReplyStarted("r1", NOW()))
        s.brain.emit(b.ReplyText("r1", "Hello there. ", 0, 1500))
        s.brain.emit(b.ReplyText("r1", "I am sorry.", 1500, 1500))
        s.brain.emit(b.ReplyAudio("r1", tone(3.0), RATE))
        s.brain.emit(b.ReplyFinished("r1", "Hello there. I am sorry."))
        await s.clock.run(1.2)
        assert s.agent.state == "speaking" and max(abs(pose["gaze_y"]) for pose in poses[-15:-5]) < 0.4
        assert at(0)["happy"] > 0.9 and at(0)["wave"] > 0.3 and max(pose["concerned"] for pose in poses) == 0.0
        await s.clock.run(1.0)
        assert at(0)["concerned"] > 0.9 and at(0)["happy"] < 0.1
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.UserText("i2", "No,", False))
        await s.clock.run(0.5)
        assert at(0)["concerned"] < 0.1


async def test_a_face_nods_with_what_is_stressed() -> None:
    """The head is lowest within 60 ms of where the sound is loudest. What it does besides is the same each time, so
    that the nod is what feelings add."""
    t = np.arange(3 * RATE) / RATE
    level = np.where(abs(t - 1.375) < 0.125, 9000, 3000) * np.sin(np.pi * t / 0.25) ** 2
    pcm = (np.sin(2 * np.pi * 200 * t) * level).astype(np.int16).tobytes()

    async def head(feelings: bool) -> tuple[np.ndarray, float]:
        """Where it is at each ms, and at which the sound was loudest."""
        rows: list[tuple[float, float]] = []
        async with agent(avatar="aria", width=64, height=36, feelings=feelings) as s:
            s.channel.video = lambda frame: rows.append((frame.sample / 48, frame.axes[AXES.index("head_y")]))  # type: ignore[method-assign]
            s.brain.user_says("Hi")
            s.brain.emit(b.ReplyStarted("r1", NOW()))
            s.brain.emit(b.ReplyText("r1", "The train leaves at five.", 0, 3000))
            s.brain.emit(b.ReplyAudio("r1", pcm, RATE))
            s.brain.emit(b.ReplyFinished("r1", "The train leaves at five."))
            await s.clock.run(4.0)
            power = np.convolve(s.channel.pcm.astype(float) ** 2, np.ones(RATE // 20), "same")
        at, heights = np.array(rows).T
        return np.interp(np.arange(4000), at, heights), float(power.argmax()) * 1000 / RATE

    (on, loudest), (off, _) = await head(True), await head(False)
    added = on - off
    assert added.max() > 0.3 and added.argmax() == pytest.approx(loudest, abs=60)
    nods = np.flatnonzero(added > 0.01)
    assert nods[-1] - nods[0] < 600, "once, and shortly"


async def test_what_a_brain_says_within_a_call_is_taken_after_it() -> None:
    """Nothing re-enters: the agent acts on an event when the brain's own code has returned."""

    class Eager(Puppet):
        within = 0

        def speak(self, text: str) -> str:
            self.within += 1
            reply_id = super().speak(text)
            self._queue(b.ReplyStarted(reply_id, NOW()))
            self._queue(b.ReplyText(reply_id, text))
            self._queue(b.ReplyAudio(reply_id, tone(0.2), RATE))
            self._queue(b.ReplyFinished(reply_id, text))
            self.within -= 1
            return reply_id

        def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
            assert not self.within
            super().interrupted(reply_id, played_ms, text)

    async with agent(Eager()) as s:
        first = s.agent.speak("one")
        assert first is not None and (first.id, first.state) == ("said-1", "begun")
        second = s.agent.speak("two")
        assert second is not None and (first.state, first.outcome) == ("over", "interrupted")
        await s.clock.run(0.05)
        assert second.state == "heard"
        await s.clock.run(0.5)
        assert (second.state, second.outcome) == ("over", "finished")
        s.agent.pause()
        s.brain._queue(b.ReplyStarted("r1", NOW()))
        assert not s.calls("interrupted")[1:]  # it is in the queue
        await asyncio.sleep(0)
        assert s.calls("interrupted")[1:] == [("interrupted", "r1", 0.0, "")]


async def test_a_reply_that_the_brain_refuses_is_raised_and_said_in_its_state() -> None:
    class Full(Puppet):
        def speak(self, text: str) -> str:
            raise BufferFull("16 replies wait")

        def tell(self, text: str, role: Any = "user", **more: Any) -> None:
            raise BufferFull("16 replies wait")

    async with agent(Full(), llm={"greeting_message": "Welcome!"}) as s:
        assert s.of(b.Failed)[0].code == "TTS_ERROR"  # the greeting
        for call in (lambda: s.agent.speak("x"), lambda: s.agent.tell("x")):
            with pytest.raises(BufferFull, match="16 replies"):
                call()
        s.user.send(b'{"type":"chat","text":"hello"}')
        assert s.captions(t.Error)[-1].message == "16 replies wait"
        assert s.agent.state == "listening"
        assert [turn["end_reason"] for turn in s.agent.turns()] == ["failed", "failed"]


async def test_an_agent_that_cannot_take_an_event_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with agent() as s:
        monkeypatch.setattr(s.agent.conversation, "brain", lambda event: 1 / 0)
        s.brain._queue(b.SpeechStarted(NOW()))
        with pytest.raises(AgentFailed, match="division by zero"):
            await asyncio.wait_for(s.agent.finished, 5)
        assert "agent" not in s.room.members


# ------------------------------------------------------------------------------------------------------- winding up


async def test_winding_up_it_ends_its_sentence_and_says_nothing_new() -> None:
    async with agent() as s:
        s.brain.emit(b.ReplyStarted("r1", NOW()))
        for text, at in (("One two three. ", 0), ("Four five six.", 1000)):
            s.brain.emit(b.ReplyText("r1", text, at_ms=at, duration_ms=1000))
            s.brain.emit(b.ReplyAudio("r1", tone(1.0), RATE))
        s.brain.emit(b.ReplyFinished("r1", "One two three. Four five six."))
        await s.clock.run(0.5)
        assert s.agent.state == "speaking"
        winding = asyncio.create_task(s.agent.wind_up())
        await s.clock.run(0.3)
        assert not winding.done()
        with pytest.raises(BadState, match="shutting down"):
            s.agent.speak("no")
        await s.clock.run(0.6)
        await winding
        assert s.agent.history()[-1]["content"] == "One two three."
        await s.agent.wind_up()  # silent: at once


async def test_winding_up_a_silent_agent_takes_no_time_and_so_does_one_that_ends_meanwhile() -> None:
    async with agent() as s:
        await s.agent.wind_up()
    await s.agent.wind_up()
    async with agent() as s:
        s.brain.reply("r1", tone(5.0), "One endless sentence")
        await s.clock.run(0.5)
        winding = asyncio.create_task(s.agent.wind_up())
        await s.clock.run(0.1)
        assert not winding.done()
        await s.agent.stop()
        await winding


# --------------------------------------------------------------------------------------- what it says by itself


async def test_a_slow_model_is_filled_in_for_and_learns_nothing_of_it() -> None:
    async with FakeChat("It is late.", first_token=0.4) as chat, FakeStt() as stt, FakeTts() as tts:
        services = Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")
        brain = CascadeBrain(AgentConfig(name="a", channel="c", llm=Llm(url=chat.url)), services)
        async with agent(brain, filler=Filler(wait_ms=100, phrases=["Let me see."])) as s:
            for _ in range(2):
                s.agent.tell("How late is it?")
                await s.clock.until(lambda: s.agent.history()[-1]["content"] == "It is late.")
            assert [h["content"] for h in s.agent.history()] == ["How late is it?", "Let me see.", "It is late."] * 2
            assert tts.texts == ["Let me see.", "It is late."] * 2
            asked = [(m["role"], m["content"]) for m in chat.requests[1]["messages"]]
            assert asked == [("user", "How late is it?"), ("assistant", "It is late."), ("user", "How late is it?")]
            told = [m for m in s.captions(t.AssistantTranscription) if m.turn_status == t.ENDED]
            assert [(m.turn_id, m.text) for m in told] == [(1, "Let me see. It is late."), (2, told[0].text)]
            assert [turn["agent_text"] for turn in s.agent.turns()] == ["It is late."] * 2
            assert s.agent.turns()[0]["e2e_latency_ms"] > 390, "of the answer"
            s.agent.tell("And now?")
            await s.clock.until(lambda: s.agent.state == "speaking")
            s.agent.interrupt()  # the phrase, and the answer that was waited for
            await s.clock.run(1.0)
            assert s.agent.turns()[-1]["end_reason"] == "interrupted" and not brain._replies._replies


async def test_a_brain_that_cannot_fill_in_leaves_it() -> None:
    async with agent(filler=Filler(wait_ms=100, phrases=["Let me see."])) as s:
        s.agent.tell("How late is it?")
        await s.clock.run(1.0)
        assert s.agent.state == "thinking" and not s.of(b.Failed) and not s.calls("speak")
        s.brain.reply("r1", tone(0.2), "Late.")
        await s.clock.until(lambda: len(s.agent.history()) == 2)


async def test_what_it_is_to_think_of_reaches_the_brain_with_what_belongs_to_it() -> None:
    async with agent() as s:
        reply = s.agent.think("It rains.", interruptable=False, metadata={"from": "sky"})
        assert reply is not None and reply.state == "asked"
        s.agent.interrupt()
        s.brain.emit(b.SpeechStarted(NOW()))
        again = s.agent.think("It pours.", listening="inject")
        assert again is not None
        assert s.calls("tell") == [
            ("tell", "It rains.", "user", {"metadata": {"from": "sky"}, "interruptable": False}),
            ("tell", "It pours.", "user", {"respond": False}),
        ]
        assert s.agent.think("x", listening="ignore") is None
    with pytest.raises(BadState):
        s.agent.think("x")


async def test_a_farewell_is_over_when_all_is_said() -> None:
    async with agent() as s:
        s.brain.reply("r1", tone(1.0), "Goodbye, then.")
        s.agent.speak("Do come again.", "APPEND")
        await s.clock.run(0.1)
        leaving = asyncio.create_task(s.agent.farewell())
        await s.clock.run(0.5)
        assert not leaving.done()
        with pytest.raises(BadState, match="leaving"):
            s.agent.tell("Wait!")
        s.brain.reply("said-1", tone(0.5), "Do come again.")
        await s.clock.until(leaving.done)
        assert [h["content"] for h in s.agent.history()] == ["Goodbye, then.", "Do come again."]
        assert s.clock.now / RATE >= 1.5
    await s.agent.farewell()  # it has ended


async def test_a_recording_greets_and_the_model_knows_what_it_said() -> None:
    async with Files(wav()) as files, FakeChat("Fine.") as chat, FakeStt() as stt, FakeTts() as tts:
        services = Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")
        llm = Llm(url=chat.url)
        brain = CascadeBrain(AgentConfig(name="a", channel="c", llm=llm), services)
        greeting = Greeting(audio_url=files.url, audio_timeout_ms=10_000, mode="single_every")
        async with agent(brain, llm={"greeting_message": "Welcome! How are you?"}, greeting=greeting) as s:
            await s.clock.until(lambda: s.agent.history())
            assert s.agent.history()[0]["content"] == "Welcome! How are you?" and not tts.texts
            assert s.agent.turns()[0]["start_reason"] == "greeting" and s.agent.turns()[0]["played_ms"] == 500
            s.agent.tell("Fine, and you?")
            await s.clock.until(lambda: len(s.agent.history()) == 3)
            asked = [(m["role"], m["content"]) for m in chat.requests[0]["messages"]]
            assert asked[-2:] == [("assistant", "Welcome! How are you?"), ("user", "Fine, and you?")]
            await s.user.close()
            await s.clock.run(0.2)
            await s.join()
            await s.clock.until(lambda: s.agent.state == "speaking")
            s.agent.interrupt()
            s.agent.tell("Wait.")
            await s.clock.until(lambda: len(chat.requests) == 2)
            said = [m["content"] for m in chat.requests[1]["messages"] if m["role"] == "assistant"]
            assert "Welcome! How are you?" not in said[-1], "it was cut off"
            assert len(files.received) == 1


@pytest.mark.parametrize("text", ["Welcome!", ""])
async def test_a_greeting_whose_recording_cannot_be_had(text: str) -> None:
    async with Files(b"no sound") as files:
        greeting = Greeting(audio_url=files.url, audio_timeout_ms=10_000)
        async with agent(llm={"greeting_message": text}, greeting=greeting) as s:
            await s.clock.until(lambda: s.of(b.Failed))
            failed = s.of(b.Failed)[0]
            assert "the greeting's recording" in failed.message and failed.minor is bool(text)
            assert [call[1] for call in s.calls("speak")] == ([text] if text else [])
            assert not s.captions(t.Error), "nobody misses anything"
    async with Files(wav(), wait=5.0) as files:
        greeting = Greeting(audio_url=files.url, audio_timeout_ms=10_000)
        async with agent(llm={"greeting_message": text}, greeting=greeting) as s:
            await s.clock.run(0.2)
            assert s.agent.state == "thinking" and s.agent.interrupt()
            await s.clock.run(0.2)
            assert s.agent.state == "listening" and not s.calls("speak")
