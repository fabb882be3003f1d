"""aiortc's private names that Lipwire uses are there, and do what they are used for, in the installed release."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aioice.ice
import aiortc
import aiortc.codecs.vpx as vpx
import pytest

from lipwire.publish import aiortc_private as private
from lipwire.publish.encoders import START_BITRATE, Vp8
from lipwire.publish.peer import Peer


async def offer(*kinds: str) -> str:
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    try:
        pc.createDataChannel("lipwire")
        for kind in kinds:
            pc.addTransceiver(kind, direction="sendrecv")
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)
    finally:
        await pc.close()


def candidates(sdp: str) -> set[str]:
    return {line.split()[4] for line in sdp.splitlines() if line.startswith("a=candidate")}


async def test_media_is_offered_on_one_address_of_one_connection() -> None:
    bound, free = Peer(lambda _: None, ice_host="127.0.0.1"), Peer(lambda _: None)
    try:
        sdp = await offer("audio", "video")
        assert candidates((await bound.answer(sdp))[0]) == {"127.0.0.1"}
        others = set(aioice.ice.get_host_addresses(True, True)) or {"127.0.0.1"}
        assert candidates((await free.answer(sdp))[0]) == others
    finally:
        await bound.close()
        await free.close()


async def test_pictures_are_encoded_by_our_encoders_and_aiortc_keeps_its_own() -> None:
    peer = Peer(lambda _: None)
    try:
        await peer.answer(await offer("audio", "video"))
        sender: Any
        (sender,) = (t.sender for t in peer.pc.getTransceivers() if t.kind == "video")
        encoder = sender._RTCRtpSender__encoder
        assert isinstance(encoder, Vp8) and encoder.target_bitrate == START_BITRATE
    finally:
        await peer.close()
    assert (vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE) == (500_000, 1_500_000)
    assert vpx.Vp8Encoder().target_bitrate == 500_000


async def test_what_a_browser_sends_is_decoded_when_it_is_wanted() -> None:
    tracks: list[Any] = []
    peer = Peer(lambda _: None, on_track=tracks.append)
    try:
        await peer.answer(await offer("audio"))
        (receiver,) = (t.receiver for t in tracks)
        private.receive(receiver, False)
        assert receiver._enabled is False
        private.receive(receiver, True)
        assert receiver._enabled is True
        private.hold_nothing_back(receiver)
        assert receiver._RTCRtpReceiver__jitter_buffer._prefetch == 1
    finally:
        await peer.close()


async def test_what_fails_while_a_connection_is_made_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_RTCPeerConnection__connect"
    assert hasattr(aiortc.RTCPeerConnection, name)
    tried: list[Any] = []

    async def failing(self: Any) -> None:
        tried.append(self)
        raise aiortc.exceptions.InvalidStateError("RTCIceTransport is closed")

    sdp = await offer("audio")
    monkeypatch.setattr(aiortc.RTCPeerConnection, name, failing)
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    peer = Peer(lambda _: None, ice_host="127.0.0.1")
    await peer.answer(sdp)
    while len(tried) < 2:  # when the offer is taken, and when the answer is made
        await asyncio.sleep(0)
    await peer.close()
    assert tried == [peer.pc, peer.pc] and name not in vars(peer.pc)
    gc.collect()
    assert told == []
