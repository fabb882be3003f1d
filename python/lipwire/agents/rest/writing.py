"""What is written: join bodies, for `client.AgoraAgents`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ..config import AgentConfig, Tool
from ..describe import prompt
from ..errors import InvalidAgentRequest
from ..options import Greeting, Interruption, McpServer, Realtime, Vendor
from .sections.llm import GREETS
from .sections.shared import ANY_CODEC, VAD
from .sections.templates import kept
from .sections.turns import OWN
from .wire import Version


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
    (`brain` without `realtime`, `transport`, tools that no HTTP service answers for, `transcripts`, `voice_commands`).
    A `{{name}}` in its texts stays one: it goes as a value of its own, which is the one thing that is added.

    Raises:
        InvalidAgentRequest: v1 cannot say it (a user id that is no number, several remote users, chat messages other
            than one system message, `llm.params`, headers, anything that only v2 knows).
    """
    body = _v2(kept(config)) if version == "v2" else _v1(config)
    return {"name": config.name, "properties": _without_none(body)}


def _shared(config: AgentConfig) -> dict[str, Any]:
    idle = float(config.idle_timeout)
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
        shared["avatar"] = _face(config)
    if config.record is not None:
        shared["record"] = {"file": config.record} if config.record else {}
    return shared


def _face(config: AgentConfig) -> dict[str, Any]:
    params: dict[str, Any] = {
        "avatar_id": config.avatar,
        "width": config.width,
        "height": config.height,
        "fps": config.fps,
        "egress": config.egress,
        "feelings": config.feelings,
    }
    motion = {"sets": config.motion_sets, "carrier": config.motion_carrier}
    if config.says_motion:
        params["motion"] = _without_none(motion)
    return {"enable": True, "vendor": "generic", "params": _without_none(params)}


def _v1(config: AgentConfig) -> dict[str, Any]:
    llm = config.llm
    uids, messages = [config.uid, *config.remote_uids], _messages(config)
    one_system = len(messages) <= 1 and all(m == {"role": "system", "content": m.get("content")} for m in messages)
    if config.string_uid or not all(map(str.isdecimal, uids)) or len(uids) > 2 or not one_system or llm.params:
        raise InvalidAgentRequest("v1 has numbers for user ids, one remote user, one system message, no llm.params")
    if llm.headers or config.stt_headers or config.tts_headers:
        raise InvalidAgentRequest("v1 has no headers")
    if new := _options(config, Greeting()):
        raise InvalidAgentRequest(f"v1 has no {', '.join(new)}")
    return _shared(config) | {
        "agent_rtc_uid": int(config.uid),
        "remote_rtc_uid": int((config.remote_uids or ["0"])[0]),
        "vad": _turns(config, VAD),
        "custom_llm": {
            **_llm(config),
            "token": llm.api_key,
            "model": llm.model,
            "greeting": llm.greeting_message,
            "prompt": messages[0]["content"] if messages else None,
        },
        "input_modalities": llm.input_modalities,
        "output_modalities": llm.output_modalities,
    }


def _v2(config: AgentConfig) -> dict[str, Any]:
    llm, shared = config.llm, _shared(config)
    body: dict[str, Any] = {
        "agent_rtc_uid": config.uid,
        "remote_rtc_uids": config.remote_uids or ["*"],
        "enable_string_uid": config.string_uid,
        "turn_detection": _turns(config, OWN),
        "llm": {
            **_llm(config),
            "input_modalities": llm.input_modalities,
            "output_modalities": llm.output_modalities,
            "api_key": llm.api_key,
            "greeting_message": llm.greeting_message,
            "system_messages": _messages(config),
            "params": llm.params | ({"model": llm.model} if llm.model else {}),
            "headers": llm.headers or None,
        },
    }
    asked = config.stands_in_for
    for section, vendor in ((shared["asr"], asked.ears), (shared["tts"], asked.voice), (body["llm"], asked.model)):
        if vendor:
            section["vendor"] = vendor
    if config.asked_language:
        shared["asr"]["language"] = config.asked_language
    for section, headers in (("asr", config.stt_headers), ("tts", config.tts_headers)):
        if headers:
            shared[section]["headers"] = headers
    for path, value in _options(config, Greeting(mode=GREETS)).items():
        _put(shared if path.partition(".")[0] in shared else body, path, value)
    return shared | body


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for step in way:
        body = body.setdefault(step, {})
    body[last] = body[last] | value if isinstance(body.get(last), dict) and isinstance(value, dict) else value


def _llm(config: AgentConfig) -> dict[str, Any]:
    llm = config.llm
    return {
        "url": llm.url or None,
        "max_history": llm.max_history,
        "failure_message": llm.failure_message,
        "extra_metadata": llm.extra_metadata,
        "metadata_enabled": llm.metadata_enabled,
    }


