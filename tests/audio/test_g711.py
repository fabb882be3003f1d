"""G.711: against tables derived here from the Recommendation's segments, the ITU-T vectors, and FFmpeg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire import LipwireError
from lipwire.audio import g711
from support.paths import SHARED

pytestmark = pytest.mark.kernels

VECTORS = SHARED / "vectors" / "g711"
LAWS: dict[str, tuple[Callable[..., bytes], Callable[..., bytes]]] = {
    "alaw": (g711.alaw_encode, g711.alaw_decode),
    "mulaw": (g711.ulaw_encode, g711.ulaw_decode),
}
SAMPLES = np.arange(-32768, 32768).astype(np.int16)


def model(law: str) -> tuple[np.ndarray, np.ndarray]:
    """The code of every sample and the sample of every code, from the widths of the steps alone."""
    if law == "alaw":
        widths = [16] * 16 + [16 << segment for segment in range(7) for _ in range(16)]
        starts = np.cumsum([0, *widths])[:128]
        levels = starts + np.array(widths) // 2
    else:
        widths = [8 << segment for segment in range(8) for _ in range(16)]
        starts = np.maximum(np.cumsum([0, *widths])[:128] - 4, 0)
        levels = np.cumsum([0, *widths])[:128] - 4 + np.array(widths) // 2
    magnitude = np.where(SAMPLES < 0, ~SAMPLES, SAMPLES).astype(np.int64)
    toggle = 0x55 if law == "alaw" else 0x7F
    codes = (np.searchsorted(starts, magnitude, side="right") - 1 | np.where(SAMPLES < 0, 0, 0x80)) ^ toggle
    plain = np.arange(256) ^ toggle
    values = np.where(plain & 0x80, levels[plain & 0x7F], -levels[plain & 0x7F])
    return codes.astype(np.uint8), values.astype(np.int16)


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_and_every_code(law: str) -> None:
    encode, decode = LAWS[law]
    codes, values = model(law)
    assert encode(SAMPLES) == codes.tobytes()
    assert decode(bytes(range(256))) == values.tobytes()


@pytest.mark.parametrize(("law", "letter"), [("alaw", "a"), ("mulaw", "u")])
@pytest.mark.skipif(not VECTORS.exists(), reason="no ITU-T vectors")
def test_itu_vectors(law: str, letter: str) -> None:
    encode, decode = LAWS[law]
    source = (VECTORS / "sweep.src").read_bytes()
    codes = np.fromfile(VECTORS / f"sweep-r.{letter}", dtype="<u2").astype(np.uint8).tobytes()
    assert encode(source) == codes
    assert decode(codes) == (VECTORS / f"sweep-r.re{letter}").read_bytes()
    assert decode(encode(source)) == (VECTORS / f"sweep-r.{letter}-{letter}").read_bytes()


@pytest.mark.parametrize("law", LAWS)
def test_ffmpeg(law: str) -> None:
    """Decoding is the same; coding differs where FFmpeg moves a decision threshold, by one step."""
    encode, decode = LAWS[law]
    coder: Any = av.CodecContext.create(f"pcm_{law}", "w")
    coder.sample_rate, coder.layout, coder.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(SAMPLES.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 8000
    theirs = np.frombuffer(b"".join(bytes(p) for p in [*coder.encode(frame), *coder.encode(None)]), np.uint8)
    ours = np.frombuffer(encode(SAMPLES), np.uint8)
    toggle = 0x55 if law == "alaw" else 0xFF
    step = np.abs((ours ^ toggle).astype(int) - (theirs ^ toggle))
    assert step.sum() == (step == 1).sum() == 964

    decoder: Any = av.CodecContext.create(f"pcm_{law}", "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    (got,) = decoder.decode(av.Packet(bytes(range(256))))
    assert decode(bytes(range(256))) == got.to_ndarray().tobytes()


@pytest.mark.parametrize("law", LAWS)
@given(data=st.binary(max_size=700), odd=st.integers(0, 40))
def test_any_length_alignment_and_buffer(law: str, data: bytes, odd: int) -> None:
    encode, decode = LAWS[law]
    codes, values = model(law)
    want = values[np.frombuffer(data, np.uint8)].tobytes()
    room = bytes(odd) + data
    assert decode(memoryview(room)[odd:]) == decode(bytearray(data)) == want
    pcm = data[: len(data) & ~1]
    want = codes[np.frombuffer(pcm, np.int16).astype(int) + 32768].tobytes()
    room = bytes(odd) + pcm
    assert encode(memoryview(room)[odd:]) == encode(bytearray(pcm)) == want


@pytest.mark.parametrize("law", LAWS)
def test_arguments(law: str) -> None:
    encode, decode = LAWS[law]
    assert encode(b"") == decode(b"") == b""
    with pytest.raises(ValueError, match="even number of bytes, got 3") as error:
        encode(b"abc")
    assert isinstance(error.value, LipwireError)
    with pytest.raises(TypeError):
        encode("text")
    with pytest.raises(TypeError):
        decode(None)
    with pytest.raises((BufferError, ValueError)):  # not contiguous
        encode(SAMPLES[::2])
