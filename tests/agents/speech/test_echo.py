"""agents/speech/echo.py, before the detector that it keeps from hearing the agent."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lipwire import resample
from lipwire.agents.config import TurnDetection
from lipwire.agents.speech import echo
from lipwire.agents.speech.echo import EchoGuard
from lipwire.agents.speech.turn_detector import TurnDetector

ALWAYS_THE_SAME = """
import ctypes, sys
from lipwire import resample
from lipwire.audio import espeak
espeak._load()[0].espeak_ng_SetRandSeed(ctypes.c_long(1))
pcm, rate = espeak.synthesize(*sys.argv[1:])
sys.stdout.buffer.write(resample(pcm, rate, 16_000))
"""
Sound = npt.NDArray[np.float64]
TEXT = (
    "The history of this town begins in the ninth century, when traders built the first houses by the river. Later "
    "people added a wall around the market, and two great fires destroyed it twice."
)


@cache
def said(text: str, voice: str) -> Sound:
    """The same sound at any time: espeak-ng's depends on the clock, and on all that its process has said before."""
    command = [sys.executable, "-c", ALWAYS_THE_SAME, text, voice]
    pcm = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(pcm, np.int16).astype(np.float64)


@cache
def played(voice: str) -> list[bytes]:
    """What an agent says, as blocks of the channel: a second of silence, then speech for 5 s, a pause, and again."""
    speech = said(TEXT, voice)[: 5 * 16_000]
    pcm = np.concatenate([np.zeros(16_000), speech, np.zeros(24_000), speech[:48_000]]).astype(np.int16).tobytes()
    loud = resample(pcm, 16_000, 48_000)
    return [loud[at : at + 960] for at in range(0, len(loud) - 959, 960)]


def level(x: Sound) -> float:
    """RMS of the louder parts."""
    power = (x[: len(x) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
    return float(np.sqrt(power[power > power.max() / 1000].mean()))


def noise(count: int, db: float = -72.0) -> Sound:
    return np.random.default_rng(5).standard_normal(count) * 32768 * 10 ** (db / 20)


def returned(voice: str, delay_ms: int, db: float, path: str) -> Sound:
    """What a microphone has of it: so late, so much softer, through a room, a telephone or a bad loudspeaker."""
    blocks = played(voice)
    x = np.frombuffer(resample(b"".join(blocks), 48_000, 16_000), np.int16).astype(np.float64)
    y = np.concatenate([np.zeros(delay_ms * 16), x])[: len(x)]
    if path == "room":
        random, at = np.random.default_rng(3), np.arange(4000)
        answer = random.standard_normal(4000) * np.exp(-6.9 * at / 4000)
        answer[0] = 8.0
        y = np.convolve(y, answer)[: len(x)]
    elif path == "telephone":
        spectrum, hz = np.fft.rfft(y), np.fft.rfftfreq(len(y), 1 / 16_000)
        y = np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), len(y))
    elif path == "overdriven":
        y = np.tanh(y / 8000)
    return y / level(y) * level(x) * 10 ** (-db / 20)


class Listener:
    """A guard, and a detector behind it, 10 ms at a time. `jitter`: sound comes in bursts."""

    def __init__(self, voice: str) -> None:
        self.guard, self.detector = EchoGuard(), TurnDetector(TurnDetection())
        self.blocks = played(voice)
        self.starts: list[int] = []
        self.out: list[bytes] = []

    def hear(self, mic: Sound, *, speaks: Any = None, jitter: int = 1) -> list[int]:
        """Runs to the end of `mic`; ms at which a turn began. `speaks(ms)`: whether the agent does then."""
        pcm = np.clip(np.round(mic), -32768, 32767).astype(np.int16).tobytes()
        frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]
        for first in range(0, len(frames), jitter):
            for n in range(first, min(first + jitter, len(self.blocks))):
                quiet = speaks is not None and not speaks(n * 10)
                self.guard.played(bytes(960) if quiet else self.blocks[n])
            for n in range(first, min(first + jitter, len(frames))):
                self.out.append(self.guard.hear(frames[n], "7"))
                turn = self.detector.hear(self.out[-1])
                if turn is not None and turn.kind == "started":
                    self.starts.append(n * 10)
        return self.starts


