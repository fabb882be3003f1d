"""Labelled sets: folders with sound and phone times.

    NAME/set.json    {"name": ..., "phone_set": "ipa", "language": "fr", "source": ..., "licence": ..., "split": "dev"}
    NAME/UTT.wav     16 kHz mono PCM16
    NAME/UTT.lab     one phone a line, in order: start and end in seconds, then its name; UTF-8; "_" is a pause

What no line covers is silence. `split` is "dev" (look at it as often as you like) or "final" (not before you are done:
a set that decisions were made on no longer says how the next voice will do).
"""

from __future__ import annotations

import os
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from lipwire.errors import BadData

from . import labels

RATE = 16_000
PAUSE = "_"

Samples = npt.NDArray[np.int16]


class About(msgspec.Struct, forbid_unknown_fields=True):
    """set.json."""

    name: str
    phone_set: str
    language: str
    source: str
    licence: str
    split: Literal["dev", "final"] = "dev"


@dataclass(frozen=True)
class Utterance:
    name: str
    pcm: Samples
    """16 kHz mono."""
    phones: list[labels.Phone]

    def visemes(self, phone_set: str) -> npt.NDArray[np.int64]:
        """The true viseme of each whole 10 ms row."""
        return labels.visemes(self.phones, phone_set, len(self.pcm) // (RATE // 100))


@dataclass(frozen=True)
class LabelledSet:
    about: About
    utterances: list[Utterance]

    @property
    def seconds(self) -> float:
        return sum(len(u.pcm) for u in self.utterances) / RATE


def default_folder() -> Path:
    """Where tools put the sets they build: in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lipwire", "lipsync", "sets")


def installed(folder: Path | None = None) -> list[Path]:
    """The sets in a folder of sets (default: `default_folder()`), by name."""
    return sorted(path.parent for path in (folder or default_folder()).glob("*/set.json"))


def read_about(folder: Path) -> About:
    """Raises BadData: there is no set.json, or it is not as it should be."""
    path = folder / "set.json"
    try:
        about = msgspec.json.decode(path.read_bytes(), type=About)
    except FileNotFoundError:
        raise BadData(f"{folder}: no labelled set, set.json is missing") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadData(f"{path}: {exc}") from exc
    if about.phone_set not in labels.PHONE_SETS:
        raise BadData(f"{path}: unknown phone_set {about.phone_set!r}; known: {', '.join(labels.PHONE_SETS)}")
    return about


def read(folder: Path) -> LabelledSet:
    """Reads a set.

    Raises:
        BadData: something in it is wrong; the message names the file, and the line.
    """
    about = read_about(folder)
    sounds, times = ({p.stem: p for p in folder.glob(f"*.{kind}")} for kind in ("wav", "lab"))
    for name in sorted(sounds.keys() ^ times.keys()):
        have, lack = ("wav", "lab") if name in sounds else ("lab", "wav")
        raise BadData(f"{folder}: {name}.{have} has no {name}.{lack}")
    if not sounds:
        raise BadData(f"{folder}: the set has no utterances (NAME.wav with NAME.lab)")
    return LabelledSet(about, list(_utterances(sounds, times, about.phone_set)))


def _utterances(sounds: dict[str, Path], times: dict[str, Path], phone_set: str) -> Iterator[Utterance]:
    for name in sorted(sounds):
        pcm = read_wave(sounds[name])
        yield Utterance(name, pcm, read_labels(times[name], phone_set, len(pcm) / RATE))


def read_wave(path: Path) -> Samples:
    """Raises BadData: not 16 kHz mono PCM16."""
    try:
        with wave.open(str(path)) as file:
            kind = file.getframerate(), file.getnchannels(), file.getsampwidth()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as exc:
        raise BadData(f"{path}: no WAVE file: {exc or 'it ends early'}") from exc
    if kind != (RATE, 1, 2):
        raise BadData(f"{path}: {kind[0]} Hz, {kind[1]} channels, {8 * kind[2]} bits; wanted: 16000 Hz, 1, 16")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


def write_wave(path: Path, pcm: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2", copy=False).tobytes())


def read_labels(path: Path, phone_set: str, seconds: float) -> list[labels.Phone]:
    """Raises BadData: a line that is no "start end phone", out of order, beyond the sound, or not of the phone set."""
    phones: list[labels.Phone] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as exc:
        raise BadData(f"{path}: not UTF-8: {exc.reason} at byte {exc.start}") from exc
    last = 0.0
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}, line {number}"
        try:
            first, second, phone = fields
            start, end = float(first), float(second)
        except ValueError:
            raise BadData(f'{where}: {line!r} is no "start end phone"') from None
        if not last - 1e-6 <= start < end:  # NaN fails too
            raise BadData(f"{where}: {start:g} to {end:g} s does not follow {last:g} s")
        if end > seconds + labels.HOP:
            raise BadData(f"{where}: ends at {end:g} s, the sound at {seconds:g} s")
        if not labels.known(phone_set, phone):
            raise BadData(f"{where}: phone set {phone_set!r} has no {phone!r}")
        last = end
        phones.append((start, end, phone))
    return phones


def write(folder: Path, about: About, utterances: Iterable[Utterance]) -> None:
    """Writes a set; what the folder had of one is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("*.wav", "*.lab"):
        for path in folder.glob(kind):
            path.unlink()
    for utterance in utterances:
        write_wave(folder / f"{utterance.name}.wav", utterance.pcm)
        lines = (f"{start:.4f} {end:.4f} {phone or PAUSE}\n" for start, end, phone in utterance.phones)
        (folder / f"{utterance.name}.lab").write_text("".join(lines), encoding="utf-8")
    # Last: a folder without it is no set, so one that was cut off is not mistaken for a small one.
    (folder / "set.json").write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n")
