"""What an agent takes for a channel, and what it refuses when it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import lipwire
from lipwire.agents.agent import Agent
from lipwire.agents.brains.echo import EchoBrain
from lipwire.agents.config import AgentConfig
from lipwire.channel.base import ChannelEvent, UserJoined, as_channel
from lipwire.channel.room.room import Rooms
from lipwire.errors import InvalidArgument
from lipwire.protocol import transcript as t
from lipwire.stream import StreamSpec


class Own:
    """The methods of a channel, and nothing else."""

    def __init__(self) -> None:
        self.on_event: Callable[[ChannelEvent], None] | None = None
        self.blocks = 0
        self.sent: list[bytes] = []
        self.asked: list[str | None] = []

    async def open(self, spec: StreamSpec) -> None: ...

    def audio(self, pcm: bytes, sample: int) -> None:
        self.blocks += 1

    def video(self, frame: lipwire.Frame) -> None: ...
    async def close(self) -> None: ...

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        self.asked.append(user)

    def unsubscribe(self, user: str | None = None) -> None: ...

    def stats(self) -> dict[str, Any]:
        return {"blocks": self.blocks}


async def test_an_agent_speaks_in_what_has_the_methods_of_a_channel() -> None:
    own = Own()
    given: Any = own
    config = AgentConfig(name="a", channel="c", avatar=None)
    agent = Agent(config, given, EchoBrain(config))
    await agent.start()
    assert agent.channel is given and own.asked == [None]
    assert own.on_event is not None
    own.on_event(UserJoined("7"))
    assert agent.users == {"7"}
    async with asyncio.timeout(60):
        while own.blocks < 3 or not own.sent:
            await asyncio.sleep(0.01)
    agent.interrupt()
    agent.update({"token": "new"})  # it knows of no tokens
    assert agent.stats()["channel"]["blocks"] == own.blocks
    await agent.stop()
    assert own.on_event is None
    assert all(len(packet) <= t.PACKET for packet in own.sent)


def test_what_it_has_beyond_that_is_used() -> None:
    class More(Own):
        packet_size = 77
        token = ""
        interrupts = 0

        def renew(self, token: str) -> None:
            self.token = token

        def interrupt(self) -> None:
            self.interrupts += 1

    more = More()
    channel = as_channel(more)
    channel.renew("new")
    channel.interrupt()
    assert (channel.packet_size, more.token, more.interrupts) == (77, "new", 1)


def test_a_channel_is_taken_as_it_is() -> None:
    channel = Rooms().channel("lobby")
    assert as_channel(channel) is channel


@pytest.mark.parametrize("name", ["send", "subscribe", "unsubscribe", "stats", "audio"])
def test_what_lacks_a_method_is_refused_by_its_name(name: str) -> None:
    own: Any = Own()
    setattr(own, name, None)
    config = AgentConfig(name="a", channel="c")
    with pytest.raises(InvalidArgument, match=rf"no method {name}\(\)"):
        Agent(config, own, EchoBrain(config))
