"""ONNX models, each run by onnxruntime in the thread that calls it, and in no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelFailed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def load(model: Path | bytes, what: str, *, arena: bool = True) -> InferenceSession:
    """A model, of a file or of the bytes of one.

    Args:
        what: names the model in an error.
        arena: whether memory that one run has used is kept for the next.

    Raises:
        ModelFailed: it cannot be loaded, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise ModelFailed(f"{what} needs onnxruntime: pip install 'lipwire[offline]'") from exc
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # none: what is wrong is raised
    options.enable_cpu_mem_arena = arena
    data = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime has an exception of its own for each way in which a file can be broken
        raise ModelFailed(
            f"{what} cannot be loaded, it is no model that onnxruntime can load: {str(exc)[:200]}"
        ) from exc
