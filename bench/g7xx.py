"""G.711 and G.722, called from Python with 20 ms at a time, on one core, against the peers that are installed:
`audioop` (Python up to 3.12) and numpy tables for G.711, FFmpeg through PyAV and the package G722 for G.722. Every
candidate's output is compared with Lipwire's first; then they take turns in short batches, so that a busy machine hits
all alike. Frames and packets for PyAV are made beforehand."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from harness import Results, espeak, in_turn, main, one_core, percentile
from lipwire import G722Decoder, G722DecoderBatch, G722Encoder, G722EncoderBatch
from lipwire.audio import g711

CALLS = 50  # 20 ms each: the second of speech that every candidate goes through in a round

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import audioop
    except ImportError:
        audioop = None
try:
    import G722
except ImportError:
    G722 = None

Work = Callable[[], list[Any]]


def measure(candidates: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a call of each candidate, one value a round."""
    taken = in_turn(candidates, rounds)
    return {name: [1000 * microseconds / CALLS for microseconds in values] for name, values in taken.items()}


def compare(
    results: Results, what: str, candidates: dict[str, Work], goals: dict[str, str], samples: int, rounds: int
) -> None:
    """One line a candidate: ns a call, and how many of ours fit into one of its. Ours is the first."""
    (ours, work), *_ = candidates.items()
    want = work()
    for name, peer in candidates.items():
        got = peer()
        assert len(got) == len(want) and all(a == b for a, b in zip(got, want, strict=True)), f"{what}: {name} differs"
    taken = measure(candidates, rounds)
    best = min(taken[ours])
    for name, values in taken.items():
        figures = {
            "ns_per_sample": min(values) / samples,
            "median": percentile(values, 50),
            "p99": percentile(values, 99),
        }
        results.add(f"{what} {name}", min(values), "ns/call", n=rounds, **figures)
    for name, values in taken.items():
        if name != ours:
            results.add(f"{what} vs {name}", min(values) / best, "x faster", n=rounds, goal=goals.get(name))


def each(call: Callable[[Any], Any], inputs: list[Any]) -> Work:
    return lambda: [call(x) for x in inputs]


def g711_codecs(results: Results, rounds: int) -> None:
    # No sample at a decision threshold that audioop's mu-law codes otherwise: those would not compare equal.
    pcm = np.frombuffer(espeak(8000)[8000 : 8000 + CALLS * 320], np.int16).copy()
    if audioop is not None:
        pcm[np.frombuffer(audioop.lin2ulaw(pcm, 2), np.uint8) != np.frombuffer(g711.ulaw_encode(pcm), np.uint8)] -= 4
    chunks = [pcm[at : at + 160].tobytes() for at in range(0, len(pcm), 160)]
    arrays = [np.frombuffer(chunk, np.uint16) for chunk in chunks]
    everything = np.arange(65536).astype(np.uint16).tobytes()
    for law, encode, decode in (
        ("mu-law", g711.ulaw_encode, g711.ulaw_decode),
        ("A-law", g711.alaw_encode, g711.alaw_decode),
    ):
        codes = [encode(chunk) for chunk in chunks]
        to_code = np.frombuffer(encode(everything), np.uint8)
        to_pcm = np.frombuffer(decode(bytes(range(256))), np.int16)
        code_arrays = [np.frombuffer(code, np.uint8) for code in codes]
        encoders: dict[str, Work] = {"lipwire": each(encode, chunks)}
        decoders: dict[str, Work] = {"lipwire": each(decode, codes)}
        if audioop is not None:
            to, back = (audioop.lin2ulaw, audioop.ulaw2lin) if law == "mu-law" else (audioop.lin2alaw, audioop.alaw2lin)
            encoders["audioop"] = lambda to=to: [to(chunk, 2) for chunk in chunks]
            decoders["audioop"] = lambda back=back, codes=codes: [back(code, 2) for code in codes]
        encoders["numpy table"] = each(lambda x, t=to_code: t[x].tobytes(), arrays)
        decoders["numpy table"] = each(lambda x, t=to_pcm: t[x].tobytes(), code_arrays)
        compare(results, f"G.711 {law} encode", encoders, {"audioop": ">= 3"}, 160, rounds)
        compare(results, f"G.711 {law} decode", decoders, {"audioop": ">= 1", "numpy table": ">= 1"}, 160, rounds)


def coder(mode: str) -> Any:
    context = av.CodecContext.create("g722", mode)
    context.sample_rate, context.layout = 16000, "mono"
    if mode == "w":
        context.format = "s16"
    context.open()
    return context


