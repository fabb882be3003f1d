"""Transcripts, states, figures and errors for the clients in the channel (protocol.md E), as packets. No I/O.

What an agent says is told as it is heard, so partial texts are many. They share a data stream with everything else,
so they are sent at most every PARTIAL_MS and take BYTES_A_SECOND at most; what is final is always sent.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..protocol import transcript as t
from . import turn_report
from .brains.base import TimedWord
from .config import TranscriptFormat
from .turns import Turn

PARTIAL_MS = 200
"""Time between two versions of a text that is not final."""
BYTES_A_SECOND = 10_000
"""What partial texts take at most: a third of what a data stream carries."""


MODULES = {"LLM": "llm", "TOOL": "llm", "REALTIME": "mllm", "TTS": "tts"}
"""Of an error, by the first part of its code. Agora's client toolkit knows these, "context" and "unknown", and drops
the message of any other."""


def stream_id(user: str) -> t.StreamId:
    """A number where the uid is one."""
    return int(user) if user.isdecimal() and len(user) <= 10 else user


def _words(words: Iterable[TimedWord]) -> list[t.Word] | None:
    return [t.Word(w.text, w.start_ms, w.duration_ms) for w in words] or None


class Transcripts:
    """Makes the messages.

    Args:
        send: gets the packets of each message, in order.
        form: which objects carry text.
        room: bytes that a packet holds.
        language: of the texts.
        sender: begins the ids of the messages, which are unique where no two senders of a channel have the same.
    """

    def __init__(
        self, send: Callable[[list[bytes]], None], form: TranscriptFormat, room: int, language: str, sender: str
    ) -> None:
        self._send = send
        self.form = form
        self._room = room
        self._language = language
        self._sender = sender
        self._numbers = itertools.count(1)
        self._free_at = 0.0
        """Media time in ms from which the next partial text may be sent."""
        self._sequence = 0
        self._text_ts: dict[str, int] = {}
        self.wall_ms = 0
        """The wall clock that messages are stamped with, in ms since 1970; whoever sends sets it."""
        self.sent = 0
        self.dropped = 0
        """Messages that the channel did not take; whoever carries them there counts them."""

    def user(
        self, turn_id: int, user: str, text: str, final: bool, words: tuple[TimedWord, ...], now_ms: float
    ) -> None:
        """What the user said."""
        if final or now_ms >= self._free_at:
            who = stream_id(user)
            message = t.UserTranscription(
                text=text, final=final, turn_id=turn_id, stream_id=who, user_id=user, language=self._language
            )
            if words and final:
                message.words = _words(words)
                message.start_ms = words[0].start_ms
                message.duration_ms = words[-1].start_ms + words[-1].duration_ms - words[0].start_ms
            self._text(message, who, turn_id, text, final, now_ms)

    def agent(
        self,
        turn_id: int,
        text: str,
        status: t.TurnStatus,
        start_ms: float,
        played_ms: float,
        words: Iterable[TimedWord],
    ) -> None:
        """What the agent has said so far of a reply that began at `start_ms`."""
        now_ms = start_ms + played_ms
        if status != t.RUNNING or now_ms >= self._free_at:
            self._sequence += 1
            message = t.AssistantTranscription(
                text=text,
                start_ms=round(start_ms),
                duration_ms=round(played_ms),
                turn_id=turn_id,
                turn_seq_id=self._sequence,
                turn_status=status,
                language=self._language,
                word_times=_words(words) if status != t.RUNNING else None,
            )
            self._text(message, t.AGENT_STREAM, turn_id, text, status != t.RUNNING, now_ms)

    def interrupted(self, turn_id: int, now_ms: float) -> None:
        """The agent was interrupted."""
        self._put(t.Interrupt(turn_id=turn_id, start_ms=round(now_ms), send_ts=self.wall_ms))

    def state(self, state: t.AgentState, paused: bool, turn_id: int) -> None:
        """What the agent does from now on."""
        self._put(t.State(state=state, paused=paused, turn_id=turn_id, timestamp=self.wall_ms))

    def metrics(
        self, module: str, name: str, turn_id: int, ms: float, segments: dict[str, float] | None = None
    ) -> None:
        """A figure of a turn."""
        ms = round(ms, 2)
        self._put(t.Metrics(module=module, metric_name=name, turn_id=turn_id, latency_ms=ms, segments=segments,
                            send_ts=self.wall_ms))  # fmt: skip

    def error(self, message: str, reason: str, turn_id: int) -> None:
        """Something failed: a code such as LLM_ERROR, and a sentence for users."""
        module = MODULES.get(reason.partition("_")[0], "unknown")
        self._put(t.Error(module=module, message=message[:400], reason=reason, turn_id=turn_id, send_ts=self.wall_ms))

    def picture_refused(self, uuid: str, reason: str, message: str, turn_id: int) -> None:
        """A picture that a client sent is not used."""
        what = {"module": "picture", "uuid": uuid, "success": False, "error": {"code": reason, "message": message}}
        self._put(t.Error(module="context", message=json.dumps(what), reason=reason, turn_id=turn_id,
                          send_ts=self.wall_ms))  # fmt: skip

    def picture_taken(self, facts: Mapping[str, Any], turn_id: int) -> None:
        """A picture that a client sent will be looked at."""
        message = json.dumps({**facts, "upload_time": self.wall_ms})
        self._put(t.Info(message=message, turn_id=max(1, turn_id), send_ts=self.wall_ms))

    def turn_finished(self, agent_id: str, turn: Turn) -> None:
        """A turn is over, and its way from a user to an answer took so long."""
        figures = turn_report.metrics(turn.as_dict())
        payload = {"agent_id": agent_id, "turn_id": turn.turn_id, "start": {"start_at": turn.start_at}}
        self._put(t.TurnFinished(payload=msgspec.convert(payload | {"metrics": figures}, t.FinishedTurn)))

    def marked(self, begins: bool, request_id: str, turn_id: int, error: str | None) -> None:
        """What became of a client's word that its user's speech begins or ends; `error`: why nothing did."""
        outcome = t.ManualOutcome(
            success=error is None,
            request_id=request_id,
            turn_id=turn_id if error is None else None,
            error_message=error,
        )
        made = t.ManualStart if begins else t.ManualEnd
        self._put(made(event_id=request_id, event_ms=self.wall_ms, payload=outcome))

    def speech_ended(self, reason: str, max_duration_ms: int | None, turn_id: int) -> None:
        """The agent has ended a user's speech whose client did not."""
        payload = t.Timeout(reason=reason, max_duration_ms=max_duration_ms, turn_id=turn_id)
        self._put(t.ManualTimeout(event_id=f"eos-{turn_id}", event_ms=self.wall_ms, payload=payload))

    def tool(self, call_id: str, name: str, arguments: str) -> None:
        """A function of the client's is called."""
        self._put(t.ToolCall(call_id=call_id, name=name, arguments=arguments, send_ts=self.wall_ms))

    def _text(self, message: t.V2, who: t.StreamId, turn_id: int, text: str, final: bool, now_ms: float) -> None:
        size = 0
        if self.form == "v2":
            size = self._put(message)
        elif self.form == "v0.3":
            ts = self._text_since(f"{who}/{turn_id}", final)
            size = self._put(t.Transcribe(is_final=final, stream_id=who, message_id="", text_ts=ts, text=text))
        if not final:
            self._free_at = now_ms + max(PARTIAL_MS, size * 1000 / BYTES_A_SECOND)

    def _text_since(self, key: str, final: bool) -> int:
        """When the first version of a text was sent: what its versions have in common."""
        if final:
            return self._text_ts.pop(key, None) or self.wall_ms
        if len(self._text_ts) >= 16:
            del self._text_ts[next(iter(self._text_ts))]
        return self._text_ts.setdefault(key, self.wall_ms)

    def _put(self, message: t.TranscriptMessage) -> int:
        """Sends it; returns how many bytes that takes."""
        if self.form == "off":
            return 0
        message.message_id = f"{self._sender}{next(self._numbers):x}"
        first = 0 if self.form == "v0.3" else 1
        packets = t.chunks(message.message_id, t.encode(message), self._room, first=first)
        self.sent += 1
        self._send(packets)
        return sum(map(len, packets))
