"""What a model thinks aloud is taken out of its text, wherever that is cut."""

from __future__ import annotations

import pytest

from lipwire.agents.brains.thoughts import ThoughtFilter

SAID = "Hello! How can I help?"
MARKS = [
    "<think>\nHm, a < b.\n</think>\n\n",
    "  <think></think>\n",
    "<THINK>one</think><think>two</Think>\n",
    "<thinking>x</thinking>",
    "<thought>x</thinking> ",
    "<seed:think>x</seed:think>",
    "[THINK]x [1][/THINK]",
    "◁think▷x◁/think▷",
    "<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>",
    "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>",
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
    "<|channel>thought\nx<channel|>",
    "<think>x</think><answer>",
    "<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>",
    "<|inner_prefix|>x<|inner_suffix|>",
]


def said(pieces: list[str], hold: bool = False) -> str:
    thoughts, out = ThoughtFilter(hold), ""
    for piece in pieces:
        count = thoughts.unopened
        text = thoughts.feed(piece)
        out = text if thoughts.unopened > count else out + text
    return out + thoughts.end()


@pytest.mark.parametrize("thought", MARKS)
def test_thoughts_are_not_said(thought: str) -> None:
    text = thought + SAID
    assert said([text]) == said(list(text)) == SAID
    for cut in range(len(text)):
        assert said([text[:cut], text[cut:]]) == SAID, cut
    assert said(list(text), hold=True) == SAID


def test_one_in_the_middle_and_one_that_is_never_closed() -> None:
    assert said(list("Well. <think>hm</think>Yes.")) == "Well. Yes."
    assert said(list("Well. <think>hm and hm")) == "Well. "
    assert said(["<think>hm"]) == ""


def test_what_nothing_opens_is_a_thought_up_to_its_end() -> None:
    text = "The user greets me. </think>\n\n" + SAID
    assert said([text]) == said(list(text)) == said(list(text), hold=True) == SAID
    thoughts = ThoughtFilter()
    assert thoughts.feed("The user greets me. ") == "The user greets me. "
    assert thoughts.feed("</think>Hi.") == "Hi." and thoughts.unopened == 1


def test_what_is_held_is_said_when_there_are_no_thoughts() -> None:
    assert said(["Just ", "this."], hold=True) == "Just this."
    thoughts = ThoughtFilter(hold=True)
    assert thoughts.feed("Hello ") == "" and thoughts.held == "Hello "
    thoughts.release()
    assert thoughts.feed("there.") == "Hello there."


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("<tool_call>{}</tool_call>", "{}"),
        ("<tool_call>\n{}", "\n{}"),
        ("<function=f>{}</function>", "<function=f>{}"),
        ('[TOOL_CALLS][{"a": "<think>"}]', '[{"a": "<think>"}]'),
        ("<|python_tag|>{}<|eom_id|>", "{}"),
        ("<｜tool▁calls▁begin｜>{}<｜tool▁calls▁end｜>", "{}"),
        ("<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜>", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"),
        ("<|tool_calls_section_begin|>{}<|tool_calls_section_end|>", "{}"),
        ("<|tool_call_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", "<|tool_call_begin|>{}"),
        ("<|START_ACTION|>[{}]<|END_ACTION|>", "[{}]"),
        ("<｜DSML｜function_calls>{}</｜DSML｜function_calls>", "{}"),
        ("<minimax:tool_call>{}</minimax:tool_call>", "{}"),
        ('<invoke name="f">{}</invoke>', '<invoke name="f">{}'),
    ],
)
def test_calls_in_the_text_are_kept_and_not_said(call: str, written: str) -> None:
    text = "<think>x</think>One moment. " + call
    for cut in range(len(text)):
        thoughts = ThoughtFilter()
        said = thoughts.feed(text[:cut]) + thoughts.feed(text[cut:]) + thoughts.end()
        assert (said, thoughts.written) == ("One moment. ", [written])
    thoughts = ThoughtFilter()
    thoughts.feed("<tool_call>x</tool_call>" * 1000 + "<tool_call>" + "x" * 1_000_000)
    assert sum(map(len, thoughts.written)) == len(thoughts.written) == 16


@pytest.mark.parametrize("text", ["1 < 2 and <b>bold</b> [sic] <thin air>", "a <", "<|", "ends in [thin", "İ < i"])
def test_other_marks_stay(text: str) -> None:
    assert said([text]) == said(list(text)) == text
