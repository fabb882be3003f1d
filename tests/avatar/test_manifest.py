"""Artwork: avatar.toml and its faults, folders and zips, also hostile ones, and how it fits a frame."""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.avatar import AXES, VISEMES, Avatar, bake, source
from lipwire.avatar.artwork import MissingPillow, examine, mouth_space
from lipwire.avatar.make import import_mouths
from lipwire.avatar.manifest import MAX_IMAGES, MAX_LAYERS
from lipwire.errors import BadData, InvalidArgument
from support.artwork import TOML, files, line, pack, png, write
from support.paths import ROOT


def faults(path: Path) -> list[str]:
    return [str(fault) for fault in examine(path)[2]]


# ------------------------------------------------------------------------------------------------------ what is good


@pytest.mark.parametrize("kind", ["folder", "toml", "zip", "zip in a folder"])
def test_a_good_avatar(tmp_path: Path, kind: str) -> None:
    path = {
        "folder": lambda: write(tmp_path / "dot", files()),
        "toml": lambda: write(tmp_path / "dot", files()) / "avatar.toml",
        "zip": lambda: pack(tmp_path / "dot.zip", files()),
        "zip in a folder": lambda: pack(tmp_path / "dot.zip", files() | {"../x".strip("./"): b""}, "dot/"),
    }[kind]()
    assert faults(path) == []
    avatar = Avatar.load(str(path))
    assert avatar.name == "Dot" and avatar.at(64, 48) is avatar.at(64, 48)
    assert Avatar.load(str(path)) is avatar
    performer = _core.Performer(avatar.at(64, 48))
    for _ in range(4):
        performer.tick()
    frame = performer.read_frame()
    assert frame is not None and frame.i420.std() > 5


def test_the_example_in_the_docs_is_good(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "avatars.md").read_text()
    toml = text.split("```toml\n")[1].split("```")[0]
    names = re.findall(r'"([\w/]+\.png)"', toml)
    content = {name: png(1280, 720) if name == "room.png" else png(40, 30) for name in names}
    assert faults(write(tmp_path / "nova", content | {"avatar.toml": toml.encode()})) == []
    assert set(re.findall(r"`(\w+)`", text.split("| axis |")[1].split("**Mouth")[0])) >= set(AXES)


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    path = write(tmp_path / "dot", files())
    first = Avatar.load(str(path))
    write(path, files(TOML.replace('"Dot"', '"Spot two"')))
    assert Avatar.load(str(path)).name == "Spot two" and first.name == "Dot"


def test_fitting(tmp_path: Path) -> None:
    """Crop fills the frame, letterbox shows all of the artwork, scale does both and stretches."""
    content = files() | {"back.png": png(128, 96, (10, 200, 30, 255), dot=False)}

    def art(fit: str, width: int, height: int) -> lipwire.avatar.Art:
        toml = TOML.replace('"#8090a0"', f'"back.png"\nfit = "{fit}"\nmatte = "#ff0000"')
        path = write(tmp_path / f"{fit}{width}", content | {"avatar.toml": toml.encode()})
        return Avatar.load(str(path)).art(width, height)

    def red(background: np.ndarray) -> int:
        return int((background[..., 0] > 200).sum())

    for width, height in ((256, 96), (128, 192), (256, 192)):
        for fit in ("crop", "letterbox", "scale"):
            a = art(fit, width, height)
            sx, sy = width / 128, height / 96
            if fit != "scale":
                sx = sy = max(sx, sy) if fit == "crop" else min(sx, sy)
            head = a.layers[0]
            box = head.images[0][..., 3] > 128
            xs, ys = np.flatnonzero(box.any(0)) + head.x, np.flatnonzero(box.any(1)) + head.y
            assert abs((xs[0] + xs[-1] + 1) / 2 - ((24 + 40 - 64) * sx + width / 2)) <= 1
            assert abs((ys[0] + ys[-1] + 1) / 2 - ((8 + 40 - 48) * sy + height / 2)) <= 1
            assert abs((xs[-1] - xs[0] + 1) - 78 * sx) <= 3 and abs((ys[-1] - ys[0] + 1) - 78 * sy) <= 3
            bars = width * height - round(128 * sx) * round(96 * sy) if fit == "letterbox" else 0
            assert abs(red(a.background) - bars) <= 2 * (width + height)
            assert head.kx["head_x"] == pytest.approx(0.032 * 96 * sx) and a.layers[2].kx["gaze_x"] == 2 * sx
            assert a.layers[2].pivot == pytest.approx(((64 - 64) * sx + width / 2, (80 - 48) * sy + height / 2))
            bake(a)


