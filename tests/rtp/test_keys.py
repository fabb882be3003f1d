"""Keys in a description, and what they encrypt."""

from __future__ import annotations

import base64

import pytest

from lipwire.rtp.keys import MAX_SSRCS, SUITES, Key, Opened, Sealed, make_key, parse_key, suites
from support.rtp_offers import rtp, sender_report

SECRET = base64.b64encode(bytes(range(30))).decode()
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize(
    "value, taken",
    [
        (f"1 {SUITE} inline:{SECRET}", True),
        (f"1 {SUITE} inline:{SECRET}|2^31", True),
        (f"7 AES_CM_128_HMAC_SHA1_32 inline:{SECRET}|1048576", True),
        (f"1 {SUITE} inline:{SECRET}|2^10", False),  # over in 20 s
        (f"1 {SUITE} inline:{SECRET}|2^31|1:4", False),  # with an MKI
        (f"1 {SUITE} inline:{SECRET};inline:{SECRET}", False),
        (f"1 {SUITE} inline:{SECRET} UNENCRYPTED_SRTP", False),
        (f"1 {SUITE} inline:{SECRET[:-4]}", False),
        (f"1 F8_128_HMAC_SHA1_80 inline:{SECRET}", False),
        (f"1 {SUITE} inline:!!!!", False),
        ("1", False),
        ("", False),
    ],
)
def test_which_are_taken(value: str, taken: bool) -> None:
    key = parse_key(value)
    assert (key is not None) == taken
    if key is not None:
        assert key.secret == bytes(range(30))
        assert key.line() == f"a=crypto:{key.tag} {key.suite} inline:{SECRET}"
        assert "0102" not in repr(key) and SECRET[:8] not in repr(key)
        ours = make_key(key)
        assert (ours.tag, ours.suite, len(ours.secret)) == (key.tag, key.suite, 30) and ours.secret != key.secret


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_sealed_is_opened_once_and_by_its_key(suite: str) -> None:
    assert suite in suites(), "pylibsrtp's wheel has all of them"
    key = Key("1", suite, bytes(range(SUITES[suite][1])))
    report = sender_report(7, 1 << 40)
    sealed = Sealed(key).rtcp(report)
    assert sealed != report
    opened = Opened(key)
    assert opened.rtcp(sealed) == report
    assert opened.rtcp(sealed) is None  # a replay
    assert Opened(make_key(key)).rtcp(sealed) is None
    assert opened.rtcp(sealed[:-1]) is None and opened.rtcp(b"") is None and opened.rtcp(bytes(2000)) is None
    session = Sealed(key).session
    packet = rtp(b"speech", 1, 160)
    assert opened.rtp(session.protect(packet)) == packet
    assert opened.rtp(packet) is None


def test_one_key_has_few_sources_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that begins stream after stream is heard; who has been silent for the longest is forgotten."""
    caplog.set_level("INFO", "lipwire.rtp")
    key = Key("1", SUITE, bytes(30))
    session, opened = Sealed(key).session, Opened(key)
    sealed = [session.protect(rtp(b"x", 1, 0, ssrc=number)) for number in range(1, MAX_SSRCS + 9)]
    assert all(opened.rtp(one) for one in sealed[:MAX_SSRCS])
    assert not any(opened.rtp(one) for one in sealed[:MAX_SSRCS]), "they came before"
    assert opened.rtp(session.protect(rtp(b"x", 2, 0, ssrc=1)))
    assert all(opened.rtp(one) for one in sealed[MAX_SSRCS:])
    assert opened.rtp(sealed[0]) is None and opened.rtp(sealed[1]), "1 is known still, 2 is not"
    assert [one.levelname for one in caplog.records] == ["INFO"]
