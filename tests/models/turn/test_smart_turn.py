"""Smart Turn and its engine, with the real model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.find import find, there
from lipwire.models.table import known
from lipwire.models.turn.engine import Engine
from lipwire.models.turn.smart_turn import RATE, SECONDS, SmartTurn
from lipwire.models.wire import Answer, Judge, Probability, Speak
from support.machine import require


@pytest.fixture(scope="module")
def model() -> SmartTurn:
    require(there(known("smart-turn")), "smart-turn (pipecat-ai)")
    return SmartTurn(find("smart-turn"))


def test_it_hears_the_last_eight_seconds(model: SmartTurn, say: Callable[[str], tuple[bytes, int]]) -> None:
    pcm = resample(*say("Yes, that is right."), RATE) + bytes(RATE // 5)
    told = model.probability(pcm)
    assert told > 0.5
    padded = bytes(2 * RATE * SECONDS - len(pcm)) + pcm
    noise = np.random.default_rng(2).integers(-9000, 9000, RATE * 3).astype(np.int16).tobytes()
    assert model.probability(padded) == told == model.probability(noise + padded)
    assert model.probability(resample(*say("I would like to book a"), RATE)[: RATE * 2]) < told
    assert 0 <= model.probability(b"") <= 1


def test_the_engine_answers_the_newest_question_first_and_none_that_was_dropped(model: SmartTurn) -> None:
    engine = Engine()
    answers: list[tuple[int, Answer]] = []
    engine.warm("")
    assert engine.next() is None
    for job in (1, 2, 3):
        engine.open(job, Judge(bytes(RATE)), lambda answer, job=job: answers.append((job, answer)))  # type: ignore[misc]
    engine.drop(2)
    engine.drop(9)
    while (due := engine.next()) is not None:
        engine.work(due)
    assert [job for job, _ in answers] == [3, 1]
    assert all(isinstance(answer, Probability) for _, answer in answers)
    with pytest.raises(ModelFailed, match="does not do Speak"):
        engine.open(4, Speak("hibari:heart", "x"), lambda answer: None)
    with pytest.raises(ModelFailed, match="judged by smart-turn, not by 'other'"):
        engine.warm("other")
