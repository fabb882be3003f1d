"""What one `voice` message costs after the WebSocket: Ingest.receive (JSON, base64, checks) and Session.voice (decode,
resample, queue). One core."""

from __future__ import annotations

import asyncio
import time

from harness import Results, espeak, main, one_core, percentile
from lipwire import Session
from lipwire.client import encode, request
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Ingest
from lipwire.publish import Null

RATE = 24000


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 10 if quick else 60))


async def measure(results: Results, rounds: int) -> None:
    one_core()
    speech = espeak(RATE)
    for encoding in ("PCM16", "OPUS"):
        for ms in (20, 500):
            if encoding == "OPUS" and ms != 20:
                continue
            payloads = list(encode(speech[: RATE * 2 * 10], RATE, encoding, ms))[:-1]
            rate = 48000 if encoding == "OPUS" else RATE
            texts = [m.encode(m.Voice(payload, rate, encoding, "utterance-1")) for payload in payloads]
            await one(results, encoding, ms, texts, rounds)


async def one(results: Results, encoding: str, ms: int, texts: list[str], rounds: int) -> None:
    grant = m.grant(request())
    received, queued = [], []
    async with Session(Null(), width=64, height=64, fps=1) as session:
        for number in range(rounds + 1):
            ingest = Ingest(session.id, grant)
            first = request()
            fields = {name: getattr(first, name) for name in m.StartRequest.__struct_fields__}
            ingest.receive(m.encode(m.InitMessage(session_id=session.id, **fields)), 0.0)
            assert ingest.initialized
            began = time.perf_counter()
            voices = [ingest.receive(text, i * ms / 1000) for i, text in enumerate(texts)]
            middle = time.perf_counter()
            for (voice,) in voices:
                session.voice(voice.payload, voice.encoding, voice.sample_rate, voice.event_id)
            ended = time.perf_counter()
            stats = session.performer.stats()
            assert stats["buffered"] / 48000 > len(texts) * ms / 1000 - 0.5, "speech went missing"
            session.interrupt()
            await asyncio.sleep(0.03)
            if number:  # the first one warms up
                received.append((middle - began) / len(texts) * 1e6)
                queued.append((ended - middle) / len(texts) * 1e6)
    for name, values in (("Ingest.receive", received), ("Session.voice", queued)):
        results.add(
            f"{name} {encoding} {ms} ms",
            min(values),
            "us / message",
            n=rounds,
            cores=1,
            median=percentile(values, 50),
            message_bytes=len(texts[0]),
            percent_of_core_per_session=min(values) / (ms * 10),
        )


if __name__ == "__main__":
    main(run, __doc__)
