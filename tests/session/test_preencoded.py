"""Video that was encoded before: what a session and a film make of it, against the pictures that it stands for."""

from __future__ import annotations

import asyncio
import itertools
import threading
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import lipwire
import lipwire.atlas
from lipwire import _core
from lipwire.audio import espeak as voice
from lipwire.avatar import VISEMES, Avatar
from lipwire.avatar.art import EXPRESSIONS
from lipwire.drawing.stage import Stage, stage_for
from lipwire.errors import BadState, InvalidArgument
from lipwire.publish.film import FilmWriter
from lipwire.session import offline, session
from lipwire.session.offline import perform_units
from lipwire.session.preencoded import begin_atlas
from lipwire.stream import StreamSpec, Unit, Wants
from support.small_atlas import EVERY, HEAD_ROLL, HEAD_X, HEAD_Y, small_atlas

SIZE = (64, 50)
"""No whole macroblocks."""
RATE = _core.RATE
HAPPY, NEUTRAL = EXPRESSIONS.index("happy"), 0
AA = VISEMES.index("aa")


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return Avatar.load("kit")


@pytest.fixture(scope="module")
def atlas(avatar: Avatar) -> _core.Atlas:
    return small_atlas(avatar, *SIZE)


class Decoder:
    """A strict one: what is broken raises."""

    def __init__(self) -> None:
        self._codec: Any = av.CodecContext.create("h264", "r")
        self._codec.options = {"err_detect": "explode"}
        self._codec.thread_count = 1

    def show(self, unit: Unit) -> NDArray[np.uint8]:
        """The picture that a unit is."""
        (frame,) = self._codec.decode(av.Packet(unit.data))
        assert not frame.is_corrupt and (frame.width, frame.height) == SIZE
        picture: NDArray[np.uint8] = frame.to_ndarray(format="yuv420p")
        return picture


def luma(i420: NDArray[np.uint8]) -> NDArray[np.float64]:
    return i420.reshape(-1)[: SIZE[0] * SIZE[1]].astype(float)


