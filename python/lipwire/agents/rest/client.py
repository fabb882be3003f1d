"""A client of the Conversational AI REST API (protocol.md C): Agora's service, or Lipwire's own."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct, field

from ...answers import IDENTITY, beginning, read_all
from ...errors import BadData, InvalidArgument
from ...protocol.agent_actions import MAX_TURNS, OnBusy, OnListening
from ..config import AgentConfig
from ..errors import (
    AgentConflict,
    AgentError,
    AgentNotFound,
    AgentUnreachable,
    GatewayFault,
    InvalidAgentRequest,
)
from ..http import retry_after
from .actions import parse_think
from .wire import Version, error_of, parse_speak
from .writing import GenericAvatar, join_body, merge

__all__ = ["AgentInfo", "AgentPage", "AgoraAgents", "GenericAvatar"]

logger = logging.getLogger("lipwire.agents")

AGORA = "https://api.agora.io"
BASE = "/api/conversational-ai-agent"
MAX_WAIT = 30.0
"""Seconds between two attempts, at most. A service that asks for more is not tried again."""
MOST_ANSWERED = 16 << 20
"""Bytes of an answer: a page of turns, or a long history."""
REFUSED = frozenset({429, 503})
"""Answers that say that nothing was done."""
UNSURE = frozenset({502, 504})
"""Answers that leave open whether it was."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class AgentInfo(Struct, kw_only=True):
    """An agent, as the service tells of it."""

    agent_id: str
    status: str = ""
    """IDLE, STARTING, RUNNING, STOPPING, STOPPED, RECOVERING or FAILED; v1's `state`."""
    create_ts: int = 0
    """Unix seconds."""
    stop_ts: int = 0
    name: str = ""
    channel: str = ""
    message: str = ""
    """Why it ended."""
    raw: dict[str, Any] = field(default_factory=dict)
    """All of the answer."""


class AgentPage(Struct):
    """One page of a list. `cursor`: for the next one, "" = there is none. `total`: on all pages."""

    agents: list[AgentInfo]
    cursor: str
    total: int


