"""The head: what a buyer must never see is measured on its points; how it looks, tests/e2e/test_draw3d.py."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pygltflib
import pytest

from lipwire.motion.gltf import LOOK_ASIDE
from lipwire.motion.head import cache
from lipwire.motion.head.build import everything
from lipwire.motion.head.expressions import shapes
from lipwire.motion.head.parts import Part
from lipwire.motion.head.sculpt import EYE, EYE_RADIUS, F64, length
from lipwire.motion.head.skin import Skin, vertex_normals
from support.faces import ARKIT

SHUT = ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress", "cheekSquint", "eyeBlink", "browDown")
SHUT_ALONE = (
    *("mouthPucker", "mouthLeft", "mouthRight", "mouthShrugUpper", "jawForward", "jawLeft", "jawRight", "cheekPuff"),
    "browInnerUp",
)
"""Whatever of these is shown, at once or alone, the lips stay together."""


class Made:
    """All of it, as it is before it is packed."""

    def __init__(self) -> None:
        self.skin = Skin()
        self.shapes = shapes(self.skin)
        self.parts = {part.name: part for part in everything(self.skin, self.shapes)}

    def face(self, **weights: float) -> F64:
        """The skin's points; a name without Left or Right means both."""
        points = self.skin.rest.copy()
        for name, weight in weights.items():
            for each in [name] if name in self.shapes else [f"{name}Left", f"{name}Right"]:
                points += weight * self.shapes[each]
        return points

    def gap(self, slit: str, points: F64) -> F64:
        """How far its two edges are apart, column by column."""
        upper, lower = self.skin.slits[slit]
        return length(points[upper] - points[lower])


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def test_it_has_every_expression_and_each_moves_something(made: Made) -> None:
    assert sorted(made.shapes) == sorted(ARKIT)
    for name, move in made.shapes.items():
        assert 0.01 < length(move).max() < 0.5, name
    assert set(made.parts["tongue"].moves) == {"jawOpen", "jawForward", "jawLeft", "jawRight", "tongueOut"}
    assert {"eyeBlinkLeft", "eyeWideLeft"} <= set(made.parts["lashesLeft"].moves)
    assert {"browDownLeft", "browInnerUp"} <= set(made.parts["browLeft"].moves)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_lips_seal(made: Made, weight: float) -> None:
    """However far the jaw is open: closed by as much, they touch; and what is not meant to part them does not."""
    both = {name: weight for name in (*SHUT, *SHUT_ALONE)}
    for points in (
        made.face(jawOpen=weight, mouthClose=weight),
        made.face(jawOpen=weight, mouthClose=weight, **both),
        *(made.face(**{name: weight}) for name in both),
    ):
        assert made.gap("mouth", points).max() < 1e-9


def test_the_mouth_opens(made: Made) -> None:
    gap = made.gap("mouth", made.face(jawOpen=1))
    assert gap[0] == gap[-1] == 0, "the corners hold"
    assert gap.max() == gap[len(gap) // 2] > 0.2, "two centimetres, in the middle"
    half = made.gap("mouth", made.face(jawOpen=1, mouthClose=0.5))
    assert half == pytest.approx(gap / 2)
    for name in ("mouthFunnel", "mouthUpperUp", "mouthLowerDown"):
        assert made.gap("mouth", made.face(**{name: 1})).max() > 0.05, name


def test_teeth_stay_behind_the_lips(made: Made) -> None:
    """At rest, smiling, pressed: no tooth is in front of the skin of the mouth."""
    teeth = np.concatenate([made.parts[name].points for name in ("teethUpper", "teethLower")])
    for points in (
        made.face(),
        made.face(mouthSmile=1),
        made.face(mouthPress=1),
        made.face(mouthDimple=1, mouthFrown=1),
    ):
        upper, _ = made.skin.slits["mouth"]
        seam = points[upper]
        inside = abs(teeth[:, 0]) < abs(seam[:, 0]).max() * 0.9
        front = np.interp(teeth[inside, 0], seam[:, 0], seam[:, 2])
        assert (front - teeth[inside, 2]).min() > 0


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_lids_shut_and_never_cut_the_eye(made: Made, side: str) -> None:
    slit = f"eye{side}"
    assert made.gap(slit, made.face()).max() > 0.15
    assert made.gap(slit, made.face(**{f"eyeBlink{side}": 1})).max() < 1e-6, "a ten-thousandth of a millimetre"
    middle = EYE * (1 if side == "Left" else -1, 1, 1)
    net = slice(0, made.skin.count)
    for weight in np.linspace(0, 1, 9):
        points = made.face(**{f"eyeBlink{side}": weight})[net]
        assert length(points - middle).min() > EYE_RADIUS + 0.004
    for name in ("eyeLookUp", "eyeLookDown", "eyeSquint", "eyeWide"):
        assert length(made.face(**{f"{name}{side}": 1})[net] - middle).min() > EYE_RADIUS + 0.002, name


def test_eyes_turn_and_stay_round(made: Made) -> None:
    for side, sign in (("Left", 1), ("Right", -1)):
        eye = made.parts[f"eye{side}"]
        for name, way in (("Out", sign), ("In", -sign)):
            turned = eye.points + eye.moves[f"eyeLook{name}{side}"]
            assert length(turned) == pytest.approx(length(eye.points)), "a turn"
            pupil = turned[0] / length(turned)[0]
            assert np.arctan2(pupil[0], pupil[2]) == pytest.approx(way * LOOK_ASIDE)
        assert (eye.points + eye.moves[f"eyeLookUp{side}"])[0, 1] > 0.05


def test_the_skin_has_no_hole(made: Made) -> None:
    """Every edge has a face on both sides, but at the neck in the collar, at the crown under the hair, and in the eyes
    behind the rims of the lids; what lies in one place counts as one."""
    skin = made.skin
    ends = np.concatenate([row[[0, -1]] for row in skin.slits["mouth"]])
    apart = skin.lower & ~np.isin(skin.from_net, ends)  # the lower lip touches the upper one
    _, place = np.unique(np.column_stack([skin.rest.round(7), apart]), axis=0, return_inverse=True)
    faces = place.ravel()[skin.triangles]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]  # at corners some are lines
    sides = Counter(pair for face in faces.tolist() for pair in zip(face, face[1:] + face[:1], strict=True))
    assert max(sides.values()) == 1, "faces turn one way"
    spot = np.zeros((place.max() + 1, 3))
    spot[place.ravel()] = skin.rest
    open_edges = [a for a, b in sides if (b, a) not in sides]
    for point in spot[open_edges]:
        inside_eye = min(length(point - EYE), length(point - EYE * (-1, 1, 1))) < EYE_RADIUS
        assert inside_eye or point[1] < -1.7 or point[1] > 1.1, point


