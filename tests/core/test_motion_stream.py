"""The motion stream: what an encoder makes of poses and numbers, and a decoder of whatever it is given."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import _core
from lipwire.avatar.art import EXPRESSIONS
from lipwire.errors import BadData, InvalidArgument
from lipwire.session.offline import perform
from support import motion_codec

SETS = tuple(_core.MOTION_SETS)
SCALE = {_core.MOTION_BYTE: 255, _core.MOTION_Q15: 32767, _core.MOTION_ID: 1, _core.MOTION_ANGLE: _core.FACE_RADIAN}
CLOSED, VOWEL = 1, 10
"""Visemes PP and aa."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + varint(len(body)) + body


def text(value: str) -> bytes:
    return varint(len(value)) + value.encode()


def header(groups: list[tuple[str, int, str]], *, version: int = 1, id: int = 0, fps: int = 25) -> bytes:
    out = bytes([version, id]) + varint(48000) + varint(fps) + varint(1) + varint(len(groups))
    for name, kind, names in groups:
        out += text(name) + bytes([kind]) + varint(len(names.split(" "))) + text(names)
    return record(1, out)


def exact(encoder: _core.MotionEncoder, ints: list[int]) -> list[float]:
    """The values whose integers these are."""
    kinds = [kind for _, kind, names in encoder.groups for _ in names]
    return [n / SCALE[kind] for n, kind in zip(ints, kinds, strict=True)]


@st.composite
def frames(draw: Any, encoder: _core.MotionEncoder) -> list[list[int]]:
    """Integers of frames that follow each other: of each some channels are as they were."""
    most = {_core.MOTION_BYTE: (0, 255), _core.MOTION_Q15: (-32767, 32767), _core.MOTION_ID: (0, 21)}
    kinds = [kind for _, kind, names in encoder.groups for _ in names]
    made, now = [], [0] * encoder.channels
    for _ in range(draw(st.integers(1, 6))):
        now = list(now)
        for channel in draw(st.lists(st.integers(0, encoder.channels - 1), max_size=12)):
            now[channel] = draw(st.integers(*most.get(kinds[channel], (-6283, 6283))))
        made.append(now)
    return made


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_goes_in_comes_out_and_any_message_stands_alone(data: Any) -> None:
    sets = data.draw(st.lists(st.sampled_from(SETS), min_size=1, unique=True))
    earlier, number = data.draw(st.integers(0, 15)), data.draw(st.integers(0, 255))
    encoder = _core.MotionEncoder(sets, (30000, 1001), earlier=earlier, id=number)
    decoder = _core.MotionDecoder()
    described = ("header", number, 48000, (30000, 1001), encoder.groups)
    assert decoder.put(encoder.header()) == [described]
    sample, sent = data.draw(st.integers(0, 1 << 40)), []
    for generation in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=2).map(sorted)):
        for ints in data.draw(frames(encoder)):
            sample += data.draw(st.integers(1, 100_000))
            values, speaking = exact(encoder, ints), data.draw(st.booleans())
            if data.draw(st.integers(0, 3)):
                message = encoder.encode_values(sample, generation, speaking, values)
                sent.append((sample, generation, values))
                (read,) = decoder.put(message)
                assert read[:4] == ("frames", number, generation, speaking)
                expected = [one for one in sent if one[1] == generation][-1 - earlier :]
                assert [one[0] for one in read[4]] == [one[0] for one in expected]
                for (_, got), (_, _, want) in zip(read[4], expected, strict=True):
                    assert got.dtype == np.float32 and np.array_equal(got, np.array(want, np.float32))
                alone = _core.MotionDecoder()
                assert len(alone.put(message + encoder.header() + message)) == 2
            else:
                encoder.keep_values(sample, generation, speaking, values)
                sent.append((sample, generation, values))


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.tuples(*[st.integers(0, 2**63 - 1)] * 3),
    kind=st.sampled_from([*_core.MOTION_EVENTS, "event9", "event255"]),
    value=st.text(max_size=300),
    codec=st.integers(0, 255),
    payload=st.binary(max_size=300),
)
def test_events_and_sound_go_through(numbers: Any, kind: str, value: str, codec: int, payload: bytes) -> None:
    number, sample, generation = numbers
    message = _core.MotionEncoder.event(number, sample, generation, kind, value)
    unknown = record(77, b"what comes later")
    message += unknown + _core.MotionEncoder.sound(sample, codec, payload)
    decoder = _core.MotionDecoder()
    assert decoder.put(message) == [
        ("event", number, sample, generation, kind, value),
        ("sound", sample, codec, payload),
    ]


