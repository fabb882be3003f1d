"""What the client page (`servers.rooms`) can offer on this server, and the agents that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from ..agents.config import AgentConfig, BrainKind
from ..agents.manager import AgentManager
from ..agents.voices import settle_voice
from ..avatar import Avatar
from ..errors import InvalidArgument
from ..models.voices.catalogue import voices
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
"""Of espeak-ng's, those of common languages; each speaks with any variant (+f1 to +f5, +m1 to +m8) as well."""
SPEECH_VOICES = (*REALTIME_VOICES, "fable", "nova", "onyx")
"""Of OpenAI's text to speech."""


SMALLER = (1.0, 0.75, 0.5)
"""Parts of the width and height that was asked for, the largest first."""

HasRoom = Callable[[str, int], bool]
"""(owner, pixels a second) -> whether this machine, and what the owner may have, has room for one more such face."""


def fit(agent: AgentConfig, has_room: HasRoom) -> None:
    """Makes an agent's picture as large as there is room for, from half of what was asked for in each direction on."""
    if agent.avatar is None:
        return
    width, height = agent.width, agent.height
    for part in SMALLER:
        agent.width, agent.height = (max(16, round(side * part / 2) * 2) for side in (width, height))
        if has_room(agent.owner, agent.pixel_rate):
            return


def here(folder: str | None) -> list[str]:
    """The voices of this machine that are no robot's, with those in the operator's folder."""
    listed = voices(None if folder is None else Path(folder))
    return [voice.name for voice in listed if not voice.missing and not voice.name.startswith("espeak:")]


class PageAgents:
    """The page's door to agents.

    Args:
        setup: what the settings mean for them. manager: runs them. has_room: see `fit`; None = for any.
    """

    def __init__(self, setup: AgentSetup, manager: AgentManager, has_room: HasRoom | None = None) -> None:
        self._setup, self._manager = setup, manager
        self._has_room = has_room or (lambda owner, rate: True)

    def config(self) -> PageConfig:
        """What the page offers: the brains that lack nothing, the one that a server is set to first."""
        c, brains, avatars = self._setup.config, self._brains(), self._avatars()
        return PageConfig(
            brains=brains,
            voices=self._voices(brains[0]) if brains else [],
            face_voices={name: self._voice_of(brains[0], name) for name in avatars} if brains else {},
            avatars=avatars,
            app_id=c.agora_app_id if self._setup.in_agora else None,
            agora_sdk=c.agora_web_sdk,
            watch_path="./",
        )

    def _brains(self) -> list[BrainKind]:
        c, missing = self._setup.config, self._setup.missing()
        first = [c.agent_brain] if c.agent_brain is not None else []
        brains: list[BrainKind] = [kind for kind in get_args(BrainKind) if kind in first]
        return brains + [kind for kind in get_args(BrainKind) if not missing[kind] and kind not in first and not first]

    def _avatars(self) -> list[str]:
        ours = Avatar.load(self._setup.config.avatar).name
        return [ours, *(name for name in Avatar.builtin() if name != ours)]

    def _voices(self, brain: BrainKind) -> list[str]:
        """Names that somebody will speak with, where the page leaves the brain to the server."""
        if brain == "realtime":
            return list(REALTIME_VOICES)
        tts = self._setup.speech_url(brain) if brain in ("cascade", "guide") else None
        if tts is None:
            return [*here(self._setup.config.voices), *ESPEAK_VOICES]
        return list(SPEECH_VOICES) if is_openai(tts) else []

    def _voice_of(self, brain: BrainKind, avatar: str) -> str:
        """The voice that an agent with this face has, where none is chosen."""
        face = avatar if avatar in Avatar.builtin() else self._setup.config.avatar
        agent = AgentConfig(name="", channel="", brain=brain, avatar=face)
        agent.llm.url, agent.llm.api_key = self._setup.config.llm_url, self._setup.config.openai_api_key
        settle_voice(agent, self._setup.services(agent))
        return agent.voice

    async def start(self, owner: str, wanted: AgentRequest) -> dict[str, Any]:
        """For the page's "start"; what was granted.

        Raises:
            InvalidArgument: the brain is none of those offered. AgentError: see `AgentManager.start`.
        """
        brains = self._brains()
        if wanted.brain is not None and wanted.brain not in brains:
            raise InvalidArgument(f"brain must be one of {', '.join(brains)}, got {wanted.brain!r}")
        agent = wanted.config(brains[0], self._avatars()[0])
        agent.owner = owner
        fit(agent, self._has_room)
        record = await self._manager.start(agent)
        picture = {} if agent.avatar is None else {"width": agent.width, "height": agent.height}
        return {"agent_id": record.id, "brain": agent.brain} | picture

    async def stop(self, owner: str, channel: str) -> bool:
        """For the page's "stop": ends the owner's agent in a channel; False = there is none."""
        record = self._manager.in_channel(channel, owner)
        if record is None:
            return False
        await self._manager.stop(record)
        return True
