"""Runs a lane in a build: the two processes, windows of some seconds, and what each of them says."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from ...audio import espeak
from ...audio.resample import resample
from ...errors import InvalidArgument
from .lanes import Lane
from .machine import by_purpose, core_time, cores, resident, thread_times
from .search import Attempt, Found, search
from .worker import Worker, WorkerFault, run_once

SERVED = Path(__file__).with_name("served.py")
TEXT = (
    "Good morning! I have looked at your order, and I think I know what has happened. The parcel left our house on "
    "Monday, came to the wrong town on Tuesday, and has been waiting there for somebody to notice ever since. People "
    "move more boxes in a week than anybody could count, and now and then one of them goes astray. I can send you a "
    "new one today, or pay your money back, whichever you would like better. Shall I do that for you now?"
)
MOST = 1024
"""Sessions that a process takes."""
BLOCKS = 100
"""Of sound, a second."""
CAME = {"pictures": ("drawn",), "units": ("units", "drawn"), "x264": ("encoded",)}
"""What a sink counts pictures as that have come; first as those that were to come."""
SIZES = ("unit_bytes", "encoded_bytes", "picture_bytes")
FILM = 30.0
"""Seconds of speech of the film that is made."""
SERVER_FAULTS = (
    "late_pictures",
    "missing_pictures",
    "late_sound",
    "lost_blocks",
    "late",
    "underruns",
    "pcm_dropped",
    "lost_ticks",
    "sound_dropped",
    "pictures_dropped",
)
"""Of what the server counts, what must be zero: `late` are pictures that were not drawn."""
CLIENT_FAULTS = (
    "lost_ms",
    "underruns",
    "late_starts",
    "overdue",
    "errors",
    "disconnected",
    "viewers_without_media",
    "picture_lost",
    "picture_missing",
    "picture_late",
    "sound_lost",
    "sound_missing",
    "sound_late",
)
"""Of what clients and viewers see."""


class Settings(Struct, frozen=True, kw_only=True):
    """What is the same for all lanes and builds."""

    avatar: str = "aria"
    size: str = "640x360"
    fps: int = 25
    rate: int = 24000
    """Hz of the speech."""
    seconds: float = 6.0
    """Of a window,"""
    settle: float = 3.0
    """and between the start of sessions and it."""
    limit: int = 1024
    at: int | None = None
    """This count alone, in one window: where the time goes."""


class Build(Struct, frozen=True):
    """An interpreter with a lipwire."""

    name: str
    python: str
    features: dict[str, Any]


def find_build(name: str, place: str | Path | None = None) -> Build:
    """The build of this interpreter, or the one at `place`: an interpreter, or a folder with `.venv` in it.

    Raises:
        InvalidArgument: there is none.
    """
    python = Path(sys.executable) if place is None else Path(place)
    if python.is_dir():
        python = python / ".venv" / "bin" / "python"
    if not python.exists():
        raise InvalidArgument(f"--before: no interpreter at {python}; give one that has a lipwire, or its working tree")
    try:
        features = json.loads(run_once([str(python), "-P", str(SERVED), "features"]))
    except WorkerFault as exc:
        raise InvalidArgument(f"{python} has no lipwire that can be measured: {exc}") from exc
    return Build(name, str(python), features)


class Window(Struct, kw_only=True):
    """What was seen in one."""

    count: int
    faults: dict[str, int]
    thrown_away: str
    done: float
    """Share of the pictures that were due, or of the sound where there are none, that came at all."""
    cores: float
    """Processor time of the server over the time of the window,"""
    spent: dict[str, float]
    """by what its threads are, in the same unit."""
    others: float
    """What others, and the system for the network, used of its core; of it"""
    stolen: float
    """taken by the machine below this one."""
    resident: int
    """Bytes of the server."""
    generator_cores: float = 0.0
    generator_late_ms: float = 0.0
    """How late the generator was at worst."""
    worst_ms: float = 0.0
    """How late anything was at worst."""
    mouth_p50_ms: float | None = None
    """From the first byte of an utterance, as it has come, to the first picture of an open mouth handed over."""
    start_p50_ms: float | None = None
    """From the first byte of an utterance to the news that it is heard, at the client,"""
    start_p99_ms: float | None = None
    served: dict[str, int]
    """All that the server counted,"""
    seen: dict[str, int]
    """and its clients and viewers."""

    def bits_each(self, seconds: float) -> float:
        """Bit/s of pictures that one was given; 0: none that were encoded."""
        size = sum(counts.get(name, 0) for counts in (self.served, self.seen) for name in SIZES)
        return 8 * size / seconds / self.count


class Result(Struct, kw_only=True):
    """A lane in a build."""

    lane: str
    build: str
    value: float = 0.0
    """How many hold: sessions, viewers, or times real time."""
    lacks: str = ""
    """Why the build has it not,"""
    failed: str = ""
    """or why it could not be measured."""
    found: Found | None = None
    window: Window | None = None
    """The last one of the largest count that holds."""
    least: tuple[int, int] = (0, 0)
    """The smallest count that was tried, and bytes of the server then: what all sessions share is there. Before that,
    (0, bytes of the server without a session)."""
    codecs: tuple[str, ...] = ()
    """What pictures came as, where there are viewers,"""
    decoded: dict[str, int] = {}
    """and what the packets of the first of them were, decoded."""
    film: dict[str, float] = {}

    @property
    def by_processor(self) -> float | None:
        """How many a core would carry if it could be used to its last cycle: what that window did, extrapolated."""
        window = self.window
        return None if window is None or not window.cores else window.count * window.done / window.cores

    @property
    def bytes_each(self) -> float | None:
        """Memory of one more."""
        window, (count, resident) = self.window, self.least
        return (
            None if window is None or window.count <= count else (window.resident - resident) / (window.count - count)
        )


class Measurement:
    """Runs lanes. Use as a context manager: the speech is a file within.

    Args:
        note: called with a line about what is done now.
    """

    def __init__(self, settings: Settings, note: Callable[[str], None]) -> None:
        self.settings, self._note = settings, note
        self._stack = contextlib.ExitStack()
        self._key = secrets.token_hex(16)
        self.preencoded: dict[str, str] = {}
        """What builds said of their tables of pictures, by their names."""
        self.server_core, self.generator_core = cores()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lipwire-density-")))
        self._raw, self._wav, self._film = folder / "speech.pcm", folder / "speech.wav", folder / "film.mp4"
        rate = self.settings.rate
        pcm = resample(*espeak.synthesize(TEXT), rate)
        self._raw.write_bytes(pcm)
        with wave.open(str(self._wav), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((pcm * (1 + int(FILM * rate * 2 / len(pcm))))[: int(FILM * rate) * 2])
        return self

    def __exit__(self, *what: object) -> None:
        self._stack.close()

    def run(self, lane: Lane, build: Build) -> Result:
        """One lane in one build. What goes wrong in it is told in the result: others may go on."""
        result = Result(lane=lane.name, build=build.name, lacks=lane.lacks(build.features))
        if not result.lacks:
            try:
                self._run(lane, build, result)
            except WorkerFault as exc:
                result.failed = str(exc)
        return result

    def _run(self, lane: Lane, build: Build, result: Result) -> None:
        if lane.preencoded and build.features["atlas"]:
            self._preencode(build)
        if lane.what == "times real time":
            self._render(build, result)
            return
        with self._trial(lane, build, result) as trial:
            if self.settings.at is not None:
                attempt = trial.attempt(self.settings.at)
                result.found = Found(attempt.count if attempt.holds else 0, None, attempt.thrown_away, [attempt])
                result.window = trial.windows[-1]
            else:
                limit = min(self.settings.limit, MOST)
                result.found = search(trial.attempt, min(lane.first, limit), limit)
                holding = [window for window in trial.windows if window.count == result.found.holds]
                if holding and trial.windows[0].count < result.found.holds:
                    result.least = (trial.windows[0].count, trial.windows[0].resident)
                result.window = holding[-1] if result.found.holds else None
            result.value = result.found.holds

    def _preencode(self, build: Build) -> None:
        """Makes a build's table of pictures, once."""
        if build.name in self.preencoded:
            return
        settings = self.settings
        self._note(f"{build.name}: pre-encoding {settings.avatar} at {settings.size}")
        command = [build.python, "-m", "lipwire", "avatar", "preencode", settings.avatar]
        said = run_once([*command, "--size", settings.size, "--fps", str(settings.fps)], environment={"COLUMNS": "400"})
        self.preencoded[build.name] = "\n".join(said.strip().splitlines()[1:])  # the first is where it lies

    def _render(self, build: Build, result: Result) -> None:
        settings = self.settings
        self._note(f"{build.name}: a film of {FILM:.0f} s")
        command = [build.python, "-P", str(SERVED), "render", str(self._wav), str(self._film)]
        command += [settings.avatar, settings.size, str(settings.fps)]
        result.film = json.loads(run_once(command, self.server_core))
        result.value = result.film["speed"]

    @contextlib.contextmanager
    def _trial(self, lane: Lane, build: Build, result: Result) -> Iterator[Trial]:
        """The two processes of a lane."""
        settings, environment = self.settings, {"DENSITY_KEY": self._key}
        common = [settings.avatar, settings.size, str(settings.fps)]
        served = [build.python, "-P", str(SERVED), "serve", lane.mode, lane.wants]
        with contextlib.ExitStack() as stack:
            self._note(f"{build.name}, {lane.name}: starting")
            server = stack.enter_context(
                Worker([*served, str(self._raw), str(settings.rate), *common], self.server_core, environment)
            )
            generator = None
            if lane.mode == "service":
                command = [sys.executable, "-m", "lipwire.cli.density.generator", server.hello["http"]]
                command += [server.hello["viewer"], str(self._raw), str(settings.rate), str(lane.chunk_ms), *common]
                generator = stack.enter_context(Worker([*command, lane.codec], self.generator_core, environment))
            result.least = (0, resident(server.hello["pid"]))
            trial = Trial(self, lane, build, server, generator)
            try:
                yield trial
            finally:
                result.codecs = tuple(trial.codecs)
            if generator is not None and lane.wants == "viewers":
                result.decoded = generator.ask("decoded")

    def note(self, line: str) -> None:
        """Says what is done now."""
        self._note(line)


