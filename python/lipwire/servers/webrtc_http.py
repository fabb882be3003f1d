"""WHEP, WHIP and what is like them: WebRTC that begins with one HTTP request.

| route | for |
|---|---|
| POST /whep/{session_id} | watch a session |
| POST /whep/rooms/{name} | watch a room |
| POST /whip/{session_id} | speak through a session |
| POST /whip/rooms/{name}?user= | be heard and seen in a room |
| POST /rtc/rooms/{name}?user= | both, over one connection |
| OPTIONS of these | what is taken, and which STUN and TURN servers there are |
| PATCH of `Location` | more ICE candidates (trickle), or a new ICE session (restart) |
| DELETE of it | the end |

`?motion=sei` of those that are for watching asks for motion in the video, in place of pictures (docs/motion.md).

WHIP is RFC 9725, WHEP draft-ietf-wish-whep-03; /rtc is the same for both ways, of which there is no standard. Who may
is the `Gate`'s to say, at every request: a bearer token of the pages or of a session, or an API key. Errors are
`{error, message, code}`.
"""

from __future__ import annotations

import re
import secrets
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from litestar import Response, delete, patch, post, route
from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from ..errors import InvalidArgument, LipwireError
from ..motion.sets import check_sets
from ..provider.sessions import ProviderError
from ..publish.fragment import MEDIA_TYPE, parse_fragment
from ..publish.ice import IceServer, IceServers
from ..publish.peer import Peer
from .access import Caller, Gate
from .docs import SDP, media_operation
from .errors import AnyRequest, as_provider_error
from .http import PAGED, header, media_type, read_body, refusals

READ = [HttpMethod.GET, HttpMethod.HEAD]
TAG = re.compile(r'\s*(\*|"\*"|(?:W/)?"[^"]*")\s*(?:,|$)')
"""One of If-Match (RFC 9110, section 13.1.1); the drafts' own examples have the asterisk in quotes."""

Admit = Callable[[Caller, str, str, AnyRequest], Awaitable["Admitted"]]
"""(who asks, the name in the path, its offer, the request): lets one in. Raises LipwireError."""
Check = Callable[[AnyRequest, str], Caller]
"""(request, the name in the path): who asks, if it may. Raises ProviderError."""


class Admitted(Struct):
    """One who was let in."""

    answer: str
    """SDP."""
    peer: Peer
    end: Callable[[Peer], object]
    """Ends its connection, where it asks for that."""


class Endpoint(Struct, kw_only=True):
    """One URL that offers are posted to."""

    path: str
    """Behind the protocol's name; it has {name:str} in it."""
    protocol: str
    """whep, whip, or rtc."""
    about: str
    """What is done there, for the description of the API."""
    check: Check
    admit: Admit


class Resource(Struct):
    """One who is there, as WHIP and WHEP name it: a session of theirs."""

    endpoint: Endpoint
    name: str
    end: Callable[[Peer], object]
    peer: weakref.ref[Peer]
    """Whoever let it in keeps it, for as long as it is there."""


OnPeer = Callable[[str, bool], None]


class Resources:
    """Those who are there, by ids that nobody can guess. `on_peer`: hears of each id that it is there, and gone."""

    def __init__(self, on_peer: OnPeer | None = None) -> None:
        self._there: dict[tuple[str, str], Resource] = {}
        self._on_peer = on_peer or (lambda id, there: None)

    def __len__(self) -> int:
        return len(self._there)

    def add(self, endpoint: Endpoint, name: str, admitted: Admitted) -> str:
        """One more; its id."""
        key = (endpoint.protocol, secrets.token_urlsafe(16))
        gone = weakref.ref(admitted.peer, lambda _: self._gone(key))
        self._there[key] = Resource(endpoint, name, admitted.end, gone)
        self._on_peer(key[1], True)
        return key[1]

    def _gone(self, key: tuple[str, str]) -> None:
        if self._there.pop(key, None) is not None:
            self._on_peer(key[1], False)

    def find(self, protocol: str, id: str, request: AnyRequest) -> tuple[Peer, Resource]:
        """One, for who may have to do with it. Raises ProviderError."""
        resource = self._there.get((protocol, id))
        peer = None if resource is None else resource.peer()
        if resource is None or peer is None or peer.closed:
            raise ProviderError("SESSION_NOT_FOUND", "This connection has ended")
        resource.endpoint.check(request, resource.name)
        return peer, resource


