"""What is remembered of a conversation: what was heard, what was called and came of it, and how much of it."""

from __future__ import annotations

from typing import Any

from lipwire.agents.brains.calls import Call
from lipwire.agents.brains.context import PENDING, ChatContext


def brief(context: ChatContext, speaking: str | None = None) -> list[Any]:
    return [
        (m["content"], [call["id"] for call in m["tool_calls"]]) if "tool_calls" in m else m["content"]
        for m in context.messages(speaking)
    ]


def test_the_parts_of_a_reply_stay_in_their_order() -> None:
    context = ChatContext(10)
    context.add("user", "book it")
    one = context.called("r", "One moment. ", [Call("a", "book")])
    assert brief(context) == ["book it", (None, ["a"]), PENDING]
    assert brief(context, "r") == ["book it", ("One moment.", ["a"]), PENDING]
    one.results["a"] = "done"
    two = context.called("r", "Almost\nthere.", [Call("b", "mail")])
    two.results["b"] = ""
    context.said("r", "One moment. Almost there.It is booked.")
    wanted = ["book it", ("One moment.", ["a"]), "done", ("Almost there.", ["b"]), '""']
    assert brief(context) == [*wanted, "It is booked."] and not context.owes("r")
    assert brief(context, "r") == [*wanted[:3], ("Almost\nthere.", ["b"]), '""']
    context.said("r", "One mo")  # interrupted
    assert brief(context) == ["book it", ("One mo", ["a"]), "done", (None, ["b"]), '""'] and context.owes("r")
    context.said("r", "")
    assert brief(context)[1:3] == [(None, ["a"]), "done"]


def test_a_result_comes_to_its_call_whatever_was_said_meanwhile() -> None:
    context = ChatContext(10)
    context.add("user", "book it")
    one = context.called("r", "", [Call("a", "book")])
    context.said("r", "")
    context.add("user", "are you there?")
    context.said("s", "Yes.")
    one.results["a"] = "done"
    assert brief(context) == ["book it", (None, ["a"]), "done", "are you there?", "Yes."]


def test_ids_are_given_once() -> None:
    context = ChatContext(10)
    ids = [call.id for _ in range(3) for call in context.called("r", "", [Call("call_0", "f"), Call("", "g")]).calls]
    assert ids[0] == "call_0" and len(set(ids)) == 6


def test_thoughts_go_back_with_their_calls_while_the_reply_goes_on() -> None:
    context = ChatContext(10)
    context.add("user", "book it")
    context.called("r", "", [Call("a", "book")], "I book it.")
    assert [m.get("reasoning_content") for m in context.messages("r")] == [None, "I book it.", None]
    assert "reasoning_content" not in str(context.messages())


def test_instructions_hold_for_their_reply() -> None:
    context = ChatContext(0)
    context.note("r", "in French")
    context.add("user", "hi")
    assert brief(context) == ["in French", "hi"]
    context.noted("other")
    context.noted("r")
    assert brief(context) == ["hi"]


def test_calls_leave_the_history_with_their_question() -> None:
    context = ChatContext(2)
    for i in range(50):
        context.add("user", f"q{i}")
        context.called(f"r{i}", "", [Call(f"c{i}", "f")]).results[f"c{i}"] = str(i)
        context.said(f"r{i}", f"a{i}")
    kept = ["q48", (None, ["c48"]), "48", "a48", "q49", (None, ["c49"]), "49", "a49"]
    assert brief(context) == kept and len(context) == 4
    context.limit = 0
    context.add("user", "q50")
    assert brief(context) == ["q50"]
    context.called("r", "Hm.", [Call("c", "f")]).results["c"] = "1"
    context.said("r", "Hm.")  # no text of the agent's, but what it has done
    assert brief(context) == ["q50", (None, ["c"]), "1"]
    context.add("user", "q51")
    assert brief(context) == ["q51"]
    runs = context.called("s", "", [Call("d", "f")])
    context.add("user", "q52")  # its question is gone, and it still runs
    assert brief(context) == [(None, ["d"]), PENDING, "q52"]
    runs.results["d"] = "2"
    assert brief(context) == [(None, ["d"]), "2", "q52"]


def test_half_a_character_makes_no_later_request_fail() -> None:
    context = ChatContext(10)
    context.add("user", "a \ud83d\ude00 \ud83d")
    context.called("r", "", [Call("a", "f")]).results["a"] = "\ude00"
    context.said("r", "b \ud83d")
    assert brief(context) == ["a 😀 \ufffd", (None, ["a"]), "\ufffd", "b \ufffd"]


def test_it_is_bounded() -> None:
    context = ChatContext(2)
    for i in range(100):
        context.called(f"r{i}", "", [Call(f"c{i}", "f")])
        context.said(f"s{i}", "text")
        context.add("system", "told")
    assert len(context) < 20
    context.add("user", "x" * 100_000)
    context.said("long", "y" * 100_000)
    assert [len(m["content"]) for m in context.messages()[-2:]] == [32_768] * 2


