"""One channel out of several, such that what is heard of them is heard of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUIET = 1e-5
"""Energy of a channel that has nothing to say, as a share of the loudest: -50 dB."""
OPPOSITE = -0.5
"""Correlation below which a channel is another one with its polarity reversed, so that their sum would cancel."""
EFFECTS = ("LFE", "LFE2")
SIDES = 0.5
"""Weight of what surrounds the listener."""
AUDIBLE = 1e-3
"""Level from which a sample is sound, to `LiveMix`: -60 dBFS."""
LISTEN, LONGEST_LISTEN = 0.1, 0.5
"""Seconds of sound that it hears before it says how channels are mixed, and seconds that pass meanwhile at most."""


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


class LiveMix:
    """Channels that come in pieces, to the mean of them; those that are the loudest one with its polarity reversed are
    turned round.

    One channel, and silence at the start, come out at once. Of several channels the first `LISTEN` seconds with sound
    are held back; what they show holds for the rest.
    """

    def __init__(self, channels: int, rate: int) -> None:
        """`rate` in Hz."""
        self.channels, self._rate = channels, rate
        self._shares: NDArray[np.float64] | None = np.ones(1) if channels == 1 else None
        self._survey = ChannelSurvey(("",) * channels)
        self._held: list[NDArray[np.float64]] = []
        self._heard = self._waits = 0

    def take(self, samples: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """More of them, (channels, n), full scale 1.0, finite. What is ready, (m,)."""
        if self._shares is not None:
            mixed: NDArray[np.float64] = self._shares @ samples
            return mixed
        loud = np.abs(samples).max(axis=0, initial=0.0) >= AUDIBLE
        quiet = 0 if self._held else int(loud.argmax()) if loud.any() else len(loud)
        ready: NDArray[np.float64] = samples[:, :quiet].mean(axis=0, dtype=np.float64)
        rest = samples[:, quiet:].astype(np.float64)
        if rest.shape[1]:
            self._held.append(rest)
            self._heard += int(np.count_nonzero(loud))
            self._waits += rest.shape[1]
        if self._heard < LISTEN * self._rate and self._waits < LONGEST_LISTEN * self._rate:
            return ready
        return np.concatenate([ready, self.end()])

    def end(self) -> NDArray[np.float64]:
        """What is held back, (m,)."""
        if not self._held:
            return np.zeros(0)
        held = np.concatenate(self._held, axis=1)
        self._held.clear()
        self._survey.add(held.astype(np.float32))
        # A channel that has been silent until now may speak later: only the signs are taken.
        shares = self._shares = np.where(self._survey.weights() < 0, -1.0, 1.0) / self.channels
        mixed: NDArray[np.float64] = shares @ held
        return mixed
