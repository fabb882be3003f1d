"""Runs a command while every processor has other work, too: python tools/busy.py COMMAND [ARGUMENT ...]

For tests: what passes here asserts what happened, not how fast. Ends with the command's exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys


def work(parent: int) -> None:
    """Computes for as long as there is somebody to compute for."""
    while os.getppid() == parent:
        sum(range(100_000))


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    others = [
        multiprocessing.Process(target=work, args=(os.getpid(),), daemon=True)
        for _ in os.sched_getaffinity(0)  # one for each processor
    ]
    for other in others:
        other.start()
    try:
        return subprocess.run(sys.argv[1:], check=False).returncode
    finally:
        for other in others:
            other.kill()


if __name__ == "__main__":
    sys.exit(main())
