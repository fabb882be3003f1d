"""servers/docs.py: what each API says of itself, held against the running server by schemathesis: no answer that is not
declared, no 500, and bodies of the shape that was promised."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lipwire.app.config import Config
from lipwire.app.service import Service
from support.agent_bodies import V2, changed
from support.agent_site import C2, basic
from support.provider_stage import start_body


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(ctx: Any, value: Any) -> bytes:
    """A body that is a text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12
"""For each operation."""
LIMITS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SHARED = {"403", "421", "500"}
"""What every operation declares."""


class Site:
    def __init__(self, service: Service, session_id: str) -> None:
        self.service, self.session_id = service, session_id


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1", agent_brain="echo")
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        body = start_body(width=64, height=64, fps=5)
        reply = await client.post(
            f"{service.http_url}/session/start", headers={"x-api-key": service.api_key}, json=body
        )
        yield Site(service, reply.json()["session_id"])


async def schema_of(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        found: dict[str, Any] = (await client.get(f"{url}/schema/openapi.json")).json()
        return found


def urls(service: Service) -> dict[str, str]:
    return {"http": service.http_url, "pages": service.viewer_url.rstrip("/")}


@pytest.mark.parametrize("side", ["http", "pages"])
async def test_every_operation_names_the_statuses_that_all_share(site: Site, side: str) -> None:
    schema = await schema_of(urls(site.service)[side])
    operations = [
        (f"{method} {path}", operation) for path, item in schema["paths"].items() for method, operation in item.items()
    ]
    assert len(operations) > 8
    for name, operation in operations:
        assert set(operation["responses"]) >= SHARED, name
        if "requestBody" in operation:
            assert set(operation["responses"]) >= {"400", "413", "415"}, name


CODE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


@pytest.mark.parametrize("side", ["http", "pages"])
async def test_the_codes_are_those_of_the_operation_each_once(site: Site, side: str) -> None:
    schema = await schema_of(urls(site.service)[side])
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                codes = CODE.findall(answer["description"])
                assert len(codes) == len(set(codes)), (method, path, status, codes)
                if "BUFFER_FULL" in codes:
                    assert path.endswith("/say")
                if "SESSION_LIMIT" in codes:
                    assert path == "/session/start"
            if side == "pages" and "401" in operation["responses"]:
                assert set(CODE.findall(operation["responses"]["401"]["description"])) == {
                    *("MISSING_TOKEN", "INVALID_TOKEN", "INVALID_API_KEY")
                }, path
                assert set(CODE.findall(operation["responses"]["403"]["description"])) == {
                    *("NOT_ALLOWED", "ORIGIN_NOT_ALLOWED"),
                    *(["NO_MOTION"] if path.startswith("/whep/") and method == "post" and "peers" not in path else []),
                }, path


class Running:
    """An agent that is there, whatever has become of the ones before."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = f"{url}{C2}", headers
        self.agent_id, self.count = "", 0

    def __call__(self) -> str:
        with httpx.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=30) as client:
            if not self.agent_id or client.get(f"/agents/{self.agent_id}").json()["status"] != "RUNNING":
                self.count += 1
                body = changed(changed(V2, "name", f"there {self.count}"), "properties.channel", f"there {self.count}")
                reply = client.post("/join", json=changed(body, "properties.idle_timeout", 0))
                self.agent_id = reply.json()["agent_id"]
                client.post(f"/agents/{self.agent_id}/think", json={"text": "Hello."})
        return self.agent_id


def storm(url: str, raw: dict[str, Any], session_id: str, key: str) -> tuple[dict[int, int], set[str]]:
    """Requests that the description allows, and such as it does not, to every operation; how many had which status, and
    which operations had a 200."""
    schema = schemathesis.openapi.from_dict(raw)
    seen: dict[int, int] = {}
    went: set[str] = set()
    headers = {"x-api-key": key} | basic(key)
    running = Running(url, headers)

    def judge(case: Any) -> None:
        if "session_id" in case.path_parameters and len(str(case.path_parameters["session_id"])) % 2:
            case.path_parameters["session_id"] = session_id  # one that is there
        if "agent_id" in case.path_parameters and len(str(case.path_parameters["agent_id"])) % 3:
            case.path_parameters["agent_id"] = running()
        response = case.call(base_url=url, headers=headers, timeout=30)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        if response.status_code == 200:
            went.add(case.operation.label)
        case.validate_response(response, checks=CHECKS)

    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            cases: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=mode)
            run = seed(15)(LIMITS(given(case=cases)(lambda case: judge(case))))
            with contextlib.suppress(Unsatisfiable):  # an operation that nothing can be wrong about
                run()
    return seen, went


@pytest.mark.slow
@pytest.mark.parametrize("side", ["http", "pages"])
async def test_nothing_is_answered_that_was_not_declared(
    site: Site, side: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = urls(site.service)[side]
    raw = await schema_of(url)
    seen, went = await asyncio.to_thread(storm, url, raw, site.session_id, site.service.api_key)
    assert sum(seen.values()) > 100, seen
    assert seen.get(500, 0) == 0
    assert {200, 400} <= set(seen), seen
    if side == "http":
        asked = {label.rpartition("/")[2] for label in went if "/v2/projects/{appid}/" in label}
        assert asked >= {"agents", "{agent_id}", "history", "turns", "speak", "think", "interrupt", "update", "leave"}
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
