"""A recording for people: a line for each thing that happened, runs of `voice` as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from .. import _core
from ..protocol import messages as m
from . import records as r
from .file import read

_voice = msgspec.json.Decoder(m.Voice)
_BYTES = {"PCM16": 2, "PCM8": 1}
SHOWN = 200
"""Characters of a message."""


class _Run(Struct):
    """Messages of `voice` one after another, alike but for their sound."""

    t: float
    at: int
    connection: int
    voice: m.Voice
    count: int = 0
    size: int = 0
    until: float = 0.0

    def like(self, connection: int, voice: m.Voice) -> bool:
        own = self.voice
        alike = (own.encoding, own.sample_rate, own.event_id) == (voice.encoding, voice.sample_rate, voice.event_id)
        return connection == self.connection and alike

    def line(self) -> str:
        voice = self.voice
        bytes_ = _BYTES.get(voice.encoding)
        length = f"{self.size / bytes_ / voice.sample_rate:.2f} s of " if bytes_ else f"{self.size} bytes of "
        span = f" in {self.until - self.t:.2f} s" if self.count > 1 else ""
        kind = f"{voice.encoding} at {voice.sample_rate} Hz, event {voice.event_id}"
        return f"-> voice x{self.count}{span}: {length}{kind}"


def timeline(path: str | os.PathLike[str]) -> Iterator[str]:
    """Lines: seconds since the session began, its media clock in seconds, what happened (-> from the client, <- to it).
    Raises as `file.read`."""
    records = read(path)
    header = next(records)
    assert isinstance(header, r.Header)
    yield from _opening(header)

    def line(t: float, at: int | None, text: str) -> str:
        clock = "" if at is None else f"{at / _core.RATE:.2f}"
        return f"{t - header.origin:9.3f} {clock:>8}  {text}"

    run: _Run | None = None
    ended = False
    blocks = pictures = 0
    for record in records:
        if isinstance(record, r.Received) and (voice := _as_voice(record)) is not None:
            if run is None or not run.like(record.connection, voice):
                if run is not None:
                    yield line(run.t, run.at, run.line())
                run = _Run(record.t, record.at, record.connection, voice)
            run.count, run.size, run.until = run.count + 1, run.size + len(voice.payload), record.t
            continue
        if isinstance(record, r.Continued):
            continue
        if isinstance(record, r.Played):
            blocks, pictures = blocks + len(record.sound), pictures + len(record.pictures)
            continue
        if run is not None:
            yield line(run.t, run.at, run.line())
            run = None
        ended = ended or isinstance(record, r.Ended)
        yield line(*_told(record, header))
    if run is not None:
        yield line(run.t, run.at, run.line())
    yield f"{blocks} blocks of sound, {pictures} pictures" + ("" if ended else "; the recording breaks off here")


def _opening(header: r.Header) -> Iterator[str]:
    s = header.settings
    yield f"session {header.session_id}, Lipwire {header.lipwire} ({header.cpu}), {s.avatar} {s.width}x{s.height}"
    yield f"request {m.encode(header.request)}"
    yield f"settings {m.encode(s)}"


def _as_voice(record: r.Received) -> m.Voice | None:
    if record.text is None:
        return None
    try:
        return _voice.decode(record.text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _told(record: Any, header: r.Header) -> tuple[float, int | None, str]:
    """(t, media clock or None, text)."""
    match record:
        case r.Connected():
            return record.t, None, f"connection {record.connection} came"
        case r.Disconnected():
            return record.t, None, f"connection {record.connection} went"
        case r.Received(binary=size) if size:
            return record.t, record.at, f"-> a binary frame of {size} bytes"
        case r.Received(text=None):
            return record.t, record.at, f"-> {record.broken} characters that are no JSON object (left out)"
        case r.Received():
            return record.t, record.at, f"-> {_short(record.text or '')}"
        case r.Called():
            sound = f" {len(record.pcm) / 2 / record.rate:.2f} s at {record.rate} Hz" if record.rate else ""
            who = "by time" if record.what == "settle" else "by the viewer page"
            return record.t, record.at, f"-- {record.what}{sound}, {who}"
        case r.Draining():
            return record.t, None, "the server was asked to end: no new utterance is taken"
        case r.Sent():
            return record.t, None, f"<- {_short(record.text)}"
        case r.Ended():
            return record.t, None, f"end: {record.reason}"
        case r.Lost():
            return header.origin, None, f"!! {record.count} records were left out here: the disk was too slow"
    return header.origin, None, type(record).__name__


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
