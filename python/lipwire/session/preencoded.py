"""Whether a session's pictures are taken from video of its avatar that was encoded before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, get_args

from .._core import Atlas
from ..drawing.stage import Stage
from ..errors import InvalidArgument
from ..pools import pool

Preencoded = Literal["auto", "on", "off"]
"""auto: where it has been made; on: it is made where it has not; off: never."""
BACKGROUND = 1280 * 720 * 30
"""Pixels a second of what is encoded before without being asked for by name: clients choose sizes, and larger ones take
a processor for longer than anybody expects."""

_waiting = pool(2, "lipwire-atlas-wait")
"""Where sessions have atlases made, and wait for those that are: in the loop's own executor nobody's session could end
meanwhile."""


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


def find_atlas(preencoded: Preencoded, stage: Stage, taken: bool) -> Atlas | None:
    """The encoded video of what a prepared stage shows, out of the cache; None: it is not there, or not wanted. Any
    thread.

    Args:
        taken: whether there is somebody who takes it.

    Raises:
        InvalidArgument: there has to be some, and cannot be.
    """
    if preencoded == "off" or (preencoded == "auto" and (not taken or stage.avatar is None)):
        return None
    if stage.avatar is None:
        raise InvalidArgument("preencoded='on' is for avatars: what another draws cannot be encoded before")
    if not taken:
        raise InvalidArgument("preencoded='on' needs a publisher that takes encoded video, and this one takes pictures")
    from ..atlas import load  # much, for those alone who want it

    return load(stage.avatar, stage.spec.width, stage.spec.height, stage.spec.fps)


def make_atlas(stage: Stage, progress: Callable[[float], None] | None = None) -> Atlas:
    """The same, made where it is not there, for which an avatar is needed. It takes a minute or so; any thread.

    Args:
        progress: called with the part that is done, 0..1.
    """
    from ..atlas import ensure

    assert stage.avatar is not None
    return ensure(stage.avatar, stage.spec.width, stage.spec.height, stage.spec.fps, progress)


async def wait_for_atlas(stage: Stage) -> Atlas:
    """The same, made in the background. Those who wait for one that is being made wait behind each other, and hold up
    nobody else."""
    return await asyncio.get_running_loop().run_in_executor(_waiting, _make_aside, stage)


def _make_aside(stage: Stage) -> Atlas:
    from ..atlas import ensure_aside

    assert stage.avatar is not None
    return ensure_aside(stage.avatar, stage.spec.width, stage.spec.height, stage.spec.fps)


def begin_atlas(stage: Stage, taken: bool) -> None:
    """Has the video of a built-in avatar encoded in the background, for sessions to come, where it is not there and
    somebody takes it, and where it takes no more than some minutes."""
    spec = stage.spec
    small = spec.width * spec.height * spec.fps <= BACKGROUND
    if taken and small and stage.avatar is not None and stage.avatar.name in stage.avatar.builtin():
        from ..atlas import begin

        begin(stage.avatar, spec.width, spec.height, spec.fps)
