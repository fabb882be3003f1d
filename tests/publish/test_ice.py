"""publish/ice.py: addresses of STUN and TURN servers, credentials, Link headers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from lipwire.errors import InvalidArgument
from lipwire.publish.ice import IceServer, IceServers

URLS = ("stun:stun.example.org", "turn:turn.example.org:3478?transport=udp", "turns:turn.example.org?transport=tcp")


def test_credentials_are_made_as_coturn_reads_them() -> None:
    now = [1_000.4]
    servers = IceServers(URLS, secret="north", ttl=3600, wall_clock=lambda: now[0])
    stun, turn, turns = servers.current()
    assert stun == IceServer(url=URLS[0])
    assert (turn.username, turns.username) == ("4600:lipwire",) * 2
    # RFC 2104 by hand: what `openssl dgst -sha1 -hmac north` says of the name.
    inner = hashlib.sha1(bytes(b ^ 0x36 for b in b"north".ljust(64, b"\0")) + b"4600:lipwire").digest()
    outer = hashlib.sha1(bytes(b ^ 0x5C for b in b"north".ljust(64, b"\0")) + inner).digest()
    assert turn.credential == base64.b64encode(outer).decode()
    assert hmac.compare_digest(turn.credential, turns.credential)
    now[0] += 100
    assert servers.current()[1].username == "4700:lipwire"


def test_links_are_quoted() -> None:
    servers = IceServers(URLS[:2], username='a"b', password="c\\d")
    assert [server.link for server in servers.current()] == [
        '<stun:stun.example.org>; rel="ice-server"',
        '<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; '
        'credential-type="password"',
    ]


def test_our_own_end_uses_the_first_of_each_over_udp() -> None:
    urls = (URLS[2], "turn:a.example?transport=tcp", "turn:[2001:db8::1]", "turn:b.example", "turn:c.example", URLS[0])
    servers = IceServers(urls, username="a", password="b")
    assert {server.url for server in servers.own()} == {"turn:b.example", URLS[0]}
    assert IceServers().own() == [] and not IceServers()


@pytest.mark.parametrize(
    ("urls", "more", "says"),
    [
        (["stun.example.org"], {}, "no address"),
        (["stun:a.example:0"], {}, "no address"),
        (["stun:a.example:70000"], {}, "no address"),
        (["turn:a.example?transport=quic"], {"secret": "s"}, "no address"),
        (["turn:a.example>; rel=x"], {"secret": "s"}, "no address"),
        (["stun:a.example?transport=udp"], {}, "transport"),
        (["turn:a.example"], {}, "turn_secret"),
        (["turn:a.example"], {"username": "a"}, "together"),
        (["turn:a.example"], {"username": "a", "password": "b", "secret": "c"}, "leave"),
        (["stun:a.example"], {"secret": "c"}, "turn:"),
        (["turn:a.example"], {"username": "a\r\nb", "password": "b"}, "printable"),
    ],
)
def test_what_does_not_go_together_is_refused(urls: list[str], more: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        IceServers(urls, **more)
