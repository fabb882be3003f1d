"""What waits between a session, which must not be held up, and a thread that writes as fast as a disk or a network
takes it: bounded, and what does not fit is left out up to the next key frame."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Literal

from msgspec import Struct

from .._core import RATE
from ..audio.fade import fade_out
from ..stream import Unit
from .encoders import Picture

BEHIND = 4.0
"""Seconds that the writer may be behind; then all that waits is left out."""
PICTURES = 12
"""Pictures that may wait for the encoder; more are left out, one by one: it needs none of them for the next."""
STALE_UNITS = 2
"""Units that may still be shown after an interrupt: they cannot be changed, and to leave any out costs all up to the
next key frame."""


class Sound(Struct, frozen=True):
    """A block of it."""

    pcm: bytes
    sample: int


Lost = Literal["lost"]
"""In the place of what was left out."""
Item = Sound | Picture | Unit | Lost


class Feed:
    """Sound, pictures and units in the order in which they came. `put`, `interrupt` and `end` may be called by one
    thread, `take` by another one."""

    def __init__(self, behind: float = BEHIND) -> None:
        self._most = round(behind * RATE)
        self._items: deque[Item] = deque()
        self._changed = Condition()
        self._ended = False
        self._pictures = 0
        self.samples_dropped = self.pictures_dropped = self.units_dropped = 0
        """What was left out."""

    def put(self, item: Sound | Picture | Unit) -> None:
        """Takes one, or leaves it out."""
        with self._changed:
            if self._ended:
                return
            oldest = next((one for one in self._items if one != "lost"), None)
            if oldest is not None and item.sample - oldest.sample > self._most:
                self._drop()
            if isinstance(item, Picture):
                if self._pictures >= PICTURES:
                    self.pictures_dropped += 1
                    return
                self._pictures += 1
            self._items.append(item)
            self._changed.notify()

    def _drop(self) -> None:
        for item in self._items:
            self._count(item)
        self._items.clear()
        self._pictures = 0
        self._items.append("lost")

    def _count(self, item: Item) -> None:
        if isinstance(item, Sound):
            self.samples_dropped += len(item.pcm) // 2
        elif isinstance(item, Picture):
            self.pictures_dropped += 1
        elif isinstance(item, Unit):
            self.units_dropped += 1

    def interrupt(self) -> None:
        """What waits is stale: sound falls silent, with a fade of 5 ms; pictures are left out, and units, if there are
        more than a few, up to the next key frame."""
        with self._changed:
            units = sum(isinstance(item, Unit) for item in self._items)
            kept: deque[Item] = deque()
            faded = False
            for item in self._items:
                if isinstance(item, Sound):
                    pcm = bytes(len(item.pcm)) if faded else fade_out(item.pcm)
                    faded = True
                    kept.append(Sound(pcm, item.sample))
                elif isinstance(item, Picture) or (isinstance(item, Unit) and units > STALE_UNITS):
                    self._count(item)
                else:
                    kept.append(item)
            if units > STALE_UNITS:
                kept.appendleft("lost")
            self._items, self._pictures = kept, 0

    def take(self) -> Item | None:
        """The oldest, waiting for it; None: there are no more, and none come."""
        with self._changed:
            while not self._items and not self._ended:
                self._changed.wait()
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, Picture):
                self._pictures -= 1
            return item

    def end(self, *, at_once: bool = False) -> None:
        """Nothing more comes. `at_once`: what waits is of no use either."""
        with self._changed:
            self._ended = True
            if at_once:
                self._items.clear()
            self._changed.notify()
