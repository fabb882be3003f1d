"""Functions that are answered elsewhere, over HTTP: by the server that a client names for one (`Tool.server`)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ...answers import read_all
from ...errors import BadData
from ...outward import Outward, OutwardRefused
from ..config import Tool
from ..headers import secrets_in
from ..http import ServiceClient, ServiceError, failure, harmless, refusal
from ..templates import Values, in_body, in_headers, in_url, texts_in, variables_in

MAX_ANSWER = 1 << 16
"""Bytes that an answer may have."""
LEAST_TEXT = 8
"""Characters of a constant of the body's that may be a secret."""
LONGEST = 100.0
"""Seconds that any of them may take."""


class Remote(Struct, frozen=True):
    """A function that is answered elsewhere."""

    tool: Tool
    run: Callable[[str, dict[str, Any]], Awaitable[str]]
    """(id of the call, arguments) -> the answer for the model. Raises ServiceError, whose `said` is for the model."""
    timeout: float
    """Seconds."""


class ToolServers:
    """Calls the servers that tools name. Every call has a connection of its own, and is made once: it may have effects.

    Args:
        outward: where their URLs may lead; None = anywhere.
        variables: for `{{template_variables.x}}`.
    """

    def __init__(self, outward: Outward | None, variables: Mapping[str, str]) -> None:
        self._outward, self._variables = outward, variables
        self._http: ServiceClient | None = None

    def remote(self, tool: Tool) -> Remote:
        """A tool that has a server."""
        assert tool.server is not None
        return Remote(tool, lambda call_id, args: self._call(tool, call_id, args), tool.server.timeout_ms / 1000)

    async def close(self) -> None:
        """Ends the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _call(self, tool: Tool, call_id: str, arguments: dict[str, Any]) -> str:
        import httpx

        server = tool.server
        assert server is not None
        values = Values(args=arguments, template_variables=self._variables, tool_call_id=call_id)
        url, headers = in_url(server.url, values), in_headers(server.headers, values)
        more: dict[str, Any] = {}
        if server.method != "GET" and server.body is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers["content-type"] = "application/json"
            more["content"] = msgspec.json.encode(in_body(server.body, values))
        self._http = self._http or ServiceClient(LONGEST, self._outward, once=True)
        what, ours = "its server", Values(template_variables=self._variables)
        texts = [text for text in texts_in(server.body, Values()) if len(text) >= LEAST_TEXT]
        used = variables_in([server.url, server.body])
        variables = [self._variables[name] for name in used if name in self._variables]
        secrets = [*secrets_in(headers), *variables, *texts]
        try:
            response = await self._http.request(server.method, url, headers=headers, **more)
            try:
                if response.status_code // 100 != 2:
                    refused = await refusal(what, url, response, *secrets)
                    # What the model has put into the URL it may read again.
                    refused.said = harmless(refused.said, in_url(server.url, ours), *secrets)
                    raise refused
                answer = await read_all(response, MAX_ANSWER)
                return answer.decode(_charset(response.charset_encoding), "replace")
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure(what, url, exc, *secrets) from exc
        except (BadData, UnicodeError) as exc:
            raise ServiceError(f"{what} sent what cannot be read: {exc}") from exc


_CHARSETS = re.compile(
    r"utf-(8(-sig)?|16|16-[bl]e)|ascii|iso8859-\d+|cp(125\d|874|932|949|950)|koi8-[ru]"
    r"|gb(k|2312|18030)|big5(hkscs)?|shift_jis|euc_(jp|kr)|iso2022_jp"
)
"""Python's names of those that the web has; its other codecs do other things with bytes."""


def _charset(label: str | None) -> str:
    """Raises BadData: it is none that is known."""
    try:
        name = codecs.lookup(label or "utf-8").name
    except (LookupError, ValueError):
        name = ""
    if not _CHARSETS.fullmatch(name):
        raise BadData(f"its charset is {label!r:.40}, which is not known here")
    return name
