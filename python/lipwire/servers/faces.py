"""Still pictures of the avatars that the pages offer: what they show until a live one is there, and when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import lru_cache

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ..avatar import Avatar
from ..avatar.still import still
from ..errors import LipwireError
from ..provider.sessions import ProviderError
from .access import Gate
from .docs import operation
from .errors import AnyRequest
from .http import PAGED, refusals

SHAPES = {"wide": (1280, 720), "tall": (720, 1280)}
"""Of a picture: width and height in pixels."""
HEADERS = {"Cache-Control": "private, max-age=300"}
_QUERY = {"shape": f"{' or '.join(SHAPES)} (default wide)"}

_drawn = lru_cache(maxsize=16)(still)


def face_route(names: Collection[str], find: Callable[[str], Avatar], gate: Gate) -> HTTPRouteHandler:
    """GET /api/faces/{name}: the avatar of that name at rest, as JPEG, to whoever may see any of the pages.

    Args:
        names: those that can be asked for; another one is a 404. find: a name's avatar. gate: lets in who may.
    """

    @get(
        "/api/faces/{name:str}",
        operation_class=operation(query=_QUERY),
        responses=refusals(400, 401, 403, 404, 429, codes=PAGED),
        media_type="image/jpeg",
    )
    async def face(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        gate.caller(request)
        if name not in names:
            raise not_offered(name, names)
        shape = request.query_params.get("shape", "wide")
        if shape not in SHAPES:
            raise ProviderError("VALIDATION_ERROR", f"shape must be {' or '.join(SHAPES)}, got {shape!r:.60}")
        try:
            picture = await asyncio.to_thread(lambda: _drawn(find(name), *SHAPES[shape]))
        except LipwireError as exc:  # its files are gone, or have faults by now
            raise ProviderError("ENDPOINT_NOT_FOUND", f"{name!r} cannot be shown: {exc}") from exc
        return Response(picture, media_type="image/jpeg", headers=HEADERS)

    return face


def not_offered(name: str, names: Collection[str]) -> ProviderError:
    """What is answered to who asks for an avatar that is none of these."""
    return ProviderError(
        "ENDPOINT_NOT_FOUND", f"There is no avatar {name!r:.60} here; there is {', '.join(names) or 'none'}"
    )
