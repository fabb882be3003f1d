"""The agent's own voice in a user's microphone, where no echo canceller took it out. No I/O, no clock.

    what is played, 10 ms ──► power in bands ──┐ the last 1.6 s
                                               ▼
    what a user sends ──► power in bands ──► does it follow what was played? ──► from when on, how loud in each band
                                               │
                                               ▼
                          is there more in it than that? ── yes: as it is ── no: turned down to the user's own quiet

It works on powers in bands, not on waveforms, so that a jitter of some frames, a small loudspeaker, a room and a codec
do it no harm. The user's sound is never altered, only turned down while it holds nothing but echo.

What follows what was played is found by the correlation of the powers over time, band by band, for each delay. That
takes a while (WANTED frames with sound in them). Until then, once for each user, sound is held back that is softer than
the loudest echo there may be; who is louder is heard at once, and who is no echo from then on. The loudest echo is
AT_MOST at first, and then no louder than all that has been heard since something was played: silence under the agent's
voice shows that there is none.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._core import RATE, Resampler
from ..brains.base import HEARD_RATE

Floats = npt.NDArray[np.floating[Any]]

FRAME = 160
"""Samples in 10 ms at 16 kHz."""
MAX_DELAY = 80
"""Frames between a sound in the channel and its echo in what a user sends, at most."""
WANTED = 50
"""Frames with sound in them over which the correlation is taken,"""
FEWEST = 30
"""and the fewest from which it is believed where it is very clear."""
EVERY = 10
"""Frames with sound in them between two looks at it."""
ECHO, SURE_ECHO, CLEAR_ECHO, NO_ECHO = 0.56, 0.68, 0.85, 0.45
"""Correlation from which on it is an echo, if it is found twice; at once; with FEWEST frames; and under which it is
none."""
MISSES = 12
"""Looks in a row that find none, after which a user whose device sent one is taken to send none any more."""
PAUSE = 30
"""Frames without sound in what is played that are a pause in it, and not its end."""
AT_MOST = 10 ** (-14.0 / 10)
"""Power of the loudest echo of which nothing is known yet, to that of what is played."""
DOUBT = 2.0
"""Times the power of an echo that is possible by what has been heard so far: loudspeakers are not linear."""
MARGIN = 5.0
"""Times the power that is expected of an echo before it is something else."""
SHARE = 0.35
"""Part of the power that is something else from which on the user speaks."""
HANG = 20
"""Frames for which a user is heard after that."""
MAX_USERS = 32
"""Users that are followed; the one not heard for longest is forgotten."""

_KEPT = 256
_JITTER = 2
_TAIL = 0.75
_REMEMBERED = 0.99
_FFT = 512
_WINDOW = np.hanning(2 * FRAME).astype(np.float32)
_EDGES = np.unique(np.round(np.geomspace(200.0, 7000.0, 24) / HEARD_RATE * _FFT).astype(int))
_SUMS = np.zeros((_FFT // 2 + 1, len(_EDGES) - 1), np.float32)
for _band in range(len(_EDGES) - 1):
    _SUMS[_EDGES[_band] : _EDGES[_band + 1], _band] = 1.0
BANDS = _SUMS.shape[1]
_LEAST = float(np.dot(_WINDOW, _WINDOW)) * _FFT / 2 * 8.0**2 * 0.5
"""Power in all bands of a sound of 8 steps of 16 bits, under which nothing is heard."""


def _powers(samples: Floats) -> Floats:
    """The power in each band of 20 ms."""
    spectrum = np.fft.rfft(samples * _WINDOW, _FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.asarray(power @ _SUMS)


class _Bands:
    """The powers in bands of the newest frames of one stream."""

    def __init__(self) -> None:
        self.rows = np.zeros((_KEPT, BANDS), np.float32)
        self.shapes = np.zeros((_KEPT, BANDS), np.float32)
        """The same as they are compared: soft sounds count as well."""
        self.count = 0
        self._samples = np.zeros(2 * FRAME, np.float32)

    def add(self, pcm: bytes) -> Floats:
        """10 ms more; returns their powers, which are kept."""
        self._samples[:FRAME] = self._samples[FRAME:]
        self._samples[FRAME:] = np.frombuffer(pcm, np.int16)
        row: Floats = self.rows[self.count % _KEPT]
        shape = self.shapes[self.count % _KEPT]
        if self._samples.any():
            row[:] = _powers(self._samples)
            np.power(row, 0.15, out=shape)
        else:
            row[:] = shape[:] = 0.0
        self.count += 1
        return row


class EchoGuard:
    """Takes the agent's own voice out of what its users send."""

    def __init__(self) -> None:
        self._down = Resampler(RATE, HEARD_RATE)
        self._pcm = bytearray()
        self._played = _Bands()
        self._loud_at = -_KEPT
        self._users: dict[str, _Ear] = {}

    def played(self, pcm: bytes) -> None:
        """A block that went into the channel: PCM16 mono at 48 kHz."""
        self._pcm += self._down.process(pcm)
        while len(self._pcm) >= FRAME * 2:
            row = self._played.add(bytes(self._pcm[: FRAME * 2]))
            del self._pcm[: FRAME * 2]
            if float(row.sum()) > _LEAST:
                self._loud_at = self._played.count

    def hear(self, pcm: bytes, user: str) -> bytes:
        """10 ms of a user, PCM16 mono at 16 kHz: as it is, or turned down where it is the agent's own voice."""
        if self._played.count - self._loud_at > MAX_DELAY + _JITTER or len(pcm) != FRAME * 2:
            return pcm
        ear = self._users.pop(user) if user in self._users else _Ear()
        self._users[user] = ear  # the newest is last
        if len(self._users) > MAX_USERS:
            del self._users[next(iter(self._users))]
        return ear.hear(pcm, self._played, self._played.count - self._loud_at <= PAUSE)


