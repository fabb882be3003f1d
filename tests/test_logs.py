"""lipwire/logs.py: few lines of a kind, and a reader that reads nothing holds up nobody."""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipwire import logs
from lipwire.logs import QueueHandler, Sampler, several
from support import abuse
from support.provider_stage import start_body

WAIT = 60


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(message: Any, *args: Any, name: str = "lipwire.x", level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file", 1, message, args, None)


# ------------------------------------------------------------------------------------------------------------ sampling


def test_the_first_of_a_kind_and_then_one_at_a_time_with_a_number() -> None:
    clock = Clock()
    sampler = Sampler(first=3, interval=10, clock=clock)

    def say(count: int) -> list[str]:
        records = [record("[%s] no %s", "s1", n) for n in range(count)]
        return [one.getMessage() for one in records if sampler.filter(one)]

    assert say(1000) == ["[s1] no 0", "[s1] no 1", "[s1] no 2"]
    clock.now += 9.9
    assert say(3) == []
    clock.now += 0.2
    assert say(50) == ["[s1] no 0 (and 1000 more of the kind)"]
    clock.now += 10
    assert say(1) == ["[s1] no 0 (and 49 more of the kind)"]
    clock.now += 10  # nothing was hidden: it begins anew
    assert len(say(10)) == 3


def test_sessions_levels_loggers_and_sentences_are_kinds_of_their_own() -> None:
    sampler = Sampler(first=1, interval=10, clock=Clock())
    kinds = [
        record("[%s] no %s", "s1", 1),
        record("[%s] no %s", "s2", 1),
        record("[s3] no 1"),
        record("[%s] yes %s", "s1", 1),
        record("[%s] no %s", "s1", 1, level=logging.ERROR),
        record("[%s] no %s", "s1", 1, name="lipwire.y"),
        record(ValueError("an object"), name="lipwire.z"),
        record("[%s] unhashable", {}),
    ]
    assert all(sampler.filter(one) for one in kinds)
    assert not any(sampler.filter(one) for one in kinds)


def test_no_more_kinds_are_kept_than_fit() -> None:
    sampler = Sampler(clock=Clock())
    for n in range(3 * logs.KINDS):
        assert sampler.filter(record(f"kind {n}"))
    assert len(sampler._seen) == logs.KINDS


def test_a_logger_is_sampled_once() -> None:
    logger = logs.sampled("lipwire.of-this-test")
    assert logs.sampled("lipwire.of-this-test") is logger
    assert [type(one) for one in logger.filters] == [Sampler]


def test_names_are_bounded() -> None:
    assert several(["a", "b"]) == "'a', 'b'"
    text = several(["x" * 100_000] * 5 + list(range(99_995)))
    assert text.endswith(" and 99995 more")
    assert len(text) < 400


# --------------------------------------------------------------------------------------------------------------- queue


class Reader:
    """Where lines go; it takes them only while `open` is set."""

    def __init__(self) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self.open = threading.Event()

    def write(self, line: bytes) -> None:
        assert self.open.wait(WAIT)
        self.lines.put(line.decode())


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.open.set()


def test_lines_keep_their_order(reader: Reader) -> None:
    reader.open.set()
    handler = QueueHandler(reader.write)
    for n in range(100):
        handler.handle(record("line %d", n))
    assert [reader.lines.get(timeout=WAIT) for _ in range(100)] == [f"line {n}\n" for n in range(100)]


def test_nobody_waits_for_a_reader_and_what_is_dropped_is_told(reader: Reader) -> None:
    handler = QueueHandler(reader.write, waiting=10)
    for n in range(1000):
        handler.handle(record("line %d", n))  # none of them waits, or this would never end
    assert 1000 - handler.dropped in (10, 11)  # one may be in the writer's hands
    dropped = handler.dropped
    reader.open.set()
    assert reader.lines.get(timeout=WAIT) == "line 0\n"
    assert reader.lines.get(timeout=WAIT) == f"{dropped} log lines were dropped: nobody read them\n"


def test_a_line_is_cut(reader: Reader) -> None:
    reader.open.set()
    handler = QueueHandler(reader.write)
    handler.handle(record("x" * 1_000_000))
    assert len(reader.lines.get(timeout=WAIT)) < logs.LINE + 10


def test_what_cannot_be_formatted_or_written_ends_nothing(reader: Reader) -> None:
    reader.open.set()

    def broken(line: bytes) -> None:
        reader.write(line)
        raise BrokenPipeError

    handler = QueueHandler(broken)
    handler.handle(record("%d", "no number"))
    handler.handle(record("\ud800 is no character"))
    assert "'%d' cannot be formatted" in reader.lines.get(timeout=WAIT)
    assert reader.lines.get(timeout=WAIT) == "\\ud800 is no character\n"


def test_the_end_waits_for_a_reader_but_not_for_ever(reader: Reader) -> None:
    handler = QueueHandler(reader.write, waiting=1)
    handler.handle(record("1"))
    handler.handle(record("2"))
    handler.finish(0.01)
    reader.open.set()
    assert reader.lines.get(timeout=WAIT) == "1\n"


# -------------------------------------------------------------------------------------------------- a server, for real


class Served:
    """`lipwire serve` with a stderr pipe of a page."""

    def __init__(self, place: Path, level: str) -> None:
        # fmt: off
        args = ["serve", "--http-port", "0", "--ws-port", "0", "--viewer-port", "0", "--log-level", level, "--max-sessions", "4"]  # noqa: E501
        # fmt: on
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIPWIRE_", "OPENAI_", "AGORA_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lipwire", *args],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.room = fcntl.fcntl(self.process.stderr, 1031, 4096)  # F_SETPIPE_SZ
        printed = ""
        for line in self.process.stdout:
            printed += line.decode()
            if "Ctrl-C" in printed:
                break
        self.url = re.findall(r"^HTTP +(\S+)", printed, re.M)[0]
        self.ws_port = int(re.findall(r"^WebSocket +ws://127.0.0.1:(\d+)", printed, re.M)[0])
        self.key = re.findall(r"^API key +(\S+)", printed, re.M)[0]
        self.secrets = [self.key]

    def start(self) -> dict[str, Any]:
        """A session, of which the log has lines of its own; it takes the place of the one before."""
        body = start_body(avatar_id="unknown-to-us", token="007-a-secret-token")
        reply = httpx.post(f"{self.url}/session/start", json=body, headers={"x-api-key": self.key}, timeout=WAIT)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        self.secrets += [found["session_token"], "007-a-secret-token"]
        return found

    def waiting(self) -> int:
        """Bytes that stand in the pipe."""
        assert self.process.stderr is not None
        count = bytearray(4)
        fcntl.ioctl(self.process.stderr, 0x541B, count)  # FIONREAD
        return int.from_bytes(count, sys.byteorder)

    def flood(self, session: dict[str, Any], frames: bytes) -> None:
        """Over a WebSocket of its own; returns when all of it was handled."""
        with abuse.Conversation(self.ws_port, session["session_id"], session["session_token"]) as talk:
            talk.send(frames + abuse.message("heartbeat", event_id="the end"))
            talk.until(b'"the end"')


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(tmp_path, request.param)
    yield served
    served.process.kill()
    served.process.communicate()


@pytest.mark.parametrize("served", ["debug"], indirect=True)
def test_a_stderr_that_nobody_reads_freezes_nothing(served: Served) -> None:
    while served.waiting() < served.room - 300:  # the pipe is full
        served.start()
    for _ in range(20):
        served.start()
    keys = abuse.message("special", content={f"k{n}": n for n in range(1000)})
    served.flood(served.start(), keys * 100)
    assert httpx.get(f"{served.url}/healthz", timeout=WAIT).status_code == 200
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(WAIT)  # nor does it keep the process from ending


@pytest.mark.parametrize("served", ["debug"], indirect=True)
def test_a_flood_writes_a_few_lines_and_no_secret(served: Served) -> None:
    session = served.start()
    collected: list[bytes] = []
    assert served.process.stderr is not None
    reading = threading.Thread(target=lambda: collected.append(served.process.stderr.read()))  # type: ignore[union-attr]
    reading.start()
    keys = abuse.message("special", content={f"k{n}": n for n in range(1000)})
    bad = abuse.message("special", content={"gesture": "none", "emotion": "none", "state": "none"})
    served.flood(session, keys * 300 + bad * 300 + abuse.message("init", **start_body()) * 300)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(WAIT)
    reading.join()
    text = collected[0].decode()
    assert 0 < text.count("not acted on") <= 2 * logs.FIRST
    assert "'k0', 'k1', 'k2', 'k3', 'k4' and 995 more are not acted on" in text
    assert text.count("init again") <= 2 * logs.FIRST
    assert len(text) < 100_000
    assert not [secret for secret in served.secrets if secret in text]
