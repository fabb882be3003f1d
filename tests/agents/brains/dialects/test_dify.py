"""Dify: what is asked against what its own client asks, a conversation that it keeps, and answers of every kind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import dify_client
import pytest

from lipwire.agents.brains.completion import Completion
from lipwire.agents.brains.dialects.dify import Dify
from lipwire.agents.config import Llm
from lipwire.agents.http import ServiceError
from support.asking import Talk
from support.fakes import Answer
from support.fakes.dialects import FakeDify
from support.fakes.server import Response, error


def llm(server: FakeDify, **more: Any) -> Llm:
    system = [{"role": "system", "content": "Be brief."}]
    params = {"model": "any", **more.pop("params", {})}
    return Llm(url=server.url, style="dify", system_messages=system, params=params, **more)


async def test_a_question_is_what_the_official_client_asks() -> None:
    async with FakeDify("Hello there.", api_key="app-1") as server:
        talk = Talk(Llm(url=server.url, style="dify", api_key="app-1", params={"user": "u", "inputs": {"a": "b"}}))
        async with talk:
            assert await talk.say("hi") == "Hello there."
            assert await talk.say("again") == "Hello there."
        official = dify_client.ChatClient("app-1")
        official.base_url = server.url.removesuffix("/chat-messages")

        def ask() -> str:
            answer = official.create_chat_message({"a": "b"}, "again", "u", "streaming", "conversation-0")
            return str(answer.text)

        assert '"answer":"Hello ' in await asyncio.to_thread(ask)
        ours, theirs = server.received[1:3]
        sent = {name: value for name, value in json.loads(theirs.body).items() if name != "files"}  # which is null
        assert json.loads(ours.body) == sent
        assert (ours.method, ours.path) == (theirs.method, theirs.path)
        assert ours.headers["authorization"] == theirs.headers["authorization"] == "Bearer app-1"


async def test_dify_keeps_the_conversation_and_is_told_what_it_does_not_know() -> None:
    answers = ["One two three.", "Four.", "Five.", "Six."]
    async with FakeDify(answers) as server, Talk(llm(server, max_history=32)) as talk:
        talk.context.said("greeting", "Welcome!")
        await talk.say("first", heard="One two")
        await talk.say("second")
        await talk.say("third")
        talk.context.add("system", "They pay at the door.")
        await talk.say("fourth")
        asked = [body["query"] for body in server.requests]
        system = "<system>Be brief.</system>\n"
        heard = "<system>What the user has heard from you before this: {}</system>\n"
        assert asked[0] == f"{system}{heard.format('Welcome!')}first"
        assert asked[1] == f"{heard.format('One two')}second"
        assert asked[2] == "third"
        assert asked[3] == "<system>They pay at the door.</system>\nfourth"
        assert [body.get("conversation_id") for body in server.requests] == [None, *["conversation-0"] * 3]
        assert all(body["user"] == "lipwire" and "model" not in body for body in server.requests)


async def test_a_picture_is_uploaded() -> None:
    async with FakeDify("A cat.") as server, Talk(llm(server)) as talk:
        assert await talk.say("What is this?", jpeg=b"\xff\xd8cat") == "A cat."
        file = {"type": "image", "transfer_method": "local_file", "upload_file_id": "file-0"}
        assert server.requests[0]["files"] == [file]
        assert b"\xff\xd8cat" in server.uploads["file-0"]


async def test_an_agent_thinks_and_repeats_itself_at_its_end() -> None:
    async with FakeDify("Hello there.", agent=True) as server, Talk(llm(server)) as talk:
        assert await talk.say("hi") == "Hello there."
        assert await talk.say("more") == "Hello there."
        assert server.requests[1]["query"] == "more"  # it said what we know


async def test_what_it_thinks_and_shows_is_no_difference() -> None:
    async with FakeDify(["<think>Hm.</think>Hello <face smile/>there.", "Bye."]) as server, Talk(llm(server)) as talk:
        await talk.say("hi", heard="Hello there.")
        await talk.say("bye")
        assert server.requests[1]["query"] == "bye"


async def test_another_app_is_not_told_what_the_one_before_it_kept() -> None:
    changes: list[dict[str, Any]] = [{"api_key": "b"}, {"headers": {"Authorization": "Bearer c"}}, {}]
    async with FakeDify("One.") as server, FakeDify("Two.") as other, Talk(llm(server, api_key="a")) as talk:
        await talk.say("first", jpeg=b"\xff\xd8")
        for change in (*changes, {"url": other.url}):
            for name, value in change.items():
                setattr(talk.client.llm, name, value)
            await talk.say("again", jpeg=b"\xff\xd8")
        kept = [body.get("conversation_id") for body in (*server.requests, *other.requests)]
        assert kept == [None, None, None, "conversation-2", None]
        assert len(server.uploads) == 3 and len(other.uploads) == 1
        assert "What the user has heard from you before this: One." in other.requests[0]["query"]


class Forgetful(FakeDify):
    """Forgets each conversation, as Dify does when one is deleted."""

    forgets = 1

    async def answer(self, request: Any) -> Response:
        if json.loads(request.body).get("conversation_id") and self.forgets:
            self.forgets -= 1
            self.requests.append(json.loads(request.body))
            return error(404, "Conversation Not Exists.")
        return await super().answer(request)


async def test_a_conversation_that_is_gone_begins_anew() -> None:
    async with Forgetful("Hello.") as server, Talk(llm(server)) as talk:
        assert await talk.say("first") == await talk.say("second") == await talk.say("third") == "Hello."
        kept = [body.get("conversation_id") for body in server.requests]
        assert kept == [None, "conversation-0", None, "conversation-1"]
        assert "Be brief." in server.requests[2]["query"] and "before this: Hello." in server.requests[2]["query"]
    async with Forgetful("Hello.") as server, Talk(llm(server, params={"conversation_id": "gone"})) as talk:
        with pytest.raises(ServiceError, match="answered 404"):  # it is the client's, who is told
            await talk.say("first")


async def test_a_picture_without_an_id_is_told() -> None:
    async with FakeDify("x") as server, Talk(llm(server)) as talk:

        async def odd(request: Any) -> Any:
            return Response(201, b"[]")

        server._respond = odd  # type: ignore[method-assign]
        with pytest.raises(ServiceError, match="gave it no id"):
            await talk.say("hi", jpeg=b"\xff\xd8")


def read(*events: dict[str, Any], dialect: Dify | None = None) -> tuple[Completion, str]:
    answer, said = Completion(read=(dialect or Dify()).reader()), ""
    for event in events:
        if (piece := answer.take(json.dumps(event))) is not None:
            said = piece.text if piece.unsaid else said + piece.text
    return answer, said


def test_a_workflow_is_read() -> None:
    about = {"workflow_run_id": "w", "task_id": "t"}
    answer, said = read(
        {"event": "workflow_started", **about, "data": {}},
        {"event": "node_started", **about, "data": {"title": "LLM"}},
        {"event": "text_chunk", **about, "data": {"text": "Hello."}},
        {"event": "ping"},
        {"event": "workflow_finished", **about, "data": {"status": "succeeded"}},
    )
    assert (answer.text, said, answer.over) == ("Hello.", "Hello.", True)
    answer, _ = read({"event": "workflow_started"}, {"event": "node_started"})
    assert answer.moves == 2 and not answer.began  # it is at work


def test_what_its_moderation_takes_back_is_not_said() -> None:
    about = {"conversation_id": "c"}
    answer, said = read(
        {"event": "message", **about, "answer": "Bad words."},
        {"event": "message_replace", **about, "answer": "I cannot say that."},
        {"event": "message_end", **about},
    )
    assert answer.text == said == "I cannot say that."


@pytest.mark.parametrize(
    "event",
    [
        {"event": "error", "status": 400, "code": "provider_quota_exceeded", "message": "no quota"},
        {"event": "workflow_finished", "data": {"status": "failed", "error": "node broke"}},
    ],
)
def test_an_error_is_one(event: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match=r"broke off with an error$"):
        read({"event": "message", "conversation_id": "c", "answer": "And "}, event)


def test_what_is_not_streamed_is_read() -> None:
    assert read({"message_id": "m", "mode": "chat", "answer": "Hello."})[1] == "Hello."


async def test_an_upload_that_fails_is_told() -> None:
    async with FakeDify(Answer("x"), api_key="a") as server, Talk(llm(server, api_key="a")) as talk:

        async def refuse(request: Any) -> Any:
            return error(413, "too large")

        server._respond = refuse  # type: ignore[method-assign]
        with pytest.raises(ServiceError, match=r"answered 413$"):
            await talk.say("hi", jpeg=b"\xff\xd8")
