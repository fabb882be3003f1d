"""Voice commands from sound, heard by whisper in the process of models, and by pocketsphinx where that is not there."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...errors import BadState, ModelFailed
from ...models.ears import ENGLISH
from ...models.host import Job, ModelHost
from ...models.wire import Answer, Finish, Heard, Listen, Sound16
from .commands import Command, command_said
from .keywords import MAX_WAITING, KeywordSpotter, Phrases, Spotter
from .offline_stt import SPHINX, what_hears

logger = logging.getLogger("lipwire.agents")

IN_A_ROW = 3
"""Pieces that whisper fails at, one after another, after which pocketsphinx looks for commands."""


async def open_spotter() -> Spotter:
    """What hears commands here: whisper, once it is loaded, or pocketsphinx. Raises BadState: nothing does."""
    hears, _ = what_hears("en")
    if hears == SPHINX:
        return await KeywordSpotter.open()
    host = ModelHost.of()
    try:
        await host.warm("ears", ENGLISH)
        return WhisperSpotter()
    except ModelFailed as exc:
        try:
            spotter = await KeywordSpotter.open()
        except BadState as neither:
            raise BadState(f"{exc}; {neither}") from exc
        _say(exc)
        return spotter
    finally:
        await host.leave()


def _say(why: ModelFailed) -> None:
    logger.warning("pocketsphinx looks for voice commands in place of whisper: %s", why)


class WhisperSpotter:
    """Has pieces of speech that are as long as a command heard by tiny.en, all agents of the event loop in one process;
    silence and conversation cost nothing. Where that fails again and again, pocketsphinx looks instead."""

    def __init__(self) -> None:
        self.skipped = 0
        """Pieces that were not looked at: too many waited."""
        self._phrases = Phrases()
        self._jobs: set[Job] = set()
        self._failures = 0
        """In a row."""
        self._instead: KeywordSpotter | None = None
        self._host: ModelHost | None = ModelHost.of()

    def hear(self, pcm: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        if self._instead is not None:
            self._instead.hear(pcm, wanted, on_command)
            return
        piece = self._phrases.hear(pcm)
        if piece is None or self._host is None:
            return
        if len(self._jobs) >= MAX_WAITING:
            self.skipped += 1
        else:
            self._look(piece, wanted, on_command)

    def _look(self, piece: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        def on_answer(answer: Answer) -> None:
            if isinstance(answer, Heard):
                self._failures = 0
                if command_said(answer.text) == wanted:
                    on_command(wanted)

        def on_end(failed: ModelFailed | None) -> None:
            self._jobs.discard(job)
            if failed is not None:
                logger.warning("the voice command recognizer failed: %s", failed)
                self._failed(failed)

        if self._host is None:
            raise BadState("the spotter is closed")
        job = self._host.job("ears", Listen("en", model=ENGLISH, partials=False), on_answer, on_end)
        self._jobs.add(job)
        job.send(Sound16(piece))
        job.send(Finish())

    def _failed(self, why: ModelFailed) -> None:
        self._failures += 1
        if self._failures >= IN_A_ROW and self._instead is None and KeywordSpotter.available():
            self._instead = KeywordSpotter()
            _say(why)

    async def close(self) -> None:
        """With the last user the process ends. Safe to call twice."""
        if self._instead is not None:
            await self._instead.close()
        host, self._host = self._host, None
        for job in self._jobs:
            job.drop()
        self._jobs.clear()
        if host is not None:
            await host.leave()
