"""Endpointing: when a user's turn begins and ends. No I/O, no clock: time is counted in frames of 10 ms."""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

from ..config import MAX_TURN_MS, TurnDetection
from .vad import FRAME_MS, LATE, Vad

GAP_MS = 200
"""Silence within which what is said is one stretch of voice: speech has gaps between its words and in them."""


class TurnBoundary(Struct, frozen=True):
    """The user's turn begins or ends with this frame. Frames are counted from 0 by the endpointer."""

    kind: Literal["started", "stopped"]
    frame: int
    """Started: the first voiced one. Stopped: the one after the last voiced one."""


class Endpointer:
    """Probabilities in, turns out.

    A turn starts when the mean of the last `sure` probabilities reaches `interrupt_threshold`; where a voice has to
    last for some time (`interrupt_duration_ms`), when it has, too. With `start_of_speech` "manual" it starts by `begin`
    only. It ends when for `plain_ms` none has reached `threshold`; where it is judged, by what it is: after `whole_ms`,
    `plain_ms` or `wait_ms`. Where the client ends it, by `commit` only.
    """

    def __init__(self, config: TurnDetection, sure: int = Vad.sure) -> None:
        self.config = config
        """May be replaced at any time."""
        self.whole: bool | None = None
        """Whether the running turn would be whole if it ended with the present pause; None = nobody knows. Forgotten
        when its user goes on."""
        self.agent_speaks = False
        """Then a voice has to last for `speaking_interrupt_duration_ms`."""
        self._sure = sure
        self.reset()

    def reset(self) -> None:
        """Nobody speaks; the count of frames goes on."""
        self.speaking = False
        self.whole = None
        self._last: deque[float] = deque([0.0] * self._sure, self._sure)
        self._voiced: deque[int] = deque(maxlen=self._sure)
        self._onset = self._until = 0
        self._convincing = False
        """Whether a stretch of voice goes on that has reached `interrupt_threshold`,"""
        self._heard_last = 0
        """and its last frame."""
        self.resumed_ms = 0
        """The pause after which its user has gone on with the last frame; 0 = with none."""
        self._unheard = False
        """A turn that was begun for its user, who has not spoken yet."""
        self._endless = False
        self._frames = getattr(self, "_frames", 0)

    @property
    def frames(self) -> int:
        """Frames heard so far."""
        return self._frames

    @property
    def silence_ms(self) -> int:
        """How long a running turn has been silent."""
        return (self._frames - self._until) * FRAME_MS if self.speaking and not self._unheard else 0

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
        self.resumed_ms = 0
        if not self.speaking:
            if self._endless and about + 1 - self._until < self.config.plain_ms // FRAME_MS:
                self._until = about + 1 if voiced else self._until
                return None
            self._endless = False
            if self.config.start_of_speech == "manual" or not voiced or not self._begins(about):
                return None
            self.speaking, self._until = True, about + 1
            return TurnBoundary("started", self._onset)
        if voiced:
            self.resumed_ms = 0 if self._unheard else (about - self._until) * FRAME_MS
            self._until, self._unheard = about + 1, False
            self.whole = None
        if not self.config.ends_by_itself:
            return None
        if self._too_long():
            end = self.commit()
            self._endless, self._until = True, about + 1
            return end
        return self.commit() if self.silence_ms >= self._wanted_ms() else None

    def _begins(self, frame: int) -> bool:
        """Whether a turn begins with this voiced frame."""
        config = self.config
        if (frame - self._heard_last) * FRAME_MS > GAP_MS:
            self._convincing = False
        self._heard_last = frame
        if not self._convincing and sum(self._last) / self._sure >= config.interrupt_threshold:
            self._convincing = True
            self._onset = next(at for at in self._voiced if at > frame - self._sure - LATE)
        least = config.speaking_interrupt_duration_ms if self.agent_speaks else config.interrupt_duration_ms
        return self._convincing and (frame + 1 - self._onset) * FRAME_MS >= (least or 0)

    def begin(self) -> TurnBoundary | None:
        """A turn begins now, because somebody says so; None: one runs. Its silence counts from the first voiced frame
        on."""
        if self.speaking:
            return None
        self.reset()
        self.speaking = self._unheard = True
        self._onset = self._until = self._frames
        return TurnBoundary("started", self._onset)

    def _wanted_ms(self) -> int:
        """The silence that ends the turn."""
        config = self.config
        if not config.judged or self.whole is None:
            return max(config.plain_ms, (LATE + 1) * FRAME_MS)  # while he speaks it is LATE frames
        return max(config.whole_ms if self.whole else config.wait_ms, (LATE + 1) * FRAME_MS)

    def _too_long(self) -> bool:
        return (self._frames - self._onset) * FRAME_MS >= MAX_TURN_MS

    def commit(self) -> TurnBoundary | None:
        """The running turn ends now."""
        if not self.speaking:
            return None
        end = self._until
        self.reset()
        return TurnBoundary("stopped", end)
