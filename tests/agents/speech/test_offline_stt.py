"""What hears on this machine: whisper in a real process of models, and pocketsphinx where that fails."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lipwire import resample
from lipwire.agents.brains.base import Services
from lipwire.agents.brains.speech_services import make_stt
from lipwire.agents.config import AgentConfig
from lipwire.agents.http import ServiceError
from lipwire.agents.speech import offline_stt, stt, whisper_stt
from lipwire.agents.speech.offline_stt import OfflineStt, what_hears
from lipwire.agents.speech.sphinx import stt as sphinx
from lipwire.errors import BadState, InvalidArgument, ModelFailed
from lipwire.models.host import ModelHost
from lipwire.models.table import MODELS
from lipwire.models.wire import Heard
from lipwire.protocol.agent_bodies import InUse
from support.machine import require

SENTENCE = "Hello, how are you today?"
LONG = 120.0
"""Seconds in which anything happens, on any machine."""


@pytest.fixture
def sentence(say: Callable[[str], tuple[bytes, int]]) -> bytes:
    return bytes(9600) + resample(*say(SENTENCE), 16_000) + bytes(9600)


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelHost]:
    """The loop's process of models, ended behind the test."""
    require(not offline_stt._lacking("whisper-tiny.en"), "whisper-tiny.en")
    for module in (stt, whisper_stt):
        monkeypatch.setattr(module, "TIMEOUT", LONG)
    host = ModelHost.of()
    yield host
    await host.close()
    await host.leave()


async def hear(engine: OfflineStt, pcm: bytes) -> str:
    hearing = engine.hear(lambda text: None)
    for at in range(0, len(pcm), 320):
        hearing.feed(pcm[at : at + 320])
    done = await hearing.finish()
    assert " ".join(word.text for word in done.words) == done.text
    return done.text


async def test_what_is_expected_is_heard(host: ModelHost, say: Callable[[str], tuple[bytes, int]]) -> None:
    pcm = bytes(9600) + resample(*say("Does it work with Deepgram and ElevenLabs?"), 16_000) + bytes(9600)
    config = AgentConfig(name="a", channel="c", asr_keywords=["ElevenLabs", "Deepgram"])
    told, untold = make_stt(config, Services()), OfflineStt("en-US")
    await asyncio.gather(told.open(), untold.open())
    assert isinstance(told, OfflineStt)
    assert "Deepgram and ElevenLabs" in await hear(told, pcm)
    assert "ElevenLabs" not in await hear(untold, pcm)
    await asyncio.gather(told.close(), untold.close())


