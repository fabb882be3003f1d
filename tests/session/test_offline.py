"""`lipwire.render`: the file is what it says, the lips fit the sound, and what fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import math
import os
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.audio.speech_file import load_speech
from lipwire.avatar.builtin import draw
from lipwire.errors import BadData, InvalidArgument
from lipwire.session.offline import TAIL, perform

pytestmark = pytest.mark.kernels

Array = np.ndarray[Any, Any]

SIZE = (320, 180)
WORDS = ("pa", "ma", "bob", "top", "go", "bat", "palm", "bar")
GAP = 0.5
BT709 = 1


def write_wav(path: Path, samples: Array, rate: int, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def tone(seconds: float, rate: int, hz: float = 300.0) -> Array:
    return (np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate) * 9000).astype(np.int16)


@pytest.fixture(scope="module")
def words(say: Callable[[str], tuple[bytes, int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short words, cut to begin and end with their sound, half a second of silence around each."""
    parts = []
    for word in WORDS:
        pcm, rate = say(word)
        samples = np.frombuffer(pcm, np.int16)
        loud = np.flatnonzero(np.abs(samples) > 200)
        parts += [np.zeros(round(GAP * rate), np.int16), samples[loud[0] : loud[-1]]]
    parts.append(np.zeros(round(0.7 * rate), np.int16))
    return write_wav(tmp_path_factory.mktemp("speech") / "words.wav", np.concatenate(parts), rate)


class Film:
    """A decoded file."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as file:
            video = file.streams.video[0]
            self.size = video.width, video.height
            self.fps = video.average_rate
            self.codecs = video.codec_context.name, file.streams.audio[0].codec_context.name
            self.tags = [
                getattr(video.codec_context, name)
                for name in ("colorspace", "color_primaries", "color_trc", "color_range")
            ]
            frames = list(file.decode(video=0))
        self.times = np.array([float(f.time or 0) for f in frames])
        self.luma = np.stack([f.to_ndarray(format="yuv420p")[: f.height] for f in frames]).astype(np.float32)
        with av.open(str(path)) as file:
            sounds = list(file.decode(audio=0))
        self.rate = sounds[0].sample_rate
        self.sound_start = float(sounds[0].time or 0)
        self.sound = np.concatenate([f.to_ndarray().ravel() for f in sounds])

    def mouth(self) -> Array:
        """The mouth's region in every picture: where the avatar's layer of that name lies."""
        layer = next(layer for layer in draw("aria", *self.size).layers if layer.name == "mouth")
        height, width = layer.images[0].shape[:2]
        return self.luma[:, int(layer.y) : int(layer.y) + height, int(layer.x) : int(layer.x) + width]

    def opening(self) -> Array:
        """How far each picture's mouth is from the one at rest: mean absolute difference of the luma."""
        region = self.mouth()
        return np.abs(region - region[0]).mean(axis=(1, 2))

    def envelope(self, times: Array) -> Array:
        """The sound's RMS over 10 ms around each time."""
        power = np.convolve(self.sound**2, np.ones(480) / 480, "same")
        return np.sqrt(np.interp(times, self.sound_start + np.arange(len(power)) / self.rate, power))


