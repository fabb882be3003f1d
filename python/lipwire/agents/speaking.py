"""What the agent says: replies in their order, into a session, and how much of each has been heard.

The brain hands over text and sound faster than they are spoken, and not always in order of speaking (a greeting may
be asked for while an answer streams). A `Speaker` keeps the order, makes each reply an utterance of its own, whose
event id is the reply's, and knows from the session's count of samples what was heard of which.

A session drops all that it has or nothing. So a reply that must not be interrupted has it for itself: it is handed over
when those before it have been heard, and those behind it wait.
"""

from __future__ import annotations

import bisect
import logging
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from .._core import Frame, SharedWriter
from ..channel.base import Channel
from ..errors import BufferFull, LipwireError
from ..protocol.messages import PlaybackFinished
from ..session.session import Session
from ..stream import Publisher, StreamSpec
from .brains.base import ReplyText, Word

logger = logging.getLogger("lipwire.agents")

MAX_REPLIES = 32
"""Replies that may wait; another one is refused."""
MAX_WAITING = 16 << 20
"""Bytes of sound that may wait for the session, which holds some seconds itself; more is dropped."""
MS_A_CHARACTER = 65
"""How long a character takes to be said, where nothing better is known yet."""


class _Piece(Struct):
    """Text that came together."""

    first: int
    """Where it begins in the reply's text."""
    at_ms: float
    end_ms: float | None
    """None: not said by who made it."""


class Reply:
    """One thing that the agent says."""

    def __init__(self, reply_id: str, turn_id: int, *, interruptable: bool = True) -> None:
        self.id = reply_id
        self.turn_id = turn_id
        self.interruptable = interruptable
        self.text = ""
        """As far as it is known."""
        self.words: list[Word] = []
        self.received_ms = 0.0
        """Sound received so far."""
        self.complete = False
        """All of it has been received."""
        self.started = False
        """Its first sample has been handed to the channel."""
        self.failed = False
        self.lost = 0
        """Bytes of sound that could not be kept."""
        self.sound: deque[tuple[bytes, int]] = deque()
        """What the session has no room for yet."""
        self.written = False
        """The session has some of it."""
        self.ended = False
        """The session has all of it."""
        self._pieces: list[_Piece] = []

    def add(self, said: ReplyText) -> None:
        """More text."""
        at = self.received_ms if said.at_ms is None else float(said.at_ms)
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.end_ms is None and at <= last.at_ms:
            pass  # no sound came between them: one piece
        elif said.text:
            end = None if said.duration_ms is None else at + said.duration_ms
            self._pieces.append(_Piece(len(self.text), at, end))
        self.text += said.text
        self.words.extend(said.words)

    def close(self, text: str) -> None:
        """All of it is there. `text` is all of its text."""
        self.complete = True
        if not self._pieces and text:
            self._pieces.append(_Piece(0, 0.0, None))
            self.text = text

    def heard(self, ms: float) -> str:
        """The text that has been said in the first `ms` of the sound, cut between words."""
        if ms <= 0:
            return ""
        if self.complete and not self.failed and ms >= self.received_ms:
            return self.text.strip()
        n = bisect.bisect_right(self._pieces, ms, key=lambda piece: piece.at_ms) - 1
        if n < 0:
            return ""
        piece = self._pieces[n]
        last = n + 1 == len(self._pieces)
        after = len(self.text) if last else self._pieces[n + 1].first
        if piece.end_ms is not None:
            end = piece.end_ms
        elif not last:
            end = self._pieces[n + 1].at_ms
        elif self.complete:
            end = self.received_ms
        else:
            end = max(self.received_ms, piece.at_ms + MS_A_CHARACTER * (after - piece.first))
        if ms >= end:
            return self.text[:after].strip()
        cut = piece.first + int((after - piece.first) * (ms - piece.at_ms) / max(end - piece.at_ms, 1.0))
        if cut < len(self.text) and not self.text[cut].isspace():
            space = max(self.text.rfind(" ", 0, cut), self.text.rfind("\n", 0, cut))
            cut = max(space, piece.first, 0)
        return self.text[:cut].strip()

    def heard_words(self, ms: float) -> list[Word]:
        """The words that have begun by then, where the brain gave them."""
        return [word for word in self.words if word.start_ms < ms]


class Cut(Struct):
    """A reply that was interrupted: how much of it was heard."""

    reply: Reply
    played_ms: float
    text: str


