"""Turn taking by a whole agent that thinks by the cascade: real sound goes into its channel, in the time of a clock
that the tests turn. What it asks is answered by fakes on loopback."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import pytest

from lipwire.agents.agent import Agent
from lipwire.agents.brains.base import Failed, Services
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.events import SpeechCut
from lipwire.agents.feelings import LISTEN_EVERY
from lipwire.agents.options import Interruption
from lipwire.agents.speech.offline_stt import SPHINX, what_hears
from lipwire.errors import LipwireError
from lipwire.stream import StreamSpec
from support.agent_puppet import Clock, MemoryChannel, MemoryRoom
from support.cascade import SILENCE, spoken
from support.fakes import FakeChat, FakeStt, FakeTts
from support.fakes.server import Response
from support.machine import require

LONG = (
    "This is a rather long answer, which goes on and on, so that there is time to talk into it. "
    "There is much more to say about it, and who does not want to hear it has to say so."
)


async def broken(request: Any) -> Any:
    return Response(400, b'{"error": {"message": "no"}}')


class Talk:
    """An agent and a user in a room."""

    def __init__(self, agent: Agent, clock: Clock, user: MemoryChannel, chat: FakeChat, stt: FakeStt) -> None:
        self.agent, self.clock, self.user, self.chat, self.stt = agent, clock, user, chat, stt
        self.events: list[Any] = []

    async def say(self, pcm: bytes, silence_ms: int = 0, step: float = 0.0005) -> None:
        """The user speaks, 10 ms by 10 ms of the clock."""
        pcm += SILENCE * (silence_ms // 10)
        for at in range(0, len(pcm) - 319, 320):
            self.user.say(pcm[at : at + 320])
            self.clock.tick()
            await asyncio.sleep(step)

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Until that holds; the user sends silence."""
        for _ in range(round(seconds * 100)):
            if condition():
                return
            await self.say(SILENCE, step=0.001)
        raise AssertionError("it did not come to that")

    async def becomes(self, *states: str) -> None:
        await self.until(lambda: self.agent.state in states)

    async def speaks(self) -> None:
        """It answers a question, and is heard."""
        self.agent.tell("Well?")
        await self.becomes("speaking")
        await self.say(b"", 500)

    def asked(self, number: int = -1) -> list[tuple[str, Any]]:
        return [(m["role"], m.get("content")) for m in self.chat.requests[number]["messages"]]

    def ends(self) -> list[tuple[str, Any, Any]]:
        """Of each turn of the user's speech: text, how it ended, and why."""
        turns = [turn for turn in self.agent.turns() if turn["start_reason"] == "speech"]
        return [(turn["user_text"], turn["end_reason"], turn["caused_by"]) for turn in turns]


def held(stt: FakeStt, answer: Callable[[Any], Any] | None = None) -> asyncio.Event:
    """From now on speech to text answers when this is set. `answer`: what, in place of its own."""
    told, answers = asyncio.Event(), answer or stt.answer

    async def waits(request: Any) -> Any:
        await told.wait()
        return await answers(request)

    stt.answer = waits  # type: ignore[method-assign]
    return told


