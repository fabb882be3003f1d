"""The engine hibari: small English voices, each a model of 8 MB that makes a sentence in 15 to 50 ms of one core.

The package hibari-tts turns text into phonemes and carries the voice "heart"; its other voices are files that a user
may put beside it. The model's spectra become sound by the package's own vocoder, with what `shift` makes of them. How
long each phoneme takes, and so when a word is said, is a value within the model's graph (`onnx_outputs`).
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from ...errors import InvalidArgument, ModelFailed
from ..find import find, how, lacks
from ..table import known
from ..wire import Spoken, Word
from .base import placed, speech
from .english import Reader
from .graph import open_session
from .level import Floats, Loudness
from .shift import SHIFTS, Shift, shifted

Value = TypeVar("Value")

logger = logging.getLogger("lipwire.voices")

RATE = 24_000
DEFAULT = "heart"
GAIN = 1.8
"""Makes hibari's voices as loud as `level.LEVEL`."""
LATE = 0.04
"""Seconds by which the model's durations are behind its sound: with them the lip-sync benchmark finds the mouth as far
behind as with people's speech, and sibilants begin where their sound does (bench/agents_speaking.py)."""
_DURATIONS = "/Cast_32_output_0"
"""The model's value with the frames of each phoneme."""


class Registered(Struct, frozen=True):
    """A voice as the package's voices.json has it."""

    language: str
    file: str
    sha256: str
    british: bool
    kokoro: str = ""
    gender: str = ""
    bundled: bool = False


def registry() -> dict[str, Registered]:
    """Every voice that hibari knows, whether its file is there or not. Raises ModelFailed: the package is not there."""
    return _table("voices.json", Registered)


def vocabulary() -> dict[str, int]:
    """The numbers of the phonemes, which are Kokoro's. Raises ModelFailed: the package is not there."""
    return _table("vocab.json", int)


def part(name: str) -> Any:
    """A module of the package, of the code that Lipwire knows. Raises ModelFailed: it is not there, or is damaged, or
    another hibari was imported before."""
    package = _assets().parent
    try:
        found = importlib.import_module(f"hibari.{name}")
    except (ImportError, OSError, ValueError) as exc:  # it reads its tables when it is imported
        logger.warning("hibari.%s cannot be imported: %s", name, exc)
        raise ModelFailed(f"hibari.{name} cannot be imported. {how(known('hibari'))}") from exc
    if package.resolve() not in Path(str(found.__file__)).resolve().parents:
        logger.warning("%s was imported, and what Lipwire knows is in %s", found.__file__, package)
        raise ModelFailed("this process has imported another hibari than the one that Lipwire knows")
    return found


