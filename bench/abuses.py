"""One hostile client of a provider, in a process of its own: no benchmark by itself.

    python bench/abuses.py NAME SECONDS HTTP_URL WS_URL VIEWER_URL API_KEY

It goes on for SECONDS whatever is answered, refused or closed, and prints how much it sent. Everything it sends is what
any client could: nothing here is known to break a provider.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from lipwire.protocol import messages as m
from lipwire.provider.client import request

SILENCE = base64.b64encode(bytes(320)).decode()


class Target(Struct):
    """Where to, and for how long (of time.monotonic)."""

    http: str
    ws: str
    viewer: str
    api_key: str
    until: float
    sent: int = 0

    @property
    def on(self) -> bool:
        return time.monotonic() < self.until

    def host(self, url: str) -> tuple[str, int]:
        found = httpx.URL(url)
        assert found.port is not None
        return found.host, found.port


Abuse = Callable[[Target], Awaitable[None]]
ABUSES: dict[str, Abuse] = {}


def abuse(work: Abuse) -> Abuse:
    """Lists it under its own name, with hyphens."""
    ABUSES[work.__name__.replace("_", "-")] = work
    return work


async def persist(target: Target, once: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does it again and again, whatever becomes of it."""
    while target.on:
        with contextlib.suppress(
            OSError, WebSocketException, httpx.HTTPError, TimeoutError, asyncio.IncompleteReadError
        ):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + target.until - time.monotonic()):
                await once()
        await asyncio.sleep(0.02)


async def start(target: Target, channel: str = "abuse", uid: str = "1", **more: Any) -> m.StartReply:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        body = msgspec.json.encode(request(channel, uid=uid, activity_idle_timeout=2, **more))
        reply = await http.post(
            target.http + "/session/start",
            content=body,
            headers={"x-api-key": target.api_key, "content-type": "application/json"},
        )
        if reply.status_code != 200:
            raise ConnectionError(f"{reply.status_code} {reply.text[:100]}")
        return msgspec.json.decode(reply.content, type=m.StartReply)


@contextlib.asynccontextmanager
async def connected(target: Target, session: m.StartReply) -> Any:
    headers = {"Authorization": f"Bearer {session.session_token}"}
    async with connect(session.websocket_address, additional_headers=headers, proxy=None, compression=None) as ws:
        fields = msgspec.to_builtins(request("abuse"))
        await ws.send(json.dumps({"command": "init", "session_id": session.session_id, **fields}))
        yield ws


def voice(payload: str = SILENCE, rate: int = 16000, encoding: str = "PCM16") -> str:
    return json.dumps({"command": "voice", "audio": payload, "sampleRate": rate, "encoding": encoding, "event_id": "x"})


async def flood(
    target: Target, messages: Callable[[], str | bytes], *, read: bool = True, connections: int = 1
) -> None:
    """As fast as a session's token lets it: over one session, on so many connections."""

    async def one() -> None:
        session = await start(target)

        async def over(ws: ClientConnection) -> None:
            async def swallow() -> None:
                async for _ in ws:
                    pass

            reader = asyncio.create_task(swallow()) if read else None
            try:
                while target.on:
                    await ws.send(messages())
                    target.sent += 1
            finally:
                if reader is not None:
                    reader.cancel()
                    await asyncio.gather(reader, return_exceptions=True)

        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(connected(target, session)) for _ in range(connections)]
            await asyncio.gather(*(over(ws) for ws in sockets))

    await persist(target, one)


# ---------------------------------------------------------------------------------------------- over a session's token


@abuse
async def odd_rates(target: Target) -> None:
    """Tiny `voice` messages, each of another unusual sample rate."""
    rates = itertools.cycle(range(8001, 47999, 37))
    await flood(target, lambda: voice(rate=next(rates)))


@abuse
async def two_odd_rates(target: Target) -> None:
    """The same two in turn."""
    rates = itertools.cycle((11117, 44111))
    await flood(target, lambda: voice(rate=next(rates)))


@abuse
async def unknown_keys(target: Target) -> None:
    """`special` with 100 000 keys that nobody knows."""
    content = {f"unknown_{i}": i for i in range(100_000)}
    message = json.dumps({"command": "special", "content": content, "event_id": "x"})
    await flood(target, lambda: message)


@abuse
async def bad_states(target: Target) -> None:
    """`special` with a state that there is not: a line in the log each."""
    message = json.dumps({"command": "special", "content": {"state": "x" * 50, "gesture": "y" * 50}, "event_id": "x"})
    await flood(target, lambda: message)


@abuse
async def large_voice(target: Target) -> None:
    """`voice` of nearly 4 MiB."""
    message = voice(base64.b64encode(bytes(3_000_000)).decode(), rate=48000)
    await flood(target, lambda: message)


