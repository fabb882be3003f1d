"""The receiver of examples/ takes what a server sends, once, and nothing that is not signed."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import httpx

from lipwire.protocol import webhooks as w
from lipwire.servers.webhooks import Webhooks
from support.paths import ROOT

SECRET = "choose-one"


async def test_it_believes_what_is_signed_and_acts_on_it_once() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "examples" / "webhook.py",
        "0",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "WEBHOOK_SECRET": SECRET},
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()[-1]
        notice = w.Notice(event_type=w.JOINED, notify_ms=1, sid="a", payload={"name": "one"})
        async with httpx.AsyncClient() as http:
            assert (await http.post(url, content=notice.body())).status_code == 401
            for _ in range(2):  # as after an answer that was lost
                answer = await http.post(url, content=notice.body(), headers=w.sign(notice.body(), SECRET))
                assert answer.status_code == 200
        hooks = Webhooks(url, SECRET)
        hooks.put(w.Notice(event_type=w.LEFT, notify_ms=2, sid="a", payload={"name": "two"}))
        said = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(2)]
        await hooks.close()
        assert [(line.split()[0], json.loads(line[line.index("{") :])["name"]) for line in said] == [
            ("101", "one"),
            ("102", "two"),
        ]
    finally:
        process.kill()
        await process.wait()
