"""A session to where many watch: a server's RTMP ingest, MPEG-TS over UDP, an HLS playlist in a folder."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import Any, Literal

from msgspec import structs

from .._core import RATE, Frame
from ..errors import BadState
from ..logs import sampled
from ..outward import ANY, Outward, OutwardRefused
from ..process.spawn import Module
from ..process.supervisor import Child, Limits
from ..stream import Publisher, StreamSpec, Unit, Wants, no_key
from . import restream_wire as w
from .destination import destination

logger = sampled("lipwire.restream")

BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the next try, by failures in a row."""
STABLE = 10 * RATE
"""Samples of a connection after which a failure is the first one again."""
WAITING = 8 << 20
"""Bytes that may wait for the process that writes; what is more is left out, up to the next key frame."""
FINISH = 8.0
"""Seconds that the end of a stream may take."""

State = Literal["new", "connecting", "live", "waiting", "ended"]


class Restream(Publisher):
    """Sends a session on, as H.264 and AAC: units that were encoded before as they are, what else there is through an
    encoder. A process of its own writes; when the connection breaks, the next one takes its place, after a pause that
    grows up to 30 s. Neither holds up the session: what is too late is left out up to the next key frame and counted
    (`stats`), and while there is no connection nothing is drawn for it.

    Args:
        url: `rtmp://HOST[:PORT]/APP/KEY`, or `rtmps://`, whose certificate must be the host's; `udp://HOST:PORT`, to
            which MPEG-TS is sent; or the path of an HLS playlist, `FOLDER/NAME.m3u8`: its segments (fragmented MP4) are
            written beside it, and the old ones deleted. Keys, users and queries are told to nobody.
        outward: where the URL may lead; None: anywhere, it is your own.
        segment_seconds: of HLS: 1..30.
        ca: a PEM file of the certificates to trust behind rtmps; None: the system's.

    Raises:
        InvalidArgument: the URL is none of these: PyAV's FFmpeg has no SRT and no low-latency HLS. BadState: a PyAV
            without the formats.
    """

    takes_units = True
    audio_blocks = 2

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        outward: Outward | None = None,
        segment_seconds: float = 2.0,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self._to = destination(url, segment=segment_seconds, ca=None if ca is None else os.fspath(ca))
        self._outward = outward or Outward([ANY])
        self._module = Module("lipwire.publish.restream_worker")
        self.state: State = "new"
        self.connected = asyncio.Event()
        """Set while what comes is written."""
        self._spec: StreamSpec | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._child: Child[w.Answer] | None = None
        self._closing = False
        self._skipping = False
        """A unit was left out, so that those behind it are of no use up to the next key."""
        self._reason = ""
        """Why the present connection ends, as far as its process has said so,"""
        self._failure = ""
        """and why the last one did."""
        self._progress = w.Progress(0, 0, 0, 0, 0)
        """Of the present connection,"""
        self._before = w.Progress(0, 0, 0, 0, 0)
        """and of all before it."""
        self._connections = self._failures = 0
        self._units_left_out = self._pictures_left_out = 0

    def __repr__(self) -> str:
        return f"<Restream {self._to.name} {self.state}>"

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: where it goes (`to`, without secrets), its `state` (new, connecting, live, waiting
        for the next try, ended), `connections` and `failures` so far and the `last_failure`, `written_s` in all; and
        what was left out: `silence_s` (of sound, filled up), `pictures_dropped`, `units_dropped`."""
        now, old = self._progress, self._before
        return {
            "to": self._to.name,
            "state": self.state,
            "connections": self._connections,
            "failures": self._failures,
            "last_failure": self._failure or None,
            "written_s": round((now.written + old.written) / RATE, 2),
            "silence_s": round((now.silence + old.silence) / RATE, 2),
            "pictures_dropped": now.pictures_dropped + old.pictures_dropped + self._pictures_left_out,
            "units_dropped": now.units_dropped + old.units_dropped + self._units_left_out,
        }

    @property
    def wants(self) -> Wants:
        """Nothing while there is no connection; units where the session has some, whose parameter sets are known from
        the beginning, when the head of the stream is written."""
        if not self.connected.is_set() or self._spec is None or not self._spec.width:
            return "nothing"
        return "units" if self._spec.parameter_sets else "pictures"

    async def open(self, spec: StreamSpec) -> None:
        """Begins to connect. Does not wait for it (`connected` does): a server that is away must not keep a session
        from starting.

        Raises:
            OutwardRefused: the URL leads where it may not. BadState: one session, one stream.
        """
        if self.state != "new":
            raise BadState("a Restream is for one session")
        await self._to.check(self._outward)
        self._spec, self.state = spec, "connecting"
        self._keeper = asyncio.get_running_loop().create_task(self._keep(spec), name="lipwire-restream")

    # ------------------------------------------------------------------------------------------------------ connections

    async def _keep(self, spec: StreamSpec) -> None:
        in_a_row = 0
        while not self._closing:
            self.state = "connecting"
            failure = await self._connect(spec)
            if self._closing:
                return
            in_a_row = 1 if self._progress.written > STABLE else in_a_row + 1
            pause = BACKOFF[min(in_a_row, len(BACKOFF)) - 1]
            self._failures += 1
            self._failure, self.state = failure, "waiting"
            logger.warning(
                "[%s] the stream to %s: %s; the next try is in %g s", spec.session_id, self._to.name, failure, pause
            )
            await asyncio.sleep(pause)

    async def _connect(self, spec: StreamSpec) -> str:
        """One connection, to its end: why it ended."""
        self._add_up()
        try:
            place = await self._to.place(self._outward)
            child = Child[w.Answer](
                self._module,
                w.Answer,
                name=f"the stream of {spec.session_id}",
                on_message=self._hear,
                on_end=lambda _: None,
                limits=Limits(ping_every=2.0, ping_lost=20.0, leave=FINISH),
                logger=logging.getLogger("lipwire.restream"),
            )
        except OutwardRefused as exc:
            return str(exc)
        except OSError as exc:
            return exc.strerror or type(exc).__name__
        self._child, self._reason = child, ""
        child.tell(
            w.Open(
                place=place.place,
                form=place.form,
                folder=place.folder,
                session_id=spec.session_id,
                width=spec.width,
                height=spec.height,
                fps=spec.fps.as_integer_ratio(),
                matrix=spec.matrix,
                parameter_sets=spec.parameter_sets,
                every=self._to.every,
            )
        )
        try:
            ended = await child.ended()
        except asyncio.CancelledError:
            child.end(leave=0)
            await child.ended()
            raise
        finally:
            self._child = None
            self.connected.clear()
        return self._reason or ended.reason

    def _add_up(self) -> None:
        fields = {
            name: getattr(self._before, name) + getattr(self._progress, name) for name in w.Progress.__struct_fields__
        }
        self._before, self._progress = structs.replace(self._before, **fields), w.Progress(0, 0, 0, 0, 0)

    def _hear(self, answer: w.Answer) -> None:
        match answer:
            case w.Live():
                assert self._spec is not None
                self._connections += 1
                self._skipping, self.state = False, "live"
                self.connected.set()
                logger.info("[%s] the stream to %s is live", self._spec.session_id, self._to.name)
                self.request_key()
            case w.NeedsKey():
                self.request_key()
            case w.Progress():
                self._progress = answer
            case w.Failed(reason):
                self._reason = reason

    # ----------------------------------------------------------------------------------------------------------- output

    def _room(self) -> Child[w.Answer] | None:
        """Who takes more now."""
        child = self._child
        return child if child is not None and self.connected.is_set() and child.waiting < WAITING else None

    def audio(self, pcm: bytes, sample: int) -> None:
        """Hands sound on. Where some is left out, the stream is silent for so long."""
        if (child := self._room()) is not None:
            child.tell(w.Block(pcm, sample))

    def video(self, frame: Frame) -> None:
        """Hands a copy of a picture on."""
        if (child := self._room()) is not None:
            child.tell(w.Drawn(frame.i420.tobytes(), frame.sample))
        elif self.connected.is_set():
            self._pictures_left_out += 1

    def unit(self, unit: Unit) -> None:
        """Hands a unit on."""
        if not self.connected.is_set():
            return
        child = self._room()
        if child is None or (self._skipping and not unit.key):
            self._units_left_out += 1
            if not self._skipping:
                self._skipping = True
                self.request_key()
            return
        self._skipping = False
        child.tell(w.Coded(unit.data, unit.sample, unit.key))

    def interrupt(self) -> None:
        """What has not been encoded yet is not heard any more, but for a fade."""
        if self._child is not None and self.connected.is_set():
            self._child.tell(w.Interrupt())

    async def close(self) -> None:
        """Writes what is there and the end, and disconnects, for some seconds at most. Safe to call twice."""
        self._closing = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            if self._child is not None and self.connected.is_set():
                self._child.tell(w.Finish())
                await asyncio.wait({keeper}, timeout=FINISH)
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        self.state, self.request_key = "ended", no_key
