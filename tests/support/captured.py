"""A service that records, and publishers that remember everything: what tests of capture and replay share."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path
from typing import Any

from app.test_service import Wire, config, post_start, small, tone
from lipwire import _core
from lipwire.app.service import LiveAvatar, Service
from lipwire.audio.opus import OpusEncoder
from lipwire.audio.resample import resample
from lipwire.capture.file import SUFFIX
from lipwire.protocol import messages as m
from lipwire.provider.sessions import Emit
from lipwire.publish.tee import Tee
from lipwire.stream import Publisher


class Memory(Publisher):
    """Every block of sound, and a digest of every picture, each with its place."""

    def __init__(self) -> None:
        self.sound: list[tuple[int, bytes]] = []
        self.pictures: list[tuple[int, str]] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        self.sound.append((sample, pcm))

    def video(self, frame: _core.Frame) -> None:
        self.pictures.append((frame.sample, hashlib.sha256(frame).hexdigest()))


class Recording(Service):
    """`lipwire serve --record`, whose sessions also publish into a `Memory` each."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(config(record=str(folder), **more))
        self.folder = folder
        self.memories: dict[str, Memory] = {}

    async def _make_session(
        self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit
    ) -> LiveAvatar:
        live = LiveAvatar(self, session_id, request, granted, emit)
        memory = self.memories[session_id] = Memory()
        live.publisher = Tee(live.publisher, memory)
        return await live.start()

    def file(self, session_id: str) -> Path:
        (found,) = self.folder.glob(f"*{session_id}{SUFFIX}")
        return found


def opus(seconds: float) -> list[bytes]:
    encoder = OpusEncoder(_core.RATE, bitrate=32_000, frame_ms=20)
    return [*encoder.encode(resample(tone(seconds), 16_000, _core.RATE)), *encoder.flush()]


async def talk(service: Service, session: m.StartReply, seed: int, steps: int = 40) -> None:
    """One client's life: everything that a client may do, in an order that the seed says."""
    dice = random.Random(seed)
    wire = await Wire.open(session, small(f"c{seed}"))
    packets = iter(opus(2.0))
    for step in range(steps):
        wire.event_id = f"e{step // 5}"
        act = dice.choice(ACTS)
        if act == "speech":
            rate = dice.choice([8000, 16_000, 24_000, 44_100, 48_000])
            await wire.voice(tone(dice.choice([0.01, 0.02, 0.1, 0.4]), rate), sampleRate=rate)
        elif act == "pcm8":
            await wire.voice(bytes(dice.randrange(256) for _ in range(400)), encoding="PCM8", sampleRate=8000)
        elif act == "opus":
            for packet in [next(packets, b"\x00") for _ in range(3)]:
                await wire.voice(packet, encoding="OPUS", sampleRate=48_000)
        elif act == "end":
            await wire.end()
        elif act == "interrupt":
            await wire.say(command="voice_interrupt")
        elif act == "special":
            content = dice.choice([{"gesture": "wave"}, {"emotion": "happy"}, '{"state":"listening"}', {"no": "such"}])
            await wire.say(command="special", content=content)
        elif act == "faulty":
            await wire.ws.send(dice.choice(FAULTY))
        elif act == "again":
            await wire.init()
        elif act == "drop":
            wire.ws.transport.abort()
            wire = await Wire.open(session, small(f"c{seed}"))
        elif act == "takeover":
            wire = await Wire.open(session, small(f"c{seed}"))
        elif act == "viewer":
            service.watched[session.session_id].session.write(tone(0.1), 16_000)
            service.watched[session.session_id].session.end()
        elif act == "viewer stops":
            service.watched[session.session_id].session.interrupt()
        await asyncio.sleep(dice.choice([0, 0, 0.003, 0.02, 0.05]))
    await wire.ws.close()


ACTS = (
    ["speech"] * 8
    + ["end", "interrupt"] * 2
    + ["pcm8", "opus", "opus", "special", "faulty", "again", "drop", "takeover", "viewer", "viewer stops"]
)
FAULTY: list[str | bytes] = [
    b"\x00\x01",
    "{",
    "[1]",
    json.dumps({"command": "no-such"}),
    json.dumps({"command": "voice", "audio": "AAA", "sampleRate": 16_000, "encoding": "PCM16"}),
    json.dumps({"command": "voice", "audio": "AAAA", "sampleRate": 1, "encoding": "PCM16", "event_id": "x"}),
    json.dumps({"command": "voice", "audio": "AA==", "sampleRate": 48_000, "encoding": "OPUS", "token": "SECRET-1"}),
    json.dumps({"command": "init", "avatar_id": "aria"}),
    json.dumps({"command": "heartbeat", "timestamp": 12}),
]


async def record(folder: Path, seeds: list[int], steps: int = 40, **more: Any) -> Recording:
    """Sessions that talk side by side; the service is closed when this returns."""
    service = Recording(folder, **more)
    async with service:
        sessions = [await post_start(service, small(f"c{seed}")) for seed in seeds]
        await asyncio.gather(*(talk(service, s, seed, steps) for s, seed in zip(sessions, seeds, strict=True)))
        await asyncio.sleep(0.3)
    return service
