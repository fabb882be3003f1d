"""What an agent's face shows of what it says: mood and gestures, sentence by sentence, as they are heard. No I/O.

A model may say it by tags (`face_tags`); else the words and the marks of a sentence do: a greeting smiles and waves, an
apology is concerned. A sentence whose words ask for no gesture has a small nod on the syllable that is stressed most
(`speech.stress`). Nothing is shown of what has not been heard, and an interruption ends it. Who listens nods, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Literal

from .._core import RATE
from .face_tags import Feeling, Gesture, Mood
from .languages import names
from .replies import Reply
from .speech.scripts import sentence_end

LEAD_MS = 150.0
"""How long before its words a feeling begins to show: a mood takes 300 ms to come, people's comes before the word."""
LINGER = 1.2
"""Seconds that a mood stays after the sentence it came with, where nothing takes its place."""
GESTURE_EVERY = 3.0
"""Seconds between two gestures that words have made."""
WAVE = 2.4
"""Seconds that a wave takes."""
WAVE_EVERY = 30.0
"""Seconds between two waves that words have made."""

BEAT_MS = 240.0
"""From the beginning of a small nod until the head is lowest (motion.h)."""
BEAT_EVERY = 2.5
"""Seconds between two small nods while the agent speaks,"""
LISTEN_EVERY = 4.0
"""and while it listens."""
LISTENED = 1.0
"""Seconds that its user has spoken before who listens nods."""
LATE_MS = 40.0
"""How late a small nod may come; later it is left out."""
AHEAD_MS = 1500.0
"""Of a sentence whose sound is not all there, how much there is before it is known what in it is stressed."""
TAKES: dict[Gesture, float] = {"nod": 0.9, "shake": 1.1, "wave": WAVE, "beat": 0.44}
"""Seconds of a gesture: a small nod takes the place of none that is still made."""

Kind = Literal["hello", "bye", "sorry", "wow", "glad", "yes", "no", "not"]

