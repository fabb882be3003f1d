"""lipwire.models.ears.engine: whose turn it is, with the real tiny.en."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lipwire.errors import ModelFailed
from lipwire.models.ears import default_model
from lipwire.models.ears.engine import Engine
from lipwire.models.ears.whisper import Whisper
from lipwire.models.wire import Answer, Finish, Heard, Listen, Partial, Sound16

from .conftest import SENTENCE, STORY, plain


class Ears:
    """An engine with a clock that stands still unless it is set, and what it answered."""

    def __init__(self, whisper: Whisper) -> None:
        self.now = 0.0
        self.engine = Engine(clock=lambda: self.now)
        self.engine._models["tiny"] = whisper  # loaded already
        self.said: list[tuple[int, Answer]] = []

    def open(self, job: int, *, partials: bool = True, words: bool = False) -> None:
        listen = Listen("en-US", words=words, model="tiny", partials=partials)
        self.engine.open(job, listen, lambda answer: self.said.append((job, answer)))

    def run(self) -> list[tuple[int, Answer]]:
        """All that is to be done now."""
        while (job := self.engine.next()) is not None:
            self.engine.work(job)
        said, self.said = self.said, []
        return said


@pytest.fixture
def ears(whisper: Whisper) -> Ears:
    return Ears(whisper)


def test_texts_so_far_come_while_one_speaks_and_the_last_one_when_it_is_over(ears: Ears, sentence: bytes) -> None:
    ears.open(1, words=True)
    partials = []
    for at in range(0, len(sentence), 3200):
        ears.engine.take(1, Sound16(sentence[at : at + 3200]))
        partials += ears.run()
    texts = [answer.text for _, answer in partials if isinstance(answer, Partial)]
    assert len(texts) == len(partials) >= 2 and texts[-1] == SENTENCE
    ears.engine.take(1, Finish())
    ((job, heard),) = ears.run()
    assert job == 1 and isinstance(heard, Heard) and heard.text == SENTENCE and len(heard.words) == 5
    assert ears.run() == [] and ears.engine.next() is None


def test_what_is_over_comes_before_what_goes_on_in_the_order_of_the_ends(ears: Ears, sentence: bytes) -> None:
    for job in (1, 2, 3, 4):
        ears.open(job, partials=job != 4)
        ears.engine.take(job, Sound16(sentence))
    ears.engine.take(3, Finish())
    ears.engine.take(1, Finish())
    assert [(job, type(answer)) for job, answer in ears.run()] == [(3, Heard), (1, Heard), (2, Partial)]


def test_texts_so_far_take_half_of_the_time_and_do_not_queue_up(ears: Ears, whisper: Whisper, sentence: bytes) -> None:
    ears.open(1)
    ears.open(2)
    ears.engine.take(1, Sound16(sentence))
    ears.engine.take(2, Sound16(sentence + bytes(3200)))
    job = ears.engine.next()
    assert job == 2  # has waited longer
    ticks = iter((0.0, 0.3))  # it takes 0.3 s
    ears.engine._clock = lambda: next(ticks)
    ears.engine.work(2)
    for now, next_job in ((0.3, None), (0.59, None), (0.61, 1)):
        ears.now = now
        ears.engine._clock = lambda: ears.now
        assert ears.engine.next() == next_job
    ears.engine.take(2, Finish())  # what is over does not wait
    ears.now = 0.3
    assert ears.engine.next() == 2


def test_what_grows_long_is_heard_in_part_while_it_goes_on(ears: Ears, story: bytes) -> None:
    ears.open(1, partials=False, words=True)
    for at in range(0, len(story), 32_000):
        ears.engine.take(1, Sound16(story[at : at + 32_000]))
    utterance = ears.engine._jobs[1]
    assert ears.run() == [] and len(utterance.parts) == 1 and 15 <= utterance.taken / 32_000 <= 27
    ears.engine.take(1, Finish())
    ((_, heard),) = ears.run()
    assert isinstance(heard, Heard) and plain(heard.text) == plain(" ".join(STORY))
    assert plain(heard.words[-1][0]) == "please" and 26 < heard.words[-1][1] < 30


def test_dropped_in_the_middle_nothing_is_said(ears: Ears, sentence: bytes) -> None:
    ears.open(1)
    ears.engine.take(1, Sound16(sentence))
    ears.engine.drop(1)
    ears.engine.drop(1)
    assert ears.run() == []


def test_an_utterance_has_an_end(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.models.ears.engine.MOST_SECONDS", 1.0)
    ears.open(1)
    ears.engine.take(1, Sound16(bytes(32_000)))
    with pytest.raises(ModelFailed, match="lasts 0 minutes at most"):
        ears.engine.take(1, Sound16(bytes(2)))


def test_models_of_ones_own_and_what_is_none(ears: Ears, model: Path, tmp_path: Path, sentence: bytes) -> None:
    own = tmp_path / "my ears"
    shutil.copytree(model, own)
    ears.engine.open(1, Listen("en", model=str(own)), lambda answer: ears.said.append((1, answer)))
    ears.engine.take(1, Sound16(sentence))
    ears.engine.take(1, Finish())
    ((_, heard),) = ears.run()
    assert isinstance(heard, Heard) and heard.text == SENTENCE
    for listen, why in (
        (Listen("en", model="nothing"), "nothing"),
        (Listen("en", model=str(tmp_path)), r"has no model\.bin"),
        (Listen("de-DE", model=str(own)), "does not know the language 'de-DE', but en"),
    ):
        with pytest.raises(ModelFailed, match=why):
            ears.engine.open(2, listen, lambda answer: None)
    ears.engine.warm(str(own))
    assert default_model("en-GB") == "whisper-tiny.en" and default_model("de") == "whisper-base"
