"""A supervised process that does what its argument says: `python -m support.child FD WHAT`."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import time

from msgspec import Struct

from lipwire.process.child import end_within, to_parent
from lipwire.process.link import Link


class Say(Struct, frozen=True, tag=True):
    """It says it back, `times` times."""

    text: str
    times: int = 1


class Write(Struct, frozen=True, tag=True):
    """It writes into the file that comes with it."""

    text: str


class Hang(Struct, frozen=True, tag=True):
    """It reads no more."""


class Die(Struct, frozen=True, tag=True):
    code: int


class Nonsense(Struct, frozen=True, tag=True):
    """It writes these bytes to the link."""

    data: bytes


Command = Say | Write | Hang | Die | Nonsense


class Said(Struct, frozen=True, tag=True):
    text: str
    pid: int


def main(fd: int, what: str) -> None:
    if what == "die at once":
        print("it is not my day", file=sys.stderr)
        raise SystemExit(3)
    if what == "hang at start":
        time.sleep(600)
    link: Link[Command] = to_parent(fd, Command, fds=8)
    if what == "close and live on":
        link.close()
        time.sleep(600)
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if what == "leave a child":
        if os.fork() == 0:
            time.sleep(10)
            os._exit(0)
        os._exit(5)
    link.send(Said("here", os.getpid()))
    if what == "hold the interpreter":
        link.drain()
        ctypes.PyDLL(None).sleep(600)
    while what == "flood":
        link.send(Said("more", 0))
        link.drain()
    for command in link.messages():
        match command:
            case Say(text, times):
                for _ in range(times):
                    link.send(Said(text, os.getpid()))
                link.drain()
            case Write(text):
                file = link.fds.popleft()
                os.pwrite(file, text.encode(), 0)
                os.close(file)
                link.send(Said("written", os.getpid()))
            case Hang():
                time.sleep(600)
            case Die(code):
                print("I was told to", file=sys.stderr, flush=True)
                os._exit(code)
            case Nonsense(data):
                link.sock.send(data)
    if what == "hang at the end":
        end_within(0.2)
    if what in ("stubborn", "hang at the end"):
        while True:
            time.sleep(600)


def serve(sock: socket.socket, say: str) -> None:
    """What a Target runs."""
    link: Link[Command] = Link(sock, Command)
    link.send(Said(say, os.getpid()))
    for command in link.messages():
        if isinstance(command, Die):
            os._exit(command.code)


HUGE = struct.pack("<I", 1 << 30)
"""How a frame of a gigabyte begins."""

if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
