"""What is said in an agent's channel as WebVTT, beside the film of it: a cue a sentence, with the name of who says it.

Cues are written as they are known, so that they are there whatever ends the process, and put in order at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import structs

from .._core import RATE
from ..pools import pool
from ..publish.live_film import LiveFilm
from ..session.subtitles import Cue, cues_between, cues_of_words, write_cues
from .actions import Caption

logger = logging.getLogger("lipwire.agents")

CLOSE = 5.0
"""Seconds that the end may take."""
MOST = 8 << 20
"""Bytes of a transcript, which is kept in memory until its end, when it is put in order: some hundred hours of talk."""

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
    """The cues of one film, in a file beside it that is not there yet. They end with the film, count as part of it
    towards its limits, and are not kept where nothing of it is."""

    def __init__(self, film: LiveFilm) -> None:
        self.path = film.path.with_suffix(".vtt")
        self._film = film
        self._cues: list[Cue] = []
        self._ended = self._failed = False
        self._size = 0

    def add(self, caption: Caption) -> None:
        """A text that has been said. One from before the film is left out, and so is one from when it has ended."""
        self.put(cues_of(caption))

    def put(self, cues: Iterable[Cue]) -> None:
        """The same, as cues, in seconds of the channel's clock."""
        if self._ended or self._film.state not in ("new", "recording"):
            return
        zero = self._film.zero / RATE
        cues = [
            structs.replace(cue, start=max(0.0, cue.start - zero), end=cue.end - zero) for cue in cues if cue.end > zero
        ]
        if not cues:
            return
        text = write_cues(cues, ".vtt")
        self._size += len(text)
        if self._size > MOST or not self._film.charge(len(text)):
            self._end("it has reached its limit")
            return
        begins = not self._cues
        self._cues += cues
        _writing.submit(self._write, partial(self._append, text, begins))

    async def close(self) -> None:
        """Puts all in the order in which it was said, as the format wants it."""
        if not self._cues:
            return
        if self._film.empty:
            await self._wait(partial(self.path.unlink, missing_ok=True))
            return
        cues = sorted(self._cues, key=lambda cue: (cue.start, cue.end))
        await self._wait(partial(self._replace, cues))

    async def _wait(self, write: Callable[[], None]) -> None:
        done = _writing.submit(self._write, write)
        await asyncio.wait({asyncio.wrap_future(done)}, timeout=CLOSE)

    def _write(self, write: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            write()
        except OSError as exc:
            self._failed = True  # and what is there stays
            self._end(exc.strerror)

    def _end(self, why: str | None) -> None:
        self._ended = True
        logger.warning("the transcript %s ended: %s; what is filmed goes on", self.path.name, why)

    def _append(self, text: bytes, begins: bool) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if begins else 0)
        with open(os.open(self.path, flags, 0o600), "wb") as file:
            file.write(text if begins else text.removeprefix(b"WEBVTT\n"))

    def _replace(self, cues: Iterable[Cue]) -> None:
        part = self.path.with_name(f".{self.path.name}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(write_cues(cues, ".vtt"))
        part.replace(self.path)