async def test_agents_hear_by_one_process_and_go_on_where_it_dies(host: ModelHost, sentence: bytes) -> None:
    one, other = OfflineStt("en-US"), OfflineStt("en-GB")
    await asyncio.gather(one.open(), other.open())
    assert (one.hears, one.fallen) == ("whisper-tiny.en", "") and host.state().users == 3
    assert await asyncio.gather(hear(one, sentence), hear(other, bytes(32_000))) == [SENTENCE, ""]

    # dropped in the middle: the next one is heard as if nothing had been
    told: list[str] = []
    dropped = one.hear(told.append)
    dropped.feed(sentence)
    dropped.drop()
    dropped.drop()
    assert await hear(one, sentence) == SENTENCE and not host.jobs and not told

    # the process is killed while one speaks: what was said before is not lost
    hearing = one.hear(lambda text: None)
    hearing.feed(sentence[: len(sentence) // 2])
    pid = host.state().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while host.state().restarts == 0:
        await asyncio.sleep(0.01)
    hearing.feed(sentence[len(sentence) // 2 :])
    assert (await hearing.finish()).text == SENTENCE and host.state().pid != pid
    await one.close()
    await other.close()
    assert host.state().users == 1


async def test_texts_so_far_come_while_one_speaks(host: ModelHost, sentence: bytes) -> None:
    engine = OfflineStt("en-US")
    await engine.open()
    told: asyncio.Queue[str] = asyncio.Queue()
    hearing = engine.hear(told.put_nowait)
    hearing.feed(sentence)
    assert await asyncio.wait_for(told.get(), LONG) == SENTENCE
    hearing.drop()
    await engine.close()


async def test_what_is_only_the_default_falls_back_and_says_so(
    host: ModelHost,
    say: Callable[[str], tuple[bytes, int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    monkeypatch.setattr(sphinx, "TIMEOUT", LONG)
    sentence = bytes(3200) + resample(*say("I would like to go to the station."), 16_000) + bytes(6400)

    async def damaged(self: ModelHost, engine: str, what: str = "") -> None:
        raise ModelFailed(f"{what} is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(ModelHost, "warm", damaged)
        engine = OfflineStt("en-US")
        with caplog.at_level(logging.WARNING, "lipwire.agents"):
            await engine.open()
    assert (engine.hears, engine.fallen) == ("pocketsphinx", "whisper-tiny.en is damaged")
    assert [r.message for r in caplog.records if "in place of whisper" in r.message] == [
        "pocketsphinx hears in place of whisper, which makes far fewer errors: whisper-tiny.en is damaged"
    ]
    assert host.state().users == 1  # it is done with the process

    # and when the model fails again and again later, with what was said meanwhile; but not for one failure
    other = OfflineStt("en-US")
    await other.open()

    async def fail(count: int) -> None:
        hearings = [other.hear(lambda text: None) for _ in range(count)]
        for hearing in hearings:
            hearing.feed(sentence)
        for job in list(host.jobs.values()):
            host.fail(job, ModelFailed("it is of no use any more"))
        for said in await asyncio.gather(*(hearing.finish() for hearing in hearings)):
            assert "would like to" in said.text

    await fail(offline_stt.IN_A_ROW - 1)
    assert await hear(other, bytes(32_000)) == "" and (other.hears, other.fallen) == ("whisper-tiny.en", "")
    with monkeypatch.context() as patch:  # it hangs
        patch.setattr(whisper_stt, "TIMEOUT", 0.0)
        hearing = other.hear(lambda text: None)
        hearing.feed(sentence)
        assert "would like to" in (await hearing.finish()).text and other.hears == "whisper-tiny.en"
    fell: list[InUse] = []
    other.on_fall = fell.append
    await fail(offline_stt.IN_A_ROW - 1)
    assert (other.hears, other.fallen) == ("pocketsphinx", "it is of no use any more")
    used = InUse(name="pocketsphinx", instead_of="whisper-tiny.en", because="it is of no use any more")
    assert fell == [used] == [other.in_use]
    await engine.close()
    await other.close()


async def test_what_was_asked_for_is_refused_and_never_another(host: ModelHost, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"is no folder, and no model \(whisper-tiny\.en, whisper-base\)"):
        OfflineStt("en-US", "nothing")
    with pytest.raises(ModelFailed, match=r"has no model\.bin"):
        await OfflineStt("en-US", str(tmp_path)).open()
    with pytest.raises(ModelFailed, match="does not know the language 'de-DE', but en"):
        await OfflineStt("de-DE", str(model)).open()
    assert host.state().users == 1
    own = OfflineStt("en-US", str(model))
    await own.open()
    hearing = own.hear(lambda text: None)
    for job in list(host.jobs.values()):
        host.fail(job, ModelFailed("it is of no use any more"))
    with pytest.raises(ServiceError, match="of no use any more"):
        await hearing.finish()
    assert own.hears == str(model)
    await own.close()


@pytest.fixture
def model(host: ModelHost) -> Path:
    from lipwire.models.find import find

    return find("whisper-tiny.en")


def test_what_hears_which_language(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="whisper does not know the language 'tlh', but af, am, ar"):
        what_hears("tlh")
    monkeypatch.setattr(offline_stt, "lacks", lambda model: [])
    monkeypatch.setattr(offline_stt, "there", lambda model: model.name == "whisper-base")
    assert what_hears("de-AT") == ("whisper-base", "")
    assert what_hears("en-US", "whisper-base") == ("whisper-base", "")
    with pytest.raises(BadState, match=r"whisper-tiny\.en is not here.*lipwire models get whisper-tiny\.en"):
        what_hears("en-US", "whisper-tiny.en")
    monkeypatch.setattr(offline_stt.importlib.util, "find_spec", lambda name: object())
    hears, why = what_hears("en-US")
    assert hears == "pocketsphinx" and "lipwire models get whisper-tiny.en" in why
    monkeypatch.setattr(offline_stt.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(offline_stt, "lacks", lambda model: list(MODELS[model.name].needs))
    for language in ("en-US", "de-DE"):
        with pytest.raises(BadState, match=rf"nothing hears {language} .* needs ctranslate2.*lipwire\[offline\]"):
            what_hears(language)


def test_what_whisper_hears_in_silence_is_nothing() -> None:
    said = whisper_stt.transcript(Heard("Thank you.", (("Thank", 0.1, 0.3), ("you.", 0.3, 0.5)), 0.9, "en"))
    assert said == stt.Transcript("")
    said = whisper_stt.transcript(Heard("[music] Thank you.", (("Thank", 0.1, 0.3), ("you.", 0.3, 0.5)), 0.1, "en"))
    assert said.text == "Thank you." and [(w.start_ms, w.duration_ms) for w in said.words] == [(100, 200), (300, 200)]
