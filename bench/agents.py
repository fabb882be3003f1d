"""Agents: what fifty of them cost on one core, how long sound takes from a brain into the channel, and an hour of one.

The brains follow a script, so what is measured is ours. The channel is in memory (support/agent_puppet.py): no codec,
no network. Each agent has a user in its room, whose microphone sends 10 ms of sound every 10 ms.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

from harness import ROOT, Results, espeak, main, one_core, percentile
from memory import settle

sys.path.append(str(ROOT / "tests"))

from lipwire.agents.agent import Agent
from lipwire.agents.brains.base import SpeechStarted
from lipwire.agents.brains.echo import Say, ScriptBrain
from lipwire.agents.config import AgentConfig
from lipwire.stream import StreamSpec
from support.agent_puppet import Clock, MemoryChannel, MemoryRoom

RATE = 24_000
AGENTS = 50
TURN = 4.0
"""Seconds from one question to the next."""
TEXT = "The quick brown fox jumps over the lazy dog, and then it comes back."


def steps() -> list[Say]:
    """Two seconds of speech."""
    return [Say(TEXT, espeak(RATE)[: RATE * 2 * 2], RATE)]


class Talk:
    """An agent and its user, alone in a room."""

    def __init__(self, number: int, avatar: str | None = None) -> None:
        self.room = MemoryRoom()
        self.user = MemoryChannel(self.room, "7", record=False)
        self.channel = MemoryChannel(self.room, "agent", record=False)
        config = AgentConfig(name=f"agent-{number}", channel=f"room-{number}", avatar=avatar)
        self.brain = ScriptBrain(config, steps())
        self.agent = Agent(config, self.channel, self.brain)
        self.asked = 0

    async def start(self) -> None:
        await self.user.open(StreamSpec(session_id="user", width=0, height=0, fps=Fraction(1)))
        await self.agent.start()

    def ask(self) -> None:
        self.brain.user_says("What does the fox do?")


async def many(count: int, seconds: float, avatar: str | None = None) -> dict[str, Any]:
    """So many agents for so long."""
    core = one_core()
    talks = [Talk(n, avatar) for n in range(count)]
    for talk in talks:
        await talk.start()
    microphone = espeak(16_000)
    await asyncio.sleep(1.0)
    loop, chance = asyncio.get_running_loop(), random.Random(1)
    began, cpu = time.monotonic(), time.process_time()
    last_turn = seconds - 3.0
    for tick in range(round(seconds * 100)):
        now = tick / 100
        frame = microphone[(tick * 320) % (len(microphone) - 320) :][:320]
        for n, talk in enumerate(talks):
            talk.user.say(frame)
            if now < last_turn and now >= talk.asked * TURN + n * TURN / count:
                talk.asked += 1
                loop.call_later(chance.random() / 100, talk.ask)  # at any point of the engine's tick
        await asyncio.sleep(max(0.0, began + (tick + 1) / 100 - time.monotonic()))
    elapsed, cpu = time.monotonic() - began, time.process_time() - cpu
    turns = [turn for talk in talks for turn in talk.agent.turns()]
    stats = [talk.agent.stats() for talk in talks]
    for talk in talks:
        await talk.agent.stop()
    return {
        "core": core,
        "cpu": cpu / elapsed,
        "asked": sum(talk.asked for talk in talks),
        "answered": sum(turn["end_reason"] == "finished" for turn in turns),
        "channel_ms": [turn["segments"]["channel_ms"] for turn in turns if "channel_ms" in turn["segments"]],
        "request_ms": [turn["segments"]["request_ms"] for turn in turns if "request_ms" in turn["segments"]],
        "pcm_dropped": sum(s["session"]["pcm_dropped"] for s in stats),
        "underruns": sum(s["session"]["underruns"] for s in stats),
    }


async def soak(minutes: float) -> dict[str, Any]:
    """One agent, its clock as fast as it goes: a question every 10 s, every third answer interrupted."""
    clock, talk = Clock(), Talk(0)
    await talk.start()
    microphone = espeak(16_000)
    at: dict[int, int] = {}
    began = time.monotonic()
    total = round(minutes * 6000)
    longest = 0
    for tick in range(total):
        talk.user.say(microphone[(tick * 320) % (len(microphone) - 320) :][:320])
        if tick % 1000 == 0:
            talk.asked += 1
            talk.ask()
        if tick % 3000 == 100:
            talk.brain._emit(SpeechStarted(time.monotonic_ns()))  # what a detector would say
        clock.tick()
        await asyncio.sleep(0)
        if tick % (total // 12) == total // 24:
            at[round(tick / 6000)] = settle()
            longest = max(longest, len(talk.agent.history()), len(talk.agent.turns()))
    at[round(minutes)] = settle()
    stats = talk.agent.stats()
    turns = talk.agent.turns()
    await talk.agent.stop()
    return {
        "minutes": minutes,
        "wall_s": time.monotonic() - began,
        "at": at,
        "turns": stats["turns"],
        "interruptions": stats["interruptions"],
        "captions": stats["captions_sent"],
        "history": len(talk.agent.history()),
        "longest": longest,
        "unfinished": sum(turn["end_reason"] is None for turn in turns),
    }


PARTS = {"many": lambda quick: many(AGENTS, 4.0 if quick else 40.0), "soak": lambda quick: soak(3.0 if quick else 60.0),
         "faces": lambda quick: many(10, 4.0 if quick else 20.0, "aria")}  # fmt: skip


def part(name: str, quick: bool) -> dict[str, Any]:
    """Runs one part in a fresh process."""
    command = [sys.executable, __file__, f"--{name}", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(results: Results, quick: bool) -> None:
    for name, what in (("many", f"{AGENTS} agents, sound only"), ("faces", "10 agents with a face, 640x360")):
        found = part(name, quick)
        count, ms = found["asked"], found["channel_ms"]
        agents = AGENTS if name == "many" else 10
        goals = {"cpu": "<= 2", "missed": "<= 0"} if name == "many" else {"cpu": None, "missed": "<= 0"}
        results.add(f"{what}: CPU each", 100 * found["cpu"] / agents, "% of a core", n=agents, goal=goals["cpu"])
        results.add(f"{what}: missed turns", count - found["answered"], "turns", n=count, goal=goals["missed"],
                    pcm_dropped=found["pcm_dropped"], underruns=found["underruns"])  # fmt: skip
        for p, goal in ((50, "<= 60"), (99, "<= 120")):
            results.add(f"{what}: brain's first PCM -> first sample in the channel, p{p}", percentile(ms, p), "ms",
                        n=len(ms), goal=goal)  # fmt: skip
    found = part("soak", quick)
    at = {int(minute): value for minute, value in found["at"].items()}
    first, last = min(at), max(at)
    results.add(f"{found['minutes']:g} min of talk: growth", (at[last] - at[first]) / 1024,
                "KiB RSS", n=found["turns"], goal="<= 1024", at_kib={k: (v - at[first]) // 1024 for k, v in at.items()},
                wall_s=found["wall_s"], interruptions=found["interruptions"], captions=found["captions"])  # fmt: skip
    results.add("its history", found["longest"], "messages or turns kept", n=found["turns"], goal="<= 200")


if __name__ == "__main__":
    chosen = [name for name in PARTS if f"--{name}" in sys.argv]
    if chosen:
        print(json.dumps(asyncio.run(PARTS[chosen[0]]("--quick" in sys.argv))))
    else:
        main(run, __doc__)
