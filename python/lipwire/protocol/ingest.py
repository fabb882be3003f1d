"""One WebSocket connection of the avatar provider, without the WebSocket (protocol.md B).

`Ingest` takes each message with its arrival time, returns what it means, and keeps what is to be sent back. It raises
for nothing that a client can send: a bad message leaves an `error` event in `to_send()` and the connection lives on.

| a message that | is answered with `error` code |
|---|---|
| is a binary frame | UNSUPPORTED_DATA |
| is no JSON object | INVALID_JSON |
| has an unknown `command`, or none | UNKNOWN_COMMAND |
| comes before a good `init` (heartbeats may) | NOT_INITIALIZED |
| lacks a field, or has one of the wrong type or out of range | VALIDATION_ERROR |
| has an encoding that is not PCM16, PCM8 or OPUS | UNSUPPORTED_ENCODING |
| has broken base64, an odd number of bytes for PCM16, an empty OPUS packet | INVALID_AUDIO |
| is longer than 32 Ki characters and no `voice` | MESSAGE_TOO_LARGE |

The one message that ends a connection is an `init` for another session than the token's: `Close(1008)`.

A `voice` comes fifty times a second, so a good one is read by the core (`_core.VoiceReader`) without a JSON parser. It
answers only where it is sure; whatever it leaves, good or bad, goes through msgspec, and what comes out is the same.

What one message costs is bounded, whatever is in it: none but `voice` is made into objects beyond `MAX_CONTROL`
characters, and an `event_id`, which is kept and told, has up to `MAX_EVENT_ID`.

Two forms that Agora's published samples send are accepted: an `init` without `command` (told by `avatar_id`), and one
without `session_id` (the token names it).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from .. import _core
from ..errors import InvalidArgument
from .messages import (
    MAX_RATE,
    MIN_RATE,
    ErrorEvent,
    Granted,
    Heartbeat,
    HeartbeatAck,
    InitAck,
    Interrupt,
    RateMismatch,
    ServerEvent,
    Special,
    StartRequest,
    Voice,
    VoiceEnd,
    encode,
    missing_message,
    parse_object,
    parse_start,
)

__all__ = ["Close", "Event", "Ingest", "Init", "Interrupt", "RateMeter", "Special", "Voice", "VoiceEnd"]


class Init(Struct):
    """A good `init`. `again`: this connection had one before."""

    request: StartRequest
    again: bool = False


class Close(Struct):
    """The connection has to end with this WebSocket close code. Nothing is read after it."""

    code: int
    reason: str


Event = Init | Voice | VoiceEnd | Interrupt | Special | Close


class _InitHead(Struct, tag_field="command", tag="init"):
    """Only tells that a message is an `init`; `parse_start` reads the body, with better messages."""


_Message = _InitHead | Voice | VoiceEnd | Interrupt | Heartbeat | Special
_decode = msgspec.json.Decoder(_Message).decode
_COMMANDS = ("init", "voice", "voice_end", "voice_interrupt", "heartbeat", "special")
_REQUIRED = {"voice": ("audio", "sampleRate", "encoding"), "special": ("content",)}
_SAMPLE_BYTES = {"PCM16": 2, "PCM8": 1, "OPUS": 0}
_decode_voice = msgspec.json.Decoder(Voice).decode
MAX_CONTROL = 32 << 10
"""Characters of a message that is no `voice`: 16 000 empty lists, or 3 ms."""
MAX_EVENT_ID = 1024
"""Characters of an `event_id`."""


class Ingest:
    """The server's side of one connection.

    Args:
        session_id: the session the connection's token is bound to.
        granted: what `init_ack` says.
        guard_window: seconds after an interrupt in which `voice` is dropped, 0 = none.
        check_rate: watch for wrong `sampleRate` labels and report `rate_mismatch`.
        rates: label -> rate in Hz: speech with that label has that rate. What is measured is put into it, for the next
            `voice`; it may outlive the connection. None = labels stay as they are.

    Times are seconds of any monotonic clock.
    """

    def __init__(
        self,
        session_id: str,
        granted: Granted,
        *,
        guard_window: float = 0.0,
        check_rate: bool = True,
        rates: dict[int, int] | None = None,
    ) -> None:
        self.session_id = session_id
        self.granted = granted
        self.guard_window = guard_window
        self.initialized = False
        self.closed = False
        self.dropped = 0
        """Voice messages that fell into the guard window."""
        self._guard_until = -math.inf
        self._rates = rates
        self._meter = RateMeter() if check_rate else None
        self._read_voice = _core.VoiceReader(Voice).read
        self._out: list[ServerEvent] = []

    def receive(self, message: str | bytes, now: float) -> list[Event]:
        """What one frame means: no event or one. `str` is a text frame, `bytes` a binary one. Never raises."""
        if self.closed:
            return []
        if self.initialized and type(message) is str:
            voice: Voice | None = self._read_voice(message)
            if voice is not None:
                return self._speech(voice, now)
        return self._receive_any(message, now)

    def _receive_any(self, message: str | bytes, now: float) -> list[Event]:
        """`receive` with a JSON parser: every message, those that the core reads too."""
        if not isinstance(message, str):
            self._error("UNSUPPORTED_DATA", "Binary frames are not part of the protocol: send JSON in text frames")
            return []
        if len(message) > MAX_CONTROL:
            return self._receive_long(message, now)
        try:
            parsed = _decode(message)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            return self._undecodable(message, exc)
        if isinstance(parsed, Voice):
            return self._voice(parsed, now)
        return self._control(parsed, message, now)

    def _receive_long(self, message: str, now: float) -> list[Event]:
        """A long message that the core has not read: a `voice` or refused, in one pass that keeps nothing else."""
        try:
            return self._voice(_decode_voice(message), now)
        except msgspec.ValidationError as exc:
            text = str(exc)
            if "command" in text or text.startswith("Expected `object`, got"):
                return self._error(
                    "MESSAGE_TOO_LARGE",
                    f"The message has {len(message)} characters; other than voice may have up to {MAX_CONTROL}",
                )
            return self._bad_voice(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._error("INVALID_JSON", "The message is no JSON object")

    def take(self) -> list[ServerEvent]:
        """The answers to send now, in order. Each is returned once."""
        out = self._out
        if out:
            self._out = []
        return out

    def to_send(self) -> list[str]:
        """`take`, as text frames."""
        return [encode(event) for event in self.take()]

    def _voice(self, voice: Voice, now: float) -> list[Event]:
        if not _short(voice.event_id):
            return self._long_id()
        if not self.initialized:
            return self._not_initialized("voice", voice.event_id)
        sample_bytes = _SAMPLE_BYTES.get(voice.encoding)
        size = len(voice.payload)
        if sample_bytes is None:
            return self._error(
                "UNSUPPORTED_ENCODING",
                f"Invalid value for encoding: {voice.encoding[:40]!r}; allowed: one of PCM16, PCM8, OPUS",
                voice.event_id,
            )
        if not MIN_RATE <= voice.sample_rate <= MAX_RATE:
            return self._error(
                "VALIDATION_ERROR",
                f"Invalid value for sampleRate: {voice.sample_rate}; allowed: an integer {MIN_RATE}..{MAX_RATE}",
                voice.event_id,
            )
        if sample_bytes == 2 and size & 1:
            return self._error(
                "INVALID_AUDIO", f"PCM16 takes an even number of bytes, this chunk has {size}", voice.event_id
            )
        if size:
            return self._speech(voice, now)
        if now < self._guard_until:
            self.dropped += 1
        elif not sample_bytes:  # no samples: nothing was said; but a packet is never empty
            self._error("INVALID_AUDIO", "An OPUS packet has at least one byte", voice.event_id)
        return []

    def _speech(self, voice: Voice, now: float) -> list[Event]:
        """A voice message with nothing wrong in it, but perhaps its id."""
        if not _short(voice.event_id):
            return self._long_id()
        if now < self._guard_until:
            self.dropped += 1
            return []
        if self._meter is not None and (sample_bytes := _SAMPLE_BYTES[voice.encoding]):
            label = voice.sample_rate
            if self._rates:
                voice.sample_rate = self._rates.get(label, label)
            mismatch = self._meter.add(voice.sample_rate, len(voice.payload) // sample_bytes, now)
            if mismatch is not None:
                if self._rates is not None:
                    self._rates[label] = mismatch.measured  # the label itself, where it is right again
                    mismatch.declared, mismatch.corrected = label, True
                self._out.append(mismatch)
        return [voice]

    def _control(
        self, parsed: _InitHead | VoiceEnd | Interrupt | Heartbeat | Special, message: str, now: float
    ) -> list[Event]:
        if not isinstance(parsed, _InitHead) and not _short(parsed.event_id):
            return self._long_id()
        if isinstance(parsed, Heartbeat):
            self._out.append(HeartbeatAck(parsed.event_id, parsed.timestamp))
            return []
        if isinstance(parsed, _InitHead):
            body = parse_object(message)
            return self._error("INVALID_JSON", "The message is no JSON object") if body is None else self._init(body)
        if not self.initialized:
            return self._not_initialized(str(parsed.__struct_config__.tag), parsed.event_id)
        if isinstance(parsed, Interrupt):
            self._guard_until = now + self.guard_window
        if self._meter is not None and not isinstance(parsed, Special):
            self._meter.pause()
        return [parsed]

    def _init(self, body: dict[str, Any]) -> list[Event]:
        event_id = _event_id(body)
        session_id = body.get("session_id")
        if session_id is not None and session_id != self.session_id:
            self.closed = True
            self._error("SESSION_MISMATCH", "session_id is not the session of this connection's token", event_id)
            return [Close(1008, "session_id does not match the token")]
        try:
            request = parse_start(body)
        except InvalidArgument as exc:
            return self._error(exc.code, str(exc), event_id)
        event = Init(request, self.initialized)
        self.initialized = True
        self._out.append(InitAck(self.session_id, self.granted))
        return [event]

    def _undecodable(self, message: str, exc: Exception) -> list[Event]:
        """Says what is wrong with a message that the decoder refused. Off the hot path: it is parsed again."""
        body = parse_object(message)
        if body is None:
            return self._error("INVALID_JSON", "The message is no JSON object")
        event_id = _event_id(body)
        command = body.get("command")
        if command is None and "avatar_id" in body:
            return self._init(body)
        if not isinstance(command, str) or command not in _COMMANDS:
            shown = command[:40] if isinstance(command, str) else type(command).__name__
            return self._error(
                "UNKNOWN_COMMAND", f"Unknown command: {shown}; allowed: one of {', '.join(_COMMANDS)}", event_id
            )
        if not self.initialized and command != "heartbeat":
            return self._not_initialized(command, event_id)
        missing = [name for name in _REQUIRED.get(command, ()) if body.get(name) is None]
        if missing:
            return self._error("VALIDATION_ERROR", missing_message(missing), event_id)
        if command == "voice":
            return self._bad_voice(str(exc), event_id)
        return self._error("VALIDATION_ERROR", f"Invalid {command}: {str(exc)[:200]}", event_id)

    def _bad_voice(self, text: str, event_id: str | None = None) -> list[Event]:
        """`text`: what the decoder says of it."""
        if not self.initialized:
            return self._not_initialized("voice", event_id)
        if "base64" in text:
            return self._error("INVALID_AUDIO", "audio is not valid base64", event_id)
        return self._error("VALIDATION_ERROR", f"Invalid voice: {text[:200]}", event_id)

    def _long_id(self) -> list[Event]:
        return self._error(
            "VALIDATION_ERROR", f"Invalid value for event_id: up to {MAX_EVENT_ID} characters are allowed"
        )

    def _not_initialized(self, command: str, event_id: str | None) -> list[Event]:
        return self._error("NOT_INITIALIZED", f"{command} before init", event_id)

    def _error(self, code: str, message: str, event_id: str | None = None) -> list[Event]:
        self._out.append(ErrorEvent(code, message, event_id))
        return []


def _event_id(body: dict[str, Any]) -> str | None:
    value = body.get("event_id")
    return value if isinstance(value, str) and _short(value) else None


def _short(event_id: str | None) -> bool:
    return event_id is None or len(event_id) <= MAX_EVENT_ID


class RateMeter(_core.RateMeter):
    """Tells a wrong sample rate label from paced delivery, and says nothing when it cannot be sure.

    A client that sends audio as it is spoken delivers `rate` samples a second, whatever its label says. So the meter
    takes stretches of steady delivery and compares. A stretch counts only when

    - it is 4 seconds and at least 8 chunks long, without a pause;
    - each chunk's wait matches its length (coefficient of variation at most 0.35): bursts, stalls and speech that is
      sent as it is synthesised fail here;
    - the rate found is within 2 % of one that audio comes in (8, 11.025, 12, 16, 22.05, 24, 32, 44.1 or 48 kHz), other
      than the label.

    Two such stretches in a row that agree are a mismatch; it is reported once, until it changes.

    Delivery faster than the label is also what a client looks like that runs ahead of real time with a correct label.
    A burst is never steady. A sender that plays at twice the speed is, so a whole multiple of the label is never
    reported, and other rates above it only from a metronome (variation at most 0.15). What is left is a metronome at
    exactly the ratio of two rates, such as 1.5: on the wire that is the same as 24 kHz labelled 16 kHz, and is
    reported as such.

    The arithmetic, on a handful of numbers, is `csrc/ingest.c`'s.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(RateMismatch)
