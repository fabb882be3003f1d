"""agents/transcripts.py: which messages are made, how often, and how they are told apart. No I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwire.agents.brains.base import TimedWord
from lipwire.agents.config import TranscriptFormat
from lipwire.agents.transcripts import BYTES_A_SECOND, PARTIAL_MS, Transcripts, stream_id
from lipwire.agents.turns import Turn
from lipwire.protocol import transcript as t
from support.agora_toolkit import shown, told


class Sent:
    """Transcripts, and the messages that they made."""

    def __init__(self, form: TranscriptFormat = "v2") -> None:
        self.packets: list[list[bytes]] = []
        self.transcripts = Transcripts(self.packets.append, form, t.PACKET, "en-US", "abc")

    def messages(self) -> list[Any]:
        joined = t.Assembler()
        found = [joined.add(packet, 0.0) for packets in self.packets for packet in packets]
        return [t.decode(payload) for payload in found if payload is not None]


def test_partial_texts_are_paced_and_final_ones_always_sent() -> None:
    s = Sent()
    for played in range(0, 2000, 10):
        s.transcripts.agent(1, "some words", t.RUNNING, 0.0, float(played), [])
    assert len(s.packets) == 2000 // PARTIAL_MS
    s.transcripts.agent(1, "some words", t.ENDED, 0.0, 2001.0, [TimedWord("some", 0, 100)])
    s.transcripts.user(2, "7", "hm", False, (), 2002.0)
    s.transcripts.user(2, "7", "hm.", True, (), 2003.0)
    last, partial, user = s.messages()[-3:]
    assert (last.turn_status, last.duration_ms, last.word_times) == (t.ENDED, 2001, [t.Word("some", 0, 100)])
    assert (partial.text, partial.final) == ("hm", False)
    assert (user.text, user.final, user.stream_id, user.user_id) == ("hm.", True, 7, "7")


def test_long_partial_texts_come_less_often() -> None:
    s = Sent()
    for played in range(0, 10_000, 10):
        s.transcripts.agent(1, "word " * 1000, t.RUNNING, 0.0, float(played), [])
    size = sum(len(packet) for packets in s.packets for packet in packets)
    assert len(s.packets) > 5 and size <= BYTES_A_SECOND * 11


def test_every_message_has_an_id_of_its_own_and_the_time_it_was_given() -> None:
    s = Sent()
    s.transcripts.wall_ms = 1234
    s.transcripts.state("listening", False, 1)
    s.transcripts.error("x" * 1000, "LLM_ERROR", 1)
    s.transcripts.interrupted(1, 500.4)
    state, error, cut = s.messages()
    assert [m.message_id for m in (state, error, cut)] == ["abc1", "abc2", "abc3"] and s.transcripts.sent == 3
    assert (state.timestamp, error.send_ts, cut.send_ts, cut.start_ms, len(error.message)) == (
        1234,
        1234,
        1234,
        500,
        400,
    )


def test_versions_of_one_text_have_one_time_in_v03() -> None:
    s = Sent("v0.3")
    s.transcripts.wall_ms = 1
    s.transcripts.agent(1, "one", t.RUNNING, 0.0, 0.0, [])
    s.transcripts.wall_ms = 300
    s.transcripts.agent(1, "one two", t.ENDED, 0.0, 300.0, [])
    s.transcripts.agent(2, "three", t.ENDED, 0.0, 300.0, [])
    assert [(m.text, m.is_final, m.text_ts) for m in s.messages()] == [
        ("one", False, 1), ("one two", True, 1), ("three", True, 300)]  # fmt: skip


def test_off() -> None:
    s = Sent("off")
    s.transcripts.state("idle", False, 0)
    assert not s.packets and not s.transcripts.sent


@pytest.mark.parametrize(
    ("user", "expected"),
    [("7", 7), ("4294967295", 4294967295), ("12345678901", "12345678901"), ("anna", "anna")],
)
def test_stream_ids(user: str, expected: t.StreamId) -> None:
    assert stream_id(user) == expected


# ------------------------------------------------------------------------------------ as Agora's client toolkit has it

GREETING = "Grüß Gott! 你好 \N{WAVING HAND SIGN}"
WORDS = [TimedWord(word, n * 400, 400) for n, word in enumerate(GREETING.split())]


@pytest.mark.parametrize("mode", [None, "auto", "text", "word"])
def test_the_toolkit_shows_what_both_say(mode: str | None) -> None:
    """Texts beyond ASCII, in several packets, an answer that is interrupted; whatever mode an application asks for."""
    s = Sent()
    long = "Ä long answer, \N{SLIGHTLY SMILING FACE}. " * 60
    s.transcripts.agent(1, GREETING, t.ENDED, 0.0, 1600.0, WORDS)  # the first message is whole, with known words
    s.transcripts.user(2, "7", "wie spät", False, (), 2000.0)
    s.transcripts.user(2, "7", "Wie spät ist es?", True, (TimedWord("Wie", 0, 200),), 2500.0)
    s.transcripts.agent(2, long[:20], t.RUNNING, 3000.0, 500.0, [])
    s.transcripts.agent(2, long, t.RUNNING, 3000.0, 1500.0, [])
    s.transcripts.interrupted(2, 5000.0)
    s.transcripts.agent(2, long + "cut", t.INTERRUPTED, 3000.0, 2000.0, WORDS)
    packets = [packet for packets in s.packets for packet in packets]
    assert max(map(len, s.packets)) > 3 and max(map(len, packets)) <= t.PACKET
    events = told(packets, **({} if mode is None else {"renderMode": mode}))
    assert [(line["uid"], line["turn_id"], line["text"]) for line in shown(events)] == [
        ("9000", 1, GREETING),
        ("0", 2, "Wie spät ist es?"),
        ("9000", 2, long + "cut"),
    ]
    first = next(arguments[0] for name, arguments in events if name == "transcript-updated")
    assert [line["text"] for line in first] == [GREETING]
    assert ("agent-interrupted", ["9000", {"turnID": 2, "timestamp": 5000}]) in events


def test_the_toolkit_tells_of_figures_failures_and_receipts() -> None:
    s = Sent()
    s.transcripts.wall_ms = 5000
    for reason in ("LLM_ERROR", "TOOL_ERROR", "REALTIME_ERROR", "TTS_ERROR", "STT_ERROR", "TOKEN_EXPIRING"):
        s.transcripts.error("Sorry.", reason, 1)
    s.transcripts.metrics("llm", "ttft", 1, 250.0)
    s.transcripts.metrics("turn", "e2e_latency", 1, 600.0, {"llm_ms": 250.0})  # which the toolkit passes by
    turn = Turn(turn_id=1, start_reason="speech", start_ms=0, start_at=3000, user_ended_ns=0)
    for name, ms in (("asked", 10), ("first_token", 260), ("first_sentence", 300), ("first_audio", 380)):
        turn.mark(name, ms * 1_000_000)
    turn.mark("first_sample", 400_000_000)
    s.transcripts.turn_finished("a-1", turn)
    s.transcripts.picture_taken({"uuid": "u1", "width": 64, "height": 32}, 0)
    s.transcripts.picture_refused("u2", "TOO_LARGE", "zu groß", 1)
    s.transcripts.state("speaking", False, 1)
    events = told(packet for packets in s.packets for packet in packets)
    errors = [arguments[1] for name, arguments in events if name == "agent-error"]
    assert [error["type"] for error in errors] == ["llm", "llm", "mllm", "tts", "unknown", "unknown"]
    assert errors[0] == {"type": "llm", "code": -1, "message": "Sorry.", "timestamp": 5000}
    rest = {name: arguments for name, arguments in events if name != "agent-error"}
    assert rest["agent-metrics"][1] == {"type": "llm", "name": "ttft", "value": 250, "timestamp": 5000}
    parts = {"asrTtlwMs": 10, "llmTtftMs": 250, "ttsTtfbMs": 80, "algorithmProcessingMs": 20, "transportMs": 0}
    assert rest["agent-turn-finished"][1] == {
        "agentId": "a-1", "turnId": 1, "timestamp": 3000, "e2eLatencyMs": 400, "segmentedLatency": parts}  # fmt: skip
    receipt = rest["message-receipt-updated"][1]
    assert (receipt["moduleType"], receipt["messageType"], receipt["turnId"]) == ("context", "image", 1)
    assert json.loads(receipt["message"])["uuid"] == "u1"
    refusal = rest["message-error"][1]
    assert refusal["type"] == "image" and json.loads(refusal["message"])["error"]["message"] == "zu groß"
    assert set(rest) == {"agent-metrics", "agent-turn-finished", "message-receipt-updated", "message-error"}
