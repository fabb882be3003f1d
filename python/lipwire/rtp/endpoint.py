"""The sockets of one media section on the event loop.

They are read every 20 ms while a stream comes, and otherwise when something arrives; up to `MOST` datagrams at a time,
so that a flood costs so much and no more, whoever sends it. Datagrams have the time at which the kernel had them: a
loop that is late hears what it would have heard in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable

from .inbound import Inbound
from .keys import Opened, Sealed
from .ports import Pair, receive
from .rtcp import INTERVAL, is_rtcp
from .sdp import Address

logger = logging.getLogger("lipwire.rtp")

TICK = 0.02
MOST = 32
"""Datagrams of a socket in a tick: 1600 a second, 30 times what a stream of speech has."""

Control = Callable[[bytes, Address], None]


class Endpoint:
    """Reads the sockets of a section, and writes its receiver reports. Belongs to the running loop.

    Args:
        pair: its sockets, which are closed with it.
        inbound: the speech that comes, or None.
        control: is told of RTCP that comes, in the clear, for who sends; None = nobody does.
        opened: decrypts what comes; None = it is plain. What cannot be is counted (`unauthenticated`).
        seal: encrypts receiver reports; None = they are plain.
        send: sends a receiver report in the place of the sockets here, where the native sender has the keys.
        allowed: where receiver reports may go before their receiver has sent any RTCP; None = nowhere.
        may: whether they may go to where its RTCP comes from.
    """

    def __init__(
        self,
        pair: Pair,
        inbound: Inbound | None,
        *,
        control: Control | None = None,
        opened: Opened | None = None,
        seal: Sealed | None = None,
        send: Callable[[bytes], None] | None = None,
        allowed: Address | None = None,
        may: Callable[[Address], bool] = lambda address: True,
    ) -> None:
        self.pair, self.inbound = pair, inbound
        self.flooded = 0
        """Ticks in which more had come than is read in one."""
        self.unauthenticated = 0
        self._control, self._opened = control, opened
        self._seal, self._send, self._allowed, self._may = seal, send, allowed, may
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reports: asyncio.TimerHandle | None = None
        self._closed = False
        self._watch()
        if inbound is not None:
            self._report_later()

    def _watch(self) -> None:
        for one in self.pair.sockets:
            self._loop.add_reader(one, self._woken)

    def _woken(self) -> None:
        """Something has come: from now on the clock reads."""
        for one in self.pair.sockets:
            self._loop.remove_reader(one)
        self._due = self._loop.time()
        self._tick()

    def _tick(self) -> None:
        self._timer = None
        if self._closed:
            return
        came = False
        try:
            came = self.read()
        except Exception:  # the edge: one section's fault must not stop its clock, or the others'
            logger.exception("RTP on port %d", self.pair.port)
        if self._closed:
            return
        if not came and (self.inbound is None or not self.inbound.active):
            self._watch()
            return
        self._due = max(self._due + TICK, self._loop.time() - TICK)
        self._timer = self._loop.call_at(self._due, self._tick)

    def read(self) -> bool:
        """Takes what has come, in the order in which it came, and what is due of the sound. Whether anything came."""
        now = time.monotonic_ns()
        found = []
        for one in self.pair.sockets:
            datagrams = receive(one, MOST)
            if len(datagrams) == MOST:  # more may wait, which came before now
                self.flooded += 1
                now = min(now, datagrams[-1].came_ns)
            found += [(datagram, one is self.pair.rtcp) for datagram in datagrams]
        found.sort(key=lambda each: each[0].came_ns)
        for (data, source, came_ns), to_rtcp in found:
            control = to_rtcp or is_rtcp(data)
            if self.inbound is not None:
                self.inbound.advance(came_ns)
            if self._opened is not None:
                clear = self._opened.rtcp(data) if control else self._opened.rtp(data)
                if clear is None:
                    self.unauthenticated += 1
                    continue
                data = clear
            if self.inbound is not None:
                self.inbound.receive(data, source, came_ns, control=control)
            if control and self._control is not None:
                self._control(data, source)
        if self.inbound is not None:
            self.inbound.advance(now)
        return bool(found)

    # ------------------------------------------------------------------------------------------------------ reports

    def _report_later(self) -> None:
        self._reports = self._loop.call_later(INTERVAL * random.uniform(0.5, 1.5), self._report)

    def _report(self) -> None:
        assert self.inbound is not None
        self.tell(self.inbound.report(time.monotonic_ns()))
        self._report_later()

    def tell(self, report: bytes | None) -> None:
        """Sends RTCP of the receiver; None = there is nothing to tell."""
        if report is None or self.inbound is None:
            return
        if self._send is not None:
            self._send(report)
            return
        to = self.inbound.rtcp_from
        if to is None or not self._may(to):
            to = self._allowed
        if to is None:
            return
        out = self.pair.rtcp or self.pair.rtp
        if out.family == socket.AF_INET6 and ":" not in to.host:
            to = Address(f"::ffff:{to.host}", to.port)
        with contextlib.suppress(OSError):  # no route, or no room: the next one may arrive
            out.sendto(report if self._seal is None else self._seal.rtcp(report), to)

    def close(self) -> None:
        """Says goodbye, and gives the ports back. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for handle in (self._timer, self._reports):
            if handle is not None:
                handle.cancel()
        for one in self.pair.sockets:
            self._loop.remove_reader(one)
        if self.inbound is not None:
            self.tell(self.inbound.goodbye(time.monotonic_ns()))
            self.inbound.close()
        self.pair.close()
