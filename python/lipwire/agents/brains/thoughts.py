"""What a model writes into its answer's text that is not to be said: thoughts and calls. In whatever pieces they come.

Services that know their model send them beside the text (`reasoning_content`, `tool_calls`). Those that do not pass on
what the model writes: <think> of DeepSeek and Qwen, [THINK] of Mistral, the channels of OpenAI's open models;
<tool_call> of Hermes, Qwen and GLM, [TOOL_CALLS] of Mistral, <function=...> of Llama, the sections of DeepSeek, Kimi,
Cohere and MiniMax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .calls import MAX_CALLS

_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
_PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (tuple(f"<{tag}>" for tag in _TAGS), tuple(f"</{tag}>" for tag in _TAGS)),
    (("[think]",), ("[/think]",)),
    (("◁think▷",), ("◁/think▷",)),
    (("<|start_thinking|>",), ("<|end_thinking|>",)),
    (("<|inner_prefix|>",), ("<|inner_suffix|>",)),
    (("<|begin_of_thought|>",), ("<|end_of_thought|>",)),
    (("<|channel|>analysis", "<|channel|>commentary"), ("<|end|>", "<|call|>", "<|channel|>final<|message|>")),
    (("<|channel>thought",), ("<channel|>",)),
)
_CALLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("<tool_call>", ("</tool_call>",)),
    ("<function=", ("</function>",)),
    ("<|python_tag|>", ("<|eom_id|>", "<|eot_id|>")),
    ("[tool_calls]", ("</s>",)),
    ("<seed:tool_call>", ("</seed:tool_call>",)),
    ("<minimax:tool_call>", ("</minimax:tool_call>",)),
    ("<tool_calls>", ("</tool_calls>",)),
    ("<function_call>", ("</function_call>",)),
    ("<function_calls>", ("</function_calls>",)),
    ("<invoke name=", ("</invoke>",)),
    ("<|tool_call|>", ("<|/tool_call|>", "</|tool_call|>")),
    ("<|tool_call_start|>", ("<|tool_call_end|>",)),
    ("<|start_action|>", ("<|end_action|>",)),
    ("<|action_start|><|plugin|>", ("<|action_end|>",)),
    ("<|tools_prefix|>", ("<|tools_suffix|>",)),
    ("<｜dsml｜function_calls>", ("</｜dsml｜function_calls>",)),
    ("<｜tool▁calls▁begin｜>", ("<｜tool▁calls▁end｜>",)),
    ("<｜tool▁call▁begin｜>", ("<｜tool▁call▁end｜>",)),
    ("<|tool_calls_section_begin|>", ("<|tool_calls_section_end|>",)),
    ("<|tool_call_section_begin|>", ("<|tool_call_section_end|>",)),
    ("<|tool_call_begin|>", ("<|tool_call_end|>",)),
)
_KEPT = ("<function=", "<invoke name=", "<｜tool▁call▁begin｜>", "<|tool_call_begin|>")
"""Marks of calls by which what follows is read."""
_CLOSES = frozenset(mark for _, closes in _PAIRS[:5] for mark in closes)
"""Those that also come without an opening: the model's template has put that into the question."""
_BESIDE = (
    "<|start|>assistant",
    "<|channel|>final<|message|>",
    "<|return|>",
    "<|end|>",
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|start_response|>",
    "<|end_response|>",
    "<|begin_of_box|>",
    "<|end_of_box|>",
    "</tool_call>",
    "<｜tool▁calls▁end｜>",
    "<|tool_calls_section_end|>",
    "<answer>",
    "</answer>",
)
"""Marks around the answer itself."""
_FIRST = "<[◁"
"""What marks begin with."""


class _Marks:
    """Marks to look for, in capital letters or not."""

    def __init__(self, marks: Iterable[str]) -> None:
        self._marks = sorted(marks, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, self._marks)), re.IGNORECASE)
        self.longest = len(self._marks[0])

    def find(self, text: str, at: int) -> re.Match[str] | None:
        """The first one from `at` on; the longest, where several begin there."""
        return self._any.search(text, at)

    def begun(self, text: str, at: int) -> int:
        """Where the first one begins whose end is yet to come; the end of the text, if none does."""
        for start in range(max(len(text) - self.longest + 1, at), len(text)):
            if text[start] in _FIRST and any(mark.startswith(text[start:].lower()) for mark in self._marks):
                return start
        return len(text)


