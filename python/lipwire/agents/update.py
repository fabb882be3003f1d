"""Changes of a running agent's configuration, by dotted names."""

from __future__ import annotations

from copy import copy
from typing import Any, get_type_hints

import msgspec
from msgspec import structs

from ..errors import InvalidArgument
from .checks import check_realtime
from .config import AgentConfig, BrainKind
from .describe import apply
from .headers import check_headers
from .turn_taking import check_turn_taking

__all__ = ["apply", "check"]

CHANGEABLE = frozenset({"token", "language", "voice", "instructions", "tools", "idle_timeout", "feelings"})
SECTIONS = frozenset({"llm", "turn_detection", "realtime"})
FIXED = frozenset({"llm.server_key", "llm.style", "llm.custom", "llm.mcp_servers", "llm.template_variables"}) | {
    f"realtime.{name}" for name in ("url", "api_key", "model", "messages")
}
ONE_VOICE: tuple[BrainKind, ...] = ("echo", "script")
"""The brains that keep the voice with which they began."""
RANGES: dict[str, tuple[float, float]] = {
    "turn_detection.threshold": (0.0, 1.0),
    "turn_detection.interrupt_threshold": (0.0, 1.0),
    "turn_detection.prefix_padding_ms": (0, 5000),
    "turn_detection.silence_duration_ms": (0, 10_000),
    "turn_detection.max_wait_ms": (500, 10_000),
    "turn_detection.false_interruption_timeout": (0, 30),
    "llm.max_history": (0, 1024),
    "turn_detection.interrupt_duration_ms": (120, 1200),
    "turn_detection.speaking_interrupt_duration_ms": (120, 1200),
    "idle_timeout": (0, float("inf")),
}
NEVER = {"turn_detection.max_wait_ms": -1}
"""Values beside a range."""


def check(config: AgentConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, with their types right.

    Raises:
        InvalidArgument: names the first field that is unknown, fixed, of a wrong type or out of range, or that its
        brain cannot do.
    """
    checked = {}
    for name, value in changes.items():
        section, _, member = name.rpartition(".")
        fields = get_type_hints(AgentConfig if not section else type(getattr(config, section, None)))
        if (section and section not in SECTIONS) or member not in fields:
            raise InvalidArgument(f"an agent has no field {name!r:.60}")
        if name in FIXED or (not section and name not in CHANGEABLE):
            raise InvalidArgument(f"{name} cannot change while the agent runs")
        if name != "tools":  # they may hold functions, which nothing can convert
            try:
                value = msgspec.convert(value, fields[member])
            except msgspec.ValidationError as exc:
                raise InvalidArgument(f"{name}: {exc}") from None
        if name == "llm.headers":
            try:
                check_headers(value)
            except InvalidArgument as exc:
                raise InvalidArgument(f"{name} {exc}") from None
        low, high = RANGES.get(name, (float("-inf"), float("inf")))
        if isinstance(value, int | float) and not low <= value <= high and value != NEVER.get(name):
            or_never = f" or {NEVER[name]}" if name in NEVER else ""
            raise InvalidArgument(f"{name} must be {low:g}..{high:g}{or_never}, got {value:g}")
        if name == "voice" and config.brain in ONE_VOICE:
            raise InvalidArgument(
                f"voice cannot change while an agent of the brain {config.brain} runs: start one with that voice"
            )
        checked[name] = value
    if any(name.startswith("turn_detection.") for name in checked):
        as_changed = structs.replace(config, turn_detection=copy(config.turn_detection))
        apply(as_changed, {name: value for name, value in checked.items() if name.startswith("turn_detection.")})
        check_turn_taking(as_changed)
    if config.realtime is not None and "realtime.params" in checked:
        check_realtime(structs.replace(config.realtime, params=checked["realtime.params"]))
    return checked
