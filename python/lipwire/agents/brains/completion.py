"""One answer of a chat service as its events come in; no I/O.

Format: OpenAI's chat.completion.chunk, and the `audio` deltas of protocol.md C; other dialects' events are put into
that form first (`dialects`). What services make of it is read too, by what it is and not by what it is called: whole
answers, wrong labels, content in parts, thoughts beside the text and in it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection
from typing import Any

import regex
from msgspec import Struct

from ..http import ServiceError
from .calls import MAX_EXTRA, Call, CallPieces, join_halves, read_bare, read_written
from .thoughts import ThoughtFilter

MAX_TEXT = 32_768
"""Characters of a reply: half an hour of speech. What comes after is not read."""
MAX_REASONING = 1 << 18
"""Characters of thoughts that go back with calls."""
MAX_AUDIO_MS = 30 * 60_000
MAX_BAD = 8
"""Events of a stream that may be no JSON before it is given up."""
RATE = 16_000
"""Hz of the sound in `audio` deltas, as protocol.md says."""

Reader = Callable[[dict[str, Any]], dict[str, Any]]
"""An event of a service's own dialect as a chat.completion.chunk; errors stay as they are."""


class Piece(Struct, frozen=True):
    """More of a reply; with audio, `text` is its transcript."""

    text: str = ""
    pcm: bytes = b""
    last: bool = False
    """Nothing follows: known before the stream ends."""
    unsaid: bool = False
    """The text before it was not to be said: the model was thinking."""


class BrokeOff(ServiceError):
    """The service sent an error in the place of more. `said`: its words, which are not for everyone."""

    def __init__(self, said: str) -> None:
        super().__init__("the LLM broke off with an error")
        self.said = said


_THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "reasoning_details",
    "thinking",
    "thinking_blocks",
    "thoughts",
)
"""Members of a delta in which services send what the model thinks."""
_MEMBERS = ("content", "refusal", "audio", "tool_calls", "function_call", *_THOUGHTS)
"""Those that are read."""
_ALIVE = frozenset({"ping", "pong", "keepalive", "keep-alive", "heartbeat"})
"""What services send as data, so that the connection stays."""
_HELD_BACK = re.compile(r"filter|safety|prohibited|recitation|blocklist|moderation|spii|refusal")
_CUT_OFF = re.compile(r"length|max_tokens")
_BARE = regex.compile(
    r"""(?:```(?:json)?)?\s{0,99}(?:\[\s{0,99})?\{\s{0,99}"(?:name|type|function|parameters|arguments|id)"\s{0,99}:"""
)
"""How a call that is all of a text begins. It is looked for anew with each piece: so long at most."""


def _thinks(part: dict[str, Any]) -> bool:
    """Whether a part of the content is thought."""
    kind = str(part.get("type") or "")
    return "thinking" in kind or "reasoning" in kind or part.get("thought") is True or "thinking" in part