class AgoraAgents:
    """Starts, steers and stops agents. Use as an async context manager, or `close` it.

    What fails is raised as an `AgentError` (`agents.errors`) with `status`, `detail` and `reason`; by its class
    it also is a ValueError (400), PermissionError (401, 403), LookupError (404), TimeoutError (504) or ConnectionError.
    Tried again, up to `attempts` times with growing pauses, or as `Retry-After` says: where the service refused before
    it did anything (429, 503, no connection); and, for calls that may be repeated without harm (all but join, speak,
    think and interrupt), 502, 504 and broken connections, too.

    Args:
        app_id: of the Agora project; for a Lipwire server without one, anything.
        customer_id, customer_secret: of Agora's RESTful API. At a Lipwire server: any name, and its API key.
        token: a 007 token in their stead.
        base_url: of the service; with /cn at its end for that region.
        version: of the API. v1 has no speak, think, interrupt, history and turns.
        timeout: seconds for one attempt.
        backoff: seconds of the first pause; each next one is twice as long.
        trust_env: whether HTTP_PROXY and the like count.
        tls: what is trusted behind https, `servers.tls.trust(file)` say; by default the usual roots.
    """

    def __init__(
        self,
        app_id: str,
        customer_id: str = "",
        customer_secret: str = "",
        *,
        token: str = "",
        base_url: str = AGORA,
        version: Version = "v2",
        timeout: float = 30.0,
        attempts: int = 4,
        backoff: float = 0.5,
        trust_env: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not app_id:
            raise InvalidArgument("app_id must not be empty")
        if not (token or customer_secret):
            raise InvalidArgument("credentials are needed: customer_id and customer_secret, or a token")
        if version not in ("v1", "v2"):
            raise InvalidArgument(f"version must be v1 or v2, got {version!r}")
        if attempts < 1:
            raise InvalidArgument(f"attempts must be 1 or more, got {attempts}")
        basic = base64.b64encode(f"{customer_id}:{customer_secret}".encode()).decode()
        self.version: Version = version
        self.attempts, self.backoff = attempts, backoff
        self._base = f"{base_url.rstrip('/')}{BASE}/{version}/projects/{quote(app_id, safe='')}"
        self._http = httpx.AsyncClient(
            headers={**IDENTITY, "authorization": f"agora token={token}" if token else f"Basic {basic}"},
            timeout=timeout,
            trust_env=trust_env,
            verify=True if tls is None else tls,
        )

    # ----------------------------------------------------------------------------------------------------------- calls

    async def join(
        self,
        agent: AgentConfig | Mapping[str, Any],
        *,
        properties: Mapping[str, Any] | None = None,
        avatar: GenericAvatar | None = None,
    ) -> AgentInfo:
        """Starts an agent.

        Args:
            agent: what it is; or a body `{name, properties}` as it is to be sent.
            properties: merged over the agent's, object by object: what a vendor wants (`{"tts": {"vendor": ...}}`).
            avatar: gives it our face: the service opens a session at `avatar.api_base_url`.

        Raises:
            AgentError: AgentConflict where the name is in use. AgentUnreachable, GatewayFault and AgentTimeout leave
            open whether the agent has started: `list` tells.
        """
        body = join_body(agent, self.version) if isinstance(agent, AgentConfig) else dict(agent)
        more = dict(properties or {})
        if avatar is not None:
            more["avatar"] = merge(more.get("avatar", {}), avatar.properties())
            body = merge(body, {"properties": {"avatar": None}})
        if more:
            body = merge(body, {"properties": more})
        return _info(await self._call("POST", "/join", body, repeatable=False))

    async def leave(self, agent_id: str) -> None:
        """Ends an agent. Raises AgentNotFound for one that had ended before."""
        await self._call("POST", self._path(agent_id, "leave"), repeatable=True, gone_is_done=True)

    async def update(self, agent_id: str, properties: Mapping[str, Any]) -> AgentInfo:
        """Changes a running agent: `properties` by the wire's names, those of `rest.wire.UPDATABLE` only."""
        body = {"properties": dict(properties)}
        return _info(await self._call("POST", self._path(agent_id, "update"), body, repeatable=True))

    async def get(self, agent_id: str) -> AgentInfo:
        """The state of an agent."""
        return _info(await self._call("GET", self._path(agent_id), repeatable=True))

    async def list(
        self,
        *,
        channel: str | None = None,
        state: str | int | None = None,
        from_time: float | None = None,
        to_time: float | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AgentPage:
        """Agents that match; None = as the service has it (Agora: running ones of the last two hours)."""
        given = {"channel": channel, "state": state, "from_time": from_time, "to_time": to_time, "limit": limit}
        query = {name: value for name, value in (given | {"cursor": cursor or None}).items() if value is not None}
        body = await self._call("GET", "/agents", query=query, repeatable=True)
        data, meta = body.get("data") or {}, body.get("meta") or {}
        agents = [_info(one) for one in data.get("list") or ()]
        return AgentPage(agents, str(meta.get("cursor") or ""), int(meta.get("total") or len(agents)))

    async def speak(
        self,
        agent_id: str,
        text: str,
        *,
        priority: Literal["INTERRUPT", "APPEND", "IGNORE"] = "INTERRUPT",
        interruptable: bool = True,
    ) -> None:
        """Makes the agent say a text of at most 512 bytes, word for word."""
        body = {"text": text, "priority": priority, "interruptable": interruptable}
        parse_speak(body)
        await self._call("POST", self._path(agent_id, "speak", since="v2"), body, repeatable=False)

    async def think(
        self,
        agent_id: str,
        text: str,
        *,
        listening: OnListening = "interrupt",
        thinking: OnBusy = "interrupt",
        speaking: OnBusy = "ignore",
        interruptable: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Puts a text in as if the user had said it. `listening`, `thinking`, `speaking`: what is done with it while
        the agent does that."""
        body: dict[str, Any] = {"text": text, "interruptable": interruptable}
        body |= {"on_listening_action": listening, "on_thinking_action": thinking, "on_speaking_action": speaking}
        body |= {"metadata": dict(metadata)} if metadata else {}
        parse_think(body)
        await self._call("POST", self._path(agent_id, "think", since="v2"), body, repeatable=False)

    async def interrupt(self, agent_id: str) -> None:
        """Makes the agent stop speaking."""
        await self._call("POST", self._path(agent_id, "interrupt", since="v2"), repeatable=False)

    async def history(self, agent_id: str) -> Any:
        """What was said: [{role, content, ...}]."""
        return (await self._call("GET", self._path(agent_id, "history", since="v2"), repeatable=True)).get("contents")

    async def turns(self, agent_id: str) -> Any:
        """The turns: how each began and ended, and where its time went; of all pages, the oldest first."""
        path, page = self._path(agent_id, "turns", since="v2"), 1
        found: Any = []
        while True:
            body = await self._call("GET", path, query={"page_index": page, "page_size": MAX_TURNS}, repeatable=True)
            found += body.get("turns") or []
            where = body.get("pagination") or {}
            if where.get("is_last_page", True) or int(where.get("page_index") or 0) != page:
                return found  # the last, or of a service that does not count on
            page += 1

    async def close(self) -> None:
        """Closes the connections; the agents stay."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------------------------ wire

    def _path(self, agent_id: str, what: str = "", since: str = "v1") -> str:
        if since > self.version:
            raise InvalidAgentRequest(f"{self.version} of the API has no {what}; v2 has")
        return f"/agents/{quote(agent_id, safe='')}" + (f"/{what}" if what else "")

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        repeatable: bool,
        gone_is_done: bool = False,
    ) -> dict[str, Any]:
        """One call with its repetitions; the answer's object. With `gone_is_done` a 404 is none where an attempt before
        it may have done the work."""
        attempt, maybe_done = 1, False
        while True:
            try:
                return await self._try(method, path, body, query)
            except AgentNotFound:
                if gone_is_done and maybe_done:
                    return {}
                raise
            except AgentError as exc:
                refused = exc.status in REFUSED or isinstance(exc.__cause__, _NOT_SENT)
                unsure = not refused and (exc.status == 0 or exc.status in UNSURE)
                again = refused or (unsure and repeatable)
                if not again or attempt >= self.attempts or (exc.retry_after or 0.0) > MAX_WAIT:
                    raise
                maybe_done |= unsure
                await self._pause(attempt, exc)
                attempt += 1

    async def _pause(self, attempt: int, exc: AgentError) -> None:
        pause = min(MAX_WAIT, self.backoff * 2 ** (attempt - 1)) * (0.5 + random.random() / 2)
        if exc.retry_after is not None:
            pause = exc.retry_after
        logger.info("%s; trying again in %.1f s", exc, pause)
        await asyncio.sleep(pause)

    async def _try(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        url = self._base + path
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            async with self._http.stream(method, url, content=content, headers=headers, params=query) as reply:
                said = await (read_all if reply.is_success else beginning)(reply, MOST_ANSWERED)
        except httpx.HTTPError as exc:
            raise AgentUnreachable(f"{method} {url} failed: {exc or type(exc).__name__}") from exc
        except BadData as exc:
            raise GatewayFault(f"{method} {url}: {exc}") from exc
        try:
            answer = msgspec.json.decode(said) if said.strip() else {}
        except (msgspec.DecodeError, UnicodeError):
            answer = None
        if reply.is_success and isinstance(answer, dict):
            return answer
        text = said[:1200].decode("utf-8", "replace")[:300]
        if reply.is_success:
            raise GatewayFault(f"{method} {url} answered no JSON object: {text[:200]!r}")
        raise _refusal(method, url, reply, answer, text)


def _refusal(method: str, url: str, reply: httpx.Response, answer: Any, text: str) -> AgentError:
    answer = answer if isinstance(answer, dict) else {}
    detail = answer.get("detail") or answer.get("message") or text or reply.reason_phrase
    reason = answer.get("reason")
    error = error_of(reply.status_code, str(detail), reason if isinstance(reason, str) else None)
    error.add_note(f"{method} {url} answered {reply.status_code}")
    error.retry_after = retry_after(reply.headers, time.time())
    if isinstance(error, AgentConflict):
        error.agent_id = str(answer.get("agent_id") or "")
    return error


def _info(body: Mapping[str, Any]) -> AgentInfo:
    """From v1's or v2's answer; what is not there stays empty."""

    def number(*names: str) -> int:
        return next((int(body[name]) for name in names if isinstance(body.get(name), int | float)), 0)

    return AgentInfo(
        agent_id=str(body.get("agent_id") or ""),
        status=str(body.get("status") or body.get("state") or ""),
        create_ts=number("create_ts", "start_ts"),
        stop_ts=number("stop_ts"),
        name=str(body.get("name") or ""),
        channel=str(body.get("channel") or ""),
        message=str(body.get("message") or ""),
        raw=dict(body),
    )
