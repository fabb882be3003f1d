"""What /proc says of cores and threads."""

from __future__ import annotations

import os
import threading
import time

import pytest

from lipwire.cli.density.machine import (
    HERTZ,
    CoreTime,
    by_purpose,
    core_time,
    cores,
    read_stat,
    resident,
    thread_times,
)  # fmt: skip
from lipwire.errors import InvalidArgument

STAT = """cpu  999 1 2 3 4 5 6 7 0 0
cpu0 100 10 50 1000 20 3 7 30 0 0
cpu10 1 1 1 1 1 1 1 1 0 0
cpu1 5 0 5 1000 20 0 0 0 0 0
"""


def test_a_core_works_for_whomever_it_does() -> None:
    assert core_time(0, STAT) == CoreTime(busy=200 / HERTZ, stolen=30 / HERTZ)
    assert core_time(1, STAT) == CoreTime(busy=10 / HERTZ, stolen=0.0)
    assert core_time(min(os.sched_getaffinity(0))).busy > 0


def test_the_name_of_a_thread_may_be_anything() -> None:
    fields = " ".join(["S", "1", "2", *"0" * 8, "150", "50", "0"])
    assert read_stat(f"17 (a) b (c) {fields}") == ("a) b (c", 200 / HERTZ)


def test_what_a_server_does_by_purpose() -> None:
    before = {7: ("python", 1.0), 8: ("lipwire-engine", 2.0), 9: ("python", 0.5)}
    after = {7: ("python", 3.0), 8: ("lipwire-engine", 5.0), 9: ("python", 1.0), 10: ("python", 0.25), 11: ("x", 0.0)}
    assert by_purpose(7, before, after) == {"loop": 2.0, "engine": 3.0, "pools": 0.75}


def test_threads_of_this_process() -> None:
    pid, done = os.getpid(), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert thread.native_id in thread_times(pid)
    finally:
        done.set()
        thread.join()
    before = thread_times(pid)
    until = time.thread_time() + 3 / HERTZ
    while time.thread_time() < until:
        pass
    assert (
        by_purpose(pid, before, thread_times(pid))["loop" if threading.get_native_id() == pid else "pools"] >= 1 / HERTZ
    )
    assert resident(pid) > 1 << 20


def test_one_core_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(InvalidArgument, match="two processors"):
        cores()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 0, 1})
    assert cores() == (3, 0)
