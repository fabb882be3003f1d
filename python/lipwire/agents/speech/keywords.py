"""Voice commands: "Hey ... Stop" pauses an agent, "Hey ... Start" resumes it.

From the transcript where there is one (`commands.command_in`), and from the sound where there is none
(`KeywordSpotter`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import BadState
from ..http import ServiceError
from .commands import Command
from .sphinx.recognizer import Pool, Recognizer
from .sphinx.wire import Found, Look

logger = logging.getLogger("lipwire.agents")


class Spotter(Protocol):
    """Hears commands in sound."""

    def hear(self, pcm: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        """10 ms of PCM16 mono at 16 kHz. `on_command` is called on the event loop, later, with the `wanted` one, the
        only one that would change anything. Does not block."""

    async def close(self) -> None:
        """Ends what runs."""


# ------------------------------------------------------------------------------------------------------- from sound

FRAME_MS = 10
RATE = 16_000
SHORTEST_MS, LONGEST_MS = 450, 3_500
"""How long a command takes. What is longer is conversation, and is not looked at."""
PAUSE_MS = 400
"""Silence that ends one."""
PADDING_MS = 250
OVER_FLOOR_DB = 10.0
LEAST_DB = 30.0
"""Level below which nothing is a command, over one step of 16 bits."""
RISE_DB = 0.05
"""How much the noise floor rises with each frame that is louder than it."""
HEY_WITHIN_MS, COMMAND_WITHIN_MS = 600, 750
""""Hey" begins so soon, and the command ends so late."""
HEY = "1e-20"
THRESHOLDS: dict[Command, str] = {"start": "1e-30", "stop": "1e-17"}
"""Thresholds of pocketsphinx' keyword search: the lower, the more is found, and the more is mistaken
(docs/agents/runtime.md)."""
MAX_WAITING = 4
"""Pieces of speech that wait for the recognizer, all agents of the event loop together; more are not looked at."""
TIMEOUT = 30.0
"""Seconds for one, with those that wait before it, and the start of the process."""
_DICTIONARY = "hey HH EY\nstart S T AA R T\nstop S T AA P\n"


class Phrases:
    """Cuts sound into pieces between silences, of the length that a command may have. Time is counted in frames."""

    def __init__(self) -> None:
        self._before: deque[bytes] = deque(maxlen=PADDING_MS // FRAME_MS)
        self._piece: list[bytes] = []
        self._floor: float | None = None
        self._quiet = 0
        self._too_long = False

    def hear(self, pcm: bytes) -> bytes | None:
        """10 ms in; a piece that has just ended, or None."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        level = 10.0 * math.log10(float(np.dot(samples, samples)) / max(len(samples), 1) + 1.0)
        if self._floor is None or level < self._floor:
            self._floor = level
        else:
            self._floor += min(RISE_DB, level - self._floor)
        loud = level > max(self._floor + OVER_FLOOR_DB, LEAST_DB)
        if not self._piece:
            self._before.append(pcm)
            if loud:
                self._piece, self._quiet, self._too_long = list(self._before), 0, False
            return None
        self._quiet = 0 if loud else self._quiet + 1
        if len(self._piece) * FRAME_MS < LONGEST_MS + PADDING_MS + PAUSE_MS:
            self._piece.append(pcm)
        else:
            self._too_long = True
        if self._quiet * FRAME_MS < PAUSE_MS:
            return None
        piece, self._piece = self._piece, []
        self._before.clear()
        spoken = len(piece) * FRAME_MS - PADDING_MS - PAUSE_MS
        return b"".join(piece) if spoken >= SHORTEST_MS and not self._too_long else None


LEAD_FRAMES = 4
"""Before a command, that are looked at with it."""
_decoders: dict[str, Any] = {}
"""In the recognizer's process: a keyword search for each command, and a grammar of the two."""
_GRAMMAR = "#JSGF V1.0;\ngrammar commands;\npublic <command> = start | stop;\n"


