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
from lipwire.provider.sessions import ProviderError
from lipwire.servers import errors as s


class Asked:
    """What the handlers look at of a request."""

    method = "POST"
    scope = MappingProxyType({"path": "/somewhere", "root_path": ""})


REQUEST = cast(s.AnyRequest, Asked())

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
    reply = s.on_control_exception(REQUEST, kind("why"))
    assert (reply.status_code, reply.content.detail, reply.content.reason) == (STATUS[kind], "why", kind.code)
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
    assert s.on_control_exception(REQUEST, exc).status_code == 404
    large: Any = HTTPException(status_code=413)
    assert s.on_control_exception(REQUEST, large).content.reason == "BodyTooLarge"


def test_a_fault_of_ours_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for handler in (s.on_exception, s.on_control_exception, s.on_process_exception):
        reply = handler(REQUEST, ZeroDivisionError("the secret"))
        assert reply.status_code == 500 and b"secret" not in msgspec.json.encode(reply.content)
    assert caplog.text.count("POST /somewhere failed") == 3 and "the secret" in caplog.text


@pytest.mark.parametrize(
    ("root", "path", "asked"),
    [
        ("", "/nope", "/nope"),
        ("/avatar", "/nope", "/avatar/nope"),  # a host that takes the prefix away
        ("/avatar", "/avatar/nope", "/avatar/nope"),  # and one that leaves it
        ("/avatar/", "/avatar/nope", "/avatar/nope"),
        ("/avatar", "/avatar", "/avatar"),
        ("/avatar", "/avatars", "/avatar/avatars"),
    ],
)
def test_a_prefix_is_named_once(root: str, path: str, asked: str) -> None:
    request = Asked()
    request.scope = MappingProxyType({"path": path, "root_path": root})
    exc = HTTPException(status_code=404)
    assert s.on_exception(cast(s.AnyRequest, request), exc).content.message == f"Endpoint not found: POST {asked}"
    assert str(s.as_agent_error(cast(s.AnyRequest, request), exc)) == f"there is no POST {asked}"
