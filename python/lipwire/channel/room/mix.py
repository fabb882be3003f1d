"""What the users of a room hear: everyone's sound but their own, on one clock.

The clock is that of an in-process member that speaks (the lead): its blocks go out as they come, and what the others
said meanwhile is added. Where none speaks, the room ticks by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

import numpy as np

from ..._core import BLOCK
from ...audio.fade import fade_out

MIX_BLOCKS, MIX_START = 12, 4
"""10 ms blocks of a member's sound that wait to be mixed (the oldest is dropped), and how many are gathered first."""


class Voice:
    """A member's sound on its way into the mix: bounded, the oldest dropped."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque(maxlen=MIX_BLOCKS)
        self._playing = False

    def __bool__(self) -> bool:
        return bool(self._blocks)

    @property
    def full(self) -> bool:
        return len(self._blocks) == MIX_BLOCKS

    def put(self, pcm: bytes) -> None:
        self._blocks.append(pcm)

    def take(self) -> bytes | None:
        """The next block; None = nothing to hear now."""
        if not self._playing and len(self._blocks) < MIX_START:
            return None
        self._playing = bool(self._blocks)
        if not self._playing:
            return None
        pcm = self._blocks.popleft()
        return pcm if pcm.count(0) < len(pcm) else None

    def clear(self) -> None:
        self._blocks.clear()
        self._playing = False

    def cut(self) -> None:
        """What plays fades out within 5 ms; what waits is dropped."""
        last = fade_out(self._blocks[0]) if self._playing and self._blocks else None
        self._blocks.clear()
        if last is None:
            self._playing = False
        else:
            self._blocks.append(last)


class Mix:
    """The sound of everyone in a room. Members are told apart by any key.

    PCM is 16 bit mono at 48 kHz, in blocks of 10 ms.
    """

    def __init__(self) -> None:
        self.clock = 0
        """Samples that were handed out."""
        self.lead: Hashable | None = None
        """Whose clock drives it."""
        self._voices: dict[Hashable, Voice] = {}

    @property
    def waiting(self) -> bool:
        """Whether any sound waits."""
        return any(self._voices.values())

    def put(self, member: Hashable, pcm: bytes) -> None:
        """A block of a member that does not lead."""
        self._voices.setdefault(member, Voice()).put(pcm)

    def leads(self, member: Hashable, first: bool) -> bool:
        """Whether a member's next block drives the clock. It takes over where nobody does, where it comes `first` (its
        lips must keep time with its sound), or where who did has stopped: then its own blocks have piled up."""
        voice = self._voices.get(member)
        if self.lead is None or first or (voice is not None and voice.full):
            self.lead = member
            self.drop(member)
        return self.lead == member

    def block(
        self, pcm: bytes, lead: Hashable | None, listeners: Iterable[Hashable]
    ) -> tuple[int, dict[Hashable, bytes]]:
        """The next block, with `pcm` of the lead in it: (its first sample on the clock, what each listener hears)."""
        at, self.clock = self.clock, self.clock + BLOCK
        parts = {
            member: block
            for member, voice in self._voices.items()
            if member != lead and (block := voice.take()) is not None
        }
        if not parts:
            return at, dict.fromkeys(listeners, pcm)
        total = np.frombuffer(pcm, np.int16).astype(np.int32)
        for block in parts.values():
            total += np.frombuffer(block, np.int16)
        everything = _clipped(total)
        return at, {
            listener: _clipped(total - np.frombuffer(parts[listener], np.int16)) if listener in parts else everything
            for listener in listeners
        }

    def drop(self, member: Hashable) -> None:
        """What waits of a member is not to be mixed: it goes out in another way."""
        if (voice := self._voices.get(member)) is not None:
            voice.clear()

    def cut(self, member: Hashable) -> None:
        """What waits of a member is stale: it fades out within 5 ms."""
        if (voice := self._voices.get(member)) is not None:
            voice.cut()

    def remove(self, member: Hashable) -> None:
        """A member is gone."""
        self._voices.pop(member, None)
        if self.lead == member:
            self.lead = None


def _clipped(total: np.ndarray[tuple[int], np.dtype[np.int32]]) -> bytes:
    return np.clip(total, -32768, 32767).astype(np.int16).tobytes()
