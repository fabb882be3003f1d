"""servers/webhooks.py over real HTTP: order, repeats, bounds, and what becomes of notices that nobody takes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.protocol import webhooks as w
from lipwire.provider.client import ProviderClient
from lipwire.provider.client import request as start_request
from lipwire.servers import webhooks as module
from lipwire.servers.webhooks import WebhookCollector, Webhooks
from support.fakes.server import HttpFake, Request, Response

pytestmark = pytest.mark.asyncio

SECRET = "the-webhook's-secret"
KEY = "a-key-for-tests"


class Receiver(HttpFake):
    """Takes notices; `hang` seconds before each answer."""

    path = "/hooks"

    def __init__(self) -> None:
        super().__init__()
        self.hang = 0.0
        self.taken: list[dict[str, Any]] = []

    async def answer(self, request: Request) -> Response:
        await asyncio.sleep(self.hang)
        if not w.verify(request.body, request.headers, SECRET):
            return self.refuse(["not signed"])
        self.taken.append(json.loads(request.body))
        return Response(200, b"{}")

    def of(self, subject: str) -> list[int]:
        return [one["payload"]["n"] for one in self.taken if one["sid"] == subject]


def notice(subject: str, n: int, event_type: int = w.JOINED, **more: Any) -> w.Notice:
    return w.Notice(event_type=event_type, notify_ms=n, sid=subject, payload={"n": n} | more)


async def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of ms in place of seconds."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.1)


async def test_each_subject_has_its_order_and_none_waits_for_another() -> None:
    async with Receiver() as receiver:
        hooks = Webhooks(receiver.url, SECRET)
        for n in range(20):
            for subject in ("a", "b", "c"):
                hooks.put(notice(subject, n))
        await until(lambda: len(receiver.taken) == 60)
        assert all(receiver.of(subject) == list(range(20)) for subject in "abc")
        assert {one["sid"] for one in receiver.taken[:6]} == {"a", "b", "c"}
        await hooks.close()
        assert (hooks.counts["sent"], hooks.waiting) == (60, 0)


@pytest.mark.usefixtures("quick")
async def test_what_is_not_taken_comes_again_the_same_to_the_byte_before_what_came_later() -> None:
    async with Receiver() as receiver:
        receiver.fail_with = [500, 0, 429]
        hooks = Webhooks(receiver.url, SECRET)
        hooks.put(notice("a", 0))
        hooks.put(notice("a", 1))
        await until(lambda: len(receiver.taken) == 2)
        assert receiver.of("a") == [0, 1]
        first = [one for one in receiver.received if json.loads(one.body)["payload"]["n"] == 0]
        assert len({one.body for one in first}) == len({one.headers["agora-signature-v2"] for one in first}) == 1
        await hooks.close()
        assert hooks.counts["sent"] == 2 and hooks.counts["retried"] >= 2 and hooks.counts["failed"] == 0


@pytest.mark.usefixtures("quick")
async def test_after_three_repeats_a_notice_is_given_up_and_the_next_one_has_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Receiver() as receiver:
        receiver.fail_with = [503, 400, 302, 500]  # whatever it is, it was not taken
        hooks = Webhooks(f"{receiver.url}", SECRET)
        hooks.put(notice("a", 0))
        hooks.put(notice("a", 1))
        await until(lambda: hooks.counts["sent"] == 1)
        assert receiver.of("a") == [1]
        assert (hooks.counts["failed"], hooks.counts["retried"]) == (1, 3)
        assert "given up after 4 tries" in caplog.text and "answered 500" in caplog.text
        await hooks.close()


async def test_with_the_receiver_down_the_longer_setting_loses_nothing_and_keeps_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a tenth of the real waits."""
    for name in ("FIRST_WAIT", "LONGEST_WAIT"):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)
    receiver = Receiver()
    async with receiver:
        url = receiver.url
    hooks = Webhooks(url, SECRET, retry=30.0)
    for n in range(30):
        for subject in ("a", "b", "c", "d"):
            hooks.put(notice(subject, n))
        await asyncio.sleep(0.1)
    assert hooks.waiting == 120
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    server = await asyncio.start_server(receiver._connected, "127.0.0.1", port)
    try:
        await until(lambda: len(receiver.taken) == 120)
        assert all(receiver.of(subject) == list(range(30)) for subject in "abcd")
        await hooks.close()
        assert hooks.counts["failed"] == hooks.counts["dropped"] == 0
    finally:
        server.close()


async def test_a_receiver_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.02)
    async with Receiver() as receiver:
        receiver.hang = 5.0
        hooks = Webhooks(receiver.url, SECRET)
        hooks.put(notice("a", 0))
        await until(lambda: hooks.counts["failed"] == 1)
        assert len(receiver.received) == 4
        hooks.put(notice("b", 1))
        began = asyncio.get_running_loop().time()
        await hooks.close(0.1)
        assert asyncio.get_running_loop().time() - began < 3.0
        assert (hooks.counts["dropped"], hooks.waiting) == (1, 0)
        hooks.put(notice("b", 2))  # after the end
        assert hooks.counts["dropped"] == 2


async def test_what_waits_is_bounded_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = Webhooks("http://127.0.0.1:9/", None, most=3)
    for n in range(5):
        hooks.put(notice(str(n), n))
    assert (hooks.waiting, hooks.counts["dropped"]) == (3, 2)
    await hooks.close(0.0)
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    hooks = Webhooks("http://127.0.0.1:9/", None)
    hooks.put(notice("a", 0, text="x" * 700))
    hooks.put(notice("a", 1, text="x" * 700))
    hooks.put(notice("a", 2))
    assert (hooks.waiting, hooks.counts["dropped"]) == (2, 1)
    await hooks.close(0.0)


