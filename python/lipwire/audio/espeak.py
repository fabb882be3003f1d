"""A voice that needs no account: espeak-ng, through the library that PyPI's espeakng-loader carries.

The only binding: the demo speaks with it, and the lip-sync benchmark takes from it the times of the phones.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BadState, InvalidArgument
from ..pools import pool

T = TypeVar("T")

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS, INITIALIZE_PHONEME_IPA = 1, 2
CHARS_UTF8, POS_CHARACTER = 1, 1
PARAMETER_RATE, PARAMETER_PITCH, PARAMETER_RANGE = 1, 3, 4
EVENT_LIST_TERMINATED, EVENT_WORD, EVENT_PHONEME = 0, 1, 7
PHONEMES_IPA = 2
SEPARATOR = "_"
MAX_CHARACTERS = 5000
_LANGUAGE = re.compile(r"[a-z]{2,3}(-([a-z]{2,4}|\d{3}))?", re.IGNORECASE)
"""A language, with or without a region or a script."""


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()
"""espeak-ng has one state a process."""
_threads = pool(2, "lipwire-voice")
"""Because of that, more would only wait for each other."""
_library: Any = None
_rate = 0


async def in_thread(speak: Callable[..., T], *args: Any) -> T:
    """Calls `speak` or `synthesize` for an agent, in one of the threads that are there for it: those of the event
    loop's own executor are needed by pictures."""
    return await asyncio.get_running_loop().run_in_executor(_threads, speak, *args)


@dataclass(frozen=True)
class Speech:
    """PCM16 mono, its rate in Hz, and what is said when: (start, end, IPA name) in seconds, without gaps; the names of
    pauses are empty or start with an underscore. Words: (start in seconds, first character of the text, count)."""

    pcm: bytes
    rate: int
    phones: list[tuple[float, float, str]]
    words: list[tuple[float, int, int]]


def available() -> bool:
    """True where espeakng-loader is installed."""
    try:
        import espeakng_loader  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def _load() -> tuple[Any, int]:
    global _library, _rate
    if _library is None:
        try:
            import espeakng_loader
        except ModuleNotFoundError as exc:
            raise BadState("the demo voice needs espeak-ng: pip install 'lipwire[demo]'") from exc
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        # One set of options for the life of the process, so the events are always on; they do not change the sound.
        options = INITIALIZE_PHONEME_EVENTS | INITIALIZE_PHONEME_IPA
        data = espeakng_loader.get_data_path().encode()
        rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, options)
        if rate <= 0:
            raise BadState(f"espeak-ng did not start (error {rate})")
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        _library, _rate = library, rate
    return _library, _rate


class _Voice(ctypes.Structure):
    """What a voice is looked for by: its language, among others."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("name", "languages", "identifier")),
        *((name, ctypes.c_ubyte) for name in ("gender", "age", "variant", "xx1")),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


def _select(voice: str) -> tuple[Any, int]:
    library, rate = _load()
    if not _set(library, voice):
        raise InvalidArgument(f"espeak-ng has no voice {voice!r}; say en-us, de, fr-fr, en-us+f3")
    return library, rate


def _named(library: Any, voice: str) -> bool:
    """By its name. espeak-ng itself passes over a variant that it has not."""
    _, plus, variant = voice.partition("+")
    return (not plus or variant in _variants()) and library.espeak_SetVoiceByName(voice.encode()) == 0


def _set(library: Any, voice: str) -> bool:
    """By its name; or by its language, as British English is of a voice named otherwise."""
    if _named(library, voice):
        return True
    language, plus, variant = voice.partition("+")
    wanted = _Voice(languages=language.encode())
    if not _LANGUAGE.fullmatch(language) or library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
        return False
    found: bytes = library.espeak_GetCurrentVoice().contents.identifier
    return not plus or _named(library, f"{found.decode()}+{variant}")


@cache
def _variants() -> frozenset[str]:
    """The names of what may stand behind a "+"."""
    import espeakng_loader

    return frozenset(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir())


def _check(text: str) -> None:
    if not text.strip():
        raise InvalidArgument("there is no text to speak")
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument(f"the text has {len(text)} characters, {MAX_CHARACTERS} are allowed")


def speak(
    text: str, voice: str = "en-us", words_per_minute: int = 165, pitch: int = 50, pitch_range: int = 50
) -> Speech:
    """Speaks `text` (`pitch` and `pitch_range` 0..100). Blocks for a few milliseconds a sentence; thread-safe.

    Raises:
        InvalidArgument: no text, too much text, or an unknown voice. BadState: espeak-ng is not installed.
    """
    _check(text)
    parts: list[bytes] = []
    marks: list[tuple[int, str]] = []
    words: list[tuple[int, int, int]] = []

    @_Callback  # type: ignore[untyped-decorator]
    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            parts.append(ctypes.string_at(samples, count * 2))
        i = 0
        while events[i].type != EVENT_LIST_TERMINATED:
            if events[i].type == EVENT_PHONEME:
                marks.append((events[i].sample, bytes(events[i].id.string).decode("utf-8", "ignore")))
            elif events[i].type == EVENT_WORD:
                words.append((events[i].sample, events[i].text_position - 1, events[i].length))
            i += 1
        return 0

    with _lock:
        library, rate = _select(voice)
        for parameter, value in (
            (PARAMETER_RATE, words_per_minute),
            (PARAMETER_PITCH, pitch),
            (PARAMETER_RANGE, pitch_range),
        ):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_SetSynthCallback(take)
        data = text.encode() + b"\0"
        library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    pcm = b"".join(parts)
    bounds = [(0, ""), *sorted(marks, key=lambda mark: mark[0]), (len(pcm) // 2, "")]
    phones = [(a / rate, b / rate, name) for (a, name), (b, _) in itertools.pairwise(bounds) if b > a]
    return Speech(pcm, rate, phones, [(sample / rate, first, count) for sample, first, count in words])


def named(voice: str) -> bool:
    """True where espeak-ng has a voice of just that name. Raises BadState: espeak-ng is not installed."""
    with _lock:
        library, _ = _load()
        return _named(library, voice)


def known(voice: str) -> bool:
    """True where espeak-ng has a voice of that name. Raises BadState: espeak-ng is not installed."""
    with _lock:
        library, _ = _load()
        return _set(library, voice)


def synthesize(text: str, voice: str = "en-us", words_per_minute: int = 165) -> tuple[bytes, int]:
    """Speaks `text`: (PCM16 mono, Hz). See `speak`, which also says what is said when."""
    speech = speak(text, voice, words_per_minute)
    return speech.pcm, speech.rate


def phonemes(text: str, voice: str = "en-us") -> list[list[str]]:
    """How `text` is pronounced: for each word (espeak-ng joins some) the IPA names of its phones, with stress marks.

    Raises:
        InvalidArgument: no text, too much text, or an unknown voice. BadState: espeak-ng is not installed.
    """
    _check(text)
    spoken = []
    with _lock:
        library, _ = _select(voice)
        data = text.encode()  # kept until the last call: `rest` moves through it
        rest = ctypes.c_char_p(data)
        while rest.value:  # one clause a call
            clause = library.espeak_TextToPhonemes(ctypes.byref(rest), CHARS_UTF8, PHONEMES_IPA | ord(SEPARATOR) << 8)
            spoken.append(clause.decode("utf-8", "ignore") if clause else "")
    words = (word.split(SEPARATOR) for clause in spoken for word in clause.split())
    # "(en)" is no phone: it says that another language's rules follow.
    return [phones for word in words if (phones := [p for p in word if p and not p.startswith("(")])]
