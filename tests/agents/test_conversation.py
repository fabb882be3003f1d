"""The conversation by itself: events and the clock in, actions out. No socket, no event loop, no real clock."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import lipwire
from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.config import TurnDetection
from lipwire.agents.events import Said, TurnEnded
from lipwire.agents.options import Filler, Greeting, Silence
from lipwire.agents.think_actions import MAX_LATER, ThinkActions
from lipwire.errors import BadState, BufferFull, InvalidArgument
from lipwire.protocol import transcript as t
from support.conversing import Desk, send, speaking, told


def test_it_does_no_input_or_output() -> None:
    """Nor does anything of ours that it is made of, but for the core."""
    agents = Path(lipwire.__file__).parent / "agents"
    names = (
        "conversation",
        "conversation_state",
        "saying",
        "interruptions",
        "listening",
        "clients",
        "replies",
        "turns",
        "transcripts",
        "events",
        "config",
        "speech/commands",
        "brains/base",
    )
    more = ("greeting", "silence", "skip_patterns", "think_actions", "beside", "turn_taking", "speech/pauses")
    for name in (*names, *more, "speech/phrases"):
        tree = ast.parse((agents / f"{name}.py").read_text())
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {module.partition(".")[0] for module in modules} & {
            "asyncio", "socket", "time", "threading", "uuid", "random", "secrets", "os", "httpx", "websockets",
            "session", "channel", "http",
        }, name  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ turns


def test_a_turn() -> None:
    d = Desk()
    d("joined", "7")
    d("hear", "7", bytes(320))
    d.user_says("What is it?")
    d.run(0.5)
    d.reply("r1", "It is nothing.")
    d.play("r1")
    d.run(1.0)
    reply = d.live("r1")
    assert (reply.state, reply.outcome, reply.reason) == ("heard", None, "speech")
    d.play(None)
    d("over", reply)
    assert (reply.state, reply.outcome) == ("over", "finished")
    assert d.states() == ["listening", "thinking", "speaking", "listening"]
    [turn] = d.conversation.turns.as_list()
    assert (turn["user"], turn["end_reason"], turn["e2e_latency_ms"]) == ("7", "finished", 510.0)
    assert d.events(Said) == [Said("user", "What is it?", 1), Said("assistant", "It is nothing.", 1)]
    assert [event.turn for event in d.events(TurnEnded)] == [turn]
    assert d.of(c.Hear) == [c.Hear(bytes(320), "7")]
    assert [(m.text, m.turn_status) for m in d.messages() if isinstance(m, t.AssistantTranscription)][-1] == (
        "It is nothing.",
        t.ENDED,
    )


def test_the_user_interrupts_what_is_heard() -> None:
    d = Desk()
    d("joined", "7")
    d.reply("r1", "one two three four five six seven eight nine ten", 10_000)
    d.play("r1")
    d.run(5.05)
    d.done.clear()
    d.brain(b.SpeechStarted(0, "i1"), b.UserText("i1", "wait", False))
    [drop], [told] = d.of(c.Drop), d.of(c.Interrupted)
    assert d.done.index(drop) < d.done.index(told)  # silence comes first
    assert [reply.id for reply in drop.replies] == ["r1"]
    assert (told.reply_id, told.played_ms) == ("r1", 5050.0) and told.text == "one two three four five"
    assert (drop.replies[0].state, drop.replies[0].outcome) == ("over", "interrupted")
    d.brain(b.ReplyAudio("r1", bytes(3200), 16_000), b.ReplyText("r1", "late"), b.ReplyFinished("r1", "x", "cancelled"))
    assert not d.of(c.Play) and len(d.of(c.Drop)) == 1
    assert d.conversation.history.as_list()[-1]["content"] == told.text


def test_what_is_not_interruptable_outlives_the_users_voice_but_not_a_command() -> None:
    d = Desk()
    law = d("speak", "the law says", interruptable=False)
    d.reply("said-1", "the law says")
    d.reply("r2", "and I say")
    d.brain(b.SpeechStarted(0), b.UserText("i1", "what", False))
    assert [told.reply_id for told in d.of(c.Interrupted)] == ["r2"] and law.state == "begun"
    assert d("interrupt") and law.outcome == "interrupted"
    assert not d("interrupt")


def test_an_answer_interrupted_before_it_begins_is_refused_when_it_does() -> None:
    d = Desk()
    due = d("tell", "Tell me everything")
    assert due.state == "asked" and d.conversation.state == "thinking"
    assert d("interrupt") and due.state == "refused" and d.conversation.state == "idle"
    d("speak", "instead")
    d.reply("said-1", "instead")  # the agent's own words are not meant
    assert d.live("said-1").state == "begun"
    d.reply("r1")
    assert due.id == "r1" and d.of(c.Interrupted) == [c.Interrupted("r1", 0.0, "")]
    d.reply("r2")
    assert d.live("r2").state == "begun"
    assert [turn["end_reason"] for turn in d.conversation.turns.as_list()] == ["interrupted", None, None]


def test_no_answer_is_waited_for_only_so_long() -> None:
    d = Desk()
    d("joined", "7")
    due = d("tell", "Hello?")
    d.run(14.9)
    assert d.conversation.state == "thinking"
    d.run(0.2)
    assert d.conversation.state == "listening" and due.state == "refused"
    assert d.conversation.turns.as_list()[-1]["end_reason"] == "no_reply"
    d.reply("r1")  # it comes after all, and is said
    assert d.live("r1").turn_id == 2
    d.brain(b.SpeechStarted(0), b.SpeechStopped(0), b.UserText("i2", " ", True))
    d.run(0.3)
    assert d.conversation.state == "thinking"  # a cough: the answer goes on


# ------------------------------------------------------------------------------------------ users, silence, messages


def test_who_came_while_the_agent_was_paused_is_greeted_when_it_goes_on() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"})
    d("pause")
    d("joined", "7")
    assert d.of(c.Say) == []
    d("resume")
    assert [(say.text, say.reply.reason) for say in d.of(c.Say)] == [("Welcome!", "greeting")]
    d("pause")
    d("resume")
    d("joined", "8")
    assert len(d.of(c.Say)) == 1


def test_greeting_and_leaving_when_alone() -> None:
    d = Desk(idle_timeout=3.0, remote_uids=["9"], llm={"greeting_message": "Welcome!"})
    d("joined", "7")
    assert not d.of(c.Say)
    d("joined", "9")
    d("left", "9")
    d("joined", "9")
    said = [(say.text, say.reply.reason, say.reply.state) for say in d.of(c.Say)]
    assert said == [("Welcome!", "greeting", "refused"), ("Welcome!", "greeting", "asked")]
    d.run(10.0)
    d("left", "7")
    d("out_of_channel", "gone")
    d.run(2.9)
    assert not d.of(c.Leave) and d.conversation.state == "thinking"
    d.run(0.2)
    assert d.of(c.Leave)[0] == c.Leave("idle_timeout")


def test_only_those_whom_it_hears_keep_it_there() -> None:
    """A bot, or another user's avatar, in the channel is nobody to wait for."""
    d = Desk(idle_timeout=3.0, remote_uids=["9", "8"])
    d("joined", "9")
    d("joined", "7")
    assert d.conversation.state == "listening"
    d.run(5.0)
    d("left", "9")
    d.run(2.9)
    assert not d.of(c.Leave)
    d("joined", "8")
    d.run(5.0)
    d("left", "8")
    assert d.conversation.state == "idle"
    d.run(2.8)
    assert not d.of(c.Leave)
    d.run(0.3)
    assert d.of(c.Leave)[0] == c.Leave("idle_timeout") and d.conversation.users == {"7"}
    everyone = Desk(idle_timeout=3.0)
    everyone("joined", "7")
    everyone.run(5.0)
    assert not everyone.of(c.Leave)


