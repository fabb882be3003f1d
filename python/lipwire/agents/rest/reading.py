"""How a body is read: the fields of its struct by their wire paths, checked, and every fault of it at once.

null counts as absent, but to `update` it is a value of the fields that may have it. A whole number may be written as
400.0. Members that nobody knows are ignored, and told to the log, each once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from ...errors import InvalidArgument
from ...logs import Unknown
from ...outward import redact
from ...protocol import agent_bodies as b
from ...protocol.agent_bodies import Fault, allowed, show, sort_of
from ..describe import Changes
from ..errors import InvalidAgentRequest

UNKNOWN = Unknown(logging.getLogger("lipwire.agents"), "join")
"""Members of bodies of join."""
UNHEARD = Unknown(logging.getLogger("lipwire.agents"), "join, where the server's own ears and voice stand in")
"""Members of `params` of asr and tts, of vendors whose key is not there."""
Body = Literal["update", "speak", "think", "interrupt", "/start_agent", "/stop_agent", "/control_agent", "/token"]
IGNORED: dict[Body, Unknown] = {body: Unknown(logging.getLogger("lipwire.agents"), body) for body in get_args(Body)}
"""Members of other bodies."""


MOST_MEMBERS = 8
"""Members of one field, of which it is said what is wrong with each."""
_MAY_HOLD_KEYS = (b.Token, b.Headers, b.Params, b.Object, b.Strings)


class WrongMember(ValueError):
    """A member of a field is wrong: which, and what it must be."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(name, words)
        self.name, self.words = name, words


class Target(Struct, frozen=True):
    """What a wire field sets. `make` turns its value into changes, or raises ValueError."""

    make: Callable[[Any], Changes]
    update: bool = False


def to(name: str, *, update: bool = False, empty: Any = "") -> Target:
    """Sets a field to the value as it is; an empty text stands for `empty`."""
    return Target(lambda value: {name: empty if value == "" else value}, update)


class Given:
    """The fields that a body gives, by their wire paths below `prefix`, and where its faults go.

    Args:
        kind: the struct of which they are.
    """

    def __init__(self, found: Mapping[str, Any], kind: type[Struct], faults: list[Fault], prefix: str = "") -> None:
        self.found, self.kind, self.faults, self.prefix = found, kind, faults, prefix

    def __contains__(self, path: str) -> bool:
        return path in self.found

    def get(self, path: str, default: Any = None) -> Any:
        """The value of a field; where it is not there, `default`."""
        return self.found.get(path, default)

    def below(self, path: str) -> Given:
        """The fields below one that is an object."""
        start = f"{path}."
        found = {name.removeprefix(start): value for name, value in self.found.items() if name.startswith(start)}
        return Given(found, type_at(self.kind, path), self.faults, f"{self.prefix}{start}")

    def items(self, path: str, kind: type[Struct]) -> Iterator[Given]:
        """The objects of a field that is a list of them."""
        for n, found in enumerate(self.get(path, ())):
            yield Given(found, kind, self.faults, f"{self.prefix}{path}[{n}].")

    def must(self, path: str, what: str) -> None:
        """A fault: a field must be something else, or be there."""
        got = f", got {shown(self.found[path], type_at(self.kind, path))}" if path in self.found else ""
        self.faults.append(Fault(f"{self.prefix}{path}", f"must be {what}{got}", "invalid" if got else "missing"))

    def refuse(self, path: str, why: str) -> None:
        """A fault: a field, or its value, is not for this server; `why` says what to do."""
        self.faults.append(Fault(f"{self.prefix}{path}", why, "not_allowed"))

    def changes(self, targets: Mapping[str, Target]) -> Changes:
        """What the fields mean that mean something each for itself."""
        changes: Changes = {}
        for path, target in targets.items():
            if path in self.found:
                must = allowed(type_at(self.kind, path))
                try:
                    changes |= target.make(self.found[path])
                except InvalidArgument as exc:
                    self.faults.append(Fault(f"{self.prefix}{path}", f"must be {must}, and {exc}"))
                except WrongMember as exc:
                    self.faults.append(Fault(f"{self.prefix}{path}.{exc.name}", exc.words))
                except ValueError:
                    self.must(path, must)
        return changes


# ------------------------------------------------------------------------------------------------------------- structs


def type_at(kind: type[Struct], path: str) -> Any:
    """The type of the field at a path."""
    head, _, rest = path.partition(".")
    found = next(info.type for info in msgspec.structs.fields(kind) if info.encode_name == head)
    return type_at(found, rest) if rest else found


def struct_of(kind: Any) -> type[Struct] | None:
    """The struct that a type is."""
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def item_of(kind: Any) -> type[Struct] | None:
    """The struct whose list a type is."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return struct_of(get_args(bare)[0]) if get_origin(bare) is list else None


def _whole(value: Any) -> Any:
    """A whole number as an integer, and so those of a list."""
    if isinstance(value, list):
        return [inner if isinstance(inner, list) else _whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _convert(value: Any, kind: Any) -> Any:
    """Raises msgspec.ValidationError."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return msgspec.convert(_whole(value), kind)


