"""Films: pictures and sound encoded into a file, through PyAV. What the name ends in says which kind of file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from msgspec import Struct

from .._core import RATE, Atlas, Stitcher
from ..errors import BadState, InvalidArgument, StorageError
from ..stream import Unit
from .palette import PaletteFilter
from .part import Part
from .pyav import picture, tag

AUDIO_BITRATE = 96_000
CLOCK = Fraction(1, RATE)
KEY_SECONDS = 2
"""From one key frame to the next, at most: players seek to them, and cutters cut there."""
THREADS = 4
"""Of the encoder, on any machine: what comes out depends on how many there are."""


class Form(Struct, frozen=True, kw_only=True):
    """A kind of film."""

    name: str
    """FFmpeg's name of the container."""
    video: str
    """The encoders'."""
    audio: str | None
    """None: it cannot have sound."""
    file_options: dict[str, str]
    video_options: dict[str, str]
    crf: dict[str, int] | None = None
    """The encoder's constant rate factor for each quality; None: it has none."""
    most_crf: int = 0
    most_fps: int = 100
    audio_options: dict[str, str] = {}


_X264: dict[str, Any] = {
    "video": "libx264",
    "video_options": {"preset": "veryfast", "forced-idr": "1"},
    "crf": {"low": 28, "medium": 20, "high": 14},
    "most_crf": 51,
    # A voice is 11 dB nearer to what it was than with the default at 128 kbit/s, in a third of the time.
    "audio_options": {"aac_coder": "fast"},
}
_MP4 = Form(name="mp4", audio="aac", file_options={"movflags": "+faststart"}, **_X264)
FORMS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Form(name="mov", audio="aac", file_options={"movflags": "+faststart"}, **_X264),
    # bitexact: without a random number in the head.
    ".mkv": Form(name="matroska", audio="aac", file_options={"fflags": "+bitexact"}, **_X264),
    ".webm": Form(
        name="webm",
        video="libvpx-vp9",
        audio="libopus",
        file_options={"fflags": "+bitexact"},
        video_options={"deadline": "realtime", "cpu-used": "7", "b": "0"},
        crf={"low": 40, "medium": 32, "high": 22},
        most_crf=63,
    ),
    ".gif": Form(name="gif", video="gif", audio=None, file_options={}, video_options={}, most_fps=50),
}
"""By what the names of files end in: players and people go by it."""
QUALITIES = ("low", "medium", "high")


