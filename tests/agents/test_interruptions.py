"""Whether users interrupt what the agent says. No socket, no event loop, no real clock."""

from __future__ import annotations

import pytest

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.options import Silence
from lipwire.agents.think_actions import ThinkActions
from lipwire.protocol import transcript as t
from support.conversing import Desk, speaking, what


@pytest.mark.parametrize(
    "sounds",
    [
        pytest.param([(0.3, "")], id="a cough that speech to text knows for one"),
        pytest.param([(0.3, None)], id="a door, of which no text comes"),
        pytest.param([(0.2, None), (1.0, None)], id="two noises in a row"),
        pytest.param([(0.4, "Mm-hmm.")], id="a listener"),
        pytest.param([(0.3, None), (0.4, "okay")], id="a noise and a listener"),
    ],
)
def test_what_is_no_interruption_is_none(sounds: list[tuple[float, str | None]]) -> None:
    d = Desk()
    reply = speaking(d)
    for n, (seconds, text) in enumerate(sounds):
        if n:
            d.run(0.5)
        d.brain(b.SpeechStarted(0, f"i{n}"))
        assert d.held and d.conversation.state == "listening"
        d.run(seconds)
        d.brain(b.SpeechStopped(0, f"i{n}"))
        if text is not None:
            d.brain(b.UserText(f"i{n}", text, True))
    if sounds[-1][1] is None:
        assert d.held
        d.run(2.1)
    assert not d.held and what(d) == ["Hold", "Release"] and d.conversation.state == "speaking"
    assert d.playing[1] == pytest.approx(5000.0, abs=101)
    assert (reply.state, d.conversation.stats()["interruptions"], d.conversation.stats()["false_interruptions"]) == (
        "heard",
        0,
        1,
    )
    assert not [message for message in d.messages() if isinstance(message, t.Interrupt)]
    d.play(None)
    d("over", reply)
    history = [(entry["role"], entry["content"]) for entry in d.conversation.history.as_list()]
    assert history == [("user", "What is it?"), ("assistant", reply.text)]
    assert [turn["end_reason"] for turn in d.conversation.turns.as_list()][1:] == ["no_reply"] * len(sounds)


