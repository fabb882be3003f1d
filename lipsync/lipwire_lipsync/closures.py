"""Do the lips close in what clients are sent? The chain that runs live, down to ARKit's blendshapes, at clients' rates.

For each true run of PP of 30 ms or more:

- the visemes call it where they say PP anywhere within its bounds +-20 ms;
- the lips close where a frame within those bounds has them together and pressed: what parts them (jawOpen less
  mouthClose, mouthLowerDown, mouthUpperUp, mouthFunnel) is GAP at most, mouthPress at least PRESSED.

So `of_called` is what the mapping, the smoothing and the frame rate leave of what was heard. A frame counts at its own
moment, though a client shows it until the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import msgspec
import numpy as np

from lipwire import Frame, VisemeExtractor
from lipwire.session.offline import perform

from . import labels, metrics, sets

GAP = 0.05
PRESSED = 0.25
RATES = (25, 60)
_ROW = sets.RATE // 100
_PP = labels.VISEMES.index("PP")
_CLOCK = 48_000


class Closures(msgspec.Struct, frozen=True):
    """Of one set at one frame rate."""

    set: str
    fps: int
    labelled: int
    """True closures,"""
    called: int
    """of those, that the visemes call PP,"""
    closed: int
    """at which the lips close,"""
    closed_of_called: int
    """and both."""

    @property
    def of_called(self) -> float | None:
        """Share of the called ones at which the lips close."""
        return self.closed_of_called / self.called if self.called else None


def is_closed(frame: Frame) -> bool:
    """Whether the lips are together and pressed."""
    face = frame.blendshapes
    parted = face["jawOpen"] - face["mouthClose"] + face["mouthFunnel"]
    parted += max(face["mouthLowerDownLeft"], face["mouthLowerDownRight"])
    parted += max(face["mouthUpperUpLeft"], face["mouthUpperUpRight"])
    return parted <= GAP and min(face["mouthPressLeft"], face["mouthPressRight"]) >= PRESSED


def closed_rows(pcm: sets.Samples, fps: int) -> metrics.Rows:
    """The rows of 10 ms with a frame of closed lips. Motion is in time with the sound: there is no delay to find."""
    sound = perform(iter([pcm.tobytes()]), sets.RATE, None, Fraction(fps))
    frames = (item for item in sound if isinstance(item, Frame))
    return np.array([frame.sample * 100 // _CLOCK for frame in frames if is_closed(frame)], np.int64)


def _events(truth: metrics.Rows) -> Iterator[tuple[int, int]]:
    for start, end, value in zip(*metrics.runs(truth), strict=True):
        if value == _PP and end - start >= metrics.EVENT_LENGTH:
            yield max(0, int(start) - metrics.RECALL_REACH), int(end) + metrics.RECALL_REACH


def _said(pcm: sets.Samples, rows: int) -> metrics.Rows:
    extractor = VisemeExtractor()
    tail = np.zeros(round(extractor.lookahead * sets.RATE) + _ROW, np.int16)
    weights = np.asarray(extractor.process(np.concatenate([pcm, tail]).data))
    return np.asarray(weights[:rows].argmax(1))


def measure(labelled: sets.LabelledSet, fps: int, progress: Callable[[int], None] = lambda done: None) -> Closures:
    """`progress` is told of each utterance done."""
    counts = np.zeros(4, np.int64)
    for utterance in labelled.utterances:
        truth = utterance.visemes(labelled.about.phone_set)
        said = _said(utterance.pcm, len(truth)) == _PP
        shut = np.zeros(len(truth) + metrics.PADDING, bool)
        rows = closed_rows(utterance.pcm, fps)
        shut[rows[rows < len(shut)]] = True
        for start, end in _events(truth):
            called, closed = said[start:end].any(), shut[start:end].any()
            counts += np.array((1, called, closed, called and closed), np.int64)
        progress(1)
    return Closures(labelled.about.name, fps, *(int(count) for count in counts))
