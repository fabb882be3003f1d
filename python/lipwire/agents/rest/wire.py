"""The wire of agent control (protocol.md C and D): what its bodies mean for an agent.

What a field means is one table per version, from wire path to names of `AgentConfig`; joining and updating go by the
same table, so that `AgentConfig`'s defaults are the only ones. Every fault of a body is found before anything is done,
and named by its path on the wire ("properties.custom_llm.max_history must be an integer 0..1024, got 5000"). null
counts as absent, but to `update` it is a value of the fields that may have it; unknown keys are ignored, except by
`update`, where a field that cannot change is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ...errors import InvalidArgument
from ...models.voices.names import check_no_path
from ...outward import Outward, OutwardRefused, redact
from ...protocol import agent_bodies as b
from ...protocol.agent_bodies import Fault, allowed, show
from ...protocol.messages import QUALITY
from ..config import AgentConfig
from ..describe import Changes, make_config, prompt, system_messages
from ..errors import (
    AgentConflict,
    AgentError,
    AgentForbidden,
    AgentLimit,
    AgentNotFound,
    AgentRateLimit,
    AgentStartFailed,
    AgentTimeout,
    AgentUnauthorized,
    GatewayFault,
    InvalidAgentRequest,
)
from ..headers import check_headers

Version = Literal["v1", "v2"]
MAX_FAULTS = 100
"""Fields that cannot be changed, of which an update is told; the rest of its fields are not looked at."""
ANY_CODEC = -1
"""`rtc_codec` in reference 002's example: the default."""

STATUS: dict[type[AgentError], int] = {
    AgentError: 500,
    InvalidAgentRequest: 400,
    AgentUnauthorized: 401,
    AgentForbidden: 403,
    AgentNotFound: 404,
    AgentConflict: 409,
    AgentLimit: 422,
    AgentRateLimit: 429,
    GatewayFault: 502,
    AgentStartFailed: 503,
    AgentTimeout: 504,
}
"""The HTTP status of each error, in v2; v1 has 403 for 401."""
_BY_STATUS = {status: kind for kind, status in STATUS.items()}


def error_of(status: int, detail: str, reason: str | None = None) -> AgentError:
    """The error that an answer with an HTTP status stands for."""
    error = _BY_STATUS.get(status, AgentError)(detail, reason=reason)
    error.status = status
    return error


# ------------------------------------------------------------------------------------- wire paths -> AgentConfig


class _Target(Struct, frozen=True):
    """What a wire field sets. `make` turns its value into changes, or raises ValueError."""

    make: Callable[[Any], Changes]
    update: bool = False


def _to(name: str, *, update: bool = False, empty: Any = "") -> _Target:
    """Sets a field to the value as it is; an empty text stands for `empty`."""
    return _Target(lambda value: {name: empty if value == "" else value}, update)


def _params(params: dict[str, Any]) -> Changes:
    """`model` has a place of its own."""
    rest = {name: value for name, value in params.items() if name != "model"}
    model = params.get("model")
    if model is not None and not isinstance(model, str):
        raise ValueError
    return {"llm.params": rest} | ({"llm.model": model or None} if "model" in params else {})


def _headers(name: str, *, update: bool = False) -> _Target:
    """Sets headers, where they may be sent."""

    def make(headers: dict[str, str]) -> Changes:
        check_headers(headers)
        return {name: headers}

    return _Target(make, update)


def _voice(name: str) -> Changes:
    """A voice of the server's, or of a service's; no file."""
    check_no_path(name)
    return {"voice": name}


def _inputs(kinds: list[str]) -> Changes:
    if "text" not in kinds or len(set(kinds)) != len(kinds):
        raise ValueError
    return {"llm.input_modalities": kinds}


def _outputs(kinds: list[str]) -> Changes:
    if not kinds or len(set(kinds)) != len(kinds):
        raise ValueError
    return {"llm.output_modalities": kinds}


