"""Files of other programs, read back by OpenFaceFX, which reads and writes the same kinds. Nobody else's reader of
Azure's events is known: they are read here as its documentation shows."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from openfacefx.edits import sample as sample_of
from openfacefx.export_a2f import parse_a2f, read_a2f
from openfacefx.importers import (
    detect_format,
    import_cues,
    parse_moho_dat,
    parse_rhubarb_json,
    parse_rhubarb_tsv,
    parse_rhubarb_xml,
)

from lipwire import _core
from lipwire.errors import InvalidArgument
from lipwire.motion import MotionHeader, MotionTrack, encode_motion
from lipwire.motion.exports import AZURE_SHAPES
from lipwire.motion.mouths import mouth_cues

NAME = 'a "b" <c> & d\u00e9\x01.wav'


def track_of(sets: tuple[str, ...], fps: Fraction, seconds: float) -> MotionTrack:
    """All channels of these sets, moving."""
    groups = tuple(group for name in sets for group in _core.MOTION_SETS[name])
    count = int(seconds * fps)
    at = np.arange(count)[:, None] / float(fps)
    kinds = np.array([kind for _, kind, names in groups for _ in names])
    phase = np.arange(len(kinds))
    values = 0.5 + 0.5 * np.sin(9 * at + phase)
    values = np.where(
        kinds == 2, np.floor(21.9 * (0.5 + 0.5 * np.sin(2 * at))), np.where(kinds == 3, values - 0.5, values)
    )
    return MotionTrack(
        header=MotionHeader(groups=groups, fps=fps),
        samples=np.array([int(number * 48_000 / fps) for number in range(count)], dtype=np.int64),
        values=values.astype(np.float32),
        speaking=np.ones(count, dtype=np.bool_),
        generations=np.zeros(count, dtype=np.int64),
    )


def _mouths() -> MotionTrack:
    """Another viseme each tenth of a second, all of them twice."""
    track = track_of(("visemes",), Fraction(100), 3.0)
    return structs.replace(track, values=np.repeat(np.eye(15, dtype=np.float32)[np.arange(30) * 7 % 15], 10, axis=0))


MOUTHS = _mouths()


def test_rhubarbs_files(tmp_path: Path) -> None:
    cues = [(round(cue.start, 2), round(cue.end, 2), cue.shape) for cue in mouth_cues(MOUTHS)]
    assert len(cues) > 15
    files = {end: encode_motion(MOUTHS, f"x{end}", speech=NAME) for end in (".tsv", ".xml", ".rhubarb.json")}
    text = {end: data.decode() for end, data in files.items()}
    assert detect_format("out.txt", text[".xml"]) == "xml"
    read = parse_rhubarb_tsv(text[".tsv"]), parse_rhubarb_xml(text[".xml"]), parse_rhubarb_json(text[".rhubarb.json"])
    assert read[0] == read[1] == read[2] == (cues, 3.0)
    assert text[".tsv"].startswith("0.00\t")
    assert text[".tsv"].endswith("\n3.00\tX\n")
    assert ET.fromstring(text[".xml"]).findtext("metadata/soundFile") == NAME.replace("\x01", "\ufffd")
    assert json.loads(text[".rhubarb.json"])["metadata"]["soundFile"] == NAME.replace("\x01", "\ufffd")
    (tmp_path / "mouths.tsv").write_bytes(files[".tsv"])
    track, warnings = import_cues(str(tmp_path / "mouths.tsv"))
    assert track.channels
    assert {warning.split("'")[1] for warning in warnings} <= {"G", "H", "X"}  # it has no such shapes of its own


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_mohos_switch_data(fps: Fraction) -> None:
    cues = mouth_cues(MOUTHS)
    read, end = parse_moho_dat(encode_motion(MOUTHS, "x.dat", fps=fps).decode(), float(fps))
    assert [shape for _, _, shape in read] == [cue.shape for cue in cues]
    for (start, _, _), cue in zip(read, cues, strict=True):
        assert -1e-6 < cue.start - start < 1 / fps + 1e-6, "the frame in which it begins"
    assert end == pytest.approx(3.0, abs=float(1 / fps))
    named = encode_motion(MOUTHS, "x.opentoonz.dat", fps=fps).decode().splitlines()
    assert named[0] == "MohoSwitch1"
    assert {line.split()[1] for line in named[1:]} <= {"MBP", "etc", "E", "AI", "O", "U", "FV", "L", "rest"}
    assert len(named) == len(cues) + 2


def test_a_dat_of_few_frames_has_one_shape_a_frame() -> None:
    lines = encode_motion(MOUTHS, "x.dat", fps=Fraction(2)).decode().splitlines()[1:]
    frames = [int(line.split()[0]) for line in lines]
    assert frames == sorted(set(frames))
    assert frames[0] == 1


def test_audio2faces_weights(tmp_path: Path) -> None:
    track = track_of(("head", "arkit"), Fraction(30), 2.0)
    path = tmp_path / "out.a2f.json"
    path.write_bytes(encode_motion(track, path, speech=NAME))
    document = json.loads(path.read_text())
    assert (document["numPoses"], document["numFrames"], document["exportFps"]) == (52, 60, 30.0)
    read, warnings = read_a2f(str(path))
    assert warnings == []
    assert read.fps == 30
    whole, _ = parse_a2f(document, epsilon=0.0)
    channels = {channel.name: channel for channel in whole.channels}
    grid = np.arange(60) / 30
    for name, values in zip(track.header.sets["arkit"], track.of("arkit").T, strict=True):
        assert np.allclose(sample_of(channels[name], grid), values, atol=1e-3), name


def test_azures_events() -> None:
    track = track_of(("arkit", "head", "azure"), Fraction(60), 2.0)
    track.channel("viseme")[30] = 21  # a frame alone is nothing that anybody sees
    events = json.loads(encode_motion(track, "out.azure.json"))
    frames: list[list[float]] = []
    for event in events:
        assert event["audioOffset"] == round(len(frames) / 60 * 10_000_000)
        assert 0 <= event["visemeId"] <= 21
        animation = json.loads(event["animation"])
        assert animation["FrameIndex"] == len(frames)
        frames += animation["BlendShapes"]
        assert len(animation["BlendShapes"]) >= 2
    assert len(events) > 20
    assert all(one["visemeId"] != other["visemeId"] for one, other in pairwise(events))
    assert 21 not in [event["visemeId"] for event in events if 1 < event["audioOffset"] / 5_000_000 < 1.1]
    assert np.shape(frames) == (120, 55)
    for number, name in (
        (0, "eyeBlinkLeft"),
        (17, "jawOpen"),
        (51, "tongueOut"),
        (52, "headRoll"),
        (54, "rightEyeRoll"),
    ):
        assert AZURE_SHAPES[number] == name
        assert np.allclose(np.array(frames)[:, number], track.channel(name), atol=1e-3)
    assert sorted(AZURE_SHAPES[:52]) == sorted(track.header.sets["arkit"])


@pytest.mark.parametrize("end", [".a2f.json", ".azure.json"])
def test_rows_without_times_have_no_gaps(end: str) -> None:
    track = track_of(("arkit", "head", "azure"), Fraction(60), 1.0)
    holey = structs.replace(track, samples=track.samples + np.where(np.arange(60) > 30, 800, 0))
    with pytest.raises(InvalidArgument, match=r"missing behind 0.50 s"):
        encode_motion(holey, "x" + end)


@pytest.mark.parametrize("end", [".tsv", ".xml", ".dat", ".rhubarb.json", ".a2f.json", ".azure.json", ".json", ".lwm"])
def test_a_track_without_frames(end: str) -> None:
    """What nobody has said is no error."""
    assert encode_motion(track_of(("arkit", "head", "azure", "visemes"), Fraction(60), 0), "x" + end)
