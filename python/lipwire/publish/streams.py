"""A session's pictures on their way to browsers: encoded once for all who take the same codec and class of bit rate.

Who changes from one source of pictures to another (a codec's class of bit rate, or units that were encoded beforehand)
is sent the old one until the new one's next key frame, and sees no seam. Who is behind waits for a key frame, and holds
nobody up; who needs one asks for all, so that they come no closer together than `KEY_EVERY`. Whose path carries no
units is sent an encoder's pictures, of a lower bit rate, until it does (`rates.Choice`): the others keep the units.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from fractions import Fraction
from threading import Lock

from msgspec.structs import replace

from .._core import RATE, Frame
from ..errors import BufferFull
from ..stream import Publisher, Wants, no_key
from .encoders import ENCODERS, USUAL_FPS, Picture
from .native import KINDS, Fan, Outgoing
from .rates import Choice, bit_rates
from .turns import encoding

logger = logging.getLogger("lipwire.webrtc")

KEY_EVERY = RATE // 2
"""Samples from one key frame to the next that somebody asked for."""
MEASURED = 2 * RATE
"""Samples over which a bit rate is measured."""
LATER = 2
"""Samples by which an encoder's picture comes behind the unit of the same frame, where somebody is sent both: a
timestamp of its own, at the clock of RTP."""
UNITS = "h264"
"""The codec of those that were encoded beforehand."""


class Watcher:
    """What is known of one connection's pictures."""

    def __init__(self, out: Outgoing) -> None:
        self.out = out
        self.choice = Choice()
        self.estimate = 0
        """Bit/s that its path carries; 0: not known yet."""
        self.source: Source | None = None
        """Whose pictures it is sent,"""
        self.next: Source | None = None
        """and whose it is going to be sent, from a key frame on."""

    def release(self) -> None:
        """It is sent no more of what it is sent now: the key frame that it waits for comes."""
        if self.source is not None:
            self.source.fan.remove(self.out)
            self.source = None


class Source:
    """Access units of one kind for all who take them. Its methods are called under the lock of its `Pictures`."""

    def __init__(self, codec: str) -> None:
        self.fan = Fan(KINDS[codec], mode=0 if codec == "h264 in single units" else 1)
        self.joining: set[Watcher] = set()
        self.bit_rate = 0
        """Bit/s of the last `MEASURED` that were sent; 0 = not known yet."""
        self._bytes = 0
        self._since: int | None = None

    def __len__(self) -> int:
        return len(self.fan) + len(self.joining)

    def join(self, watcher: Watcher) -> None:
        """It is sent these from the next key frame on."""
        if watcher.next is not None:
            watcher.next.joining.discard(watcher)
        watcher.next = None if watcher.source is self else self
        if watcher.next is not None:
            self.joining.add(watcher)
            self.ask_key()

    def leave(self, watcher: Watcher) -> None:
        """It is sent nothing of these any more."""
        self.joining.discard(watcher)
        self.fan.remove(watcher.out)

    def ask_key(self) -> None:
        """Somebody needs a key frame."""

    def admit(self) -> None:
        """What comes next is a key frame: who waits for one gets nothing else any more, so that nobody is sent one
        picture of both."""
        for watcher in self.joining:
            watcher.release()

    def send(self, data: bytes, sample: int, key: bool) -> None:
        """To everyone."""
        self._measure(len(data), sample)
        if key:
            for watcher in [one for one in self.joining if one.source is None]:
                watcher.source, watcher.next = self, None
                self.joining.discard(watcher)
                self.fan.add(watcher.out)
        try:
            self.fan.send(data, sample, key)
        except BufferFull:
            self.fan.miss()
            self.ask_key()

    def _measure(self, size: int, sample: int) -> None:
        self._bytes += size
        if self._since is None or not 0 <= sample - self._since < 2 * MEASURED:
            self._bytes, self._since = 0, sample
        elif sample - self._since >= MEASURED:
            self.bit_rate = 8 * self._bytes * RATE // (sample - self._since)
            self._bytes, self._since = 0, sample


