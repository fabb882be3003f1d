"""Transcript objects, and the packets that they travel in."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.errors import BadData, InvalidArgument
from lipwire.protocol import transcript as t
from lipwire.protocol.transcript import PACKET, Assembler, chunks


def pack(name: str, index: int, total: object, part: bytes) -> bytes:
    return f"{name}|{index}|{total}|".encode() + part


def parts_of(payload: bytes, count: int) -> list[bytes]:
    text = base64.b64encode(payload)
    step = -(-len(text) // count)
    return [text[at : at + step] for at in range(0, len(text), step)]


# --------------------------------------------------------------------------------------------------------- objects


def test_the_v03_object_is_that_of_the_document() -> None:
    message = t.Transcribe(
        is_final=True, stream_id=0, message_id="abcdefgh", text_ts=1111111111, text="Once upon a time"
    )
    assert json.loads(t.encode(message)) == {
        "is_final": True,
        "stream_id": 0,
        "message_id": "abcdefgh",
        "data_type": "transcribe",
        "text_ts": 1111111111,
        "text": "Once upon a time",
    }
    assert t.decode(t.encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        t.UserTranscription(text="hi", final=False, turn_id=3, stream_id=7, user_id="7", message_id="m"),
        t.UserTranscription(text="hi", stream_id="anna", user_id="anna", words=[t.Word("hi", 10, 200)]),
        t.AssistantTranscription(text="hello", turn_id=1, turn_seq_id=4, turn_status=t.INTERRUPTED),
        t.Interrupt(turn_id=2, start_ms=100, send_ts=5),
        t.State(state="thinking", turn_id=9, paused=True),
        t.Metrics(module="turn", metric_name="e2e_latency", latency_ms=412.5, segments={"tts": 80.0}),
        t.Error(module="llm", message="502", reason="LLM_ERROR", turn_id=1),
    ],
    ids=lambda m: type(m).__name__,
)
def test_v2_objects_are_told_apart_by_their_name(message: t.V2) -> None:
    data = t.encode(message)
    assert json.loads(data)["object"] == message.__struct_config__.tag
    assert t.decode(data) == message
    more = json.loads(data) | {"something": "new"}
    assert t.decode(json.dumps(more).encode()) == message


@pytest.mark.parametrize(
    "bad", [b"", b"{}", b"[]", b'{"object":"no"}', b'{"object":"message.state","state":"sad"}', b"\xff"]
)
def test_what_is_no_transcript_is_refused(bad: bytes) -> None:
    with pytest.raises(BadData):
        t.decode(bad)


# --------------------------------------------------------------------------------------------------------- packets


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_json_is_ascii(text: str) -> None:
    message = t.UserTranscription(text=text)
    data = t.encode(message)
    assert data.isascii() and b"\0" not in data and json.loads(data)["text"] == text
    assert t.decode(data) == message


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 700, 5000, 100_000])
def test_chunks_hold_any_message(size: int, first: int) -> None:
    payload = random.Random(size).randbytes(size)
    packets = chunks("abc", payload, first=first)
    parts = [p.split(b"|", 3) for p in packets]
    assert max(map(len, packets)) <= PACKET and not any(0 in p for p in packets)
    assert [(p[0], int(p[1]) - first, int(p[2])) for p in parts] == [(b"abc", n, len(parts)) for n in range(len(parts))]
    assert base64.b64decode(b"".join(p[3] for p in parts)) == payload


def test_message_ids_that_cannot_be() -> None:
    for bad in ("", "a|b", "a\0b", "x" * 1000):
        with pytest.raises(InvalidArgument):
            chunks(bad, b"")


@given(st.binary(max_size=4000), st.integers(100, 1024), st.randoms(), st.booleans())
def test_any_order_and_duplicates(payload: bytes, room: int, rng: random.Random, from_one: bool) -> None:
    packets = chunks("m-1", payload, room, first=int(from_one))
    assert max(map(len, packets)) <= room
    sent = packets + rng.choices(packets, k=len(packets))
    rng.shuffle(sent)
    assembler = Assembler()
    whole = [made for packet in sent if (made := assembler.add(packet, 0.0)) is not None]
    assert whole == [payload]
    assert assembler.duplicates == len(sent) - len(packets)
    assert len(assembler) == assembler.waiting == assembler.ignored == assembler.dropped == 0


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=300), max_size=8),
    st.integers(1, 9),
    st.randoms(),
    st.booleans(),
)
def test_an_unknown_total(value: dict[str, str], count: int, rng: random.Random, last_knows: bool) -> None:
    payload = json.dumps(value).encode()
    parts = parts_of(payload, count)
    sent = [pack("x", n, "???", part) for n, part in enumerate(parts)]
    if last_knows:
        sent[-1] = pack("x", len(parts) - 1, len(parts), parts[-1])
        rng.shuffle(sent)
    assembler = Assembler()
    whole = [made for packet in sent if (made := assembler.add(packet, 0.0)) is not None]
    assert whole == [payload] and len(assembler) == 0


def test_messages_between_each_other() -> None:
    a, b = chunks("a", b"A" * 3000), chunks("b", b"B" * 3000)
    assembler = Assembler()
    whole = [assembler.add(p, 0.0) for pair in zip(a, b, strict=True) for p in pair]
    assert [w for w in whole if w is not None] == [b"A" * 3000, b"B" * 3000]


@given(st.lists(st.one_of(st.binary(max_size=80), st.builds(
    pack,
    st.sampled_from(["", "a", "b", "x" * 200]),
    st.integers(-1, 2000),
    st.sampled_from([0, 1, 2, 3, -1, "???", "?", 99999999, ""]),
    st.sampled_from([b"", b"QQ==", b"QUJD", b"not base64!", b"="]),
)), max_size=60))  # fmt: skip
@settings(max_examples=300)
def test_garbage_never_raises_and_stays_bounded(packets: list[bytes]) -> None:
    assembler = Assembler(messages=3, size=64, age=5.0)
    for n, packet in enumerate(packets):
        assembler.add(packet, n * 0.1)
        assert len(assembler) <= 3 and 0 <= assembler.waiting <= 64
    good = chunks("good", b"fine")
    assert assembler.add(good[0], 1000.0) == b"fine"


@pytest.mark.parametrize(
    "packet",
    [b"", b"a|0|1", b"|0|1|QQ==", b"a|x|1|QQ==", b"a|0|0|QQ==", b"a|2|1|QQ==", b"a|0|1|Q Q", b"a|0|1|Q", b"a|-1|1|QQ==",
     b"a|0|2000000000|QQ==", b"a|0|?|QQ==", "a|²|3|QQ==".encode(), b"y" * 129 + b"|0|1|QQ=="],
)  # fmt: skip
def test_what_is_no_packet_is_counted(packet: bytes) -> None:
    assembler = Assembler()
    assert assembler.add(packet, 0.0) is None
    assert assembler.ignored == 1 and len(assembler) == 0


def test_totals_and_indices_that_contradict_are_ignored() -> None:
    assembler = Assembler()
    first, second, third = parts_of(b"one message in three", 3)
    assert assembler.add(pack("m", 0, 3, first), 0.0) is None
    assert assembler.add(pack("m", 1, 2, second), 0.0) is None  # another total
    assert assembler.add(pack("m", 3, 3, second), 0.0) is None  # index 3 of 0..2
    assert assembler.ignored == 2
    assert assembler.add(pack("m", 2, 3, third), 0.0) is None
    assert assembler.add(pack("m", 1, 3, second), 0.0) == b"one message in three"


def test_the_bounds() -> None:
    assembler = Assembler(messages=2, size=100, age=1.0)
    for name in "abc":
        assembler.add(pack(name, 0, 2, b"QUJD"), 0.0)
    assert len(assembler) == 2 and assembler.dropped == 1
    assert assembler.add(pack("c", 1, 2, b"QUJD"), 0.9) == b"ABCABC"
    assert assembler.add(pack("b", 1, 2, b"QUJD"), 1.1) is None  # too old: it begins anew
    assert assembler.dropped == 2 and len(assembler) == 1
    assembler.add(pack("d", 0, 2, b"Q" * 99), 1.2)
    assert assembler.dropped == 3 and assembler.waiting == 99
    assert assembler.add(pack("e", 0, 1, b"Q" * 101), 1.2) is None and assembler.ignored == 1
