"""Motion in a black video (`motion_video`), to browsers: in the place of a face's pictures."""

from __future__ import annotations

from fractions import Fraction

from ..errors import BufferFull
from .motion import Motion
from .motion_video import UnitMaker
from .native import Fan, Outgoing


class MotionTrack(UnitMaker):
    """Black video for connections of the native sender, as `streams.Pictures` are of a face.

    Args:
        motion: of the face. fps: of its frames. sets: what is sent; none = what the face's sender has said.
    """

    def __init__(self, motion: Motion, fps: Fraction, sets: tuple[str, ...]) -> None:
        super().__init__(sets, fps)
        self._motion = motion
        self._fans: dict[str, Fan] = {}
        self._outs: set[Outgoing] = set()

    def __len__(self) -> int:
        return len(self._outs)

    def add(self, out: Outgoing) -> None:
        """Somebody watches, who takes H.264."""
        mode = 0 if out.codec == "h264 in single units" else 1
        fan = self._fans.setdefault(out.codec, Fan("h264", mode=mode))
        out.on_key = self.want_key
        self.begin()
        fan.add(out)
        self._outs.add(out)
        if len(self) == 1:
            self._motion.add(self)
        elif self._motion.refusal is not None:
            out.on_end()

    def remove(self, out: Outgoing) -> None:
        """Somebody does not any more. Safe to call twice."""
        out.quiet()
        for fan in self._fans.values():
            fan.remove(out)
        self._outs.discard(out)
        if not len(self):
            self._motion.remove(self)

    def refuse(self, why: str) -> None:
        """Their connections end, as nothing else comes on them that moves; who asks anew is told why."""
        for out in tuple(self._outs):
            out.on_end()

    def send(self, unit: bytes, sample: int, key: bool) -> bool:
        missed = False
        for fan in self._fans.values():
            try:
                fan.send(unit, sample, key)
            except BufferFull:
                fan.miss()
                missed = True
        return missed


class MotionTracks:
    """Those of one face, one for each selection of sets that somebody watches.

    Args:
        motion: of the face.
    """

    def __init__(self, motion: Motion) -> None:
        self._motion = motion
        self._tracks: dict[tuple[str, ...], MotionTrack] = {}

    def of(self, sets: tuple[str, ...], fps: Fraction) -> MotionTrack:
        """The one with these sets, made where there is none yet; no sets = those of who names none, whatever face
        comes. Raises NoMotion: there is none."""
        self._motion.check()
        if sets not in self._tracks:
            self._tracks[sets] = MotionTrack(self._motion, fps, sets)
        return self._tracks[sets]
