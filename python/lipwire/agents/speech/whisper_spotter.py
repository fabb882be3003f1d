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


async def open_spotter() -> Spotter:
    """What hears commands on this machine. Raises BadState: nothing does."""
    hears, _ = what_hears("en")
    return await KeywordSpotter.open() if hears == SPHINX else WhisperSpotter()


class WhisperSpotter:
    """Has pieces of speech that are as long as a command heard by tiny.en, all agents of the event loop in one process;
    silence and conversation cost nothing."""

    def __init__(self) -> None:
        self.skipped = 0
        """Pieces that were not looked at: too many waited."""
        self._phrases = Phrases()
        self._jobs: set[Job] = set()
        self._host: ModelHost | None = ModelHost.of()
        self._look(b"", "stop", lambda command: None)  # has the model loaded

    def hear(self, pcm: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        piece = self._phrases.hear(pcm)
        if piece is None or self._host is None:
            return
        if len(self._jobs) >= MAX_WAITING:
            self.skipped += 1
        else:
            self._look(piece, wanted, on_command)

    def _look(self, piece: bytes, wanted: Command, on_command: Callable[[Command], None]) -> None:
        def on_answer(answer: Answer) -> None:
            if isinstance(answer, Heard) and command_said(answer.text) == wanted:
                on_command(wanted)

        def on_end(failed: ModelFailed | None) -> None:
            self._jobs.discard(job)
            if failed is not None:
                logger.warning("the voice command recognizer failed: %s", failed)

        if self._host is None:
            raise BadState("the spotter is closed")
        job = self._host.job("ears", Listen("en", model=ENGLISH, partials=False), on_answer, on_end)
        self._jobs.add(job)
        job.send(Sound16(piece))
        job.send(Finish())

    async def close(self) -> None:
        """With the last user the process ends. Safe to call twice."""
        host, self._host = self._host, None
        for job in self._jobs:
            job.drop()
        self._jobs.clear()
        if host is not None:
            await host.leave()
