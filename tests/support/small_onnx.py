"""Small models of our own, as ONNX files: written field by field (onnx.proto3), so that no package is needed for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOAT, INT64 = 1, 7
"""TensorProto.DataType."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _bytes(field: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def node(op: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    """A NodeProto with attributes that are integers."""
    parts = [_bytes(1, name) for name in inputs] + [_bytes(2, output), _bytes(4, op)]
    parts += [_bytes(5, _bytes(1, name) + _int(3, value) + _int(20, 2)) for name, value in attributes.items()]
    return b"".join(parts)


def constant(name: str, values: NDArray[np.int64] | NDArray[np.float32]) -> bytes:
    """A TensorProto."""
    kind = INT64 if values.dtype == np.int64 else FLOAT
    dims = b"".join(_int(1, size) for size in values.shape)
    return dims + _int(2, kind) + _bytes(8, name) + _bytes(9, values.tobytes())


def _value(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _int(1, n) if isinstance(n, int) else _bytes(2, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, dims)))


def model(
    nodes: list[bytes],
    inputs: dict[str, tuple[int, list[int | str]]],
    outputs: dict[str, tuple[int, list[int | str]]],
    constants: list[bytes],
) -> bytes:
    """A ModelProto of opset 17."""
    graph = b"".join(_bytes(1, one) for one in nodes) + _bytes(2, "small")
    graph += b"".join(_bytes(5, one) for one in constants)
    graph += b"".join(_bytes(11, _value(name, *of)) for name, of in inputs.items())
    graph += b"".join(_bytes(12, _value(name, *of)) for name, of in outputs.items())
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _int(2, 17))


def speaking(durations: str, ids: str, others: dict[str, tuple[int, list[int | str]]], hop: int) -> bytes:
    """A model that "speaks": of every number it is given it makes `hop` samples of a buzz, and tells, as the value of
    the name `durations`, that each takes one unit."""
    nodes = [
        node("Cast", [ids], "given", to=FLOAT),
        node("Equal", ["given", "given"], "same"),
        node("Cast", ["same"], durations, to=FLOAT),
        node("Unsqueeze", [durations, "last"], "apart"),
        node("Mul", ["apart", "buzz"], "many"),
        node("Reshape", ["many", "flat"], "sound"),
    ]
    buzz = (np.sin(np.arange(hop) * (2 * np.pi * 8 / hop)) * 0.1).astype(np.float32)
    constants = [
        constant("last", np.array([2])),
        constant("buzz", buzz.reshape(1, 1, hop)),
        constant("flat", np.array([-1])),
    ]
    return model(nodes, {ids: (INT64, [1, "length"]), **others}, {"sound": (FLOAT, ["samples"])}, constants)
