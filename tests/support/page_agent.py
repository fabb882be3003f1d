"""A stand-in for the agent runtime: it answers whoever speaks or types in its room, and falls silent when spoken to.

It hears by loudness alone, so what it writes of the user's speech is how long it was. What it sends is what the page is
written for: v2 objects in packets (protocol.md E).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import lipwire
from lipwire.channel.base import ChannelEvent, Heard, Message
from lipwire.channel.room.room import Rooms
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted
from lipwire.servers.rooms import AgentRequest

LOUD = 500.0
"""RMS of 10 ms that counts as voiced."""
ONSET, SILENCE = 8, 60
"""10 ms blocks: voiced ones that begin a turn, unvoiced ones that end it."""
PART = 400
"""Bytes of a packet's part: small, so that messages come in several."""

Say = Callable[[str], tuple[bytes, int]]


class PageAgent:
    """One agent in one room."""

    def __init__(self, rooms: Rooms, request: AgentRequest, say: Say, answer: str, size: tuple[int, int]) -> None:
        self.request, self._say, self._answer = request, say, answer
        self.channel = rooms.channel(request.channel, "9000", self._event)
        if request.avatar == "":
            self.channel.video = lambda frame: None  # type: ignore[method-assign]
        self.session = lipwire.Session(self.channel, avatar=request.avatar or "aria", size=size, on_event=self._played)
        self.heard: list[str] = []
        self.interrupts = 0
        self.speaking = False
        self._ids = itertools.count(1)
        self._turn = self._reply_turn = 0
        self._sequence = 0
        self._voiced = self._quiet = self._turn_blocks = 0
        self._in_turn = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._said = ""
        self._asked = 0.0

    async def start(self) -> None:
        await self.session.start()
        self.channel.subscribe(audio=True)
        self._state("idle")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.session.close()

    def _event(self, event: ChannelEvent) -> None:
        match event:
            case Heard(user, pcm):
                self._hear(user, pcm)
            case Message(user, data):
                body = json.loads(data)
                if body["type"] == "chat":
                    self.heard.append(body["text"])
                    self._take_turn(user, body["text"])
                elif body["type"] == "interrupt":
                    self._interrupt()

    def _hear(self, user: str, pcm: bytes) -> None:
        loud = np.sqrt(np.mean(np.square(np.frombuffer(pcm, np.int16).astype(float)))) > LOUD
        self._voiced = self._voiced + 1 if loud else max(0, self._voiced - 1)
        self._quiet = 0 if loud else self._quiet + 1
        self._turn_blocks += 1
        if not self._in_turn and self._voiced >= ONSET:
            self._in_turn, self._turn_blocks = True, self._voiced
            self._interrupt()
            self._turn += 1
            self._state("listening")
        elif self._in_turn and self._turn_blocks % 30 == 0:
            self._user(user, f"Speech of {self._turn_blocks / 100:.1f} s", final=False)
        if self._in_turn and self._quiet >= SILENCE:
            self._in_turn, self._voiced = False, 0
            text = f"Speech of {(self._turn_blocks - SILENCE) / 100:.1f} s"
            self.heard.append(text)
            self._turn -= 1
            self._take_turn(user, text)

    def _take_turn(self, user: str, text: str) -> None:
        self._interrupt()
        self._turn += 1
        self._user(user, text, final=True)
        self._state("thinking")
        task = asyncio.create_task(self._reply(self._answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, text: str) -> None:
        self._asked = time.monotonic()
        pcm, rate = await asyncio.to_thread(self._say, text)
        made = time.monotonic()
        self._reply_turn, self._said = self._turn, ""
        self.session.write(pcm, rate)
        self.session.end()
        words = text.split()
        while not self.speaking:
            await asyncio.sleep(0.01)
        segments = {"tts_ms": (made - self._asked) * 1000, "channel_ms": (time.monotonic() - made) * 1000}
        total = sum(segments.values())
        self._send("message.metrics", module="agent", metric_name="e2e_latency", latency_ms=total, segments=segments)
        for word in words:
            self._said = f"{self._said} {word}".strip()
            self._assistant(0)
            await asyncio.sleep(len(pcm) / 2 / rate / len(words))

    def _played(self, event: Any) -> None:
        if isinstance(event, PlaybackStarted):
            self.speaking = True
            self._state("speaking")
        elif isinstance(event, PlaybackFinished):
            self.speaking = False
            self._assistant(2 if event.interrupted else 1)
            if not self._in_turn:
                self._state("idle")

    def _interrupt(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self.speaking:
            self.interrupts += 1
            self.session.interrupt()
            self._send("message.interrupt", turn_id=self._reply_turn)

    def _user(self, user: str, text: str, *, final: bool) -> None:
        self._send("user.transcription", text=text, final=final, user_id=user, turn_id=self._turn)

    def _assistant(self, status: int) -> None:
        self._sequence += 1
        turn = {"turn_id": self._reply_turn, "turn_seq_id": self._sequence, "turn_status": status}
        self._send("assistant.transcription", text=self._said, **turn)

    def _state(self, state: str) -> None:
        self._send("message.state", state=state)

    def _send(self, kind: str, **members: Any) -> None:
        body = json.dumps({"object": kind, "turn_id": self._turn, **members})
        text, name = base64.b64encode(body.encode()), f"m{next(self._ids)}"
        parts = [text[at : at + PART] for at in range(0, len(text), PART)]
        for index, part in enumerate(parts):
            self.channel.send(f"{name}|{index}|{len(parts)}|".encode() + part)
