"""Which sets of channels somebody names."""

from __future__ import annotations

from collections.abc import Iterable

from .._core import MOTION_SETS
from ..errors import InvalidArgument

DEFAULT_SETS = ("arkit", "head")
"""Of who names none."""


def check_sets(sets: str | Iterable[str] | None, option: str = "sets") -> tuple[str, ...]:
    """The sets of these names, each once, in the order of `MOTION_SETS`, so that who asks for the same is sent the
    same.

    Args:
        sets: names; a string has them between commas or blanks; None = `DEFAULT_SETS`. option: what a user calls this.

    Raises:
        InvalidArgument: there is no such set, or none is named.
    """
    if sets is None:
        return DEFAULT_SETS
    wanted = sets.replace(",", " ").split() if isinstance(sets, str) else tuple(sets)
    unknown = [name for name in wanted if name not in MOTION_SETS]
    if unknown or not wanted:
        got = f"{unknown[0]!r:.40}" if unknown else "none"
        raise InvalidArgument(f"{option}: there are {', '.join(MOTION_SETS)}; got {got}")
    return tuple(name for name in MOTION_SETS if name in wanted)