@pytest.mark.parametrize(
    ("parts", "interrupts"),
    [
        (["I", "I see", "I see."], None),
        (["Uh", "Uh-h", "Uh-huh."], None),
        (["I", "I want"], 1),
        (["Ok", "Okay", "Okay, wait"], 2),
        (["Stop"], 0),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_text_in_the_making_interrupts_when_it_is_more_than_a_listeners(
    parts: list[str], interrupts: int | None, late: bool
) -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"))
    if late:
        d.brain(b.SpeechStopped(0, "i1"))
        d.run(2.1)
    for n, part in enumerate(parts):
        d.brain(b.UserText("i1", part, False))
        assert ("Interrupted" in what(d)) is (interrupts is not None and n >= interrupts)
    if not late:
        d.brain(b.SpeechStopped(0, "i1"))
    d.brain(b.UserText("i1", parts[-1], True))
    assert not d.held and ("Interrupted" in what(d)) is (interrupts is not None)


def test_noise_and_then_words() -> None:
    d = Desk()
    reply = speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    d.run(1.0)
    d.brain(b.SpeechStarted(0, "i2"))
    d.run(3.0)  # longer than a noise may be; the user still speaks
    assert d.held
    d.brain(b.SpeechStopped(0, "i2"), b.UserText("i1", "", True), b.UserText("i2", "No, the other one.", True))
    assert what(d) == ["Hold", "Drop", "Interrupted", "Release"]
    [told] = d.of(c.Interrupted)
    assert told.played_ms == pytest.approx(5000.0, abs=1) and told.text == "one two three four five"
    assert reply.outcome == "interrupted" and d.conversation.state == "thinking"
    d.reply("r2", "That one.")
    assert d.live("r2").turn_id == 3


def test_words_that_come_after_it_went_on() -> None:
    """Speech to text took longer than the time out."""
    d = Desk()
    reply = speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    d.reply("r2", "An answer to that.")  # as OpenAI Realtime gives it at once
    assert d.live("r2").state == "begun" and d.held
    d.run(2.1)
    assert [told.reply_id for told in d.of(c.Interrupted)] == ["r2"] and not d.held
    d.run(0.5)
    d.brain(b.UserText("i1", "Stop it, please.", True))
    assert reply.outcome == "interrupted" and d.of(c.Interrupted)[1].played_ms == pytest.approx(5600.0, abs=101)
    assert [respond.reply.state for respond in d.of(c.Respond)] == ["asked"]  # the answer is given anew
    d.reply("r3", "I have stopped.")
    assert (d.live("r3").turn_id, d.live("r3").state) == (2, "begun")
    assert [turn["user_text"] for turn in d.conversation.turns.as_list()] == ["What is it?", "Stop it, please."]


@pytest.mark.parametrize(("text", "said"), [("", "r1"), ("hm", "r1"), ("What?", "r2"), (None, "r1")])
def test_an_answer_waits_until_it_is_known_whether_there_was_a_question(text: str | None, said: str) -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"), b.ReplyStarted("r2", 0, "i1"))
    d.reply("r2", "An answer.")
    assert what(d) == ["Hold"] and d.of(c.Add)
    if text is None:
        d.run(2.1)
    else:
        d.brain(b.UserText("i1", text, True))
    [told] = d.of(c.Interrupted)
    assert told.reply_id == {"r1": "r2", "r2": "r1"}[said]
    assert d.live(said).state != "over" and d.conversation.state == ("speaking" if said == "r1" else "thinking")
    d.brain(b.ReplyStarted("r3", 0, "i1"))  # a late answer to the noise is refused; one to words is not
    assert d.live("r3").state == ("refused" if said == "r1" else "begun")


def test_a_brain_that_tells_no_texts_answers_what_was_said() -> None:
    d = Desk()
    d("joined", "7")
    d.reply("r1", "one two three", 10_000)
    d.play("r1")
    d.run(1.0)
    d.brain(b.SpeechStarted(0), b.SpeechStopped(0))
    assert d.held
    d.reply("r2", "I say back what I hear.")
    assert [told.reply_id for told in d.of(c.Interrupted)] == ["r1"] and not d.held
    d = Desk()  # a service that could tell them, and never does: that is waited for once
    d("joined", "7")
    for n, seconds in ((1, 2.1), (2, 0.0)):
        d.reply(f"r{n}", "one two three", 10_000)
        d.play(f"r{n}")
        d.run(1.0)
        d.brain(b.SpeechStarted(0, f"i{n}"), b.SpeechStopped(0, f"i{n}"), b.ReplyStarted(f"a{n}", 0, f"i{n}"))
        assert d.held is (n == 1)
        d.run(seconds)
        assert [told.reply_id for told in d.of(c.Interrupted)][-1] == f"r{n}" and not d.held
        d("interrupt")


def test_what_was_a_noise_until_it_was_understood_is_answered_by_a_brain_that_had_named_its_answer() -> None:
    """It was told that nobody wants that."""
    d = Desk(brain="realtime")
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1", "a1"))
    d.run(2.2)
    assert not d.held and [told.reply_id for told in d.of(c.Interrupted)] == ["a1"]
    d.brain(b.UserText("i1", "No, the other one.", True))
    [asked] = d.of(c.Respond)
    d("asked", asked.reply, "a2")
    d.reply("a2", "The other one.")
    assert asked.reply.turn_id == d.conversation.turns.newest_id


@pytest.mark.parametrize("minor", [True, False])
def test_speech_to_text_that_fails(minor: bool) -> None:
    """The model has heard it by itself, and answers; or nobody has, and the agent goes on."""
    d = Desk(llm={"failure_message": "Hold on."})
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"), b.Failed("STT_ERROR", "no transcript", minor=minor))
    if minor:
        d.brain(b.ReplyStarted("r2", 0, "i1"))
    assert d.of(c.Say) == [] and not d.held
    assert [told.reply_id for told in d.of(c.Interrupted)] == (["r1"] if minor else [])
    if not minor:
        d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(0, "i2"), b.SpeechStarted(0, "i3"))
        d.brain(b.Failed("STT_ERROR", "no transcript"))
        assert d.held  # the user speaks again


def test_okay_at_the_end_of_a_question_answers_it() -> None:
    d = Desk()
    reply = speaking(d, ms=5500)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"), b.UserText("i1", "Okay.", True))
    assert reply.outcome == "interrupted" and d.of(c.Doubted) == [c.Doubted(False)]
    assert d.conversation.state == "thinking"


def test_what_is_commanded_is_done_whatever_is_in_doubt() -> None:
    for call in (("interrupt",), ("pause",), ("tell", "stop"), ("speak", "Now this."), ("wind_up",)):
        d = Desk()
        reply = speaking(d)
        d.brain(b.SpeechStarted(0, "i1"))
        d(*call)
        assert reply.outcome == "interrupted" and not d.held, call
        d.run(3.0)
        assert what(d)[:3] == ["Hold", "Drop", "Interrupted"]


def test_what_the_agent_adds_meanwhile_waits_and_is_not_lost() -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"))
    d("speak", "By the way.", "APPEND")
    d.reply("said-1", "By the way.")
    d.brain(b.SpeechStopped(0, "i1"), b.UserText("i1", "Stop.", True))
    assert [told.reply_id for told in d.of(c.Interrupted)] == ["r1"]
    assert d.live("said-1").state == "begun"


def test_settings_of_false_interruptions() -> None:
    for name in ("resume_false_interruption", "enabled"):
        d = Desk()
        setattr(d.conversation.config.turn_detection, name, False)
        speaking(d)
        d.brain(b.SpeechStarted(0, "i1"))
        assert what(d) == ["Drop", "Interrupted"]  # as soon as somebody speaks
    d = Desk()
    d.conversation.config.turn_detection.false_interruption_timeout = 0.5
    d.conversation.config.turn_detection.backchannels = ["quite so"]
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    d.run(0.7)
    d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(0, "i2"), b.UserText("i2", "Quite so!", True))
    assert what(d) == ["Hold", "Release"] * 2
    d.brain(b.SpeechStarted(0, "i3"), b.SpeechStopped(0, "i3"), b.UserText("i3", "okay", True))
    assert what(d)[4:] == ["Hold", "Drop", "Interrupted", "Release"]


