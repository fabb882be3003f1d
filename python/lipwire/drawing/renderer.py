"""Renderers: your own code draws the pictures, in Python or compiled.

Three doors, from simple to far-reaching: a `Renderer` (Python, draws each frame when it is due), a compiled hook
(`hook`: numba or any C function, called by the engine's own thread), and a `FrameSource` (source.py: makes frames from
speech, in its own time). A session and `render` take each of them in an avatar's place.
"""

from __future__ import annotations

import abc
import logging
import time
from typing import Any

from msgspec import Struct

from .. import _core
from .._core import Frame
from ..stream import StreamSpec

logger = logging.getLogger("lipwire.renderer")

SLOW = _core.DRAW_SLOW
"""Seconds that a picture may take before it counts as slow."""


class Renderer(abc.ABC):
    """Draws each frame in Python.

        class Meter(lipwire.Renderer):
            def draw(self, frame):
                y, u, v = frame.planes
                y[:], u[:], v[:] = 40, 128, 128
                y[-round(frame.loudness * len(y)):] = 200

    Live, it has a thread of its own, so that sockets and clocks go on while it draws; NumPy, OpenCV and torch let go of
    the GIL. An exception costs no more than that picture: the last good one is shown, and it is counted and logged.
    """

    def open(self, spec: StreamSpec) -> None:
        """Called once, before the first `draw`."""

    @abc.abstractmethod
    def draw(self, frame: Frame) -> bool | None:
        """Draws all of `frame.planes` (they hold an older picture) for the moment `frame.sample`, with `frame.visemes`,
        `frame.axes` and `frame.loudness`. False: nothing was drawn, it looks as before."""

    def close(self) -> None:
        """Called once, after the last `draw`."""


class DrawStats(Struct, kw_only=True):
    """Of what draws a session's pictures."""

    name: str
    draws: int = 0
    errors: int = 0
    slow: int = 0
    """Took longer than SLOW (in Python: than a frame's time)."""
    seconds: float = 0.0
    worst: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        mean = self.seconds / self.draws if self.draws else 0.0
        return {
            "name": self.name,
            "draws": self.draws,
            "errors": self.errors,
            "slow": self.slow,
            "mean_ms": round(1e3 * mean, 3),
            "worst_ms": round(1e3 * self.worst, 3),
        }


class Painter:
    """Draws with a Renderer and keeps the last good picture for when it fails."""

    def __init__(self, renderer: Renderer, spec: StreamSpec) -> None:
        self.renderer = renderer
        self.spec = spec
        self.stats = DrawStats(name=type(renderer).__name__)
        self._good: Frame | None = None
        self._limit = float(1 / spec.fps)

    def paint(self, frame: Frame) -> None:
        stats = self.stats
        began = time.perf_counter()
        try:
            frame.changed = drawn = self.renderer.draw(frame) is not False
        except Exception:  # the edge: whatever a renderer does, the session goes on
            frame.changed = drawn = False
            self.failed("failed to draw")
        took = time.perf_counter() - began
        stats.draws += 1
        stats.seconds += took
        stats.worst = max(stats.worst, took)
        if took > self._limit:
            stats.slow += 1
            if stats.slow == 1:
                logger.warning(
                    "[%s] %s took %.1f ms for a picture; at %s a second it has %.1f",
                    self.spec.session_id, stats.name, 1e3 * took, self.spec.fps, 1e3 * self._limit,
                )  # fmt: skip
        if not drawn:
            if self._good is not None:
                frame.i420[:] = self._good.i420
            else:
                black(frame)
                frame.changed = True
        self._good = frame

    def failed(self, how: str) -> None:
        """In an except clause: counts it, and logs the first one."""
        self.stats.errors += 1
        if self.stats.errors == 1:
            logger.exception("[%s] %s %s; the last good picture stays", self.spec.session_id, self.stats.name, how)

    def forget(self) -> None:
        """Gives the last good picture's memory back."""
        self._good = None


def black(frame: Frame) -> None:
    """BT.709 limited range."""
    y, u, v = frame.planes
    y[:], u[:], v[:] = 16, 128, 128