_SHARED: dict[str, _Target] = {
    "token": _to("token", update=True),
    "channel": _to("channel"),
    "rtc_codec": _Target(lambda codec: {"rtc_codec": None if codec == ANY_CODEC else codec}),
    "audio_scenario": _to("audio_scenario"),
    "idle_timeout": _to("idle_timeout"),
    "asr.language": _to("language"),
    "tts.voice_id": _Target(_voice, update=True),
}
_VAD = ("interrupt_threshold", "prefix_padding_ms", "silence_duration_ms", "threshold")
_TURNS_V2 = (
    *_VAD,
    "max_wait_ms",
    "resume_false_interruption",
    "false_interruption_timeout",
    "backchannels",
    "suppress_echo",
)
_LLM: dict[str, _Target] = {
    "url": _to("llm.url", update=True),
    "failure_message": _to("llm.failure_message", update=True, empty=None),
    "extra_metadata": _to("llm.extra_metadata", update=True),
    "metadata_enabled": _to("llm.metadata_enabled", update=True),
    "max_history": _to("llm.max_history"),
}
_TARGETS: dict[str, dict[str, _Target]] = {
    "v1": {
        **_SHARED,
        "avatar.params.feelings": _to("feelings"),
        **{f"vad.{name}": _to(f"turn_detection.{name}", update=True) for name in _VAD},
        **{f"custom_llm.{name}": target for name, target in _LLM.items()},
        "agent_rtc_uid": _Target(lambda uid: {"uid": str(uid)}),
        "remote_rtc_uid": _Target(lambda uid: {"remote_uids": [str(uid)] if uid else []}),
        "input_modalities": _Target(_inputs),
        "output_modalities": _Target(_outputs),
        "custom_llm.token": _to("llm.api_key", update=True, empty=None),
        "custom_llm.prompt": _Target(prompt, update=True),
        "custom_llm.model": _to("llm.model", update=True, empty=None),
        "custom_llm.greeting": _to("llm.greeting_message", update=True, empty=None),
    },
    "v2": {
        **_SHARED,
        "avatar.params.feelings": _to("feelings", update=True),
        **{f"turn_detection.{name}": _to(f"turn_detection.{name}", update=True) for name in _TURNS_V2},
        **{f"llm.{name}": target for name, target in _LLM.items()},
        "agent_rtc_uid": _to("uid"),
        "remote_rtc_uids": _Target(lambda uids: {"remote_uids": [] if "*" in uids else uids}),
        "enable_string_uid": _to("string_uid"),
        "tts.params.voice_name": _Target(_voice, update=True),
        "tts.params.voice_id": _Target(_voice, update=True),
        "tts.params.voice": _Target(_voice, update=True),
        "asr.headers": _headers("stt_headers"),
        "tts.headers": _headers("tts_headers"),
        "llm.api_key": _to("llm.api_key", update=True, empty=None),
        "llm.headers": _headers("llm.headers", update=True),
        "llm.system_messages": _Target(system_messages, update=True),
        "llm.params": _Target(_params, update=True),
        "llm.input_modalities": _Target(_inputs),
        "llm.output_modalities": _Target(_outputs),
        "llm.greeting_message": _to("llm.greeting_message", update=True, empty=None),
    },
}
_JOINS: dict[str, tuple[type[Struct], type[Struct]]] = {
    "v1": (b.JoinV1, b.PropertiesV1),
    "v2": (b.JoinV2, b.PropertiesV2),
}
UPDATABLE: dict[str, tuple[str, ...]] = {
    version: tuple(sorted(path for path, target in targets.items() if target.update))
    for version, targets in _TARGETS.items()
}
"""version -> wire paths, below `properties`, that `update` takes."""


