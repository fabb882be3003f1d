"""The calls that a model makes: put together from the pieces of a stream, and made fit to be sent back.

OpenAI gives each call an index, an id and a name with its first piece, and arguments as text in those after it. Others
do not: they give all calls the index 0, or none; the arguments as an object, or as text within text; the id again and
again, late, or never; the name in pieces. And they refuse a past call whose arguments are no JSON object, whose id is
another's, or whose name has odd characters.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ..http import ServiceError

MAX_ARGUMENTS = 1 << 16
"""Characters of a call's arguments."""
MAX_EXTRA = 1 << 18
"""Bytes of what a reply's calls bring to be sent back with them, as JSON."""
MAX_CALLS = 16
"""Calls that a model may make in one reply; a service that sends more is cut off."""
MAX_ROUNDS = 8
"""Times that a model may call functions before it has to answer."""
MAX_NAME = 256
"""Characters of a function's name, as a service sends it."""

_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def join_halves(text: str) -> str:
    """The text with surrogates that came apart put together; one that stays alone is U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encode(value: Any) -> bytes:
    """JSON. Half a character, wherever in the value it stands, goes as `join_halves` has it: half of one that a service
    has sent would make every later request fail."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):  # of a number beyond 64 bits
        return join_halves(json.dumps(value, ensure_ascii=False)).encode()


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_number)


def read_arguments(text: str) -> dict[str, Any] | str:
    """The arguments of a call; or, as text, why they are none. Nothing and null are no arguments; an object that was
    encoded twice is that object, and so is one with empty ones before or after it. No text in it has half a
    character."""
    for _ in range(3):
        text = join_halves(text.strip())
        if not text:
            return {}
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as exc:
            value = _one_of_several(text)
            if value is None:
                return f"the arguments are no JSON: {exc}"
        if not isinstance(value, str):
            break
        text = value
    if value is None:
        return {}
    return value if isinstance(value, dict) else "the arguments must be a JSON object"


_BLANK = re.compile(r"\s*")


