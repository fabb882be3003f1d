"""What this machine has, and what this process runs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT

AGORA = ROOT / "build" / "agora"


CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FIREFOX = ("firefox-esr", "firefox")


def require(present: object, what: str) -> None:
    """Where `what` is missing the test is skipped; in CI (CI=true) that is a failure."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing, and in CI nothing may be")
        pytest.skip(f"{what} is missing")


def engine_threads() -> list[str]:
    """Names of the engine threads that run in this process."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:  # it ended meanwhile
            continue
    return [name for name in names if name.startswith("lipwire-engine")]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def nice(value: int) -> Iterator[None]:
    """This thread alone has another nice value meanwhile, where that is permitted: what is looked at goes before what
    other tests do."""
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, value)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, before)
