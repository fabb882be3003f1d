"""Motion: what a session hands to who draws the face elsewhere, whatever draws it here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.channel import base
from lipwire.errors import InvalidArgument
from lipwire.stream import as_publisher

RATE, BLOCK = _core.RATE, _core.BLOCK
STEP = RATE // 50


def tone(seconds: float) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) * 0.03) * 8000).astype(np.int16).tobytes()


class Mover:
    """A publisher of a user's own, which keeps in which order it is given what."""

    wants = "nothing"
    takes_motion = True

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.came = asyncio.Event()

    def open(self, spec: lipwire.StreamSpec) -> None: ...
    def close(self) -> None: ...

    def audio(self, pcm: bytes, sample: int) -> None:
        self.log.append(("audio", sample))
        self.came.set()

    def video(self, frame: lipwire.Frame) -> None:
        self.log.append(("video", frame.sample))

    def motion(self, frame: lipwire.Frame) -> None:
        self.log.append(("motion", frame.posed(frame.sample)))

    def cue(self, cue: lipwire.Cue) -> None:
        self.log.append(("cue", cue))

    def interrupt(self) -> None:
        self.log.append(("interrupt", None))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.log if name == kind]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.came.clear()
                await self.came.wait()


class Painted(lipwire.Renderer):
    def draw(self, frame: lipwire.Frame) -> None:
        raise AssertionError("nobody looks")


class Late(lipwire.FrameSource):
    latency = 0.1

    def speech(self, pcm: Any, sample: int) -> Any:
        return ()


FACES: dict[str, Callable[[], Any]] = {
    "avatar": lambda: "ohm",
    "nobody": lambda: None,
    "renderer": Painted,
    "source": Late,
}


async def play(face: Any) -> tuple[Mover, dict[str, Any]]:
    out = Mover()
    async with lipwire.Session(out, avatar=face, size=(64, 36), fps=50, voice_end_grace=0.0) as session:
        session.write(tone(0.2), RATE, "a")
        session.end("a")
        session.special({"gesture": "nod", "emotion": "happy", "state": "listening"})
        await session.finished()
        session.write(tone(5.0), RATE, "b")
        await out.until(lambda: ("cue", "b") in [(kind, getattr(what, "value", "")) for kind, what in out.log])
        await out.until(lambda: out.of("motion")[-1].utterance)
        session.interrupt()
        await out.until(lambda: out.of("motion")[-1].generation == 1)
    return out, session.stats()


async def test_every_face_moves_on_the_clock_and_none_is_drawn() -> None:
    played = await asyncio.gather(*(play(make()) for make in FACES.values()))
    for name, (out, stats) in zip(FACES, played, strict=True):
        assert stats["failures"] == {} and not out.of("video"), name
        assert name == "source" or stats["frames_undrawn"] == stats["frames"] > 10, name
        poses, delay = out.of("motion"), RATE // 10 if name == "source" else 0
        before = [pose.sample for pose in poses if not pose.generation]
        assert before == list(range(before[0], before[0] + len(before) * STEP, STEP)) and before[0] == delay, name
        assert not any(pose.drawn for pose in poses) and poses[0].axes.shape == (15,), name
        with pytest.raises(BufferError, match="takes_motion"):
            memoryview(poses[0])
        assert {0, 1, 2} == {pose.utterance for pose in poses}, name
        cues = out.of("cue")
        told = [(cue.kind, cue.value) for cue in cues]
        assert told[:3] == [("gesture", "nod"), ("expression", "happy"), ("state", "listening")], name
        assert [one for one in told[3:] if one[0] != "finished"] == [
            ("started", "a"), ("started", "b"), ("interrupt", "b"),
        ], name  # fmt: skip
        assert told.count(("finished", "a")) == told.count(("finished", "b")) == 1, name
        cut = out.log.index(("interrupt", None))
        assert out.log[cut + 1] == ("cue", next(cue for cue in cues if cue.kind == "interrupt")), name
        assert {pose.generation for kind, pose in out.log[cut:] if kind == "motion"} == {1}, name
        check_order(out.log[:cut], delay)


def check_order(log: list[tuple[str, Any]], delay: int) -> None:
    """What is earlier on the clock comes first, but for a block, which counts from its first sample: the pose of a tick
    that is not over when its sound is taken comes behind the next one. What a source delays is told a drain later."""
    at = 0
    for kind, what in log:
        sample = what if kind == "audio" else what.sample
        if kind == "cue" and what.kind in ("gesture", "expression", "state"):
            sample -= delay
        assert sample >= at - (4 if delay else 1) * BLOCK, (kind, what, at)
        at = max(at, sample)


async def test_motion_comes_and_goes_and_a_fault_of_its_own_stops_nothing() -> None:
    class Faulty(lipwire.publish.Null):
        faults = 0
        taken = False

        @property
        def takes_motion(self) -> bool:
            return self.taken

        def motion(self, frame: lipwire.Frame) -> None:
            super().motion(frame)
            raise ValueError("motion")

        def cue(self, cue: lipwire.Cue) -> None:
            super().cue(cue)
            raise ValueError("cue")

    out, faulty = Mover(), Faulty(wants="nothing")
    out.takes_motion = False
    channel_like: Any = type(
        "Room", (Mover,), {"send": print, "subscribe": print, "unsubscribe": print, "stats": dict}
    )()
    channel = base.as_channel(channel_like)
    tee = lipwire.publish.Tee(out, faulty, channel)
    async with lipwire.Session(tee, avatar="ohm", size=(64, 36), fps=50) as session:
        await out.until(lambda: len(channel_like.of("motion")) > 3)
        session.special({"gesture": "wave"})
        channel_like.takes_motion, faulty.taken = False, True
        assert tee.takes_motion and not channel.takes_motion
        await out.until(lambda: faulty.poses > 3)
        before = len(channel_like.of("motion"))
        session.special({"gesture": "shake"})
        faulty.taken = False
        assert not tee.takes_motion
        await out.until(lambda: session.stats()["frames_unseen"] > 3)
        session.special({"gesture": "nod"})
        assert session.failures == {"motion": faulty.poses, "cue": faulty.cues} and faulty.cues == 1
    assert len(channel_like.of("motion")) == before and [cue.value for cue in channel_like.of("cue")] == ["wave"]
    assert not out.of("motion") and not out.of("cue")


def test_who_has_the_method_takes_motion_and_none_is_async() -> None:
    class Implied:
        open, close, audio, video, motion = Mover.open, Mover.close, Mover.audio, Mover.video, Mover.motion

    implied: Any = Implied()
    assert as_publisher(implied).takes_motion and not as_publisher(lipwire.publish.Null()).takes_motion

    class Waiting(Mover):
        async def cue(self, cue: lipwire.Cue) -> None: ...  # type: ignore[override]

    with pytest.raises(InvalidArgument, match=r"cue is async"):
        as_publisher(Waiting())
