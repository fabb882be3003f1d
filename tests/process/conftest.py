"""After each test there is no child, and no file left open."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from multiprocessing import resource_tracker

import pytest

from support.child_owner import children, open_files
from support.paths import ROOT


@pytest.fixture(autouse=True)
def findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No child, zombies included, and no open file."""
    resource_tracker.ensure_running()  # multiprocessing's own, which stays
    gc.collect()  # what other tests left to it
    before = open_files()
    yield
    assert children() == []
    assert open_files() == before
