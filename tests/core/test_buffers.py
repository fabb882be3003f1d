"""What the compiled core takes from Python: every buffer by its format, every whole number without its fraction.

Both tables are checked against the stub: a function that takes a buffer or an int and has no row here fails.
"""

from __future__ import annotations

import array
import ast
import ctypes
import gc
import mmap
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lipwire
from lipwire import _core
from lipwire.errors import InvalidArgument, LipwireError
from support.stripes import grey

SAMPLES = 480  # a block: what a shared ring takes, and every other taker, too
PCM: Any = (np.sin(np.arange(SAMPLES) / 7) * 9000).astype("<i2")
FRAME = b"\x81\x84\1\2\3\4abcd"  # a WebSocket's, of text
PACKET = _core.OpusEncoder(48000).encode(bytes(1920))[0]


def ring() -> Callable[[Any], Any]:
    writer = _core.SharedWriter(0, 0)
    reader = _core.SharedReader(writer)

    def take(pcm: Any) -> bytes:
        writer.write_pcm(pcm, 0)
        return bytes(reader.read_pcm() or b"")

    return take


def performance() -> Callable[[Any], Any]:
    performer = _core.Performer(None)

    def take(pcm: Any) -> list[Any]:
        performer.write(pcm, 48000)
        performer.end()
        return [(performer.tick(), performer.read_pcm())[1] for _ in range(10)]

    return take


def net() -> _core.Net:
    return _core.Net(64, manual=True)


def connection(net: _core.Net | None = None, **options: Any) -> _core.Connection:
    """With one stream, of sound."""
    made = _core.Connection(net or _core.Net(64, manual=True), **options)
    made.stream("audio", 1, 0, 48000, cname="c", first=(0, 0), history_ms=0)
    return made


def sent(call: Callable[[_core.Connection, _core.Group, Any], Any]) -> Callable[[Any], Any]:
    """The datagram that comes of a call."""

    def take(data: Any) -> bytes:
        net = _core.Net(64, manual=True)
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with here, there:
            one, group = connection(net, fd=here.fileno()), _core.Group(net, "audio")
            group.add(one, 0)
            call(one, group, data)
            net.run(0)
            return there.recv(2048)

    return take


def rows(extracted: Any) -> bytes:
    return np.asarray(extracted).tobytes()


def writer(**settings: Any) -> _core.AtlasWriter:
    """Of an atlas of one picture, a macroblock."""
    values: dict[str, Any] = {"width": 16, "height": 16, "fps": (25, 1)} | settings
    made = _core.AtlasWriter(**values)
    made.add_stripe("static", 1)
    return made


def packed(modes: Any = 1, static: tuple[Any, Any] = (0, 0), noted: Any = None, **settings: Any) -> _core.Atlas:
    made = writer(**settings)
    made.add_slice(0, b"\x27", 8, 26, _core.SLICE_I)
    made.set_static(*static)
    made.add_segment(modes, [(np.zeros(_core.AXES, np.int16), True, [])])
    return _core.Atlas(made.pack(noted))


def patched(box: Any = b"\x27", columns: Any = 1, qp: Any = 0) -> Any:
    """One macroblock in the place of another one that is skipped (mb_skip_run: 1)."""
    around, inside = (b"\x40", 3, 26, _core.SLICE_P), (box, 8, 26, _core.SLICE_I)
    return _core.patch_slice(around, inside, (columns, 1), (0, 0, 1, 1), None, qp)


GREY = _core.Atlas(grey())
GREY_SLICE = _core.nal_split(_core.Stitcher(GREY).unit(0, (0,), True))[2]

