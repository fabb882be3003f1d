"""lipwire.process.supervisor, with real child processes that do all that a child must not."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

import pytest

from lipwire.process import supervisor as module
from lipwire.process.spawn import Module
from lipwire.process.supervisor import Child, Ended, Limits
from support.child import HUGE, Die, Hang, Nonsense, Said, Say, Write
from support.child_owner import QUICK, Owner, open_files

# ---------------------------------------------------------------------------------------------------------- one child


async def test_a_child_is_told_answers_and_leaves() -> None:
    owner = Owner()
    child = owner.child("")
    assert child.starting and child.usable
    child.tell(Say("hello", 3))
    await owner.until(lambda: len(owner.said) == 4)
    assert owner.said == [Said("here", child.pid)] + [Said("hello", child.pid)] * 3
    assert not child.starting
    child.end()
    assert not child.usable
    child.tell(Say("nobody hears it"))
    ended = await child.ended()
    assert (ended.code, ended.reason) == (0, "it was ended") and owner.deaths == [ended]
    child.end(leave=0)
    assert (await child.ended()).code == 0


async def test_a_child_gets_file_descriptors() -> None:
    owner = Owner()
    child = owner.child("")
    file = os.memfd_create("test")
    child.tell(Write("from the child"), [file])
    await owner.until(lambda: len(owner.said) == 2)
    assert os.pread(file, 100, 0) == b"from the child"
    os.close(file)
    child.end()
    await child.ended()


async def test_a_child_that_dies_at_once_says_why(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    child = owner.child("die at once")
    await owner.until(lambda: owner.deaths)
    assert (owner.deaths[0].code, owner.deaths[0].reason) == (3, "it ended")
    assert owner.deaths[0].last_words == "it is not my day"
    assert f"a child ({child.pid}): it is not my day" in caplog.text
    assert not child.usable and owner.said == []


async def test_what_a_child_says_last_is_heard() -> None:
    owner = Owner()
    child = owner.child("")
    await owner.until(lambda: owner.said)
    child.tell(Say("last", 5000))
    child.tell(Say("x" * 190_000))  # more than one read
    child.tell(Die(9))
    await owner.until(lambda: owner.deaths)
    assert len(owner.said) == 5002 and owner.said[-1].text == "x" * 190_000
    assert (owner.deaths[0].code, owner.deaths[0].last_words) == (9, "I was told to")


async def test_a_child_that_hangs_at_start() -> None:
    owner = Owner()
    owner.child("hang at start", Limits(start=0.5))
    await owner.until(lambda: owner.deaths)
    assert (owner.deaths[0].code, owner.deaths[0].reason) == (-9, "it did not answer within 0.5 s")
    assert 0.5 <= owner.deaths[0].lived < 10


async def test_a_child_that_answers_in_time_may_be_silent_from_then_on() -> None:
    owner = Owner()
    child = owner.child("", Limits(start=5.0))
    await owner.until(lambda: owner.said)
    assert child._timer is None
    child.end()
    assert (await child.ended()).code == 0


async def test_a_child_that_hangs_does_not_answer_a_ping() -> None:
    owner = Owner()
    child = owner.child("", Limits(ping_every=0.05, ping_lost=1.5))
    await owner.until(lambda: owner.said)
    await asyncio.sleep(2.0)  # it answers
    assert owner.deaths == []
    child.tell(Hang())
    began = time.monotonic()
    await owner.until(lambda: owner.deaths)
    assert (owner.deaths[0].code, owner.deaths[0].reason) == (-9, "it hangs")
    assert time.monotonic() - began > 1.4


async def test_a_child_is_not_blamed_for_an_event_loop_that_stood_still() -> None:
    owner = Owner()
    child = owner.child("", Limits(ping_every=60.0, ping_lost=1.5))
    await owner.until(lambda: owner.said)
    child._tick()
    assert child._asked_at is not None
    time.sleep(1.7)  # the answer comes meanwhile
    child._tick()  # as a loop that looks at its timers first would
    assert owner.deaths == []
    child.end()
    assert (await child.ended()).code == 0


@pytest.mark.parametrize("data", [HUGE, b"Traceback (most recent call last):\n", b"\x01\0\0\0\xc1"])
async def test_a_child_that_sends_nonsense_is_killed(data: bytes) -> None:
    owner = Owner()
    child = owner.child("", limit=1 << 20)
    child.tell(Nonsense(data))
    await owner.until(lambda: owner.deaths)
    assert owner.deaths[0].code == -9 and owner.deaths[0].reason.startswith("it sent nonsense: a frame")


async def test_a_flood_does_not_stop_the_others() -> None:
    owner = Owner()
    child = owner.child("flood")
    other = owner.child("")
    await owner.until(lambda: len(owner.said) > 1000)
    longest, last = 0.0, time.monotonic()
    until = last + 1.0
    other.tell(Say("through it"))
    while last < until:
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 2.0
    assert any(said.text == "through it" for said in owner.said)
    many = len(owner.said)
    child.end(leave=0)
    other.end()
    assert (await child.ended()).reason == "it was ended"
    await other.ended()
    assert len(owner.said) == many  # nothing after `end`


async def test_a_child_that_reads_nothing_costs_so_much_memory_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1 << 20)
    owner = Owner()
    child = owner.child("")
    child.tell(Hang())
    await owner.until(lambda: owner.said)
    for _ in range(30):
        child.tell(Say("x" * 100_000))
        await asyncio.sleep(0)
    await owner.until(lambda: owner.deaths)
    assert owner.deaths[0].reason.startswith("it does not read: ") and owner.deaths[0].code == -9


async def test_a_child_that_will_not_leave_is_told_and_then_killed() -> None:
    for what, code in (("stubborn", -signal.SIGKILL), ("hang at the end", -signal.SIGALRM)):
        owner = Owner()
        child = owner.child(what, Limits(leave=8.0 if code == -signal.SIGALRM else 0.2, terminate=0.2))
        await owner.until(lambda owner=owner: owner.said)  # type: ignore[misc]
        began = time.monotonic()
        child.end()
        assert (await child.ended()).code == code
        assert 0.15 < time.monotonic() - began < 8
    child = owner.child("hang at start", Limits(leave=0.1))
    child.end()
    assert (await child.ended()).code == -signal.SIGTERM


async def test_a_child_that_closes_its_link_and_lives_on() -> None:
    owner = Owner()
    owner.child("close and live on")
    await owner.until(lambda: owner.deaths)
    assert (owner.deaths[0].code, owner.deaths[0].reason) == (-signal.SIGTERM, "it ended")


@pytest.mark.parametrize("pidfd", [True, False])
async def test_a_child_whose_own_child_holds_the_link(monkeypatch: pytest.MonkeyPatch, pidfd: bool) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    owner = Owner()
    owner.child("leave a child")
    await owner.until(lambda: owner.deaths)
    assert owner.deaths[0].code == 5 and owner.deaths[0].lived < 10


async def test_cancelling_leaves_no_child() -> None:
    owner = Owner()
    child = owner.child("stubborn", Limits(leave=0.1, terminate=0.1))
    await owner.until(lambda: owner.said)
    waiting = asyncio.create_task(child.ended())
    child.end()
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await owner.until(lambda: owner.deaths)
    assert owner.deaths[0].code == -9


async def test_a_message_that_cannot_be_handled_is_one_message(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    heard: list[str] = []

    def fails(said: Said) -> None:
        heard.append(said.text)
        if said.text == "bad":
            raise ZeroDivisionError

    child = Child(Module("support.child", ""), Said, name="it", on_message=fails, on_end=owner.over, limits=QUICK)
    for text in ("bad", "good"):
        child.tell(Say(text))
    async with asyncio.timeout(20):
        while "good" not in heard:
            await asyncio.sleep(0.01)
    assert heard == ["here", "bad", "good"] and "ZeroDivisionError" in caplog.text
    child.end()
    await child.ended()


# --------------------------------------------------------------------------------------------------- one after another


async def test_killed_again_and_again_there_is_always_another() -> None:
    owner = Owner()
    supervisor = owner.supervisor("", backoff=(0.0,), stable=0.0)
    supervisor.start()
    gaps = []
    for n in range(20):
        await owner.until(lambda n=n: len(owner.said) == n + 1)  # type: ignore[misc]
        pid = supervisor.pid
        assert pid is not None and owner.said[-1].pid == pid
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await owner.until(lambda n=n: len(owner.said) == n + 2)  # type: ignore[misc]
        gaps.append(time.monotonic() - began)
    assert supervisor.restarts == 20 and {death.code for death in owner.deaths} == {-9}
    assert len(set(owner.began)) == 21
    assert sorted(gaps)[10] < 2, gaps
    await supervisor.close()
    assert supervisor.ended is not None and supervisor.ended.code == 0


async def test_deaths_in_a_row_wait_longer_and_a_stable_life_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    supervisor = owner.supervisor("die at once", backoff=(0.0, 0.1, 0.2), stable=60.0)
    supervisor.start()
    await owner.until(lambda: len(owner.deaths) == 4)
    waits = [line.rpartition("in ")[2] for line in caplog.messages if "started again" in line]
    assert waits == ["0 s", "0.1 s", "0.2 s", "0.2 s"]
    assert "a child ended with code 3 (it ended); it is started again in 0.1 s" in caplog.text
    await supervisor.close()
    caplog.clear()
    supervisor = owner.supervisor("die at once", backoff=(0.0, 60.0), stable=0.01)
    supervisor.start()
    await owner.until(lambda: len(owner.deaths) == 7)
    await supervisor.close()
    assert "60 s" not in caplog.text


async def test_while_there_is_none_nothing_is_told_and_closing_starts_no_other() -> None:
    owner = Owner()
    supervisor = owner.supervisor("die at once", backoff=(0.2,))
    supervisor.start()
    assert supervisor.starting
    await owner.until(lambda: owner.deaths)
    assert supervisor.pid is None and supervisor.starting
    assert not supervisor.tell(Say("lost"))
    await supervisor.close()
    await supervisor.close()
    await asyncio.sleep(0.4)
    assert len(owner.began) == 1 and supervisor.restarts == 1


async def test_what_cannot_be_spawned_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    real, failures = Module("support.child", ""), [OSError("no process left")] * 2

    def spawn(theirs: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(theirs)

    supervisor = owner.supervisor("", spawn=spawn, backoff=(0.0,))
    before = open_files()
    supervisor.start()
    assert open_files() == before
    await owner.until(lambda: owner.said)
    assert "could not be started: OSError: no process left" in caplog.text
    assert [death.code for death in owner.deaths] == [None, None]
    await supervisor.close()


async def test_one_that_cannot_be_told_what_it_must_know_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    begin, failures = owner.start, [OSError("no file left")]

    def start(child: Child[Said]) -> None:
        if failures:
            raise failures.pop()
        begin(child)

    owner.start = start  # type: ignore[method-assign]
    supervisor = owner.supervisor("", backoff=(0.0,))
    supervisor.start()
    await owner.until(lambda: owner.said)
    assert [death.reason for death in owner.deaths] == ["it could not be told what it must know: no file left"]
    assert supervisor.pid == owner.began[0] and "Traceback" in caplog.text
    await supervisor.close()


async def test_closing_that_is_cancelled_closes_all_the_same() -> None:
    owner = Owner()
    supervisor = owner.supervisor("stubborn", Limits(leave=0.1, terminate=0.1))
    supervisor.start()
    await owner.until(lambda: owner.said)
    closing = asyncio.create_task(supervisor.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    async with asyncio.timeout(20):
        while supervisor.pid is not None:
            await asyncio.sleep(0.01)
    assert len(owner.began) == 1


# ------------------------------------------------------------------------------------------------ threads


async def test_any_thread_may_tell() -> None:
    owner = Owner()
    supervisor = owner.supervisor("")
    supervisor.start()
    await owner.until(lambda: owner.said)

    def tell() -> None:
        for _ in range(50):
            assert supervisor.tell(Say("x" * 20_000))  # more than the socket holds: the loop sends on

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    await owner.until(lambda: len(owner.said) == 151)
    for thread in threads:
        thread.join()
    await supervisor.close()


def test_a_thread_without_a_loop_runs_one() -> None:
    async def life() -> Ended | None:
        owner = Owner()
        supervisor = owner.supervisor("")
        supervisor.start()
        await owner.until(lambda: owner.said)
        await supervisor.close()
        return supervisor.ended

    ended: list[Ended | None] = []
    thread = threading.Thread(target=lambda: ended.append(asyncio.run(life())))
    thread.start()
    thread.join(30)
    assert ended[0] is not None and ended[0].code == 0
