"""protocol/webhooks.py: notices, their signatures, and who is believed."""

from __future__ import annotations

import hashlib
import hmac
import json

from lipwire.protocol import webhooks as w

SECRET = "a-secret"


def notice() -> w.Notice:
    return w.Notice(event_type=w.JOINED, notify_ms=1_764_500_000_123, sid="a1", payload={"name": "Zoë", "start_ts": 1})


def test_a_notice_has_the_members_of_the_service_and_one_id_for_all_its_repeats() -> None:
    one = notice()
    told = json.loads(one.body())
    assert set(told) == {"noticeId", "productId", "eventType", "notifyMs", "sid", "payload"}
    assert (told["productId"], told["eventType"], told["notifyMs"], told["sid"]) == (17, 101, 1_764_500_000_123, "a1")
    assert told["payload"] == {"name": "Zoë", "start_ts": 1}
    assert one.body() == one.body()
    assert notice().notice_id != one.notice_id


def test_signatures_are_hmacs_of_the_very_bytes() -> None:
    body = notice().body()
    signed = w.sign(body, SECRET)
    assert signed == {
        "Agora-Signature": hmac.new(b"a-secret", body, hashlib.sha1).hexdigest(),
        "Agora-Signature-V2": hmac.new(b"a-secret", body, hashlib.sha256).hexdigest(),
    }
    # The well-known vector of HMAC-SHA256 and HMAC-SHA1.
    vector = w.sign(b"The quick brown fox jumps over the lazy dog", "key")
    assert vector["Agora-Signature"] == "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"
    assert vector["Agora-Signature-V2"] == "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"


def test_who_is_believed() -> None:
    body = notice().body()
    signed = w.sign(body, SECRET)
    assert w.verify(body, signed, SECRET)
    assert w.verify(body, {name.lower(): value for name, value in signed.items()}, SECRET)
    assert w.verify(body, {"agora-signature": signed["Agora-Signature"]}, SECRET)  # an older receiver's
    assert not w.verify(body, signed, "another")
    assert not w.verify(body + b" ", signed, SECRET)
    assert not w.verify(body, {}, SECRET)
    assert not w.verify(body, {"Agora-Signature-V2": "é", "Agora-Signature": signed["Agora-Signature"]}, SECRET)
