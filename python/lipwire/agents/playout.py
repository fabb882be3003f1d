"""Playout: the agent's replies in their order, into a session, and the way of the session into the channel.

The brain hands over sound faster than it is spoken, and not always in order of speaking (a greeting may be asked for
while an answer streams). A `Playout` keeps the order, and makes each reply an utterance of its own, whose event id is
the reply's.

A session drops all that it has or nothing. So a reply that must not be interrupted has it for itself: it is handed over
when those before it have been heard, and those behind it wait.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from .._core import Frame, SharedWriter
from ..channel.base import Channel
from ..errors import BufferFull, LipwireError
from ..protocol.messages import PlaybackFinished
from ..session.session import Session
from ..stream import Publisher, StreamSpec
from .replies import Reply

logger = logging.getLogger("lipwire.agents")

MAX_WAITING = 16 << 20
"""Bytes of sound that may wait for the session, which holds some seconds itself; more is dropped."""


class _Track:
    """The sound of one reply on its way into the session."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.waiting: deque[tuple[bytes, int]] = deque()
        """(PCM, rate) that the session has had no room for yet."""
        self.written = False
        """Whether the session has some of it."""
        self.ended = False
        """Whether the session has all of it."""
        self.lost = False
        """Whether some of it could not be played, which has been logged."""


class Playout:
    """The replies that have begun and are not over, in the order in which they are said.

    Args:
        session: speaks. Its utterances must end by `end` alone: no grace, a long timeout.
        on_finished: called with a reply that has been heard to its end, or that had no sound at all.
    """

    def __init__(self, session: Session, on_finished: Callable[[Reply], None]) -> None:
        self._session = session
        self._on_finished = on_finished
        self._tracks: dict[str, _Track] = {}
        self._waiting = 0
        self.lost = 0
        """Bytes of sound that there was no room for, or that could not be played."""

    def add(self, reply: Reply) -> None:
        """Says it after those that are there."""
        self._tracks[reply.id] = _Track(reply)

    def sound(self, reply: Reply, pcm: bytes, rate: int) -> None:
        """Takes more sound of a reply: PCM16 mono at `rate` Hz."""
        track = self._tracks.get(reply.id)
        if not pcm or track is None or reply.complete:
            return
        if rate <= 0:
            self._lose(track, len(pcm), f"a rate of {rate} Hz")
            return
        if self._waiting + len(pcm) > MAX_WAITING:
            self._lose(track, len(pcm), "too much sound waits")
            return
        track.waiting.append((pcm, rate))
        reply.received_ms += len(pcm) / 2 / rate * 1000
        self._waiting += len(pcm)
        self.flush()

    def finish(self, reply: Reply, text: str) -> None:
        """Nothing more of a reply follows; `text` is all of its text."""
        reply.close(text)
        self.flush()

    def flush(self) -> None:
        """Hands the session what it has room for. To be called now and then while something waits."""
        for n, track in enumerate(tuple(self._tracks.values())):
            reply = track.reply
            if not reply.interruptable and n > 0:
                return
            if not track.ended:
                self._write(track)
            if not track.ended or (not reply.interruptable and track.written):
                return  # the next one waits for the rest of this, or for its end

    def _write(self, track: _Track) -> None:
        reply = track.reply
        while track.waiting:
            pcm, rate = track.waiting[0]
            try:
                self._session.write(pcm, rate, reply.id)
                track.written = True
            except BufferFull:
                if len(pcm) <= rate:  # half a second: there will be room for it soon
                    return
                half = len(pcm) // 4 * 2
                track.waiting[0] = pcm[:half], rate
                track.waiting.insert(1, (pcm[half:], rate))
                continue
            except LipwireError as exc:  # what the brain sent is no sound
                reply.received_ms -= len(pcm) / 2 / rate * 1000
                self._lose(track, len(pcm), str(exc))
            track.waiting.popleft()
            self._waiting -= len(pcm)
        if reply.complete:
            track.ended = True
            if track.written:
                self._session.end(reply.id)
            else:
                del self._tracks[reply.id]
                self._on_finished(reply)

    def playback_finished(self, event: PlaybackFinished) -> None:
        """The session has played an utterance."""
        track = self._tracks.get(event.event_id or "")
        if track is None or event.interrupted:
            return
        reply = track.reply
        if not reply.complete:  # nothing came for so long that the session gave it up
            reply.complete, reply.outcome = True, "failed"
            self._drop_sound(track)
        del self._tracks[reply.id]
        self._on_finished(reply)
        self.flush()

    def drop(self, replies: Iterable[Reply]) -> None:
        """Stops these. All that the session has is among them, or none of it."""
        dropped = [track for reply in replies if (track := self._tracks.pop(reply.id, None)) is not None]
        for track in dropped:
            self._drop_sound(track)
        if any(track.written for track in dropped):
            self._session.interrupt()
        self.flush()

    def _drop_sound(self, track: _Track) -> None:
        self._waiting -= sum(len(pcm) for pcm, _ in track.waiting)
        track.waiting.clear()

    def _lose(self, track: _Track, count: int, why: str) -> None:
        if not track.lost:
            track.lost = True
            logger.warning("reply %s loses sound: %s", track.reply.id, why)
        self.lost += count


class ChannelSink(Publisher):
    """The session's way into the channel: the publisher that counts the time by which the agent goes."""

    def __init__(self, channel: Channel, on_block: Callable[[int], None]) -> None:
        self._channel = channel
        self._on_block = on_block

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """The channel's memory, where it has some for the session to draw in."""
        return self._channel.memory(spec, slots)

    async def open(self, spec: StreamSpec) -> None:
        """Joins the channel."""
        await self._channel.open(spec)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Carries 10 ms of sound into the channel."""
        self._channel.audio(pcm, sample)
        self._on_block(sample)

    def video(self, frame: Frame) -> None:
        """Carries a picture into the channel."""
        self._channel.video(frame)

    def interrupt(self) -> None:
        """Nobody hears any more what waits in the channel."""
        self._channel.interrupt()

    async def close(self) -> None:
        """Leaves the channel. Nobody counts any more: who did has this."""
        try:
            await self._channel.close()
        finally:
            self._on_block = _uncounted


def _uncounted(sample: int) -> None:
    """What counts the blocks of an agent that has ended."""
