"""Health checks while others crowd the door: `lipwire serve` in a process of its own, one check after the other, each
over a new connection; times are from before it connects to the last byte of the answer.

Crowds, on the HTTP port: nobody; 1 000 connections that say nothing; slow-loris (500 that send a header a second each,
and come again when they are closed); twice as many connections as the server may have descriptors. Every check must be
answered with 200, and the server's log must have no traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import select
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Results, main, spread
from served import serving

HOST = "127.0.0.1"
IDLE, LORIS, DESCRIPTORS = 1000, 500, 512
ASK = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def crowd(port: int, count: int, speak: bool, ready: Any) -> None:
    """Another process: keeps `count` connections, and opens closed ones again."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    clients: list[socket.socket] = []
    told = False
    while True:
        poll = select.poll()
        for client in clients:
            poll.register(client, select.POLLIN)
        closed = {descriptor for descriptor, _ in poll.poll(0)}
        for client in [client for client in clients if client.fileno() in closed]:
            client.close()
            clients.remove(client)
        while len(clients) < count:
            try:
                client = socket.create_connection((HOST, port), 5)
            except OSError:
                break
            client.setblocking(False)
            clients.append(client)
            if speak:
                client.send(b"GET /healthz HTTP/1.1\r\n")
        if not told:
            ready.send(len(clients))
            told = True
        if speak:
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"x-a: b\r\n")
        time.sleep(1.0)


def check(port: int) -> float:
    """One health check; seconds."""
    began = time.perf_counter()
    with socket.create_connection((HOST, port), 10) as client:
        client.sendall(ASK)
        answer = b""
        while data := client.recv(65536):
            answer += data
    taken = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a health check was answered {answer[:40]!r}")
    return taken


def measure(results: Results, name: str, port: int, checks: int, count: int, speak: bool = False) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=crowd, args=(port, count, speak, there), daemon=True)
    if count:
        other.start()
        here.recv()
    try:
        check(port)
        taken = []
        for _ in range(checks):
            taken.append(1000 * check(port))
            time.sleep(0.005)
    finally:
        if count:
            other.terminate()
            other.join()
    figures = spread(taken)
    results.add(f"health check, {name}", figures["p99"], "ms", n=checks, goal="<= 100", **figures)


def run(results: Results, quick: bool) -> None:
    checks = 100 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        for descriptors, crowds in (
            (8192, (("nobody else", 0, False), ("1000 idle", IDLE, False), ("slow-loris", LORIS, True))),
            (DESCRIPTORS, (("descriptors at the limit", 2 * DESCRIPTORS, False),)),
        ):
            log = Path(folder) / f"{descriptors}.log"
            with serving(log, descriptors) as server:
                asyncio.run(server.ready())
                for name, count, speak in crowds:
                    measure(results, name, server.port, checks, count, speak)
            text = log.read_text()
            if "Traceback" in text:
                raise RuntimeError(f"the server wrote a traceback:\n{text[:2000]}")


if __name__ == "__main__":
    main(run, __doc__)
