"""Motion as other programs read it: Rhubarb Lip Sync's files, Audio2Face's, and what Azure's speech SDK gives."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .mouths import mouth_cues
from .track import MotionTrack
from .wire import JsonNumbers

TICKS = 10_000_000
"""Of Azure's clock, a second: 100 ns each."""
AZURE_FPS = Fraction(60)
"""Of Azure's blend shapes."""
AZURE_HELD = 2
"""Frames that a viseme id stays, at least: 33 ms."""
AZURE_SHAPES = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel"),
    *("mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft"),
    *("browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft"),
    *("cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut", "headRoll", "leftEyeRoll", "rightEyeRoll"),
)
"""What the 55 numbers of a frame are, in Azure's order (its page "Get facial position with viseme")."""
PRESTON_BLAIR = dict(zip("ABCDEFGHX", ("MBP", "etc", "E", "AI", "O", "U", "FV", "L", "rest"), strict=True))
"""What OpenToonz calls Rhubarb's shapes."""


def rhubarb_tsv(track: MotionTrack) -> bytes:
    """A line for each shape: from when on it is drawn, a tab, its letter; at last the end, with a closed mouth."""
    cues = mouth_cues(track)
    lines = [f"{cue.start:.2f}\t{cue.shape}" for cue in cues]
    return _lines([*lines, f"{cues[-1].end:.2f}\tX"])


def rhubarb_xml(track: MotionTrack, speech: str) -> bytes:
    """`rhubarbResult`: the speech and its length, then a `mouthCue` for each shape."""
    cues = mouth_cues(track)
    shapes = [f'    <mouthCue start="{c.start:.2f}" end="{c.end:.2f}">{c.shape}</mouthCue>' for c in cues]
    return _lines(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            "<rhubarbResult>",
            "  <metadata>",
            f"    <soundFile>{html.escape(_printable(speech), quote=False)}</soundFile>",
            f"    <duration>{cues[-1].end:.2f}</duration>",
            "  </metadata>",
            "  <mouthCues>",
            *shapes,
            "  </mouthCues>",
            "</rhubarbResult>",
        ]
    )


def rhubarb_json(track: MotionTrack, speech: str) -> bytes:
    """The same in JSON."""
    cues = mouth_cues(track)
    shapes = [f'    {{ "start": {c.start:.2f}, "end": {c.end:.2f}, "value": "{c.shape}" }}' for c in cues]
    return _lines(
        [
            "{",
            '  "metadata": {',
            f'    "soundFile": {json.dumps(_printable(speech), ensure_ascii=False)},',
            f'    "duration": {cues[-1].end:.2f}',
            "  },",
            '  "mouthCues": [',
            ",\n".join(shapes),
            "  ]",
            "}",
        ]
    )


def moho_dat(track: MotionTrack, fps: Fraction, names: dict[str, str] | None = None) -> bytes:
    """Switch data of Moho: a line for each shape, with the number of its first frame, from 1 on, at `fps` frames a
    second. `names`: in place of the letters."""
    cues = mouth_cues(track)
    found: dict[int, str] = {}
    for cue in cues:
        found.setdefault(_frame(cue.start, fps), cue.shape)
    found[max(_frame(cues[-1].end, fps), max(found) + 1)] = "X"
    return _lines(["MohoSwitch1", *(f"{frame} {(names or {}).get(shape, shape)}" for frame, shape in found.items())])


def audio2face(track: MotionTrack, speech: str) -> bytes:
    """Weights of ARKit's shapes, a row each frame, as Audio2Face exports them. Raises InvalidArgument: frames are
    missing, and its rows have no times."""
    _steady(track, "Audio2Face")
    names = track.header.sets["arkit"]
    numbers = JsonNumbers((("arkit", 0, names),))
    return msgspec.json.encode(
        {
            "exportFps": float(track.header.fps),
            "trackPath": _printable(speech),
            "numPoses": len(names),
            "numFrames": len(track.samples),
            "facsNames": names,
            "weightMat": numbers.of(track.of("arkit")),
        }
    )


def azure(track: MotionTrack) -> bytes:
    """The viseme events of Azure's speech SDK in their order, as its JavaScript has them: the frames of an event are
    those from its viseme on to the next. Raises InvalidArgument: frames are missing, and these have no times."""
    _steady(track, "Azure")
    columns = {name: number for number, name in enumerate(track.header.names)}
    numbers = JsonNumbers(track.header.groups)
    rows = [columns[name] for name in AZURE_SHAPES]
    shapes = [[frame[column] for column in rows] for frame in numbers.of(track.values)]
    ids = _held(track.channel("viseme").astype(int), AZURE_HELD)
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)] if len(ids) else []
    events = []
    for begin, end in pairwise(edges):
        animation = {"FrameIndex": begin, "BlendShapes": shapes[begin:end]}
        events.append(
            {
                "audioOffset": round(int(track.samples[begin]) * TICKS / track.header.clock_rate),
                "visemeId": int(ids[begin]),
                "animation": msgspec.json.encode(animation).decode(),
            }
        )
    return msgspec.json.encode(events)


def _steady(track: MotionTrack, what: str) -> None:
    """Raises InvalidArgument unless each frame follows the one before at the track's rate."""
    step = track.header.clock_rate / track.header.fps
    gaps = np.flatnonzero(np.abs(np.diff(track.samples) - float(step)) > float(step) / 2)
    if len(gaps):
        at = track.seconds[gaps[0]]
        raise InvalidArgument(f"frames are missing behind {at:.2f} s, and {what}'s have no times of their own")


def _held(ids: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Gives what is shorter than `least` frames to what is before it; at the beginning, to what follows."""
    found = ids.copy()
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    runs = [(begin, end) for begin, end in pairwise(edges) if end - begin < least]
    for begin, end in runs:
        if begin:
            found[begin:end] = found[begin - 1]
    if runs and runs[0][0] == 0 and runs[0][1] < len(ids):
        found[: runs[0][1]] = found[runs[0][1]]
    return found


def _frame(seconds: float, fps: Fraction) -> int:
    # A cue at the very beginning of a frame is a float just below it at times.
    return 1 + int(seconds * fps + 1e-6)


def _printable(text: str) -> str:
    """Without what XML cannot have: control characters, and halves of surrogate pairs, as undecodable names have."""
    return re.sub("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _lines(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
