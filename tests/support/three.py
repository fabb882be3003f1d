"""Pages with three.js that a test serves."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from support.npm import package
from support.paths import ROOT

VERSION = "0.187.0"
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Switches of a Chromium that draws in three dimensions without a graphics card."""
PAGE = """<!doctype html><meta charset="utf-8"><title>three</title>
<script type="importmap">
{"imports": {"three": "/three/build/three.module.js", "three/addons/": "/three/examples/jsm/"}}
</script>
<style>canvas { width: 240px; height: 280px; }</style><canvas></canvas>"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def site(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """A page at / with three.js, /client with lipwire-client, and these files: its address."""
    (folder / "three").symlink_to(package("three", VERSION))
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
