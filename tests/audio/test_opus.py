"""Opus: packets against libopus (its own functions, and what its encoder makes), decoder and encoder against PyAV's."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipwire.audio import opus
from lipwire.errors import BadData, BadState, InvalidArgument

RATES = (8000, 12000, 16000, 24000, 48000)


@cache
def libopus() -> ctypes.CDLL:
    """The library that lipwire.opus calls."""
    for path in opus._libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in ("opus_decoder_create", "opus_repacketizer_create"):
            getattr(library, name).restype = ctypes.c_void_p
        return library
    pytest.skip("no libopus")


@cache
def speech(seconds: float, rate: int = 48_000, channels: int = 1) -> bytes:
    """Like a voice: a buzz whose pitch and colour move, bursts of noise, and pauses. PCM16. Not so loud that libopus
    clips: it does that per packet, so that joined packets would differ by a bit."""
    n = round(seconds * rate)
    t = np.arange(n) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    voice = sum(np.sin(k * pitch) * np.exp(-(((k * 120 - 700 - 500 * np.sin(5 * t)) / 900) ** 2)) for k in range(1, 30))
    noise = np.random.default_rng(1).normal(size=n) * (np.sin(2 * np.pi * 1.3 * t) > 0.8)
    mono = (voice * 1000 + noise * 700) * (np.sin(2 * np.pi * 0.5 * t) > -0.5)
    both = np.stack([mono, np.roll(mono, 20) * 0.7], axis=1) if channels == 2 else mono[:, None]
    return np.clip(both, -32768, 32767).astype(np.int16).tobytes()


def pyav_encode(
    pcm: bytes, channels: int, frame_ms: float, bitrate: int, rate: int = 48_000, **options: Any
) -> list[bytes]:
    codec: Any = av.CodecContext.create("libopus", "w")
    layout = "stereo" if channels == 2 else "mono"
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = rate, layout, "s16", bitrate
    codec.options = {"frame_duration": f"{frame_ms:g}", **{key: str(value) for key, value in options.items()}}
    size = int(rate * frame_ms / 1000)
    samples = np.frombuffer(pcm, np.int16)
    packets = []
    for at in range(0, len(samples) // channels // size * size, size):
        part = samples[at * channels : (at + size) * channels].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, at
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def pyav_decode(packets: list[bytes], channels: int = 1, name: str = "libopus") -> bytes:
    codec: Any = av.CodecContext.create(name, "r")
    codec.format, codec.layout, codec.sample_rate = "s16", "stereo" if channels == 2 else "mono", 48_000
    if channels == 1 and name == "libopus":
        # RFC 8251, section 10: stereo that is decoded to mono does without phase inversion. libopus knows, FFmpeg does
        # not let it.
        codec.options = {"apply_phase_inv": "0"}
    return b"".join(f.to_ndarray().tobytes() for packet in packets for f in codec.decode(av.Packet(packet)))


def decode(packets: list[bytes], rate: int = 48_000, channels: int = 1) -> bytes:
    decoder = opus.OpusDecoder(rate, channels)
    return b"".join(decoder.decode(packet) for packet in packets)


def samples_of(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, np.int16).astype(np.float64)


KINDS: list[dict[str, Any]] = [
    {"application": application, "frame_ms": ms, "bitrate": bitrate, "channels": channels, "vbr": vbr}
    for (application, bitrate), ms, channels, vbr in itertools.product(
        (("voip", 12_000), ("voip", 24_000), ("audio", 64_000), ("lowdelay", 48_000)),
        (2.5, 5, 10, 20, 40, 60, 120),
        (1, 2),
        ("on", "off"),
    )
] + [
    {"application": "voip", "frame_ms": ms, "bitrate": bitrate, "channels": channels, "vbr": "on", **extra}
    for ms, bitrate, channels, extra in itertools.product(
        (10, 20, 40, 60), (16_000, 32_000), (1, 2), ({"fec": 1, "packet_loss": 25}, {"dtx": 1})
    )
]


@cache
def stream(number: int) -> list[bytes]:
    kind = dict(KINDS[number])
    channels = kind["channels"]
    pcm = speech(1.2, channels=channels)
    if kind.get("dtx"):
        pcm = pcm[: len(pcm) // 4] + bytes(48_000 * 2 * channels)
        encoder = opus.OpusEncoder(48_000, channels, kind["bitrate"], frame_ms=kind["frame_ms"], dtx=True)
        return encoder.encode(pcm)  # FFmpeg takes the option and sends silence all the same
    return pyav_encode(pcm, **kind)


def every_packet() -> Iterator[bytes]:
    for number in range(len(KINDS)):
        yield from stream(number)


# ------------------------------------------------------------------------------------------------------------- packets


@pytest.mark.parametrize("number", range(len(KINDS)), ids=lambda n: "-".join(str(v) for v in KINDS[n].values()))
def test_what_libopus_makes_is_parsed_and_rebuilt(number: int) -> None:
    kind, packets = KINDS[number], stream(number)
    for payload in packets:
        packet = opus.parse(payload)
        assert packet.samples == kind["frame_ms"] * 48
        assert packet.duration == packet.samples / 48_000
        assert packet.samples == packet.count * packet.frame_samples
        assert len(packet.frames) == packet.count
        assert bytes(packet) == payload
        assert len(packet) == len(payload)
        singles = opus.split(payload)
        assert [opus.parse(one).frames for one in singles] == [(frame,) for frame in packet.frames]
        rebuilt = opus.pack(singles)
        assert rebuilt == opus.pack(packet.frames, toc=packet.toc) == opus.unpad(payload) == opus.pack([packet])
        if packet.padding == 0 and packet.count != 1:
            assert rebuilt == payload
        assert opus.pad(rebuilt, len(payload)) == payload or packet.padding == 0
    # Joined packets are the same sound.
    together: list[bytes] = []
    for _, group in itertools.groupby(packets, key=lambda p: p[0] | 3):
        same = list(group)
        per = max(1, int(120 // kind["frame_ms"]))
        together += [opus.pack(same[at : at + per]) for at in range(0, len(same), per)]
    assert sum(opus.parse(p).samples for p in together) == sum(opus.parse(p).samples for p in packets)
    channels = kind["channels"]
    assert decode(together, channels=channels) == decode(packets, channels=channels)


def test_the_streams_are_of_every_kind() -> None:
    packets = [opus.parse(payload) for payload in every_packet()]
    assert {p.mode for p in packets} == {"silk", "hybrid", "celt"}
    assert {p.channels for p in packets} == {1, 2}
    assert {p.code for p in packets} >= {0, 1, 2, 3}
    assert {p.fec for p in packets} == {p.dtx for p in packets} == {p.vbr for p in packets} == {True, False}
    assert {p.bandwidth for p in packets} >= {"NB", "WB", "SWB", "FB"}
    assert {p.frame_samples for p in packets} == {120, 240, 480, 960, 1920, 2880}


def test_every_packet_as_libopus_sees_it() -> None:
    library = libopus()
    buffer = ctypes.create_string_buffer(9000)
    fec = 0
    for payload in every_packet():
        packet, n = opus.parse(payload), len(payload)
        if len(packet.frames[0]) != 1 and hasattr(library, "opus_packet_has_lbrr"):  # from 1.5 on
            assert packet.fec == library.opus_packet_has_lbrr(payload, n)
            fec += packet.fec
        ctypes.memmove(buffer, payload, n)
        length = library.opus_packet_unpad(buffer, n)
        assert buffer.raw[:length] == opus.unpad(payload)
        for more in (0, 1, 2, 255, 256, 700):
            ctypes.memmove(buffer, payload, n)
            assert library.opus_packet_pad(buffer, n, n + more) == 0
            assert buffer.raw[: n + more] == opus.pad(payload, n + more)
    assert fec > 20 or not hasattr(library, "opus_packet_has_lbrr")


def test_fec_and_dtx_are_where_they_were_asked_for() -> None:
    for number, kind in enumerate(KINDS):
        packets = [opus.parse(p) for p in stream(number)]
        if not kind.get("fec"):
            assert not any(p.fec for p in packets)
        elif kind["frame_ms"] == 20:
            assert sum(p.fec for p in packets) > len(packets) / 4
        if kind.get("dtx") and kind["frame_ms"] == 20:
            assert sum(p.dtx for p in packets) > len(packets) / 4
        if kind["application"] != "voip":
            assert not any(p.dtx for p in packets)


@pytest.mark.parametrize(
    ("packet", "rule"),
    [
        (b"", "R1"),
        (bytes(1277), "R2"),
        (b"\x01" + bytes(3), "R3"),
        (b"\x02", "R4"),
        (b"\x02\x05abcd", "R4"),
        (b"\x03\x00", "R5"),
        (b"\x0b\x07", "R5"),
        (b"\x03", "R6"),
        (b"\x03\x02abc", "R6"),
        (b"\x03\x41\xff\xff", "R6"),
        (b"\x03\x82\x05abcd", "R7"),
    ],
)
def test_each_rule_is_named(packet: bytes, rule: str) -> None:
    for call in (opus.parse, opus.split, opus.unpad, lambda p: opus.pad(p, 2000), lambda p: opus.pack([p, p])):
        with pytest.raises(BadData, match=rf"\({len(packet)} bytes\): {rule}: "):
            call(packet)
    with pytest.raises(BadData, match=rule):
        opus.OpusDecoder().decode(packet)


CODE_3 = st.builds(
    lambda toc, count, rest: bytes([toc | 3, count]) + rest,
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=1500),
)


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=100) | CODE_3)
def test_any_bytes_are_a_packet_or_bad_data(payload: bytes) -> None:
    try:
        packet = opus.parse(payload)
    except BadData as exc:
        assert any(f"R{rule}: " in str(exc) for rule in range(1, 8))
        return
    for again in (opus.pack(packet.frames, toc=packet.toc), opus.pack(opus.split(payload)), opus.pad(payload, 3000)):
        other = opus.parse(again)
        assert other.frames == packet.frames
        assert (other.toc | 3, other.dtx, other.fec) == (packet.toc | 3, packet.dtx, packet.fec)
        assert opus.unpad(again) == opus.unpad(payload)
    assert sum(map(len, packet.frames)) + packet.padding < len(payload)
    assert len(opus.unpad(payload)) <= len(payload)
    assert len(decode([payload])) == packet.samples * 2


def test_a_packet_object() -> None:
    packet = opus.parse(b"\x7d" + b"ab" * 30)
    assert repr(packet) == "<OpusPacket hybrid FB stereo, 2 x 20 ms, 61 bytes>"
    assert (packet.toc, packet.config, packet.mode, packet.bandwidth, packet.channels) == (0x7D, 15, "hybrid", "FB", 2)
    assert (packet.code, packet.vbr, packet.count, packet.frame_samples, packet.samples) == (1, False, 2, 960, 1920)
    assert packet.frames == (b"ab" * 15, b"ab" * 15)
    with pytest.raises(TypeError):
        opus.Packet()
    with pytest.raises(TypeError):
        memoryview(packet)[0] = 1
    with pytest.raises(TypeError):
        opus.parse("text")  # type: ignore[arg-type]
    # Whatever has bytes will do; what may change is copied.
    source = bytearray(b"\x08abc")
    copied = opus.parse(memoryview(source))
    source[1:] = b""
    assert copied.frames == (b"abc",)
    assert opus.parse(np.frombuffer(b"\x08abc", np.uint8)).frames == (b"abc",)
    assert opus.parse(opus.parse(b"\x08abc")).frames == (b"abc",)


def test_what_does_not_pack() -> None:
    for wrong in (
        lambda: opus.pack([]),
        lambda: opus.pack([b"\x08a", b"\x0ca"]),
        lambda: opus.pack([b"\x08a"] * 7),
        lambda: opus.pack([b"\x80"] * 49),
        lambda: opus.pack([b"\x08" + bytes(900), b"\x08a"], size=900),
        lambda: opus.pack([bytes(1276)], toc=8),
        lambda: opus.pack([b"a"], toc=256),
        lambda: opus.pack([b"a"], toc=-1),
        lambda: opus.pack([b"\x08a"], size=-1),
        lambda: opus.pad(b"\x08abc", 3),
    ):
        with pytest.raises(InvalidArgument):
            wrong()
    assert opus.pack([b"\x08ab", b"\x08c"]) == b"\x0a\x02abc"
    assert opus.pack([b"\x08ab", b"\x08c"], size=9) == b"\x0b\xc2\x02\x02abc\x00\x00"
    assert opus.pack([b"\x80"] * 48) == b"\x83\x30"


# ------------------------------------------------------------------------------------------------------------ decoding


@pytest.mark.parametrize("channels", [1, 2])
def test_decodes_as_pyav_does(channels: int) -> None:
    for number in range(0, len(KINDS), 3):
        packets = stream(number)
        assert decode(packets, channels=channels) == pyav_decode(packets, channels), KINDS[number]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_decodes_to_every_rate(rate: int, channels: int) -> None:
    packets = pyav_encode(speech(1.0), 1, 20, 24_000, application="voip")
    wide = samples_of(decode(packets))
    pcm = samples_of(decode(packets, rate, channels)).reshape(-1, channels)
    assert pcm.shape == (len(packets) * rate // 50, channels)
    step = 48_000 // rate
    low = wide[: len(wide) // step * step].reshape(-1, step).mean(axis=1)
    fits = [np.corrcoef(pcm[delay:, 0], low[: len(low) - delay])[0, 1] for delay in range(40)]
    assert max(fits) > 0.9


def test_concealment_is_that_of_libopus() -> None:
    library = libopus()
    packets = pyav_encode(speech(1.0), 1, 20, 24_000, application="voip")
    error = ctypes.c_int()
    peer = ctypes.c_void_p(library.opus_decoder_create(48_000, 1, ctypes.byref(error)))
    out = (ctypes.c_int16 * 5760)()
    decoder = opus.OpusDecoder()
    for number, payload in enumerate(packets):
        if number % 7 == 6:
            size = (0, 120, 480, 960, 1920, 5760)[number // 7 % 6]
            assert library.opus_decode(peer, None, 0, out, size or 960, 0) == (size or 960)
            assert decoder.conceal(size) == bytes(out)[: (size or 960) * 2]
        elif number % 7 == 3:
            assert library.opus_decode(peer, payload, len(payload), out, 960, 1) == 960
            assert decoder.decode(payload, fec=True) == bytes(out)[:1920]
        assert library.opus_decode(peer, payload, len(payload), out, 5760, 0) == 960
        assert decoder.decode(payload) == bytes(out)[:1920]
    library.opus_decoder_destroy(peer)
    # What it begins with: silence, as long as asked.
    assert opus.OpusDecoder(16_000, 2).conceal() == bytes(320 * 2 * 2)
    for samples in (-960, 1, 121, 5880):
        with pytest.raises(InvalidArgument):
            decoder.conceal(samples)
        with pytest.raises(InvalidArgument):
            decoder.decode(packets[0], fec=True, samples=samples)
    with pytest.raises(InvalidArgument):
        decoder.decode(packets[0], samples=960)


def test_fec_brings_back_what_was_lost() -> None:
    packets = pyav_encode(speech(4.0), 1, 20, 32_000, application="voip", fec=1, packet_loss=30)
    whole = samples_of(decode(packets)).reshape(-1, 960)
    errors: dict[bool, float] = {False: 0.0, True: 0.0}
    energy = 0.0
    for fec in (False, True):
        decoder = opus.OpusDecoder()
        for number in range(len(packets)):
            if number % 5 == 3 and opus.parse(packets[number + 1]).fec:
                pcm = decoder.decode(packets[number + 1], fec=True) if fec else decoder.conceal()
                errors[fec] += float(((samples_of(pcm) - whole[number]) ** 2).sum())
                energy += float((whole[number] ** 2).sum()) / 2
            else:
                decoder.decode(packets[number])
    assert energy > 1e9
    assert errors[True] < 0.4 * errors[False], (errors, energy)


def test_a_broken_packet_changes_nothing_and_reset_forgets() -> None:
    packets = pyav_encode(speech(0.6), 1, 20, 24_000, application="voip")
    decoder, undisturbed = opus.OpusDecoder(), opus.OpusDecoder()
    first = [decoder.decode(packet) for packet in packets]
    decoder.reset()
    for packet in packets:
        for broken in (b"", b"\x03", b"\xff" * 100):
            with pytest.raises(BadData):
                decoder.decode(broken)
        assert decoder.decode(bytearray(packet)) == undisturbed.decode(opus.parse(packet))
    decoder.reset()
    assert [decoder.decode(packet) for packet in packets] == first


def test_wrong_decoders() -> None:
    for arguments in ((44_100, 1), (0, 1), (48_000, 0), (48_000, 3)):
        with pytest.raises(InvalidArgument):
            opus.OpusDecoder(*arguments)
        with pytest.raises(InvalidArgument):
            opus.OpusEncoder(*arguments)


def test_threads() -> None:
    """Each with its own decoder: the same sound. All with one: right, or refused, never both at once."""
    packets = pyav_encode(speech(1.0), 1, 20, 24_000, application="voip")
    right, wrong, shared = decode(packets), [], opus.OpusDecoder()

    def work() -> None:
        for _ in range(3):
            if decode(packets) != right:
                wrong.append("different")
            for packet in packets:
                try:
                    if len(shared.decode(packet)) != 1920:
                        wrong.append("length")
                except BadState:
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ------------------------------------------------------------------------------------------------------------ encoding


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 40, 60, 80, 100, 120])
def test_encodes_every_format_as_pyav_does(rate: int, frame_ms: float) -> None:
    for channels, application in ((1, "voip"), (2, "audio"), (1, "lowdelay")):
        pcm = speech(0.6, rate, channels)
        if frame_ms < 10:
            application = "lowdelay"  # FFmpeg insists
        encoder = opus.OpusEncoder(rate, channels, 32_000, application, frame_ms)  # type: ignore[arg-type]
        packets = encoder.encode(pcm)
        assert packets == pyav_encode(pcm, channels, frame_ms, 32_000, rate, application=application, vbr="constrained")
        assert all(opus.parse(packet).samples == frame_ms * 48 for packet in packets)
        assert encoder.frame_samples == rate * frame_ms / 1000
        assert 0.002 < encoder.lookahead < 0.01


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=12), st.sampled_from([2.5, 10, 20, 60]), st.sampled_from([1, 2]))
def test_pieces_of_any_size_are_the_same_packets(sizes: list[int], frame_ms: float, channels: int) -> None:
    pcm = speech(0.3, channels=channels)[: sum(sizes) * 2]
    whole = opus.OpusEncoder(channels=channels, frame_ms=frame_ms, complexity=0)
    pieces = opus.OpusEncoder(channels=channels, frame_ms=frame_ms, complexity=0)
    want, got, at = whole.encode(pcm) + whole.flush(), [], 0
    for size in sizes:
        # Odd addresses too.
        got += pieces.encode(memoryview(b"x" + pcm[at : at + size * 2])[1:])
        at += size * 2
    got += pieces.flush()
    assert got == want
    assert pieces.flush() == []
    samples = -(-len(pcm) // (2 * channels))  # the last one of two channels may be half of one
    assert len(want) == (0 if not pcm else -(-(samples + 312) // pieces.frame_samples))
    assert pieces.encode(pcm) + pieces.flush() == want  # as new


def test_what_goes_in_comes_out() -> None:
    pcm = speech(0.5)
    encoder = opus.OpusEncoder(bitrate=64_000, application="audio")
    back = samples_of(decode(encoder.encode(pcm) + encoder.flush()))
    delay = round(encoder.lookahead * 48_000)
    sent = samples_of(pcm)
    assert len(back) >= len(sent) + delay
    assert np.corrcoef(back[delay : delay + len(sent)], sent)[0, 1] > 0.97


def test_encoder_options() -> None:
    pcm = speech(2.0)
    sizes = {len(packet) for packet in opus.OpusEncoder(vbr=False).encode(pcm)}
    assert sizes == {60}  # 24 kbit/s
    packets = opus.OpusEncoder(bitrate=32_000, fec=True, packet_loss=30).encode(pcm)
    assert sum(opus.parse(packet).fec for packet in packets) > len(packets) / 4
    packets = opus.OpusEncoder(dtx=True).encode(pcm[:48_000] + bytes(96_000))
    assert sum(opus.parse(packet).dtx for packet in packets) > 20
    assert len(b"".join(opus.OpusEncoder(bitrate=64_000).encode(pcm))) > 10_000
    assert opus.OpusEncoder(complexity=0).encode(pcm) != opus.OpusEncoder(complexity=10).encode(pcm)
    loudest = np.random.default_rng(1).integers(-32768, 32767, 5760 * 2, dtype=np.int16).tobytes()
    (packet,) = opus.OpusEncoder(channels=2, bitrate=510_000, application="audio", frame_ms=120).encode(loudest)
    assert 6000 < len(packet) <= 6 * 1277 + 2
    wrong: list[dict[str, Any]] = [
        {"bitrate": 5999},
        {"bitrate": 510_001},
        {"application": "music"},
        {"frame_ms": 30},
        {"frame_ms": float("nan")},
        {"packet_loss": 101},
        {"packet_loss": -1},
        {"complexity": 11},
        {"complexity": -1},
    ]
    for options in wrong:
        with pytest.raises(InvalidArgument):
            opus.OpusEncoder(**options)
    with pytest.raises(InvalidArgument):
        opus.OpusEncoder().encode(b"odd")


# ------------------------------------------------------------------------------------------------------ without libopus


def test_without_a_library_pyav_codes() -> None:
    """In a process of its own, where none is found."""
    script = """
