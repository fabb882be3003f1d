"""What goes to a browser's encoders: packets of sound that any Opus decoder plays, in their place on the clock."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import aiortc
import av
import numpy as np
import pytest

import lipwire
from lipwire import _core, opus
from lipwire.channel import Rooms
from lipwire.channel.room.browser import Browser
from lipwire.channel.room.channel import RoomChannel
from lipwire.publish import StreamSpec, WebRTC
from lipwire.publish.peer import Peer
from lipwire.publish.tracks import MAX_AUDIO, Sound, SoundPackets, SoundTrack, audio_frame

RATE, BLOCK = _core.RATE, _core.BLOCK


def tone(samples: int, at: int = 0, hz: float = 400.0) -> bytes:
    return (np.sin(2 * np.pi * hz * (at + np.arange(samples)) / RATE) * 9000).astype("<i2").tobytes()


async def test_sound_leaves_as_opus_at_its_place_on_the_clock() -> None:
    track, decoder, pcm = SoundTrack(), opus.OpusDecoder(channels=1), bytearray()
    for n in range(20):
        track.put(Sound(tone(2 * BLOCK, n * 2 * BLOCK), 4800 + n * 2 * BLOCK))
        packet = await track.recv()
        assert isinstance(packet, av.Packet)
        assert packet.pts == 4800 + n * 2 * BLOCK and float(packet.time_base) * RATE == 1
        pcm += decoder.decode(bytes(packet))
    heard = np.frombuffer(bytes(pcm), "<i2")[RATE // 10 :]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert abs(np.argmax(spectrum) * RATE / len(heard) - 400) < 5
    assert 8000 < np.abs(heard).max() < 10_000
    track.stop()


async def test_a_loop_that_stood_still_loses_no_sound() -> None:
    """As long as the engine's ring holds it, 64 blocks."""
    track, packets = SoundTrack(), SoundPackets()
    for n in range(2 * MAX_AUDIO):
        if (sound := packets.add(tone(BLOCK), n * BLOCK)) is not None:
            track.put(sound)
    assert track.dropped == 0
    assert [(await track.recv()).pts for _ in range(MAX_AUDIO)] == list(range(0, 64 * BLOCK, 2 * BLOCK))
    for n in range(MAX_AUDIO + 3):
        track.put(Sound(tone(2 * BLOCK), n * 2 * BLOCK))
    assert track.dropped == 3 and (await track.recv()).pts == 3 * 2 * BLOCK
    track.stop()


def test_for_encoders_of_aiortcs_it_is_stereo() -> None:
    frame = audio_frame(Sound(tone(2 * BLOCK), 960))
    both = frame.to_ndarray().reshape(-1, 2)
    assert frame.pts == 960 and frame.samples == 2 * BLOCK and both[:, 0].tobytes() == tone(2 * BLOCK)
    assert np.array_equal(both[:, 0], both[:, 1])


@pytest.mark.parametrize("codec", ["opus", "PCMU", "PCMA"])
async def test_whatever_a_browser_takes_is_heard(codec: str) -> None:
    """aiortc encodes what is not Opus."""
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


@pytest.mark.parametrize("in_room", [False, True])
async def test_a_picture_tells_the_encoder_how_many_come_in_a_second(in_room: bool) -> None:
    peer, rooms = Peer(lambda _: None), Rooms()
    peer.connected = True
    publisher: WebRTC | RoomChannel = rooms.channel("lobby", "agent") if in_room else WebRTC()
    try:
        await publisher.open(StreamSpec(session_id="s", width=64, height=36, fps=Fraction(60)))
        if isinstance(publisher, WebRTC):
            publisher.viewers.add(peer)
        else:
            room = rooms._rooms["lobby"]
            room.browsers["anna"] = browser = Browser(room, "anna")
            browser.peer, browser.joined = peer, True
            browser._receivers[peer], browser._tasks[peer] = {}, set()
        publisher.video(lipwire.Frame(64, 36))
        assert (await peer.video.recv()).opaque == 60
    finally:
        await publisher.close()
        await rooms.close()
        await peer.close()