class _Ear:
    """What is known of the echo that one user's device sends."""

    def __init__(self) -> None:
        self._heard = _Bands()
        self._floor = 0.0
        self._active: deque[tuple[int, int]] = deque(maxlen=WANTED)
        """Frames with sound in them: (this, what had been played by then)."""
        self._since = 0
        self._delay: int | None = None
        self._found: int | None = None
        """A delay that was found once, and waits to be found again."""
        self._coupling: Floats = np.full(BANDS, AT_MOST, np.float32)
        """Of each band, the power of the echo to that of what was played."""
        self._echoed: Floats = np.zeros(BANDS, np.float32)
        self._sent: Floats = np.zeros(BANDS, np.float32)
        """Powers that were heard as echo, and those that were played then: what `_coupling` is made of."""
        self._from: int | None = None
        """The frame of what is played from which on these are taken:"""
        self._had: Floats = np.zeros(BANDS, np.float32)
        self._due: Floats = np.zeros(BANDS, np.float32)
        """Powers that were heard, and those that were played and must have come back by now, if there is an echo."""
        self._tail: Floats = np.zeros(BANDS, np.float32)
        self._misses = 0
        """How often none has been found since there was one."""
        self._cleared = False
        """It sends no echo, as far as is known."""
        self._shares: deque[float] = deque([0.0] * 4, 4)
        self._until = -1
        """The frame until which the user is heard."""

    def hear(self, pcm: bytes, played: _Bands, speaking: bool) -> bytes:
        """10 ms; `speaking`: whether something is played now."""
        powers = self._heard.add(pcm)
        now = self._heard.count
        total = float(powers.sum())
        if self._delay is None and not self._cleared:
            self._bound(powers, played)
        self._floor = total if total < self._floor or now == 1 else min(total, max(self._floor * 1.012, 1.0))
        if total < max(4.0 * self._floor, _LEAST):
            self._shares.append(0.0)
            self._tail *= _TAIL
            return pcm
        if speaking:  # else what is heard can be no echo, and proves nothing
            self._look(now, played)
        if self._cleared:
            return pcm
        sent = self._sent_then(played)
        expected = self._tail = np.maximum(sent * self._coupling, self._tail * _TAIL)
        share = float(np.maximum(powers - MARGIN * expected, 0.0).sum()) / total
        self._shares.append(share)
        if sum(self._shares) >= SHARE * len(self._shares):
            self._until = now + HANG
        elif self._delay is not None and share < 0.1:
            self._learn(powers, sent)
        if now < self._until:
            return pcm
        gain = (max(self._floor, 1.0) / total) ** 0.5
        softer = np.frombuffer(pcm, np.int16) * min(gain, 1.0)
        return bytes(softer.astype(np.int16))

    def _sent_then(self, played: _Bands) -> Floats:
        """The power of what was played when what is heard now left, band by band."""
        if self._delay is None:
            back = np.arange(played.count - MAX_DELAY - 1, played.count)
        else:
            at = played.count - 1 - self._delay
            back = np.arange(at - _JITTER, min(at + _JITTER, played.count - 1) + 1)
        sent: Floats = played.rows[back % _KEPT].max(0)
        return sent

    def _learn(self, powers: Floats, sent: Floats) -> None:
        """The echo may be louder or softer than was thought."""
        self._echoed *= _REMEMBERED
        self._echoed += powers
        self._sent *= _REMEMBERED
        self._sent += sent
        self._coupling = self._echoed / np.maximum(self._sent, 1.0)

    # ---- is there an echo?

    def _bound(self, powers: Floats, played: _Bands) -> None:
        """An echo is no louder than all that was heard since that was played whose echo is over by now."""
        if self._from is None or not powers.any():  # a device that sends nothing shows nothing
            self._from = played.count
            self._had[:] = self._due[:] = 0.0
        self._had += powers
        left = played.count - 1 - MAX_DELAY
        if left >= self._from:
            self._due += played.rows[left % _KEPT]
            self._coupling = np.minimum(self._coupling, DOUBT * self._had / np.maximum(self._due, 1.0))

    def _look(self, now: int, played: _Bands) -> None:
        self._active.append((now - 1, played.count - 1))
        self._since += 1
        while self._active and now - self._active[0][0] > _KEPT - MAX_DELAY - 8:
            self._active.popleft()
        if self._since < EVERY or len(self._active) < FEWEST:
            return
        self._since = 0
        score, delay = self._best(played)
        whole = len(self._active) == WANTED
        if score >= (ECHO if whole else CLEAR_ECHO):
            sure = score >= SURE_ECHO or (self._found is not None and abs(self._found - delay) <= _JITTER)
            self._found = delay
            if sure and (self._delay is None or abs(self._delay - delay) > 1):
                self._lock(delay, played)
            self._misses = 0
        elif whole and score < NO_ECHO:
            self._misses += 1
            if self._delay is None or self._misses >= MISSES:
                self._delay = self._found = None
                self._cleared = True

    def _rows(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        pairs = np.array(self._active, np.intp)
        return pairs[:, 0], pairs[:, 1]

    def _best(self, played: _Bands) -> tuple[float, int]:
        """The greatest correlation of what was heard with what was played, and the delay in frames."""
        mine, theirs = self._rows()
        heard = self._heard.shapes[mine % _KEPT]
        heard -= heard.mean(0)
        then = played.shapes[(theirs - np.arange(MAX_DELAY)[:, None]) % _KEPT]
        then -= then.mean(1, keepdims=True)
        norms = np.einsum("dtb,dtb->d", then, then) * float((heard * heard).sum())
        scores = np.einsum("dtb,tb->d", then, heard) / (np.sqrt(norms) + 1e-6)
        delay = int(scores.argmax())
        return float(scores[delay]), delay

    def _lock(self, delay: int, played: _Bands) -> None:
        mine, theirs = self._rows()
        around = np.stack(
            [played.rows[np.minimum(theirs - delay + n, theirs) % _KEPT] for n in range(-_JITTER, _JITTER + 1)]
        )
        heard, sent = self._heard.rows[mine % _KEPT], around.max(0)
        self._echoed, self._sent = heard.sum(0), sent.sum(0)
        self._coupling = self._echoed / np.maximum(self._sent, 1.0)
        self._delay, self._cleared = delay, False
