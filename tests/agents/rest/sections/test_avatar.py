"""agents/rest/sections/avatar.py: a face that is not one of ours."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import AvatarProvider
from lipwire.agents.rest.wire import check_urls, parse_join
from lipwire.outward import Outward
from support.agent_bodies import V1, V2, changed

URL = "https://faces.example.org/api"


def body(avatar: Any) -> dict[str, Any]:
    return {**V2, "properties": V2["properties"] | {"avatar": avatar}}


def joined(avatar: Any, ours: str = "") -> AgentConfig:
    return parse_join(body(avatar), "v2", lambda url: url == ours)


def test_somebody_elses() -> None:
    params = {"api_base_url": URL, "api_key": "k", "avatar_id": "june", "agora_uid": 7, "quality": "4k", "egress": 5}
    config = joined({"enable": True, "vendor": "generic", "params": {**params, "agora_token": None}})
    assert (config.avatar, config.provider) == (
        None,
        AvatarProvider(
            api_base_url=URL,
            api_key="k",
            avatar_id="june",
            agora_uid="7",
            params={"quality": "4k", "egress": 5},
        ),
    )


def test_ours_by_its_url() -> None:
    params = {
        "api_base_url": URL,
        "api_key": 5,
        "avatar_id": "kit",
        "quality": "low",
        "agora_token": None,
        "version": 2,
    }
    config = joined({"vendor": "generic", "params": params}, ours=URL)
    assert (config.avatar, config.width, config.provider) == ("kit", 320, None)


@pytest.mark.parametrize(
    "vendor", ["akool", "liveavatar", "heygen", "anam", "sensetime", "spatius", "tavus", "other", ""]
)
def test_named_vendors_are_told_what_to_use_instead(vendor: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        joined({"enable": True, "vendor": vendor, "params": {"quality": "x", "api_key": "s3cret"}})
    assert str(caught.value).startswith('properties.avatar.vendor must be "generic"')
    assert "s3cret" not in str(caught.value)
    assert vendor in str(caught.value)
    off = joined({"enable": False, "vendor": vendor, "params": {"quality": "x"}})
    assert (off.avatar, off.provider) == (None, None)


async def test_where_its_url_leads_is_looked_at() -> None:
    foreign = body({"vendor": "generic", "params": {"api_base_url": "http://127.0.0.1:9/", "avatar_id": "june"}})
    with pytest.raises(InvalidAgentRequest, match=r"properties\.avatar\.params\.api_base_url leads to 127\.0\.0\.1"):
        await check_urls(foreign, "v2", Outward())
    await check_urls(foreign, "v2", Outward(), lambda url: True)
    foreign["properties"]["avatar"]["enable"] = False
    await check_urls(foreign, "v2", Outward())


def test_what_is_wrong_is_named() -> None:
    for params, words in (
        ({"api_base_url": "ftp://a"}, "api_base_url must be an http:// or https:// URL"),
        ({"api_base_url": URL, "api_key": 5}, "api_key must be a string"),
        ({"api_base_url": 5}, "api_base_url must be an http:// or https:// URL, got a number"),
        ({"api_base_url": ["https://u:p@a.example"]}, "api_base_url must be an http:// or https:// URL, got a list"),
        ({"api_base_url": ""}, ""),
        ({"api_base_url": None}, ""),
    ):
        if words:
            with pytest.raises(InvalidAgentRequest, match=rf"properties\.avatar\.params\.{words}"):
                joined({"vendor": "generic", "params": params})
        else:
            assert joined({"vendor": "generic", "params": params}).avatar == "aria"  # no URL: as if it were not there


@pytest.mark.parametrize("url", [URL, "https://8.8.8.8", 5, ["x"]])
def test_v1_draws_no_face_here_that_was_asked_for_elsewhere(url: Any) -> None:
    spec = {"vendor": "generic", "params": {"avatar_id": "june", "api_base_url": url}}
    asked = changed(V1, "properties.avatar", spec)
    with pytest.raises(InvalidAgentRequest, match=r"properties\.avatar\.params\.api_base_url must be left out"):
        parse_join(asked, "v1")
    assert parse_join(changed(asked, "properties.avatar.enable", False), "v1").avatar is None
    for nothing in (None, ""):
        own = changed(asked, "properties.avatar.params.api_base_url", nothing)
        assert parse_join(own, "v1").avatar == "june"
    if isinstance(url, str):
        assert parse_join(asked, "v1", lambda one: one == url).avatar == "june"


def test_what_stands_beside_its_params_is_looked_at() -> None:
    params = {"api_base_url": URL}
    for avatar, words in (
        ({"enable": "no"}, "enable must be true or false"),
        ({"vendor": 5}, "vendor must be "),
        ({"egress": "bogus"}, "egress must be "),
        ({"egress": "motion"}, "egress must be left out: somebody else draws this face"),
    ):
        with pytest.raises(InvalidAgentRequest) as caught:
            joined(avatar | {"params": params})
        assert str(caught.value).startswith(f"properties.avatar.{words}")


def test_its_user_id_is_one_however_it_is_written() -> None:
    params = {"api_base_url": URL, "agora_uid": "007"}
    for string_uid, uid in ((False, "7"), (True, "007")):
        properties = V2["properties"] | {"avatar": {"params": params}, "enable_string_uid": string_uid}
        config = parse_join({**V2, "properties": properties}, "v2")
        assert config.provider is not None and config.provider.agora_uid == uid
