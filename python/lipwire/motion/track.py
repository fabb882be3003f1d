"""What motion is made of: a header that names the channels, frames with a value for each, events between them. A track
is all of it. docs/motion.md has the format."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from .._core import RATE
from ..errors import InvalidArgument

UNIT, SIGNED, ID, ANGLE = range(4)
"""Kinds of channels: a weight 0..1 in steps of 1/255; -1..1 in steps of 1/32767; a number that names something; radians
in steps of 1/2000."""
Groups = tuple[tuple[str, int, tuple[str, ...]], ...]
"""(set, kind, names of the channels) of each group, in order; as `_core.MotionEncoder.groups`."""


class MotionHeader(Struct, frozen=True, kw_only=True):
    """Which channels frames have, in which order."""

    groups: Groups
    fps: Fraction
    """Frames a second while nothing is left out."""
    clock_rate: int = RATE
    """Samples a second of the clock that frames and events count on."""
    id: int = 0
    """By which frames name it, 0..255."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all channels."""
        return tuple(name for _, _, names in self.groups for name in names)

    @property
    def kinds(self) -> NDArray[np.intp]:
        """Of all channels."""
        return np.array([kind for _, kind, names in self.groups for _ in names], dtype=np.intp)

    @property
    def sets(self) -> dict[str, tuple[str, ...]]:
        """The channels' names by set, in order."""
        found: dict[str, tuple[str, ...]] = {}
        for name, _, names in self.groups:
            found[name] = found.get(name, ()) + names
        return found

    def columns(self, name: str) -> slice:
        """Where a set's channels are among all. Raises InvalidArgument: it is not there."""
        begin = 0
        for other, names in self.sets.items():
            if other == name:
                return slice(begin, begin + len(names))
            begin += len(names)
        raise InvalidArgument(f"no motion of the set {name!r}: there is {', '.join(self.sets) or 'nothing'}")


class MotionFrame(Struct, frozen=True, eq=False):
    """A pose."""

    sample: int
    """When it is to be shown: a position on the media clock."""
    values: NDArray[np.float32]
    """Of all channels, in the header's order."""
    generation: int = 0
    """How many interrupts there had been."""
    speaking: bool = False
    """Whether an utterance plays."""


class MotionEvent(Struct, frozen=True):
    """Something that happened."""

    number: int
    """Counts up; carriers that lose things send an event several times."""
    sample: int
    generation: int
    kind: str
    """interrupt, started, finished, underrun, state, expression, gesture, clock, error; there may be more later."""
    value: str = ""


class MotionTrack(Struct, frozen=True, eq=False):
    """All of a file: n frames of so many channels, in the order of their samples."""

    header: MotionHeader
    samples: NDArray[np.int64]
    """(n,)"""
    values: NDArray[np.float32]
    """(n, channels)"""
    speaking: NDArray[np.bool_]
    """(n,)"""
    generations: NDArray[np.int64]
    """(n,)"""
    events: tuple[MotionEvent, ...] = ()

    @classmethod
    def of_frames(
        cls, header: MotionHeader, frames: Sequence[MotionFrame], events: Sequence[MotionEvent] = ()
    ) -> MotionTrack:
        """Puts frames together that are in order."""
        shape = len(frames), len(header.names)
        return cls(
            header,
            np.array([frame.sample for frame in frames], dtype=np.int64),
            np.array([frame.values for frame in frames], dtype=np.float32).reshape(shape),
            np.array([frame.speaking for frame in frames], dtype=np.bool_),
            np.array([frame.generation for frame in frames], dtype=np.int64),
            tuple(events),
        )

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(n,): when each frame is shown."""
        return self.samples / self.header.clock_rate

    @property
    def duration(self) -> float:
        """Seconds from the clock's beginning to the end of the last frame."""
        return float(self.seconds[-1] + 1 / self.header.fps) if len(self.samples) else 0.0

    def of(self, name: str) -> NDArray[np.float32]:
        """(n, channels of it): the values of one set. Raises InvalidArgument: it is not there."""
        return self.values[:, self.header.columns(name)]

    def only(self, sets: Sequence[str]) -> MotionTrack:
        """The same with these sets, in this order. Raises InvalidArgument: one of them is not there."""
        columns = [self.header.columns(name) for name in sets]
        groups = tuple(group for name in sets for group in self.header.groups if group[0] == name)
        values = np.hstack([self.values[:, part] for part in columns])
        return structs.replace(self, header=structs.replace(self.header, groups=groups), values=values)

    def at_rate(self, clock_rate: int) -> MotionTrack:
        """The same on a clock of so many samples a second. Raises InvalidArgument: two frames would be at one sample of
        it, or one beyond 2^63."""
        rate = self.header.clock_rate
        if rate == clock_rate:
            return self

        def moved(sample: int) -> int:
            return (2 * sample * clock_rate + rate) // (2 * rate)

        samples = [moved(sample) for sample in self.samples.tolist()]
        events = tuple(structs.replace(event, sample=moved(event.sample)) for event in self.events)
        near = next((number for number, (a, b) in enumerate(pairwise(samples)) if a >= b), None)
        if near is not None:
            raise InvalidArgument(f"frames {near} and {near + 1} are at the same sample of {clock_rate} Hz")
        if max([*samples, *(event.sample for event in events)], default=0) >= 1 << 63:
            raise InvalidArgument(f"its end is beyond what a clock of {clock_rate} Hz can count")
        return structs.replace(
            self,
            header=structs.replace(self.header, clock_rate=clock_rate),
            samples=np.array(samples, dtype=np.int64),
            events=events,
        )

    def channel(self, name: str) -> NDArray[np.float32]:
        """(n,): the values of one channel. Raises InvalidArgument: it is not there."""
        names = self.header.names
        if name not in names:
            raise InvalidArgument(f"no channel {name!r}: there are {', '.join(names) or 'none'}")
        return self.values[:, names.index(name)]
