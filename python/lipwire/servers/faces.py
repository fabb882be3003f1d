"""Still pictures of the avatars that the pages offer: what they show until a live one is there, and when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
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
        shape = request.query_params.get("shape", "wide")
        if shape not in SHAPES:
            raise ProviderError("VALIDATION_ERROR", f"shape must be {' or '.join(SHAPES)}, got {shape!r:.60}")
        with offered(name, names):
            picture = await asyncio.to_thread(lambda: _drawn(find(name), *SHAPES[shape]))
        return Response(picture, media_type="image/jpeg", headers=HEADERS)

    return face


@contextmanager
def offered(name: str, names: Collection[str]) -> Iterator[None]:
    """Something is made of the avatar of that name.

    Raises:
        ProviderError: ENDPOINT_NOT_FOUND: it is none of these names, or its files are gone, or have faults by now.
    """
    if name not in names:
        raise ProviderError(
            "ENDPOINT_NOT_FOUND", f"There is no avatar {name!r:.60} here; there is {', '.join(names) or 'none'}"
        )
    try:
        yield
    except ProviderError:
        raise
    except LipwireError as exc:
        raise ProviderError("ENDPOINT_NOT_FOUND", f"{name!r} cannot be shown: {exc}") from exc
