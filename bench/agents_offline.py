"""Whole agents that need no account, on people's speech: from a question's last sound to the answer's first sample.

Silero, Smart Turn, the ears and the voice of this machine, as an agent uses them and in the processes that it uses; the
chat service answers at once. Asterisk's prompts (agents_turns.py) go into a channel in memory at the pace of speech.
First one agent with all cores, and the parts of its way; then ten at once, and the models, on one core.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from agents_turns import Clip, human, sentences
from harness import ROOT, Results, main, percentile, spread
from lipwire.agents.agent import Agent
from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import BrainEvent, Services, SpeechStopped, Stamp, UserText
from lipwire.agents.config import AgentConfig, Llm
from lipwire.errors import LipwireError
from lipwire.models.host import ModelHost
from lipwire.stream import StreamSpec

sys.path.insert(0, str(ROOT / "tests"))
from support.agent_puppet import MemoryChannel, MemoryRoom
from support.fakes import FakeChat

ANSWER = "All right. I will see what can be done about that."
MISSED = 8.0
"""Seconds without an answer after which there is none."""
BREATH = 1.0
"""Seconds from the end of an answer to the next question."""


def run(results: Results, quick: bool) -> None:
    if not Path(human.TEXTS.format("en")).exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    asked = [clip for clip in sentences() if clip.text.endswith((".", "!", "?")) and len(clip.sound) < 48_000]
    try:
        asyncio.run(alone(results, asked[: 3 if quick else 20]))
        with one_core_of(os.sched_getaffinity(0)):
            asyncio.run(together(results, asked, 2 if quick else 10, 1 if quick else 4))
    except LipwireError as exc:
        results.skip("all", str(exc))


@contextmanager
def one_core_of(cores: set[int]) -> Iterator[None]:
    """For this process, and those that it starts meanwhile."""
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Mouth(MemoryChannel):
    """The agent's place in the channel: notes when it speaks."""

    began = 0.0
    last = 0.0

    def audio(self, pcm: bytes, sample: int) -> None:
        self.clock = sample  # a machine that is full may have made a leap
        super().audio(pcm, sample)
        if np.abs(np.frombuffer(pcm, np.int16)).max() > 8:
            now = time.monotonic()
            if now - self.last > BREATH / 2:
                self.began = now
            self.last = now


class Talk:
    """A user, and an agent of theirs."""

    def __init__(self, number: int, chat: FakeChat) -> None:
        self.events: list[BrainEvent] = []
        room = MemoryRoom()
        self.user, self.mouth = MemoryChannel(room, "7", record=False), Mouth(room, "agent", record=False)
        config = AgentConfig(name=f"bench{number}", channel="room", llm=Llm(url=chat.url, model="m"))
        brain = make_brain(config, Services())
        opened = brain.open

        async def noting(emit: Any) -> None:
            await opened(lambda event: (self.events.append(event), emit(event))[1])

        brain.open = noting  # type: ignore[method-assign]
        self.agent = Agent(config, self.mouth, brain)
        self._waiting: list[bytes] = []
        self._last = self.said_at = 0.0

    @asynccontextmanager
    async def running(self) -> Any:
        await self.user.open(StreamSpec(session_id="user", width=0, height=0, fps=Fraction(1)))
        await self.agent.start()
        microphone = asyncio.create_task(self._microphone())
        try:
            yield self
        finally:
            microphone.cancel()
            with suppress(asyncio.CancelledError):
                await microphone
            await self.agent.stop()

    async def _microphone(self) -> None:
        """Silence, or what is asked, for ever."""
        rng, due = np.random.default_rng(1), time.monotonic()
        room = [np.rint(rng.standard_normal(160) * 3).astype("<i2").tobytes() for _ in range(50)]
        while True:
            block = self._waiting.pop(0) if self._waiting else room[int(due * 100) % len(room)]
            self.user.say(block)
            due += 0.01
            if self._waiting:
                self.said_at = time.monotonic()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def ask(self, clip: Clip) -> float | None:
        """Ms from its last sound to the first of the answer; None: there was no answer."""
        pcm = np.clip(np.rint(clip.sound[: clip.last]), -32768, 32767).astype("<i2").tobytes()
        before = self.mouth.began
        self._waiting = [pcm[at : at + 320].ljust(320, b"\0") for at in range(0, len(pcm), 320)]
        while self._waiting:
            await asyncio.sleep(0.005)
        said = self.said_at + 0.01
        while self.mouth.began == before:
            if time.monotonic() - said > MISSED:
                return None
            await asyncio.sleep(0.002)
        took = (self.mouth.began - said) * 1000
        while time.monotonic() - self.mouth.last < BREATH:
            await asyncio.sleep(0.02)
        return took