def test_what_is_minor_is_told_and_nothing_else_happens() -> None:
    d = Desk(llm={"failure_message": "Sorry."})
    d("joined", "7")
    d("tell", "hi")
    d.brain(b.ReplyStarted("r1", 1), b.ReplyText("r1", "One.", 0, 300), b.ReplyAudio("r1", bytes(9600), 16_000))
    d.brain(b.Failed("TTS_ERROR", "15 characters were not said", "r1", minor=True))
    assert [event.code for event in d.events(b.Failed)] == ["TTS_ERROR"] and not d.of(c.Say)
    assert d.live("r1").outcome != "failed" and d.conversation.stats()["failures"] == 1


def test_a_typed_question_interrupts_waits_or_is_dropped() -> None:
    d = Desk()
    assert send(d, "user.transcription", message="One?", priority="ignore", interruptable=False).reason == "text"
    [line] = [message for message in d.messages() if isinstance(message, t.UserTranscription)]
    assert (line.text, line.turn_id, line.user_id, line.final) == ("One?", 1, "7", True)
    d.reply("r1", ms=3000, finish=False)
    d.play("r1")
    d.run(0.1)
    assert d.conversation.state == "speaking" and not d.live("r1").interruptable
    assert send(d, "user.transcription", message="Two?", priority="ignore") is None
    later = send(d, "user.transcription", message="Three?", priority="append")
    d.run(0.3)
    assert told(d) == ["One?"]
    d.brain(b.ReplyFinished("r1", "Well, well."))
    assert told(d) == ["One?", "Three?"] and d.conversation.turns.as_list()[-1]["user"] == "7"
    assert d.live("r1").state == "heard", "it is said to its end, and then the answer"
    d.play(None)
    d("over", d.live("r1"))
    d.reply("r2", ms=3000, finish=False)
    assert later.id == "r2"
    d.play("r2")
    d.run(0.1)
    assert send(d, "user.transcription", message="Four?", priority="interrupted") is not None
    assert d.live("r2").outcome == "interrupted" and told(d)[-1] == "Four?"
    for n in range(MAX_LATER + 1):
        send(d, "user.transcription", message=str(n), priority="append")
    refused = d.messages()[-1]
    assert (refused.module, refused.reason) == ("unknown", "BUFFER_FULL") and "16 texts wait" in refused.message
    d("interrupt")
    d("pause")
    d("resume")
    d.run(1.0)
    assert told(d)[-1] == "Four?", "what waits is not asked any more"


