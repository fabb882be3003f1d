"""The engine for speech to text by WebSocket: sound is sent while it is spoken, texts so far come back, and the whole
one at once when the turn is over, which is ours to say. A vendor says by `Ear` what goes over a connection, without
I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ....outward import Outward, site
from ...brains.base import HEARD_RATE, TimedWord
from ...http import ServiceError, answered, log_details, opened
from ..scripts import unspaced
from ..stt import MAX_TEXT, TIMEOUT, Hearing, Transcript
from .socket_tts import MALFORMED, Refused, broke, secrets_in, shut

logger = logging.getLogger("lipwire.agents")

WHAT = "speech to text"
AT_LEAST = HEARD_RATE * 2 // 20
"""Bytes of sound that are sent at a time: 50 ms."""
AT_MOST = 1 << 15
KEEP_ALIVE = 4.0
"""Seconds between two signs of life on a connection over which nobody speaks."""
IDLE = 60.0
"""Seconds after which such a connection is closed."""
SETTLE = 1.0
"""Seconds for which nothing comes after the end of the sound, though nearly all of it was heard: nothing will."""
NEARLY = 0.5
"""Seconds that may be missing."""


class Heard(Struct, frozen=True):
    """What a message of the service's says of the utterance.

    Attributes:
        text: what was said in a part of it. words: with times from its beginning.
        final: the part is not heard otherwise later; else the next message says it anew.
        whole: nothing follows, as the sound has ended.
        until: seconds of the utterance up to which it was heard.
    """

    text: str = ""
    words: Sequence[TimedWord] = ()
    final: bool = False
    whole: bool = False
    until: float = 0.0


class Ear(Protocol):
    """A vendor's protocol over one connection."""

    def begin(self) -> list[str | bytes]:
        """What is sent before the sound of an utterance."""

    def sound(self, pcm: bytes) -> bytes:
        """What is sent for sound of it: PCM16 mono at 16 kHz."""

    def finish(self) -> list[str | bytes]:
        """What is sent at its end."""

    def take(self, message: str | bytes) -> Heard | None:
        """A message of the service's; None = it says nothing of the utterance that began last. Raises Refused, and
        LookupError, TypeError, ValueError: it is none that it sends."""


class Listener(Protocol):
    """A vendor's protocol."""

    url: str
    headers: Mapping[str, str]
    resumes: bool
    """Whether sound may follow the end of an utterance, and belong to it."""
    ends: bool
    """Whether the end of what was heard is told in any case."""
    alive: str
    """What keeps a connection open over which nobody speaks; "" = nothing is needed."""

    def ear(self) -> Ear:
        """For a new connection."""


class SocketStt:
    """Hears by a vendor; a `stt.Stt`. A connection stays open between utterances. One that breaks is made anew, and the
    utterance sent again from its beginning, once.

    An utterance that begins as the one before, since its user went on after what was taken for the end, is that one:
    only what is new is sent, if the vendor's protocol allows it.

    Args:
        headers: go along with every connection, besides its own (`headers.check_headers`).
        outward: where its URL may lead; None = it is the operator's own.
    """

    def __init__(self, listener: Listener, headers: Mapping[str, str], outward: Outward | None = None) -> None:
        self.listener = listener
        self.url = listener.url
        self.headers = {**listener.headers, **headers}
        self.secrets = tuple(secrets_in(self.headers))
        self._outward = outward
        self._last: _Utterance | None = None
        self._utterances: set[_Utterance] = set()
        """Those that are on their way."""
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._closed = True
        for utterance in list(self._utterances):
            utterance.drop()
        for line in list(self._lines):
            line.close()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        return _Utterance(self, on_partial)

    def spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def begin(self, utterance: _Utterance) -> asyncio.Task[Transcript]:
        """It is on its way from now on."""
        task = self.spawn(utterance.run())
        self._utterances.add(utterance)
        task.add_done_callback(lambda done: self._utterances.discard(utterance))
        task.add_done_callback(_heed)
        return task

    def is_last(self, utterance: _Utterance) -> bool:
        """Whether another one may still go on from it."""
        return utterance is self._last

    def follow(self, utterance: _Utterance) -> None:
        """It begins: it goes on where the one before has ended, or over its connection, or over a new one."""
        last, self._last = self._last, utterance
        if last is None or last.busy:
            return
        line = last.leave()
        if line is None or not line.stands:
            return
        if self.listener.resumes and utterance.resumes(last):
            utterance.line = line
        elif last.settled:
            utterance.line = line
            line.begin()
        else:
            line.close()

    async def line(self) -> _Line:
        """A new connection. Raises ServiceError."""
        if self._closed:
            raise ServiceError(f"{WHAT} at {site(self.url)} has been closed")
        ws = await opened(WHAT, self.url, self.headers, self._outward, *self.secrets)
        line = _Line(self, ws)
        self._lines.add(line)
        return line

    def gone(self, line: _Line) -> None:
        self._lines.discard(line)

    def understood(self, take: Callable[[str | bytes], Heard | None], message: str | bytes) -> Heard | None:
        """What a vendor's method makes of a message. Raises ServiceError."""
        url = self.url
        try:
            heard = take(message)
            texts = [] if heard is None else [heard.text, *(word.text for word in heard.words)]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("what is heard is no text")
            return heard
        except Refused as exc:
            log_details(WHAT, f"{exc.status or ''} {exc}", url, *self.secrets)
            if exc.status:
                raise answered(WHAT, url, exc.status) from exc
            raise ServiceError(f"{WHAT} at {site(url)} reported an error") from exc
        except MALFORMED as exc:
            raise ServiceError(f"{WHAT} at {site(url)} sent what is no message of its protocol") from exc

    def broke(self, exc: ConnectionClosed) -> ServiceError:
        log_details(WHAT, str(exc), self.url, *self.secrets)
        return broke(WHAT, self.url, exc)


