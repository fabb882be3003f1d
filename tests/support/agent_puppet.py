"""A channel in memory, a clock that tests turn, and a brain whose strings they pull."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lipwire import Resampler, _core
from lipwire.agents.agent import EventQueue
from lipwire.agents.brains import base as b
from lipwire.channel.base import Channel, ChannelEvent, Heard, Message, UserJoined, UserLeft
from lipwire.errors import BadState, InvalidArgument
from lipwire.protocol import transcript as t
from lipwire.session.runtime import Drainable, Runtime
from lipwire.stream import StreamSpec

RATE, BLOCK = _core.RATE, _core.BLOCK


class Clock(Runtime):
    """Ticks the sessions of the running loop as fast as it is told to, in place of the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        Runtime._of_loop[asyncio.get_running_loop()] = self

    def attach(self, session: Drainable) -> None:
        self._sessions[session.performer] = session

    async def detach(self, session: Drainable) -> None:
        if self._sessions.pop(session.performer, None) is not None:
            session.drain()

    def tick(self) -> None:
        """10 ms."""
        self.now += BLOCK
        for session in tuple(self._sessions.values()):
            session.performer.tick(self.now * 1_000_000_000 // RATE)
            session.drain()

    async def run(self, seconds: float) -> None:
        """So much of it; tasks run in between."""
        for _ in range(round(seconds * 100)):
            self.tick()
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Until it holds, at most so many seconds of the clock; threads get a little time."""
        for n in range(round(seconds * 100)):
            if condition():
                return
            self.tick()
            await asyncio.sleep(0 if n % 10 else 0.001)
        raise AssertionError("it did not come to that")


class MemoryRoom:
    """Who is in it hears and sees each other."""

    def __init__(self) -> None:
        self.members: dict[str, MemoryChannel] = {}

    def others(self, user: str) -> list[MemoryChannel]:
        return [member for name, member in self.members.items() if name != user]


class MemoryChannel(Channel):
    """One's place in a room. Blocks are kept where `record`."""

    packet_size = t.PACKET

    def __init__(self, room: MemoryRoom, user: str, *, record: bool = True) -> None:
        self.room = room
        self.user = user
        self.on_event: Callable[[ChannelEvent], None] | None = None
        self.spec: StreamSpec | None = None
        self.record = record
        self.blocks: list[bytes] = []
        self.clock = 0
        self.frames = 0
        self.sent: list[bytes] = []
        self.interrupts: list[int] = []
        """Clock at each."""
        self.tokens: list[str] = []
        self.subscriptions: dict[str | None, tuple[bool, bool]] = {}
        self._down = Resampler(RATE, 16_000)
        self._heard = b""

    def emit(self, event: ChannelEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)

    async def open(self, spec: StreamSpec) -> None:
        if self.user in self.room.members:
            raise BadState("the name is taken")
        self.spec = spec
        self.room.members[self.user] = self
        for other in self.room.others(self.user):
            other.emit(UserJoined(self.user))
            self.emit(UserJoined(other.user))

    async def close(self) -> None:
        if self.room.members.pop(self.user, None) is not None:
            for other in self.room.members.values():
                other.emit(UserLeft(self.user))

    def audio(self, pcm: bytes, sample: int) -> None:
        assert len(pcm) == 2 * BLOCK and sample == self.clock and self.spec is not None
        self.clock += BLOCK
        if self.record:
            self.blocks.append(pcm)
        if any(member.hears(self.user) for member in self.room.others(self.user)):
            self._heard += bytes(self._down.process(pcm))
            while len(self._heard) >= 320:
                self.say(self._heard[:320])
                self._heard = self._heard[320:]

    def video(self, frame: _core.Frame) -> None:
        self.frames += 1

    def hears(self, user: str) -> bool:
        return any(name in (None, user) and audio for name, (audio, _) in self.subscriptions.items())

    def say(self, pcm16k: bytes) -> None:
        """10 ms at a time, to everyone who listens."""
        for at in range(0, len(pcm16k), 320):
            for member in self.room.others(self.user):
                if member.hears(self.user):
                    member.emit(Heard(self.user, pcm16k[at : at + 320]))

    def send(self, data: bytes) -> None:
        if not 0 < len(data) <= t.PACKET or 0 in data:
            raise InvalidArgument("no packet")
        if self.record:
            self.sent.append(data)
        for member in self.room.others(self.user):
            member.emit(Message(self.user, data))

    def interrupt(self) -> None:
        self.interrupts.append(self.clock)

    def renew(self, token: str) -> None:
        self.tokens.append(token)

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        self.subscriptions[user] = audio, video

    def unsubscribe(self, user: str | None = None) -> None:
        self.subscriptions.pop(user, None)

    def stats(self) -> dict[str, Any]:
        return {"blocks": self.clock // BLOCK}

    # ---- what came out

    @property
    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """All of the sound, from sample 0 on."""
        return np.frombuffer(b"".join(self.blocks), np.int16)

    def messages(self) -> list[t.TranscriptMessage]:
        """What was sent, joined and decoded."""
        assembler = t.Assembler()
        whole = [assembler.add(packet, 0.0) for packet in self.sent]
        assert assembler.ignored == assembler.dropped == len(assembler) == 0
        return [t.decode(payload) for payload in whole if payload is not None]


class Puppet:
    """A brain that does nothing by itself and notes what it is told."""

    def __init__(self) -> None:
        self._queue: Callable[[b.BrainEvent], None] = lambda event: None
        self.calls: list[tuple[Any, ...]] = []
        self.frames: list[bytes] = []
        self.opened = self.closed = 0
        self.said = 0

    async def open(self, emit: Callable[[b.BrainEvent], None]) -> None:
        self.opened += 1
        self._queue = emit

    async def close(self) -> None:
        self.closed += 1

    def hear(self, pcm: bytes, user: str) -> None:
        self.frames.append(pcm)

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        self.calls.append(("sent" if sent else "see", user, jpeg))

    def tell(self, text: str, role: Literal["user", "system"] = "user", **more: Any) -> None:
        self.calls.append(("tell", text, role, more) if more else ("tell", text, role))

    def respond(self, instructions: str | None = None) -> None:
        self.calls.append(("respond", instructions))

    def speak(self, text: str) -> str:
        self.said += 1
        self.calls.append(("speak", text))
        return f"said-{self.said}"

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        self.calls.append(("interrupted", reply_id, played_ms, text))

    def commit(self) -> None:
        self.calls.append(("commit",))

    def update(self, changes: dict[str, Any]) -> None:
        self.calls.append(("update", changes))

    def tool_result(self, call_id: str, output: str) -> None:
        self.calls.append(("tool_result", call_id, output))

    # ---- strings to pull

    def emit(self, event: b.BrainEvent) -> None:
        """An event, which the agent takes at once and not with the event loop's next turn."""
        self._queue(event)
        if isinstance(self._queue, EventQueue):
            self._queue.drain()

    def reply(self, reply_id: str, pcm: bytes, text: str = "", rate: int = RATE, *, finish: bool = True) -> None:
        """A reply at once: its text over all of its sound."""
        self.emit(b.ReplyStarted(reply_id, time.monotonic_ns()))
        if text:
            self.emit(b.ReplyText(reply_id, text, 0, round(len(pcm) / 2 / rate * 1000)))
        self.emit(b.ReplyAudio(reply_id, pcm, rate))
        if finish:
            self.emit(b.ReplyFinished(reply_id, text))

    def user_says(self, text: str, item: str = "i1") -> None:
        self.emit(b.SpeechStarted(time.monotonic_ns()))
        self.emit(b.SpeechStopped(time.monotonic_ns()))
        self.emit(b.UserText(item, text, True))


def tone(seconds: float, hz: float = 200.0, rate: int = RATE, peak: int = 8000) -> bytes:
    """PCM16 mono."""
    n = np.arange(round(seconds * rate)) / rate
    return (np.cos(2 * np.pi * hz * n) * peak).astype(np.int16).tobytes()


def channel_is_complete() -> None:
    """Checked by mypy, not run: a MemoryChannel is a Channel, a Puppet a Brain."""

    _: tuple[Channel, b.Brain] = (MemoryChannel(MemoryRoom(), "x"), Puppet())
