"""What hears and what speaks for an agent that thinks in text: a vendor of the client's, a service of the server's, or
what is on this machine."""

from __future__ import annotations

from datetime import date

from ...models.voices.names import parse
from .. import realtime_socket
from ..config import AgentConfig
from ..openai_models import SPEECH, speaks_by_realtime
from ..speech.offline_stt import OfflineStt
from ..speech.stt import HttpStt, Stt
from ..speech.tts import OfflineTts, Tts
from ..speech.vendors.choose import make_vendor_stt, make_vendor_tts
from ..speech.vendors.openai import OpenAiTts
from .base import Services


def make_tts(config: AgentConfig, services: Services) -> Tts:
    """Raises LipwireError."""
    if config.tts is not None and parse(config.voice) is None:
        return make_vendor_tts(
            config.tts,
            language=config.language,
            headers=config.tts_headers,
            voice=config.voice,
            outward=services.outward,
        )
    if services.tts_url and parse(config.voice) is None:
        key = services.openai_api_key
        headers = {**services.tts_headers, **config.tts_headers}
        url, model = services.tts_url, services.tts_model

        def by_realtime(named: str) -> Tts:
            from ..speech.realtime_tts import RealtimeTts

            where = services.openai_url or realtime_socket.URL
            return RealtimeTts(where, voice=config.voice, model=named, api_key=key, headers=headers)

        if (now := speaks_by_realtime(url, model, services.today or date.today())) is not None:
            return by_realtime(now)
        speech = OpenAiTts(url, voice=config.voice, model=model or SPEECH, api_key=key, headers=headers)
        if (later := speaks_by_realtime(url, model, date.max)) is None:
            return speech
        from ..speech.realtime_tts import UntilItEnds

        return UntilItEnds(speech, lambda: by_realtime(later))
    return OfflineTts(config.voice, config.language, config.spare_voice, services.voices, config.missing_voice)


def make_stt(config: AgentConfig, services: Services) -> Stt:
    """Raises LipwireError."""
    if config.asr is not None:
        return make_vendor_stt(
            config.asr, language=config.language, headers=config.stt_headers, outward=services.outward
        )
    if services.stt_url:
        key = services.openai_api_key
        headers = {**services.stt_headers, **config.stt_headers}
        return HttpStt(
            services.stt_url,
            language=config.language,
            model=services.stt_model,
            api_key=key,
            headers=headers,
            prompt=", ".join(config.asr_keywords),
        )
    return OfflineStt(config.language, services.hearing_model, config.asr_keywords)
