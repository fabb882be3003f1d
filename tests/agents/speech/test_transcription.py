"""What a transcription says: its text, its words, whether anything was said at all; and how a service is asked for
one: what it may refuse, and when it is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lipwire.agents.brains.base import TimedWord
from lipwire.agents.http import ServiceError
from lipwire.agents.speech.stt import HttpStt, Transcript
from lipwire.agents.speech.transcription import NoTranscription, read, speech_in
from support.fakes import FakeStt
from support.fakes.server import Request, Response, error
from support.fakes.speech import form


def answered(**members: Any) -> tuple[str, tuple[TimedWord, ...]]:
    return read(msgspec.json.encode(members), "application/json")


def segment(text: str, silence: float | None = None, likely: float | None = None, **more: Any) -> dict[str, Any]:
    given = {"no_speech_prob": silence, "avg_logprob": likely}
    return {"text": text, **{name: value for name, value in given.items() if value is not None}, **more}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[BLANK_AUDIO]",
            " [BLANK_AUDIO]\n",
            "[ Silence ]",
            "BLANK_AUDIO",
            "[BLANK_AUDIO",
            "(music)",
            "(Music) (Applause)",
        ),
        *(
            "[Music (loud)]",
            "*sighs*",
            "♪",
            "♪ la la la ♪",
            "🎵🎵",
            "...",
            "…",
            "。",
            "? !",
            "-",
            "",
            " ",
            "<|nospeech|>",
        ),
        *(
            "<unk>",
            "{noise}",
            "- [silence] -",
            "[Musik]",
            "[Música]",
            "[музыка]",
            "【音楽】",
            "（拍手）",
            "[음악]",
            "[संगीत]",
        ),
        *("(speaking in foreign language)", "[موسيقى]", "No speech detected.", "[Music, laughter]", "[Laughs.]", "*"),
        *("(upbeat music playing)", "[door slams]", "(phone ringing)", "[Risas]", "（笑）", "[_BEG_]", "((music))"),
        *("()", "(music"),
        *("Subtitles by the Amara.org community", "Sous-titres réalisés par la communauté d'Amara.org", "字幕by索兰娅"),
        *("Untertitel im Auftrag des ZDF, 2017", "Субтитры сделал DimaTorzok"),
    ],
)
def test_what_nobody_has_said_is_nothing(text: str) -> None:
    assert speech_in(text) == ""
    assert answered(text=text) == ("", ())


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Yes.",
            "No",
            "a",
            "I",
            "OK",
            "Hi!",
            "42",
            "1",
            "¿Qué?",
            "好",
            "はい",
            "네",
            "да",
            "ναι",
            "כן",
            "نعم",
            "हाँ",
            "ครับ",
        ),
        *(
            "Thank you.",
            "Bye.",
            "Thank you for watching over her.",
            "Music",
            "Silence, please.",
            "I <3 you",
            "a * b * c",
        ),
        *("(and then I said hello", "x < 5 and y > 3", "(Yes, please.)", "（はい）", "[Yes.]", "【はい】"),
        *("*67 then 5*3", "《三体》好看吗", "「はい」", "(Yes, I love music)", "[I do", "{no}", "*no*"),
        *("<Hello there>", "(It sounds good)"),
        *("Hello (there), friend", "It's 3:00", "Who made the subtitles?", "So?", "Uh, blank audio again?"),
    ],
)
def test_what_somebody_may_have_said_is_kept(text: str) -> None:
    assert speech_in(text) == text
    assert answered(text=text, segments=[segment(text, 0.3, -0.4)])[0] == text


def test_notes_between_words_are_taken_out() -> None:
    assert speech_in("[music] Hello there. ♪") == "Hello there."
    assert speech_in("<|zh|><|NEUTRAL|><|Speech|><|woitn|>你好") == "你好"
    assert speech_in("(laughs) I think [the] car <noise>") == "I think car"
    assert speech_in("[music] [Yes.] (coughing)") == "[Yes.]"
    assert speech_in("  good \n morning ") == "good morning"


@pytest.mark.parametrize(
    ("text", "silence", "likely", "kept"),
    [
        ("Thank you for watching!", 0.7, -0.2, False),
        ("Thank you for watching!", 0.1, -0.2, True),
        ("Thank you for watching!", None, None, True),
        ("ご視聴ありがとうございました。", 0.6, -0.3, False),
        ("谢谢观看", 0.6, -0.3, False),
        ("Merci d'avoir regardé cette vidéo !", 0.9, -0.3, False),
        ("Thank you.", 0.95, -0.2, False),
        ("Thank you.", 0.02, -0.2, True),
        ("Well, I think so.", 0.7, -1.2, False),
        ("Well, I think so.", 0.7, -0.5, True),
        ("Well, I think so.", 0.97, -0.8, False),
        ("Well, I think so.", 0.3, -1.5, True),
        ("Well, I think so.", 0.9, None, False),
        ("Yes.", 0.5, -0.9, True),
    ],
)
def test_what_a_recognizer_takes_for_silence(
    text: str, silence: float | None, likely: float | None, kept: bool
) -> None:
    expected = text if kept else ""
    assert answered(text=text, segments=[segment(text, silence, likely)])[0] == expected
    if silence is not None:  # as some servers say it: of the whole
        assert answered(**segment(text, silence, likely))[0] == expected


def test_a_silent_segment_goes_and_so_do_its_words() -> None:
    segments = [
        segment(" Yes, please.", 0.1, -0.3, start=0.0, end=1.0),
        segment(" Thanks for watching!", 0.8, -0.3, start=1.0, end=3.0),
    ]
    words = [{"word": "Yes", "start": 0.2, "end": 0.4}, {"word": "Thanks", "start": 1.2, "end": 1.4}]
    got = answered(text=" Yes, please. Thanks for watching!", segments=segments, words=words)
    assert got == ("Yes, please.", (TimedWord("Yes", 200, 200),))


GOOD = {"word": " good", "start": 0.1, "end": 0.3}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([GOOD], (TimedWord("good", 100, 200),)),
        ([{"text": "good", "start": "0.1", "end": 0.3}], (TimedWord("good", 100, 200),)),
        (
            [{**GOOD, "end": None}, {"word": "morning", "start": 0.4}],
            (TimedWord("good", 100, 300), TimedWord("morning", 400, 0)),
        ),
        ([{"word": "good", "start": None, "end": None}, {"word": "x"}, {"word": 7, "start": 1}, None, 3, "x"], ()),
        ([{**GOOD, "end": 0.05}], (TimedWord("good", 100, 0),)),
        ([{**GOOD, "start": -1}], ()),
        (None, ()),
        ({}, ()),
    ],
)
def test_words_have_times_where_they_have_them(words: Any, found: tuple[TimedWord, ...]) -> None:
    assert answered(text="good morning", words=words) == ("good morning", found)
    assert answered(text="good morning", segments=[segment("good morning", words=words)])[1] == found


def test_text_by_itself_is_a_transcription() -> None:
    assert read(b"\xef\xbb\xbfgood morning\n", "text/plain; charset=utf-8") == ("good morning", ())
    assert read(b'"good morning"', "application/json") == ("good morning", ())
    assert read(b"[BLANK_AUDIO]\n", "text/plain") == ("", ()) == read(b"", "text/plain")
    assert answered(text=None) == ("", ())
    assert answered(transcript="hello") == ("hello", ())
    wrong = [
        (b'{"words": 1}', "application/json"),
        (b'{"text": 5}', ""),
        (b'{"text":', ""),
        (b"[1]", "application/json"),
    ]
    for body, kind in [
        *wrong,
        (b"<html>", "text/html"),
        (b"<!DOCTYPE html>", "text/plain"),
        (b"oops", "application/json"),
    ]:
        with pytest.raises(NoTranscription):
            read(body, kind)


# ----------------------------------------------------------------------------------------------------------- a service

Answer = Callable[[dict[str, Any]], Response]
MORNING = msgspec.json.encode({"text": " good morning ", "words": [{"word": "good", "start": 0, "end": 0.5}]})


class Service(FakeStt):
    """Answers by `make`, which gets the form."""

    def __init__(self, make: Answer) -> None:
        super().__init__()
        self.make = make

    async def answer(self, request: Request) -> Response:
        fields = form(request)
        del fields["file"]
        self.requests.append(fields)
        return self.make(fields)


async def heard(server: Service, model: str = "whisper-1", **options: Any) -> Transcript:
    engine = HttpStt(server.url, language="de-DE", model=model, **options)
    try:
        return await engine.transcribe(bytes(3200))
    finally:
        await engine.close()


def forms(server: Service) -> list[str]:
    return [
        " ".join([fields.get("response_format", "-"), *fields.get("timestamp_granularities", [])])
        for fields in server.requests
    ]


VERBOSE, WORDS = "verbose_json", "verbose_json word"


@pytest.mark.parametrize(
    ("takes", "refusal", "asked"),
    [
        ((WORDS,), "", [WORDS]),
        ((VERBOSE, "json"), "timestamp_granularities: word is not supported", [WORDS, VERBOSE]),
        (("json",), "Currently do not support verbose_json for this model", [WORDS, "json"]),
        (("json",), "timestamp_granularities and verbose_json are not supported", [WORDS, VERBOSE, "json"]),
        (("json",), "Bad Request", [WORDS, "json"]),
        (("text",), "response_format must be text or srt", [WORDS, "json", "text"]),
        (("-",), "Extra inputs are not permitted: response_format", [WORDS, "json", "text", "-"]),
    ],
)
async def test_a_service_is_asked_for_what_it_gives(takes: tuple[str, ...], refusal: str, asked: list[str]) -> None:
    def make(fields: dict[str, Any]) -> Response:
        if forms(server)[-1] not in takes:
            return error(400, refusal)
        return (
            Response(body=b"good morning\n", type="text/plain") if takes[0] in ("text", "-") else Response(body=MORNING)
        )

    async with Service(make) as server:
        for count in (len(asked), 1):  # another agent, which asks the same service
            assert (await heard(server)).text == "good morning"
            assert forms(server)[-count:] == asked[-count:]
        assert len(server.requests) == len(asked) + 1
        if takes == (WORDS,):
            assert (await heard(server)).words == (TimedWord("good", 0, 500),)


async def test_a_language_that_it_does_not_take_is_not_said() -> None:
    def make(fields: dict[str, Any]) -> Response:
        return error(400, "Unsupported language: de") if "language" in fields else Response(body=MORNING)

    async with Service(make) as server:
        assert (await heard(server, "parakeet")).text == "good morning"
        assert len(server.requests) == 2


async def test_it_is_asked_once_more_where_that_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    faults = [Response(429, b"", headers={"retry-after": "0"}), error(500, "oops"), error(503, "busy")]
    async with Service(lambda fields: faults.pop(0) if len(faults) > 2 else Response(body=MORNING)) as server:
        assert (await heard(server, "m", headers={"X-Title": "mine"})).text == "good morning"
        assert len(server.requests) == 2 and server.received[0].headers["x-title"] == "mine"
        server.make = lambda fields: error(500, "oops")
        with pytest.raises(ServiceError, match="answered 500"):
            await heard(server, "m")
        assert len(server.requests) == 4
        server.make = lambda fields: error(400, "audio is too short")
        with pytest.raises(ServiceError, match="answered 400"):
            await heard(server, "m")
        assert len(server.requests) == 5


def test_a_long_answer_is_read_in_one_pass() -> None:
    count = 6000
    silent = [{"no_speech_prob": 1, "start": 2 * n, "end": 2 * n + 1} for n in range(count)]
    words = [{"word": "a", "start": n + 0.5} for n in range(2 * count)]
    began = time.process_time()
    text, found = answered(text="hello " * 1000, segments=[*silent, {"text": "hello"}], words=words)
    assert (text, len(found)) == ("hello", count)
    assert {word.start_ms % 2000 for word in found} == {1500}
    assert time.process_time() - began < 3  # a minute, where each is compared with all others


def test_silences_that_overlap_hold_words_once_and_numbers_beyond_sound_are_none() -> None:
    spans = [(3, 4), (0, 2), (1, 1.5), (2, 2.5), (9, 8), (5, 1e306)]
    silent = [{"no_speech_prob": 1, "start": start, "end": end} for start, end in spans]
    words = [{"word": "a", "start": start} for start in (0, 1.9, 2.4, 2.5, 3, 4, 8.5, 1e306)]
    _, found = answered(text="a", segments=[*silent, {"text": "a"}], words=words)
    assert [word.start_ms for word in found] == [2500, 4000, 8500]
    _, found = read(b'{"text":"a","no_speech_prob":1' + b"0" * 400 + b',"words":[{"word":"a","start":1,"end":1e308}]}')
    assert found == (TimedWord("a", 1000, 0),)