@asynccontextmanager
async def talk(
    texts: Any = "good morning", replies: Any = LONG, services: Services | None = None, **config: Any
) -> AsyncIterator[Talk]:
    turns = config.pop("turn_detection", {})
    async with FakeChat(replies) as chat, FakeStt(texts) as stt, FakeTts() as tts:
        made = AgentConfig(
            name="a",
            channel="c",
            llm=Llm(url=chat.url),
            turn_detection=TurnDetection(**{"suppress_echo": False, **turns}),
            **config,
        )
        brain = CascadeBrain(made, services or Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence"))
        clock, room = Clock(), MemoryRoom()
        user = MemoryChannel(room, "7", record=False)
        await user.open(StreamSpec(session_id="u", width=0, height=0, fps=Fraction(1)))
        agent = Agent(made, MemoryChannel(room, "agent"), brain)
        there = Talk(agent, clock, user, chat, stt)
        agent.on_event = there.events.append
        await agent.start()
        try:
            yield there
        finally:
            await agent.stop()


@pytest.mark.parametrize("guarded", [False, True])
async def test_what_is_appended_is_answered_when_the_agent_has_said_its_own(speech: bytes, guarded: bool) -> None:
    async with talk(interruption=Interruption(enabled=False), turn_detection={"suppress_echo": guarded}) as t:
        await t.speaks()
        await t.say(b"", 1000)  # so that it is known that the user's device sends no echo
        await t.say(speech, 700)
        await t.until(lambda: t.stt.requests)
        assert t.agent.state == "speaking" and len(t.chat.requests) == 1
        await t.until(lambda: len(t.chat.requests) == 2)
        assert t.asked() == [("user", "Well?"), ("assistant", LONG), ("user", "good morning")]
        await t.becomes("speaking")
        await t.until(lambda: t.agent.state == "listening")
        assert t.ends() == [("good morning", "finished", None)]
        figures = t.agent.stats()
        assert (figures["interruptions"], figures["false_interruptions"]) == (0, 0)
        assert [entry["content"] for entry in t.agent.history()] == ["Well?", LONG, "good morning", LONG]


async def test_what_is_ignored_is_not_even_understood(speech: bytes) -> None:
    async with talk(interruption=Interruption(enabled=False, when_off="ignore")) as t:
        await t.speaks()
        await t.say(speech, 700)
        await t.until(lambda: t.ends() == [("", "no_reply", "disable")])
        await t.becomes("listening")
        assert t.stt.requests == [] and len(t.chat.requests) == 1
        await t.say(speech, 700)
        await t.until(lambda: len(t.chat.requests) == 2)
        assert t.asked()[1:] == [("assistant", LONG), ("user", "good morning")]


async def test_only_keywords_interrupt(speech: bytes) -> None:
    how = Interruption(mode="keywords", keywords=["stop"])
    async with talk(texts=["a nice day", "Please, stop it", "go on"], interruption=how) as t:
        await t.speaks()
        await t.say(speech, 700)
        await t.until(lambda: t.ends() == [("a nice day", "no_reply", "keywords")])
        assert t.agent.state == "speaking"
        await t.say(speech, 700)
        await t.until(lambda: len(t.chat.requests) == 2)
        [first] = [turn for turn in t.agent.turns() if turn["start_reason"] == "text"]
        assert first["end_reason"] == "interrupted" and LONG.startswith(first["agent_text"])
        assert t.asked() == [("user", "Well?"), ("assistant", first["agent_text"]), ("user", "Please, stop it")]
        await t.becomes("speaking")
        await t.say(b"", 500)
        t.agent.interrupt()
        await t.say(speech, 700)  # the agent listens: nothing but that it is said is needed
        await t.until(lambda: len(t.chat.requests) == 3)
        assert t.asked()[-1] == ("user", "go on")


async def test_a_question_whose_text_comes_late_has_its_answer_all_the_same(speech: bytes) -> None:
    """The user goes on before speech to text has answered: what he says then is beside it."""
    whole = len(speech) // 2
    texts = lambda pcm, rate: "What is it?" if len(pcm) > whole else "And now?"  # noqa: E731
    async with talk(texts=texts, interruption=Interruption(enabled=False)) as t:
        t.stt.latency = 0.6
        await t.say(speech, 600)
        await t.becomes("thinking")
        t.stt.latency = 0.0
        await t.say(speech[:12_800])
        await t.until(lambda: t.chat.requests)
        assert t.asked() == [("user", "What is it?")]
        await t.say(b"", 700)
        await t.until(lambda: len(t.chat.requests) == 2)
        assert t.asked()[-1][1].endswith("And now?")


@pytest.mark.parametrize("how", ["think", "chat"])
async def test_what_takes_the_place_of_a_turn_whose_text_comes_late(speech: bytes, how: str) -> None:
    async with talk(texts="What is it?") as t:
        told = held(t.stt)
        await t.say(speech, 600)
        await t.becomes("thinking")
        t.agent.think("Who is it?") if how == "think" else t.agent.tell("Who is it?", user="7")
        await t.until(lambda: t.chat.requests)
        told.set()
        await t.until(lambda: t.agent.history()[-1]["content"] == LONG)
        assert len(t.chat.requests) == 1 and t.asked() == [("user", "Who is it?")]
        assert t.ends()[0][1:] == ("interrupted" if how == "think" else "no_reply", "think")
        reasons = [(turn["start_reason"], turn["end_reason"]) for turn in t.agent.turns()]
        assert reasons[1:] == [("think" if how == "think" else "text", "finished")]
        assert [one["content"] for one in t.agent.history()] == ["What is it?", "Who is it?", LONG]
        t.agent.tell("And then?")
        await t.until(lambda: len(t.chat.requests) == 2)
        said = [("user", "What is it?\nWho is it?"), ("assistant", LONG), ("user", "And then?")]
        assert t.asked() == said, "the model is told it in that order, too"


@pytest.mark.parametrize("how", ["respond", "system"])
async def test_what_is_no_question_is_answered_with_the_users_whose_text_comes_late(speech: bytes, how: str) -> None:
    async with talk(texts="What is it?") as t:
        told = held(t.stt)
        await t.say(speech, 600)
        await t.becomes("thinking")
        t.agent.respond("Be brief.") if how == "respond" else t.agent.tell("They wait.", "system")
        await t.say(b"", 1000)
        assert t.chat.requests == []
        told.set()
        await t.until(lambda: LONG in [one["content"] for one in t.agent.history()])
        words = " ".join(content for _, content in t.asked())
        last = "Be brief." if how == "respond" else "They wait."
        assert len(t.chat.requests) == 1 and "What is it?" in words and last in words
        assert t.ends()[0][1:] == ("no_reply", "think")


async def test_speech_to_text_that_fails_where_something_else_is_answered(speech: bytes) -> None:
    async with talk() as t:
        told = held(t.stt, broken)
        await t.say(speech, 600)
        await t.becomes("thinking")
        t.agent.think("Who is it?")
        await t.until(lambda: t.chat.requests)
        told.set()
        await t.until(lambda: [event for event in t.events if isinstance(event, Failed)])
        [failed] = [event for event in t.events if isinstance(event, Failed)]
        assert failed.code == "STT_ERROR" and failed.minor
        await t.until(lambda: t.agent.history()[-1]["content"] == LONG)
        assert [one["content"] for one in t.agent.history()] == ["Who is it?", LONG]


async def test_speech_to_text_that_fails_beside_what_is_said_disturbs_nothing(speech: bytes) -> None:
    async with talk(interruption=Interruption(enabled=False)) as t:
        await t.speaks()
        answer, t.stt.answer = t.stt.answer, broken  # type: ignore[method-assign]
        await t.say(speech, 700)
        await t.until(lambda: [event for event in t.events if isinstance(event, Failed)])
        t.stt.answer = answer  # type: ignore[method-assign]
        assert t.agent.state == "speaking" and t.ends() == [("", "no_reply", None)]
        await t.becomes("listening")
        assert len(t.chat.requests) == 1 and t.agent.history()[-1]["content"] == LONG
        await t.say(speech, 700)
        await t.until(lambda: len(t.chat.requests) == 2)


async def test_a_client_says_when_it_is_heard(speech: bytes) -> None:
    turns = {"start_of_speech": "manual", "end_of_speech": "manual", "prefix_padding_ms": 200}
    async with talk(turn_detection=turns) as t:
        await t.say(speech, 1500)
        assert t.agent.turns() == [] and t.stt.requests == []  # nobody has said that this counts
        assert t.agent.manual_end("7") == "no speech has begun"
        assert t.agent.manual_start("7") is None
        await t.say(b"", 1500)
        await t.say(speech, 2500)
        assert t.agent.state == "listening" and t.stt.requests == []
        assert t.agent.manual_end("7") is None
        assert t.agent.state == "thinking"
        await t.until(lambda: t.chat.requests)
        assert t.stt.seconds == [pytest.approx(0.2 + 1.5 + len(speech) / 32_000 + 2.5, abs=0.03)]
        await t.becomes("speaking")
        assert t.agent.manual_start("7") is None
        assert t.agent.state == "listening"  # at once
        await t.say(speech)
        assert t.agent.manual_end("7") is None
        await t.until(lambda: len(t.chat.requests) == 2)


async def test_a_client_begins_and_silence_ends(speech: bytes) -> None:
    async with talk(turn_detection={"start_of_speech": "manual", "end_of_speech": "vad"}) as t:
        assert t.agent.manual_start("7") is None
        await t.say(b"", 2000)  # the user thinks
        assert t.agent.conversation.spoken == 1
        await t.say(speech, 600)
        assert t.agent.conversation.spoken == 1
        await t.say(b"", 80)
        assert t.agent.conversation.spoken is None
        await t.until(lambda: t.chat.requests)
        await t.say(speech, 1000)
        assert len(t.agent.turns()) == 1


async def test_a_voice_begins_and_a_client_ends(speech: bytes) -> None:
    async with talk(turn_detection={"end_of_speech": "manual"}) as t:
        await t.say(speech, 3000)
        await t.say(speech, 3000)
        assert len(t.agent.turns()) == 1 and t.stt.requests == []
        assert t.agent.manual_end("7") is None
        await t.until(lambda: t.chat.requests)
        assert t.stt.seconds == [pytest.approx(2 * len(speech) / 32_000 + 6, abs=0.2)]


async def test_speech_that_its_client_does_not_end(speech: bytes) -> None:
    async with talk(turn_detection={"start_of_speech": "manual", "end_of_speech": "manual"}) as t:
        assert t.agent.manual_start("7") is None
        await t.say(speech)
        await t.clock.run(61.0)
        [cut] = [event for event in t.events if isinstance(event, SpeechCut)]
        assert (cut.turn_id, cut.reason) == (1, "max_duration")
        await t.until(lambda: t.chat.requests)
        assert t.agent.manual_end("7") == "no speech has begun"


async def test_how_long_a_voice_has_to_last(speech: bytes) -> None:
    short = speech[: 32 * 350]
    turns = {"interrupt_duration_ms": 160, "speaking_interrupt_duration_ms": 900}
    async with talk(turn_detection=turns) as t:
        await t.speaks()
        await t.say(short, 700)
        assert t.ends() == [] and t.agent.state == "speaking"
        await t.say(speech, 700)
        await t.until(lambda: len(t.chat.requests) == 2)
        await t.becomes("speaking")
        t.agent.interrupt()
        await t.say(short, 700)
        await t.until(lambda: len(t.chat.requests) == 3)  # while it listens that is enough


async def test_a_cough_into_what_it_says_with_each_way_to_end_a_turn(speech: bytes) -> None:
    for turns in ({"end_of_speech": "vad"}, {"end_of_speech": "semantic"}, {"interrupt_duration_ms": 120}):
        async with talk(texts=["", "no, the other one"], turn_detection=turns) as t:
            await t.speaks()
            await t.say(speech[: 32 * 400], 800)
            await t.until(lambda: t.agent.stats()["false_interruptions"] == 1)
            await t.becomes("speaking")
            await t.say(speech, 800)
            await t.until(lambda: len(t.chat.requests) == 2)
            assert t.agent.stats()["interruptions"] == 1


async def test_hold_on(speech: bytes) -> None:
    texts = ["My number is, hold on.", "", "One two three."]
    async with talk(texts=texts, turn_detection={"end_of_speech": "semantic"}) as t:
        await t.say(speech, 900)
        await t.until(lambda: len(t.agent.history()) == 1)
        await t.say(speech[:12_800], 900)  # a noise
        assert t.agent.state == "listening" and t.chat.requests == []
        await t.say(b"", 5000)
        await t.say(speech, 900)
        await t.until(lambda: t.chat.requests)
        assert t.asked() == [("user", "My number is, hold on.\nOne two three.")] and len(t.chat.requests) == 1


async def test_a_keyword_is_heard_while_its_user_still_speaks() -> None:
    """By the ears of this machine: texts of what goes on come every half second."""
    try:
        there = what_hears("en-US")[0] != SPHINX
    except LipwireError:
        there = False
    require(there, "whisper")
    how = Interruption(mode="keywords", keywords=["stop"])
    said = spoken("Stop now I would like to hear something about the market and about the weather of tomorrow please")
    async with FakeTts() as tts, talk(interruption=how, services=Services(tts_url=tts.url)) as t:
        await t.speaks()
        ends = len(said) / 32_000
        heard = 0.0
        while not t.agent.stats()["interruptions"] and heard < ends:
            at = int(heard * 32_000) // 320 * 320
            await t.say(said[at : at + 3200], step=0.01)  # as long as it takes
            heard += 0.1
        assert 0.5 <= heard < ends - 0.5, "the keyword was not heard before the end"
        await t.say(said[int(heard * 32_000) // 320 * 320 :], 900, step=0.01)
        await t.until(lambda: len(t.chat.requests) == 2)
        assert "stop" in t.asked()[-1][1].lower() and "tomorrow" in t.asked()[-1][1]


async def test_the_face_nods_where_the_user_pauses_and_goes_on(speech: bytes) -> None:
    """Once in 4 s, while its user speaks and not while it does; pauses are no turns."""
    async with talk(turn_detection={"silence_duration_ms": 700}, avatar="aria", width=64, height=36) as there:
        shown: list[tuple[int, str]] = []
        special = there.agent.session.special

        def watched(content: Any, event_id: str | None = None) -> None:
            special(content, event_id)
            if isinstance(content, dict) and "gesture" in content:
                shown.append((there.clock.now, content["gesture"]))

        there.agent.session.special = watched  # type: ignore[method-assign]
        await there.say(SILENCE * 50 + speech, 400)
        assert shown == [], "he may have finished"
        goes_on = there.clock.now
        for _ in range(4):
            await there.say(speech, 400)
        seconds = (there.clock.now - goes_on) / 48_000
        assert [gesture for _, gesture in shown] == ["beat"] * len(shown)
        assert 1 <= len(shown) <= 1 + seconds / LISTEN_EVERY
        assert 0 <= shown[0][0] - goes_on <= 0.5 * 48_000
        assert all(later - at >= LISTEN_EVERY * 48_000 for (at, _), (later, _) in itertools.pairwise(shown))
        assert len(there.agent.turns()) == 1