def leaves(
    kind: type[Struct],
    body: Mapping[str, Any],
    faults: list[Fault],
    prefix: str = "",
    *,
    nulls: bool = False,
    unknown: list[str] | None = None,
) -> dict[str, Any]:
    """The fields of `kind` that `body` gives, by wire path below `prefix`, checked and converted.

    A nested struct contributes its own fields, one that is `Open` also itself, with all its members; a list of structs
    is a list of such dicts. What is wrong or missing is added to `faults`, all of it.

    Args:
        nulls: null is a value where a field may have it, and not only the same as nothing.
        unknown: the paths of members that nobody knows are added to it.
    """
    found: dict[str, Any] = {}
    infos = msgspec.structs.fields(kind)
    for info in infos:
        name, path = info.encode_name, f"{prefix}{info.encode_name}"
        value = body.get(name)
        if value is None:
            if info.required:
                faults.append(Fault(path, "is required", "missing"))
            elif nulls and name in body:
                with suppress(msgspec.ValidationError):
                    found[name] = msgspec.convert(None, info.type)
        elif (nested := struct_of(info.type)) is not None:
            if isinstance(value, dict):
                below = leaves(nested, value, faults, f"{path}.", nulls=nulls, unknown=unknown)
                found |= {f"{name}.{inner}": one for inner, one in below.items()}
                if issubclass(nested, b.Open):
                    found[name] = {inner: one for inner, one in value.items() if one is not None}
            else:
                faults.append(Fault(path, f"must be an object, got {shown(value, info.type)}"))
        elif (item := item_of(info.type)) is not None:
            if isinstance(value, list) and all(isinstance(one, dict) for one in value) and _fits(value, info.type):
                found[name] = [
                    leaves(item, one, faults, f"{path}[{n}].", unknown=unknown) for n, one in enumerate(value)
                ]
            else:
                faults += _wrong(path, value, info.type)
        else:
            try:
                found[name] = _convert(value, info.type)
            except msgspec.ValidationError:
                faults += _wrong(path, value, info.type)
    if unknown is not None and not issubclass(kind, b.Open):
        names = {info.encode_name for info in infos}
        unknown += [f"{prefix}{name}" for name in body if name not in names]
    return found


def check_body(
    kind: type[Struct],
    body: Mapping[str, Any],
    what: Body | None = None,
    also: Callable[[Mapping[str, Any]], Iterable[Fault]] = lambda found: (),
) -> dict[str, Any]:
    """The fields of `kind` that a body gives, which is one level deep. Raises InvalidAgentRequest, which names each bad
    one.

    Args:
        what: it is the body of, so that the log hears of members that nobody knows. also: what is wrong with the
            fields that were found.
    """
    faults: list[Fault] = []
    unknown: list[str] = []
    found = leaves(kind, body, faults, unknown=unknown)
    faults += also(found)
    if faults:
        raise InvalidAgentRequest.because(faults)
    if what is not None:
        IGNORED[what].tell(unknown)
    return found


def _wrong(path: str, value: Any, kind: Any) -> list[Fault]:
    """What is wrong with a value: with its members, the first of which are named, or else with the whole."""
    found: list[Fault] = []
    got = shown(value, kind)
    if isinstance(value, dict) and kind in (b.Headers, b.Strings):
        got = f"{len(value)} of them"
        for name, one in value.items():
            if not isinstance(one, str):
                found.append(Fault(f"{path}.{name[:80]}", f"must be a string, got {sort_of(one)}"))
            elif not _is({name: one}, kind):
                words = "must be a string of at most 65536 characters, by a name of at most 256"
                found.append(Fault(f"{path}.{name[:80]}", words))
    elif isinstance(value, list) and item_of(kind) is not None:
        got = f"{len(value)} of them"
        for n, one in enumerate(value):
            if not isinstance(one, dict):
                found.append(Fault(f"{path}[{n}]", f"must be an object, got {sort_of(one)}"))
    return found[:MOST_MEMBERS] or [Fault(path, f"must be {allowed(kind)}, got {got}")]


def _is(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _fits(value: list[Any], kind: Any) -> bool:
    """Whether a list is as long as its type may be."""
    longest = (meta.max_length for meta in getattr(kind, "__metadata__", ()) if meta.max_length is not None)
    return len(value) <= next(longest, len(value))


def shown(value: Any, kind: Any) -> str:
    """What may be said of a value that is wrong: no password of a URL, of headers their names, and where else a key may
    be in it, its sort only."""
    if kind is b.Headers and isinstance(value, dict):
        return show(list(value))
    if kind in _MAY_HOLD_KEYS or struct_of(kind) is not None or item_of(kind) is not None:
        return sort_of(value)
    return show(redact(value) if kind in (b.Url, b.SocketUrl) and isinstance(value, str) else value)


def urls(kind: type[Struct], body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(path, URL, schemes) of every URL that a good body names, in any field that is one."""
    for info in msgspec.structs.fields(kind):
        path, value = f"{prefix}{info.encode_name}", body.get(info.encode_name)
        if info.type in (b.Url, b.SocketUrl) and isinstance(value, str):
            yield path, value, ("ws", "wss") if info.type is b.SocketUrl else ("http", "https")
        elif (nested := struct_of(info.type)) is not None and isinstance(value, dict):
            yield from urls(nested, value, f"{path}.")
        elif (item := item_of(info.type)) is not None and isinstance(value, list):
            for n, one in enumerate(value):
                yield from urls(item, one, f"{path}[{n}].")
