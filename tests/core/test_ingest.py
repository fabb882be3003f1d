"""The core's reading of voice messages: that it changes nothing but the time it takes."""

from __future__ import annotations

import base64
import json
import math
import random
import sys
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.ingest_differential import Pair, good, mutate
from lipwire import _core
from lipwire.errors import BadData, InvalidArgument
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import RateMeter
from support.wire_messages import init, voice

pytestmark = pytest.mark.kernels

COMPACT = '{"command":"voice","audio":"%s","sampleRate":24000,"encoding":"PCM16","event_id":"e"}'
parse = msgspec.json.Decoder(m.Voice).decode


def read(message: Any) -> Any:
    return _core.VoiceReader(m.Voice).read(message)


# ------------------------------------------------------------------------------------------------ what is read, and how


@pytest.mark.parametrize(
    "message",
    [
        voice(),
        voice(event_id=...),
        voice(event_id=None),
        voice(event_id=""),
        voice(event_id="a b~"),
        voice().replace('"e"', '"\x7f"'),
        voice(b"\x80", 8000, "PCM8"),
        voice(b"\xfc", 48000, "OPUS"),
        voice(bytes(480_000)),
        COMPACT % "AAE=",
        COMPACT % "AAF=",  # its left-over bits are not zero
        f" {COMPACT % 'AAE='}\r\n",
        '{"audio":"AAE=","encoding":"PCM16","event_id":null,"sampleRate":8000,"command":"voice"}',
    ],
)
def test_usual_messages_are_read(message: str) -> None:
    expected = parse(message)
    found = read(message)
    assert found == expected
    assert read(message.encode()) == found
    assert type(found.payload) is bytes


@pytest.mark.parametrize(
    "message",
    [
        *(
            COMPACT % audio
            for audio in ("", "AA==", "AAAA", "AA", "A", "AAA", "AA=A", "====", "AA-_", "AAE= ", "AAE=\n")
        ),
        *(COMPACT % audio for audio in ("AA\\u0041A", "A\\/E=", "\\", '\\"', "AAE=" * 3, "\u00e9AE=")),
        COMPACT % "AAE=" + "x",
        (COMPACT % "AAE=")[:-1],
        voice(rate=7999),
        voice(rate=48001),
        voice(rate=2**64),
        voice(rate=24000.0),
        voice(rate="24000"),
        voice(encoding="pcm16"),
        voice(event_id="\u00e9"),
        voice(event_id='"'),
        voice(event_id=5),
        voice(x=1),
        voice(command="voice_end"),
        init(),
        "",
        b"",
        b"\xff",
        None,
        5,
        bytearray(voice().encode()),
        memoryview(voice().encode()),
    ],
)
def test_the_rest_is_left_to_a_parser(message: Any) -> None:
    assert read(message) is None


def test_a_subclass_of_str_is_left() -> None:
    class Text(str): ...

    assert read(Text(voice())) is None


def test_what_repeats_is_one_object() -> None:
    reader = _core.VoiceReader(m.Voice)
    first, second = reader.read(voice(b"\0\0")), reader.read(voice(b"\1\1"))
    other, again = reader.read(voice(event_id="other")), reader.read(voice(rate=16000, event_id="other"))
    assert first.event_id is second.event_id
    assert first.sample_rate is second.sample_rate
    assert other.event_id is again.event_id
    assert (other.event_id, other.sample_rate, again.sample_rate) == ("other", 24000, 16000)


def test_nothing_is_kept() -> None:
    message = voice(bytes(range(200)) * 100, event_id="an-utterance")
    reader = _core.VoiceReader(m.Voice)
    before = sys.getrefcount(message)
    for _ in range(100):
        payload = reader.read(message).payload
    assert sys.getrefcount(message) == before
    assert sys.getrefcount(payload) == 2
    assert sys.getsizeof(payload) == sys.getsizeof(bytes(20_000))


def test_an_error_of_make_comes_out() -> None:
    def make(*fields: object) -> None:
        raise KeyError(fields)

    with pytest.raises(KeyError, match="PCM16"):
        _core.VoiceReader(make).read(voice())


def test_one_reader_in_many_threads() -> None:
    """No use has it, but it must not mix messages up where the lock is released."""
    reader = _core.VoiceReader(m.Voice)
    wrong: list[int] = []

    def work(number: int) -> None:
        payload = bytes([number]) * 300_000
        message = voice(payload, 8000 + number, event_id=f"thread {number}")
        for _ in range(20):
            if reader.read(message) != m.Voice(payload, 8000 + number, "PCM16", f"thread {number}"):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --------------------------------------------------------------------------------------------------------- differential

