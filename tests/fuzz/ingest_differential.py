"""Random messages through two `Ingest`s, one that reads voice messages in the core and one that has only the JSON
parser: events, answers and state have to stay equal.

    python tests/fuzz/ingest_differential.py [SECONDS] [--seed N]

Prints how many messages went through, and how many of those the core read. Ends with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import time

from lipwire import _core
from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Event, Ingest

START = {
    "command": "init",
    "avatar_id": "aria",
    "quality": "low",
    "version": "v1",
    "video_encoding": "H264",
    "agora_settings": {"app_id": "a", "token": "t", "channel": "c", "uid": "1", "enable_string_uid": False},
}
GRANTED = m.grant(m.parse_start(START))
TOKENS = [
    *'{}[]:,"\\ \n\t\r=+/-_.eE0123456789\0\x1f\x7f\x80\u00e9\u2028\ufeff\U0001f600',
    *("null", "true", "false", "NaN", "1e3", "-0", "24000.0", "0x10", "\\u0041", "\\/", '\\"', "\\n", "\\ud83d", "//"),
    *('"command"', '"voice"', '"audio"', '"sampleRate"', '"encoding"', '"event_id"', '"PCM16"', '"PCM8"', '"OPUS"'),
    *('"command":"voice"', '"audio":"AAAA"', '"audio":""', '"sampleRate":24000', '"event_id":null', '"event_id":"f"'),
    *(
        '"x":1',
        '"x":{"audio":"AAA="}',
        '"x":["]"]',
        "AA==",
        "AAA=",
        "AA",
        "A===",
        "====",
        "voice_end",
        "init",
        "heartbeat",
    ),
]


class Pair:
    """The two ends of the comparison. Their clocks are one, and so have to be their answers."""

    def __init__(self, *, guard_window: float = 0.0, initialized: bool = True) -> None:
        self.fast = Ingest("s", GRANTED, guard_window=guard_window)
        self.slow = Ingest("s", GRANTED, guard_window=guard_window)
        self.slow._read_voice = lambda message: None  # type: ignore[assignment]
        if initialized:
            self.receive(json.dumps(START), 0.0)

    def receive(self, message: str | bytes, now: float) -> list[Event]:
        """What both say. AssertionError: they do not say the same."""
        events, expected = self.fast.receive(message, now), self.slow.receive(message, now)
        assert events == expected, (message, events, expected)
        assert [type(event) for event in events] == [type(event) for event in expected]
        for event in events:
            if isinstance(event, m.Voice):
                assert (type(event.payload), type(event.sample_rate), type(event.encoding)) == (bytes, int, str)
        answers, expected_answers = self.fast.take(), self.slow.take()
        assert answers == expected_answers, (message, answers, expected_answers)
        for name in ("initialized", "closed", "dropped", "_guard_until"):
            assert getattr(self.fast, name) == getattr(self.slow, name), (message, name)
        return events


def good(rng: random.Random) -> str:
    """A message that a client could send."""
    encoding = rng.choice(["PCM16", "PCM16", "PCM16", "PCM8", "OPUS"])
    size = rng.choice([0, 1, 2, 3, 4, 48, rng.randrange(200), rng.randrange(4000)])
    fields: dict[str, object] = {
        "command": "voice",
        "audio": base64.b64encode(rng.randbytes(size)).decode(),
        "sampleRate": rng.choice([8000, 16000, 24000, 48000, 44100, 24000, rng.randrange(60000)]),
        "encoding": encoding,
    }
    if rng.random() < 0.8:
        fields["event_id"] = rng.choice(
            ["e", "utterance-1", "", None, str(rng.random()), "x" * rng.randrange(500), "é"]
        )
    if rng.random() < 0.05:
        fields[rng.choice(["x", "audio_", "timestamp"])] = rng.choice([1, "y", None, [], {"a": 1}])
    if rng.random() < 0.1:
        fields["audio"] = str(fields["audio"]).rstrip("=") + rng.choice(["", "=", "==", "===", " ", "\n", "-", "_"])
    items = list(fields.items())
    if rng.random() < 0.5:
        rng.shuffle(items)
    separators = rng.choice([(",", ":"), (", ", ": "), (" , ", " :\t"), (",\n", ":")])
    return json.dumps(dict(items), separators=separators, ensure_ascii=rng.random() < 0.5)


def mutate(rng: random.Random, text: str) -> str:
    """`text` with a few places cut out, doubled, moved or overwritten."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at, length = rng.randrange(len(text) + 1), rng.choice([0, 1, 1, 2, rng.randrange(20)])
        if rng.random() < 0.3:  # near a field's edge rather than inside the audio
            at = max(0, text.find(rng.choice('":,{}='), at))
        piece = rng.choice([*TOKENS, "", text[at : at + length] * 2, chr(rng.randrange(256))])
        text = text[:at] + piece + text[at + length :]
    return text


def other(rng: random.Random) -> str:
    """What else goes over the connection."""
    return rng.choice(
        [
            '{"command":"voice_interrupt"}',
            '{"command":"voice_end","event_id":"e"}',
            '{"command":"heartbeat","timestamp":1}',
            json.dumps(START),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    rng = random.Random(seed)
    until = time.monotonic() + options.seconds
    sent = read = 0
    corpus = [good(rng) for _ in range(200)]
    while time.monotonic() < until:
        pair = Pair(guard_window=rng.choice([0.0, 0.0, 0.2]), initialized=rng.random() < 0.95)
        reader = _core.VoiceReader(m.Voice)
        now, last = 0.0, good(rng)
        for _ in range(500):
            kind = rng.random()
            if kind < 0.3:
                message = good(rng)
            elif kind < 0.6:  # one client goes on as it was
                message = last
            elif kind < 0.98:
                message = mutate(rng, rng.choice([last, rng.choice(corpus)]))
            else:
                message = other(rng)
            now += rng.choice([0.0, 0.02, 0.02, 0.02, 0.5])
            try:
                pair.receive(message, now)
            except AssertionError:
                print(f"DIFFERENCE with --seed {seed} after {sent} messages")
                raise
            sent += 1
            read += reader.read(message) is not None
            last = message if kind < 0.3 else last
        corpus[rng.randrange(len(corpus))] = good(rng)
    print(
        f"ok ingest_differential: {sent} messages, {read} of them read by the core, seed {seed} ({_core.cpu_level()})"
    )


if __name__ == "__main__":
    main()
