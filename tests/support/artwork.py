"""Artwork for avatars of one's own."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw

TOML = """\
format = 1
name = "Dot"
license = "CC0-1.0"
size = [128, 96]
background = "#8090a0"

[visemes]
PP = "rest"
sil = "rest"
FF = "narrow"
TH = "narrow"
DD = "narrow"
kk = "narrow"
CH = "narrow"
SS = "narrow"
nn = "narrow"
RR = "narrow"
aa = "wide"
E = "wide"
I = "narrow"
O = "wide"
U = "narrow"

[[layer]]
name = "head"
image = "head.png"
at = [24, 8]
depth = 1.0

[[layer]]
name = "mouth"
select = "mouth"
images = { rest = "rest.png", narrow = "narrow.png", wide = "wide.png" }
at = [52, 56]
depth = 1.1

[[layer]]
name = "lids"
images = ["", "shut.png"]
select = "blink"
at = [40, 30]
move = { gaze_x = [2, 0] }
turn = { head_roll = 5 }
pivot = [64, 80]
"""


def fitted(fit: str, matte: str) -> str:
    """TOML, of artwork that lies so in a frame of another shape."""
    return TOML.replace("[visemes]", f'fit = "{fit}"\nmatte = "{matte}"\n\n[visemes]')


def png(width: int, height: int, color: tuple[int, ...] = (200, 40, 40, 255), dot: bool = True) -> bytes:
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0) if dot else color)
    if dot:
        ImageDraw.Draw(image).ellipse((1, 1, width - 2, height - 2), fill=color)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def files(toml: str = TOML) -> dict[str, bytes]:
    return {
        "avatar.toml": toml.encode(),
        "head.png": png(80, 80, (240, 200, 170, 255)),
        "rest.png": png(24, 16, (120, 30, 30, 255)),
        "narrow.png": png(24, 16, (90, 20, 20, 255)),
        "wide.png": png(24, 16, (20, 0, 0, 255)),
        "shut.png": png(48, 10, (230, 190, 160, 255)),
    }


def write(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in content.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, content: dict[str, bytes], prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(prefix + name, data)
    return path


def line(text: str, of: str = TOML) -> int:
    return 1 + next(i for i, row in enumerate(of.splitlines()) if row.startswith(text))
