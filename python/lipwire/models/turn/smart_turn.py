"""Smart Turn, a network that tells from the sound of a turn whether it is over: a whisper encoder with another head.

It hears how a sentence ends, its melody more than its words. It takes the last 8 s, at 16 kHz, with some silence behind
them or none; what is shorter is padded in front.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..ears.mel import log_mel
from ..onnx import load

RATE = 16_000
"""Hz."""
SECONDS = 8
"""Of sound that it hears, from the end."""
_LEAST = 1e-7  # of the variance of what is scaled to 1


class SmartTurn:
    """The network. Raises ModelFailed: it cannot be loaded."""

    def __init__(self, file: Path) -> None:
        self._session = load(file, str(file))

    def probability(self, pcm: bytes) -> float:
        """That a turn is over: 0..1. `pcm`: its sound up to now, PCM16 mono at 16 kHz."""
        size = RATE * SECONDS
        heard = np.frombuffer(pcm, np.int16)[-size:].astype(np.float32)
        sound = np.zeros(size, np.float32)
        sound[size - len(heard) :] = heard / 32768
        sound -= sound.mean()
        sound /= np.sqrt(sound.var() + _LEAST)
        (found,) = self._session.run(None, {"input_features": log_mel(sound)[None]})
        return float(found[0, 0])
