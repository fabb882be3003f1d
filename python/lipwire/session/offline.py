"""Offline: a speech file to a video file, faster than real time, with the chain that runs live."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from .. import _core
from ..audio.decode import Source
from ..audio.speech_file import SpeechFile
from ..avatar import DEFAULT, Avatar, Voice
from ..avatar.backdrop import with_backdrop
from ..drawing.stage import FRAME_SLOTS, Face, Stage, as_face, stage_for
from ..errors import InvalidArgument
from ..models.voices.choose import choose
from ..motion.files import WRITERS
from ..publish.film import FORMS, KEY_SECONDS, FilmWriter
from ..stream import FrameRate, StreamSpec, Unit, frame_rate
from .beside import Beside, check_names
from .motion_files import MotionFiles, WrittenMotion, is_motion
from .preencoded import Preencoded, check_preencoded, find_atlas, make_atlas
from .said import SpokenText
from .subtitles import Cue, cues_of_text, read_transcript
from .voice_level import voice_level

AHEAD = 2.0
"""Seconds of speech that are decoded ahead of the clock."""
ANCHORS = 8
"""Frames from one that can be a key frame to the next, where video was encoded before; at most."""
TAIL = 0.2
"""Seconds after the last sound, for the mouth to close."""


class RenderResult(Struct, kw_only=True):
    """What `render` did. Times in seconds."""

    duration: float
    frames: int
    """Pictures of the film."""
    elapsed: float
    lost: str = ""
    """A line about what of the speech file was damaged and left out."""
    preencoded: bool = False
    """Whether it was put together from video of the avatar that was encoded before."""
    motion: tuple[WrittenMotion, ...] = ()
    """The files of motion that were written."""

    @property
    def speed(self) -> float:
        """Times real time."""
        return self.duration / self.elapsed


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
    made = _run(chunks, rate, what, list(cues), seed=seed, voice=voice)
    return cast("Iterator[tuple[bytes, int] | _core.Frame]", made)


def perform_units(
    chunks: Iterator[bytes],
    rate: int,
    stage: Stage,
    atlas: _core.Atlas,
    *,
    seed: int = 0,
    cues: Sequence[tuple[float, int, int]] = (),
    voice: float | None = None,
    pictures: int = 0,
    key_every: int = 0,
) -> Iterator[tuple[bytes, int] | _core.Frame | Unit]:
    """As `perform`, with an atlas of the avatar's video: a Unit comes for each frame that it covers, and a Frame for
    those that it does not, and behind the Unit of each of the first `pictures`. `key_every`: a key unit is asked for
    so many units behind the last; 0: none but those that have to be."""
    return _run(chunks, rate, stage, list(cues), pictures, key_every, seed=seed, voice=voice, atlas=atlas)


def _run(
    chunks: Iterator[bytes],
    rate: int,
    stage: Stage,
    cues: list[tuple[float, int, int]],
    pictures: int = 0,
    key_every: int = 0,
    **options: Any,
) -> Iterator[tuple[bytes, int] | _core.Frame | Unit]:
    stage.prepare()
    performer = stage.performer(frame_slots=FRAME_SLOTS, capacity=AHEAD + 60, **options)
    drawn: list[_core.Frame] = []
    stage.open(drawn.append, None)
    try:
        yield from _perform(chunks, rate, performer, stage, drawn, cues, pictures, key_every)
    finally:
        stage.close()


def _perform(
    chunks: Iterator[bytes],
    rate: int,
    performer: _core.Performer,
    stage: Stage,
    drawn: list[_core.Frame],
    waiting: list[tuple[float, int, int]],
    pictures: int,
    key_every: int,
) -> Iterator[tuple[bytes, int] | _core.Frame | Unit]:
    room = performer.space - AHEAD
    more = True
    tail = clock = frames = behind_key = 0
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
        if performer.atlas is not None and frames <= pictures:
            performer.look(_core.LOOK_UNITS | (_core.LOOK_PICTURES if frames < pictures else 0))
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
            frames += 1
            if frame.stitched:
                data, key = performer.unit(frame)
                behind_key = 0 if key else behind_key + 1
                if behind_key == key_every > 0:
                    performer.request_key()
                yield Unit(data, frame.sample, key)
            if not frame.drawn:
                continue
            stage.frame(frame)
            del frame
            yield drawn.pop()
        if not more and not performer.stats()["active"]:
            tail += _core.BLOCK
            if tail > TAIL * _core.RATE + stage.delay:
                return


def render(
    speech: Source | None,
    out: str | os.PathLike[str] | None = None,
    *,
    avatar: Face = DEFAULT,
    size: tuple[int, int] | None = None,
    fps: FrameRate | None = None,
    seed: int = 0,
    text: str | None = None,
    voice: str | None = None,
    voices: str | os.PathLike[str] | None = None,
    background: str | os.PathLike[str] | None = None,
    quality: str | None = None,
    crf: int | None = None,
    subtitles: str | os.PathLike[str] | None = None,
    transcript: str | os.PathLike[str] | None = None,
    poster: str | os.PathLike[str] | None = None,
    preencoded: Preencoded = "off",
    motion: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    motion_sets: str | Sequence[str] | None = None,
    motion_head: str | os.PathLike[str] | None = None,
    progress: Callable[[float, float | None], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> RenderResult:
    """Renders a talking avatar into a film, or what its face does into files of motion, or both.

    Args:
        speech: any audio file that FFmpeg reads, or what is in one; None: `text` is said.
        out: path of the film; its end says which kind: .mp4, .m4v, .mov, .mkv, .webm or .gif (without sound). Or that
            of a file of motion, as `motion` has them. None: no film.
        avatar: what draws: an Avatar or its name, a Renderer, a hook, or a FrameSource.
        size: pixels, even; 640 x 360 where nothing is said. fps: 1..100: 25, 29.97 (which is 30000/1001), "30000/1001"
            or a Fraction; 25 where nothing is said.
        text: what is said in place of a file; voice: who says it (docs/agents/voices.md), by default the avatar's.
            voices: the folder of yours, in which `piper:NAME` and `kokoro:MODEL/VOICE` are.
        background: in place of an avatar's own: a colour ("#2b6777", "teal"), or the path of a picture.
        quality: low, medium (where nothing is said) or high. crf: in its place, the encoder's constant rate factor;
            less is better and larger.
        subtitles: path of a file to write, .vtt or .srt: of the text, or of the transcript.
        transcript: what is said in `speech`: a text file, which is spread over the speech without its pauses; or
            subtitles, whose times are kept.
        poster: path of an image of the first picture to write, .png or .jpg.
        preencoded: whether the avatar's video is taken as it was encoded before (docs/preencode.md), which is faster by
            far, coarser, and another film: "off"; "auto": where it is in this machine's cache, in an .mp4, .m4v, .mov
            or .mkv without `quality` and `crf`; "on": it is encoded now, once, where it is not.
        motion: paths of files to write of what the face does, without pictures: .lwm, .json, and those of other
            programs (docs/motion.md has all). Only an end, such as "lwm", is a file beside the film.
        motion_sets: which channels .lwm and .json have, a list or with commas: visemes, arkit, head, pose, azure; arkit
            and head where nothing is said. motion_head: the .glb file of a head, for a .glb.
        progress: called now and then with (seconds done, seconds in all or None).
        note: called with a line about something that takes its time before the first picture.

    Raises:
        InvalidArgument: a path, the size, the rate or the avatar's name does not do, or options do not go together.
        BadData: there is no sound. BadState, ModelFailed: what says the text is not installed.
        StorageError: a file cannot be written to its end, because the disk is full, say; nothing of any is left.
    """
    began = time.perf_counter()
    rate = frame_rate(25 if fps is None else fps)
    film, moves = _outputs(out, motion)
    check_preencoded(preencoded)
    if film is None:
        of_pictures = {"size": size, "background": background, "quality": quality, "crf": crf, "poster": poster}
        _check_no_film(of_pictures, preencoded)
    _check_speech(speech, text, voice, subtitles, transcript)
    files = MotionFiles(
        moves,
        film,
        sets=motion_sets,
        fps=rate,
        asked=fps is not None,
        head=motion_head,
        speech=os.fspath(speech) if isinstance(speech, str | os.PathLike) else "",
    )
    outputs = [*([] if film is None else [film]), *files.paths]
    beside = Beside(outputs[0], subtitles, poster)
    check_names([*outputs, *beside.paths], [speech, transcript, background, motion_head])
    face = as_face(avatar)
    source = _source(speech, text, voice, face, None if voices is None else Path(voices))
    if background is not None:
        face = _before(face, background)
    scene: _Film | None = None
    if film is not None:
        size = (640, 360) if size is None else size
        stage = stage_for(face, StreamSpec(session_id=film.name, width=size[0], height=size[1], fps=rate))
        scene = _Film(stage, FilmWriter(film, *size, rate, quality=quality, crf=crf), beside)
    cues = _cues(source, transcript) if subtitles is not None else []
    if scene is not None:
        scene.prepare(face, preencoded, note)
    parts: list[_Film | Beside | MotionFiles] = [beside, files] if scene is None else [scene, beside, files]
    seconds = 0.0
    delay = 0
    try:
        for part in parts:
            part.open()
        level = voice_level(source, source.rate)
        if scene is not None:
            seconds = scene.make(source, seed, level, progress)
            delay = scene.stage.delay
        if files.paths:
            moved = files.make(
                lambda often: perform(iter(source), source.rate, _unseen(face, often), seed=seed, voice=level),
                delay,
                None if scene is not None or progress is None else lambda done: progress(done, source.duration),
            )
            seconds = seconds or moved
        beside.say(cues, delay / _core.RATE)
        for part in parts:
            part.keep()
    except BaseException:
        for part in parts:
            part.drop()
        raise
    if progress is not None:
        progress(seconds, seconds)
    return RenderResult(
        duration=seconds,
        frames=0 if scene is None else scene.frames,
        elapsed=time.perf_counter() - began,
        lost=str(source.losses) if isinstance(source, SpeechFile) else "",
        preencoded=scene is not None and scene.atlas is not None,
        motion=files.written,
    )


class _Film:
    """The film that `render` makes, as far as it is concerned with pictures."""

    def __init__(self, stage: Stage, writer: FilmWriter, beside: Beside) -> None:
        self.stage = stage
        self.atlas: _core.Atlas | None = None
        self.frames = 0
        self._writer = writer
        self._beside = beside

    def prepare(self, face: Face, preencoded: Preencoded, note: Callable[[str], None] | None) -> None:
        """Draws what is drawn once, and encodes what is encoded once."""
        spec = self.stage.spec
        if note is not None and isinstance(face, Avatar) and not face.is_drawn(spec.width, spec.height):
            note(f"drawing {face.name} at {spec.width}x{spec.height}, once")
        self.stage.prepare()
        self.atlas = _atlas(preencoded, self.stage, self._writer, note)

    def open(self) -> None:
        self._writer.open(self.stage.spec.matrix, self.atlas)

    def make(
        self,
        source: SpeechFile | SpokenText,
        seed: int,
        level: float | None,
        progress: Callable[[float, float | None], None] | None,
    ) -> float:
        """All pictures and all sound; returns how many seconds they take."""
        writer, stage, clock = self._writer, self.stage, 0
        for item in self._made(source, seed, level):
            if isinstance(item, tuple):
                pcm, clock = item
                writer.audio(pcm, clock)
                continue
            if isinstance(item, Unit):
                writer.unit(item)
            else:
                if not item.stitched:
                    writer.video(item.i420, item.sample)
                self._beside.show(item.i420, stage.spec.matrix)
            self.frames = writer.pictures
            if progress is not None and self.frames % 10 == 0:
                progress(clock / _core.RATE, source.duration)
        return (clock + _core.BLOCK) / _core.RATE

    def _made(self, source: SpeechFile | SpokenText, seed: int, level: float | None) -> Iterator[Any]:
        if self.atlas is None:
            return perform(iter(source), source.rate, self.stage, seed=seed, voice=level)
        return perform_units(
            iter(source),
            source.rate,
            self.stage,
            self.atlas,
            seed=seed,
            voice=level,
            pictures=int(self._beside.poster is not None),
            key_every=max(1, int(KEY_SECONDS * self.stage.spec.fps) - ANCHORS),
        )

    def keep(self) -> None:
        self._writer.close()

    def drop(self) -> None:
        self._writer.abort()


def _outputs(
    out: str | os.PathLike[str] | None, motion: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
) -> tuple[Path | None, list[str | os.PathLike[str]]]:
    """(the film, files of motion). Raises InvalidArgument: there is neither, or `out` is none of the two."""
    moves = [motion] if isinstance(motion, str | os.PathLike) else list(motion)
    if out is not None and is_motion(out):
        return None, [out, *moves]
    if out is None and not moves:
        raise InvalidArgument("say what is to be written: a film, or a file of motion")
    if out is None:
        return None, moves
    film = Path(out)
    if film.suffix.lower() not in FORMS:
        raise InvalidArgument(
            f"cannot write {film}: end its name in .mp4, or another kind of film ({', '.join(FORMS)}), or in one of "
            f"motion ({', '.join(WRITERS)})"
        )
    return film, moves


def _check_no_film(of_pictures: dict[str, Any], preencoded: Preencoded) -> None:
    """Raises InvalidArgument: something is asked of pictures, and none are made."""
    given = [name for name, value in of_pictures.items() if value is not None]
    given += ["preencoded"] if preencoded != "off" else []
    if given:
        raise InvalidArgument(f"{given[0]} is for pictures, and no film is made; give one to write besides the motion")


def _unseen(face: Face, fps: Fraction) -> Stage:
    """For the poses of an avatar's film, without its pictures."""
    stage = Stage(None, StreamSpec(session_id="motion", width=0, height=0, fps=fps))
    stage.name = face.name if isinstance(face, Avatar) else ""
    return stage


