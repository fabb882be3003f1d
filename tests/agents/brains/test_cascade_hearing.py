"""How the cascade hears: turns, and their text, at the right time and once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from lipwire import resample
from lipwire.agents.brains import cascade_hearing, make_brain, speech_services
from lipwire.agents.brains.base import (
    ReplyFinished,
    ReplyStarted,
    Services,
    SpeechStarted,
    SpeechStopped,
    TimedWord,
    UserText,
)
from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.speech.judge import OnProbability
from lipwire.agents.speech.offline_stt import OfflineStt, what_hears
from lipwire.agents.speech.stt import Transcript
from support.cascade import SILENCE, scene
from support.fakes import FakeChat
from support.fakes.record import Record
from support.machine import require


async def test_who_goes_on_is_heard_whole_and_answered_once(speech: bytes) -> None:
    # 350 ms of silence are more than half of 500 and less than all of it
    async with scene(texts=lambda pcm, rate: f"{len(pcm) / 32_000:.1f}") as s:
        await s.hear(SILENCE * 50 + speech, 350, step=0.001)
        await s.hear(speech, 700, step=0.001)
        await s.record.wait(ReplyFinished)
        assert len(s.record.of(SpeechStarted)) == len(s.record.of(SpeechStopped)) == len(s.chat.requests) == 1
        final = s.record.of(UserText, final=True)
        assert len(final) == 1 and float(final[0].text) >= 2 * len(speech) / 32_000 + 0.3
        assert 2 <= len(s.stt.requests) <= 4


async def test_speech_that_is_none_is_not_answered(speech: bytes) -> None:
    async with scene(texts=["", "yes"]) as s:
        await s.hear(SILENCE * 20 + speech, 700)
        assert (await s.record.wait(UserText, final=True)).text == ""
        await s.hear(speech, 700)
        await s.record.wait(ReplyFinished)
        assert s.asked() == [("user", "yes")] and len(s.chat.requests) == 1


async def test_a_placeholder_is_no_turn(speech: bytes) -> None:
    async with scene(texts="[BLANK_AUDIO]") as s:
        await s.hear(SILENCE * 20 + speech, 700)
        user = await s.record.wait(UserText)
        assert (user.text, user.final) == ("", True)
    assert not s.chat.requests and not s.record.of(ReplyStarted)


async def test_a_backchannel_keeps_no_question_waiting(speech: bytes) -> None:
    async with scene(texts=["What does it cost?", "Okay."]) as s:
        heard, answer = asyncio.Event(), s.stt.answer

        async def slow(request: Any) -> Any:
            response = await answer(request)
            await heard.wait()
            return response

        s.stt.answer = slow  # type: ignore[method-assign]
        s.brain.doubt(True)
        await s.hear(SILENCE * 20 + speech, 700)
        await s.hear(speech[:16_000])  # its text comes only now, while the user speaks again
        await s.record.wait(SpeechStarted, 2)
        heard.set()
        await s.record.wait(UserText, final=True)
        await s.hear(speech[16_000:], 700)
        await s.record.wait(ReplyFinished)
        assert s.asked() == [("user", "What does it cost?\nOkay.")] and len(s.chat.requests) == 1
        await s.hear(speech, 700)  # nothing waits: the agent goes on
        await s.record.wait(UserText, 3, final=True)
        assert len(s.record.of(ReplyStarted)) == 1


async def test_a_second_user_waits_and_one_who_leaves_in_mid_turn_is_answered(
    speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade_hearing, "GONE_SECONDS", 0.2)
    async with scene(turn_detection=TurnDetection(silence_duration_ms=400)) as s:
        await s.hear(SILENCE * 20 + speech)
        await s.hear(speech, 500, user="8")  # talks into it
        assert len(s.record.of(SpeechStarted)) == 1
        await s.record.wait(ReplyFinished)  # user 7 is gone without a silence
        await s.hear(SILENCE * 20 + speech, 700, user="8")
        await s.record.wait(ReplyFinished, 2)
        for i in range(20):
            await s.hear(SILENCE, user=f"many{i}")
        assert len(s.brain._hearing._detectors) == cascade_hearing.MAX_USERS


class Says:
    """Judges every turn alike, and at once."""

    def __init__(self, probability: float | None) -> None:
        self.probability = probability

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Says:
        on_probability(self.probability)
        return self

    def drop(self) -> None: ...

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "probability", "silence", "ends"),
    [
        ("good morning", 0.9, None, (200, 300)),
        ("I would like to", 0.9, None, (900, 1050)),
        ("good morning", 0.1, None, (900, 1050)),
        ("good morning", 0.1, 300, (280, 400)),
        ("I would like to", 0.9, 400, (380, 500)),
        ("", 0.1, None, (200, 400)),  # a noise
        ("uh-huh", 0.1, None, (900, 1050)),
        ("uh-huh, into what is said", 0.1, None, (200, 400)),
    ],
)
async def test_a_whole_sentence_is_answered_sooner_than_one_that_is_not(
    speech: bytes, text: str, probability: float, silence: int | None, ends: tuple[int, int]
) -> None:
    detection = TurnDetection(silence_duration_ms=silence, max_wait_ms=900)
    text, doubted, _ = text.partition(", into what is said")
    async with scene(texts=text, turn_detection=detection) as s:
        s.brain._hearing._make_detector._judged, s.brain._hearing._make_detector._judge = True, Says(probability)  # type: ignore[assignment]
        s.brain.doubt(bool(doubted))
        await s.hear(SILENCE * 20 + speech)
        silent = 0
        while not s.record.of(SpeechStopped) and silent < 2000:
            await s.hear(SILENCE)
            silent += 10
            if (turn := s.brain._hearing.turn) is not None and turn.result is not None:
                await asyncio.wait([turn.result])  # the service is as quick as it can be
        assert ends[0] <= silent <= ends[1]
        assert (await s.record.wait(UserText, final=True)).text == text
        assert len(s.stt.requests) == 1


async def test_a_language_that_changes_before_anybody_has_spoken_holds() -> None:
    async with scene() as s:
        s.brain.update({"language": "de-DE"})
        await s.hear(SILENCE)
        assert s.brain._hearing._detectors["7"].language == "de-DE"
        s.brain.update({"language": "fr-FR"})
        await s.hear(SILENCE, user="8")
        assert {detector.language for detector in s.brain._hearing._detectors.values()} == {"fr-FR"}


async def test_without_turn_detection_commit_ends_the_turn(speech: bytes) -> None:
    async with scene(turn_detection=TurnDetection(enabled=False)) as s:
        s.brain.commit()  # nobody has spoken
        await s.hear(SILENCE * 20 + speech, 2000)
        assert s.record.kinds() == ["SpeechStarted"] and not s.stt.requests
        s.brain.commit()
        await s.record.wait(ReplyFinished)
        assert len(s.stt.requests) == 1


async def test_what_a_long_talker_has_said_is_not_heard_anew_at_each_pause(
    say: Callable[[str], tuple[bytes, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of the turn is in its text, once, at its time; what is heard is not its square."""
    require(what_hears("en-US")[0] == "whisper-tiny.en", "whisper-tiny.en")
    lengths: list[int] = []

    class Counting(OfflineStt):
        async def open(self) -> None:
            pass

        def hear(self, on_partial: Callable[[str], None]) -> Any:
            return Listener()

    class Listener:
        """Says how many s it has heard."""

        def __init__(self) -> None:
            self.heard = 0

        def feed(self, pcm: bytes) -> None:
            self.heard += len(pcm)

        async def finish(self) -> Transcript:
            lengths.append(self.heard)
            ms = self.heard // 32
            return Transcript(f"{ms}ms.", (TimedWord(f"{ms}ms.", 0, ms),))

        def drop(self) -> None:
            pass

    monkeypatch.setattr(speech_services, "OfflineStt", Counting)
    sentence = resample(*say("I would like to go to the station and then on to the market."), 16_000)
    sentence = sentence[: len(sentence) // 320 * 320] + SILENCE * 40
    turn = SILENCE * 30 + sentence * round(40 * 32_000 / len(sentence))
    async with FakeChat("Yes.") as chat:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url))
        config.turn_detection = TurnDetection(silence_duration_ms=600)
        brain, record = make_brain(config, Services(end_of_turn="silence")), Record()
        await brain.open(record)
        for i in range(0, len(turn), 320):
            brain.hear(turn[i : i + 320], "7")
            await asyncio.sleep(0)
        for _ in range(80):
            brain.hear(SILENCE, "7")
            await asyncio.sleep(0)
        said = await record.wait(UserText, final=True)
        await brain.close()
    seconds = len(turn) / 32_000
    assert len(record.of(SpeechStarted)) == 1 and len(lengths) > 8, lengths
    assert max(lengths) / 32_000 < cascade_hearing.SETTLE_MS / 1000 + 2 * len(sentence) / 32_000, (
        "seconds heard at a time"
    )
    parts = [int(text.removesuffix("ms.")) for text in said.text.split()]
    assert len(parts) > 2 and [word.duration_ms for word in said.words] == parts
    assert seconds - 1 < sum(parts) / 1000 < seconds + 1.5, (parts, seconds)
    for before, after in itertools.pairwise(said.words):  # each begins within the silence behind the one before
        assert before.start_ms + before.duration_ms - after.start_ms == 50
