"""avatar.toml: its reference is docs/avatars.md. Reading finds every fault, each with its line."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadData
from ..text import decode_text
from .art import AXES, VISEMES
from .png import MAX_SIDE
from .raster import rgb
from .source import MANIFEST, Source
from .voice import Voice

FORMAT = 1
FITS = ("crop", "letterbox", "scale")
MAX_LAYERS = 32
MAX_IMAGES = 256
"""In one layer."""
MAX_TEXT = 200

_TOP = {"format", "name", "license", "author", "size", "fit", "matte", "background", "visemes", "voice", "layer"}
_LAYER = {"name", "image", "images", "at", "select", "depth", "move", "turn", "pivot"}
_VOICE = ("espeak", "openai", "service", "offline")
_UNSTATED = ("unknown", "state the licen", "todo", "to do", "tbd", "fixme", "?", "-")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with an avatar."""

    file: str
    line: int
    """In avatar.toml, from 1; 0 = not of one line."""
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One `[[layer]]`; lengths in pixels of the artwork."""

    name: str
    images: tuple[str, ...]
    """Files; "" shows nothing."""
    shapes: tuple[str, ...]
    """Of the mouth: the names of the images; else empty."""
    at: tuple[float, float]
    select: str
    depth: float
    move: dict[str, tuple[float, float]]
    turn: dict[str, float]
    pivot: tuple[float, float]
    line: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """An avatar.toml without faults."""

    name: str
    license: str
    author: str
    size: tuple[int, int]
    fit: str
    matte: str
    background: str
    """A file, or "#rrggbb"."""
    background_line: int
    visemes: dict[str, str]
    """Every viseme's mouth shape."""
    layers: tuple[LayerSpec, ...]
    voice: Voice
    license_line: int

    @property
    def licensed(self) -> bool:
        """Whether the licence is stated; templates say that it is to be."""
        return not self.license.casefold().strip().startswith(_UNSTATED)


class Lines:
    """On which line a key of a TOML text stands."""

    def __init__(self, text: str) -> None:
        self._at: dict[tuple[str, int, str], int] = {}
        table, index = "", -1
        counts: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            line = line.strip()
            if header := re.match(r"(\[\[?)\s*([\w.\-]+)\s*\]", line):
                table = header[2]
                root = table.split(".")[0]
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                index = counts.get(root, -1)
                self._at.setdefault((table, index, ""), number)
            elif key := re.match(r"[\"']?([\w\-]+)[\"']?\s*(\.\s*[\w\-]+\s*)*=", line):
                self._at.setdefault((table, index, key[1]), number)

    def of(self, key: str, table: str = "", index: int = -1) -> int:
        """Of the key, else of its table, else 0."""
        return (
            self._at.get((table, index, key))
            or self._at.get((f"{table}.{key}", index, ""))
            or self._at.get((table, index, ""))
            or self._at.get((key, 0, ""))
            or self._at.get((key, -1, ""))
            or 0
        )


@dataclass(slots=True)
class _Reader:
    """Takes values out of a parsed table, noting faults with their line."""

    lines: Lines
    faults: list[Fault] = field(default_factory=list)

    def fault(self, message: str, key: str, table: str = "", index: int = -1) -> None:
        self.faults.append(Fault(MANIFEST, self.lines.of(key, table, index), message))

    def text(self, data: dict[str, Any], key: str, default: str | None, where: tuple[str, int] = ("", -1)) -> str:
        value = data.get(key, default)
        if value is None:
            self.fault(f"`{key}` is missing", key, *where)
        elif not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            if value != default:
                self.fault(f"`{key}` must be a text of 1 to {MAX_TEXT} printable characters", key, *where)
        else:
            return value
        return default or ""

    def number(self, value: Any, what: str, low: float, high: float, key: str, where: tuple[str, int]) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.fault(f"{what} must be a number", key, *where)
        elif not low <= value <= high:
            self.fault(f"{what} must be {low:g} to {high:g}, not {value:g}", key, *where)
        else:
            return float(value)
        return 0.0

    def pair(self, value: Any, what: str, limit: float, key: str, where: tuple[str, int]) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            self.fault(f"{what} must be two numbers, [x, y]", key, *where)
            return 0.0, 0.0
        return (
            self.number(value[0], what, -limit, limit, key, where),
            self.number(value[1], what, -limit, limit, key, where),
        )

    def unknown(self, data: dict[str, Any], known: set[str], what: str, where: tuple[str, int] = ("", -1)) -> None:
        for key in data:
            if key not in known:
                self.fault(f"unknown {what} `{key}`; there are: {', '.join(sorted(known))}", key, *where)


