"""Speech files as they lie about: whatever is whole is heard at its time, and what is lost is told."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire.audio.decode import standard_input
from lipwire.audio.mono import ChannelSurvey
from lipwire.audio.speech_file import SpeechFile, load_speech
from lipwire.errors import BadData, InvalidArgument, LipwireError

Array = NDArray[Any]
RATE = 16_000
LEVEL = 0.3


def tone(rate: int = RATE, hz: float = 400, seconds: float = 1.0) -> Array:
    return (LEVEL * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def pcm(samples: Array) -> bytes:
    return np.rint(samples * 32767).astype("<i2").tobytes()


def encoded(
    codec: str,
    form: str,
    rate: int = 48_000,
    pieces: Sequence[tuple[float, Array]] = (),
    channels: int = 1,
    flags: dict[str, str] | None = None,
) -> bytes:
    """`pieces` (seconds, samples), at their times in a container of choice."""
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=flags or {}) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.layout = layout = "mono" if channels == 1 else "stereo"
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 960
        for start, samples in pieces or [(0.0, tone(rate))]:
            fit = av.AudioResampler(stream.codec_context.format, layout, rate)
            for at in range(0, len(samples) // size * size, size):
                piece = np.repeat(samples[None, at : at + size], channels, 0)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=layout)
                frame.sample_rate = rate
                (frame,) = fit.resample(frame)
                frame.pts, frame.time_base = round(start * rate) + at, Fraction(1, rate)
                file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def wav(
    data: bytes,
    rate: int = RATE,
    channels: int = 1,
    form: int = 1,
    bits: int = 16,
    size: int | None = None,
    mask: int | None = None,
) -> bytes:
    """A RIFF file by hand; `size`: what it says of its data. `mask`: of the speakers, in an extensible header."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if mask is not None else form, channels, rate, rate * block, block, bits)
    if mask is not None:
        head += struct.pack("<HHIH", 22, bits, mask, form) + bytes.fromhex("000000001000800000aa00389b71")
    said = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", said) + data
    return b"RIFF" + struct.pack("<I", min(0xFFFFFFFF, said + len(body))) + body


def with_hole(data: bytes, at: float, junk: bytes, over: int = 0) -> bytes:
    middle = round(len(data) * at)
    return data[:middle] + junk + data[middle + over :]


def several(count: int, speaks: int) -> Array:
    samples = np.zeros((RATE, count), np.float32)
    samples[:, speaks] = tone()
    return samples


def flawed(kind: type[np.floating[Any]]) -> bytes:
    samples = tone().astype(kind)
    samples[100], samples[5000:5010], samples[6000] = np.nan, np.inf, -np.inf
    return samples.tobytes()


NOISE = np.random.default_rng(1).integers(0, 256, 3000, np.uint8).tobytes()


def mp3(rate: int = 24_000, channels: int = 1) -> bytes:
    return encoded("libmp3lame", "mp3", rate, channels=channels)


def adts(rate: int = 24_000, channels: int = 1) -> bytes:
    return encoded("aac", "adts", rate, channels=channels)


def twice(codec: str, form: str, start: float = 3.0) -> bytes:
    return encoded(codec, form, pieces=[(0.0, tone(48_000)), (start, tone(48_000))])


