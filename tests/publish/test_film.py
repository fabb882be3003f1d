"""Films of every kind: what is in them, decoded again; key frames; names; and the same bytes on any machine."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwire.errors import InvalidArgument
from lipwire.publish import File
from lipwire.publish.film import FORMS, FilmWriter
from lipwire.publish.palette import LOOKED_AT

RATE = 48_000
NAMES = {".mov": "mov", ".webm": "webm", ".mkv": "matroska", ".gif": "gif"}
NAMES = {".mov": "mov", ".webm": "webm", ".mkv": "matroska", ".gif": "gif"}
CODECS = {".webm": ("vp9", "opus"), ".gif": ("gif",)}


def pictures(count: int, width: int = 64, height: int = 36) -> list[np.ndarray[Any, Any]]:
    """Grey ones that grow lighter, so that each is known by its level."""
    made = []
    for number in range(count):
        i420 = np.full((height * 3 // 2, width), 128, np.uint8)
        i420[:height] = 40 + 160 * number // count
        made.append(i420)
    return made


def write(
    path: Path, count: int, fps: Fraction = Fraction(25), left_out: frozenset[int] = frozenset(), **options: Any
) -> Path:
    writer = FilmWriter(path, 64, 36, fps, **options)
    writer.open()
    for number, i420 in enumerate(pictures(count)):
        if number not in left_out:
            writer.video(i420, round(number * RATE / fps))
    t = np.arange(round(count * RATE / fps)) / RATE
    writer.audio((np.sin(2 * np.pi * 300 * t) * 9000).astype(np.int16).tobytes(), 0)
    writer.close()
    return path


def key_times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        packets: list[Any] = [packet for packet in file.demux(video=0) if packet.is_keyframe and packet.size]
        return [float(packet.pts * packet.time_base) for packet in packets]


@pytest.mark.parametrize("suffix", FORMS)
def test_every_kind_is_what_its_name_says(tmp_path: Path, suffix: str) -> None:
    count = LOOKED_AT + 20
    path = write(tmp_path / f"film{suffix.upper()}", count)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with av.open(str(path)) as file:
        assert tuple(stream.codec_context.name for stream in file.streams) == CODECS.get(suffix, ("h264", "aac"))
        assert NAMES.get(suffix, "mp4") in file.format.name
        shown = list(file.decode(video=0))
    assert [round(float(frame.time or 0) * 25) for frame in shown] == list(range(count))
    levels = [float(frame.to_ndarray(format="gray").mean()) for frame in shown]
    assert np.corrcoef(levels, range(count))[0, 1] > 0.95, "each picture at its time"
    if suffix != ".gif":
        with av.open(str(path)) as file:
            sound = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
        assert len(sound) / RATE == pytest.approx(count / 25, abs=0.05)
        spectrum = np.abs(np.fft.rfft(sound))
        assert np.argmax(spectrum) * RATE / len(sound) == pytest.approx(300, abs=5)
        assert max(np.diff([*key_times(path), count / 25])) <= 2 + 1e-3


@pytest.mark.parametrize("fps", [Fraction(1), Fraction(30000, 1001), Fraction(100)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_key_frame_comes_every_two_seconds_at_any_rate(tmp_path: Path, suffix: str, fps: Fraction) -> None:
    count = int(5 * fps)
    times = key_times(write(tmp_path / f"film{suffix}", count, fps))
    assert times[0] == 0
    assert max(np.diff([*times, count / fps])) <= 2 + 1e-3


def test_a_key_frame_comes_every_two_seconds_where_pictures_are_left_out(tmp_path: Path) -> None:
    left_out = frozenset(n for n in range(200) if n % 3)
    times = key_times(write(tmp_path / "film.mp4", 200, left_out=left_out))
    assert max(np.diff([*times, 8.0])) <= 2 + 3 / 25


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_same_bytes_on_any_number_of_processors(tmp_path: Path, suffix: str) -> None:
    still = np.random.default_rng(1).integers(0, 256, (552, 640)).astype(np.uint8)
    made = []
    all_of_them = os.sched_getaffinity(0)
    for cores in ({min(all_of_them)}, all_of_them):
        os.sched_setaffinity(0, cores)  # as the encoder's threads inherit it, and as it counts them
        try:
            writer = FilmWriter(tmp_path / f"film{suffix}", 640, 368, Fraction(25))
            writer.open()
            for number in range(12):
                writer.video(np.roll(still, 3 * number, 1), number * 1920)
            writer.audio(bytes(48_000), 0)
            writer.close()
        finally:
            os.sched_setaffinity(0, all_of_them)
        made.append((tmp_path / f"film{suffix}").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["a:b.mp4", "-o.mp4", "50%.gif", "%03d.mp4", "http:x.mkv", "file:x.webm", "é.mp4"])
def test_any_name_is_a_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), 3)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with av.open(f"file:{name}") as file:
        assert sum(1 for _ in file.decode(video=0)) == 3


def test_quality_is_honoured_or_refused(tmp_path: Path) -> None:
    for suffix in (".mp4", ".webm"):
        sizes = []
        for number, options in enumerate(({"quality": "low"}, {}, {"quality": "high"}, {"crf": 5})):
            path = tmp_path / f"{number}{suffix}"
            noisy = FilmWriter(path, 64, 36, Fraction(25), **options)  # type: ignore[arg-type]
            noisy.open()
            for at in range(3):
                noisy.video(np.random.default_rng(at).integers(0, 256, (54, 64)).astype(np.uint8), at * 1920)
            noisy.close()
            sizes.append(path.stat().st_size)
        assert sizes == sorted(sizes) and len(set(sizes)) == 4
    refused: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("a.mp4", {"crf": 52}, "0..51"),
        ("a.webm", {"crf": 64}, "0..63"),
        ("a.mp4", {"crf": True}, "whole number"),
        ("a.mp4", {"crf": 20.5}, "whole number"),
        ("a.webm", {"crf": -1}, "0..63"),
        ("a.mp4", {"quality": "best"}, "low, medium, high"),
        ("a.mp4", {"quality": "low", "crf": 20}, "one of the two"),
        ("a.gif", {"crf": 20}, "none to choose"),
        ("a.mp4", {"quality": "medium", "crf": 20}, "one of the two"),
        ("a.gif", {"quality": "high"}, "none to choose"),
        ("a.gif", {"quality": "medium"}, "none to choose"),
        ("a.avi", {}, "end its name in"),
    )
    for name, options, match in refused:
        with pytest.raises(InvalidArgument, match=match):
            FilmWriter(tmp_path / name, 64, 36, Fraction(25), **options)
        with pytest.raises(InvalidArgument, match=match):
            File(tmp_path / name, **options)


def test_a_gif_has_at_most_50_pictures_a_second(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="at most 50"):
        FilmWriter(tmp_path / "a.gif", 64, 36, Fraction(60))
