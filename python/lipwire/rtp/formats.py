"""The codecs of speech and pictures that plain RTP is spoken with here, and which of an offer's are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from .sdp import Format

Codec = Literal["pcmu", "pcma", "g722", "opus", "l16"]
SENT = ("opus", "g722", "pcmu", "pcma")
"""What speech is sent in."""
L16_RATES = (8000, 16000, 24000, 48000)
"""Hz of linear PCM that is taken; 44 100, which is that of payload type 11, is not."""


class Speech(Struct, frozen=True):
    """How one sender's speech comes."""

    codec: Codec
    payload_type: int
    clock_rate: int
    """Hz of RTP timestamps: of G.722 8000 (RFC 3551, 4.5.2)."""
    sample_rate: int
    """Hz of what is heard."""
    comfort_noise_type: int | None = None
    """Of comfort noise (RFC 3389); None = there is none."""
    event_type: int | None = None
    """Of telephone events (RFC 4733)."""
    formats: tuple[Format, ...] = ()
    """All of these, for the answer."""


def _sample_rate(one: Format) -> int:
    """Hz of a codec of speech; 0 = it is none that is known here."""
    if one.name in ("pcmu", "pcma") and one.clock_rate == 8000 and one.channels == 1:
        return 8000
    if one.name == "g722" and one.clock_rate == 8000 and one.channels == 1:
        return 16000
    if one.name == "opus" and one.clock_rate == 48000 and one.channels == 2:  # always (RFC 7587, 4.2)
        return 48000
    if one.name == "l16" and one.clock_rate in L16_RATES and one.channels == 1:
        return one.clock_rate
    return 0


def choose_speech(offered: Sequence[Format]) -> Speech | None:
    """The first codec that is known, with the comfort noise and the telephone events that go with it; None = there is
    no such."""
    first = next((one for one in offered if _sample_rate(one)), None)
    if first is None:
        return None
    beside = {
        name: next((one for one in offered if one.name == name and one.clock_rate == first.clock_rate), None)
        for name in ("cn", "telephone-event")
    }
    codec: Codec = first.name  # type: ignore[assignment]  # `_sample_rate` knows these alone
    noise, events = beside["cn"], beside["telephone-event"]
    return Speech(
        codec=codec,
        payload_type=first.payload_type,
        clock_rate=first.clock_rate,
        sample_rate=_sample_rate(first),
        comfort_noise_type=None if noise is None else noise.payload_type,
        event_type=None if events is None else events.payload_type,
        formats=tuple(one for one in (first, noise, events) if one is not None),
    )


def choose_sound(offered: Sequence[Format]) -> Format | None:
    """What speech is sent in: the first that is known; None = there is no such."""
    return next((one for one in offered if one.name in SENT and _sample_rate(one)), None)


def choose_pictures(offered: Sequence[Format]) -> Format | None:
    """What pictures are sent in: H.264 that may fill packets (packetization-mode 1, RFC 6184 8.1), or else H.264 at
    all; None = there is none."""
    known = [one for one in offered if one.name == "h264" and one.clock_rate == 90000]
    return next((one for one in known if one.parameter("packetization-mode") == "1"), known[0] if known else None)
