"""Session descriptions (RFC 8866), as far as plain RTP needs them: read, and written.

Nothing is looked up and nothing is believed: addresses are text, and `negotiation` says what is made of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from msgspec import Struct

from ..errors import InvalidArgument

MAX_BYTES = 16 << 10
MAX_SECTIONS = 8
MAX_LINES = 256
"""A description that has more is refused before it costs anything."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
PROTOCOLS = ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF")
"""RFC 3551, RFC 4585, RFC 3711, RFC 5124: over UDP, with keys in the description or none."""


class Address(NamedTuple):
    """Where packets come from, or go."""

    host: str
    port: int


class Format(Struct, frozen=True):
    """One payload type of a section (a=rtpmap, RFC 8866 6.6)."""

    payload_type: int
    name: str
    """Of the encoding, in lower case."""
    clock_rate: int
    """Hz."""
    channels: int = 1
    parameters: str = ""
    """Of a=fmtp, as they are written."""

    def parameter(self, name: str) -> str | None:
        """One of them; None = it is not there."""
        for part in self.parameters.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key.strip().lower() == name:
                return value.strip()
        return None

    def lines(self) -> Iterator[str]:
        """Its lines in a section."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        name = NAMES.get(self.name, self.name.upper())
        yield f"a=rtpmap:{self.payload_type} {name}/{self.clock_rate}{channels}"
        if self.parameters:
            yield f"a=fmtp:{self.payload_type} {self.parameters}"


NAMES = {"opus": "opus", "telephone-event": "telephone-event"}
"""How names are written that are not in capitals; readers take either (RFC 8866, 6.6)."""
STATIC = {
    0: Format(0, "pcmu", 8000),
    8: Format(8, "pcma", 8000),
    9: Format(9, "g722", 8000),
    10: Format(10, "l16", 44100, 2),
    11: Format(11, "l16", 44100),
    13: Format(13, "cn", 8000),
}
"""Payload types that mean something without a=rtpmap (RFC 3551, table 4): those of sound that somebody may have."""


class Section(Struct, frozen=True):
    """A media section (m=), with what the session in front of it says for all."""

    kind: str
    """audio, video, or something else."""
    port: int
    """0 = it is not used (RFC 3264, section 6)."""
    protocol: str
    payload_types: tuple[str, ...]
    """As they are written, in the order of preference."""
    host: str
    """Of c=; "" = it is not said."""
    attributes: tuple[tuple[str, str], ...]
    """Its own a= lines, then those of the session."""

    def values(self, name: str) -> Iterator[str]:
        """Of all attributes of this name."""
        return (value for key, value in self.attributes if key == name)

    def has(self, name: str) -> bool:
        """Whether there is a flag, or an attribute, of this name."""
        return any(key == name for key, _ in self.attributes)

    @property
    def direction(self) -> Direction:
        """As its sender sees it; sendrecv where nothing is said."""
        return next((one for key, _ in self.attributes for one in DIRECTIONS if key == one), "sendrecv")

    @property
    def mux(self) -> bool:
        """Whether RTCP may come to the port of RTP (RFC 5761)."""
        return self.has("rtcp-mux")

    @property
    def mid(self) -> str | None:
        """Its identification (RFC 5888)."""
        return next(self.values("mid"), None)

    @property
    def address(self) -> Address | None:
        """Where its sender takes RTP, which is where it sends from where nothing is between; None = that is not said:
        0.0.0.0 (a call on hold, RFC 3264 8.4), port 9 (discard, as of who does not know yet)."""
        if not self.host or self.port in (0, 9) or _is_nowhere(self.host):
            return None
        return Address(self.host, self.port)

    @property
    def rtcp_address(self) -> Address | None:
        """Where its sender takes RTCP: as a=rtcp says (RFC 3605), the port of RTP (a=rtcp-mux), or the one behind."""
        rtp = self.address
        if rtp is None or self.mux:
            return rtp
        for value in self.values("rtcp"):
            match = re.fullmatch(r"(\d{1,5})(?: IN IP[46] (\S{1,255}))?", value)
            if match and 0 < int(match[1]) < 65536:
                return Address(match[2] or rtp.host, int(match[1]))
        return Address(rtp.host, rtp.port + 1) if rtp.port < 65535 else None

    @property
    def formats(self) -> list[Format]:
        """Those that it names and says enough of, in the order of preference."""
        maps = dict(_numbered(self.values("rtpmap")))
        parameters = dict(_numbered(self.values("fmtp")))
        found = []
        for text in self.payload_types:
            number = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else -1
            if not 0 <= number < 128:
                continue
            match = re.fullmatch(r"([\w.+-]{1,40})/(\d{1,6})(?:/(\d{1,2}))?", maps.get(number, ""), re.ASCII)
            if match and int(match[2]):
                name, channels = match[1].lower(), int(match[3] or 1)
                found.append(Format(number, name, int(match[2]), channels, parameters.get(number, "")))
            elif number not in maps and number in STATIC:
                found.append(STATIC[number])
        return found


def _numbered(values: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Values that begin with a payload type."""
    for value in values:
        number, _, rest = value.partition(" ")
        if number.isascii() and number.isdecimal() and len(number) < 4:
            yield int(number), rest.strip()


