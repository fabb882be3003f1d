"""Reads the ctypes declarations of the installed Agora SDK and writes the C side of them.

    python generate.py SDK_FOLDER OUT_FOLDER

writes `declarations.json` (every symbol with its signature, every structure with its layout), `sdk.h` (the structures,
their layout asserted, and a `do_NAME` prototype for each symbol) and `sdk.c` (each exported symbol: it records the
call, gives an injected failure where one is set, and otherwise calls `do_NAME`, which does nothing unless double.c has
one). What is written is derived from the SDK, so it stays in the build folder.

The native library is not needed: `ctypes.CDLL` is replaced before the SDK is imported.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import pkgutil
import sys
from pathlib import Path
from typing import Any, ClassVar

SIMPLE = {
    "c": "char",
    "b": "int8_t",
    "B": "uint8_t",
    "h": "int16_t",
    "H": "uint16_t",
    "i": "int",
    "I": "unsigned int",
    "l": "long",
    "L": "unsigned long",
    "q": "long long",
    "Q": "unsigned long long",
    "f": "float",
    "d": "double",
    "?": "_Bool",
    "P": "void *",
    "z": "const char *",
}
"""C's name for a simple ctypes type, by its `_type_`."""


DEAD_MODULES = {"agora.rtc.audio_sessionctrl"}


class Symbol:
    """Takes the place of a function of the native library while the SDK declares it."""

    def __init__(self) -> None:
        self.argtypes: list[Any] = []
        self.restype: Any = ctypes.c_int


class Library:
    """Takes the place of a native library; hands out a Symbol for any name."""

    symbols: ClassVar[dict[str, Symbol]] = {}

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.symbols.setdefault(name, Symbol())


class Writer:
    """Collects the structures that the symbols reach, and names their types in C."""

    def __init__(self) -> None:
        self.names: dict[type, str] = {}
        self.taken: set[str] = set()
        self.bodies: list[str] = []
        self.layouts: dict[str, Any] = {}
        self.pending: list[type] = []

    def type(self, t: Any, *, complete: bool = False) -> str:
        """The C type. `complete`: its size must be known, so its structure is written first."""
        if t is None:
            return "void"
        if isinstance(t, type) and issubclass(t, ctypes.Structure):
            name = self.names.get(t) or self.claim(t)
            if complete:
                self.define(t)
            return f"struct {name}"
        if isinstance(t, type) and hasattr(t, "_argtypes_"):
            arguments = ", ".join(self.type(a) for a in t._argtypes_) or "void"
            result = getattr(t, "_restype_")  # noqa: B009
            # Four observers declare a Python class as what they return; none is ever called.
            known = result is None or issubclass(result, (ctypes._SimpleCData, ctypes._Pointer))
            return f"{self.type(result) if known else 'void *'} (*)({arguments})"
        if isinstance(t, type) and issubclass(t, ctypes._Pointer):
            return f"{self.type(t._type_)} *"
        return SIMPLE[t._type_]

    def claim(self, t: Any) -> str:
        name, n = t.__name__, 2
        while name in self.taken:  # the SDK defines one structure twice, the second with one field more
            name, n = f"{t.__name__}_{n}", n + 1
        self.taken.add(name)
        self.names[t] = name
        self.pending.append(t)
        return name

    def define(self, t: Any) -> None:
        name = self.names[t]
        if name in self.layouts:
            return
        self.layouts[name] = {}
        lines, asserts, fields = [], [], []
        for field, kind, *_ in t._fields_:
            again = field in fields
            fields.append(field)
            unique = f"{field}_{fields.count(field)}" if again else field
            lines.append(f"    {self.declare(kind, unique)};")
            if [f[0] for f in t._fields_].count(field) == 1:
                offset = getattr(t, field).offset
                asserts.append(f'_Static_assert(offsetof(struct {name}, {unique}) == {offset}, "{name}.{unique}");')
        asserts.append(f'_Static_assert(sizeof(struct {name}) == {ctypes.sizeof(t)}, "{name}");')
        self.bodies.append("\n".join([f"struct {name} {{", *lines, "};", *asserts, ""]))
        self.layouts[name] = {"size": ctypes.sizeof(t), "fields": [self.declare(f[1], f[0]) for f in t._fields_]}

    def declare(self, kind: Any, name: str) -> str:
        if issubclass(kind, ctypes.Array):
            return f"{self.type(kind._type_, complete=True)} {name}[{kind._length_}]"
        text = self.type(kind, complete=issubclass(kind, ctypes.Structure))
        return text.replace("(*)", f"(*{name})", 1) if "(*)" in text else f"{text} {name}"

    def finish(self) -> None:
        while self.pending:
            self.define(self.pending.pop())


