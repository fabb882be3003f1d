"""protocol/ingest.py: every rule of the avatar provider's WebSocket, without a socket."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Close, Ingest, Init, RateMeter
from support.provider_stage import start_body
from support.wire_messages import PCM, init, voice

GRANTED = m.grant(m.parse_start(start_body()))


def connected(**kwargs: Any) -> Ingest:
    ingest = Ingest("s", GRANTED, **kwargs)
    assert ingest.receive(init(), 0)
    assert [m.decode_event(f) for f in ingest.to_send()] == [m.InitAck("s", GRANTED)]
    return ingest


def error(ingest: Ingest, message: str | bytes, event_id: str | None = "e") -> tuple[str, str]:
    """Sends a bad message; its error's code and text. The connection has to live on."""
    assert ingest.receive(message, 0) == []
    (answer,) = [m.decode_event(f) for f in ingest.to_send()]
    assert isinstance(answer, m.ErrorEvent)
    assert answer.event_id == event_id
    assert not ingest.closed
    if ingest.initialized:
        assert ingest.receive(voice(), 0) == [m.Voice(PCM, 24000, "PCM16", "e")]
        assert ingest.to_send() == []
    return answer.code, answer.message


# ------------------------------------------------------------------------------------------------------------- good


def test_init_is_idempotent() -> None:
    ingest = Ingest("s", GRANTED)
    for again in (False, True, True):
        (event,) = ingest.receive(init(extra=1), 0)
        assert isinstance(event, Init)
        assert event.again is again
        assert event.request == m.parse_start(start_body())
        assert [m.decode_event(f) for f in ingest.to_send()] == [m.InitAck("s", GRANTED)]


@pytest.mark.parametrize(
    "message",
    [
        json.dumps(start_body()),  # Agora's first sample sender: no command, no session id
        json.dumps({"command": "init", **start_body()}),  # its README: no session id
        json.dumps({"session_id": "s", **start_body()}),
    ],
)
def test_init_as_agoras_samples_send_it(message: str) -> None:
    ingest = Ingest("s", GRANTED)
    (event,) = ingest.receive(message, 0)
    assert isinstance(event, Init)


@pytest.mark.parametrize(
    ("payload", "rate", "encoding"),
    [
        (PCM, 24000, "PCM16"),
        (b"\0\0", 8000, "PCM16"),
        (b"\x80", 48000, "PCM8"),
        (b"\xfc", 48000, "OPUS"),
        (b"\xfcabc", 16000, "OPUS"),
        (bytes(2 * 24000 * 10), 24000, "PCM16"),
    ],
)
def test_voice(payload: bytes, rate: int, encoding: str) -> None:
    ingest = connected()
    assert ingest.receive(voice(payload, rate, encoding, unknown=[1]), 0) == [m.Voice(payload, rate, encoding, "e")]
    assert ingest.receive(voice(payload, rate, encoding, event_id=...), 0) == [m.Voice(payload, rate, encoding, None)]
    assert ingest.to_send() == []


@pytest.mark.parametrize("encoding", ["PCM16", "PCM8"])
def test_no_samples_are_nothing(encoding: str) -> None:
    ingest = connected()
    assert ingest.receive(voice(b"", encoding=encoding), 0) == []
    assert ingest.to_send() == []


def test_control_messages() -> None:
    ingest = connected()
    assert ingest.receive('{"command":"voice_end","event_id":"a"}', 0) == [m.VoiceEnd("a")]
    assert ingest.receive('{"command":"voice_interrupt","event_id":"b"}', 0) == [m.Interrupt("b")]
    for content in ({"gesture": "nod"}, '{"gesture":"nod"}', "free text", [1], 0, False):
        message = json.dumps({"command": "special", "content": content, "event_id": "c"})
        assert ingest.receive(message, 0) == [m.Special(content, "c")]
    assert ingest.to_send() == []