# Everything that takes PCM16 mono, and everything that takes bytes which are no PCM16.
PCM_TAKERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "Resampler.process": lambda: _core.Resampler(16000, 48000).process,
    "VisemeExtractor.process": lambda: lambda x: rows(_core.VisemeExtractor().process(x)),
    "VisemeExtractor.process_channels": lambda: lambda x: rows(_core.VisemeExtractor().process_channels(x)),
    "VisemeExtractorBatch.process_many": lambda: (
        lambda x: [rows(r) for r in _core.VisemeExtractorBatch(2).process_many([PCM, x])]
    ),
    "VisemeExtractorBatch.process_channels_many": lambda: (
        lambda x: [rows(r) for r in _core.VisemeExtractorBatch(2).process_channels_many([None, x])]
    ),
    "Performer.write": performance,
    "SharedWriter.write_pcm": ring,
    "pcm_bytes": lambda: _core.pcm_bytes,
    "ulaw_encode": lambda: _core.ulaw_encode,
    "alaw_encode": lambda: _core.alaw_encode,
    "G722Encoder.encode": lambda: _core.G722Encoder().encode,
    "G722EncoderBatch.encode_many": lambda: lambda x: _core.G722EncoderBatch(2).encode_many([PCM.tobytes(), x]),
    "OpusEncoder.encode": lambda: _core.OpusEncoder(48000, frame_ms=10).encode,
}
BYTE_TAKERS: dict[str, tuple[Callable[[], Callable[[Any], Any]], bytes]] = {
    "ulaw_decode": (lambda: _core.ulaw_decode, bytes(range(256))),
    "alaw_decode": (lambda: _core.alaw_decode, bytes(range(256))),
    "G722Decoder.decode": (lambda: _core.G722Decoder().decode, bytes(range(256))),
    "G722DecoderBatch.decode_many": (lambda: lambda x: _core.G722DecoderBatch(2).decode_many([x, None]), bytes(64)),
    "opus_parse": (lambda: lambda x: _core.opus_parse(x).frames, PACKET),
    "opus_pack": (lambda: lambda x: _core.opus_pack([x]), PACKET),
    "opus_split": (lambda: _core.opus_split, PACKET),
    "opus_pad": (lambda: lambda x: _core.opus_pad(x, 200), PACKET),
    "opus_unpad": (lambda: _core.opus_unpad, PACKET),
    "OpusDecoder.decode": (lambda: _core.OpusDecoder().decode, PACKET),
    "base64_decode": (lambda: _core.base64_decode, b"QUJDRA=="),
    "pcm8_decode": (lambda: _core.pcm8_decode, bytes(range(256))),
    "JitterBuffer.put": (lambda: lambda x: _core.JitterBuffer("pcmu").put(x, 0), b"\x80" + bytes(171)),
    "JitterBuffer.put_payload": (lambda: lambda x: _core.JitterBuffer("pcmu").put_payload(0, 0, x, 0), bytes(160)),
    "nal_split": (lambda: _core.nal_split, b"\0\0\1\x67ab\0\0\0\1\x68cd\0"),
    "slice_payload": (lambda: lambda x: _core.slice_payload(x, GREY.sps, GREY.pps), GREY_SLICE),
    "patch_slice": (lambda: lambda x: patched(box=x), b"\x27" + bytes(7)),
    "AtlasWriter": (lambda: lambda x: packed(note=x).note, bytes(range(256))),
    "AtlasWriter.pack": (lambda: lambda x: packed(noted=x, note=b"before").note, bytes(range(256))),
    "AtlasWriter.add_slice": (lambda: lambda x: writer().add_slice(0, x, 64, 26, _core.SLICE_I), bytes(range(8))),
    "Atlas": (lambda: lambda x: _core.Atlas(x).nodes, grey()),
    "MotionEncoder.sound": (lambda: lambda x: _core.MotionEncoder.sound(480, 1, x), bytes(range(256))),
    "MotionDecoder.put": (lambda: _core.MotionDecoder().put, _core.MotionEncoder.event(1, 2, 3, "state", "idle")),
    "Connection.send": (lambda: sent(lambda one, _, data: one.send(0, data, 0)), bytes(range(256))),
    "Connection.forward": (lambda: sent(lambda one, _, data: one.forward(data)), bytes(range(256))),
    "Connection.rtcp": (lambda: lambda data: connection().rtcp(data), bytes(range(256))),
    "Group.send": (lambda: sent(lambda _, group, data: group.send(data, 0)), bytes(range(256))),
    "TextFrames.text": (lambda: lambda x: _core.TextFrames(1000).text(x, 0, 10), FRAME),
    "TextFrames.others": (lambda: lambda x: _core.TextFrames(2).others(x, 100), FRAME),
}


