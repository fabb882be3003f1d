"""Programs of others from npm, for a page: fetched into a folder, and bundled as whoever builds a page does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.machine import require

ESBUILD = "esbuild@0.25.0"


def bundle(folder: Path, packages: tuple[str, ...], entry: str) -> str:
    """A script that a page may run: what `entry`, a module, exports is in the global `peers`. Skips where npm is not
    there, or fetches nothing.

    Args:
        packages: each with its version, name@1.2.3.
    """
    require(shutil.which("npm") and shutil.which("node"), "npm (Debian: nodejs, npm)")
    fetch = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", ESBUILD, *packages]
    fetched = subprocess.run(fetch, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    require(fetched.returncode == 0, f"{', '.join(packages)} from npm ({fetched.stderr[-300:]})")
    (folder / "entry.js").write_text(entry, encoding="utf-8")
    command = ["node_modules/.bin/esbuild", "entry.js", "--bundle", "--format=iife", "--global-name=peers"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout + "globalThis.peers = peers;"