def read_manifest(source: Source) -> tuple[Manifest | None, list[Fault]]:
    """The avatar.toml of a source: (None, faults) or (manifest, [])."""
    try:
        text = decode_text(source.read(MANIFEST))
    except BadData as exc:
        return None, [Fault(MANIFEST, 0, str(exc))]
    except UnicodeDecodeError as exc:
        return None, [Fault(MANIFEST, 0, f"it is not UTF-8: {exc.reason} at byte {exc.start}")]
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        line = re.search(r"at line (\d+)", str(exc))
        return None, [Fault(MANIFEST, int(line[1]) if line else text.count("\n") + 1, f"not TOML: {exc}")]
    r = _Reader(Lines(text))
    manifest = _manifest(r, data)
    return (None, r.faults) if r.faults else (manifest, [])


def _manifest(r: _Reader, data: dict[str, Any]) -> Manifest:
    r.unknown(data, _TOP, "key")
    if data.get("format") != FORMAT:
        r.fault(f"`format` must be {FORMAT}", "format")
    size = data.get("size")
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(isinstance(n, int) and not isinstance(n, bool) and 16 <= n <= MAX_SIDE for n in size)
    ):
        r.fault(f"`size` must be the artwork's [width, height] in pixels, each 16 to {MAX_SIDE}", "size")
        size = [16, 16]
    fit = data.get("fit", "crop")
    if fit not in FITS:
        r.fault(f"`fit` must be one of: {', '.join(FITS)}", "fit")
    matte = data.get("matte", "#000000")
    if not isinstance(matte, str) or not _COLOR.fullmatch(matte):
        r.fault('`matte` must be a colour, "#rrggbb"', "matte")
    background = r.text(data, "background", None)
    if background.startswith("#") and not _COLOR.fullmatch(background):
        r.fault('`background` must be a PNG file, or a colour, "#rrggbb"', "background")
    layers = data.get("layer")
    specs: list[LayerSpec] = []
    if not isinstance(layers, list) or not all(isinstance(entry, dict) for entry in layers) or not layers:
        r.fault("there are no layers; each begins with [[layer]]", "layer")
    elif len(layers) > MAX_LAYERS:
        r.fault(f"{len(layers)} layers; at most {MAX_LAYERS} are allowed", "layer")
    else:
        specs = [_layer(r, entry, i) for i, entry in enumerate(layers)]
        for i, spec in enumerate(specs):
            if spec.name in {other.name for other in specs[:i]}:
                r.fault(f"there are two layers named {spec.name!r}", "name", "layer", i)
    mouths = [i for i, spec in enumerate(specs) if spec.select == "mouth"]
    if specs and not mouths:
        r.fault('no layer has `select = "mouth"`', "layer")
    for i in mouths[1:]:
        r.fault("a second mouth; one layer can be the mouth", "select", "layer", i)
    shapes = specs[mouths[0]].shapes if mouths else ()
    return Manifest(
        name=r.text(data, "name", None),
        license=r.text(data, "license", None),
        author=r.text(data, "author", ""),
        size=(size[0], size[1]),
        fit=str(fit),
        matte=str(matte),
        background=background,
        background_line=r.lines.of("background"),
        visemes=_visemes(r, data.get("visemes", {}), shapes),
        layers=tuple(specs),
        voice=_voice(r, data.get("voice", {})),
        license_line=r.lines.of("license"),
    )


def _voice(r: _Reader, table: Any) -> Voice:
    """Who speaks: one name, or one for each kind of text to speech."""
    if isinstance(table, str):
        name = r.text({"voice": table}, "voice", "")
        return Voice.named(name) if name else Voice()
    if not isinstance(table, dict):
        r.fault("`voice` must be a name, or a table: [voice] with " + ", ".join(_VOICE), "voice")
        return Voice()
    r.unknown(table, set(_VOICE), "key of the voice", ("voice", -1))
    return Voice(*(r.text(table, key, "", ("voice", -1)) or None for key in _VOICE))


