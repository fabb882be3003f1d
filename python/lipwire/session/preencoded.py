"""Whether a session's pictures are taken from video of its avatar that was encoded before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from .._core import Atlas
from ..drawing.stage import Stage
from ..errors import InvalidArgument

Preencoded = Literal["auto", "on", "off"]
"""auto: where it has been made; on: it is made where it has not; off: never."""
BACKGROUND = 1280 * 720 * 30
"""Pixels a second of what is encoded before without being asked for by name: clients choose sizes, and larger ones take
a processor for longer than anybody expects."""


def check_preencoded(preencoded: str) -> None:
    """Raises InvalidArgument: it is none of `Preencoded`."""
    if preencoded not in get_args(Preencoded):
        raise InvalidArgument(f"preencoded must be one of {', '.join(get_args(Preencoded))}, got {preencoded!r:.40}")


def of_server(preencoded: Preencoded, pixel_rate: float, taken: bool) -> Preencoded:
    """What one session is told where a server has this setting: `on` is for whom it can help. Others go on as with
    auto, instead of being refused for what they did not ask for.

    Args:
        pixel_rate: width x height x frames a second. taken: whether pictures go to somebody who takes encoded video.
    """
    return "auto" if preencoded == "on" and not (taken and pixel_rate <= BACKGROUND) else preencoded


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


def begin_atlas(stage: Stage, taken: bool) -> None:
    """Has the video of a built-in avatar encoded in the background, for sessions to come, where it is not there and
    somebody takes it, and where it takes no more than some minutes."""
    spec = stage.spec
    small = spec.width * spec.height * spec.fps <= BACKGROUND
    if taken and small and stage.avatar is not None and stage.avatar.name in stage.avatar.builtin():
        from ..atlas import begin

        begin(stage.avatar, spec.width, spec.height, spec.fps)
