"""Whisper through CTranslate2, cut to the utterance.

The encoder takes less than the 30 s that it was trained with, which is what makes it quick; then it wants some silence
behind the sound, and not too little of both (`TAIL`, `SHORTEST`: with less it says things twice). Timestamp tokens end
what it says where the sound ends. bench/agents_hearing.py has the figures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from ...errors import InvalidArgument, ModelFailed
from ..wire import Heard, Word
from .mel import HOP, RATE, Features, log_mel
from .vocabulary import Vocabulary, language_of, spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL = 2.5
"""Seconds of silence behind the sound; with 1 s one sentence in ten is said again and again."""
SHORTEST = 9.0
"""Seconds of both, at least; with 5 s one short word in ten is said twice."""
LONGEST = 27.0
"""Seconds of sound that are heard at once; 30 are the most that the encoder takes."""
CUT_FROM = 15.0
"""Seconds from which longer sound may be cut in two."""
PAUSE = 0.3
"""Seconds over which the softest place is looked for."""
TOKENS, TOKENS_A_SECOND = 12, 14
"""How many tokens sound may make: scripts of three bytes a character need most."""
FASTEST = 3.5
"""Words a second of people who say one thing twice."""
REPETITIVE = 2.4
"""How much smaller zlib makes a text that says one thing again and again (whisper's `compression_ratio_threshold`)."""
SECOND_SHORTEST, SECOND_SAME_TOKENS = 15.0, 3
"""How it is tried again where it repeats itself: with more silence, and so many tokens in the same order only once. At
first they may come again, because people do repeat words."""
UNLIKELY, SILENT = 0.56, 1.45
"""Nobody spoke where no_speech - UNLIKELY * (mean logarithm of the tokens' probabilities) is more than SILENT. 270
recordings of single words and 150 of sentences, clean, softer and in noise, stay below it, but for 4 with base; noises,
knocks, coughs, typing and tones, 90, exceed it, but for 3 coughs with base."""
MOST_EXPECTED = 200
"""Tokens of the words that are expected: what is before the text may have 223."""
FAINT = 8
"""Steps of 16 bits that silence does not exceed."""
QUIET = 35.0
"""dB under the loudest 10 ms, beneath which no word begins or ends."""
FRAME = 0.02
"""Seconds of a frame of the encoder's."""


class _Said(Struct, frozen=True):
    """A decoder's answer."""

    tokens: list[int]
    """Text of what began within the sound."""
    text: str
    likely: float
    no_speech: float
    suspicious: bool
    """It repeats itself, or did not come to an end."""
    encoded: Any
    """The sound, as the encoder left it."""


class Whisper:
    """A model in a folder: any of faster-whisper's or CTranslate2's, of 80 or 128 mel bands.

    Args:
        threads: for one utterance.

    Raises:
        ModelFailed: it is none, is damaged, or CTranslate2 is not installed.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise ModelFailed(f"{folder} is no folder: the hearing model is one, with model.bin and a vocabulary")
        if not (folder / "model.bin").is_file():
            raise ModelFailed(f"{folder} has no model.bin: it is no whisper model of CTranslate2's")
        self._vocabulary = Vocabulary(folder)
        try:
            from ctranslate2 import StorageView
            from ctranslate2.models import Whisper as Model
        except ImportError as exc:
            raise ModelFailed(
                f"hearing with whisper needs ctranslate2 ({exc}): pip install 'lipwire[offline]'"
            ) from exc
        try:
            self._model = Model(str(folder), compute_type="int8", intra_threads=threads, inter_threads=1)
        except (RuntimeError, ValueError) as exc:
            raise ModelFailed(f"the model in {folder} does not load: {exc}") from exc
        self._view = StorageView.from_array
        self.languages: tuple[str, ...] = self._vocabulary.languages if self._model.is_multilingual else ("en",)
        """That it knows, by whisper's names."""

    def language(self, tag: str) -> str:
        """Its name for a language. Raises InvalidArgument: it does not know it."""
        language = language_of(tag)
        if language not in self.languages:
            known = ", ".join(self.languages)
            raise InvalidArgument(
                f"the hearing model {self.folder.name} does not know the language {tag!r}, but {known}"
            )
        return language

    def transcribe(
        self, pcm: bytes, language: str, *, words: bool, partial: bool, expected: Sequence[str] = ()
    ) -> Heard:
        """What is said in PCM16 mono at 16 kHz; "" where nobody speaks.

        Args:
            language: a BCP 47 tag.
            words: with their times.
            partial: the sound goes on; then it is not tried a second time.
            expected: words that may be said, the weightiest first; of very many the last count for nothing.

        Raises:
            InvalidArgument: it does not know the language.
        """
        name = self.language(language)
        before = self._before(expected)
        heard = [self._piece(piece, name, before, words=words, partial=partial) for piece in pieces(pcm)]
        return joined(list(zip(heard, starts(pcm), strict=True)), name)

    def _before(self, expected: Sequence[str]) -> list[int]:
        """What stands before the text for the decoder, as if it had been said before: the words that are expected."""
        v = self._vocabulary
        found: list[int] = []
        for word in filter(None, map(str.strip, expected)):
            more = v.numbers(f", {word}" if found else f" {word}")
            if len(found) + len(more) > MOST_EXPECTED:
                break
            found += more
        return [v.before, *found, *v.numbers(".")] if found and v.before is not None else []

    def _piece(self, pcm: bytes, language: str, before: list[int], *, words: bool, partial: bool) -> Heard:
        """Of LONGEST at most."""
        whole = np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16)
        if not len(whole) or int(np.abs(whole.astype(np.int32)).max()) <= FAINT:
            return Heard("", no_speech=1.0, language=language)
        samples = whole.astype(np.float32) / 32768.0
        said = self._say(samples, language, SHORTEST, before)
        if said.suspicious and not partial:
            again = self._say(samples, language, SECOND_SHORTEST, [], SECOND_SAME_TOKENS)
            said = again if not again.suspicious or again.likely > said.likely else said
        if not said.text or said.no_speech - UNLIKELY * said.likely > SILENT or repetitive(said.text):
            return Heard("", no_speech=max(said.no_speech, 0.5), language=language)
        times = self._times(said, language, samples) if words else ()
        return Heard(said.text, times, said.no_speech, language)

    def _prompt(self, language: str) -> list[int]:
        v = self._vocabulary
        if not self._model.is_multilingual:
            return [v.start]
        return [v.start, v.number(f"<|{language}|>"), v.number("<|transcribe|>")]

    def _say(
        self, samples: NDArray[np.float32], language: str, shortest: float, before: list[int], same_tokens: int = 0
    ) -> _Said:
        seconds = len(samples) / RATE
        most = min(TOKENS + int(TOKENS_A_SECOND * seconds), 224)
        encoded = self._model.encode(self._view(self._features(samples, shortest)[None]))
        result = self._model.generate(
            encoded,
            [before + self._prompt(language)],
            beam_size=1,
            no_repeat_ngram_size=same_tokens,
            max_length=most + len(before),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        numbers = result.sequences_ids[0]
        tokens = list(self._within(numbers, seconds))
        text = self._vocabulary.text(tokens).strip()
        suspicious = len(numbers) >= most or repetitive(text) or doubled(text, seconds)
        return _Said(tokens, text, float(result.scores[0]), float(result.no_speech_prob), suspicious, encoded)

    def _features(self, samples: NDArray[np.float32], shortest: float) -> Features:
        length = max(len(samples) + int(TAIL * RATE), int(shortest * RATE))
        length -= length % (2 * HOP)  # the encoder halves the columns
        padded = np.zeros(length, np.float32)
        padded[: min(len(samples), length)] = samples[:length]
        return log_mel(padded, self._model.n_mels)

    def _within(self, numbers: Sequence[int], seconds: float) -> Iterator[int]:
        """The text of segments that begin before the sound ends; what follows is made up."""
        kept = True
        for number in numbers:
            time = self._vocabulary.seconds(number)
            if time is not None:
                kept = time < max(seconds - 0.1, 0.1)
            elif kept and self._vocabulary.is_text(number):
                yield number

    def _times(self, said: _Said, language: str, samples: NDArray[np.float32]) -> tuple[Word, ...]:
        """When each word is said: by where the decoder looks while it says it, less the silence there."""
        columns = len(samples) // HOP
        if not said.tokens or columns < 2:
            return ()
        aligned = self._model.align(said.encoded, self._prompt(language), [said.tokens], columns)[0]
        begins = np.full(len(said.tokens) + 1, -1.0)
        for token, frame in aligned.alignments:
            if token < len(begins) and begins[token] < 0:
                begins[token] = frame * FRAME
        end = len(samples) / RATE
        begins = np.minimum(np.maximum.accumulate(np.where(begins < 0, 0.0, begins)), end)
        if begins[-1] <= begins[-2]:
            begins[-1] = end
        sound = _loud(samples)
        found = self._vocabulary.words(said.tokens, language)
        return tuple((word, *_less_silence(begins[first], begins[behind], sound)) for word, first, behind in found)


def _loud(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each 10 ms are within QUIET dB of the loudest."""
    power = np.square(samples[: len(samples) // HOP * HOP].reshape(-1, HOP)).sum(axis=1)
    return np.asarray(power > power.max() * 10.0 ** (-QUIET / 10.0), bool)


def _less_silence(start: float, end: float, loud: NDArray[np.bool_]) -> tuple[float, float]:
    """What of a span is from its first loud frame to its last."""
    first = int(start * 100)
    found = np.flatnonzero(loud[first : int(end * 100)])
    if not len(found):
        return float(start), float(end)
    return max(float(start), (first + int(found[0])) / 100), min(float(end), (first + int(found[-1]) + 1) / 100)


def repetitive(text: str) -> bool:
    """Whether it says one thing again and again."""
    raw = text.encode()
    return len(raw) > 40 and len(raw) / len(zlib.compress(raw)) > REPETITIVE


def doubled(text: str, seconds: float) -> bool:
    """Whether it says one thing twice, faster than people speak: what was said once, and was written again over the
    silence behind it."""
    words = text.lower().split()
    half = len(words) // 2
    return half >= 3 and words[:half] == words[half:] and len(words) > FASTEST * seconds


def piece(pcm: bytes | bytearray) -> int:
    """Bytes of what is to be heard first: all of it up to LONGEST, else up to the softest place of its second half."""
    if len(pcm) <= int(LONGEST * RATE) * 2:
        return len(pcm)
    start, hop = int(CUT_FROM * RATE), RATE // 100
    part = np.frombuffer(pcm, np.int16, int(LONGEST * RATE) - start, start * 2).astype(np.float64)
    power = np.square(part[: len(part) // hop * hop]).reshape(-1, hop).sum(axis=1)
    width = int(PAUSE * 100)
    total = np.concatenate([[0.0], power.cumsum()])
    softest = int((total[width:] - total[:-width]).argmin())
    return (start + (softest + width // 2) * hop) * 2


def pieces(pcm: bytes) -> Iterator[bytes]:
    """Sound, cut where it is softest into pieces that are heard at once."""
    while pcm:
        end = piece(pcm)
        yield pcm[:end]
        pcm = pcm[end:]


def starts(pcm: bytes) -> Iterator[float]:
    """When each of `pieces` begins, in seconds."""
    at = 0
    for one in pieces(pcm):
        yield at / (2 * RATE)
        at += len(one)


def joined(parts: Sequence[tuple[Heard, float]], language: str) -> Heard:
    """What was said in pieces of one utterance, each with the second at which it begins."""
    between = " " if spaced(language) else ""
    text = between.join(part.text for part, _ in parts if part.text)
    words = tuple((word, start + at, end + at) for part, at in parts for word, start, end in part.words)
    no_speech = min((part.no_speech for part, _ in parts), default=1.0)
    return Heard(text, words, no_speech, language)
