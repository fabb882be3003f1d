"""The generated pages of docs/reference: settings, commands, and every public name of the package.

What they say comes from the code: `Config`, the command line's own options, docstrings and signatures. Nothing is
written twice, so nothing can be out of step.

    python tools/docs/reference.py FOLDER     # writes them there; the site makes them by itself (hooks.py)
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

# Where the package keeps what is documented here: the only place that knows.
CONFIG = "lipwire.app.config"
COMMANDS = "lipwire.cli.main"
ERRORS = "lipwire.errors"
RULES = "lipwire.conformance"
STUB = "_core.pyi"

GROUPS = {
    "audio": (
        "Sound",
        "Rates, codecs, packets and visemes; usable alone. The task: [the audio core](../audio-core.md).",
        """Resampler resample VisemeExtractor VisemeExtractorBatch g711 G722Encoder G722Decoder G722EncoderBatch
        G722DecoderBatch opus JitterBuffer""",
    ),
    "sessions": (
        "Sessions",
        "One avatar that speaks, live or into a file. The task: [inside your own service](../embedding.md).",
        "Session render RenderResult create_app",
    ),
    "publishers": (
        "Publishers",
        "Where sound and pictures go. The tasks: [publishers](../embedding.md#publishers), [Agora](../agora.md), "
        "[RTP](../rtp.md), [rooms](../agents/rooms.md), [shared memory](../sharing.md).",
        "Publisher StreamSpec Unit Cue publish channel SharedWriter SharedReader",
    ),
    "motion": (
        "Motion",
        "What a face does, as numbers, in files. The task: [motion](../motion.md).",
        "motion MotionReader MotionTrack read_motion write_motion",
    ),
    "pictures": (
        "Pictures",
        "Avatars, frames, and whatever draws them. The tasks: [avatars](../avatars.md), [renderers](../renderers.md), "
        "[composition](../composition.md).",
        "Avatar Frame Axis Viseme Sprite Compositor Renderer hook Hook FrameSource ProcessSource",
    ),
    "agents": (
        "Agents",
        "The client of the REST API, and tokens. The task: [agents over REST](../agents/rest.md).",
        "AgoraAgents agora_token",
    ),
    "errors": (
        "Errors",
        "Every error that Lipwire raises on purpose. Each one also is the builtin that a caller would expect.",
        "LipwireError",
    ),
}
"""Page -> its title, what it is about, and its names, each of them in `lipwire.__all__`."""

WIDE = "---\nhide: [toc]\n---\n"
"""At the head of a page whose table needs the room."""
HEAD = "<!-- Made by tools/docs/reference.py from the code: change it there. -->\n"


def pages() -> dict[str, str]:
    """Path below docs -> Markdown, in the order of the navigation."""
    made = {"reference/settings.md": settings_page(), "reference/commands.md": commands_page()}
    for name in GROUPS:
        made[f"reference/{name}.md"] = names_page(name)
    made["reference/conformance.md"] = rules_page()
    return made


# Settings


def settings_page() -> str:
    """One table of every setting with its key in lipwire.toml, variable, flag, default, range and meaning."""
    module = importlib.import_module(CONFIG)
    config = module.Config
    texts = field_texts(config)
    flags = command_flags(set(texts))
    aliases: dict[str, list[str]] = {}
    for variable, name in module.ALIASES.items():
        aliases.setdefault(name, []).append(variable)
    rows = []
    for field in msgspec.structs.fields(config):
        name = field.name
        variables = [module.PREFIX + name.upper(), *aliases.get(name, [])]
        meaning = texts[name]
        if name in module.RANGES:
            low, high = module.RANGES[name]
            meaning += f" {low} to {high}."
        if choices := literals(field.type):
            meaning += f" One of {', '.join(f'`{c}`' for c in choices)}."
        if name in module.SECRETS:
            meaning += " **Secret**: `lipwire doctor` does not print it."
        default = "not set" if field.default is None else f'<code class="long">{toml(field.default)}</code>'
        cells = [code([name]), code(flags.get(name, [])), code(variables), default, cell(meaning)]
        rows.append(f'| <span id="{name}"></span>{" | ".join(cells)} |')
    return f"""{WIDE}{HEAD}
# Settings