class Speaker:
    """The agent's replies.

    Args:
        session: speaks. Its utterances must end by `end` alone: no grace, a long timeout.
        on_started: a reply's first sample is in the channel.
        on_finished: a reply has been heard to its end, or had no sound at all.
    """

    def __init__(
        self, session: Session, on_started: Callable[[Reply], None], on_finished: Callable[[Reply], None]
    ) -> None:
        self._session = session
        self._on_started = on_started
        self._on_finished = on_finished
        self._replies: dict[str, Reply] = {}
        self._waiting = 0
        self.lost = 0
        """Bytes of sound that there was no room for, or that could not be played."""

    @property
    def replies(self) -> list[Reply]:
        """Those that have not been heard to their end, in order."""
        return list(self._replies.values())

    @property
    def speaking(self) -> bool:
        """Whether a reply can be heard."""
        return any(reply.started for reply in self._replies.values())

    @property
    def full(self) -> bool:
        """Whether another reply would be one too many."""
        return len(self._replies) >= MAX_REPLIES

    def get(self, reply_id: str) -> Reply | None:
        """A reply that has not been heard to its end."""
        return self._replies.get(reply_id)

    def begin(self, reply: Reply) -> None:
        """It is spoken after those that are there."""
        self._replies[reply.id] = reply

    def sound(self, reply: Reply, pcm: bytes, rate: int) -> None:
        """More sound of it."""
        if not pcm or reply.complete:
            return
        if rate <= 0:
            self._lose(reply, len(pcm), f"a rate of {rate} Hz")
            return
        if self._waiting + len(pcm) > MAX_WAITING:
            self._lose(reply, len(pcm), "too much sound waits")
            return
        reply.sound.append((pcm, rate))
        reply.received_ms += len(pcm) / 2 / rate * 1000
        self._waiting += len(pcm)
        self.flush()

    def finish(self, reply: Reply, text: str) -> None:
        """All of it is there."""
        reply.close(text)
        self.flush()

    def flush(self) -> None:
        """Hands the session what it has room for. To be called now and then while something waits."""
        for n, reply in enumerate(self.replies):
            if reply.id not in self._replies:
                continue  # who was told of another's end has interrupted it
            if not reply.interruptable and n > 0:
                return
            if not reply.ended:
                self._write(reply)
            if not reply.ended or (not reply.interruptable and reply.written):
                return  # the next one waits for the rest of this, or for its end

    def _write(self, reply: Reply) -> None:
        while reply.sound:
            pcm, rate = reply.sound[0]
            try:
                self._session.write(pcm, rate, reply.id)
                reply.written = True
            except BufferFull:
                if len(pcm) <= rate:  # half a second: there will be room for it soon
                    return
                half = len(pcm) // 4 * 2
                reply.sound[0] = pcm[:half], rate
                reply.sound.insert(1, (pcm[half:], rate))
                continue
            except LipwireError as exc:  # what the brain sent is no sound
                reply.received_ms -= len(pcm) / 2 / rate * 1000
                self._lose(reply, len(pcm), str(exc))
            reply.sound.popleft()
            self._waiting -= len(pcm)
        if reply.complete:
            reply.ended = True
            if reply.written:
                self._session.end(reply.id)
            else:
                del self._replies[reply.id]
                self._on_finished(reply)

    def block(self) -> None:
        """A block of sound has been handed to the channel."""
        name, _ = self._session.heard
        reply = self._replies.get(name) if name is not None else None
        if reply is not None and not reply.started:
            reply.started = True
            self._on_started(reply)

    def played(self, reply: Reply) -> float:
        """How many ms of it have been heard so far."""
        name, ms = self._session.heard
        return ms if name == reply.id else 0.0

    def playback_finished(self, event: PlaybackFinished) -> None:
        """The session has played a reply."""
        reply = self._replies.get(event.event_id or "")
        if reply is None or event.interrupted:
            return
        if not reply.complete:  # nothing came for so long that the session gave it up
            reply.complete = reply.failed = True
            self._drop_sound(reply)
        del self._replies[reply.id]
        self._on_finished(reply)
        self.flush()

    def interrupt(self, *, force: bool = False) -> list[Cut]:
        """Stops what may be interrupted (`force`: everything). Returns what was cut off, in order."""
        dropped = [reply for reply in self.replies if force or reply.interruptable]
        silence = any(reply.written for reply in dropped)
        cuts = []
        for reply in dropped:
            ms = self.played(reply)
            cuts.append(Cut(reply, ms, reply.heard(ms)))
            self._drop_sound(reply)
            del self._replies[reply.id]
        if silence:
            self._session.interrupt()
        self.flush()
        return cuts

    def _drop_sound(self, reply: Reply) -> None:
        self._waiting -= sum(len(pcm) for pcm, _ in reply.sound)
        reply.sound.clear()

    def _lose(self, reply: Reply, count: int, why: str) -> None:
        if not reply.lost:
            logger.warning("reply %s loses sound: %s", reply.id, why)
        reply.lost += count
        self.lost += count


class Outlet(Publisher):
    """The session's way into the channel, on which the agent counts time."""

    def __init__(self, channel: Channel, on_block: Callable[[int], None]) -> None:
        self._channel = channel
        self._on_block = on_block

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """The channel's, where it has some for the session to draw in."""
        return self._channel.memory(spec, slots)

    async def open(self, spec: StreamSpec) -> None:
        """Joins."""
        await self._channel.open(spec)

    def audio(self, pcm: bytes, sample: int) -> None:
        """10 ms."""
        self._channel.audio(pcm, sample)
        self._on_block(sample)

    def video(self, frame: Frame) -> None:
        """A picture."""
        self._channel.video(frame)

    def interrupt(self) -> None:
        """What waits is stale."""
        self._channel.interrupt()

    async def close(self) -> None:
        """Leaves."""
        await self._channel.close()