def test_every_message_knows_its_turn_and_its_time() -> None:
    seconds = iter(range(100, 200))
    context = ChatContext(10, lambda: next(seconds))

    def stamps() -> list[Any]:
        found = context.messages(stamped=True)
        return [(m["role"], m["turn_id"], m["timestamp"], m.get("metadata")) for m in found]

    context.said("greeting", "Welcome!")
    context.add("user", "one", {"screen": "3"})
    assert context.metadata() == {"screen": "3"}
    context.called("r", "", [Call("a", "f")]).results["a"] = "1"
    context.said("r", "Two.")
    context.add("system", "They wait.")
    context.add("user", "three")
    assert stamps() == [
        ("assistant", 0, 100_000, None),
        ("user", 1, 101_000, {"screen": "3"}),
        ("assistant", 1, 102_000, None),
        ("tool", 1, 102_000, None),
        ("assistant", 1, 102_000, None),
        ("system", 1, 103_000, None),
        ("user", 2, 104_000, None),
    ]
    assert context.metadata() == {} and "turn_id" not in context.messages()[0]
    context = ChatContext(10)
    context.add("user", "nobody greeted")
    context.said("r", "No.")
    assert [m["turn_id"] for m in context.messages(stamped=True)] == [0, 0]


def test_what_came_with_several_messages_for_one_answer_is_joined() -> None:
    context = ChatContext(10)
    context.add("user", "one", {"screen": "1", "who": "x"})
    context.said("r1", "First.")
    context.add("user", "two", {"screen": "2", "zoom": "4"})
    context.said("tune", "One moment.", given=True)
    context.add("system", "They wait.")
    context.add("user", "three", {"screen": "3"})
    context.add("user", "four")
    assert context.metadata() == {"screen": "3", "zoom": "4"}
    context.called("r2", "I look.", [Call("a", "f")]).results["a"] = "1"
    context.said("r2", "I look.")
    assert context.metadata("r2") == {"screen": "3", "zoom": "4"}
    context.said("r2", "I look. There.")
    assert context.metadata() == {"screen": "3", "zoom": "4"}  # of what was asked last
    context.add("user", "five")
    assert context.metadata() == {}


def test_what_came_with_a_request_that_was_refused_goes_with_no_other() -> None:
    context = ChatContext(10)
    context.add("user", "one", {"screen": "1"})
    context.said("r1", "First.")
    context.add("user", "two", {"screen": "2"})
    context.add("user", "three", {"zoom": "4"})
    assert context.metadata("r2") == {"screen": "2", "zoom": "4"}
    asked = list(context.unanswered("r2"))
    context.add("user", "meanwhile", {"zone": "3"})
    context.refused(asked)
    assert context.metadata("r3") == {"zone": "3"}
    context.add("user", "four", {"who": "x"})
    assert context.metadata("r3") == {"who": "x", "zone": "3"}
    stamped = [m.get("metadata") for m in context.messages(stamped=True)]
    assert stamped == [{"screen": "1"}, None, None, None, {"zone": "3"}, {"who": "x"}]


def test_what_came_with_many_messages_is_bounded() -> None:
    context = ChatContext(10)
    for n in range(5):
        context.add("user", "more", {f"{n}-{i}": str(n) for i in range(40)})
    joined = context.metadata()
    assert len(joined) == 64 and {"4"} < set(joined.values()) == {"3", "4"} and joined["4-39"] == "4"


def test_a_reply_that_is_expected_stands_where_it_was_asked_for() -> None:
    seconds = iter(range(100, 200))
    context = ChatContext(2, lambda: next(seconds))

    def told(speaking: str | None = None) -> list[tuple[str, Any]]:
        return [(m["role"], m["content"]) for m in context.messages(speaking)]

    context.add("user", "one", {"n": "1"})
    context.expect("r1")
    context.add("user", "two", {"n": "2"})
    assert told() == [("user", "one"), ("user", "two")] and context.metadata() == {"n": "2"}
    assert told("r1") == [("user", "one")] and context.metadata("r1") == {"n": "1"}
    context.called("r1", "", [Call("a", "f")]).results["a"] = "1"
    assert [m["role"] for m in context.messages("r1")] == ["user", "assistant", "tool"]
    context.said("r1", "First.")
    assert [m["role"] for m in context.messages()] == ["user", "assistant", "tool", "assistant", "user"]
    assert [m["timestamp"] for m in context.messages(stamped=True)] == [100_000, *[103_000] * 3, 102_000]
    for number in range(4):
        context.expect(f"x{number}")
        context.said(f"x{number}", "")  # it came to nothing
        context.add("user", "more")
    assert told() == [("assistant", "First."), ("user", "more"), ("user", "more")] and len(context) == 3


def test_what_becomes_known_late_stands_before_what_came_after_it() -> None:
    context = ChatContext(3)
    first = context.place()
    context.add("user", "c")
    context.said("r", "C!")
    context.insert(first, "a")
    context.insert(first, "b")
    assert brief(context) == ["a", "b", "c", "C!"]
    assert [message["turn_id"] for message in context.messages(stamped=True)] == [0, 0, 0, 0]
    second = context.place()
    context.insert(second, "d")
    context.add("user", "e")
    assert brief(context) == ["b", "c", "C!", "d", "e"][1:] and [m["turn_id"] for m in context.messages(stamped=True)]
    for text in "fgh":
        context.add("user", text)
        context.said(text, text.upper())
    context.insert(second, "x")
    assert brief(context) == ["f", "F", "g", "G", "h", "H"], "its place is forgotten"
