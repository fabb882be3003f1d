"""servers/agents.py over real loopback HTTP: parts C and D of protocol.md, /token, and who may do what."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from msgspec import to_builtins

from lipwire.agents.config import AgentConfig
from lipwire.agents.rest import reading
from lipwire.errors import BadState, BufferFull, InvalidArgument
from lipwire.protocol.agent_bodies import InUse
from lipwire.protocol.tokens import verify_token
from lipwire.provider.client import request
from lipwire.provider.keys import add_key, key_line, make_key
from support.agent_bodies import V1, V2, changed
from support.agent_site import APP, C1, C2, CERTIFICATE, KEY, Site, basic, is_refused, serve
from support.agent_stand_in import StandIn, manager

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async for made in serve(manager(limit=4, start_timeout=0.3)):
        yield made


@pytest_asyncio.fixture
async def secured() -> AsyncIterator[Site]:
    """One with an Agora project."""
    async for made in serve(manager(), agora_app_id=APP, agora_app_certificate=CERTIFICATE):
        yield made


# ----------------------------------------------------------------------------------------------------------- C, v1, v2


@pytest.mark.parametrize("place", ["", "/cn"])
async def test_v1_from_join_to_leave(site: Site, place: str) -> None:
    before = int(time.time())
    code, joined = await site.post(f"{place}{C1}/join", V1)
    assert code == 200
    assert re.fullmatch(r"[0-9a-f]{32}", joined["agent_id"])
    assert (joined["state"], "status" in joined) == ("RUNNING", False)
    assert before <= joined["create_ts"] <= time.time()
    here = f"{place}{C1}/agents/{joined['agent_id']}"
    code, shown = await site.get(here)
    assert (code, shown) == (200, joined)
    assert (shown["name"], shown["channel"]) == ("unique_name", "test_channel")

    code, _ = await site.post(f"{here}/update", {"properties": {"custom_llm": {"prompt": "Be kind."}, "vad": {}}})
    assert code == 200
    agent = site.agent(joined["agent_id"])
    messages = [{"role": "system", "content": "Be kind."}]
    assert agent.done == [("update", {"llm.system_messages": messages, "instructions": "Be kind."})]
    assert (await site.get(f"{here}/history"))[0] == 404  # v2's

    code, left = await site.post(f"{here}/leave")
    assert (code, left["state"], left["message"]) == (200, "STOPPED", "left")
    assert left["stop_ts"] >= left["create_ts"]
    assert agent.done[-1] == ("stop", "left")
    is_refused(await site.post(f"{here}/leave"), 404, "TaskNotFound", "has ended: left")
    is_refused(await site.post(f"{here}/update", {"properties": {}}), 404, "TaskNotFound")
    assert (await site.get(here))[1]["state"] == "STOPPED"


async def test_v2_from_join_to_leave(site: Site) -> None:
    body = changed(V2, "properties.avatar", {"enable": True, "params": {"avatar_id": "kit"}})
    code, joined = await site.post(f"{C2}/join", body)
    assert (code, joined["status"], "state" in joined) == (200, "RUNNING", False)
    here = f"{C2}/agents/{joined['agent_id']}"
    agent = site.agent(joined["agent_id"])
    assert (agent.config.avatar, agent.config.brain) == ("kit", "cascade")
    before = int(time.time())
    code, said = await site.post(f"{here}/speak", {"text": "Hello.", "priority": "APPEND"})
    assert (code, said["agent_id"], said["channel"]) == (200, joined["agent_id"], "test_channel")
    assert before <= said["start_ts"] <= time.time() and said["create_ts"] == joined["create_ts"]
    assert (await site.post(f"{here}/interrupt"))[0] == 200
    assert (await site.post(f"{here}/interrupt", {}))[0] == 200
    assert agent.done == [("speak", "Hello.", "APPEND", True), ("interrupt",), ("interrupt",)]
    code, history = await site.get(f"{here}/history")
    assert (code, history["contents"]) == (200, [{"role": "assistant", "content": "Hello."}])
    assert (history["agent_id"], history["status"]) == (joined["agent_id"], "RUNNING")
    code, turns = await site.get(f"{here}/turns")
    assert (code, [turn["start"]["type"] for turn in turns["turns"]]) == (200, ["api_speak"])
    await site.post(f"{here}/leave")
    code, after = await site.get(f"{here}/turns")
    assert (code, after) == (200, turns | {"status": "STOPPED"})
    code, history = await site.get(f"{here}/history")
    assert (code, history["status"], len(history["contents"])) == (200, "STOPPED", 1)
    is_refused(await site.post(f"{here}/speak", {"text": "x"}), 404, "TaskNotFound", "has ended")
    is_refused(await site.post(f"{here}/interrupt"), 404, "TaskNotFound")


async def test_what_this_server_has_not_is_named_by_its_path(site: Site) -> None:
    def prepare(agent: AgentConfig) -> None:
        raise InvalidArgument(f"avatar.params.avatar_id: unknown avatar {agent.avatar!r}")

    site.agents.prepare = prepare
    body = changed(V2, "properties.avatar", {"params": {"avatar_id": "nobody"}})
    refused = await site.post(f"{C2}/join", body)
    is_refused(refused, 400, "InvalidFieldValue", "properties.avatar.params.avatar_id: unknown avatar 'nobody'")
    code, refused_too = await site.post("/start_agent", {"channel_name": "c", "avatar": "nobody"})
    assert (code, refused_too["details"][0]["loc"]) == (400, ["avatar"])


async def test_that_no_language_is_detected_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "in_use", lambda self: {"ears": InUse(name="tiny.en")})
    _, joined = await site.post(f"{C2}/join", changed(V2, "properties.asr", {"language": "multi"}))
    because = "no language is detected here; name one in asr.language"
    told = {"name": "en-US", "instead_of": "multi", "because": because}
    assert joined["services"] == {"ears": {"name": "tiny.en"}, "language": told}
    assert (await site.get(f"{C2}/agents/{joined['agent_id']}"))[1]["services"] == joined["services"]


async def test_think(site: Site) -> None:
    _, joined = await site.post(f"{C2}/join", V2)
    here = f"{C2}/agents/{joined['agent_id']}"
    body = {"text": "It rains.", "on_listening_action": "inject", "interruptable": False, "metadata": {"k": "v"}}
    code, said = await site.post(f"{here}/think", body)
    assert (code, said["agent_id"], said["channel"], said["start_ts"] > 0) == (
        *(200, joined["agent_id"], "test_channel"),
        True,
    )
    asked = {"listening": "inject", "thinking": "interrupt", "speaking": "ignore"}
    how = {**asked, "interruptable": False, "metadata": {"k": "v"}}
    assert site.agent(joined["agent_id"]).done == [("think", "It rains.", how)]
    is_refused(await site.post(f"{here}/think", {}), 400, "MissingRequiredField", "text is required")
    wrong = {"text": "x", "on_speaking_action": "inject"}
    is_refused(await site.post(f"{here}/think", wrong), 400, "InvalidFieldValue", "on_speaking_action")
    is_refused(await site.post(f"{C1}/agents/{joined['agent_id']}/think", body), 404, "NotImplemented")
    await site.post(f"{here}/leave")
    is_refused(await site.post(f"{here}/think", body), 404, "TaskNotFound", "has ended")


async def test_members_that_nobody_knows_are_logged_once_in_every_body(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for one in (reading.UNKNOWN, *reading.IGNORED.values()):
        monkeypatch.setattr(one, "_told", set())
    _, joined = await site.post(f"{C2}/join", {**V2, "colour": 1})
    here = f"{C2}/agents/{joined['agent_id']}"
    channel, command = {"channel_name": "process"}, {"command": "create_response", "new_instruction": "x"}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (f"{here}/speak", {"text": "x"}),
        (f"{here}/think", {"text": "x"}),
        (f"{here}/interrupt", {}),
        (f"{here}/update", {"properties": {}}),
        ("/start_agent", channel),
        ("/control_agent", channel | command),
        ("/stop_agent", channel),
        ("/token", {}),
    ]
    for path, body in bodies:
        assert (await site.post(path, body | {"colour": 1}))[0] == 200, path
    for path, body in bodies[:4]:
        assert (await site.post(path, body | {"colour": 1}))[0] == 200, path
    told = [record.message for record in caplog.records if "is no field that this server knows" in record.message]
    assert [line.split(":")[0] for line in told] == ["join", *(path.rpartition("/")[2] for path, _ in bodies[:4])] + [
        path for path, _ in bodies[4:]
    ]
    assert all(": colour is no field" in line for line in told)


async def test_pages_of_turns(site: Site) -> None:
    _, joined = await site.post(f"{C2}/join", V2)
    here = f"{C2}/agents/{joined['agent_id']}"
    code, none = await site.get(f"{here}/turns")
    whole = {"page_index": 1, "total_pages": 1, "is_last_page": True}
    assert (code, none["turns"], none["total_turn_count"], none["pagination"]) == (200, [], 0, whole)
    assert await site.get(f"{here}/turns", page_index="", page_size="") == (200, none)
    for n in range(5):
        await site.post(f"{here}/speak", {"text": str(n)})
    code, page = await site.get(f"{here}/turns", page_index=2, page_size=2)
    assert (code, page["agent_id"], page["name"], page["channel"]) == (
        *(200, joined["agent_id"]),
        *("unique_name", "test_channel"),
    )
    assert page["pagination"] == {"page_index": 2, "total_pages": 3, "is_last_page": False}
    assert ([turn["turn_id"] for turn in page["turns"]], page["total_turn_count"]) == ([3, 4], 5)
    turn = page["turns"][0]
    assert (turn["agent_id"], turn["channel"], turn["metrics"]) == (joined["agent_id"], "test_channel", {})
    assert turn["start"]["metadata"] == {"transport": "http"}
    assert turn["end"]["type"] == "ok" and turn["end"]["end_at"] > turn["start"]["start_at"] > 1e12
    for name, value in (("page_index", 0), ("page_size", 51), ("page_size", "x")):
        is_refused(await site.get(f"{here}/turns", **cast(Any, {name: value})), 400, "InvalidFieldValue", name)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{C2}/join", 405),
        ("DELETE", f"{C2}/agents/x", 405),
        ("POST", f"{C2}/agents/x/dance", 404),
        ("GET", f"/cn{C2}/phone-numbers", 404),
        ("GET", f"{C1}/agents/x/turns", 404),
        ("POST", "/api/conversational-ai-agent/v3/projects/x/join", 404),
        ("GET", "/api/conversational-ai-agent", 404),
    ],
)
async def test_what_is_not_there_is_said_in_the_words_of_the_rest(
    site: Site, method: str, path: str, status: int
) -> None:
    reply = await site.client.request(method, path, headers=basic(KEY))
    is_refused((reply.status_code, reply.json()), status, "NotImplemented", f"there is no {method} {path}")
    assert ("allow" in reply.headers) == (status == 405)


async def test_join_refusals(site: Site) -> None:
    bad = changed(V1, "properties.custom_llm.max_history", 5000)
    words = "properties.custom_llm.max_history must be an integer 0..1024, got 5000"
    is_refused(await site.post(f"{C1}/join", bad), 400, "InvalidRequest", words)
    is_refused(await site.post(f"{C2}/join", V1), 400, "MissingRequiredField", "properties.remote_rtc_uids is required")
    for raw in (b"", b"{", b"[]", b'{"name": NaN}', b"\xff", b"[" * 5000):
        for base, reason in ((C1, "InvalidRequest"), (C2, "InvalidRequestBody")):
            reply = await site.client.post(f"{base}/join", content=raw, headers=basic(KEY))
            is_refused((reply.status_code, reply.json()), 400, reason, "no JSON object")
    large = changed(V1, "properties.custom_llm.extra_metadata", {"x": "x" * (128 << 10)})
    is_refused(await site.post(f"{C1}/join", large), 413, "BodyTooLarge")
    long = changed(V1, "properties.custom_llm.prompt", "x" * 65_000)  # more than the provider's own limit
    assert (await site.post(f"{C1}/join", changed(changed(long, "name", "long"), "properties.channel", "long")))[
        0
    ] == 200

    first, second = await asyncio.gather(site.post(f"{C1}/join", V1), site.post(f"{C1}/join", V1))
    assert {first[0], second[0]} == {200, 409}
    is_refused(first if first[0] == 409 else second, 409, "TaskConflict", "unique_name", "in use")
    there = (first if first[0] == 200 else second)[1]["agent_id"]
    for body in (V2, changed(V2, "name", "the same user")):
        is_refused(await site.post(f"{C2}/join", body), 409, "TaskConflict", there, agent_id=there)

    slow = changed(changed(V1, "name", "slow"), "properties.channel", "slow")
    is_refused(await site.post(f"{C1}/join", slow), 504, "Timeout", "did not start within")
    slow = changed(changed(V2, "name", "slow"), "properties.channel", "slow")
    is_refused(await site.post(f"{C2}/join", slow), 504, "TaskOperationTimeout", "did not start within")
    closed = changed(changed(V1, "name", "closed"), "properties.channel", "closed")
    is_refused(await site.post(f"{C1}/join", closed), 503, "ServiceUnavailable", "nobody is let in here")
    for n in range(2):
        fine = changed(changed(V1, "name", str(n)), "properties.channel", f"room {n}")
        assert (await site.post(f"{C1}/join", fine))[0] == 200
    more = changed(changed(V1, "name", "more"), "properties.channel", "elsewhere")
    is_refused(await site.post(f"{C1}/join", more), 422, "ResourceQuotaLimitExceeded", "4 agents run")


async def test_a_crash_shows(site: Site) -> None:
    _, joined = await site.post(f"{C2}/join", V2)
    record = site.agents.get(joined["agent_id"])
    site.agent(record.id).over.set_exception(RuntimeError("the model is gone"))
    assert record.task is not None
    await record.task
    _, shown = await site.get(f"{C2}/agents/{record.id}")
    assert (shown["status"], shown["message"]) == ("FAILED", "RuntimeError: the model is gone")
    _, listed = await site.get(f"{C2}/agents", state="6")
    assert [agent["agent_id"] for agent in listed["data"]["list"]] == [record.id]


async def test_update_refusals(site: Site) -> None:
    _, joined = await site.post(f"{C1}/join", V1)
    here = f"{C1}/agents/{joined['agent_id']}/update"
    mixed = {"properties": {"token": "new", "channel": "other", "vad": {"threshold": 2}}}
    words = ("properties.channel cannot be changed", "properties.vad.threshold must be a number 0..1, got 2")
    is_refused(await site.post(here, mixed), 400, "InvalidRequest", *words)
    assert site.agent(joined["agent_id"]).done == []  # none of it
    is_refused(await site.post(f"{C1}/agents/nobody/update", {}), 404, "TaskNotFound", "nobody")


async def test_speak_refusals(site: Site) -> None:
    _, joined = await site.post(f"{C2}/join", V2)
    here = f"{C2}/agents/{joined['agent_id']}/speak"
    is_refused(await site.post(here, {"text": "ä" * 257}), 400, "InvalidFieldValue", "512 bytes", "got 514")
    is_refused(await site.post(here, {"text": "x", "priority": 1}), 400, "InvalidFieldValue", "priority must be")
    is_refused(await site.post(here, {}), 400, "MissingRequiredField", "text is required")
    agent = site.agent(joined["agent_id"])

    def full(*_: Any) -> None:
        raise BufferFull("20 texts wait")

    agent.speak = full  # type: ignore[method-assign,assignment]
    reply = await site.client.post(here, json={"text": "x"}, headers=basic(KEY))
    is_refused((reply.status_code, reply.json()), 429, "RateLimitExceeded", "20 texts wait")
    assert int(reply.headers["retry-after"]) >= 1

    def paused(*_: Any) -> None:
        raise BadState("the agent is paused")

    agent.speak = paused  # type: ignore[method-assign,assignment]
    is_refused(await site.post(here, {"text": "x"}), 409, "TaskConflict", "is paused")
    agent.speak = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    is_refused(await site.post(here, {"text": "x"}), 500, "InternalError", "server's log")


async def test_list(site: Site) -> None:
    ids = []
    for n in range(3):
        body = changed(changed(V1, "name", f"agent {n}"), "properties.channel", f"room {n % 2}")
        ids.append((await site.post(f"{C1}/join", changed(body, "properties.agent_rtc_uid", n)))[1]["agent_id"])
    await site.post(f"{C1}/agents/{ids[0]}/leave")

    async def listed(**query: Any) -> list[str]:
        code, body = await site.get(f"{C1}/agents", **query)
        assert (code, body["status"], body["data"]["count"]) == (200, "ok", len(body["data"]["list"]))
        return [agent["agent_id"] for agent in body["data"]["list"]]

    assert await listed() == ids
    assert await listed(state="RUNNING") == await listed(status="2") == ids[1:]
    assert await listed(state="stopped,failed") == ids[:1]
    assert await listed(state="RECOVERING") == []
    assert await listed(channel="room 0") == [ids[0], ids[2]]
    assert await listed(from_time=0, to_time=time.time() + 1) == ids
    assert await listed(from_time=time.time() + 5) == []
    _, page = await site.get(f"{C1}/agents", limit=2)
    assert (page["meta"]["total"], page["data"]["count"]) == (3, 2)
    assert await listed(limit=2, cursor=page["meta"]["cursor"]) == ids[2:]
    for name, value in {
        "state": "DANCING",
        "limit": "0",
        "from_time": "yesterday",
        "to_time": "nan",
        "cursor": "x",
    }.items():
        is_refused(await site.get(f"{C1}/agents", **cast(Any, {name: value})), 400, "InvalidRequest", name)
    is_refused(await site.get(f"{C1}/agents", limit=101), 400, "InvalidRequest", "1..100")
    nothing = dict.fromkeys(("channel", "state", "status", "from_time", "to_time", "limit", "cursor"), "")
    assert await listed(**nothing) == await listed()


async def test_a_list_of_v2_has_the_last_two_hours_and_who_still_runs(site: Site) -> None:
    ids = []
    for n in range(4):
        body = changed(changed(V2, "name", f"agent {n}"), "properties.channel", f"room {n}")
        ids.append((await site.post(f"{C2}/join", body))[1]["agent_id"])
    for agent_id in ids[:3]:
        await site.post(f"{C2}/agents/{agent_id}/leave")
    for agent_id in (ids[0], ids[3]):
        site.agents.get(agent_id).created -= 3 * 3600

    async def listed(base: str = C2, **query: Any) -> list[str]:
        code, body = await site.get(f"{base}/agents", **query)
        assert code == 200
        return [agent["agent_id"] for agent in body["data"]["list"]]

    assert await listed() == [*ids[1:]]
    assert await listed(state="2,4") == [*ids[1:]]
    assert await listed(state="4") == ids[1:3]
    assert await listed(from_time=time.time() - 4 * 3600.5) == await listed(C1) == ids
    assert await listed(from_time=time.time() - 7200.5) == ids[1:3]
    _, page = await site.get(f"{C2}/agents", limit=2)
    assert await listed(limit=2, cursor=page["meta"]["cursor"]) == ids[3:]


PRIVATE = (
    "http://127.0.0.1:9/v1",
    "http://localhost/",
    "http://[::1]/",
    "http://169.254.169.254/latest",
    "http://10.0.0.1/",
)


@pytest.mark.parametrize("url", PRIVATE)
@pytest.mark.parametrize(
    ("base", "body", "field", "reason"),
    [
        (C1, V1, "properties.custom_llm.url", "InvalidRequest"),
        (C2, V2, "properties.llm.url", "InvalidFieldValue"),
    ],
)
async def test_a_private_url_is_refused_by_join_and_by_update(
    site: Site, base: str, body: dict[str, Any], field: str, reason: str, url: str
) -> None:
    secret = url.replace("//", "//me:hunter2@", 1) + "?key=s3cret"
    for tried in (url, secret):
        refused = await site.post(f"{base}/join", changed(body, field, tried))
        is_refused(refused, 400, reason, f"{field} leads to", "no public address", "allowed_outward")
        assert "hunter2" not in str(refused) and "s3cret" not in str(refused)
    assert site.agents.active == []
    _, joined = await site.post(f"{base}/join", body)
    here = f"{base}/agents/{joined['agent_id']}"
    section = field.split(".")[1]
    for wrapped in (True, False):
        fields = {section: {"url": url}}
        refused = await site.post(f"{here}/update", {"properties": fields} if wrapped else fields)
        is_refused(refused, 400, reason, f"{'properties.' if wrapped else ''}{section}.url leads to")
    assert site.agent(joined["agent_id"]).done == []


@pytest.mark.parametrize(
    ("section", "field", "made"),
    [
        ("tts", "base_url", {"vendor": "elevenlabs", "params": {"key": "k", "voice_id": "v", "model_id": "m"}}),
        ("tts", "url", {"vendor": "openai", "params": {"api_key": "k", "voice": "alloy"}}),
        ("tts", "endpoint", {"vendor": "microsoft", "params": {"key": "k", "voice_name": "en-US-AvaNeural"}}),
        ("tts", "url", {"vendor": "minimax", "params": {"key": "k", "model": "m", "voice_setting": {"voice_id": "v"}}}),
        ("asr", "base_url", {"vendor": "openai", "params": {"api_key": "k"}}),
        ("asr", "url", {"vendor": "deepgram", "params": {"api_key": "k"}}),
    ],
)
async def test_a_private_url_among_a_vendors_params_is_refused_by_join(
    site: Site, section: str, field: str, made: dict[str, Any]
) -> None:
    scheme = "http" if made["vendor"] in ("openai", "microsoft") else "wss"
    params = made["params"] | {field: f"{scheme}://169.254.169.254/v1?key=s3cret"}
    refused = await site.post(f"{C2}/join", changed(V2, f"properties.{section}", made | {"params": params}))
    is_refused(refused, 400, "InvalidFieldValue", f"properties.{section}.params.{field} leads to", "no public address")
    assert "s3cret" not in str(refused) and site.agents.active == []
    params = made["params"] | {field: f"{scheme}://8.8.8.8/v1"}
    joined, _ = await site.post(f"{C2}/join", changed(V2, f"properties.{section}", made | {"params": params}))
    assert joined == 200


async def test_a_private_url_that_the_settings_allow_is_taken_and_so_is_the_servers_own() -> None:
    own = "http://127.0.0.1:11434/v1/chat/completions"
    async for site in serve(manager(), allowed_outward=("10.0.0.0/8", "localhost:8000"), llm_url=own):
        for n, url in enumerate(("http://10.2.3.4/v1", "http://localhost:8000/", own)):
            body = changed(changed(V2, "properties.llm.url", url), "name", f"agent {n}")
            assert (await site.post(f"{C2}/join", changed(body, "properties.agent_rtc_uid", str(50 + n))))[0] == 200
        is_refused(
            await site.post(f"{C2}/join", changed(V2, "properties.llm.url", "http://localhost:22/")),
            *(400, "InvalidFieldValue", "properties.llm.url"),
        )


async def test_a_name_is_looked_up_for_who_may_have_an_agent_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, asked = make_key(), []
    add_key(tmp_path / "keys", key_line("acme", key, {"agents": 0}))
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return real("8.8.8.8" if host == "llm.test" else host, *args, **options)

    async for site in serve(manager(), api_keys_file=str(tmp_path / "keys")):
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        body = changed(V2, "properties.llm.url", "https://llm.test/")
        is_refused(await site.post(f"{C2}/join", body, basic(key)), 422, "ResourceQuotaLimitExceeded", "0 agents run")
        assert "llm.test" not in asked
        assert (await site.post(f"{C2}/join", body))[0] == 200
        assert "llm.test" in asked


async def test_a_bad_url_is_shown_without_its_secrets(site: Site) -> None:
    body = changed(V2, "properties.llm.url", "ftp://me:hunter2@a.test/?key=s3cret")
    refused = await site.post(f"{C2}/join", body)
    is_refused(refused, 400, "InvalidFieldValue", "properties.llm.url must be", "ftp://a.test/?key=***")
    assert "hunter2" not in str(refused)


# ------------------------------------------------------------------------------------------------------------------ D


@pytest.mark.parametrize("suffix", ["_agent", ""])
async def test_start_control_stop(site: Site, suffix: str) -> None:
    body = {"channel_name": "test", "uid": 123, "system_instruction": "Be kind."}
    assert await site.post(f"/start{suffix}", body) == (200, {"status": "Agent started!"})
    assert await site.post(f"/start{suffix}", body) == (400, {"error": "Agent already running for channel: test"})
    record = site.agents.in_channel("test")
    assert record is not None
    agent = cast(StandIn, record.agent)
    assert (agent.config.brain, agent.config.uid, agent.config.voice) == ("realtime", "123", "")
    commands: dict[str, dict[str, Any]] = {
        "update_instruction": {"new_instruction": "Be brief."},
        "update_turn_detection": {"new_turn_detection": False},
        "send_user_text": {"input_text": "Hello."},
        "send_system_text": {"input_text": "It is late."},
        "create_response": {"new_instruction": "Say goodbye."},
        "commit_audio_buffer": {},
    }
    for command, more in commands.items():
        reply = await site.post("/control_agent", {"channel_name": "test", "command": command, **more})
        assert reply == (200, {"status": f"Command {command} sent to agent."})
    messages = [{"role": "system", "content": "Be brief."}]
    assert agent.done == [
        ("update", {"llm.system_messages": messages, "instructions": "Be brief."}),
        ("update", {"turn_detection.enabled": False}),
        ("tell", "Hello.", "user"),
        ("tell", "It is late.", "system"),
        ("respond", "Say goodbye."),
        ("commit",),
    ]
    gone = {"status": "Agent process terminated", "channel_name": "test"}
    none = {"error": "No active agent found for the provided channel_name"}
    assert await site.post(f"/stop{suffix}", {"channel_name": "test"}) == (200, gone)
    assert await site.post(f"/stop{suffix}", {"channel_name": "test"}) == (404, none)
    control = {"channel_name": "test", "command": "commit_audio_buffer"}
    assert await site.post("/control_agent", control) == (404, none)


async def test_process_refusals(site: Site) -> None:
    code, body = await site.post("/start_agent", {"uid": "x", "voice": 5})
    assert (code, body["error"]) == (400, "Invalid request data")
    assert body["details"] == [
        {"loc": ["channel_name"], "msg": "channel_name is required", "type": "missing"},
        {"loc": ["uid"], "msg": 'uid must be an integer 0..4294967295, got "x"', "type": "invalid"},
        {"loc": ["voice"], "msg": "voice must be a string of 1 to 256 characters, got 5", "type": "invalid"},
    ]
    for path, bad in {
        "/stop_agent": {},
        "/control_agent": {"channel_name": "test", "command": "send_user_text"},
        "/stop": {"channel_name": 5},
    }.items():
        code, body = await site.post(path, bad)
        assert (code, body["error"], len(body["details"])) == (400, "Invalid request data", 1)
    reply = await site.client.post("/start_agent", content=b"{", headers={"x-api-key": KEY})
    assert (reply.status_code, reply.json()["error"]) == (400, "Invalid request data")
    started = await asyncio.gather(*(site.post("/start_agent", {"channel_name": "a", "uid": 1}) for _ in range(3)))
    assert sorted(code for code, _ in started) == [200, 400, 400]
    code, body = await site.post("/start_agent", {"channel_name": "closed", "uid": 1})
    assert (code, body) == (503, {"error": "nobody is let in here"})
    code, body = await site.post("/start_agent", {"channel_name": "slow", "uid": 1})
    assert (code, set(body)) == (504, {"error"})
    assert len(site.agents.active) == 1


async def test_processes_ask_for_the_key_as_the_provider_does(site: Site) -> None:
    for path in ("/start_agent", "/stop_agent", "/control_agent", "/start", "/stop", "/token"):
        code, body = await site.post(path, {}, {})
        assert (code, body["code"], body["error"]) == (403, "MISSING_API_KEY", "Forbidden")
        code, body = await site.post(path, {}, {"x-api-key": "wrong"})
        assert (code, body["code"], body["error"]) == (401, "INVALID_API_KEY", "Unauthorized")
    is_a = await site.client.post("/nowhere")
    assert (is_a.status_code, is_a.json()["code"]) == (404, "ENDPOINT_NOT_FOUND")


async def test_one_brain_for_all() -> None:
    async for site in serve(manager(), agent_brain="echo", openai_api_key="ours"):
        await site.post("/start_agent", {"channel_name": "a", "uid": 1, "avatar": "../x"})
        await site.post(f"{C1}/join", V1)
        mine, theirs = (cast(StandIn, record.agent).config for record in site.agents)
        assert (mine.brain, theirs.brain) == ("echo", "echo")
        assert mine.avatar == site.service.config.avatar  # an id is never a path
        assert (mine.llm.api_key, mine.llm.url) == ("ours", site.service.config.llm_url)
        assert (theirs.llm.api_key, theirs.llm.url) == (None, "https://llm.example.org/v1/chat/completions")


# ------------------------------------------------------------------------------------------------------------ backend


async def test_token_for_a_room(site: Site) -> None:
    code, body = await site.get("/token")
    assert (code, body["token"], body["app_id"]) == (200, "", "")
    assert re.fullmatch(r"room-[0-9a-f]{12}", body["channel"])
    assert 0 < body["uid"] < 2**31
    assert (await site.get("/token"))[1] != body
    assert (await site.get("/token", channel="", uid=""))[0] == 200
    expected = {"app_id": "", "channel": "my room", "uid": 7, "token": ""}
    assert await site.get("/token", channel="my room", uid=7) == (200, expected)
    assert await site.post("/token", {"channel": "my room", "uid": 7}) == (200, expected)
    assert (await site.post("/token"))[0] == 200
    for query in ({"uid": "x"}, {"uid": "-1"}, {"uid": "4294967296"}, {"uid": "²"}, {"channel": "a/b"}):
        code, body = await site.get("/token", **cast(Any, query))
        assert (code, body["details"][0]["loc"]) == (400, list(query))


async def test_token_for_a_channel(secured: Site) -> None:
    code, body = await secured.post("/token", {"channel": "c", "uid": 7})
    assert (code, body["app_id"], body["channel"], body["uid"]) == (200, APP, "c", 7)
    parsed = verify_token(body["token"], CERTIFICATE, now=time.time(), app_id=APP)
    assert (parsed.channel, parsed.account, parsed.expire) == ("c", "7", 3600)


# ------------------------------------------------------------------------------------------------------ metrics, docs


async def test_agents_and_sessions_draw_on_one_account_of_pixels(tmp_path: Path) -> None:
    medium, key = 640 * 360 * 25, make_key()
    add_key(tmp_path / "keys", key_line("acme", key, {"pixel_rate": 2 * medium}))

    def face(name: str, **params: int) -> Any:
        body = changed(V2, "properties.avatar", {"enable": True, "params": params}) | {"name": name}
        return changed(body, "properties.agent_rtc_uid", "0")

    keyed = {"x-api-key": key} | basic(key)
    start = to_builtins(request("c"))
    async for site in serve(manager(), agora="off", api_keys_file=str(tmp_path / "keys"), max_pixel_rate=3 * medium):
        wide = face("wide", width=1920, height=1920, fps=60)
        words = f"pixels a second is reached: this would add {1920 * 1920 * 60}"
        is_refused(await site.post(f"{C2}/join", wide, keyed), 422, "ResourceQuotaLimitExceeded", words)
        code, first = await site.post(f"{C2}/join", face("one"), keyed)
        assert code == 200
        assert (await site.post("/session/start", start, keyed))[0] == 200
        code, body = await site.post("/session/start", to_builtins(request("d")), keyed)
        assert (code, body["code"]) == (429, "SESSION_LIMIT") and "This key's" in body["message"]
        is_refused(await site.post(f"{C2}/join", face("two"), keyed), 422, "ResourceQuotaLimitExceeded", "This key's")
        plain = changed(V2, "properties.channel", "elsewhere") | {"name": "without a face"}
        assert (await site.post(f"{C2}/join", plain, keyed))[0] == 200
        assert (await site.post(f"{C2}/join", face("three")))[0] == 200  # the operator's
        is_refused(await site.post(f"{C2}/join", face("four")), 422, "ResourceQuotaLimitExceeded", "The limit")
        assert (await site.post(f"{C2}/agents/{first['agent_id']}/leave", None, keyed))[0] == 200
        assert (await site.post("/session/start", to_builtins(request("d")), keyed))[0] == 200


async def test_metrics(site: Site) -> None:
    await site.post(f"{C1}/join", V1)
    await site.post("/start_agent", {"channel_name": "closed", "uid": 1})
    text = (await site.client.get("/metrics")).text
    for line in (
        "lipwire_agents 1.0",
        "lipwire_agents_limit 4.0",
        "lipwire_agents_started_total 2.0",
        "lipwire_agents_failed_total 1.0",
        "lipwire_sessions 0.0",
    ):
        assert f"\n{line}\n" in text


async def test_the_api_is_described(site: Site) -> None:
    schema = (await site.client.get("/schema/openapi.json")).json()
    paths = schema["paths"]
    join = paths["/api/conversational-ai-agent/v1/projects/{appid}/join"]["post"]
    fields = join["requestBody"]["content"]["application/json"]["schema"]["properties"]["properties"]["properties"]
    assert fields["custom_llm"]["properties"]["max_history"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 1024,
        "description": "an integer 0..1024",
        "default": 10,
    }
    newer = paths["/api/conversational-ai-agent/v2/projects/{appid}/join"]["post"]["responses"]
    assert newer["400"]["description"] == "InvalidRequestBody, MissingRequiredField, InvalidFieldValue"
    assert (newer["504"]["description"], "401" in newer, "401" in join["responses"]) == (
        *("TaskOperationTimeout", True),
        False,
    )
    update = paths["/api/conversational-ai-agent/v2/projects/{appid}/agents/{agent_id}/update"]["post"]
    changes = update["requestBody"]["content"]["application/json"]["schema"]["properties"]["properties"]
    assert {"token", "llm", "turn_detection"} <= set(changes["properties"]) and "channel" not in changes["properties"]
    assert "max_history" not in changes["properties"]["llm"]["properties"] and "required" not in changes
    assert join["security"] == [{"Basic": []}, {"AgoraToken": []}]
    assert {"200", "400", "403", "409", "422", "503", "504"} <= set(join["responses"])
    assert "/api/conversational-ai-agent/v2/projects/{appid}/agents/{agent_id}/speak" in paths
    assert {"/start_agent", "/stop_agent", "/control_agent", "/start", "/stop", "/token"} <= set(paths)
    assert not any(path.startswith("/cn") for path in paths)
    query = paths["/api/conversational-ai-agent/v2/projects/{appid}/agents"]["get"]["parameters"]
    assert {"appid", "state", "channel", "limit", "cursor", "from_time", "to_time"} == {p["name"] for p in query}
    page = (await site.client.get("/schema")).text
    for text in ("properties.custom_llm.max_history", "properties.llm.url", "/control_agent", "Basic or AgoraToken"):
        assert text in page
