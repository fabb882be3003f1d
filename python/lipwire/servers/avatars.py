"""Avatars as files that a browser draws with: a manifest and its images (`avatar.web`), in one of a few sizes."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ..avatar import Avatar
from ..avatar.web import MAX_PIXELS, MAX_SIDE, SIZES, WebAvatar, WebAvatars, check_size, size_for
from ..errors import InvalidArgument
from ..pools import pool
from ..provider.authority import ASKING_FROM
from ..provider.quotas import network
from ..provider.sessions import ProviderError
from .access import Gate
from .docs import operation
from .errors import AnyRequest
from .faces import offered
from .http import PAGED, header, refusals

DEFAULT_SIZE = "1280x720"
MOST_WAITING = 16
"""Sets of files that are being made or wait for it; EACH_WAITING: of those that one address has asked for first."""
EACH_WAITING = 3
AGAIN_SECONDS = 3.0
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
_QUERY = {
    "size": f"WIDTHxHEIGHT in pixels of what is to be covered, both even, at most {MAX_SIDE} a side and {MAX_PIXELS} "
    f"in all (default {DEFAULT_SIZE}); the manifest says which size it has: "
    + ", ".join(f"{width}x{height}" for sizes in SIZES for width, height in sizes)
    + ", or the shape of artwork that is not cut to a frame's",
}
CHECKED = "private, no-cache"
FOR_EVER = "private, max-age=31536000, immutable"
"""Of files whose names say what they hold."""


@dataclass
class _Job:
    future: asyncio.Future[WebAvatar]
    by: str | None
    waiting: int = 0


class Workshop:
    """Makes the files of avatars, one set at a time, off the event loop: each once, however many wait for it, and none
    that nobody waits for any more. What was made before waits for nothing that is made."""

    def __init__(self) -> None:
        self._kept = WebAvatars()
        self._making = pool(1, "lipwire-web-avatar")
        self._looking = pool(1, "lipwire-web-avatar-kept")
        self._jobs: dict[tuple[Avatar, int, int], _Job] = {}

    @property
    def waiting(self) -> int:
        """Sets that are being made, or wait for it."""
        return len(self._jobs)

    async def files(
        self, find: Callable[[], Avatar], width: int, height: int, request: AnyRequest, *, exactly: bool = False
    ) -> WebAvatar:
        """The files of what `find` gives for pictures of this size, for whoever sends this request.

        Raises:
            ProviderError: NO_CAPACITY: too many sets wait to be made. ENDPOINT_NOT_FOUND: with `exactly`, it is made in
            another size.
            LipwireError: as `find`, `size_for` and `web_avatar`.
        """
        loop = asyncio.get_running_loop()

        def look() -> tuple[tuple[Avatar, int, int], WebAvatar | None]:
            avatar = find()
            key = avatar, *size_for(avatar, width, height)
            if exactly and key[1:] != (width, height):
                raise ProviderError("ENDPOINT_NOT_FOUND", f"No artwork is {width}x{height}; ask for the manifest")
            return key, self._kept.find(*key)

        key, made = await loop.run_in_executor(self._looking, look)
        if made is not None:
            return made
        job = self._jobs.get(key)
        if job is None:
            by = network(ASKING_FROM.get())
            asked = Counter(job.by for job in self._jobs.values())
            if asked.total() >= MOST_WAITING or (by is not None and asked[by] >= EACH_WAITING):
                text = "Other artwork is being made; ask again"
                raise ProviderError("NO_CAPACITY", text, retry_after=AGAIN_SECONDS)
            job = self._jobs[key] = _Job(loop.run_in_executor(self._making, self._kept.get, *key), by)
        job.waiting += 1
        try:
            return await _while_there(request, job.future)
        finally:
            job.waiting -= 1
            if not job.waiting:
                job.future.cancel()  # does nothing to one that is done
                del self._jobs[key]


async def _while_there(request: AnyRequest, future: asyncio.Future[WebAvatar]) -> WebAvatar:
    """Its result, or whatever it raises. Raises ProviderError, which nobody hears, where the client has gone."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((future, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if not future.done():
        raise ProviderError("NO_CAPACITY", "The client has gone")
    return future.result()


async def _gone(request: AnyRequest) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def avatar_routes(names: Collection[str], find: Callable[[str], Avatar], gate: Gate) -> list[HTTPRouteHandler]:
    """GET /avatars/{name}.json, and the images that it names, to whoever may see any of the pages.

    Args:
        names: those that can be asked for; another one is a 404. find: a name's avatar. gate: lets in who may.
    """
    workshop = Workshop()

    async def files(request: AnyRequest, name: str, size: str, *, exactly: bool = False) -> WebAvatar:
        with offered(name, names):
            match = _SIZE.fullmatch(size)
            if match is None:
                raise ProviderError(
                    "VALIDATION_ERROR", f"size must be WIDTHxHEIGHT, such as 1280x720, got {size!r:.60}"
                )
            width, height = map(int, match.groups())
            try:
                check_size(width, height)
                return await workshop.files(lambda: find(name), width, height, request, exactly=exactly)
            except InvalidArgument as exc:
                raise ProviderError("VALIDATION_ERROR", str(exc)) from exc

    @get(
        "/avatars/{file:str}",
        operation_class=operation(query=_QUERY),
        responses=refusals(400, 401, 403, 404, 429, 503, codes=PAGED),
        media_type="application/json",
    )
    async def manifest(request: AnyRequest, file: FromPath[str]) -> Response[bytes]:
        """What a pose shows of an avatar, and where: NAME.json (docs/avatars.md)."""
        gate.caller(request)
        name, dot, kind = file.rpartition(".")
        if not dot or kind != "json":
            raise ProviderError("ENDPOINT_NOT_FOUND", f"No {file!r:.60} here; an avatar's manifest is NAME.json")
        made = await files(request, name, request.query_params.get("size", DEFAULT_SIZE))
        headers = {"ETag": f'"{made.tag}"', "Cache-Control": CHECKED}
        if has_tag(header(request, b"if-none-match"), made.tag):
            return Response(b"", status_code=304, headers=headers)
        return Response(made.manifest, media_type="application/json", headers=headers)

    @get(
        "/avatars/{name:str}/{size:str}/{file:str}",
        responses=refusals(400, 401, 403, 404, 429, 503, codes=PAGED),
        media_type="image/webp",
    )
    async def image(
        request: AnyRequest, name: FromPath[str], size: FromPath[str], file: FromPath[str]
    ) -> Response[bytes]:
        """An image that an avatar's manifest for this size names."""
        gate.caller(request)
        data = (await files(request, name, size, exactly=True)).images.get(file)
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
