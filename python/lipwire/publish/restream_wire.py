"""What a session's process and the process that writes its stream say to each other, over process.link."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .live_writer import LiveForm


class Open(Struct, frozen=True, tag=True, kw_only=True):
    """Write to this place; once, at first."""

    place: str
    """As FFmpeg takes it, secrets included."""
    form: LiveForm
    folder: str
    """To be in; "" = any."""
    session_id: str
    width: int
    height: int
    fps: tuple[int, int]
    matrix: Literal["bt709", "bt601"]
    parameter_sets: bytes
    every: float
    """Seconds from one key frame to the next."""


class Block(Struct, frozen=True, tag=True):
    """Sound: PCM16 mono at 48 kHz."""

    pcm: bytes
    sample: int


class Drawn(Struct, frozen=True, tag=True):
    """A picture: I420."""

    i420: bytes
    sample: int


class Coded(Struct, frozen=True, tag=True):
    """A picture as encoded video (`stream.Unit`)."""

    data: bytes
    sample: int
    key: bool


class Interrupt(Struct, frozen=True, tag=True):
    """What has not been written is stale."""


class Finish(Struct, frozen=True, tag=True):
    """Write what is there, and the end."""


Command = Open | Block | Drawn | Coded | Interrupt | Finish


class Live(Struct, frozen=True, tag=True):
    """The place has been opened: what comes is written."""


class NeedsKey(Struct, frozen=True, tag=True):
    """A key frame, please."""


class Progress(Struct, frozen=True, tag=True):
    """What has been written, and left out, since `Open`. In samples: `written`, `silence` and `sound_dropped`."""

    written: int
    silence: int
    sound_dropped: int
    pictures_dropped: int
    units_dropped: int


class Failed(Struct, frozen=True, tag=True):
    """It cannot be written: why, without the URL. The process ends."""

    reason: str


Answer = Live | NeedsKey | Progress | Failed
