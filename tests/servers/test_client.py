"""servers/client.py: lipwire-client is served as it stands, and is what `npm pack` packs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from lipwire.channel.room.room import Rooms
from lipwire.motion.head import head_glb
from lipwire.servers.client import FOLDER, client_files
from lipwire.servers.rooms import PageConfig, create_rooms
from support import agora_toolkit
from support.machine import require
from support.npm import package
from support.paths import ROOT

TYPESCRIPT = "5.9.3"


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


JS = ROOT / "js"


def test_the_modules_pass_their_own_tests(tmp_path: Path) -> None:
    """js/test, in Node's own test runner; the reader on the golden files of both encodings."""
    node = shutil.which("node")
    require(node, "node")
    tool = ROOT / "tools" / "motion_golden.py"
    subprocess.run([sys.executable, str(tool), str(tmp_path)], check=True, timeout=120)
    tests = sorted(str(file) for file in (JS / "test").glob("*.test.js"))
    environment = {"PATH": str(Path(str(node)).parent), "LIPWIRE_GOLDEN": str(tmp_path)}
    command = [str(node), "--test", "--test-reporter=tap", *tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0 and "# skipped 0" in done.stdout, done.stdout + done.stderr


def test_a_program_in_typescript_is_checked_against_the_types(tmp_path: Path) -> None:
    """js/test/types.ts, as somebody compiles it who has the package from npm."""
    compiler = package("typescript", TYPESCRIPT)
    (tmp_path / "types.ts").write_text((JS / "test" / "types.ts").read_text())
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "lipwire-client").symlink_to(JS)
    (tmp_path / "node_modules" / agora_toolkit.NAME).symlink_to(package(agora_toolkit.NAME, agora_toolkit.VERSION))
    options = [
        "--noEmit",
        "--strict",
        "--skipDefaultLibCheck",
        "--target",
        "es2022",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
    ]
    command = ["node", str(compiler / "lib" / "tsc.js"), *options, "--lib", "es2022,dom,dom.iterable", "types.ts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_what_npm_packs() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing")
    command = [npm, "pack", "--dry-run", "--json", "--ignore-scripts", "--offline"]
    done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=60, check=True)
    (pack,) = json.loads(done.stdout)
    files = {file["path"] for file in pack["files"]}
    modules = {f"{folder}/{file.name}" for folder in ("src", "examples") for file in (JS / folder).iterdir()}
    assert files - {"LICENSE"} == {"package.json", "README.md"} | modules


async def test_the_head_is_served_and_asked_for_once() -> None:
    app: Any = create_rooms(Rooms(ice_host="127.0.0.1"), PageConfig())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        reply = await http.get("/client/head.glb")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "model/gltf-binary")
        assert reply.content == head_glb() and reply.content[:4] == b"glTF"
        again = await http.get("/client/head.glb", headers={"If-None-Match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_package_is_of_this_version_and_stands_on_nothing() -> None:
    about = json.loads((JS / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (about["name"], about["version"]) == ("lipwire-client", project["version"])
    assert (about["license"], about["type"]) == (project["license"], "module")
    assert not {"dependencies", "peerDependencies", "devDependencies", "bundledDependencies"} & set(about)
    assert FOLDER == JS / "src"
