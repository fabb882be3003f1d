"""publish/incoming.py: microphones' packets to steady sound, on a clock of the test's own; and the ticker, on an event
loop that stands still."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import numpy as np
import pytest

from lipwire._core import RATE, G722Encoder, OpusEncoder, alaw_encode, ulaw_encode
from lipwire.publish import incoming as incoming_module
from lipwire.publish.incoming import BLOCK_BYTES, CHANGE_EVERY, FORMATS, MS, QUIET_FOR, TICK, Incoming, Ticker

START = 1_000_000 * MS
PERIOD = 200
"""ms from mark to mark."""
Packet = tuple[float, int, int, bytes]
"""(ms at which it comes, sequence number, timestamp, payload)."""


def marks(ms: int, rate: int) -> np.ndarray[Any, Any]:
    """A tone, with a mark in it every `PERIOD` ms."""
    t = np.arange(ms * rate // 1000)
    mark = (t * 1000 // rate) % PERIOD < 4
    return (1200 * np.sin(2 * np.pi * 200 * t / rate) + mark * 16_000 * np.sin(2 * np.pi * 1000 * t / rate)).astype(
        np.int16
    )


def spoken(ms: int, codec: str = "pcmu") -> list[Packet]:
    """Packets of 20 ms, each as soon as it was spoken."""
    form = FORMATS[codec]
    pcm, step = marks(ms, form.rate), form.rate // 50
    encode: Any = {
        "pcmu": ulaw_encode,
        "pcma": alaw_encode,
        "g722": G722Encoder().encode,
        "opus": lambda block: OPUS.encode(block)[0],
    }[codec]
    ticks = form.clock_rate // 50
    return [
        (20.0 * (n + 1), 65_500 + n & 0xFFFF, (n * ticks - 4000) % (1 << 32), encode(pcm[n * step : (n + 1) * step]))
        for n in range(len(pcm) // step)
    ]


OPUS = OpusEncoder(bitrate=32_000)


class Line:
    """What becomes of packets: sound, a block for every tick from the first packet on."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.kinds: list[str] = []
        self.incoming = Incoming(self._block)

    def _block(self, pcm: bytes, kind: str) -> None:
        assert len(pcm) == BLOCK_BYTES
        self.blocks.append(pcm)
        self.kinds.append(kind)

    def play(self, packets: list[Packet], ms: int, codec: str = "pcmu", ssrc: int = 7) -> Line:
        """All of it, tick by tick, until `ms`."""
        waiting = sorted(packets, key=lambda packet: packet[0], reverse=True)
        for now in range(0, ms, 10):
            while waiting and waiting[-1][0] <= now:
                came, sequence, timestamp, payload = waiting.pop()
                self.incoming.put(codec, ssrc, sequence, timestamp, payload, START + int(came * MS))
            self.incoming.tick(START + now * MS)
        return self

    @property
    def pcm(self) -> np.ndarray[Any, Any]:
        return np.frombuffer(b"".join(self.blocks), np.int16).astype(float)

    def lags(self, first_ms: int = 20) -> dict[int, float]:
        """By mark: ms from when it was spoken until it is heard. The first block was heard at `first_ms`."""
        x = self.pcm
        high = np.abs(x - np.convolve(x, np.ones(48) / 48, "same"))  # without the tone
        loud = np.flatnonzero(high > 5000) / (RATE / 1000) + first_ms
        starts = loud[np.flatnonzero(np.diff(loud, prepend=-1000) > PERIOD / 3)]
        return {round((at - 40) / PERIOD): at - round((at - 40) / PERIOD) * PERIOD for at in starts}


def settled(lags: dict[int, float], since_ms: int, until_ms: int) -> list[float]:
    found = [lag for mark, lag in lags.items() if since_ms <= mark * PERIOD < until_ms]
    assert len(found) >= (until_ms - since_ms) // PERIOD - 1, (since_ms, until_ms, lags)
    return found


@pytest.mark.parametrize("codec", FORMATS)
def test_sound_comes_out_as_it_went_in(codec: str) -> None:
    line = Line().play(spoken(4000, codec), 4000, codec)
    assert len(line.blocks) in (397, 398)  # one for each tick from the first packet on, but for what a resampler holds
    lags = settled(line.lags(), 2000, 3800)
    assert max(lags) - min(lags) < 12 and 20 <= min(lags) < 60
    assert "concealed" not in line.kinds[10:-2] and "idle" not in line.kinds[10:-2]
    assert line.incoming.stats()["packetsLost"] == line.incoming.stats()["packetsDiscarded"] == 0


def lose(packets: list[Packet], rng: random.Random) -> None:
    del packets[100]


def overtake(by: int) -> Any:
    def late(packets: list[Packet], rng: random.Random) -> None:
        packets[100] = (packets[100][0] + 20 * by + 1, *packets[100][1:])

    return late


def jitter(packets: list[Packet], rng: random.Random) -> None:
    for n in range(100, 150):
        packets[n] = (packets[n][0] + rng.uniform(0, 50), *packets[n][1:])


@pytest.mark.parametrize("spoil", [lose, overtake(2), overtake(5), jitter], ids=["lost", "by 2", "by 5", "jitter"])
def test_what_was_late_or_lost_delays_nothing_for_good(spoil: Any) -> None:
    packets = spoken(8000)
    spoil(packets, random.Random(18))
    lags = Line().play(packets, 8000).lags()
    before, after = settled(lags, 1000, 1800), settled(lags, 5000, 7800)  # two seconds after the last of it
    assert max(after) < max(before) + 20, (before, after)  # less than a packet


