"""Several publishers as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from .._core import Frame, SharedWriter
from ..stream import LOOKS, WANTS, Cue, Publisher, PublisherLike, StreamSpec, Unit, Wants, as_publisher


class Tee(Publisher):
    """Hands everything to each of its publishers, in order. One that fails does not keep it from the others.

    Args:
        publishers: as a Session takes them. Pictures are drawn in the memory of the first that has some; the others
            are shown them.

    Raises:
        InvalidArgument: one of them is no publisher.
    """

    def __init__(self, *publishers: Publisher | PublisherLike) -> None:
        self.publishers = publishers
        self._all = tuple(as_publisher(publisher) for publisher in publishers)
        self.audio_blocks = min((publisher.audio_blocks for publisher in self._all), default=1)
        self._request_key = Publisher.request_key

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """The memory of the first that has some."""
        for publisher in self._all:
            if (memory := publisher.memory(spec, slots)) is not None:
                return memory
        return None

    @property
    def wants(self) -> Wants:
        """What any of them wants."""
        bits = 0
        for publisher in self._all:
            bits |= LOOKS[publisher.wants]
        return WANTS[bits]

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        """Whether any of them may want units."""
        return any(publisher.takes_units for publisher in self._all)

    @property
    def takes_motion(self) -> bool:
        """Whether any of them does."""
        return any(publisher.takes_motion for publisher in self._all)

    @property
    def request_key(self) -> Callable[[], None]:
        """As it was set."""
        return self._request_key

    @request_key.setter
    def request_key(self, request_key: Callable[[], None]) -> None:
        self._request_key = request_key
        for publisher in self._all:
            publisher.request_key = request_key

    async def open(self, spec: StreamSpec) -> None:
        """Opens one after the other. What one raises, closes those that were opened."""
        for n, publisher in enumerate(self._all):
            try:
                await publisher.open(spec)
            except BaseException:
                await asyncio.gather(*(p.close() for p in self._all[:n]), return_exceptions=True)
                raise

    def audio(self, pcm: bytes, sample: int) -> None:
        """Hands a block to each. The first failure is raised when all have it, as with all of these."""
        _each([p.audio for p in self._all], pcm, sample)

    def video(self, frame: Frame) -> None:
        """Hands a picture to each that wants some; who wants units alone has got one already, where there is one."""
        unseen = ("nothing", "units") if frame.stitched else ("nothing",)
        _each([p.video for p in self._all if p.wants not in unseen], frame)

    def unit(self, unit: Unit) -> None:
        """Hands a unit to each that wants some."""
        _each([p.unit for p in self._all if LOOKS[p.wants] & LOOKS["units"]], unit)

    def motion(self, frame: Frame) -> None:
        """Hands a pose to each that takes them."""
        _each([p.motion for p in self._all if p.takes_motion], frame)

    def cue(self, cue: Cue) -> None:
        """Tells each that takes motion."""
        _each([p.cue for p in self._all if p.takes_motion], cue)

    def interrupt(self) -> None:
        """Interrupts each."""
        _each([p.interrupt for p in self._all])

    def broken_off(self, error: BaseException) -> None:
        """Tells each."""
        _each([p.broken_off for p in self._all], error)

    async def close(self) -> None:
        """Closes all; the first failure is raised when all are closed."""
        done = await asyncio.gather(*(p.close() for p in self._all), return_exceptions=True)
        _raise_first([failure for failure in done if failure is not None])


def _each(calls: Sequence[Callable[..., None]], *what: Any) -> None:
    failures: list[BaseException] = []
    for call in calls:
        try:
            call(*what)
        except Exception as exc:  # the others have their own work to do; it is raised below
            failures.append(exc)
    _raise_first(failures)


def _raise_first(failures: Sequence[BaseException]) -> None:
    if failures:
        for another in failures[1:]:
            failures[0].add_note(f"and another publisher failed: {another!r}")
        raise failures[0]
