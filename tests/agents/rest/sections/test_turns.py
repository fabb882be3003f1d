"""agents/rest/sections/turns.py: the present words of turn taking, the older ones, and which goes before which."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import TurnDetection
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import Interruption
from lipwire.agents.rest.wire import parse_join
from lipwire.protocol.agent_bodies.v2.mllm import OwnVad
from lipwire.protocol.agent_bodies.v2.session import Rtc
from lipwire.protocol.agent_bodies.v2.turns import TurnConfig
from support.agent_bodies import V2, changed


def turns(turn: dict[str, Any], interruption: dict[str, Any] | None = None) -> tuple[TurnDetection, Interruption]:
    more = {"turn_detection": turn} | ({} if interruption is None else {"interruption": interruption})
    config = parse_join({**V2, "properties": V2["properties"] | more}, "v2")
    return config.turn_detection, config.interruption


def test_nothing_said_is_our_own() -> None:
    plain = TurnDetection(), Interruption()
    start: dict[str, Any] = {"start_of_speech": {"mode": "vad"}}
    nothings: tuple[dict[str, Any], ...] = ({}, {"mode": "default"}, {"config": {}}, {"config": start})
    for nothing in nothings:
        assert turns(nothing) == plain
    assert turns({"type": "agora_vad", "create_response": True, "eagerness": "auto"}) == plain
    assert turns({"mode": None, "config": None}, {}) == plain


def test_how_turns_begin_and_end() -> None:
    start = {"interrupt_duration_ms": 200, "speaking_interrupt_duration_ms": 320, "prefix_padding_ms": 900}
    got, _ = turns(
        {
            "mode": "default",
            "config": {
                "speech_threshold": 0.6,
                "start_of_speech": {"mode": "vad", "vad_config": start},
                "end_of_speech": {"mode": "vad", "vad_config": {"silence_duration_ms": 700.0}},
            },
        }
    )
    assert got == TurnDetection(
        threshold=0.6,
        interrupt_duration_ms=200,
        speaking_interrupt_duration_ms=320,
        prefix_padding_ms=900,
        end_of_speech="vad",
        silence_duration_ms=700,
    )
    assert turns({"config": {"end_of_speech": {"mode": "vad"}}})[0].plain_ms == 640
    assert turns({"config": {"speech_threshold": 0.9}})[0].interrupt_threshold == 0.9


def test_the_end_of_speech_by_what_was_said() -> None:
    semantic = {"silence_duration_ms": 400, "max_wait_ms": -1, "pause_state_enabled": False}
    got, _ = turns({"config": {"end_of_speech": {"mode": "semantic", "semantic_config": semantic}}})
    assert got == TurnDetection(end_of_speech="semantic", silence_duration_ms=400, max_wait_ms=-1, pause_state=False)
    plain, _ = turns({"config": {"end_of_speech": {"mode": "semantic", "vad_config": {"silence_duration_ms": 900}}}})
    assert (plain.whole_ms, plain.wait_ms) == (320, 3000)  # the other mode's config is not looked at


def test_a_mode_that_is_not_said_is_that_of_the_one_config() -> None:
    """And none of them is left unused without a word."""
    semantic: dict[str, Any] = {"semantic_config": {"silence_duration_ms": 400, "max_wait_ms": 5000}}
    got, _ = turns({"config": {"end_of_speech": semantic}})
    assert got == TurnDetection(end_of_speech="semantic", silence_duration_ms=400, max_wait_ms=5000)
    by_vad = {"vad_config": {"silence_duration_ms": 700}}
    assert turns({"config": {"end_of_speech": by_vad}})[0].end_of_speech == "vad"
    keywords = Interruption(mode="keywords", keywords=["stop"])
    start: dict[str, Any] = {"keywords_config": {"triggered_keywords": ["stop"]}}
    assert turns({"config": {"start_of_speech": start}})[1] == keywords
    assert turns({"interrupt_keywords": ["stop"]})[1] == keywords
    assert turns({}, {"keywords_config": {"trigger_keywords": ["stop"]}})[1] == keywords
    off: dict[str, Any] = {"disabled_config": {"strategy": "ignore"}}
    assert turns({"config": {"start_of_speech": off}})[1] == Interruption(enabled=False, when_off="ignore")
    nothings: tuple[dict[str, Any], ...] = (
        {"keywords_config": {"trigger_keywords": []}},
        {"keywords_config": {}, "disabled_config": {}},
    )
    for nothing in nothings:
        assert turns({}, nothing)[1] == Interruption()
    for path, value, told in (
        ("turn_detection.config.end_of_speech", semantic | by_vad, "mode must be there, to say which of vad, semantic"),
        (
            "turn_detection.config.start_of_speech",
            start | off,
            "mode must be there, to say which of keywords, ",
        ),
        ("interruption", off, "enable must be there, false, with disabled_config"),
    ):
        with pytest.raises(InvalidAgentRequest) as caught:
            parse_join(changed(V2, f"properties.{path}", value), "v2")
        assert str(caught.value).startswith(f"properties.{path}.{told}")


@pytest.mark.parametrize("mode", ["interrupt", "append", "ignore", "adaptive"])
def test_keywords_beside_another_mode_that_is_said_are_not_used(mode: str) -> None:
    """As the service has it: "used when mode is keywords"."""
    assert turns({"interrupt_mode": mode, "interrupt_keywords": ["x"]}) == turns({"interrupt_mode": mode})
    said = {"mode": "start_of_speech", "keywords_config": {"trigger_keywords": ["x"]}}
    assert turns({}, said)[1].mode == "start_of_speech"


def test_by_hand() -> None:
    got, _ = turns({"config": {"start_of_speech": {"mode": "manual"}, "end_of_speech": {"mode": "manual"}}})
    assert (got.start_of_speech, got.end_of_speech) == ("manual", "manual")


@pytest.mark.parametrize(
    ("turn", "interruption", "expected"),
    [
        ({}, {"enable": False}, Interruption(enabled=False)),
        (
            {},
            {"enable": False, "disabled_config": {"strategy": "ignore"}},
            Interruption(enabled=False, when_off="ignore"),
        ),
        (
            {},
            {"mode": "keywords", "keywords_config": {"trigger_keywords": ["stop"]}},
            Interruption(mode="keywords", keywords=["stop"]),
        ),
        (
            {"config": {"start_of_speech": {"mode": "keywords", "keywords_config": {"triggered_keywords": ["halt"]}}}},
            None,
            Interruption(mode="keywords", keywords=["halt"]),
        ),
        (
            {"config": {"start_of_speech": {"mode": "disabled", "disabled_config": {"strategy": "ignore"}}}},
            None,
            Interruption(enabled=False, when_off="ignore"),
        ),
        ({"interrupt_mode": "append"}, None, Interruption(enabled=False)),
        ({"interrupt_mode": "ignore"}, None, Interruption(enabled=False, when_off="ignore")),
        (
            {"interrupt_mode": "keyword", "interrupt_keywords": ["stop"]},
            None,
            Interruption(mode="keywords", keywords=["stop"]),
        ),
        ({"interrupt_mode": "interrupt"}, None, Interruption()),
        ({"interrupt_mode": "ignore"}, {"enable": True}, Interruption()),
    ],
)
def test_what_interrupts(turn: dict[str, Any], interruption: dict[str, Any] | None, expected: Interruption) -> None:
    assert turns(turn, interruption)[1] == expected


def test_older_words() -> None:
    flat = {"interrupt_duration_ms": 160.0, "prefix_padding_ms": 100, "silence_duration_ms": 300, "threshold": 0.4}
    got, _ = turns(flat)
    assert got == TurnDetection(
        interrupt_duration_ms=160, prefix_padding_ms=100, silence_duration_ms=300, threshold=0.4
    )
    present = {"start_of_speech": {"vad_config": {"prefix_padding_ms": 500}}, "speech_threshold": 0.7}
    got, _ = turns(flat | {"config": present})
    assert (got.prefix_padding_ms, got.threshold, got.silence_duration_ms) == (500, 0.7, 300)
    assert turns({"interrupt_mode": "adaptive"})[0].speaking_interrupt_duration_ms == 320


def test_what_only_a_realtime_model_does_is_refused() -> None:
    for turn in ({"type": "server_vad"}, {"eagerness": "high"}):
        with pytest.raises(InvalidAgentRequest, match="unless there is mllm"):
            turns(turn)


@pytest.mark.parametrize("mllm", [None, {"api_key": "k"}, {"api_key": "k", "turn_detection": {"mode": "server_vad"}}])
def test_what_no_model_leaves_undone_is_refused(mllm: dict[str, Any] | None) -> None:
    for name in ("create_response", "interrupt_response"):
        body = changed(changed(V2, f"properties.turn_detection.{name}", False), "properties.mllm", mllm)
        with pytest.raises(InvalidAgentRequest, match=rf"turn_detection\.{name} must be true"):
            parse_join(body, "v2")
        parse_join(changed(body, f"properties.turn_detection.{name}", True), "v2")
    body = changed(changed(V2, "properties.turn_detection", {"eagerness": "high"}), "properties.mllm", mllm)
    with pytest.raises(InvalidAgentRequest, match=r"eagerness must be left out, unless there is mllm and type is"):
        parse_join(body, "v2")


def test_the_description_has_the_defaults_that_hold() -> None:
    holds, config = TurnDetection(), TurnConfig()
    assert config.speech_threshold == OwnVad().threshold == holds.threshold
    by_vad = config.start_of_speech.vad_config
    assert by_vad.prefix_padding_ms == OwnVad().prefix_padding_ms == holds.prefix_padding_ms
    assert by_vad.interrupt_duration_ms == holds.interrupt_duration_ms
    assert by_vad.speaking_interrupt_duration_ms == holds.speaking_interrupt_duration_ms
    assert OwnVad().silence_duration_ms == holds.plain_ms
    assert Rtc().encryption_mode is None  # it must be there with a key


def test_sound_before_a_turn_that_is_begun_by_hand() -> None:
    start = {"mode": "manual", "vad_config": {"prefix_padding_ms": 100}}
    turn, _ = turns({"config": {"start_of_speech": start}})
    assert (turn.start_of_speech, turn.prefix_padding_ms) == ("manual", 100)
