"""The kit against Lipwire itself, over real sockets; and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.conformance import RULES, Report, Result, Target, Unreachable, run
from lipwire.conformance.rule import select

KEY = "a-key-for-tests"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    config = Config(
        http_port=0,
        ws_port=0,
        viewer_port=0,
        host="127.0.0.1",
        ice_host="127.0.0.1",
        api_key=KEY,
        session_secret=SECRET,
    )
    async with Service(config) as running:
        yield running


def target(service: Service, **more: object) -> Target:
    """Patient: a busy machine is no fault of the provider's."""
    fields = {"patience": 30.0, "tolerance": 10.0, "start_within": 20.0, "token_secret": SECRET} | more
    return Target(http=service.http_url, api_key=KEY, **fields)  # type: ignore[arg-type]


def told(report: Report, outcome: str) -> dict[str, str]:
    return {result.rule.id: result.came for result in report.results if result.outcome == outcome}


async def test_lipwire_keeps_every_rule(service: Service) -> None:
    seen: list[Result] = []
    report = await run(target(service), RULES, parallel=8, progress=seen.append)
    assert told(report, "fail") == told(report, "error") == {}
    assert told(report, "skip").keys() == {"http.channel-in-use"}
    assert [result.rule for result in report.results] == list(RULES)
    assert {result.rule.id for result in seen} == {rule.id for rule in RULES}
    assert report.conformant
    assert set(report.events) == {"error", "heartbeat_ack", "init_ack", "playback_finished", "playback_started"}
    assert service.provider.sessions == []


async def test_nothing_secret_is_in_what_went_over_the_wire(service: Service) -> None:
    report = await run(target(service), select(RULES, ["http.stop", "handshake"]))
    wire = [line for result in report.results for line in result.wire]
    assert any("DELETE /session/stop" in line for line in wire)
    assert not any(KEY in line or SECRET in line or "eyJ" in line for line in wire)
    assert b"eyJ" not in report.json() + report.junit()


async def test_one_channel_for_all(service: Service) -> None:
    """`--channel`: sessions replace each other, so rules run one by one, and one that takes two channels is skipped."""
    chosen = select(RULES, ["http.stop", "life.stop"])
    report = await run(target(service, channel="only-one"), chosen, parallel=8)
    assert told(report, "fail") == {}
    assert told(report, "skip").keys() == {"http.stop.foreign-token"}
    assert service.provider.sessions == []


async def test_who_breaks_off_leaves_no_session(service: Service) -> None:
    chosen = select(RULES, ["speech"])
    job = asyncio.create_task(run(target(service), chosen, parallel=8))
    while len(service.provider.sessions) < 4:
        await asyncio.sleep(0.01)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert service.provider.sessions == []


async def test_a_wrong_key_and_no_provider_are_no_verdict(service: Service) -> None:
    with pytest.raises(Unreachable, match="refuses the API key: 401"):
        await run(Target(http=service.http_url, api_key="wrong"), RULES)
    with pytest.raises(Unreachable, match="no answer to POST /session/start"):
        await run(Target(http="http://127.0.0.1:9", api_key=KEY), RULES)
    with pytest.raises(Unreachable, match="no WebSocket at ws:"):
        await run(target(service, ws="ws://127.0.0.1:9"), RULES)
    assert service.provider.sessions == []
