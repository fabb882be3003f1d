"""When each thing in a list came, for who puts lists of several workers together."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.servers.order import read_order
from support.agent_bodies import V2, changed
from support.agent_site import C2, basic
from support.provider_stage import start_body

ORDER = {"x-lipwire-order": "1"}


async def test_lists_tell_it_to_who_asks(tmp_path: Path) -> None:
    config = Config(
        api_key="k", host="127.0.0.1", http_port=0, ws_port=0, viewer_port=0, agent_brain="echo", agora="off"
    )
    before = time.time_ns() // 1000
    async with (
        Service(config) as service,
        httpx.AsyncClient(trust_env=False, timeout=60, headers={"x-api-key": "k"} | basic("k")) as http,
    ):
        api, pages = service.http_url, service.viewer_url
        for n in range(3):
            channel = start_body()["agora_settings"] | {"channel": f"c{n}"}
            body = start_body(width=64, height=64, fps=25, agora_settings=channel)
            assert (await http.post(f"{api}/session/start", json=body)).status_code == 200
            agent = changed(changed(V2, "name", f"a{n}"), "properties.channel", f"r{n}")
            assert (await http.post(f"{api}{C2}/join", json=agent)).status_code == 200
        for place, count in ((f"{pages}api/sessions", 3), (f"{pages}api/rooms", 3), (f"{api}{C2}/agents?limit=2", 2)):
            told = await http.get(place, headers=ORDER)
            order = read_order(told.headers.raw)
            assert order == sorted(set(order)) and len(order) == count
            assert before < order[0] and order[-1] <= time.time_ns() // 1000
            plain = await http.get(place)
            assert "x-lipwire-order" not in plain.headers and plain.content == told.content


def test_of_nothing() -> None:
    assert read_order([(b"X-Lipwire-Order", b"")]) == read_order([]) == []
    assert read_order([(b"X-Lipwire-Order", b"5,7")]) == [5, 7]