def far(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean difference of luma."""
    return float(np.abs(luma(a) - luma(b)).mean())


def made(avatar: Avatar, atlas: _core.Atlas, text: str, **options: Any) -> Iterator[Any]:
    spoken = voice.speak(text)
    stage = Stage(avatar, StreamSpec(session_id="s", width=SIZE[0], height=SIZE[1], fps=Fraction(25)))
    for item in perform_units(iter([spoken.pcm]), spoken.rate, stage, atlas, seed=2, **options):
        if not isinstance(item, tuple):
            yield item


def test_a_unit_is_the_picture_that_it_stands_for(avatar: Avatar, atlas: _core.Atlas) -> None:
    decoder, units, open_mouths = Decoder(), 0, 0
    items = made(avatar, atlas, "Banana boat, good morning to you all.", pictures=10_000)
    for unit, frame in zip(items, items, strict=True):
        assert unit.sample == frame.sample and frame.stitched and frame.drawn
        assert unit.key == (units == 0)
        shown = decoder.show(unit)
        drawn = frame.i420.reshape(-1)
        assert np.sqrt(np.mean((shown.reshape(-1).astype(float) - drawn) ** 2)) < 4.5, frame.sample  # 35 dB
        units += 1
        open_mouths += frame.mouth_open
    assert units > 50 and open_mouths > 10


def test_an_expression_is_drawn_and_nobody_sees_the_seams(avatar: Avatar, atlas: _core.Atlas) -> None:
    cues = [(0.5, _core.MOTION_EXPRESSION, HAPPY), (1.2, _core.MOTION_EXPRESSION, NEUTRAL)]
    decoder, shown, kinds, keys = Decoder(), [], "", []
    for item in made(avatar, atlas, "Mama, papa, mama, papa, mama, papa.", cues=cues):
        if isinstance(item, Unit):
            keys += [len(kinds)] if item.key else []
            kinds += "u"
            shown.append(decoder.show(item))
        else:
            assert not item.stitched
            kinds += "p"
            shown.append(item.i420.copy().reshape(-1))
    first, back = kinds.index("p"), kinds.rindex("p") + 1
    assert set(kinds[:first]) == set(kinds[back:]) == {"u"} and set(kinds[first:back]) == {"p"}
    assert keys == [0, back] and 12 <= first <= 14 and back <= 30 + 8 + EVERY + 1
    steps = [far(a, b) for a, b in itertools.pairwise(shown)]
    inside = max(step for at, step in enumerate(steps) if at not in (first - 1, back - 1))
    # A seam is a step as others are, and what encoding loses; a face that jumps is another thing.
    assert max(steps[first - 1], steps[back - 1]) < 1.5 * inside < max(far(shown[0], other) for other in shown)


def test_a_stale_unit_that_begins_anew_has_a_shut_mouth(avatar: Avatar, atlas: _core.Atlas) -> None:
    performer, decoder = _core.Performer(avatar.at(*SIZE), (25, 1), atlas=atlas, seed=2), Decoder()
    performer.look(_core.LOOK_PICTURES | _core.LOOK_UNITS)
    spoken = voice.speak("Mama, papa, mama, papa, mama, papa.")
    performer.write(spoken.pcm, spoken.rate)

    def frames(stop: int = 1500) -> Iterator[Any]:
        for _ in range(stop):
            performer.tick(0, True)
            yield from (item for item in performer.drain(16)[1] if isinstance(item, _core.Frame))

    for frame in frames():
        open_mouth = decoder.show(Unit(performer.unit(frame)[0], frame.sample, key=False))
        if frame.sample > RATE // 2 and frame.visemes[AA] > 0.6:
            break
    assert frame.mouth_open
    performer.set(_core.MOTION_EXPRESSION, HAPPY)
    performer.interrupt()
    assert not list(frames(200))[-1].stitched  # nobody takes a unit of these
    performer.set(_core.MOTION_EXPRESSION, NEUTRAL)
    frame = next(frame for frame in frames() if frame.stitched)
    performer.interrupt()  # between its tick and its being taken
    data, key = performer.unit(frame, True)
    shown, drawn = decoder.show(Unit(data, frame.sample, key)), frame.i420.reshape(-1)
    assert key and not frame.mouth_open
    most = [np.abs(luma(picture) - luma(drawn)).max() for picture in (shown, open_mouth)]
    assert most[0] < 40 < 80 < most[1], most


class Taker(lipwire.Publisher):
    """Takes what it wants, and decodes it."""

    takes_units = True
    takes_motion = False

    def __init__(self, wants: Wants) -> None:
        self._wants: Wants = wants
        self.decoder: Decoder | None = None
        self.units: list[Unit] = []
        self.pictures: list[tuple[int, bool]] = []
        self.order: list[str] = []
        self.poses: list[int] = []
        self.came = asyncio.Event()

    @property
    def wants(self) -> Wants:
        return self._wants

    async def change(self, wants: Wants, frames: int = 12) -> None:
        """Wants something else, until it has come a number of times."""
        self._wants = wants
        await self.until(frames)

    async def until(self, frames: int) -> None:
        end = len(self.order) + frames
        async with asyncio.timeout(20):
            while len(self.order) < end:
                self.came.clear()
                await self.came.wait()

    def audio(self, pcm: bytes, sample: int) -> None:
        self.order += ["-"] if self._wants == "nothing" and sample % 1920 == 0 else []
        self.came.set()

    def video(self, frame: lipwire.Frame) -> None:
        self.pictures.append((frame.sample, frame.stitched))
        self.order.append("p")
        assert frame.drawn and frame.i420.any()

    def motion(self, frame: lipwire.Frame) -> None:
        self.poses.append(frame.sample)

    def unit(self, unit: Unit) -> None:
        if unit.key:
            self.decoder = Decoder()
        assert self.decoder is not None
        self.decoder.show(unit)
        self.units.append(unit)
        self.order.append("u")


async def test_a_session_hands_over_what_is_wanted(
    avatar: Avatar, atlas: _core.Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(session, "find_atlas", lambda *args: asked.append(args) or atlas)
    out, beside = Taker("units"), lipwire.publish.Null(wants="nothing")
    spoken = voice.speak("Mama, papa, mama, papa, mama, papa, mama, papa, mama, papa.")
    async with lipwire.Session(lipwire.publish.Tee(out, beside), avatar=avatar, size=SIZE) as live:
        live.write(spoken.pcm, spoken.rate)
        await out.until(12)
        assert out.order.count("p") < EVERY and out.order[-1] == "u" and out.units[0].key
        await out.change("both", 24)
        assert out.order[-6:] in (["p", "u"] * 3, ["u", "p"] * 3)
        out.takes_motion = True
        await out.change("units")
        first = len(out.units)
        await out.until(6)
        assert out.poses[-6:] == [unit.sample for unit in out.units[first:]][-6:]
        out.takes_motion = False
        out.request_key()  # somebody joins
        before = len(out.units)
        await out.until(24)
        assert [unit.key for unit in out.units[before:]].count(True) == 1
        await out.change("nothing")
        await out.change("units", 2 * EVERY + 4)
        assert out.order[-1] == "u"
        for _ in range(3):  # what is stale keeps its place among the units
            live.interrupt()
            live.write(spoken.pcm, spoken.rate)
            await out.until(5)
        await out.change("pictures")
        assert set(out.order[-8:]) == {"p"}
        stats = live.stats()
    assert stats["failures"] == {} and stats["latency_ms"] > 0
    assert asked[0][0] == "auto" and asked[0][2] is True
    samples = [unit.sample for unit in out.units]
    assert samples == sorted(set(samples)) and beside.units == beside.frames == 0


async def test_who_waits_for_video_to_be_encoded_holds_up_nobody(
    avatar: Avatar, atlas: _core.Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[_core.Atlas] = []
    asked, may_end, made = [], threading.Event(), []

    def load(*of: Any) -> _core.Atlas | None:
        asked.append(of)
        return there[0] if there else None

    def ensure(*of: Any) -> _core.Atlas:
        made.append(of)
        assert may_end.wait(60)
        return atlas

    monkeypatch.setattr(lipwire.atlas, "load", load)
    monkeypatch.setattr(lipwire.atlas, "ensure_aside", ensure)

    def session(mode: Literal["on", "off"]) -> lipwire.Session:
        return lipwire.Session(lipwire.publish.Null(wants="units"), avatar=avatar, size=SIZE, preencoded=mode)

    other, waiting = session("off"), [session("on") for _ in range(40)]  # more than the loop's executor has threads
    starting: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.timeout(30):
            await other.start()
            starting += [asyncio.create_task(one.start()) for one in waiting]
            while len(asked) < len(waiting) or not made:
                await asyncio.sleep(0.01)
            await other.close()
            there.append(atlas)
            async with session("on") as late:  # what it needs has come meanwhile
                assert late.performer.atlas is atlas
            assert not any(task.done() for task in starting)
    finally:
        may_end.set()
        await asyncio.gather(*starting)
        await asyncio.gather(*(one.close() for one in waiting))
    assert all(one.performer.atlas is atlas for one in waiting)


async def test_who_does_not_wait_changes_over_when_the_video_is_there(
    avatar: Avatar, atlas: _core.Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an agent does, which has to join at once. A film of it has pictures: its head cannot wait."""
    may_end, failing = threading.Event(), [BadState("no voice")]

    def ensure(*of: Any) -> _core.Atlas:
        assert may_end.wait(60)
        if failing:
            raise failing.pop()
        return atlas

    monkeypatch.setattr(lipwire.atlas, "load", lambda *of: None)
    monkeypatch.setattr(lipwire.atlas, "ensure_aside", ensure)
    for units in (False, True):  # the first cannot have it
        out, film = Taker("units"), lipwire.publish.LiveFilm(tmp_path / f"{units}.mp4")
        live = lipwire.Session(lipwire.publish.Tee(out, film), avatar=avatar, size=SIZE, preencoded="on")
        live.waits_for_atlas = False
        async with live:
            await out.until(5)
            assert live.performer.atlas is None and live._stage.spec.preencoded
            may_end.set()
            assert live._adopting is not None
            await live._adopting
            await out.until(26 + EVERY)
            assert (live.performer.atlas is atlas) is units
            assert out.order[-1] == ("u" if units else "p") and out.order[0] == "p"
            if units:
                assert out.units[0].key and out.order == sorted(out.order)
            else:
                may_end.clear()
        assert live.stats()["failures"] == {} and film.stats()["units_dropped"] == 0
        with av.open(str(film.path)) as played:
            played.streams.video[0].codec_context.options = {"err_detect": "explode"}
            assert len(list(played.decode(video=0))) > 30


def test_the_head_goes_over_to_an_atlas_that_comes_later(avatar: Avatar, atlas: _core.Atlas) -> None:
    performer = _core.Performer(avatar.at(*SIZE), (25, 1), seed=2)
    performer.look(_core.LOOK_UNITS)
    spoken = voice.speak("Mama, papa, mama, papa, mama, papa, mama, papa.")
    performer.write(spoken.pcm, spoken.rate)
    heads, stitched = [], []
    for tick in range(320):
        if tick == 100:
            performer.adopt(atlas)
        performer.tick(0, True)
        for frame in (item for item in performer.drain(16)[1] if isinstance(item, _core.Frame)):
            heads.append(frame.axes[[HEAD_X, HEAD_Y, HEAD_ROLL]])
            stitched.append(frame.stitched)
            if frame.stitched:
                _, key = performer.unit(frame)
                assert key == (sum(stitched) == 1)
    steps = np.abs(np.diff(heads, axis=0)).max(axis=1)
    assert 25 + 25 <= stitched.index(True) <= 25 + 25 + EVERY + 1 and all(stitched[stitched.index(True) :])
    assert steps[24:51].max() < 1.2 * steps[51:].max(), "no more than a head moves by itself"
    with pytest.raises(BadState):
        performer.adopt(atlas)
    with pytest.raises(InvalidArgument):
        _core.Performer(avatar.at(80, 60), (25, 1)).adopt(atlas)


def test_a_film_is_put_together_without_an_encoder(
    avatar: Avatar, atlas: _core.Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept(FilmWriter):
        def unit(self, unit: Unit) -> None:
            units.append(unit)
            super().unit(unit)

    monkeypatch.setattr(offline, "FilmWriter", Kept)
    monkeypatch.setattr(offline, "KEY_SECONDS", Fraction(16, 25))
    monkeypatch.setattr(
        offline, "find_atlas", lambda mode, stage, taken, *more: atlas if taken and mode != "off" else None
    )
    for name in ("a.mp4", "a.mkv", "a.mov"):
        units: list[Unit] = []
        told: list[float] = []
        result = lipwire.render(
            None,
            tmp_path / name,
            text="Good morning.",
            avatar=avatar,
            size=SIZE,
            seed=2,
            poster="png",
            preencoded="auto",
            progress=lambda done, _, told=told: told.append(done),  # type: ignore[misc]
        )
        with av.open(str(tmp_path / name)) as film:
            video = film.streams.video[0]
            assert (video.codec_context.name, video.width, video.height, video.average_rate) == ("h264", *SIZE, 25)
            assert video.codec_context.profile in ("Baseline", "Constrained Baseline")
            packets = [packet for packet in film.demux(video) if packet.size]
            sizes = [packet.size for packet in packets]
            assert len(packets) == result.frames == len(units) and result.preencoded
            assert [bytes(packet)[4] & 31 == 7 for packet in packets] == [unit.key for unit in units]  # an SPS first
            assert sum(sizes) <= sum(len(unit.data) for unit in units)
            keys = [at for at, unit in enumerate(units) if unit.key]
            assert len(keys) > 1 and np.diff(keys).max() <= 16
        with av.open(str(tmp_path / name)) as film:
            film.streams.video[0].codec_context.options = {"err_detect": "explode"}
            times: Any = [frame.time for frame in film.decode(video=0)]
            assert np.allclose(times, np.arange(len(units)) / 25, atol=0.002)
        with av.open(str(tmp_path / name)) as film:
            sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in film.decode(audio=0)])
            assert np.abs(sound).max() > 0.05
        assert told[-1] == result.duration and (tmp_path / "a.png").stat().st_size > 200


