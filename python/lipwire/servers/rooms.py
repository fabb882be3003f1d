"""Rooms over HTTP, and the page on which people talk to an agent.

| route | for |
|---|---|
| GET /agent | the page |
| GET /api/config | what the page can offer |
| GET /api/faces/{name} | a still picture of an avatar (`faces`) |
| GET, POST /api/rooms | who is where; a new room |
| POST /rtc/rooms/{name} | a browser joins by WebRTC (`webrtc_http`) |
| POST /whep/rooms/{name}, /whip/rooms/{name} | any player watches, any sender is heard |
| POST /api/rooms/{name}/offer, /api/rooms/{name}/leave | joining and leaving as they were until 0.4; they go with 0.7 |
| POST /api/agents, /api/agents/stop | an agent comes into a channel, or leaves it |

Anybody gets the page; what it calls asks the `Gate`. A room is its owner's: each owner of API keys has rooms of its
own (a `Desk`), and a token is for one room and one name in it. What keeps other sites' pages away is `guard`. Bodies
are JSON objects and say so; an offer may be plain SDP, too (`offers`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Litestar, Response, get, post
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from msgspec import Struct, field

from .._core import check_size
from ..agents.config import AgentConfig, BrainKind, Transport
from ..agents.describe import Changes, make_config, prompt
from ..avatar import Avatar
from ..channel.room.place import Role, check_name, made_up_user
from ..channel.room.room import Rooms
from ..errors import InvalidArgument, LipwireError, NoCapacity
from ..protocol.access import Action
from ..provider.sessions import ProviderError
from ..publish.ice import IceServers
from ..publish.peer import Direction, Peer
from .access import OPEN, Caller, Gate, not_allowed
from .allowlist import Allowlist
from .avatars import avatar_routes
from .docs import describe_api, operation
from .errors import MAX_BODY, AnyRequest, agent_refused, as_provider_error, on_exception, withheld
from .faces import face_route
from .guard import Guard
from .http import PAGED, SCHEMES, read_object, refusals
from .offers import ANSWERED, Offer, give_answer, read_offer
from .order import order_headers
from .viewer import HEADERS, WEB, client_modules, read_text, static
from .webrtc_http import Admit, Admitted, Endpoint, asked_black, webrtc_http_routes

MAX_SDP = 65_536
MAX_TEXT = {"channel": 64, "voice": 100, "avatar": 200, "prompt": 8000, "greeting": 500}
"""Characters of what the page sends along with a new agent."""
SDK_PATH = "/agora-rtc-sdk.js"
SHARED = ("viewer.css", "favicon.svg", "server.js", "face.js", "help.html", "help.css")
"""Files that the viewer page has, too."""
PICTURE = (1280, 720)
"""Width and height in pixels of a face where the page asks for none."""
MAX_PICTURE = 1920 * 1080
"""Pixels of a picture that the page may ask for."""
IDLE_TIMEOUT = 60.0
"""Seconds that an agent of the page stays after the last of its users has left."""
AGORA_HOSTS = ("agora.io", "sd-rtn.com")
"""Where Agora's web SDK connects to, subdomains of them at any port."""


ENDPOINTS: tuple[tuple[str, str, Action, Role, Direction], ...] = (
    ("rtc", "Talk in a room, as ?user=, which a token's name stands for.", "join", "speaker", "sendrecv"),
    ("whep", "Watch a room.", "watch", "viewer", "sendonly"),
    ("whip", "Be heard and seen in a room, as ?user=, which a token's name stands for.", "join", "speaker", "recvonly"),
)
"""The doors of rooms: protocol, what it is for, what one must be allowed, and how one is in the room."""


class PageConfig(Struct, kw_only=True, frozen=True):
    """What the page offers."""

    brains: list[BrainKind] = field(default_factory=list)
    """That can be used here, the default first."""
    voices: list[str] = field(default_factory=list)
    """Proposals; any other can be typed."""
    face_voices: dict[str, str] = field(default_factory=dict)
    """By avatar: the voice that an agent of the default brain has where none is chosen."""
    avatars: list[str] = field(default_factory=list)
    """The default first. Sound only can always be chosen."""
    channel: str = "lobby"
    """What the page proposes."""
    app_id: str | None = None
    """Agora's; with `agora_sdk` the page can join Agora's channels, too."""
    agora_sdk: str | None = None
    """Agora's Web SDK (agora-rtc-sdk-ng): a file, which is served from here, or an https URL."""
    watch_path: str | None = None
    """Where the viewer page is, relative to this one; None = nowhere."""
    token_path: str = "token"
    """Where the page asks for a channel token: POST {channel, uid} -> {token, uid, ...}. Relative to the page, or with
    a "/" to its host."""


