"""What users say. No socket, no event loop, no real clock."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.config import TurnDetection
from lipwire.agents.events import SpeechCut
from lipwire.agents.listening import PAUSE, loud
from lipwire.agents.options import Filler, Greeting, Interruption, Silence
from lipwire.agents.think_actions import ThinkActions
from lipwire.errors import BadState
from support.conversing import Desk, shown, speaking


def test_the_loud_one_of_several_users_is_the_one_who_speaks() -> None:
    d = Desk()
    shout, hum = b"\x00\x10" * 160, b"\x01\x00" * 160
    assert loud(shout) and not loud(hum) and not loud(b"")
    d("hear", "7", hum)
    d("hear", "8", hum)
    d.user_says("quiet", "i1")
    d("hear", "8", shout)
    d.user_says("loud", "i2")
    assert [turn["user"] for turn in d.conversation.turns.as_list()] == ["7", "8"]


def test_paused_it_hears_silence_and_says_nothing() -> None:
    d = Desk(voice_commands=True)
    d("joined", "7")
    d.user_says("Hey Aria, stop.")
    assert d.conversation.paused and d.conversation.state == "idle"
    for _ in range(300):
        d("hear", "7", b"\x01\x00" * 160)
    assert {action.pcm for action in d.of(c.Hear)} == {bytes(320)} and len(d.of(c.Hear)) == 210
    assert {spot.wanted for spot in d.of(c.Spot)} == {"start"}
    d.reply("r1")
    assert d.of(c.Interrupted) == [c.Interrupted("r1", 0.0, "")]
    for call in ("speak", "tell"):
        with pytest.raises(BadState, match="paused"):
            d(call, "hello")
    d("command", "start")
    assert d.states()[-1] == "listening"


def test_what_is_asked_while_the_user_speaks_leaves_the_users_turn_whole() -> None:
    d = Desk(filler=Filler(wait_ms=500, phrases=["Let me see."]))
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"))
    asked = d("tell", "What?")
    d.reply("r1", "Nothing.", ms=100)
    d.play("r1")
    d.run(0.1)
    d.play(None)
    d("over", d.live("r1"))
    assert asked.outcome == "finished"
    d.brain(b.SpeechStopped(100_000_000, "i1"), b.UserText("i1", "What is it?", True))
    d.run(0.8)
    assert len(d.of(c.Fill)) == 1
    d.brain(b.ReplyStarted("r2", 0, "i1"), b.ReplyText("r2", "A bell."))
    turns = d.conversation.turns.as_list()
    assert [(turn["user_text"], turn["end_reason"]) for turn in turns] == [("What is it?", None), ("What?", "finished")]
    assert d.live("r2").turn_id == 1 and turns[0]["speech_ms"] == 100


def test_what_users_said_stands_before_its_answer_whenever_it_becomes_known() -> None:
    d = Desk()
    for n in (1, 2, 3):
        d.brain(b.SpeechStarted(0, f"i{n}"), b.SpeechStopped(0, f"i{n}"))
        d.reply(f"r{n}", f"answer {n}")
        d("over", d.live(f"r{n}"))
    for n in (3, 1, 2):
        d.brain(b.UserText(f"i{n}", f"question {n}", True))
    history = [(entry["content"], entry["turn_id"]) for entry in d.conversation.history.as_list()]
    assert history == [(f"{what} {n}", n) for n in (1, 2, 3) for what in ("question", "answer")]


def test_it_nods_while_the_user_goes_on_and_at_no_other_time() -> None:
    d = Desk()
    d("joined", "7")
    d.run(1.0)
    d.brain(b.SpeechResumed(300))
    assert shown(d) == []  # nobody speaks
    d.brain(b.SpeechStarted(d.clock * 1_000_000_000 // 48_000))
    d.run(0.5)
    d.brain(b.SpeechResumed(300))
    assert shown(d) == []  # he has only begun
    d.run(1.0)
    d.brain(b.SpeechResumed(300))
    d.run(1.0)
    d.brain(b.SpeechResumed(300))
    assert shown(d) == [(None, "beat")]
    d.run(3.5)
    d.brain(b.SpeechResumed(300))
    assert shown(d) == [(None, "beat")] * 2
    d.run(5.0)
    d.conversation.config.feelings = False
    d.brain(b.SpeechResumed(300))
    assert shown(d) == [(None, "beat")] * 2
    d.conversation.config.feelings = None
    d.brain(b.SpeechStopped(d.clock * 1_000_000_000 // 48_000))
    d.brain(b.SpeechResumed(300))
    assert shown(d) == [(None, "beat")] * 2 and d.conversation.state == "thinking"


def test_it_does_not_nod_into_what_it_says() -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0))
    d.run(2.0)
    d.brain(b.SpeechResumed(300))  # it is held, and nobody knows whether the user means it
    assert shown(d) == []


@pytest.mark.parametrize("brain", ["cascade", "guide", "echo", "realtime"])
def test_hold_on_is_waited_for_where_turns_are_told_here(brain: Any) -> None:
    """Another service answers it: no turn of it ends before that."""
    d = Desk(brain=brain, turn_detection=TurnDetection(end_of_speech="semantic"))
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"), b.UserText("i1", "Hold on.", True))
    waits = brain in ("cascade", "guide")
    assert d.conversation.state == ("listening" if waits else "thinking")
    d.reply("r1", "I do.")
    assert d.conversation.turns.as_list()[0]["end_reason"] == ("no_reply" if waits else None)


@pytest.mark.parametrize("named", [True, False])
def test_what_is_asked_while_the_user_speaks_splits_no_turn_whether_the_brain_names_its_item(named: bool) -> None:
    d = Desk()
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1" if named else None))
    d("think", "And Rome?")
    d.reply("r1", "Rome is nice.")
    d.brain(b.SpeechStopped(100_000_000), b.UserText("i1", "What is it?", True))
    turns = [(turn["user_text"], turn["speech_ms"]) for turn in d.conversation.turns.as_list()]
    assert turns == [("What is it?", 100), ("And Rome?", None)]


def test_a_turn_that_was_over_is_not_opened_again() -> None:
    """A brain may tell the end of an item twice."""
    d = Desk()
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"), b.UserText("i1", "What is it?", True))
    d("tell", "And Rome?")
    d.brain(b.SpeechStopped(2, "i1"))
    assert [turn["start_reason"] for turn in d.conversation.turns.as_list()] == ["speech", "text", "speech"]


def test_what_is_injected_goes_into_what_the_user_says_whatever_was_asked_meanwhile() -> None:
    inject = ThinkActions(listening="inject")
    d = Desk()
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"))
    d("think", "And Rome?")
    d.reply("r1", "Rome is nice.")
    d("over", d.live("r1"))
    assert d.conversation.state == "listening"
    reply = d("think", "It rains.", inject)
    assert [told.respond for told in d.of(c.Tell)] == [True, False]
    d.brain(b.SpeechStopped(1, "i1"), b.UserText("i1", "What is it?", True), b.ReplyStarted("r2", 0, "i1"))
    assert (reply.id, reply.turn_id, reply.state) == ("r2", 1, "begun")


def test_what_is_said_beside_takes_nothing_in() -> None:
    d = Desk(interruption=Interruption(enabled=False))
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1", True))
    d.play(None)
    d("over", d.live("r1"))
    reply = d("think", "It rains.", ThinkActions(listening="inject"))
    assert [told.respond for told in d.of(c.Tell)] == [True] and reply.state == "asked"


def test_speech_lasts_a_minute_where_the_settings_of_now_have_a_client_end_it() -> None:
    d = Desk()
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"))
    d.run(50.0)
    d.conversation.config.turn_detection.enabled = False
    d.run(9.0)
    assert d.of(c.Commit) == []
    d.run(1.2)
    assert len(d.of(c.Commit)) == 1 and [cut.reason for cut in d.events(SpeechCut)] == ["max_duration"]


def wished(text: str = "My number is, hold on.") -> Desk:
    d = Desk(turn_detection=TurnDetection(end_of_speech="semantic"))
    d("hear", "7", bytes(320))
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"), b.UserText("i1", text, True))
    assert d.conversation.state == "listening"
    return d


def test_a_wish_to_wait_holds_for_so_long() -> None:
    d = wished()
    d.run(PAUSE - 0.2)
    assert d.of(c.Respond) == []
    d.run(0.4)
    [asked] = d.of(c.Respond)
    d("asked", asked.reply, "r1")
    d.reply("r1", "Take your time.")
    assert (asked.reply.turn_id, d.conversation.turns.newest_id) == (1, 1)
    d.run(2 * PAUSE)
    assert len(d.of(c.Respond)) == 1


@pytest.mark.parametrize("what", ["words", "a text", "a pause", "speech", "a noise"])
def test_what_becomes_of_a_wish_to_wait(what: str) -> None:
    d = wished()
    if what == "words":
        d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(1, "i2"), b.UserText("i2", "One two.", True))
        d.reply("r1")
        d("over", d.live("r1"))
    elif what == "a text":
        d("tell", "And Rome?")
        d.reply("r1")
        d("over", d.live("r1"))
    elif what == "a pause":
        d("pause")
        d("resume")
    else:
        d.brain(b.SpeechStarted(0, "i2"))
        if what == "a noise":
            d.brain(b.SpeechStopped(1, "i2"), b.UserText("i2", "", True))
    d.run(PAUSE + 1.0)
    assert len(d.of(c.Respond)) == (what == "a noise")


@pytest.mark.parametrize("what", ["speak", "silence", "greeting"])
def test_words_of_the_agents_own_answer_no_wish_to_wait(what: str) -> None:
    d = wished("What is the price? Hold on.")
    if what == "silence":
        d.conversation.config.silence = Silence(timeout_ms=5000, action="speak", content="Still there?")
        d.run(6.0)
    elif what == "speak":
        d("speak", "Please note.", "APPEND")
    else:
        d.conversation.config.llm.greeting_message = "Hello!"
        d.conversation.config.greeting = Greeting(mode="single_every")
        d("joined", "8")
    for said in list(d.conversation._saying.waiting):
        d.reply(said.id, "Words.")
        d("over", said)
    d.conversation.config.silence = None
    d.run(PAUSE + 1.0)
    [asked] = d.of(c.Respond)
    d("asked", asked.reply, "r1")
    d.reply("r1")
    assert asked.reply.turn_id == 1


@pytest.mark.parametrize("asks", ["tell", "think", "respond", "silence"])
def test_what_is_asked_later_answers_a_wish_to_wait_with_it(asks: str) -> None:
    d = wished("What is the price? Hold on.")
    if asks == "silence":
        d.conversation.config.silence = Silence(timeout_ms=5000, action="think", content="Go on.")
        d.run(6.0)
        d.conversation.config.silence = None
    elif asks == "respond":
        d("respond")
    else:
        d(asks, "And Rome?")
    d.reply("r1")
    d("over", d.live("r1"))
    d.done.clear()
    d("speak", "Please note.", "APPEND")  # a newer turn, of no question
    d.run(PAUSE + 1.0)
    assert d.of(c.Respond) == []


def test_an_interruption_takes_back_the_answer_to_a_wish_to_wait() -> None:
    d = wished()
    assert d("interrupt", "rtm") is True
    assert d("interrupt") is False
    d.run(PAUSE + 1.0)
    assert d.of(c.Respond) == []
    [turn] = d.conversation.turns.as_list()
    assert (turn["end_reason"], turn["caused_by"], turn["transport"]) == ("no_reply", "interrupt", "rtm")


@pytest.mark.parametrize("gone", ["alone", "another stays", "the channel"])
def test_nobody_else_gets_the_answer_to_a_wish_to_wait(gone: str) -> None:
    d = wished("What is my balance? Hold on.")
    if gone == "another stays":
        d("joined", "8")
    if gone == "the channel":
        d("out_of_channel", "gone")
        d.run(PAUSE + 1.0)
    else:
        d("left", "7")
    d("joined", "8")
    d.run(PAUSE + 1.0)
    assert d.of(c.Respond) == []


def test_who_is_back_in_time_gets_the_answer_to_a_wish_to_wait() -> None:
    d = wished()
    d("out_of_channel", "gone")
    d.run(5.0)
    d("joined", "7")
    d.run(PAUSE)
    assert len(d.of(c.Respond)) == 1


def test_what_is_injected_into_words_that_a_pause_has_forgotten_is_thought_of() -> None:
    d = Desk(interruption=Interruption(enabled=False))
    speaking(d)
    d.brain(b.SpeechStarted(0, "i2", True))
    d("pause")
    d("resume")
    reply = d("think", "It rains.", ThinkActions(listening="inject"))
    assert [told.respond for told in d.of(c.Tell)] == [True]
    d.brain(b.SpeechStopped(0, "i2"), b.UserText("i2", "mm", True))
    d.reply("r2")
    assert (reply.id, reply.state) == ("r2", "begun")


@pytest.mark.parametrize("then", ["speech", "interrupt", "a pause", "leaving"])
def test_an_answer_that_the_brain_has_named_with_the_end_of_a_turn_is_let_go_by_its_name(then: str) -> None:
    d = Desk(brain="realtime")
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"))
    if then == "a pause":
        d("pause")
    elif then == "leaving":
        d("farewell")
    d.brain(b.SpeechStopped(1, None, "a1"))
    if then == "a pause":
        d("resume")
    elif then == "speech":
        d.brain(b.SpeechStarted(2, "i2"))
    elif then == "interrupt":
        assert d("interrupt") is True
    assert [cut.reply_id for cut in d.of(c.Interrupted)] == ["a1"]
    d.reply("a1", "Well.")
    assert d.of(c.Play) == []


def test_an_answer_that_the_brain_has_named_with_the_end_of_a_turn_is_that_turns() -> None:
    d = Desk(brain="realtime")
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, None, "a1"), b.UserText("i1", "What is it?", True))
    d("speak", "One moment.")
    d.reply("a1", "Well.")
    assert d.live("a1").turn_id == 1 and d.of(c.Interrupted) == []
