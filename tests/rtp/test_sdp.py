"""Session descriptions: real ones, odd ones, and hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.errors import InvalidArgument
from lipwire.rtp.sdp import MAX_BYTES, Address, Format, parse_sdp, write_sdp
from support.rtp_offers import ASTERISK, FFMPEG, LINPHONE


def test_what_asterisk_says() -> None:
    (sound,) = parse_sdp(ASTERISK)
    assert (sound.kind, sound.port, sound.protocol, sound.direction) == ("audio", 11786, "RTP/AVP", "sendrecv")
    assert sound.address == Address("192.0.2.10", 11786)
    assert sound.rtcp_address == Address("192.0.2.10", 11787)
    assert sound.formats == [
        Format(9, "g722", 8000),
        Format(0, "pcmu", 8000),
        Format(8, "pcma", 8000),
        Format(101, "telephone-event", 8000, 1, "0-16"),
    ]
    assert not sound.mux and sound.mid is None


def test_what_others_say() -> None:
    (sound,) = parse_sdp(FFMPEG)
    assert sound.address == Address("127.0.0.1", 5004)
    assert sound.formats == [Format(97, "opus", 48000, 2, "sprop-stereo=0")]
    assert sound.formats[0].parameter("sprop-stereo") == "0" and sound.formats[0].parameter("usedtx") is None
    voice, video = parse_sdp(LINPHONE)
    assert voice.direction == "sendrecv" and video.direction == "recvonly"  # the session's, and its own
    assert voice.mux and voice.rtcp_address == voice.address
    assert video.rtcp_address == Address("198.51.100.7", 40001)  # a=rtcp, with an address of its own
    assert list(video.values("rtcp-fb")) == ["* nack pli", "96 nack"]
    assert [one.parameter("packetization-mode") for one in video.formats] == ["1", None]


@pytest.mark.parametrize(
    "line, address",
    [
        ("c=IN IP4 0.0.0.0", None),
        ("c=IN IP6 ::", None),
        ("c=IN IP6 2001:db8::1", Address("2001:db8::1", 4000)),
        ("c=IN IP4 pbx.example.org", Address("pbx.example.org", 4000)),
        ("c=IN IP4 224.2.1.1/127", Address("224.2.1.1", 4000)),
        ("t=0 0", None),
    ],
)
def test_where_it_comes_from(line: str, address: Address | None) -> None:
    (section,) = parse_sdp(f"v=0\n{line}\nm=audio 4000 RTP/AVP 0")
    assert section.address == address
    (discarding,) = parse_sdp(f"v=0\n{line}\nm=audio 9 RTP/AVP 0")
    assert discarding.address is None and discarding.rtcp_address is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "begins with v=0"),
        ("hello", "begins with v=0"),
        ("v=0\nc=IN IP4 192.0.2.1", "1..8 media sections"),
        ("v=0\n" + "m=audio 1 RTP/AVP 0\n" * 9, "1..8 media sections"),
        ("v=0\nm=audio 70000 RTP/AVP 0", "line 2"),
        ("v=0\nm=audio 4000/2 RTP/AVP 0", "2 ports at a time"),
        ("v=0\nm=audio 4000 RTP/AVP", "line 2"),
        ("v=0\nc=ATM NSAP 47\nm=audio 4000 RTP/AVP 0", "line 2"),
        ("v=0\nwhat is this\nm=audio 4000 RTP/AVP 0", "line 2"),
        ("v=0\na=\x00\nm=audio 4000 RTP/AVP 0", "line 2"),
        ("v=0\n" + "a=x\n" * 256, "up to 256 lines"),
        ("v=0" + "\n" * MAX_BYTES, f"up to {MAX_BYTES}"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse_sdp(text)


def test_formats_that_say_too_little_are_left_out() -> None:
    (section,) = parse_sdp(
        "v=0\nm=audio 4000 RTP/AVP 0 200 x 96 97 98 13\na=rtpmap:96 opus/0\na=rtpmap:97 opus\na=rtpmap:98 L16/16000/1\n"
        "a=rtpmap:0 PCMA/8000"
    )
    assert section.formats == [Format(0, "pcma", 8000), Format(98, "l16", 16000), Format(13, "cn", 8000)]


LINES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["v=0", "m=audio 4000 RTP/AVP 0 96", "c=IN IP4 192.0.2.1", "a=rtpmap:96 opus/48000/2", "a=x"]),
    st.from_regex(r"a=(rtcp|fmtp|rtpmap|crypto|mid):[ -~]{0,30}", fullmatch=True),
)


@given(st.lists(LINES, max_size=12))
@settings(max_examples=100, deadline=None)
def test_whatever_comes_is_read_or_refused_in_words(lines: list[str]) -> None:
    try:
        sections = parse_sdp("v=0\n" + "\n".join(lines))
    except InvalidArgument as exc:
        assert str(exc)
        return
    for section in sections:
        assert section.direction and all(0 <= one.payload_type < 128 for one in section.formats)
        assert section.address is None or section.rtcp_address is None or 0 < section.rtcp_address.port < 65536


def test_what_is_written_is_read() -> None:
    formats = [Format(9, "g722", 8000), Format(97, "opus", 48000, 2, "x=1")]
    lines = ["m=audio 4000 RTP/AVP 9 97", *(line for one in formats for line in one.lines())]
    text = write_sdp("2001:db8::1", [lines], number=7)
    (section,) = parse_sdp(text)
    assert section.host == "2001:db8::1" and "\r\n" in text and "o=- 7 1 IN IP6" in text
    assert section.formats == formats
