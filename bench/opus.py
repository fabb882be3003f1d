"""Opus against PyAV: parsing a packet from Python, decoding and encoding 20 ms. One core; the peers take turns with a
second of speech in one run, so that a busy machine hits all alike. The same PCM, or the same packets, are asserted
first."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from harness import Results, chunks, espeak, main, one_core, percentile
from lipwire.audio import opus

RATE = 48000
FRAME = 960
BITRATE = 24000
CALLS = 20000
BLOCK = 50

Coder = Callable[[Any], Any]


def run(results: Results, quick: bool) -> None:
    one_core()
    pcm = espeak(RATE)[: RATE * 2 * (4 if quick else 10)]
    frames = [chunk for chunk in chunks(pcm, RATE, 20) if len(chunk) == FRAME * 2]
    packets = opus.OpusEncoder(RATE, bitrate=BITRATE, application="voip").encode(b"".join(frames))
    modes = {mode: sum(opus.parse(p).mode == mode for p in packets) for mode in ("silk", "hybrid", "celt")}
    parsing(results, packets, 5 if quick else 20)
    decoding(results, packets, 5 if quick else 25, modes)
    encoding(results, frames, 2 if quick else 8)


# ------------------------------------------------------------------------------------------------------------- packets


def parsing(results: Results, packets: list[bytes], repetitions: int) -> None:
    one, two = packets[0], opus.pack(packets[:1] * 2)
    for name, statement, values, goal in (
        ("parse", "f(x)", (opus.parse, one), "<= 150"),
        ("parse, then mode, samples and fec", "p = f(x); p.mode; p.samples; p.fec", (opus.parse, one), None),
        ("pack two", "f(x)", (opus.pack, [one, one]), None),
        ("split two", "f(x)", (opus.split, two), None),
    ):
        timer = timeit.Timer(statement, globals={"f": values[0], "x": values[1]})
        taken = [seconds / CALLS * 1e9 for seconds in timer.repeat(repetitions, CALLS)]
        results.add(name, min(taken), "ns", goal=goal, n=CALLS * repetitions, median=percentile(taken, 50))


# -------------------------------------------------------------------------------------------------------------- coding


def pyav(direction: str, name: str) -> Any:
    codec: Any = av.CodecContext.create(name, direction)
    codec.sample_rate, codec.layout = RATE, "mono"
    if name != "opus":
        codec.format = "s16"
    return codec


def decoders(packets: list[bytes]) -> Iterator[tuple[str, Coder, list[Any]]]:
    """Name, one packet's work, its inputs."""
    yield "lipwire", opus.OpusDecoder(RATE, 1).decode, packets
    for title, name in (("pyav libopus", "libopus"), ("pyav native (float PCM)", "opus")):
        codec = pyav("r", name)
        yield (
            f"{title}, bytes in and out",
            lambda p, codec=codec: b"".join([f.to_ndarray().tobytes() for f in codec.decode(av.Packet(p))]),
            packets,
        )
        codec = pyav("r", name)
        # A packet can be decoded again as it is: nothing but FFmpeg and the frame object is left.
        yield f"{title}, packets and frames as they are", codec.decode, [av.Packet(p) for p in packets]


def decoding(results: Results, packets: list[bytes], repetitions: int, modes: dict[str, int]) -> None:
    peers = list(decoders(packets))
    outputs = {name: [call(item) for item in items] for name, call, items in peers[:2]}
    assert outputs["lipwire"] == outputs["pyav libopus, bytes in and out"], "not the same PCM"
    compare(results, "decode 20 ms", peers, repetitions, ">= 1.15", packets=modes)


def encoders(frames: list[bytes]) -> Iterator[tuple[str, Coder, list[Any]]]:
    for complexity in (10, 5, 0):
        yield f"lipwire c{complexity}", opus.OpusEncoder(RATE, bitrate=BITRATE, complexity=complexity).encode, frames
        codec = pyav("w", "libopus")
        codec.bit_rate = BITRATE
        codec.options = {"application": "voip", "vbr": "constrained", "compression_level": str(complexity)}
        clock = iter(range(0, 1 << 62, FRAME))

        def encode(pcm: bytes, codec: Any = codec, clock: Iterator[int] = clock) -> list[bytes]:
            samples = np.frombuffer(pcm, np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, next(clock)
            return [bytes(packet) for packet in codec.encode(frame)]

        yield f"pyav libopus c{complexity}", encode, frames


def encoding(results: Results, frames: list[bytes], repetitions: int) -> None:
    peers = list(encoders(frames))
    for ours, theirs in zip(peers[::2], peers[1::2], strict=True):
        made = [[call(item) for item in items] for _, call, items in (ours, theirs)]
        assert made[0] == made[1], "not the same packets"
        compare(results, "encode 20 ms", [ours, theirs], repetitions, None)


def compare(
    results: Results,
    what: str,
    peers: list[tuple[str, Coder, list[Any]]],
    repetitions: int,
    goal: str | None,
    **extra: Any,
) -> None:
    """The first against each other one. The peers take turns with blocks of BLOCK items: with single ones each would
    find the caches as the peer before it left them, warm after the same library, cold after another. The least time of
    each block over the repetitions, then their mean; `median` is that of the repetitions' means."""
    count = len(peers[0][2]) // BLOCK
    least = {name: [1e9] * count for name, _, _ in peers}
    totals: dict[str, list[float]] = {name: [] for name, _, _ in peers}
    for repetition in range(repetitions):
        sums = dict.fromkeys(totals, 0.0)
        for block in range(count):
            for turn in range(len(peers)):
                name, call, items = peers[(turn + repetition) % len(peers)]
                part = items[block * BLOCK : (block + 1) * BLOCK]
                began = time.perf_counter()
                for item in part:
                    call(item)
                seconds = (time.perf_counter() - began) / BLOCK
                sums[name] += seconds
                least[name][block] = min(least[name][block], seconds)
        for name, total in sums.items():
            totals[name].append(total / count)
    best = {name: sum(values) / count for name, values in least.items()}
    first = peers[0][0]
    for name in best:
        line = extra | {"median": percentile(totals[name], 50) * 1e6, "cores": 1}
        results.add(f"{what}, {name}", best[name] * 1e6, "us", n=count * BLOCK * repetitions, **line)
    for i, name in enumerate(list(best)[1:]):
        results.add(
            f"{what}, {first} against {name}",
            best[name] / best[first],
            "x",
            goal=goal if not i else None,
            n=count * BLOCK * repetitions,
            median=percentile([a / b for a, b in zip(totals[name], totals[first], strict=True)], 50),
        )


if __name__ == "__main__":
    main(run, __doc__)
