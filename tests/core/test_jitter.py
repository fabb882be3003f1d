"""The jitter buffer from Python: every codec, random networks, what Opus can do by itself, RTP's header.

What the buffer does to the sound, and when, is tested in C (tests/c/test_jitter.c).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import G722Decoder, G722Encoder, JitterBuffer, g711, opus
from lipwire.errors import BadState, InvalidArgument

MS = 1_000_000
Array = np.ndarray[Any, np.dtype[np.int16]]


def rtp(sequence: int, timestamp: int, payload: bytes, kind: int = 96, ssrc: int = 7, first: int = 0x80) -> bytes:
    return struct.pack("!BBHII", first, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def speech(rate: int, seconds: float) -> Array:
    """Something with a pitch, which rises and falls, and no two periods alike."""
    t = np.arange(int(rate * seconds)) / rate
    phase = 2 * np.pi * np.cumsum(130 + 25 * np.sin(3 * t)) / rate
    loud = np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1) + 0.02
    noise = np.random.default_rng(5).normal(0, 0.02, len(t))
    x = sum(np.sin(k * phase + k) / k for k in range(1, 12)) / 2 + noise
    return (x * loud * 9000).astype("<i2")


def play(buffer: JitterBuffer, arrivals: list[tuple[int, bytes]], seconds: float) -> tuple[Array, list[str]]:
    """All that comes out of packets at their times (ns), a block every 10 ms."""
    waiting = sorted(arrivals, key=lambda x: x[0])
    blocks: list[Array] = []
    modes: list[str] = []
    for b in range(int(seconds * 100)):
        now = b * 10 * MS + 3 * MS
        while waiting and waiting[0][0] <= now:
            at, packet = waiting.pop(0)
            buffer.put(packet, at)
        block = np.zeros(buffer.sample_rate // 100, np.int16)
        modes.append(buffer.get_into(block, now))
        blocks.append(block)
    return np.concatenate(blocks), modes


def coded(codec: str, pcm: Array) -> tuple[list[bytes], Array, int, int]:
    """Packets of 20 ms, what they decode to, and the steps of timestamps and samples."""
    if codec == "opus":
        encoder, decoder = opus.OpusEncoder(48000), opus.OpusDecoder(48000)
        packets = encoder.encode(pcm)
        return packets, np.frombuffer(b"".join(decoder.decode(p) for p in packets), "<i2"), 960, 960
    if codec == "g722":
        data = G722Encoder().encode(pcm)
        packets = [data[at : at + 160] for at in range(0, len(data), 160)]
        return packets, np.frombuffer(G722Decoder().decode(data), "<i2"), 160, 320
    if codec == "l16":
        packets = [pcm[at : at + 320].astype(">i2").tobytes() for at in range(0, len(pcm), 320)]
        return packets, pcm, 320, 320
    encode, decode = (g711.ulaw_encode, g711.ulaw_decode) if codec == "pcmu" else (g711.alaw_encode, g711.alaw_decode)
    data = encode(pcm)
    return [data[at : at + 160] for at in range(0, len(data), 160)], np.frombuffer(decode(data), "<i2"), 160, 160


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("codec", "rate"), [("pcmu", 8000), ("pcma", 8000), ("g722", 16000), ("opus", 48000), ("l16", 16000)]
)
def test_without_loss_what_comes_out_is_what_was_decoded(codec: str, rate: int) -> None:
    pcm = speech(rate, 2)
    packets, clean, clock, _ = coded(codec, pcm)
    buffer = JitterBuffer(codec, min_delay_ms=60)  # type: ignore[arg-type]
    order = [(20 * i + (45 if i % 9 == 4 else 1)) * MS for i in range(len(packets))]
    out, modes = play(
        buffer,
        [
            (at, rtp(65530 + i, 2**32 - 3000 + clock * i, p))
            for i, (at, p) in enumerate(zip(order, packets, strict=True))
        ],
        2.4,
    )
    start = modes.index("normal") * rate // 100
    assert np.array_equal(out[start : start + len(clean)], clean)
    assert 50 <= modes.index("normal") * 10 <= 90
    stats = buffer.stats()
    assert stats["packetsReceived"] == len(packets) and stats["packetsLost"] == 0
    assert stats["packetsReordered"] > 5 and stats["concealmentEvents"] <= 1


def simulated(
    seed: int, packets: list[bytes], clock: int, jitter: float, loss: float, copies: float
) -> list[tuple[int, bytes]]:
    rng = np.random.default_rng(seed)
    arrivals = []
    for i, packet in enumerate(packets):
        if rng.random() < loss:
            continue
        at = 20 * i + 5 + min(rng.exponential(jitter + 0.01), 900)
        for _ in range(1 + (rng.random() < copies)):
            arrivals.append((int(at * MS), rtp(i + 65000, 160 * 7 + clock * i, packet)))
            at += rng.random() * 40
    return arrivals


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    codec=st.sampled_from(["pcmu", "g722", "l16", "opus"]),
    seed=st.integers(0, 2**31),
    jitter=st.floats(0, 120),
    loss=st.sampled_from([0, 0.02, 0.2, 0.9]),
    copies=st.sampled_from([0, 0.2]),
)
def test_any_network(codec: str, seed: int, jitter: float, loss: float, copies: float) -> None:
    """Whole blocks, the delay bounded by what the network did, and a clean account of every packet."""
    rate = {"pcmu": 8000, "opus": 48000}.get(codec, 16000)
    packets, _, clock, size = coded(codec, speech(rate, 1.6))
    arrivals = simulated(seed, packets, clock, jitter, loss, copies)
    buffer = JitterBuffer(codec)  # type: ignore[arg-type]
    out, modes = play(buffer, arrivals, 3.5)
    stats = buffer.stats()
    assert len(out) == 350 * rate // 100 == stats["totalSamplesReceived"]
    sent = {p for _, p in arrivals}
    assert stats["packetsReceived"] + stats["packetsDuplicated"] == len(arrivals)
    assert stats["packetsReceived"] == len(sent)
    assert stats["jitterBufferEmittedCount"] % size == 0
    assert stats["jitterBufferEmittedCount"] // size + stats["packetsDiscarded"] == len(sent)
    assert stats["packetsBuffered"] == 0
    if stats["jitterBufferEmittedCount"]:
        latest = max(at - 20 * MS * ((struct.unpack_from("!H", p, 2)[0] - 65000) % 65536) for at, p in arrivals)
        mean = stats["jitterBufferDelay"] / stats["jitterBufferEmittedCount"]
        assert 0 <= mean < latest / 1e9 + 0.3
    assert modes[-1] == "idle" and not out[-rate // 10 :].any() and buffer.idle


def test_opus_repairs_a_loss_with_the_redundancy_of_the_next_packet() -> None:
    pcm = speech(48000, 3)
    encoder = opus.OpusEncoder(48000, bitrate=24000, fec=True, packet_loss=20)
    packets = encoder.encode(pcm)
    lost = [i for i in range(40, 140, 10) if opus.parse(packets[i + 1]).fec]
    assert len(lost) > 4
    arrivals = [((20 * i + 1) * MS, rtp(i, 960 * i, p)) for i, p in enumerate(packets) if i not in lost]
    buffer = JitterBuffer("opus", min_delay_ms=60)
    out, modes = play(buffer, arrivals, 3)
    assert "concealed" not in modes and buffer.stats()["concealedSamples"] == 0
    assert buffer.stats()["packetsLost"] == buffer.stats()["packetsRecovered"] == len(lost)
    clean = play(
        JitterBuffer("opus", min_delay_ms=60),
        [((20 * i + 1) * MS, rtp(i, 960 * i, p)) for i, p in enumerate(packets)],
        3,
    )[0]
    error, sound = (out - clean.astype(int)).astype(float), clean.astype(float)
    assert (error**2).sum() < 0.2 * (sound**2).sum()


def test_a_pause_of_opus_dtx_is_as_long_as_it_was_and_silent() -> None:
    """aiortc's buffer fills it twice."""
    pcm = np.concatenate([speech(48000, 1), np.zeros(48000, "<i2"), speech(48000, 1)])
    packets = opus.OpusEncoder(48000, dtx=True).encode(pcm)
    sent = [i for i in range(len(packets)) if len(packets[i]) > 2 or len(packets[i - 1]) > 2]  # RFC 7587, 3.1.3
    unsent = sorted(set(range(len(packets))) - set(sent))
    assert len(unsent) > 30
    arrivals = [((20 * i + 1) * MS, rtp(k, 960 * i, packets[i])) for k, i in enumerate(sent)]
    buffer = JitterBuffer("opus")
    out, modes = play(buffer, arrivals, 3)
    first = modes.index("normal")
    idle = [b for b in range(first, 300) if modes[b] == "idle"]
    assert abs(idle[-1] - idle[0] + 1 - 2 * (unsent[-1] - unsent[0] + 1)) <= 1
    assert len(idle) >= 2 * len(unsent) - 1
    silent = np.array([out[b * 480 : b * 480 + 480] for b in idle[1:]])
    assert not silent.any()
    assert buffer.stats()["packetsLost"] == 0 and buffer.stats()["concealedSamples"] <= 960