def frame(chunk: bytes) -> Any:
    made = av.AudioFrame.from_ndarray(np.frombuffer(chunk, np.int16).reshape(1, -1), format="s16", layout="mono")
    made.sample_rate = 16000
    return made


def g722(results: Results, rounds: int) -> None:
    pcm = espeak(16000)[16000 : 16000 + CALLS * 640]
    chunks = [pcm[at : at + 640] for at in range(0, len(pcm), 640)]
    frames = [frame(chunk) for chunk in chunks]
    arrays = [np.frombuffer(chunk, np.int16) for chunk in chunks]
    encoder = G722Encoder()
    codes = [encoder.encode(chunk) for chunk in chunks]
    packets = [av.Packet(code) for code in codes]

    # Equality first, from a fresh start; afterwards the timed objects just go on through the same second.
    fresh = coder("w")
    theirs = [bytes(packet) for x in frames for packet in fresh.encode(x)] + [bytes(p) for p in fresh.encode(None)]
    assert b"".join(theirs) == b"".join(codes), "FFmpeg's encoder differs"
    decoder, fresh = G722Decoder(), coder("r")
    out = [decoder.decode(code) for code in codes]
    assert b"".join(f.to_ndarray().tobytes() for p in packets for f in fresh.decode(p)) == b"".join(out), (
        "FFmpeg differs"
    )

    results_of: dict[str, dict[str, Callable[[], Any]]] = {"encode": {}, "decode": {}}
    av_encoder, av_decoder = coder("w"), coder("r")
    results_of["encode"]["lipwire"] = lambda: [encoder.encode(x) for x in chunks]
    results_of["encode"]["FFmpeg (PyAV)"] = lambda: [av_encoder.encode(x) for x in frames]
    results_of["decode"]["lipwire"] = lambda: [decoder.decode(x) for x in codes]
    results_of["decode"]["FFmpeg (PyAV)"] = lambda: [av_decoder.decode(x) for x in packets]
    if G722 is not None:
        one = G722.G722(16000, 64000)
        assert b"".join(bytes(one.encode(x)) for x in arrays) == b"".join(codes), "PyPI G722's encoder differs"
        other = G722.G722(16000, 64000)
        assert b"".join(other.decode(x).tobytes() for x in codes) == b"".join(out), "PyPI G722's decoder differs"
        results_of["encode"]["PyPI G722"] = lambda: [one.encode(x) for x in arrays]
        results_of["decode"]["PyPI G722"] = lambda: [other.decode(x) for x in codes]
    else:
        print("g7xx: PyPI G722 is not installed, left out", file=sys.stderr)

    for channels in (1, 4, 16, 32):
        batch_pcm = [[chunk] * channels for chunk in chunks]
        batch_codes = [[code] * channels for code in codes]
        encoders, decoders = G722EncoderBatch(channels), G722DecoderBatch(channels)
        assert [encoders.encode_many(x) for x in batch_pcm] == batch_codes
        assert [decoders.decode_many(x) for x in batch_codes] == [[x] * channels for x in out]
        results_of["encode"][f"lipwire, {channels} channels at once"] = lambda e=encoders, b=batch_pcm: [
            e.encode_many(x) for x in b
        ]
        results_of["decode"][f"lipwire, {channels} channels at once"] = lambda d=decoders, b=batch_codes: [
            d.decode_many(x) for x in b
        ]

    for what, candidates in results_of.items():
        taken = measure(candidates, rounds)
        best = {name: min(values) for name, values in taken.items()}
        peers = [name for name in best if not name.startswith("lipwire")]
        for name, values in taken.items():
            channels = int(name.split()[1]) if "at once" in name else 1
            results.add(
                f"G.722 {what} {name}",
                best[name] / channels,
                "ns/call of 320 samples",
                n=rounds,
                ns_per_sample=best[name] / channels / 320,
                median=percentile(values, 50) / channels,
                p99=percentile(values, 99) / channels,
                real_time=20e6 / (best[name] / channels),
            )
        for name in peers:
            results.add(f"G.722 {what} vs {name}", best[name] / best["lipwire"], "x faster", n=rounds, goal=">= 1.2")
        for channels in (16, 32):
            ours = best[f"lipwire, {channels} channels at once"] / channels
            results.add(
                f"G.722 {what} {channels} channels vs FFmpeg (PyAV)",
                best["FFmpeg (PyAV)"] / ours,
                "x faster a channel",
                n=rounds,
                goal=">= 4",
            )


def run(results: Results, quick: bool) -> None:
    one_core()
    rounds = 20 if quick else 200
    if audioop is None:
        print("g7xx: this Python has no audioop, left out", file=sys.stderr)
    g711_codecs(results, rounds)
    g722(results, rounds)


if __name__ == "__main__":
    main(run, __doc__)
