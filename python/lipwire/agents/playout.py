"""Playout: the agent's replies in their order, into a session, and the way of the session into the channel.

The brain hands over sound faster than it is spoken, and not always in order of speaking (a greeting may be asked for
while an answer streams). A `Playout` keeps the order, and makes each reply an utterance of its own, whose event id is
the reply's.

It can be held: then it is silent, and goes on later where it stopped, as an utterance of its own. For that, what the
session has been given of a reply is kept until it has been heard.

A session drops all that it has or nothing. So a reply that must not be interrupted has it for itself: it is handed over
when those before it have been heard, and those behind it wait.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .._core import BLOCK, Frame, SharedWriter
from ..channel.base import Channel
from ..errors import BufferFull, LipwireError
from ..protocol.messages import PlaybackFinished
from ..session.session import Session
from ..stream import Cue, Publisher, StreamSpec, Unit, Wants
from .replies import Reply
from .rest_of import rest_of

if TYPE_CHECKING:
    from .face import Face

logger = logging.getLogger("lipwire.agents")

KEPT_MS = 2000.0
"""Of what has been heard, how much is kept: a reply that was held goes on at the beginning of a word."""
MAX_WAITING = 16 << 20
"""Bytes of sound that may wait for the session, which holds some seconds itself; more is dropped."""


class _Track:
    """The sound of one reply on its way into the session."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.waiting: deque[tuple[bytes, int]] = deque()
        """(PCM, rate) that the session has had no room for yet."""
        self.given: deque[tuple[bytes, int]] = deque()
        """What the session has of the utterance, and before it what was just heard,"""
        self.given_ms = 0.0
        """from this position in the reply's sound on."""
        self.utterance = reply.id
        """The event id of the newest utterance that says it,"""
        self.from_ms = 0.0
        """which begins at this position in the reply's sound."""
        self.begun = False
        """Whether it has been seen that this utterance is heard."""
        self.stops = 0
        """How often it was held while it was heard."""
        self.written = False
        """Whether the session has some of it."""
        self.ended = False
        """Whether the session has all of it."""
        self.lost = False
        """Whether some of it could not be played, which has been logged."""

    def forget(self, before_ms: float) -> None:
        """What is given is not needed any more up to this position."""
        while self.given:
            pcm, rate = self.given[0]
            ms = len(pcm) / 2 / rate * 1000
            if self.given_ms + ms > before_ms:
                return
            self.given.popleft()
            self.given_ms += ms

    def take_back(self, at_ms: float) -> int:
        """Nothing of it is in the session any more: what it had from this position on, or from the beginning of the
        word there, waits again. Returns how many bytes that is."""
        rest, back_ms = rest_of(list(self.given), at_ms - self.given_ms, self.reply.words, self.given_ms)
        self.waiting.extendleft(reversed(rest))
        self.from_ms = self.given_ms = self.given_ms + back_ms
        self.given.clear()
        self.stops += 1
        self.utterance = f"{self.reply.id}+{self.stops}"
        self.begun = self.written = self.ended = False
        return sum(len(pcm) for pcm, _ in rest)


