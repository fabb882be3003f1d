"""Descriptions as real programs write them, and packets as they send them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

ASTERISK = """v=0
o=- 1215461219 1215461219 IN IP4 192.0.2.10
s=Asterisk
c=IN IP4 192.0.2.10
t=0 0
m=audio 11786 RTP/AVP 9 0 8 101
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:140
a=sendrecv
"""
"""As of a PBX's bridge to an outside medium."""
FFMPEG = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=No Name
c=IN IP4 127.0.0.1
t=0 0
a=tool:libavformat 61.7.100
m=audio 5004 RTP/AVP 97
b=AS:64
a=rtpmap:97 opus/48000/2
a=fmtp:97 sprop-stereo=0
"""
LINPHONE = """v=0
o=alice 2890 2890 IN IP4 198.51.100.7
s=Talk
c=IN IP4 198.51.100.7
t=0 0
a=sendrecv
m=audio 7078 RTP/AVPF 96 97 0
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 telephone-event/48000
a=rtcp-mux
a=mid:voice
m=video 9078 RTP/AVPF 96 97
a=rtpmap:96 H264/90000
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1
a=rtpmap:97 H264/90000
a=rtcp:40001 IN IP4 198.51.100.7
a=rtcp-fb:* nack pli
a=rtcp-fb:96 nack
a=recvonly
"""


def rtp(
    payload: bytes, sequence: int, timestamp: int, *, payload_type: int = 0, ssrc: int = 0x1234, marker: bool = False
) -> bytes:
    """A packet (RFC 3550, 5.1)."""
    second = payload_type | (0x80 if marker else 0)
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def sender_report(ssrc: int, ntp: int, timestamp: int = 0) -> bytes:
    """Without report blocks (RFC 3550, 6.4.1). `ntp`: 64 bits."""
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp, 10, 1600)


def event(digit: int, sequence: int, timestamp: int, duration: int, *, end: bool = False) -> bytes:
    """A packet of a telephone event (RFC 4733, 2.3), payload type 101."""
    payload = struct.pack("!BBH", digit, (0x80 if end else 0) | 10, duration)
    return rtp(payload, sequence, timestamp, payload_type=101)


def free_pairs(count: int) -> range:
    """So many even ports of 127.0.0.1 in a row which nobody uses, nor those behind them. Below those that the system
    gives out, and from a place of the process's own, so that tests that run beside each other find different ones."""
    for first in range(20000 + os.getpid() % 500 * 20, 32000, 2 * count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 2 * count):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return range(first, first + 2 * count, 2)
    raise AssertionError("no free ports")