class _Line:
    """A connection, which one utterance uses at a time."""

    def __init__(self, stt: SocketStt, ws: ClientConnection) -> None:
        self._stt = stt
        self._ws = ws
        self._ear = stt.listener.ear()
        self._used = asyncio.get_running_loop().time()
        self._begun = False
        self.utterance: _Utterance | None = None
        """Who is told what is heard."""
        self.stands = True
        self._reading = stt.spawn(self._read())
        self._living = stt.spawn(self._live())

    def begin(self) -> None:
        """Another utterance follows."""
        self._begun = False

    async def send(self, pcm: bytes) -> None:
        """Sound of an utterance. Raises ServiceError."""
        messages: list[str | bytes] = [] if self._begun else self._ear.begin()
        self._begun = True
        await self._put([*messages, self._ear.sound(pcm)])

    async def finish(self) -> None:
        """The utterance has ended. Raises ServiceError."""
        await self._put(self._ear.finish())

    async def _put(self, messages: Sequence[str | bytes]) -> None:
        self._used = asyncio.get_running_loop().time()
        try:
            for message in messages:
                await self._ws.send(message)
        except ConnectionClosed as exc:
            raise self._stt.broke(exc) from exc

    async def _read(self) -> None:
        try:
            while True:
                heard = self._stt.understood(self._ear.take, await self._ws.recv())
                if heard is not None and self.utterance is not None:
                    self.utterance.heard(heard)
        except ConnectionClosed as exc:
            self._failed(self._stt.broke(exc))
        except ServiceError as exc:
            self._failed(exc)

    def _failed(self, why: ServiceError) -> None:
        if self.utterance is not None:
            self.utterance.failed(why)
        self.close()

    async def _live(self) -> None:
        """Keeps the connection open for a while when nobody speaks."""
        loop = asyncio.get_running_loop()
        while self.stands:
            await asyncio.sleep(KEEP_ALIVE)
            quiet = loop.time() - self._used
            if quiet >= IDLE:
                self.close()
            elif quiet >= KEEP_ALIVE and self._stt.listener.alive:
                with contextlib.suppress(ConnectionClosed):
                    await self._ws.send(self._stt.listener.alive)

    def close(self) -> None:
        """Nobody needs it any more. Safe to call twice."""
        if self.stands:
            self.stands = False
            self._stt.gone(self)
            self._living.cancel()
            self._stt.spawn(self._shut())

    async def _shut(self) -> None:
        await shut(self._ws)
        self._reading.cancel()


