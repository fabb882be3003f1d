"""`lipwire voices`: the list, a sample, and what is refused."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipwire.cli.main import app
from lipwire.errors import InvalidArgument
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from support.machine import require


def lipwire(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["voices", *map(str, arguments)], catch_exceptions=False)
    if isinstance(result.exception, SystemExit) and result.exit_code == 2:
        raise SystemExit(result.stderr)
    return result.stdout + result.stderr


def test_the_list_says_who_speaks_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    told = lipwire()
    assert "hibari:heart+child  en-US     a child" in told and "not here: hibari:emma. " in told
    listed = {voice["name"]: voice for voice in json.loads(lipwire("--json"))}
    assert [listed[f"hibari:heart{who}"]["avatars"] for who in ("", "+child", "+robot", "+man")] == [
        ["aria"], ["kit"], ["ohm"], [],
    ]  # fmt: skip
    assert listed["hibari:heart"]["licence"] == "Apache-2.0" and listed["hibari:emma"]["missing"]


def test_a_film_is_spoken_by_a_voice_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPWIRE_VOICES", str(tmp_path))
    for command in (
        ["voices", "--sample"],
        ["render", "--text", "Hello.", "--motion", str(tmp_path / "a.lwm"), "--voice"],
    ):
        with pytest.raises(InvalidArgument, match=r"amy\.onnx\.json: No such file"):
            CliRunner().invoke(app, [*command, "piper:amy"], catch_exceptions=False)
        with pytest.raises(InvalidArgument, match=r"no folder of voices"), monkeypatch.context() as patch:
            patch.delenv("LIPWIRE_VOICES")
            CliRunner().invoke(app, [*command, "piper:amy"], catch_exceptions=False)


def test_a_sample_is_what_one_hears(tmp_path: Path) -> None:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    assert "s of hibari:heart+man" in lipwire("--sample", "hibari:heart+man", "--text", "Hello.", tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (24_000, 1) and file.getnframes() > 8000
    with pytest.raises(InvalidArgument, match=r"There are: hibari:heart, "):
        lipwire("--sample", "hibari:nobody", tmp_path / "b.wav")
    for options, why in (
        ([tmp_path / "b.wav"], "say which voice"),
        (["--text", "Hello."], "say which voice"),
        (["--sample", "hibari:heart", "--json", tmp_path / "b.wav"], "for the list"),
        (["--folder", "none"], "none is no folder"),
    ):
        with pytest.raises(SystemExit, match=why):
            lipwire(*options)
    assert not (tmp_path / "b.wav").exists()