class Linked(Response[Any]):
    """An answer that tells of STUN and TURN servers, each in a Link header of its own: some clients read no list."""

    def __init__(self, content: Any, servers: Iterable[IceServer], **more: Any) -> None:
        super().__init__(content, **more)
        self.links = [server.link for server in servers]

    def to_asgi_response(self, *args: Any, **more: Any) -> ASGIResponse:
        """As its own, with these headers."""
        response = super().to_asgi_response(*args, **more)
        for link in self.links:
            response.headers.add("link", link)
        return response


def asked_black(request: AnyRequest, *, watches: bool = True) -> tuple[str, ...] | None:
    """The sets of motion that shall come in the video, in place of pictures: ?motion=sei&sets=arkit,head; empty = those
    of who names none. None = pictures. Raises InvalidArgument: there is no such thing, or none for who does not only
    watch."""
    wanted, sets = request.query_params.get("motion"), request.query_params.get("sets")
    if wanted is None and sets is not None:
        raise InvalidArgument("sets are of motion in a video (motion=sei); a data channel is told them itself")
    if wanted is None:
        return None
    if not watches:
        raise InvalidArgument("motion in a video is for who watches (WHEP)")
    if wanted != "sei":
        raise InvalidArgument(f"motion: in a video there is sei; got {wanted!r:.40}")
    return () if sets is None else check_sets(sets.split(","))


async def read_text(request: AnyRequest, kind: str) -> str:
    """A body of this media type.

    Raises:
        ProviderError: UNSUPPORTED_MEDIA_TYPE; VALIDATION_ERROR: it is no text.
    """
    if media_type(request) != kind:
        raise ProviderError("UNSUPPORTED_MEDIA_TYPE", f"Content-Type must be {kind}")
    try:
        return (await read_body(request)).decode()
    except UnicodeDecodeError:
        raise ProviderError("VALIDATION_ERROR", "The body is no UTF-8 text") from None


def check_tag(request: AnyRequest, tag: str) -> None:
    """Raises ProviderError: PRECONDITION_REQUIRED (RFC 6585), PRECONDITION_FAILED (RFC 9110)."""
    said = header(request, b"if-match")
    if said is None:
        raise ProviderError("PRECONDITION_REQUIRED", "If-Match with the ETag of the ICE session is needed, or *")
    if not {"*", '"*"', tag} & set(TAG.findall(said.decode("latin-1"))):
        raise ProviderError("PRECONDITION_FAILED", "The ICE session that If-Match names is not the one that there is")


def webrtc_http_routes(
    endpoints: Sequence[Endpoint],
    *,
    gate: Gate,
    ice_servers: IceServers | None = None,
    on_peer: OnPeer | None = None,
) -> list[ControllerRouterHandler]:
    """The handlers of these endpoints, and of those who are let in there.

    Args:
        gate: counts who joins, and who restarts ICE. ice_servers: those that are told of. on_peer: as of `Resources`.
    """
    resources, servers = Resources(on_peer), IceServers() if ice_servers is None else ice_servers
    handlers: list[ControllerRouterHandler] = []
    for endpoint in endpoints:
        handlers += _of_endpoint(endpoint, resources, gate, servers)
    for protocol in dict.fromkeys(endpoint.protocol for endpoint in endpoints):
        handlers += _of_peers(protocol, resources, gate)
    return handlers


