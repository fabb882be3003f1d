"""The clients of a rig: calls that come at random, talk, pause, are interrupted, lose their connection, and hang up.

Every call is a `provider.client` that reaches the cluster through a `Balancer`, as through any other: that one knows by
/healthz which nodes take requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import httpx
from msgspec import Struct, field
from websockets.asyncio.client import ClientConnection

from ...errors import LipwireError
from ...protocol import messages as m
from ...provider.client import Direct, ProviderClient, ProviderFault, request
from .nodes import Node
from .speech import RATE, Script

if TYPE_CHECKING:
    from ..density.watchers import Watcher

FPS = 25
"""Pictures a second."""
PACE = 1.5
"""Speech comes faster than it is said, as from services that make it."""
ANSWER, START = 4.0, 15.0
"""Seconds for an answer, after which the balancer asks another node; for that to a start, which is asked for once: a
node that took it may do it yet."""
CONNECT = 1.0
"""Seconds for a connection."""
RETURNS = (0.1, 0.3, 1.0)
"""Seconds before a caller that has lost its connection tries it again."""
IDLE = 25.0
"""Seconds after which a session ends that nobody has ended: that of a start whose answer never came."""
LOST_ANSWERS = (502, 504)
"""What a front says where whoever had the request is gone."""
Outcome = Literal["live", "over", "refused", "unanswered", "failed", "died", "lost", "replaced", "broken off"]


class Habits(Struct, frozen=True, kw_only=True):
    """What callers do. Seconds are means of exponential distributions, shares are of utterances."""

    rate: float = 1.0
    """Calls a second (Poisson)."""
    seconds: float = 15.0
    """Of a call."""
    talk: float = 2.5
    pause: float = 1.0
    interrupts: float = 0.15
    drops: float = 0.05
    """WebSockets that are lost, and come back."""
    watched: int = 2
    """Calls at a time that somebody looks at, by WebRTC."""
    most: int = 50
    """Calls at a time; one that would be more does not come."""


class Call(Struct, kw_only=True):
    """What became of one."""

    number: int
    channel: str
    began: float
    session_id: str = ""
    node: str = ""
    """Where it was placed."""
    worker: int = -1
    outcome: Outcome = "live"
    why: str = ""
    start: float = 0.0
    """Seconds that its start took."""
    retry_after: bool = False
    """A refusal said when to come again."""
    closed: list[tuple[float, int]] = field(default_factory=list)
    """When it lost its connection though it had not hung up (monotonic), and the close code."""
    dropped: int = 0
    returned: int = 0
    """How often it came back,"""
    utterances: int = 0
    finished: int = 0
    interrupted: int = 0
    underruns: list[float] = field(default_factory=list)
    """When its speech ran dry (monotonic)."""
    errors: list[tuple[float, str]] = field(default_factory=list)
    """Events `error`."""
    stopped: bool = False
    """The cluster has said that it is over."""
    filler: bool = False
    """It says nothing, and is there to take a place."""
    watched: bool = False
    """Somebody looks at it."""


class Balancer(Direct):
    """Reaches whichever node answers; see `provider.client.Line`. One for all calls.

    Args:
        nodes: all of them, in any state.
    """

    def __init__(self, nodes: list[Node], chance: random.Random) -> None:
        super().__init__(nodes[0].url)
        self.nodes, self._chance = nodes, chance
        self._pool = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER, connect=CONNECT),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=5.0),
        )
        self.healthy: dict[str, bool] = {node.name: True for node in nodes}
        self.retried: list[tuple[float, str]] = []
        """When a node gave no answer to a request (when that was sent), and which."""

    def choose(self, but: str = "") -> Node:
        """A node that takes requests; where none does, any."""
        able = [node for node in self.nodes if self.healthy[node.name] and node.name != but]
        return self._chance.choice(able or self.nodes)

    async def watch(self) -> None:
        """Asks all of them for their health, for ever."""
        await asyncio.gather(*map(self._watch, self.nodes))

    async def _watch(self, node: Node) -> None:
        while True:
            try:
                reply = await self._pool.get(f"{node.url}/healthz", params={"live": ""}, timeout=1.0)
                self.healthy[node.name] = reply.status_code == 200
            except httpx.HTTPError:
                self.healthy[node.name] = False
            await asyncio.sleep(0.5)

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `Line`: of one node, or, where that cannot be reached or gives no answer to what may be asked twice, of
        another one. Raises ProviderFault."""
        path, tried, why = urlsplit(url).path, "", ""
        for _ in range(3):
            node = self.choose(tried)
            sent = time.monotonic()
            limit = httpx.Timeout(START if method == "POST" else ANSWER, connect=CONNECT)
            try:
                reply = await self._pool.request(
                    method, node.url + path, content=body, headers=dict(headers), timeout=limit
                )
            except httpx.HTTPError as exc:
                self.retried.append((sent, node.name))
                tried, why = node.name, f"{method} {path} at {node.name}: {type(exc).__name__} {exc}"
                if method == "POST" and not isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
                    break
                continue
            if reply.status_code == 200:
                return reply.content
            fault = ProviderFault(f"{method} {path} at {node.name} answered {reply.status_code}: {reply.text[:200]}")
            fault.status = reply.status_code
            fault.retry_after = "retry-after" in reply.headers  # type: ignore[attr-defined]
            raise fault
        raise ProviderFault(why)

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> httpx.Response:
        """Straight to one node. Raises httpx.HTTPError."""
        return await self._pool.post(url, content=body, headers=dict(headers))

    async def close(self) -> None:
        """A call that ends leaves it open."""

    async def end(self) -> None:
        """Closes it."""
        await self._pool.aclose()
        await super().close()


