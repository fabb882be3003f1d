"""A whole agent in a channel, with its cascade and a face: how long each part of a turn takes that is ours.

Microphone blocks go into a channel in memory (support/agent_puppet.py) at the pace of speech, and what comes out of it
is looked at sample by sample; speech to text, chat and text to speech are local fakes of known latency in this process.
The engine, the clock, the turn detector, the cascade and the agent are the real ones.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from fractions import Fraction
from functools import cache

import numpy as np

from harness import ROOT, Results, main, one_core, percentile, spread
from lipwire import resample
from lipwire.audio import espeak as voice

sys.path.insert(0, str(ROOT / "tests"))
from lipwire.agents.agent import Agent
from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import BrainEvent, Services, SpeechStarted, SpeechStopped
from lipwire.agents.config import AgentConfig, Llm
from lipwire.stream import StreamSpec
from support.agent_puppet import MemoryChannel, MemoryRoom
from support.fakes import FakeChat, FakeStt, FakeTts

QUESTIONS = ("Where is the station, please?", "Tell me about the sea.", "Could you say that again?")
ANSWER = "I will tell you all about it. " * 12
STT, FIRST_TOKEN, FIRST_BYTE = 0.15, 0.2, 0.05


def run(results: Results, quick: bool) -> None:
    one_core()
    asyncio.run(talk(results, 4 if quick else 40))


class Mouth(MemoryChannel):
    """The agent's place in the channel: notes when it speaks, and when it has fallen silent."""

    sounds_since = 0.0
    sounded_at = 0.0

    def audio(self, pcm: bytes, sample: int) -> None:
        super().audio(pcm, sample)
        if np.abs(np.frombuffer(pcm, np.int16)).max() > 8:
            now = time.monotonic()
            if now - self.sounded_at > 0.2:
                self.sounds_since = now
            self.sounded_at = now


@cache  # synthesis would hold up the loop that is measured
def question(text: str) -> bytes:
    return resample(*voice.synthesize(text), 16_000)


class Microphone:
    """Silence, or what it is given, for ever."""

    def __init__(self, user: MemoryChannel) -> None:
        self.user = user
        self.waiting = b""

    async def run(self) -> None:
        due = time.monotonic()
        while True:
            block, self.waiting = self.waiting[:320], self.waiting[320:]
            self.user.say(block.ljust(320, b"\0"))
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def talk(results: Results, count: int) -> None:
    """Each question interrupts the answer to the one before."""
    events: list[BrainEvent] = []
    room = MemoryRoom()
    user, mouth = MemoryChannel(room, "7", record=False), Mouth(room, "agent", record=False)
    requests, answers, silences = [], [], []
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat(ANSWER, first_token=FIRST_TOKEN))
        stt = await stack.enter_async_context(FakeStt(latency=STT))
        tts = await stack.enter_async_context(FakeTts(first_byte=FIRST_BYTE))
        config = AgentConfig(name="bench", channel="room", avatar="aria", llm=Llm(url=chat.url, model="m"))
        brain = make_brain(config, Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence"))
        opened = brain.open

        async def open_and_note(emit: Callable[[BrainEvent], None]) -> None:
            await opened(lambda event: (events.append(event), emit(event))[1])

        brain.open = open_and_note  # type: ignore[method-assign]
        agent = Agent(config, mouth, brain)
        await user.open(StreamSpec(session_id="user", width=0, height=0, fps=Fraction(1)))
        await agent.start()
        microphone = Microphone(user)
        running = asyncio.create_task(microphone.run())
        for number in range(count + 1):
            spoke, asked, before = mouth.sounds_since, len(chat.asked), len(events)
            microphone.waiting = question(QUESTIONS[number % len(QUESTIONS)])
            while len(chat.asked) == asked:
                await asyncio.sleep(0.002)
            if number:  # the first one interrupts nothing
                (started,) = (e for e in events[before:] if isinstance(e, SpeechStarted))
                silences.append((silent - started.onset_ns / 1e9) * 1000 if (silent := mouth.sounded_at) else 0.0)
                (stopped,) = (e for e in events[before:] if isinstance(e, SpeechStopped))
                requests.append((chat.asked[-1] - stopped.end_ns / 1e9) * 1000)
            while mouth.sounds_since == spoke:
                await asyncio.sleep(0.002)
            if number:
                answers.append((mouth.sounds_since - chat.first_token_at[-1] - FIRST_BYTE) * 1000)
            await asyncio.sleep(1.0)
        running.cancel()
        await agent.stop()
    n = {"n": count}
    requested, answered, silent_ = spread(requests), spread(answers), spread(silences)
    results.add("end of turn -> request at the LLM", requested["p50"], "ms", goal="<= 20", **n, **requested)
    results.add("first token -> first sample in the channel, p50", answered["p50"], "ms", goal="<= 60", **n)
    results.add("the same, p99", percentile(answers, 99), "ms", goal="<= 120", **n, **answered)
    results.add("first voiced frame -> silence in the channel", silent_["p99"], "ms", goal="<= 120", **n, **silent_)


if __name__ == "__main__":
    main(run, __doc__)
