"""Subtitles: what is said when, as WebVTT (https://www.w3.org/TR/webvtt1/) and SubRip."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..errors import BadData, InvalidArgument
from ..text import decode_text

SUFFIXES = (".vtt", ".srt")
LONGEST = 84
"""Characters of a cue: two lines of 42, as broadcasters have them. Of scripts that are twice as wide, half as many."""
SENTENCE_ENDS = ".!?…。！？।؟۔։"
PHRASE_ENDS = ",;:–—，、；：،؛"
ABBREVIATIONS = frozenset({"Mrs", "Prof", "vs", "etc", "Nr", "Inc", "Ltd", "Str", "bzw"})
"""That more often than not do not end a sentence, among those of more than two letters."""
FRAME = 0.02
"""Seconds in which speech is told from pauses,"""
PAUSE = 10 ** (-35 / 20)
"""by its level, as a share of that of the loudest."""
_STOP = re.compile(rf"[{SENTENCE_ENDS}]+[\"'”’»)\]]*(?=\s|$)|[。！？]+|\n\s*\n|$")
_ARROW = re.compile(r"^\s*([\d:.,]+)\s*-->\s*([\d:.,]+)(?:\s.*)?$")
_TAG = re.compile(r"<[^<>]*>")


class Cue(Struct, frozen=True):
    """A subtitle: seconds from the start of the film, and a text of one line."""

    start: float
    end: float
    text: str
    voice: str = ""
    """Who says it, where there are several; SubRip has no place for it."""


def check_subtitles(path: Path) -> None:
    """Raises InvalidArgument: the name is none of a file of subtitles."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"cannot write {path}: end its name in .vtt (WebVTT) or .srt (SubRip)")


def write_cues(cues: Iterable[Cue], suffix: str) -> bytes:
    """The file, UTF-8; `suffix` is one of `SUFFIXES`."""
    vtt = suffix.lower() == ".vtt"
    parts = ["WEBVTT\n"] if vtt else []
    for number, cue in enumerate(cues, 1):
        start, end = (_stamp(at, "." if vtt else ",") for at in (cue.start, cue.end))
        text = html.escape(cue.text, quote=False) if vtt else cue.text
        if vtt and cue.voice:
            text = f"<v {html.escape(' '.join(cue.voice.split()), quote=False)}>{text}"
        head = "" if vtt else f"{number}\n"
        parts.append(f"{head}{start} --> {end}\n{text}\n")
    return "\n".join(parts).encode()


