"""WHEP in Chromium, on loopback: from the POST of an offer to the first picture."""

from __future__ import annotations

import asyncio
import shutil
import sys
from typing import Any

import httpx

from harness import ROOT, Results, main, spread

sys.path.insert(0, str(ROOT / "tests"))


async def measure(results: Results, count: int) -> None:
    from lipwire.app.config import Config
    from lipwire.app.service import Service
    from support.browsing import browser
    from support.machine import CHROMIUM
    from support.provider_stage import start_body

    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        results.skip("whep", "chromium is missing")
        return
    player = (ROOT / "tests" / "support" / "whep_in_browser.js").read_text()
    config = Config(http_port=0, ws_port=0, viewer_port=0, host="127.0.0.1", ice_host="127.0.0.1")
    async with (
        Service(config) as service,
        httpx.AsyncClient(trust_env=False, timeout=60, headers={"x-api-key": service.api_key}) as http,
        browser(chromium) as launched,
    ):
        body = start_body(width=640, height=360, fps=25)
        session = (await http.post(f"{service.http_url}/session/start", json=body)).json()["session_id"]
        page: Any = await launched.new_page()
        await page.goto(f"{service.viewer_url}schema/openapi.json")
        await page.evaluate(player)
        took = []
        for number in range(count + 2):
            ms = await page.evaluate("(url) => window.whep.watch(url)", f"{service.viewer_url}whep/{session}")
            took += [ms] * (number >= 2)  # the browser's first ones start its codecs
            await page.evaluate("window.whep.end()")
    times = spread(took)
    results.add("POST -> first picture", times["p50"], "ms", n=len(took), goal="<= 400", **times)


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 10 if quick else 40))


if __name__ == "__main__":
    main(run, __doc__)
