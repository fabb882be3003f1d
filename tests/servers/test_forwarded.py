"""servers/forwarded.py: who a proxy on this machine speaks for."""

from __future__ import annotations

import pytest

from lipwire.servers.forwarded import asking_from


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),  # the client said the first
        ("127.0.0.1", ["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1, 127.0.0.1"], "192.0.2.1"),  # another proxy here
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1:5000"], "192.0.2.1"),
        ("127.0.0.1", ["[2001:db8::1]:5000"], "2001:db8::1"),
        ("127.0.0.1", ["nobody"], "nobody"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
        ("192.0.2.9", ["192.0.2.1"], "192.0.2.9"),  # no proxy of ours
        ("", ["192.0.2.1"], ""),
    ],
)
def test_whom_a_request_is_from(peer: str, forwarded: list[str], address: str) -> None:
    assert asking_from(peer, forwarded) == address
