"""Who may do what on the pages' port, and the routes that make tokens.

| route | for |
|---|---|
| POST /session/{id}/token | the API key: a token to watch or to control a session; or to go on speaking through it |
| POST /rooms/{name}/token | the API key: a token for one member of a room |

What each role may do is `protocol.access.MAY`. A page sends its token as `Authorization: Bearer`; an API key
(`x-api-key`) may do everything to what is its owner's. Only a server that listens on this machine alone, and for which
nobody has set a key, asks for neither (`Gate.open`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from litestar import post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send
from msgspec import Struct

from ..channel.room.place import check_name, made_up_user
from ..errors import LipwireError
from ..protocol import messages as m
from ..protocol.access import Access, Action, Role, Subject, roles
from ..provider.authority import ASKING_FROM, Authority, Refused
from ..provider.keys import OPERATOR, Owner
from ..provider.quotas import network
from ..provider.sessions import Provider, ProviderError, refusal
from .docs import operation
from .errors import AnyRequest, as_provider_error
from .forwarded import asking_from
from .guard import refuse
from .http import header, read_object

T = TypeVar("T", bound=Struct)
PAGE_TTL = 3600.0
"""Seconds that a token for a page is good for where nobody says."""
MAX_TTL = 7 * 24 * 3600
MAX_CHANNEL_TOKEN = 2048
NEEDS_TOKEN = "Authorization: Bearer <token> expected, or x-api-key (lipwire token makes tokens, and links with them)"


# ------------------------------------------------------------------------------------------------------- who may what


class Caller(Struct, frozen=True):
    """Who is asking. Without `access` it is an API key, and everything of its owner's is open to it."""

    owner: Owner
    access: Access | None = None

    def may(self, action: Action, subject: Subject, id: str) -> bool:
        """Whether it may, as far as that does not hang on whose it is."""
        return self.access is None or self.access.may(action, subject, id)

    @property
    def name(self) -> str:
        """The one name that it has in a room; "" = free to choose."""
        return "" if self.access is None else self.access.name


class Gate:
    """Lets in who may.

    Args:
        authority: knows the keys and the tokens.
        owner_of_session: the name of the owner of a live session; None = there is no such session.
        open: asks nobody for anything: everyone is the operator.
        joins_a_minute: how often one address may join a session or a room; 0 = as often as it likes. Not where it is
        open.
    """

    def __init__(
        self,
        authority: Authority,
        owner_of_session: Callable[[str], str | None],
        *,
        open: bool = False,
        joins_a_minute: float = 0,
    ) -> None:
        self.open = open
        self._authority, self._owner_of_session = authority, owner_of_session
        self._joins_a_minute = joins_a_minute

    def caller(self, request: AnyRequest) -> Caller:
        """Who is asking, by `x-api-key` or else `Authorization: Bearer <token>`.

        Raises:
            ProviderError: MISSING_TOKEN, INVALID_TOKEN, INVALID_API_KEY or RATE_LIMITED.
        """
        if self.open:
            return Caller(Owner(OPERATOR))
        key = header(request, b"x-api-key")
        scheme, _, token = (header(request, b"authorization") or b"").partition(b" ")
        try:
            if key is not None:
                return Caller(self._authority.owner_of(key))
            if scheme.lower() != b"bearer" or not token.strip():
                raise Refused("MISSING_TOKEN", NEEDS_TOKEN)
            access = self._authority.access(token.strip().decode("latin-1"))
        except Refused as exc:
            raise refusal(exc) from None
        return Caller(self._authority.owner_named(self._owner_in(access)), access)

    def _owner_in(self, access: Access) -> str:
        if access.subject == "session":  # a session's owner is who started it, whatever a token says
            return self._owner_of_session(access.id) or access.owner
        return access.owner

    def owner(self, request: AnyRequest, action: Action) -> Caller:
        """Who asks for a list, or makes a room. Raises ProviderError."""
        caller = self.caller(request)
        if not caller.may(action, "owner", caller.owner.name):
            raise not_allowed(caller)
        return caller

    def operator(self, request: AnyRequest) -> Caller:
        """Who asks for what only the operator may see. Raises ProviderError: as `caller`; NOT_ALLOWED."""
        caller = self.owner(request, "list")
        check_operator(caller.owner)
        return caller

    def session(self, request: AnyRequest, session_id: str, action: Action) -> Caller:
        """Who wants to do this to a session.

        Raises:
            ProviderError: as `caller`; SESSION_NOT_FOUND: it is another's, or another than the token's; NOT_ALLOWED:
            the token is for something else.
        """
        caller = self.caller(request)
        access = caller.access
        another = access is not None and access.subject == "session" and access.id != session_id
        if another or not self.owns(caller, session_id):
            raise ProviderError("SESSION_NOT_FOUND", "This session has ended")
        if not caller.may(action, "session", session_id):
            raise not_allowed(caller)
        return caller

    def owns(self, caller: Caller, session_id: str) -> bool:
        """Whether a live session is the caller's owner's."""
        return self.open or self._owner_of_session(session_id) == caller.owner.name

    def room(self, request: AnyRequest, name: str, action: Action, caller: Caller | None = None) -> Caller:
        """Who wants to do this in a room of the caller's owner; `caller`, where that is known already. Raises
        ProviderError, as `session` does."""
        caller = caller or self.caller(request)
        if not caller.may(action, "room", name.strip()):
            raise not_allowed(caller)
        return caller

    def count_join(self) -> None:
        """One more join from the address of the request at hand. Raises ProviderError: RATE_LIMITED."""
        address, rate = network(ASKING_FROM.get()), self._joins_a_minute
        if self.open or not rate or address is None:
            return
        wait = self._authority.requests.take(("join", address), rate / 60, self._authority.clock(), burst=rate)
        if wait:
            text = f"More than {rate:g} joins a minute from this address"
            raise ProviderError("RATE_LIMITED", text, retry_after=wait)


