"""Frames as a session hands them over, in virtual time; and somebody who reads what is made of them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from lipwire import _core
from lipwire._core import RATE, Frame
from lipwire.publish.motion import Ask, Kind, Listener


def tone(seconds: float) -> bytes:
    """Speech enough for a mouth that moves."""
    t = np.arange(round(seconds * RATE)) / RATE
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)
    return (envelope * np.sin(2 * np.pi * 170 * t) * 9000).astype("<i2").tobytes()


def poses(seconds: float, fps: tuple[int, int] = (25, 1), seed: int = 1) -> list[Frame]:
    """Frames of a face that speaks."""
    performer = _core.Performer(None, fps, seed=seed)
    performer.look(_core.LOOK_POSES)
    performer.write(tone(seconds), RATE)
    performer.end()
    found = []
    for _ in range(round(seconds * 100)):
        performer.tick()
        _, items = performer.drain(1)
        found += [item.posed(item.sample) for item in items if isinstance(item, Frame)]
        performer.give_back()
    return found


class Ear(Listener):
    """Keeps what it is sent."""

    def __init__(self, ask: Ask | None = None, **how: Any) -> None:
        self.ask = Ask() if ask is None else ask
        for name, value in how.items():
            setattr(self, name, value)
        self.got: list[tuple[Kind, bytes, int]] = []
        self.refused: list[str] = []
        self.interrupts = 0

    def put(self, message: bytes, kind: Kind, sample: int) -> bool:
        self.got.append((kind, message, sample))
        return False

    def interrupt(self) -> None:
        self.interrupts += 1

    def refuse(self, why: str) -> None:
        self.refused.append(why)

    def of(self, kind: Kind) -> list[bytes]:
        return [message for one, message, _ in self.got if one == kind]


class Reader:
    """Reads messages as a client does: frames by sample, events by number, each once, however often it came."""

    def __init__(self) -> None:
        self._decoder = _core.MotionDecoder()
        self.headers: list[Any] = []
        self.frames: dict[int, np.ndarray[Any, Any]] = {}
        self.generations: dict[int, int] = {}
        self.events: dict[int, tuple[int, int, str, str]] = {}
        """number -> (sample, generation, kind, value)"""
        self.alone: list[tuple[int, int, str, str]] = []
        """Those without a number."""
        self.sounds: list[tuple[int, int, bytes]] = []

    def put(self, message: bytes | str) -> None:
        if isinstance(message, str) or message.startswith(b'{"'):
            self._put_object(msgspec.json.decode(message))
            return
        for kind, *rest in self._decoder.put(message):
            if kind == "header":
                self.headers.append(rest)
            elif kind == "frames":
                _, generation, _, frames = rest
                for sample, values in frames:
                    self._frame(sample, generation, np.asarray(values))
            elif kind == "event":
                self._event(*rest)
            elif kind == "sound":
                self.sounds.append((rest[0], rest[1], rest[2]))

    def _put_object(self, message: Any) -> None:
        match message["type"]:
            case "header":
                self.headers.append(message)
            case "frames":
                for frame in message["frames"]:
                    self._frame(frame["sample"], message["generation"], np.asarray(frame["values"]))
            case "event":
                self._event(*(message[name] for name in ("number", "sample", "generation", "kind", "value")))

    def _frame(self, sample: int, generation: int, values: np.ndarray[Any, Any]) -> None:
        self.frames[sample], self.generations[sample] = values, generation

    def _event(self, number: int, sample: int, generation: int, kind: str, value: str) -> None:
        if number:
            self.events.setdefault(number, (sample, generation, kind, value))
        else:
            self.alone.append((sample, generation, kind, value))
