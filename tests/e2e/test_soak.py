"""The soak in its short form: everything goes wrong at once, and no sound that was accepted is lost.

Losses are counted, nothing is timed: growth, skew and late frames belong to the half hour of `bench/soak.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys

from support.machine import nice
from support.paths import ROOT


def test_no_sound_that_was_accepted_is_lost() -> None:
    with nice(-10):
        command = [sys.executable, str(ROOT / "bench" / "soak.py"), "--quick", "--check"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    whole, blocks = lines["utterances not played whole"], lines["blocks of sound not handed over"]
    assert (whole["value"], blocks["value"], blocks["in_pauses"]) == (0, 0, 0)
    did = whole["did"]
    assert whole["n"] - did.get("sent_too_late", 0) > 10
    assert all(did.get(action) for action in ("say", "cut", "resume", "break_off", "reopen", "viewers")), did
