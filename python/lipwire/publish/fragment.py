"""What a peer says of ICE after its offer: application/trickle-ice-sdpfrag (RFC 8840), as WHIP and WHEP send it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from msgspec import Struct

from ..errors import InvalidArgument

MEDIA_TYPE = "application/trickle-ice-sdpfrag"
MAX_CANDIDATES = 64
"""Of one peer, for as long as an ICE session lasts: each costs checks that are sent to it."""
UFRAG, PASSWORD = re.compile(r"[A-Za-z0-9+/]{4,256}"), re.compile(r"[A-Za-z0-9+/]{22,256}")
"""RFC 8839, section 5.4."""
CANDIDATE = re.compile(
    r"(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>\d{1,3}) (?P<transport>\S+) (?P<priority>\d{1,10}) "
    r"(?P<host>\S+) (?P<port>\d{1,5}) typ (?P<type>\S+)(?: .*)?"
)
"""RFC 8839, section 5.1."""
TYPES = ("host", "srflx", "prflx", "relay")


class Section(Struct, frozen=True):
    """What a fragment says of a media section."""

    mid: str
    candidates: list[str]
    """Those that we can use, as they stand behind a=candidate:."""


class Fragment(Struct, frozen=True):
    """One of them, read."""

    ufrag: str | None
    password: str | None
    """Both None: it says nothing of them, so it is about the session that there is."""
    sections: list[Section]


def parse_fragment(text: str) -> Fragment:
    """Reads a fragment. Candidates that we cannot use are left out: TCP, names in place of addresses, other components
    than RTP's (which carries RTCP, too).

    Raises:
        InvalidArgument: it is malformed; it says how.
    """
    said: dict[str, set[str]] = {"ice-ufrag": set(), "ice-pwd": set()}
    sections: list[Section] = []
    kept: list[str] | None = None
    for number, line in enumerate(filter(None, text.splitlines()), 1):
        if not re.fullmatch(r"[a-z]=.+", line):
            raise InvalidArgument(f"line {number} of the SDP fragment is none: {line!a:.60}")
        name, _, value = line.removeprefix("a=").partition(":")
        if line.startswith("m="):
            kept = []
        elif name == "mid":
            if kept is None:
                raise InvalidArgument("a=mid of the SDP fragment stands in front of its m= line")
            sections.append(Section(value, kept))
        elif name in said:
            said[name].add(value)
        elif name == "candidate":
            if kept is None:
                raise InvalidArgument("a=candidate of the SDP fragment stands in front of its m= line")
            kept += usable(value)
    return Fragment(*_names(said), sections)


def _names(said: dict[str, set[str]]) -> tuple[str | None, str | None]:
    ufrags, passwords = said["ice-ufrag"], said["ice-pwd"]
    if not ufrags and not passwords:
        return None, None
    if len(ufrags) != 1 or len(passwords) != 1:
        raise InvalidArgument("an SDP fragment has one a=ice-ufrag and one a=ice-pwd")
    (ufrag,), (password,) = ufrags, passwords
    if not UFRAG.fullmatch(ufrag) or not PASSWORD.fullmatch(password):
        raise InvalidArgument("a=ice-ufrag or a=ice-pwd of the SDP fragment is malformed (RFC 8839, section 5.4)")
    return ufrag, password


def usable(value: str) -> Iterable[str]:
    """A candidate (what stands behind a=candidate:), if we can use it. Raises InvalidArgument where it is malformed."""
    match = CANDIDATE.fullmatch(value)
    if match is None or not 0 <= int(match["port"]) < 65_536 or int(match["priority"]) >= 1 << 32:
        raise InvalidArgument(f"a=candidate is malformed (RFC 8839, section 5.1): {value!a:.80}")
    fits = match["component"] == "1" and match["transport"].lower() == "udp" and match["type"] in TYPES
    return [value] if fits and int(match["port"]) and _is_address(match["host"]) else []


def _is_address(host: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False


def make_fragment(answer: str, mid: str, ufrag: str, password: str, candidates: Iterable[str]) -> str:
    """What we say of a new ICE session.

    Args:
        answer: the SDP that was answered: what it said of ICE in general holds on.
        mid: of the section whose transport it is. candidates: as they stand behind a=candidate:.
    """
    lines = answer.splitlines()
    general = [line for line in lines if line == "a=ice-lite" or line.startswith(("a=ice-options:", "a=ice-pacing:"))]
    media = [line for line in lines[: lines.index(f"a=mid:{mid}")] if line.startswith("m=")][-1]
    return "".join(
        f"{line}\r\n"
        for line in (
            *dict.fromkeys(general),
            *(line for line in lines if line.startswith("a=group:BUNDLE")),
            media,
            f"a=mid:{mid}",
            f"a=ice-ufrag:{ufrag}",
            f"a=ice-pwd:{password}",
            *(f"a=candidate:{candidate}" for candidate in candidates),
            "a=end-of-candidates",
        )
    )
