"""servers/errors.py: one table from errors to statuses, whatever the body."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, cast

import msgspec
import pytest
from litestar.exceptions import HTTPException

from lipwire.agents import errors as e
from lipwire.agents.rest.wire import STATUS, error_of
from lipwire.channel.room.room import RoomError
from lipwire.errors import BadState, BufferFull, InvalidArgument, LipwireError, NoCapacity
from lipwire.protocol.agent_bodies import Fault
from lipwire.provider.sessions import ProviderError
from lipwire.servers import errors as s


class Asked:
    """What the handlers look at of a request."""

    method = "POST"
    scope = MappingProxyType({"path": "/somewhere", "root_path": ""})


def asked(path: str, root: str = "") -> s.AnyRequest:
    request = Asked()
    request.scope = MappingProxyType({"path": path, "root_path": root})
    return cast(s.AnyRequest, request)


REQUEST, OLDER = asked("/somewhere"), asked("/api/conversational-ai-agent/v1/projects/x/join")

json = msgspec.to_builtins

CASES: list[tuple[Exception, int, int]] = [
    # what was raised, status in the bodies of C and D, status in those of A, the viewer and rooms
    (InvalidArgument("x"), 400, 400),
    (BadState("x"), 409, 503),
    (BufferFull("x"), 429, 429),
    (NoCapacity("x", 7.0), 503, 503),
    (RoomError("x"), 500, 409),
    (LipwireError("x"), 500, 500),
    (ProviderError("MISSING_API_KEY", "x"), 403, 403),
    (ProviderError("INVALID_JSON", "x"), 400, 400),
]


@pytest.mark.parametrize(("raised", "control", "provider"), CASES, ids=lambda value: type(value).__name__)
def test_plain_errors(raised: Exception, control: int, provider: int) -> None:
    assert s.on_control_exception(REQUEST, raised).status_code == control
    assert s.on_process_exception(REQUEST, raised).status_code == control
    assert isinstance(raised, LipwireError)
    assert s.as_provider_error(raised).status == s.agent_refused(raised).status_code == provider
    assert s.on_exception(REQUEST, s.as_provider_error(raised)).status_code == provider


@pytest.mark.parametrize("kind", STATUS)
def test_errors_about_agents(kind: type[e.AgentError]) -> None:
    reply = s.on_control_exception(OLDER, kind("why"))
    status = 403 if kind is e.AgentUnauthorized else STATUS[kind]
    assert (reply.status_code, reply.content.detail, reply.content.reason) == (status, "why", kind.code)
    reply = s.on_control_exception(REQUEST, kind("why"))
    assert (reply.status_code, reply.content.detail) == (STATUS[kind], "why")
    assert ("WWW-Authenticate" in reply.headers) == (STATUS[kind] == 401)
    page = s.agent_refused(kind("why"))
    assert (page.status_code, page.content["message"], page.content["code"]) == (STATUS[kind], "why", kind.code)
    assert type(error_of(STATUS[kind], "why")) is kind


def test_subclasses_and_answers_of_other_services() -> None:
    class Refused(e.AgentStartFailed):
        pass

    assert s.status_of(Refused("x")) == 503
    assert s.status_of(error_of(418, "tea")) == 418
    assert s.status_of(s.already_running("lobby")) == 400
    assert s.status_of(e.AgentUnreachable("x")) == 500


def test_when_to_try_again() -> None:
    assert s.retry_after(NoCapacity("x", 6.2)) == {"Retry-After": "7"}
    assert s.retry_after(BufferFull("x")) == s.retry_after(e.AgentRateLimit("x")) == {"Retry-After": "1"}
    assert s.retry_after(BadState("x")) == {}
    assert s.as_provider_error(BadState("x")).retry_after == 5.0


@pytest.mark.parametrize(("status", "code"), [(404, "ENDPOINT_NOT_FOUND"), (405, "ENDPOINT_NOT_FOUND")])
def test_the_frameworks_own(status: int, code: str) -> None:
    exc = HTTPException(status_code=status)
    assert s.on_exception(REQUEST, exc).content.code == code
    reply = s.on_control_exception(REQUEST, exc)
    assert (reply.status_code, reply.content.reason) == (status, "NotImplemented")
    large: Any = HTTPException(status_code=413)
    assert s.on_control_exception(REQUEST, large).content.reason == "BodyTooLarge"


def test_a_fault_of_ours_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for handler in (s.on_exception, s.on_control_exception, s.on_process_exception):
        reply = handler(REQUEST, ZeroDivisionError("the secret"))
        assert reply.status_code == 500 and b"secret" not in msgspec.json.encode(reply.content)
    assert caplog.text.count("POST /somewhere failed") == 3 and "the secret" in caplog.text


@pytest.mark.parametrize(
    ("root", "path", "named"),
    [
        ("", "/nope", "/nope"),
        ("/avatar", "/nope", "/avatar/nope"),  # a host that takes the prefix away
        ("/avatar", "/avatar/nope", "/avatar/nope"),  # and one that leaves it
        ("/avatar/", "/avatar/nope", "/avatar/nope"),
        ("/avatar", "/avatar", "/avatar"),
        ("/avatar", "/avatars", "/avatar/avatars"),
    ],
)
def test_a_prefix_is_named_once(root: str, path: str, named: str) -> None:
    request = asked(path, root)
    exc = HTTPException(status_code=404)
    assert s.on_exception(request, exc).content.message == f"Endpoint not found: POST {named}"
    assert str(s.as_agent_error(request, exc)) == f"there is no POST {named}"


@pytest.mark.parametrize(
    ("root", "path", "version"),
    [
        ("", "/api/conversational-ai-agent/v1/projects/x", "v1"),
        ("", "/cn/api/conversational-ai-agent/v2", "v2"),
        ("", "/api/conversational-ai-agent", ""),
        ("", "/api/conversational-ai-agent/projects/x", ""),
        ("/avatar", "/avatar/api/conversational-ai-agent/v2/x", "v2"),
        ("/avatar", "/api/conversational-ai-agent/v2/x", "v2"),
        ("", "/api/conversational-ai-agents/v2/x", None),
        ("", "/avatar/api/conversational-ai-agent/v2/x", None),
        ("", "/somewhere", None),
    ],
)
def test_below_the_base_of_agents_even_what_is_not_there_is_said_in_its_words(
    root: str, path: str, version: str | None
) -> None:
    request = asked(path, root)
    assert s.control_version(request) == version
    reply = s.on_exception(request, HTTPException(status_code=404))
    assert (reply.status_code, hasattr(reply.content, "reason")) == (404, version is not None)


def test_the_reasons_of_today() -> None:
    missing = e.InvalidAgentRequest.because([Fault("a", "must be", "invalid"), Fault("b", "is required", "missing")])
    wrong = e.InvalidAgentRequest.because([Fault("a", "must be")])
    for raised, older, today in (
        (missing, "InvalidRequest", "MissingRequiredField"),
        (wrong, "InvalidRequest", "InvalidFieldValue"),
        (InvalidArgument("x"), "InvalidRequest", "InvalidFieldValue"),
        (ProviderError("INVALID_JSON", "x"), "InvalidRequest", "InvalidRequestBody"),
        (ProviderError("UNSUPPORTED_MEDIA_TYPE", "x"), "UnsupportedMediaType", "UnsupportedMediaType"),
        (e.AgentTimeout("x"), "Timeout", "TaskOperationTimeout"),
        (e.AgentLimit("x"), "ResourceQuotaLimitExceeded", "ResourceQuotaLimitExceeded"),
        (e.AgentTimeout("x", reason="Mine"), "Mine", "Mine"),
    ):
        assert s.on_control_exception(OLDER, raised).content.reason == older
        assert s.on_control_exception(REQUEST, raised).content.reason == today


def test_a_conflict_names_the_agent_that_is_in_the_way() -> None:
    exc = e.AgentConflict.with_agent("a1", "the name is in use")
    assert json(s.on_control_exception(REQUEST, exc).content) == {
        "detail": "the name is in use",
        "reason": "TaskConflict",
        "agent_id": "a1",
    }
    assert "agent_id" not in json(s.on_control_exception(OLDER, exc).content)
    assert "agent_id" not in json(s.on_control_exception(REQUEST, e.AgentConflict("x")).content)
