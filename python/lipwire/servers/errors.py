"""What an error is over HTTP: its status and its body. Nothing else in `servers` decides that.

| body | where |
|---|---|
| {error, message, code} | the avatar provider (protocol.md A), the viewer page, rooms and the agent page |
| {detail, reason} | REST control of agents (protocol.md C); in v2 with the `agent_id` that is in the way, if any |
| {error, details} | agent processes and /token (protocol.md D) |

A fault of ours is a 500: it is logged, and tells nothing.
"""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from ..agents.errors import (
    AgentConflict,
    AgentError,
    AgentForbidden,
    AgentNotFound,
    AgentRateLimit,
    AgentStartFailed,
    AgentTimeout,
    AgentUnauthorized,
    InvalidAgentBody,
    InvalidAgentRequest,
)
from ..agents.rest.wire import STATUS, error_of
from ..channel.room.room import RoomError
from ..errors import BadData, BadState, BufferFull, InvalidArgument, LipwireError, NoCapacity, OutOfMemory
from ..protocol import agent_bodies as b
from ..protocol.agent_actions import ConflictReply
from ..provider.sessions import ProviderError
from ..publish.motion import NoMotion

logger = logging.getLogger("lipwire.http")

AnyRequest = Request[Any, Any, Any]
MAX_BODY = 128 << 10
"""Bytes of a request about agents, or from a page; more is a 413. JSON is parsed in one go: this much takes 10 ms at
the worst, of empty lists."""

CODES: tuple[tuple[type[LipwireError], str], ...] = (
    (RoomError, "CHANNEL_IN_USE"),
    (NoCapacity, "NO_CAPACITY"),
    (BadState, "NO_CAPACITY"),
    (OutOfMemory, "NO_CAPACITY"),
    (BufferFull, "BUFFER_FULL"),
    (BadData, "VALIDATION_ERROR"),
    (NoMotion, "NO_MOTION"),
    (InvalidArgument, "VALIDATION_ERROR"),
    (LipwireError, "INTERNAL_ERROR"),
)
"""Plain errors in the words of A; the first that fits. `ProviderError.KINDS` has the statuses."""
WAITS = {"NO_CAPACITY": 5.0, "BUFFER_FULL": 1.0}
"""Seconds to try again after, where the error says nothing."""
PLAIN = tuple(kind for kind, _ in CODES if kind is not LipwireError)
"""Those that are no fault of ours wherever they come from."""
AGENT_ERRORS: tuple[tuple[type[LipwireError], type[AgentError]], ...] = (
    (InvalidArgument, InvalidAgentRequest),
    (BadState, AgentConflict),
    (BufferFull, AgentRateLimit),
    (BadData, InvalidAgentRequest),
    (OutOfMemory, AgentStartFailed),
    (NoCapacity, AgentStartFailed),
)
"""Plain errors in the words of C; the first that fits. `STATUS` has the statuses."""
BASE = "/api/conversational-ai-agent"
"""Of C; also below /cn, and followed by the version."""
_CONTROL = re.compile(rf"(?:/cn)?{BASE}(?:/(v[0-9]+))?(?=/|$)")


def path_of(request: AnyRequest) -> str:
    """The path that a client asked for. Below a prefix some hosts leave that in `path`, as ASGI has it, and some do
    not; `request.url` has it twice with the former."""
    root, path = request.scope.get("root_path", "").rstrip("/"), request.scope["path"]
    return path if path == root or path.startswith(f"{root}/") else root + path


def control_version(request: AnyRequest) -> str | None:
    """The version of C that a client asked, "" where it named none; None = it asked something else."""
    root, path = request.scope.get("root_path", "").rstrip("/"), request.scope["path"]
    found = _CONTROL.match(path.removeprefix(root) if path.startswith(f"{root}/") else path)
    return None if found is None else found.group(1) or ""


def status_of(error: AgentError) -> int:
    """The status of an error about agents."""
    return error.status or next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def already_running(channel: str) -> AgentError:
    """D's answer to a second agent in a channel: a 400, where C has a 409."""
    error = AgentConflict(f"Agent already running for channel: {channel}")
    error.status = 400
    return error


def retry_after(exc: Exception) -> dict[str, str]:
    """The header that says when to try again, where that is known."""
    seconds = getattr(exc, "retry_after", None)
    if seconds is None and isinstance(exc, BufferFull | AgentRateLimit):
        seconds = 1.0
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


# ------------------------------------------------------------------------------------------- {error, message, code}


def refusal_headers(error: ProviderError) -> dict[str, str]:
    """Headers that go with a refusal of A: when to try again, and what opens (RFC 9110, section 15.5.2)."""
    return retry_after(error) | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})


def as_provider_error(exc: LipwireError) -> ProviderError:
    """A plain error as a refusal of A."""
    if isinstance(exc, ProviderError):
        return exc
    code = next(code for kind, code in CODES if isinstance(exc, kind))
    wait = getattr(exc, "retry_after", None)
    return ProviderError(code, str(exc), retry_after=WAITS.get(code) if wait is None else wait)


def on_exception(request: AnyRequest, exc: Exception) -> Response[Any]:
    """Litestar's handler for every exception of A, and for what nobody handles: below the base of C in C's words."""
    if isinstance(exc, HTTPException) and control_version(request) is not None:
        return on_control_exception(request, exc)
    if isinstance(exc, PLAIN):
        exc = as_provider_error(exc)
    if not isinstance(exc, ProviderError):
        exc = _from_framework(request, exc)
    return Response(exc.reply(), status_code=exc.status, headers=refusal_headers(exc), media_type=MediaType.JSON)


