"""The process that a FrameSource lives in, for ProcessSource: what it is told and answers, and its life.

Speech comes over process.link; frames go back through memory that came over it once. Two threads: one listens, so that
an interrupt is known and memory comes back while the source is at work, which is the other one.
"""

from __future__ import annotations

import collections
import mmap
import os
import queue
import socket
import threading
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from ..errors import InvalidArgument
from ..process.child import end_within
from ..process.link import Link
from ..stream import StreamSpec
from .frame_source import FrameSource, Image, to_i420

SLOTS = 16
"""Frames under way from the process."""
LEAVING = 5.0
"""Seconds in which the source ends when nobody is there any more; else its process ends without."""
COMPLAINT = 2000
"""Characters of what is told of a failure."""

Slot = Annotated[int, Meta(ge=0, lt=SLOTS)]


class Begin(Struct, frozen=True, tag=True):
    """First. With it comes the memory: SLOTS frames of I420, one after the other."""

    generation: int


class Speech(Struct, frozen=True, tag=True):
    generation: int
    sample: int
    pcm: bytes


class Finish(Struct, frozen=True, tag=True):
    generation: int


class Interrupt(Struct, frozen=True, tag=True):
    generation: int


class Free(Struct, frozen=True, tag=True):
    """The frame in a slot has been taken."""

    slot: int


Command = Begin | Speech | Finish | Interrupt | Free


class Ready(Struct, frozen=True, tag=True):
    """The source is open."""


class Made(Struct, frozen=True, tag=True):
    """A frame, in a slot that is the other side's until `Free`."""

    generation: int
    sample: int
    slot: Slot


class Took(Struct, frozen=True, tag=True):
    """The source is done with so many samples of speech."""

    samples: Annotated[int, Meta(ge=0)]


class Failed(Struct, frozen=True, tag=True):
    """The first time that the source failed."""

    what: str


Answer = Ready | Made | Took | Failed


class Worker:
    """What goes to and from a source."""

    def __init__(self, link: Link[Command], spec: StreamSpec) -> None:
        self.link, self.spec = link, spec
        self.work: queue.SimpleQueue[Speech | Finish | Interrupt | None] = queue.SimpleQueue()
        self.free = collections.deque(range(SLOTS))
        self.has_free = threading.Condition()
        self.has_begun = threading.Event()
        self.generation = 0
        """The newest one that the link has told of."""
        self.memory: mmap.mmap | None = None
        self.failed = False
        self.name = ""

    def send(self, answer: Answer) -> None:
        self.link.send(answer)
        self.link.drain()

    def listen(self) -> None:
        """The listening thread."""
        try:
            for command in self.link.messages():
                match command:
                    case Free(slot):
                        with self.has_free:
                            self.free.append(slot)
                            self.has_free.notify()
                    case Begin(generation):
                        fd = self.link.fds.popleft()
                        self.generation, self.memory = generation, mmap.mmap(fd, 0)
                        os.close(fd)
                        self.has_begun.set()
                    case Interrupt(generation):
                        self.generation = generation
                        self.work.put(command)
                    case _:
                        self.work.put(command)
        finally:
            end_within(LEAVING)
            self.has_begun.set()
            self.work.put(None)

    def emit(self, sample: int, image: Image) -> None:
        """As the source's. A frame that nobody has room for within 1 s is lost."""
        generation = self.generation
        try:
            made = to_i420(image, self.spec.width, self.spec.height)
        except InvalidArgument as exc:
            self.complain(exc)
            return
        with self.has_free:
            if not self.has_free.wait_for(lambda: self.free, 1.0):
                return
            slot = self.free.popleft()
        assert self.memory is not None
        size = made.size
        np.frombuffer(self.memory, np.uint8, size, slot * size)[:] = made.reshape(-1)
        self.send(Made(generation, int(sample), slot))

    def complain(self, exc: Exception) -> None:
        if not self.failed:
            self.failed = True
            self.send(Failed(f"{self.name}: {type(exc).__name__}: {exc}"[:COMPLAINT]))

    def run(self, factory: Callable[..., FrameSource], args: tuple[Any, ...]) -> None:
        """The source's thread."""
        threading.Thread(target=self.listen, name="lipwire-listen", daemon=True).start()
        source = factory(*args)
        self.name = type(source).__name__
        self.has_begun.wait()
        if self.memory is None:
            return
        source.open(self.spec, self.emit)
        self.send(Ready())
        while (command := self.work.get()) is not None:
            try:
                if isinstance(command, Interrupt):
                    source.interrupt()
                else:
                    self.answer(source, command)
            except Exception as exc:  # the edge: the next piece may do
                self.complain(exc)
            if isinstance(command, Speech):
                self.send(Took(len(command.pcm) // 2))
        source.close()

    def answer(self, source: FrameSource, command: Speech | Finish) -> None:
        """What the source makes of a piece of speech, or of its end."""
        if command.generation != self.generation:
            return
        if isinstance(command, Finish):
            frames = source.finish()
        else:
            frames = source.speech(np.frombuffer(command.pcm, np.int16), command.sample)
        for sample, image in frames or ():
            if command.generation != self.generation:
                break
            self.emit(sample, image)


def serve(sock: socket.socket, factory: Callable[..., FrameSource], args: tuple[Any, ...], spec: StreamSpec) -> None:
    """The process's whole life."""
    link: Link[Command] = Link(sock, Command, fds=1)
    Worker(link, spec).run(factory, args)
