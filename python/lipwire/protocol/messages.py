"""The wire structs of the avatar provider, declared once for HTTP, the WebSocket server, its clients and the CLI.

Source: Agora Conversational AI, generic avatar (protocol.md A and B). JSON keys are exactly as written there; unknown
keys are ignored. A WebSocket message is one JSON object whose `command` says what it is, in both directions.

Decoding a request body goes through `parse_start` and `parse_stop`, whose `InvalidArgument` messages name the field,
the value and what is allowed. Decoding WebSocket messages belongs to `lipwire.protocol.ingest`; a client decodes the
server's events with `decode_event`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping
from fractions import Fraction
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from ..errors import InvalidArgument

Quality = Literal["low", "medium", "high"]
VideoEncoding = Literal["H264", "VP8", "AV1"]
AudioEncoding = Literal["PCM16", "PCM8", "OPUS"]
Egress = Literal["video", "motion", "both"]
"""What of a face is sent: its pictures, its motion, for who draws it, or both: each viewer has what it asks for."""
Area = Literal["GLOBAL", "NORTH_AMERICA", "EUROPE", "ASIA", "INDIA", "JAPAN"]
"""Regions of Agora's network."""
MotionSet = Literal["visemes", "arkit", "head", "pose", "azure"]
MotionCarrier = Literal["data", "sei"]
"""What carries motion in an Agora channel: its data stream, or user data in a video of black pictures."""

FILM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,119}\.(mp4|webm)")
"""What a request may call its film. No separators, no leading dot: it is a file in the server's folder and no other
place."""
FILM_NAME_WORDS = (
    "a name of at most 125 letters, digits, '.', '_', '-' and spaces that begins with a letter or digit and ends in "
    ".mp4 or .webm"
)
MIN_RATE, MAX_RATE = 8_000, 48_000
MAX_FPS = 60
"""Sample rates in Hz that `voice` may carry."""
DEFAULT_IDLE_TIMEOUT = 120.0
"""Seconds; `activity_idle_timeout` where a request does not say."""

QUALITY: dict[str, tuple[int, int, float, int]] = {
    "low": (320, 180, 15, 250_000),
    "medium": (640, 360, 25, 800_000),
    "high": (1280, 720, 25, 2_000_000),
}
"""quality -> width, height in pixels, frames per second, video bits per second."""


# ---------------------------------------------------------------------------------------------------------- HTTP


class AgoraSettings(Struct, kw_only=True):
    """The channel to publish into. `uid` is decimal unless `enable_string_uid`."""

    app_id: str
    token: str = ""
    """Empty: a project without a certificate, joined with the app id alone."""
    channel: str
    uid: str
    enable_string_uid: bool


class RtpRequest(Struct, kw_only=True):
    """`rtp` of a start: speech comes, or speech and pictures leave, by plain RTP as well."""

    sdp: str
    """The offer (RFC 3264), with lines that end in CR LF or LF."""


class RtpReply(Struct, kw_only=True):
    """What became of it."""

    sdp: str
    """The answer."""


class FilmRequest(Struct, kw_only=True, omit_defaults=True):
    """`record` of POST /session/start: record the session into a film."""

    file: str | None = None
    """Its name, which ends in .mp4 or .webm; None: the server makes one."""


class MotionRequest(Struct, kw_only=True, omit_defaults=True):
    """`motion` of a start, beside `egress`; docs/motion.md."""

    sets: list[MotionSet] | None = None
    """What those are sent who do not say: viewers, and an Agora channel. Default: arkit and head."""
    carrier: MotionCarrier = "data"
    """In an Agora channel."""


class StartRequest(Struct, kw_only=True, omit_defaults=True):
    """Body of POST /session/start. The fields from `width` on are Lipwire's additions; None = by `quality`."""

    avatar_id: str
    quality: Quality
    version: Literal["v1"]
    video_encoding: VideoEncoding
    agora_settings: AgoraSettings
    activity_idle_timeout: float = DEFAULT_IDLE_TIMEOUT
    """Seconds without any message until the session ends; 0 = never."""
    width: int | None = None
    height: int | None = None
    fps: int | float | str | None = None
    """A number, or a ratio such as "30000/1001"; `stream.frame_rate` says which rate it is exactly."""
    area: Area | None = None
    """Where Agora's servers are that the session is to go by; None = anywhere."""
    sample_rate: int | None = None
    """Hz of the audio that leaves."""
    egress: Egress | None = None
    """None: both to viewers, who ask for what they want; pictures into an Agora channel."""
    motion: MotionRequest | None = None
    rtp: RtpRequest | None = None
    record: FilmRequest | None = None


