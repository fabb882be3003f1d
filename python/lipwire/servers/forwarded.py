"""Whom a proxy on this machine speaks for (X-Forwarded-For). HTTP and the WebSocket count addresses by this."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def asking_from(peer: str, forwarded: Iterable[str]) -> str:
    """The address that a request came from, or what a proxy calls it; `provider.quotas.network` says how it counts.

    Args:
        peer: the other end of the connection; "" = nobody knows. forwarded: the values of X-Forwarded-For, of which the
        last is the nearest proxy's: the last that is not this machine counts, and what stands before it was said by
        whoever asks. They are believed from this machine alone.
    """
    if not _is_ours(peer):
        return peer
    hops = [_host(hop.strip()) for value in forwarded for hop in value.split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not _is_ours(hop)), peer)


def _is_ours(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(hop: str) -> str:
    """Without the port that some proxies write: 192.0.2.1:5000, [2001:db8::1]:5000."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
