"""Pauses that a user asks for: "hold on", "one moment". Nothing is to be answered yet. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..languages import names
from .phrases import ends, plain

PAUSES: dict[str, str] = {
    "de": "warte mal|wart mal|warte kurz|warte mal kurz|wart mal kurz|warten sie kurz|warten sie bitte|bitte warten|"
    "warte bitte|einen moment bitte|moment mal|moment bitte|augenblick bitte|sekunde bitte|bleib dran|bleiben sie dran|"
    "lass mich überlegen|lass mich nachdenken|lass mich mal überlegen|lass mich nachsehen|=warte|=moment|=einen moment|"
    "=kleinen moment|=einen augenblick|=augenblick|=eine sekunde|=sekunde|=eine minute",
    "en": "hold on|hang on|bear with me|wait a moment|wait a second|wait a sec|wait a minute|wait a bit|wait for me|"
    "give me a moment|give me a second|give me a sec|give me a minute|give me just a moment|give me just a second|"
    "give me just a sec|give me just a minute|give me one moment|give me one second|give me one minute|"
    "just a moment please|one moment please|hold on a second|hold on a sec|hold on a minute|hold on a moment|"
    "hold on one second|hold on one sec|hold on one moment|hold on one minute|hold on just a second|"
    "hold on just a moment|hold on for a second|hold on for a sec|hold on for a moment|hold on for a minute|"
    "hang on a second|hang on a sec|"
    "hang on a minute|hang on one second|hang on one sec|hang on for a second|hang on for a moment|"
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
    "=одну секунду",
    "zh": "等一下|等一等|等等|稍等|稍等一下|请稍等|等我一下|等会儿|等一会儿|让我想想|让我想一下|我想一下|我想想|等下",
}
"""Of each language (ISO 639), divided by |: what ends a turn that is not to be answered, where it is a clause of its
own: "the film lasts one minute" and "customers hang on" ask for no pause. One without = does so behind a hesitation,
too: "my number is uh hold on". One with it, which may be a length of time, does not behind other words of its sentence:
"it takes, uh, one minute"."""
_BEFORE: dict[str, str] = {
    "de": "ja nein nee jo tja na also und aber dann jetzt so bitte entschuldigung danke einfach",
    "en": "yes yeah yep no and but so well wait please just now actually then alright right",
    "es": "sí y pero pues bueno por favor perdón perdona disculpe mira vale",
    "fr": "oui ouais non et mais alors bon donc ben pardon désolé désolée excusezmoi attends s'il vous te plaît",
    "it": "sì e ma allora beh scusa scusi ecco per favore",
    "ja": "はい うん いや いえ じゃあ では まあ ちょっと もう すみません ごめん ごめんなさい あ ね",
    "ko": "네 예 응 아 아니 아니요 그럼 그 저기 저기요 좀 죄송한데 죄송합니다 미안",
    "nl": "ja nee en maar dus nou dan nu alstublieft",
    "pt": "sim e mas então bom por favor desculpa desculpe olha",
    "ru": "да нет ну а и но так ой извините простите пожалуйста",
    "zh": "好 好的 好吧 对 那 那个 这个 啊 哦 噢 喂 你 您 先 请 麻烦 不好意思 对不起 抱歉",
}
"""Words that may stand before one of them in its clause. No language's "not": "no espera" waits for nothing."""
_HESITATIONS = frozenset(
    plain(
        "ah äh ähm eh ehm ehi euh hey hm hmm mm mmm oh ok okay oké sorry uh uhm um э ээ эм 음 어 嗯 呃 "
        "えっと えーと あの"
    ).split()
)
"""The same, in any language."""
_AFTER = frozenset(plain("please bitte alstublieft por favor per favore пожалуйста s'il vous te plaît").split())
"""Words that may stand behind one of them in its clause."""
_ENDS = re.compile(r"[.!。！]\s*")
"""The marks behind a sentence that is none of a question, and not broken off."""
_CLAUSE = re.compile(r"([^.,;:!?…。，、；：！？—–]+)([.,;:!?…。，、；：！？—–\s]*)")
"""A clause, and the marks behind it."""


def asks_for_pause(text: str, language: str) -> bool:
    """Whether a text ends with the wish that the listener wait, and not with a question; in languages without a list,
    never."""
    found = [name for name in names(language) if name in PAUSES]
    if "zh" in found:  # "and so on", behind a list of things, is the same word as "wait"
        text = re.sub(r"、|[,，](?=\s*等等)", " ", text)
    clauses = [(clause, marks) for part, marks in _CLAUSE.findall(text) if (clause := plain(part))]
    while len(clauses) > 1 and _AFTER.issuperset(clauses[-1][0].split()) and not _asks(clauses[-1][1]):
        del clauses[-1]
    if not clauses or _asks(clauses[-1][1]):
        return False
    whole = bare = clauses[-1][0]
    while (cut := _cut(bare, _AFTER)) is not None:
        bare = cut
    begun = len(clauses) - 1  # the last sentence
    while begun and not _ENDS.fullmatch(clauses[begun - 1][1]):
        begun -= 1
    before = [clause for clause, _ in clauses[begun:-1]]
    alone = {name for name in found if all(_opens(clause, name) for clause in before)}
    listed = [(entry, name) for name in found for entry in PAUSES[name].split("|") if name in alone or entry[0] != "="]
    return any(_is_wish(clause, entry, name) for clause in {whole, bare} for entry, name in listed)


def _asks(marks: str) -> bool:
    return "?" in marks or "？" in marks


def _is_wish(clause: str, entry: str, language: str) -> bool:
    """Whether a clause is this entry, behind nothing but words that may stand before it."""
    before = _without(clause, plain(entry))
    if before is None:
        return False
    if not entry.startswith("=") and _cut(before, _HESITATIONS) is not None:
        return True
    return _opens(before, language)


def _opens(text: str, language: str) -> bool:
    """Whether a plain text is nothing but words that may stand before a wish, or such a wish itself."""
    listed = _HESITATIONS.union(plain(_BEFORE[language]).split())
    left: str | None = text
    while left:
        left = _cut(left, listed)
    return left is not None or any(text == plain(entry) for entry in PAUSES[language].split("|"))


def _cut(text: str, endings: Iterable[str]) -> str | None:
    """A plain text without the one of these that it ends with; None = it ends with none."""
    return next((cut for ending in endings if (cut := _without(text, ending)) is not None), None)


def _without(text: str, ending: str) -> str | None:
    at = len(text) - len(ending)
    return text[:at].rstrip() if text.endswith(ending) and ends(text, at) else None
