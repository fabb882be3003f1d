"""Text to speech for agents: an OpenAI-compatible service, or espeak-ng, which needs none; and the order of sentences.

`SynthesisStream` takes a reply's text as it streams, and gives its sound in order: the next sentence is made while the
one before it is played.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ...audio import espeak
from ...errors import InvalidArgument, LipwireError
from ...outward import site
from ..brains.base import TimedWord
from ..describe import openai_voice
from ..http import ServiceClient, ServiceError, failure, refusal
from .sentences import MAX_PIECE, SentenceSplitter, speakable

logger = logging.getLogger("lipwire.agents")

FIRST_BYTE = 10.0
"""Seconds until the first sound of a piece of text."""
BETWEEN = 5.0
"""Seconds between two pieces of its sound."""
MAX_SPEECH_MS = 120_000
"""How long one piece of text may be spoken; a service that sends more is cut off."""
OPENAI_RATE = 24_000
"""Hz of OpenAI's `pcm`."""
MANY = 8
"""Pieces of a reply that wait, from which on short ones are joined: so there are never more than 300 of the 32768
characters that a reply may have."""
AHEAD = 2
"""Pieces in the making at a time."""


class Sound(Struct, frozen=True):
    """Some of what says a text: PCM16 mono at `rate` Hz, whole samples. `words` are those of the whole text, with times
    from its start, and `whole` says that this is all of it."""

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

_NAMES = (
    "ava emma jenny aria jane sara nancy amber ana ashley cora elizabeth michelle monica xiaoxiao xiaoyi nanami sunhi "
    "katja denise elvira isabella coral sage shimmer nova marin ballad"
)
_WOMEN = frozenset(_NAMES.split())
_ESPEAK = {"zh": "cmn", "en": "en-us", "en-gb": "en", "en-au": "en", "es-mx": "es-419", "es-us": "es-419", "yue": "yue"}


def espeak_voice(voice: str, language: str) -> str:
    """espeak-ng's voice for the id of any service's (en-US-AndrewMultilingualNeural, alloy), or of its own.

    Raises:
        BadState: espeak-ng is not installed. InvalidArgument: it speaks neither the voice's language nor `language`.
    """
    if espeak.known(voice):
        return voice
    found = re.match(r"([a-z]{2,3})-([a-z]{2,4})-(\w+)", voice, re.IGNORECASE)
    locale = f"{found[1]}-{found[2]}" if found else language
    name = re.sub("(multilingual)?neural.*", "", (found[3] if found else voice).lower())
    for one in (locale.lower(), language.lower()):
        short = one.partition("-")[0]
        for candidate in (_ESPEAK.get(one, one), _ESPEAK.get(short, short)):
            if espeak.known(candidate):
                return f"{candidate}+f3" if name in _WOMEN else candidate
    raise InvalidArgument(f"espeak-ng speaks neither the voice {voice!r} nor the language {language!r}; set tts_url")


class OfflineTts:
    """espeak-ng, in a thread."""

    def __init__(self, voice: str, language: str) -> None:
        self.voice = espeak_voice(voice, language)

    async def close(self) -> None:
        return None

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        try:
            speech = await espeak.in_thread(espeak.speak, text, self.voice)
        except LipwireError as exc:
            raise ServiceError(f"espeak-ng failed: {exc}") from exc
        yield Sound(speech.pcm, speech.rate, words(text, speech), True)


def words(text: str, speech: espeak.Speech) -> tuple[TimedWord, ...]:
    """The words of `text` with their times: espeak-ng marks what it says, numbers in several parts."""
    found: list[tuple[str, float]] = []
    spoken = deque(speech.words)
    for match in re.finditer(r"\S+", text):
        while spoken and spoken[0][1] < match.start():
            spoken.popleft()
        if spoken and spoken[0][1] < match.end():
            found.append((match.group(), spoken[0][0]))
        elif found:  # said as one with the word before
            found[-1] = (f"{found[-1][0]} {match.group()}", found[-1][1])
    ends = [start for _, start in found[1:]] + [len(speech.pcm) / 2 / speech.rate]
    return tuple(
        TimedWord(word, round(start * 1000), max(round((end - start) * 1000), 0))
        for (word, start), end in zip(found, ends, strict=False)
    )


# ----------------------------------------------------------------------------------------------------------- a service


