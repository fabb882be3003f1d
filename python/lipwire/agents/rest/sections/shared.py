"""What v1 and v2 say in the same words: how an agent is in its channel, and its face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....models.voices.names import check_no_path
from ....protocol.agent_bodies import show
from ....protocol.messages import QUALITY
from ...describe import Changes
from ...headers import check_headers
from ..reading import Given, Target, to

ANY_CODEC = -1
"""`rtc_codec` in reference 002's example: the default."""


def headers(name: str, *, update: bool = False) -> Target:
    """Sets headers, where they may be sent."""

    def make(found: dict[str, str]) -> Changes:
        check_headers(found)
        return {name: found}

    return Target(make, update)


def voice(name: str) -> Changes:
    """A voice of the server's, or of a service's; no file."""
    check_no_path(name)
    return {"voice": name}


def inputs(kinds: list[str]) -> Changes:
    """What a chat service takes. Raises ValueError."""
    if "text" not in kinds or len(set(kinds)) != len(kinds):
        raise ValueError
    return {"llm.input_modalities": kinds}


def outputs(kinds: list[str]) -> Changes:
    """What a chat service gives. Raises ValueError."""
    if not kinds or len(set(kinds)) != len(kinds):
        raise ValueError
    return {"llm.output_modalities": kinds}


SHARED: dict[str, Target] = {
    "token": to("token", update=True),
    "channel": to("channel"),
    "rtc_codec": Target(lambda codec: {"rtc_codec": None if codec == ANY_CODEC else codec}),
    "audio_scenario": to("audio_scenario"),
    "idle_timeout": to("idle_timeout"),
    "tts.voice_id": Target(voice, update=True),
}
VAD = ("interrupt_threshold", "prefix_padding_ms", "silence_duration_ms", "threshold")
LLM: dict[str, Target] = {
    "url": to("llm.url", update=True),
    "failure_message": to("llm.failure_message", update=True, empty=None),
    "extra_metadata": to("llm.extra_metadata", update=True),
    "metadata_enabled": to("llm.metadata_enabled", update=True),
    "max_history": to("llm.max_history"),
}


def face(given: Given) -> Changes:
    """`avatar`, where it is there and enabled."""
    avatar = given.below("avatar")
    if not avatar.found or not avatar.get("enable", True):
        return {}
    width, height, fps, _ = QUALITY[avatar.get("params.quality", "medium")]
    motion = {
        name: avatar.get(f"params.motion.{path}")
        for name, path in (("motion_sets", "sets"), ("motion_carrier", "carrier"))
        if f"params.motion.{path}" in avatar
    }
    egress = avatar.get("egress", avatar.get("params.egress"))
    _check_egress(avatar, egress, motion)
    return {
        **motion,
        **({"egress": egress} if egress is not None else {}),
        "avatar": avatar.get("params.avatar_id", "aria"),
        "width": avatar.get("params.width", width),
        "height": avatar.get("params.height", height),
        "fps": avatar.get("params.fps", int(fps)),
    }


def _check_egress(avatar: Given, egress: str | None, motion: Mapping[str, Any]) -> None:
    """What does not go together of `egress`, which may stand in two places, and of `params.motion`."""
    also = avatar.get("params.egress", egress)
    if egress != also:
        avatar.must("params.egress", f"what avatar.egress is, {show(egress)}")
    elif motion and egress == "video":
        avatar.refuse("params.motion", 'must not be there: egress "video" sends no motion')
    elif motion.get("motion_carrier") == "sei" and egress != "motion":
        avatar.refuse("params.motion.carrier", 'must be "data", unless egress is "motion": "sei" is a video itself')
