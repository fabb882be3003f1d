"""The floors of the house (docs/architecture.md): a unit imports only from floors below its own, and no module imports
itself through others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT

PACKAGE = ROOT / "python" / "lipwire"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("caches", "closing", "errors", "logs", "pools", "text", "_core", "_lazy"),
    ("stream", "outward", "answers", "audio", "avatar", "motion", "protocol", "process", "rtp"),
    ("atlas", "drawing", "models", "publish", "provider"),
    ("session", "channel"),
    ("agents", "capture"),
    ("servers", "conformance", "cluster"),
    ("app",),
    ("cli",),
)
"""From the ground up."""
FLOOR = {unit: number for number, units in enumerate(FLOORS, 1) for unit in units}
ROOF = {"", "__main__"}
"""`import lipwire` and `python -m lipwire`."""


def modules() -> dict[str, Path]:
    """Dotted name below `lipwire` -> file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[tuple[int, str]]:
    """(line, module below `lipwire`) of every import in a module, inside functions and under TYPE_CHECKING, too."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "lipwire":
                    yield node.lineno, alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            elif node.module is not None and node.module.partition(".")[0] == "lipwire":
                base = node.module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                full = ".".join([*base, alias.name])
                yield node.lineno, full if full in MODULES or full == "_core" else ".".join(base)


def unit(module: str) -> str:
    return module.partition(".")[0]


def test_every_unit_has_its_floor() -> None:
    units = {unit(name) for name in MODULES} - ROOF
    assert units == set(FLOOR) - {"_core"}
    assert len(FLOORS) <= 8


@pytest.mark.parametrize("name", sorted(MODULES.keys() - ROOF))
def test_a_unit_imports_only_from_below(name: str) -> None:
    own = unit(name)
    wrong = []
    for line, imported in imports(name):
        other = unit(imported)
        if other != own and not (other in FLOOR and FLOOR[other] < FLOOR[own]):
            wrong.append(f"{MODULES[name].relative_to(ROOT)}:{line} imports lipwire.{imported}")
    assert wrong == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: {module for _, module in imports(name)} & MODULES.keys() - {name} for name in MODULES.keys() - ROOF}
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> None:
        assert name not in way, "a circle: " + " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                walk(other, [*way, name])
            done.add(name)

    for name in sorted(graph):
        walk(name, [])


@pytest.mark.parametrize("path", sorted((ROOT / "lipsync").rglob("*.py")), ids=lambda path: path.name)
def test_the_benchmark_beside_the_house_uses_what_everybody_may(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lipwire":
            assert node.module is not None and "_core" not in node.module
            names = [alias.name for alias in node.names]
            assert all(not name.startswith("_") or name == "__version__" for name in names), names