def _from_framework(request: AnyRequest, exc: Exception) -> ProviderError:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    if status in (404, 405):
        return ProviderError("ENDPOINT_NOT_FOUND", f"Endpoint not found: {request.method} {path_of(request)}")
    if status == 413:
        return ProviderError("BODY_TOO_LARGE", "The request body is too large")
    if status < 500:
        return ProviderError("VALIDATION_ERROR", str(getattr(exc, "detail", exc)))
    logger.error("%s %s failed", request.method, path_of(request), exc_info=exc)
    return ProviderError("INTERNAL_ERROR", "Internal error; see the server's log")


def withheld(exc: LipwireError) -> LipwireError:
    """The same for who holds a token only. Where services are is the operator's to know: of an agent that could not be
    started he learns what failed, in a word."""
    if isinstance(exc, AgentError) and exc.failure:
        return type(exc)(f"the agent could not be started: {exc.failure}")
    return exc


def agent_refused(exc: LipwireError) -> Response[Any]:
    """What the agent page gets where its agent is refused. Who starts agents for the page may raise errors of its own,
    with a `status`."""
    status = status_of(exc) if isinstance(exc, AgentError) else getattr(exc, "status", None)
    if isinstance(status, int):
        body = {"error": "The agent was refused", "message": str(exc), "code": exc.code}
        return Response(body, status_code=status, headers=retry_after(exc))
    refusal = as_provider_error(exc)
    return Response(msgspec.to_builtins(refusal.reply()), status_code=refusal.status, headers=retry_after(refusal))


# ----------------------------------------------------------------------------------- {detail, reason}; {error, details}


def as_agent_error(request: AnyRequest, exc: Exception) -> AgentError:
    """What an exception is, to somebody who asked about agents."""
    match exc:
        case AgentError():
            return exc
        case ProviderError(status=401 | 403):
            return AgentForbidden(str(exc))
        case ProviderError(code="INVALID_JSON"):
            return InvalidAgentBody(str(exc))
        case ProviderError(status=415):
            return error_of(415, str(exc), "UnsupportedMediaType")
        case ProviderError():
            return error_of(exc.status, str(exc))
        case HTTPException(status_code=404 | 405):
            error = AgentNotFound(f"there is no {request.method} {path_of(request)}", reason="NotImplemented")
            error.status = exc.status_code
            return error
        case HTTPException(status_code=413):
            return error_of(413, f"the request body has more than {MAX_BODY} bytes", "BodyTooLarge")
        case HTTPException() if exc.status_code < 500:
            return InvalidAgentRequest(str(exc.detail))
    for plain, kind in AGENT_ERRORS:
        if isinstance(exc, plain):
            return kind(str(exc))
    logger.error("%s %s failed", request.method, path_of(request), exc_info=exc)
    return AgentError(str(exc) if isinstance(exc, LipwireError) else "internal error; see the server's log")


BAD_BODY, MISSING, WRONG = "InvalidRequestBody", "MissingRequiredField", "InvalidFieldValue"
TODAY: dict[type[AgentError], str] = {InvalidAgentBody: BAD_BODY, AgentTimeout: "TaskOperationTimeout"}
"""Reasons of v2 that are not `AgentError.code`, beside those of `InvalidAgentRequest`."""


def reasons_of(kind: type[AgentError], version: str) -> tuple[str, ...]:
    """The reasons that errors of a kind have in a version."""
    if version == "v1":
        return (kind.code,)
    return (BAD_BODY, MISSING, WRONG) if kind is InvalidAgentRequest else (TODAY.get(kind, kind.code),)


def reason_of(error: AgentError) -> str:
    """The reason of an error, in v2's words."""
    if error.code != type(error).code:
        return error.reason
    if isinstance(error, InvalidAgentRequest) and type(error) not in TODAY:
        return MISSING if any(fault.type == "missing" for fault in error.faults) else WRONG
    return TODAY.get(type(error), error.reason)


def on_control_exception(request: AnyRequest, exc: Exception) -> Response[b.ErrorReply]:
    """Litestar's handler for every exception of C: v1 as reference 002 has it, later ones as the service has today."""
    error = as_agent_error(request, exc)
    headers = retry_after(exc)
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        headers |= exc.headers or {}  # Allow
    if control_version(request) == "v1":
        status = 403 if isinstance(error, AgentUnauthorized) else status_of(error)
        return Response(b.ErrorReply(detail=error.detail, reason=error.reason), status_code=status, headers=headers)
    status = status_of(error)
    if status == 401:
        headers |= {"WWW-Authenticate": 'Basic realm="agents"'}
    body = b.ErrorReply(detail=error.detail, reason=reason_of(error))
    if isinstance(error, AgentConflict) and error.agent_id:
        body = ConflictReply(detail=body.detail, reason=body.reason, agent_id=error.agent_id)
    return Response(body, status_code=status, headers=headers)


def on_process_exception(request: AnyRequest, exc: Exception) -> Response[Any]:
    """Litestar's handler for every exception of D; of a wrong API key, or too many requests, what it is everywhere."""
    if isinstance(exc, ProviderError) and exc.status in (401, 403, 429):
        return on_exception(request, exc)
    error = as_agent_error(request, exc)
    body = b.ProcessError(error=error.detail)
    if isinstance(exc, ProviderError):
        body = b.ProcessError(error="Invalid request data", details=[{"loc": [], "msg": str(exc), "type": "invalid"}])
    elif isinstance(error, InvalidAgentRequest):
        faults = error.faults or (b.Fault("", str(error)),)
        details = [{"loc": [f.loc] if f.loc else [], "msg": str(f), "type": f.type} for f in faults]
        body = b.ProcessError(error="Invalid request data", details=details)
    elif isinstance(error, AgentNotFound) and not isinstance(exc, HTTPException):
        body = b.ProcessError(error="No active agent found for the provided channel_name")
    return Response(body, status_code=status_of(error), headers=retry_after(exc))
