"""agents/replies.py: how much of a reply's text was heard, from what is known of its sound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.agents.brains.base import ReplyText, TimedWord
from lipwire.agents.replies import MS_A_CHARACTER, Reply

TEXT = "one two three four"


def reply(*pieces: ReplyText, received_ms: float = 0.0, text: str | None = None) -> Reply:
    made = Reply("speech")
    for piece in pieces:
        made.add(piece)
    made.received_ms = received_ms
    if text is not None:
        made.close(text)
    return made


def test_text_over_all_of_its_sound() -> None:
    made = reply(ReplyText("r", TEXT, 0, 1800), received_ms=1800.0, text=TEXT)
    assert [made.heard(ms) for ms in (0, 100, 400, 1000, 1700, 1800)] == [
        "",
        "",
        "one",
        "one two",
        "one two three",
        TEXT,
    ]


def test_text_whose_length_nobody_said_is_over_the_sound_there_is() -> None:
    open_end = reply(ReplyText("r", TEXT), received_ms=200.0)
    assert open_end.heard(1.0) == "" and open_end.heard(MS_A_CHARACTER * len(TEXT)) == TEXT  # by a usual pace
    assert open_end.heard(MS_A_CHARACTER * 8) == "one two"
    closed = reply(ReplyText("r", TEXT), received_ms=900.0, text=TEXT)
    assert closed.heard(450) == "one two" and closed.heard(900) == TEXT


def test_pieces_end_where_the_next_begins() -> None:
    made = reply(ReplyText("r", "One. ", 0), ReplyText("r", "Two. ", 500), ReplyText("r", "Three.", 1000, 400))
    heard = [made.heard(ms) for ms in (499, 500, 999, 1000, 1400, 9000)]
    assert heard == ["One.", "One.", "One. Two.", "One. Two.", "One. Two. Three.", "One. Two. Three."]


def test_text_that_only_came_with_the_end() -> None:
    made = reply(received_ms=1000.0, text="Hello there you")
    assert (made.heard(500), made.heard(1000), made.text) == ("Hello", "Hello there you", "Hello there you")
    assert reply(text="never spoken").heard(10) == "never spoken"  # it had no sound at all, so all of it was played


def test_of_a_reply_that_failed_only_what_had_sound() -> None:
    made = reply(ReplyText("r", "One. ", 0, 300), ReplyText("r", "Two.", 300, 500), received_ms=300.0, text="One. Two.")
    made.outcome = "failed"
    assert made.heard(300) == "One."


@pytest.mark.parametrize(
    ("text", "third"),
    [
        ("这座城市的历史开始于九世纪，当时商人们", "这座城市的历"),
        ("この町の歴史は九世紀に始まり商人", "この町の歴"),
        ("ประวัติศาสตร์ของเมืองนี้เริ่มต้น", "ประวัติศาส"),
        ("안녕하세요 저는 서울에 살고 있어요", "안녕하세요"),
        ("我在用 Wonderful Python 编程", "我在用"),
    ],
)
def test_scripts_without_spaces_are_cut_between_characters(text: str, third: str) -> None:
    made = reply(ReplyText("r", text, 0, 3000), received_ms=3000.0, text=text)
    assert made.heard(1000) == third
    cuts = [made.heard(ms) for ms in range(0, 3001, 10)]
    assert cuts == sorted(cuts, key=len) and cuts[-1] == text


def test_marks_that_nobody_says_take_no_time() -> None:
    text = "See [this page](https://example.com/a/very/long/address/of/a/page) and 😀😀😀 <b>that</b> one too"
    made = reply(ReplyText("r", text, 0, 3100), received_ms=3100.0, text=text)
    heard = [made.heard(ms) for ms in (500, 1500, 2000, 2500, 3100)]
    link = text[: text.index(")") + 1]
    assert heard == ["See", link, f"{link} and 😀😀😀", f"{link} and 😀😀😀 <b>that</b>", text]


def test_the_usual_pace_of_a_script() -> None:
    made = reply(ReplyText("r", "这座城市"))
    assert made.heard(MS_A_CHARACTER * 3.1) == "这" and made.heard(MS_A_CHARACTER * 12) == "这座城市"
    made.add(ReplyText("r", "的历史"))
    assert made.heard(MS_A_CHARACTER * 12.1) == "这座城市"


def test_sentences_end_by_the_marks_of_their_script() -> None:
    for text in ("我很好。你好吗？好。", "मैं ठीक हूँ। आप? हाँ।", "你好!我们走?好"):
        made = reply(ReplyText("r", text, 0, 1000), received_ms=1000.0, text=text)
        end = made.sentence_end(1.0)
        assert end is not None and 0 < end < 700


def test_words_that_have_begun() -> None:
    words = (TimedWord("one", 0, 200), TimedWord("two", 200, 200))
    made = reply(ReplyText("r", "one two", 0, 400, words))
    assert [len(made.heard_words(ms)) for ms in (0, 1, 200, 201)] == [0, 1, 1, 2]


@given(
    st.lists(st.tuples(st.text(max_size=20), st.integers(0, 2000) | st.none(), st.integers(0, 2000) | st.none())),
    st.floats(0, 5000),
    st.floats(0, 5000),
    st.booleans(),
)
def test_it_is_always_a_beginning_of_the_text(
    pieces: list[tuple[str, int | None, int | None]], received: float, ms: float, complete: bool
) -> None:
    pieces = sorted(pieces, key=lambda piece: piece[1] or 0)
    made = reply(*(ReplyText("r", text, at, length) for text, at, length in pieces), received_ms=received)
    if complete:
        made.close(made.text)
    assert made.text.lstrip().startswith(made.heard(ms))
