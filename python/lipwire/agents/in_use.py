"""What an agent hears, speaks and tells turns with, and in whose place: for who runs it, who may be anywhere."""

from __future__ import annotations

import logging
import re
import sysconfig
from typing import Literal, Protocol, runtime_checkable

from msgspec import structs

from ..errors import ModelFailed
from ..models.find import folder
from ..protocol.agent_bodies import InUse
from .brains.base import Failed
from .options import StandsInFor

logger = logging.getLogger("lipwire.agents")

Part = Literal["ears", "voice", "turns", "activity", "model"]
"""What hears words, what speaks, what tells that a turn is over, what tells that somebody speaks, and what thinks."""

_CODES: dict[Part, str] = {
    "ears": "STT_FALLBACK",
    "voice": "TTS_FALLBACK",
    "turns": "TURNS_FALLBACK",
    "activity": "TURNS_FALLBACK",
}
_PATH = re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?/(?:[^\s/:'\",;()]+/?)+")
"""An absolute one; none with spaces, and no URL."""


@runtime_checkable
class Serving(Protocol):
    """What a brain has besides that hears or speaks by itself, or by services that it has chosen."""

    def in_use(self) -> dict[Part, InUse]:
        """What it uses now."""


def standing_in(used: dict[Part, InUse], vendors: StandsInFor) -> dict[Part, InUse]:
    """`used`, with the vendors that the client named, where the server's own services do it. What is there in the place
    of one of these says that."""
    asked: dict[Part, str] = {"ears": vendors.ears, "voice": vendors.voice, "model": vendors.model}
    for part, vendor in asked.items():
        found = used.get(part)
        if vendor and found is not None and not found.instead_of:
            because = f"no key of {vendor}'s was given; the server's own is used"
            used[part] = structs.replace(found, instead_of=vendor, because=because)
    return used


def fell_back(part: Part, used: InUse) -> Failed:
    """What is told when something has taken another's place."""
    return Failed(_CODES[part], f"{part}: {used.name} in place of {used.instead_of}: {used.because}", minor=True)


def instead(name: str, of: str, because: str) -> InUse:
    """Something in another's place; of what is told of both, paths keep their last part."""
    return InUse(name=without_paths(name), instead_of=without_paths(of), because=without_paths(because))


def without_paths(text: str, *known: str) -> str:
    """`text` with the last parts of the paths in it alone.

    Args:
        known: files or folders that it may name, with spaces even.
    """
    roots = [*known, sysconfig.get_path("purelib")]
    try:
        roots.append(str(folder()))
    except ModelFailed:  # there is none
        pass
    for root in sorted({root.rstrip("/") for root in roots if root.count("/") > 1}, key=len, reverse=True):
        text = text.replace(f"{root}/", "").replace(root, root.rpartition("/")[2])
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)


def told(text: str, *known: str) -> str:
    """As `without_paths`; the log has all of it where that is more."""
    short = without_paths(text, *known)
    if short != text:
        logger.warning("%s", text)
    return short
