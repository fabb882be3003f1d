"""avatar/png.py: every kind of PNG file shows what the standard says (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire.avatar.png import SIGNATURE, decode
from lipwire.errors import BadData

Samples = NDArray[np.int64]
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type."""
TABLE = [
    (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8),
    (6, 16),
]  # fmt: skip
"""Colour types and the depths that each may have (ISO/IEC 15948, table 11.1)."""
PALETTE = np.random.default_rng(5).integers(0, 256, (256, 3))
CLEARED = [0, 255, 128, 7]
"""The alpha of the palette's first entries."""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rows(samples: Samples, depth: int) -> bytes:
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in flat]
    else:
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        lines = [np.packbits(row.astype(np.uint8)).tobytes() for row in bits.reshape(len(flat), -1)]
    return b"".join(b"\0" + line for line in lines)


def encode(samples: Samples, kind: int, depth: int, before: bytes = b"", *, interlaced: bool = False) -> bytes:
    height, width = samples.shape[:2]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    raw = b"".join(rows(part, depth) for part in parts if part.size)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return SIGNATURE + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize(("kind", "depth"), TABLE)
def test_every_kind(kind: int, depth: int, cleared: bool, interlaced: bool) -> None:
    most = (1 << depth) - 1
    samples = np.random.default_rng(kind * 100 + depth).integers(0, most + 1, (13, 19, CHANNELS[kind]))
    eight = np.rint(samples * 255 / most).astype(int)
    opaque = np.full(samples.shape[:2], 255)
    before = chunk(b"gAMA", struct.pack(">I", 45455))
    if kind == 3:
        before += chunk(b"PLTE", PALETTE[: most + 1].astype(np.uint8).tobytes())
        before += chunk(b"tRNS", bytes(CLEARED[: most + 1])) if cleared else b""
        alpha = np.array([*CLEARED, *[255] * 252])[samples[..., 0]] if cleared else opaque
        want = np.dstack([PALETTE[samples[..., 0]], alpha])
    elif kind in (4, 6):
        want = np.dstack([eight[..., [0, 0, 0]] if kind == 4 else eight[..., :3], eight[..., -1]])
    else:
        clear = samples[3, 4].copy()
        samples[5, 6] = clear
        samples[7, 8] = clear ^ 1  # one step beside it, which eight bits do not tell from it
        eight = np.rint(samples * 255 / most).astype(int)
        before += chunk(b"tRNS", clear.astype(">u2").tobytes()) if cleared else b""
        alpha = np.where((samples == clear).all(-1), 0, 255) if cleared else opaque
        want = np.dstack([eight[..., [0, 0, 0]] if kind == 0 else eight, alpha])
    got = np.asarray(decode(encode(samples, kind, depth, before, interlaced=interlaced))).astype(int)
    step = 1 if depth == 16 else 0
    assert got.shape == want.shape and np.abs(got - want)[want[..., 3] > 0].max() <= step
    assert np.abs(got - want)[..., 3].max() <= (step if kind in (4, 6) else 0)


def test_long_or_damaged_notes_and_profiles_do_not_count() -> None:
    long = zlib.compress(bytes(3 << 20))
    notes = chunk(b"zTXt", b"Comment\0\0" + long) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + long)
    notes += chunk(b"iCCP", b"profile\0\0" + long) + chunk(b"tEXt", b"no end") + chunk(b"eXIf", b"?" * 70_000)
    notes += chunk(b"tIME", b"")[:-1] + b"!"  # its checksum is wrong
    samples = np.arange(12).reshape(3, 4, 1) * 20
    assert (np.asarray(decode(encode(samples, 0, 8, notes)))[..., 0] == samples[..., 0]).all()


@pytest.mark.parametrize(("width", "height"), [(4097, 1), (2, 5000), (20_000, 20_000), (100_000, 100_000)])
def test_one_that_is_too_large_is_not_called_damaged(width: int, height: int) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    whole = SIGNATURE + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(BadData, match=rf"^it is {width} x {height} pixels, at most 4096 a side are allowed$"):
        decode(whole)


def test_a_png_that_lies_about_its_size() -> None:
    head = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 6, 0, 0, 0))
    for data in (head + chunk(b"IDAT", zlib.compress(bytes(1000))), head, head[:20], head[:8], b"\x89PNG"):
        with pytest.raises(BadData):
            decode(data)
