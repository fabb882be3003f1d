"""Models for onnxruntime, which tell what they keep to themselves: one more of a graph's inner values as an output.

An ONNX file is one message of protocol buffers, and messages that follow one another are one message: their lists are
joined (Protocol Buffers, Encoding, "Last One Wins"). So the name of a value, appended as the output of a graph, is one
more output of the model's graph. Its type and shape are for the runtime to find out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InvalidArgument, ModelFailed
from ..onnx import load

_GRAPH, _OUTPUT, _NAME = 7, 12, 1
"""Fields: ModelProto.graph, GraphProto.output, ValueInfoProto.name (onnx.proto3)."""


def read(file: Path) -> bytes:
    """A model's file. Raises InvalidArgument: it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as exc:
        raise InvalidArgument(f"{file}: {exc.strerror}") from exc


def open_session(model: bytes, what: str, value: str) -> tuple[Any, bool]:
    """A model for onnxruntime, on one core, with the value of that name as its last output; and whether it has one.

    Args:
        what: names the model in an error.

    Raises:
        ModelFailed: it cannot be loaded, or onnxruntime is not installed.
    """
    try:
        return load(with_output(model, value), what, arena=False), True
    except ModelFailed:  # without such a value, among other reasons, which it then has without the output, too
        return load(model, what, arena=False), False


def with_output(model: bytes, name: str) -> bytes:
    """The model, with the value of that name as its last output. Without such a value it cannot be loaded."""
    return model + _field(_GRAPH, _field(_OUTPUT, _field(_NAME, name.encode())))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, which is of wire type 2."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