_ENDS = [_Marks(closes) for _, closes in _PAIRS]
_OPENS = {mark: end for (opens, _), end in zip(_PAIRS, _ENDS, strict=True) for mark in opens}
_CALL_ENDS = {mark: _Marks(closes) for mark, closes in _CALLS}
_OUTSIDE = _Marks((*_OPENS, *_CALL_ENDS, *_CLOSES, *_BESIDE))
MAX_WRITTEN = 1 << 17
"""Characters of calls in the text that are kept."""


class ThoughtFilter:
    """Text in, what of it is to be said out. A mark may be cut anywhere.

    Args:
        hold: the model is known to begin with thoughts that it does not open: nothing is said before they are closed,
            or the reply is over.
    """

    def __init__(self, hold: bool = False) -> None:
        self.thought = False
        """Whether there were thoughts."""
        self.unopened = 0
        """How often what came before turned out to be thoughts, which nothing had opened."""
        self.written: list[str] = []
        """What was written as calls, without their marks."""
        self.held = ""
        """What is not said until more has come."""
        self._hold = hold
        self._end: _Marks | None = None
        """What ends the thought, or the call, that is open."""
        self._calls = False
        """Whether that is a call, to be kept."""
        self._kept = 0
        self._looked = 0
        """How much of `held` has no mark."""
        self._said = False

    def release(self) -> None:
        """The service sends thoughts beside the text: what it sends as text is not held."""
        self._hold = False

    def feed(self, text: str) -> str:
        """More text; returns what is to be said. What was returned before is not to be, if `unopened` has grown."""
        text, at, out = self.held + text, 0, list[str]()
        look = self._looked
        while (mark := (self._end or _OUTSIDE).find(text, look)) is not None:
            before = text[at : mark.start()]
            if self._end is None:
                out.append(before)
                self._passed(mark[0].lower(), out)
            else:
                self._inside(before)
                self._end, self._calls = None, False
            at = look = mark.end()
        begun = (self._end or _OUTSIDE).begun(text, at)
        if self._end is not None:
            self._inside(text[at:begun])
        elif self._hold:
            begun = at
        else:
            out.append(text[at:begun])
        self.held = text[begun:]
        self._looked = max(len(self.held) - _OUTSIDE.longest, 0)
        return self._say("".join(out))

    def _passed(self, mark: str, out: list[str]) -> None:
        """A mark outside of thoughts; `out`: what came before it."""
        if mark in _OPENS:
            self._end, self.thought, self._hold = _OPENS[mark], True, False
        elif mark in _CALL_ENDS:
            self._end, self._calls, self._hold = _CALL_ENDS[mark], len(self.written) < MAX_CALLS, False
            if self._calls:
                self.written.append(mark if mark in _KEPT else "")
        elif mark in _CLOSES:
            self.unopened += self._said or bool("".join(out).strip())
            out.clear()
            self.thought, self._said, self._hold = True, False, False

    def _inside(self, text: str) -> None:
        if self._calls and self._kept < MAX_WRITTEN:
            self.written[-1] += text
            self._kept += len(text)

    def end(self) -> str:
        """The reply is over; returns what is left to be said."""
        left, self.held, self._looked = self.held, "", 0
        if self._end is None:
            return self._say(left)
        self._inside(left)
        return ""

    def drop_half(self) -> str | None:
        """The reply was cut off: forgets the call in which that was, if it is no JSON to its end; returns it."""
        if self._end is None or not self._calls or self.written[-1].rstrip().endswith(("}", "]")):
            return None
        return self.written.pop()

    def _say(self, text: str) -> str:
        if not self._said:
            text = text.lstrip()
            self._said = bool(text)
        return text