@pytest.fixture(scope="module")
def film(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Film:
    path = tmp_path_factory.mktemp("film") / "words.mp4"
    result = lipwire.render(words, path, size=SIZE, fps=25)
    with wave.open(str(words)) as file:
        length = file.getnframes() / file.getframerate()
    assert result.duration == pytest.approx(length + TAIL, abs=0.021)
    assert result.frames == math.ceil(result.duration * 25)
    assert result.speed > 0
    film = Film(path)
    assert len(film.times) == result.frames
    assert len(film.sound) / film.rate == pytest.approx(result.duration, abs=0.03)  # AAC has frames of 21 ms
    return film


def test_the_file_is_what_was_asked_for(film: Film) -> None:
    assert film.size == SIZE
    assert film.fps == 25
    assert film.codecs == ("h264", "aac")
    assert film.rate == 48_000
    assert film.tags == [BT709, BT709, BT709, 1]
    assert np.allclose(film.times, np.arange(len(film.times)) / 25)
    assert film.sound_start == 0


def lag(mouth: Array, sound: Array, step: float, most: float = 0.4) -> float:
    """Seconds by which `mouth` is later than `sound` where the two correlate best."""
    mouth, sound = ((x - x.mean()) / x.std() for x in (mouth, sound))
    shifts = np.arange(-round(most / step), round(most / step) + 1)
    fits = [np.mean(np.roll(mouth, -n)[80:-80] * sound[80:-80]) for n in shifts]
    assert max(fits) > 0.6
    return float(shifts[int(np.argmax(fits))] * step)


def test_the_lips_fit_the_sound(film: Film, record_property: Callable[[str, object], None]) -> None:
    """Measured in the decoded file: the cross-correlation of the mouth's opening with the sound's envelope, both on a
    grid of 5 ms, has its maximum at the A/V offset (+ = the mouth is later)."""
    times = np.arange(0, film.times[-1], 0.005)
    opening = np.interp(times, film.times, film.opening())
    offset = lag(opening, film.envelope(times), 0.005)
    record_property("av_offset_ms", offset * 1000)
    print(f"A/V offset {offset * 1000:+.0f} ms")
    assert abs(offset) <= 0.060


def test_every_word_opens_the_mouth_and_every_gap_rests_it(film: Film) -> None:
    # From one picture to the next, for the head drifts a little all the time.
    moved = np.abs(np.diff(film.mouth(), axis=0)).mean(axis=(1, 2))
    loud = film.envelope(film.times[1:]) > 0.01
    rests = moved[np.convolve(loud, np.ones(9), "same") == 0]  # 160 ms and more away from any sound
    assert len(rests) > 20
    edges = np.flatnonzero(np.diff(loud.astype(int)) == 1)
    assert len(edges) >= len(WORDS)
    print(f"motion at rest: median {np.median(rests):.2f}, most {rests.max():.2f}; of words:")
    for edge in edges:
        print(f"{moved[max(0, edge - 3) : edge + 8].max():.2f}")
        assert moved[max(0, edge - 3) : edge + 8].max() > 2 * rests.max()


def bytes_of(path: Path, size: tuple[int, int] = (64, 36), seed: int = 0) -> tuple[str, list[Any]]:
    samples, rate = load_speech(path)
    digest = hashlib.sha256()
    frames = []
    avatar = lipwire.Avatar.load("aria").at(*size)
    for item in perform(iter([samples.tobytes()]), rate, avatar, Fraction(25), seed):
        if isinstance(item, tuple):
            digest.update(item[0])
        else:
            digest.update(item)
            frames.append((item.mouth_open, float(item.visemes[1:].sum())))
    return digest.hexdigest(), frames


def test_same_input_same_bytes(words: Path) -> None:
    assert bytes_of(words) == bytes_of(words)
    assert bytes_of(words, seed=1)[0] != bytes_of(words)[0]


def test_the_mouth_does_not_move_in_silence(tmp_path: Path) -> None:
    for samples in (np.zeros(48_000, np.int16), np.random.default_rng(1).integers(-12, 13, 48_000, np.int16)):
        _, frames = bytes_of(write_wav(tmp_path / "silence.wav", samples.astype(np.int16), 24_000))
        assert len(frames) > 50
        assert not any(mouth for mouth, _ in frames)
        assert max(visemes for _, visemes in frames) == 0


# ---------------------------------------------------------------------------------------------------- what it reads


def encode(path: Path, codec: str, rate: int, layout: str, seconds: float) -> Path:
    """A tone in a container and codec of choice."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.layout = layout
        channels = 2 if layout == "stereo" else 1
        frame = av.AudioFrame.from_ndarray(np.repeat(tone(seconds, rate), channels)[None], format="s16", layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        fit = av.AudioResampler(stream.codec_context.format, layout, rate, stream.codec_context.frame_size or None)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return path


FORMATS = [
    ("wav", "pcm_s16le", 8_000, "mono"),
    ("wav", "pcm_s16le", 44_100, "stereo"),
    ("wav", "pcm_s16le", 96_000, "stereo"),
    ("wav", "pcm_u8", 11_025, "mono"),
    ("wav", "pcm_f32le", 48_000, "mono"),
    ("wav", "pcm_mulaw", 8_000, "mono"),
    ("ogg", "libopus", 48_000, "stereo"),
    ("flac", "flac", 22_050, "mono"),
    ("m4a", "aac", 32_000, "stereo"),
    ("mp3", "libmp3lame", 44_100, "stereo"),
]


@pytest.mark.parametrize(("kind", "codec", "rate", "layout"), FORMATS)
def test_any_audio_file_will_do(tmp_path: Path, kind: str, codec: str, rate: int, layout: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    speech = encode(tmp_path / f"in.{kind}", codec, rate, layout, 0.6)
    result = lipwire.render(speech, tmp_path / "out.mp4", size=(64, 36))
    assert result.duration == pytest.approx(0.6 + TAIL, abs=0.1)  # lossy codecs pad
    film = Film(tmp_path / "out.mp4")
    loud = film.sound[film.rate // 5 : film.rate // 2]
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(9000 / 32768 / math.sqrt(2), rel=0.1)
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(len(loud))))
    assert np.argmax(spectrum) * film.rate / len(loud) == pytest.approx(300, abs=5)


def test_a_video_may_speak(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(0.4, 16_000), 16_000)
    first = lipwire.render(speech, tmp_path / "one.mp4", size=(64, 36))
    second = lipwire.render(tmp_path / "one.mp4", tmp_path / "two.mp4", size=(64, 36))
    assert second.duration == pytest.approx(first.duration + TAIL, abs=0.05)


@pytest.mark.parametrize(
    ("size", "fps"), [((64, 36), 1), ((36, 64), Fraction(30000, 1001)), ((128, 128), 60), ((16, 16), 100)]
)
def test_sizes_and_rates(tmp_path: Path, size: tuple[int, int], fps: int | Fraction) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(1.2, 16_000), 16_000)
    told: list[tuple[float, float | None]] = []
    result = lipwire.render(speech, tmp_path / "out.mp4", size=size, fps=fps, progress=lambda *now: told.append(now))
    film = Film(tmp_path / "out.mp4")
    assert film.size == size
    assert len(film.times) == result.frames == math.ceil(result.duration * fps)
    assert np.allclose(film.times, np.arange(result.frames) / float(fps), atol=1e-3)
    assert told[-1] == (result.duration, result.duration)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_empty_recording_is_a_resting_face(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "in.wav", np.zeros(0, np.int16), 16_000)
    try:
        result = lipwire.render(speech, tmp_path / "out.mp4", size=(64, 36))
    except lipwire.LipwireError:
        assert not (tmp_path / "out.mp4").exists()
    else:
        assert result.frames >= 1
        assert Film(tmp_path / "out.mp4").size == (64, 36)


# ----------------------------------------------------------------------------------------------------------- errors


def refused(kind: type[Exception], match: str, speech: Path, out: Path, **options: Any) -> None:
    before = set(out.parent.iterdir()) if out.parent.is_dir() else None
    with pytest.raises(kind, match=match) as caught:
        lipwire.render(speech, out, **options)
    assert isinstance(caught.value, lipwire.LipwireError)
    assert "\n" not in str(caught.value)
    assert (set(out.parent.iterdir()) if out.parent.is_dir() else None) == before


def test_bad_arguments_leave_no_file(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(0.3, 16_000), 16_000)
    out = tmp_path / "out.mp4"
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be.\n" * 20)
    empty = tmp_path / "empty.wav"
    empty.touch()
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as file:
        stream: Any = file.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 36
        file.mux(stream.encode(av.VideoFrame(64, 36, "yuv420p")))
        file.mux(stream.encode(None))
    refused(InvalidArgument, "missing.wav", tmp_path / "missing.wav", out)
    refused(InvalidArgument, "cannot read", tmp_path, out)
    refused(BadData, r"text\.txt has no audio stream", text, out)
    refused(InvalidArgument, r"empty\.wav", empty, out)
    refused(BadData, "no audio stream", silent, out)
    refused(InvalidArgument, "no folder", speech, tmp_path / "no" / "out.mp4")
    refused(InvalidArgument, "no folder", speech, text / "out.mp4")
    for size in ((63, 36), (64, 35), (14, 36), (64, 4098), (0, 0), (-64, 36)):
        refused(InvalidArgument, "even numbers", speech, out, size=size)
    for fps in (0, 101, Fraction(1, 2)):
        refused(InvalidArgument, "fps", speech, out, fps=fps)
    refused(InvalidArgument, "nobody", speech, out, avatar="nobody")


@pytest.mark.parametrize("name", [".", "x" * 300 + ".mp4"])
def test_a_path_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(0.3, 16_000), 16_000)
    refused(InvalidArgument, "cannot write", speech, tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_to(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(0.3, 16_000), 16_000)
    locked = tmp_path / "locked"
    locked.mkdir(0o500)
    refused(InvalidArgument, "cannot write", speech, locked / "out.mp4")


def test_a_render_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "in.wav", tone(3.0, 16_000), 16_000)

    def stop(done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lipwire.render(speech, tmp_path / "out.mp4", size=(64, 36), progress=stop)
    assert list(tmp_path.iterdir()) == [speech]


def test_sound_that_is_damaged_from_the_start_leaves_no_file(tmp_path: Path) -> None:
    good = encode(tmp_path / "in.flac", "flac", 22_050, "mono", 1.0)
    data = bytearray(good.read_bytes())
    head = len(data) // 8
    data[head:] = bytes(len(data) - head)
    good.write_bytes(data)
    try:
        lipwire.render(good, tmp_path / "out.mp4", size=(64, 36))
    except lipwire.LipwireError:
        assert list(tmp_path.iterdir()) == [good]
    else:
        assert Film(tmp_path / "out.mp4").size == (64, 36)


def test_the_speech_is_never_overwritten(tmp_path: Path) -> None:
    speech = encode(tmp_path / "in.m4a", "aac", 48_000, "mono", 0.5)
    before = speech.read_bytes()
    with pytest.raises(InvalidArgument):
        lipwire.render(speech, speech, size=(64, 36))
    assert speech.read_bytes() == before


def test_perform_without_an_avatar_is_sound_alone() -> None:
    pcm = tone(0.3, 24_000).tobytes()
    items = list(perform(iter([pcm]), 24_000, None))
    sound = [item for item in items if isinstance(item, tuple)]
    assert [at for _, at in sound] == list(range(0, len(sound) * _core.BLOCK, _core.BLOCK))
