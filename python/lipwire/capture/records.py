"""What a recording consists of: one JSON object a line, whose `k` says what it is (docs/capture.md).

Times `t` are seconds of the recording machine's monotonic clock; `Header.origin` is its zero. Places on the media
clock are samples at 48 kHz. A message or call that acts on speech carries two of them: `at`, up to where sound had been
handed over when it came, and `ops`, where each thing that it did to the engine took effect. The second is what makes a
replay exact: the block that begins there is the first that knows of it. `told` counts the engine's events that the
session had acted on before it.
"""

from __future__ import annotations

import re
import time
from typing import Any, Literal

import msgspec
from msgspec import Struct

from .. import _core
from ..protocol import messages as m

FORMAT = 1
"""Version of the format. A reader takes its own and older ones; what it does not know within one it leaves out."""


class Settings(Struct, kw_only=True):
    """What shapes the output besides what a client sends. Times in seconds."""

    avatar: str
    width: int
    height: int
    fps: tuple[int, int]
    seed: int
    prebuffer: float
    capacity: float
    voice_end_grace: float
    voice_end_timeout: float
    guard_window: float = 0.0
    correct_rate: bool = False
    prebuffer_max: float = 0.0
    catch_up: bool = False
    check_rate: bool = True


class Header(Struct, kw_only=True, tag_field="k", tag="capture"):
    """The first line."""

    format: int
    lipwire: str
    """Version that recorded it."""
    cpu: str
    """Kernel level (`LIPWIRE_CPU`). Sound is the same at each; visemes are, within a tolerance."""
    session_id: str
    started: float
    """Unix seconds,"""
    origin: float
    """and the same moment as `t`."""
    request: m.StartRequest
    """Without its token."""
    granted: m.Granted
    settings: Settings


class Connected(Struct, tag_field="k", tag="connected"):
    """A WebSocket came; `connection` counts them."""

    t: float
    connection: int


class Disconnected(Struct, tag_field="k", tag="disconnected"):
    """It went."""

    t: float
    connection: int


class Received(Struct, tag_field="k", tag="in", omit_defaults=True):
    """A message of the client. `binary`: bytes of a binary frame, which the protocol does not have; `broken`: of a text
    that is no JSON object, and is left out, because nobody can say what secrets are in it."""

    t: float
    connection: int
    at: int = 0
    told: int = 0
    ops: list[int] = []
    text: str | None = None
    binary: int = 0
    broken: int = 0


class Continued(Struct, tag_field="k", tag="on", omit_defaults=True):
    """More of the newest message of a connection acted: a long `voice` is taken in pieces."""

    t: float
    connection: int
    at: int = 0
    told: int = 0
    ops: list[int] = []


class Draining(Struct, tag_field="k", tag="draining"):
    """The server is asked to end: no new utterance is taken from here on."""

    t: float


class Called(Struct, tag_field="k", tag="call", omit_defaults=True):
    """Something else than the client acted: the viewer page; in recordings before 0.4 also time (`settle`: the end of
    an utterance shorter than the resampler's memory, which now begins and ends as any other does)."""

    t: float
    what: Literal["write", "end", "interrupt", "special", "settle"]
    at: int = 0
    told: int = 0
    ops: list[int] = []
    pcm: bytes = b""
    rate: int = 0
    event_id: str | None = None
    content: Any = None


class Sent(Struct, tag_field="k", tag="out"):
    """An event of the server."""

    t: float
    text: str


class Played(Struct, tag_field="k", tag="played"):
    """What was handed over, without a gap in the sound: CRC-32 (ISO 3309) of each 10 ms of PCM16 from `begin` on, and
    (place, CRC-32) of the I420 bytes of each picture."""

    begin: int
    sound: list[int]
    pictures: list[tuple[int, int]]


class Lost(Struct, tag_field="k", tag="lost"):
    """So many records were left out here, because the disk was slower than the session."""

    count: int


class Ended(Struct, tag_field="k", tag="end"):
    """The session ended, or (`limit`) the recording did."""

    t: float
    reason: str


