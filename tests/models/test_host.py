"""lipwire.models.host and worker: real processes, with engines that do all that an engine must not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest

from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models import host as module
from lipwire.models.host import ModelHost
from lipwire.models.wire import Answer, Finish, Heard, Listen, Partial, Said, Settings, Sound16, Speak, Spoken
from lipwire.process.supervisor import Limits
from lipwire.servers.metrics import ModelCollector
from support.machine import alive
from support.models import LONG, Owner, no_child_left
from support.paths import ROOT

ENGINES = dict.fromkeys(("ears", "voice", "turn"), "support.model_engines")
SETTINGS = Settings(engines=ENGINES, memory=150 << 20, stuck=60.0, nice=5)


@pytest.fixture(autouse=True)
def findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))


@pytest.fixture
async def host() -> AsyncIterator[ModelHost]:
    with no_child_left():
        host = ModelHost(SETTINGS, linger=0.0).enter()
        yield host
        await host.close()


def pid(host: ModelHost) -> int:
    found = host.state().pid
    assert found is not None
    return found


async def test_jobs_of_all_engines_share_one_process(host: ModelHost) -> None:
    ears, other = Owner(host, "ears", Listen("en")), Owner(host, "ears", Listen("en"))
    voice, second = Owner(host, "voice", Speak("v", "one two three")), Owner(host, "voice", Speak("v", "four"))
    for owner in (ears, other):
        owner.job.send(Sound16(bytes(640)))
    ears.job.send(Sound16(bytes(10)))
    first = pid(host)
    for owner in (ears, other):
        owner.job.send(Finish())
    assert [await owner.over() for owner in (ears, other, voice, second)] == [None] * 4
    nice = max(SETTINGS.nice, os.getpriority(os.PRIO_PROCESS, 0))
    heard = Heard("650 bytes, 0 dropped", language=str(nice))
    assert ears.answers == [Partial("640 so far"), Partial("650 so far"), heard]
    assert other.answers[-1] == Heard("640 bytes, 0 dropped", language=str(nice))
    assert [a.pcm for a in voice.answers if isinstance(a, Spoken)] == [b"one", b"two", b"three"]
    assert voice.answers[-1] == second.answers[-1] == Said()
    state = host.state()
    assert (state.pid, state.users, state.jobs, state.restarts) == (first, 1, 0, 0)
    ears.job.send(Sound16(b"nobody hears it"))
    ears.job.drop()


async def test_a_job_that_is_dropped_is_not_heard_of_again(host: ModelHost) -> None:
    ears = Owner(host, "ears", Listen("en"))
    voice = Owner(host, "voice", Speak("v", "word " * 10_000))
    await voice.until(lambda: voice.answers)
    voice.job.drop()
    voice.job.drop()
    ears.job.drop()
    assert host.state().jobs == 0 and ears.job.over
    said = len(voice.answers)
    after = Owner(host, "voice", Speak("v", "after"))
    assert await after.over() is None
    assert len(voice.answers) == said and not voice.end.done() and not ears.end.done()
    last = Owner(host, "ears", Listen("en"))
    last.job.send(Finish())
    assert await last.over() is None
    assert isinstance(last.answers[0], Heard) and last.answers[0].text == "0 bytes, 1 dropped"


async def test_a_model_is_warmed_once(host: ModelHost, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first = asyncio.create_task(host.warm("ears", "tiny"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(host.warm("ears", "tiny")) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(asyncio.gather(*others), LONG)
    await host.warm("ears", "tiny")
    assert caplog.text.count("tiny was loaded") == 1
    with pytest.raises(ModelFailed, match="have another"):
        await host.warm("ears", "refuse")
    await host.warm("ears")
    assert caplog.text.count("was loaded") == 3  # or not


async def test_a_job_that_fails_leaves_the_others(host: ModelHost, caplog: pytest.LogCaptureFixture) -> None:
    other = Owner(host, "ears", Listen("en"))
    for request, reason in (
        (Listen("en", model="refuse"), "no such model: have another"),
        (Listen("en", model="err"), "ears: ValueError: a fault of the engine's"),
        (Listen("en", model="answer what cannot be sent"), "ears: TypeError: Encoding objects of type"),
    ):
        failed = await Owner(host, "ears", request).over()
        assert failed is not None and str(failed).startswith(reason) and not failed.died
    failed = await Owner(host, "voice", Speak("v", "well err never")).over()
    assert failed is not None and str(failed) == "voice: ValueError: a fault of the engine's"
    other.job.send(Finish())
    assert await other.over() is None
    assert host.state().restarts == 0
    with pytest.raises(InvalidArgument, match="ears, voice, turn"):
        host.job("nose", Listen("en"), print, print)  # type: ignore[arg-type]


async def test_an_owner_that_fails_leaves_the_others(host: ModelHost, caplog: pytest.LogCaptureFixture) -> None:
    def fall(what: object) -> None:
        raise RuntimeError("the owner falls")

    host.job("voice", Speak("v", "one two"), fall, fall)
    assert await Owner(host, "voice", Speak("v", "three")).over() is None
    assert caplog.text.count("RuntimeError: the owner falls") >= 2


async def test_an_engine_that_is_not_there_is_told(host: ModelHost) -> None:
    host._settings = msgspec.structs.replace(SETTINGS, engines={**ENGINES, "ears": "support.no_such_engine"})
    failed = await Owner(host, "ears", Listen("en")).over()
    assert failed is not None and "No module named 'support.no_such_engine'" in str(failed)
    assert await Owner(host, "voice", Speak("v", "yet this")).over() is None


@pytest.mark.parametrize("deed", ["kill", "die", "hang", "hold", "grow"])
async def test_a_process_that_dies_in_mid_job_is_started_again(
    host: ModelHost, deed: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ping_lost, stuck = {"hold": (5.0, LONG), "hang": (LONG, 5.0)}.get(deed, (LONG, LONG))
    monkeypatch.setattr(module, "LIMITS", Limits(start=LONG, ping_every=0.2, ping_lost=ping_lost))
    host._settings = msgspec.structs.replace(SETTINGS, stuck=stuck)
    await host.warm("ears", "tiny")
    first = pid(host)
    ears = Owner(host, "ears", Listen("en"))
    ears.job.send(Sound16(bytes(100)))
    await ears.until(lambda: ears.answers)
    if deed == "kill":
        os.kill(first, signal.SIGKILL)
    else:
        Owner(host, "voice", Speak("v", f"now {deed}"))
    failed = await ears.over()
    assert failed is not None and failed.died
    reason = {
        "kill": "it ended, code -9",
        "die": "code -6",
        "hang": "voice has been at one step for",
        "hold": "it hangs, code -9",
        "grow": "and 150 is the most (the setting models_memory_mb)",
    }[deed]
    assert reason in str(failed)
    again = Owner(host, "ears", Listen("en"))  # waits for the next one
    again.job.send(Sound16(bytes(300)))
    again.job.send(Finish())
    assert await again.over() is None
    assert again.answers[0] == Partial("300 so far")
    assert pid(host) != first and not alive(first)
    assert host.state().restarts == 1
    assert caplog.text.count("tiny was loaded") == 2  # it is warm again


async def test_a_process_that_grows_too_large_again_loads_little_from_then_on(
    host: ModelHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "LIMITS", Limits(start=LONG))
    names = [f"model {number}" for number in range(module.MOST_WARM + 1)]
    for name in names:
        await host.warm("ears", name)
    for deaths in (1, 2):
        ears = Owner(host, "ears", Listen("en"))
        Owner(host, "voice", Speak("v", "now grow"))
        failed = await ears.over()
        assert failed is not None and failed.died
        well = Owner(host, "ears", Listen("en"))
        well.job.send(Finish())
        assert await well.over() is None and host.state().restarts == deaths
        counts = [caplog.text.count(f"{name} was loaded") for name in names]
        assert counts == [1] + [2] * module.MOST_WARM  # the last ones, and only once


async def test_a_process_that_dies_again_and_again_is_not_waited_for(
    host: ModelHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF", (0.05, 0.05, 3600.0))
    for _ in range(module.DEATHS):
        failed = await Owner(host, "ears", Listen("en", model="die")).over()
        assert failed is not None and failed.died
    assert f"{module.DEATHS} times in a row" in str(failed)
    assert host.state().pid is None
    owner = Owner(host, "ears", Listen("en"))
    assert not owner.end.done()  # never before `job` has returned
    failed = await owner.over()
    assert failed is not None and failed.died and host.state().pid is None


async def test_what_waits_for_the_process_is_bounded(host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_JOBS", 2)
    monkeypatch.setattr(module, "BACKOFF", (1.0,))
    await Owner(host, "ears", Listen("en", model="die")).over()
    one, two, many = (Owner(host, "ears", Listen("en")) for _ in range(3))
    for _ in range(5):
        one.job.send(Sound16(bytes(1 << 20)))
    failed = await many.over()
    assert failed is not None and "2 jobs" in str(failed)
    failed = await one.over()
    assert failed is not None and "too much waits for it" in str(failed)
    two.job.send(Finish())
    assert await two.over() is None


async def test_an_answer_that_comes_late_is_told(
    host: ModelHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "logger", logging.getLogger("lipwire.models.unsampled"))
    await host.warm("voice")
    answers: list[Answer] = []
    ended = asyncio.Event()
    with monkeypatch.context() as patch:
        patch.setattr(host, "now", lambda: 0.9 * len(answers))  # each comes in time
        host.job("voice", Speak("v", "one two three"), answers.append, lambda failed: ended.set())
        await asyncio.wait_for(ended.wait(), LONG)
    assert len(answers) == 4 and host.state().slow == {}
    monkeypatch.setitem(module.SLOW, "voice", -1.0)
    assert await Owner(host, "voice", Speak("v", "slow")).over() is None
    assert host.state().slow == {"voice": 2}
    assert "this machine is too slow for it" in caplog.text
    families = {family.name: family for family in ModelCollector(host.state).collect()}
    assert families["lipwire_models_memory_bytes"].samples[0].value > 1 << 20
    (slow,) = families["lipwire_models_slow"].samples
    assert (slow.labels, slow.value) == ({"engine": "voice"}, 2)
    assert list(ModelCollector(lambda: None).collect()) == []


async def test_the_process_ends_after_its_last_user() -> None:
    with no_child_left():
        host = ModelHost(SETTINGS, linger=0.0)
        for _ in range(2):
            host.enter()
        await host.warm("ears")
        first = pid(host)
        await host.leave()
        assert host.state().pid == first
        await host.leave()
        host.enter()  # before it is over
        await host.warm("ears")
        assert host.state().pid == first
        await host.leave()
        assert host._leaving is not None
        await host._leaving
        assert host.state().pid is None


def test_the_process_ends_with_the_event_loop() -> None:
    async def use() -> int:
        ModelHost.set_up(memory=1 << 30)
        host = ModelHost.of()
        assert ModelHost.of() is host and host._settings.memory == 1 << 30
        host._settings = SETTINGS
        await host.leave()
        await host.warm("ears")
        await host.leave()  # it would stay for seconds
        return pid(host)

    with no_child_left():
        assert not alive(asyncio.run(use()))


async def test_what_is_under_way_when_the_process_is_ended_fails(host: ModelHost) -> None:
    owner = Owner(host, "ears", Listen("en"))
    await host.close()
    failed = await owner.over()
    assert failed is not None and str(failed) == "the process of models was ended"
