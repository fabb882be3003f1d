"""Messages of JSON say what the binary ones say."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import _core
from lipwire.errors import InvalidArgument
from lipwire.motion import JsonEncoder

SETS = ("head", "azure", "visemes", "pose")
DIVISORS = np.array([255, 32767, 1, 2000])


def decoded(message: bytes) -> Any:
    return msgspec.json.decode(message)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 15),
    st.lists(st.tuples(st.integers(-3, 5), st.integers(0, 3), st.booleans()), max_size=12),
    st.integers(0, 99),
)
def test_both_encodings_say_the_same(earlier: int, steps: list[tuple[int, int, bool]], seed: int) -> None:
    binary = _core.MotionEncoder(SETS, (25, 1), earlier=earlier, id=9)
    readable = JsonEncoder(SETS, (25, 1), earlier=earlier, id=9)
    decoder = _core.MotionDecoder()
    ((kind, number, rate, fps, groups),) = decoder.put(binary.header())
    header = decoded(readable.header())
    assert (header["type"], header["id"], header["clock_rate"], tuple(header["fps"])) == (kind, number, rate, fps)
    assert [tuple(names) for names in header["sets"].values()] == [names for _, _, names in groups]
    kinds = np.array([kind for _, kind, names in groups for _ in names])
    assert readable.channels == binary.channels == len(kinds)
    assert readable.groups == binary.groups == groups
    sample = generation = 0
    for step, interrupts, speaking in steps:
        sample = max(0, sample + 1920 * step)
        generation += interrupts == 3
        integers = np.random.default_rng(seed + sample).integers(0, 22, len(kinds))
        values = (integers / DIVISORS[kinds]).astype(np.float32)
        ((_, _, of_generation, spoken, frames),) = decoder.put(
            binary.encode_values(sample, generation, speaking, values)
        )
        message = decoded(readable.encode_values(sample, generation, speaking, values))
        assert (message["type"], message["header"]) == ("frames", 9)
        assert (message["generation"], message["speaking"]) == (of_generation, spoken) == (generation, speaking)
        assert [frame["sample"] for frame in message["frames"]] == [sample for sample, _ in frames]
        assert len(frames) <= earlier + 1
        for frame, (sample_of, packed) in zip(message["frames"], frames, strict=True):
            assert frame["t"] == round(sample_of / 48_000, 6)
            assert np.array_equal(
                np.rint(np.array(frame["values"]) * DIVISORS[kinds]), np.rint(packed * DIVISORS[kinds])
            )
    event = (3, sample, generation, "expression", "happy")
    assert decoder.put(binary.event(*event)) == [("event", *event)]
    names = ("number", "sample", "generation", "kind", "value")
    assert decoded(readable.event(*event)) == {"type": "event", **dict(zip(names, event, strict=True))}


def test_sound() -> None:
    assert decoded(JsonEncoder.sound(960, 2, b"\0\1\2")) == {
        "type": "sound", "sample": 960, "codec": "opus", "data": "AAEC",
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="codec 3: 1 is pcm16"):
        JsonEncoder.sound(0, 3, b"")


def test_frames_of_the_chain_are_encoded_alike() -> None:
    performer = _core.Performer(None, (25, 1), seed=3)
    frames: list[_core.Frame] = []
    while len(frames) < 4:
        performer.tick()
        performer.read_pcm()
        while (frame := performer.read_frame()) is not None:
            frames.append(frame)
    binary, readable = (encoder(("head", "pose"), (25, 1), earlier=2) for encoder in (_core.MotionEncoder, JsonEncoder))
    decoder = _core.MotionDecoder()
    decoder.put(binary.header())
    for encoder in (binary, readable):
        encoder.keep(frames[0])
    ((*_, first),) = decoder.put(binary.encode(frames[1]))
    told = [decoded(readable.encode(frames[1]))]
    assert [sample for sample, _ in first] == [frame["sample"] for frame in told[0]["frames"]] == [0, 1920]
    for encoder in (binary, readable):
        encoder.forget()
    ((*_, second),) = decoder.put(binary.encode(frames[2], sample=96_000, generation=4))
    told.append(decoded(readable.encode(frames[2], sample=96_000, generation=4)))
    assert [sample for sample, _ in second] == [frame["sample"] for frame in told[1]["frames"]] == [96_000]
    assert told[1]["generation"] == 4
    for message, packed in zip(told, (first, second), strict=True):
        for frame_told, (_, values) in zip(message["frames"], packed, strict=True):
            assert np.allclose(frame_told["values"], values, atol=6e-5)
    assert np.allclose(second[0][1][5:20], frames[2].axes, atol=2e-5)


@pytest.mark.parametrize("bad", [{"sets": ("nothing",)}, {"earlier": 16}, {"earlier": -1}, {"fps": (25, 0)}])
def test_what_it_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        JsonEncoder(**{"sets": ("head",), "fps": (25, 1), **bad})
