"""The guide: what it understands, what it answers, and that all of what it names is there."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import Failed, ReplyFinished, ReplyText, Services, UserText
from lipwire.agents.brains.guide import (
    ENGLISH_ONLY,
    ENOUGH,
    GREETING,
    NOT_UNDERSTOOD,
    OTHER_LANGUAGES,
    TOPICS,
    Guide,
    _matcher,
    read_table,
)
from lipwire.agents.config import AgentConfig
from lipwire.app.config import ALIASES, TYPES, Config
from lipwire.cli.main import app
from support.fakes import FakeStt, FakeTts
from support.fakes.record import Record

ROOT = Path(__file__).parents[3]

HEARD = """
lipwire: What is Lipwire? | so what exactly is lip wire | What is live wire? | tell me what lipwire does
guide: who are you? | what's your name | Who am I talking to? | are you a real person
model: are you chatgpt | are you a language model | which LLM are you
hear: can you hear me | Can you here me? | hello can you hear me now | do you hear what I say
see: can you see me | do you see what I am holding
install: How do I install this? | how can I install live wire | what do I have to install
face: how do I use my own face | can I upload my own picture | I want my own face | how do i use my own phase
faces: what avatars are there | can you change your face
voice: how do I use my voice | can I change the voice
agora: how do I connect Agora | how do i connect to a gora | does this work with angora
openai: How do I use open AI | where do I enter my API key
llm: how do I connect an LLM | can I use oh llama | how can i use a local L.L.M. | how do i connect to a llama model
embed: How do I embed this in a web page? | can I put this on my website
record: how do I record this | can i make a video of that
joke: tell me a joke | do you know any jokes | tell me a choke
repeat: Could you say that again? | what did you say | sorry, what?
time: what time is it | what's the time now
thanks: thanks a lot | okay thank you
stop: Stop. | stop it please | Wait! | hold on | be quiet
yes: Okay. | OK. | ok | fine | I see. | got it
interrupt: how do I stop you | can I interrupt you
goodbye: good bye | okay bye bye | see you later
hello: Hello. | hi how are you
how: how do I do that | tell me more about that
cost: is it free | which license does it have
language: do you speak German
private: are you recording me | where does my voice go
: what is the capital of France | what's the weather like | play some music | I had eggs for breakfast | mm | ...
: set an alarm for seven | how tall is the eiffel tower | what is two plus two |
"""


@pytest.mark.parametrize("line", HEARD.strip().splitlines())
def test_what_is_meant_by_what_was_heard(line: str) -> None:
    name, _, heard = line.partition(":")
    for text in heard.split("|"):
        best, like = _matcher().best(text)
        assert (best if like >= ENOUGH else "") == name, (text, best, like)


def test_a_talk_of_several_turns() -> None:
    guide = Guide("en-US", lambda: datetime(2026, 11, 30, 7, 5))
    jokes = [guide.reply(text) for text in ("Tell me a joke.", "Another one!", "Once more please.", "another joke")]
    assert jokes[:2] == list(TOPICS["joke"].answers[:2]) and jokes[2] == jokes[1]  # "once more": that again
    assert jokes[3] == TOPICS["joke"].answers[2]
    assert guide.reply("How can I use my own face?") == TOPICS["face"].answers[0]
    assert guide.reply("And how do I do that?") == TOPICS["face"].how
    assert guide.reply("what did you say") == TOPICS["face"].how
    assert guide.reply("can you see me") == TOPICS["see"].answers[0]
    assert guide.reply("how do I do that").endswith(TOPICS["docs"].answers[0])  # there is no more of it
    assert guide.reply("What time is it?") == "It is 07:05, by the server's clock."
    assert guide.reply("what day is it today") == "It is Monday, 30 November 2026."
    assert guide.reply("What is the capital of France?") == NOT_UNDERSTOOD[0]
    assert guide.reply("") == NOT_UNDERSTOOD[1]
    assert all("model" in text or "Try" in text for text in NOT_UNDERSTOOD)  # it is honest about that
    assert Guide().reply("say that again") == GREETING and Guide().reply("tell me more") == TOPICS["help"].answers[0]
    assert Guide().answer([{"role": "user", "content": "bye"}, {"role": "assistant", "content": "x"}])[:4] == "Good"
    assert Guide().answer([]) == NOT_UNDERSTOOD[0]
    assert Guide().reply("What is Lipwire? " + "blah " * 100_000) == NOT_UNDERSTOOD[0]


def test_other_languages_are_told() -> None:
    assert Guide("de-DE").reply("Was ist Lipwire?") == OTHER_LANGUAGES["de"]
    assert Guide("ja-JP").reply("x") == ENGLISH_ONLY


def test_a_table_says_what_is_wrong_with_it() -> None:
    assert read_table("[a]\n? b | c\n! d\n  e\n+ f\n") == {"a": type(TOPICS["hello"])("a", ("b", "c"), ("d e",), "f")}
    with pytest.raises(ValueError, match="no line of a table of topics: 'x'"):
        read_table("[a]\nx")


def named() -> list[str]:
    """What its answers name in backticks."""
    texts = [text for topic in TOPICS.values() for text in (*topic.answers, topic.how)]
    texts += [GREETING, *NOT_UNDERSTOOD]
    assert all(text.count("`") % 2 == 0 for text in texts)
    return sorted({name for text in texts for name in re.findall(r"`([^`]+)`", text)})


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("name", named())
def test_what_it_names_is_there(name: str) -> None:
    """Commands, options of `lipwire agent`, pages, targets of make, settings and variables."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    if name.startswith("lipwire "):
        command: Any = root
        words = name.split()[1:]
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        assert all(word in options(command) for word in words if word.startswith("-"))
    elif name.startswith("--"):
        assert name.split()[0] in options(root.commands["agent"])
    elif name.startswith("docs/"):
        assert (ROOT / name).is_file()
    elif name.startswith("make "):
        assert re.search(rf"^{name.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif name.isupper():
        assert name in ALIASES or name.removeprefix("LIPWIRE_").lower() in TYPES
    else:
        assert name in Config.__struct_fields__


async def test_it_listens_by_the_cascades_chain() -> None:
    """What is told is answered, remembered as far as it was heard, and asks no chat service anything."""
    async with FakeStt("hello") as stt, FakeTts() as tts:
        config = AgentConfig(name="a", channel="c", brain="guide")
        brain, record = make_brain(config, Services(stt_url=stt.url, tts_url=tts.url, end_of_turn="silence")), Record()
        await brain.open(record)
        try:
            brain.tell("So, what is live wire?")
            done = await record.wait(ReplyFinished)
            assert (done.reason, done.text) == ("done", TOPICS["lipwire"].answers[0])
            assert tts.texts == [one.text.strip() for one in record.of(ReplyText)]  # by the sentence
            brain.tell("How do I install it?")
            started = await record.wait(ReplyText, 3)
            brain.interrupted(started.reply_id, 100.0, "In its")
            brain.tell("Say that again.")
            again = await record.wait(ReplyFinished, 3)
            assert (again.reason, again.text) == ("done", TOPICS["install"].answers[0])
            assert not record.of(Failed) and not record.of(UserText)
        finally:
            await brain.close()