keys = st.sampled_from(["command", "audio", "sampleRate", "encoding", "event_id", "x", "Audio"])
raw_strings = st.one_of(
    st.binary(max_size=120).map(lambda b: json.dumps(base64.b64encode(b).decode())),
    st.text("AZaz09+/=-_ \\\n", max_size=12).map(lambda s: f'"{s}"'),
    st.text(max_size=8).map(json.dumps),
    st.sampled_from(
        ['"voice"', '"PCM16"', '"PCM8"', '"OPUS"', '"v\\u006fice"', '"AAE="', '"AA\\/A"', '""', '"e"', '"é"', '"\\""']
    ),
)
raw_numbers = st.one_of(
    st.integers().map(str),
    st.integers(7990, 48010).map(str),
    st.floats().map(lambda x: json.dumps(x)),
    st.sampled_from(["-0", "024000", "24000.0", "24e3", "+24000", "1" * 30, "-", "24000."]),
)
raw_values = raw_strings | raw_numbers | st.sampled_from(["null", "true", "{}", "[]", '{"audio":"AAE="}', "nul", ""])
blanks = st.sampled_from(["", "", "", " ", "\n", "\t\r ", "\x0b", "\u00a0"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Voice messages of every shape, mostly good ones with something odd in one place."""
    usual = [
        ("command", '"voice"'),
        ("audio", json.dumps(base64.b64encode(draw(st.binary(max_size=80))).decode())),
        ("sampleRate", draw(st.sampled_from(["8000", "24000", "48000"]))),
        ("encoding", draw(st.sampled_from(['"PCM16"', '"PCM8"', '"OPUS"']))),
        ("event_id", draw(st.sampled_from(['"e"', "null", '"utterance 2"']))),
    ]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        at = draw(st.integers(0, len(usual)))
        change = draw(st.sampled_from(["replace", "insert", "remove", "repeat"]))
        if change == "insert":
            usual.insert(at, (draw(keys), draw(raw_values)))
        elif at < len(usual):
            if change == "replace":
                usual[at] = (usual[at][0], draw(raw_values))
            elif change == "remove":
                del usual[at]
            else:
                usual.append(usual[at])
    usual = draw(st.permutations(usual)) if draw(st.booleans()) else usual
    gap, end = draw(blanks), draw(st.sampled_from(["", "", "", "\n", ",", "}", "x", "\0"]))
    return "{" + ",".join(f'{gap}"{k}"{gap}:{gap}{v}{gap}' for k, v in usual) + "}" + end


noise = st.builds(lambda seed: mutate(random.Random(seed), good(random.Random(seed))), st.integers(0, 2**32))
controls = st.sampled_from(
    [init(), init("t"), '{"command":"voice_interrupt"}', '{"command":"voice_end"}', '{"command":"heartbeat"}']
)
frames = st.one_of(objects(), objects(), objects(), noise, controls, st.text(max_size=20), st.binary(max_size=20))


@settings(max_examples=1500, deadline=None)
@given(st.lists(frames, max_size=10), st.sampled_from([0.0, 1.5]), st.booleans())
def test_an_ingest_without_the_core_says_the_same(messages: list[str | bytes], guard: float, ready: bool) -> None:
    pair = Pair(guard_window=guard, initialized=ready)
    for now, message in enumerate(messages):
        pair.receive(message, float(now))


@settings(max_examples=1500, deadline=None)
@given(objects() | noise)
def test_what_is_read_is_what_a_parser_finds(message: str) -> None:
    found = read(message)
    try:
        encoded = message.encode()
    except UnicodeEncodeError:
        assert found is None
        return
    assert read(encoded) == found
    if found is not None:
        assert found == parse(message) == parse(encoded)
        assert json.loads(message)["sampleRate"] == found.sample_rate


def test_one_wrong_byte_anywhere() -> None:
    pair = Pair()
    base = COMPACT % base64.b64encode(bytes(range(192))).decode()
    for at in range(len(base)):
        for byte in ("", "\0", '"', "\\", "=", "A", ",", "}", " ", "\x7f", "\x80", "\u20ac"):
            pair.receive(base[:at] + byte + base[at + 1 :], 0.0)
    assert pair.receive(base, 0.0) == [m.Voice(bytes(range(192)), 24000, "PCM16", "e")]


def test_rate_mismatches_are_the_same() -> None:
    pair, now = Pair(), 0.0
    for number in range(2000):
        now += 0.02
        pair.receive(voice(rate=48000 if number < 1000 else 16000), now)
    assert pair.fast._meter is not pair.slow._meter


# ------------------------------------------------------------------------------------------------------------ its parts


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600), st.integers(0, 255))
def test_base64_is_as_msgspec_takes_it(data: bytes, at: int, byte: int) -> None:
    text = bytearray(base64.b64encode(data))
    assert _core.base64_decode(text) == data
    assert _core.base64_decode(memoryview(b" " + text)[1:]) == data
    if at < len(text):
        text[at] = byte
        try:
            expected = msgspec.json.decode(b'"%s"' % text, type=bytes) if byte not in b'"\\' else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            expected = None
        try:
            assert _core.base64_decode(text) == expected
        except BadData:
            assert expected is None


@pytest.mark.parametrize(
    "text", [b"A", b"AA", b"AAA", b"A===", b"====", b"AA=A", b"AA==AAAA", b"AAAA=", b"AAA\n", b"AA-_"]
)
def test_broken_base64(text: bytes) -> None:
    with pytest.raises(BadData):
        _core.base64_decode(text)


def test_pcm8() -> None:
    for size in (0, 1, 15, 16, 17, 1000):
        data = random.Random(size).randbytes(size + 1)[1:]
        assert _core.pcm8_decode(data) == b"".join(((x - 128) * 256).to_bytes(2, "little", signed=True) for x in data)
    assert _core.pcm8_decode(memoryview(b"\0\xff")[1:]) == b"\0\x7f"


class Reference:
    """The rate meter's rule once more, in Python's arithmetic."""

    RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

    def __init__(self) -> None:
        self.declared, self.last = 0, 0.0
        self.suspect: tuple[int, int] | None = None
        self.reported: tuple[int, int] | None = None
        self.pause()

    def pause(self) -> None:
        self.samples = self.total = self.count = 0
        self.start = self.mean = self.m2 = 0.0

    def add(self, declared: int, samples: int, now: float) -> m.RateMismatch | None:
        last = self.samples if declared == self.declared else 0
        wait, self.declared, self.last = now - self.last, declared, now
        if last == 0 or wait < 0 or wait > 0.25 + 8 * last / declared:
            self.pause()
            self.samples, self.start = samples, now
            return None
        self.samples = samples
        self.total += last
        self.count += 1
        delta = wait / last - self.mean
        self.mean += delta / self.count
        self.m2 += delta * (wait / last - self.mean)
        if self.count < 8 or now - self.start < 4.0:
            return None
        found = self.total / (now - self.start)
        variation = math.sqrt(self.m2 / self.count) / self.mean
        self.pause()
        self.samples, self.start = samples, now
        before, self.suspect = self.suspect, None
        if abs(found / declared - 1) < 0.04:
            self.reported = None
            return None
        rate = min(self.RATES, key=lambda r: abs(r - found))
        if variation > (0.35 if rate < declared else 0.15) or abs(found / rate - 1) > 0.02 or rate % declared == 0:
            return None
        self.suspect = (declared, rate)
        if before != self.suspect or self.reported == self.suspect:
            return None
        self.reported = self.suspect
        return m.RateMismatch(declared, rate)


def test_the_rate_meter_follows_its_rule() -> None:
    rng, reports = random.Random(5), 0
    for _ in range(300):
        meter, reference, now = RateMeter(), Reference(), rng.choice([0.0, 1e6 * rng.random()])
        for _ in range(rng.randrange(1, 6)):
            declared, true = rng.choice(Reference.RATES), rng.choice(Reference.RATES) * rng.choice([1, 1, 0.97, 1.03])
            chunk, jitter = rng.choice([0.01, 0.02, 0.1, 0.5]), rng.choice([0, 0.3, 0.6, 1.0])
            if rng.random() < 0.3:
                meter.pause()
                reference.pause()
            for _ in range(int(rng.choice([1, 10, 20]) / chunk)):
                now += chunk * (1 + jitter * (rng.random() - 0.5))
                samples = round(true * chunk) if rng.random() < 0.999 else rng.randrange(1, 5000)
                found = meter.add(declared, samples, now)
                assert found == reference.add(declared, samples, now)
                reports += found is not None
    assert reports > 50


@pytest.mark.parametrize(("declared", "samples"), [(0, 1), (-1, 1), (8000, 0), (8000, -1)])
def test_the_rate_meter_takes_chunks_only(declared: int, samples: int) -> None:
    with pytest.raises(InvalidArgument):
        RateMeter().add(declared, samples, 0.0)


# --------------------------------------------------------------------------------------------------------------- frames


def test_what_follows_a_frame_without_end_is_no_text() -> None:
    frames, text = _core.TextFrames(65536), b"\x81\x82\0\0\0\0hi"
    assert frames.text(text, 0, 8) == ("hi", 8)
    endless = b"\x82\xff" + b"\xff" * 8 + b"\1\2\3\4"
    assert frames.others(endless, 1 << 20) == len(endless)
    assert frames.text(text, 0, 8) is None and frames.others(text, 1 << 20) == 8
