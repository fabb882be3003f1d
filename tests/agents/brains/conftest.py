"""What several tests of brains have in common."""

from __future__ import annotations

import pytest

from support.cascade import spoken


@pytest.fixture(scope="session")
def speech() -> bytes:
    """16 kHz, without silence at the ends."""
    return spoken("Can you hear me now, my friend?")
