"""What is said into what the agent says, where a voice alone does not interrupt it: what becomes of each turn."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents import actions as c
from lipwire.agents.beside import Beside, fate, unwanted
from lipwire.agents.brains import base as b
from lipwire.agents.config import AgentConfig
from lipwire.agents.events import Said
from lipwire.agents.options import Interruption
from lipwire.agents.turns import Turn
from lipwire.protocol import transcript as t
from support.conversing import Desk, speaking, what

APPEND = Interruption(enabled=False)
IGNORE = Interruption(enabled=False, when_off="ignore")
KEYWORDS = Interruption(mode="keywords", keywords=["stop", "hold on"])


def now(d: Desk) -> int:
    return d.clock * 1_000_000_000 // 48_000


def aside(d: Desk, text: str, item: str = "i1", *, partial: str = "", then: float = 0.0) -> None:
    """The user says something into what the agent says, as a brain tells it."""
    d.brain(b.SpeechStarted(now(d), item, aside=True))
    d.run(0.5)
    if partial:
        d.brain(b.UserText(item, partial, False))
    d.brain(b.SpeechStopped(now(d), item))
    d.run(then)
    d.brain(b.UserText(item, text, True))


def over(d: Desk, reply_id: str = "r1") -> None:
    """All of a reply has been heard."""
    reply = d.live(reply_id)
    d.playing = None, 0.0
    d("over", reply)


def turns(d: Desk) -> list[tuple[str, str | None, str | None]]:
    listed = d.conversation.turns.as_list()
    return [(turn["user_text"], turn["end_reason"], turn["caused_by"]) for turn in listed]


@pytest.mark.parametrize(
    ("how", "text", "final", "becomes"),
    [
        (APPEND, "And the price?", True, "waits"),
        (APPEND, "And", False, None),
        (APPEND, "mm-hmm", True, "nothing"),
        (APPEND, " ", True, "nothing"),
        (IGNORE, "Stop!", False, None),
        (IGNORE, "", True, "disable"),
        (KEYWORDS, "Please stop.", True, "calls"),
        (KEYWORDS, "please stop", False, "calls"),
        (KEYWORDS, "unstoppable", False, None),
        (KEYWORDS, "Unstoppable!", True, "keywords"),
        (KEYWORDS, "okay", True, "keywords"),
        (KEYWORDS, "", True, "nothing"),
    ],
)
def test_what_becomes_of_a_text(how: Interruption, text: str, final: bool, becomes: str | None) -> None:
    config, kept = AgentConfig(name="a", channel="c", interruption=how), Beside()
    turn = Turn(turn_id=1, start_reason="speech", start_ms=0)
    kept.began(turn, at_the_end=False)
    [one] = kept._kept
    assert fate(one, b.UserText("i", text, final), config) == becomes
    assert unwanted(how) is (how is IGNORE)
    assert kept.of(turn) is one and kept.of(None) is None
    assert kept.take() == [] and not kept.forgot(turn)
    assert kept.forget() == [one] and kept.of(turn) is None and kept.forgot(turn) and not kept.forgot(None)


def test_what_is_appended_is_answered_when_the_agent_has_ended() -> None:
    d = Desk(interruption=APPEND)
    reply = speaking(d)
    aside(d, "And the price?")
    assert what(d) == [] and d.conversation.state == "speaking" and d.of(c.Tell) == []
    aside(d, "In euros.", "i2")
    d.run(1.0)
    assert reply.state == "heard"
    over(d)
    [tell] = d.of(c.Tell)
    assert (tell.text, tell.role) == ("And the price?\nIn euros.", "user") and d.conversation.state == "thinking"
    assert "listening" not in d.states()[-1:]
    d.brain(b.ReplyStarted("r2", 0), b.ReplyText("r2", "Ten.", 0, 300), b.ReplyFinished("r2", "Ten."))
    assert d.live("r2").turn_id == 3
    history = [(entry["role"], entry["content"]) for entry in d.conversation.history.as_list()]
    assert history[1:] == [
        ("assistant", reply.text),
        ("user", "And the price?"),
        ("user", "In euros."),
        ("assistant", "Ten."),
    ]
    assert turns(d)[1:] == [("And the price?", "no_reply", None), ("In euros.", "finished", None)]
    assert [said.text for said in d.events(Said) if said.role == "user"] == ["And the price?", "In euros."]


def test_what_goes_on_when_the_agent_has_ended_is_answered_when_it_is_over() -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1", aside=True))
    over(d)
    assert d.conversation.state == "listening"
    d.run(1.0)
    d.brain(b.SpeechStopped(0, "i1"))
    assert d.of(c.Tell) == []
    d.brain(b.UserText("i1", "And the price?", True))
    assert [tell.text for tell in d.of(c.Tell)] == ["And the price?"] and d.conversation.state == "thinking"


def test_what_is_appended_while_it_thinks_leaves_the_question_before_it_its_answer() -> None:
    d = Desk(interruption=APPEND)
    d("joined", "7")
    d.user_says("What is it?")
    assert d.conversation.state == "thinking"
    aside(d, "Quick, please.", "i2")
    d.reply("r1", "A bell.")
    assert d.live("r1").turn_id == 1 and d.of(c.Tell) == []
    d.play("r1")
    d.run(0.5)
    over(d)
    assert [tell.text for tell in d.of(c.Tell)] == ["Quick, please."]
    assert turns(d) == [("What is it?", "finished", None), ("Quick, please.", None, None)]


def test_a_listener_is_not_answered_but_at_the_end() -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    aside(d, "mm-hmm")
    over(d)
    assert d.of(c.Tell) == [] and d.conversation.state == "listening" and turns(d)[1] == ("mm-hmm", "no_reply", None)
    d = Desk(interruption=APPEND)
    speaking(d, ms=5500)
    aside(d, "okay")
    over(d)
    assert [tell.text for tell in d.of(c.Tell)] == ["okay"]


def test_what_is_ignored_is_as_if_it_had_not_been() -> None:
    d = Desk(interruption=IGNORE)
    reply = speaking(d)
    aside(d, "")
    over(d)
    assert d.of(c.Tell) == [] and what(d) == [] and reply.outcome == "finished"
    assert turns(d)[1] == ("", "no_reply", "disable")
    assert [entry["role"] for entry in d.conversation.history.as_list()] == ["user", "assistant"]
    d.user_says("And now?", "i2")  # the agent listens again
    assert d.conversation.state == "thinking"


@pytest.mark.parametrize("partial", ["", "please st", "please stop"])
def test_only_keywords_interrupt(partial: str) -> None:
    d = Desk(interruption=KEYWORDS)
    reply = speaking(d)
    aside(d, "What a nice day.", "i1")
    assert what(d) == [] and turns(d)[1] == ("What a nice day.", "no_reply", "keywords")
    d.brain(b.SpeechStarted(0, "i2", aside=True))
    d.run(0.3)
    if partial:
        d.brain(b.UserText("i2", partial, False))
    assert ("Interrupted" in what(d)) is (partial == "please stop")
    d.brain(b.SpeechStopped(0, "i2"), b.UserText("i2", "Please stop.", True))
    assert what(d) == ["Drop", "Interrupted"] and reply.outcome == "interrupted"
    [tell] = d.of(c.Tell)
    assert tell.text == "Please stop." and d.conversation.state == "thinking"
    d.reply("r2", "I have stopped.")
    assert d.live("r2").turn_id == 3 and d.live("r2") is tell.reply
    history = [entry["content"] for entry in d.conversation.history.as_list()]
    assert "What a nice day." not in history and history[-1] == "Please stop."
    shown = [m.text for m in d.messages() if isinstance(m, t.UserTranscription) and m.final]
    assert shown == ["What a nice day.", "Please stop."]


def test_what_was_taken_for_a_keyword_and_is_nothing_is_not_answered() -> None:
    d = Desk(interruption=KEYWORDS)
    speaking(d)
    aside(d, "", partial="stop")
    assert "Interrupted" in what(d) and d.of(c.Tell) == [] and d.conversation.state == "listening"
    assert turns(d)[1][:2] == ("", "no_reply")


def test_an_answer_that_was_to_wait_is_timed_from_when_it_is_due() -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    aside(d, "And the price?")
    d.run(3.0)
    over(d)
    due = d.clock
    d.brain(b.ReplyStarted("r2", now(d)), b.ReplyText("r2", "Ten.", 0, 300))
    d.brain(b.ReplyAudio("r2", bytes(9600), 16_000))
    d.play("r2")
    d.run(0.2)
    turn = d.conversation.turns.as_list()[-1]
    assert turn["user_text"] == "And the price?" and turn["e2e_latency_ms"] <= (d.clock - due) / 48
    assert turn["speech_ms"] >= 500


def test_a_keyword_interrupts_what_is_thought_of() -> None:
    d = Desk(interruption=KEYWORDS)
    d("joined", "7")
    d.user_says("What is it?")
    d.brain(b.ReplyStarted("r1", 0))
    aside(d, "Stop.", "i2")
    assert d.live("r1").outcome == "interrupted"
    assert [tell.text for tell in d.of(c.Tell)] == ["Stop."]
    assert turns(d) == [("What is it?", "interrupted", "speech"), ("Stop.", None, None)]


@pytest.mark.parametrize("call", [("pause",), ("wind_up",), ("end",)])
def test_what_waits_is_dropped_where_nothing_is_answered_any_more(call: tuple[str, ...]) -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    aside(d, "And the price?")
    d(*call)
    d.run(1.0)
    assert d.of(c.Tell) == [] and turns(d)[1][1] == "no_reply"


def test_what_is_due_is_said_before_a_farewell_whatever_a_user_says_beside() -> None:
    d = Desk(interruption=APPEND)
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    d.brain(b.SpeechStarted(now(d), "i2", aside=True))
    d("farewell")
    d.brain(b.SpeechStopped(now(d), "i2"))
    assert not d.conversation.silent
    d.brain(b.UserText("i1", "What is it?", True), b.UserText("i2", "Quick!", True))
    d.reply("r1", "A bell.")
    assert d.live("r1").state == "begun" and d.live("r1").turn_id == 1
    d.play("r1")
    d.run(1.0)
    over(d)
    assert d.conversation.silent and d.of(c.Tell) == []
    d("end")
    assert turns(d) == [("What is it?", "finished", None), ("Quick!", "no_reply", "leave")]


def test_a_keyword_interrupts_a_farewell() -> None:
    d = Desk(interruption=KEYWORDS)
    reply = speaking(d)
    d.brain(b.SpeechStarted(now(d), "i1", aside=True))
    d("farewell")
    d.brain(b.UserText("i1", "please stop", False))
    assert reply.outcome == "interrupted"
    d.brain(b.SpeechStopped(now(d), "i1"), b.UserText("i1", "Please stop.", True))
    assert d.conversation.silent


@pytest.mark.parametrize("stops", ["before", "after"])
def test_what_was_forgotten_comes_to_nothing(stops: str) -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    d.brain(b.SpeechStarted(now(d), "i1", aside=True))
    if stops == "before":
        d.brain(b.SpeechStopped(now(d), "i1"))
    d("pause")
    d("resume")
    if stops == "after":
        d.brain(b.SpeechStopped(now(d), "i1"))
    d.brain(b.UserText("i1", "And the price?", True))
    d.run(1.0)
    assert d.conversation.state == "listening" and d.of(c.Tell) == [] and len(turns(d)) == 2
    assert "And the price?" not in [entry["content"] for entry in d.conversation.history.as_list()]


def test_what_the_client_says_counts_whatever_is_set() -> None:
    d = Desk(interruption=APPEND)
    reply = speaking(d)
    aside(d, "And the price?")
    d("interrupt")
    assert reply.outcome == "interrupted" and d.of(c.Tell) == []
    d("tell", "Well?")
    assert [tell.text for tell in d.of(c.Tell)] == ["Well?"]


def test_a_voice_command_works_in_what_is_ignored() -> None:
    d = Desk(interruption=KEYWORDS, voice_commands=True)
    speaking(d)
    aside(d, "Hey Aria, stop now. No: hey Aria, stop.")
    assert d.conversation.paused
    d = Desk(interruption=APPEND, voice_commands=True)
    speaking(d)
    aside(d, "Hey Aria, stop.")
    assert d.of(c.Tell) == []
    over(d)
    assert d.conversation.paused and d.of(c.Tell) == []


def test_the_brain_is_told_what_the_agent_does() -> None:
    d = Desk()
    speaking(d)
    d.done.clear()
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"), b.UserText("i1", "", True))
    over(d)
    said: list[Any] = [floor.state for floor in d.of(c.Floor)]
    assert said == d.states() == ["listening", "thinking", "speaking", "listening"]


def test_interrupting_drops_what_waits_to_be_answered() -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    aside(d, "And the price?")
    assert d("interrupt", "rtm") and d.of(c.Tell) == [] and d.conversation.state == "listening"
    assert turns(d)[1:] == [("And the price?", "no_reply", "interrupt")]
    assert d.conversation.turns.as_list()[1]["transport"] == "rtm"
    assert not d("interrupt")


@pytest.mark.parametrize(("call", "cause"), [("pause", "interrupt"), ("wind_up", "leave"), ("end", "leave")])
def test_what_was_said_beside_and_is_forgotten_was_said(call: str, cause: str) -> None:
    d = Desk(interruption=APPEND)
    speaking(d)
    aside(d, "And the price?")
    d(call)
    assert turns(d)[1:] == [("And the price?", "no_reply", cause)]
