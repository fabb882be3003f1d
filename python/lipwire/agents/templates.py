"""The values of a tool's server (`ToolServer`) that stand for others. No I/O.

A value is a constant or exactly one of `{{args.x}}` (in the URL and the body), `{{template_variables.x}}` and
`{{tool_call_id}}` (in all three). In a URL, whose parts are values, they may stand anywhere behind the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from ..errors import InvalidArgument

_PLACE = re.compile(r"\{\{\s*(?:(args|template_variables)\.([^\s{}]+)|(tool_call_id))\s*\}\}")
_ANY = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_MAX_DEPTH = 32


class Values(Struct, frozen=True, kw_only=True):
    """What stands for the places of one call."""

    args: Mapping[str, Any] = {}
    template_variables: Mapping[str, str] = {}
    tool_call_id: str = ""

    def of(self, place: re.Match[str]) -> Any:
        """Raises KeyError: the model left it out."""
        if place[3]:
            return self.tool_call_id
        return (self.args if place[1] == "args" else self.template_variables)[place[2]]


def in_url(url: str, values: Values) -> str:
    """The URL, its values quoted; what the model left out is empty. Raises InvalidArgument: a value would change the
    path."""

    def put(place: re.Match[str]) -> str:
        try:
            value = values.of(place)
        except KeyError:
            return ""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if text in (".", ".."):
            raise InvalidArgument(f"{place[2] or place[3]} must not be {text!r}")
        return quote(text, safe="")

    return _PLACE.sub(put, url)


def texts_in(body: Any, values: Values) -> list[str]:
    """The texts of a body that its values leave: those of places for which there are none are left out."""
    return _texts(in_body([body], values))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    members = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for one in members for text in _texts(one)]


def in_headers(headers: Mapping[str, str], values: Values) -> dict[str, str]:
    """The headers, visible ASCII."""
    filled = {name: _value(text, values) for name, text in headers.items()}
    return {name: re.sub(r"[^ -~]", "_", str(value)) for name, value in filled.items()}


def in_body(body: Any, values: Values) -> Any:
    """The body; values keep their types, and members that the model left out are left out."""
    if isinstance(body, str):
        return _value(body, values)
    if isinstance(body, Mapping):
        return {name: one for name, value in body.items() if (one := _or_gone(value, values)) is not _GONE}
    if isinstance(body, list):
        return [one for value in body if (one := _or_gone(value, values)) is not _GONE]
    return body


_GONE = object()


def _or_gone(value: Any, values: Values) -> Any:
    try:
        return in_body(value, values)
    except KeyError:
        return _GONE


def _value(text: str, values: Values) -> Any:
    place = _PLACE.fullmatch(text.strip())
    return text if place is None else values.of(place)


def variables_in(value: Any) -> set[str]:
    """The names of the template variables that stand anywhere in it."""
    if isinstance(value, str):
        return {place[2] for place in _PLACE.finditer(value) if place[1] == "template_variables"}
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*map(variables_in, inner))


def check_url(url: str, args: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """Raises InvalidArgument: a place before the path, or for what there is not."""
    head = re.match(r"[^/?#]*//[^/?#]*", url)
    for found in _ANY.findall(head[0] if head else url):
        raise InvalidArgument(f"has {found} where its host is; places may stand behind that")
    for found in _ANY.findall(url):
        _check(found, args, variables)


def check_headers_of(headers: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Raises InvalidArgument: a place that no header may have, or beside other text."""
    for name, text in headers.items():
        _check_whole(text, None, variables, f"{name}: ")


def check_body(
    body: Any, args: Mapping[str, Any], variables: Mapping[str, str], path: str = "", depth: int = 0
) -> None:
    """Raises InvalidArgument: a place for what there is not, or beside other text."""
    if depth > _MAX_DEPTH:
        raise InvalidArgument(f"is nested deeper than {_MAX_DEPTH}")
    if isinstance(body, str):
        _check_whole(body, args, variables, f"{path}: " if path else "")
    for name, value in body.items() if isinstance(body, Mapping) else enumerate(body) if isinstance(body, list) else ():
        check_body(value, args, variables, f"{path}.{name}" if path else str(name), depth + 1)


def _check_whole(text: str, args: Mapping[str, Any] | None, variables: Mapping[str, str], where: str) -> None:
    if (found := _ANY.search(text)) is None:
        return
    if found[0] != text.strip():
        raise InvalidArgument(f"{where}has {found[0]:.80} beside other text; a value is a constant, or one place alone")
    try:
        _check(found[0], args, variables)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{where}{exc}") from None


def _check(found: str, args: Mapping[str, Any] | None, variables: Mapping[str, str]) -> None:
    place = _PLACE.fullmatch(found)
    if place is None or (place[1] == "args" and args is None):
        allowed = "{{template_variables.x}} or {{tool_call_id}}"
        raise InvalidArgument(
            f"has {found:.80}, where only {'{{args.x}}, ' if args is not None else ''}{allowed} may be"
        )
    if place[1] == "args" and args is not None and place[2] not in args:
        raise InvalidArgument(f"has {found:.80}, and the function has no argument of that name")
    if place[1] == "template_variables" and place[2] not in variables:
        raise InvalidArgument(f"has {found:.80}, and llm.template_variables has none of that name")
