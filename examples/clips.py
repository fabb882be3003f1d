"""Pre-recorded video as an avatar: one clip of a person listening, one of the same person talking.

    python examples/clips.py idle.mp4 talking.mp4 speech.wav out.mp4

No lip-sync, but no model either: the talking clip plays while there is speech, the idle clip while there is none. Both
loop. A switch, and the end of a loop, goes to the frame that looks most like the one that is shown, and fades over.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

import av
import numpy as np

import lipwire

THUMBNAIL = (24, 16)  # width, height: what frames are compared by
LONGEST = 60.0  # seconds of a clip


class Clip:
    """All frames of a video at one size and rate, as I420 in memory."""

    def __init__(self, path: str, width: int, height: int, fps: Fraction) -> None:
        frames, small = [], []
        with av.open(path) as file:
            stream = file.streams.video[0]
            stream.thread_type = "AUTO"
            due = 0
            for picture in file.decode(stream):
                # Every moment of ours shows the newest picture that is not later.
                while picture.time is not None and due / fps <= picture.time + 1e-6 and due / fps < LONGEST:
                    made = picture.reformat(width, height, "yuv420p", dst_colorspace="ITU709", interpolation="AREA")
                    frames.append(made.to_ndarray())
                    tiny = picture.reformat(*THUMBNAIL, "gray", interpolation="AREA").to_ndarray()
                    small.append(tiny[:, : THUMBNAIL[0]].astype(np.float32).ravel())
                    due += 1
        if len(frames) < 2:
            raise ValueError(f"{path}: a clip needs two frames at least")
        self.frames = frames
        self.small = np.array(small)
        # Where it is going, too: a nod that goes up does not continue in one that goes down.
        self.looks = np.hstack([self.small, np.gradient(self.small, axis=0) * 2])

    def nearest(self, look: np.ndarray[Any, Any], before: int) -> int:
        """The frame among the first `before` ones that looks most like `look`."""
        return int(((self.looks[: max(1, before)] - look) ** 2).sum(1).argmin())


class Clips(lipwire.Renderer):
    """Args: idle, talking: video files. fade: seconds. linger: seconds of silence before it stops talking."""

    def __init__(self, idle: str, talking: str, fade: float = 0.24, linger: float = 0.2) -> None:
        self.paths = idle, talking
        self.fade, self.linger = fade, linger

    def open(self, spec: Any) -> None:
        self.clips = [Clip(path, spec.width, spec.height, spec.fps) for path in self.paths]
        self.fade_frames = max(1, round(self.fade * spec.fps))
        self.linger_samples = round(self.linger * 48000)
        self.which = self.at = 0
        self.old: tuple[int, int] | None = None
        """Clip and frame that is being left."""
        self.left = 0
        self.spoke = -self.linger_samples
        self.sequence = -1

    def draw(self, frame: lipwire.Frame) -> None:
        steps = frame.sequence - self.sequence if self.sequence >= 0 else 0
        self.sequence = frame.sequence
        for _ in range(min(steps, 100)):  # skipped frames count
            self._advance()
        if frame.utterance:
            self.spoke = frame.sample
        want = 1 if frame.sample - self.spoke < self.linger_samples else 0
        if want != self.which and not self.left:
            self._jump(want, len(self.clips[want].frames) - self.fade_frames)
        picture = self.clips[self.which].frames[self.at]
        if self.left and self.old is not None:
            clip, at = self.old
            share = round(256 * self.left / (self.fade_frames + 1))
            mixed = self.clips[clip].frames[at].astype(np.uint16) * share + picture.astype(np.uint16) * (256 - share)
            picture = ((mixed + 128) >> 8).astype(np.uint8)
        frame.i420[:] = picture

    def _advance(self) -> None:
        if self.left:
            self.left -= 1
            if self.old is not None:
                clip, at = self.old
                self.old = clip, min(at + 1, len(self.clips[clip].frames) - 1)
        self.at += 1
        count = len(self.clips[self.which].frames)
        if not self.left and self.at >= count - self.fade_frames:  # the loop: over to a frame like this one
            self.at = min(self.at, count - 1)
            self._jump(self.which, count // 2)
        self.at = min(self.at, count - 1)

    def _jump(self, to: int, before: int) -> None:
        self.old, self.left = (self.which, self.at), self.fade_frames
        look = self.clips[self.which].looks[self.at]
        self.which, self.at = to, self.clips[to].nearest(look, before)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("idle", help="video of the person listening; loops best when it ends as it begins")
    options.add_argument("talking", help="video of the same person talking, same framing and light")
    options.add_argument("speech", help="audio file")
    options.add_argument("out", help="MP4 to write")
    options.add_argument("--size", default="640x360", help="WIDTHxHEIGHT (default %(default)s)")
    o = options.parse_args()
    width, height = (int(n) for n in o.size.split("x"))
    done = lipwire.render(o.speech, o.out, avatar=Clips(o.idle, o.talking), size=(width, height))
    print(f"{o.out}: {done.duration:.1f} s, {done.frames} frames, {done.speed:.0f} times real time")


if __name__ == "__main__":
    main()
