"""servers/access.py: names and origins, without a socket."""

from __future__ import annotations

import pytest

from lipwire.errors import InvalidArgument
from lipwire.servers.allowlist import Allowlist, NotAllowed, has_tls_name, parse_host, parse_origin

SET = Allowlist.of(
    ["Avatar.Example.org", "*.wild.example"],
    ["https://app.example", "http://localhost:3000", "https://odd.example:8443"],
    ["wss://speech.example/ws"],
)


@pytest.mark.parametrize("url", ["ws://[oops/ws", "http://oops]/"])
def test_an_address_that_cannot_be_read(url: str) -> None:
    with pytest.raises(InvalidArgument, match="is no URL of this server's"):
        Allowlist.of(urls=[url])


def code(access: Allowlist, hosts: list[str], origins: list[str], secure: bool = False) -> str:
    try:
        return "foreign" if access.check(hosts, origins, secure=secure) else ""
    except NotAllowed as exc:
        return exc.code


HERE = [
    "localhost", "localhost:8080", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.0.0.1:1",
    "10.1.2.3:8764", "[::1]:8764", "[2001:db8::1]",
]  # fmt: skip
ELSEWHERE = [
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "127.1",
    "0x7f000001", "[::1", "a b", "localhost:port", "user@localhost", "localhost/x", "localhost?", "localhost#", "[x]",
    "localhost,evil.example", "::1]", ":80", "localhost:99999", "é.example",
]  # fmt: skip


@pytest.mark.parametrize("host", HERE)
def test_names_that_a_server_always_has(host: str) -> None:
    assert code(Allowlist(), [host], []) == code(SET, [host], []) == ""


@pytest.mark.parametrize("host", ELSEWHERE)
def test_names_that_are_none(host: str) -> None:
    assert code(Allowlist(), [host], []) == code(SET, [host], []) == "HOST_NOT_ALLOWED"


def test_names_that_were_configured() -> None:
    for host in (
        "avatar.example.org",
        "AVATAR.example.org:8764",
        "avatar.example.org.",
        "speech.example",
        "app.example",
    ):
        assert code(SET, [host], []) == ""
        assert code(Allowlist(), [host], []) == "HOST_NOT_ALLOWED"
    assert [code(SET, [f"{name}wild.example"], []) for name in ("a.", "a.b.", "", "x")] == [
        "",
        "",
        "HOST_NOT_ALLOWED",
        "HOST_NOT_ALLOWED",
    ]
    assert code(Allowlist.of(["*"]), ["whatever"], []) == ""
    assert code(Allowlist(), [], []) == ""  # no browser leaves Host out
    assert code(Allowlist(), ["localhost", "evil.example"], []) == "HOST_NOT_ALLOWED"
    with pytest.raises(NotAllowed, match=r"'evil.example:80' .* public_hosts \(LIPWIRE_PUBLIC_HOSTS"):
        Allowlist().check(["evil.example:80"], [], secure=False)


@pytest.mark.parametrize(
    ("host", "origin", "secure", "passes"),
    [
        ("localhost:8080", "http://localhost:8080", False, True),
        ("localhost", "http://localhost", False, True),
        ("localhost:80", "http://localhost", False, True),
        ("localhost", "http://localhost:80", False, True),
        ("localhost", "https://localhost", True, True),
        ("localhost:443", "https://localhost", True, True),
        ("[::1]:8080", "http://[::1]:8080", False, True),
        ("avatar.example.org", "https://avatar.example.org", False, True),  # a proxy ends TLS
        ("127.0.0.1:8764", "https://avatar.example.org", False, True),  # and has replaced Host
        ("127.0.0.1:8764", "http://avatar.example.org", False, False),
        ("127.0.0.1:8764", "https://avatar.example.org:9000", False, False),
        ("localhost", "http://localhost", True, False),  # a page without TLS, a server with it
        ("localhost:8080", "http://localhost:8081", False, False),
        ("localhost:8080", "http://localhost", False, False),
        ("localhost:8080", "http://127.0.0.1:8080", False, False),
        ("localhost:8080", "https://evil.example", False, False),
        ("localhost:8080", "http://localhost:8080.evil.example", False, False),
        ("localhost:8080", "http://evil.example/localhost:8080", False, False),
        ("localhost:8080", "http://x@localhost:8080", False, False),
        ("localhost:8080", "null", False, False),
        ("localhost:8080", "", False, False),
        ("localhost:8080", "file://", False, False),
        ("localhost:8080", "chrome-extension://abc", False, False),
    ],
)
def test_origins(host: str, origin: str, secure: bool, passes: bool) -> None:
    assert (code(SET, [host], [origin], secure) != "ORIGIN_NOT_ALLOWED") is passes


