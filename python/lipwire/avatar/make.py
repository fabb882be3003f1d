"""Makes avatars of files: a template of a built-in one, and mouth sets that other programs use."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadData, InvalidArgument
from .art import VISEMES, Art, Layer
from .artwork import HEAD_SHARE
from .png import MAX_SIDE, decode
from .source import MANIFEST, MAX_FILE_BYTES, litter
from .voice import VOICES, Voice

if TYPE_CHECKING:
    from PIL.Image import Image

RHUBARB = "ABCDEFGHX"
RHUBARB_VISEMES = {
    **{"sil": "X", "PP": "A", "FF": "G", "TH": "H", "DD": "B", "kk": "B", "CH": "B", "SS": "B", "nn": "H"},
    **{"RR": "E", "aa": "D", "E": "C", "I": "B", "O": "E", "U": "F"},
}
"""Which of Rhubarb's shapes shows which viseme (its README, "Mouth shapes")."""
RHUBARB_INSTEAD = {"G": "A", "H": "C", "X": "A"}
"""G, H and X are optional in a Rhubarb set; these stand in for them, as Rhubarb itself says."""


def _fresh(folder: Path) -> None:
    """Makes an empty folder. Raises InvalidArgument if there is something in it."""
    if folder.exists() and (not folder.is_dir() or not all(litter(path.name) for path in folder.iterdir())):
        raise InvalidArgument(f"{folder} exists; choose another name")
    folder.mkdir(parents=True, exist_ok=True)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _crop(layer: Layer) -> tuple[int, int, int, int]:
    """The part of a layer's images that shows anything."""
    seen = np.maximum.reduce([image[..., 3] for image in layer.images]) > 0
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _voice_lines(name: str) -> list[str]:
    """The voice of a built-in avatar, for a template that is a copy of it."""
    voice = VOICES.get(name, Voice())
    names = [f"{key} = {_quoted(value)}" for key, value in asdict(voice).items() if value is not None]
    return ["[voice]  # who speaks, where nobody says otherwise", *names, ""] if names else []


def write_template(art: Art, folder: Path, author: str = "") -> int:
    """Writes a drawn avatar as artwork: avatar.toml and PNG layers, a mouth shape a viseme. Returns the files written.

    Raises:
        InvalidArgument: the folder is there and not empty.
    """
    from PIL import Image

    _fresh(folder)
    files = 1
    out = [
        "# An avatar for Lipwire. Every key is explained in docs/avatars.md of the project.",
        "# Replace the pictures with your own, then: lipwire avatar check . && lipwire avatar preview .",
        "format = 1",
        f"name = {_quoted(folder.resolve().name)}",
        f'license = "state the licence of your artwork; this template is a copy of Lipwire\'s {art.name}"',
        *([f"author = {_quoted(author)}"] if author else []),
        f"size = [{art.width}, {art.height}]  # of the artwork, in pixels; all positions are in it",
        'fit = "crop"  # to a frame of another shape: crop, letterbox or scale',
        'background = "background.png"  # or a colour: "#dfe7ea"',
        "",
        *_voice_lines(art.name),
        "# Mouth shapes are found by the viseme's name. A smaller set is mapped to visemes in a table:",
        "# [visemes]",
        '# sil = "rest"',
        '# PP = "rest"',
        "",
        "# Layers, bottom to top.",
    ]
    Image.fromarray(art.background).convert("RGB").save(folder / "background.png", optimize=True)
    for layer in art.layers:
        left, top, right, bottom = _crop(layer)
        names: list[str] = []
        images = layer.images
        labels = [f"{i}" for i in range(len(images))]
        if layer.select == "mouth":
            picks = [int(np.argmin(((art.mouth_coords - c) ** 2).sum(1))) for c in art.viseme_coords]
            images, labels = [layer.images[i] for i in picks], list(VISEMES)
        for label, image in zip(labels, images, strict=True):
            name = f"{layer.name}.png" if len(images) == 1 else f"{layer.name}/{label}.png"
            part = image[top:bottom, left:right]
            if layer.select not in ("fixed", "mouth") and not part[..., 3].any():
                names.append("")
                continue
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(part)).save(path, optimize=True)
            names.append(name)
            files += 1
        out += ["", "[[layer]]", f"name = {_quoted(layer.name)}"]
        if len(names) == 1:
            out.append(f"image = {_quoted(names[0])}")
        elif layer.select == "mouth":
            out += [f"images.{label} = {_quoted(name)}" for label, name in zip(labels, names, strict=True)]
        else:
            out.append(f"images = [{', '.join(map(_quoted, names))}]")
        if layer.select != "fixed":
            out.append(f'select = "{layer.select}"')
        out += [f"at = [{layer.x + left:g}, {layer.y + top:g}]", *_movement(layer, art.height)]
    (folder / MANIFEST).write_text("\n".join(out) + "\n")
    return files + 1


def _movement(layer: Layer, height: int) -> list[str]:
    depth = round(layer.kx.get("head_x", 0.0) / (HEAD_SHARE * height), 3)
    rest = (layer.ky.get("head_y", 0.0) - depth * HEAD_SHARE * height) if depth else layer.ky.get("head_y", 0.0)
    out = [f"depth = {depth:g}"] if depth else []
    moves = {}
    for axis in dict.fromkeys([*layer.kx, *layer.ky, "head_y"]):
        dx = layer.kx.get(axis, 0.0) if axis != "head_x" else 0.0
        dy = layer.ky.get(axis, 0.0) if axis != "head_y" else rest
        if abs(dx) > 0.05 or abs(dy) > 0.05:
            moves[axis] = f"[{dx:.4g}, {dy:.4g}]"
    if moves:
        out.append("move = { " + ", ".join(f"{axis} = {pair}" for axis, pair in moves.items()) + " }")
    if layer.turn:
        out.append("turn = { " + ", ".join(f"{axis} = {degrees:g}" for axis, degrees in layer.turn.items()) + " }")
        out.append(f"pivot = [{layer.pivot[0]:g}, {layer.pivot[1]:g}]")
    return out