import sys
from lipwire import opus
from lipwire.errors import BadData, BadState
opus._libraries = lambda: iter(["/nowhere/libopus.so", "libm.so.6"])
pcm = sys.stdin.buffer.read()
encoder = opus.OpusEncoder(vbr=False)
packets = encoder.encode(pcm) + encoder.flush()
again = encoder.encode(pcm) + encoder.flush()
assert opus.library() is None and again == packets
decoder = opus.OpusDecoder()
assert len(decoder.conceal(480)) == 960
decoder.reset()
out = b"".join(map(decoder.decode, packets))
lost = decoder.conceal(), decoder.decode(packets[0], fec=True), decoder.conceal(120)
assert [len(pcm) for pcm in lost] == [1920, 1920, 240] and any(lost[0])
for refused, error in ((lambda: opus.OpusDecoder(16000), BadState), (lambda: decoder.decode(b""), BadData)):
    try:
        refused()
    except error:
        continue
    raise AssertionError("not refused")
sys.stdout.buffer.write(b"".join(len(p).to_bytes(2, "big") + p for p in packets) + b"\\0\\0" + out + lost[0])
"""
    pcm = speech(0.5)
    run = subprocess.run([sys.executable, "-c", script], input=pcm, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    out, packets = run.stdout, []
    while size := int.from_bytes(out[:2], "big"):
        packets.append(out[2 : 2 + size])
        out = out[2 + size :]
    encoder, decoder = opus.OpusEncoder(vbr=False), opus.OpusDecoder()
    assert packets == encoder.encode(pcm) + encoder.flush()
    assert out[2:] == b"".join(map(decoder.decode, packets)) + decoder.conceal()


def test_the_library() -> None:
    assert opus.library() is None or opus.library().startswith("libopus ")  # type: ignore[union-attr]
