"""A recording in the place of the greeting: fetched, decoded, and handed over as a brain hands over a reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from msgspec import Struct

from ..audio.sound_reader import SoundReader
from ..errors import BadData, LipwireError
from ..outward import ANY, Outward
from .brains.base import BrainEvent, ReplyAudio, ReplyFinished, ReplyStarted, ReplyText
from .face_tags import plain
from .http import ServiceError, fetch
from .options import Greeting

logger = logging.getLogger("lipwire.agents")

MAX_BYTES = 16 << 20
"""Of a recording as it comes."""
MAX_SECONDS = 60.0
"""Of a recording as it is played."""
_PIECE = 1 << 16
_PRINTABLE = frozenset(b"\t\n\r" + bytes(range(32, 127)))


@runtime_checkable
class Remembering(Protocol):
    """What a brain has besides that remembers what somebody else has said in the agent's place."""

    def remember(self, reply_id: str, text: str) -> None:
        """The agent says this, as a reply that `interrupted` may name."""


class Recording(Struct, frozen=True):
    """Sound: (PCM16 mono, its rate in Hz), in order."""

    sound: tuple[tuple[bytes, int], ...]

    @property
    def ms(self) -> float:
        """How long it is."""
        return sum(len(pcm) / 2 / rate * 1000 for pcm, rate in self.sound)

    def as_reply(self, reply_id: str, text: str, now_ns: int) -> Iterator[BrainEvent]:
        """What says it, with `text` over all of it."""
        text = plain(text)
        yield ReplyStarted(reply_id, now_ns)
        if text:
            yield ReplyText(reply_id, text, 0, round(self.ms))
        for pcm, rate in self.sound:
            yield ReplyAudio(reply_id, pcm, rate)
        yield ReplyFinished(reply_id, text)


async def read(data: bytes, rate: int) -> Recording:
    """A recording: WAV, MP3, Ogg or another container, or plain PCM16 mono at `rate` Hz.

    Raises:
        BadData: it is no sound, is broken, or has more than MAX_SECONDS.
    """
    if not data or all(byte in _PRINTABLE for byte in data[:256]):  # which no sound begins with, and any message does
        raise BadData("it is no sound")
    reader = SoundReader(rate=rate, most=MAX_SECONDS)
    found: list[tuple[bytes, int]] = []
    seconds = 0.0
    try:
        for at in range(0, len(data) + 1, _PIECE):
            piece = data[at : at + _PIECE]
            more = await reader.take(piece) if piece else []
            if at + _PIECE > len(data):
                more += await reader.end()
            for pcm, hz in more:
                seconds += len(pcm) / 2 / hz
                found.append((pcm, hz))
            if seconds > MAX_SECONDS:
                raise BadData(f"it has more than {MAX_SECONDS:g} s")
            await asyncio.sleep(0)
    finally:
        reader.close()
    if not seconds:
        raise BadData("it is no sound")
    return Recording(tuple(found))


class GreetingSound:
    """The recording of an agent's greeting. It is fetched before anybody comes, and kept.

    Args:
        greeting: where it is (`audio_url`), and what getting it may take.
        outward: where that may lead; None = it is the operator's own URL.
    """

    def __init__(self, greeting: Greeting, outward: Outward | None) -> None:
        self._greeting = greeting
        self._outward = outward or Outward([ANY])
        self._task: asyncio.Task[Recording] | None = None

    def start(self) -> None:
        """Begins to fetch it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._get(), name="lipwire-greeting")

    async def _get(self) -> Recording:
        url, most = self._greeting.audio_url, self._greeting.audio_timeout_ms / 1000
        data = await fetch("the greeting's recording", url, self._outward, most=MAX_BYTES, seconds=most)
        try:
            return await read(data, self._greeting.audio_rate)
        except BadData as exc:
            raise ServiceError(f"the greeting's recording cannot be played: {exc}") from exc

    async def get(self) -> Recording:
        """It, when it is there. After a failure it is fetched again. Raises LipwireError: it cannot be had."""
        self.start()
        task = self._task
        assert task is not None
        try:
            return await asyncio.shield(task)
        except LipwireError:
            if self._task is task:
                self._task = None
            raise

    async def close(self) -> None:
        """Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
