"""The door that every listening port of a server has: how many may be inside, and how long they may keep it waiting.

asyncio accepts whatever comes and waits for ever, and once descriptors run out its accept loop spins. Here a `Door`
owns the listening sockets of one server, of HTTP, the pages and the WebSocket, and of each connection knows what it is
waited for. A connection that keeps us waiting is shut down at its deadline, or earlier, the oldest first, where a new
one needs its place: silent connections, however many, keep nobody out.

| a client is waited for | deadline |
|---|---|
| HEAD: to greet (TLS), to send the head of a request, to finish the WebSocket's handshake | `Limits.head` |
| BODY: to send all of a request's body | `Limits.body` |
| IDLE: to ask again, over the same connection | `Limits.idle`, which the HTTP server keeps |
| in any state: to take some of what was sent to it | `Limits.write` |
| BUSY: it waits for us | none |

It works below the protocols, on sockets: what asyncio's servers are given is a `Listener`, whose `accept` gives
`Visit`s. Shutting a socket down ends whatever transport is over it, TLS or not. (Loops that accept by themselves, such
as uvloop's, give no visits: then the deadlines of the HTTP and WebSocket libraries alone hold.)
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import logging
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ..provider.quotas import network, read_address

logger = logging.getLogger("lipwire.door")

BATCH = 64
"""Connections that one pass of the event loop accepts at most, so that those that must go can go in between."""
EVICTIONS = 4
"""Of them, those that may take another's place: the other is closed in a later pass."""
BACKLOG = 2048
"""Connections that the system keeps for us until we accept them."""
LOG_INTERVAL = 10.0
"""Seconds from one line of the log about closed connections to the next."""
MAX_DESCRIPTORS = 1 << 20
"""File descriptors that a process asks for where the system sets no limit."""
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Limits(Struct, kw_only=True, frozen=True):
    """What a door lets happen. Times in seconds."""

    connections: int = 4096
    """In all."""
    per_address: int = 256
    """From one address (IPv6: one /64). This machine's own have no such limit: behind a proxy all come from there."""
    reserve: int = 64
    """File descriptors that connections leave free, for everything else that the process opens; at most a quarter of
    them."""
    head: float = 10.0
    body: float = 30.0
    idle: float = 5.0
    write: float = 30.0


class Phase(enum.Enum):
    """What a connection waits for, or is waited for."""

    HEAD = "no request came in time"
    BODY = "its request did not end in time"
    IDLE = "it did not take its answer in time"
    BUSY = "busy"


CROWDED, FULL_ADDRESS, DESCRIPTORS = "made room for another", "its address has too many", "descriptors are short"
UNREAD = Phase.IDLE.value


class Visit(socket.socket):
    """An accepted connection. Its door forgets it when it is closed."""

    def __init__(self, sock: socket.socket, door: Door, address: str, now: float) -> None:
        self.key = sock.fileno()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.address = address
        """Whose it is, for the limit of an address; "" = this machine's."""
        self.phase = Phase.HEAD
        self.since = now
        self.unsent: Callable[[], int] | None = None
        """How many bytes wait for the client to take them; None = not known yet."""
        self.left = 0
        """So many they were at the last look."""
        self.stuck = now
        """When it last took some, or had all."""
        self.dropped = False
        self._door = door

    def enter(self, phase: Phase) -> None:
        """What it waits for now. A phase that it is in already does not begin anew."""
        if phase is not self.phase:
            self.phase, self.since = phase, self._door.clock()
            self._door.moved(self)

    def drop(self) -> None:
        """Ends it: whatever transport is over it sees the end of the stream, and closes."""
        self.dropped = True
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was faster
            pass

    def close(self) -> None:
        self._door.forget(self)
        super().close()