FILES: dict[str, tuple[Callable[[], bytes], float, bool]] = {
    # name: (its bytes, seconds that a player plays, whether something is lost)
    "joined mp3": (lambda: mp3() * 5, 5.2, False),
    "mp3 with tags and padding": (lambda: mp3() + b"TAG" + bytes(125) + mp3() + bytes(5000), 2.05, False),
    "mp3 behind junk": (lambda: bytes(700) + NOISE + mp3(), 1.05, False),
    "mp3 that is damaged": (lambda: with_hole(mp3(), 0.5, NOISE), 0.87, True),
    "mp3 whose rate and channels change": (lambda: mp3() + mp3(44_100, 2), 2.05, False),
    "adts whose rate and channels change": (lambda: adts() + adts(44_100, 2), 2.1, False),
    "adts that is damaged": (lambda: with_hole(adts(), 0.5, NOISE[:500]), 1.05, True),
    "chained ogg": (lambda: encoded("libopus", "ogg") * 2, 2.0, False),
    "chained ogg of other codecs": (
        lambda: encoded("flac", "ogg") + encoded("libopus", "ogg", channels=2) + encoded("flac", "ogg", 22_050),
        3.0,
        False,
    ),
    "chained ogg of other channels": (lambda: encoded("flac", "ogg") + encoded("flac", "ogg", channels=2), 2.0, False),
    "flac that is damaged": (lambda: with_hole(encoded("flac", "flac"), 0.5, bytes(10), 10), 1.0, True),
    "joined ts: times that go back": (lambda: encoded("aac", "mpegts") * 2, 2.0, False),
    "a hole in mkv": (lambda: twice("aac", "matroska"), 4.0, False),
    "a hole in webm": (lambda: twice("libopus", "webm"), 4.0, False),
    "a hole in mp4": (lambda: twice("aac", "mp4"), 4.0, False),
    "a late start": (lambda: encoded("aac", "mp4", pieces=[(0.5, tone(48_000))]), 1.5, False),
    "a late start in webm": (lambda: encoded("libopus", "webm", pieces=[(0.5, tone(48_000))]), 1.5, False),
    "mkv that is cut off": (
        lambda: (lambda data: data[: len(data) * 3 // 5])(twice("aac", "matroska", 1.0)),
        1.2,
        True,
    ),
    "a start at another clock": (lambda: encoded("aac", "mp4", pieces=[(5000, tone(48_000))]), 1.0, False),
    "mp4 that is damaged": (lambda: with_hole(twice("aac", "mp4", 1.0), 0.35, bytes(600), 600), 2.0, True),
    "mp4 in fragments, cut off": (
        lambda: (lambda data: data[: len(data) * 2 // 3])(
            encoded("aac", "mp4", flags={"movflags": "frag_keyframe+empty_moov", "frag_duration": "100000"})
        ),
        0.65,
        True,
    ),
    "wav of size 0": (lambda: wav(pcm(tone()), size=0), 1.0, False),
    "wav of size -1": (lambda: wav(pcm(tone()), size=0xFFFFFFFF), 1.0, False),
    "wav that is cut off": (lambda: wav(pcm(tone()))[:-8001], 0.75, False),
    "joined wav": (lambda: wav(pcm(tone())) * 3, 3.0, False),
    "joined wav whose format changes": (
        lambda: wav(pcm(tone())) + wav((tone(8001) * 127 + 128.5).astype(np.uint8).tobytes(), 8001, bits=8) * 2,
        3.0,
        False,
    ),
    "joined wav, the last of no known size": (lambda: wav(pcm(tone())) + wav(pcm(tone()), size=0xFFFFFFFF), 2.0, False),
    "joined rf64": (lambda: encoded("pcm_s16le", "wav", flags={"rf64": "always"}) * 2, 2.0, False),
    "joined wav, one of which is none": (lambda: wav(pcm(tone())) + wav(b"", form=99) + wav(pcm(tone())), 2.0, True),
    "w64": (lambda: encoded("pcm_s16le", "w64"), 1.0, False),
    "rf64": (lambda: encoded("pcm_s16le", "wav", flags={"rf64": "always"}), 1.0, False),
    "aiff": (lambda: encoded("pcm_s16be", "aiff"), 1.0, False),
    "wav of 24 bits": (
        lambda: wav((tone() * 8388607).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), bits=24),
        1.0,
        False,
    ),
    "wav of 8 bits": (lambda: wav((tone() * 127 + 128.5).astype(np.uint8).tobytes(), bits=8), 1.0, False),
    "floats that are no numbers": (lambda: wav(flawed(np.float32), form=3, bits=32), 1.0, False),
    "doubles that are no numbers": (lambda: wav(flawed(np.float64), form=3, bits=64), 1.0, False),
    "opposite polarity": (lambda: wav(pcm(np.stack([tone(), -0.95 * tone()], 1)), channels=2), 1.0, False),
    "one of two channels": (lambda: wav(pcm(several(2, 1)), channels=2), 1.0, False),
    "the centre of 5.1": (lambda: wav(pcm(several(6, 2)), channels=6, mask=0x3F), 1.0, False),
    "9 channels without a layout": (lambda: wav(pcm(several(9, 8)), channels=9, mask=0), 1.0, False),
    "32 channels without a layout": (lambda: wav(pcm(several(32, 20)), channels=32), 1.0, False),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_whole_is_heard(name: str) -> None:
    make, seconds, lossy = FILES[name]
    speech = SpeechFile(make())
    samples = np.frombuffer(b"".join(speech), np.int16) / 32768
    assert len(samples) / speech.rate == pytest.approx(seconds, abs=0.12)
    assert speech.duration == pytest.approx(len(samples) / speech.rate, abs=0.002)
    assert bool(speech.losses.count) == lossy
    assert b"".join(speech) == (samples * 32768).astype(np.int16).tobytes(), "a second time it is the same"
    # The tone is all that is heard, as loud as it is.
    loud = samples[-speech.rate * 3 // 10 : -speech.rate // 10]
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(len(loud))))
    assert np.argmax(spectrum) * speech.rate / len(loud) == pytest.approx(400, abs=8)
    assert np.sqrt(2 * np.mean(loud**2)) == pytest.approx(LEVEL, rel=0.12)
    assert np.abs(samples).max() < 2 * LEVEL or lossy, "nothing clicks"


@pytest.mark.filterwarnings("error")
def test_whatever_happens_to_a_file_it_is_heard_or_refused() -> None:
    whole = [mp3(), adts(), twice("aac", "mpegts", 1.0), twice("aac", "mp4", 1.0), encoded("flac", "ogg") * 2]
    whole += [twice("libopus", "webm", 1.0), wav(flawed(np.float32), form=3, bits=32)]
    dice = np.random.default_rng(4)
    heard = 0
    for turn in range(70):
        data = bytearray(whole[turn % len(whole)])
        at, junk = dice.integers(len(data)), dice.integers(0, 256, dice.integers(1, 2000), np.uint8).tobytes()
        if turn % 3 == 0:
            data[at : at + len(junk)] = junk
        elif turn % 3 == 1:
            data[at:at] = junk
        else:
            del data[at : at + len(junk)]
        try:
            speech = SpeechFile(bytes(data))
        except LipwireError as exc:
            assert "\n" not in str(exc)
        else:
            heard += bool(sum(map(len, speech)))
    assert heard > 50


def test_a_hole_is_silence_and_what_follows_keeps_its_time() -> None:
    for codec, form in (("aac", "matroska"), ("libopus", "webm"), ("pcm_s16le", "matroska")):
        samples, rate = load_speech(twice(codec, form))
        assert not np.abs(samples[round(1.1 * rate) : round(2.9 * rate)]).max()
        sounds = np.flatnonzero(np.abs(samples[round(1.1 * rate) :]) > 1000)[0] / rate + 1.1
        assert sounds == pytest.approx(3.0, abs=0.03)


def test_what_is_lost_at_the_start_leaves_the_rest_at_its_time() -> None:
    whole = twice("aac", "mp4", 1.0)
    begin = whole.index(b"mdat") + 4
    speech = SpeechFile(whole[:begin] + b"\xff" * 400 + whole[begin + 400 :])
    samples = np.frombuffer(b"".join(speech), np.int16)
    assert speech.losses.first == 0.0
    assert speech.duration == pytest.approx(2.0, abs=0.12)
    first = np.flatnonzero(np.abs(samples) > 1000)[0] / speech.rate
    assert 0.01 < first < 0.2


def test_what_was_lost_is_told_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    speech = SpeechFile(with_hole(mp3(), 0.5, NOISE))
    assert speech.losses.first == pytest.approx(0.5, abs=0.1)
    (record,) = caplog.records
    told = record.getMessage()
    assert str(speech.losses) in told and f"{speech.losses.count} damaged places" in told and "\n" not in told
    caplog.clear()
    assert str(SpeechFile(mp3() * 2).losses) == "", "tags between joined files are no sound"
    assert not caplog.records


def test_the_highest_rate_of_a_file_is_its_rate() -> None:
    assert SpeechFile(mp3(44_100) + mp3(24_000)).rate == SpeechFile(mp3(24_000) + mp3(44_100)).rate == 44_100
    assert SpeechFile(wav(pcm(tone(96_000)), 96_000)).rate == 48_000
    assert SpeechFile(wav(pcm(tone(6_000)), 6_000)).rate == 48_000


def test_pcm16_comes_through_untouched() -> None:
    samples = np.random.default_rng(2).integers(-32768, 32768, 9000, np.int64).astype("<i2")
    assert b"".join(SpeechFile(wav(samples.tobytes(), 24_000))) == samples.tobytes()


def test_silence_is_silence() -> None:
    stereo, rate = load_speech(wav(bytes(4 * RATE), channels=2))
    assert (len(stereo), rate, stereo.any()) == (RATE, RATE, False)


def two_tracks(default: int, path: Path) -> Path:
    """400 Hz and 1000 Hz, one of them flagged as the default, behind a picture."""
    with av.open(str(path), "w") as file:
        video: Any = file.add_stream("libx264", rate=25)
        video.width, video.height = 64, 36
        tracks: list[Any] = [file.add_stream("libopus", rate=48_000) for _ in range(2)]
        for number, track in enumerate(tracks):
            track.disposition = av.stream.Disposition.default if number == default else 0
        file.mux(video.encode(av.VideoFrame(64, 36, "yuv420p")))
        for track, hz in zip(tracks, (400, 1000), strict=True):
            for at in range(0, 48_000, 960):
                frame = av.AudioFrame.from_ndarray(tone(48_000, hz)[None, at : at + 960], format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
                file.mux(track.encode(frame))
        for stream in (video, *tracks):
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_the_track_that_is_flagged_as_the_default_is_heard(tmp_path: Path, default: int) -> None:
    samples, rate = load_speech(two_tracks(default, tmp_path / "film.mkv"))
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx((400, 1000)[default], abs=5)


@pytest.mark.parametrize(
    "name", ["a:b.wav", "http:x.wav", "-", "50%.wav", "%03d.wav", "file:x.wav", "é ü.wav", "\udcff.wav"]
)
def test_any_name_is_a_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).write_bytes(wav(pcm(tone())))
    except OSError:
        pytest.skip("this file system has no such names")
    assert load_speech(name)[0].tobytes() == load_speech(tmp_path / name)[0].tobytes() == pcm(tone())


def test_what_is_in_a_file_will_do(tmp_path: Path) -> None:
    data = wav(pcm(tone()))
    assert b"".join(SpeechFile(data)) == b"".join(SpeechFile(io.BytesIO(data))) == pcm(tone())


@pytest.mark.parametrize(
    ("data", "kind", "match"),
    [
        (b"", InvalidArgument, "empty"),
        (NOISE, InvalidArgument, "no file that FFmpeg knows"),
        (wav(b""), BadData, "no sound in it"),
        (b"\xff\xfb\x90\x64" * 3, InvalidArgument, "cannot read"),
    ],
)
def test_a_file_without_sound_says_so(data: bytes, kind: type[Exception], match: str, tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(data)
    with pytest.raises(kind, match=match) as caught:
        SpeechFile(tmp_path / "speech.wav")
    assert "speech.wav" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_joined_wavs_is_heard_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "joined.wav").write_bytes(wav(pcm(tone())) + wav(pcm(tone(8000)), 8000))
    assert SpeechFile(tmp_path / "joined.wav").duration == pytest.approx(2.0, abs=0.01)


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"speech")))
    assert standard_input() == b"speech"
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidArgument, match="standard input"):
        standard_input()


def test_channels_that_would_cancel_are_turned_round() -> None:
    survey = ChannelSurvey(("FL", "FR", "LFE"))
    noise = np.random.default_rng(3).standard_normal((3, RATE)).astype(np.float32) * 0.1
    noise[1] = 0.1 - noise[0]  # an offset says nothing about polarity
    survey.add(noise)
    assert survey.weights().tolist() == [0.5, -0.5, 0.0]
    assert ChannelSurvey(("", "")).weights().tolist() == [0.5, 0.5]


def test_a_wave_of_the_standard_library(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm(np.stack([tone(), tone()], 1)))
    samples, rate = load_speech(tmp_path / "a.wav")
    assert rate == RATE
    assert samples.tobytes() == pcm(tone())
