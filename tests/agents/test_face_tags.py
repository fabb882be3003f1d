"""Tags for the face in what a model writes: taken out whatever is in them, and kept in their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.agents.face_tags import MAX_TAG, FaceTags, Feeling, Mark, plain, read_tag

HAPPY = Feeling("happy")


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("<face smile/>", HAPPY),
        ("<FACE Smile Wave>", Feeling("happy", "wave")),
        ('<face mood="concerned" gesture="shake"/>', Feeling("concerned", "shake")),
        ("<face happy surprised/>", Feeling("surprised")),
        ("< face nod />", Feeling(None, "nod")),
        ("<face/>", None),
        ("<face explode/>", None),
        ("</face>", None),
    ],
)
def test_what_a_tag_says(tag: str, says: Feeling | None) -> None:
    assert read_tag(tag) == says
    assert plain(f"Well.{tag} Yes.") == "Well. Yes."


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<face smile/> Hello. <face nod/> Yes.<face wave/>", "Hello. Yes."),
        ("a <face onclick='alert(1)' smile src=http://a/b> b", "a b"),
        ("1 <2, <b>bold</b>, <faces>, <interface x>, x<y", "1 <2, <b>bold</b>, <faces>, <interface x>, x<y"),
        ("It is <fac", "It is <fac"),
        ("It is <face smi", "It is "),
        ("It is <face <face smile/> x", "It is <face x"),
        ("<face" + " a" * MAX_TAG + ">", "<face" + " a" * MAX_TAG + ">"),  # too long to be one
    ],
)
@given(data=st.data())
def test_they_are_not_said_however_they_are_cut(written: str, said: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=12)))
    tags, whole = FaceTags(), FaceTags()
    pieces = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert "".join(map(tags.feed, pieces)) + tags.end() == said == whole.feed(written) + whole.end()
    assert tags.waiting == whole.waiting


def test_their_places_are_found_in_sentences_that_are_laid_out_anew() -> None:
    tags = FaceTags()
    said = tags.feed("<face smile/>Hello there.\n\n<face nod/> Yes. <face wave/>") + tags.end()
    assert said == "Hello there.\n\nYes. "
    assert tags.take("", "Hello there. ") == (Mark(0, HAPPY), Mark(13, Feeling(None, "nod")))
    assert tags.take("Hello there. ", "Yes.") == (Mark(4, Feeling(None, "wave")),)
    assert tags.take("Hello there. Yes.", "") == ()
    late = FaceTags()
    late.feed("One. ")
    assert late.take("", "One.") == ()
    late.feed("<face nod/>Two.")
    assert late.take("One.", " Two.") == (Mark(1, Feeling(None, "nod")),)


def test_what_turns_out_to_be_a_thought_leaves_none() -> None:
    tags = FaceTags()
    tags.feed("Hmm. <face concerned/> I should think.")
    tags.restart("Hmm. ")
    assert tags.feed("<face smile/> Hello.") == "Hello."
    assert tags.take("Hmm. ", "Hello.") == (Mark(0, HAPPY),)


@pytest.mark.parametrize("begun", ["<" + " " * 30_000, "</" + "\n" * 30_000, "<face" + " a" * 15_000, "<" * 30_000])
def test_what_is_held_is_short(begun: str) -> None:
    tags, given = FaceTags(), ""
    for at in range(0, len(begun), 100):
        given += tags.feed(begun[at : at + 100])
        assert at + 100 - len(given) <= MAX_TAG + 22
    whole = FaceTags()
    assert len(whole.feed(begun)) >= len(begun) - MAX_TAG - 22


def test_many_at_one_place_are_one() -> None:
    tags = FaceTags()
    assert tags.feed("<face smile/><face wave/>" * 1000 + "<face sad/>Oh.") == "Oh."
    assert tags.waiting == [(0, Feeling("concerned", "wave"))]
