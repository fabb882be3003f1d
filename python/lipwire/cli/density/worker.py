"""A process that takes orders, a line of JSON each, and answers each with one; bound to a core."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ...errors import LipwireError

PATIENCE = 300.0
"""Seconds for an answer: a thousand sessions take a while to start."""


class WorkerFault(LipwireError, RuntimeError):
    """A process of the benchmark's has ended, or gives no answer; the message has the end of what it said."""

    code = "BENCH_FAULT"


class Worker:
    """Use as a context manager: it has said hello within, and is gone behind.

    Args:
        command: what to run. core: the only one that it gets. environment: besides this process's own.
    """

    def __init__(self, command: list[str], core: int, environment: Mapping[str, str] | None = None) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is open for as long as the process is
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self.hello: dict[str, Any] = {}
        """Its first line."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.hello = self._answer("start", PATIENCE)
        except BaseException:
            self.close()
            raise
        return self

    def ask(self, do: str, *, patience: float = PATIENCE, **more: Any) -> dict[str, Any]:
        """Gives an order; what it answers.

        Raises:
            WorkerFault: it has ended, or does not answer within `patience` seconds.
        """
        self.tell(do, **more)
        return self._answer(do, patience)

    def tell(self, do: str, **more: Any) -> None:
        """Gives an order whose answer is read by `answer`, so that several may work at once."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer, and that says why
            self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """See `tell`. Raises WorkerFault."""
        return self._answer("answer", PATIENCE)

    def _answer(self, what: str, patience: float) -> dict[str, Any]:
        out = self._process.stdout
        assert out is not None
        # One order, one line: there is never a second one in the buffer that `select` does not see.
        if not select.select([out], [], [], patience)[0]:
            raise WorkerFault(f"no answer to {what} within {patience:.0f} s; it said: {self._last_words()}")
        if not (line := out.readline()):
            raise WorkerFault(f"it ended at {what}; it said: {self._last_words()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()[-2000:] or "nothing"

    def close(self) -> None:
        """Ends it. Safe to call twice."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._said.close()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_once(command: list[str], core: int | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises WorkerFault where it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise WorkerFault(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
