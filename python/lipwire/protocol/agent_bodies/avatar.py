"""The face of an agent, and its film: bodies that v1 and v2 share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .fields import Anything, Carrier, Egressed, FilmName, Flag, Fps, Name, Sets, Size


class MotionParams(Struct, kw_only=True):
    """How motion is sent; docs/motion.md."""

    sets: Sets = field(default_factory=lambda: ["arkit", "head"])
    """To those who do not say."""
    carrier: Carrier = "data"
    """In an Agora channel."""


class AvatarParams(Struct, kw_only=True):
    """Of vendor "generic" (protocol.md A). The agent draws the avatar itself."""

    avatar_id: Name = "aria"
    quality: Annotated[
        Literal["low", "medium", "high"], Meta(description="low (320x180), medium (640x360) or high (1280x720)")
    ] = "medium"
    width: Size = 640
    height: Size = 360
    fps: Fps = 25
    egress: Egressed | None = None
    motion: MotionParams = field(default_factory=MotionParams)
    feelings: Flag = True
    """Whether the face shows what is meant by what is said; without, as the server is set."""
    api_base_url: Anything = None
    """Where the face would be drawn if not here: this server's own URL, for which what follows is of no matter."""
    api_key: Anything = None
    agora_appid: Anything = None
    agora_channel: Anything = None
    agora_uid: Anything = None
    agora_token: Anything = None
    version: Anything = None
    video_encoding: Anything = None
    activity_idle_timeout: Anything = None


class AvatarSpec(Struct, kw_only=True):
    """The face."""

    enable: Flag = True
    vendor: Annotated[Literal["generic"], Meta(description='"generic"')] = "generic"
    """Any, where it is not enabled."""
    egress: Egressed | None = None
    """What of it is sent: its pictures, its motion, for who draws it, or both; here or in `params`. By default both in
    a room, and pictures in an Agora channel."""
    params: AvatarParams = field(default_factory=AvatarParams)


class Film(Struct, kw_only=True):
    """An addition of ours: record the agent into a film, and what is said beside it as WebVTT. Without `file` the
    server makes a name, so that an empty object will do."""

    file: FilmName = ""
