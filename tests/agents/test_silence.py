"""How long it has been silent."""

from __future__ import annotations

from lipwire.agents.options import Silence
from lipwire.agents.silence import SilenceWatch

STEP = 4800  # 100 ms


def fires(watch: SilenceWatch, silence: Silence | None, steps: int, start: int = 0, quiet: bool = True) -> list[int]:
    return [n for n in range(steps) if watch.look(silence, (start + n) * STEP, quiet)]


def test_it_counts_what_is_silent_and_counts_anew() -> None:
    watch, silence = SilenceWatch(), Silence(timeout_ms=1000, content="Are you there?")
    assert fires(watch, silence, 25) == [10, 21]
    assert fires(watch, silence, 5, 25, quiet=False) == []
    assert fires(watch, silence, 12, 30) == [10], "what was not silent does not count"


def test_without_a_setting_nothing_counts() -> None:
    watch = SilenceWatch()
    assert fires(watch, None, 1000) == []
    assert fires(watch, Silence(timeout_ms=500), 4, 1000) == [], "from when it was set"
