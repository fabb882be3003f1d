"""What nodes say to each other with a request."""

from __future__ import annotations

import pytest

from lipwire.app.front.hop import FRESH, Hop, check, sign

SECRET = "s" * 32
HOP = Hop(node="a", address="192.0.2.1", worker=3, ticket="3.14:abc")


def test_what_is_signed_is_read() -> None:
    value = sign(HOP, SECRET, "POST", "/session/start", now=1000.0)
    found = check(value, SECRET, "POST", "/session/start", now=1000.0 + FRESH - 1)
    assert found is not None
    assert (found.node, found.address, found.worker, found.ticket, found.at) == ("a", "192.0.2.1", 3, "3.14:abc", 1000)


@pytest.mark.parametrize(
    ("secret", "method", "target", "now"),
    [
        ("t" * 32, "POST", "/session/start", 1000.0),
        (SECRET, "GET", "/session/start", 1000.0),
        (SECRET, "POST", "/session/stop", 1000.0),
        (SECRET, "POST", "/session/start", 1000.0 + FRESH + 1),
        (SECRET, "POST", "/session/start", 1000.0 - FRESH - 1),
    ],
    ids=["another secret", "another method", "another target", "too old", "from the future"],
)
def test_anything_else_is_none(secret: str, method: str, target: str, now: float) -> None:
    value = sign(HOP, SECRET, "POST", "/session/start", now=1000.0)
    assert check(value, secret, method, target, now=now) is None


@pytest.mark.parametrize("value", [b"", b".", b"x", b"e30=.0000", b"\xff.\xff", b"a.b.c"])
def test_what_a_client_makes_up_is_none(value: bytes) -> None:
    assert check(value, SECRET, "GET", "/") is None


def test_a_changed_one_is_none() -> None:
    value = bytearray(sign(HOP, SECRET, "GET", "/"))
    for at in (0, 20, len(value) - 1):
        changed = bytearray(value)
        changed[at] ^= 1
        assert check(bytes(changed), SECRET, "GET", "/") is None
