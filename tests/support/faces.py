"""What tests of faces share: the names of ARKit's expressions, as Apple documents them, and motion of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipwire.motion.track import MotionHeader, MotionTrack

PAIRS = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    *(
        "eyeSquint",
        "eyeWide",
        "mouthDimple",
        "mouthFrown",
        "mouthLowerDown",
        "mouthPress",
        "mouthSmile",
        "mouthStretch",
    ),
    *("mouthUpperUp", "noseSneer"),
)
SINGLE = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel"),
    *(
        "mouthLeft",
        "mouthPucker",
        "mouthRight",
        "mouthRollLower",
        "mouthRollUpper",
        "mouthShrugLower",
        "mouthShrugUpper",
    ),
    "tongueOut",
)
ARKIT = (*(f"{name}{side}" for name in PAIRS for side in ("Left", "Right")), *SINGLE)
SPELLINGS = (
    *(("jawOpen", "JawOpen"), ("jawOpen", "jaw_open"), ("jawOpen", "blendShape1.jawOpen"), ("jawOpen", "Jaw Open")),
    *(("eyeBlinkLeft", "eyeBlink_L"), ("eyeBlinkRight", "eyeBlinkR"), ("eyeBlinkLeft", "Face.M_F_Head.eyeBlink-l")),
    *(("mouthSmileRight", "mouth_smile_right"), ("jawRight", "jawRight"), ("mouthLeft", "Mouth_Left")),
)
"""(ARKit's name, how a program spells it)"""

HEAD = ("headPitch", "headYaw", "headRoll", "leftEyeRoll", "rightEyeRoll")


def face_track(
    frames: int = 4, *, head: bool = True, samples: list[int] | None = None, **channels: list[float]
) -> MotionTrack:
    """Of the sets arkit and head; a channel that is not named is 0."""
    names = (*sorted(ARKIT), *(HEAD if head else ()))
    values = np.zeros((frames, len(names)), np.float32)
    for name, column in channels.items():
        values[:, names.index(name)] = column
    groups = (("arkit", 0, tuple(sorted(ARKIT))), *((("head", 3, HEAD),) if head else ()))
    return MotionTrack(
        MotionHeader(groups=groups, fps=Fraction(25)),
        np.array(samples or range(0, frames * 1920, 1920), np.int64),
        values,
        np.zeros(frames, np.bool_),
        np.zeros(frames, np.int64),
    )
