"""What users are told of a failure: a sentence in the agent's language, and nothing of services, hosts or URLs.

What failed and why is for who runs the agent: it goes to the log, and to `Agent.on_event`.
"""

from __future__ import annotations

from typing import Literal

from .brains.base import Failed
from .config import AgentConfig
from .languages import names

Kind = Literal["answer", "hear", "speak", "function", "part"]

_KINDS: dict[str, Kind] = {"STT_ERROR": "hear", "TTS_ERROR": "speak", "TOOL_ERROR": "function"}
"""By `Failed.code`; any other is an answer that does not come."""
_UNTOLD = ("LLM_REFUSED", "STT_FALLBACK", "TTS_FALLBACK", "TURNS_FALLBACK", "AVATAR_ERROR")
"""Those that the reply itself tells the users, or that take nothing from them."""

SENTENCES: dict[str, dict[Kind, str]] = {
    "en": {
        "answer": "Sorry, I cannot answer right now. Please try again in a moment.",
        "hear": "Sorry, I did not catch that. Could you say it again?",
        "speak": "Sorry, my voice failed me for a moment.",
        "function": "Sorry, something I tried to do did not work.",
        "part": "Sorry, a part of that was lost.",
    },
    "ar": {
        "answer": "عذراً، لا أستطيع الإجابة الآن. حاول مرة أخرى بعد قليل.",
        "hear": "عذراً، لم أسمعك جيداً. هل يمكنك أن تعيد ما قلت؟",
        "speak": "عذراً، تعذّر عليّ الكلام للحظة.",
        "function": "عذراً، لم ينجح أمر حاولت القيام به.",
        "part": "عذراً، ضاع جزء مما قيل.",
    },
    "de": {
        "answer": "Entschuldigung, ich kann gerade nicht antworten. Bitte versuchen Sie es gleich noch einmal.",
        "hear": "Entschuldigung, das habe ich nicht verstanden. Können Sie es noch einmal sagen?",
        "speak": "Entschuldigung, meine Stimme hat kurz versagt.",
        "function": "Entschuldigung, etwas, das ich versucht habe, hat nicht geklappt.",
        "part": "Entschuldigung, ein Teil davon ist verloren gegangen.",
    },
    "es": {
        "answer": "Lo siento, ahora mismo no puedo responder. Inténtelo de nuevo en un momento.",
        "hear": "Lo siento, no le he entendido. ¿Puede repetirlo?",
        "speak": "Lo siento, me ha fallado la voz un momento.",
        "function": "Lo siento, algo que he intentado no ha funcionado.",
        "part": "Lo siento, una parte de eso se ha perdido.",
    },
    "fr": {
        "answer": "Désolé, je ne peux pas répondre pour le moment. Réessayez dans un instant.",
        "hear": "Désolé, je n'ai pas compris. Pouvez-vous répéter ?",
        "speak": "Désolé, ma voix m'a fait défaut un instant.",
        "function": "Désolé, quelque chose que j'ai tenté n'a pas fonctionné.",
        "part": "Désolé, une partie s'est perdue.",
    },
    "it": {
        "answer": "Mi dispiace, al momento non posso rispondere. Riprova tra poco.",
        "hear": "Mi dispiace, non ho capito. Puoi ripetere?",
        "speak": "Mi dispiace, la voce mi è mancata per un momento.",
        "function": "Mi dispiace, qualcosa che ho provato a fare non ha funzionato.",
        "part": "Mi dispiace, una parte è andata persa.",
    },
    "ja": {
        "answer": "申し訳ありません、今はお答えできません。少ししてからもう一度お試しください。",
        "hear": "申し訳ありません、聞き取れませんでした。もう一度お願いします。",
        "speak": "申し訳ありません、少しの間、声が出ませんでした。",
        "function": "申し訳ありません、試したことがうまくいきませんでした。",
        "part": "申し訳ありません、一部が失われました。",
    },
    "ko": {
        "answer": "죄송합니다. 지금은 대답할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        "hear": "죄송합니다. 잘 듣지 못했습니다. 다시 말씀해 주시겠어요?",
        "speak": "죄송합니다. 잠시 목소리가 나오지 않았습니다.",
        "function": "죄송합니다. 시도한 일이 잘되지 않았습니다.",
        "part": "죄송합니다. 일부가 사라졌습니다.",
    },
    "nl": {
        "answer": "Sorry, ik kan nu even niet antwoorden. Probeer het zo nog eens.",
        "hear": "Sorry, dat heb ik niet verstaan. Kunt u het nog eens zeggen?",
        "speak": "Sorry, mijn stem viel even weg.",
        "function": "Sorry, iets wat ik probeerde is niet gelukt.",
        "part": "Sorry, een deel daarvan is verloren gegaan.",
    },
    "pl": {
        "answer": "Przepraszam, nie mogę teraz odpowiedzieć. Proszę spróbować za chwilę.",
        "hear": "Przepraszam, nie dosłyszałem. Czy można powtórzyć?",
        "speak": "Przepraszam, na chwilę zabrakło mi głosu.",
        "function": "Przepraszam, coś, czego próbowałem, się nie udało.",
        "part": "Przepraszam, część tego przepadła.",
    },
    "pt": {
        "answer": "Desculpe, não consigo responder agora. Tente de novo daqui a pouco.",
        "hear": "Desculpe, não entendi. Pode repetir?",
        "speak": "Desculpe, a minha voz falhou por um momento.",
        "function": "Desculpe, algo que tentei fazer não funcionou.",
        "part": "Desculpe, uma parte se perdeu.",
    },
    "ru": {
        "answer": "Извините, сейчас я не могу ответить. Попробуйте ещё раз чуть позже.",
        "hear": "Извините, я не расслышал. Повторите, пожалуйста.",
        "speak": "Извините, у меня на мгновение пропал голос.",
        "function": "Извините, кое-что не получилось.",
        "part": "Извините, часть этого потерялась.",
    },
    "tr": {
        "answer": "Üzgünüm, şu anda yanıt veremiyorum. Lütfen biraz sonra yeniden deneyin.",
        "hear": "Üzgünüm, anlayamadım. Tekrar söyler misiniz?",
        "speak": "Üzgünüm, sesim bir an kesildi.",
        "function": "Üzgünüm, denediğim bir şey olmadı.",
        "part": "Üzgünüm, bunun bir kısmı kayboldu.",
    },
    "zh": {
        "answer": "抱歉，我现在无法回答。请稍后再试。",
        "hear": "抱歉，我没有听清。请再说一遍。",
        "speak": "抱歉，我的声音刚才出了点问题。",
        "function": "抱歉，我尝试的操作没有成功。",
        "part": "抱歉，其中一部分丢失了。",
    },
}
"""By language (ISO 639-1). Any other language is answered in English."""


def for_users(failed: Failed, config: AgentConfig) -> str:
    """What users are shown of a failure, and hear where a reply was due; empty = nothing. `llm.failure_message`, where
    there is one, takes the place of our sentence, but for a function's failure and a `minor` one."""
    if failed.code in _UNTOLD:
        return ""
    kind = "part" if failed.minor else _KINDS.get(failed.code, "answer")
    if kind not in ("function", "part") and config.llm.failure_message:
        return config.llm.failure_message
    known = next((one for one in names(config.language) if one in SENTENCES), "en")
    return SENTENCES[known][kind]
