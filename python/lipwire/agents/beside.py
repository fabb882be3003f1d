"""What a user says into what the agent says or thinks, where a voice alone does not interrupt it. No I/O.

| `interruption`        | what is said                                            | what becomes of it              |
|-----------------------|---------------------------------------------------------|---------------------------------|
| `enabled` false       | `when_off` "ignore": whatever it is; nobody hears it    | it is ignored ("disable")       |
|                       | "append": words                                         | they are answered afterwards    |
|                       | "append": nothing, or "mm-hmm"                          | its turn ends without a reply   |
| `mode` "keywords"     | one of them, in a text that is final or in the making   | it interrupts, and is answered  |
|                       | nothing                                                 | its turn ends without a reply   |
|                       | anything else                                           | it is ignored ("keywords")      |

The brain tells such a turn's texts (`SpeechStarted.aside`), and neither remembers nor answers it: the conversation asks
for that.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

from .brains.base import UserText
from .config import AgentConfig
from .options import Interruption
from .speech.backchannels import is_backchannel
from .speech.phrases import found
from .turns import Turn

Fate = Literal["calls", "waits", "nothing", "keywords", "disable"]
"""calls: it interrupts. waits: it is to be answered when the agent is silent. nothing: there is nothing to answer. Else
why it is ignored: `turns.Cause`."""

MAX_FORGOTTEN = 64
"""Turns that are known to have been forgotten; the newest."""


class Aside(Struct, eq=False):
    """One such turn."""

    turn: Turn
    at_the_end: bool
    """It began as what the agent says was about to end: then "okay" answers that."""
    calls: bool = False
    """A keyword has been said in it."""
    said: UserText | None = None
    """All of it, once that is known and waits to be answered."""


class Beside:
    """All of them that are not over."""

    def __init__(self) -> None:
        self._kept: list[Aside] = []
        self._forgotten: deque[Turn] = deque(maxlen=MAX_FORGOTTEN)

    def began(self, turn: Turn, *, at_the_end: bool) -> None:
        """The user speaks."""
        self._kept.append(Aside(turn, at_the_end))

    def of(self, turn: Turn | None) -> Aside | None:
        """What was said beside in this turn, if it is such a one."""
        return next((one for one in self._kept if one.turn is turn), None) if turn is not None else None

    def drop(self, aside: Aside) -> None:
        """It is over, or an ordinary turn from now on."""
        self._kept.remove(aside)

    @property
    def waits(self) -> bool:
        """Whether any of them waits to be answered."""
        return any(one.said is not None for one in self._kept)

    def take(self, *, waiting: bool = True) -> list[Aside]:
        """Those that wait to be answered, or all; they are kept no more."""
        taken = [one for one in self._kept if one.said is not None or not waiting]
        self._kept = [one for one in self._kept if one not in taken]
        return taken

    def forget(self) -> list[Aside]:
        """None of them will be answered. Returns them; what still comes of them is nothing (`forgot`)."""
        forgotten = self.take(waiting=False)
        self._forgotten.extend(one.turn for one in forgotten)
        return forgotten

    def forgot(self, turn: Turn | None) -> bool:
        """Whether this turn was forgotten."""
        return any(one is turn for one in self._forgotten)


def fate(aside: Aside, event: UserText, config: AgentConfig) -> Fate | None:
    """What becomes of a turn by a text of it; None: that is not known yet."""
    how, detection = config.interruption, config.turn_detection
    if how.enabled and not aside.calls and found(event.text, how.keywords) is not None:
        return "calls"
    if not event.final or aside.calls:
        return None
    if not how.enabled and how.when_off == "ignore":
        return "disable"
    if not event.text.strip():
        return "nothing"
    if how.enabled:
        return "keywords"
    if aside.at_the_end or not is_backchannel(event.text, config.language, detection.backchannels):
        return "waits"
    return "nothing"


def unwanted(how: Interruption) -> bool:
    """Whether what users say while the agent is busy is not even to be understood."""
    return not how.enabled and how.when_off == "ignore"
