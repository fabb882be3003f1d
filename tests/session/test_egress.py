"""What a session hands over of its face, as `egress` says it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import lipwire
from lipwire.errors import InvalidArgument


class Both:
    """Takes all that there is."""

    takes_motion = True

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.frames = 0

    def open(self, spec: lipwire.StreamSpec) -> None:
        self.avatar = spec.avatar

    def close(self) -> None: ...
    def audio(self, pcm: bytes, sample: int) -> None: ...
    def cue(self, cue: lipwire.Cue) -> None: ...

    def video(self, frame: lipwire.Frame) -> None:
        self.kinds.add("video")
        self.frames += 1

    def motion(self, frame: lipwire.Frame) -> None:
        self.kinds.add("motion")
        self.frames += 1


@pytest.mark.parametrize(
    ("egress", "kinds"), [("video", {"video"}), ("motion", {"motion"}), ("both", {"video", "motion"})]
)
async def test_what_is_handed_over(egress: Any, kinds: set[str]) -> None:
    out = Both()
    async with lipwire.Session(out, size=(64, 36), fps=50, egress=egress) as session, asyncio.timeout(20):
        while out.frames < 12:
            await asyncio.sleep(0.02)
        drawn = session.stats()["frames"] - session.stats()["frames_undrawn"]
    assert out.kinds == kinds and out.avatar == "aria" and (drawn <= 1) == (egress == "motion")


def test_there_is_nothing_else() -> None:
    with pytest.raises(InvalidArgument, match="one of video, motion, both"):
        lipwire.Session(Both(), egress="sound")  # type: ignore[arg-type]
