"""What one `voice` message costs after the WebSocket: Ingest.receive (JSON, base64, checks) and Session.voice (decode,
resample, queue). One core.

And its first step alone, message to samples, against what a Python service would use for it. Each peer gives the same
bytes (asserted first); short batches of all in turn, so that a busy machine hits all alike.

  read, one event_id       messages of one utterance: only the audio differs
  read, ever new ids       a client that numbers its messages: each is scanned
  orjson + pybase64        loads, b64decode(validate=True)
  msgspec Raw + pybase64   a Struct whose audio stays text until b64decode
  msgspec                  a Struct with bytes, as Ingest decodes what the core leaves

Peers that are not installed are left out: pip install orjson pybase64."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np

from harness import Results, espeak, in_turn, main, one_core, percentile
from lipwire import Session, _core
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Ingest
from lipwire.provider.client import encode, request
from lipwire.publish import Null

try:
    import orjson
except ImportError:
    orjson = None
try:
    import pybase64
except ImportError:
    pybase64 = None

RATE = 24000
SIZES = (20, 40, 100, 200, 500)
GOALS = {20: ">= 4", 500: ">= 5"}


def run(results: Results, quick: bool) -> None:
    one_core()
    if not (orjson and pybase64):
        print("note: without orjson and pybase64 there is nothing to compare with", file=sys.stderr)
    for ms in SIZES:
        first_step(results, ms, 20 if quick else 100)
    asyncio.run(measure(results, 10 if quick else 60))


# -------------------------------------------------------------------------------------------------- message to samples


class RawVoice(msgspec.Struct):
    """The message with its audio undecoded: the string with its quotes."""

    audio: msgspec.Raw
    sampleRate: int
    encoding: str
    event_id: str


def readers() -> dict[str, Callable[[str], bytes]]:
    """Message -> payload, ours first."""
    ours, bare = _core.VoiceReader(m.Voice).read, msgspec.json.Decoder(m.Voice).decode
    found: dict[str, Callable[[str], bytes]] = {"read": lambda text: ours(text).payload}
    if orjson and pybase64:
        loads, b64decode = orjson.loads, pybase64.b64decode
        found["orjson + pybase64"] = lambda text: b64decode(loads(text)["audio"], validate=True)
    if pybase64:
        raw, b64decode = msgspec.json.Decoder(RawVoice).decode, pybase64.b64decode
        found["msgspec Raw + pybase64"] = lambda text: b64decode(memoryview(raw(text).audio)[1:-1], validate=True)
    found["msgspec"] = lambda text: bare(text).payload
    return found


def first_step(results: Results, ms: int, rounds: int) -> None:
    """One size: each reader with messages of one utterance, ours with ever new ids too."""
    speech = espeak(RATE)
    payloads = list(encode(speech, RATE, "PCM16", ms))[:16]
    one_id, many_ids = (
        [
            m.encode(m.Voice(payload, RATE, "PCM16", f"utterance-{number * step:03}"))
            for number, payload in enumerate(payloads)
        ]
        for step in (0, 1)
    )
    found = readers()
    for name, reader in found.items():
        assert [reader(text) for text in one_id + many_ids] == payloads * 2, name
    work: dict[str, tuple[Callable[[str], bytes], list[str]]] = {name: (f, one_id) for name, f in found.items()}
    work["read, ever new ids"] = found["read"], many_ids
    for name in ("read", "orjson + pybase64"):  # both to an array: what a program that computes would do next
        if name in found:
            work[f"{name}, as an array"] = as_array(found[name]), one_id
    calls = {name: partial(read_all, reader, texts) for name, (reader, texts) in work.items()}
    taken = {
        name: [microseconds / len(payloads) for microseconds in values]
        for name, values in in_turn(calls, rounds, max(1, 20 // ms * 4)).items()
    }
    extra: dict[str, Any] = {"cores": 1, "message_bytes": len(one_id[0]), "cpu": _core.cpu_level()}
    for name, values in taken.items():
        shown = "read, one event_id" if name == "read" else name
        results.add(
            f"message to samples {ms} ms: {shown}", min(values), "us", n=rounds, median=percentile(values, 50), **extra
        )
    peer = "orjson + pybase64"
    if peer not in taken:
        return
    for suffix in ("", ", ever new ids", ", as an array"):
        ours, theirs = taken["read" + suffix], taken[peer + (suffix if suffix == ", as an array" else "")]
        results.add(
            f"message to samples {ms} ms{suffix}: faster than {peer}",
            min(theirs) / min(ours),
            "times",
            n=rounds,
            goal=GOALS.get(ms) if not suffix else None,
            of_medians=percentile(theirs, 50) / percentile(ours, 50),
            **extra,
        )


def read_all(reader: Callable[[str], bytes], texts: list[str]) -> None:
    for text in texts:
        reader(text)


def as_array(reader: Callable[[str], bytes]) -> Callable[[str], Any]:
    """`reader` and an int16 view of what it gives."""
    frombuffer, int16 = np.frombuffer, np.int16
    return lambda text: frombuffer(reader(text), int16)


# ----------------------------------------------------------------------------------------------------- the whole path


async def measure(results: Results, rounds: int) -> None:
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
    async with Session(Null(), size=(64, 64), fps=1) as session:
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
