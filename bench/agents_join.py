"""How long it takes from a request to start an agent to its answer, which comes when the agent runs in its room.

`lipwire serve` runs in a process of its own, as it is; the services that agents use are local fakes in this one. One
agent after the other joins a room of its own over REST, over a connection that stays open, and leaves: with the cascade
(chat, speech to text and text to speech over HTTP), without a face and with Aria at 640x360, and with a Realtime model,
whose WebSocket is open before the answer comes. The first join of each kind, which loads what is needed, is told apart.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx

from harness import ROOT, Results, main, percentile, spread
from served import KEY, serving

sys.path.append(str(ROOT / "tests"))

from support.fakes import FakeChat, FakeRealtime, FakeStt, FakeTts

AGENTS = "/api/conversational-ai-agent/v2/projects/bench"
FACE = {"enable": True, "vendor": "generic", "params": {"avatar_id": "aria", "quality": "medium"}}


def body(number: int, url: str, face: bool) -> dict[str, Any]:
    """A join of v2."""
    properties: dict[str, Any] = {
        "channel": f"room-{number}",
        "agent_rtc_uid": "1001",
        "remote_rtc_uids": ["*"],
        "llm": {"url": url, "api_key": "x", "params": {"model": "m"}},
    }
    return {"name": f"agent-{number}", "properties": properties | ({"avatar": FACE} if face else {})}


async def joined(http: httpx.AsyncClient, asked: dict[str, Any]) -> float:
    """Ms until an agent of REST v2 runs; it leaves again."""
    began = time.perf_counter()
    reply = await http.post(f"{AGENTS}/join", json=asked)
    took = (time.perf_counter() - began) * 1000
    answer = reply.json()
    assert (reply.status_code, answer.get("status")) == (200, "RUNNING"), reply.text
    left = await http.post(f"{AGENTS}/agents/{answer['agent_id']}/leave")
    assert left.json()["status"] == "STOPPED", left.text
    return took


async def started(http: httpx.AsyncClient, number: int) -> float:
    """Ms until an agent of /start_agent runs, which thinks by a Realtime model; it is stopped again."""
    channel = {"channel_name": f"realtime-{number}"}
    began = time.perf_counter()
    reply = await http.post("/start_agent", json=channel | {"uid": 1})
    took = (time.perf_counter() - began) * 1000
    assert reply.status_code == 200, reply.text
    left = await http.post("/stop_agent", json=channel)
    assert left.status_code == 200, left.text
    return took


async def measure(results: Results, count: int) -> None:
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat("Well."))
        stt = await stack.enter_async_context(FakeStt("hello"))
        tts = await stack.enter_async_context(FakeTts())
        realtime = await stack.enter_async_context(FakeRealtime())
        settings = {
            "LIPWIRE_LLM_URL": chat.url,
            "LIPWIRE_STT_URL": stt.url,
            "LIPWIRE_TTS_URL": tts.url,
            "LIPWIRE_OPENAI_URL": realtime.url,
            "LIPWIRE_OPENAI_API_KEY": "x",
            "LIPWIRE_PREENCODED": "off",
        }
        server = stack.enter_context(serving(settings=settings))
        await server.ready()
        headers, auth = {"x-api-key": KEY}, httpx.BasicAuth("bench", KEY)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=server.http, auth=auth, headers=headers, trust_env=False, timeout=60)
        )
        for what, goal in (("cascade", "<= 50"), ("cascade, a face at 640x360", "<= 50"), ("Realtime", "<= 50")):
            taken = []
            for number in range(count + 1):
                if what == "Realtime":
                    taken.append(await started(http, number))
                else:
                    taken.append(await joined(http, body(number, chat.url, "face" in what)))
                await asyncio.sleep(0.05)
            first, *rest = taken
            results.add(f"{what}: join -> RUNNING, p50", percentile(rest, 50), "ms", n=len(rest), goal=goal,
                        first=first, **spread(rest))  # fmt: skip


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 10 if quick else 100))


if __name__ == "__main__":
    main(run, __doc__)
