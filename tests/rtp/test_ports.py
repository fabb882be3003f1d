"""Pairs of ports, and what comes to them."""

from __future__ import annotations

import socket
import time

import pytest

from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.rtp import ports as ports_module
from lipwire.rtp.ports import DATAGRAM, Pair, Ports, parse_ports, receive
from lipwire.rtp.sdp import Address
from support.rtp_offers import free_pairs


@pytest.mark.parametrize(
    "text, ports",
    [("16384-16390", [16384, 16386, 16388]), ("5001-5005", [5002, 5004]), (" 2000 - 2001 ", [2000])],
)
def test_ranges(text: str, ports: list[int]) -> None:
    assert list(parse_ports(text)) == ports


@pytest.mark.parametrize("text", ["", "5000", "5000-5000", "80-90", "5001-5002", "5000-70000", "9000-8000", "a-b"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"range of ports|even port"):
        parse_ports(text)


def test_a_pair_is_even_and_odd_and_is_given_back() -> None:
    ports = Ports("127.0.0.1", free_pairs(2))
    first, second = ports.open(), ports.open(mux=True)
    assert first.rtcp is not None and first.rtcp.getsockname()[1] == first.port + 1 and first.port % 2 == 0
    assert second.rtcp is None and second.port != first.port
    with pytest.raises(NoCapacity, match="2 pairs"):
        ports.open()
    first.close()
    first.close()
    again = ports.open()
    assert again.port == first.port
    for pair in (again, second):
        pair.close()
    with pytest.raises(InvalidArgument, match="rtp_host"):
        Ports("192.0.2.1", parse_ports("20000-20010")).open()


def test_which_address_a_peer_is_told() -> None:
    assert Ports("127.0.0.2", range(2)).source_for("192.0.2.1") == "127.0.0.2"
    assert Ports("0.0.0.0", range(2)).source_for("127.0.0.1") == "127.0.0.1"
    assert Ports("::", range(2)).source_for("::1") == "::1"
    assert Ports("::", range(2)).source_for("127.0.0.1") == "127.0.0.1"
    assert Ports("::", range(2)).reaches("127.0.0.1") and not Ports("127.0.0.1", range(2)).reaches("::1")


def test_datagrams_come_with_their_source_and_the_time_at_which_the_kernel_had_them() -> None:
    pair: Pair = Ports("127.0.0.1", free_pairs(1)).open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        before = time.monotonic_ns()
        for payload in (b"one", b"two", bytes(DATAGRAM + 1)):
            peer.sendto(payload, ("127.0.0.1", pair.port))
        after = time.monotonic_ns()
        first, second = receive(pair.rtp, 2)
        (third,) = receive(pair.rtp, 2)
        assert receive(pair.rtp, 2) == []
        assert [first.data, second.data, third.data] == [b"one", b"two", b""]
        assert first.source == Address("127.0.0.1", peer.getsockname()[1])
        assert before - 10**8 <= first.came_ns <= second.came_ns <= third.came_ns  # clocks are read one after the other
        assert first.came_ns <= after + 10**9
    pair.close()


def test_a_loop_that_stood_still_hears_all_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than a time is as old as that, and not the newest of all."""
    monkeypatch.setattr(ports_module, "OLDEST", 40_000_000)
    pair = Ports("127.0.0.1", free_pairs(1)).open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        stamped = False
        while not stamped:  # Linux begins to note times a moment after the first who asks, from a queue of its own work
            peer.sendto(b"early", ("127.0.0.1", pair.port))
            time.sleep(0.01)
            before = time.monotonic_ns()
            stamped = any(one.came_ns < before - 5_000_000 for one in receive(pair.rtp, 9))
        for payload in (b"one", b"two", b"three"):
            peer.sendto(payload, ("127.0.0.1", pair.port))
            time.sleep(0.03)
        found = receive(pair.rtp, 9)
    now = time.monotonic_ns()
    assert [one.data for one in sorted(found, key=lambda one: one.came_ns)] == [b"one", b"two", b"three"]
    assert found[0].came_ns <= now - 40_000_000
    pair.close()
