"""WebRTC offers, read before aiortc takes them.

aiortc takes all of an offer or nothing; and takes much that it later fails on, in a task of its own, where nobody hears
of it. So it is given those sections that can be answered, in words that it reads; the others are rejected (RFC 3264,
section 6: port 0), in the place where they stood. What it leans on is checked here (RFC 8829, section 5.8; 8839; 8842;
8843), on its own reading.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from aiortc.sdp import SessionDescription

from ..errors import InvalidArgument
from . import aiortc_private
from .fragment import MAX_CANDIDATES, usable

MAX_SECTIONS = 16
"""Media sections; each may cost a socket until they are bundled."""
KINDS = ("audio", "video", "application")
MID = re.compile(r"[!-~]{1,64}")
FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+")
DIGESTS = ("sha-256", "sha-384", "sha-512")
MEDIA = re.compile(r"m=(\S+) (\d+)(?:/\d+)? (\S+) (.+)")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
STATIC = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
"""Payload types of ours that need no a=rtpmap (RFC 3551, section 6)."""
TRANSPORT = ("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup")
"""What bundled sections leave to the first of them (RFC 8829, section 5.2.1; RFC 8859)."""
H264 = "packetization-mode=1;profile-level-id=42e01f"
"""The H.264 that aiortc has: whoever decodes any profile decodes constrained baseline."""
MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


class Section:
    """A media section, line by line."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        found = MEDIA.fullmatch(lines[0])
        self.kind, self.port, self.protocol, formats = found.groups() if found is not None else ("", "", "", "")
        self.formats: list[str] = formats.split()
        self.rejected = False
        self.h264: dict[str, str | None] = {}
        """Payload type -> what stood in its a=fmtp; aiortc is given `H264`."""

    def values(self, name: str) -> list[str]:
        """What stands behind each `a=name:`."""
        prefix = f"a={name}:"
        return [line[len(prefix) :] for line in self.lines if line.startswith(prefix)]

    @property
    def mid(self) -> str | None:
        return next(iter(self.values("mid")), None)

    @property
    def direction(self) -> str:
        """Which way it goes; sendrecv where nothing is said (RFC 8866, section 6.7)."""
        return next((way for line in self.lines if (way := line.removeprefix("a=")) in DIRECTIONS), "sendrecv")

    def complete(self) -> None:
        """Says what an offer may leave out, and leaves out what aiortc's parser stops at."""
        mapped = {value.split(" ")[0] for value in self.values("rtpmap")}
        if self.kind == "audio":
            added = [number for number in self.formats if number in STATIC and number not in mapped]
            self.lines += [f"a=rtpmap:{number} {STATIC[number]}" for number in added]
            mapped.update(added)
        self.lines[1:] = [line for line in map(_plain, self.lines[1:]) if _is_read(line, mapped)]

    def bound_candidates(self, room: int) -> int:
        """Leaves out what exceeds `room` candidates; how many there are."""
        candidates = [number for number, line in enumerate(self.lines) if line.startswith("a=candidate:")]
        for number in reversed(candidates[room:]):
            del self.lines[number]
        return min(room, len(candidates))

    def inherit(self, first: Section, names: tuple[str, ...]) -> None:
        """Lines of the first section of its bundle that it has none of."""
        for name in names:
            if not self.values(name):
                self.lines += [f"a={name}:{value}" for value in first.values(name)]

    def judge(self, session: list[str]) -> None:
        """Whether it is rejected: it is switched off, of a kind that nobody here knows, or has no codec in common."""
        off = self.port == "0" and "a=bundle-only" not in self.lines
        other = self.kind not in KINDS or (self.kind == "application" and "DTLS/SCTP" not in self.protocol)
        self.rejected = bool(self.kind) and (off or other)
        if not self.rejected and self.kind in ("audio", "video") and not self._has_codec(session):
            self._offer_h264()
            self.rejected = not self._has_codec(session)

    def _has_codec(self, session: list[str]) -> bool:
        try:
            (read,) = SessionDescription.parse(_text([*session, *self.lines])).media
        except Exception:  # its parser raises what it happens to raise; `_check` says it
            return True
        return aiortc_private.has_codec(self.kind, read.rtp.codecs)

    def _offer_h264(self) -> None:
        """H.264 of another profile, or in single NAL units, or of which nothing is said (RFC 6184, section 8.1)."""
        numbers = [value.split(" ")[0] for value in self.values("rtpmap") if value.lower().endswith(" h264/90000")]
        formats = {number: text for number, _, text in (value.partition(" ") for value in self.values("fmtp"))}
        self.h264 = {number: formats.get(number) for number in numbers}
        self.lines = [line for line in self.lines if not line.startswith(tuple(f"a=fmtp:{n} " for n in numbers))]
        self.lines += [f"a=fmtp:{number} {H264}" for number in numbers]

    @property
    def single_units(self) -> set[int]:
        """Payload types whose packets hold one NAL unit each (packetization-mode 0)."""
        whole = re.compile(r"packetization-mode\s*=\s*[12]")
        return {int(number) for number, text in self.h264.items() if not whole.search(text or "")}

    @property
    def no_silence(self) -> set[int]:
        """Payload types of sound that would rather be sent no silence (usedtx; RFC 7587, section 7.1)."""
        found = (value.partition(" ") for value in self.values("fmtp"))
        return {int(number) for number, _, text in found if re.search(r"usedtx\s*=\s*1\b", text)}

    def extension(self, uri: str) -> int:
        """The number of a header extension (RFC 8285); 0 = it is not offered."""
        found = (value.split(" ") for value in self.values("extmap"))
        return next((int(number) for number, name in found if name == uri and number.isdecimal()), 0)

    def has_feedback(self, name: str) -> bool:
        """Whether some codec's receiver gives this feedback (a=rtcp-fb; RFC 4585, section 4.2)."""
        return any(value.split(" ", 1)[1:] == [name] for value in self.values("rtcp-fb"))

    def reject(self) -> list[str]:
        """The lines of the answer's section."""
        mid = [] if self.mid is None else [f"a=mid:{self.mid}"]
        return [f"m={self.kind} 0 {self.protocol} {' '.join(self.formats)}", "c=IN IP4 0.0.0.0", *mid, "a=inactive"]

    def restore(self, lines: list[str]) -> list[str]:
        """The answer's section, with the H.264 that was offered in place of aiortc's."""
        restored = []
        for line in lines:
            number = line.removeprefix("a=fmtp:").split(" ")[0]
            if not line.startswith("a=fmtp:") or number not in self.h264:
                restored.append(line)
            elif (text := self.h264[number]) is not None:
                restored.append(f"a=fmtp:{number} {text}")
        if "a=sendonly" not in lines:  # what the peer sends may repeat itself, so that a lost packet is in the next one
            restored += [f"a=fmtp:{number} useinbandfec=1" for number in _opus(lines)]
        return restored


