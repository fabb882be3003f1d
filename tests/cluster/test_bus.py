"""What both buses promise; and of NATS what only it can: to be away, and to come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from lipwire.cluster.bus import Bus, BusDown, Message, NoResponders
from lipwire.cluster.memory_bus import Broker, MemoryBus
from lipwire.cluster.nats_bus import NatsBus
from lipwire.errors import InvalidArgument
from support.nats_server import NatsServer

MakeBus = Callable[[], Awaitable[Bus]]


@pytest_asyncio.fixture(params=["memory", "nats"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeBus]:
    if request.param == "memory":
        broker = Broker()

        async def in_memory() -> Bus:
            return MemoryBus(broker)

        yield in_memory
        return
    made: list[NatsBus] = []
    async with NatsServer() as server:

        async def over_nats() -> Bus:
            made.append(await NatsBus.connect([server.url], name=f"test {len(made)}"))
            return made[-1]

        yield over_nats
        for bus in made:
            await bus.close()


async def test_who_listens_hears_in_order(make: MakeBus) -> None:
    one, other = await make(), await make()
    heard: list[bytes] = []
    done = asyncio.Event()

    def hear(message: Message) -> None:
        assert not message.asks
        message.respond(b"to nobody")
        heard.append(message.data)
        if len(heard) == 100:
            done.set()

    held = other.subscribe("a.b", hear)
    await other.flush()
    for number in range(100):
        one.publish("a.b", b"%d" % number)
        one.publish("a.c", b"for another")
    async with asyncio.timeout(30):
        await done.wait()
    assert heard == [b"%d" % number for number in range(100)]
    held.close()
    held.close()
    await other.flush()
    one.publish("a.b", b"late")
    with pytest.raises(NoResponders):
        await one.request("a.b", b"", 30)
    assert len(heard) == 100


async def test_a_request_is_answered_or_fails_at_once(make: MakeBus) -> None:
    one, other = await make(), await make()
    with pytest.raises(NoResponders):
        await one.request("nobody", b"?", 600)  # at once, not after ten minutes
    other.subscribe("echo", lambda message: message.respond(message.data + b"!"))
    other.subscribe("silent", lambda message: None)
    await other.flush()
    answers = await asyncio.gather(*(one.request("echo", b"%d" % n, 30) for n in range(200)))
    assert answers == [b"%d!" % n for n in range(200)]
    with pytest.raises(TimeoutError):
        await one.request("silent", b"?", 0.05)
    held: list[Message] = []
    other.subscribe("later", held.append)
    await other.flush()
    asking = asyncio.create_task(one.request("later", b"?", 30))
    async with asyncio.timeout(30):
        while not held:
            await asyncio.sleep(0.001)
    assert held[0].asks
    held[0].respond(b"now")
    assert await asking == b"now"


async def test_of_a_group_one_gets_it(make: MakeBus) -> None:
    sender, *members = [await make() for _ in range(4)]
    got: list[int] = []
    held = [
        bus.subscribe("work", lambda message, n=n: (got.append(n), message.respond(b""))[1], group="g")  # type: ignore[misc]
        for n, bus in enumerate(members)
    ]
    everyone: list[bytes] = []
    members[0].subscribe("work", lambda message: everyone.append(message.data))
    for bus in members:
        await bus.flush()
    for _ in range(60):
        await sender.request("work", b"x", 30)
    async with asyncio.timeout(30):
        while len(everyone) < 60:
            await asyncio.sleep(0.001)
    assert len(got) == 60 and set(got) == {0, 1, 2}, "each of them gets some, and none of them what another has"
    held[1].close()
    held[2].close()
    for bus in members:
        await bus.flush()
    got.clear()
    for _ in range(20):
        await sender.request("work", b"x", 30)
    assert set(got) == {0}


async def test_all_answers_are_gathered(make: MakeBus) -> None:
    asking, *others = [await make() for _ in range(4)]
    began = time.monotonic()
    assert await asking.gather("nobody", b"", 60) == []
    assert time.monotonic() - began < 30, "where nobody listens, that is known at once"
    for n, bus in enumerate(others):
        bus.subscribe("who", lambda message, n=n: message.respond(b"%d" % n) if n else None)  # type: ignore[misc]
        await bus.flush()
    assert sorted(await asking.gather("who", b"", 2.0)) == [b"1", b"2"]


# ------------------------------------------------------------------------------------------------- NATS alone


async def test_nats_that_was_away_is_there_again_and_so_are_subscriptions() -> None:
    async with NatsServer() as server:
        one = await NatsBus.connect([server.url], name="one")
        other = await NatsBus.connect([server.url], name="other")
        told: list[bool] = []
        one.on_connection = told.append
        other.subscribe("echo", lambda message: message.respond(message.data))
        await other.flush()
        await server.stop()
        async with asyncio.timeout(30):
            while one.connected or other.connected:
                await asyncio.sleep(0.01)
        with pytest.raises(BusDown):
            await one.request("echo", b"?", 1)
        with pytest.raises(BusDown):
            await one.flush()
        one.publish("echo", b"into the void")
        late = other.subscribe("later", lambda message: message.respond(b"later"))
        await server.start()
        async with asyncio.timeout(30):
            while not (one.connected and other.connected):
                await asyncio.sleep(0.01)
            await other.flush()
            while True:
                try:
                    assert await one.request("echo", b"again", 1) == b"again"
                    assert await one.request("later", b"", 1) == b"later"
                    break
                except (NoResponders, BusDown):  # the other is on its way back
                    await asyncio.sleep(0.01)
        late.close()
        assert told == [False, True]
        await one.close()
        await other.close()


async def test_a_handler_that_fails_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def hear(message: Message) -> None:
        heard.append(message.data)
        raise RuntimeError("a fault of ours")

    async with NatsServer() as server:
        bus = await NatsBus.connect([server.url], name="one")
        bus.subscribe("s", hear)
        await bus.flush()
        bus.publish("s", b"1")
        bus.publish("s", b"2")
        async with asyncio.timeout(30):
            while len(heard) < 2:
                await asyncio.sleep(0.001)
        assert sum("could not be handled" in record.message for record in caplog.records) >= 1
        await bus.close()


async def test_nats_that_stands_still_is_left() -> None:
    async with NatsServer() as server:
        bus = await NatsBus.connect([server.url], name="one")
        server.freeze(True)
        async with asyncio.timeout(60):
            while bus.connected:
                await asyncio.sleep(0.05)
        server.freeze(False)
        async with asyncio.timeout(60):
            while not bus.connected:
                await asyncio.sleep(0.05)
        await bus.close()


@pytest.mark.parametrize("secret", ["right", "wrong"])
async def test_a_password(secret: str) -> None:
    async with NatsServer("--user", "u", "--pass", "right") as server:
        url = server.url.replace("//", f"//u:{secret}@")
        if secret == "right":
            bus = await NatsBus.connect([url], name="one")
            await bus.flush()
            await bus.close()
            return
        with pytest.raises(InvalidArgument, match=r"to nats://127\.0\.0\.1.*: user, password or cred") as caught:
            await NatsBus.connect([url], name="one")
        assert "wrong" not in str(caught.value)


async def test_no_server_and_no_file() -> None:
    server = NatsServer()
    with pytest.raises(InvalidArgument, match=f"cannot connect to nats://127.0.0.1:{server.port}"):
        await NatsBus.connect([server.url], name="one")
    with pytest.raises(InvalidArgument, match="/nowhere: no such file"):
        await NatsBus.connect([server.url], name="one", credentials="/nowhere")
