"""How much is let in: requests a second, guesses at keys, and sessions while this machine keeps up.

Time is an argument throughout. Everything is bounded: of more addresses or owners than it can hold, the one that was
seen longest ago is forgotten.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct

from ..errors import NoCapacity

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

UNKNOWN = "unknown"
"""What all texts that are no address count as."""
REMEMBERED = 4096
"""Addresses, or owners, that are kept."""


class Remembered(Generic[K, V]):
    """A bounded dict: of too many entries the least recently used goes."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The entry, now the most recently used."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Adds or replaces one."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def pop(self, key: K) -> None:
        """Forgets one."""
        self._entries.pop(key, None)


class RateLimit:
    """Token buckets (RFC 2697, a single rate), one for whoever is counted: `burst` at once, then `rate` a second."""

    def __init__(self) -> None:
        self._buckets: Remembered[Hashable, tuple[float, float]] = Remembered()

    def take(self, who: Hashable, rate: float, now: float, *, burst: float | None = None) -> float:
        """Counts one request. 0 = it is let in; else the seconds until one would be, and it was not counted."""
        burst = max(1.0, 2 * rate if burst is None else burst)
        full, at = self._buckets.get(who) or (burst, now)
        full = min(burst, full + max(0.0, now - at) * rate)
        if full < 1:
            self._buckets.put(who, (full, now))
            return (1 - full) / rate if rate > 0 else 3600.0
        self._buckets.put(who, (full - 1, now))
        return 0.0


class _Guesses(Struct):
    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Guesses:
    """Slows who tries keys and tokens: after FREE wrong ones from an address it is heard again after 1, 2, 4 ... 64 s.

    Who waits is not told whether the next one is right. What was good from an address before stays good meanwhile, so
    that a stranger behind the same address locks nobody out who is at work; the caller lets in what cannot be guessed,
    too. This machine's addresses count like any other: another site's page in its browser cannot lock its owner out,
    since it can send neither `x-api-key` nor `Authorization: Bearer`. An IPv6 network of /64 counts as one address.
    """

    FREE = 5
    LONGEST = 64.0
    FORGET = 600.0
    """Seconds without a wrong one after which an address starts afresh."""

    def __init__(self) -> None:
        self._wrong: Remembered[str, _Guesses] = Remembered()
        self._good: Remembered[tuple[str, bytes], bool] = Remembered()

    def wait(self, address: str, credential: bytes, now: float) -> float:
        """Seconds until this address is heard; 0 = now."""
        place = network(address)
        found = None if place is None else self._wrong.get(place)
        if place is None or found is None or now >= found.until or self._good.get((place, _short(credential))):
            return 0.0
        return found.until - now

    def wrong(self, address: str, now: float) -> None:
        """A credential from there was wrong."""
        place = network(address)
        if place is None:
            return
        found = self._wrong.get(place)
        if found is None or now - found.last > self.FORGET:
            found = _Guesses()
            self._wrong.put(place, found)
        found.count, found.last = found.count + 1, now
        if found.count > self.FREE:
            found.until = now + min(self.LONGEST, 2.0 ** min(10, found.count - self.FREE - 1))

    def good(self, address: str, credential: bytes) -> None:
        """A credential from there was right."""
        place = network(address)
        if place is not None:
            self._good.put((place, _short(credential)), True)


def network(address: str) -> str | None:
    """What counts as one address; None = nobody knows it ("", of a Unix socket, say). All that is no address, which a
    proxy may have passed on, counts as one."""
    if not address:
        return None
    parsed = read_address(address)
    if parsed is None:
        return UNKNOWN
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, without the scope of its link, an IPv4 one in IPv6's form as itself; None = it is none."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _short(credential: bytes) -> bytes:
    return hashlib.sha256(credential).digest()[:16]


# ------------------------------------------------------------------------------------------------------------- load


class Load(Struct, frozen=True):
    """Ever-growing counters of this process at one moment, for the difference between two."""

    frames: int = 0
    late: int = 0
    busy: float = 0.0
    """Seconds that the engine's thread has worked."""
    lag: float = 0.0
    """Seconds that the event loop was late when it was looked at; of this moment, not a counter."""


class Admission:
    """Whether this machine keeps up with what it has, over the last seconds.

    Args:
        late: from this share of late frames on, 0..1, sessions are refused. 0 = that is not looked at; so with the
        others. busy: from this share of the time that the engine's thread works, 0..1.
        lag: from this median lateness of the event loop, seconds.
        window: seconds that are looked at; before they are over everybody is let in.
    """

    RETRY = 10.0

    def __init__(self, *, late: float = 0.2, busy: float = 0.9, lag: float = 0.25, window: float = 10.0) -> None:
        self.late, self.busy, self.lag, self.window = late, busy, lag, window
        self._seen: deque[tuple[float, Load]] = deque(maxlen=256)

    def observe(self, load: Load, now: float) -> None:
        """Takes the counters, a few times a second."""
        self._seen.append((now, load))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self.window:
            self._seen.popleft()

    def check(self, now: float) -> None:
        """Raises NoCapacity, which says why, if another session would make those that run late."""
        reason = self.reason(now)
        if reason:
            raise NoCapacity(f"This machine does not keep up: {reason}", self.RETRY)

    def reason(self, now: float, part: float = 1.0) -> str:
        """Why no more are let in; "" = they are. `part`: of the limits, 0..1; below 1 it says whether they are near."""
        if not self._seen or now - self._seen[-1][0] > self.window:  # nobody measures, so nobody knows
            return ""
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        span = ended - began
        if span < self.window:
            return ""
        frames, late = last.frames - first.frames, last.late - first.late
        if self.late and frames + late > 0 and late >= part * self.late * (frames + late):
            return f"{100 * late / (frames + late):.0f} % of the frames are late"
        if self.busy and last.busy - first.busy >= part * self.busy * span:
            return f"the engine is busy for {100 * (last.busy - first.busy) / span:.0f} % of the time"
        lags = sorted(load.lag for _, load in self._seen)
        if self.lag and lags[len(lags) // 2] >= part * self.lag:
            return f"the event loop is {1000 * lags[len(lags) // 2]:.0f} ms late"
        return ""
