"""The functions that a model may call: their arguments are checked, they are run or asked for elsewhere, and whatever
happens is answered.

A model gets an answer to every call, also to one that it made wrongly: {"error": "..."}, in words that it can act on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ...outward import Outward
from ...pools import pool
from ..config import Tool
from ..http import ServiceError
from ..options import McpServer
from .base import BrainEvent, Failed, ToolCalled
from .calls import MAX_ARGUMENTS, read_arguments, valid_arguments
from .mcp import McpTools
from .remote import Remote, ToolServers

logger = logging.getLogger("lipwire.agents")

TIMEOUT = 20.0
"""Seconds that a function of ours may take."""
CLIENT_TIMEOUT = 60.0
"""Seconds that a function of the client's may take."""
MAX_RESULT = 1 << 16
"""Characters of JSON that a result may have."""

MAX_TOLD, MAX_FAILURE = 300, 1000
"""Characters of a failure that users and that a model are told."""

_threads = pool(8, "lipwire-tool")
"""Threads that run functions which are not async. One that hangs keeps its thread; when all hang, calls time out."""

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def problem(value: Any, schema: Mapping[str, Any], path: str = "") -> str | None:
    """What is wrong with `value` by `schema`; None = nothing. Of JSON Schema it knows what functions are described by:
    type, enum, required, properties, additionalProperties (false), items, minimum, maximum."""
    where = path or "the arguments"
    names = schema.get("type")
    wanted = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    if wanted and not any(_is(value, name) for name in wanted):
        return f"{where} must be {' or '.join(wanted)}, not {msgspec.json.encode(value).decode()[:60]}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} must be one of {', '.join(map(str, schema['enum']))}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{where} must be {schema.get('minimum', '-inf')} to {schema.get('maximum', 'inf')}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                return f"{path + '.' if path else ''}{name} is missing"
        for name, one in value.items():
            if name in properties:
                if found := problem(one, properties[name], f"{path}.{name}" if path else name):
                    return found
            elif schema.get("additionalProperties") is False:
                return f"{path + '.' if path else ''}{name} is unknown"
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, one in enumerate(value):
            if found := problem(one, schema["items"], f"{path}[{i}]"):
                return found
    return None


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def failure(message: str) -> str:
    """The answer to a call that came to nothing."""
    return msgspec.json.encode({"error": message[:MAX_FAILURE]}).decode()


