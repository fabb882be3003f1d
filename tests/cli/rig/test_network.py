"""Namespaces and loopback addresses."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from lipwire.cli.rig import network
from lipwire.cli.rig.script import Slowness
from lipwire.errors import BadState
from support.machine import require


@pytest.fixture
def spaces() -> Iterator[network.Namespaces]:
    require(not network._hindrance(), "network namespaces")
    with network.Namespaces() as spaces:
        yield spaces
    assert network.left(os.getpid()) == []


def reachable(prefix: list[str], address: str) -> bool:
    """Whether a packet comes back from there."""
    script = (
        "import socket, sys\n"
        "s = socket.socket(); s.settimeout(1)\n"
        f"sys.exit(s.connect_ex(('{address}', 9)) != 111)"  # refused: it has been there
    )
    return subprocess.run([*prefix, "python3", "-c", script], check=False).returncode == 0


def test_places_reach_each_other_until_they_are_cut(spaces: network.Namespaces) -> None:
    one, two = spaces.place("node1"), spaces.place("node2")
    assert spaces.place("node1") is one and one.address != two.address
    assert reachable([], one.address) and reachable(one.prefix, two.address)
    spaces.cut("node2")
    assert not reachable(one.prefix, two.address)
    spaces.heal("node2")
    assert reachable(one.prefix, two.address)


def test_slow_is_done_or_refused_in_words(spaces: network.Namespaces) -> None:
    spaces.place("node1")
    try:
        spaces.slow("node1", Slowness(20, 0))
    except BadState as exc:
        assert "tc" in str(exc)  # a kernel without netem
    else:
        assert "netem" in network.run("tc", "qdisc", "show", "dev", spaces.place("node1").link)
    spaces.heal("node1")


def test_what_a_killed_run_left_is_swept() -> None:
    require(not network._hindrance(), "network namespaces")
    gone = subprocess.Popen(["true"])
    gone.wait()
    name, ours = f"lwrig{gone.pid}-node1", f"lwrig{os.getppid()}-node1"
    for each in (name, ours):
        network.run("ip", "netns", "add", each)
    try:
        assert name in network.left() and ours not in network.left()
        network.sweep()
        assert name not in network.left()
        assert ours in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    finally:
        network.run("ip", "netns", "delete", ours)


def test_without_root_there_are_loopback_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    chosen = network.choose("auto")
    assert isinstance(chosen, network.Loopback) and "root" in chosen.about
    with pytest.raises(BadState, match="--network loopback"):
        network.choose("namespaces")
    with chosen:
        one, two = chosen.place("node1"), chosen.place("node2")
        assert (one.address, two.address, one.prefix) == ("127.0.0.11", "127.0.0.12", [])
        with pytest.raises(BadState, match="loopback"):
            chosen.cut("node1")


def test_ports_of_a_loopback_address_are_free() -> None:
    with network.Loopback("of a test") as there:
        first = there.place("node1")
        with socket.socket() as taken:
            taken.bind((first.address, first.ports[0]))
            taken.listen()
            assert network.Address(first.address).ports[0] != first.ports[0]
