"""A voice that needs no account: espeak-ng, through the library that PyPI's espeakng-loader carries."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from .errors import BadState, InvalidArgument

AUDIO_OUTPUT_SYNCHRONOUS = 2
CHARS_UTF8, POS_CHARACTER = 1, 1
PARAMETER_RATE = 1
MAX_CHARACTERS = 5000

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_lock = threading.Lock()
"""espeak-ng has one state a process."""
_library: Any = None
_rate = 0


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
        rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        if rate <= 0:
            raise BadState(f"espeak-ng did not start (error {rate})")
        _library, _rate = library, rate
    return _library, _rate


def synthesize(text: str, voice: str = "en-us", words_per_minute: int = 165) -> tuple[bytes, int]:
    """Speaks `text`: (PCM16 mono, Hz). Blocks for a few milliseconds a sentence; thread-safe.

    Raises:
        InvalidArgument: no text, too much text, or an unknown voice. BadState: espeak-ng is not installed.
    """
    if not text.strip():
        raise InvalidArgument("there is no text to speak")
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument(f"the text has {len(text)} characters, {MAX_CHARACTERS} are allowed")
    parts: list[bytes] = []

    @_Callback  # type: ignore[untyped-decorator]
    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            parts.append(ctypes.string_at(samples, count * 2))
        return 0

    with _lock:
        library, rate = _load()
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InvalidArgument(f"espeak-ng has no voice {voice!r}")
        library.espeak_SetParameter(PARAMETER_RATE, words_per_minute, 0)
        library.espeak_SetSynthCallback(take)
        data = text.encode() + b"\0"
        library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    return b"".join(parts), rate
