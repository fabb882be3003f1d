"""Who begins and ends a user's turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.config import MAX_TURN_MS, AgentConfig, TurnDetection
from lipwire.agents.events import SpeechCut
from lipwire.agents.options import Interruption
from lipwire.agents.turn_taking import check_turn_taking
from lipwire.agents.update import check
from lipwire.errors import InvalidArgument
from lipwire.protocol import transcript as t
from support.conversing import Desk, speaking, what

MANUAL = TurnDetection(start_of_speech="manual", end_of_speech="manual")


def desk(**turns: Any) -> Desk:
    d = Desk(turn_detection=TurnDetection(**turns))
    d("joined", "7")
    return d


def begin(d: Desk, user: str = "7", item: str = "i1") -> str | None:
    """A client begins; the brain tells so."""
    why: str | None = d("manual_start", user)
    if why is None:
        d.brain(b.SpeechStarted(0, item))
    return why


def end(d: Desk, user: str = "7", item: str = "i1", text: str = "What is it?") -> str | None:
    why: str | None = d("manual_end", user)
    if why is None:
        d.brain(b.SpeechStopped(0, item), b.UserText(item, text, True))
    return why


def test_a_client_begins_a_turn_and_ends_it() -> None:
    d = desk(start_of_speech="manual", end_of_speech="manual")
    assert begin(d) is None and d.conversation.spoken == 1
    assert d.of(c.Begin) == [c.Begin("7")] and len(d.conversation.turns.as_list()) == 1
    d.run(5.0)
    assert d.conversation.state == "listening"
    assert end(d) is None and d.conversation.spoken is None
    assert d.of(c.Commit) == [c.Commit()] and d.conversation.state == "thinking"
    d.reply("r1", "A bell.")
    assert d.live("r1").turn_id == 1
    [turn] = d.conversation.turns.as_list()
    assert (turn["user"], turn["user_text"]) == ("7", "What is it?")


def test_why_a_client_cannot() -> None:
    d = desk(start_of_speech="manual", end_of_speech="manual")
    assert end(d) == "no speech has begun"
    assert begin(d) is None
    assert begin(d) == begin(d, "8") == "the speech of 7 has begun already and has not ended"
    assert end(d, "8") == "it is 7 who speaks"
    assert end(d) is None and end(d) == "no speech has begun"
    d("pause")
    assert "paused" in str(begin(d)) and "paused" in str(end(d))
    d = desk()
    assert "start_of_speech is not manual" in str(begin(d)) and "end_of_speech is not manual" in str(end(d))
    d = desk(start_of_speech="manual", end_of_speech="vad")
    assert begin(d) is None and "end_of_speech is not manual" in str(end(d))
    d = Desk(turn_detection=MANUAL, remote_uids=["9"])
    assert "remote_rtc_uids" in str(begin(d))
    d = Desk(turn_detection=MANUAL, interruption=Interruption(enabled=False, when_off="ignore"))
    speaking(d)
    assert begin(d) == "the agent is speaking, and ignores what is said meanwhile (interruption)"
    assert d.of(c.Begin) == [] and what(d) == []


def test_who_begins_by_hand_interrupts_without_doubt() -> None:
    d = Desk(turn_detection=MANUAL)
    reply = speaking(d)
    assert begin(d) is None
    assert what(d) == ["Drop", "Interrupted"] and reply.outcome == "interrupted"
    assert end(d, text="") is None
    d.run(0.4)
    assert d.conversation.state == "listening" and d.conversation.turns.as_list()[-1]["end_reason"] == "no_reply"


def test_who_begins_by_hand_may_be_set_not_to_interrupt() -> None:
    d = Desk(turn_detection=MANUAL, interruption=Interruption(enabled=False))
    reply = speaking(d)
    assert d("manual_start", "7") is None
    d.brain(b.SpeechStarted(0, "i1", aside=True))
    assert end(d, text="And now?") is None
    assert what(d) == [] and d.of(c.Tell) == []
    d.playing = None, 0.0
    d("over", reply)
    assert [tell.text for tell in d.of(c.Tell)] == ["And now?"]
    assert d.conversation.turns.as_list()[-1]["user"] == "7"


def test_a_voice_begins_and_a_client_ends() -> None:
    d = desk(end_of_speech="manual")
    d("hear", "7", bytes(320))
    assert end(d) == "no speech has begun"
    d.brain(b.SpeechStarted(0, "i1"))
    d.run(10.0)
    assert d.conversation.spoken == 1 and end(d) is None
    assert d.conversation.state == "thinking" and len(d.conversation.turns.as_list()) == 1
    d = desk(enabled=False)  # which is the same
    d("hear", "7", bytes(320))
    d.brain(b.SpeechStarted(0, "i1"))
    d.run(MAX_TURN_MS / 1000 - 1)
    assert d.of(c.Commit) == [] and end(d) is None


@pytest.mark.parametrize("begins", ["manual", "vad", "off"])
def test_speech_that_no_client_ends_is_ended(begins: str) -> None:
    d = desk(enabled=False) if begins == "off" else desk(start_of_speech=begins, end_of_speech="manual")
    d("hear", "7", bytes(320))
    for item, reason in (("i1", "max_duration"), ("i2", "left")):
        if begins == "manual":
            assert begin(d, item=item) is None
        else:
            d.brain(b.SpeechStarted(0, item))
        d.run(MAX_TURN_MS / 1000 - 0.2)
        assert not d.of(c.Commit)
        if reason == "left":
            d("left", "7")
        d.run(0.4)
        [cut] = d.events(SpeechCut)
        assert (cut.reason, cut.max_duration_ms) == (reason, 60_000) and len(d.of(c.Commit)) == 1
        assert cut.turn_id == d.conversation.turns.as_list()[-1]["turn_id"]
        assert d.conversation.spoken is None
        d.brain(b.SpeechStopped(0, item), b.UserText(item, "On and on.", True))
        assert d.conversation.state == "thinking"
        d.done.clear()


def test_a_pause_ends_what_only_a_client_would() -> None:
    d = desk(start_of_speech="manual", end_of_speech="manual")
    assert begin(d) is None
    d("pause")
    d.brain(b.SpeechStopped(0, "i1"), b.UserText("i1", "Well", True))
    assert len(d.of(c.Commit)) == 1 and d.conversation.spoken is None
    d("resume")
    assert begin(d, item="i2") is None


@pytest.mark.parametrize(
    ("turns", "text", "answers"),
    [
        ({"end_of_speech": "semantic"}, "My number is, uh, hold on.", False),
        ({"end_of_speech": "semantic"}, "What is it?", True),
        ({"end_of_speech": "semantic", "pause_state": False}, "Hold on.", True),
        ({"end_of_speech": "vad"}, "Hold on.", True),
        ({}, "Hold on.", True),
    ],
)
@pytest.mark.parametrize("speaks", [False, True])
def test_who_asks_for_a_pause_gets_one(turns: dict[str, Any], text: str, answers: bool, speaks: bool) -> None:
    d = desk(**turns)
    if speaks:
        speaking(d)
    d.user_says(text)
    assert d.conversation.state == ("thinking" if answers else "listening") and not d.held
    assert ("Interrupted" in what(d)) is speaks
    assert d.conversation.history.as_list()[-1]["content"] == text
    assert d.conversation.turns.as_list()[-1]["end_reason"] == (None if answers else "no_reply")
    d.user_says("And the price?", "i2")
    assert d.conversation.state == "thinking"


@pytest.mark.parametrize(
    "turns", [{"end_of_speech": "vad"}, {"end_of_speech": "semantic"}, {"interrupt_duration_ms": 300}]
)
def test_false_interruptions_are_as_ever_with_what_only_times_turns(turns: dict[str, Any]) -> None:
    d = desk(**turns)
    reply = speaking(d)
    d.brain(b.SpeechStarted(0, "i1"), b.SpeechStopped(0, "i1"))
    assert d.held
    d.run(2.1)
    assert not d.held and reply.state == "heard" and d.conversation.stats()["false_interruptions"] == 1
    d.brain(b.SpeechStarted(0, "i2"), b.SpeechStopped(0, "i2"), b.UserText("i2", "No, the other one.", True))
    assert reply.outcome == "interrupted"


@pytest.mark.parametrize(
    ("brain", "fields", "says"),
    [
        ("cascade", {"interruption": Interruption(mode="keywords")}, "needs keywords"),
        ("cascade", {"interruption": Interruption(mode="keywords", keywords=[" "])}, "needs keywords"),
        ("cascade", {"interruption": Interruption(mode="keywords", keywords=["stop", "!"])}, "'!' has no letter"),
        ("guide", {"interruption": Interruption(mode="keywords", keywords=["stop"] * 129)}, "at most 128"),
        ("realtime", {"interruption": Interruption(enabled=False)}, "brain realtime a voice interrupts"),
        ("echo", {"interruption": Interruption(mode="keywords", keywords=["stop"])}, "brain echo a voice"),
        ("realtime", {"turn_detection": MANUAL}, "cannot be manual.*enabled false"),
        ("script", {"turn_detection": TurnDetection(end_of_speech="manual")}, "cannot be manual"),
        ("realtime", {"turn_detection": TurnDetection(end_of_speech="semantic")}, "semantic_vad"),
        ("realtime", {"turn_detection": TurnDetection(interrupt_duration_ms=200)}, "where speech begins"),
        ("echo", {"turn_detection": TurnDetection(speaking_interrupt_duration_ms=200)}, "speaking_interrupt"),
    ],
)
def test_what_does_not_go_is_refused_in_words(brain: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        check_turn_taking(AgentConfig(name="a", channel="c", brain=brain, **fields))


def test_what_goes_is_taken() -> None:
    for brain, fields in (
        ("cascade", {"turn_detection": MANUAL, "interruption": Interruption(mode="keywords", keywords=["stop"])}),
        ("guide", {"turn_detection": TurnDetection(end_of_speech="semantic", max_wait_ms=-1)}),
        ("realtime", {"turn_detection": TurnDetection(end_of_speech="vad")}),
        ("echo", {"turn_detection": TurnDetection(end_of_speech="semantic", interrupt_duration_ms=200)}),
        ("realtime", {}),
    ):
        check_turn_taking(AgentConfig(name="a", channel="c", brain=brain, **fields))  # type: ignore[arg-type]


def test_a_change_is_checked_as_what_was_asked_for_at_first() -> None:
    config = AgentConfig(name="a", channel="c", brain="realtime")
    with pytest.raises(InvalidArgument, match="cannot be manual"):
        check(config, {"turn_detection.end_of_speech": "manual"})
    assert config.turn_detection == TurnDetection()
    cascade = AgentConfig(name="a", channel="c")
    assert check(cascade, {"turn_detection.end_of_speech": "manual", "turn_detection.max_wait_ms": -1})
    for name, value in (("max_wait_ms", -2), ("interrupt_duration_ms", 100), ("speaking_interrupt_duration_ms", 1201)):
        with pytest.raises(InvalidArgument, match=f"turn_detection.{name} must be"):
            check(cascade, {f"turn_detection.{name}": value})


def test_the_end_that_a_client_said_is_that_of_its_own_turn() -> None:
    d = desk(start_of_speech="manual", end_of_speech="manual")
    d("message", "7", b'{"customType": "user.manual_sos", "request_id": "1"}')
    d("speak", "Mind the gap.", "APPEND")
    d.reply("said-1", "Mind the gap.")
    d("message", "7", b'{"customType": "user.manual_eos", "request_id": "2"}')
    told = [m.payload for m in d.messages() if isinstance(m, t.ManualStart | t.ManualEnd)]
    assert [one.turn_id for one in told] == [1, 1] and len(d.conversation.turns.as_list()) == 2


def test_clients_in_the_channel_begin_and_end_turns() -> None:
    d = desk(start_of_speech="manual", end_of_speech="manual")
    for kind, brain in (
        ("user.manual_eos", ()),
        ("user.manual_sos", (b.SpeechStarted(0, "i1"),)),
        ("user.manual_eos", (b.SpeechStopped(0, "i1"), b.UserText("i1", "What is it?", True))),
    ):
        d("message", "7", json.dumps({"customType": kind, "request_id": f"r{len(d.messages())}"}).encode())
        d.brain(*brain)
    told = [m.payload for m in d.messages() if isinstance(m, t.ManualStart | t.ManualEnd)]
    assert [(one.success, one.error_message) for one in told] == [
        (False, "no speech has begun"),
        (True, None),
        (True, None),
    ]
    assert told[1].turn_id == told[2].turn_id == 1 and d.conversation.state == "thinking"
    assert begin(d, item="i2") is None
    d.run(MAX_TURN_MS / 1000 + 0.2)
    [cut] = [m.payload for m in d.messages() if isinstance(m, t.ManualTimeout)]
    assert (cut.reason, cut.max_duration_ms, cut.turn_id) == ("max_duration", 60_000, 2)