def declarations(folder: Path) -> dict[str, Symbol]:
    """Imports every module of the SDK in `folder`; the symbols that it declares."""
    logging.disable()  # its import logs paths as errors
    ctypes.CDLL = Library  # type: ignore[assignment,misc]
    sys.path.insert(0, str(folder))
    package = importlib.import_module("agora")
    for module in pkgutil.walk_packages(package.__path__, "agora."):
        try:
            importlib.import_module(module.name)
        except ImportError:  # 2.4.10 ships a module that imports a name which is gone; nothing else uses it
            if module.name not in DEAD_MODULES:
                raise
    return dict(sorted(Library.symbols.items()))


def log_argument(kind: Any, name: str) -> str:
    """The statement that records one argument."""
    code = getattr(kind, "_type_", "P")
    if code == "z":
        return f"double_str({name});"
    if code in ("f", "d"):
        return f"double_real((double){name});"
    if isinstance(code, str) and code != "P" and issubclass(kind, ctypes._SimpleCData):
        return f"double_int((long long){name});"
    return f"double_ptr((const void *){name});"


def write(symbols: dict[str, Symbol], out: Path) -> None:
    """The three files."""
    writer = Writer()
    prototypes, bodies, described = [], [], {}
    for name, symbol in symbols.items():
        result = writer.type(symbol.restype)
        kinds = [writer.type(kind) for kind in symbol.argtypes]
        described[name] = {"restype": result, "argtypes": kinds}
        parameters = ", ".join(f"{kind} a{i}" for i, kind in enumerate(kinds)) or "void"
        values = ", ".join(f"a{i}" for i in range(len(kinds)))
        prototypes.append(f"{result} do_{name}({parameters});")
        default = "" if result == "void" else "return 0; "
        silence = " ".join(f"(void)a{i};" for i in range(len(kinds)))
        logged = " ".join(log_argument(kind, f"a{i}") for i, kind in enumerate(symbol.argtypes))
        bodies.append(f"__attribute__((weak)) {result} do_{name}({parameters}) {{ {silence} {default}}}")
        if result == "void":
            action = f"(void)forced; do_{name}({values}); double_end(0);"
        else:
            action = (
                f"{result} r = double_injected(&forced) ? ({result})forced : do_{name}({values}); "
                "double_end((intptr_t)r); return r;"
            )
        bodies.append(
            f'__attribute__((visibility("default"))) {result} {name}({parameters}) {{\n'
            f'    intptr_t forced; double_begin("{name}"); {logged}\n    {action}\n}}\n'
        )
    writer.finish()
    forward = [f"struct {name};" for name in sorted(writer.taken)]
    guard = ["#pragma once", "#include <stddef.h>", "#include <stdint.h>", ""]
    (out / "sdk.h").write_text("\n".join([*guard, *forward, "", *writer.bodies, *prototypes, ""]))
    (out / "sdk.c").write_text("\n".join(['#include "sdk.h"', '#include "double.h"', "", *bodies, ""]))
    described_all = {"symbols": described, "structures": dict(sorted(writer.layouts.items()))}
    (out / "declarations.json").write_text(json.dumps(described_all, indent=1) + "\n")


if __name__ == "__main__":
    write(declarations(Path(sys.argv[1])), Path(sys.argv[2]))