class AgoraBody(AgoraSettings, kw_only=True):
    """`agora_settings` as a body may have it."""

    enable_string_uid: bool = False


class StartBody(StartRequest, kw_only=True):
    """POST /session/start as a body may have it: what `parse_start` makes a StartRequest of, for the API's
    description. Clients of ours send all of StartRequest, for other providers' sake."""

    quality: Quality = "high"
    version: Literal["v1"] = "v1"
    video_encoding: VideoEncoding = "H264"
    agora_settings: AgoraBody
    video_width: int | None = None
    """Another name of `width`, as `video_height` of `height`."""
    video_height: int | None = None
    aspect_ratio: str | None = None
    """The picture's shape, where not both of width and height are there."""


class FilmGranted(Struct, kw_only=True):
    """Where the film of a session is."""

    file: str
    """Its path below the server's folder of films."""


class Granted(Struct, kw_only=True):
    """What a session was given. Pixels, frames/s, video bits/s, Hz."""

    width: int
    height: int
    fps: float
    bitrate: int
    sample_rate: int
    video_encoding: VideoEncoding
    egress: Egress
    record: FilmGranted | UnsetType = UNSET
    """Where it is recorded that asked for it."""


class StartReply(Struct, kw_only=True):
    """200 of POST /session/start. `granted` is there when the request used one of Lipwire's additions, or another
    `video_encoding` was granted than it asked for."""

    session_id: str
    websocket_address: str
    session_token: str
    granted: Granted | UnsetType = UNSET
    rtp: RtpReply | UnsetType = UNSET
    """Where the request has `rtp`."""


class StopRequest(Struct, kw_only=True, omit_defaults=True):
    """Body of DELETE /session/stop. Clients send either or both."""

    session_id: str | None = None
    session_token: str | None = None


class StopReply(Struct, kw_only=True):
    """200 of DELETE /session/stop."""

    status: Literal["success"] = "success"
    message: str = "Session terminated successfully"


class ErrorReply(Struct, kw_only=True):
    """Body of every HTTP error: `error` is the kind, `code` what a program tests, `message` what a person reads."""

    error: str
    message: str
    code: str


def bit_rate(quality: Quality, width: int, height: int, fps: float) -> int:
    """Video bits per second: what the quality's own picture gets, in proportion to the pixels a second."""
    own_width, own_height, own_fps, bits = QUALITY[quality]
    return max(100_000, round(bits * (width * height * fps) / (own_width * own_height * own_fps)))


def grant(request: StartRequest, egress: Egress | None = None) -> Granted:
    """What `request` gets: its quality's picture, overridden by explicit width, height and fps. `egress`: of a request
    that does not say.

    The bit rate follows the pixels per second, so an override keeps the look of its quality.
    """
    width, height, fps, _ = QUALITY[request.quality]
    width = request.width or width
    height = request.height or height
    fps = float(_ratio(request.fps or fps))
    return Granted(
        width=width,
        height=height,
        fps=fps,
        bitrate=bit_rate(request.quality, width, height, fps),
        sample_rate=request.sample_rate or MAX_RATE,
        video_encoding=request.video_encoding,
        egress=request.egress or egress or "both",
    )


# ------------------------------------------------------------------------------------- WebSocket, client -> server


class InitMessage(StartRequest, kw_only=True, tag_field="command", tag="init"):
    """First message of every connection, and again on every reconnect of the same session."""

    session_id: str


class Voice(Struct, gc=False, tag_field="command", tag="voice"):
    """A piece of speech. On the wire `audio` (base64), `sampleRate` (Hz), `encoding`, `event_id`.

    `payload`: PCM16 little-endian mono, PCM8 unsigned mono (128 = silence), or one raw OPUS packet.
    """

    payload: bytes = field(name="audio")
    sample_rate: int = field(name="sampleRate")
    encoding: str
    event_id: str | None = None


class VoiceEnd(Struct, gc=False, tag_field="command", tag="voice_end"):
    """The utterance is complete; audio within the grace window still belongs to it."""

    event_id: str | None = None


class Interrupt(Struct, gc=False, tag_field="command", tag="voice_interrupt"):
    """Stop speaking now and drop what is queued."""

    event_id: str | None = None


