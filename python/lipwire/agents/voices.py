"""Which voice an agent speaks with: the one that it was given, else that of its face."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..avatar import Avatar, Voice
from ..errors import LipwireError
from ..protocol.agent_bodies import OPENAI_VOICE
from .brains.base import Services
from .config import AgentConfig
from .speech.tts import espeak_voice

SERVICE_VOICE = "en-US-AndrewMultilingualNeural"
"""What a text to speech service is asked for by an agent without a voice and a face."""


def settle_voice(config: AgentConfig, services: Services) -> None:
    """Gives an agent that names no voice that of its face, by the name that who speaks for it knows it by."""
    if config.voice:
        return
    voice = _of_face(config)
    url = services.tts_url or ""
    if config.brain == "realtime" or "audio" in config.llm.output_modalities:
        config.voice = voice.openai or OPENAI_VOICE
    elif config.brain in ("cascade", "guide") and url:
        openai = (urlsplit(url).hostname or "").endswith("openai.com")
        config.voice = (voice.openai or OPENAI_VOICE) if openai else voice.service or SERVICE_VOICE
    else:
        try:
            config.voice = espeak_voice(voice.espeak or voice.service or "", config.language)
        except LipwireError:  # the language is none of espeak-ng's, or there is no espeak-ng, which is told later
            config.voice = voice.for_espeak()


def _of_face(config: AgentConfig) -> Voice:
    if config.avatar is None:
        return Voice()
    try:
        return Avatar.load(config.avatar).voice
    except LipwireError:  # it is told when the face is to be shown
        return Voice()
