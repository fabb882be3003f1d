"""What a Session takes for a publisher, and what it refuses when it is made."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import pytest

import lipwire
from lipwire import _core
from lipwire.errors import BadState, InvalidArgument
from lipwire.stream import StreamSpec, as_publisher, frame_rate


class Own:
    async def open(self, spec: StreamSpec) -> None: ...
    def audio(self, pcm: bytes, sample: int) -> None: ...
    def video(self, frame: lipwire.Frame) -> None: ...
    async def close(self) -> None: ...


class Plain:
    """open and close are no coroutines; some arguments have defaults."""

    opened = closed = 0

    def open(self, spec: StreamSpec, *more: Any) -> None:
        self.opened += 1

    def audio(self, pcm: bytes, sample: int, gain: float = 1.0) -> None: ...
    def video(self, frame: lipwire.Frame) -> None: ...

    def close(self) -> None:
        self.closed += 1


async def test_four_methods_are_enough() -> None:
    own, plain = Own(), Plain()
    assert lipwire.Session(own).publisher is own
    async with lipwire.Session(plain, avatar=None):
        assert plain.opened == 1
    assert plain.closed == 1


def test_a_publisher_is_taken_as_it_is() -> None:
    null = lipwire.publish.Null()
    assert as_publisher(null) is null


@pytest.mark.parametrize("name", ["open", "audio", "video", "close"])
def test_what_lacks_a_method_is_refused_by_its_name(name: str) -> None:
    own: Any = Own()
    setattr(own, name, None)
    with pytest.raises(InvalidArgument, match=rf"no method {name}\(\).*lipwire\.Publisher"):
        lipwire.Session(own)
    with pytest.raises(InvalidArgument, match=rf"no method {name}\(\)"):
        lipwire.publish.Tee(lipwire.publish.Null(), own)


@pytest.mark.parametrize(
    ("name", "method", "count"),
    [("audio", lambda pcm: None, 2), ("video", lambda: None, 1), ("interrupt", lambda force: None, 0)],
)
def test_what_cannot_take_what_it_is_given_is_refused(name: str, method: Any, count: int) -> None:
    own: Any = Own()
    setattr(own, name, method)
    with pytest.raises(InvalidArgument, match=rf"Own\.{name}\(.*cannot take the {count} argument"):
        lipwire.Session(own)


@pytest.mark.parametrize("name", ["audio", "video", "interrupt", "memory"])
def test_what_nobody_would_await_is_refused(name: str) -> None:
    async def never(*_: Any) -> None: ...

    for own in (Own(), lipwire.publish.Null()):
        setattr(own, name, never)
        with pytest.raises(InvalidArgument, match=rf"{type(own).__name__}\.{name} is async"):
            lipwire.Session(own)
        with pytest.raises(InvalidArgument, match=rf"\.{name} is async"):
            lipwire.publish.Tee(lipwire.publish.Null(), own)


def test_a_class_and_nothing_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"Own is a class; give an object: Own\("):
        lipwire.Session(Own)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"None is no publisher"):
        lipwire.Session(None)  # type: ignore[arg-type]


def test_a_publisher_must_take_sound_and_pictures() -> None:
    class Half(lipwire.Publisher):
        def audio(self, pcm: bytes, sample: int) -> None: ...

    with pytest.raises(TypeError, match="video"):
        Half()  # type: ignore[abstract]


async def test_the_memory_and_the_interrupt_that_an_object_has_are_used() -> None:
    class InMemory(Own):
        interrupts = 0

        def memory(self, spec: StreamSpec, slots: int) -> lipwire.SharedWriter:
            self.ring = lipwire.SharedWriter(
                spec.width, spec.height, spec.fps.as_integer_ratio(), slots=slots + 4, keep=4
            )
            return self.ring

        def interrupt(self) -> None:
            self.interrupts += 1

    own = InMemory()
    async with lipwire.Session(own, width=64, height=36) as session:
        session.write(bytes(960), 48_000)
        session.interrupt()
        assert own.interrupts == 1 and own.ring.path


async def test_another_publisher_can_take_its_place_until_the_start() -> None:
    first, second = Own(), lipwire.publish.Null()
    session = lipwire.Session(first, avatar=None)
    with pytest.raises(InvalidArgument, match=r"no method open\(\)"):
        session.publisher = object()  # type: ignore[assignment]
    assert session.publisher is first
    session.publisher = second
    async with session:
        while not second.samples:
            await asyncio.sleep(0.01)
        with pytest.raises(BadState, match="its publisher stays"):
            session.publisher = first
    assert session.publisher is second


# --------------------------------------------------------------------------------------------------- frame rates

TELEVISION = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        (25, 25),
        (25.0, 25),
        ("25", 25),
        (29.97, TELEVISION),
        ("29.97", TELEVISION),
        (29.97002997002997, TELEVISION),
        (29.970029830932617, TELEVISION),  # as a float of 32 bits
        ("30000/1001", TELEVISION),
        (TELEVISION, TELEVISION),
        (Fraction(29.97), TELEVISION),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (14.985, Fraction(15000, 1001)),
        (12.5, Fraction(25, 2)),
        (33.333333, Fraction(100, 3)),
        ("7.5", Fraction(15, 2)),
        (Fraction(100, 3), Fraction(100, 3)),
        (1, 1),
        (100, 100),
    ],
)
def test_what_names_a_rate(given: Any, rate: Any) -> None:
    assert frame_rate(given) == rate
    assert StreamSpec(session_id="s", width=0, height=0, fps=given).fps == rate


@pytest.mark.parametrize(
    "given", [0, 0.5, 101, -25, "fast", "", "30000/0", "1/2/3", float("nan"), float("inf"), True, None, [25], b"25"]
)
def test_what_names_none(given: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"fps must be 1\.\.100"):
        frame_rate(given)


@pytest.mark.parametrize("given", [29.97, 23.976, "60000/1001", 12.5, 100])
def test_no_clock_drifts(given: Any) -> None:
    """A picture belongs to the sample at its exact time, in its thirtieth second as in its first."""
    rate = frame_rate(given)
    performer, frames = _core.Performer(None, rate.as_integer_ratio(), size=(16, 16)), []
    for _ in range(3000):
        performer.tick()
        while performer.read_pcm() is not None:
            pass
        while (frame := performer.read_frame()) is not None:
            frames.append(frame.sample)
            del frame
    assert frames == [int(n * _core.RATE / rate) for n in range(len(frames))]
    assert len(frames) == -(-30 * rate // 1)