def _changes(version: str, found: Mapping[str, Any], kind: type[Struct], faults: list[Fault], prefix: str) -> Changes:
    """What the fields found mean."""
    changes: Changes = {}
    for path, target in _TARGETS[version].items():
        if path in found:
            try:
                changes |= target.make(found[path])
            except InvalidArgument as exc:
                must = allowed(_type_at(kind, path))
                faults.append(Fault(f"{prefix}{path}", f"must be {must}, and {exc}"))
            except ValueError:
                must = allowed(_type_at(kind, path))
                faults.append(Fault(f"{prefix}{path}", f"must be {must}, got {show(found[path])}"))
    return changes


def _type_at(kind: type[Struct], path: str) -> Any:
    head, _, rest = path.partition(".")
    found = next(info.type for info in msgspec.structs.fields(kind) if info.encode_name == head)
    return _type_at(found, rest) if rest else found


def _struct(kind: Any) -> type[Struct] | None:
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def leaves(
    kind: type[Struct], body: Mapping[str, Any], faults: list[Fault], prefix: str = "", *, nulls: bool = False
) -> dict[str, Any]:
    """The fields of `kind` that `body` gives, by wire path below `prefix`, checked and converted.

    A nested struct contributes its own fields. What is wrong or missing is added to `faults`, all of it.

    Args:
        nulls: null is a value where a field may have it, and not only the same as nothing.
    """
    found: dict[str, Any] = {}
    for info in msgspec.structs.fields(kind):
        path = f"{prefix}{info.encode_name}"
        value = body.get(info.encode_name)
        if value is None:
            if info.required:
                faults.append(Fault(path, "is required", "missing"))
            elif nulls and info.encode_name in body:
                with suppress(msgspec.ValidationError):
                    found[info.encode_name] = msgspec.convert(None, info.type)
        elif (nested := _struct(info.type)) is not None:
            if isinstance(value, dict):
                below = leaves(nested, value, faults, f"{path}.", nulls=nulls)
                found |= {f"{info.encode_name}.{name}": inner for name, inner in below.items()}
            else:
                faults.append(Fault(path, f"must be an object, got {show(value)}"))
        else:
            try:
                found[info.encode_name] = msgspec.convert(value, info.type)
            except msgspec.ValidationError:
                shown = redact(value) if info.type is b.Url and isinstance(value, str) else value
                shown = list(value) if info.type is b.Headers and isinstance(value, dict) else shown
                faults.append(Fault(path, f"must be {allowed(info.type)}, got {show(shown)}"))
    return found


async def check_urls(body: Mapping[str, Any], version: Version, outward: Outward) -> None:
    """Whether every URL that a body of join or update names, in any field that is one, may be called. The rest of the
    body has been found good.

    Raises:
        InvalidAgentRequest: one may not; names each such field.
    """
    _, properties = _JOINS[version]
    prefix = "properties." if "properties" in body else ""
    faults: list[Fault] = []
    for path, value in leaves(properties, body.get("properties", body), []).items():
        if _type_at(properties, path) is b.Url:
            try:
                await outward.check(value)
            except OutwardRefused as exc:
                faults.append(Fault(f"{prefix}{path}", str(exc), "not_allowed"))
    if faults:
        raise InvalidAgentRequest.because(faults)


def parse_join(body: Mapping[str, Any], version: Version) -> AgentConfig:
    """The agent that a join body describes. One of v1 sends the transcripts of reference 002 (v0.3).

    Raises:
        InvalidAgentRequest: what is missing or out of range, all of it.
    """
    join, properties = _JOINS[version]
    faults: list[Fault] = []
    found = leaves(join, body, faults)
    prefix = "properties."
    below = {path.removeprefix(prefix): value for path, value in found.items() if path.startswith(prefix)}
    changes = _changes(version, below, properties, faults, prefix)
    if version == "v2" and not below.get("enable_string_uid"):
        uids = [("agent_rtc_uid", below.get("agent_rtc_uid", "0"))]
        uids += [("remote_rtc_uids", uid) for uid in changes.get("remote_uids", ())]
        for name, uid in uids:
            if not (re.fullmatch(r"[0-9]{1,10}", uid) and int(uid) < 2**32):
                must = "must be a number 0..4294967295, as a string, unless enable_string_uid is true"
                faults.append(Fault(f"{prefix}{name}", f"{must}, got {show(uid)}"))
    changes |= _face(below, faults) | ({"transcripts": "v0.3"} if version == "v1" else {})
    given = body.get("properties")
    if isinstance(given, dict) and isinstance(given.get("record"), dict):
        changes["record"] = below.get("record.file", "")
    if faults:
        raise InvalidAgentRequest.because(faults)
    return make_config(found["name"], changes["channel"], changes)