def _stamp(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def read_transcript(path: Path) -> str | list[Cue]:
    """A file of subtitles as its cues, any other one as text without times.

    Raises:
        InvalidArgument: it cannot be read. BadData: there is nothing in it, or it is no text.
    """
    try:
        text = decode_text(path.read_bytes())
    except OSError as exc:
        raise InvalidArgument(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadData(f"{path} is no text in UTF-8, or in UTF-16 with a byte order mark") from exc
    cues = list(_cues(text)) if path.suffix.lower() in SUFFIXES else None
    if not (text.strip() if cues is None else cues):
        raise BadData(f"{path} says nothing")
    return text if cues is None else cues


def _cues(text: str) -> Iterable[Cue]:
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines):
            if (times := _ARROW.match(line)) is not None:
                said = html.unescape(_TAG.sub("", " ".join(lines[number + 1 :])))
                if said.strip():
                    yield Cue(_seconds(times[1]), _seconds(times[2]), " ".join(said.split()))
                break


def _seconds(stamp: str) -> float:
    seconds = 0.0
    try:
        for part in stamp.replace(",", ".").split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError as exc:
        raise BadData(f"{stamp!r} is no time of a subtitle") from exc
    return seconds


def pieces(text: str) -> list[tuple[int, int]]:
    """Where `text` is cut into cues: (first character, end), at the ends of sentences and phrases and between words."""
    found = []
    begin = 0
    for end in [match.end() for match in _STOP.finditer(text) if not _goes_on(text, match)]:
        while _width(text[begin:end].strip()) > LONGEST:
            cut = _cut(text, begin, end)
            found.append((begin, cut))
            begin = cut
        found.append((begin, end))
        begin = end
    return [(a, b) for a, b in found if any(c.isalnum() for c in text[a:b])]


def _goes_on(text: str, stop: re.Match[str]) -> bool:
    """Whether the full stop is that of an abbreviation or a number, as far as it shows."""
    if stop[0] != ".":
        return False
    word = re.search(r"\w*$", text[: stop.start()])
    after = text[stop.end() :].lstrip()[:1]
    short = word is not None and ((word[0].istitle() and len(word[0]) <= 2) or word[0] in ABBREVIATIONS)
    return bool(after) and (short or after.islower() or after.isdecimal())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, begin: int, end: int) -> int:
    """Where a cue that is too long ends: behind a phrase in its second half, behind a word, or anywhere."""
    most = begin
    width = 0
    while most < end and width <= LONGEST:
        width += _width(text[most])
        most += 1
    most -= 1
    while most > begin + 1 and unicodedata.category(text[most])[0] == "M":  # marks stay with their letter
        most -= 1
    for marks, from_ in ((PHRASE_ENDS, (begin + most) // 2), (" \n\t", begin + 1)):
        for at in range(most - 1, from_, -1):
            if text[at] in marks:
                return at + 1
    return max(most, begin + 1)


def cues_of_words(text: str, words: Sequence[tuple[float, int]], duration: float) -> list[Cue]:
    """Cues where it is known when which word is said: `words` are (seconds, its first character), in order. Where none
    is (a voice has no word for dots), each is as long as its share of the characters."""
    parts = pieces(text)
    starts = []
    for begin, end in parts:
        inside = [at for at, first in words if begin <= first < end]
        starts.append(inside[0] if inside else None)
    known = [(start, part) for start, part in zip(starts, parts, strict=True) if start is not None]
    if not known:
        return cues_between(text, 0.0, duration)
    ends = [start for start, _ in known[1:]] + [duration]
    return [Cue(start, end, " ".join(text[a:b].split())) for (start, (a, b)), end in zip(known, ends, strict=True)]


def cues_between(text: str, start: float, end: float) -> list[Cue]:
    """Cues where it is known when all of it is said: each as long as its share of the characters."""
    parts = pieces(text)
    lengths = np.cumsum([0, *(sum(not c.isspace() for c in text[a:b]) for a, b in parts)])
    times = start + (end - start) * lengths / max(1, lengths[-1])
    return [
        Cue(float(begin), float(until), " ".join(text[a:b].split()))
        for (begin, until), (a, b) in zip(pairwise(times), parts, strict=True)
    ]


def cues_of_text(text: str, chunks: Iterable[bytes], rate: int) -> list[Cue]:
    """Cues where that is not known: the text is spread over the speech (PCM16 mono) without its pauses, each piece as
    long as its share of the characters."""
    spoken = _spoken(chunks, rate)
    parts = pieces(text)
    lengths = np.cumsum([0, *(sum(not c.isspace() for c in text[a:b]) for a, b in parts)])
    places = lengths / max(1, lengths[-1]) * (len(spoken) - 1)
    times = np.interp(places, np.arange(len(spoken)), spoken)
    return [
        Cue(float(start), float(end), " ".join(text[a:b].split()))
        for (start, end), (a, b) in zip(pairwise(times), parts, strict=False)
    ]


def _spoken(chunks: Iterable[bytes], rate: int) -> NDArray[np.float64]:
    """When there is speech: the start in seconds of every stretch of `FRAME`, and the end of the last one."""
    size = round(rate * FRAME)
    levels: list[NDArray[np.float64]] = []
    rest = np.zeros(0)
    for chunk in chunks:
        samples = np.concatenate([rest, np.frombuffer(chunk, np.int16).astype(np.float64)])
        whole = len(samples) // size * size
        levels.append(np.sqrt(np.mean(samples[:whole].reshape(-1, size) ** 2, axis=1)))
        rest = samples[whole:]
    level = np.concatenate(levels) if levels else np.zeros(0)
    heard = np.flatnonzero(level >= PAUSE * level.max()) if level.any() else np.arange(len(level))
    times: NDArray[np.float64] = np.append(heard, heard[-1] + 1 if len(heard) else 0) * FRAME
    return times