class AgentRequest(Struct, kw_only=True):
    """An agent that the page asks for. What is None is the server's to choose."""

    channel: str
    transport: Transport = "room"
    brain: BrainKind | None = None
    voice: str | None = None
    avatar: str | None = None
    """Its name; "" = sound only."""
    prompt: str | None = None
    greeting: str | None = None
    width: int | None = None
    height: int | None = None
    """Of the picture in pixels, even, both or neither. What the server has room for is in its answer."""

    def config(self, brain: BrainKind, avatar: str | None) -> AgentConfig:
        """The agent, with the server's `brain` and `avatar` where the page leaves them to it. It is named after its
        channel: one in each."""
        changes: Changes = {
            "brain": self.brain or brain,
            "transport": self.transport,
            "avatar": avatar if self.avatar is None else self.avatar or None,
            "llm.greeting_message": self.greeting,
            "idle_timeout": IDLE_TIMEOUT,
            "voice_commands": True,
            "width": self.width or PICTURE[0],
            "height": self.height or PICTURE[1],
        }
        if self.voice:
            changes["voice"] = self.voice
        if self.prompt:
            changes |= prompt(self.prompt)
        return make_config(f"page:{self.transport}:{self.channel}", self.channel, changes)


class NewRoom(Struct):
    """A room to be made; a new name by default."""

    name: str | None = None


class RoomOffer(Offer):
    """What a browser that joins sends."""

    user: str = msgspec.field(default="")
    role: str = "speaker"


class Leave(Struct):
    """Who leaves."""

    user: str


class StopAgentRequest(Struct):
    """Where an agent shall leave."""

    channel: str


StartAgent = Callable[[AgentRequest], Awaitable[dict[str, Any]]]
"""Starts one and waits until it is in its channel; what it returns goes to the page ({"agent_id": ...}). Raises
LipwireError, which is answered as `errors.agent_refused` says; one that has a `status` is answered with it."""
StopAgent = Callable[[str], Awaitable[bool]]
"""Stops the agent in a channel; False = there is none."""


class Desk(Struct, frozen=True):
    """What the routes work on, for one owner."""

    rooms: Rooms
    start_agent: StartAgent | None = None
    """None: this server runs no agents."""
    stop_agent: StopAgent | None = None


def parse_agent_request(body: dict[str, Any]) -> AgentRequest:
    """Raises InvalidArgument, which names the field."""
    try:
        wanted = msgspec.convert(body, AgentRequest)
    except msgspec.ValidationError as exc:
        raise InvalidArgument(str(exc)) from None
    wanted.channel = check_name("channel", wanted.channel)
    for name, limit in MAX_TEXT.items():
        value = getattr(wanted, name)
        if value is not None and len(value) > limit:
            raise InvalidArgument(f"{name} has {len(value)} characters; {limit} are allowed")
    _check_picture(wanted.width, wanted.height)
    return wanted


def _check_picture(width: int | None, height: int | None) -> None:
    if width is None and height is None:
        return
    if width is None or height is None:
        raise InvalidArgument("width and height go together: say both, or neither")
    check_size(width, height)
    if width * height > MAX_PICTURE:
        raise InvalidArgument(f"a picture of {width}x{height} is too large; 1920x1080 pixels are allowed")


def user_of(caller: Caller, body: dict[str, Any]) -> str:
    """The name in the room: the token's where it has one, which the body can leave out and cannot change."""
    asked = read_text(body, "user", 200, caller.name or None).strip()
    if caller.name and asked != caller.name:
        raise ProviderError("NOT_ALLOWED", f"Your token is for the name {caller.name!r}")
    return asked


def leave_some(rooms: Rooms, name: str | None) -> None:
    """Raises NoCapacity where a new room would be one of the last quarter: that is kept for agents."""
    there = rooms.list()
    if (name is None or name.strip() not in there) and len(there) >= rooms.max_rooms - rooms.max_rooms // 4:
        raise NoCapacity(f"there are {len(there)} rooms, and no more are opened from pages")


