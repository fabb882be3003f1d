"""Pictures to browsers: encoded once for all, and who changes its encoder, or waits for it, disturbs nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire._core import RATE, nal_split
from lipwire.channel import RoomChannel, Rooms
from lipwire.publish import StreamSpec, WebRTC, encoders, streams
from lipwire.publish.encoders import Picture
from lipwire.publish.rates import START
from lipwire.publish.streams import KEY_EVERY, Pictures
from support.rtp import Unit, Wire
from support.turns import Turns, watching

WIDTH, HEIGHT = 64, 48
STEP = RATE // 25


def frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> lipwire.Frame:
    """A picture that is told from others: its number is its grey."""
    made = lipwire.Frame(width, height)
    made.i420[:height] = 40 + 5 * (number % 30)
    made.i420[height:] = 128
    return made


class Stage:
    """A face, and who watches it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turns = Turns()
        self.pictures = Pictures(self.turns)
        self.encoded: Counter[tuple[str, int]] = Counter()
        """Pictures by codec and class."""
        self.keys: list[int] = []
        """Samples of those that were made key frames because somebody asked."""
        self.wires: list[Wire] = []
        self.number = 0
        for codec, kind in encoders.ENCODERS.items():
            monkeypatch.setitem(streams.ENCODERS, codec, self._counting(codec, kind))

    def _counting(self, codec: str, kind: type[encoders.Encoder]) -> type[encoders.Encoder]:
        stage = self

        class Counting(kind):  # type: ignore[valid-type, misc]
            def encode(self, picture: Picture, key: bool = False) -> tuple[bytes, bool]:
                stage.encoded[codec, self.level] += 1
                stage.keys += [picture.sample] * key
                return super().encode(picture, key)  # type: ignore[no-any-return]

        return Counting

    def watch(self, codec: str) -> Wire:
        wire = Wire(codec, net=self.wires[0].net if self.wires else None)
        self.wires.append(wire)
        self.pictures.add(wire.out)
        return wire

    def show(self, count: int = 1) -> None:
        for _ in range(count):
            self.pictures.show(frame(self.number), self.number * STEP)
            self.number += 1
            self.turns.run()

    def close(self) -> None:
        for wire in self.wires:
            self.pictures.remove(wire.out)
        for wire in self.wires[::-1]:
            wire.close()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    made.close()


def decoded(codec: str, units: list[Unit]) -> list[float]:
    """The grey of each. Every one is decoded, and without an error."""
    decoder: Any = av.CodecContext.create("vp8" if codec == "vp8" else "h264", "r")
    decoder.options = {"err_detect": "explode"}
    shown = [picture for unit in units for picture in decoder.decode(av.Packet(unit.data))]
    shown += decoder.decode(None)
    assert len(shown) == len(units)
    return [float(picture.to_ndarray()[:HEIGHT].mean()) for picture in shown]


def greys(units: list[Unit]) -> list[float]:
    return [40 + 5 * (round(unit.sample / STEP) % 30) for unit in units]


@pytest.mark.parametrize("codec", list(encoders.ENCODERS))
def test_one_encoder_for_all_who_watch(stage: Stage, codec: str) -> None:
    wires = [stage.watch(codec) for _ in range(3)]
    stage.show(10)
    late = stage.watch(codec)
    stage.show(15)
    assert stage.encoded == {(codec, START): 25} and stage.pictures.encoders == 1
    got = [wire.units() for wire in [*wires, late]]
    for units in got[:3]:
        assert [unit.sample for unit in units] == [n * STEP for n in range(25)]
        assert decoded(codec, units) == pytest.approx(greys(units), abs=2)
    assert got[3] == got[0][25 - len(got[3]) :], "who comes later begins with a key frame, which all are sent"
    assert 10 <= len(got[3]) <= 15 and decoded(codec, got[3]) == pytest.approx(greys(got[3]), abs=2)