def _atlas(
    preencoded: Preencoded, stage: Stage, writer: FilmWriter, note: Callable[[str], None] | None
) -> _core.Atlas | None:
    """The video that the film is put together from. Raises InvalidArgument where there has to be some and cannot."""
    why = writer.encodes
    if preencoded == "on" and why:
        raise InvalidArgument(f"preencoded='on' does not go with {why}")
    atlas = find_atlas(preencoded, stage, not why)
    if atlas is not None or preencoded != "on":
        return atlas
    name = f"encoding {stage.name} at {stage.spec.width}x{stage.spec.height}, once"
    return make_atlas(stage, note and (lambda done: note(f"{name}: {done:.0%}")))


def _check_speech(speech: Any, text: str | None, voice: str | None, subtitles: Any, transcript: Any) -> None:
    """What is said must be known, once."""
    if (speech is None) == (text is None):
        raise InvalidArgument("give a speech file or a text to say, one of the two")
    if voice is not None and text is None:
        raise InvalidArgument(f"the voice {voice!r} says a text, and there is none: a speech file has its own")
    if transcript is not None and text is not None:
        raise InvalidArgument("a transcript says what is said in a speech file; the text is its own")
    if transcript is not None and subtitles is None:
        raise InvalidArgument("a transcript is for subtitles: say where they are to be written")
    if subtitles is not None and text is None and transcript is None:
        raise InvalidArgument("subtitles need words: a text to say, or a transcript of the speech file")


def _source(
    speech: Source | None, text: str | None, voice: str | None, face: Face, voices: Path | None
) -> SpeechFile | SpokenText:
    if text is not None:
        return SpokenText(text, choose(voice, face.voice if isinstance(face, Avatar) else Voice(), folder=voices).name)
    assert speech is not None
    return SpeechFile(speech)


def _cues(source: SpeechFile | SpokenText, transcript: str | os.PathLike[str] | None) -> list[Cue]:
    if isinstance(source, SpokenText):
        return source.cues()
    assert transcript is not None
    said = read_transcript(Path(transcript))
    return cues_of_text(said, source, source.rate) if isinstance(said, str) else said


def _before(face: Face, background: str | os.PathLike[str]) -> Avatar:
    if not isinstance(face, Avatar):
        raise InvalidArgument(f"{type(face).__name__} draws its own background: background= is for avatars")
    return with_backdrop(face, background)
