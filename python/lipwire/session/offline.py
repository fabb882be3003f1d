"""Offline: a speech file to a video file, faster than real time, with the chain that runs live."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from msgspec import Struct

from .. import _core
from ..avatar import DEFAULT
from ..drawing.stage import FRAME_SLOTS, Face, Stage, stage_for
from ..errors import BadData, InvalidArgument
from ..protocol.messages import MAX_RATE, MIN_RATE
from ..publish.file import Mp4Writer
from ..stream import StreamSpec
from .voice_level import voice_level

AHEAD = 2.0
"""Seconds of speech that are decoded ahead of the clock."""
TAIL = 0.2
"""Seconds after the last sound, for the mouth to close."""

Speech = str | os.PathLike[str]


class RenderResult(Struct, kw_only=True):
    """What `render` did. Times in seconds."""

    duration: float
    frames: int
    elapsed: float

    @property
    def speed(self) -> float:
        """Times real time."""
        return self.duration / self.elapsed


class SpeechFile:
    """Any audio file that FFmpeg reads, as PCM16 mono chunks.

    Raises:
        BadData: there is no sound in it. InvalidArgument: it cannot be opened.
    """

    def __init__(self, path: Speech) -> None:
        try:
            self._file = av.open(os.fspath(path))
        except (OSError, av.FFmpegError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise InvalidArgument(f"cannot read {os.fspath(path)}: {reason}") from exc
        if not self._file.streams.audio:
            self._file.close()
            raise BadData(f"{os.fspath(path)} has no audio stream")
        self._stream = self._file.streams.audio[0]
        rate = self._stream.rate
        self.rate = rate if MIN_RATE <= rate <= MAX_RATE else MAX_RATE
        length = self._stream.duration
        self.duration = float(length * self._stream.time_base) if length and self._stream.time_base else None
        """Seconds, where the file says."""

    def __iter__(self) -> Iterator[bytes]:
        to_mono = av.AudioResampler(format="s16", layout="mono", rate=self.rate)
        try:
            for frame in self._file.decode(self._stream):
                for mono in to_mono.resample(frame):
                    yield mono.to_ndarray().tobytes()
            for mono in to_mono.resample(None):
                yield mono.to_ndarray().tobytes()
        except av.FFmpegError as exc:
            raise BadData(f"the audio is damaged: {exc}") from exc
        finally:
            self._file.close()


def perform(
    chunks: Iterator[bytes],
    rate: int,
    what: Stage | _core.NativeAvatar | None,
    fps: Fraction = Fraction(25),
    seed: int = 0,
    cues: Sequence[tuple[float, int, int]] = (),
    voice: float | None = None,
) -> Iterator[tuple[bytes, int] | _core.Frame]:
    """Runs the chain as fast as it can: yields (pcm, sample) for every 10 ms of sound, and Frames, in clock order.
    `cues` are (seconds, setting, value) for `Performer.set`, in order. `voice` is the voice's level as `voice_level`
    gives it; None: it is found out as in a live session.

    The same input gives the same bytes. `what` draws; None: poses without pictures. `fps` is for the last two.
    """
    if not isinstance(what, Stage):
        size = (0, 0) if what is None else (what.width, what.height)
        what = Stage(what, StreamSpec(session_id="offline", width=size[0], height=size[1], fps=fps))
    stage = what
    stage.prepare()
    performer = stage.performer(frame_slots=FRAME_SLOTS, seed=seed, capacity=AHEAD + 60, voice=voice)
    drawn: list[_core.Frame] = []
    stage.open(drawn.append, None)
    try:
        yield from _perform(chunks, rate, performer, stage, drawn, list(cues))
    finally:
        stage.close()


def _perform(
    chunks: Iterator[bytes],
    rate: int,
    performer: _core.Performer,
    stage: Stage,
    drawn: list[_core.Frame],
    waiting: list[tuple[float, int, int]],
) -> Iterator[tuple[bytes, int] | _core.Frame]:
    room = performer.space - AHEAD
    more = True
    tail = clock = 0
    while True:
        while more and performer.space > room:
            chunk = next(chunks, None)
            if chunk is None:
                more = False
                performer.end()
            else:
                performer.write(chunk, rate)
        while waiting and waiting[0][0] * _core.RATE <= clock:
            performer.set(*waiting.pop(0)[1:])
        performer.tick()
        clock += _core.BLOCK
        events = []
        while (event := performer.read_event()) is not None:
            events.append(event)
        stage.events(events)
        block = performer.read_pcm()
        assert block is not None
        pcm, sample = block
        yield stage.sound(pcm, sample), sample
        while (frame := performer.read_frame()) is not None:
            stage.frame(frame)
            del frame
            yield drawn.pop()
        if not more and not performer.stats()["active"]:
            tail += _core.BLOCK
            if tail > TAIL * _core.RATE + stage.delay:
                return


def render(
    speech: Speech,
    out: Speech,
    *,
    avatar: Face = DEFAULT,
    size: tuple[int, int] = (640, 360),
    fps: int | Fraction = 25,
    seed: int = 0,
    progress: Callable[[float, float | None], None] | None = None,
) -> RenderResult:
    """Renders a talking avatar into an MP4 (H.264 and AAC).

    Args:
        speech: any audio file that FFmpeg reads. out: path of the MP4, which ends in .mp4 or .m4v.
        avatar: what draws: an Avatar or its name, a Renderer, a hook, or a FrameSource.
        size: pixels, even. fps: 1..100.
        progress: called now and then with (seconds done, seconds in all or None).

    Raises:
        InvalidArgument: a path, the size, the rate or the avatar's name does not do. BadData: there is no sound.
        StorageError: the video cannot be written to its end, because the disk is full, say; nothing of it is left.
    """
    began = time.perf_counter()
    fps = Fraction(fps)
    if not 1 <= fps <= 100:
        raise InvalidArgument(f"fps must be 1..100, got {fps}")
    if _same_file(speech, out):
        raise InvalidArgument(f"{out} is the speech itself; choose another name for the video")
    source = SpeechFile(speech)
    stage = stage_for(avatar, StreamSpec(session_id=Path(out).name, width=size[0], height=size[1], fps=fps))
    stage.prepare()
    writer = Mp4Writer(Path(out), *size, fps, matrix=stage.spec.matrix)
    frames = clock = 0
    try:
        writer.open()
        for item in perform(iter(source), source.rate, stage, seed=seed, voice=_level_of(speech)):
            if isinstance(item, tuple):
                pcm, clock = item
                writer.audio(pcm, clock)
            else:
                writer.video(item.i420, item.sample)
                frames += 1
                if progress is not None and frames % 10 == 0:
                    progress(clock / _core.RATE, source.duration)
        writer.close()
    except BaseException:
        writer.abort()
        raise
    duration = (clock + _core.BLOCK) / _core.RATE
    if progress is not None:
        progress(duration, duration)
    return RenderResult(duration=duration, frames=frames, elapsed=time.perf_counter() - began)


def _level_of(speech: Speech) -> float | None:
    """Of the voice in a file that can be heard twice."""
    if isinstance(speech, str | os.PathLike) and not os.path.isfile(speech):
        return None
    heard = SpeechFile(speech)
    return voice_level(heard, heard.rate)


def _same_file(one: Speech, other: Speech) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False


def load_speech(path: Speech) -> tuple[Any, int]:
    """A whole audio file: (int16 samples, Hz). Raises as `SpeechFile`."""
    source = SpeechFile(path)
    return np.frombuffer(b"".join(source), dtype=np.int16), source.rate