def test_a_film_is_the_same_whatever_has_been_encoded_before(
    avatar: Avatar, atlas: _core.Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[_core.Atlas | None] = [None]
    monkeypatch.setattr(lipwire.atlas, "load", lambda *of: there[0])

    spoken = voice.speak("Good morning.")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, spoken.rate, 0, "NONE", ""))
        file.writeframes(spoken.pcm)

    def film(**options: Any) -> tuple[bytes, bool]:
        path = tmp_path / "a.mp4"
        made = lipwire.render(tmp_path / "a.wav", path, avatar=avatar, size=SIZE, **options)
        return path.read_bytes(), made.preencoded

    before = film()
    there[0] = atlas
    assert film() == before == film(preencoded="auto", quality="medium") == film(quality="medium")
    assert not before[1]
    stitched = film(preencoded="auto")
    assert stitched[1] and stitched == film(preencoded="on") and stitched[0] != before[0]


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("a.webm", {}, "does not go with a webm"),
        ("a.gif", {}, "does not go with a gif"),
        ("a.mp4", {"crf": 30}, "quality or crf of one's own"),
        ("a.mp4", {"quality": "low"}, "quality or crf of one's own"),
        ("a.mp4", {"quality": "medium"}, "quality or crf of one's own"),
        ("a.mp4", {"preencoded": "maybe"}, "one of auto, on, off"),
    ],
)
def test_what_is_refused_of_a_film(tmp_path: Path, name: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        lipwire.render(None, tmp_path / name, text="a", size=SIZE, **{"preencoded": "on"} | options)
    assert not list(tmp_path.iterdir())


async def test_what_is_refused_of_a_session(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="one of auto, on, off"):
        lipwire.Session(lipwire.publish.Null(), preencoded="yes")  # type: ignore[arg-type]
    for publisher, face, match in [
        (lipwire.publish.Null(), "kit", "publisher that takes encoded video"),
        (lipwire.publish.Null(wants="units"), None, "is for avatars"),
    ]:
        with pytest.raises(InvalidArgument, match=match):
            await lipwire.Session(publisher, avatar=face, size=SIZE, preencoded="on").start()


def test_a_film_of_units_takes_no_pictures(atlas: _core.Atlas, tmp_path: Path) -> None:
    writer = FilmWriter(tmp_path / "a.mp4", *SIZE, Fraction(25))
    try:
        writer.open("bt709", atlas)
        with pytest.raises(BadState, match="encoded before"):
            writer.video(np.zeros((SIZE[1] * 3 // 2, SIZE[0]), np.uint8), 0)
    finally:
        writer.abort()
    other = FilmWriter(tmp_path / "b.mp4", *SIZE, Fraction(25))
    try:
        other.open()
        with pytest.raises(BadState, match="without an atlas"):
            other.unit(Unit(b"", 0, True))
    finally:
        other.abort()
    assert not list(tmp_path.iterdir())


def test_what_is_begun_in_the_background(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose sizes and rates: what they choose costs no more than a few minutes."""
    begun: list[tuple[str, int, int, Fraction]] = []
    monkeypatch.setattr(lipwire.atlas, "begin", lambda face, *of: begun.append((face.name, *of)))

    def begin(face: Any, width: int, height: int, fps: int, taken: bool = True) -> None:
        begin_atlas(stage_for(face, StreamSpec(session_id="s", width=width, height=height, fps=Fraction(fps))), taken)

    begin("kit", 640, 360, 25)
    begin("kit", 640, 360, 25, taken=False)
    begin("kit", 1920, 1080, 25)
    begin("kit", 1280, 720, 60)
    begin(avatar.drawn_by(avatar.art), 1280, 720, 30)
    begin(None, 640, 360, 25)
    assert begun == [("kit", 640, 360, Fraction(25)), ("kit", 1280, 720, Fraction(30))]
