"""The process of models, with the real ones: how long each takes to load, what memory it has then, what each further
agent adds, and what ten agents' turns cost.

A turn is an utterance that is heard (fed as a microphone does, texts so far among it), its end judged, and an answer of
one sentence spoken. The utterance is the voice's own; whether it is understood is other benchmarks' matter.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from harness import Results, main, percentile
from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.host import SETTINGS, ModelHost
from lipwire.models.wire import Answer, Finish, Heard, Judge, Listen, Probability, Request, Sound16, Speak, Spoken

ENGINES: tuple[tuple[Any, str], ...] = (
    ("ears", "whisper-tiny.en"),
    ("voice", "hibari:heart"),
    ("turn", "smart-turn"),
    ("ears", "whisper-base"),
)
HEARD = "I would like to know what the weather is like in the mountains tomorrow."
SAID = "It will be sunny in the morning, with some clouds later."
AGENTS = 10
BLOCK = 3200
"""Bytes of sound that are sent at a time: 100 ms."""


class Doing:
    """A job, from its begin to its end."""

    def __init__(self, host: ModelHost, engine: Any, request: Request) -> None:
        self.answers: list[Answer] = []
        self.first: float | None = None
        self.began = time.monotonic()
        self._end: asyncio.Future[ModelFailed | None] = asyncio.get_running_loop().create_future()
        self.job = host.job(engine, request, self._answered, self._end.set_result)

    def _answered(self, answer: Answer) -> None:
        self.first = self.first or time.monotonic() - self.began
        self.answers.append(answer)

    async def done(self) -> list[Answer]:
        if (failed := await self._end) is not None:
            raise failed
        return self.answers


def cpu(pid: int) -> float:
    """Seconds of a core that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rss(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def sound_of(host: ModelHost, text: str) -> bytes:
    """A text as the voice says it, at 16 kHz."""
    spoken = [a for a in await Doing(host, "voice", Speak("hibari:heart", text)).done() if isinstance(a, Spoken)]
    return resample(b"".join(a.pcm for a in spoken), spoken[0].rate, 16_000)


async def turn(host: ModelHost, pcm: bytes, times: dict[str, list[float]]) -> None:
    """What one agent's turn asks for, in the time that it takes; `times` gets how long each part was waited for."""
    ears = Doing(host, "ears", Listen("en-US"))
    for at in range(0, len(pcm), BLOCK):
        ears.job.send(Sound16(pcm[at : at + BLOCK]))
        await asyncio.sleep(0.1)
    judged, ended = Doing(host, "turn", Judge(pcm)), time.monotonic()
    ears.job.send(Finish())
    heard = (await ears.done())[-1]
    times["text"].append(time.monotonic() - ended)
    assert isinstance(heard, Heard) and heard.text, heard
    (value,) = await judged.done()
    assert isinstance(value, Probability)
    times["judged"].append(judged.first or 0.0)
    voice = Doing(host, "voice", Speak("hibari:heart", SAID))
    await voice.done()
    times["sound"].append(voice.first or 0.0)


async def measure(results: Results, quick: bool) -> None:
    host = ModelHost(SETTINGS, linger=0.0).enter()
    loaded = []
    for engine, what in ENGINES:
        began = time.monotonic()
        before = cpu(pid) if (pid := host.state().pid) else 0.0
        try:
            await host.warm(engine, what)
        except ModelFailed as exc:
            results.skip(what, str(exc))
            continue
        seconds, pid = time.monotonic() - began, host.state().pid or 0
        loaded.append(what)
        results.add(f"load_{what}", cpu(pid) - before, "s of a core", n=1, waited=seconds, process_mb=rss(pid))
    if not {"whisper-tiny.en", "hibari:heart", "smart-turn"} <= {*loaded}:
        await host.close()
        return
    pid = host.state().pid or 0
    pcm = await sound_of(host, HEARD)
    times: dict[str, list[float]] = {"text": [], "judged": [], "sound": []}
    await turn(host, pcm, times)  # once alone
    alone = {name: values.pop() for name, values in times.items()}
    results.add("memory_all_models", rss(pid), "MB", n=1, goal="<= 600", models=loaded)
    open_jobs = [Doing(host, "ears", Listen("en-US", partials=False)) for _ in range(AGENTS)]
    before = rss(pid)
    for one in open_jobs:
        for at in range(0, len(pcm), BLOCK):
            one.job.send(Sound16(pcm[at : at + BLOCK]))
        one.job.send(Finish())
    for one in open_jobs:
        await one.done()
    results.add("memory_each_further_agent", max(rss(pid) - before, 0) / AGENTS, "MB", n=AGENTS, goal="<= 20")
    # In turn: one begins when half of the one before has been said, as people who talk to agents by themselves.
    began, used = time.monotonic(), cpu(pid)
    rounds, tasks = (1 if quick else 3), []
    for _ in range(rounds * AGENTS):
        tasks.append(asyncio.create_task(turn(host, pcm, times)))
        await asyncio.sleep(len(pcm) / 32_000 / AGENTS * 2)
    await asyncio.gather(*tasks)
    took, each = time.monotonic() - began, (cpu(pid) - used) / len(tasks)
    results.add("turn_cpu", each * 1000, "ms of a core", n=len(tasks), share=(cpu(pid) - used) / took)
    for name, values in times.items():
        p50, p95 = (percentile(values, p) * 1000 for p in (50, 95))
        results.add(f"turn_{name}", p50, "ms", n=len(values), p95=p95, alone=alone[name] * 1000)
    state = host.state()
    results.add("turns_missed", len(tasks) - len(times["sound"]), "turns", n=len(tasks), goal="<= 0", slow=state.slow)
    await host.leave()
    await host.close()


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, quick))


if __name__ == "__main__":
    main(run, __doc__)
