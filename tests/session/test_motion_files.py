"""`render` of motion: what the face does in the film, in files, alone or beside it; whole or not at all."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.audio.speech_file import SpeechFile
from lipwire.drawing.stage import Stage
from lipwire.errors import InvalidArgument, StorageError
from lipwire.session.offline import perform
from lipwire.session.voice_level import voice_level

SEED = 7


@pytest.fixture(scope="module")
def speech(say: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pcm, rate = say("Papa, my father may buy five maps.")
    path = tmp_path_factory.mktemp("speech") / "in.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm)
    return path


def poses(speech: Path, avatar: str, fps: Fraction) -> list[_core.Frame]:
    """Those of the film."""
    source = SpeechFile(speech)
    level = voice_level(source, source.rate)
    drawn = lipwire.Avatar.load(avatar)
    stage = Stage(drawn, lipwire.StreamSpec(session_id="x", width=64, height=36, fps=fps))
    made = perform(iter(source), source.rate, stage, seed=SEED, voice=level)
    return [item.copy() for item in made if isinstance(item, _core.Frame)]


def test_the_motion_is_that_of_the_film(speech: Path, tmp_path: Path) -> None:
    avatar, fps = "ohm", Fraction(30000, 1001)
    result = lipwire.render(
        speech,
        tmp_path / "out.mp4",
        size=(64, 36),
        fps=fps,
        avatar=avatar,
        seed=SEED,
        motion=["lwm", tmp_path / "other.json"],
        motion_sets=["pose", "visemes"],
    )
    track = lipwire.read_motion(tmp_path / "out.lwm")
    shown = poses(speech, avatar, fps)
    assert result.frames == len(track.samples) == len(shown)
    assert track.header.fps == fps
    assert track.samples.tolist() == [frame.sample for frame in shown]
    exact = [np.concatenate([frame.axes, frame.visemes, [frame.loudness]]) for frame in shown]
    assert np.array_equal(np.rint(track.of("pose") * 32767), np.rint(np.array(exact) * 32767))
    assert np.allclose(track.of("visemes"), np.array(exact)[:, 15:30], atol=0.5 / 255 + 1e-6)
    assert track.speaking[10]
    assert not track.speaking[-1]
    written = {file.path.name: file for file in result.motion}
    assert list(written) == ["out.lwm", "other.json"]
    assert written["out.lwm"].frames == len(track.samples)
    assert written["out.lwm"].size == (tmp_path / "out.lwm").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "out.lwm", "out.mp4"]
    assert np.array_equal(lipwire.read_motion(tmp_path / "other.json").samples, track.samples)


def test_motion_alone_needs_no_film(speech: Path, tmp_path: Path) -> None:
    told: list[tuple[float, float | None]] = []
    result = lipwire.render(
        speech,
        tmp_path / "talk.json",
        motion=[tmp_path / name for name in ("talk.tsv", "talk.azure.json", "talk.a2f.json", "talk.dat")],
        fps=50,
        progress=lambda *now: told.append(now),
    )
    track = lipwire.read_motion(tmp_path / "talk.json")
    assert list(track.header.sets) == ["arkit", "head"]
    assert result.frames == 0
    assert result.duration == pytest.approx(track.duration, abs=0.021)
    assert [file.frames for file in result.motion] == [
        round(result.duration * fps + 0.49) for fps in (50, 100, 60, 50, 100)
    ]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (result.duration, result.duration)
    # The lips meet where p, b and m are, the mouth opens between; the lids come down now and then, and the head moves.
    shapes = [line.split("\t")[1] for line in (tmp_path / "talk.tsv").read_text().splitlines()]
    assert shapes.count("A") >= 3
    assert set("DG") & set(shapes)
    assert track.channel("jawOpen").max() > 0.2
    assert np.ptp(track.of("head")[:, :2], axis=0).min() > 0.001
    again = lipwire.render(speech, tmp_path / "again.lwm", fps=50)
    lipwire.write_motion(track, tmp_path / "converted.lwm")
    assert (tmp_path / "converted.lwm").read_bytes() == (tmp_path / "again.lwm").read_bytes()
    assert again.motion[0].size < (tmp_path / "talk.json").stat().st_size / 5


def test_of_a_text(say: Any, tmp_path: Path) -> None:
    lipwire.render(None, tmp_path / "out.xml", text="Hello.", subtitles="vtt")
    assert "<soundFile></soundFile>" in (tmp_path / "out.xml").read_text()
    assert "Hello." in (tmp_path / "out.vtt").read_text()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "say what is to be written"),
        ({"motion": "out.mp4"}, "cannot write out.mp4: end its name in one of .a2f.json"),
        ({"motion": "lwm"}, "beside a film, and no film is made"),
        ({"out": "out.lwm", "motion_sets": ["arkit", "smell"]}, "motion_sets .*each at most once of visemes, arkit"),
        ({"out": "out.lwm", "motion_sets": ["head", "head"]}, "at most once"),
        ({"out": "out.lwm", "motion_sets": []}, "motion_sets 'of nothing'"),
        ({"out": "out.tsv", "motion_sets": ["head"]}, "motion_sets is for .lwm and .json"),
        ({"out": "out.tsv", "fps": 30}, "out.tsv has times of its own"),
        ({"out": "out.lwm", "motion_head": "head.glb"}, "motion_head is what the motion of a .glb is put on"),
        ({"out": "out.lwm", "size": (64, 36)}, "size is for pictures"),
        ({"out": "out.lwm", "poster": "png"}, "poster is for pictures"),
        ({"out": "out.lwm", "crf": 20}, "crf is for pictures"),
        ({"out": "out.lwm", "background": "teal"}, "background is for pictures"),
        ({"out": "out.lwm", "preencoded": "on"}, "preencoded is for pictures"),
        ({"out": "out.lwm", "motion": "out.lwm"}, "out.lwm is written twice"),
        ({"out": "no/out.lwm"}, "no folder no"),
        ({"out": "out.foo"}, r"out.foo: end its name in .mp4, .* of film .*\.webm.* of motion .*\.lwm"),
    ],
)
def test_what_does_not_go_together_is_refused(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=why):
        lipwire.render(speech, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_off_leaves_what_was_there(speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.json").write_text("older")

    def stop(done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lipwire.render(speech, tmp_path / "out.json", motion=tmp_path / "out.lwm", progress=stop)
    with pytest.raises(StorageError, match=r"cannot write /dev/full|cannot write .*out.json: No space"):
        monkeypatch.setattr(Path, "write_bytes", _full)
        lipwire.render(speech, tmp_path / "out.json", motion=tmp_path / "out.lwm")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert (tmp_path / "out.json").read_text() == "older"


def _full(path: Path, data: bytes) -> int:
    with open("/dev/full", "wb") as disk:
        return disk.write(data)
