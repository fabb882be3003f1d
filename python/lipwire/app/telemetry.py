"""Where time goes, for those who watch a server: histograms for /metrics, and OpenTelemetry spans where that is wanted.

A span holds times, numbers, ids and names, and never what was said.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any, Literal

from ..agents.agent import Agent
from ..agents.events import TurnEnded
from ..agents.manager import AgentRecord
from ..errors import InvalidArgument
from ..session.stages import Spoken, Stages

logger = logging.getLogger("lipwire.telemetry")

Tracing = Literal["auto", "on", "off"]
REMEMBERED = 1024
"""Spans that others may still be linked to."""
MAX_ID = 64
"""Characters of an id that somebody else has chosen."""
TURN_SPANS = (
    ("request", "user_ended", "asked"),
    ("llm", "asked", "first_token"),
    ("sentence", "first_token", "first_sentence"),
    ("tts", "first_sentence", "first_audio"),
    ("channel", "first_audio", "first_sample"),
)
"""Parts of a turn: name, from, to."""


class Telemetry:
    """The figures of a service, and its tracer.

    Args:
        tracing: spans where opentelemetry-api is installed (`auto`), always (`on`), or never. They go where the SDK of
            the process sends them; without one they cost next to nothing.

    Raises:
        InvalidArgument: `on`, and opentelemetry-api is not installed.
    """

    def __init__(self, tracing: Tracing = "auto") -> None:
        self.stages = Stages()
        """Of utterances."""
        self.turns = Stages()
        """Of agents' turns."""
        self._spans = _Spans.make(tracing)

    def spoken(self, spoken: Spoken) -> None:
        """An utterance is over."""
        self.stages.add(spoken.stages)
        if self._spans is not None:
            self._spans.utterance(spoken, None)

    def watch(self, agent: Agent) -> Agent:
        """Watches what an agent says, too."""

        def spoken(of: Spoken) -> None:
            self.stages.add(of.stages)
            if self._spans is not None:
                self._spans.utterance(of, agent.config.name)

        agent.session.on_spoken = spoken
        return agent

    def agent_event(self, record: AgentRecord, event: Any) -> None:
        """An agent's event; those of turns count."""
        if not isinstance(event, TurnEnded):
            return
        turn = event.turn
        parts = {name.removesuffix("_ms"): ms / 1000 for name, ms in turn["segments"].items()}
        if turn["e2e_latency_ms"] is not None:
            parts["total"] = turn["e2e_latency_ms"] / 1000
        self.turns.add(parts)
        if self._spans is not None:
            self._spans.turn(record.id, record.config.name, event)


class _Spans:
    """Makes spans of what is over, with the times it had."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._tracer = api.get_tracer("lipwire")
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._made: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
        """Contexts by (kind, agent, reply), for links between an agent's turn and what was said in it."""

    @classmethod
    def make(cls, tracing: Tracing) -> _Spans | None:
        if tracing == "off":
            return None
        try:
            from opentelemetry import trace
        except ImportError:
            if tracing == "on":
                raise InvalidArgument(
                    "tracing is on, and opentelemetry is missing: pip install 'lipwire[otel]'"
                ) from None
            return None
        return cls(trace)

    def _span(self, name: str, begin_ns: int, end_ns: int, attributes: dict[str, Any], **more: Any) -> Any:
        span = self._tracer.start_span(name, start_time=self._epoch_ns + begin_ns, attributes=attributes, **more)
        return span, self._epoch_ns + max(begin_ns, end_ns)

    def _children(self, parent: Any, parts: list[tuple[str, int | None, int | None]]) -> None:
        context = self._api.set_span_in_context(parent)
        for name, begin_ns, end_ns in parts:
            if begin_ns is not None and end_ns is not None:
                span, end = self._span(name, begin_ns, end_ns, {}, context=context)
                span.end(end)

    def _linked(self, kind: str, agent: str | None, reply: str | None) -> list[Any]:
        found = self._made.get((kind, agent or "", reply or ""))
        return [] if found is None else [self._api.Link(found)]

    def _remember(self, kind: str, agent: str | None, reply: str | None, span: Any) -> None:
        if agent and reply:
            self._made[kind, agent, reply] = span.get_span_context()
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)

    def utterance(self, spoken: Spoken, agent: str | None) -> None:
        finished, finished_ns = spoken.finished, spoken.finished_ns
        assert finished is not None and finished_ns is not None
        attributes = {
            "session.id": spoken.session_id,
            "lipwire.played_ms": finished.position_ms,
            "lipwire.interrupted": finished.interrupted,
            "lipwire.underruns": spoken.underruns,
        }
        if finished.event_id is not None:
            attributes["lipwire.event.id"] = finished.event_id[:MAX_ID]
        if agent is not None:
            attributes["gen_ai.agent.name"] = agent
        links = self._linked("turn", agent, finished.event_id)
        span, end = self._span("utterance", spoken.came_ns, finished_ns, attributes, links=links)
        self._children(
            span,
            [
                ("decode", spoken.came_ns, spoken.written_ns),
                ("buffer", spoken.written_ns, spoken.started_ns),
                ("mouth", spoken.started_ns, spoken.mouth_ns),
                ("handover", spoken.mouth_ns, spoken.shown_ns),
            ],
        )
        span.end(end)
        self._remember("utterance", agent, finished.event_id, span)

    def turn(self, agent_id: str, agent: str, event: TurnEnded) -> None:
        turn, times = event.turn, event.times
        if not times:
            return
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": agent_id,
            "gen_ai.agent.name": agent,
            "lipwire.turn.id": turn["turn_id"],
            "lipwire.turn.start_reason": turn["start_reason"],
            "lipwire.turn.end_reason": turn["end_reason"],
        }
        failed = turn["end_reason"] == "failed"
        if failed:
            attributes["error.type"] = "failed"
        links = self._linked("utterance", agent, event.reply_id)
        span, end = self._span("invoke_agent", min(times.values()), time.monotonic_ns(), attributes, links=links)
        if failed:
            span.set_status(self._api.StatusCode.ERROR)
        self._children(span, [(name, times.get(begin), times.get(to)) for name, begin, to in TURN_SPANS])
        span.end(end)
        self._remember("turn", agent, event.reply_id, span)
