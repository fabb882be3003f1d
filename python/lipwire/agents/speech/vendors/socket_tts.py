"""The engine for text to speech by WebSocket: a vendor says by `Speech` and `Saying` what goes over it, without I/O."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from ....audio.sound_reader import SoundReader
from ....errors import BadData
from ....outward import Outward, site
from ...brains.base import TimedWord
from ...http import ServiceError, answered, log_details, opened
from ..tts import Sound
from .service import BETWEEN, FIRST_BYTE, MAX_SPEECH_MS, WHAT, WHOLE, ServiceTts, check_length, no_sound

logger = logging.getLogger("lipwire.agents")

CLOSE = 1.0
"""Seconds for closing a connection whose sound nobody wants any more."""
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What comes of reading a message that is none of a vendor's protocol."""
Message = dict[str, Any]
T = TypeVar("T")


class Part(Struct, frozen=True):
    """What a message of the service's brings: PCM or anything coded, the words that are known by it, and whether it was
    the last."""

    sound: bytes = b""
    words: Sequence[TimedWord] = ()
    over: bool = False


class Refused(Exception):
    """A message says that a text cannot be said, or that the service cannot speak.

    Args:
        status: as HTTP has it; 0 = none that anybody knows.
        said: what the service says about it, for the operator.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Saying(Protocol):
    """One text on its way over a connection."""

    def begin(self) -> list[Message]:
        """What is sent for it."""

    def take(self, message: Message | bytes) -> Part:
        """A message of the service's. Raises Refused, and KeyError, TypeError, ValueError: it is none that it sends."""


class Speech(Protocol):
    """A vendor's protocol, and a voice there."""

    url: str
    headers: Mapping[str, str]
    rate: int
    """Hz of plain samples that it sends."""
    once: bool
    """Whether a connection serves one text only."""

    def hello(self, message: Message | None) -> list[Message] | None:
        """What a new connection is told: first with None, then with each message that comes, until it returns None: the
        connection is ready. Raises as `Saying.take`."""

    def say(self, text: str) -> Saying:
        """A text."""


