"""Speech to text on this machine, which needs no account: whisper, and pocketsphinx where that is not there."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import BadState, InvalidArgument, LipwireError, ModelFailed
from ...models.ears import LANGUAGES, default_model, language_of
from ...models.find import check_hearing, how, lacks, there
from ...models.table import MODELS
from ...protocol.agent_bodies import InUse
from ..in_use import instead
from .sphinx.stt import SphinxStt
from .stt import Hearing, Stt, Transcript
from .whisper_stt import NotHeard, WhisperStt

logger = logging.getLogger("lipwire.agents")

SPHINX = "pocketsphinx"
IN_A_ROW = 3
"""Utterances that whisper fails at, one after another, after which it is not asked again."""


def what_hears(language: str, model: str = "") -> tuple[str, str]:
    """What hears a language (BCP 47) on this machine, and why the default does not; "" where it does.

    Args:
        model: what is asked for by name: a model of the table, or a folder. "" = the default.

    Raises:
        InvalidArgument: nothing here knows the language, or there is no such model. BadState: nothing is installed.
    """
    if model:
        check_hearing(model)
        if model in MODELS and (why := _lacking(model)):
            raise BadState(why)
        return model, ""
    if language_of(language) not in LANGUAGES:
        raise InvalidArgument(
            f"asr.language: whisper does not know the language {language!r}, but {', '.join(sorted(LANGUAGES))}"
        )
    default = default_model(language)
    why = _lacking(default)
    if not why:
        return default, ""
    if language_of(language) == "en" and importlib.util.find_spec(SPHINX) is not None:
        return SPHINX, why
    raise BadState(f"nothing hears {language} on this machine: {why}; or set stt_url")


def told(language: str, model: str = "") -> str:
    """What hears a language on this machine, and why the default does not, for people. As `what_hears`."""
    hears, why = what_hears(language, model)
    return f"{hears}, because {why}" if why else hears


def _lacking(model: str) -> str:
    """What a model of the table lacks, and what to do; "" = nothing."""
    if missing := lacks(MODELS[model]):
        return f"{model} needs {', '.join(missing)}. To get it: pip install 'lipwire[offline]'"
    return "" if there(MODELS[model]) else f"{model} is not here. {how(MODELS[model])}"


class OfflineStt:
    """What hears on this machine. What nobody has asked for by name falls back: to pocketsphinx, for English, where
    whisper is not there, is damaged, or fails again and again; that is logged, and `fallen` says why. Until then
    pocketsphinx hears the utterances that whisper failed at.

    Args:
        language, model: as of `what_hears`.
        expected: words that may be said: names, say. Pocketsphinx cannot be told.

    Raises:
        LipwireError: as `what_hears`.
    """

    def __init__(self, language: str, model: str = "", expected: Sequence[str] = ()) -> None:
        self._language = language
        self.hears, self.fallen = what_hears(language, model)
        """What hears, and why not the default."""
        self.on_fall: Callable[[InUse], None] = lambda used: None
        """Called when something else hears from now on."""
        self._may_fall = not model and language_of(language) == "en"
        whispers = self.hears != SPHINX
        self._stt: Stt = WhisperStt(language, self.hears, expected) if whispers else SphinxStt(language)
        self._spare: SphinxStt | None = None
        self._failures = 0
        """In a row."""
        self._changing = asyncio.Lock()
        if self.fallen:
            _say(self.hears, self.fallen)

    @property
    def in_use(self) -> InUse:
        """What hears, and in whose place."""
        return instead(Path(self.hears).name, default_model(self._language) if self.fallen else "", self.fallen)

    async def open(self) -> None:
        try:
            await self._stt.open()
        except ModelFailed as exc:
            async with self._changing:
                if (spare := await self._opened()) is None:
                    raise
                await self._fall_back(spare, str(exc))

    async def close(self) -> None:
        async with self._changing:
            spare, self._spare, self._may_fall = self._spare, None, False
            if spare is not None and spare is not self._stt:
                await spare.close()
            await self._stt.close()

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        return _Retried(self, self._stt, on_partial)

    def heard(self) -> None:
        """An utterance was heard."""
        self._failures = 0

    async def again(self, failed: NotHeard) -> Transcript:
        """An utterance that whisper failed at. Raises ServiceError."""
        async with self._changing:
            self._failures += 1
            if (spare := await self._opened()) is None:
                raise failed
            if self._failures >= IN_A_ROW and self._stt is not spare:
                await self._fall_back(spare, str(failed))
        hearing = spare.hear(lambda text: None)
        hearing.feed(failed.pcm)
        return await hearing.finish()

    async def _opened(self) -> SphinxStt | None:
        """What hears in whisper's place; None where nothing may, or can."""
        if self._spare is None and self._may_fall:
            spare: SphinxStt | None = None
            try:
                spare = SphinxStt(self._language)
                await spare.open()
            except LipwireError:
                if spare is not None:
                    await spare.close()
                return None
            self._spare = spare
        return self._spare

    async def _fall_back(self, spare: SphinxStt, why: str) -> None:
        """From now on that hears."""
        whisper, self._stt = self._stt, spare
        self.hears, self.fallen = SPHINX, why
        _say(SPHINX, why)
        self.on_fall(self.in_use)
        await whisper.close()


class _Retried:
    """An utterance, heard by what is left if what heard it fails."""

    def __init__(self, owner: OfflineStt, stt: Stt, on_partial: Callable[[str], None]) -> None:
        self._owner = owner
        self._hearing = stt.hear(on_partial)

    def feed(self, pcm: bytes) -> None:
        self._hearing.feed(pcm)

    async def finish(self) -> Transcript:
        try:
            transcript = await self._hearing.finish()
        except NotHeard as exc:
            return await self._owner.again(exc)
        self._owner.heard()
        return transcript

    def drop(self) -> None:
        self._hearing.drop()


def _say(hears: str, why: str) -> None:
    logger.warning("%s hears in place of whisper, which makes far fewer errors: %s", hears, why)
