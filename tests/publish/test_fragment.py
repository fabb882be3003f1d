"""publish/fragment.py: SDP fragments of trickle ICE, as clients write them, and odd ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.errors import InvalidArgument
from lipwire.publish.fragment import Fragment, Section, make_fragment, parse_fragment

NAMES = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
MEDIA = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
HOST = "1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"
RELAY = "3 1 UDP 1 2001:db8::7 49152 typ relay raddr 0.0.0.0 rport 9"


def fragment(*candidates: str) -> str:
    return MEDIA + NAMES + "".join(f"a=candidate:{one}\r\n" for one in candidates)


@pytest.mark.parametrize("names_first", [True, False])
def test_what_clients_write(names_first: bool) -> None:
    lines = f"a=candidate:{HOST}\r\na=candidate:{RELAY}\r\na=end-of-candidates\r\n"
    text = "a=group:BUNDLE 0 1\r\n" + (NAMES + MEDIA if names_first else MEDIA + NAMES) + lines
    read = parse_fragment(text)
    assert read == Fragment("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", [Section("0", [HOST, RELAY])])
    assert parse_fragment(text.replace("\r\n", "\n")) == read
    assert parse_fragment(text.replace(NAMES, "")).ufrag is None


@pytest.mark.parametrize(
    "candidate",
    [
        "1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "1 1 udp 2122260223 6c0b3a4e-0000-4000-8000-000000000000.local 61764 typ host",
        "1 2 udp 2122260223 192.0.2.1 61764 typ host",
        "1 1 udp 2122260223 fe80::1%eth0 61764 typ host",
        "1 1 udp 2122260223 192.0.2.1 0 typ host",
        "1 1 udp 2122260223 192.0.2.1 61764 typ new",
    ],
)
def test_what_cannot_be_used_is_left_out(candidate: str) -> None:
    assert parse_fragment(fragment(candidate, HOST)).sections == [Section("0", [HOST])]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "line 1"),
        (fragment("1 1 udp"), "a=candidate"),
        (fragment("1 1 udp 1 192.0.2.1 65536 typ host"), "a=candidate"),
        (fragment("1 1 udp 4294967296 192.0.2.1 1 typ host"), "a=candidate"),
        (f"a=candidate:{HOST}\r\n{MEDIA}", "in front of"),
        ("a=mid:0\r\n" + MEDIA, "in front of"),
        (MEDIA + "a=ice-ufrag:EsAw\r\n", "one a=ice-ufrag and one a=ice-pwd"),
        (MEDIA + NAMES + NAMES.replace("EsAw", "Else"), "one a=ice-ufrag and one a=ice-pwd"),
        (MEDIA + NAMES.replace("EsAw", "abc"), "malformed"),
        (MEDIA + NAMES.replace("P2uYro0UCOQ4zxjKXaWCBui1", "short"), "malformed"),
    ],
)
def test_one_that_is_malformed_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        parse_fragment(text)


@given(st.lists(st.sampled_from([*fragment(HOST, RELAY).splitlines(), "a=mid:1", "m=video 9 x 1", "x", "", "a=:"])))
def test_any_order_of_lines_is_read_or_refused(lines: list[str]) -> None:
    try:
        read = parse_fragment("\r\n".join(lines))
    except InvalidArgument:
        return
    assert all(one in (HOST, RELAY) for section in read.sections for one in section.candidates)
    assert (read.ufrag is None) == (read.password is None)


def test_what_we_say_is_read_again() -> None:
    answer = (
        "v=0\r\na=group:BUNDLE 0 1\r\na=ice-options:trickle\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ice-options:trickle\r\n"
    )
    said = make_fragment(answer, "1", "abcd", "P2uYro0UCOQ4zxjKXaWCBui1", [HOST])
    assert said.count("a=ice-options:trickle") == 1 and "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1" in said
    assert parse_fragment(said) == Fragment("abcd", "P2uYro0UCOQ4zxjKXaWCBui1", [Section("1", [HOST])])