class SocketTts(ServiceTts):
    """Speaks over connections that stay open between texts, each for one text at a time. Where a text is broken off,
    its connection is closed, and another one made ahead for what comes next.

    Args:
        headers: go along with every connection, besides its own (`headers.check_headers`).
        outward: where its URL may lead; None = it is the operator's own.
    """

    def __init__(self, speech: Speech, headers: Mapping[str, str], outward: Outward | None = None) -> None:
        self.headers = {**speech.headers, **headers}
        super().__init__(speech.url, secrets_in(self.headers))
        self.speech = speech
        self._outward = outward
        self._free: list[ClientConnection] = []
        self._ahead: asyncio.Task[ClientConnection] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._spawn(_unmade(ahead))
        for ws in self._free:
            self._spawn(shut(ws))
        self._free.clear()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- connections

    async def _take(self) -> ClientConnection:
        """A connection that nobody uses. Raises ServiceError."""
        while self._free:
            ws = self._free.pop()
            if ws.state is State.OPEN:
                return ws
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            try:
                await asyncio.wait([ahead])
            except asyncio.CancelledError:
                if self._ahead is None and not self._closed:
                    self._ahead = ahead  # for who comes next
                else:
                    self._spawn(_unmade(ahead))
                raise
            with contextlib.suppress(ServiceError):
                ws = ahead.result()
                if ws.state is State.OPEN:
                    return ws
        return await self._open()

    def _give(self, ws: ClientConnection, *, whole: bool, failed: bool) -> None:
        """Its text has been said, has failed, or is not wanted any more: then the next answer comes soon."""
        if whole and not self.speech.once and not self._closed:
            self._free.append(ws)
            return
        self._spawn(shut(ws))
        if not (failed or self._closed or self._free or self._ahead):
            self._ahead = asyncio.get_running_loop().create_task(self._open())
            self._ahead.add_done_callback(_heed)

    async def _open(self) -> ClientConnection:
        """A new connection that is ready for a text. Raises ServiceError."""
        ws = await opened(WHAT, self.url, self.headers, self._outward, *self.secrets)
        try:
            async with asyncio.timeout(FIRST_BYTE):
                answer = self._understood(self.speech.hello, None)
                while answer is not None:
                    for message in answer:
                        await ws.send(msgspec.json.encode(message).decode())
                    answer = self._understood(self.speech.hello, await ws.recv())
            return ws
        except TimeoutError as exc:
            self._spawn(shut(ws))
            raise self._stalled() from exc
        except ConnectionClosed as exc:
            raise self._broke(exc) from exc
        except BaseException:
            self._spawn(shut(ws))
            raise

    # ---- a text

    async def _once(self, text: str) -> AsyncGenerator[Sound, None]:
        loop = asyncio.get_running_loop()
        saying = self.speech.say(text)
        reader = SoundReader(f"audio/pcm;rate={self.speech.rate}", most=MAX_SPEECH_MS / 1000)
        ws: ClientConnection | None = None
        whole, failed, seconds, rate = False, False, 0.0, self.speech.rate
        words: list[TimedWord] = []
        try:
            async with asyncio.timeout(FIRST_BYTE) as limit:
                latest = loop.time() + WHOLE
                ws = await self._take()
                for message in saying.begin():
                    await ws.send(msgspec.json.encode(message).decode())
                while not whole:
                    part = self._understood(saying.take, await ws.recv())
                    whole = part.over
                    words += part.words
                    found = await reader.take(part.sound) if part.sound else []
                    if whole:
                        found += await reader.end()
                    for pcm, rate in found:
                        seconds += len(pcm) / 2 / rate
                        check_length(seconds)
                        limit.reschedule(None)
                        yield Sound(pcm, rate, tuple(words))
                        words.clear()
                        limit.reschedule(min(loop.time() + BETWEEN, latest))
            if seconds and words:
                yield Sound(b"", rate, tuple(words))
        except TimeoutError as exc:
            failed = True
            raise self._stalled() from exc
        except ConnectionClosed as exc:
            failed = True
            raise self._broke(exc) from exc
        except BadData as exc:
            failed = True
            raise self._unplayable(exc) from exc
        except ServiceError:
            failed = True
            raise
        finally:
            reader.close()
            if ws is not None:
                self._give(ws, whole=whole, failed=failed)
        if not seconds:
            raise no_sound()

    def _understood(self, take: Callable[[Any], T], message: str | bytes | None) -> T:
        """What a method of the vendor's makes of a message. Raises ServiceError."""
        try:
            return take(msgspec.json.decode(message) if isinstance(message, str) else message)
        except Refused as exc:
            log_details(WHAT, f"{exc.status or ''} {exc}", self.url, *self.secrets)
            if exc.status:
                raise answered(WHAT, self.url, exc.status) from exc
            raise ServiceError(f"{WHAT} at {site(self.url)} reported an error") from exc
        except MALFORMED as exc:
            raise ServiceError(f"{WHAT} at {site(self.url)} sent what is no message of its protocol") from exc

    def _broke(self, exc: ConnectionClosed) -> ServiceError:
        log_details(WHAT, str(exc), self.url, *self.secrets)
        return broke(WHAT, self.url, exc)


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The values of headers, and the keys in them, by which a service may repeat them."""
    return [*headers.values(), *(value.rpartition(" ")[2] for value in headers.values())]


def broke(what: str, url: str, exc: ConnectionClosed) -> ServiceError:
    """The failure that a closed connection is: the service says by 1008 that it refuses."""
    code = exc.rcvd.code if exc.rcvd is not None else 0
    why = f"it closed the connection ({code})" if code not in (0, 1000, 1001, 1005) else "the connection broke"
    error = ServiceError(f"{what} at {site(url)} failed: {why}")
    error.passing, error.wait = code != 1008, 0.0
    return error


async def shut(ws: ClientConnection) -> None:
    """Closes a connection, whatever is still on its way over it."""
    try:
        async with asyncio.timeout(CLOSE):
            await ws.close()
    except TimeoutError:
        pass
    finally:
        ws.transport.abort()


async def _unmade(ahead: asyncio.Task[ClientConnection]) -> None:
    """A connection that was made ahead, or is being made, is wanted by nobody."""
    ahead.cancel()
    await asyncio.wait([ahead])
    if not ahead.cancelled() and ahead.exception() is None:
        await shut(ahead.result())


def _heed(task: asyncio.Task[ClientConnection]) -> None:
    """Whether it failed is seen by who waits for it; nobody may."""
    if not task.cancelled():
        task.exception()
