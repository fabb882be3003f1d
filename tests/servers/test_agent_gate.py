"""servers/agent_gate.py over real loopback HTTP: who may touch which agents."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio

from lipwire import agora_token
from lipwire.agents.events import AgentFailed
from lipwire.agents.http import ServiceError
from lipwire.agents.rest import wire as w
from lipwire.protocol.tokens import (
    CONVO_AI,
    JOIN,
    PUBLISH_AUDIO,
    RTC,
    RTM,
    AccessToken,
    Service,
    build_rtc_token,
    build_rtm_token,
    verify_token,
)
from lipwire.provider.keys import add_key, key_line, make_key
from support.agent_bodies import V1, V2, changed
from support.agent_site import APP, C1, C2, CERTIFICATE, KEY, Site, basic, is_refused, serve
from support.agent_stand_in import Place, StandIn, manager

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async for made in serve(manager()):
        yield made


@pytest_asyncio.fixture
async def secured() -> AsyncIterator[Site]:
    """One with an Agora project."""
    async for made in serve(manager(), agora_app_id=APP, agora_app_certificate=CERTIFICATE):
        yield made


def signed(*services: Service, certificate: str = CERTIFICATE) -> str:
    token = AccessToken(app_id=APP, issue_ts=int(time.time()), expire=600, salt=1, services=list(services))
    return token.build(certificate)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wrong"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "agora token=007abc"},
        {"x-api-key": KEY},
    ],
)
async def test_wrong_credentials(site: Site, headers: dict[str, str]) -> None:
    paths: tuple[tuple[str, Any], ...] = (
        (f"{C1}/join", V1),
        (f"{C2}/join", b"{"),
        (f"{C2}/agents/x/speak", {}),
        (f"{C2}/agents/x/leave", None),
    )
    for path, body in paths:
        reply = await site.client.post(path, headers=headers, content=body if isinstance(body, bytes) else None)
        status = 403 if path.startswith(C1) else 401  # v1 knows no 401
        is_refused((reply.status_code, reply.json()), status, "InvalidPermission")
        assert ("www-authenticate" in reply.headers) == (status == 401)
    is_refused(await site.get(f"{C1}/agents", headers), 403, "InvalidPermission")
    is_refused(await site.get(f"{C2}/agents", headers), 401, "InvalidPermission")
    assert list(site.agents) == []


async def test_basic_takes_any_name(site: Site) -> None:
    for name in ("", "lipwire", "a b"):
        assert (await site.get(f"{C1}/agents", basic(KEY, name)))[0] == 200
    assert (await site.get(f"{C1.replace(APP, 'anything')}/agents"))[0] == 200


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"agora token={token}"}


async def test_a_token_opens_its_channel_only(secured: Site) -> None:
    token = bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))
    code, joined = await secured.post(f"{C2}/join", V2, token)
    assert code == 200
    mine = f"{C2}/agents/{joined['agent_id']}"
    other_body = changed(changed(V2, "properties.channel", "other"), "name", "other")
    is_refused(await secured.post(f"{C2}/join", other_body, token), 403, "InvalidPermission", "'test_channel'")
    _, other = await secured.post(f"{C2}/join", other_body)
    theirs = f"{C2}/agents/{other['agent_id']}"
    assert (await secured.get(mine, token))[0] == 200
    assert (await secured.post(f"{mine}/speak", {"text": "x"}, token))[0] == 200
    for reply in (
        await secured.get(theirs, token),
        await secured.get(f"{theirs}/history", token),
        await secured.post(f"{theirs}/leave", None, token),
        await secured.post(f"{theirs}/speak", {"text": "x"}, token),
    ):
        is_refused(reply, 404, "TaskNotFound")
    _, listed = await secured.get(f"{C2}/agents", token)
    assert [agent["agent_id"] for agent in listed["data"]["list"]] == [joined["agent_id"]]
    is_refused(await secured.get(f"{C2}/agents", token, channel="other"), 403, "InvalidPermission")
    assert (await secured.post(f"{mine}/leave", None, token))[0] == 200


SERVER = {"method": "POST", "url": "https://8.8.8.8/x", "headers": {"x-key": "{{template_variables.crm_key}}"}}
LLM = {
    "url": "https://8.8.8.8/v1",
    "api_key": "sk-owners",
    "headers": {"x-secret": "1"},
    "template_variables": {"crm_key": "hidden", "name": "Ann"},
    "tools": [{"type": "function", "function": {"name": "f"}, "server": SERVER}],
}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_channels_token_has_no_secret_go_elsewhere(secured: Site, version: w.Version) -> None:
    """Whoever holds it may change what an agent is like, and may hear it: neither the key of who started it nor what is
    said to its LLM goes to a service of his, and he is not told what a tool's server alone is to get."""
    token = bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))
    body = changed(changed(V2, "properties.llm", LLM), "properties.advanced_features.enable_tools", True)
    base, llm = (C1, "custom_llm") if version == "v1" else (C2, "llm")
    code, joined = await secured.post(f"{base}/join", V1 if version == "v1" else body)
    assert code == 200
    mine = f"{base}/agents/{joined['agent_id']}/update"
    agent = cast(StandIn, secured.agents.get(joined["agent_id"]).agent)
    was = msgspec.to_builtins(agent.config.llm)
    values = {"url": "https://8.8.4.4/v1", "headers": {"a": "b"}}
    for path in w.SERVICE[version]:
        fields = {path.split(".")[1]: values.get(path.split(".")[1], "mine"), "failure_message": "x"}
        for update in ({llm: fields}, {"properties": {llm: fields}}):
            is_refused(await secured.post(mine, update, token), 403, "InvalidPermission", f"{path}: a channel's token")
            assert agent.done == [] and msgspec.to_builtins(agent.config.llm) == was
        assert (await secured.post(mine, {llm: fields}))[0] == 200  # with the key
        agent.done.clear()
        was = msgspec.to_builtins(agent.config.llm)
    assert (await secured.post(mine, {llm: {"failure_message": "{{name}}, {{crm_key}}"}}, token))[0] == 200
    assert agent.config.llm.failure_message == ("Ann, {{crm_key}}" if version == "v2" else "{{name}}, {{crm_key}}")
    if version == "v2":
        assert (await secured.post(mine, {llm: {"failure_message": "{{name}}, {{crm_key}}"}}))[0] == 200
        assert agent.config.llm.failure_message == "Ann, hidden"