def _messages(config: AgentConfig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config.llm.system_messages or prompt(config.instructions or "")["llm.system_messages"]
    return found


def _turns(config: AgentConfig, names: tuple[str, ...]) -> dict[str, Any]:
    return _without_none({name: getattr(config.turn_detection, name) for name in names})


def _options(config: AgentConfig, greeting: Greeting) -> dict[str, Any]:
    """What only v2 can say, by path, where it is not as by default. `greeting`: the version's own."""
    said: dict[str, Any] = {}
    turns, llm = config.turn_detection, config.llm
    start: dict[str, Any] = {"mode": turns.start_of_speech} if turns.start_of_speech != "vad" else {}
    if turns.speaking_interrupt_duration_ms is not None:
        start["vad_config"] = {"speaking_interrupt_duration_ms": turns.speaking_interrupt_duration_ms}
    if turns.interrupt_duration_ms is not None:
        said["turn_detection.interrupt_duration_ms"] = turns.interrupt_duration_ms
    if start:
        said["turn_detection.config.start_of_speech"] = start
    if turns.end_of_speech != "auto":
        said["turn_detection.config.end_of_speech.mode"] = turns.end_of_speech
        if turns.end_of_speech == "semantic" and not turns.pause_state:
            said["turn_detection.config.end_of_speech.semantic_config.pause_state_enabled"] = False
    if config.interruption != Interruption():
        said["interruption"] = _interruption(config.interruption)
    if config.greeting != greeting:
        said |= _greeting(config.greeting)
    if config.filler is not None:
        said["filler_words"] = {
            "enable": True,
            "trigger": {"fixed_time_config": {"response_wait_ms": config.filler.wait_ms}},
            "content": {"static_config": {"phrases": config.filler.phrases, "selection_rule": config.filler.order}},
        }
    if config.silence is not None:
        said["parameters.silence_config"] = msgspec.structs.asdict(config.silence)
    if config.farewell_seconds:
        farewell = {"graceful_enabled": True, "graceful_timeout_seconds": config.farewell_seconds}
        said["parameters.farewell_config"] = farewell
    for value, path, default in (
        (config.skip_patterns, "tts.skip_patterns", []),
        (config.labels, "labels", {}),
        (config.metrics, "parameters.enable_metrics", True),
        (config.error_messages, "parameters.enable_error_message", True),
        (llm.style, "llm.style", "openai"),
        (llm.ignore_empty, "llm.ignore_empty", False),
        (llm.template_variables, "llm.template_variables", {}),
    ):
        if value != default:
            said[path] = value
    if llm.custom:
        said["llm.vendor"] = "custom"
    if config.tts is not None:
        said["tts"] = _vendor(config.tts)
    if config.asr is not None:
        said["asr"] = _vendor(config.asr)
    elif config.asr_keywords:
        said["asr.keywords"] = config.asr_keywords
    if config.encryption is not None:
        said["rtc"] = {
            "encryption_key": config.encryption.key,
            "encryption_mode": config.encryption.mode,
            "encryption_salt": base64.b64encode(config.encryption.salt).decode() or None,
        }
    if config.provider is not None:
        own = msgspec.structs.asdict(config.provider)
        params = {name: value for name, value in own.items() if name != "params" and value}
        said["avatar"] = {"enable": True, "vendor": "generic", "params": config.provider.params | params}
    place = "llm"
    if config.realtime is not None:
        place = "mllm"
        said["mllm"] = _realtime(config, config.realtime)
    served = [_tool(tool) for tool in config.tools if tool.server is not None]
    if served:
        said[f"{place}.tools"] = served
    if llm.mcp_servers:
        said[f"{place}.mcp_servers"] = [_mcp(server) for server in llm.mcp_servers]
    if served or llm.mcp_servers:
        said["advanced_features.enable_tools"] = True
    return said


def _interruption(found: Interruption) -> dict[str, Any]:
    return {
        "enable": found.enabled,
        "mode": found.mode,
        "keywords_config": {"trigger_keywords": found.keywords},
        "disabled_config": {"strategy": found.when_off},
    }


def _greeting(found: Greeting) -> dict[str, Any]:
    configs = {
        "mode": found.mode,
        "delay_ms": found.delay_ms,
        "interruptable": found.interruptable,
        "audio_download_timeout_ms": found.audio_timeout_ms,
        "audio_pcm_sample_rate": found.audio_rate,
    }
    return {"llm.greeting_configs": configs} | ({"llm.greeting_audio_url": found.audio_url} if found.audio_url else {})


def _vendor(found: Vendor) -> dict[str, Any]:
    said: dict[str, Any] = {"vendor": found.name, "params": found.params}
    if found.url:
        said["url"] = found.url
    if found.keywords:
        said["keywords"] = found.keywords
    return said


def _realtime(config: AgentConfig, found: Realtime) -> dict[str, Any]:
    own = {"model": found.model, "voice": config.voice, "instructions": config.instructions}
    said: dict[str, Any] = {
        "enable": True,
        "url": found.url or None,
        "api_key": found.api_key,
        "params": found.params | {name: value for name, value in own.items() if value},
        "messages": found.messages,
    }
    if found.turn_detection:
        kind = found.turn_detection["type"]
        rest = {name: value for name, value in found.turn_detection.items() if name != "type"}
        said["turn_detection"] = {"mode": kind, f"{kind}_config": rest}
    return _without_none(said)


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    assert tool.server is not None
    return {
        "type": "function",
        "function": function,
        "execution": {"mode": "sync"},
        "server": _without_none(msgspec.structs.asdict(tool.server)),
    }


def _mcp(server: McpServer) -> dict[str, Any]:
    return {"transport": "streamable_http"} | _without_none(msgspec.structs.asdict(server))


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: inner for name, inner in value.items() if inner is not None}
    return {
        name: _without_none(inner) if isinstance(inner, dict) and name in ("llm", "custom_llm", "rtc") else inner
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