def _is_nowhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def parse_sdp(text: str) -> list[Section]:
    """The media sections of a description.

    Raises:
        InvalidArgument: it is none; the message says which line.
    """
    if len(text) > MAX_BYTES:
        raise InvalidArgument(f"an SDP has up to {MAX_BYTES} characters, this one {len(text)}")
    lines = text.strip().splitlines()
    if len(lines) > MAX_LINES:
        raise InvalidArgument(f"an SDP has up to {MAX_LINES} lines, this one {len(lines)}")
    if not lines or lines[0].strip() != "v=0":
        raise InvalidArgument("an SDP begins with v=0 (RFC 8866)")
    host = ""
    session: list[tuple[str, str]] = []
    sections: list[_Draft] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        kind, equals, value = line.partition("=")
        if not line:
            continue
        if len(kind) != 1 or not equals or not value.isprintable():
            raise InvalidArgument(f"line {number} of the SDP is not written as x=...: {line!a:.60}")
        if kind == "m":
            sections.append(_Draft(value, number))
        elif kind == "c":
            where = _connection(value, number)
            if sections:
                sections[-1].host = where
            else:
                host = where
        elif kind == "a":
            name, _, rest = value.partition(":")
            (sections[-1].attributes if sections else session).append((name, rest.strip()))
    if not 1 <= len(sections) <= MAX_SECTIONS:
        raise InvalidArgument(f"an SDP has 1..{MAX_SECTIONS} media sections (m=), this one {len(sections)}")
    return [draft.section(host, session) for draft in sections]


def _connection(value: str, number: int) -> str:
    match = re.fullmatch(r"IN IP[46] ([^\s/]{1,255})(/\d+)*", value)
    if match is None:
        raise InvalidArgument(f"line {number} of the SDP is no c=IN IP4 <address>: {value!a:.60}")
    return match[1]


class _Draft:
    """A section whose lines are being read."""

    def __init__(self, value: str, number: int) -> None:
        match = re.fullmatch(r"(\S{1,40}) (\d{1,5})(?:/(\d{1,5}))? (\S{1,60})((?: \S{1,40}){1,64})", value)
        if match is None or int(match[2]) > 65535:
            raise InvalidArgument(f"line {number} of the SDP is no m=<kind> <port> <protocol> <formats>: {value!a:.60}")
        if match[3] not in (None, "1"):
            raise InvalidArgument(f"line {number} of the SDP asks for {match[3]} ports at a time; ask for one")
        self.kind, self.port, self.protocol = match[1], int(match[2]), match[4]
        self.payload_types = tuple(match[5].split())
        self.host = ""
        self.attributes: list[tuple[str, str]] = []

    def section(self, host: str, session: list[tuple[str, str]]) -> Section:
        return Section(
            self.kind,
            self.port,
            self.protocol,
            self.payload_types,
            self.host or host,
            (*self.attributes, *session),
        )


def write_sdp(host: str, sections: list[list[str]], *, number: int, name: str = "Lipwire") -> str:
    """A description of sections, whose lines are given from m= on. `number`: of the session, in o=."""
    where = connection(host)
    head = ["v=0", f"o=- {number} 1 {where}", f"s={name}", f"c={where}", "t=0 0"]
    return "\r\n".join([*head, *(line for section in sections for line in section)]) + "\r\n"


def connection(host: str) -> str:
    """The value of c= for an address."""
    return f"IN IP{6 if ':' in host else 4} {host}"