async def alone(results: Results, clips: list[Clip]) -> None:
    answers, decided, texts, voices, missed = [], [], [], [], 0
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat(ANSWER))
        talk = await stack.enter_async_context(Talk(0, chat).running())
        await asyncio.sleep(3.0)  # models are being loaded
        await talk.ask(clips[0])
        for clip in clips:
            since, asked = len(talk.events), len(chat.asked)
            took = await talk.ask(clip)
            if took is None:
                missed += 1
                continue
            answers.append(took)
            events, said = talk.events[since:], talk.said_at + 0.01
            ends = [event.end_ns / 1e9 for event in events if isinstance(event, SpeechStopped)]
            decided.append((ends[-1] - said) * 1000)
            texts.append((chat.asked[-1] - said) * 1000)
            spoken = [event.at_ns / 1e9 for event in events if isinstance(event, Stamp) and event.name == "first_audio"]
            voices.append((spoken[-1] - chat.asked[-1]) * 1000)
            print(
                f"{took:5.0f} ms  {len(chat.asked) - asked} requests  {clip.text!r} -> "
                f"{[event.text for event in events if isinstance(event, UserText) and event.final]}",
                file=sys.stderr,
            )
    n = {"n": len(clips)}
    extra = {**spread(answers), "p90": percentile(answers, 90), "missed": missed}
    results.add("last sound -> first sample of the answer", percentile(answers, 50), "ms", goal="<= 500", **n, **extra)
    results.add("of that, last sound -> end of the turn", percentile(decided, 50), "ms", **n, **spread(decided))
    results.add("last sound -> request", percentile(texts, 50), "ms", **n, **spread(texts))
    results.add("request -> first sound of the voice", percentile(voices, 50), "ms", **n, **spread(voices))
    await ModelHost.of().close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def together(results: Results, clips: list[Clip], count: int, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat(ANSWER))
        talks = [await stack.enter_async_context(Talk(number, chat).running()) for number in range(count)]
        host = ModelHost.of()
        await asyncio.sleep(4.0)  # models are being loaded
        pids = [os.getpid(), host.state().pid or os.getpid()]
        cpu, wall = [cpu_seconds(pid) for pid in pids], time.monotonic()

        async def one(number: int, talk: Talk) -> list[float | None]:
            await asyncio.sleep(number * 0.7)
            return [await talk.ask(clips[(number * rounds + turn) % len(clips)]) for turn in range(rounds)]

        found = await asyncio.gather(*(one(number, talk) for number, talk in enumerate(talks)))
        wall = time.monotonic() - wall
        spent = [cpu_seconds(pid) - before for pid, before in zip(pids, cpu, strict=True)]
        memory = host.state().memory
        await host.leave()
    took = [ms for row in found for ms in row]
    answers = [ms for ms in took if ms is not None]
    n = {"n": len(took)}
    results.add(f"{count} agents on one core, turns without an answer", len(took) - len(answers), "", goal="<= 0", **n)
    title = f"{count} agents on one core, last sound -> first sample"
    results.add(title, percentile(answers, 50), "ms", p90=percentile(answers, 90), max=max(answers), **n)
    share = 100 / wall
    extra = {"models": spent[1] * share, "models_mb": memory / 2**20}
    results.add(f"{count} agents on one core, CPU of the server", spent[0] * share, "% of a core", **n, **extra)


if __name__ == "__main__":
    main(run, __doc__)
