"""The tokens of a whisper model: what they are as text, which words they make, which languages it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from ...errors import ModelFailed

FILES = ("vocabulary.json", "vocabulary.txt")
"""Either; a token each, in the order of their numbers."""
TIMESTAMP_SECONDS = 0.02
"""From one timestamp token to the next."""

_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_SPECIAL = re.compile(r"<\|.*\|>")
_OTHER_NAMES = {"nb": "no", "fil": "tl", "iw": "he", "in": "id", "ji": "yi", "jv": "jw", "cmn": "zh", "mo": "ro"}
"""What whisper calls otherwise than BCP 47 does, or by the older name."""
_UNSPACED = frozenset(("zh", "yue", "ja", "th", "lo", "my", "km", "bo"))
"""Languages in whose script no space parts words."""

_KNOWN = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml",
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am",
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su",
)
LANGUAGES = tuple(language for line in _KNOWN for language in line.split())
"""Those of the multilingual models."""


def language_of(tag: str) -> str:
    """What whisper calls the language of a BCP 47 tag, whether it knows it or not."""
    primary = re.split(r"[-_]", tag, maxsplit=1)[0].lower()
    return _OTHER_NAMES.get(primary, primary)


def spaced(language: str) -> bool:
    """Whether a space parts the words of a language (whisper's name)."""
    return language not in _UNSPACED


@cache
def _bytes() -> dict[str, int]:
    """Characters of tokens -> bytes. GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the others, in
    order, for the characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(0x100) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


class Vocabulary:
    """The tokens of the model in `folder`. Raises ModelFailed: they are not there, or are no whisper's."""

    def __init__(self, folder: Path) -> None:
        self.tokens = _read(folder)
        numbers = {token: number for number, token in enumerate(self.tokens)}
        try:
            self.first_time = numbers["<|0.00|>"]
            start = numbers["<|startoftranscript|>"]
            end = numbers["<|endoftext|>"]
        except KeyError as exc:
            raise ModelFailed(f"{folder} is no whisper model: its vocabulary lacks {exc}") from None
        self.start = start
        self.before = numbers.get("<|startofprev|>")
        """What is behind it was said before; None in a model that has no such token."""
        self._specials = min(start, end)
        self._numbers = {token: number for token, number in numbers.items() if number < self._specials}
        self._longest = max(map(len, self._numbers))
        found = (_LANGUAGE.fullmatch(token) for token in self.tokens[start + 1 : self.first_time])
        self.languages = tuple(match[1] for match in found if match)

    def number(self, token: str) -> int:
        return self.tokens.index(token, self._specials)

    def numbers(self, text: str) -> list[int]:
        """A text as tokens, the longest that fit first: not always those of whisper's tokenizer, but such as say the
        same."""
        names = {byte: name for name, byte in _bytes().items()}
        left, found = "".join(names[byte] for byte in text.encode()), []
        while left:
            size = next((n for n in range(min(self._longest, len(left)), 0, -1) if left[:n] in self._numbers), 0)
            if size:
                found.append(self._numbers[left[:size]])
            left = left[max(size, 1) :]
        return found

    def is_text(self, number: int) -> bool:
        return number < self._specials

    def seconds(self, number: int) -> float | None:
        """The time that a token stands for; None where it stands for none."""
        return (number - self.first_time) * TIMESTAMP_SECONDS if number >= self.first_time else None

    def text(self, numbers: Iterable[int]) -> str:
        """Without what is no text, and without characters that are not whole."""
        alphabet = _bytes()
        raw = b"".join(
            bytes(alphabet[one] for one in self.tokens[number]) for number in numbers if self.is_text(number)
        )
        return raw.decode("utf-8", "replace").replace("\ufffd", "")

    def words(self, numbers: Sequence[int], language: str) -> list[tuple[str, int, int]]:
        """(word with its marks, first token, token behind its last) of tokens that are text, by their places."""
        found: list[tuple[str, int, int]] = []
        begin = 0
        for place in range(1, len(numbers) + 1):
            word = self.text(numbers[begin:place])
            last = place == len(numbers)
            if not last and (not word or self._goes_on(numbers, begin, place, language)):
                continue
            stripped = word.strip()
            if found and not any(one.isalnum() for one in stripped):  # a mark belongs to the word in front of it
                text, first, _ = found.pop()
                found.append((text + stripped, first, place))
            elif stripped:
                found.append((stripped, begin, place))
            begin = place
        return found

    def _goes_on(self, numbers: Sequence[int], begin: int, place: int, language: str) -> bool:
        """Whether the token at `place` belongs to the word that began at `begin`."""
        if spaced(language):
            return not self.tokens[numbers[place]].startswith("\u0120")  # a space, in GPT-2's alphabet
        raw = b"".join(bytes(_bytes()[one] for one in self.tokens[number]) for number in numbers[begin:place])
        return raw.decode("utf-8", "replace").endswith("\ufffd")


def _read(folder: Path) -> list[str]:
    for name in FILES:
        path = folder / name
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ModelFailed(f"{path} cannot be read: {exc.strerror}") from exc
        try:
            tokens = msgspec.json.decode(raw, type=list[str]) if path.suffix == ".json" else _lines(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ModelFailed(f"{path} is damaged: {exc}") from exc
        alphabet = _bytes()
        if bad := next(
            (one for one in tokens if not _SPECIAL.fullmatch(one) and not alphabet.keys() >= set(one)), None
        ):
            raise ModelFailed(f"{path} is no whisper's vocabulary: {bad!r} is no token of it")
        return tokens
    raise ModelFailed(f"{folder} has neither {' nor '.join(FILES)}: it is no whisper model of CTranslate2's")


def _lines(raw: bytes) -> list[str]:
    return raw.decode("utf-8").removesuffix("\n").split("\n")
