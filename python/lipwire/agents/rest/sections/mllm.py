"""v2's `mllm`: a realtime model that the client brings along."""

from __future__ import annotations

from typing import Any

from ....errors import InvalidArgument
from ....models.voices.names import check_no_path
from ...describe import Changes, prompt, system_messages
from ...options import Realtime
from ..reading import Given, Target

VENDORS = ("openai", "azure")
"""Those that speak OpenAI's protocol."""
OTHERS = ("gemini", "vertexai", "xai", "qwen_omni", "openai_gpt_live")
OWN = {"model", "voice", "instructions"}
"""Of `params`: they have places of their own."""
ALWAYS = ("transcribe_agent", "transcribe_user")


def params(found: dict[str, Any]) -> Changes:
    """`mllm.params` of an update: the voice, the instructions, and more members of the session."""
    changes: Changes = {}
    if isinstance(found.get("voice"), str):
        check_no_path(found["voice"])
        changes["voice"] = found["voice"]
    if isinstance(found.get("instructions"), str):
        changes |= prompt(found["instructions"])
    rest = {name: value for name, value in found.items() if name not in (*OWN, *ALWAYS)}
    return changes | ({"realtime.params": rest} if rest else {})


MLLM: dict[str, Target] = {"mllm.params": Target(params, update=True)}


def check_params(section: Given) -> None:
    """Refuses what no session has, of a join or an update."""
    for name in ALWAYS:
        if section.get(f"params.{name}") is False:
            section.refuse(f"params.{name}", "must be true: who speaks is always written down here")


def mllm(given: Given) -> Changes:
    """The section, which is enabled."""
    section = given.below("mllm")
    vendor = section.get("vendor", "openai")
    if vendor not in VENDORS:
        known = f"; {vendor} has a protocol of its own" if vendor in OTHERS else ""
        section.refuse("vendor", f"must be one of {', '.join(VENDORS)}{known}")
        return {}
    if vendor == "azure" and "url" not in section:
        section.must("url", "the wss:// URL of the Azure resource, with vendor azure")
    own = section.get("params", {})
    check_params(section)
    for name, wanted in (("input_modalities", "audio"), ("output_modalities", "audio")):
        if wanted not in section.get(name, ["audio"]):
            section.must(name, f'a list with "{wanted}"')
    for name in ("tools", "mcp_servers"):
        if given.get(f"llm.{name}") and given.get("advanced_features.enable_tools") is not False:
            given.refuse(f"llm.{name}", f"must be left out, with mllm: put them into mllm.{name}")
    changes: Changes = {"brain": "realtime"}
    if "image" in section.get("input_modalities", []):
        changes["llm.input_modalities"] = ["text", "image"]
    if section.get("params.voice"):
        changes["voice"] = section.get("params.voice")
    if section.get("params.instructions"):
        changes |= prompt(section.get("params.instructions"))
    for name in ("greeting_message", "failure_message"):
        if section.get(name):
            changes[f"llm.{name}"] = section.get(name)
    if "messages" in section:
        try:
            system_messages(section.get("messages"))
        except InvalidArgument as exc:
            section.must("messages", f'a list of messages {{"role": "user", "content": ...}}, and {exc}')
    changes["realtime"] = Realtime(
        url=section.get("url", ""),
        api_key=section.get("api_key") or None,
        model=section.get("params.model", ""),
        params={name: value for name, value in own.items() if name not in (*OWN, *ALWAYS)},
        messages=section.get("messages", []),
        turn_detection=_turns(given, changes),
    )
    return changes


def _turns(given: Given, changes: Changes) -> dict[str, Any]:
    """OpenAI's description of who tells turns, {} = the agent; then `changes` say how."""
    turns = given.below("mllm.turn_detection")
    configs = {name: turns.below(f"{name}_config") for name in ("agora_vad", "server_vad", "semantic_vad")}
    named = [name for name, config in configs.items() if config.found]
    if len(named) > 1 and "mode" not in turns:
        turns.must("mode", f"there, to say which of {', '.join(named)} holds")
    mode = turns.get("mode", named[0] if named else None)
    if mode is None:
        return _older(given)
    found = dict(configs[mode].found)
    if mode == "agora_vad":
        changes |= {f"turn_detection.{name}": value for name, value in found.items()}
        return {}
    return {"type": mode, **found}


def _older(given: Given) -> dict[str, Any]:
    """The deprecated words of the top-level `turn_detection`."""
    older = given.below("turn_detection")
    kind = older.get("type", "agora_vad")
    if kind == "agora_vad":
        return {}
    names = {"server_vad": ("threshold", "prefix_padding_ms", "silence_duration_ms"), "semantic_vad": ("eagerness",)}
    return {"type": kind, **{name: older.get(name) for name in names[kind] if name in older}}
