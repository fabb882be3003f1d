"""Every rule, in the order of the report."""

from ..rule import Rule
from . import feedback, handshake, http, life, messages, speech, timing

RULES: tuple[Rule, ...] = tuple(
    rule for module in (http, handshake, messages, feedback, speech, life, timing) for rule in module.rules
)
