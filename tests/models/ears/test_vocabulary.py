"""lipwire.models.ears.vocabulary: tokens to text and words, on small vocabularies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipwire.errors import ModelFailed
from lipwire.models.ears.vocabulary import LANGUAGES, Vocabulary, language_of

SPACE, BYTES_OF_NI = "\u0120", "\u00e4\u00bd\u0142"
"""GPT-2's alphabet: a space, and the three bytes of 你 (E4 BD A0)."""
TOKENS = [
    SPACE + "Hel", "lo", ",", SPACE + "wor", "ld", "!", SPACE + '"', BYTES_OF_NI[:2], BYTES_OF_NI[2:], "\u00c4",
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|yue|>", "<|translate|>", "<|notimestamps|>",
    "<|0.00|>", "<|0.02|>", "<|0.04|>",
]  # fmt: skip


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    (tmp_path / "vocabulary.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    return Vocabulary(tmp_path)


def test_text_and_times(vocabulary: Vocabulary, tmp_path: Path) -> None:
    assert vocabulary.text([16, 0, 1, 2, 3, 4, 5, 17, 10]) == " Hello, world!"
    assert vocabulary.text([7, 8, 9]) == "你"  # and half a character, which is left out
    assert vocabulary.languages == ("en", "yue") and vocabulary.number("<|yue|>") == 13
    assert [vocabulary.seconds(number) for number in (15, 16, 18)] == [None, 0.0, pytest.approx(0.04)]
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "vocabulary.json").write_text(json.dumps(TOKENS))
    assert Vocabulary(tmp_path / "json").tokens == vocabulary.tokens


def test_a_text_as_tokens_that_say_the_same(vocabulary: Vocabulary) -> None:
    assert vocabulary.numbers(" Hello, world!") == [0, 1, 2, 3, 4, 5]
    assert vocabulary.numbers("你lo, x world") == [7, 8, 1, 2, 3, 4]  # what no token says is left out
    assert vocabulary.numbers("") == [] and vocabulary.before is None


def test_words(vocabulary: Vocabulary) -> None:
    assert vocabulary.words([0, 1, 2, 3, 4, 5, 6], "en") == [("Hello,", 0, 3), ('world!"', 3, 7)]
    assert vocabulary.words([7, 8, 2, 7, 8], "zh") == [("你,", 0, 3), ("你", 3, 5)]
    assert vocabulary.words([], "en") == []


@pytest.mark.parametrize(
    ("tag", "language"),
    [("en-US", "en"), ("DE_at", "de"), ("nb-NO", "no"), ("zh-Hant-TW", "zh"), ("fil", "tl"), ("tlh", "tlh")],
)
def test_languages(tag: str, language: str) -> None:
    assert language_of(tag) == language and (language in LANGUAGES) == (tag != "tlh")


def test_what_is_no_vocabulary_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match=r"neither vocabulary\.json nor vocabulary\.txt"):
        Vocabulary(tmp_path)
    path = tmp_path / "vocabulary.json"
    for text, why in (("[1]", "damaged"), ('["日本"]', "is no token"), ('["a"]', "lacks '<|0.00|>'")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ModelFailed, match=why.replace("|", r"\|").replace(".", r"\.")):
            Vocabulary(tmp_path)