def test_a_question_that_is_to_wait_cuts_nothing_off() -> None:
    """A brain has handed over all of an answer long before it has been heard."""
    d = Desk()
    speaking(d)
    send(d, "user.transcription", message="And then?", priority="append")
    assert told(d) == ["And then?"] and d.live("r1").state == "heard"
    d.reply("r2", "Then it ends.")
    assert d.live("r1").state == "heard" and d.live("r2").state == "begun"


def test_an_answer_to_what_something_took_the_place_of_is_not_said() -> None:
    """The brain makes out what the user said, and answers it, when something else has been asked."""
    for ask in (("think", "It rains."), ("message", "7", b'{"type": "chat", "text": "What?"}')):
        for interrupts in (False, True):
            d = Desk()
            d("joined", "7")
            d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
            if interrupts:
                d("interrupt")
            reply = d(*ask)
            d.brain(b.UserText("i1", "What is it?", True))
            d.brain(b.ReplyStarted("r1", 0, "i1"), b.ReplyText("r1", "A bell."))
            assert d.live("r1").state == "refused" and c.Interrupted("r1", 0.0, "") in d.of(c.Interrupted)
            d.reply("r2", "I see.")
            d.play("r2")
            d.run(0.3)
            assert reply.id == "r2" and reply.state == "heard"
            assert [turn["caused_by"] for turn in d.conversation.turns.as_list()] == [
                "interrupt" if interrupts else "think",
                None,
            ]


def test_a_text_that_comes_late_does_not_cut_off_what_took_its_place() -> None:
    d = Desk()
    speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    d.run(2.2)
    assert not d.held
    asked = d("tell", "What?")
    d.reply("r2", "Nothing.")
    d.brain(b.UserText("i1", "No, the other one.", True))
    assert asked.state == "begun" and d.live("r1").outcome == "interrupted"
    assert "No, the other one." in [one["content"] for one in d.conversation.history.as_list()]


@pytest.mark.parametrize("ends", ["time", "pause", "voice", "wait", "failure"])
def test_an_answer_that_will_not_be_is_refused(ends: str) -> None:
    d = Desk(turn_detection=TurnDetection(end_of_speech="semantic"))
    d("joined", "7")
    if ends == "wait":
        d.brain(b.SpeechStarted(0, "i1"))
        due = think(d, "It rains.", listening="inject")
        d.brain(b.SpeechStopped(0, "i1"), b.UserText("i1", "Hold on.", True))
    else:
        due = d("tell", "Hello?")
        if ends == "time":
            d.run(15.2)
        elif ends == "pause":
            d("pause")
        elif ends == "voice":
            d.brain(b.SpeechStarted(0, "i1"))
        else:
            d.brain(b.Failed("LLM_ERROR", "away"))
    assert due.state == "refused"


def test_an_answer_that_nobody_may_interrupt_comes_in_spite_of_a_voice() -> None:
    """Of a brain that begins it late."""
    for over in ("finished", "interrupt", "time"):
        d = Desk(brain="realtime")
        d("joined", "7")
        kept = think(d, "Say it.", interruptable=False)
        d.brain(b.SpeechStarted(0, "u1"))
        assert kept.state == "asked" and d.conversation.state == "thinking"
        if over == "interrupt":
            assert d("interrupt") and kept.state == "refused"
        elif over == "time":
            d.run(15.2)
            assert kept.state == "refused" and d.conversation.state == "listening"
        else:
            d.brain(b.SpeechStopped(0, "u1"), b.UserText("u1", "And now?", True))
            d.reply("r1", "As you wish.")
            assert kept.id == "r1" and kept.turn_id == 1 and kept.state == "begun"
            d.brain(b.ReplyStarted("r2", 0, "u1"))
            assert d.live("r2").turn_id == 2 and kept.state == "begun"
            continue
        assert d.conversation.turns.as_list()[0]["end_reason"] == "no_reply"


def test_what_an_append_waits_for() -> None:
    d = Desk()
    d.brain(b.SpeechStarted(0))
    send(d, "user.transcription", message="Later?", priority="append")
    d.run(0.5)
    assert told(d) == []
    d.brain(b.SpeechStopped(0), b.UserText("i1", "Now?", True))
    d.run(0.5)
    assert told(d) == []
    d.reply("r1")
    d.play("r1")
    d.run(0.5)
    d.play(None)
    d("over", d.live("r1"))
    d.run(0.1)
    assert told(d) == ["Later?"]


def test_thoughts_and_announcements_of_the_mobile_toolkits() -> None:
    d = Desk()
    d("joined", "7")
    body = {"message": "The light is green.", "interruptable": True, "on_thinking_action": "ignore"}
    assert d("message", "7", json.dumps(body).encode()).reason == "think"
    assert d("message", "7", json.dumps(body).encode()) is None and told(d) == ["The light is green."]
    d("interrupt")
    assert d("message", "7", json.dumps(body | {"on_listening_action": "ignore"}).encode()) is None
    said = {"message": "Mind the gap.", "priority": "append", "interruptable": False}
    reply = d("message", "7", json.dumps(said).encode())
    assert reply.reason == "speak" and not reply.interruptable and d.of(c.Say)[-1].text == "Mind the gap."


