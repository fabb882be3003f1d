"""Files that hold speech, as PCM16 mono: any container and codec that FFmpeg reads, damaged or odd ones as far as they
are whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .._core import RATE
from ..errors import BadData
from .decode import Losses, Sound, SoundTrack, Source
from .mono import ChannelSurvey
from .pcm import pcm16

logger = logging.getLogger("lipwire.speech")

MIN_RATE = 8_000
"""Hz that a voice may have in Lipwire, to `RATE`."""
SILENCE = RATE
"""Samples of silence in one piece, at most."""


class _Run:
    """A stretch of a file in which rate and channels stay the same."""

    def __init__(self, sound: Sound) -> None:
        self.rate = sound.rate
        self.layout = sound.layout
        self.survey = ChannelSurvey(_channel_names(sound))

    def has(self, sound: Sound) -> bool:
        return (sound.rate, sound.layout) == (self.rate, self.layout)


class SpeechFile:
    """The speech in a file, as chunks of PCM16 mono: iterate over it, as often as you like.

    It is heard once when it is opened, so that `rate` and `duration` are true, and so that channels which would cancel
    each other are not added up. What cannot be decoded is left out, counted in `losses` and told in the log; where the
    file's times have a gap there is silence, so that what follows keeps its time.

    Args:
        source: a path; or what is in the file, as bytes or as an open binary file.

    Raises:
        BadData: there is no sound in it. InvalidArgument: it cannot be opened.
    """

    def __init__(self, source: Source) -> None:
        self._track = SoundTrack(source)
        self._runs: list[_Run] = []
        self.duration = 0.0
        """Seconds."""
        for sound in self._track:
            if not self._runs or not self._runs[-1].has(sound):
                self._runs.append(_Run(sound))
            self._runs[-1].survey.add(sound.samples)
            self.duration = sound.at + sound.samples.shape[1] / sound.rate
        self.losses: Losses = self._track.losses
        """What could not be decoded."""
        if not self._runs:
            why = ": none of it can be decoded" if self.losses.count else ""
            raise BadData(f"{self._track.name} has no sound in it{why}")
        fastest = max(run.rate for run in self._runs)
        self.rate = fastest if MIN_RATE <= fastest <= RATE else RATE
        """Hz of what it gives; the highest that is in the file."""
        if self.losses.count:
            logger.warning("%s: %s", self._track.name, self.losses)

    def __iter__(self) -> Iterator[bytes]:
        made = 0
        for chunk, at in self._converted():
            gap = round(at * self.rate) - made if at is not None else 0
            while gap > 0:
                silence = min(gap, SILENCE)
                yield bytes(2 * silence)
                gap, made = gap - silence, made + silence
            if len(chunk):
                yield chunk.tobytes()
                made += len(chunk)

    def _converted(self) -> Iterator[tuple[NDArray[np.int16], float | None]]:
        """(samples at `rate`, where they belong if a gap is before them)."""
        converter: _Converter | None = None
        run = -1
        end = 0.0
        for sound in self._track:
            fresh = run < 0 or not self._runs[run].has(sound)
            gap = sound.at > end
            if converter is not None and (fresh or gap):
                yield converter.flush(), None
            run += fresh
            if converter is None or fresh or gap:
                converter = _Converter(self._runs[run], self.rate)
            yield converter.take(sound.samples), sound.at if gap else None
            end = sound.at + sound.samples.shape[1] / sound.rate
        if converter is not None:
            yield converter.flush(), None


class _Converter:
    """Channels and rate of a run -> PCM16 mono, from one gap to the next."""

    def __init__(self, run: _Run, rate: int) -> None:
        self._rate = run.rate
        self._weights = run.survey.weights()
        self._resampler = None if rate == run.rate else av.AudioResampler("fltp", "mono", rate)

    def take(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        mono = self._weights @ samples
        if self._resampler is None:
            return pcm16(mono)
        frame = av.AudioFrame.from_ndarray(mono[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate
        return self._joined(self._resampler.resample(frame))

    def flush(self) -> NDArray[np.int16]:
        """What the resampler still holds."""
        return self._joined([] if self._resampler is None else self._resampler.resample(None))

    @staticmethod
    def _joined(frames: list[Any]) -> NDArray[np.int16]:
        return np.concatenate([np.zeros(0, np.int16), *(pcm16(frame.to_ndarray()[0]) for frame in frames)])


def _channel_names(sound: Sound) -> tuple[str, ...]:
    """FFmpeg's names of the channels, empty where it has no order for them."""
    count = len(sound.samples)
    try:
        names = tuple(channel.name for channel in av.AudioLayout(sound.layout).channels)
    except ValueError:
        names = ()
    return names if len(names) == count else ("",) * count


def load_speech(source: Source) -> tuple[NDArray[np.int16], int]:
    """A whole speech file: (samples, Hz). Raises as `SpeechFile`."""
    speech = SpeechFile(source)
    return np.frombuffer(b"".join(speech), dtype=np.int16), speech.rate