def test_a_side_that_follows_the_other_costs_nothing() -> None:
    encoder = _core.MotionEncoder(["arkit"], (25, 1), earlier=0)
    names = encoder.groups[0][2]
    assert names == _core.FACE_NAMES and len(names) == 52 and list(names) == sorted(names)
    values = dict.fromkeys(names, 0.0)
    sizes = []
    for changed in ({}, {"eyeBlinkLeft": 0.4, "eyeBlinkRight": 0.4}, {"eyeBlinkRight": 0.8}, {"jawOpen": 1.0}):
        values |= changed
        sizes.append(len(encoder.encode_values(0, 0, False, list(values.values()))))
    assert sizes == [sizes[0], sizes[0] + 1, sizes[0] + 2, sizes[0] + 3]
    # A header of somebody else's, whose sides are called otherwise, is read by the same rule.
    decoder = _core.MotionDecoder()
    decoder.put(header([("own", 1, "lid.left lid.right wing")]))
    body = bytes([0]) + varint(960) + varint(0) + bytes([0, 0b101]) + bytes([20]) + bytes([5])
    ((*_, [(sample, got)]),) = decoder.put(record(2, body))
    assert sample == 960 and np.allclose(got * 32767, [10, 10, -3])


# ------------------------------------------------------------------------------------------------------------- poses


def poses(pcm: bytes, settings: Any = (), fps: int = 25) -> list[_core.Frame]:
    made = perform(iter([pcm]), 48000, None, Fraction(fps), seed=3, cues=settings)
    return [item for item in made if isinstance(item, _core.Frame)]


def test_poses_are_sent_as_they_are_or_rounded_once() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 24000)
    pcm = (noise * (np.arange(24000) % 9600 < 6000)).astype(np.int16).tobytes()
    exactly = _core.MotionEncoder(["pose"], (25, 1))
    rounded = _core.MotionEncoder(["visemes", "arkit", "head", "azure"], (25, 1), earlier=2)
    happy = [(0.2, _core.MOTION_EXPRESSION, EXPRESSIONS.index("happy"))]
    decoder = _core.MotionDecoder()
    for frame in poses(pcm, happy):
        decoder.put(exactly.header())
        ((_, _, _, speaking, read),) = decoder.put(exactly.encode(frame))
        assert read[-1][0] == frame.sample and speaking == bool(frame.utterance)
        assert np.array_equal(read[-1][1], np.concatenate([frame.axes, frame.visemes, [np.float32(frame.loudness)]]))
        values = rounded.values(frame)
        decoder.put(rounded.header())
        ((*_, read),) = decoder.put(rounded.encode(frame, sample=frame.sample + 7, generation=4))
        assert read[-1][0] == frame.sample + 7 and np.array_equal(read[-1][1], values)
        assert np.allclose(list(frame.blendshapes.values()), values[15:67], atol=0.5 / 255 + 1e-6)
        assert tuple(frame.blendshapes) == _core.FACE_NAMES and np.allclose(frame.head, values[67:70])
        assert abs(values[:15].sum() - 1) < 0.04 and np.all((values[:67] >= 0) & (values[:67] <= 1))
        assert values[-1] in range(22) and np.abs(values[67:72]).max() < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _core.MotionEncoder([], (25, 1)), "sets"),
        (lambda: _core.MotionEncoder(["arkit", "arkit"], (25, 1)), "arkit"),
        (lambda: _core.MotionEncoder(["arkit", "tail"], (25, 1)), "some of visemes, arkit.*tail"),
        (lambda: _core.MotionEncoder(["arkit"], (0, 1)), "fps"),
        (lambda: _core.MotionEncoder(["arkit"], (25, 1), earlier=16), "earlier 16"),
        (lambda: _core.MotionEncoder(["arkit"], (25, 1), id=256), "id 256"),
        (lambda: _core.MotionEncoder(["azure"], (25, 1)).encode_values(0, 0, True, [1, 2]), "2 values for 1"),
        (lambda: _core.MotionEncoder(["azure"], (25, 1)).encode_values(0, 0, True, [float("nan")]), "no number"),
        (lambda: _core.MotionEncoder(["azure"], (25, 1)).encode_values(-1, 0, True, [1]), "0 or more"),
        (lambda: _core.MotionEncoder(["azure"], (25, 1)).keep_values(0, -1, True, [1]), "0 or more"),
        (lambda: _core.MotionEncoder.event(1, 0, 0, "party"), "interrupt, started"),
        (lambda: _core.MotionEncoder.event(1, 0, 0, "event8"), "interrupt, started"),
        (lambda: _core.MotionEncoder.event(1, -1, 0, "clock"), "at -1"),
        (lambda: _core.MotionEncoder.sound(0, 256, b""), "codec 256"),
    ],
)
def test_what_cannot_be_sent_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()


# ----------------------------------------------------------------------------------------------------------- hostile


