"""G.722: the ITU-T vectors, FFmpeg, chunks of any size, and batches against single channels."""

from __future__ import annotations

from random import Random
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import G722Decoder, G722DecoderBatch, G722Encoder, G722EncoderBatch, LipwireError
from support.paths import SHARED

pytestmark = pytest.mark.kernels

VECTORS = SHARED / "vectors" / "g722"
RATES = (64000, 56000, 48000)
N = 16000


def signals() -> dict[str, np.ndarray]:
    """What is coded: PCM16 at 16 kHz, ordinary and worst."""
    random = np.random.default_rng(1)
    time = np.arange(N)
    sweep = np.sin(np.cumsum(time * np.pi / N))
    speech = np.sin(time * 0.07) * np.sin(time * 0.0021) * 9000 + random.integers(-400, 400, N)
    made = {
        "silence": np.zeros(N),
        "constant": np.full(N, 32767),
        "negative constant": np.full(N, -32768),
        "noise": random.integers(-32768, 32768, N),
        "quiet noise": random.integers(-3, 4, N),
        "square": np.where(time // 20 % 2, 20000, -20000),
        "chirp": 32000 * sweep,
        "clicks": np.where(random.integers(0, 200, N) == 0, random.integers(-32768, 32768, N), 0),
        "like speech": speech,
    }
    return {name: signal.astype(np.int16) for name, signal in made.items()}


SIGNALS = signals()
FULL_SCALE = np.where(np.arange(N) // 20 % 2, 32767, -32768).astype(np.int16)


def ffmpeg_encode(pcm: np.ndarray) -> bytes:
    coder = av.CodecContext.create("g722", "w")
    coder.sample_rate, coder.layout, coder.format = 16000, "mono", "s16"
    packets = []
    for at in range(0, len(pcm), 320):
        frame = av.AudioFrame.from_ndarray(pcm[at : at + 320].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16000
        packets += coder.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *coder.encode(None)])


def ffmpeg_decode(codes: bytes, bitrate: int = 64000) -> bytes:
    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = 16000, "mono"
    decoder.options = {"bits_per_codeword": str(bitrate // 8000)}
    frames = [f for at in range(0, len(codes), 160) for f in decoder.decode(av.Packet(codes[at : at + 160]))]
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


@pytest.mark.skipif(not VECTORS.exists(), reason="no ITU-T vectors")
def test_itu_vectors() -> None:
    codes = np.fromfile(VECTORS / "codspw.cod", dtype="<u2").astype(np.uint8).tobytes()
    pcm = (VECTORS / "inpsp.bin").read_bytes()
    assert G722Encoder().encode(pcm) == codes
    assert G722EncoderBatch(17).encode_many([pcm] * 17) == [codes] * 17
    for mode, bitrate in enumerate(RATES, 1):
        want = (VECTORS / f"outsp{mode}.bin").read_bytes()
        assert G722Decoder(bitrate).decode(codes) == want
        assert G722DecoderBatch(17, bitrate).decode_many([codes] * 17) == [want] * 17


@pytest.mark.parametrize("name", SIGNALS)
def test_ffmpeg(name: str) -> None:
    pcm = SIGNALS[name]
    codes = G722Encoder().encode(pcm)
    assert codes == ffmpeg_encode(pcm)
    for bitrate in RATES:
        assert G722Decoder(bitrate).decode(codes) == ffmpeg_decode(codes, bitrate)


def test_ffmpeg_on_any_bytes() -> None:
    codes = np.random.default_rng(2).integers(0, 256, N).astype(np.uint8).tobytes()
    for bitrate in RATES:
        assert G722Decoder(bitrate).decode(codes) == ffmpeg_decode(codes, bitrate)


def test_ffmpeg_does_not_limit_the_bands() -> None:
    """The documented difference: a full-scale square overshoots in the lower band, where the Recommendation limits."""
    codes = G722Encoder().encode(FULL_SCALE)
    assert codes != ffmpeg_encode(FULL_SCALE)
    assert G722Decoder().decode(codes) == ffmpeg_decode(codes)


def test_ffmpeg_does_not_saturate_each_sum() -> None:
    """The other one: runs of large codes saturate the zero section, which the Recommendation does at each addition."""
    codes = b"".join(bytes([code]) * 400 for code in (0xA0, 0x84, 0xA0, 0x20, 0x84, 0xBC, 0x04, 0xA0))
    assert G722Decoder().decode(codes) != ffmpeg_decode(codes)


def test_lower_rates_leave_out_the_lowest_bits() -> None:
    pcm = SIGNALS["like speech"]
    full = np.frombuffer(G722Encoder().encode(pcm), np.uint8)
    for bitrate, mask in ((56000, 0xFE), (48000, 0xFC)):
        codes = G722Encoder(bitrate=bitrate).encode(pcm)
        assert codes == (full & mask).tobytes()
        # ... and the decoder does not look at them.
        assert G722Decoder(bitrate).decode(codes) == G722Decoder(bitrate).decode(full)


def test_it_sounds_like_what_went_in() -> None:
    pcm = SIGNALS["like speech"].astype(float)
    for bitrate, least in zip(RATES, (25, 22, 17), strict=True):
        out = np.frombuffer(G722Decoder(bitrate).decode(G722Encoder(bitrate).encode(SIGNALS["like speech"])), np.int16)
        noise = out[22:] - pcm[:-22]
        assert 10 * np.log10((pcm**2).mean() / (noise**2).mean()) > least


cuts = st.lists(st.integers(0, 700), max_size=30)


@given(
    name=st.sampled_from(sorted(SIGNALS)),
    bitrate=st.sampled_from(RATES),
    cuts=cuts,
    n=st.integers(0, 3000),
    odd=st.booleans(),
)
@settings(deadline=None)
def test_chunks(name: str, bitrate: int, cuts: list[int], n: int, odd: bool) -> None:
    pcm = SIGNALS[name][:n].tobytes()
    encoder, decoder = G722Encoder(bitrate), G722Decoder(bitrate)
    codes = encoder.encode(pcm)
    assert len(codes) == n // 2
    want = decoder.decode(codes)
    encoder.reset()
    decoder.reset()
    room = memoryview(bytes(odd) + pcm)[odd:]
    pieces, at = [], 0
    for cut in [*cuts, n]:
        pieces.append(encoder.encode(room[2 * at : 2 * (at + cut)]))
        at += cut
    assert b"".join(pieces) == codes
    room = memoryview(bytes(odd) + codes)[odd:]
    pieces, at = [], 0
    for cut in [*cuts, n]:
        pieces.append(decoder.decode(room[at : at + cut]))
        at += cut
    assert b"".join(pieces) == want


@given(
    channels=st.integers(1, 70),
    bitrate=st.sampled_from(RATES),
    calls=st.lists(st.integers(0, 200), min_size=1, max_size=6),
    random=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=40)
def test_batch(channels: int, bitrate: int, calls: list[int], random: Random) -> None:
    """Slots that sit out, start anew and are reset at random: what each gives is what it gives alone."""
    choose = random.random
    names = sorted(SIGNALS)
    encoders, decoders = G722EncoderBatch(channels, bitrate), G722DecoderBatch(channels, bitrate)
    alone = [(G722Encoder(bitrate), G722Decoder(bitrate)) for _ in range(channels)]
    at = 0
    for pairs in calls:
        pcm: list[bytes | None] = []
        for c in range(channels):
            idle = choose() < 0.1
            if idle:
                alone[c][0].reset()
                alone[c][1].reset()
            elif choose() < 0.05:
                encoders.reset(c)
                decoders.reset(c)
                alone[c][0].reset()
                alone[c][1].reset()
            signal = SIGNALS[names[c % len(names)]][101 * c :]
            pcm.append(None if idle else signal[at : at + 2 * pairs].tobytes())
        codes = encoders.encode_many(list[Any](pcm))
        assert codes == [None if x is None else e.encode(x) for x, (e, _) in zip(pcm, alone, strict=True)]
        out = decoders.decode_many(list[Any](codes))
        assert out == [None if x is None else d.decode(x) for x, (_, d) in zip(codes, alone, strict=True)]
        at += 2 * pairs
    encoders.reset()
    same = SIGNALS["noise"][:64].tobytes()
    assert encoders.encode_many([same] * channels) == [G722Encoder(bitrate).encode(same)] * channels


def test_arguments() -> None:
    for make in (
        G722Encoder,
        G722Decoder,
        lambda rate: G722EncoderBatch(1, rate),
        lambda rate: G722DecoderBatch(1, rate),
    ):
        with pytest.raises(ValueError, match="32000 bit/s") as error:
            make(32000)
        assert isinstance(error.value, LipwireError)
    for channels in (0, -1, 4097):
        with pytest.raises(ValueError):
            G722EncoderBatch(channels)
        with pytest.raises(ValueError):
            G722DecoderBatch(channels)
    assert G722Encoder().encode(b"") == G722Decoder().decode(b"") == b""
    with pytest.raises(ValueError, match="even number of bytes, got 5"):
        G722Encoder().encode(b"abcde")
    with pytest.raises(TypeError):
        G722Decoder().decode("text")  # type: ignore[arg-type]
    assert (G722Encoder().bitrate, G722Decoder(bitrate=48000).bitrate) == (64000, 48000)


def test_batch_arguments() -> None:
    encoders, decoders = G722EncoderBatch(3), G722DecoderBatch(channels=3, bitrate=56000)
    assert (encoders.channels, decoders.channels, decoders.bitrate) == (3, 3, 56000)
    pcm = [SIGNALS["noise"][:4].tobytes()] * 3
    want = [G722Encoder().encode(pcm[0])] * 3
    for bad in ([b""], [b"abcd", b"abcdefgh", None], [b"abc"] * 3, [b"ab"] * 3, [b"abcd", 5, None]):
        with pytest.raises((ValueError, TypeError)):
            encoders.encode_many(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channel 2 has 2 bytes, those before it 1"):
        decoders.decode_many([b"a", None, b"ab"])
    with pytest.raises(TypeError):
        decoders.decode_many(None)  # type: ignore[arg-type]
    for channel in (-2, 3):
        with pytest.raises(ValueError, match="of 3"):
            encoders.reset(channel)
    assert encoders.encode_many(list[Any](pcm)) == want  # nothing of all that was taken
    assert encoders.encode_many([None] * 3) == [None] * 3
    assert encoders.encode_many([b"", None, bytearray()]) == [b"", None, b""]
    held = bytearray(8)
    decoders.decode_many([held] * 3)
    held.extend(b"no buffer is held")


def test_a_call_within_a_call_is_refused() -> None:
    encoders = G722EncoderBatch(2)
    refused = []

    class Odd:
        def __buffer__(self, flags: int) -> memoryview:  # only Python 3.12 and later asks it
            with pytest.raises(RuntimeError):
                encoders.encode_many([b"", b""])
            refused.append(True)
            return memoryview(bytes(4))

    try:
        encoders.encode_many([bytes(4), Odd()])
    except TypeError:
        assert not refused
    assert encoders.encode_many([bytes(4)] * 2) == [G722Encoder().encode(bytes(4))] * 2
