"""What a `voice` message costs at the door: paced clients in a process on one core, a server in another process on the
other. Microseconds of the server's CPU a message, the kernel's share of its reads with them.

Each client sends a chunk of speech (PCM16, 48 kHz) every so often, as a voice engine does. The servers:

  lipwire               serve_ws: tokens, limits, turns; sessions that only count
  websockets            websockets.asyncio.server.serve, and Ingest for each message
  picows                a listener of picows', and Ingest for each frame
  ..., uvloop           the same on that loop

What is not installed is left out: pip install picows uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import multiprocessing
import os
import random
import resource
import socket
import sys
import time
from typing import Any

from harness import ROOT, Results, chunks, espeak, main
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Ingest
from lipwire.provider.client import request

sys.path.insert(0, str(ROOT / "tests"))
from support import abuse
from support.provider_stage import FakeSession, Stage

try:
    import picows
except ImportError:
    picows = None
try:
    import uvloop
except ImportError:
    uvloop = None

RATE = 48000
HOST = "127.0.0.1"
SERVERS = ("lipwire", "websockets", "picows", "websockets, uvloop", "picows, uvloop", "lipwire, uvloop")
LOADS = ((100, 100), (400, 100), (100, 20), (400, 20))
"""(clients, ms of a chunk)."""


class Counting(FakeSession):
    """A session that counts."""

    heard = 0

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None) -> None:
        Counting.heard += 1


class Counter:
    """The server's side of one connection without a provider."""

    def __init__(self) -> None:
        self.ingest = Ingest("s", m.grant(request()))
        self.ingest.initialized = True

    def take(self, text: str | bytes) -> None:
        for _ in self.ingest.receive(text, time.monotonic()):
            Counting.heard += 1


# -------------------------------------------------------------------------------------------------------- the servers


async def serve_lipwire(count: int) -> tuple[int, list[str]]:
    from lipwire.servers.listen import Door, Limits
    from lipwire.servers.ws import serve_ws

    stage = Stage(max_sessions=count)

    async def make(*args: Any) -> FakeSession:
        return Counting(*args)

    stage.provider._make_session = make
    replies = [await stage.start(channel=str(n)) for n in range(count)]
    server = await serve_ws(stage.provider, port=0, door=Door(Limits(per_address=1 << 16)))
    return server.port, [f"{reply.session_id} {reply.session_token}" for reply in replies]


async def serve_websockets(count: int) -> tuple[int, list[str]]:
    from websockets.asyncio.server import serve

    async def handle(ws: Any) -> None:
        counter = Counter()
        async for message in ws:
            counter.take(message)

    server = await serve(handle, HOST, 0, compression=None)
    return next(iter(server.sockets)).getsockname()[1], ["s t"] * count


async def serve_picows(count: int) -> tuple[int, list[str]]:
    class Listener(picows.WSListener):
        def __init__(self) -> None:
            self.counter = Counter()

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                self.counter.take(frame.get_payload_as_ascii_text())

    server = await picows.ws_create_server(lambda _: Listener(), HOST, 0)
    return server.sockets[0].getsockname()[1], ["s t"] * count


def serve(name: str, core: int, pipe: Any) -> None:
    """A process: serves until it is ended; answers what is asked with (messages, CPU seconds)."""
    os.sched_setaffinity(0, {core})
    kind, _, loop = name.partition(", ")

    async def run() -> None:
        count = pipe.recv()
        pipe.send(await {"lipwire": serve_lipwire, "websockets": serve_websockets, "picows": serve_picows}[kind](count))
        asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), asked.set)
        while True:
            await asked.wait()
            asked.clear()
            while pipe.poll():
                pipe.recv()
                pipe.send((Counting.heard, time.process_time()))

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if loop else None)
    with contextlib.suppress(EOFError, KeyboardInterrupt), runner:
        runner.run(run())


# -------------------------------------------------------------------------------------------------------- the clients


def connect(port: int, session: str) -> socket.socket:
    """A connection that has said `init`."""
    session_id, token = session.split()
    client = socket.create_connection((HOST, port), 20)
    client.sendall(abuse.handshake(token))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(4096)
    if b" 101 " not in answer:
        raise RuntimeError(f"refused: {answer[:200]!r}")
    client.sendall(abuse.init(session_id))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setblocking(False)
    return client


def pace(clients: list[socket.socket], frames: list[bytes], ms: int, seconds: float) -> int:
    """Sends from each client a frame every `ms`; how many in all."""
    began = time.monotonic()
    due = [(began + n * ms / 1000 / len(clients), n, 0) for n in range(len(clients))]
    sent = 0
    while due[0][0] < began + seconds:
        at, n, place = heapq.heappop(due)
        if (wait := at - time.monotonic()) > 0:
            time.sleep(wait)
        clients[n].send(frames[place % len(frames)])
        sent += 1
        heapq.heappush(due, (at + ms / 1000, n, place + 1))
    return sent


def measure(results: Results, name: str, count: int, ms: int, seconds: float) -> None:
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(name, cores[-1], there), daemon=True)
    server.start()
    os.sched_setaffinity(0, {cores[0]})
    try:
        here.send(count)
        port, sessions = here.recv()
        clients = [connect(port, session) for session in sessions]
        texts = [m.encode(m.Voice(pcm, RATE, "PCM16", "a")) for pcm in chunks(espeak(RATE), RATE, ms)][:50]
        frames = [abuse.frame(text, mask=random.randbytes(4)) for text in texts]
        pace(clients, frames, ms, 0.5)
        time.sleep(0.2)
        here.send(None)
        before, cpu = here.recv()
        began = time.monotonic()
        sent = pace(clients, frames, ms, seconds)
        wall = time.monotonic() - began
        time.sleep(0.3)
        here.send(None)
        after, cpu_after = here.recv()
    finally:
        server.terminate()
        server.join()
        os.sched_setaffinity(0, set(cores))
    results.add(
        f"{name}: {count} clients, chunks of {ms} ms",
        (cpu_after - cpu) / sent * 1e6,
        "us / message",
        n=sent,
        cores=1,
        message_bytes=len(frames[0]),
        heard=(after - before) / sent,
        core_percent=(cpu_after - cpu) / wall * 100,
        a_second=sent / wall,
    )
    for client in clients:
        client.close()


def run(results: Results, quick: bool) -> None:
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    for count, ms in LOADS[:1] if quick else LOADS:
        for name in SERVERS:
            missing = ("picows" in name and picows is None) or ("uvloop" in name and uvloop is None)
            if missing:
                results.skip(name, "not installed")
            else:
                measure(results, name, count, ms, 1.0 if quick else 5.0)


if __name__ == "__main__":
    main(run, __doc__)
