"""Which voice an agent speaks with: the one that it was given, else that of its face."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

from ..avatar import Avatar, Voice
from ..errors import BadState, LipwireError
from ..models.voices.choose import choose, tell
from ..models.voices.espeak import espeak_voice
from ..protocol.agent_bodies import OPENAI_VOICE
from .brains.base import Services
from .config import AgentConfig

SERVICE_VOICE = "en-US-AndrewMultilingualNeural"
"""What a text to speech service is asked for by an agent without a voice and a face."""


def settle_voice(config: AgentConfig, services: Services) -> None:
    """Gives an agent that names no voice that of its face, by the name that who speaks for it knows it by. Of a vendor
    that the client brings along, its params name the voice."""
    if config.voice or config.tts is not None:
        return
    voice = _of_face(config)
    url = services.tts_url or ""
    if config.brain == "realtime" or "audio" in config.llm.output_modalities:
        config.voice = voice.openai or OPENAI_VOICE
    elif config.brain in ("cascade", "guide") and url:
        openai = (urlsplit(url).hostname or "").endswith("openai.com")
        config.voice = (voice.openai or OPENAI_VOICE) if openai else voice.service or SERVICE_VOICE
    else:
        _settle_offline(config, voice, services)


def _settle_offline(config: AgentConfig, voice: Voice, services: Services) -> None:
    """Of this machine: the face's, and what speaks in its place where that fails."""
    try:
        chosen = choose(None, voice, config.language, services.voices)
    except LipwireError as exc:  # nothing that speaks is there, which is told later; nobody speaks the language; or
        config.voice = voice.for_espeak()  # the face's own cannot be had, for which no face is kept from being shown
        if voice.offline and not isinstance(exc, BadState):
            tell(f"{config.voice} speaks in place of the face's own, {voice.offline}: {exc}")
            config.missing_voice = f"{voice.offline}: {exc}"
        return
    name, config.missing_voice = chosen.name, chosen.instead
    if name.engine == "espeak":
        config.voice = name.voice
    else:  # clients are told of it: as the face has it, rather than where its file is
        config.voice = voice.offline if name.is_path and voice.offline else str(name)
    if name.engine != "espeak":
        with suppress(LipwireError):  # there is no espeak-ng
            config.spare_voice = espeak_voice(voice.espeak or voice.service or "", config.language)


def _of_face(config: AgentConfig) -> Voice:
    if config.avatar is None:
        return Voice()
    try:
        return Avatar.load(config.avatar).voice
    except LipwireError:  # it is told when the face is to be shown
        return Voice()
