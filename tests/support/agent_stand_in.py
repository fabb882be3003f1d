"""A small real agent for tests of what is around agents: it joins a channel, says what it is told, and keeps account.

It has the interface of `lipwire.agents.agent.Agent`, as far as `AgentManager` uses it, and thinks nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

from lipwire.agents.brains.base import Brain
from lipwire.agents.config import AgentConfig
from lipwire.agents.manager import AgentManager
from lipwire.agents.turns import StartReason, Turns
from lipwire.agents.update import apply
from lipwire.channel.base import Channel, ChannelEvent
from lipwire.errors import LipwireError
from lipwire.publish import Null
from lipwire.stream import StreamSpec

inside: set[Place] = set()
"""Who is in a channel now."""


class Refused(LipwireError):
    """What a channel says that does not let one in."""

    code = "REFUSED"


class Place(Null, Channel):
    """A channel in which nobody is, that counts who comes and goes."""

    packet_size = 1024

    def __init__(self, config: AgentConfig) -> None:
        super().__init__()
        self.config = config
        self.on_event: Callable[[ChannelEvent], None] | None = None

    async def open(self, spec: StreamSpec) -> None:
        if self.config.channel == "closed":
            raise Refused("nobody is let in here")
        if self.config.channel == "slow":
            await asyncio.Event().wait()
        await super().open(spec)
        inside.add(self)

    async def close(self) -> None:
        inside.discard(self)
        await super().close()

    def interrupt(self) -> None: ...
    def send(self, data: bytes) -> None: ...
    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None: ...
    def unsubscribe(self, user: str | None = None) -> None: ...
    def stats(self) -> dict[str, Any]:
        return {}


class Silent:
    """A brain that thinks nothing."""

    async def open(self, emit: Callable[[Any], None]) -> None: ...
    async def close(self) -> None: ...
    def hear(self, pcm: bytes, user: str) -> None: ...
    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None: ...
    def tell(self, text: str, role: str = "user", **more: Any) -> None: ...
    def respond(self, instructions: str | None = None) -> None: ...
    def speak(self, text: str) -> str:
        return ""

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None: ...
    def commit(self) -> None: ...
    def update(self, changes: dict[str, Any]) -> None: ...
    def tool_result(self, call_id: str, output: str) -> None: ...


class StandIn:
    """See the module. `done` lists every call, in order."""

    def __init__(
        self, config: AgentConfig, channel: Channel, brain: Brain, on_event: Callable[[Any], None] | None = None
    ) -> None:
        self.config, self.channel, self.brain, self.on_event = config, channel, brain, on_event
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.state, self.paused = "idle", False
        self.done: list[tuple[Any, ...]] = []
        self.said: list[dict[str, Any]] = []
        self.kept = Turns()

    @property
    def finished(self) -> Awaitable[str]:
        return asyncio.shield(self.over)

    async def start(self) -> None:
        spec = StreamSpec(session_id=self.config.name, width=64, height=36, fps=Fraction(25))
        await self.channel.open(spec)
        await self.brain.open(lambda event: None)
        self.state = "listening"

    async def stop(self, reason: str = "left") -> None:
        self.done.append(("stop", reason))
        if self.config.channel == "sticky":
            await asyncio.Event().wait()
        await self.brain.close()
        await self.channel.close()
        if self.config.channel == "brittle":
            raise RuntimeError("it broke while leaving")

    async def farewell(self) -> None:
        self.done.append(("farewell",))
        if self.config.channel == "talkative":
            await asyncio.Event().wait()

    async def wind_up(self) -> None:
        self.done.append(("wind_up",))
        if self.config.channel == "talkative":
            await asyncio.Event().wait()

    def speak(self, text: str, priority: str = "INTERRUPT", interruptable: bool = True) -> None:
        self.done.append(("speak", text, priority, interruptable))
        self.said.append({"role": "assistant", "content": text})
        self._turn("speak", agent_text=text)
        if self.on_event is not None:
            self.on_event(text)

    def interrupt(self) -> None:
        self.done.append(("interrupt",))

    def tell(self, text: str, role: str = "user") -> None:
        self.done.append(("tell", text, role))
        self.said.append({"role": role, "content": text})
        self._turn("text", user_text=text)

    def think(self, text: str, **how: Any) -> None:
        self.done.append(("think", text, how))
        self.said.append({"role": "user", "content": text})
        self._turn("think", user_text=text)

    def _turn(self, reason: StartReason, *, user_text: str = "", agent_text: str = "") -> None:
        """One that is over at once."""
        self.kept.began_at = round(time.time() * 1000)
        turn = self.kept.begin(reason, 0)
        turn.played_ms, turn.user_text, turn.agent_text = 1.0, user_text, agent_text
        self.kept.end(turn, "finished", 1)

    def respond(self, instructions: str | None = None) -> None:
        self.done.append(("respond", instructions))

    def commit(self) -> None:
        self.done.append(("commit",))

    def update(self, changes: dict[str, Any]) -> None:
        self.done.append(("update", changes))
        apply(self.config, changes)

    def history(self) -> list[dict[str, Any]]:
        return list(self.said)

    def in_use(self) -> dict[str, Any]:
        return {}

    def turns(self) -> list[dict[str, Any]]:
        return self.kept.as_list()

    def stats(self) -> dict[str, Any]:
        return {"state": self.state}


def make_stand_in(config: AgentConfig, on_event: Callable[[Any], None]) -> StandIn:
    """For `AgentManager`."""
    return StandIn(config, Place(config), Silent(), on_event)


def manager(**options: Any) -> AgentManager:
    """A manager of stand-ins."""
    return AgentManager(make_stand_in, **options)
