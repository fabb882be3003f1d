"""Atlases that a process of its own makes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import CancelledError
from fractions import Fraction

import pytest

from lipwire import pools
from lipwire.atlas.apart import RUN, make_apart
from lipwire.avatar import Avatar
from lipwire.errors import BadState

OHM = "ohm", "96", "54", "25"


def test_what_is_wrong_there_is_told_here() -> None:
    with pytest.raises(BadState, match="cannot be pre-encoded"):  # too small a face
        make_apart(Avatar.load("ohm"), 96, 54, Fraction(25))


def test_it_ends_with_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = pools.threading.Event()
    ended.set()
    monkeypatch.setattr("lipwire.atlas.apart.ended", ended)
    with pytest.raises(CancelledError):
        make_apart(Avatar.load("ohm"), 96, 54, Fraction(25))
    process = subprocess.Popen([sys.executable, "-c", RUN, *OHM], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 1
    assert process.stderr is not None and process.stderr.read() == b""
    process.stderr.close()
