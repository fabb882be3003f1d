"""When a turn ends: by what is known of it, in the time of its frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwire.agents.config import EndOfTurn, TurnDetection
from lipwire.agents.speech import turn_detector as module
from lipwire.agents.speech.judge import OnProbability
from lipwire.agents.speech.turn_detector import ASK_MS, TurnDetector, TurnDetectors, told
from lipwire.agents.speech.vad import FRAME_MS, LATE
from lipwire.models.find import Place

SPEECH = b"\x01\x10" * 160
SILENCE = bytes(320)


class Loud:
    """Voice activity of what is loud, as late as any."""

    sure = 5

    def __init__(self) -> None:
        self._late = deque([0.0] * LATE)

    def process(self, pcm: bytes) -> float:
        self._late.append(float(pcm != SILENCE))
        return self._late.popleft()


class Says:
    """A judge that answers when it is told to."""

    judges = True

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.waiting: OnProbability | None = None

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Says:
        self.asked.append(pcm)
        self.waiting = on_probability
        return self

    def drop(self) -> None:
        self.waiting = None

    def answer(self, probability: float | None) -> None:
        assert self.waiting is not None
        self.waiting(probability)


def silent_until_it_ends(detector: TurnDetector, at: dict[int, Callable[[], None]] | None = None) -> int | None:
    """Ms of silence that ended the turn; None: 3 s did not. `at`: what is done when there were so many ms."""
    for ms in range(0, 3000, FRAME_MS):
        if at is not None and ms in at:
            at[ms]()
        if (event := detector.hear(SILENCE)) is not None:
            assert event.kind == "stopped"
            return ms + FRAME_MS
    return None


def spoken(config: TurnDetection | None = None, *, begin: bool = False, **more: object) -> tuple[TurnDetector, Says]:
    """A turn of 400 ms. `begin`: one that was begun by hand, with speech before it."""
    judge = Says()
    options = {"judge": judge, "activity": Loud()} | more
    detector = TurnDetector(config or TurnDetection(), **options)  # type: ignore[arg-type]
    events = [detector.hear(SPEECH) for _ in range(40)]
    if begin:
        assert events == [None] * 40
        detector.hear(SILENCE), detector.hear(SILENCE), detector.hear(SILENCE)
        events = [detector.begin()]
        assert events[0] is not None
        assert detector.since(events[0].frame) == [SPEECH] * 17 + [SILENCE] * 3
    assert [event.kind for event in events if event is not None] == ["started"]
    return detector, judge


FALLEN, LEVEL = 7.0, 0.0


@pytest.mark.parametrize(
    ("probability", "at", "text", "text_at", "melody", "ends"),
    [
        (0.9, 150, None, None, LEVEL, 200),  # whole
        (0.26, 150, None, None, LEVEL, 200),
        (0.9, 230, None, None, LEVEL, 230),
        (0.9, 600, None, None, LEVEL, 500),  # too slow: half a second, as ever
        (0.1, 150, None, None, FALLEN, 1800),  # not whole
        (0.1, 480, None, None, FALLEN, 1800),
        (0.9, 150, "Yes.", 160, LEVEL, 200),
        (0.9, 150, "Yes.", 230, LEVEL, 230),  # the text was on its way
        (0.9, 150, "Yes.", 400, LEVEL, 250),  # and takes too long
        (0.9, 150, "I would like to", 160, LEVEL, 1800),
        (0.9, 150, "I would like to", 240, LEVEL, 1800),
        (None, 150, None, None, LEVEL, 500),  # the model is dead, and the melody does not fall
        (None, 150, None, None, FALLEN, 200),
        (None, 150, "I would like to", 160, FALLEN, 1800),
        (None, 150, "Yes.", 160, None, 500),
        (0.1, 150, " ", 170, LEVEL, 200),  # a noise
        (0.1, 150, "", 400, LEVEL, 400),
        (None, 150, "", 170, None, 200),
    ],
)
def test_a_turn_ends_by_what_is_known_of_it(
    probability: float | None,
    at: int,
    text: str | None,
    text_at: int | None,
    melody: float | None,
    ends: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "fall", lambda pcm: melody)
    detector, judge = spoken()
    does: dict[int, Callable[[], None]] = {at: lambda: judge.answer(probability)}
    if text is not None and text_at is not None:
        does[ASK_MS] = detector.expect_text
        does[text_at] = lambda: detector.understood(text)
    assert silent_until_it_ends(detector, does) == pytest.approx(ends, abs=20)


@pytest.mark.parametrize("silence", [0, 100, 500, 2500])
@pytest.mark.parametrize("whole", [True, False])
def test_a_clients_own_silence_always_wins(silence: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fall", lambda pcm: FALLEN if whole else LEVEL)
    detector, judge = spoken(TurnDetection(silence_duration_ms=silence, max_wait_ms=600))
    detector.understood("I am" if whole else "because")
    assert silent_until_it_ends(detector) == max(silence, (LATE + 1) * FRAME_MS)
    assert judge.asked == []


def test_a_longer_or_shorter_wait_and_none_at_all() -> None:
    for wait in (500, 700, 2400):
        detector, judge = spoken(TurnDetection(max_wait_ms=wait))
        assert silent_until_it_ends(detector, {200: lambda judge=judge: judge.answer(0.0)}) == wait  # type: ignore[misc]
    detector, judge = spoken(judged=False)
    assert silent_until_it_ends(detector) == 500 and not judge.asked
    detector, judge = spoken(TurnDetection(enabled=False))
    assert silent_until_it_ends(detector) is None and not judge.asked


@pytest.mark.parametrize(
    ("config", "language", "probability", "ends"),
    [
        ({"end_of_speech": "vad"}, "en-US", 0.9, 640),
        ({"end_of_speech": "vad", "silence_duration_ms": 300}, "en-US", 0.1, 300),
        ({"end_of_speech": "semantic"}, "en-US", 0.9, 320),
        ({"end_of_speech": "semantic", "silence_duration_ms": 900}, "en-US", 0.9, 900),
        ({"end_of_speech": "semantic", "silence_duration_ms": 120}, "zh-CN", 0.9, 170),  # the judge answers at 150
        ({"end_of_speech": "semantic", "max_wait_ms": 1300}, "en-US", 0.1, 1300),
        ({"end_of_speech": "semantic", "max_wait_ms": -1}, "en-US", 0.1, None),
        ({"end_of_speech": "semantic"}, "en-US", None, 640),  # nobody knows
        ({"end_of_speech": "semantic"}, "sw-KE", 0.9, 640),  # no language of Smart Turn's, nor of the rules
        ({"end_of_speech": "auto", "max_wait_ms": -1}, "en-US", 0.1, None),
        ({"end_of_speech": "manual"}, "en-US", 0.9, None),
    ],
)
def test_a_turn_ends_as_the_client_says(
    config: dict[str, Any], language: str, probability: float | None, ends: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fall", lambda pcm: LEVEL)
    detector, judge = spoken(TurnDetection(**config), language=language)
    answers = {150: lambda: judge.answer(probability)} if detector.judges else {}
    assert silent_until_it_ends(detector, answers) == ends


def test_semantic_without_a_model_goes_by_the_rules_of_seven_languages() -> None:
    config = TurnDetection(end_of_speech="semantic")
    judged = [TurnDetectors(language, "rules")(config).judges for language in ("en", "de-AT", "zh", "sw")]
    assert judged == [True, True, False, False]
    assert not TurnDetectors("en", "silence")(config).judges


def test_what_is_not_judged_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    config = TurnDetection(end_of_speech="semantic")
    for detectors, why in (
        (TurnDetectors("sw", "rules"), "sw cannot be"),
        (TurnDetectors("en", "silence"), "no turns"),
    ):
        caplog.clear()
        detectors(config), detectors(config), detectors(TurnDetection())
        [record] = caplog.records
        assert "640 ms of silence" in record.getMessage() and why in record.getMessage()


def test_a_turn_that_is_begun_counts_its_silence_from_the_first_sound_on() -> None:
    detector, _ = spoken(
        TurnDetection(start_of_speech="manual", end_of_speech="vad", prefix_padding_ms=200), begin=True
    )
    assert detector.begin() is None
    assert silent_until_it_ends(detector) is None  # its user has not spoken yet
    for _ in range(20):
        assert detector.hear(SPEECH) is None
    assert silent_until_it_ends(detector) == 640
    assert [detector.hear(SPEECH) for _ in range(100)] == [None] * 100  # nobody has said that the next one begins


def test_each_pause_is_judged_anew_and_an_old_answer_counts_no_more() -> None:
    detector, judge = spoken()
    for _ in range(15):
        assert detector.hear(SILENCE) is None
    assert len(judge.asked) == 1
    late = judge.waiting
    assert late is not None
    detector.understood("because")
    for _ in range(30):
        assert detector.hear(SPEECH) is None
    assert judge.waiting is None  # it was dropped
    assert silent_until_it_ends(detector, {150: lambda: judge.answer(0.9)}) == 200
    assert len(judge.asked) == 2
    assert judge.asked[1] == SPEECH * 40 + SILENCE * 15 + SPEECH * 30 + SILENCE * 10


def test_the_last_eight_seconds_are_judged() -> None:
    detector, judge = spoken()
    for _ in range(1000):
        detector.hear(SPEECH)
    silent_until_it_ends(detector)
    assert len(judge.asked[0]) == 800 * 320
    assert np.frombuffer(judge.asked[0], np.int16)[0] != 0


async def test_detectors_of_a_brain_need_no_model_to_work() -> None:
    detectors = TurnDetectors("en-US", "rules")
    for make in (detectors, TurnDetectors("en-US", "silence"), TurnDetectors("de-DE", "auto")):
        detector = make(TurnDetection())
        assert detector.judges is (make._judged)
        assert [detector.hear(SILENCE) for _ in range(200)] == [None] * 200
    await detectors.open()
    await detectors.close()
    await detectors.close()


@pytest.mark.parametrize(
    ("missing", "by", "said"),
    [
        ((), "auto", "Silero; Smart Turn and the last word"),
        (("smart-turn",), "auto", "Silero; the melody and the last word, in place of Smart Turn"),
        (
            ("silero-vad", "smart-turn"),
            "rules",
            "Lipwire's own voice activity, in place of Silero; the melody and the last word",
        ),
        ((), "silence", "Silero; half a second of silence"),
    ],
)
def test_what_tells_turns_is_told(
    missing: tuple[str, ...], by: EndOfTurn, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "there", lambda model: None if model.name in missing else Place(Path("x"), "a package"))
    monkeypatch.setattr(module, "lacks", lambda model: [])
    assert told(by) == said


def test_a_pause_is_told_when_its_user_goes_on() -> None:
    detector, _ = spoken(TurnDetection(silence_duration_ms=800))
    resumed = []
    for pcm in [SPEECH] * 20 + [SILENCE] * 5 + [SPEECH] * 20 + [SILENCE] * 40 + [SPEECH] * 20 + [SILENCE] * 100:
        detector.hear(pcm)
        if detector.endpointer.resumed_ms:
            resumed.append(detector.endpointer.resumed_ms)
    assert resumed == [50, 400]
    assert not detector.endpointer.speaking
    for pcm in [SPEECH] * 40:
        detector.hear(pcm)
        assert detector.endpointer.resumed_ms == 0, "a turn that begins goes on with nothing"
