"""Tools of MCP servers, over streamable HTTP.

Format: Model Context Protocol, revisions 2024-11-05 to 2025-11-25 (initialize, a session) and 2026-07-28 (every request
says what it needs; no session), of which the older way is tried first, as servers of both kinds know it. JSON-RPC 2.0,
one request a POST, answered by JSON or by a stream of events.

The package `mcp` has a client; it brings 14 more packages, 9 MB, and 39 MB of memory a process for three requests, and
connects by itself, where a URL of a request must go through `outward`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...answers import pieces
from ...errors import BadData
from ...outward import Outward, OutwardRefused, site
from ..config import Tool
from ..headers import secrets_in
from ..http import ServiceClient, ServiceError, failure, harmless, refusal
from ..options import McpServer
from .calls import valid_name
from .remote import LONGEST, MAX_ANSWER, Remote
from .sse import EventReader

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("lipwire.agents")

OFFERED = "2025-11-25"
STATELESS = "2026-07-28"
UNSUPPORTED, NO_METHOD = -32022, -32601
"""JSON-RPC errors: another revision is wanted; there is no such method."""
MAX_TOOLS = 128
"""Of one server; more are left out."""
MAX_PAGES = 16
MAX_ASKED = 16
"""Requests in one answer that are answered: a server that works for long asks now and then whether we are there."""
WAIT = 1.0
"""Seconds that a turn waits at most for servers that have not answered yet."""
_CLIENT = {"name": "lipwire", "version": "0"}


class McpClient:
    """One server. `http` sends every request once."""

    def __init__(self, server: McpServer, http: ServiceClient) -> None:
        self._server, self._http = server, http
        self._ids = itertools.count(1)
        self._revision = ""
        self._session = ""
        self._beginning = asyncio.Lock()
        """Of a session: what else is asked waits."""
        self._what = f"the MCP server {server.name}"

    async def open(self) -> list[Tool]:
        """Begins, and returns the tools, under the names that they have there. Raises ServiceError."""
        self._revision = self._session = ""
        try:
            begun = await self._ask("initialize", protocolVersion=OFFERED, capabilities={}, clientInfo=_CLIENT)
            self._revision = self._for_header("revision", begun.get("protocolVersion") or OFFERED)
            await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        except _Refused as exc:
            if STATELESS not in exc.supported:
                raise
            self._revision = STATELESS
        found: list[Tool] = []
        cursor: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = await self._ask("tools/list", **cursor)
            tools = page.get("tools") or []
            if not isinstance(tools, list):
                raise ServiceError(f"{self._what} sent tools that are no list")
            found += [tool for one in tools if (tool := self._tool(one)) is not None]
            if not page.get("nextCursor") or len(found) >= MAX_TOOLS:
                break
            cursor = {"cursor": page["nextCursor"]}
        return found[:MAX_TOOLS]

    def _tool(self, one: Any) -> Tool | None:
        allowed = self._server.allowed_tools
        if not isinstance(one, dict) or not isinstance(name := one.get("name"), str):
            return None
        if allowed is not None and "*" not in allowed and name not in allowed:
            return None
        schema = one.get("inputSchema")
        parameters = schema if isinstance(schema, dict) else {"type": "object", "properties": {}}
        if self._revision == STATELESS and any("x-mcp-header" in of for of in _properties(parameters)):
            logger.warning("%s: its tool %.64s wants arguments in headers, which is not known here", self._what, name)
            return None
        return Tool(name=name, description=str(one.get("description") or ""), parameters=parameters)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The answer for the model. Raises ServiceError; what the server says of it is `said`."""
        async with self._beginning:
            session = self._session
        try:
            result = await self._ask("tools/call", name=name, arguments=arguments)
        except ServiceError as exc:
            if exc.status != 404 or not session:
                raise
            await self._begin_anew(session)  # it has forgotten this one, and so has not called anything
            result = await self._ask("tools/call", name=name, arguments=arguments)
        text = _text(result)
        if result.get("isError") or result.get("resultType") == "input_required":
            failed = ServiceError(f"{self._what} says that it failed")
            failed.said = self._harmless(text) or "it needs something that it cannot be given"
            raise failed
        return text

    async def _begin_anew(self, forgotten: str) -> None:
        """Another session, unless there is one already. Raises ServiceError."""
        async with self._beginning:
            if self._session != forgotten:
                return
            before = self._session, self._revision
            try:
                await self.open()
            except BaseException:
                self._session, self._revision = before  # so that the next call tries it, too
                raise

    async def close(self) -> None:
        """Ends the session; whether the server takes note does not matter."""
        if self._session:
            try:
                reply = await self._http.request("DELETE", self._server.endpoint, headers=self._headers({}))
                await reply.aclose()
            except Exception as exc:
                logger.debug("%s: %s", self._what, type(exc).__name__)

    # ---- one request

    def _headers(self, message: Mapping[str, Any]) -> dict[str, str]:
        found = {name.lower(): value for name, value in self._server.headers.items()}
        found |= {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        if self._revision:
            found["mcp-protocol-version"] = self._revision
        if self._session:
            found["mcp-session-id"] = self._session
        if self._revision == STATELESS and "method" in message:
            found["mcp-method"] = message["method"]
            if name := (message.get("params") or {}).get("name"):
                found["mcp-name"] = name if re.fullmatch(r"[!-~]([ -~]*[!-~])?", name) else _base64(name)
        return found

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result. Raises ServiceError."""
        if self._revision == STATELESS:
            about = {"protocolVersion": STATELESS, "clientInfo": _CLIENT, "clientCapabilities": {}}
            params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
        number = next(self._ids)
        answer = await self._post({"jsonrpc": "2.0", "id": number, "method": method, "params": params}, number)
        if answer is None:
            raise ServiceError(f"{self._what} did not answer {method}")
        if isinstance(error := answer.get("error"), dict):
            code = error.get("code")
            refused = _Refused(f"{self._what} refused {method}: {code if isinstance(code, int) else 'no code'}", error)
            refused.said = self._harmless(refused.said)
            raise refused
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    def _for_header(self, what: str, value: Any) -> str:
        """What the server has said, to go with every request from now on. Raises ServiceError: it cannot."""
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,1024}", value):
            raise ServiceError(f"{self._what} named a {what} that is no visible ASCII")
        return value

    def _secrets(self) -> list[str]:
        return [*secrets_in(self._server.headers), self._session]

    def _harmless(self, text: str) -> str:
        return harmless(text, self._server.endpoint, *self._secrets())

    async def _post(self, message: dict[str, Any], number: int | None = None) -> dict[str, Any] | None:
        """Sends a message; the answer to the request `number`, if it is one."""
        import httpx

        url, headers = self._server.endpoint, self._headers(message)
        secrets = self._secrets()
        try:
            response = await self._http.request("POST", url, headers=headers, content=msgspec.json.encode(message))
            try:
                kind = response.headers.get("content-type", "")
                if response.status_code // 100 != 2 and (response.status_code == 404 or "json" not in kind):
                    refused = await refusal(self._what, url, response, *secrets)
                    refused.said = self._harmless(refused.said)
                    raise refused
                session = response.headers.get("mcp-session-id")
                if session and message.get("method") == "initialize":  # an answer of one before may come late
                    self._session = self._for_header("session", session)
                answer = None if number is None else await self._answer(response, number)
                if response.status_code // 100 != 2 and not isinstance((answer or {}).get("error"), dict):
                    raise ServiceError(f"{self._what} at {site(url)} answered {response.status_code}")
                return answer
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure(self._what, url, exc, *secrets) from exc
        except BadData as exc:
            raise ServiceError(f"{self._what} sent what cannot be read: {exc}") from exc

    async def _answer(self, response: httpx.Response, number: int) -> dict[str, Any] | None:
        """What a body answers to a request; other messages in it are notifications, or requests, which are refused."""
        asked = 0
        async for event in _events(response):
            answer, requests = _sorted(event, number)
            for request in requests[: max(0, MAX_ASKED - asked)]:
                known = request["method"] == "ping"
                reply = {"result": {}} if known else {"error": {"code": NO_METHOD, "message": "no"}}
                await self._post({"jsonrpc": "2.0", "id": request["id"], **reply})
            asked += len(requests)
            if answer is not None:
                return answer
        return None


async def _events(response: httpx.Response) -> AsyncIterator[str]:
    """Those of a body. Raises BadData: it is too large."""
    reader, size = EventReader(), 0
    async for data in pieces(response):
        size += len(data)
        if size > 16 * MAX_ANSWER:
            raise BadData(f"the answer has more than {16 * MAX_ANSWER} bytes")
        for event in reader.feed(data):
            yield event
    for event in reader.end():
        yield event


def _sorted(event: str, number: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """What an event holds: the answer to the request `number`, and requests. Raises BadData: it is no JSON."""
    if not event.strip():
        return None, []  # that begins a stream which may be taken up again
    try:
        value = msgspec.json.decode(event)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadData(f"no JSON: {exc}") from exc
    requests = []
    for message in value if isinstance(value, list) else [value]:
        if not isinstance(message, dict):
            continue
        if "method" in message:
            requests += [message] if message.get("id") is not None else []
        elif message.get("id") in (number, None):
            return message, requests
    return None, requests


class _Refused(ServiceError):
    """A JSON-RPC error; `supported`: the revisions that the server would speak."""

    def __init__(self, message: str, error: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.said = str(error.get("message") or "")
        data = error.get("data")
        named = data.get("supported") if isinstance(data, dict) and error.get("code") == UNSUPPORTED else None
        self.supported: list[Any] = named if isinstance(named, list) else []


def _properties(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    properties = schema.get("properties")
    return [one for one in properties.values() if isinstance(one, dict)] if isinstance(properties, dict) else []


def _base64(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def _text(result: Mapping[str, Any]) -> str:
    """What a model can read of a result."""
    found = []
    content = result.get("content")
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        resource = part.get("resource")
        text = part.get("text", resource.get("text") if isinstance(resource, dict) else None)
        if isinstance(text, str):
            found.append(text)
        elif part.get("type") == "resource_link":
            found.append(str(part.get("uri")))
        else:
            found.append(f"({part.get('type')}, which cannot be shown here)")
    if not found and "structuredContent" in result:
        return msgspec.json.encode(result["structuredContent"]).decode()
    return "\n".join(found)


class McpTools:
    """The servers of one agent. One that is away is tried again when a turn begins; until then its tools are missing.

    Args:
        changed: there are more tools. failed: is told why a server's tools are missing, once as long as it is the same.
    """

    def __init__(
        self,
        servers: Sequence[McpServer],
        outward: Outward | None,
        changed: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._outward, self._changed, self._failed = outward, changed, failed
        self._http: ServiceClient | None = None
        self._clients: dict[str, McpClient] = {}
        self._tools: dict[str, list[Tool]] = {}
        """Those of the servers that have answered."""
        self._tries: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, str] = {}

    def start(self) -> None:
        """Asks every server that has not answered yet."""
        for server in self._servers:
            if server.name not in self._tools and server.name not in self._tries:
                self._http = self._http or ServiceClient(LONGEST, self._outward, once=True)
                client = self._clients.setdefault(server.name, McpClient(server, self._http))
                task = asyncio.get_running_loop().create_task(self._try(server, client))
                self._tries[server.name] = task

    async def ready(self) -> None:
        """Until all that are asked have answered, or WAIT is over."""
        self.start()
        if self._tries:
            await asyncio.wait(list(self._tries.values()), timeout=WAIT)

    async def close(self) -> None:
        """Ends all tries, sessions and connections."""
        tries = list(self._tries.values())
        for task in tries:
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
        try:
            async with asyncio.timeout(WAIT):
                await asyncio.gather(*(client.close() for client in self._clients.values()))
        except TimeoutError:
            pass
        if self._http is not None:
            await self._http.aclose()

    async def _try(self, server: McpServer, client: McpClient) -> None:
        try:
            async with asyncio.timeout(server.timeout_ms / 1000):
                self._tools[server.name] = await client.open()
        except (ServiceError, TimeoutError) as exc:
            why = str(exc) if isinstance(exc, ServiceError) else f"it did not answer within {server.timeout_ms} ms"
            self._missing(server.name, why)
        except Exception as exc:  # the edge of the task
            if self._missing(server.name, f"it sent what cannot be used ({type(exc).__name__})"):
                logger.exception("the MCP server %s", server.name)
        else:
            self._told.pop(server.name, None)
            self._changed()
        finally:
            del self._tries[server.name]

    def _missing(self, name: str, why: str) -> bool:
        """Tells of it, unless it is what was told last."""
        if self._told.get(name) == why:
            return False
        self._told[name] = why
        self._failed(f"the tools of the MCP server {name} are missing until it answers: {why}")
        return True

    def remotes(self, taken: Sequence[str]) -> list[Remote]:
        """The tools. One whose name is `taken`, or is another server's tool's, has its server's name in front."""
        names, found = set(taken), list[Remote]()
        for server in self._servers:
            client = self._clients.get(server.name)
            for tool in self._tools.get(server.name, ()) if client is not None else ():
                name = valid_name(tool.name)
                if name in names:
                    name = valid_name(f"{server.name}_{tool.name}")
                if name not in names:
                    names.add(name)
                    named = Tool(name=name, description=tool.description, parameters=tool.parameters)
                    found.append(Remote(named, _runner(client, tool.name), server.timeout_ms / 1000))
        return found


def _runner(client: McpClient | None, name: str) -> Callable[[str, dict[str, Any]], Any]:
    assert client is not None
    return lambda call_id, arguments: client.call(name, arguments)
