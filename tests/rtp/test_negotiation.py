"""Offers and answers."""

from __future__ import annotations

import base64

import pytest

from lipwire.errors import InvalidArgument
from lipwire.rtp.negotiation import Media, negotiate
from lipwire.rtp.sdp import parse_sdp, write_sdp
from support.rtp_offers import ASTERISK, FFMPEG, LINPHONE

SECRET = base64.b64encode(bytes(range(30))).decode()
HEAD = "v=0\nc=IN IP4 192.0.2.1\n"
VIDEO = "m=video 4002 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"


def answer(media: list[Media]) -> str:
    sections = [one.answer(5000 + 2 * n if one.used else 0) for n, one in enumerate(media)]
    return write_sdp("127.0.0.1", sections, number=1)


def test_a_pbx_is_heard_and_hears_no_echo() -> None:
    (media,) = negotiate(ASTERISK)
    assert media.takes is not None and media.takes.codec == "g722" and media.takes.event_type == 101
    assert media.sends is None
    assert media.answer(5000) == [
        "m=audio 5000 RTP/AVP 9 101",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=recvonly",
    ]


def test_who_looks_hears_what_belongs_to_it() -> None:
    voice, video = negotiate(LINPHONE)
    assert voice.takes is not None and voice.takes.codec == "opus" and voice.sends is not None
    assert video.takes is None and video.sends is not None and video.asks_for_keys and not video.single_units
    assert voice.answer(5000) == [
        "m=audio 5000 RTP/AVPF 96 97",
        "a=mid:voice",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:97 telephone-event/48000",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=sendrecv",
    ]
    assert video.answer(5002) == [
        "m=video 5002 RTP/AVPF 96",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 nack pli",
        "a=sendonly",
    ]
    again = parse_sdp(answer([voice, video]))
    assert [one.direction for one in again] == ["sendrecv", "sendonly"] and again[0].mux


def test_keys_are_answered_with_keys_of_our_own() -> None:
    keys = "".join(
        f"a=crypto:{tag} {suite}_128_HMAC_SHA1_{bits} inline:{SECRET}\n"
        for tag, suite, bits in ((1, "F8", 80), (2, "AES_CM", 32))
    )
    text = FFMPEG.replace("RTP/AVP", "RTP/SAVP") + "a=sendonly\n" + keys
    (media,) = negotiate(text)
    assert media.their_key is not None and media.their_key.secret == bytes(range(30)) and media.our_key is not None
    (line,) = [line for line in media.answer(5000) if line.startswith("a=crypto")]
    assert line.startswith("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:") and SECRET not in line


@pytest.mark.parametrize(
    "sections, used",
    [
        ("m=audio 4000 RTP/AVP 0\na=sendonly\nm=audio 4004 RTP/AVP 0\na=recvonly\n", ["in", "out"]),
        ("m=audio 4000 RTP/AVP 0\nm=audio 4004 RTP/AVP 0\n", ["in", ""]),
        ("m=audio 4000 RTP/AVP 0\na=inactive\nm=audio 4004 RTP/AVP 0\n", ["", "in"]),
        (f"m=audio 4000 RTP/AVP 0\n{VIDEO}{VIDEO}", ["inout", "out", ""]),
        (f"m=audio 4000 RTP/AVP 0\n{VIDEO}a=sendonly\n", ["in", ""]),
        ("m=audio 0 RTP/AVP 0\nm=application 9 UDP/DTLS/SCTP x\nm=audio 4000 RTP/AVP 8\n", ["", "", "in"]),
        # What is heard and what is sent are one codec; linear PCM is not sent.
        (f"m=audio 4000 RTP/AVP 97 0\na=rtpmap:97 L16/16000\n{VIDEO}", ["in", "out"]),
    ],
)
def test_which_sections_are_used(sections: str, used: list[str]) -> None:
    media = negotiate(HEAD + sections)
    assert ["in" * (one.takes is not None) + "out" * (one.sends is not None) for one in media] == used
    ports = [one.port for one in parse_sdp(answer(media))]
    assert [port > 0 for port in ports] == [bool(one) for one in used]
    assert [one.kind for one in parse_sdp(answer(media))] == [one.section.kind for one in media]


@pytest.mark.parametrize(
    "sections, words",
    [
        ("m=audio 4000 RTP/AVP 18\n", "has no codec that is known"),
        ("m=audio 0 RTP/AVP 0\n", "switched off"),
        ("m=audio 4000 RTP/AVP 0\na=inactive\n", "is inactive"),
        ("m=text 4000 RTP/AVP 0\n", "neither audio nor video"),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0\n", "DTLS, which is WebRTC"),
        ("m=audio 4000 TCP/RTP/AVP 0\n", "wants 'TCP/RTP/AVP'"),
        ("m=audio 4000 RTP/SAVP 0\n", "no a=crypto that can be used"),
        (f"m=audio 4000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SECRET}\n", "offer it as RTP/SAVP"),
        ("m=video 4000 RTP/AVP 97\na=rtpmap:97 VP8/90000\n", "takes no H.264"),
    ],
)
def test_what_cannot_be_used_is_said(sections: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        negotiate(HEAD + sections)


def test_who_only_sends_takes_nothing() -> None:
    with pytest.raises(InvalidArgument, match="no more speech is taken"):
        negotiate(HEAD + "m=audio 4000 RTP/AVP 0\na=sendonly\n", takes=False)
    voice, video = negotiate(LINPHONE, takes=False)
    assert voice.takes is None and voice.sends is not None and video.sends is not None
    assert voice.answer(5000)[-1] == "a=sendonly"