def _of_endpoint(
    endpoint: Endpoint, resources: Resources, gate: Gate, servers: IceServers
) -> list[ControllerRouterHandler]:
    path = f"/{endpoint.protocol}/{endpoint.path}"
    codes = PAGED | {"NO_MOTION"} if endpoint.protocol == "whep" else PAGED  # ?motion=sei

    @post(
        path,
        name=f"POST {path}",
        status_code=201,
        operation_class=media_operation(SDP),
        description=endpoint.about,
        responses=refusals(400, 401, 403, 404, 409, 429, 503, codes=codes) | {201: _answered(SDP)},
        media_type=SDP,
    )
    async def create(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
        caller = endpoint.check(request, name)
        gate.count_join()
        sdp = await read_text(request, SDP)
        try:
            admitted = await endpoint.admit(caller, name, sdp, request)
        except LipwireError as exc:
            raise as_provider_error(exc) from exc
        id = resources.add(endpoint, name, admitted)
        # Relative: a proxy may have taken a prefix off. Litestar takes a slash at the end off `path`.
        up = path.count("/") - 2 + (request.scope.get("raw_path") or b"").endswith(b"/")
        headers = {
            "Location": f"{'../' * up}peers/{id}",
            "ETag": admitted.peer.ice_tag,
            "Accept-Patch": MEDIA_TYPE,
        }
        return Linked(admitted.answer, servers.current(), status_code=201, media_type=SDP, headers=headers)

    @route(path, name=f"OPTIONS {path}", http_method=HttpMethod.OPTIONS, include_in_schema=False, status_code=200)
    async def options(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
        told: list[IceServer] = []
        says_who = any(header(request, name) is not None for name in (b"authorization", b"x-api-key"))
        if servers and (gate.open or says_who):
            endpoint.check(request, name)
            told = servers.current()
        headers = {"Allow": "GET, HEAD, OPTIONS, POST", "Accept-Post": SDP}
        return Linked(None, told, status_code=200, media_type="text/plain", headers=headers)

    @route(path, name=f"GET {path}", http_method=READ, status_code=204, include_in_schema=False, sync_to_thread=False)
    def nothing(request: AnyRequest, name: FromPath[str]) -> None:
        endpoint.check(request, name)

    return [options, create, nothing]  # the first, or Litestar has made one of its own by then


def _of_peers(protocol: str, resources: Resources, gate: Gate) -> list[ControllerRouterHandler]:
    path = f"/{protocol}/peers/{{id:str}}"
    statuses = (400, 401, 403, 404, 412, 428, 429, 503)

    @patch(
        path,
        name=f"PATCH {path}",
        status_code=200,
        operation_class=media_operation(MEDIA_TYPE),
        responses=refusals(*statuses, codes=PAGED | {"PRECONDITION_FAILED", "PRECONDITION_REQUIRED"})
        | {200: _answered(MEDIA_TYPE), 204: ResponseSpec(None, description="Taken", generate_examples=False)},
    )
    async def trickle(request: AnyRequest, id: FromPath[str]) -> Response[Any]:
        """More ICE candidates: 204. Or a new ICE session, where the names in it are new: 200."""
        peer, _ = resources.find(protocol, id, request)
        try:
            fragment = parse_fragment(await read_text(request, MEDIA_TYPE))
            check_tag(request, peer.ice_tag)
            if not peer.restarts(fragment):
                await peer.trickle(fragment)
                return Response(None, status_code=204)
            gate.count_join()  # a new ICE session costs as much as the first
            answer = await peer.restart(fragment)
        except LipwireError as exc:
            raise as_provider_error(exc) from exc
        return Response(answer, status_code=200, media_type=MEDIA_TYPE, headers={"ETag": peer.ice_tag})

    @delete(
        path,
        name=f"DELETE {path}",
        status_code=200,
        responses=refusals(401, 403, 404, 429, codes=PAGED),
        sync_to_thread=False,
    )
    def end(request: AnyRequest, id: FromPath[str]) -> None:
        """Ends the connection."""
        peer, resource = resources.find(protocol, id, request)
        resource.end(peer)

    @route(path, name=f"GET {path}", http_method=READ, status_code=204, include_in_schema=False, sync_to_thread=False)
    def nothing(request: AnyRequest, id: FromPath[str]) -> None:
        resources.find(protocol, id, request)

    return [trickle, end, nothing]


def _answered(kind: str) -> ResponseSpec:
    return ResponseSpec(str, description="With all candidates in it", generate_examples=False, media_type=kind)
