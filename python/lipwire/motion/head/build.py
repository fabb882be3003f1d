"""The head as a GLB file: nodes, materials, meshes with their morph targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..gltf import INDICES, VERTICES, Builder
from .dress import clothes, hair
from .expressions import shapes
from .eyes import brow, eye, eye_shade, glint, lashes
from .mouth import teeth, tongue
from .paint import skin_colours
from .parts import Part, colour
from .sculpt import EYE, F64, f64, smoothstep
from .skin import Skin, vertex_normals

METRES = 0.1
"""Of a unit: the head is as large as a real one."""
NECK_JOINT = f64((0, -1.55, -0.32))
HEAD_JOINT = f64((0, -0.72, -0.22))
"""Where the neck meets the skull: the head turns about it."""
LEAST = 2e-5
"""Metres: movements below are left out."""

JOINTS = {"neck": NECK_JOINT, "head": HEAD_JOINT, "leftEye": EYE, "rightEye": EYE * (-1, 1, 1)}
"""Nodes that turn, in units."""

MATERIALS: dict[str, dict[str, Any]] = {
    "skin": {"roughness": 0.50},
    "eye": {"roughness": 0.06},
    "glint": {"roughness": 1.0, "blend": True, "glow": True},
    "shade": {"roughness": 1.0, "blend": True},
    "lashes": {"colour": "#1b100d", "roughness": 0.7, "double": True},
    "brows": {"colour": "#4a2a1d", "roughness": 0.8},
    "teeth": {"roughness": 0.22},
    "gum": {"colour": "#b5585a", "roughness": 0.35},
    "tongue": {"roughness": 0.7},
    "hair": {"roughness": 0.6},
    "clothes": {"roughness": 0.9},
}


def everything(on: Skin, moves: Mapping[str, F64]) -> list[Part]:
    """All parts of the head, the skin first."""
    parts = [Part("face", "skin", on.rest, on.triangles, "skin", skin_colours(on), moves)]
    for sign in (1.0, -1.0):
        parts += [eye(sign), eye_shade(on, moves, sign), glint(sign), lashes(on, moves, sign), brow(on, moves, sign)]
    return [*parts, *teeth(True), *teeth(False), tongue(), hair(), clothes()]


def linear(srgb: F64) -> F64:
    """Colours as glTF wants them."""
    return f64(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4))


def _material(name: str, look: dict[str, Any]) -> dict[str, Any]:
    base = [*linear(colour(look["colour"])).tolist(), 1.0] if "colour" in look else [1.0, 1.0, 1.0, 1.0]
    out: dict[str, Any] = {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [round(v, 4) for v in base],
            "metallicFactor": 0,
            "roughnessFactor": look["roughness"],
        },
    }
    if look.get("blend"):
        out["alphaMode"] = "BLEND"
    if look.get("glow"):
        out["emissiveFactor"] = [1.0, 1.0, 1.0]
    if look.get("double"):
        out["doubleSided"] = True
    return out


def _floats(values: F64) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def _mesh(builder: Builder, part: Part, material: int, skin: Skin | None) -> int:
    origin = JOINTS.get(part.parent, np.zeros(3)) if skin is None else np.zeros(3)
    points = (part.points - origin) * METRES if part.parent not in ("leftEye", "rightEye") else part.points * METRES
    normals = vertex_normals(part.points, part.triangles)
    attributes = {
        "POSITION": builder.array(_floats(points), VERTICES, bounds=True),
        "NORMAL": builder.array(_floats(normals), VERTICES),
    }
    if part.colours is not None:
        rgb = linear(part.colours[:, :3])
        alpha = part.colours[:, 3:] if part.colours.shape[1] == 4 else np.ones((len(rgb), 1))
        data = np.rint(np.concatenate([rgb, alpha], 1) * 65535).astype("<u2")
        attributes["COLOR_0"] = builder.array(data, VERTICES, normalized=True)
    if skin is not None:
        share = smoothstep(0.75, 0.12, skin.neck[skin.from_net])
        weights = np.stack([1 - share, share, 0 * share, 0 * share], 1)
        joints = (np.arange(4) * (weights > 0)).astype("u1")
        attributes["JOINTS_0"] = builder.array(joints, VERTICES)
        attributes["WEIGHTS_0"] = builder.array(_floats(weights), VERTICES)
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": builder.array(part.triangles.astype("<u2").ravel(), INDICES),
        "material": material,
    }
    mesh: dict[str, Any] = {"name": part.name, "primitives": [primitive]}
    if part.moves:
        names = sorted(part.moves)
        primitive["targets"] = [_target(builder, part, normals, part.moves[name]) for name in names]
        mesh["weights"] = [0.0] * len(names)
        mesh["extras"] = {"targetNames": names}
    return builder.add("meshes", mesh)


def _target(builder: Builder, part: Part, normals: F64, move: F64) -> dict[str, int]:
    """A morph target. Points that hardly move do not."""
    still = np.abs(move).max(1) * METRES < LEAST
    moved = np.where(still[:, None], 0, move)
    turned = vertex_normals(part.points + moved, part.triangles) - normals
    turned[np.abs(turned).max(1) < 2e-3] = 0
    return {
        "POSITION": builder.sparse(_floats(moved * METRES), bounds=True),
        "NORMAL": builder.sparse(_floats(turned)),
    }


def build() -> bytes:
    """The file. It takes some seconds, and is the same each time on one machine."""
    skin = Skin()
    parts = everything(skin, shapes(skin))
    builder = Builder()
    materials = {name: builder.add("materials", _material(name, look)) for name, look in MATERIALS.items()}

    def joint(name: str, under: F64, children: list[int]) -> int:
        move = [round(float(v), 6) for v in (JOINTS[name] - under) * METRES]
        return builder.add(
            "nodes",
            {"name": name, "translation": move, "children": children}
            if children
            else {"name": name, "translation": move},
        )

    def meshes(parent: str) -> list[int]:
        made = []
        for part in parts:
            if part.parent == parent:
                mesh = _mesh(builder, part, materials[part.material], skin if parent == "skin" else None)
                made.append(builder.add("nodes", {"name": part.name, "mesh": mesh}))
        return made

    eyes = [joint(name, HEAD_JOINT, meshes(name)) for name in ("leftEye", "rightEye")]
    head = joint("head", NECK_JOINT, [*meshes("head"), *eyes])
    neck = joint("neck", np.zeros(3), [head])
    face, *_ = meshes("skin")
    inverse = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    for i, at in enumerate((NECK_JOINT, HEAD_JOINT)):
        inverse[i, 3, :3] = -at * METRES  # column-major: the last row here is the last column there
    bones = builder.add(
        "skins", {"joints": [neck, head], "inverseBindMatrices": builder.array(inverse), "skeleton": neck}
    )
    builder.document["nodes"][face]["skin"] = bones
    root = builder.add("nodes", {"name": "Lipwire", "children": [neck, *meshes("")]})
    builder.document["scene"] = builder.add("scenes", {"name": "Lipwire", "nodes": [root, face]})
    return builder.pack()
