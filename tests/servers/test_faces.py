"""servers/faces.py: still pictures of the avatars that a page offers, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipwire.avatar import Avatar
from lipwire.channel.room.room import Rooms
from lipwire.errors import BadData
from lipwire.servers import faces
from lipwire.servers.rooms import PageConfig, create_rooms


def client(find: Callable[[str], Avatar] = Avatar.load) -> httpx.AsyncClient:
    page = PageConfig(avatars=["ohm", "gone"])
    app: Any = create_rooms(Rooms(ice_host="127.0.0.1"), page, face=find)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_a_face_in_both_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "SHAPES", {"wide": (128, 72), "tall": (72, 128)})
    async with client() as http:
        seen: dict[str, bytes] = {}
        for query, shape in (("", "wide"), ("?shape=wide", "wide"), ("?shape=tall", "tall")):
            reply = await http.get(f"/api/faces/ohm{query}")
            assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg")
            assert reply.headers["cache-control"].startswith("private")
            seen.setdefault(shape, reply.content)
            assert reply.content == seen[shape]
        assert seen["wide"] != seen["tall"]


async def test_what_is_not_offered_is_not_there(tmp_path: Path) -> None:
    """A name off the network is never taken for a path; a built-in avatar that the page does not offer is none."""
    (tmp_path / "avatar.toml").write_text("")

    def find(name: str) -> Avatar:
        raise BadData("its files are gone")

    async with client(find) as http:
        for name in ("aria", "%2Fetc%2Fpasswd", str(tmp_path).replace("/", "%2F"), "gone"):
            reply = await http.get(f"/api/faces/{name}")
            assert (reply.status_code, reply.json()["code"]) == (404, "ENDPOINT_NOT_FOUND"), name
        reply = await http.get("/api/faces/ohm?shape=square")
        assert (reply.status_code, "wide or tall" in reply.json()["message"]) == (400, True)
