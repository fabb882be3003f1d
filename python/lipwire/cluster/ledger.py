"""Who runs what on one machine: an exact account of the places of its workers and of what owners may have, and a
directory of what is owned. No I/O, and the time is an argument.

A place is counted once from `reserve` on: as a reservation, which lapses after `HOLD` seconds, and so long after it was
confirmed, unless its worker tells of it; then as what runs, until its worker tells that it has ended, or dies. Which
comes first, `confirm` or the worker's word, does not matter: what has a key in common, of one kind and one worker, is
the same.
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, Literal

from msgspec import Struct

from ..agents.errors import AgentLimit
from ..errors import LipwireError, NoCapacity
from ..provider.keys import Quota
from ..provider.sessions import ProviderError
from .placement import HOLD, Key, Kind, Need, Place, Use
from .wire import Closed, Opened

REMEMBERED, MINUTES = 1000, 10.0
"""So many of those that died with their workers are remembered, for so long."""
ENDED = 200
"""Agents that have ended of each worker that can still be asked for, as `AgentManager` keeps them."""
RETRY_AFTER = 5.0
"""Seconds after which to ask again where a quota is used up."""
RUNS: dict[Kind, Literal["session", "agent", "room"]] = {"session": "session", "agent": "agent", "room": "room"}
"""Keys of what runs; others are beside it."""
SELF: dict[str, Kind] = {"session": "channel", "agent": "name", "room": "room"}
"""The key of each kind of need of which there is one at a time: who has it is replaced, refused, or there already."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one worker takes."""

    capacity: int
    """Weight."""
    sessions: int = 50
    agents: int = 50
    rooms: int = 64
    pixel_rate: int = 0
    """0 = no limit."""


class Gone(Struct, frozen=True, kw_only=True):
    """What was there until its worker died."""

    key: Key
    also: tuple[Key, ...]
    owner: str
    told: dict[str, Any]
    reason: str
    """For people."""
    at: float
    """When, by the caller's clock."""
    over: bool
    """It had ended before, or webhooks have been told of its end."""


class Entry:
    """Something that takes a place."""

    def __init__(self, kind: str, owner: str, worker: int, weight: int, pixel_rate: int) -> None:
        self.kind, self.owner, self.worker = kind, owner, worker
        self.weight, self.pixel_rate = weight, pixel_rate
        self.instead_of: Entry | None = None
        """Whose end it waits for, so that the two are one: the larger of them counts."""
        self.heirs: list[Entry] = []
        """Who waits for its end so."""
        self.wanted = (weight, pixel_rate)
        """What one that waits weighs from then on."""
        self.key: Key | None = None
        """Its own, once that is known."""
        self.keys: dict[Key, None] = {}
        """All that it owns."""
        self.rooms: set[Key] = set()
        """Those of them that are rooms which are there for it, and count."""
        self.ticket = ""
        """Of its reservation."""
        self.until: float | None = None
        """When its reservation lapses; None = it runs."""
        self.told: dict[str, Any] = {}
        self.over = False
        """Webhooks have been told of its end."""

    def beyond(self, weight: int, pixel_rate: int) -> tuple[int, int]:
        """What one more that waits for its end adds, where the largest of them all counts."""
        weights = self.weight + sum(heir.weight for heir in self.heirs)
        rates = self.pixel_rate + sum(heir.pixel_rate for heir in self.heirs)
        return max(0, weight - weights), max(0, pixel_rate - rates)


class Seat:
    """A worker's side of the account."""

    def __init__(self) -> None:
        self.open = False
        """It takes something new."""
        self.overloaded = False
        self.used = 0
        """Weight."""
        self.pixel_rate = 0
        self.counts: Counter[str] = Counter()
        """By kind."""
        self.entries: dict[Entry, None] = {}
        self.ended: OrderedDict[Key, Gone] = OrderedDict()
        """Agents that have ended, which it still knows."""


