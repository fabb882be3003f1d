"""The wire of agent control (protocol.md C and D): what its bodies mean for an agent.

What a field means stands in `sections`: one table per section and version, from wire path to names of `AgentConfig`,
for fields that mean something each for itself, by which joining and updating go both, and a function for those that
mean something together. Where a body says nothing `AgentConfig`'s defaults hold, but for v2's `max_history`. Every
fault of a body is found before anything is done, and named by its path on the wire
("properties.custom_llm.max_history must be an integer 0..1024, got 5000"). How it is read is `reading`'s; what is
refused of v2 though the documents know it is `documented`'s. To `update` a field that cannot change is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from ...outward import Outward
from ...protocol import agent_bodies as b
from ...protocol.agent_bodies import Fault, sort_of
from ..config import AgentConfig
from ..describe import Changes, make_config, prompt
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
from ..templates import variables_in
from . import documented
from .reading import IGNORED, UNHEARD, UNKNOWN, Given, Target, check_body, leaves, shown, to, urls
from .sections.avatar import instead, provider
from .sections.llm import LLM, llm
from .sections.mllm import MLLM, check_params, mllm
from .sections.session import SESSION, session
from .sections.shared import LLM as LLM_SHARED
from .sections.shared import SHARED, VAD, face, inputs, outputs
from .sections.speech import LANGUAGE, SPEECH, check_preset, speech, unheard
from .sections.templates import fill
from .sections.tools import tools
from .sections.turns import TURNS, turns

Version = Literal["v1", "v2"]
MAX_FAULTS = 100
"""Fields that cannot be changed, of which an update is told; the rest of its fields are not looked at."""

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


def _number(uid: int | str) -> int:
    """v1's user id. Raises ValueError."""
    if int(uid) >= 2**32:
        raise ValueError
    return int(uid)


_FLAT: dict[str, dict[str, Target]] = {
    "v1": {
        **SHARED,
        **LANGUAGE,
        "avatar.params.feelings": to("feelings"),
        **{f"vad.{name}": to(f"turn_detection.{name}", update=True) for name in VAD},
        **{f"custom_llm.{name}": target for name, target in LLM_SHARED.items()},
        "agent_rtc_uid": Target(lambda uid: {"uid": str(_number(uid))}),
        "remote_rtc_uid": Target(lambda uid: {"remote_uids": [str(uid)] if (uid := _number(uid)) else []}),
        "input_modalities": Target(inputs),
        "output_modalities": Target(outputs),
        "custom_llm.token": to("llm.api_key", update=True, empty=None),
        "custom_llm.prompt": Target(prompt, update=True),
        "custom_llm.model": to("llm.model", update=True, empty=None),
        "custom_llm.greeting": to("llm.greeting_message", update=True, empty=None),
    },
    "v2": {
        **SHARED,
        "avatar.params.feelings": to("feelings", update=True),
        **SESSION,
        **TURNS,
        **SPEECH,
        **LLM,
    },
}
"""Fields that mean something each for itself."""
_UPDATES = {"v1": _FLAT["v1"], "v2": _FLAT["v2"] | MLLM}
_JOINS: dict[str, tuple[type[Struct], type[Struct]]] = {
    "v1": (b.JoinV1, b.PropertiesV1),
    "v2": (b.JoinV2, b.PropertiesV2),
}
UPDATABLE: dict[str, tuple[str, ...]] = {
    version: tuple(sorted(path for path, target in targets.items() if target.update))
    for version, targets in _UPDATES.items()
}
"""version -> wire paths, below `properties`, that `update` takes."""

SERVICE: dict[str, tuple[str, ...]] = {
    "v1": ("custom_llm.token", "custom_llm.url"),
    "v2": ("llm.api_key", "llm.headers", "llm.url"),
}
"""Those of them that say to whom what is said in the channel goes, and as whom."""


def nobodys(url: str) -> bool:
    """Of a server that does not know its own URLs: none is its own."""
    return False


