"""What a replay found."""

from __future__ import annotations

from msgspec import Struct

from .. import _core


class Outcome(Struct, kw_only=True):
    """How a replay compares to its recording. `exact` is the verdict; the rest says why not."""

    complete: bool
    """The recording goes to the end of its session."""
    lost: int = 0
    """Records that the disk was too slow for."""
    uncertain: int = 0
    """Calls whose place is known but for a tick."""
    cpu: str = ""
    """Kernel level that recorded it."""
    clock: int = 0
    """Samples played,"""
    messages: int = 0
    blocks: int = 0
    pictures: int = 0
    events: int = 0
    unknown: int = 0
    """Blocks that the recording has no checksum of."""
    astray: int = 0
    """Calls of the engine that one of the two did not make."""
    differing: dict[str, int] = {}
    """What differs, by kind: sound, picture, event."""
    first: dict[str, int] = {}
    """Where the first of a kind is, in samples."""
    event: tuple[str, str] | None = None
    """The first event that differs: (as recorded, as replayed)."""

    def differ(self, kind: str, sample: int) -> None:
        """Counts a difference."""
        self.differing[kind] = self.differing.get(kind, 0) + 1
        self.first.setdefault(kind, sample)

    def differ_event(self, recorded: str, replayed: str) -> None:
        """Counts an event that differs."""
        self.differing["event"] = self.differing.get("event", 0) + 1
        self.event = self.event or (recorded, replayed)

    @property
    def exact(self) -> bool:
        """Every sample and every picture that the recording knows came out again."""
        return not self.differing and not self.astray

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"{self.clock / _core.RATE:.2f} s, {self.messages} messages, {self.blocks} blocks of sound, "
            f"{self.pictures} pictures, {self.events} events"
        ]
        for kind, sample in self.first.items():
            told.append(f"{self.differing[kind]} of {kind} differ, the first at {sample / _core.RATE:.3f} s")
        if self.event is not None:
            told.append(
                f"{self.differing['event']} events differ, the first: {self.event[0]} came out as {self.event[1]}"
            )
        if self.astray:
            told.append(f"{self.astray} calls were made in only one of the two")
        if self.cpu != _core.cpu_level() and not self.exact:
            told.append(
                f"it was recorded with LIPWIRE_CPU={self.cpu}, and this is {_core.cpu_level()}: visemes may differ"
            )
        if self.uncertain:
            told.append(f"the place of {self.uncertain} calls is known but for 10 ms: the machine was overloaded")
        if self.lost:
            told.append(f"incomplete: {self.lost} records were left out, because the disk was too slow")
        if not self.complete:
            told.append("the recording breaks off before the end of its session")
        told.append("exact: every sample and every picture came out again" if self.exact else "NOT as recorded")
        return told
