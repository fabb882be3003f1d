"""Which voice begins an utterance."""

from __future__ import annotations

import pytest

from lipwire.provider.utterances import ShuttingDown, UtteranceGate


def begins(gate: UtteranceGate, event_id: str | None, now: float) -> bool:
    try:
        gate.voice(event_id, now, closing=True)
    except ShuttingDown as exc:
        assert exc.code == "SHUTTING_DOWN"
        return True
    return False


@pytest.mark.parametrize(
    ("ended", "voice", "at", "new"),
    [
        ("a", "a", 10.2, False),
        ("a", "a", 10.4, True),
        ("a", "b", 10.1, True),
        ("a", None, 10.1, False),
        (None, "b", 10.1, False),
        (None, None, 10.4, True),
    ],
)
def test_after_an_end_by_id_or_by_time(ended: str | None, voice: str | None, at: float, new: bool) -> None:
    gate = UtteranceGate(0.3)
    assert not begins(gate, ended, 9.0) and not begins(gate, "any", 9.5)  # ids of chunks name no utterance
    gate.voice_end(ended, 10.0)
    assert begins(gate, voice, at) is new


def test_after_an_interrupt_all_is_new_and_what_began_goes_on() -> None:
    gate = UtteranceGate(0.3)
    gate.voice("a", 1.0, closing=False)
    gate.interrupt(2.0)
    assert begins(gate, "a", 2.0)
    gate.voice("b", 2.5, closing=False)
    assert not begins(gate, "b", 99.0)
