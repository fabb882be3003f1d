"""A session's output without its clock, with claps in it (a flash and a sound that begin together), and what others
make of what was written of it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

import lipwire
from lipwire import _core
from lipwire.audio import espeak as voice
from lipwire.avatar import Avatar
from lipwire.avatar.art import EXPRESSIONS
from lipwire.drawing.stage import Stage, stage_for
from lipwire.publish.encoders import Picture
from lipwire.session.offline import perform, perform_units
from lipwire.stream import StreamSpec, Unit
from support.small_atlas import small_atlas

RATE = _core.RATE
SIZE = (64, 48)
FPS = Fraction(25)
SPEC = StreamSpec(session_id="s", width=SIZE[0], height=SIZE[1], fps=FPS)
SOUND_ONLY = StreamSpec(session_id="s", width=0, height=0, fps=FPS)
LIT = 128
"""Luma between dark and flash."""
LOUD = 0.1
"""Of full scale: a pulse, and not what a codec leaves of silence."""


def claps(seconds: int, rate: int = RATE) -> bytes:
    """0.8 s of silence and 0.2 s of pulses at 120 Hz, as a throat makes them, over and over."""
    t = np.arange(round(0.2 * rate)) / rate
    one = np.concatenate([np.zeros(rate - len(t)), np.exp(-(t % (1 / 120)) / 0.0004)])
    return (np.tile(one, seconds) * 12000).astype("<i2").tobytes()


class Flash(lipwire.Renderer):
    """White while there is sound."""

    def draw(self, frame: lipwire.Frame) -> None:
        y, u, v = frame.planes
        y[:] = 235 if frame.loudness > 0.1 else 16
        u[:] = v[:] = 128


def performed(seconds: int) -> Iterator[tuple[bytes, int] | _core.Frame]:
    """Sound and pictures of so many claps, in clock order."""
    for item in perform(iter([claps(seconds)]), RATE, stage_for(Flash(), SPEC), voice=-20.0):
        yield item if isinstance(item, tuple) else item.copy()


def happy_for_a_while() -> tuple[StreamSpec, list[Any]]:
    """A face whose video was encoded before: units, then pictures, then units. The spec of its session, and sound and
    pictures in clock order."""
    avatar = Avatar.load("kit")
    stage = Stage(avatar, SPEC)
    stage.prepare()
    happy, neutral = EXPRESSIONS.index("happy"), 0
    cues = [(0.5, _core.MOTION_EXPRESSION, happy), (1.2, _core.MOTION_EXPRESSION, neutral)]
    spoken = voice.speak("Mama, papa, mama, papa, mama, papa.")
    made = perform_units(iter([spoken.pcm]), spoken.rate, stage, small_atlas(avatar, *SIZE), seed=2, cues=cues)
    items = [item.copy() if isinstance(item, _core.Frame) else item for item in made]
    return stage.spec, items


class Shown(Struct):
    """Sound and pictures on one clock, in seconds."""

    times: list[float] = field(default_factory=list)
    """Of each picture."""
    luma: list[float] = field(default_factory=list)
    """Mean of each."""
    keys: list[float] = field(default_factory=list)
    sound: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """At 48 kHz, -1..1."""
    sound_at: float | None = None
    """Of its first sample."""
    codecs: tuple[str, ...] = ()
    extradata: bytes = b""
    jumps: float = 0.0
    """The longest time between the end of a piece of sound and the beginning of the next, either way."""

    def flashes(self) -> list[float]:
        """When it becomes light."""
        lit = np.array(self.luma) > LIT
        return [self.times[n] for n in np.flatnonzero(lit[1:] & ~lit[:-1]) + 1]

    def bursts(self) -> list[float]:
        """When it becomes loud: behind 0.3 s of silence."""
        loud = np.flatnonzero(np.abs(self.sound) > LOUD)
        starts = loud[np.flatnonzero(np.diff(loud, prepend=-RATE) > 0.3 * RATE)]
        return [(self.sound_at or 0.0) + float(start) / RATE for start in starts]

    def skews(self) -> list[float]:
        """Of each flash, how much later it comes than its sound."""
        bursts = self.bursts()
        assert bursts and len(bursts) == len(self.flashes())
        return [flash - burst for flash, burst in zip(self.flashes(), bursts, strict=True)]


def check_together(shown: Shown, given: Shown) -> None:
    """Whether every picture that is there is shown with the sound that it was handed over with. Some may be missing: a
    machine that is busy leaves pictures out, and none of them may move another."""
    bursts, wanted = shown.bursts(), given.bursts()
    assert bursts and len(bursts) == len(wanted)
    shift = bursts[0] - wanted[0]
    assert np.allclose(np.array(bursts) - wanted, shift, atol=0.003)
    assert len(shown.times) > len(given.times) / 4
    times = np.array(given.times)
    for time, luma in zip(shown.times, shown.luma, strict=True):
        at = int(np.argmin(np.abs(times + shift - time)))
        assert abs(times[at] + shift - time) < 0.004, (time, times[at] + shift)
        assert (luma > LIT) == (given.luma[at] > LIT), time


class Ears(lipwire.publish.Null):
    """What a session hands over."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Any] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        self.items.append((pcm, sample))

    def video(self, frame: lipwire.Frame) -> None:
        self.items.append(frame.copy())