Defaults < `{module.FILE}` in the working directory (or `--config FILE`) < the environment, to which the command line
adds a file `{module.ENV_FILE}` < flags. One name in every place: the key of the table is what stands in
`{module.FILE}`, and in `Config(...)` for [`lipwire.create_app`](sessions.md#create_app). `lipwire doctor` prints what
is in force and what is missing. A value out of its range is refused with its name and the place where it was found.

```toml
http_port = 8764
avatar = "kit"
prebuffer_ms = 80
```

| key | flag | environment | default | meaning |
|---|---|---|---|---|
{chr(10).join(rows)}

Only the flags that a command takes are listed; [the commands](commands.md) say which takes which.
`lipwire agent` has `--brain` for `agent_brain`. `LIPWIRE_CPU` forces a kernel level
([the audio core](../audio-core.md#levels)) and is read by the compiled core, not from a file.
"""


def field_texts(config: type[Any]) -> dict[str, str]:
    """Field -> the text under it. Raises SystemExit where a field has none: a setting must say what it means."""
    node = class_node(config)
    found: dict[str, str] = {}
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = string_of(after)
            if text is None and config.__name__ == "Config":
                raise SystemExit(f"{CONFIG}.{config.__name__}.{field.target.id} has no docstring: say what it means")
            found[field.target.id] = text or ""
    return found


def string_of(node: ast.AST | None) -> str | None:
    """The text of a string that stands by itself."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return None


def literals(kind: Any) -> list[str]:
    """What a Literal allows, also within a union."""
    if getattr(kind, "__origin__", None) is not None and str(kind).startswith("typing.Literal"):
        return [str(a) for a in kind.__args__]
    return [word for inner in getattr(kind, "__args__", ()) for word in literals(inner)]


def toml(value: Any) -> str:
    """A default as it would stand in lipwire.toml."""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


# Commands


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command of the command line, with its words."""
    import typer

    def walk(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        inner = getattr(command, "commands", None)
        if inner:
            if command.invoke_without_command:
                yield words, command
            for name, child in inner.items():
                yield from walk([*words, name], child)
        elif not command.hidden:
            yield words, command

    yield from walk(["lipwire"], typer.main.get_command(importlib.import_module(COMMANDS).app))


def command_flags(names: set[str]) -> dict[str, list[str]]:
    """Setting -> its flags, where a command that reads settings has one of its name."""
    found: dict[str, list[str]] = {}
    for _, command in commands():
        params = {p.name: p for p in command.params}
        if "config" not in params:
            continue
        for name in names & params.keys():
            for flag in [*params[name].opts, *params[name].secondary_opts]:
                if flag not in found.setdefault(name, []):
                    found[name].append(flag)
    return found


def commands_page() -> str:
    """What `--help` says, of every command."""
    parts = [HEAD, "# Commands", "`lipwire COMMAND --help` says the same.", ""]
    for words, command in commands():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name != "argument" and not getattr(p, "hidden", False)]
        usage = " ".join([*words, *(["[OPTIONS]"] if options else []), *(argument(p) for p in arguments)])
        parts += [f"## {' '.join(words)}", "", f"```\n{usage}\n```", "", inspect.cleandoc(command.help or ""), ""]
        rows = [f"| `{argument(p)}` | | {cell(p.help or '')} |" for p in arguments]
        for p in options:
            default = p.default
            shown = "" if default in (None, False, ()) or p.required or callable(default) else f"`{default}`"
            rows.append(f"| {code([*p.opts, *p.secondary_opts])} | {shown} | {cell(p.help or '')} |")
        if rows:
            parts += ["| option | default | |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def argument(param: Any) -> str:
    """An argument as a usage line has it."""
    name = (param.metavar or param.name).upper().strip("{}[]")
    name += "..." if param.nargs == -1 else ""
    return name if param.required else f"[{name}]"


# Conformance rules


def rules_page() -> str:
    """A table for each group: what a right provider does, what is done to find out, why it matters, how to mend it."""
    module = importlib.import_module(RULES)
    rules = module.RULES
    musts = sum(rule.level == "must" for rule in rules)
    parts = [
        WIDE + HEAD,
        "# Conformance rules",
        "",
        f"The {len(rules)} rules of `lipwire conformance`, {musts} of them musts.",
        "[The kit's page](../conformance.md) says what they are for and how to run them.",
        "",
    ]
    for group, about in importlib.import_module(RULES + ".rule").GROUPS.items():
        parts += [f"## {group}", "", f"{about}.", ""]
        parts += ["| rule | | the client, and what it expects | why, and how to mend it |", "|---|---|---|---|"]
        parts += [rule_row(rule) for rule in rules if rule.group == group]
        parts += [""]
    return "\n".join(parts)


def rule_row(rule: Any) -> str:
    """A rule as a line of its group's table."""
    text = {name: prose(getattr(rule, name)) for name in ("title", "does", "expects", "source", "why", "fix")}
    needs = importlib.import_module(RULES + ".rule").NEEDS
    notes = [rule.level, *(["slow"] if rule.slow else []), *(f"skipped where {needs[need]}" for need in rule.needs)]
    cells = [
        f'<span id="{rule.id}"></span>`{rule.id}`<br>**{text["title"]}**',
        "<br>".join(notes),
        f"The client {text['does']}.<br>*Expected:* {text['expects']}.<br>*Source:* {text['source']}.",
        f"{text['why']}<br>*How to mend it:* {text['fix']}",
    ]
    return f"| {' | '.join(cells)} |"


def prose(text: str) -> str:
    """Words as a cell; braces would be read as attributes."""
    return cell(text).replace("{", "&#123;")


# Names


def names_page(group: str) -> str:
    """One page of the public names."""
    title, about, names = GROUPS[group]
    package = importlib.import_module("lipwire")
    parts = [HEAD, f"# {title}", "", about, ""]
    for name in names.split():
        parts += describe(f"lipwire.{name}", name, getattr(package, name), "##")
    if group == "errors":
        for name, error in public(importlib.import_module(ERRORS)):
            if name != "LipwireError":
                parts += describe(f"{ERRORS}.{name}", name, error, "##")
    return "\n".join(parts) + "\n"


def check_complete() -> None:
    """Raises SystemExit where a public name has no page, or a page a name that is not public."""
    package = importlib.import_module("lipwire")
    placed = [name for _, _, names in GROUPS.values() for name in names.split()]
    if missing := set(package.__all__) - set(placed):
        raise SystemExit(f"lipwire.{min(missing)} is on no page of the reference: add it to GROUPS in {__file__}")
    if unknown := set(placed) - set(package.__all__):
        raise SystemExit(f"lipwire.{min(unknown)} is not in lipwire.__all__: take it out of GROUPS in {__file__}")


def describe(path: str, anchor: str, thing: Any, level: str) -> list[str]:
    """Heading, signature and text of a class, a function or a module, then its members'."""
    heading = f"{level} {path} {{#{anchor}}}"
    if isinstance(thing, types.ModuleType):
        parts = [heading, "", markdown(text_of(thing)), ""]
        for name, member in public(thing):
            if getattr(importlib.import_module("lipwire"), name, None) is member:
                parts += [f"`{path}.{name}` is [`lipwire.{name}`](#{name}).", ""]
            else:
                parts += describe(f"{path}.{name}", f"{anchor}.{name}", member, level + "#")
        return parts
    if not isinstance(thing, type):
        node = function_node(thing)
        return [heading, "", signature(path, node), "", markdown(text_of(thing)), ""]
    node = class_node(thing)
    made = [heading, "", constructor(path, node), "", markdown(text_of(thing)), ""]
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
        fields = [(f, text) for f, text in field_texts(thing).items() if not f.startswith("_")]
        if fields:
            kinds = {f.target.id: ast.unparse(f.annotation) for f in node.body if is_field(f)}
            made += ["| field | type | |", "|---|---|---|"]
            made += [f"| {code([f])} | {code([kinds[f]])} | {cell(linked(text))} |" for f, text in fields]
            made += [""]
    properties = [m for m in members(node) if is_property(m)]
    if properties:
        made += ["| property | type | |", "|---|---|---|"]
    for member in properties:
        kind = [] if member.returns is None else [ast.unparse(member.returns)]
        made += [f"| {code([member.name])} | {code(kind)} | {cell(text_of(getattr(thing, member.name, None)))} |"]
    made += [""]
    for member in members(node):
        if not is_property(member):
            text = markdown(text_of(getattr(thing, member.name, None)))
            made += [signature(member.name, member, method=True), "", text, ""]
    return made


def is_field(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def public(module: Any) -> Iterable[tuple[str, Any]]:
    """The names that a module gives out, in its own order."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    for name in names:
        thing = getattr(module, name)
        if isinstance(thing, type) or callable(thing):
            yield name, thing


SIGNATURE = re.compile(r"[\w.]+\(.*\)( -> .*)?")


def text_of(thing: Any) -> str:
    """Its own docstring, without the signature that Cython puts in the first line."""
    text = inspect.cleandoc((thing.__doc__ if isinstance(thing, type) else inspect.getdoc(thing)) or "")
    first, _, rest = text.partition("\n")
    return rest.strip() if SIGNATURE.fullmatch(first) else text


@cache
def tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def source_of(thing: Any) -> str:
    """The file that declares it; of what is compiled, the stub."""
    package = Path(importlib.import_module("lipwire").__file__ or "").parent
    try:
        found = inspect.getsourcefile(thing)
    except TypeError:
        found = None
    return found or str(next(package.rglob(STUB)))


def declaration(thing: Any, kinds: tuple[type[ast.AST], ...]) -> Any:
    for node in ast.walk(tree(source_of(thing))):
        if isinstance(node, kinds) and node.name == thing.__name__:  # type: ignore[attr-defined]
            return node
    raise SystemExit(f"{thing!r} is not declared in {source_of(thing)}")


def class_node(thing: type[Any]) -> ast.ClassDef:
    return declaration(thing, (ast.ClassDef,))  # type: ignore[no-any-return]


def function_node(thing: Any) -> ast.FunctionDef:
    return declaration(thing, (ast.FunctionDef, ast.AsyncFunctionDef))  # type: ignore[no-any-return]


def is_property(node: Any) -> bool:
    return any(ast.unparse(d).rpartition(".")[2] == "property" for d in node.decorator_list)


def members(node: ast.ClassDef) -> Iterator[Any]:
    """Public methods and properties, each once."""
    seen = set()
    for member in node.body:
        if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) or member.name.startswith("_"):
            continue
        if member.name not in seen:
            seen.add(member.name)
            yield member


def constructor(path: str, node: ast.ClassDef) -> str:
    for name in ("__init__", "__new__"):
        for member in node.body:
            if (
                isinstance(member, ast.FunctionDef)
                and member.name == name
                and member.args.args[1:] + (member.args.kwonlyargs)
            ):
                return signature(path, member, method=True, returns=False)
    return f"```python\nclass {path}\n```"


def signature(name: str, node: Any, *, method: bool = False, returns: bool = True) -> str:
    """`name(arguments) -> type`, over several lines where it is long."""
    static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
    args = ast.unparse(node.args)
    if method and not static:
        args = re.sub(r"^(self|cls)(, )?(/, )?", "", args)
    end = f" -> {ast.unparse(node.returns)}" if returns and node.returns is not None else ""
    head = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    line = f"{head}{name}({args}){end}"
    if len(line) > 90:
        line = f"{head}{name}(\n" + "".join(f"    {a},\n" for a in split(args)) + f"){end}"
    return f"```python\n{line}\n```"


def split(args: str) -> list[str]:
    """At the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(args):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            parts.append(args[start:i].strip())
            start = i + 1
    return [*parts, args[start:].strip()]


# Markdown

SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$")


def linked(line: str) -> str:
    """Pages that a line of prose names, as links: `docs/agora.md`, `protocol.md E`."""
    if line.startswith("    "):  # code
        return line
    line = re.sub(r"(?<![\w/\[`])docs/([\w/-]+\.md)", r"[\1](../\1)", line)
    return re.sub(r"(?<![\w/])protocol\.md ([A-H])\b", lambda m: f"[{m[0]}](../protocol.md#{sections()[m[1]]})", line)


@cache
def sections() -> dict[str, str]:
    """Letter -> anchor of the sections of docs/protocol.md."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (([A-Z])\. .+)$", text, re.M)
    return {letter: re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title, letter in titles}


def markdown(text: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    out: list[str] = []
    section = False
    for line in map(linked, text.splitlines()):
        if SECTION.match(line):
            out += ["", f"**{line}**", ""]
            section = True
        elif section and line.startswith("    ") and not line.startswith("     "):
            name, colon, rest = line.strip().partition(": ")
            out.append(f"- `{name}`: {rest}" if colon and " " not in name.replace(", ", ",") else f"- {line.strip()}")
        elif section and not line.startswith(" ") and line:
            section = False
            out += ["", line]
        else:
            out.append(line)
    return "\n".join(out)


def code(words: Iterable[str]) -> str:
    """Each as code, `|` included."""
    escaped = (w.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;") for w in words)
    return ", ".join(f'<code class="whole">{w}</code>' for w in escaped)


def cell(text: str) -> str:
    """Prose as one cell of a table."""
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


if __name__ == "__main__":
    check_complete()
    for where, page in pages().items():
        target = Path(sys.argv[1]) / where
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
