"""The engine espeak-ng: a robot's voice, in a hundred languages, for what the others do not speak."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from ...audio import espeak
from ...errors import InvalidArgument
from ..wire import Spoken
from .pieces import pieces

AT_ONCE = 2000
"""Characters that are given to espeak-ng at a time."""
_NAMES = (
    "ava emma jenny aria jane sara nancy amber ana ashley cora elizabeth michelle monica xiaoxiao xiaoyi nanami sunhi "
    "katja denise elvira isabella coral sage shimmer nova marin ballad"
)
_WOMEN = frozenset(_NAMES.split())
_SERVICE = re.compile(r"([a-z]{2,3})-([a-z]{2,4})-(\w+)", re.IGNORECASE)
_ESPEAK = {"zh": "cmn", "en": "en-us", "en-gb": "en", "en-au": "en", "es-mx": "es-419", "es-us": "es-419", "yue": "yue"}


def locale(voice: str, language: str) -> str:
    """The language that a service's voice names, else `language`."""
    found = _SERVICE.match(voice)
    return f"{found[1]}-{found[2]}" if found else language


def service_name(voice: str) -> str:
    """What a service calls the person whose voice it is: "andrew" of en-US-AndrewMultilingualNeural."""
    found = _SERVICE.match(voice)
    return re.sub("(multilingual)?neural.*", "", (found[3] if found else voice).lower())


def is_woman(voice: str) -> bool:
    """Whether a service's voice is known as a woman's."""
    return service_name(voice) in _WOMEN


def espeak_voice(voice: str, language: str) -> str:
    """espeak-ng's voice for the id of any service's (en-US-AndrewMultilingualNeural, alloy), or of its own; a variant
    alone ("+f3") is put on the voice of the language.

    Raises:
        BadState: espeak-ng is not installed. InvalidArgument: it speaks neither the voice's language nor `language`.
    """
    if espeak.known(voice):
        return voice
    variant = voice if voice.startswith("+") else "+f3" if is_woman(voice) else ""
    for one in (locale(voice, language).lower(), language.lower()):
        short = one.partition("-")[0]
        for there, candidate in itertools.product(
            (espeak.named, espeak.known), (_ESPEAK.get(one, one), _ESPEAK.get(short, short))
        ):
            if there(candidate):
                return candidate + variant
    raise InvalidArgument(f"espeak-ng speaks neither the voice {voice!r} nor the language {language!r}; set tts_url")


class Espeak:
    """Speaks with espeak-ng's voices, any thread."""

    def has(self, voice: str) -> bool:
        """There is nothing to load."""
        return True

    def speak(self, voice: str, text: str) -> Iterator[Spoken]:
        """Says `text`; times of words count from its beginning.

        Raises:
            InvalidArgument: no such voice, or nothing to say. BadState: espeak-ng is not installed.
        """
        parts = _parts(text)
        said = 0.0
        for part in parts:
            speech = espeak.speak(part, voice)
            length = len(speech.pcm) / 2 / speech.rate
            starts = [start for start, _, _ in speech.words]
            words = tuple(
                (part[first : first + count], said + start, said + end)
                for (start, first, count), end in zip(speech.words, [*starts[1:], length], strict=False)
            )
            said += length
            yield Spoken(speech.pcm, speech.rate, words, len(parts) == 1)


def _parts(text: str) -> list[str]:
    """As few as may be: espeak-ng knows best how sentences follow one another."""
    if len(text) <= AT_ONCE:
        return [text]
    parts = [""]
    for piece in pieces(text):
        if len(parts[-1]) + len(piece) > AT_ONCE:
            parts.append("")
        parts[-1] += f"{piece} "
    return parts