class Playout:
    """The replies that have begun and are not over, in the order in which they are said.

    Args:
        session: speaks. Its utterances must end by `end` alone: no grace, a long timeout.
        on_finished: called with a reply that has been heard to its end, or that had no sound at all.
        face: says it in the session's place, where there is one.
    """

    def __init__(self, session: Session, on_finished: Callable[[Reply], None], face: Face | None = None) -> None:
        self._session = session
        self._face = face
        self._on_finished = on_finished
        self._tracks: dict[str, _Track] = {}
        self._waiting = 0
        self._held = False
        self._stopped: tuple[str | None, float] = (None, 0.0)
        """While it is held: where it stopped."""
        self.lost = 0
        """Bytes of sound that there was no room for, or that could not be played."""

    def add(self, reply: Reply, before: Reply | None = None) -> None:
        """Says it after those that are there, or `before` one of them of which nothing has been said."""
        track = self._tracks.get(before.id) if before is not None else None
        names = list(self._tracks)
        behind = names[names.index(track.reply.id) :] if track is not None and not track.written else []
        self._tracks[reply.id] = _Track(reply)
        for name in behind:
            self._tracks[name] = self._tracks.pop(name)

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

    @property
    def heard(self) -> tuple[str | None, float]:
        """How far speech has been heard: (id, ms of its sound) of the reply that is said, was when it was held, or is
        about to go on; (None, 0.0) when none is."""
        if self._stopped[0] is not None:
            return self._stopped
        name, ms = self._session.heard if self._face is None else self._face.heard(self._session.heard)
        track = self._said_by(name)
        if track is not None:
            track.begun = True
            return track.reply.id, track.from_ms + ms
        track = next((track for track in self._tracks.values() if track.from_ms and not track.begun), None)
        return (track.reply.id, track.from_ms) if track is not None else (None, 0.0)

    def _said_by(self, utterance: str | None) -> _Track | None:
        """The track that this utterance of the session's says now."""
        return next((track for track in self._tracks.values() if track.utterance == utterance), None)

    def hold(self) -> None:
        """Falls silent, and keeps what is not heard yet of what may be interrupted. What must not be goes on."""
        if self._held:
            return
        name, ms = self.heard
        self._held = True
        written = [track for track in self._tracks.values() if track.written]
        if not written or not all(track.reply.interruptable for track in written):
            return
        self._stopped = name, ms
        for track in written:
            self._waiting += track.take_back(ms if track.reply.id == name else track.given_ms)
        self._session.interrupt()

    def release(self) -> None:
        """Goes on."""
        self._held, self._stopped = False, (None, 0.0)
        self.flush()

    def flush(self) -> None:
        """Hands the session what it has room for. To be called now and then while something waits."""
        name, ms = self.heard
        if name is not None:
            self._tracks[name].forget(ms - KEPT_MS)
        for n, track in enumerate(tuple(self._tracks.values())):
            reply = track.reply
            if self._held and not (track.written and not reply.interruptable):
                return
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
                self._session.write(pcm, rate, track.utterance)
                track.written = True
                track.given.append((pcm, rate))
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
                self._session.end(track.utterance)
            else:
                del self._tracks[reply.id]
                self._on_finished(reply)

    def playback_finished(self, event: PlaybackFinished) -> None:
        """The session has played an utterance."""
        track = self._said_by(event.event_id)
        if track is None or event.interrupted or (self._face is not None and self._face.keeps(event)):
            return
        self._over(track)

    def face_finished(self, event: PlaybackFinished) -> None:
        """The face has played an utterance that the session had played."""
        if (track := self._said_by(event.event_id)) is not None:
            self._over(track)

    def _over(self, track: _Track) -> None:
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
        if self._stopped[0] not in (None, *self._tracks):
            self._stopped = None, 0.0
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
    """The session's way into the channel: the publisher that counts the time by which the agent goes. What a `face`
    says, who is in the channel by itself, is silent in the agent's own track."""

    def __init__(
        self,
        channel: Channel,
        on_block: Callable[[int], None],
        on_sound: Callable[[bytes], None] | None = None,
        face: Face | None = None,
    ) -> None:
        self._channel = channel
        self._on_block = on_block
        self._on_sound = on_sound
        self._face = face
        self.said: Callable[[], str | None] = _nothing
        """Which utterance of the session's the newest block is of; set by who has the session, where there is a
        face."""

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """The channel's memory, where it has some for the session to draw in."""
        return self._channel.memory(spec, slots)

    @property
    def audio_blocks(self) -> int:  # type: ignore[override]
        """As many as the channel takes."""
        return self._channel.audio_blocks

    @property
    def wants(self) -> Wants:
        """What the channel wants."""
        return self._channel.wants

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        """Whether the channel does."""
        return self._channel.takes_units

    @property
    def request_key(self) -> Callable[[], None]:
        """The channel's."""
        return self._channel.request_key

    @request_key.setter
    def request_key(self, request_key: Callable[[], None]) -> None:
        self._channel.request_key = request_key

    async def open(self, spec: StreamSpec) -> None:
        """Joins the channel, and waits for the face, which may not come."""
        await self._channel.open(spec)
        if self._face is not None:
            try:
                await self._face.open()
            except BaseException:
                await self.close()
                raise

    def audio(self, pcm: bytes, sample: int) -> None:
        """Carries 10 ms of sound into the channel, or as many times that as it takes; each of them is counted."""
        away = self._face is not None and self._face.speak(pcm, sample, self.said())
        self._channel.audio(bytes(len(pcm)) if away else pcm, sample)
        if self._on_sound is not None:
            self._on_sound(pcm)
        for at in range(sample, sample + len(pcm) // 2, BLOCK):
            self._on_block(at)

    def video(self, frame: Frame) -> None:
        """Carries a picture into the channel."""
        self._channel.video(frame)

    def unit(self, unit: Unit) -> None:
        """Carries a picture as encoded video into the channel."""
        self._channel.unit(unit)

    @property
    def takes_motion(self) -> bool:
        """Whether the channel does."""
        return self._channel.takes_motion

    def motion(self, frame: Frame) -> None:
        """Carries a pose into the channel."""
        self._channel.motion(frame)

    def cue(self, cue: Cue) -> None:
        """Tells the channel what happened."""
        self._channel.cue(cue)

    def interrupt(self) -> None:
        """Nobody hears any more what waits in the channel."""
        self._channel.interrupt()
        if self._face is not None:
            self._face.interrupt()

    async def close(self) -> None:
        """Leaves the channel, as does the face. Nobody counts any more: who did has this."""
        try:
            if self._face is not None:
                await self._face.close()
        finally:
            try:
                await self._channel.close()
            finally:
                self._on_block, self._on_sound, self.said = _uncounted, None, _nothing


def _nothing() -> None:
    """No utterance."""


def _uncounted(sample: int) -> None:
    """What counts the blocks of an agent that has ended."""
