"""What a front process costs: one server alone, and the same before one worker, asked for the same.

Of a session's figures, a page's file and a refused start: latency (one client, one request at a time), requests a
second (32 clients), and what a request costs of a processor in the process that the client speaks to: a front's part
comes on top of the worker's. Clients are httpx in a process of their own; all share the machine's cores, so rates of
the two are to be compared with each other only.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import httpx

from harness import Results
from harness import main as command_line
from lipwire.app.config import Config
from lipwire.app.front.server import FrontService
from lipwire.app.service import Service

KEY = "k" * 16
BODY: dict[str, Any] = {
    "avatar_id": "aria",
    "quality": "low",
    "version": "v1",
    "video_encoding": "H264",
    "agora_settings": {"app_id": "a", "channel": "c", "uid": "1", "enable_string_uid": False},
}
CLIENTS = 32


def config(workers: int) -> Config:
    ports: dict[str, Any] = dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0)
    settings: dict[str, Any] = {"host": "127.0.0.1", "ice_host": "127.0.0.1", "agora": "off", "log_level": "error"}
    limits: dict[str, Any] = {"key_request_rate": 1e6, "address_request_rate": 0}
    return Config(workers=workers, api_key=KEY, session_secret="s" * 32, **ports, **settings, **limits)


async def drive(url: str, pages: str, seconds: float) -> None:
    """Prints (median ms, 99th percentile ms, requests a second, requests) of each request, as soon as it is known."""
    async with httpx.AsyncClient(trust_env=False, headers={"x-api-key": KEY}, timeout=30) as http:
        session = (await http.post(f"{url}/session/start", json=BODY)).json()["session_id"]

        async def once(what: str) -> None:
            match what:
                case "figures":
                    reply = await http.get(f"{url}/session/{session}")
                case "file":
                    reply = await http.get(f"{pages}viewer.js")
                case _:
                    reply = await http.post(f"{url}/session/start", json=BODY | {"quality": "none"})
            assert reply.status_code == (400 if what == "refused" else 200), reply.text

        for what in ("figures", "file", "refused"):
            for _ in range(20):
                await once(what)
            took, end = [], time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                await once(what)
                took.append(1000 * (time.perf_counter() - began))
            done, began = 0, time.perf_counter()

            async def many(what: str = what, began: float = began) -> None:
                nonlocal done
                while time.perf_counter() < began + seconds:
                    await once(what)
                    done += 1

            await asyncio.gather(*(many() for _ in range(CLIENTS)))
            rate = done / (time.perf_counter() - began)
            count = done + len(took) + 20
            print(json.dumps([statistics.median(took), statistics.quantiles(took, n=100)[98], rate, count]), flush=True)


async def measure(server: Service | FrontService, seconds: float) -> dict[str, list[float]]:
    pages = server.viewer_url if isinstance(server, Service) else server.addresses.viewer_url
    command = [sys.executable, __file__, "--drive", server.http_url, pages, str(seconds)]
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert client.stdout is not None
    found = {}
    for what in ("figures", "file", "refused"):
        before = time.process_time()
        p50, p99, rate, count = json.loads(await client.stdout.readline())
        found[what] = [p50, p99, rate, 1000 * (time.process_time() - before) / count]
    await client.wait()
    return found


async def compare(results: Results, seconds: float) -> None:
    async with Service(config(1)) as alone:
        one = await measure(alone, seconds)
    async with FrontService(config(1)) as before:
        fronted = await measure(before, seconds)
    for what, (p50, p99, rate, cpu) in fronted.items():
        alone_p50, alone_p99, alone_rate, alone_cpu = one[what]
        n = round(rate * seconds)
        results.add(f"{what}: added by a front, p50", p50 - alone_p50, "ms", n=n, fronted=p50, alone=alone_p50)
        results.add(f"{what}: added by a front, p99", p99 - alone_p99, "ms", n=n, fronted=p99, alone=alone_p99)
        results.add(f"{what}: requests a second of a front", rate, "1/s", n=n, alone=alone_rate)
        results.add(f"{what}: a front's processor time", cpu, "ms", n=n, alone=alone_cpu)


def run(results: Results, quick: bool) -> None:
    asyncio.run(compare(results, 0.5 if quick else 5.0))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        asyncio.run(drive(sys.argv[2], sys.argv[3], float(sys.argv[4])))
    else:
        command_line(run, __doc__)
