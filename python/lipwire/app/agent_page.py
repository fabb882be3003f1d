"""What the client page (`servers.rooms`) can offer on this server, and the agents that it asks for."""

from __future__ import annotations

from typing import Any, get_args

from ..agents.config import AgentConfig, BrainKind
from ..agents.manager import AgentManager
from ..agents.voices import settle_voice
from ..avatar import Avatar
from ..errors import InvalidArgument
from ..protocol.agent_bodies import OPENAI_VOICE
from ..servers.rooms import AgentRequest, PageConfig
from .agent_setup import AgentSetup, is_openai

REALTIME_VOICES = (OPENAI_VOICE, "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
ESPEAK_VOICES = (
    "en-us",
    "en-us+f3",
    "en-us+m3",
    "en",
    "en+f3",
    "de",
    "de+f3",
    "es",
    "es+f3",
    "fr-fr",
    "fr-fr+f3",
    "cmn",
    "ja",
)
SPEECH_VOICES = (*REALTIME_VOICES, "fable", "nova", "onyx")
"""Of OpenAI's text to speech."""


class PageAgents:
    """The page's door to agents."""

    def __init__(self, setup: AgentSetup, manager: AgentManager) -> None:
        self._setup, self._manager = setup, manager

    def config(self) -> PageConfig:
        """What the page offers: the brains that lack nothing, the one that a server is set to first."""
        c, missing = self._setup.config, self._setup.missing()
        first = [c.agent_brain] if c.agent_brain is not None else []
        brains: list[BrainKind] = [kind for kind in get_args(BrainKind) if kind in first]
        brains += [kind for kind in get_args(BrainKind) if not missing[kind] and kind not in first and not first]
        ours = Avatar.load(c.avatar).name
        avatars = [ours, *(name for name in Avatar.builtin() if name != ours)]
        return PageConfig(
            brains=brains,
            voices=self._voices(brains[0]) if brains else [],
            face_voices={name: self._voice_of(brains[0], name) for name in avatars} if brains else {},
            avatars=avatars,
            app_id=c.agora_app_id if self._setup.in_agora else None,
            agora_sdk=c.agora_web_sdk,
        )

    def _voices(self, brain: BrainKind) -> list[str]:
        """Names that somebody will speak with, where the page leaves the brain to the server."""
        if brain == "realtime":
            return list(REALTIME_VOICES)
        tts = self._setup.speech_url() if brain == "cascade" else None
        if tts is None:
            return list(ESPEAK_VOICES)
        return list(SPEECH_VOICES) if is_openai(tts) else []

    def _voice_of(self, brain: BrainKind, avatar: str) -> str:
        """The voice that an agent with this face has, where none is chosen."""
        face = avatar if avatar in Avatar.builtin() else self._setup.config.avatar
        agent = AgentConfig(name="", channel="", brain=brain, avatar=face)
        agent.llm.url, agent.llm.api_key = self._setup.config.llm_url, self._setup.config.openai_api_key
        settle_voice(agent, self._setup.services(agent))
        return agent.voice

    async def start(self, owner: str, wanted: AgentRequest) -> dict[str, Any]:
        """For the page's "start".

        Raises:
            InvalidArgument: the brain is none of those offered. AgentError: see `AgentManager.start`.
        """
        offered = self.config()
        if wanted.brain is not None and wanted.brain not in offered.brains:
            raise InvalidArgument(f"brain must be one of {', '.join(offered.brains)}, got {wanted.brain!r}")
        agent = wanted.config(offered.brains[0], offered.avatars[0])
        agent.owner = owner
        record = await self._manager.start(agent)
        return {"agent_id": record.id, "brain": agent.brain}

    async def stop(self, owner: str, channel: str) -> bool:
        """For the page's "stop": ends the owner's agent in a channel; False = there is none."""
        record = self._manager.in_channel(channel, owner)
        if record is None:
            return False
        await self._manager.stop(record)
        return True
