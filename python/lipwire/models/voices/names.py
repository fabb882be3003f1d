"""What a voice is called: `hibari:heart`, `hibari:heart+child`, `espeak:de+f3`, `piper:amy`, `kokoro:model/af_heart`.

What stands before the colon is the engine, behind it whatever that engine calls its voice.
"""

from __future__ import annotations

from typing import Literal, cast

from msgspec import Struct

from ...avatar.voice import ENGINES
from ...errors import InvalidArgument

EngineName = Literal["hibari", "piper", "kokoro", "espeak"]


class Name(Struct, frozen=True):
    """A voice by its engine; `str` gives it as it is written."""

    engine: EngineName
    voice: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.voice}"

    @property
    def is_path(self) -> bool:
        """Whether it says where a file is, rather than what a voice is called. A name off the network must not."""
        if self.engine in ("espeak", "hibari"):
            return False
        file = self.file
        return file.endswith(".onnx") or any(mark in file for mark in "/\\~")

    @property
    def file(self) -> str:
        """The file of it, or what it is called in the folder of voices: for Kokoro what stands before the last "/"."""
        return self.voice.rpartition("/")[0] if self.engine == "kokoro" else self.voice

    def told(self, text: str) -> str:
        """`text` for who may be anywhere: without the folder in which the voice's file is."""
        folder, slash, _ = self.file.rpartition("/")
        return text.replace(folder + slash, "") if slash else text


def parse(name: str) -> Name | None:
    """The voice of that name; None where no engine of this machine is named, so that it is a service's or espeak-ng's.

    Raises:
        InvalidArgument: an engine without a voice.
    """
    engine, colon, voice = name.partition(":")
    if not colon or engine not in ENGINES:
        return None
    if not voice.strip():
        raise InvalidArgument(f"voice {name!r}: say which of {engine}'s, as `lipwire voices` lists them")
    return Name(cast("EngineName", engine), voice)


def check_no_path(name: str) -> None:
    """Of a name that came over the network. Raises InvalidArgument: it says where a file is."""
    found = parse(name)
    if found is not None and found.is_path:
        raise InvalidArgument(f"no path, but the name of one of the server's voices (`lipwire voices`), got {name!r}")