def test_events_and_other_payload_types() -> None:
    buffer = JitterBuffer("pcmu", payload_type=0, comfort_noise_type=13, event_type=101)
    assert buffer.idle and buffer.get(0).shape == (80,) and not buffer.get(10 * MS).any()
    assert buffer.put(rtp(0, 0, bytes(160), 0), 20 * MS)
    assert not buffer.put(rtp(1, 160, bytes(160), 8), 40 * MS)
    assert buffer.put(rtp(2, 320, struct.pack("!BBH", 5, 10, 160), 101), 60 * MS)
    for i in range(3):
        assert buffer.put(rtp(3 + i, 320, struct.pack("!BBH", 5, 0x80 | 10, 800), 101), (80 + i) * MS)
    assert buffer.events() == [(5, 0.02, False), (5, 0.1, True)] and buffer.events() == []
    assert buffer.put(rtp(6, 1120, bytes([40]), 13), 160 * MS)
    assert not buffer.put(b"\x80", 160 * MS) and not buffer.put(rtp(7, 0, b"", 0)[:11], 160 * MS)
    stats = buffer.stats()
    assert stats["packetsOther"] == 1 and stats["packetsStray"] == 2 and stats["packetsReceived"] == 6


def test_another_source_is_believed_at_its_second_packet() -> None:
    buffer = JitterBuffer("pcmu")
    assert buffer.put(rtp(0, 0, bytes(160), 0, 1), 0)
    assert not buffer.put(rtp(9, 90, bytes(160), 0, 2), MS)
    assert not buffer.put(rtp(9, 90, bytes(160), 0, 3), MS)
    assert buffer.put(rtp(1, 160, bytes(160), 0, 1), 20 * MS)
    assert not buffer.put(rtp(5, 50, bytes(160), 0, 2), 30 * MS)
    assert buffer.put(rtp(6, 210, bytes(160), 0, 2), 50 * MS)
    assert not buffer.put(rtp(2, 320, bytes(160), 0, 1), 51 * MS)
    assert buffer.stats()["packetsBuffered"] == 1