class _Open(Gate):
    """For who mounts the pages where something else says who may reach them."""

    def __init__(self) -> None:
        self.open = True

    def caller(self, request: AnyRequest) -> Caller:
        return Caller(Owner(OPERATOR))

    def owns(self, caller: Caller, session_id: str) -> bool:
        return True

    def count_join(self) -> None:
        return


OPEN: Gate = _Open()
"""Lets everybody in."""


def check_operator(owner: Owner) -> None:
    """Raises ProviderError: NOT_ALLOWED, an owner of a part of the server may not see all of it."""
    if owner.name != OPERATOR:
        raise ProviderError("NOT_ALLOWED", "How the whole server does is its operator's to see")


def not_allowed(caller: Caller) -> ProviderError:
    """What a caller is told whose token is for something else."""
    access = caller.access
    what = "" if access is None else f": it is for the {access.subject} {access.id!r:.80}, as {access.role}"
    return ProviderError("NOT_ALLOWED", f"Your token does not allow this{what}")


# ------------------------------------------------------------------------------------------- from where, how often


def count_requests(authority: Authority, rate: float) -> Callable[[ASGIApp], ASGIApp]:
    """ASGI middleware, around everything, since routes that there are not count, too: notes where a request comes from
    (`ASKING_FROM`), and answers more than `rate` a second of one address with RATE_LIMITED; 0 = it counts none. A
    browser's own preflight is not counted."""

    def around(app: ASGIApp) -> ASGIApp:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            client = scope.get("client")
            forwarded = [v.decode("latin-1") for name, v in scope["headers"] if name == b"x-forwarded-for"]
            ASKING_FROM.set(asking_from(client[0] if client else "", forwarded))
            address = network(ASKING_FROM.get())
            if rate and address is not None and not _is_preflight(scope):
                wait = authority.requests.take(("address", address), rate, authority.clock())
                if wait:
                    text = f"More than {rate:g} requests a second from this address"
                    await refuse(scope, ProviderError("RATE_LIMITED", text, retry_after=wait), send)
                    return
            await app(scope, receive, send)

        return counted

    return around


def _is_preflight(scope: Scope) -> bool:
    """Whether a browser asks whether it may ask (Fetch, section 4.8)."""
    names = {name for name, _ in scope["headers"]}
    return scope.get("method") == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


# ------------------------------------------------------------------------------------------------------- making tokens


class TokenReply(Struct, omit_defaults=True):
    """A new token."""

    token: str
    role: Role
    expires_at: int
    """Unix seconds."""
    name: str = ""
    """Of the member."""
    link: str = ""
    """The page with the token in its fragment, which no browser sends to a server."""


class SessionTokenRequest(Struct, kw_only=True):
    """Body of POST /session/{id}/token."""

    role: str = "speak"
    """speak (the session token anew), watch or control."""
    ttl: float | None = None
    """Seconds, 1..604800. Default: a session token's own lifetime; for the pages an hour."""
    token: str | None = None
    """A new token for the session's Agora channel."""


class RoomTokenRequest(Struct, kw_only=True):
    """Body of POST /rooms/{name}/token."""

    role: str = "member"
    """member (is heard), host (a member who starts and stops the agent) or watch (hears and sees)."""
    name: str | None = None
    """The name that the bearer has in the room, and nobody else can take. Default: a new number."""
    ttl: float | None = None
    """Seconds, 1..604800. Default: an hour."""


