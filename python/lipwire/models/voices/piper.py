"""The engine Piper: any voice of Piper's, a .onnx file with its .onnx.json beside it, as one points to it.

The file is run as it is, by onnxruntime; nothing of the package piper-tts is used, whose licence (GPL-3.0) would then
hold for all. What the model takes is told by its .json, and by VITS (Kim et al., 2021), of which it is one: phonemes by
espeak-ng's rules with a blank behind each, and how lively it speaks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ...errors import InvalidArgument
from ..wire import Spoken, Word
from .base import kept, placed, speech
from .graph import open_session, read
from .level import Floats, Loudness
from .phonemes import clauses

HOP = 256
"""Samples that one unit of a duration lasts, as in all of Piper's models."""
_DURATIONS = "/Ceil_output_0"
"""The value of VITS's graph with how long each phoneme is, as PyTorch names it when it exports one."""
_BEGIN, _END, _BLANK = "^", "$", "_"


class _Audio(Struct):
    sample_rate: int


class _Espeak(Struct):
    voice: str


class _Inference(Struct):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class Settings(Struct):
    """What a voice's .onnx.json says of it, as far as it is needed to speak."""

    audio: _Audio
    phoneme_id_map: dict[str, list[int]]
    espeak: _Espeak = msgspec.field(default_factory=lambda: _Espeak("en-us"))
    inference: _Inference = msgspec.field(default_factory=_Inference)
    phoneme_type: str = "espeak"


def settings(file: Path) -> Settings:
    """Of a voice's file. Raises InvalidArgument: it has no .json beside it, or that is none of Piper's."""
    about = file.with_name(f"{file.name}.json")
    try:
        found = msgspec.json.decode(about.read_bytes(), type=Settings)
    except OSError as exc:
        raise InvalidArgument(f"{about}: {exc.strerror}; a voice of Piper's is a .onnx file and this one") from exc
    except msgspec.DecodeError as exc:
        raise InvalidArgument(f"{about} is no description of a voice of Piper's: {exc}") from exc
    if found.phoneme_type != "espeak":
        raise InvalidArgument(f"{file}: it reads phonemes of the kind {found.phoneme_type!r}; Lipwire has espeak-ng's")
    return found


class _Model:
    """One voice's graph, and what its .json says."""

    def __init__(self, file: Path) -> None:
        self.about = settings(file)
        self.session, self.has_times = open_session(read(file), str(file), _DURATIONS)
        self.inputs = {value.name for value in self.session.get_inputs()}
        self.loudness = Loudness()

    def ids(self, signs: str) -> list[int]:
        """Of phonemes, each with a blank behind it; what the model does not know is left out."""
        found = []
        for sign in unicodedata.normalize("NFD", signs):
            if sign in self.about.phoneme_id_map:
                found += [*self.about.phoneme_id_map[sign], *self.about.phoneme_id_map[_BLANK]]
        return found

    def sound(self, ids: list[int]) -> tuple[Floats, list[float]]:
        """Samples, and when each id ends, in seconds; evenly, where the model does not tell."""
        how = self.about.inference
        given: dict[str, Any] = {
            "input": np.asarray([ids], np.int64),
            "input_lengths": np.asarray([len(ids)], np.int64),
            "scales": np.asarray([how.noise_scale, how.length_scale, how.noise_w], np.float32),
        }
        if "sid" in self.inputs:
            given["sid"] = np.zeros(1, np.int64)
        values = self.session.run(None, given)
        samples = values[0].reshape(-1)
        each = values[-1].reshape(-1) if self.has_times else np.ones(len(ids))
        length = len(samples) / self.about.audio.sample_rate
        ends: list[float] = (np.cumsum(each, dtype=np.float64) * (length / float(each.sum()))).tolist()
        return samples, ends


class Piper:
    """Speaks with Piper's voices. Loads what it needs when it needs it; not for several threads at once."""

    def __init__(self) -> None:
        self._models: dict[Path, _Model] = {}

    def has(self, voice: str) -> bool:
        """Whether it is loaded."""
        return Path(voice) in self._models

    def speak(self, voice: str, text: str) -> Iterator[Spoken]:
        """As `base.Engine.speak`; a voice is the path of its file."""
        file = Path(voice)
        model = kept(self._models, file, lambda: _Model(file))

        def say(piece: str, tail: float) -> tuple[Floats, tuple[Word, ...]]:
            return _say(model, piece, tail)

        return speech(f"piper:{voice}", text, say, model.about.audio.sample_rate, model.loudness)


def _say(model: _Model, text: str, tail: float) -> tuple[Floats, tuple[Word, ...]]:
    """One sentence: its samples, and its words."""
    ids = list(model.about.phoneme_id_map[_BEGIN])
    spans: list[tuple[str, int, int]] = []
    for clause in clauses(text, model.about.espeak.voice):
        written = clause.text.split()
        if len(written) != len(clause.words):  # said as one, or apart: they share the clause
            written = [clause.text]
        begin = len(ids)
        for number, word in enumerate(clause.words):
            first = len(ids)
            ids += model.ids(word)
            if len(written) > 1 or len(clause.words) == 1:
                spans.append((written[number], first, len(ids)))
            ids += model.ids(" ") if number + 1 < len(clause.words) else []
        if len(written) == 1 and len(clause.words) > 1:
            spans.append((clause.text, begin, len(ids)))
        ids += model.ids(clause.mark + " ")
    if not spans:
        return np.zeros(0, np.float32), ()
    samples, ends = model.sound([*ids, *model.about.phoneme_id_map[_END]])
    return placed(text, samples, model.about.audio.sample_rate, tail, spans, ends)
