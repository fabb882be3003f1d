"""After each test there is no child, and nothing else of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.workers import Left


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    left = Left()
    monkeypatch.setenv(*left.mark.split("="))
    yield
    left.check()
