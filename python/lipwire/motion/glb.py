"""Motion as an animation in a GLB file: on Lipwire's own head, or on somebody else's with ARKit's morph targets.

Blender, Unity, Unreal and three.js play it. Weights go to every mesh that has targets of those names, turns to the
nodes of the head and, where the eyes have no targets for it, of the eyes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .gltf import LOOK_ASIDE, LOOK_DOWN, LOOK_UP, MAX_BYTES, Builder, read

if TYPE_CHECKING:
    from .track import MotionTrack

F64 = NDArray[np.float64]

HEAD_NODE = re.compile(r"(^|[:_.\s|-]|mixamorig\d*)head$", re.IGNORECASE)
EYE_NODES = {
    "Left": re.compile(r"(^|[:_.\s|-]|mixamorig\d*)(left_?eye|eye_?left|eye_?l|l_?eye)$", re.IGNORECASE),
    "Right": re.compile(r"(^|[:_.\s|-]|mixamorig\d*)(right_?eye|eye_?right|eye_?r|r_?eye)$", re.IGNORECASE),
}
_SIDE = re.compile(r"(?:[_\s-]([LR])|(?<=[a-z])([LR])|[_\s-]([lr]))$")


def arkit_name(name: str) -> str:
    """A morph target's name as all programs' spellings have it in common: `jawOpen`, `JawOpen`, `jaw_open` and
    `blendShape1.jawOpen` are one, `eyeBlinkLeft` and `eyeBlink_L` another."""
    last = name.rpartition(".")[2]
    last = _SIDE.sub(lambda end: "Left" if end.group().lower().endswith("l") else "Right", last)
    return re.sub(r"[^a-z0-9]", "", last.lower())


class _Motion(Struct):
    """What is put on a head."""

    seconds: NDArray[np.float32]
    weights: NDArray[np.float32]
    """(n, channels of the set arkit)"""
    columns: dict[str, int]
    """Of them, by `arkit_name`."""
    angles: dict[str, NDArray[np.float32]]
    """(n,) by the names of the set head, in radians; empty where there is none."""

    @property
    def still(self) -> NDArray[np.float32]:
        return np.zeros(len(self.seconds), np.float32)

    def weight(self, name: str) -> NDArray[np.float32]:
        """(n,): 0 where the motion has no such channel."""
        column = self.columns.get(arkit_name(name))
        return self.still if column is None else self.weights[:, column]

    def angle(self, name: str) -> NDArray[np.float32]:
        return self.angles.get(name, self.still)


def _motion(track: MotionTrack) -> _Motion:
    # One frame a moment: glTF's times increase strictly.
    keep = np.flatnonzero(np.diff(track.samples, append=np.iinfo(np.int64).max) > 0)
    sets = track.header.sets
    turned = track.of("head")[keep].T if "head" in sets else ()
    return _Motion(
        (track.samples[keep] / track.header.clock_rate).astype(np.float32),
        np.clip(track.of("arkit")[keep], 0, 1),
        {arkit_name(name): column for column, name in enumerate(sets["arkit"])},
        dict(zip(sets.get("head", ()), turned, strict=True)),
    )


def write_glb(track: MotionTrack, head: str | os.PathLike[str] | None = None) -> bytes:
    """The file: a head, and an animation named "Lipwire" of it.

    Args:
        track: with the set arkit; with head, the head turns as well. Times are seconds of its clock.
        head: a .glb file with a head; None: Lipwire's own.

    Raises:
        InvalidArgument: no frames; that file cannot be read, or has no morph target of ARKit's names.
    """
    if not len(track.samples):
        raise InvalidArgument("a .glb needs at least one frame of motion")
    if head is None:
        from .head import head_glb

        data, name = head_glb(), "Lipwire's head"
    else:
        data, name = _file(Path(head)), str(head)
    try:
        return _animated(_motion(track), data, name)
    except InvalidArgument:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"{name} is no glTF that can be understood: {type(error).__name__} {error}") from error


def _file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidArgument(f"{path} is larger than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror or error}") from error


def _animated(motion: _Motion, data: bytes, name: str) -> bytes:
    builder = Builder(read(data, name))
    document = builder.document
    if document.get("buffers") and "uri" in document["buffers"][0]:
        raise InvalidArgument(
            f"{name} keeps its data in another file ({document['buffers'][0]['uri'][:80]}); pack it in"
        )
    times = builder.array(motion.seconds, bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def animate(node: int, path: str, values: NDArray[Any]) -> None:
        output = builder.array(np.ascontiguousarray(values, np.float32))
        samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})

    nodes: list[dict[str, Any]] = document.get("nodes", [])
    for number, node in enumerate(nodes):
        names = _targets(document, node)
        if any(arkit_name(target) in motion.columns for target in names):
            animate(number, "weights", np.stack([motion.weight(target) for target in names], 1).reshape(-1))
    if not channels:
        found = sorted({target for node in nodes for target in _targets(document, node)})
        raise InvalidArgument(
            f"{name} has no morph target of ARKit's names (jawOpen, eyeBlinkLeft, ...); it has "
            f"{', '.join(found[:8]) or 'none'}"
        )
    for number, turns in _turns(document, nodes, motion):
        animate(number, "rotation", turns)
    builder.add("animations", {"name": "Lipwire", "samplers": samplers, "channels": channels})
    return builder.pack()


def _targets(document: dict[str, Any], node: dict[str, Any]) -> list[str]:
    """The names of a node's morph targets; programs write them at the mesh or at its first primitive."""
    if "mesh" not in node:
        return []
    mesh = document["meshes"][node["mesh"]]
    first = mesh["primitives"][0]
    names = mesh.get("extras", {}).get("targetNames") or first.get("extras", {}).get("targetNames") or []
    return [str(name) for name in names[: len(first.get("targets", []))]]


