"""cli/top.py: the table, and the command against a server that runs."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from cli.test_keys import Running
from cli.test_main import LIPWIRE, WAIT, environment, fails, place, run
from lipwire.cli.top import Frames, frames, shown, summary
from lipwire.cluster.view import ClusterView, NodeView, State, WorkerView
from lipwire.cluster.wire import Figures
from support.ports import free_ports

__all__ = ["place"]
KEY = {"LIPWIRE_API_KEY": "the key"}


def worker(index: int, state: State = "up", *, restarts: int = 0, **figures: object) -> WorkerView:
    doing = msgspec.convert({"type": "Figures", "sessions": 4, "cpu": 0.25, "frames": 100} | figures, Figures)
    return WorkerView(
        index=index, pid=100 + index, state=state, used=2500, capacity=50_000, restarts=restarts, figures=doing
    )


def cluster(late: int = 0, frames: int = 100) -> ClusterView:
    one = [worker(0, late=late, frames=frames, queued=3), worker(1, skew_ms=80.0, overloaded="it is late", restarts=1)]
    other = NodeView(name="b", state="silent", seen=4.0, workers=[worker(0, "full")])
    nodes = [NodeView(name="a", state="up", workers=one), other]
    return ClusterView(nodes=nodes, asked="a", nats="connected", placed=7, refused=1, reserve_ms=1.25)


def text(view: ClusterView, before: Frames | None = None, width: int = 160) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown(view, before or {}, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_every_node_and_every_worker_has_a_row() -> None:
    head, *rows = text(cluster())
    names = head.split()
    assert [row.split()[0] for row in rows[:4]] == ["a", "0", "1", "b"]
    cells = dict(zip(names, rows[1].replace(" ms", "ms").replace(" s ", "s ").split(), strict=True))
    assert (cells["state"], cells["pid"], cells["sessions"], cells["CPU"]) == ("up", "100", "4", "25%")
    assert (cells["used"], cells["queue"], cells["restarts"]) == ("2.5/50", "3", "0")
    assert " 8 " in rows[0] and "50%" in rows[0] and "5.0/100" in rows[0]  # of a node: the sum
    assert "80 ms" in rows[0]  # and the worst
    assert rows[3].startswith("b (4 s ago)  silent")
    assert "a/1: it is late" in rows[4]


@pytest.mark.parametrize("width", [70, 80, 100, 130])
def test_where_there_is_little_room_columns_go_and_none_is_cut(width: int) -> None:
    head, *rows = text(cluster(), width=width)
    assert all(len(line) <= width for line in (head, *rows))
    assert "…" not in head + "".join(rows)
    assert {"node", "state", "sessions", "used", "CPU", "skew", "late", "queue"} <= set(head.split())


def test_late_pictures_are_of_the_time_between_two_looks() -> None:
    first, second = cluster(late=50, frames=50), cluster(late=51, frames=149)
    at = text(first)[0].split().index("late")

    def late(view: ClusterView, before: Frames | None = None) -> str:
        return text(view, before)[2].replace(" ms", "ms").split()[at]

    assert late(first) == "50.0%"
    assert late(second, frames(first)) == "1.0%"


def test_the_last_line_counts_all() -> None:
    assert summary(cluster()) == (
        "2 nodes · 3 workers · 12 sessions · 0 agents · 7 placed, 1 refused by a · a place is found in 1.2 ms · "
        "NATS connected"
    )


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").touch()
    return Running(folder)


@pytest.fixture(scope="module", autouse=True)
def _it_ends(server: Running) -> object:
    yield
    server.process.kill()
    server.process.communicate()


def test_one_table_and_json(place: Path, server: Running) -> None:
    server.start_session("the key", "1")
    code, out, err = run(place, "top", "--url", server.url, "--once", **KEY)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split()[:3] == ["node", "state", "sessions"]
    assert "1 node · 1 worker · 1 session · 0 agents" in out
    # What is no terminal gets one table, too.
    assert run(place, "top", "--url", f"{server.url}/", **KEY)[1].startswith("node")
    code, out, err = run(place, "top", "--url", server.url, "--json", **KEY)
    assert (code, err) == (0, "")
    [only] = json.loads(out)["nodes"][0]["workers"]
    assert only["figures"]["sessions"] == 1 and only["pid"] == server.process.pid


def test_what_is_wrong_is_said(place: Path, server: Running) -> None:
    assert "--api-key or LIPWIRE_API_KEY" in fails(place, "top", "--url", server.url)
    told = fails(place, "top", "--url", server.url, LIPWIRE_API_KEY="wrong")
    assert "/cluster answered 401: Invalid API key; the operator's key is wanted" in told
    told = fails(place, "top", "--url", f"http://127.0.0.1:{free_ports(1)[0]}", **KEY)
    assert "does not answer" in told and "--url" in told
    assert "no Lipwire, or one before" in fails(place, "top", "--url", f"{server.url}/schema", **KEY)
    assert "--url" in fails(place, "top", "--url", "http://[", **KEY)


def test_in_a_terminal_it_goes_on_until_ctrl_c(place: Path, server: Running) -> None:
    ours, its = pty.openpty()
    command = [str(LIPWIRE), "top", "--url", server.url, "--interval", "0.2"]
    more = environment(place, **KEY, TERM="xterm", COLUMNS="150", LINES="20")
    process = subprocess.Popen(
        command, cwd=place, env=more, stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # of tests that run in a shell's background
    )  # fmt: skip
    os.close(its)
    seen, deadline = b"", time.monotonic() + WAIT
    try:
        while seen.count(b"sessions") < 4:  # one table after the other
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    seen += os.read(ours, 65_536)
                except OSError:
                    break
        assert process.wait(WAIT) == 0
        assert b"Traceback" not in seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)
