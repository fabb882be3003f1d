"""Silero VAD, a small network that tells how probable it is that somebody speaks in 32 ms of sound.

    silero = Silero.shared()
    question = silero.ask(chunk, silero.rested)  # chunk: float32[CONTEXT + CHUNK]
    question.answer()                            # 0..1, and question.state for the stream's next chunk

Chunks of all streams of the process that have come since the last answer was wanted are one batch. A batch of 16 takes
0.5 ms, one alone 0.07 ms. (Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", 2024.)
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..find import find
from ..onnx import load

RATE = 16_000
"""Hz."""
CHUNK = 512
"""Samples that one probability is of."""
CONTEXT = 64
"""Samples before them that the network sees as well."""
MOST = 64
"""Chunks in a batch."""

Floats = NDArray[np.float32]


class Question:
    """A chunk that waits for its probability."""

    def __init__(self, silero: Silero, chunk: Floats, state: Floats) -> None:
        self.chunk = chunk
        self.state = state
        """The stream's before this chunk; once there is an answer, after it."""
        self.probability: float | None = None
        self._silero = silero

    def answer(self) -> float:
        """How probable speech is in it: 0..1. Runs it, and all that waits, unless that has been done."""
        if self.probability is None:
            self._silero.run()
        assert self.probability is not None
        return self.probability


class Silero:
    """The network. Safe to use from several threads.

    Raises:
        ModelFailed: it cannot be loaded.
    """

    def __init__(self, file: Path) -> None:
        self._session = load(file, str(file))
        self._rate = np.array(RATE, np.int64)
        self._waiting: list[Question] = []
        self._lock = threading.Lock()
        self.rested: Floats = np.zeros((2, 128), np.float32)
        """The state of a stream that has been silent for a while."""
        for _ in range(RATE // CHUNK):
            self.rested = self.probabilities(np.zeros((1, CONTEXT + CHUNK), np.float32), self.rested[:, None])[1][:, 0]

    @classmethod
    def shared(cls) -> Silero:
        """The process's, loaded by the first who wants it. Raises ModelFailed: it is not there; each time."""
        return _shared()

    def probabilities(self, chunks: Floats, states: Floats) -> tuple[Floats, Floats]:
        """A batch: [n, CONTEXT + CHUNK] samples in -1..1 and [2, n, 128] states, to [n] probabilities and the states
        that follow."""
        found, after = self._session.run(None, {"input": chunks, "state": states, "sr": self._rate})
        return found[:, 0], after

    def ask(self, chunk: Floats, state: Floats) -> Question:
        """Takes a chunk with its context, and what the stream's state was before it."""
        question = Question(self, chunk, state)
        with self._lock:
            self._waiting.append(question)
        return question

    def run(self) -> None:
        """Answers all that waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for first in range(0, len(waiting), MOST):
                batch = waiting[first : first + MOST]
                chunks = np.stack([question.chunk for question in batch])
                found, after = self.probabilities(chunks, np.stack([question.state for question in batch], 1))
                for n, question in enumerate(batch):
                    question.probability, question.state = float(found[n]), after[:, n]


@cache
def _shared() -> Silero:
    return Silero(find("silero-vad"))