@pytest.mark.parametrize("before_init", [True, False])
def test_heartbeat_is_answered_always(before_init: bool) -> None:
    ingest = Ingest("s", GRANTED) if before_init else connected()
    for timestamp in (1700000000123, 1.5, None):
        message = {"command": "heartbeat", "event_id": "h", "timestamp": timestamp}
        assert ingest.receive(json.dumps(message), 0) == []
        (frame,) = ingest.to_send()
        assert json.loads(frame) == {**message, "command": "heartbeat_ack"}


# -------------------------------------------------------------------------------------------------------------- bad


@pytest.mark.parametrize(
    "message",
    [
        voice(),
        '{"command":"voice_end","event_id":"e"}',
        '{"command":"voice_interrupt","event_id":"e"}',
        '{"command":"special","content":1,"event_id":"e"}',
        voice(rate="x"),
        voice(audio="!"),
    ],
)
def test_nothing_before_init(message: str) -> None:
    ingest = Ingest("s", GRANTED)
    code, text = error(ingest, message)
    assert code == "NOT_INITIALIZED"
    assert text.endswith("before init")
    assert ingest.receive(init(), 0)


def test_init_for_another_session_closes() -> None:
    ingest = connected()
    assert ingest.receive(init("somebody"), 0) == [Close(1008, "session_id does not match the token")]
    assert "SESSION_MISMATCH" in ingest.to_send()[0]
    assert ingest.receive(voice(), 0) == []
    assert ingest.to_send() == []


@pytest.mark.parametrize("session_id", [5, "", [], {}, True])
def test_init_with_a_session_id_that_is_none(session_id: Any) -> None:
    (event,) = Ingest("s", GRANTED).receive(init(session_id), 0)
    assert isinstance(event, Close)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"avatar_id": None}, "Missing required field: avatar_id"),
        ({"channel": None, "uid": None}, "Missing required field(s): agora_settings.channel, agora_settings.uid"),
        ({"quality": "best"}, 'Invalid value for quality: "best"; allowed: one of low, medium, high'),
    ],
)
def test_bad_init(changes: dict[str, Any], text: str) -> None:
    ingest = Ingest("s", GRANTED)
    assert error(ingest, init(event_id="e", **changes)) == ("VALIDATION_ERROR", text)
    assert not ingest.initialized


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "{",
        "[]",
        "null",
        '"voice"',
        "5",
        '{"command":"voice"',
        '{"command":"voice",}',
        '{"command":"voice_end","event_id":NaN}',
        "\ud800",
        '{"command":"voice_end","x":' + "[" * 10_000 + "]" * 10_000 + "}",
        "{" * 50_000,
        "\0",
    ],
)
def test_no_json_object(message: str) -> None:
    assert error(connected(), message, None)[0] == "INVALID_JSON"


@pytest.mark.parametrize("message", [b"", b"\0\1", voice().encode()])
def test_binary_frames(message: bytes) -> None:
    assert error(connected(), message, None)[0] == "UNSUPPORTED_DATA"


@pytest.mark.parametrize("command", ["speak", "", "VOICE", "init_ack", 5, None, [], ...])
def test_unknown_command(command: Any) -> None:
    message = {"event_id": "e"} if command is ... else {"command": command, "event_id": "e"}
    code, text = error(connected(), json.dumps(message))
    assert code == "UNKNOWN_COMMAND"
    assert "voice_interrupt" in text


@pytest.mark.parametrize(
    "audio", ["!", "A", "AAA", "AA=A", "A===", "AAA\n=", "AAA= ", "AA-_", "QUJ\u00e9", "AAAA=", "=", "AAA=AAA="]
)
def test_broken_base64(audio: str) -> None:
    assert error(connected(), voice(audio=audio))[0] == "INVALID_AUDIO"


@pytest.mark.parametrize("size", [1, 3, 961])
def test_odd_pcm16(size: int) -> None:
    code, text = error(connected(), voice(bytes(size)))
    assert code == "INVALID_AUDIO"
    assert str(size) in text


def test_empty_opus() -> None:
    assert error(connected(), voice(b"", encoding="OPUS"))[0] == "INVALID_AUDIO"


