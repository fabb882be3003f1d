"""agents/brains/aloud.py; how OpenAI Realtime's text is read is in test_realtime.py."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from lipwire.agents.brains.aloud import ReadAloud
from lipwire.agents.brains.base import BrainEvent, Failed, ReplyAudio, ReplyText, Stamp, TimedWord
from lipwire.agents.brains.generation import Generation
from lipwire.agents.http import ServiceError
from lipwire.agents.speech.tts import Sound


class Voice:
    """Says a tenth of a second for each piece of text, but for what it cannot."""

    closed = 0

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        if "bad" in text:
            raise ServiceError("no")
        yield Sound(b"\x10\x00" * 1600, 16_000, (TimedWord(text.split()[0], 0, 50),), True)

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("drop", [False, True])
async def test_sentences_in_their_order(drop: bool) -> None:
    voice, reply = Voice(), Generation("chat")
    events: list[BrainEvent] = []
    over: list[bool] = []
    aloud = ReadAloud(voice, reply, events.append, over.append)
    for text in ("One of ", "them. Two", " of them."):
        aloud.say(text)
    aloud.finish()
    reply.dropped = drop
    await aloud.run()
    kinds: list[Any] = [type(event) for event in events]
    assert over == [True] and voice.closed == 1
    if drop:
        assert kinds == []
        return
    assert kinds == [ReplyText, Stamp, ReplyAudio, ReplyText, ReplyAudio] and reply.position_ms == 200.0
    texts = [event for event in events if isinstance(event, ReplyText)]
    assert "".join(event.text for event in texts) == reply.text == "One of them. Two of them."
    assert [(event.at_ms, event.duration_ms, event.words[0].start_ms) for event in texts] == [
        (0, 100, 0),
        (100, 100, 100),
    ]


@pytest.mark.parametrize(("text", "good"), [("Good. This is bad.", True), ("All of it is bad.", False)])
async def test_what_cannot_be_said_is_told(text: str, good: bool) -> None:
    voice, reply = Voice(), Generation("chat")
    events: list[BrainEvent] = []
    over: list[bool] = []
    aloud = ReadAloud(voice, reply, events.append, over.append)
    aloud.say(text)
    aloud.finish()
    await aloud.run()
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert over == [good] and voice.closed == 1
    assert (failed.code, failed.reply_id, failed.minor) == ("TTS_ERROR", reply.id, good)
