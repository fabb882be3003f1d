"""agents/turn_report.py: every turn of ours in the service's words."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from lipwire.agents.turn_report import CAUSES, metrics, report, segments
from lipwire.agents.turns import Cause, EndReason, StartReason, Turn, Turns

MS = 1_000_000


def told(turn: Turn) -> dict[str, Any]:
    return report(turn.as_dict(), "a1", "lobby")


def turn(reason: StartReason = "speech", **fields: Any) -> Turn:
    turns = Turns()
    turns.began_at = 1_000_000
    made = turns.begin(reason, 500)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def ended(reason: EndReason, cause: Cause | None = None, **fields: Any) -> dict[str, Any]:
    turns = Turns()
    turns.began_at = 1_000_000
    made = turns.begin("speech", 500)
    for name, value in fields.items():
        setattr(made, name, value)
    turns.end(made, reason, 2_000, cause, "rtm")
    found: dict[str, Any] = told(made)["end"]
    assert found.pop("end_at") == 1_002_000
    return found


@pytest.mark.parametrize(
    ("reason", "fields", "kind", "data"),
    [
        ("speech", {}, "voice_input", {}),
        (
            "speech",
            {"user_began_ns": 0, "user_ended_ns": 1234 * MS, "least_voice_ms": 320},
            "voice_input",
            {"speech_duration_ms": 1234, "interrupt_duration_ms": 320},
        ),
        ("text", {"user": "7"}, "api_think", {"transport": "rtm"}),
        ("think", {}, "api_think", {"transport": "http"}),
        ("respond", {}, "api_think", {"transport": "http"}),
        ("speak", {}, "api_speak", {"transport": "http"}),
        ("greeting", {}, "greeting", {"greeting_nth": 1}),
        ("silence", {"action": "think"}, "silence_timeout", {"action": "think"}),
        ("failure", {}, "failure", {}),
        ("agent", {}, "agent", {}),
    ],
)
def test_how_a_turn_began(reason: StartReason, fields: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    found = told(turn(reason, **fields))
    assert found["start"] == {"start_at": 1_000_500, "type": kind, "metadata": data}
    assert (found["agent_id"], found["channel"], found["turn_id"], "end" in found) == ("a1", "lobby", 1, False)


def test_every_reason_and_every_cause_has_a_word() -> None:
    for reason in get_args(StartReason):
        assert told(turn(reason))["start"]["type"]
    for cause in get_args(Cause):
        assert ended("no_reply", cause)["type"] == ("interrupted" if cause in CAUSES else "ignored")
    for reason in get_args(EndReason):
        assert ended(reason)["type"] in ("ok", "interrupted", "ignored", "error")


@pytest.mark.parametrize(
    ("reason", "cause", "fields", "kind", "data"),
    [
        ("finished", None, {"played_ms": 810.4}, "ok", {"playback_duration_ms": 810}),
        ("interrupted", "speech", {}, "interrupted", {"caused_by": "start_of_speech"}),
        ("interrupted", "speak", {}, "interrupted", {"caused_by": "api_speak", "transport": "rtm"}),
        ("interrupted", "interrupt", {}, "interrupted", {"caused_by": "api_interrupt", "transport": "rtm"}),
        ("interrupted", "leave", {}, "interrupted", {"caused_by": "api_leave"}),
        ("interrupted", None, {}, "interrupted", {}),
        ("no_reply", "speech", {}, "interrupted", {"caused_by": "start_of_speech"}),
        ("no_reply", None, {}, "ignored", {"caused_by": "semantic"}),
        ("no_reply", "disable", {}, "ignored", {"caused_by": "disable"}),
        ("no_reply", "keywords", {}, "ignored", {"caused_by": "keywords"}),
        ("failed", None, {"error": ("LLM_ERROR", "401")}, "error", {"reason": "LLM_REQUEST_ERR", "details": "401"}),
        ("failed", None, {"error": ("TTS_ERROR", "no")}, "error", {"reason": "INTERNAL_ERR", "details": "no"}),
        ("failed", None, {}, "error", {"reason": "INTERNAL_ERR", "details": ""}),
    ],
)
def test_how_it_ended(
    reason: EndReason, cause: Cause | None, fields: dict[str, Any], kind: str, data: dict[str, Any]
) -> None:
    assert ended(reason, cause, **fields) == {"type": kind, "metadata": data}


def test_greetings_are_counted() -> None:
    turns = Turns()
    for _ in range(2):
        turns.beside("greeting", 0)
        turns.beside("speak", 0)
    found = [report(one, "a", "c")["start"]["metadata"].get("greeting_nth") for one in turns.as_list()]
    assert found == [1, None, 2, None]


MARKS = {
    "asked": 100 * MS,
    "first_token": 350 * MS,
    "first_sentence": 400 * MS,
    "first_audio": 500 * MS,
    "first_sample": 530 * MS,
}


def test_where_the_time_of_the_cascade_went() -> None:
    found = turn(user_began_ns=-900 * MS, user_ended_ns=0, marks=dict(MARKS)).as_dict()
    assert metrics(found) == {
        "e2e_latency_ms": 530,
        "segmented_latency_ms": [
            {"name": "algorithm_processing", "latency": 30.0},
            {"name": "asr_ttlw", "latency": 100.0},
            {"name": "llm_ttft", "latency": 250.0},
            {"name": "llm_ftfs", "latency": 50.0},
            {"name": "tts_ttfb", "latency": 100.0},
        ],
    }


def test_a_text_had_not_to_be_understood_and_a_model_that_speaks_has_one_part() -> None:
    typed = segments(turn("think", user_ended_ns=0, marks=dict(MARKS)).as_dict())
    assert typed[:2] == [{"name": "algorithm_processing", "latency": 130.0}, {"name": "llm_ttft", "latency": 250.0}]
    marks = {name: at for name, at in MARKS.items() if name != "first_sentence"}
    assert segments(turn(user_ended_ns=0, marks=marks).as_dict()) == [
        {"name": "algorithm_processing", "latency": 30.0},
        {"name": "asr_ttlw", "latency": 100.0},
        {"name": "llm_ttfa", "latency": 400.0},
    ]


def test_where_there_was_no_way_there_are_no_figures() -> None:
    assert told(turn("speak", marks=dict(MARKS)))["metrics"] == {}