def test_late_words_of_a_noise_while_the_user_says_something_else() -> None:
    """They are remembered, and answered with that."""
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"))
    d.run(2.1)
    d.play(None)
    d("over", d.live("r1"))
    d.brain(b.SpeechStarted(2, "i2"))
    d.brain(b.UserText("i1", "What about Rome?", True))
    assert d.conversation.turns.open is d.conversation.turns.newest and d.of(c.Respond) == []
    d.brain(b.SpeechStopped(3, "i2"), b.UserText("i2", "And Paris?", True))
    d.brain(b.ReplyStarted("r2", 0, "i2"))
    d.reply("r2", "Both.")
    d("over", d.live("r2"))
    turns = [(turn["user_text"], turn["end_reason"]) for turn in d.conversation.turns.as_list()[1:]]
    assert turns == [("What about Rome?", "no_reply"), ("And Paris?", "finished")]


def test_late_words_of_a_noise_take_the_place_of_what_breaks_the_silence() -> None:
    d = Desk(silence=Silence(timeout_ms=1000, action="think", content="Say something."))
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"))
    d.run(2.1)
    d.play(None)
    d("over", d.live("r1"))
    d.run(1.5)
    [told] = d.of(c.Tell)
    d.brain(b.UserText("i1", "What about Rome?", True))
    assert told.reply.state == "refused"
    d.brain(b.ReplyStarted("r2", 0, "i1"))
    turns = [(turn["start_reason"], turn["end_reason"]) for turn in d.conversation.turns.as_list()[1:]]
    assert turns == [("speech", None), ("silence", "no_reply")] and d.live("r2").turn_id == 2


def test_late_words_of_a_noise_leave_an_answer_that_must_not_be_interrupted() -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"))
    d.run(2.1)
    settled = d.conversation._interruptions.settled
    reply = d("think", "And Rome?", ThinkActions(speaking="append"), interruptable=False)
    d.brain(b.ReplyFinished("r1", d.live("r1").text))
    assert [told.text for told in d.of(c.Tell)] == ["And Rome?"] and settled is not None
    settled.replaced = False  # as where the words come before that is known
    d.brain(b.UserText("i1", "What about Paris?", True))
    assert reply.state == "asked" and reply in d.conversation._saying.waiting


@pytest.mark.parametrize("interruptable", [True, False])
def test_an_answer_that_begins_while_the_user_speaks(interruptable: bool) -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"))
    reply = d("ask", "And Rome?", "7", "ignore", interruptable)
    d.reply("r2", "Rome is nice.")
    d.brain(b.SpeechStopped(1, "i1"), b.UserText("i1", "No, Paris.", True))
    assert reply.state == ("over" if interruptable else "begun")


def test_an_answer_that_waited_is_weighed_by_its_own_turn() -> None:
    """It is not for what the user says when it begins."""
    d = Desk()
    d("joined", "7")
    reply = d("think", "And Rome?", interruptable=False)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"), b.UserText("i1", "What is it?", True))
    d.brain(
        b.ReplyStarted("r2", 0, "i1"), b.ReplyText("r2", "A bell.", 0, 500), b.ReplyAudio("r2", bytes(16_000), 16_000)
    )
    d.play("r2")
    d.run(0.1)
    d.brain(b.SpeechStarted(2, "i2"), b.SpeechStopped(3, "i2"))
    assert d.held
    d.reply("r1", "Rome is nice.")
    d.brain(b.UserText("i2", "", True))
    assert (reply.state, reply.turn_id, d.held) == ("begun", 1, False)


def test_what_gave_way_takes_no_refused_answers_place() -> None:
    """The late answer to the user's own, where what took its place was interrupted."""
    d = Desk()
    d("joined", "7")
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(1, "i1"), b.UserText("i1", "What is it?", True))
    reply = d("think", "And Rome?")
    assert d("interrupt") and reply.state == "refused"
    d.brain(b.ReplyStarted("r1", 0, "i1"))
    assert (d.live("r1").state, d.conversation._saying.due) == ("refused", None)
