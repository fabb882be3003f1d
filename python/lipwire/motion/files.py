"""The kinds of files that motion is written to, by what their names end in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import msgspec
import numpy as np
from msgspec import Struct

from .._core import MOTION_SETS, RATE, MotionEncoder
from ..errors import InvalidArgument
from . import exports
from .reader import MAGIC, MAX_VALUE
from .track import MotionEvent, MotionTrack
from .wire import JsonNumbers, event_object, header_object, seconds_of

MOUTHS = Fraction(100)
"""Frames a second that shapes of a mouth are chosen by: Rhubarb's times are hundredths of a second."""
MAX_TEXT = 4096
"""Bytes of an event's value, at most."""


class Details(Struct, frozen=True, kw_only=True):
    """What a file says besides the motion, as `encode_motion` takes it."""

    speech: str = ""
    fps: Fraction
    head: str | os.PathLike[str] | None = None


class Writer(Struct, frozen=True, kw_only=True):
    """A kind of file."""

    says: str
    """What it is."""
    write: Callable[[MotionTrack, Details], bytes]
    """Raises InvalidArgument: it cannot hold this."""
    sets: tuple[str, ...] = ()
    """The sets that it is made of; none: whichever one likes."""
    fps: Fraction | None = None
    """Frames a second that it is made of; None: as many as one likes."""
    counts: bool = False
    """Whether it counts in other frames than those that it is made of."""


def _lwm(track: MotionTrack, details: Details) -> bytes:
    track = track.at_rate(RATE)  # which the encoder has
    encoder = MotionEncoder(_own_sets(track), track.header.fps.as_integer_ratio(), earlier=0, id=track.header.id)
    out = bytearray(MAGIC)
    put_block(out, encoder.header())
    events = list(reversed(_checked_events(track)))
    rows = zip(track.samples.tolist(), track.generations.tolist(), track.speaking.tolist(), track.values, strict=True)
    for sample, generation, speaking, values in rows:
        while events and events[-1].sample <= sample:
            put_block(out, encoder.event(*msgspec.structs.astuple(events.pop())))
        put_block(out, encoder.encode_values(sample, generation, speaking, values))
    while events:
        put_block(out, encoder.event(*msgspec.structs.astuple(events.pop())))
    return bytes(out)


def _checked_events(track: MotionTrack) -> Sequence[MotionEvent]:
    """Its events. Raises InvalidArgument: no reader would take one of them."""
    for event in track.events:
        if (size := len(event.value.encode())) > MAX_TEXT:
            raise InvalidArgument(
                f"the value of event {event.number} ({event.kind!r:.80}) has {size} bytes, and {MAX_TEXT} is the most "
                f"there can be"
            )
    return track.events


def _check_values(track: MotionTrack) -> None:
    """Raises InvalidArgument: one of them is no number, or one that no reader would take."""
    values = track.values
    if not values.size or (values.min() >= -MAX_VALUE and values.max() <= MAX_VALUE):
        return
    frame, channel = np.argwhere(~(np.abs(values) <= MAX_VALUE))[0].tolist()
    name = track.header.names[channel]
    raise InvalidArgument(f"frame {frame}, {name}: {values[frame, channel]:g} is no value that can be written")


def put_block(out: bytearray, message: bytes) -> None:
    """A message as a .lwm file has it, behind its length."""
    length = len(message)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    out += message


def _own_sets(track: MotionTrack) -> list[str]:
    """Its sets, if they are the format's own. Raises InvalidArgument."""
    sets = list(track.header.sets)
    ours = tuple(group for name in sets for group in MOTION_SETS.get(name, ()))
    if ours != track.header.groups or not sets:
        raise InvalidArgument(
            f"a .lwm file has sets of {', '.join(MOTION_SETS)}, whole and in their order; this has "
            f"{', '.join(f'{name} ({len(names)})' for name, names in track.header.sets.items()) or 'none'}"
        )
    return sets