def source(items: list[tuple[bytes, int] | _core.Frame]) -> Shown:
    """What was handed over."""
    shown = Shown()
    pcm = b""
    for item in items:
        if isinstance(item, tuple):
            shown.sound_at = item[1] / RATE if shown.sound_at is None else shown.sound_at
            pcm += item[0]
        else:
            shown.times.append(item.sample / RATE)
            shown.luma.append(float(item.planes[0].mean()))
    shown.sound = np.frombuffer(pcm, "<i2") / 32768
    return shown


def read(place: Any, **options: Any) -> Shown:
    """What FFmpeg makes of it."""
    with av.open(place, **options) as file:
        return read_from(file)


def frames(file: Any) -> Iterator[Any]:
    """Everything in it. FFmpeg's RTMP server takes the end of a stream for an error of the network."""
    try:
        for packet in file.demux():
            if packet.dts is not None:
                yield from packet.decode()
    except OSError as exc:
        assert exc.errno == errno.EIO
    for stream in file.streams:
        yield from stream.codec_context.decode(None)


def read_from(file: Any) -> Shown:
    """The same of an open container."""
    shown, pieces, until = Shown(), [], None
    shown.codecs = tuple(stream.codec_context.name for stream in file.streams)
    for frame in frames(file):
        if isinstance(frame, av.VideoFrame):
            shown.times.append(frame.time)
            shown.luma.append(float(frame.to_ndarray(format="gray").mean()))
            if frame.key_frame:
                shown.keys.append(frame.time)
            continue
        data = frame.to_ndarray()
        data = data[0] if frame.format.is_planar else data.reshape(-1, len(frame.layout.channels))[:, 0]
        if data.dtype == np.int16:
            data = data / 32768
        if until is None:
            shown.sound_at = frame.time
        else:
            shown.jumps = max(shown.jumps, abs(frame.time - until))
        until = frame.time + frame.samples / frame.sample_rate
        pieces.append(data)
    shown.sound = np.concatenate(pieces) if pieces else shown.sound
    if file.streams.video:
        shown.extradata = bytes(file.streams.video[0].codec_context.extradata or b"")
    return shown


def put(writer: Any, item: Any, fps: Fraction = FPS) -> None:
    """Hands an item of `perform` or `perform_units` to a `LiveWriter`."""
    if isinstance(item, tuple):
        writer.audio(*item)
    elif isinstance(item, Unit):
        writer.unit(item)
    else:
        writer.picture(Picture(item.copy(), item.sample, fps))