def test_the_answer_to_marks_of_speech() -> None:
    d = Desk()
    send(d, "user.manual_sos", request_id="r1")
    send(d, "user.manual_eos", request_id="r2")
    d.conversation.transcripts.speech_ended("max_duration", 60_000, 3)
    d("tick", 480)
    start, end, timeout = d.messages()
    assert (type(start), type(end), type(timeout)) == (t.ManualStart, t.ManualEnd, t.ManualTimeout)
    assert (start.payload.request_id, start.payload.success, start.payload.turn_id) == ("r1", False, None)
    assert "end_of_speech is not manual" in (end.payload.error_message or "") and start.event_ms == 1000
    assert (timeout.payload.reason, timeout.payload.max_duration_ms, timeout.payload.turn_id) == (
        "max_duration", 60_000, 3)  # fmt: skip


@pytest.mark.parametrize("on", [True, False])
def test_what_clients_are_told_of_figures_and_failures(on: bool) -> None:
    d = Desk(metrics=on, error_messages=on, agent_id="a-1")
    d.user_says("Well?")
    d.reply("r1")
    d.play("r1")
    d.run(0.5)
    d.play(None)
    d("over", d.live("r1"))
    d.brain(b.Failed("LLM_ERROR", "no", minor=True))
    kinds = {type(message) for message in d.messages()}
    assert (t.Metrics in kinds, t.Error in kinds) == (on, on)
    [turn] = [message for message in d.messages() if isinstance(message, t.TurnFinished)]
    assert (turn.payload.agent_id, turn.payload.turn_id) == ("a-1", 1)
    assert turn.payload.start.start_at == d.conversation.turns.as_list()[0]["start_at"]
    assert turn.payload.metrics.e2e_latency_ms > 0
    assert {part.name for part in turn.payload.metrics.segmented_latency_ms} == {"algorithm_processing", "asr_ttlw"}
    send(d, "user.transcription")
    assert isinstance(d.messages()[-1], t.Error), "who says something wrong is answered"


def test_the_end_breaks_off_and_changes_nothing_any_more() -> None:
    d = Desk()
    d("joined", "7")
    d.reply("r1")
    d("end")
    assert d.live("r1").outcome == "interrupted" and d.conversation.state == "idle"
    before = len(d.states())
    d("joined", "8")
    assert len(d.states()) == before
    assert [m.state for m in d.messages() if isinstance(m, t.State)][-1] == "idle"


# -------------------------------------------------------------------------------------------------------- winding up


def spoken(*, pieces: tuple[tuple[str, float], ...], complete: bool = True, **fields: Any) -> Desk:
    """A desk whose agent says `r` of these pieces (text, seconds), 0.5 s of which have been heard."""
    d = Desk(**fields)
    d("joined", "7")
    at = 0
    d.brain(b.ReplyStarted("r", 0))
    for text, seconds in pieces:
        d.brain(b.ReplyText("r", text, at_ms=at, duration_ms=round(seconds * 1000)))
        d.brain(b.ReplyAudio("r", bytes(round(seconds * 16_000) * 2), 16_000))
        at += round(seconds * 1000)
    if complete:
        d.brain(b.ReplyFinished("r", "".join(text for text, _ in pieces), "done"))
    d.play("r")
    d.run(0.5)
    return d


TWO = (("One two three. ", 2.0), ("Four five six seven. ", 3.0))


def test_what_is_heard_goes_on_to_the_end_of_its_sentence() -> None:
    d = spoken(pieces=TWO)
    d("wind_up")
    assert not d.conversation.silent and d.conversation.state == "speaking"
    d.run(1.4)
    assert not d.conversation.silent
    d.run(0.2)
    assert d.conversation.silent
    assert [event.text for event in d.events(Said)] == ["One two three."]
    assert len(d.of(c.Drop)) == 1


def test_the_last_sentence_and_one_that_is_not_to_be_interrupted_end_by_themselves() -> None:
    for d in (spoken(pieces=TWO[1:]), spoken(pieces=TWO)):
        reply = next(iter(d.conversation._saying.live.values()))
        reply.interruptable = reply.text.startswith("Four")
        d("wind_up")
        d.run(4.0)
        assert not d.conversation.silent and d.of(c.Drop) == []
        d("over", reply)
        assert d.conversation.silent and d.events(Said)[-1].interrupted is False


def test_a_sentence_whose_end_is_not_there_yet_is_waited_for() -> None:
    d = spoken(pieces=(("One two", 2.0),), complete=False)
    d("wind_up")
    d.run(1.0)
    assert not d.conversation.silent
    d.brain(b.ReplyText("r", " three. Four", at_ms=2000, duration_ms=1000))
    d.brain(b.ReplyAudio("r", bytes(32_000), 16_000))
    d.run(0.6)
    assert not d.conversation.silent
    d.run(1.0)
    assert d.conversation.silent