def test_between_two_shapes_those_in_between_are_shown() -> None:
    visemes = {v: v for v in VISEMES}
    coords, points = mouth_space(visemes, VISEMES)
    way = [points[0] + (points[VISEMES.index("aa")] - points[0]) * t for t in np.linspace(0, 1, 40)]
    shown = list(dict.fromkeys(VISEMES[int(np.argmin(((coords - p) ** 2).sum(1)))] for p in way))
    assert shown[0] == "sil" and shown[-1] == "aa" and len(shown) >= 3
    nine = dict.fromkeys(VISEMES, "b") | {"PP": "a", "sil": "a"}
    coords, points = mouth_space(nine, ("a", "b", "unused"))
    nearest = [int(np.argmin(((coords - p) ** 2).sum(1))) for p in points]
    assert nearest == [0, 0, *[1] * 13]


# ---------------------------------------------------------------------------------------- as other systems leave it

LITTER = {".DS_Store": b"x", "._head.png": b"\0\5\x16\7", "Thumbs.db": b"x", "desktop.ini": b"x"}
CAFE, ACCENTED = "caf\u00e9/t\u00eate.png", TOML.replace("head.png", "caf\u00e9/t\u00eate.png")
DECOMPOSED = unicodedata.normalize("NFD", CAFE)