Record = Header | Connected | Disconnected | Received | Continued | Draining | Called | Sent | Played | Lost | Ended

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def in_ns(t: float) -> int:
    """A record's time as the session's clock tells it: the same, live and from the file."""
    return round(t * 1e9)


def encode(record: Record) -> bytes:
    """One line, with its end."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record | None:
    """None: of a kind that this version does not know, or damaged."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def printable(text: str) -> str:
    """For a terminal: what came from a stranger must not control it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# ---------------------------------------------------------------------------------------------------- no secrets

REMOVED = "(removed)"
_SECRET = re.compile(
    r"token|secret|passw|credential|authorization|certificate|cookie|signature|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|^(key|auth|bearer|jwt|pwd)$",
    re.IGNORECASE,
)
"""A member of this name is a secret, whatever it holds."""
_IN_URL = re.compile(r"(://)[^/\s@]+@|([?&](?:[^=&\s]*(?:key|token|secret|sig|passw)[^=&\s]*)=)[^&\s]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer\s+)\S+", re.IGNORECASE)
_SDES = re.compile(r"(\binline:)[^\s|\\]+")
"""The key in a session description (RFC 4568)."""
_NAMED = re.compile(r"(Invalid value for (\S+?): ).*", re.DOTALL)


def clean_value(value: Any) -> Any:
    """The same JSON value without secrets: members that are named like one, what a URL carries of them, `Bearer ...`. A
    string that is JSON itself is looked into."""
    if isinstance(value, dict):
        return {
            key: REMOVED if _SECRET.search(key) and value[key] is not None else clean_value(value[key]) for key in value
        }
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    if isinstance(value, str):
        return _clean_string(value)
    return value


def _clean_string(text: str) -> str:
    if text.lstrip()[:1] in ("{", "["):
        try:
            inner = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return REMOVED if _SECRET.search(text) else text
        cleaned = clean_value(inner)
        return text if cleaned == inner else msgspec.json.encode(cleaned).decode()
    text = _SDES.sub(r"\1" + REMOVED, text)
    return _BEARER.sub(
        r"\1" + REMOVED, _IN_URL.sub(lambda found: f"{found[1] or found[2]}{REMOVED}" + "@" * bool(found[1]), text)
    )


def clean_text(text: str) -> str | None:
    """A message of a client without secrets, as it came where there are none; None: it is no JSON object."""
    body = m.parse_object(text)
    if body is None:
        return None
    try:
        cleaned = clean_value(body)
        return text if cleaned == body and not _doubled(text) else msgspec.json.encode(cleaned).decode()
    except RecursionError:
        return None


def _doubled(text: str) -> bool:
    """Whether something that is named like a secret may hide behind a member of the same name, of which the last one
    counts."""
    return _SECRET.search(text) is not None


def clean_event(text: str) -> str:
    """An event of the server without the value that it refused, where that is a secret's."""
    event = m.decode_event(text)
    if not isinstance(event, m.ErrorEvent):
        return text
    found = _NAMED.fullmatch(event.message)
    message = found[1] + REMOVED if found and _SECRET.search(found[2]) else _clean_string(event.message)
    return m.encode(m.ErrorEvent(event.code, message, event.event_id))


def clean_request(request: m.StartRequest) -> m.StartRequest:
    """A start request without its token, and without `rtp`, which has keys and cannot be replayed: what it brought is
    recorded as calls."""
    agora = msgspec.structs.replace(request.agora_settings, token=REMOVED)
    return msgspec.structs.replace(request, agora_settings=agora, rtp=None)


def new_header(
    session_id: str, request: m.StartRequest, granted: m.Granted, settings: Settings, *, origin: float
) -> Header:
    """The header of a session that begins now, which is `origin` by its clock."""
    return Header(
        format=FORMAT,
        lipwire=_core.core_version(),
        cpu=_core.cpu_level(),
        session_id=session_id,
        started=time.time(),
        origin=origin,
        request=clean_request(request),
        granted=granted,
        settings=settings,
    )
