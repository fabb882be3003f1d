"""One channel out of several, such that what is heard of them is heard of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUIET = 1e-5
"""Energy of a channel that has nothing to say, as a share of the loudest: -50 dB."""
OPPOSITE = -0.5
"""Correlation below which a channel is another one with its polarity reversed, so that their sum would cancel."""
EFFECTS = ("LFE", "LFE2")
SIDES = 0.5
"""Weight of what surrounds the listener."""


class ChannelSurvey:
    """Listens to channels, to say afterwards how they are mixed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names`: FFmpeg's, of the channels in order, say "FL"; empty where they are unknown."""
        self._names = names
        self._products = np.zeros((len(names), len(names)))
        self._last = np.zeros((len(names), 1), np.float32)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Takes float samples, (channels, n)."""
        # Of the differences: an offset that all have in common says nothing about their polarity.
        steps = np.diff(np.clip(samples, -8, 8), axis=1, prepend=self._last).astype(np.float64)
        self._last = samples[:, -1:]
        self._products += steps @ steps.T

    def weights(self) -> NDArray[np.float32]:
        """What each channel counts in the mix, (channels,); the sum of their sizes is 1. Channels without sound do not
        count; one that is the loudest with its polarity reversed is turned round."""
        energy = self._products.diagonal()
        weights = np.array([_weight(name) for name in self._names])
        if not (weights * energy).any():
            weights = np.ones(len(weights))  # effects alone, or silence
        loudest = int(np.argmax(weights * energy))
        heard = energy > QUIET * energy[loudest]
        if heard.any():
            weights *= heard
            norm = np.sqrt(np.where(heard, energy, 1.0) * energy[loudest])
            weights[self._products[loudest] / norm < OPPOSITE] *= -1
        share: NDArray[np.float32] = (weights / np.abs(weights).sum()).astype(np.float32)
        return share


def _weight(name: str) -> float:
    if name in EFFECTS:
        return 0.0
    return SIDES if name.startswith(("S", "B", "T", "W")) else 1.0
