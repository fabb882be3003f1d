"""What asks for a pause, and what only sounds so."""

from __future__ import annotations

import pytest

from lipwire.agents.speech.pauses import _BEFORE, PAUSES, asks_for_pause
from lipwire.agents.speech.phrases import plain


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hold on.", "en-US"),
        ("My number is, uh, hold on", "en-GB"),
        ("Okay, just a moment, please.", "en"),
        ("Sorry, wait.", "en"),
        ("Yes, hold on, one second.", "en"),
        ("Hold on for a second.", "en"),
        ("hold on one second", "en"),
        ("Give me just a second", "en"),
        ("Warte mal kurz", "de"),
        ("I need to get my card. One minute.", "en"),
        ("let me think about it", "en"),
        ("my number is uh hold on", "en"),
        ("No, no, please wait a second please", "en"),
        ("What was it? Hold on.", "en"),
        ("ja also bitte warte mal", "de"),
        ("Einen Moment, bitte.", "de-DE"),
        ("Ja, warte mal kurz. Moment.", "de"),
        ("Un instant, s'il vous plaît.", "fr"),
        ("Laissez-moi réfléchir", "fr-FR"),
        ("Espera un momento", "es-MX"),
        ("等一下", "zh-CN"),
        ("我的号码是，请稍等。", "zh-TW"),
        ("嗯，等等！", "zh-CN"),
        ("不好意思你先等一下", "zh-CN"),
        ("番号は、ちょっと待って", "ja-JP"),
        ("番号はえっと少し待ってください", "ja-JP"),
        ("아니 잠깐만요", "ko-KR"),
        ("ちょっと待ってください。", "ja"),
        ("잠깐만요", "ko-KR"),
        ("Подождите, пожалуйста.", "ru"),
        ("Um minuto", "pt-BR"),
        ("Un attimo", "it"),
        ("Wacht even", "nl"),
    ],
)
def test_a_wish_to_wait(text: str, language: str) -> None:
    assert asks_for_pause(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The film lasts one minute", "en"),
        ("It happened just a moment ago.", "en"),
        ("Hold on to your hat", "en"),
        ("I cannot wait", "en"),
        ("Hold on, what does it cost?", "en"),
        ("Threshold on", "en"),
        ("Es dauert eine Minute", "de"),
        ("Hold on.", "de"),
        ("Hold on.", "sw"),
        ("", "en"),
        ("...", "en"),
        ("我等了一会儿", "zh"),
        *(
            (text, "en-US")
            for text in (
                "Should I wait a minute?",
                "should I wait a minute",
                "Should I wait? A minute, please?",
                "Hold on?!",
                "What happens when customers hang on?",
                "Is it okay to wait a second?",
                "You don't have to wait for me.",
                "Don't hang on.",
                "I told them to hold on.",
                "They all wait a bit.",
                "You never let me think.",
                "It takes, uh, exactly one minute",
                "it takes uh one minute",
                "It takes, uh, one minute",
                "Two apples, a minute",
                "About... a minute",
                "How long? One minute.",
            )
        ),
        ("Sie müssen nicht auf mich warten, bitte warten Sie nicht.", "de"),
        ("Können Sie bitte warten?", "de"),
        ("No espere un momento.", "es"),
        ("Non aspetta un attimo.", "it"),
        ("Não espere um pouco.", "pt"),
        ("Не подожди минутку", "ru"),
        ("Когда? Сейчас.", "ru"),
        ("얼마나 기다려?", "ko"),
        ("얼마나 기다려", "ko"),
        ("どれくらい少し待ってください", "ja"),
        ("苹果、香蕉等等", "zh"),
        ("苹果、香蕉、等等。", "zh"),
        ("苹果，香蕉，等等。", "zh"),
        ("苹果香蕉等等", "zh-TW"),
        ("我们要不要等一下", "zh"),
        ("不用等一下", "zh"),
    ],
)
def test_what_is_none(text: str, language: str) -> None:
    assert not asks_for_pause(text, language)


def test_every_entry_is_a_phrase_that_asks() -> None:
    for language, entries in PAUSES.items():
        listed = entries.split("|")
        assert len(set(listed)) == len(listed) and all(plain(one) for one in listed), language
        assert all(asks_for_pause(one.removeprefix("="), language) for one in listed)
    assert _BEFORE.keys() == PAUSES.keys()
