"""G.711 and G.722, bit by bit: the ITU-T's own vectors where they are at hand, and everywhere digests of what
coders that pass those make of generated input.

The vectors belong to the ITU-T (G.191) and are not in the repository: a folder `shared/vectors` beside it, or above it.
The digests were taken where they passed. Input is made of integers alone, so that it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwire import G722Decoder, G722DecoderBatch, G722Encoder, G722EncoderBatch, g711
from support.paths import SHARED

pytestmark = pytest.mark.kernels

VECTORS = SHARED / "vectors" if (SHARED / "vectors").is_dir() else None
N = 16000
LAWS: dict[str, tuple[Callable[..., bytes], Callable[..., bytes]]] = {
    "a": (g711.alaw_encode, g711.alaw_decode),
    "u": (g711.ulaw_encode, g711.ulaw_decode),
}
RATES = (64000, 56000, 48000)


def noise(seed: int) -> Any:
    return (np.random.PCG64(seed).random_raw(N) >> np.uint64(48)).astype("<u2").view("<i2")


def signals() -> dict[str, bytes]:
    """PCM16, ordinary and worst: the last two reach the limits and the saturations that coders differ in."""
    n = np.arange(N)
    made = {
        "noise": noise(1),
        "quiet noise": noise(2) >> 12,
        "triangles": (abs(n * (n >> 9) % 4096 - 2048) - 1024) * 15,  # each 32 ms a step higher
        "clicks": np.where(noise(3) > 32400, noise(4), 0),
        "square": np.where(n // 20 % 2, 20000, -20000),
        "constant": np.full(N, -32768),
        "full-scale square": np.where(n // 20 % 2, 32767, -32768),
    }
    return {name: signal.astype("<i2").tobytes() for name, signal in made.items()}


CODES = {
    "any bytes": noise(5).tobytes(),
    "runs of large codes": b"".join(bytes([code]) * 400 for code in (0xA0, 0x84, 0xA0, 0x20, 0x84, 0xBC, 0x04, 0xA0)),
}
GOLDEN: dict[str, str] = {
    "a-law, every sample": "38488f6fd710f468",
    "a-law, every code": "e04788d110e58ff8",
    "u-law, every sample": "90c29de505fb68e7",
    "u-law, every code": "3dab54339e520bb2",
    "G.722 at 64000, noise": "38480d1f99d23028",
    "G.722 at 64000, noise, decoded": "a57243b8a25ac625",
    "G.722 at 64000, quiet noise": "48d5b45c12477c3a",
    "G.722 at 64000, quiet noise, decoded": "2a481eecdc59e8c3",
    "G.722 at 64000, triangles": "859645ec8d4e10d4",
    "G.722 at 64000, triangles, decoded": "ae9cf95578190428",
    "G.722 at 64000, clicks": "f48041f92fe6ca5c",
    "G.722 at 64000, clicks, decoded": "fcb371a191d33ccf",
    "G.722 at 64000, square": "013705120496a31a",
    "G.722 at 64000, square, decoded": "70189292e27062cb",
    "G.722 at 64000, constant": "b363a1dc124fb113",
    "G.722 at 64000, constant, decoded": "d39ba2a8032308f7",
    "G.722 at 64000, full-scale square": "4f2e793bbb2e174d",
    "G.722 at 64000, full-scale square, decoded": "1733c66fe2a302aa",
    "G.722 at 64000, any bytes": "da9b09102bff13f2",
    "G.722 at 64000, runs of large codes": "24d44d1455e31836",
    "G.722 at 56000, noise": "e2a528b51b658634",
    "G.722 at 56000, noise, decoded": "1d7ebc365dcad9b6",
    "G.722 at 56000, quiet noise": "ec37aca072513ba3",
    "G.722 at 56000, quiet noise, decoded": "a16a77cef47f152c",
    "G.722 at 56000, triangles": "5255236d4df67e17",
    "G.722 at 56000, triangles, decoded": "f54b00bfdd6565a9",
    "G.722 at 56000, clicks": "0598a0042c13f69b",
    "G.722 at 56000, clicks, decoded": "794222048fbb2492",
    "G.722 at 56000, square": "030072e79a1e1f64",
    "G.722 at 56000, square, decoded": "10d3c912af11d6cb",
    "G.722 at 56000, constant": "54cf5b87cc1b32ea",
    "G.722 at 56000, constant, decoded": "b132748172b8bc45",
    "G.722 at 56000, full-scale square": "12ad469a6ce1558b",
    "G.722 at 56000, full-scale square, decoded": "dcf580566fff083a",
    "G.722 at 56000, any bytes": "688fd1e7b71a9734",
    "G.722 at 56000, runs of large codes": "ac67f4803ecdffba",
    "G.722 at 48000, noise": "5b8bb0b09054abdd",
    "G.722 at 48000, noise, decoded": "d1d5f67f1ffe018e",
    "G.722 at 48000, quiet noise": "177a498c6e8b70c5",
    "G.722 at 48000, quiet noise, decoded": "be65915f90ad1790",
    "G.722 at 48000, triangles": "1703d15839360a99",
    "G.722 at 48000, triangles, decoded": "c094d7b01b803ab7",
    "G.722 at 48000, clicks": "a0ac3ff56b0fcd23",
    "G.722 at 48000, clicks, decoded": "790530f972cf1786",
    "G.722 at 48000, square": "216350994c735f07",
    "G.722 at 48000, square, decoded": "930c9866d72ebb44",
    "G.722 at 48000, constant": "b48700b305ec729c",
    "G.722 at 48000, constant, decoded": "b22d8b3cb881efe2",
    "G.722 at 48000, full-scale square": "30684a81129354f6",
    "G.722 at 48000, full-scale square, decoded": "c4ba5ddaf216e48b",
    "G.722 at 48000, any bytes": "92912284449fa340",
    "G.722 at 48000, runs of large codes": "a1493eb8fc3b0f38",
}


def results() -> dict[str, bytes]:
    every = np.arange(-32768, 32768).astype("<i2").tobytes()
    made = {}
    for law, (encode, decode) in LAWS.items():
        made[f"{law}-law, every sample"] = encode(every)
        made[f"{law}-law, every code"] = decode(bytes(range(256)))
    for rate in RATES:
        for name, pcm in signals().items():
            made[f"G.722 at {rate}, {name}"] = codes = G722Encoder(rate).encode(pcm)
            made[f"G.722 at {rate}, {name}, decoded"] = G722Decoder(rate).decode(codes)
        for name, codes in CODES.items():
            made[f"G.722 at {rate}, {name}"] = G722Decoder(rate).decode(codes)
    return made


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def test_generated_input_gives_what_it_gave_where_the_vectors_passed() -> None:
    assert {name: digest(data) for name, data in results().items()} == GOLDEN


def test_batches_give_the_same() -> None:
    pcm = list(signals().values())
    for rate in RATES:
        codes = G722EncoderBatch(len(pcm), rate).encode_many(list(pcm))
        assert codes == [G722Encoder(rate).encode(one) for one in pcm]
        assert G722DecoderBatch(len(pcm), rate).decode_many(list(codes)) == [
            G722Decoder(rate).decode(one or b"") for one in codes
        ]


def vectors(folder: str) -> Path:
    if VECTORS is None:
        pytest.skip("the ITU-T vectors are not here: the digests above stand in for them")
    return VECTORS / folder


@pytest.mark.parametrize("law", LAWS)
def test_itu_vectors_of_g711(law: str) -> None:
    encode, decode = LAWS[law]
    folder = vectors("g711")
    source = (folder / "sweep.src").read_bytes()
    codes = np.fromfile(folder / f"sweep-r.{law}", dtype="<u2").astype(np.uint8).tobytes()
    assert encode(source) == codes
    assert decode(codes) == (folder / f"sweep-r.re{law}").read_bytes()
    assert decode(encode(source)) == (folder / f"sweep-r.{law}-{law}").read_bytes()


def test_itu_vectors_of_g722() -> None:
    folder = vectors("g722")
    codes = np.fromfile(folder / "codspw.cod", dtype="<u2").astype(np.uint8).tobytes()
    pcm = (folder / "inpsp.bin").read_bytes()
    assert G722Encoder().encode(pcm) == codes
    assert G722EncoderBatch(17).encode_many([pcm] * 17) == [codes] * 17
    for mode, bitrate in enumerate(RATES, 1):
        want = (folder / f"outsp{mode}.bin").read_bytes()
        assert G722Decoder(bitrate).decode(codes) == want
        assert G722DecoderBatch(17, bitrate).decode_many([codes] * 17) == [want] * 17