class Line:
    """One call's: the balancer, and its connection, to be able to lose it."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._socket: ClientConnection | None = None
        self.times: list[float] = []
        """Seconds that requests took."""

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `provider.client.Line`."""
        began = time.monotonic()
        try:
            return await self._balancer.call(method, url, headers, body)
        finally:
            self.times.append(time.monotonic() - began)

    async def connect(self, url: str, headers: Mapping[str, str]) -> ClientConnection:
        """See `provider.client.Line`."""
        async with asyncio.timeout(ANSWER):
            self._socket = await self._balancer.connect(url, headers)
        return self._socket

    def drop(self) -> None:
        """The connection is gone, as if a network had failed."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def close(self) -> None:
        """Ends nothing: the balancer is for all."""


class Load:
    """All calls.

    Args:
        balancer: how they reach the cluster.
        api_key: of it.
        place: which node a `websocket_address` is on, and which of its workers.
        gone: whether a node or a worker has been taken away by a fault, so that its sessions may be.
        size: of the faces. seed: of everything that is random.
    """

    def __init__(
        self,
        balancer: Balancer,
        api_key: str,
        script: Script,
        habits: Habits,
        *,
        place: Callable[[str], tuple[str, int]],
        gone: Callable[[Call], bool],
        size: tuple[int, int] = (640, 360),
        seed: int = 1,
    ) -> None:
        self.balancer, self.api_key, self.habits = balancer, api_key, habits
        self._script, self._place, self._gone, self._size = script, place, gone, size
        self._seed = seed
        self.calls: list[Call] = []
        self.missed = 0
        """Calls that did not come, since there were too many."""
        self.watched = 0
        """Those that somebody looks at now."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    @property
    def live(self) -> list[Call]:
        """Those that have a session now."""
        return [call for call in self.calls if call.outcome == "live" and call.session_id]

    async def run(self, seconds: float) -> None:
        """Calls come for so long; those that are there by then go on."""
        chance, until = random.Random(f"{self._seed}/arrivals"), time.monotonic() + seconds
        due = time.monotonic()
        while True:
            due += chance.expovariate(self.habits.rate)
            await asyncio.sleep(max(0.0, min(due, until) - time.monotonic()))
            if due >= until:
                return
            if len(self._tasks) >= self.habits.most:
                self.missed += 1
                continue
            self.begin()

    def begin(self, *, filler: bool = False) -> Call:
        """One more call. `filler`: it says nothing, and takes a place until it is let `go`."""
        number = len(self.calls)
        call = Call(number=number, channel=f"call-{self._seed}-{number}", began=time.monotonic(), filler=filler)
        self.calls.append(call)
        task = self._tasks[number] = asyncio.create_task(self._call(call))
        task.add_done_callback(lambda _: self._tasks.pop(number, None))
        return call

    async def go(self, call: Call) -> None:
        """Ends one before its time."""
        if (task := self._tasks.get(call.number)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hang_up(self) -> None:
        """All calls end, and what still lives of them is stopped."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=15)
        await self.break_off()
        await asyncio.gather(*(self._stop(call) for call in self.calls if call.session_id and not call.stopped))

    async def break_off(self) -> None:
        """No call goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop(self, call: Call) -> None:
        """Whatever its node said when it hung up, since it may not have answered then."""
        headers = {"x-api-key": self.api_key, "content-type": "application/json"}
        body = m.encode(m.StopRequest(session_id=call.session_id)).encode()
        with suppress(LipwireError):
            await self.balancer.call("DELETE", "/session/stop", headers, body)
        call.stopped = True

    # ------------------------------------------------------------------------------------------------------- one call

    async def _call(self, call: Call) -> None:
        chance = random.Random(f"{self._seed}/{call.number}")
        line = Line(self.balancer)
        width, height = self._size
        start = request(call.channel, width=width, height=height, activity_idle_timeout=IDLE)
        client = ProviderClient(
            "http://cluster", self.api_key, start, on_event=lambda event: self._hear(call, event), line=line
        )
        try:
            try:
                await client.__aenter__()
            except (LipwireError, TimeoutError) as exc:
                self._no_start(call, exc, line)
                return
            assert client.session is not None
            call.session_id = client.session.session_id
            call.node, call.worker = self._place(client.session.websocket_address)
            call.start = line.times[0]
            try:
                if call.filler:
                    await self._stopping.wait()
                else:
                    async with self._looked_at(call):
                        await self._talk(call, client, line, chance)
                if call.outcome == "live":
                    call.outcome = "over"
            except _Over:
                pass
        except asyncio.CancelledError:
            if call.outcome == "live":
                call.outcome = "broken off" if call.session_id else "unanswered"
            raise
        finally:
            await client.close()

    def _no_start(self, call: Call, exc: Exception, line: Line) -> None:
        call.start = line.times[0] if line.times else 0.0
        call.why = str(exc)
        status = getattr(exc, "status", None)
        call.retry_after = getattr(exc, "retry_after", False)
        if status in (429, 503) and len(line.times) == 1:
            call.outcome = "refused"
        elif status is None or status in LOST_ANSWERS:
            call.outcome = "unanswered"
        else:
            call.outcome = "failed"

    def _hear(self, call: Call, event: m.ServerEvent) -> None:
        now = time.monotonic()
        if isinstance(event, m.PlaybackFinished):
            call.finished += 1
        elif isinstance(event, m.Underrun):
            call.underruns.append(now)
        elif isinstance(event, m.ErrorEvent):
            call.errors.append((now, event.code))

    @contextlib.asynccontextmanager
    async def _looked_at(self, call: Call) -> AsyncIterator[None]:
        """Somebody looks at it meanwhile, where not enough are looked at."""
        node = next((node for node in self.balancer.nodes if node.name == call.node), None)
        if self.watched >= self.habits.watched or node is None:
            yield
            return
        from ..density.watchers import Watcher

        self.watched += 1
        watcher = Watcher("H264", FPS, 1 / FPS)
        looking = asyncio.create_task(self._look(call, watcher, f"{node.viewer_url}/whep/{call.session_id}"))
        try:
            yield
        finally:
            self.watched -= 1
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await watcher.close()

    async def _look(self, call: Call, watcher: Watcher, url: str) -> None:
        try:
            sdp = await watcher.offer()
            reply = await self.balancer.post(url, {"x-api-key": self.api_key, "content-type": "application/sdp"}, sdp)
            if reply.status_code == 201:
                await watcher.connect(reply.text)
                call.watched = True
        except (httpx.HTTPError, TimeoutError, ConnectionError):  # its node has just gone
            pass

    async def _talk(self, call: Call, client: ProviderClient, line: Line, chance: random.Random) -> None:
        """Until it hangs up."""
        habits, until = self.habits, time.monotonic() + chance.expovariate(1 / self.habits.seconds)
        while time.monotonic() < until and not self._stopping.is_set():
            pcm = self._script.piece(min(8.0, 0.3 + chance.expovariate(1 / habits.talk)), chance)
            dice = chance.random()
            try:
                await self._say(call, client, pcm, chance, interrupted=dice < habits.interrupts)
                if habits.interrupts <= dice < habits.interrupts + habits.drops:
                    call.dropped += 1
                    line.drop()
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                    await self._return(call, client)
                await self._pause(call, client, min(5.0, chance.expovariate(1 / habits.pause)))
            except (ProviderFault, TimeoutError):
                await self._recover(call, client)

    async def _say(
        self, call: Call, client: ProviderClient, pcm: bytes, chance: random.Random, *, interrupted: bool
    ) -> None:
        call.utterances += 1
        speaking = asyncio.create_task(client.speak(pcm, RATE, chunk_ms=chance.choice((20, 40, 100)), pace=PACE))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            seconds = len(pcm) / 2 / RATE / PACE
            limit = chance.uniform(0.1, 0.9) * seconds if interrupted else None
            await asyncio.wait({speaking, stop}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                speaking.result()
            if interrupted:
                call.interrupted += 1
                await client.interrupt()
        finally:
            speaking.cancel()
            stop.cancel()
            await asyncio.gather(speaking, stop, return_exceptions=True)

    async def _pause(self, call: Call, client: ProviderClient, seconds: float) -> None:
        """Notices when the connection is lost meanwhile. Raises ProviderFault."""
        closed = asyncio.create_task(client.wait_closed())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({closed, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():
                raise ProviderFault("the provider closed the WebSocket")
        finally:
            closed.cancel()
            stop.cancel()
            await asyncio.gather(closed, stop, return_exceptions=True)

    async def _recover(self, call: Call, client: ProviderClient) -> None:
        """After a connection is gone that it had not dropped."""
        code: int | None = None
        with suppress(TimeoutError, AssertionError):
            async with asyncio.timeout(1):
                code = await client.wait_closed()
        call.closed.append((time.monotonic(), code or 1006))
        if self._gone(call):
            call.outcome = "died"
            raise _Over
        await self._return(call, client)

    async def _return(self, call: Call, client: ProviderClient) -> None:
        """Connects again. Raises _Over: there is no such session any more."""
        why = ""
        for wait in RETURNS:
            try:
                await client.reconnect()
            except (LipwireError, TimeoutError) as exc:
                why = str(exc)
                if getattr(exc, "status", None) in (401, 404):
                    break
                await asyncio.sleep(wait)
            else:
                call.returned += 1
                return
        call.outcome, call.why = ("died" if self._gone(call) else "lost"), why
        raise _Over

    def counts(self) -> Counter[str]:
        """Calls by what became of them."""
        return Counter(call.outcome for call in self.calls)


class _Over(Exception):
    """A call has come to its end before its time."""
