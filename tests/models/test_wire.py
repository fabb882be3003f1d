"""lipwire.models.wire and engine: what crosses between the processes stays what it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lipwire.models import wire
from lipwire.models.engine import Engine


@pytest.mark.parametrize(
    ("way", "message"),
    [
        (wire.Told, wire.Open("ears", 1, wire.Listen("en-US", words=True, model="whisper-base"))),
        (wire.Told, wire.Open("voice", 2, wire.Speak("hibari:heart", "Héllo."))),
        (wire.Told, wire.Open("turn", 3, wire.Judge(b"\0\1" * 8))),
        (wire.Told, wire.Open("turn", 4, wire.Warm())),
        (wire.Told, wire.More("ears", 1, wire.Sound16(bytes(range(256))))),
        (wire.Told, wire.More("ears", 1, wire.Finish())),
        (wire.Told, wire.Drop("ears", 1)),
        (wire.Tells, wire.Ready()),
        (wire.Tells, wire.Answered(1, wire.Partial("so far"))),
        (wire.Tells, wire.Answered(1, wire.Heard("So far.", (("So", 0.0, 0.25),), 0.5, "en"))),
        (wire.Tells, wire.Answered(2, wire.Spoken(b"\0\0", 24_000, (("Hi", 0.0, 1e-3),), True))),
        (wire.Tells, wire.Answered(2, wire.Said())),
        (wire.Tells, wire.Answered(3, wire.Probability(0.75))),
        (wire.Tells, wire.Answered(4, wire.Warmed())),
        (wire.Tells, wire.Failed(1, "why")),
        (wire.Tells, wire.Loading("ears", "whisper-base")),
        (wire.Tells, wire.Loaded("ears", "whisper-base", 0.5, 1 << 30)),
    ],
)
def test_a_message_arrives_as_it_was_sent(way: Any, message: msgspec.Struct) -> None:
    assert msgspec.msgpack.Decoder(way).decode(msgspec.msgpack.encode(message)) == message


def test_an_engine_that_needs_no_steps_has_none() -> None:
    engine = Engine()
    with engine.loading("nothing"):
        engine.warm("")
    assert engine.next() is None
    with pytest.raises(NotImplementedError):
        engine.open(1, wire.Judge(b""), lambda answer: None)