class HttpTts:
    """An OpenAI-compatible /audio/speech, streamed as `pcm`: PCM16 at 24 kHz, unless the answer says another rate
    (`audio/pcm;rate=16000`) or is a WAV."""

    def __init__(self, url: str, *, voice: str, model: str | None = None, api_key: str | None = None) -> None:
        self.url = url
        self.model = model or "gpt-4o-mini-tts"
        openai = (urlsplit(url).hostname or "").endswith("openai.com")
        self.voice = openai_voice(voice) if openai else voice
        self.api_key = api_key
        self._http = ServiceClient(FIRST_BYTE + 5)

    async def close(self) -> None:
        await self._http.aclose()

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        import httpx

        body = {"model": self.model, "voice": self.voice, "input": text, "response_format": "pcm"}
        headers = {"content-type": "application/json"}
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FIRST_BYTE) as limit:
                content = msgspec.json.encode(body)
                reply = await self._http.post(self.url, key=self.api_key, headers=headers, content=content)
                try:
                    if reply.status_code // 100 != 2:
                        raise await refusal("text to speech", self.url, reply, self.api_key)
                    pcm = _Pcm(reply.headers.get("content-type", ""))
                    async for data in reply.aiter_bytes():
                        if sound := pcm.take(data):
                            limit.reschedule(None)
                            yield sound
                        limit.reschedule(loop.time() + BETWEEN)
                    if not pcm.samples:
                        raise ServiceError("text to speech sent no sound")
                finally:
                    await reply.aclose()
        except TimeoutError as exc:
            raise ServiceError(f"text to speech at {site(self.url)} stalled") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise failure("text to speech", self.url, exc, self.api_key) from exc


class _Pcm:
    """The body of an answer as samples."""

    def __init__(self, content_type: str) -> None:
        if not content_type.startswith(("audio/", "application/octet-stream", "binary/")) and content_type:
            raise ServiceError(f"text to speech answered {content_type[:60]!r}, where sound was expected")
        named = re.search(r"rate=(\d+)", content_type)
        self.rate = int(named[1]) if named else OPENAI_RATE
        self.samples = 0
        self._rest = b""
        self._begun = False

    def take(self, data: bytes) -> Sound | None:
        data = self._rest + data
        if not self._begun:
            if len(data) < 4 or (len(data) < 44 and data.startswith(b"RIFF")):
                self._rest = data
                return None
            if data.startswith(b"RIFF"):
                at = data.find(b"data", 12)
                if at < 0 or len(data) < at + 8:
                    self._rest = data
                    if len(data) > 4096:
                        raise ServiceError("text to speech sent a WAV without sound")
                    return None
                self.rate = int.from_bytes(data[24:28], "little")
                data = data[at + 8 :]
            elif data.startswith((b"ID3", b"OggS", b"fLaC", b"\xff\xf3", b"\xff\xfb")):
                raise ServiceError("text to speech sent compressed sound; it must answer response_format pcm")
            if not 8000 <= self.rate <= 48_000:
                raise ServiceError(f"text to speech speaks at {self.rate} Hz; 8000 to 48000 will do")
            self._begun = True
        even = len(data) // 2 * 2
        self._rest = data[even:]
        self.samples += even // 2
        if self.samples > MAX_SPEECH_MS * self.rate // 1000:
            raise ServiceError(f"text to speech sends more than {MAX_SPEECH_MS // 1000} s for one sentence")
        return Sound(data[:even], self.rate) if even else None


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
        on_stage: called with the name of a stage, once each: first_sentence, tts_asked.
    """

    def __init__(
        self,
        tts: Tts,
        *,
        on_text: Callable[[str, Sound | None], None],
        on_sound: Callable[[Sound], Awaitable[None]],
        on_stage: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._tts = tts
        self._on_text = on_text
        self._on_sound = on_sound
        self._on_stage = on_stage
        self._splitter = SentenceSplitter()
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
        """Raises ServiceError: a piece could not be said. What had been made of it was handed over."""
        try:
            while True:
                while not self._pieces:
                    if self._finished:
                        return
                    self._more.clear()
                    await self._more.wait()
                await self._hand_over(self._pieces[0])
                self._pieces.popleft()
                self._start()
        finally:
            tasks = [piece.task for piece in self._pieces if piece.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pieces.clear()

    async def _hand_over(self, piece: _Piece) -> None:
        told = False
        while True:
            while piece.sounds:
                sound = piece.sounds.popleft()
                if not told:
                    self._on_text(piece.text, sound)
                    told = True
                await self._on_sound(sound)
            if piece.failed is not None:
                raise piece.failed
            if piece.done:
                break
            piece.changed.clear()
            await piece.changed.wait()
        if not told:
            self._on_text(piece.text, None)
