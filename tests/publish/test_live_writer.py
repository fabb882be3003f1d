"""What is written while a session goes on: one stream of two sources, sound and pictures together, silence where sound
is missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from msgspec import structs

from lipwire import _core
from lipwire.publish.encoders import Picture
from lipwire.publish.live_film import FORMS
from lipwire.publish.live_writer import LiveForm, LiveWriter
from lipwire.stream import StreamSpec, Unit
from support.broadcast import FPS, RATE, SIZE, SOUND_ONLY, SPEC, happy_for_a_while, performed, put, read, source

FLV = LiveForm(name="flv", options={"flvflags": "no_duration_filesize"})
TS = LiveForm(name="mpegts")


@pytest.fixture(scope="module")
def mixed() -> tuple[StreamSpec, list[Any]]:
    return happy_for_a_while()


def sets_of(avcc: bytes) -> dict[str, int]:
    """How many parameter sets an avcC has (ISO/IEC 14496-15)."""
    count, at, found = avcc[5] & 31, 6, {"SPS": 0, "PPS": 0}
    for name in found:
        if name == "PPS":
            count, at = avcc[at], at + 1
        found[name] = count
        for _ in range(count):
            at += 2 + int.from_bytes(avcc[at : at + 2], "big")
    return found


def write(path: Path, form: LiveForm, spec: StreamSpec, items: list[Any], **options: Any) -> LiveWriter:
    writer = LiveWriter(str(path), form, spec, **options)
    writer.open()
    for item in items:
        put(writer, item, spec.fps)
    writer.close()
    return writer


@pytest.mark.parametrize("form", [FORMS[".mp4"], FLV, TS], ids=lambda form: form.name)
def test_units_and_an_encoders_pictures_are_one_stream(
    mixed: tuple[StreamSpec, list[Any]], form: LiveForm, tmp_path: Path
) -> None:
    spec, items = mixed
    path = tmp_path / "x"
    write(path, form, spec, items)
    frames = [item for item in items if not isinstance(item, tuple)]
    kinds = "".join("u" if isinstance(item, Unit) else "p" for item in frames)
    assert "up" in kinds and "pu" in kinds
    strict: Any = av.CodecContext.create("h264", "r")
    with av.open(str(path), options={"err_detect": "explode"}) as file:
        shown = [frame for frame in file.decode(video=0)]
    assert len(shown) == len(frames)
    assert np.allclose(np.diff([frame.time for frame in shown]), 1 / 25, atol=2e-3)
    for item, frame in zip(frames, shown, strict=True):
        picture = frame.to_ndarray(format="yuv420p").astype(float)
        if isinstance(item, Unit):  # as they are, to the bit
            (alone,) = strict.decode(av.Packet(item.data))
            assert np.array_equal(picture, alone.to_ndarray(format="yuv420p"))
        else:
            assert np.abs(picture.reshape(-1) - item.i420.reshape(-1)).mean() < 4
    if form is not TS:  # both sources stand at the head, whoever comes first
        head = read(str(path)).extradata
        assert sets_of(head) == {"SPS": 2, "PPS": 2} and head[1] == 66


def test_a_unit_that_refers_to_one_that_is_not_there_is_left_out(
    mixed: tuple[StreamSpec, list[Any]], tmp_path: Path
) -> None:
    spec, items = mixed
    units = [item for item in items if isinstance(item, Unit)][:12]
    asked: list[int] = []
    writer = LiveWriter(str(tmp_path / "x.flv"), FLV, spec, ask_key=lambda: asked.append(1))
    writer.open()
    writer.unit(structs.replace(units[1], key=False))  # before any key
    assert asked == [1]
    for n, unit in enumerate(units):
        if n == 5:
            writer.lost()
            continue
        writer.unit(unit)
    assert len(asked) == 2  # once, until the key comes
    writer.unit(structs.replace(units[0], sample=units[-1].sample + 1920))
    writer.close()
    assert len(read(str(tmp_path / "x.flv")).times) == 5 + 1


@pytest.mark.parametrize("form", [*FORMS.values(), FLV, TS], ids=lambda form: form.name)
def test_sound_and_pictures_stay_together(form: LiveForm, tmp_path: Path) -> None:
    items = list(performed(3))
    path = tmp_path / "x"
    writer = write(path, form, SPEC, items)
    given, shown = source(items), read(str(path))
    assert shown.codecs == (("vp9", "opus") if form.webm else ("h264", "aac"))
    assert len(shown.times) == len(given.times) and shown.jumps < 0.002
    # What a codec adds before the first sample is no more than a packet of it, and shifts both alike.
    assert np.allclose(shown.skews(), given.skews(), atol=0.003)
    assert max(np.diff(shown.keys), default=0) < 2.05 and len(shown.keys) >= 2
    assert abs(len(shown.sound) - writer.written) <= 2048 + 960


def test_missing_sound_is_silence_and_what_came_twice_is_not_heard_twice(tmp_path: Path) -> None:
    tone = (np.sin(np.arange(480) * (2 * np.pi * 400 / RATE)) * 12000).astype("<i2").tobytes()
    writer = LiveWriter(str(tmp_path / "x.mkv"), LiveForm(name="matroska", webm=True), SOUND_ONLY)
    writer.open()
    for n in (7, 8, 9, 8, 9, 10, *range(60, 70)):
        writer.audio(tone, n * 480)
    writer.close()
    assert writer.written == (70 - 7) * 480 and writer.silence == 49 * 480
    sound = read(str(tmp_path / "x.mkv")).sound
    loud = np.abs(sound[: 63 * 480]).reshape(63, 480).max(1) > 0.1
    assert loud[:4].all() and loud[54:].all() and not loud[6:52].any()


def test_frames_a_second_that_are_no_whole_number_keep_their_times(tmp_path: Path) -> None:
    fps = Fraction(30000, 1001)
    spec = structs.replace(SPEC, fps=fps)
    writer = LiveWriter(str(tmp_path / "x.mp4"), FORMS[".mp4"], spec)
    writer.open()
    frame = _core.Frame(*SIZE)
    for n in range(90):
        writer.picture(Picture(frame, 480 + int(n * RATE / fps), fps))
        writer.audio(bytes(2 * 1602), 480 + n * 1602)
    writer.close()
    with av.open(str(tmp_path / "x.mp4")) as file:
        assert file.streams.video[0].average_rate == fps
        times = [packet.pts * packet.time_base for packet in file.demux(video=0) if packet.pts is not None]
    assert [time - times[0] for time in times] == [n / fps for n in range(90)]


def test_the_grid_of_key_frames_does_not_drift(tmp_path: Path) -> None:
    """An encoder's come every two seconds from the first, whatever is asked for between."""
    writer = LiveWriter(str(tmp_path / "x.ts"), TS, SPEC, every=1.0)
    writer.open()
    for n in range(100):
        if n == 30:
            writer.lost()
        writer.picture(Picture(_core.Frame(*SIZE), 4800 + n * 1920, FPS))
    writer.close()
    shown = read(str(tmp_path / "x.ts"))
    assert np.allclose(np.array(shown.keys) - shown.times[0], [0, 1.0, 1.2, 2.0, 3.0], atol=1e-3)
