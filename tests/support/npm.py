"""Programs of others from npm: fetched into a folder, and bundled as whoever builds a page does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from support.machine import require
from support.paths import ROOT

ESBUILD = "esbuild@0.25.0"


def fetch(folder: Path, *packages: str) -> None:
    """Fetches packages (each with its version, name@1.2.3) into a folder's node_modules; no script of theirs is run.
    Skips where npm is not there, or fetches nothing."""
    require(shutil.which("npm") and shutil.which("node"), "npm (Debian: nodejs, npm)")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", *packages]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    require(fetched.returncode == 0, f"{', '.join(packages)} from npm ({fetched.stderr[-300:]})")


def package(name: str, version: str) -> Path:
    """The folder of a package that stands alone, under build/: fetched once, whole or not at all."""
    kept = ROOT / "build" / "npm" / f"{name}-{version}"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as made:
            fetch(Path(made), f"{name}@{version}")
            with suppress(OSError):  # another test was first
                os.rename(Path(made) / "node_modules" / name, kept)
    return kept


def bundle(folder: Path, packages: tuple[str, ...], entry: str) -> str:
    """A script that a page may run: what `entry`, a module, exports is in the global `peers`. Skips as `fetch` does.

    Args:
        packages: each with its version, name@1.2.3.
    """
    fetch(folder, ESBUILD, *packages)
    (folder / "entry.js").write_text(entry, encoding="utf-8")
    command = ["node_modules/.bin/esbuild", "entry.js", "--bundle", "--format=iife", "--global-name=peers"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout + "globalThis.peers = peers;"
