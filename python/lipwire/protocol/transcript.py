"""Transcripts and states over data messages: the objects, and the packets that they travel in (protocol.md E).

An object is JSON in ASCII (what is not has the form \\uXXXX: Agora's client toolkit reads bytes as Latin-1), in base64,
cut into packets `message_id|index|total|part`. `chunks` cuts, an `Assembler` joins. The index counts from 1, in v0.3
from 0: the toolkit throws a packet of index 0 away.

Two sets of objects: v0.3 (`Transcribe`, the only one) and v2 (the members of `V2`, told apart by `object`). Members are
those of Agora's Conversational AI; what Lipwire adds says so. Times in ms; `*_ts` are wall clock, ms since 1970, given
by the caller. Unknown members are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ..errors import BadData, InvalidArgument

PACKET = 1024
"""Bytes that a packet of a data stream holds."""
AGENT_STREAM = 0
"""`stream_id` of what the agent says."""
RUNNING: Final = 0
ENDED: Final = 1
INTERRUPTED: Final = 2

TurnStatus = Literal[0, 1, 2]
"""RUNNING, ENDED, INTERRUPTED."""
AgentState = Literal["idle", "listening", "thinking", "speaking"]
StreamId = int | str
"""A user's uid: a number, or its name where users have names."""


class Word(Struct, frozen=True, omit_defaults=True):
    """A word and when it is said."""

    word: str
    start_ms: int
    duration_ms: int
    stable: bool = True


class Transcribe(Struct, kw_only=True, tag_field="data_type", tag="transcribe"):
    """v0.3: text of either side. Messages with the same `stream_id` and `text_ts` are versions of one text."""

    is_final: bool
    stream_id: StreamId
    message_id: str
    text_ts: int
    text: str


class UserTranscription(Struct, kw_only=True, tag_field="object", tag="user.transcription"):
    """What a user said; one with `final` false is replaced by the next of the same turn and user."""

    message_id: str = ""
    text: str
    final: bool = True
    start_ms: int = 0
    """Since the agent came."""
    duration_ms: int = 0
    language: str = ""
    turn_id: int = 0
    stream_id: StreamId = 0
    user_id: str = ""
    words: list[Word] | None = None


class AssistantTranscription(Struct, kw_only=True, tag_field="object", tag="assistant.transcription"):
    """What the agent has said so far in this turn; a higher `turn_seq_id` replaces a lower one.

    `words` of Agora's are left out, in every message: where the first one has some the client toolkit shows words as
    its SDK tells how far the sound is, and else an empty line. Lipwire's own `word_times` are those of a final text."""

    message_id: str = ""
    text: str
    start_ms: int = 0
    duration_ms: int = 0
    language: str = ""
    turn_id: int = 0
    turn_seq_id: int = 0
    turn_status: TurnStatus = RUNNING
    stream_id: StreamId = AGENT_STREAM
    user_id: str = ""
    word_times: list[Word] | None = None


class Interrupt(Struct, kw_only=True, tag_field="object", tag="message.interrupt"):
    """The agent was interrupted in this turn."""

    message_id: str = ""
    data_type: str = "message"
    turn_id: int = 0
    start_ms: int = 0
    send_ts: int = 0


class State(Struct, kw_only=True, tag_field="object", tag="message.state"):
    """What the agent does. `paused` is Lipwire's."""

    message_id: str = ""
    state: AgentState
    paused: bool = False
    turn_id: int = 0
    timestamp: int = 0


class Metrics(Struct, kw_only=True, omit_defaults=True, tag_field="object", tag="message.metrics"):
    """A figure of a turn. `segments` (ms by name), the parts that it consists of, is Lipwire's."""

    message_id: str = ""
    data_type: str = "message"
    module: str
    metric_name: str
    turn_id: int = 0
    latency_ms: float
    segments: dict[str, float] | None = None
    send_ts: int = 0


class Error(Struct, kw_only=True, omit_defaults=True, tag_field="object", tag="message.error"):
    """Something failed. `reason` (LLM_ERROR, ...) is Lipwire's."""

    message_id: str = ""
    data_type: str = "message"
    module: str
    code: int = 0
    message: str
    reason: str = ""
    turn_id: int = 0
    send_ts: int = 0


class Info(Struct, kw_only=True, tag_field="object", tag="message.info"):
    """The receipt of something that a client sent, in a `turn_id` from 1 on. `message` is JSON; of a picture it has
    `uuid`, `width`, `height` and more."""

    message_id: str = ""
    data_type: str = "message"
    module: str = "context"
    resource_type: str = "picture"
    message: str
    turn_id: int
    send_ts: int = 0


