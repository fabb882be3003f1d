"""What a speech to text service has answered: its text, its words with times, and whether that is speech at all.

Recognizers answer noise and silence with words that nobody has said: with placeholders ("[BLANK_AUDIO]", "(music)"),
or, whisper and its kin, with what subtitles end with. Whisper says how sure it is that there was speech
(`no_speech_prob`), and its own decoder drops what it holds for silence where its words are unlikely, too
(`no_speech_threshold`, `logprob_threshold`); many servers do not.

No I/O.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import msgspec

from ..brains.base import TimedWord

SILENCE, UNLIKELY = 0.6, -1.0
"""Whisper's thresholds: `no_speech_prob` from which, with an `avg_logprob` up to which, a segment is no speech."""
SURE_SILENCE, DOUBTFUL = 0.9, -0.6
"""The same for what is most likely silence."""
ALONE_SILENCE = 0.8
"""`no_speech_prob` that is enough where nothing says how likely the words are."""

ENDING_SILENCE = 0.5
"""The same for what subtitles end with."""

LARGEST = 1e9
"""Beyond it a number is no time in seconds, and no measure."""

_NOTES = "♪♫♬♩🎵🎶"
_TAG = re.compile(r"<\|[^|<>]*\|>")
_ANGLED = r"</?[^\W\d_][^<>]*>"
_ASIDE = re.compile(
    r"\[[^\[\]]*\]|［[^［］]*］|\([^()]*\)|（[^（）]*）|\{[^{}]*\}|【[^【】]*】|〈[^〈〉]*〉|《[^《》]*》|\*[^*]+\*|"
    + _ANGLED
    + r"|[\[(（［【][^\[\](（）)［］【】]*$"
)
"""What stands in brackets of one kind; the last may be cut off."""
_SONG = re.compile(rf"[{_NOTES}][^{_NOTES}]*(?:[{_NOTES}]+|$)")
_NOTE = re.compile(rf"\[[^\[\]]*\]|【[^【】]*】|{_ANGLED}|[{_NOTES}]+")
"""What is no speech where speech stands beside it."""
_PLACEHOLDERS = frozenset(
    ("blank audio", "blankaudio", "no speech", "nospeech", "no speech detected", "no audio", "silence detected", "unk")
)
_SOUNDS = re.compile(
    r"(?:^| )(?:"
    "musi[ck]|musiq|músi[ck]|muzi|muzyk|müzik|музык|музик|μουσικ|hudb|zene$|nhạc|âm nhạc|संगीत|موسيق|מוזיקה|מוסיקה|"
    "song$|songs$|melod|piano|guitar|drum|jingle|instrumental|singing$|sings$|"
    "appla?u[sz]|aplau|clap(?:s|ping)?$|cheer(?:s|ing)|аплодис|оплески|alkış|oklask|potlesk|تصفيق|तालिय|vỗ tay|"
    "laugh|chuckl|giggl|snicker|lach[et]|gelächter|gelach|risas?$|ríen?$|rires?$|risat|risos?$|смех|сме[её]тся|сміх|"
    "śmiech|smích|skratt|gülm|gülüş|kahkaha|ضحك|हंसी|cười|tawa$|"
    "silen|silên|stille$|schweigen$|тишин|тиша|cisza|ticho|tystnad|sessizlik|صمت|मौन|im lặng|pause$|"
    "noise|noisy|geräusch|rauschen|ruid|ruíd|bruit|rumor[ei]$|шум|szum|hałas|lärm|gürültü|ضوضاء|शोर|static$|buzz|"
    "cough|hust[eu]|toux$|tousse|tosse|tosiendo|кашл|kaszel|sneez|sniff|sigh|seufz|suspir|soupir|sospir|вздох|вздыха|"
    "gasp|groan|grunt|moan|breath|inhal|exhal|yawn|sob(?:s|bing)$|cries$|crying|weep|scream|shouting|whistl|hum(?:s|ming)$|"
    "throat|footstep|knock(?:s|ing)|beep|bleep|click(?:s|ing)|typing|ring(?:s|ing)$|bell$|bells$|thunder|siren|"
    "bark(?:s|ing)|chirp|door [^ ]+(?:s|ing)$|wind (?:blow|howl)|chatter|crosstalk|crowd|background|sound effect|"
    "sounds? of|inaudible|indistinct|unintelligible|mumbl|murmur|unverständlich|неразборчиво|inintelligible|"
    "foreign|speaks? |speaking|fremdsprache|idioma extranjero|langue étrangère"
    ")|"
    "音乐|音樂|音楽|歌声|歌聲|음악|노래|ดนตรี|เพลง|掌声|掌聲|鼓掌|拍手|박수|ปรบมือ|笑い?声|笑聲|大笑|^笑い?$|웃음|หัวเราะ|"
    "沈黙|沉默|无声|無声|無音|静音|靜音|침묵|무음|เงียบ|噪音|雑音|物音|소음|잡음|咳|기침|ため息|叹气|嘆氣|한숨|听不清|聽不清|"
    "聞き取れ|外国語|外语|外語"
)
"""How notes of sounds begin a word, as `_plain` has them; in scripts without spaces, what is in them."""
_SENTENCE = re.compile(r"[.!?。！？؟।…]")
LONGEST_NOTE = 6
"""Words in a note of a sound."""
_SUBTITLES = re.compile(
    r"amara ?org|opensubtitles ?org|dimatorzok|zeoranger|字幕(由|by)|"
    r"untertitel(ung)? (im auftrag )?des (zdf|wdr|ndr|swr)"
)
"""Who made the subtitles that a recognizer has learned from: nobody says that to an agent."""
_ENDINGS = frozenset(
    " ".join(
        (
            "thank you for watching / thanks for watching / thank you so much for watching / please subscribe /",
            "thank you very much for watching / thanks for watching and see you next time /",
            "see you in the next video / like and subscribe / please like and subscribe /",
            "dont forget to subscribe / see you next time /",
            "please subscribe to my channel / thanks for listening / thank you for listening / ill see you next time /",
            "gracias por ver el video / gracias por ver / gracias por su atención / suscríbete al canal / suscríbete /",
            "no olvides suscribirte / merci davoir regardé cette vidéo / merci davoir regardé / abonnezvous /",
            "sous titrage st 501 / soustitrage st 501 / vielen dank fürs zuschauen / danke fürs zuschauen /",
            "vielen dank für ihre aufmerksamkeit / bis zum nächsten mal / obrigado por assistir /",
            "obrigada por assistir / inscrevase no canal / grazie per la visione / grazie per aver guardato il video /",
            "iscriviti al canale / bedankt voor het kijken / dziękuję za oglądanie / dzięki za oglądanie /",
            "спасибо за просмотр / продолжение следует / подписывайтесь на канал / дякую за перегляд /",
            "izlediğiniz için teşekkür ederim / izlediğiniz için teşekkürler / ご視聴ありがとうございました /",
            "ご視聴いただきありがとうございます / ご清聴ありがとうございました / チャンネル登録お願いします /",
            "谢谢观看 / 感谢观看 / 谢谢大家 / 謝謝觀看 / 感謝觀看 / 謝謝收看 / 谢谢收看 / 請訂閱 / 请订阅 /",
            "请不吝点赞订阅转发打赏支持明镜与点点栏目 / 請不吝點贊訂閱轉發打賞支持明鏡與點點欄目 /",
            "시청해주셔서 감사합니다 / 시청해 주셔서 감사합니다 / 구독과 좋아요 부탁드립니다 / شكرا على المشاهدة /",
            "شكرا للمشاهدة / اشتركوا في القناة / देखने के लिए धन्यवाद / cảm ơn các bạn đã theo dõi /",
            "terima kasih telah menonton / tack för att du tittade / ขอบคุณที่รับชม / mulțumesc pentru vizionare /",
            "děkuji za sledování",
        )
    ).split(" / ")
)
"""What subtitles end with, as `_plain` has it: whisper's words for silence. Somebody may say it all the same."""
_COURTESIES = frozenset(
    ("thank you", "thanks", "thank you very much", "thank you so much", "you", "bye", "bye bye", "okay", "so", "the")
)
"""Short words that it hears in silence, too, and people say often."""