def load() -> None:
    """In the recognizer's process, before the first `find`."""
    from pocketsphinx import Decoder

    with tempfile.TemporaryDirectory() as folder:
        words, keys, grammar = (Path(folder, name) for name in ("words", "keys", "grammar"))
        words.write_text(_DICTIONARY)
        grammar.write_text(_GRAMMAR)
        options = {"samprate": RATE, "lm": None, "dict": str(words), "loglevel": "FATAL"}
        for command, threshold in THRESHOLDS.items():
            keys.write_text(f"hey /{HEY}/\n{command} /{threshold}/\n")
            _decoders[command] = Decoder(kws=str(keys), **options)
        _decoders["either"] = Decoder(jsgf=str(grammar), **options)


def _decoded(decoder: Any, pcm: bytes) -> Any:
    decoder.start_utt()
    decoder.process_raw(pcm, False, True)
    decoder.end_utt()
    return decoder.hyp()


def find(pcm: bytes, wanted: Command) -> bool:
    """Whether a piece of speech is "hey ... `wanted`". Blocks for some 3 % of its length; needs pocketsphinx."""
    if not pcm:
        return False
    if not _decoders:
        load()
    decoder = _decoders[wanted]
    if _decoded(decoder, pcm) is None:
        return False
    # Frames of the decoder are 10 ms, too.
    found = [(part.word.strip(), part.start_frame, part.end_frame) for part in decoder.seg()]
    heys = [end for word, start, end in found if word == "hey" and start * FRAME_MS < PADDING_MS + HEY_WITHIN_MS]
    until = len(pcm) // (2 * RATE // 100) - (PAUSE_MS + COMMAND_WITHIN_MS) // FRAME_MS
    for word, start, end in found:
        if word == wanted and end > until and heys and start > heys[0]:
            # The search finds "stop" in many a "start", too: which of the two fits better?
            which = _decoded(_decoders["either"], pcm[max(0, start - LEAD_FRAMES) * 2 * RATE // 100 :])
            if which is not None and which.hypstr == wanted:
                return True
    return False


class KeywordSpotter:
    """Spots commands with pocketsphinx, offline, in a process that all agents of this event loop share."""

    def __init__(self) -> None:
        self.skipped = 0
        """Pieces that were not looked at: too many waited."""
        self._phrases = Phrases()
        self._pool: Pool | None = Pool.of("commands")
        self._look(b"", "stop", lambda command: None)  # starts the process where there is none

    @staticmethod
    def available() -> bool:
        """Whether pocketsphinx is installed."""
        return importlib.util.find_spec("pocketsphinx") is not None

    @classmethod
    async def open(cls) -> KeywordSpotter:
        """Raises BadState: pocketsphinx is not installed."""
        if not cls.available():
            raise BadState("voice commands need pocketsphinx: pip install 'lipwire[agents]'")
        return cls()

    def hear(self, pcm: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        piece = self._phrases.hear(pcm)
        if piece is None or self._pool is None:
            return
        if self._pool.jobs >= MAX_WAITING:
            self.skipped += 1
        else:
            self._look(piece, wanted, on_command)

    def _look(self, piece: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        assert self._pool is not None
        self._pool.spawn(self._looked(self._pool, piece, wanted, on_command))

    async def _looked(self, pool: Pool, piece: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        recognizer: Recognizer | None = None
        clean = False
        try:
            async with asyncio.timeout(TIMEOUT):
                recognizer = await pool.take()
                recognizer.send(Look(piece, wanted))
                answer = await recognizer.read()
            clean = isinstance(answer, Found)
            if isinstance(answer, Found) and answer.found and self._pool is not None:
                on_command(wanted)
        except (ServiceError, TimeoutError) as exc:
            logger.warning("the voice command recognizer failed: %s", exc or "no answer")
        finally:
            if recognizer is not None:
                pool.give(recognizer, clean=clean)

    async def close(self) -> None:
        """With the last one the process ends. Safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.leave()
