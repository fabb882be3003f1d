"""Voices while an event loop runs: in the process of models, which may die, and in a thread."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lipwire.audio import espeak
from lipwire.avatar import Voice
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.host import ModelHost
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.engine import Engine
from lipwire.models.voices.live import LiveVoices, Patience
from lipwire.models.voices.names import Name
from lipwire.models.voices.speaker import speak
from lipwire.models.wire import Answer, Said, Settings, Speak, Spoken
from support.machine import require
from support.paths import ROOT

HEART = Name("hibari", "heart")
TEXT = "One is here. Two is here. Three is here."


async def test_what_is_said_in_the_process_of_models_is_said_to_its_end() -> None:
    """Also where that process is killed after the first sentence: nothing is said twice."""
    require(espeak.available() and not missing(HEART), "espeak-ng, hibari-tts")
    here = await asyncio.to_thread(speak, HEART, TEXT)
    live = LiveVoices()
    await live.warm(HEART)
    host = ModelHost.of()
    got: list[Spoken] = []
    async for sound in live.speak(HEART, TEXT):
        got.append(sound)
        pid = host.state().pid
        if len(got) == 1 and pid is not None:
            os.kill(pid, signal.SIGKILL)
    assert got == here
    with pytest.raises(ModelFailed, match="finds nothing that it can say"):
        async for _ in live.speak(HEART, "你好"):
            pass
    (sound,) = [one async for one in live.speak(Name("espeak", "de"), "Guten Tag.")]
    assert sound.rate == 22_050 and [word for word, _, _ in sound.words] == ["Guten", "Tag"]
    with pytest.raises(InvalidArgument, match="no text to speak"):
        async for _ in live.speak(Name("espeak", "de"), ""):
            pass
    await live.close()
    await host.close()
    await host.leave()


async def test_a_voice_that_hangs_fails_and_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    require(espeak.available(), "espeak-ng")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    host = ModelHost(Settings({"voice": "support.model_engines"}, memory=1 << 30, stuck=600.0, nice=5))
    monkeypatch.setitem(ModelHost._of_loop, asyncio.get_running_loop(), host)  # type: ignore[arg-type]
    live, got = LiveVoices(), []
    live.patience = Patience(60.0, 60.0)
    with pytest.raises(ModelFailed, match="it hangs"):
        async for sound in live.speak(HEART, "one hang two"):
            got.append(sound.pcm)
            live.patience = Patience(0.0, 0.0)
    assert got == [b"one"] and host.state().jobs == 0
    with pytest.raises(ModelFailed):
        await live.whole(HEART, "Hello.")
    (sound,) = await live.whole(HEART, "Hello.", Voice(espeak="en-gb"))
    assert sound.rate == 22_050 and [word for word, _, _ in sound.words] == ["Hello"]
    await live.close()
    await host.close()


def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    """Neither here nor in a child: it writes what it would report from its import on."""
    require(find_spec("onnxruntime") is not None, "onnxruntime")
    code = "import lipwire.models.voices.graph, onnxruntime"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_two_texts_are_said_a_sentence_each_in_turn() -> None:
    require(not missing(HEART), "hibari-tts")
    engine = Engine()
    got: list[tuple[int, Answer]] = []
    for job in (1, 2, 3):
        engine.open(job, Speak(str(HEART), "Yes. No."), lambda answer, job=job: got.append((job, answer)))  # type: ignore[misc]
    engine.drop(3)
    while (turn := engine.next()) is not None:
        engine.work(turn)
    assert [number for number, _ in got] == [1, 2] * 3 and [type(answer) for _, answer in got[-2:]] == [Said, Said]
    for what in ("nobody", "hibari:nobody"):
        with pytest.raises(ModelFailed, match="nobody"):
            engine.open(4, Speak(what, "Yes."), print)
    assert engine.next() is None
