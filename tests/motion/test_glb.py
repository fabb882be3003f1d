"""Motion as a glTF animation: on our own head and on somebody else's, read back by pygltflib. (three.js plays it in
tests/e2e/test_draw3d.py.)"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest

from lipwire.errors import InvalidArgument
from lipwire.motion.glb import arkit_name, euler, multiply, write_glb
from lipwire.motion.gltf import LOOK_ASIDE, Builder, Glb, pack, read
from support.faces import ARKIT, SPELLINGS, face_track
from support.machine import require
from support.npm import package


class Played:
    """The animation of a file, by pygltflib."""

    def __init__(self, data: bytes) -> None:
        self.gltf = pygltflib.GLTF2.load_from_bytes(data)
        (self.animation,) = [one for one in self.gltf.animations if one.name == "Lipwire"]

    def array(self, accessor: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        found = self.gltf.accessors[accessor]
        view = self.gltf.bufferViews[found.bufferView]
        wide = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[found.type]
        data = self.gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        return np.frombuffer(data, np.float32).reshape(found.count, wide)

    def of(self, node: str, path: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(frames, what there is of a frame)"""
        (channel,) = [
            one
            for one in self.animation.channels
            if one.target.path == path and self.gltf.nodes[one.target.node].name == node
        ]
        sampler = self.animation.samplers[channel.sampler]
        times = self.array(sampler.input)
        return self.array(sampler.output).reshape(len(times), -1)

    @property
    def times(self) -> list[float]:
        return self.array(self.animation.samplers[0].input)[:, 0].tolist()

    @property
    def moved(self) -> set[tuple[str, str]]:
        return {(self.gltf.nodes[one.target.node].name, one.target.path) for one in self.animation.channels}


def test_on_our_own_head() -> None:
    yaw = [0, 0.1, -0.2, 0.3]
    played = Played(write_glb(face_track(jawOpen=[0, 0.5, 1, 0.25], eyeLookOutLeft=[1, 1, 0, 0], headYaw=yaw)))
    assert played.times == pytest.approx([0, 0.04, 0.08, 0.12])
    names = played.gltf.meshes[next(node.mesh for node in played.gltf.nodes if node.name == "face")].extras[
        "targetNames"
    ]
    weights = played.of("face", "weights")
    assert weights[:, names.index("jawOpen")].tolist() == [0, 0.5, 1, 0.25]
    assert weights.sum() == pytest.approx(1.75 + 2)
    assert played.of("head", "rotation") == pytest.approx(euler(*np.array([[0] * 4, yaw, [0] * 4])), abs=1e-6)
    assert {"teethLower", "tongue", "lashesLeft", "browRight", "eyeLeft"} < {
        node for node, path in played.moved if path == "weights"
    }
    assert {node for node, path in played.moved if path == "rotation"} == {"head"}, "eyes have targets of their own"


VALIDATE = """
const validator = require(process.argv[1]), bytes = new Uint8Array(require('fs').readFileSync(process.argv[2]));
validator.validateBytes(bytes).then(({ issues }) => console.log(JSON.stringify(issues.messages)));
"""


def test_khronos_validator_has_nothing_to_say(tmp_path: Path) -> None:
    node = shutil.which("node")
    require(node, "node")
    path = tmp_path / "talk.glb"
    path.write_bytes(write_glb(face_track(jawOpen=[0, 0.5, 1, 0.25], headYaw=[0, 0.1, -0.2, 0.3])))
    command = [str(node), "-e", VALIDATE, os.fspath(package("gltf-validator", "2.0.0-dev.3.10")), os.fspath(path)]
    assert json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout) == []


def somebodys(**more: Any) -> bytes:
    """A head as another program writes one: other spellings, names at the primitive, bones under a node that is turned
    by a matrix, eyes that are bones, an animation of its own."""
    builder = Builder()
    shape = builder.array(np.zeros((3, 3), np.float32), bounds=True)
    primitive = {"attributes": {"POSITION": shape}, "targets": [{"POSITION": shape}] * 3}
    primitive["extras"] = {"targetNames": ["Blend.Smile", "blendShape1.JawOpen", "eyeBlink_L"]}
    builder.add("meshes", {"primitives": [primitive]})
    builder.add("animations", {"name": "Wave", "channels": [], "samplers": []})
    lying = [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1]  # a quarter turn about X, as columns
    for node in (
        {"name": "Armature", "matrix": lying, "children": [1]},
        {"name": "mixamorig:Head", "rotation": [0, 0, 0.6, 0.8], "children": [2]},
        {"name": "LeftEye"},
        {"name": "Wolf3D_Head", "mesh": 0},
    ):
        builder.add("nodes", node)
    builder.add("skins", {"joints": [1, 2]})
    builder.document.update(more)
    return builder.pack()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.glb"
    path.write_bytes(somebodys())
    return path