WORDS: dict[str, dict[Kind, str]] = {
    "en": {
        "hello": "hello|hi|hey|welcome to|welcome back|good morning|good afternoon|good evening|nice to meet you",
        "bye": "goodbye|bye|bye bye|see you|see you later|good night|farewell",
        "sorry": "sorry|apologies|apologize|apologise|unfortunately|i'm afraid|i am afraid|regret|sad|condolences",
        "wow": "wow|oh|whoa|really|incredible|unbelievable|amazing|no way|surprising|surprisingly",
        "glad": "glad|happy|great|wonderful|congratulations|fantastic|excellent|lovely|thank you|thanks|my pleasure|"
        "you're welcome|you are welcome|haha|ha ha|perfect|awesome|enjoy|funny|good to hear",
        "yes": "yes|yeah|exactly|of course|certainly|absolutely|sure|right|indeed|that's right|no problem|no worries",
        "no": "no|nope|not at all|never",
        "not": "not|n't|never|no|isn't|don't|won't|can't|cannot|without|hardly",
    },
    "de": {
        "hello": "hallo|hi|guten tag|guten morgen|guten abend|willkommen|herzlich willkommen|grüß gott|servus|moin",
        "bye": "auf wiedersehen|tschüss|tschüs|bis bald|bis später|gute nacht|mach's gut|auf wiederhören",
        "sorry": "entschuldigung|entschuldige|entschuldigen|verzeihung|leider|tut mir leid|bedaure|bedauere|schade",
        "wow": "wow|oh|wirklich|unglaublich|erstaunlich|ach was|überraschend|donnerwetter",
        "glad": "freut|freue|gern|gerne|schön|toll|super|prima|wunderbar|herzlichen glückwunsch|glückwunsch|danke|"
        "großartig|haha|perfekt|ausgezeichnet|viel spaß",
        "yes": "ja|genau|natürlich|sicher|selbstverständlich|stimmt|richtig|klar",
        "no": "nein|keineswegs|niemals",
        "not": "nicht|kein|keine|nie|ohne|kaum",
    },
    "es": {
        "hello": "hola|buenos días|buenas tardes|buenas noches|bienvenido|bienvenida|encantado|encantada",
        "bye": "adiós|hasta luego|hasta pronto|hasta la vista|chao|nos vemos|cuídate",
        "sorry": "lo siento|perdón|perdona|perdone|disculpe|disculpa|lamento|lamentablemente|desgraciadamente|me temo",
        "wow": "vaya|guau|increíble|de verdad|asombroso|sorprendente",
        "glad": "me alegro|me alegra|genial|estupendo|maravilloso|felicidades|enhorabuena|gracias|con gusto|excelente|"
        "perfecto|fantástico|jaja",
        "yes": "sí|claro|exacto|por supuesto|desde luego|correcto|así es",
        "no": "no|para nada|nunca|jamás",
        "not": "no|nunca|sin|tampoco",
    },
    "fr": {
        "hello": "bonjour|bonsoir|salut|bienvenue|enchanté|enchantée|coucou",
        "bye": "au revoir|à bientôt|à plus tard|bonne nuit|bonne journée|adieu|à tout à l'heure",
        "sorry": "désolé|désolée|pardon|excusez|excuse|malheureusement|hélas|je regrette|je crains",
        "wow": "oh|ouah|waouh|vraiment|incroyable|étonnant|ça alors",
        "glad": "ravi|ravie|heureux|heureuse|super|génial|merveilleux|félicitations|bravo|merci|avec plaisir|parfait|"
        "excellent|formidable|haha",
        "yes": "oui|exactement|bien sûr|certainement|tout à fait|d'accord|absolument",
        "no": "non|pas du tout|jamais",
        "not": "pas|jamais|sans|aucun|aucune|ne",
    },
    "it": {
        "hello": "ciao|buongiorno|buonasera|salve|benvenuto|benvenuta|piacere",
        "bye": "arrivederci|a presto|a dopo|buonanotte|addio|ci vediamo",
        "sorry": "mi dispiace|scusa|scusi|scusate|purtroppo|perdono|temo",
        "wow": "wow|davvero|incredibile|oh|sorprendente|accidenti",
        "glad": "felice|lieto|lieta|contento|contenta|ottimo|fantastico|meraviglioso|congratulazioni|complimenti|"
        "grazie|volentieri|perfetto|benissimo",
        "yes": "sì|certo|esatto|certamente|giusto|assolutamente",
        "no": "no|per niente|mai|affatto",
        "not": "non|mai|senza",
    },
    "nl": {
        "hello": "hallo|hoi|goedemorgen|goedemiddag|goedenavond|welkom|dag",
        "bye": "tot ziens|doei|tot straks|tot later|welterusten|goedenacht",
        "sorry": "sorry|helaas|het spijt me|excuses|pardon|jammer",
        "wow": "wauw|oh|echt waar|ongelooflijk|verbazingwekkend",
        "glad": "blij|fijn|geweldig|prachtig|gefeliciteerd|bedankt|dank je|dank u|graag gedaan|perfect|leuk",
        "yes": "ja|precies|natuurlijk|zeker|inderdaad|klopt",
        "no": "nee|helemaal niet|nooit",
        "not": "niet|geen|nooit|zonder",
    },
    "pt": {
        "hello": "olá|oi|bom dia|boa tarde|boa noite|bem-vindo|bem-vinda|prazer",
        "bye": "adeus|tchau|até logo|até breve|até mais",
        "sorry": "desculpe|desculpa|perdão|lamento|sinto muito|infelizmente|receio",
        "wow": "uau|nossa|oh|sério|incrível|surpreendente",
        "glad": "feliz|ótimo|ótima|maravilhoso|parabéns|obrigado|obrigada|com prazer|excelente|perfeito|que bom",
        "yes": "sim|claro|exato|exatamente|com certeza|certo",
        "no": "não|de jeito nenhum|nunca",
        "not": "não|nunca|sem|nem",
    },
    "ru": {
        "hello": "здравствуйте|привет|добрый день|доброе утро|добрый вечер|добро пожаловать",
        "bye": "до свидания|до встречи|спокойной ночи|всего доброго",
        "sorry": "извините|извини|простите|прости|к сожалению|сожалею|жаль",
        "wow": "ого|ух ты|неужели|невероятно|удивительно",
        "glad": "рад|рада|отлично|замечательно|прекрасно|поздравляю|спасибо|пожалуйста|здорово",
        "yes": "да|конечно|точно|верно|разумеется",
        "no": "нет|никогда|ни в коем случае",
        "not": "не|нет|никогда|без",
    },
    "ja": {
        "hello": "こんにちは|こんばんは|おはよう|はじめまして|ようこそ",
        "bye": "さようなら|さよなら|またね|また明日|おやすみ|バイバイ",
        "sorry": "すみません|申し訳|ごめん|残念|あいにく",
        "wow": "わあ|へえ|まさか|本当ですか|すごい|驚き",
        "glad": "嬉しい|うれしい|ありがとう|おめでとう|素晴らしい|楽しい",
        "yes": "はい|もちろん|その通り",
        "no": "いいえ|いえ",
        "not": "ない|ません|だめ|ダメ",
    },
    "zh": {
        "hello": "你好|您好|早上好|下午好|晚上好|欢迎|大家好|歡迎",
        "bye": "再见|拜拜|晚安|回头见|再見|回頭見",
        "sorry": "对不起|抱歉|不好意思|遗憾|难过|對不起|遺憾|難過",
        "wow": "哇|天哪|真的吗|不可思议|真的嗎|不可思議",
        "glad": "高兴|太好了|谢谢|恭喜|太棒了|开心|很荣幸|高興|謝謝|開心",
        "yes": "是的|当然|没错|对的|當然|沒錯",
        "no": "不是|不行|不会",
        "not": "不|没|沒|别|別|无|無|唔|冇",
    },
    "ko": {
        "hello": "안녕하세요|안녕|반갑습니다|어서 오세요|환영합니다",
        "bye": "안녕히 가세요|안녕히 계세요|잘 가요|또 봐요|안녕히 주무세요",
        "sorry": "죄송|미안|유감|안타깝",
        "wow": "와|우와|정말요|세상에|놀랍",
        "glad": "기쁩|기뻐|감사합니다|고마워|축하|좋아요|훌륭|즐거",
        "yes": "네|그럼요|물론|맞아요|맞습니다",
        "no": "아니요|아니에요|아닙니다",
        "not": "안|못|못해|않아|않습|않는|없어|없습|없는|아니",
    },
}  # fmt: skip
"""Of each language (ISO 639) the words that tell of something, divided by |."""

