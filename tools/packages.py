"""The packages that an extra of this project brings, for pip: python tools/packages.py EXTRA

So that the set-up can say when they come, apart from the C core, which is compiled after them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = re.compile(r"lipwire\[([^]]+)\]")


def packages(extra: str) -> list[str]:
    """The requirements of an extra, those of our own extras that it names among them."""
    found: list[str] = []
    for requirement in PROJECT["optional-dependencies"][extra]:
        ours = OURS.fullmatch(requirement)
        found += [r for name in ours[1].split(",") for r in packages(name)] if ours else [requirement]
    return found


if __name__ == "__main__":
    print("\n".join(dict.fromkeys([*PROJECT["dependencies"], *packages(sys.argv[1])])))
