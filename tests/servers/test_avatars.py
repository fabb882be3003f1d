"""servers/avatars.py: artwork for a browser, of the avatars that a page offers, by name, in bounded sizes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lipwire.avatar import Avatar
from lipwire.channel.room.room import Rooms
from lipwire.errors import BadData
from lipwire.servers.rooms import PageConfig, create_rooms
from support import artwork


@pytest.fixture
def find(tmp_path: Path) -> Callable[[str], Avatar]:
    toml = artwork.TOML.replace('name = "Dot"', 'name = "My face"')
    ours = str(artwork.write(tmp_path / "face", artwork.files(toml)))

    def avatar(name: str) -> Avatar:
        if name == "gone":
            raise BadData("its files are gone")
        return Avatar.load(ours)

    return avatar


@pytest_asyncio.fixture
async def http(find: Callable[[str], Avatar]) -> AsyncIterator[httpx.AsyncClient]:
    app: Any = create_rooms(Rooms(ice_host="127.0.0.1"), PageConfig(avatars=["My face", "gone"]), face=find)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/avatars/") as client:
        yield client


async def test_a_manifest_and_its_images(http: httpx.AsyncClient) -> None:
    reply = await http.get("My%20face.json?size=64x48")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert "no-cache" in reply.headers["cache-control"]
    manifest = json.loads(reply.content)
    assert (manifest["name"], manifest["width"], manifest["height"]) == ("My face", 64, 48)
    same = await http.get("My%20face.json?size=64x48", headers={"If-None-Match": reply.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", reply.headers["etag"])
    other = await http.get("My%20face.json?size=32x24", headers={"If-None-Match": reply.headers["etag"]})
    assert (other.status_code, other.json()["width"]) == (200, 32)
    for source in (manifest["background"], *manifest["sheets"]):
        image = await http.get(source)
        assert (image.status_code, image.headers["content-type"]) == (200, "image/webp")
        assert image.content[:4] == b"RIFF" and image.content[8:12] == b"WEBP"
        assert "immutable" in image.headers["cache-control"]
        same = await http.get(source, headers={"If-None-Match": f'W/"x", {image.headers["etag"]}'})
        assert (same.status_code, same.content) == (304, b"")
    assert (await http.get("My%20face.json")).json()["width"] == 1280


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("aria.json", 404),
        ("gone.json", 404),
        ("My%20face.png", 404),
        ("My%20face", 404),
        ("%2Fetc%2Fpasswd.json", 404),
        ("..%2F..%2Favatar.toml.json", 404),
        ("My%20face/64x48/0123456789abcdef0123.webp", 404),
        ("aria/64x48/0123456789abcdef0123.webp", 404),
        ("My%20face/64/0123456789abcdef0123.webp", 400),
        ("My%20face.json?size=64", 400),
        ("My%20face.json?size=-64x48", 400),
        ("My%20face.json?size=65x48", 400),
        ("My%20face.json?size=9998x9998", 400),
        ("My%20face.json?size=2560x2560", 400),
        ("My%20face.json?size=64x00048", 400),
    ],
)
async def test_what_is_not_there(http: httpx.AsyncClient, path: str, status: int) -> None:
    """A name off the network is never taken for a path; a size is drawn within bounds, or not at all."""
    reply = await http.get(path)
    code = {404: "ENDPOINT_NOT_FOUND", 400: "VALIDATION_ERROR"}[status]
    assert (reply.status_code, reply.json()["code"]) == (status, code)
