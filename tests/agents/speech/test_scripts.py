"""agents/speech/scripts.py: where a text may be cut, as its readers see it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.agents.speech.scripts import cluster_start, cut_back, length, sentence_end, word_spans


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("one two", ["", "one", "one ", "one two"]),
        ("hello,world foo", ["", "hello,world", "hello,world ", "hello,world foo"]),
        ("这座城市", ["", "这", "这座", "这座城", "这座城市"]),
        ("我用Python编程", ["", "我", "我用", "我用Python", "我用Python编", "我用Python编程"]),
        ("我 use it", ["", "我", "我 ", "我 use", "我 use ", "我 use it"]),
        ("ที่เก้า", ["", "ที่", "ที่เ", "ที่เก้", "ที่เก้า"]),  # vowels and tones stay with their consonant
        ("안녕 하세요", ["", "안녕", "안녕 ", "안녕 하세요"]),
        ("मेरा नाम", ["", "मेरा", "मेरा ", "मेरा नाम"]),
        ("か\u3099き", ["", "か\u3099", "か\u3099き"]),
        ("好👨‍👩‍👧好", ["", "好", "好👨‍👩‍👧", "好👨‍👩‍👧好"]),
    ],
)
def test_cuts_lie_between_words_or_characters(text: str, places: list[str]) -> None:
    assert list(dict.fromkeys(text[: cut_back(text, at)] for at in range(len(text) + 1))) == places


@given(st.text(st.sampled_from("ab 好ที่ก้\u0301👨\u200d👧🇩🇪한\n"), max_size=60), st.integers(0, 60), st.integers(0, 20))
def test_a_cut_is_never_before_its_floor_or_within_a_character(text: str, at: int, floor: int) -> None:
    place = cut_back(text, at, floor)
    assert min(floor, place) == floor and place <= max(at, floor)
    assert cluster_start(text, place, floor) == place


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Hi. You", "Hi."), ('Wow!" he', 'Wow!"'), ("3.14 x", None), ("你好。我", "你好。"), ("你好!我们", "你好!"),
        ("है।अब", "है।"), ("ہے۔ میں", "ہے۔"), ("ဟုတ်၊ ပါ။ နေ", "ဟုတ်၊ ပါ။"), ("x", None), ("「はい。」と", "「はい。」"),
    ],
)  # fmt: skip
def test_ends_of_sentences(text: str, first: str | None) -> None:
    end = sentence_end(text, 0)
    assert (None if end is None else text[:end]) == first


def test_how_long_a_text_takes() -> None:
    assert (length("hello"), length("你好"), length("안녕 a"), length("สวัสดี")) == (5, 6, 8, 6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, there. It's 3.14", ["Hello,", "there.", "It's", "3.14"]),
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("我用Python 3编程", ["我", "用", "Python", "3", "编", "程"]),
        ("ที่เก้า ก็", ["ที่", "เ", "ก้", "า", "ก็"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [text[begin:end] for begin, end in word_spans(text)] == words
