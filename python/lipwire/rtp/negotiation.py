"""An offer that comes with a request, and the answer (RFC 3264): which sections are taken, and how.

| the offer's section | what is done |
|---|---|
| sound, sendonly | speech is taken |
| sound, recvonly | speech is sent |
| sound, sendrecv | speech is taken; it is sent back as well where the offer takes pictures too, which it belongs to |
| video, recvonly or sendrecv, H.264 | pictures are sent |
| anything else, and what would be a second one of these | rejected, with port 0 |

No I/O: addresses are text here, and nothing is looked up.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..errors import InvalidArgument
from .formats import Speech, choose_pictures, choose_sound, choose_speech
from .keys import Key, check_suites, make_key, parse_key
from .sdp import PROTOCOLS, Direction, Format, Section, parse_sdp

FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
"""What is heeded of what a receiver of pictures says (a=rtcp-fb; RFC 4585, RFC 5104)."""
PACKET_MS = 20


class Media(Struct, frozen=True):
    """What is agreed of one section."""

    section: Section
    takes: Speech | None = None
    """How speech comes; None = it does not."""
    sends: Format | None = None
    """What is sent; None = nothing."""
    their_key: Key | None = None
    """Of the SRTP that comes; None = it is not encrypted,"""
    our_key: Key | None = None
    """and neither is what is sent."""

    @property
    def kind(self) -> Literal["audio", "video"]:
        return "video" if self.section.kind == "video" else "audio"

    @property
    def used(self) -> bool:
        """Whether it is taken at all."""
        return self.takes is not None or self.sends is not None

    @property
    def feedback(self) -> list[str]:
        """What its receiver says and we heed."""
        if self.sends is None:
            return []
        said = [value.partition(" ") for value in self.section.values("rtcp-fb")]
        number = str(self.sends.payload_type)
        return [name for name in FEEDBACK if any(of in (number, "*") and what == name for of, _, what in said)]

    @property
    def asks_for_keys(self) -> bool:
        """Whether its receiver can say that it needs a key frame."""
        return bool({"nack pli", "ccm fir"} & set(self.feedback))

    @property
    def single_units(self) -> bool:
        """Whether each packet of H.264 holds one NAL unit (packetization-mode 0)."""
        sends = self.sends
        return sends is not None and sends.name == "h264" and sends.parameter("packetization-mode") != "1"

    def answer(self, port: int) -> list[str]:
        """The lines of the answer's section, where packets are taken on `port`."""
        section = self.section
        mid = [f"a=mid:{section.mid}"] if section.mid is not None else []
        if not self.used:
            return [f"m={section.kind} 0 {section.protocol} {' '.join(section.payload_types)}", *mid, "a=inactive"]
        formats = list(self.takes.formats) if self.takes is not None else []
        if self.sends is not None and self.sends.payload_type not in {one.payload_type for one in formats}:
            formats.insert(0, self.sends)
        types = " ".join(str(one.payload_type) for one in formats)
        lines = [f"m={section.kind} {port} {section.protocol} {types}", *mid]
        lines += [line for one in formats for line in one.lines()]
        lines += [f"a=rtcp-fb:{self.sends.payload_type} {name}" for name in self.feedback if self.sends is not None]
        if section.kind == "audio":
            lines.append(f"a=ptime:{PACKET_MS}")
        if self.our_key is not None:
            lines.append(self.our_key.line())
        if section.mux:
            lines.append("a=rtcp-mux")
        return [*lines, f"a={self._direction}"]

    @property
    def _direction(self) -> Direction:
        if self.takes is None:
            return "sendonly"
        return "recvonly" if self.sends is None else "sendrecv"


def negotiate(offer: str, *, takes: bool = True, sends: bool = True) -> list[Media]:
    """What is made of an offer, section by section in its order; at least one is used.

    Args:
        offer: the SDP.
        takes, sends: whether speech may be taken, and speech and pictures sent.

    Raises:
        InvalidArgument: it is no SDP, or nothing of it can be used; the message says why.
    """
    sections = parse_sdp(offer)
    watched = sends and any(
        s.kind == "video" and s.port and s.direction in ("recvonly", "sendrecv") and choose_pictures(s.formats)
        for s in sections
    )
    found: list[Media] = []
    reasons: list[str] = []
    for number, section in enumerate(sections):
        hears = takes and not any(media.takes for media in found)
        tells = sends and not any(media.sends and media.kind == section.kind for media in found)
        media, reason = _media(section, hears, tells, watched)
        found.append(media)
        if reason:
            reasons.append(f"section {number} ({section.kind}) {reason}")
    if not any(media.used for media in found):
        raise InvalidArgument("nothing of the SDP can be used: " + "; ".join(reasons or ["all of it is inactive"]))
    return found


def _media(section: Section, hears: bool, sends: bool, watched: bool) -> tuple[Media, str]:
    """What is made of one section, and why that is nothing."""
    fault = _fault(section)
    if fault:
        return Media(section), fault
    theirs = ours = None
    if "SAVP" in section.protocol:
        check_suites()
        theirs = next((key for key in map(parse_key, section.values("crypto")) if key is not None), None)
        if theirs is None:
            return Media(section), "has no a=crypto that can be used (RFC 4568; without MKI, one key)"
        ours = make_key(theirs)
    elif any(True for _ in section.values("crypto")):
        return Media(section), "has a=crypto, and asks for no encryption: offer it as RTP/SAVP"
    comes, goes = (section.direction in (one, "sendrecv") for one in ("sendonly", "recvonly"))
    formats = section.formats
    speech = choose_speech(formats) if section.kind == "audio" and comes and hears else None
    out = None
    if sends and goes:
        if section.kind == "video":
            out = choose_pictures(formats)
        elif not comes or watched:
            out = choose_sound(formats)
    if speech is not None and out is not None and speech.codec != out.name:
        out = choose_sound([one for one in speech.formats if one.name != "cn"])  # one codec both ways, as RFC 3264 asks
    media = Media(section, speech, out, theirs, ours)
    return media, "" if media.used else _why(section, hears)


def _fault(section: Section) -> str:
    """Why a section is none of ours; "" = it may be."""
    if section.port == 0:
        return "is switched off (port 0)"
    if section.kind not in ("audio", "video"):
        return "is neither audio nor video"
    if "TLS" in section.protocol:
        return "wants keys by DTLS, which is WebRTC: offer it to WHIP or to the viewer's door"
    if section.protocol not in PROTOCOLS:
        return f"wants {section.protocol!a:.40}; there are {', '.join(PROTOCOLS)}"
    return ""


def _why(section: Section, hears: bool) -> str:
    if section.direction == "inactive":
        return "is inactive"
    if section.kind == "video":
        return "takes no H.264 (it is sent, and no video is taken)"
    if section.direction == "sendonly" and not hears:
        return "speaks, and no more speech is taken"
    return (
        "has no codec that is known: PCMU, PCMA, G722, opus/48000/2, L16 mono at 8, 16, 24 or 48 kHz (it is not sent)"
    )