def _table(name: str, kind: type[Value]) -> dict[str, Value]:
    """One of the package's. Raises ModelFailed: it is not there, or is damaged."""
    try:
        return msgspec.json.decode((_assets() / name).read_bytes(), type=dict[str, kind])  # type: ignore[valid-type]
    except (OSError, msgspec.DecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise ModelFailed(f"hibari's {name} is damaged: {why}. {how(known('hibari'))}") from exc


def _assets() -> Path:
    """The package's files. Raises ModelFailed: it is not there, or is damaged."""
    place = find("hibari")
    if str(place) not in sys.path:  # Lipwire's folder of models, with which another version may be installed
        sys.path.insert(0, str(place))
    return place / "hibari" / "assets"


def check(voice: str) -> None:
    """Raises InvalidArgument: there is no such voice. ModelFailed: its package, or what runs it, is not installed."""
    name, _ = split(voice)
    voice_file(name)
    if absent := lacks(known("hibari")):
        raise ModelFailed(f"hibari needs {', '.join(absent)}: pip install 'lipwire[offline]'")


def lacking() -> dict[str, tuple[Registered, str]]:
    """Every voice that hibari knows, and why it cannot be had ("" = it can), for lists: the package is looked at once.
    Raises ModelFailed: it is not there, or is damaged."""
    known_voices, absent = registry(), lacks(known("hibari"))
    needs = f"hibari needs {', '.join(absent)}: pip install 'lipwire[offline]'" if absent else ""
    cache = Path(part("voices").cache_dir())
    return {name: (about, _not_there(name, about, cache) or needs) for name, about in known_voices.items()}


def _not_there(name: str, about: Registered, cache: Path) -> str:
    if about.bundled or (cache / about.file).is_file():
        return ""
    return (
        f"hibari:{name} is not on this machine: its file, {about.file}, belongs into hibari's folder (HIBARI_HOME, "
        "else the folder hibari in the user's cache)"
    )


def split(voice: str) -> tuple[str, Shift | None]:
    """A voice's own name, and what is made of it: "heart+child". Raises InvalidArgument: nothing is called so."""
    name, plus, shift = voice.partition("+")
    if plus and shift not in SHIFTS:
        raise InvalidArgument(f"hibari:{voice}: behind the + stands one of {', '.join(SHIFTS)}")
    return name, SHIFTS[shift] if plus else None


def voice_file(name: str) -> tuple[Path, Registered]:
    """Where a voice's model is: in the package, or where the package itself looks for others. Nothing is fetched.

    Raises:
        InvalidArgument: hibari knows no such voice, or it is not there. ModelFailed: the package is not there.
    """
    voices = registry()
    if name not in voices:
        raise InvalidArgument(f"hibari has no voice {name!r}, it has {', '.join(voices)}")
    about = voices[name]
    if about.bundled:
        return _assets() / about.file, about
    cache = Path(part("voices").cache_dir())
    if why := _not_there(name, about, cache):
        raise InvalidArgument(why)
    return cache / about.file, about


class _Model:
    """One voice: its graph, and the rules by which it reads."""

    def __init__(self, voice: str, data: bytes, reader: Reader) -> None:
        self.session, self.has_times = open_session(data, f"hibari:{voice}", _DURATIONS)
        self.ids = vocabulary()
        self.reader = reader
        self._vocoder = part("dsp")

    def sound(self, ids: list[int], shift: Shift | None) -> tuple[Floats, list[float]]:
        """Samples at RATE, and when each phoneme ends, in seconds."""
        given = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
        outputs = self.session.run(None, given)
        frames = outputs.pop() if self.has_times else np.ones(len(ids))
        lh, theta, ln, lr, phi, f0 = (output[0] for output in outputs)
        samples = self._vocoder.synth(lh, theta, ln, lr, phi, f0, np.random.default_rng(0))
        if shift is not None:
            samples = shifted(samples, RATE, f0, shift)
        ends = np.cumsum(frames) * (len(samples) / RATE / float(frames.sum())) - LATE
        return samples, np.maximum(ends, 0.0).tolist()


class Hibari:
    """Speaks with hibari's voices. Loads what it needs when it needs it; not for several threads at once."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._readers: dict[bool, Reader] = {}

    def has(self, voice: str) -> bool:
        """Whether it is loaded."""
        return split(voice)[0] in self._models

    def speak(self, voice: str, text: str) -> Iterator[Spoken]:
        """As `base.Engine.speak`; a voice is "heart", or one that is made of it, "heart+child"."""
        name, shift = split(voice)
        model = self._model(name)

        def say(piece: str, tail: float) -> tuple[Floats, tuple[Word, ...]]:
            return _say(model, piece, shift, tail)

        return speech(f"hibari:{voice}", text, say, RATE, Loudness(GAIN * (1.0 if shift is None else shift.gain)))

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            path, about = voice_file(name)
            data = path.read_bytes()
            if not about.bundled and hashlib.sha256(data).hexdigest() != about.sha256:
                raise ModelFailed(
                    f"{path.name} is damaged: its SHA-256 is not that of hibari's voice {name}; fetch it again"
                )
            if about.british not in self._readers:
                self._readers[about.british] = Reader(part("g2p"), british=about.british)
            self._models[name] = _Model(name, data, self._readers[about.british])
        return self._models[name]


def _say(model: _Model, text: str, shift: Shift | None, tail: float) -> tuple[Floats, tuple[Word, ...]]:
    """One sentence: its samples, none where it has nothing that can be said, and its words."""
    ids, spans = model.reader.read(text, model.ids)
    if not spans:
        return np.zeros(0, np.float32), ()
    samples, ends = model.sound(ids, shift)
    return placed(text, samples, RATE, tail, spans, ends)
