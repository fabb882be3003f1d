"""Phrases in what was said."""

from __future__ import annotations

import pytest

from lipwire.agents.speech.phrases import ends, found, plain


@pytest.mark.parametrize(
    ("text", "phrases", "hit"),
    [
        ("Please, STOP!", ["stop"], "stop"),
        ("I am stopping now", ["stop"], None),
        ("nonstop", ["stop"], None),
        ("Now hold-on, you", ["Hold on", "holdon"], "holdon"),
        ("now hold on you", ["stop", "Hold on"], "Hold on"),
        ("不要停下来", ["停"], "停"),
        ("ok 停", ["停", "ok"], "停"),
        ("ストップしてください", ["ストップ"], "ストップ"),
        ("a stop at stops", ["stops", "stop"], "stops"),
        ("", ["stop"], None),
        ("stop", ["", "..."], None),
        ("Straße", ["STRASSE"], "STRASSE"),
    ],
)
def test_a_phrase_is_found_as_whole_words(text: str, phrases: list[str], hit: str | None) -> None:
    assert found(text, phrases) == hit


def test_plain_texts_and_where_phrases_end_in_them() -> None:
    assert plain(" Don't -- you  KNOW? ") == "dont you know"
    assert [ends("ab cd", at) for at in range(6)] == [True, False, True, True, False, True]