class NoTranscription(ValueError):
    """What was answered is none."""


def read(body: bytes, content_type: str = "") -> tuple[str, tuple[TimedWord, ...]]:
    """The text of an answer, "" where it is no speech, and those of its words whose times are known.

    Args:
        body: JSON with `text`, or the text itself.

    Raises:
        NoTranscription: it is neither.
    """
    value = _value(body, content_type)
    if isinstance(value, str):
        return speech_in(value), ()
    if not isinstance(value, dict):
        raise NoTranscription
    text = next((value[name] for name in ("text", "transcript", "transcription") if name in value), 0)
    if text is not None and not isinstance(text, str):
        raise NoTranscription
    segments = [one for one in _list(value.get("segments")) if isinstance(one, dict)] or [value]
    whole = _plain(text or "")
    heard, silent = list[dict[str, Any]](), list[dict[str, Any]]()
    for one in segments:
        (silent if _is_silence(one, whole) else heard).append(one)
    if not heard:
        return "", ()
    if silent and all(isinstance(one.get("text"), str) for one in heard):
        text = "".join(one["text"] for one in heard)
    spoken = speech_in(text or "")
    words = _words(_list(value.get("words")) or [word for one in heard for word in _list(one.get("words"))])
    within = _within(silent)
    return spoken, tuple(word for word in words if not within(word)) if spoken else ()