def test_while_it_winds_up_nothing_new_is_said() -> None:
    d = spoken(pieces=TWO, llm={"failure_message": "Sorry."})
    d("wind_up")
    d("wind_up")
    for call in (("speak", "x"), ("tell", "x"), ("respond",)):
        with pytest.raises(BadState, match="shutting down"):
            d(*call)
    d.brain(b.ReplyStarted("later", 0))
    d.brain(b.Failed("LLM_ERROR", "x", "later"))
    assert [action.reply_id for action in d.of(c.Interrupted)] == ["later"] and d.of(c.Say) == []
    d("message", "7", b'{"type": "chat", "text": "hello?"}')
    assert "shutting down" in str(d.messages()[-1])
    d.brain(b.SpeechStarted(0))  # who speaks is heard as ever
    assert d.conversation.silent and d.conversation.turns.open is None
    d.brain(b.SpeechStopped(0))
    assert d.conversation.state == "listening" and d.of(c.Tell) == []


def test_what_has_not_been_heard_is_not_said() -> None:
    d = Desk(llm={"greeting_message": "Hello."})
    d("joined", "7")
    d.brain(b.ReplyStarted("said-1", 0), b.ReplyAudio("said-1", bytes(3200), 16_000))
    d("speak", "Another.", "APPEND")
    d("wind_up")
    assert d.conversation.silent
    assert [action.reply_id for action in d.of(c.Interrupted)] == ["said-2", "said-1"]


# ------------------------------------------------------------------------------------- why turns end, and when it was


def heard(**fields: Any) -> Desk:
    """Somebody is there, and an answer is being heard."""
    d = Desk(**fields)
    d("joined", "7")
    d("hear", "7", bytes(320))
    d.user_says("What is it?")
    d.run(0.1)
    d.reply("r1", "It is nothing at all.", ms=2000)
    d.play("r1")
    d.run(0.5)
    return d


def ends(d: Desk) -> list[tuple[Any, ...]]:
    return [(turn["end_reason"], turn["caused_by"], turn["transport"]) for turn in d.conversation.turns.as_list()]


@pytest.mark.parametrize(
    ("call", "args", "cause", "transport"),
    [
        ("speak", ("Stop.",), "speak", "http"),
        ("tell", ("What?",), "think", "http"),
        ("message", ("7", b'{"type": "chat", "text": "What?"}'), "think", "rtm"),
        ("message", ("7", b'{"priority": "INTERRUPT", "interruptable": true, "message": "Stop."}'), "speak", "rtm"),
        ("interrupt", (), "interrupt", "http"),
        ("message", ("7", b'{"type": "interrupt"}'), "interrupt", "rtm"),
        ("pause", (), "interrupt", "http"),
        ("end", (), "leave", "http"),
    ],
)
def test_what_a_turn_gave_way_to_is_known(call: str, args: tuple[Any, ...], cause: str, transport: str) -> None:
    d = heard()
    d(call, *args)
    assert ends(d)[0] == ("interrupted", cause, transport)
    assert d.conversation.turns.as_list()[0]["played_ms"] == 500


def test_who_asked_in_the_channel_is_known() -> None:
    d = Desk()
    d("joined", "7")
    said = d("message", "7", b'{"priority": "APPEND", "interruptable": true, "message": "Mind the gap."}')
    d.reply(said.id, "Mind the gap.")
    assert d.conversation.turns.as_list()[-1]["user"] == "7"
    d.user_says("What is it?", "i1")
    d("message", "7", b'{"type": "chat", "text": "What?"}')  # before the answer
    assert ends(d)[1] == ("no_reply", "think", "rtm")


def test_a_turn_gives_way_to_speech() -> None:
    d = heard()
    d.user_says("No, the other one.", "i2")
    assert ends(d)[0] == ("interrupted", "speech", "http")
    d.user_says("I mean the red one.", "i3")  # before the answer
    assert ends(d)[1] == ("no_reply", "speech", "http")


def test_a_noise_has_no_cause() -> None:
    d = heard()
    d.user_says("", "i2")
    d.run(3.0)
    assert ends(d)[1] == ("no_reply", None, "http")


def test_the_error_of_a_turn_is_kept() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("What is it?")
    d.brain(b.Failed("LLM_ERROR", "the service answered 401"))
    [turn, *_] = d.conversation.turns.as_list()
    assert (turn["end_reason"], turn["error"]) == ("failed", ["LLM_ERROR", "the service answered 401"])


def test_turns_and_messages_say_when_they_were() -> None:
    d = heard(turn_detection=TurnDetection(interrupt_duration_ms=200, speaking_interrupt_duration_ms=400))
    d.play(None)
    d("over", d.live("r1"))
    [turn] = d.conversation.turns.as_list()
    assert turn["end_at"] - turn["start_at"] == turn["end_ms"] - turn["start_ms"] == 600
    assert (turn["least_voice_ms"], turn["speech_ms"]) == (200, 0)
    asked, answered = d.conversation.history.as_list()
    assert (asked["speech_start_ms"], asked["speech_end_ms"]) == (0, 0)
    assert (answered["speech_start_ms"], answered["speech_end_ms"]) == (0, 600)  # 2 s of sound, over before its time
    d("tell", "And now?")
    assert "speech_start_ms" not in d.conversation.history.as_list()[-1]  # it was not said
    d.user_says("Hello?", "i2")
    assert d.conversation.turns.as_list()[-1]["least_voice_ms"] == 200


