"""Turns as Agora's service tells of them (protocol.md C): over REST, in webhooks, in the channel.

What it has a word for is told with that; what it has none for keeps ours: a turn that the brain began by itself starts
by "agent", the failure message by "failure".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

START_TYPES = {
    "speech": "voice_input",
    "text": "api_think",
    "think": "api_think",
    "respond": "api_think",
    "greeting": "greeting",
    "silence": "silence_timeout",
    "speak": "api_speak",
}
"""By `turns.StartReason`."""
CAUSES = {
    "speech": "start_of_speech",
    "speak": "api_speak",
    "think": "api_think",
    "interrupt": "api_interrupt",
    "leave": "api_leave",
}
"""By `turns.Cause`, of turns that gave way to something else."""
_ASKED = frozenset({"speak", "think", "interrupt"})
"""Causes that are requests, and came somehow."""
_MODEL = frozenset({"LLM", "REALTIME"})
"""How the codes of a model's failures begin."""
_SEGMENTS = {
    "request_ms": "asr_ttlw",
    "llm_ms": "llm_ttft",
    "sentence_ms": "llm_ftfs",
    "tts_ms": "tts_ttfb",
    "channel_ms": "algorithm_processing",
}
"""By `Turn.segments`. "transport", the network's part, is not known here."""


def segments(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`segmented_latency_ms` of a turn as `Turn.as_dict` has it: `{name, latency}`, which add up to its e2e latency. A
    model that speaks by itself, without sentences for somebody else to say, has one part (llm_ttfa); where nobody spoke
    nothing had to be understood."""
    found: dict[str, float] = {}
    for part, ms in turn["segments"].items():
        name = _SEGMENTS[part]
        if part == "request_ms" and turn["start_reason"] != "speech":
            name = "algorithm_processing"
        elif part in ("llm_ms", "tts_ms") and "sentence_ms" not in turn["segments"]:
            name = "llm_ttfa"
        found[name] = round(found.get(name, 0.0) + ms, 2)
    ordered = sorted(found, key=lambda name: name != "algorithm_processing")
    return [{"name": name, "latency": found[name]} for name in ordered]


def metrics(turn: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics` of such a turn; without a way from a user to an answer there are none."""
    e2e = turn["e2e_latency_ms"]
    return {} if e2e is None else {"e2e_latency_ms": round(e2e), "segmented_latency_ms": segments(turn)}


def report(turn: Mapping[str, Any], agent_id: str, channel: str, *, whole: bool = True) -> dict[str, Any]:
    """A turn as `Turn.as_dict` has it, in the service's shape. One that goes on has no `end`.

    Args:
        whole: what failed is told with the service's name and words, which are the operator's to know; else its code.
    """
    told: dict[str, Any] = {"agent_id": agent_id, "channel": channel, "turn_id": turn["turn_id"], "start": _start(turn)}
    if turn["end_reason"] is not None:
        told["end"] = _end(turn, whole)
    return told | {"metrics": metrics(turn)}


def _start(turn: Mapping[str, Any]) -> dict[str, Any]:
    reason = turn["start_reason"]
    more: dict[str, Any] = {}
    match reason:
        case "speech":
            more = {"speech_duration_ms": turn["speech_ms"], "interrupt_duration_ms": turn["least_voice_ms"]}
        case "greeting":
            more = {"greeting_nth": turn["greeting"]}
        case "silence":
            more = {"action": turn["action"]}
        case "speak" | "text" | "think" | "respond":
            more = {"transport": "rtm" if turn["user"] else "http"}
    known = {name: value for name, value in more.items() if value is not None}
    return {"start_at": turn["start_at"], "type": START_TYPES.get(reason, reason), "metadata": known}


def _end(turn: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    reason, cause = turn["end_reason"], turn["caused_by"]
    more: dict[str, Any]
    match reason:
        case "finished":
            kind, more = "ok", {"playback_duration_ms": turn["played_ms"]}
        case "failed":
            code, message = turn["error"] or ("", "")
            by_model = code.partition("_")[0] in _MODEL
            kind = "error"
            more = {"reason": "LLM_REQUEST_ERR" if by_model else "INTERNAL_ERR", "details": message if whole else code}
        case "interrupted" | "no_reply" if reason == "interrupted" or cause in CAUSES:
            kind, more = "interrupted", {"caused_by": CAUSES[cause]} if cause in CAUSES else {}
            if cause in _ASKED:
                more["transport"] = turn["transport"]
        case _:
            kind, more = "ignored", {"caused_by": cause or "semantic"}
    return {"end_at": turn["end_at"], "type": kind, "metadata": more}