_EXCLAIMED = re.compile(r"[!！]")
_ASKED_ALOUD = re.compile(r"[?？]\s*[!！]|[!！]\s*[?？]")
_SCRIPTS = {"ja", "zh", "ko", "yue"}
"""Languages whose words stand without spaces between them, or grow at their ends."""


_BEGINS = r"(?:^|[,;:—])\W*"
"""Greetings stand alone or first ("I can see you" is none),"""
_OPENS = r"^\W*"
"""and what answers opens the sentence."""
_PLACES: dict[Kind, str] = {"hello": _BEGINS, "bye": _BEGINS, "yes": _OPENS, "no": _OPENS, "wow": _OPENS}


def _sought(word: str, language: str) -> str:
    """How a word is looked for: whole, or where the language is one of _SCRIPTS anywhere, but for Korean syllables
    ("네", yes, begins 네덜란드, the Netherlands)."""
    anywhere = language in _SCRIPTS and not (language == "ko" and len(word) == 1)
    return re.escape(word) if anywhere else rf"(?<!\w){re.escape(word)}(?!\w)"


@cache
def _patterns(language: str) -> Mapping[Kind, re.Pattern[str]]:
    """The words of a language, as they are looked for; empty where it is none of WORDS."""
    found = next((name for name in names(language) if name in WORDS), None)
    made: dict[Kind, re.Pattern[str]] = {}
    for kind, words in WORDS.get(found or "", {}).items():
        listed = sorted(words.split("|"), key=len, reverse=True)
        any_of = "|".join(_sought(word, found or "") for word in listed)
        made[kind] = re.compile(_PLACES.get(kind, "") + f"(?:{any_of})")
    return made


