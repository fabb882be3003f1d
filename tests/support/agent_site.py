"""The REST side of agents, served on loopback."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx

from lipwire.agents.manager import AgentManager
from lipwire.app.config import Config
from lipwire.app.service import Service
from support.agent_stand_in import StandIn, inside

KEY = "the api key"


APP, CERTIFICATE = "0123456789abcdef" * 2, "fedcba9876543210" * 2


C1 = f"/api/conversational-ai-agent/v1/projects/{APP}"
C2 = f"/api/conversational-ai-agent/v2/projects/{APP}"
"""Where v1 and v2 are."""


Response = tuple[int, Any]


def is_refused(reply: Response, status: int, reason: str, *words: str, **more: Any) -> None:
    """Checks an answer of C's: these words in its detail, and these members besides."""
    code, body = reply
    assert (code, body.get("reason")) == (status, reason), body
    assert {name: value for name, value in body.items() if name not in ("detail", "reason")} == more
    for word in words:
        assert word in body["detail"]


def basic(key: str, name: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


class Site:
    """A service and a client of it."""

    def __init__(self, service: Service, client: httpx.AsyncClient) -> None:
        self.service, self.client, self.agents = service, client, service.agents

    async def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        headers = {"x-api-key": KEY} | basic(KEY) if headers is None else headers
        reply = await self.client.post(path, headers=headers, json=body)
        return reply.status_code, reply.json()

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Response:
        headers = {"x-api-key": KEY} | basic(KEY) if headers is None else headers
        reply = await self.client.get(path, headers=headers, params=query)
        return reply.status_code, reply.json()

    def agent(self, agent_id: str) -> StandIn:
        return cast(StandIn, self.agents.get(agent_id).agent)


async def serve(agents: AgentManager, **settings: Any) -> AsyncIterator[Site]:
    config = Config(
        api_key=KEY, host="127.0.0.1", http_port=0, ws_port=0, viewer=False, **({"end_of_turn": "silence"} | settings)
    )
    async with (
        Service(config, agents=agents) as service,
        httpx.AsyncClient(base_url=service.http_url, trust_env=False, timeout=30) as client,
    ):
        yield Site(service, client)
    assert inside == set()