class Listener(socket.socket):
    """A listening socket whose door decides who comes in. `path`: of a Unix socket, in place of host and port; its file
    is there until it is closed."""

    def __init__(self, door: Door, host: str, port: int, path: str | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol is named, or asyncio would not set TCP_NODELAY (40 ms a request).
        kind = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        super().__init__(*(kind if path is None else (socket.AF_UNIX, socket.SOCK_STREAM)))
        self._door = door
        self._accepted = 0
        self._path: str | None = None
        try:
            if path is not None:
                self._bind_to(path)
            else:
                self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self.bind((host, port))
            self.listen(BACKLOG)
            self.setblocking(False)
        except BaseException:
            self.close()
            raise

    def _bind_to(self, path: str) -> None:
        """The file of one that was killed may be there still."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.bind(path)
        self._path = path

    @property
    def port(self) -> int:
        """The bound one; 0 of a Unix socket."""
        port: int = 0 if self._path is not None else self.getsockname()[1]
        return port

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that the door lets in.

        Raises:
            BlockingIOError: there is none, or enough were accepted for this pass of the loop.
        """
        while self._accepted < BATCH:
            self._accepted += 1
            try:
                sock, address = super().accept()
            except OSError as exc:
                self._accepted = 0
                if exc.errno not in NO_DESCRIPTORS:
                    raise
                self._door.turn_away(self)
                break
            dropped = self._door.dropped
            visit = self._door.admit(sock)
            if self._door.dropped > dropped:  # who had to go must be gone before many more come
                self._accepted += BATCH // EVICTIONS
            if visit is not None:
                return visit, address
        self._accepted = 0
        raise BlockingIOError(errno.EAGAIN, "enough for this pass")

    def close(self) -> None:
        self._door.closed(self)
        super().close()
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)


