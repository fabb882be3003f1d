"""Pools of threads: idle ones end at once, busy ones when they are done, and nobody waits."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading, time
from lipwire.pools import end_pools, pool

idle, busy, go = pool(2, "idle"), pool(1, "busy"), threading.Event()
assert idle.submit(int).result() == 0
work = busy.submit(go.wait)
end_pools()
threads = {thread.name.partition("_")[0]: thread for thread in threading.enumerate()}
if "idle" in threads:
    threads["idle"].join(30)
    assert not threads["idle"].is_alive()
assert threads["busy"].is_alive()
go.set()
assert work.result() is True
threads["busy"].join(30)
assert not threads["busy"].is_alive()
"""


def test_idle_threads_end_at_once_and_busy_ones_when_they_are_done() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