@abuse
async def large_voice_8k(target: Target) -> None:
    """PCM8 of nearly 4 MiB at 8 kHz: six samples come of each byte. Interrupted each time, so that there is room."""
    messages = itertools.cycle(
        (voice(base64.b64encode(b"\x80" * 900_000).decode(), 8000, "PCM8"), json.dumps({"command": "voice_interrupt"}))
    )
    await flood(target, lambda: next(messages))


@abuse
async def tiny_messages(target: Target) -> None:
    """Heartbeats, each of which is answered."""
    message = json.dumps({"command": "heartbeat", "event_id": "x", "timestamp": 1})
    await flood(target, lambda: message)


@abuse
async def tiny_messages_unread(target: Target) -> None:
    """The same from a client that never reads."""
    message = json.dumps({"command": "heartbeat", "event_id": "x", "timestamp": 1})
    await flood(target, lambda: message, read=False)


@abuse
async def errors(target: Target) -> None:
    """Messages that are each wrong in another way."""
    wrong: Iterator[str | bytes] = itertools.cycle(
        (
            "no json",
            "[" * 900 + "]" * 900,
            json.dumps({"command": "nonsense"}),
            voice("###"),
            voice(rate=1),
            voice(encoding="MP3"),
            voice(base64.b64encode(b"odd").decode()),
            b"binary",
            json.dumps({"command": "voice"}),
            json.dumps({"command": "init", "quality": "none"}),
        )
    )
    await flood(target, lambda: next(wrong))


@abuse
async def deep_json(target: Target) -> None:
    """Large JSON that is nested or wide, in commands that nobody knows."""
    message = json.dumps({"command": "nonsense", "x": [[[{"a": i}] * 3] for i in range(60_000)]})
    await flood(target, lambda: message)


@abuse
async def init_again(target: Target) -> None:
    """`init` again and again."""
    message = json.dumps({"command": "init", **msgspec.to_builtins(request("abuse"))})
    await flood(target, lambda: message)


@abuse
async def interrupts(target: Target) -> None:
    """Speech and an interrupt in turn."""
    messages = itertools.cycle((voice(), json.dumps({"command": "voice_interrupt", "event_id": "i"})))
    await flood(target, lambda: next(messages))


@abuse
async def opus_noise(target: Target) -> None:
    """Packets that are no Opus, or hardly."""
    chance = random.Random(1)
    packets = itertools.cycle(
        [voice(base64.b64encode(chance.randbytes(60)).decode(), 48000, "OPUS") for _ in range(97)]
    )
    await flood(target, lambda: next(packets))


@abuse
async def encodings(target: Target) -> None:
    """The encoding changes with every message."""
    opus = base64.b64encode(b"\xf8\xff\xfe").decode()
    messages = itertools.cycle((voice(), voice(opus, 48000, "OPUS"), voice(encoding="PCM8", rate=8000)))
    await flood(target, lambda: next(messages))


@abuse
async def many_connections(target: Target) -> None:
    """Connections of one session that take over from each other."""

    async def one() -> None:
        session = await start(target)
        while target.on:
            async with connected(target, session):
                target.sent += 1

    await persist(target, one)


@abuse
async def pings(target: Target) -> None:
    """WebSocket pings as fast as they go."""

    async def one() -> None:
        async with connected(target, await start(target)) as ws:
            while target.on:
                await ws.ping()
                target.sent += 1

    await persist(target, one)


# ------------------------------------------------------------------------------------------------ with an API key


@abuse
async def churn(target: Target) -> None:
    """Sessions that are started and stopped at once."""
    numbers = itertools.count()

    async def one() -> None:
        while target.on:
            session = await start(target, f"churn-{next(numbers) % 7}")
            target.sent += 1
            async with httpx.AsyncClient(trust_env=False) as http:
                await http.request(
                    "DELETE",
                    target.http + "/session/stop",
                    json={"session_id": session.session_id},
                    headers={"x-api-key": target.api_key},
                )

    await asyncio.gather(*(persist(target, one) for _ in range(4)))


@abuse
async def odd_sizes(target: Target) -> None:
    """Sessions each of another size, so that the avatar is drawn anew each time."""
    sizes = itertools.count(320, 2)

    async def one() -> None:
        while target.on:
            width = next(sizes)
            await start(target, f"size-{width % 3}", width=width, height=360)
            target.sent += 1

    await persist(target, one)


@abuse
async def greedy(target: Target) -> None:
    """As many of the largest pictures at the highest rate as it is given."""
    numbers = itertools.count()

    async def one() -> None:
        while target.on:
            await start(target, f"greedy-{next(numbers)}", width=1920, height=1080, fps=60)
            target.sent += 1

    await persist(target, one)