def test_each_codec_has_its_own(stage: Stage) -> None:
    codecs = ["vp8", "h264", "h264 in single units", "vp8", "h264"]
    wires = [stage.watch(codec) for codec in codecs]
    stage.show(5)
    assert stage.encoded == {("vp8", START): 5, ("h264", START): 5, ("h264 in single units", START): 5}
    for codec, wire in zip(codecs, wires, strict=True):
        units = wire.units()
        assert len(units) == 5 and decoded(codec, units) == pytest.approx(greys(units), abs=2)
    stage.pictures.remove(wires[2].out)
    stage.show(5)
    assert stage.encoded["h264 in single units", START] == 5 and stage.pictures.encoders == 2


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_who_can_take_less_has_another_encoder_and_sees_no_seam(stage: Stage, codec: str) -> None:
    slow, fast = stage.watch(codec), stage.watch(codec)
    stage.show(55)  # what is sent is known after 2 s
    slow.out.on_rate(10)
    assert stage.pictures.encoders == 2
    stage.show(5)
    assert stage.encoded == {(codec, START): 60, (codec, 0): 5}
    stage.show(1)
    fast.out.on_rate(10)
    stage.show(14)
    assert stage.encoded == {(codec, START): 68, (codec, 0): 20}, "until a key frame may come"
    for wire in (slow, fast):
        packets = wire.units()
        assert [unit.sample for unit in packets] == [n * STEP for n in range(75)]
        assert decoded(codec, packets) == pytest.approx(greys(packets), abs=2)
        assert wire.out.missed == 0
    assert stage.pictures.encoders == 1


def test_who_falls_behind_is_sent_less(stage: Stage) -> None:
    wire = stage.watch("vp8")
    stage.show()
    wire.out.on_behind()
    stage.show()
    assert stage.encoded == {("vp8", START): 1, ("vp8", START - 1): 1}