def _one_of_several(text: str) -> dict[str, Any] | None:
    """The one object, where several are written one after another and the others are empty or the same."""
    one: dict[str, Any] = {}
    at = 0
    try:
        while at < len(text):
            value, at = _decoder.raw_decode(text, at)
            at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
            if not isinstance(value, dict) or (one and value and value != one):
                return None
            one = one or value
        whole: dict[str, Any] = _decoder.decode(join_halves(json.dumps(one, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    return whole


def valid_arguments(text: str) -> str:
    """The arguments as they may be sent back: always the JSON of an object. What is none is {}; its answer says so."""
    value = read_arguments(text)
    if isinstance(value, str):
        return "{}"
    if text.lstrip().startswith("{") and _is_object(text):
        return text.strip()
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return "{}"


def _is_object(text: str) -> bool:
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False


def valid_name(name: str) -> str:
    """A function's name as services take it: 1 to 64 letters, digits, _ and -."""
    return _NAME.sub("_", name).strip("_")[:64] or "unknown"


def new_id() -> str:
    """An id for a call: 9 letters and digits, which is what Mistral wants."""
    return secrets.token_hex(5)[:9]


_FUNCTION = re.compile(
    r"<(?:function=|(?:｜DSML｜)?invoke\s+name=)[\"']?([^>\"']{1,100})[\"']?>(.*?)(?:</(?:function|(?:｜DSML｜)?invoke)>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"<(?:｜DSML｜)?parameter(?:=|\s+name=)[\"']?([^>\"']{1,100})[\"']?([^>]{0,100})>(.*?)(?:</(?:｜DSML｜)?parameter>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_NAMED = re.compile(r"\s*+([\w.-]{1,100})\s*+(?:\[CALL_ID\]\w++)?(?:\[ARGS\])?\s*+(\{.*\})\s*", re.DOTALL)
_BETWEEN = re.compile(r"[\s,;]*")
_AROUND = re.compile(r"\Afunctions\.|:\d+\Z")
"""What Kimi writes around a name."""


def read_written(text: str, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """Calls that a model wrote into its text, as members of `tool_calls`. Empty: they cannot be read.

    It may be JSON of one or of several, with `arguments` or `parameters` (Hermes, Llama, Mistral, Cohere);
    NAME[ARGS]JSON (Mistral's newer ones); <function=NAME>, with JSON or with <parameter=NAME> in it (Llama, Qwen's
    coders); <invoke name=NAME> (MiniMax, DeepSeek's newest); NAME with <arg_key> and <arg_value> (GLM); marked sections
    of name and JSON (DeepSeek, Kimi); and the mere name of a function, if it is one of `names`.
    """
    if text.strip() in names:
        return [_called(text.strip(), None)]
    parts = [_written(part) for part in text.split("[TOOL_CALLS]") if part.strip()]
    return [call for part in parts for call in part] if all(parts) else []


def read_bare(text: str, names: Collection[str]) -> list[dict[str, Any]]:
    """Calls that are all of a text, without a mark: JSON, in a code block or not, that names functions which are among
    `names`. Empty: it is no such text."""
    text = text.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json")
    calls = _as_json(text)
    return calls if all(call["function"]["name"] in names for call in calls) else []


def _written(text: str) -> list[dict[str, Any]]:
    if calls := _as_json(text):  # first: the arguments may have marks in them
        return calls
    if found := _FUNCTION.findall(text):
        return [_called(name.strip(), _parameters(body) or body.strip()) for name, body in found]
    if found := _halves(text, "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"):
        return [_fenced(head, body) for head, body in found]
    if found := _halves(text, "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"):
        return [_called(_AROUND.sub("", head), body.strip()) for head, body in found]
    if found := _halves(text, "<arg_key>", "</arg_key>", "</arg_value>"):
        arguments = {head: _loose(body.partition("<arg_value>")[2].strip("\n")) for head, body in found}
        return [_called(text.partition("<arg_key>")[0].strip(), arguments)]
    if (named := _NAMED.fullmatch(text)) is not None:
        return [_called(named[1], named[2])]
    return []


def _halves(text: str, begin: str, between: str, end: str) -> list[tuple[str, str]]:
    """The sections of a text: what is before and what is behind the mark in the middle of each."""
    parts = [part.partition(end)[0].partition(between) for part in text.split(begin)[1:]]
    return [(head.strip(), body) for head, _, body in parts]


def _fenced(kind: str, body: str) -> dict[str, Any]:
    """A call of DeepSeek's: the name is before the JSON, which is a code block; or, in its newer ones, in the place of
    the kind."""
    name, brace, arguments = body.partition("{")
    return _called(name.replace("```json", "").strip("` \r\n") or kind, (brace + arguments).strip("` \r\n"))


def _as_json(text: str) -> list[dict[str, Any]]:
    """The calls of a text that is JSON, of one value or of several one after another."""
    values, at = list[Any](), _BETWEEN.match(text).end()  # type: ignore[union-attr]
    try:
        while at < len(text):
            value, at = json.JSONDecoder().raw_decode(text, at)
            values += _listed(value)
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return []
    calls = [_described(value) for value in values]
    return [call for call in calls if call is not None] if None not in calls else []


def _described(value: Any) -> dict[str, Any] | None:
    """The call that a JSON value is, if it is one."""
    call = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(call, dict):
        return None
    name = call.get("name", call.get("tool_name"))
    return _called(name, call.get("arguments", call.get("parameters"))) if isinstance(name, str) else None


def _called(name: str, arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


def _parameters(body: str) -> dict[str, Any]:
    found = _PARAMETER.findall(body)
    return {
        name.strip(): value if 'string="true"' in marked else _loose(value.strip("\n")) for name, marked, value in found
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _loose(text: str) -> Any:
    """A value that is JSON, or else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


class Call(Struct):
    """A function that the model calls."""

    id: str
    name: str
    arguments: str = ""
    extra: dict[str, Any] | None = None
    """`extra_content`, which Gemini wants to see again (its thought signatures)."""

    @property
    def meaning(self) -> tuple[str, dict[str, Any] | str]:
        """What is called, and with what: the same for two ways of saying it."""
        return valid_name(self.name), read_arguments(self.arguments)

    def as_message(self) -> dict[str, Any]:
        """A member of `tool_calls`, valid whatever the model sent."""
        function = {"name": valid_name(self.name), "arguments": valid_arguments(self.arguments)}
        call = {"id": self.id, "type": "function", "function": function}
        return call | {"extra_content": self.extra} if self.extra else call


class _Pieces(Struct, eq=False):
    """What has come of a call."""

    index: Any
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] | None = None
    named_again: bool = False
    """Whether its name came once more when its arguments were whole: what follows may be another call of it."""


class CallPieces:
    """The calls of one reply, as their pieces come in.

    Args:
        names: of the functions that were offered; they help to tell a piece of a name from another call.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = names
        self.stripped = ""
        """The call whose extra content is more than is sent back, and so is left out; the last one."""
        self._calls: list[_Pieces] = []
        self._extra = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, pieces: Any) -> None:
        """`tool_calls` of one event. Raises ServiceError: there are too many, or what is in one is too long."""
        parts = [part for part in _listed(pieces) if isinstance(part, dict)]
        for position, part in enumerate(parts):
            self._take(part, position - len(parts))

    def add_written(self, parts: Sequence[dict[str, Any]]) -> None:
        """Whole calls that were written into the text. One that has also come beside it is the same call. Raises
        ServiceError, as `take` does."""
        known = [call.meaning for call in self.calls()]
        for part in parts:
            written = CallPieces()
            written.take(part)
            if all(call.meaning not in known for call in written.calls()):
                self._take({"id": new_id(), **part}, -1)

    def drop_half(self) -> str | None:
        """The reply was cut off: forgets the last call, if its arguments have not come to their end; returns its
        name."""
        last = self._calls[-1] if self._calls else None
        if last is None or (last.arguments.strip() and isinstance(read_arguments(last.arguments), dict)):
            return None
        self._calls.pop()
        return last.name or "one without a name"

    def calls(self) -> list[Call]:
        """The calls, in the order in which they began; ids are there, and differ."""
        made: list[Call] = []
        for pieces in self._calls:
            name, arguments = join_halves(pieces.name).strip(), join_halves(pieces.arguments)
            made.append(Call(join_halves(pieces.id), name, arguments, pieces.extra))
        return with_own_ids(made)

    def _take(self, part: dict[str, Any], position: int) -> None:
        """One piece. `position`: from the end of its event, -1 = the last."""
        function = part.get("function")
        if not isinstance(function, dict):
            function = part
        index, call_id, name = part.get("index"), _text(part.get("id")), _text(function.get("name"))
        given = function.get("arguments")
        more = "" if given is None else given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        if not (call_id or name or more.strip()) and not self._with(index):
            return  # a place that is kept for what may come
        call = self._of(index, call_id, name, more, position)
        if call is not None and call.named_again and not name and more.lstrip().startswith("{"):
            name, call = call.name, None  # the one before had all its arguments
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise ServiceError(f"the LLM calls more than {MAX_CALLS} functions at once")
            call = _Pieces(index, name=name)
            self._calls.append(call)
        call.id = call.id or call_id
        if isinstance(extra := part.get("extra_content"), dict):
            self._extra += len(encode(extra))
            if self._extra <= MAX_EXTRA:
                call.extra = extra
            else:
                self.stripped = call.name or name or "one without a name"
        if name and name != call.name:
            call.name += name
        elif name and _is_object(call.arguments):
            call.named_again = True
            if _is_object(more):
                return  # the whole call once more
        if call.arguments.startswith("{") and more.startswith(call.arguments):
            call.arguments = ""  # this piece has all that came before it
        call.arguments += more
        if len(call.name) > MAX_NAME:
            raise ServiceError(f"the name of a function that the LLM calls has more than {MAX_NAME} characters")
        if max(len(call.arguments), len(call.id)) > MAX_ARGUMENTS:
            name = join_halves(call.name[:100])
            raise ServiceError(f"the arguments or the id of {name} have more than {MAX_ARGUMENTS} characters")

    def _with(self, index: Any) -> list[_Pieces]:
        return self._calls if index is None else [call for call in self._calls if call.index == index]

    def _of(self, index: Any, call_id: str, name: str, more: str, position: int) -> _Pieces | None:
        """The call that a piece belongs to; None = a new one."""
        same = self._with(index)
        call = same[-1] if same else None
        if call_id:
            known = next((one for one in reversed(same) if one.id == call_id), None)
            call = known or (call if call is not None and not call.id else None)
        elif not name and index is None and len(self._calls) >= -position:
            call = self._calls[position]  # one event, a piece of each
        elif not name and call is None and self._calls and not _is_object(self._calls[-1].arguments):
            call = self._calls[-1]  # a piece of arguments begins no call, whatever it is numbered
        return None if call is None or self._another(call, call_id, name, more) else call

    def _another(self, call: _Pieces, call_id: str, name: str, more: str) -> bool:
        """Whether a piece that could be `call`'s begins another one."""
        if not name or not call.name:
            return False
        if name != call.name:
            return bool(call.arguments.strip()) or {call.name, name} <= set(self.names)
        whole = _is_object(call.arguments) and _is_object(more)
        same = call_id == call.id if call_id else call.index is not None
        return whole and not (same and read_arguments(call.arguments) == read_arguments(more))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def with_own_ids(calls: Sequence[Call], taken: Collection[str] = ()) -> list[Call]:
    """The calls, each with an id that is no other's, nor in `taken`."""
    seen, made = set(taken), list[Call]()
    for call in calls:
        call_id = call.id
        while not call_id or call_id in seen:
            call_id = new_id()
        seen.add(call_id)
        made.append(Call(call_id, call.name, call.arguments, call.extra))
    return made
