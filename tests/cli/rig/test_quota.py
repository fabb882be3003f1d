"""Parts of a processor."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from lipwire.cli.density.search import Attempt, Found
from lipwire.cli.rig.quota import PERIOD_US, V1, V2, Quotas
from lipwire.cli.rig.scaling import Carried, Scaling, _seconds
from lipwire.errors import BadState
from support.machine import require


def test_a_process_gets_its_part_and_no_more() -> None:
    usable = os.geteuid() == 0 and ((V1 / "cgroup.procs").exists() or "cpu" in _text(V2 / "cgroup.controllers"))
    require(usable, "a cgroup controller 'cpu' that this process may use")
    with Quotas(0.2) as quotas:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            quotas.hold("busy", busy.pid)
            time.sleep(0.3)
            before, began = _seconds(busy.pid), time.monotonic()
            time.sleep(1.5)
            share = (_seconds(busy.pid) - before) / (time.monotonic() - began)
            assert share < 0.26
            periods, throttled = quotas.throttled("busy")
            assert throttled > 0.8 * periods > 0
        finally:
            busy.kill()
            busy.wait()
        root = quotas._root
        assert root.exists()
    assert not root.exists()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_version_two_is_written_as_it_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    with Quotas(0.5, v1=tmp_path / "none", v2=tmp_path) as quotas:
        assert quotas.version == 2
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
        quotas.hold("0", 4711)
        group = quotas._root / "0"
        assert (group / "cpu.max").read_text() == f"{PERIOD_US // 2} {PERIOD_US}"
        assert (group / "cgroup.procs").read_text() == "4711"
        (group / "cpu.stat").write_text("usage_usec 5\nnr_periods 8\nnr_throttled 3\nthrottled_usec 1500000\n")
        assert quotas.throttled("0") == (8, 3)
        for path in (*group.iterdir(), *(p for p in quotas._root.iterdir() if p.is_file())):
            path.unlink()  # the system does that by itself


def test_who_may_not_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BadState, match="root"):
        Quotas(0.5)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BadState, match="controller 'cpu'"):
        Quotas(0.5, v1=tmp_path / "none", v2=tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu")
    (tmp_path / "cgroup.subtree_control").mkdir()  # as where processes stand in the group itself
    with pytest.raises(BadState, match="no cgroup can be made"), Quotas(0.5, v1=tmp_path / "none", v2=tmp_path):
        pass


def ends(holds: int, fails: int) -> Found:
    """A search that has come to its end."""
    return Found(holds, fails, attempts=[Attempt(fails, {"late_pictures": 3})])


@pytest.mark.parametrize(
    "one, two, ratio",
    [
        (ends(20, 21), ends(39, 41), 1.95),
        (ends(20, 21), Found(64, None), None),  # to the limit
        (ends(0, 8), ends(8, 9), None),
        (Found(20, None, "the generator was late"), ends(39, 41), None),
    ],
)
def test_two_over_one_is_said_where_both_end(one: Found, two: Found, ratio: float | None) -> None:
    both = enumerate((one, two), 1)
    carried = [Carried(workers=n, found=found, cores=[0.5], front=0.0, throttled=[0.1]) for n, found in both]
    scaling = Scaling(cores=0.5, cgroup=2, viewers=1, size="640x360", carried=carried)
    assert scaling.ratio == ratio
    out = io.StringIO()
    scaling.print(Console(file=out, width=200))
    assert ("1.95 times" if ratio else "cannot be said") in out.getvalue()
    assert scaling.to_json()["ratio"] == ratio
