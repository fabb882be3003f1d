"""Subtitles: what they say, when, in both formats, and read again."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import av
import numpy as np
import pytest

from lipwire.errors import BadData, InvalidArgument
from lipwire.session.subtitles import (
    LONGEST,
    Cue,
    cues_of_text,
    cues_of_words,
    pieces,
    read_transcript,
    write_cues,
)

CUES = [Cue(0.0, 1.5, "Tom & <Jerry>"), Cue(3661.25, 3662.0, "Grüße, 你好")]


def test_both_formats_are_what_players_read(tmp_path: Path) -> None:
    vtt, srt = (write_cues(CUES, suffix).decode() for suffix in (".vtt", ".SRT"))
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nTom &amp; &lt;Jerry&gt;\n\n01:01:01.250 --> ")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:01,500\nTom & <Jerry>\n\n2\n01:01:01,250 --> 01:01:02,000\n")
    for suffix in (".vtt", ".srt"):
        data = write_cues(CUES, suffix)
        with av.open(io.BytesIO(data)) as file:  # FFmpeg's own readers
            packets = [packet for packet in file.demux() if packet.size]
        assert [round(float(packet.pts * packet.time_base), 3) for packet in packets] == [0.0, 3661.25]  # type: ignore[operator]
        (tmp_path / f"a{suffix}").write_bytes(data)
    assert read_transcript(tmp_path / "a.vtt") == CUES
    assert read_transcript(tmp_path / "a.srt") == [Cue(0.0, 1.5, "Tom &"), CUES[1]], "<Jerry> is a tag there"


def test_what_others_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_bytes(
        b"\xef\xbb\xbfWEBVTT - title\r\n\r\nNOTE a --> note\r\n\r\nintro\r\n00:01.000 --> 00:02.5 align:start\r\n"
        b"<v Bob>Two\r\nlines</v>\r\n\r\n00:03.000 --> 00:04.000\r\n\r\n"
    )
    assert read_transcript(tmp_path / "a.vtt") == [Cue(1.0, 2.5, "Two lines")]
    (tmp_path / "a.txt").write_text("Only words.")
    assert read_transcript(tmp_path / "a.txt") == "Only words."
    (tmp_path / "a.txt").write_bytes("Only words, in UTF-16: ä".encode("utf-16"))
    assert read_transcript(tmp_path / "a.txt") == "Only words, in UTF-16: ä"
    (tmp_path / "empty.srt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfc\xdfe")
    for name, kind in (("empty.srt", BadData), ("latin.txt", BadData), ("missing.txt", InvalidArgument)):
        with pytest.raises(kind, match=name):
            read_transcript(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.5 dollars, he said.", ["It costs 3.5 dollars, he said."]),
        ('He said "no." Then he left', ['He said "no."', "Then he left"]),
        ("你好。再见！谢谢", ["你好。", "再见！", "谢谢"]),
        ("Title\n\nText", ["Title", "Text"]),
        (
            "Dr. No met Mrs. Smith at No. 5. He left, etc. and so on.",
            ["Dr. No met Mrs. Smith at No. 5.", "He left, etc. and so on."],
        ),
        (" ... !", []),
        ("", []),
    ],
)
def test_where_a_text_is_cut(text: str, cut: list[str]) -> None:
    assert [text[a:b].strip() for a, b in pieces(text)] == cut


@pytest.mark.parametrize(
    "text", ["word " * 100, "ก็" * 200, "a" * 500, "一" * 300, "first, second; " * 40, "ab cd, " * 60 + "."]
)
def test_no_cue_is_too_long_and_nothing_is_lost(text: str) -> None:
    parts = [text[a:b] for a, b in pieces(text)]
    assert "".join(parts).rstrip(". ") == text.rstrip(". ")
    wide = 2 if "一" in text else 1  # columns
    assert all(len(part.strip()) * wide <= LONGEST for part in parts)
    assert all(len(part) > 10 for part in parts[:-1])
    assert not any(unicodedata.category(part[0]).startswith("M") for part in parts)


def test_cues_begin_with_their_words() -> None:
    text = "One two. Three four."
    words = [(0.2, 0), (0.5, 4), (1.4, 9), (1.8, 15)]
    assert cues_of_words(text, words, 2.5) == [Cue(0.2, 1.4, "One two."), Cue(1.4, 2.5, "Three four.")]
    assert cues_of_words("Hm.", [], 2.0) == [Cue(0.0, 2.0, "Hm.")], "a voice that told no words"
    assert cues_of_words("...", [], 2.0) == [], "and one that had none to tell"


def test_a_text_is_spread_over_the_speech_without_its_pauses() -> None:
    rate = 16_000
    sound = (8000 * np.sin(np.arange(rate) * 0.2)).astype(np.int16)
    pcm = np.concatenate([np.zeros(rate, np.int16), sound, np.zeros(3 * rate, np.int16), sound, sound])
    chunks = [pcm[at : at + 777].tobytes() for at in range(0, len(pcm), 777)]
    first, second = cues_of_text("Abcdefgh. Abcdefgh abcdefgh.", chunks, rate)
    assert (first.start, first.end) == (pytest.approx(1, abs=0.05), pytest.approx(5, abs=0.3))
    assert (second.start, second.end) == (first.end, pytest.approx(7, abs=0.05))
    assert [cue.text for cue in cues_of_text("One. Two.", [bytes(2 * rate)], rate)] == ["One.", "Two."], "silence"
    assert len(cues_of_text("One. Two.", [], rate)) == 2
