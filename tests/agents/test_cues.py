"""What is said in an agent's channel, as WebVTT: when it was said, by whom, in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lipwire._core import RATE
from lipwire.agents.actions import Caption
from lipwire.agents.brains.base import TimedWord
from lipwire.agents.cues import Captions, cues_of
from lipwire.publish import LiveFilm
from lipwire.session.subtitles import Cue, read_transcript
from support.broadcast import SPEC


def beside(path: Path, zero: float = 0.0, **limits: Any) -> Captions:
    """The captions of a film that begins there."""
    film = LiveFilm(path.with_suffix(".mp4"), **limits)
    film.zero = round(zero * RATE)
    return Captions(film)


async def written(captions: Captions) -> str:
    await captions.close()
    return captions.path.read_text()


def test_a_cue_is_a_sentence_and_begins_with_its_first_word() -> None:
    words = (TimedWord("Good", 0, 200), TimedWord("morning", 200, 400), TimedWord("It", 1500, 100))
    said = Caption("Aria", "Good morning. It rains.", 4000, 6500, words)
    assert cues_of(said) == [
        Cue(4.0, 5.5, "Good morning.", "Aria"),
        Cue(5.5, 6.5, "It rains.", "Aria"),
    ]


def test_without_times_of_words_each_sentence_has_its_share() -> None:
    cues = cues_of(Caption("7", "One two. Three four five six.", 1000, 4100))
    assert [cue.text for cue in cues] == ["One two.", "Three four five six."]
    assert cues[0].start == 1.0 and cues[0].end == cues[1].start and cues[1].end == pytest.approx(4.1)
    assert cues[0].end == pytest.approx(1 + 3.1 * 7 / 24)
    assert cues_of(Caption("7", "...", 0, 1)) == []


async def test_cues_are_there_at_once_and_in_order_at_the_end(tmp_path: Path) -> None:
    captions = beside(tmp_path / "x.vtt", 0.5)
    captions.add(Caption("early", "Before the film.", 0, 400))
    captions.add(Caption("Aria <b>", "Five & six\n--> seven.", 3000, 4500))
    captions.add(Caption("7", "Wait.", 2000, 2500))  # known later: speech to text takes its time
    last = beside(tmp_path / "last.vtt")
    last.add(Caption("7", "Behind them.", 0, 1))
    await last.close()  # one thread writes
    before = captions.path.read_text()
    assert before.startswith("WEBVTT\n\n00:00:02.500 --> 00:00:04.000\n<v Aria &lt;b&gt;>Five &amp; six")
    assert before.index("Five") < before.index("Wait")
    text = await written(captions)
    assert text.index("Wait") < text.index("Five") and "film" not in text
    assert re.findall(r"^[\d:.]+ --> [\d:.]+$", text, re.MULTILINE) == [
        "00:00:01.500 --> 00:00:02.000",
        "00:00:02.500 --> 00:00:04.000",
    ]
    cues = read_transcript(captions.path)
    assert [cue.text for cue in cues if isinstance(cue, Cue)] == ["Wait.", "Five & six --> seven."]
    assert captions.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.vtt", "x.vtt"]


async def test_a_disk_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = beside(tmp_path / "no" / "x.vtt")
    for n in range(3):
        captions.add(Caption("7", "Hello.", n * 1000, n * 1000 + 500))
    await captions.close()
    assert caplog.text.count("the transcript x.vtt ended") == 1
    silent = beside(tmp_path / "y.vtt")
    await silent.close()
    assert not silent.path.exists()  # nobody said anything


async def test_they_end_with_their_film_and_count_towards_its_limits(tmp_path: Path) -> None:
    charged = 0

    def allow(more: int) -> str:
        nonlocal charged
        charged += more
        return "full" if charged > 200 else ""

    captions = beside(tmp_path / "x.vtt", allow=allow)
    for n in range(9):
        captions.add(Caption("7", f"Number {n}.", n * 1000, n * 1000 + 500))
    text = await written(captions)
    assert 0 < text.count("-->") < 5 and charged > 200

    film = LiveFilm(tmp_path / "y.mp4")
    await film.open(SPEC)
    captions = Captions(film)
    captions.add(Caption("7", "Hello.", 0, 500))
    await film.close()  # with nothing in it
    captions.add(Caption("7", "Too late.", 500, 900))
    await captions.close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.vtt"]