@pytest.mark.parametrize("rate", [0, -1, 7999, 48001, 2**31, 2**63 - 1])
def test_rate_out_of_range(rate: int) -> None:
    code, text = error(connected(), voice(rate=rate))
    assert code == "VALIDATION_ERROR"
    assert str(rate) in text
    assert "8000..48000" in text


@pytest.mark.parametrize("rate", ["24000", 24000.5, 2**80, [], True, {}])
def test_rate_of_the_wrong_type(rate: Any) -> None:
    code, text = error(connected(), voice(rate=rate))
    assert code == "VALIDATION_ERROR"
    assert "sampleRate" in text


@pytest.mark.parametrize("encoding", ["pcm16", "", "MP3", "PCM24", "x" * 1000])
def test_unknown_encoding(encoding: str) -> None:
    code, text = error(connected(), voice(encoding=encoding))
    assert code == "UNSUPPORTED_ENCODING"
    assert "PCM16, PCM8, OPUS" in text
    assert len(text) < 150


@pytest.mark.parametrize("gone", [None, ...])
@pytest.mark.parametrize("names", [("audio",), ("sampleRate",), ("encoding",), ("audio", "sampleRate", "encoding")])
def test_missing_fields(names: tuple[str, ...], gone: Any) -> None:
    message = json.loads(voice())
    for name in names:
        message[name] = gone
    text = json.dumps({k: v for k, v in message.items() if v is not ...})
    word = "field(s)" if len(names) > 1 else "field"
    assert error(connected(), text) == ("VALIDATION_ERROR", f"Missing required {word}: {', '.join(names)}")
    assert error(connected(), '{"command":"special","event_id":"e"}')[1] == "Missing required field: content"


def test_wrong_types() -> None:
    assert error(connected(), voice(audio=5))[0] == "VALIDATION_ERROR"
    assert error(connected(), voice(event_id=5), None)[0] == "VALIDATION_ERROR"
    assert error(connected(), '{"command":"heartbeat","event_id":"e","timestamp":"now"}')[0] == "VALIDATION_ERROR"


# ---------------------------------------------------------------------------------------------------- guard window


def test_guard_window() -> None:
    ingest = connected(guard_window=0.2)
    interrupt = '{"command":"voice_interrupt"}'
    assert len(ingest.receive(voice(), 1.0)) == 1
    ingest.receive(interrupt, 1.0)
    assert ingest.receive(voice(), 1.0) == []
    assert ingest.receive(voice(), 1.19) == []
    assert ingest.dropped == 2
    assert len(ingest.receive(voice(), 1.2)) == 1
    assert ingest.to_send() == []


def test_no_guard_window_by_default() -> None:
    ingest = connected()
    ingest.receive('{"command":"voice_interrupt"}', 1.0)
    assert len(ingest.receive(voice(), 1.0)) == 1


# --------------------------------------------------------------------------------------------------- rate mismatch


def reports(
    declared: int, true: int, chunk: float, *, speed: float = 1.0, seconds: float = 30.0, jitter: float = 0.0
) -> list[m.RateMismatch]:
    """What the meter says about `seconds` of audio in chunks of `chunk` s, delivered at `speed` times real time."""
    meter, rng, now, found = RateMeter(), random.Random(1), 0.0, []
    for _ in range(int(seconds / chunk)):
        arrival = now + jitter * chunk * rng.random()
        mismatch = meter.add(declared, round(true * chunk), arrival)
        if mismatch:
            found.append(mismatch)
        now += chunk / speed
    return found