# --------------------------------------------------------------------------------------- what it says by itself


def test_a_silence_that_the_model_cannot_break_is_told() -> None:
    d = Desk(silence=Silence(timeout_ms=5000, action="think", content="Say something."))
    d("joined", "7")
    d.refuses = True
    d.run(5.3)
    assert [event.code for event in d.events(b.Failed)] == ["LLM_ERROR"] and d.conversation.stats()["failures"] == 1


def greetings(d: Desk) -> int:
    return sum(say.reply.reason == "greeting" for say in d.of(c.Say))


def finish(d: Desk, reply_id: str, text: str = "Welcome!") -> None:
    """The agent's own words are said to their end."""
    d.reply(reply_id, text)
    d.play(reply_id)
    d.run(1.0)
    d.play(None)
    d("over", d.live(reply_id))


@pytest.mark.parametrize("mode", ["single_first", "single_every"])
def test_who_comes_into_the_empty_channel_is_greeted(mode: Any) -> None:
    d = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(mode=mode), remote_uids=["7", "8"])
    d("joined", "bot")
    assert not greetings(d)
    d("joined", "7")
    finish(d, "said-1")
    d("joined", "8")
    d("left", "7")
    d("joined", "7")
    assert greetings(d) == 1, "somebody was there"
    d("out_of_channel", "network")
    d("joined", "7")
    assert greetings(d) == 1, "it was the agent who was away"
    d("left", "7")
    d("joined", "8")
    assert greetings(d) == (2 if mode == "single_every" else 1)


def test_a_greeting_that_nobody_stayed_for_begins_anew() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(mode="single_every"))
    d("joined", "7")
    d.reply("said-1", "Welcome!")
    d.play("said-1")
    d.run(0.3)
    d("left", "7")
    d("joined", "8")
    assert d.live("said-1").outcome == "interrupted" and greetings(d) == 2
    assert ends(d)[0] == ("interrupted", None, "http") and not d.conversation.stats()["interruptions"], "nobody spoke"


@pytest.mark.parametrize("mode", ["single_first", "single_every"])
@pytest.mark.parametrize("begun", [False, True])
def test_who_has_not_heard_the_greeting_has_not_had_it(mode: Any, begun: bool) -> None:
    d = Desk(
        llm={"greeting_message": "Welcome!"},
        greeting=Greeting(mode=mode, interruptable=False),
        filler=Filler(wait_ms=500, phrases=["Let me see."]),
    )
    d("joined", "7")
    if begun:
        d.reply("said-1", "Welcome!")
        d.run(0.2)
    d("left", "7")
    assert d.of(c.Say)[0].reply.state == ("over" if begun else "refused")
    d("joined", "8")
    assert greetings(d) == 2
    finish(d, "said-2")
    d.user_says("What is it?")
    d.run(1.0)
    assert len(d.of(c.Fill)) == 1, "nothing is waited for but the answer"
    d("left", "8")
    d("joined", "7")
    assert greetings(d) == (3 if mode == "single_every" else 2)


def test_nobody_is_greeted_while_the_channel_is_lost() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(delay_ms=1000))
    d("joined", "7")
    d("out_of_channel", "network")
    d.run(2.0)
    assert not greetings(d)
    d("joined", "7")
    assert greetings(d) == 1


def test_a_greeting_may_wait_and_may_be_one_that_nobody_interrupts() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(delay_ms=1000, interruptable=False))
    d("joined", "7")
    d.run(0.8)
    assert not greetings(d)
    d.run(0.4)
    assert greetings(d) == 1
    d.reply("said-1", "Welcome!")
    d.play("said-1")
    d.run(0.2)
    d.user_says("Stop it!")
    assert d.live("said-1").state == "heard", "it goes on"


def test_who_speaks_before_the_greeting_is_answered_instead() -> None:
    d = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(delay_ms=1000))
    d("joined", "7")
    d.run(0.5)
    d.user_says("", "cough")
    d.run(0.3)
    d.user_says("Hello?", "i2")
    d.reply("r1")
    d.play("r1")
    d.run(1.0)
    d("over", d.live("r1"))
    d.run(3.0)
    assert not greetings(d)
    coughs = Desk(llm={"greeting_message": "Welcome!"}, greeting=Greeting(delay_ms=1000))
    coughs("joined", "7")
    coughs.run(0.5)
    coughs.user_says("")
    coughs.run(3.0)
    assert greetings(coughs) == 1, "a cough is no word"


