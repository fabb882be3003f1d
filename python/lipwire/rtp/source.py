"""Whose packets are taken: symmetric RTP (RFC 4961), and the checks that keep strangers out.

A peer behind a translator of addresses sends from another one than its description says. So the first valid source is
believed, and then nobody else, with these exceptions: the very address of the description may speak up at any time,
and what is authenticated (SRTP) may come from wherever it likes.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from .sdp import Address

Verdict = Literal["taken", "new", "waits", "stranger"]
"""taken: of the source that is known. new: of one that is from now on, and the packet that waited was its first.
waits: the next packet says whether it is one. stranger: of somebody else."""

CANDIDATES = 8
"""Sources of which the next packet may make the one that is believed, at a time: the newest ones."""


def plain(host: str) -> str:
    """An address in its one form; an IPv4 one that IPv6 carries as itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class Source:
    """Where the packets of one section come from.

    Args:
        expected: where the description says so; None = it does not.
        symmetric: whether they may come from elsewhere.
    """

    def __init__(self, expected: Address | None, *, symmetric: bool = True) -> None:
        self.expected = None if expected is None else Address(plain(expected.host), expected.port)
        self.symmetric = symmetric
        self.address: Address | None = None
        """Who is believed; None = nobody yet."""
        self.ssrc = 0
        self._candidates: dict[tuple[Address, int], int] = {}
        """Address and SSRC -> the number that comes next: two packets in a row make a source which nobody announced
        (RFC 3550, A.1)."""

    def judge(self, address: Address, ssrc: int, sequence: int, *, authentic: bool = False) -> Verdict:
        """What to do with a valid RTP packet. `authentic`: its sender has the key."""
        known = address == self.address
        if known and ssrc == self.ssrc:
            for other in [other for other in self._candidates if other[0] == address]:
                del self._candidates[other]
            return "taken"
        if not (known or authentic or self._may(address)):
            return "stranger"
        one = (address, ssrc)
        if authentic or (not known and self._is_announced(address)) or self._candidates.pop(one, None) == sequence:
            self._become(address, ssrc)
            return "new"
        self._candidates[one] = (sequence + 1) & 0xFFFF
        if len(self._candidates) > CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        return "waits"

    def is_peer(self, address: Address, announced: Address | None) -> bool:
        """Whether RTCP from `address` may be its own: of the host that is believed, or from where the description
        says."""
        if self.address is not None and address.host == self.address.host:
            return True
        return announced is not None and address == (plain(announced.host), announced.port)

    def _become(self, address: Address, ssrc: int) -> None:
        self.address, self.ssrc = address, ssrc
        self._candidates.clear()

    def _is_announced(self, address: Address) -> bool:
        return self.expected is not None and address == self.expected

    def _may(self, address: Address) -> bool:
        """Whether an address that is not known may become so."""
        return self._is_announced(address) or (self.symmetric and self.address is None)
