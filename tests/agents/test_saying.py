"""What the agent says: its replies, their failures, what fills in for them, and the face that they make."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.events import AgentFailed, Said, TurnEnded
from lipwire.agents.failures import SENTENCES
from lipwire.agents.options import Filler
from lipwire.agents.saying import MAX_REPLIES, REMEMBERED, REPLY_DUE
from lipwire.errors import BufferFull
from lipwire.protocol import transcript as t
from support.conversing import Desk, shown, speaking


def test_the_states_of_a_reply() -> None:
    d = Desk()
    reply = d("speak", "Hello.")
    assert (reply.state, reply.id, reply.turn_id, reply.own_words) == ("asked", "said-1", 0, True)
    d.brain(b.ReplyStarted("said-1", 0))
    assert (reply.state, reply.turn_id) == ("begun", 1)
    d.brain(b.ReplyAudio("said-1", bytes(32_000), 16_000), b.ReplyFinished("said-1", "Hello."))
    d.play("said-1")
    d.run(0.01)
    assert reply.state == "heard"
    d("over", reply)
    d("over", reply)
    assert (reply.state, reply.outcome, reply.text) == ("over", "finished", "Hello.")
    assert repr(reply) == "<Reply said-1 speak over finished>"


def test_own_words_asked_for_and_cut_before_they_begin() -> None:
    d = Desk()
    first, second = d("speak", "one", "APPEND"), d("speak", "two", "INTERRUPT")
    assert (first.state, second.state) == ("refused", "asked")
    assert d.of(c.Interrupted) == [c.Interrupted("said-1", 0.0, "")]
    d.reply("said-1", "one")
    d.reply("said-2", "two")
    assert (first.state, second.state) == ("refused", "begun")
    assert d("speak", "three", "IGNORE") is None


@pytest.mark.parametrize("why", ["the user speaks", "interrupted", "another question", "paused"])
def test_an_answer_that_the_brain_has_named_and_that_is_let_go_is_not_said(why: str) -> None:
    """As OpenAI Realtime has it wait for the response before it."""
    d = Desk()
    d("joined", "7")
    reply = d("tell", "And Rome?")
    d("asked", reply, "r1")
    after = None
    if why == "the user speaks":
        d.brain(b.SpeechStarted(0, "i1"))
    elif why == "interrupted":
        assert d("interrupt")
    elif why == "another question":
        after = d("tell", "And Paris?")
    else:
        d("pause")
        d("resume")
    assert reply.state == "refused" and d.of(c.Interrupted) == [c.Interrupted("r1", 0.0, "")]
    if after is None:
        after = d("think", "And Bonn?")
    d("asked", after, "r2")
    d.reply("r1", "Rome is nice.")
    assert (reply.state, after.state) == ("refused", "asked")
    d.reply("r2", "It is.")
    assert (after.state, d.conversation.turns.newest_id) == ("begun", after.turn_id)


@pytest.mark.parametrize("kept", [False, True])
def test_an_answer_has_its_time_from_when_all_before_it_is_handed_over(kept: bool) -> None:
    """As OpenAI Realtime begins one after the other."""
    d = Desk(brain="realtime")
    d("joined", "7")
    terms = d("think", "Read the terms.", interruptable=False)
    d("asked", terms, "r1")
    d.reply("r1", "Terms, part", 60_000, finish=False)
    d.play("r1")
    d.run(1.0)
    reply = d("ask", "And Rome?", "7", interruptable=not kept)
    d("asked", reply, "r2")
    d.run(20.0)
    assert reply.state == "asked" and d.conversation.turns.as_list()[1]["end_reason"] is None
    d.brain(b.ReplyFinished("r1", "Terms, part"))
    d.run(10.0)
    assert reply.state == "asked" and d.of(c.Interrupted) == []
    d.run(6.0)
    assert reply.state == "refused" and d.of(c.Interrupted) == [c.Interrupted("r2", 0.0, "")]


def test_an_answer_that_must_not_be_interrupted_by_the_user_is_by_who_says_so() -> None:
    d = Desk()
    d("joined", "7")
    reply = d("think", "And Rome?", interruptable=False)
    d("asked", reply, "r1")
    d.brain(b.SpeechStarted(0, "i1"))
    assert reply.state == "asked" and d.of(c.Interrupted) == []
    assert d("interrupt") and d.of(c.Interrupted) == [c.Interrupted("r1", 0.0, "")]
    d.reply("r1", "Rome is nice.")
    assert reply.state == "refused" and d.of(c.Add) == []


def test_what_a_brain_says_by_itself_takes_no_answers_place() -> None:
    d = Desk()
    reply = d("tell", "And Rome?")
    d("asked", reply, "r2")
    d.reply("r1", "By the way.")
    assert (d.live("r1").reason, reply.state) == ("agent", "asked")
    d.reply("r2", "Rome is nice.")
    turns = [(turn["start_reason"], turn["turn_id"]) for turn in d.conversation.turns.as_list()]
    assert turns == [("text", 1), ("agent", 2)] and (reply.turn_id, d.live("r1").turn_id) == (1, 2)


def test_an_answer_that_fails_before_it_begins() -> None:
    d = Desk(llm={"failure_message": "Sorry."})
    reply = d("tell", "And Rome?")
    d("asked", reply, "r1")
    d.brain(b.Failed("REALTIME_ERROR", "no", "r1"))
    [turn] = d.conversation.turns.as_list()
    assert (turn["end_reason"], reply.state, [say.text for say in d.of(c.Say)]) == ("failed", "refused", ["Sorry."])


def test_words_that_come_late_are_still_the_agents_own() -> None:
    d = Desk()
    reply = d("speak", "slowly", interruptable=False)
    d.run(20.0)
    assert d.conversation.state == "idle" and reply.state == "asked"
    d.reply("said-1", "slowly")
    d.brain(b.SpeechStarted(0))
    assert reply.state == "begun" and d.conversation.turns.as_list()[0]["start_reason"] == "speak"


def test_a_brain_that_refuses() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"})
    d.refuses = True
    d("joined", "7")
    assert [event.code for event in d.events(b.Failed)] == ["TTS_ERROR"]
    spoken, told, answered = d("speak", "x"), d("tell", "x"), d("respond")
    assert all(isinstance(reply.error, BufferFull) and reply.state == "refused" for reply in (spoken, told, answered))
    assert d.conversation.state == "listening" and len(d.events(b.Failed)) == 1
    assert [turn["end_reason"] for turn in d.conversation.turns.as_list()] == ["failed", "failed"]


def test_replies_are_bounded() -> None:
    d = Desk()
    for n in range(MAX_REPLIES + 8):
        d.brain(b.ReplyStarted(f"r{n}", 0))
    assert [told.reply_id for told in d.of(c.Interrupted)] == [f"r{n}" for n in range(MAX_REPLIES, MAX_REPLIES + 8)]
    d("interrupt")
    for n in range(1000):
        d.reply(f"again{n}", ms=0)
    assert len(d.conversation._saying.replies) <= REMEMBERED + 1 and not d.conversation._saying.live
    for n in range(1000):  # and the brain never begins
        if n >= MAX_REPLIES:
            with pytest.raises(BufferFull, match=f"{MAX_REPLIES} replies wait"):
                d("speak", "x", "APPEND")
        else:
            d("speak", "x", "APPEND")
    assert len(d.conversation._saying.waiting) <= REMEMBERED and len(d.conversation._saying.replies) <= 2 * REMEMBERED


def test_no_speech_that_was_taken_is_lost() -> None:
    """One too many is refused while somebody listens for it, and not when its turn has come."""
    d = Desk()
    taken: list[Any] = []
    for _ in range(MAX_REPLIES + 8):
        try:
            taken.append(d("speak", "x", "APPEND"))
        except BufferFull:
            break
        d.reply(f"said-{d.said}", "x")
    assert len(taken) == MAX_REPLIES and {reply.state for reply in taken} == {"begun"}
    assert d("speak", "Instead.").state == "asked"  # in place of them all


def test_a_reply_that_finds_no_room_says_so() -> None:
    d = Desk()
    late = d("speak", "x")
    for n in range(MAX_REPLIES):
        d.reply(f"r{n}")
    d.reply("said-1", "x")
    assert late.state == "refused" and isinstance(late.error, BufferFull)
    assert [failed.message for failed in d.events(b.Failed)] == [f"{MAX_REPLIES} replies wait to be heard already"]


def test_a_failure_is_said_once_where_a_reply_was_due() -> None:
    d = Desk(llm={"failure_message": "Hold on."})
    d.brain(b.Failed("LLM_ERROR", "nothing was due"))
    d.user_says("Hello?")
    d.brain(b.Failed("LLM_ERROR", "502"), b.Failed("LLM_ERROR", "502 again"))
    assert [say.text for say in d.of(c.Say)] == ["Hold on."]
    d.brain(b.Failed("TTS_ERROR", "down too", "said-1"), b.ReplyFinished("said-1", "", "failed"))
    assert d.of(c.Say)[0].reply.state == "refused" and d.conversation.state == "idle"
    assert [turn["end_reason"] for turn in d.conversation.turns.as_list()] == ["failed"]
    assert d.conversation.stats()["failures"] == 4


def test_users_are_told_in_their_language_and_nothing_of_services() -> None:
    inner = "the LLM at 10.0.0.7:8000 answered 500"
    for fields, sentence, said in (
        ({"language": "de-DE"}, SENTENCES["de"]["answer"], [SENTENCES["de"]["answer"]]),
        ({"llm": {"failure_message": "Hold on."}}, "Hold on.", ["Hold on."]),
        ({"llm": {"failure_message": ""}}, SENTENCES["en"]["answer"], []),
    ):
        d = Desk(**fields)
        d.user_says("Hello?")
        d.brain(b.Failed("LLM_ERROR", inner), b.Failed("TOOL_ERROR", inner))
        errors = [message for message in d.messages() if isinstance(message, t.Error)]
        language = d.conversation.config.language[:2]
        assert [error.message for error in errors] == [sentence, SENTENCES[language]["function"]]
        assert [say.text for say in d.of(c.Say)] == said
        assert [failed.message for failed in d.events(b.Failed)] == [inner, inner]  # for who runs the agent
    d = Desk()
    d.user_says("Hello?")
    d.brain(
        b.ReplyStarted("r1", 0),
        b.Failed("LLM_ERROR", inner, "r1", minor=True),
        b.Failed("LLM_REFUSED", inner, "r1", minor=True),
    )
    errors = [message for message in d.messages() if isinstance(message, t.Error)]
    assert [error.message for error in errors] == [SENTENCES["en"]["part"]]
    assert d.of(c.Say) == [] and d.live("r1").outcome is None


def test_a_failure_of_what_was_cut_off_ends_no_other_turn() -> None:
    d = Desk(llm={"failure_message": "Hold on."})
    own = d("speak", "Welcome.")
    answer = d("tell", "What is that?")
    assert own.state == "refused"
    d.brain(b.Failed("TTS_ERROR", "closed", own.id))
    assert d.conversation.state == "thinking" and len(d.of(c.Say)) == 1
    d.brain(b.ReplyStarted("r1", 0), b.ReplyText("r1", "A bell.", 0, 300))
    assert answer.state == "begun" and answer.turn.user_text == "What is that?"


def test_what_was_heard_of_a_reply_that_fails_stays() -> None:
    d = Desk(llm={"failure_message": "Hold on."})
    d.user_says("Hello?")
    d.brain(b.ReplyStarted("r1", 0), b.ReplyText("r1", "One. ", 0, 300), b.ReplyAudio("r1", bytes(9600), 16_000))
    d.brain(b.ReplyText("r1", "Two.", 300, 500), b.Failed("TTS_ERROR", "down", "r1"))
    reply = d.live("r1")
    assert (reply.state, reply.outcome, len(d.of(c.Finish))) == ("begun", "failed", 1)
    d("over", reply)
    assert d.conversation.history.as_list()[-1]["content"] == "One."
    assert [say.text for say in d.of(c.Say)] == ["Hold on."]


def test_a_fatal_failure_makes_the_agent_leave() -> None:
    d = Desk()
    d.brain(b.Failed("REALTIME_ERROR", "revoked", fatal=True))
    [leave] = d.of(c.Leave)
    assert leave.reason == "failed" and isinstance(leave.failure, AgentFailed)


def test_the_face_shows_what_is_heard_and_not_what_is_made() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("hi")
    d.reply("r1", "Hello! I am sorry.", 2000)
    d.run(1.0)
    assert shown(d) == []  # it has been made, and nobody has heard any of it
    d.play("r1")
    d.run(0.3)
    assert shown(d) == [("happy", "wave")] and d.conversation.state == "speaking"
    d.brain(b.SpeechStarted(0), b.SpeechStopped(0), b.UserText("i2", "wait, stop", True))
    d.run(3.0)
    assert shown(d) == [("happy", "wave"), ("neutral", "nod")]  # the hand comes down
    d.done.clear()
    d.conversation.config.feelings = False
    d.reply("r2", "Hello again! I am sorry.", 1000)
    d.play("r2")
    d.run(1.0)
    assert shown(d) == []


def test_feelings_that_are_switched_off_go() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("hi")
    d.reply("r1", "I am sorry about that, it should not have happened.", 2000)
    d.play("r1")
    d.run(0.3)
    d.conversation.config.feelings = False
    d.run(0.2)
    assert shown(d) == [("concerned", None), ("neutral", None)]


def test_of_a_reply_that_is_over_no_sound_is_kept() -> None:
    d = Desk()
    reply = speaking(d)
    assert reply.syllables.until_ms > 9000
    d("interrupt")
    assert reply.state == "over" and reply.syllables.until_ms == 0.0


def waiting(**fields: Any) -> Desk:
    """A user waits for an answer."""
    d = Desk(filler=Filler(wait_ms=1000, phrases=["Let me see.", "Well now."], order="round_robin"), **fields)
    d("joined", "7")
    d.run(0.5)
    d.user_says("What is it?")
    return d


def fill(d: Desk, ms: int = 500) -> None:
    """The phrase is said to its end."""
    word = b.TimedWord("Let", 0, 100)
    d.brain(b.ReplyStarted("fill-1", 0), b.ReplyText("fill-1", "Let me see.", 0, ms, (word,)))
    d.brain(b.ReplyAudio("fill-1", bytes(32 * ms), 16_000), b.ReplyFinished("fill-1", "Let me see."))
    d.play("fill-1")
    d.run(ms / 1000)
    d.play(None)
    d("over", d.live("fill-1"))


@pytest.mark.parametrize("begun", [False, True])
def test_who_waits_is_told_something(begun: bool) -> None:
    d = waiting()
    if begun:
        d.brain(b.ReplyStarted("r1", 0))
    d.run(0.9)
    assert not d.of(c.Fill)
    d.run(0.3)
    assert [fill.text for fill in d.of(c.Fill)] == ["Let me see."] and d.conversation.state == "thinking"
    fill(d)
    assert d.states()[-2:] == ["speaking", "thinking"]
    adds = [(add.reply.id, add.before and add.before.id) for add in d.of(c.Add)]
    assert adds == ([("r1", None), ("fill-1", "r1")] if begun else [("fill-1", None)])
    d.run(3.0)
    assert len(d.of(c.Fill)) == 1, "once"
    d.brain(
        b.ReplyStarted("r1", d.clock * 1_000_000_000 // 48_000),
        b.ReplyText("r1", "It is late.", 0, 1000, (b.TimedWord("It", 100, 200),)),
        b.ReplyAudio("r1", bytes(32_000), 16_000),
        b.ReplyFinished("r1", "It is late."),
    )
    d.run(0.3)
    d.play("r1")
    d.run(1.0)
    d.play(None)
    d("over", d.live("r1"))
    [turn] = d.conversation.turns.as_list()
    assert (turn["agent_text"], turn["end_reason"]) == ("It is late.", "finished") and d.conversation.turns.count == 1
    assert turn["e2e_latency_ms"] > 4000, "of the answer"
    assert len(d.events(TurnEnded)) == 1 and [said.text for said in d.events(Said)][1:] == [
        "Let me see.",
        "It is late.",
    ]
    assert [h["content"] for h in d.conversation.history.as_list()] == ["What is it?", "Let me see.", "It is late."]
    told = [m for m in d.messages() if isinstance(m, t.AssistantTranscription)]
    assert {m.turn_id for m in told} == {1} and [m.turn_status for m in told[:-1]] == [t.RUNNING] * (len(told) - 1)
    last = told[-1]
    assert (last.text, last.turn_status) == ("Let me see. It is late.", t.ENDED)
    assert last.word_times is not None and [word.word for word in last.word_times] == ["Let", "It"]
    before = last.duration_ms - 1000
    assert last.word_times[1].start_ms == 100 + before and before > 3000
    assert last.start_ms + before + 1000 == d.conversation.clock // 48


def test_an_answer_in_time_needs_no_filling() -> None:
    d = waiting()
    d.brain(b.ReplyStarted("r1", 0))
    d.run(0.9)
    d.brain(b.Stamp("r1", "first_token", 0))
    d.run(3.0)
    assert not d.of(c.Fill), "the model has begun"


@pytest.mark.parametrize("named", [False, True])
def test_an_answer_that_comes_before_what_fills_in_for_it(named: bool) -> None:
    d = waiting()
    d.brain(b.ReplyStarted("r1", 0))
    d.run(1.3)
    if named:
        d.brain(b.ReplyStarted("fill-1", 0))
    d.reply("r1", "It is late.")
    assert "fill-1" in [done.reply_id for done in d.of(c.Interrupted)], "it is not needed"
    d.brain(b.ReplyStarted("fill-1", 0), b.ReplyAudio("fill-1", bytes(3200), 16_000))
    assert [play.reply.id for play in d.of(c.Play)] == ["r1"]


def test_a_cough_is_answered_with_nothing() -> None:
    d = Desk(filler=Filler(wait_ms=100, phrases=["Let me see."]))
    d("joined", "7")
    d.user_says("What is it?")
    d.reply("r1")
    d.play("r1")
    d.run(1.1)
    d.play(None)
    d("over", d.live("r1"))
    d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(0, "i2"))
    d.run(1.0)
    assert not d.of(c.Fill), "nobody knows what was said"
    d.brain(b.UserText("i2", "And then?", True))
    d.run(0.2)
    assert len(d.of(c.Fill)) == 1


def test_the_user_interrupts_what_fills_in() -> None:
    d = waiting()
    d.brain(b.ReplyStarted("r1", 0))
    d.run(1.3)
    d.brain(b.ReplyText("fill-1", "Let me see.", 0, 500), b.ReplyAudio("fill-1", bytes(16_000), 16_000))
    d.play("fill-1")
    d.run(0.3)
    d.brain(b.SpeechStarted(0, "i2"))
    assert d.held
    d.brain(b.UserText("i2", "Stop it!", False))
    assert d.live("fill-1").outcome == d.live("r1").outcome == "interrupted"
    assert d.conversation.turns.as_list()[0]["end_reason"] == "interrupted"
    told = [m for m in d.messages() if isinstance(m, t.AssistantTranscription)]
    assert told[-1].turn_status == t.INTERRUPTED and told[-1].text
    d.brain(b.SpeechStopped(0, "i2"), b.UserText("i2", "Stop it!", True))
    d.run(1.3)
    assert [one.text for one in d.of(c.Fill)] == ["Let me see.", "Well now."], "another turn"


def test_an_answer_that_fails_after_all_ends_what_filled_in_for_it() -> None:
    d = waiting(llm={"failure_message": ""})
    d.brain(b.ReplyStarted("r1", 0))
    d.run(1.3)
    fill(d)
    d.brain(b.Failed("LLM_ERROR", "away", "r1"), b.ReplyFinished("r1", "", "failed"))
    told = [m for m in d.messages() if isinstance(m, t.AssistantTranscription)]
    assert (told[-1].text, told[-1].turn_status) == ("Let me see.", t.ENDED)
    assert d.conversation.turns.as_list()[0]["agent_text"] == ""
    d.refuses = True
    d.user_says("Hello?", "i2")
    d.run(1.5)
    assert len(d.of(c.Fill)) == 2 and len(d.events(b.Failed)) == 1 and d.conversation.state == "thinking"


def test_an_answer_that_fails_while_what_fills_in_for_it_is_said() -> None:
    for fails in (True, False):
        d = waiting(llm={"failure_message": ""})
        d.brain(b.ReplyStarted("r1", 0))
        d.run(1.3)
        d.brain(b.ReplyText("fill-1", "Let me see.", 0, 500), b.ReplyAudio("fill-1", bytes(16_000), 16_000))
        d.play("fill-1")
        d.run(0.3)
        if fails:
            d.brain(b.Failed("LLM_ERROR", "away", "r1"))
        d.brain(b.ReplyFinished("r1", "", "failed" if fails else "done"))
        d.run(0.2)
        d.brain(b.ReplyFinished("fill-1", "Let me see."))
        d.play(None)
        d("over", d.live("fill-1"))
        told = [m for m in d.messages() if isinstance(m, t.AssistantTranscription)]
        assert (told[-1].text, told[-1].turn_status) == ("Let me see.", t.ENDED)


def test_a_cough_into_what_fills_in_has_nothing_said_twice() -> None:
    d = waiting()
    d.brain(b.ReplyStarted("r1", 0))
    d.run(1.3)
    d.brain(b.ReplyText("fill-1", "Let me see.", 0, 500), b.ReplyAudio("fill-1", bytes(16_000), 16_000))
    d.play("fill-1")
    d.run(0.2)
    d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(0, "i2"), b.UserText("i2", "", True))
    assert not d.held
    d.run(0.3)
    d.brain(b.ReplyFinished("fill-1", "Let me see."))
    d.play(None)
    d("over", d.live("fill-1"))
    d.run(3.0)
    assert [one.text for one in d.of(c.Fill)] == ["Let me see."]


@pytest.mark.parametrize("why", ["interrupted", "the user speaks", "paused", "nothing comes", "it fails"])
def test_what_filled_in_for_an_answer_that_is_let_go_is_told_to_be_all(why: str) -> None:
    d = waiting(llm={"failure_message": ""})
    d.run(1.3)
    fill(d)
    if why == "interrupted":
        d("interrupt")
    elif why == "the user speaks":
        d.brain(b.SpeechStarted(0, "i2"))
    elif why == "paused":
        d("pause")
    elif why == "nothing comes":
        d.run(REPLY_DUE)
    else:
        d.brain(b.Failed("LLM_ERROR", "away"))
    told = [m for m in d.messages() if isinstance(m, t.AssistantTranscription)]
    status = t.ENDED if why in ("nothing comes", "it fails") else t.INTERRUPTED
    assert (told[-1].text, told[-1].turn_status, told[-1].turn_id) == ("Let me see.", status, 1)


@pytest.mark.parametrize("call", ["end", "pause", "wind_up"])
def test_an_answer_that_is_due_as_the_agent_leaves_is_refused(call: str) -> None:
    d = Desk()
    d("joined", "7")
    reply = d("tell", "And Rome?")
    d(call)
    assert reply.state == "refused"
