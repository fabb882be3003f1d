"""Voice commands, from transcripts and from sound. How often each way errs: tools/voice_commands.py."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lipwire import resample
from lipwire.agents.agent import Agent
from lipwire.agents.brains.base import SpeechStarted, SpeechStopped, UserText
from lipwire.agents.config import AgentConfig
from lipwire.agents.speech import keywords as commands
from lipwire.agents.speech.commands import command_in, command_said
from lipwire.agents.speech.keywords import KeywordSpotter, Phrases, find
from lipwire.agents.speech.offline_stt import what_hears
from lipwire.agents.speech.sphinx.recognizer import Recognizer
from lipwire.agents.speech.whisper_spotter import IN_A_ROW, WhisperSpotter, open_spotter
from lipwire.models.host import ModelHost
from lipwire.models.wire import Settings
from support.agent_puppet import Clock, MemoryChannel, MemoryRoom, Puppet, tone
from support.machine import require

Say = Callable[[str], tuple[bytes, int]]
SPOKEN = {
    "stop": "Hey Lipwire, stop!",
    "start": "Hey, start!",
}


def at_16k(speech: tuple[bytes, int]) -> bytes:
    return resample(*speech, 16_000)


def frames(pcm: bytes) -> Iterator[bytes]:
    for at in range(0, len(pcm) - 319, 320):
        yield pcm[at : at + 320]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Hey agent, stop.", "stop"), ("hey stop", "stop"), ("HEY ARIA START!", "start"), ("Hey... Start", "start"),
        ("Okay. Hey robot, stop", "stop"), ("Hey Lipwire please stop.", "stop"), ("hey dr. o’brien, start", "start"),
        ("Hey, don't stop", None), ("Hey, don’t stop!", None), ("Hey, when do we start?", None), ("stop", None),
        ("Hey agent, stop the music", None), ("They start", None), ("Hey you over there by the door, stop", None),
        ("Hey, I start", None), ("heystop", None), ("Hey agent, stopped", None), ("", None), ("hey", None),
        ("hey " * 5000, None),
    ],
)  # fmt: skip
def test_commands_in_a_transcript(text: str, command: str | None) -> None:
    assert command_in(text) == command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Hey, start!", "start"), ("Hey Lipwire, stop.", "stop"), ("Halo player, stop.", "stop"),
        ("Hay, Luke, stop", "stop"), ("Pay Assistant Start.", "start"), ("Okay, stop.", "stop"), ("Stop.", None),
        ("The bus, stop.", None),
        ("Hey, don't stop", None), ("Hello, when do we start?", None), ("Hey, stop it", None), ("They start", None),
        ("Well, hey Aria, stop", None), ("Hey, are you start?", "start"), ("Hail a player, stop.", "stop"),
        ("Hey, I want to stop", None), ("Hey, it's a start", None), ("hey " * 5000, None), ("", None),
    ],
)  # fmt: skip
def test_commands_as_a_recognizer_hears_them(text: str, command: str | None) -> None:
    assert command_said(text) == command


async def test_whisper_spots_commands_in_the_process_of_models(say: Say) -> None:
    spotter = await open_spotter()
    require(isinstance(spotter, WhisperSpotter), "whisper-tiny.en")
    assert isinstance(spotter, WhisperSpotter) and spotter._host is not None
    host, found = spotter._host, asyncio.Queue[str]()
    for text in ("What is the weather in Berlin?", SPOKEN["start"], "Hey, start!"):
        for frame in frames(as_piece(bytes(8000) + at_16k(say(text)) + bytes(16_000))):
            spotter.hear(frame, "start", found.put_nowait)
    assert await asyncio.wait_for(found.get(), 60) == "start"
    for frame in frames(as_piece(bytes(8000) + at_16k(say(SPOKEN["start"])) + bytes(16_000))):
        spotter.hear(frame, "stop", found.put_nowait)  # the other one
    while host.jobs:
        await asyncio.sleep(0.01)
    assert set(iter_of(found)) <= {"start"} and spotter.skipped == 0
    await spotter.close()
    await spotter.close()
    assert host.state().users == 0
    await host.close()


async def test_where_whisper_fails_pocketsphinx_spots_commands(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    require(not what_hears("en")[1] and KeywordSpotter.available(), "whisper-tiny.en, pocketsphinx")
    host = ModelHost(Settings({"ears": "nothing.there"}, memory=1 << 30, stuck=60.0, nice=5))
    monkeypatch.setitem(ModelHost._of_loop, asyncio.get_running_loop(), host)  # type: ignore[arg-type]
    opened = await open_spotter()
    assert isinstance(opened, KeywordSpotter) and host.state().users == 0  # it cannot be loaded
    await opened.close()
    await host.close()

    spotter, found = WhisperSpotter(), asyncio.Queue[str]()  # it fails later
    for _ in range(IN_A_ROW + 1):
        for frame in frames(as_piece(bytes(8000) + at_16k(say(SPOKEN["start"])) + bytes(16_000))):
            spotter.hear(frame, "start", found.put_nowait)
        while host.jobs:
            await asyncio.sleep(0.01)
    assert await asyncio.wait_for(found.get(), 60) == "start" and found.empty()
    await spotter.close()
    assert host.state().users == 0
    await host.close()


def iter_of(queue: asyncio.Queue[str]) -> Iterator[str]:
    while not queue.empty():
        yield queue.get_nowait()


def test_sound_is_cut_between_silences() -> None:
    def pieces(*seconds: float) -> list[float]:
        phrases, out = Phrases(), []
        for n, length in enumerate(seconds):
            loud = tone(length, 300.0, 16_000, 6000) if n % 2 else bytes(int(length * 16_000) * 2)
            noise = np.random.default_rng(n).integers(-8, 8, len(loud) // 2).astype(np.int16)
            for frame in frames((np.frombuffer(loud, np.int16) + noise).astype(np.int16).tobytes()):
                if (piece := phrases.hear(frame)) is not None:
                    out.append(len(piece) / 32_000)
        return out

    padded = (commands.PADDING_MS + commands.PAUSE_MS) / 1000
    assert pieces(0.5, 1.0, 1.0) == [pytest.approx(1.0 + padded, abs=0.05)]
    assert pieces(0.5, 1.0, 0.3, 0.5, 1.0) == [pytest.approx(1.8 + padded, abs=0.05)]
    assert pieces(0.5, 0.2, 1.0, 5.0, 1.0, 1.0, 1.0) == [pytest.approx(1.0 + padded, abs=0.05)]  # a knock; a speech
    assert pieces(0.5, 600.0, 1.0) == []  # bounded


def as_piece(pcm: bytes) -> bytes:
    """As `Phrases` cuts it: between what is silence in a room."""
    spoken = np.frombuffer(pcm, np.int16).astype(float)
    x = np.concatenate([np.zeros(16 * commands.PADDING_MS), spoken, np.zeros(16 * commands.PAUSE_MS)])
    return (x + np.random.default_rng(1).normal(0, 3, len(x))).clip(-32768, 32767).astype(np.int16).tobytes()


def test_the_recognizer_tells_commands_from_speech(say: Say) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    assert find(as_piece(at_16k(say(SPOKEN["stop"]))), "stop")
    assert not find(as_piece(at_16k(say("What is the weather in Berlin?"))), "stop")
    assert not find(bytes(32_000), "start") and not find(b"", "start")


def test_one_command_is_not_the_other(say: Say) -> None:
    """Said twice, a command must not undo itself."""
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    for said, other in (("start", "stop"), ("stop", "start")):
        for name in ("", "Aria", "computer"):
            assert not find(as_piece(at_16k(say(f"Hey {name}, {said}!"))), other)  # type: ignore[arg-type]


async def test_the_spotter_answers_and_ends_its_process(say: Say) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    spotter, other = await KeywordSpotter.open(), await KeywordSpotter.open()
    pool = spotter._pool
    assert pool is other._pool is not None
    found: asyncio.Queue[str] = asyncio.Queue()
    for frame in frames(as_piece(bytes(8000) + at_16k(say(SPOKEN["stop"])) + bytes(16_000))):
        spotter.hear(frame, "stop", found.put_nowait)
    assert await asyncio.wait_for(found.get(), 60) == "stop"
    await other.close()
    assert pool._idle and pool.jobs == 0
    await spotter.close()
    await spotter.close()
    assert not pool._idle and pool.users == 0


async def test_a_spotter_whose_process_dies_gets_another(say: Say, caplog: pytest.LogCaptureFixture) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    spotter = await KeywordSpotter.open()
    pool = spotter._pool
    assert pool is not None
    found: asyncio.Queue[str] = asyncio.Queue()
    sound = list(frames(as_piece(bytes(8000) + at_16k(say(SPOKEN["stop"])) + bytes(16_000))))
    while not pool._idle:
        await asyncio.sleep(0.01)
    os.kill(pool._idle[0].pid, signal.SIGKILL)
    for _ in range(2):  # the first may be lost with it
        for frame in sound:
            spotter.hear(frame, "stop", found.put_nowait)
        while pool.jobs:
            await asyncio.sleep(0.01)
    assert found.get_nowait() == "stop"
    await spotter.close()


async def test_a_spotter_that_is_closed_at_once_leaves_no_process() -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    for seconds in (0.0, 0.05, 0.2, 0.4):
        spotter = await KeywordSpotter.open()
        pool = spotter._pool
        await asyncio.sleep(seconds)
        await spotter.close()
        assert pool is not None and not pool._idle and pool.jobs == 0
        assert recognizers() == []


async def test_a_recognizer_whose_start_is_cancelled_twice_ends() -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    starting = asyncio.create_task(Recognizer.start("commands"))
    async with asyncio.timeout(60):
        while len(recognizers()) != 1:
            await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.sleep(0)
    starting.cancel()  # while it waits for the end
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with asyncio.timeout(60):
        while recognizers():
            await asyncio.sleep(0.01)


def recognizers() -> list[str]:
    """Command lines of this process's children that are recognizers and live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            line = (stat.parent / "cmdline").read_text()
            if parent == str(os.getpid()) and state != "Z" and "sphinx.worker" in line:
                found.append(line)
    return found


