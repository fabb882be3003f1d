"""servers/client.py: lipwire-client is served as it stands, and is what `npm pack` packs."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import httpx

from lipwire.channel.room.room import Rooms
from lipwire.servers.client import FOLDER, client_files
from lipwire.servers.rooms import PageConfig, create_rooms
from support.paths import ROOT


async def test_every_module_is_served_as_javascript() -> None:
    app: Any = create_rooms(Rooms(ice_host="127.0.0.1"), PageConfig())
    assert "index.js" in [file.name for file in client_files()]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        for file in client_files():
            reply = await http.get(f"/client/{file.name}")
            assert (reply.status_code, reply.content) == (200, file.read_bytes())
            assert reply.headers["content-type"].startswith("text/javascript")
        for path in ("index.d.ts", "../pyproject.toml", "%2e%2e/package.json", "none.js"):
            assert (await http.get(f"/client/{path}")).status_code == 404


def test_the_package_is_of_this_version_and_stands_on_nothing() -> None:
    about = json.loads((ROOT / "js" / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (about["name"], about["version"]) == ("lipwire-client", project["version"])
    assert (about["license"], about["type"]) == (project["license"], "module")
    assert not {"dependencies", "peerDependencies", "devDependencies", "bundledDependencies"} & set(about)
    assert FOLDER == ROOT / "js" / "src"
    for file in client_files():
        assert file.with_suffix(".d.ts").exists() or file.name not in _entries(about)


def _entries(about: dict[str, Any]) -> set[str]:
    """The modules that users import by a name of their own."""
    return {entry["default"].rpartition("/")[2] for entry in about["exports"].values() if isinstance(entry, dict)}