async def test_guesses_at_agoras_tokens_wait_but_right_ones_and_keys_do_not(secured: Site) -> None:
    wrong = [bearer(agora_token(APP, "0" * 32, "test_channel", uid)) for uid in range(8)] + [bearer("007abc")]
    replies = [await secured.client.get(f"{C2}/agents", headers=headers) for headers in wrong]
    assert [reply.status_code for reply in replies] == [401] * 6 + [429] * 3
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert (await secured.get(f"{C2}/agents", bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))))[0] == 200
    assert (await secured.get(f"{C2}/agents"))[0] == 200


async def test_an_expired_token_of_agoras_is_no_guess(secured: Site) -> None:
    old = bearer(
        build_rtc_token(APP, CERTIFICATE, "test_channel", 5, salt=1, issue_ts=int(time.time()) - 99, expire=50)
    )
    assert [(await secured.get(f"{C2}/agents", old))[0] for _ in range(8)] == [401] * 8


async def test_tokens_that_open_nothing(secured: Site) -> None:
    now = int(time.time())
    common: dict[str, Any] = {"salt": 1, "issue_ts": now}
    expired = build_rtc_token(APP, CERTIFICATE, "c", 1, salt=1, issue_ts=now - 100, expire=50)
    faded = build_rtc_token(APP, CERTIFICATE, "c", 1, salt=1, issue_ts=now - 100, expire=3600, privilege_expire=50)
    for token, word in {
        "007abc": "malformed",
        "": "007",
        '"007abc': "007",
        "006" + APP: "it is an AccessToken, the format before AccessToken2",
        agora_token(APP, "0" * 32, "c", 1): "signature",
        agora_token("1" * 32, CERTIFICATE, "c", 1): "another app id",
        expired: "expired",
    }.items():
        is_refused(await secured.get(f"{C2}/agents", bearer(token)), 401, "InvalidPermission", word)
    for token, word in {
        faded: "no right",
        agora_token(APP, CERTIFICATE, "c", 1, publish=False): "no right",
        build_rtm_token(APP, CERTIFICATE, "user", expire=60, **common): "no right",
        signed(Service(type=CONVO_AI)): "ConvoAI alone opens none",
    }.items():
        is_refused(await secured.get(f"{C2}/agents", bearer(token)), 403, "InvalidPermission", word)
    is_refused(await secured.get(f"{C2.replace(APP, '1' * 32)}/agents"), 403, "InvalidPermission", "app id")


