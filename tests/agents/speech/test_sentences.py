"""agents/speech/sentences.py: where a text that streams in is cut, in the languages and scripts of the world."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.agents.speech.sentences import SentenceSplitter

SIZES = (1, 3, 1000)
"""Characters that come at a time: where a text is cut does not hang on it."""


def cut(text: str, size: int = 3, **options: Any) -> list[str]:
    splitter = SentenceSplitter(**options)
    pieces = [piece for i in range(0, len(text), size) for piece in splitter.feed(text[i : i + size])]
    return [*pieces, *([rest] if (rest := splitter.flush()) else [])]


ENDS = [
    "Hello there. |How are you?",
    "It costs 3.50 euros. |Really!",
    "Well... maybe not. |Hmm... |Yes.",
    "In 1984. |Then 2001.",
    "1. First thing.\n|2. Second.",
    'He said "Stop!" |Then "Go."',
    'He asked "Why?" and left. |Then "Go."',
    "What?! |No way!! |Yes.",
    "See example.com/a.b for v1.2.3 now. |Ok.",
    "I said no. |No. |It was I. |We went.",
    "one\n|\ntwo",
    "(One. |Two.) |Three.",
    "How many are left? |7. |Shall I order more?",
    "It is so.[1] |And so.[2][3] |Yes.",
    "Great! |😀 See you. |Bye!",
    "Great!😀 |See you.",
    "**Bold.** |Plain. |*So.* |Yes.",
    "Hello.</p> |Next.",
    # stops that end nothing
    "Dr. Smith met Mr. J. R. Jones. |Then he left.",
    "Use e.g. Python, i.e. code. |Fine.",
    "We live at No. 5 on this street. |Yes.",
    "We met on Oct. 5 in Oslo, see vol. 3, fig. 4 and pp. 5-7. |Yes.",
    "She climbed Mt. Everest. |He came at 5 p.m. today. |Then they left.",
    "Ms. Lee and Prof. **Kim** of the U.S. Army live at St. James. |They came to the U.S. |It is big.",
    "He has a Ph.D. in physics. |It took approx. 5 days.",
    "It was built by Acme Inc. |Two years ago it closed.",
    "The price is ３．１４ yuan. |Yes.",
    "See Ep. 3, est. 1950, on Rte. 66. |Yes.",
    "« Oui. » |Il part. |« Quoi ? » |Non.",
    "Er sagte: „Ja.“ |Dann ging er. |»Ja.« |Gut.",
    # other scripts
    "میرا نام احمد ہے۔ |میں لاہور میں رہتا ہوں۔ |شکریہ۔",
    "كيف حالك؟ |أنا بخير. |شكرا!",
    "मेरा नाम राम है। |मैं ठीक हूँ।",
    "मेरा नाम राम है।|मैं ठीक हूँ॥|क्या?|हाँ!|ठीक",
    "မင်္ဂလာပါ။ |နေကောင်းလား၊ ဟုတ်တယ်။",
    "Բարեւ ձեզ։ |Լավ եմ։",
    "សួស្តី។ |អ្នកសុខសប្បាយទេ?",
    "བཀྲ་ཤིས་བདེ་ལེགས། |ཁྱེད་རང་།",
    "ሰላም። |እንዴት ነህ፧ |ደህና።",
    "Καλημέρα; |Ναι. |Όχι!",
    "Привет. |Это А. С. Пушкин. |Да!",
    "გამარჯობა. |როგორ ხარ? |კი.",
    "שלום. |מה שלומך? |טוב.",
    "안녕하세요. |잘 지내세요? |네.",
    "你好。|我是助手！|好吗？",
    "你好!|今天天气很好?|我们出去吧!|价格是3.5元.|好",
    "今日は晴れ．|明日は雨．",
    "「はい。」|そうです。|「いいえ。」と言った。|「うん」",
    "こんにちは。 |お元気ですか？",
    "我想……不知道。|好",
]


@pytest.mark.parametrize("text", ENDS)
def test_sentences(text: str) -> None:
    pieces = text.split("|")
    for size in SIZES:
        assert cut("".join(pieces), size, first_piece=10_000) == pieces


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de-DE", "Das ist z.B. Gut. |Am 5. Oktober kam Nr. 5 mit ca. 3 Leuten. |Es war 1984. |Dann ging er."),
        ("fr-FR", "M. Dupont et Mme Martin sont là. |Oui."),
        ("es-ES", "El Sr. López vino. |¿Cómo estás? |¡Bien! |Sí."),
        ("ru-RU", "Он жил в г. Москва на ул. Ленина. |Да."),
        ("it-IT", "Il sig. Rossi c'è. |Sì."),
        ("pl-PL", "Pan dr. Kowalski mieszka na ul. Długiej. |Tak."),
        ("hy-AM", "Բարեւ ձեզ։ |It is 5 p.m. now. |Bye."),
        ("zz", "Hello there. |How are you?"),  # of a language that nobody knows
    ],
)
def test_the_abbreviations_of_a_language(language: str, text: str) -> None:
    pieces = text.split("|")
    for size in SIZES:
        assert cut("".join(pieces), size, first_piece=10_000, language=language) == pieces


def test_a_sentence_is_given_as_soon_as_its_end_is_sure() -> None:
    """What has to come after the mark before the piece is given: nothing more than what tells."""
    for text, sure in [
        ("How are you? ", ""),
        ("Hello there. ", "Y"),
        ("Go now.\n", ""),
        ("你好。", "我"),
        ("你好!", "我"),
        ("है। ", ""),
        ("I live in the U.S. ", "It "),
    ]:
        splitter = SentenceSplitter()
        assert splitter.feed(text) + splitter.feed(sure) == [text]


def test_the_first_piece_comes_at_a_comma_already() -> None:
    text = "Well then, let me have a look at it, and after that, we will see."
    assert cut(text) == ["Well then, let me have a look at it,", " and after that, we will see."]
    assert cut("这座城市的历史开始于九世纪，当时商人们在河边，后来。") == [
        "这座城市的历史开始于九世纪，",
        "当时商人们在河边，后来。",
    ]
    splitter = SentenceSplitter()
    assert splitter.feed("It has 123,456,789,123,456,789,123,456 parts") == []


def test_thai_ends_sentences_with_a_space() -> None:
    text = "วันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ แล้วค่อยกลับบ้าน " + "ประวัติศาสตร์ของเมืองนี้เริ่มต้นในศตวรรษที่เก้าเมื่อพ่อค้า สร้างบ้าน 5 หลัง"
    assert [len(piece) for piece in cut(text)] == [37, 76, 16] and "".join(cut(text)) == text


def test_code_links_and_tags_are_not_cut() -> None:
    for text in (
        "See [the page. It is good](http://x.y/a. b) now. |Yes.",
        "Say `a. B` now. |Yes.",
        'A <a title="x. Y">link</a> here. |Yes.',
    ):
        pieces = text.split("|")
        for size in SIZES:
            assert cut("".join(pieces), size, first_piece=10_000) == pieces


def test_a_sentence_without_end_is_cut_between_words_or_characters() -> None:
    text = "word " * 500
    pieces = cut(text)
    assert "".join(pieces) == text and all(len(piece) <= 220 and piece.endswith("word ") for piece in pieces)
    assert all(len(piece) <= 220 for piece in cut("x" * 1000))
    assert {len(piece) for piece in cut("名" * 365)[:-1]} == {73}  # as long to be said as 220 letters
    assert all(piece[0] != "\u0e49" for piece in cut("ก้" * 500))


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("aB1 .,!?…。、\n\"')e[`<]>।名ก้😀Dr"), max_size=400),
    st.integers(1, 50),
    st.sampled_from(["en", "de"]),
)
def test_the_pieces_are_the_text_however_it_comes(text: str, size: int, language: str) -> None:
    pieces = cut(text, size, max_piece=60, language=language)
    assert "".join(pieces) == text
    assert all(len(piece) <= 60 + 2 * size or len(piece) <= 400 for piece in pieces)


def test_hostile_text_takes_no_time_of_its_own() -> None:
    for text in ("a. B" * 8000, "[" * 32_000, "Dr. No. " * 4000, "名" * 32_000):
        assert "".join(cut(text, 32_768)) == text
