"""agents/client_messages.py: what a client's JSON says, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents import client_messages as m
from lipwire.errors import InvalidArgument


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"type": "chat", "text": "Hello"}, m.Chat("Hello")),
        ({"type": "interrupt"}, m.Interrupt()),
        ({"type": "tool_result", "call_id": "c", "output": {"a": 1}}, m.ToolResult("c", '{"a": 1}')),
        ({"customType": "message.interrupt"}, m.Interrupt()),
        (
            {"customType": "user.transcription", "priority": "append", "interruptable": False, "message": "When?"},
            m.Question(text="When?", priority="append", interruptable=False),
        ),
        ({"customType": "user.transcription", "message": "When?"}, m.Question(text="When?")),
        (
            {"customType": "image.upload", "uuid": "u", "image_url": "", "image_base64": "QUJD"},
            m.Upload(uuid="u", base64="QUJD"),
        ),
        ({"customType": "user.manual_sos", "request_id": "r" * 300}, m.Mark(begins=True, request_id="r" * 200)),
        ({"customType": "user.manual_eos", "request_id": "r"}, m.Mark(begins=False, request_id="r")),
        (
            {"message": "hm", "on_listening_action": "inject", "interruptable": True, "metadata": {"a": "b"}},
            m.Thought(text="hm", on_listening="inject", metadata={"a": "b"}),
        ),
        (
            {"message": "hm", "priority": "INTERRUPTED", "interruptable": False},
            m.Announcement(text="hm", interruptable=False),
        ),
        ({"text": "hm", "priority": "append", "interruptable": True}, m.Announcement(text="hm", priority="APPEND")),
        ({"type": "dance"}, None),
        ({"type": "chat"}, None),
        ({"customType": "image.download"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_what_is_said(said: Any, read: m.ClientMessage | None) -> None:
    assert m.read(said) == read


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"customType": "user.transcription"}, "user.transcription: .*`message`"),
        ({"customType": "user.transcription", "message": "x", "priority": "now"}, "'now'.*priority"),
        ({"customType": "image.upload", "uuid": "u"}, "image_url or an image_base64"),
        ({"customType": "image.upload", "uuid": "u", "image_url": "h", "image_base64": "Q"}, "not both"),
        ({"customType": "image.upload", "uuid": 5, "image_url": "h"}, "image.upload: .*uuid"),
        ({"customType": "user.manual_sos"}, "user.manual_sos: .*request_id"),
        ({"message": "x", "on_thinking_action": "ignore", "metadata": {"a": 1}}, "think: .*metadata"),
        ({"message": "x", "on_thinking_action": "ignore", "metadata": {"a": "x" * 4097}}, "think: .*4096"),
        ({"message": "x", "on_thinking_action": "ignore", "metadata": {"a" * 257: "x"}}, "think: .*256"),
        ({"message": "x", "on_thinking_action": "ignore", "metadata": {str(n): "x" for n in range(65)}}, "think: .*64"),
        ({"message": "x", "on_thinking_action": "inject"}, "think: .*'inject'.*on_thinking_action"),
        ({"message": 5, "priority": "append", "interruptable": True}, "speak: .*text"),
    ],
)
def test_what_is_wrong_is_said_in_words(said: Any, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        m.read(said)


def test_whose_picture_is_refused() -> None:
    assert m.picture_in({"customType": "image.upload", "uuid": "u", "image_url": 5}) == "u"
    for said in ({"customType": "image.upload", "uuid": 5}, {"customType": "image.upload"}, {"uuid": "u"}):
        assert m.picture_in(said) is None
