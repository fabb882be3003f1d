"""servers/turns.py: who works when, counted with a clock that only work moves."""

from __future__ import annotations

import asyncio

import pytest

from lipwire.servers.turns import Turn, Turns

pytestmark = pytest.mark.asyncio

STEP = 0.001


class Work:
    """Connections that work in steps; `done` is who did each, with the pass of the loop in which it was done."""

    def __init__(self, slice: float = 1.5 * STEP) -> None:
        self.now = 0.0
        self.turns = Turns(slice=slice, clock=lambda: self.now)
        self.done: list[tuple[str, int]] = []

    def step(self, name: str, turn: Turn, seconds: float = STEP) -> None:
        with turn:
            self.now += seconds
            self.done.append((name, self.turns.passes))

    async def run(self, name: str, steps: int, seconds: float = STEP) -> None:
        turn = self.turns.join()
        for _ in range(steps):
            await turn.ready()
            self.step(name, turn, seconds)

    def most_in_a_pass(self) -> int:
        passes = [number for _, number in self.done]
        return max(passes.count(number) for number in passes)


async def test_who_is_alone_waits_only_for_the_loop_to_pass() -> None:
    work = Work()
    passes = 0

    async def others() -> None:
        nonlocal passes
        while len(work.done) < 100:
            passes += 1
            await asyncio.sleep(0)

    await asyncio.gather(work.run("a", 100), others())
    assert work.most_in_a_pass() == 2
    assert passes >= 50


async def test_a_pass_holds_no_more_than_a_slice_and_one_step() -> None:
    work = Work(slice=2.5 * STEP)
    await asyncio.gather(*(work.run(str(n), 40) for n in range(10)))
    assert len(work.done) == 400
    assert work.most_in_a_pass() == 3


async def test_all_get_the_same_time_whatever_their_steps_cost() -> None:
    work = Work()
    jobs = [asyncio.create_task(work.run(name, 10_000, cost)) for name, cost in (("dear", 4 * STEP), ("cheap", STEP))]
    while len(work.done) < 1000:
        await asyncio.sleep(0)
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    names = [name for name, _ in work.done]
    assert abs(names.count("cheap") - 4 * names.count("dear")) <= 8


async def test_who_says_little_is_next() -> None:
    work = Work()
    floods = [asyncio.create_task(work.run(f"flood{n}", 10_000)) for n in range(50)]
    while len(work.done) < 1000:
        await asyncio.sleep(0)
    quiet = work.turns.join()
    for _ in range(20):
        before = len(work.done)
        await quiet.ready()
        work.step("quiet", quiet, STEP / 10)
        assert len(work.done) - before <= 7  # two passes or three, not fifty turns
        while len(work.done) < before + 200:
            await asyncio.sleep(0)
    for flood in floods:
        flood.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


async def test_callbacks_take_turns_too() -> None:
    work = Work()
    turn, left = work.turns.join(), 20
    finished = asyncio.Event()

    def step() -> None:
        nonlocal left
        work.step("callback", turn)
        left -= 1
        if left:
            turn.call(step)
        else:
            finished.set()

    turn.call(step)
    await asyncio.gather(work.run("task", 20), finished.wait())
    assert [name for name, _ in work.done].count("callback") == 20
    assert work.most_in_a_pass() <= 3


async def test_one_that_is_cancelled_while_it_waits_holds_nobody_up() -> None:
    work = Work()
    flood = asyncio.create_task(work.run("flood", 200))
    gone = asyncio.create_task(work.run("gone", 200))
    while not any(name == "gone" for name, _ in work.done):
        await asyncio.sleep(0)
    gone.cancel()
    await flood
    assert [name for name, _ in work.done].count("flood") == 200


async def test_what_cannot_be_measured_is_charged() -> None:
    work = Work()
    turn = work.turns.join()
    turn.charge(10 * STEP)
    assert not turn.free
    await turn.ready()
    assert work.turns.passes == 1
