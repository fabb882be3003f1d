"""What a session, an agent or a room costs where it runs, guessed before it runs, in thousandths of `placement.UNIT`'s
face. The guess decides who goes where; what is measured (`wire.Figures.overloaded`) guards it.

Milliseconds of a processor that a second of each takes, on one machine on one day (2026-11-30, two processors that much
else shared; what counts is how they compare):

| | ms | how it was measured |
|---|---|---|
| a session, with its client on a WebSocket, who talks | 7 | `lipwire bench density --paths units --at 6 --quick` |
| drawing 640x360 at 25 pictures a second | 3 | `ws`, without what `units` takes |
| encoding that as H.264 | 28 | the encoders' threads of `x264` |
| encoding that as VP8 | 52 | those of `webrtc-vp8` |
| sending sound and pictures to one who watches | 11 | `webrtc`, without what `units` takes |
| motion, where no picture is made | 1 | docs/motion.md: 0.5 where half talk |
| an agent in a room, which speaks half of the time | 11 | process time of `echo` agents: 8.4 silent, 14.4 speaking |
| ears here (whisper-tiny.en), for half of the time | 103 | the process of models: 205 a second of speech, as it comes |
| judging every 5 s whether a turn is over | 12 | the same: 58 each |
| a voice here (hibari), for half of the time | 5 | the same: 10 a second of speech |

Drawing and encoding count as often as pixels are more than those of 640x360 at 25. Of what is sent one copy is
counted: who watches comes and goes, and has limits of its own (`max_viewers`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from ..agents.config import AgentConfig
from ..protocol import messages as m
from ..provider.sessions import pixel_rate
from .placement import UNIT, Key, Need

FACE = 640 * 360 * 25
"""Pixels a second of the unit's face."""

SESSION_MS, AGENT_MS = 7.0, 11.0
DRAWN_MS, H264_MS, VP8_MS, SENT_MS, MOTION_MS = 3.0, 28.0, 52.0, 11.0, 1.0
EARS_MS, TURNS_MS, VOICE_MS = 103.0, 12.0, 5.0
UNIT_MS = SESSION_MS + DRAWN_MS + H264_MS + SENT_MS

ROOM = round(UNIT * SENT_MS / UNIT_MS)
"""Of a room that somebody opens who joins it: what that one is sent. An empty one takes nothing to speak of, and agents
are counted by themselves."""


class Settings(Protocol):
    """What of a server's settings (`app.config.Config`) counts."""

    @property
    def egress(self) -> m.Egress | None: ...
    @property
    def preencoded(self) -> Literal["auto", "on", "off"]: ...
    @property
    def agent_brain(self) -> Any: ...
    @property
    def openai_api_key(self) -> str | None: ...
    @property
    def stt_url(self) -> str | None: ...
    @property
    def tts_url(self) -> str | None: ...


def channel_key(request: m.StartRequest) -> Key:
    """What of a session there is one at a time, whoever starts it: another owner's is refused where it is."""
    asked = request.agora_settings
    return Key("channel", "", "\n".join((asked.app_id, asked.channel, asked.uid)))


def of_session(request: m.StartRequest, granted: m.Granted, settings: Settings) -> int:
    """The weight of a session."""
    return _weight(SESSION_MS + _face_ms(granted.egress, pixel_rate(granted), granted.video_encoding, settings))


def of_agent(agent: AgentConfig, settings: Settings) -> int:
    """The weight of an agent, prepared or not."""
    brain = settings.agent_brain or agent.brain
    cost = AGENT_MS
    if agent.avatar is not None:
        cost += _face_ms(agent.egress or settings.egress or "both", agent.pixel_rate, "H264", settings)
    if brain in ("cascade", "guide"):
        vendors = bool(settings.openai_api_key)
        if agent.asr is None and not _elsewhere(settings.stt_url, vendors):
            cost += EARS_MS + TURNS_MS
        if agent.tts is None and not _elsewhere(settings.tts_url, vendors):
            cost += VOICE_MS
    return _weight(cost)


def need_of_start(body: Mapping[str, Any], owner: str, settings: Settings) -> Need:
    """What a body of /session/start needs.

    Raises:
        InvalidArgument: it is refused by whoever gets it; any worker says it in its own words.
    """
    request = m.parse_start(dict(body))
    granted = m.grant(request, settings.egress)
    return Need(
        kind="session",
        owner=owner,
        weight=of_session(request, granted, settings),
        pixel_rate=pixel_rate(granted),
        keys=(channel_key(request),),
    )


def need_of_join(agent: AgentConfig, settings: Settings, *, room: bool) -> Need:
    """What an agent needs, as a request describes it (`agents.rest.wire`, `servers.rooms`), with its `owner`. A channel
    of Agora's is named as a room would be: who steers the agent in it names the channel alone.

    Args:
        room: it joins a room of the server, not a channel of Agora's.
    """
    return Need(
        kind="agent",
        owner=agent.owner,
        weight=of_agent(agent, settings),
        pixel_rate=agent.pixel_rate,
        keys=(Key("name", agent.owner, agent.name), room_key(agent.owner, agent.channel)),
        opens_room=room,
    )


def need_of_room(owner: str, name: str) -> Need:
    """What a room needs that somebody opens who joins it."""
    return Need(kind="room", owner=owner, weight=ROOM, keys=(room_key(owner, name),))


def room_key(owner: str, name: str) -> Key:
    """A room's: by its name, which is its owner's alone."""
    return Key("room", owner, name.strip())


def _face_ms(egress: m.Egress, pixels: int, encoding: str, settings: Settings) -> float:
    if egress == "motion":
        return MOTION_MS
    part = pixels / FACE
    encoded = VP8_MS if encoding == "VP8" else H264_MS
    if settings.preencoded == "on" and encoding != "VP8":
        return SENT_MS
    return part * (DRAWN_MS + encoded) + SENT_MS


def _elsewhere(url: str | None, vendors: bool) -> bool:
    return vendors if url is None else url != "offline"


def _weight(ms: float) -> int:
    return max(1, math.ceil(UNIT * ms / UNIT_MS))
