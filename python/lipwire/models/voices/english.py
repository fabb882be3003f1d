"""English text as phonemes, by hibari's rules, which are misaki's: those that Kokoro's voices were taught to read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

_SCHEME = re.compile(r"\b(?:https?|ftp)://(?:www\.)?|\bmailto:", re.IGNORECASE)
_DOT = re.compile(r"(?<=[a-z0-9])\.(?=[a-z]{2,})")
"""Within an address or a file's name: "example.com", "node.js"; not "e.g.", nor the end of a sentence."""
_AT = re.compile(r"(?<=[\w.+-])@(?=\w)")
_NUMBERS = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?!\d)")
"""An address or a version, as 127.0.0.1."""
_POWER = re.compile(r"(?<=[^\W\d_])[²³]")
_LONG_NUMBER = re.compile(r"[0-9]{16,}")
"""Longer than numbers have names; it is read digit by digit."""
_MONEY = re.compile(r"([$£€])([\d,]*\d)(?:\.(\d\d))?(?=[,;:)]?\s+[$£€]?\d)")
"""A sum with a number behind it, which the rules would take for money as well: "$5, 3 days"."""
_UNITS = {"$": ("dollars", "cents"), "£": ("pounds", "pence"), "€": ("euros", "cents")}
_SAID = {"Agora": "əɡˈɔɹə", "JSON": "ʤˈAsˌɑn", "Kokoro": "kOkˈOɹO", "Lipwire": "lˈɪpwˌIəɹ", "lipwire": "lˈɪpwˌIəɹ"}
"""Words that the rules get wrong, in misaki's signs."""
_NAMES = re.compile(rf"\b({'|'.join(_SAID)})(['’]s)?\b")


def readable(text: str) -> str:
    """`text` for those rules, which would leave some of it out, spell it out, or fail at it: addresses as one says
    them, numbers in plain digits, and nothing of scripts that English has no sounds for."""
    text = _SCHEME.sub("", text).replace("](", "] (")  # which would say how a word is pronounced, as below
    text = _NUMBERS.sub(lambda match: match[0].replace(".", " dot "), text)
    text = _MONEY.sub(_money, text)
    text = _AT.sub(" at ", _DOT.sub(" dot ", text))
    if not text.isascii():
        text = _POWER.sub(lambda match: " squared" if match[0] == "²" else " cubed", text)
        text = "".join(map(_plain, unicodedata.normalize("NFC", text)))
    text = _LONG_NUMBER.sub(lambda match: " ".join(match[0]), text)
    return _NAMES.sub(lambda match: f"[{match[0]}](/{_SAID[match[1]]}{'z' if match[2] else ''}/)", text)


def _money(match: re.Match[str]) -> str:
    whole, part = _UNITS[match[1]]
    return f"{match[2]} {whole}" + (f" and {int(match[3])} {part}" if match[3] else "")


@cache
def _plain(character: str) -> str:
    """A character as the rules take it: a letter of another script is a space, a raised or circled digit a plain
    one."""
    kind = unicodedata.category(character)
    if kind[0] == "N" and not character.isascii() and character not in "½¼¾":
        return f" {unicodedata.numeric(character):g} "
    if kind[0] == "L" and not unicodedata.name(character, "").startswith(("LATIN", "FEMININE", "MASCULINE")):
        return " "
    return character


class Reader:
    """Reads English text aloud, in phonemes. Takes a third of a second to load.

    Args:
        rules: the package's module g2p.
        british: as it is spoken in Britain; else in America.
    """

    def __init__(self, rules: Any, *, british: bool = False) -> None:
        self._rules = rules.G2P(british=british)
        self._normalize = rules.normalize

    def read(self, text: str, ids: Mapping[str, int]) -> tuple[list[int], list[tuple[str, int, int]]]:
        """The phonemes of a sentence by their numbers, between two zeros; and what is said between two spaces: (text,
        its first phoneme, the one behind it). It is what the rules make of the text: "$5" is "five dollars" there."""
        found: list[int] = [0]
        words: list[tuple[str, int, int]] = []
        begun, first = "", 1
        for token in self._rules.phonemize_tokens(self._rules.tokenize(self._normalize(readable(text)))):
            begun += token.text
            found += [ids[sign] for sign in token.phonemes or "" if sign in ids]
            if token.whitespace:
                words.append((begun, first, len(found)))
                if len(found) > 1:
                    found.append(ids[" "])
                begun, first = "", len(found)
        words.append((begun, first, len(found)))
        return [*found, 0], [(word, begin, end) for word, begin, end in words if end > begin]
