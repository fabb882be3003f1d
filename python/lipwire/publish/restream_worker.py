"""What writes one stream, in a process of its own: `python -m lipwire.publish.restream_worker FD`; FD is its end of the
link (restream_wire).

PyAV holds the interpreter from the first packet of a connection to the server's last answer, for as long as the network
likes: in the process of the sessions all of them would stand still.
"""

from __future__ import annotations

import os
import sys
import threading
from fractions import Fraction

import av
import numpy as np

from .._core import RATE, Frame
from ..process.child import end_within, to_parent
from ..process.link import Link
from ..stream import StreamSpec, Unit
from . import restream_wire as w
from .encoders import Picture
from .feed import Feed, Sound
from .live_writer import LiveWriter

TELL = RATE // 10
"""Samples from one `Progress` to the next."""
LEAVE = 15.0
"""Seconds that the end may take when nobody waits for it."""


class Writing:
    """One stream: what comes from the link goes through a `Feed` to a thread that writes."""

    def __init__(self, link: Link[w.Command], order: w.Open) -> None:
        self._link, self._order = link, order
        self._feed = Feed()
        self._spec = StreamSpec(
            session_id=order.session_id,
            width=order.width,
            height=order.height,
            fps=Fraction(*order.fps),
            matrix=order.matrix,
            preencoded=bool(order.parameter_sets),
            parameter_sets=order.parameter_sets,
        )
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="lipwire-restream")
        self._thread.start()

    def take(self, command: w.Command) -> None:
        """Does what it says."""
        match command:
            case w.Block(pcm, sample):
                self._feed.put(Sound(pcm, sample))
            case w.Drawn(i420, sample):
                frame = Frame(self._spec.width, self._spec.height, matrix=self._spec.matrix)
                frame.i420.reshape(-1)[:] = np.frombuffer(i420, np.uint8)
                self._feed.put(Picture(frame, sample, self._spec.fps))
            case w.Coded(data, sample, key):
                self._feed.put(Unit(data, sample, key))
            case w.Interrupt():
                self._feed.interrupt()
            case _:
                self._feed.end()

    def finish(self) -> None:
        """Nothing more comes."""
        self._feed.end()
        end_within(LEAVE)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except Exception as exc:  # the edge: the next process tries again
            # The text of FFmpeg's errors has the URL in it.
            reason = exc.strerror if isinstance(exc, OSError | av.FFmpegError) else None
            self._link.send(w.Failed(reason or type(exc).__name__))
            self._link.drain(1.0)
            os._exit(1)  # a connection that is broken has no end that could be written

    def _write(self) -> None:
        order = self._order
        if order.folder:
            os.chdir(order.folder)
        writer = LiveWriter(
            order.place, order.form, self._spec, ask_key=lambda: self._link.send(w.NeedsKey()), every=order.every
        )
        writer.open()
        self._link.send(w.Live())
        while (item := self._feed.take()) is not None:
            writer.take(item)
            if writer.written - self._told >= TELL:
                self._tell(writer)
        writer.close()
        self._tell(writer)
        self._link.drain(1.0)

    def _tell(self, writer: LiveWriter) -> None:
        feed = self._feed
        self._told = writer.written
        self._link.send(
            w.Progress(writer.written, writer.silence, feed.samples_dropped, feed.pictures_dropped, feed.units_dropped)
        )


def main(fd: int) -> None:
    """Entry of the process."""
    link: Link[w.Command] = to_parent(fd, w.Command)
    commands = link.messages()
    order = next(commands, None)
    if not isinstance(order, w.Open):
        return
    writing = Writing(link, order)
    for command in commands:
        writing.take(command)
        if isinstance(command, w.Finish):
            break
    writing.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]))
