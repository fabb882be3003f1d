"""Random messages through the whole of the protocol's core: `Ingest`, `Provider.steps`, and a session that plays,
without a socket.

    PYTHONPATH=tests python -m fuzz.wire [SECONDS] [--messages N] [--seed N]

Half of them could come from a client, half are those with places cut out, doubled or overwritten, and the rest is what
nobody should send: nests, long ones, wrong types, binary. After each, what must hold:

- nothing is raised, and every `error` has a code that docs/provider.md knows;
- a message has one answer at most (and a `rate_mismatch`), and no answer is longer than 8 KiB;
- a good message is obeyed: its speech arrives byte for byte, its end, its interrupt and its `special` do, or the speech
  buffer has no room and takes nothing;
- no step of a message writes more than a piece of speech, and a message takes no more steps than its speech has pieces.

At the end the session is silent, every utterance that was told to begin was told to end, and memory has not grown.
Prints how many messages went through and how many of each answer there were; ends with 1 at the first fault.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import re
import resource
import time
from collections import Counter
from typing import Any

from fuzz.ingest_differential import good, mutate, other
from lipwire.errors import BufferFull, InvalidArgument, LipwireError
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Ingest
from lipwire.provider.outbox import Outbox
from lipwire.provider.sessions import PIECE, Emit, Provider, ProviderConfig, ProviderSession
from lipwire.publish import Null
from lipwire.session.session import Session
from support.paths import ROOT
from support.provider_stage import KEY, start_body

LONGEST_ANSWER = 8192
GROWTH = 48 << 20
"""Bytes by which the process may grow after its first messages: buffers that fill, arenas of the allocator."""
BLOCK = 2000
"""Messages between two looks at the rest of the loop."""


def documented() -> set[str]:
    """The error codes of docs/provider.md."""
    text = (ROOT / "docs" / "provider.md").read_text()
    found = re.search(r"^Error codes:(.*?)Close codes:", text, re.M | re.S)
    assert found is not None
    return set(re.findall(r"`([A-Z_]+)`", found[1]))


class Speaker(Session):
    """A session that plays into nothing, and writes down what it was told."""

    def __init__(self, session_id: str, emit: Emit) -> None:
        super().__init__(Null(), width=64, height=64, session_id=session_id, on_event=emit)
        self.taken: list[tuple[Any, ...]] = []
        self.full = 0

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None = None) -> None:
        assert len(payload) <= PIECE or encoding == "OPUS"
        try:
            super().voice(payload, encoding, sample_rate, event_id)
        except BufferFull:
            self.full += 1
            raise
        self.taken.append(("voice", payload, event_id))

    def voice_end(self, event_id: str | None) -> None:
        self.end(event_id)
        self.taken.append(("voice_end", event_id))

    def interrupt(self, event_id: str | None = None) -> None:
        super().interrupt(event_id)
        self.taken.append(("voice_interrupt", event_id))

    def special(self, content: Any, event_id: str | None = None) -> None:
        super().special(content, event_id)
        self.taken.append(("special", event_id))

    def renew(self, token: str) -> None:
        raise InvalidArgument("there is no channel")


class Fuzz:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.codes = documented()
        self.answers: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.messages = self.obeyed = self.connections = 0
        self.provider = Provider(
            ProviderConfig(api_key=KEY, max_sessions=4, guard_window=0.0), self._make, clock=lambda: self.now
        )
        self.corpus = [good(self.rng) for _ in range(100)]
        self.last = self.corpus[0]

    async def _make(self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit) -> Speaker:
        def tell(event: Any) -> None:
            self.told[type(event).__name__] += 1
            emit(event)

        self.speaker = await Speaker(session_id, tell).start()
        return self.speaker

    async def run(self, messages: int | None, seconds: float | None) -> None:
        """Raises AssertionError where something does not hold."""
        reply = await self.provider.start(m.parse_start(start_body()), self.provider.check_api_key(KEY))
        self.session: ProviderSession = self.provider.get(reply.session_id)
        until = None if seconds is None else time.monotonic() + seconds
        self._connect()
        start = 0
        while (messages is None or self.messages < messages) and (until is None or time.monotonic() < until):
            self.one(self._message())
            if self.messages % BLOCK == 0:
                await asyncio.sleep(0)  # the session drains
                if self.messages == 10 * BLOCK:
                    start = _peak()
        self.speaker.interrupt()
        await asyncio.wait_for(self.speaker.finished(), 60)
        assert self.told["PlaybackStarted"] <= self.told["PlaybackFinished"]
        assert not self.speaker.failures
        assert not start or _peak() - start < GROWTH, f"memory grew by {(_peak() - start) >> 20} MiB"
        await self.provider.close()

    def one(self, message: str | bytes) -> None:
        """One message, and what must hold after it."""
        expected = None if self.ingest.closed else self._expected(message)
        took, full = len(self.speaker.taken), self.speaker.full
        self.outbox.pop()  # what the session told in between
        steps = sum(1 for _ in self.provider.steps(self.session, self.ingest, self.outbox, message)) + 1
        self.messages += 1
        assert steps <= 1 + len(message) // PIECE, (steps, message[:200])
        self._answered([m.decode_event(frame) for frame in self.outbox.pop()])
        if expected is not None:
            self._obeyed(expected, self.speaker.taken[took:], self.speaker.full - full, message)
        self.speaker.taken.clear()
        if self.outbox.closing is not None:
            assert self.outbox.closing[0] == 1008
            self._connect()
        elif self.rng.random() < 0.002:
            self._connect()

    def _answered(self, events: list[m.ServerEvent | None]) -> None:
        assert None not in events
        told = (m.PlaybackStarted, m.PlaybackFinished, m.Underrun)  # by the session; missed, and heard after an init
        events = [event for event in events if not isinstance(event, told)]
        for event in events:
            self.answers[event.code if isinstance(event, m.ErrorEvent) else type(event).__name__] += 1
            assert not isinstance(event, m.ErrorEvent) or event.code in self.codes, event
            assert len(m.encode(event)) <= LONGEST_ANSWER  # type: ignore[arg-type]
        mismatches = sum(isinstance(event, m.RateMismatch) for event in events)
        assert len(events) - mismatches <= 1
        assert mismatches <= 1

    def _expected(self, message: str | bytes) -> tuple[Any, ...] | None:
        """What a good message asks of the session; None where it is not surely good, or asks nothing."""
        if not isinstance(message, str) or not self.ingest.initialized or len(message) > 32 << 10:
            return None
        try:
            found = m.msgspec.json.decode(message, type=m.Voice | m.VoiceEnd | m.Interrupt | m.Special)
        except (m.msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        if found.event_id is not None and len(found.event_id) > 1024:
            return None
        if not isinstance(found, m.Voice):
            return str(found.__struct_config__.tag), found.event_id
        even = found.encoding == "PCM8" or (found.encoding == "PCM16" and len(found.payload) % 2 == 0)
        allowed = m.MIN_RATE <= found.sample_rate <= m.MAX_RATE
        # A rate that is no multiple of 25 the core may refuse, in words.
        allowed = allowed and found.sample_rate % 25 == 0
        return ("voice", found.payload, found.event_id) if even and allowed and found.payload else None

    def _obeyed(self, expected: tuple[Any, ...], taken: list[tuple[Any, ...]], full: int, message: str | bytes) -> None:
        if full:
            assert not taken, message
        else:
            spoken = b"".join(call[1] for call in taken if call[0] == "voice")  # a long one comes in pieces
            whole = [("voice", spoken, taken[0][2])] if spoken else taken
            assert whole == [expected], (expected, taken, message)
            self.obeyed += 1

    def _connect(self) -> None:
        self.connections += 1
        self.ingest: Ingest
        self.outbox: Outbox
        if self.connections > 1:
            self.provider.detach(self.session, self.outbox)
        self.ingest, self.outbox = self.provider.attach(self.session)
        if self.rng.random() < 0.95:
            self.one(json.dumps({"command": "init", **start_body()}))

    def _message(self) -> str | bytes:
        rng = self.rng
        self.now += rng.choice([0.0, 0.0, 0.02, 0.02, 0.5])
        kind = rng.random()
        if kind < 0.35:
            self.last = good(rng)
            return self.last
        if kind < 0.45:
            return self.last
        if kind < 0.90:
            return mutate(rng, rng.choice([self.last, rng.choice(self.corpus), other(rng), self._special()]))
        if kind < 0.94:
            return other(rng)
        if kind < 0.98:
            return self._special()
        return self._unexpected()

    def _special(self) -> str:
        rng = self.rng
        content: Any = rng.choice(
            [
                {"gesture": "nod"},
                {"emotion": "happy"},
                {"state": "listening"},
                {"x": 1},
                "{}",
                '{"gesture":"nod"}',
                [],
                5,
            ]
        )
        if rng.random() < 0.1:
            content = {f"k{n}": n for n in range(rng.randrange(300))}
        return json.dumps({"command": "special", "content": content, "event_id": rng.choice(["e", None])})

    def _unexpected(self) -> str | bytes:
        rng = self.rng
        size = rng.choice([10, 1000, 40_000])
        unexpected: list[str | bytes] = [
            rng.randbytes(rng.randrange(50)),
            "".join(chr(rng.randrange(0x110000)) for _ in range(20)),
            '{"command":"special","content":' + "[" * size + "]" * size + "}",
            '{"command":"special","content":[' + "[]," * size + "1]}",
            '{"command":"heartbeat","timestamp":' + "9" * size + "}",
            '{"command":"heartbeat","event_id":"' + "x" * size + '"}',
            '{"command":"voice","audio":"' + "A" * (4 * size) + '","sampleRate":48000,"encoding":"PCM16"}',
            '{"command":"voice","audio":"' + "\\/" * (4 * size) + '","sampleRate":48000,"encoding":"PCM8"}',
            '{"command":"voice","audio":"AAAA","sampleRate":8000,"encoding":"OPUS","event_id":"' + "y" * size + '"}',
            '{"command":"voice","sampleRate":16000,"encoding":"PCM16","x":[' + "{}," * size + '0],"audio":"AAA="}',
            '{"command":"init","session_id":"another"}',
            json.dumps({"command": "init", "session_id": self.session.id, **start_body(quality="best")}),
            json.dumps({rng.choice(["command", "x"]): rng.choice([None, 1, [], {}, "voice", "x" * size])}),
        ]
        return rng.choice(unexpected)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def fuzz(seed: int, *, messages: int | None = None, seconds: float | None = None) -> Fuzz:
    """A run with this seed. AssertionError, or whatever was raised: a fault."""
    run = Fuzz(seed)
    try:
        asyncio.run(run.run(messages, seconds))
    except (AssertionError, LipwireError):
        print(f"FAULT with --seed {seed} after {run.messages} messages")
        raise
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=None)
    parser.add_argument("--messages", type=int, default=None)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    seconds = 60.0 if options.seconds is None and options.messages is None else options.seconds
    logging.basicConfig(level=logging.ERROR)
    run = fuzz(seed, messages=options.messages, seconds=seconds)
    print(f"ok wire: {run.messages} messages over {run.connections} connections, {run.obeyed} obeyed, seed {seed}")
    print(dict(run.answers.most_common()))


if __name__ == "__main__":
    main()
