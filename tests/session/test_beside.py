"""`render` with all that goes beside a film: texts, subtitles, posters, backgrounds, and what does not go together."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import lipwire
from lipwire.errors import InvalidArgument, StorageError
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name, parse
from lipwire.publish.still import encode_still
from lipwire.session.said import SpokenText
from lipwire.session.subtitles import Cue, read_transcript
from support.machine import require

SIZE = (64, 36)
TEXT = "Good morning, everybody. This is the second sentence."


@pytest.mark.parametrize("voice", ["en-us", "en-gb", "fr-fr", "de-at", "en-us+f3", "en-gb+f3"])
def test_voices_have_names_and_languages(say: Any, voice: str) -> None:
    assert SpokenText("Bonjour.", Name("espeak", voice)).duration > 0.2


def test_a_text_is_said_in_the_avatars_voice(say: Any, tmp_path: Path) -> None:
    def spoken(**options: Any) -> float:
        return lipwire.render(None, tmp_path / "out.mkv", text="Good morning.", size=(32, 32), **options).duration

    names = "hibari:heart", "hibari:heart+child", "espeak:en-us"
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    of_voice = {name: SpokenText("Good morning.", parse(name)).duration for name in names}  # type: ignore[arg-type]
    kit = {"avatar": "kit", "background": "red"}
    for name, options in zip(names, ({}, kit, {"voice": "en-us"}), strict=True):
        assert abs(spoken(**options) - 0.2 - of_voice[name]) < 0.021


@pytest.mark.parametrize("voice", ["klingonx", "", "en-gb+nobody", "zz"])
def test_a_voice_that_there_is_not_is_refused(say: Any, voice: str) -> None:
    with pytest.raises(InvalidArgument, match="no voice"):
        SpokenText("Hello.", Name("espeak", voice))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(16_000) * 0.1) * 9000).astype(np.int16).tobytes())
    return tmp_path / "in.wav"


class Plain(lipwire.Renderer):
    def draw(self, frame: lipwire.Frame) -> None:
        frame.i420[:] = 128


def cues_in(path: Path) -> list[Cue]:
    read = read_transcript(path)
    assert isinstance(read, list)
    return read


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_text_becomes_a_film_with_all_that_goes_with_it(tmp_path: Path) -> None:
    result = lipwire.render(
        None, tmp_path / "out.mp4", text=TEXT, size=SIZE, background="#00ff00", subtitles=".vtt", poster="PNG"
    )
    assert names(tmp_path) == {"out.mp4", "out.vtt", "out.png"}
    with av.open(str(tmp_path / "out.mp4")) as film:
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    poster = np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))
    assert poster.shape == shown[0].shape
    assert np.abs(poster.astype(int) - shown[0]).mean() < 6, "it is the first picture"
    assert poster[1, 1].tolist() == pytest.approx([0, 255, 0], abs=4)
    first, second = cues_in(tmp_path / "out.vtt")
    assert (first.text, second.text) == ("Good morning, everybody.", "This is the second sentence.")
    assert 0 <= first.start < first.end == second.start < second.end <= result.duration


def test_the_words_of_a_long_text_keep_their_times(say: Any) -> None:
    text = " ".join(f"Sentence number {n} is said here." for n in range(90))
    spoken = SpokenText(text, Name("espeak", "en-us"))
    cues = spoken.cues()
    assert [cue.text for cue in cues] == [f"Sentence number {n} is said here." for n in range(90)]
    assert all(a.end == b.start for a, b in itertools.pairwise(cues))
    assert spoken.duration == pytest.approx(len(b"".join(spoken)) / 2 / spoken.rate)
    assert cues[-1].end == spoken.duration and cues[-1].start > 0.95 * spoken.duration


def test_a_transcript_gives_subtitles_to_a_speech_file(tmp_path: Path, speech: Path) -> None:
    (tmp_path / "said.txt").write_text("Hello there. Goodbye.")
    (tmp_path / "said.srt").write_text("1\n00:00:00,250 --> 00:00:00,750\nHello\n")
    for transcript, wanted in (("said.txt", ["Hello there.", "Goodbye."]), ("said.srt", ["Hello"])):
        lipwire.render(
            speech,
            tmp_path / "out.webm",
            size=SIZE,
            subtitles=tmp_path / "film.srt",
            transcript=tmp_path / transcript,
            poster=tmp_path / "film.jpg",
        )
        cues = cues_in(tmp_path / "film.srt")
        assert [cue.text for cue in cues] == wanted
    assert cues[0].start == 0.25
    assert Image.open(tmp_path / "film.jpg").size == SIZE
    assert not list(tmp_path.glob(".*"))


class Slow(lipwire.FrameSource):
    """Shows nothing of its own, and makes the sound wait."""

    latency = 0.5

    def speech(self, pcm: Any, sample: int) -> None: ...


def test_subtitles_wait_with_the_sound(tmp_path: Path, speech: Path) -> None:
    (tmp_path / "said.srt").write_text("1\n00:00:00,250 --> 00:00:00,750\nHello\n")
    options: dict[str, Any] = {"size": SIZE, "subtitles": "vtt", "transcript": tmp_path / "said.srt"}
    lipwire.render(speech, tmp_path / "out.mp4", avatar=Slow(), **options)
    with av.open(str(tmp_path / "out.mp4")) as file:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
    assert np.flatnonzero(np.abs(sound) > 0.05)[0] / 48_000 == pytest.approx(0.5, abs=0.05)
    assert cues_in(tmp_path / "out.vtt") == [Cue(0.75, 1.25, "Hello")]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"text": "Hi."}, "one of the two"),
        ({"voice": "de"}, "a speech file has its own"),
        ({"subtitles": "a.vtt"}, "subtitles need words"),
        ({"transcript": "said.txt"}, "where they are to be written"),
        ({"subtitles": "a.txt", "transcript": "said.txt"}, r"end its name in \.vtt"),
        ({"poster": "a.gif"}, r"end its name in \.png"),
        ({"poster": "no/a.png"}, "no folder"),
        ({"poster": "in.wav"}, r"end its name in \.png"),
        ({"subtitles": "said.srt", "transcript": "said.srt"}, "is what is read"),
        ({"background": "nothing.png"}, "no colour"),
        ({"background": "back.png", "poster": "back.png"}, "is what is read"),
        ({"quality": "best"}, "low, medium, high"),
        ({"crf": 99}, "0..51"),
        ({"background": "red", "avatar": Plain()}, "draws its own background"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("said.txt").write_text("Hello.")
    Path("said.srt").write_text("1\n00:00:00,250 --> 00:00:00,750\nHello\n")
    Image.new("RGB", (8, 8)).save("back.png")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InvalidArgument, match=match):
        lipwire.render(speech.name, "out.mp4", size=SIZE, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_is_left_beside_a_film_that_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.png").write_bytes(b"an older poster")

    def full(*_: Any) -> bytes:
        raise StorageError("cannot write: the disk is full")

    monkeypatch.setattr("lipwire.session.beside.encode_still", full)
    with pytest.raises(StorageError):
        lipwire.render(None, tmp_path / "out.mp4", text="Hi.", size=SIZE, subtitles="srt", poster="png")
    assert names(tmp_path) == {"out.png"}
    assert (tmp_path / "out.png").read_bytes() == b"an older poster"


def test_an_avatar_that_is_drawn_for_the_first_time_is_told(
    tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told: list[str] = []
    for _ in range(2):
        lipwire.render(speech, tmp_path / "out.mp4", size=(32, 34), avatar="kit", note=told.append)
    assert told == ["drawing kit at 32x34, once"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_a_still_has_the_colours_of_the_picture(tmp_path: Path, suffix: str, matrix: str) -> None:
    luma, blue, red = (0.2126, 0.7152, 0.0722), 1.8556, 1.5748
    if matrix == "bt601":
        luma, blue, red = (0.299, 0.587, 0.114), 1.772, 1.402
    rgb = np.array([200, 90, 40])
    y = float(luma @ rgb)
    picture = np.empty((54, 64), np.uint8)
    picture[:36] = round(16 + y * 219 / 255)
    picture[36:45] = round(128 + (rgb[2] - y) / blue * 224 / 255)
    picture[45:] = round(128 + (rgb[0] - y) / red * 224 / 255)
    path = tmp_path / f"still{suffix}"
    path.write_bytes(encode_still(path, picture, matrix))
    assert np.abs(np.asarray(Image.open(path).convert("RGB"), int)[10, 10] - rgb).max() <= 4
