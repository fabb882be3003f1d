"""cluster/ledger.py: every place is counted once, whatever comes first, and nothing is left of what has ended."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from lipwire.agents.errors import AgentLimit
from lipwire.cluster.ledger import ENDED, MINUTES, REMEMBERED, Ledger, Limits
from lipwire.cluster.placement import HOLD, UNIT, Key, Need, Place
from lipwire.cluster.wire import Closed, Opened
from lipwire.errors import NoCapacity
from lipwire.provider.keys import Quota
from lipwire.provider.sessions import ProviderError

RATE = 640 * 360 * 25


def ledger(workers: int = 2, quota: Quota | None = None, **limits: Any) -> Ledger:
    """Each takes three faces, unless something else is said."""
    made = Ledger(workers, Limits(**({"capacity": 3 * UNIT} | limits)), lambda owner: quota or Quota())
    for index in range(workers):
        made.up(index)
    return made


def session(name: str = "c", owner: str = "o", weight: int = UNIT, rate: int = RATE) -> Need:
    return Need(kind="session", owner=owner, weight=weight, pixel_rate=rate, keys=(Key("channel", "", name),))


def agent(name: str, room: str = "", owner: str = "o", weight: int = UNIT) -> Need:
    keys = (Key("name", owner, name), *((Key("room", owner, room),) if room else ()))
    return Need(kind="agent", owner=owner, weight=weight, pixel_rate=RATE, keys=keys)


def room(name: str, owner: str = "o") -> Need:
    return Need(kind="room", owner=owner, weight=10, keys=(Key("room", owner, name),))


def opened(id: str, channel: str = "c", owner: str = "o", weight: int = UNIT, rate: int = RATE) -> Opened:
    key, also = Key("session", "", id), (Key("channel", "", channel),)
    return Opened(key=key, also=also, owner=owner, weight=weight, pixel_rate=rate, told={"session_id": id})


def agent_opened(id: str, name: str, room: str = "", owner: str = "o") -> Opened:
    also = (Key("name", owner, name), *((Key("room", owner, room),) if room else ()))
    told = {"agent_id": id, "status": "RUNNING"}
    return Opened(key=Key("agent", "", id), also=also, owner=owner, weight=UNIT, pixel_rate=RATE, told=told)


def closed(id: str, kind: Any = "session") -> Closed:
    return Closed(Key(kind, "", id))


def is_empty(book: Ledger) -> bool:
    return (
        not book.owned()
        and not book._counts
        and not book._pixels
        and not book._rooms
        and not book._tickets
        and all(not seat.entries and not seat.used and not seat.pixel_rate and not +seat.counts for seat in book.seats)
    )


def held(book: Ledger, need: Need, now: float = 0.0) -> Place:
    place = book.reserve(need, now)
    assert place is not None
    return place


# ------------------------------------------------------------------------------------------------------------ placing


def test_the_one_with_the_least_weight_gets_the_next() -> None:
    book = ledger(3)
    assert [held(book, session(str(n), weight=w)).worker for n, w in enumerate((500, 400, 300, 100, 1))] == [
        *(0, 1, 2, 2, 1)
    ]


def test_exactly_the_capacity_is_placed() -> None:
    book = ledger(2)
    places = [book.reserve(session(str(n)), 0.0) for n in range(7)]
    assert [place is not None for place in places] == [True] * 6 + [False]
    assert book.largest() == 0
    assert places[2] is not None
    book.cancel(places[2])
    assert book.largest() == UNIT and book.reserve(session("again", weight=UNIT + 1), 0.0) is None
    assert held(book, session("again")).worker == places[2].worker


@pytest.mark.parametrize(
    ("limits", "fits"),
    [({"sessions": 2}, 2), ({"pixel_rate": 2 * RATE}, 2), ({"capacity": 10 * UNIT}, 10)],
)
def test_each_worker_has_its_limits(limits: dict[str, int], fits: int) -> None:
    book = ledger(1, None, **({"capacity": 100 * UNIT} | limits))
    assert [book.reserve(session(str(n)), 0.0) is not None for n in range(fits + 1)] == [True] * fits + [False]


def test_who_is_overloaded_gets_nothing_new_unless_all_are() -> None:
    book = ledger(2)
    book.seats[0].overloaded = True
    assert [held(book, session(str(n))).worker for n in range(3)] == [1, 1, 1]
    assert book.reserve(session("full"), 0.0) is None, "the other has room, but does not keep up"
    book.seats[1].overloaded = True
    assert held(book, session("all are")).worker == 0


def test_a_worker_that_is_not_up_gets_nothing() -> None:
    book = ledger(2)
    book.down(0)
    assert {held(book, session(str(n))).worker for n in range(3)} == {1}
    assert book.reserve(session("more"), 0.0) is None
    book.down(1)
    assert book.largest() == 0


# ------------------------------------------------------------------------------------------------------- counted once


@pytest.mark.parametrize("order", ["confirmed first", "told first", "told alone", "ended before it was confirmed"])
def test_a_session_is_counted_once(order: str) -> None:
    book = ledger(1)
    place, key = held(book, session()), Key("session", "", "s")
    match order:
        case "confirmed first":
            book.confirm(place, (key,), 1.0)
            assert book.find(key) == 0
            book.opened(0, opened("s"), 1.0)
        case "told first":
            book.opened(0, opened("s"), 1.0)
            book.confirm(place, (key,), 1.0)
        case "told alone":
            book.opened(0, opened("s"), 1.0)
        case _:
            book.opened(0, opened("s"), 1.0)
            book.closed(0, closed("s"), 1.0)
            book.confirm(place, (key,), 1.0)
            assert is_empty(book)
            return
    book.lapse(1000.0)
    assert book.seats[0].used == UNIT and book.seats[0].counts["session"] == 1 and book.find(key) == 0
    book.cancel(place)  # of what runs, it says nothing
    assert book.seats[0].used == UNIT
    book.closed(0, closed("s"), 2.0)
    assert is_empty(book) and book.find(key) is None


def test_one_that_ended_under_the_ticket_of_another_leaves_nothing() -> None:
    """Two start the same, the worker takes the second first, and the first fails."""
    book = ledger(1)
    first, second = held(book, session()), held(book, session())
    book.opened(0, opened("s"), 0.0)
    book.closed(0, closed("s"), 0.0)
    book.confirm(second, (Key("session", "", "s"),), 0.0)
    book.cancel(first)
    book.lapse(HOLD)
    assert is_empty(book)


def test_two_that_are_confirmed_the_other_way_round_are_two() -> None:
    book = ledger(1)
    first, second = held(book, session()), held(book, session())
    book.opened(0, opened("b"), 0.0)
    book.confirm(second, (Key("session", "", "b"),), 0.0)
    book.closed(0, closed("b"), 0.0)
    book.opened(0, opened("a"), 0.0)
    book.confirm(first, (Key("session", "", "a"),), 0.0)
    assert book.seats[0].used == UNIT and book.find(Key("session", "", "a")) == 0
    book.closed(0, closed("a"), 0.0)
    book.lapse(HOLD)
    assert is_empty(book)


def test_what_the_worker_says_that_it_weighs_counts() -> None:
    book = ledger(1)
    held(book, session(weight=900))
    book.opened(0, opened("s", weight=1100), 0.0)
    assert book.seats[0].used == 1100


def test_a_reservation_lapses() -> None:
    book = ledger(1, capacity=UNIT)
    first = held(book, session("a"), 100.0)
    assert book.reserve(session("b"), 100.0 + HOLD - 0.01) is None
    assert book.reserve(session("b"), 100.0 + HOLD) is not None
    book.confirm(first, (Key("session", "", "a"),), 100.0 + HOLD)  # too late: its worker will say what is there
    assert book.find(Key("session", "", "a")) is None and book.seats[0].used == UNIT
    book.opened(0, opened("a", "a"), 101.0 + HOLD)
    assert book.seats[0].used == 2 * UNIT, "it runs all the same"


def test_a_newer_session_takes_the_place_of_the_older_in_one_count() -> None:
    book = ledger(2, Quota(sessions=1, pixel_rate=RATE), capacity=UNIT)
    first = held(book, session())
    book.opened(0, opened("old"), 0.0)
    book.confirm(first, (), 0.0)
    held(book, session("other", owner="p"))
    second = held(book, session())
    assert second.worker == first.worker and book.seats[0].used == UNIT
    with pytest.raises(ProviderError):
        book.reserve(session("a second one"), 0.0)
    book.closed(0, closed("old"), 0.0)
    assert book.seats[0].used == UNIT, "nobody else gets what it leaves"
    assert book.reserve(session("another's", owner="q"), 0.0) is None
    book.opened(0, opened("new"), 0.0)
    book.confirm(second, (Key("session", "", "new"),), 0.0)
    assert book.seats[0].used == UNIT and book.find(Key("channel", "", "c")) == 0
    book.closed(0, closed("new"), 0.0)
    book.lapse(100.0)
    assert is_empty(book)


def test_a_larger_one_counts_as_such_before_the_older_has_left() -> None:
    book = ledger(1, Quota(pixel_rate=2 * RATE), capacity=4 * UNIT)
    held(book, session())
    book.opened(0, opened("old"), 0.0)
    place = held(book, session(weight=2 * UNIT, rate=2 * RATE))
    assert book.seats[0].used == 2 * UNIT
    with pytest.raises(ProviderError, match="would add"):
        book.reserve(session(rate=2 * RATE + 1), 0.0)
    book.cancel(place)
    assert book.seats[0].used == UNIT


def test_several_that_replace_the_same_are_one_after_the_other() -> None:
    book = ledger(1)
    places = [held(book, session()) for _ in range(4)]
    assert book.seats[0].used == UNIT and len({place.ticket for place in places}) == 4
    for n in range(4):
        if n:
            book.closed(0, closed(str(n - 1)), 0.0)
        book.opened(0, opened(str(n)), 0.0)
        assert book.seats[0].used == UNIT and book.seats[0].counts["session"] == 1
    for n, place in enumerate(places):
        book.confirm(place, (Key("session", "", str(n)),), 0.0)
    book.closed(0, closed("3"), 0.0)
    book.lapse(100.0)
    assert is_empty(book)


def test_another_owners_channel_is_refused_where_it_is() -> None:
    book = ledger(2)
    held(book, session())
    assert held(book, session(owner="p")) == Place(node="", worker=0, ticket="")


def test_a_connection_weighs_nothing() -> None:
    book, key = ledger(1), Key("peer", "", "p")
    book.opened(0, Opened(key=key), 0.0)
    assert book.find(key) == 0 and book.seats[0].used == 0
    book.closed(0, Closed(key), 0.0)
    assert is_empty(book)


# --------------------------------------------------------------------------------------------------- rooms and agents


def test_all_of_a_room_meet_in_one_worker() -> None:
    book = ledger(2)
    first = held(book, agent("one", "lobby"))
    second = held(book, agent("two", "lobby"))
    joins = held(book, room("lobby"))
    assert first.worker == second.worker == joins.worker and joins.ticket == "" and second.ticket
    assert held(book, room("lobby", owner="p")).worker != first.worker, "another owner's is another room"
    held(book, agent("three", "lobby"))
    assert book.reserve(agent("four", "lobby"), 0.0) is None, "that worker is full"


def test_an_agent_from_its_reservation_to_its_end() -> None:
    book = ledger(1)
    place = held(book, agent("one", "lobby"))
    book.opened(0, agent_opened("a", "one", "lobby"), 0.0)
    book.opened(0, Opened(key=Key("room", "o", "lobby"), owner="o"), 0.0)
    book.opened(0, agent_opened("a", "one", "lobby"), 0.0)  # it runs
    book.confirm(place, (Key("agent", "", "a"),), 0.0)
    assert book.seats[0].used == UNIT and book._counts == {("o", "agent"): 1, ("o", "room"): 1}
    assert held(book, agent("one", "lobby")).worker == 0
    book.closed(0, Closed(Key("agent", "", "a"), "left", {"agent_id": "a", "status": "STOPPED"}), 0.0)
    assert book.find(Key("agent", "", "a")) == 0, "its worker knows of it still"
    assert book._counts["o", "room"] == 1
    book.closed(0, Closed(Key("room", "o", "lobby")), 0.0)
    book.lapse(100.0)
    assert is_empty(book)


def test_ended_agents_are_remembered_as_long_as_their_worker_does() -> None:
    book = ledger(1)
    for n in range(ENDED + 1):
        book.opened(0, agent_opened(str(n), f"n{n}"), 0.0)
        book.closed(0, closed(str(n), "agent"), 0.0)
    assert book.find(Key("agent", "", "0")) is None and book.find(Key("agent", "", "1")) == 0


def test_a_room_that_a_page_opens_has_its_weight() -> None:
    book = ledger(1)
    place = held(book, room("lobby"))
    book.opened(0, Opened(key=Key("room", "o", "lobby"), owner="o"), 0.0)
    book.confirm(place, (), 0.0)
    assert book.seats[0].used == 10
    book.closed(0, Closed(Key("room", "o", "lobby")), 0.0)
    assert is_empty(book)


# -------------------------------------------------------------------------------------------------------------- quotas


def test_quotas_hold_over_all_workers() -> None:
    book = ledger(3, Quota(sessions=2, agents=2, rooms=2, pixel_rate=4 * RATE), capacity=100 * UNIT)
    for n in range(2):
        held(book, session(str(n)))
        held(book, agent(str(n), f"room{n}"))
    with pytest.raises(ProviderError, match=r"^This key's limit of 2 sessions is reached$") as refused:
        book.reserve(session("more"), 0.0)
    assert (refused.value.code, refused.value.status, refused.value.retry_after) == ("SESSION_LIMIT", 429, 5.0)
    with pytest.raises(AgentLimit, match=r"^2 agents run with this key; no more are allowed$"):
        book.reserve(agent("more", "room0"), 0.0)
    with pytest.raises(NoCapacity, match=r"^there are 2 rooms, and no more are allowed$"):
        book.reserve(room("more"), 0.0)
    assert held(book, session("c", owner="p")), "another owner has its own"


def test_an_agent_in_a_channel_of_agoras_has_no_room() -> None:
    """Its channel leads to it, and counts for nothing."""
    book = ledger(2, Quota(rooms=1))
    need = msgspec.structs.replace(agent("a", "c1"), opens_room=False)
    place = held(book, need)
    book.opened(place.worker, agent_opened("A", "a"), 0.1)
    book.confirm(place, (Key("agent", "", "A"),), 0.2)
    assert book.find(Key("room", "o", "c1")) == place.worker and book.uses()["o"].rooms == 0
    held(book, msgspec.structs.replace(agent("b", "c2"), opens_room=False))
    assert held(book, room("real")) and book.uses()["o"].rooms == 1
    held(book, msgspec.structs.replace(agent("d", "c3"), opens_room=False))
    with pytest.raises(NoCapacity):
        book.reserve(room("c1"), 0.3)
    with pytest.raises(NoCapacity):
        book.reserve(agent("e", "c4"), 0.3)


def test_a_worker_says_whether_an_agent_has_a_room() -> None:
    book = ledger(1, Quota(rooms=1))
    book.opened(held(book, agent("a", "c1")).worker, agent_opened("A", "a"), 0.1)
    assert book.uses()["o"].rooms == 0 and book.find(Key("room", "o", "c1")) == 0
    book.opened(0, agent_opened("A", "a", "c1"), 0.1)
    assert book.uses()["o"].rooms == 1
    book.closed(0, closed("A", "agent"), 0.2)
    assert not book.uses()


def test_a_room_that_its_answer_names_counts() -> None:
    book = ledger(1, Quota(rooms=1))
    place = held(book, Need(kind="room", owner="o", weight=10))
    book.confirm(place, (Key("room", "o", "made"),), 0.1)
    with pytest.raises(NoCapacity):
        book.reserve(room("more"), 0.2)


def test_an_agent_is_not_the_room_that_it_is_in() -> None:
    """Whoever confirms it with that, too."""
    book = ledger(1)
    book.opened(0, Opened(key=Key("room", "o", "r"), owner="o", weight=10), 0.0)
    place = held(book, agent("a", "r"))
    book.confirm(place, (Key("agent", "", "A"), Key("room", "o", "r")), 0.1)
    assert book.find(Key("agent", "", "A")) == 0 and book.seats[0].used == UNIT + 10


def test_pixels_of_sessions_and_agents_are_one_account() -> None:
    book = ledger(2, Quota(pixel_rate=2 * RATE), capacity=100 * UNIT)
    held(book, session())
    held(book, agent("one"))
    text = f"^This key's limit of {2 * RATE} pixels a second is reached: this would add {RATE}$"
    with pytest.raises(ProviderError, match=text):
        book.reserve(session("more"), 0.0)
    with pytest.raises(AgentLimit, match=text):
        book.reserve(agent("more"), 0.0)
    assert held(book, session("motion", rate=0)), "who draws nothing is not asked"


# --------------------------------------------------------------------------------------------------------------- death


def test_what_died_with_its_worker_is_remembered_for_a_while() -> None:
    book = ledger(2)
    held(book, session("a"))
    book.opened(0, opened("a", "a"), 0.0)
    book.opened(1, opened("b", "b"), 0.0)
    book.opened(0, agent_opened("left", "n"), 0.0)
    book.closed(0, Closed(Key("agent", "", "left"), "left", {"status": "STOPPED"}), 0.0)
    book.opened(0, Opened(key=Key("peer", "", "p")), 0.0)
    reserved = held(book, session("being made", weight=1))
    book.confirm(reserved, (), 0.0)
    held(book, session("reserved", weight=1))
    lost = book.died(0, "it was killed", 10.0)
    assert [(gone.key.id, gone.told, gone.over) for gone in lost] == [("a", {"session_id": "a"}, False)]
    assert lost[0].also == (Key("channel", "", "a"),) and lost[0].reason == "it was killed"
    assert not book.seats[0].entries and not book.seats[0].used and book.find(Key("session", "", "b")) == 1
    known = book.gone(Key("session", "", "a"), 10.0 + 60 * MINUTES)
    assert known is not None and known.owner == "o"
    ended = book.gone(Key("agent", "", "left"), 10.0)
    assert ended is not None and ended.over and ended.told == {"status": "STOPPED"} and ended.reason == "left"
    assert book.gone(Key("session", "", "a"), 10.1 + 60 * MINUTES) is None
    assert book.reserve(session("a"), 11.0) is not None and held(book, session("d"), 11.0).worker == 1
    book.up(0)
    assert held(book, session("e"), 11.0).worker == 0


def test_only_so_many_are_remembered() -> None:
    book = ledger(1, capacity=10**9)
    for n in range(REMEMBERED + 5):
        book.opened(0, opened(str(n), str(n)), 0.0)
    assert len(book.died(0, "", 0.0)) == REMEMBERED + 5
    assert [n for n in range(REMEMBERED + 5) if book.gone(Key("session", "", str(n)), 0.0) is None] == [*range(5)]


def test_whose_end_was_told_is_not_told_again() -> None:
    book = ledger(1)
    book.opened(0, opened("s"), 0.0)
    book.told_end(Key("session", "", "s"))
    assert [gone.over for gone in book.died(0, "", 0.0)] == [True]


def test_keys_are_told_once_each_way() -> None:
    book, heard = ledger(1), list[tuple[str, bool]]()
    book.on_key = lambda key, there: heard.append((key.id, there))
    place = held(book, session())
    book.confirm(place, (Key("session", "", "s"),), 0.0)
    book.opened(0, opened("s"), 0.0)
    book.closed(0, closed("s"), 0.0)
    assert heard[:2] == [("c", True), ("s", True)] and sorted(heard[2:]) == [("c", False), ("s", False)]


def test_what_runs_is_told_of_each_anew_and_what_is_reserved_is_not() -> None:
    book, heard = ledger(1), list[str]()
    book.on_begun = lambda key: heard.append(key.id)
    channel = session().keys[0]
    held(book, session())
    assert heard == [] and book.runs(channel) is None
    book.opened(0, opened("s"), 0.0)
    book.opened(0, opened("s"), 0.0)
    assert heard.count("s") == heard.count(channel.id) == 1
    held(book, session())
    assert book.runs(channel) == (0, Key("session", "", "s")), "what is being started yet is not what runs"
    book.opened(0, opened("t"), 0.0)
    assert heard.count("t") == 1 and heard.count(channel.id) == 2
    assert book.runs(channel) == (0, Key("session", "", "t"))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_sums_are_those_of_what_there_is(seed: int) -> None:
    """And nothing is left in the end."""
    rng, now, number = random.Random(seed), 0.0, 0
    book = ledger(3, Quota(sessions=8, agents=4, rooms=3, pixel_rate=9 * RATE), sessions=4)
    places: list[tuple[Place, Need]] = []
    running: list[tuple[int, Opened]] = []
    for _ in range(2000):
        now += rng.choice((0.0, 0.1, 3.0))
        match rng.randrange(7):
            case 0 | 1:
                owner = rng.choice("op")
                asked = rng.choice((session, agent, room))
                need = asked(str(rng.randrange(12)), owner=owner)  # type: ignore[operator]
                if need.kind == "agent":
                    need = agent(need.keys[0].id, rng.choice(("", "r1", "r2", "r3", "r4")), owner)
                try:
                    place = book.reserve(need, now)
                except (ProviderError, AgentLimit, NoCapacity):
                    continue
                if place is not None and place.ticket:
                    places.append((place, need))
            case 2 | 3 if places:
                place, need = places.pop(rng.randrange(len(places)))
                number += 1
                if not book.seats[place.worker].open:
                    continue
                key = need.keys[0] if need.kind == "room" else Key(need.kind, "", str(number))
                told = Opened(key=key, also=need.keys, owner=need.owner, weight=need.weight, pixel_rate=need.pixel_rate)
                if confirmed_first := rng.random() < 0.5:
                    book.confirm(place, (key,), now)
                book.opened(place.worker, told, now)
                if not confirmed_first:
                    book.confirm(place, (key,), now)
                running.append((place.worker, told))
            case 4 if places:
                book.cancel(places.pop(rng.randrange(len(places)))[0])
            case 5 if running:
                worker, told = running.pop(rng.randrange(len(running)))
                book.closed(worker, Closed(told.key), now)
            case 6 if rng.random() < 0.05:
                worker = rng.randrange(3)
                book.died(worker, "", now)
                book.up(worker)
                running = [one for one in running if one[0] != worker]
                places = [one for one in places if one[0].worker != worker]
        for seat in book.seats:
            assert seat.used == sum(entry.weight for entry in seat.entries) >= 0
            assert seat.pixel_rate == sum(entry.pixel_rate for entry in seat.entries)
            assert +seat.counts == _counted(seat.entries)
    for worker, told in running:
        book.closed(worker, Closed(told.key), now)
    book.lapse(now + HOLD)
    assert is_empty(book)


def _counted(entries: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.instead_of is None:
            counts[entry.kind] = counts.get(entry.kind, 0) + 1
    return counts