def test_origins_that_were_allowed() -> None:
    for origin in ("https://app.example", "HTTPS://app.example", "https://app.example:443", "http://localhost:3000"):
        assert code(SET, ["localhost:8080"], [origin]) == "foreign"
        assert code(Allowlist(), ["localhost:8080"], [origin]) == "ORIGIN_NOT_ALLOWED"
    for origin in ("http://app.example", "https://app.example:8443", "https://x.app.example", "https://odd.example"):
        assert code(SET, ["localhost:8080"], [origin]) == "ORIGIN_NOT_ALLOWED"
    assert code(SET, ["localhost"], ["http://localhost", "https://app.example"]) == "ORIGIN_NOT_ALLOWED"
    assert code(Allowlist.of(["*"]), ["a.example"], ["https://b.example"]) == "ORIGIN_NOT_ALLOWED"
    with pytest.raises(NotAllowed, match=r"'https://evil.example' .* allowed_origins \(LIPWIRE_ALLOWED_ORIGINS"):
        SET.check(["localhost"], ["https://evil.example"], secure=False)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://avatars.example.com:8443/", "https://avatars.example.com:8443"),
        ("http://pages.lan/", "http://pages.lan"),
        ("https://203.0.113.5/", "https://203.0.113.5"),
        ("https://[2001:db8::1]:8443/faces/", "https://[2001:db8::1]:8443"),
        ("HTTPS://Pages.Example:443", "https://pages.example"),
        ("wss://speech.example:9443/ws", "https://speech.example:9443"),
        ("ws://10.1.2.3:8765/ws", "http://10.1.2.3:8765"),
        ("wss://user:pw@speech.example:9443/ws?key=x", "https://speech.example:9443"),
    ],
)
def test_pages_of_the_servers_own_addresses_may_call_behind_a_proxy_that_replaces_host(url: str, origin: str) -> None:
    access = Allowlist.of(urls=[url])
    assert access.check(["127.0.0.1:8080"], [origin], secure=False)
    scheme, _, place = origin.partition("://")
    name = place.removesuffix(":8443").removesuffix(":9443").removesuffix(":8765")
    for other in (f"{scheme}://{name}:1234", f"{scheme}://x.{name}", f"gopher://{place}"):
        assert code(access, ["127.0.0.1:8080"], [other]) == "ORIGIN_NOT_ALLOWED"


def test_settings_are_checked() -> None:
    assert parse_host(" Avatar.Example.org. ") == "avatar.example.org"
    assert parse_origin("HTTPS://App.Example:443/") == "https://app.example"
    assert parse_origin("http://[::1]:3000") == "http://[::1]:3000"
    assert parse_origin("capacitor://localhost") == "capacitor://localhost"
    for text in ("", "a b", "https://a.example", "a.example:80", "a/b", "*a.example", "é.example", "*."):
        with pytest.raises(InvalidArgument, match="public_hosts"):
            parse_host(text)
    for text in (
        "",
        "*",
        "null",
        "app.example",
        "https://",
        "https://a/b",
        "https://*.example",
        "https://a:x",
        "https://u@a",
    ):
        with pytest.raises(InvalidArgument, match="allowed_origins"):
            parse_origin(text)


def test_what_hsts_is_for() -> None:
    assert [has_tls_name(host) for host in ("a.example", "A.example:8764", "lipwire")] == [True] * 3
    assert [has_tls_name(host) for host in ("localhost:1", "x.localhost", "127.0.0.1", "[::1]:1", "")] == [False] * 5
