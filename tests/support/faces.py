"""What tests of faces share: the names of ARKit's expressions, as Apple's documentation has them."""

from __future__ import annotations

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