def page_policy(page: PageConfig) -> dict[str, str]:
    """The page's headers. Only where Agora's SDK is configured may it load that script and reach Agora's hosts."""
    if not (page.app_id and page.agora_sdk):
        return HEADERS
    script = page.agora_sdk if _is_url(page.agora_sdk) else ""
    hosts = " ".join(f"{scheme}://*.{host}:*" for host in AGORA_HOSTS for scheme in ("https", "wss"))
    policy = (
        f"default-src 'none'; script-src 'self' {script}".rstrip()
        + f"; style-src 'self'; img-src 'self' data:; connect-src 'self' {hosts}; media-src 'self' blob:; "
        "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    return HEADERS | {"Content-Security-Policy": policy}


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _sdk_file(page: PageConfig) -> bytes | None:
    """The SDK, if it is a file of ours to serve. Raises InvalidArgument."""
    if page.agora_sdk is None:
        return None
    if _is_url(page.agora_sdk):
        parts = urlsplit(page.agora_sdk)
        if not parts.netloc or set(page.agora_sdk) & set(" ;,'\""):
            raise InvalidArgument(f"agora_sdk is no URL of a script: {page.agora_sdk!r:.200}")
        return None
    try:
        return Path(page.agora_sdk).read_bytes()
    except OSError as exc:
        raise InvalidArgument(f"agora_sdk {page.agora_sdk!r:.200} cannot be read: {exc.strerror or exc}") from exc


def room_routes(
    desk_of: Callable[[str], Desk],
    page: PageConfig,
    *,
    gate: Gate,
    face: Callable[[str], Avatar] = Avatar.load,
) -> list[ControllerRouterHandler]:
    """The handlers: for `viewer.create_viewer`, or for any Litestar application with `http.on_exception`.

    Args:
        desk_of: the rooms and agents of an owner, by its name.
        gate: lets in who may.
        face: the avatar of a name in `page.avatars`.

    Raises:
        InvalidArgument: `page.agora_sdk` is no file that can be read, and no URL.
    """
    sdk = _sdk_file(page)

    @get("/api/config", sync_to_thread=False)
    def config(request: AnyRequest) -> dict[str, Any]:
        caller = gate.caller(request)
        access = caller.access
        room = access.id if access is not None and access.subject == "room" else ""
        may = caller.may("agents", "room", room or page.channel)
        agora = None
        if page.app_id and page.agora_sdk:
            # Relative to the page, so that the app can be mounted under any path.
            script = page.agora_sdk if sdk is None else SDK_PATH.removeprefix("/")
            agora = {"app_id": page.app_id, "sdk": script, "token_path": page.token_path}
        return {
            "channel": room or page.channel,
            "brains": page.brains,
            "voices": page.voices,
            "face_voices": page.face_voices,
            "avatars": page.avatars,
            "agora": agora,
            "agents": may and desk_of(caller.owner.name).start_agent is not None,
            "room": room,
            "user": caller.name,
            "joins": caller.may("join", "room", room or page.channel),
            "watch": page.watch_path,
        }

    @get("/api/rooms", responses=refusals(401, 403, 429, codes=PAGED), sync_to_thread=False)
    def list_rooms(request: AnyRequest) -> Response[dict[str, Any]]:
        rooms = desk_of(gate.owner(request, "list").owner.name).rooms
        listed = rooms.list()
        body = {"rooms": [{"name": name, "members": members} for name, members in listed.items()]}
        return Response(body, headers=order_headers(request, map(rooms.since, listed)))

    @post(
        "/api/rooms",
        status_code=201,
        operation_class=operation(NewRoom),
        responses=refusals(400, 401, 403, 404, 409, 429, 503, codes=PAGED),
    )
    async def create_room(request: AnyRequest) -> dict[str, str]:
        rooms = desk_of(gate.owner(request, "create").owner.name).rooms
        gate.count_join()
        body = await read_object(request)
        name = None if body.get("name") is None else read_text(body, "name", 200)
        try:
            leave_some(rooms, name)
            return {"name": rooms.create(name)}
        except LipwireError as exc:
            raise as_provider_error(exc) from exc

    @post(
        "/api/rooms/{name:str}/offer",
        status_code=200,
        deprecated=True,
        operation_class=operation(RoomOffer, sdp=True),
        responses=refusals(400, 401, 403, 404, 409, 429, 503, codes=PAGED) | ANSWERED,
    )
    async def offer(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
        caller = gate.room(request, name, "watch")
        gate.count_join()
        body = await read_offer(request)
        role = body.get("role", "speaker")
        if role not in ("speaker", "viewer"):
            raise ProviderError("VALIDATION_ERROR", f"role must be speaker or viewer, got {role!r:.60}")
        joins = caller.may("join", "room", name.strip())
        if role == "speaker" and not joins:
            raise not_allowed(caller)
        user, sdp = user_of(caller, body), read_text(body, "sdp", MAX_SDP)
        rooms = desk_of(caller.owner.name).rooms
        try:
            leave_some(rooms, name)
            kind = read_text(body, "type", 16, "offer")
            sdp, kind = await rooms.answer(name, user, sdp, kind, role=role, writes=joins)
        except LipwireError as exc:
            raise as_provider_error(exc) from exc
        return give_answer(request, sdp, kind)

    @post(
        "/api/rooms/{name:str}/leave",
        status_code=200,
        deprecated=True,
        operation_class=operation(Leave),
        responses=refusals(400, 401, 403, 404, 429, codes=PAGED),
    )
    async def leave(request: AnyRequest, name: FromPath[str]) -> dict[str, bool]:
        caller = gate.room(request, name, "watch")
        user = user_of(caller, await read_object(request))
        return {"left": desk_of(caller.owner.name).rooms.leave(name, user)}

    agent_errors = refusals(400, 401, 403, 404, 409, 422, 429, 502, 503, 504, codes=PAGED)

    @post("/api/agents", status_code=200, operation_class=operation(AgentRequest), responses=agent_errors)
    async def start(request: AnyRequest) -> Any:
        caller = gate.caller(request)
        body = await read_object(request)
        try:
            wanted = parse_agent_request(body)
            desk = desk_of(gate.room(request, wanted.channel, "agents", caller).owner.name)
            if desk.start_agent is None:
                raise ProviderError("NO_CAPACITY", "This server runs no agents")
            return await desk.start_agent(wanted)
        except LipwireError as exc:
            return agent_refused(exc if caller.access is None else withheld(exc))

    @post("/api/agents/stop", status_code=200, operation_class=operation(StopAgentRequest), responses=agent_errors)
    async def stop(request: AnyRequest) -> Any:
        caller = gate.caller(request)
        channel = read_text(await read_object(request), "channel", 64).strip()
        desk = desk_of(gate.room(request, channel, "agents", caller).owner.name)
        if desk.stop_agent is None:
            raise ProviderError("NO_CAPACITY", "This server runs no agents")
        try:
            return {"stopped": await desk.stop_agent(channel)}
        except LipwireError as exc:
            return agent_refused(exc)

    @get(SDK_PATH, include_in_schema=False, sync_to_thread=False)
    def agora_sdk() -> Response[bytes]:
        return Response(sdk or b"", media_type="text/javascript", headers=HEADERS)

    files = sorted(file.name for file in WEB.glob("agent*") if file.suffix in (".css", ".js"))
    headers = page_policy(page)
    return [
        *(config, list_rooms, create_room, offer, leave, start, stop),
        face_route(page.avatars, face, gate),
        *avatar_routes(page.avatars, face, gate),
        *([agora_sdk] if sdk is not None else []),
        *(static(path, "agent.html", headers) for path in ("/agent", "/agent.html")),
        *(static(f"/{name}", name) for name in files),
    ]


def room_endpoints(desk_of: Callable[[str], Desk], *, gate: Gate) -> list[Endpoint]:
    """The doors of rooms, for `webrtc_http_routes`."""

    def admit_as(role: Role, direction: Direction) -> Admit:
        async def admit(caller: Caller, name: str, sdp: str, request: AnyRequest) -> Admitted:
            user = user_of(caller, {"user": request.query_params.get("user") or caller.name or str(made_up_user())})
            rooms = desk_of(caller.owner.name).rooms
            leave_some(rooms, name)
            joins = caller.may("join", "room", name.strip())
            black = asked_black(request, watches=role == "viewer")
            answer, peer = await rooms.admit(name, user, sdp, role=role, writes=joins, direction=direction, black=black)

            def end(peer: Peer) -> None:
                if not rooms.leave(name, user, peer):
                    peer.drop()

            return Admitted(answer, peer, end)

        return admit

    return [
        Endpoint(
            path="rooms/{name:str}",
            protocol=protocol,
            about=about,
            check=partial(gate.room, action=action),
            admit=admit_as(role, direction),
        )
        for protocol, about, action, role, direction in ENDPOINTS
    ]


def create_rooms(
    rooms: Rooms,
    page: PageConfig,
    *,
    start_agent: StartAgent | None = None,
    stop_agent: StopAgent | None = None,
    gate: Gate = OPEN,
    allowlist: Allowlist | None = None,
    face: Callable[[str], Avatar] = Avatar.load,
    ice_servers: IceServers | None = None,
) -> Litestar:
    """An ASGI app of the rooms and their page alone, to run or to mount. Where no `gate` is given whoever reaches it
    may join and start agents: mount it where only those do who may."""
    desk = Desk(rooms, start_agent, stop_agent)
    routes = room_routes(lambda _: desk, page, gate=gate, face=face)
    routes += webrtc_http_routes(room_endpoints(lambda _: desk, gate=gate), gate=gate, ice_servers=ice_servers)
    app = Litestar(
        route_handlers=[
            *(*routes, *client_modules(), static("/", "agent.html", page_policy(page))),
            *(static(f"/{f}", f) for f in SHARED),
        ],
        exception_handlers={Exception: on_exception},
        openapi_config=describe_api("Lipwire rooms", "What the agent page calls.", security=SCHEMES),
        logging_config=None,
        request_max_body_size=MAX_BODY,
    )
    app.asgi_handler = Guard(app.asgi_handler, allowlist)
    return app
