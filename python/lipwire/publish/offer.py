"""WebRTC offers, checked before aiortc takes them.

aiortc takes much that it later fails on: in a task of its own, where nobody hears of it, or when the connection is
closed. What it leans on is checked here (RFC 8829, section 5.8; 8839; 8842; 8843), on its own reading of the offer.
"""

from __future__ import annotations

import re
from typing import Any

from aiortc.sdp import SessionDescription

from ..errors import InvalidArgument

MAX_SECTIONS = 16
"""Media sections; each may cost a socket until they are bundled."""
KINDS = ("audio", "video", "application")
MID = re.compile(r"[!-~]{1,64}")
FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+")
DIGESTS = ("sha-256", "sha-384", "sha-512")


def check_offer(sdp: str) -> None:
    """
    Raises:
        InvalidArgument: it is none that can be answered; it says what is wrong.
    """
    try:
        offer: Any = SessionDescription.parse(sdp)
    except Exception as exc:  # its parser raises what it happens to raise
        reason = f"{type(exc).__name__} {exc}".strip()
        raise InvalidArgument(f"the SDP offer cannot be read: {reason:.200}") from exc
    if not 1 <= len(offer.media) <= MAX_SECTIONS:
        raise InvalidArgument(f"an SDP offer has 1..{MAX_SECTIONS} media sections (m=), this one {len(offer.media)}")
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
