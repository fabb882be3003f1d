"""Sound before pictures: where the pictures of all sessions are more than the machine can do, each viewer gets every
packet of sound that the clock made, and fewer pictures. Counted are packets; how long they take is the machine's
affair."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.publish import WebRTC, streams, turns
from lipwire.publish.sound import PACKET, Sound, SoundStream
from support.viewers import Viewers

RATE, BLOCK = _core.RATE, _core.BLOCK
VIEWERS = 3
SECONDS = 2


class Gate(WebRTC):
    """A publisher that lets sound through when it is told to."""

    open_ = False

    def audio(self, pcm: bytes, sample: int) -> None:
        if self.open_:
            super().audio(pcm, sample)


class Busy(ThreadPoolExecutor):
    """One thread that encodes, and has other things to do before each picture."""

    def __init__(self) -> None:
        super().__init__(1)
        self.goes_on = True
        self.submit(self._burn)

    def _burn(self) -> None:
        hashlib.sha256(bytes(100 << 20))
        if self.goes_on:
            self.submit(self._burn)


async def test_sound_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    really = SoundStream.send

    def counted(stream: SoundStream, sound: Sound) -> None:
        sent.append(sound.sample)
        really(stream, sound)

    monkeypatch.setattr(SoundStream, "send", counted)
    publisher, busy = Gate(ice_host="127.0.0.1"), Busy()
    monkeypatch.setattr(streams, "encoding", lambda: busy)
    speech = (np.sin(np.arange(SECONDS * RATE) / 25) * 9000).astype("<i2").tobytes()
    async with lipwire.Session(publisher, size=(320, 180)) as session, Viewers(publisher, VIEWERS) as viewers:
        session.write(speech, RATE)
        publisher.open_, began = True, session.performer.stats()["clock"]
        async with asyncio.timeout(120):
            while session.performer.stats()["clock"] < began + SECONDS * RATE:
                await asyncio.sleep(0.1)
        publisher.open_, made = False, session.performer.stats()["clock"] - began
        async with asyncio.timeout(120):
            while True:
                got = await viewers.got()
                if all(one.sound + one.lost == len(sent) and one.pictures for one in got):
                    break
                await asyncio.sleep(0.2)
        lost, missed = session.stats()["pcm_dropped"], publisher.missed
    busy.goes_on = False
    busy.shutdown()
    assert PACKET // BLOCK * len(sent) + lost == pytest.approx(made / BLOCK, abs=70)  # of the engine's ring
    assert missed.sound == 0
    assert missed.pictures > VIEWERS  # it was more than the thread could do


def test_one_processor_is_left_to_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    for mine, threads in (({3}, 1), ({3, 4}, 1), ({3, 4, 5}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, mine=mine: mine, raising=False)
        assert turns.encoding.__wrapped__()._max_workers == threads  # type: ignore[attr-defined]
    assert turns.encoding() is turns.encoding()