@pytest.mark.parametrize("chunk", [0.01, 0.02, 0.04, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("declared", "true"), [(48000, 24000), (24000, 16000), (24000, 22050), (48000, 8000)])
def test_a_label_too_high(declared: int, true: int, chunk: float) -> None:
    assert reports(declared, true, chunk) == [m.RateMismatch(declared, true)]
    assert reports(declared, true, chunk, jitter=0.3) == [m.RateMismatch(declared, true)]


@pytest.mark.parametrize("chunk", [0.01, 0.02, 0.1, 0.5])
@pytest.mark.parametrize(("declared", "true"), [(16000, 24000), (22050, 24000), (24000, 44100)])
def test_a_label_too_low(declared: int, true: int, chunk: float) -> None:
    assert reports(declared, true, chunk) == [m.RateMismatch(declared, true)]


@pytest.mark.parametrize("chunk", [0.01, 0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_right_label(rate: int, chunk: float, jitter: float) -> None:
    assert reports(rate, rate, chunk, jitter=jitter) == []


@pytest.mark.parametrize("speed", [1.25, 2, 3, 4, 5, 10, 50, 1e3, 1e9])
@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_a_client_that_runs_ahead(rate: int, speed: float) -> None:
    for chunk in (0.01, 0.02, 0.1, 0.5):
        assert reports(rate, rate, chunk, speed=speed, seconds=600) == []
        assert reports(rate, rate, chunk, speed=speed, seconds=600, jitter=1) == []


def test_bursts_and_synthesis_at_its_own_pace() -> None:
    rng = random.Random(7)
    for mean in (0.2, 0.5, 0.667, 1.0, 1.5):
        meter, now = RateMeter(), 0.0
        for _ in range(5000):
            now += rng.expovariate(1 / (0.1 * mean))
            assert meter.add(24000, 2400, now) is None
        meter, now = RateMeter(), 0.0
        for _ in range(500):  # a second of speech at once, then a wait
            now += 1.0 * mean
            for chunk in range(50):
                assert meter.add(24000, 480, now + chunk * 1e-4) is None


def test_a_mismatch_is_reported_once_until_it_changes() -> None:
    meter, now, found = RateMeter(), 0.0, []
    for true, seconds in ((16000, 60), (24000, 10), (16000, 20), (22050, 20)):
        for _ in range(seconds * 50):
            now += 0.02
            found.append(meter.add(24000, true // 50, now))
    assert [f.measured for f in found if f] == [16000, 16000, 22050]


def test_pauses_do_not_count() -> None:
    ingest, now, events = connected(), 0.0, []
    for _ in range(20):
        for _ in range(100):  # 2 s of 24 kHz, paced
            now += 0.02
            ingest.receive(voice(), now)
        now += 1.5
        ingest.receive('{"command":"voice_end"}', now)
        events += ingest.to_send()
    assert events == []


def played(ingest: Ingest, rate: int, true: int, seconds: float, start: float) -> list[int]:
    """The rates at which paced speech, labelled `rate`, is to be played; each once in a row."""
    found: list[int] = []
    for n in range(round(seconds * 50)):
        (event,) = ingest.receive(voice(bytes(true // 50 * 2), rate=rate), start + n / 50)
        assert isinstance(event, m.Voice)
        if found[-1:] != [event.sample_rate]:
            found.append(event.sample_rate)
    return found


def test_a_wrong_label_is_corrected_where_that_is_asked_for() -> None:
    rates: dict[int, int] = {}
    ingest = connected(rates=rates)
    assert played(ingest, 24000, 16000, 20, 0) == [24000, 16000]
    assert ingest.take() == [m.RateMismatch(24000, 16000, corrected=True)]
    assert played(ingest, 48000, 48000, 20, 30) == [48000]  # another label has nothing to do with it
    again = connected(rates=rates)  # the session is resumed
    assert played(again, 24000, 16000, 20, 60) == [16000]
    assert again.take() == []
    assert played(again, 24000, 24000, 20, 80) == [16000, 24000]  # the label is right again
    assert again.take() == [m.RateMismatch(24000, 24000, corrected=True)]
    assert played(again, 24000, 22050, 20, 100) == [24000, 22050]


def test_else_it_is_only_told() -> None:
    ingest = connected()
    assert played(ingest, 24000, 16000, 20, 0) == [24000]
    (told,) = ingest.to_send()
    assert told == '{"command":"rate_mismatch","declared":24000,"measured":16000}'


@pytest.mark.parametrize(("check", "count"), [(True, 1), (False, 0)])
def test_ingest_reports_a_mismatch(check: bool, count: int) -> None:
    ingest, now = connected(check_rate=check), 0.0
    for _ in range(500):
        now += 0.02
        assert len(ingest.receive(voice(rate=48000), now)) == 1
    assert [m.decode_event(f) for f in ingest.to_send()] == [m.RateMismatch(48000, 24000)] * count


# ------------------------------------------------------------------------------------------------------------- fuzz

CODES = {
    "UNSUPPORTED_DATA",
    "INVALID_JSON",
    "UNKNOWN_COMMAND",
    "NOT_INITIALIZED",
    "VALIDATION_ERROR",
    "UNSUPPORTED_ENCODING",
    "INVALID_AUDIO",
    "SESSION_MISMATCH",
}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=6
)
fields = st.sampled_from(
    ["command", "session_id", "audio", "sampleRate", "encoding", "event_id", "timestamp", "content", *start_body()]
)
commands = st.sampled_from(["init", "voice", "voice_end", "voice_interrupt", "heartbeat", "special"])
plausible = st.sampled_from(["PCM16", "OPUS", "AAA=", 16000, "s"])
objects = st.dictionaries(fields, values | commands | plausible, max_size=8)
bases = st.sampled_from([init(), voice()])
near_misses = st.builds(lambda base, change: {**json.loads(base), **change}, bases, objects)
frames = st.one_of(st.text(), st.binary(), (objects | near_misses | values).map(json.dumps), st.just(init()))


@settings(max_examples=400, deadline=None)
@given(st.lists(frames, max_size=12), st.floats(0, 1))
def test_nothing_that_is_sent_raises(messages: list[str | bytes], guard: float) -> None:
    ingest = Ingest("s", GRANTED, guard_window=guard)
    for now, message in enumerate(messages):
        was_closed, was_ready = ingest.closed, ingest.initialized
        events = ingest.receive(message, float(now))
        answers = [m.decode_event(frame) for frame in ingest.to_send()]
        assert None not in answers
        assert len(events) <= 1
        if was_closed:
            assert not events
            assert not answers
        for event in events:
            assert was_ready or isinstance(event, Init | Close)
            if isinstance(event, m.Voice):
                assert event.payload
                assert 8000 <= event.sample_rate <= 48000
                assert event.encoding != "PCM16" or len(event.payload) % 2 == 0
        for answer in answers:
            assert isinstance(answer, m.ErrorEvent | m.InitAck | m.HeartbeatAck)
            if isinstance(answer, m.ErrorEvent):
                assert answer.code in CODES
                assert len(answer.message) < 400


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["PCM16", "PCM8", "OPUS"]), st.integers(8000, 48000), st.text())
def test_what_is_good_arrives_unchanged(payload: bytes, encoding: str, rate: int, event_id: str) -> None:
    ingest = connected()
    try:
        text = voice(payload, rate, encoding, event_id).encode().decode()
    except UnicodeEncodeError:
        return
    events = ingest.receive(text, 0)
    if encoding == "PCM16" and len(payload) % 2:
        assert events == []
    elif payload:
        assert events == [m.Voice(payload, rate, encoding, event_id)]
    else:
        assert events == []


def test_what_was_accepted_stays_accepted() -> None:
    ingest, spoken = connected(), b""
    bad: Any = ["{", b"\0", '{"command":"x"}', voice(b"\0"), voice(rate=1), voice(audio="?"), init(quality="best")]
    for n in range(70):
        chunk = bytes([n]) * 96
        for event in ingest.receive(voice(chunk), n):
            assert isinstance(event, m.Voice)
            spoken += event.payload
        assert ingest.receive(bad[n % len(bad)], n) == []
    assert spoken == b"".join(bytes([n]) * 96 for n in range(70))
    assert len(ingest.to_send()) == 70
