from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lipwire.errors import ModelFailed
from lipwire.models.onnx import load
from support.machine import require


@pytest.mark.parametrize("as_file", [True, False])
def test_what_is_no_model_is_said_by_its_name(tmp_path: Path, as_file: bool) -> None:
    require(find_spec("onnxruntime"), "onnxruntime")
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"no protocol buffer")
    with pytest.raises(ModelFailed, match=r"^the voice cannot be loaded, it is no model"):
        load(file if as_file else file.read_bytes(), "the voice")


def test_without_onnxruntime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelFailed, match=r"^silero needs onnxruntime: pip install 'lipwire\[offline\]'$"):
        load(b"", "silero")
