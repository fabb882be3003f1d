"""Pauses that a user asks for: "hold on", "one moment". Nothing is to be answered yet. No I/O."""

from __future__ import annotations

import re

from ..languages import names
from .phrases import ends, plain

PAUSES: dict[str, str] = {
    "de": "warte mal|wart mal|warte kurz|warten sie kurz|warten sie bitte|bitte warten|warte bitte|einen moment bitte|"
    "moment mal|moment bitte|augenblick bitte|sekunde bitte|bleib dran|bleiben sie dran|lass mich überlegen|"
    "lass mich nachdenken|lass mich mal überlegen|lass mich nachsehen|=warte|=moment|=einen moment|=kleinen moment|"
    "=einen augenblick|=augenblick|=eine sekunde|=sekunde|=eine minute",
    "en": "hold on|hang on|bear with me|wait a moment|wait a second|wait a sec|wait a minute|wait a bit|wait for me|"
    "give me a moment|give me a second|give me a sec|give me a minute|just a moment please|one moment please|"
    "hold on a second|hold on a sec|hold on a minute|hold on a moment|hang on a second|hang on a sec|hang on a minute|"
    "let me think|let me think about it|let me think about that|let me check|let me see|let me look it up|"
    "=wait|=please wait|=just wait|=one moment|=just a moment|=a moment|=one second|=one sec|=just a second|"
    "=just a sec|=a second|=one minute|=just a minute|=a minute|=hold it|=hold the line",
    "es": "espera un momento|espere un momento|espera un segundo|espere un segundo|espera un poco|dame un momento|"
    "deme un momento|dame un segundo|deme un segundo|dame un minuto|un momento por favor|un segundo por favor|"
    "déjame pensar|déjeme pensar|déjame ver|=espera|=espere|=un momento|=un segundo|=un momentito|=un minuto",
    "fr": "attends un instant|attendez un instant|attends un peu|attendez un peu|attends une seconde|"
    "attendez une seconde|un instant s'il vous plaît|un instant s'il te plaît|un moment s'il vous plaît|"
    "laissez-moi réfléchir|laisse-moi réfléchir|donnez-moi une seconde|donne-moi une seconde|=attends|=attendez|"
    "=un instant|=un moment|=une seconde|=une minute|=ne quittez pas",
    "it": "aspetta un attimo|aspetti un attimo|aspetta un momento|aspetti un momento|aspetta un secondo|"
    "un attimo per favore|un momento per favore|dammi un secondo|dammi un attimo|mi dia un attimo|fammi pensare|"
    "mi faccia pensare|=aspetta|=aspetti|=un attimo|=un momento|=un secondo|=un minuto",
    "ja": "ちょっと待って|ちょっと待ってください|少し待って|少し待ってください|少々お待ちください|待ってください|"
    "待ってね|ちょっとまって|=待って|=えっと|=ちょっと",
    "ko": "잠깐만|잠깐만요|잠시만|잠시만요|기다려|기다려 주세요|잠깐 기다려 주세요|잠시 기다려 주세요|기다려 봐|=잠깐",
    "nl": "wacht even|wacht eens even|wacht u even|een moment alstublieft|een ogenblik alstublieft|"
    "momentje alstublieft|laat me nadenken|laat me even denken|=wacht|=momentje|=een moment|=een momentje|"
    "=een ogenblik|=een seconde",
    "pt": "espera um momento|espere um momento|espera um pouco|espere um pouco|espera aí|peraí|um momento por favor|"
    "me dá um segundo|me dê um segundo|deixa eu pensar|deixe me pensar|=espera|=espere|=um momento|=um momentinho|"
    "=um segundo|=um minuto|=só um momento|=só um minuto",
    "ru": "подожди минутку|подождите минутку|подожди секунду|подождите секунду|одну минуту пожалуйста|дай подумать|"
    "дайте подумать|=подожди|=подождите|=погоди|=погодите|=минутку|=секунду|=минуточку|=секундочку|=одну минуту|"
    "=одну секунду|=сейчас",
    "zh": "等一下|等一等|等等|稍等|稍等一下|请稍等|等我一下|等会儿|等一会儿|让我想想|让我想一下|我想一下|我想想|等下",
}
"""Of each language (ISO 639), divided by |: what ends a turn that is not to be answered. One behind = does so
only where it is a clause of its own: "the film lasts one minute" asks for no pause."""
_BEFORE = frozenset(
    plain(
        "ah aber alors and attends but eh ehm ehi euh hey hm hmm ja jo mm mmm nein no non oh ok okay oui oké pero "
        "please por sim sorry so sí sì tja uh uhm um well wait ya yeah yes yep ну а но да нет ой"
    ).split()
)
_AFTER = frozenset(plain("please bitte alstublieft por favor per favore пожалуйста s'il vous te plaît").split())
"""Words that may stand before and behind one of them in its clause."""


def asks_for_pause(text: str, language: str) -> bool:
    """Whether a text ends with the wish that the listener wait; in languages without a list, never."""
    listed = [entry for name in names(language) for entry in PAUSES.get(name, "").split("|") if entry]
    clauses = [clause for part in re.split(r"[.,;:!?…。，、；：！？—–]+", text) if (clause := plain(part))]
    while len(clauses) > 1 and _AFTER.issuperset(clauses[-1].split()):
        del clauses[-1]
    if not listed or not clauses:
        return False
    said, alone = " ".join(clauses), _bare(clauses[-1])
    return any(plain(entry) in alone or (not entry.startswith("=") and _is_end(plain(entry), said)) for entry in listed)


def _bare(clause: str) -> set[str]:
    """A clause, and the same without each of its words that say nothing."""
    words = clause.split(" ")
    while len(words) > 1 and words[-1] in _AFTER:
        del words[-1]
    bare = {" ".join(words)}
    while len(words) > 1 and words[0] in _BEFORE:
        del words[0]
        bare.add(" ".join(words))
    return bare


def _is_end(phrase: str, text: str) -> bool:
    return text.endswith(phrase) and ends(text, len(text) - len(phrase))
