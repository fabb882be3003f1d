"""The OpenAPI page, and the request bodies that it shows.

It is plain HTML made here, because the usual viewers load scripts from a CDN.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from html import escape
from typing import Any, cast

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)

from .errors import path_of

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1 small{font-weight:400;color:#667}h2{margin:2.2rem 0 .4rem;font:600 1.05rem ui-monospace,monospace}
h2 b{display:inline-block;min-width:4.2rem;text-align:center;margin-right:.6rem;border-radius:.3rem;color:#fff}
.get{background:#2b6cb0}.post{background:#2f855a}.delete{background:#c53030}
table{border-collapse:collapse;width:100%;margin:.4rem 0 1rem}td,th{text-align:left;vertical-align:top;
padding:.25rem .6rem;border-bottom:1px solid #e4e8ee}th{color:#667;font-weight:500}code{font-size:.9em}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dde3ea}td,th{border-color:#2a313b}}
"""


SDP = "application/sdp"


class DocsPage(OpenAPIRenderPlugin):
    """One table per operation: its request fields and its answers."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page, complete in itself."""
        info = openapi_schema["info"]
        parts = [
            f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info.get('description') or '')} Machine-readable: ",
            f"<a href='{escape(_below(path_of(request), 'openapi.json'))}'>openapi.json</a>.</p>",
        ]
        for path, methods in openapi_schema.get("paths", {}).items():
            for method, operation in methods.items():
                if isinstance(operation, dict):
                    parts += _operation(path, method, operation)
        page = (
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>{''.join(parts)}</html>"
        )
        return page.encode()


class Description(OpenAPIConfig):
    """A description of an API that names every status that its operations answer with: their own, and what is answered
    in front of each (`guard`), and to each body."""

    def to_openapi_schema(self) -> OpenAPI:
        """What Litestar fills with the operations."""
        made = super().to_openapi_schema()
        return _Complete(**{field.name: getattr(made, field.name) for field in fields(made)})


class _Complete(OpenAPI):
    def to_schema(self) -> dict[str, Any]:
        schema = super().to_schema()
        for methods in schema.get("paths", {}).values():
            for operation in methods.values():
                if isinstance(operation, dict):
                    _complete(operation)
        return schema


_REFUSAL = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error", "message", "code")},
    "required": ["error", "message", "code"],
}


def _complete(operation: dict[str, Any]) -> None:
    """Adds the statuses that an operation shares with others. The body of those that its own handler gives is as that
    of its 400."""
    answers: dict[str, Any] = operation.setdefault("responses", {})
    own = answers.get("400", {}).get("content") or {"application/json": {"schema": _REFUSAL}}
    shared = {"500": "a fault of the server; see its log"}
    if "requestBody" in operation:
        shared |= {
            "400": "the body is no JSON object, or a field is out of range",
            "413": "the body is too large",
            "415": "the body's Content-Type is given, and is none that is taken",
        }
    for status, words in shared.items():
        answers.setdefault(status, {"description": words, "content": own})
    _also(answers, "421", "HOST_NOT_ALLOWED: Host is none of the server's names")
    _also(answers, "429", "RATE_LIMITED: too many requests of this address")
    _also(answers, "403", "ORIGIN_NOT_ALLOWED: a web page of an origin that is not allowed")


def _also(answers: dict[str, Any], status: str, words: str) -> None:
    """A status that is answered in front of a handler, which may have it, too."""
    there = answers.get(status)
    if there is None:
        answers[status] = {"description": words, "content": {"application/json": {"schema": _REFUSAL}}}
        return
    schema = there["content"]["application/json"]["schema"]
    content = {"application/json": {"schema": {"anyOf": [schema, _REFUSAL]}}}
    known = words.partition(":")[0] in there["description"]
    description = there["description"] if known else f"{there['description']}; {words}"
    answers[status] = {**there, "description": description, "content": content}


def describe_api(title: str, text: str, *, security: Mapping[str, SecurityScheme] | None = None) -> Description:
    """The description of an app's API, at /schema."""
    try:
        version = importlib.metadata.version("lipwire")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return Description(
        title=title,
        version=version,
        description=text,
        path="/schema",
        use_handler_docstrings=True,
        render_plugins=[DocsPage(path="/")],
        components=Components(security_schemes=dict(security or {})),
    )


def _below(path: str, name: str) -> str:
    """A link from the page at `path` to a name below it, relative: a proxy may have taken a prefix away."""
    return name if path.endswith("/") else f"{path.rpartition('/')[2]}/{name}"


