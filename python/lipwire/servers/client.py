"""Where lipwire-client is, the JavaScript package for who draws the face itself: `/client/...` serves its modules.

A wheel holds them beside this package's own files; where it is installed in place they are the source tree's, so that
a change works at once.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
FOLDER = next(
    (folder for folder in (_PACKAGE / "client", _PACKAGE.parents[1] / "js" / "src") if folder.is_dir()),
    _PACKAGE / "client",
)


def client_files() -> list[Path]:
    """Its modules, in the order of their names."""
    return sorted(FOLDER.glob("*.js"))