def _layer(r: _Reader, data: dict[str, Any], i: int) -> LayerSpec:
    where = ("layer", i)
    r.unknown(data, _LAYER, "key of a layer", where)
    select = data.get("select", "fixed")
    if not isinstance(select, str) or select not in ("fixed", "mouth", *AXES):
        r.fault(f"`select` must be fixed, mouth, or an axis: {', '.join(AXES)}", "select", *where)
        select = "fixed"
    images, shapes = _images(r, data, select, where)
    if "at" not in data:
        r.fault("`at` is missing: where the layer's top left corner lies, [x, y]", "at", *where)
    move: dict[str, tuple[float, float]] = {}
    for axis, value in _axes(r, data, "move", where):
        move[axis] = r.pair(value, f"`move.{axis}`", MAX_SIDE, "move", where)
    turn: dict[str, float] = {}
    for axis, value in _axes(r, data, "turn", where):
        turn[axis] = r.number(value, f"`turn.{axis}`", -180, 180, "turn", where)
    if turn and "pivot" not in data:
        r.fault("`turn` needs a `pivot`, the [x, y] that the layer turns about", "turn", *where)
    return LayerSpec(
        name=r.text(data, "name", None, where),
        images=images,
        shapes=shapes,
        at=r.pair(data.get("at", [0, 0]), "`at`", 2 * MAX_SIDE, "at", where),
        select=select,
        depth=r.number(data.get("depth", 0), "`depth`", -4, 4, "depth", where),
        move=move,
        turn=turn,
        pivot=r.pair(data.get("pivot", [0, 0]), "`pivot`", 2 * MAX_SIDE, "pivot", where),
        line=r.lines.of("image" if "image" in data else "images", *where),
    )


def _axes(r: _Reader, data: dict[str, Any], key: str, where: tuple[str, int]) -> list[tuple[str, Any]]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        r.fault(f"`{key}` must be a table of axes", key, *where)
        return []
    for axis in table:
        if axis not in AXES:
            r.fault(f"`{key}`: no axis {axis!r}; there are: {', '.join(AXES)}", key, *where)
    return [(axis, value) for axis, value in table.items() if axis in AXES]


def _images(
    r: _Reader, data: dict[str, Any], select: str, where: tuple[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files, and for the mouth the names of its shapes."""
    if ("image" in data) == ("images" in data):
        r.fault("a layer has either `image` or `images`", "images", *where)
        return (), ()
    images = [data["image"]] if "image" in data else data["images"]
    shapes: tuple[str, ...] = ()
    if select == "mouth":
        if not isinstance(images, dict):
            r.fault('the mouth\'s `images` must be a table: { rest = "mouth/rest.png", ... }', "images", *where)
            return (), ()
        shapes, images = tuple(images), list(images.values())
        for shape in shapes:
            if not _SHAPE.fullmatch(shape):
                r.fault(f"a mouth shape's name has 1 to 32 of A-Z a-z 0-9 _ -, not {shape!r}", "images", *where)
    if not isinstance(images, list) or not 0 < len(images) <= MAX_IMAGES or not all(isinstance(f, str) for f in images):
        r.fault(f"`images` must be 1 to {MAX_IMAGES} file names", "images", *where)
        return (), ()
    if select in ("fixed", "mouth") and "" in images:
        r.fault('"" (nothing) can only be one of the images of an axis', "images", *where)
    if select == "fixed" and len(images) > 1:
        r.fault("several images need a `select`: what chooses between them", "images", *where)
    if not any(images):
        r.fault("a layer needs an image", "images", *where)
    return tuple(images), shapes


def _visemes(r: _Reader, table: Any, shapes: tuple[str, ...]) -> dict[str, str]:
    """Every viseme's shape: by the table, else the shape of its own name."""
    if not isinstance(table, dict):
        r.fault("[visemes] must be a table: viseme = shape", "visemes")
        return {}
    for viseme, shape in table.items():
        if viseme not in VISEMES:
            r.fault(f"no viseme {viseme!r}; there are: {', '.join(VISEMES)}", viseme, "visemes")
        elif shape not in shapes and shapes:
            r.fault(f"{viseme}: the mouth has no shape {shape!r}; it has: {', '.join(shapes)}", viseme, "visemes")
    missing = [v for v in VISEMES if v not in table and v not in shapes]
    if missing and shapes:
        r.fault(f"no mouth shape for: {', '.join(missing)}; name the shapes so, or map them in [visemes]", "visemes")
    return {v: str(table.get(v, v)) for v in VISEMES}


def color(code: str) -> tuple[int, int, int]:
    """ "#rrggbb" as 0..255."""
    r, g, b = rgb(code)
    return round(r * 255), round(g * 255), round(b * 255)