@pytest.mark.parametrize("pause_ms", [420, 1000])
def test_a_pause_that_is_not_sent_has_its_own_length(pause_ms: int) -> None:
    """Opus with DTX as browsers send it: of a pause the silent packets are left out, but for one every 400 ms."""
    encoder = OpusEncoder(bitrate=24_000, dtx=True)
    t = np.arange(RATE * (4000 + pause_ms) // 1000)
    said = (t < 2 * RATE) | (t >= RATE * (2000 + pause_ms) // 1000)
    pcm = (said * 6000 * np.sin(2 * np.pi * 300 * t / RATE)).astype(np.int16)
    packets: list[Packet] = []
    sequence, left_out = 0, 0
    for n in range(len(pcm) // 960):
        payload = encoder.encode(pcm[n * 960 : (n + 1) * 960])[0]
        left_out = left_out + 1 if len(payload) <= 2 else 0
        if left_out % 20 <= 1:
            packets.append((20.0 * (n + 1), sequence, n * 960, payload))
            sequence += 1
    assert len(packets) < len(pcm) // 960 - 5  # it does leave some out
    out = Line().play(packets, 4000 + pause_ms, "opus").pcm
    level = np.sqrt(np.convolve(out**2, np.ones(480) / 480, "same"))
    silent = np.flatnonzero(level[RATE:-RATE] < 400)
    assert pause_ms - 40 <= np.ptp(silent) / (RATE / 1000) <= pause_ms + 40


def test_a_loop_that_stood_still_is_no_network_that_does() -> None:
    """What came meanwhile is read at the end of it, all at once; it has the times at which it was due, and so have the
    ticks."""
    line, packets = Line(), spoken(6000)
    incoming, stall, back = line.incoming, 2000, 4500
    for now in range(0, 6000, 10):
        if now == back:
            for came, sequence, timestamp, payload in packets[stall // 20 - 1 : back // 20]:
                assert stall <= came <= back
                incoming.put("pcmu", 7, sequence, timestamp, payload, START + back * MS, START + stall * MS)
            for due in range(stall, back, 10):
                incoming.tick(START + due * MS)
        if not stall <= now < back:
            for came, sequence, timestamp, payload in packets:
                if now - 10 < came <= now and not stall <= came <= back:
                    incoming.put("pcmu", 7, sequence, timestamp, payload, START + now * MS)
            incoming.tick(START + now * MS)
    lags = settled(line.lags(), 1400, 5800)
    assert max(lags) - min(lags) < 12
    assert not {"concealed", "idle"} & set(line.kinds[50:]) and incoming.stats()["packetsDiscarded"] == 0


def test_silence_goes_on_for_a_while_and_then_there_is_none() -> None:
    line = Line()
    incoming = line.incoming
    incoming.tick(START)
    assert not (line.blocks or incoming.used or incoming.awake)
    line.play(spoken(400), 400)
    heard = len(line.blocks)
    assert incoming.used and incoming.awake
    now = START + 400 * MS
    while incoming.awake:
        incoming.tick(now)
        now += TICK
        assert now < START + 2 * QUIET_FOR
    assert QUIET_FOR <= now - START <= QUIET_FOR + 2000 * MS
    assert not np.frombuffer(b"".join(line.blocks[-1000:]), np.int16).any()
    assert incoming.filled_ms >= QUIET_FOR // MS
    incoming.put("pcmu", 7, 65_520, 10**6, spoken(20)[0][3], now)
    assert incoming.awake and heard > 30


def test_another_source_or_codec_begins_anew() -> None:
    line = Line().play(spoken(600), 600).play(spoken(600, "g722"), 600, "g722")
    line.play(spoken(600, "g722"), 600, "g722", ssrc=8)
    high = len(line.pcm)
    assert high // 480 == len(line.blocks) and line.kinds.count("normal") > 120
    line.incoming.close()
    line.incoming.close()
    assert line.incoming.used and not line.incoming.awake and line.incoming.stats() == {}


def test_sources_do_not_change_all_the_time() -> None:
    line, made = Line(), []
    begin = line.incoming._begin
    vars(line.incoming)["_begin"] = lambda codec, ssrc: (made.append(ssrc), begin(codec, ssrc))
    for number in range(1000):
        line.incoming.put("pcmu", number, 1, 1, b"\xff" * 160, START + number * MS)
    assert made == list(range(0, 1000, CHANGE_EVERY // MS))
    line.incoming.close()


class Counted(Incoming):
    """Of which the ticks are counted, 60 of them."""

    def __init__(self, odd: bool) -> None:
        super().__init__(lambda pcm, kind: None)
        self.due: list[int] = []
        self.odd = odd
        """Its tenth fails."""
        self.closed = False

    @property
    def awake(self) -> bool:
        return len(self.due) < 60 and not self.closed

    def tick(self, now_ns: int) -> None:
        self.due.append(now_ns)
        if self.odd and len(self.due) == 10:
            raise ValueError("odd sound")

    def close(self) -> None:
        self.closed = True


async def test_the_ticker_makes_up_for_what_it_missed_and_rests(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming_module, "MAX_BEHIND", 10**15)  # whatever this machine does meanwhile
    ticker = Ticker.current()
    assert Ticker.current() is ticker and ticker.overdue(time.monotonic_ns()) is None
    odd, other = Counted(odd=True), Counted(odd=False)
    ticker.add(odd)
    ticker.add(other)
    await asyncio.sleep(0.05)
    before = len(other.due)
    time.sleep(0.2)
    assert ticker.overdue(time.monotonic_ns()) is not None
    async with asyncio.timeout(30):
        while other.awake:
            await asyncio.sleep(0.01)
    assert before < 60 and len(other.due) >= 60
    assert set(np.diff(other.due)) == {TICK}  # none was left out
    assert len(odd.due) == 10 and "sound of a peer" in caplog.text
    async with asyncio.timeout(30):
        while ticker._handle is not None:
            await asyncio.sleep(0.01)
