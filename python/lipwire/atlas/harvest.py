"""What a face does: poses of the real motion, in each of its modes, and while it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..audio import espeak
from ..avatar.art import STATES, Art
from ..avatar.rig import mouth_points
from ..avatar.voice import Voice

MODES = (*STATES, "speaking")
"""Bit 1 << its index stands for a mode."""
ONE = 32767
"""A pose's axis or weight at full deflection."""
SPEECH = (
    "Good morning! How are you today? I am very happy that you have come to talk with me about your next journey. "
    "Five thousand people buy more peaches and plums in August. Ask me anything, at any time, and I will stop at once. "
    "The quick brown fox jumps over the lazy dog, while seven wizards judge the vexing puzzle of how a mouth moves. "
    "Yes. No, of course not. Would you choose a blue room with a view, or a cheap one beneath the road? Oh, I see. "
    "Usually we measure the pleasure of a vision by what is thought of it; both of them, though, are worth a smile."
)
"""Has every viseme, short words and long ones, questions and pauses."""


@dataclass(frozen=True, slots=True)
class Poses:
    """Poses in a row: int16 (n, AXES) and (n, VISEMES), q15 as in `lw_pose`."""

    axes: NDArray[np.int16]
    visemes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.axes)

    def __getitem__(self, which: Any) -> Poses:
        return Poses(self.axes[which], self.visemes[which])

    def draw(self, canvas: _core.Canvas, at: int) -> None:
        canvas.draw(self.axes[at] / ONE, self.visemes[at] / ONE)

    @classmethod
    def rest(cls) -> Poses:
        """The one at rest: upright, breathed out, eyes open and ahead, mouth shut."""
        axes, visemes = np.zeros((1, _core.AXES), np.int16), np.zeros((1, _core.VISEMES), np.int16)
        axes[0, LIDS], axes[0, TURN], visemes[0, 0] = round(_core.LIDS_REST * ONE), ONE // 2, ONE
        return cls(axes, visemes)

    @classmethod
    def joined(cls, parts: list[Poses]) -> Poses:
        return cls(np.concatenate([p.axes for p in parts]), np.concatenate([p.visemes for p in parts]))


HEAD_X, HEAD_Y, BREATH, BLINK, GAZE_X, GAZE_Y, BROW, JAW, ROLL = range(9)
LIDS, TURN = 12, 14
WALK = (HEAD_X, HEAD_Y, ROLL, TURN, BREATH)
"""The axes that a node sets."""


def speech(voice: Voice) -> tuple[bytes, int]:
    """What is said while a mouth is watched: (PCM16 mono, Hz).

    Raises:
        BadState: espeak-ng is not installed.
    """
    return espeak.synthesize(SPEECH, voice.for_espeak())


def watch(mode: str, fps: Fraction, seconds: float, seed: int, said: tuple[bytes, int] | None = None) -> Poses:
    """Poses of the motion at `fps` for so long, in one of MODES; while it speaks, at most as long as `said` is."""
    performer = _core.Performer(None, fps.as_integer_ratio(), seed=seed)
    if mode == "speaking":
        assert said is not None
        pcm, rate = said
        performer.write(pcm, rate)
        performer.end()
        seconds = min(seconds, len(pcm) / 2 / rate)
    else:
        performer.set(_core.MOTION_STATE, STATES.index(mode))
    axes: list[NDArray[np.float32]] = []
    visemes: list[NDArray[np.float32]] = []
    while len(axes) < int(seconds * fps):
        performer.tick()
        performer.read_pcm()
        while performer.read_event() is not None:
            pass
        while (frame := performer.read_frame()) is not None:
            axes.append(frame.axes)
            visemes.append(frame.visemes)
    return Poses(*(np.rint(np.array(rows) * ONE).astype(np.int16) for rows in (axes, visemes)))


def mouth_images(art: Art, visemes: NDArray[np.int16]) -> NDArray[np.int64]:
    """The mouth's image that the compositor shows for each row of viseme weights (n, VISEMES): `lw_avatar_mouth`."""
    bank, corners = (points.astype(np.int64) for points in mouth_points(art))
    weights = visemes.astype(np.int64)
    weights[:, 0] += np.maximum(ONE - weights.sum(1), 0)
    points = (weights @ corners) >> 15
    return np.array([int(np.argmin(((bank - point) ** 2).sum(1))) for point in points], np.int64)
