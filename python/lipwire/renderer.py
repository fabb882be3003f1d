"""Renderers: your own code draws the pictures, in Python or compiled.

Three doors, from simple to far-reaching: a `Renderer` (Python, draws each frame when it is due), a compiled hook
(`hook`: numba or any C function, called by the engine's own thread), and a `FrameSource` (source.py: makes frames from
speech, in its own time). A session and `render` take each of them in an avatar's place.
"""

from __future__ import annotations

import abc
import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, overload

import numpy as np
from msgspec import Struct

from . import _core
from ._core import Frame
from .errors import InvalidArgument
from .publish.base import StreamSpec

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


# ---- compiled hooks -----------------------------------------------------------------------------------------------


class Hook:
    """A compiled function that draws each frame on the engine's thread: `lw_draw` of csrc/lipwire.h. `hook` makes one
    of a Python function; this makes one of any C function:

        Hook(ctypes.cast(library.draw, ctypes.c_void_p).value, name="draw", keep=library)

    Args:
        address: of `int draw(void *user, uint8_t *i420, const lw_draw_info *info)`. name: for the log.
        state: an array that each session gets a copy of, passed as `user`; without it `user` is NULL.
        keep: what must live as long as the function.
    """

    def __init__(self, address: int, *, name: str, state: np.ndarray[Any, Any] | None = None, keep: Any = None) -> None:
        if not address:
            raise InvalidArgument(f"the hook {name!r} has no address")
        self.address = address
        self.name = name
        self._state = None if state is None else np.ascontiguousarray(state)
        self._keep = keep

    def bind(self) -> BoundHook:
        """For one session."""
        return BoundHook(self, None if self._state is None else self._state.copy())


class BoundHook:
    """A hook with one session's state."""

    def __init__(self, of: Hook, state: np.ndarray[Any, Any] | None) -> None:
        self.hook = of
        self.state = state
        self.address = of.address
        self.user = 0 if state is None else state.ctypes.data


def info_dtype() -> np.dtype[Any]:
    """What a hook is told of its frame, a record: `sample`, `sequence`, `utterance`, `width`, `height`, `loudness` and
    the arrays `axis` (AXES) and `viseme` (15)."""
    fields = _core.DRAW_INFO
    return np.dtype(
        {
            "names": list(fields),
            "offsets": [offset for offset, _, _ in fields.values()],
            "formats": [kind if count == 1 else (kind, (count,)) for _, kind, count in fields.values()],
            "itemsize": _core.DRAW_INFO_BYTES,
        }
    )


@overload
def hook(function: Callable[..., Any]) -> Hook: ...
@overload
def hook(
    *, state: np.ndarray[Any, Any] | None = ..., boundscheck: bool = ...
) -> Callable[[Callable[..., Any]], Hook]: ...


def hook(
    function: Callable[..., Any] | None = None,
    *,
    state: np.ndarray[Any, Any] | None = None,
    boundscheck: bool = True,
) -> Any:
    """Compiles a function with numba into a Hook. The engine's thread calls it with no GIL.

        @lipwire.hook
        def draw(y, u, v, frame):
            y[:, :] = 40
            u[:, :] = 128
            v[:, :] = 128
            y[int((1 - frame.loudness) * frame.height):, :] = 200

    `y`, `u`, `v` are uint8 arrays (h, w), (h/2, w/2), (h/2, w/2) that hold an older picture; `frame` is a record, see
    `info_dtype`. It returns nothing or a status: 0 drawn, 1 looks as before, anything else failed. A failure or an
    exception shows the last good picture and is counted. The thread is every session's: stay well below `SLOW`.

    Args:
        state: a fifth argument: an array, of which each session has a copy of its own.
        boundscheck: an index out of bounds is an exception; False is faster, and such an index ends the process.

    Raises:
        InvalidArgument: numba is missing, or cannot compile it; the message says why.
    """
    if function is None:
        return functools.partial(hook, state=state, boundscheck=boundscheck)
    name = getattr(function, "__name__", "hook")
    try:
        import numba
        from numba import carray, types
    except ImportError as exc:
        raise InvalidArgument("hooks in Python need numba: pip install 'lipwire[hooks]'") from exc

    expected = 4 if state is None else 5
    if len(inspect.signature(function).parameters) != expected:
        names = "y, u, v, frame" + (", state" if expected == 5 else "")
        raise InvalidArgument(f"the hook {name!r} must take ({names})")
    draw = numba.njit(function, boundscheck=boundscheck, error_model="numpy", nogil=True)
    record = numba.from_dtype(info_dtype())
    plane = types.Array(types.uint8, 2, "C")
    arguments: list[Any] = [plane, plane, plane, record]
    if state is None:
        user = types.voidptr

        def call(memory, y, u, v, frame):  # type: ignore[no-untyped-def]
            return draw(y, u, v, frame)
    else:
        state = np.ascontiguousarray(state)
        element, shape = numba.from_dtype(state.dtype), state.shape
        user = types.CPointer(element)
        arguments.append(types.Array(element, state.ndim, "C"))

        def call(memory, y, u, v, frame):  # type: ignore[no-untyped-def]
            return draw(y, u, v, frame, carray(memory, shape))

    try:
        draw.compile(tuple(arguments))
        result = draw.overloads[tuple(arguments)].signature.return_type
        if not (result is types.none or isinstance(result, types.Integer | types.Boolean)):
            raise InvalidArgument(f"the hook {name!r} must return nothing or a whole number, not {result}")
        called = numba.njit(call)
        silent = result is types.none

        @numba.cfunc(types.intc(user, types.CPointer(types.uint8), types.CPointer(record)))
        def entry(memory, i420, info):  # type: ignore[no-untyped-def]
            frame = carray(info, 1)[0]
            h, w = frame.height, frame.width
            pixels = carray(i420, h * w * 3 // 2)
            luma, chroma = h * w, h * w // 4
            y = pixels[:luma].reshape((h, w))
            u = pixels[luma : luma + chroma].reshape((h // 2, w // 2))
            v = pixels[luma + chroma :].reshape((h // 2, w // 2))
            try:
                status = called(memory, y, u, v, frame)
            except Exception:
                return -1
            return 0 if silent else status

    except InvalidArgument:
        raise
    except Exception as exc:  # NumbaError mostly, but some of its own inner errors come through
        raise InvalidArgument(f"the hook {name!r} cannot be compiled: {str(exc).strip()}") from exc
    return Hook(entry.address, name=name, state=state, keep=(entry, called, draw))


# ---- drawing in Python --------------------------------------------------------------------------------------------


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
