"""agents/doubt.py; what the conversation makes of it is in test_interruptions.py."""

from __future__ import annotations

import pytest

from lipwire.agents.config import TurnDetection
from lipwire.agents.doubt import AT_THE_END, Doubt


@pytest.mark.parametrize(
    ("left_ms", "text", "means"),
    [
        (None, "Stop.", True),
        (None, "mm-hmm", False),
        (None, " ", False),
        (AT_THE_END + 1, "okay", False),
        (AT_THE_END, "okay", True),  # it answers what was asked last
        (AT_THE_END, "", False),
        (0.0, "ja, genau", True),
    ],
)
def test_what_a_text_means(left_ms: float | None, text: str, means: bool) -> None:
    assert Doubt([], left_ms).means(text, "en-US", TurnDetection()) is means


def test_by_language_and_by_settings() -> None:
    doubt, own = Doubt([], None), TurnDetection(backchannels=["aye"])
    assert not doubt.means("Genau.", "de-DE", TurnDetection()) and doubt.means("Genau.", "en-US", TurnDetection())
    assert not doubt.means("Aye, aye!", "en-GB", own) and doubt.means("okay", "en-GB", own)
