"""No secret reaches a recording; all that a replay needs does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwire.capture import records as r
from lipwire.protocol import messages as m
from lipwire.provider.client import request

SECRET = "S3CR3T-value"

HIDING: list[Any] = [
    {"command": "init", "agora_settings": {"token": SECRET, "channel": "c"}},
    {"command": "special", "content": {"api_key": SECRET}},
    {"command": "special", "content": {"apiKey": SECRET, "deep": [{"Authorization": SECRET}]}},
    {"command": "special", "content": json.dumps({"session_token": SECRET})},
    {"command": "special", "content": json.dumps({"inner": json.dumps({"password": SECRET})})},
    {"command": "special", "content": {"url": f"https://user:{SECRET}@example.com/x"}},
    {"command": "special", "content": {"url": f"https://example.com/x?a=1&api_key={SECRET}&b=2"}},
    {"command": "special", "content": f"Bearer {SECRET}"},
    {"command": "special", "content": "{broken, token: " + SECRET},
    {"command": "heartbeat", "token": [SECRET]},
    {"command": "init", "rtp": {"sdp": f"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SECRET}|2^31\r\n"}},
    {"command": "heartbeat", "token": {"x": SECRET}},
]


@pytest.mark.parametrize("message", HIDING, ids=str)
def test_secrets_are_removed_wherever_they_hide(message: Any) -> None:
    cleaned = r.clean_text(json.dumps(message))
    assert cleaned is not None and SECRET not in cleaned
    assert json.loads(cleaned)["command"] == message["command"]


def test_one_that_hides_behind_a_member_of_the_same_name_is_removed() -> None:
    cleaned = r.clean_text(f'{{"command":"heartbeat","token":"{SECRET}","token":null}}')
    assert cleaned is not None and SECRET not in cleaned


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', SECRET, "{" * 5000, f'{{"token":"{SECRET}"'])
def test_what_is_no_object_is_left_out(text: str) -> None:
    assert r.clean_text(text) is None


@pytest.mark.parametrize(
    "message",
    [
        '{ "command" : "voice_end", "event_id":"keyboard" }',
        '{"command":"special","content":{"gesture":"wave","monkey":1.50}}',
        '{"command":"special","content":"{ \\"state\\": \\"idle\\" }"}',
        '{"command":"heartbeat","timestamp":1e3}',
    ],
)
def test_what_holds_none_stays_as_it_came(message: str) -> None:
    assert r.clean_text(message) == message


def test_a_start_request_loses_its_token_only() -> None:
    start = request("room", uid="7", rtp=m.RtpRequest(sdp="v=0"))
    cleaned = r.clean_request(start)
    assert cleaned.agora_settings.token == r.REMOVED and start.agora_settings.token == "local"
    assert (cleaned.agora_settings.channel, cleaned.agora_settings.uid) == ("room", "7")
    assert cleaned.rtp is None  # it has keys, and what came by it is recorded as calls


def test_an_error_does_not_repeat_a_secret() -> None:
    told = m.encode(
        m.ErrorEvent("VALIDATION_ERROR", f'Invalid value for agora_settings.token: "{SECRET}"; allowed: a', "e")
    )
    assert SECRET not in r.clean_event(told) and "agora_settings.token" in r.clean_event(told)
    kept = m.encode(m.ErrorEvent("VALIDATION_ERROR", "Invalid value for sampleRate: 1; allowed: an integer", "e"))
    assert r.clean_event(kept) == kept
    finished = m.encode(m.PlaybackFinished("e", 1.5))
    assert r.clean_event(finished) == finished


def test_a_line_comes_back_as_it_was() -> None:
    records: list[r.Record] = [
        r.Connected(0.1 + 0.2, 1),
        r.Received(1e9 + 1 / 3, 2, 480, 3, [960, -961], '{"a":"\u00e9\\n"}'),
        r.Called(1.0, "write", 480, 3, [480], b"\x00\xff", 8000, None),
        r.Played(480, [0, 2**32 - 1], [(1920, 5)]),
        r.Lost(4),
        r.Ended(2.0, "idle"),
    ]
    lines = [r.encode(record) for record in records]
    assert [r.decode(line) for line in lines] == records
    assert all(line.count(b"\n") == 1 for line in lines)
    assert r.decode(b'{"k":"in"}') is None and r.decode(b"\xff") is None