def form_of(path: Path) -> Form:
    """The kind of film that a name stands for. Raises InvalidArgument."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        known = ", ".join(FORMS)
        raise InvalidArgument(f"cannot write {path}: end its name in .mp4, or another kind of film: {known}")
    return form


def crf_of(form: Form, path: Path, quality: str | None, crf: int | None) -> int | None:
    """The constant rate factor to encode with; medium's where nothing is said. Raises InvalidArgument where the kind of
    film has none, and out of range."""
    if quality is not None and quality not in QUALITIES:
        raise InvalidArgument(f"quality {quality!r}: one of {', '.join(QUALITIES)}")
    if form.crf is None:
        if crf is not None or quality is not None:
            raise InvalidArgument(f"cannot write {path} with a quality: a {form.name} has none to choose")
        return None
    if crf is None:
        return form.crf[quality or "medium"]
    if quality is not None:
        raise InvalidArgument(f"quality {quality!r} and crf {crf}: give one of the two")
    if isinstance(crf, bool) or not isinstance(crf, int) or not 0 <= crf <= form.most_crf:
        raise InvalidArgument(f"crf must be a whole number, 0..{form.most_crf} in a {form.name}, got {crf!r}")
    return crf


class FilmWriter:
    """A film being written: `open`, then sound and picture in any order, on one clock, then `close` or `abort`. Not
    thread-safe.

    Until `close` it is a hidden file beside `path`, so that a run that breaks off leaves what was there before. The
    same sound and pictures give the same bytes, whatever the machine.

    Args:
        path: ends in one of `FORMS`. In a GIF there is no sound, and what is given is left out.
        quality: low, medium (where nothing is said) or high. crf: in its place, the encoder's constant rate factor;
            less is better and larger.

    Raises:
        InvalidArgument: the name or the quality is none of a film, or it cannot have so many pictures a second.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        fps: Fraction,
        *,
        quality: str | None = None,
        crf: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.form = form_of(self.path)
        self._crf = crf_of(self.form, self.path, quality, crf)
        self._asked = crf is not None or quality is not None
        if fps > self.form.most_fps:
            raise InvalidArgument(f"a {self.form.name} has at most {self.form.most_fps} frames a second, not {fps}")
        self._size, self._fps = (width, height), fps
        self._matrix = "bt709"
        self._file: Any = None
        self._video: Any = None
        self._audio: Any = None
        self._part = Part(self.path)
        self._step = RATE / fps
        self._pcm = bytearray()
        self._pcm_at: int | None = None
        self._key_at: int | None = None
        self._units = False
        self._palette = PaletteFilter(width, height) if self.form.video == "gif" else None
        self.target = self._part.target
        """The file itself, where `path` is a link to it."""
        self.pictures = 0
        """Taken so far."""

    @property
    def encodes(self) -> str:
        """Why it cannot be put together from units: what stands in the way; "" where nothing does."""
        if self.form.video != "libx264":
            return f"a {self.form.name}"
        return "a quality or crf of one's own" if self._asked else ""

    def open(self, matrix: str = "bt709", atlas: Atlas | None = None) -> None:
        """Creates the file; `matrix`: of the pictures' colours. `atlas`: its pictures are this one's `unit`s, and
        nothing is encoded but the sound.

        Raises:
            InvalidArgument: where that is impossible.
        """
        self._matrix = matrix
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"cannot write {str(self.path)!r}: FFmpeg takes names in UTF-8 only") from None
        part = self._part.open()
        with self._writing():
            # "file:", or a colon in the name makes an address of it.
            self._file = av.open(f"file:{part}", "w", format=self.form.name, options=dict(self.form.file_options))
        self._video = self._add_video() if atlas is None else self._add_units(atlas)
        self._audio = None if self.form.audio is None else self._add_audio(self.form.audio)

    def _add_units(self, atlas: Atlas) -> Any:
        """A track without an encoder. PyAV makes one only as a copy of another: here of the avatar at rest."""
        if self.encodes:
            raise InvalidArgument(f"{self.path} is encoded: units do not go with {self.encodes}")
        first = Stitcher(atlas).unit(0, (0,) * len(atlas.variants), key=True)
        with av.open(io.BytesIO(first), format="h264") as source:
            video: Any = self._file.add_stream_from_template(source.streams.video[0])
        video.time_base = 1 / self._fps
        self._units = True
        return video

    def _add_video(self) -> Any:
        video: Any = self._file.add_stream(self.form.video, rate=self._fps)
        video.width, video.height = self._size
        video.pix_fmt = "yuv420p" if self._palette is None else "pal8"
        video.options = dict(self.form.video_options) | ({} if self._crf is None else {"crf": str(self._crf)})
        context = video.codec_context
        context.time_base = 1 / self._fps
        context.gop_size = max(1, int(KEY_SECONDS * self._fps))
        context.thread_count = THREADS
        context.thread_type = "FRAME"  # slices cost bits
        if self._palette is None:
            tag(context, self._matrix)
        return video

    def _add_audio(self, codec: str) -> Any:
        audio: Any = self._file.add_stream(codec, rate=RATE)
        audio.layout = "mono"
        audio.bit_rate = AUDIO_BITRATE
        audio.options = dict(self.form.audio_options)
        return audio

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise StorageError(f"cannot write {self.path}: {reason}") from exc

    def audio(self, pcm: bytes, sample: int) -> None:
        """PCM16 mono at 48 kHz, the first sample at `sample` of the clock. Raises StorageError."""
        if self._audio is None:
            return
        if self._pcm_at is None:
            self._pcm_at = sample
        self._pcm += pcm
        if len(self._pcm) >= RATE // 5 * 2:
            self._encode_audio()

    def _encode_audio(self) -> None:
        if not self._pcm or self._pcm_at is None:
            return
        samples = np.frombuffer(bytes(self._pcm), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._pcm_at
        frame.time_base = CLOCK
        with self._writing():
            self._file.mux(self._audio.encode(frame))
        self._pcm_at += len(samples)
        self._pcm.clear()

    def video(self, i420: np.ndarray[Any, Any], sample: int) -> None:
        """One picture, uint8 (height * 3 / 2, width). Raises StorageError."""
        if self._units:
            raise BadState(f"{self.path} is made of video that was encoded before, and this picture was not")
        frame: Any = picture(i420, self._matrix)
        frame.pts = round(sample / self._step)
        frame.time_base = 1 / self._fps
        # The encoder counts pictures, of which a session that is late leaves some out.
        if self._key_at is None or frame.pts - self._key_at >= self._video.codec_context.gop_size:
            frame.pict_type = av.video.frame.PictureType.I
            self._key_at = frame.pts
        self.pictures += 1
        with self._writing():
            self._encode([frame] if self._palette is None else self._palette.take(frame))

    def unit(self, unit: Unit) -> None:
        """One picture of the atlas it was opened with, the first one and those behind a gap as `key`. Raises
        StorageError."""
        if not self._units:
            raise BadState(f"{self.path} was opened without an atlas, for pictures")
        packet = av.Packet(unit.data)
        packet.stream = self._video
        packet.pts = packet.dts = round(unit.sample / self._step)
        packet.time_base = 1 / self._fps
        packet.duration = 1
        packet.is_keyframe = unit.key
        self.pictures += 1
        with self._writing():
            self._file.mux(packet)

    def _encode(self, frames: list[Any]) -> None:
        for frame in frames:
            self._file.mux(self._video.encode(frame))

    def close(self, place: Path | None = None) -> None:
        """Finishes the film, which takes the place of what was at `path` before; or is put in another `place`, in the
        same folder. Without a picture it is none: nothing is left of it, and what was there before stays.

        Raises:
            StorageError: it is not complete; `abort` takes it away.
        """
        if not self.pictures:
            self.abort()
            return
        self._encode_audio()
        with self._writing():
            if self._palette is not None:
                self._encode(self._palette.flush())
            if not self._units:
                self._file.mux(self._video.encode(None))
            if self._audio is not None:
                self._file.mux(self._audio.encode(None))
            self._file.close()
            self._part.keep(place)

    def abort(self) -> None:
        """Leaves nothing. Safe before `open`, and where that failed."""
        try:
            if self._file is not None:
                with contextlib.suppress(OSError, av.FFmpegError):  # what it still had to write has no place
                    self._file.close()
        finally:
            self._part.drop()
