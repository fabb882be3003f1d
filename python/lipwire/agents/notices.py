"""What webhooks are told of agents: lifecycle and events of the manager's, made notices (`protocol.webhooks`).

The last notice of an agent is that it has left (102); before it come what was said (103), the waiting times (111) and
the turns (112), as far as there are any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..protocol import webhooks as w
from ..protocol.agent_actions import Said
from .brains.base import Failed
from .manager import AgentRecord
from .turn_report import report

MOST_TURNS = 200
"""In one notice."""
MOST_TOLD = 1000
"""Characters of a failure."""
_MODULES = {"LLM": "llm", "TOOL": "llm", "MCP": "llm", "STT": "asr", "TTS": "tts", "REALTIME": "mllm"}
"""By the first word of an error's code; "context" is all else."""
_MESSAGES = {
    "idle_timeout": "Idle for too long",
    "left": "OK",
    "stopped": "OK",
    "shutdown": "OK",
    "finished": "OK",
}
"""By reasons of ours, the service's words; other reasons are told as they are."""


class AgentNotices:
    """Makes the notices.

    Args:
        put: takes each.
        now: Unix seconds.
    """

    def __init__(self, put: Callable[[w.Notice], Any], now: Callable[[], float] = time.time) -> None:
        self._put = put
        self._now = now

    def status(self, record: AgentRecord) -> None:
        """An agent runs, or has ended."""
        if record.status == "RUNNING":
            self._tell(record, w.JOINED)
        elif not record.active:
            self._left(record)

    def event(self, record: AgentRecord, event: Any) -> None:
        """An event of a running agent; those count that are of failures."""
        if not isinstance(event, Failed) or event.minor:
            return
        if event.code == "TOKEN_EXPIRING":
            self._tell(record, w.EXPIRES, message=event.message)
            return
        turns = record.turns()
        turn_id = turns[-1]["turn_id"] if turns else 0
        message = event.message[:MOST_TOLD]
        error = {"module": module_of(event.code), "turn_id": turn_id, "code": -1, "message": message}
        self._tell(record, w.FAILED, turn_id=turn_id, errors=[error | {"reason": event.code}])

    def _left(self, record: AgentRecord) -> None:
        stop_ts = int(record.ended or self._now())
        turns: list[dict[str, Any]] = record.turns()
        if history := record.history():
            contents = msgspec.convert(history, list[Said])
            self._tell(record, w.HISTORY, stop_ts=stop_ts, contents=msgspec.to_builtins(contents))
        if metrics := [_metrics(turn) for turn in turns if turn["segments"]]:
            self._tell(record, w.METRICS, stop_ts=stop_ts, metrics=metrics)
        if turns:
            count = turns[-1]["turn_id"]
            kept = [_turn(turn, record) for turn in turns[-MOST_TURNS:]]
            told = {"total_turn_count": count, "is_truncated": count > len(kept), "turns": kept}
            self._tell(record, w.TURNS, stop_ts=stop_ts, **told)
        message = _MESSAGES.get(record.reason, record.reason)
        self._tell(record, w.LEFT, stop_ts=stop_ts, status=record.status, message=message)

    def _tell(self, record: AgentRecord, event_type: int, **more: Any) -> None:
        config = record.config
        payload: dict[str, Any] = {
            "agent_id": record.id,
            "name": config.name,
            "channel": config.channel,
            "start_ts": int(record.created),
        }
        if config.labels:
            payload["labels"] = config.labels
        now = round(self._now() * 1000)
        self._put(w.Notice(event_type=event_type, notify_ms=now, sid=record.id, payload=payload | more))


def module_of(code: str) -> str:
    """The service's name for what failed, by an error's code ("LLM_ERROR")."""
    return _MODULES.get(code.partition("_")[0], "context")


def _turn(turn: Mapping[str, Any], record: AgentRecord) -> dict[str, Any]:
    """A turn as REST has it, but that its parts are an object here."""
    told = report(turn, record.id, record.config.channel)
    if parts := told["metrics"].get("segmented_latency_ms"):
        told["metrics"]["segmented_latency_ms"] = {part["name"]: part["latency"] for part in parts}
    return told


def _metrics(turn: Mapping[str, Any]) -> dict[str, Any]:
    """The waiting times of a turn, in ms, by the service's names: text was there (asr_ttlw), the model's first token
    (llm_ttfb) and first sentence (llm_ttfs), the first sound of it (tts_ttfb)."""
    parts = turn["segments"]
    told: dict[str, Any] = {"turn_id": turn["turn_id"]}
    for name, part in (("asr_ttlw", "request_ms"), ("llm_ttfb", "llm_ms"), ("tts_ttfb", "tts_ms")):
        if part in parts:
            told[name] = parts[part]
    if "sentence_ms" in parts:
        told["llm_ttfs"] = round(parts.get("llm_ms", 0.0) + parts["sentence_ms"], 2)
    return told
