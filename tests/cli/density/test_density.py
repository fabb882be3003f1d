"""`lipwire bench density`, with its processes, in small: what it counts came, and what it prints says so.

How many a core carries is nothing that a test could say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lipwire.cli.density import talkers
from lipwire.cli.density.command import choose, order
from lipwire.cli.density.lanes import BY_NAME, LANES
from lipwire.cli.density.measure import Build, Result, Settings, find_build
from lipwire.cli.density.report import Report
from lipwire.cli.density.worker import Worker, WorkerFault
from lipwire.errors import InvalidArgument
from support.machine import require

COMMON: dict[str, Any] = {"version": "1", "core": "00000000", "service": True, "webrtc": True}
OLD = Build("before", "/nowhere/python", COMMON | {"wants": False, "units": False, "atlas": False})
NEW = Build("this build", "/nowhere/python3", COMMON | {"wants": True, "units": True, "atlas": True})


def run(*arguments: object, cwd: Path) -> tuple[str, str]:
    lipwire = Path(sys.executable).parent / "lipwire"
    done = subprocess.run(
        [lipwire, "bench", "density", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_what_is_counted_came(tmp_path: Path, say: object) -> None:
    """Two sessions in process, and two with a viewer each, for a second; nothing is pre-encoded for it."""
    require(len(os.sched_getaffinity(0)) > 1, "a second processor")
    file = tmp_path / "density.json"
    options = ("--size", "160x90", "--fps", 10, "--at", 2, "--seconds", 1, "--json", file)
    said, told = run("--paths", "engine,webrtc-vp8", *options, cwd=tmp_path)
    assert "measuring engine, this build" in told and "measuring webrtc-vp8, this build" in told  # no terminal
    found = json.loads(file.read_bytes())
    assert [lane["name"] for lane in found["lanes"]] == ["engine", "webrtc-vp8"]
    engine, webrtc = (lane["results"][0] for lane in found["lanes"])

    window = engine["window"]
    assert window["count"] == 2
    assert window["served"]["blocks"] > 20 and window["served"]["drawn"] > 2
    assert {"loop", "engine"} <= window["spent"].keys() or window["cores"] < 0.1
    assert window["resident"] > engine["least"][1] > 1 << 20

    window = webrtc["window"]
    assert window["seen"]["picture_whole"] > 2 and window["seen"]["sound_whole"] > 10
    assert webrtc["codecs"] == ["VP8"]
    decoded = webrtc["decoded"]
    assert decoded["pictures"] > 2 and decoded["sound"] > 10
    assert not decoded.get("refused") and not decoded.get("faults")
    assert all(
        name in said for name in ("engine: engine alone", "webrtc-vp8: the same", "one viewer's packets, decoded")
    )
    for result in (engine, webrtc):  # whether it was in time is this machine's business
        attempt = result["found"]["attempts"][0]
        assert result["value"] == (0 if attempt["faults"] or attempt["thrown_away"] else 2)


def test_another_build_is_measured_by_its_interpreter(tmp_path: Path) -> None:
    build = find_build("before", sys.executable)
    assert build.features == find_build("this build").features
    assert build.features["service"] and build.features["webrtc"]
    with pytest.raises(InvalidArgument, match="no interpreter"):
        find_build("before", tmp_path)
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho no module named lipwire >&2; exit 1\n")
    bare.chmod(0o755)
    with pytest.raises(InvalidArgument, match="no module named lipwire"):
        find_build("before", bare)


def test_paths_are_chosen_by_name() -> None:
    assert choose(None) == list(LANES)
    assert [lane.name for lane in choose("ws, render")] == ["ws", "render"]
    with pytest.raises(InvalidArgument, match=r"no 'walk'; there are: engine,"):
        choose("engine,walk")
    assert all(lane.rival in {"", *BY_NAME} for lane in LANES)


def test_what_a_build_lacks_is_compared_with_what_it_has_in_its_place() -> None:
    units, x264 = BY_NAME["units"], BY_NAME["x264"]
    assert not units.lacks(NEW.features)
    assert "no access units" in units.lacks(OLD.features) and not x264.lacks(OLD.features)
    assert order([units], [OLD, NEW]) == [(units, OLD), (x264, OLD), (units, NEW)]
    assert order([x264, units], [OLD, NEW]) == [(x264, OLD), (x264, NEW), (units, OLD), (units, NEW)]

    report = Report(Settings(), [OLD, NEW])
    report.results = [
        Result(lane="units", build=OLD.name, lacks=units.lacks(OLD.features)),
        Result(lane="x264", build=OLD.name, value=50),
        Result(lane="units", build=NEW.name, value=300),
        Result(lane="render", build=NEW.name, value=101.5, film={"duration": 30.0, "cpu": 0.3}),
        Result(lane="ws", build=NEW.name, failed="it ended at begin; it said: [nothing]"),
    ]
    assert report.ratio(units) == 6.0
    assert report.ratio(x264) is None
    console = Console(record=True, width=200, file=(sink := open(os.devnull, "w")))  # noqa: SIM115
    report.print(console)
    sink.close()
    said = console.export_text()
    assert "ws (this build): failed: it ended at begin; it said: [nothing]" in said
    assert "6.0x" in said and "101.5x" in said and "this build lacks it: its sessions give pictures only" in said
    assert {lane["name"]: lane["ratio"] for lane in report.to_json()["lanes"]}["units"] == 6.0


def test_messages_are_masked_as_clients_must() -> None:
    for size in (0, 125, 126, 65535, 65536):
        payload = bytes(n % 251 for n in range(size))
        frame = talkers.frame(talkers.TEXT, payload, b"\x01\x02\x03\x04")
        length = frame[1] & 0x7F
        at = 2 + {126: 2, 127: 8}.get(length, 0)
        assert frame[0] == 0x81 and frame[1] & 0x80
        assert (length if at == 2 else int.from_bytes(frame[2:at], "big")) == size
        assert bytes(byte ^ frame[at + n % 4] for n, byte in enumerate(frame[at + 4 :])) == payload


def test_a_process_that_ends_says_why() -> None:
    core = min(os.sched_getaffinity(0))
    with (
        pytest.raises(WorkerFault, match=r"it ended at begin; it said: .*too much"),
        Worker([sys.executable, "-c", "print('{}', flush=True); input(); raise SystemExit('too much')"], core) as one,
    ):
        one.ask("begin")
    with (
        pytest.raises(WorkerFault, match="no answer to begin within 0 s"),
        Worker([sys.executable, "-c", "print('{}', flush=True); input(); input()"], core) as one,
    ):
        one.ask("begin", patience=0.2)