def test_what_is_refused() -> None:
    for wrong in (
        {"codec": "gsm"},
        {"codec": "g722", "sample_rate": 8000},
        {"codec": "pcmu", "sample_rate": 44100},
        {"codec": "l16", "clock_rate": 1},
        {"codec": "pcmu", "payload_type": 128},
        {"codec": "pcmu", "min_delay_ms": 3000},
        {"codec": "pcmu", "max_delay_ms": 10},
        {"codec": "pcmu", "max_packets": 1},
    ):
        with pytest.raises(InvalidArgument):
            JitterBuffer(**wrong)  # type: ignore[arg-type]
    buffer = JitterBuffer("l16")
    with pytest.raises(InvalidArgument, match="one of speech"):
        buffer.put_payload(0, 0, b"ab", 0, "noise")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="2049 bytes"):
        buffer.put_payload(0, 0, bytes(2049), 0)
    wrongs: list[Any] = [np.zeros(80, np.int16), np.zeros(160, np.float32), bytearray(319)]
    for out in wrongs:
        with pytest.raises(InvalidArgument):
            buffer.get_into(out, 0)
    with pytest.raises((BufferError, TypeError, ValueError)):
        buffer.get_into(bytes(320), 0)  # type: ignore[arg-type]
    into = bytearray(320)
    assert buffer.get_into(into, 0) == "idle" and buffer.get_into(np.ones((1, 160), np.int16), 0) == "idle"
    buffer.close()
    buffer.close()
    for call in (lambda: buffer.get(0), lambda: buffer.put(rtp(0, 0, b"ab"), 0), buffer.stats, buffer.reset):
        with pytest.raises(BadState, match="closed"):
            call()
