"""What is said in an agent's channel as WebVTT, beside the film of it: a cue a sentence, with the name of who says it.

Cues are written as they are known, so that they are there whatever ends the process, and put in order at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from msgspec import structs

from ..pools import pool
from ..session.subtitles import Cue, cues_between, cues_of_words, write_cues
from .conversation import Caption

logger = logging.getLogger("lipwire.agents")

CLOSE = 5.0
"""Seconds that the end may take."""

_writing = pool(1, "lipwire-captions")
"""A disk that hangs holds up no event loop."""


def cues_of(caption: Caption) -> list[Cue]:
    """Its cues, in seconds of the channel's clock."""
    start, end = caption.start_ms / 1000, caption.end_ms / 1000
    words, at = [], 0
    for word in caption.words:
        found = caption.text.find(word.text, at)
        if found >= 0:
            words.append((start + word.start_ms / 1000, found))
            at = found + len(word.text)
    cues = cues_of_words(caption.text, words, end) if words else cues_between(caption.text, start, end)
    return [structs.replace(cue, end=max(cue.start, cue.end), voice=caption.who) for cue in cues]


class Captions:
    """The cues of one film.

    Args:
        path: a file that is not there yet.
        zero: says, in seconds of the channel's clock, where the film begins.
    """

    def __init__(self, path: Path, zero: Callable[[], float]) -> None:
        self.path = path
        self._zero = zero
        self._cues: list[Cue] = []
        self._failed = False

    def add(self, caption: Caption) -> None:
        """A text that has been said. One from before the film is left out."""
        zero = self._zero()
        cues = [
            structs.replace(cue, start=max(0.0, cue.start - zero), end=cue.end - zero)
            for cue in cues_of(caption)
            if cue.end > zero
        ]
        if cues:
            begins = not self._cues
            self._cues += cues
            _writing.submit(self._write, partial(self._append, cues, begins))

    async def close(self) -> None:
        """Puts all in the order in which it was said, as the format wants it."""
        if not self._cues:
            return
        cues = sorted(self._cues, key=lambda cue: (cue.start, cue.end))
        done = _writing.submit(self._write, partial(self._replace, cues))
        await asyncio.wait({asyncio.wrap_future(done)}, timeout=CLOSE)

    def _write(self, write: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            write()
        except OSError as exc:
            self._failed = True
            logger.warning("the transcript %s ended: %s; its agent goes on", self.path.name, exc.strerror)

    def _append(self, cues: Iterable[Cue], begins: bool) -> None:
        text = write_cues(cues, ".vtt")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if begins else 0)
        with open(os.open(self.path, flags, 0o600), "wb") as file:
            file.write(text if begins else text.removeprefix(b"WEBVTT\n"))

    def _replace(self, cues: Iterable[Cue]) -> None:
        part = self.path.with_name(f".{self.path.name}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(write_cues(cues, ".vtt"))
        part.replace(self.path)