def test_on_somebody_elses_head(theirs: Path) -> None:
    before = read(theirs.read_bytes())
    motion = face_track(jawOpen=[0, 1, 0, 0], eyeBlinkLeft=[0.5] * 4, eyeLookOutLeft=[0, 0, 1, 0], headYaw=[0.3] * 4)
    data = write_glb(motion, theirs)
    played = Played(data)
    assert played.of("Wolf3D_Head", "weights").tolist() == [[0, 0, 0.5], [0, 1, 0.5], [0, 0, 0.5], [0, 0, 0.5]]
    lying = np.array([-np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    own = np.array([0, 0, 0.6, 0.8])
    turned = multiply(lying, played.of("mixamorig:Head", "rotation")[0])
    wanted = multiply(euler(*np.array([[0.0], [0.3], [0.0]]))[0], multiply(lying, own))
    assert abs(turned @ wanted) == pytest.approx(1, abs=1e-6), "about the file's axes, whatever the bones' are"
    eye = played.of("LeftEye", "rotation")
    assert [2 * np.arccos(min(1, abs(w))) for w in eye[:, 3]] == pytest.approx([0, 0, LOOK_ASIDE, 0], abs=1e-3)
    after = read(data)
    assert after.binary.startswith(before.binary), "what was there stays where it was"
    assert [one["name"] for one in after.document["animations"]] == ["Wave", "Lipwire"]
    assert after.document["meshes"] == before.document["meshes"]


def test_frames_of_one_moment_are_the_last_of_them(theirs: Path) -> None:
    motion = face_track(samples=[480, 480, 960, 2400], head=False, jawOpen=[0.1, 0.2, 0.3, 0.4])
    played = Played(write_glb(motion, theirs))
    assert played.times == pytest.approx([0.01, 0.02, 0.05])
    assert played.of("Wolf3D_Head", "weights")[:, 1] == pytest.approx([0.2, 0.3, 0.4])
    assert {path for _, path in played.moved} == {"weights"}


def test_an_eye_rolls(theirs: Path) -> None:
    played = Played(write_glb(face_track(leftEyeRoll=[0, 0.1, 0, 0]), theirs))
    assert 2 * np.arccos(played.of("LeftEye", "rotation")[:, 3]) == pytest.approx([0, 0.1, 0, 0], abs=1e-3)


def test_a_root_that_has_a_matrix_can_turn(tmp_path: Path) -> None:
    """Where no node is called head, all of it turns; a node that is animated has no matrix."""
    grown = [2.0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 1, 2, 3, 1]
    path = tmp_path / "mask.glb"
    path.write_bytes(somebodys(nodes=[{"name": "Mask", "mesh": 0, "matrix": grown}], skins=[]))
    played = Played(write_glb(face_track(headPitch=[0.2] * 4), path))
    assert played.of("Mask", "rotation")[0] == pytest.approx([np.sin(0.1), 0, 0, np.cos(0.1)])
    mask = played.gltf.nodes[0]
    assert mask.matrix is None and mask.translation == [1, 2, 3] and mask.scale == [2, 2, 2]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"solid cube", "is no GLB file"),
        (somebodys(nodes=[{"name": "Cube"}]), "no morph target of ARKit's names .* it has none"),
        (somebodys(nodes=[{"mesh": 9}]), "no glTF that can be understood: IndexError"),
        (somebodys(nodes=[7]), "no glTF that can be understood"),
        (somebodys(nodes=[{"name": "Head", "mesh": 0, "matrix": [1]}]), "no glTF that can be understood"),
        (pack(Glb({"buffers": [{"uri": "head.bin", "byteLength": 9}]})), "in another file"),
    ],
)
def test_what_is_no_head_is_refused(data: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "none.glb"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidArgument, match=says):
        write_glb(face_track(), path)


def test_motion_without_frames_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least one frame"):
        write_glb(face_track(0))


def test_every_spelling_of_a_name_is_the_same() -> None:
    for name, spelt in SPELLINGS:
        assert arkit_name(spelt) == arkit_name(name) == name.lower()
    assert len({arkit_name(name) for name in ARKIT}) == 52
