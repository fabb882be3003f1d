"""The process of models with the real ones: what one says the other hears, and a kill in mid-sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.find import lacks, there
from lipwire.models.host import SETTINGS, ModelHost
from lipwire.models.table import MODELS
from lipwire.models.wire import EngineName, Finish, Heard, Judge, Listen, Probability, Said, Sound16, Speak, Spoken
from support.machine import alive, require
from support.models import LONG, Owner, no_child_left

TEXT = "The train to the mountains leaves at noon."


def sound(owner: Owner) -> tuple[bytes, int]:
    spoken = [answer for answer in owner.answers if isinstance(answer, Spoken)]
    return b"".join(answer.pcm for answer in spoken), spoken[0].rate


async def test_what_the_voice_says_the_ears_hear_and_a_kill_costs_a_repetition() -> None:
    for name in ("whisper-tiny.en", "hibari", "smart-turn"):
        require(there(MODELS[name]) and not lacks(MODELS[name]), name)
    with no_child_left():
        host = ModelHost(SETTINGS, linger=0.0).enter()
        voice = Owner(host, "voice", Speak("hibari:heart", TEXT))
        assert await voice.over() is None and voice.answers[-1] == Said()
        pcm = resample(*sound(voice), 16_000)

        first, pids = True, []
        while True:
            ears = Owner(host, "ears", Listen("en-US", words=True, partials=False))
            # what is to be killed is far from its end, whenever this process gets to it
            second = Owner(host, "voice", Speak("hibari:heart", " ".join([TEXT] * (500 if first else 2))))
            ears.job.send(Sound16(pcm[: len(pcm) // 2]))
            await second.until(lambda: second.answers)  # noqa: B023  within this round
            pids.append(host.state().pid)
            if not first:
                break
            first = False
            os.kill(pids[0] or 0, signal.SIGKILL)
            for owner in (ears, second):
                failed = await owner.over()
                assert failed is not None and failed.died
        assert pids[1] not in (None, pids[0]) and not alive(pids[0] or 0)
        ears.job.send(Sound16(pcm[len(pcm) // 2 :]))
        ears.job.send(Finish())
        judge = Owner(host, "turn", Judge(pcm))
        assert [await owner.over() for owner in (ears, second, judge)] == [None] * 3
        (heard,), (judged,) = ears.answers, judge.answers
        assert isinstance(heard, Heard) and "train" in heard.text and "mountains" in heard.text
        assert [word for word, _, _ in heard.words] == heard.text.split()
        assert isinstance(judged, Probability) and 0.0 <= judged.value <= 1.0
        assert len(sound(second)[0]) > len(sound(voice)[0])
        used = host.state().memory >> 20
        assert 0 < used <= 600, f"{used} MB"
        await asyncio.wait_for(host.close(), LONG)


async def test_a_missing_module_is_told_by_each_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whisper-tiny.en", "hibari", "smart-turn"):
        require(there(MODELS[name]), name)
    hidden = ("ctranslate2", "onnxruntime")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engines: tuple[tuple[EngineName, str], ...] = (("ears", hidden[0]), ("voice", hidden[1]), ("turn", hidden[1]))
    with no_child_left():
        host = ModelHost(SETTINGS, linger=0.0).enter()
        for engine, module in engines:
            with pytest.raises(ModelFailed, match=f"{module}.*pip install") as failed:
                await host.warm(engine)
            assert not failed.value.died
        assert host.state().restarts == 0
        await host.close()
    for module in hidden:
        monkeypatch.setitem(sys.modules, module, None)
    assert lacks(MODELS["whisper-tiny.en"]) == ["ctranslate2"] and lacks(MODELS["hibari"]) == ["onnxruntime"]