class Trial:
    """A server and its generator, at any count."""

    def __init__(self, of: Measurement, lane: Lane, build: Build, server: Worker, generator: Worker | None) -> None:
        self._of, self._lane, self._build, self._server, self._generator = of, lane, build, server, generator
        self._pid: int = server.hello["pid"]
        self.windows: list[Window] = []
        self.codecs: list[str] = []

    def attempt(self, count: int) -> Attempt:
        """One window with so many."""
        settings = self._of.settings
        self._of.note(f"{self._build.name}, {self._lane.name}: {count}")
        refused = self._set(count)
        if refused:
            return Attempt(count, {"refused": 1}, "")
        time.sleep(settings.settle)
        window = self._window(count)
        self.windows.append(window)
        return Attempt(count, window.faults, window.thrown_away)

    def _set(self, count: int) -> str:
        """Makes it so many; why that cannot be, where it cannot."""
        if self._generator is None:
            self._server.ask("set", sessions=count)
            return ""
        viewers = self._lane.what == "viewers"
        order = {"sessions": 1, "viewers": count} if viewers else {"sessions": count, "viewers": self._lane.viewers}
        reply = self._generator.ask("set", **order)
        self.codecs = reply.get("codecs", self.codecs)
        self._server.ask("set")
        return str(reply.get("error", ""))

    def _window(self, count: int) -> Window:
        workers = [worker for worker in (self._generator, self._server) if worker is not None]
        for worker in workers:
            worker.ask("begin")
        pid, core = self._pid, self._of.server_core
        began, threads, before = time.monotonic(), thread_times(pid), core_time(core)
        time.sleep(self._of.settings.seconds)
        elapsed, after = time.monotonic() - began, core_time(core)
        spent = by_purpose(pid, threads, thread_times(pid))
        for worker in workers:
            worker.tell("end")
        told = [worker.answer() for worker in workers]
        served = told[-1]
        seen = told[0] if self._generator is not None else {"counts": {}}
        used = sum(spent.values()) / elapsed
        return Window(
            count=count,
            faults=self._faults(served["counts"], seen["counts"]),
            thrown_away=self._late(seen.get("late_ms", 0.0), seen.get("cpu", 0.0)),
            done=self._done(count, elapsed, served["counts"], seen["counts"]),
            cores=used,
            spent={purpose: seconds / elapsed for purpose, seconds in spent.items()},
            others=max(0.0, (after.busy - before.busy) / elapsed - used),
            stolen=(after.stolen - before.stolen) / elapsed,
            resident=resident(pid),
            generator_cores=seen.get("cpu", 0.0),
            generator_late_ms=seen.get("late_ms", 0.0),
            worst_ms=max(served["worst_ms"], seen.get("worst_ms", 0.0)),
            mouth_p50_ms=served["mouth_p50_ms"],
            start_p50_ms=seen.get("start_p50_ms"),
            start_p99_ms=seen.get("start_p99_ms"),
            served=served["counts"],
            seen=seen["counts"],
        )

    def _done(self, count: int, elapsed: float, served: dict[str, int], seen: dict[str, int]) -> float:
        """See `Window.done`."""
        lane, pictures = self._lane, count * elapsed * self._of.settings.fps
        if lane.wants == "viewers":
            viewers = 1 if lane.what == "viewers" else lane.viewers
            return min(1.0, seen.get("picture_whole", 0) / (pictures * viewers))
        if lane.wants == "nothing":
            return min(1.0, served.get("blocks", 0) / (count * elapsed * BLOCKS))
        return min(1.0, sum(served.get(name, 0) for name in CAME[lane.wants]) / pictures)

    def _faults(self, served: dict[str, int], seen: dict[str, int]) -> dict[str, int]:
        """What was late, lost or missing. A window in which nothing came at all is one, too."""
        faults = {name: served[name] for name in SERVER_FAULTS if served.get(name)}
        faults |= {f"client_{name}": seen[name] for name in CLIENT_FAULTS if seen.get(name)}
        if self._lane.wants != "viewers" and not served.get("blocks"):
            faults["no_sound"] = 1
        if (came := CAME.get(self._lane.wants)) and not served.get(came[0]):
            faults[f"no_{came[0]}"] = 1
        return faults

    def _late(self, late_ms: float, used: float) -> str:
        """Why a window says nothing: the generator could not keep up, so that what was late may have been its own."""
        allowed = 500 / self._of.settings.fps
        if late_ms > allowed:
            return f"the generator was late by {late_ms:.0f} ms"
        return f"the generator used {100 * used:.0f} % of its core" if used > 0.9 else ""
