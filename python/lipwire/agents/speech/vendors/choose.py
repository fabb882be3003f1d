"""Which vendors there are, and what speaks or hears by one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct, structs

from ....errors import InvalidArgument
from ....outward import Outward
from ...openai_models import SPEECH
from ...options import Vendor
from ..stt import HttpStt, Stt
from ..tts import Tts
from .cartesia import Cartesia
from .deepgram import DeepgramListener, DeepgramSpeech
from .elevenlabs import ElevenLabs
from .microsoft import MicrosoftListener, MicrosoftTts
from .minimax import MiniMax
from .openai import OpenAiTts
from .params import WEB, Kind, Params, params_of
from .socket_stt import Listener, SocketStt
from .socket_tts import SocketTts, Speech

OPENAI = "https://api.openai.com/v1/audio/"


class _Means(Struct, frozen=True):
    """What a vendor is made with, besides its params."""

    language: str
    headers: Mapping[str, str]
    outward: Outward | None


# ------------------------------------------------------------------------------------------------------ text to speech


def _over_socket(speech: Callable[[Params], Speech]) -> Callable[[Params, Vendor, _Means], Tts]:
    def make(params: Params, vendor: Vendor, means: _Means) -> Tts:
        return SocketTts(speech(params), means.headers, means.outward)

    return make


def _openai_tts(params: Params, vendor: Vendor, means: _Means) -> Tts:
    key = params.key("api_key", "key")
    url = params.url("base_url", "url", schemes=WEB, default=f"{OPENAI}speech", ends="/audio/speech")
    voice, model = params.needed("voice"), params.text("model") or SPEECH
    more = {"instructions": params.text("instructions"), "speed": params.number("speed", 0.25, 4)}
    params.one_of("response_format", ("pcm",))
    params.one_of("sample_rate", (24_000,))
    params.end()
    return OpenAiTts(
        url,
        voice=voice,
        model=model,
        api_key=key,
        headers=means.headers,
        more={name: value for name, value in more.items() if value is not None},
        outward=means.outward,
    )


def _generic_tts(params: Params, vendor: Vendor, means: _Means) -> Tts:
    """What else its params have goes into the body: whose URL it is knows it."""
    url = Params("tts", {"url": vendor.url}).url("url", schemes=WEB)
    key = params.key("api_key") if params.has("api_key") else None
    voice, model = params.text("voice"), params.text("model")
    params.one_of("response_format", ("pcm",))
    rate = params.number("sample_rate", 8000, 48_000)
    more = params.rest() | ({"sample_rate": rate} if rate is not None else {})
    return OpenAiTts(
        url,
        voice=voice,
        model=model,
        api_key=key,
        headers=means.headers,
        more=more,
        rate=None if rate is None else int(rate),
        outward=means.outward,
    )


def _microsoft_tts(params: Params, vendor: Vendor, means: _Means) -> Tts:
    return MicrosoftTts(params, means.headers, means.language, means.outward)


TTS: dict[str, Callable[[Params, Vendor, _Means], Tts]] = {
    "cartesia": _over_socket(Cartesia),
    "deepgram": _over_socket(DeepgramSpeech),
    "elevenlabs": _over_socket(ElevenLabs),
    "generic_http": _generic_tts,
    "microsoft": _microsoft_tts,
    "minimax": _over_socket(MiniMax),
    "openai": _openai_tts,
}
VOICE = {
    "cartesia": "voice.id",
    "deepgram": "model",
    "elevenlabs": "voice_id",
    "generic_http": "voice",
    "microsoft": "voice_name",
    "minimax": "voice_setting.voice_id",
    "openai": "voice",
}
"""Which of a vendor's params names the voice."""


# ------------------------------------------------------------------------------------------------------ speech to text


def _listening(listener: Callable[..., Listener]) -> Callable[[Params, Vendor, _Means], Stt]:
    def make(params: Params, vendor: Vendor, means: _Means) -> Stt:
        return SocketStt(listener(params, means.language, vendor.keywords), means.headers, means.outward)

    return make