async def _invoke(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    result = await asyncio.get_running_loop().run_in_executor(_threads, lambda: function(**arguments))
    return await result if inspect.isawaitable(result) else result


def _plain(value: Any) -> Any:
    """A pydantic model, which is what clients of MCP return, as what it holds. Raises TypeError: it is none."""
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json", exclude_none=True)
    raise TypeError(f"a value of type {type(value).__name__}")


class Toolbox:
    """The tools of one agent.

    Args:
        remotes: those of `tools` that are answered elsewhere, and more.
    """

    def __init__(self, tools: Sequence[Tool], timeout: float = TIMEOUT, remotes: Sequence[Remote] = ()) -> None:
        self._remotes = {remote.tool.name: remote for remote in remotes}
        self._tools = {tool.name: tool for tool in (*tools, *(remote.tool for remote in remotes))}
        self._timeout = timeout

    def __bool__(self) -> bool:
        return bool(self._tools)

    def for_chat(self) -> list[dict[str, Any]]:
        """`tools` of a chat completions request."""
        return [{"type": "function", "function": self._describe(tool)} for tool in self._tools.values()]

    def for_realtime(self) -> list[dict[str, Any]]:
        """`tools` of a Realtime session."""
        return [{"type": "function", **self._describe(tool)} for tool in self._tools.values()]

    @staticmethod
    def _describe(tool: Tool) -> dict[str, Any]:
        return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}

    @property
    def names(self) -> frozenset[str]:
        """What the functions are called."""
        return frozenset(self._tools)

    def known(self, name: str) -> str:
        """The name of the function that is meant: models put a namespace before it, or marks of their own after it."""
        for meant in (name, name.partition("<|")[0].strip(), name.partition("<|")[0].strip().rpartition(".")[2]):
            if meant in self._tools:
                return meant
        return name

    def of_client(self, name: str) -> bool:
        """True where the client is to be asked."""
        return name in self._tools and self._tools[name].run is None and name not in self._remotes

    def check(self, name: str, arguments: str) -> dict[str, Any] | str:
        """The arguments; or, as text, what is wrong with the call."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return f"there is no function {name[:100]!r}; there are: {known}"
        if len(arguments) > MAX_ARGUMENTS:
            return f"the arguments have {len(arguments)} characters, {MAX_ARGUMENTS} are allowed"
        values = read_arguments(arguments)
        if isinstance(values, str):
            return values
        try:
            return problem(values, tool.parameters) or values
        except (TypeError, AttributeError, RecursionError) as exc:  # somebody else's schema: it is his to check by it
            logger.warning("the parameters of %.64s are no JSON Schema that is known: %s", name, exc)
            return values

    async def run(self, name: str, arguments: str, call_id: str = "") -> tuple[str, str | None]:
        """Runs one of ours, or has it answered elsewhere: (the answer for the model, what failed or None)."""
        values = self.check(name, arguments)
        if isinstance(values, str):
            return failure(values), values
        # A task of its own: what does not end when it is cancelled is not waited for.
        running = asyncio.get_running_loop().create_task(self._run(name, values, call_id))
        timeout = self._remotes[name].timeout if name in self._remotes else self._timeout
        try:
            await asyncio.wait([running], timeout=timeout)
        finally:
            running.cancel()
        if not running.done():
            message = f"{name} did not answer within {timeout:g} s"
        elif running.cancelled():
            message = f"{name} was cancelled"
        elif isinstance(exc := running.exception(), ServiceError):
            message = f"{name} failed: {exc}"
            return failure(f"{message}: {exc.said[:500]}" if exc.said else message), message
        elif (exc := running.exception()) is not None:  # whatever it raises is an answer to the model
            logger.warning("tool %s failed", name, exc_info=exc)
            message = f"{name} failed: {exc or type(exc).__name__}"
        else:
            return self._encode(name, running.result())
        return failure(message), message

    async def _run(self, name: str, values: dict[str, Any], call_id: str) -> Any:
        if name in self._remotes:
            return await self._remotes[name].run(call_id, values)
        function = self._tools[name].run
        assert function is not None
        return await _invoke(function, values)

    @staticmethod
    def _encode(name: str, result: Any) -> tuple[str, str | None]:
        try:
            answer = result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=_plain).decode()
        except (TypeError, ValueError, RecursionError) as exc:
            message = f"{name} returned what is no JSON: {exc}"
            return failure(message), message
        if len(answer) > MAX_RESULT:
            message = f"{name} returned {len(answer)} characters, {MAX_RESULT} are allowed"
            return failure(message), message
        return answer, None


class Caller:
    """Answers a model's calls: runs what is ours, calls the servers of tools, asks the client for the rest.

    Args:
        servers: of more tools. outward: where the URLs of servers may lead. variables: for the places of their values.
        changed: there are other tools than before.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        emit: Callable[[BrainEvent], None],
        *,
        servers: Sequence[McpServer] = (),
        outward: Outward | None = None,
        variables: Mapping[str, str] | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._servers = ToolServers(outward, variables or {})
        self._changed = changed
        self._mcp = McpTools(servers, outward, self._more, self._missing)
        self._emit = emit
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self.replace(tools)

    def replace(self, tools: Sequence[Tool]) -> None:
        """Other tools of the agent's own; those of MCP servers stay."""
        self._tools = list(tools)
        own = [self._servers.remote(tool) for tool in tools if tool.server is not None and tool.run is None]
        self.toolbox = Toolbox(tools, remotes=[*own, *self._mcp.remotes([tool.name for tool in tools])])

    def _more(self) -> None:
        self.replace(self._tools)
        self._changed()

    def _missing(self, why: str) -> None:
        self._emit(Failed("TOOL_ERROR", why[:MAX_TOLD], minor=True))

    def start(self) -> None:
        """Asks the MCP servers that have not answered yet for their tools."""
        self._mcp.start()

    async def ready(self) -> None:
        """Before a question: the same, and waits a moment for them (`mcp.WAIT`)."""
        await self._mcp.ready()

    async def close(self) -> None:
        """Ends all connections."""
        await self._mcp.close()
        await self._servers.close()

    def result(self, call_id: str, output: str) -> None:
        """What the client answered; nobody may be waiting for it any more."""
        future = self._waiting.get(call_id)
        if future is not None and not future.done():
            future.set_result(output[:MAX_RESULT])

    async def answer(self, call_id: str, name: str, arguments: str) -> str:
        """The answer to one call, whatever happens."""
        name = self.toolbox.known(name)
        if not self.toolbox.of_client(name):
            result, failed = await self.toolbox.run(name, arguments, call_id)
            self._emit(ToolCalled(call_id, name, valid_arguments(arguments), True))
            if failed is not None:
                self._emit(Failed("TOOL_ERROR", failed[:MAX_TOLD]))
            return result
        wrong = self.toolbox.check(name, arguments)
        if isinstance(wrong, str):
            self._emit(Failed("TOOL_ERROR", wrong[:MAX_TOLD]))
            return failure(wrong)
        while call_id in self._waiting:  # some services count them anew in each reply
            call_id += "_"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future
        self._emit(ToolCalled(call_id, name, valid_arguments(arguments)))
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                return await future
        except TimeoutError:
            message = f"{name}: the client did not answer within {CLIENT_TIMEOUT:g} s"
            self._emit(Failed("TOOL_ERROR", message))
            return failure(message)
        finally:
            del self._waiting[call_id]
