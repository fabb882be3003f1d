"""Motion's bandwidth: what a viewer is sent of a face that talks, payload bytes, as a data channel carries them: each
message with the frame before, too. Beside it the video of the same speech: VP8 at 1280x720 as the pages show it, and
what was encoded before (H.264, stitched)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from harness import Results, espeak, main
from lipwire import Avatar, _core
from lipwire._core import Frame
from lipwire.atlas.build import QUALITY, _Maker
from lipwire.channel.agora.motion import MotionPackets
from lipwire.publish.encoders import ENCODERS, Picture
from lipwire.publish.motion import Ask, Kind, Listener, Motion
from lipwire.publish.motion_video import UnitMaker
from lipwire.publish.rates import START

GOALS = {25: "<= 20", 60: "<= 40"}
"""kbit/s of arkit and head, by frames a second."""
TIMES = ">= 50"
SPEECH = 24_000
SIZE, ATLAS = (1280, 720), (640, 360)
"""Pixels of VP8; and of what was encoded before, which takes too long at more."""


class Count(Listener):
    """A viewer: bytes of what it is sent."""

    def __init__(self, sets: tuple[str, ...], encoding: str = "binary") -> None:
        self.ask = Ask(sets, encoding)  # type: ignore[arg-type]
        self.bytes = self.messages = 0

    def put(self, message: bytes, kind: Kind, sample: int) -> bool:
        self.bytes += len(message)
        self.messages += 1
        return False


class CountUnits(UnitMaker):
    """A viewer of black video."""

    bytes = 0

    def send(self, unit: bytes, sample: int, key: bool) -> bool:
        self.bytes += len(unit)
        return False


def talking(seconds: float, fps: Fraction, look: int, avatar: _core.NativeAvatar | None = None) -> Iterator[Frame]:
    """Frames of a session that speaks all the time."""
    performer = _core.Performer(avatar, fps.as_integer_ratio(), seed=1)
    performer.look(look)
    performer.write(espeak(SPEECH), SPEECH)
    performer.end()
    for _ in range(round(seconds * 100)):
        performer.tick()
        for item in performer.drain(1)[1]:
            if isinstance(item, Frame) and item.utterance:
                yield item
        performer.give_back()


def kilobits(size: float, frames: int, fps: Fraction) -> float:
    return 8 * size / 1000 * float(fps) / frames


def sent(seconds: float, fps: Fraction) -> tuple[dict[str, float], int]:
    """kbit/s of what carriers are given, by what it is; frames."""
    listeners: dict[str, Count | CountUnits] = {
        "arkit+head": Count(("arkit", "head")),
        "pose": Count(("pose",)),
        "visemes": Count(("visemes",)),
        "azure": Count(("azure",)),
        "arkit+head as JSON": Count(("arkit", "head"), "json"),
        "arkit+head in black video": CountUnits(("arkit", "head"), fps),
    }
    packets = [0]

    def tell(command: object) -> bool:
        packets[0] += len(command.data)  # type: ignore[attr-defined]
        return False

    motion, frames = Motion(), 0
    motion.begin(fps)
    for listener in listeners.values():
        motion.add(listener)
    motion.add(MotionPackets(1, ("arkit", "head"), fps, tell))
    for frame in talking(seconds, fps, _core.LOOK_POSES):
        motion.frame(frame)
        frames += 1
    found = {name: kilobits(one.bytes, frames, fps) for name, one in listeners.items()}
    return found | {"arkit+head in Agora's data stream": kilobits(packets[0], frames, fps)}, frames


def vp8(seconds: float, fps: Fraction) -> float:
    """kbit/s, key frame and all, of the class that viewers begin with."""
    encoder, size, frames = ENCODERS["vp8"](START), 0, 0
    for frame in talking(seconds, fps, _core.LOOK_PICTURES, Avatar.load("aria").at(*SIZE)):
        size += len(encoder.encode(Picture(frame, frame.sample, fps), frames == 0)[0])
        frames += 1
    return kilobits(size, frames, fps)


def stitched(seconds: float, fps: Fraction) -> float:
    """kbit/s of H.264 that was encoded before."""
    avatar = Avatar.load("aria")
    blob, _ = _Maker(avatar, *ATLAS, fps, QUALITY).make(1, lambda share: None)
    performer = _core.Performer(avatar.at(*ATLAS), fps.as_integer_ratio(), seed=1, atlas=_core.Atlas(blob))
    performer.look(_core.LOOK_UNITS)
    performer.write(espeak(SPEECH), SPEECH)
    performer.end()
    size = frames = 0
    for _ in range(round(seconds * 100)):
        performer.tick()
        for item in performer.drain(1)[1]:
            if isinstance(item, Frame) and item.stitched:
                data, _ = performer.unit(item)
                size += len(data)
                frames += 1
        performer.give_back()
    return kilobits(size, frames, fps)


def run(results: Results, quick: bool) -> None:
    seconds = 10.0 if quick else len(espeak(SPEECH)) / 2 / SPEECH
    figures: dict[int, float] = {}
    for rate in (25, 60):
        found, frames = sent(seconds, Fraction(rate))
        for name, value in found.items():
            goal = GOALS[rate] if name == "arkit+head" else None
            results.add(f"{name} at {rate} fps", value, "kbit/s", n=frames, goal=goal)
        figures[rate] = found["arkit+head"]
    video = vp8(min(seconds, 10.0), Fraction(25))
    results.add("VP8 1280x720 at 25 fps", video, "kbit/s", n=round(25 * min(seconds, 10.0)))
    results.add("VP8 1280x720 over motion at 25 fps", video / figures[25], "x", n=1, goal=TIMES)
    if quick:
        results.skip("pre-encoded H.264 640x360 at 25 fps", "its encoding takes a minute")
        return
    before = stitched(seconds, Fraction(25))
    results.add("pre-encoded H.264 640x360 at 25 fps", before, "kbit/s", n=round(25 * seconds))
    results.add("pre-encoded H.264 over motion at 25 fps", before / figures[25], "x", n=1)


if __name__ == "__main__":
    main(run, __doc__)
