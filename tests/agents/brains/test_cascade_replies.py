"""The replies of the cascade: in order, no more of them than was heard, and what is told of each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from lipwire.agents.brains import cascade_replies
from lipwire.agents.brains.base import Failed, ReplyAudio, ReplyFinished, ReplyStarted, ReplyText, Services
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.face_tags import Feeling, Mark
from lipwire.audio import espeak as voice
from lipwire.errors import BadState, BufferFull, InvalidArgument
from support.cascade import SILENCE, scene
from support.fakes import Answer, FakeChat, FakeStt
from support.fakes.record import Record
from support.machine import require


async def test_speak_is_said_without_thinking_and_in_order() -> None:
    async with scene(tts={"first_byte": 0.02}) as s:
        first, second = s.brain.speak("Welcome. How are you?"), s.brain.speak("Goodbye.")
        s.brain.tell("hi")
        done = [(await s.record.wait(ReplyFinished, i)).reply_id for i in (1, 2, 3)]
        assert done[:2] == [first, second]
        assert s.asked()[-1] == ("user", "hi")
        order = [event.reply_id for event in s.record.of(ReplyAudio)]
        assert order == sorted(order, key=done.index)
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 4)
        said = [text for role, text in s.asked() if role == "assistant"]
        assert said == ["Welcome. How are you?\nGoodbye.\nHello there."]


async def test_what_was_not_heard_is_not_remembered() -> None:
    async with scene("One two three. Four five six. Seven.", chat={"token_interval": 0.01}, tts={"speed": 2.0}) as s:
        s.brain.tell("count")
        await s.record.wait(ReplyText)
        reply_id = s.record.of(ReplyStarted)[0].reply_id
        s.brain.interrupted(reply_id, 300.0, "One two")
        assert s.record.of(ReplyFinished) == [ReplyFinished(reply_id, "One two", "cancelled")]
        count = len(s.record.events)
        await asyncio.sleep(0.2)
        assert len(s.record.events) == count  # nothing of it surfaces any more
        s.brain.tell("go on")
        await s.record.wait(ReplyFinished, 2)
        assert s.asked() == [("user", "count"), ("assistant", "One two"), ("user", "go on")]
        # all of it was handed over, and it is cut off while it is played
        last = s.record.of(ReplyFinished)[-1].reply_id
        s.brain.interrupted(last, 100.0, "")
        s.brain.tell("so?")
        await s.record.wait(ReplyFinished, 3)
        assert s.asked()[-1] == ("user", "go on\nso?")
        s.brain.interrupted("nobody knows it", 0.0, "x")


async def test_the_service_sends_the_sound_itself() -> None:
    llm = {"output_modalities": ["audio"]}
    async with scene([Answer("Hello you.", audio=0.4), "Only text."], llm=llm) as s:
        reply_id = s.brain.speak("Welcome.")
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished, 2)
        assert s.record.of(ReplyFinished)[0].reply_id == reply_id
        assert done.text == "Hello you." == s.record.text(done.reply_id)
        assert s.record.seconds(done.reply_id) == pytest.approx(0.4)
        assert {a.rate for a in s.record.of(ReplyAudio, reply_id=done.reply_id)} == {16_000}
        assert s.tts.texts == ["Welcome."]
        s.brain.tell("again")  # a service that was asked for sound and sends none is spoken for
        done = await s.record.wait(ReplyFinished, 3)
        assert s.tts.texts[1:] == ["Only text."] and done.text == "Only text."


async def test_a_sentence_that_is_lost_is_told_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with scene("One two three. Four five six.", tts={"speed": 100.0}) as s:
        s.tts.fail_with = [400]
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert (done.text, done.reason) == (s.record.text(done.reply_id), "done")
        assert done.text.strip() in ("One two three.", "Four five six.")
        (failed,) = s.record.of(Failed)
        assert (failed.code, failed.reply_id, failed.minor) == ("TTS_ERROR", done.reply_id, True)
        assert "14 characters were not said" in failed.message or "15 characters" in failed.message
        assert s.brain._state.context.messages()[-1] == {"role": "assistant", "content": done.text}


async def test_a_voice_that_there_is_not_leaves_the_old_one() -> None:
    require(voice.available(), "espeak-ng")
    async with FakeChat() as chat, FakeStt() as stt:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url), language="zz", voice="en-us")
        with pytest.raises(InvalidArgument, match="set tts_url"):
            CascadeBrain(structs.replace(config, voice="xx-XX-NobodyNeural"), Services(stt_url=stt.url))
        brain, record = CascadeBrain(config, Services(stt_url=stt.url, end_of_turn="silence")), Record()
        await brain.open(record)
        with pytest.raises(InvalidArgument, match="set tts_url"):
            brain.update({"instructions": "Be another.", "voice": "xx-XX-NobodyNeural"})
        assert (brain._state.config.voice, brain._state.config.instructions) == ("en-us", config.instructions)
        brain.speak("Still here.")
        await record.wait(ReplyFinished, reason="done")
        await brain.close()


async def test_the_voice_of_before_is_closed_though_the_agent_ends_meanwhile() -> None:
    closed = []
    async with scene(chat={"first_token": 5.0}) as s:
        old = s.brain._replies._tts
        close = old.close

        async def closes() -> None:
            closed.append(old)
            await close()

        old.close = closes  # type: ignore[method-assign]
        s.brain.tell("hello")
        s.brain.update({"voice": "nova"})
        await asyncio.sleep(0.05)
        assert s.brain._replies._tts is not old and not closed
    assert closed == [old]


async def test_the_voice_of_before_is_closed_though_the_agent_ends_at_once() -> None:
    closed = []
    async with scene() as s:
        for voice in ("nova", "echo"):
            old = s.brain._replies._tts

            async def closes(of: Any = old, close: Any = old.close) -> None:
                closed.append(of)
                await close()

            old.close = closes  # type: ignore[method-assign]
            s.brain.update({"voice": voice})
    assert len(closed) == 2 == len(set(closed))


async def test_a_reply_that_is_refused_as_it_begins_is_none() -> None:
    async with scene() as s:
        s.record.on = lambda event: (  # type: ignore[assignment]
            s.brain.interrupted(event.reply_id, 0.0, "") if isinstance(event, ReplyStarted) else None
        )
        s.brain.tell("hi")
        s.brain.speak("hello")
        await asyncio.sleep(0.05)
        assert [f.reason for f in s.record.of(ReplyFinished)] == ["cancelled"] * 2
        assert not s.chat.requests and not s.tts.requests and not s.brain._replies._replies


async def test_only_so_many_replies_wait() -> None:
    async with scene(tts={"first_byte": 5.0}) as s:
        for _ in range(cascade_replies.MAX_WAITING):
            s.brain.speak("Hello.")
        with pytest.raises(BufferFull, match="16 replies"):
            s.brain.speak("Hello.")
        assert len(s.tts.requests) == 0
        await s.brain.close()
        with pytest.raises(BadState):
            s.brain.speak("Hello.")
        s.brain.hear(SILENCE, "7")


async def test_a_reply_is_not_handed_over_hours_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade_replies, "AHEAD_MS", 500)
    async with scene() as s:
        s.brain.speak("A long sentence that never ends. " * 10)
        await s.record.wait(ReplyAudio)
        await asyncio.sleep(0.5)
        heard = sum(len(a.pcm) / 2 / a.rate for a in s.record.of(ReplyAudio))
        assert 0.5 <= heard < 15  # of 19 s


async def test_what_a_model_says_of_its_face_is_neither_said_nor_shown() -> None:
    """Nor remembered; and where it stood is told with the sentence that it stands in."""
    written = "<face smile wave/> Hello there. Well, <face nod/>yes. <face evil/>Bye. <face concerned/>"
    async with scene(written) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text.split() == ["Hello", "there.", "Well,", "yes.", "Bye."] and done.reason == "done"
        assert s.tts.texts == ["Hello there.", "Well, yes.", "Bye."]
        marks = [(one.text.strip(), mark.at, mark.feeling) for one in s.record.of(ReplyText) for mark in one.marks]
        assert [mark[:2] for mark in marks] == [("Hello there.", 0), ("Well, yes.", 6), ("Bye.", 5)]
        assert [mark[2] for mark in marks] == [Feeling("happy", "wave"), Feeling(None, "nod"), Feeling("concerned")]
        s.brain.speak("<face smile/>Good.")
        await s.record.wait(ReplyFinished, 2)
        assert s.tts.texts[-1] == "Good." and s.record.of(ReplyText)[-1].marks == (Mark(0, Feeling("happy")),)
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 3)
        assert not any("face" in str(content) for _, content in s.asked())


async def test_a_face_shows_nothing_of_a_thought_that_nothing_opened() -> None:
    async with scene("<face concerned/>I should say hello.</think><face smile/>Hello.") as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text == "Hello."
        assert [one.marks for one in s.record.of(ReplyText) if one.text] == [(Mark(0, Feeling("happy")),)]


# ----------------------------------------------------------------------------------------------------- skipped brackets


async def test_brackets_are_told_behind_their_sentence_and_not_spoken() -> None:
    async with scene("Well (nods) it is [sic] late. Good (yawns (a lot)) night", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert s.tts.texts == ["Well it is [sic] late.", "Good night"]
        assert done.text == "Well it is [sic] late. (nods) Good night (yawns (a lot))" and done.reason == "done"
        texts = s.record.of(ReplyText, reply_id=done.reply_id)
        assert "".join(one.text for one in texts) == done.text
        _, nods, second, yawns = texts
        assert (nods.text, nods.at_ms, nods.duration_ms) == ("(nods) ", second.at_ms, 0)
        assert yawns.text == " (yawns (a lot))" and yawns.at_ms == round(s.record.seconds(done.reply_id) * 1000)
        s.brain.interrupted(done.reply_id, 10.0, "Well")
        s.brain.speak("(smiles) Of course. (bows)")
        done = await s.record.wait(ReplyFinished, 2)
        assert done.text.strip() == "(smiles) Of course. (bows)" and s.tts.texts[-1] == "Of course."
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 3)
        assert [text.split() for role, text in s.asked() if role == "assistant"] == [
            ["Well", "(smiles)", "Of", "course.", "(bows)"]
        ]


async def test_a_reply_of_brackets_alone_has_no_sound() -> None:
    async with scene("(nods)", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert (
            (done.text.strip(), done.reason) == ("(nods)", "done") and not s.record.of(ReplyAudio) and not s.tts.texts
        )


async def test_a_bracket_that_is_not_closed_is_spoken_in_the_end() -> None:
    async with scene("It is late (or is it? No.", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text == "It is late (or is it? No." and " ".join(s.tts.texts) == "It is late (or is it? No."


async def test_brackets_have_times_where_words_have() -> None:
    require(voice.available(), "espeak-ng")
    async with FakeChat("Well (nods) yes. Good.") as chat:
        agent = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url), skip_patterns=[3], voice="espeak:en-us")
        brain, record = CascadeBrain(agent, Services(end_of_turn="silence")), Record()
        await brain.open(record)
        brain.tell("hi")
        done = await record.wait(ReplyFinished)
        await brain.close()
        words = [word for one in record.of(ReplyText) for word in one.words]
        # espeak-ng tells of two short words as one now and then, by what it has spoken before.
        assert " ".join(word.text for word in words) == "Well yes. (nods) Good."
        assert [word.start_ms for word in words] == sorted(word.start_ms for word in words)
        assert [word.duration_ms for word in words if word.text == "(nods)"] == [0]
        assert done.text == "Well yes. (nods) Good."
