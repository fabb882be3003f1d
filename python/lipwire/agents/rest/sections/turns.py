"""v2's `turn_detection` and `interruption`: the present words in `config`, the older flat ones, and our own."""

from __future__ import annotations

from typing import Any

from ...describe import Changes
from ...options import Interruption
from ..reading import Given, Target, to
from .shared import VAD

OWN = (
    *VAD,
    "max_wait_ms",
    "resume_false_interruption",
    "false_interruption_timeout",
    "backchannels",
    "suppress_echo",
)


def wait(ms: int) -> Changes:
    """Silence for which a turn that is not whole is waited. Raises ValueError."""
    if 0 <= ms < 500:
        raise ValueError
    return {"turn_detection.max_wait_ms": ms}


TURNS: dict[str, Target] = {
    **{f"turn_detection.{name}": to(f"turn_detection.{name}", update=True) for name in OWN},
    "turn_detection.max_wait_ms": Target(wait, update=True),
}
WAIT = {"end_of_speech.semantic_config.max_wait_ms": Target(wait)}
SEMANTIC_WAIT_MS = 3000
"""v2's default with `end_of_speech` "semantic"."""
ADAPTIVE_MS = 320
"""Voice that interrupts while the agent speaks, with the older `interrupt_mode` "adaptive"."""


def turns(given: Given, *, realtime: bool) -> Changes:
    """Both sections. `realtime`: the agent has a realtime model, which may tell turns itself."""
    turn = given.below("turn_detection")
    changes = _older(turn, realtime=realtime) | _present(turn.below("config"))
    if changes.get("turn_detection.end_of_speech") == "semantic" and "max_wait_ms" not in turn:
        changes.setdefault("turn_detection.max_wait_ms", SEMANTIC_WAIT_MS)
    if given.below("interruption").found:
        changes |= _interruption(given.below("interruption"))
    return changes


def _older(turn: Given, *, realtime: bool) -> Changes:
    """The flat words that are deprecated and not ours."""
    changes: Changes = {}
    if "interrupt_duration_ms" in turn:
        changes["turn_detection.interrupt_duration_ms"] = turn.get("interrupt_duration_ms")
    keywords = turn.get("interrupt_keywords", [])
    match turn.get("interrupt_mode", "keywords" if keywords else None):
        case "append" | "ignore" as strategy:
            changes["interruption"] = Interruption(enabled=False, when_off=strategy)
        case "keyword" | "keywords":
            changes["interruption"] = Interruption(mode="keywords", keywords=keywords)
        case "adaptive":
            changes["turn_detection.speaking_interrupt_duration_ms"] = ADAPTIVE_MS
    kind = turn.get("type", "agora_vad")
    if not realtime and kind != "agora_vad":
        turn.refuse("type", 'must be "agora_vad", unless there is mllm: only a realtime model tells turns itself')
    if turn.get("eagerness", "auto") != "auto" and not (realtime and kind == "semantic_vad"):
        turn.refuse("eagerness", 'must be left out, unless there is mllm and type is "semantic_vad"')
    if turn.get("create_response") is False:
        turn.refuse("create_response", "must be true: an agent answers what it hears")
    if turn.get("interrupt_response") is False:
        turn.refuse(
            "interrupt_response", "must be true; interruption.enable false is what leaves an agent's speech alone"
        )
    return changes


def _present(config: Given) -> Changes:
    changes: Changes = {}

    def take(path: str, name: str) -> None:
        if path in config:
            changes[f"turn_detection.{name}"] = config.get(path)

    if "speech_threshold" in config:
        threshold = config.get("speech_threshold")
        changes |= {"turn_detection.threshold": threshold}
        if threshold > 0.8:  # no turn begins with less than it goes on with
            changes["turn_detection.interrupt_threshold"] = threshold
    match _mode(config.below("start_of_speech"), "vad", "keywords", "disabled"):
        case "manual":
            changes["turn_detection.start_of_speech"] = "manual"
            take("start_of_speech.vad_config.prefix_padding_ms", "prefix_padding_ms")
        case "keywords":
            keywords = config.get("start_of_speech.keywords_config.triggered_keywords", [])
            changes["interruption"] = Interruption(mode="keywords", keywords=keywords)
            take("start_of_speech.keywords_config.interrupt_duration_ms", "interrupt_duration_ms")
            take("start_of_speech.keywords_config.prefix_padding_ms", "prefix_padding_ms")
        case "disabled":
            strategy = config.get("start_of_speech.disabled_config.strategy", "append")
            changes["interruption"] = Interruption(enabled=False, when_off=strategy)
        case _:
            for name in ("interrupt_duration_ms", "speaking_interrupt_duration_ms", "prefix_padding_ms"):
                take(f"start_of_speech.vad_config.{name}", name)
    longest = config.changes(WAIT)
    if not config.below("end_of_speech").found:
        return changes
    mode = _mode(config.below("end_of_speech"), "vad", "semantic")
    changes["turn_detection.end_of_speech"] = mode
    take(f"end_of_speech.{mode}_config.silence_duration_ms", "silence_duration_ms")
    if mode == "semantic":
        changes |= longest
        take("end_of_speech.semantic_config.pause_state_enabled", "pause_state")
    return changes


def _mode(given: Given, default: str, *modes: str) -> Any:
    """The mode of a section: where it is not said that of the one config which says anything. Where it is said configs
    of other modes are not used, as the service has it."""
    named = [mode for mode in (default, *modes) if _says(given, mode)]
    if len(named) > 1 and "mode" not in given:
        given.must("mode", f"there, to say which of {', '.join(named)} holds")
    return given.get("mode", named[0] if named else default)


def _says(given: Given, mode: str) -> bool:
    return any(path.startswith(f"{mode}_config.") and value != [] for path, value in given.found.items())


def _interruption(given: Given) -> Changes:
    enabled = given.get("enable", True)
    if enabled and "enable" not in given and _says(given, "disabled"):
        given.must("enable", "there, false, with disabled_config: it says what becomes of what is said then")
    return {
        "interruption": Interruption(
            enabled=enabled,
            mode=_mode(given, "start_of_speech", "keywords"),
            keywords=given.get("keywords_config.trigger_keywords", []),
            when_off=given.get("disabled_config.strategy", "append"),
        )
    }