class Door:
    """Who is inside. All calls come from one event loop.

    Args:
        limits: see `Limits`.
        clock: seconds, for the deadlines.
        descriptors: how many the process may have open; by default the soft limit of the system.
        address_of: whose a connection from a host is, for the limit of an address; "" = without one. By default:
            `client_of`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        descriptors: Callable[[], int] | None = None,
        address_of: Callable[[str], str] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.clock = clock
        self.accepted_total = 0
        """Connections that came, let in or not."""
        self.closed_total: Counter[str] = Counter()
        """Connections that were shut down or not let in, by reason."""
        self._descriptors = descriptors or descriptor_limit
        self._address_of = address_of or client_of
        self._visits: dict[int, Visit] = {}
        """By their descriptors: the ends of Unix sockets have no names to tell them apart."""
        self._waiting: dict[Visit, None] = {}
        """Those that are waited for, the oldest first."""
        self._addresses: dict[str, dict[Visit, None]] = {}
        self.dropped = 0
        """Connections that were shut down and are not closed yet."""
        self._listeners: set[Listener] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._spare: int | None = None
        self._others = 0
        """Descriptors that are open and are no connections, as of the last sweep."""
        self._untold: Counter[str] = Counter()
        self._told = -LOG_INTERVAL

    def __len__(self) -> int:
        """Connections that are open."""
        return len(self._visits)

    def listen(self, host: str, port: int, path: str | None = None) -> Listener:
        """A listening socket (port 0 = any free one), for `loop.create_server(sock=...)`. The first one starts the
        deadlines, on the running loop; with the last one they end.

        Args:
            path: of a Unix socket, in place of host and port; all who come by it count as this machine.

        Raises:
            OSError: the address cannot be bound.
        """
        listener = Listener(self, host, port, path)
        self._listeners.add(listener)
        if self._timer is None:
            self._spare = _open_spare()
            self._tick()
        return listener

    def closed(self, listener: Listener) -> None:
        """For Listener."""
        self._listeners.discard(listener)
        if self._listeners:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    # -------------------------------------------------------------------------------------------------------- who is in

    def admit(self, sock: socket.socket) -> Visit | None:
        """Lets a connection in, and another out where it needs the place; None = it is closed, unheard."""
        self.accepted_total += 1
        try:
            address = "" if sock.family == socket.AF_UNIX else self._address_of(sock.getpeername()[0])
            limits, guests = self.limits, self._addresses.get(address, {})
            room = True
            if address and len(guests) >= limits.per_address:
                room = self._make_room(guests, FULL_ADDRESS)
            elif len(self._visits) - self.dropped >= limits.connections:
                room = self._make_room(self._waiting, CROWDED)
            if room and self._spare_descriptors(sock.fileno()):
                return self._let_in(Visit(sock, self, address, self.clock()))
        except OSError:  # it has gone again
            pass
        sock.close()
        return None

    def _let_in(self, visit: Visit) -> Visit:
        self._visits[visit.key] = visit
        self._waiting[visit] = None
        if visit.address:
            self._addresses.setdefault(visit.address, {})[visit] = None
        return visit

    def _make_room(self, among: dict[Visit, None], reason: str) -> bool:
        """Drops the oldest of them that is waited for, if there is one. Who was not let in is counted, too."""
        self._note(reason)
        oldest = next((visit for visit in among if visit in self._waiting), None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None

    def _spare_descriptors(self, descriptor: int) -> bool:
        """Whether a connection may have this descriptor, with which others must go that wait."""
        limit = self._descriptors()
        reserve = min(self.limits.reserve, limit // 4)
        # The lowest one that is free is handed out: all below it are in use.
        used = max(descriptor, self._others + len(self._visits)) + 1
        for _ in range(2):  # two for one, so that the reserve comes back
            if used - self.dropped > limit - reserve and not self._make_room(self._waiting, DESCRIPTORS):
                return False
        return used <= limit - reserve // 4

    def turn_away(self, listener: Listener) -> None:
        """There is not one descriptor left: with a spare one a connection is taken off the queue and closed, or the
        loop would be woken for it without end; and the oldest that is waited for goes."""
        self._make_room(self._waiting, DESCRIPTORS)
        if self._spare is not None:
            os.close(self._spare)
        try:
            socket.socket.accept(listener)[0].close()
        except OSError:
            pass
        self._spare = _open_spare()

    def visit(self, transport: asyncio.BaseTransport) -> Visit | None:
        """The visit that a transport is over; None where another accepted it. What waits in the transport to be taken
        by the client counts from now on."""
        sock = transport.get_extra_info("socket")
        visit = None if sock is None else self._visits.get(sock.fileno())
        if visit is not None and isinstance(transport, asyncio.WriteTransport):
            visit.unsent = transport.get_write_buffer_size
        return visit

    def moved(self, visit: Visit) -> None:
        """For Visit: it has entered a phase."""
        self._waiting.pop(visit, None)
        if visit.phase is not Phase.BUSY and not visit.dropped:
            self._waiting[visit] = None

    def forget(self, visit: Visit) -> None:
        """For Visit: it is closed."""
        if self._visits.pop(visit.key, None) is None:
            return
        self.dropped -= visit.dropped
        self._waiting.pop(visit, None)
        guests = self._addresses.get(visit.address)
        if guests is not None:
            guests.pop(visit, None)
            if not guests:
                del self._addresses[visit.address]

    # -------------------------------------------------------------------------------------------------------- deadlines

    def _tick(self) -> None:
        self.sweep()
        limits = self.limits
        period = min(1.0, min(limits.head, limits.body, limits.write) / 4)
        self._timer = asyncio.get_running_loop().call_later(period, self._tick)

    def sweep(self) -> None:
        """Ends the connections whose deadline is over."""
        now = self.clock()
        self._others = max(0, open_descriptors(self._others + len(self._visits)) - len(self._visits))
        for visit in tuple(self._visits.values()):
            if not visit.dropped and (reason := self._overdue(visit, now)) is not None:
                self._note(reason)
                self._drop(visit)
        self._tell(now)

    def _overdue(self, visit: Visit, now: float) -> str | None:
        limits = self.limits
        before, visit.left = visit.left, 0 if visit.unsent is None else visit.unsent()
        if not visit.left:
            visit.stuck = now
        elif visit.left < before:  # slow, but it does: who sends without end may always have more for it
            visit.stuck = now
            if visit.phase is Phase.IDLE:  # it cannot ask again before it has its answer
                visit.since = now
        elif now - visit.stuck >= limits.write:
            return UNREAD
        patience = {Phase.HEAD: limits.head, Phase.BODY: limits.body, Phase.IDLE: limits.write + limits.idle}
        over = visit.phase in patience and now - visit.since >= patience[visit.phase]
        return visit.phase.value if over else None

    def _drop(self, visit: Visit) -> None:
        self.dropped += 1
        self._waiting.pop(visit, None)
        visit.drop()

    def _note(self, reason: str) -> None:
        self.closed_total[reason] += 1
        self._untold[reason] += 1
        self._tell(self.clock())

    def _tell(self, now: float) -> None:
        if not self._untold or now - self._told < LOG_INTERVAL:
            return
        reasons = ", ".join(f"{count} ({reason})" for reason, count in sorted(self._untold.items()))
        logger.warning("connections closed: %s; %d are open", reasons, len(self._visits))
        self._untold.clear()
        self._told = now


def client_of(host: str) -> str:
    """Whose a connection is: an IPv4 address, or an IPv6 network; "" = this machine's."""
    found = read_address(host)
    return "" if found is not None and found.is_loopback else network(host) or ""


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


def open_descriptors(unknown: int) -> int:
    """How many file descriptors this process has open; `unknown` where that cannot be told."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # that of the listing
    except OSError:
        return unknown


def descriptor_limit() -> int:
    """How many file descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Lets this process open as many file descriptors as the system allows it; how many that is. For commands: it
    changes the whole process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    try:
        if descriptor_limit() < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems do not take their own hard limit
        logger.warning("the limit of file descriptors stays at %d; the system refused %d", descriptor_limit(), wanted)
    return descriptor_limit()