def _operation(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    text = operation.get("description") or operation.get("summary") or ""
    auth = " or ".join(name for rule in operation.get("security", []) for name in rule)
    parts = [
        f"<h2><b class={escape(method)}>{escape(method.upper())}</b>{escape(path)}</h2><p>{escape(text)}",
        f" <small>({escape(auth)})</small></p>" if auth else "</p>",
    ]
    content = (operation.get("requestBody") or {}).get("content", {})
    for media in content.values():
        rows = _fields(media["schema"], "")
        parts.append(f"<table><tr><th>field<th>type<th>allowed{''.join(rows)}</table>")
    rows = [
        f"<tr><td><code>{escape(str(status))}</code><td>{escape(answer.get('description', ''))}"
        for status, answer in sorted(operation.get("responses", {}).items())
    ]
    return [*parts, f"<table><tr><th>status<th>answer{''.join(rows)}</table>"]


def _fields(schema: dict[str, Any], prefix: str) -> list[str]:
    rows = []
    required = schema.get("required", [])
    for name, value in schema.get("properties", {}).items():
        if "properties" in value:
            rows += _fields(value, f"{prefix}{name}.")
            continue
        kinds = [value, *value.get("anyOf", [])]
        kind = " or ".join(k["type"] for k in kinds if k.get("type") not in (None, "null")) or "string"
        note = value.get("description", "")
        if name not in required:
            default = value.get("default")
            note += " (optional)" if default is None else f" (default {json.dumps(default)})"
        rows.append(f"<tr><td><code>{escape(prefix + name)}</code><td>{escape(kind)}<td>{escape(note.strip())}")
    return rows


def request_body(
    kind: type[msgspec.Struct],
    words: Mapping[str, str] | None = None,
    *,
    required: bool = True,
    only: Collection[str] = (),
) -> RequestBody:
    """The request body as `kind`, complete in itself, with `words` for what each field may be. It is for handlers that
    read raw bodies, because their errors are their own. `only`: the body has `properties` of which it may have these,
    by their paths, and needs none."""
    _, components = msgspec.json.schema_components([kind])
    schema = cast("dict[str, Any]", _inline(components[kind.__name__], components, words or {}))
    if only:
        schema = {"type": "object", "properties": {"properties": _picked(schema, only)}}
    return RequestBody(content={"application/json": OpenAPIMediaType(schema=cast(Schema, schema))}, required=required)


def _inline(value: Any, components: Mapping[str, Any], words: Mapping[str, str]) -> Any:
    """A schema without references."""
    if isinstance(value, list):
        return [_inline(inner, components, words) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inline(components[value["$ref"].rpartition("/")[2]], components, words)
    copy = {name: _inline(inner, components, words) for name, inner in value.items()}
    for name, field in copy.get("properties", {}).items():
        if name in words:
            field["description"] = words[name]
    return copy


def _picked(schema: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """The schema of an object that has nothing but these, and need not have them."""
    kept: dict[str, Any] = {}
    for name, value in schema["properties"].items():
        below = [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")]
        if name in paths:
            kept[name] = value
        elif below:
            kept[name] = _picked(value, below)
    rest = {name: value for name, value in schema.items() if name != "required"}
    return rest | {"properties": kept, "additionalProperties": False}


def operation(
    kind: type[msgspec.Struct] | None = None,
    query: Mapping[str, str] | None = None,
    *,
    words: Mapping[str, str] | None = None,
    sdp: bool = False,
    required: bool = True,
    only: Collection[str] = (),
) -> type[Operation]:
    """The class of an operation with this body and these query parameters (name -> what it may be). `words`: for fields
    of the body; `only`: as of `request_body`. `sdp`: the body may be plain SDP, too, and the answer is then."""

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            if kind is not None:
                self.request_body = request_body(kind, words, required=required, only=only)
            if sdp:
                self._take_sdp()
            for name, text in (query or {}).items():
                place = Parameter(
                    name=name, param_in="query", description=text, schema=cast(Schema, {"type": "string"})
                )
                self.parameters = [*(self.parameters or []), place]

        def _take_sdp(self) -> None:
            plain = OpenAPIMediaType(schema=cast(Schema, {"type": "string"}))
            body, answer = cast(Any, self.request_body), cast(Any, (self.responses or {})["200"])
            body.content[SDP] = plain
            answer.content = {**(answer.content or {}), SDP: plain}

    return Described


def media_operation(kind: str) -> type[Operation]:
    """The class of an operation whose body is a text of this media type."""

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            text = OpenAPIMediaType(schema=cast(Schema, {"type": "string"}))
            self.request_body = RequestBody(content={kind: text}, required=True)

    return Described