class Segment(Struct, frozen=True):
    """A part of a turn's latency."""

    name: str
    latency: float


class TurnStart(Struct, frozen=True):
    start_at: int
    """Ms since 1970."""


class TurnMetrics(Struct, frozen=True):
    e2e_latency_ms: float
    segmented_latency_ms: list[Segment] = []


class FinishedTurn(Struct, frozen=True, kw_only=True):
    agent_id: str
    turn_id: int
    start: TurnStart
    metrics: TurnMetrics


class TurnFinished(Struct, kw_only=True, tag_field="object", tag="turn.finished"):
    """A turn is over, with its latency. This and the next three have no `object` with Agora, but an `event_type`."""

    message_id: str = ""
    event_type: str = "turn.finished"
    payload: FinishedTurn


class ManualOutcome(Struct, frozen=True, kw_only=True):
    """What became of a client's word that its user's speech begins or ends."""

    success: bool
    request_id: str
    turn_id: int | None = None
    error_message: str | None = None


class ManualStart(Struct, kw_only=True, tag_field="object", tag="user.manual_sos.result"):
    """The answer to `user.manual_sos`."""

    message_id: str = ""
    event_type: str = "user.manual_sos.result"
    event_id: str = ""
    event_ms: int = 0
    payload: ManualOutcome


class ManualEnd(Struct, kw_only=True, tag_field="object", tag="user.manual_eos.result"):
    """The answer to `user.manual_eos`."""

    message_id: str = ""
    event_type: str = "user.manual_eos.result"
    event_id: str = ""
    event_ms: int = 0
    payload: ManualOutcome


class Timeout(Struct, frozen=True, kw_only=True):
    reason: str
    max_duration_ms: int | None = None
    turn_id: int | None = None


class ManualTimeout(Struct, kw_only=True, tag_field="object", tag="assistant.manual_eos.result"):
    """The agent has ended a user's speech whose client did not."""

    message_id: str = ""
    event_type: str = "assistant.manual_eos.result"
    event_id: str = ""
    event_ms: int = 0
    payload: Timeout


class ToolCall(Struct, kw_only=True, tag_field="object", tag="message.tool_call"):
    """Lipwire's: the model calls a function that the client has. `arguments` is JSON. The client answers with a chat
    message `{"type":"tool_result","call_id":...,"output":...}`."""

    message_id: str = ""
    data_type: str = "message"
    call_id: str
    name: str
    arguments: str
    send_ts: int = 0


V2 = (
    UserTranscription
    | AssistantTranscription
    | Interrupt
    | State
    | Metrics
    | Error
    | Info
    | TurnFinished
    | ManualStart
    | ManualEnd
    | ManualTimeout
    | ToolCall
)
TranscriptMessage = Transcribe | V2

_v2: msgspec.json.Decoder[Any] = msgspec.json.Decoder(V2)
_v03 = msgspec.json.Decoder(Transcribe)


