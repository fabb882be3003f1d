"""The rig as a whole, in a short form: real servers, real NATS, real faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipwire.audio import espeak
from lipwire.cli.rig import network
from lipwire.cli.rig.processes import descendants
from support.machine import alive, require

COMMAND = [sys.executable, "-m", "lipwire", "bench", "cluster"]
BUSY = ["--set", "max_late_percent=0", "--set", "max_busy_percent=0", "--set", "max_lag_ms=0"]
"""Nodes that refuse nothing for want of time: other tests run beside this one."""


@pytest.fixture(autouse=True)
def _needs() -> None:
    require(shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), "nats-server")
    require(espeak.available(), "espeak-ng")


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files, with a path that is short enough for sockets; nothing must be left in it."""
    place = Path(tempfile.mkdtemp(prefix="lwt", dir="/tmp"))
    yield place
    left = [path.name for path in place.iterdir() if path.name != "result.json"]
    shutil.rmtree(place)
    assert left == []


def bench(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what it wrote as JSON, and what it said."""
    file = folder / "result.json"
    environment = os.environ | {"COLUMNS": "200", "TMPDIR": str(folder)}
    done = subprocess.run(
        [*COMMAND, *BUSY, "--json", str(file), *options], capture_output=True, text=True, check=False, timeout=240,
        env=environment,
    )  # fmt: skip
    assert file.exists(), done.stderr
    return done.returncode, json.loads(file.read_bytes()), done.stdout + done.stderr


def fault(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["faults"] if one["fault"].startswith(name))
    return found


@pytest.mark.slow
def test_nodes_workers_and_nats_fail_and_nothing_is_lost_but_theirs(folder: Path) -> None:
    faults = ("kill:node1/1@4", "restart:nats@9+1", "freeze:node3@13+4", "kill:node2@20", "full:all@25+4")
    code, result, said = bench(
        folder,
        *("--network", "loopback", "--nodes", "3", "--workers", "2", "--places", "4", "--seconds", "32"),
        *("--rate", "1.2", "--call-seconds", "6", "--watched", "1", "--size", "320x180"),
        *(word for one in faults for word in ("--fault", one)),
    )
    assert code == 0, said
    assert (result["lost"], result["doubled"], result["missing"], result["left_over"]) == ([], 0, 0, 0)
    assert result["left"] == [] and result["wrong"] == []
    assert "loopback" in result["network"]
    starts = result["starts"]
    assert starts["placed"] >= 10 and starts["failed"] == 0
    assert result["utterances"] > 0

    worker = fault(result, "kill:node1/1")
    assert worker["started"] is not None and worker["ended"] is not None
    assert len(worker["reported"]) == worker["asked"]
    if worker["asked"]:
        assert "SIGKILL" in worker["words"]
    nats = fault(result, "restart:nats")
    assert nats["noticed"] == 0 and nats["recovered"] is not None
    node = fault(result, "kill:node2")
    assert node["known"] is not None and len(node["reported"]) == node["asked"]
    assert fault(result, "freeze:node3")["started"] is not None
    full = fault(result, "full:all")
    assert full["refused"] > 0 and full["hint"] == full["refused"]
    assert full["started"] is not None  # freed, and starts are placed again
    assert {one["node"] for one in result["memory"]} == {"node1", "node3"}


@pytest.mark.slow
def test_a_node_that_is_cut_off_is_avoided(folder: Path) -> None:
    require(not network._hindrance(), "network namespaces")
    code, result, said = bench(
        folder,
        *("--network", "namespaces", "--nodes", "2", "--workers", "1", "--seconds", "18", "--rate", "1"),
        *("--call-seconds", "5", "--watched", "0", "--fault", "cut:node2@5+5", "--fault", "end:node1@14"),
    )
    assert code == 0, said
    cut = fault(result, "cut:node2")
    assert cut["known"] is not None and cut["started"] is not None
    assert fault(result, "end:node1")["ended"] is not None
    assert result["left"] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended_itself(number: signal.Signals, folder: Path) -> None:
    rig = subprocess.Popen(
        [*COMMAND, *BUSY, "--nodes", "1", "--workers", "2", "--seconds", "60", "--fault", "kill:nats@50"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(folder)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # of tests that run in a shell's background
    )  # fmt: skip
    try:
        assert rig.stderr is not None
        for line in rig.stderr:
            if line.startswith("calls come"):
                break
        time.sleep(1)
        pids = [one.pid for one in descendants(rig.pid)]
        assert len(pids) >= 4  # NATS, the front process, two workers
        rig.send_signal(number)
        code = rig.wait(40)
    finally:
        rig.kill()
        rig.communicate()
    assert code in (130, 143, -signal.SIGKILL)
    until = time.monotonic() + 15
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, pids))
    if number == signal.SIGKILL:  # the next run takes away what it could not, but for its folder
        network.sweep()
        for path in folder.iterdir():
            shutil.rmtree(path)
    assert network.left(rig.pid) == []


@pytest.mark.parametrize(
    "options, why",
    [
        (["--fault", "kill:node9@1"], "there are 3 nodes"),
        (["--network", "loopback", "--fault", "cut:node1@1"], "namespaces"),
        (["--set", "http_port=1"], "http_port"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--scaling", "--fault", "kill:node1@1"], "--scaling"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: list[str], why: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error:") and why in done.stderr
