"""The avatars that are drawn, not loaded."""

from __future__ import annotations

from . import aria, mouth
from .art import Art, Layer
from .raster import Canvas, View, to_rgba8

BUILTIN = ("aria",)

MOUTH_Y = 77.0
BLINK_STEPS, JAW_STEPS = 7, 12


def frame(width: int, height: int) -> View:
    """Head and shoulders in any frame: by height in wide ones, by width in tall ones."""
    scale = min(height / 440, width / 316)
    spare = height / scale - 440
    return View(scale, width / 2, scale * (180 + 0.26 * spare), width, height)


def draw(name: str, width: int, height: int) -> Art:
    """Draws a built-in avatar for frames of width x height pixels (even, 16..4096).

    Raises ValueError for an unknown name or a size out of range. The same arguments give the same bytes.
    """
    if name not in BUILTIN:
        raise ValueError(f"unknown built-in avatar {name!r}; there is {', '.join(BUILTIN)}")
    if width % 2 or height % 2 or not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise ValueError(f"frame size {width}x{height}: even numbers from 16 to 4096 are needed")
    view = frame(width, height)
    s = view.scale
    # Full deflection of the head in pixels; each layer takes a share: the nearer to the viewer, the larger.
    turn = 0.025 * 440 * s

    def moves(x: float, y: float, breath: float = 0.35) -> tuple[dict[str, float], dict[str, float]]:
        return {"head_x": x * turn}, {"head_y": y * turn, "breath": -breath * 0.006 * 440 * s}

    def layer(name: str, art: Canvas | list[Canvas], x: float, y: float, select: str = "fixed", **more: float) -> Layer:
        bank = art if isinstance(art, list) else [art]
        kx, ky = moves(x, y)
        for axis, pixels in more.items():
            (kx if axis.endswith("_x") else ky)[axis] = pixels * s
        return Layer(name, [c.image() for c in bank], float(bank[0].x), float(bank[0].y), select, kx, ky)

    torso = aria.body(view)
    images, mx, my = mouth.draw(view, 0.0, MOUTH_Y)
    kx, ky = moves(1.12, 1.10)
    layers = [
        layer("hair_back", aria.hair_back(view), 0.70, 0.75),
        Layer(
            "body",
            [torso.image()],
            float(torso.x),
            float(torso.y),
            "fixed",
            {"head_x": 0.08 * turn},
            {"breath": -0.006 * 440 * s},
        ),
        layer("head", aria.head(view), 0.95, 0.95),
        layer("lower_face", aria.lower_face(view, JAW_STEPS), 0.97, 0.98, "jaw"),
        layer("nose", aria.nose(view), 1.30, 1.18),
        layer("eye_whites", aria.eye_whites(view), 1.08, 1.04),
        layer("irises", aria.irises(view), 1.08, 1.04, gaze_x=4.2, gaze_y=2.6),
        layer("eyelids", aria.eyelids(view, BLINK_STEPS), 1.08, 1.04, "blink"),
        layer("brows", aria.brows(view), 1.08, 1.02, brow=-4.5),
        Layer("mouth", images, float(mx), float(my), "mouth", kx, ky),
        layer("hair_front", aria.hair_front(view), 0.93, 0.93),
    ]
    room = to_rgba8(aria.background(view))
    return Art(name, width, height, room, layers, mouth.coords(mouth.shapes()), mouth.viseme_coords())
