"""Publishers: frames reach PyAV uncopied, files decode, and a WebRTC peer hears and sees the session."""

from __future__ import annotations

import asyncio
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiortc
import av
import numpy as np
import pytest

import lipwire
from lipwire import Frame, _core
from lipwire.errors import InvalidArgument
from lipwire.publish.film import FilmWriter
from lipwire.publish.pyav import picture
from lipwire.publish.webrtc import WebRTC
from lipwire.stream import StreamSpec

RATE = 48_000


def tone(seconds: float, rate: int = RATE, hz: float = 300.0) -> bytes:
    t = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hz * t) * 9000).astype(np.int16).tobytes()


def tone_file(folder: Path) -> Path:
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(0.2))
    return folder / "speech.wav"


def frame_of_performer() -> _core.Frame:
    performer = _core.Performer(lipwire.Avatar.load("aria").at(64, 36))
    performer.tick()
    frame = performer.read_frame()
    assert frame is not None
    return frame


def test_a_frame_reaches_pyav_without_a_copy() -> None:
    frame = frame_of_performer()
    shared = picture(frame.i420)
    y, u, v = frame.planes
    for plane, view in zip(shared.planes, (y, u, v), strict=True):
        assert plane.buffer_ptr == view.ctypes.data
    assert bytes(memoryview(frame)) == frame.i420.tobytes()


def test_a_picture_keeps_its_slot_until_it_is_gone() -> None:
    performer = _core.Performer(lipwire.Avatar.load("aria").at(64, 36), frame_slots=1)
    performer.tick()
    frame = performer.read_frame()
    assert frame is not None
    shared = picture(frame.i420)
    shown = bytes(shared.planes[0])
    del frame
    for _ in range(8):
        performer.tick()
    assert performer.stats()["frames_dropped"] > 0
    assert bytes(shared.planes[0]) == shown
    del shared
    for _ in range(4):
        performer.tick()
    assert performer.read_frame() is not None


