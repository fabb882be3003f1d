"""agents/brains/items.py"""

from __future__ import annotations

from lipwire.agents.brains.items import MAX_PLACES, Items


def texts(items: Items) -> list[str]:
    return [message["content"] for message in items.messages()]


def test_texts_stand_where_their_places_are() -> None:
    items = Items(10)
    items.place("user", "u1")
    items.said("r1", "answer")
    items.add("system", "note")
    items.place("user", "u2")
    items.place("user", "u2")
    items.place("assistant", "r2")
    items.said("r2", "second ans")
    items.said("r2", "second answer")
    items.text("user", "u2", "second question")
    items.text("user", "u1", "question")
    items.text("user", "u3", "nobody knew of this")
    items.text("user", "u4", " ")
    assert texts(items) == ["question", "answer", "note", "second question", "second answer", "nobody knew of this"]
    assert items.messages()[0] == {"role": "user", "content": "question"}
    items.said("r2", " ")  # nothing of it was heard
    assert "second answer" not in texts(items)


def test_it_is_bounded_by_what_is_known_and_keeps_places() -> None:
    items = Items(2)
    items.place("user", "u")
    for n in range(100):
        items.add("user", f"q{n}")
        items.said(f"r{n}", f"a{n}")
    items.text("user", "u", "late")
    assert texts(items) == ["q98", "a98", "q99", "a99"]
    for n in range(100):
        items.place("user", f"p{n}")
    assert len(items) == 4 + MAX_PLACES
    items.limit = 0
    items.add("user", "only this")
    assert texts(items) == ["only this"]


def test_a_call_stands_before_what_its_reply_says() -> None:
    items = Items(0)
    items.add("user", "what is the time?")
    items.place("assistant", "r1")
    items.called("r1", "c1", "time", "{}", "")
    items.called("gone", "c2", "time", "{}", "12:00")
    items.limit = 1
    items.said("r1", "Let me see.")
    assert [(item["role"], item["content"]) for item in items.messages()] == [
        ("user", "what is the time?"),
        ("call", ""),
        ("assistant", "Let me see."),
        ("call", "12:00"),
    ]
    assert items.messages()[1] == {"role": "call", "content": "", "call_id": "c1", "name": "time", "arguments": "{}"}
    for n in range(100):
        items.called("gone", f"c{n}", "time", "{}", "")
    assert len(items) == MAX_PLACES + 2
