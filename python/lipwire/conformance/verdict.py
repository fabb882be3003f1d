"""How a check ends when it does not simply pass."""

from __future__ import annotations


class Failed(Exception):
    """The provider broke the rule; the text says what came instead."""


class Skipped(Exception):
    """The rule cannot be judged; the text says why."""


class Busy(Skipped):
    """This machine, or the way to the provider, was too slow to judge the rule: it is tried again."""