def _face(below: Mapping[str, Any], faults: list[Fault]) -> Changes:
    """`avatar`, where it is there and enabled."""
    given = {path.removeprefix("avatar."): value for path, value in below.items() if path.startswith("avatar.")}
    if not given or not given.get("enable", True):
        return {}
    width, height, fps, _ = QUALITY[given.get("params.quality", "medium")]
    motion = {
        name: given[f"params.motion.{path}"]
        for name, path in (("motion_sets", "sets"), ("motion_carrier", "carrier"))
        if f"params.motion.{path}" in given
    }
    egress = given.get("egress", given.get("params.egress"))
    faults += _egress_faults(egress, given.get("params.egress", egress), motion)
    return {
        **motion,
        **({"egress": egress} if egress is not None else {}),
        "avatar": given.get("params.avatar_id", "aria"),
        "width": given.get("params.width", width),
        "height": given.get("params.height", height),
        "fps": given.get("params.fps", int(fps)),
    }


def _egress_faults(egress: str | None, also: str | None, motion: Mapping[str, Any]) -> list[Fault]:
    """What does not go together of `avatar.egress`, which may stand in two places, and of `avatar.params.motion`."""
    path = "properties.avatar.params"
    if egress != also:
        return [Fault(f"{path}.egress", f"must be what avatar.egress is, {show(egress)}, got {show(also)}")]
    if motion and egress == "video":
        return [Fault(f"{path}.motion", 'must not be there: egress "video" sends no motion')]
    if motion.get("motion_carrier") == "sei" and egress != "motion":
        return [Fault(f"{path}.motion.carrier", 'must be "data", unless egress is "motion": "sei" is a video itself')]
    return []


def parse_update(body: Mapping[str, Any], version: Version) -> Changes:
    """What an update body changes: dotted names of `AgentConfig` -> values. The fields stand in `properties`, or
    without it at the top.

    Raises:
        InvalidAgentRequest: a field that cannot be changed, or one out of range; nothing holds then.
    """
    _, properties = _JOINS[version]
    faults: list[Fault] = []
    prefix = "properties." if "properties" in body else ""
    given = body.get("properties", body)
    if not isinstance(given, dict):
        raise InvalidAgentRequest.because([Fault("properties", f"must be an object, got {show(given)}")])
    _refuse(given, UPDATABLE[version], faults, prefix)
    refused = {fault.loc for fault in faults}
    wrong: list[Fault] = []
    found = leaves(properties, given, wrong, prefix, nulls=True)
    faults += [fault for fault in wrong if fault.type != "missing" and fault.loc not in refused]
    changes = _changes(version, found, properties, faults, prefix)
    if faults:
        raise InvalidAgentRequest.because(faults)
    return changes


def _refuse(given: Mapping[str, Any], paths: tuple[str, ...], faults: list[Fault], prefix: str, depth: int = 3) -> None:
    """Adds the fields of `given` that are none of `paths`, named as deep as three steps; up to MAX_FAULTS of them."""
    for name, value in given.items():
        if len(faults) >= MAX_FAULTS:
            return
        if name in paths:
            continue
        below = tuple(path.partition(".")[2] for path in paths if path.startswith(f"{name}."))
        if depth > 1 and isinstance(value, dict) and (below or value):
            _refuse(value, below, faults, f"{prefix}{name[:80]}.", depth - 1)
        elif not below:
            faults.append(Fault(f"{prefix}{name[:80]}", "cannot be changed while the agent runs", "not_allowed"))


