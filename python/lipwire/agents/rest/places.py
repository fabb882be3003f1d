"""Where in a body stands what was refused behind the door.

What prepares an agent knows no wire: it begins what it says with a field by v2's words, below `properties` ("llm.url:
..."). Here that becomes the path by which the client has sent it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ...errors import InvalidArgument
from ...protocol import agent_bodies as b
from ...protocol.agent_bodies import Fault
from ..errors import InvalidAgentRequest

_PATH = re.compile(r"(\w+)((?:\.\w+|\[\d+\])*)(?=[: ])")
_SECTIONS = {*b.PropertiesV2.__struct_fields__, "encryption"}
_START = "turn_detection.config.start_of_speech"
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "interruption": ("turn_detection.interrupt_mode", f"{_START}.mode"),
    "turn_detection.interrupt_duration_ms": (
        f"{_START}.vad_config.interrupt_duration_ms",
        f"{_START}.keywords_config.interrupt_duration_ms",
        "mllm.turn_detection.agora_vad_config.interrupt_duration_ms",
    ),
    "turn_detection.speaking_interrupt_duration_ms": (
        f"{_START}.vad_config.speaking_interrupt_duration_ms",
        "turn_detection.interrupt_mode",
    ),
    "turn_detection.end_of_speech": ("turn_detection.config.end_of_speech.mode",),
    "asr.keywords": tuple(f"asr.params.{name}" for name in ("keyterm", "keyterms", "keywords")),
    "encryption": ("rtc.encryption_key",),
}
"""Where else a client may have said it."""
_V1 = {"llm": "custom_llm", "turn_detection": "vad"}
_PROCESSES = {"avatar.params.avatar_id": "avatar"}
Door = Literal["v1", "v2", "processes"]
"""Join and update of a version, or /start_agent."""


def as_sent(error: InvalidArgument, body: Mapping[str, Any], door: Door) -> InvalidArgument:
    """The same, with the path in the body that it is about. What begins with none stays as it is."""
    text = str(error)
    found = _PATH.match(text)
    if isinstance(error, InvalidAgentRequest) and error.faults:
        return error
    if found is None or found[1] not in _SECTIONS or not (found[2] or text[found.end()] == ":"):
        return error
    if door == "processes":
        path = _PROCESSES.get(found[0], found[0])
    else:
        properties = body.get("properties", body)
        places = _places(found[0], door)
        path = next((one for one in places if _is_in(properties, one)), found[0])
        path = f"properties.{path}" if "properties" in body else path
    rest = text[found.end() :]
    sent = InvalidAgentRequest(f"{path}{rest}")
    sent.faults = (Fault(path, rest.lstrip(": ")),)
    return sent


def _places(path: str, door: Door) -> Iterator[str]:
    """Those by which a field may have been sent, the likeliest first."""
    section, dot, rest = path.partition(".")
    if door == "v1" and section in _V1:
        yield f"{_V1[section]}{dot}{rest}"
    if section == "llm" and rest.startswith(("tools", "mcp_servers")):
        yield f"mllm.{rest}"
    yield path
    yield from _ELSEWHERE.get(path, ())


def _is_in(value: Any, path: str) -> bool:
    """Whether there is something at a path; what stands in a list is there with the list."""
    head, _, rest = path.partition(".")
    name, bracket, _ = head.partition("[")
    inner = value.get(name) if isinstance(value, dict) else None
    return inner is not None and (not rest or bool(bracket) or _is_in(inner, rest))