def encode(message: TranscriptMessage) -> bytes:
    """JSON, in ASCII."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":")).encode()


def decode(payload: bytes) -> TranscriptMessage:
    """The reverse. Raises BadData: it is none of these objects."""
    try:
        found: TranscriptMessage = _v2.decode(payload)
        return found
    except (msgspec.DecodeError, RecursionError) as exc:
        reason = str(exc)
    try:
        return _v03.decode(payload)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadData(f"no transcript object: {reason}; nor one of v0.3: {exc}") from None


# ---------------------------------------------------------------------------------------------------------- packets


def chunks(message_id: str, payload: bytes, room: int = PACKET, *, first: int = 1) -> list[bytes]:
    """The packets of a message of any size, each of at most `room` bytes; the index counts from `first`.

    Raises:
        InvalidArgument: the id is empty, has a "|" or a NUL, or leaves less than 64 bytes of a packet.
    """
    head = len(f"{message_id}|999999|999999|".encode())
    if not message_id or "|" in message_id or "\0" in message_id or room - head < 64:
        raise InvalidArgument(
            f"a message id must be short and without '|' and NUL, and a packet hold 64 bytes beside it: "
            f"id {message_id[:40]!r}, packets of {room} bytes"
        )
    text = base64.b64encode(payload)
    step = room - head
    parts = [text[at : at + step] for at in range(0, len(text), step)] or [b""]
    return [f"{message_id}|{n}|{len(parts)}|".encode() + part for n, part in enumerate(parts, first)]


MAX_PARTS = 1024
MAX_UNKNOWN = 256
"""Parts of a message whose total nobody has said: each new one is a try to read it."""
MAX_ID = 128
"""Bytes."""
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


class _Partial(Struct):
    total: int | None
    """None: no packet has said it yet."""
    born: float
    parts: dict[int, bytes]
    bytes: int = 0


class Assembler:
    """Joins packets to messages: any order, indices from 0 or from 1, duplicates, an unknown total (`???`).

    With no total from any packet, a message is whole as soon as its parts without a gap are a JSON object. What is no
    packet is ignored and counted in `ignored`; messages that do not fit the bounds are dropped, the oldest first, and
    counted in `dropped`; `duplicates` counts packets that were there already.

    Args:
        messages: how many may be unfinished.
        size: bytes of parts that may wait, all messages together.
        age: seconds that a message may take.
    """

    REMEMBERED = 64
    """Finished messages whose late packets are known as such."""

    def __init__(self, *, messages: int = 32, size: int = 1 << 20, age: float = 10.0) -> None:
        self.ignored = 0
        self.dropped = 0
        self.duplicates = 0
        self._messages, self._size, self._age = messages, size, age
        self._partial: dict[bytes, _Partial] = {}
        self._bytes = 0
        self._done: dict[bytes, None] = {}

    def __len__(self) -> int:
        """Messages that are unfinished."""
        return len(self._partial)

    @property
    def waiting(self) -> int:
        """Bytes of parts that wait."""
        return self._bytes

    def add(self, packet: bytes, now: float) -> bytes | None:
        """A packet that came at `now` (seconds, any clock that does not go back). Returns the payload of the message
        that it finishes, or None."""
        while self._partial and now - next(iter(self._partial.values())).born > self._age:
            self._drop_oldest()
        fields = packet.split(b"|", 3)
        index, total = (_number(fields[1]), _number(fields[2])) if len(fields) == 4 else (None, None)
        if index is None or not 0 < len(fields[0]) <= MAX_ID or not _BASE64.issuperset(fields[3]):
            return self._refuse()
        if total is None:
            fits = fields[2] == b"???" and index <= MAX_UNKNOWN
        else:
            fits = 0 < total <= MAX_PARTS and index <= total
        if not fits or len(fields[3]) > self._size:
            return self._refuse()
        return self._take(fields[0], index, total, fields[3], now)

    def _take(self, name: bytes, index: int, total: int | None, part: bytes, now: float) -> bytes | None:
        if name in self._done:
            self.duplicates += 1
            return None
        message = self._partial.get(name)
        if message is None:
            if len(self._partial) >= self._messages:
                self._drop_oldest()
            message = self._partial[name] = _Partial(None, now, {})
        elif index in message.parts:
            self.duplicates += 1
            return None
        known = message.total if total is None else total
        if known is not None and (message.total not in (None, known) or not _fits(message.parts, index, known)):
            return self._refuse()  # never the first: a single part always fits
        message.total = known
        message.parts[index] = part
        message.bytes += len(part)
        self._bytes += len(part)
        payload = self._whole(name, message)
        while self._bytes > self._size:
            self._drop_oldest()
        return payload

    def _whole(self, name: bytes, message: _Partial) -> bytes | None:
        """The payload, if all of the message is there."""
        parts, total = message.parts, message.total
        first = 0 if 0 in parts else 1
        if len(parts) != max(parts) - first + 1 or total not in (None, len(parts)):
            return None
        payload = _decoded(b"".join(parts[i] for i in sorted(parts)))
        if total is None and (payload is None or not _is_object(payload)):
            return None
        self._remove(name)
        if payload is None:
            return self._refuse()
        self._done[name] = None
        if len(self._done) > self.REMEMBERED:
            del self._done[next(iter(self._done))]
        return payload

    def _remove(self, name: bytes) -> None:
        self._bytes -= self._partial.pop(name).bytes

    def _drop_oldest(self) -> None:
        self._remove(next(iter(self._partial)))
        self.dropped += 1

    def _refuse(self) -> bytes | None:
        self.ignored += 1
        return None


def _number(field: bytes) -> int | None:
    return int(field) if field.isdigit() and len(field) <= 6 else None


def _fits(parts: dict[int, bytes], index: int, total: int) -> bool:
    """Whether `index` and what is there can be of 0..total-1, or of 1..total."""
    low, high = min((index, *parts)), max((index, *parts))
    return high <= total and not (low == 0 and high == total)


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _is_object(payload: bytes) -> bool:
    if not payload.rstrip().endswith(b"}"):
        return False
    try:
        return isinstance(msgspec.json.decode(payload), dict)
    except (msgspec.DecodeError, RecursionError):
        return False