def _openai_stt(params: Params, vendor: Vendor, means: _Means) -> Stt:
    key = params.key("api_key", "key")
    url = params.url("base_url", "url", schemes=WEB, default=f"{OPENAI}transcriptions", ends="/audio/transcriptions")
    model = prompt = language = None
    if (form := params.section("input_audio_transcription")) is not None:
        model, prompt, language = form.text("model"), form.text("prompt"), form.text("language")
        form.end()
    params.end()
    return HttpStt(
        url,
        language=language or means.language,
        model=model,
        api_key=key,
        headers=means.headers,
        prompt=" ".join(filter(None, (prompt, ", ".join(vendor.keywords)))),
        outward=means.outward,
    )


ASR: dict[str, Callable[[Params, Vendor, _Means], Stt]] = {
    "deepgram": _listening(DeepgramListener),
    "microsoft": _listening(MicrosoftListener),
    "openai": _openai_stt,
}


# ----------------------------------------------------------------------------------------------------------------- both


def check_vendor(kind: Kind, vendor: Vendor, language: str = "en-US") -> None:
    """Whether what a client brings along can be used as it is.

    Args:
        language: of the agent.

    Raises:
        InvalidArgument: an unknown vendor, a field that is missing, wrong or not known. Values are not told.
    """
    means = _Means(language, {}, None)
    _maker(kind, vendor)(params_of(kind, vendor), vendor, means)
    if kind == "tts" and vendor.keywords:
        raise InvalidArgument("tts.keywords is not known here")


def urls_of(tts: Vendor | None, asr: Vendor | None, language: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """(path, URL, schemes) of those that an agent's vendors are to be called at by their params. One that cannot be
    used has none: `check_vendor` says what is wrong with it."""
    found = []
    kinds: tuple[tuple[Kind, Vendor | None], ...] = (("tts", tts), ("asr", asr))
    for kind, vendor in kinds:
        if vendor is not None:
            params = params_of(kind, vendor)
            with suppress(InvalidArgument):
                _maker(kind, vendor)(params, vendor, _Means(language, {}, None))
                found += params.urls
    return found


def make_vendor_tts(
    vendor: Vendor, *, language: str, headers: Mapping[str, str], voice: str = "", outward: Outward | None = None
) -> Tts:
    """What speaks.

    Args:
        headers: go along with every request, or connection (`headers.check_headers`).
        voice: in place of that which its params name; "" = as they do.
        outward: where its URL may lead.

    Raises:
        InvalidArgument: as `check_vendor`.
    """
    vendor = _with_voice(vendor, voice) if voice else vendor
    make = _maker("tts", vendor)
    made: Tts = make(params_of("tts", vendor), vendor, _Means(language, headers, outward))
    return made


def make_vendor_stt(
    vendor: Vendor, *, language: str, headers: Mapping[str, str], outward: Outward | None = None
) -> Stt:
    """What hears; as `make_vendor_tts`."""
    made: Stt = _maker("asr", vendor)(params_of("asr", vendor), vendor, _Means(language, headers, outward))
    return made


def _maker(kind: Kind, vendor: Vendor) -> Callable[[Params, Vendor, _Means], Any]:
    makers: Mapping[str, Callable[[Params, Vendor, _Means], Any]] = TTS if kind == "tts" else ASR
    if vendor.name not in makers:
        raise InvalidArgument(
            f"{kind}.vendor {vendor.name[:40]!r} is not called by this server; {', '.join(makers)} are"
        )
    return makers[vendor.name]


def _with_voice(vendor: Vendor, voice: str) -> Vendor:
    if vendor.name not in VOICE:
        return vendor
    section, _, member = VOICE[vendor.name].rpartition(".")
    params = dict(vendor.params)
    if section:
        inner = params.get(section)
        params[section] = {**(inner if isinstance(inner, dict) else {}), member: voice}
    else:
        params[member] = voice
    return structs.replace(vendor, params=params)
