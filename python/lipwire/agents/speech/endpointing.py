"""Endpointing: when a user's turn begins and ends. No I/O, no clock: time is counted in frames of 10 ms."""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

from ..config import TurnDetection
from .vad import FRAME_MS, LATE, Vad

WHOLE_MS = 200
"""Silence that ends a turn which is whole."""
MAX_TURN_MS = 60_000
"""A turn that has not ended by then is ended: what is kept of one is bounded, and a crowd cannot hold the floor. The
next begins after a pause."""


class TurnBoundary(Struct, frozen=True):
    """The user's turn begins or ends with this frame. Frames are counted from 0 by the endpointer."""

    kind: Literal["started", "stopped"]
    frame: int
    """Started: the first voiced one. Stopped: the one after the last voiced one."""


class Endpointer:
    """Probabilities in, turns out.

    A turn starts when the mean of the last `sure` probabilities reaches `interrupt_threshold`, and ends when for
    `silence_duration_ms` none has reached `threshold`; where that is not set, by what it is: after WHOLE_MS, half a
    second or `max_wait_ms`. With detection off it ends by `commit` only.
    """

    def __init__(self, config: TurnDetection, sure: int = Vad.sure) -> None:
        self.config = config
        """May be replaced at any time."""
        self.whole: bool | None = None
        """Whether the running turn would be whole if it ended with the present pause; None = nobody knows. Forgotten
        when its user goes on."""
        self._sure = sure
        self.reset()

    def reset(self) -> None:
        """Nobody speaks; the count of frames goes on."""
        self.speaking = False
        self.whole = None
        self._last: deque[float] = deque([0.0] * self._sure, self._sure)
        self._voiced: deque[int] = deque(maxlen=self._sure)
        self._onset = self._until = 0
        self._endless = False
        self._frames = getattr(self, "_frames", 0)

    @property
    def frames(self) -> int:
        """Frames heard so far."""
        return self._frames

    @property
    def silence_ms(self) -> int:
        """How long a running turn has been silent."""
        return (self._frames - self._until) * FRAME_MS if self.speaking else 0

    @property
    def voiced_until(self) -> int:
        """The frame after the last voiced one of the running turn."""
        return self._until

    def process(self, probability: float) -> TurnBoundary | None:
        """The next probability of `Vad.process`; what it made of the turn."""
        self._frames += 1
        about = max(self._frames - 1 - LATE, 0)
        self._last.append(probability)
        voiced = probability >= self.config.threshold and probability > 0.0
        if voiced:
            self._voiced.append(about)
        if not self.speaking:
            if self._endless and about + 1 - self._until < self.config.plain_ms // FRAME_MS:
                self._until = about + 1 if voiced else self._until
                return None
            self._endless = False
            if not voiced or sum(self._last) / self._sure < self.config.interrupt_threshold:
                return None
            self.speaking, self._until = True, about + 1
            self._onset = next(frame for frame in self._voiced if frame > about - self._sure - LATE)
            return TurnBoundary("started", self._onset)
        if voiced:
            self._until = about + 1
            self.whole = None
        if not self.config.enabled:
            return None
        if self._too_long():
            end = self.commit()
            self._endless, self._until = True, about + 1
            return end
        return self.commit() if self.silence_ms >= self._wanted_ms() else None

    def _wanted_ms(self) -> int:
        """The silence that ends the turn."""
        config = self.config
        if config.silence_duration_ms is not None or self.whole is None:
            return max(config.plain_ms, (LATE + 1) * FRAME_MS)  # while he speaks it is LATE frames
        return WHOLE_MS if self.whole else config.longest_ms

    def _too_long(self) -> bool:
        return (self._frames - self._onset) * FRAME_MS >= MAX_TURN_MS

    def commit(self) -> TurnBoundary | None:
        """The running turn ends now."""
        if not self.speaking:
            return None
        end = self._until
        self.reset()
        return TurnBoundary("stopped", end)
