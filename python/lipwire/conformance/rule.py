"""What a rule is, and how rules are chosen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct

from ..errors import InvalidArgument
from .client import Client

Level = Literal["must", "should"]
Need = Literal["events", "playback"]
Check = Callable[[Client], Awaitable[None]]

GROUPS: dict[str, str] = {
    "http": "HTTP: starting and stopping sessions",
    "handshake": "The WebSocket's handshake",
    "messages": "Messages: what is taken, and what is survived",
    "feedback": "Events that tell the client what became of its messages",
    "speech": "Speech, as far as its events tell of it",
    "life": "The life of a session: drops, resumptions, ends",
    "timing": "Time",
}
"""The first word of a rule's id -> what its group is about."""
NEEDS: dict[Need, str] = {
    "events": "this provider sends no events",
    "playback": "this provider sends no playback_started and no playback_finished",
}
"""What a rule can ask of a provider -> why the rule is skipped where that is missing."""


class Rule(Struct, frozen=True, kw_only=True):
    """One thing that a provider must or should do."""

    id: str
    """Stable; GROUP.NAME."""
    title: str
    """A sentence: what a right provider does."""
    level: Level
    """`must`: real clients fail without it, and the original documents ask for it or allow nothing else. `should`:
    Lipwire's additions to them, and what makes life with real clients better."""
    source: str
    """Where it is written."""
    why: str
    """What goes wrong for a client where the rule is broken."""
    does: str
    """What the kit, as client, does."""
    expects: str
    """What it expects to come."""
    fix: str
    """What to do about a failure."""
    check: Check
    needs: tuple[Need, ...] = ()
    slow: bool = False
    """Waits for seconds; left out with `--quick`."""
    alone: bool = False
    """Measures time, so nothing runs beside it."""

    @property
    def group(self) -> str:
        """The first word of the id, a key of `GROUPS`."""
        return self.id.partition(".")[0]


class Registry(list[Rule]):
    """Rules in the order in which they are declared."""

    def rule(
        self,
        id: str,
        title: str,
        level: Level,
        *,
        source: str,
        why: str,
        does: str,
        expects: str,
        fix: str,
        needs: tuple[Need, ...] = (),
        slow: bool = False,
        alone: bool = False,
    ) -> Callable[[Check], Check]:
        """Makes a rule of the check that follows. The fields are those of `Rule`."""

        def declare(check: Check) -> Check:
            self.append(
                Rule(
                    id=id,
                    title=title,
                    level=level,
                    source=source,
                    why=why,
                    does=does,
                    expects=expects,
                    fix=fix,
                    check=check,
                    needs=needs,
                    slow=slow,
                    alone=alone,
                )
            )
            return check

        return declare


def select(rules: Sequence[Rule], only: Iterable[str] = (), *, quick: bool = False) -> list[Rule]:
    """The rules that `only` names, by id, by group, or by the beginning of an id up to a dot; all where it is empty.

    Args:
        quick: without the slow ones, but for those whose whole id is in `only`.

    Raises:
        InvalidArgument: a name fits no rule.
    """
    names = list(only)
    for name in names:
        if not any(_fits(rule, name) for rule in rules):
            raise InvalidArgument(f"no rule and no group is called {name!r}; groups: {', '.join(GROUPS)}")
    chosen = [rule for rule in rules if not names or any(_fits(rule, name) for name in names)]
    return [rule for rule in chosen if not (quick and rule.slow) or rule.id in names]


def _fits(rule: Rule, name: str) -> bool:
    return rule.id == name or rule.id.startswith(name.rstrip(".") + ".")