@pytest.mark.parametrize("action", ["speak", "think"])
def test_a_silence_is_broken_again_and_again(action: Any) -> None:
    d = Desk(silence=Silence(timeout_ms=2000, action=action, content="Are you there?"))
    d.run(5.0)
    assert not d.of(c.Say) and not d.of(c.Tell), "nobody is there"
    d("joined", "7")
    d.run(1.5)
    d.brain(b.SpeechStarted(0))
    d.run(3.0)  # the user speaks
    d.brain(b.SpeechStopped(0), b.UserText("i1", "Well", True))
    d.run(3.0)  # the agent thinks
    d.reply("r1")
    d.play("r1")
    d.run(1.0)
    d.play(None)
    d("over", d.live("r1"))
    d.run(1.8)
    assert not d.of(c.Say) and not d.of(c.Tell)
    for n in (1, 2):
        d.run(0.6)
        texts = [say.text for say in d.of(c.Say)] if action == "speak" else [tell.text for tell in d.of(c.Tell)]
        assert texts == ["Are you there?"] * n
        name = f"said-{n}" if action == "speak" else f"r{n + 1}"
        finish(d, name, "Are you there?")
        d.run(1.6)
    turn = d.conversation.turns.as_list()[-1]
    assert (turn["start_reason"], turn["action"], turn["e2e_latency_ms"]) == ("silence", action, None)
    assert turn["end_reason"] == "finished" and not turn["user_text"]
    said = [(h["role"], h["content"]) for h in d.conversation.history.as_list()]
    assert said == [("user", "Well"), ("assistant", "Well, well."), *[("assistant", "Are you there?")] * 2]


def test_a_silence_that_cannot_be_broken_is_told() -> None:
    d = Desk(silence=Silence(timeout_ms=1000, content="Are you there?"))
    d("joined", "7")
    d.refuses = True
    d.run(1.3)
    assert [failed.code for failed in d.events(b.Failed)] == ["TTS_ERROR"]
    d.run(1.3)
    assert len(d.events(b.Failed)) == 2
    d("pause")
    d.run(5.0)
    assert len(d.events(b.Failed)) == 2, "paused, it says nothing"


# ------------------------------------------------------------------------------------------------------------- think


def think(
    d: Desk, text: str, *, interruptable: bool = True, metadata: dict[str, str] | None = None, **actions: Any
) -> Any:
    return d("think", text, ThinkActions(**actions), interruptable=interruptable, metadata=metadata)


def thinking_of(d: Desk) -> list[str]:
    return [tell.text for tell in d.of(c.Tell)]


def test_what_it_is_to_think_of_while_it_listens() -> None:
    d = Desk()
    d("joined", "7")
    reply = think(d, "It rains.", metadata={"source": "sky"})
    assert (reply.state, d.conversation.state, d.of(c.Tell)[0].metadata) == ("asked", "thinking", {"source": "sky"})
    finish(d, "r1", "Take an umbrella.")
    turn = d.conversation.turns.as_list()[0]
    assert (turn["start_reason"], turn["user_text"], turn["agent_text"]) == ("think", "It rains.", "Take an umbrella.")
    assert reply.outcome == "finished" and turn["e2e_latency_ms"] is not None
    assert [h["role"] for h in d.conversation.history.as_list()] == ["user", "assistant"]
    for action in ("inject", "append"):
        assert think(d, "x", listening=action) is not None and thinking_of(d)[-1] == "x"
        d("interrupt")
    told = len(d.of(c.Tell))
    assert think(d, "x", listening="ignore") is None and len(d.of(c.Tell)) == told
    for wrong in ("", " ", "x" * 16_385):
        with pytest.raises(InvalidArgument, match=r"1\.\.16384"):
            think(d, wrong)
    with pytest.raises(InvalidArgument, match="while speaking must be one of"):
        think(d, "x", speaking="inject")
    d("pause")
    with pytest.raises(BadState, match="paused"):
        think(d, "x")


def test_what_it_is_to_think_of_while_the_user_speaks() -> None:
    d = Desk()
    d("joined", "7")
    d.brain(b.SpeechStarted(0))
    injected, again, later = (
        think(d, "One.", listening="inject"),
        think(d, "Two.", listening="inject", interruptable=False),
        think(d, "Three.", listening="append"),
    )
    assert injected is again and not injected.interruptable
    assert [(tell.text, tell.respond) for tell in d.of(c.Tell)] == [("One.", False), ("Two.", False)]
    d.brain(b.SpeechStopped(0), b.UserText("i1", "And now?", True))
    assert thinking_of(d) == ["One.", "Two."], "the user's turn comes first"
    d.brain(b.ReplyStarted("r1", 0), b.ReplyText("r1", "Well."), b.ReplyAudio("r1", bytes(32_000), 16_000))
    assert injected.state == "begun" and thinking_of(d) == ["One.", "Two."]
    d.brain(b.ReplyFinished("r1", "Well."))
    assert thinking_of(d) == ["One.", "Two.", "Three."] and later.state == "asked"
    d.play("r1")
    d.run(1.0)
    d.play(None)
    d("over", d.live("r1"))
    contents = [h["content"] for h in d.conversation.history.as_list()]
    assert contents == ["One.", "Two.", "And now?", "Well.", "Three."], "an answer stands by its question"
    d.reply("r2", "Three it is.")
    assert later.id == "r2"
    reasons = [turn["start_reason"] for turn in d.conversation.turns.as_list()]
    assert reasons == ["speech", "think"]
    d.brain(b.SpeechStarted(0))
    now = think(d, "Four.")
    d.brain(b.ReplyStarted("r3", 0))
    assert now.state == "begun" and d.conversation.turns.as_list()[2]["end_reason"] == "no_reply"


