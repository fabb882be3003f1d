"""Whether what a client asks for can be had of the services that it names, so that it hears of it at once. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..errors import InvalidArgument
from .config import Llm, Tool
from .headers import check_headers, is_openai
from .options import McpServer, Realtime
from .templates import check_body, check_headers_of, check_url


def check_style(llm: Llm, tools: Sequence[Tool] = ()) -> None:
    """Whether a service of that style can be asked for all of it. Raises InvalidArgument: it cannot."""
    if llm.style == "openai":
        return
    style = f"a service of style {llm.style!r}"
    if "audio" in llm.output_modalities:
        raise InvalidArgument(f"llm.output_modalities: {style} answers with text; leave out audio")
    if llm.custom:
        raise InvalidArgument(f"llm.vendor: 'custom' is of style 'openai', not {llm.style!r}; leave out one of them")
    if llm.metadata_enabled:
        raise InvalidArgument(f"llm.extra_metadata: {style} takes none; put its own members into llm.params")
    if llm.style == "dify" and (tools or llm.mcp_servers):
        name = "llm.tools" if tools else "llm.mcp_servers"
        raise InvalidArgument(f"{name}: an app of Dify's has its tools there, and takes none of a request's")


def check_tools(tools: Sequence[Tool], variables: Mapping[str, str]) -> None:
    """Whether the servers of tools can be called. `variables`: for their places. Raises InvalidArgument: one cannot."""
    for n, tool in enumerate(tools):
        if tool.server is None:
            continue
        args, where, server = tool.parameters.get("properties") or {}, f"llm.tools[{n}].server", tool.server
        # Ours says what the body is.
        headers = {name: value for name, value in server.headers.items() if not _says_json(name, value)}
        with _at(f"{where}.url"):
            check_url(server.url, args, variables)
        with _at(f"{where}.headers"):
            check_headers(headers)
            check_headers_of(headers, variables)
        if server.method == "GET" and server.body is not None:
            raise InvalidArgument(f"{where}.body: a GET has none; put the values into the url, or use POST")
        with _at(f"{where}.body"):
            check_body(server.body, args, variables)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Puts a field's name before what is said of it."""
    try:
        yield
    except InvalidArgument as exc:
        raise InvalidArgument(f"{where} {exc}") from None


def _says_json(name: str, value: str) -> bool:
    """Whether a header says what the body is in any case."""
    return name.lower() == "content-type" and re.match(r"application/json\b", value.strip().lower()) is not None


def check_mcp(servers: Sequence[McpServer]) -> None:
    """Whether MCP servers can be asked. Raises InvalidArgument: one cannot."""
    names = [server.name for server in servers]
    for n, server in enumerate(servers):
        if server.name in names[:n]:
            raise InvalidArgument(f"llm.mcp_servers[{n}].name: another one has the name {server.name!r:.60}")
        with _at(f"llm.mcp_servers[{n}].headers"):
            check_headers({name: value for name, value in server.headers.items() if not _says_json(name, value)})


def check_realtime(realtime: Realtime) -> None:
    """Whether a realtime model of a client's can be asked for all of it. Raises InvalidArgument: it cannot."""
    params = realtime.params
    if realtime.url and not realtime.api_key and is_openai(realtime.url):
        raise InvalidArgument("mllm.api_key: a model of OpenAI's needs one, and the server's own is for its own url")
    for name, why in (
        ("tools", "functions are mllm.tools"),
        ("input_audio_format", "the sound is PCM at 24 kHz both ways; leave it out"),
        ("output_audio_format", "the sound is PCM at 24 kHz both ways; leave it out"),
        ("temperature", "OpenAI Realtime has none any more; leave it out"),
    ):
        ours = params.get(name) == "pcm16" or (
            name == "temperature" and not is_openai(realtime.url or "wss://api.openai.com")
        )
        if params.get(name) is not None and not ours:
            raise InvalidArgument(f"mllm.params.{name}: {why}")
    kind = realtime.turn_detection.get("type", "server_vad")
    if kind not in ("server_vad", "semantic_vad"):
        raise InvalidArgument(f"mllm.turn_detection: must be server_vad or semantic_vad, got {kind!r:.60}")
