"""What several tests share: the tools a machine may lack, and a voice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lipwire.audio import espeak as voice
from support.agora_double.describe import NATIVE
from support.agora_double.harness import Double
from support.agora_double.install import install
from support.machine import AGORA, CHROMIUM, FIREFOX, require

NEEDS = {"chromium": "browser", "firefox_path": "browser", "sdk": "agora"}
"""A test that asks for this fixture carries this marker."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in NEEDS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(NEEDS[fixture])
        if item.get_closest_marker("browser"):
            # Two Chromiums at once leave neither the time for 25 pictures a second.
            item.add_marker(pytest.mark.xdist_group("browser"))
    # What takes long is begun first, and not when the others are nearly done. Browser tests are: the largest group is.
    items.sort(key=lambda item: not item.get_closest_marker("slow") or item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Drawings of avatars are kept for this run; its workers and what the tests start share them. No server pre-encodes
    video in the background, which takes a minute, and the end of a turn does not wait for a process."""
    base = tmp_path_factory.getbasetemp()
    os.environ["XDG_CACHE_HOME"] = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache")
    os.environ.setdefault("LIPWIRE_PREENCODED", "off")
    os.environ.setdefault("LIPWIRE_END_OF_TURN", "silence")


@pytest.fixture(scope="session")
def say() -> Callable[[str], tuple[bytes, int]]:
    """espeak-ng: text -> (PCM16 mono, Hz)."""
    require(voice.available(), "espeak-ng (espeakng-loader)")
    return voice.synthesize


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    require(path, "chromium")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def firefox_path() -> str:
    """Path of a Firefox."""
    path = next(filter(None, map(shutil.which, FIREFOX)), None)
    require(path, "firefox-esr")
    assert path is not None
    return path


@pytest.fixture(scope="session")
def sdk() -> Path:
    """The folder with the SDK on the double."""
    try:
        return install(AGORA)
    except (subprocess.CalledProcessError, OSError) as exc:
        require(False, f"the Agora SDK's source archive, or a C compiler ({exc})")
        raise


@pytest.fixture
def double(sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A folder for this test's processes. Afterwards: no callback called the library back."""
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(sdk))
    monkeypatch.setenv("AGORA_DOUBLE", str(tmp_path))
    double = Double(tmp_path)
    yield double
    calls = double.calls()
    assert [c for c in calls if "within" in c] == []
    assert {c["call"] for c in calls} <= set(NATIVE)