# ------------------------------------------------------------------------------------------------- without any


@abuse
async def bad_tokens(target: Target) -> None:
    """WebSocket handshakes with tokens that are none."""

    async def one() -> None:
        while target.on:
            target.sent += 1
            with contextlib.suppress(WebSocketException):
                async with connect(target.ws, additional_headers={"Authorization": "Bearer " + "x" * 3000}, proxy=None):
                    pass

    await asyncio.gather(*(persist(target, one) for _ in range(8)))


async def hold(target: Target, url: str, first: bytes, drip: bytes = b"") -> None:
    """Sockets that say `first` and then next to nothing, as many as this process may open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    held: list[asyncio.StreamWriter] = []
    while target.on:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(50):
                    _, writer = await asyncio.open_connection(*target.host(url))
                    writer.write(first)
                    held.append(writer)
                    target.sent += 1
        for writer in held[-200:]:
            with contextlib.suppress(OSError):
                writer.write(drip)
        await asyncio.sleep(0.05)
    for writer in held:
        writer.close()


@abuse
async def silent_http(target: Target) -> None:
    """Connections to the HTTP side that say nothing."""
    await hold(target, target.http, b"")


@abuse
async def slow_http(target: Target) -> None:
    """Requests whose head comes a byte at a time."""
    await hold(target, target.viewer, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"a")


@abuse
async def silent_ws(target: Target) -> None:
    """Handshakes that never end."""
    await hold(target, target.ws, b"GET / HTTP/1.1\r\n", b"a")


async def pour(target: Target, url: str, head: bytes, more: bytes) -> None:
    """A request that goes on with `more` for as long as it is taken."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(target.until - time.monotonic()):
            _, writer = await asyncio.open_connection(*target.host(url))
            try:
                writer.write(head)
                while target.on:
                    writer.write(more)
                    await writer.drain()
                    target.sent += 1
            finally:
                writer.transport.abort()


@abuse
async def tiny_chunks(target: Target) -> None:
    """Bodies in chunks of a byte each, without end and without a key."""
    head = b"POST /session/start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"1\r\nx\r\n" * 40_000
    await asyncio.gather(*(persist(target, lambda: pour(target, target.http, head, chunks)) for _ in range(16)))


@abuse
async def wide_heads(target: Target) -> None:
    """Heads of 3900 empty headers, a hundred of which end at once."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 3900

    async def one() -> None:
        opened = [await asyncio.open_connection(*target.host(target.http)) for _ in range(100)]
        try:
            for _, writer in opened:
                writer.write(head)
                target.sent += 1
                await writer.drain()
            for _, writer in opened:
                writer.write(b"\r\n")
            await asyncio.gather(*(reader.read(1) for reader, _ in opened))
        finally:
            for _, writer in opened:
                writer.transport.abort()

    await persist(target, one)


async def requests(target: Target, method: str, url: str, workers: int = 8, **more: Any) -> None:
    async def one() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            while target.on:
                await http.request(method, url, **more)
                target.sent += 1

    await asyncio.gather(*(persist(target, one) for _ in range(workers)))


@abuse
async def bad_keys(target: Target) -> None:
    """Guesses of the API key."""
    await requests(target, "POST", target.http + "/session/start", headers={"x-api-key": "guess"}, json={})


@abuse
async def scraping(target: Target) -> None:
    """/metrics and the API's description, as fast as they come."""
    await asyncio.gather(
        requests(target, "GET", target.http + "/metrics", 4),
        requests(target, "GET", target.http + "/schema/openapi.json", 4),
    )


@abuse
async def offers(target: Target) -> None:
    """WebRTC offers for whatever session there is, that nobody will follow up."""
    sdp = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 "
        + ":".join(["00"] * 32)
        + "\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    )

    async def one() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10, headers={"x-api-key": target.api_key}) as http:
            listed = (await http.get(target.viewer + "api/sessions")).json().get("sessions", [])
            while target.on:
                for session in listed or [{"session_id": "none"}]:
                    url = f"{target.viewer}whep/{session['session_id']}"
                    await http.post(url, headers={"content-type": "application/sdp"}, content=sdp)
                    target.sent += 1

    await asyncio.gather(*(persist(target, one) for _ in range(4)))


async def main() -> None:
    name, seconds, http, ws, viewer, key = sys.argv[1:]
    target = Target(http, ws, viewer, key, time.monotonic() + float(seconds))
    await ABUSES[name](target)
    print(json.dumps({"sent": target.sent}))


if __name__ == "__main__":
    asyncio.run(main())
