"""From what an agent is to the brain that thinks for it."""

from __future__ import annotations

from msgspec import Struct

from ..errors import InvalidArgument
from .brain import Brain
from .config import AgentConfig


class Services(Struct, frozen=True, kw_only=True):
    """What brains use beyond what an agent's own configuration names. None = what needs no account: pocketsphinx and
    espeak-ng."""

    stt_url: str | None = None
    """Of an OpenAI-compatible /audio/transcriptions."""
    stt_model: str | None = None
    tts_url: str | None = None
    """Of an OpenAI-compatible /audio/speech."""
    tts_model: str | None = None
    openai_api_key: str | None = None
    """For OpenAI Realtime, and for `stt_url` and `tts_url`."""
    openai_url: str | None = None
    """Of OpenAI Realtime, without the model; None = wss://api.openai.com/v1/realtime."""
    realtime_model: str | None = None


def make_brain(config: AgentConfig, services: Services) -> Brain:
    """The brain that `config.brain` names; nothing is connected yet.

    Raises:
        InvalidArgument: something that the brain needs is missing. BadState: a package is not installed.
    """
    if config.brain == "realtime":
        from .realtime import DEFAULT_MODEL, DEFAULT_URL, RealtimeBrain

        url = services.openai_url or DEFAULT_URL
        if not services.openai_api_key and url == DEFAULT_URL:
            raise InvalidArgument("the realtime brain needs an OpenAI key: set openai_api_key (OPENAI_API_KEY)")
        return RealtimeBrain(config, url, services.realtime_model or DEFAULT_MODEL, services.openai_api_key)
    if config.brain == "cascade":
        from .cascade import CascadeBrain

        if not config.llm.url:
            raise InvalidArgument("the cascade brain needs llm.url, the URL of a /chat/completions service")
        return CascadeBrain(config, services)
    from .echo import make_brain as make_simple

    return make_simple(config)