def foreign() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Good artwork: (prefix in an archive, files)."""
    plain = files()
    head = plain["head.png"]
    accented = {name: data for name, data in files(ACCENTED).items() if name != "head.png"}
    backslashes = files(TOML.replace("head.png", "a/b.png")) | {"a\\b.png": head}
    return {
        "a Mac's": ("dot/", plain | LITTER | {f"__MACOSX/{name}": b"x" for name in ("._dot", "dot/._head.png")}),
        "litter beside the folder": ("", {f"dot/{name}": data for name, data in plain.items()} | LITTER),
        "a note beside it": ("", {f"a/dot/{name}": data for name, data in plain.items()} | {"README.txt": b"x"}),
        "separators of Windows": ("dot\\", backslashes),
        "capitals": ("", {("HEAD.PNG" if name == "head.png" else name): data for name, data in plain.items()}),
        "accents composed": ("", accented | {CAFE: head}),
        "accents apart": ("", accented | {DECOMPOSED: head}),
        "a byte order mark": ("", plain | {"avatar.toml": b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode()}),
        "UTF-16": ("", plain | {"avatar.toml": TOML.encode("utf-16")}),
    }  # fmt: skip


@pytest.mark.parametrize("kind", foreign())
def test_artwork_as_other_systems_leave_it(tmp_path: Path, kind: str) -> None:
    prefix, content = foreign()[kind]
    assert faults(pack(tmp_path / "dot.zip", content, prefix)) == []
    if "avatar.toml" in content and "Windows" not in kind:
        for name, data in content.items():
            (tmp_path / "dot" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "dot" / name).write_bytes(data)
        assert faults(tmp_path / "dot") == []
        (tmp_path / "dot").rename(write(tmp_path / "outer", {"README.txt": b"x"}) / "dot")
        assert faults(tmp_path / "outer") == []  # as some programs unpack an archive


def test_a_zip_whose_names_are_utf8_and_do_not_say_so(tmp_path: Path) -> None:
    accented = {name: data for name, data in files(ACCENTED).items() if name != "head.png"}
    path = pack(tmp_path / "dot.zip", accented | {CAFE: files()["head.png"]})
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x01\x02", 9), (b"PK\x03\x04", 7)):
        at = 0
        while (at := data.find(magic, at)) >= 0:
            data[at + flags] &= ~0x08
            at += 4
    path.write_bytes(data)
    assert faults(path) == []


def test_two_avatars_in_a_zip(tmp_path: Path) -> None:
    content = {f"{top}/{name}": data for top in "ab" for name, data in files().items()}
    assert "it holds several avatars: a/, b/" in faults(pack(tmp_path / "two.zip", content))[0]


def test_mouths_as_other_systems_leave_them(tmp_path: Path) -> None:
    mouths = {f"{letter}.PNG": png(24, 16) for letter in "ABCDEFX"}
    write(tmp_path / "mouths", mouths | {f"._{name}": b"x" for name in mouths} | LITTER | {".A.png": b"x"})
    write(tmp_path / "face", {".DS_Store": b"x"})
    assert import_mouths(tmp_path / "mouths", tmp_path / "face", None, None) == 7
    assert faults(tmp_path / "face") == []


# ------------------------------------------------------------------------------------------------------- what is not

BAD = [
    ("format = 1", "format = 2", "format =", "`format` must be 1"),
    ("format = 1\n", "", None, "`format` must be 1"),
    ('name = "Dot"', "name = 5", "name =", "`name` must be a text"),
    ('name = "Dot"\n', "", None, "`name` is missing"),
    ('license = "CC0-1.0"\n', "", None, "`license` is missing"),
    ("size = [128, 96]", "size = [128]", "size =", "`size` must be"),
    ("size = [128, 96]", "size = [128, 9600]", "size =", "`size` must be"),
    ("size = [128, 96]", "size = [true, 96]", "size =", "`size` must be"),
    ("size = [128, 96]", 'size = [128, 96]\nfit = "stretch"', "fit =", "crop, letterbox, scale"),
    ("size = [128, 96]", 'size = [128, 96]\nmatte = "red"', "matte =", "must be a colour"),
    ('"#8090a0"', '"#80"', "background =", "must be a PNG file, or a colour"),
    ('"#8090a0"', '"nothing.png"', "background =", "nothing.png: there is no such file"),
    ('"#8090a0"', '"head.png"', "background =", "head.png: it is 80 x 80 pixels, `size` says 128 x 96"),
    ('"#8090a0"', '"#8090a0"\ncolour = 1', "colour =", "unknown key `colour`"),
    ('aa = "wide"', 'aa = "open"', "aa =", "the mouth has no shape 'open'; it has: rest, narrow, wide"),
    ('aa = "wide"', 'ah = "wide"', "ah =", "no viseme 'ah'"),
    ('aa = "wide"\n', "", "[visemes]", "no mouth shape for: aa"),
    ("image = ", "imgae = ", "imgae =", "unknown key of a layer `imgae`"),
    ('name = "head"', 'name = "mouth"', None, "two layers named 'mouth'"),
    ('image = "head.png"', 'image = "../head.png"', "image =", "the name is refused: it leads out of the avatar"),
    ('image = "head.png"', 'image = "/etc/passwd"', "image =", "the name is refused: it is absolute"),
    ('image = "head.png"', "image = 'C:\\head.png'", "image =", "the name is refused: it has a backslash"),
    ('image = "head.png"', 'image = "c:head.png"', "image =", "the name is refused: it is absolute"),
    ('image = "head.png"', 'image = "avatar.toml"', "image =", "avatar.toml: it is not a PNG file"),
    ('image = "head.png"', 'image = "."', "image =", "is refused"),
    ('image = "head.png"', 'image = ""', None, "can only be one of the images of an axis"),
    ('image = "head.png"', "image = 5", None, "`images` must be 1 to"),
    ('image = "head.png"', 'images = ["head.png", "rest.png"]', "images =", "several images need a `select`"),
    ('image = "head.png"', 'image = "head.png"\nimages = ["head.png"]', None, "either `image` or `images`"),
    ("at = [24, 8]\n", "", None, "`at` is missing"),
    ("at = [24, 8]", "at = [24]", "at = [24]", "`at` must be two numbers"),
    ("at = [24, 8]", 'at = ["24", 8]', 'at = ["', "`at` must be a number"),
    ("at = [24, 8]", "at = [nan, 8]", "at = [nan", "`at` must be a number"),
    ("at = [24, 8]", "at = [24, 1e9]", "at = [24", "`at` must be -8192 to 8192"),
    ("depth = 1.0", "depth = 9", "depth = 9", "`depth` must be -4 to 4, not 9"),
    ('select = "blink"', 'select = "wink"', 'select = "wink"', "`select` must be fixed, mouth, or an axis"),
    ('select = "blink"', 'select = "mouth"', None, "the mouth's `images` must be a table"),
    ('select = "mouth"', 'select = "fixed"', None, 'no layer has `select = "mouth"`'),
    ("{ gaze_x = [2, 0] }", "{ nose = [2, 0] }", "move =", "`move`: no axis 'nose'"),
    ("{ gaze_x = [2, 0] }", "{ gaze_x = 2 }", "move =", "`move.gaze_x` must be two numbers"),
    ("{ gaze_x = [2, 0] }", "5", "move =", "`move` must be a table"),
    ("{ head_roll = 5 }", "{ head_roll = 500 }", "turn =", "`turn.head_roll` must be -180 to 180"),
    ("pivot = [64, 80]\n", "", "turn =", "`turn` needs a `pivot`"),
    ('"", "shut.png"', '"wide.png", "shut.png"', "images = [", "all images of a layer have one size"),
    ('rest = "rest.png"', "'a b' = \"rest.png\"", None, "a mouth shape's name has 1 to 32 of"),
    ("size = [128, 96]", "size = [128, 96]\nvoice = 5", "voice =", "`voice` must be a name, or a table"),
    ("[visemes]", "[voice]\nazure = 'x'\n[visemes]", "azure =", "unknown key of the voice `azure`"),
    ("[visemes]", "[voice]\nespeak = 5\n[visemes]", "espeak =", "`espeak` must be a text"),
    ("format = 1", "format = = 1", "format =", "not TOML"),
]


@pytest.mark.parametrize(("old", "new", "at", "message"), BAD, ids=[f"{i} {row[3]}" for i, row in enumerate(BAD)])
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, at: str | None, message: str) -> None:
    assert old in TOML
    toml = TOML.replace(old, new, 1)
    found = faults(write(tmp_path / "dot", files(toml)))
    hit = [fault for fault in found if message in fault]
    assert hit, found
    if at is not None:
        assert hit[0].startswith(f"avatar.toml:{line(at, toml)}: "), hit
    with pytest.raises(BadData, match="has faults"):
        Avatar(str(tmp_path / "dot"))


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    toml = TOML.replace("depth = 1.0", "depth = 9").replace("format = 1", "format = 7").replace("gaze_x", "gazing")
    assert len(faults(write(tmp_path / "dot", files(toml)))) == 3
    content = files()
    content["rest.png"], content["shut.png"] = b"GIF89a", content["shut.png"][:-40]
    found = faults(write(tmp_path / "pictures", content))
    assert len(found) == 2 and "rest.png: it is not a PNG file" in found[0] and "the PNG is damaged" in found[1]


def test_too_many_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = "".join(f'[[layer]]\nname = "l{i}"\nimage = "head.png"\nat = [0, 0]\n' for i in range(MAX_LAYERS))
    assert "at most 32 are allowed" in faults(write(tmp_path / "a", files(TOML + extra)))[0]
    many = ", ".join(['"shut.png"'] * (MAX_IMAGES + 1))
    found = faults(write(tmp_path / "b", files(TOML.replace('"", "shut.png"', many))))
    assert f"`images` must be 1 to {MAX_IMAGES} file names" in found[0]
    found = faults(write(tmp_path / "c", files(TOML + "#" * source.MAX_MANIFEST_BYTES)))
    assert found == ["avatar.toml: it is larger than 256 kB"]
    found = faults(write(tmp_path / "d", files() | {"head.png": png(5000, 4, dot=False)}))
    assert "it is 5000 x 4 pixels, at most 4096 a side are allowed" in found[0]
    monkeypatch.setattr("lipwire.avatar.artwork.MAX_PIXELS", 7000)
    assert "million pixels" in faults(write(tmp_path / "e", files()))[0]
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 100)
    assert "head.png: it is larger than" in faults(write(tmp_path / "f", files()))[0]


def test_no_avatar_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"unknown avatar 'nobody'.*aria, ohm, kit"):
        Avatar.load("nobody")
    with pytest.raises(InvalidArgument, match="no such folder or zip archive"):
        examine(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert faults(tmp_path / "empty") == ["avatar.toml: there is no such file"]
    (tmp_path / "text.zip").write_text("hello")
    assert "not a zip archive" in faults(tmp_path / "text.zip")[0]
    (tmp_path / "face.png").write_bytes(png(80, 80))
    assert re.search(
        r"it is a PNG file; an avatar is a folder.*lipwire avatar import", faults(tmp_path / "face.png")[0]
    )


def test_a_folder_whose_links_lead_out(tmp_path: Path) -> None:
    path = write(tmp_path / "dot", files())
    (tmp_path / "secret.png").write_bytes(png(80, 80))
    (path / "head.png").unlink()
    (path / "head.png").symlink_to(tmp_path / "secret.png")
    assert "head.png: the name is refused: it leads out of the avatar" in faults(path)[0]


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "dot", files())
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingPillow, match="lipwire\\[avatar\\]"):
        Avatar(str(path))


# ----------------------------------------------------------------------------------------------------- hostile zips


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def encrypt(data: bytearray) -> None:
    """Sets the flag in every directory entry."""
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4


def lie(data: bytearray) -> None:
    """The directory says that head.png is smaller than it is."""
    at = data.rfind(b"head.png") - 46
    struct.pack_into("<I", data, at + 24, 10)


HOSTILE: list[tuple[str, Callable[[zipfile.ZipFile], object], Callable[[bytearray], None] | None, str]] = [
    ("traversal", lambda z: z.writestr("../../evil.png", b"x"), None, "it leads out of the avatar"),
    ("inner traversal", lambda z: z.writestr("a/../../evil.png", b"x"), None, "it leads out of the avatar"),
    ("absolute", lambda z: z.writestr(entry("/etc/evil.png"), b"x"), None, "it is absolute"),
    ("drive", lambda z: z.writestr("c:evil.png", b"x"), None, "it is absolute"),
    ("backslash", lambda z: z.writestr(entry("..\\evil.png"), b"x"), None, "it leads out of the avatar"),
    ("control", lambda z: z.writestr("a\x1b[2J.png", b"x"), None, "control characters"),
    (
        "symlink",
        lambda z: z.writestr(entry("evil.png", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        None,
        "a link or a device",
    ),
    ("device", lambda z: z.writestr(entry("evil.png", stat.S_IFCHR | 0o666), b""), None, "a link or a device"),
    ("bomb", lambda z: z.writestr(entry("bomb.png"), bytes(20_000_000)), None, "more than 200 times its size"),
    ("huge", lambda z: z.writestr("huge.png", bytes(source.MAX_FILE_BYTES + 1)), None, "more than 32 MB"),
    ("same name", lambda z: z.writestr("HEAD.png", b"x"), None, "the name is there twice"),
    ("method", lambda z: z.writestr("b.png", b"x" * 99, zipfile.ZIP_BZIP2), None, "other than store and deflate"),
    (
        "many",
        lambda z: [z.writestr(f"{i}.txt", b"") for i in range(source.MAX_FILES)],
        None,
        "at most 1000 are allowed",
    ),
    ("encrypted", lambda z: None, encrypt, "it is encrypted"),
    ("a lie", lambda z: None, lie, "head.png: it"),
]


@pytest.mark.parametrize(("name", "add", "patch", "message"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_a_hostile_zip_is_refused(
    tmp_path: Path,
    name: str,
    add: Callable[[zipfile.ZipFile], object],
    patch: Callable[[bytearray], None] | None,
    message: str,
) -> None:
    path = pack(tmp_path / "evil.zip", files())
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    if patch is not None:
        data = bytearray(path.read_bytes())
        patch(data)
        path.write_bytes(data)
    found = faults(path)
    assert len(found) == 1 and message in found[0], found
    with pytest.raises(BadData):
        Avatar.load(str(path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip"]  # nothing was unpacked


def test_a_zip_of_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_TOTAL_BYTES", 1000)
    assert "unpacks to more than" in faults(pack(tmp_path / "a.zip", files()))[0]
    assert "the avatar is larger than" in faults(write(tmp_path / "a", files()))[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_zip_never_breaks_out(tmp_path: Path, seed: int) -> None:
    """Random bytes flipped: a good avatar, a list of faults, or a refusal; nothing else."""
    good = bytearray(pack(tmp_path / "good.zip", files()).read_bytes())
    random = np.random.default_rng(seed)
    for _ in range(60):
        data = bytearray(good)
        for at in random.integers(0, len(data), int(random.integers(1, 8))):
            data[at] = int(random.integers(0, 256))
        path = tmp_path / "bad.zip"
        path.write_bytes(data[: int(random.integers(len(data) // 2, len(data) + 1))])
        manifest, _, found = examine(path)
        assert found or manifest is not None
