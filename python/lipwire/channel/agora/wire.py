"""What the session's process and the Agora worker say to each other, over process.link. A `Join` carries the two file
descriptors of the session's feed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ...errors import InvalidArgument
from ..base import ChannelEvent

RtcCodec = Literal[0, 8, 9, 120, 122]


class Encryption(Struct, frozen=True, kw_only=True):
    """Of a channel's sound and pictures, the same for everyone in it."""

    key: str
    """A secret."""
    mode: int = 7
    """The SDK's ENCRYPTION_MODE: 1 AES-128-XTS, 2 AES-128-ECB, 3 AES-256-XTS, 4 SM4-128-ECB, 5 AES-128-GCM,
    6 AES-256-GCM, 7 AES-128-GCM2, 8 AES-256-GCM2."""
    salt: bytes = b""
    """32 bytes for the modes 7 and 8, which alone use it."""


def check_encryption(encryption: Encryption) -> None:
    """Raises InvalidArgument: the SDK would take it for something else."""
    if not encryption.key or "\0" in encryption.key:
        raise InvalidArgument("encryption: the key must not be empty, and have no NUL")
    if not 1 <= encryption.mode <= 8:
        raise InvalidArgument(f"encryption: the mode must be 1..8, got {encryption.mode}")
    if encryption.mode >= 7 and len(encryption.salt) != 32:
        raise InvalidArgument(
            f"encryption: the modes 7 and 8 need a salt of 32 bytes, got {len(encryption.salt)}; it is sent as base64"
        )


class Join(Struct, frozen=True, tag=True, kw_only=True):
    """Be in a channel as a broadcaster."""

    session: int
    token: str
    channel: str
    uid: str
    width: int
    height: int
    fps: float
    video: bool
    codec: str
    kbps: int
    rtc_codec: RtcCodec | None
    audio_scenario: int
    receive: bool
    seen_every: float
    encoded: bool = False
    """Pictures are sent as encoded video: `Unit`s, and those of the feed as they are encoded here."""
    matrix: str = "bt709"
    encryption: Encryption | None = None


class Leave(Struct, frozen=True, tag=True):
    session: int


class Renew(Struct, frozen=True, tag=True):
    session: int
    token: str


class Send(Struct, frozen=True, tag=True):
    """One packet for the data stream."""

    session: int
    data: bytes


class Note(Struct, frozen=True, tag=True):
    """Metadata that travels with the sound."""

    session: int
    data: bytes


class Subscribe(Struct, frozen=True, tag=True):
    session: int
    user: str | None
    audio: bool
    video: bool


class Unit(Struct, frozen=True, tag=True):
    """A picture as encoded video (`stream.Unit`); to be sent with the sound at `sample`."""

    session: int
    sample: int
    data: bytes
    key: bool


class Motion(Struct, frozen=True, tag=True):
    """A packet of motion for the data stream, to be sent with the sound at `sample`. One of frames gives way to the
    next; an event is `kept`."""

    session: int
    sample: int
    data: bytes
    kept: bool


class Stale(Struct, frozen=True, tag=True):
    """Motion that has not been sent is not to be sent any more."""

    session: int


Command = Join | Leave | Renew | Send | Note | Subscribe | Unit | Motion | Stale


class Left(Struct, frozen=True, tag=True):
    """The connection is gone and released."""

    session: int


class Happened(Struct, frozen=True, tag=True):
    session: int
    event: ChannelEvent


class Broken(Struct, frozen=True, tag=True):
    """The SDK cannot be used here; the process ends."""

    reason: str


class KeyWanted(Struct, frozen=True, tag=True):
    """Somebody needs an IDR picture."""

    session: int


Report = Left | Happened | Broken | KeyWanted