class Completion:
    """One answer of the service as its events come in.

    Args:
        names: of the functions that there are.
        read: puts an event of another dialect into the form of chat completions (`dialects`).
    """

    def __init__(self, names: Collection[str] = (), read: Reader | None = None) -> None:
        self._read = read
        self.text = ""
        """What is to be said, without what the model thinks."""
        self.finish_reason: str | None = None
        self.done = False
        """The service said that nothing follows."""
        self.audio_ms = 0.0
        self.refusal = ""
        """The part of the text in which the model says that it will not answer."""
        self.reasoning = ""
        """`reasoning_content`, which services that send it beside calls want back with what came of those."""
        self.problems: list[str] = []
        """What of it could not be read, and is missing."""
        self.moves = 0
        """Counts what comes of it, thoughts included."""
        self._names = names
        self._thoughts = ThoughtFilter()
        self._pieces = CallPieces(names)
        self._unmarked = ""
        """All of the text, while it may be a call that nothing marks."""
        self._half_call = False
        """Whether it was cut off in the middle of a call."""
        self._made: list[Call] | None = None
        self._streamed: set[str] = set()
        """Members that deltas had."""
        self._replaced = 0
        """How often what was said before was not to be said."""
        self._bad = 0
        self._half = ""
        """Half of a character that takes two surrogates, whose other half is yet to come."""
        self._odd = b""
        """A byte of sound whose other half is yet to come."""

    def hold(self) -> None:
        """The model is known to begin with thoughts that nothing opens."""
        self._thoughts = ThoughtFilter(hold=True)

    @property
    def thinks_unopened(self) -> bool:
        """Whether the model has thought in what it seemed to say."""
        return self._thoughts.unopened > 0

    @property
    def began(self) -> bool:
        """Something of it has come, other than thoughts."""
        return bool(self.text or self.audio_ms) or bool(self._pieces)

    @property
    def over(self) -> bool:
        """Nothing follows."""
        return self.done or self.finish_reason is not None

    @property
    def calls(self) -> list[Call]:
        """The calls, in order, once the reply is over."""
        if self._made is None or not self.over:
            self._made = self._pieces.calls()
        return self._made

    @property
    def _cut_off(self) -> bool:
        """Whether the service's limit ended it."""
        return bool(_CUT_OFF.search((self.finish_reason or "").lower()))

    @property
    def held_back(self) -> bool:
        """Whether the service's filter ended it."""
        return bool(_HELD_BACK.search((self.finish_reason or "").lower()))

    def shortcoming(self, said: bool) -> str | None:
        """Why it is no answer, though it ended; None = it is one. `said`: something was said in the reply before it."""
        reason = (self.finish_reason or "")[:60]
        if self.held_back:
            return "the LLM's answer was held back by its content filter"
        if self.text.strip() or self.audio_ms or self.calls:
            return None
        if self._cut_off:
            if self._half_call:
                return f"the LLM was cut off at its length limit ({reason}) in the middle of a call"
            thoughts = "its thoughts" if self._thoughts.thought or self.moves else "its answer"
            return f"the LLM was cut off at its length limit ({reason}) before {thoughts} came to a word"
        if reason in ("tool_calls", "function_call") or "function" in reason.lower():
            return f"the LLM ended with {reason!r}, and calls no function"
        return None if said else f"the LLM answered with nothing ({reason or 'no reason given'})"

    def take(self, data: str, rate: int = RATE) -> Piece | None:
        """One event. Raises ServiceError: it is an error, or one too many that is no JSON, or the reply is too long."""
        ended, count = self.over, self._taken_back
        text, pcm = "", b""
        for chunk in self._chunks(data):
            known = self._taken_back
            try:
                more, sound = self._chunk(chunk, rate)
            except RecursionError as exc:
                raise ServiceError("the LLM's stream is broken: an event is nested too deeply") from exc
            text = more if self._taken_back > known else text + more
            pcm += sound
        last = self.over and not ended
        if last:
            text += self._end()
        unsaid = self._taken_back > count and bool(self.text.strip())
        self._unmarked = "" if self._taken_back > count else self._unmarked
        self.text = "" if unsaid else self.text
        text = self._not_called(text)
        self.text += text
        if max(len(self.text), len(self._thoughts.held), len(self._unmarked)) > MAX_TEXT:
            raise ServiceError(f"the LLM's reply has more than {MAX_TEXT} characters; it was cut off there")
        return Piece(text, pcm, last, unsaid) if text or pcm or last or unsaid else None

    @property
    def _taken_back(self) -> int:
        return self._thoughts.unopened + self._replaced

    def _chunks(self, data: str) -> list[dict[str, Any]]:
        """The objects of an event: one; none, where it is the last or a sign of life; or, from services that forget the
        empty line, one a line."""
        word = data.strip(" []\t\r\n").lower() if len(data) < 32 else data
        self.done = self.done or word == "done"
        if self.done or not word or word in _ALIVE:
            return []
        try:
            found = [json.loads(data)]
        except (ValueError, RecursionError) as exc:
            try:
                lines = [line.strip() for line in data.splitlines()]
                found = [json.loads(line) for line in lines if line and line != "[DONE]"]
                self.done = self.done or "[DONE]" in lines
            except (ValueError, RecursionError):
                return self._unread(f"no JSON: {exc}")
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if not all(isinstance(one, dict) for one in found):
            return self._unread("no object")
        if self._read is None:
            return found
        try:
            return [self._read(one) for one in found]
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as exc:
            return self._unread(f"not what it should be: {type(exc).__name__} {exc}")

    def _unread(self, why: str) -> list[dict[str, Any]]:
        self._bad += 1
        why = join_halves(why[:200])
        if self._bad > MAX_BAD:
            raise ServiceError(f"the LLM's stream is broken: {why}")
        self._problem(f"an event of the LLM's is {why:.100}; what was in it is missing")
        return []

    def _problem(self, what: str) -> None:
        what = join_halves(what)
        if what not in self.problems and len(self.problems) < MAX_BAD:
            self.problems.append(what)

    def _chunk(self, chunk: dict[str, Any], rate: int) -> tuple[str, bytes]:
        given = chunk.get("choices")
        choices = (
            [one for one in given if isinstance(one, dict) and not one.get("index")] if isinstance(given, list) else []
        )
        error = next((error for one in (chunk, *choices) if (error := one.get("error"))), None)
        if given is None:  # an error that does not say so
            error = error or chunk.get("detail") or chunk.get("message")
        if error:
            said = str(error.get("message", error) if isinstance(error, dict) else error)
            raise BrokeOff(join_halves(said[:200]))
        text, pcm = "", b""
        for choice in choices:
            given = (choice.get("delta"), choice.get("message"), {"content": choice.get("text")})
            delta = next(one for one in given if isinstance(one, dict))
            if delta is given[0]:
                self._streamed |= {name for name in _MEMBERS if delta.get(name)}
            elif delta is given[1]:
                delta = self._news(delta)
            more, sound = self._delta(delta, rate)
            text, pcm = text + more, pcm + sound
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason.lower() not in ("", "null", "none"):
                self.finish_reason = join_halves(reason)
                if reason.lower() == "error":
                    raise BrokeOff("finish_reason error")
        return text, pcm

    def _news(self, message: dict[str, Any]) -> dict[str, Any]:
        """What of a message did not come in deltas before it: at the end of a stream it is all of it once more."""
        return {name: value for name, value in message.items() if name not in self._streamed}

    def _delta(self, delta: dict[str, Any], rate: int) -> tuple[str, bytes]:
        self._replaced += delta.get("replaces") is True
        text, thought = self._said(delta.get("content"))
        if thought or any(delta.get(name) for name in _THOUGHTS):
            self.moves += 1
            self._thoughts.release()
        if isinstance(reasoning := delta.get("reasoning_content"), str):
            self.reasoning = (self.reasoning + reasoning)[:MAX_REASONING]
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            text += refusal
            self.refusal += refusal
        pcm = b""
        if isinstance(audio := delta.get("audio"), dict):
            if isinstance(transcript := audio.get("transcript"), str):
                text += transcript
            pcm = self._sound(audio.get("data") or "", rate)
        if calls := delta.get("tool_calls"):
            self._pieces.take(calls)
        if isinstance(call := delta.get("function_call"), dict):  # as it was called before there were tools
            self._pieces.take({"index": 0, "function": call})
        if name := self._pieces.stripped:
            self._problem(
                f"the LLM's call of {name:.60} has more to be sent back than {MAX_EXTRA} bytes; it is left out"
            )
        self.moves += bool(text or pcm or calls or call)
        return self._thoughts.feed(self._whole(text)) if text else "", pcm

    def _said(self, content: Any) -> tuple[str, bool]:
        """The text of a content, and whether there were thoughts in it: it is a text, or parts."""
        if isinstance(content, list):
            parts = [self._said(part) for part in content]
            return "".join(text for text, _ in parts), any(thought for _, thought in parts)
        if isinstance(content, dict):
            return self._part(content)
        return "" if content is None or isinstance(content, bool) else str(content), False

    def _part(self, part: dict[str, Any]) -> tuple[str, bool]:
        if _thinks(part):
            return "", True
        for name in ("text", "value", "content", "refusal"):
            if name in part:
                return self._said(part[name])
        self._problem(f"the LLM sent a part of type {str(part.get('type'))!r:.60}, which cannot be said")
        return "", False

    def _whole(self, text: str) -> str:
        """The text without the half of a character at its end, which waits for the other."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return join_halves(text)

    def _end(self) -> str:
        """What was kept back until it was known what follows."""
        text, self._half = join_halves(self._half), ""
        self.refusal = join_halves(self.refusal)
        text = self._thoughts.feed(text) + self._thoughts.end()
        if self._cut_off and (half := self._pieces.drop_half() or self._thoughts.drop_half()):
            self._cut_short(half)
        calls: list[dict[str, Any]] = []
        for written in self._thoughts.written:
            calls += (found := read_written(written, self._names))
            if not found:
                self._problem(f"the LLM wrote a call that cannot be read: {written:.100}")
        self._pieces.add_written(calls)
        return text

    def _cut_short(self, call: str) -> None:
        self._half_call = True
        self._problem(f"the LLM was cut off at its length limit in the middle of a call: {call:.100}")

    def _not_called(self, text: str) -> str:
        """What of the text is to be said: nothing, while all of it may be a call that nothing marks, or if it is."""
        text, self._unmarked = self._unmarked + text, ""
        if not text or self.text or not self._names or not _BARE.match(text, partial=not self.over):
            return text
        if not self.over:
            self._unmarked = text
            return ""
        calls = read_bare(text, self._names)
        self._pieces.add_written(calls)
        if not calls and self._cut_off:
            self._cut_short(text)
        return "" if calls or self._cut_off else text

    def _sound(self, data: Any, rate: int) -> bytes:
        try:
            raw = self._odd + base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError, ValueError) as exc:
            raise ServiceError(f"the LLM's sound is no base64: {exc}") from exc
        even = len(raw) // 2 * 2
        self._odd = raw[even:]
        self.audio_ms += even / 2 / rate * 1000
        if self.audio_ms > MAX_AUDIO_MS:
            raise ServiceError(f"the LLM's reply is longer than {MAX_AUDIO_MS // 60_000} minutes; it was cut off there")
        return raw[:even]
