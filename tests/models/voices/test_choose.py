"""Which voice speaks: names, what there is, what was asked for, what falls back, and that none is taken silently."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from lipwire.audio import espeak
from lipwire.avatar import VOICES, Voice
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.voices import choose as module
from lipwire.models.voices import hibari
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.choose import choose, speaks_here
from lipwire.models.voices.names import Name, check_no_path, parse
from lipwire.models.voices.pieces import pieces
from lipwire.models.voices.timing import times_of_words
from support.machine import require

HEART = Name("hibari", "heart")


@pytest.fixture
def without_hibari(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ModelFailed("the model hibari is not there. To get it: lipwire models get hibari")

    monkeypatch.setattr(hibari, "find", gone)
    monkeypatch.setattr(module, "_told", set())


@pytest.mark.parametrize("table", [None, "{", '{"heart": 1}'])
def test_a_package_that_is_damaged_speaks_no_more_than_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str | None
) -> None:
    require(espeak.available(), "espeak-ng")
    (tmp_path / "hibari" / "assets").mkdir(parents=True)
    if table is not None:
        (tmp_path / "hibari" / "assets" / "voices.json").write_text(table)
    monkeypatch.setattr(hibari, "find", lambda name: tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(module, "_told", set())
    found = choose(None, Voice())
    assert found.name.engine == "espeak" and "hibari's voices.json is damaged" in found.instead
    assert "lipwire models get hibari" in missing(HEART)
    monkeypatch.setattr(espeak, "available", lambda: False)
    assert not speaks_here()


def test_names() -> None:
    for name in ("hibari:heart+child", "espeak:de+f3", "piper:/a/b.onnx", "kokoro:k.onnx/af_heart"):
        assert str(parse(name)) == name
    for name in ("en-us+f3", "alloy", "en-US-AvaNeural", "http://x", "", "azure:x"):
        assert parse(name) is None
    with pytest.raises(InvalidArgument, match="say which of hibari's"):
        parse("hibari:")
    for name in ("alloy", "hibari:heart", "piper:amy", "kokoro:k/af_heart", "espeak:de"):
        check_no_path(name)
    for name in ("piper:/etc/passwd", "piper:a.onnx", "piper:../a", "kokoro:../k/af_heart", "kokoro:k.onnx/af_heart"):
        with pytest.raises(InvalidArgument, match="no path, but the name"):
            check_no_path(name)


def test_who_speaks_for_a_face() -> None:
    require(espeak.available(), "espeak-ng")
    require(not missing(HEART), "hibari-tts")
    wanted = {
        (None, "aria", "en-US"): "hibari:heart",
        (None, "kit", "en-GB"): "hibari:heart+child",
        (None, "ohm", "en-US"): "hibari:heart+robot",
        (None, "aria", "de-DE"): "espeak:de+f3",
        ("", "kit", "fr-FR"): "espeak:fr+anika",
        ("de", "aria", "en-US"): "espeak:de",
        ("espeak:en-us+m3", "aria", "en-US"): "espeak:en-us+m3",
        ("hibari:heart+man", "kit", "en-US"): "hibari:heart+man",
    }
    assert {key: str(choose(key[0], VOICES[key[1]], key[2]).name) for key in wanted} == wanted
    assert (
        str(choose(None, Voice()).name) == "hibari:heart" and str(choose(None, Voice("+m3")).name) == "espeak:en-us+m3"
    )
    like = {
        "alloy": "hibari:heart+man",
        "en-GB-SoniaNeural": "hibari:heart+man",
        "nova": "hibari:heart",
        "+f3": "espeak:en-us+f3",
    }
    assert {name: str(choose(name, Voice(), like=True).name) for name in like} == like
    assert str(choose("nova", Voice(), "de-DE", like=True).name) == "espeak:de+f3"


@pytest.mark.parametrize(
    ("asked", "language", "why"),
    [
        ("hibari:nobody", "en-US", r"cannot be had: hibari has no voice 'nobody'.*There are: hibari:heart, "),
        ("hibari:emma", "en-US", "is not on this machine: its file, bf_emma"),
        ("hibari:heart", "de-DE", "speaks English, and the language is de-DE"),
        ("klingonx", "en-US", "espeak-ng has no voice 'klingonx'"),
        ("espeak:en-us+nobody", "en-US", "espeak-ng has no voice"),
        ("piper:amy", "en-US", r"no folder of voices \(setting `voices`\)"),
        ("piper:/nowhere/a.onnx", "en-US", "/nowhere/a.onnx.json: No such file"),
        ("kokoro:/nowhere/k.onnx", "en-US", "write it as kokoro:PATH.onnx/VOICE"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, asked: str, language: str, why: str
) -> None:
    require(espeak.available() and not missing(HEART), "espeak-ng, hibari-tts")
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(InvalidArgument, match=why):
        choose(asked, VOICES["aria"], language)


@pytest.mark.usefixtures("without_hibari")
def test_a_default_falls_back_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    require(espeak.available(), "espeak-ng")
    with caplog.at_level(logging.WARNING, "lipwire.voices"):
        for _ in range(2):
            chosen = choose(None, VOICES["kit"])
            assert str(chosen.name) == "espeak:en-us+anika" and "lipwire models get hibari" in chosen.instead
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "espeak-ng's en-us+anika speaks in place of hibari"
    ]
    assert speaks_here()
    with pytest.raises(InvalidArgument, match=r"hibari:heart cannot be had: .*To get it: .*There are: espeak:en-us"):
        choose("hibari:heart", VOICES["aria"])


def test_where_a_text_is_cut() -> None:
    for text, wanted in {
        'I am Dr. Smith, J. K. Rowling. e.g. "Quote." Then? OK!': [
            'I am Dr. Smith, J. K. Rowling. e.g. "Quote."',
            "Then?",
            "OK!",
        ],
        "a\n\nb": ["a", "b"],
        "你好。世界！ok": ["你好。", "世界！", "ok"],
        " ": [],
        "3.5 is. 4": ["3.5 is.", "4"],
    }.items():
        assert pieces(text) == wanted
    cut = pieces("one, two " * 60 + "x" * 700)
    assert all(0 < len(piece) <= 300 for piece in cut) and sum(piece.count("x") for piece in cut) == 700


def test_words_find_their_times() -> None:
    said = [
        ("It", 0.0, 0.1),
        ("costs", 0.1, 0.4),
        ("five", 0.4, 0.6),
        ("dollars", 0.6, 1.0),
        (",", 1.0, 1.1),
        ("ok", 1.2, 1.4),
    ]
    until = pytest.approx(0.4 + 0.6 * 3 / 4)
    assert times_of_words("It costs $5, 好 — OK", said) == (
        ("It", 0.0, 0.1), ("costs", 0.1, 0.4), ("$5,", 0.4, until), ("好", until, 1.0), ("OK", 1.2, 1.4),
    )  # fmt: skip
    the = times_of_words("of the world", [("of the world", 0.0, 1.0)])[1]
    assert the == ("the", pytest.approx(0.2), pytest.approx(0.5))
    assert times_of_words("...", [(".", 0.0, 1.0)]) == ()
