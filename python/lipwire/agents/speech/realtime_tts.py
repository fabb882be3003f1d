"""Text to speech by OpenAI Realtime, which OpenAI names in the place of its /audio/speech.

A piece of text is a response beside any conversation, with the order to say exactly that. The model is one that talks,
no reader: where it has said something else, that is logged. One connection serves one piece at a time, and stays open
between them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
import logging
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..describe import openai_voice
from ..headers import joined
from ..http import ServiceError
from ..realtime_socket import RATE, connect, details, exactly, with_model, word
from .tts import Sound, Tts
from .vendors.service import BETWEEN, FIRST_BYTE, MAX_SPEECH_MS, WHOLE

logger = logging.getLogger("lipwire.agents")

CLOSE = 1.0
"""Seconds for what is left of a piece that nobody wants any more; then its connection is given up."""
VOICES = {"fable": "ballad", "nova": "shimmer", "onyx": "ash"}
"""Voices that /audio/speech has and Realtime has not, and what is near to them."""
_SOUND = ("response.output_audio.delta", "response.audio.delta")
_TRANSCRIPT = ("response.output_audio_transcript.done", "response.audio_transcript.done")
"""As they are called today, and in the beta, which other services still speak."""


class RealtimeTts:
    """Speaks by a model of OpenAI Realtime; a `tts.Tts`.

    Args:
        url: of Realtime, without the model.
        voice: one of OpenAI's; of those that only /audio/speech has, one that is near.
        headers: go along with the connection (`headers.check_headers`).
    """

    def __init__(
        self, url: str, *, voice: str, model: str, api_key: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = with_model(url, model)
        asked = openai_voice(voice)
        self.voice = VOICES.get(asked, asked)
        if self.voice != asked:
            logger.warning("OpenAI Realtime has no voice %s: %s speaks in its place", asked, self.voice)
        self.api_key = api_key
        self._headers = joined(url, api_key, headers or {})
        self._ws: ClientConnection | None = None
        self._opening: asyncio.Task[ClientConnection] | None = None
        """Makes the connection for the next piece, where the last one was broken off."""
        self._closed = False
        self._one = asyncio.Lock()
        self._ids = itertools.count(1)

    async def close(self) -> None:
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
        ws, self._ws = self._ws, None
        if ws is not None:
            await ws.close()

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        async with self._one:
            given = False
            for last in (False, True):
                try:
                    async with aclosing(self._once(text)) as sounds:
                        async for sound in sounds:
                            given = True
                            yield sound
                    return
                except ServiceError as exc:
                    if last or given or not exc.passing:  # what it says anew would not be the same sound
                        raise
                    logger.warning("%s: it is asked again in %.1f s", exc, exc.seconds_to_wait())
                    await asyncio.sleep(exc.seconds_to_wait())

    async def _connected(self) -> ClientConnection:
        """The connection. Raises ServiceError."""
        opening = self._opening
        if opening is not None:
            await asyncio.wait([opening])  # who is broken off here leaves it to the next one
            self._opening = None
            with contextlib.suppress(ServiceError, ConnectionClosed):
                self._ws = opening.result()
        if self._ws is None:
            self._ws = await self._open()
        return self._ws

    async def _open(self) -> ClientConnection:
        """A new connection, which is told how to speak. Raises ServiceError, ConnectionClosed."""
        ws = await connect(self.url, self._headers, self.api_key)
        pcm = {"type": "audio/pcm", "rate": RATE}
        audio = {"input": {"turn_detection": None}, "output": {"format": pcm, "voice": self.voice}}
        session = {"type": "realtime", "output_modalities": ["audio"], "audio": audio, "tools": []}
        await self._send(ws, {"type": "session.update", "session": session})
        return ws

    @staticmethod
    async def _send(ws: ClientConnection, event: dict[str, Any]) -> None:
        await ws.send(msgspec.json.encode(event).decode())

    async def _once(self, text: str) -> AsyncGenerator[Sound, None]:
        """The sound of one response. Raises ServiceError."""
        response = _Response(f"say_{next(self._ids)}", text)
        options = {"conversation": "none", "input": [], "instructions": exactly(text), "tools": []}
        request = {"type": "response.create", "event_id": response.tag, "response": options}
        loop = asyncio.get_running_loop()
        whole = failed = False
        try:
            async with asyncio.timeout(FIRST_BYTE) as limit:
                latest = loop.time() + WHOLE
                ws = await self._connected()
                await self._send(ws, request | {"response": options | {"metadata": {"lipwire_say": response.tag}}})
                while not response.over:
                    sound = response.take(await ws.recv(), self)
                    if sound is not None:
                        limit.reschedule(None)
                        yield sound
                        limit.reschedule(min(loop.time() + BETWEEN, latest))
            whole = True
        except ServiceError:
            failed = True
            raise
        except TimeoutError as exc:
            failed = True
            raise self._passing("text to speech by OpenAI Realtime stalled") from exc
        except ConnectionClosed as exc:
            failed = True
            self.told(str(exc))
            raise self._passing("text to speech by OpenAI Realtime broke off") from exc
        finally:
            if not whole and not response.over:
                await self._drop()
                if not failed and not self._closed and self._opening is None:  # interrupted: the next answer comes soon
                    self._opening = loop.create_task(self._open())
                    self._opening.add_done_callback(_heed)
        if not response.ms:
            raise self._passing("text to speech by OpenAI Realtime sent no sound")

    async def _drop(self) -> None:
        """Whatever still comes on this connection is wanted by nobody: the next piece has one of its own."""
        ws, self._ws = self._ws, None
        if ws is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE):
                    await ws.close()

    def told(self, text: str) -> None:
        """Logs what only the operator may read."""
        details(text, self.url, self.api_key)

    @staticmethod
    def _passing(message: str) -> ServiceError:
        error = ServiceError(message)
        error.passing, error.wait = True, 0.0
        return error


class UntilItEnds:
    """Speaks by /audio/speech until that says that it is gone (404, 410), then by Realtime; a `tts.Tts`. Dates are
    announced, and clocks are wrong.

    Args:
        speech: of /audio/speech, with a model that is known to end.
        successor: makes what speaks from then on.
    """

    def __init__(self, speech: Tts, successor: Callable[[], Tts]) -> None:
        self._first = self._tts = speech
        self._successor: Callable[[], Tts] | None = successor

    async def close(self) -> None:
        for tts in {self._first, self._tts}:
            await tts.close()

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        asked = self._tts
        try:
            async with aclosing(asked.speak(text)) as sounds:
                async for sound in sounds:
                    yield sound
            return
        except ServiceError as exc:
            if exc.status not in (404, 410) or (self._successor is None and asked is self._tts):
                raise
            self._change(exc)
        async with aclosing(self._tts.speak(text)) as sounds:
            async for sound in sounds:
                yield sound

    def _change(self, exc: ServiceError) -> None:
        """Once, though several pieces find out; what the others have asked for is still answered."""
        if self._successor is not None:
            logger.warning("%s: agents speak through OpenAI Realtime from now on", exc)
            self._tts, self._successor = self._successor(), None


class _Response:
    """What comes of one piece of text.

    Args:
        tag: of the request, by which its refusal is known.
        text: what is to be said.
    """

    def __init__(self, tag: str, text: str) -> None:
        self.tag = tag
        self.over = False
        self.ms = 0.0
        """Of its sound that have come."""
        self._text = text
        self._id = ""

    def take(self, message: str | bytes, tts: RealtimeTts) -> Sound | None:
        """One event of the service. Raises ServiceError: it could not be said, or what came is no event."""
        try:
            event = msgspec.json.decode(message)
            kind = event["type"]
            if kind == "error":
                self._refused(event["error"], tts)
            elif kind == "response.created":
                self._id = self._id or event["response"]["id"]
            elif kind in _SOUND:
                return self._sound(event["delta"])
            elif kind in _TRANSCRIPT:
                self._check(event.get("transcript") or "")
            elif kind == "response.done":
                self._done(event["response"], tts)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            raise ServiceError("text to speech by OpenAI Realtime sent what is no event") from exc
        return None

    def _refused(self, error: dict[str, Any], tts: RealtimeTts) -> None:
        tts.told(str(error.get("message", error)))
        if error.get("event_id") in (None, self.tag):
            raise ServiceError(f"text to speech by OpenAI Realtime reported {word(error)}")

    def _sound(self, delta: str) -> Sound | None:
        try:
            pcm = base64.b64decode(delta, validate=True)
        except binascii.Error as exc:
            raise ValueError("the sound is no base64") from exc
        pcm = pcm[: len(pcm) // 2 * 2]
        self.ms += len(pcm) / 2 / RATE * 1000
        if self.ms > MAX_SPEECH_MS:
            raise ServiceError("text to speech by OpenAI Realtime does not come to an end; it was cut off")
        return Sound(pcm, RATE) if pcm else None

    def _check(self, said: str) -> None:
        if said and _plain(said) != _plain(self._text):
            logger.info("text to speech by OpenAI Realtime said %.200r in the place of %.200r", said, self._text)

    def _done(self, response: dict[str, Any], tts: RealtimeTts) -> None:
        if self._id and response.get("id") not in (None, self._id):
            return
        self.over = True
        status, details_of = response.get("status"), response.get("status_details") or {}
        if status in ("completed", None) or self.ms:
            return
        error = details_of.get("error") or {}
        tts.told(str(error.get("message", error)))
        raise ServiceError(f"text to speech by OpenAI Realtime failed: {word(error) if error else status}")


def _heed(task: asyncio.Task[ClientConnection]) -> None:
    """Whether it failed is seen by who waits for it; nobody may."""
    if not task.cancelled():
        task.exception()


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