def _value(body: bytes, content_type: str) -> Any:
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        if content_type.startswith(("application/json", "text/html")) or text[:1] in ("{", "["):
            is_note = text.startswith("[") and not content_type.startswith("application/json")
            if not is_note:  # "[BLANK_AUDIO]" as plain text
                raise NoTranscription from None
        if text[:1] == "<" and re.match(r"<(!doctype|html|\?xml)", text, re.IGNORECASE):
            raise NoTranscription from None
        return text


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """None = it is none, or none of sound."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < LARGEST else None


# ------------------------------------------------------------------------------------------------------------ words


def _words(given: list[Any]) -> list[TimedWord]:
    """Words with times in seconds, by whatever name; one without an end lasts until the next one."""
    found: list[tuple[str, float, float | None]] = []
    for one in given:
        if isinstance(one, dict):
            text = next(
                (one[name] for name in ("word", "text", "punctuated_word") if isinstance(one.get(name), str)), ""
            )
            start = _number(one.get("start"))
            if text.strip() and start is not None and start >= 0:
                found.append((text.strip(), start, _number(one.get("end"))))
    words = []
    for number, (text, start, end) in enumerate(found):
        following = found[number + 1][1] if number + 1 < len(found) else start
        until = following if end is None else end
        words.append(TimedWord(text, round(start * 1000), max(round((until - start) * 1000), 0)))
    return words


def _within(segments: list[dict[str, Any]]) -> Callable[[TimedWord], bool]:
    """What says whether a word begins in one of them."""
    spans = [(_number(one.get("start")), _number(one.get("end"))) for one in segments]
    starts, ends = list[float](), list[float]()
    for start, end in sorted((start, end) for start, end in spans if start is not None and end is not None):
        if ends and start * 1000 <= ends[-1]:
            ends[-1] = max(ends[-1], end * 1000)
        elif start < end:
            starts.append(start * 1000)
            ends.append(end * 1000)

    def within(word: TimedWord) -> bool:
        last = bisect_right(starts, word.start_ms) - 1
        return last >= 0 and word.start_ms < ends[last]

    return within


# ----------------------------------------------------------------------------------------------------------- silence


def _plain(text: str) -> str:
    """Small letters, without marks."""
    kept = "".join(one if one.isalnum() or one.isspace() or _is_mark(one) else "" for one in text.casefold())
    return " ".join(kept.split())


def _is_mark(one: str) -> bool:
    """A vowel sign of an Indic or Thai script, or an accent that stands by itself: part of a word, and no letter."""
    return re.match(r"\w", one) is not None or "\u0300" <= one <= "\u036f" or "\u0900" <= one <= "\u0e7f"


def _is_silence(segment: dict[str, Any], whole: str) -> bool:
    """Whether a segment is no speech by what its recognizer thinks of it. `whole`: what all of them say, `_plain`."""
    silence, likely = _number(segment.get("no_speech_prob")), _number(segment.get("avg_logprob"))
    if silence is None:
        return False
    said = segment.get("text")
    plain = _plain(said) if isinstance(said, str) else whole
    if likely is None or plain in _ENDINGS or plain in _COURTESIES:
        return silence >= (ENDING_SILENCE if plain in _ENDINGS else ALONE_SILENCE)
    return (silence >= SILENCE and likely <= UNLIKELY) or (silence >= SURE_SILENCE and likely <= DOUBTFUL)


def _is_note(aside: str) -> bool:
    """Whether what stands in brackets is a recognizer's note of a sound, and not what somebody has said."""
    inside = aside.strip("[](){}<>［］（）【】〈〉《》*")
    plain = _plain(inside.replace("_", " "))
    if "_" in inside or not _can_be_heard(plain) or plain in _PLACEHOLDERS:
        return True
    count = len(plain.split())
    if count > LONGEST_NOTE or (count > 1 and _SENTENCE.search(inside)):
        return False
    return all(_SOUNDS.search(_plain(part)) for part in re.split("[,;/、，]", inside))


def speech_in(text: str) -> str:
    """What of a transcript is speech: without the notes that recognizers put between it ("[music] Hello." -> "Hello."),
    and "" where nothing but notes, marks and placeholders is there ("(music)", "♪", "...", "<|nospeech|>"). What is all
    in brackets, and is no note of a sound, was said ("(Yes, please.)")."""
    text = _ASIDE.sub(lambda match: " " if _is_note(match[0]) else match[0], _TAG.sub(" ", text))
    plain = _plain(_SONG.sub(" ", text).replace("_", " "))
    if not _can_be_heard(plain) or plain in _PLACEHOLDERS or _SUBTITLES.search(plain):
        return ""
    spoken = _NOTE.sub(" ", text)
    return " ".join((spoken if _can_be_heard(spoken) else text).split())


def _can_be_heard(text: str) -> bool:
    return any(one.isalnum() for one in text)


def likely_said(text: str, no_speech: float) -> str:
    """What of a text is speech, where its recognizer, a whisper, has left out what it held for silence: the words that
    it hears in silence, too, are nobody's where `no_speech` (0 to 1) is high."""
    segment = {"text": text, "no_speech_prob": no_speech, "avg_logprob": 0.0}
    return "" if _is_silence(segment, "") else speech_in(text)
