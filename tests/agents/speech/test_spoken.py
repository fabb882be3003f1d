"""agents/speech/spoken.py: what is said of a text, and what is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.agents.speech.spoken import speakable

WHOLE = [
    "42.", "1.", "There are 7 left.", "4711. That is your code.", "+", "%", "€", "No.", "B", "3", "½", "#", "°", "你",
    "5 * 3 is fifteen.", "2*3*4", "2*(3+4)", "2**3", "a*b", "snake_case",
    "It is written in C# today.", "You are number #1 here.",
    "It takes ~5 minutes.", "$5~$10", "~€20, ~-3°C", "$5 ~ $10", "~½ cup",
    "Open https://example.com/my_page*x now.", "C++, F# and .NET",
    "50% & 3 + 4 = 7 @home 20°C $5 5€ 3 x 4 5/10 -5", "5 < 6 and 7 > 3", "if x<y and z>w then", "3–5, 3~5, ±2, x ≤ 5",
    "$5 and $10, or $5-$10", "US$5", "Press * or #.", "Press [1] to go on.", "a[0] is first", "№ 5, ℃, ™, ©",
    "क्\u200dष", "می\u200cخواهم", "10:30:00", '{"a": 1}', "[Name] is here", "#hashtag", "AT&T", "x^2", "~/bin",
    "C:\\Users\\new", "foo—bar – baz", "Well... yes", "a || b", "3～5",
]  # fmt: skip
"""Text that is said as it stands."""

MARKED = {
    "**Hello** [there](http://x.y) `you`!": "Hello there you!",
    "*a* _b_ ***c*** __d__ ~~e~~ **f**g": "a b c d e fg",
    "这是**重点**内容和*强调*字": "这是重点内容和强调字",
    "* item with *emph*": "item with emph",
    "- one\n- two": "one two",
    "- [ ] todo\n- [x] done": "todo done",
    "1. First\n2) Second": "1. First 2) Second",
    "# Title\n## Sub ##": "Title Sub",
    "> quote\n> > more": "quote more",
    "| a | b |\n|---|:-:|\n| 1 | 2 |": "a, b 1, 2",
    "a | b | c": "a, b, c",
    "---": "", "***": "", "* * *": "", "| - | - |": "", "====": "",
    "```python\nprint(x_1 * 2)\n```": "print(x_1 * 2)",
    "~~~": "",
    "Use `a * b_c` and ``x`y``": "Use a * b_c and x`y",
    "![cat](http://x/c.png) [![b](i)](u) [a](http://x/y_(z) \"t\") [a][ref] [a][1]": "cat b a a a",
    "<https://x.y/a_b> <me@x.org>": "https://x.y/a_b me@x.org",
    "[1]: http://x.y/z": "",
    "[^1]: A note": "A note",
    "5 \\* 3 and \\_x\\_": "5 * 3 and _x_",
    "This is so [1]. And[2][3] that [1, 2], foo[^1] bar【4†source】.": "This is so. And that, foo bar.",
    # tags and tokens
    "Hello<br>there, <b>my</b> f<i>rien</i>d.": "Hello there, my friend.",
    "<p class=\"x\">Hi</p><!-- not this -->": "Hi",
    "5 &lt; 6 &amp; 7&nbsp;x": "5 < 6 & 7 x",
    "git checkout <branch> <x/>": "git checkout branch",
    "<speak>Hi <break time=\"1s\"/><prosody rate='fast'>there</prosody></speak>": "Hi there",
    "<say-as interpret-as=\"digits\">12</say-as> <sub alias=\"World Wide Web\">WWW</sub>": "12 World Wide Web",
    "Sure thing.<|im_end|>": "Sure thing.",
    "Yes</s> <｜end▁of▁sentence｜>[INST] <<SYS>> <end_of_turn>": "Yes",
    # LaTeX
    "$x^2$ and $\\frac{a}{b}$, \\(x_1 \\times y\\)": "x² and a/b, x 1 × y",
    "\\[E = mc^2\\] $$\\sqrt{2} \\approx 1.4$$": "E = mc² √2 ≈ 1.4",
    "$\\frac{a+b}{2}$ \\boxed{42} \\frac12": "(a+b)/2 42 1/2",
    "$90^\\circ$, $\\alpha \\leq 5\\%$": "90°, α ≤ 5%",
    # arrows, emoji, symbols
    "Settings → Privacy -> Location => OK": "Settings, Privacy, Location, OK",
    "A ➡️ B": "A, B",
    "Great! \U0001f600 See you soon \U0001f44d\U0001f3fd.": "Great! See you soon.",
    "1️⃣ ★ ✓ ☎️ ♪ ❤️ love 🇩🇪 👨\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e007f": "1 love",
    "Great😀Bye": "Great Bye",
    "Nice :) ok :smile: ;-)": "Nice ok",
    "好的~": "好的",
    "\ud83d hi \x00\u200b\ufeffthere": "hi there",
}  # fmt: skip


@pytest.mark.parametrize("text", WHOLE)
def test_signs_with_a_meaning_are_said(text: str) -> None:
    assert speakable(text) == text
    assert speakable(f"So: {text}") == f"So: {text}"


@pytest.mark.parametrize("text", MARKED)
def test_marks_of_layout_are_not_said(text: str) -> None:
    assert speakable(text) == MARKED[text]


@pytest.mark.parametrize(
    "text", ["", " \n", '"...', "**", "```", "|", "?!", "😀", "—", "•", "- ", "...", "<br>", "_", "\ud83d"]
)
def test_what_nobody_says(text: str) -> None:
    assert speakable(text) == ""


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1 *_`~#|[]()<>\\${}^&;:-=!.\n😀→\ue000"), max_size=80))
def test_words_and_numbers_stay_in_order(text: str) -> None:
    said = speakable(text)
    assert "\n" not in said and said == said.strip() and "😀" not in said and "\ue000" not in said


def test_hostile_text_takes_no_time_of_its_own() -> None:
    began = time.process_time()
    for part in (
        "*",
        "[",
        "<a ",
        "`",
        "$",
        "\\(",
        "|",
        "\\frac{",
        "<a b=",
        ":",
        "a[1]",
        "{",
        "- ",
        "![a](",
        "<!--",
        "=-",
    ):
        speakable(part * 2000)
    assert time.process_time() - began < 10