async def test_a_token_of_todays_builders_opens_its_channel_with_and_without_quotes(secured: Site) -> None:
    rtc = Service(type=RTC, privileges={JOIN: 0, PUBLISH_AUDIO: 0}, strings=("test_channel", "5"))
    token = signed(rtc, Service(type=RTM, privileges={1: 0}, strings=("5",)), Service(type=CONVO_AI))
    _, joined = await secured.post(f"{C2}/join", V2, bearer(token))
    for header in (f"agora token={token}", f'agora token="{token}"', f'Agora  Token = "{token}"'):
        code, listed = await secured.get(f"{C2}/agents", {"Authorization": header})
        assert (code, [agent["agent_id"] for agent in listed["data"]["list"]]) == (200, [joined["agent_id"]])
    assert (await secured.post(f"{C2}/agents/{joined['agent_id']}/leave", None, bearer(token)))[0] == 200


def stop_token(channel: str = "stop", account: str = "0", publish: bool = True, certificate: str = CERTIFICATE) -> str:
    """As the SDKs make it for `stop_agent`."""
    rights = dict.fromkeys((JOIN, PUBLISH_AUDIO) if publish else (JOIN,), 600)
    return signed(Service(type=RTC, privileges=rights, strings=(channel, account)), certificate=certificate)


async def test_who_holds_the_certificate_stops_any_agent_by_a_token_for_the_channel_stop(secured: Site) -> None:
    _, joined = await secured.post(f"{C2}/join", V2)
    here, stop = f"{C2}/agents/{joined['agent_id']}", bearer(stop_token())
    for path in (here, f"{here}/history", f"{here}/turns"):  # nothing else
        is_refused(await secured.get(path, stop), 404, "TaskNotFound")
    is_refused(await secured.post(f"{here}/speak", {"text": "x"}, stop), 404, "TaskNotFound")
    is_refused(await secured.post(f"{here}/update", {"properties": {}}, stop), 404, "TaskNotFound")
    assert (await secured.get(f"{C2}/agents", stop))[1]["data"]["list"] == []
    is_refused(await secured.post(f"{C2}/join", changed(V2, "name", "2"), stop), 403, "InvalidPermission", "'stop'")
    for weaker in (stop_token(account="5"), stop_token(account=""), stop_token("Stop"), stop_token("other")):
        is_refused(await secured.post(f"{here}/leave", None, bearer(weaker)), 404, "TaskNotFound")
    listener = bearer(stop_token(publish=False))
    is_refused(await secured.post(f"{here}/leave", None, listener), 403, "InvalidPermission")
    forged = bearer(stop_token(certificate="0" * 32))
    is_refused(await secured.post(f"{here}/leave", None, forged), 401, "InvalidPermission", "signature")
    assert secured.agents.get(joined["agent_id"]).active
    code, left = await secured.post(f"{here}/leave", None, stop)
    assert (code, left["status"]) == (200, "STOPPED")
    is_refused(await secured.post(f"{here}/leave", None, stop), 404, "TaskNotFound", "has ended")