class _Utterance:
    """See `stt.Hearing`."""

    def __init__(self, stt: SocketStt, on_partial: Callable[[str], None]) -> None:
        self._stt = stt
        self._on_partial = on_partial
        self._pcm = bytearray()
        self._sent = 0
        """Bytes of it that were sent over `line`."""
        self.line: _Line | None = None
        self._sure = ""
        """What is not heard otherwise any more; this and what follows is cut at MAX_TEXT."""
        self._words: list[TimedWord] = []
        self._room = 2 * MAX_TEXT
        """Characters that words may still have, each with a space."""
        self._unsure = ""
        """What the last message said that is not final."""
        self._shown = ""
        """The last text so far."""
        self._until = 0.0
        self._ended = False
        """Nothing is fed any more."""
        self._told = False
        """The service knows that."""
        self._given_up = False
        self._why: ServiceError | None = None
        self._whole = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[Transcript] | None = None

    # ---- for who speaks

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm
        if self._task is None:
            self._task = self._stt.begin(self)
        self._changed.set()

    async def finish(self) -> Transcript:
        self._ended = True
        self._changed.set()
        if self._task is None:
            return Transcript("")
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._given_up = True
            self._task.cancel()
            if not self._stt.is_last(self):
                self.drop()
            raise

    def drop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._given_up = True
        if self.line is not None:
            self.line.close()
            self.line = None

    # ---- for what comes after it

    @property
    def settled(self) -> bool:
        """Whether all of it has been heard."""
        return self._task is not None and self._task.done() and not self._task.cancelled()

    @property
    def busy(self) -> bool:
        """Whether somebody waits for it."""
        return not (self.settled or self._given_up)

    def leave(self) -> _Line | None:
        """Ends it. Returns its connection."""
        if self._task is not None:
            self._task.cancel()
        line, self.line = self.line, None
        if line is not None:
            line.utterance = None
        return line

    def resumes(self, last: _Utterance) -> bool:
        """Whether this is the one before, gone on with; then it takes what was heard of it."""
        if not last._sent or not self._pcm.startswith(last._pcm[: last._sent]):
            return False
        self._sent, self._until = last._sent, last._until
        self._sure, self._unsure, self._words, self._room = last._sure, last._unsure, last._words, last._room
        return True

    # ---- for the connection

    def heard(self, heard: Heard) -> None:
        self._until = max(self._until, heard.until)
        if heard.final:
            self._unsure = ""
            if heard.text and len(self._sure) < MAX_TEXT:
                self._sure = _joined(self._sure, heard.text)
                for word in heard.words:
                    self._room -= len(word.text) + 1
                    if self._room >= 0:
                        self._words.append(word)
        elif heard.text or not heard.whole:
            self._unsure = heard.text[:MAX_TEXT]
        if heard.text and not self._ended and (text := self._text()) != self._shown:
            self._shown = text
            self._on_partial(text)
        self._whole = self._whole or (heard.whole and self._told)
        self._changed.set()

    def failed(self, why: ServiceError) -> None:
        self._why = why
        self._changed.set()

    # ---- its task

    async def run(self) -> Transcript:
        """Raises ServiceError."""
        self._stt.follow(self)  # not before: who wanted the one before may have broken it off just now
        try:
            return await self._through()
        except ServiceError as exc:
            if not exc.passing:
                raise
            logger.warning("%s: it is sent again in %.1f s", exc, exc.seconds_to_wait())
            await asyncio.sleep(exc.seconds_to_wait())
        self._sent, self._until, self._unsure = 0, 0.0, ""
        self._sure, self._words, self._room = "", [], 2 * MAX_TEXT
        return await self._through()

    async def _through(self) -> Transcript:
        self._why, self._told, self._whole = None, False, False
        if self.line is None or not self.line.stands:
            self.line = await self._stt.line()
        self.line.utterance = self
        try:
            await self._send(self.line)
            await self._settle(self.line)
        except ServiceError:
            self.line.close()
            self.line = None
            raise
        return Transcript(self._text(), tuple(self._words))

    async def _send(self, line: _Line) -> None:
        """All of the sound, as it comes."""
        while True:
            self._changed.clear()
            if self._why is not None:
                raise self._why
            left = len(self._pcm) - self._sent
            if left >= AT_LEAST or (left and self._ended):
                await line.send(bytes(self._pcm[self._sent : self._sent + AT_MOST]))
                self._sent = min(self._sent + AT_MOST, len(self._pcm))
            elif self._ended:
                return
            else:
                await self._changed.wait()

    async def _settle(self, line: _Line) -> None:
        """The sound has ended: until all of it was heard."""
        self._told = True
        await line.finish()
        seconds = len(self._pcm) / 2 / HEARD_RATE
        loop = asyncio.get_running_loop()
        limit = loop.time() + TIMEOUT
        while not self._whole:
            self._changed.clear()
            if self._why is not None:
                raise self._why
            if loop.time() >= limit:
                raise ServiceError(f"{WHAT} at {site(self._stt.url)} did not answer within {TIMEOUT:g} s")
            try:
                async with asyncio.timeout(SETTLE):
                    await self._changed.wait()
            except TimeoutError:
                if seconds - self._until <= NEARLY and not self._stt.listener.ends:
                    return  # what is left of it is too little to be told of

    def _text(self) -> str:
        return _joined(self._sure, self._unsure).strip()


def _joined(text: str, part: str) -> str:
    between = "" if not text or not part or unspaced(text[-1] + part[0]) else " "
    return (text + between + part)[:MAX_TEXT]


def _heed(task: asyncio.Task[Transcript]) -> None:
    """Whether it failed is seen by who waits for it; nobody may."""
    if not task.cancelled():
        task.exception()
