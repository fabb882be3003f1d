"""GLB files: what is written is read back, also by pygltflib; what is damaged is refused."""

from __future__ import annotations

import struct

import numpy as np
import pygltflib
import pytest

from lipwire.errors import InvalidArgument
from lipwire.motion.gltf import Builder, Glb, pack, read

SMALL = pack(Glb({"asset": {"version": "2.0"}, "buffers": [{}]}, b"12345"))


def test_arrays_come_back() -> None:
    rng = np.random.default_rng(1)
    builder = Builder()
    points = rng.normal(size=(70, 3)).astype(np.float32)
    some = np.zeros((70, 3), np.float32)
    some[[3, 69]] = ((1, 2, 3), (-1, 0, 0.5))
    accessors = [
        builder.array(np.arange(5, dtype="u1")),
        builder.array(points, bounds=True),
        builder.sparse(some, bounds=True),
        builder.sparse(np.zeros((70, 3), np.float32)),
    ]
    assert accessors == [0, 1, 2, 3]
    found = pygltflib.GLTF2.load_from_bytes(builder.pack())
    assert found.accessors[1].min == pytest.approx(points.min(0).tolist())
    assert found.accessors[2].max == [1, 2, 3] and found.accessors[2].sparse.count == 2
    assert found.accessors[3].bufferView is None and found.accessors[3].sparse is None  # zeros, clause 3.6.2.3
    data = found.binary_blob()
    for view in found.bufferViews:
        assert (
            view.byteOffset % 4 == 0 and view.byteOffset + view.byteLength <= len(data) == found.buffers[0].byteLength
        )

    def bytes_of(view: int) -> bytes:
        at = found.bufferViews[view]
        return bytes(data[at.byteOffset : at.byteOffset + at.byteLength])

    assert np.array_equal(np.frombuffer(bytes_of(found.accessors[1].bufferView), np.float32).reshape(-1, 3), points)
    sparse = found.accessors[2].sparse
    assert np.frombuffer(bytes_of(sparse.indices.bufferView), "<u2").tolist() == [3, 69]
    assert np.frombuffer(bytes_of(sparse.values.bufferView), np.float32).tolist() == [1, 2, 3, -1, 0, 0.5]
    again = read(builder.pack())
    assert pack(again) == builder.pack()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not begin"),
        (b'{"asset":{}}', "does not begin"),
        (SMALL[:4] + struct.pack("<I", 1) + SMALL[8:], "version 1"),
        (SMALL[:-4], "cut off"),
        (SMALL[:12], "cut off"),
        (SMALL[:12] + struct.pack("<I", 1 << 31) + SMALL[16:], "beyond its end"),
        (SMALL[:16] + struct.pack("<I", 5) + SMALL[20:], "first chunk is not JSON"),
        (SMALL[:20] + b"[" + SMALL[21:], "cannot be read"),
        (pack(Glb({}))[:20] + b"12" + pack(Glb({}))[22:], "is no object"),
    ],
)
def test_damage_is_told(data: bytes, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        read(data, "a.glb")