def test_both_sides_are_alike(made: Made) -> None:
    skin = made.skin
    keys = zip(
        skin.row.tolist(), skin.u.round(5).tolist(), skin.under_mouth.tolist(), skin.under_eye.tolist(), strict=True
    )
    index = {key: number for number, key in enumerate(keys)}
    pairs = [(number, index.get((row, -u, *under))) for (row, u, *under), number in index.items() if u > 0]
    mine, other = np.array([(a, b) for a, b in pairs if b is not None]).T
    assert len(mine) > 6000
    flip = (-1, 1, 1)
    assert abs(skin.rest[mine] - skin.rest[other] * flip).max() < 1e-6
    for name in ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "browInnerUp", "cheekPuff"):
        assert abs(made.shapes[name][mine] - made.shapes[name][other] * flip).max() < 1e-6, name
    for name in ("mouthSmile", "browDown", "eyeBlink", "noseSneer", "mouthUpperUp"):
        assert abs(made.shapes[f"{name}Left"][mine] - made.shapes[f"{name}Right"][other] * flip).max() < 1e-6, name


def sound(part: Part) -> None:
    """Nothing is NaN, no index beyond, no face without area worth a name."""
    assert np.isfinite(part.points).all()
    assert part.triangles.min() >= 0 and part.triangles.max() < len(part.points) < 65536
    assert length(vertex_normals(part.points, part.triangles)) == pytest.approx(1)
    for move in part.moves.values():
        assert move.shape == part.points.shape and np.isfinite(move).all()
    if part.colours is not None:
        assert len(part.colours) == len(part.points)
        assert part.colours.min() >= 0 and part.colours.max() <= 1


def test_every_part_is_sound(made: Made) -> None:
    for part in made.parts.values():
        sound(part)
        if part.name.startswith(("eyeL", "eyeR", "teeth", "gum", "tongue", "hair", "clothes")):
            a, b, c = (part.points[part.triangles[:, i]] - part.points.mean(0) for i in range(3))
            assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0, f"{part.name} shows its outside"


def test_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by pygltflib: names, nodes, a skin; made once, also for threads that ask at once, and kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache._head.cache_clear()
    old = cache.folder() / "head-older.glb"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(cache.MAX_BYTES))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(cache.head_glb())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = found[0]
    assert all(other is data for other in found)
    (kept,) = os.listdir(cache.folder())
    assert (cache.folder() / kept).read_bytes() == data
    cache._head.cache_clear()
    assert cache.head_glb() == data and cache.head_glb() is not data
    monkeypatch.setenv("XDG_CACHE_HOME", str(old / "not" / "a folder"))
    monkeypatch.setattr("lipwire.motion.head.build.build", lambda: b"made again")
    cache._head.cache_clear()
    assert cache.head_glb() == b"made again", "without a cache, too"
    cache._head.cache_clear()

    gltf = pygltflib.GLTF2.load_from_bytes(data)
    names = {node.name: node for node in gltf.nodes}
    assert {"head", "neck", "leftEye", "rightEye", "face", "hair", "teethUpper", "teethLower", "tongue"} <= set(names)
    face = gltf.meshes[names["face"].mesh]
    assert face.extras["targetNames"] == sorted(ARKIT) and len(face.primitives[0].targets) == 52 == len(face.weights)
    assert [gltf.nodes[joint].name for joint in gltf.skins[names["face"].skin].joints] == ["neck", "head"]
    box = gltf.accessors[face.primitives[0].attributes.POSITION]
    assert 0.25 < box.max[1] - box.min[1] < 0.35, "metres"
    used = {mesh.primitives[0].material for mesh in gltf.meshes}
    assert used == set(range(len(gltf.materials)))
    assert len(data) < 6_000_000
