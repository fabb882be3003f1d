"""Sound to browsers: packets that any decoder plays, in their place on the clock, encoded once for all."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiortc
import numpy as np
import pytest

import lipwire
from lipwire import _core, opus
from lipwire.audio.fade import FADE
from lipwire.publish import WebRTC, sound
from lipwire.publish.sound import HANGOVER, PACKET, REFRESH, SETTLED, Opus, Sound, SoundPackets, Sounds
from support.rtp import Wire

RATE, BLOCK = _core.RATE, _core.BLOCK


def tone(samples: int, at: int = 0, hz: float = 400.0) -> bytes:
    return (np.sin(2 * np.pi * hz * (at + np.arange(samples)) / RATE) * 9000).astype("<i2").tobytes()


def click(at: int, samples: int) -> bytes:
    """A short burst in the middle of silence."""
    pcm = np.zeros(samples, "<i2")
    pcm[at : at + 48] = 20_000 * np.hanning(48)
    return pcm.tobytes()


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma", "g722"])
def test_what_is_heard_is_in_its_place_on_the_clock(codec: str) -> None:
    """Encoders and decoders hold sound back; a packet's time is that of what is heard when it is played."""
    decoders: dict[str, Any] = {
        "opus": opus.OpusDecoder(channels=1).decode,
        "pcmu": _core.ulaw_decode,
        "pcma": _core.alaw_decode,
        "g722": _core.G722Decoder().decode,
    }
    rate = {"opus": RATE, "g722": 16_000}.get(codec, 8000)
    sounds, at, begin = Sounds(), 9000, 4800
    pcm = click(at, 20 * PACKET)
    with Wire(codec) as wire:
        sounds.add(wire.out)
        for n in range(0, 20 * PACKET, BLOCK):
            sounds.audio(pcm[2 * n : 2 * (n + BLOCK)], begin + n)
        packets = wire.packets()
        sounds.remove(wire.out)
    clock = {"opus": RATE}.get(codec, 8000)
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(packets)} == {clock // 50}
    heard = np.frombuffer(b"".join(decoders[codec](packet.payload) for packet in packets), "<i2").astype(float)
    peak = packets[0].timestamp * RATE // clock + np.argmax(np.abs(heard)) * RATE // rate
    codec_delay = {"g722": 22 * 3}.get(codec, 0)  # of its filter bank, in which the others have none
    assert peak - codec_delay == pytest.approx(begin + at + 24, abs=RATE // 1000)


def test_one_encoder_for_all_who_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Opus] = []
    really = Opus.__init__

    def counted(self: Opus) -> None:
        made.append(self)
        really(self)

    monkeypatch.setattr(Opus, "__init__", counted)
    sounds = Sounds()
    with Wire("opus") as first:
        wires = [first, *(Wire("opus", net=first.net) for _ in range(2))]
        for wire in wires:
            sounds.add(wire.out)
        for n in range(20):
            sounds.audio(tone(BLOCK, n * BLOCK), PACKET + n * BLOCK)
        got = [wire.packets() for wire in wires]
        assert len(made) == 1
        assert [p.payload for p in got[0]] == [p.payload for p in got[1]] == [p.payload for p in got[2]]
        assert len(got[0]) == 10
        sounds.remove(wires[1].out)
        sounds.remove(wires[1].out)
        sounds.audio(tone(2 * BLOCK), PACKET + 20 * BLOCK)  # two blocks at a time
        assert [len(wire.packets()) for wire in wires] == [1, 0, 1]
        for wire in wires:
            sounds.remove(wire.out)
        assert not sounds._streams
        for wire in wires[1:]:
            wire.close()


def test_silence_is_encoded_until_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what follows is as if all of it had been."""
    calls: list[int] = []

    class Counted(opus.OpusEncoder):
        def encode(self, pcm: Any) -> list[bytes]:
            calls.append(len(pcm))
            return super().encode(pcm)

    monkeypatch.setattr(sound, "OpusEncoder", Counted)
    coder = Opus()
    decoder, heard = opus.OpusDecoder(channels=1), bytearray()
    pcm = tone(10 * PACKET) + bytes(2 * 60 * PACKET) + tone(10 * PACKET)
    for n in range(80):
        for packet, at in coder.encode(Sound(pcm[2 * n * PACKET : 2 * (n + 1) * PACKET], n * PACKET)):
            assert at == n * PACKET - coder._ahead
            heard += decoder.decode(packet)
    assert 20 <= len(calls) < 20 + 30, "most of the silence was not encoded"
    loud = np.abs(np.frombuffer(bytes(heard), "<i2").astype(int)).reshape(-1, BLOCK).max(axis=1)
    assert loud[28:138].max() < 20 and loud[2:18].min() > 5000 and loud[144:158].min() > 5000


def test_who_prefers_no_silence_is_sent_little() -> None:
    sounds, silent = Sounds(), 3 * REFRESH + 5
    with Wire("opus") as steady:
        sparse = Wire("opus", net=steady.net, dtx=True)
        for wire in (steady, sparse):
            sounds.add(wire.out)
        pcm = tone(5 * PACKET) + bytes(2 * silent * PACKET) + tone(5 * PACKET)
        sounds.audio(pcm, PACKET)
        every, some = steady.packets(), sparse.packets()
        for wire in (steady, sparse):
            sounds.remove(wire.out)
        sparse.close()
    assert len(every) == 10 + silent
    assert HANGOVER + 10 <= len(some) <= HANGOVER + 10 + silent // REFRESH
    assert [p.number for p in some] == list(range(len(some)))  # nothing was lost
    first = next(p for p in some if p.timestamp >= every[5 + silent].timestamp)
    assert first.marker, "speech after silence is a talkspurt (RFC 3551, section 4.1)"
    assert {p.payload for p in some} <= {p.payload for p in every}


def test_a_loop_that_stood_still_loses_no_sound() -> None:
    """As long as the engine's ring holds it, 64 blocks."""
    sounds = Sounds()
    with Wire("opus") as wire:
        sounds.add(wire.out)
        for n in range(64):
            sounds.audio(tone(BLOCK), PACKET + n * BLOCK)
        packets = wire.packets()
        sounds.remove(wire.out)
    assert len(packets) == 32 and wire.out.missed == 0
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(packets)} == {PACKET}


