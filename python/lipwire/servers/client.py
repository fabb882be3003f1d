"""Where lipwire-client is, the JavaScript package for who draws the face itself: `/client/...` serves its modules, and
the head that draw3d.js draws.

A wheel holds them beside this package's own files; where it is installed in place they are the source tree's, so that
a change works at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from ..motion.head import head_glb
from ..pools import give_way, pool
from .avatars import has_tag
from .errors import AnyRequest
from .http import header

_PACKAGE = Path(__file__).parents[1]
FOLDER = next(
    (folder for folder in (_PACKAGE / "js", _PACKAGE.parents[1] / "js" / "src") if folder.is_dir()),
    _PACKAGE / "js",
)


def client_files() -> list[Path]:
    """Its modules, in the order of their names."""
    return sorted(FOLDER.glob("*.js"))


def head_route(headers: Mapping[str, str]) -> HTTPRouteHandler:
    """GET /client/head.glb, for anybody, like the modules. It is made off the loop, when it is first asked for."""
    making = pool(1, "lipwire-head")

    @cache
    def tagged() -> tuple[bytes, str]:
        give_way(10)
        data = head_glb()
        return data, hashlib.sha256(data).hexdigest()[:32]

    @get("/client/head.glb", include_in_schema=False)
    async def head(request: AnyRequest) -> Response[bytes]:
        data, tag = await asyncio.get_running_loop().run_in_executor(making, tagged)
        known = has_tag(header(request, b"if-none-match"), tag)
        return Response(
            b"" if known else data,
            status_code=304 if known else 200,
            media_type="model/gltf-binary",
            headers={**headers, "ETag": f'"{tag}"'},
        )

    return head
