"""Times of words from what services say of them."""

from __future__ import annotations

import pytest

from lipwire.agents.speech.vendors.timing import WordTimes


def timed(text: str, *said: tuple[str, float, float]) -> list[tuple[str, int, int]]:
    times = WordTimes(text)
    found = [word for one in said for word in times.said(*one)] + times.end()
    return [(word.text, word.start_ms, word.duration_ms) for word in found]


@pytest.mark.parametrize(
    ("text", "said", "words"),
    [
        ("I paid it.", [("I", 0, 0.1), ("paid", 0.2, 0.5), ("it.", 0.6, 0.9)],
         [("I", 0, 100), ("paid", 200, 300), ("it.", 600, 300)]),
        # by characters
        ("Oh no", [("O", 0, 0.1), ("h", 0.1, 0.2), (" ", 0.2, 0.3), ("n", 0.3, 0.4), ("o", 0.4, 0.6)],
         [("Oh", 0, 200), ("no", 300, 300)]),
        # as the service writes them: without marks, in small letters, one left out, one that is not there
        ("Well, Mr. X paid.", [("well", 0, 0.2), ("mister", 0.2, 0.4), ("x", 0.4, 0.5), ("paid", 0.5, 0.9)],
         [("Well, Mr.", 0, 200), ("X", 400, 100), ("paid.", 500, 400)]),
        # several words as one
        ("New York is big", [("New York", 0, 0.8), ("is", 1, 1.1), ("big", 1.2, 1.4)],
         [("New", 0, 300), ("York", 400, 400), ("is", 1000, 100), ("big", 1200, 200)]),
        # what comes first has no time
        ("— yes", [("yes", 0.3, 0.6)], [("— yes", 300, 300)]),
        ("これ", [("こ", 0, 0.2), ("れ", 0.2, 0.4)], [("こ", 0, 200), ("れ", 200, 200)]),
        ("no no", [("no", 0, 0.2), ("no", 0.3, 0.5)], [("no", 0, 200), ("no", 300, 200)]),
        ("İstanbul is", [("İstanbul", 0, 0.2), ("is", 0.3, 0.5)], [("İstanbul", 0, 200), ("is", 300, 200)]),
        ("hello", [], []),
    ],
)  # fmt: skip
def test_words(text: str, said: list[tuple[str, float, float]], words: list[tuple[str, int, int]]) -> None:
    assert timed(text, *said) == words


def test_a_word_is_told_as_soon_as_the_next_one_begins() -> None:
    times = WordTimes("one two three")
    assert times.said("one", 0, 0.2) == []
    assert [word.text for word in times.said("two", 0.2, 0.4)] == ["one"]
    assert [word.text for word in times.said("three", 0.4, 0.6)] == ["two"]
    assert [word.text for word in times.end()] == ["three"]
    assert times.end() == []
