"""three.js, of npm: a release, in a folder under build/, for pages that a test serves."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from support.machine import require
from support.paths import ROOT

VERSION = "0.187.0"
PAGE = """<!doctype html><meta charset="utf-8"><title>three</title>
<script type="importmap">
{"imports": {"three": "/three/build/three.module.js", "three/addons/": "/three/examples/jsm/"}}
</script>
<style>canvas { width: 240px; height: 280px; }</style><canvas></canvas>"""


def three() -> Path:
    """Its folder. Installed once, whole or not at all, whichever test comes first."""
    folder = ROOT / "build" / "npm" / f"three-{VERSION}"
    if not folder.is_dir():
        npm = shutil.which("npm")
        require(npm, "npm")
        assert npm is not None
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            command = [
                npm,
                "install",
                "--prefix",
                made,
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                f"three@{VERSION}",
            ]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            with suppress(OSError):  # another test was first
                os.rename(Path(made) / "node_modules" / "three", folder)
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def site(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """A page at / with three.js, /client with lipwire-client, and these files: its address."""
    (folder / "three").symlink_to(three())
    (folder / "client").symlink_to(ROOT / "js" / "src")
    (folder / "index.html").write_text(PAGE)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=os.fspath(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
