"""The client's side: speech cut into payloads of every encoding, decoded as the server does, and the demo's voice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import resample
from lipwire.audio import espeak as voice
from lipwire.audio.pcm8 import pcm8_encode
from lipwire.audio.voice_decoder import VoiceDecoder
from lipwire.errors import BadData, InvalidArgument
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, ProviderFault, encode, request


def tone(seconds: float, rate: int, hz: float = 300.0) -> bytes:
    return (np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate) * 9000).astype(np.int16).tobytes()


def decoded(payloads: list[bytes], encoding: str, rate: int) -> bytes:
    decoder = VoiceDecoder()
    return b"".join(decoder.decode(payload, encoding, rate)[0] for payload in payloads)


@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=3000).map(lambda b: b[: len(b) // 2 * 2]),
    st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000]),
    st.integers(10, 1000),
)
def test_pcm_is_cut_and_comes_back(pcm: bytes, rate: int, chunk_ms: int) -> None:
    pieces = list(encode(pcm, rate, "PCM16", chunk_ms))
    assert decoded(pieces, "PCM16", rate) == pcm
    # Each begins at its time: where a message holds no whole number of samples, too, nothing drifts.
    begins = np.cumsum([0, *(len(piece) // 2 for piece in pieces)])
    assert begins[:-1].tolist() == [number * chunk_ms * rate // 1000 for number in range(len(pieces))]
    assert all(pieces)
    coarse = np.frombuffer(decoded(list(encode(pcm, rate, "PCM8", chunk_ms)), "PCM8", rate), np.int16)
    assert np.array_equal(coarse, np.frombuffer(decoded([pcm8_encode(pcm)], "PCM8", rate), np.int16))


@pytest.mark.parametrize(("rate", "chunk_ms"), [(11_025, 20), (44_100, 15), (22_050, 10), (11_025, 33), (8_000, 20)])
@pytest.mark.parametrize("encoding", ["PCM16", "PCM8"])
def test_a_minute_takes_a_minute(rate: int, chunk_ms: int, encoding: m.AudioEncoding) -> None:
    count = len(list(encode(bytes(rate * 60 * 2), rate, encoding, chunk_ms)))
    assert count == -(-60_000 // chunk_ms)


def test_pcm8_is_unsigned_with_128_as_silence() -> None:
    assert list(encode(bytes(480), 8000, "PCM8", 30)) == [b"\x80" * 240]
    assert decoded([b"\x80" * 10], "PCM8", 8000) == bytes(20)
    assert np.frombuffer(decoded([b"\x00\xff"], "PCM8", 8000), np.int16).tolist() == [-32768, 127 * 256]


@pytest.mark.parametrize("chunk_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("rate", [8000, 24000, 44100])
def test_opus_comes_back_as_48_khz(rate: int, chunk_ms: int) -> None:
    t = np.arange(round(0.48 * rate)) / rate
    sweep = np.sin(2 * np.pi * (300 + 2500 * t) * t) * 9000  # no two moments of it are alike
    pcm = sweep.astype(np.int16).tobytes()
    packets = list(encode(pcm, rate, "OPUS", chunk_ms))
    back = np.frombuffer(decoded(packets, "OPUS", 48_000), np.int16).astype(float)
    assert len(back) == len(packets) * chunk_ms * 48
    sent = np.frombuffer(resample(pcm, rate, 48_000), np.int16).astype(float)[4800:-4800]
    fits = [np.corrcoef(back[4800 + delay :][: len(sent)], sent)[0, 1] for delay in range(480)]
    assert max(fits) > 0.97, (max(fits), int(np.argmax(fits)))  # 10 ms is more than the encoder's look-ahead


def test_a_broken_opus_packet_is_bad_data_and_the_next_one_is_fine() -> None:
    packets = list(encode(tone(0.4, 16_000), 16_000, "OPUS", 20))
    decoder = VoiceDecoder()
    for packet in packets:
        for broken in (b"\x03", b"\xff" * 100):
            with pytest.raises(BadData):
                decoder.decode(broken, "OPUS", 48_000)
        pcm, rate = decoder.decode(packet, "OPUS", 48_000)
        assert (len(pcm), rate) == (1920, 48_000)
    decoder.reset()
    assert len(decoder.decode(packets[0], "OPUS", 48_000)[0]) == 1920


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_opus_are_pcm_or_bad_data(packet: bytes) -> None:
    try:
        pcm, rate = VoiceDecoder().decode(packet, "OPUS", 48_000)
    except BadData:
        return
    assert rate == 48_000
    assert len(pcm) <= 48 * 120 * 2  # a packet holds 120 ms at most


@pytest.mark.parametrize(
    ("rate", "encoding", "chunk_ms"),
    [
        (7999, "PCM16", 20),
        (48_001, "PCM16", 20),
        (16_000, "PCM16", 9),
        (16_000, "PCM8", 1001),
        (16_000, "OPUS", 30),
        (16_000, "MP3", 20),
    ],
)
def test_what_cannot_be_encoded(rate: int, encoding: m.AudioEncoding, chunk_ms: int) -> None:
    with pytest.raises(InvalidArgument):
        list(encode(bytes(2000), rate, encoding, chunk_ms))
    with pytest.raises(InvalidArgument):
        VoiceDecoder().decode(b"ab", "MP3", 16_000)


async def test_nobody_answers() -> None:
    with pytest.raises(ProviderFault, match=r"127\.0\.0\.1:9"):
        async with ProviderClient("http://127.0.0.1:9", "key", request()):
            pass
    with pytest.raises(RuntimeError):
        async with ProviderClient("http://127.0.0.1:9", "key"):
            pass
    assert len(asyncio.all_tasks()) == 1


# ------------------------------------------------------------------------------------------------------------- voice


def test_espeak_speaks_from_any_thread(say: Callable[[str], tuple[bytes, int]]) -> None:
    expected = say("one two three")
    assert len(expected[0]) / 2 / expected[1] > 0.5
    assert np.abs(np.frombuffer(expected[0], np.int16)).max() > 3000
    got: list[tuple[bytes, int]] = []
    threads = [threading.Thread(target=lambda: got.append(say("one two three"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(abs(len(pcm) - len(expected[0])) < 2000 for pcm, _ in got)
    assert len(got) == 4
    assert len(say("Grüße, 世界! <b>&\0")[0]) > 0


@pytest.mark.parametrize("text", ["", "  \n", "x" * 5001])
def test_what_espeak_is_not_asked(say: Callable[[str], tuple[bytes, int]], text: str) -> None:
    with pytest.raises(InvalidArgument):
        say(text)
    with pytest.raises(InvalidArgument, match="nobody"):
        voice.synthesize("hello", "nobody")


@pytest.mark.parametrize("encoding", ["PCM16", "PCM8", "OPUS"])
def test_speech_in_any_buffer_is_cut_alike(encoding: Any) -> None:
    pcm = (np.sin(np.arange(4800) / 9) * 9000).astype("<i2")
    wanted = list(encode(pcm.tobytes(), 24000, encoding, 20))
    assert len(wanted) >= 10 and list(encode(pcm, 24000, encoding, 20)) == wanted
    with pytest.raises(InvalidArgument, match="float32"):
        list(encode(pcm.astype("f4"), 24000, encoding, 20))
