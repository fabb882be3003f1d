"""Avatars as files that a browser draws with: a manifest and its images (`avatar.web`), for one size of picture."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ..avatar import Avatar
from ..avatar.web import MAX_PIXELS, MAX_SIDE, WebAvatar, WebAvatars
from ..errors import InvalidArgument, LipwireError
from ..pools import pool
from ..provider.sessions import ProviderError
from .access import Gate
from .docs import operation
from .errors import AnyRequest
from .faces import not_offered
from .http import PAGED, header, refusals

DEFAULT_SIZE = "1280x720"
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
_QUERY = {
    "size": f"WIDTHxHEIGHT in pixels, both even, at most {MAX_SIDE} a side and {MAX_PIXELS} in all "
    f"(default {DEFAULT_SIZE})"
}
CHECKED = "private, no-cache"
FOR_EVER = "private, max-age=31536000, immutable"
"""Of files whose names say what they hold."""


def avatar_routes(names: Collection[str], find: Callable[[str], Avatar], gate: Gate) -> list[HTTPRouteHandler]:
    """GET /avatars/{name}.json, and the images that it names, to whoever may see any of the pages.

    Args:
        names: those that can be asked for; another one is a 404. find: a name's avatar. gate: lets in who may.
    """
    kept = WebAvatars()
    drawing = pool(1, "lipwire-web-avatar")

    async def files(name: str, size: str) -> WebAvatar:
        if name not in names:
            raise not_offered(name, names)
        match = _SIZE.fullmatch(size)
        if match is None:
            raise ProviderError("VALIDATION_ERROR", f"size must be WIDTHxHEIGHT, such as 1280x720, got {size!r:.60}")
        width, height = map(int, match.groups())
        try:
            return await asyncio.get_running_loop().run_in_executor(
                drawing, lambda: kept.get(find(name), width, height)
            )
        except InvalidArgument as exc:
            raise ProviderError("VALIDATION_ERROR", str(exc)) from exc
        except LipwireError as exc:  # its files are gone, or have faults by now
            raise ProviderError("ENDPOINT_NOT_FOUND", f"{name!r} cannot be shown: {exc}") from exc

    @get(
        "/avatars/{file:str}",
        operation_class=operation(query=_QUERY),
        responses=refusals(400, 401, 403, 404, 429, codes=PAGED),
        media_type="application/json",
    )
    async def manifest(request: AnyRequest, file: FromPath[str]) -> Response[bytes]:
        """What a pose shows of an avatar, and where: NAME.json (docs/avatars.md)."""
        gate.caller(request)
        name, dot, kind = file.rpartition(".")
        if not dot or kind != "json":
            raise ProviderError("ENDPOINT_NOT_FOUND", f"No {file!r:.60} here; an avatar's manifest is NAME.json")
        made = await files(name, request.query_params.get("size", DEFAULT_SIZE))
        headers = {"ETag": f'"{made.tag}"', "Cache-Control": CHECKED}
        if has_tag(header(request, b"if-none-match"), made.tag):
            return Response(b"", status_code=304, headers=headers)
        return Response(made.manifest, media_type="application/json", headers=headers)

    @get(
        "/avatars/{name:str}/{size:str}/{file:str}",
        responses=refusals(400, 401, 403, 404, 429, codes=PAGED),
        media_type="image/webp",
    )
    async def image(
        request: AnyRequest, name: FromPath[str], size: FromPath[str], file: FromPath[str]
    ) -> Response[bytes]:
        """An image that an avatar's manifest for this size names."""
        gate.caller(request)
        data = (await files(name, size)).images.get(file)
        if data is None:
            raise ProviderError("ENDPOINT_NOT_FOUND", f"{name!r} has no image {file!r:.60}; ask for its manifest")
        headers = {"ETag": f'"{file}"', "Cache-Control": FOR_EVER}
        if has_tag(header(request, b"if-none-match"), file):
            return Response(b"", status_code=304, headers=headers)
        return Response(data, media_type="image/webp", headers=headers)

    return [manifest, image]


def has_tag(if_none_match: bytes | None, tag: str) -> bool:
    """Whether the header If-None-Match (RFC 9110, section 13.1.2) names this tag."""
    return if_none_match is not None and f'"{tag}"' in if_none_match.decode("latin-1")