def feeling_of(sentence: str, language: str) -> Feeling | None:
    """What a sentence tells of how it is meant; None = nothing."""
    text = sentence.lower().replace("\u2019", "'")
    patterns = _patterns(language)
    found = {kind: match for kind, pattern in patterns.items() if (match := pattern.search(text)) is not None}
    denied = "not" in found
    mood: Mood | None = None
    if "sorry" in found:
        mood = "concerned"
    elif "wow" in found or _ASKED_ALOUD.search(text):
        mood = "surprised"
    elif found.keys() & {"hello", "bye"}:
        mood = "happy"
    elif "glad" in found:
        mood = None if _denied(patterns, text[: found["glad"].start()], language) else "happy"
    elif _EXCLAIMED.search(text) and not denied:
        mood = "happy"
    gesture = _gesture(found)
    return Feeling(mood, gesture) if mood or gesture else None


def _denied(patterns: Mapping[Kind, re.Pattern[str]], before: str, language: str) -> bool:
    """Whether one of the few words, or characters, before a word takes it back ("not very happy", "不开心")."""
    near = before[-3:] if names(language)[-1] in _SCRIPTS else " ".join(before.split()[-3:])
    return "not" in patterns and patterns["not"].search(near) is not None


def _gesture(found: Mapping[Kind, re.Match[str]]) -> Gesture | None:
    if found.keys() & {"hello", "bye"}:
        return "wave"
    yes, no = (len(found[kind][0]) if kind in found else 0 for kind in ("yes", "no"))
    return ("nod" if yes > no else "shake") if yes or no else None


