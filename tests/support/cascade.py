"""What the tests of the cascade have in common: the brain with its services, and speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from lipwire import resample
from lipwire.agents.brains.base import Services
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.brains.chat import Timeouts
from lipwire.agents.config import AgentConfig, Llm
from lipwire.audio import espeak as voice
from support.fakes import FakeChat, FakeStt, FakeTts
from support.fakes.record import Record
from support.machine import require

FAST = Timeouts(first_token=1.5, between=1.0)
SILENCE = bytes(320)


def spoken(text: str) -> bytes:
    """16 kHz, without silence at the ends."""
    require(voice.available(), "espeak-ng")
    x = np.frombuffer(resample(*voice.synthesize(text), 16_000), np.int16)
    loud = np.flatnonzero(np.abs(x) > 500)
    return x[loud[0] : loud[-1]].tobytes()


class Scene:
    """A cascade with its services."""

    def __init__(self, brain: CascadeBrain, record: Record, chat: FakeChat, stt: FakeStt, tts: FakeTts) -> None:
        self.brain, self.record, self.chat, self.stt, self.tts = brain, record, chat, stt, tts

    async def hear(self, pcm: bytes, silence_ms: int = 0, user: str = "7", step: float = 0.0) -> None:
        pcm += SILENCE * (silence_ms // 10)
        for i in range(0, len(pcm) - 319, 320):
            self.brain.hear(pcm[i : i + 320], user)
            await asyncio.sleep(step)

    def asked(self, number: int = -1) -> list[tuple[str, Any]]:
        """(role, content) of a request's messages."""
        return [(m["role"], m.get("content")) for m in self.chat.requests[number]["messages"]]


@asynccontextmanager
async def scene(
    replies: Any = "Hello there.",
    texts: Any = "good morning",
    *,
    chat: dict[str, Any] | None = None,
    stt: dict[str, Any] | None = None,
    tts: dict[str, Any] | None = None,
    llm: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Scene]:
    async with FakeChat(replies, **chat or {}) as a, FakeStt(texts, **stt or {}) as b, FakeTts(**tts or {}) as c:
        agent = AgentConfig(name="a", channel="c", llm=Llm(url=a.url, **llm or {}), **config)
        services = Services(stt_url=b.url, tts_url=c.url, end_of_turn="silence")
        brain, record = CascadeBrain(agent, services, timeouts=FAST), Record()
        await brain.open(record)
        try:
            yield Scene(brain, record, a, b, c)
        finally:
            await brain.close()
            await brain.close()
            assert not brain._state.tasks and not brain._replies._replies
