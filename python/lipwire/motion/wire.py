"""Motion as JSON, message by message: the readable twin of `_core.MotionEncoder`. docs/motion.md has the messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .._core import RATE, Frame, MotionEncoder
from ..errors import InvalidArgument
from .track import ANGLE, ID, SIGNED, UNIT, Groups, MotionEvent, MotionHeader

VERSION = 1
DECIMALS = {UNIT: 4, SIGNED: 5, ID: 0, ANGLE: 4}
"""By kind: they tell every value of the binary format from the next one."""
SECONDS = 6
"""Decimals of times; a sample is 21 millionths."""
CODECS = {1: "pcm16", 2: "opus"}
"""Of sound, by the binary format's numbers."""
MOST_EARLIER = 15
"""Frames that a message has besides its newest, as in the binary format."""


class JsonNumbers:
    """Values as JSON has them: no more digits than tell one from the next."""

    def __init__(self, groups: Groups) -> None:
        self._power = np.array([10.0 ** DECIMALS.get(kind, SECONDS) for _, kind, names in groups for _ in names])

    def of(self, values: NDArray[np.float32]) -> Any:
        """float32 (..., channels) -> lists of numbers."""
        rounded = np.rint(values.astype(np.float64) * self._power) / self._power
        return (rounded + 0.0).tolist()  # -0 is 0


def header_object(header: MotionHeader) -> dict[str, Any]:
    """The message that names the channels."""
    return {
        "type": "header",
        "version": VERSION,
        "id": header.id,
        "clock_rate": header.clock_rate,
        "fps": header.fps.as_integer_ratio(),
        "sets": header.sets,
    }


def event_object(event: MotionEvent) -> dict[str, Any]:
    """The message of an event."""
    return {"type": "event", **msgspec.structs.asdict(event)}


def seconds_of(sample: int, clock_rate: int = RATE) -> float:
    """From the clock's beginning."""
    return round(sample / clock_rate, SECONDS)


class JsonEncoder:
    """Frames and events as messages of JSON, for who takes a `_core.MotionEncoder`, too: one object each, in UTF-8.

    Args:
        sets: of channels, in the order that the frames shall have.
        fps: frames a second, (numerator, denominator).
        earlier: how many of the frames before its own each message has again, 0..15, for carriers that lose some.
        id: of the header, 0..255.

    Raises:
        InvalidArgument: there is no such set, or a number is out of range.
    """

    def __init__(self, sets: Sequence[str], fps: tuple[int, int], *, earlier: int = 1, id: int = 0) -> None:
        if not 0 <= earlier <= MOST_EARLIER:
            raise InvalidArgument(f"earlier must be 0..{MOST_EARLIER}, got {earlier}")
        self._binary = MotionEncoder(sets, fps, earlier=0, id=id)
        self.groups: Groups = self._binary.groups
        self.channels: int = self._binary.channels
        self._header = MotionHeader(groups=self.groups, fps=Fraction(*fps), id=id)
        self._numbers = JsonNumbers(self.groups)
        self._before: deque[dict[str, Any]] = deque(maxlen=earlier + 1)
        self._generation = -1

    def header(self) -> bytes:
        """The message that names the channels."""
        return msgspec.json.encode(header_object(self._header))

    def encode(self, frame: Frame, *, sample: int | None = None, generation: int | None = None) -> bytes:
        """The message of a frame. `sample`, `generation`: in place of the frame's own."""
        self.keep(frame, sample=sample, generation=generation)
        return self._message(frame.utterance != 0)

    def encode_values(self, sample: int, generation: int, speaking: bool, values: NDArray[np.float32]) -> bytes:
        """The same for values of all channels, float32 (channels,)."""
        self._keep(sample, generation, values)
        return self._message(speaking)

    def keep(self, frame: Frame, *, sample: int | None = None, generation: int | None = None) -> None:
        """Takes a frame without a message of its own: the next one has it among its earlier ones."""
        sample = frame.sample if sample is None else sample
        self._keep(sample, frame.generation if generation is None else generation, self._binary.values(frame))

    def keep_values(self, sample: int, generation: int, speaking: bool, values: NDArray[np.float32]) -> None:
        """The same for values of all channels."""
        self._keep(sample, generation, values)

    def forget(self) -> None:
        """No message repeats what there was so far."""
        self._before.clear()

    @staticmethod
    def event(number: int, sample: int, generation: int, kind: str, value: str = "") -> bytes:
        """The message of an event."""
        return msgspec.json.encode(event_object(MotionEvent(number, sample, generation, kind, value)))

    @staticmethod
    def sound(sample: int, codec: int, payload: bytes) -> bytes:
        """The message of a piece of sound that begins at `sample`; `codec` is one of CODECS, `payload` becomes base64.

        Raises:
            InvalidArgument: there is no such codec.
        """
        if codec not in CODECS:
            raise InvalidArgument(
                f"codec {codec}: {', '.join(f'{number} is {name}' for number, name in CODECS.items())}"
            )
        return msgspec.json.encode({"type": "sound", "sample": sample, "codec": CODECS[codec], "data": payload})

    def _keep(self, sample: int, generation: int, values: NDArray[np.float32]) -> None:
        if generation != self._generation or (self._before and sample <= self._before[-1]["sample"]):
            self.forget()  # nobody needs what was dropped, or what belongs to another clock
            self._generation = generation
        self._before.append({"sample": sample, "t": seconds_of(sample), "values": self._numbers.of(values)})

    def _message(self, speaking: bool) -> bytes:
        return msgspec.json.encode(
            {
                "type": "frames",
                "header": self._header.id,
                "generation": self._generation,
                "speaking": speaking,
                "frames": list(self._before),
            }
        )
