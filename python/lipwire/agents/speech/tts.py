"""Text to speech for agents: what it is, a voice of this machine, and the order of sentences. `vendors` has services.

`SynthesisStream` takes a reply's text as it streams, and gives its sound in order: the next sentence is made while the
one before it is played.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from ...avatar import Voice
from ...errors import LipwireError, ModelFailed
from ...models.voices.choose import choose
from ...models.voices.live import LiveVoices
from ...models.voices.names import Name
from ...models.voices.timing import places
from ...protocol.agent_bodies import InUse
from ..brains.base import TimedWord
from ..http import ServiceError
from ..in_use import instead, without_paths
from .scripts import unspaced, word_spans
from .sentences import MAX_PIECE, SentenceSplitter
from .spoken import speakable

if TYPE_CHECKING:
    pass

logger = logging.getLogger("lipwire.agents")

LOST_IN_A_ROW = 3
"""Pieces of a reply that could not be said, one after another: the rest of it will not be either."""
MANY = 8
"""Pieces of a reply that wait, from which on short ones are joined: so there are never more than 300 of the 32768
characters that a reply may have."""
AHEAD = 2
"""Pieces in the making at a time."""
LOADING = 5.0
"""Seconds that the first piece waits for a voice that is being loaded and that nobody asked for by name; then another
one speaks until it is."""


class Sound(Struct, frozen=True):
    """Some of what says a text: PCM16 mono at `rate` Hz, whole samples. `words` are those of the whole text that have
    become known with it, with times from its start, and `whole` says that this is all of it. Only one behind others may
    be without sound."""

    pcm: bytes
    rate: int
    words: tuple[TimedWord, ...] = ()
    whole: bool = False


class Tts(Protocol):
    """What makes speech."""

    def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        """The sound of one piece of text, as it is made. Raises ServiceError."""

    async def close(self) -> None:
        """Ends its connections."""


# ------------------------------------------------------------------------------------------------------------- offline


class OfflineTts:
    """A voice of this machine: of the process of models, or espeak-ng's, in a thread.

    Args:
        voice: its name, or that of a service's, for which espeak-ng has a like one.
        language: of what is said, BCP 47, where the voice does not say it.
        spare: what speaks where the voice fails, since nobody asked for just that one; "" = nothing.
        folder: where the user's voices are.
        missing: "NAME: why", where it speaks in place of another voice.

    Raises:
        LipwireError: it cannot be had.
    """

    def __init__(
        self, voice: str, language: str, spare: str = "", folder: str | None = None, missing: str = ""
    ) -> None:
        self.voice = choose(voice, Voice(), language, folder, like=True).name
        self._spare = choose(spare, Voice(), language, folder, like=True).name if spare else None
        of, _, because = missing.partition(": ")
        self.in_use = instead(self._told(self.voice), of, because)
        """What speaks, and in whose place."""
        self.on_fall: Callable[[InUse], None] = lambda used: None
        """Called when something else speaks from now on."""
        self._live = LiveVoices()
        self._loading: asyncio.Task[None] | None = None
        self._waited = False
        """`LOADING` has passed, and the voice was not loaded."""

    @staticmethod
    def _told(voice: Name) -> str:
        return voice.told(str(voice))

    async def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self._live.close()

    async def warm(self) -> None:
        """Loads the voice, so that the first piece is not slow. Where it fails, that is told, or what speaks in its
        place."""
        await asyncio.shield(self._begin_loading())

    def _begin_loading(self) -> asyncio.Task[None]:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())
        return self._loading

    async def _load(self) -> None:
        try:
            await self._live.warm(self.voice)
        except ModelFailed as exc:
            if not self._fall_back(exc):
                logger.warning("the voice %s is not ready: %s", self.voice, exc)
            return
        if self._waited:
            self.in_use = InUse(name=self._told(self.voice))
            logger.warning("the voice %s was loaded at last, and speaks from now on", self.voice)

    async def _who_speaks(self) -> Name:
        """The voice; what speaks in its place as long as that is being loaded, where that takes too long."""
        if self._spare is None:
            return self.voice
        loading = self._begin_loading()
        if not self._waited:
            await asyncio.wait([loading], timeout=LOADING)
        if loading.done() or self._spare is None:
            return self.voice
        if not self._waited:
            self._waited = True
            self._tell(self._spare, f"it is not loaded after {LOADING:g} s")
        return self._spare

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        voice = await self._who_speaks()
        try:
            yield await self._whole(voice, text)
        except ModelFailed as exc:
            if self.voice == voice and not self._fall_back(exc):  # another piece may have fallen back already
                raise _unsaid(voice, exc) from exc
            async with aclosing(self.speak(text)) as sounds:
                async for sound in sounds:
                    yield sound
        except LipwireError as exc:
            raise _unsaid(voice, exc) from exc

    def _fall_back(self, why: ModelFailed) -> bool:
        """Whether something else speaks from now on."""
        if self._spare is None:
            return False
        spare, self._spare = self._spare, None
        self._tell(spare, str(why))
        self.voice = spare
        return True

    def _tell(self, spare: Name, why: str) -> None:
        logger.warning("%s speaks in place of %s: %s", spare, self.voice, why)
        self.in_use = instead(self._told(spare), self._told(self.voice), self.voice.told(why))
        self.on_fall(self.in_use)

    async def _whole(self, voice: Name, text: str) -> Sound:
        """A piece, with the times of its words; it is a sentence or two, so nothing is gained by less."""
        sounds = [sound async for sound in self._live.speak(voice, text)]
        rate, pcm = sounds[0].rate, b"".join(sound.pcm for sound in sounds)
        marks = places(text, (word for sound in sounds for word in sound.words))
        return Sound(pcm, rate, words(text, marks, len(pcm) / 2 / rate), True)


def _unsaid(voice: Name, why: LipwireError) -> ServiceError:
    """What an agent's owner is told, who may be anywhere: where the voice's file is, the log says."""
    whole = f"the voice {voice}: {why}"
    if (told := voice.told(without_paths(whole, voice.file))) != whole:
        logger.warning("%s", whole)
    return ServiceError(told)


def words(text: str, marks: Iterable[tuple[float, int]], seconds: float) -> tuple[TimedWord, ...]:
    """The words of `text`, which is said in `seconds`, with their times. A voice marks what it says, (seconds, first
    character), numbers in several parts. What it says as one is one word; the characters of a script without spaces
    share its time evenly. Where it marks anything, all of the text is there: what it has no mark for (a dash, now and
    then a word) belongs to the word before, or to the first."""
    found: list[tuple[float, list[tuple[int, int]]]] = []
    unmarked: list[tuple[int, int]] = []
    spoken = deque(marks)
    for begin, end in word_spans(text):
        while spoken and spoken[0][1] < begin:
            spoken.popleft()
        if spoken and spoken[0][1] < end:
            found.append((0.0 if unmarked else spoken[0][0], [*unmarked, (begin, end)]))
            unmarked.clear()
        elif found:  # said as one with the word before
            found[-1][1].append((begin, end))
        else:
            unmarked.append((begin, end))
    ends = [start for start, _ in found[1:]] + [seconds]
    timed = []
    for (start, spans), until in zip(found, ends, strict=False):
        if not unspaced(text[spans[0][0] : spans[-1][1]]):
            spans = [(spans[0][0], spans[-1][1])]
        each = max(until - start, 0.0) / len(spans)
        for i, (first, last) in enumerate(spans):
            at = start + i * each
            timed.append(TimedWord(text[first:last], round(at * 1000), round((at + each) * 1000) - round(at * 1000)))
    return tuple(timed)


# ------------------------------------------------------------------------------------------------------------- a reply


class _Piece:
    """One piece of text on its way to sound."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sounds: deque[Sound] = deque()
        self.failed: ServiceError | None = None
        self.done = False
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class SynthesisStream:
    """Says one reply. `say` text as it comes, then `finish`; `run` emits until all of it has been handed over.

    Args:
        on_text: called with a piece and its words just before its first sound.
        on_sound: called with each sound of it; what it awaits holds up what follows.
        on_words: called with words of it that become known after its first sound.
        on_stage: called with the name of a stage, once each: first_sentence, tts_asked.
        language: of the text, a BCP 47 tag: it tells where its sentences end.
        on_lost: called with a piece that could not be said to its end, and why, where the reply goes on all the same.
    """

    def __init__(
        self,
        tts: Tts,
        *,
        on_text: Callable[[str, Sound | None], None],
        on_sound: Callable[[Sound], Awaitable[None]],
        on_words: Callable[[tuple[TimedWord, ...]], None] = lambda words: None,
        on_stage: Callable[[str], None] = lambda name: None,
        language: str = "en",
        on_lost: Callable[[str, ServiceError], None] = lambda text, error: None,
    ) -> None:
        self._tts = tts
        self._on_text = on_text
        self._on_sound = on_sound
        self._on_words = on_words
        self._on_stage = on_stage
        self._on_lost = on_lost
        self._splitter = SentenceSplitter(language=language)
        self._pieces: deque[_Piece] = deque()
        self._stages: set[str] = set()
        self._finished = False
        self._more = asyncio.Event()

    def _stage(self, name: str) -> None:
        if name not in self._stages:
            self._stages.add(name)
            self._on_stage(name)

    def say(self, text: str) -> None:
        """More text."""
        for piece in self._splitter.feed(text):
            self._add(piece)

    def end_sentence(self) -> None:
        """What was said so far is complete, though the reply may go on."""
        if rest := self._splitter.flush():
            self._add(rest)

    def retract(self) -> None:
        """What was given so far and has not been handed over is not to be said."""
        self._splitter.flush()
        for piece in self._pieces:
            piece.text, piece.done = "", True
            piece.sounds.clear()
            piece.changed.set()
            if piece.task is not None:
                piece.task.cancel()

    def finish(self) -> None:
        """Nothing follows."""
        self.end_sentence()
        self._finished = True
        self._more.set()

    def _add(self, text: str) -> None:
        if len(self._pieces) >= MANY and len(self._pieces[-1].text) + len(text) <= MAX_PIECE:
            self._pieces[-1].text += text  # it is not in the making, as only AHEAD of them are
            return
        self._stage("first_sentence")
        self._pieces.append(_Piece(text))
        self._start()
        self._more.set()

    def _start(self) -> None:
        for piece in list(self._pieces)[:AHEAD]:
            if piece.task is None:
                if speakable(piece.text):
                    self._stage("tts_asked")
                piece.task = asyncio.get_running_loop().create_task(self._make(piece))

    async def _make(self, piece: _Piece) -> None:
        try:
            if text := speakable(piece.text):
                async with aclosing(self._tts.speak(text)) as sounds:
                    async for sound in sounds:
                        piece.sounds.append(sound)
                        piece.changed.set()
        except ServiceError as exc:
            piece.failed = exc
        except Exception as exc:  # the task's edge
            logger.exception("text to speech failed")
            piece.failed = ServiceError(f"text to speech failed: {type(exc).__name__}: {exc}")
        finally:
            piece.done = True
            piece.changed.set()

    async def run(self) -> None:
        """Goes on where a piece cannot be said; what had been made of it is handed over.

        Raises:
            ServiceError: nothing could be said, or LOST_IN_A_ROW pieces.
        """
        lost: list[tuple[str, ServiceError]] = []
        said, in_a_row = False, 0
        try:
            while True:
                while not self._pieces:
                    if self._finished:
                        if lost:
                            raise lost[0][1]
                        return
                    self._more.clear()
                    await self._more.wait()
                piece = self._pieces[0]
                heard = await self._hand_over(piece)
                said = said or heard
                if piece.failed is not None:
                    in_a_row += 1
                    if in_a_row == LOST_IN_A_ROW:
                        raise piece.failed
                    lost.append((piece.text, piece.failed))
                elif heard:
                    in_a_row = 0
                while said and lost:
                    self._on_lost(*lost.pop(0))
                self._pieces.popleft()
                self._start()
        finally:
            tasks = [piece.task for piece in self._pieces if piece.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pieces.clear()

    async def _hand_over(self, piece: _Piece) -> bool:
        """Gives away a piece as it is made. Returns whether any of it can be heard."""
        told = False
        while True:
            while piece.sounds:
                sound = piece.sounds.popleft()
                if not told:
                    self._on_text(piece.text, sound)
                    told = True
                elif sound.words:
                    self._on_words(sound.words)
                if sound.pcm:
                    await self._on_sound(sound)
            if piece.done:
                break
            piece.changed.clear()
            await piece.changed.wait()
        if not told and piece.failed is None:
            self._on_text(piece.text, None)
        return told
