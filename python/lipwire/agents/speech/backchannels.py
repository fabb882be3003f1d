"""Backchannels: what a listener says to show that he listens ("mm-hmm", "okay"), without wanting to speak. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..languages import names
from .phrases import ends, plain

MOST = 4
"""Backchannels in one text; who says more of them has something to say."""

_ALWAYS = "mm mmm mhm mm-hmm mm-hm mhmm hm hmm uh-huh uhuh aha ah oh ok okay"
"""Sounds that mean it in any language that is written so."""
BACKCHANNELS: dict[str, str] = {
    "ar": "نعم|أها|آه|طيب|تمام|صحيح|أيوه|مم|اها|اه",
    "cs": "jo|jasně|aha|hm|dobře|no jo|rozumím",
    "da": "ja|jo|nå|okay|klart|præcis|javel",
    "de": "ja|ja ja|jaja|jo|genau|aha|klar|alles klar|stimmt|verstehe|ach so|achso|okay|gut|mhm|soso|richtig",
    "el": "ναι|μμ|οκ|εντάξει|σωστά|κατάλαβα",
    "en": "yeah|yep|yup|yes|right|sure|i see|got it|alright|all right|uh|um|huh|cool|good|great|wow|really|true|"
    "exactly|of course|makes sense|mhm|go on|interesting|nice",
    "es": "sí|si|ajá|claro|vale|bueno|ya|entiendo|ya veo|exacto|de acuerdo|correcto|así es|dale",
    "fi": "joo|juu|niin|aivan|selvä|okei|kyllä|totta",
    "fr": "oui|ouais|d'accord|ah oui|ah bon|bien sûr|je vois|exactement|voilà|hum|c'est vrai|bien|euh|ok|mouais",
    "he": "כן|אהה|אוקיי|בסדר|נכון|הבנתי|אה",
    "hi": "हाँ|हां|हूँ|हम्म|अच्छा|ठीक|ठीक है|जी|जी हाँ|जी हां|सही|ओके|बिल्कुल",
    "id": "ya|iya|oke|baik|hmm|betul|oh begitu",
    "it": "sì|si|già|certo|ok|va bene|capisco|esatto|giusto|ah sì|bene|d'accordo|ho capito",
    "ja": "はい|ええ|うん|うんうん|ああ|へえ|へー|ほう|なるほど|そう|そうですね|そうですか|そうなんだ|ですね|ふーん|"
    "ふむ|オーケー|おお|確かに",
    "ko": "네|예|응|음|그래|그래요|그렇죠|그렇군요|아|아하|맞아요|알겠어요|오케이|네네",
    "nb": "ja|jo|nettopp|okei|akkurat|riktig|skjønner",
    "nl": "ja|jaja|oké|precies|juist|klopt|tuurlijk|snap ik|aha|ja hoor|goed",
    "pl": "tak|no|no tak|aha|jasne|dobrze|rozumiem|dokładnie|mhm|okej|racja",
    "pt": "sim|é|aham|tá|tá bom|certo|claro|entendi|ok|isso|pois é|pois|exato|beleza",
    "ro": "da|așa|bine|sigur|înțeleg|exact|corect",
    "ru": "да|угу|ага|так|ну да|понятно|ясно|хорошо|конечно|ладно|окей|точно|мм|верно|понял|поняла",
    "sv": "ja|jo|mm|okej|precis|just det|visst|jaha|förstår",
    "th": "ครับ|ค่ะ|คะ|อืม|อือ|ใช่|ใช่ครับ|ใช่ค่ะ|โอเค|อ๋อ|จ้ะ|ได้",
    "tr": "evet|hı hı|hıhı|tamam|anladım|aynen|doğru|peki|tabii|öyle",
    "uk": "так|угу|ага|зрозуміло|ясно|добре|звісно|авжеж|точно",
    "vi": "vâng|ừ|dạ|ờ|ừm|đúng rồi|được|ok|à|thế à",
    "yue": "係|係呀|嗯|哦|好|明白|冇錯|啱",
    "zh": "嗯|嗯嗯|对|对对|对的|好|好的|好吧|是|是的|哦|噢|啊|行|明白|明白了|知道了|没错|唔|好好|對|對的|沒錯",
}
"""Of each language (ISO 639), divided by |."""


def known(language: str) -> tuple[str, ...]:
    """The backchannels of a language ("en-US"), as they are compared."""
    own = "|".join(BACKCHANNELS.get(name, "") for name in names(language))
    return tuple(filter(None, (plain(one) for one in (*_ALWAYS.split(), *own.split("|")))))


def is_backchannel(text: str, language: str, phrases: Sequence[str] | None = None, *, begun: bool = False) -> bool:
    """Whether a text is made of backchannels and nothing else: at most MOST of them, in whatever case and with whatever
    punctuation. A text without a letter is none.

    Args:
        language: of the text ("en-US").
        phrases: what counts instead of what the language has; empty = nothing.
        begun: the text may go on ("I", of "I see"): also whether it can still become one.
    """
    listed = frozenset(known(language) if phrases is None else filter(None, map(plain, phrases)))
    said = plain(text)
    # Letters that are drawn out stand for one of them ("okaaay"), or for two ("mmmm").
    return bool(said) and any(_made_of(re.sub(r"(\w)\1{2,}", drawn, said), listed, begun) for drawn in (r"\1", r"\1\1"))


def _made_of(text: str, listed: frozenset[str], begun: bool) -> bool:
    """Whether a text can be cut into at most MOST of these; `begun`: and a last one of which the end may be missing."""
    reached = {0: 0}
    for at in range(len(text)):
        used = reached.get(at)
        if used is None or used >= MOST:
            continue
        if begun and any(phrase.startswith(text[at:]) for phrase in listed):
            return True
        for phrase in listed:
            end = at + len(phrase)
            if not text.startswith(phrase, at) or not ends(text, end):
                continue
            end += end < len(text) and text[end] == " "
            reached[end] = min(reached.get(end, MOST), used + 1)
    return len(text) in reached