class Heartbeat(Struct, gc=False, tag_field="command", tag="heartbeat"):
    """Every 10 s; `timestamp` in ms is echoed."""

    event_id: str | None = None
    timestamp: int | float | None = None


class Special(Struct, tag_field="command", tag="special"):
    """`content` is `{gesture|emotion|background|state|avatar_id: ...}`, as an object or as a JSON string of one."""

    content: Any
    event_id: str | None = None


ClientMessage = InitMessage | Voice | VoiceEnd | Interrupt | Heartbeat | Special


# ------------------------------------------------------------------------------------- WebSocket, server -> client


class InitAck(Struct, tag_field="command", tag="init_ack"):
    """Answers every `init`."""

    session_id: str
    granted: Granted


class HeartbeatAck(Struct, tag_field="command", tag="heartbeat_ack"):
    """Answers `heartbeat` with its own fields."""

    event_id: str | None = None
    timestamp: int | float | None = None


class PlaybackStarted(Struct, tag_field="command", tag="playback_started"):
    """The first sample of an utterance left."""

    event_id: str | None = None


class PlaybackFinished(Struct, tag_field="command", tag="playback_finished"):
    """An utterance is over; `position_ms` of it were actually played."""

    event_id: str | None
    position_ms: float
    interrupted: bool = False


class Underrun(Struct, tag_field="command", tag="underrun"):
    """Speech went on after a gap of `duration_ms` at `position_ms` of the utterance."""

    position_ms: float
    duration_ms: float


class RateMismatch(Struct, tag_field="command", tag="rate_mismatch", omit_defaults=True):
    """Paced audio arrives at another rate than its label says. Both in Hz."""

    declared: int
    measured: int
    corrected: bool = False
    """Speech with that label is taken to have the rate measured, from the next `voice` on. If not, nothing was
    changed."""


class Dtmf(Struct, tag_field="command", tag="dtmf"):
    """A key was pressed by who speaks by RTP (RFC 4733): 0..9, *, #, A..D, or the number of another event."""

    digit: str
    duration_ms: int


class ErrorEvent(Struct, tag_field="command", tag="error"):
    """The message with this `event_id` was refused; the connection and all that was accepted before live on."""

    code: str
    message: str
    event_id: str | None = None


ServerEvent = InitAck | HeartbeatAck | PlaybackStarted | PlaybackFinished | Underrun | RateMismatch | Dtmf | ErrorEvent

_encoder = msgspec.json.Encoder()
_event_decoder: msgspec.json.Decoder[ServerEvent] = msgspec.json.Decoder(ServerEvent)


def encode(message: Struct) -> str:
    """One text frame (or HTTP body) for any struct of this module."""
    return _encoder.encode(message).decode()


def decode_event(text: str | bytes) -> ServerEvent | None:
    """A server event, or None for one this version does not know or cannot read (a client only logs those)."""
    try:
        return _event_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


# ------------------------------------------------------------------------------------------------------ validation

Rule = tuple[Callable[[Any], bool], str]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(*allowed: str) -> Rule:
    return lambda v: isinstance(v, str) and v in allowed, "one of " + ", ".join(allowed)


def _whole(low: int, high: int) -> Rule:
    return lambda v: _is_int(v) and low <= v <= high, f"an integer {low}..{high}"


def _ratio(value: float | str) -> Fraction:
    """Frames a second, as they are written: 25, 29.97, "30000/1001". Raises ValueError."""
    try:
        return Fraction(str(value))
    except ZeroDivisionError as exc:
        raise ValueError(str(exc)) from exc


def _frame_rate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return 1 <= _ratio(value) <= MAX_FPS
    except ValueError:
        return False