class Units(Source):
    """Those that were encoded beforehand; a session makes them."""

    def __init__(self) -> None:
        super().__init__(UNITS)
        self.request_key: Callable[[], None] = no_key
        """Asks the session for a key frame."""
        self.most = 0
        """Bit/s: the highest `bit_rate`; what it was a while ago counts for less."""
        self._wanted = False
        """Somebody needs one, and the session has not been asked."""
        self._at = 0
        self._key_at: int | None = None

    def ask_key(self) -> None:
        self._wanted = True
        self._ask_in_time()

    def _ask_in_time(self) -> None:
        if self._wanted and (self._key_at is None or not 0 <= self._at - self._key_at < KEY_EVERY):
            self._wanted = False
            self.request_key()

    def fade(self) -> None:
        """A second has gone by: half of a peak is forgotten in 140, so that it keeps nobody off for good."""
        self.most = max(min(self.most, 1), self.most * 199 // 200)

    def begin_anew(self, request_key: Callable[[], None]) -> None:
        """They are somebody else's from now on."""
        self.request_key, self.most = request_key, 0

    def expect(self, sample: int, key: bool) -> None:
        """The next one to be sent is this."""
        self._at = sample
        if key:
            self._key_at = sample

    def send(self, data: bytes, sample: int, key: bool) -> None:
        if key:
            self._wanted = False
            self.admit()
        super().send(data, sample, key)
        self.most = max(self.most, self.bit_rate)
        self._ask_in_time()


class Encoded(Source):
    """Those of an encoder, which takes the newest picture when its turn comes."""

    def __init__(self, codec: str, level: int, lock: Lock, turns: Executor) -> None:
        super().__init__(codec)
        self._encoder = ENCODERS[codec](level)
        self._lock, self._turns = lock, turns
        self._picture: Picture | None = None
        """What waits for its turn."""
        self._at_work = False
        self._key = True
        self._key_at: int | None = None

    def ask_key(self) -> None:
        self._key = True

    def put(self, picture: Picture, sent: Source | None = None) -> None:
        """A picture that is to be encoded. One that still waits is left out for everyone. `sent`: who is sent that has
        this one already."""
        if self._picture is not None:
            self.fan.miss()
        if self._is_due(picture.sample):
            if sent is not None and any(watcher.source is sent for watcher in self.joining):
                picture = replace(picture, sample=picture.sample + LATER)
            self.admit()
        self._picture = picture
        if not self._at_work:
            self._at_work = True
            self._turns.submit(self._work)

    def _is_due(self, sample: int) -> bool:
        return self._key and (self._key_at is None or not 0 <= sample - self._key_at < KEY_EVERY)

    def drop(self) -> None:
        """What waits is stale."""
        self._picture = None

    def _work(self) -> None:
        """A turn, in a thread that encodes. The next one is taken at the end of the queue."""
        try:
            self._encode()
        except Exception:  # the edge of the thread's task
            logger.exception("a picture cannot be encoded")
            with self._lock:
                self.fan.miss()
                self.ask_key()
        finally:
            with self._lock:
                self._at_work = self._picture is not None
                if self._at_work:
                    self._turns.submit(self._work)

    def _encode(self) -> None:
        with self._lock:
            picture, self._picture = self._picture, None
            if picture is None or not len(self):
                return
            key = self._is_due(picture.sample)
            if key:  # but for those who came when this picture waited already
                self._key = any(watcher.source is not None for watcher in self.joining)
        data, is_key = self._encoder.encode(picture, key)
        with self._lock:
            if is_key:
                self._key_at = picture.sample
            if data:
                self.send(data, picture.sample, is_key)


class Pictures:
    """The pictures of one face, for everyone who watches. All methods are called by the event loop's thread.

    Args:
        turns: whose threads encode; None = those of the event loop.
    """

    def __init__(self, turns: Executor | None = None) -> None:
        self._turns = turns
        self._lock = Lock()
        self._watchers: dict[Outgoing, Watcher] = {}
        self._encoded: dict[tuple[str, int], Encoded] = {}
        """By codec and class: those that somebody is sent, or going to be."""
        self.units = Units()
        self._stitched = False
        """Whether what came last had been encoded beforehand."""
        self._rates = bit_rates(640, 360)
        self._pixel_rate = 0
        """Pixels a second of what is shown."""
        self._at = self._reviewed_at = 0
        """Samples: of what came last, and when it was last looked at who could have more."""

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def wants(self) -> Wants:
        """What those who watch take. Who can take units is shown pictures until the first one comes."""
        if not self._watchers:
            return "nothing"
        if len(self.units.fan) == len(self._watchers) and not (self._encoded and self.encoders):
            return "units"
        return "both" if any(map(self._may_have_units, self._watchers.values())) else "pictures"

    @property
    def encoders(self) -> int:
        """How many work."""
        return sum(len(source) > 0 for source in self._encoded.values())

    @property
    def encoded(self) -> int:
        """Pixels a second that they encode."""
        return self.encoders * self._pixel_rate

    def add(self, out: Outgoing) -> None:
        """Somebody watches from now on."""
        watcher = self._watchers[out] = Watcher(out)
        out.on_key = lambda: self._ask_key(watcher)
        out.on_rate = lambda estimate: self._judge(watcher, estimate)
        out.on_behind = lambda: self._fall_behind(watcher)
        with self._lock:
            self._place(watcher)

    def remove(self, out: Outgoing) -> None:
        """Somebody does not any more. Safe to call twice."""
        out.quiet()
        if (watcher := self._watchers.pop(out, None)) is not None:
            with self._lock:
                for source in (watcher.source, watcher.next):
                    if source is not None:
                        source.leave(watcher)
                self._tidy()

    def show(self, frame: Frame, sample: int, fps: Fraction | None = None) -> None:
        """A picture, uncopied, to be shown when the clock is at `sample`; one of `fps` a second."""
        if not self._watchers:
            return
        self._rates = bit_rates(frame.width, frame.height)
        self._pixel_rate = round(frame.width * frame.height * (fps or USUAL_FPS))
        with self._lock:
            if not frame.stitched:
                self._turn(False)
            self._review(sample)
            picture = Picture(frame, sample, fps)
            self._tidy()
            for source in self._encoded.values():
                source.put(picture, self.units if frame.stitched else None)

    def unit(self, data: bytes, sample: int, key: bool) -> None:
        """An access unit of H.264, Annex B, to be shown when the clock is at `sample`, for whoever can take it."""
        if not self._watchers:
            return
        with self._lock:
            self.units.expect(sample, key)
            self._turn(True)
            self._review(sample)
            self.units.send(data, sample, key)

    def begin_anew(self, request_key: Callable[[], None]) -> None:
        """Units are somebody else's from now on, who is asked for key frames by `request_key`."""
        with self._lock:
            self.units.begin_anew(request_key)
            for watcher in self._watchers.values():
                if watcher.source is self.units:
                    watcher.release()
                    self._place(watcher)

    def interrupt(self) -> None:
        """What waits for its encoder is stale."""
        with self._lock:
            for source in self._encoded.values():
                source.drop()

    def _turn(self, stitched: bool) -> None:
        """From now on whoever can take them is sent units, or nobody is."""
        if stitched != self._stitched:
            self._stitched = stitched
            for watcher in self._watchers.values():
                self._place(watcher)

    @staticmethod
    def _may_have_units(watcher: Watcher) -> bool:
        return watcher.out.codec == UNITS and watcher.choice.units

    def _place(self, watcher: Watcher) -> None:
        """Where it belongs."""
        if self._stitched and self._may_have_units(watcher):
            self.units.join(watcher)
            return
        key = watcher.out.codec, watcher.choice.level
        if key not in self._encoded:
            self._encoded[key] = Encoded(*key, self._lock, self._turns or encoding())
        self._encoded[key].join(watcher)
        self._tidy()

    def _tidy(self) -> None:
        """Lets go of encoders that nobody is sent the pictures of."""
        for key in [key for key, source in self._encoded.items() if not len(source)]:
            del self._encoded[key]

    def _ask_key(self, watcher: Watcher) -> None:
        with self._lock:
            if watcher.source is not None:
                watcher.source.ask_key()

    def _judge(self, watcher: Watcher, estimate: int) -> None:
        watcher.estimate = estimate
        sent = 0 if watcher.source is None else watcher.source.bit_rate
        with self._lock, self._choosing(watcher) as choice:
            choice.judge(estimate, sent, self._rates, self._at / RATE, self._most(watcher))

    def _fall_behind(self, watcher: Watcher) -> None:
        with self._lock, self._choosing(watcher) as choice:
            choice.fall_behind(self._at / RATE, units=watcher.source is self.units)

    def _review(self, sample: int) -> None:
        """What came last is of `sample`. Once a second who has waited for long enough tries something better."""
        self._at = sample
        if 0 <= sample - self._reviewed_at < RATE:
            return
        self._reviewed_at = sample
        self.units.fade()
        for watcher in self._watchers.values():
            with self._choosing(watcher) as choice:
                if watcher.estimate:
                    choice.rise(watcher.estimate, self._rates, sample / RATE, self._most(watcher))

    def _most(self, watcher: Watcher) -> int:
        """Bit/s that units need, for who could take them."""
        return self.units.most if watcher.out.codec == UNITS else 0

    @contextmanager
    def _choosing(self, watcher: Watcher) -> Iterator[Choice]:
        """Its place follows what is chosen within."""
        choice = watcher.choice
        before = choice.level, choice.units
        yield choice
        if (choice.level, choice.units) != before:
            self._place(watcher)


class PicturesPublisher(Publisher):
    """A publisher whose pictures go through `Pictures`."""

    _pictures: Pictures

    @property
    def wants(self) -> Wants:
        """What its receivers take: units, who takes H.264."""
        return self._pictures.wants

    @property
    def request_key(self) -> Callable[[], None]:
        """As `Publisher.request_key`."""
        return self._pictures.units.request_key

    @request_key.setter
    def request_key(self, request_key: Callable[[], None]) -> None:
        self._pictures.units.request_key = request_key
