"""Compiled functions that draw each frame on the engine's thread, without the GIL."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, overload

import numpy as np

from .. import _core
from ..errors import InvalidArgument


class Hook:
    """A compiled function that draws each frame on the engine's thread: `lw_draw` of
    csrc/include/lipwire/performer.h. `hook` makes one of a Python function; this makes one of any C function:

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