def parse_speak(body: Mapping[str, Any]) -> b.Speak:
    """The body of speak.

    Raises:
        InvalidAgentRequest: see `Speak`.
    """
    faults: list[Fault] = []
    found = leaves(b.Speak, body, faults)
    size = len(found.get("text", "").encode())
    if size > b.MAX_SPEAK_BYTES or ("text" in found and not found["text"].strip()):
        faults.append(Fault("text", f"must be 1 to {b.MAX_SPEAK_BYTES} bytes of UTF-8, got {size}"))
    if faults:
        raise InvalidAgentRequest.because(faults)
    return b.Speak(**found)


def parse_start_agent(body: Mapping[str, Any]) -> b.StartAgent:
    """The body of /start_agent. Raises InvalidAgentRequest."""
    return b.StartAgent(**check_body(b.StartAgent, body))


def parse_stop_agent(body: Mapping[str, Any]) -> b.StopAgent:
    """The body of /stop_agent. Raises InvalidAgentRequest."""
    return b.StopAgent(**check_body(b.StopAgent, body))


def parse_token_request(body: Mapping[str, Any]) -> b.TokenRequest:
    """What /token is asked for. Raises InvalidAgentRequest."""
    return b.TokenRequest(**check_body(b.TokenRequest, body))


def parse_control(body: Mapping[str, Any]) -> b.ControlAgent:
    """The body of /control_agent, complete for its command. Raises InvalidAgentRequest."""
    faults: list[Fault] = []
    found = leaves(b.ControlAgent, body, faults)
    need = b.NEEDS.get(found.get("command", ""))
    if need is not None and found.get(need, "") == "" and not any(fault.loc == need for fault in faults):
        faults.append(Fault(need, f"is required for {found['command']}", "missing"))
    if faults:
        raise InvalidAgentRequest.because(faults)
    return b.ControlAgent(**found)


