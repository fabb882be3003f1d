"""Histograms in /metrics and spans in the OpenTelemetry SDK's own exporter, of real sessions and a real agent."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from agents.test_agent import NOW, agent
from app.test_service import Wire, config, post_start, pulses
from lipwire.agents.brains import base as b
from lipwire.agents.config import AgentConfig
from lipwire.agents.manager import AgentRecord
from lipwire.app.service import Service
from lipwire.app.telemetry import Telemetry
from lipwire.errors import InvalidArgument
from lipwire.protocol import messages as m
from support.agent_puppet import tone as said


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)  # one a test; the global one can be set but once
    yield exporter
    provider.shutdown()


def context(span: ReadableSpan) -> Any:
    return span.get_span_context()


async def speak(service: Service) -> str:
    session = await post_start(service)
    wire = await Wire.open(session)
    await wire.voice(pulses(1.5), event_id="the-utterance")
    await wire.end()
    await wire.until(m.PlaybackFinished)
    await wire.ws.close()
    return session.session_id


async def test_an_utterance_is_a_span_with_a_child_for_each_stage(exporter: InMemorySpanExporter) -> None:
    async with Service(config(tracing="on")) as service:
        session_id = await speak(service)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"utterance", "decode", "buffer", "mouth", "handover"}
    root = spans["utterance"]
    assert root.parent is None and dict(root.attributes or {}) == {
        "session.id": session_id,
        "lipwire.event.id": "the-utterance",
        "lipwire.played_ms": 1500.0,
        "lipwire.interrupted": False,
        "lipwire.underruns": 0,
    }
    at = root.start_time
    for name in ("decode", "buffer", "mouth", "handover"):
        child = spans[name]
        assert child.parent is not None and child.parent.span_id == context(root).span_id
        assert child.start_time == at and child.end_time is not None and root.end_time is not None
        at = child.end_time
        assert at <= root.end_time


async def test_the_figures_are_in_metrics_and_in_the_session(exporter: InMemorySpanExporter) -> None:
    async with Service(config()) as service:
        session = await post_start(service)
        wire = await Wire.open(session)
        await wire.voice(pulses(1.5))
        await wire.end()
        await wire.until(m.PlaybackFinished)
        async with httpx.AsyncClient(
            trust_env=False, headers={"authorization": f"Bearer {session.session_token}"}
        ) as http:
            text = (await http.get(service.http_url + "/metrics")).text
            figures = (await http.get(f"{service.http_url}/session/{session.session_id}")).json()["stats"]["stages"]
        await wire.ws.close()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["lipwire_utterance_stage_seconds"].samples
    counts = {s.labels["stage"]: s.value for s in samples if s.name.endswith("_count")}
    assert counts == dict.fromkeys(("decode", "buffer", "mouth", "handover", "delay", "total"), 1.0)
    total = next(s.value for s in samples if s.name.endswith("_sum") and s.labels["stage"] == "total")
    assert total * 1000 == pytest.approx(figures["total"]["p50_ms"], abs=0.1)
    assert figures["total"]["count"] == 1
    assert families["lipwire_turn_stage_seconds"].type == "histogram"


async def a_turn(telemetry: Telemetry, interrupted: bool) -> None:
    async with agent() as s:
        telemetry.watch(s.agent)
        record = AgentRecord("the-id", 1, AgentConfig(name="a", channel="c"), 0.0)
        s.agent.on_event = lambda event: telemetry.agent_event(record, event)
        s.brain.emit(b.SpeechStarted(NOW()))
        s.brain.emit(b.SpeechStopped(NOW()))
        s.brain.emit(b.UserText("i1", "a secret question", True))
        s.brain.emit(b.ReplyStarted("r1", NOW(), "i1"))
        for name in ("first_token", "first_sentence", "first_audio"):
            s.brain.emit(b.Stamp("r1", name, NOW()))
        s.brain.reply("r1", said(1.0), "a secret answer")
        await s.clock.run(0.3 if interrupted else 2.0)
        if interrupted:
            s.agent.interrupt()
            await s.clock.run(0.3)


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_turn_is_a_span_and_linked_with_what_was_said_in_it(
    exporter: InMemorySpanExporter, interrupted: bool
) -> None:
    telemetry = Telemetry("on")
    await a_turn(telemetry, interrupted)
    spans = exporter.get_finished_spans()
    (turn,) = (span for span in spans if span.name == "invoke_agent")
    (utterance,) = (span for span in spans if span.name == "utterance")
    attributes = dict(turn.attributes or {})
    assert attributes["gen_ai.agent.id"] == "the-id" and attributes["gen_ai.agent.name"] == "a"
    assert attributes["lipwire.turn.end_reason"] == ("interrupted" if interrupted else "finished")
    assert (utterance.attributes or {})["lipwire.interrupted"] is interrupted
    first, second = (turn, utterance) if interrupted else (utterance, turn)  # the order in which they end
    assert [link.context.span_id for link in second.links] == [context(first).span_id] and not first.links
    children = [s.name for s in spans if s.parent is not None and s.parent.span_id == context(turn).span_id]
    assert children == ["request", "llm", "sentence", "tts", "channel"]
    assert "secret" not in "".join(span.to_json() for span in spans)
    figures = telemetry.turns.figures()
    assert figures.keys() == {"request", "llm", "sentence", "tts", "channel", "total"}
    assert {stage["count"] for stage in figures.values()} == {1}


async def test_without_an_sdk_nothing_happens_and_off_is_off(exporter: InMemorySpanExporter) -> None:
    await a_turn(Telemetry("off"), False)
    assert exporter.get_finished_spans() == ()


def test_where_the_package_is_missing_auto_goes_on_and_on_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "opentelemetry":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    Telemetry("auto")
    with pytest.raises(InvalidArgument, match=r"lipwire\[otel\]"):
        Telemetry("on")