async def test_a_token_for_the_channel_stop_stops_the_operators_agents_only(tmp_path: Path) -> None:
    key = make_key()
    add_key(tmp_path / "keys", key_line("acme", key, {}))
    settings = {"agora_app_id": APP, "agora_app_certificate": CERTIFICATE, "api_keys_file": str(tmp_path / "keys")}
    async for site in serve(manager(), **settings):
        _, theirs = await site.post(f"{C2}/join", V2, basic(key))
        refused = await site.post(f"{C2}/agents/{theirs['agent_id']}/leave", None, bearer(stop_token()))
        is_refused(refused, 404, "TaskNotFound")
        assert site.agents.get(theirs["agent_id"]).active


async def test_no_token_that_is_given_away_stops_agents(secured: Site) -> None:
    for uid in (0, 7):
        _, given = await secured.post("/token", {"channel": "stop", "uid": uid})
        assert verify_token(given["token"], CERTIFICATE, now=time.time()).account not in ("0", "")


async def test_a_token_tells_nothing_of_other_channels(secured: Site) -> None:
    """Not even of one whose agent has the name that its holder wants."""
    _, other = await secured.post(f"{C2}/join", V2)
    token = bearer(agora_token(APP, CERTIFICATE, "mine", 5))
    wanted = changed(V2, "properties.channel", "mine")
    refused = await secured.post(f"{C2}/join", wanted, token)
    is_refused(refused, 409, "TaskConflict", "in use in another channel")
    assert other["agent_id"] not in str(refused)
    refused = await secured.post(f"{C2}/join", wanted)
    is_refused(refused, 409, "TaskConflict", other["agent_id"], agent_id=other["agent_id"])
    token = bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))
    refused = await secured.post(f"{C2}/join", V2, token)
    is_refused(refused, 409, "TaskConflict", other["agent_id"], agent_id=other["agent_id"])


async def test_why_an_agent_could_not_start_is_not_for_who_holds_a_token(
    secured: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Place, spec: Any) -> None:
        raise ServiceError("cannot connect to realtime at models.internal: Connection refused")

    monkeypatch.setattr(Place, "open", refuse)
    token = bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))
    refused = await secured.post(f"{C2}/join", V2, token)
    is_refused(refused, 503, "ServiceUnavailable", "could not be started: SERVICE_ERROR")
    assert "models.internal" not in str(refused)
    is_refused(await secured.post(f"{C2}/join", V2), 503, "ServiceUnavailable", "models.internal")


async def test_where_the_operators_services_are_is_not_for_who_holds_a_token(secured: Site) -> None:
    token = bearer(agora_token(APP, CERTIFICATE, "test_channel", 5))
    _, joined = await secured.post(f"{C2}/join", V2)
    here, agent = f"{C2}/agents/{joined['agent_id']}", secured.agent(joined["agent_id"])
    why = "the LLM at 10.1.2.3:9 failed"
    turn = agent.kept.begin("text", 0)
    turn.error = "LLM_ERROR", why
    agent.kept.end(turn, "failed", 1)

    async def details(headers: dict[str, str] | None) -> Any:
        _, turns = await secured.get(f"{here}/turns", headers)
        return turns["turns"][-1]["end"]["metadata"]["details"]

    assert [await details(headers) for headers in (token, None)] == ["LLM_ERROR", why]
    agent.over.set_exception(AgentFailed(f"LLM_ERROR: {why}"))
    while (await secured.get(here))[1]["status"] != "FAILED":
        await asyncio.sleep(0.01)
    assert (await secured.get(here))[1]["message"] == f"LLM_ERROR: {why}"
    assert (await secured.get(here, token))[1]["message"] == "AGENT_FAILED"
    assert [await details(headers) for headers in (token, None)] == ["LLM_ERROR", why]
    told = [await secured.get(f"{C2}/agents", token), await secured.get(f"{here}/history", token)]
    for action in ("leave", "interrupt", "update"):
        refused = await secured.post(f"{here}/{action}", {}, token)
        is_refused(refused, 404, "TaskNotFound", "has ended: AGENT_FAILED")
        is_refused(await secured.post(f"{here}/{action}", {}), 404, "TaskNotFound", "has ended: LLM_ERROR")
        told.append(refused)
    assert told[0][0] == told[1][0] == 200 and "10.1.2.3" not in str(told)
