"""What a brain adds to its services: the cost and errors of the turn detector, the way of a turn through the cascade,
50 of them.

The services are local fakes of known latency in the same process, so their work is in the times as well. Noise and
speech are made on the spot (real speech where its file is); more conditions: docs/agents/brains.md.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import numpy as np

from harness import REAL_SPEECH, ROOT, Results, main, one_core, percentile, spread
from lipwire import resample
from lipwire.agents.brains.base import (
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    Services,
    SpeechStarted,
    SpeechStopped,
    Stamp,
)
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.speech.endpointing import Endpointer
from lipwire.agents.speech.vad import FRAME, FRAME_MS, Vad
from lipwire.audio import espeak as voice
from lipwire.audio.speech_file import load_speech
from lipwire_lipsync.conditions import noise as coloured

sys.path.insert(0, str(ROOT / "tests"))
from support.fakes import FakeChat, FakeStt, FakeTts
from support.fakes.record import Record

RATE = 16_000
TEXTS = (
    "Wait a moment!",
    "No.",
    "Yes, that is right.",
    "Can you repeat that?",
    "I would like to book a table for two.",
)
TIMBRES = ("m1", "f2", "m4", "f4", "m7")
TTS_FIRST_BYTE, STT_LATENCY = 0.05, 0.15


def run(results: Results, quick: bool) -> None:
    one_core()
    turn_detection(results, 4 if quick else 60)
    asyncio.run(first_sound(results, 8 if quick else 300))
    asyncio.run(end_of_turn(results, 3 if quick else 40))
    asyncio.run(many(results, 50, 1 if quick else 4))


# ---------------------------------------------------------------------------------------------------- the turn detector


def frames(x: Any) -> list[bytes]:
    pcm = np.clip(np.rint(x), -32768, 32767).astype("<i2").tobytes()
    return [pcm[i : i + 2 * FRAME] for i in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)]


def noises(seconds: int) -> dict[str, Any]:
    """What is no speech."""
    rng = np.random.default_rng(1)
    count = seconds * RATE
    t = np.arange(count) / RATE
    white = rng.standard_normal(count)
    found: dict[str, Any] = {
        "white": white * 600,
        "pink": coloured(count, "pink", 1) * 1500,
        "hum": sum((a * np.sin(2 * np.pi * 50 * k * t) for k, a in ((1, 2500), (2, 800), (3, 900))), white * 40),
        "beeps": np.sin(2 * np.pi * 1000 * t) * 6000 * (t % 1 < 0.3),
        "ring": (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t)) * 4000 * (t % 3 < 1),
    }
    fan = np.convolve(white, np.ones(8) / 8, "same")
    found["fan"] = fan / fan.std() * 900 * (1 + 0.3 * np.sin(2 * np.pi * 6 * t))
    keys, cough, piano = white * 30, white * 10, white * 10
    for at in np.cumsum(rng.uniform(0.06, 0.35, seconds * 5)):
        size = int(0.03 * RATE)
        if (i := int(at * RATE)) + size < count:
            keys[i : i + size] += rng.standard_normal(size) * np.exp(-np.arange(size) / rng.uniform(30, 120)) * 4000
    for at in np.arange(0.5, seconds - 1, 2.0):
        size = RATE // 4
        cough[int(at * RATE) :][:size] += rng.standard_normal(size) * np.exp(-np.arange(size) / 1200) * 7000
    for at in np.arange(0, seconds - 1, 0.25):
        size, pitch = RATE // 2, 220 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11]) / 12)
        u = np.arange(size) / RATE
        note = sum((np.sin(2 * np.pi * pitch * k * u) * np.exp(-u * (2 + 1.5 * k)) / k for k in range(1, 12)), 0 * u)
        piano[int(at * RATE) :][:size] += note * 2500
    return found | {"keyboard": keys, "cough": cough, "piano": piano}


def turns(x: Any) -> list[tuple[int, str, int]]:
    vad, detector = Vad(), Endpointer(TurnDetection())
    found = []
    for frame in frames(x):
        if (turn := detector.process(vad.process(frame))) is not None:
            found.append((detector.frames, turn.kind, turn.frame))
    return found


def turn_detection(results: Results, seconds: int) -> None:
    said = [
        np.frombuffer(resample(*voice.synthesize(text, f"en-us+{timbre}"), RATE), np.int16).astype(float)
        for text in TEXTS
        for timbre in TIMBRES
    ]
    gap = np.zeros(RATE)
    speech = np.concatenate([part for x in said for part in (gap, x)])
    for name, x in (("silence", np.zeros(RATE * 20)), ("speech", speech), ("fan", noises(20)["fan"])):
        vad, detector, pieces = Vad(), Endpointer(TurnDetection()), frames(x)
        began = time.process_time()
        for frame in pieces:
            detector.process(vad.process(frame))
        spent = (time.process_time() - began) / len(pieces) * 1e6
        results.add(f"ear, {name}", spent, "us/frame", n=len(pieces), goal="<= 100", of_a_core_50=spent / 10_000 * 50)
    for name, x in noises(seconds).items():
        count = sum(kind == "started" for _, kind, _ in turns(x))
        results.add(f"false starts, {name}", count * 60 / seconds, "per min", n=seconds)
    missed, waits = 0, []
    for background in (0.0, 10 ** (-10 / 20)):
        for x in said:
            level = np.sqrt((x[np.abs(x) > 50] ** 2).mean())
            whole = np.concatenate([gap, x, gap])
            whole = whole + coloured(len(whole), "pink", 2) * level * background
            starts = [(at, frame) for at, kind, frame in turns(whole) if kind == "started"]
            missed += not starts
            waits += [(at - frame) * FRAME_MS for at, frame in starts[:1]]
    results.add("missed utterances, clean and 10 dB pink", missed, "", n=2 * len(said), goal="<= 0")
    stats = spread(waits)
    results.add("first voiced frame -> interrupt", stats["p99"], "ms", n=len(waits), goal="<= 100", **stats)
    if REAL_SPEECH.exists():
        samples, rate = load_speech(REAL_SPEECH)
        x = np.frombuffer(resample(samples.tobytes(), rate, RATE), np.int16).astype(float)
        results.add("turns in 27 s of real speech", sum(k == "started" for _, k, _ in turns(x)), "", n=1)


# --------------------------------------------------------------------------------------------------------- the cascade


def agent(chat: FakeChat) -> AgentConfig:
    return AgentConfig(name="bench", channel="bench", llm=Llm(url=chat.url, model="m"))


async def first_sound(results: Results, count: int) -> None:
    """LLM's first token -> first PCM out of the brain, less the time of the text to speech."""
    text = "Hello! This is what I have found for you. There is more."
    async with FakeChat(text, first_token=0.02) as chat, FakeTts(first_byte=TTS_FIRST_BYTE) as tts, FakeStt() as stt:
        brain, record = (
            CascadeBrain(agent(chat), Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")),
            Record(),
        )
        await brain.open(record)
        added, asked = [], []
        for number in range(count):
            sent = time.monotonic()
            brain.tell("hi")
            await record.wait(ReplyFinished, number + 1)
            heard = record.of(Stamp, name="first_audio")[-1].at_ns / 1e9
            added.append((heard - chat.first_token_at[-1] - TTS_FIRST_BYTE) * 1000)
            asked.append((chat.asked[-1] - sent) * 1000)
            record.events = [event for event in record.events if isinstance(event, ReplyFinished)]
        await brain.close()
    goal = {"goal": "<= 60"}
    results.add("first token -> first sound, added", percentile(added, 50), "ms", n=count, **spread(added), **goal)
    results.add("message -> request at the LLM", percentile(asked, 50), "ms", n=count, **spread(asked))


@cache  # synthesis would hold up the loop that is measured
def spoken(text: str) -> list[bytes]:
    x = np.frombuffer(resample(*voice.synthesize(text), RATE), np.int16).astype(float)
    return frames(np.concatenate([np.zeros(RATE // 2), x, np.zeros(RATE * 3 // 2)]))


async def say(brain: CascadeBrain, pieces: list[bytes]) -> None:
    """At the pace of speech."""
    began = time.monotonic()
    for number, piece in enumerate(pieces):
        brain.hear(piece, "7")
        await asyncio.sleep(max(0.0, began + (number + 1) * 0.01 - time.monotonic()))


async def end_of_turn(results: Results, count: int) -> None:
    """End of the turn -> request at the LLM."""
    async with FakeChat("Yes.") as chat, FakeTts() as tts, FakeStt(latency=STT_LATENCY) as stt:
        services = Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")
        brain, record = CascadeBrain(agent(chat), services), Record()
        await brain.open(record)
        waits = []
        for number in range(count):
            await say(brain, spoken(TEXTS[number % len(TEXTS)]))
            await record.wait(ReplyFinished, number + 1)
            waits.append((chat.asked[-1] - record.of(SpeechStopped)[-1].end_ns / 1e9) * 1000)
        await brain.close()
    stats = spread(waits)
    results.add("end of turn -> request at the LLM", stats["p50"], "ms", n=count, goal="<= 20", **stats)


async def many(results: Results, count: int, rounds: int) -> None:
    """`count` brains on one core, all spoken to and answering at the same time."""
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat("I see. Tell me more about it, please.", first_token=0.2))
        tts = await stack.enter_async_context(FakeTts(first_byte=TTS_FIRST_BYTE))
        stt = await stack.enter_async_context(FakeStt(latency=STT_LATENCY))
        services = Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")
        pairs = [(CascadeBrain(agent(chat), services), Record()) for _ in range(count)]
        for brain, record in pairs:
            await brain.open(record)
            record.on = lambda event, record=record: (
                record.events.remove(event) if isinstance(event, ReplyAudio) else None
            )
        cpu, wall = time.process_time(), time.monotonic()

        async def talk(number: int, brain: CascadeBrain, record: Record) -> None:
            await asyncio.sleep(number * 0.037 % 2)
            for turn in range(rounds):
                await say(brain, spoken(TEXTS[(number + turn) % len(TEXTS)]))
            await record.wait(ReplyFinished, rounds, seconds=30)

        await asyncio.gather(*(talk(number, *pair) for number, pair in enumerate(pairs)))
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        missed, waits = 0, []
        for brain, record in pairs:
            missed += rounds - len(record.of(SpeechStarted))
            for stopped, started in zip(record.of(SpeechStopped), record.of(ReplyStarted), strict=False):
                waits.append((started.asked_ns - stopped.end_ns) / 1e6)
            await brain.close()
    results.add(f"{count} brains talking, CPU with the fakes", cpu / wall * 100, "% of a core", n=count, goal="<= 100")
    results.add(f"{count} brains talking, missed turns", missed, "", n=count * rounds, goal="<= 0")
    stats = spread(waits)
    results.add(f"{count} brains talking, end of turn -> asked", stats["p50"], "ms", n=len(waits), **stats)


if __name__ == "__main__":
    main(run, __doc__)
