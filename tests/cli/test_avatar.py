"""`lipwire avatar` as a user runs it, the cache of drawings, and avatars wherever a command takes one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.audio import espeak as voice
from lipwire.avatar import Avatar, cache
from lipwire.avatar.art import VISEMES
from lipwire.avatar.artwork import examine
from lipwire.avatar.builtin import BUILTIN, draw
from lipwire.cli.main import app
from lipwire.errors import BadData, InvalidArgument
from support.artwork import TOML, files, line, pack, png, write
from support.machine import require


def lipwire(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=True)


def good(*args: object) -> str:
    result = lipwire(*args)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(kind: type[Exception], *args: object) -> str:
    result = lipwire(*args)
    assert result.exit_code == 1 and isinstance(result.exception, kind), (result.output, result.exception)
    return str(result.exception)


def test_help() -> None:
    assert set(re.findall(r"^\W*(list|new|check|preview|import)\b", good("avatar", "--help"), re.M)) == {
        *("list", "new", "check", "preview", "import")
    }
    for command in ("list", "new", "check", "preview", "import"):
        assert "Usage" in good("avatar", command, "--help")


def test_list(tmp_path: Path) -> None:
    write(tmp_path / "dot", files())
    lines = good("avatar", "list", tmp_path).splitlines()
    assert [row.split()[0] for row in lines[:3]] == list(BUILTIN) and "default" in lines[0]
    assert lines[3:] == [str(tmp_path / "dot")]
    write(tmp_path / "bad", files(TOML.replace("depth = 1.0", "depth = 9").replace("format = 1", "format = 2")))
    pack(tmp_path / "dot.zip", files() | {"rest.png": b"GIF89a"})
    pack(tmp_path / "other.zip", {"a.txt": b""})
    (tmp_path / "no.zip").write_text("no archive")
    said = [f"{tmp_path}/{name}  ({n}: lipwire avatar check {tmp_path}/{name})"
            for name, n in (("bad", "2 faults"), ("dot.zip", "1 fault"))]  # fmt: skip
    assert good("avatar", "list", tmp_path).splitlines()[3:] == [said[0], str(tmp_path / "dot"), said[1]]
    assert "no such folder" in refused(InvalidArgument, "avatar", "list", tmp_path / "none")


def test_check(tmp_path: Path) -> None:
    assert "good. Dot, 128 x 96, 3 layers, 5 images, licence: CC0-1.0" in good(
        "avatar", "check", write(tmp_path / "dot", files())
    )
    good("avatar", "check", pack(tmp_path / "dot.zip", files()))
    unstated = write(tmp_path / "new", files(TOML.replace("CC0-1.0", "unknown: state it")))
    told = good("avatar", "check", unstated)
    mute = write(tmp_path / "mute", files(TOML.replace("size", 'voice = "+nobody"\nsize', 1)))
    assert "espeak-ng has no voice '+nobody'" in lipwire("avatar", "check", mute).output
    assert "good" not in told and f"avatar.toml:{line('license =')}: the licence of the artwork is still" in told
    bad = write(tmp_path / "bad", files(TOML.replace("depth = 1.0", "depth = 9").replace("head.png", "body.png")))
    result = lipwire("avatar", "check", bad)
    assert result.exit_code == 1
    assert re.findall(r"^avatar.toml:\d+: .*$", result.output, re.M) == [
        f"avatar.toml:{line('depth = 1.0')}: `depth` must be -4 to 4, not 9"
    ]
    bad = write(tmp_path / "bad", files(TOML.replace("head.png", "body.png")))
    assert f"avatar.toml:{line('image =')}: body.png: there is no such file" in lipwire("avatar", "check", bad).output
    assert "no such" in refused(InvalidArgument, "avatar", "check", tmp_path / "none")


@pytest.mark.parametrize("like", BUILTIN)
def test_a_new_avatar_works_and_looks_like_its_model(tmp_path: Path, like: str) -> None:
    folder = tmp_path / "mine"
    good("avatar", "new", folder, "--like", like, "--size", "320x180", "--author", 'A "B" \\ C')
    manifest, _, faults = examine(folder)
    assert manifest is not None and manifest.voice == Avatar.load(like).voice and not manifest.licensed
    assert not faults and manifest is not None and manifest.author == 'A "B" \\ C'
    ours, model = Avatar(str(folder)), Avatar(like)
    from lipwire.cli.avatar_sheet import moment, viseme_pictures

    for size in ((320, 180), (640, 360)):
        for kind, name, seconds in (("emotion", "happy", 1.0), ("state", "thinking", 3.0), ("gesture", "wave", 0.8)):
            a, b = (moment(avatar.at(*size), kind, name, seconds).astype(int) for avatar in (ours, model))
            assert np.abs(a - b).mean() < 1.5
        for a, b in zip(*(viseme_pictures(avatar.at(*size)).values() for avatar in (ours, model)), strict=True):
            assert np.abs(a.astype(int) - b).mean() < 1.5
    assert "exists; choose another name" in refused(InvalidArgument, "avatar", "new", folder)
    assert "--like" in refused(InvalidArgument, "avatar", "new", tmp_path / "x", "--like", "nobody")


def test_preview(tmp_path: Path) -> None:
    good("avatar", "preview", "kit", "--out", tmp_path / "out", "--size", "320x180", "--no-video")
    with Image.open(tmp_path / "out" / "kit.png") as sheet:
        assert sheet.width > 1000 and sheet.height > 800
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    tiles = [pixels[10 + 212 * (i // 5) :, 10 + 250 * (i % 5) :][:180, :240] for i in range(15)]
    for i in range(15):  # every viseme is a picture of its own
        for k in range(i):
            assert np.abs(tiles[i] - tiles[k]).max(-1).sum() > 8000, (VISEMES[i], VISEMES[k])
    assert not (tmp_path / "out" / "kit.mp4").exists()
    require(voice.available(), "espeak-ng (espeakng-loader)")
    path = write(tmp_path / "dot", files())
    good("avatar", "preview", path, "--out", tmp_path, "--size", "128x96", "--text", "Hello, my papa")
    with av.open(str(tmp_path / "Dot.mp4")) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (128, 96)
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shown) > 20 and np.std([frame[56:72, 52:76].mean() for frame in shown]) > 1


def test_import_a_rhubarb_set(tmp_path: Path) -> None:
    mouths = tmp_path / "mouths"
    write(mouths, {f"lisa-{c}.png": png(40, 20, (20 * i, 90, 90, 255)) for i, c in enumerate("ABCDEFGHX")})
    (tmp_path / "face.png").write_bytes(png(200, 240, (240, 200, 180, 255)))
    good("avatar", "import", mouths, tmp_path / "lisa", "--base", tmp_path / "face.png", "--at", "80,150")
    manifest, _, faults = examine(tmp_path / "lisa")
    assert not faults and manifest is not None and manifest.size == (200, 240)
    shown = manifest.visemes
    assert (shown["PP"], shown["FF"], shown["aa"], shown["U"], shown["sil"], shown["nn"]) == tuple("AGDFXH")
    assert manifest.layers[1].at == (80, 150) and manifest.layers[1].shapes == tuple("ABCDEFGHX")
    Avatar(str(tmp_path / "lisa")).at(320, 180)
    for optional in "GHX":
        (mouths / f"lisa-{optional}.png").unlink()
    good("avatar", "import", mouths, tmp_path / "six")  # without a face, in the middle of a plain picture
    manifest, _, faults = examine(tmp_path / "six")
    assert not faults and manifest is not None and manifest.size == (120, 64)
    assert (manifest.visemes["FF"], manifest.visemes["nn"], manifest.visemes["sil"]) == ("A", "C", "A")


def test_import_a_viseme_set(tmp_path: Path) -> None:
    write(tmp_path / "set", {f"viseme_{v.lower()}.png": png(30, 20, (9, 9 * i, 9, 255)) for i, v in enumerate(VISEMES)})
    good("avatar", "import", tmp_path / "set", tmp_path / "out")
    manifest, images, faults = examine(tmp_path / "out")
    assert not faults and manifest is not None and len(images) == 15 and manifest.visemes == {v: v for v in VISEMES}


def test_import_refuses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    mouths = write(tmp_path / "mouths", {f"{c}.png": png(40, 20) for c in "ABCDEF"})
    assert "no such folder" in refused(InvalidArgument, "avatar", "import", tmp_path / "none", out)
    write(tmp_path / "five", {f"{c}.png": png(4, 4) for c in "ABCDE"})
    assert "without: F" in refused(BadData, "avatar", "import", tmp_path / "five", out)
    write(tmp_path / "ovr", {f"{v}.png": png(4, 4) for v in VISEMES[:9]})
    assert "OVR visemes, without: RR, aa, E, I, O, U" in refused(BadData, "avatar", "import", tmp_path / "ovr", out)
    assert "write it as X,Y" in refused(InvalidArgument, "avatar", "import", mouths, out, "--at", "here")
    assert "cannot read" in refused(InvalidArgument, "avatar", "import", mouths, out, "--base", tmp_path / "no.png")
    write(mouths, {"G.png": png(44, 20)})
    assert "G.png: it is 44 x 20 pixels" in refused(BadData, "avatar", "import", mouths, out)
    write(mouths, {"G.png": b"nothing"})
    assert "G.png: it is not a PNG file" in refused(BadData, "avatar", "import", mouths, out)
    write(mouths, {"my-A.png": png(40, 20)})
    assert "are both shape A" in refused(BadData, "avatar", "import", mouths, out)
    assert not out.exists()


# ---------------------------------------------------------------------------------------------- where avatars are named


async def test_the_configured_avatar_may_be_artwork(tmp_path: Path) -> None:
    path = write(tmp_path / "dot", files())
    service = Service(Config(avatar=str(path), any_avatar=False, viewer=False))
    assert service.choose_avatar("Dot").name == "Dot" and service.choose_avatar("kit").name == "kit"
    for name in ("somebody", str(path), "../dot"):  # what comes off the network is a name, never a path
        with pytest.raises(InvalidArgument, match="unknown avatar"):
            service.choose_avatar(name)
    assert Service(Config(avatar=str(path), viewer=False)).choose_avatar("somebody").name == "Dot"
    with pytest.raises(InvalidArgument, match="unknown avatar 'nobody'"):
        Service(Config(avatar="nobody"))


def test_render_takes_a_path(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    path = pack(tmp_path / "dot.zip", files())
    good("render", tmp_path / "in.wav", tmp_path / "out.mp4", "--avatar", path, "--size", "128x96")
    with av.open(str(tmp_path / "out.mp4")) as film:
        frame = next(film.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(frame[50, 64] - (240, 200, 170)).max() < 20


# ---------------------------------------------------------------------------------------------------------- the cache


def test_drawings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = draw("ohm", 64, 48)
    for _ in range(2):  # drawn, then read
        art = cache.drawn("ohm", 64, 48)
        assert np.array_equal(art.background, fresh.background) and np.array_equal(art.mouth_coords, fresh.mouth_coords)
        for a, b in zip(art.layers, fresh.layers, strict=True):
            assert (a.name, a.x, a.y, a.select, a.kx, a.ky, a.turn) == (b.name, b.x, b.y, b.select, b.kx, b.ky, b.turn)
            assert a.pivot == b.pivot and all(np.array_equal(p, q) for p, q in zip(a.images, b.images, strict=True))
        monkeypatch.setattr(cache, "draw", lambda *_: pytest.fail("it was drawn again"))
    monkeypatch.setattr(cache, "draw", draw)
    (kept,) = cache.folder().iterdir()
    for damage in (b"", b"PK", kept.read_bytes()[:-500], b"x" * 999):
        kept.write_bytes(damage)
        assert np.array_equal(cache.drawn("ohm", 64, 48).background, fresh.background)
    monkeypatch.setattr(cache, "MAX_BYTES", kept.stat().st_size + 1)
    os.utime(kept, (1, 1))
    cache.drawn("ohm", 32, 32)
    assert [path.name.split("-")[1] for path in cache.folder().iterdir()] == ["32x32"]


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.drawn("kit", 32, 32).name == "kit"