def find_mouths(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """A mouth set in a folder: (files by shape, every viseme's shape). A shape's name is the last word of the file's:
    `A.png`, `mouth-A.png`, `viseme_PP.png`.

    Raises:
        InvalidArgument: there is no such folder. BadData: it is neither a Rhubarb set nor one of OVR visemes.
    """
    if not folder.is_dir():
        raise InvalidArgument(f"{folder}: no such folder")
    words: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".png" and not path.name.startswith("."):
            word = re.split(r"[-_ .]", path.stem)[-1]
            if word in words:
                raise BadData(f"{folder}: {words[word].name} and {path.name} are both shape {word}")
            words[word] = path
    by_case = {word.casefold(): word for word in words}
    ovr = {v: words[by_case[v.casefold()]] for v in VISEMES if v.casefold() in by_case}
    if len(ovr) > 2 and len(ovr) < len(VISEMES) and not set("ABCD") <= set(words):
        missing = [v for v in VISEMES if v not in ovr]
        raise BadData(f"{folder}: it looks like a set of OVR visemes, without: {', '.join(missing)}")
    if len(ovr) == len(VISEMES):
        return ovr, {v: v for v in VISEMES}
    letters = {letter: words[letter] for letter in RHUBARB if letter in words}
    missing = [letter for letter in "ABCDEF" if letter not in letters]
    if missing:
        raise BadData(
            f"{folder}: no mouth set: Rhubarb's A B C D E F (G H X), without: {', '.join(missing)}; or PNG files named "
            f"by the OVR visemes: {' '.join(VISEMES)}"
        )
    visemes = {v: shape if shape in letters else RHUBARB_INSTEAD[shape] for v, shape in RHUBARB_VISEMES.items()}
    return letters, visemes


def import_mouths(
    mouths: Path, folder: Path, base: Path | None, at: tuple[float, float] | None, author: str = ""
) -> int:
    """Makes an avatar of a mouth set, and a picture of the face without a mouth. Returns its mouth shapes.

    Raises:
        InvalidArgument, BadData: a file or folder is missing, damaged or in the way; it says which.
    """
    files, visemes = find_mouths(mouths)
    images = {shape: _decode(path) for shape, path in files.items()}
    first = next(iter(images))
    for shape, image in images.items():
        if image.size != images[first].size:
            raise BadData(
                f"{files[shape].name}: it is {image.width} x {image.height} pixels, {files[first].name} is "
                f"{images[first].width} x {images[first].height}; all mouths need one size"
            )
    mouth = images[first]
    face = _decode(base) if base is not None else None
    if face is not None:
        size = face.size
    else:  # alone, in the middle of a plain picture
        size = min(max(3 * mouth.width, 64), MAX_SIDE), min(max(3 * mouth.height, 64), MAX_SIDE)
    if min(size) < 16:
        raise BadData(f"{base}: it is {size[0]} x {size[1]} pixels; at least 16 a side are needed")
    if at is None:
        at = (size[0] - mouth.width) / 2, (size[1] - mouth.height) / 2
    _fresh(folder)
    (folder / "mouth").mkdir()
    for shape, image in images.items():
        image.save(folder / "mouth" / f"{shape}.png", optimize=True)
    if face is not None:
        face.save(folder / "base.png", optimize=True)
    out = [
        "# Made by `lipwire avatar import`. docs/avatars.md of the project says what more there is: eyes, brows, ...",
        "format = 1",
        f"name = {_quoted(folder.resolve().name)}",
        'license = "unknown: state the licence of the artwork"',
        *([f"author = {_quoted(author)}"] if author else []),
        f"size = [{size[0]}, {size[1]}]",
        'fit = "letterbox"',
        'matte = "#d8e2e6"',
        'background = "#d8e2e6"',
        '# voice = "en-us+f3"  # who speaks, where nobody says otherwise',
        "",
        "[visemes]",
        *[f"{viseme} = {_quoted(shape)}" for viseme, shape in visemes.items()],
    ]
    if face is not None:
        out += ["", "[[layer]]", 'name = "base"', 'image = "base.png"', "at = [0, 0]", "depth = 1"]
    out += ["", "[[layer]]", 'name = "mouth"', 'select = "mouth"']
    out += [f"images.{shape} = {_quoted(f'mouth/{shape}.png')}" for shape in images]
    out += [f"at = [{at[0]:g}, {at[1]:g}]", "depth = 1"]
    (folder / MANIFEST).write_text("\n".join(out) + "\n")
    return len(images)


def _decode(path: Path) -> Image:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadData(f"{path}: it is larger than {MAX_FILE_BYTES // 1024**2} MB")
        return decode(path.read_bytes())
    except OSError as exc:
        raise InvalidArgument(f"cannot read {path}: {exc.strerror}") from exc
    except BadData as exc:
        raise BadData(str(exc) if str(exc).startswith(str(path)) else f"{path}: {exc}") from exc
