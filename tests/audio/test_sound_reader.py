"""Sound as services send it: every kind of WAV, plain samples by their labels, and what FFmpeg decodes, in pieces."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from lipwire.audio.container import ContainerReader, container_of
from lipwire.audio.g711 import alaw_encode, ulaw_encode
from lipwire.audio.pcm import PcmFormat
from lipwire.audio.sound_reader import NotSound, SoundReader, pcm_format
from lipwire.errors import BadData

RATE = 24_000
T = np.arange(RATE // 2) / RATE
SOUND = np.round(np.sin(2 * np.pi * T) ** 2 * np.sin(2 * np.pi * 220 * T) * 16_000).astype("<i2")
"""Half a second, silent at its ends."""
PCM = SOUND.tobytes()
FLOAT = SOUND / 32768


async def read(data: bytes, label: str = "", piece: int = 1000, **options: Any) -> tuple[bytes, set[int], int]:
    """All that comes out; its rates; after how many bytes the first of it came."""
    reader = SoundReader(label, **options)
    found: list[tuple[bytes, int]] = []
    first = 0
    for at in range(0, len(data), piece):
        found += await reader.take(data[at : at + piece])
        first = first or (at + piece) * bool(found)
    found += await reader.end()
    reader.close()
    return b"".join(pcm for pcm, _ in found), {rate for _, rate in found}, first or len(data)


def off(pcm: bytes) -> int:
    """By how much it differs from SOUND."""
    got = np.frombuffer(pcm, "<i2").astype(int)
    return int(np.abs(got - SOUND).max()) if len(got) == len(SOUND) else 99_999


# ----------------------------------------------------------------------------------------------------------------- WAV


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def fmt(tag: int, bits: int, channels: int = 1, rate: int = RATE, more: bytes = b"") -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + more)


def riff(*chunks: bytes, head: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return head + struct.pack("<I", len(body) if size is None else size) + body


def extensible(tag: int, bits: int, valid: int, channels: int = 1) -> bytes:
    guid = struct.pack("<H", tag) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    return fmt(0xFFFE, bits, channels, more=struct.pack("<HHI", 22, valid, 4) + guid)


def s24(x: Any) -> bytes:
    return (x.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


LIST = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"some maker or other" * 99))
DS64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), len(SOUND), 0))
ENDLESS = 0xFFFF_FFFF
WAVS: dict[str, tuple[bytes, int]] = {
    "16 bit": (riff(fmt(1, 16), chunk(b"data", PCM)), 0),
    "8 bit": (riff(fmt(1, 8), chunk(b"data", ((SOUND >> 8) + 128).astype("u1").tobytes())), 256),
    "24 bit": (riff(fmt(1, 24), chunk(b"data", s24(SOUND))), 0),
    "32 bit": (riff(fmt(1, 32), chunk(b"data", (SOUND.astype("<i4") << 16).tobytes())), 0),
    "float": (riff(fmt(3, 32), chunk(b"fact", bytes(4)), chunk(b"data", FLOAT.astype("<f4").tobytes())), 0),
    "double": (riff(fmt(3, 64), chunk(b"data", FLOAT.astype("<f8").tobytes())), 0),
    "A-law": (riff(fmt(6, 8), chunk(b"data", alaw_encode(PCM))), 600),
    "mu-law": (riff(fmt(7, 8, more=b"\0\0"), chunk(b"data", ulaw_encode(PCM))), 600),
    "stereo": (riff(fmt(1, 16, 2), chunk(b"data", np.repeat(SOUND, 2).tobytes())), 0),
    "6 channels": (riff(extensible(1, 16, 16, 6), chunk(b"data", np.repeat(SOUND, 6).tobytes())), 0),
    "extensible": (riff(extensible(1, 16, 16), chunk(b"data", PCM)), 0),
    "extensible float": (riff(extensible(3, 32, 32), chunk(b"data", FLOAT.astype("<f4").tobytes())), 0),
    "24 of 32 bits": (riff(extensible(1, 32, 24), chunk(b"data", (SOUND.astype("<i4") << 16).tobytes())), 0),
    "chunks before": (riff(chunk(b"JUNK", bytes(28)), chunk(b"bext", bytes(603)), fmt(1, 16), chunk(b"data", PCM)), 0),
    "chunks between": (riff(fmt(1, 16), LIST, chunk(b"id3 ", bytes(7)), chunk(b"data", PCM)), 0),
    "no padding": (riff(fmt(1, 16), chunk(b"cue ", bytes(7))[:-1], chunk(b"data", PCM)), 0),
    "chunks after": (riff(fmt(1, 16), chunk(b"data", PCM), LIST), 0),
    "endless": (riff(fmt(1, 16), chunk(b"data", PCM, ENDLESS), size=ENDLESS), 0),
    "nearly endless": (riff(fmt(1, 16), chunk(b"data", PCM, 0x7FFF_FFFF), size=0x7FFF_FFFF), 0),
    "sizes 0": (riff(fmt(1, 16), chunk(b"data", PCM, 0), size=0), 0),
    "sizes of no sound": (riff(fmt(1, 16), chunk(b"data", PCM, 0), size=36), 0),
    "RF64": (riff(DS64, fmt(1, 16), chunk(b"data", PCM, ENDLESS), LIST, head=b"RF64", size=ENDLESS), 0),
    "BW64": (riff(DS64, fmt(1, 16), chunk(b"data", PCM, ENDLESS), LIST, head=b"BW64", size=ENDLESS), 0),
    "two in a row": (
        riff(fmt(1, 16), chunk(b"data", PCM[:4000]), LIST) + riff(fmt(1, 24), chunk(b"data", s24(SOUND[2000:]))),
        0,
    ),
}


@pytest.mark.parametrize("name", WAVS)
async def test_every_kind_of_wav(name: str) -> None:
    data, tolerance = WAVS[name]
    for piece, label in ((7, "audio/wav"), (1000, "audio/mpeg"), (1 << 20, "")):
        pcm, rates, first = await read(data, label, piece)
        assert rates == {RATE} and off(pcm) <= tolerance
        assert first < len(data) or piece > len(data)


async def test_a_wav_of_no_sound_is_none_and_a_broken_one_is_told() -> None:
    assert (await read(riff(fmt(1, 16), chunk(b"data", b""), LIST)))[0] == b""
    with_nan = np.array([0.5, np.nan, np.inf, -np.inf, 3.0], "<f4").tobytes()
    pcm, _, _ = await read(riff(fmt(3, 32), chunk(b"data", with_nan)))
    assert np.frombuffer(pcm, "<i2").tolist() == [16384, 0, 32767, -32768, 32767]
    for data, words in (
        (riff(chunk(b"data", PCM)), "before its format"),
        (riff(LIST), "before its sound"),
        (riff(fmt(1, 16, 0), chunk(b"data", PCM)), "0 channels"),
        (riff(chunk(b"fmt ", b"\1\0")), "cut off"),
        (riff(fmt(1, 16, rate=1), chunk(b"data", PCM)), "1 Hz"),
    ):
        with pytest.raises(BadData, match=words):
            await read(data)


@pytest.mark.parametrize(("rate", "out"), [(96_000, 48_000), (44_100, 44_100), (6000, 16_000)])
async def test_rates_that_cannot_be_played_are_taken_to_one_that_can(rate: int, out: int) -> None:
    pcm, rates, _ = await read(riff(fmt(1, 16, rate=rate), chunk(b"data", PCM)))
    assert rates == {out} and abs(len(pcm) / 2 / out - len(SOUND) / rate) < 0.005


# -------------------------------------------------------------------------------------------------------- plain samples


@pytest.mark.parametrize(
    ("label", "format"),
    [
        ("", PcmFormat()),
        ("audio/pcm", PcmFormat()),
        ("application/octet-stream", PcmFormat()),
        ('audio/pcm; rate="16000"', PcmFormat(rate=16_000)),
        ("audio/x-pcm;Rate=8000.0;bit=16;Channels=2", PcmFormat(rate=8000, channels=2)),
        ("audio/wav;codec=pcm;samplerate=22050", PcmFormat(rate=22_050)),
        ("audio/L16;rate=24000;channels=1", PcmFormat(big=True, doubtful=True)),
        ("audio/L16; codec=pcm; rate=24000; endianness=little-endian", PcmFormat()),
        ("audio/L24;rate=48000;channels=2", PcmFormat(encoding="s24", rate=48_000, channels=2, big=True)),
        ("audio/basic", PcmFormat(encoding="ulaw", rate=8000)),
        ("audio/x-mulaw", PcmFormat(encoding="ulaw", rate=8000)),
        ("audio/PCMA;rate=16000", PcmFormat(encoding="alaw", rate=16_000)),
        ("audio/x-alaw-basic", PcmFormat(encoding="alaw", rate=8000)),
        ("audio/pcm;encoding=float;bits=32", PcmFormat(encoding="f32")),
        ("audio/raw;encoding=pcm_f32le;rate=44100", PcmFormat(encoding="f32", rate=44_100)),
        ("audio/x-raw, format=S16BE, rate=16000, channels=1", PcmFormat(big=True, rate=16_000)),
        ("audio/pcm;bits=24", PcmFormat(encoding="s24")),
        ("audio/pcm;rate=soon;channels=none", PcmFormat()),
    ],
)
def test_what_a_label_says(label: str, format: PcmFormat) -> None:
    assert pcm_format(label) == format


async def test_plain_samples() -> None:
    assert pcm_format("audio/pcm", 16_000).rate == 16_000 and pcm_format("audio/basic;rate=1", 9).rate == 1
    with pytest.raises(BadData, match="channels"):
        pcm_format("audio/pcm;channels=999")
    assert (await read(PCM, "audio/pcm;rate=16000", 3))[:2] == (PCM, {16_000})
    assert (await read(PCM + b"\1", ""))[:2] == (PCM, {RATE})  # half a sample is none
    for wrong in ("audio/wav", "audio/mpeg", "audio/ogg"):  # a label that its bytes do not bear out
        assert (await read(PCM, wrong))[:2] == (PCM, {RATE})
    assert off((await read(np.repeat(SOUND, 2).tobytes(), "audio/pcm;channels=2", 5))[0]) == 0
    assert off((await read(FLOAT.astype(">f4").tobytes(), "audio/pcm;encoding=f32be", 5))[0]) == 0
    with pytest.raises(NotSound):
        await read(b"<html><body>Not found", "text/html", plain=False)
    assert (await read(b"", "audio/pcm"))[:2] == (b"", set())


async def test_the_byte_order_of_l16_is_the_networks_unless_the_samples_say_otherwise() -> None:
    swapped = SOUND.astype(">i2").tobytes()
    noise = np.random.default_rng(1).integers(-32768, 32767, RATE).astype("<i2")
    label = "audio/L16;rate=24000;channels=1"
    assert (await read(swapped, label, 333))[0] == PCM
    assert (await read(PCM, label, 333))[0] == PCM
    assert (await read(np.repeat(SOUND, 2).tobytes(), label.replace("=1", "=2"), 333))[0] == PCM
    quiet = (SOUND // 400).astype(">i2").tobytes()
    assert (await read(quiet, label, 333))[0] == (SOUND // 400).astype("<i2").tobytes()
    assert (await read(noise.astype(">i2").tobytes(), label))[0] == noise.tobytes()  # it shows nothing: as is said
    silence = bytes(2 * RATE)
    pcm, _, first = await read(silence, label, 500)
    assert pcm == silence and first < 6000  # 0.1 s at most is held back
    assert (await read(swapped[:100], label))[0] == PCM[:100]


# ----------------------------------------------------------------------------------------------------------- containers


def encode(
    container: str,
    codec: str,
    rate: int = RATE,
    *,
    seekable: bool = False,
    channels: str = "mono",
    sound: Any = SOUND[None],
    **options: str,
) -> bytes:
    """Sound in a container, as FFmpeg writes it into a pipe, or into a file."""
    sink = io.BytesIO()

    class Pipe:
        def write(self, data: bytes) -> int:
            return sink.write(data)

    frame = av.AudioFrame.from_ndarray(
        sound, format=f"s16{'p' * (len(sound) > 1)}", layout=("mono", "stereo")[len(sound) - 1]
    )
    frame.sample_rate = RATE
    with av.open(sink if seekable else Pipe(), "w", format=container, options=options) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.layout = channels
        stream.codec_context.options = {"strict": "-2"}
        resampler = av.AudioResampler(format=stream.format, layout=channels, rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return sink.getvalue()


FRAGMENTS = "frag_keyframe+empty_moov"
CONTAINERS: dict[str, Callable[[], bytes]] = {
    "mp3": lambda: encode("mp3", "libmp3lame", seekable=True),
    "mp3 with cover": lambda: b"ID3\4\0\0\0\1\0\0" + bytes(1 << 14) + encode("mp3", "libmp3lame", id3v2_version="0"),
    "mp3, frames alone": lambda: encode("mp3", "libmp3lame", 44_100, id3v2_version="0", write_xing="0"),
    "mp3 after rubbish": lambda: bytes(500) + encode("mp3", "libmp3lame", id3v2_version="0", write_xing="0"),
    "mpeg-2.5 layer 3": lambda: encode("mp3", "libmp3lame", 11_025),
    "mpeg-1 layer 3 stereo": lambda: encode("mp3", "libmp3lame", 32_000, channels="stereo"),
    "mpeg-2 layer 2": lambda: encode("mp2", "mp2"),
    "mpeg-1 layer 2": lambda: encode("mp2", "mp2", 48_000, channels="stereo"),
    "aac": lambda: encode("adts", "aac"),
    "aac after ID3": lambda: b"ID3\4\0\0\0\0\0\x10" + bytes(16) + encode("adts", "aac"),
    "mp4 in fragments": lambda: encode("mp4", "aac", movflags=FRAGMENTS),
    "mp4 with its description last": lambda: encode("mp4", "aac", seekable=True),
    "ogg opus": lambda: encode("ogg", "libopus", 48_000, page_duration="20000"),
    "ogg vorbis": lambda: encode("ogg", "vorbis", channels="stereo"),
    "webm opus": lambda: encode("webm", "libopus", 48_000),
    "flac": lambda: encode("flac", "flac"),
    "aiff": lambda: encode("aiff", "pcm_s16be", seekable=True),
    "au": lambda: encode("au", "pcm_s16be"),
    "caf": lambda: encode("caf", "pcm_s16be"),
    "adpcm in wav": lambda: encode("wav", "adpcm_ima_wav", seekable=True),
}
WHOLE = ("mp4 with its description last", "flac", "ogg vorbis", "mpeg-2.5 layer 3", "adpcm in wav")
"""Of half a second of these, nothing can be decoded before nearly all of it is there."""


@pytest.mark.parametrize("name", CONTAINERS)
async def test_every_container_is_decoded_as_it_comes_whatever_its_label(name: str) -> None:
    data = CONTAINERS[name]()
    expected = np.sqrt((SOUND.astype(float) ** 2).mean())
    for label in ("audio/mpeg", "application/octet-stream", 'audio/pcm; rate="16000"'):
        if name == "mp3 after rubbish" and label != "audio/mpeg":
            continue
        pcm, rates, first = await read(data, label, 300)
        (rate,) = rates
        got = np.frombuffer(pcm, "<i2").astype(float)
        assert len(SOUND) / RATE - 0.02 < len(got) / rate < len(SOUND) / RATE + 0.2
        hz = np.abs(np.fft.rfft(got, rate)).argmax()
        loud = np.sqrt((got**2).sum() / rate / 0.5)
        assert abs(hz - 220) < 5 and 0.65 * expected < loud < 1.1 * expected
        assert first < len(data) or name in WHOLE


OPPOSITE = np.stack([SOUND, -SOUND])
LATER = np.stack([np.concatenate([SOUND, 0 * SOUND]), np.concatenate([0 * SOUND, SOUND])])
"""Who speaks first is on the left, the other one on the right."""


@pytest.mark.parametrize("kind", ["plain", "wav", "flac", "mp3"])
@pytest.mark.parametrize("sound", [OPPOSITE, LATER], ids=["opposite", "in turns"])
async def test_channels_that_would_cancel_are_turned_round_and_none_is_left_out(kind: str, sound: Any) -> None:
    plain = np.ascontiguousarray(sound.T).tobytes()
    data = {
        "plain": lambda: plain,
        "wav": lambda: riff(fmt(1, 16, 2), chunk(b"data", plain)),
        "flac": lambda: encode("flac", "flac", channels="stereo", sound=sound),
        "mp3": lambda: encode("mp3", "libmp3lame", channels="stereo", sound=sound),
    }[kind]()
    pcm, _, first = await read(data, "audio/pcm;channels=2", 300)
    got, expected = np.frombuffer(pcm, "<i2").astype(float), np.abs(sound.T).sum(axis=1) / 2
    assert len(got) == len(expected) or kind == "mp3"
    assert np.allclose(
        [np.abs(got).max(), (got**2).sum() ** 0.5], [expected.max(), (expected**2).sum() ** 0.5], rtol=0.05
    )
    assert first < 0.15 * RATE * 4 or kind not in ("plain", "wav"), "it is held back for no longer than 0.1 s of sound"


async def test_layer_1_is_mpeg_sound_too() -> None:
    """FFmpeg has no encoder for it: frames of 384 samples in which every band is empty, 384 kbit/s at 48 kHz."""
    frames = (b"\xff\xff\xc4\xc0" + bytes(380)) * 50
    pcm, rates, first = await read(frames, "audio/mpeg", 300)
    assert rates == {48_000} and len(pcm) == 2 * 384 * 50 and not any(pcm) and first < len(frames) // 2


async def test_a_rate_that_changes_is_told() -> None:
    joined = encode("mp3", "libmp3lame", 24_000) + encode("mp3", "libmp3lame", 44_100)
    pcm, rates, _ = await read(joined, "audio/mpeg")
    assert rates == {24_000, 44_100} and len(pcm) > 0.9 * (RATE + 44_100)


async def test_links_of_a_chain_may_differ_and_tags_are_no_loss() -> None:
    opus = [encode("ogg", "libopus", 48_000, channels=channels) for channels in ("mono", "stereo")]
    vorbis = encode("ogg", "vorbis", 22_050, channels="stereo")
    tagged = CONTAINERS["mp3"]() * 2
    for data, seconds in ((opus[0] + opus[1], 1.0), (vorbis + opus[1] + vorbis, 1.5), (tagged, 1.1)):
        reader = SoundReader()
        found = [one for at in range(0, len(data), 500) for one in await reader.take(data[at : at + 500])]
        found += await reader.end()
        assert sum(len(pcm) / 2 / rate for pcm, rate in found) == pytest.approx(seconds, abs=0.1)
        assert reader.lost == 0


async def test_a_hole_is_silence_and_is_told() -> None:
    whole = encode("flac", "flac", sound=np.concatenate([SOUND] * 4)[None], channels="mono")
    at = len(whole) // 2
    reader = SoundReader()
    found = await reader.take(whole[:at] + bytes(60) + whole[at + 60 :]) + await reader.end()
    assert sum(len(pcm) // 2 for pcm, _ in found) == pytest.approx(4 * len(SOUND), abs=100) and reader.lost >= 1


async def test_what_is_broken_is_left_out_and_what_is_none_is_told() -> None:
    for whole, broken in ((CONTAINERS["ogg opus"](), 1), (CONTAINERS["aac"](), 1), (CONTAINERS["mp3"](), 1)):
        at = len(whole) * 2 // 3
        reader = SoundReader()
        found = await reader.take(whole[:at] + b"\x55" * 60 + whole[at + 60 :]) + await reader.end()
        assert 0.3 < sum(len(pcm) / 2 / rate for pcm, rate in found) < 0.56 and reader.lost == broken
    cut = encode("webm", "libopus", 48_000)
    pcm, _, _ = await read(cut[: len(cut) * 2 // 3])
    assert 0.2 < len(pcm) / 2 / 48_000 < 0.5
    for nonsense in (b"OggS" + bytes(400), b"\x1aE\xdf\xa3" + bytes(400), b"\0\0\0\x18ftypM4A " + bytes(400)):
        with pytest.raises(BadData, match="cannot be read"):
            await read(nonsense)


async def test_a_few_bytes_of_hours_of_silence_are_not_decoded() -> None:
    data = CONTAINERS["caf"]()
    assert (await read(data, piece=1 << 20, most=0.6))[0] == PCM
    reader = SoundReader(most=0.2)
    assert sum(len(pcm) for pcm, _ in await reader.take(data)) < len(PCM) * 3 // 4
    with pytest.raises(BadData, match=r"longer than 0.2 s"):
        await reader.end()


async def test_its_thread_ends_with_it() -> None:
    def threads() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "lipwire-sound"]

    before = set(threads())
    reader = ContainerReader("mp3")
    await reader.take(encode("mp3", "libmp3lame")[:2000])
    (own,) = set(threads()) - before
    reader.close()
    reader.close()
    own.join(10)
    assert not own.is_alive()


def test_frames_are_told_from_samples() -> None:
    assert container_of(b"\xff\xfb\x90\x64" + bytes(20)) is None  # a frame's head: what follows will tell
    assert container_of(b"\xff\xfb\x90\x64" + bytes(2000)) == ""
    assert container_of(b"\xff\xff\xff\xff" * 10) == ""
    assert container_of(b"\1\2") is None and container_of(b"\1\2", ended=True) == ""
    assert container_of(PCM[:5000], search=True) is None and container_of(PCM, search=True) == ""
