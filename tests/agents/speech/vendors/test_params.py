"""Reading a vendor's fields."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.speech.vendors.params import SOCKET, WEB, Params, with_query
from lipwire.errors import InvalidArgument


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, "wss://api.example/v1/speak"),
        ("wss://api.example", "wss://api.example/v1/speak"),
        ("wss://eu.example/v1/", "wss://eu.example/v1/speak"),
        ("https://eu.example/v1/speak", "wss://eu.example/v1/speak"),
        ("http://127.0.0.1:8080/mine", "ws://127.0.0.1:8080/mine/speak"),
        ("wss://u:p@eu.example/v2/speak?a=b#c", "wss://u:p@eu.example/v2/speak?a=b"),
        ("ftp://x.example", None),
        ("wss://", None),
        ("wss://[x", None),
        ("wss://x.example:99999", None),
        (7, None),
    ],
)
def test_urls(given: Any, url: str | None) -> None:
    params = Params("tts.params", {"base_url": given})
    if url is None:
        with pytest.raises(InvalidArgument, match=r"tts\.params\.base_url "):
            params.url("base_url", schemes=SOCKET, default="wss://api.example/v1/speak", ends="/speak")
    else:
        assert params.url("base_url", schemes=SOCKET, default="wss://api.example/v1/speak", ends="/speak") == url


def test_a_url_without_an_end_stays_as_it_is() -> None:
    assert Params("tts", {"url": "http://x.example/a/"}).url("url", schemes=WEB) == "http://x.example/a/"
    with pytest.raises(InvalidArgument, match=r"tts\.url is missing"):
        Params("tts", {"url": ""}).url("url", schemes=WEB)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda p: p.needed("voice"), "x.voice is missing"),
        (lambda p: p.text("number"), "x.number must be a line of text"),
        (lambda p: p.text("lines"), "x.lines must be a line of text"),
        (lambda p: p.key("odd"), "x.odd is no key: it has to be visible ASCII"),
        (lambda p: p.number("text", 0, 1), "x.text must be a number from 0 to 1"),
        (lambda p: p.number("number", 0, 1), "x.number must be a number from 0 to 1"),
        (lambda p: p.number("flag", 0, 1), "x.flag must be a number from 0 to 1"),
        (lambda p: p.one_of("number", (1, 2)), "x.number must be one of 1, 2"),
        (lambda p: p.one_of("flag", (1, 2)), "x.flag must be one of 1, 2"),
        (lambda p: p.flag("text"), "x.text must be true or false"),
        (lambda p: p.texts("number"), "x.number must be a text or a list of texts"),
        (lambda p: p.section("text"), "x.text must be an object"),
        (lambda p: p.anything("text", list), "x.text must be a list"),
        (lambda p: p.text("text", "odd"), "x.text and x.odd mean the same: say one"),
        (lambda p: (p.text("text"), p.end()), "x.number is not known here; known are text"),
    ],
)
def test_what_is_wrong_is_told_without_its_value(read: Any, message: str) -> None:
    fields = {"number": 77, "text": "secret", "lines": "secret\n", "odd": "secret ä", "flag": True, "none": None}
    with pytest.raises(InvalidArgument) as told:
        read(Params("x", fields))
    assert str(told.value).startswith(message) and "secret" not in str(told.value) and "77" not in str(told.value)


def test_what_is_right() -> None:
    params = Params("x", {"a": "t", "b": 16000.0, "c": None, "d": ["p", ""], "e": "one", "f": {"g": 1}, "h": 1})
    assert (params.text("a"), params.one_of("b", (16_000,)), params.flag("c")) == ("t", 16_000, None)
    assert (params.texts("d"), params.texts("e")) == (["p"], ["one"])
    inner = params.section("f")
    assert inner is not None and inner.where == "x.f" and inner.number("g", 0, 1) == 1
    assert params.rest() == {"h": 1}
    params.end()


def test_a_query() -> None:
    assert with_query("wss://x.example/a?b=c", [("d", True), ("e", None), ("f", "g h"), ("f", 1)]) == (
        "wss://x.example/a?b=c&d=true&f=g+h&f=1"
    )
    assert with_query("wss://x.example/a", [("d", None)]) == "wss://x.example/a"
