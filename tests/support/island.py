"""A network of two machines, this one and a namespace, for peers that take no loopback address. Nothing leaves it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

OURS, THEIRS = "198.18.77.1", "198.18.77.2"
"""Of the block that RFC 2544 keeps for tests."""


@contextmanager
def island() -> Iterator[tuple[str, list[str]]]:
    """(this machine's address there, what to put before a command that is to run on the other one). Skips the test
    where this process may not make one."""
    name = f"lipwire{os.getpid()}"
    ours, theirs = f"lw{os.getpid()}a", f"lw{os.getpid()}b"
    inside = ["ip", "netns", "exec", name]
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("a network namespace is made by root alone")
    try:
        for command in (
            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name],
            ["ip", "address", "add", f"{OURS}/30", "dev", ours],
            ["ip", "link", "set", ours, "up"],
            [*inside, "ip", "address", "add", f"{THEIRS}/30", "dev", theirs],
            [*inside, "ip", "link", "set", theirs, "up"],
        ):
            subprocess.run(command, check=True)
        yield OURS, inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)  # and with it both ends
