"""The sockets of a section on a real loop, with a real peer on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket

from lipwire.rtp.endpoint import MOST, Endpoint
from lipwire.rtp.formats import Speech
from lipwire.rtp.inbound import Inbound
from lipwire.rtp.keys import Key, Opened, Sealed
from lipwire.rtp.ports import Ports
from lipwire.rtp.sdp import Address
from support.rtp_offers import free_pairs, rtp, sender_report

PCMU = Speech("pcmu", 0, 8000, 8000)
SUITE = "AES_CM_128_HMAC_SHA1_80"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


class Peer:
    """Who speaks: two sockets on loopback."""

    def __init__(self) -> None:
        self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.rtp, self.rtcp):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)

    def address(self, of: socket.socket) -> Address:
        return Address(*of.getsockname())

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_it_hears_and_answers_with_reports(encrypted: bool) -> None:
    peer, pair, heard = Peer(), Ports("127.0.0.1", free_pairs(1)).open(), [b""]
    theirs, ours = Key("1", SUITE, bytes(range(30))), Key("1", SUITE, bytes(range(1, 31)))
    inbound = Inbound(
        PCMU,
        lambda pcm, quiet: heard.append(pcm),
        lambda digit: None,
        expected=peer.address(peer.rtp),
        expected_rtcp=peer.address(peer.rtcp),
        authentic=encrypted,
    )
    may = [False]
    endpoint = Endpoint(
        pair,
        inbound,
        may=lambda address: may[0],
        opened=Opened(theirs) if encrypted else None,
        seal=Sealed(ours) if encrypted else None,
    )
    session = Sealed(theirs).session
    seal = session.protect if encrypted else bytes
    for number in range(10):
        peer.rtp.sendto(seal(rtp(bytes([number + 1] * 160), number, 160 * number)), ("127.0.0.1", pair.port))
    await until(lambda: inbound.packets == 10)
    await until(lambda: any(any(pcm) for pcm in heard))
    endpoint.tell(inbound.report(time.monotonic_ns()))
    with pytest.raises(BlockingIOError):
        peer.rtcp.recv(99)  # nobody has allowed to send there, and nothing has come from there
    report = sender_report(0x1234, 1 << 40)
    peer.rtcp.sendto(session.protect_rtcp(report) if encrypted else report, ("127.0.0.1", pair.port + 1))
    await until(lambda: inbound.rtcp_from)
    endpoint.tell(inbound.report(time.monotonic_ns()))
    with pytest.raises(BlockingIOError):
        peer.rtcp.recv(99)  # nor where nothing may be sent
    may[0] = True
    endpoint.tell(inbound.report(time.monotonic_ns()))
    endpoint.close()
    endpoint.close()
    opened = Opened(ours)
    for kinds in ([RtcpRrPacket], [RtcpRrPacket, RtcpByePacket]):
        data = peer.rtcp.recv(2048)
        clear = opened.rtcp(data) if encrypted else data
        assert clear is not None
        found = [type(packet) for packet in RtcpPacket.parse(clear)]
        assert [kind for kind in found if kind in (RtcpRrPacket, RtcpByePacket)] == kinds
    assert endpoint.unauthenticated == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", pair.port))  # it was given back
    peer.close()


async def test_a_flood_is_read_in_turns_and_does_not_reach_the_sound() -> None:
    peer, stranger, pair = Peer(), Peer(), Ports("127.0.0.1", free_pairs(1)).open()
    inbound = Inbound(PCMU, lambda pcm, quiet: None, lambda digit: None, expected=peer.address(peer.rtp))
    endpoint = Endpoint(pair, inbound)
    peer.rtp.sendto(rtp(bytes(160), 0, 0), ("127.0.0.1", pair.port))
    for _ in range(3 * MOST):
        stranger.rtp.sendto(rtp(bytes(160), 0, 0), ("127.0.0.1", pair.port))
    await until(lambda: inbound.counts["strangers"] + inbound.packets == 3 * MOST + 1)
    assert endpoint.flooded >= 3 and inbound.packets == 1
    endpoint.close()
    peer.close()
    stranger.close()


async def test_control_of_who_sends_is_handed_on_and_forgeries_are_not() -> None:
    peer, pair = Peer(), Ports("127.0.0.1", free_pairs(1)).open(mux=True)
    key = Key("1", SUITE, bytes(range(30)))
    told: list[tuple[bytes, Address]] = []
    endpoint = Endpoint(pair, None, control=lambda *found: told.append(found), opened=Opened(key))
    report = sender_report(7, 1)
    peer.rtp.sendto(report, ("127.0.0.1", pair.port))
    peer.rtp.sendto(Sealed(key).rtcp(report), ("127.0.0.1", pair.port))
    await until(lambda: told)
    assert told == [(report, peer.address(peer.rtp))] and endpoint.unauthenticated == 1
    endpoint.close()
    peer.close()
