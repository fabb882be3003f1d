"""Who asks, and how often: keys and tokens are looked at here once, for all workers.

What is wrong with them the worker says, in its own words; here it is only counted, so that who guesses is slowed as if
there were one process.
"""

from __future__ import annotations

from typing import Any

from litestar import Request
from msgspec import Struct

from ...errors import LipwireError
from ...protocol.access import Access
from ...provider.authority import Authority, Refused
from ...provider.keys import Owner
from ...provider.sessions import ProviderError, refusal
from ...servers.access import Gate, check_operator
from ...servers.agent_gate import Gate as AgentGate
from ...servers.agent_gate import Project
from ...servers.errors import AnyRequest
from ...servers.motion import with_token
from .routes import Found


class Who(Struct, frozen=True):
    """Who asks, as far as that is known."""

    owner: str | None = None
    """The name of the owner; None = the worker is to say what is wrong."""
    access: Access | None = None
    """What a token stands for that was shown in place of a key."""
    scope: str | None = None
    """The one channel in which agents may be touched; None = in all."""

    @property
    def session(self) -> str | None:
        """The session that a token is for."""
        return self.access.id if self.access is not None and self.access.subject == "session" else None


NOBODY = Who()


class Reception:
    """Looks at what requests show.

    Args:
        authority: knows the keys, and counts. project: of Agora's, whose tokens open agents.
        open: the pages ask nobody for anything. joins_a_minute: as of `servers.access.Gate`.
    """

    def __init__(self, authority: Authority, project: Project, *, open: bool, joins_a_minute: float) -> None:
        self.authority = authority
        self.pages = Gate(authority, lambda session_id: None, open=open, joins_a_minute=joins_a_minute)
        self._agents = AgentGate(self._check_key, project, self._wrong_token)

    def _check_key(self, key: bytes | None) -> Owner:
        try:
            return self.authority.owner_of(key)
        except Refused as exc:
            raise refusal(exc) from None

    def _wrong_token(self, token: str) -> None:
        try:
            self.authority.wrong_token(token)
        except Refused as exc:
            raise refusal(exc) from None

    def who(self, scope: Any, found: Found) -> Who:
        """Who sends a request. Raises ProviderError: RATE_LIMITED, and nothing else."""
        request: AnyRequest = Request(scope)
        try:
            return self._look(request, found)
        except ProviderError as exc:
            if exc.code == "RATE_LIMITED":
                raise
        except LipwireError:
            pass
        return NOBODY

    def _look(self, request: AnyRequest, found: Found) -> Who:
        match found.asks:
            case "nobody":
                return NOBODY
            case "control":
                owner, channel = self._agents.check(request, found.values["appid"])
                return Who(owner, scope=channel)
            case "key" | "process":
                return Who(self._check_key(_header(request, b"x-api-key")).name)
        if found.asks == "page":
            caller = self.pages.caller(with_token(request))
            return Who(caller.owner.name if caller.owner.name else None, caller.access)
        key = _header(request, b"x-api-key")
        scheme, _, token = (_header(request, b"authorization") or b"").partition(b" ")
        if key is not None or scheme.lower() != b"bearer":
            return Who(self._check_key(key).name)
        try:
            return Who(None, self.authority.access(token.strip().decode("latin-1")))
        except Refused as exc:
            raise refusal(exc) from None

    def count_join(self, who: Who) -> None:
        """One more join, where it may be one. Raises ProviderError: RATE_LIMITED."""
        if who.owner is not None or who.session is not None:
            self.pages.count_join()

    def check_operator(self, scope: Any, *, pages: bool) -> None:
        """Raises ProviderError: it is not the operator who asks; `pages`: on the pages' port, with whatever opens
        them."""
        request: AnyRequest = Request(scope)
        if pages:
            self.pages.operator(request)
        else:
            check_operator(self._check_key(_header(request, b"x-api-key")))


def _header(request: AnyRequest, name: bytes) -> bytes | None:
    return next((value for key, value in request.scope["headers"] if key == name), None)