_KEY: list[dict[str, list[str]]] = [{"ApiKey": []}]
_CODES = {
    400: "VALIDATION_ERROR, INVALID_JSON",
    401: "INVALID_API_KEY",
    403: "MISSING_API_KEY",
    404: "SESSION_NOT_FOUND",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    503: "NO_CAPACITY",
}
_ERRORS = {
    status: ResponseSpec(m.ErrorReply, description=codes, generate_examples=False) for status, codes in _CODES.items()
}
PageUrl = Callable[[], str]
"""Where browsers reach the pages, with a "/" at its end; "" = nowhere."""


def minting_routes(provider: Provider, page_url: PageUrl) -> list[ControllerRouterHandler]:
    """The routes that make tokens, for the HTTP side. Only API keys make them: no token makes another."""

    @post(
        "/session/{session_id:str}/token",
        status_code=200,
        operation_class=operation(SessionTokenRequest),
        responses=_ERRORS,
        security=_KEY,
    )
    async def session_token(request: AnyRequest, session_id: FromPath[str]) -> TokenReply:
        """A token for a session: the session token anew, or one to watch or control it on the viewer page."""
        owner = provider.check_api_key(header(request, b"x-api-key"))
        session = provider.get(session_id, owner)
        body = await read_object(request, optional=True)
        if body.get("name") is not None:
            raise ProviderError("VALIDATION_ERROR", "name is for a room: nobody has a name in a session")
        asked = _read(SessionTokenRequest, body)
        role = _role("session", asked.role)
        ttl = _ttl(asked.ttl, provider.config.token_ttl if role == "speak" else PAGE_TTL)
        if asked.token is not None:
            _renew(session.live, asked.token)
        if role == "speak":
            return _reply(provider, provider.session_token(session, ttl))
        token = provider.authority.issue("session", session.id, role, ttl=ttl, owner=owner.name)
        return _reply(provider, token, page_url(), f"?session={quote(session.id)}")

    @post(
        "/rooms/{name:str}/token",
        status_code=200,
        operation_class=operation(RoomTokenRequest),
        responses={status: spec for status, spec in _ERRORS.items() if status != 404},
        security=_KEY,
    )
    async def room_token(request: AnyRequest, name: FromPath[str]) -> TokenReply:
        """A token for one member of a room, whom nobody else can be."""
        owner = provider.check_api_key(header(request, b"x-api-key"))
        asked = _read(RoomTokenRequest, await read_object(request, optional=True))
        role, ttl = _role("room", asked.role), _ttl(asked.ttl, PAGE_TTL)
        try:
            room = check_name("room", name)
            member = str(made_up_user()) if asked.name is None else check_name("name", asked.name)
        except LipwireError as exc:
            raise as_provider_error(exc) from exc
        token = provider.authority.issue("room", room, role, ttl=ttl, owner=owner.name, name=member)
        return _reply(provider, token, page_url(), f"agent?channel={quote(room, safe='')}")

    return [session_token, room_token]


def admin_token(provider: Provider, ttl: float = PAGE_TTL, owner: str = OPERATOR) -> str:
    """A token for everything of an owner's on the pages, for `ttl` seconds."""
    return provider.authority.issue("owner", owner, "admin", ttl=ttl, owner=owner)


def link(page_url: str, page: str, token: str) -> str:
    """A page with a token for it. It stands in the fragment, so that it reaches no server's log and no Referer."""
    return f"{page_url}{page}#token={token}"


def _reply(provider: Provider, token: str, page_url: str = "", page: str = "") -> TokenReply:
    access = provider.authority.access(token)
    where = link(page_url, page, token) if page_url else ""
    return TokenReply(token, access.role, access.expires, access.name, where)


def _read(kind: type[T], body: dict[str, Any]) -> T:
    # These bodies are ours alone: a field that is not known is a slip ("expires"), and what it asks would not be.
    for name in body:
        if name not in kind.__struct_fields__:
            known = ", ".join(kind.__struct_fields__)
            raise ProviderError("VALIDATION_ERROR", f"there is no field {name!a:.60}; there are: {known}")
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as exc:
        raise ProviderError("VALIDATION_ERROR", str(exc)) from None


def _role(subject: Subject, asked: str) -> Role:
    for role in roles(subject):
        if role == asked:
            return role
    raise ProviderError("VALIDATION_ERROR", f"role must be {' or '.join(roles(subject))}, got {asked!r:.60}")


def _ttl(asked: float | None, default: float) -> float:
    if asked is not None and not 1 <= asked <= MAX_TTL:
        raise ProviderError("VALIDATION_ERROR", f"ttl must be 1..{MAX_TTL} seconds, got {asked:g}")
    return default if asked is None else asked


def _renew(live: Any, token: str) -> None:
    if not 1 <= len(token) <= MAX_CHANNEL_TOKEN:
        raise ProviderError("VALIDATION_ERROR", f"token must have 1..{MAX_CHANNEL_TOKEN} characters")
    try:
        live.renew(token)
    except LipwireError as exc:
        raise as_provider_error(exc) from exc
