"""Who may touch which agents over REST (protocol.md C): the `Authorization` header of a request.

| header | opens |
|---|---|
| `Basic` of any name and an API key | the agents of the key's owner |
| `agora token=<007>`, by which one may join and publish in a channel | the operator's agents in that channel |
| the same, for channel "stop" and account "0" | also the leave of any of the operator's agents |

The third is what the official SDKs send to stop an agent of which they know nothing but the id. No channel of theirs is
meant by it: who has made such a token holds the certificate, which could make one for every channel. It opens nothing
else, and nobody is given one by `/token` or by a page: theirs are for user ids from 1 on, which account "0" is not.
Whoever hands out tokens for channels that clients name must not give them accounts that they name, too.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable

from msgspec import Struct

from ..agents.errors import AgentForbidden, AgentUnauthorized
from ..protocol.tokens import CONVO_AI, JOIN, PUBLISH_AUDIO, RTC, AccessToken, TokenError, verify_token
from ..provider.keys import OPERATOR
from ..provider.sessions import ProviderError
from .errors import AnyRequest
from .http import CheckKey, owner_name

STOP = ("stop", "0")
"""Channel and account of the token with which an SDK stops any agent of its project."""


class Project(Struct, kw_only=True, frozen=True):
    """The Agora project that agents belong to, if any."""

    app_id: str = ""
    """What {appid} must be; "" = anything will do."""
    certificate: str = ""
    """Its app certificate; "" = no token is made or accepted."""


class Gate:
    """`Authorization` of C.

    Args:
        check_key: judges the API key.
        wrong_token: hears of each token that is none, and raises ProviderError for one too many.
    """

    def __init__(self, check_key: CheckKey, project: Project, wrong_token: Callable[[str], object]) -> None:
        self._check_key, self._project, self._wrong_token = check_key, project, wrong_token

    def check(self, request: AnyRequest, app_id: str, *, leaving: bool = False) -> tuple[str, str | None]:
        """Whose agents the caller may touch, and the one channel in which; None = in all of them.

        Args:
            leaving: it is asked that an agent leaves.

        Raises:
            AgentUnauthorized: no credentials, or wrong ones. AgentForbidden: they do not open this. ProviderError:
            wrong ones too often.
        """
        if self._project.app_id and app_id != self._project.app_id:
            raise AgentForbidden("this server belongs to another app id")
        scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() == "basic":
            try:
                _, colon, key = base64.b64decode(rest.strip(), validate=True).partition(b":")
            except (binascii.Error, ValueError):
                raise AgentUnauthorized(
                    "the Authorization header is no Basic one: base64 of <name>:<api key>"
                ) from None
            return self._check(key if colon else None), None
        name, _, token = rest.strip().partition("=")
        if scheme.lower() == "agora" and name.strip().lower() == "token":
            return OPERATOR, self._scope(_unquoted(token.strip()), leaving)  # whose certificate signed it
        hint = " or agora token=<007 token>" if self._project.certificate else ""
        raise AgentUnauthorized(f"the Authorization header must be Basic <base64 of any name:api key>{hint}")

    def _check(self, key: bytes | None) -> str:
        try:
            return owner_name(self._check_key(key))
        except ProviderError as exc:
            if exc.status == 429:
                raise
            raise AgentUnauthorized(str(exc)) from None

    def _scope(self, token: str, leaving: bool) -> str | None:
        now = time.time()
        parsed = self._verified(token, now)
        service = parsed.service(RTC)
        rights = {} if service is None else service.privileges
        for right in (JOIN, PUBLISH_AUDIO):  # what the agent does under it; a mere listener's does not steer
            if right not in rights or (rights[right] and now >= parsed.issue_ts + rights[right]):
                alone = ", whose service ConvoAI alone opens none" if parsed.service(CONVO_AI) and not rights else ""
                raise AgentForbidden(f"the token gives no right to join and publish in a channel{alone}")
        assert service is not None
        return None if leaving and service.strings == STOP else service.strings[0]

    def _verified(self, token: str, now: float) -> AccessToken:
        if not self._project.certificate:
            raise AgentUnauthorized("tokens need an app certificate here (LIPWIRE_AGORA_APP_CERTIFICATE)")
        try:
            return verify_token(token, self._project.certificate, now=now, app_id=self._project.app_id or None)
        except TokenError as exc:
            if not exc.expired:
                self._wrong_token(token)
            raise AgentUnauthorized(str(exc)) from None


def _unquoted(token: str) -> str:
    """The documentation of the service writes token="007...", its SDKs token=007..."""
    return token[1:-1] if len(token) >= 2 and token[0] == token[-1] == '"' else token