@pytest.mark.parametrize(
    ("voice", "delay_ms", "db", "path", "jitter"),
    [
        ("en-us", 20, 20.0, "plain", 1),
        ("en-us", 500, 40.0, "plain", 1),
        ("en-us", 130, 20.0, "room", 1),
        ("en-us+f3", 130, 30.0, "telephone", 3),
        ("en-us+f3", 300, 20.0, "overdriven", 2),
        ("en-us+f3", 60, 30.0, "room", 1),
    ],
)
def test_the_agents_own_voice_is_no_turn(voice: str, delay_ms: int, db: float, path: str, jitter: int) -> None:
    heard = returned(voice, delay_ms, db, path)
    bare = TurnDetector(TurnDetection())
    pcm = heard.astype(np.int16).tobytes()
    turns = [bare.hear(pcm[at : at + 320]) for at in range(0, len(pcm) - 319, 320)]
    assert db == 40.0 or any(turns)  # it would be one
    listener = Listener(voice)
    assert listener.hear(heard + noise(len(heard)), jitter=jitter) == []
    ear = listener.guard._users["7"]
    assert ear._delay is not None and abs(ear._delay * 10 - delay_ms) <= 30


@pytest.mark.parametrize("path", ["plain", "room"])
@pytest.mark.parametrize(
    ("over", "db", "at"), [(0.0, 20.0, 4.2), (10.0, 30.0, 1.9), (10.0, 20.0, 4.2), (20.0, 40.0, 2.4)]
)
def test_a_user_who_speaks_over_it_is_heard(path: str, over: float, db: float, at: float) -> None:
    heard, user = returned("en-us", 170, db, path), said("No, that is not what I asked you.", "en-us+m3")
    first, last = round(at * 16_000), round(at * 16_000) + len(user)
    mic = heard + noise(len(heard))
    mic[first:last] += user / level(user) * level(heard) * 10 ** (over / 20)
    listener = Listener("en-us")
    starts = listener.hear(mic[: last + 3200])
    assert starts and at * 1000 < starts[0] < at * 1000 + 450
    begun = starts[0] // 10
    assert (
        b"".join(listener.out[begun : begun + 15])
        == np.round(mic[begun * 160 : (begun + 15) * 160]).astype(np.int16).tobytes()
    )


@pytest.mark.parametrize(("db", "within"), [(-20.0, 300), (-35.0, 900)])
def test_a_user_without_echo_is_heard(db: float, within: int) -> None:
    """At once where he is louder than an echo may be; else as soon as it is known that he is none."""
    user = said("Wait a moment please, I have a question about that.", "en-us+f3")
    for at in (1.3, 3.5):
        mic = noise(7 * 16_000)
        first = round(at * 16_000)
        mic[first : first + len(user)] += user / level(user) * 32768 * 10 ** (db / 20)
        starts = Listener("en-us").hear(mic)
        assert starts and starts[0] < at * 1000 + within


@pytest.mark.parametrize("seconds", [2.0, 3.5])
@pytest.mark.parametrize("db", [-72.0, -60.0])
def test_a_quick_answer_on_a_headset_is_heard(seconds: float, db: float) -> None:
    """The agent speaks, says no more, and a soft user without an echo answers within its echo's time; each time."""
    user = said("Wait a moment please, I have a question about that.", "en-us+f3")[:16_000]
    end = round(seconds * 16_000)
    mic = noise(end + 20_000, db)
    first = end + 1600
    mic[first : first + len(user)] += user / level(user) * 32768 * 10 ** (-36.0 / 20)
    listener = Listener("en-us")
    starts = listener.hear(mic, speaks=lambda ms: ms < seconds * 1000)
    assert len(starts) == 1 and 0 < starts[0] - first / 16 < 300
    sent, got = mic[first : first + 12_800], np.frombuffer(b"".join(listener.out), np.int16)[first : first + 12_800]
    assert (got**2.0).sum() > 0.98 * (sent**2).sum()


def test_what_is_known_of_an_echo_outlives_an_interruption() -> None:
    """The user interrupts, the agent is silent, and goes on two seconds later: its voice is no turn then either."""
    heard, user = returned("en-us", 130, 20.0, "plain"), said(TEXT, "en-us+f3")
    mic = heard + noise(len(heard))
    at = 3 * 16_000
    mic[at : at + 32_000] += user[:32_000]
    mic[3 * 16_000 + 4800 : 5 * 16_000] -= heard[3 * 16_000 + 4800 : 5 * 16_000]
    listener = Listener("en-us")
    starts = listener.hear(mic, speaks=lambda ms: not 3170 <= ms < 4870)
    assert len(starts) == 1 and 3000 < starts[0] < 3400


def test_silence_costs_nothing_and_changes_nothing() -> None:
    guard = EchoGuard()
    loud = noise(160, -20.0).astype(np.int16).tobytes()
    for _ in range(100):
        guard.played(bytes(960))
        assert guard.hear(loud, "7") is loud
    assert not guard._users  # nobody is looked at while nothing is played
    for n in range(100):
        guard.played(b"\x10\x10" * 480)
        guard.hear(loud, f"user{n}")
        assert guard.hear(loud[:100], "odd") == loud[:100]
    assert len(guard._users) <= echo.MAX_USERS
