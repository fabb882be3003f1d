"""Which voice speaks: the one that was asked for, else that of the face, else espeak-ng's for the language."""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec import Struct

from ...audio import espeak
from ...avatar import Voice
from ...errors import InvalidArgument, LipwireError
from .catalogue import check, missing, resolved
from .espeak import espeak_voice, is_woman, locale, service_name
from .names import Name, parse

logger = logging.getLogger("lipwire.voices")

DEFAULT = "hibari:heart"
"""Who speaks for nobody's face."""


class Chosen(Struct, frozen=True):
    """The voice that speaks."""

    name: Name
    instead: str = ""
    """Where it is not the one that should: which that is, and why it does not speak."""


def choose(
    asked: str | None, face: Voice, language: str = "en-US", folder: str | Path | None = None, *, like: bool = False
) -> Chosen:
    """The voice that speaks.

    Args:
        asked: the name that somebody gave; None or "" = nobody did, and it is that of the `face`.
        language: of what is said, BCP 47, where the voice does not say it.
        folder: where the user's voices are.
        like: a name that is none of this machine's is a service's (alloy, en-US-AvaNeural), and who is like that speaks
            here; else it is refused.

    Raises:
        InvalidArgument: what was asked for cannot be had, or speaks another language; or nobody speaks the language.
        BadState: nothing that speaks is installed.
    """
    folder = None if folder is None else Path(folder)
    if not asked:
        return _of_face(face, language, folder)
    name = parse(asked)
    if name is None:
        return Chosen(_like(asked, language) if like else resolved(Name("espeak", asked)))
    if name.engine == "hibari" and not english(language):
        raise InvalidArgument(f"the voice {name} speaks English, and the language is {language}: name another voice")
    return Chosen(resolved(name, folder))


def english(language: str) -> bool:
    """Whether a language is one that hibari speaks."""
    return language.lower().partition("-")[0] == "en"


def _of_face(face: Voice, language: str, folder: Path | None) -> Chosen:
    instead = ""
    offline = DEFAULT if face == Voice() else face.offline
    if offline and (name := parse(offline)) is not None:
        if name.engine == "hibari" and not english(language):
            pass  # it is a voice for English: espeak-ng has a like one for the language
        elif not _is_ours(name):  # an avatar's maker asked for it
            return Chosen(resolved(name, folder))
        else:
            try:
                check(name)
                return Chosen(name)
            except LipwireError as exc:
                instead = f"{name}: {exc}"
    named = espeak_voice(face.espeak or face.service or "", language)
    if instead:
        tell(f"espeak-ng's {named} speaks in place of {instead}")
    return Chosen(Name("espeak", named), instead)


def _is_ours(name: Name) -> bool:
    """Whether it is the voice that built-in avatars have, or one made of it, which is only a default."""
    return str(name).partition("+")[0] == DEFAULT


def _like(voice: str, language: str) -> Name:
    """The voice of this machine that is most like a service's, or espeak-ng's own where it has one of that name."""
    ours = Name("hibari", "heart" if is_woman(voice) else "heart+man")
    if espeak.available() and espeak.known(voice):
        return Name("espeak", voice)
    if english(locale(voice, language)) and service_name(voice).isalpha() and not missing(ours):
        return ours
    return Name("espeak", espeak_voice(voice, language))


_told: set[str] = set()


def tell(line: str) -> None:
    """Logs it, once."""
    if line not in _told:
        _told.add(line)
        logger.warning("%s", line)


def speaks_here() -> bool:
    """Whether any voice is installed: one for English, or espeak-ng for all languages."""
    if espeak.available():
        return True
    try:
        check(Name("hibari", "heart"))
    except LipwireError:
        return False
    return True
