"""agents/rest/sections/session.py: user ids, what an agent says by itself, encryption."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import Encryption, Filler, Silence
from lipwire.agents.rest.wire import parse_join
from support.agent_bodies import V2

SALT = bytes(range(32))


def joined(**more: Any) -> AgentConfig:
    return parse_join({**V2, "properties": V2["properties"] | more}, "v2")


def test_user_ids_are_texts_or_numbers() -> None:
    for agent, remote, expected in (
        ("1001", ["*"], ("1001", [])),
        (1001, [7, "8"], ("1001", ["7", "8"])),
        (1001.0, [], ("1001", [])),
        ("0", ["7", "*"], ("0", [])),
        ("1", ["0"], ("1", [])),
        ("1", ["7", 0.0], ("1", [])),
        ("1", ["000"], ("1", [])),
    ):
        config = joined(agent_rtc_uid=agent, remote_rtc_uids=remote)
        assert (config.uid, config.remote_uids) == expected
    named = joined(agent_rtc_uid="bot", remote_rtc_uids=["ann"], enable_string_uid=True)
    assert (named.uid, named.remote_uids, named.string_uid) == ("bot", ["ann"], True)
    assert joined(remote_rtc_uids=["0"], enable_string_uid=True).remote_uids == ["0"]  # which is a name then


def test_filler_words() -> None:
    static = {"phrases": ["hm", "well"], "selection_rule": "round_robin"}
    timed = {"mode": "fixed_time", "fixed_time_config": {"response_wait_ms": 800}}
    config = joined(filler_words={"enable": True, "trigger": timed, "content": {"static_config": static}})
    assert config.filler == Filler(wait_ms=800, phrases=["hm", "well"], order="round_robin")
    made = {"mode": "generated", "generated_config": {"prompt": "p", "llm_provider": {"url": "u", "api_key": "k"}}}
    assert joined(filler_words={"content": made | {"static_config": static}}).filler is not None
    for nothing in (None, {"enable": False, "content": made}, {"enable": False}):
        assert joined(filler_words=nothing).filler is None
    with pytest.raises(InvalidAgentRequest, match=r"phrases must be 1 to 100 strings, which are said in place of"):
        joined(filler_words={"enable": True, "content": made})


def test_silence() -> None:
    config = joined(parameters={"silence_config": {"timeout_ms": 8000, "action": "think", "content": "Ask."}})
    assert config.silence == Silence(timeout_ms=8000, action="think", content="Ask.")
    assert joined(parameters={"silence_config": {"timeout_ms": 0, "content": "x"}}).silence is None
    assert joined(parameters={"silence_config": None}).silence is None
    with pytest.raises(InvalidAgentRequest, match=r"silence_config\.content must be a text, where timeout_ms is not 0"):
        joined(parameters={"silence_config": {"timeout_ms": 8000}})


def test_farewell() -> None:
    for farewell, seconds in (
        ({"graceful_enabled": True, "graceful_timeout_seconds": 10}, 10),
        ({"graceful_enabled": True}, 30),
        ({"graceful_enabled": False, "graceful_timeout_seconds": 10}, 0),
        (None, 0),
    ):
        assert joined(parameters={"farewell_config": farewell}).farewell_seconds == seconds


def test_labels_and_what_clients_are_told() -> None:
    told = {"enable_metrics": False, "enable_error_message": False, "data_channel": "rtm", "audio_scenario": "chorus"}
    config = joined(labels={"a": "b"}, parameters=told | {"opt_out": True})
    assert (config.labels, config.metrics, config.error_messages) == ({"a": "b"}, False, False)
    assert (joined().metrics, joined().error_messages) == (True, True)


def test_encryption() -> None:
    salt = base64.b64encode(SALT).decode()
    rtc = {"encryption_key": "k", "encryption_mode": 8, "encryption_salt": salt}
    assert joined(rtc=rtc).encryption == Encryption(key="k", mode=8, salt=SALT)
    assert joined(rtc={"encryption_key": "k", "encryption_mode": 5}).encryption == Encryption(key="k", mode=5)
    for nothing in (None, {}, {"encryption_key": "", "encryption_mode": None}):
        assert joined(rtc=nothing).encryption is None


@pytest.mark.parametrize(
    ("rtc", "words"),
    [
        ({"encryption_key": "k"}, "encryption_mode must be an integer 1..8"),
        ({"encryption_key": "k", "encryption_mode": 7}, "encryption_salt must be base64 of 32 bytes"),
        ({"encryption_key": "k", "encryption_mode": 8, "encryption_salt": "AAAA"}, "encryption_salt must be base64"),
        ({"encryption_key": "k", "encryption_mode": 8, "encryption_salt": "?"}, "encryption_salt must be base64"),
        ({"encryption_mode": 8}, "encryption_mode needs rtc.encryption_key"),
        ({"encryption_salt": "AAAA"}, "encryption_salt needs rtc.encryption_key"),
    ],
)
def test_nothing_is_joined_unencrypted_in_silence(rtc: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        joined(rtc=rtc)
    assert str(caught.value).startswith(f"properties.rtc.{words}")


def test_a_user_id_that_is_a_number_is_one_however_it_is_written() -> None:
    config = joined(agent_rtc_uid="007", remote_rtc_uids=["0042", 42])
    assert (config.uid, config.remote_uids) == ("7", ["42", "42"])
    config = joined(agent_rtc_uid="007", remote_rtc_uids=["0042"], enable_string_uid=True)
    assert (config.uid, config.remote_uids) == ("007", ["0042"])