class Offer(NamedTuple):
    """An offer that can be answered."""

    sdp: str
    """What aiortc is given."""
    sections: list[Section]
    """All of it."""
    candidates: int
    """How many it has."""

    @property
    def single_units(self) -> set[int]:
        """Payload types of H.264 whose packets hold one NAL unit each."""
        return {number for section in self.sections if not section.rejected for number in section.single_units}

    @property
    def no_silence(self) -> set[int]:
        """Payload types of sound that would rather be sent no silence."""
        return {number for section in self.sections if not section.rejected for number in section.no_silence}

    def check_directions(self, allowed: tuple[str, ...]) -> None:
        """
        Raises:
            InvalidArgument: a section of sound or pictures has a direction that does not fit what it is asked for.
        """
        for number, section in enumerate(self.sections):
            if not section.rejected and section.kind in ("audio", "video") and section.direction not in allowed:
                raise InvalidArgument(
                    f"media section {number} of the SDP offer is {section.direction}; here it must be "
                    f"{' or '.join(allowed)}"
                )

    def transport_cc(self, mid: str | None) -> int:
        """The number of the extension for transport-wide feedback, where that is the only word that a section's
        receiver has for what its path carries; else 0. It comes 10 to 20 times a second, REMB once."""
        section = next((one for one in self.sections if one.mid == mid and not one.rejected), None)
        if section is None or section.has_feedback("goog-remb") or not section.has_feedback("transport-cc"):
            return 0
        return section.extension(TRANSPORT_CC)

    def answer(self, sdp: str) -> str:
        """aiortc's answer, with the sections that were rejected."""
        session, answered = _split(sdp)
        for section in self.sections:
            session += section.reject() if section.rejected else section.restore(answered.pop(0).lines)
        return _text(session)


def parse_offer(sdp: str) -> Offer:
    """
    Raises:
        InvalidArgument: it is none that can be answered; it says what is wrong.
    """
    session, sections = _split(sdp)
    if not 1 <= len(sections) <= MAX_SECTIONS:
        raise InvalidArgument(f"an SDP offer has 1..{MAX_SECTIONS} media sections (m=), this one {len(sections)}")
    bundle = next((line.split(" ")[1:] for line in session if line.startswith("a=group:BUNDLE ")), [])
    first = next((section for section in sections if section.mid in bundle[:1]), None)
    for section in sections:
        section.complete()
        if first is not None and section.mid in bundle and section.port != "":
            section.inherit(first, TRANSPORT)
        section.judge(session)
    kept = [section for section in sections if not section.rejected]
    if not kept:
        raise InvalidArgument(
            "no media section of the SDP offer can be answered: sound needs Opus, G.722, PCMU or PCMA, pictures "
            "VP8 or H.264"
        )
    if first is not None and first.rejected and kept[0].mid in bundle:
        kept[0].inherit(first, ("candidate",))
    candidates = 0
    for section in kept:
        candidates += section.bound_candidates(MAX_CANDIDATES - candidates)
    rejected = {section.mid for section in sections if section.rejected}
    text = _text(
        [*(_without(line, rejected) for line in session), *(line for section in kept for line in section.lines)]
    )
    _check(text)
    return Offer(text, sections, candidates)