def test_what_was_injected_into_a_cough_is_answered_all_the_same() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("Hello?")
    d.reply("r1")
    d.play("r1")
    d.run(0.3)
    d.brain(b.SpeechStarted(0, "i2"))
    reply = think(d, "It rains.", listening="inject")
    d.brain(b.SpeechStopped(0, "i2"), b.UserText("i2", "", True))
    assert not d.held and d.live("r1").state == "heard"
    d.brain(b.ReplyStarted("r2", 0))
    assert reply.id == "r2" and reply.state == "begun"
    d.brain(b.SpeechStarted(0, "i3"))
    reply = think(d, "It pours.", listening="inject")
    d("pause")
    assert reply.state == "refused"
    d("resume")
    d.refuses = True
    d.brain(b.SpeechStarted(0, "i4"))
    reply = think(d, "It hails.", listening="inject")
    assert isinstance(reply.error, BufferFull)
    d.brain(b.SpeechStopped(0, "i4"), b.UserText("i4", "So?", True))
    d.reply("r3")
    assert d.live("r3") is not reply


def test_what_it_is_to_think_of_while_it_thinks() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("What is it?")
    d.brain(b.ReplyStarted("r1", 0))
    assert d.conversation.state == "thinking" and think(d, "x", thinking="ignore") is None
    later = think(d, "Later.", thinking="append")
    assert not thinking_of(d)
    now = think(d, "Now.")
    assert thinking_of(d) == ["Now."] and d.live("r1").outcome == "interrupted"
    finish(d, "r2", "Now then.")
    assert now.outcome == "finished" and thinking_of(d) == ["Now.", "Later."]
    assert d("interrupt") and later.state == "refused"
    ends = [turn["end_reason"] for turn in d.conversation.turns.as_list()]
    assert ends == ["interrupted", "finished", "interrupted"]


def test_what_it_is_to_think_of_while_it_speaks() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("What is it?")
    d.reply("r1", finish=False)
    d.play("r1")
    d.run(0.3)
    assert d.conversation.state == "speaking" and think(d, "x") is None
    later = think(d, "Later.", speaking="append", interruptable=False)
    assert not thinking_of(d), "its text is not complete"
    d.brain(b.ReplyFinished("r1", "Well, well."))
    assert thinking_of(d) == ["Later."] and d.live("r1").state == "heard", "speech goes on"
    d.reply("r2", "Later then.")
    assert later.state == "begun" and not later.interruptable
    d.user_says("No!", "i2")
    assert d.live("r1").outcome == "interrupted" and later.state == "begun", "nobody interrupts it"
    now = think(d, "Now.", listening="interrupt", thinking="interrupt", speaking="interrupt")
    assert later.outcome == "interrupted" and thinking_of(d)[-1] == "Now." and now.state == "asked"


# --------------------------------------------------------------------------------------------------------- farewell


def test_what_is_due_is_said_before_it_leaves() -> None:
    d = Desk(silence=Silence(timeout_ms=100, content="Are you there?"))
    d("joined", "7")
    d("farewell")
    assert d.conversation.silent, "there is nothing to say"
    d = Desk()
    d("joined", "7")
    d.user_says("Goodbye!")
    later = think(d, "And now?", thinking="append")
    d("speak", "Do come again.", "APPEND")
    d("farewell")
    assert later.state == "refused"
    for call in ("speak", "tell", "think"):
        with pytest.raises(BadState, match="leaving"):
            d(call, "x")
    assert not d.conversation.silent, "it thinks"
    finish(d, "r1", "Farewell.")
    assert not d.conversation.silent, "it has more to say"
    finish(d, "said-1", "Do come again.")
    d.run(3.0)
    assert d.conversation.silent and [h["content"] for h in d.conversation.history.as_list()] == [
        "Goodbye!", "Farewell.", "Do come again."
    ]  # fmt: skip
    d.reply("r9", "Something that nobody asked for.")
    assert d.of(c.Interrupted)[-1].reply_id == "r9" and d.conversation.silent
    assert not d("joined", "8") and len(d.of(c.Say)) == 1


@pytest.mark.parametrize("heard", ["Stop!", ""])
def test_the_user_may_interrupt_a_farewell(heard: str) -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("Goodbye!")
    d.reply("r1", "Farewell.")
    d.play("r1")
    d.run(0.3)
    d("farewell")
    d.user_says(heard, "i2")
    if heard:
        assert d.live("r1").outcome == "interrupted" and d.conversation.silent
        d.reply("r2", "Why?")
        assert d.of(c.Interrupted)[-1].reply_id == "r2" and d.conversation.silent, "that is not answered any more"
        assert d.conversation.turns.as_list()[-1]["end_reason"] == "no_reply"
    else:
        assert d.live("r1").state == "heard" and not d.conversation.silent, "a cough is none"


def test_nobody_is_there_to_hear_a_farewell() -> None:
    d = Desk()
    d("joined", "7")
    d.user_says("Goodbye!")
    d.reply("r1", "Farewell.")
    d.play("r1")
    d.run(0.3)
    d("farewell")
    d("left", "7")
    assert d.conversation.silent
