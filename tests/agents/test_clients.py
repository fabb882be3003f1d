"""Functions, pictures and messages of the clients'. No socket, no event loop, no real clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.errors import InvalidArgument
from lipwire.protocol import transcript as t
from support.conversing import Desk, send


def test_messages_and_functions_of_the_clients() -> None:
    d = Desk()
    d.brain(b.ToolCalled("c0", "clock", "{}", handled=True), b.ToolCalled("c1", "weather", "{}"))
    d.brain(b.ToolCalled("c2", "weather", "{}"))
    for said in ({"type": "tool_result", "call_id": "c1", "output": {"sky": "blue"}}, {"type": "dance"}, 5):
        d("message", "7", json.dumps(said).encode())
    assert (
        d.of(c.ToolResult) == [c.ToolResult("c1", '{"sky": "blue"}')]
        and d.conversation.stats()["ignored_messages"] == 1
    )
    with pytest.raises(InvalidArgument, match="no call 'c1'"):
        d("tool_result", "c1", "twice")
    d.run(31.0)
    assert d.of(c.ToolResult)[1].call_id == "c2" and "error" in d.of(c.ToolResult)[1].output
    reply = d("message", "7", b'{"type":"chat","text":"Hello"}')
    assert reply.reason == "text" and d.of(c.Tell) == [c.Tell(reply, "Hello", "user")]
    d("message", "7", b'{"type":"interrupt"}')
    assert reply.state == "refused"
    assert len([m for m in d.messages() if isinstance(m, t.ToolCall)]) == 2


def test_a_picture_that_a_user_sends_is_shown_and_receipted() -> None:
    d = Desk(llm={"input_modalities": ["text", "image"]})
    send(d, "image.upload", uuid="u" * 300, image_url="https://example.org/a.png", image_base64="")
    [action] = d.of(c.TakePicture)
    assert action.user == "7" and action.upload.url == "https://example.org/a.png"
    d("clients.picture_taken", action.upload, 640, 360, 12_345)
    d("clients.picture_refused", "u2", "TOO_LARGE", "too large")
    info, error = d.messages()
    assert (info.module, info.resource_type, info.turn_id) == ("context", "picture", 1)
    assert json.loads(info.message) == {
        "uuid": "u" * 200, "width": 640, "height": 360, "size_bytes": 12_345, "source_type": "url",
        "source_value": "https://example.org/a.png", "upload_time": 1000, "total_user_images": 1}  # fmt: skip
    why = {"code": "TOO_LARGE", "message": "too large"}
    assert json.loads(error.message) == {"module": "picture", "uuid": "u2", "success": False, "error": why}
    assert error.module == "context"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "pictures: llm.input_modalities has no image."),
        ({"llm": {"input_modalities": ["text", "image"]}, "brain": "guide"}, "pictures: the brain guide takes none."),
        ({"brain": "guide"}, "the brain guide takes none."),
    ],
)
def test_an_agent_without_eyes_says_so(fields: dict[str, Any], why: str) -> None:
    d = Desk(**fields)
    send(d, "image.upload", uuid="u", image_base64="QUJD")
    [error] = d.messages()
    told = json.loads(error.message)["error"]
    assert not d.of(c.TakePicture) and told["code"] == "NO_PICTURES" and told["message"].endswith(why)


def test_a_picture_that_is_sent_wrongly_is_refused_by_its_name() -> None:
    d = Desk(llm={"input_modalities": ["text", "image"]})
    send(d, "image.upload", uuid="u")
    send(d, "image.upload", image_url="https://example.org/a.png")
    named, nameless = d.messages()
    assert (named.module, nameless.module) == ("context", "unknown") and "uuid" in nameless.message
    told = json.loads(named.message)
    assert (told["uuid"], told["error"]["code"]) == ("u", "VALIDATION_ERROR")
    assert "it needs an image_url or an image_base64" in told["error"]["message"]


def test_what_a_client_was_called_for_is_taken_while_the_agent_is_paused() -> None:
    d = Desk()
    d.brain(b.ToolCalled("c1", "book", "{}"))
    d("interrupt")
    d("pause")
    d("tool_result", "c1", "booked")
    assert d.of(c.ToolResult) == [c.ToolResult("c1", "booked")]