def check_body(kind: type[Struct], body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `kind`, one level deep, that `body` gives. Raises InvalidAgentRequest, which names each bad one."""
    faults: list[Fault] = []
    found = leaves(kind, body, faults)
    if faults:
        raise InvalidAgentRequest.because(faults)
    return found


def start_agent_config(request: b.StartAgent) -> AgentConfig:
    """The agent that /start_agent asks for; its brain is the server's to say. It stays until it is stopped."""
    changes: Changes = {
        "brain": "realtime",
        "uid": str(request.uid),
        "language": request.language,
        "avatar": request.avatar or None,
        "idle_timeout": 0.0,
        "voice_commands": True,
    }
    if request.voice:
        changes["voice"] = request.voice
    changes |= prompt(request.system_instruction)
    return make_config(f"start_agent:{request.channel_name}", request.channel_name, changes)


# ---------------------------------------------------------------------------------------------------------- writing


class GenericAvatar(Struct, kw_only=True):
    """Our avatar, for an agent that runs elsewhere: the service opens a session at `api_base_url` (protocol.md A)."""

    api_base_url: str
    """Where the service reaches POST /session/start, say https://avatars.example.org."""
    api_key: str
    """What that expects as `x-api-key`."""
    avatar_id: str = "aria"
    quality: Literal["low", "medium", "high"] = "medium"
    version: str = "v1"
    video_encoding: Literal["H264", "VP8", "AV1"] = "H264"
    egress: Literal["", "video", "motion", "both"] = ""
    """What of the face it sends (protocol.md F); "" leaves it to the service."""
    activity_idle_timeout: int = 120
    """Seconds without speech after which the service ends the session; 0 = never."""
    agora_uid: str = ""
    """The avatar's user id in the channel, and its token; "" leaves them out."""
    agora_token: str = ""

    def properties(self) -> dict[str, Any]:
        """`properties.avatar`."""
        params = {name: value for name, value in msgspec.structs.asdict(self).items() if value != ""}
        return {"enable": True, "vendor": "generic", "params": params}


def join_body(config: AgentConfig, version: Version) -> dict[str, Any]:
    """The join body of an agent; `parse_join` gives the same agent back, but for what the wire has no word for
    (`brain`, `transport`, `tools`, `transcripts`, `voice_commands`).

    Raises:
        InvalidAgentRequest: v1 cannot say it (a user id that is no number, several remote users, chat messages other
            than one system message, `llm.params`, headers).
    """
    names = _TURNS_V2 if version == "v2" else _VAD
    turns = {name: value for name in names if (value := getattr(config.turn_detection, name)) is not None}
    llm, idle = config.llm, float(config.idle_timeout)
    shared: dict[str, Any] = {
        "token": config.token,
        "channel": config.channel,
        "rtc_codec": ANY_CODEC if config.rtc_codec is None else config.rtc_codec,
        "audio_scenario": config.audio_scenario,
        "idle_timeout": int(idle) if idle.is_integer() else idle,
        "asr": {"language": config.language},
        "tts": {"voice_id": config.voice} if config.voice else {},
    }
    if config.avatar is not None:
        params: dict[str, Any] = {
            "avatar_id": config.avatar,
            "width": config.width,
            "height": config.height,
            "fps": config.fps,
        }
        if config.egress is not None:
            params["egress"] = config.egress
        if config.feelings is not None:
            params["feelings"] = config.feelings
        motion: dict[str, Any] = {"sets": config.motion_sets, "carrier": config.motion_carrier}
        if asked := {name: value for name, value in motion.items() if value is not None}:
            params["motion"] = asked
        shared["avatar"] = {"enable": True, "vendor": "generic", "params": params}
    said = {"url": llm.url, "max_history": llm.max_history, "failure_message": llm.failure_message}
    said |= {"extra_metadata": llm.extra_metadata, "metadata_enabled": llm.metadata_enabled}
    modalities = {"input_modalities": llm.input_modalities, "output_modalities": llm.output_modalities}
    messages = llm.system_messages or prompt(config.instructions or "")["llm.system_messages"]
    if version == "v2":
        params = llm.params | ({"model": llm.model} if llm.model else {})
        said |= modalities | {"api_key": llm.api_key, "greeting_message": llm.greeting_message}
        said |= {"system_messages": messages, "params": params}
        for section, headers in (("asr", config.stt_headers), ("tts", config.tts_headers)):
            if headers:
                shared[section] = {**shared.get(section, {}), "headers": headers}
        said |= {"headers": llm.headers} if llm.headers else {}
        more = {
            "agent_rtc_uid": config.uid,
            "remote_rtc_uids": config.remote_uids or ["*"],
            "enable_string_uid": config.string_uid,
            "turn_detection": turns,
            "llm": said,
        }
    else:
        uids = [config.uid, *config.remote_uids]
        one_system = len(messages) <= 1 and all(m == {"role": "system", "content": m.get("content")} for m in messages)
        if config.string_uid or not all(map(str.isdecimal, uids)) or len(uids) > 2 or not one_system or llm.params:
            raise InvalidAgentRequest("v1 has numbers for user ids, one remote user, one system message, no llm.params")
        if llm.headers or config.stt_headers or config.tts_headers:
            raise InvalidAgentRequest("v1 has no headers")
        said |= {"token": llm.api_key, "model": llm.model, "greeting": llm.greeting_message}
        said["prompt"] = messages[0]["content"] if messages else None
        more = {
            "agent_rtc_uid": int(config.uid),
            "remote_rtc_uid": int((config.remote_uids or ["0"])[0]),
            "vad": turns,
            "custom_llm": said,
            **modalities,
        }
    return {"name": config.name, "properties": _without_none(shared | more)}


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: inner for name, inner in value.items() if inner is not None}
    return {
        name: _without_none(inner) if isinstance(inner, dict) and name in ("llm", "custom_llm") else inner
        for name, inner in kept.items()
    }


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says, object by object; null in `over` takes a member out."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged
