"""Which codecs of an offer are taken."""

from __future__ import annotations

import pytest

from lipwire.rtp.formats import Speech, choose_pictures, choose_sound, choose_speech
from lipwire.rtp.sdp import STATIC, Format, parse_sdp
from support.rtp_offers import ASTERISK, LINPHONE

OPUS = Format(96, "opus", 48000, 2)
EVENTS = Format(101, "telephone-event", 8000)


@pytest.mark.parametrize(
    "offered, codec, clock, rate, noise, events",
    [
        ([STATIC[0], STATIC[13], EVENTS], "pcmu", 8000, 8000, 13, 101),
        ([STATIC[8]], "pcma", 8000, 8000, None, None),
        ([STATIC[9], STATIC[13], EVENTS], "g722", 8000, 16000, 13, 101),
        ([OPUS, EVENTS, Format(102, "telephone-event", 48000)], "opus", 48000, 48000, None, 102),
        ([Format(97, "l16", 16000), STATIC[13]], "l16", 16000, 16000, None, None),
        ([STATIC[11], Format(98, "speex", 8000), STATIC[0]], "pcmu", 8000, 8000, None, None),
    ],
)
def test_the_first_that_is_known_and_what_goes_with_it(
    offered: list[Format], codec: str, clock: int, rate: int, noise: int | None, events: int | None
) -> None:
    speech = choose_speech(offered)
    assert isinstance(speech, Speech)
    assert (speech.codec, speech.clock_rate, speech.sample_rate) == (codec, clock, rate)
    assert (speech.comfort_noise_type, speech.event_type) == (noise, events)
    assert [one.payload_type for one in speech.formats] == [
        one for one in (speech.payload_type, noise, events) if one is not None
    ]


@pytest.mark.parametrize(
    "odd",
    [STATIC[10], STATIC[11], Format(96, "opus", 48000), Format(0, "pcmu", 16000), Format(96, "l16", 16000, 2), EVENTS],
)
def test_what_is_not_known_is_not_taken(odd: Format) -> None:
    assert choose_speech([odd]) is None and choose_sound([odd]) is None


def test_what_is_sent() -> None:
    (asterisk,) = parse_sdp(ASTERISK)
    assert choose_sound(asterisk.formats) == Format(9, "g722", 8000)
    assert choose_sound([Format(97, "l16", 16000), OPUS]) == OPUS
    _, video = parse_sdp(LINPHONE)
    chosen = choose_pictures(video.formats)
    assert chosen is not None and chosen.payload_type == 96
    assert choose_pictures(video.formats[1:]) == Format(97, "h264", 90000)  # in single NAL units
    assert choose_pictures([Format(98, "vp8", 90000)]) is None
