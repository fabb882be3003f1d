"""Whether Agora's SDK is there, found as the worker will find it, and without importing it: docs/agora.md says why.

Other things are called `agora`, too: packages of PyPI, and folders that an uninstalled SDK or somebody's project left
on the path, which Python takes for packages without an `__init__.py`. The SDK is what has `agora.rtc` and, beside it,
the native library that it loads.
"""

from __future__ import annotations

import importlib.util
import os
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

SDK_FOLDER = "LIPWIRE_AGORA_SDK"
"""Environment: a folder that has the SDK's package `agora`, where it is not installed."""
INSTALL = "agora-python-server-sdk (pip install 'lipwire[agora]')"
MODULE = Path("rtc", "agora_service.py")
LIBRARIES = (Path("agora_sdk", "libagora_rtc_sdk.so"), Path("agora_sdk", "libAgoraRtcKit.dylib"))


def available() -> bool:
    """Whether the SDK is there, with its native library: installed, or in the folder that LIPWIRE_AGORA_SDK names."""
    return lacking() is None


def lacking() -> str | None:
    """What is missing, or in its place, and what to do; None = the SDK is there."""
    spec = _find()
    if spec is None:
        return INSTALL
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    where = ", ".join(map(str, places)) or spec.origin
    package = next((place for place in places if (place / MODULE).is_file()), None)
    if spec.origin is None or package is None:
        return f"{INSTALL}; {where} is called agora, too, but is not Agora's SDK: it has no agora.rtc. Move it away"
    if not any((package / library).is_file() for library in LIBRARIES):
        return (
            f"the native library of Agora's SDK: {package / LIBRARIES[0]} is not there; python -c 'import agora.rtc' "
            "downloads it"
        )
    return None


def _find() -> ModuleSpec | None:
    folder = os.environ.get(SDK_FOLDER)
    found = PathFinder.find_spec("agora", [folder]) if folder else None
    if found is not None and found.origin is not None:
        return found
    try:
        return importlib.util.find_spec("agora") or found
    except ValueError:  # somebody has put a module without a spec there
        return found
