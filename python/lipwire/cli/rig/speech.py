"""What callers say."""

from __future__ import annotations

import random

from ...audio import espeak
from ...audio.resample import resample
from ...errors import BadState
from ..density.measure import TEXT

RATE = 24_000
"""Hz."""


class Script:
    """A text, spoken, to take pieces from.

    Raises:
        BadState: there is no voice.
    """

    def __init__(self) -> None:
        if not espeak.available():
            raise BadState("the speech is espeak-ng's: pip install 'lipwire[demo]'")
        self.pcm = resample(*espeak.synthesize(TEXT), RATE)
        """All of it, PCM16."""

    def piece(self, seconds: float, chance: random.Random) -> bytes:
        """So much of it, from anywhere."""
        size = min(int(seconds * RATE) * 2, len(self.pcm))
        at = chance.randrange(0, len(self.pcm) - size + 2, 2)
        return bytes(self.pcm[at : at + size])