@pytest.mark.parametrize("height", [88, 90])
def test_every_even_height_reaches_pyav_whole(height: int) -> None:
    i420 = np.random.default_rng(1).integers(0, 256, (height * 3 // 2, 160), dtype=np.uint8)
    shown = picture(i420)
    assert (shown.width, shown.height) == (160, height)
    assert np.array_equal(shown.to_ndarray(), i420)


async def test_file_records_a_live_session(tmp_path: Path) -> None:
    path = tmp_path / "live.mp4"
    async with lipwire.Session(lipwire.publish.File(path), width=160, height=90) as session:
        session.write(tone(0.6), RATE)
        session.end()
        await session.finished()
        stats = session.stats()
    with av.open(str(path)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (160, 90)
        pictures = [f.time for f in file.decode(video=0)]
    with av.open(str(path)) as file:
        sound = np.concatenate([f.to_ndarray().ravel() for f in file.decode(audio=0)])
    # A picture that this machine was too busy to draw is left out, and counted; the others keep their times.
    steps = np.diff(pictures) / 0.04
    assert np.allclose(steps, np.rint(steps), atol=1e-4)
    assert 0 <= np.rint(steps - 1).sum() <= stats["late"]
    assert abs(len(sound) / RATE - stats["clock_s"]) < 0.2
    assert np.abs(sound).max() > 0.2


async def test_file_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="there is no folder"):
        await lipwire.Session(lipwire.publish.File(tmp_path / "no" / "x.mp4")).start()


@pytest.mark.parametrize("name", ["film.avi", "film", "film.mp4.ogv", ".mp4"])
async def test_a_name_that_is_none_of_a_film_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"what was there before")
    for started in (
        lambda: lipwire.Session(lipwire.publish.File(tmp_path / name), width=160, height=90).start(),
        lambda: asyncio.to_thread(lipwire.render, tone_file(tmp_path), tmp_path / name, size=(160, 90)),
    ):
        with pytest.raises(InvalidArgument, match=r"end its name in \.mp4"):
            await started()
    assert (tmp_path / name).read_bytes() == b"what was there before"


class Blocked(Exception):
    pass


class Clumsy(lipwire.publish.Null):
    """Fails where it is told that the session broke off."""

    def broken_off(self, error: BaseException) -> None:
        raise RuntimeError("cannot be told")


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("said", [0.2, 0.0])
async def test_a_session_that_breaks_off_leaves_the_older_film(
    tmp_path: Path, older: bool, said: float, caplog: pytest.LogCaptureFixture
) -> None:
    path, aside = tmp_path / "live.mp4", tmp_path / "live.broken-off.mp4"
    if older:
        path.write_bytes(b"an older film")
    recording = lipwire.publish.File(path)
    with pytest.raises(Blocked):
        async with lipwire.Session(lipwire.publish.Tee(Clumsy(), recording), size=(64, 36)) as session:
            if said:
                session.write(tone(said), RATE)
                session.end()
                await session.finished()
            raise Blocked
    assert not list(tmp_path.glob(".*"))
    recorded = aside if older else path
    if older:
        assert path.read_bytes() == b"an older film"
        assert any("live.mp4 stays as it was" in record.getMessage() for record in caplog.records)
    if said or recorded.exists():
        with av.open(str(recorded)) as file:
            assert sum(1 for _ in file.decode(video=0)) >= 5 * said


async def test_a_session_that_is_cancelled_leaves_the_older_film(tmp_path: Path) -> None:
    path = tmp_path / "live.mp4"
    path.write_bytes(b"an older film")

    async def record(pictured: asyncio.Event) -> None:
        async with lipwire.Session(lipwire.publish.File(path), size=(64, 36)) as session:
            session.write(tone(0.2), RATE)
            session.end()
            await session.finished()
            pictured.set()
            await asyncio.Event().wait()

    async def fail(pictured: asyncio.Event) -> None:
        await pictured.wait()
        raise Blocked

    pictured = asyncio.Event()
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(record(pictured))
            tasks.create_task(fail(pictured))
    assert path.read_bytes() == b"an older film"
    with av.open(str(tmp_path / "live.broken-off.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) >= 1


async def test_a_session_without_a_picture_leaves_no_film(tmp_path: Path) -> None:
    (tmp_path / "live.mp4").write_bytes(b"an older film")
    recording = lipwire.publish.File(tmp_path / "live.mp4")
    await recording.open(StreamSpec(session_id="s", width=64, height=36, fps=Fraction(25)))
    await recording.close()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("live.mp4", b"an older film")]


async def test_null_counts() -> None:
    null = lipwire.publish.Null()
    async with lipwire.Session(null, width=64, height=36) as session:
        session.write(tone(0.2), RATE)
        session.end()
        await session.finished()
    assert null.samples == round(session.stats()["clock_s"] * RATE)
    assert null.frames > 0
    assert null.gaps == 0


async def test_nobody_and_somebody_want_pictures() -> None:
    blind, seeing = lipwire.publish.Null(wants="nothing"), lipwire.publish.Null()
    assert lipwire.publish.Tee(blind, WebRTC()).wants == "nothing"
    tee = lipwire.publish.Tee(blind, seeing)
    assert tee.wants == "pictures"
    async with lipwire.Session(tee, width=64, height=36) as session:
        session.write(tone(0.2), RATE)
        session.end()
        await session.finished()
    assert blind.frames == 0 < seeing.frames and blind.samples == seeing.samples > 0
    with pytest.raises(InvalidArgument, match="one of nothing, pictures"):
        lipwire.publish.Null(wants="stills")  # type: ignore[arg-type]


@pytest.mark.parametrize("sdp", ["", "nonsense", "v=0\r\nm=video 9 RTP/AVP"])
async def test_a_bad_offer_is_refused(sdp: str) -> None:
    with pytest.raises(InvalidArgument):
        await WebRTC().answer(sdp)
    with pytest.raises(InvalidArgument):
        await WebRTC().answer("v=0\r\nm=", "answer")


async def test_two_webrtc_peers_hear_and_see() -> None:
    publisher = WebRTC(ice_host="127.0.0.1")
    peers = [aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[])) for _ in range(2)]

    async def watch(pc: aiortc.RTCPeerConnection) -> tuple[list[Any], list[float]]:
        tracks: dict[str, aiortc.MediaStreamTrack] = {}
        pc.on("track", lambda track: tracks.__setitem__(track.kind, track))
        pc.addTransceiver("video", direction="recvonly")
        pc.addTransceiver("audio", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        sdp, kind = await publisher.answer(pc.localDescription.sdp)
        await pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
        pictures = [await tracks["video"].recv() for _ in range(10)]
        levels = []
        for _ in range(40):
            sound = await tracks["audio"].recv()
            levels.append(float(np.abs(sound.to_ndarray()).max()))
        return pictures, levels

    try:
        async with lipwire.Session(publisher, width=160, height=90, fps=Fraction(25)) as session:
            assert publisher.wants == "nothing"
            session.write(tone(20.0), RATE)
            seen = await asyncio.wait_for(asyncio.gather(*(watch(pc) for pc in peers)), 30)
            assert len(publisher.viewers) == 2 and publisher.wants == "pictures"
            assert session.stats()["frames_unseen"] < session.stats()["frames"]
    finally:
        for pc in peers:
            await pc.close()
    for pictures, levels in seen:
        assert (pictures[0].width, pictures[0].height) == (160, 90)
        assert max(levels) > 3000
        assert pictures[-1].to_ndarray(format="rgb24").std() > 20  # a picture, not one colour
    assert not publisher.viewers


async def test_open_is_given_the_stream() -> None:
    class Recorder(lipwire.publish.Null):
        spec: StreamSpec | None = None

        async def open(self, spec: StreamSpec) -> None:
            self.spec = spec

    recorder = Recorder()
    async with lipwire.Session(recorder, width=64, height=36, fps=Fraction(30000, 1001)) as session:
        pass
    fps = Fraction(30000, 1001)
    assert recorder.spec == StreamSpec(session_id=session.id, width=64, height=36, fps=fps, avatar="aria")


@pytest.mark.parametrize(("matrix", "number"), [("bt709", 1), ("bt601", 6)])
def test_what_leaves_is_tagged_with_its_colours(tmp_path: Path, matrix: str, number: int) -> None:
    frame = Frame(64, 36, matrix=matrix)  # type: ignore[arg-type]
    shown = picture(frame.i420, frame.matrix)
    assert (shown.color_range, shown.colorspace) == (1, number)
    writer = FilmWriter(tmp_path / "tagged.mp4", 64, 36, Fraction(25))
    writer.open(matrix)
    for at in range(5):
        writer.video(frame.i420, at * 1920)
    writer.audio(bytes(2 * 9600), 0)
    writer.close()
    with av.open(str(tmp_path / "tagged.mp4")) as file:
        context: Any = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (number, number, number)
        assert context.color_range == 1
        decoded: Any = next(iter(file.decode(video=0)))
        assert (decoded.colorspace, decoded.color_range) == (number, 1)
