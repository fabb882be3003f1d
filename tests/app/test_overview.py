"""app/overview.py: GET /cluster of a server that serves alone, and who may ask for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.cluster.placement import UNIT
from lipwire.cluster.view import ClusterView, WorkerView
from lipwire.provider.client import ProviderClient, request
from lipwire.provider.keys import key_line

KEY, ACME = "the operator's key", "lw_" + 32 * "a"
PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1", "ice_host": "127.0.0.1"}


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    keys = tmp_path / "keys"
    keys.write_text(key_line("acme", ACME) + "\n")
    config = Config(**PORTS, api_key=KEY, api_keys_file=str(keys), max_sessions=2, preencoded="off")
    async with Service(config) as running:
        yield running


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers=headers)


async def worker(service: Service) -> WorkerView:
    reply = await get(f"{service.http_url}/cluster", **{"x-api-key": KEY})
    assert reply.status_code == 200, reply.text
    view = msgspec.json.decode(reply.content, type=ClusterView)
    [node] = view.nodes
    assert view.asked == node.name and view.nats == "none" and node.http_url == service.http_url
    [only] = node.workers
    assert node.state == only.state
    return only


async def test_a_server_that_serves_alone_is_one_node_with_one_worker(service: Service) -> None:
    before = await worker(service)
    assert (before.pid, before.state, before.used, before.capacity) == (os.getpid(), "up", 0, 2 * UNIT)
    assert before.figures.sessions == 0 and before.figures.memory_mb > 10
    body = request("a", width=64, height=36)
    async with ProviderClient(service.http_url, KEY, body) as client:
        await client.speak(b"\1\0" * 16_000 * 20, 16_000, pace=None)
        async with asyncio.timeout(20):
            while (now := await worker(service)).figures.talking == 0 or now.figures.cpu == 0:
                await asyncio.sleep(0.1)
        assert now.figures.sessions == 1 and now.figures.talking == 1 and 0 < now.used < now.capacity
        assert now.state == "up" and now.figures.cpu > 0 and now.age > before.age
        async with ProviderClient(service.http_url, KEY, request("b", width=64, height=36)):
            assert (await worker(service)).state == "full"
        draining = asyncio.ensure_future(service.provider.drain(5))
        await asyncio.sleep(0)
        assert (await worker(service)).state == "draining"
        draining.cancel()


async def test_metrics_tell_the_same(service: Service) -> None:
    async with asyncio.timeout(20):
        while (await worker(service)).figures.cpu == 0:  # the first second is not over
            await asyncio.sleep(0.1)
    text = (await get(f"{service.http_url}/metrics")).text
    told = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert told["lipwire_cpu_seconds_total"] == pytest.approx(time.process_time(), abs=5)
    assert told["lipwire_memory_bytes"] > 10 << 20 and 0 <= told["lipwire_loop_lag_seconds"] < 20
    assert told["lipwire_overloaded"] == told["lipwire_events_waiting"] == told["lipwire_skew_seconds_max"] == 0


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 403, "MISSING_API_KEY"),
        ("wrong", 401, "INVALID_API_KEY"),
        (ACME, 403, "NOT_ALLOWED"),
        (KEY, 200, None),
    ],
)
async def test_only_the_operators_key_opens_it(service: Service, key: str | None, status: int, code: str) -> None:
    headers = {} if key is None else {"x-api-key": key}
    reply = await get(f"{service.http_url}/cluster", **headers)
    assert (reply.status_code, reply.json().get("code")) == (status, code)


async def test_the_pages_way_takes_the_operators_token_as_well(service: Service) -> None:
    issue = service.provider.authority.issue
    operator, acme = (issue("owner", owner, "admin", ttl=60, owner=owner) for owner in ("operator", "acme"))
    room = issue("room", "lobby", "host", ttl=60, owner="operator", name="a")
    url = f"{service.viewer_url}api/cluster"
    for token, status, code in ((operator, 200, None), (acme, 403, "NOT_ALLOWED"), (room, 403, "NOT_ALLOWED")):
        reply = await get(url, authorization=f"Bearer {token}")
        assert (reply.status_code, reply.json().get("code")) == (status, code)
    assert (await get(url)).json()["code"] == "MISSING_TOKEN"
    assert (await get(url, **{"x-api-key": KEY})).status_code == 200
