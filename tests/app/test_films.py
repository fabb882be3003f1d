"""Films of sessions and agents, over a whole service: where they are, that they play, and what is said when."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.errors import NoCapacity
from lipwire.provider.client import request
from lipwire.provider.keys import OPERATOR, key_line, make_key
from lipwire.publish.film_folder import LEAST
from lipwire.session.subtitles import Cue, read_transcript
from support.agent_bodies import V2, changed
from support.agent_site import basic
from support.broadcast import RATE, SPEC, claps, read

KEY = "a-key-for-tests"
WAIT = 60
AGENTS = "/api/conversational-ai-agent/v2/projects/app"


def config(**more: Any) -> Config:
    fields: dict[str, Any] = {"host": "127.0.0.1", "http_port": 0, "ws_port": 0, "viewer": False, "api_key": KEY}
    return Config(**(fields | {"ice_host": "127.0.0.1", "agent_brain": "script", "end_of_turn": "silence"} | more))


@pytest_asyncio.fixture
async def films(tmp_path: Path) -> AsyncIterator[tuple[Service, httpx.AsyncClient, Path]]:
    folder = tmp_path / "films"
    async with (
        Service(config(films=str(folder))) as service,
        httpx.AsyncClient(
            base_url=service.http_url, trust_env=False, timeout=WAIT, headers={"x-api-key": KEY} | basic(KEY)
        ) as client,
    ):
        yield service, client, folder


def start(**record: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(request("c", width=64, height=36))
    return body | {"record": record}


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT):
        while not what():
            await asyncio.sleep(0.02)


async def test_a_session_that_asks_for_it_is_filmed(films: tuple[Service, httpx.AsyncClient, Path]) -> None:
    service, client, folder = films
    reply = await client.post("/session/start", json=start(file="a talk.mp4"))
    assert reply.status_code == 200, reply.text
    assert reply.json()["granted"]["record"] == {"file": "operator/a talk.mp4"}
    session_id = reply.json()["session_id"]
    filmed: Any = service.watched[session_id].session
    await until(lambda: filmed.stats()["film"]["seconds"] > 0.2)
    again = await client.post("/session/start", json=start(file="a talk.webm") | {"quality": "low"})
    assert (again.status_code, again.json()["code"]) == (400, "VALIDATION_ERROR")
    assert "there is such a film already" in again.json()["message"]
    assert session_id not in service.watched  # it took the place of one that it could not fill
    shown = read(str(folder / "operator" / "a talk.mp4"))
    assert shown.codecs == ("h264", "aac")


async def test_what_was_said_is_heard_in_it_and_figures_tell_of_it(
    films: tuple[Service, httpx.AsyncClient, Path],
) -> None:
    service, client, folder = films
    started = (await client.post("/session/start", json=start())).json()
    place = started["granted"]["record"]["file"]
    assert re.fullmatch(rf"operator/[\dTZ-]+-{started['session_id']}\.mp4", place)
    session = service.watched[started["session_id"]].session
    for event_id in (None, "line-2"):
        session.write(claps(1) if event_id is None else bytes(RATE // 5 * 2), RATE, event_id)
        session.end()
        await asyncio.wait_for(session.finished(), WAIT)
    figures = (await client.get(f"/session/{started['session_id']}")).json()["stats"]
    assert figures["film"]["state"] == "recording" and figures["film"]["seconds"] > 0
    assert "lipwire_films 1.0" in (await client.get("/metrics")).text
    await service.drain(0)  # as a server that is asked to end
    shown = read(str(folder / place))
    assert len(shown.bursts()) == 1 and len(shown.times) > 20
    cues: Any = read_transcript((folder / place).with_suffix(".vtt"))
    assert [cue.text for cue in cues] == ["speech", "line-2"], "its words are its client's to know"
    assert [round(cue.end - cue.start, 2) for cue in cues] == [1, 0.2]
    assert cues[0].start < shown.bursts()[0] < cues[0].end <= cues[1].start
    assert service.films is not None and service.films.counts["finished"] == 1


async def test_an_agent_is_filmed_with_what_it_said(films: tuple[Service, httpx.AsyncClient, Path]) -> None:
    service, client, folder = films
    body = changed(V2, "properties.record", {"file": "agent.webm"})
    body["properties"] |= {
        "avatar": {"enable": True, "params": {"width": 64, "height": 36}},
        "idle_timeout": 0,
    }
    joined = (await client.post(f"{AGENTS}/join", json=body)).json()
    assert joined["record"] == {"file": "operator/agent.webm"}, joined
    here = f"{AGENTS}/agents/{joined['agent_id']}"
    said = await client.post(f"{here}/speak", json={"text": "One, two, three. And four."})
    assert said.status_code == 200, said.text
    agent: Any = service.agents.running(joined["agent_id"])
    await until(agent.history)
    left = (await client.post(f"{here}/leave", json={})).json()
    assert left["record"] == {"file": "operator/agent.webm"}
    refused = await client.post(f"{AGENTS}/join", json=changed(body, "properties.record", {"file": "agent.mp4"}))
    assert refused.status_code == 400 and "there is such a film already" in refused.json()["detail"]
    refused = await client.post("/session/start", json=start(file="agent.mp4"))
    assert refused.status_code == 400 and "there is such a film already" in refused.json()["message"]
    assert service.films is not None and (service.films.active, service.films.counts["started"]) == (0, 1)
    shown = read(str(folder / "operator" / "agent.webm"))
    assert shown.codecs == ("vp9", "opus")
    cues: Any = read_transcript(folder / "operator" / "agent.vtt")
    assert [cue.text for cue in cues] == ["One, two, three.", "And four."] and isinstance(cues[0], Cue)
    # Times are the film's: the first cue begins where speech begins, the last ends where it ends.
    loud = np.flatnonzero(np.abs(shown.sound) > 0.02) / RATE
    assert abs(cues[0].start - loud[0]) < 0.25 and abs(cues[-1].end - loud[-1]) < 0.5
    assert f"<v {joined['name']}>" in (folder / "operator" / "agent.vtt").read_text()


async def test_without_a_folder_nobody_is_filmed() -> None:
    async with (
        Service(config()) as service,
        httpx.AsyncClient(
            base_url=service.http_url, trust_env=False, headers={"x-api-key": KEY} | basic(KEY)
        ) as client,
    ):
        refused = await client.post("/session/start", json=start(file="x.mp4"))
        assert (refused.status_code, refused.json()["code"]) == (400, "VALIDATION_ERROR")
        assert "its setting films" in refused.json()["message"]
        refused = await client.post(f"{AGENTS}/join", json=changed(V2, "properties.record", {}))
        assert refused.status_code == 400 and "its setting films" in refused.json()["detail"]
        for bad in ({"file": "../x.mp4"}, {"file": 5}, "x.mp4"):
            wrong = await client.post("/session/start", json=start() | {"record": bad})
            assert wrong.status_code == 400 and "record" in wrong.json()["message"], bad


async def test_films_of_an_owner_have_the_room_that_the_file_of_keys_says(tmp_path: Path) -> None:
    lines = key_line("acme", make_key(), {"films_mb": 0}), key_line("other", make_key())
    (tmp_path / "keys").write_text("\n".join(lines))
    service = Service(config(films=str(tmp_path), key_films_mb=1, api_keys_file=str(tmp_path / "keys")))
    assert service.films is not None
    for owner, room in (("acme", False), ("other", True), (OPERATOR, True)):
        film = service.films.open(owner, "x.mp4", "s")
        if room:
            await film.open(SPEC)
        else:
            with pytest.raises(NoCapacity, match="key_films_mb"):
                await film.open(SPEC)
        assert film.charge(LEAST) == (owner == OPERATOR)
        await film.close()
