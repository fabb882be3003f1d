"""servers/avatars.py: artwork for a browser, of the avatars that a page offers, by name, in bounded sizes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from lipwire.avatar import Avatar, web
from lipwire.channel.room.room import Rooms
from lipwire.errors import BadData
from lipwire.provider.authority import ASKING_FROM
from lipwire.provider.sessions import ProviderError
from lipwire.servers.avatars import Workshop
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
    assert (manifest["name"], manifest["width"], manifest["height"]) == ("My face", 320, 180), "which covers it"
    same = await http.get("My%20face.json?size=64x48", headers={"If-None-Match": reply.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", reply.headers["etag"])
    other = await http.get("My%20face.json?size=32x32", headers={"If-None-Match": reply.headers["etag"]})
    assert (other.status_code, other.json()["height"]) == (200, 320)
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
        ("My%20face/320x180/0123456789abcdef0123.webp", 404),
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


class Client:
    """What is asked of a request by who makes it wait."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_while_one_is_made(find: Callable[[str], Avatar], monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is waits for nothing; the same set is made once; what nobody waits for any more is not; no address has
    more than its share of the queue."""
    made: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def make(avatar: Avatar, width: int, height: int) -> web.WebAvatar:
        begun.set()
        assert width == 320 or go.wait(30)
        made.append(width)
        return web.WebAvatar(b"{}", f"{width}", {})

    monkeypatch.setattr(web, "web_avatar", make)
    workshop = Workshop()

    async def ask(width: int, client: Client | None = None) -> web.WebAvatar:
        return await workshop.files(lambda: find("My face"), width, 180, cast(Any, client or Client()))

    async def becomes(length: int) -> None:
        async with asyncio.timeout(30):
            while workshop.waiting != length:
                await asyncio.sleep(0.005)

    async def queue(width: int, length: int, client: Client | None = None) -> asyncio.Task[web.WebAvatar]:
        asking = asyncio.ensure_future(ask(width, client))
        await becomes(length)
        return asking

    before = await ask(320)
    ASKING_FROM.set("192.0.2.1")
    leaves = Client()
    tasks = [await queue(480, 1), await queue(640, 2), await queue(960, 3, leaves)]
    assert await asyncio.to_thread(begun.wait, 30)
    with pytest.raises(ProviderError, match="ask again") as refused:
        await ask(1280)
    assert (refused.value.code, refused.value.retry_after) == ("NO_CAPACITY", 3)
    assert await ask(320) is before
    ASKING_FROM.set("192.0.2.2")
    tasks += [await queue(1280, 4), await queue(480, 4), await queue(1280, 4)]
    leaves.gone.set()
    await becomes(3)
    go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(one, "tag", None) for one in answers] == ["480", "640", None, "1280", "480", "1280"]
    assert made == [320, 480, 640, 1280]
    assert workshop.waiting == 0