def test_sound_that_forks_goes_on_in_the_middle_of_a_packet() -> None:
    one = Sounds()
    with Wire("opus") as first, Wire("opus") as second:
        one.add(first.out)
        one.audio(tone(3 * BLOCK), PACKET)
        two = one.fork()
        two.add(second.out)
        for sounds in (one, two):
            sounds.audio(tone(BLOCK, 3 * BLOCK), PACKET + 3 * BLOCK)
        assert [p.timestamp for p in second.packets()] == [p.timestamp for p in first.packets()][1:]
        one.remove(first.out)
        two.remove(second.out)


NEW = tone(BLOCK, hz=1900)
FADED = tone(FADE) + bytes(2 * (BLOCK - FADE))
"""A block in which what was interrupted ends."""


@pytest.mark.parametrize("gathered", [bytes(2 * BLOCK), tone(BLOCK)], ids=["silence", "speech"])
def test_speech_that_begins_right_behind_an_interrupt_is_whole(gathered: bytes) -> None:
    """The interrupt came in the middle of a packet, and the next block is new from its first sample."""
    packets = SoundPackets()
    assert packets.add(gathered, 0) is None
    packets.interrupt()
    packet = packets.add(NEW, BLOCK)
    assert packet is not None
    assert packet.pcm[2 * BLOCK :] == NEW
    assert not any(packet.pcm[2 * FADE : 2 * BLOCK])


@pytest.mark.parametrize("half", [False, True])
def test_the_end_of_what_was_interrupted_is_heard_once(half: bool) -> None:
    packets, sent = SoundPackets(), []
    if half:
        packets.add(tone(BLOCK), 0)
    packets.interrupt()
    for n, pcm in enumerate([FADED, bytes(2 * BLOCK), NEW, NEW], start=int(half)):
        if (packet := packets.add(pcm, n * BLOCK)) is not None:
            sent.append(packet.pcm)
    heard = np.frombuffer(b"".join(sent), "<i2")
    loud = np.flatnonzero(heard)
    assert np.count_nonzero(heard[: 2 * BLOCK]) <= FADE  # one fade, and nothing behind it
    assert loud[0] < 2  # at once


def test_two_blocks_at_a_time_are_told_apart() -> None:
    """One may be the fade, and the other new."""
    sounds, sent = Sounds(), bytearray()

    class Ears:
        def send(self, packet: Sound) -> None:
            sent.extend(packet.pcm)

    sounds._streams["opus"] = Ears()  # type: ignore[assignment]
    sounds.audio(tone(BLOCK), 0)
    sounds.interrupt()
    sounds.audio(FADED + NEW, BLOCK)
    sounds.audio(NEW, 3 * BLOCK)
    assert len(sent) == 8 * BLOCK
    assert bytes(sent[4 * BLOCK :]) == NEW * 2 and not any(sent[2 * FADE : 4 * BLOCK])


@pytest.mark.parametrize("codec", ["opus", "G722", "PCMU", "PCMA"])
async def test_whatever_a_browser_takes_is_heard(codec: str) -> None:
    publisher = WebRTC(ice_host="127.0.0.1")
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    tracks: list[Any] = []
    pc.on("track", tracks.append)
    transceiver = pc.addTransceiver("audio", direction="recvonly")
    known = aiortc.RTCRtpReceiver.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() == f"audio/{codec.lower()}"])
    try:
        async with lipwire.Session(publisher, avatar=None) as session:
            await pc.setLocalDescription(await pc.createOffer())
            sdp, kind = await publisher.answer(pc.localDescription.sdp)
            assert f" {codec}/" in sdp
            await pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
            session.write(tone(5 * RATE), RATE)
            async with asyncio.timeout(30):
                while np.abs((await tracks[0].recv()).to_ndarray()).max() < 6000:
                    pass
    finally:
        await pc.close()


def test_settled_is_less_than_the_hangover() -> None:
    """So that who is sent no silence has heard it end as everyone else."""
    assert SETTLED < HANGOVER
