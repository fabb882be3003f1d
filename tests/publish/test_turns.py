"""Sound before pictures: where the pictures of many sessions are more than the machine can do, each viewer gets every
packet of sound that the clock made, and fewer pictures. Counted are packets; how long they take is the machine's
affair."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.publish import WebRTC, streams, turns
from lipwire.publish.sound import PACKET, Sound, SoundStream
from support.viewers import Viewers

RATE, BLOCK = _core.RATE, _core.BLOCK
SESSIONS = 2
VIEWERS = 1
SECONDS = 1


class Gate(WebRTC):
    """A publisher that lets sound through when it is told to."""

    open_ = False

    def audio(self, pcm: bytes, sample: int) -> None:
        if self.open_:
            super().audio(pcm, sample)


async def test_more_pictures_than_can_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sessions of 100 a second, which one thread encodes."""
    thread = ThreadPoolExecutor(1)
    monkeypatch.setattr(streams, "encoding", lambda: thread)
    sent: dict[SoundStream, int] = {}
    really = SoundStream.send

    def counted(stream: SoundStream, sound: Sound) -> None:
        sent[stream] = sent.get(stream, 0) + 1
        really(stream, sound)

    monkeypatch.setattr(SoundStream, "send", counted)
    speech = (np.sin(np.arange(SECONDS * RATE) / 25) * 9000).astype("<i2").tobytes()
    async with AsyncExitStack() as stack:
        publishers = [Gate(ice_host="127.0.0.1") for _ in range(SESSIONS)]
        sessions = [
            await stack.enter_async_context(lipwire.Session(publisher, size=(1280, 720), fps=100))
            for publisher in publishers
        ]
        seen = [await stack.enter_async_context(Viewers(publisher, VIEWERS)) for publisher in publishers]
        for session, publisher in zip(sessions, publishers, strict=True):
            session.write(speech, RATE)
            publisher.open_ = True
        began = [session.performer.stats()["clock"] for session in sessions]
        async with asyncio.timeout(120):
            while sessions[0].performer.stats()["clock"] < began[0] + SECONDS * RATE:
                await asyncio.sleep(0.1)
        for publisher in publishers:
            publisher.open_ = False
        made = [session.performer.stats()["clock"] - first for session, first in zip(sessions, began, strict=True)]
        assert len(sent) == SESSIONS, "one encoder of sound a session"
        async with asyncio.timeout(120):
            while True:
                got = [one for viewers in seen for one in await viewers.got()]
                expected = sorted(count for count in sent.values() for _ in range(VIEWERS))
                if sorted(one.sound + one.lost for one in got) == expected and all(one.pictures for one in got):
                    break
                await asyncio.sleep(0.2)
        lost = [session.stats()["pcm_dropped"] for session in sessions]
        missed = [publisher.missed for publisher in publishers]
    for clock, blocks, packets in zip(sorted(made), lost, sorted(sent.values()), strict=True):
        assert PACKET // BLOCK * packets + blocks == pytest.approx(clock / BLOCK, abs=70)  # of the engine's ring
    assert all(one.sound == 0 for one in missed)
    assert sum(one.pictures for one in missed) > VIEWERS  # it was more than the machine could do
    thread.shutdown()


def test_one_processor_is_left_to_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    for mine, threads in (({3}, 1), ({3, 4}, 1), ({3, 4, 5}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, mine=mine: mine, raising=False)
        assert turns.encoding.__wrapped__()._max_workers == threads  # type: ignore[attr-defined]
    assert turns.encoding() is turns.encoding()
