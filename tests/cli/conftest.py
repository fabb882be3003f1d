"""For all tests of the command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.zygote import let_go


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_stays() -> Iterator[None]:
    yield
    let_go()
