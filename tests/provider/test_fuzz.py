"""Random messages, in short: `make fuzz` does it for longer (tests/fuzz/wire.py says what must hold)."""

from __future__ import annotations

import pytest

from fuzz.wire import fuzz


@pytest.mark.parametrize("seed", [1, 15])
def test_random_messages(seed: int) -> None:
    run = fuzz(seed, messages=6000)
    assert run.messages >= 6000
    assert run.obeyed > 1000
    assert run.codes >= {code for code in run.answers if code.isupper()}
    assert len([code for code in run.answers if code.isupper()]) >= 7  # most of what can go wrong did
