"""Whether a session's pictures are taken from video of its avatar that was encoded before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from .._core import Atlas
from ..drawing.stage import Stage
from ..errors import InvalidArgument

Preencoded = Literal["auto", "on", "off"]
"""auto: where it has been made; on: it is made where it has not; off: never."""


def check_preencoded(preencoded: str) -> None:
    """Raises InvalidArgument: it is none of `Preencoded`."""
    if preencoded not in get_args(Preencoded):
        raise InvalidArgument(f"preencoded must be one of {', '.join(get_args(Preencoded))}, got {preencoded!r:.40}")


def find_atlas(
    preencoded: Preencoded, stage: Stage, taken: bool, progress: Callable[[float], None] | None = None
) -> Atlas | None:
    """The encoded video of what a prepared stage shows, or None: there is none, or none is wanted. It may take a minute
    or so to make it; any thread.

    Args:
        taken: whether there is somebody who takes it.
        progress: called with the part that is done, 0..1, while it is made.

    Raises:
        InvalidArgument: it has to be, and cannot.
    """
    if preencoded == "off" or (preencoded == "auto" and (not taken or stage.avatar is None)):
        return None
    if stage.avatar is None:
        raise InvalidArgument("preencoded='on' is for avatars: what another draws cannot be encoded before")
    if not taken:
        raise InvalidArgument("preencoded='on' needs a publisher that takes encoded video, and this one takes pictures")
    from ..atlas import ensure, load  # much, for those alone who want it

    of = stage.avatar, stage.spec.width, stage.spec.height, stage.spec.fps
    found = load(*of)
    if found is None and preencoded == "on":
        found = ensure(*of, progress)
    return found


def begin_atlas(stage: Stage) -> None:
    """Has the video of a built-in avatar encoded in the background, for sessions to come, where it is not there."""
    if stage.avatar is not None and stage.avatar.name in stage.avatar.builtin():
        from ..atlas import begin

        spec = stage.spec
        begin(stage.avatar, spec.width, spec.height, spec.fps)
