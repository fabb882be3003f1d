"""From what an agent is to the brain that thinks for it."""

from __future__ import annotations

from ...errors import InvalidArgument
from ..config import AgentConfig
from .base import Brain, Services


def make_brain(config: AgentConfig, services: Services) -> Brain:
    """The brain that `config.brain` names; nothing is connected yet. A config without a voice gets that of its face.

    Raises:
        InvalidArgument: something that the brain needs is missing. BadState: a package is not installed.
    """
    from ..voices import settle_voice

    settle_voice(config, services)
    if config.brain == "realtime":
        from ..headers import is_openai
        from ..openai_models import REALTIME
        from ..options import Realtime
        from ..realtime_socket import URL
        from .realtime import RealtimeBrain
        from .speech_services import make_tts

        theirs = config.realtime or Realtime()
        own = not theirs.url  # our key goes to our service, never to one that a caller named
        url = theirs.url or services.openai_url or URL
        key = theirs.api_key or (services.openai_api_key if own else None)
        if not key and is_openai(url):
            where = "set openai_api_key (OPENAI_API_KEY)" if own else "say it as mllm.api_key"
            raise InvalidArgument(f"the realtime brain needs an OpenAI key: {where}")
        model = theirs.model or theirs.params.get("model") or (own and services.realtime_model) or REALTIME
        return RealtimeBrain(
            config,
            url,
            model,
            key,
            tts=lambda config: make_tts(config, services),
            outward=services.outward,
            own=own,
        )
    if config.brain in ("cascade", "guide"):
        from ..speech.sentences import SentenceSplitter
        from .cascade import CascadeBrain
        from .guide import Guide

        if config.brain == "cascade" and not config.llm.url:
            raise InvalidArgument("the cascade brain needs llm.url, the URL of a /chat/completions service")
        SentenceSplitter(language=config.language)  # whether its package is there, before anybody asks for a reply
        return CascadeBrain(config, services, thinker=Guide(config.language) if config.brain == "guide" else None)
    from ..speech.turn_detector import TurnDetectors
    from .echo import DEMO, EchoBrain, ScriptBrain

    detectors, voices = TurnDetectors(config.language, services.end_of_turn), services.voices
    if config.brain == "script":
        return ScriptBrain(config, DEMO, detectors, voices=voices)
    return EchoBrain(config, detectors, voices=voices)