def test_a_program_without_a_guard_is_run_once(tmp_path: Path) -> None:
    """As multiprocessing would not: its processes run the main module again."""
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "from lipwire.agents.speech.keywords import KeywordSpotter\n"
        "async def main():\n"
        "    spotter = await KeywordSpotter.open()\n"
        "    while not spotter._pool._idle:\n"
        "        await asyncio.sleep(0.01)\n"
        "    await spotter.close()\n"
        "print('once')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("once\n", "")


class Scripted:
    """A spotter that hears what it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.next: str | None = None
        self.closed = False

    def hear(self, pcm: bytes, wanted: commands.Command, on_command: Callable[[commands.Command], None]) -> None:
        self.heard.append(wanted)
        if self.next == wanted:
            on_command(wanted)

    async def close(self) -> None:
        self.closed = True


async def test_without_the_recognizer_an_agent_starts_and_cannot_be_paused_by_voice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands.importlib.util, "find_spec", lambda name: None)
    clock, room, brain = Clock(), MemoryRoom(), Puppet()
    agent = Agent(AgentConfig(name="a", channel="c", voice_commands=True), MemoryChannel(room, "agent"), brain)
    await agent.start()
    brain.emit(UserText("x", "Hey Aria, stop.", True))
    await clock.run(0.1)
    assert not agent.paused
    await agent.stop()


async def test_an_agent_pauses_and_resumes_by_voice() -> None:
    clock, room, brain, spotter = Clock(), MemoryRoom(), Puppet(), Scripted()
    user = MemoryChannel(room, "7")
    config = AgentConfig(name="a", channel="c", voice_commands=True)
    agent = Agent(config, MemoryChannel(room, "agent"), brain, spotter=spotter)
    await agent.start()
    room.members["7"] = user
    user.say(bytes(640))
    spotter.next = "stop"
    user.say(bytes(320))
    assert agent.paused and spotter.heard == ["stop"] * 3
    spotter.next = "start"
    user.say(bytes(640))
    assert not agent.paused and spotter.heard[3:] == ["start", "stop"]
    for text, paused in (("Hey Aria, stop.", True), ("Hey Aria, start.", False)):
        brain.emit(SpeechStarted(0))
        brain.emit(SpeechStopped(0))
        brain.emit(UserText(text, text, False))
        assert agent.paused is not paused
        brain.emit(UserText(text, text, True))
        assert agent.paused is paused
    config.voice_commands = False
    brain.emit(UserText("x", "Hey Aria, stop.", True))
    assert not agent.paused
    await clock.run(0.1)
    await agent.stop()
    assert spotter.closed