class Acting:
    """What the face of one agent shows of the reply that is heard."""

    def __init__(self) -> None:
        self.mood: Mood = "neutral"
        """What it shows."""
        self._reply: Reply | None = None
        self._at = 0
        """Where in the reply's text the next sentence begins that has not been looked at."""
        self._marks = 0
        """Marks of the reply that have been shown."""
        self._seen = (-1, -1)
        """Length of the text, and marks, that there were when it was looked at last,"""
        self._wait_ms = 0.0
        """and the position in the sound before which nothing else is to be shown."""
        self._until: int | None = None
        """The clock at which the mood goes; None = not by itself."""
        self._gestured = self._waved = -(1 << 62)
        """The clock at the last gesture, and the last wave, that words have made."""
        self._waves_until = self._made_at = -(1 << 62)
        """The clock at which the hand is down again, and at which the last gesture has been made."""
        self._beat = -(1 << 62)
        """The clock at the last small nod."""
        self._plain: tuple[int, int] | None = None
        """The sentence that is heard, by its characters in the reply, where its words ask for no gesture;"""
        self._beat_ms: float | None = None
        """and the position at which a small nod begins in it, once that is known."""

    def look(self, reply: Reply | None, ms: float, clock: int, language: str) -> list[Feeling]:
        """What is to be shown now.

        Args:
            reply: the one that is heard, and how many `ms` of its sound; None = none is.
            clock: in samples.
        """
        shown: list[Feeling] = []
        if reply is not self._reply:
            self._begin(reply, clock)
        if reply is not None and (ms >= self._wait_ms or self._seen != (len(reply.text), len(reply.marks))):
            self._seen = len(reply.text), len(reply.marks)
            self._wait_ms = self._follow(reply, ms + LEAD_MS, clock, language, shown) - LEAD_MS
        if self._until is not None and clock >= self._until and not shown:
            shown += self._set(Feeling("neutral"))
        for gesture in (feeling.gesture for feeling in shown if feeling.gesture is not None):
            self._waves_until = clock + round(WAVE * RATE) if gesture == "wave" else clock
            self._made_at = clock + round(TAKES[gesture] * RATE)
        if reply is not None and self._plain is not None:
            shown += self._stress(reply, self._plain, ms, clock)
        return shown

    def listen(self, seconds: float, clock: int) -> list[Feeling]:
        """The user has made a pause, and goes on. `seconds`: since he began to speak."""
        return self._nod(clock, LISTEN_EVERY) if seconds >= LISTENED else []

    def _nod(self, clock: int, every: float) -> list[Feeling]:
        if clock < max(self._beat + every * RATE, self._made_at):
            return []
        self._beat = clock
        return [Feeling(gesture="beat")]

    def _stress(self, reply: Reply, sentence: tuple[int, int], ms: float, clock: int) -> list[Feeling]:
        """A small nod, where it is time for it."""
        if self._beat_ms is None:
            begins, ends = map(reply.begins_at, sentence)
            if reply.complete:
                reply.syllables.catch_up()
            elif reply.syllables.until_ms < min(ends, max(ms, begins) + AHEAD_MS):
                return []
            stressed = reply.syllables.stressed(begins, ends, ms + BEAT_MS - LATE_MS)
            self._beat_ms = stressed.ms - BEAT_MS if stressed is not None else float("-inf")
        if ms < self._beat_ms:
            return []
        late, self._plain = ms > self._beat_ms + LATE_MS, None
        return [] if late else self._nod(clock, BEAT_EVERY)

    def cut(self, clock: int) -> list[Feeling]:
        """What was heard was broken off: nothing of it is shown any more. A hand that waves comes down, with the nod
        that takes the gesture's place."""
        self._reply = self._until = self._plain = None
        waves, self._waves_until = clock < self._waves_until, clock
        return self._set(Feeling("neutral", "nod" if waves else None))

    def _begin(self, reply: Reply | None, clock: int) -> None:
        self._reply, self._at, self._marks = reply, 0, 0
        self._seen, self._wait_ms, self._plain = (-1, -1), 0.0, None
        if self.mood != "neutral" and self._until is None:
            self._until = clock + round(LINGER * RATE)

    def _follow(self, reply: Reply, ms: float, clock: int, language: str, shown: list[Feeling]) -> float:
        """Goes through what has begun by `ms`. Returns where the next thing begins."""
        if reply.marks:  # the model says it, and nobody guesses
            self._plain = None
            due, then = Feeling(), float("inf")
            while self._marks < len(reply.marks):
                index, feeling = reply.marks[self._marks]
                if (begins := reply.begins_at(index)) > ms:
                    then = begins
                    break
                self._marks += 1
                due = due.then(feeling)
            shown += self._set(due)
            return then
        while self._at < len(reply.text):
            if (begins := reply.begins_at(self._at)) > ms:
                return begins
            end = sentence_end(reply.text, self._at)
            if end is None and not reply.complete:
                return float("inf")  # until more of it has come
            end = len(reply.text) if end is None else end
            plain = self._guess(reply.text[self._at : end], clock, language, shown)
            self._plain, self._beat_ms = (self._at, end) if plain else None, None
            self._at = end + len(reply.text[end:]) - len(reply.text[end:].lstrip())
        return float("inf")

    def _guess(self, sentence: str, clock: int, language: str, shown: list[Feeling]) -> bool:
        """Returns whether its words ask for no gesture."""
        feeling = feeling_of(sentence, language)
        mood = feeling.mood if feeling is not None else None
        if mood is None and self.mood != "neutral" and self._until is None:
            self._until = clock + round(LINGER * RATE)
        gesture = feeling.gesture if feeling is not None else None
        plain = gesture is None
        if gesture is not None and clock < self._gestured + GESTURE_EVERY * RATE:
            gesture = None
        if gesture == "wave" and clock < self._waved + WAVE_EVERY * RATE:
            gesture = None
        if gesture is not None:
            self._gestured = clock
            self._waved = clock if gesture == "wave" else self._waved
        shown += self._set(Feeling(mood, gesture))
        return plain

    def _set(self, feeling: Feeling) -> list[Feeling]:
        """What of a feeling is news."""
        mood = feeling.mood if feeling.mood != self.mood else None
        if feeling.mood is not None:
            self.mood, self._until = feeling.mood, None
        return [Feeling(mood, feeling.gesture)] if mood or feeling.gesture else []
