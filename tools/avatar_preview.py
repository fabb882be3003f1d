"""Writes pictures of a built-in avatar: python tools/avatar_preview.py OUT_DIR [--size WxH]."""

from __future__ import annotations

import argparse
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from lipwire.avatar.art import AXES, VISEMES, Art
from lipwire.avatar.builtin import BUILTIN, draw

Image = NDArray[np.uint8]

FONT = {  # 3 x 5 bits a letter, for labels
    "A": "757550",
    "B": "656560",
    "C": "744470",
    "D": "655560",
    "E": "746470",
    "F": "746440",
    "H": "557550",
    "I": "722270",
    "K": "556550",
    "L": "444470",
    "N": "755550",
    "O": "755570",
    "P": "757440",
    "R": "756550",
    "S": "747170",
    "T": "722220",
    "U": "555570",
    "0": "755570",
    "1": "262270",
    "2": "717470",
    "3": "717170",
    "4": "557110",
    "5": "747170",
    "6": "747570",
    "7": "711110",
    "8": "757570",
    "9": "757170",
}


def write_png(path: Path, image: Image) -> None:
    """Writes (h, w, 3) uint8 as PNG."""
    h, w, _ = image.shape
    raw = np.zeros((h, 1 + w * 3), np.uint8)
    raw[:, 1:] = image.reshape(h, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw.tobytes(), 6)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def label(image: Image, text: str, scale: int = 2) -> Image:
    """Draws capital letters into the top left corner."""
    x = 4
    for ch in text.upper():
        for row, bits in enumerate(FONT.get(ch, "000000")):
            for col in range(3):
                if int(bits) >> (2 - col) & 1:
                    y0, x0 = 4 + row * scale, x + col * scale
                    image[y0 : y0 + scale, x0 : x0 + scale] = (20, 40, 60)
        x += 4 * scale
    return image


def compose(art: Art, axes: dict[str, float] | None = None, mouth: NDArray | None = None) -> Image:
    """The frame (h, w, 3) for axis values and a mouth coordinate, as the C compositor draws it but in float RGB."""
    axes = axes or {}
    mouth = art.viseme_coords[0] if mouth is None else mouth
    out = art.background[..., :3].astype(np.float32)
    for layer in art.layers:
        n = len(layer.images)
        if layer.select == "mouth":
            pick = int(np.argmin(((art.mouth_coords - mouth) ** 2).sum(1)))
        elif layer.select in AXES:
            pick = int(np.clip(axes.get(layer.select, 0.0), 0, 1) * (n - 1) + 0.5)
        else:
            pick = 0
        src = layer.images[pick].astype(np.float32)
        src[..., :3] *= src[..., 3:] / 255
        x = round(8 * (layer.x + sum(k * axes.get(a, 0.0) for a, k in layer.kx.items()))) / 8
        y = round(8 * (layer.y + sum(k * axes.get(a, 0.0) for a, k in layer.ky.items()))) / 8
        ix, iy = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - ix, y - iy
        p = np.pad(src, ((1, 1), (1, 1), (0, 0)))
        p = p[1:] * (1 - fy) + p[:-1] * fy
        p = p[:, 1:] * (1 - fx) + p[:, :-1] * fx
        h, w = p.shape[:2]
        x0, y0, x1, y1 = max(ix, 0), max(iy, 0), min(ix + w, art.width), min(iy + h, art.height)
        if x0 >= x1 or y0 >= y1:
            continue
        p = p[y0 - iy : y1 - iy, x0 - ix : x1 - ix]
        dst = out[y0:y1, x0:x1]
        dst *= 1 - p[..., 3:] / 255
        dst += p[..., :3]
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def grid(images: list[Image], columns: int) -> Image:
    h, w, _ = images[0].shape
    rows = -(-len(images) // columns)
    out = np.full((rows * (h + 2), columns * (w + 2), 3), 255, np.uint8)
    for i, im in enumerate(images):
        y, x = i // columns * (h + 2), i % columns * (w + 2)
        out[y : y + h, x : x + w] = im
    return out


def crop(art: Art, image: Image, name: str, margin: float, zoom: int = 1) -> Image:
    """The region of a layer with a margin relative to its size, enlarged by pixel repetition."""
    layer = next(la for la in art.layers if la.name == name)
    h, w = layer.images[0].shape[:2]
    m = int(margin * w)
    x, y = int(layer.x), int(layer.y)
    out = image[max(y - m, 0) : y + h + m, max(x - m, 0) : x + w + m]
    return out.repeat(zoom, 0).repeat(zoom, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--avatar", default=BUILTIN[0], choices=BUILTIN)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    args.out_dir.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    art = draw(args.avatar, width, height)
    sprites = sum(im.nbytes for la in art.layers for im in la.images)
    print(
        f"{args.size}: drawn in {time.perf_counter() - start:.2f} s, {sprites / 1e6:.1f} MB of sprites, "
        f"{len(art.mouth_coords)} mouths"
    )
    zoom = max(1, round(720 / max(height, width) * 2))

    def save(name: str, image: Image) -> None:
        write_png(args.out_dir / f"{args.size}_{name}.png", image)

    def shape(*weights: tuple[str, float]) -> NDArray:
        return sum(w * art.viseme_coords[VISEMES.index(v)] for v, w in weights)

    jaw = {"aa": 1.0, "E": 0.45, "O": 0.55, "kk": 0.2, "I": 0.15, "U": 0.15, "TH": 0.2, "DD": 0.15}
    save("neutral", compose(art))
    poses = [
        {},
        {"head_x": -1},
        {"head_x": 1},
        {"head_y": -1},
        {"head_y": 1},
        {"gaze_x": -1, "brow": 1},
        {"gaze_x": 1, "brow": -1},
        {"gaze_y": 1, "breath": 1},
        {"gaze_y": -1},
    ]
    save("poses", grid([compose(art, p) for p in poses], 3))
    faces = [compose(art, {"jaw": jaw.get(v, 0.0)}, shape((v, 1.0))) for v in VISEMES]
    for name, part, margin, times in (("visemes", "mouth", 0.35, zoom), ("faces", "hair_front", 0.02, 1)):
        crops = [crop(art, face, part, margin, times).copy() for face in faces]
        save(name, grid([label(im, v) for im, v in zip(crops, VISEMES, strict=True)], 5))
    blinks = [crop(art, compose(art, {"blink": b / 6}), "eyelids", 0.08, zoom) for b in range(7)]
    save("blink", grid(blinks, 2))
    path = ("sil", "aa", "U", "I", "PP", "FF")
    steps = []
    for t in np.linspace(0, len(path) - 1, 24):
        i = min(int(t), len(path) - 2)
        f = t - i
        a, b = path[i], path[i + 1]
        open_jaw = (1 - f) * jaw.get(a, 0.0) + f * jaw.get(b, 0.0)
        steps.append(crop(art, compose(art, {"jaw": open_jaw}, shape((a, 1 - f), (b, f))), "mouth", 0.2, zoom))
    save("strip", grid(steps, 6))


if __name__ == "__main__":
    main()
