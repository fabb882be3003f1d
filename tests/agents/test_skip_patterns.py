"""Brackets that are not spoken, in any pieces."""

from __future__ import annotations

import pytest

from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.face_tags import Feeling, Mark
from lipwire.agents.skip_patterns import MAX_SKIPPED, Brackets, beside, check_skip_patterns
from lipwire.agents.speech.spoken import speakable
from lipwire.errors import InvalidArgument


def cut(text: str, *kinds: int, step: int = 1) -> tuple[str, list[str]]:
    """What is spoken of a text that comes in pieces, and its brackets."""
    brackets = Brackets(kinds)
    given = "".join(brackets.feed(text[at : at + step]) for at in range(0, len(text), step)) + brackets.end()
    shown = brackets.shown(given, ())
    assert speakable(given) == speakable(shown.text), "no voice says what stands for a bracket"
    return shown.text, shown.ahead + shown.behind


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "kinds", "spoken", "skipped"),
    [
        ("Hello (waves) there.", (3,), "Hello there.", ["(waves)"]),
        ("Hello (waves).", (3,), "Hello.", ["(waves)"]),
        ("Well (a) (b), yes", (3,), "Well, yes", ["(a)", "(b)"]),
        ("(smiles) Good.", (3,), "Good.", ["(smiles)"]),
        ("Good. (smiles)", (3,), "Good.", ["(smiles)"]),
        ("(nods)", (3,), "", ["(nods)"]),
        ("你好（笑）。【旁白】再见。", (1, 2), "你好。再见。", ["（笑）", "【旁白】"]),
        ("a [b] {c} (d)", (4, 5), "a (d)", ["[b]", "{c}"]),
        ("a (b (c) [d] e) f", (3, 4), "a f", ["(b (c) [d] e)"]),
        ("a [b (c) d] e", (3,), "a [b d] e", ["(c)"]),
        ("a (b [c) d", (3, 4), "a d", ["(b [c)"]),
        ("a) b (c) d", (3,), "a) b d", ["(c)"]),
        ("It is (not closed. Is it?", (3,), "It is (not closed. Is it?", []),
        ("It is (not [closed] at all", (3, 4), "It is (not at all", ["[closed]"]),
        ("So (it goes\n\nOn (and on) it goes", (3,), "So (it goes\n\nOn it goes", ["(and on)"]),
        ("Sorry :( It is late (sighs).", (3,), "Sorry :( It is late.", ["(sighs)"]),
        ("Note:(see below) it", (3,), "Note: it", ["(see below)"]),
        ("Well (<face smile/>smiles).", (3,), "Well.", ["(smiles)"]),
        ("All (of it) is said.", (), "All (of it) is said.", []),
        ("\U000f0000 A (b)", (3,), " A", ["(b)"]),
    ],
)
def test_what_is_spoken(text: str, kinds: tuple[int, ...], spoken: str, skipped: list[str], step: int) -> None:
    assert cut(text, *kinds, step=step) == (spoken, skipped)


def test_a_bracket_that_nobody_closes_holds_up_no_more_than_its_limit() -> None:
    brackets = Brackets([3])
    given = "".join(brackets.feed(piece) for piece in ["So ", "(", "word " * 200, "and"])
    assert given == "So (" + "word " * 200 + "and" and not brackets.end()
    assert cut("(" + "a" * (MAX_SKIPPED - 1) + ")", 3)[1], "as long as one may be"
    assert cut("(" * 5000, 3) == ("(" * 5000, [])


def test_what_was_taken_back_is_not_held() -> None:
    brackets = Brackets([3])
    assert brackets.feed("Let me (") == "Let me "
    brackets.restart()
    assert brackets.feed("see.") == "see." and brackets.end() == ""


def test_marks_stay_at_their_words() -> None:
    brackets, feeling = Brackets([3]), Feeling("happy")
    given = brackets.feed("Well (a) yes (b) no.")
    marks = [Mark(given.index(word), feeling) for word in ("Well", "yes", "no")]
    shown = brackets.shown(given, marks)
    assert shown.text == "Well yes no." and [mark.at for mark in shown.marks] == [0, 5, 9]
    assert (shown.ahead, shown.behind) == ([], ["(a)", "(b)"])


def test_pieces_know_their_own() -> None:
    brackets = Brackets([3])
    given = brackets.feed("(a) One (b). (c) Two (d).")
    first, second = given[: given.index(".") + 2], given[given.index(".") + 2 :]
    assert brackets.shown(first, ()).ahead == ["(a)"] and brackets.shown(first, ()).behind == ["(b)"]
    assert brackets.shown(second, ()).ahead == ["(c)"] and brackets.shown(second, ()).behind == ["(d)"]


def test_a_bracket_is_read_with_the_blanks_of_its_script() -> None:
    assert [beside("Well.", "(a)"), beside("Well. ", "(a)"), beside("", "(a)"), beside("好。", "（笑）")] == [
        " (a)", "(a) ", "(a) ", "（笑）"
    ]  # fmt: skip


def test_where_there_are_none() -> None:
    check_skip_patterns(AgentConfig(name="a", channel="c", skip_patterns=[1, 2, 3, 4, 5]))
    with pytest.raises(InvalidArgument, match="has 6; there are 1 （）"):
        check_skip_patterns(AgentConfig(name="a", channel="c", skip_patterns=[3, 6]))
    for agent in (
        AgentConfig(name="a", channel="c", skip_patterns=[3], brain="realtime"),
        AgentConfig(name="a", channel="c", skip_patterns=[3], llm=Llm(output_modalities=["text", "audio"])),
    ):
        with pytest.raises(InvalidArgument, match="makes the sound itself"):
            check_skip_patterns(agent)
