"""agents/pictures.py: pictures that users send, real files of every kind, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lipwire.agents import pictures
from lipwire.agents.client_messages import MAX_PICTURE, Upload
from lipwire.agents.pictures import MAX_SIDE, Pictures, Shown, shown
from lipwire.errors import InvalidArgument, LipwireError
from lipwire.outward import Outward

RED, BLUE = (220, 30, 30), (30, 30, 220)


def halves(width: int = 64, height: int = 32) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def as_file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def seen(picture: Shown) -> Image.Image:
    assert picture.jpeg.startswith(b"\xff\xd8")
    return Image.open(io.BytesIO(picture.jpeg)).convert("RGB")


def near(found: Any, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(found, int) - wanted).max() < 25)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_is_sent_is_what_is_seen(kind: str) -> None:
    data = as_file(halves(), kind)
    picture = shown(data)
    assert (picture.width, picture.height, picture.size) == (64, 32, len(data))
    image = seen(picture)
    assert image.size == (64, 32)
    assert near(image.getpixel((8, 16)), RED) and near(image.getpixel((56, 16)), BLUE)


def test_a_photograph_is_turned_upright() -> None:
    """As a telephone held upright writes it: its first row is the right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = shown(as_file(halves(), "JPEG", exif=exif, quality=95))
    image = seen(picture)
    assert (picture.width, picture.height) == image.size == (32, 64)
    assert near(image.getpixel((16, 8)), RED) and near(image.getpixel((16, 56)), BLUE)


def test_what_is_large_is_made_smaller_and_what_is_clear_is_white() -> None:
    picture = shown(as_file(Image.new("RGBA", (4001, 1000), (0, 0, 0, 0)), "PNG"))
    image = seen(picture)
    assert (picture.width, picture.height) == (4001, 1000) and image.size == (MAX_SIDE, 384)
    assert near(image.getpixel((700, 100)), (255, 255, 255))
    tiny = seen(shown(as_file(Image.new("L", (1, 1), 255), "PNG")))
    assert tiny.size == (2, 2)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8\xff\xe0 no", b"\x89PNG\r\n\x1a\n", b"RIFFxxxxWAVE"]
)
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="picture is"):
        shown(data)


def test_a_small_file_that_is_a_vast_picture_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = as_file(Image.new("1", (3000, 3000)), "PNG")
    assert len(data) < 4000 and shown(data).width == 3000
    monkeypatch.setattr(pictures, "MAX_PIXELS", 3000 * 2999)
    with pytest.raises(InvalidArgument, match="more than 8997000 pixels"):
        shown(data)


# -------------------------------------------------------------------------------------------------------- on their way


class Desk:
    """Who gets them."""

    def __init__(self, outward: Outward | None = None) -> None:
        self.taken: list[tuple[str, Upload, Shown]] = []
        self.refused: list[tuple[str, LipwireError]] = []
        self.pictures = Pictures(
            outward,
            lambda *taken: self.taken.append(taken),
            lambda upload, why: self.refused.append((upload.uuid, why)),
        )

    async def send(self, **upload: str) -> None:
        before = len(self.taken) + len(self.refused)
        self.pictures.take("7", Upload(**({"uuid": "u"} | upload)))
        async with asyncio.timeout(20):
            while len(self.taken) + len(self.refused) == before:
                await asyncio.sleep(0.005)

    @property
    def why(self) -> str:
        return str(self.refused[-1][1])


@asynccontextmanager
async def site(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """A web server; `answer` has the path and gives the whole answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(answer(head.split()[1]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()


async def test_in_a_message() -> None:
    d = Desk()
    text = base64.b64encode(as_file(halves(), "PNG")).decode()
    await d.send(base64=text)
    await d.send(base64="data:image/png;base64," + text)
    assert [(user, upload.uuid, picture.width) for user, upload, picture in d.taken] == [("7", "u", 64)] * 2
    for bad, why in (
        ("?", "no base64"),
        ("QUJD", "no PNG, JPEG or WebP"),
        ("A" * (MAX_PICTURE * 2), "send an image_url"),
    ):
        await d.send(base64=bad)
        assert why in d.why
    await d.send(url="https://example.org/a.png")
    assert "fetches no pictures" in d.why


async def test_at_a_url() -> None:
    picture = as_file(halves(), "PNG")
    pages = {"/a.png": ok(picture), "/to": moved("/a.png"), "/none": b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"}
    pages["/loop"] = moved("/loop")
    pages["/inner"] = moved("http://10.0.0.1/a.png")
    async with site(lambda path: pages[path]) as base:
        d = Desk(Outward(allowed=["127.0.0.1"]))
        await d.send(url=base + "/a.png")
        await d.send(url=base + "/to")
        assert [taken[2].size for taken in d.taken] == [len(picture)] * 2 and not d.refused
        for path, why in (
            ("/none", "answered 404"),
            ("/loop", "answered 302"),
            ("/inner", "image_url leads to 10.0.0.1"),
        ):
            await d.send(url=base + path)
            assert why in d.why, d.why
        shut = Desk(Outward())
        await shut.send(url=base + "/a.png")
        assert shut.why.startswith("image_url leads to 127.0.0.1, which is no public address")
        await shut.send(url="file:///etc/passwd")
        assert shut.why.startswith("image_url is no URL that begins with http")
        assert len(d.taken) == 2 and not shut.taken


async def test_what_never_ends_or_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_FETCHED", 1000)
    monkeypatch.setattr(pictures, "SECONDS", 0.3)
    pages = {"/large": ok(bytes(5000)), "/slow": b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(pages[head.split()[1]])
        await writer.drain()
        await reader.read()  # until the other side has had enough
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        d = Desk(Outward(allowed=["127.0.0.1"]))
        await d.send(url=base + "/large")
        assert "more than 1000 bytes" in d.why and d.refused[-1][1].code == "TOO_LARGE"
        await d.send(url=base + "/slow")
        assert "within 0.3 s" in d.why or "no answer in time" in d.why, d.why
        for _ in range(pictures.MAX_WAITING + 1):
            d.pictures.take("7", Upload(uuid="u", url=base + "/slow"))
        assert "on their way already" in d.why
        await d.pictures.close()
    assert not d.taken
