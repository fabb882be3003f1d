"""Which voices there really are on this machine, and whether one of them is what a name asks for."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

from msgspec import Struct

from ...audio import espeak
from ...errors import BadState, InvalidArgument, ModelFailed
from . import hibari, kokoro, piper
from .names import Name
from .shift import SHIFTS

logger = logging.getLogger("lipwire.voices")


class Listed(Struct, frozen=True):
    """A voice for the list."""

    name: str
    language: str
    """BCP 47; "" = as the rest of its name says."""
    about: str
    licence: str
    missing: str = ""
    """Why it cannot be had, and what to do."""


def voices(folder: Path | None = None) -> list[Listed]:
    """Every voice of this machine, and what is lacking for those that it does not have.

    Args:
        folder: where the user's are: files of Piper's and Kokoro's.
    """
    return [*_hibari(), *_piper(folder), *_kokoro(folder), _espeak()]


def _hibari() -> list[Listed]:
    licence = "Apache-2.0"
    try:
        known = hibari.lacking()
    except ModelFailed as exc:
        return [Listed(f"hibari:{hibari.DEFAULT}", "en-US", "a woman", licence, str(exc))]
    found = []
    for name, (about, lack) in known.items():
        who = {"female": "a woman", "male": "a man"}.get(about.gender, "")
        found.append(Listed(f"hibari:{name}", about.language, who, licence, lack))
        if not lack:
            found += [
                Listed(f"hibari:{name}+{key}", about.language, shift.about, licence) for key, shift in SHIFTS.items()
            ]
    return found


def _piper(folder: Path | None) -> list[Listed]:
    found = []
    for file in _files(folder):
        if file.with_name(f"{file.name}.json").is_file():
            try:
                language, lack = piper.settings(file).espeak.voice, ""
            except InvalidArgument as exc:
                language, lack = "", str(exc)
            found.append(Listed(f"piper:{file.stem}", language, "a voice of Piper's", "its own, see its card", lack))
    return found


def _kokoro(folder: Path | None) -> list[Listed]:
    found = []
    for file in _files(folder):
        if file.with_name(f"{file.name}.json").is_file():
            continue
        for name in kokoro.styles(file):
            voice = f"{file.stem}/{name}"
            who = {"f": "a woman", "m": "a man"}.get(name[1:2], "")
            language = kokoro.LANGUAGES.get(name[:1], "")
            lack = missing(Name("kokoro", f"{file}/{name}"))
            found.append(Listed(f"kokoro:{voice}", language, who, "Apache-2.0 as Kokoro-82M, see its card", lack))
    return found


def _espeak() -> Listed:
    about = "a robot, in a hundred languages; +f1 to +f5 and +m1 to +m8 are other throats"
    return Listed("espeak:en-us", "", about, "GPL-3.0", missing(Name("espeak", "en-us")))


def _files(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(folder.glob("*.onnx"))


def missing(name: Name) -> str:
    """Why a voice cannot be had; empty where it can."""
    try:
        check(name)
    except (InvalidArgument, ModelFailed, BadState) as exc:
        return str(exc)
    return ""


def check(name: Name) -> None:
    """Raises InvalidArgument, ModelFailed or BadState, which say why that voice, whose files are told by their paths,
    cannot be had."""
    match name.engine:
        case "hibari":
            hibari.check(name.voice)
        case "piper":
            piper.settings(Path(name.voice))
            if not Path(name.voice).is_file():
                raise InvalidArgument(f"{name.voice}: there is no such file")
            _check_needs("Piper", reads=True)
        case "kokoro":
            kokoro.check(name.voice)
            _check_needs("Kokoro", reads=not kokoro.language(kokoro.split(name.voice)[1]).startswith("en"))
        case "espeak":
            if not espeak.known(name.voice):
                raise InvalidArgument(f"espeak-ng has no voice {name.voice!r}; say en-us, de, en-us+f3")


def _check_needs(engine: str, *, reads: bool) -> None:
    """What runs a model of the user's, and `reads` what it says. Raises ModelFailed: it is not installed."""
    absent = [] if importlib.util.find_spec("onnxruntime") else ["onnxruntime"]
    if reads and not espeak.available():
        absent.append("espeak-ng")
    if absent:
        raise ModelFailed(f"{engine} needs {', '.join(absent)}: pip install 'lipwire[offline]'")


def resolved(name: Name, folder: Path | None = None) -> Name:
    """The voice that is asked for by name, with the path of its file.

    Args:
        folder: where the user's voices are, those that are no paths.

    Raises:
        InvalidArgument: it cannot be had. The message says why, and which there are.
    """
    found = name
    try:  # the name may have come over the network: where the server's files are is for its log
        if name.engine in ("piper", "kokoro") and not name.is_path:
            found = _in_folder(name, folder)
        check(found)
    except (InvalidArgument, ModelFailed, BadState) as exc:
        there = [one.name for one in voices(folder) if not one.missing]
        why = str(exc) if name.is_path else found.told(str(exc))
        if why != str(exc):
            logger.warning("the voice %s cannot be had: %s", name, exc)
        raise InvalidArgument(
            f"the voice {name} cannot be had: {why}. There are: {', '.join(there) or 'none'}"
        ) from exc
    return found


def _in_folder(name: Name, folder: Path | None) -> Name:
    if folder is None:
        raise InvalidArgument("there is no folder of voices (setting `voices`); give the path of its .onnx file")
    if not re.fullmatch(r"[\w.+-]+", name.file):
        raise InvalidArgument("write it as " + ("MODEL/VOICE" if name.engine == "kokoro" else "the file's name"))
    path = folder / f"{name.file}.onnx"
    _, _, voice = name.voice.rpartition("/")
    return Name(name.engine, f"{path}/{voice}" if name.engine == "kokoro" else str(path))
