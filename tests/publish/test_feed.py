"""What waits between a session and a thread that writes: bounded, in order, and stale at once."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from lipwire import _core
from lipwire.audio.fade import FADE
from lipwire.publish.encoders import Picture
from lipwire.publish.feed import PICTURES, Feed, Sound
from lipwire.stream import Unit

BLOCK = 480
LOUD = np.full(BLOCK, 9000, "<i2").tobytes()


def sound(n: int) -> Sound:
    return Sound(LOUD, n * BLOCK)


def unit(n: int, key: bool = False) -> Unit:
    return Unit(b"u", n * BLOCK, key)


def picture(n: int) -> Picture:
    return Picture(_core.Frame(16, 16), n * BLOCK)


def everything(feed: Feed) -> list[Any]:
    feed.end()
    return list(iter(feed.take, None))


def test_what_comes_goes_in_its_order() -> None:
    feed = Feed()
    items: list[Any] = [unit(0, True), sound(0), sound(1), unit(4), picture(8), sound(8)]
    for item in items:
        feed.put(item)
    assert everything(feed) == items
    feed.put(sound(9))  # after the end
    assert feed.take() is None and feed.samples_dropped == 0


def test_who_is_too_far_behind_loses_all_that_waits_and_is_told() -> None:
    feed = Feed(behind=1.0)
    for n in range(301):
        feed.put(sound(n))
        if n % 4 == 0:
            feed.put(unit(n, n == 0))
    left = everything(feed)
    assert left[0] == "lost" and left.count("lost") == 1
    assert len(left) < 140 and isinstance(left[-1], Unit)
    kept = sum(isinstance(item, Sound) for item in left)
    assert feed.samples_dropped == (301 - kept) * BLOCK
    assert feed.units_dropped == 76 - sum(isinstance(item, Unit) for item in left) > 0


def test_pictures_that_an_encoder_has_no_time_for_are_left_out_one_by_one() -> None:
    feed = Feed()
    for n in range(PICTURES + 3):
        feed.put(picture(n))
        feed.put(sound(n))
    assert feed.pictures_dropped == 3 and feed.samples_dropped == 0
    feed.take()
    feed.put(picture(99))
    assert feed.pictures_dropped == 3
    left = everything(feed)
    assert "lost" not in left and sum(isinstance(item, Picture) for item in left) == PICTURES


def test_behind_an_interrupt_there_is_a_fade_and_then_silence() -> None:
    feed = Feed()
    for n in range(3):
        feed.put(sound(n))
    feed.put(picture(3))
    for n in (3, 7):
        feed.put(unit(n, n == 3))
    feed.interrupt()
    feed.put(sound(3))
    left = everything(feed)
    blocks = [np.frombuffer(item.pcm, "<i2") for item in left if isinstance(item, Sound)]
    assert blocks[0][0] > 8000 and not blocks[0][FADE:].any()
    assert not any(block.any() for block in blocks[1:3]) and blocks[3].all()
    assert [item.sample for item in left if isinstance(item, Sound)] == [n * BLOCK for n in range(4)]
    # Two units are as good as shown; a picture is not.
    assert [item for item in left if isinstance(item, Unit)] == [unit(3, True), unit(7)] and "lost" not in left
    assert not any(isinstance(item, Picture) for item in left) and feed.pictures_dropped == 1


def test_many_units_that_are_stale_are_left_out_up_to_the_next_key() -> None:
    feed = Feed()
    for n in range(5):
        feed.put(unit(n, n == 0))
    feed.interrupt()
    assert everything(feed) == ["lost"] and feed.units_dropped == 5


def test_who_takes_waits_for_what_comes() -> None:
    feed = Feed()
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(iter(feed.take, None)))
    thread.start()
    for n in range(3):
        feed.put(sound(n))
    feed.end()
    thread.join(10)
    assert taken == [sound(0), sound(1), sound(2)]
    late = Feed()
    late.put(sound(0))
    late.end(at_once=True)
    assert late.take() is None
