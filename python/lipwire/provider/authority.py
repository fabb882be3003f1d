"""Who is asking: API keys and signed tokens, and how often an owner may ask.

HTTP, WebSocket and the pages ask here and nowhere else. What a token allows is `protocol.access.MAY`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

from ..errors import LipwireError
from ..protocol.access import Access, Role, Subject
from ..protocol.tokens import TokenError, issue_access, verify_access
from .keys import KeyRing, Owner, is_made
from .quotas import Guesses, RateLimit

ASKING_FROM: ContextVar[str] = ContextVar("asking_from", default="")
"""The address that the request at hand came from; "" = nobody knows, so that no address is counted."""


class Refused(LipwireError, PermissionError):
    """Nobody that we know is asking, or too often. `code` is protocol.md A's word."""

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class Authority:
    """The keys and the secret of one server.

    Args:
        keys: the API keys.
        secret: signs tokens; 32 bytes or more.
        clock: seconds, monotonic: rates, and waiting after wrong guesses.
        wall_clock: Unix seconds: tokens' times.
    """

    def __init__(
        self,
        keys: KeyRing,
        secret: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self.clock, self.wall_clock = clock, wall_clock
        self.guesses, self.token_guesses = Guesses(), Guesses()
        """Of keys and of tokens, each for itself: who sends wrong tokens keeps nobody from using a key."""
        self.requests = RateLimit()
        self._secret = secret

    def owner_of(self, key: bytes | str | None) -> Owner:
        """Whose API key that is. It counts as a request of its owner.

        Raises:
            Refused: MISSING_API_KEY (None), INVALID_API_KEY, or RATE_LIMITED.
        """
        if key is None:
            raise Refused("MISSING_API_KEY", "API key header missing")
        raw = key.encode(errors="surrogateescape") if isinstance(key, str) else key
        owner = self.keys.find(raw)
        if owner is None:
            self._wrong(self.guesses, raw)
            raise Refused("INVALID_API_KEY", "Invalid API key")
        if not is_made(raw):  # somebody chose it, so it might be guessed
            self._wait(self.guesses, raw)
            self.guesses.good(ASKING_FROM.get(), raw)
        self._count(owner)
        return owner

    def _wait(self, guesses: Guesses, credential: bytes) -> None:
        wait = guesses.wait(ASKING_FROM.get(), credential, self.clock())
        if wait:
            raise Refused("RATE_LIMITED", "Too many wrong keys or tokens from this address", retry_after=wait)

    def _wrong(self, guesses: Guesses, credential: bytes) -> None:
        self._wait(guesses, credential)
        guesses.wrong(ASKING_FROM.get(), self.clock())

    def _count(self, owner: Owner) -> None:
        rate = owner.quota.request_rate
        if rate is None:
            return
        wait = self.requests.take(owner.name, rate, self.clock())
        if wait:
            raise Refused("RATE_LIMITED", f"More than {rate:g} requests a second with this key", retry_after=wait)

    def access(self, token: str, *, allow_expired: bool = False) -> Access:
        """What a token stands for.

        Raises:
            Refused: INVALID_TOKEN (malformed, forged, expired; or the key that made it is gone), or RATE_LIMITED.
        """
        try:
            access = verify_access(token, self._secret, now=self.wall_clock(), allow_expired=allow_expired)
        except TokenError as exc:
            if not exc.expired:
                self.wrong_token(token)
            raise Refused("INVALID_TOKEN", str(exc)) from None
        if access.owner and access.owner not in self.keys.owners:
            raise Refused("INVALID_TOKEN", "the API key that this token was made with is no longer valid")
        return access

    def wrong_token(self, token: str) -> None:
        """A token was wrong that others than we judge. Raises Refused: RATE_LIMITED."""
        self._wrong(self.token_guesses, token.encode(errors="surrogateescape"))

    def owner_named(self, name: str) -> Owner:
        """The owner of a token, or of a session; one whose keys are gone has nothing more to get."""
        return self.keys.owners.get(name) or Owner(name)

    def issue(self, subject: Subject, id: str, role: Role, *, ttl: float, owner: str = "", name: str = "") -> str:
        """A signed token, good for `ttl` seconds from now. Raises InvalidArgument for a role that does not fit."""
        access = Access(subject=subject, id=id, role=role, owner=owner, name=name)
        return issue_access(access, self._secret, now=self.wall_clock(), ttl=ttl)
