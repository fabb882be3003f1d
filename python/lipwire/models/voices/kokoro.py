"""The engine Kokoro: any export of Kokoro-82M to ONNX, as one points to it, with its voices beside it.

Voices lie in the model's folder: in an archive of numpy's with many (kokoro-onnx's voices-v1.0.bin, any .npz), or a
file each (af_heart.bin). Such a voice is a style for each length of text. English is read by hibari's rules, which are
those that the model was taught with; Spanish, French, Hindi, Italian and Portuguese by espeak-ng's.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InvalidArgument, ModelFailed
from ..wire import Spoken, Word
from .base import kept, placed, speech
from .english import Reader
from .graph import open_session, read
from .hibari import part, vocabulary
from .level import Floats, Loudness
from .phonemes import clauses

logger = logging.getLogger("lipwire.voices")

RATE = 24_000
STYLE = 256
"""Numbers of a voice's style."""
LONGEST = 510
"""Phonemes that the model takes at a time."""
_DURATIONS = "/encoder/Clip_output_0"
"""The value of the graph with how long each phoneme is, as PyTorch names it when it exports Kokoro."""
LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}
"""By the first letter of a voice's name: what it speaks, as espeak-ng calls that."""
UNREAD = {"j": "Japanese", "z": "Chinese"}
"""What Kokoro speaks, but nothing here reads."""

Read = Callable[[str], tuple[list[int], list[tuple[str, int, int]]]]


def split(voice: str) -> tuple[Path, str]:
    """The model's file and the voice's name, of "PATH.onnx/af_heart". Raises InvalidArgument: it is none of that."""
    file, slash, name = voice.rpartition("/")
    if not slash or not file or not name or name.endswith(".onnx"):
        raise InvalidArgument(f"kokoro:{voice}: write it as kokoro:PATH.onnx/VOICE, say kokoro:kokoro.onnx/af_heart")
    return Path(file), name


def styles(file: Path) -> dict[str, Path]:
    """The voices beside a model: their names, and the file each is in."""
    found: dict[str, Path] = {}
    for path in sorted(file.parent.glob("*")):
        if path.suffix not in (".bin", ".npz", ".npy"):
            continue
        if zipfile.is_zipfile(path):
            try:
                with zipfile.ZipFile(path) as archive:
                    found |= {name.removesuffix(".npy"): path for name in archive.namelist()}
            except (zipfile.BadZipFile, OSError) as exc:
                logger.warning("%s has no voices, it is damaged: %s", path, exc)
        elif path.stat().st_size % (4 * STYLE) == 0 or path.suffix == ".npy":
            found[path.stem] = path
    return found


def language(name: str) -> str:
    """What the voice of that name speaks, as espeak-ng calls it. Raises InvalidArgument: nothing here reads that."""
    first = name[:1]
    if first in LANGUAGES:
        return LANGUAGES[first]
    what = UNREAD.get(first, "a language that its name does not tell")
    raise InvalidArgument(f"Kokoro's voice {name} speaks {what}, which Lipwire cannot read for it")


def check(voice: str) -> None:
    """Raises InvalidArgument: there is no such voice, or no such file. ModelFailed: hibari's rules are not there."""
    file, name = split(voice)
    language(name)
    if not file.is_file():
        raise InvalidArgument(f"{file}: there is no such file")
    if name not in (there := styles(file)):
        raise InvalidArgument(f"beside {file} there is no voice {name!r}: {', '.join(there) or 'none at all'}")
    vocabulary()


def _style(path: Path, name: str) -> Floats:
    """A voice: [lengths, STYLE]. Raises ModelFailed: it is none."""
    try:
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as archive:
                values = archive[name]
        else:
            values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.fromfile(path, "<f4")
        style: Floats = values.astype(np.float32, copy=False).reshape(-1, STYLE)
        return style
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
        raise ModelFailed(f"{path} has no voice {name} of Kokoro's: {exc}") from exc


class _Voice:
    """A model, one of its voices, and what reads for it."""

    def __init__(self, session: Any, has_times: bool, style: Floats, read: Read) -> None:
        self._session, self._has_times, self._style, self._read = session, has_times, style, read
        self._tokens, _, self._speed = session.get_inputs()
        self.loudness = Loudness()

    def say(self, text: str, tail: float) -> tuple[Floats, tuple[Word, ...]]:
        """See `base.Say`."""
        ids, spans = self._read(text)
        if not spans:
            return np.zeros(0, np.float32), ()
        if len(ids) > LONGEST + 2:
            ids = [*ids[: LONGEST + 1], 0]
            spans = [(word, first, min(behind, LONGEST + 1)) for word, first, behind in spans if first <= LONGEST]
        given = {
            self._tokens.name: np.asarray([ids], np.int64),
            "style": self._style[min(len(ids) - 2, len(self._style) - 1)][None],
            "speed": np.ones(1, np.int32 if "int32" in self._speed.type else np.float32),
        }
        values = self._session.run(None, given)
        samples = values[0].reshape(-1)
        each = values[-1].reshape(-1) if self._has_times else np.ones(len(ids))
        ends: list[float] = (np.cumsum(each, dtype=np.float64) * (len(samples) / RATE / float(each.sum()))).tolist()
        return placed(text, samples, RATE, tail, spans, ends)


class Kokoro:
    """Speaks with Kokoro's voices. Loads what it needs when it needs it; not for several threads at once."""

    def __init__(self) -> None:
        self._sessions: dict[Path, tuple[Any, bool]] = {}
        self._voices: dict[str, _Voice] = {}
        self._readers: dict[bool, Reader] = {}

    def has(self, voice: str) -> bool:
        """Whether it is loaded."""
        return voice in self._voices

    def speak(self, voice: str, text: str) -> Iterator[Spoken]:
        """As `base.Engine.speak`; a voice is "PATH.onnx/af_heart"."""
        found = kept(self._voices, voice, lambda: self._load(voice))
        return speech(f"kokoro:{voice}", text, found.say, RATE, found.loudness)

    def _load(self, voice: str) -> _Voice:
        check(voice)
        file, name = split(voice)
        used = {split(other)[0] for other in self._voices}
        self._sessions = {other: session for other, session in self._sessions.items() if other in used | {file}}
        if file not in self._sessions:
            self._sessions[file] = open_session(read(file), str(file), _DURATIONS)
        return _Voice(*self._sessions[file], _style(styles(file)[name], name), self._reader(language(name)))

    def _reader(self, spoken: str) -> Read:
        ids = vocabulary()
        if not spoken.startswith("en"):
            return lambda text: _read_foreign(text, spoken, ids)
        british = spoken == "en-gb"
        if british not in self._readers:
            self._readers[british] = Reader(part("g2p"), british=british)
        reader = self._readers[british]
        return lambda text: reader.read(text, ids)


def _read_foreign(text: str, spoken: str, ids: dict[str, int]) -> tuple[list[int], list[tuple[str, int, int]]]:
    """As `Reader.read`, by espeak-ng's rules."""
    found: list[int] = [0]
    spans: list[tuple[str, int, int]] = []
    for clause in clauses(text, spoken):
        first = len(found)
        found += [ids[sign] for sign in " ".join(clause.words) if sign in ids]
        spans.append((clause.text, first, len(found)))
        found += [ids[sign] for sign in clause.mark + " " if sign in ids]
    return [*found, 0], spans
