"""`lipwire motion`, and `lipwire render` of motion, as a user runs them."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipwire.cli.main import app
from lipwire.errors import BadData, InvalidArgument
from lipwire.motion.head import head_glb


@pytest.fixture
def speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    with wave.open("in.wav", "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    return "in.wav"


def lipwire(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(args))
    if code == 1:
        assert result.exception is not None
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_into_files_of_motion_and_from_one_to_another(speech: str) -> None:
    done = lipwire(
        "render", speech, "talk.lwm", "--motion", "talk.tsv", "--motion-sets", "visemes, head", "--fps", "30"
    )
    assert re.fullmatch(
        r"talk\.lwm: 1\.2\d s, 3\d poses, [\d.]+ kB, in [\d.]+ s \([\d.]+x real time\)\n"
        r"talk\.tsv: 1\.2\d s, 12\d poses, [\d.]+ kB, in [\d.]+ s \([\d.]+x real time\)\n",
        done,
    )
    told = lipwire("motion", "info", "talk.lwm")
    assert re.match(r"talk\.lwm: 1\.2\d s, 3\d frames at 30 a second\n  visemes: 15 channels, 1 of them", told)
    assert "speaking: " in told
    assert lipwire("motion", "convert", "talk.lwm", "other.json").startswith("other.json: 1.2")
    lipwire("motion", "convert", "other.json", "other.xml", "--speech", "in.wav")
    assert "<soundFile>in.wav</soundFile>" in Path("other.xml").read_text()
    lipwire("render", speech, "--motion", "alone.json")
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        ["alone.json", "in.wav", "other.json", "other.xml", "talk.lwm", "talk.tsv"]
    )
    Path("cut.lwm").write_bytes(Path("talk.lwm").read_bytes()[:-3])
    with pytest.raises(BadData, match=r"cut off at byte \d+: .*; --partial takes what lies before"):
        lipwire("motion", "info", "cut.lwm", code=1)
    assert lipwire("motion", "convert", "cut.lwm", "cut.json", "--partial").startswith("cut.json: 1.")


def test_a_3d_head_and_its_animation(speech: str) -> None:
    """The head alone; motion on it; on that head as if it were somebody else's: the same file."""
    assert lipwire("motion", "head", "head.glb") == f"head.glb: {len(head_glb()) / 1e6:.1f} MB, 52 morph targets\n"
    assert Path("head.glb").read_bytes() == head_glb()
    lipwire("motion", "head", "head.gltf", code=2)
    assert lipwire("render", speech, "talk.json", "--motion", "talk.glb").startswith("talk.json: 1.2")
    lipwire("render", speech, "theirs.glb", "--motion-head", "head.glb")
    lipwire("motion", "convert", "talk.json", "again.glb", "--head", "head.glb")
    talk = Path("talk.glb").read_bytes()
    assert talk == Path("theirs.glb").read_bytes() and len(talk) > len(head_glb())
    assert len(talk) == Path("again.glb").stat().st_size, "but for what .json rounds"
    with pytest.raises(InvalidArgument, match=r"in\.wav is no GLB file"):
        lipwire("render", speech, "other.glb", "--motion-head", "in.wav", code=1)
    assert not Path("other.glb").exists()


def test_what_cannot_be(speech: str) -> None:
    lipwire("render", speech, code=2)
    lipwire("render", "--motion", "a.lwm", code=2)
    lipwire("render", speech, "a.lwm", "--text", "Hi.", code=2)
    for kind, args in (
        (InvalidArgument, ["render", speech, "a.lwm", "--size", "64x36"]),
        (InvalidArgument, ["motion", "info", "none.lwm"]),
        (BadData, ["motion", "info", speech]),
        (BadData, ["motion", "convert", speech, "a.json"]),
        (InvalidArgument, ["motion", "convert", speech, speech]),
    ):
        with pytest.raises(kind):
            lipwire(*args, code=1)
    assert [path.name for path in Path().iterdir()] == ["in.wav"]


def test_the_kinds_that_there_are_are_told(speech: str) -> None:
    text = lipwire("render", "--help")
    assert ".a2f.json" in text