def mapped(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory.write(data)
    return memory


def raw(data: bytes) -> dict[str, Any]:
    """The bytes as everything that says no more of them than that they are bytes."""
    odd = memoryview(bytearray(b"\0" + data))[1:]
    return {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "odd address": odd,
        "memoryview of b": memoryview(data).cast("b"),
        "memoryview of c": memoryview(data).cast("c"),
        "array of B": array.array("B", data),
        "mmap": mapped(data),
        "uint8": np.frombuffer(data, np.uint8),
        "uint8 (n, 1)": np.frombuffer(data, np.uint8).reshape(-1, 1),
        "ctypes": (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
        "read-only": memoryview(bytearray(data)).toreadonly(),
    }


TAKEN: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "int16": lambda x: x,
    "int16, read-only": lambda x: np.frombuffer(x.tobytes(), np.int16),
    "<i2": lambda x: x.astype("<i2"),
    "(n, 1)": lambda x: x.reshape(-1, 1),
    "(1, n)": lambda x: x.reshape(1, -1),
    "Fortran order (n, 1)": lambda x: np.asfortranarray(x.reshape(-1, 1)),
    "array of h": lambda x: array.array("h", x.tobytes()),
    "memoryview of h": lambda x: memoryview(x.tobytes()).cast("h"),
    "memoryview of @h": lambda x: memoryview(x.tobytes()).cast("@h"),
    "ctypes": lambda x: (ctypes.c_int16 * len(x)).from_buffer_copy(x.tobytes()),
    "a slice": lambda x: np.concatenate([x, x])[: len(x)],
}
# Each has as many bytes as a taker wants, so that nothing but the format is wrong; with what the refusal has to say.
REFUSED: dict[str, tuple[Callable[[np.ndarray[Any, Any]], Any], str]] = {
    "float32": (lambda x: (x[: len(x) // 2] / 32768).astype("f4"), r"float32 .*\(x \* 32767\)\.clip"),
    "float64": (lambda x: x[: len(x) // 4] / 32768, r"float64 .*\(x \* 32767\)\.clip"),
    "float16": (lambda x: (x / 32768).astype("f2"), "float16 .*clip"),
    "array of f": (lambda x: array.array("f", [0.5] * (len(x) // 2)), "float32 .*clip"),
    "memoryview of d": (lambda x: memoryview(array.array("d", [0.5] * (len(x) // 4))), "float64 .*clip"),
    "int32": (lambda x: x[: len(x) // 2].astype("i4"), r"int32 .*astype\('<i2'\)"),
    "int64": (lambda x: x[: len(x) // 4].astype("i8"), r"int64 .*astype\('<i2'\)"),
    "int8": (lambda x: x.view("i1"), r"int8 .*astype\('<i2'\)"),
    "uint16": (lambda x: x.view("u2"), "uint16 .*0x8000"),
    "array of H": (lambda x: array.array("H", x.tobytes()), "uint16"),
    "big-endian int16": (lambda x: x.astype(">i2"), r"big-endian int16 .*astype\('<i2'\)"),
    "complex": (lambda x: x[: len(x) // 4].astype("c8"), "complex64"),
    "bool": (lambda x: np.ones(2 * len(x), bool), "bool"),
    "record": (lambda x: x.view([("left", "<i2"), ("right", "<i2")]), "PCM16 .*is wanted"),
    "every second": (lambda x: np.repeat(x, 2)[::2], "not contiguous.*ascontiguousarray"),
    "backwards": (lambda x: x[::-1], "not contiguous"),
    "a column": (lambda x: np.stack([x, x], axis=1)[:, 0], "not contiguous"),
    "stereo": (lambda x: x.reshape(-1, 2), r"shape \(240, 2\).*one channel.*mean\(axis=1\)"),
    "planar stereo": (lambda x: x.reshape(2, -1), r"shape \(2, 240\).*one channel"),
    "three dimensions": (lambda x: x.reshape(2, 2, -1), r"shape \(2, 2, 120\)"),
    "an odd byte": (lambda x: x.tobytes()[:-1], "even number of bytes|multiple of"),
}


@pytest.mark.parametrize("taker", PCM_TAKERS)
def test_pcm_is_taken_as_bytes_and_as_int16(taker: str) -> None:
    make = PCM_TAKERS[taker]
    expected = make()(PCM.tobytes())
    for form, value in raw(PCM.tobytes()).items():
        assert make()(value) == expected, form
    for form, convert in TAKEN.items():
        assert make()(convert(PCM)) == expected, form


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("taker", PCM_TAKERS)
def test_what_is_no_pcm_is_refused(taker: str, form: str) -> None:
    convert, message = REFUSED[form]
    take, value = PCM_TAKERS[taker](), convert(PCM)
    with pytest.raises(InvalidArgument, match=message) as caught:
        take(value)
    assert isinstance(caught.value, ValueError)
    assert take(PCM) == PCM_TAKERS[taker]()(PCM), "a refusal takes nothing"


@pytest.mark.parametrize("taker", BYTE_TAKERS)
def test_bytes_are_taken_and_nothing_else(taker: str) -> None:
    make, data = BYTE_TAKERS[taker]
    expected = make()(data)
    for form, value in raw(data).items():
        assert make()(value) == expected, form
    count = len(data) // 8 * 8
    wrong = (np.zeros(count // np.dtype(t).itemsize, t) for t in ("f4", "f8", "i2", ">i2", "u2", "i4", "i1", "?", "c8"))
    for value in (*wrong, array.array("f", [0.5]), np.zeros(64, np.uint8)[::2], np.zeros((4, 4), np.uint8)):
        with pytest.raises(InvalidArgument, match=r"items; .* is .*bytes|not contiguous|shape \(4, 4\)"):
            make()(value)


def test_the_hint_for_floats_gives_the_sound_that_was_meant() -> None:
    x: Any = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0], np.float32)
    with pytest.raises(InvalidArgument) as caught:
        lipwire.Resampler(48000, 48000).process(x)
    code = str(caught.value).split(", ")[-2:]
    expression = ", ".join(code).removesuffix(" makes that")
    assert eval(expression, {"x": x}).tolist() == [0, 16383, -16383, 32767, -32767, 32767, -32768]


STEREO: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "Resampler.process": lambda: _core.Resampler(16000, 48000, channels=2).process,
    "OpusEncoder.encode": lambda: _core.OpusEncoder(48000, 2, frame_ms=2.5).encode,
}


@pytest.mark.parametrize("taker", STEREO)
def test_stereo_is_interleaved_or_two_columns(taker: str) -> None:
    make = STEREO[taker]
    expected = make()(PCM.tobytes())
    for value in (PCM, PCM.reshape(-1, 2), memoryview(PCM.reshape(-1, 2))):
        assert make()(value) == expected
    for value in (PCM.reshape(2, -1), PCM.reshape(-1, 1), PCM.reshape(1, -1), PCM.reshape(-1, 4)):
        with pytest.raises(InvalidArgument, match=r"2 channels are wanted, \(n, 2\)"):
            make()(value)
    with pytest.raises(InvalidArgument, match="not contiguous"):
        make()(PCM.reshape(2, -1).T)


DTYPES = "? b B h H i I l L q Q e f d F D >h <h >H S1 S2 U1 V2"


@settings(max_examples=60, deadline=None)
@given(dtype=st.sampled_from(DTYPES.split()), count=st.integers(0, 40))
def test_only_int16_and_bytes_get_through(dtype: str, count: int) -> None:
    value: Any = np.zeros(count, dtype)
    good = value.dtype in (np.dtype("<i2"), np.dtype("u1")) and value.nbytes % 2 == 0
    for take in (_core.ulaw_encode, lipwire.Resampler(8000, 8000).process):
        if good:
            take(value)
        else:
            with pytest.raises(InvalidArgument):
                take(value)


def test_nothing_is_held_after_a_refusal() -> None:
    for taker, make in PCM_TAKERS.items():
        for held in (bytearray(3), bytearray(PCM.tobytes())):
            try:
                make()(held if len(held) > 3 else memoryview(held))
            except InvalidArgument:
                assert len(held) == 3
            gc.collect()
            held.append(0)  # a BufferError would say that somebody still looks
        block = np.zeros(240, np.float32)
        before = sys.getrefcount(block)
        with pytest.raises(InvalidArgument):
            make()(block)
        assert sys.getrefcount(block) == before, taker


def test_pieces_that_a_generator_lets_go_of_stay_until_they_are_packed() -> None:
    def pieces() -> Iterator[bytes]:
        for i in range(3):
            yield bytes([PACKET[0]]) + bytes([i]) * 64
            _ = [bytes(65) for _ in range(8)]  # would take the place of what was freed

    packed = _core.opus_parse(_core.opus_pack(pieces()))
    assert packed.frames == tuple(bytes([i]) * 64 for i in range(3))


# ------------------------------------------------------------------------------------------------------ whole numbers


def frame() -> _core.Frame:
    return _core.Frame(64, 36)


def moving(**options: Any) -> _core.MotionEncoder:
    return _core.MotionEncoder(["azure"], **{"fps": (25, 1)} | options)


def avatar(**changed: Any) -> _core.NativeAvatar:
    values = {"width": 64, "height": 36} | changed
    return _core.NativeAvatar(values["width"], values["height"], [np.zeros((36, 64, 4), np.uint8)], [])


def canvas() -> _core.Canvas:
    """Of an avatar with a few layers, drawn."""
    drawn = _core.Canvas(lipwire.Avatar.load("ohm").at(64, 36))
    drawn.draw([0] * 15, [0] * 15)
    return drawn


def stream(ssrc: int = 2, payload_type: int = 96, clock_rate: int = 48000, **options: Any) -> int:
    return connection().stream("vp8", ssrc, payload_type, clock_rate, cname="c", **options)


class grouped:
    """A group, and a connection that may join it."""

    def __init__(self) -> None:
        self.net = net()
        self.group, self.one = _core.Group(self.net, "audio"), connection(self.net)

    def add(self, stream: int) -> None:
        self.group.add(self.one, stream)

    def remove(self, stream: int) -> None:
        self.group.remove(self.one, stream)


# "function:parameter" -> what calls it with that parameter, and a value that it takes.
WHOLE: dict[str, tuple[Callable[[Any], Any], int]] = {
    "check_size:width": (lambda n: _core.check_size(n, 36), 64),
    "check_size:height": (lambda n: _core.check_size(64, n), 36),
    "Resampler:in_rate": (lambda n: _core.Resampler(n, 48000), 16000),
    "Resampler:out_rate": (lambda n: _core.Resampler(48000, n), 16000),
    "Resampler:channels": (lambda n: _core.Resampler(16000, 48000, channels=n), 2),
    "VisemeExtractorBatch:sessions": (lambda n: _core.VisemeExtractorBatch(n), 2),
    "VisemeExtractorBatch.reset:session": (lambda n: _core.VisemeExtractorBatch(2).reset(n), 1),
    "NativeAvatar:width": (lambda n: avatar(width=n), 64),
    "NativeAvatar:height": (lambda n: avatar(height=n), 36),
    "Canvas.shown:layer": (lambda n: canvas().shown(n), 2),
    "Frame:width": (lambda n: _core.Frame(n, 36), 64),
    "Frame:height": (lambda n: _core.Frame(64, n), 36),
    "Frame.posed:sample": (lambda n: frame().posed(n), 480),
    "MotionEncoder:fps": (lambda n: moving(fps=(n, 1)), 25),
    "MotionEncoder:earlier": (lambda n: moving(earlier=n), 2),
    "MotionEncoder:id": (lambda n: moving(id=n), 255),
    "MotionEncoder.encode:sample": (lambda n: moving().encode(frame(), sample=n), 1920),
    "MotionEncoder.encode:generation": (lambda n: moving().encode(frame(), generation=n), 2),
    "MotionEncoder.keep:sample": (lambda n: moving().keep(frame(), sample=n), 1920),
    "MotionEncoder.keep:generation": (lambda n: moving().keep(frame(), generation=n), 2),
    "MotionEncoder.encode_values:sample": (lambda n: moving().encode_values(n, 0, True, [7]), 1920),
    "MotionEncoder.encode_values:generation": (lambda n: moving().encode_values(0, n, True, [7]), 2),
    "MotionEncoder.keep_values:sample": (lambda n: moving().keep_values(n, 0, True, [7]), 1920),
    "MotionEncoder.keep_values:generation": (lambda n: moving().keep_values(0, n, True, [7]), 2),
    "MotionEncoder.event:number": (lambda n: _core.MotionEncoder.event(n, 0, 0, "clock"), 1),
    "MotionEncoder.event:sample": (lambda n: _core.MotionEncoder.event(1, n, 0, "clock"), 480),
    "MotionEncoder.event:generation": (lambda n: _core.MotionEncoder.event(1, 0, n, "clock"), 2),
    "MotionEncoder.sound:sample": (lambda n: _core.MotionEncoder.sound(n, 1, b""), 480),
    "MotionEncoder.sound:codec": (lambda n: _core.MotionEncoder.sound(0, n, b""), 2),
    "Frame.scaled:width": (lambda n: frame().scaled(n, 36), 32),
    "Frame.scaled:height": (lambda n: frame().scaled(64, n), 18),
    "Sprite.scaled:width": (lambda n: _core.Sprite(np.zeros((8, 8, 4), np.uint8)).scaled(n, 8), 5),
    "Sprite.scaled:height": (lambda n: _core.Sprite(np.zeros((8, 8, 4), np.uint8)).scaled(8, n), 5),
    "Compositor.fill:rgb": (lambda n: _core.Compositor(frame()).fill((n, 0, 0)), 200),
    "Compositor.chroma_key:key": (lambda n: _core.Compositor.chroma_key(np.zeros((2, 2, 4), np.uint8), (n, 0, 0)), 9),
    "TextFrames:limit": (lambda n: _core.TextFrames(n), 1000),
    "TextFrames.text:start": (lambda n: _core.TextFrames(9).text(FRAME, n, 10), 3),
    "TextFrames.text:end": (lambda n: _core.TextFrames(9).text(FRAME, 0, n), 7),
    "TextFrames.others:most": (lambda n: _core.TextFrames(2).others(FRAME, n), 7),
    "Performer:fps": (lambda n: _core.Performer(None, (n, 1)), 25),
    "Performer:frame_slots": (lambda n: _core.Performer(None, frame_slots=n), 4),
    "Performer:seed": (lambda n: _core.Performer(None, seed=n), 7),
    "Performer:size": (lambda n: _core.Performer(None, size=(n, 36)), 64),
    "Performer.write:rate": (lambda n: _core.Performer(None).write(PCM, n), 16000),
    "Performer.write:now_ns": (lambda n: _core.Performer(None).write(PCM, 16000, n), 1),
    "Performer:batch": (lambda n: _core.Performer(None, batch=n), 3),
    "Performer.drain:most": (lambda n: _core.Performer(None).drain(n), 3),
    "Performer.look:what": (lambda n: _core.Performer(None).look(n), 3),
    "Performer.set:setting": (lambda n: _core.Performer(None).set(n, 0), 1),
    "Performer.set:value": (lambda n: _core.Performer(None).set(0, n), 1),
    "Performer.tick:now_ns": (lambda n: _core.Performer(None).tick(n), 10**12),
    "SharedWriter:width": (lambda n: _core.SharedWriter(n, 36), 64),
    "SharedWriter:height": (lambda n: _core.SharedWriter(64, n), 36),
    "SharedWriter:fps": (lambda n: _core.SharedWriter(64, 36, (n, 1)), 30),
    "SharedWriter:slots": (lambda n: _core.SharedWriter(64, 36, slots=n), 4),
    "SharedWriter:keep": (lambda n: _core.SharedWriter(64, 36, keep=n), 2),
    "SharedWriter:pcm_blocks": (lambda n: _core.SharedWriter(0, 0, pcm_blocks=n), 64),
    "SharedWriter.write_pcm:sample": (lambda n: _core.SharedWriter(0, 0).write_pcm(PCM, n), 480),
    "SharedWriter.write_frame:sample": (lambda n: _core.SharedWriter(64, 36).write_frame(frame(), n), 480),
    "SharedWriter.retire:sample": (lambda n: _core.SharedWriter(64, 36).retire(n), 480),
    "SharedReader.seek:sample": (lambda n: _core.SharedReader(_core.SharedWriter(0, 0)).seek(n), 480),
    "Engine:max_sessions": (lambda n: _core.Engine(n).close(), 3),
    "G722Encoder:bitrate": (lambda n: _core.G722Encoder(n), 56000),
    "G722Decoder:bitrate": (lambda n: _core.G722Decoder(n), 56000),
    "G722EncoderBatch:channels": (lambda n: _core.G722EncoderBatch(n), 3),
    "G722EncoderBatch:bitrate": (lambda n: _core.G722EncoderBatch(3, n), 48000),
    "G722EncoderBatch.reset:channel": (lambda n: _core.G722EncoderBatch(3).reset(n), 2),
    "G722DecoderBatch:channels": (lambda n: _core.G722DecoderBatch(n), 3),
    "G722DecoderBatch:bitrate": (lambda n: _core.G722DecoderBatch(3, n), 48000),
    "G722DecoderBatch.reset:channel": (lambda n: _core.G722DecoderBatch(3).reset(n), 2),
    "JitterBuffer:sample_rate": (lambda n: _core.JitterBuffer("l16", sample_rate=n), 24000),
    "JitterBuffer:clock_rate": (lambda n: _core.JitterBuffer("l16", clock_rate=n), 48000),
    "JitterBuffer:payload_type": (lambda n: _core.JitterBuffer("l16", payload_type=n), 96),
    "JitterBuffer:comfort_noise_type": (lambda n: _core.JitterBuffer("l16", comfort_noise_type=n), 13),
    "JitterBuffer:event_type": (lambda n: _core.JitterBuffer("l16", event_type=n), 101),
    "JitterBuffer:min_delay_ms": (lambda n: _core.JitterBuffer("l16", min_delay_ms=n), 40),
    "JitterBuffer:max_delay_ms": (lambda n: _core.JitterBuffer("l16", max_delay_ms=n), 400),
    "JitterBuffer:max_packets": (lambda n: _core.JitterBuffer("l16", max_packets=n), 50),
    "JitterBuffer.put:now_ns": (lambda n: _core.JitterBuffer("pcmu").put(bytes(172), n), 10**12),
    "JitterBuffer.put_payload:sequence": (lambda n: _core.JitterBuffer("pcmu").put_payload(n, 0, bytes(160), 0), 7),
    "JitterBuffer.put_payload:timestamp": (lambda n: _core.JitterBuffer("pcmu").put_payload(0, n, bytes(160), 0), 160),
    "JitterBuffer.put_payload:now_ns": (lambda n: _core.JitterBuffer("pcmu").put_payload(0, 0, bytes(160), n), 10**12),
    "JitterBuffer.get:now_ns": (lambda n: _core.JitterBuffer("pcmu").get(n), 10**12),
    "JitterBuffer.get_into:now_ns": (lambda n: _core.JitterBuffer("pcmu").get_into(bytearray(160), n), 10**12),
    "opus_pack:toc": (lambda n: _core.opus_pack([b"abc"], toc=n), 8),
    "opus_pack:size": (lambda n: _core.opus_pack([PACKET], size=n), 300),
    "opus_pad:size": (lambda n: _core.opus_pad(PACKET, n), 300),
    "OpusDecoder:rate": (lambda n: _core.OpusDecoder(n), 48000),
    "OpusDecoder:channels": (lambda n: _core.OpusDecoder(48000, n), 2),
    "OpusDecoder.decode:samples": (lambda n: _core.OpusDecoder().decode(PACKET, fec=True, samples=n), 960),
    "OpusDecoder.conceal:samples": (lambda n: _core.OpusDecoder().conceal(n), 960),
    "OpusEncoder:rate": (lambda n: _core.OpusEncoder(n), 16000),
    "OpusEncoder:channels": (lambda n: _core.OpusEncoder(48000, n), 2),
    "OpusEncoder:bitrate": (lambda n: _core.OpusEncoder(bitrate=n), 16000),
    "OpusEncoder:packet_loss": (lambda n: _core.OpusEncoder(packet_loss=n), 10),
    "OpusEncoder:complexity": (lambda n: _core.OpusEncoder(complexity=n), 5),
    "AtlasWriter:width": (lambda n: writer(width=n), 64),
    "AtlasWriter:height": (lambda n: writer(height=n), 64),
    "AtlasWriter:fps": (lambda n: writer(fps=(n, 1)), 25),
    "AtlasWriter:mouths": (lambda n: writer(mouths=n), 3),
    "AtlasWriter.add_stripe:rows": (lambda n: writer(height=64).add_stripe("static", n), 2),
    "AtlasWriter.add_stripe:refresh": (
        lambda n: writer(height=32).add_stripe("choice", 1, values=np.zeros((1, _core.AXES), np.int16), refresh=n),
        2,
    ),
    "AtlasWriter.add_slice:stripe": (lambda n: writer().add_slice(n, b"\x27", 8, 26, _core.SLICE_I), 0),
    "AtlasWriter.add_slice:bit_length": (lambda n: writer().add_slice(0, b"\x27", n, 26, _core.SLICE_I), 8),
    "AtlasWriter.add_slice:qp": (lambda n: writer().add_slice(0, b"\x27", 8, n, _core.SLICE_I), 26),
    "AtlasWriter.add_slice:slice_type": (lambda n: writer().add_slice(0, b"\x27", 8, 26, n), _core.SLICE_I),
    "AtlasWriter.set_static:stripe": (lambda n: packed(static=(n, 0)), 0),
    "AtlasWriter.set_static:slice": (lambda n: packed(static=(0, n)), 0),
    "AtlasWriter.add_segment:modes": (packed, 3),
    "patch_slice:size": (lambda n: patched(columns=n), 1),
    "patch_slice:qp": (lambda n: patched(qp=n), 30),
    "Atlas.anchor:node": (lambda n: GREY.anchor(n), 2),
    "Atlas.head:node": (lambda n: GREY.head(n), 2),
    "Atlas.choose:mouth": (lambda n: GREY.choose([0] * _core.AXES, n), 2),
    "Stitcher.unit:node": (lambda n: _core.Stitcher(GREY).unit(n, (0,), True), 2),
    "Stitcher.unit:variants": (lambda n: _core.Stitcher(GREY).unit(0, (n,), True), 1),
    "RateMeter.add:declared": (lambda n: _core.RateMeter(print).add(n, 480, 0.0), 16000),
    "RateMeter.add:samples": (lambda n: _core.RateMeter(print).add(16000, n, 0.0), 480),
    "Net:packets": (lambda n: _core.Net(n, manual=True), 64),
    "Net:wall_ns": (lambda n: _core.Net(64, manual=True, wall_ns=n), 10**12),
    "Net.run:now_ns": (lambda n: net().run(n), 10**12),
    "Connection.rtcp_route:fd": (lambda n: connection().rtcp_route(n, None), -1),
    "Connection:fd": (lambda n: _core.Connection(net(), n), -1),
    "Connection:srtp_protect": (lambda n: _core.Connection(net(), srtp_protect=n), 0),
    "Connection:srtp_protect_rtcp": (lambda n: _core.Connection(net(), srtp_protect_rtcp=n), 0),
    "Connection:context": (lambda n: _core.Connection(net(), context=n), 0),
    "Connection:start_bitrate": (lambda n: _core.Connection(net(), start_bitrate=n), 100_000),
    "Connection:min_bitrate": (lambda n: _core.Connection(net(), min_bitrate=n), 10_000),
    "Connection:max_bitrate": (lambda n: _core.Connection(net(), max_bitrate=n), 1_000_000),
    "Connection.route:fd": (lambda n: connection().route(n, None), -1),
    "Connection.route:channel": (lambda n: connection().route(-1, None, n), 0x4000),
    "Connection.stream:ssrc": (lambda n: stream(ssrc=n), 2),
    "Connection.stream:payload_type": (lambda n: stream(payload_type=n), 96),
    "Connection.stream:clock_rate": (lambda n: stream(clock_rate=n), 48000),
    "Connection.stream:abs_send_time_id": (lambda n: stream(abs_send_time_id=n), 3),
    "Connection.stream:twcc_id": (lambda n: stream(twcc_id=n), 4),
    "Connection.stream:rtx_ssrc": (lambda n: stream(rtx_ssrc=n), 5),
    "Connection.stream:rtx_payload_type": (lambda n: stream(rtx_payload_type=n), 97),
    "Connection.stream:mode": (lambda n: stream(mode=n), 1),
    "Connection.stream:mtu": (lambda n: stream(mtu=n), 1000),
    "Connection.stream:history_ms": (lambda n: stream(history_ms=n), 100),
    "Connection.stream:first": (lambda n: stream(first=(n, 0)), 7),
    "Connection.send:stream": (lambda n: connection().send(n, b"x", 0), 0),
    "Connection.send:sample": (lambda n: connection().send(0, b"x", n), 480),
    "Connection.send:duration": (lambda n: connection().send(0, b"x", 0, duration=n), 960),
    "Group:mode": (lambda n: _core.Group(net(), "h264", mode=n), 0),
    "Group:mtu": (lambda n: _core.Group(net(), "h264", mtu=n), 1000),
    "Group.add:stream": (lambda n: grouped().add(n), 0),
    "Group.remove:stream": (lambda n: grouped().remove(n), 0),
    "Group.send:sample": (lambda n: grouped().group.send(b"x", n), 480),
    "Group.send:duration": (lambda n: grouped().group.send(b"x", 0, duration=n), 960),
}
OPTIONAL = {
    "MotionEncoder.encode:generation",
    "MotionEncoder.encode:sample",
    "MotionEncoder.keep:generation",
    "MotionEncoder.keep:sample",
    "JitterBuffer:clock_rate",
    "JitterBuffer:comfort_noise_type",
    "JitterBuffer:event_type",
    "JitterBuffer:payload_type",
    "JitterBuffer:sample_rate",
    "Performer.write:now_ns",
    "SharedReader.seek:sample",
    "SharedWriter.write_frame:sample",
    "opus_pack:toc",
}  # None: the default


@pytest.mark.parametrize("parameter", WHOLE)
def test_a_fraction_is_refused_by_name(parameter: str) -> None:
    call, good = WHOLE[parameter]
    value: Any
    bad: Any
    for value in (good, np.int32(good) if good < 2**31 else good, np.int64(good), float(good), np.float32(good)):
        if int(value) == good:
            call(value)
    name = "colour" if parameter.partition(".")[0] == "Compositor" else parameter.partition(":")[2]
    name = {"size": "width|size"}.get(name, name)
    for bad in (good + 0.7, np.float32(0.5), float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match=f"({name}).* is a whole number, not"):
            call(bad)
    for bad in ("16000", None, 1j, [1]):
        if bad is None and parameter in OPTIONAL:
            continue
        with pytest.raises(TypeError, match=name):
            call(bad)
    for bad in (2**70, -(2**70)):
        with pytest.raises((InvalidArgument, LipwireError), match=f"({name}).* out of range"):
            call(bad)


def test_layers_are_whole_numbers() -> None:
    images: list[Any] = [np.zeros((36, 64, 4), np.uint8), np.zeros((8, 8, 4), np.uint8)]
    zeros = [0] * _core.AXES
    good: tuple[Any, ...] = (1, 1, _core.SELECT_FIXED, 0, 0, zeros, zeros, 0, 0, zeros)
    _core.NativeAvatar(64, 36, images, [good])
    for place, value in enumerate(good):
        wrong = [0.5, *zeros[1:]] if isinstance(value, list) else value + 0.5
        with pytest.raises(InvalidArgument, match="whole number"):
            _core.NativeAvatar(64, 36, images, [(*good[:place], wrong, *good[place + 1 :])])
    with pytest.raises(InvalidArgument, match="image 1: RGBA is uint8"):
        _core.NativeAvatar(64, 36, [images[0], images[1].astype(np.float32)], [good])
    with pytest.raises(InvalidArgument, match="mouth_coords is int16"):
        _core.NativeAvatar(64, 36, images, [good], np.zeros((1, 2)), np.zeros((15, 2), np.int16))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- both tables


def parameters() -> Iterator[tuple[str, str, str]]:
    """Of every function in the stub: its name, the parameter, the annotation."""
    stub = Path(lipwire.__file__).with_name("_core.pyi")
    for node in ast.parse(stub.read_text()).body:
        owner = node.name + "." if isinstance(node, ast.ClassDef) else ""
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if not isinstance(function, ast.FunctionDef) or function.name == "__buffer__":
                continue
            name = owner[:-1] if function.name in ("__new__", "__init__") else owner + function.name
            for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
                if one.annotation is not None:
                    yield name, one.arg, ast.unparse(one.annotation)


def test_the_tables_have_every_function() -> None:
    takes_buffers = {name for name, _, kind in parameters() if "Buffer" in kind}
    assert takes_buffers == set(PCM_TAKERS) | set(BYTE_TAKERS)
    words = "int", "int | None", "tuple[int, int]", "tuple[int, int] | None", "Sequence[int]"
    takes_whole = {f"{name}:{argument}" for name, argument, kind in parameters() if kind in words}
    assert takes_whole == set(WHOLE)