def _opus(lines: list[str]) -> list[str]:
    """Payload types of Opus (RFC 7587, section 6.1)."""
    return [match[1] for line in lines if (match := re.fullmatch(r"a=rtpmap:(\d+) opus/48000/2", line))]


def _split(sdp: str) -> tuple[list[str], list[Section]]:
    """(lines in front, media sections)."""
    session: list[str] = []
    sections: list[list[str]] = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            sections.append([])
        (sections[-1] if sections else session).append(line)
    return session, [Section(lines) for lines in sections]


def _text(lines: list[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _without(line: str, mids: set[str | None]) -> str:
    """The line; of a bundle without those that were rejected."""
    if not line.startswith("a=group:BUNDLE"):
        return line
    return " ".join(word for word in line.split(" ") if word not in mids)


def _plain(line: str) -> str:
    """The line, without the attributes of an extension, which aiortc does not know (RFC 8285, section 5)."""
    return " ".join(line.split(" ")[:2]) if line.startswith("a=extmap:") else line


def _is_read(line: str, mapped: set[str]) -> bool:
    """Whether aiortc is to read it: formats of payload types that are there, sources with a value (RFC 5576),
    candidates that we can use. Chromium hides its addresses behind mDNS names that nobody answers for here; looking
    one up costs 1 s."""
    if line.startswith("a=fmtp:"):
        return line.removeprefix("a=fmtp:").split(" ")[0] in mapped
    if line.startswith("a=ssrc:"):
        return re.fullmatch(r"a=ssrc:\d+ [^: ]+:.*", line) is not None
    if line.startswith("a=candidate:"):
        return bool(usable(line.removeprefix("a=candidate:")))
    return True


def _check(sdp: str) -> None:
    """
    Raises:
        InvalidArgument: aiortc cannot answer it; it says what is wrong.
    """
    try:
        offer: Any = SessionDescription.parse(sdp)
    except Exception as exc:  # its parser raises what it happens to raise
        reason = f"{type(exc).__name__} {exc}".strip()
        raise InvalidArgument(f"the SDP offer cannot be read: {reason:.200}") from exc
    for number, section in enumerate(offer.media):
        fault = _fault_of(section)
        if fault is not None:
            raise InvalidArgument(f"media section {number} of the SDP offer {fault}")
    mids = [section.rtp.muxId for section in offer.media]
    if len(set(mids)) < len(mids):
        raise InvalidArgument("media sections of the SDP offer have one a=mid twice")
    bundles = [group.items for group in offer.group if group.semantic == "BUNDLE"]
    bundled = [mid for items in bundles for mid in items]
    if len(set(bundled)) < len(bundled) or not set(bundled) <= set(mids) or len(bundles) > 1:
        raise InvalidArgument("a=group:BUNDLE of the SDP offer names other sections than there are")


def _fault_of(section: Any) -> str | None:
    """What is wrong with a section; None = nothing."""
    ice, dtls = section.ice, section.dtls
    if dtls is None:
        return "has no a=setup"
    digests = [print_.algorithm.lower() in DIGESTS for print_ in dtls.fingerprints]
    faults = {
        f"is none of {', '.join(KINDS)}": section.kind not in KINDS,
        "has no a=mid": not MID.fullmatch(section.rtp.muxId or ""),
        "has no a=ice-ufrag or no a=ice-pwd": not (ice.usernameFragment and ice.password),
        f"has no a=fingerprint of {', '.join(DIGESTS)}": not any(digests),
        "has a broken a=fingerprint": not all(FINGERPRINT.fullmatch(print_.value) for print_ in dtls.fingerprints),
        "has no a=setup": dtls.role is None,
        "has no port in a=sctp-port": section.kind == "application" and not _has_sctp_port(section),
    }
    return next((fault for fault, there in faults.items() if there), None)


def _has_sctp_port(section: Any) -> bool:
    port = section.fmt[0] if section.profile == "DTLS/SCTP" else section.sctp_port
    return port is not None and str(port).isdecimal() and 0 < int(port) < 65536