def _turns(document: dict[str, Any], nodes: list[dict[str, Any]], motion: _Motion) -> Iterator[tuple[int, F64]]:
    """(node, quaternions x y z w) of what turns."""
    above = _turned_above(nodes)
    joints = {joint for skin in document.get("skins", []) for joint in skin["joints"]}

    def find(pattern: re.Pattern[str]) -> int | None:
        """A node of that name; bones go first."""
        found = [i for i, node in enumerate(nodes) if pattern.search(str(node.get("name", "")))]
        return min(found, key=lambda i: (i not in joints, "mesh" in nodes[i], i), default=None)

    def about(number: int, turn: F64) -> F64:
        """A turn about the file's axes, as the node's own rotation."""
        over = above[number]
        return multiply(multiply(multiply(conjugate(over), turn), over), _rotation(nodes[number]))

    head = find(HEAD_NODE)
    if motion.angles:
        turn = euler(motion.angle("headPitch"), motion.angle("headYaw"), motion.angle("headRoll"))
        roots = set(range(len(nodes))) - {child for node in nodes for child in node.get("children", [])}
        for number in [head] if head is not None else sorted(roots):
            yield number, about(number, turn)
    for side, sign in (("Left", 1), ("Right", -1)):
        eye = find(EYE_NODES[side])
        if eye is None:
            continue
        targets = (target for number in _below(nodes, eye) for target in _targets(document, nodes[number]))
        own = any(arkit_name(target).startswith("eyelook") for target in targets)
        down, up, out, to_nose = (
            motion.still if own else motion.weight(f"eyeLook{way}{side}") for way in ("Down", "Up", "Out", "In")
        )
        pitch, yaw = LOOK_DOWN * down - LOOK_UP * up, sign * LOOK_ASIDE * (out - to_nose)
        roll = motion.angle(f"{side.lower()}EyeRoll")
        if pitch.any() or yaw.any() or roll.any():
            yield eye, about(eye, euler(pitch, yaw, roll))


def _below(nodes: list[dict[str, Any]], number: int) -> list[int]:
    """A node and all under it."""
    found, at = [number], 0
    while at < len(found):
        found += [child for child in nodes[found[at]].get("children", []) if child not in found]
        at += 1
    return found


def _rotation(node: dict[str, Any]) -> F64:
    if "matrix" in node:
        # An animated node has no matrix (clause 3.5.3): it becomes what it is made of.
        matrix = np.asarray(node.pop("matrix"), np.float64).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        node["translation"], node["scale"] = matrix[:3, 3].tolist(), scale.tolist()
        node["rotation"] = _of_matrix(matrix[:3, :3] / np.maximum(scale, 1e-12)).tolist()
    return np.asarray(node.get("rotation", (0, 0, 0, 1)), np.float64)


def _turned_above(nodes: list[dict[str, Any]]) -> list[F64]:
    """How everything over each node is turned."""
    parent = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}
    own = [
        _of_matrix(_unscaled(np.asarray(node["matrix"], np.float64).reshape(4, 4).T[:3, :3]))
        if "matrix" in node
        else np.asarray(node.get("rotation", (0, 0, 0, 1)), np.float64)
        for node in nodes
    ]
    out = []
    for number in range(len(nodes)):
        turn, at = np.array([0.0, 0.0, 0.0, 1.0]), parent.get(number)
        for _ in nodes:  # no deeper than there are nodes, whatever the file says
            if at is None:
                break
            turn, at = multiply(own[at], turn), parent.get(at)
        out.append(turn)
    return out


def _unscaled(matrix: F64) -> F64:
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=0), 1e-12), np.float64)


def _of_matrix(m: F64) -> F64:
    """The quaternion of a rotation (3, 3): the eigenvector of Bar-Itzhack's symmetric matrix."""
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q = np.linalg.eigh(k)[1][:, -1]
    return np.asarray(q if q[3] >= 0 else -q, np.float64)


def multiply(a: F64, b: F64) -> F64:
    """Quaternions x y z w along the last axis: `b`, then `a`."""
    ax, ay, az, aw = np.moveaxis(a, -1, 0)
    bx, by, bz, bw = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        -1,
    )


def conjugate(q: F64) -> F64:
    """The turn back."""
    return np.asarray(q * (-1, -1, -1, 1), np.float64)


def euler(pitch: NDArray[Any], yaw: NDArray[Any], roll: NDArray[Any]) -> F64:
    """Quaternions (n, 4) of a turn about Z, then X, then Y, in radians, right handed."""
    zero = np.zeros(len(pitch))

    def half(axis: int, angle: NDArray[Any]) -> F64:
        parts = [zero, zero, zero, np.cos(angle / 2)]
        parts[axis] = np.sin(angle / 2)
        return np.stack(parts, -1).astype(np.float64)

    return multiply(multiply(half(1, yaw), half(0, pitch)), half(2, roll))
