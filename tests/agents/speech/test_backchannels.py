"""agents/speech/backchannels.py"""

from __future__ import annotations

import pytest

from lipwire.agents.speech.backchannels import BACKCHANNELS, is_backchannel, known

YES = [
    ("en-US", "Mm-hmm."), ("en-US", "mhm"), ("en-GB", "Okay."), ("en", "Yeah, yeah, okay!"), ("en", "UH-HUH"),
    ("en", "I see…"), ("en", "Mmmmm"), ("en", "okaaaay"), ("en", "all right"), ("en", "Oh, right."),
    ("de-DE", "Ja, ja, genau."), ("de-DE", "Ach so!"), ("fr-FR", "D’accord."), ("fr", "Ah oui ?"),
    ("es-MX", "Sí, claro"), ("it", "Già."), ("pt-BR", "Aham"), ("ru-RU", "Угу."), ("tr", "hı hı"),
    ("zh-CN", "嗯。"), ("zh-CN", "对对对"), ("zh-TW", "好的，好的"), ("ja-JP", "なるほど、そうですか。"),
    ("ja-JP", "はい"), ("ko-KR", "네, 네"), ("hi-IN", "हाँ, ठीक है"), ("th-TH", "ใช่ครับ"), ("ar-EG", "طيب"),
    ("he-IL", "אוקיי"), ("xx", "okay"), ("zh-HK", "係呀"), ("zh-Hant-HK", "好的"), ("yue", "是的"), ("zh_HK", "明白"),
    ("cmn-Hans-CN", "对对"), ("no", "skjønner"), ("iw", "כן"),
]  # fmt: skip
NO = [
    ("en-US", ""), ("en-US", "..."), ("en-US", "Stop."), ("en-US", "wait"), ("en-US", "no"),
    ("en-US", "Okay, but why?"), ("en-US", "Yesterday"), ("en-US", "okays"),
    ("en-US", "yeah yeah yeah yeah yeah"), ("en-US", "rightly so"), ("de-DE", "Jaguar"), ("de-DE", "nein"),
    ("de-DE", "ja aber"), ("fr-FR", "non"), ("zh-CN", "等一下"), ("zh-CN", "好吃"), ("zh-CN", "不对"),
    ("ja-JP", "いいえ"), ("ja-JP", "はい、でも"), ("th-TH", "ไม่ใช่"), ("xx", "yeah"), ("ru-RU", "нет"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "want"), [(*one, True) for one in YES] + [(*one, False) for one in NO])
def test_texts(language: str, text: str, want: bool) -> None:
    assert is_backchannel(text, language) is want


BEGUN = [
    ("en", "I"), ("en", "M"), ("en", "Uh-h"), ("en", "Got"), ("en", "Got i"), ("en", "Okay, all r"),
    ("de", "Ach"), ("fr-FR", "D'acc"), ("ja-JP", "そうで"), ("ja-JP", "はい、な"), ("th-TH", "ใช่คร"), ("hi-IN", "ठ"),
]  # fmt: skip
NOT_BEGUN = [
    ("en", ""), ("en", "I want"), ("en", "Stop"), ("en", "Wait"), ("en", "What"), ("en", "Okay, but"),
    ("en", "Got him"), ("en", "see"), ("en", "ok ok ok ok o"), ("de", "Nein"), ("ja-JP", "今"),
    ("zh-CN", "不"), ("ko-KR", "아니"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text", "want"), [(*one, True) for one in BEGUN] + [(*one, False) for one in NOT_BEGUN]
)
def test_texts_that_go_on(language: str, text: str, want: bool) -> None:
    assert is_backchannel(text, language, begun=True) is want and not is_backchannel(text, language)


def test_ones_own_list() -> None:
    assert is_backchannel("Rightyho!", "en", ["righty-ho"]) and not is_backchannel("okay", "en", ["righty-ho"])
    assert not is_backchannel("okay", "en", []) and not is_backchannel("okay", "en", ["!"])
    assert is_backchannel("好 好", "zh", ["好"])


def test_every_language_has_some_that_are_its_own() -> None:
    for language in BACKCHANNELS:
        assert len(known(language)) > len(known("xx")) + 4, language
        assert all(is_backchannel(phrase, language) for phrase in BACKCHANNELS[language].split("|"))
