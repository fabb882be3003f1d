"""The last stretch of `latency`: from speech that is written in process to what a viewer is sent over WebRTC (SRTP, the
loopback), of pre-encoded video and of each encoder. No benchmark by itself."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack
from fractions import Fraction
from typing import Any
from unittest import mock

from msgspec import Struct

import lipwire
from harness import Results, percentile, spread
from lipwire import _core
from lipwire.atlas import load
from lipwire.avatar import Avatar
from lipwire.cli.density.rtp import is_rtp
from lipwire.cli.density.watchers import Watcher
from lipwire.publish import WebRTC, native
from lipwire.session.preencoded import Preencoded
from peer import RATE, clips

NS = time.monotonic_ns
SIZE, FPS = (640, 360), 25
PACKET = 960
"""Samples of a packet of sound."""
LANES: tuple[tuple[str, str, Preencoded], ...] = (
    ("pre-encoded", "H264", "on"),
    ("x264", "H264", "off"),
    ("VP8", "VP8", "off"),
)
"""Name, codec, and whether its pictures are encoded beforehand."""


class FromZero(_core.Connection):
    """Whose RTP timestamps say which sample of the session's clock they stand for."""

    def stream(self, *given: Any, **options: Any) -> int:
        return super().stream(*given, **options | {"first": (0, 0)})


class Viewer(Watcher):
    """Notes when each packet comes out of its socket."""

    def __init__(self, codec: str) -> None:
        super().__init__(codec, FPS, 1.0, keeps=True)
        self.came: list[tuple[int, bytes]] = []

    def _tap(self, protocol: Any) -> None:
        super()._tap(protocol)
        onward = protocol.datagram_received

        def datagram_received(data: bytes, address: Any) -> None:
            if is_rtp(data):
                self.came.append((NS(), data))
            onward(data, address)

        protocol.datagram_received = datagram_received

    def whole(self, kind: str, clock: int) -> list[tuple[int, int]]:
        """(when it had come, its sample) of each picture, or packet of sound."""
        found = []
        for ns, data in self.came:
            of_kind = self.streams[int.from_bytes(data[8:12], "big")].kind == kind
            if of_kind and (kind == "sound" or data[1] & 0x80):
                stamp = int.from_bytes(data[4:8], "big", signed=True)
                found.append((ns, stamp * _core.RATE // clock))
        return found


class Said(Struct):
    """An utterance."""

    written_ns: int
    started: int = -1
    """Sample of its first,"""
    opened: int = -1
    """and of the first picture with an open mouth,"""
    handed_ns: int = 0
    """which was handed over then."""


def note_mouths(session: lipwire.Session, said: dict[int, Said]) -> None:
    """Notes with which picture each utterance opened the mouth."""
    noted = session._note_mouth

    def note(number: int, sample: int, due_ns: int) -> None:
        if (one := said.get(number)) is not None and one.opened < 0:
            one.started, one.opened, one.handed_ns = session._utterances[number].started_at, sample, NS()
        noted(number, sample, due_ns)

    session._note_mouth = note  # type: ignore[method-assign]


async def speak(session: lipwire.Session, count: int) -> dict[int, Said]:
    """Utterances at random phases against the clock of the frames."""
    said: dict[int, Said] = {}
    note_mouths(session, said)
    speech, chance = [pcm[:RATE] for pcm in clips().values()], random.Random(1)
    for n in range(count):
        await asyncio.sleep(0.2 + chance.random() * 0.12)
        written = NS()
        session.write(speech[n % len(speech)], RATE)
        said[session.performer.utterance] = Said(written)
        session.end()
        await session.finished()
    await asyncio.sleep(0.2)
    return said


async def measure(results: Results, name: str, codec: str, preencoded: Preencoded, count: int) -> None:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(native, "Connection", FromZero))
        publisher, viewer = WebRTC(ice_host="127.0.0.1"), Viewer(codec)
        session = lipwire.Session(publisher, avatar="aria", size=SIZE, fps=FPS, preencoded=preencoded)
        async with session:
            sdp, _ = await publisher.answer(await viewer.offer())
            await viewer.connect(sdp)
            await asyncio.sleep(1.5)
            assert publisher.wants == ("units" if preencoded == "on" else publisher.wants)
            said = [one for one in (await speak(session, count)).values() if one.opened >= 0]
            encoders = publisher.stats()["encoders"]
            found = viewer.decoded()
            await viewer.close()
    assert encoders == (preencoded != "on") and not found.get("refused"), found
    assert found["pictures"] > 10 * count and found.get("faults", 0) <= found["pictures"] // 20, found
    assert len(said) >= count - max(1, count // 20) and viewer.video_codec == codec
    pictures, sounds = viewer.whole("picture", 90_000), viewer.whole("sound", _core.RATE)
    mouth, sound, last = [], [], []
    for one in said:
        came = next(ns for ns, sample in pictures if sample >= one.opened)
        heard = next(ns for ns, sample in sounds if sample + PACKET > one.started)
        mouth.append((came - one.written_ns) / 1e6)
        sound.append((heard - one.written_ns) / 1e6)
        last.append((came - one.handed_ns) / 1e6)
    for what, values in (("written -> sound", sound), ("written -> mouth", mouth), ("handed over -> mouth", last)):
        results.add(f"at a viewer, {name}: {what} p50", percentile(values, 50), "ms", n=len(values), **spread(values))


def run(results: Results, quick: bool) -> None:
    """All of them; quickly without what would have to be encoded first."""
    for name, codec, preencoded in LANES:
        if quick and preencoded == "on" and load(Avatar.load("aria"), *SIZE, Fraction(FPS)) is None:
            results.skip("pre-encoded video", "there is none in the cache, and it takes a minute")
        else:
            asyncio.run(measure(results, name, codec, preencoded, 2 if quick else 60))