def test_key_frames_that_are_asked_for_come_one_at_a_time(stage: Stage) -> None:
    wires = [stage.watch("vp8") for _ in range(3)]
    for _ in range(25):
        for wire in wires:
            wire.out.on_key()
        stage.show()
    assert stage.keys == list(range(0, 25 * STEP, -(-KEY_EVERY // STEP) * STEP))


@pytest.mark.parametrize("waiting", [1, 3])
def test_the_newest_picture_is_encoded_when_the_turn_comes(stage: Stage, waiting: int) -> None:
    """The older ones are behind their sound by then, and would put those that follow behind it, too."""
    wires = [stage.watch("vp8") for _ in range(2)]
    stage.show()
    for _ in range(waiting):
        stage.pictures.show(frame(stage.number), stage.number * STEP)
        stage.number += 1
    stage.turns.run()
    for wire in wires:
        assert [unit.sample for unit in wire.units()] == [0, waiting * STEP]
        assert wire.out.missed == waiting - 1


def test_turns_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, served = Turns(), []
    faces = [Pictures(turns) for _ in range(3)]
    with Wire("vp8") as first:
        wires = [first, *(Wire("vp8", net=first.net) for _ in range(2))]

        class Encoder(encoders.Vp8):
            def encode(self, picture: Picture, key: bool = False) -> tuple[bytes, bool]:
                served.append(picture.sample)
                faces[picture.sample % 3].show(frame(0), picture.sample + 3)  # meanwhile there is another one
                return super().encode(picture, key)

        monkeypatch.setitem(streams.ENCODERS, "vp8", Encoder)
        for n, (face, wire) in enumerate(zip(faces, wires, strict=True)):
            face.add(wire.out)
            face.show(frame(0), n)
        for _ in range(9):
            turns.waiting.pop(0)()
        for face, wire in zip(faces, wires, strict=True):
            face.remove(wire.out)
        turns.run()
        assert [sample % 3 for sample in served[:9]] == [0, 1, 2] * 3
        for wire in wires[1:]:
            wire.close()


def test_what_is_stale_takes_no_turn(stage: Stage) -> None:
    wire = stage.watch("vp8")
    stage.show()
    stage.pictures.show(frame(1), STEP)
    stage.pictures.interrupt()
    stage.turns.run()
    stage.number = 2
    stage.show()
    assert [unit.sample for unit in wire.units()] == [0, 2 * STEP]
    assert wire.out.missed == 0, "it was not missed"


def test_a_viewer_that_goes_while_its_picture_waits(stage: Stage) -> None:
    wire, stays = stage.watch("h264"), stage.watch("vp8")
    stage.pictures.show(frame(0), 0)
    stage.pictures.remove(wire.out)
    stage.pictures.remove(wire.out)
    stage.turns.run()
    assert stage.encoded == {("vp8", START): 1} and not wire.units() and len(stays.units()) == 1
    stage.pictures.remove(stays.out)
    stage.show()
    assert stage.encoded.total() == 1 and not len(stage.pictures)


def test_a_picture_that_cannot_be_encoded_is_missed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    wire, failing = stage.watch("vp8"), [True]
    really = encoders.Vp8.encode

    def encode(self: encoders.Vp8, picture: Picture, key: bool = False) -> tuple[bytes, bool]:
        if failing:
            failing.pop()
            raise av.FFmpegError(1, "it does not work")
        return really(self, picture, key)

    monkeypatch.setattr(encoders.Vp8, "encode", encode)
    stage.show(15)
    units = wire.units()
    assert units and decoded("vp8", units) == pytest.approx(greys(units), abs=2)


def test_another_size_goes_on_with_a_key_frame(stage: Stage) -> None:
    wire = stage.watch("h264")
    stage.show(3)
    stage.pictures.show(frame(3, 128, 96), 3 * STEP)
    stage.turns.run()
    decoder: Any = av.CodecContext.create("h264", "r")
    units = wire.units()
    shown = [picture for unit in units for picture in decoder.decode(av.Packet(unit.data))] + decoder.decode(None)
    assert [picture.width for picture in shown] == [64, 64, 64, 128]


# ------------------------------------------------------------------------------------------------- encoded beforehand


class Atlas:
    """Who makes units: H.264 of a stream of its own."""

    def __init__(self) -> None:
        self.encoder = encoders.H264(0)
        self.asked = 0

    def unit(self, number: int, key: bool = False) -> tuple[bytes, int, bool]:
        data, is_key = self.encoder.encode(Picture(frame(number), number * STEP), key)
        return data, number * STEP, is_key

    def ask(self) -> None:
        self.asked += 1


def test_units_reach_who_takes_h264_without_an_encoder(stage: Stage) -> None:
    atlas = Atlas()
    stage.pictures.units.request_key = atlas.ask
    wires = [stage.watch("h264") for _ in range(2)]
    for n in range(15):
        stage.pictures.unit(*atlas.unit(n))
    late = stage.watch("h264")
    assert atlas.asked
    for n in range(15, 20):
        stage.pictures.unit(*atlas.unit(n, key=n == 17))
    wires[0].out.on_key()
    assert stage.encoded.total() == 0 and stage.pictures.encoders == 0
    for wire in wires:
        units = wire.units()
        assert [unit.sample for unit in units] == [n * STEP for n in range(20)]
        assert decoded("h264", units) == pytest.approx(greys(units), abs=2)
    assert [unit.sample for unit in late.units()] == [n * STEP for n in range(17, 20)]


@pytest.mark.parametrize("both", [False, True])
def test_from_units_to_an_encoder_and_back_there_is_no_seam(stage: Stage, both: bool) -> None:
    """`both`: somebody takes VP8, so that there are pictures all the time."""
    atlas = Atlas()
    wire = stage.watch("h264")
    other = stage.watch("vp8") if both else None

    def stitched(number: int, key: bool = False) -> None:
        stage.pictures.unit(*atlas.unit(number, key))
        if both or stage.pictures._watchers[wire.out].source is not stage.pictures.units:
            shown = Stitched(frame(number))
            stage.pictures.show(shown, number * STEP)  # type: ignore[arg-type]
            stage.turns.run()

    for n in range(5):
        stitched(n)
    stage.number = 5
    stage.show(5)
    assert stage.encoded["h264", START] == 5
    for n in range(10, 20):
        stitched(n, key=n == 13)
    assert stage.encoded["h264", START] == 5 + 3, "until the next key frame of the units"
    for one in (wire, other) if other is not None else (wire,):
        units = one.units()
        assert [unit.sample for unit in units] == [n * STEP for n in range(20)]
        assert decoded(one.codec, units) == pytest.approx(greys(units), abs=2)


class Stitched:
    """A frame of which there was a unit."""

    stitched = True

    def __init__(self, of: lipwire.Frame) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class Face:
    """Whose pictures are units where they are wanted, each behind a key frame as a session's are."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.encoder, self.units = stage, encoders.H264(3), list[bytes]()
        self.sent: list[str] = []
        """What each frame came as."""
        self._noise = np.random.default_rng(1)
        stage.pictures.units.request_key = self._ask
        self._wanted = True

    def _ask(self) -> None:
        self._wanted = True

    def _frame(self) -> lipwire.Frame:
        """Of many bits."""
        made = frame(self.stage.number)
        made.i420[:HEIGHT] += self._noise.integers(-16, 17, (HEIGHT, WIDTH), np.int8).view(np.uint8)
        return made

    def show(self) -> None:
        stage, shown = self.stage, self._frame()
        wants, sample = stage.pictures.wants, stage.number * STEP
        units = wants in ("units", "both")
        if units:
            key, self._wanted = self._wanted or self.sent[-1] == "pictures", False
            data, is_key = self.encoder.encode(Picture(shown, sample), key)
            self.units.append(data)
            stage.pictures.unit(data, sample, is_key)
        if wants in ("pictures", "both"):
            stage.pictures.show(Stitched(shown) if units else shown, sample)  # type: ignore[arg-type]
            stage.turns.run()
        self.sent.append(wants)
        stage.number += 1


def test_a_peak_of_units_is_forgotten(stage: Stage) -> None:
    """Who cannot take it is not kept off for good, whatever many key frames once came to."""
    units, wire = stage.pictures.units, stage.watch("h264")
    units.most = peak = 1_600_000
    for _ in range(75):
        stage.show()
        wire.run(1 / 25)
    assert peak * 0.98 < units.most < peak * 0.996, "three seconds of the media clock"
    for _ in range(277):
        units.fade()
    assert units.most == pytest.approx(peak / 4, rel=0.02)
    units.most = 1
    units.fade()
    assert units.most == 1
    units.most = 0
    units.fade()
    assert units.most == 0


@pytest.mark.parametrize("says", ["rate", "loss"])
@pytest.mark.parametrize("alone", [False, True])
def test_whose_path_does_not_carry_units_has_an_encoder_until_it_does(stage: Stage, alone: bool, says: str) -> None:
    """By what a receiver really reports, on time that the test turns; nobody sees the changes, and the other none of
    it."""
    slow, face = stage.watch("h264"), Face(stage)
    other = None if alone else stage.watch("h264")

    def play(frames: int, **report: Any) -> None:
        for _ in range(frames):
            face.show()
            slow.run(1 / 25)
            if other is not None:
                other.run(0)
            if stage.number % 25 == 0:
                slow.report(**report)
            slow.tell()

    bad: dict[str, Any] = {"carries": 250_000} if says == "rate" else {"lost": 0.3}
    good: dict[str, Any] = {"carries": 2_000_000} if says == "rate" else {}
    play(75, **good)
    assert face.sent[-40:] == ["units"] * 40 and 300_000 < stage.pictures.units.bit_rate < 900_000
    for _ in range(8):
        play(25, **bad)
        if not stage.pictures._watchers[slow.out].choice.units:
            break
    stage.encoded.clear()
    play(75, **good)
    assert face.sent[-50:] == ["pictures" if alone else "both"] * 50
    ((_, level), count), *others = stage.encoded.items()
    assert level <= START and count >= 60 and not others
    for _ in range(60):
        play(25, **good)
        if face.sent[-1] == "units":
            break
    play(10, **good)
    assert face.sent[-10:] == ["units"] * 10 and stage.pictures.encoders == 0
    got = slow.units()
    numbers = [round(unit.sample / STEP) for unit in got]
    assert sorted(set(numbers)) == list(range(numbers[0], stage.number))
    assert len(numbers) - len(set(numbers)) == (not alone), "one as a unit, and again behind it, as a key frame"
    assert [unit.sample for unit in got] == sorted({unit.sample for unit in got})
    assert decoded("h264", got) == pytest.approx(greys(got), abs=3)
    assert slow.out.missed == 0
    if other is not None:
        units = other.units()
        assert len(units) == stage.number
        assert [nal_split(unit.data) for unit in units] == [nal_split(unit) for unit in face.units]


def test_who_falls_behind_with_units_has_an_encoder(stage: Stage) -> None:
    wire, face = stage.watch("h264"), Face(stage)
    for _ in range(5):
        face.show()
    wire.out.on_behind()
    for _ in range(5):
        face.show()
    assert face.sent[5:] == ["pictures"] * 5 and stage.encoded["h264", START - 1] == 5
    stage.pictures.begin_anew(face._ask)
    face.show()
    assert face.sent[-1] == "pictures", "another's are no smaller"


async def test_threads_of_the_loop_do_the_same() -> None:
    """Several faces at once."""
    faces = [Pictures() for _ in range(4)]
    with Wire("vp8") as first:
        wires = [first, *(Wire("vp8", net=first.net) for _ in range(3))]
        for face, wire in zip(faces, wires, strict=True):
            face.add(wire.out)

        for n in range(10):
            for face in faces:
                face.show(frame(n), n * STEP)
            while any(source._at_work for face in faces for source in face._encoded.values()):
                await asyncio.sleep(0.001)

        for face, wire in zip(faces, wires, strict=True):
            face.remove(wire.out)
            units = wire.units()
            assert len(units) == 10 and decoded("vp8", units) == pytest.approx(greys(units), abs=2)
        for wire in wires[1:]:
            wire.close()


def test_greys_are_what_they_are() -> None:
    """What the tests above compare with."""
    assert np.asarray(frame(3).i420)[:HEIGHT].mean() == 55


@pytest.mark.parametrize("in_room", [False, True])
async def test_a_picture_tells_the_encoder_how_many_come_in_a_second(
    in_room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, seen, turns = Rooms(), list[Picture](), Turns()
    monkeypatch.setitem(streams.ENCODERS, "vp8", watching(seen.append))
    publisher: WebRTC | RoomChannel = rooms.channel("lobby", "agent") if in_room else WebRTC()
    await publisher.open(StreamSpec(session_id="s", width=64, height=36, fps=Fraction(60)))
    pictures = publisher._pictures if isinstance(publisher, WebRTC) else rooms._rooms["lobby"].pictures
    pictures._turns = turns
    with Wire("vp8") as wire:
        pictures.add(wire.out)
        publisher.video(lipwire.Frame(64, 36))
        turns.run()
        pictures.remove(wire.out)
    assert [picture.fps for picture in seen] == [60]
    await publisher.close()
    await rooms.close()


def test_who_asks_again_and_again_gets_no_more_of_units_than_of_an_encoder(stage: Stage) -> None:
    atlas = Atlas()
    stage.pictures.units.request_key = atlas.ask
    wires = [stage.watch("h264") for _ in range(2)]
    asked, keys = 0, []
    for n in range(40):
        key, asked = atlas.asked > asked, atlas.asked
        data, sample, is_key = atlas.unit(n, key)
        keys += [sample] * is_key
        stage.pictures.unit(data, sample, is_key)
        for wire in wires:
            wire.out.on_key()
    assert 2 <= len(keys) <= 5 and min(np.diff(keys)) >= KEY_EVERY
    assert len(wires[0].units()) == 40