async def test_what_fails_again_and_again_takes_no_room_from_others() -> None:
    hooks = Webhooks("http://127.0.0.1:9/", None, most=200)
    for n in range(1000):
        hooks.put(notice("flood", n, w.FAILED))
    assert (hooks.waiting, hooks.counts["dropped"]) == (module.MOST_FAILURES, 900)
    hooks.put(notice("flood", 1000, w.LEFT))
    hooks.put(notice("other", 0, w.FAILED))
    hooks.put(notice("other", 1, w.LEFT))
    assert (hooks.waiting, hooks.counts["dropped"]) == (module.MOST_FAILURES + 3, 900)
    await hooks.close(0.0)


async def test_only_the_events_that_are_asked_for() -> None:
    async with Receiver() as receiver:
        hooks = Webhooks(receiver.url, SECRET, events=[w.LEFT])
        hooks.put(notice("a", 0))
        hooks.put(notice("a", 1, w.LEFT))
        await until(lambda: bool(receiver.taken))
        await hooks.close()
        assert receiver.of("a") == [1]


async def test_secrets_are_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Receiver() as receiver:
        receiver.fail_with = [500]
        url = receiver.url.replace("//", "//someone:hidden-password@") + "?key=hidden-key"
        receiver.path += "?key=hidden-key"
        hooks = Webhooks(url, SECRET)
        hooks.put(notice("a", 0))
        await until(lambda: hooks.counts["sent"] == 1)
        assert receiver.received[-1].headers["authorization"].startswith("Basic ")
        await hooks.close()
    assert "again in" in caplog.text
    assert not any(secret in caplog.text for secret in ("hidden-password", "hidden-key", SECRET))


async def test_figures_for_prometheus() -> None:
    hooks = Webhooks("http://127.0.0.1:9/", None, most=1)
    hooks.put(notice("a", 0))
    hooks.put(notice("a", 1))
    found = {sample.name: sample.value for family in WebhookCollector(hooks).collect() for sample in family.samples}
    assert (found["lipwire_webhooks_waiting"], found["lipwire_webhooks_dropped_total"]) == (1, 1)
    await hooks.close(0.0)


async def test_a_server_tells_of_its_agents_and_sessions() -> None:
    async with Receiver() as receiver:
        config = Config(
            http_port=0,
            ws_port=0,
            viewer=False,
            host="127.0.0.1",
            api_key=KEY,
            agent_brain="echo",
            webhook_url=receiver.url,
            webhook_secret=SECRET,
            drain_seconds=0.0,
        )
        async with Service(config) as service:
            base = f"{service.http_url}/api/conversational-ai-agent/v2/projects/x"
            body = {
                "name": "told",
                "properties": {
                    "channel": "lobby",
                    "agent_rtc_uid": "7",
                    "remote_rtc_uids": ["*"],
                    "llm": {"url": "http://llm.invalid/v1", "greeting_message": "Hello."},
                },
            }
            async with httpx.AsyncClient(auth=("me", KEY)) as http:
                joined = (await http.post(f"{base}/join", json=body)).raise_for_status().json()
                agent = joined["agent_id"]
                said = {"text": "One word."}
                (await http.post(f"{base}/agents/{agent}/speak", json=said)).raise_for_status()
                (await http.post(f"{base}/agents/{agent}/leave")).raise_for_status()
            async with ProviderClient(service.http_url, KEY, start_request("c", width=64, height=36)):
                pass
            last = {w.LEFT, w.SESSION_ENDED}
            await until(lambda: last <= {one["eventType"] for one in receiver.taken})
            assert service.webhooks is not None
            counts = service.webhooks.counts
        assert counts["failed"] == counts["dropped"] == 0
        told = [one for one in receiver.taken if one["sid"] == agent]
        kinds = [one["eventType"] for one in told]
        assert kinds[0] == w.JOINED and kinds[-1] == w.LEFT
        assert w.TURNS in kinds
        assert all(one["payload"]["channel"] == "lobby" and one["payload"]["name"] == "told" for one in told)
        assert told[-1]["payload"]["status"] == "STOPPED" and told[-1]["payload"]["message"] == "OK"
        sessions = [one for one in receiver.taken if "session_id" in one["payload"]]
        assert [one["eventType"] for one in sessions] == [w.SESSION_STARTED, w.SESSION_ENDED]
        assert sessions[1]["payload"]["message"] == "stopped"


@pytest.mark.parametrize("error", [ValueError("no such codec"), OSError("gone"), MemoryError()])
async def test_what_nobody_foresaw_costs_one_notice_and_not_those_behind_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    real, broken = module.ServiceClient.post, [error]

    async def post(client: module.ServiceClient, *args: Any, **more: Any) -> httpx.Response:
        if broken:
            raise broken.pop()
        return await real(client, *args, **more)

    monkeypatch.setattr(module.ServiceClient, "post", post)
    async with Receiver() as receiver:
        hooks = Webhooks(receiver.url, SECRET)
        for n in range(3):
            hooks.put(notice("one", n))
        await until(lambda: hooks.waiting == 0)
        hooks.put(notice("one", 3))
        await until(lambda: hooks.waiting == 0)
        assert receiver.of("one") == [1, 2, 3]
        assert (hooks.counts["failed"], hooks.counts["sent"]) == (1, 3)
        assert any("[one] a notice was given up" in record.getMessage() for record in caplog.records)
        await hooks.close()