def _json(track: MotionTrack, details: Details) -> bytes:
    rate = track.header.clock_rate
    numbers = JsonNumbers(track.header.groups)
    rows = zip(
        track.samples.tolist(),
        track.generations.tolist(),
        track.speaking.tolist(),
        numbers.of(track.values),
        strict=True,
    )
    frames = [
        msgspec.json.encode(
            {
                "sample": sample,
                "t": seconds_of(sample, rate),
                "generation": generation,
                "speaking": speaking,
                "values": row,
            }
        )
        for sample, generation, speaking, row in rows
    ]
    events = [msgspec.json.encode(event_object(event)) for event in _checked_events(track)]
    header = msgspec.json.encode(header_object(track.header))
    return b'{"header":%b,\n"frames":[%b],\n"events":[%b]}\n' % (header, _each(frames), _each(events))


def _each(objects: Iterable[bytes]) -> bytes:
    """A line each, so that people and `diff` can read it."""
    return b",".join(b"\n" + line for line in objects)


def _glb(track: MotionTrack, details: Details) -> bytes:
    from .glb import write_glb

    return write_glb(track, details.head)


WRITERS: dict[str, Writer] = {
    ".a2f.json": Writer(
        says="blend shapes as Audio2Face exports them",
        write=lambda t, d: exports.audio2face(t, d.speech),
        sets=("arkit",),
    ),
    ".azure.json": Writer(
        says="viseme events of Azure's speech SDK",
        write=lambda t, d: exports.azure(t),
        sets=("azure", "arkit", "head"),
        fps=exports.AZURE_FPS,
    ),
    ".rhubarb.json": Writer(
        says="Rhubarb Lip Sync's JSON",
        write=lambda t, d: exports.rhubarb_json(t, d.speech),
        sets=("visemes",),
        fps=MOUTHS,
    ),
    ".opentoonz.dat": Writer(
        says="Moho's switch data with the names of OpenToonz",
        write=lambda t, d: exports.moho_dat(t, d.fps, exports.PRESTON_BLAIR),
        sets=("visemes",),
        fps=MOUTHS,
        counts=True,
    ),
    ".glb": Writer(says="an animation of a 3D head, glTF", write=_glb, sets=("arkit", "head")),
    ".lwm": Writer(says="Lipwire's motion, binary", write=_lwm),
    ".json": Writer(says="Lipwire's motion, readable", write=_json),
    ".tsv": Writer(
        says="Rhubarb Lip Sync's TSV", write=lambda t, d: exports.rhubarb_tsv(t), sets=("visemes",), fps=MOUTHS
    ),
    ".xml": Writer(
        says="Rhubarb Lip Sync's XML",
        write=lambda t, d: exports.rhubarb_xml(t, d.speech),
        sets=("visemes",),
        fps=MOUTHS,
    ),
    ".dat": Writer(
        says="Moho's switch data",
        write=lambda t, d: exports.moho_dat(t, d.fps),
        sets=("visemes",),
        fps=MOUTHS,
        counts=True,
    ),
}
"""The first that fits counts."""


def writer_for(path: str | os.PathLike[str]) -> Writer | None:
    """The kind of file that a name stands for; None where it is none of motion."""
    name = os.path.basename(os.fspath(path)).lower()
    return next((writer for end, writer in WRITERS.items() if name.endswith(end)), None)


def told_kinds() -> str:
    """All of them, for people."""
    return ", ".join(f"{end} ({writer.says})" for end, writer in WRITERS.items())


def encode_motion(
    track: MotionTrack,
    path: str | os.PathLike[str],
    *,
    speech: str = "",
    fps: Fraction | None = None,
    head: str | os.PathLike[str] | None = None,
) -> bytes:
    """A track as what is in the file of that name. Nothing is written.

    Args:
        speech: where the sound is, for kinds of files that name it.
        fps: frames a second, for .dat; None: the track's.
        head: a .glb file to put the motion on, for .glb.

    Raises:
        InvalidArgument: the name is of no kind of motion, or the track lacks what that kind is made of, or has
        a value that is no number.
    """
    writer = writer_for(path)
    if writer is None:
        raise InvalidArgument(f"cannot write {os.fspath(path)}: end its name in one of {told_kinds()}")
    lacking = [name for name in writer.sets if name not in track.header.sets]
    if lacking:
        raise InvalidArgument(
            f"cannot write {os.fspath(path)}: it takes the set(s) {', '.join(lacking)}, and there is "
            f"{', '.join(track.header.sets) or 'none'}: render it anew, with these sets (--motion-sets)"
        )
    _check_values(track)
    return writer.write(track, Details(speech=speech, fps=fps or track.header.fps, head=head))
