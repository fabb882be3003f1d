"""Continuous sound, as of a telephone or a microphone, cut into utterances.

A session speaks utterances: each begins, ends, and is told of with its own id. Sound that never ends has to be cut. An
utterance begins where sound stands out of the noise, a little before that so that no consonant is lost, and ends when
nothing has stood out for a while, or the sender has stopped sending. What is in between is left out: the face rests.

    gate = SpeechGate(16000, session.write, session.end, name="rtp")
    gate.process(pcm)                # 10 ms of PCM16 mono
    gate.process(pcm, quiet=True)    # nobody sent this: comfort noise, or the silence of discontinuous transmission

Time is counted in blocks of 10 ms; no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ..errors import InvalidArgument, LipwireError
from ..logs import sampled

logger = sampled("lipwire.speech_gate")

BLOCK_MS = 10
LEAST_DB = -54.0
"""dB of full scale (RMS of a block) that sound must have to be an utterance at all,"""
OVER_DB = 9.0
"""and by how much it must stand out of the noise to begin one,"""
STAY_DB = 5.0
"""and to go on with it."""
FALL, RISE_DB, RISE_SPEAKING_DB = 0.2, 0.05, 0.03
"""How fast the noise's level is taken to be lower (share of the difference, each block), and higher (dB a block, in
silence and in speech)."""
FLOOR_DB = -90.0
"""Below that there is no noise to speak of."""
ONSET = 3
"""Loud blocks of `ONSET_OF` that begin an utterance: a click is none."""
ONSET_OF = 4
LEAD = 5
"""Blocks before those that still belong to it: the breath before a word, and its soft consonants."""
HANGOVER_MS = 600
"""Silence that ends an utterance: longer than a pause within a sentence."""
STOPPED_MS = 200
"""The same where the sender has stopped sending."""


class SpeechGate:
    """Cuts one sender's sound into utterances.

    Args:
        rate: Hz of the sound.
        write: called as write(pcm, rate, event_id) with speech, in order; a LipwireError of it (no room, say) drops
            the rest of that utterance, and is counted.
        end: called as end(event_id) when an utterance is complete.
        name: event ids are `name`-1, `name`-2, ...
        closing: whether no new utterance may begin now; the one that is going on may end.
        guard_ms: for how long after an interrupt nothing begins an utterance.
        hangover_ms: silence that ends one.

    Raises:
        InvalidArgument: a rate that has no blocks of 10 ms.
    """

    def __init__(
        self,
        rate: int,
        write: Callable[[bytes, int, str], None],
        end: Callable[[str], None],
        *,
        name: str = "speech",
        closing: Callable[[], bool] = lambda: False,
        guard_ms: int = 0,
        hangover_ms: int = HANGOVER_MS,
    ) -> None:
        if rate % 100 or not 8000 <= rate <= 48000:
            raise InvalidArgument(f"rate must be 8000..48000 Hz, and a multiple of 100, got {rate}")
        self.rate = rate
        self.utterances = 0
        """That have begun."""
        self.refused = 0
        """Of which something could not be taken."""
        self._write, self._end, self._name, self._closing = write, end, name, closing
        self._guard, self._hangover = -(-guard_ms // BLOCK_MS), max(1, hangover_ms // BLOCK_MS)
        self._bytes = 2 * rate // 100
        self._recent: deque[bytes] = deque(maxlen=LEAD + ONSET_OF)
        """Blocks that may turn out to belong to an utterance."""
        self._loud: deque[bool] = deque(maxlen=ONSET_OF)
        self._floor: float | None = None
        self._silent = self._stopped = 0
        """Blocks in a row in which nothing stood out, and which nobody sent."""
        self._guarded = 0
        self._id: str | None = None
        self._dropping = False
        """The rest of this utterance is not taken."""

    @property
    def speaking(self) -> bool:
        """Whether an utterance goes on."""
        return self._id is not None

    def process(self, pcm: bytes, quiet: bool = False) -> None:
        """Takes 10 ms. `quiet`: nobody sent this; it is silence whatever is in it.

        Raises:
            InvalidArgument: it is not 10 ms long.
        """
        if len(pcm) != self._bytes:
            raise InvalidArgument(f"a block is {self._bytes} bytes (10 ms at {self.rate} Hz), not {len(pcm)}")
        over = FLOOR_DB if quiet else self._over(pcm)
        self._stopped = self._stopped + 1 if quiet else 0
        self._guarded = max(0, self._guarded - 1)
        if self._id is not None:
            self._go_on(pcm, over > STAY_DB)
            return
        self._recent.append(pcm)
        self._loud.append(over > OVER_DB)
        if sum(self._loud) >= ONSET and not self._guarded and not self._closing():
            self._begin()

    def interrupt(self) -> None:
        """What is being said is void, as somebody else has seen to already; what comes is new."""
        self._id = None
        self._guarded = self._guard
        self._forget()

    def close(self) -> None:
        """Nothing more comes. Safe to call twice."""
        self._finish()

    def _over(self, pcm: bytes) -> float:
        """By how many dB a block stands out of the noise; below 0 where it is too soft to matter."""
        x = np.frombuffer(pcm, np.int16).astype(np.float32)
        level = max(FLOOR_DB, 10 * float(np.log10(float(np.dot(x, x)) / len(x) + 1e-9)) - 90.3)
        if self._floor is None:
            self._floor = min(level, LEAST_DB)  # the first sound may be speech already
        elif level < self._floor:
            self._floor += (level - self._floor) * FALL
        else:
            self._floor = min(level, self._floor + (RISE_DB if self._id is None else RISE_SPEAKING_DB))
        return level - self._floor if level > LEAST_DB else FLOOR_DB

    def _begin(self) -> None:
        self.utterances += 1
        self._id = f"{self._name}-{self.utterances}"
        self._silent, self._dropping = 0, False
        lead = b"".join(self._recent)
        self._forget()
        self._say(lead)

    def _go_on(self, pcm: bytes, loud: bool) -> None:
        self._silent = 0 if loud else self._silent + 1
        self._say(pcm)
        if self._silent >= self._hangover or self._stopped >= STOPPED_MS // BLOCK_MS:
            self._finish()

    def _say(self, pcm: bytes) -> None:
        if self._dropping or self._id is None:
            return
        try:
            self._write(pcm, self.rate, self._id)
        except LipwireError as exc:
            self.refused += 1
            self._dropping = True
            logger.warning("%s: the rest of it is not taken: %s", self._id, exc)

    def _finish(self) -> None:
        event_id, self._id = self._id, None
        self._forget()
        if event_id is None:
            return
        try:
            self._end(event_id)
        except LipwireError as exc:  # the session has ended
            logger.info("%s: its end is not told: %s", event_id, exc)

    def _forget(self) -> None:
        self._recent.clear()
        self._loud.clear()