def _says_nothing(value: Any) -> bool:
    """Whether it is null, or an object of nothing else."""
    return value is None or (isinstance(value, dict) and all(map(_says_nothing, value.values())))


def _settled(body: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """A body without the sections that it switches off, or that could be switched on and say nothing: nothing of them
    is looked at."""
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return dict(body)
    kept = dict(properties)
    for name in ("avatar", "mllm", "filler_words") if version == "v2" else ("avatar",):
        section = kept.get(name)
        if isinstance(section, dict) and (section.get("enable") is False or _says_nothing(section)):
            del kept[name]
    features, realtime = kept.get("advanced_features"), kept.get("mllm")
    older = features.get("enable_mllm") if isinstance(features, dict) else None
    if older is False and isinstance(realtime, dict) and realtime.get("enable") is None:
        del kept["mllm"]
    if older is True and isinstance(properties.get("mllm"), dict) and _says_nothing(properties["mllm"]):
        kept["mllm"] = {"enable": True}
    if isinstance(features, dict) and features.get("enable_tools") is False:
        for name in ("llm", "mllm"):
            if isinstance(section := kept.get(name), dict):
                kept[name] = {one: value for one, value in section.items() if one not in ("tools", "mcp_servers")}
    return {**body, "properties": kept}


def _foreign_face(
    properties: dict[str, Any], version: Version, ours: Callable[[str], bool], faults: list[Fault]
) -> dict[str, Any] | None:
    """Takes the params of an avatar that somebody else draws out of `properties`, and an avatar that nobody here knows
    as a whole; those params, where there is somebody who draws it. In v1 nobody else does."""
    avatar = properties.get("avatar")
    if not isinstance(avatar, dict):
        return None
    vendor, params = avatar.get("vendor"), avatar.get("params")
    if version == "v2" and isinstance(vendor, str) and vendor != "generic":
        del properties["avatar"]
        faults.append(Fault("properties.avatar.vendor", instead(vendor), "not_allowed"))
        return None
    url = params.get("api_base_url") if isinstance(params, dict) else None
    if url in (None, "") or (isinstance(url, str) and ours(url)):
        return None
    if version == "v1" or not isinstance(url, str):
        must = b.allowed(b.Url) if version == "v2" else "left out: v1 has this server's faces alone, and v2 others'"
        got = shown(url, b.Url) if isinstance(url, str) else sort_of(url)
        faults.append(Fault("properties.avatar.params.api_base_url", f"must be {must}, got {got}"))
        return None
    properties["avatar"] = {name: value for name, value in avatar.items() if name != "params"}
    return params


async def check_urls(
    body: Mapping[str, Any],
    version: Version,
    outward: Outward,
    ours: Callable[[str], bool] = nobodys,
    config: AgentConfig | None = None,
    seconds: float | None = None,
) -> None:
    """Whether every URL that a body of join or update names, in any field that is one, may be called. The rest of the
    body has been found good.

    Args:
        config: the agent that a body of join describes: its vendors know which of their params are URLs.
        seconds: that looking names up may take; a name that is not known then is looked at where it is called.

    Raises:
        InvalidAgentRequest: one may not; names each such field.
    """
    _, kind = _JOINS[version]
    prefix = "properties." if "properties" in body else ""
    properties = dict(_settled({"properties": body.get("properties", body)}, version)["properties"])
    found: list[tuple[str, str, tuple[str, ...]]] = []
    if (face := _foreign_face(properties, version, ours, [])) is not None:
        found += urls(b.ProviderParams, face, f"{prefix}avatar.params.")
    found += urls(kind, properties, prefix)
    if config is not None and (config.tts is not None or config.asr is not None):
        from ..speech.vendors.choose import urls_of  # which needs what agents do and a server without them has not

        of_vendors = urls_of(config.tts, config.asr, config.language)
        found += [(f"{prefix}{path}", url, schemes) for path, url, schemes in of_vendors]
    refused = await outward.check_all([(url, schemes) for _, url, schemes in found], seconds)
    faults = [Fault(path, str(why), "not_allowed") for (path, _, _), why in zip(found, refused, strict=True) if why]
    if faults:
        raise InvalidAgentRequest.because(faults)


def parse_join(body: Mapping[str, Any], version: Version, ours: Callable[[str], bool] = nobodys) -> AgentConfig:
    """The agent that a join body describes. One of v1 sends the transcripts of reference 002 (v0.3).

    Args:
        ours: whether a URL is this server's own, so that the face which `avatar.params.api_base_url` names is drawn
            here.

    Raises:
        InvalidAgentRequest: what is missing or out of range, all of it.
    """
    join, _ = _JOINS[version]
    faults: list[Fault] = []
    unknown: list[str] = []
    settled = _settled(body, version)
    foreign = None
    if isinstance(settled.get("properties"), dict):
        foreign = _foreign_face(settled["properties"], version, ours, faults)
    found = leaves(join, settled, faults, unknown=unknown)
    given = Given(found, join, faults)
    below = given.below("properties")
    changes = below.changes(_FLAT[version])
    given_properties = settled.get("properties")
    raw = given_properties if isinstance(given_properties, dict) else {}
    if version == "v2":
        asked = raw.get("mllm")
        realtime = isinstance(asked, dict) and any(name in asked for name in b.MllmSpec.__struct_fields__)
        changes |= _v2(given, below, realtime=realtime)
    else:
        changes["transcripts"] = "v0.3"
    if foreign is None:
        changes |= face(below)
    else:
        if "avatar.egress" in below:
            below.refuse(
                "avatar.egress", "must be left out: somebody else draws this face; what he is told is in params"
            )
        prefix = "properties.avatar.params."
        params = leaves(b.ProviderParams, foreign, faults, prefix)
        string_uid = below.get("enable_string_uid", False)
        changes |= provider(Given(params, b.ProviderParams, faults, prefix), foreign, string_uid=string_uid)
    if isinstance(raw.get("record"), dict):
        changes["record"] = below.get("record.file", "")
    if faults:
        raise InvalidAgentRequest.because(faults)
    UNKNOWN.tell(unknown)
    if version == "v2":
        UNHEARD.tell(f"properties.{path}" for path in unheard(below))
    changes = fill(changes, changes.get("llm.template_variables", {}))
    return make_config(found["name"], changes["channel"], changes)


def _v2(given: Given, below: Given, *, realtime: bool) -> Changes:
    """What fields of v2 mean together. `realtime`: there is `mllm`, with whatever in it."""
    documented.check(below)
    check_preset(given)
    features = below.below("advanced_features")
    if features.get("enable_mllm") and not realtime:
        below.must("mllm", "there, with advanced_features.enable_mllm")
    changes = session(below) | turns(below, realtime=realtime) | speech(below) | llm(below, realtime=realtime)
    if realtime:
        changes |= mllm(below)
    section = below.below("mllm" if realtime else "llm")
    return changes | tools(section, enabled=features.get("enable_tools"))


def parse_update(
    body: Mapping[str, Any], version: Version, agent: AgentConfig | None = None, *, whole: bool = True
) -> Changes:
    """What an update body changes: dotted names of `AgentConfig` -> values. The fields stand in `properties`, or
    without it at the top.

    Args:
        agent: the one that is changed, as it is: its `llm.template_variables` are filled in, and `mllm.params` that
            are not given stay.
        whole: whether who asks has a key, and so may have the agent's secrets go elsewhere: its LLM's, and those of
            its variables that its tools' servers get.

    Raises:
        InvalidAgentRequest: a field that cannot be changed, or one out of range; nothing holds then. AgentForbidden:
        one is not for who asks.
    """
    _, properties = _JOINS[version]
    faults: list[Fault] = []
    prefix = "properties." if "properties" in body else ""
    given = body.get("properties", body)
    if not isinstance(given, dict):
        raise InvalidAgentRequest.because([Fault("properties", f"must be an object, got {sort_of(given)}")])
    _refuse(given, UPDATABLE[version], faults, prefix)
    refused = {fault.loc for fault in faults}
    wrong: list[Fault] = []
    found = leaves(properties, given, wrong, prefix, nulls=True)
    faults += [fault for fault in wrong if fault.type != "missing" and fault.loc not in refused]
    fields = Given(found, properties, faults, prefix)
    changes = fields.changes(_UPDATES[version])
    if version == "v2":
        _check_update(fields, {fault.loc for fault in faults}, agent)
    if faults:
        raise InvalidAgentRequest.because(faults)
    IGNORED["update"].tell(name for name in body if prefix and name != "properties")
    if not whole and (named := [f"{prefix}{path}" for path in SERVICE[version] if path in fields]):
        raise AgentForbidden(f"{', '.join(named)}: a channel's token does not open this; change it with an API key")
    if agent is None:
        return changes
    if agent.realtime is not None and "realtime.params" in changes:
        changes["realtime.params"] = agent.realtime.params | changes["realtime.params"]
    return fill(changes, agent.llm.template_variables if whole else _told(agent))


def _told(agent: AgentConfig) -> dict[str, str]:
    """The variables that are for texts only: what a tool's server gets may be a key."""
    servers = [tool.server for tool in agent.tools if tool.server is not None]
    kept = variables_in([place for server in servers for place in (server.url, server.headers, server.body)])
    return {name: value for name, value in agent.llm.template_variables.items() if name not in kept}


def _check_update(given: Given, told: set[str], agent: AgentConfig | None) -> None:
    """Refuses of an update of v2 what a join is refused, but for the fields of which something has been `told`."""
    faults: list[Fault] = []
    fields = Given(given.found, given.kind, faults, given.prefix)
    documented.check(fields)
    section = fields.below("mllm")
    check_params(section)
    if section.get("params.model"):
        section.refuse("params.model", "cannot be changed while the agent runs")
    if section.found and agent is not None and agent.realtime is None:
        fields.refuse("mllm.params", "must be left out: this agent was started without mllm; change llm")
    given.faults += [fault for fault in faults if fault.loc not in told]


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

    def size(found: Mapping[str, Any]) -> Iterator[Fault]:
        size = len(found.get("text", "").encode())
        if size > b.MAX_SPEAK_BYTES or ("text" in found and not found["text"].strip()):
            yield Fault("text", f"must be 1 to {b.MAX_SPEAK_BYTES} bytes of UTF-8, got {size}")

    return b.Speak(**check_body(b.Speak, body, "speak", size))


def parse_start_agent(body: Mapping[str, Any]) -> b.StartAgent:
    """The body of /start_agent. Raises InvalidAgentRequest."""
    return b.StartAgent(**check_body(b.StartAgent, body, "/start_agent"))


def parse_stop_agent(body: Mapping[str, Any]) -> b.StopAgent:
    """The body of /stop_agent. Raises InvalidAgentRequest."""
    return b.StopAgent(**check_body(b.StopAgent, body, "/stop_agent"))


def parse_token_request(body: Mapping[str, Any]) -> b.TokenRequest:
    """What /token is asked for. Raises InvalidAgentRequest."""
    return b.TokenRequest(**check_body(b.TokenRequest, body, "/token"))


def parse_control(body: Mapping[str, Any]) -> b.ControlAgent:
    """The body of /control_agent, complete for its command. Raises InvalidAgentRequest."""

    def needed(found: Mapping[str, Any]) -> Iterator[Fault]:
        need = b.NEEDS.get(found.get("command", ""))
        if need is not None and body.get(need, "") in ("", None):
            yield Fault(need, f"is required for {found['command']}", "missing")

    return b.ControlAgent(**check_body(b.ControlAgent, body, "/control_agent", needed))


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