def _seconds(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and 0 <= value <= 1e9 and math.isfinite(value)


_STRING: Rule = (lambda v: isinstance(v, str), "a string")
_SIZE: Rule = (lambda v: _is_int(v) and 16 <= v <= 1920 and v % 2 == 0, "an even integer 16..1920")

_START_RULES: dict[str, Rule] = {
    "avatar_id": (lambda v: isinstance(v, str) and 0 < len(v) <= 256, "a string of 1 to 256 characters"),
    "quality": _one_of("low", "medium", "high"),
    "version": _one_of("v1"),
    "video_encoding": _one_of("H264", "VP8", "AV1"),
    "agora_settings": (lambda v: isinstance(v, dict), "an object"),
}
_START_DEFAULTS = {"quality": "high", "version": "v1", "video_encoding": "H264"}
"""What the engine's configurations have no field for, by what its own client of the protocol sends."""
_AGORA_RULES: dict[str, Rule] = {
    "app_id": _STRING,
    "token": _STRING,
    "channel": _STRING,
    "uid": _STRING,
    "enable_string_uid": (lambda v: isinstance(v, bool), "true or false"),
}
_AGORA_DEFAULTS = {"token": "", "enable_string_uid": False}
_SAME = {"video_width": "width", "video_height": "height"}
"""Other names of fields, which clients of other avatars send."""
_SHAPE = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
_OPTIONAL_RULES: dict[str, Rule] = {
    "activity_idle_timeout": (_seconds, "a number of seconds >= 0 (0 = never)"),
    "width": _SIZE,
    "height": _SIZE,
    "fps": (_frame_rate, f'a number 1..{MAX_FPS}, or a ratio such as "30000/1001"'),
    "sample_rate": _whole(MIN_RATE, MAX_RATE),
    "area": _one_of(*get_args(Area)),
    "egress": _one_of("video", "motion", "both"),
    "rtp": (lambda v: isinstance(v, dict) and isinstance(v.get("sdp"), str), "an object with an SDP offer in sdp"),
    "motion": (lambda v: isinstance(v, dict), "an object"),
    "record": (lambda v: isinstance(v, dict), "an object"),
}
_MOTION_RULES: dict[str, Rule] = {
    "sets": (
        lambda v: isinstance(v, list) and bool(v) and all(one in get_args(MotionSet) for one in v),
        f"a list of some of {', '.join(get_args(MotionSet))}",
    ),
    "carrier": _one_of("data", "sei"),
}
_FILM_RULES: dict[str, Rule] = {
    "file": (lambda v: isinstance(v, str) and FILM_NAME.fullmatch(v) is not None, FILM_NAME_WORDS),
}
ADDITIONS = ("width", "height", "fps", "sample_rate", "area", "egress", "motion", "record")
"""The optional fields of /session/start that are Lipwire's own."""
_SHAPES = '"1:4" to "4:1", as "9:16"'
ALLOWED: dict[str, str] = {
    name: rule[1]
    for name, rule in (_START_RULES | _AGORA_RULES | _OPTIONAL_RULES | _MOTION_RULES | _FILM_RULES).items()
} | {"video_width": _SIZE[1], "video_height": _SIZE[1], "aspect_ratio": _SHAPES}
"""What each field of a start request may be, in words."""


def missing_message(names: list[str]) -> str:
    """The provider's wording for absent fields; `names` must not be empty."""
    return f"Missing required field{'(s)' if len(names) > 1 else ''}: {', '.join(names)}"


def _show(value: Any) -> str:
    """`value` as JSON, short enough for a message."""
    try:
        text = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def _check(name: str, value: Any, rule: Rule) -> None:
    if not rule[0](value):
        raise InvalidArgument(f"Invalid value for {name}: {_show(value)}; allowed: {rule[1]}")


def parse_object(body: bytes | str) -> dict[str, Any] | None:
    """The JSON object in `body`, or None where it is none (bad UTF-8, nesting without end and NaN included)."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_start(body: dict[str, Any]) -> StartRequest:
    """A checked request from a decoded JSON object. null counts as absent; what is absent and has a default gets it, so
    an absent token is an empty one. `video_width` and `video_height` are other names of `width` and `height`;
    `aspect_ratio` ("9:16") shapes the picture where not both of them are there.

    Raises:
        InvalidArgument: fields are missing (all of them are named, `agora_settings.uid` for a nested one), or else
            the first one out of range is, with its value and what is allowed.
    """
    body = _START_DEFAULTS | {name: value for name, value in body.items() if value is not None}
    missing = [name for name in _START_RULES if name not in body]
    agora = body.get("agora_settings")
    if isinstance(agora, dict):
        agora = _AGORA_DEFAULTS | {name: value for name, value in agora.items() if value is not None}
        missing += [f"agora_settings.{name}" for name in _AGORA_RULES if agora.get(name) is None]
    if missing:
        raise InvalidArgument(missing_message(missing))
    for name, rule in _START_RULES.items():
        _check(name, body[name], rule)
    assert isinstance(agora, dict)
    for name, rule in _AGORA_RULES.items():
        _check(f"agora_settings.{name}", agora[name], rule)
    body = _sized(body)
    optional = {name: body[name] for name in _OPTIONAL_RULES if name in body}
    for name, value in optional.items():
        _check(name, value, _OPTIONAL_RULES[name])
    if "rtp" in optional:
        optional["rtp"] = RtpRequest(sdp=optional["rtp"]["sdp"])
    if (motion := optional.get("motion")) is not None:
        optional["motion"] = _motion(motion, optional.get("egress"))
    if (film := optional.get("record")) is not None:
        optional["record"] = _film(film)
    return StartRequest(
        **{name: body[name] for name in _START_RULES if name != "agora_settings"},
        agora_settings=AgoraSettings(**{name: agora[name] for name in _AGORA_RULES}),
        **optional,
    )


def unknown_members(body: Mapping[str, Any]) -> list[str]:
    """The paths of the members of a start request that are no fields of it. They are ignored."""
    known = {*_START_RULES, *_OPTIONAL_RULES, *_SAME, "aspect_ratio"}
    found = [name for name in body if name not in known]
    below: dict[str, Container[str]] = {
        "agora_settings": _AGORA_RULES,
        "motion": _MOTION_RULES,
        "record": _FILM_RULES,
        "rtp": ("sdp",),
    }
    for name, fields in below.items():
        if isinstance(nested := body.get(name), dict):
            found += [f"{name}.{member}" for member in nested if member not in fields]
    return found


def _sized(body: dict[str, Any]) -> dict[str, Any]:
    """The body with its picture in `width` and `height`, if it says anything of its size."""
    sized = dict(body)
    for other, name in _SAME.items():
        if other in body:
            _check(other, body[other], _SIZE)
            if sized.setdefault(name, body[other]) != body[other]:
                raise InvalidArgument(f"{other} is {_show(body[other])}, and {name} is {_show(sized[name])}")
    if "aspect_ratio" not in body:
        return sized
    for name in ("width", "height"):
        if name in sized:
            _check(name, sized[name], _SIZE)
    sized["width"], sized["height"] = _shaped(body["aspect_ratio"], sized)
    return sized


def _shaped(ratio: Any, sized: dict[str, Any]) -> tuple[int, int]:
    """Width and height by an aspect ratio: of one that is given, else with as many pixels as the quality has."""
    parts = _SHAPE.fullmatch(ratio) if isinstance(ratio, str) else None
    shape = Fraction(int(parts[1]), int(parts[2])) if parts else Fraction(0)
    if not Fraction(1, 4) <= shape <= 4:
        raise InvalidArgument(f"Invalid value for aspect_ratio: {_show(ratio)}; allowed: {_SHAPES}")
    own_width, own_height, _, _ = QUALITY[sized["quality"]]
    width: int | None = sized.get("width")
    height: int | None = sized.get("height")
    if width is None:
        width = _even(math.sqrt(own_width * own_height * shape) if height is None else height * shape)
    if height is None:
        height = _even(width / shape)
    if abs(width - height * shape) > 2 * max(1.0, float(shape)):
        raise InvalidArgument(f"aspect_ratio is {ratio}, and width x height is {width}x{height}")
    return width, height


def _even(size: float | Fraction) -> int:
    return 2 * round(size / 2)


def _motion(asked: dict[str, Any], egress: Egress | None) -> MotionRequest:
    given = {name: asked[name] for name in _MOTION_RULES if asked.get(name) is not None}
    for name, value in given.items():
        _check(f"motion.{name}", value, _MOTION_RULES[name])
    if egress == "video":
        raise InvalidArgument("motion: egress 'video' sends none; ask for 'motion' or 'both'")
    if given.get("carrier") == "sei" and egress != "motion":
        raise InvalidArgument("motion.carrier: 'sei' takes the place of the video, so egress must be 'motion'")
    return MotionRequest(**given)


def _film(asked: dict[str, Any]) -> FilmRequest:
    if (file := asked.get("file")) is not None:
        _check("record.file", file, _FILM_RULES["file"])
    return FilmRequest(file=file)


def parse_stop(body: dict[str, Any]) -> StopRequest:
    """A stop request from a decoded JSON object; null and "" count as absent, and both may be.

    Raises:
        InvalidArgument: a field is no string.
    """
    values = {name: body.get(name) or None for name in ("session_id", "session_token")}
    for name, value in values.items():
        if value is not None:
            _check(name, value, _STRING)
    return StopRequest(**values)
