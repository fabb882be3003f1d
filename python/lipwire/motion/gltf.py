"""GLB, the binary file of glTF 2.0 (Khronos, "glTF 2.0 Specification"): as much of it as heads and their motion need.

`Builder` makes a file; `read` takes one apart, so that an animation can be added to somebody else's head.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..errors import InvalidArgument

MAGIC, JSON_CHUNK, BIN_CHUNK = b"glTF", 0x4E4F534A, 0x004E4942
MAX_BYTES = 512 * 1024 * 1024
"""Of a file that is read."""

COMPONENTS = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}
"""numpy's kind and size -> glTF's component type (clause 3.6.2.2)."""
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
LOOK_UP, LOOK_DOWN, LOOK_ASIDE = 0.42, 0.45, 0.52
"""Radians of an eye that looks as far as it can, where ARKit's eyeLook* turn it; draw3d.js has the same."""
VERTICES, INDICES = 34962, 34963
"""What a buffer view is for (clause 3.6.2.1)."""


class Glb(Struct):
    """A file taken apart: the document, and the bytes of its first buffer."""

    document: dict[str, Any]
    binary: bytes = b""


def pack(glb: Glb) -> bytes:
    """The file (clause 4.4). Sets the length of the first buffer."""
    document = dict(glb.document)
    binary = glb.binary + bytes(-len(glb.binary) % 4)
    if binary:
        buffers = [dict(buffer) for buffer in document.get("buffers", [])] or [{}]
        buffers[0]["byteLength"] = len(glb.binary)
        document["buffers"] = buffers
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    parts = [struct.pack("<II", len(text), JSON_CHUNK), text]
    if binary:
        parts += [struct.pack("<II", len(binary), BIN_CHUNK), binary]
    return struct.pack("<4sII", MAGIC, 2, 12 + sum(map(len, parts))) + b"".join(parts)


def read(data: bytes, name: str = "this file") -> Glb:
    """Takes a GLB file apart. Raises InvalidArgument where it is none, is cut off, or is larger than 512 MB."""
    if len(data) > MAX_BYTES:
        raise InvalidArgument(f"{name} has {len(data)} bytes; a GLB of at most {MAX_BYTES} is read")
    if len(data) < 12 or data[:4] != MAGIC:
        raise InvalidArgument(
            f"{name} is no GLB file: it does not begin with 'glTF'. A .gltf is to be packed into a .glb"
        )
    _, version, total = struct.unpack_from("<4sII", data)
    if version != 2:
        raise InvalidArgument(f"{name} is a GLB of version {version}; 2 is understood")
    if not 20 <= total <= len(data):
        raise InvalidArgument(f"{name} is cut off: it says {total} bytes, and has {len(data)}")
    chunks: list[tuple[int, bytes]] = []
    at = 12
    while at + 8 <= total:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > total:
            raise InvalidArgument(f"{name} is damaged at byte {at}: a chunk of {size} bytes goes beyond its end")
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not chunks or chunks[0][0] != JSON_CHUNK:
        raise InvalidArgument(f"{name} is damaged: its first chunk is not JSON")
    try:
        document = json.loads(chunks[0][1])
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{name} is damaged: its JSON cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"{name} is damaged: its JSON is no object")
    binary = next((content for kind, content in chunks[1:] if kind == BIN_CHUNK), b"")
    return Glb(document, binary)


class Builder:
    """Collects what goes into a file, or into one that exists: its document and its bytes grow."""

    def __init__(self, start: Glb | None = None) -> None:
        start = start or Glb({"asset": {"version": "2.0", "generator": "Lipwire"}})
        self.document = start.document
        self._binary = bytearray(start.binary)

    def add(self, kind: str, item: Mapping[str, Any]) -> int:
        """Appends to one of the document's lists ("nodes", "meshes", ...): its index."""
        items: list[Any] = self.document.setdefault(kind, [])
        items.append(dict(item))
        return len(items) - 1

    def _view(self, data: NDArray[Any], target: int | None) -> int:
        self._binary += bytes(-len(self._binary) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": data.nbytes}
        if target is not None:
            view["target"] = target
        if not self.document.get("buffers"):
            self.add("buffers", {"byteLength": 0})
        self._binary += data.tobytes()
        return self.add("bufferViews", view)

    @staticmethod
    def _describe(data: NDArray[Any], bounds: bool) -> dict[str, Any]:
        out: dict[str, Any] = {
            "componentType": COMPONENTS[data.dtype.str[1:]],
            "count": len(data),
            "type": SHAPES[data.shape[1:]],
        }
        if bounds:
            low, high = data.min(axis=0), data.max(axis=0)
            out["min"], out["max"] = np.atleast_1d(low).tolist(), np.atleast_1d(high).tolist()
        return out

    def array(
        self, data: NDArray[Any], target: int | None = None, *, bounds: bool = False, normalized: bool = False
    ) -> int:
        """An accessor of an array: (n,), (n, 2), (n, 3), (n, 4) or (n, 4, 4), float32 or unsigned. A row is to be a
        multiple of four bytes where it is a vertex's.

        Args:
            target: VERTICES or INDICES; None for what is neither.
            bounds: writes the least and the greatest, which positions and times must have.
            normalized: integers that mean 0..1.
        """
        data = np.ascontiguousarray(data)
        item = self._describe(data, bounds) | {"bufferView": self._view(data, target)}
        if normalized:
            item["normalized"] = True
        return self.add("accessors", item)

    def sparse(self, data: NDArray[np.float32], *, bounds: bool = False) -> int:
        """An accessor of an array that is mostly 0: only rows that are not are written (clause 3.6.2.3)."""
        data = np.ascontiguousarray(data, np.float32)
        item = self._describe(data, bounds)
        rows = np.flatnonzero(np.any(data != 0, axis=1))
        if len(rows):
            kind = "<u2" if len(data) < 65536 else "<u4"
            item["sparse"] = {
                "count": len(rows),
                "indices": {
                    "bufferView": self._view(rows.astype(kind), None),
                    "componentType": COMPONENTS[kind[1:]],
                },
                "values": {"bufferView": self._view(data[rows], None)},
            }
        return self.add("accessors", item)

    def pack(self) -> bytes:
        """The file."""
        return pack(Glb(self.document, bytes(self._binary)))