NAMES = " ".join(_core.FACE_NAMES)
DAMAGED = {
    "no length": b"\1",
    "longer than the message": record(2, b"\0" * 9)[:-1],
    "a length without end": b"\2" + b"\xff" * 11,
    "another version": header([("arkit", 0, NAMES)], version=2),
    "an unknown kind": header([("arkit", 4, NAMES)]),
    "no groups": header([]),
    "no name": header([("arkit", 0, "")]),
    "two spaces": header([("arkit", 0, "a  b")]),
    "a set of two words": header([("ar kit", 0, "a b")]),
    "no ASCII": header([("arkit", 0, "jaw\x07")]),
    "no rate": header([("arkit", 0, "a")], fps=0),
    "too many groups": header([(f"a{n}", 0, "b") for n in range(33)]),
    "too many channels": header([("a", 0, " ".join(f"b{n}" for n in range(1025)))]),
    "a name twice in a group": header([("a", 0, "c b bc b")]),
    "a name twice in a set": header([("a", 0, "b c"), ("a", 1, "d b")]),
    "a set in two places": header([("a", 0, "b"), ("c", 0, "b"), ("a", 0, "d")]),
    "names beyond all bounds": header([("a", 0, " ".join(f"{n:x}" + "b" * 5000 for n in range(14)))]),
    "a header too long": header([("arkit", 0, NAMES)])[:1] + varint(826) + header([("arkit", 0, NAMES)])[3:] + b"\0",
    "a frame cut off": record(2, bytes([0, 5, 0, 0])),
    "a frame too long": record(2, bytes([0, 5, 0, 0]) + bytes(9)),
    "a value cut off": record(2, bytes([0, 5, 0, 0]) + b"\1" + bytes(6)),
    "an earlier frame at once": record(2, bytes([0, 5, 0, 1]) + bytes(7) + b"\0" + bytes(7)),
    "an earlier frame before the clock": record(2, bytes([0, 5, 0, 1]) + bytes(7) + b"\6" + bytes(7)),
    "a sample beyond 63 bits": record(2, b"\0" + varint(2**63) + bytes(9)),
    "an event cut off": record(3, bytes([1, 2, 3])),
    "an event too long": record(3, bytes([1, 2, 3, 0, 0, 9])),
    "no UTF-8": record(3, bytes([1, 2, 3, 0, 1, 255])),
    "sound cut off": record(4, b"\1"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_said_and_the_rest_is_read(what: str) -> None:
    encoder = _core.MotionEncoder(["arkit"], (25, 1), earlier=0)
    decoder = _core.MotionDecoder()
    decoder.put(encoder.header())
    event = _core.MotionEncoder.event(1, 0, 0, "state", "idle")
    with pytest.raises(BadData, match="damaged") as caught:
        decoder.put(event + DAMAGED[what])
    assert caught.value.records == [("event", 1, 0, 0, "state", "idle")]  # type: ignore[attr-defined]
    ((*_, [(sample, values)]),) = decoder.put(encoder.encode_values(7, 0, True, [0.2] * 52))
    assert sample == 7 and np.all(values == np.float32(0.2))


def test_values_cannot_run_over() -> None:
    decoder = _core.MotionDecoder()
    decoder.put(header([("own", 1, "a b")]))
    most = varint(2 * 2**31 - 2)
    for number, fails in ((most, False), (varint(2 * 2**31), True), (varint(2**64 - 1), True)):
        body = bytes([0, 5, 0, 1, 1]) + number + bytes([1, 1]) + b"\2"
        if fails or number == most:
            with pytest.raises(BadData):
                decoder.put(record(2, body))
    with pytest.raises(BadData, match="1048576 bytes"):
        decoder.put(bytes((1 << 20) + 1))


def test_what_a_message_is_made_into_is_bounded() -> None:
    event = record(3, bytes([1, 2, 3, 0, 0]))
    decoders: list[Any] = [_core.MotionDecoder(), motion_codec.Decoder()]
    for decoder in decoders:
        assert len(decoder.put(64 * event)) == len(decoder.put(event + 63 * record(9, b""))) + 63 == 64
        for many in (65 * event, 64 * record(9, b"") + event, 20_000 * event):
            with pytest.raises((BadData, motion_codec.Damaged)) as caught:
                decoder.put(many)
            assert len(getattr(caught.value, "records", ())) <= 64


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_comes_is_read_or_refused(data: Any) -> None:
    encoder = _core.MotionEncoder(["arkit", "head"], (25, 1), earlier=2)
    message = bytearray(encoder.header())
    for sample in range(1, 4):
        message += encoder.encode_values(sample, 0, True, [sample / 9] * 57)
    message += encoder.event(1, 5, 0, "gesture", "nod")
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(message) - 1), st.integers(0, 255)), max_size=9)):
        message[at] = value
    decoder = _core.MotionDecoder()
    for piece in (bytes(message[: data.draw(st.integers(0, len(message)))]), data.draw(st.binary(max_size=80))):
        try:
            decoder.put(piece)
        except BadData as exc:
            assert isinstance(exc.records, list)  # type: ignore[attr-defined]