class Ledger:
    """The account.

    Args:
        workers: how many. limits: of each.
        quota_of: what an owner may have on this machine.
    """

    def __init__(self, workers: int, limits: Limits, quota_of: Callable[[str], Quota]) -> None:
        self.limits = limits
        self.seats = [Seat() for _ in range(workers)]
        self._quota_of = quota_of
        self._by_key: dict[Key, dict[Entry, None]] = {}
        self._tickets: dict[str, Entry] = {}
        self._lapsing: deque[tuple[float, str]] = deque()
        self._numbers = itertools.count(1)
        self._rooms: Counter[Key] = Counter()
        """How many entries a room is there for."""
        self._counts: Counter[tuple[str, str]] = Counter()
        """(owner, kind) -> how many."""
        self._pixels: Counter[str] = Counter()
        self._gone: OrderedDict[Key, Gone] = OrderedDict()
        self.on_key: Callable[[Key, bool], None] = lambda key, there: None
        """Hears that a key is owned, and that it is not any more. It must not raise."""
        self.on_begun: Callable[[Key], None] = lambda key: None
        """Hears that something runs that owns a key, of each that comes to own it. It must not raise."""
        self.on_change: Callable[[], None] = lambda: None
        """Hears that there is more room than before, or less. It must not raise."""
        self.elsewhere: Callable[[str], Use] = lambda owner: Use()
        """What an owner has on other machines, which counts for its quotas, too."""

    # ----------------------------------------------------------------------------------------------------- placing

    def reserve(self, need: Need, now: float) -> Place | None:
        """A place; see `Placement.reserve`.

        Raises:
            ProviderError, AgentLimit, NoCapacity: the owner's quota is used up, in the words that a session, an agent
            and a room are refused with.
        """
        self.lapse(now)
        own = next((key for key in need.keys if key.kind == SELF[need.kind]), None)
        there = None if own is None else self._entry(own)
        if there is not None:
            if need.kind == "room":
                self._check_rooms(need)
            return self._beside(need, there, now)
        self._check_quota(need)
        beside = next((entry for key in need.keys if (entry := self._entry(key)) is not None), None)
        worker = self._choose(need) if beside is None else self._only(need, beside.worker)
        if worker is None:
            return None
        return self._hold(Entry(need.kind, need.owner, worker, need.weight, need.pixel_rate), need, now)

    def _beside(self, need: Need, there: Entry, now: float) -> Place:
        """A place where its like is: it replaces that, or is refused there, or it is the same room."""
        if need.kind == "room" or need.owner != there.owner or need.kind != there.kind:
            return Place(node="", worker=there.worker, ticket="")
        there = there.instead_of or there
        entry = Entry(need.kind, need.owner, there.worker, need.weight, need.pixel_rate)
        entry.weight, entry.pixel_rate = there.beyond(*entry.wanted)
        if need.kind == "session":
            self._check_pixels(need, entry.pixel_rate, need.pixel_rate)
        entry.instead_of = there
        there.heirs.append(entry)
        return self._hold(entry, need, now)

    def _hold(self, entry: Entry, need: Need, now: float) -> Place:
        entry.ticket = f"{entry.worker}.{next(self._numbers)}"
        self._hold_until(entry, now + HOLD)
        self._add(entry, need.keys)
        self._open_rooms(entry, need.keys if need.opens_room else ())
        return Place(node="", worker=entry.worker, ticket=entry.ticket)

    def _hold_until(self, entry: Entry, until: float) -> None:
        entry.until = until
        self._tickets[entry.ticket] = entry
        self._lapsing.append((until, entry.ticket))

    def confirm(self, place: Place, keys: Iterable[Key], now: float) -> None:
        """What was reserved runs, and owns these, too. If its worker does not tell of it, it lapses all the same."""
        self.lapse(now)
        entry = self._tickets.pop(place.ticket, None)
        if entry is None or entry not in self.seats[entry.worker].entries:  # it has come and gone already
            return
        keys = tuple(keys)
        known = (other for key in keys for other in self._by_key.get(key, ()) if other.key == key)
        alike = (one for one in known if (one.kind, one.worker) == (entry.kind, entry.worker))
        other = next((one for one in alike if one is not entry), None)
        if other is None:
            self._own(entry, keys)
            self._open_rooms(entry, entry.rooms | {key for key in keys if key.kind == entry.kind})
        elif self._tickets.get(other.ticket) is other:
            entry.ticket = other.ticket  # of two that replace the same, the worker took this one first: they change
        else:
            self._remove(entry)
            return
        if entry.until is not None:
            self._hold_until(entry, now + HOLD)

    def cancel(self, place: Place) -> None:
        """It does not run."""
        entry = self._tickets.pop(place.ticket, None)
        if entry is not None and entry.until is not None:
            self._remove(entry)

    def lapse(self, now: float) -> None:
        """Reservations end that were held for too long."""
        while self._lapsing and self._lapsing[0][0] <= now:
            _, ticket = self._lapsing.popleft()
            entry = self._tickets.get(ticket)
            if entry is not None and (entry.until is None or entry.until <= now):
                del self._tickets[ticket]
                if entry.until is not None:
                    self._remove(entry)

    def _choose(self, need: Need) -> int | None:
        """The worker with the least weight that has room; one that is overloaded only where all are."""
        fit = [n for n, seat in enumerate(self.seats) if self._fits(seat, need)]
        at_ease = [n for n in fit if not self.seats[n].overloaded]
        all_are = all(seat.overloaded for seat in self.seats if seat.open)
        return min(at_ease or (fit if all_are else []), key=lambda n: (self.seats[n].used, n), default=None)

    def _only(self, need: Need, worker: int) -> int | None:
        return worker if self._fits(self.seats[worker], need) else None

    def _fits(self, seat: Seat, need: Need) -> bool:
        limits = self.limits
        most = {"session": limits.sessions, "agent": limits.agents, "room": limits.rooms}[need.kind]
        return (
            seat.open
            and seat.used + need.weight <= limits.capacity
            and seat.counts[need.kind] < most
            and (not limits.pixel_rate or not need.pixel_rate or seat.pixel_rate + need.pixel_rate <= limits.pixel_rate)
        )

    def largest(self) -> int:
        """The most weight that some worker has room for; 0 = none has."""
        full = self.limits.sessions
        room = [self.limits.capacity - seat.used for seat in self.seats if seat.open and seat.counts["session"] < full]
        return max(0, *room) if room else 0

    # ------------------------------------------------------------------------------------------------------ quotas

    def _check_quota(self, need: Need) -> None:
        owner, quota, other = need.owner, self._quota_of(need.owner), self.elsewhere(need.owner)
        there = self._counts[owner, need.kind] + (other.agents if need.kind == "agent" else other.sessions)
        if need.kind == "session" and quota.sessions is not None and there >= quota.sessions:
            raise _sessions(f"This key's limit of {quota.sessions} sessions is reached")
        if need.kind == "agent" and quota.agents is not None and there >= quota.agents:
            raise AgentLimit(f"{there} agents run with this key; no more are allowed")
        self._check_rooms(need)
        self._check_pixels(need, need.pixel_rate, need.pixel_rate)

    def _check_rooms(self, need: Need) -> None:
        most = self._quota_of(need.owner).rooms
        opens = need.opens_room and any(key.kind == "room" and key not in self._rooms for key in need.keys)
        there = self._counts[need.owner, "room"] + self.elsewhere(need.owner).rooms
        if opens and most is not None and there >= most:
            raise NoCapacity(f"there are {most} rooms, and no more are allowed")

    def _check_pixels(self, need: Need, more: int, adds: int) -> None:
        limit = self._quota_of(need.owner).pixel_rate
        there = self._pixels[need.owner] + self.elsewhere(need.owner).pixel_rate
        if adds and limit is not None and there + max(0, more) > limit:
            text = f"This key's limit of {limit} pixels a second is reached: this would add {adds}"
            raise AgentLimit(text) if need.kind == "agent" else _sessions(text)

    # ------------------------------------------------------------------------------------------- what workers tell

    def opened(self, worker: int, told: Opened, now: float) -> None:
        """A worker tells that something is there, or anew what is known of it."""
        self.lapse(now)
        keys = (told.key, *told.also)
        kind = RUNS.get(told.key.kind)
        if kind is None:  # a connection: it weighs nothing of its own
            self._add(self._named(Entry("", told.owner, worker, 0, 0), told), keys)
            return
        entry = self._same(worker, kind, told)
        if entry is None:
            entry = Entry(kind, told.owner, worker, 0, 0)
            self._add(entry, keys)
        begun = entry.key is None
        self._named(entry, told)
        entry.until = None
        self._succeed(entry)
        self._weigh(entry, told.weight or entry.weight, told.pixel_rate)
        self._own(entry, keys)
        self._open_rooms(entry, keys)
        if begun:
            for key in keys:
                self.on_begun(key)

    @staticmethod
    def _named(entry: Entry, told: Opened) -> Entry:
        entry.key = told.key
        entry.told = told.told or entry.told
        return entry

    def _same(self, worker: int, kind: str, told: Opened) -> Entry | None:
        """What was known of it already: by its own key, or by the one that it was reserved with."""
        own = [key for key in (told.key, *told.also) if key.kind in (told.key.kind, SELF[kind])]
        for key in own:
            for entry in self._by_key.get(key, ()):
                if entry.worker == worker and entry.kind == kind and entry.key in (None, told.key):
                    return entry
        return None

    def closed(self, worker: int, told: Closed, now: float) -> None:
        """A worker tells that something is over."""
        for entry in [*self._by_key.get(told.key, ())]:
            if entry.worker == worker and entry.key == told.key:
                self._remove(entry)
                if told.key.kind == "agent":
                    self._keep_ended(worker, entry, told, now)

    def _keep_ended(self, worker: int, entry: Entry, told: Closed, now: float) -> None:
        ended = self.seats[worker].ended
        gone = Gone(
            key=told.key,
            also=(),
            owner=entry.owner,
            told=told.told or entry.told,
            reason=told.reason,
            at=now,
            over=True,
        )
        ended[told.key] = gone
        if len(ended) > ENDED:
            ended.popitem(last=False)

    def told_end(self, key: Key) -> None:
        """Webhooks have been told of its end."""
        for entry in self._by_key.get(key, ()):
            entry.over = True

    def up(self, worker: int) -> None:
        """A worker takes something from now on."""
        self.seats[worker].open = True
        self.on_change()

    def down(self, worker: int) -> None:
        """A worker takes nothing new: it drains."""
        self.seats[worker].open = False
        self.on_change()

    def load(self, worker: int, overloaded: bool) -> None:
        """Whether a worker keeps up."""
        seat = self.seats[worker]
        if seat.overloaded != overloaded:
            seat.overloaded = overloaded
            self.on_change()

    def died(self, worker: int, reason: str, now: float) -> list[Gone]:
        """A worker has died: what there was, which is remembered. The next one is `up` again."""
        seat = self.seats[worker]
        seat.open = seat.overloaded = False
        self.on_change()
        lost = []
        for entry in [*seat.entries]:
            self._remove(entry)
            if entry.key is not None and entry.key.kind in ("session", "agent"):
                lost.append(
                    Gone(
                        key=entry.key,
                        also=tuple(key for key in entry.keys if key != entry.key),
                        owner=entry.owner,
                        told=entry.told,
                        reason=reason,
                        at=now,
                        over=entry.over,
                    )
                )
        for ticket in [ticket for ticket, entry in self._tickets.items() if entry.worker == worker]:
            del self._tickets[ticket]
        for gone in (*seat.ended.values(), *lost):
            self._gone[gone.key] = gone
            self._gone.move_to_end(gone.key)
        seat.ended.clear()
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        return lost

    # ------------------------------------------------------------------------------------------------------ finding

    def find(self, key: Key) -> int | None:
        """Which worker owns a key, or still knows of an agent that has ended; None = none does."""
        entry = self._entry(key)
        if entry is not None:
            return entry.worker
        return next((n for n, seat in enumerate(self.seats) if key in seat.ended), None)

    def runs(self, key: Key) -> tuple[int, Key] | None:
        """What runs and owns a key, the newest of several: its worker, and its own key."""
        entries = [entry for entry in self._by_key.get(key, ()) if entry.key is not None]
        same = [entry for entry in entries if entry.key == key] if key.kind == "room" else entries
        own = same[-1].key if same else None
        return None if own is None else (same[-1].worker, own)

    def gone(self, key: Key, now: float) -> Gone | None:
        """What died with its worker a while ago."""
        found = self._gone.get(key)
        if found is not None and now - found.at > 60 * MINUTES:
            del self._gone[key]
            return None
        return found

    def uses(self) -> dict[str, Use]:
        """What each owner has here."""
        owners = {owner for owner, _ in self._counts} | set(self._pixels)
        return {
            owner: Use(
                sessions=self._counts.get((owner, "session"), 0),
                agents=self._counts.get((owner, "agent"), 0),
                rooms=self._counts.get((owner, "room"), 0),
                pixel_rate=self._pixels.get(owner, 0),
            )
            for owner in owners
        }

    def owned(self) -> list[Key]:
        """All keys that are owned."""
        return [*self._by_key]

    def _entry(self, key: Key) -> Entry | None:
        """Of several that have a key, in one worker unless two were started at once, the newest."""
        entries = self._by_key.get(key)
        return next(reversed(entries)) if entries else None

    # ----------------------------------------------------------------------------------------------------- counting

    def _add(self, entry: Entry, keys: Iterable[Key]) -> None:
        seat = self.seats[entry.worker]
        seat.entries[entry] = None
        seat.used += entry.weight
        self.on_change()
        seat.pixel_rate += entry.pixel_rate
        _add(self._pixels, entry.owner, entry.pixel_rate)
        if entry.instead_of is None:
            self._count(entry, 1)
        self._own(entry, keys)

    def _count(self, entry: Entry, by: int) -> None:
        self.seats[entry.worker].counts[entry.kind] += by
        if entry.kind in ("session", "agent"):
            _add(self._counts, (entry.owner, entry.kind), by)

    def _succeed(self, entry: Entry) -> None:
        """What it waited for has ended, or it is there already: it counts in full."""
        if (before := entry.instead_of) is not None:
            before.heirs.remove(entry)
            entry.instead_of = None
            self._count(entry, 1)
            self._weigh(entry, *entry.wanted)

    def _remove(self, entry: Entry) -> None:
        seat = self.seats[entry.worker]
        if entry not in seat.entries:
            return
        del seat.entries[entry]
        if (before := entry.instead_of) is not None:
            before.heirs.remove(entry)
        else:
            self._count(entry, -1)
        self._weigh(entry, 0, 0)
        self._open_rooms(entry, ())
        self._let_go(entry)
        if not entry.heirs:
            return
        first, *others = entry.heirs
        self._succeed(first)
        entry.heirs = []
        for other in others:  # they wait for the first of them now
            self._weigh(other, *first.beyond(*other.wanted))
            other.instead_of = first
            first.heirs.append(other)

    def _let_go(self, entry: Entry) -> None:
        for key in entry.keys:
            owners = self._by_key[key]
            del owners[entry]
            if not owners:
                del self._by_key[key]
                self.on_key(key, False)

    def _weigh(self, entry: Entry, weight: int, pixel_rate: int) -> None:
        seat = self.seats[entry.worker]
        seat.used += weight - entry.weight
        self.on_change()
        seat.pixel_rate += pixel_rate - entry.pixel_rate
        _add(self._pixels, entry.owner, pixel_rate - entry.pixel_rate)
        entry.weight, entry.pixel_rate = weight, pixel_rate

    def _own(self, entry: Entry, keys: Iterable[Key]) -> None:
        for key in keys:
            entry.keys[key] = None
            owners = self._by_key.get(key)
            if owners is None:
                owners = self._by_key[key] = {}
                owners[entry] = None
                self.on_key(key, True)
            owners[entry] = None

    def _open_rooms(self, entry: Entry, keys: Iterable[Key]) -> None:
        """Rooms are counted by their keys: of one, the agent for which it is reserved, and the room itself."""
        rooms = {key for key in keys if key.kind == "room"}
        for key in rooms ^ entry.rooms:
            by, before = 1 if key in rooms else -1, self._rooms[key]
            _add(self._rooms, key, by)
            if not before or not self._rooms[key]:
                _add(self._counts, (key.owner, "room"), by)
        entry.rooms = rooms


def _add(counter: Counter[Any], key: Any, by: int) -> None:
    """Owners that have nothing any more are not kept."""
    counter[key] += by
    if not counter[key]:
        del counter[key]


def _sessions(text: str) -> LipwireError:
    return ProviderError("SESSION_LIMIT", text, retry_after=RETRY_AFTER)
