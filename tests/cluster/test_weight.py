"""cluster/weight.py: who needs more weighs more."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from lipwire.agents.config import AgentConfig, Vendor
from lipwire.app.config import Config
from lipwire.cluster import weight
from lipwire.cluster.placement import UNIT, Key
from lipwire.errors import InvalidArgument
from lipwire.protocol import messages as m
from lipwire.provider.client import request


def of(config: Config | None = None, encoding: Literal["H264", "VP8"] = "H264", **more: Any) -> int:
    asked = request("c", **({"width": 640, "height": 360, "fps": 25} | more))
    asked.video_encoding = encoding
    return weight.need_of_start(msgspec.to_builtins(asked), "o", config or Config(preencoded="off")).weight


def agent(**more: Any) -> AgentConfig:
    return AgentConfig(name="n", channel=" lobby ", owner="o", **more)


def test_the_unit_is_a_face_of_640x360_that_is_encoded_once() -> None:
    assert of(egress="video") == of() == UNIT


def test_larger_faster_and_costlier_faces_weigh_more() -> None:
    assert of() < of(width=1280, height=720) < of(width=1280, height=720, fps=30)
    assert of() < of(encoding="VP8")
    assert of(egress="motion") < of(egress="video") / 2
    assert of(Config(preencoded="on")) < of()


def test_what_hears_and_speaks_here_weighs_more_than_what_asks_a_service() -> None:
    here, there = Config(stt_url="offline", tts_url="offline"), Config(openai_api_key="k")
    assert weight.of_agent(agent(), here) > 2 * weight.of_agent(agent(), there)
    assert weight.of_agent(agent(brain="realtime"), here) == weight.of_agent(agent(), there)
    vendors = agent(asr=Vendor(name="deepgram"), tts=Vendor(name="elevenlabs"))
    assert weight.of_agent(vendors, here) == weight.of_agent(agent(), there)
    assert weight.of_agent(agent(avatar="aria"), there) > weight.of_agent(agent(), there)


def test_what_a_need_is_for() -> None:
    asked = request("c", width=64, height=36, fps=10)
    need = weight.need_of_start(msgspec.to_builtins(asked), "o", Config())
    settings = asked.agora_settings
    assert need.kind == "session" and need.owner == "o" and need.pixel_rate == 64 * 36 * 10
    assert need.keys == (Key("channel", "", f"{settings.app_id}\nc\n{settings.uid}"),)
    joins = weight.need_of_join(agent(avatar="aria"), Config(), room=True)
    assert joins.keys == (Key("name", "o", "n"), Key("room", "o", "lobby")) and joins.pixel_rate == 640 * 360 * 25
    in_agora = weight.need_of_join(agent(), Config(), room=False)
    assert in_agora.keys == joins.keys, "who steers it names the channel"
    assert (joins.opens_room, in_agora.opens_room) == (True, False)
    assert weight.need_of_room("o", "lobby ").keys == (Key("room", "o", "lobby"),)


def test_a_body_that_no_worker_takes_needs_nothing() -> None:
    with pytest.raises(InvalidArgument):
        weight.need_of_start({"avatar_id": "aria"}, "o", Config())


def test_what_was_granted_weighs_as_what_was_asked_for() -> None:
    asked = request("c", width=640, height=360)
    granted = m.grant(asked)
    assert weight.of_session(asked, granted, Config(preencoded="off")) == of()
